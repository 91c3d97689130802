//! What goes into a tier and what comes back: bodies, metadata, confirmations, listings.

use std::path::PathBuf;

use bytes::Bytes;

use crate::content::{ContentHash, KeptHeaders};
use crate::site::{ObjectKey, PageUrl};

/// Everything that travels with an object, so that a gateway and a rebuild need nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectMeta {
    pub url: PageUrl,
    pub content: ContentHash,
    pub crc32c: u32,
    /// Bytes of the body.
    pub size: u64,
    /// The HTTP status of the page: 200, or that of a redirect.
    pub status: u16,
    /// The target of a redirect.
    pub location: Option<String>,
    pub headers: KeptHeaders,
}

/// What the service reports for an object from now on, and what its listing will show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmed {
    /// Without quotes.
    pub etag: String,
    pub size: u64,
}

/// The bytes of an object: small ones in memory, shared between tiers, large ones in a file.
#[derive(Clone, Debug)]
pub enum Body {
    Bytes(Bytes),
    File { path: PathBuf, size: u64 },
}

impl Body {
    pub fn size(&self) -> u64 {
        match self {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { size, .. } => *size,
        }
    }
}

/// One object as a listing shows it. The ETag is empty where the tier holds a body without a
/// record of it (a directory after a crash in the middle of a put).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub key: ObjectKey,
    pub size: u64,
    pub etag: String,
}

/// One page of a listing. `objects` holds objects of the site only, in key order; `last` is the
/// last raw key that was looked at, of whatever kind, and is where the next page goes on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    pub objects: Vec<Listed>,
    pub more: bool,
    pub last: Option<String>,
}

/// An object read back. `meta` is `None` where the tier holds no metadata of ours that is whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    pub body: Bytes,
    pub meta: Option<ObjectMeta>,
    pub etag: String,
}

/// What must be true of a small object for a write to happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expect {
    Absent,
    Etag(String),
}
