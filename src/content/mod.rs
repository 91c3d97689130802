//! One pass over a body: its digests, its canonical hash, the links in it, the headers worth keeping.
//!
//! Everything here is a pure function over bytes and total: whatever a server sent is an answer, never
//! an error or a panic. Links leave this room as they were written (decoded, but not resolved): what a
//! reference means is for `site`, whether it is followed for `crawl`. What must not happen here is I/O,
//! and a second scan of a body: links and volatile parts are found in the same pass.

mod canonical;
mod charset;
pub mod check;
mod compare;
mod css;
mod data;
mod digest;
mod elements;
mod form;
mod header_links;
mod headers;
#[cfg(test)]
mod hostile;
mod html;
mod instruction;
mod json;
mod kind;
mod lastmod;
mod links;
mod mirror_header;
#[cfg(test)]
mod oracle;
mod pointer;
mod reading;
mod references;
mod rules;
mod script;
mod selector;
mod sitemap;
mod tags;
mod taking;
#[cfg(test)]
mod taking_oracle;
mod volatile;

pub use charset::Charset;
pub use compare::{Comparison, Place, Proposal, Rule, compare, compare_headers};
pub use digest::{ContentHash, Digest, Digester, HashError, crc32c, digest};
pub use form::{Button, Choice, Field, Form};
pub use header_links::header_links;
pub use headers::{KEPT, KeptHeaders, never_kept};
pub use kind::{Kind, has_links, kind};
pub use links::{Link, Links, Role};
pub use mirror_header::{MirrorHeader, MirrorHeaderError};
pub use rules::{CanonicalRules, DeclaredRules, RulesError};

use std::borrow::Cow;

use canonical::Wire;
use links::Collector;
use reading::Reader;
use rules::BuiltIn;
use sitemap::{Root, Unpacked};
use taking::Taking;

/// What one scan finds in a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// BLAKE3 of the body without its volatile parts; the content hash when it has none.
    pub canonical: ContentHash,
    /// Raw references: decoded, trimmed, without `#fragment`, none empty, none twice.
    pub links: Links,
    /// The `href` of the first `<base>` that has one, decoded and trimmed; `links` are relative to it.
    pub base: Option<String>,
    /// How the document's bytes were read, which its queries are sent in too.
    pub charset: Charset,
    /// What a reader could fill in; empty unless [`Asked::forms`].
    pub forms: Vec<Form>,
    /// The words that a reader sees, white space collapsed; `None` unless [`Asked::text`], and for what is no HTML.
    pub text: Option<String>,
    /// That this is a sitemap, and of which kind.
    pub sitemap: Option<Sitemap>,
    /// It is one that stops before its end: what it names is not all.
    pub is_cut: bool,
}

/// The two kinds of sitemaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Sitemap {
    /// Its links are sitemaps.
    Index,
    /// Its links are pages: `<urlset>`, a feed that is used as one, or a list of URLs, one a line.
    Pages,
}

/// What is wanted of a body beyond its links and its canonical hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub forms: bool,
    pub text: bool,
    /// Somebody has named this body as a sitemap: it is read as one, whatever its type says (gzip recognised by its
    /// first bytes, plain text line by line).
    pub sitemap: bool,
}

/// A body and what is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Document<'a> {
    pub kind: Kind,
    pub body: &'a [u8],
    /// The hash of these very bytes: it is the canonical hash of a body with nothing volatile in it, which is then not
    /// hashed a second time.
    pub content: ContentHash,
    /// The header of the answer, whose `charset` comes before any other word on it but a byte order mark.
    pub content_type: Option<&'a str>,
    pub asked: Asked,
}

/// Scans a document as its kind asks. Total.
///
/// The canonical hash depends on nothing but the body, its kind and its encoding: that somebody takes it for a
/// sitemap, or wants its text, changes no hash.
pub fn parse(document: &Document<'_>, rules: &CanonicalRules) -> Parsed {
    let Examined {
        mut parsed,
        mut found,
        text,
        volatile,
        wiring,
    } = examine(document, rules);
    parsed.canonical = canonical::hash(&text, volatile, wiring, document.content);
    if document.asked.sitemap && parsed.sitemap.is_none() {
        let mut listed = Collector::default();
        if let Some((kind, is_cut)) = list(document, &mut listed) {
            (parsed.sitemap, parsed.is_cut) = (Some(kind), is_cut);
            found = listed;
        }
    }
    parsed.links = found.into_links();
    parsed
}

/// What the canonical hash leaves out of a document, for whoever wants to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volatile<'a> {
    /// The text that is hashed: the body itself, or what was decoded of it where markup does not stand in ASCII.
    pub text: Cow<'a, [u8]>,
    /// Start and end of each stretch of `text` that is left out, in bytes: ascending, none empty, none touching
    /// another.
    pub spans: Vec<(usize, usize)>,
}

/// Finds what [`parse`] leaves out of the canonical hash.
pub fn volatile_spans<'a>(document: &Document<'a>, rules: &CanonicalRules) -> Volatile<'a> {
    let Examined {
        text, mut volatile, ..
    } = examine(document, rules);
    canonical::merge(&mut volatile);
    let spans = volatile.iter().map(|span| (span.start, span.end));
    Volatile {
        spans: spans.collect(),
        text,
    }
}

/// Whether whatever `then` takes out of a document `today` does, too: two answers that are equal under the one are so
/// under the other. Rules of the operator count only where none of them has been taken back since, since what another
/// one takes out here it may have left in the answer before.
pub fn takes_no_more(
    document: &Document<'_>,
    then: &CanonicalRules,
    today: &CanonicalRules,
) -> bool {
    let taken = volatile_spans(document, then);
    if taken.spans.is_empty() {
        return true;
    }
    let kept = match then.is_declared_in(today) {
        true => volatile_spans(document, today),
        false => volatile_spans(document, &CanonicalRules::default()),
    };
    let is_within = |(start, end): &(usize, usize)| {
        let at = kept.spans.partition_point(|span| span.1 < *end);
        kept.spans.get(at).is_some_and(|span| span.0 <= *start)
    };
    kept.text == taken.text && taken.spans.iter().all(is_within)
}

/// A document after the one pass over it.
struct Examined<'a> {
    parsed: Parsed,
    found: Collector,
    /// What is hashed.
    text: Cow<'a, [u8]>,
    /// Stretches of `text`, in any order.
    volatile: Vec<Span>,
    /// The random ids among them.
    wiring: Vec<Wire>,
}

fn examine<'a>(document: &Document<'a>, rules: &CanonicalRules) -> Examined<'a> {
    let charset = Charset::of(document.kind, document.body, document.content_type);
    let text = text_of(document, charset);
    let mut parsed = Parsed {
        canonical: document.content,
        links: Links::default(),
        base: None,
        charset,
        forms: Vec::new(),
        text: None,
        sitemap: None,
        is_cut: false,
    };
    let mut found = match document.kind {
        Kind::Other => Collector::default(),
        _ => Collector::for_body(document.body.len()),
    };
    let is_first = rules.built_in == BuiltIn::First;
    let (mut volatile, mut wiring) = (Vec::new(), Vec::new());
    match document.kind {
        Kind::Html => {
            (volatile, wiring) = page(document, &text, rules, &mut found, &mut parsed);
        }
        Kind::Css => css::sheet(&text, &mut found),
        Kind::Xml => {
            let scanned = sitemap::scan(&text, &mut found);
            (parsed.sitemap, parsed.is_cut) = (scanned.sitemap, scanned.is_cut);
            if !is_first {
                volatile = scanned.made;
            }
        }
        Kind::Script => script::file(&text, &mut found),
        Kind::Manifest => data::manifest(&text, &mut found),
        Kind::Json | Kind::Other => {}
    }
    // What stands in ASCII is hashed as it came, and of XML what was searched, whose places these are.
    let is_as_it_came = charset.is_ascii_compatible() && (is_first || document.kind != Kind::Xml);
    let text = match is_as_it_came {
        true => Cow::Borrowed(document.body),
        false => text,
    };
    if matches!(document.kind, Kind::Json | Kind::Manifest) {
        volatile = pointer::find(&text, &rules.pointers);
    }
    if rules.reach(document.kind) {
        rules.match_patterns(&text, &mut volatile);
    }
    Examined {
        parsed,
        found,
        text,
        volatile,
        wiring,
    }
}

/// The text in which markup is looked for. Where it stands in ASCII that is the body itself, whose values are
/// decoded one by one; what has no markup around its values is decoded as a whole.
fn text_of<'a>(document: &Document<'a>, charset: Charset) -> Cow<'a, [u8]> {
    let is_whole = match document.kind {
        Kind::Html => !charset.is_ascii_compatible(),
        Kind::Css | Kind::Xml | Kind::Script | Kind::Manifest => true,
        Kind::Json | Kind::Other => false,
    };
    match is_whole {
        true => charset.document(document.body),
        false => Cow::Borrowed(document.body),
    }
}

/// Scans a page; returns what is volatile in `text`.
fn page(
    document: &Document<'_>,
    text: &[u8],
    rules: &CanonicalRules,
    found: &mut Collector,
    parsed: &mut Parsed,
) -> (Vec<Span>, Vec<Wire>) {
    let charset = match parsed.charset {
        charset if charset.is_ascii_compatible() => charset,
        _ => Charset::UTF_8,
    };
    let asked = document.asked;
    let mut taking =
        (!rules.selectors.is_empty()).then(|| Taking::new(text, charset, &rules.selectors));
    let mut reader = (asked.forms || asked.text).then(|| Reader::new(text, charset, asked));
    // A walk that nobody watches is a walk of its own.
    let scanned = match (&mut reader, &mut taking) {
        (None, None) => html::scan(text, charset, rules.built_in, found, &mut tags::Nobody),
        (Some(reader), None) => html::scan(text, charset, rules.built_in, found, reader),
        (None, Some(taking)) => html::scan(text, charset, rules.built_in, found, taking),
        (Some(reader), Some(taking)) => {
            html::scan(text, charset, rules.built_in, found, &mut (reader, taking))
        }
    };
    let (mut volatile, mut wiring) = (scanned.volatile, scanned.wiring);
    parsed.base = scanned.base;
    if let Some(reader) = reader {
        (parsed.forms, parsed.text) = reader.finish();
    }
    let taken = taking.map(Taking::finish).unwrap_or_default();
    canonical::unwire(&mut wiring, &taken);
    volatile.extend(taken);
    (volatile, wiring)
}

/// Reads a body as the sitemap that somebody has called it, whatever its type says: gzip, XML, a feed, or a list
/// of URLs. `None` when it is none of these; else also whether it stops before its end.
fn list(document: &Document<'_>, found: &mut Collector) -> Option<(Sitemap, bool)> {
    let unpacked = Unpacked::of(document.body);
    let body = unpacked.as_ref().map_or(document.body, Unpacked::text);
    let charset = Charset::of(Kind::Xml, body, document.content_type);
    let text = charset.document(body);
    match sitemap::root(&text) {
        Root::Other => return None,
        Root::None => sitemap::lines(&text, found),
        Root::Index | Root::Urls | Root::Feed => {
            let scanned = sitemap::scan(&text, found);
            return Some((scanned.sitemap.unwrap_or(Sitemap::Pages), scanned.is_cut));
        }
    }
    (!found.is_empty()).then_some((Sitemap::Pages, false))
}

/// A stretch of a body, in bytes from its start; the end is exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    fn of(self, body: &[u8]) -> &[u8] {
        &body[self.start..self.end]
    }
}

/// White space as HTML, CSS and srcset mean it.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// Where the first byte that is no white space stands, at or after `at`; the length when there is none.
fn skip_space(text: &[u8], at: usize) -> usize {
    let blank = text[at..]
        .iter()
        .take_while(|byte| is_space(**byte))
        .count();
    at + blank
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: Kind, body: &[u8], asked: Asked) -> Parsed {
        let document = Document {
            asked,
            ..check::document(kind, body)
        };
        parse(&document, &CanonicalRules::default())
    }

    fn plain(kind: Kind, body: &[u8]) -> Parsed {
        parsed(kind, body, Asked::default())
    }

    #[test]
    fn what_is_called_a_sitemap_is_read_as_one_whatever_its_type_says() {
        // Each row: the kind by its type, the body, what it is when it is called so, and otherwise.
        let packed = include_bytes!("../../fuzz/seeds/content/list.gz");
        let index = b"<sitemapindex><sitemap><loc>https://h/s</loc></sitemap></sitemapindex>";
        let feed = b"<rss><channel><item><link>https://h/a</link></item></channel></rss>";
        let lost = b"<!doctype html><title>404</title><p>Nothing here";
        let (an_index, pages) = (Some(Sitemap::Index), Some(Sitemap::Pages));
        type Row<'a> = (Kind, &'a [u8], Option<Sitemap>, Option<Sitemap>);
        let rows: &[Row] = &[
            (Kind::Other, packed, pages, None),
            (Kind::Html, b"https://h/a\n", pages, None),
            (Kind::Other, index, an_index, None),
            (Kind::Xml, index, an_index, an_index),
            (Kind::Xml, feed, pages, None),
            (Kind::Html, lost, None, None),
            (Kind::Other, b"not found", None, None),
            (Kind::Other, b"", None, None),
        ];
        let as_sitemap = Asked {
            sitemap: true,
            ..Asked::default()
        };
        for (kind, body, called, otherwise) in rows {
            let text = String::from_utf8_lossy(body);
            let (plain, asked) = (plain(*kind, body), parsed(*kind, body, as_sitemap));
            assert_eq!(plain.sitemap, *otherwise, "{text}");
            assert_eq!(asked.sitemap, *called, "{text}");
            assert_eq!(called.is_some(), !asked.links.is_empty(), "{text}");
            assert_eq!(plain.canonical, asked.canonical, "{text}");
        }
        let sitemaps = parsed(Kind::Other, index, as_sitemap).links;
        let first = sitemaps.iter().next();
        assert_eq!(first.map(|link| link.role), Some(Role::Sitemap));
    }

    #[test]
    fn a_document_in_utf_16_is_decoded_as_a_whole() {
        // Its links are found, and it is unchanged when only its nonces differ; one without any has the hash of
        // its bytes.
        let in_utf_16 = |text: &str| -> Vec<u8> {
            let units = std::iter::once(0xfeff).chain(text.encode_utf16());
            units.flat_map(u16::to_le_bytes).collect()
        };
        let first = plain(Kind::Html, &in_utf_16("<a href='/\u{e9}'><p nonce=a>"));
        let second = plain(Kind::Html, &in_utf_16("<a href='/\u{e9}'><p nonce=b>"));
        assert_eq!(first.charset.name(), "UTF-16LE");
        assert_eq!(first.links.references().collect::<Vec<_>>(), ["/\u{e9}"]);
        assert_eq!(first.canonical, second.canonical);
        let bare = in_utf_16("<a href=b>");
        assert_eq!(plain(Kind::Html, &bare).canonical, ContentHash::of(&bare));
    }

    #[test]
    fn a_feed_in_another_encoding_is_unchanged_when_only_its_moment_differs() {
        // What is left out is found in the decoded text, and so that is what is hashed.
        let feed = |moment: &str, title: u8| {
            let start = format!(
                "<?xml version='1.0' encoding='iso-8859-1'?><rss><channel><lastBuildDate>{moment}</lastBuildDate><title>"
            );
            [start.as_bytes(), &[title], b"</title></channel></rss>"].concat()
        };
        let canonical = |body: &[u8]| plain(Kind::Xml, body).canonical;
        assert_eq!(
            canonical(&feed("now", 0xe9)),
            canonical(&feed("later", 0xe9))
        );
        assert_ne!(canonical(&feed("now", 0xe9)), canonical(&feed("now", 0xe8)));
    }

    #[test]
    fn style_sheets_scripts_and_manifests_are_read_by_their_kind() {
        let rows: &[(Kind, &str, &str)] = &[
            (Kind::Css, "@import 'a';", "a"),
            (Kind::Script, "import './a.js'", "./a.js"),
            (Kind::Script, "a()\n//# sourceMappingURL=a.map", "a.map"),
            (Kind::Manifest, "{\"icons\":[{\"src\":\"i.png\"}]}", "i.png"),
        ];
        for (kind, body, expected) in rows {
            let found = plain(*kind, body.as_bytes()).links;
            let links = found.iter().map(|link| (link.reference, link.role));
            let links: Vec<_> = links.collect();
            assert_eq!(links, [(*expected, Role::Asset)], "{body}");
        }
    }
}
