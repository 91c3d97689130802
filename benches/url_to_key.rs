//! From the links of a page to object keys: what a crawl does for every `href` it sees.
//!
//! Measured in nanoseconds a link, against the plain way in the same process: `url::Url::join`, then
//! percent-decoding the path. `cargo bench --bench url_to_key`. Without `--bench` (as `cargo test
//! --benches` starts it) one short round shows that it works.

use std::hint::black_box;
use std::time::{Duration, Instant};

use standin::site::{Layout, LayoutName, PageUrl};
use url::Url;

/// The best of so many rounds counts: everything else is the machine's other business.
const ROUNDS: usize = 15;

/// Pages with links in a round.
const PAGES: usize = 300;

/// As links are written on a large public site, most frequent first.
const LINKS: &[&str] = &[
    "/browse/tax/vat",
    "/government/publications/annual-report-2025",
    "/guidance/register-for-{}",
    "/assets/frontend/application-0f3a{}.css",
    "https://www.example.org/government/organisations/department-{}",
    "https://assets.example.org/media/5f7a{}/report_final.pdf",
    "#content",
    "page-{}.html",
    "../sibling/{}/",
    "/search?organisations[]=department-{}&page=2",
    "https://www.example.org/caf%C3%A9/{}",
    "/a%20name%20with%20spaces/{}.pdf",
    "//www.example.org/scheme-relative/{}",
    "https://www.example.org/government/news/a-long-headline-about-number-{}#section-3",
    "mailto:somebody@example.org",
];

fn main() {
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let (rounds, pages) = if in_earnest { (ROUNDS, PAGES) } else { (1, 3) };
    let site = site(pages);
    let links: usize = site.iter().map(|(_, links)| links.len()).sum();
    let keys = keys_of_standin(&site);
    println!("{links} links on {pages} pages, best of {rounds} rounds");
    let ours = best_of(rounds, || keys_of_standin(&site));
    let peers = best_of(rounds, || keys_of_url(&site));
    let per_link = |time: Duration| time.as_secs_f64() * 1e9 / links as f64;
    println!("  standin            {:>7.0} ns a link", per_link(ours));
    println!("  url + percent-enc. {:>7.0} ns a link", per_link(peers));
    println!(
        "  ratio              {:>7.2}",
        ours.as_secs_f64() / peers.as_secs_f64()
    );
    assert!(keys > 0, "links become keys");
}

/// Pages with their links, the number of the page in each.
fn site(pages: usize) -> Vec<(String, Vec<String>)> {
    let page = |number: usize| {
        let links = LINKS
            .iter()
            .map(|link| link.replace("{}", &number.to_string()));
        let url = format!("https://www.example.org/guidance/section-{number}/page");
        (url, links.collect())
    };
    (0..pages).map(page).collect()
}

/// Total length of the keys, so that nothing is optimised away.
fn keys_of_standin(site: &[(String, Vec<String>)]) -> usize {
    let layout = Layout::new(LayoutName::Plain, []);
    let mut bytes = 0;
    for (page, links) in site {
        let page = PageUrl::parse(page).expect("the pages are URLs");
        for link in links {
            if let Ok(url) = page.join(black_box(link)) {
                bytes += layout.place(&url).key.as_str().len();
            }
        }
    }
    bytes
}

fn keys_of_url(site: &[(String, Vec<String>)]) -> usize {
    let mut bytes = 0;
    for (page, links) in site {
        let page = Url::parse(page).expect("the pages are URLs");
        for link in links {
            if let Ok(url) = page.join(black_box(link))
                && let Some(host) = url.host_str()
            {
                let path = percent_encoding::percent_decode_str(url.path()).decode_utf8_lossy();
                let key = match path.ends_with('/') {
                    true => format!("{host}{path}index.html"),
                    false => format!("{host}{path}"),
                };
                bytes += black_box(key).len();
            }
        }
    }
    bytes
}

fn best_of(rounds: usize, work: impl Fn() -> usize) -> Duration {
    let round = |_| {
        let begun = Instant::now();
        black_box(work());
        begun.elapsed()
    };
    (0..rounds).map(round).min().expect("at least one round")
}
