//! The source of `publish`: a folder, such as a site generator writes, in the place of the site.
//!
//! Each file is a page of one host, `a/index.html` the page `/a/`. The walk ([`walk`]) goes through the folder in
//! the order of URLs, beside the manifest's entries and the notes of last time ([`notes`]), so that what is new,
//! what is the same and what has vanished is seen in one pass forward and in bounded memory. A file that looks as
//! it did when it was last read is not read again; of all others the content decides ([`decide::file`]). Files are
//! read on rayon, a group at a time, and handed to the writer of the crawl: bytes before names here, too.
//!
//! The folder is the whole of its host, so an entry without a file is withdrawn as if it had answered 410. But
//! only where the folder could be looked at: below what is unreadable nothing is withdrawn, and a folder without
//! a single file says nothing at all. A run that was killed begins its walk anew, with what its predecessor has
//! brought into the store ([`Frontier::set_aside`]).

mod kinds;
mod notes;
mod read;
mod walk;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rayon::prelude::*;

use super::body::{Budget, Held, Permit};
use super::decide::{self, Body, Decision};
use super::frontier::{Finished, Frontier, Position};
use super::survival::Survival;
use super::writer::{Report, Writer};
use super::{CrawlError, CrawlProgress, Crawled, Trouble};
use crate::config::TierName;
use crate::content::{ContentHash, Digest, KeptHeaders};
use crate::manifest::{Entry, Gone, Manifest, Outcome, Staged};
use crate::site::{Admission, PageUrl, Reach, Scope};
use crate::store::{FILE_BYTES_MIN, Located, Store};
use kinds::Charset;
use notes::{Notes, Recall};
use read::{ReadBody, ReadError, ReadFile};
use walk::{Extent, Found, FoundFile, Index, Look, Unusable, Walk, Why};

/// A step ends when it has so many files to read, or has passed by so many: some megabytes of names at most.
const READS_MAX: usize = 500;
const ITEMS_MAX: usize = 5_000;

/// A step reads files of up to so many bytes together into memory. Two steps fit into the budget, so that one
/// is read while the other is written.
const STEP_BYTES_MAX: u64 = 16 << 20;

/// Entries taken from the manifest in one go: a scan costs something to begin.
const ENTRIES: usize = 1_000;

/// Files read by one thread at a time: less would cost more than it spreads.
const READS_A_THREAD: usize = 8;

/// Troubles named in the report; the rest is counted.
const TROUBLES_MAX: usize = 50;

/// For the bytes of a step one waits until the writer has let go of them, however long.
const PATIENCE: Duration = Duration::from_secs(86_400);

/// What is to be published.
pub struct FolderOrder {
    pub dir: PathBuf,
    /// The URL of the folder itself, such as `https://your.site/`.
    pub home: PageUrl,
    pub scope: Scope,
    /// Today's version of the canonical form.
    pub rules: u32,
    /// Who may have the bytes of a file that the store has dropped.
    pub tiers: Vec<TierName>,
    /// Bytes of bodies that may be in memory at once.
    pub memory: usize,
    /// Where last time's notes are, and this time's will be.
    pub notes: PathBuf,
    /// The mirror's caching policy.
    pub cache_control: Option<String>,
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// Takes a folder in; what was found out is staged in the frontier.
///
/// # Errors
/// The store, the frontier or the manifest. A folder that says nothing is in the result.
pub async fn publish(
    order: FolderOrder,
    manifest: Arc<Manifest>,
    frontier: Arc<Frontier>,
    store: Store,
    position: Position,
    progress: &CrawlProgress,
) -> Result<Crawled, CrawlError> {
    let budget = Budget::new(order.memory);
    let incoming = store.incoming();
    frontier.set_aside()?;
    let writer = Writer::start(store, Arc::clone(&frontier));
    let begun = Publishing::begin(order, manifest, frontier, incoming, position);
    let (position, ended) = match begun {
        Ok(publishing) => publishing.run(&budget, &writer, progress).await?,
        Err((position, error)) => (*position, Err(error)),
    };
    Ok(Crawled {
        store: writer.end().await?,
        position,
        reasons: Vec::new(),
        ended,
    })
}

/// A publish under way.
struct Publishing {
    order: FolderOrder,
    /// The first part of every URL: scheme and host.
    origin: String,
    manifest: Arc<Manifest>,
    frontier: Arc<Frontier>,
    incoming: PathBuf,
    position: Position,
    survival: Survival,
    walk: std::iter::Peekable<Walk>,
    entries: Entries,
    recall: Recall,
    notes: Option<Notes>,
    /// Of what begins so nothing is known today.
    unseen: Option<String>,
    files: u64,
    is_done: bool,
}

/// One step's finds, in the order of their URLs.
#[derive(Default)]
struct Step {
    items: Vec<Item>,
    reads: Vec<FoundFile>,
    bytes: u64,
}

enum Item {
    /// A file that looks as it did when it had this content.
    Spared {
        target: String,
        look: Look,
        content: ContentHash,
    },
    /// The next of the files to be read.
    Read {
        url: PageUrl,
        recorded: Option<Box<Entry>>,
    },
    Withdrawn {
        url: PageUrl,
    },
}

/// The manifest's entries of one host in order, some at a time.
struct Entries {
    manifest: Arc<Manifest>,
    home: String,
    next: String,
    ready: VecDeque<(PageUrl, Entry)>,
    have_ended: bool,
}

impl Publishing {
    fn begin(
        order: FolderOrder,
        manifest: Arc<Manifest>,
        frontier: Arc<Frontier>,
        incoming: PathBuf,
        position: Position,
    ) -> Result<Publishing, (Box<Position>, CrawlError)> {
        let survival = match Survival::new(Arc::clone(&manifest), &order.tiers) {
            Ok(survival) => survival,
            Err(error) => return Err((Box::new(position), error)),
        };
        let walk = order
            .dir
            .canonicalize()
            .and_then(|root| Walk::new(&root, index_on(&order.home, &manifest)));
        let walk = match walk {
            Ok(walk) => walk.peekable(),
            Err(error) => {
                return Err((
                    Box::new(position),
                    says_nothing(&order.dir, error.to_string()),
                ));
            }
        };
        let notes = Notes::create(&order.notes)
            .map_err(|error| forgo(&error))
            .ok();
        Ok(Publishing {
            origin: order.home.origin().to_owned(),
            entries: Entries {
                manifest: Arc::clone(&manifest),
                home: order.home.to_string(),
                next: order.home.to_string(),
                ready: VecDeque::new(),
                have_ended: false,
            },
            recall: Recall::open(&order.notes),
            order,
            manifest,
            frontier,
            incoming,
            position,
            survival,
            walk,
            notes,
            unseen: None,
            files: 0,
            is_done: false,
        })
    }

    /// Step by step: a step blocks, and has a thread of its own for that.
    async fn run(
        mut self,
        budget: &Budget,
        writer: &Writer,
        progress: &CrawlProgress,
    ) -> Result<(Position, Result<(), CrawlError>), CrawlError> {
        let step_bytes = usize::try_from(STEP_BYTES_MAX).expect("some megabytes");
        let step_bytes = step_bytes.min(budget.total() / 2);
        while !self.is_done {
            let permit = budget
                .reserve(step_bytes, PATIENCE)
                .await
                .expect("half of the budget comes free when the writer has written");
            let before = self.position.counts;
            let stepping = tokio::task::spawn_blocking(move || {
                let reports = self.step(permit);
                (self, reports)
            });
            let (back, reports) = stepping.await.expect("a step does not panic");
            self = back;
            progress.finish_many(before, self.position.counts);
            for report in reports? {
                if !writer.send(report).await {
                    // The writer's own error is the one that will be told.
                    return Ok((self.position, Ok(())));
                }
            }
        }
        if self.files == 0 {
            let why = "it holds no file that could be published".to_owned();
            let error = says_nothing(&self.order.dir, why);
            return Ok((self.position, Err(error)));
        }
        let kept = self.notes.take().map_or(Ok(()), Notes::keep);
        kept.unwrap_or_else(|error| forgo(&error));
        Ok((self.position, Ok(())))
    }

    /// Looks at the next files and entries, reads what must be read, and decides.
    fn step(&mut self, mut permit: Permit) -> Result<Vec<Report>, CrawlError> {
        let bytes_max = permit.bytes() as u64;
        let memory_max = bytes_max.min(FILE_BYTES_MIN);
        let Step { items, reads, .. } = self.gather(bytes_max, memory_max)?;
        let incoming = &self.incoming;
        let results: Vec<_> = reads
            .par_iter()
            .with_min_len(READS_A_THREAD)
            .map(|found| read::read(found, memory_max, incoming))
            .collect();
        let mut read = reads.into_iter().zip(results);
        let mut reports = Vec::new();
        for item in items {
            let report = match item {
                Item::Spared {
                    target,
                    look,
                    content,
                } => {
                    self.note(&target, &look, &content);
                    None
                }
                Item::Withdrawn { url } => Some(self.withdraw(url)),
                Item::Read { url, recorded } => {
                    let (found, result) = read.next().expect("each is read");
                    self.take_in(url, &found.target, recorded, result, &mut permit)?
                }
            };
            reports.extend(report);
        }
        Ok(reports)
    }

    /// The next files and entries side by side.
    fn gather(&mut self, bytes_max: u64, memory_max: u64) -> Result<Step, CrawlError> {
        let mut step = Step::default();
        while step.items.len() < ITEMS_MAX && step.reads.len() < READS_MAX {
            let Some(found) = self.walk.peek() else {
                self.is_done = !self.pass_entry(None, &mut step)?;
                if self.is_done {
                    break;
                }
                continue;
            };
            let target = found.target().to_owned();
            if self.pass_entry(Some(&target), &mut step)? {
                continue;
            }
            if let Found::File(file) = found_ref(&mut self.walk)
                && file.look.size <= memory_max
                && step.bytes + file.look.size > bytes_max
            {
                break;
            }
            let recorded = self.entries.take(&target)?;
            match self.walk.next().expect("it was peeked at") {
                Found::File(file) => self.look_at(file, recorded, memory_max, &mut step)?,
                Found::Unusable(unusable) => self.leave(unusable, recorded.as_ref()),
            }
        }
        Ok(step)
    }

    /// Deals with the next entry if it comes before `target`: no file is there for it. False if there is none.
    fn pass_entry(&mut self, target: Option<&str>, step: &mut Step) -> Result<bool, CrawlError> {
        let Some(next) = self.entries.peek()? else {
            return Ok(false);
        };
        if target.is_some_and(|target| next.0.target() >= target) {
            return Ok(false);
        }
        let (url, entry) = self.entries.ready.pop_front().expect("it was peeked at");
        if !entry.outcome.is_live() || !self.is_ours(&url) {
            return Ok(true);
        }
        self.position.counts.known += 1;
        let is_unseen = self.unseen.as_ref();
        if !is_unseen.is_some_and(|unseen| url.target().starts_with(unseen)) {
            step.items.push(Item::Withdrawn { url });
        }
        Ok(true)
    }

    fn is_ours(&self, url: &PageUrl) -> bool {
        matches!(self.order.scope.admit(url.clone()), Admission::Page(page) if page == *url)
    }

    /// Decides whether a file must be read.
    fn look_at(
        &mut self,
        file: FoundFile,
        recorded: Option<Entry>,
        memory_max: u64,
        step: &mut Step,
    ) -> Result<(), CrawlError> {
        let text = [&self.origin, file.target.as_str()].concat();
        let url = match PageUrl::parse(&text) {
            Ok(url) if url.as_str() == text => url,
            Ok(url) => {
                let why = Why::Refused(format!("its URL would be {url}"));
                self.leave(itself(file.target, why), recorded.as_ref());
                return Ok(());
            }
            Err(error) => {
                let why = Why::Refused(error.to_string());
                self.leave(itself(file.target, why), recorded.as_ref());
                return Ok(());
            }
        };
        self.files += 1;
        if !self.is_ours(&url) {
            return Ok(());
        }
        let content = self.recall.content_of(&file.target, &file.look);
        if let (Some(content), Some(entry)) = (content, &recorded)
            && self.is_as_recorded(&url, entry, content)?
        {
            self.see_again();
            self.position.counts.not_modified += 1;
            step.items.push(Item::Spared {
                target: file.target,
                look: file.look,
                content,
            });
            return Ok(());
        }
        if file.look.size <= memory_max {
            step.bytes += file.look.size;
        }
        step.reads.push(file);
        let recorded = recorded.map(Box::new);
        step.items.push(Item::Read { url, recorded });
        Ok(())
    }

    fn is_as_recorded(
        &self,
        url: &PageUrl,
        entry: &Entry,
        content: ContentHash,
    ) -> Result<bool, CrawlError> {
        let is_same = entry.outcome.page().is_some_and(|page| {
            page.content == content
                && [Charset::Utf8, Charset::Other]
                    .map(|charset| self.headers_of(url, charset))
                    .iter()
                    .any(|headers| decide::is_published(page, headers))
        });
        let is_sure = self.survival.of(url, Some(entry))? && !self.survival.is_perhaps_gone(url)?;
        Ok(is_same && is_sure)
    }

    /// A stored page whose file is there.
    fn see_again(&mut self) {
        self.position.counts.known += 1;
        self.position.counts.kept += 1;
    }

    /// Something that cannot be used: told and counted, and what is recorded of it stays.
    fn leave(&mut self, unusable: Unusable, recorded: Option<&Entry>) {
        if recorded.is_some_and(|entry| entry.outcome.is_live()) {
            self.position.counts.known += 1;
        }
        if let Some(why) = unusable.why {
            self.tell(&unusable.target, why);
        }
        if unusable.extent == Extent::AllBelow {
            self.unseen = Some(unusable.target);
        }
    }

    fn tell(&mut self, target: &str, why: Why) {
        let why = match why {
            Why::Refused(why) => {
                self.position.counts.refused += 1;
                why
            }
            Why::Failed(why) => {
                self.position.counts.errors += 1;
                why
            }
        };
        tracing::warn!(target, why, "not published");
        let room = self.position.troubles.len() < TROUBLES_MAX;
        let text = [&self.origin, target].concat();
        if let Ok(url) = PageUrl::parse(&text)
            && room
        {
            self.position.troubles.push(Trouble {
                url,
                why,
                from: None,
            });
        }
    }

    fn withdraw(&mut self, url: PageUrl) -> Report {
        self.position.counts.gone += 1;
        let outcome = Outcome::Gone(Gone { status: 410 });
        let staged = Staged::Outcome {
            outcome,
            located: None,
            fetched: self.order.now,
        };
        self.report(url, staged, None)
    }

    /// What a file that was read means.
    fn take_in(
        &mut self,
        url: PageUrl,
        target: &str,
        recorded: Option<Box<Entry>>,
        result: Result<ReadFile, ReadError>,
        permit: &mut Permit,
    ) -> Result<Option<Report>, CrawlError> {
        let recorded = recorded.as_deref();
        let is_live = recorded.is_some_and(|entry| entry.outcome.is_live());
        let file = match result {
            Ok(file) => file,
            Err(ReadError::Stop(error)) => return Err(CrawlError::Disk(error)),
            Err(ReadError::Skip(why)) => {
                self.leave(itself(target.to_owned(), Why::Failed(why)), recorded);
                return Ok(None);
            }
        };
        if is_live {
            self.see_again();
        }
        let digest = file.digest;
        self.position.counts.fetched += 1;
        self.position.counts.bytes += digest.size;
        if file.is_settled {
            self.note(target, &file.look, &digest.content);
        }
        let body = Body {
            status: 200,
            digest,
            canonical: digest.content,
            recorded: None,
            rules: self.order.rules,
            headers: self.headers_of(&url, file.charset),
            etag: None,
            last_modified: None,
        };
        let survives = self.survival.of(&url, recorded)?;
        let counts = &mut self.position.counts;
        let (outcome, store) = match decide::file(recorded, body, survives) {
            Decision::Again { outcome } => {
                counts.unchanged += 1;
                (outcome, true)
            }
            Decision::Stage { outcome, store } => {
                counts.changed += u64::from(is_live);
                counts.new += u64::from(!is_live);
                (outcome, store)
            }
            _ => {
                counts.unchanged += 1;
                match self.as_it_was(&url, recorded)? {
                    Some(outcome) => (outcome, false),
                    None => return Ok(None),
                }
            }
        };
        let store = store && self.manifest.locate(&digest.content)?.is_none();
        let located = match store {
            true => self.brought_before(&url, &digest)?,
            false => None,
        };
        let body = (store && located.is_none()).then(|| (digest, held(file.body, permit)));
        let staged = Staged::Outcome {
            outcome,
            located,
            fetched: self.order.now,
        };
        Ok(Some(self.report(url, staged, body)))
    }

    /// What is noted of a file that is as recorded: that it is, where the page might have been withdrawn.
    fn as_it_was(
        &self,
        url: &PageUrl,
        recorded: Option<&Entry>,
    ) -> Result<Option<Outcome>, CrawlError> {
        let is_noted = self.survival.is_perhaps_gone(url)?;
        let recorded = recorded.filter(|_| is_noted);
        Ok(recorded.map(|entry| entry.outcome.clone()))
    }

    fn headers_of(&self, url: &PageUrl, charset: Charset) -> KeptHeaders {
        let name = match url.path().rsplit('/').next() {
            None | Some("") => "index.html",
            Some(name) => name,
        };
        let named = kinds::content_type(name);
        let content_type = match charset {
            Charset::Utf8 => named,
            Charset::Other => named.split(';').next().unwrap_or(named),
        };
        KeptHeaders::keep([("content-type", content_type.as_bytes())].into_iter())
            .with_cache_control(self.order.cache_control.as_deref())
    }

    /// Where the killed predecessor of this run has put the same bytes.
    fn brought_before(
        &self,
        url: &PageUrl,
        digest: &Digest,
    ) -> Result<Option<Located>, CrawlError> {
        Ok(match self.frontier.aside(url)? {
            Some(Staged::Outcome { located, .. }) => located.filter(|at| at.digest == *digest),
            _ => None,
        })
    }

    fn report(&self, url: PageUrl, staged: Staged, body: Option<(Digest, Held)>) -> Report {
        let finished = Finished {
            url,
            slot: None,
            cursor: None,
            staged: Some(staged),
            counts: self.position.counts,
            trouble: None,
            tally: None,
        };
        Report { finished, body }
    }

    /// Notes are a convenience: when they cannot be written, there are none.
    fn note(&mut self, target: &str, look: &Look, content: &ContentHash) {
        let Some(notes) = &mut self.notes else {
            return;
        };
        if let Err(error) = notes.add(target, look, content) {
            forgo(&error);
            self.notes = None;
        }
    }
}

impl Entries {
    fn peek(&mut self) -> Result<Option<&(PageUrl, Entry)>, CrawlError> {
        if self.ready.is_empty() && !self.have_ended {
            let scan = self.manifest.entries(Some(&self.next)).take(ENTRIES);
            let found: Vec<_> = scan.collect::<Result<_, _>>()?;
            self.have_ended = found.len() < ENTRIES;
            for (url, entry) in found {
                if !url.as_str().starts_with(&self.home) {
                    self.have_ended = true;
                    break;
                }
                self.next = format!("{url}\0");
                self.ready.push_back((url, entry));
            }
        }
        Ok(self.ready.front())
    }

    /// The entry of this target, if it is the next one.
    fn take(&mut self, target: &str) -> Result<Option<Entry>, CrawlError> {
        let is_next = self.peek()?.is_some_and(|(url, _)| url.target() == target);
        let next = if is_next {
            self.ready.pop_front()
        } else {
            None
        };
        Ok(next.map(|(_, entry)| entry))
    }
}

fn itself(target: String, why: Why) -> Unusable {
    Unusable {
        target,
        extent: Extent::Itself,
        why: Some(why),
    }
}

fn found_ref(walk: &mut std::iter::Peekable<Walk>) -> &Found {
    walk.peek().expect("it was peeked at before")
}

/// A body with its share of the step's memory.
fn held(body: ReadBody, permit: &mut Permit) -> Held {
    match body {
        ReadBody::Memory(bytes) => {
            let share = permit.take(bytes.len());
            Held::Memory(bytes, share)
        }
        ReadBody::File(file) => Held::File(file),
    }
}

/// Whether `index.html` is the page of its folder on this host: not where the layout takes all paths for files.
fn index_on(home: &PageUrl, manifest: &Manifest) -> Index {
    let folder = home.join("folder/").expect("a short path can be joined");
    match manifest.layout().place(&folder).reach {
        Reach::Cdn => Index::Folder,
        Reach::GatewayOnly(_) => Index::File,
    }
}

fn says_nothing(dir: &Path, why: String) -> CrawlError {
    CrawlError::Folder {
        dir: dir.to_owned(),
        why,
    }
}

fn forgo(error: &io::Error) {
    tracing::warn!(%error, "what the files look like cannot be noted: the next publish reads them all");
}
