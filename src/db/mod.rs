//! The one room that knows sled: ordered keys to checked values, atomic batches, scans, flushes.
//!
//! A [`Db`] is one sled tree. Callers give every kind of record a one-byte key prefix and put what
//! must become visible together into one [`Batch`]; nothing is durable before [`Db::flush`] returns.
//! Every value carries a checksum over its key and payload, so that a damaged or misplaced record is
//! an error that names its key and never a wrong answer. What a record means is not known here.

mod fuse;
mod scan;
mod small_file;
mod value;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use thread_local::ThreadLocal;

pub use fuse::{Blown, Fuse};
pub use scan::Scan;
pub use small_file::replace_file;

/// Leaves hold at most this many records. Fixed when a database is created: 64 keeps the rewrite of
/// a dirty leaf small, which is what a flush after scattered updates costs.
const LEAF_FANOUT: usize = 64;

/// sled's own flusher is kept asleep (about 1,100 years): a record may only become durable after the
/// bytes it names, so when to flush is decided here. `None` instead would flush on every drop.
const NEVER_MS: usize = 1 << 45;

/// An open that takes longer than this has met sled's known deadlock after a panic inside open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a handle that is about to go is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// What can go wrong with a database. All of these stop the run: nothing here is worth retrying.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// Another process (or another handle of this one) has the database open.
    #[error("{} is open in another process; wait for it to end", dir.display())]
    Busy { dir: PathBuf },
    /// The file system or sled refused.
    #[error("database {}: {source}{}", dir.display(), way_out(source))]
    Io {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Opening did not end, or sled cannot read what is there.
    #[error("database {} does not open; move the state folder away and name new, empty places for its tiers: the next run fills them", dir.display())]
    Stuck { dir: PathBuf },
    /// A value whose checksum does not match.
    #[error("database {}: the record at {key} is damaged; move the state folder away and name new, empty places for its tiers: the next run fills them", dir.display())]
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

/// An ordered map of checked records on disk. Clones are not offered: one owner, shared by `Arc`.
pub struct Db {
    /// sled's handle may be sent to a thread but not shared by several, so each thread clones its own.
    origin: Mutex<sled::Db<LEAF_FANOUT>>,
    handles: ThreadLocal<sled::Db<LEAF_FANOUT>>,
    dir: PathBuf,
    fuse: Fuse,
    unflushed: AtomicUsize,
    /// Held during a flush: who finds nothing left to flush may have to wait for who is at it.
    flushing: Mutex<Flushing>,
}

/// How the last flush went.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flushing {
    Works,
    HasFailed,
}

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
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity_bytes(cache_bytes)
            .flush_every_ms(Some(NEVER_MS));
        // sled may deadlock when it panics while opening, so the open has a thread and a watchdog.
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            // The receiver is gone only after the watchdog has spoken; then nobody is interested.
            drop(sender.send(open_patiently(&config)));
        });
        let opened = receiver
            .recv_timeout(OPEN_TIMEOUT)
            .map_err(|_| DbError::Stuck { dir: dir.into() })?;
        let tree = opened.map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => DbError::Busy { dir: dir.into() },
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                DbError::Stuck { dir: dir.into() }
            }
            _ => DbError::Io {
                dir: dir.into(),
                source: without_trail(source),
            },
        })?;
        Ok(Db {
            origin: Mutex::new(tree),
            handles: ThreadLocal::new(),
            dir: dir.into(),
            fuse,
            unflushed: AtomicUsize::new(0),
            flushing: Mutex::new(Flushing::Works),
        })
    }

    /// The payload stored under `key`.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        let found = self.tree().get(key).map_err(|e| self.io(e))?;
        found.map(|sealed| self.unseal(key, &sealed)).transpose()
    }

    /// True when there is a record under `key`.
    pub fn contains(&self, key: &[u8]) -> Result<bool, DbError> {
        self.tree().contains_key(key).map_err(|e| self.io(e))
    }

    /// Makes the whole batch visible at once. Durable only after [`Db::flush`].
    pub fn apply(&self, batch: Batch) -> Result<(), DbError> {
        if batch.is_empty() {
            return Ok(());
        }
        self.fuse.pass("db.apply")?;
        let count = batch.count;
        self.tree()
            .apply_batch(batch.records)
            .map_err(|e| self.io(e))?;
        // Counted after it is visible: a flush that takes the count away then covers the batch.
        self.unflushed.fetch_add(count, Ordering::SeqCst);
        Ok(())
    }

    /// Makes everything applied so far durable. Blocks for as long as the disk takes, also when it is
    /// another thread's flush that does it. Once the disk has failed a flush, every later one fails.
    pub fn flush(&self) -> Result<(), DbError> {
        let mut turn = self.flushing.lock().expect("a flush does not panic");
        let count = self.unflushed.swap(0, Ordering::SeqCst);
        if count == 0 && *turn == Flushing::Works {
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
        Ok(())
    }

    /// sled waits for ever for a flush that has failed, in the next one and when its last handle goes. So
    /// there is no next one, and a handle is kept until the process ends, which is what a full disk asks
    /// for anyway.
    fn write_out(&self, turn: &mut Flushing) -> Result<(), DbError> {
        if *turn == Flushing::HasFailed {
            return Err(self.io(io::Error::other("an earlier write has failed")));
        }
        self.tree().flush().map(drop).map_err(|error| {
            *turn = Flushing::HasFailed;
            std::mem::forget(self.tree().clone());
            self.io(error)
        })
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

    /// True when there is no record at all.
    pub fn is_empty(&self) -> Result<bool, DbError> {
        self.tree().is_empty().map_err(|e| self.io(e))
    }

    fn tree(&self) -> &sled::Db<LEAF_FANOUT> {
        let clone = || self.origin.lock().expect("cloning does not panic").clone();
        self.handles.get_or(clone)
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
            self.fuse.keep(self.tree().clone());
            return;
        }
        let Ok(mut turn) = self.flushing.lock() else {
            return;
        };
        if self.unflushed() == 0 || *turn == Flushing::HasFailed {
            return;
        }
        if let Err(error) = self.write_out(&mut turn) {
            tracing::warn!(%error, "what was not flushed is lost");
        }
    }
}

/// Opens sled, giving a handle that is about to go a moment to do so: a child process between fork and
/// exec holds copies of all of its parent's.
fn open_patiently(config: &sled::Config) -> io::Result<sled::Db<LEAF_FANOUT>> {
    let begun = Instant::now();
    loop {
        match config.open::<LEAF_FANOUT>() {
            Err(error)
                if error.kind() == io::ErrorKind::WouldBlock && begun.elapsed() < PATIENCE =>
            {
                std::thread::sleep(PATIENCE / 50);
            }
            result => return result,
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
