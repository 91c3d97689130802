//! Promise: an audit sees everything at the price of a listing, says so only when it has, goes on where it was killed,
//! and names what is known of a tier as known. Told by the real binary against folders and the in-process servers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use standin::audit::COLUMNS;
use standin::db::Fuse;
use standin::run::{self, AuditOrder, Live, Surroundings, Verdict};

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::faults::Harm;
use crate::support::gcs_server::GcsServer;
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server, Seen};
use crate::support::scene::{self, Scene};

const BUCKET: &str = "site";

fn origin_of(pages: usize) -> Origin {
    let origin = Origin::start();
    let links = (0..pages).map(|n| format!("<a href=\"/p{n}\">{n}</a>"));
    origin.set("/", Page::html(links.collect::<String>()));
    for n in 0..pages {
        origin.set(&format!("/p{n}"), Page::html(format!("<p>page {n}</p>")));
    }
    origin
}

/// A site of so many pages and a home page, mirrored into a bucket.
fn in_bucket(pages: usize) -> (Origin, S3Server, Mirror) {
    let (origin, s3) = (origin_of(pages), S3Server::start(&[BUCKET]));
    let mirror = Mirror::new(&(site(&origin) + &bucket_tier("copy", &s3, BUCKET)));
    mirror.run(&["run"]).expect(0);
    (origin, s3, mirror)
}

/// A folder of so many small files, published into a folder.
fn published(files: usize) -> Mirror {
    let config = format!("[site]\nhosts = [\"h.test\"]\n{}", folder_tier("copy"));
    let mirror = Mirror::new(&config);
    fs::create_dir(mirror.path("site")).expect("it is ours");
    for n in 0..files {
        let path = mirror.path("site").join(format!("p{n:05}.html"));
        fs::write(path, format!("<p>page {n}</p>")).expect("it is ours");
    }
    mirror.run(&["publish", "site"]).expect(0);
    mirror
}

fn tier(report: &Value) -> &Value {
    &report["tiers"][0]
}

#[test]
fn an_audit_costs_the_listing() {
    // The head, one page, the list of the checkpoint's parts, the question for unfinished uploads: nothing about any object.
    // It counts as the proof of the tier from then on.
    let (_origin, s3, mirror) = in_bucket(5);
    s3.forget();
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    let seen: Vec<(String, About)> = s3
        .seen()
        .into_iter()
        .map(|seen| (seen.method, seen.about))
        .collect();
    let get = |about| ("GET".to_owned(), about);
    assert_eq!(
        seen,
        [
            get(About::Object),
            get(About::Listing),
            get(About::Listing),
            get(About::Bucket)
        ],
        "{:?}",
        s3.seen()
    );
    let tier = tier(&report);
    assert_eq!((&tier["checked"], &tier["listed"]), (&json!(6), &json!(6)));
    assert_eq!(tier["complete"], true);
    assert_eq!(tier["requests"], 4);
    assert_eq!(tier["leftover_uploads"], 0);
    assert_eq!(tier["verified"]["generation"], 1);
    assert_eq!(report["verdict"], "ok");
    assert!(!mirror.path("state/audit").exists());
}

#[test]
fn a_bucket_that_denies_listing_is_not_clean() {
    let (_origin, s3, mirror) = in_bucket(2);
    s3.deny(|seen| seen.about == About::Listing);
    let ran = mirror.run(&["audit", "--json"]).expect(2);
    let report = ran.json();
    assert_eq!(report["incomplete"], true);
    assert_eq!(tier(&report)["complete"], false);
    let error = report["error"].as_str().expect("a line");
    assert!(error.contains("s3:ListBucket"), "{error}");
}

#[test]
fn a_change_while_the_listing_is_read_is_no_damage() {
    // An object that the listing does not show and that is there is looked at again before anything is said of it; and
    // the other way round. The listing is one of a moment before.
    let (origin, s3, mirror) = in_bucket(3);
    let key = format!("copy/{}p1", key_start(&origin));
    let stored = s3.object(BUCKET, &key).expect("it is there");
    let listing = |seen: &Seen| seen.about == About::Listing;
    s3.remove(BUCKET, &key);
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(tier(&report)["counts"]["missing"], 1);
    s3.place(BUCKET, &key, stored);
    s3.harm(1, listing, Harm::Stale);
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    assert_eq!(s3.faults_left(), 0);
    assert_eq!(
        tier(&report)["counts"]["changed_meanwhile"],
        1,
        "{report:#}"
    );
    assert_eq!(tier(&report)["counts"]["missing"], 0);
    let reasons = report["reasons"].to_string();
    assert!(reasons.contains("while its listing was read"), "{reasons}");
}

#[test]
fn what_a_tier_is_known_to_lack_is_no_damage() {
    // Crawled and not synced: the tier is behind, and nothing is missing.
    let (origin, _s3, mirror) = in_bucket(3);
    origin.set("/p1", Page::html("<p>edited</p>"));
    mirror.run(&["crawl"]).expect(0);
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    let counts = &tier(&report)["counts"];
    assert_eq!(counts["behind"], 1, "{report:#}");
    assert_eq!(
        (&counts["missing"], &counts["corrupt"]),
        (&json!(0), &json!(0))
    );
    mirror.run(&["sync"]).expect(0);
    mirror.run(&["audit"]).expect(0);
}

#[test]
fn a_killed_audit_goes_on_where_it_was() {
    // 2,300 objects are three pages of a listing. Killed after the second of them, it lists one more.
    let mirror = published(2_300);
    fs::remove_file(mirror.path("tiers/copy/h.test/p00007.html")).expect("it is there");
    fs::remove_file(mirror.path("tiers/copy/h.test/p02200.html")).expect("it is there");
    let killed = mirror.run_killed("audit.page:3", &["audit"]);
    assert_eq!(killed.signal, Some(9), "{killed:?}");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert!(report["resumed"].is_string(), "{report:#}");
    let tier = tier(&report);
    assert_eq!(tier["traffic"]["list"], 1, "{tier:#}");
    assert_eq!(tier["checked"], 2_300);
    let keys: Vec<&str> = tier["missing"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|finding| finding["key"].as_str())
        .collect();
    assert_eq!(keys, ["h.test/p00007.html", "h.test/p02200.html"]);
    let again = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(again["resumed"], Value::Null);
    assert_eq!(again["tiers"][0]["traffic"]["list"], 3);
}

#[test]
fn another_state_of_the_tier_begins_anew() {
    let mirror = published(1_200);
    mirror.run_killed("audit.page:2", &["audit"]);
    fs::write(mirror.path("site/p00003.html"), "edited").expect("it is ours");
    mirror.run(&["publish", "site"]).expect(0);
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    assert_eq!(report["resumed"], Value::Null);
    assert_eq!(tier(&report)["traffic"]["list"], 2);
}

#[test]
fn a_sample_says_what_it_says_of_all() {
    let mirror = published(400);
    let report = mirror
        .run(&["audit", "--sample", "100", "--json"])
        .expect(0)
        .json();
    let sample = &tier(&report)["read_sample"];
    assert_eq!(
        (&sample["looked_at"], &sample["bad"]),
        (&json!(100), &json!(0))
    );
    assert_eq!(sample["says"], "0 of 100 bad: under 3.0 % at 95 %");
    assert_eq!(tier(&report)["traffic"]["get"], 100);
    let report = mirror.run(&["audit", "--deep", "--json"]).expect(0).json();
    assert_eq!(tier(&report)["read"]["objects"], 400);
}

#[test]
fn every_finding_is_in_the_files_of_the_report() {
    // One file a class, with the columns that docs/AUDITS.md names, in their order; a name that is no key is there, too.
    let mirror = published(3);
    fs::remove_file(mirror.path("tiers/copy/h.test/p00001.html")).expect("it is there");
    fs::write(mirror.path("tiers/copy/h.test/x,y"), "foreign").expect("it is ours");
    std::os::unix::fs::symlink("/etc/hosts", mirror.path("tiers/copy/link")).expect("a link");
    let report = mirror
        .run(&["audit", "--report", "found", "--json"])
        .expect(1)
        .json();
    assert_eq!(tier(&report)["counts"]["foreign"], 2, "{report:#}");
    let lines = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(mirror.path("found").join(file)).expect("written");
        text.lines().map(str::to_owned).collect()
    };
    let csv = lines("missing.csv");
    assert_eq!(csv[0], COLUMNS.join(","));
    assert!(csv[1].starts_with("copy,missing,h.test/p00001.html,https://h.test/p00001.html,13,"));
    let foreign = lines("foreign.ndjson");
    let keys: Vec<Value> = foreign
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].clone())
        .collect();
    assert!(
        keys.contains(&json!("h.test/x,y")) && keys.contains(&json!("link")),
        "{keys:?}"
    );
    assert!(
        lines("foreign.csv")
            .iter()
            .any(|row| row.contains("\"h.test/x,y\""))
    );
    for class in ["corrupt", "stale", "wrong_headers"] {
        assert_eq!(lines(&format!("{class}.csv")), [COLUMNS.join(",")]);
        assert_eq!(lines(&format!("{class}.ndjson")), [""; 0]);
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/AUDITS.md");
    let page = fs::read_to_string(page).expect("it is there");
    let documented: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| column "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    assert_eq!(documented, COLUMNS);
}

#[test]
fn many_foreign_objects_are_counted_and_not_all_named() {
    let mirror = published(2);
    for n in 0..1_100 {
        fs::write(mirror.path(&format!("tiers/copy/h.test/f{n}")), "f").expect("it is ours");
    }
    let report = mirror
        .run(&["audit", "--report", "found", "--json"])
        .expect(1)
        .json();
    assert_eq!(tier(&report)["counts"]["foreign"], 1_100);
    assert_eq!(
        tier(&report)["foreign"].as_array().map(Vec::len),
        Some(1_000)
    );
    let rows = fs::read_to_string(mirror.path("found/foreign.ndjson")).expect("written");
    assert_eq!(rows.lines().count(), 1_100);
    let told = mirror.run(&["audit"]).expect(1).stdout;
    assert!(told.contains("… and 1092 more"), "{told}");
}

#[test]
fn a_tier_without_its_head_is_gone_through_all_the_same() {
    let mirror = published(3);
    fs::remove_file(mirror.path("tiers/copy/.standin/head")).expect("it is there");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(tier(&report)["checked"], 3);
    let trouble = tier(&report)["trouble"].as_str().expect("a line");
    assert!(trouble.contains("has lost its .standin/head"), "{trouble}");
}

/// A mirror in two folders that keeps no bodies at home.
pub fn in_two_folders(origin: Origin) -> (Origin, Mirror) {
    let config = [
        site(&origin),
        "[state]\nkeep = \"until-confirmed\"\n".to_owned(),
        folder_tier("one"),
        folder_tier("two"),
    ];
    let mirror = Mirror::new(&config.concat());
    mirror.run(&["run"]).expect(0);
    (origin, mirror)
}

fn body_in(mirror: &Mirror, tier: &str, key: &str) -> std::path::PathBuf {
    mirror.path("tiers").join(tier).join(key)
}

#[test]
fn a_repair_takes_from_another_tier_only_what_is_right() {
    // Missing in one tier, and damaged in the same way in both: the first comes from the other tier, the second from the
    // site, whose page is the same as ever. No bytes are ever taken from the damaged copy.
    let (origin, mirror) = in_two_folders(origin_of(3));
    let key = |path: &str| format!("{}{path}", key_start(&origin));
    fs::remove_file(body_in(&mirror, "one", &key("p0"))).expect("it is there");
    for tier in ["one", "two"] {
        fs::write(body_in(&mirror, tier, &key("p1")), "<p>damage</p>").expect("it is ours");
    }
    let before = origin.requests().len();
    let ran = mirror.run(&["audit", "--repair", "--deep", "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    let report = ran.json();
    let repaired = |tier: usize| &report["tiers"][tier]["repaired"];
    assert_eq!(
        (repaired(0), repaired(1)),
        (&json!(2), &json!(1)),
        "{report:#}"
    );
    let asked: Vec<String> = origin.requests()[before..]
        .iter()
        .map(|(_, path, _)| path.clone())
        .filter(|path| path != "/robots.txt")
        .collect();
    assert_eq!(asked, ["/p1"]);
    for tier in ["one", "two"] {
        for n in [0, 1] {
            let body = fs::read_to_string(body_in(&mirror, tier, &key(&format!("p{n}"))));
            assert_eq!(body.expect("it is there"), format!("<p>page {n}</p>"));
        }
    }
    let clean = mirror.run(&["audit", "--deep", "--json"]).expect(0).json();
    assert_eq!(
        clean["generation"], 1,
        "the same bytes are no new generation"
    );
}

#[test]
fn a_page_that_has_changed_meanwhile_is_mended_as_a_new_generation() {
    let (origin, mirror) = in_two_folders(origin_of(3));
    let key = format!("{}p1", key_start(&origin));
    for tier in ["one", "two"] {
        fs::remove_file(body_in(&mirror, tier, &key)).expect("it is there");
    }
    origin.set("/p1", Page::html("<p>page 1, edited</p>"));
    mirror.run(&["audit", "--repair", "--json"]).expect(0);
    for tier in ["one", "two"] {
        let body = fs::read_to_string(body_in(&mirror, tier, &key)).expect("it is there");
        assert_eq!(body, "<p>page 1, edited</p>");
    }
    let clean = mirror.run(&["audit", "--deep", "--json"]).expect(0).json();
    assert_eq!(clean["generation"], 2);
}

#[test]
fn what_cannot_be_mended_is_told() {
    // No copy anywhere, and the site does not have it either: it stays a finding, by name, and the exit code says so.
    let (origin, mirror) = in_two_folders(origin_of(3));
    let key = format!("{}p1", key_start(&origin));
    for tier in ["one", "two"] {
        fs::remove_file(body_in(&mirror, tier, &key)).expect("it is there");
    }
    origin.set("/p1", Page::html("broken").status(500));
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(1)
        .json();
    for tier in [0, 1] {
        let tier = &report["tiers"][tier];
        assert_eq!(
            (&tier["repaired"], &tier["unrepaired_count"]),
            (&json!(0), &json!(1))
        );
        assert_eq!(tier["unrepaired"][0]["url"], origin.url("/p1"));
        let why = tier["unrepaired"][0]["why"].as_str().expect("a line");
        assert!(why.contains("no copy of the bytes"), "{why}");
    }
    origin.set("/p1", Page::html("<p>page 1</p>"));
    mirror.run(&["audit", "--repair"]).expect(0);
    mirror.run(&["audit", "--deep"]).expect(0);
}

#[test]
fn foreign_objects_stay_unless_somebody_says_otherwise() {
    let mirror = published(2);
    let foreign = mirror.path("tiers/copy/h.test/foreign");
    fs::write(&foreign, "f").expect("it is ours");
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(1)
        .json();
    assert_eq!(tier(&report)["counts"]["foreign"], 1);
    assert!(foreign.exists());
    let report = mirror
        .run(&["audit", "--delete-foreign", "--json"])
        .expect(0)
        .json();
    assert_eq!(tier(&report)["sent"]["foreign_deleted"], 1);
    assert!(!foreign.exists());
    mirror.run(&["audit"]).expect(0);
}

#[test]
fn a_repair_that_is_killed_is_gone_on_with() {
    // The debts stay, so that whoever comes next pays them; killed at each of the first writes.
    for passes in 1..=4 {
        let mirror = published(5);
        for n in 0..3 {
            let path = format!("tiers/copy/h.test/p0000{n}.html");
            fs::remove_file(mirror.path(&path)).expect("it is there");
        }
        let at = format!("tier.written:{passes}");
        let killed = mirror.run_killed(&at, &["audit", "--repair"]);
        let expected = if passes <= 3 { Some(9) } else { None };
        assert_eq!(killed.signal, expected, "{killed:?}");
        mirror.run(&["audit", "--repair"]).expect(0);
        mirror
            .run(&["audit", "--deep", "--headers", "all"])
            .expect(0);
    }
}

#[test]
fn a_link_that_leads_to_nothing_is_listed_with_the_pages_that_point_there() {
    // Every reference that stays within the site leads to an entry, or is listed: what answers 404, what was withdrawn,
    // where a redirect leads. What robots.txt forbids is left out on purpose. Nobody is asked anything.
    let origin = Origin::start();
    origin.set(
        "/robots.txt",
        Page::new("text/plain", "User-agent: *\nDisallow: /private"),
    );
    let links = "<a href=/a#x>a</a><a href=/lost>l</a><a href=/old>o</a><a href=/private>p</a><a href=https://elsewhere.test/>e</a>";
    origin.set("/", Page::html(links));
    origin.set(
        "/a",
        Page::html("<a href=/>home</a><a href=lost>l</a><a href=/gone>g</a>"),
    );
    origin.set("/old", Page::redirect(301, "/nowhere"));
    origin.set("/gone", Page::html("<p>soon gone</p>"));
    let mirror = Mirror::new(&(site(&origin) + &folder_tier("copy")));
    mirror.run(&["run"]);
    origin.set("/gone", Page::html("").status(410));
    mirror.run(&["run"]);
    let asked = origin.requests().len();
    fs::remove_dir_all(mirror.path("tiers")).expect("no tier is needed");
    let ran = mirror.run(&["audit", "--links", "--report", "found", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran:#?}");
    assert_eq!(origin.requests().len(), asked);
    let found = &ran.json()["links"];
    let broken: Vec<(&str, u64, usize)> = found["links"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|link| {
            let from = link["from"].as_array().map_or(0, Vec::len);
            let url = link["url"].as_str().expect("a URL");
            (url, link["pages"].as_u64().expect("a number"), from)
        })
        .collect();
    let url = |path: &str| origin.url(path);
    let expected = [
        (url("/gone"), 1, 1),
        (url("/lost"), 2, 2),
        (url("/nowhere"), 1, 1),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(url, pages, from)| (url.as_str(), *pages, *from))
        .collect();
    assert_eq!(broken, expected, "{found:#}");
    assert_eq!(
        (&found["broken"], &found["left_out"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(found["unsearched"], 0);
    let csv = fs::read_to_string(mirror.path("found/links.csv")).expect("written");
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert_eq!(csv.lines().next(), Some("url,why,page"));
}

#[test]
fn a_store_without_bodies_cannot_say_that_all_links_are_well() {
    let (_origin, mirror) = in_two_folders(origin_of(3));
    let report = mirror.run(&["audit", "--links", "--json"]).expect(2).json();
    assert_eq!(report["incomplete"], true);
    assert_eq!(report["links"]["unsearched"], 4);
}

#[test]
fn a_scrub_reads_all_bytes_in_its_days_and_is_counted_apart() {
    // Of 11 objects in two days: on the first day a half and a tenth of that more, on the second what was not read by
    // then, and from then on what was read longest ago. What reading finds is owed by the tier, and written by the next run.
    let mut scene = Scene::new();
    let links: Vec<String> = (0..10).map(|n| format!("/p{n}")).collect();
    scene.page(
        "/",
        &links.iter().map(String::as_str).collect::<Vec<_>>(),
        "home",
    );
    for link in &links {
        scene.page(link, &[], link);
    }
    let without = scene.run().tiers.remove(0);
    assert_eq!(without.scrub, None);
    scene.config.audit.scrub_days = Some(2);
    let first = scene.run().tiers.remove(0);
    let scrub = first.scrub.expect("it is configured");
    assert_eq!((scrub.objects, scrub.bad, scrub.oldest), (7, 0, None));
    assert_eq!(
        (scrub.requests, first.traffic.get),
        (8, 0),
        "a listing and 7 reads, apart"
    );
    scene::go_to_day(1);
    let second = scene.run().tiers.remove(0).scrub.expect("it is configured");
    assert_eq!(second.objects, 7);
    assert!(second.oldest.is_some(), "all of it has been read");
    let victim = scene.tier().join(key_start(&scene.origin)).join("p9");
    let mut body = fs::read(&victim).expect("it is there");
    body[2] ^= 1;
    fs::write(&victim, &body).expect("it is ours");
    let mut bad = 0;
    let mut days = 1;
    while bad == 0 {
        days += 1;
        assert!(days <= 4, "it is read within two days");
        scene::go_to_day(days);
        bad = scene
            .run()
            .tiers
            .remove(0)
            .scrub
            .expect("it is configured")
            .bad;
    }
    assert_eq!(scene.run().tiers[0].put, 1);
    body[2] ^= 1;
    assert_eq!(fs::read(&victim).expect("it is there"), body);
}

#[test]
fn all_tiers_are_audited_at_once_and_each_says_its_own() {
    // A folder, a bucket of S3 and one of Google, each harmed in another way: an upload that never ended, a key that no
    // object of ours can have, two pages on one key. Mended, what nobody can mend is still told.
    let origin = origin_of(3);
    origin.set(
        "/",
        Page::html("<a href=/x/>x</a><a href=/x/index.html>y</a><a href=/p0>p</a>"),
    );
    origin.set("/x/", Page::html("<p>one</p>"));
    origin.set("/x/index.html", Page::html("<p>another</p>"));
    let (s3, gcs) = (S3Server::start(&[BUCKET]), GcsServer::start(&[BUCKET]));
    let google = format!(
        "[[tier]]\nname = \"google\"\nurl = \"gs://{BUCKET}/copy\"\nendpoint = \"{}\"\ncredentials = {{ anonymous = true }}\n",
        gcs.endpoint()
    );
    let config = [
        site(&origin),
        folder_tier("folder"),
        bucket_tier("amazon", &s3, BUCKET),
        google,
    ];
    let mirror = Mirror::new(&config.concat());
    mirror.run(&["run"]).expect(1);
    let key = |path: &str| format!("{}{path}", key_start(&origin));
    fs::remove_file(body_in(&mirror, "folder", &key("p0"))).expect("it is there");
    s3.insert(BUCKET, "copy//odd", b"x");
    let days = Duration::from_secs(3 * 24 * 3600);
    s3.leave_upload(BUCKET, &format!("copy/{}", key("p0")), days);
    gcs.insert(BUCKET, &format!("copy/{}", key("foreign")), b"x");
    let ran = mirror.run(&["audit", "--json"]).expect(1);
    let report = ran.json();
    let names: Vec<&str> = report["tiers"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|tier| tier["name"].as_str())
        .collect();
    assert_eq!(names, ["folder", "amazon", "google"]);
    let tiers = &report["tiers"];
    assert_eq!(tiers[0]["counts"]["missing"], 1, "{report:#}");
    assert_eq!(tiers[1]["foreign"][0]["key"], "/odd");
    assert_eq!(tiers[1]["leftover_uploads"], 1);
    assert_eq!(tiers[2]["foreign"][0]["key"], key("foreign"));
    assert_eq!(report["collided"], 1);
    assert_eq!(report["collisions"][0]["winner"], origin.url("/x/"));
    for tier in [0, 1, 2] {
        assert_eq!(tiers[tier]["checked"], 3);
        assert_eq!(
            tiers[tier]["counts"]["corrupt"], 0,
            "the winner is what is there"
        );
    }
    let only = mirror
        .run(&["audit", "--tier", "google", "--json"])
        .expect(1);
    assert_eq!(only.json()["tiers"].as_array().map(Vec::len), Some(1));
    let ran = mirror
        .run(&["audit", "--repair", "--delete-foreign", "--json"])
        .expect(1);
    let report = ran.json();
    assert_eq!(report["tiers"][0]["repaired"], 1);
    assert_eq!(report["tiers"][1]["sent"]["uploads_removed"], 1);
    assert_eq!(report["tiers"][1]["unrepaired"][0]["key"], "/odd");
    assert_eq!(report["tiers"][2]["sent"]["foreign_deleted"], 1);
    assert_eq!(s3.open_uploads(), 0);
    s3.remove(BUCKET, "copy//odd");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    let reasons = report["reasons"].as_array().expect("a list");
    assert_eq!(reasons.len(), 1, "the collision alone: {reasons:?}");
}

#[test]
fn a_clock_that_went_backwards_is_told() {
    let scene = Scene::new();
    scene.page("/", &[], "home");
    scene::go_to_day(5);
    scene.run();
    let audit = |days: i64| {
        scene::go_to_day(days);
        let live = Live::default();
        let around = Surroundings {
            live: &live,
            fuse: Fuse::none(),
            clock: scene::clock,
            verb: "audit",
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime
            .block_on(run::audit(&scene.config, &AuditOrder::default(), around))
            .expect("it can be audited")
    };
    assert_eq!(audit(5).reasons, [""; 0]);
    let report = audit(0);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert!(
        report.reasons[0].contains("the clock has gone backwards"),
        "{:?}",
        report.reasons
    );
    assert_eq!(audit(0).reasons, [""; 0], "the last proof is one of today");
}

#[test]
fn a_damaged_large_file_in_the_store_is_never_spread() {
    // Above 8 MiB a body lies in a file of its own. Damaged in the store and missing in one tier, it comes from the other.
    let config = [
        "[site]\nhosts = [\"h.test\"]\n".to_owned(),
        folder_tier("one"),
        folder_tier("two"),
    ];
    let mirror = Mirror::new(&config.concat());
    fs::create_dir(mirror.path("site")).expect("it is ours");
    let large: Vec<u8> = (0..9_u32 << 20).map(|n| (n % 251) as u8).collect();
    fs::write(mirror.path("site/large.bin"), &large).expect("there is room");
    mirror.run(&["publish", "site"]).expect(0);
    let stored = mirror.files("state/store/files");
    let (name, bytes) = stored.into_iter().next().expect("it is a file");
    let mut damaged = bytes;
    damaged[1000] ^= 1;
    fs::write(mirror.path("state/store/files").join(name), damaged).expect("it is ours");
    fs::remove_file(body_in(&mirror, "one", "h.test/large.bin")).expect("it is there");
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(0)
        .json();
    assert_eq!(tier(&report)["repaired"], 1, "{report:#}");
    // In pieces of 8 MiB, which never are in memory together, and nothing of them stays.
    assert_eq!(report["tiers"][1]["traffic"]["get"], 2, "{report:#}");
    assert_eq!(mirror.files("state/store/incoming").len(), 0);
    let body = fs::read(body_in(&mirror, "one", "h.test/large.bin")).expect("it is back");
    assert!(body == large);
    mirror.run(&["audit", "--deep"]).expect(0);
}
