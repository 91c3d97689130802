//! When each URL was last looked at, apart from the manifest: what changes on every run would otherwise rewrite
//! every entry. A file beside the manifest, `sightings`, of 16 bytes a URL. It may be lost or damaged without
//! harm: URLs are then asked for and parsed as if they had not been met for long.
//!
//! Format 1:
//!
//! ```text
//! file   = magic "STANDSGT" | format u8 = 1 | 7 zero bytes | key, 32 bytes | records u64
//!        | CRC32C of all before it u32 | block*
//! block  = 4,096 records (the last one: what remains) | CRC32C of them u32
//! record = hash u64 | checked, seconds since 1970 u32 | parsed, days since 1970 u16 | linked, days u16
//! ```
//!
//! Integers are little-endian, 0 means never. Records ascend by hash, none twice; the hash is the beginning of the
//! BLAKE3 of the URL under the file's own random key, so that no site can make two of its URLs meet. (By accident
//! two of a million do once in 37 million files; they then share their times.)
//!
//! In memory: an array of the same 16 bytes, and a map of some 40 bytes for each URL that is new since they were
//! last merged, which are 4,096 or an eighth of the array: 16 to 22 bytes a URL.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use crate::content::crc32c;
use crate::db::replace_file;
use crate::site::PageUrl;

const MAGIC: [u8; 16] = *b"STANDSGT\x01\0\0\0\0\0\0\0";

const KEY_BYTES: usize = 32;
const RECORD_BYTES: usize = 16;

/// Records under one checksum: 64 KiB.
const BLOCK_RECORDS: usize = 4096;

/// New URLs that are merged into the array one batch at a time, or an eighth of it if that is more.
const FRESH_MIN: usize = 4096;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A URL that nothing has touched for so many days is forgotten; no rule looks back further than a year.
const KEPT_DAYS: u16 = 400;

/// What is known about one URL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sighting {
    /// When an answer last was what is recorded, a 304 included; seconds since 1970.
    pub checked: Option<i64>,
    /// When its body was last scanned for links; days since 1970.
    pub parsed_day: Option<u16>,
    /// When a parsed page, a sitemap or a seed last named it; days since 1970.
    pub linked_day: Option<u16>,
}

/// The sightings of a state directory.
#[derive(Debug)]
pub struct Sightings {
    path: PathBuf,
    key: [u8; KEY_BYTES],
    /// Ascending by hash.
    known: Vec<Record>,
    /// What is not in `known` yet.
    fresh: HashMap<u64, Times>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    hash: u64,
    times: Times,
}

/// 0 is never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    checked: u32,
    parsed: u16,
    linked: u16,
}

/// The day of a time in seconds since 1970; the first and the last that a sighting can hold for what lies beyond.
pub fn day_of(at: i64) -> u16 {
    let day = at.div_euclid(DAY_SECONDS).clamp(1, i64::from(u16::MAX));
    u16::try_from(day).expect("it was brought within bounds")
}

impl Sightings {
    /// Reads the file. One that is absent, damaged or of another format is as good as none, and replaced by
    /// [`Sightings::save`]; the log says so.
    pub fn open(path: &Path) -> Sightings {
        let read = File::open(path).map(|file| {
            let size = file.metadata().map_or(0, |about| about.len());
            read(&mut BufReader::with_capacity(1 << 16, file), size)
        });
        let why = match read {
            Ok(Ok((key, known))) => return Sightings::with(path, key, known),
            Ok(Err(why)) => why.to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "not there yet".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::info!(path = %path.display(), why, "no sightings: every page is asked for and none retired");
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).expect("the operating system has randomness");
        Sightings::with(path, key, Vec::new())
    }

    fn with(path: &Path, key: [u8; KEY_BYTES], known: Vec<Record>) -> Sightings {
        Sightings {
            path: path.to_owned(),
            key,
            known,
            fresh: HashMap::new(),
        }
    }

    /// How many URLs are known.
    pub fn len(&self) -> usize {
        self.known.len() + self.fresh.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn get(&self, url: &PageUrl) -> Option<Sighting> {
        let hash = self.hash(url);
        let times = match self.place(hash) {
            Ok(at) => self.known[at].times,
            Err(_) => *self.fresh.get(&hash)?,
        };
        let day = |day: u16| (day > 0).then_some(day);
        Some(Sighting {
            checked: (times.checked > 0).then_some(i64::from(times.checked)),
            parsed_day: day(times.parsed),
            linked_day: day(times.linked),
        })
    }

    /// The URL has answered what is recorded of it; seconds since 1970, as everywhere here. What is older than what is known changes
    /// nothing.
    pub fn checked(&mut self, url: &PageUrl, at: i64) {
        let checked = at.clamp(1, i64::from(u32::MAX));
        let checked = u32::try_from(checked).expect("it was brought within bounds");
        self.note(
            url,
            Times {
                checked,
                ..Times::default()
            },
        );
    }

    pub fn parsed(&mut self, url: &PageUrl, at: i64) {
        self.note(
            url,
            Times {
                parsed: day_of(at),
                ..Times::default()
            },
        );
    }

    pub fn linked(&mut self, url: &PageUrl, at: i64) {
        self.note(
            url,
            Times {
                linked: day_of(at),
                ..Times::default()
            },
        );
    }

    /// Replaces the file atomically and makes it durable, which takes a moment: nothing for a thread that others
    /// wait for. URLs that have not been touched for 400 days are dropped, and times that lie more than a day ahead
    /// of `now`: a clock was wrong then.
    ///
    /// # Errors
    /// What the file system says, with the path; the file before stays.
    pub fn save(&mut self, now: i64) -> io::Result<()> {
        self.merge();
        let today = day_of(now);
        self.known.retain_mut(|record| {
            record.times.forget_ahead(today);
            record.times.day() >= today.saturating_sub(KEPT_DAYS).max(1)
        });
        let said = |error: io::Error| {
            let text = format!(
                "{}: {error}; the next run finds it out again",
                self.path.display()
            );
            io::Error::new(error.kind(), text)
        };
        replace_file(&self.path, |file| self.write(file)).map_err(said)
    }

    fn hash(&self, url: &PageUrl) -> u64 {
        let hash = blake3::keyed_hash(&self.key, url.as_str().as_bytes());
        let start = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*start)
    }

    fn place(&self, hash: u64) -> Result<usize, usize> {
        self.known.binary_search_by_key(&hash, |record| record.hash)
    }

    fn note(&mut self, url: &PageUrl, times: Times) {
        let hash = self.hash(url);
        match self.place(hash) {
            Ok(at) => self.known[at].times.renew(times),
            Err(_) => self.fresh.entry(hash).or_default().renew(times),
        }
        if self.fresh.len() >= FRESH_MIN.max(self.known.len() / 8) {
            self.merge();
        }
    }

    /// Takes the new ones into the array, from its end and in its own room.
    fn merge(&mut self) {
        let fresh = self
            .fresh
            .drain()
            .map(|(hash, times)| Record { hash, times });
        let mut fresh: Vec<Record> = fresh.collect();
        fresh.sort_unstable_by_key(|record| record.hash);
        let (mut from, mut to) = (self.known.len(), self.known.len() + fresh.len());
        self.known.reserve_exact(fresh.len());
        self.known.extend_from_slice(&fresh);
        while let Some(newest) = fresh.last() {
            to -= 1;
            if from > 0 && self.known[from - 1].hash > newest.hash {
                from -= 1;
                self.known[to] = self.known[from];
            } else {
                self.known[to] = *newest;
                fresh.pop();
            }
        }
        debug_assert!(self.known.is_sorted_by(|a, b| a.hash < b.hash));
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(BLOCK_RECORDS * RECORD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&(self.known.len() as u64).to_le_bytes());
        write_checked(file, &bytes)?;
        for block in self.known.chunks(BLOCK_RECORDS) {
            bytes.clear();
            block.iter().for_each(|record| record.append_to(&mut bytes));
            write_checked(file, &bytes)?;
        }
        Ok(())
    }
}

impl Times {
    /// The newer of each.
    fn renew(&mut self, other: Times) {
        self.checked = self.checked.max(other.checked);
        self.parsed = self.parsed.max(other.parsed);
        self.linked = self.linked.max(other.linked);
    }

    /// The day on which something was last noted.
    fn day(self) -> u16 {
        let checked = match self.checked {
            0 => 0,
            checked => day_of(i64::from(checked)),
        };
        checked.max(self.parsed).max(self.linked)
    }

    fn forget_ahead(&mut self, today: u16) {
        let tomorrow = today.saturating_add(1);
        if self.checked > 0 && day_of(i64::from(self.checked)) > tomorrow {
            self.checked = 0;
        }
        for day in [&mut self.parsed, &mut self.linked] {
            if *day > tomorrow {
                *day = 0;
            }
        }
    }
}

impl Record {
    fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.hash.to_le_bytes());
        bytes.extend_from_slice(&self.times.checked.to_le_bytes());
        bytes.extend_from_slice(&self.times.parsed.to_le_bytes());
        bytes.extend_from_slice(&self.times.linked.to_le_bytes());
    }

    fn from_bytes(bytes: &[u8]) -> Record {
        let (hash, rest) = bytes.split_first_chunk().expect("a record has 16 bytes");
        let (checked, rest) = rest.split_first_chunk().expect("as above");
        let (parsed, rest) = rest.split_first_chunk().expect("as above");
        let linked = rest.first_chunk().expect("as above");
        Record {
            hash: u64::from_le_bytes(*hash),
            times: Times {
                checked: u32::from_le_bytes(*checked),
                parsed: u16::from_le_bytes(*parsed),
                linked: u16::from_le_bytes(*linked),
            },
        }
    }
}

/// All of a file of `size` bytes, or why it cannot be used. Total.
fn read(file: &mut impl Read, size: u64) -> Result<([u8; KEY_BYTES], Vec<Record>), &'static str> {
    const DAMAGED: &str = "damaged";
    let header =
        read_checked(file, MAGIC.len() + KEY_BYTES + 8).ok_or("damaged or of another format")?;
    let (magic, rest) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err("of another format");
    }
    let (key, count) = rest.split_first_chunk().expect("the header has this size");
    let count = count.first_chunk().map(|count| u64::from_le_bytes(*count));
    let count = count.expect("the header has this size");
    // Before room is made for them.
    if count > size / RECORD_BYTES as u64 {
        return Err(DAMAGED);
    }
    let mut remaining = usize::try_from(count).map_err(|_| DAMAGED)?;
    let mut known: Vec<Record> = Vec::with_capacity(remaining);
    while remaining > 0 {
        let records = remaining.min(BLOCK_RECORDS);
        let block = read_checked(file, records * RECORD_BYTES).ok_or(DAMAGED)?;
        known.extend(block.chunks_exact(RECORD_BYTES).map(Record::from_bytes));
        remaining -= records;
    }
    let is_ended = matches!(file.read(&mut [0]), Ok(0));
    let is_sorted = known.is_sorted_by(|a, b| a.hash < b.hash);
    match is_ended && is_sorted {
        true => Ok((*key, known)),
        false => Err(DAMAGED),
    }
}

/// So many bytes, if the checksum behind them is theirs.
fn read_checked(file: &mut impl Read, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut checksum = [0; 4];
    file.read_exact(&mut bytes).ok()?;
    file.read_exact(&mut checksum).ok()?;
    (crc32c(&bytes) == u32::from_le_bytes(checksum)).then_some(bytes)
}

fn write_checked(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.write_all(&crc32c(bytes).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21T10:46:40Z.
    const NOW: i64 = 1_795_258_000;
    const TODAY: u16 = 20_778;

    fn url(number: u64) -> PageUrl {
        PageUrl::parse(&format!("https://h.org/page/{number}")).unwrap()
    }

    fn seen(checked: i64, parsed_day: u16, linked_day: u16) -> Option<Sighting> {
        Some(Sighting {
            checked: (checked > 0).then_some(checked),
            parsed_day: (parsed_day > 0).then_some(parsed_day),
            linked_day: (linked_day > 0).then_some(linked_day),
        })
    }

    fn golden() -> Vec<u8> {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sightings/sightings-v1.hex");
        hex::decode(fs::read_to_string(path).unwrap().trim()).unwrap()
    }

    fn read_all(bytes: &[u8]) -> Result<([u8; KEY_BYTES], Vec<Record>), &'static str> {
        read(&mut &bytes[..], bytes.len() as u64)
    }

    #[test]
    fn what_was_noted_is_found_in_the_next_run() {
        // Promise: each of the three times by itself, newest wins, over any number of runs and merges; what was
        // never noted is not there.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sightings");
        let mut sightings = Sightings::open(&path);
        assert!(sightings.is_empty());
        for number in 0..10_000 {
            sightings.checked(&url(number), NOW + number as i64 % 7);
        }
        sightings.checked(&url(0), NOW - 1);
        assert_eq!(sightings.get(&url(0)), seen(NOW, 0, 0));
        sightings.save(NOW).unwrap();

        let mut sightings = Sightings::open(&path);
        assert_eq!(sightings.len(), 10_000);
        for number in 5_000..15_000 {
            sightings.parsed(&url(number), NOW - DAY_SECONDS);
            sightings.linked(&url(number), NOW);
        }
        sightings.save(NOW).unwrap();
        let sightings = Sightings::open(&path);
        assert_eq!(sightings.len(), 15_000);
        assert_eq!(sightings.get(&url(4_999)), seen(NOW + 4_999 % 7, 0, 0));
        assert_eq!(
            sightings.get(&url(5_000)),
            seen(NOW + 5_000 % 7, TODAY - 1, TODAY)
        );
        assert_eq!(sightings.get(&url(14_999)), seen(0, TODAY - 1, TODAY));
        assert_eq!(sightings.get(&url(15_000)), None);
        assert_eq!(size_of::<Record>(), 16);
        assert_eq!(fs::metadata(&path).unwrap().len(), 60 + 15_000 * 16 + 4 * 4);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_old_or_lies_ahead_is_dropped() {
        // Promise: 400 days without a touch and a URL is forgotten; times of a clock that was wrong are, too.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sightings");
        let mut sightings = Sightings::open(&path);
        sightings.checked(&url(1), NOW - 401 * DAY_SECONDS);
        sightings.checked(&url(2), NOW - 401 * DAY_SECONDS);
        sightings.linked(&url(2), NOW - 400 * DAY_SECONDS);
        sightings.checked(&url(3), NOW + 2 * DAY_SECONDS);
        sightings.parsed(&url(4), NOW + 2 * DAY_SECONDS);
        sightings.linked(&url(4), NOW);
        sightings.save(NOW).unwrap();
        let sightings = Sightings::open(&path);
        assert_eq!(sightings.len(), 2);
        assert_eq!(
            sightings.get(&url(2)),
            seen(NOW - 401 * DAY_SECONDS, 0, TODAY - 400)
        );
        assert_eq!(sightings.get(&url(4)), seen(0, 0, TODAY));
    }

    #[test]
    fn the_golden_file_is_read_and_written() {
        // Promise: format 1 is what it was; a key of our choice makes the bytes the same each time.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sightings");
        let mut sightings = Sightings::with(&path, [7; KEY_BYTES], Vec::new());
        for number in 0..3 {
            sightings.checked(&url(number), NOW);
            sightings.linked(&url(number + 1), NOW);
        }
        sightings.parsed(&url(0), NOW);
        sightings.save(NOW).unwrap();
        assert_eq!(hex::encode(fs::read(&path).unwrap()), hex::encode(golden()));
        let read = Sightings::open(&path);
        assert_eq!(read.get(&url(0)), seen(NOW, TODAY, 0));
        assert_eq!(read.get(&url(3)), seen(0, 0, TODAY));
    }

    #[test]
    fn a_damaged_file_is_refused_as_a_whole() {
        // Promise: whatever bit is wrong, wherever the end is missing or something follows it: nothing of it is
        // believed, and a file of another format is told from one that is damaged.
        let good = golden();
        assert!(read_all(&good).is_ok());
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            assert!(read_all(&flipped).is_err(), "byte {at}");
            assert!(read_all(&good[..at]).is_err(), "{at} bytes");
        }
        assert_eq!(read_all(&[&good[..], b"x"].concat()), Err("damaged"));
        let mut newer = good[..MAGIC.len() + KEY_BYTES + 8].to_vec();
        newer[8] = 2;
        newer.extend_from_slice(&crc32c(&newer).to_le_bytes());
        assert_eq!(read_all(&newer), Err("of another format"));
        let mut endless = good[..MAGIC.len() + KEY_BYTES].to_vec();
        endless.extend_from_slice(&u64::MAX.to_le_bytes());
        endless.extend_from_slice(&crc32c(&endless).to_le_bytes());
        assert_eq!(read_all(&endless), Err("damaged"));
        // Such a file opens as an empty one.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sightings");
        fs::write(&path, &newer).unwrap();
        let mut sightings = Sightings::open(&path);
        assert!(sightings.is_empty());
        sightings.linked(&url(1), NOW);
        sightings.save(NOW).unwrap();
        assert_eq!(Sightings::open(&path).len(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        // Promise: the error says which file, on one line.
        let mut sightings = Sightings::open(Path::new("/nowhere/at/all/sightings"));
        let message = sightings.save(NOW).unwrap_err().to_string();
        assert!(
            message.starts_with("/nowhere/at/all/sightings: "),
            "{message}"
        );
        assert_eq!(message.lines().count(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_read_or_refused(
            mut bytes in prop::collection::vec(any::<u8>(), 0..300),
            header in any::<bool>(),
        ) {
            // Promise: total; bytes behind a true header are no records unless their checksum says so.
            if header {
                bytes.splice(0..0, golden()[..60].iter().copied());
                prop_assert!(read_all(&bytes).is_err());
            }
            let _ = read_all(&bytes);
        }

        #[test]
        fn it_remembers_as_a_map_does(
            notes in prop::collection::vec((0u64..20, 0u8..3, 1i64..1_000), 0..60),
            merges in prop::collection::vec(any::<bool>(), 60),
        ) {
            // Promise: notes in any order, merged at any time, are the newest of each; the oracle is a plain map.
            let mut sightings = Sightings::with(Path::new("none"), [1; KEY_BYTES], Vec::new());
            let mut oracle: HashMap<u64, [i64; 3]> = HashMap::new();
            for ((number, kind, day), merge) in notes.into_iter().zip(merges) {
                let at = day * DAY_SECONDS;
                match kind {
                    0 => sightings.checked(&url(number), at),
                    1 => sightings.parsed(&url(number), at),
                    _ => sightings.linked(&url(number), at),
                }
                let newest = &mut oracle.entry(number).or_default()[usize::from(kind)];
                *newest = day.max(*newest);
                if merge {
                    sightings.merge();
                }
            }
            prop_assert_eq!(sightings.len(), oracle.len());
            for number in 0..20 {
                let expected = oracle.get(&number).and_then(|[checked, parsed, linked]| {
                    seen(checked * DAY_SECONDS, *parsed as u16, *linked as u16)
                });
                prop_assert_eq!(sightings.get(&url(number)), expected);
            }
        }
    }
}
