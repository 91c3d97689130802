//! Objects in the folder: put, re-header, get, remove, and the order of steps inside them.
//!
//! A put makes three visible changes: the old side file goes, the body is renamed into place,
//! the new side file is renamed into place. Killed between any two of them, the object has no
//! record and is listed with an empty ETag, so it is seen as unknown and written again. Any
//! other order has an instant in which a side file vouches for bytes that are not there: body
//! first leaves the old record beside new bytes, side file first the new record beside old ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use super::below;
use super::walk::Cursor;
use crate::config::TierName;
use crate::content::{Digest, Digester, digest};
use crate::site::ObjectKey;
use crate::tier::record::Record;
use crate::tier::{Body, Confirmed, Fetched, ObjectMeta, Seen, Stated, TierError};

pub(super) const META: &str = ".standin/meta";
pub(super) const OVERFLOW: &str = ".standin/overflow";
pub(super) const SCRATCH: &str = ".standin/tmp";

/// What one read of a large body takes: large enough to make system calls free, small enough to
/// be hashed while it is in the cache.
const COPY_BYTES: usize = 256 * 1024;

/// The longest name that Linux file systems take.
const NAME_BYTES_MAX: usize = 255;

/// What becomes of what is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    Counted,
    Removed,
}

/// The folder of one tier. Methods block; they are quick except for large bodies and listings.
pub(super) struct Folder {
    pub tier: TierName,
    pub root: PathBuf,
    /// Held while names change and while a body and its side file are opened together, so that
    /// a reader of this process gets the two of one put.
    names: Mutex<()>,
    /// Counts what this process changed: a kept listing cursor is good until the next change.
    pub changes: AtomicU64,
    pub cursor: Mutex<Option<Cursor>>,
    scratch_prefix: u64,
    scratch_count: AtomicU64,
}

/// Where the parts of one object lie; `natural` is `None` if no path can be called so.
struct Place {
    natural: Option<PathBuf>,
    overflow: PathBuf,
    side: PathBuf,
}

impl Folder {
    pub fn new(tier: TierName, root: PathBuf) -> Folder {
        Folder {
            tier,
            root,
            names: Mutex::new(()),
            changes: AtomicU64::new(0),
            cursor: Mutex::new(None),
            scratch_prefix: getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())),
            scratch_count: AtomicU64::new(0),
        }
    }

    pub fn put(
        &self,
        key: &ObjectKey,
        body: &Body,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        self.check_site(key)?;
        let scratch = self.write_body(key, body, meta)?;
        self.put_scratch(key, scratch, meta)
    }

    /// The rest of a put, once the body lies in a scratch file.
    fn put_scratch(
        &self,
        key: &ObjectKey,
        scratch: Scratch,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let record = Record::new(key, meta);
        let side = self.write_scratch(&record.encode())?;
        let place = self.place(key);
        let _names = self.lock_names();
        self.changes.fetch_add(1, Ordering::Relaxed);
        // The order is explained at the top of this file.
        self.checked(&place.side, remove_if_there(&place.side))?;
        self.move_body(key, &place, scratch)?;
        self.checked(&place.side, move_making_folders(side, &place.side))?;
        Ok(Confirmed {
            etag: record.etag,
            size: meta.size,
        })
    }

    /// A put of the other object's bytes: what is under `from` is compared with `meta` on the way.
    pub fn copy(
        &self,
        from: &ObjectKey,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        self.check_site(from)?;
        self.check_site(key)?;
        let place = self.place(from);
        let Some(file) = self.open_body(from, &place)? else {
            return Err(self.mismatch(from, "there is no such object".into()));
        };
        let path = place.natural.as_ref().unwrap_or(&place.overflow);
        let scratch = self.write_copy(key, (path, file), meta)?;
        self.put_scratch(key, scratch, meta)
    }

    pub fn reheader(&self, key: &ObjectKey, meta: &ObjectMeta) -> Result<Confirmed, TierError> {
        self.check_site(key)?;
        let place = self.place(key);
        let Some(file) = self.open_body(key, &place)? else {
            return Err(self.mismatch(key, "there is no such object".into()));
        };
        let size = self.checked(&place.side, file.metadata())?.len();
        let stored = match self.read_record(key, &place)? {
            Some(record) => record.etag,
            None if size != meta.size => "unknown".to_owned(),
            // Somebody else has put it there: what nobody has recorded is read.
            None => {
                let digest = self.checked(&place.side, digest_of(file))?;
                digest.content.to_string()
            }
        };
        if stored != meta.content.to_string() || size != meta.size {
            let cause = format!(
                "{size} bytes known as {stored}, expected {} of {}",
                meta.size, meta.content
            );
            return Err(self.mismatch(key, cause));
        }
        let record = Record::new(key, meta);
        let side = self.write_scratch(&record.encode())?;
        let _names = self.lock_names();
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.checked(&place.side, move_making_folders(side, &place.side))?;
        Ok(Confirmed {
            etag: record.etag,
            size,
        })
    }

    /// Removes an object, whether it lies in its natural place or not, and the folders that
    /// became empty. The record goes first: a side file alone would vouch for whatever body
    /// appears in this place later.
    pub fn remove(&self, key: &ObjectKey) -> Result<(), TierError> {
        self.check_site(key)?;
        let place = self.place(key);
        let _names = self.lock_names();
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.checked(&place.side, remove_if_there(&place.side))?;
        self.checked(&place.overflow, remove_if_there(&place.overflow))?;
        if let Some(natural) = &place.natural
            && self.checked(natural, below::remove(&self.root, key.as_str()))?
        {
            self.clear_folders(natural);
        }
        Ok(())
    }

    pub fn head(&self, key: &ObjectKey) -> Result<Option<Seen>, TierError> {
        let Some((file, record)) = self.open(key)? else {
            return Ok(None);
        };
        let path = self.root.join(key.as_str());
        let size = self.checked(&path, file.metadata())?.len();
        let etag = record.as_ref().map(|record| record.etag.clone());
        let etag = etag.unwrap_or_default();
        let is_as_long = record.as_ref().is_some_and(|record| record.size == size);
        Ok(Some(Seen {
            size,
            stated: Stated {
                content: etag.parse().ok().filter(|_| is_as_long),
                ..Stated::default()
            },
            etag,
            meta: record.map(Record::into_meta),
        }))
    }

    pub fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Option<Fetched>, TierError> {
        let Some((file, record)) = self.open(key)? else {
            return Ok(None);
        };
        let mut body = Vec::new();
        let read = match range {
            None => (&file).read_to_end(&mut body),
            Some(range) => {
                let mut source = &file;
                let length = range.end.saturating_sub(range.start);
                let sought = source.seek(SeekFrom::Start(range.start));
                sought.and_then(|_| source.take(length).read_to_end(&mut body))
            }
        };
        self.checked(&self.root.join(key.as_str()), read)?;
        let etag = record
            .as_ref()
            .map(|record| record.etag.clone())
            .unwrap_or_default();
        Ok(Some(Fetched {
            body: body.into(),
            meta: record.map(Record::into_meta),
            etag,
        }))
    }

    /// Body and record of one put.
    fn open(&self, key: &ObjectKey) -> Result<Option<(File, Option<Record>)>, TierError> {
        let place = self.place(key);
        let _names = self.lock_names();
        let Some(file) = self.open_body(key, &place)? else {
            return Ok(None);
        };
        Ok(Some((file, self.read_record(key, &place)?)))
    }

    /// One `syncfs` for everything acknowledged so far: a sync per file costs 3 ms of waiting
    /// each and ten times the CPU.
    pub fn settle(&self) -> Result<(), TierError> {
        let root = match File::open(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            opened => self.checked(&self.root, opened)?,
        };
        self.checked(
            &self.root,
            rustix::fs::syncfs(&root).map_err(io::Error::from),
        )
    }

    /// What killed processes left in the scratch folder, removed or only counted.
    pub fn sweep_scratch(&self, age: Duration, old: Old) -> u64 {
        let Ok(entries) = fs::read_dir(self.root.join(SCRATCH)) else {
            return 0;
        };
        let mut swept = 0;
        for entry in entries.flatten() {
            let modified = entry.metadata().and_then(|found| found.modified());
            let found = modified.ok().and_then(|time| time.elapsed().ok());
            let is_old = found.is_some_and(|found| found > age);
            if is_old && (old == Old::Counted || fs::remove_file(entry.path()).is_ok()) {
                swept += 1;
            }
        }
        swept
    }

    /// Gives an I/O error its meaning for the tier.
    pub fn checked<T>(&self, path: &Path, result: io::Result<T>) -> Result<T, TierError> {
        result.map_err(|source| fault(&self.tier, path, source))
    }

    /// The place of `key`'s part in one of the hashed folders ([`META`], [`OVERFLOW`]).
    pub fn hashed(&self, folder: &str, key: &str) -> PathBuf {
        let hash = blake3::hash(key.as_bytes()).to_hex();
        self.root.join(format!("{folder}/{}/{hash}", &hash[..2]))
    }

    /// Writes `bytes` to a scratch file.
    pub fn write_scratch(&self, bytes: &[u8]) -> Result<Scratch, TierError> {
        let (scratch, mut file) = self.open_scratch()?;
        self.checked(&scratch.path, file.write_all(bytes))?;
        Ok(scratch)
    }

    fn check_site(&self, key: &ObjectKey) -> Result<(), TierError> {
        if key.is_site() {
            return Ok(());
        }
        let cause = "names under .standin/ are no objects of the site";
        Err(TierError::Unsupported {
            tier: self.tier.clone(),
            at: key.as_str().into(),
            cause,
        })
    }

    fn place(&self, key: &ObjectKey) -> Place {
        Place {
            natural: is_path(key.as_str()).then(|| self.root.join(key.as_str())),
            overflow: self.hashed(OVERFLOW, key.as_str()),
            side: self.hashed(META, key.as_str()),
        }
    }

    /// A poisoned lock guards no data: what a panicking holder left on disk is one of the states
    /// that a crash leaves, and those are all readable.
    fn lock_names(&self) -> MutexGuard<'_, ()> {
        self.names
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn mismatch(&self, key: &ObjectKey, cause: String) -> TierError {
        TierError::Mismatch {
            tier: self.tier.clone(),
            at: key.as_str().into(),
            cause,
        }
    }

    fn read_record(&self, key: &ObjectKey, place: &Place) -> Result<Option<Record>, TierError> {
        match fs::read(&place.side) {
            Ok(bytes) => Ok(Record::decode(&bytes, key)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(fault(&self.tier, &place.side, error)),
        }
    }

    /// Links are not followed: a key must not lead out of the root.
    fn open_body(&self, key: &ObjectKey, place: &Place) -> Result<Option<File>, TierError> {
        if let Some(natural) = &place.natural {
            let opened = below::open_file(&self.root, key.as_str());
            if let Some(file) = self.checked(natural, opened)? {
                return Ok(Some(file));
            }
        }
        self.checked(&place.overflow, open_regular(&place.overflow))
    }

    /// The body in a scratch file, compared with `meta`.
    fn write_body(
        &self,
        key: &ObjectKey,
        body: &Body,
        meta: &ObjectMeta,
    ) -> Result<Scratch, TierError> {
        match body {
            Body::Bytes(bytes) => {
                self.compare(key, digest(bytes), meta)?;
                self.write_scratch(bytes)
            }
            Body::File { path, .. } => {
                let source =
                    File::open(path).map_err(|source| self.unreadable(key, path, source))?;
                self.write_copy(key, (path, source), meta)
            }
        }
    }

    /// What a file holds in a scratch file, compared with `meta`.
    fn write_copy(
        &self,
        key: &ObjectKey,
        from: (&Path, File),
        meta: &ObjectMeta,
    ) -> Result<Scratch, TierError> {
        let (scratch, mut file) = self.open_scratch()?;
        let found = self.copy_file(key, from, &scratch.path, &mut file)?;
        self.compare(key, found, meta)?;
        Ok(scratch)
    }

    fn compare(&self, key: &ObjectKey, found: Digest, meta: &ObjectMeta) -> Result<(), TierError> {
        let announced = Digest {
            content: meta.content,
            crc32c: meta.crc32c,
            size: meta.size,
        };
        match found == announced {
            true => Ok(()),
            false => Err(self.mismatch(key, format!("found {found:?}, announced {announced:?}"))),
        }
    }

    fn unreadable(&self, key: &ObjectKey, path: &Path, source: io::Error) -> TierError {
        TierError::Source {
            tier: self.tier.clone(),
            at: key.as_str().into(),
            path: path.into(),
            source,
        }
    }

    /// Copies through memory, so that what is hashed is what is written, and never links: store
    /// and tier must not share an inode.
    fn copy_file(
        &self,
        key: &ObjectKey,
        (from, mut source): (&Path, File),
        to: &Path,
        file: &mut File,
    ) -> Result<Digest, TierError> {
        let mut digester = Digester::new();
        let mut chunk = vec![0; COPY_BYTES];
        loop {
            let count = match source.read(&mut chunk) {
                Ok(0) => return Ok(digester.finish()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(key, from, error)),
            };
            digester.update(&chunk[..count]);
            self.checked(to, file.write_all(&chunk[..count]))?;
        }
    }

    fn open_scratch(&self) -> Result<(Scratch, File), TierError> {
        let number = self.scratch_count.fetch_add(1, Ordering::Relaxed);
        let path = self
            .root
            .join(format!("{SCRATCH}/{:016x}-{number}", self.scratch_prefix));
        let create = || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)
        };
        let file = match create() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.checked(&path, make_parent(&path))?;
                create()
            }
            opened => opened,
        };
        let file = self.checked(&path, file)?;
        Ok((Scratch { path, moved: false }, file))
    }

    /// Renames a body into its natural place or, if a folder stands there, into the overflow.
    fn move_body(
        &self,
        key: &ObjectKey,
        place: &Place,
        mut scratch: Scratch,
    ) -> Result<(), TierError> {
        let Some(natural) = &place.natural else {
            return self.checked(
                &place.overflow,
                move_making_folders(scratch, &place.overflow),
            );
        };
        // Each round takes one obstacle away; a key of 1,024 bytes has at most 512 parents.
        for _ in 0..=512 {
            let Err(error) = scratch.move_below(&self.root, key.as_str()) else {
                // A body from the time when a folder stood here would come back to light if
                // this one were lost.
                self.checked(&place.overflow, remove_if_there(&place.overflow))?;
                return Ok(());
            };
            if below::is_link(&error) {
                return Err(self.leads_away(key));
            }
            match error.kind() {
                ErrorKind::NotFound => match below::make_folders(&self.root, key.as_str()) {
                    Err(error) if below::is_link(&error) => return Err(self.leads_away(key)),
                    made => self.checked(natural, made)?,
                },
                ErrorKind::NotADirectory => self.displace(key, natural)?,
                ErrorKind::IsADirectory | ErrorKind::InvalidFilename => {
                    return self.checked(
                        &place.overflow,
                        move_making_folders(scratch, &place.overflow),
                    );
                }
                _ => return Err(fault(&self.tier, natural, error)),
            }
        }
        Err(fault(&self.tier, natural, ErrorKind::NotADirectory.into()))
    }

    fn leads_away(&self, key: &ObjectKey) -> TierError {
        TierError::Rejected {
            tier: self.tier.clone(),
            at: key.as_str().into(),
            cause:
                "a folder of its path is a symbolic link, which leads elsewhere; remove the link"
                    .into(),
        }
    }

    /// Moves the body that stands where `key` needs a folder to the overflow. Its side file
    /// stays, since the bytes are the same.
    fn displace(&self, key: &ObjectKey, natural: &Path) -> Result<(), TierError> {
        for (slash, _) in key.as_str().match_indices('/') {
            let parent = &key.as_str()[..slash];
            let path = self.root.join(parent);
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                let overflow = self.hashed(OVERFLOW, parent);
                return self.checked(&path, rename_making_folders(&path, &overflow));
            }
        }
        Err(fault(&self.tier, natural, ErrorKind::NotADirectory.into()))
    }

    /// Removes the folders above a removed body that are empty now, never the root, and brings
    /// back the body that such a folder had displaced. Nothing depends on either: what fails
    /// here only looks untidy.
    fn clear_folders(&self, removed: &Path) {
        let parents = removed.ancestors().skip(1);
        for folder in parents.take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                return;
            }
            let displaced = folder.strip_prefix(&self.root).ok().and_then(Path::to_str);
            let overflow = displaced.map(|key| self.hashed(OVERFLOW, key));
            if overflow.is_some_and(|overflow| fs::rename(overflow, folder).is_ok()) {
                return;
            }
        }
    }
}

/// A file in the scratch folder that is removed unless it is moved into place.
pub(super) struct Scratch {
    pub path: PathBuf,
    moved: bool,
}

impl Scratch {
    fn move_below(&mut self, root: &Path, path: &str) -> io::Result<()> {
        below::move_in(&self.path, root, path)?;
        self.moved = true;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.moved {
            // What cannot be removed now is swept by a later process.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Moves a finished scratch file to `to`, creating its folder only when it turns out to be
/// missing: that spares a system call for every object but the first in a folder.
pub(super) fn move_making_folders(mut scratch: Scratch, to: &Path) -> io::Result<()> {
    rename_making_folders(&scratch.path, to)?;
    scratch.moved = true;
    Ok(())
}

/// Whether a path is empty in the sense that no file of ours can be there: nothing, a folder, or
/// a file where a folder would have to be.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
    )
}

/// Removes a file; says whether there was one.
pub(super) fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether `key` can be a path below the root: no name is empty, too long or has a meaning of its
/// own to the file system.
fn is_path(key: &str) -> bool {
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && name.len() <= NAME_BYTES_MAX;
    !key.contains('\0') && key.split('/').all(is_name) && key.split('/').next() != Some(".standin")
}

/// Reads a file to its end.
fn digest_of(mut file: File) -> io::Result<Digest> {
    let mut digester = Digester::new();
    let mut chunk = vec![0; COPY_BYTES];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(digester.finish()),
            Ok(count) => digester.update(&chunk[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
}

/// Opens a regular file that is named by a hash.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path);
    match opened {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) if below::is_link(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path.parent().expect("every path here lies below the root"))
}

fn rename_making_folders(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            make_parent(to)?;
            fs::rename(from, to)
        }
        result => result,
    }
}

/// Best effort: what is left over takes space and nothing else.
fn fault(tier: &TierName, path: &Path, source: io::Error) -> TierError {
    let (tier, path) = (tier.clone(), path.to_owned());
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => TierError::Full { tier, path, source },
        // A root below a file cannot be written any more than one on a read-only disk.
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::NotADirectory => {
            TierError::Denied { tier, path, source }
        }
        _ => TierError::Io { tier, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::Class;
    use rustix::io::Errno;

    #[test]
    fn what_concerns_the_whole_folder_stops_the_tier() {
        // Full and read-only disks are said once with the way out; a bad sector is tried again.
        let tier = TierName::parse("local").expect("a name");
        for (errno, class, word) in [
            (
                Errno::NOSPC,
                Class::Stop,
                "disk full: free space or move the tier",
            ),
            (Errno::DQUOT, Class::Stop, "disk full"),
            (Errno::ROFS, Class::Stop, "not writable"),
            (Errno::ACCESS, Class::Stop, "not writable"),
            (Errno::PERM, Class::Stop, "not writable"),
            (Errno::IO, Class::Retry, "check the disk"),
        ] {
            let error = fault(&tier, Path::new("/copy/h/a"), errno.into());
            assert_eq!(error.class(), class, "{error}");
            let message = error.to_string();
            assert!(
                message.contains(word) && message.contains("/copy/h/a"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_path_is_what_stays_below_the_root() {
        // Every other key goes to the overflow under a hash.
        for key in [
            "h/a",
            "h/.a",
            "h/...",
            "h/a.standin",
            "h/\u{fc}",
            ".standing/a",
        ] {
            assert!(is_path(key), "{key}");
        }
        let long = "n".repeat(256);
        for key in [
            "h//a",
            "h/",
            "h/./a",
            "../a",
            "h/..",
            "h/a\0",
            ".standin",
            ".standin/head",
            &long,
        ] {
            assert!(!is_path(key), "{key}");
        }
    }
}
