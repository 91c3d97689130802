//! Promise: sitemaps are read whatever their kind, and none stops the others. Indexes, nested, going round in circles
//! or redirected; compressed without saying so; plain text. One that fails is tried again, named, and makes the
//! verdict degraded while the pages of the others are there; so does one that shrinks. What is published while the
//! crawl goes on is picked up at its end, and what has not changed is not sent again.

use standin::run::Verdict;

use crate::support::origin::{Page, compressed};
use crate::support::scene::{Scene, index, robots, sitemap};

fn has(scene: &Scene, keys: &[&str]) {
    let stored = scene.stored();
    for key in keys {
        assert!(stored.contains_key(*key), "{key} in {:?}", stored.keys());
    }
}

/// A site whose pages nothing but sitemaps names.
fn pages(scene: &Scene, paths: &[&str]) {
    scene.page("/", &[], "home");
    for path in paths {
        scene.page(path, &[], path);
    }
}

#[test]
fn sitemaps_of_every_kind_are_read() {
    let scene = Scene::new();
    let origin = &scene.origin;
    pages(
        &scene,
        &["/nested", "/packed", "/text", "/seeded", "/moved"],
    );
    robots(origin, "", &["/outer.xml", "/list.txt", "/was.xml"]);
    origin.set(
        "/outer.xml",
        index(origin, &[("/inner.xml", ""), ("/packed.xml", "")]),
    );
    // In circles.
    let inner = [("/nested.xml", ""), ("/outer.xml", ""), ("/inner.xml", "")];
    origin.set("/inner.xml", index(origin, &inner));
    origin.set("/nested.xml", sitemap(origin, &[("/nested", "")]));
    // It calls itself XML.
    let packed = sitemap(origin, &[("/packed", "")]);
    let packed = Page::new("application/xml", compressed(&packed.body));
    origin.set("/packed.xml", packed);
    let list = format!("{}\r\n{}\n", origin.url("/text"), origin.url("/"));
    origin.set("/list.txt", Page::new("text/plain", list));
    origin.set("/was.xml", Page::redirect(301, "/is.xml"));
    origin.set("/is.xml", sitemap(origin, &[("/moved", "")]));
    origin.set("/seed.xml", sitemap(origin, &[("/seeded", "")]));
    let mut scene = scene;
    let seed = scene.url("/seed.xml");
    scene.config.site.seeds.push(seed);
    let report = scene.run();
    has(&scene, &["nested", "packed", "text", "seeded", "moved"]);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    // Once in the crawl, and once in the second look.
    for (path, times) in scene.times() {
        assert!(times <= 2, "{path} {times} times");
    }
    let lines = &report.tally.sitemaps;
    let urls = |path: &str| {
        let line = lines.iter().find(|line| line.url == scene.url(path));
        line.unwrap_or_else(|| panic!("{path} in {lines:#?}")).urls
    };
    assert_eq!(
        ["/outer.xml", "/inner.xml", "/list.txt", "/seed.xml"].map(urls),
        [2, 3, 2, 1]
    );
}

#[test]
fn a_child_that_fails_is_tried_again_and_named_and_stops_nothing() {
    let scene = Scene::new();
    let origin = &scene.origin;
    pages(&scene, &["/a", "/b"]);
    robots(origin, "", &["/index.xml"]);
    origin.set(
        "/index.xml",
        index(
            origin,
            &[("/a.xml", "2026-01-01"), ("/b.xml", "2026-01-01")],
        ),
    );
    origin.set("/a.xml", sitemap(origin, &[("/a", "")]).status(500));
    origin.set("/b.xml", sitemap(origin, &[("/b", "")]));
    let report = scene.run();
    has(&scene, &["b"]);
    assert_eq!(report.verdict, Verdict::Degraded);
    let reason = report
        .reasons
        .iter()
        .find(|reason| reason.contains("/a.xml"));
    assert!(
        reason.is_some_and(|reason| reason.contains("500")),
        "{:?}",
        report.reasons
    );
    assert_eq!(
        scene.times()["/a.xml"],
        scene.config.crawl.attempts as usize
    );
    // Once it fails no longer than its attempts, nobody need know.
    let broken = Page::html("").status(503);
    let well = sitemap(origin, &[("/a", "")]);
    origin.set_in_turn("/a.xml", vec![broken, well]);
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    has(&scene, &["a", "b"]);
}

#[test]
fn one_that_loses_most_of_its_urls_is_told_with_before_and_now() {
    let scene = Scene::new();
    let origin = &scene.origin;
    let paths: Vec<String> = (0..40).map(|number| format!("/p{number}")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    pages(&scene, &paths);
    robots(origin, "", &["/map.xml"]);
    let entries: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).collect();
    origin.set("/map.xml", sitemap(origin, &entries));
    assert_eq!(scene.run().verdict, Verdict::Ok);
    origin.set("/map.xml", sitemap(origin, &entries[..15]));
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Degraded);
    let said = report.reasons.join("\n");
    assert!(said.contains("names 15 URLs and named 40 before"), "{said}");
    let line = &report.tally.sitemaps[0];
    assert_eq!((line.urls, line.before), (15, Some(40)));
    // Nothing is withdrawn for it.
    assert_eq!((report.crawl.gone, scene.stored().len()), (0, 43));
}

#[test]
fn what_is_published_during_the_crawl_is_in_it() {
    let scene = Scene::new();
    let origin = &scene.origin;
    pages(&scene, &["/a", "/fresh", "/deep"]);
    robots(origin, "", &["/index.xml"]);
    let one = [("/a.xml", "2026-01-01")];
    let two = [("/a.xml", "2026-01-01"), ("/fresh.xml", "")];
    origin.set_in_turn("/index.xml", vec![index(origin, &one), index(origin, &two)]);
    origin.set("/a.xml", sitemap(origin, &[("/a", "")]));
    origin.set("/fresh.xml", sitemap(origin, &[("/fresh", "")]));
    scene.page("/fresh", &["/deep"], "fresh");
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    has(&scene, &["a", "fresh", "deep"]);
    assert_eq!(
        scene.times()["/a.xml"],
        1,
        "its index says that it is as it was"
    );
}

#[test]
fn a_circle_of_indexes_ends_in_the_second_look_too() {
    // None of them says when the others changed.
    let scene = Scene::new();
    let origin = &scene.origin;
    pages(&scene, &["/a"]);
    robots(origin, "", &["/i1.xml"]);
    let all = [
        ("/i1.xml", ""),
        ("/i2.xml", ""),
        ("/i3.xml", ""),
        ("/a.xml", ""),
    ];
    for path in ["/i1.xml", "/i2.xml", "/i3.xml"] {
        origin.set(path, index(origin, &all));
    }
    origin.set("/a.xml", sitemap(origin, &[("/a", "")]));
    scene.run();
    for (path, times) in scene.times() {
        assert!(times <= 2, "{path} {times} times");
    }
    has(&scene, &["a"]);
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let scene = Scene::new();
    let origin = &scene.origin;
    pages(&scene, &["/a", "/b"]);
    robots(origin, "", &["/index.xml"]);
    origin.set(
        "/index.xml",
        index(origin, &[("/a.xml", ""), ("/b.xml.gz", "")]),
    );
    origin.set("/a.xml", sitemap(origin, &[("/a", "")]));
    let packed = |paths: &[(&str, &str)]| {
        let map = sitemap(origin, paths);
        let mut page = Page::new("application/gzip", compressed(&map.body));
        page.etag = map.etag;
        page
    };
    origin.set("/b.xml.gz", packed(&[("/b", "")]));
    scene.run();
    let report = scene.run();
    let sent: Vec<_> = origin
        .requests()
        .into_iter()
        .filter(|(_, path, status)| path != "/robots.txt" && *status != 304)
        .collect();
    assert_eq!(sent, []);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    // One that has changed is read although its index has not.
    scene.page("/new", &[], "new");
    origin.set("/b.xml.gz", packed(&[("/b", ""), ("/new", "")]));
    let report = scene.run();
    assert_eq!(report.crawl.new, 1, "{:?}", scene.asked());
    has(&scene, &["new"]);
}

#[test]
fn a_sitemap_may_be_as_long_as_its_protocol_permits() {
    let scene = Scene::new();
    pages(&scene, &["/first", "/last"]);
    robots(&scene.origin, "", &["/list.txt"]);
    // Longer than any page that is searched for links.
    let [first, last] = ["/first", "/last"].map(|path| scene.origin.url(path));
    let list = format!("{first}\n{}\n{last}\n", " ".repeat(17 << 20));
    scene.origin.set("/list.txt", Page::new("text/plain", list));
    let report = scene.run();
    has(&scene, &["first", "last"]);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
}

#[test]
fn one_that_stops_before_its_end_is_told_and_what_it_names_is_taken() {
    let scene = Scene::new();
    pages(&scene, &["/a", "/b"]);
    robots(&scene.origin, "", &["/map.xml"]);
    let whole = sitemap(&scene.origin, &[("/a", ""), ("/b", "")]);
    let cut = whole.body.slice(..whole.body.len() - 30);
    scene
        .origin
        .set("/map.xml", Page::new("application/xml", cut));
    let report = scene.run();
    has(&scene, &["a"]);
    assert_eq!(report.verdict, Verdict::Degraded);
    let said = report.reasons.join("\n");
    assert!(
        said.contains("/map.xml") && said.contains("before its end"),
        "{said}"
    );
}

#[test]
fn the_second_look_keeps_to_the_rate() {
    let mut scene = Scene::new();
    scene.config.crawl.rate_per_second = Some(20.0);
    let maps: Vec<String> = (0..8).map(|number| format!("/{number}.xml")).collect();
    let maps: Vec<&str> = maps.iter().map(String::as_str).collect();
    pages(&scene, &[]);
    robots(&scene.origin, "", &maps);
    for map in &maps {
        scene.origin.set(map, sitemap(&scene.origin, &[("/", "")]));
    }
    let report = scene.run();
    let asked = scene.asked().len();
    assert_eq!(asked, 2 + 2 * 8, "each twice: {:?}", scene.asked());
    // A machine that is slow makes it longer only.
    let least = (asked - 2) as f64 / 20.0;
    assert!(report.seconds >= least, "{} s for {asked}", report.seconds);
}
