//! What must hold for any bytes at all: the body of the fuzz target, run over its seeds as a test too.

use std::collections::HashSet;

use super::{
    Asked, CanonicalRules, Collector, ContentHash, Digester, Document, Kind, Parsed, Span,
    canonical, digest, html, parse,
};

/// Panics if a promise of this room does not hold for `data`, taken as each kind of body.
pub fn check_content(data: &[u8]) {
    check_digest(data);
    check_volatile(data);
    let rules = CanonicalRules::default();
    for kind in [Kind::Html, Kind::Css, Kind::Sitemap, Kind::Other] {
        let parsed = parse(&document(kind, data), &rules);
        check_links(&parsed);
        if kind != Kind::Html {
            assert_eq!(
                parsed.canonical,
                ContentHash::of(data),
                "only HTML is volatile of itself"
            );
        }
    }
}

/// A digest does not depend on the pieces that the body came in.
fn check_digest(data: &[u8]) {
    let mut digester = Digester::new();
    for piece in data.chunks(data.len() / 3 + 1) {
        digester.update(piece);
    }
    assert_eq!(digester.finish(), digest(data));
}

/// Volatile spans lie in the body, and the canonical form is its own canonical form.
fn check_volatile(data: &[u8]) {
    let (_, mut volatile) = html::scan(data, &mut Collector::default());
    assert!(
        volatile
            .iter()
            .all(|span| span.start <= span.end && span.end <= data.len())
    );
    canonical::merge(&mut volatile);
    assert!(volatile.is_sorted_by(|one, next| one.end < next.start));
    let form = canonical_form(data, &volatile);
    let rules = CanonicalRules::default();
    let first = parse(&document(Kind::Html, data), &rules);
    let again = parse(&document(Kind::Html, &form), &rules);
    assert_eq!(first.canonical, ContentHash::of(&form));
    assert_eq!(
        again.canonical, first.canonical,
        "the canonical form is stable"
    );
}

/// A body of which nothing is known but its kind.
pub(super) fn document(kind: Kind, body: &[u8]) -> Document<'_> {
    Document {
        kind,
        body,
        content: ContentHash::of(body),
        content_type: None,
        asked: Asked::default(),
    }
}

fn canonical_form(data: &[u8], volatile: &[Span]) -> Vec<u8> {
    let mut form = Vec::with_capacity(data.len());
    let mut start = 0;
    for span in volatile {
        form.extend_from_slice(&data[start..span.start]);
        form.push(0);
        start = span.end;
    }
    form.extend_from_slice(&data[start..]);
    form
}

fn check_links(parsed: &Parsed) {
    let mut seen = HashSet::new();
    for link in parsed.links.references() {
        assert!(!link.is_empty() && !link.contains('#'), "{link:?}");
        assert!(!link.starts_with(|first| first <= ' ') && !link.ends_with(|last| last <= ' '));
        assert!(seen.insert(link), "{link:?} comes twice");
    }
    assert_eq!(parsed.links.len(), seen.len());
    assert_eq!(parsed.links.is_empty(), seen.is_empty());
    assert!(parsed.base.as_ref().is_none_or(|base| !base.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_promises_hold_for_every_seed_and_every_cut_of_it() {
        // The fuzz corpus as an ordinary test; a body cut anywhere is a body too.
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/content");
        let mut count = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            let data = std::fs::read(seed.unwrap().path()).unwrap();
            for end in 0..=data.len() {
                check_content(&data[..end]);
            }
            count += 1;
        }
        assert!(count >= 20, "{count} seeds");
    }

    /// Markup, style sheets and XML made of the pieces that mean something to a scanner.
    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = proptest::sample::select(vec![
            "<",
            ">",
            "/",
            "!",
            "--",
            "-->",
            "'",
            "\"",
            "=",
            " ",
            "\n",
            "&",
            "#",
            ";",
            "&#39;",
            "&amp;",
            "<!--",
            "<a href=",
            "<img srcset=",
            "<script",
            "</script>",
            "<style>",
            "</style>",
            "<svg>",
            "</svg>",
            "<base href=",
            "<![CDATA[",
            "]]>",
            "<?xml",
            "<meta",
            " http-equiv=refresh",
            " http-equiv=content-security-policy",
            " name=csrf",
            " content=",
            "'nonce-",
            " nonce=",
            "<input name=_csrf value=",
            "0;url=",
            "url(",
            ")",
            "@import ",
            "/*",
            "*/",
            "\\",
            "\\29 ",
            "<loc>",
            "</loc>",
            "<link ",
            "x",
            ",",
            "\u{e9}",
            "\0",
        ]);
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn the_promises_hold_for_any_bytes(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
            // Parsing is total.
            check_content(&data);
        }

        #[test]
        fn the_promises_hold_for_any_markup(data in pieces()) {
            // Random bytes hardly ever make a tag; these do.
            check_content(&data);
        }
    }
}
