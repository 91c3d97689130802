//! What is still to be asked for, and what has been found out: the crawl's own database, thrown away
//! when its run has ended.
//!
//! New URLs wait in queues on disk, one per host, each in the order in which they are wanted ([`Slot`]); URLs that
//! the manifest knows are not copied into them, they are walked through by cursors. A page leaves its queue (or the
//! cursor passes it) in the same batch that stages its outcome, and its links are queued before that: whatever
//! instant a kill picks, no URL is lost and no confirmed one is fetched again.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::recent::AsItIs;
use super::sitemaps::SitemapRecord;
use super::sorted_runs::{self, Newest, Runs};
use super::{CrawlCounts, Tally, Trouble};
use crate::content::Role;
use crate::db::{Batch, Db, DbError, Fuse, remove_folder};
use crate::manifest::{RunId, Staged};
use crate::site::PageUrl;

const CACHE_BYTES: usize = 16 << 20;

/// Flushed after this many changes: what it holds dirty.
const UNFLUSHED_MAX: usize = 20_000;

/// And after so many jobs, or so long: what a kill makes a crawl repeat. A walk through pages that are all unchanged
/// makes next to no changes, and a slow site few jobs.
const UNFLUSHED_JOBS_MAX: usize = 5_000;
const UNFLUSHED_AGE: Duration = Duration::from_secs(5);

const META: &[u8] = b"m";
const COUNTS: &[u8] = b"n";
const TALLY: &[u8] = b"y";
const CURSOR: u8 = b'c';
const QUEUE: u8 = b'q';
const KNOWN: u8 = b's';
const LASTMOD: u8 = b'l';
const STAGED: u8 = b'o';
const ASIDE: u8 = b'a';
const SITEMAP: u8 = b'p';
const TROUBLE: u8 = b't';

/// Between the host and the slot in the key of a queue's record; no host holds it.
const AFTER_HOST: u8 = 0;

/// Hashes of known URLs that are kept in memory, 19 MB: somewhat less than what a table of 2^21 places holds.
const KNOWN_MAX: usize = 1_800_000;

/// Records moved aside in one batch.
const ASIDE_BATCH: usize = 1_000;

/// Format of all records in here, raised when one of them or of what is staged changes. Another one is
/// thrown away, like a damaged frontier. (2: staged outcomes say when their answer came. 3: queues by host and
/// in order, and what changes with every page apart from what does not. 4: sorted runs, sitemaps.)
const FORMAT: u8 = 4;

/// A URL that waits, with the page it was found on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    pub url: PageUrl,
    pub from: Option<PageUrl>,
    /// It is to be read as a sitemap.
    pub is_sitemap: bool,
}

/// Where a URL stands in its host's queue: lower slots are taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Sitemaps, then parts of pages that are stored already, then what a sitemap says has changed last, then the
    /// rest as it was found.
    pub class: u8,
    /// Within the class; the newer, the lower.
    pub order: u64,
    /// Unlike any other of the crawl; counts up.
    pub number: u64,
}

impl Slot {
    pub const CLASSES: u8 = 4;
    pub const SITEMAP: u8 = 0;
    const ASSET: u8 = 1;
    /// Ordered by time, so that a later one may go before those that were there.
    pub const DATED: u8 = 2;
    const PAGE: u8 = 3;

    /// The place of a URL that is wanted in this role; `lastmod` in seconds since 1970.
    pub fn of(role: Role, lastmod: Option<i64>, number: u64) -> Slot {
        let (class, order) = match (role, lastmod) {
            (Role::Sitemap, _) => (Slot::SITEMAP, 0),
            (Role::Asset, _) => (Slot::ASSET, 0),
            (Role::Page, Some(at)) => (Slot::DATED, u64::MAX - at.max(0).cast_unsigned()),
            (Role::Page, None) => (Slot::PAGE, 0),
        };
        Slot {
            class,
            order,
            number,
        }
    }

    /// The first of a class.
    pub fn first(class: u8) -> Slot {
        Slot {
            class,
            order: 0,
            number: 0,
        }
    }

    /// The one right behind.
    pub fn next(self) -> Slot {
        Slot {
            number: self.number + 1,
            ..self
        }
    }

    fn key(self, authority: &str) -> Vec<u8> {
        let mut key = lane(authority);
        key.push(self.class);
        key.extend_from_slice(&self.order.to_be_bytes());
        key.extend_from_slice(&self.number.to_be_bytes());
        key
    }

    fn of_key(key: &[u8]) -> Option<Slot> {
        let (rest, number) = key.split_last_chunk::<8>()?;
        let (rest, order) = rest.split_last_chunk::<8>()?;
        Some(Slot {
            class: *rest.last()?,
            order: u64::from_be_bytes(*order),
            number: u64::from_be_bytes(*number),
        })
    }
}

/// Where a crawl is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub run: RunId,
    /// Identifies the scope that its URLs were admitted by.
    pub scope: String,
    /// Robots and seeds have been asked for, and a seed was usable.
    pub seeded: bool,
    /// By origin: the manifest's entries of it before this URL are done.
    pub cursors: BTreeMap<String, String>,
    pub counts: CrawlCounts,
    pub tally: Tally,
    /// Named troubles, up to a bound.
    pub troubles: Vec<Trouble>,
}

/// What of a position never changes but once.
#[derive(Serialize, Deserialize)]
struct Begun {
    run: RunId,
    scope: String,
    seeded: bool,
}

/// The frontier and the staging of one run.
pub struct Frontier {
    db: Db,
    dir: PathBuf,
    known: Mutex<Known>,
    staged: Mutex<Runs>,
    unflushed: Mutex<Unflushed>,
}

/// The URLs that are queued or have been, by hash. Two of a million share one with a chance of one in 37 million; the
/// key is random, so that no page can be written to make it happen.
struct Known {
    keyed: RandomState,
    hashes: HashSet<u64, AsItIs>,
    /// All of them, on disk.
    runs: Runs,
    /// `hashes` has room for no more, and lacks some.
    has_overflowed: bool,
}

impl Known {
    fn load(db: &Db) -> Result<Known, DbError> {
        let mut known = Known {
            keyed: RandomState::default(),
            hashes: HashSet::default(),
            runs: Runs::find(db, KNOWN)?,
            has_overflowed: false,
        };
        for record in db.scan(&[KNOWN]) {
            known.note(sorted_runs::url_of(&record?.0));
        }
        Ok(known)
    }

    fn note(&mut self, url: &[u8]) {
        self.has_overflowed |= self.hashes.len() == KNOWN_MAX;
        if !self.has_overflowed {
            self.hashes.insert(self.keyed.hash_one(url));
        }
    }

    fn add(&mut self, batch: &mut Batch, url: &PageUrl) {
        self.note(url.as_str().as_bytes());
        batch.put(&self.runs.place(url.as_str()), &[FORMAT]);
    }

    fn contains(&self, db: &Db, url: &PageUrl) -> Result<bool, DbError> {
        let hash = self.keyed.hash_one(url.as_str().as_bytes());
        Ok(self.hashes.contains(&hash)
            || (self.has_overflowed && self.runs.contain(db, url.as_str())?))
    }
}

/// Jobs finished since the last flush, and when that was.
struct Unflushed {
    jobs: usize,
    since: Instant,
}

impl Unflushed {
    fn none() -> Mutex<Unflushed> {
        Mutex::new(Unflushed {
            jobs: 0,
            since: Instant::now(),
        })
    }
}

/// What one finished job changes, in one batch.
pub struct Finished {
    pub url: PageUrl,
    /// Its place in the queue; none when a cursor led to it.
    pub slot: Option<Slot>,
    /// How far the cursor of an origin has come by it, if it has.
    pub cursor: Option<(String, String)>,
    pub staged: Option<Staged>,
    pub counts: CrawlCounts,
    /// With its number.
    pub trouble: Option<(u64, Trouble)>,
    /// Now and then: what it counts since the last time is lost with a kill.
    pub tally: Option<Box<Tally>>,
}

impl Frontier {
    /// Opens the frontier of an unfinished run, or begins one for `run`, in this folder. A damaged frontier is
    /// thrown away: what it knew is found out again.
    ///
    /// # Errors
    /// [`DbError::Busy`], or that no new one can be made.
    pub fn open(
        dir: &Path,
        run: &RunId,
        scope: &str,
        fuse: Fuse,
    ) -> Result<(Frontier, Position), DbError> {
        let fresh = || Position {
            run: run.clone(),
            scope: scope.to_owned(),
            seeded: false,
            cursors: BTreeMap::new(),
            counts: CrawlCounts::default(),
            tally: Tally::default(),
            troubles: Vec::new(),
        };
        let dir = dir.to_owned();
        match Db::open(&dir, CACHE_BYTES, fuse.clone()) {
            Ok(db) => match Frontier::found(db, &dir) {
                Ok((frontier, Some(position))) => return Ok((frontier, position)),
                Ok((frontier, None)) if frontier.db.is_empty()? => {
                    let position = fresh();
                    frontier.begin(&position)?;
                    return Ok((frontier, position));
                }
                Ok((frontier, None)) => frontier.discard()?,
                Err(_) => remove(&dir)?,
            },
            Err(busy @ DbError::Busy { .. }) => return Err(busy),
            Err(error) => {
                tracing::warn!(%error, "the frontier of the last run is thrown away");
                remove(&dir)?;
            }
        }
        let (frontier, _) = Frontier::found(Db::open(&dir, CACHE_BYTES, fuse)?, &dir)?;
        let position = fresh();
        frontier.begin(&position)?;
        Ok((frontier, position))
    }

    /// What lies in a database, with how far the run had come whose frontier it is, if it is one's.
    fn found(db: Db, dir: &Path) -> Result<(Frontier, Option<Position>), DbError> {
        let frontier = Frontier {
            known: Mutex::new(Known::load(&db)?),
            staged: Mutex::new(Runs::find(&db, STAGED)?),
            db,
            dir: dir.to_owned(),
            unflushed: Unflushed::none(),
        };
        let position = frontier.position()?;
        Ok((frontier, position))
    }

    /// The folder of the frontier of a whole crawl.
    pub fn place(state: &Path) -> PathBuf {
        state.join("frontier")
    }

    /// True when a run was cut short, and what it has staged waits to be committed.
    pub fn waits(state: &Path) -> bool {
        Frontier::place(state).exists()
    }

    fn begin(&self, position: &Position) -> Result<(), DbError> {
        let mut batch = Batch::default();
        batch.put(META, &encode(&begun(position)));
        self.db.apply(batch)
    }

    /// What was recorded of an unfinished run, if this is one's.
    fn position(&self) -> Result<Option<Position>, DbError> {
        let Some(Begun { run, scope, seeded }) = self.read(META)? else {
            return Ok(None);
        };
        let mut cursors = BTreeMap::new();
        for record in self.db.scan(&[CURSOR]) {
            let (key, payload) = record?;
            let origin = String::from_utf8_lossy(&key[1..]).into_owned();
            cursors.extend(decode(&payload).map(|at| (origin, at)));
        }
        let mut troubles = Vec::new();
        for record in self.db.scan(&[TROUBLE]) {
            troubles.extend(decode(&record?.1));
        }
        Ok(Some(Position {
            run,
            scope,
            seeded,
            cursors,
            counts: self.read(COUNTS)?.unwrap_or_default(),
            tally: self.read(TALLY)?.unwrap_or_default(),
            troubles,
        }))
    }

    /// Removes what another run has left there.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn forget(dir: &Path) -> Result<(), DbError> {
        remove(dir)
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
        self.known_urls().contains(&self.db, url)
    }

    /// Queues URLs. Visible at once, durable with the next flush, which is before their page counts as done.
    pub fn queue(&self, found: &[(Slot, Queued)]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        let mut known = self.known_urls();
        for (slot, queued) in found {
            batch.put(&slot.key(queued.url.authority()), &encode(queued));
            known.add(&mut batch, &queued.url);
        }
        self.db.apply(batch)
    }

    /// Marks a URL as dealt with outside the queues.
    pub fn know(&self, url: &PageUrl) -> Result<(), DbError> {
        let mut batch = Batch::default();
        self.known_urls().add(&mut batch, url);
        self.db.apply(batch)
    }

    /// Notes when stored pages were last changed, as their sitemaps have it, in seconds since 1970. Of several words
    /// on one page the latest counts.
    pub fn note_lastmods(&self, stored: &[(PageUrl, i64)]) -> Result<(), DbError> {
        let mut latest: BTreeMap<&PageUrl, i64> = BTreeMap::new();
        for (url, at) in stored {
            let known = latest.entry(url).or_insert(*at);
            *known = (*known).max(*at);
        }
        let mut batch = Batch::default();
        for (url, at) in latest {
            if self.lastmod(url)?.is_none_or(|known| known < at) {
                batch.put(&keyed(LASTMOD, url), &encode(&at));
            }
        }
        self.db.apply(batch)
    }

    /// Records what is known of sitemaps. To be called before the job counts as done that has told it.
    pub fn note_sitemaps(&self, records: &[(PageUrl, SitemapRecord)]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        for (url, record) in records {
            batch.put(&keyed(SITEMAP, url), &encode(record));
        }
        self.db.apply(batch)
    }

    /// What is known of sitemaps.
    pub fn sitemaps(&self) -> Result<Vec<(PageUrl, SitemapRecord)>, DbError> {
        let mut sitemaps = Vec::new();
        for record in self.db.scan(&[SITEMAP]) {
            let (key, payload) = record?;
            let url = PageUrl::recorded(&String::from_utf8_lossy(&key[1..])).ok();
            sitemaps.extend(url.zip(decode(&payload)));
        }
        Ok(sitemaps)
    }

    /// When a stored page was last changed, as a sitemap of this crawl has it.
    pub fn lastmod(&self, url: &PageUrl) -> Result<Option<i64>, DbError> {
        self.read(&keyed(LASTMOD, url))
    }

    /// The next URLs that wait for a host, all of one class, from `from` on.
    pub fn waiting(
        &self,
        authority: &str,
        from: Slot,
    ) -> impl Iterator<Item = Result<(Slot, Queued), DbError>> + '_ {
        let mut prefix = lane(authority);
        prefix.push(from.class);
        let scan = self.db.scan_from(&prefix, &from.key(authority));
        scan.filter_map(|record| match record {
            Ok((key, payload)) => Some(Ok((Slot::of_key(&key)?, decode(&payload)?))),
            Err(error) => Some(Err(error)),
        })
    }

    /// The hosts for which something waits, and a number that is higher than that of any slot.
    pub fn lanes(&self) -> Result<(Vec<String>, u64), DbError> {
        let mut lanes: Vec<String> = Vec::new();
        let mut next = 0;
        for record in self.db.scan(&[QUEUE]) {
            let key = record?.0;
            next = next.max(Slot::of_key(&key).map_or(0, |slot| slot.number + 1));
            let end = key.iter().position(|byte| *byte == AFTER_HOST);
            let host = String::from_utf8_lossy(&key[1..end.unwrap_or(key.len())]);
            if lanes.last().is_none_or(|last| *last != host) {
                lanes.push(host.into_owned());
            }
        }
        Ok((lanes, next))
    }

    /// Records finished jobs, whose bodies are durable. Flushes when much has gathered.
    pub fn finish(&self, finished: &[Finished]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        let mut cursors: BTreeMap<&str, &str> = BTreeMap::new();
        let mut runs = self.staged_runs();
        for one in finished {
            if let Some(slot) = one.slot {
                batch.remove(&slot.key(one.url.authority()));
            }
            if let Some(staged) = &one.staged {
                batch.put(&runs.place(one.url.as_str()), &encode(staged));
            }
            if let Some((origin, at)) = &one.cursor {
                cursors.insert(origin, at);
            }
            if let Some((number, trouble)) = &one.trouble {
                let key = [&[TROUBLE][..], &number.to_be_bytes()].concat();
                batch.put(&key, &encode(trouble));
            }
            if let Some(tally) = &one.tally {
                batch.put(TALLY, &encode(tally));
            }
        }
        drop(runs);
        for (origin, at) in cursors {
            batch.put(&[&[CURSOR], origin.as_bytes()].concat(), &encode(&at));
        }
        if let Some(last) = finished.last() {
            batch.put(COUNTS, &encode(&last.counts));
        }
        self.db.apply(batch)?;
        let mut unflushed = self
            .unflushed
            .lock()
            .expect("no holder of this lock panics");
        unflushed.jobs += finished.len();
        let is_much = self.db.unflushed() >= UNFLUSHED_MAX || unflushed.jobs >= UNFLUSHED_JOBS_MAX;
        if is_much || unflushed.since.elapsed() >= UNFLUSHED_AGE {
            self.db.flush()?;
            *unflushed = Unflushed {
                jobs: 0,
                since: Instant::now(),
            };
        }
        Ok(())
    }

    /// Records that the crawl is past its beginning, durably with everything before.
    pub fn save(&self, position: &Position) -> Result<(), DbError> {
        let mut batch = Batch::default();
        batch.put(META, &encode(&begun(position)));
        batch.put(COUNTS, &encode(&position.counts));
        batch.put(TALLY, &encode(&position.tally));
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
                let (key, payload) = record?;
                batch.remove(&key);
                // Run by run, so that the last word on a URL stays.
                batch.put(&[&[ASIDE], sorted_runs::url_of(&key)].concat(), &payload);
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
        let newest = Newest::of(&self.db, &self.staged_runs());
        newest.filter_map(|record| match record {
            Ok((url, payload)) => {
                // As the manifest has it: under another spelling it would be another page.
                let url = PageUrl::recorded(&String::from_utf8_lossy(&url)).ok()?;
                Some(Ok((url, decode(&payload)?)))
            }
            Err(error) => Some(Err(error)),
        })
    }

    fn known_urls(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder of this lock panics")
    }

    fn staged_runs(&self) -> MutexGuard<'_, Runs> {
        self.staged.lock().expect("no holder of this lock panics")
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

/// Before the slots of one host.
fn lane(authority: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(authority.len() + 19);
    key.push(QUEUE);
    key.extend_from_slice(authority.as_bytes());
    key.push(AFTER_HOST);
    key
}

fn begun(position: &Position) -> Begun {
    Begun {
        run: position.run.clone(),
        scope: position.scope.clone(),
        seeded: position.seeded,
    }
}

fn remove(dir: &Path) -> Result<(), DbError> {
    remove_folder(dir).map_err(|source| DbError::Io {
        dir: dir.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::Trouble;

    fn url(path: &str) -> PageUrl {
        PageUrl::parse(&format!("http://h.test{path}")).unwrap()
    }

    fn open(dir: &Path, run: &str) -> (Frontier, Position) {
        Frontier::open(dir, &RunId(run.into()), "all", Fuse::none()).unwrap()
    }

    fn queued(path: &str) -> Queued {
        Queued {
            url: url(path),
            from: None,
            is_sitemap: false,
        }
    }

    fn paths_of_class(frontier: &Frontier, class: u8) -> Vec<String> {
        let waiting = frontier.waiting("h.test", Slot::first(class));
        waiting
            .map(|found| found.unwrap().1.url.path().to_owned())
            .collect()
    }

    #[test]
    fn a_killed_crawl_is_found_again_where_it_was() {
        // Promise: an interrupted crawl goes on, with its counts, its troubles and its place in the manifest. (One
        // with a robots.txt that answered 404 began anew once.)
        let state = tempfile::tempdir().unwrap();
        let (frontier, mut position) = open(state.path(), "first");
        position.seeded = true;
        frontier.save(&position).unwrap();
        let trouble = Trouble {
            url: url("/robots.txt"),
            why: "the answer was 404".into(),
            from: None,
        };
        position.counts.fetched = 7;
        position.troubles.push(trouble.clone());
        let cursor = ("http://h.test".to_owned(), "http://h.test/b".to_owned());
        position.cursors.extend([cursor.clone()]);
        let finished = Finished {
            url: url("/a"),
            slot: None,
            cursor: Some(cursor),
            staged: None,
            counts: position.counts,
            trouble: Some((0, trouble)),
            tally: None,
        };
        frontier.finish(&[finished]).unwrap();
        frontier.flush().unwrap();
        drop(frontier);
        let (_, found) = open(state.path(), "second");
        assert_eq!(found, position);
    }

    #[test]
    fn what_waits_is_ordered_by_class_then_by_time_then_as_found() {
        // Promise: sitemaps first, then parts of stored pages, then the newest, then the rest as it was found.
        let state = tempfile::tempdir().unwrap();
        let (frontier, _) = open(state.path(), "first");
        let found = [
            (Slot::of(Role::Page, None, 1), queued("/plain1")),
            (Slot::of(Role::Page, Some(100), 2), queued("/old")),
            (Slot::of(Role::Asset, None, 3), queued("/asset")),
            (Slot::of(Role::Page, Some(900), 4), queued("/new")),
            (Slot::of(Role::Page, None, 5), queued("/plain2")),
            (Slot::of(Role::Sitemap, None, 6), queued("/sitemap")),
        ];
        frontier.queue(&found).unwrap();
        let waiting: Vec<Vec<String>> = (0..Slot::CLASSES)
            .map(|class| paths_of_class(&frontier, class))
            .collect();
        assert_eq!(
            waiting,
            [
                vec!["/sitemap"],
                vec!["/asset"],
                vec!["/new", "/old"],
                vec!["/plain1", "/plain2"]
            ]
        );
        assert_eq!(frontier.lanes().unwrap(), (vec!["h.test".to_owned()], 7));
    }

    #[test]
    fn what_is_staged_keeps_the_name_of_its_record() {
        // Promise: a page that an earlier version recorded with its escapes is withdrawn under that name.
        let state = tempfile::tempdir().unwrap();
        let (frontier, _) = open(state.path(), "one");
        let url = PageUrl::recorded("http://h.test/a%7Eb").unwrap();
        let finished = Finished {
            url: url.clone(),
            slot: None,
            cursor: None,
            staged: Some(Staged::Missing { status: 404 }),
            counts: CrawlCounts::default(),
            trouble: None,
            tally: None,
        };
        frontier.finish(&[finished]).unwrap();
        let staged: Vec<PageUrl> = frontier.staged().map(|one| one.unwrap().0).collect();
        assert_eq!(staged, [url]);
    }
}
