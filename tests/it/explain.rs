//! Promise: `explain` says which rule decides about a URL, under which spelling the mirror knows it, and why a page
//! that was linked to is none; checked on a small site with one broken link. `config check` says what a crawl
//! leaves out on purpose.

use standin::crawl::RobotsMemory;
use standin::site::PageUrl;

use crate::support::binary::{Mirror, folder_tier, site};
use crate::support::origin::{Origin, Page};

fn mirrored(options: &str) -> (Origin, Mirror) {
    let origin = Origin::start();
    origin.set(
        "/",
        Page::html("<a href=/page>Page</a> <a href=/lost>Lost</a>"),
    );
    origin.set("/page", Page::html("<p>A page.</p>"));
    let mirror = Mirror::new(&[site(&origin), options.to_owned(), folder_tier("copy")].concat());
    mirror.run(&["run", "--json"]);
    (origin, mirror)
}

#[test]
fn a_link_that_led_nowhere_is_explained() {
    let (origin, mirror) = mirrored("");
    let told = mirror.run(&["explain", &origin.url("/lost")]).expect(0);
    let line = format!(
        "  not had  the answer was 404 (linked from {})\n",
        origin.url("/")
    );
    assert!(told.stdout.contains(&line), "{told:#?}");
    assert!(told.stdout.contains("entry    none: never stored"));
    let json = mirror
        .run(&["explain", &origin.url("/lost"), "--json"])
        .expect(0)
        .json();
    assert_eq!(json["pending"]["why"], "the answer was 404");
    assert_eq!(json["pending"]["from"], origin.url("/"));
    assert_eq!(json["entry"], serde_json::Value::Null);
}

#[test]
fn a_page_is_explained_under_its_own_spelling() {
    let (origin, mirror) =
        mirrored("robots = \"ignore\"\n[crawl]\nforms = [\"/none/\", \"/page$\"]\n");
    let asked = origin.url("/a/../page#part");
    let told = mirror.run(&["explain", &asked]).expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!(lines[0], origin.url("/page"));
    assert_eq!(
        lines[1],
        format!("  asked    {asked}: known under the URL above")
    );
    for line in [
        "  robots   not asked: site.robots is \"ignore\"",
        "  asked if always: crawl.strategy is \"full\"",
        "  forms    enumerated: `/page$` in crawl.forms matches",
    ] {
        assert!(lines.contains(&line), "{line}\n{told:#?}");
    }
    let json = mirror.run(&["explain", &asked, "--json"]).expect(0).json();
    assert_eq!(json["asked"], asked);
    assert_eq!(json["url"], origin.url("/page"));
    assert_eq!(json["pending"], serde_json::Value::Null);
}

#[test]
fn of_a_url_outside_the_site_the_rule_alone_is_told() {
    let (_origin, mirror) = mirrored("");
    let told = mirror
        .run(&["explain", "https://elsewhere.example/"])
        .expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!(lines[0], "https://elsewhere.example/");
    assert_eq!(
        lines[1],
        "  rule     `elsewhere.example` is not among `hosts`"
    );
    assert!(!told.stdout.contains("asked if"), "{told:#?}");
}

#[test]
fn the_rules_of_the_crawl_are_explained() {
    let (origin, mirror) = mirrored("[crawl]\npath_segments_max = 2\n");
    let home = PageUrl::parse(&origin.url("/")).expect("a URL");
    let mut memory = RobotsMemory::open(&mirror.path("state/robots.json"));
    memory.remember(
        home.authority(),
        "User-agent: *\nDisallow: /private\n",
        1_795_000_000,
    );
    memory.save().expect("there is room");
    let told = mirror
        .run(&["explain", &origin.url("/private/a/b")])
        .expect(0);
    let robots = "  robots   forbidden: robots.txt: Disallow: /private (of 2026-11-18T11:06:40Z)\n";
    assert!(told.stdout.contains(robots), "{told:#?}");
    let endless = "  endless  3 path segments, more than 2 (crawl.path_segments_max)\n";
    assert!(told.stdout.contains(endless), "{told:#?}");
    let sid = origin.url("/page?sid=0123456789abcdef");
    let json = mirror.run(&["explain", &sid, "--json"]).expect(0).json();
    let expected = format!(
        "a session id in `sid` (crawl.session_parameters); asked for as {}",
        origin.url("/page")
    );
    assert_eq!(json["trap"], expected);
    let robots = json["robots"].as_str().expect("a text");
    assert!(robots.starts_with("allowed: "), "{robots}");
}

#[test]
fn a_configuration_that_asks_for_less_says_so() {
    let crawl =
        "[crawl]\nstrategy = \"lastmod\"\nquiet_hours = [\"22:00-06:00\"]\nforms = [\"/y/\"]\n";
    let site = "[site]\nseeds = [\"https://www.example.org/\"]\n";
    let mirror = Mirror::new(&[site, crawl, &folder_tier("copy")].concat());
    let told = mirror.run(&["config", "check"]).expect(0);
    for line in [
        "  asks    for what no sitemap calls unchanged, and for all within 30 days\n",
        "  quiet   22:00-06:00 UTC\n",
        "  forms   on /y/\n",
    ] {
        assert!(told.stdout.contains(line), "{line}{told:#?}");
    }
    let json = mirror.run(&["config", "check", "--json"]).expect(0).json();
    assert_eq!(json["strategy"], "lastmod");
}
