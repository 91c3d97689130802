//! The records of the manifest, as they are now. Their frozen twins and the steps between versions
//! are in the crate `standin-migrations`; golden bytes hold the two against each other, so that no
//! field changes without a new format (and none of [`Capabilities`], which a tier's record holds).

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use standin_migrations::Kind;

use super::ManifestError;
use crate::content::{ContentHash, KeptHeaders};
use crate::site::{Layout, LayoutName, PageUrl, Scheme};
use crate::tier::Capabilities;

/// What the manifest keeps under a key. The type alone says which kind it is, so that an old record is
/// never brought forward as one of another kind.
pub trait Record: Serialize + DeserializeOwned {
    const KIND: Kind;
}

/// The number of a committed state of the manifest, counted from 1.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Generation(pub u64);

impl Generation {
    /// Before the first commit.
    pub const NONE: Generation = Generation(0);

    /// The next one.
    pub fn next(self) -> Generation {
        Generation(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The random id of a mirror, made at its first run. Tiers of another lineage are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage(pub String);

impl Lineage {
    fn random() -> Lineage {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the operating system has randomness");
        Lineage(u128::from_le_bytes(bytes).to_string())
    }
}

/// Names one run: its start in UTC and a random end, sortable by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub String);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the manifest says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub lineage: Lineage,
    pub layout: LayoutName,
    /// Hosts whose paths are always files: the layout depends on them.
    pub asset_hosts: Vec<String>,
    pub generation: Generation,
    pub counts: Counts,
    /// Runs whose crawl was good enough to count as evidence; numbers strikes against pages.
    pub crawls: u64,
    /// The scheme that was found to be each host's identity (authority, scheme).
    pub identity: Vec<(String, Scheme)>,
    /// Patterns of each version of the canonical form; an entry names its version by index.
    pub rules: Vec<Vec<String>>,
    /// Identifies scope and robots policy; when they change, all pages are parsed again.
    pub scope: String,
    /// A commit that was begun and not ended, with the run whose staging it folds.
    pub open_commit: Option<(Generation, RunId)>,
    /// The run that was committed last: a frontier of it is a leftover.
    pub last_run: Option<RunId>,
}

impl Meta {
    pub(super) fn new(layout: &Layout) -> Meta {
        Meta {
            lineage: Lineage::random(),
            layout: layout.name(),
            asset_hosts: layout.asset_hosts(),
            generation: Generation::NONE,
            counts: Counts::default(),
            crawls: 0,
            identity: Vec::new(),
            rules: Vec::new(),
            scope: String::new(),
            open_commit: None,
            last_run: None,
        }
    }

    /// The layout by which keys are made.
    pub fn layout(&self) -> Layout {
        Layout::new(self.layout, self.asset_hosts.iter().cloned())
    }

    /// Takes the layout on while nothing is stored; later refuses one by which keys would change.
    pub(super) fn take_layout(&mut self, layout: &Layout) -> Result<(), ManifestError> {
        if self.generation == Generation::NONE {
            self.layout = layout.name();
            self.asset_hosts = layout.asset_hosts();
        }
        if self.layout == layout.name() && self.asset_hosts == layout.asset_hosts() {
            return Ok(());
        }
        Err(ManifestError::Layout {
            made: self.layout().to_string(),
            configured: layout.to_string(),
        })
    }
}

/// How many entries there are of each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    pub pages: u64,
    pub redirects: u64,
    pub gone: u64,
    /// Pages and redirects under a key that no CDN can compute from the request.
    pub gateway_only: u64,
}

impl Counts {
    /// Entries that have an object in the tiers.
    pub fn live(&self) -> u64 {
        self.pages + self.redirects
    }
}

/// How many URLs share the key and the answer of another one, as of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shared {
    /// Of another generation than the current one it says nothing: an earlier version has committed since.
    pub generation: Generation,
    pub aliases: u64,
}

/// A layout: the one that a tier is filled by, where the manifest has another, or one that the manifest is to have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filled {
    pub layout: LayoutName,
    pub asset_hosts: Vec<String>,
    /// A plan that moves the tier to the manifest's layout was begun: it has objects of both.
    pub moving: bool,
}

/// One URL's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub outcome: Outcome,
    /// When the outcome last changed.
    pub changed: Generation,
    /// When the URL was first recorded.
    pub first: Generation,
    /// When the answer that `outcome` records came, in seconds since 1970; `None` where a version
    /// recorded it that kept no time. Beside the outcome and not in it: what a URL answers is compared
    /// on every crawl, and when is no difference.
    pub fetched: Option<i64>,
}

/// What a URL answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Page(Page),
    Redirect(Redirect),
    Gone(Gone),
}

impl Outcome {
    /// True when there is an object for it in the tiers.
    pub fn is_live(&self) -> bool {
        !matches!(self, Outcome::Gone(_))
    }

    /// The page, if it is one.
    pub fn page(&self) -> Option<&Page> {
        match self {
            Outcome::Page(page) => Some(page),
            _ => None,
        }
    }
}

/// A body with its headers and validators, all of the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    pub status: u16,
    pub content: ContentHash,
    pub canonical: ContentHash,
    /// Version of the canonical form: an index into [`Meta::rules`].
    pub rules: u32,
    pub crc32c: u32,
    pub size: u64,
    pub headers: KeptHeaders,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// A 30x answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    pub status: u16,
    /// Absolute.
    pub target: String,
}

/// A page that is known to be gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// 404, 410, or [`Gone::RETIRED`].
    pub status: u16,
}

impl Gone {
    /// In the place of a status: nothing had linked to the page for as long as the configuration says. It is not
    /// asked for until something does.
    pub const RETIRED: u16 = 0;
}

/// One row of the change log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub before: Option<Entry>,
    pub after: Entry,
}

/// When a generation was committed, and by whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRecord {
    pub run: RunId,
    /// Seconds since 1970 in UTC.
    pub committed_at: i64,
    pub new: u64,
    pub changed: u64,
    pub gone: u64,
}

/// Strikes against a page that answers 404.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    pub status: u16,
    /// Number of the last crawl ([`Meta::crawls`]) that saw it missing.
    pub crawl: u64,
    /// Consecutive crawls up to that one.
    pub strikes: u32,
}

/// A URL that some page refers to and that could not be had yet. Unchanged pages are not parsed
/// again, so it would be forgotten without this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The page it was found on.
    pub from: Option<PageUrl>,
    pub why: String,
}

/// What is known of one tier.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TierState {
    /// Confirmed up to here, but for debts.
    pub watermark: Generation,
    /// The last complete proof.
    pub verified: Option<Verified>,
    /// The epoch this manifest last took; 0 before the tier was claimed.
    pub epoch: u64,
    /// An epoch about to be taken, and by which run: durable before the head is written.
    pub claiming: Option<(u64, RunId)>,
    pub etag: EtagKind,
    /// Where the rolling share of the listing goes on.
    pub listed_up_to: Option<String>,
    /// Generation named by the head in the tier.
    pub head: Generation,
    /// What its probe found out; `None` until it is taken by a version that records it.
    pub capabilities: Option<Capabilities>,
}

impl TierState {
    /// A tier that is taken to be this mirror's and was not seen when the manifest was made again: nothing is known of
    /// it. In the place of an epoch, which begins with 1, the one that was never taken.
    pub fn unseen() -> TierState {
        TierState {
            claiming: Some((0, RunId("rebuild".into()))),
            ..TierState::default()
        }
    }

    pub fn is_unseen(&self) -> bool {
        matches!(self.claiming, Some((0, _)))
    }
}

/// The last complete proof of a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    pub generation: Generation,
    /// Seconds since 1970 in UTC.
    pub at: i64,
}

/// What a tier's ETag is, found by a probe put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum EtagKind {
    /// Not probed, or neither of the others: kept per object.
    #[default]
    Opaque,
    /// The MD5 of the body: kept once per blob.
    Md5,
    /// The content hash itself: nothing to keep.
    Content,
}

/// A plan that was begun on a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    pub plan: RunId,
    pub from: Generation,
    pub to: Generation,
}

/// A URL that a tier still lacks or has in doubt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Debt {
    pub reason: String,
    pub attempts: u32,
    pub since: Generation,
}

/// A write that a tier acknowledged and no listing has proven yet. By key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mark {
    /// `state` identifies content and metadata; `etag` is what the service reported.
    Written {
        state: [u8; 16],
        size: u64,
        etag: String,
    },
    Deleted,
}

impl Record for Meta {
    const KIND: Kind = Kind::Meta;
}

impl Record for Entry {
    const KIND: Kind = Kind::Entry;
}

impl Record for Change {
    const KIND: Kind = Kind::Change;
}

impl Record for GenerationRecord {
    const KIND: Kind = Kind::Generation;
}

impl Record for Shared {
    const KIND: Kind = Kind::Shared;
}

impl Record for Filled {
    const KIND: Kind = Kind::Filled;
}

impl Record for Missing {
    const KIND: Kind = Kind::Missing;
}

impl Record for Pending {
    const KIND: Kind = Kind::Pending;
}

impl Record for TierState {
    const KIND: Kind = Kind::Tier;
}

impl Record for Intent {
    const KIND: Kind = Kind::Intent;
}

impl Record for Debt {
    const KIND: Kind = Kind::Debt;
}

impl Record for Mark {
    const KIND: Kind = Kind::Mark;
}

/// Who holds a body.
impl Record for PageUrl {
    const KIND: Kind = Kind::Holder;
}

/// The ETag of a blob or of an object.
impl Record for String {
    const KIND: Kind = Kind::Etag;
}
