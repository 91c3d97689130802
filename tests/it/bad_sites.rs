//! Promise: whatever a site sends, a run ends, says what could not be had, and mirrors the healthy rest. Checked run by
//! run against a scripted site: each page of it that is bad in its own way stands beside pages that are well.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use standin::run::{RunReport, Verdict};

use crate::support::origin::{Origin, Page};
use crate::support::scene::{Scene, robots, sitemap};

/// A home page that links to these and, last of all, to a page that is well.
fn linking_to(scene: &Scene, paths: &[&str]) {
    let links: String = paths
        .iter()
        .map(|path| format!("<a href={path}>x</a>"))
        .collect();
    let home = format!("{links}<a href=/well>well</a>");
    scene.origin.set("/", Page::html(home));
    scene.origin.set("/well", Page::html("well"));
}

/// What a run came to: its verdict, new pages, broken links and errors. The page that is well is in the mirror.
#[track_caller]
fn outcome(scene: &Scene) -> (Verdict, u64, u64, u64, RunReport) {
    let report = scene.run();
    assert_eq!(scene.stored()["well"], "well", "{:?}", report.troubles);
    let crawl = report.crawl;
    let (broken, errors) = (crawl.broken_links, crawl.errors);
    (report.verdict, crawl.new, broken, errors, report)
}

/// So many bytes of nothing in a thousandth of the space.
fn bomb(bytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let zeros = vec![b' '; 1 << 20];
    for _ in 0..bytes >> 20 {
        encoder.write_all(&zeros).unwrap();
    }
    encoder.finish().unwrap()
}

fn billion_laughs(root: &str) -> String {
    let levels: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    format!(
        "<?xml version=\"1.0\"?><!DOCTYPE {root} [<!ENTITY l0 \"lol\">{levels}]><{root}><loc>&l9;</loc><link>&l9;</link></{root}>"
    )
}

#[test]
fn malformed_markup_is_a_page_like_others() {
    let scene = Scene::new();
    let deep = "<div>".repeat(200_000) + "<a href=/in/depth>x";
    let pages = [
        (
            "/broken.html",
            "text/html",
            "<a href='/in/html><b <<a href=/in/html2 <!-- <![CDATA[ &#xffffffff;".into(),
        ),
        (
            "/broken.css",
            "text/css",
            "@import '/in/css; a{b:url(/in/css2".into(),
        ),
        (
            "/broken.xml",
            "application/xml",
            "<urlset><url><loc>/in/xml</loc></wrong><<".into(),
        ),
        ("/deep.html", "text/html", deep),
        ("/laughs.xml", "application/xml", billion_laughs("x")),
        ("/laughs.rss", "application/rss+xml", billion_laughs("rss")),
    ];
    for (path, kind, text) in &pages {
        scene.origin.set(path, Page::new(kind, text.clone()));
    }
    linking_to(&scene, &pages.each_ref().map(|page| page.0));
    let (verdict, new, _, errors, report) = outcome(&scene);
    assert_eq!(
        (verdict, new, errors),
        (Verdict::Ok, 8, 0),
        "{:?}",
        report.troubles
    );
    assert_eq!(scene.times().get("/in/depth"), Some(&1));
    for (path, _, text) in pages {
        assert_eq!(scene.stored()[&path[1..]], text, "stored as it came");
    }
}

#[test]
fn bombs_are_left_where_they_are() {
    // As a page: an error. As a sitemap that is gzip in itself: stored as what it is, and no sitemap.
    let scene = Scene::new();
    let bytes = bomb(256 << 20);
    assert!(bytes.len() < 300_000, "{}", bytes.len());
    let coded = Page::html(bytes.clone()).header("content-encoding", "gzip");
    scene.origin.set("/bomb", coded);
    scene
        .origin
        .set("/map.gz", Page::new("application/gzip", bytes));
    scene.origin.set(
        "/laughs.xml",
        Page::new("application/xml", billion_laughs("urlset")),
    );
    robots(&scene.origin, "", &["/map.gz", "/laughs.xml"]);
    linking_to(&scene, &["/bomb"]);
    let (verdict, new, _, errors, report) = outcome(&scene);
    assert_eq!((verdict, new, errors), (Verdict::Degraded, 5, 1));
    assert!(
        report.reasons.iter().any(|why| why.contains("map.gz")),
        "{:?}",
        report.reasons
    );
}

#[test]
fn robots_txt_may_be_anything() {
    let long = "Disallow: /nowhere\n".repeat(10_000_000 / 19);
    let rules = format!("User-agent: *\n{long}Disallow: /well\n");
    for page in [
        Page::new("text/plain", rules),
        Page::html("<!doctype html><title>Not here</title>Disallow: /"),
        Page::new("text/plain", bomb(4 << 20)),
    ] {
        let scene = Scene::new();
        scene.origin.set("/robots.txt", page);
        linking_to(&scene, &[]);
        let (verdict, new, _, errors, _) = outcome(&scene);
        assert_eq!((verdict, new, errors), (Verdict::Ok, 3, 0));
    }
    let scene = Scene::new();
    linking_to(&scene, &[]);
    scene.origin.set("/robots.txt", Page::html("").status(503));
    let report = scene.run();
    assert_eq!((report.verdict, report.pages), (Verdict::Failed, 0));
}

#[test]
fn redirects_lead_nowhere_for_ever() {
    // In circles, in chains, out of the site, to private addresses, to other schemes and ports, and to themselves in
    // another spelling.
    let scene = Scene::new();
    let other = Origin::start();
    let origin = &scene.origin;
    let to_other = other.url("/x");
    let other_scheme = format!("ftp://{}/x", origin.authority());
    let cases = [
        ("/one", "/two"),
        ("/two", "/one"),
        ("/self", "/self"),
        ("/~a", "/%7Ea"),
        ("/q?a=1&b=2", "/q?b=2&a=1"),
        ("/out", "https://else.where.example/"),
        ("/private", "http://169.254.169.254/latest/meta-data"),
        ("/port", to_other.as_str()),
        ("/scheme", other_scheme.as_str()),
        ("/no-url", "http://["),
    ];
    for (path, target) in cases {
        origin.set(path, Page::redirect(301, target));
    }
    for n in 0..50 {
        let target = format!("/chain/{}", n + 1);
        origin.set(&format!("/chain/{n}"), Page::redirect(302, &target));
    }
    origin.set("/chain/50", Page::html("the end"));
    let mut paths = cases.map(|case| case.0).to_vec();
    paths.push("/chain/0");
    linking_to(&scene, &paths);
    let (verdict, new, _, errors, report) = outcome(&scene);
    // The five that lead to themselves, to no URL or to no web are errors; the others are what they are.
    assert_eq!(
        (new, errors, report.crawl.redirects),
        (2 + 1 + 55, 5, 55),
        "{:?}",
        report.troubles
    );
    assert_eq!(verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(other.connections(), 0, "nobody asked outside");
    assert!(
        scene.times().values().all(|times| *times == 1),
        "{:?}",
        scene.times()
    );
}

#[test]
fn lies_about_bodies_cost_no_more_than_links() {
    let scene = Scene::new();
    let html = "<a href=/in/lie>x</a>";
    let lies = [
        (
            "/utf-16",
            Page::new(
                "text/html; charset=utf-8",
                html.encode_utf16()
                    .flat_map(u16::to_le_bytes)
                    .collect::<Vec<u8>>(),
            ),
        ),
        ("/gzip", Page::html(bomb(1 << 20))),
        ("/picture", Page::new("image/png", html)),
        (
            "/charset",
            Page::new("text/html; charset=klingon", "<p>text"),
        ),
    ];
    for (path, page) in &lies {
        scene.origin.set(path, page.clone());
    }
    scene.origin.set("/short", Page::html("cut").truncated(1));
    linking_to(
        &scene,
        &["/utf-16", "/gzip", "/picture", "/charset", "/short"],
    );
    let (verdict, new, _, errors, report) = outcome(&scene);
    assert_eq!(
        (verdict, new, errors),
        (Verdict::Degraded, 6, 1),
        "{:?}",
        report.troubles
    );
    assert_eq!(scene.times().get("/in/lie"), None);
    assert_eq!(scene.stored()["picture"], html);
}

#[test]
fn a_hundred_thousand_links_are_each_asked_for_once() {
    // Beside URLs of 64 kB, which are none, and headers of 300 kB, which are an error.
    let scene = Scene::new();
    let links: String = (0..100_000)
        .map(|n| format!("<a href=/n/{n}>x</a>"))
        .collect();
    let long = format!("<a href=/{}>x</a>", "l".repeat(64 << 10));
    scene
        .origin
        .set("/many", Page::html([links.clone(), long, links].concat()));
    let headers = (0..60).fold(Page::html("x"), |page, n| {
        page.header(&format!("x-{n}"), &"x".repeat(5_000))
    });
    scene.origin.set("/headers", headers);
    linking_to(&scene, &["/many", "/headers"]);
    let (verdict, new, broken, errors, report) = outcome(&scene);
    assert_eq!((new, broken, errors), (3, 100_000, 1));
    assert_eq!(report.crawl.answers(), 100_004);
    assert_eq!(verdict, Verdict::Ok, "{:?}", report.reasons);
    // Two requests more for the page whose headers have no end, one for robots.txt.
    assert_eq!(report.crawl.requests, 100_004 + 2 + 1);
}

#[test]
fn what_is_too_long_to_be_searched_is_stored_and_told() {
    let scene = Scene::new();
    let body = ["<a href=/in/length>x</a>", &" ".repeat(20 << 20)].concat();
    let size = body.len();
    scene.origin.set("/long", Page::html(body));
    linking_to(&scene, &["/long"]);
    let (_, new, _, errors, report) = outcome(&scene);
    assert_eq!((new, errors), (3, 0));
    assert_eq!(scene.stored()["long"].len(), size);
    assert_eq!(scene.times().get("/in/length"), None);
    assert!(
        report
            .troubles
            .iter()
            .any(|one| one.why.contains("too long")),
        "{:?}",
        report.troubles
    );
}

#[test]
fn a_silent_host_costs_the_healthy_one_nothing() {
    let mut scene = Scene::new();
    let silent = Origin::start();
    silent.be_silent();
    scene.config.site.hosts.push(silent.authority());
    scene.config.crawl.answer_timeout_s = 1;
    let links: Vec<String> = (0..50).map(|n| silent.url(&format!("/{n}"))).collect();
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    linking_to(&scene, &links);
    let begun = std::time::Instant::now();
    let (_, new, _, errors, report) = outcome(&scene);
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!((new, errors, report.crawl.forbidden), (2, 1, 50));
    assert_eq!(report.verdict, Verdict::Degraded, "{:?}", report.reasons);
}

#[test]
fn an_empty_sitemap_is_one() {
    let scene = Scene::new();
    scene
        .origin
        .set("/sitemap.xml", sitemap(&scene.origin, &[]));
    robots(&scene.origin, "", &["/sitemap.xml"]);
    linking_to(&scene, &[]);
    assert_eq!(outcome(&scene).0, Verdict::Ok);
}
