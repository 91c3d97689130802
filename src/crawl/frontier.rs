//! What is still to be asked for, and what has been found out: the crawl's own database, thrown away
//! when its run has ended.
//!
//! New URLs wait in a queue on disk; URLs that the manifest knows are not copied into it, they are
//! walked through by a cursor. A page leaves the queue (or the cursor passes it) in the same batch
//! that stages its outcome, and its links are queued before that: whatever instant a kill picks, no
//! URL is lost and no confirmed one is fetched again.

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{CrawlCounts, Trouble};
use crate::db::{Batch, Db, DbError, Fuse};
use crate::manifest::{RunId, Staged};
use crate::site::PageUrl;

const CACHE_BYTES: usize = 16 << 20;

/// Flushed after this many changes: what a kill makes a crawl repeat, and what it holds dirty.
const UNFLUSHED_MAX: usize = 20_000;

const META: &[u8] = b"m";
const QUEUE: u8 = b'q';
const KNOWN: u8 = b's';
const STAGED: u8 = b'o';
const ASIDE: u8 = b'a';

/// Records moved aside in one batch.
const ASIDE_BATCH: usize = 1_000;

/// Format of all records in here, raised when one of them or of what is staged changes. Another one is
/// thrown away, like a damaged frontier. (2: staged outcomes say when their answer came.)
const FORMAT: u8 = 2;

/// A URL that waits, with the page it was found on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    pub url: PageUrl,
    pub from: Option<PageUrl>,
}

/// Where a crawl is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub run: RunId,
    /// Identifies the scope that its URLs were admitted by.
    pub scope: String,
    /// Robots and seeds have been asked for, and a seed was usable.
    pub seeded: bool,
    /// The manifest's entries before this URL are done.
    pub cursor: String,
    pub counts: CrawlCounts,
    /// Named troubles, up to a bound.
    pub troubles: Vec<Trouble>,
}

/// The frontier and the staging of one run.
pub struct Frontier {
    db: Db,
    dir: PathBuf,
}

/// What one finished job changes, in one batch.
pub struct Finished {
    /// Its number in the queue; none when the cursor led to it.
    pub number: Option<u64>,
    pub url: PageUrl,
    pub staged: Option<Staged>,
    pub position: Position,
}

impl Frontier {
    /// Opens the frontier of an unfinished run, or begins one for `run`. A damaged frontier is thrown
    /// away: what it knew is found out again.
    ///
    /// # Errors
    /// [`DbError::Busy`], or that no new one can be made.
    pub fn open(
        state: &Path,
        run: &RunId,
        scope: &str,
        fuse: Fuse,
    ) -> Result<(Frontier, Position), DbError> {
        let dir = state.join("frontier");
        let fresh = || Position {
            run: run.clone(),
            scope: scope.to_owned(),
            seeded: false,
            cursor: String::new(),
            counts: CrawlCounts::default(),
            troubles: Vec::new(),
        };
        match Db::open(&dir, CACHE_BYTES, fuse.clone()) {
            Ok(db) => {
                let frontier = Frontier { db, dir };
                match frontier.read::<Position>(META) {
                    Ok(Some(position)) => return Ok((frontier, position)),
                    Ok(None) if frontier.db.is_empty()? => return Ok((frontier, fresh())),
                    Ok(None) | Err(_) => frontier.discard()?,
                }
            }
            Err(busy @ DbError::Busy { .. }) => return Err(busy),
            Err(error) => {
                tracing::warn!(%error, "the frontier of the last run is thrown away");
                remove(&dir)?;
            }
        }
        let dir = state.join("frontier");
        let db = Db::open(&dir, CACHE_BYTES, fuse)?;
        Ok((Frontier { db, dir }, fresh()))
    }

    /// True when a run was cut short, and what it has staged waits to be committed.
    pub fn waits(state: &Path) -> bool {
        state.join("frontier").exists()
    }

    /// Removes the frontier from the disk: its run has ended.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn discard(self) -> Result<(), DbError> {
        let dir = self.dir.clone();
        drop(self);
        remove(&dir)
    }

    /// True when the URL is queued or has been.
    pub fn knows(&self, url: &PageUrl) -> Result<bool, DbError> {
        self.db.contains(&keyed(KNOWN, url))
    }

    /// Queues URLs under consecutive numbers from `first` on. Visible at once, durable with the next
    /// flush, which is before their page counts as done.
    pub fn queue(&self, first: u64, found: &[Queued]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        for (number, queued) in (first..).zip(found) {
            batch.put(&numbered(number), &encode(queued));
            batch.put(&keyed(KNOWN, &queued.url), &[FORMAT]);
        }
        self.db.apply(batch)
    }

    /// Marks a URL as dealt with outside the queue.
    pub fn know(&self, url: &PageUrl) -> Result<(), DbError> {
        let mut batch = Batch::default();
        batch.put(&keyed(KNOWN, url), &[FORMAT]);
        self.db.apply(batch)
    }

    /// The next waiting URLs, from number `from` on.
    pub fn waiting(&self, from: u64, limit: usize) -> Result<Vec<(u64, Queued)>, DbError> {
        let mut found = Vec::new();
        for record in self.db.scan_from(&[QUEUE], &numbered(from)).take(limit) {
            let (key, payload) = record?;
            let number = key[1..].try_into().map_or(0, u64::from_be_bytes);
            if let Some(queued) = decode(&payload) {
                found.push((number, queued));
            }
        }
        Ok(found)
    }

    /// The number after the last one that waits.
    pub fn next_number(&self) -> Result<u64, DbError> {
        let mut next = 0;
        for record in self.db.scan(&[QUEUE]) {
            let key = record?.0;
            next = key[1..].try_into().map_or(0, u64::from_be_bytes) + 1;
        }
        Ok(next)
    }

    /// Records finished jobs, whose bodies are durable. Flushes when much has gathered.
    pub fn finish(&self, finished: &[Finished]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        for one in finished {
            if let Some(number) = one.number {
                batch.remove(&numbered(number));
            }
            if let Some(staged) = &one.staged {
                batch.put(&keyed(STAGED, &one.url), &encode(staged));
            }
        }
        if let Some(last) = finished.last() {
            batch.put(META, &encode(&last.position));
        }
        self.db.apply(batch)?;
        if self.db.unflushed() >= UNFLUSHED_MAX {
            self.db.flush()?;
        }
        Ok(())
    }

    /// Records where the crawl is, durably with everything before.
    pub fn save(&self, position: &Position) -> Result<(), DbError> {
        let mut batch = Batch::default();
        batch.put(META, &encode(position));
        self.db.apply(batch)?;
        self.db.flush()
    }

    /// Makes everything durable: before a commit begins to fold the staging in.
    pub fn flush(&self) -> Result<(), DbError> {
        self.db.flush()
    }

    /// Moves what a killed run has staged out of the way: the run that goes on looks at everything again, and
    /// only takes over where bodies lie ([`Frontier::aside`]).
    pub fn set_aside(&self) -> Result<(), DbError> {
        loop {
            let mut batch = Batch::default();
            for record in self.db.scan(&[STAGED]).take(ASIDE_BATCH) {
                let (mut key, payload) = record?;
                batch.remove(&key);
                key[0] = ASIDE;
                batch.put(&key, &payload);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.db.apply(batch)?;
        }
    }

    /// What was staged for a URL before it was set aside.
    pub fn aside(&self, url: &PageUrl) -> Result<Option<Staged>, DbError> {
        self.read(&keyed(ASIDE, url))
    }

    /// Everything staged, in URL order.
    pub fn staged(&self) -> impl Iterator<Item = Result<(PageUrl, Staged), DbError>> + '_ {
        self.db.scan(&[STAGED]).filter_map(|record| match record {
            Ok((key, payload)) => {
                let url = PageUrl::parse(&String::from_utf8_lossy(&key[1..])).ok()?;
                Some(Ok((url, decode(&payload)?)))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn read<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, DbError> {
        Ok(self.db.get(key)?.and_then(|payload| decode(&payload)))
    }
}

fn encode<T: Serialize>(record: &T) -> Vec<u8> {
    let mut payload = vec![FORMAT];
    payload.extend(postcard::to_stdvec(record).expect("a plain record always serialises"));
    payload
}

fn decode<T: DeserializeOwned>(payload: &[u8]) -> Option<T> {
    match payload.split_first() {
        Some((&FORMAT, bytes)) => postcard::from_bytes(bytes).ok(),
        _ => None,
    }
}

fn keyed(kind: u8, url: &PageUrl) -> Vec<u8> {
    [&[kind], url.as_str().as_bytes()].concat()
}

fn numbered(number: u64) -> Vec<u8> {
    [&[QUEUE][..], &number.to_be_bytes()].concat()
}

fn remove(dir: &Path) -> Result<(), DbError> {
    match fs::remove_dir_all(dir) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(DbError::Io {
            dir: dir.into(),
            source,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::Trouble;

    #[test]
    fn a_position_with_a_trouble_that_no_page_links_to_is_read_again() {
        // Promise: an interrupted crawl goes on. (One with a robots.txt that answered 404 began anew.)
        let state = tempfile::tempdir().unwrap();
        let run = RunId("first".into());
        let (frontier, mut position) =
            Frontier::open(state.path(), &run, "all", Fuse::none()).unwrap();
        position.seeded = true;
        position.troubles.push(Trouble {
            url: PageUrl::parse("http://h.test/robots.txt").unwrap(),
            why: "the answer was 404".into(),
            from: None,
        });
        frontier.save(&position).unwrap();
        drop(frontier);
        let second = RunId("second".into());
        let (_, found) = Frontier::open(state.path(), &second, "all", Fuse::none()).unwrap();
        assert_eq!(found, position);
    }
}
