//! Records sorted outside of memory: sorted runs on the disk, merged when they are read.
//!
//! Keys and URLs are in nearly the same order, but only nearly, and a site has any number of them. What is written here
//! is worth nothing after a kill and is not made durable.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Memory for a run before it is sorted and written. 1,000,000 pages make some eight runs.
pub(super) const RUN_BYTES: usize = 32 << 20;

/// Each run that is merged is read through a buffer of this size.
const READ_BYTES: usize = 64 << 10;

/// A longer one cannot come from a manifest; such a length is damage.
const PART_BYTES_MAX: usize = 1 << 20;

/// A key to sort by, and what belongs to it.
pub(super) type Record = (Vec<u8>, Vec<u8>);

/// Takes records in any order.
pub(super) struct Sorter {
    /// Runs are files that begin with this path.
    stem: PathBuf,
    bytes_max: usize,
    bytes: Vec<u8>,
    places: Vec<At>,
    runs: usize,
}

/// Where a record lies in the memory of a sorter.
#[derive(Clone, Copy)]
struct At {
    start: usize,
    key: u32,
    payload: u32,
}

impl Sorter {
    pub fn new(stem: PathBuf, bytes_max: usize) -> Sorter {
        Sorter {
            stem,
            bytes_max,
            bytes: Vec::new(),
            places: Vec::new(),
            runs: 0,
        }
    }

    pub fn push(&mut self, key: &[u8], payload: &[u8]) -> io::Result<()> {
        self.places.push(At {
            start: self.bytes.len(),
            key: length(key)?,
            payload: length(payload)?,
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(payload);
        let taken = self.bytes.len() + self.places.len() * size_of::<At>();
        if taken >= self.bytes_max {
            self.spill()?;
        }
        Ok(())
    }

    /// All records in the order of their keys; those of equal keys in any order.
    pub fn sorted(mut self) -> io::Result<Sorted> {
        self.spill()?;
        let mut sorted = Sorted {
            runs: Vec::with_capacity(self.runs),
            heads: BinaryHeap::with_capacity(self.runs),
        };
        for number in 0..self.runs {
            sorted.runs.push(Run::open(run_file(&self.stem, number))?);
            sorted.pull(number)?;
        }
        Ok(sorted)
    }

    fn spill(&mut self) -> io::Result<()> {
        if self.places.is_empty() {
            return Ok(());
        }
        let bytes = &self.bytes;
        self.places
            .sort_unstable_by(|a, b| a.key_in(bytes).cmp(b.key_in(bytes)));
        let path = run_file(&self.stem, self.runs);
        let mut file = BufWriter::with_capacity(READ_BYTES, File::create(path)?);
        for at in &self.places {
            write_part(&mut file, at.key_in(bytes))?;
            write_part(&mut file, at.payload_in(bytes))?;
        }
        file.flush()?;
        self.runs += 1;
        self.bytes.clear();
        self.places.clear();
        Ok(())
    }
}

impl At {
    fn key_in(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start..self.start + self.key as usize]
    }

    fn payload_in(self, bytes: &[u8]) -> &[u8] {
        let start = self.start + self.key as usize;
        &bytes[start..start + self.payload as usize]
    }
}

/// The records of all runs in the order of their keys. The runs go when it is dropped.
pub(super) struct Sorted {
    runs: Vec<Run>,
    heads: BinaryHeap<Reverse<Head>>,
}

/// The first record of a run that was not given out: its key, the run, and what belongs to the key.
type Head = (Vec<u8>, usize, Vec<u8>);

impl Sorted {
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        let Some(Reverse((key, run, payload))) = self.heads.pop() else {
            return Ok(None);
        };
        self.pull(run)?;
        Ok(Some((key, payload)))
    }

    fn pull(&mut self, run: usize) -> io::Result<()> {
        let file = &mut self.runs[run].file;
        if let Some(key) = read_part(file)? {
            let payload = read_part(file)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            self.heads.push(Reverse((key, run, payload)));
        }
        Ok(())
    }
}

struct Run {
    file: BufReader<File>,
    path: PathBuf,
}

impl Run {
    fn open(path: PathBuf) -> io::Result<Run> {
        let file = BufReader::with_capacity(READ_BYTES, File::open(&path)?);
        Ok(Run { file, path })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // One that stays is overwritten or removed by the next audit.
        drop(fs::remove_file(&self.path));
    }
}

fn run_file(stem: &Path, number: usize) -> PathBuf {
    stem.with_extension(format!("{number}.run"))
}

fn length(part: &[u8]) -> io::Result<u32> {
    u32::try_from(part.len())
        .ok()
        .filter(|length| *length as usize <= PART_BYTES_MAX)
        .ok_or_else(|| io::Error::other("a record is too long to be sorted"))
}

/// Writes a length and the bytes.
pub(super) fn write_part(file: &mut impl Write, part: &[u8]) -> io::Result<()> {
    file.write_all(&length(part)?.to_le_bytes())?;
    file.write_all(part)
}

/// Reads what [`write_part`] has written; `None` at the end of the file.
pub(super) fn read_part(file: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut got = 0;
    while got < length.len() {
        match file.read(&mut length[got..])? {
            0 if got == 0 => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            more => got += more,
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > PART_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut part = vec![0; length];
    file.read_exact(&mut part)?;
    Ok(Some(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out_in_order(
            records in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..6), proptest::collection::vec(any::<u8>(), 0..6)), 0..80),
            bytes_max in 1_usize..600,
        ) {
            // Promise: sorting outside of memory is sorting, however little memory there is; no file stays.
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(dir.path().join("test"), bytes_max);
            for (key, payload) in &records {
                sorter.push(key, payload).unwrap();
            }
            let mut sorted = sorter.sorted().unwrap();
            let mut found = Vec::new();
            while let Some(record) = sorted.next().unwrap() {
                found.push(record);
            }
            drop(sorted);
            prop_assert!(found.windows(2).all(|pair| pair[0].0 <= pair[1].0));
            found.sort();
            let mut expected = records;
            expected.sort();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
