//! Bodies that somebody has made to be slow, or that look as if. For tests only.
//!
//! Each is 4 MB of one piece over and over, of which a scanner that begins again for each would have a million
//! million steps to make: it would still be at it tomorrow. That these tests end is what they check.

use super::check::{RULES, document};
use super::{Asked, Document, Kind, Parsed, parse, volatile_spans};

/// What a hostile body is made of, by the kind of scanner that it is meant for.
const TRAPS: &[(Kind, &[&str])] = &[
    (
        Kind::Html,
        &[
            "<",
            "</",
            "<!",
            "<?",
            "<!--",
            "<!-->",
            "<!--[if x]>",
            "<!--[if x]>-->",
            "<![CDATA[",
            "<a ",
            "<a/",
            "<a href='",
            "<a href=x",
            "<a href=x>",
            "<p a=b ",
            "<script>",
            "<script><!--",
            "<script><!--<script>",
            "<script><!--<script></script>",
            "<style>",
            "<style></style>",
            "<title>",
            "<textarea></textarea>",
            "<svg>",
            "<svg><![CDATA[",
            "<svg><![CDATA[]]>",
            "<template>",
            "<form>",
            "<form><input name=a>",
            "<fieldset><input name=a>",
            "<fieldset disabled>",
            "<select><option>",
            "<select name=a multiple><option>x",
            "<input type=radio name=a>",
            "<optgroup>",
            "&",
            "&amp",
            "&amp;",
            "x ",
            "<iframe srcdoc='x'></iframe>",
            "<iframe srcdoc=\"<iframe srcdoc='",
            "<img srcset='a 1x,",
            "<img srcset=','>",
            "<p style='a:url('>",
            "<meta charset=",
            "<applet codebase=a code=b>",
            "<script type=module>import a from './b.js'</script>",
            "<script type=application/ld+json>[",
            "<?xml-stylesheet href=",
            "<div>",
            "<div></p>",
            "<p>",
            "<p></div>",
            "<b></i>",
            "<table>",
            "<td>",
            "<table><td>",
            "<li><ul>",
            "<p class=a><b>",
            "<a id=x-7cd0a4c1 class=a>",
            "<p id='7cd0a4c1-",
            "<!-- generated 1 in 5 s -->",
            "<!-- generated 1 in 5 ",
            "generated on 2026-",
            "{\"nonce\":\"",
            "<script>nonce csrf dom_id",
        ],
    ),
    (
        Kind::Css,
        &[
            "url(",
            "url(a ",
            "url('",
            "url(a)",
            "/*",
            "/",
            "'",
            "\\",
            "@import '",
            "@import ",
            "@namespace ",
            "image-set(",
            "image-set('a' ",
            "image-set()",
            "src('",
            "((",
            "a{}",
            "-",
            "/*# sourceMappingURL=",
        ],
    ),
    (
        Kind::Script,
        &[
            "import ",
            "import(",
            "import('./a'",
            "import{",
            "import a,",
            "import a from ",
            "export*",
            "export{",
            "/",
            "(/[",
            "(/a\n",
            "`",
            "`${",
            "${",
            "}",
            "'",
            "\"\\",
            "/*",
            "//",
            "new URL(",
            "new URL('a',import.",
            "import/**/",
            "sourceMappingURL=",
            "//# sourceMappingURL=a\n",
        ],
    ),
    (
        Kind::Manifest,
        &[
            "[",
            "{",
            "{\"a\":",
            "\"",
            "\\\"",
            "\"a\":\"b\",",
            "{\"icons\":[{\"src\":\"a\"}]}",
            "]",
            "\"\\u",
            ":",
        ],
    ),
    (
        Kind::Json,
        &["[", "{\"a\":", "{\"a\":[", "[1,", "\"\\u", "{}", "1"],
    ),
    (
        Kind::Xml,
        &[
            "<feed><updated>",
            "<!-- generated 1 in 5 s -->",
            "<loc>",
            "<url>",
            "<url><loc>",
            "<loc>x</loc>",
            "&a;",
            "&",
            "<!--",
            "<![CDATA[",
            "<!DOCTYPE ",
            "<a b='",
            "<link a='' ",
            "<link href='x'/>",
            "<image>",
            "<?",
            "<?xml-stylesheet href",
            "</loc>",
            "<!ENTITY a 'b'>",
            "https://h/a\n",
            "<",
            "]]>",
        ],
    ),
];

const BYTES: usize = 4 << 20;

/// Everything that can be asked for.
fn parsed(kind: Kind, body: &[u8]) -> Parsed {
    let document = Document {
        asked: Asked {
            forms: true,
            text: true,
            sitemap: true,
        },
        ..document(kind, body)
    };
    parse(&document, &RULES)
}

mod tests {
    use super::*;

    #[test]
    fn no_body_takes_more_than_a_few_passes() {
        for (kind, pieces) in TRAPS {
            for piece in *pieces {
                let body = piece.repeat(BYTES / piece.len());
                parsed(*kind, body.as_bytes());
            }
        }
    }

    #[test]
    fn a_page_that_nests_deeper_than_browsers_go_is_left_as_it_is() {
        // 10 MB of `<div>` are one page of their own; the last depth at which selectors still work is a page like others.
        let nested = |depth: usize| format!("{}<p>y", "<div>".repeat(depth));
        for (depth, is_taken) in [(509, true), (510, false), (2 << 20, false)] {
            let body = nested(depth);
            let page = document(Kind::Html, body.as_bytes());
            let spans = volatile_spans(&page, &RULES).spans;
            assert_eq!(!spans.is_empty(), is_taken, "{depth}");
        }
    }

    #[test]
    fn many_links_and_long_ones_are_taken_whole() {
        // 100,000 links on one page, each with a role of its own, and one of 64 kB.
        let mut page: String = (0..50_000)
            .map(|index| format!("<a href=/p{index}><img src=/i{index}>"))
            .collect();
        let long = format!("/{}", "x".repeat(64 << 10));
        page.push_str(&format!("<a href={long}>"));
        let links = parsed(Kind::Html, page.as_bytes()).links;
        assert_eq!(links.len(), 100_001);
        assert_eq!(links.references().last(), Some(long.as_str()));
    }

    #[test]
    fn a_page_has_no_more_links_than_it_has_bytes() {
        // What is repeated for each of several links multiplies: only an applet's code base is, within its bound.
        let base = "b".repeat(64 << 10);
        let page = format!("<applet codebase={base} archive='{}'>", "a,".repeat(1000));
        let links = parsed(Kind::Html, page.as_bytes()).links;
        let bytes: usize = links.references().map(str::len).sum();
        assert!(bytes < 9 * page.len(), "{bytes}");
    }
}
