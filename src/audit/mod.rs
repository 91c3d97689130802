//! What is really in a tier, against the manifest.
//!
//! [`prove`] takes the writes that a tier acknowledged and no listing has shown yet, and looks each up
//! in an ordinary listing: 1,000 objects a request, jumping over stretches that nothing was written
//! to. What the listing contradicts becomes a debt, and with it the next plan's business. [`glance`]
//! lists a rolling share of the tier, so that an emptied or tampered bucket cannot look fresh for long.
//! [`Audit`] holds everything that should be in a tier against its complete listing, and looks closer where it is
//! asked to: at headers, at bytes.
//! [`scrub`] reads a share of a tier back on every run, where that is configured.
//! [`close`] searches the stored pages for links that lead to nothing.
//! [`compare`] holds a tier that somebody else has filled against the manifest, whole, so that it can be
//! adopted; [`reheader`] gives what was adopted our headers.
//! A listing says what the service stored; what its disks hold today only reading the bytes can say.

mod adopt;
mod closure;
mod complete;
mod expected;
mod finding;
mod glance;
mod judge;
mod ledger;
mod look;
mod merge;
mod picked;
mod prove;
mod reheader;
mod scrub;
mod spill;
mod spool;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::TierName;
use crate::db::way_out;
use crate::manifest::ManifestError;
use crate::store::StoreError;
use crate::tier::TierError;

pub use adopt::{Amount, Comparison, Means, Mode, Proofs, compare};
pub use closure::{BrokenLink, Closing, Closure, LINK_COLUMNS, close};
pub use complete::{Audit, Closely, Depth, NAMED_MAX, Order, Place};
pub use finding::{Bytes, COLUMNS, Class, Finding, SeenBy};
pub use glance::{glance, scheme_of};
pub use ledger::{Ledger, Part};
pub use merge::Counts;
pub use picked::{Share, bad_at_most};
pub use prove::prove;
pub use reheader::{Reheadered, reheader};
pub use scrub::{Scrub, scrub};

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
    /// A file of the state directory, or of a report.
    #[error("{}: {source}{}", path.display(), way_out(source))]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A listing that cannot be compared with anything.
    #[error(
        "tier {tier}: its listing is not in the order of keys ({why}): it cannot be audited; does something stand between it and us, or is it a directory bucket?"
    )]
    Listing { tier: TierName, why: String },
}

impl AuditError {
    fn io(path: &Path) -> impl Fn(std::io::Error) -> AuditError + use<> {
        let path = path.to_owned();
        move |source| AuditError::Io {
            path: path.clone(),
            source,
        }
    }
}

impl From<crate::db::Blown> for AuditError {
    fn from(blown: crate::db::Blown) -> AuditError {
        AuditError::Manifest(blown.into())
    }
}
