//! Promise: `run --only` takes the pages it is given, with what they are made of, through to every tier and asks for
//! nothing else. Their other links wait for the next whole run. It is a witness for what pages are, not against
//! them: 404 withdraws nothing however often, an error fails and replaces nothing. A whole run that was cut short
//! goes on afterwards as if nothing had been, and its older answers replace no newer ones.

use standin::run::Verdict;

use crate::support::origin::{Origin, Page};
use crate::support::scene::{Scene, asked, robots, sitemap, wait_seconds};

/// A site with three pages, mirrored.
fn mirrored() -> Scene {
    let scene = Scene::new();
    scene.page("/", &["/a", "/b"], "home");
    scene.page("/a", &[], "a");
    scene.page("/b", &[], "b");
    robots(&scene.origin, "", &["/map.xml"]);
    scene
        .origin
        .set("/map.xml", sitemap(&scene.origin, &[("/a", "")]));
    assert_eq!(scene.run().verdict, Verdict::Ok);
    scene
}

#[test]
fn a_new_page_comes_with_what_it_is_made_of_and_nothing_else() {
    let scene = mirrored();
    let page = "<link rel=stylesheet href=/new.css><a href=/photo.png><img src=/photo.png></a>\
        <a href=/a>A</a><a href=/elsewhere>Elsewhere</a>";
    scene.origin.set("/new", Page::html(page));
    let sheet = Page::new("text/css", "p { background: url(back.png) }");
    scene.origin.set("/new.css", sheet);
    scene
        .origin
        .set("/photo.png", Page::new("image/png", "photo"));
    scene
        .origin
        .set("/back.png", Page::new("image/png", "back"));
    scene.page("/elsewhere", &["/farther"], "elsewhere");
    scene.page("/farther", &[], "farther");
    let report = scene.run_only(&["/new"]);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    let made_of = ["/back.png", "/new", "/new.css", "/photo.png", "/robots.txt"];
    assert_eq!(scene.asked_sorted(), made_of);
    assert_eq!((report.crawl.new, report.tiers[0].put), (4, 4));
    assert_eq!(report.tiers[0].watermark, report.generation);
    for key in ["new", "new.css", "photo.png", "back.png", "a", "b"] {
        assert!(scene.stored().contains_key(key), "{key}");
    }
    // The rest comes with the whole, though /new is unchanged then.
    let report = scene.run();
    assert_eq!(report.crawl.new, 2, "{:?}", scene.asked());
    assert!(scene.stored().contains_key("farther"));
}

#[test]
fn a_stored_page_that_changed_is_taken_and_one_that_did_not_is_confirmed() {
    let scene = mirrored();
    scene.page("/a", &["/b"], "edited");
    let report = scene.run_only(&["/a", "/b", "/a#again"]);
    assert_eq!(scene.asked_sorted(), ["/a", "/b", "/robots.txt"]);
    let counts = &report.crawl;
    assert_eq!((counts.changed, counts.not_modified), (1, 1));
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert!(scene.stored()["a"].contains("edited"));
    let report = scene.run();
    assert_eq!((report.crawl.changed, report.crawl.gone), (0, 0));
}

#[test]
fn a_page_that_redirects_is_taken_with_where_it_leads() {
    let scene = mirrored();
    scene.origin.set("/go", Page::redirect(301, "/there"));
    scene.page("/there", &["/no"], "there");
    scene.run_only(&["/go"]);
    assert_eq!(scene.asked_sorted(), ["/go", "/robots.txt", "/there"]);
    assert!(scene.stored().contains_key("there"));
}

#[test]
fn what_other_hosts_forbid_is_not_asked_for_either() {
    let second = Origin::start();
    let mut scene = Scene::new();
    scene.config.site.hosts.push(second.authority());
    scene.page("/", &[&second.url("/")], "home");
    second.set("/", Page::html("second"));
    robots(&second, "Disallow: /no", &[]);
    assert_eq!(scene.run().verdict, Verdict::Ok);
    let page = |name: &str| {
        let pictures = ["no", "yes"].map(|path| {
            let path = format!("/{path}{name}.png");
            second.set(&path, Page::new("image/png", name.to_owned()));
            format!("<img src=\"{}\">", second.url(&path))
        });
        scene.origin.set(name, Page::html(pictures.concat()));
    };
    // What it said last holds; it is not asked for that.
    page("/new");
    second.clear_requests();
    scene.run_only(&["/new"]);
    assert_eq!(asked(&second), ["/yes/new.png"]);
    // Unless nobody knows.
    let memory = scene.config.state.dir.join("robots.json");
    std::fs::remove_file(memory).expect("it was there");
    page("/newer");
    second.clear_requests();
    scene.run_only(&["/newer"]);
    assert_eq!(asked(&second), ["/robots.txt", "/yes/newer.png"]);
}

#[test]
fn a_404_is_no_witness_and_a_410_is() {
    let scene = mirrored();
    let (gone, absent) = (Page::html("").status(410), Page::html("").status(404));
    scene.origin.set("/a", absent);
    for _ in 0..3 {
        let report = scene.run_only(&["/a"]);
        assert_eq!(
            (report.verdict, report.crawl.missing),
            (Verdict::Ok, 1),
            "{:?}",
            report.reasons
        );
        assert!(scene.stored().contains_key("a"));
    }
    // Nor has it said anything that the next whole run would count.
    let report = scene.run();
    assert_eq!((report.crawl.missing, report.crawl.gone), (1, 0));
    scene.origin.set("/b", gone);
    let report = scene.run_only(&["/b"]);
    assert_eq!(
        (report.verdict, report.crawl.gone),
        (Verdict::Ok, 1),
        "{:?}",
        report.reasons
    );
    assert!(!scene.stored().contains_key("b"));
    assert!(scene.stored().contains_key("a"));
}

#[test]
fn an_error_fails_and_replaces_nothing() {
    let scene = mirrored();
    let before = scene.stored();
    scene.origin.set("/a", Page::html("broken").status(503));
    scene.origin.set("/never", Page::html("broken").status(500));
    for path in ["/a", "/never"] {
        let report = scene.run_only(&[path]);
        assert_eq!(
            report.verdict,
            Verdict::Failed,
            "{path} {:?}",
            report.reasons
        );
        assert_eq!(report.verdict.exit_code(), 2);
        assert!(
            report
                .troubles
                .iter()
                .any(|trouble| trouble.url == scene.url(path))
        );
    }
    assert!(scene.stored() == before);
    // With others, it does not keep them back.
    scene.page("/b", &[], "edited");
    let report = scene.run_only(&["/a", "/b"]);
    assert_eq!(report.verdict, Verdict::Degraded);
    assert!(
        report.reasons.iter().any(|reason| reason.contains("/a: ")),
        "{:?}",
        report.reasons
    );
    assert!(scene.stored()["b"].contains("edited"));
    robots(&scene.origin, "Disallow: /b", &[]);
    let report = scene.run_only(&["/b"]);
    assert_eq!(
        report.verdict,
        Verdict::Failed,
        "robots.txt forbids it: {:?}",
        report.reasons
    );
}

#[test]
fn a_run_that_waits_is_not_disturbed_and_its_older_answer_replaces_no_newer_one() {
    let mut scene = mirrored();
    for path in ["/a", "/b", "/c"] {
        scene.page(path, &[], "second edition");
    }
    scene.page("/", &["/a", "/b", "/c"], "home, second edition");
    // It has taken everything in, and dies before its commit.
    scene.run_killed("manifest.marker", 0);
    assert!(scene.stored()["a"].contains(">a<"), "nothing was committed");
    wait_seconds(1);
    scene.page("/a", &[], "third edition");
    let report = scene.run_only(&["/a"]);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert!(scene.stored()["a"].contains("third"));
    let report = scene.run();
    assert!(report.resumed, "it goes on where it was");
    assert!(
        !scene.asked().contains(&"/a".to_owned()),
        "{:?}",
        scene.asked()
    );
    let stored = scene.stored();
    assert!(stored["a"].contains("third"), "{}", stored["a"]);
    assert!(stored["b"].contains("second") && stored["c"].contains("second"));
}
