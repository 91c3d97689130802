//! One job, from its request to everything that can be computed of the answer. Nothing is decided or recorded here;
//! many visits are under way at once.
//!
//! A visit has two halves. Asking waits, and belongs to the one task of the crawl. Computing what there is to
//! compute of a body is work for the processor: bodies gather while answers come in, and go to rayon in batches; a
//! few small ones are done on the spot, since waking a thread for them would cost as much as they do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::fetch::{Answer, Ask, FetchError, Fetcher, Received};
use super::job::Job;
use super::links::{Found, Resolver};
use super::{CrawlOrder, FormTally, Held, forms};
use crate::content::{self, Asked, CanonicalRules, ContentHash, Document, Kind, Parsed, Sitemap};
use crate::manifest::{Manifest, Page};
use crate::site::PageUrl;
use crate::store::Bodies;

/// Markup beyond this is stored, but not searched for links: twice the largest page we heard of.
const MARKUP_BYTES_MAX: u64 = 16 << 20;

/// A sitemap may have as much as its protocol permits, which is still read as a whole.
const SITEMAP_BYTES_MAX: u64 = 50 << 20;

/// Bodies that go to rayon together: enough to make waking it cheap, few enough to keep others from waiting long.
const BATCH: usize = 16;

/// So many bytes are parsed where they are while the crawl has nothing else to do: some 200 microseconds. Waking
/// another thread for them, which then looks for more work for a while, costs a tenth of a crawl of small pages.
const ON_THE_SPOT_BYTES_MAX: u64 = 64 << 10;

/// An answer as it came.
pub struct Fetched {
    pub job: Job,
    /// When it had come, in seconds since 1970.
    pub answered: i64,
    /// From the request to the last byte.
    pub took: Duration,
    pub result: Result<Answer, FetchError>,
}

/// What was asked before the crawl began, and needs no second request.
pub struct Answered {
    pub url: PageUrl,
    /// When the answer had come, in seconds since 1970.
    pub at: i64,
    pub result: Result<Answer, FetchError>,
}

/// What a visit brought back.
pub struct Visited {
    pub job: Job,
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
    /// The canonical hash of the recorded page under today's rules, where it was recorded under other ones; `None`
    /// inside where nobody knows it.
    pub recorded: Option<Option<ContentHash>>,
    pub links: Vec<Found>,
    /// Where its forms lead.
    pub choices: Vec<Found>,
    pub forms: FormTally,
    /// That it is a sitemap, and how many links it has.
    pub sitemap: Option<(Sitemap, u64)>,
    /// That sitemap stops before its end.
    pub is_cut: bool,
    /// It was searched for links, whether it has any or not.
    pub is_searched: bool,
    /// It is markup, and too long to be searched for links.
    pub is_unsearched: bool,
}

/// Shared by all visits of a crawl.
pub struct Visitor {
    pub fetcher: Fetcher,
    pub order: Arc<CrawlOrder>,
    pub resolver: Resolver,
    pub manifest: Arc<Manifest>,
    /// Bodies of earlier crawls.
    pub bodies: Bodies,
}

impl Visitor {
    /// Asks for a page, once. `conditional`: the recorded body survives somewhere, so that a 304 is as good as a
    /// body.
    pub async fn ask(self: Arc<Self>, job: Job, conditional: bool) -> Fetched {
        let begun = Instant::now();
        let result = self.fetcher.once(ask(&job, conditional)).await;
        self.fetched(job, begun, result)
    }

    /// As [`Visitor::ask`], and again after faults that may pass: for what is asked out of turn.
    pub async fn ask_patiently(self: Arc<Self>, job: Job, conditional: bool) -> Fetched {
        let begun = Instant::now();
        let result = self.fetcher.fetch(ask(&job, conditional)).await;
        self.fetched(job, begun, result)
    }

    /// As [`Visitor::ask`], for what has been asked already.
    pub fn take(job: Job, answered: Answered) -> Fetched {
        Fetched {
            job,
            answered: answered.at,
            took: Duration::ZERO,
            result: answered.result,
        }
    }

    fn fetched(&self, job: Job, begun: Instant, result: Result<Answer, FetchError>) -> Fetched {
        Fetched {
            job,
            answered: (self.order.clock)(),
            took: begun.elapsed(),
            result,
        }
    }

    /// Whether there is anything to be computed of an answer.
    pub fn is_work(&self, fetched: &Fetched) -> bool {
        match &fetched.result {
            Ok(Answer::Body(received)) => {
                fetched.job.is_sitemap || kind_of(&fetched.job, received) != Kind::Other
            }
            _ => false,
        }
    }

    /// Computes what there is to compute of an answer.
    pub fn compute(&self, fetched: Fetched) -> Visited {
        let Fetched {
            job,
            answered,
            result,
            ..
        } = fetched;
        let result = match result {
            Ok(Answer::NotModified) => Ok(Seen::NotModified),
            Ok(Answer::Gone { status }) => Ok(Seen::Gone { status }),
            Ok(Answer::Redirect {
                status, location, ..
            }) => Ok(Seen::Redirect { status, location }),
            Ok(Answer::Body(received)) => self
                .page(&job, *received)
                .map(|page| Seen::Page(Box::new(page))),
            Err(error) => Err(error),
        };
        Visited {
            job,
            answered,
            result,
        }
    }

    fn page(&self, job: &Job, received: Received) -> Result<SeenPage, FetchError> {
        let kind = kind_of(job, &received);
        let has_links = job.is_sitemap || content::has_links(kind);
        let text = match has_links || kind != Kind::Other {
            true => markup(&received.body, bytes_max(job))?,
            false => None,
        };
        let Some(text) = text else {
            return Ok(SeenPage {
                canonical: received.digest.content,
                recorded: None,
                links: self.resolver.beside(&job.url, &received.header_links),
                choices: Vec::new(),
                forms: FormTally::default(),
                sitemap: None,
                is_cut: false,
                is_searched: !has_links,
                is_unsearched: has_links,
                received,
            });
        };
        let document = Document {
            kind,
            body: &text,
            content: received.digest.content,
            content_type: received.headers.content_type(),
            asked: self.asked(job),
        };
        let parsed = content::parse(&document, self.order.rules_today());
        let recorded = self.recorded(job, &document, parsed.canonical);
        let (mut links, mut choices, mut forms) = Default::default();
        let is_searched = self.is_searched(job, &parsed, recorded);
        if is_searched {
            links = self
                .resolver
                .resolve(&job.url, &parsed, &received.header_links);
            (choices, forms) = self.fill_in(&job.url, &parsed);
        }
        Ok(SeenPage {
            canonical: parsed.canonical,
            recorded,
            links,
            choices,
            forms,
            sitemap: parsed.sitemap.map(|kind| (kind, parsed.links.len() as u64)),
            is_cut: parsed.is_cut,
            is_searched,
            is_unsearched: false,
            received,
        })
    }

    fn asked(&self, job: &Job) -> Asked {
        Asked {
            forms: self.order.forms.pages.is_match(job.url.as_str()),
            text: false,
            sitemap: job.is_sitemap,
        }
    }

    /// The canonical hash of the recorded page under today's rules, of which `canonical` is the hash of this answer;
    /// nothing where it was recorded under them.
    fn recorded(
        &self,
        job: &Job,
        document: &Document<'_>,
        canonical: ContentHash,
    ) -> Option<Option<ContentHash>> {
        let recorded = job.recorded.as_deref();
        let page = recorded?.outcome.page()?;
        let (then, today) = (self.order.rules_of(recorded), self.order.rules_today());
        if then == today {
            return None;
        }
        // The same bytes have the same form. Others that are equal under the old rules are so under today's, if the
        // old ones took out nothing that counts today.
        let is_same = page.content == document.content
            || (content::parse(document, then).canonical == page.canonical
                && content::takes_no_more(document, then, today));
        Some(match is_same {
            true => Some(canonical),
            false => self.stored(job, page, today),
        })
    }

    /// The canonical hash of the recorded body under these rules, if it is still in the store and short enough to have
    /// been parsed. Each page is read once after a change of the rules: it is recorded under today's from then on.
    fn stored(&self, job: &Job, page: &Page, rules: &CanonicalRules) -> Option<ContentHash> {
        if page.size > bytes_max(job) {
            return None;
        }
        let located = self.manifest.locate(&page.content).ok().flatten()?;
        let body = self.bodies.read(&located).ok()?;
        let content_type = page.headers.content_type();
        let document = Document {
            kind: content::kind(content_type, job.url.path()),
            body: &body,
            content: page.content,
            content_type,
            asked: Asked::default(),
        };
        Some(content::parse(&document, rules).canonical)
    }

    /// The links of an unchanged page are entries already, or noted as pending.
    fn is_searched(
        &self,
        job: &Job,
        parsed: &Parsed,
        recorded: Option<Option<ContentHash>>,
    ) -> bool {
        let page = job.recorded.as_ref().and_then(|entry| entry.outcome.page());
        let is_unchanged = page
            .is_some_and(|page| recorded.unwrap_or(Some(page.canonical)) == Some(parsed.canonical));
        !is_unchanged || parsed.sitemap.is_some() || self.order.reparse || job.is_searched
    }

    /// Where the choices of a page's forms lead.
    fn fill_in(&self, page: &PageUrl, parsed: &Parsed) -> (Vec<Found>, FormTally) {
        let mut found = Vec::new();
        let mut tally = FormTally::default();
        for form in &parsed.forms {
            let choices = forms::enumerate(form, self.order.forms.max, &|text| {
                parsed.charset.query_bytes(text)
            });
            tally.forms += 1;
            tally.left_out += choices.left_out;
            for reference in &choices.references {
                found.extend(self.resolver.choice(page, parsed, reference));
            }
        }
        tally.urls = found.len() as u64;
        (found, tally)
    }
}

fn ask(job: &Job, conditional: bool) -> Ask<'_> {
    let page = job
        .recorded
        .as_ref()
        .and_then(|entry| entry.outcome.page())
        .filter(|_| conditional);
    Ask {
        url: &job.url,
        etag: page.and_then(|page| page.etag.as_deref()),
        last_modified: page.and_then(|page| page.last_modified.as_deref()),
    }
}

fn kind_of(job: &Job, received: &Received) -> Kind {
    content::kind(received.headers.content_type(), job.url.path())
}

fn bytes_max(job: &Job) -> u64 {
    match job.is_sitemap {
        true => SITEMAP_BYTES_MAX,
        false => MARKUP_BYTES_MAX,
    }
}

/// The bytes of a body that is short enough to be parsed.
fn markup(body: &Held, max: u64) -> Result<Option<bytes::Bytes>, FetchError> {
    match body {
        Held::Memory(bytes, _) => Ok(Some(bytes.clone())),
        Held::File(file) if file.size() <= max => {
            let read = std::fs::read(file.path()).map_err(|source| FetchError::Io {
                path: file.path().into(),
                source,
            })?;
            Ok(Some(read.into()))
        }
        Held::File(_) => Ok(None),
    }
}

/// Bodies that wait for rayon, and those that are there.
pub struct Workshop {
    visitor: Arc<Visitor>,
    waiting: Vec<Fetched>,
    /// Batches that rayon has.
    busy: usize,
    threads: usize,
    sender: UnboundedSender<Vec<Visited>>,
    receiver: UnboundedReceiver<Vec<Visited>>,
}

impl Workshop {
    pub fn new(visitor: Arc<Visitor>) -> Workshop {
        // What lies in the channel is bounded by the bodies' budget.
        let (sender, receiver) = unbounded_channel();
        Workshop {
            visitor,
            waiting: Vec::new(),
            busy: 0,
            // One processor is the crawl's own.
            threads: rayon::current_num_threads().saturating_sub(1).max(1),
            sender,
            receiver,
        }
    }

    /// Takes a body in. It goes to rayon when [`Workshop::done`] is waited for: those that are there by then
    /// go together.
    pub fn add(&mut self, fetched: Fetched) {
        self.waiting.push(fetched);
    }

    /// The next batch that is done; for ever pending while there is none. To be waited for when no answer is there
    /// to be taken in: a little work is done on the spot then.
    pub async fn done(&mut self) -> Vec<Visited> {
        if self.busy == 0 && self.waiting_bytes() <= ON_THE_SPOT_BYTES_MAX {
            let waiting = self.waiting.drain(..);
            let done = waiting.map(|fetched| self.visitor.compute(fetched));
            return done.collect();
        }
        self.hand_over();
        let done = self.receiver.recv().await;
        let done = done.expect("the sender is kept beside the receiver");
        self.busy -= 1;
        done
    }

    pub fn is_idle(&self) -> bool {
        self.busy == 0 && self.waiting.is_empty()
    }

    fn waiting_bytes(&self) -> u64 {
        let size = |fetched: &Fetched| match &fetched.result {
            Ok(Answer::Body(received)) => received.digest.size,
            _ => 0,
        };
        self.waiting.iter().map(size).sum()
    }

    fn hand_over(&mut self) {
        while self.busy < self.threads && !self.waiting.is_empty() {
            let batch: Vec<Fetched> = self
                .waiting
                .drain(..self.waiting.len().min(BATCH))
                .collect();
            let (visitor, sender) = (Arc::clone(&self.visitor), self.sender.clone());
            self.busy += 1;
            rayon::spawn(move || {
                let done = batch.into_iter().map(|fetched| visitor.compute(fetched));
                // Nobody waits any more when the crawl has been stopped.
                drop(sender.send(done.collect()));
            });
        }
    }
}
