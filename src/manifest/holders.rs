//! Which URL holds a body: one URL for each larger content hash, so that a page that moves, or a file
//! that lies in two places, is copied inside a tier instead of being sent again.
//!
//! The index is a hint. It is written with the entries, can lag behind them after a commit that was
//! taken back, and whoever reads it looks at the entry before believing it. Small bodies are left out:
//! sending them costs no more than asking for a copy.
//!
//! Hashes lie in no order that a plan could follow, so that each look into the index reads another leaf of the
//! database. Nearly all pages that change are then noted under their new hash themselves, and the look would find nobody
//! else. So a commit also notes, in URL order, the few whose body somebody held already, and a plan asks about those.

use super::record::{Change, Entry, Generation, Outcome, Page};
use super::{Manifest, ManifestError, codec, keys};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::{KeyAndPayload, Merged};
use crate::site::{ObjectKey, PageUrl};

/// Below this size a copy saves nothing that is worth a look into the index.
pub(super) const COPY_BYTES_MIN: u64 = 16 * 1024;

/// What a tier holds for certain: everything up to the watermark, but for its debts and for what
/// changed up to `doubted`.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    pub tier: &'a TierName,
    pub watermark: Generation,
    pub doubted: Generation,
}

/// An object that a body can be copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copyable {
    pub key: ObjectKey,
    /// It is deleted at the end of the same plan: the page has moved.
    pub leaves: bool,
}

impl Manifest {
    /// An object of another URL than `url` that a tier holds already, with exactly this
    /// body, and that a plan up to the current generation leaves alone or deletes at its end.
    ///
    /// # Errors
    /// What the database says.
    pub fn source_in_tier(
        &self,
        held: &Held<'_>,
        url: &PageUrl,
        content: &ContentHash,
        size: u64,
    ) -> Result<Option<Copyable>, ManifestError> {
        if size < COPY_BYTES_MIN {
            return Ok(None);
        }
        let Some(url) = self.holder(content)?.filter(|holder| holder != url) else {
            return Ok(None);
        };
        let (before, changed) = self.entry_at(&url, held.watermark)?;
        let is_there = before.is_some_and(|entry| is_body(&entry, content));
        if !is_there || self.debt(held.tier, &url)?.is_some() {
            return Ok(None);
        }
        if let Some(changed) = changed {
            let now = self.entry(&url)?;
            let stays_until_the_end = now.is_some_and(|entry| !entry.outcome.is_live());
            if changed <= held.doubted || !stays_until_the_end {
                return Ok(None);
            }
        }
        let key = self.layout().place(&url).key;
        // With several URLs on it, another page may lie there.
        let is_alone = self.on_key(&key, url.scheme())?.len() == 1;
        let leaves = changed.is_some();
        Ok(is_alone.then_some(Copyable { key, leaves }))
    }

    /// The record of who holds a body; where somebody is noted who held it until this commit, the note that it is
    /// held twice: that one's object can be copied by every tier that has not gone on yet.
    pub(super) fn new_holder(
        &self,
        generation: Generation,
        url: &PageUrl,
        outcome: &Outcome,
    ) -> Result<Option<KeyAndPayload>, ManifestError> {
        let Outcome::Page(Page { content, size, .. }) = outcome else {
            return Ok(None);
        };
        if *size < COPY_BYTES_MIN {
            return Ok(None);
        }
        if let Some(holder) = self.holder(content)? {
            let change = keys::change(generation, holder.as_str());
            let before = match codec::get::<Change>(&self.db, &change)? {
                Some(change) => change.before,
                None => self.entry(&holder)?,
            };
            if before.is_some_and(|entry| is_body(&entry, content)) {
                let note = keys::held_twice(generation, url.as_str());
                return Ok(Some((note, Vec::new())));
            }
        }
        Ok(Some((keys::holder(content), codec::encode(url))))
    }

    /// The pages that came to a body after `watermark` which another URL held by then.
    pub fn held_twice_after(&self, watermark: Generation) -> HeldTwice<'_> {
        let numbers = watermark.0 + 1..=self.generation().0;
        let prefixes = numbers.map(|number| keys::held_twice_in(Generation(number)));
        HeldTwice(self.db.merge(prefixes))
    }

    fn holder(&self, content: &ContentHash) -> Result<Option<PageUrl>, ManifestError> {
        codec::get(&self.db, &keys::holder(content))
    }
}

/// The generations' notes of [`Manifest::held_twice_after`], merged by URL.
pub struct HeldTwice<'a>(Merged<'a>);

impl HeldTwice<'_> {
    /// True when `url` is noted. To be asked in the order of URLs.
    ///
    /// # Errors
    /// What the database says.
    pub fn names(&mut self, url: &PageUrl) -> Result<bool, ManifestError> {
        let url = url.as_str().as_bytes();
        while self.0.next_name().is_none_or(|noted| noted < url) {
            if self.0.next().transpose()?.is_none() {
                return Ok(false);
            }
        }
        Ok(self.0.next_name() == Some(url))
    }
}

fn is_body(entry: &Entry, content: &ContentHash) -> bool {
    let page = entry.outcome.page();
    page.is_some_and(|page| page.content == *content)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, gone, page, url};
    use super::*;

    fn source(sample: &Sample, watermark: u64, path: &str, body: &str) -> Option<String> {
        let tier = TierName::parse("primary").unwrap();
        let held = Held {
            tier: &tier,
            watermark: Generation(watermark),
            doubted: Generation::NONE,
        };
        let content = ContentHash::of(body.as_bytes());
        let found = sample
            .manifest
            .source_in_tier(&held, &url(path), &content, body.len() as u64);
        found.unwrap().map(|found| found.key.to_string())
    }

    #[test]
    fn a_body_is_copied_from_where_the_tier_has_it() {
        // Promise: a page that moved, and one that lies in two places, has a source in every tier that
        // held the body before, until the old object goes; nobody else has one.
        let body = "x".repeat(20_000);
        let sample = Sample::new();
        sample.commit(&[("/old", page(&body))]).unwrap();
        assert_eq!(source(&sample, 0, "/new", &body), None, "not there yet");
        assert_eq!(source(&sample, 1, "/old", &body), None, "itself");
        sample
            .commit(&[("/new", page(&body)), ("/old", gone())])
            .unwrap();
        let old = source(&sample, 1, "/new", &body);
        assert!(old.is_some_and(|key| key.ends_with("/old")));
        assert_eq!(source(&sample, 2, "/third", &body), None, "deleted by then");
        sample.commit(&[("/third", page(&body))]).unwrap();
        let third = source(&sample, 3, "/fourth", &body);
        assert!(third.is_some_and(|key| key.ends_with("/third")));
        sample.commit(&[("/third", page("other"))]).unwrap();
        assert_eq!(
            source(&sample, 3, "/fourth", &body),
            None,
            "overwritten by this plan"
        );
    }

    #[test]
    fn only_pages_with_a_body_of_somebody_else_are_noted() {
        // Promise: a plan looks for a source where there may be one, over all generations that a tier lacks, and
        // nowhere else.
        let body = |number: u32| format!("{number}{}", "x".repeat(20_000));
        let sample = Sample::new();
        sample
            .commit(&[("/a", page(&body(1))), ("/b", page(&body(2)))])
            .unwrap();
        sample
            .commit(&[("/c", page(&body(1))), ("/d", page(&body(3)))])
            .unwrap();
        sample
            .commit(&[("/b", page(&body(4))), ("/e", page(&body(3)))])
            .unwrap();
        let noted = |watermark| {
            let mut notes = sample.manifest.held_twice_after(Generation(watermark));
            let paths = ["/a", "/b", "/c", "/d", "/e", "/f"].into_iter();
            let noted = paths.filter(|path| notes.names(&url(path)).unwrap());
            noted.collect::<Vec<_>>()
        };
        assert_eq!(noted(0), ["/c", "/e"]);
        assert_eq!(noted(2), ["/e"]);
        assert!(noted(3).is_empty());
    }

    #[test]
    fn small_bodies_are_sent_again() {
        // Promise: the index does not grow with pages that it saves nothing for.
        let sample = Sample::new();
        sample.commit(&[("/old", page("small"))]).unwrap();
        assert_eq!(source(&sample, 1, "/new", "small"), None);
    }
}
