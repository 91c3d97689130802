//! Format 2: an entry says when its answer was fetched, a tier what it can do.
//!
//! Frozen like [`crate::v1`]. What is not here has the bytes of format 1 behind the new format byte.

use serde::{Deserialize, Serialize};

pub use crate::v1::{
    Debt, EtagKind, GenerationRecord, Intent, Mark, Meta, Missing, Outcome, Pending, Verified,
};
use crate::{FormatError, Kind, read, v1};

/// The format byte of records made of these.
pub const FORMAT: u8 = 2;

/// Under `e` and a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub outcome: Outcome,
    pub changed: u64,
    pub first: u64,
    /// New. Seconds since 1970; none in what format 1 recorded.
    pub fetched: Option<i64>,
}

/// Under `c`, a generation and a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub before: Option<Entry>,
    pub after: Entry,
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
    /// New. None in what format 1 recorded.
    pub capabilities: Option<Capabilities>,
}

/// New. Under `s`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    pub generation: u64,
    pub aliases: u64,
}

/// New. Under `v` and a tier, and under `y`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    pub layout: v1::Layout,
    pub asset_hosts: Vec<String>,
    pub moving: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    pub etag: EtagMeaning,
    pub conditional_writes: bool,
    pub keeps_versions: Option<bool>,
    pub locks_objects: Option<bool>,
    pub copies_cheaply: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EtagMeaning {
    Opaque,
    Md5,
    Content,
}

/// The step from format 1: postcard bytes of a record to those of the same record.
///
/// # Errors
/// [`FormatError::Content`].
pub fn from_v1(kind: Kind, bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let stepped = match kind {
        Kind::Entry => postcard::to_stdvec(&entry(read(bytes)?)),
        Kind::Change => postcard::to_stdvec(&change(read(bytes)?)),
        Kind::Tier => postcard::to_stdvec(&tier(read(bytes)?)),
        Kind::Meta
        | Kind::Generation
        | Kind::Missing
        | Kind::Pending
        | Kind::Intent
        | Kind::Debt
        | Kind::Mark
        | Kind::Etag => return Ok(bytes.to_vec()),
        Kind::Holder | Kind::Shared | Kind::Filled => {
            return Err(FormatError::Content("format 1 had no such record".into()));
        }
    };
    Ok(stepped.expect("a plain record always serialises"))
}

fn entry(old: v1::Entry) -> Entry {
    Entry {
        outcome: old.outcome,
        changed: old.changed,
        first: old.first,
        fetched: None,
    }
}

fn change(old: v1::Change) -> Change {
    Change {
        before: old.before.map(entry),
        after: entry(old.after),
    }
}

fn tier(old: v1::TierState) -> TierState {
    TierState {
        watermark: old.watermark,
        verified: old.verified,
        epoch: old.epoch,
        claiming: old.claiming,
        etag: old.etag,
        listed_up_to: old.listed_up_to,
        head: old.head,
        capabilities: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{Gone, Page, Redirect};
    use serde::de::DeserializeOwned;
    use std::fmt::Debug;
    use std::path::Path;

    fn golden(name: &str) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{name}.hex"));
        let text = std::fs::read_to_string(&path);
        hex::decode(text.unwrap_or_else(|why| panic!("{name}: {why}")).trim()).unwrap()
    }

    /// The golden bytes are those of the value, and read back as it.
    fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
        let golden = golden(&format!("v2/{name}"));
        let mut bytes = vec![FORMAT];
        bytes.extend(postcard::to_stdvec(value).unwrap());
        assert_eq!(hex::encode(&bytes), hex::encode(&golden), "{name}");
        assert_eq!(&read::<T>(&golden[1..]).unwrap(), value, "{name}");
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
            fetched: Some(1_795_258_000),
        }
    }

    fn carried(entry: Entry) -> Entry {
        Entry {
            fetched: None,
            ..entry
        }
    }

    fn gone() -> Entry {
        Entry {
            outcome: Outcome::Gone(Gone { status: 410 }),
            changed: 301,
            first: 2,
            fetched: Some(1_795_344_400),
        }
    }

    #[test]
    fn entries_and_changes_are_frozen() {
        // Promise: what this format says of pages reads the same for ever.
        check("entry-page", &page());
        check("entry-carried", &carried(page()));
        check("entry-gone", &gone());
        let redirect = Entry {
            outcome: Outcome::Redirect(Redirect {
                status: 301,
                target: "https://www.example.org/é".into(),
            }),
            changed: 1,
            first: 1,
            fetched: Some(1_795_258_000),
        };
        check("entry-redirect", &redirect);
        let (before, after) = (None, page());
        check("change-new", &Change { before, after });
        let (before, after) = (Some(carried(page())), gone());
        check("change-gone", &Change { before, after });
    }

    #[test]
    fn what_is_known_of_a_tier_is_frozen() {
        // Promise: a new version knows what an old one had confirmed, and what the tier can do.
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
            capabilities: Some(Capabilities {
                etag: EtagMeaning::Md5,
                conditional_writes: true,
                keeps_versions: Some(false),
                locks_objects: None,
                copies_cheaply: true,
            }),
        };
        check("tier", &tier);
        let carried = TierState {
            capabilities: None,
            ..tier
        };
        check("tier-carried", &carried);
        let untouched = TierState {
            watermark: 0,
            verified: None,
            epoch: 0,
            claiming: None,
            etag: EtagKind::Opaque,
            listed_up_to: None,
            head: 0,
            capabilities: None,
        };
        check("tier-untouched", &untouched);
        let capabilities = |etag| Capabilities {
            etag,
            conditional_writes: false,
            keeps_versions: None,
            locks_objects: Some(true),
            copies_cheaply: false,
        };
        let content = TierState {
            etag: EtagKind::Content,
            capabilities: Some(capabilities(EtagMeaning::Content)),
            ..untouched.clone()
        };
        check("tier-content", &content);
        let opaque = TierState {
            capabilities: Some(capabilities(EtagMeaning::Opaque)),
            ..untouched
        };
        check("tier-opaque", &opaque);
        check("holder", &"https://www.example.org/a.pdf".to_owned());
    }

    #[test]
    fn what_is_known_of_keys_is_frozen() {
        // Promise: a count is read as that of its generation, and a tier is known by the layout that filled it.
        let shared = Shared {
            generation: 300,
            aliases: 200,
        };
        check("shared", &shared);
        let filled = Filled {
            layout: v1::Layout::Govuk,
            asset_hosts: vec!["assets.example.org".into()],
            moving: true,
        };
        check("filled", &filled);
    }

    #[test]
    fn every_record_of_format_1_becomes_the_same_record() {
        // Promise: nothing that format 1 said is lost or changed on the way, and what it could not say
        // is said to be unknown.
        let step = |kind, name: &str| {
            let old = golden(&format!("v1/{name}"));
            crate::current(kind, &old).unwrap().into_owned()
        };
        let same = |kind, name: &str| {
            assert_eq!(
                step(kind, name),
                golden(&format!("v2/{name}"))[1..],
                "{name}"
            );
            assert_eq!(
                step(kind, name),
                golden(&format!("v1/{name}"))[1..],
                "{name}"
            );
        };
        same(Kind::Meta, "meta");
        same(Kind::Generation, "generation");
        same(Kind::Missing, "missing");
        same(Kind::Pending, "pending");
        same(Kind::Intent, "intent");
        same(Kind::Debt, "debt");
        same(Kind::Mark, "mark-written");
        same(Kind::Mark, "mark-deleted");
        same(Kind::Etag, "etag");
        assert_eq!(
            step(Kind::Entry, "entry-page"),
            golden("v2/entry-carried")[1..]
        );
        assert_eq!(step(Kind::Tier, "tier"), golden("v2/tier-carried")[1..]);
        assert_eq!(
            step(Kind::Tier, "tier-untouched"),
            golden("v2/tier-untouched")[1..]
        );
        let tier: TierState = read(&step(Kind::Tier, "tier-content")).unwrap();
        assert_eq!((tier.etag, tier.capabilities), (EtagKind::Content, None));
        let redirect: Entry = read(&step(Kind::Entry, "entry-redirect")).unwrap();
        assert!(matches!(redirect.outcome, Outcome::Redirect(_)));
        let new: Change = read(&step(Kind::Change, "change-new")).unwrap();
        assert_eq!((new.before, new.after), (None, carried(page())));
        let withdrawn: Change = read(&step(Kind::Change, "change-gone")).unwrap();
        assert_eq!(withdrawn.before, Some(carried(page())));
        assert_eq!(withdrawn.after, carried(gone()));
        let entry = golden("v1/entry-page");
        assert_eq!(step(Kind::Entry, "entry-gone"), {
            let gone: Entry = carried(gone());
            postcard::to_stdvec(&gone).unwrap()
        });
        let torn = crate::current(Kind::Entry, &entry[..40]);
        assert!(matches!(torn, Err(FormatError::Content(_))), "{torn:?}");
    }
}
