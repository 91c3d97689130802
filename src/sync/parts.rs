//! The parts of a tier's checkpoints, beside what the head names. They are what brings everything back when the state
//! directory is gone, and until then nobody reads them: what is broken must be found before that day.

use std::collections::BTreeMap;

use super::claim::OpenTier;
use super::head::PARTS;
use crate::content::ContentHash;
use crate::manifest::checkpoint::Part;
use crate::tier::TierError;

/// How closely parts are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartLook {
    /// Their names and sizes, by a listing.
    Listed,
    /// Their bytes as well.
    Read,
}

/// A part that a head names and that is not there as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenPart {
    pub part: Part,
    /// Bytes that are there, and their BLAKE3 where they were read; `None` where nothing is.
    pub found: Option<(u64, Option<ContentHash>)>,
    pub look: PartLook,
}

impl BrokenPart {
    /// In words.
    pub fn why(&self) -> String {
        match self.found {
            None => "the head names it, and it is not there".to_owned(),
            Some((bytes, _)) if bytes != self.part.bytes => format!(
                "{bytes} bytes in the place of {}: it was cut off or replaced",
                self.part.bytes
            ),
            Some(_) => "its bytes are not those of its name: it is damaged".to_owned(),
        }
    }
}

/// The parts that the head of a tier names and that are not there as they were written; the first is the oldest.
///
/// # Errors
/// The tier cannot be listed or read.
pub async fn broken_parts(open: &OpenTier, look: PartLook) -> Result<Vec<BrokenPart>, TierError> {
    let named = open.checkpoint_parts();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let listed = open.tier.list_small_sizes(PARTS).await?;
    broken_of(open, named, &listed, look).await
}

/// As [`broken_parts`], by a listing that is there already.
pub(super) async fn broken_of(
    open: &OpenTier,
    named: BTreeMap<String, Part>,
    listed: &[(String, u64)],
    look: PartLook,
) -> Result<Vec<BrokenPart>, TierError> {
    let listed: BTreeMap<&str, u64> = listed
        .iter()
        .map(|(name, bytes)| (name.as_str(), *bytes))
        .collect();
    let mut broken = Vec::new();
    for part in named.into_values() {
        let bytes = listed.get(part.name.as_str()).copied();
        if bytes != Some(part.bytes) {
            let found = bytes.map(|bytes| (bytes, None));
            broken.push(BrokenPart {
                part,
                found,
                look: PartLook::Listed,
            });
        } else if look == PartLook::Read {
            broken.extend(read(open, part).await?);
        }
    }
    Ok(broken)
}

/// Whether the head of a tier names this part and it is broken, going by its bytes.
///
/// # Errors
/// The tier cannot be read.
pub async fn broken_part(open: &OpenTier, name: &str) -> Result<Option<BrokenPart>, TierError> {
    match open.checkpoint_parts().remove(name) {
        Some(part) => read(open, part).await,
        None => Ok(None),
    }
}

async fn read(open: &OpenTier, part: Part) -> Result<Option<BrokenPart>, TierError> {
    let found = match open.tier.read_small(&part.name).await {
        Ok(found) => found.map(|(bytes, _)| (bytes.len() as u64, Some(ContentHash::of(&bytes)))),
        // One object that the disk does not give; the others are there.
        Err(TierError::Io { .. }) => Some((part.bytes, None)),
        Err(error) => return Err(error),
    };
    let is_whole = found == Some((part.bytes, Some(part.hash)));
    Ok((!is_whole).then_some(BrokenPart {
        part,
        found,
        look: PartLook::Read,
    }))
}
