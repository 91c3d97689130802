//! The manifest's entries as compressed, hashed objects that lie in every tier, so that any one tier
//! is enough to make the manifest again.
//!
//! A checkpoint is a base (all entries, in parts) and a list of increments (the entries that changed
//! since), so that a run which changed ten pages sends ten rows. When the increments have grown to
//! half of the base, a new base takes their place. Format 1 of a part, described in `docs/formats.md`:
//! `"STANDCKP" | format u8 = 1 | zstd( rows )`, a row being `u32 length, URL, u32 length, record`, with
//! the record as the manifest stores it. A part is named by the BLAKE3 of its bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::{Entry, Generation};
use super::{Manifest, ManifestError, codec};
use crate::content::ContentHash;
use crate::site::PageUrl;

const MAGIC: &[u8; 9] = b"STANDCKP\x01";

/// A part is closed at this size before compression: what writer and reader hold in memory.
const PART_BYTES_MAX: usize = 8 << 20;

/// zstd's default: entries shrink to about a fifth.
const COMPRESSION: i32 = 3;

/// Increments below this size are never worth a new base.
const INCREMENTS_FREE: u64 = 1 << 20;

/// Which objects of a tier make up the checkpoint, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub generation: Generation,
    pub base: Vec<Part>,
    pub increments: Vec<Part>,
}

/// One object of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the tier.
    pub name: String,
    /// BLAKE3 of its bytes.
    pub hash: ContentHash,
    pub bytes: u64,
    pub rows: u64,
}

/// A checkpoint of the current generation, and what that leaves over.
#[derive(Debug)]
pub struct Extended {
    pub checkpoint: Checkpoint,
    /// Objects of the earlier checkpoint that are needed no more.
    pub stale: Vec<String>,
}

/// Extends a known checkpoint to the current generation, handing each fresh part to `send` as it is
/// made; `send` says false when nobody wants more. Memory is bounded by one part.
///
/// # Errors
/// What the manifest says.
pub fn extend(
    manifest: &Manifest,
    known: Checkpoint,
    send: impl FnMut(&Part, Bytes) -> bool,
) -> Result<Extended, ManifestError> {
    let generation = manifest.generation();
    let size = |parts: &[Part]| parts.iter().map(|part| part.bytes).sum::<u64>();
    let grown = size(&known.increments) > size(&known.base) / 2 + INCREMENTS_FREE;
    if known.base.is_empty() || grown || known.generation > generation {
        let rows = manifest.entries(None);
        let base = write_parts(rows, generation, send)?;
        let earlier = known.base.into_iter().chain(known.increments);
        let kept = |name: &String| base.iter().any(|part| part.name == *name);
        return Ok(Extended {
            stale: earlier
                .map(|part| part.name)
                .filter(|name| !kept(name))
                .collect(),
            checkpoint: Checkpoint {
                generation,
                base,
                increments: Vec::new(),
            },
        });
    }
    let changed = manifest.changes_after(known.generation);
    let rows = changed.filter_map(|change| match change {
        Ok(change) => change.after.map(|entry| Ok((change.url, entry))),
        Err(error) => Some(Err(error)),
    });
    let fresh = write_parts(rows, generation, send)?;
    let mut checkpoint = known;
    checkpoint.generation = generation;
    checkpoint.increments.extend(fresh);
    Ok(Extended {
        checkpoint,
        stale: Vec::new(),
    })
}

/// The rows of one part.
///
/// # Errors
/// [`ManifestError::Checkpoint`] when the bytes are not those of the part.
pub fn read_part(part: &Part, bytes: &[u8]) -> Result<Vec<(PageUrl, Entry)>, ManifestError> {
    let wrong = |why: &str| ManifestError::Checkpoint {
        name: part.name.clone(),
        why: why.to_owned(),
    };
    if ContentHash::of(bytes) != part.hash {
        return Err(wrong("its bytes are not those of its name"));
    }
    let packed = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| wrong("of a format that this version cannot read; upgrade standin"))?;
    let rows = zstd::stream::decode_all(packed).map_err(|e| wrong(&e.to_string()))?;
    let mut rest = rows.as_slice();
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (url, record) = read_row(&mut rest).ok_or_else(|| wrong("a torn row"))?;
        let text = std::str::from_utf8(url).map_err(|e| wrong(&e.to_string()))?;
        let parsed = PageUrl::recorded(text).map_err(|e| wrong(&e.to_string()))?;
        entries.push((parsed, codec::decode(url, record)?));
    }
    Ok(entries)
}

fn write_parts(
    rows: impl Iterator<Item = Result<(PageUrl, Entry), ManifestError>>,
    generation: Generation,
    mut send: impl FnMut(&Part, Bytes) -> bool,
) -> Result<Vec<Part>, ManifestError> {
    let mut parts = Vec::new();
    let (mut buffer, mut count) = (Vec::new(), 0);
    let mut close = |buffer: &mut Vec<u8>, count: &mut u64| {
        let (part, bytes) = seal(buffer, *count, generation, parts.len());
        buffer.clear();
        *count = 0;
        let wanted = send(&part, bytes);
        parts.push(part);
        wanted
    };
    for row in rows {
        let (url, entry) = row?;
        write_row(&mut buffer, url.as_str().as_bytes());
        write_row(&mut buffer, &codec::encode(&entry));
        count += 1;
        if buffer.len() >= PART_BYTES_MAX && !close(&mut buffer, &mut count) {
            return Ok(parts);
        }
    }
    if count > 0 {
        close(&mut buffer, &mut count);
    }
    Ok(parts)
}

fn seal(rows: &[u8], count: u64, generation: Generation, index: usize) -> (Part, Bytes) {
    let mut bytes = MAGIC.to_vec();
    let packed = zstd::bulk::compress(rows, COMPRESSION).expect("memory is enough for one part");
    bytes.extend(packed);
    let hash = ContentHash::of(&bytes);
    let part = Part {
        name: format!(".standin/checkpoint/{:010}-{index:05}-{hash}", generation.0),
        hash,
        bytes: bytes.len() as u64,
        rows: count,
    };
    (part, Bytes::from(bytes))
}

fn write_row(buffer: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("URLs and records are far below 4 GB");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(bytes);
}

fn read_row<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut field = || {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (bytes, tail) = tail.split_at_checked(length)?;
        *rest = tail;
        Some(bytes)
    };
    Some((field()?, field()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::sample::{Sample, gone, page};
    use super::*;

    type Objects = BTreeMap<String, Bytes>;

    fn extend_into(sample: &Sample, known: Checkpoint, objects: &mut Objects) -> Extended {
        extend(&sample.manifest, known, |part, bytes| {
            objects.insert(part.name.clone(), bytes);
            true
        })
        .unwrap()
    }

    fn read_all(checkpoint: &Checkpoint, objects: &Objects) -> Vec<(PageUrl, Entry)> {
        let parts = checkpoint.base.iter().chain(&checkpoint.increments);
        let rows = parts.flat_map(|part| read_part(part, &objects[&part.name]).unwrap());
        rows.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    #[test]
    fn base_and_increments_give_the_manifest_back() {
        // Promise: a tier's checkpoint alone is enough to make the manifest's entries again, and an
        // increment holds only what changed.
        let sample = Sample::new();
        let mut objects = Objects::new();
        let pages: Vec<_> = (0..50).map(|n| (format!("/{n}"), page("1"))).collect();
        let staged: Vec<_> = pages
            .iter()
            .map(|(path, page)| (path.as_str(), page.clone()))
            .collect();
        sample.commit(&staged).unwrap();
        let first = extend_into(&sample, Checkpoint::default(), &mut objects).checkpoint;
        assert_eq!(read_all(&first, &objects), sample.all());
        sample
            .commit(&[("/7", page("2")), ("/8", gone()), ("/new", page("3"))])
            .unwrap();
        let second = extend_into(&sample, first.clone(), &mut objects).checkpoint;
        assert_eq!(second.base, first.base);
        assert_eq!(second.increments[0].rows, 3);
        assert_eq!(read_all(&second, &objects), sample.all());
    }

    #[test]
    fn a_damaged_part_is_refused() {
        // Promise: no byte of a checkpoint is believed that its name does not vouch for.
        let sample = Sample::new();
        let mut objects = Objects::new();
        sample.commit(&[("/a", page("1"))]).unwrap();
        let made = extend_into(&sample, Checkpoint::default(), &mut objects).checkpoint;
        let mut bytes = objects[&made.base[0].name].to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let refused = read_part(&made.base[0], &bytes);
        assert!(matches!(refused, Err(ManifestError::Checkpoint { .. })));
    }
}
