//! Promise: `standin publish DIR` does with a folder what a run does with a site. What was written there reaches
//! every tier, and nothing else does; only what changed is sent, whatever sizes and times say; a file that vanished
//! is withdrawn, under the guards; what could not be looked at loses nothing; killed anywhere, it converges.
//!
//! The real binary, two folders and an S3 server. Files read and requests made are counted.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::binary::{
    Mirror, Ran, bucket_tier, finish, folder_tier, key_start, paths_below, site, until,
};
use crate::support::faults::Harm;
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server};

const SIGKILL: i32 = 9;

/// How long after its last change a file counts as settled; a little more than the tick that is allowed for.
const TICK: Duration = Duration::from_millis(120);

/// Larger than what is kept in memory: it becomes a file of its own in the store.
const LARGE: usize = 9 << 20;

/// So large that somebody who writes without a pause has his turn while it is read, on however busy a machine.
const LONG_TO_READ: usize = 64 << 20;

fn settings() -> String {
    "[site]\nhosts = [\"www.test\"]\n".to_owned()
}

/// A mirror with one folder tier and the folder `site` to be published.
fn mirror(files: &[(&str, &str)]) -> Mirror {
    let mirror = Mirror::new(&(settings() + &folder_tier("one")));
    fs::create_dir(mirror.path("site")).expect("it is ours");
    for (name, text) in files {
        write(&mirror, name, text.as_bytes());
    }
    mirror
}

/// Gives the mirror other settings.
fn configure(mirror: &Mirror, more: &str) {
    let config = settings() + more + &folder_tier("one");
    fs::write(mirror.path("standin.toml"), config).expect("it is ours");
}

fn write(mirror: &Mirror, name: &str, bytes: &[u8]) {
    let path = mirror.path("site").join(name);
    fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
    fs::write(path, bytes).expect("it is ours");
}

/// Waits until no file of the folder can be changed without its times showing it.
fn settle(mirror: &Mirror) {
    let changed = |path: &Path| {
        let metadata = fs::symlink_metadata(path).expect("it is there");
        let since = Duration::new(
            metadata.ctime().try_into().expect("after 1970"),
            metadata.ctime_nsec().try_into().expect("below a second"),
        );
        SystemTime::UNIX_EPOCH + since
    };
    let paths = paths_below(&mirror.path("site"));
    let newest = paths.iter().map(|path| changed(path)).max();
    let newest = newest.expect("there are files");
    until("the clock goes on", || SystemTime::now() > newest + TICK);
}

fn publish(mirror: &Mirror) -> Ran {
    mirror.run(&["publish", "site", "--json"])
}

#[track_caller]
fn published(mirror: &Mirror) -> Value {
    let report = publish(mirror).expect(0).json();
    assert_eq!(report["verdict"], "ok", "{report:#}");
    report
}

/// Some counts of a report, in the order asked for.
fn counts(report: &Value, names: [&str; 4]) -> [u64; 4] {
    names.map(|name| report["crawl"][name].as_u64().expect("it is counted"))
}

const READ: [&str; 4] = ["fetched", "not_modified", "unchanged", "errors"];
const FOUND: [&str; 4] = ["new", "changed", "gone", "refused"];

fn objects(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let key = |name: &str| format!("www.test/{name}");
    let pairs = files.iter();
    pairs
        .map(|(name, text)| (key(name), text.as_bytes().to_vec()))
        .collect()
}

const SITE: &[(&str, &str)] = &[
    ("index.html", "<a href=/a/>a</a>"),
    ("a/index.html", "<p nonce=1>a"),
    ("a.html", "<p>another"),
    ("style.css", "p {}"),
    (".well-known/security.txt", "Contact: us"),
];

#[test]
fn every_tier_gets_the_folder_and_a_second_publish_reads_and_sends_nothing() {
    let server = S3Server::start(&["bucket"]);
    // Later than the folders, so that bodies are wanted at different times.
    let slow = Harm::Slow(Duration::from_millis(5));
    server.harm(usize::MAX, |_| true, slow);
    let tiers = folder_tier("one") + &folder_tier("two") + &bucket_tier("three", &server, "bucket");
    let mirror = Mirror::new(&(settings() + &tiers));
    for (name, text) in SITE {
        write(&mirror, name, text.as_bytes());
    }
    write(&mirror, ".git/config", b"secret");
    settle(&mirror);
    mirror.run(&["config", "check"]).expect(0);
    let report = published(&mirror);
    assert_eq!(counts(&report, READ), [5, 0, 0, 0]);
    assert_eq!(counts(&report, FOUND), [5, 0, 0, 0]);
    for tier in ["one", "two"] {
        assert_eq!(mirror.objects(&format!("tiers/{tier}")), objects(SITE));
    }
    for (key, bytes) in objects(SITE) {
        let stored = server.object("bucket", &format!("copy/{key}"));
        assert_eq!(stored.expect("it was sent").data, bytes, "{key}");
    }
    let sides = mirror.side_files("tiers/one");
    assert_eq!(sides["www.test/a/index.html"]["url"], "https://www.test/a/");

    server.forget();
    let report = published(&mirror);
    assert_eq!(counts(&report, READ), [0, 5, 0, 0]);
    assert_eq!(counts(&report, FOUND), [0, 0, 0, 0]);
    for tier in report["tiers"].as_array().expect("three") {
        assert_eq!((&tier["put"], &tier["reheadered"]), (&json!(0), &json!(0)));
    }
    let about_objects = server.seen().into_iter();
    let about_objects = about_objects
        .filter(|seen| seen.about == About::Object && !seen.path.ends_with("/.standin/head"));
    assert_eq!(about_objects.count(), 0);
}

#[test]
fn content_decides_and_not_size_or_time() {
    // An edit that keeps size and modification time, made right behind a publish and long after one; and a file
    // that was only touched.
    let mirror = mirror(&[("index.html", "one"), ("other", "x")]);
    let index = mirror.path("site/index.html");
    let modified = fs::metadata(&index).and_then(|about| about.modified());
    let modified = modified.expect("it has a time");
    for text in ["two", "six", "ten"] {
        published(&mirror);
        write(&mirror, "index.html", text.as_bytes());
        let file = File::options()
            .write(true)
            .open(&index)
            .expect("it is there");
        file.set_modified(modified).expect("it is ours");
        let report = published(&mirror);
        assert_eq!(counts(&report, FOUND), [0, 1, 0, 0], "{text}");
        assert_eq!(report["tiers"][0]["put"], 1);
        let stored = mirror.objects("tiers/one");
        assert_eq!(stored["www.test/index.html"], text.as_bytes());
        settle(&mirror);
    }
    let before = published(&mirror);
    let file = File::options()
        .write(true)
        .open(&index)
        .expect("it is there");
    file.set_modified(SystemTime::now()).expect("it is ours");
    settle(&mirror);
    let report = published(&mirror);
    assert_eq!(counts(&report, READ), [1, 1, 1, 0]);
    assert_eq!(report["generation"], before["generation"]);
    assert_eq!(report["tiers"][0]["put"], 0);
}

#[test]
fn a_file_that_vanished_is_withdrawn_under_the_guards() {
    let names: Vec<String> = (0..40)
        .map(|number| format!("{number:02}/index.html"))
        .collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let mirror = mirror(&files);
    published(&mirror);
    let remove = |number: usize| fs::remove_file(mirror.path("site").join(&names[number]));
    remove(7).expect("it is there");
    let report = published(&mirror);
    assert_eq!(counts(&report, FOUND), [0, 0, 1, 0]);
    assert_eq!(report["tiers"][0]["deleted"], 1);
    assert!(
        !mirror
            .objects("tiers/one")
            .contains_key("www.test/07/index.html")
    );

    // Fifteen of 39 are more than ten and more than five in a hundred.
    (10..25).for_each(|number| remove(number).expect("it is there"));
    let report = publish(&mirror).expect(1).json();
    let reason = report["reasons"][0].as_str().expect("there is one");
    assert!(reason.contains("guard.deletes_max"), "{reason}");
    assert_eq!(mirror.objects("tiers/one").len(), 39);

    // More than half: this may be another folder altogether.
    (25..38).for_each(|number| remove(number).expect("it is there"));
    let report = publish(&mirror).expect(2).json();
    let reason = report["reasons"][0].as_str().expect("there is one");
    assert!(reason.contains("guard.coverage_min"), "{reason}");
    assert_eq!(mirror.objects("tiers/one").len(), 39);
}

#[test]
fn an_empty_or_missing_folder_withdraws_nothing() {
    let mirror = mirror(SITE);
    published(&mirror);
    fs::remove_dir_all(mirror.path("site")).expect("it is ours");
    let missing = publish(&mirror).expect(2).json();
    assert!(
        missing["error"]
            .as_str()
            .expect("an error")
            .contains("No such file")
    );
    fs::create_dir_all(mirror.path("site/.git/refs")).expect("it is ours");
    let empty = publish(&mirror).expect(2).json();
    assert!(
        empty["error"]
            .as_str()
            .expect("an error")
            .contains("no file")
    );
    assert_eq!(mirror.objects("tiers/one"), objects(SITE));
    for (name, text) in SITE {
        write(&mirror, name, text.as_bytes());
    }
    assert_eq!(counts(&published(&mirror), READ), [5, 0, 5, 0]);
}

#[test]
fn odd_names_keep_their_bytes_in_the_key() {
    let longest = "n".repeat(250) + ".html";
    let files = [
        ("a b/c d.html", "1"),
        ("100%.txt", "2"),
        ("a%2Fb", "3"),
        ("a+b.css", "4"),
        ("grüße/ü.html", "5"),
        ("what?.html", "6"),
        ("c#.html", "7"),
        ("'quoted' [x] ^|~.html", "8"),
        ("\\back`{}<>\".html", "9"),
        ("...", "10"),
        (&longest, "11"),
        ("index.html/x", "12"),
    ];
    let mirror = mirror(&files);
    let report = published(&mirror);
    assert_eq!(report["gateway_only"], 0);
    assert_eq!(mirror.objects("tiers/one"), objects(&files));
    // What no CDN can ask for is published all the same.
    write(&mirror, "line\nbreak", b"13");
    assert_eq!(published(&mirror)["gateway_only"], 1);
    fs::remove_file(mirror.path("site/line\nbreak")).expect("it is there");
    assert_eq!(counts(&published(&mirror), FOUND), [0, 0, 1, 0]);
}

#[test]
fn what_is_refused_is_told_and_withdraws_nothing() {
    let mirror = mirror(&[("index.html", "x"), ("a/x", "y"), ("b", "z")]);
    configure(&mirror, "[guard]\ncoverage_min = 0.1\n");
    published(&mirror);
    let before = mirror.objects("tiers/one");
    let site = mirror.path("site");
    fs::remove_dir_all(site.join("a")).expect("it is ours");
    fs::remove_file(site.join("b")).expect("it is ours");
    symlink("/etc", site.join("a")).expect("it is ours");
    symlink("/etc/passwd", site.join("b")).expect("it is ours");
    let report = published(&mirror);
    assert_eq!(counts(&report, FOUND), [0, 0, 0, 2]);
    assert_eq!(report["troubles"][0]["url"], "https://www.test/a/");
    let why = report["troubles"][1]["why"].as_str().expect("a text");
    assert!(why.contains("/etc/passwd, outside the folder"), "{why}");
    assert_eq!(mirror.objects("tiers/one"), before);
}

#[test]
fn what_cannot_be_read_withdraws_nothing() {
    let mirror = mirror(&[
        ("index.html", "i"),
        ("closed/a", "a"),
        ("closed/b/c", "c"),
        ("shut", "s"),
        ("gone", "g"),
    ]);
    configure(&mirror, "[guard]\ncoverage_min = 0.1\nerrors_max = 0.5\n");
    published(&mirror);
    fs::remove_file(mirror.path("site/gone")).expect("it is there");
    let modes = [("site/closed", 0o000), ("site/shut", 0o000)];
    for (name, mode) in modes {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(mirror.path(name), permissions).expect("it is ours");
    }
    let report = finish(as_nobody(&mirror)).expect(0).json();
    assert_eq!(counts(&report, READ)[3], 2, "{report:#}");
    assert_eq!(counts(&report, FOUND), [0, 0, 1, 0]);
    let left = mirror.objects("tiers/one");
    let left: Vec<&String> = left.keys().collect();
    let expected = ["closed/a", "closed/b/c", "index.html", "shut"];
    assert_eq!(
        left,
        expected
            .map(|name| format!("www.test/{name}"))
            .iter()
            .collect::<Vec<_>>()
    );
    let permissions = fs::Permissions::from_mode(0o700);
    fs::set_permissions(mirror.path("site/closed"), permissions).expect("it is ours");
}

/// A publish by somebody who is no superuser: nothing is closed to that one.
fn as_nobody(mirror: &Mirror) -> std::process::Command {
    const NOBODY: u32 = 65_534;
    let mut command = mirror.command(&["publish", "site", "--json"]);
    if rustix::process::geteuid().is_root() {
        chown(mirror.path(""), Some(NOBODY), None).expect("root may");
        for of_run in ["state", "tiers"] {
            give_away(&mirror.path(of_run), NOBODY);
        }
        command.uid(NOBODY);
    }
    command
}

fn give_away(path: &Path, owner: u32) {
    chown(path, Some(owner), None).expect("root may");
    if path.is_dir() {
        for below in fs::read_dir(path).expect("it is ours") {
            give_away(&below.expect("nobody changes it now").path(), owner);
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_keeps_its_last_good_copy() {
    let mirror = mirror(&[("index.html", "x")]);
    write(&mirror, "log", b"first");
    published(&mirror);
    write(&mirror, "log", &vec![b'x'; LONG_TO_READ]);
    let is_done = AtomicBool::new(false);
    let path = mirror.path("site/log");
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options()
                .append(true)
                .open(&path)
                .expect("it is there");
            while !is_done.load(Ordering::Relaxed) {
                file.write_all(b"x").expect("there is room");
            }
        });
        let ran = publish(&mirror);
        is_done.store(true, Ordering::Relaxed);
        ran.json()
    });
    assert_eq!(counts(&report, READ)[3], 1, "{report:#}");
    let why = report["troubles"][0]["why"].as_str().expect("a text");
    assert!(why.contains("changed while it was read"), "{why}");
    assert_eq!(mirror.objects("tiers/one")["www.test/log"], b"first");
    published(&mirror);
    let stored = mirror.objects("tiers/one");
    assert_eq!(
        stored["www.test/log"].len() as u64,
        fs::metadata(&path).expect("there").len()
    );
}

#[test]
fn a_crawled_site_can_be_published_over() {
    // Under the identity that the crawl has found: what is equal is not sent again.
    let origin = Origin::start();
    let html = || Page::new("text/html; charset=utf-8", "<a href=/a/>a</a>");
    origin.set(
        "/robots.txt",
        Page::new("text/plain; charset=utf-8", "User-agent: *"),
    );
    origin.set("/", html().etag("\"1\""));
    origin.set("/a/", html().header("cache-control", "max-age=60"));
    let mirror = Mirror::new(&(site(&origin) + &folder_tier("one")));
    mirror.run(&["run"]).expect(0);
    let before = mirror.objects("tiers/one");
    write(&mirror, "index.html", b"<a href=/a/>a</a>");
    write(&mirror, "a/index.html", b"<a href=/a/>a</a>");
    write(&mirror, "robots.txt", b"User-agent: *");
    let report = published(&mirror);
    assert_eq!(
        counts(&report, FOUND),
        [0, 1, 0, 0],
        "one had another header: {report:#}"
    );
    assert_eq!(report["tiers"][0]["put"], 0);
    assert_eq!(report["tiers"][0]["reheadered"], 1);
    assert_eq!(mirror.objects("tiers/one"), before);
    write(&mirror, "b", b"b");
    published(&mirror);
    let key = key_start(&origin) + "b";
    assert_eq!(mirror.objects("tiers/one")[&key], b"b");
}

#[test]
fn a_folder_that_the_run_writes_into_is_refused() {
    let mirror = mirror(SITE);
    for folder in [".", "state", "tiers/one", "tiers/one/www.test"] {
        let ran = mirror.run(&["publish", folder, "--json"]).expect(64);
        let error = ran.json()["error"].as_str().expect("a text").to_owned();
        assert!(error.contains("keep them apart"), "{error}");
    }
}

/// The n-th pass of a place, from the first body to the last head.
const KILLS: [&str; 14] = [
    "store.append:1",
    "store.appended:1",
    "store.file:1",
    "db.apply:1",
    "db.apply:2",
    "db.apply:4",
    "db.flush:2",
    "db.flushed:3",
    "manifest.marker:2",
    "manifest.marker:3",
    "tier.claimed:1",
    "tier.write:3",
    "tier.settle:1",
    "tier.head:1",
];

#[test]
fn killed_anywhere_it_ends_like_one_that_was_not() {
    // The folder changes between the kill and the next publish: what the killed one had staged does not count.
    let build = || {
        let mirror = mirror(SITE);
        write(&mirror, "large", &vec![7; LARGE]);
        write(&mirror, "early", b"vanishes");
        mirror
    };
    let change = |mirror: &Mirror| {
        fs::remove_file(mirror.path("site/early")).expect("it is there");
        write(mirror, "a.html", b"edited");
    };
    let expected = {
        let mirror = build();
        published(&mirror);
        change(&mirror);
        published(&mirror);
        state(&mirror)
    };
    std::thread::scope(|scope| {
        for at in KILLS {
            let (build, change, expected) = (&build, &change, &expected);
            scope.spawn(move || {
                let mirror = build();
                let killed = mirror.run_killed(at, &["publish", "site"]);
                assert_eq!(killed.signal, Some(SIGKILL), "{at}: {killed:#?}");
                change(&mirror);
                let report = published(&mirror);
                assert_eq!(&state(&mirror), expected, "{at}: {report:#}");
                assert!(!mirror.path("state/frontier").exists(), "{at}");
            });
        }
    });
}

#[test]
fn a_killed_publish_does_not_bring_the_same_bytes_again() {
    let mirror = mirror(SITE);
    let killed = mirror.run_killed("manifest.marker:4", &["publish", "site"]);
    assert_eq!(killed.signal, Some(SIGKILL), "{killed:#?}");
    let size = || {
        fs::metadata(mirror.path("state/store/00000001.seg"))
            .expect("it is there")
            .len()
    };
    let before = size();
    let report = published(&mirror);
    assert_eq!((&report["resumed"], size()), (&json!(true), before));
}

/// The site's objects.
fn state(mirror: &Mirror) -> BTreeMap<String, Vec<u8>> {
    mirror.objects("tiers/one")
}

#[test]
fn text_that_is_not_utf8_is_not_said_to_be() {
    // Promise: a header overrules what the markup says, so it names no character set that the bytes are not
    // in; and such a file is not read again either, as long as it looks the same.
    let mirror = Mirror::new(&(settings() + &folder_tier("one")));
    write(&mirror, "index.html", "<p>\u{fc}".as_bytes());
    write(&mirror, "old.html", b"<meta charset=iso-8859-1><p>\xfc");
    settle(&mirror);
    let types = |mirror: &Mirror| {
        let sides = mirror.side_files("tiers/one");
        let of = |name: &str| {
            let side = sides.iter().find(|(key, _)| key.ends_with(name));
            side.expect("it is published").1["headers"][0][1].clone()
        };
        [of("index.html"), of("old.html")]
    };
    published(&mirror);
    assert_eq!(types(&mirror), ["text/html; charset=utf-8", "text/html"]);
    let again = published(&mirror);
    assert_eq!(counts(&again, READ), [0, 2, 0, 0]);
}
