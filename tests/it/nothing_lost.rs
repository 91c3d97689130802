//! Promise: what a crawl ought to ask for is asked for, once, whatever else goes on; and each URL counts once in the
//! report. Checked by what a scripted site was asked for.

use std::time::Duration;

use standin::config::StrategyName;
use standin::run::{self, Verdict};

use crate::support::origin::{Origin, Page, compressed};
use crate::support::scene::{Scene, index, robots, sitemap};

/// How often a path with its query was asked for in the last run.
fn times(scene: &Scene, path: &str) -> usize {
    scene.times().get(path).copied().unwrap_or(0)
}

/// A sitemap of these paths, all changed at a time long ago.
fn dated(scene: &Scene, paths: &[&str]) -> Page {
    let entries: Vec<(&str, &str)> = paths
        .iter()
        .map(|path| (*path, "2020-01-02T03:04:05Z"))
        .collect();
    sitemap(&scene.origin, &entries)
}

/// A moment in the next run, which a slow page keeps going until it has passed.
fn during_a_run_with(scene: &Scene, slow: &str) -> String {
    let page = Page::html("slow").delayed(Duration::from_secs(4));
    scene.origin.set(slow, page);
    run::rfc3339(run::now() + 2)
}

fn index_of(scene: &Scene, paths: &[&str]) -> Page {
    let entries: Vec<(&str, &str)> = paths.iter().map(|path| (*path, "")).collect();
    index(&scene.origin, &entries)
}

/// A site of this many pages that a sitemap names with the time of their last change, and one that nobody names with
/// a time and that comes last in the order of URLs.
fn with_dated_pages(count: usize) -> Scene {
    let scene = Scene::new();
    let paths: Vec<String> = (0..count).map(|n| format!("/dated/{n}")).collect();
    for path in &paths {
        scene.origin.set(path, Page::html(format!("page {path}")));
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    scene.origin.set("/sitemap.xml", dated(&scene, &paths));
    robots(&scene.origin, "", &["/sitemap.xml"]);
    scene
        .origin
        .set("/", Page::html("<a href=/zz-undated>undated</a>"));
    scene.origin.set("/zz-undated", Page::html("undated"));
    scene
}

#[test]
fn pages_that_are_spared_do_not_end_the_walk() {
    // However many pages in a row need not be asked for, those behind them have their turn.
    let mut scene = with_dated_pages(300);
    scene.config.crawl.strategy = StrategyName::Lastmod;
    scene.config.crawl.refetch_share = 0.0;
    assert_eq!(scene.run().crawl.new, 304);
    let second = scene.run();
    assert_eq!(second.tally.skipped.lastmod, 300);
    assert_eq!(times(&scene, "/zz-undated"), 1);
    assert_eq!((second.crawl.known, second.crawl.kept), (304, 304));
    assert_eq!(scene.origin.requests().len(), 4 + 1, "one more look");
}

#[test]
fn a_packed_sitemap_is_read_although_its_index_is_unchanged() {
    // The index says "not modified"; its sitemap, in gzip, has a new page.
    let scene = Scene::new();
    let origin = &scene.origin;
    let packed = |paths: &[&str]| {
        let text = compressed(&dated(&scene, paths).body);
        Page::new("application/gzip", text)
    };
    origin.set("/", Page::html("home"));
    robots(&scene.origin, "", &["/index.xml"]);
    origin.set("/index.xml", index_of(&scene, &["/map.xml.gz"]));
    origin.set("/map.xml.gz", packed(&["/a"]));
    origin.set("/a", Page::html("a"));
    let first = scene.run();
    assert_eq!((first.verdict, first.crawl.new), (Verdict::Ok, 5));
    origin.set("/map.xml.gz", packed(&["/a", "/b"]));
    origin.set("/b", Page::html("b"));
    let second = scene.run();
    assert_eq!(second.reasons, Vec::<String>::new());
    assert_eq!((second.crawl.new, second.crawl.changed), (1, 1));
}

#[test]
fn a_packed_sitemap_that_a_page_links_to_is_read_as_one() {
    // The home page is seen before the index that says what the file is.
    let scene = Scene::new();
    let origin = &scene.origin;
    origin.set("/", Page::html("<a href=/map.gz>all of it</a>"));
    robots(&scene.origin, "", &["/index.xml"]);
    origin.set("/index.xml", index_of(&scene, &["/map.gz"]));
    let text = compressed(&dated(&scene, &["/only-there"]).body);
    origin.set("/map.gz", Page::new("application/gzip", text));
    origin.set("/only-there", Page::html("there"));
    let report = scene.run();
    assert_eq!(report.reasons, Vec::<String>::new());
    assert_eq!(report.crawl.new, 5);
    assert_eq!(times(&scene, "/only-there"), 1);
}

#[test]
fn a_sitemap_that_has_moved_is_no_loss() {
    // Where it leads is read in its place; where that is out of the site it is a sitemap that cannot be had.
    let scene = Scene::new();
    let origin = &scene.origin;
    origin.set("/", Page::html("home"));
    robots(&scene.origin, "", &["/sitemap.xml"]);
    origin.set("/sitemap.xml", Page::redirect(301, "/map"));
    let text = format!("{}\n", origin.url("/only-there"));
    origin.set("/map", Page::new("text/plain", text));
    origin.set("/only-there", Page::html("there"));
    for new in [5, 0] {
        let report = scene.run();
        assert_eq!(report.reasons, Vec::<String>::new());
        assert_eq!((report.verdict, report.crawl.new), (Verdict::Ok, new));
        assert_eq!(report.tally.sitemaps.len(), 2);
        assert!(
            report
                .tally
                .sitemaps
                .iter()
                .all(|line| line.error.is_none())
        );
    }
    origin.set("/sitemap.xml", Page::redirect(301, "https://else.where/"));
    let report = scene.run();
    assert_eq!(report.verdict, Verdict::Degraded);
    assert_eq!(report.crawl.known, 5);
}

#[test]
fn what_robots_txt_forbids_counts_once() {
    // Named by two sitemaps, by a page and by an earlier crawl, stored before or not; and it is noted once for good.
    let scene = Scene::new();
    let origin = &scene.origin;
    origin.set("/", Page::html("<a href=/no/1>1</a>"));
    origin.set("/no/1", Page::html("1"));
    assert_eq!(scene.run().crawl.new, 2);
    origin.set("/", Page::html("<a href=/no/1>1</a><a href=/no/2>2</a>."));
    let rules = "Disallow: /no/";
    robots(&scene.origin, rules, &["/index.xml"]);
    origin.set("/index.xml", index_of(&scene, &["/one.xml", "/two.xml"]));
    let named = ["/no/1", "/no/2", "/no/3"];
    origin.set("/one.xml", dated(&scene, &named));
    origin.set("/two.xml", dated(&scene, &named));
    for _ in 0..3 {
        let report = scene.run();
        assert_eq!(
            (report.crawl.forbidden, report.tally.skipped.robots),
            (3, 3)
        );
        assert_eq!(report.verdict, Verdict::Ok);
    }
    origin.remove("/robots.txt");
    origin.clear_requests();
    scene.run();
    assert_eq!(named.map(|path| times(&scene, path)), [1, 1, 1]);
}

#[test]
fn a_host_that_is_gone_counts_each_of_its_pages_once() {
    // Its stored pages count as known and not kept, whether they waited in a queue, in a window or in the manifest.
    let mut scene = Scene::new();
    let other = Origin::start();
    scene.config.site.hosts.push(other.authority());
    scene.config.guard.coverage_min = 0.0;
    let links: String = (0..200)
        .map(|n| format!("<a href={}>{n}</a>", other.url(&format!("/{n}"))))
        .collect();
    scene.origin.set("/", Page::html(links));
    for n in 0..200 {
        other.set(&format!("/{n}"), Page::html(format!("page {n}")));
    }
    assert_eq!(scene.run().crawl.new, 201);
    other.set("/robots.txt", Page::new("text/plain", "User-agent: *"));
    scene.run();
    other.refuse();
    let report = scene.run();
    let tally = &report.tally.hosts[&other.authority()];
    assert_eq!(report.verdict, Verdict::Degraded);
    assert_eq!((report.crawl.known, report.crawl.kept), (202, 1));
    assert_eq!(tally.errors + tally.not_asked, 201, "{tally:?}");
    assert_eq!((report.tiers[0].deleted, report.pages), (0, 202));
}

#[test]
fn a_site_that_dates_its_pages_by_the_clock_is_asked_once() {
    // A sitemap whose every page was changed "just now" says nothing about when: it is no reason to ask for all of
    // the site a second time at the end.
    let scene = Scene::new();
    let paths: Vec<String> = (0..100).map(|n| format!("/p{n}")).collect();
    for path in &paths {
        scene.origin.set(path, Page::html(format!("page {path}")));
    }
    let during = during_a_run_with(&scene, "/p0");
    let entries: String = paths
        .iter()
        .map(|path| {
            let url = scene.origin.url(path);
            format!("<url><loc>{url}</loc><lastmod>{during}</lastmod></url>")
        })
        .collect();
    let map = Page::new("application/xml", format!("<urlset>{entries}</urlset>"));
    scene.origin.set("/sitemap.xml", map);
    robots(&scene.origin, "", &["/sitemap.xml"]);
    scene.origin.set("/", Page::html("home"));
    let report = scene.run();
    assert_eq!((report.crawl.new, report.crawl.fetched), (103, 103));
    assert!(paths.iter().all(|path| times(&scene, path) == 1));
}

#[test]
fn a_second_look_that_fails_takes_nothing_back() {
    // A page that was published during the crawl is asked for again at its end. When it cannot be had then, what came
    // before stands.
    let scene = Scene::new();
    let origin = &scene.origin;
    let map = |entries: &str| Page::new("application/xml", format!("<urlset>{entries}</urlset>"));
    let plain: String = (0..50)
        .map(|n| format!("<url><loc>{}</loc></url>", origin.url(&format!("/p{n}"))))
        .collect();
    for n in 0..50 {
        origin.set(&format!("/p{n}"), Page::html(format!("page {n}")));
    }
    let url = origin.url("/p7");
    let during = during_a_run_with(&scene, "/p0");
    let dated = format!("{plain}<url><loc>{url}</loc><lastmod>{during}</lastmod></url>");
    origin.set_in_turn("/sitemap.xml", vec![map(&plain), map(&dated)]);
    robots(&scene.origin, "", &["/sitemap.xml"]);
    origin.set("/", Page::html("home"));
    let good = Page::html("page 7");
    origin.set_in_turn("/p7", vec![good, Page::html("").status(500)]);
    let report = scene.run();
    assert!(times(&scene, "/p7") > 1, "there was a second look");
    assert_eq!((report.crawl.new, report.pages), (53, 53));
    assert_eq!(scene.stored()["p7"], "page 7");
}

#[test]
fn a_first_run_asks_for_everything_once() {
    // How the host is known is found out by the same request that brings the home page.
    let scene = Scene::new();
    let links: String = (0..30).map(|n| format!("<a href=/p{n}>{n}</a>")).collect();
    scene.origin.set("/", Page::html(links));
    for n in 0..30 {
        scene.origin.set(&format!("/p{n}"), Page::html("page"));
    }
    let report = scene.run();
    let mut targets: Vec<String> = scene.origin.requests().into_iter().map(|r| r.1).collect();
    targets.sort();
    let all = targets.len();
    targets.dedup();
    assert_eq!((all, targets.len(), report.crawl.requests), (32, 32, 32));
    assert_eq!(report.crawl.new, 31);
}

#[test]
fn what_looks_endless_is_taken_when_a_sitemap_names_it() {
    // Although the home page, which links to it, was seen first.
    let scene = Scene::new();
    let odd = "/a/a/a/a/a/a";
    let origin = &scene.origin;
    origin.set(
        "/",
        Page::html(format!("<a href={odd}>1</a><a href=/b{odd}>2</a>")),
    );
    robots(&scene.origin, "", &["/sitemap.xml"]);
    origin.set("/sitemap.xml", dated(&scene, &[odd]));
    origin.set(odd, Page::html("odd"));
    let report = scene.run();
    assert_eq!((report.crawl.new, report.crawl.broken_links), (4, 0));
    assert_eq!(times(&scene, &["/b", odd].concat()), 0);
}

#[test]
fn a_form_that_leads_to_itself_has_an_end() {
    // Each answer has the form again with the next number in a hidden field: the bound on queries of one path ends it.
    let mut scene = Scene::new();
    scene.config.crawl.forms = vec!["/ask".into()];
    scene.config.crawl.query_variants_max = 10;
    scene.origin.set("/", Page::html("<a href=/ask>ask</a>"));
    let form = |n: usize| {
        Page::html(format!(
            "<form action=/ask><input type=hidden name=n value={n}><button>go</form>"
        ))
    };
    scene.origin.set("/ask", form(0));
    for n in 0..20 {
        scene.origin.set(&format!("/ask?n={n}"), form(n + 1));
    }
    let report = scene.run();
    assert_eq!(report.crawl.new, 2 + 10);
    assert_eq!(report.tally.skipped.traps, 1);
}
