//! How the tiers stood when the manifest was closed: a small file beside the database, for who asks whether there
//! is anything to do and is not to wait for the database to open.
//!
//! It may claim more work than there is and never less. So it is written last, by [`Manifest::close`], which takes
//! the manifest away from whoever could still write to it, and removed first, by the database itself before it takes
//! the first record ([`Db::with_word`](crate::db::Db::with_word)). Killed in between, there is no file, and the
//! database is asked.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::marker::{self, Marker};
use super::record::{Generation, Lineage};
use super::{Manifest, ManifestError};
use crate::config::TierName;
use crate::db::{Db, Fuse, replace_file, stamp};
use crate::site::{Layout, LayoutName};

const FILE: &str = "tiers.json";

/// Raised whenever what the file says comes to mean something else; of another format it counts as absent.
const FORMAT: u32 = 2;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    format: u32,
    /// Of the database that it speaks of. One that was put back from a copy has another.
    database: Vec<String>,
    lineage: Lineage,
    pub generation: Generation,
    layout: LayoutName,
    asset_hosts: Vec<String>,
    pub tiers: BTreeMap<TierName, TierStanding>,
}

/// One tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierStanding {
    pub watermark: Generation,
    pub debts: u64,
    /// A plan was begun on it and has not ended.
    pub in_doubt: bool,
}

/// Where the file lies in a state directory.
pub(super) fn place(state: &Path) -> PathBuf {
    state.join(FILE)
}

impl Standing {
    /// What the file in a state directory says, where it is there, whole, of this format, and of the manifest
    /// that lies beside it.
    pub fn read(state: &Path) -> Option<Standing> {
        let bytes = fs::read(place(state)).ok()?;
        let standing: Standing = serde_json::from_slice(&bytes).ok()?;
        let marker = Marker::read(state).ok()??;
        let is_of_it = marker.names(&standing.lineage, standing.generation);
        let is_same = stamp(&super::database(state)).ok()? == standing.database;
        (standing.format == FORMAT && is_of_it && is_same).then_some(standing)
    }

    /// Puts the file in its place, once the database is as it will be until somebody opens it again.
    fn write(mut self, state: &Path, fuse: &Fuse) -> Result<(), ManifestError> {
        let database = super::database(state);
        self.database = stamp(&database).map_err(marker::failed(&database))?;
        let path = place(state);
        let bytes = serde_json::to_vec(&self).expect("a plain record always serialises");
        if fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        fuse.pass("manifest.standing")?;
        let written = replace_file(&path, |file| file.write_all(&bytes));
        written.map_err(marker::failed(&path))?;
        fuse.pass("manifest.stands")?;
        Ok(())
    }

    /// True when these tiers lack nothing under this layout: no plan has an operation.
    pub fn is_complete<'a>(
        &self,
        layout: &Layout,
        mut tiers: impl Iterator<Item = &'a TierName>,
    ) -> bool {
        self.layout == layout.name()
            && self.asset_hosts == layout.asset_hosts()
            && tiers.all(|name| {
                self.tiers.get(name).is_some_and(|tier| {
                    tier.watermark == self.generation && tier.debts == 0 && !tier.in_doubt
                })
            })
    }
}

/// A database that nobody reads or writes any more; to be dropped before the lock is.
pub struct Left(#[expect(dead_code, reason = "it is held, and that is all")] Db);

impl Manifest {
    /// Makes everything durable, closes the database, and leaves beside it how these tiers stand. Nobody can
    /// write any more by then, so that the file is true until the next writer removes it.
    ///
    /// # Errors
    /// What the database or the file system says; then there is no file.
    pub fn close(self, tiers: &[TierName]) -> Result<(), ManifestError> {
        self.db.flush()?;
        let standing = self.standing(tiers)?;
        let Manifest { db, dir, fuse, .. } = self;
        drop(db);
        standing.write(&dir, &fuse)
    }

    /// As [`Manifest::close`], for a process that ends as soon as it has said what it found. The database is still
    /// open: to take down what it knows of its leaves, one by one, costs a third of what it took to open it, and
    /// need not be waited for.
    ///
    /// # Errors
    /// As there; what the process has found out is as true.
    pub fn leave(self, tiers: &[TierName]) -> (Left, Result<(), ManifestError>) {
        let flushed = self.db.flush().map_err(ManifestError::from);
        let standing = flushed.and_then(|()| self.standing(tiers));
        let Manifest { db, dir, fuse, .. } = self;
        let written = standing.and_then(|standing| standing.write(&dir, &fuse));
        (Left(db), written)
    }

    fn standing(&self, tiers: &[TierName]) -> Result<Standing, ManifestError> {
        let about = self.about();
        let mut rows = BTreeMap::new();
        for name in tiers {
            let row = TierStanding {
                watermark: self.tier(name)?.watermark,
                debts: self.debts(name).count() as u64,
                // One that is to be moved to another layout is in doubt as a whole.
                in_doubt: self.intent(name)?.is_some()
                    || about.open_commit.is_some()
                    || self.filled(name)?.is_some(),
            };
            rows.insert(name.clone(), row);
        }
        Ok(Standing {
            format: FORMAT,
            database: Vec::new(),
            lineage: about.lineage,
            generation: about.generation,
            layout: about.layout,
            asset_hosts: about.asset_hosts,
            tiers: rows,
        })
    }
}
