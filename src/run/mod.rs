//! One run, from lock to verdict: which stages, in which order, and what the outcome is called.
//!
//! [`run`] takes the lock, opens the house ([`House`]: manifest, store, tiers), takes back a commit
//! that a kill left half done, and then does its stages: crawl, guards, commit; every tier side by
//! side, each synced, proven, glanced at and given its head; at last the report. What a stage finds
//! wrong lands in the report and the verdict; an error is only what makes going on impossible.

mod adopt;
mod audit;
mod closure;
mod common;
mod guards;
mod house;
mod lock;
mod rebuild;
mod remembered;
mod repair;
mod report;
mod stages;
mod status;
mod suggest;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::audit::AuditError;
use crate::config::Config;
use crate::crawl::{CrawlError, CrawlProgress, Frontier};
use crate::db::{Blown, DbError, Fuse, way_out};
use crate::manifest::kept::Look;
use crate::manifest::{Evidence, Manifest, ManifestError, RunId};
use crate::rebuild::RebuildError;
use crate::site::{PageUrl, Scope, ScopeError};
use crate::store::StoreError;
use crate::sync::{SyncError, TierProgress};

pub use adopt::{AdoptOrder, AdoptReport, Effect, Headers, TierAdoption, adopt};
pub use audit::{AuditOrder, AuditReport, ForeignObjects, Mending, Sampled, TierAudit, audit};
pub use closure::{LinksReport, links};
pub use common::CommonChange;
pub use guards::{Judgement, judge};
pub use house::{
    House, layout_of, leave, manifest_as_recorded, manifest_of, migrate_layout, scope_of, tier_of,
    traps_of,
};
pub use lock::{Holder, Lock};
pub use rebuild::{
    BodiesFrom, ManifestAsked, Rebuilt, gc, rebuild_manifest, rebuild_store, rebuild_tier,
};
pub use repair::{Sent, Unrepaired};
pub use report::{ChangeLine, HeldBack, RunReport, Verdict, rfc3339};
pub use status::{Status, held_back, read_status};
pub use suggest::{
    PAGES_MAX, SuggestOrder, SuggestPage, SuggestReport, SuggestRule, TIMES_MAX, suggest,
};

/// Which stages a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stages {
    /// Crawl, commit, sync, verify, checkpoint.
    All,
    /// Up to the commit.
    Crawl,
    /// From the plan to the head.
    Sync,
    /// The proof of what the last run wrote.
    Verify,
}

impl Stages {
    fn crawls(self) -> bool {
        matches!(self, Stages::All | Stages::Crawl)
    }

    fn syncs(self) -> bool {
        matches!(self, Stages::All | Stages::Sync)
    }

    fn visits_tiers(self) -> bool {
        self != Stages::Crawl
    }
}

/// Where a run takes the site's pages from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The site itself, crawled.
    Site,
    /// These pages of the site alone, in whatever spelling.
    Only(&'a [PageUrl]),
    /// These pages of the site alone, whose recorded bytes are nowhere to be had any more.
    Lost(&'a [PageUrl]),
    /// A folder that holds them as files.
    Folder(&'a Path),
}

impl Source<'_> {
    /// Whether what such a run does not see says anything.
    fn evidence(self) -> Evidence {
        match self {
            Source::Site | Source::Folder(_) => Evidence::Whole,
            Source::Only(_) | Source::Lost(_) => Evidence::Part,
        }
    }

    /// Where what it finds out waits to be committed. A run of some pages leaves alone what a run of all has left.
    fn frontier(self, state: &Path) -> PathBuf {
        match self {
            Source::Site | Source::Folder(_) => Frontier::place(state),
            Source::Only(_) | Source::Lost(_) => state.join("frontier-only"),
        }
    }
}

/// What makes a run impossible.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process is at work on this state directory.
    #[error("{0}")]
    Locked(Holder),
    /// The configuration asks for what cannot be done.
    #[error("{0}")]
    Config(String),
    /// A file of the state directory.
    #[error("{}: {source}{}", path.display(), way_out(source))]
    Io {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Crawl(#[from] CrawlError),
    #[error(transparent)]
    Frontier(#[from] DbError),
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error(transparent)]
    Audit(AuditError),
    #[error(transparent)]
    Rebuild(#[from] RebuildError),
    #[error("the HTTP client: {0}")]
    Http(#[from] crate::http::HttpError),
}

impl From<AuditError> for RunError {
    fn from(error: AuditError) -> RunError {
        match error {
            AuditError::Manifest(error) => RunError::Manifest(error),
            error => RunError::Audit(error),
        }
    }
}

impl From<Blown> for RunError {
    fn from(blown: Blown) -> RunError {
        RunError::Frontier(blown.into())
    }
}

impl From<ScopeError> for RunError {
    fn from(error: ScopeError) -> RunError {
        RunError::Config(error.to_string())
    }
}

/// What a run shows while it is going: read by whoever draws progress.
#[derive(Default)]
pub struct Live {
    stage: Mutex<&'static str>,
    pub crawl: CrawlProgress,
    tiers: Mutex<Vec<(String, Arc<TierProgress>)>>,
}

impl Live {
    /// The stage under way; empty before the first.
    pub fn stage(&self) -> &'static str {
        *self.stage.lock().expect("no holder of this lock panics")
    }

    /// Progress of each tier, once a sync has begun.
    pub fn tiers(&self) -> Vec<(String, Arc<TierProgress>)> {
        self.tiers
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }

    fn enter(&self, stage: &'static str) {
        *self.stage.lock().expect("no holder of this lock panics") = stage;
    }

    fn tier(&self, name: &str) -> Arc<TierProgress> {
        let progress = Arc::new(TierProgress::default());
        let mut tiers = self.tiers.lock().expect("no holder of this lock panics");
        tiers.push((name.to_owned(), Arc::clone(&progress)));
        progress
    }
}

/// What a run needs from outside.
pub struct Surroundings<'a> {
    pub live: &'a Live,
    pub fuse: Fuse,
    /// Seconds since 1970; [`now`] but in tests.
    pub clock: fn() -> i64,
    /// The verb, for the lock and `status`.
    pub verb: &'static str,
}

/// Does the stages of one run.
///
/// # Errors
/// [`RunError::Locked`] while another run is going, [`RunError::Config`] for what cannot be done, and
/// whatever makes going on impossible. What merely went wrong is in the report.
pub async fn run(
    config: &Config,
    stages: Stages,
    around: Surroundings<'_>,
) -> Result<RunReport, RunError> {
    run_from(Source::Site, config, stages, around).await
}

/// A whole run for these pages alone.
///
/// # Errors
/// As [`run`]; [`RunError::Config`] for a URL that is no page of the site, before anything is begun.
pub async fn run_only(
    urls: &[PageUrl],
    config: &Config,
    around: Surroundings<'_>,
) -> Result<RunReport, RunError> {
    house::pages_of(urls, &Scope::new(config.site.scope_rules())?)?;
    run_from(Source::Only(urls), config, Stages::All, around).await
}

/// A whole run with a folder in the place of the site.
///
/// # Errors
/// As [`run`].
pub async fn publish(
    folder: &Path,
    config: &Config,
    around: Surroundings<'_>,
) -> Result<RunReport, RunError> {
    house::check_folder(folder, config)?;
    run_from(Source::Folder(folder), config, Stages::All, around).await
}

async fn run_from(
    source: Source<'_>,
    config: &Config,
    stages: Stages,
    around: Surroundings<'_>,
) -> Result<RunReport, RunError> {
    if let Some(problem) = config.problems().into_iter().next() {
        return Err(RunError::Config(problem));
    }
    let begun = Instant::now();
    let run_id = new_run_id();
    let lock = Lock::acquire(&config.state.dir, around.verb, &run_id)?;
    let mut report = RunReport::begin(run_id.clone(), around.verb);
    let worked = work(source, config, stages, &around, &mut report).await;
    report.seconds = begun.elapsed().as_secs_f64();
    if let Err(error) = &worked {
        // A run that could not go on is told by `status`, too, as far as the disk still takes it.
        report.note(Verdict::Failed, error.to_string());
    }
    around.live.enter("done");
    let kept = status::publish(&config.state.dir, &report, "done")
        .and_then(|()| status::keep_report(&config.state.dir, &report));
    worked?;
    kept?;
    drop(lock);
    Ok(report)
}

async fn work(
    source: Source<'_>,
    config: &Config,
    stages: Stages,
    around: &Surroundings<'_>,
    report: &mut RunReport,
) -> Result<(), RunError> {
    let state = &config.state.dir;
    let run_id = &report.run_id.clone();
    status::publish(state, report, "starting")?;
    let mut house = House::open(config, around.fuse.clone())?;
    report.generation_before = house.manifest.generation();
    if stages.crawls() {
        around.live.enter("crawl");
        status::publish(state, report, "crawl")?;
        house = stages::take_in(source, house, config, around, report).await?;
    }
    if stages.visits_tiers() {
        around
            .live
            .enter(if stages.syncs() { "sync" } else { "verify" });
        status::publish(state, report, around.live.stage())?;
        house = stages::tiers(house, config, stages, run_id, around, report).await?;
    }
    report.finish(&house.manifest)?;
    keep_checkpoint(&house.manifest, config, Look::Lengths)?;
    house.close(config)
}

/// The checkpoint in the state directory, as of now.
fn keep_checkpoint(manifest: &Manifest, config: &Config, look: Look) -> Result<(), ManifestError> {
    let tiers: Vec<_> = config.tiers.iter().map(|tier| tier.name.clone()).collect();
    manifest.keep_checkpoint(&tiers, config.state.checkpoints, look)
}

/// Seconds since 1970 in UTC.
pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// The time as people and sorting want it, such as `20261121T104500Z`.
const STAMP: &[time::format_description::BorrowedFormatItem<'_>] =
    time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");

fn new_run_id() -> RunId {
    let stamp = time::OffsetDateTime::now_utc()
        .format(STAMP)
        .expect("the format fits any time");
    let mut random = [0; 4];
    getrandom::fill(&mut random).expect("the operating system has randomness");
    RunId(format!("{stamp}-{:08x}", u32::from_le_bytes(random)))
}

/// When a run began, as its name says; in seconds since 1970.
fn begun(run: &RunId) -> Option<i64> {
    let (stamp, _) = run.0.split_once('-')?;
    let begun = time::PrimitiveDateTime::parse(stamp, STAMP).ok()?;
    Some(begun.assume_utc().unix_timestamp())
}
