//! What the manifest knows of each tier: watermark, open intent, debts, and marks of acknowledged
//! writes that wait for a listing to prove them.

use std::iter::Peekable;

use super::changes::UrlChange;
use super::record::{Debt, Entry, EtagKind, Generation, Intent, Mark, TierState};
use super::{Manifest, ManifestError, codec, keys};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::{Batch, KeyAndPayload, Scan};
use crate::site::{ObjectKey, PageUrl};

/// One URL that a tier's next plan has to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierDelta {
    pub url: PageUrl,
    /// As it was at the tier's watermark.
    pub before: Option<Entry>,
    /// As it is now.
    pub after: Option<Entry>,
    /// Why the tier may hold something else than `before`, if so.
    pub doubt: Doubt,
}

/// Why what a tier holds of a URL is not known, if so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    None,
    /// A plan was begun that had taken it on, and did not end.
    CutShort,
    Owed(Debt),
}

/// A write that a tier acknowledged.
pub struct Confirmation<'a> {
    pub key: &'a ObjectKey,
    pub url: &'a PageUrl,
    pub mark: Mark,
    /// Content of the object written, for the ETag that later listings are compared with.
    pub content: Option<ContentHash>,
}

impl Manifest {
    /// What is known of a tier; the default before it was ever claimed.
    ///
    /// # Errors
    /// What the database says.
    pub fn tier(&self, name: &TierName) -> Result<TierState, ManifestError> {
        let state = codec::get(&self.db, &keys::tier(keys::TIER, name))?;
        Ok(state.unwrap_or_default())
    }

    /// Records the state of a tier, durably.
    ///
    /// # Errors
    /// What the database says.
    pub fn save_tier(&self, name: &TierName, state: &TierState) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        codec::put(&mut batch, &Self::tier_key(keys::TIER, name), state);
        self.db.apply(batch)?;
        Ok(self.db.flush()?)
    }

    /// The plan that was begun on a tier and not ended.
    ///
    /// # Errors
    /// What the database says.
    pub fn intent(&self, name: &TierName) -> Result<Option<Intent>, ManifestError> {
        codec::get(&self.db, &keys::tier(keys::INTENT, name))
    }

    /// Records, durably, that a plan begins: from here until [`Manifest::end_plan`] its URLs are in
    /// doubt. An intent that is open already is widened and never narrowed.
    ///
    /// # Errors
    /// What the database says.
    pub fn begin_plan(&self, name: &TierName, mut intent: Intent) -> Result<(), ManifestError> {
        if let Some(open) = self.intent(name)? {
            intent.from = intent.from.min(open.from);
            intent.to = intent.to.max(open.to);
        }
        let mut batch = Batch::default();
        codec::put(&mut batch, &keys::tier(keys::INTENT, name), &intent);
        self.db.apply(batch)?;
        Ok(self.db.flush()?)
    }

    /// Moves the watermark and closes the intent, at once and durably.
    ///
    /// # Errors
    /// What the database says.
    pub fn end_plan(&self, name: &TierName, state: &TierState) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        batch.remove(&keys::tier(keys::INTENT, name));
        codec::put(&mut batch, &keys::tier(keys::TIER, name), state);
        self.db.apply(batch)?;
        Ok(self.db.flush()?)
    }

    /// Records acknowledged writes: their marks, the ETags to expect, and that nothing is owed on their
    /// keys, under whichever of the URLs on a key it was owed.
    /// Call after the tier has settled; not durable by itself.
    ///
    /// # Errors
    /// What the database says.
    pub fn confirm(
        &self,
        name: &TierName,
        kind: EtagKind,
        confirmed: &[Confirmation<'_>],
    ) -> Result<(), ManifestError> {
        let shares = self.has_aliases()?;
        let adopted = self.as_found(name, None).next().transpose()?.is_some();
        let mut batch = Batch::default();
        for one in confirmed {
            if shares {
                for (other, _) in self.on_key(one.key, one.url.scheme())? {
                    batch.remove(&keys::in_tier(keys::DEBT, name, other.as_str()));
                }
            }
            let key = keys::in_tier(keys::MARK, name, one.key.as_str());
            codec::put(&mut batch, &key, &one.mark);
            batch.remove(&keys::in_tier(keys::DEBT, name, one.url.as_str()));
            if adopted {
                batch.remove(&keys::in_tier(keys::AS_FOUND, name, one.key.as_str()));
            }
            record_etag(&mut batch, name, kind, one);
        }
        self.db.apply(batch)?;
        self.flush_when_many()
    }

    /// The ETag that a listing of the tier should show for an object of that content; `None` when
    /// nothing was recorded and only the size can be compared.
    ///
    /// # Errors
    /// What the database says.
    pub fn etag(
        &self,
        name: &TierName,
        kind: EtagKind,
        key: &ObjectKey,
        content: &ContentHash,
    ) -> Result<Option<String>, ManifestError> {
        if kind == EtagKind::Content {
            return Ok(Some(content.to_string()));
        }
        let in_tier = keys::in_tier(keys::ETAG_IN_TIER, name, key.as_str());
        match codec::get(&self.db, &in_tier)? {
            None if kind == EtagKind::Md5 => codec::get(&self.db, &keys::etag_of_blob(content)),
            own => Ok(own),
        }
    }

    /// Notes that a tier lacks a URL, or has it in doubt.
    ///
    /// # Errors
    /// What the database says.
    pub fn owe(&self, name: &TierName, url: &PageUrl, reason: String) -> Result<(), ManifestError> {
        let key = keys::in_tier(keys::DEBT, name, url.as_str());
        let earlier: Option<Debt> = codec::get(&self.db, &key)?;
        let debt = Debt {
            reason,
            attempts: earlier.as_ref().map_or(0, |debt| debt.attempts) + 1,
            since: earlier.map_or_else(|| self.generation(), |debt| debt.since),
        };
        let mut batch = Batch::default();
        codec::put(&mut batch, &key, &debt);
        Ok(self.db.apply(batch)?)
    }

    /// What a tier owes, in URL order.
    pub fn debts<'a>(
        &'a self,
        name: &TierName,
    ) -> impl Iterator<Item = Result<(PageUrl, Debt), ManifestError>> + 'a {
        let prefix = keys::tier(keys::DEBT, name);
        let skip = prefix.len();
        let scan = self.db.scan(&prefix);
        scan.map(move |record| codec::keyed_by_url(record?, skip))
    }

    /// The debt on one URL.
    ///
    /// # Errors
    /// What the database says.
    pub fn debt(&self, name: &TierName, url: &PageUrl) -> Result<Option<Debt>, ManifestError> {
        codec::get(&self.db, &keys::in_tier(keys::DEBT, name, url.as_str()))
    }

    /// Writes that wait for their proof, in key order.
    pub fn marks<'a>(
        &'a self,
        name: &TierName,
    ) -> impl Iterator<Item = Result<(ObjectKey, Mark), ManifestError>> + 'a {
        let prefix = keys::tier(keys::MARK, name);
        let skip = prefix.len();
        self.db.scan(&prefix).map(move |record| {
            let (key, payload) = record?;
            let text = String::from_utf8_lossy(&key[skip..]);
            let object = ObjectKey::parse(&text).map_err(|why| ManifestError::Record {
                key: key.escape_ascii().to_string(),
                source: standin_migrations::FormatError::Content(why.to_string()),
            })?;
            Ok((object, codec::decode(&key, &payload)?))
        })
    }

    /// The mark on one key.
    ///
    /// # Errors
    /// What the database says.
    pub fn mark(&self, name: &TierName, key: &ObjectKey) -> Result<Option<Mark>, ManifestError> {
        codec::get(&self.db, &keys::in_tier(keys::MARK, name, key.as_str()))
    }

    /// Marks keys that the next proof is to look up, whoever wrote there last. Not durable by itself.
    ///
    /// # Errors
    /// What the database says.
    pub fn mark_all(
        &self,
        name: &TierName,
        doubted: &[(ObjectKey, Mark)],
    ) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for (key, mark) in doubted {
            codec::put(
                &mut batch,
                &keys::in_tier(keys::MARK, name, key.as_str()),
                mark,
            );
        }
        self.db.apply(batch)?;
        self.flush_when_many()
    }

    /// Drops the marks of writes that have been proven, or that are owed again.
    ///
    /// # Errors
    /// What the database says.
    pub fn unmark(&self, name: &TierName, proven: &[ObjectKey]) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for key in proven {
            batch.remove(&keys::in_tier(keys::MARK, name, key.as_str()));
        }
        Ok(self.db.apply(batch)?)
    }

    /// What a tier's next plan has to look at: net changes after its watermark, and its debts, in
    /// URL order. Costs what changed. Changes up to `doubted` are in doubt: what a plan that did not
    /// end had taken on.
    ///
    /// # Errors
    /// What the database says.
    pub fn tier_delta(
        &self,
        name: &TierName,
        doubted: Generation,
    ) -> Result<TierDeltas<'_>, ManifestError> {
        let watermark = self.tier(name)?.watermark;
        let prefix = keys::tier(keys::DEBT, name);
        Ok(TierDeltas {
            manifest: self,
            changes: self.changes_for(watermark).peekable(),
            owed: Owed {
                skip: prefix.len(),
                scan: self.db.scan(&prefix),
            }
            .peekable(),
            doubted,
        })
    }
}

impl Manifest {
    /// Net changes after a watermark. Before the change log begins nobody knows what was there: then it is
    /// everything that a tier which was filled up to there can lack.
    fn changes_for(&self, watermark: Generation) -> Changes<'_> {
        if watermark >= self.log_begins() {
            return Box::new(self.changes_after(watermark));
        }
        let entries = self.entries(None);
        Box::new(entries.filter_map(move |entry| match entry {
            Ok((_, entry)) if entry.changed <= watermark => None,
            Ok((url, entry)) => Some(Ok(UrlChange {
                url,
                before: None,
                oldest: entry.changed,
                after: Some(entry),
            })),
            Err(error) => Some(Err(error)),
        }))
    }
}

type Changes<'a> = Box<dyn Iterator<Item = Result<UrlChange, ManifestError>> + 'a>;

fn record_etag(batch: &mut Batch, name: &TierName, kind: EtagKind, one: &Confirmation<'_>) {
    let in_tier = keys::in_tier(keys::ETAG_IN_TIER, name, one.key.as_str());
    match (&one.mark, one.content, kind) {
        (_, _, EtagKind::Content) => (),
        (Mark::Written { etag, .. }, Some(content), EtagKind::Md5) if is_md5(etag) => {
            codec::put(batch, &keys::etag_of_blob(&content), etag);
            batch.remove(&in_tier);
        }
        // An upload in parts has an ETag of its own even where others are the MD5.
        (Mark::Written { etag, .. }, _, _) => codec::put(batch, &in_tier, etag),
        (Mark::Deleted, _, _) => batch.remove(&in_tier),
    }
}

/// What is recorded of the ETag that a listing shows of an object of that content.
pub(super) fn etag_record(
    name: &TierName,
    kind: EtagKind,
    key: &ObjectKey,
    content: &ContentHash,
    etag: &str,
) -> Option<KeyAndPayload> {
    let key = match kind {
        EtagKind::Content => return None,
        EtagKind::Md5 if is_md5(etag) => keys::etag_of_blob(content),
        EtagKind::Md5 | EtagKind::Opaque => keys::in_tier(keys::ETAG_IN_TIER, name, key.as_str()),
    };
    Some((key, codec::encode(&etag.to_owned())))
}

fn is_md5(etag: &str) -> bool {
    etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A tier's debts, in the order of their URLs.
struct Owed<'a> {
    scan: Scan<'a>,
    skip: usize,
}

impl Iterator for Owed<'_> {
    type Item = Result<(PageUrl, Debt), ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.scan.next()?;
        Some(match record {
            Ok(record) => codec::keyed_by_url(record, self.skip),
            Err(error) => Err(error.into()),
        })
    }
}

/// Iterator of [`Manifest::tier_delta`]: the changes and the debts, merged by URL.
pub struct TierDeltas<'a> {
    manifest: &'a Manifest,
    changes: Peekable<Changes<'a>>,
    owed: Peekable<Owed<'a>>,
    doubted: Generation,
}

impl TierDeltas<'_> {
    fn changed(&mut self, debt: Option<Debt>) -> Option<Result<TierDelta, ManifestError>> {
        let change = self.changes.next()?;
        Some(change.map(|change| TierDelta {
            doubt: match debt {
                Some(debt) => Doubt::Owed(debt),
                None if change.oldest <= self.doubted => Doubt::CutShort,
                None => Doubt::None,
            },
            url: change.url,
            before: change.before,
            after: change.after,
        }))
    }

    fn only_owed(&mut self) -> Option<Result<TierDelta, ManifestError>> {
        let (url, debt) = match self.owed.next()? {
            Ok(owed) => owed,
            Err(error) => return Some(Err(error)),
        };
        Some(self.manifest.entry(&url).map(|entry| TierDelta {
            url,
            before: entry.clone(),
            after: entry,
            doubt: Doubt::Owed(debt),
        }))
    }
}

impl Iterator for TierDeltas<'_> {
    type Item = Result<TierDelta, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (changed, owed) = (self.changes.peek(), self.owed.peek());
        match (changed, owed) {
            (Some(Err(_)), _) | (Some(_), None | Some(Err(_))) => self.changed(None),
            (None, _) => self.only_owed(),
            (Some(Ok(change)), Some(Ok((url, _)))) => match change.url.cmp(url) {
                std::cmp::Ordering::Less => self.changed(None),
                std::cmp::Ordering::Greater => self.only_owed(),
                std::cmp::Ordering::Equal => {
                    let owed = self.owed.next().and_then(Result::ok);
                    self.changed(owed.map(|(_, debt)| debt))
                }
            },
        }
    }
}
