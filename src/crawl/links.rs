//! From references, as a page writes them, to URLs of the site.
//!
//! A site's pages repeat one another's links: of a million references some thousand are new. So each reference is
//! remembered together with what it is relative to, and resolved the first time only; what it led to is queued by
//! the page that had it first, or found again when that page is asked for again.

use std::sync::{Mutex, MutexGuard};

use super::URL_LOG;
use super::recent::Recent;
use crate::content::{Charset, Link, Parsed, Role};
use crate::site::{Admission, PageUrl, Scope};

/// A URL of the site that somebody has named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub url: PageUrl,
    pub role: Role,
    /// When it was last changed, as a sitemap or feed has it; seconds since 1970.
    pub lastmod: Option<i64>,
}

/// Shared by all who resolve.
pub struct Resolver {
    scope: Scope,
    met: Mutex<Recent>,
}

/// Where references begin that belong to one document.
struct Document<'a> {
    /// The document itself.
    page: &'a PageUrl,
    base: PageUrl,
    charset: Charset,
}

impl<'a> Document<'a> {
    fn of(page: &'a PageUrl, parsed: &Parsed) -> Document<'a> {
        let base = parsed.base.as_deref().and_then(|base| page.join(base).ok());
        Document {
            page,
            base: base.unwrap_or_else(|| page.clone()),
            charset: parsed.charset,
        }
    }
}

impl Resolver {
    pub fn new(scope: Scope) -> Resolver {
        Resolver {
            scope,
            met: Mutex::new(Recent::new()),
        }
    }

    /// The URLs of the site that a document names, but for references that other documents have named before; in the
    /// order of the document. `beside` came in the headers of its answer. A sitemap's are given whole.
    pub fn resolve(
        &self,
        page: &PageUrl,
        parsed: &Parsed,
        beside: &[(String, Role)],
    ) -> Vec<Found> {
        let document = Document::of(page, parsed);
        let beside = beside.iter().map(|(reference, role)| Link {
            reference,
            role: *role,
            lastmod: None,
        });
        let links = parsed.links.iter().chain(beside);
        match parsed.sitemap {
            Some(_) => links
                .filter_map(|link| self.found(&document, link))
                .collect(),
            None => self
                .unmet(&document, links)
                .into_iter()
                .filter_map(|link| self.found(&document, link))
                .collect(),
        }
    }

    /// Where a choice of a form leads. What begins with a query goes to the document itself, whatever its base.
    pub fn choice(&self, page: &PageUrl, parsed: &Parsed, reference: &str) -> Option<Found> {
        let mut document = Document::of(page, parsed);
        if reference.starts_with('?') {
            document.base = page.clone();
        }
        let link = Link {
            reference,
            role: Role::Page,
            lastmod: None,
        };
        self.found(&document, link)
    }

    /// A single reference, whoever else has named it.
    pub fn one(&self, page: &PageUrl, reference: &str, role: Role) -> Option<Found> {
        let document = Document {
            page,
            base: page.clone(),
            charset: Charset::UTF_8,
        };
        let link = Link {
            reference,
            role,
            lastmod: None,
        };
        self.found(&document, link)
    }

    /// Those that were not met lately in the same place. What a reference means depends on the directory of its
    /// base; from a slash on, on the origin alone; with a scheme, on nothing; and `?x` on the whole of it.
    fn unmet<'a>(
        &self,
        document: &Document<'_>,
        links: impl Iterator<Item = Link<'a>>,
    ) -> Vec<Link<'a>> {
        let mut met = self.met();
        let charset = document.charset.name();
        let base = &document.base;
        let nowhere = met.hash_of((charset, ""));
        let origin = met.hash_of((charset, base.origin()));
        let directory = met.hash_of((charset, base.directory()));
        let whole = met.hash_of((charset, base));
        links
            .filter(|link| {
                let place = match link.reference.as_bytes() {
                    [b'?', ..] => whole,
                    [b'/', ..] => origin,
                    text if text.starts_with(b"http:") || text.starts_with(b"https:") => nowhere,
                    _ => directory,
                };
                // The picture behind a link to it is a part of the page, whatever the link says.
                let is_part = link.role == Role::Asset;
                let hash = met.hash_of((place, link.reference, is_part));
                met.insert(hash)
            })
            .collect()
    }

    fn found(&self, document: &Document<'_>, link: Link<'_>) -> Option<Found> {
        let target = match document.charset == Charset::UTF_8 {
            true => document.base.join(link.reference),
            false => document
                .base
                .join_encoded(link.reference, &|text| document.charset.query_bytes(text)),
        };
        let url = match target.map(|url| self.scope.admit(url)) {
            Ok(Admission::Page(url)) => url,
            Ok(Admission::Outside(rule)) => {
                left_out(document.page, link.reference, &rule);
                return None;
            }
            Err(error) => {
                left_out(document.page, link.reference, &error);
                return None;
            }
        };
        (url != *document.page).then_some(Found {
            url,
            role: link.role,
            lastmod: link.lastmod,
        })
    }

    fn met(&self) -> MutexGuard<'_, Recent> {
        self.met.lock().expect("no holder of this lock panics")
    }
}

/// For `-v`: a reference that leads to no page of the site.
fn left_out(page: &PageUrl, reference: &str, why: &dyn std::fmt::Display) {
    tracing::debug!(target: URL_LOG, reference, %page, %why, "left");
}
