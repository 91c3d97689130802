//! Whether a copy of a page's recorded bytes still exists anywhere: only then may an answer be that nothing
//! has changed. And whether the page itself may have been withdrawn: then that answer is worth being recorded.

use std::sync::Arc;

use super::CrawlError;
use crate::config::TierName;
use crate::manifest::{Entry, Generation, Manifest, ManifestError};
use crate::site::PageUrl;

pub struct Survival {
    manifest: Arc<Manifest>,
    tiers: Vec<Holder>,
    /// Up to where some tier has every page.
    has_all: Generation,
    /// Some URL is not the primary one of its key.
    keys_are_shared: bool,
    /// Some page may have been withdrawn.
    has_perhaps_gone: bool,
}

/// A tier, and what it may lack of what it has confirmed.
struct Holder {
    name: TierName,
    watermark: Generation,
    owes: bool,
    keys: Keys,
}

/// By which layout a tier has its objects. Of several URLs on one key a tier holds only the winner's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keys {
    Ours,
    /// Another: who wins there was noted when the manifest's changed.
    Earlier,
    /// What wins under one alone may be gone from there already.
    Between,
}

impl Survival {
    pub fn new(manifest: Arc<Manifest>, tiers: &[TierName]) -> Result<Survival, CrawlError> {
        let keys_are_shared = manifest.has_aliases()?;
        let holders = tiers.iter().map(|name| Holder::of(&manifest, name));
        let tiers = holders.collect::<Result<Vec<_>, _>>()?;
        let whole = tiers
            .iter()
            .filter(|tier| !tier.owes && tier.keys == Keys::Ours && !keys_are_shared);
        let has_all = whole.map(|tier| tier.watermark).max();
        Ok(Survival {
            has_all: has_all.unwrap_or(Generation::NONE),
            keys_are_shared,
            has_perhaps_gone: manifest.has_perhaps_gone()?,
            manifest,
            tiers,
        })
    }

    /// Whether a page may have been withdrawn while nobody here remembers it.
    pub fn is_perhaps_gone(&self, url: &PageUrl) -> Result<bool, CrawlError> {
        Ok(self.has_perhaps_gone && self.manifest.is_perhaps_gone(url)?)
    }

    /// True when a copy of the recorded bytes is in the store or in a tier.
    pub fn of(&self, url: &PageUrl, recorded: Option<&Entry>) -> Result<bool, CrawlError> {
        let Some((entry, page)) = recorded.and_then(|e| Some((e, e.outcome.page()?))) else {
            return Ok(false);
        };
        if entry.changed <= self.has_all || self.manifest.locate(&page.content)?.is_some() {
            return Ok(true);
        }
        for tier in &self.tiers {
            if entry.changed <= tier.watermark && self.is_in(tier, url)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a tier has a page that has not changed since its watermark.
    fn is_in(&self, tier: &Holder, url: &PageUrl) -> Result<bool, ManifestError> {
        if tier.owes && self.manifest.debt(&tier.name, url)?.is_some() {
            return Ok(false);
        }
        if tier.keys != Keys::Ours && self.manifest.is_hidden(&tier.name, url)? {
            return Ok(false);
        }
        Ok(tier.keys == Keys::Earlier || !self.keys_are_shared || self.has_its_key(tier, url)?)
    }

    /// Whether none that outranks the page was there at the tier's watermark, or is there now.
    fn has_its_key(&self, tier: &Holder, url: &PageUrl) -> Result<bool, ManifestError> {
        let key = self.manifest.layout().place(url).key;
        let group = self.manifest.on_key(&key, url.scheme())?;
        let mut above = group.iter().take_while(|(other, _)| other != url);
        Ok(above.all(|(_, entry)| !entry.outcome.is_live() && entry.changed <= tier.watermark))
    }
}

impl Holder {
    fn of(manifest: &Manifest, name: &TierName) -> Result<Holder, ManifestError> {
        Ok(Holder {
            watermark: manifest.tier(name)?.watermark,
            owes: manifest.debts(name).next().transpose()?.is_some(),
            keys: match manifest.filled(name)? {
                None => Keys::Ours,
                Some(filled) if filled.moving => Keys::Between,
                Some(_) => Keys::Earlier,
            },
            name: name.clone(),
        })
    }
}
