//! Plans carried out on tiers.
//!
//! [`claim::open`] looks at a tier's head and says whether this manifest may write there. [`Sync`]
//! then brings one tier from its watermark to the current generation: the intent becomes durable, the
//! epoch is taken, operations flow phase by phase with bounded concurrency, acknowledged writes are
//! recorded in groups after the tier has settled, and last the watermark moves and the intent closes.
//! A URL that keeps failing becomes a debt; a tier that fails altogether keeps its intent open and is
//! caught up by a later run. Every tier has its own pace: they share only the reading of bodies.

mod bodies;
mod claim;
mod execute;
mod head;
mod migrate;
mod moves;
mod parts;
mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::config::TierName;
use crate::db::Blown;
use crate::manifest::{Generation, Manifest, ManifestError};
use crate::store::StoreError;
use crate::tier::{Class, Tier, TierError, Traffic};

pub use bodies::{Bodies, Lent, Sought, why_away};
pub use claim::{Candidate, OpenTier, open, open_to_adopt, open_to_look, open_to_rebuild};
pub use execute::{Across, FAILURES_IN_A_ROW_MAX, Outcome, Sync};
pub use head::{FORMAT as HEAD_FORMAT, HEAD, Head, PARTS, publish};
pub use moves::{Collisions, Cost, Moves};
pub use parts::{BrokenPart, PartLook, broken_part, broken_parts};
pub use plan::{Planned, Step, plan_of};

/// What stops a sync as a whole. What goes wrong with a tier is in its [`Outcome`].
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blown(#[from] Blown),
}

/// Operations done on one tier, and how it stands: a row of the report.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TierReport {
    pub name: String,
    /// Objects of the site whose body was sent, redirect pages included.
    pub put: u64,
    /// Objects made from another key inside the tier.
    pub copied: u64,
    /// Objects whose metadata alone was replaced.
    pub reheadered: u64,
    pub deleted: u64,
    /// Operations that failed after every attempt.
    pub failed: u64,
    /// URLs the tier owes now.
    pub debts: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
    /// Requests (or file operations) of every kind, and by kind.
    pub requests: u64,
    pub traffic: Traffic,
    /// How long the tier was worked on.
    pub seconds: f64,
    pub watermark: Generation,
    /// Generation of the last complete proof.
    pub verified: Option<Generation>,
    /// What was read back by the rolling scrub, which `requests` and `traffic` leave out; absent where none is
    /// configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scrub: Option<Scrubbed>,
    /// Why the tier was refused or is lagging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// What a rolling scrub has read back in one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Scrubbed {
    pub objects: u64,
    pub bytes: u64,
    /// Those that are not what was written.
    pub bad: u64,
    /// Those that could not be read.
    pub unseen: u64,
    pub requests: u64,
    /// Every part of the tier was read back then or later (seconds since 1970); null while some never was, and where
    /// something could not be read.
    pub oldest: Option<i64>,
}

impl TierReport {
    /// Adds what was sent to the tier.
    pub fn count(&mut self, tier: &dyn Tier) {
        self.count_without(tier, Traffic::default());
    }

    /// As [`TierReport::count`], without what is counted apart.
    pub fn count_without(&mut self, tier: &dyn Tier, apart: Traffic) {
        self.traffic = tier.traffic().without(apart);
        self.requests = self.traffic.requests();
    }
}

/// Counters of a sync under way, for whoever shows progress.
#[derive(Debug, Default)]
pub struct TierProgress {
    pub planned: AtomicU64,
    pub done: AtomicU64,
}

impl TierProgress {
    /// So many operations, or objects, are to be done.
    pub fn plan(&self, operations: u64) {
        self.planned.store(operations, Ordering::Relaxed);
    }

    /// So many more of them are done.
    pub fn step(&self, operations: u64) {
        self.done.fetch_add(operations, Ordering::Relaxed);
    }
}

/// Why a tier is not served now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// One line with the way out.
    pub why: String,
    /// True when it will not pass by itself: access denied, another mirror's tier, a full disk. A
    /// tier that merely cannot be reached lags, and is caught up by a later run.
    pub refused: bool,
}

impl Trouble {
    fn refusal(why: String) -> Trouble {
        Trouble { why, refused: true }
    }
}

impl From<TierError> for Trouble {
    fn from(error: TierError) -> Trouble {
        Trouble {
            why: error.to_string(),
            refused: error.class() == Class::Stop,
        }
    }
}

/// Runs a blocking piece of manifest work (a flush takes up to seconds) beside the tiers' traffic.
pub async fn off_thread<T: Send + 'static>(
    manifest: &Arc<Manifest>,
    work: impl FnOnce(&Manifest) -> Result<T, ManifestError> + Send + 'static,
) -> Result<T, ManifestError> {
    let manifest = Arc::clone(manifest);
    tokio::task::spawn_blocking(move || work(&manifest))
        .await
        .expect("manifest work does not panic and is never aborted")
}

/// The report of a tier that could not be opened.
pub fn refused(
    name: &TierName,
    why: String,
    manifest: &Manifest,
) -> Result<TierReport, ManifestError> {
    let state = manifest.tier(name)?;
    Ok(TierReport {
        name: name.to_string(),
        debts: manifest.debts(name).count() as u64,
        watermark: state.watermark,
        verified: state.verified.map(|verified| verified.generation),
        trouble: Some(why),
        ..TierReport::default()
    })
}
