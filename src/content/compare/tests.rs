//! What is told of two answers, and proposed: tables of small pages, and pages that nobody would wish for.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{Comparison, Place, Rule, compare, compare_headers};
use crate::content::check::document;
use crate::content::{CanonicalRules, DeclaredRules, Document, KeptHeaders, Kind, parse};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

fn of(kind: Kind, content_type: &str, before: &str, after: &str) -> Comparison {
    let documents = [before, after].map(|body| Document {
        content_type: Some(content_type),
        ..document(kind, body.as_bytes())
    });
    let [before, after] = &documents;
    compare(before, after, &CanonicalRules::default(), soon())
}

fn html(before: &str, after: &str) -> Comparison {
    of(Kind::Html, "text/html", before, after)
}

/// A page around something, long enough that a rule takes out little of it.
fn page(inside: &str) -> String {
    let text = "<p>A paragraph that stays as it is.</p>\n".repeat(40);
    format!("<html>\n<head><title>Page</title></head>\n<body>\n{inside}\n{text}</body></html>")
}

fn only(comparison: &Comparison) -> &Place {
    assert_eq!(comparison.places.len(), 1, "{comparison:#?}");
    &comparison.places[0]
}

fn rule(place: &Place) -> (&str, &str, bool) {
    let proposal = place.proposal.as_ref();
    let proposal = proposal.unwrap_or_else(|| panic!("no rule: {place:#?}"));
    (
        proposal.rule.list(),
        proposal.rule.text(),
        proposal.doubt.is_none(),
    )
}

#[test]
fn each_kind_of_difference_has_its_place_and_the_smallest_rule() {
    // Promise: per row the page's two answers, where they differ, and the rule for it. With the rule the two are
    // equal.
    let rows = [
        (
            "<form id=login><input type=hidden name=ticket value=a1b2c3></form>",
            "<form id=login><input type=hidden name=ticket value=d4e5f6></form>",
            "html > body > form#login > input[name=ticket]",
            ("selectors", "input[name=ticket]@value"),
        ),
        (
            "<div id=ember123 class='menu open'>x</div><div id=other>y</div>",
            "<div id=ember456 class='menu open'>x</div><div id=other>y</div>",
            "html > body > div.menu",
            ("selectors", "div.menu@id"),
        ),
        (
            "<footer>made at <time id=generated>10:00:01</time></footer>",
            "<footer>made at <time id=generated>10:00:02</time></footer>",
            "html > body > footer > time#generated",
            ("selectors", "time#generated"),
        ),
        (
            "<p>Generated at 2026-11-21 10:00:01 by us</p>",
            "<p>Generated at 2026-11-21 10:00:02 by us</p>",
            "html > body > p",
            (
                "patterns",
                "Generated at [0-9]{4}-[0-9]{1,2}-[0-9]{1,2} [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}",
            ),
        ),
        (
            "<script>var csrf = \"0123456789abcdef0123\";</script>",
            "<script>var csrf = \"fedcba98765432100123\";</script>",
            "html > body > script",
            ("patterns", "csrf = \"[0-9a-f]{20}\""),
        ),
        (
            "<a href=/a;jsessionid=0A1B2C3D4E5F6071>a</a><a href=/b;jsessionid=0A1B2C3D4E5F6071>b</a>",
            "<a href=/a;jsessionid=0A1B2C3D4E5F6072>a</a><a href=/b;jsessionid=0A1B2C3D4E5F6072>b</a>",
            "html > body > a",
            ("patterns", "jsessionid=[0-9A-F]{16}"),
        ),
        (
            "<!-- served by web-03 in 12 ms -->",
            "<!-- served by web-04 in 15 ms -->",
            "html > body",
            ("patterns", "<!-- served by web-[^>]*-->"),
        ),
    ];
    for (before, after, path, (list, text)) in rows {
        let comparison = html(&page(before), &page(after));
        let place = &comparison.places[0];
        assert_eq!(place.path, path, "{comparison:#?}");
        assert_eq!(rule(place), (list, text, true), "{comparison:#?}");
        assert!(comparison.suffices, "{comparison:#?}");
        assert_eq!(place.line, 4, "{comparison:#?}");
    }
}

#[test]
fn what_the_page_says_is_shown_and_not_called_noise() {
    // Promise: a corrected price, a headline, a number that goes up: no rule without a doubt.
    let rows = [
        (
            "<p class=price>12.50 euros</p>",
            "<p class=price>13.50 euros</p>",
        ),
        (
            "<h1>The minister resigns</h1>",
            "<h1>The minister returns</h1>",
        ),
        ("<a href=/news/one>News</a>", "<a href=/news/two>News</a>"),
        (
            "<p>x</p><div id=box><p>new</p></div>",
            "<p>x</p><div id=box></div>",
        ),
        ("<img alt='A cat' src=a.png>", "<img alt='A dog' src=a.png>"),
    ];
    for (before, after) in rows {
        let comparison = html(&page(before), &page(after));
        let place = only(&comparison);
        assert!(place.is_content, "{place:#?}");
        assert_eq!(comparison.rules(), Vec::<&Rule>::new(), "{place:#?}");
        assert!(!comparison.suffices);
        let proposal = place.proposal.as_ref();
        let doubt = proposal.and_then(|proposal| proposal.doubt.as_deref());
        assert!(
            doubt.is_none_or(|doubt| doubt.contains("content") || doubt.contains("address")),
            "{place:#?}"
        );
    }
}

#[test]
fn what_readers_see_or_follow_is_noise_only_where_a_word_says_so() {
    // Promise: per row what stands on a page, with two values that look like a time or a token: when a bus leaves, a
    // checksum, which picture is shown. No rule without a doubt.
    let (one, other) = ("0a1b2c3d4e5f60718293", "f0e1d2c3b4a596870718");
    let rows = [
        ("<p>Next bus at {}</p>", "14:05:00", "14:25:00"),
        (
            "<p>Opening hours {} to 17:00:00</p>",
            "09:00:00",
            "08:00:00",
        ),
        (
            "<p>Starts <time class=d>{}</time></p>",
            "2026-12-01 10:00",
            "2026-12-02 10:00",
        ),
        (
            "<span class=t>{}</span>",
            "2026-11-21 10:01",
            "2026-11-21 10:02",
        ),
        (
            "<p>Last updated: {}</p>",
            "21.11.2026 10:01",
            "21.11.2026 10:02",
        ),
        (
            "<p>Deadline</p><time id=due datetime={}>soon</time>",
            "2026-12-01T10:00:00Z",
            "2026-12-02T10:00:00Z",
        ),
        ("<p>Wait: {}</p>", "12 seconds", "14 seconds"),
        ("<p>Tel {}</p>", "1632960961", "1632960968"),
        ("<td id=sum>sha256 {}</td>", one, other),
        ("<h1 class=title>{}</h1>", one, other),
        ("<img class=hero src=\"/i.php?id={}\">", one, other),
        ("<img class=hero src=\"/{}.jpg\">", one, other),
        (
            "<iframe id=map src=\"https://maps.test/?q={}\"></iframe>",
            one,
            other,
        ),
        (
            "<link rel=canonical href=\"https://x.test/?s={}\">",
            one,
            other,
        ),
        (
            "<script src=\"/app.js?v={}\"></script>",
            "1700000001",
            "1700000002",
        ),
        ("<link rel=stylesheet href=\"/a.css?v={}\">", one, other),
        ("<select><option value={}>Yes</option></select>", one, other),
        ("<div id={}><p>x</p></div>", "wa1b2c3", "wd4e5f6"),
        (
            "<script>var opens = \"{}\";</script>",
            "2026-12-01T10:00:00Z",
            "2026-12-02T10:00:00Z",
        ),
        ("<script>var wet = \"{}\";</script>", "rain47", "snow48"),
    ];
    for (inside, before, after) in rows {
        let of = |value: &str| page(&inside.replace("{}", value));
        let comparison = html(&of(before), &of(after));
        assert!(!comparison.is_equal(), "{inside}");
        assert_eq!(comparison.rules(), Vec::<&Rule>::new(), "{comparison:#?}");
        assert!(!comparison.suffices, "{inside}");
    }
}

#[test]
fn when_an_item_was_published_is_no_noise() {
    let before = "<lastBuildDate>Sat, 21 Nov 2026 09:00:00 GMT</lastBuildDate>";
    for inside in [
        "<item><title>x</title><pubDate>{}</pubDate></item>",
        "<item><pubDate>{}</pubDate></item>",
        "<entry><generated>{}</generated></entry>",
        "<sunrise>{}</sunrise>",
    ] {
        let of_second = |second: u32| {
            let time = format!("Sat, 21 Nov 2026 10:00:0{second} GMT");
            page(&format!("{before}{}", inside.replace("{}", &time)))
        };
        let (one, other) = (of_second(1), of_second(2));
        let comparison = of(Kind::Xml, "application/xml", &one, &other);
        assert!(!comparison.is_equal());
        assert_eq!(comparison.rules(), Vec::<&Rule>::new(), "{comparison:#?}");
    }
}

#[test]
fn of_a_link_only_the_token_inside_is_taken_out() {
    // Promise: a rule for a session's token in links leaves where they lead; what else differs in them has none.
    let (one, other) = ("0A1B2C3D4E5F60718293", "F0E1D2C3B4A596870718");
    let row = |token: &str, page: u32| {
        self::page(&format!(
            "<a href=\"/law;jsessionid={token}\">l</a><a href=\"/b?sid={token}&amp;x=1\">l</a><a href=\"/y?p={page}\">l</a>"
        ))
    };
    let comparison = html(&row(one, 1), &row(other, 2));
    let rules: Vec<&str> = comparison.rules().into_iter().map(Rule::text).collect();
    assert_eq!(rules, ["jsessionid=[0-9A-F]{20}", "sid=[0-9A-F]{20}"]);
    assert!(!comparison.suffices);
    let comparison = html(&row(one, 1), &row(other, 1));
    assert!(comparison.suffices, "{comparison:#?}");
}

#[test]
fn a_pointer_that_takes_out_what_does_not_differ_is_not_proposed() {
    // Promise: values beside count, in lists as under keys; a key called `*` cannot be said.
    let filler = "stays ".repeat(100);
    let list = |second: u32| {
        format!(
            "[{{\"name\": \"generated\", \"token\": \"2026-11-21T10:00:0{second}Z\"}}, {{\"name\": \"fee\", \"token\": \"12.50 EUR\"}}, \"{filler}\"]"
        )
    };
    let star = |second: u32| {
        format!(
            "{{\"*\": {{\"token\": \"2026-11-21T10:00:0{second}Z\"}}, \"fee\": {{\"token\": \"12\"}}, \"text\": \"{filler}\"}}"
        )
    };
    let plain =
        |second: u32| list(second).replace("12.50 EUR", &format!("2026-11-21T10:00:0{second}Z"));
    let value = |second: u32| plain(second).replace("\"token\"", "\"departure\"");
    let json = |one: String, other: String| of(Kind::Json, "application/json", &one, &other);
    for comparison in [
        json(list(1), list(2)),
        json(star(1), star(2)),
        json(value(1), value(2)),
    ] {
        assert_eq!(comparison.rules(), Vec::<&Rule>::new(), "{comparison:#?}");
        assert!(!comparison.suffices);
    }
    let all = json(plain(1), plain(2));
    assert_eq!(rule(&all.places[0]), ("json_pointers", "/*/token", true));
    assert!(all.suffices);
}

#[test]
fn headers_that_mean_something_are_never_noise() {
    for name in [
        "access-control-allow-origin",
        "content-security-policy",
        "content-security-policy-report-only",
        "strict-transport-security",
        "vary",
        "x-robots-tag",
    ] {
        let kept = |token: &str| {
            let value = format!("https://x.test/?id={token}");
            let policy = [name.to_owned()];
            KeptHeaders::keep_also(&policy, [(name, value.as_bytes())].into_iter())
        };
        let (before, after) = (kept("0a1b2c3d4e5f6071"), kept("f0e1d2c3b4a59687"));
        let places = compare_headers(&before, &after, &CanonicalRules::default());
        assert_eq!(places.len(), 1, "{name}");
        assert!(places[0].is_content, "{name}");
        assert!(!rule(&places[0]).2, "{name}");
    }
}

#[test]
fn what_the_rules_take_out_already_is_no_difference() {
    let before = page("<script nonce=abc></script><p>one</p>");
    let after = page("<script nonce=def></script><p>one</p>");
    assert!(html(&before, &after).is_equal());
    // And does not stand in the way of what is one; offsets are those of the body.
    let (before, after) = (
        before.replace("<p>one", "<p id=generated>10:00:01"),
        after.replace("<p>one", "<p id=generated>10:00:02"),
    );
    let comparison = html(&before, &after);
    let place = only(&comparison);
    assert_eq!(&before[place.offset..place.offset + 8], "10:00:01");
    assert_eq!((&*place.before, &*place.after), ("10:00:01", "10:00:02"));
    assert_eq!((place.line, place.column), (4, 44));
}

#[test]
fn a_rule_that_would_take_out_more_than_what_differs_is_another_one() {
    // Promise: the feed's own date differs in every answer, its entries' dates do not: the rule tells them apart.
    let entries = "<entry>\n<timestamp>2026-11-01T10:00:00Z</timestamp>\n</entry>\n".repeat(30);
    let feed = |second: u32| {
        format!(
            "<?xml version=\"1.0\"?>\n<feed>\n<title>News</title>\n<timestamp>2026-11-21T10:00:0{second}Z</timestamp>\n{entries}</feed>"
        )
    };
    let comparison = of(Kind::Xml, "application/atom+xml", &feed(1), &feed(2));
    let place = only(&comparison);
    assert_eq!(place.path, "feed > timestamp");
    let (_, text, is_sure) = rule(place);
    assert!(is_sure && comparison.suffices, "{text}");
}

#[test]
fn values_of_json_have_pointers_and_lines_have_numbers() {
    let json = |token: &str, at: u32| {
        let filler = "\"text\": \"stays\", ".repeat(100);
        format!(
            "{{{filler}\"a/b\": {{\"items\": [{{\"t\": \"{token}\"}}, {{\"t\": \"{token}\"}}]}}, \"timestamp\": {at}}}"
        )
    };
    let (before, after) = (json("0a1b2c3d4e5f6071", 1), json("0a1b2c3d4e5f6072", 2));
    let comparison = of(Kind::Json, "application/json", &before, &after);
    let told: Vec<_> = comparison
        .places
        .iter()
        .map(|place| (&*place.path, place.count))
        .collect();
    assert_eq!(told, [("/a~1b/items/*/t", 2), ("/timestamp", 1)]);
    let text = |second: u32| format!("{}\nbuilt 10:00:0{second}\nend", "line\n".repeat(100));
    let comparison = of(Kind::Css, "text/css", &text(1), &text(2));
    let place = only(&comparison);
    assert_eq!((&*place.path, place.line, place.column), ("", 102, 7));
    assert_eq!(rule(place).1, "built [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}");
    assert!(comparison.suffices);
    let binary = of(
        Kind::Other,
        "image/png",
        "\u{1}\u{2}\u{3}a",
        "\u{1}\u{2}\u{3}b",
    );
    assert_eq!(only(&binary).proposal, None);
}

#[test]
fn headers_are_compared_by_name_in_their_canonical_form() {
    let kept = |csp: &'static str, link: &'static str, kind: &'static str| {
        let headers = [
            ("content-security-policy", csp),
            ("permissions-policy", link),
            ("content-type", kind),
        ];
        KeptHeaders::keep(
            headers
                .into_iter()
                .map(|(name, value)| (name, value.as_bytes())),
        )
    };
    let before = kept("'nonce-a'", "</x?v=0a1b2c3d4e5f6071>", "text/html");
    let after = kept("'nonce-b'", "</x?v=0a1b2c3d4e5f6072>", "text/plain");
    let places = compare_headers(&before, &after, &CanonicalRules::default());
    let told: Vec<_> = places.iter().map(rule).collect();
    assert_eq!(
        told,
        [
            ("headers", "content-type", false),
            ("headers", "permissions-policy", true)
        ]
    );
    let declared = DeclaredRules {
        headers: vec!["permissions-policy".into(), "content-type".into()],
        ..DeclaredRules::default()
    };
    let rules = CanonicalRules::new(&declared).unwrap();
    assert_eq!(compare_headers(&before, &after, &rules), []);
}

#[test]
fn what_is_shown_can_be_read_in_every_encoding() {
    // Promise: a page in UTF-16 or windows-1252, or a sheet in the latter, is shown as its readers see it.
    let of = |kind: Kind, content_type: &str, bodies: [Vec<u8>; 2]| {
        let [before, after] = bodies.each_ref().map(|body| Document {
            content_type: Some(content_type),
            ..document(kind, body)
        });
        compare(&before, &after, &CanonicalRules::default(), soon())
    };
    let texts = ["<p>\u{e9}t\u{e9} un</p>", "<p>\u{e9}t\u{e9} deux</p>"].map(page);
    let wide =
        |text: &String| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let narrow = |text: &String| -> Vec<u8> {
        let byte = |letter| u8::try_from(u32::from(letter)).expect("the text has no others");
        text.chars().map(byte).collect()
    };
    for (kind, content_type, bodies) in [
        (
            Kind::Html,
            "text/html; charset=utf-16le",
            texts.each_ref().map(wide),
        ),
        (
            Kind::Html,
            "text/html; charset=windows-1252",
            texts.each_ref().map(narrow),
        ),
        (
            Kind::Css,
            "text/css; charset=windows-1252",
            texts.each_ref().map(narrow),
        ),
    ] {
        let comparison = of(kind, content_type, bodies);
        let place = only(&comparison);
        assert!(place.before.contains("\u{e9}t\u{e9} un"), "{place:#?}");
        assert!(place.after.contains("\u{e9}t\u{e9} deux"), "{place:#?}");
        assert_eq!(place.line, 4);
    }
}

#[test]
fn whatever_is_compared_it_ends() {
    // Promise: large pages that have nothing in common, and broken ones, end at the deadline, and each place lies in
    // its body. (Deadlines that have passed are the worst case, and need no clock.)
    let row =
        |number: usize, salt: &str| format!("<tr class=r{number}><td>{salt}{number}</td></tr>\n");
    let table = |salt: &str| {
        (0..4_000)
            .map(|number| row(number, salt))
            .collect::<String>()
    };
    let broken = [
        "<",
        "<a",
        "<a b",
        "<a b='",
        "<!--",
        "</",
        "<a></b></a>",
        "<script>",
        "",
        "\0\0",
    ];
    let mut pairs = vec![(table("one"), table("two")), (table("one"), String::new())];
    for one in broken {
        pairs.extend(broken.map(|other| (one.to_owned(), other.to_owned())));
    }
    for (before, after) in pairs {
        for kind in [Kind::Html, Kind::Xml, Kind::Css] {
            let documents = [&before, &after].map(|body| document(kind, body.as_bytes()));
            let rules = CanonicalRules::default();
            let comparison = compare(&documents[0], &documents[1], &rules, Instant::now());
            assert_eq!(
                comparison.is_equal(),
                before == after,
                "{before:.80} {after:.80}"
            );
            let inside = |place: &Place| place.offset <= before.len();
            assert!(comparison.places.iter().all(inside));
        }
        for (before, after) in [(&before, &after), (&after, &before)] {
            of(Kind::Json, "application/json", before, after);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_compared_is_equal_exactly_when_a_crawl_says_so(
        before in "[<>/=\"' ab0\\n\\-!x{}\\[\\],:&\u{e9}]{0,60}",
        after in "[<>/=\"' ab0\\n\\-!x{}\\[\\],:&\u{e9}]{0,60}",
        tail in "(<p>x</p>|<!--a-->|<script>b</script>|<svg/>| id=a1b2c3d4>)?",
    ) {
        // Promise: total; equal means the same canonical hash; each place lies in its body; and rules of which it is
        // said that they suffice make the hashes equal.
        let (before, after) = (format!("{before}{tail}"), format!("{after}{tail}"));
        for kind in [Kind::Html, Kind::Xml, Kind::Json, Kind::Css, Kind::Other] {
            let documents = [&before, &after].map(|body| document(kind, body.as_bytes()));
            let hashes = |rules: &CanonicalRules| documents.map(|document| parse(&document, rules).canonical);
            let rules = CanonicalRules::default();
            let comparison = compare(&documents[0], &documents[1], &rules, soon());
            let [one, other] = hashes(&rules);
            prop_assert_eq!(comparison.is_equal(), one == other);
            prop_assert!(comparison.places.iter().all(|place| place.offset <= before.len()));
            let mut declared = DeclaredRules::default();
            comparison.rules().into_iter().for_each(|rule| rule.add_to(&mut declared));
            if comparison.suffices {
                let [one, other] = hashes(&CanonicalRules::new(&declared).unwrap());
                prop_assert_eq!(one, other);
            }
        }
    }
}

#[test]
fn rules_that_take_quotes_with_them_leave_places_where_they_are() {
    // Promise: what a rule takes out may be half of a tag; the rest of the page keeps its elements.
    let declared = DeclaredRules {
        patterns: vec!["href=\"/s[0-9]+\"?".into()],
        ..DeclaredRules::default()
    };
    let rules = CanonicalRules::new(&declared).unwrap();
    let body = |salt: u32| {
        let inside = format!(
            "<a href=\"/s{salt}/x\">a</a><p id=generated>10:00:0{salt}</p><a title=\"b\">b</a>"
        );
        page(&inside)
    };
    let (before, after) = (body(1), body(2));
    let documents = [&before, &after].map(|body| document(Kind::Html, body.as_bytes()));
    let comparison = compare(&documents[0], &documents[1], &rules, soon());
    assert_eq!(only(&comparison).path, "html > body > p#generated");
    assert!(comparison.suffices);
}
