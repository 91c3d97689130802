//! How a crawl begins, and how it makes sure at its end: robots.txt, seeds and sitemaps.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::courtesy::QuietHours;
use super::engine::{Engine, FORBIDDEN, Source, quiet_until};
use super::fetch::{Answer, FetchError};
use super::job::Job;
use super::links::Found;
use super::robots::{self, Robots};
use super::visit::{Fetched, Seen, Visited, Visitor};
use super::{CrawlError, CrawlProgress, Held, url_log};
use crate::content::{Role, Sitemap};
use crate::site::{Admission, PageUrl};

/// Redirects of a robots.txt that are followed: as many as RFC 9309 asks for.
pub(super) const ROBOTS_HOPS_MAX: usize = 5;

/// Sitemaps that are read a second time at the end. An index says what changed; without that word, all of its
/// sitemaps would have to be read again, and for so many that is still little.
const SECOND_LOOKS_MAX: usize = 500;

/// Pages that are asked for a second time at the end, since a sitemap says that they were published meanwhile.
const AGAIN_MAX: usize = 1_000;

/// So many pages of one sitemap, and more than half of it, are not published during one crawl: it dates them by the
/// clock.
const CLOCK_MIN: usize = 20;

/// Pages that are asked for out of turn at a time, such as several robots.txt.
const OUT_OF_TURN_MAX: usize = 16;

/// How often who waits for the end of quiet hours looks at the clock: a machine that slept has not waited.
const LOOK: Duration = Duration::from_secs(60);

/// Waits until a request may be sent, and says so meanwhile. Pages wait in the schedule; this is for all that is asked
/// for out of turn. `clock` tells seconds since 1970.
pub async fn outwait_quiet_hours(quiet: &QuietHours, clock: fn() -> i64, progress: &CrawlProgress) {
    let mut wall = clock();
    while let Some(until) = quiet.active(wall) {
        progress.wait_for(Some(quiet_until(until)));
        let seconds = u64::try_from(until - wall).unwrap_or(0).max(1);
        tokio::time::sleep(Duration::from_secs(seconds).min(LOOK)).await;
        wall = clock();
        if quiet.active(wall).is_none() {
            progress.wait_for(None);
        }
    }
}

impl Engine<'_> {
    /// Everything that comes before the pages.
    pub async fn open(&mut self) -> Result<(), CrawlError> {
        self.read_robots().await?;
        if let Some(sightings) = &mut self.sightings {
            // Nothing links to these, and they are wanted.
            for url in self.order.seeds.iter().chain(&self.order.robots) {
                sightings.linked(url, self.begun);
            }
        }
        if self.position.seeded {
            self.answered.clear();
            return Ok(());
        }
        match self.order.only.clone() {
            Some(urls) => self.plant_only(urls).await?,
            None => {
                self.plant_seeds().await?;
                self.queue_pending()?;
            }
        }
        self.record_sitemaps()?;
        // Nothing holds a body that nobody wanted.
        self.answered.clear();
        self.position.seeded = true;
        if !self.writer.save(self.position.clone()).await {
            return Err(self.writer_has_ended());
        }
        Ok(())
    }

    /// Asks each host for its robots.txt; the answer is stored like any page. A host that does not give one today is
    /// asked for what its last one permits, and for nothing where there was none.
    async fn read_robots(&mut self) -> Result<(), CrawlError> {
        let mut urls = self.order.robots.clone();
        if let Some(pages) = self.order.only.clone() {
            urls = self.recall_rules(urls, &pages)?;
        }
        let mut asking = FuturesUnordered::new();
        let mut waiting = urls.into_iter();
        loop {
            while asking.len() < OUT_OF_TURN_MAX
                && let Some(url) = waiting.next()
            {
                let asked = self.ask_now(&url, Conditional::Never)?;
                asking.push(async move { (url, asked.await) });
            }
            let Some((url, fetched)) = asking.next().await else {
                break;
            };
            if fetched
                .result
                .as_ref()
                .is_err_and(FetchError::is_connection)
            {
                self.silent.insert(url.authority().to_owned());
            }
            // Most hosts have none, and no page links to it: its absence is no broken link.
            let is_absent = matches!(fetched.result, Ok(Answer::Gone { .. }));
            let counts = fetched.job.recorded.is_some() || !is_absent;
            if counts {
                self.count_answer(&fetched.job, &fetched.result);
            }
            let rules = self.rules_of(&url, &fetched.result).await?;
            self.obey(&url, rules)?;
            let visited = self.visitor.compute(fetched);
            match counts {
                true => self.take_in(visited).await?,
                false => self.progress.finish(0),
            }
        }
        if let Err(error) = self.memory.save() {
            tracing::warn!(%error, "the robots.txt files are not remembered");
        }
        Ok(())
    }

    /// In a crawl of some pages the hosts of their parts are not asked for their rules: those that they gave last
    /// hold. Gives back where to ask.
    fn recall_rules(
        &mut self,
        urls: Vec<PageUrl>,
        pages: &[PageUrl],
    ) -> Result<Vec<PageUrl>, CrawlError> {
        let mut to_ask = Vec::new();
        for url in urls {
            let host = url.authority();
            let is_asked = pages.iter().any(|page| page.authority() == host);
            match self.memory.last_good(host).filter(|_| !is_asked) {
                Some(text) => {
                    let agent = &self.order.user_agent;
                    let rules = Robots::from_answer(200, text.as_bytes(), agent);
                    self.obey(&url, rules)?;
                }
                None => to_ask.push(url),
            }
        }
        Ok(to_ask)
    }

    /// What a robots.txt says, or the one at the end of its redirects; only that one is remembered. Of those answers
    /// nothing is computed: what is there may be a page, and its links are its own, to be found when it is visited.
    async fn rules_of(
        &mut self,
        url: &PageUrl,
        result: &Result<Answer, FetchError>,
    ) -> Result<Robots, CrawlError> {
        let mut target = redirected(url, result);
        let mut last = None;
        for _ in 0..ROBOTS_HOPS_MAX {
            let Some(next) = target.take().map(|target| self.order.scope.admit(target)) else {
                break;
            };
            let Admission::Page(next) = next else {
                break;
            };
            self.keep_pace(&next).await;
            let hop = Arc::clone(&self.visitor)
                .ask_patiently(Job::first(&next), false)
                .await;
            target = redirected(&next, &hop.result);
            last = Some(hop.result);
        }
        let said = Said::of(last.as_ref().unwrap_or(result))?;
        Ok(self.believe(url.authority(), said))
    }

    /// The rules of a host by what was said for its robots.txt today, and by what it said before.
    fn believe(&mut self, host: &str, said: Said) -> Robots {
        let (rules, text) = said.rules(self.memory.last_good(host), &self.order.user_agent);
        if let Some(text) = text {
            let readable = String::from_utf8_lossy(&text);
            self.memory.remember(host, &readable, self.begun);
        }
        rules
    }

    fn obey(&mut self, url: &PageUrl, rules: Robots) -> Result<(), CrawlError> {
        if matches!(rules, Robots::DenyAll) {
            self.unruled.insert(url.authority().to_owned());
        }
        if let Some(pause) = rules.delay() {
            self.schedule.slow_down(url.authority(), pause);
        }
        if !self.position.seeded && self.order.only.is_none() {
            for sitemap in rules.sitemaps() {
                self.name_sitemap(url, &sitemap)?;
            }
        }
        self.robots.push((url.authority().to_owned(), rules));
        Ok(())
    }

    fn name_sitemap(&mut self, base: &PageUrl, reference: &str) -> Result<(), CrawlError> {
        if let Some(found) = self.visitor.resolver.one(base, reference, Role::Sitemap)
            && self.sitemaps.named(&found.url, None)
        {
            self.enqueue(Source::Named(Some(base)), vec![found])?;
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
        let mut lost = BTreeSet::new();
        for seed in self.order.seeds.clone() {
            if let Some(pattern) = self.forbidden(&seed) {
                url_log::left(&seed, &pattern);
                why = CrawlError::NoSeed {
                    why: match self.position.troubles.last() {
                        Some(trouble) => trouble.why.clone(),
                        None => format!("{seed} is forbidden by {pattern}"),
                    },
                };
                continue;
            }
            if is_sitemap(&seed) {
                self.sitemaps.named(&seed, None);
            }
            if lost.contains(seed.authority()) {
                // One seed has cost its time-outs; the others would as well.
                self.position.counts.errors += 1;
                self.name_trouble(&Job::first(&seed), "its host does not answer".into());
                continue;
            }
            url_log::taken(&seed, &"a seed");
            self.outwait_quiet_hours().await;
            let fetched = self.ask_now(&seed, Conditional::IfSurviving)?.await;
            self.count_answer(&fetched.job, &fetched.result);
            let visited = self.visitor.compute(fetched);
            if let Err(error) = &visited.result
                && error.is_connection()
            {
                lost.insert(seed.authority().to_owned());
            }
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
    fn queue_pending(&mut self) -> Result<(), CrawlError> {
        let manifest = Arc::clone(&self.manifest);
        for pending in manifest.pending() {
            let (url, pending) = pending?;
            if let Some(pattern) = self.forbidden(&url)
                && pending.why == FORBIDDEN
            {
                // As before: the note stands.
                if !self.frontier.knows(&url)? {
                    self.skip_forbidden(&url, &pattern)?;
                }
                continue;
            }
            let found = Found {
                url,
                role: Role::Page,
                lastmod: None,
            };
            self.enqueue(Source::Named(pending.from.as_ref()), vec![found])?;
        }
        Ok(())
    }

    /// The pages that a crawl of some pages is about, whatever the manifest says of them.
    async fn plant_only(&mut self, urls: Vec<PageUrl>) -> Result<(), CrawlError> {
        let mut found = Vec::new();
        for url in urls {
            if let Some(pattern) = self.forbidden(&url) {
                let why = format!("{pattern} forbids it");
                self.position.counts.errors += 1;
                self.miss(&Job::first(&url), &why);
                self.name_trouble(&Job::first(&url), why);
                continue;
            }
            if self.answered.iter().any(|known| known.url == url) {
                let fetched = self.ask_now(&url, Conditional::IfSurviving)?.await;
                self.count_answer(&fetched.job, &fetched.result);
                let visited = self.visitor.compute(fetched);
                self.take_in(visited).await?;
                continue;
            }
            let hash = self.recent.hash_of(&url);
            if self.recent.insert(hash) {
                url_log::taken(&url, &"asked for by name");
                found.push(Found {
                    url,
                    role: Role::Page,
                    lastmod: None,
                });
            }
        }
        self.progress.find(found.len() as u64);
        self.queue.push(None, found)
    }

    /// Reads the sitemaps once more that name others or were named by nobody: what was published while the crawl
    /// went on is asked for as well.
    pub async fn look_again(&mut self) -> Result<(), CrawlError> {
        let mut waiting = self.sitemaps.roots();
        let mut looked_at = BTreeSet::new();
        while let Some(url) = waiting.pop() {
            let host = url.authority();
            // Each sitemap of a host that is silent would cost a time-out.
            let is_lost = self.given_up.contains(host) || self.silent.contains(host);
            if is_lost || self.forbidden(&url).is_some() || !looked_at.insert(url.clone()) {
                continue;
            }
            if looked_at.len() > SECOND_LOOKS_MAX {
                break;
            }
            let mut job = Job::first(&url);
            job.is_sitemap = true;
            let conditional = self.look_up(&mut job)?;
            self.keep_pace(&url).await;
            self.outwait_quiet_hours().await;
            let visitor = Arc::clone(&self.visitor);
            let fetched = visitor.ask_patiently(job, conditional).await;
            // What the first look has found stands where this one finds nothing.
            match self.visitor.compute(fetched).result {
                Ok(Seen::Page(page)) => match page.sitemap {
                    Some((Sitemap::Index, _)) => waiting.extend(self.newer(page.links)),
                    _ => self.look_at_again(page.links)?,
                },
                // Nor is one asked again and again that wants to be left alone.
                Err(error) if error.is_connection() || error.retry_after().is_some() => {
                    self.silent.insert(host.to_owned());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Those of the sitemaps of an index that may name something new.
    fn newer(&self, links: Vec<Found>) -> impl Iterator<Item = PageUrl> {
        let begun = self.begun;
        let newer = links
            .into_iter()
            .filter(move |found| found.lastmod.is_none_or(|at| at >= begun));
        newer.map(|found| found.url)
    }

    /// What a sitemap names at the end: pages that are new, and those that were published again since the crawl began.
    fn look_at_again(&mut self, links: Vec<Found>) -> Result<(), CrawlError> {
        // What lies ahead is no time at which anything was published.
        let meanwhile = self.begun..=(self.order.clock)();
        let is_published = |found: &Found| found.lastmod.is_some_and(|at| meanwhile.contains(&at));
        let published = links.iter().filter(|found| is_published(found)).count();
        let is_told_by_a_clock = published >= CLOCK_MIN && 2 * published > links.len();
        let room = AGAIN_MAX.saturating_sub(self.again.len());
        let room = if is_told_by_a_clock { 0 } else { room };
        let (mut again, mut others) = (Vec::new(), Vec::new());
        for found in links {
            let is_again = again.len() < room
                && is_published(&found)
                && self.forbidden(&found.url).is_none()
                && self.was_met(&found.url)?
                && self.again.insert(found.url.clone());
            match is_again {
                true => again.push(found),
                false => others.push(found),
            }
        }
        self.progress.find(again.len() as u64);
        self.queue.push(None, again)?;
        self.enqueue(Source::Named(None), others)
    }

    /// Whether a URL had its turn in this crawl, when all have had it.
    fn was_met(&self, url: &PageUrl) -> Result<bool, CrawlError> {
        Ok(self.frontier.knows(url)? || self.manifest.entry(url)?.is_some())
    }

    async fn outwait_quiet_hours(&self) {
        outwait_quiet_hours(&self.order.courtesy.quiet, self.order.clock, self.progress).await;
    }

    /// Waits until a request out of turn may be sent to this host.
    async fn keep_pace(&mut self, url: &PageUrl) {
        let due = self.schedule.out_of_turn(url.authority(), Instant::now());
        tokio::time::sleep_until(due.into()).await;
    }

    /// Asks for a URL out of turn. No cursor will visit it again.
    fn ask_now(
        &mut self,
        url: &PageUrl,
        conditional: Conditional,
    ) -> Result<impl Future<Output = Fetched> + use<>, CrawlError> {
        self.progress.find(1);
        self.frontier.know(url)?;
        let hash = self.recent.hash_of(url);
        self.recent.insert(hash);
        let mut job = Job::first(url);
        job.is_sitemap = conditional == Conditional::IfSurviving && is_sitemap(url);
        let survives = self.look_up(&mut job)?;
        let visitor = Arc::clone(&self.visitor);
        let conditional = survives && conditional == Conditional::IfSurviving;
        // Who has just said nothing is not asked for long.
        let is_silent = self.silent.contains(url.authority());
        let answered = self.answered.iter().position(|known| known.url == *url);
        let answered = answered.map(|at| self.answered.swap_remove(at));
        let now = Instant::now();
        let due = match answered {
            Some(_) => now,
            None => self.schedule.out_of_turn(url.authority(), now),
        };
        Ok(async move {
            tokio::time::sleep_until(due.into()).await;
            match answered {
                Some(answered) => Visitor::take(job, answered),
                None if is_silent => visitor.ask(job, conditional).await,
                None => visitor.ask_patiently(job, conditional).await,
            }
        })
    }
}

/// Whether a request may be answered by "not modified".
#[derive(Clone, Copy, PartialEq, Eq)]
enum Conditional {
    Never,
    IfSurviving,
}

/// What an answer for a robots.txt, or for what it redirects to, says.
pub(super) enum Said {
    Text(bytes::Bytes),
    /// That there is none.
    Nothing,
    /// The same, if there never was one; else it may be a login's or a maintenance page's doing: a page, or a
    /// redirect that leads out of the site or nowhere.
    Perhaps,
    /// It could not be had.
    NotHad,
}

impl Said {
    /// What follows for a host whose last good text is this, and the text that is to be remembered from now on.
    pub(super) fn rules(
        self,
        last_good: Option<&str>,
        agent: &str,
    ) -> (Robots, Option<bytes::Bytes>) {
        let text = match (self, last_good) {
            (Said::Text(text), _) => text,
            (Said::Nothing, _) | (Said::Perhaps, None) => bytes::Bytes::new(),
            (Said::Perhaps | Said::NotHad, Some(text)) => {
                return (Robots::from_answer(200, text.as_bytes(), agent), None);
            }
            (Said::NotHad, None) => return (Robots::DenyAll, None),
        };
        (Robots::from_answer(200, &text, agent), Some(text))
    }

    pub(super) fn of(result: &Result<Answer, FetchError>) -> Result<Said, CrawlError> {
        let status = match result {
            Ok(Answer::Body(received)) => {
                let text = beginning(&received.body)?;
                return Ok(match robots::is_page(&text) {
                    true => Said::Perhaps,
                    false => Said::Text(text),
                });
            }
            Ok(Answer::Redirect { .. }) => return Ok(Said::Perhaps),
            Ok(Answer::Gone { .. }) => return Ok(Said::Nothing),
            Ok(Answer::NotModified) => None,
            Err(error) => error.status(),
        };
        Ok(match status {
            Some(300..=399) => Said::Perhaps,
            Some(status) if robots::is_absent(status) => Said::Nothing,
            _ => Said::NotHad,
        })
    }
}

/// Whether a seed is called as sitemaps are: it is wanted whole, and read as one.
fn is_sitemap(seed: &PageUrl) -> bool {
    let file = seed.path().rsplit('/').next().unwrap_or_default();
    [".xml", ".xml.gz", ".txt"]
        .iter()
        .any(|end| file.ends_with(end))
}

/// Where an answer leads on, if it does.
pub(super) fn redirected(url: &PageUrl, result: &Result<Answer, FetchError>) -> Option<PageUrl> {
    match result {
        Ok(Answer::Redirect { location, .. }) => url.join(location).ok(),
        _ => None,
    }
}

/// As much of a body as is read of a robots.txt, and a little more.
fn beginning(body: &Held) -> Result<bytes::Bytes, CrawlError> {
    let max = robots::TEXT_MAX + 1;
    let file = match body {
        Held::Memory(bytes, _) => return Ok(bytes.slice(..bytes.len().min(max))),
        Held::File(file) => file.path(),
    };
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(max as u64).read_to_end(&mut text));
    let said = |source| {
        CrawlError::Disk(FetchError::Io {
            path: file.into(),
            source,
        })
    };
    read.map(|_| text.into()).map_err(said)
}
