//! Promise: `docs/LAYOUT.md` says what the layouts do, in every line of its tables and for every rule that it names;
//! a CDN that is built by it asks for the keys under which pages are stored. Checked by reading the page, and asking
//! both the layout and the second implementation of it for each example.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use percent_encoding::percent_decode_str;
use standin::site::{
    CdnAnswer, CdnRequest, GOVUK_EXTENSIONS, Layout, LayoutName, PageUrl, Reach, Scheme,
    asked_of_store,
};

const ASSET_HOSTS: [&str; 2] = ["assets.example", "files.example:8080"];

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LAYOUT.md");
    std::fs::read_to_string(path).expect("the page is there")
}

fn layout(name: LayoutName) -> Layout {
    Layout::new(name, ASSET_HOSTS.map(str::to_owned))
}

fn named(name: &str) -> LayoutName {
    let names = [LayoutName::Plain, LayoutName::Govuk];
    let found = names.into_iter().find(|layout| layout.as_str() == name);
    found.unwrap_or_else(|| panic!("`{name}` is no layout"))
}

/// The cells of the table with that heading, without their backticks.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, behind) = page.split_once(heading).expect("the table is there");
    let rows = behind
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_matches('|');
        line.split(" | ")
            .map(|cell| cell.trim().replace('`', ""))
            .collect()
    };
    rows.map(cells).collect()
}

/// What the page says of one layout: a key, and the reason if only a gateway can ask for it.
fn expected(cell: &str) -> (&str, Option<&str>) {
    match cell
        .strip_suffix(')')
        .and_then(|cell| cell.rsplit_once(" ("))
    {
        Some((key, reason)) => (key, Some(reason)),
        None => (cell, None),
    }
}

fn reason_of(reach: Reach) -> Option<String> {
    match reach {
        Reach::Cdn => None,
        Reach::GatewayOnly(reason) => {
            let name = serde_json::to_value(reason).expect("a reason has a name");
            Some(name.as_str().expect("a text").to_owned())
        }
    }
}

/// The key that the store looks up, or why it is not asked. S3 takes a `+` for a space, Google Cloud Storage does not.
fn seen_by_store(layout: &Layout, request: CdnRequest<'_>) -> Result<String, &'static str> {
    match asked_of_store(layout, request) {
        CdnAnswer::Asks { path } => {
            let decoded = |path: &str| percent_decode_str(path).decode_utf8().unwrap().into_owned();
            let (s3, gcs) = (decoded(&path.replace('+', " ")), decoded(&path));
            assert_eq!(s3, gcs, "{request:?}");
            Ok(s3.strip_prefix('/').expect("a path").to_owned())
        }
        CdnAnswer::Refuses { reason } => Err(reason),
    }
}

/// What a browser makes of an address: only what the URL standard says, so that escapes stay as they are.
struct Sent {
    scheme: Scheme,
    host: String,
    target: String,
}

impl Sent {
    fn by_a_browser(address: &str) -> Sent {
        let url = url::Url::parse(address).expect("an address");
        let scheme = if url.scheme() == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let name = url.host_str().expect("a host");
        let host = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let query = url
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        Sent {
            scheme,
            host,
            target: format!("{}{query}", url.path()),
        }
    }

    fn request(&self) -> CdnRequest<'_> {
        CdnRequest {
            scheme: self.scheme,
            host: &self.host,
            target: &self.target,
        }
    }
}

fn check_example(name: LayoutName, address: &str, cell: &str) {
    let (key, reason) = expected(cell);
    let layout = layout(name);
    let placed = layout.place(&PageUrl::parse(address).expect("a URL"));
    assert_eq!(placed.key.as_str(), key, "{name}: {address}");
    assert_eq!(
        reason_of(placed.reach).as_deref(),
        reason,
        "{name}: {address}"
    );
    let sent = Sent::by_a_browser(address);
    let seen = seen_by_store(&layout, sent.request());
    let expected = reason.map_or(Ok(key), Err);
    let seen = seen.as_deref().map_err(|reason| *reason);
    assert_eq!(seen, expected, "{name}: {address}");
}

const EXAMPLES: &str = "| rules | request | `plain` | `govuk` |";
const NO_BROWSER: &str = "| rules | host | target | refused as |";
const SHARED: &str = "| rules | layout | URLs | key |";

#[test]
fn every_example_is_what_the_layouts_answer() {
    let page = page();
    let rows = table(&page, EXAMPLES);
    assert!(rows.len() >= 60, "only {} examples were found", rows.len());
    for row in rows {
        check_example(LayoutName::Plain, &row[1], &row[2]);
        check_example(LayoutName::Govuk, &row[1], &row[3]);
    }
    let long = format!("https://www.gov.uk/{}", "a".repeat(1012));
    let hashed = page
        .split('`')
        .find(|text| text.starts_with("www.gov.uk/%%/"))
        .unwrap();
    check_example(LayoutName::Plain, &long, &long["https://".len()..]);
    check_example(LayoutName::Govuk, &long, &format!("{hashed} (too_long)"));
}

#[test]
fn what_no_browser_sends_is_refused() {
    let page = page();
    let rows = table(&page, NO_BROWSER);
    assert!(rows.len() >= 5, "only {} lines were found", rows.len());
    for row in rows {
        let request = CdnRequest {
            scheme: Scheme::Https,
            host: &row[1],
            target: &row[2],
        };
        for name in [LayoutName::Plain, LayoutName::Govuk] {
            let refused = seen_by_store(&layout(name), request);
            assert_eq!(refused.err(), Some(row[3].as_str()), "{row:?}");
        }
    }
}

#[test]
fn urls_share_a_key_as_the_page_says_and_the_first_is_served() {
    let page = page();
    let rows = table(&page, SHARED);
    assert!(rows.len() >= 8, "only {} lines were found", rows.len());
    for row in rows {
        let layout = layout(named(&row[1]));
        let urls: Vec<PageUrl> = row[2]
            .split(' ')
            .map(|url| PageUrl::parse(url).unwrap())
            .collect();
        assert!(urls.len() >= 2, "{row:?}");
        for (index, url) in urls.iter().enumerate() {
            assert_eq!(layout.place(url).key.as_str(), row[3], "{url}");
            assert_eq!(layout.is_primary(url), index == 0, "{url}");
            assert!(
                index == 0 || Layout::outranks(&urls[index - 1], url),
                "{url}"
            );
        }
    }
}

#[test]
fn every_rule_has_an_example_and_every_example_a_rule() {
    let page = page();
    let mut stated = BTreeSet::new();
    for piece in page.split("**").skip(1).step_by(2) {
        stated.insert(piece.trim_end_matches('.').to_owned());
    }
    let mut shown: BTreeMap<String, u32> = BTreeMap::new();
    for heading in [EXAMPLES, NO_BROWSER, SHARED] {
        for row in table(&page, heading) {
            for rule in row[0].split(' ') {
                *shown.entry(rule.to_owned()).or_default() += 1;
            }
        }
    }
    // Shown in words, since a table has no room; and what has no object has no key.
    let elsewhere = ["R9", "E3", "K2"].map(str::to_owned);
    let known: BTreeSet<String> = shown.into_keys().chain(elsewhere).collect();
    assert_eq!(stated, known);
    assert!(stated.len() >= 25, "{stated:?}");
}

#[test]
fn the_list_of_extensions_is_the_layouts() {
    let page = page();
    let (_, rule) = page.split_once("**G3.**").expect("the rule");
    let (rule, _) = rule.split_once("**G4.**").expect("the next rule");
    let listed: Vec<&str> = rule.split('`').skip(1).step_by(2).collect();
    assert_eq!(listed, GOVUK_EXTENSIONS);
}

#[test]
fn every_reason_of_the_code_is_on_the_page() {
    let page = page();
    let rows = table(
        &page,
        "| rule | reason | the request | if a CDN passes it on all the same |",
    );
    let listed: Vec<String> = rows.into_iter().map(|row| row[1].clone()).collect();
    let mut of_code = Vec::new();
    for name in listed.iter() {
        let reason: standin::site::Unreachable =
            serde_json::from_value(serde_json::json!(name)).expect("a reason of the code");
        of_code.push(reason);
    }
    // The order of the page is the order in which they are named.
    assert!(of_code.is_sorted(), "{of_code:?}");
    assert_eq!(of_code.len(), 9, "{of_code:?}");
}

#[test]
fn a_cdn_reaches_every_golden_vector_or_knows_why_not() {
    // The vectors were computed in another language; of those in today's spelling a CDN makes the same.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/layout");
    for name in [LayoutName::Plain, LayoutName::Govuk] {
        let asset_hosts = ["assets.publishing.service.gov.uk", "assets.example:8080"];
        let layout = Layout::new(name, asset_hosts.map(str::to_owned));
        let text = std::fs::read_to_string(folder.join(format!("{name}.tsv"))).unwrap();
        let mut asked = 0;
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let fields: Vec<&str> = line.split('\t').collect();
            let url = PageUrl::recorded(fields[0]).unwrap();
            if PageUrl::parse(fields[0]) != Ok(url) {
                continue;
            }
            let seen = seen_by_store(&layout, Sent::by_a_browser(fields[0]).request());
            assert_eq!(seen.is_ok(), fields[2] == "cdn", "{line}");
            assert!(seen.is_err() || seen.as_deref() == Ok(fields[1]), "{line}");
            asked += 1;
        }
        assert!(asked >= 400, "{asked}");
    }
}
