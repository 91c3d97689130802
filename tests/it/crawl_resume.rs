//! Promise: a crawl that was killed goes on where it was. What was on the disk by then is not asked for again, neither new
//! pages nor stored ones; what was under way is; and in the end nothing is missing.

use std::collections::BTreeMap;

use crate::support::origin::Page;
use crate::support::scene::{Scene, index, robots, sitemap, wait_seconds};

/// Enough for the frontier to be flushed in mid-crawl.
const PAGES: usize = 7_000;

/// What may be under way, or on its way to the disk, when a process dies: the windows of the engine and of the writer.
const UNDER_WAY: usize = 1_500;

/// Flushes before the first one of a crawl under way: the manifest notes what it is a mirror of, and the frontier that
/// the crawl is past its beginning.
const FLUSHES_BEFORE_A_FIRST: u64 = 4;
const FLUSHES_BEFORE_A_LATER: u64 = 1;

fn large() -> Scene {
    let scene = Scene::new();
    let links: String = (0..PAGES)
        .map(|number| format!("<a href=/p/{number}>x</a>"))
        .collect();
    scene.origin.set("/", Page::html(links).etag("\"home\""));
    scene
        .origin
        .invent("/p/", |target| Page::html(target.to_owned()).etag("\"1\""));
    scene
}

/// Kills a crawl right behind a flush of its frontier, and lets another one go on; how often each page was asked for.
fn killed_and_resumed(scene: &mut Scene, flushes: u64) -> BTreeMap<String, usize> {
    scene.run_killed("db.flushed", flushes);
    let mut times = scene.times();
    let before: usize = pages(&times).count();
    // On a machine that is busy, the flush comes sooner.
    assert!(before < PAGES, "it died when everything was asked for");
    let report = scene.crawl();
    assert!(report.resumed);
    assert_eq!(report.pages, PAGES as u64 + 1);
    for (path, count) in scene.times() {
        *times.entry(path).or_default() += count;
    }
    times
}

fn pages(times: &BTreeMap<String, usize>) -> impl Iterator<Item = &usize> {
    let all = times.iter().filter(|(path, _)| path.starts_with("/p/"));
    all.map(|(_, count)| count)
}

fn nothing_confirmed_is_asked_again(times: &BTreeMap<String, usize>) {
    assert_eq!(pages(times).count(), PAGES, "nothing is missing");
    assert!(pages(times).all(|count| *count <= 2));
    let twice = pages(times).filter(|count| **count == 2).count();
    assert!(
        twice <= UNDER_WAY,
        "{twice} of {PAGES} pages were asked for twice"
    );
}

#[test]
fn a_first_crawl_goes_on_where_it_was() {
    let mut scene = large();
    let times = killed_and_resumed(&mut scene, FLUSHES_BEFORE_A_FIRST);
    nothing_confirmed_is_asked_again(&times);
}

#[test]
fn sitemaps_that_were_read_before_are_told_and_looked_at_again() {
    let mut scene = large();
    robots(&scene.origin, "", &["/index.xml"]);
    let children = [("/a.xml", ""), ("/b.xml", "")];
    let whole = index(&scene.origin, &children);
    scene.origin.set("/index.xml", whole);
    let pages = [("/p/1", ""), ("/p/2", "")];
    scene.origin.set("/a.xml", sitemap(&scene.origin, &pages));
    scene.origin.set("/b.xml", Page::html("busy").status(503));
    scene.run_killed("db.flushed", FLUSHES_BEFORE_A_FIRST);
    scene.times();
    let report = scene.crawl();
    assert!(report.resumed);
    let told = report.tally.sitemaps.iter();
    let told: Vec<_> = told
        .map(|line| (line.url.path(), line.urls, line.error.is_some()))
        .collect();
    let expected = [
        ("/a.xml", 2, false),
        ("/b.xml", 0, true),
        ("/index.xml", 2, false),
    ];
    assert_eq!(told, expected);
    let asked = scene.times();
    assert_eq!(asked["/index.xml"], 1, "the second look at the end");
}

#[test]
fn a_walk_through_stored_pages_goes_on_where_it_was() {
    let mut scene = large();
    scene.crawl();
    let times = killed_and_resumed(&mut scene, FLUSHES_BEFORE_A_LATER);
    nothing_confirmed_is_asked_again(&times);
}

#[test]
fn what_a_killed_run_has_seen_undoes_nothing_that_a_later_one_has() {
    let mut scene = Scene::new();
    scene.page("/", &["/a"], "home");
    let page = |text: &str, etag: &str| Page::html(text.to_owned()).etag(etag);
    scene.origin.set("/a", page("one", "\"1\""));
    scene.run();
    // The same bytes under another tag, seen by a run that dies before it commits.
    scene.origin.set("/a", page("one", "\"2\""));
    scene.run_killed("db.flushed", 1);
    assert!(scene.asked().contains(&"/a".to_owned()));
    wait_seconds(60);
    scene.origin.set("/a", page("two", "\"3\""));
    scene.run_only(&["/a"]);
    assert!(scene.run().resumed);
    scene.run();
    let headers = scene.origin.last_headers("/a");
    let condition = headers.iter().find(|(name, _)| name == "if-none-match");
    assert_eq!(condition.map(|(_, tag)| tag.as_str()), Some("\"3\""));
}
