//! Takes a site in: URLs from seeds, robots.txt, sitemaps, links and every entry of the manifest;
//! politely asked for; each body through one pass on its way to the store; outcomes staged.
//!
//! One task drives it ([`engine`]): it hands jobs out as hosts have room ([`schedule`]), keeps them in flight
//! together, and takes each result in alone, so that nothing of it needs a lock. Parsing runs on rayon ([`visit`]),
//! the disk belongs to one writer thread ([`writer`]). What a result means is a pure decision ([`decide`]). What
//! waits lies in the frontier, a database of its own that a finished run throws away; a killed run finds in it where
//! it was. Nothing in here touches an entry: commits are the manifest's business, after the guards. `publish`
//! takes a folder in instead ([`folder`]), by the same staging.

mod body;
mod calls;
mod closing;
mod courtesy;
mod cursor;
mod decide;
mod decode;
mod engine;
mod fault;
mod fetch;
mod folder;
mod forms;
mod frontier;
mod job;
mod links;
mod opening;
mod outcome;
mod queue;
mod recent;
mod robots;
mod robots_memory;
mod schedule;
mod sightings;
#[cfg(test)]
mod simulation;
mod sitemaps;
mod sorted_runs;
mod strategy;
mod survival;
mod tally;
mod traps;
mod url_log;
mod visit;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use regex::RegexSet;
use serde::{Deserialize, Serialize};

use crate::config::TierName;
use crate::content::CanonicalRules;
use crate::db::DbError;
use crate::manifest::{Entry, ManifestError};
use crate::site::{PageUrl, Scope};
use crate::store::StoreError;

pub use body::{Budget, Held};
pub use calls::Caller;
pub use courtesy::{Courtesy, QuietHours};
pub use engine::{Crawled, Means, crawl};
pub use fetch::{Answer, Ask, Class, FetchError, FetchLimits, Fetcher, Received};
pub use folder::{FolderOrder, publish};
pub use frontier::{Frontier, Position};
pub use links::Resolver;
pub use opening::outwait_quiet_hours;
pub use robots::Robots;
pub use robots_memory::RobotsMemory;
pub use sightings::Sightings;
pub use strategy::{LastmodRules, Strategy};
pub use tally::{FormTally, HostTally, SitemapLine, Skipped, Tally, TrapLine};
pub use traps::TrapLimits;
pub use url_log::URL_LOG;
pub use visit::Answered;

/// What a crawl is to do.
pub struct CrawlOrder {
    pub seeds: Vec<PageUrl>,
    /// These pages alone, with what they are made of; everything where absent.
    pub only: Option<Vec<PageUrl>>,
    /// One URL per host whose robots.txt applies; empty when robots are ignored.
    pub robots: Vec<PageUrl>,
    pub user_agent: String,
    pub scope: Scope,
    /// Canonical forms by version.
    pub rules: Vec<CanonicalRules>,
    /// Which of them is today's.
    pub rules_today: usize,
    /// How hosts are treated.
    pub courtesy: Courtesy,
    pub strategy: Strategy,
    /// Days after which a page is withdrawn that nothing links to; never where absent.
    pub retire_after_days: Option<u64>,
    pub traps: TrapLimits,
    pub forms: FormOrder,
    /// The share of its URLs that a sitemap may lose before that is worth a word.
    pub sitemap_loss_max: f64,
    /// Consecutive crawls that must see a 404 before the page counts as gone.
    pub missing_runs: u32,
    /// Who may have the bytes of a page that the store has dropped.
    pub tiers: Vec<TierName>,
    /// The scope has changed since pages were last parsed: parse all of them again.
    pub reparse: bool,
    /// What the mirror says in `Cache-Control`, in the place of what the origin sends.
    pub cache_control: Option<String>,
    /// The state directory, where small notes for the next crawl are kept.
    pub state: PathBuf,
    /// Seconds since 1970.
    pub clock: fn() -> i64,
}

impl CrawlOrder {
    fn sitemap_notes(&self) -> PathBuf {
        self.state.join("sitemaps.json")
    }

    /// Today's canonical form.
    fn rules_today(&self) -> &CanonicalRules {
        &self.rules[self.rules_today]
    }

    /// The canonical form by which the recorded page is compared; today's where there is none.
    fn rules_of(&self, recorded: Option<&Entry>) -> &CanonicalRules {
        let page = recorded.and_then(|entry| entry.outcome.page());
        let version = page.and_then(|page| usize::try_from(page.rules).ok());
        let then = version.and_then(|version| self.rules.get(version));
        then.unwrap_or(self.rules_today())
    }

    /// Whether anything asks when pages were last seen.
    fn watches(&self) -> bool {
        self.retire_after_days.is_some() || self.strategy != Strategy::Full
    }
}

/// The last good robots.txt files of a state directory.
pub fn robots_memory(state: &Path) -> RobotsMemory {
    RobotsMemory::open(&state.join("robots.json"))
}

/// When the pages of a state directory were seen.
pub fn sightings(state: &Path) -> Sightings {
    Sightings::open(&state.join("sightings"))
}

/// Whose forms are filled in, and how often.
pub struct FormOrder {
    /// Pages whose forms are: those whose URL one of these matches.
    pub pages: RegexSet,
    /// Requests for one form.
    pub max: usize,
}

/// What a crawl did: a part of the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrawlCounts {
    /// Bodies received.
    pub fetched: u64,
    /// Answers that the stored body is still right.
    pub not_modified: u64,
    /// Bodies received that were the stored page again, nonces aside.
    pub unchanged: u64,
    pub changed: u64,
    pub new: u64,
    /// Stored pages that are withdrawn now.
    pub gone: u64,
    /// Redirects answered.
    pub redirects: u64,
    /// 404 or 410 for URLs that were never stored.
    pub broken_links: u64,
    /// Pages that could not be had.
    pub errors: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
    /// Requests sent, repeated ones included.
    pub requests: u64,
    /// Stored pages that answered 404, not yet often enough to be withdrawn.
    pub missing: u64,
    /// URLs that robots.txt forbids.
    pub forbidden: u64,
    /// Stored pages that were asked for again.
    pub known: u64,
    /// Those of them that answered with a page or a redirect.
    pub kept: u64,
    /// What lies in a published folder and can be no page: a link out of it, a pipe, a name that is no text.
    pub refused: u64,
}

impl CrawlCounts {
    /// Answers of every kind.
    pub fn answers(&self) -> u64 {
        self.usable() + self.gone + self.missing + self.broken_links + self.errors
    }

    /// Answers that were a page or a redirect.
    pub fn usable(&self) -> u64 {
        self.fetched + self.not_modified + self.redirects
    }
}

/// A URL that could not be had, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    pub url: PageUrl,
    pub why: String,
    /// The page that links to it, where one does. (Never skipped: postcard, in which the frontier keeps
    /// troubles, cannot read a record with a field left out.)
    pub from: Option<PageUrl>,
}

/// Counters of a crawl under way, for whoever shows progress.
#[derive(Debug, Default)]
pub struct CrawlProgress {
    pub found: AtomicU64,
    pub done: AtomicU64,
    pub bytes: AtomicU64,
    pub errors: AtomicU64,
    /// URLs of the site that this run leaves out: neither found nor done.
    pub skipped: AtomicU64,
    waits: Mutex<Option<String>>,
}

impl CrawlProgress {
    /// What all requests wait for, such as `quiet until 06:00 UTC`; `None` while some are on their way.
    pub fn waits(&self) -> Option<String> {
        self.waits
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// Sets what [`CrawlProgress::waits`] says.
    pub fn wait_for(&self, what: Option<String>) {
        *self.waits.lock().expect("no holder of this lock panics") = what;
    }

    fn find(&self, urls: u64) {
        self.found.fetch_add(urls, Ordering::Relaxed);
    }

    fn fail(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    fn skip(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    fn finish(&self, bytes: u64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// As both, for all that was counted between two moments.
    fn finish_many(&self, before: CrawlCounts, now: CrawlCounts) {
        let done = now.answers() - before.answers();
        self.find(done);
        self.done.fetch_add(done, Ordering::Relaxed);
        self.errors
            .fetch_add(now.errors - before.errors, Ordering::Relaxed);
        self.bytes
            .fetch_add(now.bytes - before.bytes, Ordering::Relaxed);
    }
}

/// What stops a crawl. Its frontier stays, and so does everything committed before.
#[derive(Debug, thiserror::Error)]
pub enum CrawlError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Frontier(#[from] DbError),
    /// A body could not be put on the disk.
    #[error(transparent)]
    Disk(FetchError),
    /// No seed could be used: nothing is known about the site today.
    #[error("no usable seed: {why}")]
    NoSeed { why: String },
    /// Of the pages that a crawl was about, not one.
    #[error("nothing is replaced, since no page could be had: {why}")]
    NonePages { why: String },
    /// The origin went away in the middle.
    #[error("the origin stopped answering after {done} pages: {why}")]
    OriginLost { done: u64, why: String },
    /// The folder to be published says nothing about the site: it is empty, or not there.
    #[error("{}: {why}; nothing is published and nothing withdrawn", dir.display())]
    Folder { dir: PathBuf, why: String },
    /// A seed leads out of the site.
    #[error(
        "{seed} redirects to {target}, which is no page of this site; mirror that one, or add its host to `hosts`"
    )]
    SeedLeaves { seed: PageUrl, target: String },
}
