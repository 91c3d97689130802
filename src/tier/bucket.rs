//! What the buckets of all services have in common, however each is spoken to: where a tier's keys lie,
//! what an error is called, and what follows from the operations of [`Tier`] alone.

use std::fmt::Display;
use std::io;
use std::path::Path;

use bytes::Bytes;
use url::Url;

use super::metadata::{self, Decoded, Found};
use super::{Fetched, ObjectMeta, Tier, TierError};
use crate::config::TierName;
use crate::site::{KEY_BYTES_MAX, ObjectKey};

/// What is written to find out what a tier can do. Constant, so that killed probes leave one object and
/// not many.
pub(super) const PROBE: &str = ".standin/probe";
pub(super) const PROBE_BODY: &[u8] = b"standin probe 1\n";
/// The MD5 of [`PROBE_BODY`].
pub(super) const PROBE_MD5: &str = "a6c5aa937c7f86e9ea526321af45d1f7";

/// The part of a bucket that is one tier.
pub(super) struct Place {
    pub name: TierName,
    /// Empty, or with a `/` at its end.
    pub prefix: String,
}

impl Place {
    /// `prefix` is as configured: without a `/` at either end.
    pub fn new(name: TierName, prefix: &str) -> Place {
        let prefix = match prefix {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        Place { name, prefix }
    }

    /// The key in the bucket of an object of the site.
    pub fn object_key(&self, key: &ObjectKey) -> Result<String, TierError> {
        let full = format!("{}{}", self.prefix, key.as_str());
        if !key.is_site() {
            return Err(self.unsupported(
                key.as_str(),
                "names under .standin/ are no objects of the site",
            ));
        }
        if full.len() > KEY_BYTES_MAX {
            return Err(self.unsupported(
                key.as_str(),
                "with the tier's prefix its key is longer than 1,024 bytes; shorten the prefix",
            ));
        }
        Ok(full)
    }

    /// The key in the bucket of a small object of ours.
    pub fn small_key(&self, name: &str) -> Result<String, TierError> {
        if name.starts_with(".standin/") {
            return Ok(format!("{}{name}", self.prefix));
        }
        Err(self.unsupported(name, "small objects have names under .standin/"))
    }

    /// The bytes of a file, which must be of the announced size; `None` for one above `in_memory_max`.
    pub fn bytes_of(
        &self,
        at: &str,
        path: &Path,
        size: u64,
        in_memory_max: u64,
    ) -> Result<Option<Bytes>, TierError> {
        let unreadable = |source| self.unreadable(at, path, source);
        let found = std::fs::metadata(path).map_err(unreadable)?.len();
        if found != size {
            return Err(self.mismatch(at, format!("its file has {found} bytes, announced {size}")));
        }
        if size > in_memory_max {
            return Ok(None);
        }
        Ok(Some(std::fs::read(path).map_err(unreadable)?.into()))
    }

    pub fn unreadable(&self, at: &str, path: &Path, source: io::Error) -> TierError {
        TierError::Source {
            tier: self.name.clone(),
            at: at.into(),
            path: path.into(),
            source,
        }
    }

    pub fn precondition(&self, name: &str) -> TierError {
        TierError::Precondition {
            tier: self.name.clone(),
            at: name.into(),
        }
    }

    /// An answer that the service should not give.
    pub fn odd(&self, at: &str, cause: &str) -> TierError {
        TierError::Busy {
            tier: self.name.clone(),
            at: at.into(),
            cause: cause.into(),
            throttled: false,
            after: None,
        }
    }

    pub fn mismatch(&self, at: &str, cause: String) -> TierError {
        TierError::Mismatch {
            tier: self.name.clone(),
            at: at.into(),
            cause,
        }
    }

    pub fn unsupported(&self, at: impl Display, cause: &'static str) -> TierError {
        TierError::Unsupported {
            tier: self.name.clone(),
            at: at.to_string(),
            cause,
        }
    }
}

/// The whole metadata of an object, wherever it lies.
pub(super) async fn whole_meta(
    tier: &impl Tier,
    key: &ObjectKey,
    found: &Found,
    size: u64,
) -> Result<Option<ObjectMeta>, TierError> {
    let name = match metadata::decode(found, size) {
        Decoded::Meta(meta) => return Ok(Some(*meta)),
        Decoded::Nothing => return Ok(None),
        Decoded::Record(name) => name,
    };
    let small = tier.read_small(&name).await?;
    Ok(small.and_then(|(bytes, _)| metadata::decode_record(&bytes, &name, key)))
}

/// No bytes of an object, with its metadata.
pub(super) async fn nothing_of(
    tier: &impl Tier,
    key: &ObjectKey,
) -> Result<Option<Fetched>, TierError> {
    let seen = tier.head(key).await?;
    Ok(seen.map(|seen| Fetched {
        body: Bytes::new(),
        meta: seen.meta,
        etag: seen.etag,
    }))
}

/// After a failed condition: if exactly our bytes are there, an earlier attempt of this very request got
/// through and its answer was lost on the way.
pub(super) async fn lost_answer(
    tier: &impl Tier,
    place: &Place,
    name: &str,
    bytes: &Bytes,
) -> Result<String, TierError> {
    match tier.read_small(name).await? {
        Some((found, etag)) if found == *bytes => Ok(etag),
        _ => Err(place.precondition(name)),
    }
}

/// Bucket, prefix and endpoint, for people. Credentials in an endpoint's URL are not shown.
pub(super) fn location(scheme: &str, bucket: &str, prefix: &str, endpoint: Option<&str>) -> String {
    let prefix = match prefix {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    };
    let endpoint = endpoint.and_then(|text| Url::parse(text).ok());
    let endpoint = endpoint.map(|url| format!(" at {}", url.origin().ascii_serialization()));
    format!(
        "{scheme}://{bucket}{prefix}{}",
        endpoint.unwrap_or_default()
    )
}
