//! What an audit keeps in `state/audit/` while it goes: what should be there (`expected.rs`), the findings of each tier
//! as lines of JSON, and how far each tier was gone through, so that a killed audit goes on where it was; each with its
//! hash before it. None of it is promised to anybody: what is damaged or does not fit together is thrown away, and the audit
//! begins anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::AuditError;
use super::expected::Made;
use super::finding::{Class, Finding, csv_header};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::remove_folder;
use crate::manifest::Generation;

/// Raised whenever what the files say comes to mean something else.
const FORMAT: u32 = 2;

const ORDER: &str = "order.json";

/// An audit that was cut short longer ago than this begins anew: what it has seen may have changed since.
const AGE_S_MAX: i64 = 24 * 3600;

const DAMAGED: &str = "the findings were damaged while they were used; run the audit again";

/// Where an audit works.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub dir: PathBuf,
}

/// What a killed audit was about; one that goes on has the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Subject {
    format: u32,
    pub lineage: String,
    pub generation: Generation,
    /// What was asked for, in words.
    pub order: String,
    /// Names of tiers and how they stand: epoch, watermark, debts.
    pub tiers: Vec<(String, u64, Generation, u64)>,
}

impl Subject {
    pub fn new(
        lineage: String,
        generation: Generation,
        order: String,
        tiers: Vec<(String, u64, Generation, u64)>,
    ) -> Subject {
        Subject {
            format: FORMAT,
            lineage,
            generation,
            order,
            tiers,
        }
    }
}

/// The beginning of an audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun {
    pub subject: Subject,
    pub made: Made,
    /// Of what is picked at random.
    pub seed: u64,
    /// Seconds since 1970.
    pub at: i64,
}

impl Desk {
    pub fn new(dir: PathBuf) -> Desk {
        Desk { dir }
    }

    /// The audit that was cut short, if it was this one and not long ago.
    pub fn cut_short(&self, subject: &Subject, now: i64) -> Option<Begun> {
        let begun: Begun = read(&self.dir.join(ORDER))?;
        let age = now - begun.at;
        let is_fresh = (0..=AGE_S_MAX).contains(&age);
        (begun.subject == *subject && is_fresh).then_some(begun)
    }

    /// Clears everything away.
    pub fn clear(&self) -> Result<(), AuditError> {
        remove_folder(&self.dir).map_err(AuditError::io(&self.dir))
    }

    pub fn make(&self) -> Result<(), AuditError> {
        fs::create_dir_all(&self.dir).map_err(AuditError::io(&self.dir))
    }

    /// Notes that what should be there stands ready: from here on the audit can be gone on with.
    pub fn begin(&self, begun: &Begun) -> Result<(), AuditError> {
        write(&self.dir.join(ORDER), begun)
    }

    pub fn spool(&self, tier: &TierName) -> PathBuf {
        self.dir.join(format!("tier-{tier}.findings"))
    }

    fn position(&self, tier: &TierName) -> PathBuf {
        self.dir.join(format!("tier-{tier}.json"))
    }

    /// How far a tier was gone through.
    pub fn place_of<T: DeserializeOwned>(&self, tier: &TierName) -> Option<T> {
        read(&self.position(tier))
    }

    pub fn keep_place<T: Serialize>(&self, tier: &TierName, place: &T) -> Result<(), AuditError> {
        write(&self.position(tier), place)
    }
}

/// The findings of one tier.
pub(super) struct Spool {
    file: BufWriter<File>,
    path: PathBuf,
    pub bytes: u64,
}

impl Spool {
    /// Opens the findings so far, as long as they were when the place was noted; `None` when some of them are lost or
    /// damaged.
    pub fn open(path: PathBuf, bytes: u64) -> Result<Option<Spool>, AuditError> {
        let failed = AuditError::io(&path);
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(&path)
            .map_err(&failed)?;
        if file.metadata().map_err(&failed)?.len() < bytes || !is_whole(&path, bytes) {
            return Ok(None);
        }
        file.set_len(bytes)
            .and_then(|()| file.seek(SeekFrom::End(0)))
            .map_err(&failed)?;
        Ok(Some(Spool {
            file: BufWriter::new(file),
            path,
            bytes,
        }))
    }

    pub fn add(&mut self, finding: &Finding) -> Result<(), AuditError> {
        let line = line_of(finding) + "\n";
        self.bytes += line.len() as u64;
        self.file
            .write_all(line.as_bytes())
            .map_err(AuditError::io(&self.path))
    }

    /// Makes what was added survive a kill of this process.
    pub fn flush(&mut self) -> Result<(), AuditError> {
        self.file.flush().map_err(AuditError::io(&self.path))
    }
}

/// Every finding in a spool, in the order in which they were made.
pub(super) fn findings_in(
    path: &Path,
) -> Result<impl Iterator<Item = Result<Finding, AuditError>> + Send + use<>, AuditError> {
    let failed = AuditError::io(path);
    let lines = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        file => Some(BufReader::new(file.map_err(&failed)?).lines()),
    };
    Ok(lines.into_iter().flatten().map(move |line| {
        let line = line.map_err(&failed)?;
        record_in(&line).ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidData, DAMAGED)))
    }))
}

/// A record with its hash before it.
fn line_of<T: Serialize>(record: &T) -> String {
    let json = serde_json::to_string(record).expect("a plain record always serialises");
    format!("{} {json}", ContentHash::of(json.as_bytes()))
}

/// What [`line_of`] has made, unless it was damaged since.
fn record_in<T: DeserializeOwned>(line: &str) -> Option<T> {
    let (hash, json) = line.split_once(' ')?;
    let is_whole = hash == ContentHash::of(json.as_bytes()).to_string();
    serde_json::from_str(json).ok().filter(|_| is_whole)
}

/// Whether so many bytes of a spool are whole lines, each as it was written.
fn is_whole(path: &Path, bytes: u64) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let mut lines = BufReader::new(file.take(bytes)).lines();
    lines.all(|line| line.is_ok_and(|line| record_in::<Finding>(&line).is_some()))
}

/// Writes a file per class into a folder: `missing.ndjson`, `missing.csv` and so on, all tiers in one. A class
/// without findings has files without rows, so that a reader always finds them.
pub(super) fn report(dir: &Path, spools: &[PathBuf]) -> Result<(), AuditError> {
    fs::create_dir_all(dir).map_err(AuditError::io(dir))?;
    let mut files = Vec::new();
    for class in Class::ALL {
        let path = |end: &str| dir.join(format!("{}.{end}", class.as_str()));
        files.push((create(path("ndjson"))?, create(path("csv"))?));
    }
    let failed = AuditError::io(dir);
    for (_, csv) in &mut files {
        csv.write_all(csv_header().as_bytes()).map_err(&failed)?;
    }
    for spool in spools {
        for finding in findings_in(spool)? {
            let finding = finding?;
            let (ndjson, csv) = &mut files[finding.class as usize];
            serde_json::to_writer(&mut *ndjson, &finding)
                .map_err(std::io::Error::from)
                .and_then(|()| ndjson.write_all(b"\n"))
                .and_then(|()| csv.write_all(finding.csv().as_bytes()))
                .map_err(&failed)?;
        }
    }
    for (mut ndjson, mut csv) in files {
        ndjson.flush().and_then(|()| csv.flush()).map_err(&failed)?;
    }
    Ok(())
}

fn create(path: PathBuf) -> Result<BufWriter<File>, AuditError> {
    let file = File::create(&path).map_err(AuditError::io(&path))?;
    Ok(BufWriter::new(file))
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    record_in(&fs::read_to_string(path).ok()?)
}

/// Replaced as a whole, and not made durable: after a power cut the audit begins anew.
fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), AuditError> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, line_of(record))
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(AuditError::io(path))
}
