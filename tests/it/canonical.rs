//! What counts as a change: what every answer says anew does not, an edit of the same length does, and neither does a
//! change of the rules themselves. Checked by whole runs against a site that never gives the same bytes twice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use standin::db::Fuse;
use standin::manifest::Manifest;
use standin::run::{RunReport, Verdict};
use standin::site::{Layout, LayoutName};

use crate::support::binary::paths_below;
use crate::support::origin::Page;
use crate::support::scene::Scene;

/// The pages of the site; `/` names the others.
const PAGES: [&str; 6] = ["/", "/form", "/ids", "/cached", "/feed.xml", "/price"];

/// What its author has written, and the number of the next answer.
struct Author {
    price: Mutex<&'static str>,
    answers: AtomicU64,
}

impl Author {
    /// A number that looks random and comes once.
    fn number(&self) -> u64 {
        let answer = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        answer.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn page(&self, path: &str) -> Page {
        let number = self.number();
        // As random as such numbers are, but for what would make one of a thousand look like none.
        let (hex, short) = (
            format!("a9{:014x}{number:016x}", number >> 8),
            format!("9{:06x}a", number >> 40),
        );
        let time = format!("2026-11-21 19:{:02}:{:02}", number % 60, number / 64 % 60);
        let links: String = PAGES
            .iter()
            .map(|page| format!("<a href={page}>{page}</a>"))
            .collect();
        let page = match path {
            "/" => Page::html(format!(
                "<meta name=csp-nonce content={hex}><script nonce={hex} src=/ids></script>{links}"
            ))
            .header(
                "Content-Security-Policy",
                &format!("script-src 'nonce-{hex}'"),
            )
            .header("Link", &format!("</ids>; rel=preload; nonce={hex}")),
            "/form" => Page::html(format!(
                "<meta name=csrf-token content={hex}><form method=post><input type=hidden name=authenticity_token value={hex}>\
                 <input type=hidden name=form_build_id value=form-{hex} id=form-{hex}>\
                 <input type=hidden name=__VIEWSTATE value={hex}><input type=hidden name='a[_token]' value={hex}></form>"
            )),
            "/ids" => Page::html(format!(
                "<label for=s-{short} id=l-{short}>Search</label><input id=s-{short} aria-labelledby=l-{short}>\
                 <a href=#{hex} aria-controls={hex}>top</a><div class='view js-view-dom-id-{hex}' id={hex}></div>"
            )),
            "/cached" => Page::html(format!(
                "<p>Text<!-- Page generated in 0.{} seconds --><!-- Cached by Cache on {time} -->",
                number % 1000
            ))
            .header(
                "Expires",
                &format!("Sat, 21 Nov 2026 19:{:02}:00 GMT", number % 60),
            ),
            "/feed.xml" => Page::new(
                "application/rss+xml",
                format!(
                    "<rss><channel><lastBuildDate>{time}</lastBuildDate><item><title>t</title></item></channel></rss>"
                ),
            ),
            "/price" => {
                let price = self.price.lock().unwrap();
                Page::html(format!(
                    "<script nonce={hex}></script><p id=price-{short}>{price}</p><i aria-describedby=price-{short}>i</i>"
                ))
            }
            "/counter" => Page::html(format!("<p>Welcome</p><p class=visits>visit {number}</p>"))
                .header("X-Visit", &number.to_string()),
            "/data.json" => Page::new(
                "application/json",
                format!("{{\"made\": {number}, \"value\": 1}}"),
            ),
            _ => Page::html("nothing here").status(404),
        };
        // Types of scripts and others that browsers guess are none of this test's.
        page.header("X-Content-Type-Options", "nosniff")
    }
}

struct Site {
    scene: Scene,
    author: Arc<Author>,
}

impl Site {
    fn new() -> Site {
        let scene = Scene::new();
        let author = Arc::new(Author {
            price: Mutex::new("10.00"),
            answers: AtomicU64::new(0),
        });
        let by = Arc::clone(&author);
        scene.origin.invent("/", move |path| by.page(path));
        Site { scene, author }
    }

    /// Runs; how many pages changed, and how many objects were put. That they go together is checked here.
    fn run(&self) -> (u64, u64) {
        let report = self.scene.run();
        assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
        let crawl = report.crawl;
        assert_eq!((crawl.errors, crawl.gone, crawl.not_modified), (0, 0, 0));
        let changed = crawl.changed + crawl.new;
        assert_eq!(report.changes.len() as u64, changed, "{:?}", report.changes);
        (changed, put(&report))
    }

    fn set_price(&self, price: &'static str) {
        *self.author.price.lock().unwrap() = price;
    }

    /// Makes every body in the local store another one, so that whoever reads one fails.
    fn spoil_store(&self) {
        let mut spoilt = 0;
        for path in paths_below(&self.scene.config.state.dir.join("store")) {
            let mut bytes = std::fs::read(&path).unwrap();
            for at in 0..bytes.len().saturating_sub(3) {
                if &bytes[at..at + 3] == b"<p>" || &bytes[at..at + 3] == b"<a " {
                    bytes[at] = b'!';
                    spoilt += 1;
                }
            }
            std::fs::write(&path, bytes).unwrap();
        }
        assert!(spoilt >= PAGES.len(), "{spoilt} places");
    }
}

fn put(report: &RunReport) -> u64 {
    report.tiers.iter().map(|tier| tier.put).sum()
}

#[test]
fn an_edit_is_a_change_and_what_every_answer_says_anew_is_none() {
    // Promise: a site with nonces, tokens, random ids and comments with times, fetched twice, has not changed, and
    // nothing is sent; a price of the same length has, and it alone is sent.
    let site = Site::new();
    let pages = PAGES.len() as u64;
    assert_eq!(site.run(), (pages, pages));
    let before = site.scene.run();
    assert_eq!(
        (before.crawl.fetched, before.crawl.unchanged),
        (pages, pages)
    );
    assert_eq!((before.crawl.changed, put(&before)), (0, 0));
    assert_eq!(before.generation.0, 1);
    site.set_price("12.00");
    assert_eq!(site.run(), (1, 1));
    assert!(site.scene.stored()["price"].contains("12.00"));
    assert_eq!(site.run(), (0, 0));
}

#[test]
fn other_rules_change_no_page_and_read_no_body() {
    // Promise: each page is compared under the rules that it was stored with. The bodies in the store are spoilt first,
    // so that a run that looked at one of them would fail.
    let mut site = Site::new();
    site.run();
    site.spoil_store();
    site.scene.config.canonical.selectors = vec!["p".to_owned(), "a@href".to_owned()];
    site.scene.config.canonical.patterns = vec!["[0-9]{2}".to_owned()];
    let report = site.scene.run();
    assert_eq!(
        (report.crawl.changed, put(&report), report.generation.0),
        (0, 0, 1)
    );
    assert_eq!(report.crawl.unchanged, PAGES.len() as u64);
    // They hold from then on.
    site.set_price("12.00");
    assert_eq!(site.run(), (0, 0));
}

#[test]
fn a_rule_that_is_taken_back_hides_nothing() {
    // Promise: what a rule has hidden is a change once the rule is gone, on the page and in its headers, and so is any
    // later edit. Other pages that the rule had reached are looked up in the store, and change nothing; where their
    // bodies are lost nobody knows, and they are stored again.
    for is_lost in [false, true] {
        let mut site = Site::new();
        site.scene.config.canonical.selectors = vec!["p".to_owned()];
        site.run();
        site.set_price("12.00");
        assert_eq!(site.run(), (0, 0));
        if is_lost {
            site.spoil_store();
        }
        site.scene.config.canonical = Default::default();
        let changed = 1 + u64::from(is_lost);
        assert_eq!(site.run(), (changed, changed));
        assert!(site.scene.stored()["price"].contains("12.00"));
        assert_eq!(site.run(), (0, 0));
        site.set_price("13.00");
        assert_eq!(site.run(), (1, 1));
    }
    let mut site = Site::new();
    site.scene.config.canonical.headers =
        vec!["link".to_owned(), "x-content-type-options".to_owned()];
    site.run();
    site.set_price("12.00");
    assert_eq!(site.run(), (1, 1));
    let before = std::mem::take(&mut site.scene.config.canonical);
    assert_eq!(site.run(), (0, 0));
    // Rules that come back are the version that they were, and so are those that came after them.
    site.scene.config.canonical = before;
    assert_eq!(site.run(), (0, 0));
    site.scene.config.canonical = Default::default();
    assert_eq!(site.run(), (0, 0));
    // Nothing is recorded under the rules that are gone.
    let state = &site.scene.config.state.dir;
    let manifest =
        Manifest::open(state, &Layout::new(LayoutName::Plain, []), Fuse::none()).unwrap();
    let price = site.scene.url("/price");
    let entry = manifest.entry(&price).unwrap().unwrap();
    assert_eq!(entry.outcome.page().unwrap().rules, 1);
    assert_eq!(manifest.about().rules.len(), 2);
}

#[test]
fn a_rule_that_a_refused_run_asks_for_ends_the_refusal() {
    // Promise: a guard that refuses pages which differ in every answer does not refuse the rule for it, too.
    let site = Scene::new();
    let answers = AtomicU64::new(0);
    let links: String = (0..70)
        .map(|page| format!("<a href=/p{page}>p</a>"))
        .collect();
    site.origin.invent("/", move |path| {
        let number = answers.fetch_add(1, Ordering::Relaxed);
        match path {
            "/" => Page::html(links.clone()),
            path if !path.starts_with("/p") => Page::html("nothing here").status(404),
            _ => Page::html(format!(
                "<h1>{path}</h1><script>x={{\"visitor\":\"{number}\"}}</script>"
            )),
        }
    });
    let mut site = site;
    site.config.guard.changes_max = 0.3;
    assert_eq!(site.run().verdict, Verdict::Ok);
    let refused = site.run();
    assert_eq!(
        (refused.verdict, refused.crawl.changed),
        (Verdict::Failed, 70)
    );
    assert!(
        refused
            .reasons
            .iter()
            .any(|reason| reason.contains("for one run")),
        "{:?}",
        refused.reasons
    );
    site.config.canonical.patterns = vec!["visitor\":\"[0-9]+".to_owned()];
    for _ in 0..2 {
        let report = site.run();
        assert_eq!((report.verdict, report.crawl.changed), (Verdict::Ok, 0));
    }
}

#[test]
fn a_rule_hides_a_difference_from_the_next_run_on() {
    // Promise: a page that differs in every answer changes in every run until a rule for it is there: what is stored is
    // looked at under the new rule, once. For elements, values in JSON, and headers.
    let mut site = Site::new();
    site.scene.config.site.keep_headers = vec!["x-visit".to_owned()];
    let seeds = ["/counter", "/data.json"].map(|path| site.scene.url(path));
    site.scene.config.site.seeds.extend(seeds);
    site.run();
    assert_eq!(site.run(), (2, 2));
    site.scene.config.canonical.selectors = vec![".visits".to_owned()];
    site.scene.config.canonical.json_pointers = vec!["/made".to_owned()];
    site.scene.config.canonical.headers = vec!["x-visit".to_owned()];
    let stored = site.scene.stored();
    assert_eq!(site.run(), (0, 0));
    site.spoil_store();
    assert_eq!(site.run(), (0, 0));
    // What was stored stays: it is the page of one answer, with the header of the same.
    assert_eq!(site.scene.stored(), stored);
}

#[test]
fn built_in_rules_of_a_later_version_change_no_page() {
    // Promise: a state directory of the time before rules had versions is gone on with: its pages are compared as they
    // were hashed then, or where that says that they differ, as they lie in the store.
    let site = Site::new();
    let nonce = "<script nonce={{NONCE}}></script><a href=/ids>ids</a>";
    site.scene.origin.set("/", Page::html(nonce).nonce());
    assert_eq!(site.run(), (2, 2));
    let state = &site.scene.config.state.dir;
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest = Manifest::open(state, &layout, Fuse::none()).unwrap();
    let recorded = manifest.about().rules;
    assert_eq!(recorded, [["* built-in 2"]]);
    manifest
        .amend(|meta| meta.rules = vec![Vec::new()])
        .unwrap();
    drop(manifest);
    assert_eq!(site.run(), (0, 0));
    assert_eq!(site.run(), (0, 0));
    let manifest = Manifest::open(state, &layout, Fuse::none()).unwrap();
    let recorded = manifest.about().rules;
    assert_eq!(recorded, [vec![], vec!["* built-in 2".to_owned()]]);
}
