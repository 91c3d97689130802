//! The one task that drives a crawl.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::OptionFuture;
use futures_util::stream::FuturesUnordered;

use super::courtesy::{Came, Courtesy};
use super::decide::{self, Body, Decision};
use super::frontier::{Finished, Frontier, Position, Queued};
use super::robots::Robots;
use super::schedule::{After, Job, Schedule, Turn, Way};
use super::survival::Survival;
use super::visit::{Seen, SeenPage, Visited, Visitor};
use super::writer::{Report, Writer};
use super::{
    CrawlCounts, CrawlError, CrawlOrder, CrawlProgress, FetchError, Fetcher, Held, Trouble,
};
use crate::content::Digest;
use crate::manifest::{Entry, Manifest, Staged};
use crate::site::{Admission, PageUrl};
use crate::store::Store;

/// Hosts that do not answer are given up after this many such failures in a row: each has cost its
/// attempts and time-outs, and the rest of the site would cost them too.
const LOST_AFTER: u32 = 12;

/// Jobs in memory.
const WINDOW: usize = 1024;

/// URLs remembered in memory as known, by hash: spares most look-ups of links. Two halves of this size
/// are kept, 16 bytes a URL; what falls out is looked up on disk.
const RECENT_URLS: usize = 500_000;

/// Troubles named in the report; the rest is counted.
const TROUBLES_MAX: usize = 50;

/// What a crawl gives back, finished or not.
pub struct Crawled {
    pub counts: CrawlCounts,
    pub troubles: Vec<Trouble>,
    pub store: Store,
    /// Why what was seen is not to be trusted as a whole, if so.
    pub ended: Result<(), CrawlError>,
}

/// What a crawl works with.
pub struct Means {
    pub manifest: Arc<Manifest>,
    pub frontier: Arc<Frontier>,
    pub store: Store,
    pub fetcher: Fetcher,
}

/// Crawls until nothing is left to ask for, or until it has to stop; either way what was found out is
/// staged in the frontier.
///
/// # Errors
/// The writer failed (a full disk, a broken database). Other reasons to stop are in the result.
pub async fn crawl(
    order: CrawlOrder,
    means: Means,
    position: Position,
    progress: &CrawlProgress,
) -> Result<Crawled, CrawlError> {
    let order = Arc::new(order);
    let writer = Writer::start(means.store, Arc::clone(&means.frontier));
    let visitor = Arc::new(Visitor {
        fetcher: means.fetcher,
        order: Arc::clone(&order),
    });
    let mut engine = Engine {
        schedule: Schedule::new(Courtesy {
            concurrency: order.concurrency,
            rate: order.rate,
            // The fetcher repeats.
            attempts: 1,
            patience: Duration::ZERO,
            ..Courtesy::default()
        }),
        queue: QueueEnd::default(),
        cursor: Cursor::at(position.cursor.clone()),
        robots: Vec::new(),
        recent: Recent::default(),
        forbidden: Vec::new(),
        survival: Survival::new(Arc::clone(&means.manifest), order.confirmed)?,
        lost: 0,
        order,
        manifest: means.manifest,
        frontier: means.frontier,
        visitor,
        writer: &writer,
        position,
        progress,
    };
    let ended = engine.run().await;
    let (mut counts, troubles) = (engine.position.counts, engine.position.troubles.clone());
    counts.requests += engine.visitor.fetcher.attempts();
    drop(engine);
    Ok(Crawled {
        store: writer.end().await?,
        counts,
        troubles,
        ended,
    })
}

struct Engine<'a> {
    order: Arc<CrawlOrder>,
    manifest: Arc<Manifest>,
    frontier: Arc<Frontier>,
    visitor: Arc<Visitor>,
    writer: &'a Writer,
    position: Position,
    progress: &'a CrawlProgress,
    schedule: Schedule,
    queue: QueueEnd,
    cursor: Cursor,
    /// Rules by authority.
    robots: Vec<(String, Robots)>,
    recent: Recent,
    /// Met since the last report to the writer, and forbidden.
    forbidden: Vec<Queued>,
    survival: Survival,
    /// Failures to reach a host, in a row.
    lost: u32,
}

/// Numbers of the queue on disk: the next free one, and the first that is not in the window yet.
#[derive(Default)]
struct QueueEnd {
    next: u64,
    unloaded: u64,
}

impl Engine<'_> {
    async fn run(&mut self) -> Result<(), CrawlError> {
        self.queue.next = self.frontier.next_number()?;
        self.read_robots().await?;
        if !self.position.seeded {
            self.plant_seeds().await?;
            self.queue_known_of()?;
            self.position.seeded = true;
            if !self.writer.save(self.position.clone()).await {
                return Err(self.writer_has_ended());
            }
        }
        self.visit_all().await
    }

    /// Asks each host for its robots.txt; the answer is stored like any page. A host that does not give
    /// one permits nothing today.
    async fn read_robots(&mut self) -> Result<(), CrawlError> {
        for url in self.order.robots.clone() {
            let visited = self.visit_now(&url, Conditional::Never).await?;
            let rules = match &visited.result {
                Ok(Seen::Page(page)) => {
                    let text = whole(&page.received.body)?;
                    Robots::from_answer(page.received.status, &text, &self.order.user_agent)
                }
                Ok(_) => Robots::AllowAll,
                Err(FetchError::Status { status, .. }) => {
                    Robots::from_answer(*status, &[], &self.order.user_agent)
                }
                Err(_) => Robots::DenyAll,
            };
            if let Some(pause) = rules.delay() {
                self.schedule.slow_down(url.authority(), pause);
            }
            for sitemap in rules.sitemaps() {
                self.enqueue_reference(&url, &sitemap)?;
            }
            self.robots.push((url.authority().to_owned(), rules));
            // Most hosts have none, and no page links to it: its absence is no broken link.
            let absent = matches!(visited.result, Ok(Seen::Gone { .. }));
            if visited.recorded.is_some() || !absent {
                self.take_in(visited).await?;
            }
        }
        Ok(())
    }

    /// Asks for the seeds first: when none of them is usable, nothing is known about the site today and
    /// nothing else is asked for.
    async fn plant_seeds(&mut self) -> Result<(), CrawlError> {
        let mut why = CrawlError::NoSeed {
            why: "robots.txt forbids all of them, or could not be had".into(),
        };
        let mut usable = false;
        for seed in self.order.seeds.clone() {
            if !self.allows(&seed) {
                if let Some(trouble) = self.position.troubles.last() {
                    why = CrawlError::NoSeed {
                        why: trouble.why.clone(),
                    };
                }
                continue;
            }
            let visited = self.visit_now(&seed, Conditional::IfSurviving).await?;
            match self.unusable(&visited) {
                Some(error) => why = error,
                None => usable = true,
            }
            self.take_in(visited).await?;
        }
        if usable { Ok(()) } else { Err(why) }
    }

    /// Why a visited seed says nothing about the site, if so.
    fn unusable(&self, visited: &Visited) -> Option<CrawlError> {
        let seed = &visited.job.url;
        let why = match &visited.result {
            Ok(Seen::Page(_) | Seen::NotModified) => return None,
            Ok(Seen::Redirect { location, .. }) => {
                let target = seed
                    .join(location)
                    .ok()
                    .map(|url| self.order.scope.admit(url));
                match target {
                    Some(Admission::Page(page)) if page != *seed => return None,
                    Some(Admission::Page(_)) => {
                        return Some(CrawlError::NoSeed {
                            why: format!(
                                "{seed} redirects to itself (`{location}`); if the site has moved to another scheme, start a new state folder with that seed"
                            ),
                        });
                    }
                    _ => (),
                }
                return Some(CrawlError::SeedLeaves {
                    seed: seed.clone(),
                    target: location.clone(),
                });
            }
            Ok(Seen::Gone { status }) => format!("{seed}: the answer was {status}"),
            Err(error) => error.to_string(),
        };
        Some(CrawlError::NoSeed { why })
    }

    /// URLs that earlier crawls could not have: no page that is unchanged would name them again.
    fn queue_known_of(&mut self) -> Result<(), CrawlError> {
        let pending: Vec<_> = self.manifest.pending().collect::<Result<_, _>>()?;
        for (url, pending) in pending {
            self.enqueue(pending.from.as_ref(), vec![url])?;
        }
        Ok(())
    }

    async fn visit_all(&mut self) -> Result<(), CrawlError> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            self.refill()?;
            let wall = (self.order.clock)();
            while let Some(job) = self.schedule.next(Instant::now(), wall) {
                in_flight.push(self.start(job, Conditional::IfSurviving)?);
            }
            let wake = self
                .schedule
                .wakes(Instant::now(), wall)
                .map(tokio::time::Instant::from_std);
            let wake = OptionFuture::from(wake.map(tokio::time::sleep_until));
            tokio::select! {
                Some(mut visited) = in_flight.next() => {
                    let took = Duration::ZERO;
                    let came = match &visited.result {
                        Ok(_) => Came::Answered { took },
                        Err(error) => Came::of_error(error, took),
                    };
                    match self.schedule.came(visited.job, came, Instant::now()) {
                        After::TakeIn(job) => visited.job = job,
                        After::Again => continue,
                    }
                    let lost = self.schedule.given_up(visited.job.url.authority());
                    let lost = lost.map(|why| format!("{} {why}", visited.job.url.authority()));
                    self.take_in(visited).await?;
                    if let Some(why) = lost {
                        let done = self.position.counts.usable();
                        return Err(CrawlError::OriginLost { done, why });
                    }
                }
                Some(()) = wake => (),
                else => return Ok(()),
            }
        }
    }

    /// Fills the window: new URLs first, then the manifest's entries in order.
    fn refill(&mut self) -> Result<(), CrawlError> {
        if self.queue.unloaded < self.queue.next && self.room() > 0 {
            let waiting = self.frontier.waiting(self.queue.unloaded, self.room())?;
            self.queue.unloaded = waiting
                .last()
                .map_or(self.queue.next, |(number, _)| number + 1);
            for (number, queued) in waiting {
                self.schedule.add(Job {
                    url: queued.url,
                    from: queued.from,
                    way: Way::Queue(number),
                    turn: Turn::default(),
                });
            }
        }
        // Half a window at a time: a scan costs something to begin.
        if !self.cursor.ended && self.room() > CURSOR_STEP {
            self.advance_cursor()?;
        }
        Ok(())
    }

    fn room(&self) -> usize {
        WINDOW.saturating_sub(self.schedule.waiting())
    }

    fn advance_cursor(&mut self) -> Result<(), CrawlError> {
        let from = self.cursor.next.clone();
        let known: Vec<PageUrl> = self
            .manifest
            .entries(Some(&from))
            .take(CURSOR_STEP)
            .map(|entry| entry.map(|(url, _)| url))
            .collect::<Result<_, _>>()?;
        self.cursor.ended = known.len() < CURSOR_STEP;
        for url in known {
            self.cursor.next = format!("{url}\0");
            let ours = self.order.scope.admit(url.clone()) == Admission::Page(url.clone());
            if ours && !self.allows(&url) {
                self.position.counts.forbidden += 1;
            } else if ours && !self.frontier.knows(&url)? {
                self.progress.find(1);
                self.cursor.outstanding.insert(url.clone());
                self.schedule.add(Job {
                    url,
                    from: None,
                    way: Way::Cursor,
                    turn: Turn::default(),
                });
            }
        }
        Ok(())
    }

    fn start(
        &self,
        job: Job,
        conditional: Conditional,
    ) -> Result<impl Future<Output = Visited> + use<>, CrawlError> {
        let recorded = self.manifest.entry(&job.url)?;
        let conditional = match conditional {
            Conditional::Never => false,
            Conditional::IfSurviving => {
                !self.order.reparse && self.survival.of(&job.url, recorded.as_ref())?
            }
        };
        Ok(Arc::clone(&self.visitor).visit(job, recorded, conditional))
    }

    /// Visits a URL out of turn. The cursor will pass it by.
    async fn visit_now(
        &mut self,
        url: &PageUrl,
        conditional: Conditional,
    ) -> Result<Visited, CrawlError> {
        self.progress.find(1);
        self.frontier.know(url)?;
        self.recent.insert(url);
        let job = Job {
            url: url.clone(),
            from: None,
            way: Way::First,
            turn: Turn::default(),
        };
        Ok(self.start(job, conditional)?.await)
    }

    /// Takes one result in: queues what it links to, stages what it means, ticks it off.
    async fn take_in(&mut self, visited: Visited) -> Result<(), CrawlError> {
        let Visited {
            job,
            recorded,
            answered,
            result,
        } = visited;
        let recorded = recorded.as_ref();
        if recorded.is_some_and(|entry| entry.outcome.is_live()) {
            self.position.counts.known += 1;
            // A stored page that redirects all at once may be a login or a maintenance page's doing.
            let was_redirect = recorded.is_some_and(|entry| entry.outcome.page().is_none());
            let kept = match &result {
                Ok(Seen::Page(_) | Seen::NotModified) => true,
                Ok(Seen::Redirect { .. }) => was_redirect,
                _ => false,
            };
            self.position.counts.kept += u64::from(kept);
        }
        // Where the origin only said that it stands, the answer is the recorded one.
        let fetched = match (&result, recorded.and_then(|entry| entry.fetched)) {
            (Ok(Seen::NotModified), Some(then)) => then,
            _ => answered,
        };
        let (mut staged, body) = match result {
            Ok(seen) => {
                self.lost = 0;
                self.judge(&job, recorded, seen)?
            }
            Err(error) => (self.mishap(&job, recorded, error)?, None),
        };
        if let Some(Staged::Outcome { fetched: at, .. }) = &mut staged {
            *at = fetched;
        }
        if job.way == Way::Cursor {
            self.cursor.outstanding.remove(&job.url);
        }
        self.position.cursor = self.cursor.low_water();
        let number = match job.way {
            Way::Queue(number) => Some(number),
            Way::First | Way::Cursor => None,
        };
        self.progress.finish(
            body.as_ref()
                .map_or(0, |(digest, _): &(Digest, Held)| digest.size),
        );
        let finished = Finished {
            number,
            url: job.url,
            staged,
            position: self.position.clone(),
        };
        self.report(finished, body).await?;
        for queued in std::mem::take(&mut self.forbidden) {
            let finished = Finished {
                number: None,
                url: queued.url,
                staged: Some(Staged::Pending {
                    from: queued.from,
                    why: "robots.txt forbids it".into(),
                }),
                position: self.position.clone(),
            };
            self.report(finished, None).await?;
        }
        Ok(())
    }

    async fn report(
        &self,
        finished: Finished,
        body: Option<(Digest, Held)>,
    ) -> Result<(), CrawlError> {
        if self.writer.send(Report { finished, body }).await {
            return Ok(());
        }
        Err(self.writer_has_ended())
    }

    /// The writer's own error is the one that will be told.
    fn writer_has_ended(&self) -> CrawlError {
        CrawlError::OriginLost {
            done: self.position.counts.answers(),
            why: "the store cannot be written".into(),
        }
    }

    fn judge(
        &mut self,
        job: &Job,
        recorded: Option<&Entry>,
        seen: Seen,
    ) -> Result<Judged, CrawlError> {
        match seen {
            Seen::NotModified => {
                self.position.counts.not_modified += 1;
                let policy = self.order.cache_control.as_deref();
                match decide::not_modified(recorded, policy) {
                    Decision::Same => Ok((None, None)),
                    decision => Ok((self.stage(job, recorded, decision), None)),
                }
            }
            Seen::Page(page) => self.judge_page(job, recorded, *page),
            Seen::Redirect { status, location } => {
                Ok((self.judge_redirect(job, recorded, status, &location)?, None))
            }
            Seen::Gone { status } => Ok((self.judge_gone(job, recorded, status)?, None)),
        }
    }

    fn judge_page(
        &mut self,
        job: &Job,
        recorded: Option<&Entry>,
        page: SeenPage,
    ) -> Result<Judged, CrawlError> {
        let SeenPage {
            received,
            canonical,
            canonical_then,
            links,
        } = page;
        self.position.counts.fetched += 1;
        self.position.counts.bytes += received.digest.size;
        self.enqueue(Some(&job.url), links)?;
        let body = Body {
            status: received.status,
            digest: received.digest,
            canonical,
            canonical_then,
            rules: self.rules_version(),
            headers: received
                .headers
                .with_cache_control(self.order.cache_control.as_deref()),
            etag: received.etag.clone(),
            last_modified: received.last_modified.clone(),
        };
        let decision = decide::page(recorded, body, self.survival.of(&job.url, recorded)?);
        if decision == Decision::Validators {
            self.position.counts.unchanged += 1;
            let staged = Staged::Validators {
                etag: received.etag,
                last_modified: received.last_modified,
            };
            return Ok((Some(staged), None));
        }
        let store = matches!(decision, Decision::Stage { store: true, .. })
            && self.manifest.locate(&received.digest.content)?.is_none();
        let staged = self.stage(job, recorded, decision);
        Ok((staged, store.then_some((received.digest, received.body))))
    }

    fn judge_redirect(
        &mut self,
        job: &Job,
        recorded: Option<&Entry>,
        status: u16,
        location: &str,
    ) -> Result<Option<Staged>, CrawlError> {
        let Ok(target) = job.url.join(location) else {
            return Ok(self.not_had(
                job,
                recorded,
                format!("redirects to `{location}`, which is no URL"),
            ));
        };
        if let Admission::Page(page) = self.order.scope.admit(target.clone()) {
            if page == job.url {
                return Ok(self.not_had(
                    job,
                    recorded,
                    format!("redirects to itself (`{location}`)"),
                ));
            }
            self.enqueue(Some(&job.url), vec![page])?;
        }
        self.position.counts.redirects += 1;
        let replaces_page = recorded.is_some_and(|entry| entry.outcome.page().is_some());
        if replaces_page && matches!(status, 302 | 303 | 307) {
            // "For now", it says: a page is replaced only when that goes on, as with a 404.
            let strikes = self.manifest.strike(&job.url, status)?.strikes;
            if strikes < self.order.missing_runs {
                return Ok(self.stage(job, recorded, Decision::Missing { status }));
            }
        }
        let decision = decide::redirect(recorded, status, target.as_str().to_owned());
        Ok(self.stage_redirect(job, recorded, decision))
    }

    /// An error of this page: counted, named, and, when it was never stored, noted for the next crawl.
    fn not_had(&mut self, job: &Job, recorded: Option<&Entry>, why: String) -> Option<Staged> {
        self.position.counts.errors += 1;
        self.name_trouble(job, why.clone());
        recorded.is_none().then(|| Staged::Pending {
            from: job.from.clone(),
            why,
        })
    }

    fn judge_gone(
        &mut self,
        job: &Job,
        recorded: Option<&Entry>,
        status: u16,
    ) -> Result<Option<Staged>, CrawlError> {
        let strikes = self.manifest.strike(&job.url, status)?.strikes;
        let decision = decide::gone(recorded, status, strikes, self.order.missing_runs);
        Ok(self.stage(job, recorded, decision))
    }

    /// A page that could not be had: counted, named, and, when it was never stored, noted for the next
    /// crawl.
    fn mishap(
        &mut self,
        job: &Job,
        recorded: Option<&Entry>,
        error: FetchError,
    ) -> Result<Option<Staged>, CrawlError> {
        if error.class() == super::fetch::Class::Stop {
            return Err(CrawlError::Disk(error));
        }
        self.lost = if error.is_connection() {
            self.lost + 1
        } else {
            0
        };
        let why = error.to_string();
        let staged = self.not_had(job, recorded, why.clone());
        if self.lost >= LOST_AFTER {
            return Err(CrawlError::OriginLost {
                done: self.position.counts.usable(),
                why,
            });
        }
        Ok(staged)
    }

    fn stage_redirect(
        &mut self,
        job: &Job,
        recorded: Option<&Entry>,
        decision: Decision,
    ) -> Option<Staged> {
        match decision {
            Decision::Same => None,
            decision => self.stage(job, recorded, decision),
        }
    }

    /// Counts a decision; what it stages, if anything.
    fn stage(&mut self, job: &Job, recorded: Option<&Entry>, decision: Decision) -> Option<Staged> {
        let counts = &mut self.position.counts;
        match decision {
            Decision::Same => {
                counts.unchanged += u64::from(recorded.is_some_and(|e| e.outcome.is_live()));
                None
            }
            Decision::Validators => None,
            Decision::Missing { status } => {
                counts.missing += 1;
                Some(Staged::Missing { status })
            }
            Decision::Broken { status } => {
                counts.broken_links += 1;
                let why = format!("the answer was {status}");
                self.name_trouble(job, why.clone());
                let from = job.from.clone();
                Some(Staged::Pending { from, why })
            }
            Decision::Stage { outcome, .. } => {
                let was_live = recorded.is_some_and(|entry| entry.outcome.is_live());
                match (was_live, outcome.is_live()) {
                    (_, false) => counts.gone += 1,
                    (false, true) => counts.new += 1,
                    (true, true) => counts.changed += 1,
                }
                // Time and place are noted further on, for outcomes of every kind in one place each.
                Some(Staged::Outcome {
                    outcome,
                    located: None,
                    fetched: 0,
                })
            }
        }
    }

    fn name_trouble(&mut self, job: &Job, why: String) {
        tracing::info!(url = %job.url, why, "not had");
        if self.position.troubles.len() < TROUBLES_MAX {
            self.position.troubles.push(Trouble {
                url: job.url.clone(),
                why,
                from: job.from.clone(),
            });
        }
    }

    fn enqueue_reference(&mut self, base: &PageUrl, reference: &str) -> Result<(), CrawlError> {
        if let Ok(url) = base.join(reference)
            && let Admission::Page(page) = self.order.scope.admit(url)
        {
            self.enqueue(Some(base), vec![page])?;
        }
        Ok(())
    }

    /// Queues those of the URLs that nobody has met: not in this crawl, and not in the manifest, whose
    /// entries the cursor visits.
    fn enqueue(&mut self, from: Option<&PageUrl>, urls: Vec<PageUrl>) -> Result<(), CrawlError> {
        let mut found = Vec::new();
        for url in urls {
            if !self.recent.insert(&url) {
                continue;
            }
            if !self.allows(&url) {
                self.forbid(url, from);
                continue;
            }
            if !self.frontier.knows(&url)? && !self.manifest.contains(&url)? {
                found.push(Queued {
                    url,
                    from: from.cloned(),
                });
            }
        }
        self.progress.find(found.len() as u64);
        self.frontier.queue(self.queue.next, &found)?;
        self.queue.next += found.len() as u64;
        Ok(())
    }

    /// Counts a URL that robots.txt forbids, and notes it for the next crawl: the page that links to it
    /// may not change when the rules do.
    fn forbid(&mut self, url: PageUrl, from: Option<&PageUrl>) {
        self.position.counts.forbidden += 1;
        self.forbidden.push(Queued {
            url,
            from: from.cloned(),
        });
    }

    fn allows(&self, url: &PageUrl) -> bool {
        let rules = self
            .robots
            .iter()
            .find(|(authority, _)| authority == url.authority());
        rules.is_none_or(|(_, rules)| rules.allows(url))
    }

    fn rules_version(&self) -> u32 {
        u32::try_from(self.order.rules.len() - 1).expect("few versions of the rules")
    }
}

/// What a judged answer stages, and the body it brings.
type Judged = (Option<Staged>, Option<(Digest, Held)>);

/// Whether a request may be answered by "not modified".
#[derive(Clone, Copy)]
enum Conditional {
    Never,
    IfSurviving,
}

/// Entries taken from the manifest in one go.
const CURSOR_STEP: usize = 512;

/// The walk through the manifest's entries, and how far it is done.
struct Cursor {
    next: String,
    outstanding: BTreeSet<PageUrl>,
    ended: bool,
}

impl Cursor {
    fn at(next: String) -> Cursor {
        Cursor {
            next,
            outstanding: BTreeSet::new(),
            ended: false,
        }
    }

    /// Where a resumed crawl begins: everything before is done.
    fn low_water(&self) -> String {
        self.outstanding
            .first()
            .map_or_else(|| self.next.clone(), PageUrl::to_string)
    }
}

/// URLs met lately, as 64-bit hashes in two halves: when one is full the older one is dropped. Two of a
/// million URLs share a hash with a chance of one in 37 million.
struct Recent {
    hasher: std::hash::RandomState,
    young: HashSet<u64>,
    old: HashSet<u64>,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent {
            hasher: std::hash::RandomState::new(),
            young: HashSet::new(),
            old: HashSet::new(),
        }
    }
}

impl Recent {
    /// True when the URL was not met lately.
    fn insert(&mut self, url: &PageUrl) -> bool {
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, url);
        if self.young.contains(&hash) || self.old.contains(&hash) {
            return false;
        }
        if self.young.len() >= RECENT_URLS {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
        true
    }
}

/// The bytes of a small body that the crawl itself has to read.
fn whole(body: &Held) -> Result<bytes::Bytes, CrawlError> {
    match body {
        Held::Memory(bytes, _) => Ok(bytes.clone()),
        Held::File(file) => std::fs::read(file.path())
            .map(Into::into)
            .map_err(|source| {
                CrawlError::Disk(FetchError::Io {
                    path: file.path().into(),
                    source,
                })
            }),
    }
}
