//! Promise: a tier that another tool has filled is taken over without sending again what is right. What is
//! right is decided by size and digest, never by name or size alone; what differs or is missing is exactly what
//! the next sync writes; what is foreign is reported and left alone; killed anywhere, adopting again ends the
//! same. Checked with the real binary against the in-process S3 server, counting its requests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};

use crate::support::binary::{Mirror, Ran, bucket_tier, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server, Seen};

const BUCKET: &str = "old";
const SIGKILL: i32 = 9;

/// A site, what its objects are, and a bucket for somebody else to fill.
struct Story {
    origin: Origin,
    s3: S3Server,
    /// Key to bytes, as an undisturbed mirror has them.
    right: BTreeMap<String, Vec<u8>>,
}

impl Story {
    fn new() -> Story {
        Story::of(8)
    }

    /// With so many pages besides home page, image and redirect.
    fn of(pages: usize) -> Story {
        let origin = Origin::start();
        let links: String = (0..pages)
            .map(|n| format!("<a href=\"/p{n}\">{n}</a>"))
            .collect();
        origin.set(
            "/",
            Page::html(links + "<a href=\"/old\">o</a><img src=\"/logo.png\">"),
        );
        for n in 0..pages {
            origin.set(&format!("/p{n}"), Page::html(format!("<p>page {n}</p>")));
        }
        origin.set("/logo.png", Page::new("image/png", vec![7; 3000]));
        origin.set("/old", Page::redirect(301, "/p1"));
        let reference = Mirror::new(&(site(&origin) + &folder_tier("reference")));
        reference.run(&["run"]).expect(0);
        let right = reference.objects("tiers/reference");
        assert_eq!(right.len(), pages + 3, "{right:?}");
        Story {
            origin,
            s3: S3Server::start(&[BUCKET]),
            right,
        }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", key_start(&self.origin))
    }

    fn put(&self, key: &str, data: &[u8]) {
        self.s3.insert(BUCKET, &format!("copy/{key}"), data);
    }

    fn put_as(&self, key: &str, data: &[u8], etag: &str) {
        self.s3
            .insert_as(BUCKET, &format!("copy/{key}"), data, etag);
    }

    fn take_away(&self, key: &str) {
        self.s3.remove(BUCKET, &format!("copy/{key}"));
    }

    /// The bucket as a faithful copying tool leaves it.
    fn fill(&self) {
        for (key, data) in &self.right {
            self.put(key, data);
        }
    }

    fn config(&self) -> String {
        site(&self.origin) + &bucket_tier("old", &self.s3, BUCKET)
    }

    /// A mirror that has crawled and synced nothing.
    fn crawled(&self) -> Mirror {
        let mirror = Mirror::new(&self.config());
        mirror.run(&["crawl"]).expect(0);
        mirror
    }

    /// Objects of the site in the bucket, by key.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let all = self.s3.objects(BUCKET).into_iter();
        let sites = all.filter_map(|(key, data)| {
            let key = key.strip_prefix("copy/")?.to_owned();
            (!key.starts_with(".standin/")).then_some((key, data))
        });
        sites.collect()
    }

    /// Requests that wrote an object of the site, by their paths.
    fn writes(&self) -> Vec<String> {
        let seen = self.s3.seen();
        let writes = seen.iter().filter(|seen| {
            matches!(seen.method.as_str(), "PUT" | "DELETE" | "POST")
                && !seen.path.contains("/.standin/")
        });
        writes.map(|seen| seen.path.clone()).collect()
    }

    /// GETs and HEADs of objects of the site.
    fn looks(&self, method: &str) -> usize {
        let seen = self.s3.seen();
        let looks = seen.iter().filter(|seen| {
            seen.method == method
                && seen.about == About::Object
                && !seen.path.contains("/.standin/")
        });
        looks.count()
    }
}

fn tier(ran: &Ran) -> Value {
    ran.json()["tiers"][0].clone()
}

#[track_caller]
fn counts(tier: &Value, expected: [u64; 6]) {
    let names = [
        "listed",
        "matching",
        "differing",
        "missing",
        "stale",
        "foreign",
    ];
    let found: Vec<_> = names.iter().map(|name| tier[*name].clone()).collect();
    assert_eq!(json!(found), json!(expected), "{names:?}: {tier:#}");
}

#[test]
fn what_matches_is_not_sent_again_and_what_differs_is() {
    // One of equal size and one of another differ, one is missing, two are foreign (one a leftover of a tool
    // that did not decode). The dry run says so and writes nothing; a run refuses and names the verb.
    let story = Story::new();
    story.fill();
    let all = story.right.len() as u64;
    story.put(&story.key("p0"), b"<p>page X</p>");
    story.put(&story.key("p1"), b"<p>a longer page</p>");
    story.take_away(&story.key("p2"));
    story.put(&story.key("p%203"), b"<p>page 3</p>");
    story.put("elsewhere/readme", b"x");
    story.put("a-folder/", b"");
    let before = story.objects();
    let mirror = story.crawled();

    let refused = mirror.run(&["sync"]).expect(2);
    assert!(
        refused.stdout.contains("`standin adopt --tier old`"),
        "{refused:?}"
    );

    story.s3.forget();
    let dry = mirror.run(&["adopt", "--dry-run", "--json"]).expect(1);
    counts(&tier(&dry), [all + 2, all - 3, 2, 1, 0, 3]);
    assert_eq!(tier(&dry)["outcome"], "would be adopted");
    assert_eq!(tier(&dry)["next_sync"]["put"], 3);
    assert_eq!(tier(&dry)["missing_keys"], json!([story.key("p2")]));
    assert_eq!(story.objects(), before);
    assert_eq!(story.s3.count("PUT", About::Object), 0);
    assert_eq!(tier(&dry)["requests"], story.s3.seen().len());

    story.s3.forget();
    let adopted = mirror.run(&["adopt", "--json"]).expect(1);
    counts(&tier(&adopted), [all + 2, all - 3, 2, 1, 0, 3]);
    assert_eq!(tier(&adopted)["proofs"]["md5"], all - 3);
    assert_eq!(tier(&adopted)["as_found"], all - 3);
    assert_eq!(story.writes(), Vec::<String>::new());
    assert_eq!(story.objects(), before);

    let synced = mirror.run(&["sync", "--json"]).expect(0);
    assert_eq!(tier(&synced)["put"], 3, "{synced:?}");
    let mut after = story.objects();
    for key in [
        story.key("p%203"),
        "elsewhere/readme".into(),
        "a-folder/".into(),
    ] {
        assert!(after.remove(&key).is_some(), "{key} is nobody's to delete");
    }
    assert_eq!(after, story.right);
    story.s3.forget();
    let again = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(tier(&again)["put"], 0, "{again:?}");
    assert_eq!(tier(&again)["verified"], 1);
    assert_eq!(story.writes(), Vec::<String>::new());

    story.origin.set("/p5", Page::html("<p>page V</p>"));
    let edited = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(tier(&edited)["put"], 1, "{edited:?}");
    let adopted = mirror.run(&["adopt", "--json"]).expect(0);
    assert_eq!(tier(&adopted)["outcome"], "ours already");
    assert_eq!(tier(&adopted)["as_found"], all - 4);
}

#[test]
fn an_etag_that_is_no_md5_is_proven_otherwise() {
    // Uploaded in parts: a HEAD may state a CRC32C, else the bytes are read; what has other bytes of the same
    // size is found out. The dry run counts what it did not read.
    let story = Story::new();
    story.fill();
    let all = story.right.len() as u64;
    let parts = "0123456789abcdef0123456789abcdef-2";
    let (logo, p3, p4) = (story.key("logo.png"), story.key("p3"), story.key("p4"));
    story.put_as(&logo, &story.right[&logo], parts);
    story.s3.state_crc32c(BUCKET, &format!("copy/{logo}"));
    story.put_as(&p3, &story.right[&p3], parts);
    story.put_as(&p4, b"<p>page Q</p>", parts);
    let mirror = story.crawled();
    story.s3.forget();
    let dry = mirror.run(&["adopt", "--dry-run", "--json"]).expect(0);
    assert_eq!(tier(&dry)["unread"], json!({ "objects": 2, "bytes": 26 }));
    assert_eq!((story.looks("HEAD"), story.looks("GET")), (3, 0));
    assert_eq!(tier(&dry)["adopting"]["bytes"], 26);
    story.s3.forget();
    let adopted = mirror.run(&["adopt", "--json"]).expect(1);
    counts(&tier(&adopted), [all, all - 1, 1, 0, 0, 0]);
    let proofs = &tier(&adopted)["proofs"];
    assert_eq!((&proofs["head"], &proofs["read"]), (&json!(1), &json!(1)));
    assert_eq!((story.looks("HEAD"), story.looks("GET")), (3, 2));
    assert_eq!(
        tier(&dry)["adopting"]["requests"],
        tier(&adopted)["requests"]
    );
    let run = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(
        (&tier(&run)["put"], &tier(&run)["verified"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(story.objects(), story.right);
}

#[test]
fn a_large_object_is_read_back_in_pieces() {
    // Of an object of 9 MiB no more than 8 are asked for at once; `get` reads it the same way. Two URLs on one key
    // are one object that may be missing.
    const LARGE: usize = 9 << 20;
    let origin = Origin::start();
    origin.set(
        "/",
        Page::html("<a href=\"/l\">l</a><a href=\"/b/\">b</a><a href=\"/b/index.html\">b</a>"),
    );
    origin.set("/l", Page::new("application/pdf", vec![3; LARGE]));
    origin.set("/b/", Page::html("<p>b</p>"));
    origin.set("/b/index.html", Page::html("<p>b</p>"));
    let story = Story {
        origin,
        s3: S3Server::start(&[BUCKET]),
        right: BTreeMap::new(),
    };
    story.put_as(
        &story.key("l"),
        &vec![3; LARGE],
        "0123456789abcdef0123456789abcdef-2",
    );
    let mirror = story.crawled();
    story.s3.forget();
    let adopted = mirror.run(&["adopt", "--json"]).expect(1);
    counts(&tier(&adopted), [1, 1, 0, 2, 0, 0]);
    assert_eq!(tier(&adopted)["proofs"]["read"], 1);
    assert_eq!(story.looks("GET"), 2);
    let got = mirror
        .run(&["get", &story.origin.url("/l"), "--output", "l.pdf"])
        .expect(0);
    assert!(got.stderr.contains("no metadata of ours"), "{got:?}");
    assert_eq!(story.looks("GET"), 4);
    let saved = fs::read(mirror.path("l.pdf")).expect("written");
    assert!(saved == vec![3; LARGE]);
    let synced = mirror.run(&["sync", "--json"]).expect(0);
    assert_eq!(tier(&synced)["put"], 2, "{synced:?}");
}

#[test]
fn an_etag_that_only_looks_like_an_md5_is_found_out() {
    // With KMS it does. A few objects are read to learn it, then all are proven by reading, and a later run
    // finds each ETag as it was recorded for its object.
    let story = Story::new();
    let all = story.right.len() as u64;
    for (number, (key, data)) in story.right.iter().enumerate() {
        story.put_as(key, data, &format!("{number:032x}"));
    }
    let mirror = story.crawled();
    let adopted = mirror.run(&["adopt", "--json"]).expect(0);
    counts(&tier(&adopted), [all, all, 0, 0, 0, 0]);
    assert_eq!(tier(&adopted)["proofs"]["read"], all);
    let run = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(
        (&tier(&run)["put"], &tier(&run)["verified"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(story.writes(), Vec::<String>::new());
}

#[test]
fn a_replicated_bucket_is_proven_by_the_etags_of_the_first() {
    // Replication keeps the ETag of an upload in parts, and a confirmed tier knows which bytes it stands for:
    // no HEAD, no reading.
    let story = Story::new();
    story.fill();
    let logo = story.key("logo.png");
    let parts = "0123456789abcdef0123456789abcdef-2";
    story.put_as(&logo, &story.right[&logo], parts);
    story.s3.copy_bucket(BUCKET, "replica");
    let config = story.config() + &bucket_tier("replica", &story.s3, "replica");
    let mirror = Mirror::new(&config);
    mirror.run(&["crawl"]).expect(0);
    mirror.run(&["adopt", "--tier", "old"]).expect(0);
    story.s3.forget();
    let adopted = mirror.run(&["adopt", "--json"]).expect(0);
    let tiers = &adopted.json()["tiers"];
    assert_eq!(tiers[0]["outcome"], "ours already");
    assert_eq!(tiers[1]["proofs"]["same_etag"], 1, "{adopted:?}");
    assert_eq!(tiers[1]["matching"], story.right.len());
    assert_eq!((story.looks("HEAD"), story.looks("GET")), (0, 0));
    let run = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(run.json()["tiers"][1]["verified"], 1);
    assert_eq!(story.writes(), Vec::<String>::new());
}

#[test]
fn headers_are_replaced_when_asked_for_and_remembered_when_not() {
    // As found: nothing of ours is in the metadata, and a later call finishes it; then every object explains
    // itself, without a body having been sent.
    let story = Story::new();
    story.fill();
    let all = story.right.len() as u64;
    let mirror = story.crawled();
    mirror.run(&["adopt"]).expect(0);
    let p1 = format!("copy/{}", story.key("p1"));
    let field = |name: &str| {
        story
            .s3
            .object(BUCKET, &p1)
            .expect("there")
            .headers
            .metadata
            .get(name)
            .cloned()
    };
    assert_eq!(field("standin-url"), None);
    mirror.run(&["run"]).expect(0);
    let told = mirror.run(&["adopt"]).expect(0);
    assert!(told.stdout.contains("--reheader"), "{told:?}");
    story.s3.forget();
    let done = mirror.run(&["adopt", "--reheader", "--json"]).expect(0);
    assert_eq!(
        (&tier(&done)["reheadered"], &tier(&done)["as_found"]),
        (&json!(all), &json!(0))
    );
    assert_eq!(field("standin-url"), Some(story.origin.url("/p1")));
    assert_eq!(story.writes().len() as u64, all);
    story.s3.forget();
    let nothing = mirror.run(&["adopt", "--reheader", "--json"]).expect(0);
    assert_eq!(tier(&nothing)["reheadered"], 0);
    let run = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(
        (&tier(&run)["put"], &tier(&run)["reheadered"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(story.writes(), Vec::<String>::new());
}

#[test]
fn an_outage_in_the_middle_costs_only_what_was_on_its_way() {
    // The bucket goes away after three objects. In doubt, and sent anew by the next sync, is what was asked for
    // and not answered; everything else is as it was found, and a later call finishes it.
    let story = Story::of(80);
    story.fill();
    let all = story.right.len() as u64;
    let mirror = story.crawled();
    mirror.run(&["adopt"]).expect(0);
    mirror.run(&["run"]).expect(0);
    story.s3.forget();
    let left = AtomicUsize::new(3);
    let is_late = move |seen: &Seen| {
        let is_write = seen.method == "PUT" && !seen.path.contains("/.standin/");
        let first = |left: usize| left.checked_sub(1);
        is_write && left.fetch_update(SeqCst, SeqCst, first).is_err()
    };
    story.s3.fail_next(usize::MAX, is_late, 500);
    let cut = mirror.run(&["adopt", "--reheader", "--json"]).expect(2);
    assert!(story.s3.faults_left() < usize::MAX, "it went away");
    story.s3.calm();
    let asked: BTreeSet<String> = story.writes().into_iter().collect();
    let owed = asked.len() as u64 - 3;
    assert!(owed < all / 2, "of {all} objects {owed} are in doubt");
    assert_eq!(
        (&tier(&cut)["reheadered"], &tier(&cut)["as_found"]),
        (&json!(3), &json!(all - 3))
    );
    assert_eq!(tier(&cut)["differing"], owed, "{cut:?}");

    let done = mirror.run(&["adopt", "--reheader", "--json"]).expect(0);
    assert_eq!(tier(&done)["reheadered"], all - 3 - owed, "{done:?}");
    let synced = mirror.run(&["sync", "--json"]).expect(0);
    assert_eq!(tier(&synced)["put"], owed, "{synced:?}");
    let again = mirror.run(&["adopt", "--reheader", "--json"]).expect(0);
    assert_eq!(tier(&again)["as_found"], 0, "{again:?}");
    assert_eq!(story.objects(), story.right);
}

#[test]
fn a_dry_run_reads_nothing_large_to_learn_what_an_etag_is() {
    // The only object has an ETag like an MD5, and it is not the page's: other bytes, or no MD5? Of 1 MiB a dry
    // run finds out, of more it says that only adopting does.
    for (size, expected, reads) in [
        (1 << 20, [1, 0, 1, 1, 0, 0], 1),
        ((1 << 20) + 1, [1, 0, 0, 1, 0, 0], 0),
    ] {
        let story = Story {
            origin: Origin::start(),
            s3: S3Server::start(&[BUCKET]),
            right: BTreeMap::new(),
        };
        story.origin.set("/", Page::html("<a href=\"/l\">l</a>"));
        story
            .origin
            .set("/l", Page::new("application/pdf", vec![3; size]));
        story.put(&story.key("l"), &vec![4; size]);
        let mirror = story.crawled();
        story.s3.forget();
        let dry = mirror.run(&["adopt", "--dry-run", "--json"]).expect(1);
        counts(&tier(&dry), expected);
        assert_eq!(tier(&dry)["unread"]["objects"], 1 - reads, "{dry:?}");
        assert_eq!(story.looks("GET") as u64, reads);
        let adopted = mirror.run(&["adopt", "--json"]).expect(1);
        counts(&tier(&adopted), [1, 0, 1, 1, 0, 0]);
    }
}

#[test]
fn a_withdrawn_page_does_not_survive_in_an_adopted_bucket() {
    // It is no foreign object: that it is gone is known.
    let story = Story::new();
    story.fill();
    let p6 = story.key("p6");
    let mirror = story.crawled();
    story.origin.set("/p6", Page::html("").status(410));
    mirror.run(&["crawl"]).expect(0);
    let adopted = mirror.run(&["adopt", "--json"]).expect(1);
    assert_eq!(tier(&adopted)["stale_keys"], json!([p6]));
    let synced = mirror.run(&["sync", "--json"]).expect(0);
    assert_eq!(
        (&tier(&synced)["put"], &tier(&synced)["deleted"]),
        (&json!(0), &json!(1))
    );
    assert!(!story.objects().contains_key(&p6));
}

#[test]
fn a_folder_filled_by_hand_is_read_and_gets_its_records() {
    // Nothing is stated of plain files: they are hashed where they lie, and their side files are written.
    let story = Story::new();
    let mirror = Mirror::new(&(site(&story.origin) + &folder_tier("hand")));
    mirror.run(&["crawl"]).expect(0);
    let place = |key: &str| mirror.path("tiers/hand").join(key);
    for (key, data) in &story.right {
        fs::create_dir_all(place(key).parent().expect("it has one")).expect("ours");
        fs::write(place(key), data).expect("ours");
    }
    fs::write(place(&story.key("p7")), b"<p>page _</p>").expect("ours");
    let all = story.right.len() as u64;
    let dry = mirror.run(&["adopt", "--dry-run", "--json"]).expect(1);
    counts(&tier(&dry), [all, all - 1, 1, 0, 0, 0]);
    assert_eq!(tier(&dry)["as_found"], 0);
    assert!(!mirror.path("tiers/hand/.standin").exists());
    let adopted = mirror.run(&["adopt", "--json"]).expect(1);
    counts(&tier(&adopted), [all, all - 1, 1, 0, 0, 0]);
    assert_eq!(tier(&adopted)["as_found"], 0);
    assert_eq!(mirror.side_files("tiers/hand").len() as u64, all - 1);
    let run = mirror.run(&["run", "--json"]).expect(0);
    assert_eq!(
        (&tier(&run)["put"], &tier(&run)["verified"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(mirror.objects("tiers/hand"), story.right);
}

#[test]
fn killed_anywhere_adopting_again_ends_the_same() {
    // SIGKILL at every pass of a durable write. In between a run refuses or goes on from the finished claim,
    // and puts nothing that matched.
    let story = Story::new();
    story.fill();
    story.put(&story.key("p0"), b"<p>page X</p>");
    story.take_away(&story.key("p2"));
    let start = story.crawled();
    for pass in 1..200 {
        let bucket = format!("bucket-{pass}");
        story.s3.copy_bucket(BUCKET, &bucket);
        let config = site(&story.origin) + &bucket_tier("old", &story.s3, &bucket);
        let mirror = start.copied(&config);
        let ended = mirror.run_killed(&pass.to_string(), &["adopt", "--reheader"]);
        if ended.signal != Some(SIGKILL) {
            assert!(pass > 10, "only {} kills: {ended:?}", pass - 1);
            return;
        }
        if pass % 2 == 0 {
            let between = mirror.run(&["sync", "--json"]);
            assert!(matches!(between.code, Some(0..=2)), "{between:?}");
            assert!(
                tier(&between)["put"].as_u64() <= Some(2),
                "{pass}: {between:?}"
            );
        }
        let again = mirror.run(&["adopt", "--reheader"]);
        assert!(matches!(again.code, Some(0 | 1)), "{pass}: {again:?}");
        let synced = mirror.run(&["sync", "--json"]).expect(0);
        assert!(
            tier(&synced)["put"].as_u64() <= Some(2),
            "{pass}: {synced:?}"
        );
        for (key, data) in &story.right {
            let stored = story.s3.object(&bucket, &format!("copy/{key}"));
            let stored = stored.unwrap_or_else(|| panic!("{pass}: {key} is missing"));
            assert_eq!(&stored.data[..], &data[..], "{pass}: {key}");
            assert!(
                stored.headers.metadata.contains_key("standin-url"),
                "{pass}: {key}"
            );
        }
        let status = mirror.run(&["status", "--json"]).expect(0).json();
        assert_eq!(status["finished"]["tiers"][0]["debts"], 0, "{pass}");
    }
    panic!("adopting never ends");
}

#[test]
fn an_adoption_that_was_killed_leaves_no_claim_on_a_place_that_was_emptied() {
    // The watermark is recorded just before the head: if the bucket is emptied then, it is a new tier.
    let story = Story::new();
    story.fill();
    let mirror = story.crawled();
    let killed = mirror.run_killed("tier.claim:1", &["adopt"]);
    assert_eq!(killed.signal, Some(SIGKILL));
    story.s3.clear(BUCKET);
    let run = mirror.run(&["sync", "--json"]).expect(0);
    assert_eq!(tier(&run)["put"], story.right.len());
    assert_eq!(story.objects(), story.right);
}

#[test]
fn what_cannot_be_adopted_says_why() {
    // Nothing crawled; no such tier; another mirror's; an empty place; our own that is empty unexpectedly. A
    // tier of ours that has lost its head is adopted again.
    let story = Story::new();
    let empty = Mirror::new(&story.config());
    let early = empty.run(&["adopt"]).expect(64);
    assert!(
        early.stderr.contains("run `standin crawl` first"),
        "{early:?}"
    );
    let unknown = empty.run(&["adopt", "--tier", "nosuch"]).expect(64);
    assert!(unknown.stderr.contains("there are: old"), "{unknown:?}");

    let mirror = story.crawled();
    let nothing = mirror.run(&["adopt", "--json"]).expect(0);
    assert_eq!(tier(&nothing)["outcome"], "empty");
    mirror.run(&["sync"]).expect(0);
    let other = story.crawled().run(&["adopt", "--json"]).expect(2);
    let why = other.json()["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(why.contains("belongs to another mirror"), "{other:?}");

    story.s3.remove(BUCKET, "copy/.standin/head");
    let robbed = mirror.run(&["run"]).expect(2);
    assert!(
        robbed
            .stdout
            .contains("`standin adopt --tier old` takes the tier back")
    );
    let adopted = mirror.run(&["adopt", "--json"]).expect(0);
    assert_eq!(tier(&adopted)["outcome"], "adopted");
    story.s3.forget();
    mirror.run(&["run"]).expect(0);
    assert_eq!(story.writes(), Vec::<String>::new());

    story.s3.clear(BUCKET);
    let gone = mirror.run(&["adopt", "--json"]).expect(2);
    assert!(gone.stdout.contains("unexpectedly empty"), "{gone:?}");
}
