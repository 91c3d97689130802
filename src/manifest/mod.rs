//! The manifest: URL to entry, the change log, what each tier holds, and the history of runs.
//!
//! Entries change only through [`Manifest::commit`], which folds staged outcomes in under the next
//! generation: every entry together with its change record (before and after), the generation's
//! marker last. A commit that was cut short is taken back by [`Manifest::roll_back`], which must come
//! before everything else; its staging waits in the frontier. Per tier the manifest keeps a watermark, debts, an open intent and
//! the marks of writes that no listing has proven yet. What changes on every run (who was seen) is
//! not kept here.

mod adopted;
mod aliases;
mod changes;
pub mod checkpoint;
mod codec;
mod commit;
mod holders;
pub mod kept;
mod keys;
mod marker;
mod perhaps_gone;
mod record;
mod relayout;
pub mod restore;
#[cfg(test)]
mod sample;
mod standing;
mod tiers;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};

use standin_migrations::FormatError;

use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::{Batch, Blown, Db, DbError, Fuse, way_out};
use crate::site::{Layout, PageUrl};
use crate::store::{self, Located};

pub use aliases::{Clash, Sharers, Sharing, is_served_by};
pub use changes::UrlChange;
/// Records to bytes and back, as the database holds them: for whoever holds them to golden files.
pub use codec::{decode as decode_record, encode as encode_record};
pub use commit::{Committed, Evidence, Staged};
pub use holders::{Copyable, Held, HeldTwice};
pub use perhaps_gone::PERHAPS_GONE;
pub use record::{
    Change, Counts, Debt, Entry, EtagKind, Filled, Generation, GenerationRecord, Gone, Intent,
    Lineage, Mark, Meta, Missing, Outcome, Page, Pending, Record, Redirect, RunId, Shared,
    TierState, Verified,
};
pub use standing::{Left, Standing, TierStanding};
pub use tiers::{Confirmation, Doubt, TierDelta};

use marker::Marker;

/// Memory for clean pages of the database. Entries are read mostly in URL order, so that a small
/// cache serves as well as a large one.
const CACHE_BYTES: usize = 32 << 20;

/// Batches of a commit hold this many URLs: atomic, and small enough to be built in memory.
const FOLD_BATCH: usize = 1000;

/// Dirty records are flushed at this number, which bounds the memory of a large commit (about 1 kB
/// a record while dirty).
const UNFLUSHED_MAX: usize = 40_000;

/// What can go wrong with the manifest. All of it stops the run.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    #[error(transparent)]
    Db(#[from] DbError),
    /// The small file beside the database.
    #[error("{}: {source}{}", path.display(), way_out(source))]
    Io {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Written by a newer version.
    #[error("{} was written by a newer version of standin (format {found}, this one reads up to {known}); upgrade standin", dir.display())]
    Newer {
        dir: PathBuf,
        found: u32,
        known: u32,
    },
    /// A record that cannot be read although its checksum is right.
    #[error("manifest record {key}: {source}{}", way_out_of(source))]
    Record {
        key: String,
        #[source]
        source: FormatError,
    },
    /// The database opened, but holds less than was committed.
    #[error("the manifest in {} holds generation {found} but {expected} was committed: it is damaged or not whole yet; `standin rebuild manifest` makes it again from a tier", dir.display())]
    Lost {
        dir: PathBuf,
        found: Generation,
        expected: Generation,
    },
    /// The configured layout is not the one the tiers were filled with.
    #[error(
        "this mirror was made with {made}, the configuration says {configured}: every key would change; set it back, or see with `standin plan` what that costs and let `standin run --migrate-layout` do it"
    )]
    Layout { made: String, configured: String },
    /// A tier that has objects of two layouts, and now a third is wanted.
    #[error(
        "tier {tier} is being moved from {from} to {to}: set `site.layout` and `site.asset_hosts` to that and run again until it is done, then change them; if the tier is lost, take it out of the configuration"
    )]
    Moving {
        tier: String,
        from: String,
        to: String,
    },
    /// Bytes that were to be a checkpoint.
    #[error("checkpoint object {name}: {why}")]
    Checkpoint { name: String, why: String },
}

/// A newer record names its way out itself; begins with a semicolon, or is empty.
fn way_out_of(source: &FormatError) -> &'static str {
    match source {
        FormatError::Newer { .. } => "",
        FormatError::Empty | FormatError::Content(_) => {
            "; `standin rebuild manifest` makes it again from a tier"
        }
    }
}

impl From<Blown> for ManifestError {
    fn from(blown: Blown) -> ManifestError {
        ManifestError::Db(DbError::Blown(blown))
    }
}

/// Where the database of a state directory lies.
fn database(state: &Path) -> PathBuf {
    state.join("manifest")
}

/// The open manifest of one state directory.
pub struct Manifest {
    db: Db,
    dir: PathBuf,
    layout: Layout,
    meta: Mutex<Meta>,
    /// The change log is whole after this generation.
    log_begins: AtomicU64,
    fuse: Fuse,
}

impl Manifest {
    /// Opens or creates the manifest in `state/manifest` for a site of that layout. A state directory
    /// of an earlier format counts as one of today's from here on: its records are read as they are,
    /// and written in today's format when they change.
    ///
    /// # Errors
    /// [`ManifestError::Newer`] for a state directory of a newer version, [`ManifestError::Lost`] when
    /// the database holds less than the file beside it says, [`ManifestError::Layout`] when every key
    /// would change, and what the database says.
    pub fn open(state: &Path, layout: &Layout, fuse: Fuse) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::open_as_recorded(state, layout, fuse)?;
        manifest.meta().take_layout(layout)?;
        manifest.layout = layout.clone();
        Ok(manifest)
    }

    /// As [`Manifest::open`], with the layout that the mirror has; `layout` for one that has none yet.
    ///
    /// # Errors
    /// As [`Manifest::open`], but for the layout.
    pub fn open_as_recorded(
        state: &Path,
        layout: &Layout,
        fuse: Fuse,
    ) -> Result<Manifest, ManifestError> {
        let dir = database(state);
        let marker = Marker::read(state)?;
        if let Some(marker) = &marker {
            marker.check_format(state)?;
            marker::save_metadata(&dir)?;
        }
        let db = Db::open(&dir, CACHE_BYTES, fuse.clone())?.with_word(standing::place(state));
        let expected = marker
            .as_ref()
            .map_or(Generation::NONE, |marker| marker.generation);
        let mut meta = match codec::get::<Meta>(&db, keys::META)? {
            Some(meta) if meta.generation >= expected => meta,
            found => {
                let found = found.map_or(Generation::NONE, |meta| meta.generation);
                if expected > found {
                    marker::restore_metadata(&dir)?;
                    return Err(ManifestError::Lost {
                        dir,
                        found,
                        expected,
                    });
                }
                Meta::new(layout)
            }
        };
        if meta.generation == Generation::NONE {
            meta.take_layout(layout)?;
        }
        let log_begins = match db.get(keys::LOG_BEGINS)? {
            Some(payload) => restore::decode_number(&payload)?,
            None => Generation::NONE,
        };
        let mut manifest = Manifest {
            db,
            dir: state.into(),
            layout: meta.layout(),
            meta: Mutex::new(meta),
            log_begins: AtomicU64::new(log_begins.0),
            fuse,
        };
        match marker {
            None => manifest.save_meta(Batch::default())?,
            Some(marker) => marker.raise(state, &manifest.fuse)?,
        }
        manifest.finish_relayout()?;
        Ok(manifest)
    }

    /// The newest committed generation; [`Generation::NONE`] before the first.
    pub fn generation(&self) -> Generation {
        self.meta().generation
    }

    /// A copy of what the manifest says of itself.
    pub fn about(&self) -> Meta {
        self.meta().clone()
    }

    /// The layout by which keys are computed.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Changes what the manifest says of itself (not the generation), durably.
    ///
    /// # Errors
    /// [`ManifestError::Db`].
    pub fn amend(&self, change: impl FnOnce(&mut Meta)) -> Result<(), ManifestError> {
        change(&mut self.meta());
        self.save_meta(Batch::default())
    }

    /// One URL's record.
    ///
    /// # Errors
    /// [`ManifestError::Db`], [`ManifestError::Record`].
    pub fn entry(&self, url: &PageUrl) -> Result<Option<Entry>, ManifestError> {
        codec::get(&self.db, &keys::entry(url))
    }

    /// True when there is a record of this URL, whatever its outcome.
    ///
    /// # Errors
    /// [`ManifestError::Db`].
    pub fn contains(&self, url: &PageUrl) -> Result<bool, ManifestError> {
        Ok(self.db.contains(&keys::entry(url))?)
    }

    /// True when nothing was ever committed: there is no entry then.
    pub fn is_empty(&self) -> bool {
        self.generation() == Generation::NONE
    }

    /// All entries in URL order, from the first one not before `from`.
    pub fn entries<'a>(
        &'a self,
        from: Option<&str>,
    ) -> impl Iterator<Item = Result<(PageUrl, Entry), ManifestError>> + 'a {
        let start = keys::entry_text(from.unwrap_or(""));
        self.db
            .scan_from(&[keys::ENTRY], &start)
            .map(|record| codec::keyed_by_url(record?, 1))
    }

    /// The strikes against a page that answers 404.
    ///
    /// # Errors
    /// [`ManifestError::Db`], [`ManifestError::Record`].
    pub fn missing(&self, url: &PageUrl) -> Result<Option<Missing>, ManifestError> {
        codec::get(&self.db, &keys::missing(url))
    }

    /// URLs that earlier crawls could not have and that were never stored, in URL order.
    pub fn pending(&self) -> impl Iterator<Item = Result<(PageUrl, Pending), ManifestError>> + '_ {
        let scan = self.db.scan(&[keys::PENDING]);
        scan.map(|record| codec::keyed_by_url(record?, 1))
    }

    /// Why earlier crawls could not have a URL that was never stored, if they met it.
    ///
    /// # Errors
    /// What the database says.
    pub fn pending_note(&self, url: &PageUrl) -> Result<Option<Pending>, ManifestError> {
        codec::get(&self.db, &keys::pending(url))
    }

    /// When and by which run a generation was committed.
    ///
    /// # Errors
    /// [`ManifestError::Db`], [`ManifestError::Record`].
    pub fn generation_record(
        &self,
        generation: Generation,
    ) -> Result<Option<GenerationRecord>, ManifestError> {
        codec::get(&self.db, &keys::generation(generation))
    }

    /// Where the local store has a blob.
    ///
    /// # Errors
    /// [`ManifestError::Db`].
    pub fn locate(&self, hash: &ContentHash) -> Result<Option<Located>, ManifestError> {
        Ok(store::locate(&self.db, hash)?)
    }

    /// Forgets where a blob lies whose bytes turned out to be damaged: the next crawl fetches them again,
    /// unless a tier has them.
    ///
    /// # Errors
    /// [`ManifestError::Db`].
    pub fn forget_blob(&self, hash: &ContentHash) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        store::forget(&mut batch, hash);
        Ok(self.db.apply(batch)?)
    }

    /// Forgets where every blob lies, durably: call before the store is cleared.
    ///
    /// # Errors
    /// [`ManifestError::Db`].
    pub fn forget_blobs(&self) -> Result<(), ManifestError> {
        Ok(store::forget_all(&self.db)?)
    }

    fn meta(&self) -> MutexGuard<'_, Meta> {
        self.meta.lock().expect("no holder of this lock panics")
    }

    /// Writes the meta record with the rest of a batch, flushes, then moves the marker beside the
    /// database: the marker may lag behind what is committed, never run ahead of it.
    fn save_meta(&self, mut batch: Batch) -> Result<(), ManifestError> {
        let meta = self.about();
        codec::put(&mut batch, keys::META, &meta);
        self.db.apply(batch)?;
        self.db.flush()?;
        self.fuse.pass("manifest.marker")?;
        Marker::of(&meta).write(&self.dir)
    }

    fn flush_when_many(&self) -> Result<(), ManifestError> {
        if self.db.unflushed() >= UNFLUSHED_MAX {
            self.db.flush()?;
        }
        Ok(())
    }

    /// How many records have been read since the manifest was opened: what a plan costs, whatever the machine.
    pub fn records_read(&self) -> u64 {
        self.db.records_read()
    }

    /// Where something may be kept for as long as one plan is carried out. Worth nothing after a kill.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What a name of a tier is in keys: one byte string without a zero.
    fn tier_key(prefix: u8, tier: &TierName) -> Vec<u8> {
        keys::tier(prefix, tier)
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{Sample, page};
    use super::*;
    use crate::site::LayoutName;

    fn reopen(sample: Sample, layout: LayoutName, asset_host: &str) -> Result<(), ManifestError> {
        let Sample { dir, manifest } = sample;
        drop(manifest);
        let layout = Layout::new(layout, [asset_host.to_owned()]);
        Manifest::open(dir.path(), &layout, Fuse::none()).map(drop)
    }

    #[test]
    fn a_layout_may_change_only_while_nothing_is_stored() {
        // Promise: no configuration change silently moves every object to another key.
        assert!(reopen(Sample::new(), LayoutName::Govuk, "a.test").is_ok());
        for (layout, asset_host) in [(LayoutName::Govuk, ""), (LayoutName::Plain, "a.test")] {
            let sample = Sample::new();
            sample.commit(&[("/", page("1"))]).unwrap();
            let refused = reopen(sample, layout, asset_host).unwrap_err().to_string();
            assert!(refused.contains("every key would change"), "{refused}");
        }
    }

    #[test]
    fn a_database_that_lost_what_was_committed_is_refused() {
        // Promise: a manifest that opens empty where it was not is an error, never a fresh start.
        let sample = Sample::new();
        sample.commit(&[("/", page("1"))]).unwrap();
        let Sample { dir, manifest } = sample;
        drop(manifest);
        std::fs::remove_dir_all(dir.path().join("manifest")).unwrap();
        let layout = Layout::new(LayoutName::Plain, []);
        let lost = Manifest::open(dir.path(), &layout, Fuse::none()).map(drop);
        assert!(matches!(lost, Err(ManifestError::Lost { .. })), "{lost:?}");
    }
}
