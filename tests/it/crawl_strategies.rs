//! Promise: `full` asks for every stored page, with a condition; `lastmod` leaves alone what its sitemap calls unchanged,
//! for a limited time and but for a share, and counts it; what is left alone is neither lost nor withdrawn, and going
//! back to `full` asks for everything again.

use std::collections::BTreeSet;

use standin::config::StrategyName;
use standin::run::{RunReport, Verdict};

use crate::support::origin::Page;
use crate::support::scene::{Scene, date, go_to_day, robots, sitemap};

const PAGES: usize = 40;

fn name(number: usize) -> String {
    format!("/p{number}")
}

/// Forty pages in a sitemap that tells their time, and one that is in none.
fn scene() -> Scene {
    let scene = Scene::new();
    let names: Vec<String> = (0..PAGES).map(name).collect();
    for name in &names {
        scene.page(name, &[], name);
    }
    scene.page("/unlisted", &[], "unlisted");
    scene.page("/", &["/unlisted"], "home");
    robots(&scene.origin, "", &["/map.xml"]);
    list(&scene, &[]);
    scene
}

/// The sitemap, with these as changed just now by their number.
fn list(scene: &Scene, changed: &[usize]) {
    let (old, new) = (date(-100), date(1));
    let names: Vec<String> = (0..PAGES).map(name).collect();
    let entry = |number: usize| match changed.contains(&number) {
        true => (names[number].as_str(), new.as_str()),
        false => (names[number].as_str(), old.as_str()),
    };
    let entries: Vec<_> = (0..PAGES).map(entry).collect();
    scene
        .origin
        .set("/map.xml", sitemap(&scene.origin, &entries));
}

/// Those of the forty that were asked for, each once.
fn asked(scene: &Scene) -> BTreeSet<usize> {
    let times = scene.times();
    let numbers = (0..PAGES).filter(|number| times.contains_key(&name(*number)));
    let asked: BTreeSet<usize> = numbers.collect();
    for number in &asked {
        assert_eq!(times[&name(*number)], 1);
    }
    asked
}

fn is_well(report: &RunReport) {
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    // With home page, robots.txt, sitemap and the one that is not listed.
    assert_eq!((report.pages, report.crawl.gone), (PAGES as u64 + 4, 0));
    assert_eq!((report.tiers[0].deleted, report.crawl.missing), (0, 0));
}

#[test]
fn full_asks_for_every_page_with_a_condition() {
    let scene = scene();
    scene.run();
    let report = scene.run();
    is_well(&report);
    assert_eq!(asked(&scene).len(), PAGES);
    let requests = scene.origin.requests().into_iter();
    let sent: BTreeSet<String> = requests
        .filter(|(_, _, status)| *status != 304)
        .map(|(_, path, _)| path)
        .collect();
    assert_eq!(sent, BTreeSet::from(["/robots.txt".to_owned()]));
}

#[test]
fn lastmod_leaves_alone_what_has_not_changed() {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.0;
    scene.run();
    assert_eq!(asked(&scene).len(), PAGES, "none is known yet");
    go_to_day(2);
    let report = scene.run();
    is_well(&report);
    assert_eq!(asked(&scene), BTreeSet::new());
    assert_eq!(report.tally.skipped.lastmod, PAGES as u64);
    assert_eq!(scene.times()["/unlisted"], 1, "no sitemap speaks for it");
    // What the sitemap calls changed is asked for, and it alone.
    scene.page("/p7", &[], "changed");
    list(&scene, &[7]);
    let report = scene.run();
    is_well(&report);
    assert_eq!(asked(&scene), BTreeSet::from([7]));
    assert_eq!(
        (report.crawl.changed, report.tally.skipped.lastmod),
        (2, PAGES as u64 - 1)
    );
    assert!(scene.stored()["p7"].contains("changed"));
    // A change that no sitemap tells is seen when all are asked again.
    scene.page("/p8", &[], "told by nobody");
    assert_eq!(scene.run().crawl.changed, 0);
    scene.config.crawl.strategy = StrategyName::Full;
    let report = scene.run();
    is_well(&report);
    assert_eq!((asked(&scene).len(), report.crawl.changed), (PAGES, 1));
    assert_eq!(report.tally.skipped.lastmod, 0);
}

#[test]
fn lastmod_does_not_believe_for_ever() {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.max_age_days = 10;
    scene.config.crawl.refetch_share = 0.0;
    scene.run();
    go_to_day(9);
    scene.run();
    assert_eq!(asked(&scene), BTreeSet::new());
    go_to_day(11);
    is_well(&scene.run());
    assert_eq!(asked(&scene).len(), PAGES);
    // From the last look on, also where that found nothing new.
    go_to_day(20);
    scene.run();
    assert_eq!(asked(&scene), BTreeSet::new());
}

#[test]
fn each_run_has_a_share_of_its_own() {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.25;
    scene.run();
    go_to_day(2);
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let report = scene.run();
        is_well(&report);
        let share = asked(&scene);
        assert_eq!(report.tally.skipped.lastmod, (PAGES - share.len()) as u64);
        assert!(share.is_disjoint(&seen), "{share:?} {seen:?}");
        seen.extend(share);
    }
    assert_eq!(seen.len(), PAGES, "after four runs each had its turn");
}

#[test]
fn a_sitemap_that_is_not_to_be_had_spares_nothing() {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.0;
    scene.run();
    go_to_day(2);
    let broken = sitemap(&scene.origin, &[]).status(500);
    scene.origin.set("/map.xml", broken);
    let report = scene.run();
    assert_eq!(asked(&scene).len(), PAGES);
    assert_eq!(report.tally.skipped.lastmod, 0);
}

/// A sitemap that calls these changed at a moment, and the others long ago.
fn list_at(scene: &Scene, path: &str, changed: &[usize], at: &str) {
    let (old, names) = (date(-100), (0..PAGES).map(name).collect::<Vec<_>>());
    let entry = |number: usize| match changed.contains(&number) {
        true => (names[number].as_str(), at),
        false => (names[number].as_str(), old.as_str()),
    };
    let entries: Vec<_> = (0..PAGES).map(entry).collect();
    scene.origin.set(path, sitemap(&scene.origin, &entries));
}

/// Day 3 of a crawl by lastmod. Page 7 has changed at about the time when it was fetched first, as its sitemap says;
/// that may be before or after.
fn scene_with_a_change() -> Scene {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.0;
    let at = date(0);
    scene.run();
    go_to_day(3);
    scene.page("/p7", &[], "changed");
    list_at(&scene, "/map.xml", &[7], &at);
    scene
}

#[test]
fn what_a_refused_run_has_seen_is_not_spared_by_the_next() {
    let mut scene = scene_with_a_change();
    let coverage = std::mem::replace(&mut scene.config.guard.coverage_min, 2.0);
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Failed, "{:?}", report.reasons);
    assert_eq!(asked(&scene), BTreeSet::from([7]));
    scene.config.guard.coverage_min = coverage;
    is_well(&scene.run());
    assert_eq!(asked(&scene), BTreeSet::from([7]));
    assert!(scene.stored()["p7"].contains("changed"));
}

#[test]
fn a_page_that_is_missing_is_asked_for_until_it_is_gone() {
    let scene = scene_with_a_change();
    scene.origin.remove("/p7");
    assert_eq!(scene.run().crawl.missing, 1);
    let report = scene.run();
    assert_eq!((report.crawl.missing, report.crawl.gone), (0, 1));
    assert!(!scene.stored().contains_key("p7"));
}

/// A feed of this page with this date.
fn feed(scene: &Scene, path: &str, date: &str) {
    let url = scene.origin.url(path);
    let text = format!("<feed><entry><link href='{url}'/><updated>{date}</updated></entry></feed>");
    let page = Page::new("application/atom+xml", text);
    scene.origin.set("/feed", page);
}

#[test]
fn a_feed_that_nobody_calls_a_sitemap_spares_nothing() {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.0;
    // A seed, so that it is read before the turn of any stored page.
    scene.config.site.seeds.push(scene.url("/feed"));
    feed(&scene, "/unlisted", &date(-100));
    scene.run();
    go_to_day(3);
    feed(&scene, "/unlisted", &date(-99));
    scene.run();
    assert_eq!(asked(&scene), BTreeSet::new(), "its sitemap spares those");
    assert_eq!(scene.times()["/unlisted"], 1);
}

#[test]
fn of_two_sitemaps_that_name_a_page_the_later_date_counts() {
    let mut scene = scene();
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.0;
    let at = date(0);
    robots(&scene.origin, "", &["/map.xml", "/other.xml"]);
    list_at(&scene, "/other.xml", &[], &at);
    scene.run();
    go_to_day(3);
    // Whichever is read last, of one page it says less than the other.
    list_at(&scene, "/map.xml", &[7], &at);
    list_at(&scene, "/other.xml", &[8], &at);
    scene.run();
    assert_eq!(asked(&scene), BTreeSet::from([7, 8]));
}
