//! Whether a copy of a page's recorded bytes still exists anywhere: only then may an answer be that nothing
//! has changed.

use std::sync::Arc;

use super::CrawlError;
use crate::manifest::{Entry, Generation, Manifest};
use crate::site::PageUrl;

pub struct Survival {
    manifest: Arc<Manifest>,
    /// What some tier has confirmed: bytes of older entries survive even where the store dropped them.
    confirmed: Generation,
    /// Some URL is not the primary one of its key.
    keys_are_shared: bool,
}

impl Survival {
    pub fn new(manifest: Arc<Manifest>, confirmed: Generation) -> Result<Survival, CrawlError> {
        Ok(Survival {
            keys_are_shared: manifest.has_aliases()?,
            manifest,
            confirmed,
        })
    }

    /// True when a copy of the recorded bytes is in the store or in a tier. Of several URLs on one key a
    /// tier holds only the winner's.
    pub fn of(&self, url: &PageUrl, recorded: Option<&Entry>) -> Result<bool, CrawlError> {
        let Some((entry, page)) = recorded.and_then(|e| Some((e, e.outcome.page()?))) else {
            return Ok(false);
        };
        let is_confirmed = entry.changed <= self.confirmed;
        if is_confirmed && !self.keys_are_shared {
            return Ok(true);
        }
        if self.manifest.locate(&page.content)?.is_some() {
            return Ok(true);
        }
        Ok(is_confirmed && self.wins_its_key(url)?)
    }

    fn wins_its_key(&self, url: &PageUrl) -> Result<bool, CrawlError> {
        let key = self.manifest.layout().place(url).key;
        let group = self.manifest.on_key(&key, url.scheme())?;
        let winner = group.iter().find(|(_, entry)| entry.outcome.is_live());
        Ok(winner.is_some_and(|(winner, _)| winner == url))
    }
}
