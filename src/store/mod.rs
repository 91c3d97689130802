//! Content-addressed blobs on the local disk: small ones as frames in append-only segment files,
//! large ones as files of their own.
//!
//! Bytes come before names. [`Store::append`] returns only when the frames are on the disk (one
//! write and one fdatasync for a whole group); the caller then hands the [`Located`] records to
//! whatever names the blobs. Frames describe themselves, so that the index, which lives in the
//! manifest's database under this room's own prefix, can be made again from the files alone
//! ([`Store::scan`]). Reading checks the hash: a blob comes back whole or as an error.

mod frame;
mod index;
mod segment;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::content::{ContentHash, Digest};
use crate::db::{Blown, DbError, Fuse, way_out};

pub use index::{Located, Place, all, forget, forget_all, locate, record};
/// Records of places to bytes and back: for whoever holds them to golden files.
pub use index::{decode as decode_located, encode as encode_located};

use segment::Segments;

/// What a segment begins with, before its first frame.
pub const SEGMENT_HEADER_BYTES: u64 = frame::SEGMENT_HEADER.len() as u64;

/// Blobs above this size get a file of their own: a segment should hold dozens of blobs at least.
pub const FILE_BYTES_MIN: u64 = 8 << 20;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused; `StorageFull` among the kinds.
    #[error("{}: {source}{}", path.display(), way_out(source))]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The bytes on disk are not those of the name.
    #[error("blob {hash} in {} is damaged: it is taken from a tier, or fetched again", path.display())]
    Damaged { hash: ContentHash, path: PathBuf },
    /// A file that is no segment, or one of a newer version.
    #[error("{} is no segment that this version can read; use the version of standin that wrote it", path.display())]
    Format { path: PathBuf },
    /// The index cannot be read.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A test has blown the fuse.
    #[error(transparent)]
    Blown(#[from] Blown),
}

/// A blob on its way into a segment.
pub struct NewBlob<'a> {
    pub digest: Digest,
    pub bytes: &'a [u8],
}

/// Reads blobs while somebody else holds the store and adds to it: frames and files never change once they are named.
#[derive(Clone, Debug)]
pub struct Bodies {
    dir: PathBuf,
}

impl Bodies {
    /// As [`Store::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, located: &Located) -> Result<Bytes, StoreError> {
        let bytes = match located.place {
            Place::Segment { number, offset } => {
                segment::read_at(&self.dir, number, offset, located.digest.size)?
            }
            Place::File => {
                let path = files_dir(&self.dir).join(located.digest.content.to_string());
                fs::read(&path).map_err(io_error(&path))?
            }
        };
        checked(bytes, located, &self.dir)
    }
}

/// The bytes, if they are those of the name.
fn checked(bytes: Vec<u8>, located: &Located, dir: &Path) -> Result<Bytes, StoreError> {
    if ContentHash::of(&bytes) != located.digest.content {
        return Err(StoreError::Damaged {
            hash: located.digest.content,
            path: dir.into(),
        });
    }
    Ok(Bytes::from(bytes))
}

/// The blobs of one state directory. One writer; reading needs only a shared reference.
pub struct Store {
    dir: PathBuf,
    segments: Segments,
    fuse: Fuse,
}

impl Store {
    /// Opens or creates the store in `dir`; a torn end of the newest segment is cut off.
    ///
    /// # Errors
    /// [`StoreError::Io`], or [`StoreError::Format`] for a segment of another version.
    pub fn open(dir: &Path, fuse: Fuse) -> Result<Store, StoreError> {
        for folder in [dir.to_path_buf(), files_dir(dir), incoming_dir(dir)] {
            fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        }
        clear_incoming(&incoming_dir(dir))?;
        Ok(Store {
            segments: Segments::open(dir)?,
            dir: dir.into(),
            fuse,
        })
    }

    /// Where a body that is too large for memory is written while it is received. Emptied at open.
    pub fn incoming(&self) -> PathBuf {
        incoming_dir(&self.dir)
    }

    /// Makes a group of blobs durable with one write and one fdatasync.
    ///
    /// # Errors
    /// [`StoreError::Io`]; then none of the group may be named.
    pub fn append(&mut self, group: &[NewBlob<'_>]) -> Result<Vec<Located>, StoreError> {
        self.fuse.pass("store.append")?;
        let located = self.segments.append(group)?;
        self.fuse.pass("store.appended")?;
        Ok(located)
    }

    /// Takes over a received file as the blob of that digest: synced, renamed, folder synced.
    ///
    /// # Errors
    /// [`StoreError::Io`]; the blob may not be named then.
    pub fn take_file(&self, received: &Path, digest: Digest) -> Result<Located, StoreError> {
        self.fuse.pass("store.file")?;
        let target = self.file_of(&digest.content);
        let folder = files_dir(&self.dir);
        File::open(received)
            .and_then(|file| file.sync_data())
            .and_then(|()| fs::rename(received, &target))
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(io_error(&target))?;
        Ok(Located {
            digest,
            place: Place::File,
        })
    }

    /// The bytes of a blob in a segment, checked against its name; for [`Place::File`] blobs use
    /// [`Store::path`].
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the bytes are not those of the name.
    pub fn read(&self, located: &Located) -> Result<Bytes, StoreError> {
        let bytes = match located.place {
            Place::Segment { .. } => self.segments.read(located)?,
            Place::File => {
                let path = self.file_of(&located.digest.content);
                fs::read(&path).map_err(io_error(&path))?
            }
        };
        checked(bytes, located, &self.dir)
    }

    /// For whoever reads beside the one who writes.
    pub fn bodies(&self) -> Bodies {
        Bodies {
            dir: self.dir.clone(),
        }
    }

    /// The file of a [`Place::File`] blob. Its reader checks the bytes.
    pub fn path(&self, located: &Located) -> Option<PathBuf> {
        (located.place == Place::File).then(|| self.file_of(&located.digest.content))
    }

    /// Every blob that the files hold, from the frames alone: what an index can be rebuilt from.
    ///
    /// # Errors
    /// [`StoreError::Io`] and [`StoreError::Format`]; a torn end is no error.
    pub fn scan(&self) -> Result<Vec<Located>, StoreError> {
        self.segments.scan()
    }

    /// Every segment with its length, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn segments(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        self.segments.lengths()
    }

    /// The frames of one segment, as [`Store::scan`] gives those of all.
    ///
    /// # Errors
    /// [`StoreError::Io`] and [`StoreError::Format`]; a torn end is no error.
    pub fn scan_segment(&self, number: u32) -> Result<Vec<Located>, StoreError> {
        self.segments.scan_one(number)
    }

    /// The blobs that have files of their own, with their sizes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn files(&self) -> Result<Vec<(ContentHash, u64)>, StoreError> {
        let folder = files_dir(&self.dir);
        let mut files = Vec::new();
        for file in fs::read_dir(&folder).map_err(io_error(&folder))? {
            let file = file.map_err(io_error(&folder))?;
            let hash: Option<ContentHash> =
                file.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(hash) = hash {
                let metadata = file.metadata().map_err(io_error(&file.path()))?;
                files.push((hash, metadata.len()));
            }
        }
        files.sort_unstable_by_key(|(hash, _)| *hash.as_bytes());
        Ok(files)
    }

    /// Whether something that calls itself this blob lies where it is said to; its bytes are not looked at.
    pub fn holds(&self, located: &Located) -> bool {
        match located.place {
            Place::File => {
                let metadata = fs::metadata(self.file_of(&located.digest.content));
                metadata.is_ok_and(|file| file.len() == located.digest.size)
            }
            Place::Segment { number, offset } => {
                self.segments.holds(number, offset, &located.digest)
            }
        }
    }

    /// The next blobs go into a new segment, so that all that are there now can be replaced.
    pub fn close_segment(&mut self) {
        self.segments.close();
    }

    /// Removes a segment that nothing names any more.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_segment(&mut self, number: u32) -> Result<(), StoreError> {
        self.fuse.pass("store.remove")?;
        self.segments.remove(number)
    }

    /// Removes the file of a blob that nothing names any more.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn remove_file(&mut self, hash: &ContentHash) -> Result<(), StoreError> {
        self.fuse.pass("store.remove")?;
        let path = self.file_of(hash);
        fs::remove_file(&path).map_err(io_error(&path))
    }

    /// Drops every blob. The caller has dropped their names before.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.fuse.pass("store.clear")?;
        self.segments.clear()?;
        let folder = files_dir(&self.dir);
        for file in fs::read_dir(&folder).map_err(io_error(&folder))? {
            let path = file.map_err(io_error(&folder))?.path();
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
        Ok(())
    }

    fn file_of(&self, hash: &ContentHash) -> PathBuf {
        files_dir(&self.dir).join(hash.to_string())
    }
}

fn files_dir(dir: &Path) -> PathBuf {
    dir.join("files")
}

fn incoming_dir(dir: &Path) -> PathBuf {
    dir.join("incoming")
}

/// What a killed run was receiving is of no use to anybody.
fn clear_incoming(folder: &Path) -> Result<(), StoreError> {
    for file in fs::read_dir(folder).map_err(io_error(folder))? {
        let path = file.map_err(io_error(folder))?.path();
        fs::remove_file(&path).map_err(io_error(&path))?;
    }
    Ok(())
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> StoreError + '_ {
    |source| StoreError::Io {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest;

    fn append(store: &mut Store, bodies: &[&[u8]]) -> Vec<Located> {
        let group: Vec<_> = bodies
            .iter()
            .map(|bytes| NewBlob {
                digest: digest(bytes),
                bytes,
            })
            .collect();
        store.append(&group).unwrap()
    }

    #[test]
    fn blobs_come_back_whole_after_a_reopen_and_the_index_can_be_scanned() {
        // Promise: what append returned is on disk, and the frames alone can tell what is there.
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Fuse::none()).unwrap();
        let mut located = append(&mut store, &[b"one", b"", b"three"]);
        drop(store);
        let mut store = Store::open(dir.path(), Fuse::none()).unwrap();
        located.extend(append(&mut store, &[b"four"]));
        assert_eq!(store.read(&located[0]).unwrap(), "one");
        assert_eq!(store.read(&located[1]).unwrap(), "");
        assert_eq!(store.read(&located[3]).unwrap(), "four");
        assert_eq!(store.scan().unwrap(), located);
    }

    #[test]
    fn a_torn_end_is_cut_off_and_the_rest_stays() {
        // Promise: a kill in the middle of a write costs only what was not yet acknowledged.
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Fuse::none()).unwrap();
        let first = append(&mut store, &[b"kept"]);
        append(&mut store, &[b"torn apart"]);
        drop(store);
        let segment = dir.path().join("00000001.seg");
        let whole = fs::metadata(&segment).unwrap().len();
        for cut in 1..(whole - 20) {
            let copy = tempfile::tempdir().unwrap();
            let mut bytes = fs::read(&segment).unwrap();
            bytes.truncate(usize::try_from(whole - cut).unwrap());
            fs::write(copy.path().join("00000001.seg"), &bytes).unwrap();
            let mut store = Store::open(copy.path(), Fuse::none()).unwrap();
            let known = store.scan().unwrap();
            assert!(known.len() <= 1 && cut <= 74 || known.is_empty() || known == first);
            let again = append(&mut store, &[b"after"]);
            assert_eq!(store.read(&again[0]).unwrap(), "after", "cut {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_an_error_and_never_a_wrong_body() {
        // Promise: bytes are compared with their hash when read.
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Fuse::none()).unwrap();
        let located = append(&mut store, &[b"precious"]);
        let segment = dir.path().join("00000001.seg");
        let mut bytes = fs::read(&segment).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&segment, bytes).unwrap();
        assert!(matches!(
            store.read(&located[0]),
            Err(StoreError::Damaged { .. })
        ));
    }

    #[test]
    fn a_large_body_becomes_a_file_and_clear_drops_everything() {
        // Promise: a received file is taken over under its hash; clear leaves nothing behind.
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path(), Fuse::none()).unwrap();
        let received = store.incoming().join("1");
        fs::write(&received, b"large").unwrap();
        let located = store.take_file(&received, digest(b"large")).unwrap();
        assert_eq!(store.read(&located).unwrap(), "large");
        let path = store.path(&located).unwrap();
        append(&mut store, &[b"small"]);
        store.clear().unwrap();
        assert!(!path.exists() && store.scan().unwrap().is_empty());
        let again = append(&mut store, &[b"small"]);
        assert_eq!(store.read(&again[0]).unwrap(), "small");
    }
}
