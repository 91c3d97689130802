//! Bodies for the tiers: one read serves all tiers that need it at about the same time, and a blob
//! that the store no longer keeps is read from a tier that has it: a large one in pieces, into a file
//! that is there for as long as somebody needs it.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::SyncError;
use super::head::HEAD;
use crate::config::TierName;
use crate::content::{ContentHash, Digester};
use crate::delta::{Object, Source};
use crate::manifest::Manifest;
use crate::site::{ObjectKey, PageUrl};
use crate::store::{FILE_BYTES_MIN, Store, StoreError};
use crate::tier::{Body, Pieces, Tier, TierError};

/// Recently read bodies kept for the other tiers. Tiers that run side by side are some dozens of
/// objects apart; a slow one reads again, which costs little and holds back nobody.
const RECENT_BYTES_MAX: usize = 32 << 20;

/// What one read of a large body in the store takes.
const READ_BYTES: usize = 256 << 10;

/// Why a tier owes a page that it was said to have.
const LACKING: &str = "its body was asked for, and is not there";

/// Where bodies come from during one sync.
pub struct Bodies {
    manifest: Arc<Manifest>,
    /// `None` where the store is left out.
    store: Option<Arc<Store>>,
    tiers: Vec<Reading>,
    /// Where large bodies lie that were read from a tier.
    scratch: PathBuf,
    /// Makes their names different.
    fetched: AtomicU64,
    recent: Mutex<Recent>,
}

/// A tier that may be read.
struct Reading {
    tier: Arc<dyn Tier>,
    /// As [`why_away`] has it, looked up once.
    away: OnceCell<Option<String>>,
}

#[derive(Default)]
struct Recent {
    bodies: HashMap<ContentHash, Bytes>,
    order: VecDeque<ContentHash>,
    bytes: usize,
    /// Large ones, while somebody has them.
    files: HashMap<ContentHash, Weak<Scratch>>,
}

/// A body for as long as this is held.
#[derive(Debug)]
pub struct Lent {
    pub body: Body,
    _kept: Option<Arc<Scratch>>,
}

/// What came of looking for a body everywhere.
#[derive(Debug)]
pub enum Sought {
    Found(Lent),
    /// No copy survives in the store, nor in a tier that could be asked. These could not, and may have one.
    Nowhere(Vec<(TierName, String)>),
}

/// A file that goes when nobody needs it any more. What a kill leaves goes when the store is opened.
#[derive(Debug)]
struct Scratch {
    path: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

impl Lent {
    fn kept(body: Body) -> Lent {
        Lent { body, _kept: None }
    }

    fn scratch(file: Arc<Scratch>, size: u64) -> Lent {
        let path = file.path.clone();
        Lent {
            body: Body::File { path, size },
            _kept: Some(file),
        }
    }
}

impl Reading {
    fn of(tier: Arc<dyn Tier>) -> Reading {
        Reading {
            tier,
            away: OnceCell::new(),
        }
    }

    async fn why_away(&self) -> Option<&str> {
        let look = async || why_away(self.tier.as_ref()).await;
        self.away.get_or_init(look).await.as_deref()
    }
}

/// Why what a tier does not show says nothing: an empty place where a disk should be mounted shows nothing at all, its
/// head included. `None` where the head is there.
pub async fn why_away(tier: &dyn Tier) -> Option<String> {
    match tier.read_small(HEAD).await {
        Ok(Some(_)) => None,
        Ok(None) => Some(format!("it has no {HEAD}: is it mounted?")),
        Err(error) => Some(error.to_string()),
    }
}

impl Bodies {
    /// `tiers` are those that may be read when the store lacks a blob, `scratch` the folder for large bodies of theirs.
    pub fn new(
        manifest: Arc<Manifest>,
        store: Option<Arc<Store>>,
        tiers: Vec<Arc<dyn Tier>>,
        scratch: PathBuf,
    ) -> Bodies {
        Bodies {
            manifest,
            store,
            tiers: tiers.into_iter().map(Reading::of).collect(),
            scratch,
            fetched: AtomicU64::new(0),
            recent: Mutex::default(),
        }
    }

    /// The body of an object; `None` when no copy of it survives in the store or in a tier.
    ///
    /// # Errors
    /// What the manifest and the state directory say.
    pub async fn of(&self, key: &ObjectKey, object: &Object) -> Result<Option<Lent>, SyncError> {
        Ok(match self.seek(key, object).await? {
            Sought::Found(lent) => Some(lent),
            Sought::Nowhere(_) => None,
        })
    }

    /// As [`Bodies::of`], and says who could not be asked.
    ///
    /// # Errors
    /// What the manifest and the state directory say.
    pub async fn seek(&self, key: &ObjectKey, object: &Object) -> Result<Sought, SyncError> {
        let hash = match &object.source {
            Source::Inline(bytes) => return Ok(found(Body::Bytes(bytes.clone()))),
            Source::Blob(hash) => hash,
        };
        if let Some(bytes) = self.recent().bodies.get(hash) {
            return Ok(found(Body::Bytes(bytes.clone())));
        }
        if let Some(body) = self.local(hash)? {
            return Ok(found(body));
        }
        let size = object.meta.size;
        if let Some(file) = self.recent().files.get(hash).and_then(Weak::upgrade) {
            return Ok(Sought::Found(Lent::scratch(file, size)));
        }
        self.seek_in_tiers(key, object, hash).await
    }

    async fn seek_in_tiers(
        &self,
        key: &ObjectKey,
        object: &Object,
        hash: &ContentHash,
    ) -> Result<Sought, SyncError> {
        let (mut lacking, mut unasked) = (Vec::new(), Vec::new());
        'tiers: for reading in &self.tiers {
            let tier = &reading.tier;
            // One that has not been moved to the manifest's layout has the body under another key.
            let filled = self.manifest.filled(tier.name())?;
            let old = filled.map(|filled| filled.layout().place(&object.meta.url).key);
            let keys = std::iter::once(key).chain(&old);
            for key in keys {
                let wanted = (hash, object.meta.size);
                match self.fetch(tier.as_ref(), key, wanted).await? {
                    Ok(Some(lent)) => return Ok(Sought::Found(lent)),
                    Ok(None) => (),
                    Err(error) => {
                        tracing::debug!(%error, "no body from this tier");
                        unasked.push((tier.name().clone(), error.to_string()));
                        continue 'tiers;
                    }
                }
            }
            match reading.why_away().await {
                None => lacking.push(tier.name()),
                Some(why) => unasked.push((tier.name().clone(), why.to_owned())),
            }
        }
        self.note_lacking(&object.meta.url, &lacking)?;
        Ok(Sought::Nowhere(unasked))
    }

    /// Tiers that are there, are said to have the page and did not show it owe it from here on: else, where no copy survives, the
    /// next crawl would ask whether it has changed, and hear that it has not.
    fn note_lacking(&self, url: &PageUrl, lacking: &[&TierName]) -> Result<(), SyncError> {
        let Some(entry) = self.manifest.entry(url)? else {
            return Ok(());
        };
        for name in lacking {
            let is_said_to_be_there = self.manifest.tier(name)?.watermark >= entry.changed
                && self.manifest.filled(name)?.is_none()
                && self.manifest.debt(name, url)?.is_none();
            if is_said_to_be_there {
                self.manifest.owe_all(name, &[(url.clone(), LACKING)])?;
            }
        }
        Ok(())
    }

    /// The store's copy. One that cannot be read whole is forgotten: a tier may have another, and else
    /// the next crawl fetches it again.
    fn local(&self, hash: &ContentHash) -> Result<Option<Body>, SyncError> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        let Some(located) = self.manifest.locate(hash)? else {
            return Ok(None);
        };
        if let Some(path) = store.path(&located) {
            let size = located.digest.size;
            if std::fs::metadata(&path).is_ok_and(|file| file.len() == size) {
                return Ok(Some(Body::File { path, size }));
            }
            tracing::warn!(path = %path.display(), "the store's copy is forgotten: it is not whole");
            self.manifest.forget_blob(hash)?;
            return Ok(None);
        }
        match store.read(&located) {
            Ok(bytes) => {
                self.remember(*hash, &bytes);
                Ok(Some(Body::Bytes(bytes)))
            }
            Err(error @ (StoreError::Damaged { .. } | StoreError::Io { .. })) => {
                tracing::warn!(%error, "the store's copy is forgotten");
                self.manifest.forget_blob(hash)?;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a large body's file in the store again, which nobody has done when it was handed out, after a tier has
    /// said that it got other bytes than announced. A damaged one is forgotten: a tier may have another.
    ///
    /// # Errors
    /// What the manifest says.
    pub async fn doubt(&self, object: &Object) -> Result<(), SyncError> {
        let Source::Blob(hash) = &object.source else {
            return Ok(());
        };
        let Some(path) = self
            .manifest
            .locate(hash)?
            .and_then(|located| self.store.as_ref()?.path(&located))
        else {
            return Ok(());
        };
        let reading = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::open(path)?;
            let mut digester = Digester::new();
            let mut chunk = vec![0; READ_BYTES];
            loop {
                match file.read(&mut chunk)? {
                    0 => return Ok::<_, std::io::Error>(digester.finish().content),
                    count => digester.update(&chunk[..count]),
                }
            }
        });
        let read = reading
            .await
            .expect("hashing does not panic and is never aborted");
        if read.is_ok_and(|found| found == *hash) {
            return Ok(());
        }
        tracing::warn!(%hash, "the store's copy is forgotten: it is damaged");
        Ok(self.manifest.forget_blob(hash)?)
    }

    /// The body from a tier, if its bytes are those of the hash there.
    async fn fetch(
        &self,
        tier: &dyn Tier,
        key: &ObjectKey,
        (hash, size): (&ContentHash, u64),
    ) -> Result<Result<Option<Lent>, TierError>, SyncError> {
        if size > FILE_BYTES_MIN {
            return self.fetch_large(tier, key, (hash, size)).await;
        }
        Ok(match tier.get(key, None).await {
            Ok(Some(fetched)) if ContentHash::of(&fetched.body) == *hash => {
                self.remember(*hash, &fetched.body);
                Ok(Some(Lent::kept(Body::Bytes(fetched.body))))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        })
    }

    async fn fetch_large(
        &self,
        tier: &dyn Tier,
        key: &ObjectKey,
        (hash, size): (&ContentHash, u64),
    ) -> Result<Result<Option<Lent>, TierError>, SyncError> {
        let seen = match tier.head(key).await {
            Ok(seen) => seen.filter(|seen| seen.size == size),
            Err(error) => return Ok(Err(error)),
        };
        let Some(seen) = seen else {
            return Ok(Ok(None));
        };
        let number = self.fetched.fetch_add(1, Ordering::Relaxed);
        let file = Scratch {
            path: self.scratch.join(format!("{hash}-{number}")),
        };
        let failed = |source| {
            let path = file.path.clone();
            SyncError::Store(StoreError::Io { path, source })
        };
        let mut writing = (File::create(&file.path).map_err(failed)?, Digester::new());
        let mut pieces = Pieces::new(tier, key, size, &seen.etag);
        loop {
            match pieces.next().await {
                Ok(Some(piece)) => writing = written(writing, piece).await.map_err(failed)?,
                Ok(None) => break,
                // Another one was put there, or its service has found out itself that it is damaged: no copy of ours.
                Err(TierError::Mismatch { .. }) => return Ok(Ok(None)),
                Err(error) => return Ok(Err(error)),
            }
        }
        if writing.1.finish().content != *hash {
            return Ok(Ok(None));
        }
        let file = Arc::new(file);
        let mut recent = self.recent();
        recent.files.retain(|_, file| file.strong_count() > 0);
        recent.files.insert(*hash, Arc::downgrade(&file));
        Ok(Ok(Some(Lent::scratch(file, size))))
    }

    fn remember(&self, hash: ContentHash, bytes: &Bytes) {
        // One tier alone reads each body once, and its next one into memory that is still in the cache.
        if self.tiers.len() < 2 {
            return;
        }
        let mut recent = self.recent();
        if bytes.len() > RECENT_BYTES_MAX || recent.bodies.contains_key(&hash) {
            return;
        }
        recent.bytes += bytes.len();
        recent.bodies.insert(hash, bytes.clone());
        recent.order.push_back(hash);
        while recent.bytes > RECENT_BYTES_MAX {
            let oldest = recent
                .order
                .pop_front()
                .expect("bytes are counted per body");
            let dropped = recent.bodies.remove(&oldest).map_or(0, |bytes| bytes.len());
            recent.bytes -= dropped;
        }
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, Recent> {
        self.recent.lock().expect("no holder of this lock panics")
    }
}

fn found(body: Body) -> Sought {
    Sought::Found(Lent::kept(body))
}

/// A piece more, written and hashed on a thread that may wait for the disk.
async fn written(
    (mut file, mut digester): (File, Digester),
    piece: Bytes,
) -> io::Result<(File, Digester)> {
    let work = move || {
        digester.update(&piece);
        file.write_all(&piece).map(|()| (file, digester))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.expect("hashing and writing do not panic and are never aborted")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{KeptHeaders, digest};
    use crate::db::Fuse;
    use crate::manifest::{Entry, Evidence, Generation, Outcome, Page, RunId, Staged};
    use crate::site::{Layout, LayoutName};
    use crate::store::NewBlob;
    use crate::tier::DirectoryTier;

    fn empty_the_files_of(folder: &std::path::Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                empty_the_files_of(&path);
            } else {
                std::fs::File::create(&path).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn one_read_serves_every_tier() {
        // Promise: three tiers that need a body at about the same time cost one read of it. The store is
        // emptied after the first of them has it; the others are served all the same.
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(LayoutName::Plain, []);
        let manifest = Manifest::open(folder.path(), &layout, Fuse::none()).unwrap();
        let mut store = Store::open(&folder.path().join("store"), Fuse::none()).unwrap();
        let bytes = Bytes::from_static(b"p { color: red }");
        let blob = NewBlob {
            digest: digest(&bytes),
            bytes: &bytes,
        };
        let located = store.append(&[blob]).unwrap().remove(0);
        let url = PageUrl::parse("https://h.test/a.css").unwrap();
        let outcome = Outcome::Page(Page {
            status: 200,
            content: located.digest.content,
            canonical: located.digest.content,
            rules: 0,
            crc32c: located.digest.crc32c,
            size: located.digest.size,
            headers: KeptHeaders::default(),
            etag: None,
            last_modified: None,
        });
        let entry = Entry {
            outcome: outcome.clone(),
            changed: Generation(1),
            first: Generation(1),
            fetched: Some(7),
        };
        let staged = Staged::Outcome {
            outcome,
            located: Some(located),
            fetched: 7,
        };
        let run = RunId("run".into());
        let staged = std::iter::once(Ok((url.clone(), staged)));
        manifest.commit(&run, 7, Evidence::Whole, staged).unwrap();

        let object = Object::of(&url, &entry).unwrap();
        let key = layout.place(&url).key;
        let (manifest, store) = (Arc::new(manifest), Arc::new(store));
        let tiers = ["one", "two", "three"].map(|name| -> Arc<dyn Tier> {
            let root = folder.path().join(name);
            Arc::new(DirectoryTier::new(TierName::parse(name).unwrap(), root))
        });
        let bodies = |tiers: &[Arc<dyn Tier>]| {
            Bodies::new(
                Arc::clone(&manifest),
                Some(Arc::clone(&store)),
                tiers.to_vec(),
                folder.path().join("scratch"),
            )
        };
        let alone = bodies(&tiers[..1]);
        alone.of(&key, &object).await.unwrap();
        assert_eq!(alone.recent().bytes, 0, "nobody else wants it");
        let bodies = bodies(&tiers);
        for tier in 1..=3 {
            let body = bodies.of(&key, &object).await.unwrap();
            let Some(Body::Bytes(found)) = body.map(|lent| lent.body) else {
                panic!("tier {tier}: no bytes");
            };
            assert_eq!(found, bytes);
            empty_the_files_of(&folder.path().join("store"));
        }
        let anew = alone.of(&key, &object).await.unwrap();
        assert!(anew.is_none(), "it is gone");
    }
}
