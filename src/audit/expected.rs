//! What should be in a tier, in the order of keys: one row for each key that a live page lies on, of several pages the
//! one that is served. Made once for all tiers, as a file in the state directory that each of them reads on its own.
//!
//! In tiers whose ETags are MD5s a blob's ETag is recorded by its content hash. To look each up where it stands would
//! touch the database all over for every object; so rows are sorted by hash first, joined with those records, and sorted
//! by key then.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AuditError;
use super::spill::{RUN_BYTES, Sorter, read_part, write_part};
use crate::content::{ContentHash, Digester};
use crate::delta::Object;
use crate::manifest::{Entry, Generation, Manifest};
use crate::site::{ObjectKey, PageUrl};

const FILE: &str = "expected";

const BUFFER_BYTES: usize = 256 << 10;

/// What should lie on a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub key: String,
    pub url: String,
    pub content: ContentHash,
    pub size: u64,
    pub crc32c: u32,
    pub changed: Generation,
    /// The ETag of the blob where ETags are MD5s, if one was ever reported.
    pub md5_etag: Option<String>,
}

impl Row {
    /// `None` for what is gone.
    pub fn of(key: &ObjectKey, url: &PageUrl, entry: &Entry) -> Option<Row> {
        let meta = Object::of(url, entry)?.meta;
        Some(Row {
            key: key.as_str().to_owned(),
            url: url.as_str().to_owned(),
            content: meta.content,
            size: meta.size,
            crc32c: meta.crc32c,
            changed: entry.changed,
            md5_etag: None,
        })
    }

    /// By key, and of one key the canonical URL first: the shorter one, then the smaller.
    fn sort_key(&self) -> Vec<u8> {
        let length = u32::try_from(self.url.len()).unwrap_or(u32::MAX);
        let (key, url) = (self.key.as_bytes(), self.url.as_bytes());
        [key, &[0], &length.to_be_bytes(), url].concat()
    }

    fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("a plain record always serialises")
    }

    fn decode(bytes: &[u8]) -> io::Result<Row> {
        postcard::from_bytes(bytes).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// Whether rows need the ETags of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Etags {
    OfBlobs,
    None,
}

/// The file of all rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Made {
    pub rows: u64,
    /// Of all bodies.
    pub bytes: u64,
}

/// Makes the file in `dir`. Blocks for seconds where there are a million pages.
pub(super) fn make(manifest: &Manifest, dir: &Path, etags: Etags) -> Result<Made, AuditError> {
    let path = dir.join(FILE);
    let failed = AuditError::io(&path);
    let mut by_key = Sorter::new(dir.join("by-key"), RUN_BYTES);
    match etags {
        Etags::None => {
            each_row(manifest, &path, |row| {
                by_key.push(&row.sort_key(), &row.encode())
            })?;
        }
        Etags::OfBlobs => {
            let mut by_hash = Sorter::new(dir.join("by-hash"), RUN_BYTES);
            each_row(manifest, &path, |row| {
                by_hash.push(row.content.as_bytes(), &row.encode())
            })?;
            let mut known = manifest.etags_of_blobs();
            let mut next = known.next().transpose()?;
            let mut sorted = by_hash.sorted().map_err(&failed)?;
            while let Some((_, payload)) = sorted.next().map_err(&failed)? {
                let mut row = Row::decode(&payload).map_err(&failed)?;
                while next.as_ref().is_some_and(|(hash, _)| *hash < row.content) {
                    next = known.next().transpose()?;
                }
                if let Some((hash, etag)) = &next
                    && *hash == row.content
                {
                    row.md5_etag = Some(etag.clone());
                }
                by_key
                    .push(&row.sort_key(), &row.encode())
                    .map_err(&failed)?;
            }
        }
    }
    write_all(by_key, &path).map_err(&failed)
}

/// Whether the file is as it was made, from its first byte to its last.
pub(super) fn is_whole(dir: &Path, made: Made) -> bool {
    let count = || -> Result<u64, AuditError> {
        let mut rows = Rows::open(dir)?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    };
    count().is_ok_and(|count| count == made.rows)
}

fn each_row(
    manifest: &Manifest,
    path: &Path,
    mut take: impl FnMut(Row) -> io::Result<()>,
) -> Result<(), AuditError> {
    for entry in manifest.entries(None) {
        let (url, entry) = entry?;
        if !entry.outcome.is_live() {
            continue;
        }
        let key = manifest.layout().place(&url).key;
        let row = Row::of(&key, &url, &entry).expect("a live outcome has an object");
        take(row).map_err(AuditError::io(path))?;
    }
    Ok(())
}

/// One row a key, then an empty part and the hash of everything before it.
fn write_all(by_key: Sorter, path: &Path) -> io::Result<Made> {
    let mut sorted = by_key.sorted()?;
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
    let mut digester = Digester::new();
    let mut made = Made::default();
    let mut last: Option<String> = None;
    while let Some((_, payload)) = sorted.next()? {
        let row = Row::decode(&payload)?;
        if last.as_deref() == Some(row.key.as_str()) {
            continue;
        }
        write_part(&mut file, &payload)?;
        digester.update(&payload);
        made.rows += 1;
        made.bytes += row.size;
        last = Some(row.key);
    }
    write_part(&mut file, &[])?;
    file.write_all(digester.finish().content.as_bytes())?;
    file.flush()?;
    Ok(made)
}

/// Reads the rows of a file from the first one.
pub(super) struct Rows {
    file: BufReader<File>,
    path: PathBuf,
    digester: Option<Digester>,
    next: Option<Row>,
}

impl Rows {
    pub fn open(dir: &Path) -> Result<Rows, AuditError> {
        let path = dir.join(FILE);
        let file = File::open(&path).map_err(AuditError::io(&path))?;
        let mut rows = Rows {
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            path,
            digester: Some(Digester::new()),
            next: None,
        };
        rows.pull()?;
        Ok(rows)
    }

    pub fn peek(&self) -> Option<&Row> {
        self.next.as_ref()
    }

    pub fn next(&mut self) -> Result<Option<Row>, AuditError> {
        let row = self.next.take();
        self.pull()?;
        Ok(row)
    }

    fn pull(&mut self) -> Result<(), AuditError> {
        let read = self.read();
        self.next = read.map_err(AuditError::io(&self.path))?;
        Ok(())
    }

    fn read(&mut self) -> io::Result<Option<Row>> {
        let Some(digester) = &mut self.digester else {
            return Ok(None);
        };
        let payload = read_part(&mut self.file)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if !payload.is_empty() {
            digester.update(&payload);
            return Row::decode(&payload).map(Some);
        }
        let mut noted = [0; 32];
        self.file.read_exact(&mut noted)?;
        let found = self
            .digester
            .take()
            .map(|digester| digester.finish().content);
        match found == Some(ContentHash::from_bytes(noted)) {
            true => Ok(None),
            false => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file was damaged while it was used; run the audit again",
            )),
        }
    }
}
