//! What goes into a tier and what comes back: bodies, metadata, confirmations, listings.

use std::path::PathBuf;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    /// Absent where an earlier version wrote the object.
    pub provenance: Option<Provenance>,
}

/// Where the stored answer comes from: for who rebuilds or audits a mirror from a tier alone. No
/// reader is served any of it, so that objects which differ in nothing else are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Provenance {
    /// The canonical hash, and the version of the rules that it was made by.
    pub canonical: ContentHash,
    pub rules: u32,
    /// The generation that brought this outcome.
    pub generation: u64,
    /// When the answer was fetched, in seconds since 1970; `None` where that was not recorded.
    pub fetched: Option<i64>,
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
    /// What [`Confirmed::etag`] was when these bytes were written.
    pub etag: String,
    /// Digests of the stored bytes, where the service states them in its listing.
    pub stated: Stated,
}

/// What a service states about the bytes that it stores, in listings and heads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stated {
    pub md5: Option<[u8; 16]>,
    pub crc32c: Option<u32>,
    /// BLAKE3, where the tier keeps it itself (a directory's side files).
    pub content: Option<ContentHash>,
}

/// One page of a listing. `objects` holds objects of the site only, in key order; `last` is the
/// last raw key that was looked at, of whatever kind, and is where the next page goes on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListPage {
    pub objects: Vec<Listed>,
    /// Names among them that no object of the site can have: not UTF-8, too long, or beginning with a slash; in a folder
    /// also what is neither file nor folder. They are for people, and nothing is ever looked up by them: in the place of
    /// a byte that is no text stands `\xff`.
    pub odd: Vec<String>,
    pub more: bool,
    pub last: Option<String>,
}

/// An object looked at without its bytes. `meta` as in [`Fetched`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub size: u64,
    pub etag: String,
    pub stated: Stated,
    pub meta: Option<ObjectMeta>,
}

/// What a tier, with the credentials it was given, can do. Found out by requests of its own
/// ([`Tier::probe`](super::Tier::probe)) before the first object is written, and recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capabilities {
    pub etag: EtagMeaning,
    /// A write can be made to depend on what is there, so that a second writer is noticed.
    pub conditional_writes: bool,
    /// Overwritten and deleted objects stay as old versions; `None` where it may not be asked.
    pub keeps_versions: Option<bool>,
    /// Objects can be locked against deletion; `None` where it may not be asked.
    pub locks_objects: Option<bool>,
    /// Copying inside the tier is cheaper than sending the bytes again.
    pub copies_cheaply: bool,
}

/// Where a tier lies inside a service, as another tier of the same service names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServicePlace {
    /// Equal for two tiers whose credentials reach both: endpoint, region and who asks.
    pub service: String,
    pub bucket: String,
    /// Keys begin with it; with its separator, or empty.
    pub prefix: String,
}

/// What operations on objects cost in requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prices {
    /// Bodies above this size are sent in parts.
    pub whole_bytes_max: u64,
    pub part_bytes: u64,
    /// What begins and ends a body in parts.
    pub around_parts: u64,
    /// Of new metadata for bytes that stay.
    pub reheader: u64,
    /// Keys that one request deletes.
    pub deletes_at_once: u64,
}

impl Default for Prices {
    /// One request for each operation.
    fn default() -> Prices {
        Prices {
            whole_bytes_max: u64::MAX,
            part_bytes: u64::MAX,
            around_parts: 0,
            reheader: 1,
            deletes_at_once: 1,
        }
    }
}

impl Prices {
    /// Requests to send a body: one, or one for each part besides those around them.
    pub fn of_put(&self, size: u64) -> u64 {
        if size <= self.whole_bytes_max {
            return 1;
        }
        self.around_parts + size.div_ceil(self.part_bytes)
    }
}

/// What the ETag of an object that was put in one piece is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum EtagMeaning {
    /// Nothing that can be foretold.
    #[default]
    Opaque,
    /// The MD5 of its bytes in hexadecimal.
    Md5,
    /// Their BLAKE3 in hexadecimal.
    Content,
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
