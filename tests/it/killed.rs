//! Promise: killed at any instant, it converges. The binary is killed by SIGKILL at every named place of a durable
//! write, in a first run and in a run that finds changes; the run after it must end in the same state as one that
//! nobody disturbed: the same files with the same side files, the same objects with the same metadata, the same
//! entries, whole checkpoints, nothing owed and nothing in doubt, and every page's bytes in the store.
//!
//! The places are read out of the source, so that a new one without a kill here fails the test; so does a kill
//! that never comes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use standin::config::TierName;
use standin::db::Fuse;
use standin::manifest::{EtagKind, Manifest, checkpoint};
use standin::site::{Layout, LayoutName, PageUrl};
use standin::store::Store;
use standin::sync::Head;

use crate::support::binary::{
    Mirror, Ran, bucket_tier, folder_tier, key_start, paths_below, site, until,
};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::S3Server;

const SIGKILL: i32 = 9;

/// Kills under way at once. A run mostly waits for the disk.
const WORKERS: usize = 6;

/// `PLACE:N` kills at the N-th pass of that place, `N` at the N-th of any.
const IN_A_FIRST_RUN: &[&str] = &[
    "manifest.marker:1",
    "manifest.marker:2",
    "manifest.marker:4",
    "manifest.marker:5",
    "manifest.marker:6",
    "db.apply:1",
    "db.apply:2",
    "db.apply:7",
    "db.apply:11",
    "db.apply:13",
    "db.apply:16",
    "db.flush:1",
    "db.flush:2",
    "db.flush:8",
    "db.flush:15",
    "db.flushed:1",
    "db.flushed:2",
    "db.flushed:5",
    "db.flushed:11",
    "db.flushed:17",
    "store.append:1",
    "store.append:2",
    "store.appended:1",
    "store.appended:2",
    "store.file:1",
    "tier.claim:1",
    "tier.claim:2",
    "tier.claimed:1",
    "tier.claimed:2",
    "tier.probed:1",
    "tier.probed:2",
    "tier.write:1",
    "tier.write:2",
    "tier.write:20",
    "tier.written:1",
    "tier.written:19",
    "tier.written:28",
    "tier.settle:1",
    "tier.settle:3",
    "audit.unmark:1",
    "audit.unmark:2",
    "tier.checkpoint:1",
    "tier.checkpoint:2",
    "tier.head:1",
    "tier.head:2",
    "db.word:1",
    "manifest.standing:1",
    "manifest.stands:1",
    "checkpoint.part:1",
    "checkpoint.part:2",
    "checkpoint.index:1",
];

/// In a run that finds an edit of the same size, other headers, a new page, one that is gone (410), one that is
/// missing (404) and a redirect that leads elsewhere.
const IN_A_RUN_WITH_CHANGES: &[&str] = &[
    "manifest.marker:1",
    "manifest.marker:2",
    "db.apply:1",
    "db.apply:2",
    "db.apply:6",
    "db.apply:9",
    "db.apply:12",
    "db.apply:20",
    "db.flush:1",
    "db.flush:3",
    "db.flush:4",
    "db.flush:12",
    "db.flushed:1",
    "db.flushed:2",
    "db.flushed:6",
    "db.flushed:9",
    "db.flushed:15",
    "store.append:1",
    "store.append:2",
    "store.appended:1",
    "store.file:1",
    "tier.claim:1",
    "tier.claimed:1",
    "tier.claimed:2",
    "tier.write:1",
    "tier.write:7",
    "tier.written:1",
    "tier.written:6",
    "tier.written:12",
    "tier.settle:1",
    "tier.settle:3",
    "tier.settle:6",
    "tier.delete:1",
    "tier.delete:2",
    "audit.unmark:1",
    "audit.unmark:2",
    "tier.checkpoint:1",
    "tier.checkpoint:2",
    "tier.head:1",
    "tier.head:2",
    "db.word:1",
    "manifest.standing:1",
    "manifest.stands:1",
];

/// With `keep = "until-confirmed"`, whose run ends by emptying the store.
const WHERE_THE_STORE_IS_EMPTIED: &[&str] = &["store.clear:1"];

/// The origin and the service that all mirrors of a test share: what they hold must be equal to the port.
struct World {
    origin: Origin,
    server: S3Server,
    settings: &'static str,
}

/// Everything that must not depend on a kill.
#[derive(PartialEq, Debug)]
struct State {
    /// Bodies and side files of the folder.
    folder: BTreeMap<String, Vec<u8>>,
    /// Bytes and metadata of the objects.
    bucket: BTreeMap<String, (Vec<u8>, String)>,
    /// What each URL answers.
    entries: BTreeMap<String, String>,
    pending: BTreeMap<String, String>,
    /// Whether the store has the body of each page.
    stored: BTreeMap<String, bool>,
    /// What was found out about each tier's ETags.
    etags: [EtagKind; 2],
}

impl World {
    fn new(settings: &'static str) -> World {
        let origin = Origin::start();
        build_site(&origin);
        World {
            origin,
            server: S3Server::start(&[]),
            settings,
        }
    }

    fn config(&self, bucket: &str) -> String {
        [
            site(&self.origin),
            self.settings.to_owned(),
            folder_tier("folder"),
            bucket_tier("bucket", &self.server, bucket),
        ]
        .concat()
    }

    /// A mirror whose bucket has the same name.
    fn mirror(&self, name: &str) -> Mirror {
        self.server.clear(name);
        Mirror::new(&self.config(name))
    }

    fn copy(&self, mirror: &Mirror, from: &str, name: &str) -> Mirror {
        self.server.copy_bucket(from, name);
        mirror.copied(&self.config(name))
    }

    /// Kills a run of the mirror, lets another one go through, and compares.
    fn kill_and_compare(&self, mirror: &Mirror, bucket: &str, at: &str, undisturbed: &State) {
        let killed = mirror.run_killed(at, &["run", "--json"]);
        assert_eq!(
            killed.signal,
            Some(SIGKILL),
            "{at} was not reached: {killed:#?}"
        );
        let report = well(mirror.run(&["run", "--json"]));
        let found = self.state(mirror, bucket);
        let differences = found.differences(undisturbed);
        assert!(differences.is_empty(), "{at}: {differences:#?}\n{report:#}");
    }

    fn state(&self, mirror: &Mirror, bucket: &str) -> State {
        let layout = Layout::new(LayoutName::Plain, []);
        let manifest = Manifest::open(&mirror.path("state"), &layout, Fuse::none());
        let manifest = manifest.expect("nobody has it open");
        let mut folder = mirror.files("tiers/folder");
        let small = take_small(&mut folder, "");
        folder.values_mut().for_each(take_time);
        let mut objects = self.server.objects(bucket);
        let small_of_bucket = take_small(&mut objects, "copy/");
        let etags = [
            is_settled(&manifest, "folder", &small),
            is_settled(&manifest, "bucket", &small_of_bucket),
        ];
        let bucket = objects.into_iter().map(|(key, bytes)| {
            let stored = self.server.object(bucket, &key);
            let mut headers = stored.expect("it was listed").headers;
            headers.metadata.remove("standin-fetched");
            (key, (bytes, format!("{headers:?}")))
        });
        let mut state = State {
            folder,
            bucket: bucket.collect(),
            entries: outcomes(&manifest),
            pending: BTreeMap::new(),
            stored: stored(&manifest, &mirror.path("state/store")),
            etags,
        };
        for pending in manifest.pending() {
            let (url, pending) = pending.expect("it can be read");
            state
                .pending
                .insert(url.to_string(), format!("{pending:?}"));
        }
        one_strike_a_crawl(&manifest, &self.origin);
        state
    }
}

/// When an answer was fetched is the one thing that two mirrors of a site need not agree on.
fn take_time(file: &mut Vec<u8>) {
    if let Ok(mut side) = serde_json::from_slice::<serde_json::Value>(file)
        && let Some(provenance) = side.get_mut("provenance")
    {
        provenance["fetched"].take();
        *file = side.to_string().into_bytes();
    }
}

impl State {
    fn differences(&self, other: &State) -> Vec<String> {
        let mut found = Vec::new();
        compare("file", &self.folder, &other.folder, &mut found);
        compare("object", &self.bucket, &other.bucket, &mut found);
        compare("entry", &self.entries, &other.entries, &mut found);
        compare("pending", &self.pending, &other.pending, &mut found);
        compare("blob", &self.stored, &other.stored, &mut found);
        if self.etags != other.etags {
            found.push(format!("ETags: {:?} {:?}", self.etags, other.etags));
        }
        found
    }
}

fn compare<T: PartialEq + Debug>(
    what: &str,
    found: &BTreeMap<String, T>,
    expected: &BTreeMap<String, T>,
    differences: &mut Vec<String>,
) {
    for name in found.keys().chain(expected.keys()).collect::<BTreeSet<_>>() {
        let (found, expected) = (found.get(name), expected.get(name));
        if found != expected {
            let text = format!("{what} {name}: {found:.200?}, undisturbed {expected:.200?}");
            differences.push(text.chars().take(600).collect());
        }
    }
}

/// A run that ended well.
#[track_caller]
fn well(ran: Ran) -> Value {
    let report = ran.expect(0).json();
    assert_eq!(report["verdict"], "ok", "{report:#}");
    report
}

/// Takes the small objects out of a tier's: head and checkpoints are returned by name, locks and what a killed
/// process left half written are dropped.
fn take_small(objects: &mut BTreeMap<String, Vec<u8>>, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let mut small = BTreeMap::new();
    for (name, bytes) in std::mem::take(objects) {
        let plain = name
            .strip_prefix(prefix)
            .expect("the tier keeps to its prefix");
        let is_page = !plain.starts_with(".standin/")
            || plain.starts_with(".standin/meta/")
            || plain.starts_with(".standin/overflow/");
        if is_page {
            objects.insert(name, bytes);
        } else if plain != ".standin/lock" && !plain.starts_with(".standin/tmp/") {
            small.insert(plain.to_owned(), bytes);
        }
    }
    small
}

/// Nothing is owed or in doubt, everything is proven, and the head names a checkpoint that is whole and says the
/// same as the manifest.
fn is_settled(manifest: &Manifest, name: &str, small: &BTreeMap<String, Vec<u8>>) -> EtagKind {
    let tier = TierName::parse(name).expect("a name");
    let state = manifest.tier(&tier).expect("it can be read");
    let generation = manifest.generation();
    assert_eq!(
        (state.watermark, state.head),
        (generation, generation),
        "{name}"
    );
    assert_eq!(
        state.verified.map(|proof| proof.generation),
        Some(generation),
        "{name}"
    );
    assert_eq!(state.claiming, None, "{name}");
    assert_eq!(
        manifest.intent(&tier).expect("it can be read"),
        None,
        "{name}"
    );
    assert_eq!(manifest.debts(&tier).count(), 0, "{name}");
    assert_eq!(manifest.marks(&tier).count(), 0, "{name}");

    let head: Head = serde_json::from_slice(&small[".standin/head"]).expect("the head is JSON");
    assert_eq!(
        (head.generation, head.epoch),
        (generation, state.epoch),
        "{name}"
    );
    let mut rows = BTreeMap::new();
    let mut named = BTreeSet::from([".standin/head"]);
    for kept in std::iter::once(&head.checkpoint).chain(&head.earlier) {
        named.extend(kept.parts().map(|part| part.name.as_str()));
    }
    for part in head
        .checkpoint
        .base
        .iter()
        .chain(&head.checkpoint.increments)
    {
        let entries = checkpoint::read_part(part, &small[&part.name]).expect("a part is whole");
        rows.extend(
            entries
                .into_iter()
                .map(|(url, entry)| (url.to_string(), format!("{:?}", entry.outcome))),
        );
    }
    assert_eq!(rows, outcomes(manifest), "the checkpoint in {name}");
    let found: BTreeSet<_> = small.keys().map(String::as_str).collect();
    assert_eq!(found, named, "small objects that nobody names in {name}");
    state.etag
}

fn outcomes(manifest: &Manifest) -> BTreeMap<String, String> {
    let entries = manifest
        .entries(None)
        .map(|entry| entry.expect("it can be read"));
    entries
        .map(|(url, entry)| (url.to_string(), format!("{:?}", entry.outcome)))
        .collect()
}

/// Whether the bytes of each page are in the store; where the index says so, they must be.
fn stored(manifest: &Manifest, store: &Path) -> BTreeMap<String, bool> {
    let store = Store::open(store, Fuse::none()).expect("it opens");
    let mut stored = BTreeMap::new();
    for entry in manifest.entries(None) {
        let (url, entry) = entry.expect("it can be read");
        let Some(page) = entry.outcome.page() else {
            continue;
        };
        let located = manifest.locate(&page.content).expect("it can be read");
        if let Some(located) = &located {
            let size = match store.path(located) {
                Some(path) => path.metadata().expect("the file is there").len(),
                None => store.read(located).expect("the bytes are right").len() as u64,
            };
            assert_eq!(size, page.size, "{url}");
        }
        stored.insert(url.to_string(), located.is_some());
    }
    stored
}

/// A killed crawl and the one that goes on from it are one crawl: each committed crawl that saw the missing page
/// missing has left one strike, and none has left two.
fn one_strike_a_crawl(manifest: &Manifest, origin: &Origin) {
    let url = PageUrl::parse(&origin.url("/missing")).expect("a URL");
    let missing = manifest.missing(&url).expect("it can be read");
    if let Some(missing) = missing {
        let with_changes = manifest.about().crawls - 1;
        assert_eq!(u64::from(missing.strikes), with_changes);
    }
}

fn build_site(origin: &Origin) {
    let links = [
        "a/",
        "b/",
        "c/",
        "d/",
        "style.css",
        "large.bin",
        "typed",
        "edited",
        "withdrawn",
        "missing",
        "moved",
        "nowhere",
    ];
    let home: String = links
        .iter()
        .map(|link| format!("<a href=/{link}>x</a>"))
        .collect();
    origin.set(
        "/robots.txt",
        Page::new("text/plain", "User-agent: *\nDisallow: /no\n").etag("\"r\""),
    );
    origin.set("/", Page::html(home).etag("\"home\""));
    for path in ["/a/", "/b/", "/c/", "/typed", "/withdrawn", "/missing"] {
        origin.set(
            path,
            Page::html(format!("<p>This is {path}</p>")).etag("\"1\""),
        );
    }
    // Late enough for the writer to have made a group of what came before.
    let late = Page::html("<a href=/deep>deep</a>")
        .etag("\"1\"")
        .delayed(Duration::from_millis(120));
    origin.set("/d/", late);
    origin.set("/deep", Page::html("<p>deep</p>").etag("\"1\""));
    origin.set("/edited", Page::html("<a href=/a/>A</a>").etag("\"1\""));
    origin.set(
        "/style.css",
        Page::new("text/css", "p { color: red }").etag("\"1\""),
    );
    // Above the budget for bodies in memory, so that it becomes a file of its own.
    origin.set(
        "/large.bin",
        Page::new("application/octet-stream", vec![7; 1_200_000]).etag("\"1\""),
    );
    origin.set("/moved", Page::redirect(301, "/a/"));
}

fn edit_site(origin: &Origin) {
    origin.set("/edited", Page::html("<a href=/n/>A</a>").etag("\"2\""));
    origin.set("/n/", Page::html("<p>new</p>").etag("\"1\""));
    origin.set(
        "/typed",
        Page::new("text/plain", "<p>This is /typed</p>").etag("\"2\""),
    );
    origin.set(
        "/style.css",
        Page::new("text/css", "p { color: tan }").etag("\"2\""),
    );
    origin.set(
        "/large.bin",
        Page::new("application/octet-stream", vec![8; 1_200_000]).etag("\"2\""),
    );
    origin.set("/withdrawn", Page::html("").status(410));
    origin.set("/missing", Page::html("").status(404));
    origin.set("/moved", Page::redirect(302, "/b/"));
}

/// Calls `check` for each place, some at once, with a name for the mirror.
fn for_each(places: &[&str], check: impl Fn(&str, &str) + Sync) {
    let queue = Mutex::new(places.iter().enumerate());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("taking does not panic").next();
                    let Some((number, at)) = next else { return };
                    check(at, &format!("killed-{number}"));
                }
            });
        }
    });
}

const SETTINGS: &str = "[crawl]\nmemory = \"1MiB\"\n[guard]\nmissing_runs = 9\n";
const NOTHING_KEPT: &str =
    "[crawl]\nmemory = \"1MiB\"\n[guard]\nmissing_runs = 9\n[state]\nkeep = \"until-confirmed\"\n";

/// Killed in `audit.rs`, which says what comes of it.
const IN_AN_AUDIT: &[&str] = &["audit.page:3"];

#[test]
fn every_place_of_the_source_is_killed_at() {
    // A pass is `….pass("place")`; those of the fuse's own tests are not meant. What only happens after a loss is
    // killed at every single pass in `rebuild.rs`.
    let mut places = BTreeSet::new();
    for path in paths_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        if path.ends_with("fuse.rs") {
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("it is ours")).into_owned();
        for call in text.split(".pass(\"").skip(1) {
            let place = call.split('"').next().expect("there is one");
            if !place.starts_with("rebuild.") && place != "store.remove" {
                places.insert(place.to_owned());
            }
        }
    }
    let tables = [
        IN_A_FIRST_RUN,
        IN_A_RUN_WITH_CHANGES,
        WHERE_THE_STORE_IS_EMPTIED,
        IN_AN_AUDIT,
    ];
    let killed = tables.iter().flat_map(|table| table.iter());
    let killed = killed.map(|at| at.split(':').next().expect("there is one").to_owned());
    assert_eq!(killed.collect::<BTreeSet<_>>(), places);
}

#[test]
fn a_first_run_killed_anywhere_ends_like_one_that_was_not() {
    let world = World::new(SETTINGS);
    let twin = world.mirror("twin");
    well(twin.run(&["run", "--json"]));
    let undisturbed = world.state(&twin, "twin");
    for_each(IN_A_FIRST_RUN, |at, name| {
        world.kill_and_compare(&world.mirror(name), name, at, &undisturbed);
    });
}

#[test]
fn a_run_with_changes_killed_anywhere_ends_like_one_that_was_not() {
    let world = World::new(SETTINGS);
    let before = world.mirror("before");
    well(before.run(&["run", "--json"]));
    edit_site(&world.origin);
    let twin = world.copy(&before, "before", "twin");
    let report = well(twin.run(&["run", "--json"]));
    assert_eq!(report["tiers"][0]["put"], 5, "{report:#}");
    let undisturbed = world.state(&twin, "twin");
    for_each(IN_A_RUN_WITH_CHANGES, |at, name| {
        let mirror = world.copy(&before, "before", name);
        world.kill_and_compare(&mirror, name, at, &undisturbed);
    });
}

#[test]
fn a_part_that_a_kill_left_without_a_head_goes_with_the_next_head() {
    let world = World::new(SETTINGS);
    let config = [
        site(&world.origin),
        SETTINGS.to_owned(),
        folder_tier("folder"),
    ];
    let mirror = Mirror::new(&config.concat());
    let killed = mirror.run_killed("tier.head:1", &["run", "--json"]);
    assert_eq!(killed.signal, Some(SIGKILL), "{killed:#?}");
    // As if the tier had been told of more ETags since: the part of the next run has another name.
    let left = "tiers/folder/.standin/checkpoint/0000000001-00000-0123456789abcdef";
    std::fs::write(mirror.path(left), "left").expect("the folder is there");
    well(mirror.run(&["run", "--json"]));
    assert!(!mirror.path(left).exists());
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest = Manifest::open(&mirror.path("state"), &layout, Fuse::none());
    let manifest = manifest.expect("nobody has it open");
    is_settled(
        &manifest,
        "folder",
        &take_small(&mut mirror.files("tiers/folder"), ""),
    );
}

#[test]
fn a_store_killed_while_it_is_emptied_is_empty_in_the_end() {
    let world = World::new(NOTHING_KEPT);
    let twin = world.mirror("twin");
    well(twin.run(&["run", "--json"]));
    let undisturbed = world.state(&twin, "twin");
    assert!(undisturbed.stored.values().all(|stored| !stored));
    for_each(WHERE_THE_STORE_IS_EMPTIED, |at, name| {
        let mirror = world.mirror(name);
        world.kill_and_compare(&mirror, name, at, &undisturbed);
        let left = paths_below(&mirror.path("state/store"));
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "{at}");
    });
}

#[test]
fn a_run_killed_again_and_again_gets_there() {
    // Each run is killed a little later than the one before, wherever that is; none of them ends by itself.
    let world = World::new(SETTINGS);
    let twin = world.mirror("twin");
    well(twin.run(&["run", "--json"]));
    let undisturbed = world.state(&twin, "twin");
    let mirror = world.mirror("poor");
    for at in ["2", "5", "9", "14", "20", "27", "35", "38"] {
        let killed = mirror.run_killed(at, &["run", "--json"]);
        assert_eq!(killed.signal, Some(SIGKILL), "{at}: {killed:#?}");
    }
    well(mirror.run(&["run", "--json"]));
    let differences = world.state(&mirror, "poor").differences(&undisturbed);
    assert!(differences.is_empty(), "{differences:#?}");
}

#[test]
fn a_run_killed_from_outside_is_gone_on_with() {
    // Killed while it waits for a page: its lock ends with it, `status` says so, and the next run is the same run.
    let world = World::new(SETTINGS);
    world.origin.set(
        "/deep",
        Page::html("<p>deep</p>").delayed(Duration::from_secs(5)),
    );
    let mirror = world.mirror("bucket");
    let running = mirror.start(&["run", "--json"]);
    let asked = |path: &str| {
        world
            .origin
            .requests()
            .iter()
            .any(|(_, asked, _)| asked == path)
    };
    until("/deep is asked for", || asked("/deep"));
    assert_eq!(running.kill().signal, Some(SIGKILL));
    let status = mirror.run(&["status", "--json"]).expect(0).json();
    assert_eq!(
        (&status["running"], &status["finished"]),
        (&Value::Null, &Value::Null)
    );
    let begun = status["latest"]["report"]["run_id"].clone();

    world.origin.set("/deep", Page::html("<p>deep</p>"));
    let report = well(mirror.run(&["run", "--json"]));
    assert_eq!(
        (&report["run_id"], &report["resumed"]),
        (&begun, &json!(true))
    );
    let deep = format!("{}deep", key_start(&world.origin));
    assert!(mirror.objects("tiers/folder").contains_key(&deep));
    let found = world.state(&mirror, "bucket");
    let twin = world.mirror("twin");
    well(twin.run(&["run", "--json"]));
    let differences = found.differences(&world.state(&twin, "twin"));
    assert!(differences.is_empty(), "{differences:#?}");
}
