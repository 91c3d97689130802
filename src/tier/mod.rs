//! One ordered copy of the site: a bucket or a folder that takes objects, lists them and gives
//! them back. Everything above talks to the trait [`Tier`]; what a service or a file system asks
//! for stays in here. A tier confirms only what the service itself has checked (law 7).
//!
//! Every request to a service goes through the tier's [`Line`]: it keeps as many in flight as the service
//! bears, repeats what failed for a moment, waits when the service says so, and while the service is out
//! of reach lets requests fail at once. Whether an object is tried later, becomes a debt or ends the work
//! on this tier is decided by the caller, from [`TierError::class`].

mod bucket;
mod directory;
mod error;
mod gcs;
mod line;
mod metadata;
mod object;
mod pieces;
mod record;
mod s3;

use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub use crate::config::TierName;
use crate::site::ObjectKey;
pub use directory::DirectoryTier;
pub use error::{Class, TierError};
pub use gcs::GcsTier;
pub use line::{Kind, Line, Traffic};
pub use object::{
    Body, Capabilities, Confirmed, EtagMeaning, Expect, Fetched, ListPage, Listed, ObjectMeta,
    Prices, Provenance, Seen, ServicePlace, Stated,
};
pub use pieces::{PIECE_BYTES, Pieces};
pub use s3::S3Tier;

/// Objects asked for in one listing request; the services' own limit.
pub const LIST_PAGE: usize = 1000;

/// One copy of the site. `docs/TIERS.md` says of every method what is promised, and what is not.
/// Small objects under `.standin/` (head, checkpoints) have methods of
/// their own; every other method is about objects of the site and answers
/// [`TierError::Unsupported`] for a key under `.standin/`.
#[async_trait]
pub trait Tier: Send + Sync {
    fn name(&self) -> &TierName;

    /// Where the copy lies, for people; holds no secrets.
    fn location(&self) -> String;

    /// Finds out, by a few requests about small objects of its own, what the tier can do. Asked once,
    /// before the first object is written; the answer is recorded by the caller.
    ///
    /// Fails with [`TierError::Refused`] where something is missing without which no mirror can be
    /// kept: reading, writing, deleting or listing.
    async fn probe(&self) -> Result<Capabilities, TierError>;

    /// Stores `body` under `key` with its metadata, replacing what is there. The bytes are
    /// compared with the digests of `meta` before they become visible: a difference is
    /// [`TierError::Mismatch`] and changes nothing.
    async fn put(
        &self,
        key: &ObjectKey,
        body: Body,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError>;

    /// Makes `key` from the object under `from` inside the tier, with `meta`, replacing what is there.
    /// `meta` describes the bytes that are expected under `from`, `etag` is what was recorded for them.
    /// Where they differ or are missing, and where the service says nothing by which that could be
    /// seen, the answer is [`TierError::Mismatch`] or [`TierError::Rejected`]; `key` may hold the other
    /// bytes then, until the caller puts it.
    async fn copy(
        &self,
        from: &ObjectKey,
        etag: Option<&str>,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError>;

    /// Makes `key` from the object under the same key of another tier, inside the service that both lie in; as
    /// [`Tier::copy`] otherwise. [`TierError::Unsupported`] where the service cannot, or is another one.
    async fn copy_across(
        &self,
        _from: &ServicePlace,
        _etag: Option<&str>,
        key: &ObjectKey,
        _meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        Err(TierError::Unsupported {
            tier: self.name().clone(),
            at: key.to_string(),
            cause: "this kind of tier does not copy from another",
        })
    }

    /// Where the tier lies inside its service; `None` where nothing can be copied out of it in that way.
    fn service_place(&self) -> Option<ServicePlace> {
        None
    }

    /// Replaces the metadata alone. `meta` describes the bytes that are stored, `etag` is what was
    /// recorded for them. Where they differ or are missing, and where the service says nothing by which
    /// that could be seen, the answer is [`TierError::Mismatch`] or [`TierError::Rejected`], and
    /// [`TierError::Unsupported`] where the service cannot do it (S3 above 5 GB). The caller puts the
    /// object instead.
    async fn reheader(
        &self,
        key: &ObjectKey,
        etag: Option<&str>,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError>;

    /// Deletes up to 1,000 objects. Deleting what is absent is a success; returned are the keys
    /// that could not be deleted, each with its reason.
    async fn delete(&self, keys: &[ObjectKey]) -> Result<Vec<(ObjectKey, TierError)>, TierError>;

    /// The object as it is stored, or the bytes of `range` (from, up to but without; cut at the end of
    /// the object, empty beyond it) with the metadata of the whole. The bytes are not compared with the
    /// metadata here: an audit must be able to look at a damaged object.
    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Option<Fetched>, TierError>;

    /// What [`Tier::get`] would say, without the bytes.
    async fn head(&self, key: &ObjectKey) -> Result<Option<Seen>, TierError>;

    /// The next objects of the site after the raw key `after`, at most `limit`, in byte order.
    async fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError>;

    /// A small object under `.standin/` with its ETag; `None` when it, or the tier, is absent.
    async fn read_small(&self, name: &str) -> Result<Option<(Bytes, String)>, TierError>;

    /// Writes a small object atomically and returns its ETag. An `expect` that does not hold is
    /// [`TierError::Precondition`]. Over a network an answer can be lost and the request tried
    /// again: finding exactly `bytes` there counts as our own write, so whoever needs mutual
    /// exclusion puts something unique into them.
    async fn write_small(
        &self,
        name: &str,
        bytes: Bytes,
        expect: Option<Expect>,
    ) -> Result<String, TierError>;

    /// Deletes a small object; deleting what is absent is a success.
    async fn delete_small(&self, name: &str) -> Result<(), TierError>;

    /// The small objects whose names begin with `prefix`, in byte order, each with its size.
    async fn list_small_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>, TierError>;

    /// Their names alone.
    async fn list_small(&self, prefix: &str) -> Result<Vec<String>, TierError> {
        let listed = self.list_small_sizes(prefix).await?;
        Ok(listed.into_iter().map(|(name, _)| name).collect())
    }

    /// After `Ok` everything acknowledged so far survives a power loss.
    async fn settle(&self) -> Result<(), TierError>;

    /// Removes what interrupted uploads of this tier have left behind and that costs money or space, as
    /// far as it is older than `age`; how many there were.
    async fn sweep(&self, age: Duration) -> Result<u64, TierError>;

    /// How much there is that [`Tier::sweep`] would remove.
    async fn leftovers(&self, age: Duration) -> Result<u64, TierError>;

    /// What operations cost in requests, for estimates.
    fn prices(&self) -> Prices;

    /// Requests sent so far, repeated ones included (of a directory: operations), for the report.
    fn traffic(&self) -> Traffic;
}
