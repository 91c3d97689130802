//! Space in the local store comes back: bodies that no page has any more are dropped, and segments that are mostly
//! such bodies are written anew without them.
//!
//! What stays: the bodies of all live pages (which is also what any tier can still lack), and those that a kept
//! checkpoint of the state directory names as live. Names go before bytes, and bytes that are kept are durable in
//! their new place before the old one goes, so that a kill anywhere costs space for a while and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::RebuildError;
use crate::content::ContentHash;
use crate::manifest::checkpoint::{self, Part};
use crate::manifest::kept::{self, Index};
use crate::manifest::{Manifest, ManifestError};
use crate::store::{Located, NewBlob, Place, Store, StoreError};

/// A segment is written anew when at least this share of it is dead: below that, moving the rest costs more than
/// it brings.
const DEAD_SHARE_MIN: f64 = 0.25;

/// Bodies moved as one group, in memory.
const GROUP_BYTES_MAX: u64 = 16 << 20;

/// What a frame takes besides its body.
const FRAME_BYTES: u64 = 64;

/// Whether anything is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Sweep,
    DryRun,
}

/// Which bodies stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// Those of all live pages.
    Live,
    /// None: every tier has confirmed everything, and only what is not confirmed is to be kept.
    Nothing,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcReport {
    pub dry_run: bool,
    /// Bodies that stay.
    pub live: u64,
    /// Bodies that are dropped, and how many bytes they are.
    pub dropped: u64,
    pub dropped_bytes: u64,
    /// Bytes on disk that are won (in a dry run: that would be).
    pub freed: u64,
    /// Segments that are written anew.
    pub compacted: u64,
    /// Dead bytes in segments that are not worth that yet.
    pub left: u64,
    /// Segments with a damaged body: they are left as they are.
    pub damaged: Vec<u32>,
}

/// Drops what is not needed.
///
/// # Errors
/// What store and manifest say, and a checkpoint of the state directory that cannot be read: what it names is not
/// known then, and nothing is dropped.
pub fn sweep_store(
    manifest: &Manifest,
    store: &mut Store,
    state: &Path,
    (needed, effect): (Needed, Effect),
) -> Result<GcReport, RebuildError> {
    let mut report = GcReport {
        dry_run: effect == Effect::DryRun,
        ..GcReport::default()
    };
    let live = match needed {
        Needed::Live => live_bodies(manifest, state)?,
        Needed::Nothing => Bodies::default(),
    };
    let mut dead = Vec::new();
    let mut used: BTreeMap<u32, u64> = BTreeMap::new();
    for located in manifest.blobs() {
        let located = located?;
        if !live.has(&located.digest.content) {
            report.dropped += 1;
            report.dropped_bytes += located.digest.size;
            dead.push(located.digest.content);
            continue;
        }
        report.live += 1;
        if let Place::Segment { number, .. } = located.place {
            *used.entry(number).or_default() += FRAME_BYTES + located.digest.size;
        }
    }
    let unneeded = unneeded_files(store, &live)?;
    let mut worth = Vec::new();
    for (number, length) in store.segments()? {
        let used = used.get(&number).copied().unwrap_or_default();
        let gone = length.saturating_sub(used + crate::store::SEGMENT_HEADER_BYTES);
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let is_worth_it = gone > 0 && gone as f64 >= length as f64 * DEAD_SHARE_MIN;
        match is_worth_it {
            true => {
                report.freed += gone;
                worth.push((number, used));
            }
            false => report.left += gone,
        }
    }
    report.freed += unneeded.iter().map(|(_, size)| size).sum::<u64>();
    report.compacted = worth.len() as u64;
    if effect == Effect::DryRun {
        return Ok(report);
    }
    manifest.forget_these(&dead)?;
    for (hash, _) in &unneeded {
        store.remove_file(hash)?;
    }
    // What is moved goes behind everything that may have to go.
    store.close_segment();
    for (number, used) in worth {
        if used > 0 && !move_out(manifest, store, number)? {
            report.damaged.push(number);
            report.compacted -= 1;
            continue;
        }
        store.remove_segment(number)?;
    }
    Ok(report)
}

/// Files of bodies that are not needed. Of a body that a kept checkpoint names a rebuilt manifest does not know the
/// place.
fn unneeded_files(store: &Store, live: &Bodies) -> Result<Vec<(ContentHash, u64)>, RebuildError> {
    let mut files = store.files()?;
    files.retain(|(hash, _)| !live.has(hash));
    Ok(files)
}

/// Writes the live bodies of a segment into another one and says so, durably in this order. False when one of them
/// is damaged.
fn move_out(manifest: &Manifest, store: &mut Store, number: u32) -> Result<bool, RebuildError> {
    let mut group: Vec<(Located, bytes::Bytes)> = Vec::new();
    let mut bytes = 0;
    for located in store.scan_segment(number)? {
        // Of a body that was written twice, one frame counts.
        if manifest.locate(&located.digest.content)? != Some(located) {
            continue;
        }
        match store.read(&located) {
            Ok(body) => {
                bytes += body.len() as u64;
                group.push((located, body));
            }
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::warn!(%error, number, "this segment stays");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        if bytes >= GROUP_BYTES_MAX {
            place_anew(manifest, store, &std::mem::take(&mut group))?;
            bytes = 0;
        }
    }
    place_anew(manifest, store, &group)?;
    Ok(true)
}

fn place_anew(
    manifest: &Manifest,
    store: &mut Store,
    group: &[(Located, bytes::Bytes)],
) -> Result<(), RebuildError> {
    let blobs: Vec<_> = group
        .iter()
        .map(|(located, bytes)| NewBlob {
            digest: located.digest,
            bytes,
        })
        .collect();
    let placed = store.append(&blobs)?;
    Ok(manifest.note_blobs(&placed)?)
}

/// Bodies by the first eight bytes of their hash: 8 bytes each, and two that share them are both kept.
#[derive(Default)]
struct Bodies(Vec<u64>);

impl Bodies {
    fn note(&mut self, hash: &ContentHash) {
        self.0.push(short(hash));
    }

    fn has(&self, hash: &ContentHash) -> bool {
        self.0.binary_search(&short(hash)).is_ok()
    }
}

fn short(hash: &ContentHash) -> u64 {
    let (first, _) = hash
        .as_bytes()
        .split_first_chunk::<8>()
        .expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

/// The bodies of live pages, today and in the checkpoints that are kept here.
fn live_bodies(manifest: &Manifest, state: &Path) -> Result<Bodies, RebuildError> {
    let mut bodies = Bodies::default();
    for entry in manifest.entries(None) {
        let outcome = entry?.1.outcome;
        if let Some(page) = outcome.page() {
            bodies.note(&page.content);
        }
    }
    let folder = kept::place(state);
    let index = Index::read(&folder).map_err(|error| match error {
        ManifestError::Checkpoint { name, why } => ManifestError::Checkpoint {
            name,
            why: format!(
                "{why}; which bodies it names is not known, so none is dropped; `standin run` makes it anew"
            ),
        },
        error => error,
    })?;
    for checkpoint in index.into_iter().flat_map(|index| index.checkpoints) {
        if checkpoint.generation >= manifest.log_begins() {
            for change in manifest.changes_after(checkpoint.generation) {
                let before = change?.before;
                if let Some(page) = before.as_ref().and_then(|entry| entry.outcome.page()) {
                    bodies.note(&page.content);
                }
            }
            continue;
        }
        for part in checkpoint.base.iter().chain(&checkpoint.increments) {
            note_part(&folder, part, &mut bodies)?;
        }
    }
    bodies.0.sort_unstable();
    bodies.0.dedup();
    Ok(bodies)
}

/// What a checkpoint from before the change log names: more than was live at its end, which is safe.
fn note_part(folder: &Path, part: &Part, bodies: &mut Bodies) -> Result<(), RebuildError> {
    let wrong = |why: String| ManifestError::Checkpoint {
        name: part.name.clone(),
        why: format!(
            "{why}, so that what it names as live is not known; move {} away and run again: a new one is made",
            folder.display()
        ),
    };
    let bytes = kept::read_part(folder, part).map_err(|error| wrong(error.to_string()))?;
    let bytes = bytes.ok_or_else(|| wrong("it is missing".into()))?;
    for (_, entry) in checkpoint::read_part(part, &bytes)? {
        if let Some(page) = entry.outcome.page() {
            bodies.note(&page.content);
        }
    }
    Ok(())
}
