//! Bodies for the tiers: one read serves all tiers that need it at about the same time, and a blob
//! that the store no longer keeps is read from a tier that has it.

use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::SyncError;
use crate::content::{ContentHash, Digester};
use crate::delta::{Object, Source};
use crate::manifest::Manifest;
use crate::site::ObjectKey;
use crate::store::{Store, StoreError};
use crate::tier::{Body, Tier};

/// Recently read bodies kept for the other tiers. Tiers that run side by side are some dozens of
/// objects apart; a slow one reads again, which costs little and holds back nobody.
const RECENT_BYTES_MAX: usize = 32 << 20;

/// What one read of a large body in the store takes.
const READ_BYTES: usize = 256 << 10;

/// Where bodies come from during one sync.
pub struct Bodies {
    manifest: Arc<Manifest>,
    /// `None` where the store is left out.
    store: Option<Arc<Store>>,
    tiers: Vec<Arc<dyn Tier>>,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    bodies: HashMap<ContentHash, Bytes>,
    order: VecDeque<ContentHash>,
    bytes: usize,
}

impl Bodies {
    /// `tiers` are those that may be read when the store lacks a blob.
    pub fn new(
        manifest: Arc<Manifest>,
        store: Option<Arc<Store>>,
        tiers: Vec<Arc<dyn Tier>>,
    ) -> Bodies {
        Bodies {
            manifest,
            store,
            tiers,
            recent: Mutex::default(),
        }
    }

    /// The body of an object; `None` when no copy of it survives in the store or in a tier.
    ///
    /// # Errors
    /// What the manifest says.
    pub async fn of(&self, key: &ObjectKey, object: &Object) -> Result<Option<Body>, SyncError> {
        let hash = match &object.source {
            Source::Inline(bytes) => return Ok(Some(Body::Bytes(bytes.clone()))),
            Source::Blob(hash) => hash,
        };
        if let Some(bytes) = self.recent().bodies.get(hash) {
            return Ok(Some(Body::Bytes(bytes.clone())));
        }
        if let Some(body) = self.local(hash)? {
            return Ok(Some(body));
        }
        if let Some(body) = self.fetch_back(key, hash).await {
            return Ok(Some(body));
        }
        self.fetch_from_old_keys(object, hash).await
    }

    /// A tier that has not been moved to the manifest's layout has the body under another key.
    async fn fetch_from_old_keys(
        &self,
        object: &Object,
        hash: &ContentHash,
    ) -> Result<Option<Body>, SyncError> {
        for tier in &self.tiers {
            let Some(filled) = self.manifest.filled(tier.name())? else {
                continue;
            };
            let key = filled.layout().place(&object.meta.url).key;
            if let Some(body) = self.fetch_back(&key, hash).await {
                return Ok(Some(body));
            }
        }
        Ok(None)
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

    async fn fetch_back(&self, key: &ObjectKey, hash: &ContentHash) -> Option<Body> {
        for tier in &self.tiers {
            match tier.get(key, None).await {
                Ok(Some(fetched)) if ContentHash::of(&fetched.body) == *hash => {
                    self.remember(*hash, &fetched.body);
                    return Some(Body::Bytes(fetched.body));
                }
                Ok(_) => (),
                Err(error) => tracing::debug!(%error, "no body from this tier"),
            }
        }
        None
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TierName;
    use crate::content::{KeptHeaders, digest};
    use crate::db::Fuse;
    use crate::manifest::{Entry, Evidence, Generation, Outcome, Page, RunId, Staged};
    use crate::site::{Layout, LayoutName, PageUrl};
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
            )
        };
        let alone = bodies(&tiers[..1]);
        alone.of(&key, &object).await.unwrap();
        assert_eq!(alone.recent().bytes, 0, "nobody else wants it");
        let bodies = bodies(&tiers);
        for tier in 1..=3 {
            let body = bodies.of(&key, &object).await.unwrap();
            let Some(Body::Bytes(found)) = body else {
                panic!("tier {tier}: {body:?}");
            };
            assert_eq!(found, bytes);
            empty_the_files_of(&folder.path().join("store"));
        }
        let anew = alone.of(&key, &object).await.unwrap();
        assert!(anew.is_none(), "it is gone");
    }
}
