//! The one task that drives a crawl: it hands jobs out as hosts have room, keeps them in flight together, and takes
//! each result in alone. How it begins stands in `opening.rs`, what a result means in `outcome.rs`.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt, OptionFuture};
use futures_util::stream::FuturesUnordered;

use super::courtesy::Came;
use super::cursor::{Cursors, Ticket};
use super::frontier::{Finished, Frontier, Position, Queued, Slot};
use super::job::{Job, Way};
use super::links::{Found, Resolver};
use super::queue::Queue;
use super::recent::Recent;
use super::robots::Robots;
use super::robots_memory::RobotsMemory;
use super::schedule::{After, Schedule, Turn};
use super::sightings::{self, Sightings};
use super::sitemaps::{SitemapNotes, Sitemaps};
use super::strategy::{Due, Known, Strategy};
use super::survival::Survival;
use super::traps::{Trap, TrapReport, Variants};
use super::visit::{Answered, Fetched, Visited, Visitor, Workshop};
use super::writer::{Report, Writer};
use super::{CrawlError, CrawlOrder, CrawlProgress, Fetcher, Held, Trouble, url_log};
use crate::content::{Digest, Role};
use crate::manifest::{Entry, Gone, Manifest, Outcome, Staged};
use crate::site::{Admission, PageUrl};
use crate::store::Store;

/// Troubles named in the report; the rest is counted.
const TROUBLES_MAX: usize = 50;

/// Entries taken from the manifest in one go, and so the room that a host must have before more are taken.
const CURSOR_STEP: usize = 64;

/// URLs taken from a queue in one go: a scan costs something to begin.
const QUEUE_STEP: usize = 32;

/// The tally is recorded with one in so many reports.
const TALLY_EVERY: u64 = 512;

/// Noted with what robots.txt forbids.
pub(super) const FORBIDDEN: &str = "robots.txt forbids it";

/// What a crawl gives back, finished or not.
pub struct Crawled {
    pub position: Position,
    /// Why the mirror is worth less than it could be, beyond single pages.
    pub reasons: Vec<String>,
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
    /// Seeds that this fetcher has been asked for to find out how the site is known.
    pub answered: Vec<Answered>,
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
    let bodies = means.store.bodies();
    let writer = Writer::start(means.store, Arc::clone(&means.frontier));
    let visitor = Arc::new(Visitor {
        fetcher: means.fetcher,
        resolver: Resolver::new(order.scope.clone()),
        manifest: Arc::clone(&means.manifest),
        bodies,
        order: Arc::clone(&order),
    });
    let mut engine = Engine {
        schedule: Schedule::new(order.courtesy.clone()),
        queue: Queue::open(Arc::clone(&means.frontier))?,
        cursors: Cursors::open(Arc::clone(&means.manifest), &position.cursors)?,
        is_opening: true,
        sitemaps_open: 0,
        robots: Vec::new(),
        memory: super::robots_memory(&order.state),
        sitemaps: Sitemaps::new(
            SitemapNotes::open(&order.sitemap_notes()),
            means.frontier.sitemaps()?,
        ),
        is_resumed: position.seeded,
        sightings: order.watches().then(|| super::sightings(&order.state)),
        variants: Variants::default(),
        traps: TrapReport::from_lines(position.tally.traps.clone()),
        recent: Recent::new(),
        missed: Vec::new(),
        answered: means.answered,
        again: BTreeSet::new(),
        trapped: Recent::new(),
        noted: Vec::new(),
        silent: BTreeSet::new(),
        unruled: BTreeSet::new(),
        given_up: BTreeSet::new(),
        survival: Survival::new(Arc::clone(&means.manifest), &order.tiers)?,
        workshop: Workshop::new(Arc::clone(&visitor)),
        reports: 0,
        begun: (order.clock)(),
        order,
        manifest: means.manifest,
        frontier: means.frontier,
        visitor,
        writer: &writer,
        position,
        progress,
    };
    let ended = engine.run().await;
    let reasons = engine.reasons();
    let position = engine.into_position();
    Ok(Crawled {
        position,
        reasons,
        store: writer.end().await?,
        ended,
    })
}

pub(super) struct Engine<'a> {
    pub order: Arc<CrawlOrder>,
    pub manifest: Arc<Manifest>,
    pub frontier: Arc<Frontier>,
    pub visitor: Arc<Visitor>,
    pub writer: &'a Writer,
    pub position: Position,
    pub progress: &'a CrawlProgress,
    pub schedule: Schedule,
    pub queue: Queue,
    pub cursors: Cursors,
    pub workshop: Workshop,
    /// Sitemaps are read before anything else is asked for: they say what is to come first.
    pub is_opening: bool,
    /// Jobs that are sitemaps and under way.
    pub sitemaps_open: usize,
    /// Rules by authority.
    pub robots: Vec<(String, Robots)>,
    pub memory: RobotsMemory,
    pub sitemaps: Sitemaps,
    /// The crawl goes on after a kill: what was seen before that is not noted anywhere.
    pub is_resumed: bool,
    /// Only where something asks for them.
    pub sightings: Option<Sightings>,
    pub variants: Variants,
    pub traps: TrapReport,
    pub recent: Recent,
    /// Why pages could not be had that this crawl alone is about.
    pub missed: Vec<String>,
    /// What needs no request any more.
    pub answered: Vec<Answered>,
    /// Pages that are asked for a second time in this crawl; few.
    pub again: BTreeSet<PageUrl>,
    /// Those of the recent ones that were left because they looked endless.
    pub trapped: Recent,
    /// URLs that are not asked for in this crawl, with the reason, since the last report to the writer.
    pub noted: Vec<(PageUrl, Staged)>,
    /// Hosts that did not answer when they were asked for their robots.txt.
    pub silent: BTreeSet<String>,
    /// Hosts of which nothing is asked, since nobody knows what they permit.
    pub unruled: BTreeSet<String>,
    /// Hosts whose part of the crawl has ended before its time.
    pub given_up: BTreeSet<String>,
    pub survival: Survival,
    /// Reports handed to the writer.
    pub reports: u64,
    /// When this process began with the crawl, in seconds since 1970.
    pub begun: i64,
}

/// What becomes of a job that was taken in: what is staged, and the body it brings.
pub(super) type Judged = (Option<Staged>, Option<(Digest, Held)>);

/// Where a URL was named.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source<'a> {
    /// On a page, or in the header of an answer.
    Page(&'a PageUrl),
    /// By the choices of a form, which the configuration asks for: of them there may be too many, but none is odd.
    Form(&'a PageUrl),
    /// By a sitemap, robots.txt, the configuration or an earlier crawl: it is no trap.
    Named(Option<&'a PageUrl>),
}

impl<'a> Source<'a> {
    fn page(self) -> Option<&'a PageUrl> {
        match self {
            Source::Page(page) | Source::Form(page) => Some(page),
            Source::Named(page) => page,
        }
    }

    /// Whether what it names is wanted whatever it looks like.
    fn is_trusted(self) -> bool {
        matches!(self, Source::Named(_))
    }
}

impl Engine<'_> {
    async fn run(&mut self) -> Result<(), CrawlError> {
        self.open().await?;
        self.visit_all().await?;
        if self.order.only.is_none() {
            self.look_again().await?;
            self.visit_all().await?;
        }
        self.note_unasked().await?;
        self.retire().await?;
        self.send_noted().await?;
        self.remember().await;
        self.ended_well()
    }

    /// A crawl of some pages that had none of them has nothing to tell.
    fn ended_well(&self) -> Result<(), CrawlError> {
        match (&self.order.only, self.missed.first()) {
            (Some(only), Some(why)) if self.missed.len() >= only.len() => {
                Err(CrawlError::NonePages { why: why.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Asks for everything that waits, and for what that leads to.
    async fn visit_all(&mut self) -> Result<(), CrawlError> {
        let mut in_flight: FuturesUnordered<BoxFuture<'static, Fetched>> = FuturesUnordered::new();
        loop {
            self.refill()?;
            // Also those whose host was given up when none of its jobs waited here.
            self.leave_given_up().await?;
            let (now, wall) = (Instant::now(), (self.order.clock)());
            while let Some(job) = self.schedule.next(now, wall) {
                in_flight.push(self.start(job)?.boxed());
            }
            self.say_what_is_waited_for(wall, in_flight.is_empty());
            let wake = self.schedule.wakes(now, wall);
            let wake = OptionFuture::from(wake.map(|at| tokio::time::sleep_until(at.into())));
            let is_computing = !self.workshop.is_idle();
            let is_walking = self.is_walking();
            tokio::select! {
                // Answers that are there are gathered before rayon is woken for them.
                biased;
                Some(fetched) = in_flight.next() => self.arrived(fetched).await?,
                done = self.workshop.done(), if is_computing => {
                    for visited in done {
                        self.take_in(visited).await?;
                    }
                }
                Some(()) = wake => (),
                // Others have a turn between two steps.
                () = tokio::task::yield_now(), if is_walking => (),
                // Nothing is under way any more: the opening has ended, or the crawl.
                else => match self.is_opening {
                    true => self.is_opening = false,
                    false => return Ok(()),
                },
            }
        }
    }

    /// Whether the next step along the manifest can be taken now. Of a step nothing may be left to ask for, which is
    /// not the end of the walk.
    fn is_walking(&self) -> bool {
        let has_room =
            |host: &str| self.schedule.room(host) >= CURSOR_STEP && !self.given_up.contains(host);
        let origins = 0..self.cursors.len();
        let mut hosts = origins.filter_map(|origin| self.cursors.walking_host(origin));
        !self.is_opening && self.order.only.is_none() && hosts.any(has_room)
    }

    fn say_what_is_waited_for(&self, wall: i64, is_idle: bool) {
        let until = self.schedule.quiet_until(wall).filter(|_| is_idle);
        if until.is_some() || self.progress.waits().is_some() {
            self.progress.wait_for(until.map(quiet_until));
        }
    }

    /// An answer has come: it is final, or its page is asked for again later.
    async fn arrived(&mut self, fetched: Fetched) -> Result<(), CrawlError> {
        let came = Came::of(&fetched.result, fetched.took);
        let Fetched {
            job,
            answered,
            took,
            result,
        } = fetched;
        self.count_answer(&job, &result);
        match self.schedule.came(job, came, Instant::now()) {
            After::Again => Ok(()),
            After::TakeIn(job) => {
                let fetched = Fetched {
                    job,
                    answered,
                    took,
                    result,
                };
                if self.visitor.is_work(&fetched) {
                    self.workshop.add(fetched);
                    return Ok(());
                }
                let visited = self.visitor.compute(fetched);
                self.take_in(visited).await
            }
        }
    }

    /// Fills the windows of the hosts: what waits in their queues first, then the manifest's entries in order.
    fn refill(&mut self) -> Result<(), CrawlError> {
        self.queue.written(self.writer.written());
        if self.is_opening && self.sitemaps_open == 0 && !self.queue.has_sitemaps() {
            self.is_opening = false;
        }
        let class_last = match self.is_opening {
            true => Slot::SITEMAP,
            false => Slot::CLASSES - 1,
        };
        let has_room =
            |host: &&str| self.schedule.room(host) >= QUEUE_STEP && !self.given_up.contains(*host);
        // Usually none: nothing is copied then.
        let hosts: Vec<String> = self
            .queue
            .hosts(class_last)
            .filter(has_room)
            .map(str::to_owned)
            .collect();
        for host in hosts {
            let room = self.schedule.room(&host);
            for (slot, queued) in self.queue.load(&host, class_last, room)? {
                let job = self.take_up(slot, queued);
                self.schedule.add(job);
            }
        }
        if !self.is_opening && self.order.only.is_none() {
            for origin in 0..self.cursors.len() {
                let Some(host) = self.cursors.walking_host(origin) else {
                    continue;
                };
                if self.schedule.room(host) >= CURSOR_STEP && !self.given_up.contains(host) {
                    self.advance_cursor(origin)?;
                }
            }
        }
        Ok(())
    }

    /// What waited in a queue, as a job.
    pub fn take_up(&mut self, slot: Slot, queued: Queued) -> Job {
        let way = Way::Queue(slot);
        self.sitemaps_open += usize::from(way.is_for_sitemaps());
        Job {
            is_sitemap: queued.is_sitemap || self.sitemaps.knows(&queued.url),
            url: queued.url,
            from: queued.from,
            way,
            is_searched: false,
            recorded: None,
            turn: Turn::default(),
        }
    }

    fn advance_cursor(&mut self, origin: usize) -> Result<(), CrawlError> {
        for (url, entry) in self.cursors.take(origin, CURSOR_STEP)? {
            let is_ours = self.order.scope.admit(url.clone()) == Admission::Page(url.clone());
            if !is_ours || is_retired(&entry) || self.frontier.knows(&url)? {
                continue;
            }
            if let Some(pattern) = self.forbidden(&url) {
                self.skip_forbidden(&url, &pattern)?;
                continue;
            }
            if self.is_spared(&url, &entry)? {
                url_log::left(&url, &Due::Skip);
                self.cursors.spare(origin);
                self.progress.skip();
                continue;
            }
            url_log::taken(&url, &"stored");
            self.progress.find(1);
            let ticket = self.cursors.give_out(origin, &url);
            self.schedule.add(Job {
                is_sitemap: self.sitemaps.knows(&url),
                url,
                from: None,
                way: Way::Cursor(ticket),
                is_searched: false,
                recorded: Some(Box::new(entry)),
                turn: Turn::default(),
            });
        }
        Ok(())
    }

    /// Whether a stored page need not be asked for today.
    fn is_spared(&self, url: &PageUrl, entry: &Entry) -> Result<bool, CrawlError> {
        let is_whole = self.order.strategy == Strategy::Full || self.order.reparse;
        let is_read_anew = self.is_parsed_anew(url) || self.sitemaps.knows(url);
        if is_whole || !entry.outcome.is_live() || is_read_anew {
            return Ok(false);
        }
        if !self.survival.of(url, Some(entry))? || self.survival.is_perhaps_gone(url)? {
            return Ok(false);
        }
        let sighting = self.sightings.as_ref().and_then(|seen| seen.get(url));
        let known = Known {
            url,
            fetched: entry.fetched,
            checked: sighting.and_then(|seen| seen.checked),
            lastmod: self.frontier.lastmod(url)?,
            now: self.begun,
            run: self.manifest.about().crawls,
        };
        Ok(self.order.strategy.due(&known) == Due::Skip)
    }

    /// Sends the request of a job.
    fn start(
        &self,
        mut job: Job,
    ) -> Result<impl Future<Output = Fetched> + Send + use<>, CrawlError> {
        let conditional = self.look_up(&mut job)?;
        Ok(Arc::clone(&self.visitor).ask(job, conditional))
    }

    /// Adds the record of a job's URL to it. True when a 304 would be an answer.
    pub fn look_up(&self, job: &mut Job) -> Result<bool, CrawlError> {
        if job.recorded.is_none() && !self.manifest.is_empty() {
            job.recorded = self.manifest.entry(&job.url)?.map(Box::new);
        }
        job.is_searched = self.is_parsed_anew(&job.url);
        // Perhaps it was met as a page before something said what it is, or an unchanged index names it.
        job.is_sitemap |= self.sitemaps.knows(&job.url);
        let recorded = job.recorded.as_deref();
        // What a sitemap says of each page is needed in every crawl that spares some for it.
        let is_needed = job.is_sitemap
            && (self.order.strategy != Strategy::Full || !self.sitemaps.remembers(&job.url));
        let is_wanted_whole = is_needed || job.is_searched || self.order.reparse;
        Ok(!is_wanted_whole && recorded.is_some() && self.survival.of(&job.url, recorded)?)
    }

    /// Whether a page is to be parsed again although nothing says that it has changed: what it links to must be seen
    /// twice in the time after which a page is retired that nothing links to. Pages fall due one after the other.
    fn is_parsed_anew(&self, url: &PageUrl) -> bool {
        let (Some(days), Some(sightings)) = (self.order.retire_after_days, &self.sightings) else {
            return false;
        };
        let Some(parsed) = sightings.get(url).and_then(|seen| seen.parsed_day) else {
            return true;
        };
        let quarter = (days / 4).max(1);
        let due = u64::from(parsed) + quarter + spread(url) % quarter;
        u64::from(sightings::day_of(self.begun)) >= due
    }

    /// Takes one result in: queues what it links to, stages what it means, ticks it off.
    pub async fn take_in(&mut self, visited: Visited) -> Result<(), CrawlError> {
        let Visited {
            job,
            answered,
            result,
        } = visited;
        self.sitemaps_open -= usize::from(job.way.is_for_sitemaps());
        let troubles = self.position.troubles.len();
        let (staged, body) = match self.again.remove(&job.url) {
            true => self.judge_again(&job, answered, result)?,
            false => self.judge(&job, answered, result)?,
        };
        self.record_sitemaps()?;
        let bytes = body.as_ref().map_or(0, |(digest, _)| digest.size);
        self.progress.finish(bytes);
        let (slot, cursor) = match job.way {
            Way::Queue(slot) => (Some(slot), None),
            Way::Cursor(ticket) => (None, self.tick(ticket)),
            Way::First => (None, None),
        };
        if let Some(slot) = slot {
            self.queue.hand_over(slot, self.reports + 1);
        }
        let number = self.position.troubles.len() as u64;
        let named = self.position.troubles.get(troubles).cloned();
        self.report(
            job.url,
            staged,
            body,
            Finish {
                slot,
                cursor,
                trouble: named.map(|trouble| (number, trouble)),
            },
        )
        .await?;
        self.send_noted().await
    }

    /// Has what was learned of sitemaps recorded.
    pub fn record_sitemaps(&mut self) -> Result<(), CrawlError> {
        let records = self.sitemaps.records();
        Ok(self.frontier.note_sitemaps(&records)?)
    }

    /// Ticks off an entry that was asked for. Where its cursor has moved by it: its origin, and where a resumed crawl
    /// would begin.
    fn tick(&mut self, ticket: Ticket) -> Option<(String, String)> {
        let moved = self.cursors.tick(ticket)?;
        count_spared(&mut self.position, moved.spared);
        Some((moved.origin, moved.at))
    }

    /// Reports what is not asked for.
    pub async fn send_noted(&mut self) -> Result<(), CrawlError> {
        for (url, staged) in std::mem::take(&mut self.noted) {
            self.report(url, Some(staged), None, Finish::default())
                .await?;
        }
        Ok(())
    }

    async fn report(
        &mut self,
        url: PageUrl,
        staged: Option<Staged>,
        body: Option<(Digest, Held)>,
        finish: Finish,
    ) -> Result<(), CrawlError> {
        self.reports += 1;
        let tally = self.reports.is_multiple_of(TALLY_EVERY);
        let finished = Finished {
            url,
            slot: finish.slot,
            cursor: finish.cursor,
            staged,
            counts: self.position.counts,
            trouble: finish.trouble,
            tally: tally.then(|| Box::new(self.position.tally.clone())),
        };
        if self.writer.send(Report { finished, body }).await {
            return Ok(());
        }
        Err(self.writer_has_ended())
    }

    /// The writer's own error is the one that will be told.
    pub fn writer_has_ended(&self) -> CrawlError {
        CrawlError::OriginLost {
            done: self.position.counts.answers(),
            why: "the store cannot be written".into(),
        }
    }

    /// A page that could not be had. It fails a crawl that is about this page.
    pub fn miss(&mut self, job: &Job, why: &str) {
        let only = self.order.only.as_deref().unwrap_or_default();
        if only.contains(&job.url) {
            self.missed.push(format!("{}: {why}", job.url));
        }
    }

    pub fn name_trouble(&mut self, job: &Job, why: String) {
        tracing::info!(url = %job.url, why, "not had");
        if self.position.troubles.len() < TROUBLES_MAX {
            self.position.troubles.push(Trouble {
                url: job.url.clone(),
                why,
                from: job.from.clone(),
            });
        }
    }

    /// Where the crawl is at its end, with everything that was counted elsewhere.
    fn into_position(self) -> Position {
        let mut position = self.position;
        count_spared(&mut position, self.cursors.spared());
        position.counts.requests += self.visitor.fetcher.attempts();
        for (host, traffic) in self.schedule.traffic() {
            let tally = position.tally.hosts.entry(host.to_owned()).or_default();
            tally.retries += traffic.retries;
            tally.throttled += traffic.throttled;
        }
        (position.tally.sitemaps, position.tally.sitemaps_beyond) = self.sitemaps.lines();
        position.tally.traps = self.traps.into_lines();
        position
    }

    /// Queues those of the URLs that are to be asked for and that nobody has met: not in this crawl, and not in the
    /// manifest, whose entries the cursors visit.
    pub fn enqueue(&mut self, source: Source<'_>, found: Vec<Found>) -> Result<(), CrawlError> {
        let mut fresh = Vec::new();
        let mut dated = Vec::new();
        let mut instead = Vec::new();
        for found in found {
            // Where links wait for the next crawl, what is linked may still be a part of the page.
            let is_part = self.order.only.is_some() && found.role == Role::Asset;
            let hash = match is_part {
                true => self.recent.hash_of((&found.url, is_part)),
                false => self.recent.hash_of(&found.url),
            };
            let is_recent = !self.recent.insert(hash);
            // What looked endless on a page is taken when a sitemap names it.
            let is_cleared = is_recent && source.is_trusted() && self.trapped.forget(hash);
            let says_more = found.lastmod.is_some() || found.role == Role::Sitemap;
            if is_recent && !is_cleared && !says_more {
                continue;
            }
            if self.frontier.knows(&found.url)? {
                self.note_link(&found.url);
                continue;
            }
            let entry = match self.manifest.is_empty() {
                true => None,
                false => self.manifest.entry(&found.url)?,
            };
            if let Some(pattern) = self.forbidden(&found.url) {
                self.note_link(&found.url);
                self.forbid(found.url, source, &pattern, entry.as_ref())?;
                continue;
            }
            match entry {
                Some(entry) if self.waits_for_cursor(&found, &entry)? => {
                    self.note_link(&found.url);
                    // A feed tells when an article came out, which spares nobody a look at what it has become.
                    let lastmod = found.lastmod.filter(|_| source.is_trusted());
                    dated.extend(lastmod.map(|at| (found.url, at)));
                }
                None if is_recent && !is_cleared => {}
                None if self.is_trap(source, &found.url) => {
                    self.trapped.insert(hash);
                    instead.extend(self.without_session(found));
                }
                None if self.is_left_for_later(&found) => self.leave_for_later(found.url, source),
                _ => {
                    self.note_link(&found.url);
                    fresh.push(found);
                }
            }
        }
        if self.order.strategy != Strategy::Full {
            self.frontier.note_lastmods(&dated)?;
        }
        for found in &fresh {
            self.tell(source, &found.url);
        }
        self.progress.find(fresh.len() as u64);
        self.queue.push(source.page(), fresh)?;
        match instead.is_empty() {
            true => Ok(()),
            // Once: these have no session any more.
            false => self.enqueue(source, instead),
        }
    }

    /// The page that a URL with a visitor's session in it is about.
    fn without_session(&self, found: Found) -> Option<Found> {
        let url = self.order.traps.without_session(&found.url)?;
        match self.order.scope.admit(url) {
            Admission::Page(url) => Some(Found { url, ..found }),
            Admission::Outside(_) => None,
        }
    }

    fn note_link(&mut self, url: &PageUrl) {
        if let Some(sightings) = &mut self.sightings {
            sightings.linked(url, self.begun);
        }
    }

    fn tell(&self, source: Source<'_>, url: &PageUrl) {
        match source {
            Source::Page(page) => url_log::taken(url, &format_args!("linked from {page}")),
            Source::Form(page) => {
                url_log::taken(url, &format_args!("a choice of a form on {page}"));
            }
            Source::Named(Some(page)) => url_log::taken(url, &format_args!("named by {page}")),
            Source::Named(None) => url_log::taken(url, &"asked for"),
        }
    }

    /// A stored page has its turn with the others, unless it is a sitemap, was withdrawn because nothing linked to it,
    /// or has changed since it was fetched, as its sitemap says, and its turn is not over.
    fn waits_for_cursor(&self, found: &Found, entry: &Entry) -> Result<bool, CrawlError> {
        let is_wanted =
            self.order.only.is_some() && found.role == Role::Asset && !entry.outcome.is_live();
        if found.role == Role::Sitemap || is_retired(entry) || is_wanted {
            return Ok(false);
        }
        let is_newer = match (found.lastmod, entry.fetched) {
            (Some(at), Some(fetched)) => at > fetched,
            _ => false,
        };
        if !is_newer {
            return Ok(true);
        }
        Ok(self.cursors.has_passed(&found.url) && !self.is_spared(&found.url, entry)?)
    }

    fn is_trap(&mut self, source: Source<'_>, url: &PageUrl) -> bool {
        let Some(trap) = self.trap_of(source, url) else {
            return false;
        };
        url_log::left(url, &trap);
        self.position.tally.skipped.traps += 1;
        self.traps.note(&trap, url);
        true
    }

    /// The rule by which a new URL looks endless. To be asked about once: variants are counted.
    fn trap_of(&mut self, source: Source<'_>, url: &PageUrl) -> Option<Trap> {
        let limits = &self.order.traps;
        let odd = match source {
            Source::Named(_) => return None,
            Source::Form(_) => None,
            Source::Page(_) => limits.of(url, self.begun),
        };
        odd.or_else(|| self.variants.admit(url, limits).err())
    }

    /// Whether a URL was found in a crawl that is about some pages only, and is no part of one.
    fn is_left_for_later(&self, found: &Found) -> bool {
        self.order.only.is_some() && found.role != Role::Asset
    }

    fn leave_for_later(&mut self, url: PageUrl, source: Source<'_>) {
        let why = "found when only some pages were asked for".to_owned();
        let from = source.page().cloned();
        self.noted.push((url, Staged::Pending { from, why }));
    }

    /// The line of robots.txt that forbids a URL, if one does.
    pub fn forbidden(&self, url: &PageUrl) -> Option<String> {
        let rules = self
            .robots
            .iter()
            .find(|(authority, _)| authority == url.authority());
        let (_, rules) = rules?;
        if rules.allows(url) {
            return None;
        }
        Some(rules.why(url).unwrap_or_else(|| "robots.txt".into()))
    }

    /// Counts a URL that robots.txt forbids, once in a crawl: whoever names it again finds it known.
    pub fn skip_forbidden(&mut self, url: &PageUrl, pattern: &str) -> Result<(), CrawlError> {
        url_log::left(url, &pattern);
        self.frontier.know(url)?;
        self.position.counts.forbidden += 1;
        self.position.tally.skipped.robots += 1;
        Ok(())
    }

    /// Leaves a URL that robots.txt forbids, and notes it for the next crawl: the page that links to it may not change
    /// when the rules do. What looks endless is not noted: that is what the rules mostly keep out.
    fn forbid(
        &mut self,
        url: PageUrl,
        source: Source<'_>,
        pattern: &str,
        entry: Option<&Entry>,
    ) -> Result<(), CrawlError> {
        self.skip_forbidden(&url, pattern)?;
        if entry.is_none() && self.trap_of(source, &url).is_none() {
            let staged = Staged::Pending {
                from: source.page().cloned(),
                why: FORBIDDEN.into(),
            };
            self.noted.push((url, staged));
        }
        Ok(())
    }

    /// Ends the part of hosts that do not answer. The crawl as a whole ends when one of them has the site's
    /// beginning.
    async fn leave_given_up(&mut self) -> Result<(), CrawlError> {
        let jobs = self.schedule.take_given_up();
        let hosts: BTreeSet<String> = jobs
            .iter()
            .map(|job| job.url.authority().to_owned())
            .filter(|host| !self.given_up.contains(host))
            .collect();
        for job in jobs {
            self.not_asked(job).await?;
        }
        for host in hosts {
            let why = self
                .schedule
                .given_up(&host)
                .unwrap_or("it was lost")
                .to_owned();
            let is_home = self.order.seeds.iter().any(|seed| seed.authority() == host);
            if is_home {
                return Err(CrawlError::OriginLost {
                    done: self.position.counts.usable(),
                    why,
                });
            }
            self.host_tally(&host).given_up = Some(why);
            self.given_up.insert(host);
        }
        Ok(())
    }

    /// A job of a host that was given up: noted for the next crawl when it was never stored, and a page that did not
    /// answer when it was.
    pub async fn not_asked(&mut self, mut job: Job) -> Result<(), CrawlError> {
        url_log::left(&job.url, &"its host was given up");
        self.look_up(&mut job)?;
        let recorded = job.recorded.as_deref();
        self.position.counts.known += u64::from(recorded.is_some_and(|e| e.outcome.is_live()));
        self.position.tally.skipped.host += 1;
        self.host_tally(job.url.authority()).not_asked += 1;
        let why = "its host did not answer any more".to_owned();
        let staged = job.recorded.is_none().then(|| Staged::Pending {
            from: job.from.clone(),
            why,
        });
        self.sitemaps_open -= usize::from(job.way.is_for_sitemaps());
        if job.is_sitemap {
            self.sitemaps.failed(&job.url, "its host did not answer");
        }
        self.progress.skip();
        let finish = match job.way {
            Way::Queue(slot) => Finish {
                slot: Some(slot),
                ..Finish::default()
            },
            Way::Cursor(ticket) => Finish {
                cursor: self.tick(ticket),
                ..Finish::default()
            },
            Way::First => Finish::default(),
        };
        self.report(job.url, staged, None, finish).await
    }
}

/// What a report ticks off.
#[derive(Default)]
struct Finish {
    slot: Option<Slot>,
    cursor: Option<(String, String)>,
    trouble: Option<(u64, Trouble)>,
}

/// Counts stored pages that were left alone: they are there.
fn count_spared(position: &mut Position, pages: u64) {
    position.tally.skipped.lastmod += pages;
    position.counts.known += pages;
    position.counts.kept += pages;
}

/// Whether a page was withdrawn because nothing had linked to it for long, and so is not asked for.
pub(super) fn is_retired(entry: &Entry) -> bool {
    matches!(&entry.outcome, Outcome::Gone(gone) if gone.status == Gone::RETIRED)
}

/// For the progress line; `at` in seconds since 1970.
pub(super) fn quiet_until(at: i64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp(at);
    time.map_or_else(
        |_| "quiet".to_owned(),
        |time| format!("quiet until {:02}:{:02} UTC", time.hour(), time.minute()),
    )
}

/// A number that is the same in every crawl.
fn spread(url: &PageUrl) -> u64 {
    let mut hasher = DefaultHasher::new();
    url.hash(&mut hasher);
    hasher.finish()
}
