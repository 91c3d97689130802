//! The promises of URLs and layouts, for arbitrary input: the body of the fuzz target `url_to_key`, which
//! tests run over its seeds too.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use super::cdn::{CdnAnswer, CdnRequest, asked_of_store};
use super::key::{KEY_BYTES_MAX, ObjectKey};
use super::layout::{Layout, LayoutName, Placed, Reach, Unreachable};
use super::scope::{Admission, Scope, ScopeRules};
use super::url::{PageUrl, Scheme};

/// Lines of the input that become URLs, 35 each at most with their relatives: every pair is looked
/// at, so more lines make an execution slow.
const LINES_MAX: usize = 4;

/// A host whose paths are always files in half of the layouts checked.
const ASSET_HOST: &str = "assets.example";

/// Builds URLs from `data` (lines of references; any bytes will do) and panics where a URL has two names: it is
/// what its own text parses to, however its letters and digits are escaped, and resolving, admitting and
/// recording it again change nothing. For the fuzz target and for tests.
pub fn check_identity(data: &[u8]) {
    let scopes = [None, Some(vec!["a".to_owned()])].map(scope);
    for url in urls_of(data) {
        let text = url.as_str();
        assert_eq!(PageUrl::recorded(text).as_ref(), Ok(&url));
        if PageUrl::parse(text).as_ref() != Ok(&url) {
            // Only a record's spelling may be another one than today's.
            check_old_spelling(&url);
            continue;
        }
        assert_eq!(url.join(text).as_ref(), Ok(&url));
        assert_eq!(url.join("").as_ref(), Ok(&url));
        if !text.contains('%') {
            let escaped = [url.origin(), &fully_escaped(url.target())].concat();
            assert_eq!(PageUrl::parse(&escaped).as_ref(), Ok(&url), "{escaped}");
        }
        for scope in &scopes {
            if let Admission::Page(page) = scope.admit(url.clone()) {
                assert_eq!(PageUrl::parse(page.as_str()).as_ref(), Ok(&page));
                assert_eq!(scope.admit(page.clone()), Admission::Page(page));
            }
        }
    }
}

fn check_old_spelling(url: &PageUrl) {
    let today = PageUrl::parse(url.as_str()).expect("a record is a URL");
    let decoded = |url: &PageUrl| percent_decode_str(url.target()).collect::<Vec<u8>>();
    assert_eq!(decoded(&today), decoded(url), "{url} and {today}");
    assert!(today.as_str().len() <= url.as_str().len());
}

fn scope(query: Option<Vec<String>>) -> Scope {
    let rules = ScopeRules {
        hosts: vec!["www.example".to_owned(), ASSET_HOST.to_owned()],
        identity: BTreeMap::new(),
        identity_default: Scheme::Https,
        deny: Vec::new(),
        query,
    };
    Scope::new(rules).expect("the rules are in order")
}

/// Every letter and digit as an escape with digits in lower case.
fn fully_escaped(target: &str) -> String {
    let mut escaped = String::new();
    for byte in target.bytes() {
        match byte.is_ascii_alphanumeric() {
            true => escaped.push_str(&format!("%{byte:02x}")),
            false => escaped.push(char::from(byte)),
        }
    }
    escaped
}

/// Builds URLs from `data` (lines of URLs, references, paths or keys; any bytes will do) and
/// panics where a layout breaks a promise: every URL has a key within its bounds, the same one each
/// time; URLs share a key only where the request is the same but for the index, suffix and slash
/// rules; the primary URL of a key lies on that key; what a CDN makes of the request leads a store to that key,
/// or it refuses for the reason that the layout gives. For the fuzz target and for tests.
pub fn check_layout(data: &[u8]) {
    let urls = urls_of(data);
    let keys = keys_of(data);
    for name in [LayoutName::Plain, LayoutName::Govuk] {
        for asset_hosts in [vec![], vec![ASSET_HOST.to_owned()]] {
            let layout = Layout::new(name, asset_hosts);
            let placed: Vec<Placed> = urls.iter().map(|url| check_url(&layout, url)).collect();
            for (index, first) in urls.iter().enumerate() {
                for second in index + 1..urls.len() {
                    if placed[index].key == placed[second].key {
                        check_collision(name, first, &urls[second], &placed[index]);
                        assert_eq!(placed[index], placed[second], "reach is the key's");
                    }
                }
            }
            keys.iter().for_each(|key| check_key(&layout, key));
        }
    }
}

/// Distinct URLs: what the lines are, and near relatives of those that may share their keys.
fn urls_of(data: &[u8]) -> Vec<PageUrl> {
    let bases = ["https://www.example/a/b", "http://assets.example:8080/x_1/"];
    let mut texts = Vec::new();
    for line in data.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let text = String::from_utf8_lossy(line);
        let raw = percent_encode(line, NON_ALPHANUMERIC).to_string();
        for base in bases {
            let base = PageUrl::parse(base).expect("the bases are URLs");
            texts.push(base.join(&text));
        }
        texts.push(PageUrl::parse(&text));
        texts.push(PageUrl::recorded(&format!("https://www.example/{text}")));
        texts.push(PageUrl::parse(&format!("https://www.example/{raw}")));
        texts.push(PageUrl::parse(&format!("https://{ASSET_HOST}/{text}")));
    }
    let mut urls: Vec<PageUrl> = texts.into_iter().flatten().collect();
    urls.sort();
    urls.dedup();
    for url in urls.clone() {
        urls.extend(relatives(&url));
    }
    urls.sort();
    urls.dedup();
    urls
}

fn relatives(url: &PageUrl) -> Vec<PageUrl> {
    let (origin, path) = (url.origin(), url.path());
    let last = path.len() - path.chars().next_back().map_or(0, char::len_utf8);
    let encoded_last = match path.as_bytes()[last] {
        b'/' | b'%' => path.to_owned(),
        byte => format!("{}%{byte:02X}", &path[..last]),
    };
    let texts = [
        format!("{origin}{path}"),
        format!("{origin}{path}index.html"),
        format!("{origin}{path}.html"),
        format!("{origin}{path}/"),
        format!("{origin}{encoded_last}"),
        format!("{origin}{}", path.replace('/', "//")),
    ];
    texts
        .iter()
        .filter_map(|text| PageUrl::parse(text).ok())
        .collect()
}

fn keys_of(data: &[u8]) -> Vec<ObjectKey> {
    let text = String::from_utf8_lossy(data);
    let texts = text
        .split('\n')
        .flat_map(|line| [line.to_owned(), format!("www.example/{line}")]);
    texts
        .take(2 * LINES_MAX)
        .filter_map(|text| ObjectKey::parse(&text).ok())
        .collect()
}

fn check_url(layout: &Layout, url: &PageUrl) -> Placed {
    let placed = layout.place(url);
    let key = placed.key.as_str();
    assert_eq!(layout.place(url), placed, "{url}: same in, same out");
    assert_eq!(
        ObjectKey::parse(key).as_ref(),
        Ok(&placed.key),
        "{url}: a valid key"
    );
    assert!(placed.key.is_site() && key.len() <= KEY_BYTES_MAX, "{url}");
    assert!(!key.contains(char::is_control), "{url}: {key:?}");
    let is_sound = |segment: &str| !matches!(segment, "" | "." | "..");
    assert!(
        key.split('/').all(is_sound),
        "{url}: {key:?} has an empty segment or one of dots"
    );

    let (host, rest) = key.split_once('/').expect("a key has a path");
    let is_reachable = placed.reach == Reach::Cdn;
    assert!(host.starts_with(url.host()));
    assert_eq!(
        rest.starts_with('%'),
        !is_reachable,
        "{url}: {key:?} is in the wrong form"
    );
    check_reach(layout, url, &placed);
    let query_is_named = placed.reach == Reach::GatewayOnly(Unreachable::Query);
    assert_eq!(url.query().is_some(), query_is_named, "{url}");

    match layout.page_of(&placed.key, url.scheme()) {
        Some(page) => {
            assert_eq!(layout.place(&page).key, placed.key, "{url}: {page}");
            assert_eq!(layout.is_primary(url), page == *url);
            assert!(
                is_reachable || page == *url,
                "{url}: an escaped form holds {page}"
            );
            let is_tidy = !Layout::outranks(url, &page) || encodes_without_need(url);
            assert!(is_tidy, "{url} outranks {page}");
        }
        None => assert!(rest.starts_with("%%/"), "{url}: {key:?} has no page"),
    }
    placed
}

/// Asks the second implementation for the URL as a browser sends it, and once more with every letter and digit
/// escaped, which is another way to write it.
fn check_reach(layout: &Layout, url: &PageUrl, placed: &Placed) {
    if PageUrl::parse(url.as_str()).as_ref() != Ok(url) {
        // In a record's old spelling; a CDN resolves what today's resolves.
        return;
    }
    let sent = CdnRequest::from(url);
    check_answer(layout, sent, placed);
    if !url.as_str().contains('%') {
        let target = fully_escaped(url.target());
        let escaped = CdnRequest {
            target: &target,
            ..sent
        };
        check_answer(layout, escaped, placed);
    }
}

fn check_answer(layout: &Layout, sent: CdnRequest<'_>, placed: &Placed) {
    let expected = match placed.reach {
        Reach::Cdn => Ok(placed.key.to_string()),
        Reach::GatewayOnly(reason) => {
            let name = serde_json::to_value(reason).expect("a reason has a name");
            Err(name.as_str().unwrap_or_default().to_owned())
        }
    };
    // Google Cloud Storage decodes escapes, S3 makes a space of a plus besides.
    for plus in ["+", " "] {
        let seen = match asked_of_store(layout, sent) {
            CdnAnswer::Refuses { reason } => Err(reason.to_owned()),
            CdnAnswer::Asks { path } => {
                let path = path.replace('+', plus);
                let seen: Vec<u8> = percent_decode_str(&path[1..]).collect();
                Ok(String::from_utf8_lossy(&seen).into_owned())
            }
        };
        assert_eq!(seen, expected, "{sent:?}");
    }
}

fn check_collision(name: LayoutName, first: &PageUrl, second: &PageUrl, placed: &Placed) {
    assert!(Layout::outranks(first, second) != Layout::outranks(second, first));
    assert_eq!(first.host(), second.host(), "on {}", placed.key);
    assert!(
        placed.reach == Reach::Cdn || first.target() == second.target(),
        "on {}",
        placed.key
    );
    let (asked_first, asked_second) = (asked_for(name, first), asked_for(name, second));
    assert_eq!(
        asked_first, asked_second,
        "{first} and {second} on {}",
        placed.key
    );
}

fn check_key(layout: &Layout, key: &ObjectKey) {
    for scheme in [Scheme::Http, Scheme::Https] {
        if let Some(page) = layout.page_of(key, scheme) {
            assert_eq!(layout.place(&page).key, *key);
            assert_eq!(page.scheme(), scheme);
            assert!(layout.is_primary(&page), "{key}: {page}");
        }
    }
}

/// A request modulo what the layouts' rules let fall together, by other means than theirs.
fn asked_for(name: LayoutName, url: &PageUrl) -> String {
    let decoded: Vec<u8> = percent_decode_str(url.target()).collect();
    let mut target = String::from_utf8_lossy(&decoded).into_owned();
    match name {
        LayoutName::Plain => {
            if target.ends_with("/index.html") {
                target.truncate(target.len() - "index.html".len());
            }
        }
        LayoutName::Govuk => {
            while target.contains("//") {
                target = target.replace("//", "/");
            }
            if target == "/" {
                target.push_str("index");
            }
            // `/a.htm%6C` is no `.html` as sent, and gets another one.
            while target.ends_with(".html") {
                target.truncate(target.len() - ".html".len());
            }
        }
    }
    target
}

/// Whether a URL encodes an ASCII character that its path could hold as it is.
fn encodes_without_need(url: &PageUrl) -> bool {
    let path = url.path();
    path.match_indices('%').any(|(index, _)| {
        let digits = path.get(index + 1..index + 3).unwrap_or_default();
        let byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        byte.is_ascii_graphic() && !b"\"#%<>?\\`{}/".contains(&byte)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_seeds_of_the_fuzz_target_keep_the_promises() {
        // Promise: the promises hold for every seed; each file is one execution.
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/url_to_key");
        let mut seeds = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            let seed = std::fs::read(entry.unwrap().path()).unwrap();
            check_identity(&seed);
            check_layout(&seed);
            seeds += 1;
        }
        assert!(seeds >= 30, "only {seeds} seeds in {}", folder.display());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn spellings_that_nearly_meet_keep_the_promises(lines in "(%|%4|%2e|%7[Ee]|[a1./?&=;#]|\\n|é){0,24}") {
            // Promise: as above, for texts full of escapes, dots and parameters.
            check_identity(lines.as_bytes());
            check_layout(lines.as_bytes());
        }
    }

    #[test]
    fn relatives_do_meet() {
        // Promise of this check: it is not vacuous; a URL's relatives contain true collisions.
        let urls = urls_of(b"/x\n/x/");
        for name in [LayoutName::Plain, LayoutName::Govuk] {
            let layout = Layout::new(name, []);
            let mut keys: Vec<ObjectKey> = urls.iter().map(|url| layout.place(url).key).collect();
            keys.sort();
            keys.dedup();
            assert!(
                keys.len() < urls.len(),
                "{name}: {} URLs on as many keys",
                urls.len()
            );
        }
    }
}
