//! The story of a mirror, told by the real binary: a small site, two folders and one bucket, three runs. The first
//! stores every page that can be reached, byte for byte; the second finds nothing to do and does nothing; the third
//! does exactly what the site's editors did in between.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use serde_json::{Value, json};
use standin::delta::redirect_page;

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, paths_below, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server, Seen};

const BUCKET: &str = "site";
const DATE: &str = "Sat, 21 Nov 2026 09:00:00 GMT";

/// Larger than what is held in memory, larger than the 10 MiB at which tools before this one cut attachments, and
/// stored as a file of its own.
const REPORT_BYTES: usize = 11 << 20;

const FOLDERS: [&str; 2] = ["first", "second"];

/// The page whose bytes differ in every answer.
const NONCE_PAGE: &str = "<script nonce=\"{{NONCE}}\">start()</script><p>Always the same.</p>";
const NONCE_POLICY: &str = "script-src 'nonce-{{NONCE}}'";

/// Where a redirect leads that leaves the site.
const ELSEWHERE: &str = "https://elsewhere.example/there?a=1";

const TEAM: &str = "<p>Ann leads.</p><a href=/about/>Up</a>";
const TEAM_EDITED: &str = "<p>Bob leads.</p><a href=/news/1>Up</a>";

/// The site, the mirror's folder, and the bucket.
struct World {
    origin: Origin,
    server: S3Server,
    mirror: Mirror,
}

impl World {
    fn new() -> World {
        let origin = Origin::start();
        for (path, _, page) in pages(&origin) {
            origin.set(path, page);
        }
        let server = S3Server::start(&[BUCKET]);
        let config = [
            site(&origin),
            folder_tier(FOLDERS[0]),
            folder_tier(FOLDERS[1]),
            bucket_tier("bucket", &server, BUCKET),
        ];
        let mirror = Mirror::new(&config.concat());
        World {
            origin,
            server,
            mirror,
        }
    }

    /// `standin run --json`, which must end well.
    fn run(&self) -> Value {
        self.origin.clear_requests();
        self.server.forget();
        let report = self.mirror.run(&["run", "--json"]).expect(0).json();
        assert_eq!(report["verdict"], "ok", "{report:#}");
        assert_eq!(report["reasons"], json!([]));
        report
    }

    /// The objects of the site in every tier, which must all be the same.
    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let mut bucket = BTreeMap::new();
        for (key, bytes) in self.server.objects(BUCKET) {
            let key = key
                .strip_prefix("copy/")
                .expect("the tier keeps to its prefix");
            if !key.starts_with(".standin/") {
                bucket.insert(key.to_owned(), bytes);
            }
        }
        for folder in FOLDERS {
            let found = self.mirror.objects(&format!("tiers/{folder}"));
            assert!(found == bucket, "{:?} {:?}", found.keys(), bucket.keys());
        }
        bucket
    }

    /// Status, target and content type that each tier has of a page.
    fn recorded(&self, path: &str) -> (u16, Option<String>, Option<String>) {
        let key = format!("{}{path}", key_start(&self.origin));
        let stored = self.server.object(BUCKET, &format!("copy/{key}"));
        let headers = stored.expect("it is in the bucket").headers;
        let status = headers.metadata["standin-status"]
            .parse()
            .expect("a number");
        let target = headers.metadata.get("standin-location").cloned();
        for folder in FOLDERS {
            let side = &self.mirror.side_files(&format!("tiers/{folder}"))[&key];
            assert_eq!(side["status"], status, "{path}");
            assert_eq!(side["location"].as_str(), target.as_deref(), "{path}");
            let kind = [
                "content-type",
                headers.content_type.as_deref().expect("a type"),
            ];
            let kept = side["headers"].as_array().expect("a list");
            assert!(kept.contains(&json!(kind)), "{path}: {side}");
        }
        (status, target, headers.content_type)
    }

    /// Paths that the origin answered with this status in the last run.
    fn answered(&self, status: u16) -> BTreeSet<String> {
        let requests = self.origin.requests().into_iter();
        requests
            .filter(|(_, _, answer)| *answer == status)
            .map(|(_, path, _)| path)
            .collect()
    }

    /// Identity and age of every file in the folders: a file that was only rewritten shows as well.
    fn files(&self) -> BTreeMap<String, (u64, SystemTime)> {
        let files = paths_below(&self.mirror.path("tiers")).into_iter();
        files
            .map(|path| {
                let about = path.metadata().expect("it is there");
                let modified = about.modified().expect("the file system has times");
                (path.display().to_string(), (about.ino(), modified))
            })
            .collect()
    }
}

/// The pages by path, with the key under which each must be stored; none for those that no crawler may find.
// long: the site of the story, page by page.
fn pages(origin: &Origin) -> Vec<(&'static str, Option<&'static str>, Page)> {
    let home = "<link rel=stylesheet href=/style/site.css><script src='app.js'></script>\
        <img src=/img/logo.png><a href=/about/>About</a> <a href='/old'>Old</a>\
        <a href=https://elsewhere.example/>Elsewhere</a> <a href=/leave>Leave</a>\
        <a href='/search?q=1&amp;page=2'>Search</a> <a href=/private/secret>Secret</a>\
        <a href=\"/café/menü.html\">Menu</a> <a href=/report.pdf>Report</a>\
        <a href=/nonce>Nonce</a> <a href=/nowhere>Broken</a>";
    let robots = format!(
        "User-agent: *\nDisallow: /private/\nSitemap: {}\n",
        origin.url("/sitemap.xml")
    );
    let index = sitemap(origin, "sitemapindex", &["/sitemap-pages.xml"]);
    let map = sitemap(origin, "urlset", &["/", "/only-in-sitemap"]);
    let site_css = "@import \"base.css\"; body { background: url(../img/back.png) }";
    let base_css = "@font-face { src: url('/fonts/a.woff2') }";
    let html = |text: &'static str, etag: &str| Page::html(text).etag(etag);
    vec![
        (
            "/robots.txt",
            Some("robots.txt"),
            Page::new("text/plain", robots),
        ),
        (
            "/sitemap.xml",
            Some("sitemap.xml"),
            Page::new("application/xml", index).etag("\"s\""),
        ),
        (
            "/sitemap-pages.xml",
            Some("sitemap-pages.xml"),
            Page::new("text/xml", map).etag("\"p\""),
        ),
        (
            "/only-in-sitemap",
            Some("only-in-sitemap"),
            html("<p>Nobody links here.</p>", "\"o\""),
        ),
        ("/", Some("index.html"), html(home, "\"home\"").gzip()),
        (
            "/style/site.css",
            Some("style/site.css"),
            Page::new("text/css", site_css).etag("\"c\""),
        ),
        (
            "/style/base.css",
            Some("style/base.css"),
            Page::new("text/css", base_css).last_modified(DATE),
        ),
        (
            "/fonts/a.woff2",
            Some("fonts/a.woff2"),
            Page::new("font/woff2", picture()).last_modified(DATE),
        ),
        (
            "/img/logo.png",
            Some("img/logo.png"),
            Page::new("image/png", picture()).etag("\"l\"").chunked(),
        ),
        (
            "/img/back.png",
            Some("img/back.png"),
            Page::new("image/png", "a picture").etag("\"b\""),
        ),
        (
            "/app.js",
            Some("app.js"),
            Page::new("text/javascript", "start()").etag("\"js\""),
        ),
        (
            "/about/",
            Some("about/index.html"),
            html("<a href=team.html>Team</a>", "\"a\""),
        ),
        (
            "/about/team.html",
            Some("about/team.html"),
            html(TEAM, "\"t\""),
        ),
        (
            "/caf%C3%A9/men%C3%BC.html",
            Some("café/menü.html"),
            html("<p>Crêpes</p>", "\"m\""),
        ),
        (
            "/search?page=2&q=1",
            Some("%/search%3Fpage=2&q=1"),
            html("<p>Page 2</p>", "\"2\""),
        ),
        (
            "/report.pdf",
            Some("report.pdf"),
            Page::new("application/pdf", report()).etag("\"r\""),
        ),
        ("/old", Some("old"), Page::redirect(301, "/about/")),
        ("/leave", Some("leave"), Page::redirect(302, ELSEWHERE)),
        (
            "/nonce",
            Some("nonce"),
            Page::html(NONCE_PAGE)
                .header("Content-Security-Policy", NONCE_POLICY)
                .nonce(),
        ),
        (
            "/private/secret",
            None,
            Page::html("<p>Not for crawlers.</p>"),
        ),
        ("/unlinked", None, Page::html("<p>Nobody knows me.</p>")),
    ]
}

fn sitemap(origin: &Origin, tag: &str, paths: &[&str]) -> String {
    let locs = paths
        .iter()
        .map(|path| format!("<x><loc>{}</loc></x>", origin.url(path)));
    format!(
        "<?xml version=\"1.0\"?><{tag}>{}</{tag}>",
        locs.collect::<String>()
    )
}

fn report() -> Vec<u8> {
    (0..REPORT_BYTES)
        .map(|i| (i * 31 + i / 977) as u8)
        .collect()
}

fn picture() -> Vec<u8> {
    (0..=255).collect()
}

/// What every tier must hold of the site as it is built first, by key.
fn expected(origin: &Origin) -> BTreeMap<String, Vec<u8>> {
    let mut expected = BTreeMap::new();
    for (path, key, page) in pages(origin) {
        let body = match path {
            "/old" => redirect_page(&origin.url("/about/")),
            "/leave" => redirect_page(ELSEWHERE),
            _ => page.body,
        };
        if let Some(key) = key {
            expected.insert(format!("{}{key}", key_start(origin)), body.to_vec());
        }
    }
    expected
}

/// Puts the nonce's place holder back into the page that has one. The nonce is taken from the policy that is
/// stored beside the body, so this also shows that the two are of the same answer.
fn without_nonce(world: &World, objects: &mut BTreeMap<String, Vec<u8>>) {
    let key = format!("{}nonce", key_start(&world.origin));
    let side = &world.mirror.side_files("tiers/first")[&key];
    let headers = side["headers"].as_array().expect("a list");
    let policy = headers
        .iter()
        .find(|pair| pair[0] == "content-security-policy");
    let policy = policy
        .and_then(|pair| pair[1].as_str())
        .expect("it is kept");
    let nonce = policy
        .trim_start_matches("script-src 'nonce-")
        .trim_end_matches('\'');
    assert_eq!(nonce.len(), 16, "{policy}");
    let body = String::from_utf8(objects[&key].clone()).expect("it is a page");
    objects.insert(key, body.replace(nonce, "{{NONCE}}").into_bytes());
}

/// The fields that are promised, whatever else is added.
fn has_all_fields(report: &Value) {
    let fields = |value: &Value, names: &str| {
        for name in names.split(' ') {
            assert!(value.get(name).is_some(), "{name} is not in {value:#}");
        }
    };
    fields(
        report,
        "run_id generation verdict reasons crawl tiers seconds",
    );
    fields(
        &report["crawl"],
        "fetched not_modified unchanged changed new gone redirects broken_links errors bytes",
    );
    let tiers = report["tiers"].as_array().expect("a list");
    let names: Vec<_> = tiers.iter().map(|tier| &tier["name"]).collect();
    assert_eq!(names, ["first", "second", "bucket"]);
    for tier in tiers {
        fields(
            tier,
            "name put copied reheadered deleted failed debts bytes requests watermark verified",
        );
    }
}

/// The numbers of a report's crawl, in the order of the names.
fn crawl(report: &Value, names: &str) -> Vec<u64> {
    let number = |name| report["crawl"][name].as_u64().expect("a number");
    names.split(' ').map(number).collect()
}

/// Puts, copies, reheaders, deletes, failures and debts, which must be the same for every tier.
fn operations(report: &Value) -> [u64; 6] {
    let names = ["put", "copied", "reheadered", "deleted", "failed", "debts"];
    let tiers = report["tiers"].as_array().expect("a list");
    let all: BTreeSet<[u64; 6]> = tiers
        .iter()
        .map(|tier| names.map(|name| tier[name].as_u64().expect("a number")))
        .collect();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().expect("there are tiers")
}

/// Every tier has everything up to this generation, and has proven it.
fn is_verified_at(report: &Value, generation: u64) {
    assert_eq!(report["generation"], generation);
    for tier in report["tiers"].as_array().expect("a list") {
        assert_eq!(tier["watermark"], generation);
        assert_eq!(tier["verified"], generation);
    }
}

fn is_about_the_site(seen: &&Seen) -> bool {
    seen.about == About::Object && !seen.path.contains("/.standin/")
}

const COUNTS: &str =
    "fetched not_modified unchanged changed new gone redirects broken_links errors";

#[test]
fn a_site_is_mirrored_then_left_alone_then_followed() {
    let world = World::new();
    the_first_run_stores_all_that_can_be_reached(&world);
    the_second_run_finds_nothing_to_do(&world);
    the_third_run_does_what_the_editors_did(&world);
    the_stages_alone_agree(&world);
}

fn the_first_run_stores_all_that_can_be_reached(world: &World) {
    let report = world.run();
    has_all_fields(&report);
    // 17 pages and 2 redirects; /nowhere is a broken link, /private/secret was not asked for.
    assert_eq!(crawl(&report, COUNTS), [17, 0, 0, 0, 19, 0, 2, 1, 0]);
    assert_eq!(operations(&report), [19, 0, 0, 0, 0, 0]);
    is_verified_at(&report, 1);

    let mut stored = world.objects();
    without_nonce(world, &mut stored);
    let expected = expected(&world.origin);
    assert_eq!(
        stored.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (key, bytes) in &expected {
        assert!(stored[key] == *bytes, "{key} has other bytes");
    }
    let asked = world.origin.requests();
    let forbidden = ["/private/secret", "/unlinked"];
    assert!(
        !asked
            .iter()
            .any(|(_, path, _)| forbidden.contains(&path.as_str()))
    );

    let html = || Some("text/html; charset=utf-8".to_owned());
    let about = Some(world.origin.url("/about/"));
    assert_eq!(world.recorded("old"), (301, about, html()));
    assert_eq!(
        world.recorded("leave"),
        (302, Some(ELSEWHERE.into()), html())
    );
    assert_eq!(world.recorded("about/index.html"), (200, None, html()));
    let sheet = Some("text/css".to_owned());
    assert_eq!(world.recorded("style/base.css"), (200, None, sheet));
}

fn the_second_run_finds_nothing_to_do(world: &World) {
    let before = world.files();
    let report = world.run();
    has_all_fields(&report);
    // Of the 17 pages 15 have validators; robots.txt and the page with the nonce came again, and were the same.
    assert_eq!(crawl(&report, COUNTS), [2, 15, 2, 0, 0, 0, 2, 1, 0]);
    assert_eq!(operations(&report), [0; 6]);
    is_verified_at(&report, 1);
    let again = BTreeSet::from(["/robots.txt".to_owned(), "/nonce".to_owned()]);
    assert_eq!(world.answered(200), again);
    assert_eq!(world.answered(304).len(), 15);

    // The head and one listing, and nothing about any object.
    let seen = world.server.seen();
    let asked: Vec<_> = seen
        .iter()
        .map(|seen| (seen.method.as_str(), seen.path.as_str(), seen.about))
        .collect();
    assert_eq!(
        asked,
        [
            ("GET", "/site/copy/.standin/head", About::Object),
            ("GET", "/site/", About::Listing),
        ]
    );
    for tier in report["tiers"].as_array().expect("a list") {
        assert_eq!(tier["requests"], 2, "{tier}");
    }
    assert!(world.files() == before, "no file was written or removed");
}

fn the_third_run_does_what_the_editors_did(world: &World) {
    let origin = &world.origin;
    assert_eq!(TEAM.len(), TEAM_EDITED.len(), "an edit that keeps the size");
    origin.set("/about/team.html", Page::html(TEAM_EDITED).etag("\"t2\""));
    origin.set("/news/1", Page::html("<p>News.</p>").etag("\"n\""));
    origin.set("/report.pdf", Page::html("withdrawn").status(410));
    origin.set(
        "/app.js",
        Page::new("application/javascript", "start()").etag("\"js2\""),
    );

    let mut expected = world.objects();
    let report = world.run();
    has_all_fields(&report);
    assert_eq!(crawl(&report, COUNTS), [5, 12, 2, 2, 1, 1, 2, 1, 0]);
    assert_eq!(operations(&report), [2, 0, 1, 1, 0, 0]);
    is_verified_at(&report, 2);
    let changes = report["changes"].as_array().expect("a list");
    let changes: Vec<_> = changes
        .iter()
        .map(|line| (line["what"].as_str(), line["url"].as_str()))
        .collect();
    let url = |path| origin.url(path);
    assert_eq!(
        changes,
        [
            (Some("changed"), Some(url("/about/team.html").as_str())),
            (Some("changed"), Some(url("/app.js").as_str())),
            (Some("new"), Some(url("/news/1").as_str())),
            (Some("gone"), Some(url("/report.pdf").as_str())),
        ]
    );

    let key = |path: &str| format!("{}{path}", key_start(origin));
    expected.insert(key("about/team.html"), TEAM_EDITED.into());
    expected.insert(key("news/1"), b"<p>News.</p>".to_vec());
    expected.remove(&key("report.pdf"));
    assert!(
        world.objects() == expected,
        "those four objects and no other"
    );
    let script = Some("application/javascript".to_owned());
    assert_eq!(world.recorded("app.js"), (200, None, script));

    // Two puts and one copy onto itself are all that was asked of single objects; one request deletes.
    let seen = world.server.seen();
    let about_objects: Vec<_> = seen.iter().filter(is_about_the_site).collect();
    let written: BTreeSet<_> = about_objects
        .iter()
        .map(|seen| seen.path.as_str())
        .collect();
    let path = |name: &str| format!("/site/copy/{}", key(name));
    let (team, script, news) = (path("about/team.html"), path("app.js"), path("news/1"));
    assert_eq!(written, BTreeSet::from([team.as_str(), &script, &news]));
    assert!(about_objects.len() == 3 && about_objects.iter().all(|seen| seen.method == "PUT"));
    assert_eq!(world.server.count("POST", About::Bucket), 1);
}

/// `plan` has nothing to do, `verify` nothing to prove, `status` says how the last run ended, `explain` where a
/// page lies; none of them touches an object.
fn the_stages_alone_agree(world: &World) {
    let before = world.files();
    let plan = world.mirror.run(&["plan", "--json"]).expect(0).json();
    for tier in plan["tiers"].as_array().expect("a list") {
        for what in ["put", "reheadered", "deleted"] {
            assert_eq!(tier[what], 0, "{plan:#}");
        }
    }
    let sync = world.mirror.run(&["sync", "--json"]).expect(0).json();
    assert_eq!(operations(&sync), [0; 6]);
    let verify = world.mirror.run(&["verify", "--json"]).expect(0).json();
    assert_eq!(verify["verdict"], "ok");
    let status = world.mirror.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["running"], Value::Null);
    assert_eq!(status["finished"]["verb"], "verify");
    let url = world.origin.url("/caf%C3%A9/men%C3%BC.html");
    let explained = world
        .mirror
        .run(&["explain", &url, "--json"])
        .expect(0)
        .json();
    let key = format!("{}café/menü.html", key_start(&world.origin));
    assert_eq!(explained["key"], key);
    assert_eq!(explained["keys"]["plain"], key);
    assert_eq!(explained["in_scope"], true);
    for tier in explained["tiers"].as_array().expect("a list") {
        assert_eq!(tier["standing"], "confirmed");
    }
    assert!(world.files() == before, "no file was written or removed");
}

#[test]
fn mirror_needs_nothing_but_a_url() {
    // Promise: `standin mirror URL --into DIR` does the same job without a configuration, and again is incremental.
    let origin = Origin::start();
    for (path, _, page) in pages(&origin) {
        origin.set(path, page);
    }
    let folder = Mirror::bare();
    let url = origin.url("/");
    let arguments = ["mirror", &url, "--into", "copy", "--json"];
    let first = folder.run(&arguments).expect(0).json();
    assert_eq!(first["verdict"], "ok");
    assert_eq!(first["copy"], "copy/tiers/local");
    assert_eq!(first["tiers"][0]["put"], 19);
    let mut stored = folder.objects("copy/tiers/local");
    let mut expected = expected(&origin);
    assert_eq!(
        stored.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    let nonce = format!("{}nonce", key_start(&origin));
    stored.remove(&nonce);
    expected.remove(&nonce);
    assert!(stored == expected, "byte for byte");

    origin.clear_requests();
    let second = folder.run(&arguments).expect(0).json();
    assert_eq!(
        crawl(&second, "not_modified changed new gone"),
        [15, 0, 0, 0]
    );
    assert_eq!(second["tiers"][0]["put"], 0);
    assert_eq!(second["tiers"][0]["requests"], 2);
}
