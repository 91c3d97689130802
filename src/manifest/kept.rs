//! The checkpoints in the state directory: a folder with the parts, and `index.json` that names them. They are
//! there when the database is not, and need no tier to be read.
//!
//! Parts are written first, the index last and as a whole, then what it does not name is removed. A folder that is
//! lost, or lacks a part or a piece of one, is made anew at the end of the next run; a part of other bytes and the right
//! length by the next rebuild.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Checkpoint, Kept, Part, Whose};
use super::record::Lineage;
use super::{Manifest, ManifestError, marker};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::replace_file;

const INDEX: &str = "index.json";

/// Of another format it counts as absent to who writes, and is refused by who reads.
const FORMAT: u32 = 1;

/// What the index says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    format: u32,
    pub lineage: Lineage,
    /// Newest first.
    pub checkpoints: Vec<Checkpoint>,
}

/// How closely the parts that are there are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At their lengths.
    Lengths,
    /// At every byte.
    Bytes,
}

impl Look {
    /// Whether a part in a folder is what was written, as far as that can be seen in this way.
    fn finds_whole(self, folder: &Path, part: &Part) -> bool {
        match self {
            Look::Lengths => fs::metadata(folder.join(file_name(&part.name)))
                .is_ok_and(|file| file.len() == part.bytes),
            Look::Bytes => read_part(folder, part)
                .is_ok_and(|bytes| bytes.is_some_and(|bytes| ContentHash::of(&bytes) == part.hash)),
        }
    }
}

/// Where the checkpoints of a state directory lie.
pub fn place(state: &Path) -> PathBuf {
    state.join("checkpoint")
}

impl Index {
    /// The index in a folder of checkpoints; `None` when there is none.
    ///
    /// # Errors
    /// [`ManifestError::Checkpoint`] for one that cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Index>, ManifestError> {
        let path = folder.join(INDEX);
        let wrong = |why: String| ManifestError::Checkpoint {
            name: path.display().to_string(),
            why,
        };
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(error.to_string())),
        };
        let index: Index = serde_json::from_slice(&bytes).map_err(|why| wrong(why.to_string()))?;
        match index.format {
            FORMAT => Ok(Some(index)),
            _ => Err(wrong(
                "it is of a newer format than this version can read; upgrade standin".into(),
            )),
        }
    }
}

/// The bytes of a part in a folder of checkpoints; `None` when there is none.
///
/// # Errors
/// What the file system says.
pub fn read_part(folder: &Path, part: &Part) -> io::Result<Option<Bytes>> {
    match fs::read(folder.join(file_name(&part.name))) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The last segment of a part's name: everything else is the same for all.
fn file_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

impl Manifest {
    /// Extends the checkpoints in the state directory to the current generation, and keeps `count` of them. Nothing
    /// is written when nothing has changed. One that is not whole is dropped, and if it is the newest, made anew.
    ///
    /// # Errors
    /// What the database or the file system says.
    pub fn keep_checkpoint(
        &self,
        tiers: &[TierName],
        count: usize,
        look: Look,
    ) -> Result<(), ManifestError> {
        if self.is_empty() {
            return Ok(());
        }
        let folder = place(&self.dir);
        let about = self.about();
        let known = match Index::read(&folder) {
            Ok(Some(index)) if index.lineage == about.lineage => index.checkpoints,
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "the checkpoints in the state directory are made anew");
                Vec::new()
            }
        };
        let told = known.len();
        let newest = known.first().map(|newest| newest.generation);
        let whole = known.into_iter().filter(|checkpoint| {
            let mut parts = checkpoint.parts();
            parts.all(|part| look.finds_whole(&folder, part))
        });
        let mut whole: Vec<Checkpoint> = whole.collect();
        let are_whole = whole.len() == told;
        let is_newest_whole = whole.first().map(|first| first.generation) == newest;
        let known = Kept {
            newest: match is_newest_whole && !whole.is_empty() {
                true => whole.remove(0),
                false => Checkpoint::default(),
            },
            earlier: whole,
        };
        fs::create_dir_all(&folder).map_err(marker::failed(&folder))?;
        let mut failed = None;
        let newest = checkpoint::extend(
            self,
            Whose::State(tiers),
            known.newest.clone(),
            |part, bytes| {
                let written = self.write_part(&folder, part, &bytes);
                failed = written.err();
                failed.is_none()
            },
        )?;
        if let Some(error) = failed {
            return Err(error);
        }
        if newest == known.newest && are_whole {
            return Ok(());
        }
        let (kept, _) = known.with(newest, count);
        let index = Index {
            format: FORMAT,
            lineage: about.lineage,
            checkpoints: kept.all().cloned().collect(),
        };
        self.fuse.pass("checkpoint.index")?;
        let path = folder.join(INDEX);
        let bytes = serde_json::to_vec(&index).expect("a plain record always serialises");
        replace_file(&path, |file| file.write_all(&bytes)).map_err(marker::failed(&path))?;
        sweep(&folder, &kept).map_err(marker::failed(&folder))
    }

    fn write_part(&self, folder: &Path, part: &Part, bytes: &Bytes) -> Result<(), ManifestError> {
        self.fuse.pass("checkpoint.part")?;
        let path = folder.join(file_name(&part.name));
        replace_file(&path, |file| file.write_all(bytes)).map_err(marker::failed(&path))
    }
}

/// Removes what the index does not name: superseded parts, and what a kill has left.
fn sweep(folder: &Path, kept: &Kept) -> io::Result<()> {
    let named: BTreeSet<&str> = kept.names().map(file_name).collect();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        let is_named = name
            .to_str()
            .is_some_and(|name| name == INDEX || named.contains(name));
        if !is_named {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}
