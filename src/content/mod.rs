//! One pass over a body: its digests, its canonical hash, the links in it, the headers worth keeping.
//!
//! Everything here is a pure function over bytes and total: whatever a server sent is an answer, never
//! an error or a panic. Links leave this room as they were written (decoded, but not resolved): what a
//! reference means is for `site`, whether it is followed for `crawl`. What must not happen here is I/O,
//! and a second scan of a body: links and volatile parts are found in the same pass.

mod canonical;
pub mod check;
mod css;
mod digest;
mod headers;
mod html;
mod kind;
mod links;
mod references;
mod sitemap;
mod tags;

pub use canonical::{CanonicalRules, RulesError};
pub use digest::{ContentHash, Digest, Digester, HashError, crc32c, digest};
pub use headers::{KEPT, KeptHeaders, never_kept};
pub use kind::{Kind, kind};
pub use links::Links;

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
}

/// Scans `body` as `kind` asks. `content` must be the hash of these very bytes: it is the canonical
/// hash of a body with nothing volatile in it, which is then not hashed a second time. Total.
pub fn parse(kind: Kind, body: &[u8], content: ContentHash, rules: &CanonicalRules) -> Parsed {
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
