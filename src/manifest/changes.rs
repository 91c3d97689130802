//! The change log, read as net changes: per URL the state before the first and after the last of a
//! range of generations, in URL order, by merging the generations' sorted logs.

use super::record::{Change, Entry, Generation};
use super::{Manifest, ManifestError, codec, keys};
use crate::db::{Merged, Row};
use crate::site::PageUrl;

/// What happened to one URL over a range of generations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlChange {
    pub url: PageUrl,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
    /// The first generation of the range in which it changed.
    pub oldest: Generation,
}

/// Iterator of [`Manifest::changes_after`].
pub struct Changes<'a> {
    log: Merged<'a>,
    /// Of the first generation.
    first: Generation,
}

impl Manifest {
    /// Net changes after `watermark`, in URL order. Costs what changed, not what exists.
    pub fn changes_after(&self, watermark: Generation) -> Changes<'_> {
        let numbers = watermark.0 + 1..=self.generation().0;
        let prefixes = numbers.map(|number| keys::changes_of(Generation(number)));
        Changes {
            log: self.db.merge(prefixes),
            first: watermark.next(),
        }
    }

    /// One URL's own changes with their generations, newest first. Each costs one record, however many generations
    /// there are: an entry says when it changed, and the change says what was there before, which says the same.
    pub fn changes_of(
        &self,
        url: &PageUrl,
    ) -> impl Iterator<Item = Result<(Generation, Change), ManifestError>> + '_ {
        let url = url.clone();
        let mut before = self.entry(&url).transpose();
        std::iter::from_fn(move || {
            let generation = match before.take()? {
                Ok(entry) => entry.changed,
                Err(error) => return Some(Err(error)),
            };
            let key = keys::change(generation, url.as_str());
            let change: Change = match codec::get(&self.db, &key).transpose()? {
                Ok(change) => change,
                Err(error) => return Some(Err(error)),
            };
            before = change.before.clone().map(Ok);
            Some(Ok((generation, change)))
        })
    }

    /// One URL as it was at `watermark`, with whether it has changed since.
    ///
    /// # Errors
    /// What the database says.
    pub fn entry_at(
        &self,
        url: &PageUrl,
        watermark: Generation,
    ) -> Result<(Option<Entry>, Option<Generation>), ManifestError> {
        let entry = self.entry(url)?;
        if entry
            .as_ref()
            .is_none_or(|entry| entry.changed <= watermark)
        {
            return Ok((entry, None));
        }
        for number in watermark.0 + 1..=self.generation().0 {
            let key = keys::change(Generation(number), url.as_str());
            if let Some(change) = codec::get::<Change>(&self.db, &key)? {
                return Ok((change.before, Some(Generation(number))));
            }
        }
        if watermark < self.log_begins() {
            // It changed, and what was there before is not known.
            return Ok((None, entry.map(|entry| entry.changed)));
        }
        Ok((entry, None))
    }
}

impl Changes<'_> {
    fn net(&mut self, row: Row) -> Result<UrlChange, ManifestError> {
        let first: Change = codec::decode(&row.name, &row.payload)?;
        let mut net = UrlChange {
            url: codec::url_of_key(&row.name, 0)?,
            before: first.before,
            after: Some(first.after),
            oldest: Generation(self.first.0 + row.scan as u64),
        };
        while self.log.next_name() == Some(&row.name) {
            let Some(next) = self.log.next().transpose()? else {
                break;
            };
            let change: Change = codec::decode(&next.name, &next.payload)?;
            net.after = Some(change.after);
        }
        Ok(net)
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<UrlChange, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.log.next()? {
            Ok(row) => Some(self.net(row)),
            Err(error) => Some(Err(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, gone, page, url};
    use super::*;

    fn net(sample: &Sample, watermark: u64) -> Vec<(String, Option<Entry>, Option<Entry>)> {
        let changes = sample.manifest.changes_after(Generation(watermark));
        changes
            .map(|change| {
                let change = change.unwrap();
                (change.url.path().to_owned(), change.before, change.after)
            })
            .collect()
    }

    #[test]
    fn generations_merge_into_one_change_per_url_in_url_order() {
        // Promise: a tier that was away sees first-before and last-after, whatever happened between.
        let sample = Sample::new();
        sample
            .commit(&[("/a", page("1")), ("/c", page("1"))])
            .unwrap();
        sample
            .commit(&[("/a", page("2")), ("/b", page("2"))])
            .unwrap();
        sample.commit(&[("/a", page("1")), ("/c", gone())]).unwrap();
        let after_first = net(&sample, 1);
        let paths: Vec<_> = after_first.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["/a", "/b", "/c"]);
        let (_, before, after) = &after_first[0];
        let outcome = |entry: &Option<Entry>| entry.as_ref().map(|entry| entry.outcome.clone());
        assert_eq!(outcome(before), outcome(after), "changed and changed back");
        assert_eq!(outcome(&after_first[1].1), None);
        assert_eq!(outcome(&after_first[2].2), Some(gone()));
        assert!(net(&sample, 3).is_empty());
        assert_eq!(net(&sample, 2).len(), 2);
    }

    #[test]
    fn a_urls_own_changes_are_followed_from_the_newest() {
        // Promise: exactly the generations in which it changed, newest first, others skipped without a look.
        let sample = Sample::new();
        sample.commit(&[("/a", page("1"))]).unwrap();
        for round in 0..30 {
            sample.commit(&[("/b", page(&round.to_string()))]).unwrap();
        }
        sample.commit(&[("/a", gone())]).unwrap();
        sample.commit(&[("/a", page("1"))]).unwrap();
        let changes = sample.manifest.changes_of(&url("/a")).map(Result::unwrap);
        let told: Vec<_> = changes
            .map(|(generation, change)| (generation.0, change.after.outcome))
            .collect();
        assert_eq!(told, [(33, page("1")), (32, gone()), (1, page("1"))]);
        assert_eq!(sample.manifest.changes_of(&url("/b")).count(), 30);
        assert_eq!(sample.manifest.changes_of(&url("/never")).count(), 0);
    }

    #[test]
    fn a_url_is_known_as_it_was_at_a_watermark() {
        // Promise: entry_at agrees with the merged log, for URLs inside and outside of it.
        let sample = Sample::new();
        sample
            .commit(&[("/a", page("1")), ("/b", page("1"))])
            .unwrap();
        sample.commit(&[("/a", page("2"))]).unwrap();
        sample.commit(&[("/a", page("3"))]).unwrap();
        let at = |path: &str, watermark| {
            let (entry, changed) = sample
                .manifest
                .entry_at(&url(path), Generation(watermark))
                .unwrap();
            (entry.map(|entry| entry.outcome), changed)
        };
        assert_eq!(at("/a", 1), (Some(page("1")), Some(Generation(2))));
        assert_eq!(at("/a", 3), (Some(page("3")), None));
        assert_eq!(at("/b", 1), (Some(page("1")), None));
        assert_eq!(at("/b", 0), (None, Some(Generation(1))));
    }
}
