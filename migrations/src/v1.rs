//! Format 1: the first one.
//!
//! Plain structs with the fields, in the order, that make the postcard bytes of this format. They are
//! frozen: whoever needs another field writes the next version of this file, with a step from here to
//! there, and leaves this one as it is. Newtypes of the live records (a URL, a hash, a generation) are
//! here what they are on disk: texts, 32 bare bytes, numbers. An enum is its variant's number, so the
//! order of variants counts as well.

use serde::{Deserialize, Serialize};

/// The format byte of records made of these.
pub const FORMAT: u8 = 1;

/// BLAKE3 of a body.
pub type Hash = [u8; 32];

/// Under `e` and a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub outcome: Outcome,
    pub changed: u64,
    pub first: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Page(Page),
    Redirect(Redirect),
    Gone(Gone),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub status: u16,
    pub content: Hash,
    pub canonical: Hash,
    pub rules: u32,
    pub crc32c: u32,
    pub size: u64,
    pub headers: Vec<(String, String)>,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub status: u16,
    pub target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    pub status: u16,
}

/// Under `c`, a generation and a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub before: Option<Entry>,
    pub after: Entry,
}

/// Under `m`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub lineage: String,
    pub layout: Layout,
    pub asset_hosts: Vec<String>,
    pub generation: u64,
    pub counts: Counts,
    pub crawls: u64,
    pub identity: Vec<(String, Scheme)>,
    pub rules: Vec<Vec<String>>,
    pub scope: String,
    pub open_commit: Option<(u64, String)>,
    pub last_run: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layout {
    Plain,
    Govuk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    Http,
    Https,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub pages: u64,
    pub redirects: u64,
    pub gone: u64,
    pub gateway_only: u64,
}

/// Under `g` and a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    pub run: String,
    pub committed_at: i64,
    pub new: u64,
    pub changed: u64,
    pub gone: u64,
}

/// Under `x` and a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub status: u16,
    pub crawl: u64,
    pub strikes: u32,
}

/// Under `u` and a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub from: Option<String>,
    pub why: String,
}

/// Under `t` and a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierState {
    pub watermark: u64,
    pub verified: Option<Verified>,
    pub epoch: u64,
    pub claiming: Option<(u64, String)>,
    pub etag: EtagKind,
    pub listed_up_to: Option<String>,
    pub head: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub generation: u64,
    pub at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EtagKind {
    Opaque,
    Md5,
    Content,
}

/// Under `i` and a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub plan: String,
    pub from: u64,
    pub to: u64,
}

/// Under `d`, a tier and a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    pub reason: String,
    pub attempts: u32,
    pub since: u64,
}

/// Under `w`, a tier and an object key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    Written {
        state: [u8; 16],
        size: u64,
        etag: String,
    },
    Deleted,
}

/// Under `b` and a hash. The store's own record: it has a format byte of its own, 1 as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    pub digest: Digest,
    pub place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    pub content: Hash,
    pub crc32c: u32,
    pub size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    Segment { number: u32, offset: u64 },
    File,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use std::fmt::Debug;
    use std::path::Path;

    /// The golden bytes are those of the value, and read back as it.
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/v1/{name}.hex"));
        let text = std::fs::read_to_string(&path).unwrap();
        let golden = hex::decode(text.trim()).unwrap();
        let mut bytes = vec![FORMAT];
        bytes.extend(postcard::to_stdvec(value).unwrap());
        assert_eq!(hex::encode(&bytes), text.trim(), "{name}");
        assert_eq!(
            &postcard::from_bytes::<T>(&golden[1..]).unwrap(),
            value,
            "{name}"
        );
    }

    fn page() -> Entry {
        Entry {
            outcome: Outcome::Page(Page {
                status: 200,
                content: [0x11; 32],
                canonical: [0x22; 32],
                rules: 3,
                crc32c: 0xdead_beef,
                size: 70_000,
                headers: vec![
                    ("cache-control".into(), "max-age=60".into()),
                    ("content-type".into(), "text/html; charset=utf-8".into()),
                ],
                etag: Some("\"v1\"".into()),
                last_modified: None,
            }),
            changed: 300,
            first: 2,
        }
    }

    fn gone() -> Entry {
        Entry {
            outcome: Outcome::Gone(Gone { status: 410 }),
            changed: 301,
            first: 2,
        }
    }

    #[test]
    fn entries_and_changes_are_frozen() {
        // Promise: what the first version wrote of pages reads the same for ever.
        check("entry-page", &page());
        check("entry-gone", &gone());
        let redirect = Entry {
            outcome: Outcome::Redirect(Redirect {
                status: 301,
                target: "https://www.example.org/é".into(),
            }),
            changed: 1,
            first: 1,
        };
        check("entry-redirect", &redirect);
        let (before, after) = (None, page());
        check("change-new", &Change { before, after });
        let (before, after) = (Some(page()), gone());
        check("change-gone", &Change { before, after });
        let missing = Missing {
            status: 404,
            crawl: 128,
            strikes: 1,
        };
        check("missing", &missing);
        let pending = Pending {
            from: Some("https://www.example.org/".into()),
            why: "the answer was 500".into(),
        };
        check("pending", &pending);
    }

    #[test]
    fn what_the_manifest_says_of_itself_is_frozen() {
        // Promise: lineage, layout and history survive every version.
        let meta = Meta {
            lineage: "123456789".into(),
            layout: Layout::Govuk,
            asset_hosts: vec!["assets.example.org".into()],
            generation: 300,
            counts: Counts {
                pages: 700_000,
                redirects: 12,
                gone: 1,
                gateway_only: 5,
            },
            crawls: 299,
            identity: vec![
                ("assets.example.org".into(), Scheme::Http),
                ("www.example.org".into(), Scheme::Https),
            ],
            rules: vec![vec![], vec!["<!--.*-->".into()]],
            scope: "ab".into(),
            open_commit: Some((301, "20261121T104500Z-00c0ffee".into())),
            last_run: Some("20261120T104500Z-00c0ffee".into()),
        };
        check("meta", &meta);
        let generation = GenerationRecord {
            run: "20261121T104500Z-00c0ffee".into(),
            committed_at: 1_795_258_000,
            new: 1,
            changed: 2,
            gone: 3,
        };
        check("generation", &generation);
    }

    #[test]
    fn what_is_known_of_a_tier_is_frozen() {
        // Promise: a new version knows what an old one had confirmed, and what it was about to do.
        let tier = TierState {
            watermark: 300,
            verified: Some(Verified {
                generation: 299,
                at: 1_795_258_000,
            }),
            epoch: 41,
            claiming: Some((42, "20261121T104500Z-00c0ffee".into())),
            etag: EtagKind::Md5,
            listed_up_to: Some("www.example.org/m".into()),
            head: 299,
        };
        check("tier", &tier);
        let untouched = TierState {
            watermark: 0,
            verified: None,
            epoch: 0,
            claiming: None,
            etag: EtagKind::Opaque,
            listed_up_to: None,
            head: 0,
        };
        check("tier-untouched", &untouched);
        let content = TierState {
            etag: EtagKind::Content,
            ..untouched
        };
        check("tier-content", &content);
        let intent = Intent {
            plan: "20261121T104500Z-00c0ffee".into(),
            from: 299,
            to: 300,
        };
        check("intent", &intent);
        let debt = Debt {
            reason: "the service is busy".into(),
            attempts: 4,
            since: 298,
        };
        check("debt", &debt);
        let written = Mark::Written {
            state: [0x33; 16],
            size: 70_000,
            etag: "a6c5aa937c7f86e9ea526321af45d1f7".into(),
        };
        check("mark-written", &written);
        check("mark-deleted", &Mark::Deleted);
        check("etag", &"a6c5aa937c7f86e9ea526321af45d1f7".to_owned());
    }

    #[test]
    fn where_blobs_lie_is_frozen() {
        // Promise: a new version finds every blob that an old one stored.
        let digest = Digest {
            content: [0x11; 32],
            crc32c: 0xdead_beef,
            size: 70_000,
        };
        let place = Place::Segment {
            number: 7,
            offset: 1 << 25,
        };
        check("blob-segment", &Located { digest, place });
        let place = Place::File;
        check("blob-file", &Located { digest, place });
    }
}
