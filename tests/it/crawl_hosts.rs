//! Promise: robots.txt rules, and no host holds up another. What it forbids is not asked for, stored or not, and counted;
//! where it cannot be had, the last good one rules, and where there never was one nothing is asked of that host. A
//! host that does not answer ends its own part of the run in bounded time: the pages of the others are taken, the
//! verdict names it, its stored pages stay, and the next run asks it again.

use std::time::Duration;

use standin::run::{RunReport, Verdict};

use crate::support::origin::{Origin, Page};
use crate::support::scene::{Scene, asked, robots};

/// What a run with a dead host may take: its patience is twenty seconds.
const PATIENCE_SECONDS: f64 = 40.0;

fn rules(origin: &Origin, text: &str) {
    origin.set("/robots.txt", Page::new("text/plain", text.to_owned()));
}

/// A home page with links to these, each of them a page.
fn site(paths: &[&str]) -> Scene {
    let scene = Scene::new();
    scene.page("/", paths, "home");
    for path in paths {
        scene.page(path, &[], path);
    }
    scene
}

#[test]
fn what_robots_txt_forbids_is_not_asked_for_and_stays() {
    let scene = site(&["/a", "/private/b", "/private/c", "/private/open"]);
    robots(
        &scene.origin,
        "Disallow: /private/\nAllow: /private/open",
        &[],
    );
    let report = scene.run();
    assert_eq!(
        scene.asked_sorted(),
        ["/", "/a", "/private/open", "/robots.txt"]
    );
    assert_eq!(
        (report.crawl.forbidden, report.tally.skipped.robots),
        (2, 2)
    );
    // Stored pages it forbids later stay as they are, and are not asked for.
    robots(&scene.origin, "Disallow: /private/\nDisallow: /a", &[]);
    let report = scene.run();
    assert_eq!(scene.asked_sorted(), ["/", "/robots.txt"]);
    assert_eq!(report.crawl.forbidden, 4);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert!(scene.stored().contains_key("a"));
    // And one's own site can be taken whole.
    let mut scene = scene;
    scene.config.site.robots = standin::config::RobotsPolicy::Ignore;
    scene.run();
    assert!(scene.asked().contains(&"/private/b".to_owned()));
}

#[test]
fn the_last_good_rules_hold_when_there_are_none_today() {
    let scene = site(&["/a", "/private/b"]);
    robots(&scene.origin, "Disallow: /private/", &[]);
    scene.run();
    scene.page(
        "/",
        &["/a", "/private/b", "/private/new", "/new"],
        "home, edited",
    );
    scene.page("/new", &[], "new");
    let ill = Page::html("").status(503);
    scene.origin.set("/robots.txt", ill);
    scene.run();
    let times = scene.times();
    assert_eq!((times["/a"], times["/new"]), (1, 1));
    assert!(
        !times.keys().any(|path| path.starts_with("/private")),
        "{times:?}"
    );
    // One that is gone permits everything.
    scene.origin.remove("/robots.txt");
    scene.run();
    assert_eq!(scene.times()["/private/b"], 1);
}

#[test]
fn nothing_is_asked_where_there_never_were_rules() {
    let scene = site(&["/a"]);
    scene.origin.set("/robots.txt", Page::html("").status(500));
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Failed);
    // The home page once, to find out the scheme of its host.
    let mut asked = scene.asked();
    asked.retain(|path| path != "/robots.txt");
    assert_eq!(asked, ["/"]);
    let why = report.reasons.join("\n");
    assert!(why.contains("robots.txt"), "{why}");
}

#[test]
fn a_robots_txt_that_lies_elsewhere_is_followed() {
    let scene = site(&["/a", "/private/b"]);
    scene
        .origin
        .set("/robots.txt", Page::redirect(301, "/rules.txt"));
    scene
        .origin
        .set("/rules.txt", Page::redirect(302, "/rules"));
    let text = "User-agent: *\nDisallow: /private\n";
    scene.origin.set("/rules", Page::new("text/plain", text));
    scene.run();
    let times = scene.times();
    assert!(
        times.contains_key("/a") && !times.contains_key("/private/b"),
        "{times:?}"
    );
}

#[test]
fn a_robots_txt_that_leads_to_a_page_hides_none_of_its_links() {
    let scene = site(&["/a", "/b"]);
    // A site that answers whatever it does not have with its home page.
    scene.origin.set("/robots.txt", Page::redirect(302, "/"));
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    let times = scene.times();
    assert!(
        times.contains_key("/a") && times.contains_key("/b"),
        "{times:?}"
    );
}

#[test]
fn a_redirect_wipes_no_rules_that_were_there() {
    let scene = site(&["/a", "/private/b"]);
    robots(&scene.origin, "Disallow: /private/", &[]);
    scene.run();
    let ways = [
        (
            "what it leads to is ill",
            "/rules",
            Page::html("").status(503),
        ),
        ("to a page", "/rules", Page::html("<p>We are back soon.")),
        ("in a circle", "/rules", Page::redirect(302, "/robots.txt")),
        (
            "out of the site",
            "/rules",
            Page::redirect(302, "http://login.example/"),
        ),
        ("a page at once", "/robots.txt", Page::html("<p>Log in.")),
    ];
    for (number, (way, place, page)) in ways.into_iter().enumerate() {
        let (new, private) = (format!("/new{number}"), format!("/private/{number}"));
        scene.page("/", &[&new, &private, "/private/b"], "home, edited");
        scene.page(&new, &[], "new");
        scene.page(&private, &[], "private");
        let moved = Page::redirect(301, "/rules");
        scene.origin.set("/robots.txt", moved);
        scene.origin.set(place, page);
        let report = scene.run();
        let times = scene.times();
        assert_eq!(times[&new], 1, "{way}: {:?}", report.reasons);
        let is_private = |path: &String| path.starts_with("/private");
        assert!(!times.keys().any(is_private), "{way}: {times:?}");
    }
}

/// A scene whose home links to two pages of a second host, which has ten pages of its own against forty.
fn with_a_second_host() -> (Scene, Origin) {
    let second = Origin::start();
    let mut scene = Scene::new();
    scene.config.site.hosts.push(second.authority());
    scene.config.crawl.answer_timeout_s = 1;
    scene.config.crawl.connect_timeout_s = 1;
    let mut links: Vec<String> = (0..40).map(|number| format!("/p{number}")).collect();
    for link in &links {
        scene.page(link, &[], link);
    }
    links.push(second.url("/"));
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    scene.page("/", &links, "home");
    let inner: Vec<String> = (0..8)
        .map(|number| format!("<a href=/s{number}>x</a>"))
        .collect();
    second.set("/", Page::html(inner.concat()));
    for number in 0..8 {
        second.set(&format!("/s{number}"), Page::html(format!("s{number}")));
    }
    rules(&second, "User-agent: *\nDisallow: /no\n");
    (scene, second)
}

fn names(report: &RunReport, host: &Origin) -> bool {
    let host = host.authority();
    report.reasons.iter().any(|reason| reason.contains(&host))
}

fn is_over_in_time(report: &RunReport) {
    assert!(report.seconds < PATIENCE_SECONDS, "{} s", report.seconds);
}

#[test]
fn a_host_that_refuses_ends_its_part_and_no_other() {
    let (scene, second) = with_a_second_host();
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    let before = scene.stored_of(&second);
    assert_eq!(before.len(), 10);
    second.refuse();
    scene.page("/p0", &[], "edited");
    let report = scene.run();
    is_over_in_time(&report);
    assert_eq!(report.verdict, Verdict::Degraded, "{:?}", report.reasons);
    assert!(names(&report, &second), "{:?}", report.reasons);
    let host = &report.tally.hosts[&second.authority()];
    assert!(host.given_up.is_some(), "{host:?}");
    assert!(scene.stored()["p0"].contains("edited"));
    assert!(scene.stored_of(&second) == before);
    assert_eq!((report.crawl.gone, report.crawl.missing), (0, 0));
    assert!(asked(&second).len() <= 30, "{:?}", asked(&second));
    second.accept();
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(report.crawl.known, 51);
}

#[test]
fn a_host_that_falls_silent_ends_its_part_and_no_other() {
    let (scene, second) = with_a_second_host();
    // Its robots.txt is to be had, and nothing more.
    let stuck = Page::html("never").delayed(Duration::from_secs(3_600));
    for number in 0..8 {
        second.set(&format!("/s{number}"), stuck.clone());
    }
    let report = scene.run();
    is_over_in_time(&report);
    assert_eq!(report.verdict, Verdict::Degraded, "{:?}", report.reasons);
    assert!(names(&report, &second), "{:?}", report.reasons);
    assert_eq!(scene.stored().len(), 41);
    for number in 0..8 {
        second.set(&format!("/s{number}"), Page::html("well again"));
    }
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(scene.stored_of(&second).len(), 10);
}

#[test]
fn a_host_that_never_answered_is_named_and_asked_again() {
    let (scene, second) = with_a_second_host();
    second.refuse();
    let report = scene.run();
    is_over_in_time(&report);
    assert_eq!(report.verdict, Verdict::Degraded, "{:?}", report.reasons);
    assert!(names(&report, &second), "{:?}", report.reasons);
    assert_eq!(scene.stored().len(), 41);
    second.accept();
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(
        scene.stored_of(&second).len(),
        10,
        "its page is remembered though home is unchanged"
    );
}
