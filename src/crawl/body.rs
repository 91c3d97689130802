//! A body between the socket and the store: held in memory within a byte budget that all fetches share, or
//! spilled to a file once it is too large or the budget is spent. It is digested on the way, in one pass.
//!
//! Nothing here can deadlock. A fetch waits for the budget only while it holds none of it (before the first byte
//! of a body), and only for a limited time; a body that has begun never waits: what it cannot have at once sends it to
//! a file. So even a consumer that sits on every permit slows the crawl down to the speed of the disk and no further.
//!
//! Before a file is begun, and every so often while it grows, the free space of its file system is looked at: a run
//! that fills the disk of the machine takes others down with it.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::content::{Digest, Digester};

/// What a body of unknown length reserves to begin with. Half of the pages of most sites are smaller; the others
/// double it once or twice, which costs less than touching fresh memory for every small one.
const FIRST_RESERVATION: usize = 16 * 1024;

/// The most that is reserved on a guess: beyond this the guess has to come true step by step.
const GUESS_MAX: u64 = 256 * 1024;

/// The free space is looked at again after so many bytes written: one system call in some hundred. A look asks for
/// room up to the next one, so that only other writers can make it less than it should be.
const DISK_CHECK_EVERY: u64 = 16 * 1024 * 1024;

/// Bytes are digested and written in pieces of this size: large enough for BLAKE3 to use its wide lanes (a gzip
/// body arrives in pieces of 4 KiB), small enough to be in cache still. Each spilling body holds one piece beside
/// the budget.
const PIECE: usize = 64 * 1024;

const TEMP_PREFIX: &str = "body-";
const TEMP_SUFFIX: &str = ".tmp";

/// A complete body and where it is.
pub enum Held {
    Memory(Bytes, Permit),
    File(TempBody),
}

impl Held {
    /// In bytes.
    pub fn size(&self) -> u64 {
        match self {
            Held::Memory(bytes, _) => bytes.len() as u64,
            Held::File(file) => file.size(),
        }
    }
}

impl fmt::Debug for Held {
    /// Without the bytes, which may be millions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Held::Memory(bytes, _) => write!(f, "Memory({} bytes)", bytes.len()),
            Held::File(file) => f.debug_tuple("File").field(file).finish(),
        }
    }
}

/// How many bytes of bodies may be in memory at once; clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: Arc<Semaphore>,
    total: usize,
}

impl Budget {
    /// A budget of `total` bytes, at most 4 GiB (the semaphore counts in 32 bits).
    pub fn new(total: usize) -> Budget {
        let total = total.min(u32::MAX as usize);
        Budget {
            bytes: Arc::new(Semaphore::new(total)),
            total,
        }
    }

    pub fn total(&self) -> usize {
        self.total
    }

    /// Bytes that nobody holds at this moment.
    pub fn free(&self) -> usize {
        self.bytes.available_permits()
    }

    /// Waits for the bytes, but no longer than `patience`; `None` when that was not enough, or never can be.
    pub(super) async fn reserve(&self, bytes: usize, patience: Duration) -> Option<Permit> {
        if bytes > self.total {
            return None;
        }
        // Nearly always there is room, and then no timer is needed.
        if let Some(permit) = self.try_reserve(bytes) {
            return Some(permit);
        }
        let waiting = Arc::clone(&self.bytes).acquire_many_owned(bytes as u32);
        let granted = tokio::time::timeout(patience, waiting).await.ok()?;
        Some(Permit(granted.expect("the semaphore is never closed")))
    }

    fn try_reserve(&self, bytes: usize) -> Option<Permit> {
        if bytes > self.total {
            return None;
        }
        let granted = Arc::clone(&self.bytes).try_acquire_many_owned(bytes as u32);
        granted.ok().map(Permit)
    }
}

/// Bytes of the budget; they go back to it when this is dropped.
#[derive(Debug)]
pub struct Permit(OwnedSemaphorePermit);

impl Permit {
    pub fn bytes(&self) -> usize {
        self.0.num_permits()
    }

    /// A share of these bytes, for a body of its own.
    pub(super) fn take(&mut self, bytes: usize) -> Permit {
        Permit(
            self.0
                .split(bytes)
                .expect("no more is shared out than was reserved"),
        )
    }

    /// Gives back what lies above `bytes`.
    fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes().saturating_sub(bytes);
        drop(self.0.split(surplus));
    }
}

/// A body in a file of its own, which is removed on drop unless it was taken over with [`TempBody::keep`].
#[derive(Debug)]
pub struct TempBody {
    path: PathBuf,
    size: u64,
    removed_on_drop: bool,
}

impl TempBody {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Leaves the file to the caller, who moves it to its place. It is complete, but not yet durable.
    pub fn keep(mut self) -> PathBuf {
        self.removed_on_drop = false;
        std::mem::take(&mut self.path)
    }

    /// A new empty file in the folder, which must exist.
    pub(super) fn create(folder: &Path) -> Result<(TempBody, File), SpillError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMP_PREFIX}{}-{count}{TEMP_SUFFIX}", std::process::id());
        let path = folder.join(name);
        // Truncating what a killed process of the same id left behind is right: it belongs to nobody.
        match File::create(&path) {
            Ok(file) => {
                let body = TempBody {
                    path,
                    size: 0,
                    removed_on_drop: true,
                };
                Ok((body, file))
            }
            Err(source) => Err(SpillError::Io { path, source }),
        }
    }

    pub(super) fn write(&mut self, file: &mut File, bytes: &[u8]) -> Result<(), SpillError> {
        if let Err(source) = file.write_all(bytes) {
            let path = self.path.clone();
            return Err(SpillError::Io { path, source });
        }
        self.size += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for TempBody {
    fn drop(&mut self) {
        if self.removed_on_drop {
            // Nobody can act on a failure here; the store empties the folder when it is opened.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Why a body could not be put into a file.
#[derive(Debug)]
pub(crate) enum SpillError {
    Io {
        path: PathBuf,
        source: io::Error,
    },
    /// It would leave the file system with less than the `min` bytes that are to stay `free`.
    Full {
        folder: PathBuf,
        free: u64,
        min: u64,
    },
}

/// Bytes that this user can still write to the file system of a folder.
pub(crate) type FreeSpace = fn(&Path) -> io::Result<u64>;

/// As the system says it.
pub(crate) fn free_space(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Where bodies go: the same for all fetches of a run.
pub(crate) struct Shelf {
    pub(crate) budget: Budget,
    /// Bodies up to this size, in bytes, may stay in memory.
    pub(crate) memory_max: usize,
    pub(crate) temp_dir: PathBuf,
    /// How long a body waits for the budget before it goes to a file.
    pub(crate) patience: Duration,
    /// Bytes that files leave free in any case.
    pub(crate) disk_free_min: u64,
    pub(crate) free_space: FreeSpace,
}

impl Shelf {
    /// An error when `coming` more bytes are too many for the file system.
    fn check_disk(&self, coming: u64) -> Result<(), SpillError> {
        let folder = self.temp_dir.clone();
        let free = match (self.free_space)(&folder) {
            Ok(free) => free,
            Err(source) => {
                return Err(SpillError::Io {
                    path: folder,
                    source,
                });
            }
        };
        let min = self.disk_free_min;
        if free < coming.saturating_add(min) {
            return Err(SpillError::Full { folder, free, min });
        }
        Ok(())
    }
}

/// What is known of the length of a body before it comes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Unknown,
    /// It was announced.
    Said(u64),
    /// It is coded, and this is what it will be if it is as most are.
    Guessed(u64),
}

/// Takes in one body, piece by piece.
pub(crate) struct Collector<'a> {
    shelf: &'a Shelf,
    digester: Digester,
    place: Place,
    size: u64,
}

enum Place {
    /// `digested` is how much of `bytes` the digester has seen.
    Memory {
        bytes: Vec<u8>,
        digested: usize,
        permit: Permit,
    },
    /// `pending` has been neither digested nor written.
    File {
        body: TempBody,
        file: File,
        pending: Vec<u8>,
        /// What may be written before the free space is looked at again.
        unseen_left: u64,
    },
}

impl<'a> Collector<'a> {
    pub(crate) async fn begin(
        shelf: &'a Shelf,
        length: Length,
    ) -> Result<Collector<'a>, SpillError> {
        let memory_max = shelf.memory_max as u64;
        let wanted = match length {
            Length::Unknown => Some(memory_max.min(FIRST_RESERVATION as u64)),
            Length::Guessed(guess) => Some(guess.clamp(1024, GUESS_MAX).min(memory_max)),
            Length::Said(said) => Some(said).filter(|said| *said <= memory_max),
        };
        let wanted = wanted.map(|bytes| usize::try_from(bytes).expect("memory has room for it"));
        let permit = match wanted {
            Some(bytes) => shelf.budget.reserve(bytes, shelf.patience).await,
            None => None,
        };
        let place = match permit {
            Some(permit) => Place::Memory {
                bytes: Vec::with_capacity(permit.bytes()),
                digested: 0,
                permit,
            },
            None => match length {
                Length::Said(said) => Place::file(shelf, said)?,
                Length::Unknown | Length::Guessed(_) => Place::file(shelf, 0)?,
            },
        };
        Ok(Collector {
            shelf,
            digester: Digester::new(),
            place,
            size: 0,
        })
    }

    /// Bytes taken in so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Writes are blocking ones on purpose: a piece of 64 KiB into the page cache takes some tens of
    /// microseconds, less than handing it to another thread.
    pub(crate) async fn push(&mut self, chunk: &[u8]) -> Result<(), SpillError> {
        self.size += chunk.len() as u64;
        if !self.fits(chunk.len()) {
            self.spill().await?;
        }
        match &mut self.place {
            Place::Memory {
                bytes, digested, ..
            } => {
                bytes.extend_from_slice(chunk);
                if bytes.len() - *digested >= PIECE {
                    self.digester.update(&bytes[*digested..]);
                    *digested = bytes.len();
                }
            }
            Place::File {
                body,
                file,
                pending,
                unseen_left,
            } => {
                pending.extend_from_slice(chunk);
                if pending.len() >= PIECE {
                    let coming = pending.len() as u64;
                    if coming > *unseen_left {
                        self.shelf.check_disk(DISK_CHECK_EVERY)?;
                        *unseen_left = DISK_CHECK_EVERY;
                    }
                    *unseen_left = unseen_left.saturating_sub(coming);
                    self.digester.update(pending);
                    body.write(file, pending)?;
                    pending.clear();
                }
            }
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(Held, Digest), SpillError> {
        let held = match self.place {
            Place::Memory {
                mut bytes,
                digested,
                mut permit,
            } => {
                self.digester.update(&bytes[digested..]);
                bytes.shrink_to_fit();
                permit.shrink_to(bytes.len());
                Held::Memory(Bytes::from(bytes), permit)
            }
            Place::File {
                mut body,
                mut file,
                pending,
                ..
            } => {
                self.digester.update(&pending);
                body.write(&mut file, &pending)?;
                Held::File(body)
            }
        };
        let digest = self.digester.finish();
        assert_eq!(digest.size, self.size, "every byte was digested once");
        assert_eq!(held.size(), self.size, "every byte was kept once");
        Ok((held, digest))
    }

    /// Whether so many more bytes may stay in memory, reserving what that takes. Doubling keeps the number of
    /// times that the buffer moves small; when double is not to be had, just enough will do.
    fn fits(&mut self, more: usize) -> bool {
        let Place::Memory { bytes, permit, .. } = &mut self.place else {
            return true;
        };
        let needed = bytes.len() + more;
        let reserved = permit.bytes();
        if needed <= reserved {
            return true;
        }
        if needed > self.shelf.memory_max {
            return false;
        }
        let doubled = needed.max(reserved * 2).min(self.shelf.memory_max);
        for target in [doubled, needed] {
            if let Some(added) = self.shelf.budget.try_reserve(target - reserved) {
                permit.0.merge(added.0);
                bytes.reserve_exact(target - bytes.len());
                return true;
            }
        }
        false
    }

    /// Moves what is in memory to a file and gives its bytes back.
    async fn spill(&mut self) -> Result<(), SpillError> {
        let in_file = Place::file(self.shelf, self.size)?;
        let in_memory = std::mem::replace(&mut self.place, in_file);
        let Place::Memory {
            bytes, digested, ..
        } = &in_memory
        else {
            unreachable!("a file fits everything");
        };
        self.digester.update(&bytes[*digested..]);
        let Place::File { body, file, .. } = &mut self.place else {
            unreachable!("it was set above");
        };
        // Up to `memory_max` at once would keep other tasks waiting for milliseconds.
        for piece in bytes.chunks(PIECE) {
            body.write(file, piece)?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl Place {
    /// An empty file, with room on the disk for the `coming` bytes that are known of and until the next look.
    fn file(shelf: &Shelf, coming: u64) -> Result<Place, SpillError> {
        shelf.check_disk(coming.max(DISK_CHECK_EVERY))?;
        let (body, file) = TempBody::create(&shelf.temp_dir)?;
        Ok(Place::File {
            body,
            file,
            pending: Vec::with_capacity(PIECE),
            unseen_left: DISK_CHECK_EVERY,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest;

    const PATIENCE: Duration = Duration::from_millis(20);

    fn shelf(budget: usize, memory_max: usize, folder: &Path) -> Shelf {
        Shelf {
            budget: Budget::new(budget),
            memory_max,
            temp_dir: folder.to_owned(),
            patience: PATIENCE,
            disk_free_min: 0,
            free_space,
        }
    }

    fn sample(size: usize) -> Vec<u8> {
        (0..size).map(|i| (i * 7 + i / 251) as u8).collect()
    }

    async fn collect(shelf: &Shelf, length: Length, body: &[u8], step: usize) -> (Held, Digest) {
        let mut collector = Collector::begin(shelf, length).await.unwrap();
        for chunk in body.chunks(step) {
            collector.push(chunk).await.unwrap();
        }
        collector.finish().unwrap()
    }

    fn bytes_of(held: &Held) -> Vec<u8> {
        match held {
            Held::Memory(bytes, _) => bytes.to_vec(),
            Held::File(file) => std::fs::read(file.path()).unwrap(),
        }
    }

    fn files_in(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    /// Promise: whatever the size, the steps, the announcement and the place, bytes and digest are those of the body;
    /// afterwards the budget is whole and the folder empty.
    #[tokio::test]
    async fn every_way_through_yields_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(1 << 20, 300_000, folder.path());
        for size in [
            0, 1, 65_535, 65_536, 65_537, 299_999, 300_000, 300_001, 700_000,
        ] {
            let body = sample(size);
            for step in [4096, 65_536, 100_001] {
                let known = size as u64;
                for length in [
                    Length::Unknown,
                    Length::Said(known),
                    Length::Guessed(known / 2),
                    Length::Guessed(u64::MAX),
                ] {
                    let (held, found) = collect(&shelf, length, &body, step).await;
                    assert_eq!(matches!(held, Held::File(_)), size > 300_000, "{size}");
                    assert_eq!(bytes_of(&held), body, "{size} in steps of {step}");
                    assert_eq!(found, digest(&body), "{size} in steps of {step}");
                    drop(held);
                    assert_eq!(shelf.budget.free(), shelf.budget.total());
                }
            }
        }
        assert_eq!(files_in(folder.path()), 0);
    }

    /// Promise: a held body counts for exactly its bytes, not for what was reserved on the way.
    #[tokio::test]
    async fn a_permit_shrinks_to_the_body() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(1 << 20, 300_000, folder.path());
        for size in [0, 2_000, 70_000] {
            let (held, _) = collect(&shelf, Length::Unknown, &sample(size), 4096).await;
            assert_eq!(shelf.budget.free(), shelf.budget.total() - size);
            drop(held);
        }
    }

    /// Promise: when others hold the budget, a growing body spills and a known one waits its time and spills.
    #[tokio::test]
    async fn a_spent_budget_means_a_file_and_never_a_deadlock() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(100_000, 90_000, folder.path());
        let (other, _) = collect(&shelf, Length::Said(30_000), &sample(30_000), 8192).await;
        let body = sample(80_000);
        let (grown, found) = collect(&shelf, Length::Unknown, &body, 8192).await;
        assert!(
            matches!(grown, Held::File(_)),
            "some fitted, the rest did not"
        );
        assert_eq!((bytes_of(&grown), found), (body.clone(), digest(&body)));
        let (known, _) = collect(&shelf, Length::Said(80_000), &body, 8192).await;
        assert!(matches!(known, Held::File(_)));
        assert_eq!(files_in(folder.path()), 2);
        drop((other, grown, known));
        assert_eq!(shelf.budget.free(), 100_000);
        assert_eq!(files_in(folder.path()), 0);
    }

    /// Promise: a body that waits for the budget gets it when another lets go.
    #[tokio::test]
    async fn a_waiting_body_is_served_from_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = shelf(100_000, 100_000, folder.path());
        shelf.patience = Duration::from_secs(60);
        let (other, _) = collect(&shelf, Length::Said(90_000), &sample(90_000), 8192).await;
        let body = sample(50_000);
        let waiting = collect(&shelf, Length::Said(50_000), &body, 8192);
        let letting_go = async {
            tokio::task::yield_now().await;
            drop(other);
        };
        let ((held, _), ()) = tokio::join!(waiting, letting_go);
        assert!(matches!(held, Held::Memory(..)));
    }

    /// Promise: a body larger than the whole budget goes to a file at once.
    #[tokio::test]
    async fn a_body_beyond_the_whole_budget_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = shelf(1_000, 1 << 20, folder.path());
        shelf.patience = Duration::from_secs(3600);
        for length in [Length::Unknown, Length::Said(5_000)] {
            let (held, _) = collect(&shelf, length, &sample(5_000), 512).await;
            assert!(matches!(held, Held::File(_)));
        }
    }

    /// Promise: a kept file stays; one that nobody kept goes.
    #[tokio::test]
    async fn kept_files_stay_and_others_go() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(1 << 20, 10, folder.path());
        let (held, _) = collect(&shelf, Length::Said(100), &sample(100), 50).await;
        let Held::File(file) = held else {
            panic!("100 > 10")
        };
        let path = file.keep();
        assert_eq!(std::fs::read(&path).unwrap(), sample(100));
        let (dropped, _) = collect(&shelf, Length::Said(100), &sample(100), 50).await;
        drop(dropped);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// Promise: a file that cannot be written is an error that names it, and the budget comes back.
    #[tokio::test]
    async fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = shelf(1 << 20, 10, &folder.path().join("absent"));
        let Err(error) = Collector::begin(&shelf, Length::Said(100)).await else {
            panic!("there is no folder")
        };
        let SpillError::Io { path, source } = error else {
            panic!("the disk is not full")
        };
        assert!(path.starts_with(folder.path().join("absent")));
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
        assert_eq!(shelf.budget.free(), 1 << 20);
    }

    thread_local! {
        /// What the file systems of this thread's tests have free, and how often that was asked.
        static DISK: std::cell::Cell<(u64, u32)> = const { std::cell::Cell::new((0, 0)) };
    }

    /// Each look finds 16 MiB less.
    fn shrinking(_: &Path) -> io::Result<u64> {
        let (free, looks) = DISK.get();
        DISK.set((free.saturating_sub(DISK_CHECK_EVERY), looks + 1));
        Ok(free)
    }

    /// Promise: a body that would leave too little on the disk is refused: at once when its length is announced, and
    /// when others have filled the disk meanwhile before its next 16 MiB; nothing stays behind. Bodies in memory never
    /// look.
    #[tokio::test]
    async fn a_disk_that_fills_up_is_noticed() {
        const MIB: u64 = 1024 * 1024;
        let folder = tempfile::tempdir().unwrap();
        let mut shelf = shelf(1 << 20, 100_000, folder.path());
        shelf.disk_free_min = 100 * MIB;
        shelf.free_space = shrinking;
        DISK.set((150 * MIB, 0));
        let (held, _) = collect(&shelf, Length::Unknown, &sample(90_000), 4096).await;
        assert!(matches!(held, Held::Memory(..)));
        assert_eq!(DISK.get().1, 0);

        let refused = Collector::begin(&shelf, Length::Said(50 * MIB + 1)).await;
        assert!(matches!(refused, Err(SpillError::Full { free, min, .. })
                if (free, min) == (150 * MIB, 100 * MIB)),);
        assert_eq!((DISK.get().1, files_in(folder.path())), (1, 0));

        DISK.set((150 * MIB, 0));
        let mut collector = Collector::begin(&shelf, Length::Unknown).await.unwrap();
        let piece = sample(1 << 20);
        let mut taken = 0;
        let error = loop {
            match collector.push(&piece).await {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
        };
        // 150, 134 and 118 MiB were enough; 102 MiB are not for one more.
        assert!(
            matches!(error, SpillError::Full { free, .. } if free == 102 * MIB),
            "{error:?}"
        );
        assert_eq!((taken, DISK.get().1), (48, 4));
        drop((collector, held));
        assert_eq!(files_in(folder.path()), 0);
        assert_eq!(shelf.budget.free(), shelf.budget.total());
    }

    /// Promise: the system's own answer is in bytes and not nothing.
    #[test]
    fn the_system_knows_its_free_space() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_space(folder.path()).unwrap() > 1024 * 1024);
        assert!(free_space(&folder.path().join("absent")).is_err());
    }
}
