//! After a loss: manifest, store or tier from what survives, and the store without what nobody needs.
//!
//! [`manifest`] makes the manifest again from the newest checkpoint that can be believed and a tier's listing for
//! what came after it, or from the objects' metadata alone. [`fill_store`] fetches bodies that the store lacks,
//! [`tier`] takes an emptied tier anew, and [`sweep_store`] drops bodies that no page has any more. Nothing here
//! believes bytes because of their name, overwrites what opens well, or removes what it has not replaced.

mod acquaint;
mod gc;
mod listing;
mod manifest;
mod objects;
mod source;
mod store;
mod tier;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::audit::AuditError;
use crate::config::TierName;
use crate::db::{Blown, DbError, way_out};
use crate::manifest::ManifestError;
use crate::store::StoreError;
use crate::sync::{SyncError, off_thread};
use crate::tier::{Tier, TierError};

pub use gc::{Effect, GcReport, Needed, sweep_store};
pub use listing::Reconciled;
pub use manifest::{Existing, ManifestOrder, ManifestReport, TierStanding, Wanted, manifest};
pub use objects::Estimate;
pub use store::{StoreReport, fill_store, reindex};
pub use tier::{TierOrder, tier};

/// A tier that can be asked.
#[derive(Clone)]
pub struct Client {
    pub name: TierName,
    pub tier: Arc<dyn Tier>,
    /// Requests at once.
    pub concurrency: usize,
}

/// What makes a rebuild impossible.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Nothing that it could be made from, or not without a word of the operator.
    #[error("{0}")]
    Refused(String),
    /// What survives was made by another layout than the configured one. There is no manifest that could be moved.
    #[error(
        "what the manifest is to be made from has {made}, the configuration says {configured}: set `site.layout` and `site.asset_hosts` as they were, say `standin rebuild manifest`, then change them again and let `standin run --migrate-layout` move the tiers"
    )]
    Layout { made: String, configured: String },
    #[error("{}: {source}{}", path.display(), way_out(source))]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tier(#[from] TierError),
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

impl From<Blown> for RebuildError {
    fn from(blown: Blown) -> RebuildError {
        RebuildError::Manifest(blown.into())
    }
}

impl From<DbError> for RebuildError {
    fn from(error: DbError) -> RebuildError {
        RebuildError::Manifest(error.into())
    }
}

fn io_error(path: &std::path::Path) -> impl Fn(io::Error) -> RebuildError + '_ {
    |source| RebuildError::Io {
        path: path.into(),
        source,
    }
}
