//! The small object `.standin/head` by which a tier says whose it is and what it holds. What a reader
//! needs who has nothing but the tier: lineage, epoch, generation, layout, checkpoint, last proof.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::claim::OpenTier;
use super::parts::{PartLook, broken_of};
use super::{SyncError, off_thread};
use crate::config::TierName;
use crate::manifest::checkpoint::{self, Checkpoint, Kept, Whose};
use crate::manifest::{Generation, Manifest, Meta, RunId, Verified};
use crate::site::{Layout, LayoutName, Scheme};
use crate::tier::{Expect, TierError};

/// Where the head lies in every tier.
pub const HEAD: &str = ".standin/head";

/// How the names of all parts of checkpoints begin.
pub const PARTS: &str = ".standin/checkpoint/";

/// Format of the head. A reader refuses a larger one.
pub const FORMAT: u32 = 1;

/// The head, as JSON in the tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub format: u32,
    pub lineage: String,
    /// The name of the tier in the configuration; earlier versions did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<TierName>,
    /// Raised by one whenever a run takes the tier for writing.
    pub epoch: u64,
    /// The run that took it.
    pub run: RunId,
    pub generation: Generation,
    pub layout: LayoutName,
    pub asset_hosts: Vec<String>,
    /// The scheme of each host's URLs.
    pub identity: Vec<(String, Scheme)>,
    pub verified: Option<Verified>,
    pub checkpoint: Checkpoint,
    /// Those before it, newest first: tried when the newest cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Checkpoint>,
}

impl Head {
    pub fn of(
        meta: &Meta,
        tier: &TierName,
        epoch: u64,
        run: &RunId,
        earlier: Option<&Head>,
    ) -> Head {
        Head {
            format: FORMAT,
            lineage: meta.lineage.0.clone(),
            tier: Some(tier.clone()),
            epoch,
            run: run.clone(),
            generation: earlier.map_or(Generation::NONE, |head| head.generation),
            layout: meta.layout,
            asset_hosts: meta.asset_hosts.clone(),
            identity: meta.identity.clone(),
            verified: earlier.and_then(|head| head.verified),
            checkpoint: earlier
                .map(|head| head.checkpoint.clone())
                .unwrap_or_default(),
            earlier: earlier.map(|head| head.earlier.clone()).unwrap_or_default(),
        }
    }

    /// The same head of a tier that is filled by this layout.
    pub fn filled_by(mut self, layout: &Layout) -> Head {
        self.layout = layout.name();
        self.asset_hosts = layout.asset_hosts();
        self
    }

    /// The layout that the tier is filled by.
    pub fn layout(&self) -> Layout {
        Layout::new(self.layout, self.asset_hosts.iter().cloned())
    }

    pub fn encode(&self) -> Bytes {
        Bytes::from(serde_json::to_vec_pretty(self).expect("a plain record always serialises"))
    }
}

/// Writes checkpoint and head of a tier, of which `count` checkpoints are kept; nothing when what is there already
/// says the same. Objects of the checkpoint go first, the head that names them last.
///
/// # Errors
/// Outside: what the manifest says. Inside: what the tier says.
pub async fn publish(
    manifest: &Arc<Manifest>,
    open: &mut OpenTier,
    run: &RunId,
    count: usize,
) -> Result<Result<(), TierError>, SyncError> {
    let state = open.state.clone();
    let Some(head) = open.head.clone() else {
        return Ok(Ok(()));
    };
    if manifest.generation() == Generation::NONE {
        return Ok(Ok(()));
    }
    let (known, there) = match known(open, &head.record).await {
        Ok(known) => known,
        Err(error) => return Ok(Err(error)),
    };
    let newest = match send_checkpoint(manifest, open, known.newest.clone()).await? {
        Ok(newest) => newest,
        Err(error) => return Ok(Err(error)),
    };
    let is_told = state.head == state.watermark
        && head.record.generation == state.watermark
        && head.record.layout() == open.filled;
    if is_told && newest == known.newest {
        return Ok(Ok(()));
    }
    let is_new_base = !known.newest.is_empty() && known.newest.base != newest.base;
    let (kept, mut stale) = known.with(newest, count);
    if open.has_loose_parts || is_new_base {
        // What a kill has left between a part and its head. The same part need not come again under the same name: it
        // holds what is known of the bodies' ETags, and another tier may have taught us more since.
        let named: BTreeSet<String> = kept.names().map(str::to_owned).collect();
        stale = match there {
            Some(there) => there,
            None => match open.tier.list_small(PARTS).await {
                Ok(there) => there,
                Err(error) => return Ok(Err(error)),
            },
        };
        stale.retain(|name| !named.contains(name));
    }
    let (about, before) = (manifest.about(), Some(&head.record));
    let record = Head::of(&about, &open.name, state.epoch, run, before);
    let mut record = record.filled_by(&open.filled);
    record.generation = state.watermark;
    record.verified = state.verified;
    record.checkpoint = kept.newest;
    record.earlier = kept.earlier;
    open.fuse.pass("tier.head")?;
    let expect = Some(Expect::Etag(head.etag));
    let etag = match open.tier.write_small(HEAD, record.encode(), expect).await {
        Ok(etag) => etag,
        Err(error) => return Ok(Err(error)),
    };
    for name in stale {
        if let Err(error) = open.tier.delete_small(&name).await {
            tracing::warn!(%error, name, "an old checkpoint object stays in the tier");
        }
    }
    open.has_loose_parts = false;
    open.state.head = state.watermark;
    open.head = Some(super::claim::SeenHead { record, etag });
    let (name, state) = (open.name.clone(), open.state.clone());
    off_thread(manifest, move |manifest| manifest.save_tier(&name, &state)).await?;
    Ok(Ok(()))
}

/// The checkpoints that a head names and that can be built on; with the names of all parts that lie in the tier, where it
/// is not known that these are the same. Something else may be there after a kill, and some of it may be gone or broken
/// where an audit has found so ([`OpenTier::doubt_checkpoints`]): then parts are read, and before the first head.
async fn known(open: &OpenTier, head: &Head) -> Result<(Kept, Option<Vec<String>>), TierError> {
    let known = Kept {
        newest: head.checkpoint.clone(),
        earlier: head.earlier.clone(),
    };
    if !open.has_loose_parts {
        return Ok((known, None));
    }
    let listed = open.tier.list_small_sizes(PARTS).await?;
    let look = match open.state.head {
        Generation::NONE => PartLook::Read,
        _ => PartLook::Listed,
    };
    let broken = broken_of(open, open.checkpoint_parts(), &listed, look).await?;
    let broken = broken.into_iter().map(|broken| broken.part.name);
    let names = listed.into_iter().map(|(name, _)| name);
    Ok((known.without(&broken.collect()), Some(names.collect())))
}

/// Says in the head of a tier that it is filled by another layout now, and of a generation no more than it said. That
/// must be there before the manifest forgets that the tier was moved: else nobody would know it by its head again.
///
/// # Errors
/// Outside: a test has cut the run short. Inside: what the tier says.
pub(super) async fn say_layout(
    open: &mut OpenTier,
    layout: &Layout,
) -> Result<Result<(), TierError>, SyncError> {
    let Some(head) = open.head.clone() else {
        return Ok(Ok(()));
    };
    let mut record = head.record.filled_by(layout);
    // What was proven are objects under other keys.
    record.verified = None;
    open.fuse.pass("tier.head")?;
    let expect = Some(Expect::Etag(head.etag));
    let etag = match open.tier.write_small(HEAD, record.encode(), expect).await {
        Ok(etag) => etag,
        Err(error) => return Ok(Err(error)),
    };
    open.head = Some(super::claim::SeenHead { record, etag });
    Ok(Ok(()))
}

/// Makes the parts of a checkpoint on a thread of its own and writes each as it comes: one part is in
/// memory and one on its way.
async fn send_checkpoint(
    manifest: &Arc<Manifest>,
    open: &OpenTier,
    known: Checkpoint,
) -> Result<Result<Checkpoint, TierError>, SyncError> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let name = open.name.clone();
    let making = off_thread(manifest, move |manifest| {
        checkpoint::extend(manifest, Whose::Tier(&name), known, |part, bytes| {
            sender.blocking_send((part.name.clone(), bytes)).is_ok()
        })
    });
    let writing = async move {
        while let Some((name, bytes)) = receiver.recv().await {
            open.fuse.pass("tier.checkpoint")?;
            if let Err(error) = open.tier.write_small(&name, bytes, None).await {
                return Ok(Err(error));
            }
        }
        Ok::<_, SyncError>(Ok(()))
    };
    let (made, written) = futures_util::join!(making, writing);
    let made = made?;
    Ok(written?.map(|()| made))
}
