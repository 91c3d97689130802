//! Bodies for the tiers: one read serves all tiers that need it at about the same time, and a blob
//! that the store no longer keeps is read from a tier that has it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::SyncError;
use crate::content::ContentHash;
use crate::delta::{Object, Source};
use crate::manifest::Manifest;
use crate::site::ObjectKey;
use crate::store::{Store, StoreError};
use crate::tier::{Body, Tier};

/// Recently read bodies kept for the other tiers. Tiers that run side by side are some dozens of
/// objects apart; a slow one reads again, which costs little and holds back nobody.
const RECENT_BYTES_MAX: usize = 32 << 20;

/// Where bodies come from during one sync.
pub struct Bodies {
    manifest: Arc<Manifest>,
    store: Arc<Store>,
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
    pub fn new(manifest: Arc<Manifest>, store: Arc<Store>, tiers: Vec<Arc<dyn Tier>>) -> Bodies {
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
        Ok(self.fetch_back(key, hash).await)
    }

    /// The store's copy. One that cannot be read whole is forgotten: a tier may have another, and else
    /// the next crawl fetches it again.
    fn local(&self, hash: &ContentHash) -> Result<Option<Body>, SyncError> {
        let Some(located) = self.manifest.locate(hash)? else {
            return Ok(None);
        };
        if let Some(path) = self.store.path(&located) {
            let size = located.digest.size;
            return Ok(Some(Body::File { path, size }));
        }
        match self.store.read(&located) {
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
