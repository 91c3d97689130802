//! The small file beside the database. sled's metadata log can be damaged in a way that lets it open
//! silently empty, and the open makes that permanent; so the committed generation is also kept
//! here, and the metadata folder is copied before every open.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ManifestError;
use super::record::{Generation, Lineage, Meta};
use crate::db::{Fuse, replace_file};

const FILE: &str = "manifest.json";

/// The state directory's format as a whole. It is raised with every record format, so that an older
/// version stops at this file, before it has opened anything.
const FORMAT: u32 = 2;

#[derive(Debug, Serialize, Deserialize)]
pub struct Marker {
    format: u32,
    lineage: String,
    pub generation: Generation,
    entries: u64,
}

impl Marker {
    pub fn of(meta: &Meta) -> Marker {
        Marker {
            format: FORMAT,
            lineage: meta.lineage.0.clone(),
            generation: meta.generation,
            entries: meta.counts.live() + meta.counts.gone,
        }
    }

    /// The marker in a state directory; none before the first run.
    pub fn read(state: &Path) -> Result<Option<Marker>, ManifestError> {
        let path = state.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|why| {
                failed(&path)(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{why}; `standin rebuild manifest` makes the manifest and this file again from a tier"),
                ))
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed(&path)(source)),
        }
    }

    /// Whether it speaks of that manifest in that state.
    pub fn names(&self, lineage: &Lineage, generation: Generation) -> bool {
        self.format == FORMAT && self.lineage == lineage.0 && self.generation == generation
    }

    pub fn lineage(&self) -> Lineage {
        Lineage(self.lineage.clone())
    }

    pub fn check_format(&self, state: &Path) -> Result<(), ManifestError> {
        if self.format <= FORMAT {
            return Ok(());
        }
        Err(ManifestError::Newer {
            dir: state.into(),
            found: self.format,
            known: FORMAT,
        })
    }

    /// Makes the file of an earlier format one of today's. Comes before the first record is written,
    /// for an older version must never meet one that it cannot read.
    pub fn raise(self, state: &Path, fuse: &Fuse) -> Result<(), ManifestError> {
        if self.format == FORMAT {
            return Ok(());
        }
        fuse.pass("manifest.marker")?;
        let raised = Marker {
            format: FORMAT,
            ..self
        };
        raised.write(state)
    }

    /// Replaces the file atomically and durably.
    pub fn write(&self, state: &Path) -> Result<(), ManifestError> {
        let path = state.join(FILE);
        let bytes = serde_json::to_vec(self).expect("a plain record always serialises");
        replace_file(&path, |file| file.write_all(&bytes)).map_err(failed(&path))
    }
}

/// Copies sled's metadata folder aside before an open.
pub fn save_metadata(dir: &Path) -> Result<(), ManifestError> {
    copy_folder(&dir.join("metadata"), &saved(dir))
}

/// Puts the copy back, so that the evidence survives an open that came up empty.
pub fn restore_metadata(dir: &Path) -> Result<(), ManifestError> {
    copy_folder(&saved(dir), &dir.join("metadata"))
}

fn saved(dir: &Path) -> PathBuf {
    dir.with_extension("metadata-before-open")
}

/// Flat copy: sled's metadata folder holds files only.
fn copy_folder(from: &Path, to: &Path) -> Result<(), ManifestError> {
    if !from.is_dir() {
        return Ok(());
    }
    let copy = || -> io::Result<()> {
        if to.is_dir() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        for file in fs::read_dir(from)? {
            let file = file?;
            if file.file_type()?.is_file() {
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        Ok(())
    };
    copy().map_err(failed(to))
}

pub fn failed(path: &Path) -> impl Fn(io::Error) -> ManifestError + '_ {
    |source| ManifestError::Io {
        path: path.into(),
        source,
    }
}
