//! A copy of the site in a local folder: bodies where any web server finds them, metadata in
//! side files under `.standin/`. The file `folder.rs` puts and removes objects and holds the
//! order of steps that a crash cannot break; `below.rs` goes to them without following links; `walk.rs` lists, `small.rs` keeps head and
//! checkpoints; a side file is a record as in `../record.rs`.
//!
//! ```text
//! ROOT/<key>                              the body, where the file system allows the path
//! ROOT/.standin/overflow/<aa>/<hash>      the body, where it does not (`a` beside `a/b`, long names)
//! ROOT/.standin/meta/<aa>/<hash>          the side file; <hash> is the BLAKE3 of the key
//! ROOT/.standin/tmp/…                     bodies being written
//! ROOT/.standin/lock                      held while a small object is compared and written
//! ROOT/.standin/<anything else>           small objects
//! ```

mod below;
mod folder;
mod small;
mod walk;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Body, Capabilities, Confirmed, EtagMeaning, Expect, Fetched, Kind, Line, ListPage, ObjectMeta,
    Prices, Seen, Tier, TierError, Traffic,
};
use crate::config::TierName;
use crate::site::ObjectKey;
use folder::{Folder, Old};

/// Bodies up to this size are hashed and written where the caller runs (some 100 µs); larger
/// ones go to the pool of blocking threads, whose hand-over costs 40 µs of its own.
const INLINE_BYTES_MAX: u64 = 1 << 20;

/// See the paragraph of this folder.
pub struct DirectoryTier {
    folder: Arc<Folder>,
    line: Line,
}

impl DirectoryTier {
    /// Creates nothing: the folder appears with the first write.
    pub fn new(name: TierName, root: PathBuf) -> DirectoryTier {
        DirectoryTier {
            line: Line::counter(name.clone()),
            folder: Arc::new(Folder::new(name, root)),
        }
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        kind: Kind,
        work: impl FnOnce(&Folder) -> Result<T, TierError> + Send + 'static,
    ) -> Result<T, TierError> {
        self.line.count(kind);
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

    /// A file system promises all of it.
    async fn probe(&self) -> Result<Capabilities, TierError> {
        Ok(Capabilities {
            etag: EtagMeaning::Content,
            conditional_writes: true,
            keeps_versions: Some(false),
            locks_objects: Some(false),
            // The bytes are read, hashed and written again in any case.
            copies_cheaply: false,
        })
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Body,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        if body.size() <= INLINE_BYTES_MAX {
            self.line.count(Kind::Put);
            return self.folder.put(key, &body, meta);
        }
        let (key, meta) = (key.clone(), meta.clone());
        self.off_thread(Kind::Put, move |folder| folder.put(&key, &body, &meta))
            .await
    }

    async fn copy(
        &self,
        from: &ObjectKey,
        _etag: Option<&str>,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let (from, key, meta) = (from.clone(), key.clone(), meta.clone());
        self.off_thread(Kind::Copy, move |folder| folder.copy(&from, &key, &meta))
            .await
    }

    async fn reheader(
        &self,
        key: &ObjectKey,
        _etag: Option<&str>,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        if meta.size <= INLINE_BYTES_MAX {
            self.line.count(Kind::Copy);
            return self.folder.reheader(key, meta);
        }
        let (key, meta) = (key.clone(), meta.clone());
        self.off_thread(Kind::Copy, move |folder| folder.reheader(&key, &meta))
            .await
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<Vec<(ObjectKey, TierError)>, TierError> {
        let keys = keys.to_vec();
        self.off_thread(Kind::Delete, move |folder| {
            let failed = |key: ObjectKey| folder.remove(&key).err().map(|error| (key, error));
            Ok(keys.into_iter().filter_map(failed).collect())
        })
        .await
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Option<Fetched>, TierError> {
        let key = key.clone();
        self.off_thread(Kind::Get, move |folder| folder.get(&key, range))
            .await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<Seen>, TierError> {
        self.line.count(Kind::Head);
        self.folder.head(key)
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError> {
        let after = after.map(str::to_owned);
        self.off_thread(Kind::List, move |folder| {
            folder.list(after.as_deref(), limit)
        })
        .await
    }

    async fn read_small(&self, name: &str) -> Result<Option<(Bytes, String)>, TierError> {
        let name = name.to_owned();
        self.off_thread(Kind::Small, move |folder| folder.read_small(&name))
            .await
    }

    async fn write_small(
        &self,
        name: &str,
        bytes: Bytes,
        expect: Option<Expect>,
    ) -> Result<String, TierError> {
        let name = name.to_owned();
        self.off_thread(Kind::Small, move |folder| {
            folder.write_small(&name, &bytes, expect.as_ref())
        })
        .await
    }

    async fn delete_small(&self, name: &str) -> Result<(), TierError> {
        let name = name.to_owned();
        self.off_thread(Kind::Small, move |folder| folder.delete_small(&name))
            .await
    }

    async fn list_small_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>, TierError> {
        let prefix = prefix.to_owned();
        self.off_thread(Kind::Small, move |folder| folder.list_small(&prefix))
            .await
    }

    async fn settle(&self) -> Result<(), TierError> {
        self.off_thread(Kind::Small, Folder::settle).await
    }

    /// Scratch files of killed processes; the first write of a process looks after them, too.
    async fn sweep(&self, age: Duration) -> Result<u64, TierError> {
        self.off_thread(Kind::Small, move |folder| {
            Ok(folder.sweep_scratch(age, Old::Removed))
        })
        .await
    }

    async fn leftovers(&self, age: Duration) -> Result<u64, TierError> {
        self.off_thread(Kind::Small, move |folder| {
            Ok(folder.sweep_scratch(age, Old::Counted))
        })
        .await
    }

    fn prices(&self) -> Prices {
        Prices::default()
    }

    fn traffic(&self) -> Traffic {
        self.line.traffic()
    }
}
