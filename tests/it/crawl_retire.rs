//! Promise: with `retire_after_days` a page that nothing has linked to for so long is withdrawn, and no other: not while
//! a page links to it that never changes, whether that can say so or not; not beyond what the guards permit. Linked
//! again, it comes back. Without the option everything stays.

use standin::run::{RunReport, Verdict};

use crate::support::origin::Page;
use crate::support::scene::{Scene, go_to_day};

const DAYS: i64 = 8;

/// After this many days more at the latest: every page has been searched for links since.
const SLACK: i64 = 6;

fn scene() -> Scene {
    let mut scene = Scene::new();
    scene.config.crawl.retire_after_days = Some(DAYS as u64);
    scene
}

/// One run a day, up to this one; the report of the last.
fn run_daily(scene: &Scene, from: i64, to: i64) -> RunReport {
    let mut last = None;
    for day in from..=to {
        go_to_day(day);
        let report = scene.run();
        assert_eq!(
            report.verdict,
            Verdict::Ok,
            "day {day}: {:?}",
            report.reasons
        );
        last = Some(report);
    }
    last.expect("there is a day")
}

#[test]
fn a_page_that_nothing_links_to_goes_after_its_time_and_comes_back_when_linked() {
    let scene = scene();
    scene.page("/", &["/a", "/b", "/hub"], "home");
    for path in ["/a", "/b", "/deep"] {
        scene.page(path, &[], path);
    }
    // It never says that it is unchanged, and is the only one that links to /deep.
    let hub = "<a href=/deep>deep</a>";
    scene.origin.set("/hub", Page::html(hub));
    run_daily(&scene, 0, 0);
    scene.page("/", &["/a", "/hub"], "home, without b");
    let report = run_daily(&scene, 1, DAYS - 1);
    assert!(scene.stored().contains_key("b"), "{report:?}");
    let mut retired = 0;
    for day in DAYS..=DAYS + SLACK {
        let report = run_daily(&scene, day, day);
        retired += report.tally.skipped.retired;
    }
    assert_eq!(retired, 1);
    let stored = scene.stored();
    assert!(!stored.contains_key("b"), "{:?}", stored.keys());
    for key in ["a", "hub", "deep", "index.html"] {
        assert!(stored.contains_key(key), "{key}");
    }
    // Nobody asks for it any more, until something names it.
    assert!(!scene.asked().contains(&"/b".to_owned()));
    scene.page("/", &["/a", "/hub", "/b"], "home, with b again");
    let next = DAYS + SLACK + 1;
    run_daily(&scene, next, next);
    assert!(scene.stored().contains_key("b"));
    // And what is linked stays for ever.
    run_daily(&scene, next + 1, next + 2 * DAYS);
    let all = ["a", "b", "deep", "hub", "index.html"];
    assert_eq!(scene.stored().into_keys().collect::<Vec<_>>(), all);
}

#[test]
fn the_guards_count_retired_pages_as_withdrawn_ones() {
    let scene = scene();
    let links: Vec<String> = (0..30).map(|number| format!("/p{number:02}")).collect();
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    for link in &links {
        scene.page(link, &[], link);
    }
    scene.page("/", &links, "home");
    run_daily(&scene, 0, 0);
    scene.page("/", &[], "home, empty");
    run_daily(&scene, 1, DAYS - 1);
    for day in DAYS..=DAYS + SLACK {
        go_to_day(day);
        let report = scene.run();
        assert_eq!(report.tiers[0].deleted, 0, "day {day}");
        if report.crawl.gone > 0 {
            assert_eq!(report.verdict, Verdict::Degraded);
            assert!(
                report.reasons[0].contains("gone at once"),
                "{:?}",
                report.reasons
            );
            assert_eq!(scene.stored().len(), 31);
            return;
        }
    }
    panic!("nothing was to be retired");
}

#[test]
fn without_the_option_everything_stays() {
    let mut scene = scene();
    scene.config.crawl.retire_after_days = None;
    scene.page("/", &["/b"], "home");
    scene.page("/b", &[], "b");
    run_daily(&scene, 0, 0);
    scene.page("/", &[], "home, without b");
    run_daily(&scene, 40, 44);
    assert!(scene.stored().contains_key("b"));
}

#[test]
fn after_a_kill_the_time_of_every_page_begins_anew() {
    let mut scene = scene();
    scene.page("/", &["/a", "/b"], "home");
    for path in ["/a", "/b"] {
        scene.page(path, &[], path);
    }
    run_daily(&scene, 0, 0);
    scene.page("/", &["/a"], "home, without b");
    run_daily(&scene, 1, DAYS - 1);
    let last = DAYS + SLACK;
    for day in DAYS..=last {
        go_to_day(day);
        // Behind the flush after its beginning: what it has seen linked by then is noted nowhere.
        scene.run_killed("db.flushed", 0);
        let report = scene.run();
        assert!(report.resumed);
        assert_eq!(report.tally.skipped.retired, 0, "day {day}");
    }
    run_daily(&scene, last + 1, last + DAYS - 1);
    assert!(scene.stored().contains_key("b"));
    run_daily(&scene, last + DAYS, last + DAYS + SLACK);
    assert!(!scene.stored().contains_key("b"));
}
