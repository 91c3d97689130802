//! One object that somebody else has written: is it the page's that its key belongs to?
//!
//! What a listing states is used first: BLAKE3, CRC32C, then the MD5 that an ETag may be, for which the
//! body is read from the store (MD5 is computed nowhere else). An ETag of several parts counts when a tier
//! that is confirmed has the very same, as replication leaves it. Then a HEAD is asked for a CRC32C, and
//! last the bytes are read back and hashed. Nothing is taken for the same because of its name and size.

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use md5::{Digest as _, Md5};

use super::AuditError;
use super::adopt::{Means, Mode};
use super::glance::scheme_of;
use crate::content::{ContentHash, Digester};
use crate::delta::{Object, Source};
use crate::manifest::{Entry, ManifestError, TierState};
use crate::site::PageUrl;
use crate::store::{Located, Store};
use crate::tier::{Class, Listed, Pieces, Seen, Stated, Tier, TierError};

/// What one read of a large body in the store takes.
const READ_BYTES: usize = 256 << 10;

/// In a dry run nothing larger is read back to learn whether this bucket's ETags are MD5s. It is over with the first
/// answer, so that no more than those judged at once are read.
const LOOK_BYTES_MAX: u64 = 1 << 20;

/// What one listed object is.
pub(super) enum Judgement {
    Matches(Box<Match>),
    Differs {
        url: PageUrl,
        size: u64,
    },
    Stale(PageUrl),
    Foreign,
    /// Only its bytes could tell.
    Unread,
}

/// An object that is its page's.
pub(super) struct Match {
    pub url: PageUrl,
    pub content: ContentHash,
    pub size: u64,
    pub etag: String,
    /// Of body and metadata; `None` when the headers are not ours.
    pub state: Option<[u8; 16]>,
    pub proof: Proof,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Stated,
    Md5,
    SameEtag,
    Head,
    Read,
}

/// What is known of an object's bytes.
enum Verdict {
    Same(Proof),
    /// The same, and the metadata is ours.
    Ours(Proof, String),
    Other,
    Unread,
}

/// See the paragraph of this file.
pub(super) struct Judge<'a> {
    means: &'a Means,
    tier: &'a dyn Tier,
    mode: Mode,
    /// Whether what looks like an MD5 is one in this bucket (with KMS it is not), once that was found out.
    tells_md5: Cell<Option<bool>>,
}

impl<'a> Judge<'a> {
    pub fn new(means: &'a Means, tier: &'a dyn Tier, mode: Mode) -> Judge<'a> {
        Judge {
            means,
            tier,
            mode,
            tells_md5: Cell::new(None),
        }
    }

    pub async fn judge(&self, listed: Listed) -> Result<(Listed, Judgement), AuditError> {
        let manifest = &self.means.manifest;
        let group = manifest.on_key(&listed.key, scheme_of(manifest, &listed.key))?;
        let live = group.iter().find(|(_, entry)| entry.outcome.is_live());
        let Some((url, entry)) = live else {
            let gone = group.into_iter().next();
            let judgement = gone.map_or(Judgement::Foreign, |(url, _)| Judgement::Stale(url));
            return Ok((listed, judgement));
        };
        let object = Object::of(url, entry).expect("a live outcome has an object");
        let size = object.meta.size;
        let verdict = match listed.size == size {
            true => self.verdict(&listed, entry, &object).await?,
            false => Verdict::Other,
        };
        let (proof, state, etag) = match verdict {
            Verdict::Same(proof) => (proof, None, listed.etag.clone()),
            Verdict::Ours(proof, etag) => (proof, Some(object.fingerprint()), etag),
            Verdict::Unread => return Ok((listed, Judgement::Unread)),
            Verdict::Other => {
                let url = url.clone();
                return Ok((listed, Judgement::Differs { url, size }));
            }
        };
        let matching = Match {
            url: url.clone(),
            content: object.meta.content,
            size,
            etag,
            state,
            proof,
        };
        Ok((listed, Judgement::Matches(Box::new(matching))))
    }

    /// An object of the right size. What cannot be had of this object alone makes it another.
    async fn verdict(
        &self,
        listed: &Listed,
        entry: &Entry,
        object: &Object,
    ) -> Result<Verdict, AuditError> {
        match self.proven(listed, entry, object).await {
            Err(AuditError::Tier(error))
                if error.class() == Class::Skip || matches!(error, TierError::Mismatch { .. }) =>
            {
                tracing::info!(%error, "taken for another object");
                Ok(Verdict::Other)
            }
            verdict => verdict,
        }
    }

    async fn proven(
        &self,
        listed: &Listed,
        entry: &Entry,
        object: &Object,
    ) -> Result<Verdict, AuditError> {
        if listed.etag.is_empty() {
            return self.unrecorded(listed, object).await;
        }
        if let Some(verdict) = compared(&listed.stated, object, Proof::Stated) {
            return Ok(verdict);
        }
        if let Some(verdict) = self.by_md5(listed, object).await? {
            return Ok(verdict);
        }
        if self.is_replicated(listed, entry, object)? {
            return Ok(Verdict::Same(Proof::SameEtag));
        }
        Ok(self.look(listed, object).await?)
    }

    /// A body without a record of it, such as a file that was copied into a folder. It is read by the
    /// tier itself, which writes its record: it would count as unknown for ever without.
    async fn unrecorded(&self, listed: &Listed, object: &Object) -> Result<Verdict, AuditError> {
        if self.mode == Mode::Look {
            let digests = self.read(listed).await?;
            return Ok(match digests.content == object.meta.content {
                // As it would be: adopting writes the record.
                true => Verdict::Ours(Proof::Read, listed.etag.clone()),
                false => Verdict::Other,
            });
        }
        match self.tier.reheader(&listed.key, None, &object.meta).await {
            Ok(confirmed) => Ok(Verdict::Ours(Proof::Read, confirmed.etag)),
            Err(TierError::Mismatch { .. }) => Ok(Verdict::Other),
            Err(error) => Err(error.into()),
        }
    }

    /// By the MD5 that the ETag may be; `None` where nobody can say.
    async fn by_md5(
        &self,
        listed: &Listed,
        object: &Object,
    ) -> Result<Option<Verdict>, AuditError> {
        let Some(stated) = listed
            .stated
            .md5
            .filter(|_| self.tells_md5.get() != Some(false))
        else {
            return Ok(None);
        };
        let known = self.means.manifest.md5_etag(&object.meta.content)?;
        if known.as_ref() == Some(&listed.etag) {
            return Ok(Some(Verdict::Same(Proof::Md5)));
        }
        let Some(md5) = self.md5_of(object).await? else {
            return Ok(None);
        };
        if md5 == stated {
            self.tells_md5.set(Some(true));
            return Ok(Some(Verdict::Same(Proof::Md5)));
        }
        if self.tells_md5.get() == Some(true) {
            return Ok(Some(Verdict::Other));
        }
        if self.mode == Mode::Look && listed.size > LOOK_BYTES_MAX {
            return Ok(Some(Verdict::Unread));
        }
        // The first that differs: are these bytes other ones, or is the ETag no MD5?
        let found = self.read(listed).await?;
        self.tells_md5.set(Some(found.md5 == stated));
        Ok(Some(match found.content == object.meta.content {
            true => Verdict::Same(Proof::Read),
            false => Verdict::Other,
        }))
    }

    /// True when a tier that is confirmed for this page has the very ETag, and it is one of several parts:
    /// that of MD5s, whose number and sizes are then the same as well.
    fn is_replicated(
        &self,
        listed: &Listed,
        entry: &Entry,
        object: &Object,
    ) -> Result<bool, ManifestError> {
        if !listed.etag.contains('-') {
            return Ok(false);
        }
        let manifest = &self.means.manifest;
        for other in &self.means.others {
            let TierState { watermark, .. } = manifest.tier(other)?;
            if entry.changed <= watermark
                && manifest.intent(other)?.is_none()
                && manifest.debt(other, &object.meta.url)?.is_none()
                && manifest.etag_in_tier(other, &listed.key)?.as_ref() == Some(&listed.etag)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn look(&self, listed: &Listed, object: &Object) -> Result<Verdict, TierError> {
        let Some(seen) = self.tier.head(&listed.key).await? else {
            return Ok(Verdict::Other);
        };
        if let Some(verdict) = compared(&seen.stated, object, Proof::Head) {
            return Ok(with_metadata(verdict, &seen, object));
        }
        if self.mode == Mode::Look {
            return Ok(Verdict::Unread);
        }
        let read = self.read(listed).await?;
        let verdict = match read.content == object.meta.content {
            true => Verdict::Same(Proof::Read),
            false => Verdict::Other,
        };
        Ok(with_metadata(verdict, &seen, object))
    }

    async fn read(&self, listed: &Listed) -> Result<ReadBack, TierError> {
        let mut content = Digester::new();
        let mut md5 = Md5::new();
        let mut pieces = Pieces::new(self.tier, &listed.key, listed.size, &listed.etag);
        while let Some(piece) = pieces.next().await? {
            content.update(&piece);
            md5.update(&piece);
        }
        Ok(ReadBack {
            content: content.finish().content,
            md5: md5.finalize().into(),
        })
    }

    /// The MD5 of a page's body, where the store has it.
    async fn md5_of(&self, object: &Object) -> Result<Option<[u8; 16]>, ManifestError> {
        let hash = match &object.source {
            Source::Inline(bytes) => return Ok(Some(Md5::digest(bytes).into())),
            Source::Blob(hash) => hash,
        };
        let Some(located) = self.means.manifest.locate(hash)? else {
            return Ok(None);
        };
        let store = Arc::clone(&self.means.store);
        let hashed = tokio::task::spawn_blocking(move || stored_md5(&store, &located)).await;
        Ok(hashed.expect("hashing does not panic and is never aborted"))
    }
}

/// Both digests of bytes that were read back.
struct ReadBack {
    content: ContentHash,
    md5: [u8; 16],
}

/// By a digest that is stated and that the manifest knows; `None` where there is none.
fn compared(stated: &Stated, object: &Object, proof: Proof) -> Option<Verdict> {
    let is_same = match (stated.content, stated.crc32c) {
        (Some(content), _) => content == object.meta.content,
        (None, Some(crc32c)) => crc32c == object.meta.crc32c,
        (None, None) => return None,
    };
    Some(match is_same {
        true => Verdict::Same(proof),
        false => Verdict::Other,
    })
}

/// Where the metadata was seen anyway, it may turn out to be ours already.
fn with_metadata(verdict: Verdict, seen: &Seen, object: &Object) -> Verdict {
    let Verdict::Same(proof) = verdict else {
        return verdict;
    };
    let meta = seen.meta.clone().map(|mut meta| {
        meta.provenance = object.meta.provenance;
        meta
    });
    match meta.as_ref() == Some(&object.meta) {
        true => Verdict::Ours(proof, seen.etag.clone()),
        false => Verdict::Same(proof),
    }
}

/// A copy that cannot be read whole is none: the bytes are read back from the tier instead.
fn stored_md5(store: &Store, located: &Located) -> Option<[u8; 16]> {
    let mut md5 = Md5::new();
    let Some(path) = store.path(located) else {
        let bytes = store.read(located).ok()?;
        return Some(Md5::digest(bytes).into());
    };
    let mut content = Digester::new();
    let mut file = File::open(path).ok()?;
    let mut chunk = vec![0; READ_BYTES];
    loop {
        let count = file.read(&mut chunk).ok()?;
        if count == 0 {
            break;
        }
        md5.update(&chunk[..count]);
        content.update(&chunk[..count]);
    }
    (content.finish() == located.digest).then(|| md5.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Entry, Generation, Outcome, Redirect};

    #[test]
    fn what_a_listing_states_decides_by_the_strongest_digest() {
        // Promise: BLAKE3 before CRC32C (which Google's listings state), nothing decides nothing, and an MD5
        // beside a CRC32C asks for no body.
        let url = PageUrl::parse("https://h.test/a").unwrap();
        let target = "https://h.test/b".to_owned();
        let outcome = Outcome::Redirect(Redirect {
            status: 301,
            target,
        });
        let entry = Entry {
            outcome,
            changed: Generation(1),
            first: Generation(1),
            fetched: None,
        };
        let object = Object::of(&url, &entry).unwrap();
        let (content, crc32c) = (object.meta.content, object.meta.crc32c);
        let other = ContentHash::of(b"other");
        let table = [
            (None, None, None),
            (None, Some(crc32c), Some(true)),
            (None, Some(crc32c ^ 1), Some(false)),
            (Some(content), None, Some(true)),
            (Some(other), Some(crc32c), Some(false)),
        ];
        for (content, crc32c, expected) in table {
            let stated = Stated {
                md5: Some([0; 16]),
                crc32c,
                content,
            };
            let is_same = compared(&stated, &object, Proof::Stated)
                .map(|verdict| matches!(verdict, Verdict::Same(Proof::Stated)));
            assert_eq!(is_same, expected, "{stated:?}");
        }
    }
}
