//! A manifest made from what survives elsewhere: records of checkpoints, and entries read off a tier's objects.
//!
//! It is built as a manifest like any other, in a place of its own, by [`Intake`]: records as they come, in URL
//! order where they can, records by hash gathered and sorted first. [`Manifest::conclude`] then makes what can be
//! computed from the entries (counts, who shares a key, who holds a body), and says from which generation on the
//! change log is whole: what lies before is known by the entries alone. Nothing here decides what is to be
//! believed.

use std::path::Path;
use std::sync::atomic::Ordering;

use super::marker::Marker;
use super::record::{
    Counts, Debt, Entry, EtagKind, Filled, Generation, GenerationRecord, Lineage, Meta, Outcome,
    Pending, TierState,
};
use super::{FOLD_BATCH, Manifest, ManifestError, codec, keys, tiers};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::{Batch, Fuse, KeyAndPayload};
use crate::site::{Layout, ObjectKey, PageUrl, Reach};
use crate::store::{self, Located};

/// Records by hash are gathered up to this number, some 40 MB, before they are written in their own order: each
/// time rewrites much of what lies there.
const SCATTERED_MAX: usize = 200_000;

/// Bodies from this size on have an index of who holds them.
use super::holders::COPY_BYTES_MIN;

/// Where a manifest is built before it takes its place.
pub fn place_of_work(state: &Path) -> std::path::PathBuf {
    state.join("rebuilding")
}

/// A record of a checkpoint, checked.
#[derive(Debug, PartialEq)]
pub enum Told {
    Meta(Box<Meta>),
    Entry(PageUrl, Box<Entry>),
    /// Of a blob, or of an object of a tier.
    Etag,
    Generation,
    Pending,
    PerhapsGone,
    Tier(TierState),
    /// Of a tier that is filled by another layout than the manifest's.
    Filled,
    Debt(PageUrl),
    /// Of a kind that a rebuilt manifest has no use for.
    Other,
}

/// What a row of a checkpoint says, if it is a whole record of its kind.
///
/// # Errors
/// [`ManifestError::Record`].
pub fn checked(key: &[u8], payload: &[u8]) -> Result<Told, ManifestError> {
    let Some(&kind) = key.first() else {
        return Err(codec::broken(key, "a record without a key"));
    };
    Ok(match kind {
        keys::ENTRY => {
            let url = codec::url_of_key(key, 1)?;
            Told::Entry(url, Box::new(codec::decode(key, payload)?))
        }
        keys::ETAG_OF_BLOB | keys::ETAG_IN_TIER => {
            codec::decode::<String>(key, payload)?;
            let is_whole = match kind {
                keys::ETAG_OF_BLOB => key.len() == 33,
                _ => of_tier(key).is_some(),
            };
            match is_whole {
                true => Told::Etag,
                false => return Err(codec::broken(key, "an ETag of nothing")),
            }
        }
        keys::GENERATION => {
            codec::decode::<GenerationRecord>(key, payload)?;
            match key.len() == 9 {
                true => Told::Generation,
                false => return Err(codec::broken(key, "a generation without a number")),
            }
        }
        keys::PENDING => {
            codec::url_of_key(key, 1)?;
            codec::decode::<Pending>(key, payload)?;
            Told::Pending
        }
        keys::PERHAPS_GONE => {
            codec::url_of_key(key, 1)?;
            Told::PerhapsGone
        }
        keys::TIER => Told::Tier(codec::decode(key, payload)?),
        keys::FILLED => {
            codec::decode::<Filled>(key, payload)?;
            match of_tier(key) {
                Some(_) => Told::Filled,
                None => return Err(codec::broken(key, "the layout of nobody")),
            }
        }
        keys::DEBT => {
            codec::decode::<Debt>(key, payload)?;
            let Some((_, skip)) = of_tier(key) else {
                return Err(codec::broken(key, "a debt of nobody"));
            };
            Told::Debt(codec::url_of_key(key, skip)?)
        }
        _ if key == keys::META => Told::Meta(Box::new(codec::decode(key, payload)?)),
        _ => Told::Other,
    })
}

/// The name of the tier in a key, and where what follows it begins.
fn of_tier(key: &[u8]) -> Option<(&[u8], usize)> {
    let end = key.iter().position(|&byte| byte == keys::END)?;
    Some((&key[1..end], end + 1))
}

/// Takes records in.
pub struct Intake<'a> {
    manifest: &'a Manifest,
    batch: Batch,
    scattered: Vec<KeyAndPayload>,
    /// What a checkpoint says of itself.
    pub meta: Option<Box<Meta>>,
    /// Of the tier that the checkpoint lies in.
    pub tier: Option<TierState>,
    /// Entries taken in, of which some replace others.
    pub entries: u64,
}

/// Whose records of tiers an intake takes, and under which name: a tier may have another one by now.
#[derive(Debug, Clone, Copy)]
pub enum Naming<'a> {
    AsTold,
    /// All are of this tier.
    For(&'a TierName),
}

impl<'a> Intake<'a> {
    pub fn new(manifest: &'a Manifest) -> Intake<'a> {
        Intake {
            manifest,
            batch: Batch::default(),
            scattered: Vec::new(),
            meta: None,
            tier: None,
            entries: 0,
        }
    }

    /// One row of a checkpoint: entries, ETags, and what is said about the manifest.
    ///
    /// # Errors
    /// [`ManifestError::Record`] for a row that is none, and what the database says.
    pub fn row(
        &mut self,
        key: &[u8],
        payload: &[u8],
        naming: Naming<'_>,
    ) -> Result<(), ManifestError> {
        match checked(key, payload)? {
            Told::Entry(..) => {
                self.batch.put(key, payload);
                self.entries += 1;
            }
            Told::Etag if key[0] == keys::ETAG_OF_BLOB => {
                self.scattered.push((key.to_vec(), payload.to_vec()));
            }
            Told::Etag => self.batch.put(&renamed(key, naming), payload),
            Told::Generation | Told::Pending | Told::PerhapsGone => self.batch.put(key, payload),
            Told::Meta(meta) => self.meta = Some(meta),
            Told::Tier(_) | Told::Filled | Told::Debt(_) | Told::Other => (),
        }
        self.apply_when_many()
    }

    /// One row of what a tier's checkpoint says about that tier: what it is and what it owes. All else is left.
    ///
    /// # Errors
    /// As [`Intake::row`].
    pub fn row_of_tier(
        &mut self,
        key: &[u8],
        payload: &[u8],
        name: &TierName,
    ) -> Result<(), ManifestError> {
        match checked(key, payload)? {
            Told::Debt(_) | Told::Filled => {
                self.batch.put(&renamed(key, Naming::For(name)), payload);
            }
            Told::Tier(state) => self.tier = Some(state),
            Told::Meta(meta) => self.meta = Some(meta),
            _ => (),
        }
        self.apply_when_many()
    }

    /// One row of a tier's checkpoint, if it is an ETag of one of its objects.
    ///
    /// # Errors
    /// As [`Intake::row`].
    pub fn etag_row(
        &mut self,
        key: &[u8],
        payload: &[u8],
        name: &TierName,
    ) -> Result<(), ManifestError> {
        if key.first() == Some(&keys::ETAG_IN_TIER) {
            checked(key, payload)?;
            self.batch.put(&renamed(key, Naming::For(name)), payload);
        }
        self.apply_when_many()
    }

    /// An entry that was read off an object.
    ///
    /// # Errors
    /// What the database says.
    pub fn entry(&mut self, url: &PageUrl, entry: &Entry) -> Result<(), ManifestError> {
        codec::put(&mut self.batch, &keys::entry(url), entry);
        self.batch.remove(&keys::pending(url));
        self.entries += 1;
        self.apply_when_many()
    }

    /// What a tier's listing shows of an object of that content.
    ///
    /// # Errors
    /// What the database says.
    pub fn etag(
        &mut self,
        name: &TierName,
        kind: EtagKind,
        key: &ObjectKey,
        shown: (&ContentHash, &str),
    ) -> Result<(), ManifestError> {
        let (content, etag) = shown;
        if let Some(record) = tiers::etag_record(name, kind, key, content, etag) {
            self.scattered.push(record);
        }
        self.apply_when_many()
    }

    /// Where the store has a blob.
    ///
    /// # Errors
    /// What the database says.
    pub fn blob(&mut self, located: &Located) -> Result<(), ManifestError> {
        self.scattered.push(store::record(located));
        self.apply_when_many()
    }

    /// Writes out what is still gathered; durable after a flush.
    ///
    /// # Errors
    /// What the database says.
    pub fn finish(mut self) -> Result<(Option<Box<Meta>>, Option<TierState>), ManifestError> {
        self.manifest.db.apply(std::mem::take(&mut self.batch))?;
        self.scatter()?;
        self.manifest.db.flush()?;
        Ok((self.meta, self.tier))
    }

    fn apply_when_many(&mut self) -> Result<(), ManifestError> {
        if self.batch.len() >= FOLD_BATCH {
            self.manifest.db.apply(std::mem::take(&mut self.batch))?;
            self.manifest.flush_when_many()?;
        }
        if self.scattered.len() >= SCATTERED_MAX {
            self.scatter()?;
        }
        Ok(())
    }

    fn scatter(&mut self) -> Result<(), ManifestError> {
        self.manifest
            .put_in_order(std::mem::take(&mut self.scattered))
    }
}

fn renamed(key: &[u8], naming: Naming<'_>) -> Vec<u8> {
    match (naming, of_tier(key)) {
        (Naming::For(name), Some((_, skip))) => [&keys::tier(key[0], name), &key[skip..]].concat(),
        _ => key.to_vec(),
    }
}

impl Manifest {
    /// Computes from the entries what is not told: counts, the index of shared keys, who holds which body. `meta`
    /// becomes what the manifest says of itself, at its generation, with which its change log begins. Durable, and
    /// safe to be done again.
    ///
    /// # Errors
    /// What the database says.
    pub fn conclude(&self, meta: Meta) -> Result<(), ManifestError> {
        let mut intake = Intake::new(self);
        let mut counts = Counts::default();
        for entry in self.entries(None) {
            let (url, entry) = entry?;
            let placed = self.layout.place(&url);
            count(&mut counts, &entry.outcome, placed.reach != Reach::Cdn);
            self.index_alias(&mut intake.batch, &url);
            if let Outcome::Page(page) = &entry.outcome
                && page.size >= COPY_BYTES_MIN
            {
                let holder = (keys::holder(&page.content), codec::encode(&url));
                intake.scattered.push(holder);
            }
            intake.apply_when_many()?;
        }
        intake.finish()?;
        let generation = meta.generation;
        *self.meta() = Meta { counts, ..meta };
        self.begin_at(generation)
    }

    /// Makes a generation the newest one of a manifest that was just made, with which its change log begins. Durable.
    ///
    /// # Errors
    /// What the database says.
    pub fn begin_at(&self, generation: Generation) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        batch.put(keys::LOG_BEGINS, &encode_number(generation));
        self.meta().generation = generation;
        self.log_begins.store(generation.0, Ordering::Relaxed);
        self.save_meta(batch)
    }

    /// Whether a manifest opens well and every entry can be read: its lineage and generation. `None` where nothing
    /// was ever committed.
    ///
    /// # Errors
    /// Why it does not.
    pub fn look(
        state: &Path,
        layout: &Layout,
    ) -> Result<Option<(Lineage, Generation)>, ManifestError> {
        let is_there = super::database(state).is_dir() || Marker::read(state)?.is_some();
        if !is_there {
            return Ok(None);
        }
        let manifest = Manifest::open(state, layout, Fuse::none())?;
        for entry in manifest.entries(None) {
            entry?;
        }
        let about = manifest.about();
        Ok((about.generation > Generation::NONE).then_some((about.lineage, about.generation)))
    }

    /// The lineage and the generation that the small file beside a database names, where something was committed.
    pub fn told_beside(state: &Path) -> Option<(Lineage, Generation)> {
        let marker = Marker::read(state).ok()??;
        (marker.generation > Generation::NONE).then(|| (marker.lineage(), marker.generation))
    }

    /// The change log holds everything after this generation. Of what a rebuild has brought back from before,
    /// only the entries are known.
    pub fn log_begins(&self) -> Generation {
        Generation(self.log_begins.load(Ordering::Relaxed))
    }

    /// Notes that a tier owes everything that changed after a generation; how much that is. Durable.
    ///
    /// # Errors
    /// What the database says.
    pub fn owe_changed_after(
        &self,
        name: &TierName,
        after: Generation,
        reason: &'static str,
    ) -> Result<u64, ManifestError> {
        let mut owed = Vec::new();
        let mut count = 0;
        for entry in self.entries(None) {
            let (url, entry) = entry?;
            if entry.changed > after {
                count += 1;
                owed.push((url, reason));
            }
            if owed.len() >= FOLD_BATCH {
                self.owe_all(name, &std::mem::take(&mut owed))?;
            }
        }
        self.owe_all(name, &owed)?;
        self.db.flush()?;
        Ok(count)
    }

    /// Notes where the store has blobs, durably. The blobs are durable already.
    ///
    /// # Errors
    /// What the database says.
    pub fn note_blobs(&self, located: &[Located]) -> Result<(), ManifestError> {
        let mut intake = Intake::new(self);
        for located in located {
            intake.blob(located)?;
        }
        intake.finish().map(drop)
    }

    /// Where the store has each blob, in the order of their hashes.
    pub fn blobs(&self) -> impl Iterator<Item = Result<Located, ManifestError>> + '_ {
        store::all(&self.db).map(|located| Ok(located?))
    }

    /// Forgets where these blobs lie, durably: names go before bytes.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_these(&self, hashes: &[ContentHash]) -> Result<(), ManifestError> {
        for hashes in hashes.chunks(FOLD_BATCH) {
            let mut batch = Batch::default();
            for hash in hashes {
                store::forget(&mut batch, hash);
            }
            self.db.apply(batch)?;
            self.flush_when_many()?;
        }
        Ok(self.db.flush()?)
    }

    /// The entry of a URL that holds this body, if it is of a size for which that is noted.
    ///
    /// # Errors
    /// What the database says.
    pub fn page_of_body(&self, content: &ContentHash) -> Result<Option<Entry>, ManifestError> {
        let holder: Option<PageUrl> = codec::get(&self.db, &keys::holder(content))?;
        match holder {
            Some(url) => self.entry(&url),
            None => Ok(None),
        }
    }
}

/// Format 1: a byte for it, then the number.
fn encode_number(generation: Generation) -> Vec<u8> {
    [&[1], generation.0.to_be_bytes().as_slice()].concat()
}

/// The generation in a record of [`keys::LOG_BEGINS`].
pub(super) fn decode_number(payload: &[u8]) -> Result<Generation, ManifestError> {
    let number = payload.strip_prefix(&[1]).and_then(|n| n.try_into().ok());
    let number = number.ok_or_else(|| codec::broken(keys::LOG_BEGINS, "no generation"))?;
    Ok(Generation(u64::from_be_bytes(number)))
}

fn count(counts: &mut Counts, outcome: &Outcome, hidden: bool) {
    match outcome {
        Outcome::Page(_) => counts.pages += 1,
        Outcome::Redirect(_) => counts.redirects += 1,
        Outcome::Gone(_) => counts.gone += 1,
    }
    counts.gateway_only += u64::from(hidden && outcome.is_live());
}
