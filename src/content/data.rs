//! The links in JSON: linked data, import maps and speculation rules in pages, web application manifests.

use super::json::{self, Path};
use super::links::trim;
use super::{Collector, Role};

/// Keys of linked data under which a picture, a film or a sound stands.
const LD_ASSETS: [&[u8]; 6] = [
    b"image",
    b"logo",
    b"thumbnail",
    b"thumbnailUrl",
    b"contentUrl",
    b"photo",
];

/// Further keys that hold URLs, and not texts that look like them.
const LD_PAGES: [&[u8]; 7] = [
    b"url",
    b"item",
    b"embedUrl",
    b"downloadUrl",
    b"mainEntityOfPage",
    b"isPartOf",
    b"discussionUrl",
];

/// Keys whose URLs name words and kinds, and no pages.
const LD_WORDS: [&[u8]; 3] = [b"@context", b"@vocab", b"@type"];

/// The URLs of `application/ld+json`: whatever is absolute, and under keys that hold URLs relative ones too.
pub(super) fn linked_data(json: &[u8], links: &mut Collector) {
    json::strings(json, |path, text| {
        let key = path.keys().next_back().unwrap_or_default();
        // A template (`/search?q={term}`) is no URL yet.
        let is_url = is_absolute(text) || LD_ASSETS.contains(&key) || LD_PAGES.contains(&key);
        let is_plain = !text.contains(['{', ' ', '<']);
        if is_url && is_plain && !path.keys().any(|key| LD_WORDS.contains(&key)) {
            let is_asset = path.keys().any(|key| LD_ASSETS.contains(&key));
            let role = if is_asset { Role::Asset } else { Role::Page };
            links.push(text.as_bytes(), role);
        }
    });
}

/// The modules that an import map leads to. What ends in a slash is the beginning of names.
pub(super) fn import_map(json: &[u8], links: &mut Collector) {
    json::strings(json, |path, text| {
        let depth = path.keys().count();
        let is_module = match path.keys().next() {
            Some(b"imports") => depth == 2,
            Some(b"scopes") => depth == 3,
            _ => false,
        };
        if is_module && is_specifier(text) && !text.ends_with('/') {
            links.push(text.as_bytes(), Role::Asset);
        }
    });
}

/// The pages that speculation rules name.
pub(super) fn speculation_rules(json: &[u8], links: &mut Collector) {
    json::strings(json, |path, text| {
        if path.is(&["prefetch", "urls"]) || path.is(&["prerender", "urls"]) {
            links.push(text.as_bytes(), Role::Page);
        }
    });
}

/// What a web application's manifest names, relative to itself.
pub(super) fn manifest(json: &[u8], links: &mut Collector) {
    const ASSETS: [&[&str]; 4] = [
        &["icons", "src"],
        &["screenshots", "src"],
        &["shortcuts", "icons", "src"],
        &["serviceworker", "src"],
    ];
    const PAGES: [&[&str]; 2] = [&["start_url"], &["shortcuts", "url"]];
    let is_one = |path: &Path<'_>, of: &[&[&str]]| of.iter().any(|keys| path.is(keys));
    json::strings(json, |path, text| {
        if is_one(path, &ASSETS) {
            links.push(text.as_bytes(), Role::Asset);
        } else if is_one(path, &PAGES) {
            links.push(text.as_bytes(), Role::Page);
        }
    });
}

/// Whether a trimmed text is an `http` or `https` URL.
pub(super) fn is_absolute(text: &str) -> bool {
    let text = trim(text.as_bytes());
    let begins = |scheme: &[u8]| {
        text.get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins(b"http://") || begins(b"https://")
}

/// Whether a module is named by its URL, and not by a word that an import map explains.
pub(super) fn is_specifier(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("./") || text.starts_with("../") || is_absolute(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(scan: fn(&[u8], &mut Collector), json: &str) -> Vec<(String, Role)> {
        let mut links = Collector::default();
        scan(json.as_bytes(), &mut links);
        let links = links.into_links();
        let found = links
            .iter()
            .map(|link| (link.reference.to_owned(), link.role));
        found.collect()
    }

    fn assert_found(scan: fn(&[u8], &mut Collector), json: &str, pages: &[&str], assets: &[&str]) {
        let found = found(scan, json);
        let of = |wanted| {
            let those = found.iter().filter(move |(_, role)| *role == wanted);
            those.map(|(link, _)| link.as_str()).collect::<Vec<_>>()
        };
        assert_eq!(of(Role::Page), pages, "{json}");
        assert_eq!(of(Role::Asset), assets, "{json}");
    }

    #[test]
    fn linked_data_names_pages_and_pictures() {
        let json = r##"{"@context":"https:\/\/schema.org","@id":"https://h/#org","name":"a/b",
            "url":"/c","image":{"@type":"ImageObject","url":"d.png"},"logo":["e.png"],
            "sameAs":["https://x/f"],"potentialAction":{"target":"https://h/s?q={q}"},
            "description":"https://h/ is home"}"##;
        let pages = ["https://h/", "/c", "https://x/f"];
        assert_found(linked_data, json, &pages, &["d.png", "e.png"]);
    }

    #[test]
    fn import_maps_and_speculation_rules_name_what_is_loaded() {
        let map = r#"{"imports":{"a":"./a.js","b/":"/b/","c":"bare"},
            "scopes":{"/s/":{"a":"https://h/a2.js"}},"integrity":{"/x.js":"sha384-x"}}"#;
        assert_found(import_map, map, &[], &["./a.js", "https://h/a2.js"]);
        let rules = r#"{"prefetch":[{"urls":["/p"],"eagerness":"eager"}],"prerender":[{"where":{"href_matches":"/x/*"}}]}"#;
        assert_found(speculation_rules, rules, &["/p"], &[]);
    }

    #[test]
    fn manifests_name_icons_and_pages() {
        let json = r#"{"name":"n","start_url":"/?s","scope":"/","icons":[{"src":"i.png","type":"image/png"}],
            "screenshots":[{"src":"s.png"}],"shortcuts":[{"url":"/new","icons":[{"src":"n.png"}]}]}"#;
        assert_found(
            manifest,
            json,
            &["/?s", "/new"],
            &["i.png", "s.png", "n.png"],
        );
    }
}
