//! The canonical hash: two answers that differ only in what is made anew for each answer are equal.
//!
//! The volatile parts are taken out and a zero byte is left in each one's place, so that a token taken
//! out of one place never equals the same token taken out of another. Hash and rules are a promise: a
//! change here makes every page of every site look changed once.

use std::collections::HashMap;

use super::{ContentHash, Span, references};

/// The hash of `body` without the `volatile` spans, which may be in any order and overlap; `content`,
/// its hash, when they take nothing out.
pub(super) fn hash(
    body: &[u8],
    mut volatile: Vec<Span>,
    wiring: Vec<Wire>,
    content: ContentHash,
) -> ContentHash {
    merge(&mut volatile);
    if volatile.is_empty() {
        return content;
    }
    let mut hasher = blake3::Hasher::new();
    let mut start = 0;
    for span in volatile {
        hasher.update(&body[start..span.start]);
        hasher.update(&[0]);
        start = span.end;
    }
    hasher.update(&body[start..]);
    for number in numbers(wiring) {
        hasher.update(format!("\0{number}").as_bytes());
    }
    ContentHash::from_bytes(hasher.finalize().into())
}

/// A place where a random id stands, or what refers to one.
pub(super) struct Wire {
    pub at: Span,
    pub id: Vec<u8>,
}

/// Which id stands where, each by its number in the order of first appearance: an edit that makes a reference lead to
/// another one is seen, though what is random of both is left out.
fn numbers(mut wiring: Vec<Wire>) -> Vec<usize> {
    wiring.sort_by_key(|wire| wire.at);
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    let numbers = wiring.iter().map(|wire| {
        let next = known.len() + 1;
        *known.entry(&wire.id).or_insert(next)
    });
    numbers.collect()
}

/// Drops what stands in parts that are taken out as a whole.
pub(super) fn unwire(wiring: &mut Vec<Wire>, taken: &[Span]) {
    if wiring.is_empty() || taken.is_empty() {
        return;
    }
    let mut taken = taken.to_vec();
    merge(&mut taken);
    wiring.retain(|wire| {
        let at = taken.partition_point(|span| span.end < wire.at.end);
        taken.get(at).is_none_or(|span| span.start > wire.at.start)
    });
}

/// Sorts spans, drops empty ones, and makes one of those that overlap or touch.
pub(super) fn merge(spans: &mut Vec<Span>) {
    spans.retain(|span| span.start < span.end);
    spans.sort_unstable();
    spans.dedup_by(|next, last| {
        let is_joined = next.start <= last.end;
        if is_joined {
            last.end = last.end.max(next.end);
        }
        is_joined
    });
}

/// Finds the values of `'nonce-…'` sources in a policy. `policy` is as written in HTML, where quotes
/// and signs may be character references, and begins at `offset` of the body.
pub(super) fn find_nonces(policy: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    const MARK: &[u8] = b"nonce-";
    let mut at = 0;
    while let Some(length) = memchr::memchr(b'-', &policy[at..]) {
        let start = at + length + 1;
        at = start;
        let is_source = start > MARK.len()
            && policy[start - MARK.len()..start].eq_ignore_ascii_case(MARK)
            && matches!(policy[start - MARK.len() - 1], b'\'' | b';');
        if is_source {
            at = nonce_end(policy, start);
            volatile.push(Span {
                start: offset + start,
                end: offset + at,
            });
        }
    }
}

/// Behind the base64 text that begins at `at`. Where `+`, `/` or `=` are written as references, those
/// belong to it; the reference to the closing quote does not.
fn nonce_end(policy: &[u8], mut at: usize) -> usize {
    while let Some(byte) = policy.get(at) {
        let (character, length) = match byte {
            b'&' => references::reference(&policy[at..]).unwrap_or(('&', 1)),
            _ => (char::from(*byte), 1),
        };
        if !character.is_ascii_alphanumeric() && !matches!(character, '+' | '/' | '=' | '-' | '_') {
            break;
        }
        at += length;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::check::document;
    use crate::content::{CanonicalRules, DeclaredRules, Kind, parse};
    use proptest::prelude::*;

    fn canonical(kind: Kind, body: &str, rules: &CanonicalRules) -> ContentHash {
        parse(&document(kind, body.as_bytes()), rules).canonical
    }

    /// What today's version makes of these patterns, and what the first one did.
    fn rules(patterns: &[&str]) -> [CanonicalRules; 2] {
        let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.into()).collect();
        let first = CanonicalRules::from_lines(&patterns).unwrap();
        let declared = DeclaredRules {
            patterns,
            ..DeclaredRules::default()
        };
        [CanonicalRules::new(&declared).unwrap(), first]
    }

    #[test]
    fn the_canonical_form_is_the_body_with_zero_bytes_for_what_is_volatile() {
        // Golden forms: each row is a body and the bytes whose plain BLAKE3 its canonical hash is.
        let csp = "<meta http-equiv='content-security-policy' content=";
        let rows = [
            (
                "<p nonce=abc class=x>".into(),
                "<p nonce=\0 class=x>".into(),
            ),
            (
                "<p nonce='a'><p nonce=\"b\">".into(),
                "<p nonce='\0'><p nonce=\"\0\">".into(),
            ),
            ("<p nonce=''>".into(), "<p nonce=''>".into()),
            ("plain".into(), "plain".into()),
            (
                format!("{csp}\"'nonce-a' 'NONCE-b' nonce-c 'sha256-d'\">"),
                format!("{csp}\"'nonce-\0' 'NONCE-\0' nonce-c 'sha256-d'\">"),
            ),
            (
                format!("{csp}\"&#39;nonce-a&#43;b&#x3D;&#39; x\">"),
                format!("{csp}\"&#39;nonce-\0&#39; x\">"),
            ),
        ];
        for (body, form) in rows {
            let expected = ContentHash::of(form.as_bytes());
            for rules in rules(&[]) {
                let canonical = canonical(Kind::Html, &body, &rules);
                assert_eq!(canonical, expected, "{body}");
            }
        }
    }

    #[test]
    fn the_canonical_form_of_the_second_version() {
        // Golden forms since rules have versions: each row is a body, the bytes whose plain BLAKE3 its canonical hash is
        // today, and that by the first version the hash was that of the body itself.
        let html = Kind::Html;
        let rows = [
            (
                html,
                "<p id=a-7cd0a4c1><label for='a-7cd0a4c1'>x</a>",
                "<p id=a-\0><label for='a-\0'>x</a>\x001\x001",
            ),
            (
                html,
                "<p id=a-7cd0a4c1><p id=a-8cd0a4c1><p aria-owns='a-8cd0a4c1 a-7cd0a4c1'>",
                "<p id=a-\0><p id=a-\0><p aria-owns='a-\0 a-\0'>\x001\x002\x002\x001",
            ),
            (
                html,
                "<input type=hidden name=__VIEWSTATE value='/wEPDwUKLTE2NjQ0'>",
                "<input type=hidden name=__VIEWSTATE value='\0'>",
            ),
            (
                html,
                "<p>1<!-- Page generated in 0.12 s --></p>",
                "<p>1<!-- Page generated \0 --></p>",
            ),
            (html, "<p>in 0.12 s</p>", "<p>in 0.12 s</p>"),
            (
                Kind::Xml,
                "<rss><channel><pubDate>a</pubDate><item><pubDate>b</pubDate></item></channel></rss>",
                "<rss><channel><pubDate>\0</pubDate><item><pubDate>b</pubDate></item></channel></rss>",
            ),
            (Kind::Json, "{\"a\":1}", "{\"a\":1}"),
        ];
        let [today, first] = rules(&[]);
        for (kind, body, form) in rows {
            assert_eq!(
                canonical(kind, body, &today),
                ContentHash::of(form.as_bytes()),
                "{body}"
            );
            assert_eq!(
                canonical(kind, body, &first),
                ContentHash::of(body.as_bytes()),
                "{body}"
            );
        }
    }

    #[test]
    fn the_canonical_form_under_rules_of_every_sort() {
        // Golden forms: what each sort takes out of a body, and that nothing else is.
        let list = |rules: &[&str]| rules.iter().map(|&rule| rule.into()).collect();
        let declared = DeclaredRules {
            selectors: list(&["div.ad", "img@src", "ul > li"]),
            patterns: list(&["v[0-9]+"]),
            json_pointers: list(&["/a/*/at"]),
            headers: Vec::new(),
        };
        let rules = CanonicalRules::new(&declared).unwrap();
        let rows = [
            (Kind::Html, "<div class='x ad'>1<p>2</div>3", "\x003"),
            (
                Kind::Html,
                "<img alt=a src=b>v1<ul><li>a<li>b</ul>c",
                "<img alt=a src=\0>\0<ul>\0</ul>c",
            ),
            (Kind::Html, "<div class=ad>", "\0"),
            (Kind::Html, "<div class=ad", "<div class=ad"),
            (
                Kind::Json,
                "{\"a\":[{\"at\":1}, {\"at\":[2]}],\"at\":3}",
                "{\"a\":[{\"at\":\0}, {\"at\":\0}],\"at\":3}",
            ),
            (Kind::Json, "{\"a\":[{\"at\":1}]", "{\"a\":[{\"at\":1}]"),
            (
                Kind::Manifest,
                "{\"a\":{\"b\":{\"at\":1}}}",
                "{\"a\":{\"b\":{\"at\":\0}}}",
            ),
            (Kind::Css, "a{}/*v12*/", "a{}/*\0*/"),
            (Kind::Script, "f(v12)", "f(\0)"),
            (
                Kind::Xml,
                "<div class='ad'>v1</div>",
                "<div class='ad'>\0</div>",
            ),
            (Kind::Other, "v1", "v1"),
        ];
        for (kind, body, form) in rows {
            assert_eq!(
                canonical(kind, body, &rules),
                ContentHash::of(form.as_bytes()),
                "{body}"
            );
        }
    }

    #[test]
    fn configured_patterns_apply_to_text_and_may_overlap() {
        let form = ContentHash::of(b"\0, \0y");
        let untouched = ContentHash::of(b"built 12");
        for rules in rules(&["built [0-9]+", "[0-9]+ ms", "x*"]) {
            for kind in [Kind::Html, Kind::Css, Kind::Xml] {
                let canonical = canonical(kind, "built 12 ms, xxy", &rules);
                assert_eq!(canonical, form, "{kind:?}");
            }
            assert_eq!(canonical(Kind::Other, "built 12", &rules), untouched);
        }
    }

    #[test]
    fn spans_are_sorted_and_joined() {
        let span = |start, end| Span { start, end };
        let mut spans = vec![
            span(8, 9),
            span(2, 5),
            span(7, 7),
            span(0, 1),
            span(3, 4),
            span(5, 6),
        ];
        merge(&mut spans);
        assert_eq!(spans, [span(0, 1), span(2, 6), span(8, 9)]);
    }

    /// A page of paragraphs, each with a text and a nonce.
    fn page(texts: &[String], nonces: &[String]) -> String {
        let paragraph = |(text, nonce)| format!("<script nonce=\"{nonce}\">{text}</script>\n");
        texts.iter().zip(nonces).map(paragraph).collect()
    }

    /// A page of parts, each with a text and all sorts of things that are made anew; `numbers` are any.
    fn answer(texts: &[String], numbers: &[u32]) -> String {
        let part = |(text, number): (&String, &u32)| {
            format!(
                "<p id=part-9{number:06x}a>{text}<!-- took {number} ms --></p><label for=part-9{number:06x}a>x</label>\
                 <input type=hidden name=form_token value=0123456789abcdef{number:08x}><ul class=ad><li>{number}<li>{number}</ul>\
                 <img src=/i?{number} alt=i>{text}\n"
            )
        };
        texts.iter().zip(numbers).map(part).collect()
    }

    proptest! {
        #[test]
        fn answers_are_equal_exactly_when_only_volatile_parts_differ(
            texts in proptest::collection::vec("[ab]{0,2}", 3),
            others in proptest::collection::vec("[ab]{0,2}", 3),
            numbers in proptest::collection::vec(0..0x00ff_ffff_u32, 6),
        ) {
            // The same for what the second version knows, and for what selectors take out.
            let declared = DeclaredRules {
                selectors: vec![".ad".into(), "img@src".into()],
                ..DeclaredRules::default()
            };
            let rules = CanonicalRules::new(&declared).unwrap();
            let first = canonical(Kind::Html, &answer(&texts, &numbers[..3]), &rules);
            let second = canonical(Kind::Html, &answer(&others, &numbers[3..]), &rules);
            prop_assert_eq!(first == second, texts == others);
        }

        #[test]
        fn pages_are_equal_exactly_when_only_their_nonces_differ(
            texts in proptest::collection::vec("[ab]{0,2}", 3),
            others in proptest::collection::vec("[ab]{0,2}", 3),
            nonces in proptest::collection::vec("[a-z]{1,4}", 6),
        ) {
            // The promise that keeps a site with nonces from being stored anew every night.
            let none = CanonicalRules::default();
            let first = canonical(Kind::Html, &page(&texts, &nonces[..3]), &none);
            let second = canonical(Kind::Html, &page(&others, &nonces[3..]), &none);
            prop_assert_eq!(first == second, texts == others);
        }
    }
}
