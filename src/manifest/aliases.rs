//! URLs that share an object key.
//!
//! Nearly every URL is the primary one of its key, which the layout can compute, so only the others
//! are indexed: who is on a key is its primary URL, if there is an entry for it, and the few indexed.

use super::record::{Entry, Outcome};
use super::{Manifest, ManifestError, codec, keys};
use crate::db::Batch;
use crate::site::{ObjectKey, PageUrl, Scheme};

/// URLs with different content on one key: only the first can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    pub key: ObjectKey,
    /// The winner first.
    pub urls: Vec<PageUrl>,
}

/// All keys that more than one live URL is on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sharing {
    /// URLs that answer the same as the winner of their key.
    pub aliases: u64,
    pub collisions: Vec<Clash>,
}

impl Manifest {
    /// Everybody recorded on `key`, live or gone, canonical first. `scheme` is the identity of the
    /// key's host.
    ///
    /// # Errors
    /// What the database says.
    pub fn on_key(
        &self,
        key: &ObjectKey,
        scheme: Scheme,
    ) -> Result<Vec<(PageUrl, Entry)>, ManifestError> {
        let mut group = Vec::new();
        if let Some(primary) = self.layout.page_of(key, scheme)
            && let Some(entry) = self.entry(&primary)?
        {
            group.push((primary, entry));
        }
        let prefix = keys::aliases_of(key);
        for record in self.db.scan(&prefix) {
            let url = codec::url_of_key(&record?.0, prefix.len())?;
            if let Some(entry) = self.entry(&url)? {
                group.push((url, entry));
            }
        }
        group.sort_by(|(a, _), (b, _)| rank(a).cmp(&rank(b)));
        Ok(group)
    }

    /// True when some URL is not the primary one of its key. When false, keys need no grouping.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_aliases(&self) -> Result<bool, ManifestError> {
        Ok(self.db.scan(&[keys::ALIAS]).next().transpose()?.is_some())
    }

    /// All aliases and collisions. Costs the index, which holds only URLs that are not primary.
    ///
    /// # Errors
    /// What the database says.
    pub fn sharing(&self) -> Result<Sharing, ManifestError> {
        let mut sharing = Sharing::default();
        // The index is in key order, so that the URLs of one key follow each other.
        let mut last: Option<ObjectKey> = None;
        for record in self.db.scan(&[keys::ALIAS]) {
            let (record, _) = record?;
            let end = record.iter().position(|&byte| byte == keys::END);
            let url = codec::url_of_key(&record, end.map_or(record.len(), |end| end + 1))?;
            let key = self.layout.place(&url).key;
            if last.as_ref() == Some(&key) {
                continue;
            }
            let mut group = self.on_key(&key, url.scheme())?;
            group.retain(|(_, entry)| entry.outcome.is_live());
            sharing.add(key.clone(), group);
            last = Some(key);
        }
        Ok(sharing)
    }

    pub(super) fn index_alias(&self, batch: &mut Batch, url: &PageUrl) {
        if !self.layout.is_primary(url) {
            batch.put(&keys::alias(&self.layout.place(url).key, url), &[]);
        }
    }

    pub(super) fn unindex_alias(&self, batch: &mut Batch, url: &PageUrl) {
        if !self.layout.is_primary(url) {
            batch.remove(&keys::alias(&self.layout.place(url).key, url));
        }
    }
}

impl Sharing {
    fn add(&mut self, key: ObjectKey, group: Vec<(PageUrl, Entry)>) {
        let Some((_, winner)) = group.first() else {
            return;
        };
        let same = |entry: &Entry| content(&entry.outcome) == content(&winner.outcome);
        if group.iter().all(|(_, entry)| same(entry)) {
            self.aliases += group.len() as u64 - 1;
            return;
        }
        let urls = group.into_iter().map(|(url, _)| url).collect();
        self.collisions.push(Clash { key, urls });
    }
}

/// What two URLs must share to be one page under two names.
fn content(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Page(page) => Some(page.canonical.to_string()),
        Outcome::Redirect(redirect) => Some(redirect.target.clone()),
        Outcome::Gone(_) => None,
    }
}

/// Canonical first: the shorter, then the smaller URL, as the layout ranks them.
fn rank(url: &PageUrl) -> (usize, &str) {
    (url.as_str().len(), url.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, gone, page};
    use super::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text).unwrap()
    }

    #[test]
    fn who_is_on_a_key_is_found_without_an_index_of_all_keys() {
        // Promise: the canonical URL wins its key while it lives; equal content is an alias, different
        // content a collision.
        let sample = Sample::new();
        let on = |text: &str| -> Vec<String> {
            let group = sample.manifest.on_key(&key(text), Scheme::Https).unwrap();
            group.iter().map(|(url, _)| url.path().to_owned()).collect()
        };
        sample
            .commit(&[
                ("/x/", page("1")),
                ("/x/index.html", page("1")),
                ("/y", page("2")),
            ])
            .unwrap();
        assert_eq!(on("h.test/x/index.html"), ["/x/", "/x/index.html"]);
        assert_eq!(on("h.test/y"), ["/y"]);
        assert_eq!(sample.manifest.sharing().unwrap().aliases, 1);
        sample.commit(&[("/x/index.html", page("other"))]).unwrap();
        let collisions = sample.manifest.sharing().unwrap().collisions;
        assert_eq!(collisions.len(), 1);
        assert_eq!(collisions[0].urls[0].path(), "/x/");
        sample.commit(&[("/x/", gone())]).unwrap();
        let group = sample
            .manifest
            .on_key(&key("h.test/x/index.html"), Scheme::Https)
            .unwrap();
        let live = group.iter().find(|(_, entry)| entry.outcome.is_live());
        assert_eq!(live.unwrap().0.path(), "/x/index.html");
        assert_eq!(sample.manifest.sharing().unwrap(), Sharing::default());
    }
}
