//! One pass over a body: its digests, its canonical hash, the links in it, the headers worth keeping.
//!
//! Everything here is a pure function over bytes and total: whatever a server sent is an answer, never
//! an error or a panic. Links leave this room as they were written (decoded, but not resolved): what a
//! reference means is for `site`, whether it is followed for `crawl`. What must not happen here is I/O,
//! and a second scan of a body: links and volatile parts are found in the same pass.

mod canonical;
mod charset;
pub mod check;
mod css;
mod digest;
mod form;
mod header_links;
mod headers;
mod html;
mod kind;
mod links;
mod mirror_header;
mod references;
mod sitemap;
mod tags;

pub use canonical::{CanonicalRules, RulesError};
pub use charset::Charset;
pub use digest::{ContentHash, Digest, Digester, HashError, crc32c, digest};
pub use form::{Button, Choice, Field, Form};
pub use header_links::header_links;
pub use headers::{KEPT, KeptHeaders, never_kept};
pub use kind::{Kind, kind};
pub use links::{Link, Links, Role};
pub use mirror_header::{MirrorHeader, MirrorHeaderError};

use links::Collector;

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
}

/// The two kinds of sitemaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub fn parse(document: &Document<'_>, rules: &CanonicalRules) -> Parsed {
    let Document {
        kind,
        body,
        content,
        ..
    } = *document;
    let mut found = Collector::default();
    let mut base = None;
    let mut volatile = Vec::new();
    match kind {
        Kind::Html => (base, volatile) = html::scan(body, &mut found),
        Kind::Css => css::scan(body, &mut found),
        Kind::Sitemap => sitemap::scan(body, &mut found),
        Kind::Other => {}
    }
    if kind != Kind::Other {
        rules.find(body, &mut volatile);
    }
    Parsed {
        canonical: canonical::hash(body, volatile, content),
        links: found.into_links(),
        base,
        charset: Charset::UTF_8,
        forms: Vec::new(),
        text: None,
        sitemap: None,
    }
}

/// A stretch of a body, in bytes from its start; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
