//! What a site says for the moment is not what it is: redirects of a bad hour, rules that are lifted later.

use standin::config::{self, Config};
use standin::db::Fuse;
use standin::run::{self, Live, RunReport, Stages, Surroundings, Verdict};
use standin::site::PageUrl;

use crate::support::origin::{Origin, Page};

struct Scene {
    origin: Origin,
    config: Config,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn with_pages() -> Scene {
        let origin = Origin::start();
        let links: String = (0..20).map(|n| format!("<a href=/p{n}>{n}</a>")).collect();
        origin.set("/", Page::html(links));
        for n in 0..20 {
            origin.set(&format!("/p{n}"), Page::html(format!("page {n}")));
        }
        let dir = tempfile::tempdir().unwrap();
        let home = PageUrl::parse(&origin.url("/")).unwrap();
        let config = config::for_tiers(&home, dir.path(), &["copy"]);
        Scene {
            origin,
            config,
            _dir: dir,
        }
    }

    fn run(&self) -> RunReport {
        standin::http::install_crypto();
        let live = Live::default();
        let around = Surroundings {
            live: &live,
            fuse: Fuse::none(),
            clock: run::now,
            verb: "run",
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(run::run(&self.config, Stages::All, around))
            .unwrap()
    }
}

#[test]
fn a_maintenance_redirect_replaces_no_page() {
    // Promise: the last good copy stays when everything redirects to one page for an hour.
    let scene = Scene::with_pages();
    assert_eq!(scene.run().crawl.new, 21);
    for n in 0..20 {
        scene
            .origin
            .set(&format!("/p{n}"), Page::redirect(302, "/maintenance"));
    }
    scene.origin.set("/maintenance", Page::html("sorry"));
    let bad_hour = scene.run();
    assert_eq!(bad_hour.verdict, Verdict::Failed, "{:?}", bad_hour.reasons);
    assert_eq!((bad_hour.generation.0, bad_hour.tiers[0].put), (1, 0));
}

#[test]
fn one_page_that_redirects_for_now_is_kept_until_it_goes_on() {
    // Promise: a 302 over a stored page needs a second crawl, a 301 is believed at once.
    let scene = Scene::with_pages();
    scene.run();
    scene.origin.set("/p3", Page::redirect(302, "/p4"));
    scene.origin.set("/p5", Page::redirect(301, "/p4"));
    let first = scene.run();
    assert_eq!((first.tiers[0].put, first.crawl.missing), (1, 1));
    assert_eq!(scene.run().tiers[0].put, 1);
}

#[test]
fn what_robots_txt_forbade_is_fetched_when_it_no_longer_does() {
    // Promise: an unchanged page need not name its links again for them to be remembered.
    let scene = Scene::with_pages();
    let rules = "User-agent: *\nDisallow: /p1\n";
    scene
        .origin
        .set("/robots.txt", Page::new("text/plain", rules));
    let strict = scene.run();
    assert_eq!((strict.crawl.forbidden, strict.pages), (11, 11));
    scene.origin.remove("/robots.txt");
    assert_eq!(scene.run().crawl.new, 11);
}

#[test]
fn a_page_that_redirected_to_itself_is_asked_for_again() {
    // Promise: a mishap of the first crawl is not for ever.
    let scene = Scene::with_pages();
    scene.origin.set("/p3", Page::redirect(302, "/p3"));
    assert_eq!(scene.run().crawl.errors, 1);
    scene.origin.set("/p3", Page::html("page 3"));
    assert_eq!(scene.run().crawl.new, 1);
}

#[test]
fn a_link_with_a_session_leads_to_the_page_without_it() {
    // Promise: on a site that puts a visitor's number into every link, each page is taken once, under the URL that
    // people share, and never under a visitor's.
    let scene = Scene::with_pages();
    let links = "<a href='/p1?PHPSESSID=0123456789abcdef'>1</a><a href='/new?a=1&sid=fedcba9876543210'>2</a>";
    scene.origin.set("/", Page::html(links));
    scene.origin.set("/p1", Page::html("page 1"));
    scene.origin.set("/new?a=1", Page::html("new"));
    let report = scene.run();
    assert_eq!((report.crawl.new, report.crawl.broken_links), (3, 0));
    assert_eq!(report.tally.skipped.traps, 2);
    let requests = scene.origin.requests();
    assert!(
        requests
            .iter()
            .all(|(_, target, _)| !target.contains("sid")),
        "{requests:?}"
    );
}

#[test]
fn a_bound_that_is_raised_counts_for_pages_that_have_not_changed() {
    // Promise: after a change of what is left out on purpose, links are looked for again where they were found
    // before; and only then.
    let mut scene = Scene::with_pages();
    let page = |text: &'static str| Page::html(text).etag("\"same\"");
    scene
        .origin
        .set("/", page("<a href=/a/a/a/a/a/deep>deep</a>"));
    scene.origin.set("/a/a/a/a/a/deep", page("deep"));
    let first = scene.run();
    assert_eq!((first.crawl.new, first.tally.skipped.traps), (1, 1));
    let second = scene.run();
    assert_eq!((second.crawl.new, second.crawl.not_modified), (0, 1));
    scene.config.crawl.segment_repeats_max = 5;
    assert_eq!(scene.run().crawl.new, 1);
    let last = scene.run();
    assert_eq!((last.crawl.new, last.crawl.not_modified), (0, 2));
}
