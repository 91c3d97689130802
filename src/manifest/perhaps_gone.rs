//! Pages that may have been withdrawn while nobody here remembers it.
//!
//! A manifest that was made again may be older than what was lost, and a page that a tier had confirmed and does not
//! show any more may be one that was withdrawn since. It stays an entry, the crawl asks for it as for any other, and
//! no plan writes it before the site has answered for it: its tiers owe it until then. With the next outcome that is
//! recorded of it, or the word that nothing has changed, the note goes; so it does when somebody has a tier rebuilt
//! while another one serves the page all the time.

use super::{FOLD_BATCH, Manifest, ManifestError, codec, keys};
use crate::config::TierName;
use crate::db::Batch;
use crate::site::PageUrl;

/// Why a tier owes such a page.
pub const PERHAPS_GONE: &str = "it may have been withdrawn: it is written as soon as the site has answered for it, and by `standin rebuild tier` where another tier has it";

impl Manifest {
    /// Notes that these pages may have been withdrawn. Not durable by itself.
    ///
    /// # Errors
    /// What the database says.
    pub fn note_perhaps_gone<'a>(
        &self,
        urls: impl IntoIterator<Item = &'a PageUrl>,
    ) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for url in urls {
            batch.put(&keys::perhaps_gone(url), &[]);
        }
        Ok(self.db.apply(batch)?)
    }

    /// Whether there are such pages at all. Most manifests never have one.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_perhaps_gone(&self) -> Result<bool, ManifestError> {
        Ok(self.perhaps_gone().next().transpose()?.is_some())
    }

    /// Whether a page may have been withdrawn.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_perhaps_gone(&self, url: &PageUrl) -> Result<bool, ManifestError> {
        Ok(self.db.contains(&keys::perhaps_gone(url))?)
    }

    /// The next such pages behind one, at most `count`.
    ///
    /// # Errors
    /// What the database says.
    pub fn perhaps_gone_after(
        &self,
        after: Option<&PageUrl>,
        count: usize,
    ) -> Result<Vec<PageUrl>, ManifestError> {
        let from = after.map_or_else(|| vec![keys::PERHAPS_GONE], keys::perhaps_gone);
        let scan = self.db.scan_from(&[keys::PERHAPS_GONE], &from);
        let urls = scan.map(|record| codec::url_of_key(&record?.0, 1));
        let behind = urls.filter(|url| url.as_ref().map_or(true, |url| Some(url) != after));
        behind.take(count).collect()
    }

    /// Takes such notes back. Not durable by itself.
    ///
    /// # Errors
    /// What the database says.
    pub fn trust(&self, urls: &[PageUrl]) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for url in urls {
            batch.remove(&keys::perhaps_gone(url));
        }
        Ok(self.db.apply(batch)?)
    }

    fn perhaps_gone(&self) -> impl Iterator<Item = Result<PageUrl, ManifestError>> + '_ {
        let scan = self.db.scan(&[keys::PERHAPS_GONE]);
        scan.map(|record| codec::url_of_key(&record?.0, 1))
    }

    /// Notes that a tier owes those of these pages that it has not got by its watermark, since no plan writes them.
    /// Durable.
    ///
    /// # Errors
    /// What the database says.
    pub fn owe_perhaps_gone(&self, name: &TierName) -> Result<(), ManifestError> {
        let watermark = self.tier(name)?.watermark;
        let mut owed = Vec::new();
        for url in self.perhaps_gone() {
            let url = url?;
            let entry = self.entry(&url)?;
            let is_new =
                entry.is_some_and(|entry| entry.outcome.is_live() && entry.changed > watermark);
            if is_new && self.debt(name, &url)?.is_none() {
                owed.push((url, PERHAPS_GONE));
            }
            if owed.len() >= FOLD_BATCH {
                self.owe_all(name, &std::mem::take(&mut owed))?;
            }
        }
        self.owe_all(name, &owed)?;
        Ok(self.db.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, page, url};
    use super::super::{Evidence, RunId, Staged};

    #[test]
    fn a_page_that_may_be_gone_is_so_until_something_is_recorded_of_it() {
        // Promise: only an answer of the site takes the note away, be it the same as before; a missing page keeps it.
        let sample = Sample::new();
        let pages = ["/same", "/other", "/rules", "/missing"].map(|path| (path, page("1")));
        sample.commit(&pages).unwrap();
        let manifest = &sample.manifest;
        let urls = pages.each_ref().map(|(path, _)| url(path));
        manifest.note_perhaps_gone(&urls).unwrap();
        assert!(manifest.has_perhaps_gone().unwrap());
        let staged = [
            Staged::Outcome {
                outcome: page("1"),
                located: None,
                fetched: 9,
            },
            Staged::Outcome {
                outcome: page("2"),
                located: None,
                fetched: 9,
            },
            Staged::Validators {
                etag: None,
                last_modified: None,
            },
            Staged::Missing { status: 404 },
        ];
        let staged = urls.iter().cloned().zip(staged).map(Ok);
        let run = RunId("run".into());
        manifest.commit(&run, 9, Evidence::Whole, staged).unwrap();
        let left = urls.map(|url| manifest.is_perhaps_gone(&url).unwrap());
        assert_eq!(left, [false, false, false, true]);
    }
}
