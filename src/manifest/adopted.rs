//! What adopting a tier records beyond what every acknowledged write does: debts in bulk, and which
//! objects were taken over with the headers that somebody else gave them. A key stands there until
//! something is written under it; nothing is owed on it meanwhile.

use super::record::{Debt, TierState};
use super::{FOLD_BATCH, Manifest, ManifestError, codec, keys};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::Batch;
use crate::site::{ObjectKey, PageUrl};

impl Manifest {
    /// Forgets everything about a tier but its epoch, durably. From the first step on nothing is claimed
    /// of it, so that a kill in between leaves no claim without its ground.
    ///
    /// # Errors
    /// What the database says.
    pub fn forget_tier(&self, name: &TierName) -> Result<TierState, ManifestError> {
        let state = TierState {
            epoch: self.tier(name)?.epoch,
            ..TierState::default()
        };
        self.end_plan(name, &state)?;
        for kind in [keys::MARK, keys::DEBT, keys::ETAG_IN_TIER, keys::AS_FOUND] {
            self.drop_all(&keys::tier(kind, name))?;
        }
        self.db.flush()?;
        Ok(state)
    }

    /// Notes that a tier lacks these URLs, or has them in doubt, and that nothing was tried yet. Not
    /// durable by itself.
    ///
    /// # Errors
    /// What the database says.
    pub fn owe_all(
        &self,
        name: &TierName,
        owed: &[(PageUrl, &'static str)],
    ) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for (url, reason) in owed {
            let key = keys::in_tier(keys::DEBT, name, url.as_str());
            let earlier: Option<Debt> = codec::get(&self.db, &key)?;
            let debt = Debt {
                reason: (*reason).to_owned(),
                attempts: earlier.as_ref().map_or(0, |debt| debt.attempts),
                since: earlier.map_or_else(|| self.generation(), |debt| debt.since),
            };
            codec::put(&mut batch, &key, &debt);
        }
        self.db.apply(batch)?;
        self.flush_when_many()
    }

    /// Notes objects that were taken over with headers that are not ours. Not durable by itself.
    ///
    /// # Errors
    /// What the database says.
    pub fn note_as_found(&self, name: &TierName, found: &[ObjectKey]) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for key in found {
            batch.put(&keys::in_tier(keys::AS_FOUND, name, key.as_str()), &[]);
        }
        self.db.apply(batch)?;
        self.flush_when_many()
    }

    /// Objects of a tier whose headers are not ours, in key order, from the first one behind `after`.
    pub fn as_found<'a>(
        &'a self,
        name: &TierName,
        after: Option<&ObjectKey>,
    ) -> impl Iterator<Item = Result<ObjectKey, ManifestError>> + 'a {
        let prefix = keys::tier(keys::AS_FOUND, name);
        let skip = prefix.len();
        let mut start = keys::in_tier(keys::AS_FOUND, name, after.map_or("", ObjectKey::as_str));
        if after.is_some() {
            // The smallest key that is greater.
            start.push(0);
        }
        self.db.scan_from(&prefix, &start).map(move |record| {
            let key = record?.0;
            let text = String::from_utf8_lossy(&key[skip..]);
            ObjectKey::parse(&text).map_err(|why| ManifestError::Record {
                key: key.escape_ascii().to_string(),
                source: standin_migrations::FormatError::Content(why.to_string()),
            })
        })
    }

    /// Whether an object was taken over with headers that are not ours, and has them still.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_as_found(&self, name: &TierName, key: &ObjectKey) -> Result<bool, ManifestError> {
        let key = keys::in_tier(keys::AS_FOUND, name, key.as_str());
        Ok(self.db.contains(&key)?)
    }

    /// The ETag of a blob in tiers whose ETag is the MD5, if one of them has ever reported it.
    ///
    /// # Errors
    /// What the database says.
    pub fn md5_etag(&self, content: &ContentHash) -> Result<Option<String>, ManifestError> {
        codec::get(&self.db, &keys::etag_of_blob(content))
    }

    /// The ETag that was recorded for one object of a tier because it is not its blob's.
    ///
    /// # Errors
    /// What the database says.
    pub fn etag_in_tier(
        &self,
        name: &TierName,
        key: &ObjectKey,
    ) -> Result<Option<String>, ManifestError> {
        let key = keys::in_tier(keys::ETAG_IN_TIER, name, key.as_str());
        codec::get(&self.db, &key)
    }

    /// The ETags of blobs in tiers whose ETag is the MD5, in the order of their hashes.
    pub fn etags_of_blobs(
        &self,
    ) -> impl Iterator<Item = Result<(ContentHash, String), ManifestError>> + '_ {
        self.db.scan(&[keys::ETAG_OF_BLOB]).map(|record| {
            let (key, payload) = record?;
            let hash = key[1..].try_into().map_err(|_| ManifestError::Record {
                key: key.escape_ascii().to_string(),
                source: standin_migrations::FormatError::Content("it names no blob".into()),
            })?;
            let etag = codec::decode(&key, &payload)?;
            Ok((ContentHash::from_bytes(hash), etag))
        })
    }

    /// True when an ETag is recorded for some object of a tier because it is not its blob's.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_etags_in_tier(&self, name: &TierName) -> Result<bool, ManifestError> {
        let prefix = keys::tier(keys::ETAG_IN_TIER, name);
        Ok(self.db.scan(&prefix).next().transpose()?.is_some())
    }

    pub(super) fn drop_all(&self, prefix: &[u8]) -> Result<(), ManifestError> {
        loop {
            let mut batch = Batch::default();
            for record in self.db.scan(prefix).take(FOLD_BATCH) {
                batch.remove(&record?.0);
            }
            if batch.is_empty() {
                return Ok(());
            }
            self.db.apply(batch)?;
            self.flush_when_many()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{EtagKind, Mark};
    use super::super::sample::{Sample, page};
    use super::super::{Confirmation, Generation};
    use super::*;

    #[test]
    fn headers_count_as_found_until_something_is_written() {
        // Promise: what was taken over is remembered per key, and forgotten by the next write or when the
        // tier is adopted anew; nothing is owed meanwhile.
        let sample = Sample::new();
        sample
            .commit(&[("/a", page("1")), ("/b", page("2"))])
            .unwrap();
        let name = TierName::parse("t").unwrap();
        let keys: Vec<_> = ["h.test/a", "h.test/b"]
            .map(|key| ObjectKey::parse(key).unwrap())
            .into();
        let manifest = &sample.manifest;
        let found = |after: Option<&ObjectKey>| -> Vec<ObjectKey> {
            let found = manifest.as_found(&name, after);
            found.collect::<Result<_, _>>().unwrap()
        };
        manifest.note_as_found(&name, &keys).unwrap();
        assert_eq!(found(None), keys);
        assert_eq!(found(Some(&keys[0])), keys[1..]);
        assert_eq!(manifest.debts(&name).count(), 0);
        let url = PageUrl::parse("https://h.test/a").unwrap();
        let written = Confirmation {
            key: &keys[0],
            url: &url,
            mark: Mark::Written {
                state: [1; 16],
                size: 1,
                etag: "e".into(),
            },
            content: None,
        };
        manifest
            .confirm(&name, EtagKind::Opaque, &[written])
            .unwrap();
        assert_eq!(found(None), keys[1..]);
        assert_eq!(
            manifest.etag_in_tier(&name, &keys[0]).unwrap().as_deref(),
            Some("e")
        );
        manifest.owe_all(&name, &[(url, "differs")]).unwrap();
        let state = manifest.forget_tier(&name).unwrap();
        assert_eq!(state.watermark, Generation::NONE);
        assert_eq!(found(None), []);
        assert_eq!(manifest.debts(&name).count(), 0);
        assert_eq!(manifest.marks(&name).count(), 0);
        assert_eq!(manifest.etag_in_tier(&name, &keys[0]).unwrap(), None);
    }
}
