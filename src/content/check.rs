//! What must hold for any bytes at all: the body of the fuzz target, run over its seeds as a test too.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::tags::Nobody;
use super::{
    Asked, BuiltIn, CanonicalRules, Charset, Choice, Collector, ContentHash, DeclaredRules,
    Digester, Document, Kind, Parsed, Span, Volatile, canonical, digest, html, parse, text_of,
    volatile_spans,
};

/// Every kind of body there is.
const KINDS: [Kind; 7] = [
    Kind::Html,
    Kind::Css,
    Kind::Xml,
    Kind::Script,
    Kind::Manifest,
    Kind::Json,
    Kind::Other,
];

/// What a header may say of the encoding.
const HEADERS: [Option<&str>; 3] = [
    None,
    Some("text/html; charset=shift_jis"),
    Some("text/html; charset=utf-16le"),
];

/// Panics if a promise of this room does not hold for `data`, taken as each kind of body.
pub fn check_content(data: &[u8]) {
    check_digest(data);
    check_volatile(data);
    check_declared(data);
    for kind in KINDS {
        check_rules(kind, data);
    }
    let rules = CanonicalRules::default();
    let everything = Asked {
        forms: true,
        text: true,
        sitemap: true,
    };
    for kind in KINDS {
        for content_type in HEADERS {
            let plain = Document {
                content_type,
                ..document(kind, data)
            };
            let asked = Document {
                asked: everything,
                ..plain
            };
            let (parsed, more) = (parse(&plain, &rules), parse(&asked, &rules));
            check_links(&parsed);
            check_links(&more);
            check_asked(kind, &parsed, &more);
            assert!(
                matches!(kind, Kind::Html | Kind::Xml) || parsed.canonical == plain.content,
                "only markup is volatile of itself"
            );
        }
    }
}

/// Whoever asks for more learns more, and nothing else: hash and links stay, unless it is a sitemap.
fn check_asked(kind: Kind, plain: &Parsed, more: &Parsed) {
    assert_eq!(plain.canonical, more.canonical, "{kind:?}");
    assert_eq!((&plain.base, plain.charset), (&more.base, more.charset));
    assert!(plain.forms.is_empty() && plain.text.is_none());
    assert_eq!(more.text.is_some(), kind == Kind::Html);
    if plain.sitemap == more.sitemap {
        assert_eq!(plain.links, more.links, "{kind:?}");
    }
    let text = more.text.as_deref().unwrap_or_default();
    assert!(!text.contains("  ") && text.trim() == text, "{text:?}");
    for field in more.forms.iter().flat_map(|form| &form.fields) {
        assert!(!field.name.is_empty());
        assert_ne!(
            field.choice,
            Choice::OneOf(Vec::new()),
            "a choice of nothing"
        );
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
    let page = document(Kind::Html, data);
    let charset = Charset::of(Kind::Html, data, None);
    let text = text_of(&page, charset);
    let mut links = Collector::default();
    let scanned = html::scan(
        &text,
        Charset::UTF_8,
        BuiltIn::Second,
        &mut links,
        &mut Nobody,
    );
    let mut volatile = scanned.volatile;
    assert!(
        volatile
            .iter()
            .all(|span| span.start <= span.end && span.end <= text.len())
    );
    canonical::merge(&mut volatile);
    assert!(volatile.is_sorted_by(|one, next| one.end < next.start));
    let form = canonical_form(&text, &volatile);
    let rules = CanonicalRules::default();
    let first = parse(&page, &rules);
    let again = parse(&document(Kind::Html, &form), &rules);
    if volatile.is_empty() {
        assert_eq!(first.canonical, page.content);
    } else if scanned.wiring.is_empty() {
        // Where ids are left out, which of them stands where is hashed besides.
        assert_eq!(first.canonical, ContentHash::of(&form));
    }
    // What is taken out may bring a word on the encoding within its reach: a form in UTF-16 is another text.
    if volatile.is_empty() || again.charset.is_ascii_compatible() {
        assert_eq!(
            again.canonical,
            ContentHash::of(&form),
            "the canonical form is stable"
        );
    }
}

/// Rules of every sort, each of which finds something in the seeds.
pub(super) static RULES: LazyLock<CanonicalRules> = LazyLock::new(|| {
    let list = |rules: &[&str]| rules.iter().map(|&rule| rule.into()).collect();
    let declared = DeclaredRules {
        selectors: list(&[
            "p, .a > b",
            "ul li:not([class])",
            "form",
            "td",
            "a@href",
            "script",
        ]),
        patterns: list(&["[0-9]+ ms", "x+"]),
        json_pointers: list(&["/icons/*/src", "/a", "/*/b"]),
        headers: Vec::new(),
    };
    CanonicalRules::new(&declared).expect("these rules can work")
});

/// Whatever somebody declares is taken or refused at a place in it; what is taken can be written down and read again.
fn check_declared(data: &[u8]) {
    // The size of a compiled pattern has its limit; the time to come to it is not what is looked for here.
    const RULE_BYTES_MAX: usize = 200;
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.len() > RULE_BYTES_MAX || text.contains('\n') {
        return;
    }
    let rule = || vec![text.to_owned()];
    let none = DeclaredRules::default;
    let each = [
        DeclaredRules {
            selectors: rule(),
            ..none()
        },
        DeclaredRules {
            json_pointers: rule(),
            ..none()
        },
        DeclaredRules {
            headers: rule(),
            ..none()
        },
    ];
    for declared in each {
        match CanonicalRules::new(&declared) {
            Ok(rules) => assert_eq!(CanonicalRules::from_lines(&rules.lines()), Ok(rules)),
            Err(error) => assert!(error.at.is_none_or(|at| at <= text.chars().count() + 1)),
        }
    }
}

/// With rules of every sort: what is left out lies in the text, in order; the hash is that of the rest; and rules that
/// have been written down and read again find the same.
fn check_rules(kind: Kind, data: &[u8]) {
    let document = document(kind, data);
    let Volatile { text, spans } = volatile_spans(&document, &RULES);
    assert!(
        spans
            .iter()
            .all(|(start, end)| start < end && *end <= text.len())
    );
    assert!(spans.is_sorted_by(|one, next| one.1 < next.0));
    let canonical = parse(&document, &RULES).canonical;
    if spans.is_empty() {
        assert_eq!(canonical, document.content);
    } else if super::examine(&document, &RULES).wiring.is_empty() {
        // Where ids are left out, which of them stands where is hashed besides.
        let spans = spans.iter().map(|(start, end)| Span {
            start: *start,
            end: *end,
        });
        let form = canonical_form(&text, &spans.collect::<Vec<_>>());
        assert_eq!(canonical, ContentHash::of(&form));
    }
    // As they were before there were versions.
    let first = CanonicalRules::from_lines(&[]).expect("no rule is no wrong one");
    let plain = parse(&document, &first);
    assert!(kind == Kind::Html || plain.canonical == document.content);
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
    // long: a table
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
            "<meta charset=",
            "iso-2022-jp",
            "latin1",
            "<!--[if",
            "<iframe srcdoc='",
            "<script type=module>",
            "<script type=application/ld+json>",
            "import ",
            "import(",
            "export{",
            "from'./a.js'",
            "`${",
            "}",
            "{\"url\":\"",
            "\":[\"",
            "image-set(",
            "<form ",
            "<input type=radio name=r value=",
            "<select name=s>",
            "<option>",
            "<template>",
            "<urlset>",
            "<url>",
            "</url>",
            "<lastmod>2024-05-17",
            "https://h/",
            "//# sourceMappingURL=",
            "<p>",
            "</p>",
            "<ul>",
            "<li>",
            "</ul>",
            "<table>",
            "<td>",
            "<tr>",
            "</table>",
            "<b>",
            "</b>",
            "<div class=a>",
            "</div>",
            "<body>",
            "</head>",
            " id=x-7cd0a4c1",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "<!-- generated in 12 ms -->",
            "generated on 2026-11-21 ",
            " request id a1 ",
            "js-view-dom-id-0123456789abcdef",
            "\"nonce\":\"0123456789\"",
            "<input type=hidden name=form_build_id value=",
            "<feed><updated>",
            "</updated>",
            "{\"a\":",
            "[1,2]",
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
