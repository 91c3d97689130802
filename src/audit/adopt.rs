//! A tier that somebody else has filled, against the manifest: the complete listing in key order, each
//! object judged by its size and a digest (`judge.rs`).
//!
//! Which keys the listing has shown is noted in a throw-away database, since URL order and key order
//! differ; a walk over all entries then finds what is missing. Memory holds one page of the listing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::judge::{Judge, Judgement, Match, Proof};
use super::{AuditError, Findings};
use crate::config::TierName;
use crate::db::{Batch, Db, DbError, Fuse, remove_folder};
use crate::delta::Object;
use crate::manifest::{Confirmation, EtagKind, Manifest, ManifestError, Mark};
use crate::site::{ObjectKey, PageUrl};
use crate::store::Store;
use crate::sync::OpenTier;
use crate::tier::{LIST_PAGE, Listed};

/// Objects judged at once. Each may hold a body of 8 MiB, its own or the store's.
const JUDGED_AT_ONCE: usize = 8;

/// Memory for clean pages of the throw-away database, and its dirty records before a flush (about 1 kB
/// each).
const SCRATCH_CACHE_BYTES: usize = 16 << 20;
const SCRATCH_UNFLUSHED_MAX: usize = 20_000;

/// What differs from the page that the key belongs to, and what no listing has shown.
const DIFFERS: &str = "adopted, and its bytes are not the page's";
const MISSING: &str = "adopted without it";
const WITHDRAWN: &str = "withdrawn, but it was there when the tier was adopted";

/// What a comparison works with.
pub struct Means {
    pub manifest: Arc<Manifest>,
    pub store: Arc<Store>,
    /// The other tiers, whose recorded ETags may vouch for equal ones.
    pub others: Vec<TierName>,
    /// Where the throw-away database may lie; nothing is there.
    pub scratch: PathBuf,
}

/// Whether a comparison leaves traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is recorded, and nothing is read back from a bucket: what only that could prove is counted. (But
    /// for a few small objects, where nothing else tells whether ETags are MD5s.)
    Look,
    /// What matches is confirmed, everything else is owed. `EtagKind` as the tier was probed.
    Record(EtagKind),
}

/// How it was proven that objects are their pages': how many each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Proofs {
    /// BLAKE3 or CRC32C, in the listing.
    pub stated: u64,
    /// An ETag that is the MD5 of the page's bytes.
    pub md5: u64,
    /// The ETag, of several parts, that a confirmed tier has on this key.
    pub same_etag: u64,
    /// A CRC32C stated by a HEAD.
    pub head: u64,
    /// Read back and hashed.
    pub read: u64,
}

/// A number of objects, and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    pub objects: u64,
    pub bytes: u64,
}

/// What a comparison found: numbers of objects, and the first keys of each list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Objects that the listing shows.
    pub listed: u64,
    pub matching: u64,
    /// Of those: with headers that are not ours.
    pub as_found: u64,
    pub differing: u64,
    /// Pages whose object the listing does not show.
    pub missing: u64,
    /// Objects of pages that are gone.
    pub stale: u64,
    /// Objects that no page of the site has the key of. They are left alone.
    pub foreign: u64,
    /// What nothing states a digest of; adopting reads it back.
    pub unread: Amount,
    pub proofs: Proofs,
    /// Bodies that a sync has to send.
    pub to_put: Amount,
    pub differing_keys: Vec<String>,
    pub missing_keys: Vec<String>,
    pub stale_keys: Vec<String>,
    pub foreign_keys: Vec<String>,
}

impl Comparison {
    /// True when the tier is not what the manifest says. Foreign objects harm nobody.
    pub fn differs(&self) -> bool {
        self.differing + self.missing + self.stale > 0
    }
}

/// Compares the whole of a tier with the manifest. In [`Mode::Record`] the tier's records are those of
/// this comparison afterwards; they become durable at the latest by the flush of the claim that follows. The
/// watermark is not moved here.
///
/// # Errors
/// The manifest cannot be read or written, or the tier cannot be listed or read.
pub async fn compare(means: &Means, open: &OpenTier, mode: Mode) -> Result<Comparison, AuditError> {
    let judge = Judge::new(means, open.tier.as_ref(), mode);
    let scratch = Arc::new(Scratch::open(means.scratch.clone())?);
    let mut found = Comparison::default();
    let mut after = None;
    loop {
        let page = open.tier.list(after.as_deref(), LIST_PAGE).await?;
        let judged: Vec<(Listed, Judgement)> = stream::iter(page.objects)
            .map(|listed| judge.judge(listed))
            .buffered(JUDGED_AT_ONCE.min(open.concurrency))
            .try_collect()
            .await?;
        // A mark never runs ahead of the bytes, nor of a side file.
        if matches!(mode, Mode::Record(_)) {
            open.tier.settle().await?;
        }
        let (name, scratch) = (open.name.clone(), Arc::clone(&scratch));
        found = off_thread(means, move |manifest| {
            enter_page(manifest, &name, mode, &judged, &scratch, found)
        })
        .await?;
        tracing::info!(tier = %open.name, listed = found.listed, matching = found.matching, "compared");
        after = page.last;
        if !page.more {
            break;
        }
    }
    let name = open.name.clone();
    off_thread(means, move |manifest| {
        enter_missing(manifest, &name, mode, &scratch, &mut found)?;
        let scratch = Arc::into_inner(scratch).expect("every page has given it back");
        scratch.discard()?;
        Ok(found)
    })
    .await
}

async fn off_thread(
    means: &Means,
    work: impl FnOnce(&Manifest) -> Result<Comparison, ManifestError> + Send + 'static,
) -> Result<Comparison, AuditError> {
    let manifest = Arc::clone(&means.manifest);
    let done = tokio::task::spawn_blocking(move || work(&manifest)).await;
    Ok(done.expect("manifest work does not panic and is never aborted")?)
}

/// Counts a page of the listing and, in [`Mode::Record`], records what it showed.
fn enter_page(
    manifest: &Manifest,
    name: &TierName,
    mode: Mode,
    judged: &[(Listed, Judgement)],
    scratch: &Scratch,
    mut found: Comparison,
) -> Result<Comparison, ManifestError> {
    let mut owed = Vec::new();
    let mut present = Vec::new();
    for (listed, judgement) in judged {
        found.listed += 1;
        match judgement {
            Judgement::Foreign => {
                found.foreign += 1;
                Findings::note(&mut found.foreign_keys, &listed.key);
                continue;
            }
            Judgement::Stale(url) => {
                found.stale += 1;
                Findings::note(&mut found.stale_keys, &listed.key);
                owed.push((url.clone(), WITHDRAWN));
                continue;
            }
            Judgement::Differs { url, size } => {
                found.differing += 1;
                found.to_put.add(*size);
                Findings::note(&mut found.differing_keys, &listed.key);
                owed.push((url.clone(), DIFFERS));
            }
            Judgement::Unread => found.unread.add(listed.size),
            Judgement::Matches(matching) => found.count(matching),
        }
        present.push(&listed.key);
    }
    scratch.note(&present)?;
    if let Mode::Record(kind) = mode {
        manifest.owe_all(name, &owed)?;
        confirm(manifest, name, kind, judged)?;
    }
    Ok(found)
}

/// Records matching objects as writes that the tier has acknowledged.
fn confirm(
    manifest: &Manifest,
    name: &TierName,
    kind: EtagKind,
    judged: &[(Listed, Judgement)],
) -> Result<(), ManifestError> {
    let mut confirmed = Vec::new();
    let mut as_found = Vec::new();
    for (listed, judgement) in judged {
        let Judgement::Matches(matching) = judgement else {
            continue;
        };
        if matching.state.is_none() {
            as_found.push(listed.key.clone());
        }
        confirmed.push(Confirmation {
            key: &listed.key,
            url: &matching.url,
            mark: Mark::Written {
                // No state of ours has this fingerprint, so it vouches for no plan.
                state: matching.state.unwrap_or_default(),
                size: matching.size,
                etag: matching.etag.clone(),
            },
            // An ETag that is not known to be the MD5 of the blob is this object's alone.
            content: (matching.proof == Proof::Md5).then_some(matching.content),
        });
    }
    manifest.confirm(name, kind, &confirmed)?;
    manifest.note_as_found(name, &as_found)
}

/// Pages that no listing has shown, from a walk over all entries.
fn enter_missing(
    manifest: &Manifest,
    name: &TierName,
    mode: Mode,
    scratch: &Scratch,
    found: &mut Comparison,
) -> Result<(), ManifestError> {
    let grouped = manifest.has_aliases()?;
    let mut owed = Vec::new();
    for entry in manifest.entries(None) {
        let (url, entry) = entry?;
        let Some(object) = Object::of(&url, &entry) else {
            continue;
        };
        let key = manifest.layout().place(&url).key;
        if scratch.has(&key)? || (grouped && !serves(manifest, &key, &url)?) {
            continue;
        }
        found.missing += 1;
        found.to_put.add(object.meta.size);
        Findings::note(&mut found.missing_keys, &key);
        owed.push((url, MISSING));
        if owed.len() >= LIST_PAGE && mode != Mode::Look {
            manifest.owe_all(name, &std::mem::take(&mut owed))?;
        }
        owed.truncate(LIST_PAGE);
    }
    if mode != Mode::Look {
        manifest.owe_all(name, &owed)?;
    }
    Ok(())
}

/// Of several URLs on one key, whether it is this one whose page is there.
fn serves(manifest: &Manifest, key: &ObjectKey, url: &PageUrl) -> Result<bool, ManifestError> {
    let group = manifest.on_key(key, url.scheme())?;
    let winner = group.iter().find(|(_, entry)| entry.outcome.is_live());
    Ok(winner.is_none_or(|(winner, _)| winner == url))
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes += bytes;
    }
}

impl Comparison {
    fn count(&mut self, matching: &Match) {
        self.matching += 1;
        self.as_found += u64::from(matching.state.is_none());
        *match matching.proof {
            Proof::Stated => &mut self.proofs.stated,
            Proof::Md5 => &mut self.proofs.md5,
            Proof::SameEtag => &mut self.proofs.same_etag,
            Proof::Head => &mut self.proofs.head,
            Proof::Read => &mut self.proofs.read,
        } += 1;
    }
}

/// The keys that a listing has shown, outside of memory. Worth nothing after a kill.
struct Scratch {
    db: Db,
    dir: PathBuf,
}

impl Scratch {
    fn open(dir: PathBuf) -> Result<Scratch, ManifestError> {
        remove(&dir)?;
        let db = Db::open(&dir, SCRATCH_CACHE_BYTES, Fuse::none())?;
        Ok(Scratch { db, dir })
    }

    fn note(&self, keys: &[&ObjectKey]) -> Result<(), DbError> {
        let mut batch = Batch::default();
        for key in keys {
            batch.put(key.as_str().as_bytes(), &[]);
        }
        self.db.apply(batch)?;
        if self.db.unflushed() >= SCRATCH_UNFLUSHED_MAX {
            self.db.flush()?;
        }
        Ok(())
    }

    fn has(&self, key: &ObjectKey) -> Result<bool, DbError> {
        self.db.contains(key.as_str().as_bytes())
    }

    fn discard(self) -> Result<(), ManifestError> {
        let Scratch { db, dir } = self;
        drop(db);
        remove(&dir)
    }
}

fn remove(dir: &Path) -> Result<(), ManifestError> {
    remove_folder(dir).map_err(|source| ManifestError::Io {
        path: dir.into(),
        source,
    })
}
