//! One job, from its request to everything that can be computed of the answer. Nothing is decided or
//! recorded here; many visits are under way at once.

use std::collections::HashSet;
use std::sync::Arc;

use super::fetch::{Answer, Ask, FetchError, Fetcher, Received};
use super::schedule::Job;
use super::{CrawlOrder, Held};
use crate::content::{self, Asked, CanonicalRules, ContentHash, Document, Kind, Parsed};
use crate::manifest::Entry;
use crate::site::{Admission, PageUrl};

/// Markup beyond this is stored, but not searched for links: twice the largest page we heard of.
const MARKUP_BYTES_MAX: u64 = 16 << 20;

/// What a visit brought back.
pub struct Visited {
    pub job: Job,
    /// The record of the URL as it was when the visit began.
    pub recorded: Option<Entry>,
    /// When the answer had come, in seconds since 1970.
    pub answered: i64,
    pub result: Result<Seen, FetchError>,
}

/// An answer with what was computed of it.
pub enum Seen {
    NotModified,
    Redirect { status: u16, location: String },
    Gone { status: u16 },
    Page(Box<SeenPage>),
}

/// A body, with its canonical form and the pages of the site that it refers to.
pub struct SeenPage {
    pub received: Received,
    pub canonical: ContentHash,
    /// Under the rules of the recorded page, where those are not today's.
    pub canonical_then: Option<ContentHash>,
    pub links: Vec<PageUrl>,
}

/// Shared by all visits of a crawl.
pub struct Visitor {
    pub fetcher: Fetcher,
    pub order: Arc<CrawlOrder>,
}

impl Visitor {
    /// Asks for a page and computes what there is to compute. `conditional`: the recorded body
    /// survives somewhere, so that a 304 is as good as a body.
    pub async fn visit(
        self: Arc<Self>,
        job: Job,
        recorded: Option<Entry>,
        conditional: bool,
    ) -> Visited {
        let page = recorded
            .as_ref()
            .and_then(|entry| entry.outcome.page())
            .filter(|_| conditional);
        let ask = Ask {
            url: &job.url,
            etag: page.and_then(|page| page.etag.as_deref()),
            last_modified: page.and_then(|page| page.last_modified.as_deref()),
        };
        let answer = self.fetcher.fetch(ask).await;
        let answered = (self.order.clock)();
        let result = match answer {
            Ok(Answer::NotModified) => Ok(Seen::NotModified),
            Ok(Answer::Gone { status }) => Ok(Seen::Gone { status }),
            Ok(Answer::Redirect {
                status, location, ..
            }) => Ok(Seen::Redirect { status, location }),
            Ok(Answer::Body(received)) => self
                .compute(&job.url, recorded.as_ref(), *received)
                .await
                .map(|page| Seen::Page(Box::new(page))),
            Err(error) => Err(error),
        };
        Visited {
            job,
            recorded,
            answered,
            result,
        }
    }

    /// Parses markup on rayon; other bodies are what their digest says.
    async fn compute(
        &self,
        url: &PageUrl,
        recorded: Option<&Entry>,
        received: Received,
    ) -> Result<SeenPage, FetchError> {
        let content = received.digest.content;
        let kind = content::kind(received.headers.content_type(), url.path());
        let text = match kind {
            Kind::Other => None,
            _ => markup(&received.body)?,
        };
        let Some(text) = text else {
            return Ok(SeenPage {
                received,
                canonical: content,
                canonical_then: None,
                links: Vec::new(),
            });
        };
        let work = Work {
            url: url.clone(),
            kind,
            text,
            content,
            then: rules_then(recorded, &self.order.rules),
            recorded: recorded
                .and_then(|entry| entry.outcome.page())
                .map(|page| page.canonical),
            order: Arc::clone(&self.order),
        };
        let (sender, receiver) = tokio::sync::oneshot::channel();
        rayon::spawn(move || {
            // Nobody waits any more when the crawl has been stopped.
            drop(sender.send(work.done()));
        });
        let done = receiver
            .await
            .expect("parsing is total and sends its result");
        Ok(SeenPage {
            received,
            canonical: done.canonical,
            canonical_then: done.canonical_then,
            links: done.links,
        })
    }
}

/// Version of the rules under which the recorded page was hashed, if those are not today's.
fn rules_then(recorded: Option<&Entry>, rules: &[CanonicalRules]) -> Option<usize> {
    let page = recorded?.outcome.page()?;
    let then = usize::try_from(page.rules).ok()?;
    (then + 1 < rules.len()).then_some(then)
}

/// The bytes of a body that is short enough to be parsed.
fn markup(body: &Held) -> Result<Option<bytes::Bytes>, FetchError> {
    match body {
        Held::Memory(bytes, _) => Ok(Some(bytes.clone())),
        Held::File(file) if file.size() <= MARKUP_BYTES_MAX => {
            let read = std::fs::read(file.path()).map_err(|source| FetchError::Io {
                path: file.path().into(),
                source,
            })?;
            Ok(Some(read.into()))
        }
        Held::File(_) => Ok(None),
    }
}

/// The CPU part of a visit.
struct Work {
    url: PageUrl,
    kind: Kind,
    text: bytes::Bytes,
    content: ContentHash,
    then: Option<usize>,
    recorded: Option<ContentHash>,
    order: Arc<CrawlOrder>,
}

struct WorkDone {
    canonical: ContentHash,
    canonical_then: Option<ContentHash>,
    links: Vec<PageUrl>,
}

impl Work {
    fn done(self) -> WorkDone {
        let rules = &self.order.rules;
        let today = rules.last().expect("there is always today's version");
        let document = Document {
            kind: self.kind,
            body: &self.text,
            content: self.content,
            content_type: None,
            asked: Asked::default(),
        };
        let parsed = content::parse(&document, today);
        let canonical_then = self
            .then
            .map(|then| content::parse(&document, &rules[then]).canonical);
        // The links of an unchanged page are entries already, or noted as pending.
        let unchanged = self.recorded == Some(canonical_then.unwrap_or(parsed.canonical));
        let links = if unchanged && !self.order.reparse {
            Vec::new()
        } else {
            resolve(&self.url, &parsed, &self.order)
        };
        WorkDone {
            canonical: parsed.canonical,
            canonical_then,
            links,
        }
    }
}

/// The pages of the site that a page refers to, each once, in the order of the page.
fn resolve(url: &PageUrl, parsed: &Parsed, order: &CrawlOrder) -> Vec<PageUrl> {
    let base = parsed.base.as_deref().and_then(|base| url.join(base).ok());
    let base = base.as_ref().unwrap_or(url);
    let mut seen = HashSet::new();
    let mut links = Vec::new();
    for reference in parsed.links.references() {
        let Ok(target) = base.join(reference) else {
            continue;
        };
        if let Admission::Page(page) = order.scope.admit(target)
            && page != *url
            && seen.insert(page.clone())
        {
            links.push(page);
        }
    }
    links
}
