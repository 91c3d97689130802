//! What each file looked like when it was last read, so that it need not be read again while it looks the
//! same. A file beside the manifest, `publish.seen`, that may be lost or damaged without harm: everything is
//! read then.
//!
//! Format 1, in the order of the targets, so that reading and writing it goes along with the walk:
//!
//! ```text
//! file   = magic "STANDSEE" | format u8 = 1 | 7 zero bytes | block*
//! block  = length of the payload u32 | CRC32C of the payload u32 | payload
//! record = bytes shared with the record before u16 | further bytes u16 | these bytes
//!        | look, 16 bytes | BLAKE3 of the file, 32 bytes
//! ```
//!
//! Integers are little-endian; the first record of a block shares nothing. `look` is the beginning of the BLAKE3
//! of size, inode and both times. Only looks that a later change would alter are noted ([`Look::is_settled`]).

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use super::walk::Look;
use crate::content::ContentHash;

const HEADER: [u8; 16] = *b"STANDSEE\x01\0\0\0\0\0\0\0";

/// A block is closed at this size, in bytes.
const BLOCK_BYTES: usize = 64 << 10;

/// No block is longer: one that says so is damaged. The longest record comes on top of the size above.
const BLOCK_BYTES_MAX: usize = 128 << 10;

const LOOK_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Last time's notes, read forward. What cannot be read ends them.
pub struct Recall {
    file: Option<BufReader<File>>,
    block: Vec<u8>,
    at: usize,
    target: Vec<u8>,
    look: [u8; LOOK_BYTES],
    content: ContentHash,
}

impl Recall {
    pub fn open(path: &Path) -> Recall {
        let mut recall = Recall {
            file: open(path),
            block: Vec::new(),
            at: 0,
            target: Vec::new(),
            look: [0; LOOK_BYTES],
            content: ContentHash::from_bytes([0; HASH_BYTES]),
        };
        recall.advance();
        recall
    }

    /// The content of the file of this target, if it was noted and looks as it did. Targets must be asked for
    /// in ascending order.
    pub fn content_of(&mut self, target: &str, look: &Look) -> Option<ContentHash> {
        while self.file.is_some() && *self.target < *target.as_bytes() {
            self.advance();
        }
        let is_same = self.file.is_some()
            && *self.target == *target.as_bytes()
            && self.look == look_bytes(look);
        is_same.then_some(self.content)
    }

    fn advance(&mut self) {
        if self.try_advance().is_none() {
            self.file = None;
        }
    }

    fn try_advance(&mut self) -> Option<()> {
        if self.at >= self.block.len() {
            self.read_block()?;
        }
        let shared = usize::from(u16::from_le_bytes(self.take()?));
        let further = usize::from(u16::from_le_bytes(self.take()?));
        let end = self.at.checked_add(further)?;
        let suffix = self.block.get(self.at..end)?;
        if shared > self.target.len() {
            return None;
        }
        self.target.truncate(shared);
        self.target.extend_from_slice(suffix);
        self.at = end;
        self.look = self.take()?;
        self.content = ContentHash::from_bytes(self.take()?);
        Some(())
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.block.get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(bytes)
    }

    fn read_block(&mut self) -> Option<()> {
        let file = self.file.as_mut()?;
        let mut head = [0; 8];
        file.read_exact(&mut head).ok()?;
        let length = u32::from_le_bytes(head[..4].try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        if length == 0 || length > BLOCK_BYTES_MAX {
            return None;
        }
        self.block.resize(length, 0);
        file.read_exact(&mut self.block).ok()?;
        self.at = 0;
        self.target.clear();
        (checksum(&self.block).to_le_bytes() == head[4..]).then_some(())
    }
}

/// This time's notes; they replace the others when they are kept.
pub struct Notes {
    path: PathBuf,
    file: File,
    block: Vec<u8>,
    last: String,
}

impl Notes {
    pub fn create(path: &Path) -> io::Result<Notes> {
        let mut file = File::create(path.with_extension("new"))?;
        file.write_all(&HEADER)?;
        Ok(Notes {
            path: path.to_owned(),
            file,
            block: Vec::with_capacity(BLOCK_BYTES_MAX),
            last: String::new(),
        })
    }

    /// Notes a file. Targets must come in ascending order.
    pub fn add(&mut self, target: &str, look: &Look, content: &ContentHash) -> io::Result<()> {
        let shared = match self.block.is_empty() {
            true => 0,
            false => shared_bytes(&self.last, target),
        };
        let further = &target.as_bytes()[shared..];
        for length in [shared, further.len()] {
            let length = u16::try_from(length).expect("a URL has at most 8,192 bytes");
            self.block.extend_from_slice(&length.to_le_bytes());
        }
        self.block.extend_from_slice(further);
        self.block.extend_from_slice(&look_bytes(look));
        self.block.extend_from_slice(content.as_bytes());
        self.last.clear();
        self.last.push_str(target);
        if self.block.len() >= BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(())
    }

    /// Puts them in the place of the last ones. Not synced: what a power cut leaves of them has checksums.
    pub fn keep(mut self) -> io::Result<()> {
        self.write_block()?;
        fs::rename(self.path.with_extension("new"), &self.path)
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.block.len()).expect("a block is short");
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(&checksum(&self.block).to_le_bytes())?;
        self.file.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

fn open(path: &Path) -> Option<BufReader<File>> {
    let mut file = BufReader::with_capacity(BLOCK_BYTES, File::open(path).ok()?);
    let mut header = [0; HEADER.len()];
    file.read_exact(&mut header).ok()?;
    (header == HEADER).then_some(file)
}

fn shared_bytes(one: &str, other: &str) -> usize {
    let pairs = one.bytes().zip(other.bytes());
    pairs.take_while(|(a, b)| a == b).count()
}

fn look_bytes(look: &Look) -> [u8; LOOK_BYTES] {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&look.size.to_le_bytes());
    bytes[8..16].copy_from_slice(&look.inode.to_le_bytes());
    bytes[16..32].copy_from_slice(&look.modified_ns.to_le_bytes());
    bytes[32..].copy_from_slice(&look.changed_ns.to_le_bytes());
    let hash = ContentHash::of(&bytes);
    hash.as_bytes()[..LOOK_BYTES]
        .try_into()
        .expect("a hash is longer")
}

fn checksum(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(number: u64) -> Look {
        Look {
            size: number,
            inode: 7,
            modified_ns: 1,
            changed_ns: 2,
        }
    }

    fn target(number: u64) -> String {
        format!("/folder/{number:05}.html")
    }

    fn content(number: u64) -> ContentHash {
        ContentHash::of(&number.to_le_bytes())
    }

    fn written(path: &Path, count: u64) {
        let mut notes = Notes::create(path).unwrap();
        for number in 0..count {
            notes
                .add(&target(number), &look(number), &content(number))
                .unwrap();
        }
        notes.keep().unwrap();
    }

    #[test]
    fn a_file_is_recalled_by_its_name_and_its_look() {
        // Promise: what is noted is found again across blocks, also when others have come and gone; a file that
        // looks otherwise is unknown.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("publish.seen");
        written(&path, 5_000);
        let mut recall = Recall::open(&path);
        assert_eq!(recall.content_of("/", &look(0)), None);
        for number in (0..5_000).step_by(3) {
            let found = recall.content_of(&target(number), &look(number));
            assert_eq!(found, Some(content(number)));
            assert_eq!(recall.content_of(&target(number), &look(number + 1)), None);
            assert_eq!(recall.content_of(&(target(number) + "x"), &look(1)), None);
        }
        assert_eq!(recall.content_of("/z", &look(0)), None);
        assert_eq!(
            Recall::open(&folder.path().join("none")).content_of("/", &look(0)),
            None
        );
    }

    #[test]
    fn damaged_notes_are_forgotten_and_never_believed() {
        // Promise: whatever byte is wrong, and wherever the end is missing, a note is right or not there.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("publish.seen");
        written(&path, 40);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 0x10;
            for bytes in [&flipped, &good[..at].to_vec()] {
                fs::write(&path, bytes).unwrap();
                let mut recall = Recall::open(&path);
                for number in 0..40 {
                    let found = recall.content_of(&target(number), &look(number));
                    assert!(found.is_none_or(|found| found == content(number)), "{at}");
                }
            }
        }
    }
}
