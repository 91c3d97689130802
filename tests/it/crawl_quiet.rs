//! Promise: in quiet hours no request is sent, not the first one either, and the run says until when it waits; a crawl
//! that runs into them stops asking. What a mirror answered in the site's place is not taken for the site.

use standin::run::Verdict;

use crate::support::origin::Page;
use crate::support::scene::{Scene, asked, go_to_second_of_day};

const HOUR: i64 = 60 * 60;

fn quiet_at_night() -> Scene {
    let mut scene = Scene::in_order();
    scene.config.crawl.quiet_hours = vec!["22:00-06:00".to_owned()];
    let links: Vec<String> = (0..200).map(|number| format!("/p{number}")).collect();
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    scene.page("/", &links, "home");
    for link in &links {
        scene.page(link, &[], link);
    }
    scene
}

#[test]
fn nothing_is_asked_in_quiet_hours() {
    let scene = quiet_at_night();
    go_to_second_of_day(3 * HOUR);
    scene.begin(|live| {
        live.crawl
            .waits()
            .is_some_and(|text| text == "quiet until 06:00 UTC")
    });
    assert_eq!(scene.asked(), Vec::<String>::new());
    // By day it goes on from there.
    go_to_second_of_day(12 * HOUR);
    assert_eq!(scene.run().crawl.new, 201);
}

#[test]
fn a_crawl_that_runs_into_quiet_hours_stops_asking() {
    let scene = quiet_at_night();
    go_to_second_of_day(21 * HOUR);
    let asked_before = std::cell::Cell::new(0);
    scene.begin(|live| {
        let count = asked(&scene.origin).len();
        if count >= 20 && asked_before.get() == 0 {
            go_to_second_of_day(23 * HOUR);
            asked_before.set(count);
        }
        live.crawl.waits().is_some()
    });
    let more = scene.asked().len() - asked_before.get();
    assert!(more <= 2, "{more} were asked for, and one was on its way");
}

#[test]
fn what_a_mirror_answers_replaces_nothing() {
    let mut scene = Scene::new();
    let headers = ["x-served-by: mirror", "x-copy"];
    scene.config.crawl.mirror_headers = headers.map(str::to_owned).to_vec();
    let paths = ["/a", "/b", "/c", "/d", "/e", "/f", "/g"];
    scene.page("/", &paths, "home");
    for path in paths {
        scene.page(path, &[], "first");
    }
    scene.run();
    let copy = || Page::html("<p>an old copy");
    scene
        .origin
        .set("/a", copy().header("X-Served-By", "edge-mirror-7"));
    scene.origin.set("/b", copy().header("X-Copy", "1"));
    scene
        .origin
        .set("/c", Page::redirect(301, "/a").header("X-Copy", "1"));
    scene
        .origin
        .set("/d", copy().header("X-Served-By", "origin"));
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Degraded, "{:?}", report.reasons);
    assert_eq!((report.crawl.errors, report.crawl.changed), (3, 1));
    let stored = scene.stored();
    for key in ["a", "b", "c"] {
        assert!(stored[key].contains("first"), "{key}: {}", stored[key]);
    }
    assert!(stored["d"].contains("old copy"));
    let why = &report.troubles[0].why;
    assert!(why.contains("mirror"), "{why}");
}
