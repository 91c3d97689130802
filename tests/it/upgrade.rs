//! Promise: a mirror that the first version made goes on under this one. No page counts as changed, nothing is
//! put again, and its records stay as they are until they change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use standin::config::TierName;
use standin::db::{Batch, Db, Fuse};
use standin::manifest::{EtagKind, Generation, RunId};
use standin::run::{RunReport, Verdict};
use standin::site::PageUrl;
use standin_migrations::{v1, v2};

use crate::support::origin::Page;
use crate::support::world::{LOCAL, REMOTE, World};

const CACHE_BYTES: usize = 1 << 20;

/// Records whose payload is no record of the manifest: where a blob lies, URLs that share a key, that they collide, and whose body
/// somebody else held.
const OF_THEIR_OWN: &[u8] = b"bklp";

/// How many URLs share a key: the first version did not count them.
const SHARED: u8 = b's';

/// A mirror with two generations: pages, a redirect, and one that was withdrawn.
fn grown() -> World {
    let mut world = World::new();
    let origin = &world.origin;
    origin.set("/robots.txt", Page::html("").status(404));
    origin.set(
        "/",
        Page::html("<a href=/a>a</a><a href=/b>b</a><a href=/old>o</a><a href=/r>r</a>"),
    );
    origin.set("/a", Page::html("<p>a").etag("\"a1\""));
    origin.set("/b", Page::html("<p>b"));
    origin.set("/old", Page::html("<p>old"));
    origin.set("/r", Page::redirect(301, "/a"));
    run(&mut world);
    world.origin.set("/b", Page::html("<p>b again"));
    world.origin.set("/old", Page::html("").status(410));
    assert_eq!(run(&mut world).generation, Generation(2));
    world
}

fn run(world: &mut World) -> RunReport {
    let report = world.run(&Fuse::none()).expect("it runs");
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    world.origin.clear_requests();
    report
}

/// What a run did to the objects of each tier.
fn operations(report: &RunReport) -> Vec<u64> {
    let each = |tier: &standin::sync::TierReport| {
        tier.put + tier.copied + tier.reheadered + tier.deleted + tier.failed
    };
    report.tiers.iter().map(each).collect()
}

fn database(state: &Path) -> Db {
    Db::open(&state.join("manifest"), CACHE_BYTES, Fuse::none()).expect("it opens")
}

/// The format of each record, by key.
fn formats(state: &Path) -> BTreeMap<Vec<u8>, u8> {
    let db = database(state);
    let records = db.scan(b"").map(|record| record.expect("readable"));
    let ours = records.filter(|(key, _)| !OF_THEIR_OWN.contains(&key[0]));
    ours.map(|(key, payload)| (key, payload[0])).collect()
}

/// The state directory as the first version would have left it: every record by its frozen types.
fn make_old(state: &Path) {
    let db = database(state);
    let mut batch = Batch::default();
    let mut kinds = BTreeMap::new();
    for record in db.scan(b"") {
        let (key, payload) = record.expect("readable");
        if OF_THEIR_OWN.contains(&key[0]) {
            continue;
        }
        if key[0] == SHARED {
            batch.remove(&key);
            continue;
        }
        assert_eq!(payload[0], v2::FORMAT);
        batch.put(&key, &old_record(key[0], &payload[1..]));
        *kinds.entry(char::from(key[0])).or_insert(0) += 1;
    }
    db.apply(batch).expect("applied");
    db.flush().expect("flushed");
    let seen: String = kinds.keys().collect();
    assert_eq!(seen, "acegmt", "{kinds:?}");
    let marker = state.join("manifest.json");
    let text = fs::read_to_string(&marker).expect("it is there");
    assert!(text.starts_with("{\"format\":2,"), "{text}");
    fs::write(marker, text.replacen(":2", ":1", 1)).expect("it is ours");
}

fn old_record(kind: u8, bytes: &[u8]) -> Vec<u8> {
    let old = match kind {
        b'e' => postcard::to_stdvec(&old_entry(read(bytes))),
        b'c' => {
            let v2::Change { before, after } = read(bytes);
            postcard::to_stdvec(&v1::Change {
                before: before.map(old_entry),
                after: old_entry(after),
            })
        }
        b't' => {
            let tier: v2::TierState = read(bytes);
            postcard::to_stdvec(&v1::TierState {
                watermark: tier.watermark,
                verified: tier.verified,
                epoch: tier.epoch,
                claiming: tier.claiming,
                etag: tier.etag,
                listed_up_to: tier.listed_up_to,
                head: tier.head,
            })
        }
        _ => Ok(bytes.to_vec()),
    };
    [vec![v1::FORMAT], old.expect("plain")].concat()
}

fn old_entry(entry: v2::Entry) -> v1::Entry {
    v1::Entry {
        outcome: entry.outcome,
        changed: entry.changed,
        first: entry.first,
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
    postcard::from_bytes(bytes).expect("it was just written")
}

/// What a crawl of the first version leaves that was killed after it had found a page gone: were it read, the
/// next run would go on from it and withdraw the page.
fn leave_old_frontier(world: &World) {
    let scope = world.manifest().about().scope;
    // Run, scope, that the seeds were planted, the cursor, the counts, the troubles.
    let run = RunId("20261121T104500Z-00c0ffee".into());
    let position = (run, scope, true, "i", [0_u64; 16], Vec::<()>::new());
    let gone = (
        0_u8, // the variant that says "outcome"
        v1::Outcome::Gone(v1::Gone { status: 410 }),
        None::<v1::Located>,
    );
    let mut batch = Batch::default();
    batch.put(b"m", &old(&position));
    let key = format!("o{}", world.origin.url("/a"));
    batch.put(key.as_bytes(), &old(&gone));
    let dir = world.config.state.dir.join("frontier");
    let db = Db::open(&dir, CACHE_BYTES, Fuse::none()).expect("it opens");
    db.apply(batch).expect("applied");
    db.flush().expect("flushed");
}

fn old<T: Serialize>(record: &T) -> Vec<u8> {
    let bytes = postcard::to_stdvec(record).expect("plain");
    [vec![v1::FORMAT], bytes].concat()
}

fn probes(world: &World) -> usize {
    let seen = world.s3.seen();
    let puts = seen.iter().filter(|seen| seen.method == "PUT");
    puts.filter(|seen| seen.path.contains(".standin/probe"))
        .count()
}

#[test]
fn a_mirror_of_the_first_format_goes_on_as_if_nothing_had_happened() {
    // Promise: after an upgrade the first run puts, re-headers and deletes nothing and commits nothing; an edit
    // costs one put a tier; only what changed is written in the new format.
    let mut world = grown();
    let state = world.config.state.dir.clone();
    leave_old_frontier(&world);
    make_old(&state);
    let before = formats(&state);
    world.s3.forget();

    let report = run(&mut world);
    assert!(!report.resumed, "the old frontier was read");
    assert_eq!(report.generation, Generation(2));
    assert_eq!(
        (report.crawl.new, report.crawl.changed, report.crawl.gone),
        (0, 0, 0)
    );
    assert_eq!(report.crawl.kept, 4);
    assert_eq!(operations(&report), [0, 0]);
    assert_eq!(probes(&world), 0);
    let marker = fs::read_to_string(state.join("manifest.json")).expect("it is there");
    assert!(marker.starts_with("{\"format\":2,"), "{marker}");
    let is_entry = |key: &&Vec<u8>| matches!(key[0], b'e' | b'c' | b'g');
    let after = formats(&state);
    assert!(before.keys().filter(is_entry).all(|key| after[key] == 1));

    let begun = time::OffsetDateTime::now_utc().unix_timestamp();
    world.origin.set("/a", Page::html("<p>A"));
    let report = run(&mut world);
    assert_eq!(
        (report.generation, report.crawl.changed),
        (Generation(3), 1)
    );
    assert_eq!(operations(&report), [1, 1]);
    let probed = probes(&world);
    assert!(probed > 0, "what the tier can do was not recorded");
    let after = formats(&state);
    let edited = format!("e{}", world.origin.url("/a")).into_bytes();
    for key in before.keys().filter(is_entry) {
        assert_eq!(
            after[key],
            if *key == edited { 2 } else { 1 },
            "{}",
            key.escape_ascii()
        );
    }
    let entry = |path: &str| {
        let url = PageUrl::parse(&world.origin.url(path)).expect("a URL");
        world
            .manifest()
            .entry(&url)
            .expect("readable")
            .expect("there")
    };
    assert!(entry("/a").fetched.is_some_and(|at| at >= begun));
    assert_eq!(entry("/a").first, Generation(1));
    assert_eq!(entry("/b").fetched, None);
    for (name, etag) in [(LOCAL, EtagKind::Content), (REMOTE, EtagKind::Md5)] {
        let name = TierName::parse(name).expect("a name");
        let tier = world.manifest().tier(&name).expect("readable");
        assert_eq!(tier.etag, etag);
        assert!(tier.capabilities.is_some_and(|can| can.conditional_writes));
    }

    world.origin.set("/b", Page::html("<p>B"));
    assert_eq!(operations(&run(&mut world)), [1, 1]);
    assert_eq!(probes(&world), probed, "once is enough");
    assert_eq!(operations(&run(&mut world)), [0, 0]);
}

#[test]
fn a_commit_that_the_first_version_left_half_done_is_taken_back_and_made_again() {
    // Promise: killed under the first version in the middle of a commit, upgraded, run: the edit is committed
    // once, and put once a tier.
    let mut world = grown();
    world.origin.set("/a", Page::html("<p>A"));
    let half_done = |world: &World| {
        let is_open = world.manifest().unfinished().is_some();
        let row = [&b"c"[..], &3_u64.to_be_bytes()].concat();
        let formats = formats(&world.config.state.dir);
        is_open && formats.keys().any(|key| key.starts_with(&row))
    };
    for passes in 0.. {
        assert!(world.run(&Fuse::after(passes)).is_err(), "it has ended");
        if half_done(&world) {
            break;
        }
    }
    let state = world.config.state.dir.clone();
    fs::remove_dir_all(state.join("frontier")).expect("it is there");
    leave_old_frontier(&world);
    make_old(&state);

    let report = run(&mut world);
    assert_eq!(
        (report.generation, report.crawl.changed),
        (Generation(3), 1)
    );
    assert_eq!(operations(&report), [1, 1]);
    assert_eq!(world.manifest().unfinished(), None);
    assert_eq!(operations(&run(&mut world)), [0, 0]);
}
