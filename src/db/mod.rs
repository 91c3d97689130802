//! The one room that knows sled: ordered keys to checked values, atomic batches, scans, flushes.
//!
//! A [`Db`] is one sled tree. Callers give every kind of record a one-byte key prefix and put what
//! must become visible together into one [`Batch`]; nothing is durable before [`Db::flush`] returns.
//! Every value carries a checksum over its key and payload, so that a damaged or misplaced record is
//! an error that names its key and never a wrong answer. What a record means is not known here.

mod fuse;
mod handle;
mod merged;
mod rows;
mod scan;
mod small_file;
mod stamp;
mod value;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use handle::Handle;

pub use fuse::{Blown, Fuse};
pub use merged::{Merged, Row};
pub use rows::Rows;
pub use scan::Scan;
pub use small_file::{remove_file, remove_folder, replace_file};
pub use stamp::stamp;

/// sled keeps every leaf in memory that it has written since it was opened, whatever its cache may hold: it never
/// learns that their bytes are on disk. So after the flush that brings the leaves written to this number the database
/// is closed and opened again; a leaf of full records takes some 10 to 30 kB.
const LEAVES_WRITTEN_MAX: u64 = 2_000;

/// What can go wrong with a database. All of these stop the run: nothing here is worth retrying.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Another process (or another handle of this one) has the database open.
    #[error("{} is open in another process; wait for it to end", dir.display())]
    Busy { dir: PathBuf },
    /// The file system or sled refused.
    #[error("database {}: {source}{}", dir.display(), way_out_of_damage(source))]
    Io {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Opening did not end, or sled cannot read what is there.
    #[error("database {} does not open; `standin rebuild manifest` makes it again from a tier", dir.display())]
    Stuck { dir: PathBuf },
    /// A value whose checksum does not match.
    #[error("database {}: the record at {key} is damaged; `standin rebuild manifest` makes it again from a tier", dir.display())]
    Damaged { dir: PathBuf, key: String },
    /// A test has blown the fuse: this process counts as dead.
    #[error(transparent)]
    Blown(#[from] Blown),
}

/// What an operator can do about a file of the state directory that cannot be written; begins with a
/// semicolon, or is empty.
pub fn way_out(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; free some space and run again, nothing stored is lost"
        }
        io::ErrorKind::PermissionDenied => "; make it writable for this user, or set `state.dir`",
        _ => "",
    }
}

/// As [`way_out`], for what was read from a database.
fn way_out_of_damage(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            "; it is damaged: `standin rebuild manifest` makes it again from a tier"
        }
        _ => way_out(source),
    }
}

/// An ordered map of checked records on disk. Clones are not offered: one owner, shared by `Arc`.
pub struct Db {
    handle: Handle,
    dir: PathBuf,
    fuse: Fuse,
    unflushed: AtomicUsize,
    /// Records looked up or passed by a scan: what reading costs, for who wants to hold it to a promise.
    read: AtomicU64,
    /// A file that speaks of this database and holds only as long as nothing is written.
    word: Mutex<Option<PathBuf>>,
    /// Held during a flush: who finds nothing left to flush may have to wait for who is at it.
    flushing: Mutex<Flushing>,
}

/// How the flushes went.
struct Flushing {
    has_failed: bool,
    /// Leaves written since the database was opened, and so in memory.
    leaves: u64,
}

/// One record: its key and what is stored under it.
pub type KeyAndPayload = (Vec<u8>, Vec<u8>);

/// Records that become visible together, and are lost together if the process dies before a flush.
#[derive(Default)]
pub struct Batch {
    records: sled::Batch,
    count: usize,
}

impl Batch {
    /// Adds or replaces one record.
    pub fn put(&mut self, key: &[u8], payload: &[u8]) {
        self.records.insert(key, value::seal(key, payload));
        self.count += 1;
    }

    /// Removes one record, if it is there.
    pub fn remove(&mut self, key: &[u8]) {
        self.records.remove(key);
        self.count += 1;
    }

    /// How many changes the batch holds.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True when applying it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Db {
    /// Opens or creates the database in `dir`, with about `cache_bytes` of memory for clean pages.
    ///
    /// # Errors
    /// [`DbError::Busy`] while another handle has it open, [`DbError::Io`] for what the file system
    /// says, [`DbError::Stuck`] when sled hangs or cannot read what is there.
    pub fn open(dir: &Path, cache_bytes: usize, fuse: Fuse) -> Result<Db, DbError> {
        Ok(Db {
            handle: Handle::open(dir, cache_bytes)?,
            dir: dir.into(),
            fuse,
            unflushed: AtomicUsize::new(0),
            read: AtomicU64::new(0),
            word: Mutex::new(None),
            flushing: Mutex::new(Flushing {
                has_failed: false,
                leaves: 0,
            }),
        })
    }

    /// Has a file removed, durably, before the first record is written from here on: what it says of this
    /// database is true only as long as nothing is.
    pub fn with_word(mut self, file: PathBuf) -> Db {
        self.word = Mutex::new(Some(file));
        self
    }

    /// How many records have been looked up or passed by a scan since the database was opened.
    pub fn records_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The payload stored under `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        let found = self.with(|tree| tree.get(key))?;
        found.map(|sealed| self.unseal(key, &sealed)).transpose()
    }

    /// True when there is a record under `key`.
    pub fn contains(&self, key: &[u8]) -> Result<bool, DbError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.with(|tree| tree.contains_key(key))
    }

    /// Makes the whole batch visible at once. Durable only after [`Db::flush`].
    pub fn apply(&self, batch: Batch) -> Result<(), DbError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.take_back_the_word()?;
        self.fuse.pass("db.apply")?;
        let count = batch.count;
        self.with(|tree| tree.apply_batch(batch.records))?;
        // Counted after it is visible: a flush that takes the count away then covers the batch.
        self.unflushed.fetch_add(count, Ordering::SeqCst);
        Ok(())
    }

    /// Nobody gets past here before the file is gone for good, whoever removes it.
    fn take_back_the_word(&self) -> Result<(), DbError> {
        let mut word = self.word.lock().expect("no holder of this lock panics");
        let Some(file) = word.as_deref() else {
            return Ok(());
        };
        self.fuse.pass("db.word")?;
        remove_file(file).map_err(|e| self.io(e))?;
        *word = None;
        Ok(())
    }

    /// Makes everything applied so far durable. Blocks for as long as the disk takes, also when it is
    /// another thread's flush that does it. Once the disk has failed a flush, every later one fails.
    pub fn flush(&self) -> Result<(), DbError> {
        let mut turn = self.flushing.lock().expect("a flush does not panic");
        let count = self.unflushed.swap(0, Ordering::SeqCst);
        if count == 0 && !turn.has_failed {
            return Ok(());
        }
        let flushed = self.flush_now(&mut turn);
        if flushed.is_err() {
            self.unflushed.fetch_add(count, Ordering::SeqCst);
        }
        flushed
    }

    fn flush_now(&self, turn: &mut Flushing) -> Result<(), DbError> {
        self.fuse.pass("db.flush")?;
        self.write_out(turn)?;
        self.fuse.pass("db.flushed")?;
        if turn.leaves >= LEAVES_WRITTEN_MAX && self.handle.renew()? {
            turn.leaves = 0;
        }
        Ok(())
    }

    /// sled waits for ever for a flush that has failed, in the next one and when its last handle goes. So
    /// there is no next one, and a handle is kept until the process ends, which is what a full disk asks
    /// for anyway.
    fn write_out(&self, turn: &mut Flushing) -> Result<(), DbError> {
        if turn.has_failed {
            return Err(self.io(io::Error::other("an earlier write has failed")));
        }
        let flushed = self.with(|tree| {
            let flushed = tree.flush();
            if flushed.is_err() {
                std::mem::forget(tree.clone());
            }
            flushed
        });
        match flushed {
            Ok(stats) => turn.leaves += stats.objects_flushed,
            Err(_) => turn.has_failed = true,
        }
        flushed.map(drop)
    }

    /// Flushes, and says how many leaves that wrote.
    #[cfg(test)]
    fn leaves_to_flush(&self) -> Result<u64, DbError> {
        self.with(|tree| tree.flush().map(|stats| stats.objects_flushed))
    }

    /// Changes applied since the last flush: what bounds the dirty data in memory.
    pub fn unflushed(&self) -> usize {
        self.unflushed.load(Ordering::Relaxed)
    }

    /// All records whose key starts with `prefix`, in key order.
    pub fn scan(&self, prefix: &[u8]) -> Scan<'_> {
        Scan::new(self, prefix.to_vec(), prefix)
    }

    /// As [`Db::scan`], from the first key that is not less than `from`.
    pub fn scan_from(&self, prefix: &[u8], from: &[u8]) -> Scan<'_> {
        Scan::new(self, prefix.to_vec(), from)
    }

    /// The records of several prefixes as one sequence, in the order of what follows the prefix.
    pub fn merge(&self, prefixes: impl Iterator<Item = Vec<u8>>) -> Merged<'_> {
        Merged::of(self, prefixes)
    }

    /// True when there is no record at all.
    pub fn is_empty(&self) -> Result<bool, DbError> {
        self.with(|tree| tree.is_empty())
    }

    fn with<T>(&self, work: impl FnOnce(&handle::Tree) -> io::Result<T>) -> Result<T, DbError> {
        self.handle.with(work).map_err(|error| self.io(error))
    }

    fn unseal(&self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, DbError> {
        value::unseal(key, sealed).ok_or_else(|| DbError::Damaged {
            dir: self.dir.clone(),
            key: key.escape_ascii().to_string(),
        })
    }

    fn io(&self, source: io::Error) -> DbError {
        DbError::Io {
            dir: self.dir.clone(),
            source: without_trail(source),
        }
    }
}

/// sled puts the lines of its source that an error came by before it: `sled:file.rs:1 -> what happened`.
fn without_trail(source: io::Error) -> io::Error {
    match source.to_string().rsplit_once(" -> ") {
        Some((_, what)) => io::Error::new(source.kind(), what),
        None => source,
    }
}

/// sled flushes when its last handle goes. No killed process does that: of one that counts as dead the
/// fuse keeps a handle (and with it sled's lock on the folder), so that a test can go on with a copy. And
/// when that flush fails, sled aborts the process before anybody was told; so what is left is written out
/// here first.
impl Drop for Db {
    fn drop(&mut self) {
        if self.fuse.is_blown() {
            // One that cannot be had any more holds no lock either.
            drop(
                self.with(|tree| Ok(tree.clone()))
                    .map(|tree| self.fuse.keep(tree)),
            );
            return;
        }
        let Ok(mut turn) = self.flushing.lock() else {
            return;
        };
        if self.unflushed() == 0 || turn.has_failed {
            return;
        }
        if let Err(error) = self.write_out(&mut turn) {
            tracing::warn!(%error, "what was not flushed is lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Db {
        Db::open(dir, 1 << 20, Fuse::none()).unwrap()
    }

    fn copy_tree(from: &Path, to: &Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy_tree(&entry.path(), &target);
            } else {
                std::fs::copy(entry.path(), target).unwrap();
            }
        }
    }

    #[test]
    fn a_flushed_batch_survives_and_an_unflushed_one_may_not_tear() {
        // Promise: what was flushed is there after a reopen, whole.
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        let mut batch = Batch::default();
        batch.put(b"ea", b"one");
        batch.put(b"eb", b"two");
        db.apply(batch).unwrap();
        db.flush().unwrap();
        drop(db);
        let db = open(dir.path());
        assert_eq!(db.get(b"ea").unwrap().unwrap(), b"one");
        let keys: Vec<_> = db.scan(b"e").map(|r| r.unwrap().0).collect();
        assert_eq!(keys, [b"ea".to_vec(), b"eb".to_vec()]);
    }

    #[test]
    fn a_scan_stays_within_its_prefix_and_starts_where_told() {
        // Promise: prefixes are rooms with walls.
        let dir = tempfile::tempdir().unwrap();
        let db = open(dir.path());
        let mut batch = Batch::default();
        for key in ["d1", "e1", "e2", "e3", "f1"] {
            batch.put(key.as_bytes(), key.as_bytes());
        }
        db.apply(batch).unwrap();
        let from = |start: &str| -> Vec<String> {
            db.scan_from(b"e", start.as_bytes())
                .map(|r| String::from_utf8(r.unwrap().1).unwrap())
                .collect()
        };
        assert_eq!(from("e"), ["e1", "e2", "e3"]);
        assert_eq!(from("e2"), ["e2", "e3"]);
        assert!(from("f").is_empty());
    }

    #[test]
    fn a_second_opener_is_told_that_the_database_is_busy() {
        // Promise: sled belongs to one owner at a time.
        let dir = tempfile::tempdir().unwrap();
        let _held = open(dir.path());
        let second = Db::open(dir.path(), 1 << 20, Fuse::none());
        assert!(matches!(second, Err(DbError::Busy { .. })));
    }

    #[test]
    fn a_flush_returns_only_when_what_its_thread_applied_is_durable() {
        // Promise: of two threads that flush at once, none goes on before its records are on the disk.
        let dir = tempfile::tempdir().unwrap();
        let fuse = Fuse::after(120);
        let db = Db::open(dir.path(), 1 << 20, fuse.clone()).unwrap();
        let durable = std::thread::scope(|scope| {
            let threads = [b"a", b"b", b"c"].map(|name| {
                let db = &db;
                scope.spawn(move || -> Vec<Vec<u8>> {
                    let keys = (0_u8..).map(|number| [name.as_slice(), &[number]].concat());
                    let durable = keys.take_while(|key| {
                        let mut batch = Batch::default();
                        batch.put(key, b"1");
                        db.apply(batch).is_ok() && db.flush().is_ok()
                    });
                    durable.collect()
                })
            });
            threads.map(|thread| thread.join().unwrap()).concat()
        });
        drop(db);
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        let db = open(copy.path());
        assert!(durable.len() > 30, "{}", durable.len());
        for key in durable {
            assert!(db.contains(&key).unwrap(), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_blown_fuse_stops_every_later_write() {
        // Promise: after its fuse has blown, a process changes nothing on disk any more.
        let dir = tempfile::tempdir().unwrap();
        let fuse = Fuse::after(1);
        let db = Db::open(dir.path(), 1 << 20, fuse.clone()).unwrap();
        let mut batch = Batch::default();
        batch.put(b"a", b"1");
        db.apply(batch).unwrap();
        assert!(matches!(db.flush(), Err(DbError::Blown(_))));
        drop(db);
        let copy = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), copy.path());
        assert!(open(copy.path()).is_empty().unwrap(), "nothing was flushed");
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path(), 1 << 20, Fuse::after(0)).unwrap();
        let mut batch = Batch::default();
        batch.put(b"b", b"1");
        assert!(matches!(db.apply(batch), Err(DbError::Blown(_))));
    }
}
