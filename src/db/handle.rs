//! sled's own handle: opened with a watchdog, one clone for each thread, and exchanged for a new one when asked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, RwLock, mpsc};
use std::time::{Duration, Instant};

use thread_local::ThreadLocal;

use super::{DbError, without_trail};

/// Leaves hold at most this many records. Fixed when a database is created: 64 keeps the rewrite of
/// a dirty leaf small, which is what a flush after scattered updates costs.
const LEAF_FANOUT: usize = 64;

pub type Tree = sled::Db<LEAF_FANOUT>;
pub type Records = sled::Iter<LEAF_FANOUT>;

/// sled's own flusher is kept asleep (about 1,100 years): a record may only become durable after the
/// bytes it names, so when to flush is decided here. `None` instead would flush on every drop.
const NEVER_MS: usize = 1 << 45;

/// Each leaf is packed by itself with tables made anew, which are small at this level; at sled's own, 3, making
/// them costs more than the packing and saves a tenth of the space.
const ZSTD_LEVEL: i32 = 1;

/// An open that takes longer than this has met sled's known deadlock after a panic inside open.
const OPEN_TIMEOUT: Duration = Duration::from_secs(300);

/// How long a handle that is about to go is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// The handle of one database.
pub struct Handle {
    config: sled::Config,
    dir: PathBuf,
    /// `None` when a new one could not be had.
    opened: RwLock<Option<Opened>>,
    /// Scans under way: each holds on to the database it began in.
    held: AtomicUsize,
}

/// sled's handle may be sent to a thread but not shared by several, so each thread clones its own.
struct Opened {
    origin: Mutex<Tree>,
    clones: ThreadLocal<Tree>,
}

impl Handle {
    /// Opens or creates the database in `dir`.
    pub fn open(dir: &Path, cache_bytes: usize) -> Result<Handle, DbError> {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity_bytes(cache_bytes)
            .zstd_compression_level(ZSTD_LEVEL)
            .flush_every_ms(Some(NEVER_MS));
        let opened = Opened::watched(&config, dir)?;
        Ok(Handle {
            config,
            dir: dir.into(),
            opened: RwLock::new(Some(opened)),
            held: AtomicUsize::new(0),
        })
    }

    /// Does some work with the clone of this thread.
    pub fn with<T>(&self, work: impl FnOnce(&Tree) -> io::Result<T>) -> io::Result<T> {
        let opened = self.opened.read().expect("no holder of this lock panics");
        let Some(opened) = &*opened else {
            return Err(io::Error::other("it could not be opened again"));
        };
        work(opened.clones.get_or(|| opened.clone_for_thread()))
    }

    /// Begins something with the clone of this thread that holds on to the database. While the hold is there, the
    /// handle is not exchanged.
    pub fn hold<T>(&self, begin: impl FnOnce(&Tree) -> T) -> io::Result<(T, Hold<'_>)> {
        self.with(|tree| {
            self.held.fetch_add(1, Ordering::SeqCst);
            Ok((begin(tree), Hold(&self.held)))
        })
    }

    /// Closes the database, of which everything must be flushed, and opens it again. False when that has to wait
    /// because somebody holds it.
    pub fn renew(&self) -> Result<bool, DbError> {
        let mut opened = self.opened.write().expect("no holder of this lock panics");
        // Whoever begins to hold it has the lock for that.
        if self.held.load(Ordering::SeqCst) > 0 {
            return Ok(false);
        }
        let Some(old) = opened.take() else {
            return Ok(false);
        };
        drop(old);
        let new = Opened::watched(&self.config, &self.dir)?;
        // A flush has just written something: what opens empty now has lost it.
        let is_empty = new.clone_for_thread().is_empty();
        if is_empty.map_err(|source| failure(&self.dir, source))? {
            return Err(DbError::Stuck {
                dir: self.dir.clone(),
            });
        }
        *opened = Some(new);
        Ok(true)
    }
}

impl Opened {
    /// sled may deadlock when it panics while opening, so the open has a thread and a watchdog.
    fn watched(config: &sled::Config, dir: &Path) -> Result<Opened, DbError> {
        let (sender, receiver) = mpsc::channel();
        let config = config.clone();
        std::thread::spawn(move || {
            // The receiver is gone only after the watchdog has spoken; then nobody is interested.
            drop(sender.send(open_patiently(&config)));
        });
        let opened = receiver
            .recv_timeout(OPEN_TIMEOUT)
            .map_err(|_| DbError::Stuck { dir: dir.into() })?;
        Ok(Opened {
            origin: Mutex::new(opened.map_err(|source| failure(dir, source))?),
            clones: ThreadLocal::new(),
        })
    }

    fn clone_for_thread(&self) -> Tree {
        self.origin.lock().expect("cloning does not panic").clone()
    }
}

/// To be dropped after what it was given with.
pub struct Hold<'a>(&'a AtomicUsize);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn failure(dir: &Path, source: io::Error) -> DbError {
    match source.kind() {
        io::ErrorKind::WouldBlock => DbError::Busy { dir: dir.into() },
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            DbError::Stuck { dir: dir.into() }
        }
        _ => DbError::Io {
            dir: dir.into(),
            source: without_trail(source),
        },
    }
}

/// Opens sled, giving a handle that is about to go a moment to do so: a child process between fork and
/// exec holds copies of all of its parent's.
fn open_patiently(config: &sled::Config) -> io::Result<Tree> {
    let begun = Instant::now();
    loop {
        match config.open() {
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

    fn filled(dir: &Path) -> Handle {
        let handle = Handle::open(dir, 1 << 20).unwrap();
        handle.with(|tree| tree.insert(b"a", b"1")).unwrap();
        handle.with(|tree| tree.flush()).unwrap();
        handle
    }

    fn value(handle: &Handle) -> Vec<u8> {
        let found = handle.with(|tree| tree.get(b"a")).unwrap();
        found.unwrap().to_vec()
    }

    #[test]
    fn a_renewed_handle_has_what_was_flushed_and_still_excludes_others() {
        // Promise: nobody who uses the database notices that it was closed in between, from whatever thread.
        let dir = tempfile::tempdir().unwrap();
        let handle = filled(dir.path());
        std::thread::scope(|scope| {
            let readers = [(); 3].map(|()| {
                scope.spawn(|| (0..2_000).for_each(|_| assert_eq!(value(&handle), b"1")))
            });
            assert!(handle.renew().unwrap());
            assert!(handle.renew().unwrap());
            for reader in readers {
                reader.join().unwrap();
            }
        });
        assert_eq!(value(&handle), b"1");
        let second = Handle::open(dir.path(), 1 << 20);
        assert!(matches!(second, Err(DbError::Busy { .. })));
    }

    #[test]
    fn a_scan_under_way_is_not_cut_off() {
        // Promise: whoever reads in order keeps the database that he began in; the exchange comes later.
        let dir = tempfile::tempdir().unwrap();
        let handle = filled(dir.path());
        let (mut records, hold) = handle.hold(|tree| tree.iter()).unwrap();
        assert!(!handle.renew().unwrap());
        assert_eq!(records.next().unwrap().unwrap().0, b"a");
        drop((records, hold));
        assert!(handle.renew().unwrap());
    }

    #[test]
    fn a_database_that_comes_back_empty_is_an_error() {
        // Promise: what is lost while it is closed is noticed then, and by everybody after.
        let dir = tempfile::tempdir().unwrap();
        let handle = Handle::open(dir.path(), 1 << 20).unwrap();
        assert!(matches!(handle.renew(), Err(DbError::Stuck { .. })));
        assert!(handle.with(|tree| tree.get(b"a")).is_err());
    }
}
