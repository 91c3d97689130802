//! Promise: what a tier holds can be looked at with nothing but the configuration, while a run is going as well:
//! `get` gives a page's bytes and headers and says when they are damaged, `ls` lists keys page by page.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::binary::{Mirror, Ran, bucket_tier, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{S3Server, Seen};

struct Story {
    origin: Origin,
    s3: S3Server,
    mirror: Mirror,
}

/// A mirror in a folder and a bucket.
fn story() -> Story {
    let origin = Origin::start();
    origin.set(
        "/",
        Page::html("<a href=\"/a\">a</a><a href=\"/b/\">b</a><a href=\"/moved\">m</a>"),
    );
    let csp = "default-src 'self'";
    origin.set(
        "/a",
        Page::html("<p>a</p>").header("content-security-policy", csp),
    );
    origin.set("/b/", Page::html("<a href=\"/b/c\">c</a>"));
    origin.set("/b/c", Page::html("<p>c</p>"));
    origin.set("/moved", Page::redirect(301, "/a"));
    let s3 = S3Server::start(&["mirror"]);
    let config = site(&origin) + &folder_tier("local") + &bucket_tier("remote", &s3, "mirror");
    let mirror = Mirror::new(&config);
    mirror.run(&["run"]).expect(0);
    Story { origin, s3, mirror }
}

#[test]
fn get_gives_what_a_tier_would_serve() {
    // Bytes on stdout, headers with --head, both with --output, metadata with --json; from either tier.
    let Story {
        origin,
        s3: _s3,
        mirror,
    } = story();
    let url = origin.url("/a");
    for tier in ["local", "remote"] {
        let got = mirror.run(&["get", &url, "--tier", tier]).expect(0);
        assert_eq!((got.stdout.as_str(), got.stderr.as_str()), ("<p>a</p>", ""));
        let head = mirror
            .run(&["get", &url, "--tier", tier, "--head"])
            .expect(0);
        assert!(head.stdout.starts_with("200\n"), "{head:?}");
        assert!(
            head.stdout
                .contains("content-security-policy: default-src 'self'\n")
        );
        let json = mirror
            .run(&["get", &url, "--tier", tier, "--json"])
            .expect(0)
            .json();
        assert_eq!(
            (&json["meta"]["status"], &json["size"]),
            (&200.into(), &8.into())
        );
    }
    let moved = mirror
        .run(&["get", &origin.url("/moved"), "--head"])
        .expect(0);
    let target = format!("301\nlocation: {url}\n");
    assert!(moved.stdout.starts_with(&target), "{moved:?}");
    let saved = mirror
        .run(&["get", &url, "--output", "page.html"])
        .expect(0);
    assert!(saved.stdout.starts_with("200\n"));
    assert_eq!(
        std::fs::read(mirror.path("page.html")).expect("written"),
        b"<p>a</p>"
    );
}

#[test]
fn get_says_what_is_absent_or_damaged() {
    // One line and 1 for a page that is not there; the bytes, a line and 1 for one that is damaged.
    let Story { origin, s3, mirror } = story();
    let absent = mirror.run(&["get", &origin.url("/nosuch")]).expect(1);
    assert_eq!(
        (absent.stdout.as_str(), absent.stderr.lines().count()),
        ("", 1)
    );
    let outside = mirror
        .run(&["get", "https://elsewhere.test/", "--json"])
        .expect(1);
    assert!(
        outside.json()["error"]
            .as_str()
            .is_some_and(|why| why.contains("no object"))
    );
    let key = format!("copy/{}a", key_start(&origin));
    s3.corrupt("mirror", &key, b"<p>b</p>");
    let damaged = mirror
        .run(&["get", &origin.url("/a"), "--tier", "remote"])
        .expect(1);
    assert_eq!(damaged.stdout, "<p>b</p>");
    assert!(damaged.stderr.contains("is damaged: BLAKE3"), "{damaged:?}");
    mirror
        .run(&["get", &origin.url("/a"), "--tier", "nosuch"])
        .expect(64);
}

#[test]
fn an_older_file_survives_a_get_that_fails() {
    // The tier refuses the bytes after it has shown the headers: the file of yesterday is whole and alone.
    // `--json` prints no bytes, so it does not go with a file for them.
    let Story { origin, s3, mirror } = story();
    let url = origin.url("/a");
    let get = ["get", &url, "--tier", "remote", "--output", "page.html"];
    std::fs::write(mirror.path("page.html"), "yesterday").expect("ours");
    let is_get = |seen: &Seen| seen.method == "GET" && !seen.path.contains("/.standin/");
    s3.fail_next(1, is_get, 403);
    mirror.run(&get).expect(2);
    assert_eq!(s3.faults_left(), 0);
    for arguments in [
        [&get[..], &["--json"]].concat(),
        [&["--json"], &get[..]].concat(),
    ] {
        let both = mirror.run(&arguments).expect(64);
        let told = both.json()["error"].to_string();
        assert!(told.contains("--output"), "{told}");
    }
    let found = || std::fs::read(mirror.path("page.html")).expect("there");
    assert_eq!(found(), b"yesterday");
    let names = || {
        let folder = std::fs::read_dir(mirror.path("page.html").parent().expect("it has one"));
        let names = folder
            .expect("ours")
            .map(|one| one.expect("ours").file_name());
        names
            .filter(|name| name.to_string_lossy().contains("page.html"))
            .count()
    };
    assert_eq!(names(), 1);
    mirror.run(&get).expect(0);
    assert_eq!((found(), names()), (b"<p>a</p>".to_vec(), 1));
}

#[test]
fn a_tier_of_a_newer_version_is_not_guessed_at() {
    // Its head may mean anything: both say to upgrade, whatever else the head holds.
    let Story { origin, s3, mirror } = story();
    s3.insert("mirror", "copy/.standin/head", b"{\"format\":2,\"x\":1}");
    let url = origin.url("/a");
    for verb in [vec!["get", &url], vec!["ls", &url]] {
        let told = mirror.run(&[&verb[..], &["--tier", "remote"]].concat());
        let told = told.expect(2).stderr;
        assert!(told.contains("upgrade standin"), "{told}");
    }
}

#[test]
fn both_answer_without_state_and_while_the_lock_is_held() {
    // The crawl's machine may be gone, and a run may be going: nothing but the tiers is needed.
    let Story {
        origin,
        s3: _s3,
        mirror,
    } = story();
    let lock = std::fs::File::options()
        .write(true)
        .open(mirror.path("state/lock"));
    let lock = lock.expect("a run was there");
    lock.lock().expect("nobody holds it");
    mirror.run(&["explain", &origin.url("/a")]).expect(75);
    mirror.run(&["get", &origin.url("/a")]).expect(0);
    mirror.run(&["ls"]).expect(0);
    drop(lock);
    std::fs::remove_dir_all(mirror.path("state")).expect("ours");
    let got = mirror
        .run(&["get", &origin.url("/a"), "--tier", "remote"])
        .expect(0);
    assert_eq!(got.stdout, "<p>a</p>");
    assert!(!mirror.path("state").exists());
}

fn lines(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().collect()
}

#[test]
fn ls_lists_what_begins_with_a_key_or_lies_below_a_url() {
    // In key order; with sizes; as one document.
    let Story {
        origin,
        s3: _s3,
        mirror,
    } = story();
    let start = key_start(&origin);
    for tier in ["local", "remote"] {
        let all = mirror.run(&["ls", "--tier", tier]).expect(0);
        let keys = ["a", "b/c", "b/index.html", "index.html", "moved"];
        assert_eq!(lines(&all), keys.map(|key| format!("{start}{key}")));
        let expected = ["b/c", "b/index.html"].map(|key| format!("{start}{key}"));
        for prefix in [origin.url("/b/"), format!("{start}b")] {
            let below = mirror.run(&["ls", "--tier", tier, &prefix]).expect(0);
            assert_eq!(lines(&below), expected);
        }
        let long = mirror
            .run(&["ls", "--tier", tier, &format!("{start}a"), "--long"])
            .expect(0);
        assert!(long.stdout.trim_start().starts_with("8  "), "{long:?}");
        let json = mirror
            .run(&["ls", "--tier", tier, "--json"])
            .expect(0)
            .json();
        assert_eq!(json["objects"][1]["key"], expected[0]);
        let none = mirror
            .run(&["ls", "--tier", tier, "nosuch", "--json"])
            .expect(0)
            .json();
        assert_eq!(none["objects"], serde_json::json!([]));
    }
}

#[test]
fn ls_ends_quietly_when_nobody_reads_any_more() {
    // As behind `| head -1`: more objects than a pipe and the buffers hold, and the reader goes away.
    let Story { origin, s3, mirror } = story();
    for number in 0..5000 {
        s3.insert(
            "mirror",
            &format!("copy/{}x/{number:0100}", key_start(&origin)),
            b"x",
        );
    }
    let mut command = mirror.command(&["ls", "--tier", "remote"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary is there");
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!(first, format!("{}a\n", key_start(&origin)));
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stderr, b"");
}
