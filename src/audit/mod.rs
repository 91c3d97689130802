//! What is really in a tier, against the manifest.
//!
//! [`prove`] takes the writes that a tier acknowledged and no listing has shown yet, and looks each up
//! in an ordinary listing: 1,000 objects a request, jumping over stretches that nothing was written
//! to. What the listing contradicts becomes a debt, and with it the next plan's business. [`glance`]
//! lists a rolling share of the tier, so that an emptied or tampered bucket cannot look fresh for long.
//! [`compare`] holds a tier that somebody else has filled against the manifest, whole, so that it can be
//! adopted; [`reheader`] gives what was adopted our headers.
//! A listing says what the service stored; what its disks hold today only reading the bytes can say.

mod adopt;
mod glance;
mod judge;
mod prove;
mod reheader;

use serde::Serialize;

use crate::manifest::ManifestError;
use crate::tier::TierError;

pub use adopt::{Amount, Comparison, Means, Mode, Proofs, compare};
pub use glance::glance;
pub use prove::prove;
pub use reheader::{Reheadered, reheader};

/// What a look into one tier found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Objects compared with the manifest.
    pub checked: u64,
    /// Keys that should be there and are not.
    pub missing: Vec<String>,
    /// Keys whose size or ETag is not what was recorded.
    pub corrupt: Vec<String>,
    /// Keys that no page of the site has.
    pub foreign: Vec<String>,
    /// Keys that should have been deleted.
    pub stale: Vec<String>,
}

impl Findings {
    /// Lists are cut at this length in memory and in reports; debts are recorded for all.
    const NAMED_MAX: usize = 100;

    fn note(list: &mut Vec<String>, key: &crate::site::ObjectKey) {
        if list.len() < Self::NAMED_MAX {
            list.push(key.to_string());
        }
    }

    /// True when something is not as the manifest says. Foreign objects harm nobody.
    pub fn differ(&self) -> bool {
        !(self.missing.is_empty() && self.corrupt.is_empty() && self.stale.is_empty())
    }

    /// Adds what another look found.
    pub fn add(&mut self, other: Findings) {
        self.checked += other.checked;
        self.missing.extend(other.missing);
        self.corrupt.extend(other.corrupt);
        self.foreign.extend(other.foreign);
        self.stale.extend(other.stale);
    }
}

/// Why a look could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Tier(#[from] TierError),
}

impl From<crate::db::Blown> for AuditError {
    fn from(blown: crate::db::Blown) -> AuditError {
        AuditError::Manifest(blown.into())
    }
}
