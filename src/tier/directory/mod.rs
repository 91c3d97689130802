//! A copy of the site in a local folder: bodies where any web server finds them, metadata in
//! side files under `.standin/`. The file `folder.rs` puts and removes objects and holds the
//! order of steps that a crash cannot break; `walk.rs` lists, `small.rs` keeps head and
//! checkpoints, `record.rs` is the format of a side file.
//!
//! ```text
//! ROOT/<key>                              the body, where the file system allows the path
//! ROOT/.standin/overflow/<aa>/<hash>      the body, where it does not (`a` beside `a/b`, long names)
//! ROOT/.standin/meta/<aa>/<hash>          the side file; <hash> is the BLAKE3 of the key
//! ROOT/.standin/tmp/…                     bodies being written
//! ROOT/.standin/lock                      held while a small object is compared and written
//! ROOT/.standin/<anything else>           small objects
//! ```

mod folder;
mod record;
mod small;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Body, Confirmed, Expect, Fetched, ListPage, ObjectMeta, Tier, TierError};
use crate::config::TierName;
use crate::site::ObjectKey;
use folder::Folder;

/// Bodies up to this size are hashed and written where the caller runs (some 100 µs); larger
/// ones go to the pool of blocking threads, whose hand-over costs 40 µs of its own.
const INLINE_BYTES_MAX: u64 = 1 << 20;

/// See the paragraph of this folder.
pub struct DirectoryTier {
    folder: Arc<Folder>,
    operations: AtomicU64,
}

impl DirectoryTier {
    /// Creates nothing: the folder appears with the first write.
    pub fn new(name: TierName, root: PathBuf) -> DirectoryTier {
        DirectoryTier {
            folder: Arc::new(Folder::new(name, root)),
            operations: AtomicU64::new(0),
        }
    }

    fn count(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> Result<T, TierError> + Send + 'static,
    ) -> Result<T, TierError> {
        self.count();
        let folder = Arc::clone(&self.folder);
        match tokio::task::spawn_blocking(move || work(&folder)).await {
            Ok(result) => result,
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
}

#[async_trait]
impl Tier for DirectoryTier {
    fn name(&self) -> &TierName {
        &self.folder.tier
    }

    fn location(&self) -> String {
        format!("file:{}", self.folder.root.display())
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Body,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        if body.size() <= INLINE_BYTES_MAX {
            self.count();
            return self.folder.put(key, &body, meta);
        }
        let (key, meta) = (key.clone(), meta.clone());
        self.off_thread(move |folder| folder.put(&key, &body, &meta))
            .await
    }

    async fn reheader(&self, key: &ObjectKey, meta: &ObjectMeta) -> Result<Confirmed, TierError> {
        self.count();
        self.folder.reheader(key, meta)
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<Vec<(ObjectKey, TierError)>, TierError> {
        let keys = keys.to_vec();
        self.off_thread(move |folder| {
            let failed = |key: ObjectKey| folder.remove(&key).err().map(|error| (key, error));
            Ok(keys.into_iter().filter_map(failed).collect())
        })
        .await
    }

    async fn get(&self, key: &ObjectKey) -> Result<Option<Fetched>, TierError> {
        let key = key.clone();
        self.off_thread(move |folder| folder.get(&key)).await
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError> {
        let after = after.map(str::to_owned);
        self.off_thread(move |folder| folder.list(after.as_deref(), limit))
            .await
    }

    async fn read_small(&self, name: &str) -> Result<Option<(Bytes, String)>, TierError> {
        let name = name.to_owned();
        self.off_thread(move |folder| folder.read_small(&name))
            .await
    }

    async fn write_small(
        &self,
        name: &str,
        bytes: Bytes,
        expect: Option<Expect>,
    ) -> Result<String, TierError> {
        let name = name.to_owned();
        self.off_thread(move |folder| folder.write_small(&name, &bytes, expect.as_ref()))
            .await
    }

    async fn delete_small(&self, name: &str) -> Result<(), TierError> {
        let name = name.to_owned();
        self.off_thread(move |folder| folder.delete_small(&name))
            .await
    }

    async fn list_small(&self, prefix: &str) -> Result<Vec<String>, TierError> {
        let prefix = prefix.to_owned();
        self.off_thread(move |folder| folder.list_small(&prefix))
            .await
    }

    async fn settle(&self) -> Result<(), TierError> {
        self.off_thread(Folder::settle).await
    }

    fn requests(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }
}
