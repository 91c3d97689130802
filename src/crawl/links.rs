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
            None => self.first_met(&document, links),
        }
    }

    /// Where all references of a document lead that stay within the site, itself included, whoever else has named them;
    /// in the order of the document.
    pub fn every(
        &self,
        page: &PageUrl,
        parsed: &Parsed,
        beside: &[(String, Role)],
    ) -> Vec<PageUrl> {
        let document = Document::of(page, parsed);
        let links = parsed.links.iter();
        let inside = links.filter_map(|link| self.target(&document, link));
        let beside = beside
            .iter()
            .filter_map(|(reference, role)| self.one(page, reference, *role));
        inside.chain(beside).map(|found| found.url).collect()
    }

    /// What the headers of an answer name whose body is not searched for links.
    pub fn beside(&self, page: &PageUrl, links: &[(String, Role)]) -> Vec<Found> {
        let links = links.iter();
        links
            .filter_map(|(reference, role)| self.one(page, reference, *role))
            .collect()
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

    /// Where those lead that were not met lately in the same place. A link of a page to itself counts as not met: it is
    /// none for anybody, and the same link of another page is.
    fn first_met<'a>(
        &self,
        document: &Document<'_>,
        links: impl Iterator<Item = Link<'a>>,
    ) -> Vec<Found> {
        let mut found = Vec::new();
        let mut met = Vec::new();
        for (hash, link) in self.unmet(document, links) {
            let target = self.target(document, link);
            if target
                .as_ref()
                .is_some_and(|found| found.url == *document.page)
            {
                continue;
            }
            met.push(hash);
            found.extend(target);
        }
        if !met.is_empty() {
            let mut all = self.met();
            for hash in met {
                all.insert(hash);
            }
        }
        found
    }

    /// Those that were not met lately in the same place. What a reference means depends on the directory of its
    /// base; from a slash on, on the origin alone; with a scheme, on nothing; and `?x` on the whole of it.
    fn unmet<'a>(
        &self,
        document: &Document<'_>,
        links: impl Iterator<Item = Link<'a>>,
    ) -> Vec<(u64, Link<'a>)> {
        let met = self.met();
        let charset = document.charset.name();
        let base = &document.base;
        let nowhere = met.hash_of((charset, ""));
        let origin = met.hash_of((charset, base.origin()));
        let directory = met.hash_of((charset, base.directory()));
        let whole = met.hash_of((charset, base));
        let hashed = links.map(|link| {
            let place = match link.reference.as_bytes() {
                [b'?', ..] => whole,
                [b'/', ..] => origin,
                text if text.starts_with(b"http:") || text.starts_with(b"https:") => nowhere,
                _ => directory,
            };
            // The picture behind a link to it is a part of the page, whatever the link says.
            let is_part = link.role == Role::Asset;
            (met.hash_of((place, link.reference, is_part)), link)
        });
        hashed.filter(|(hash, _)| !met.contains(*hash)).collect()
    }

    fn found(&self, document: &Document<'_>, link: Link<'_>) -> Option<Found> {
        let found = self.target(document, link)?;
        (found.url != *document.page).then_some(found)
    }

    /// Where a link leads, which may be the document itself.
    fn target(&self, document: &Document<'_>, link: Link<'_>) -> Option<Found> {
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
        Some(Found {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::content::{self, Asked, CanonicalRules, ContentHash, Kind};
    use crate::site::{Scheme, ScopeRules};

    fn resolver() -> Resolver {
        let rules = ScopeRules {
            hosts: vec!["h.test".to_owned()],
            identity: BTreeMap::new(),
            identity_default: Scheme::Http,
            deny: Vec::new(),
            query: None,
        };
        Resolver::new(Scope::new(rules).unwrap())
    }

    /// Paths of what these links on a page lead to.
    fn led(resolver: &Resolver, page: &str, links: &[&str]) -> Vec<String> {
        let links = links.iter().map(|link| format!("<a href='{link}'>x</a>"));
        let body = links.collect::<String>();
        let document = content::Document {
            kind: Kind::Html,
            body: body.as_bytes(),
            content: ContentHash::of(body.as_bytes()),
            content_type: None,
            asked: Asked::default(),
        };
        let parsed = content::parse(&document, &CanonicalRules::default());
        let page = PageUrl::parse(&format!("http://h.test{page}")).unwrap();
        let found = resolver.resolve(&page, &parsed, &[]).into_iter();
        found.map(|found| found.url.path().to_owned()).collect()
    }

    #[test]
    fn a_page_that_links_to_itself_hides_no_link_to_it() {
        // Promise: a reference is worked out once, but that of a page to itself, which is a link of nobody.
        let resolver = resolver();
        assert_eq!(led(&resolver, "/about", &["/about", "/a"]), ["/a"]);
        assert_eq!(led(&resolver, "/b", &["/about", "/a"]), ["/about"]);
        assert_eq!(led(&resolver, "/c", &["/about", "/a"]), [""; 0]);
    }
}
