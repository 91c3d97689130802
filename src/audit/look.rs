//! A closer look at one object of a tier: the second look at what a listing says against the manifest, what is kept
//! beside the bytes, and the bytes themselves.
//!
//! A listing takes a while, and somebody may write or delete meanwhile; so nothing is called a finding on the word of a
//! listing alone, but for the many that follow when the first [`SECOND_LOOKS_MAX`] were confirmed, and for what is
//! nobody's.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::AuditError;
use super::expected::Row;
use super::finding::{Bytes, Class, Finding, SeenBy, rfc3339};
use super::merge::{Facts, Item, Standing, key_of, url_of};
use crate::content::{ContentHash, Digester};
use crate::delta::Object;
use crate::manifest::{Generation, ManifestError};
use crate::site::ObjectKey;
use crate::sync::{self, BrokenPart, OpenTier, PartLook};
use crate::tier::{Class as ErrorClass, Listed, ObjectMeta, PIECE_BYTES, Pieces, Seen, TierError};

/// A race with another writer touches a few objects, so that many differences are no race. An emptied bucket of a
/// million objects is not asked for each of them.
pub(super) const SECOND_LOOKS_MAX: u64 = 1000;

/// Bytes of one tier that may be in memory at once while it is read back, in pieces of 8 MiB at the most.
const IN_FLIGHT_MB: u32 = 48;

const MB: u64 = 1 << 20;

/// Earlier versions of a page that a wrong object is compared with.
const VERSIONS_MAX: usize = 50;

/// So many objects in a row that the disk does not give are no bad spots any more: it is ill as a whole, and what it says
/// of the others is worth nothing.
const UNREADABLE_IN_A_ROW_MAX: u64 = 6;

/// What came of an item.
#[derive(Debug)]
pub(super) enum Looked {
    /// All is as it should be.
    Right,
    /// It is by now, or it was deleted rightly.
    ChangedMeanwhile,
    Known(Standing),
    AsFound,
    Found(Box<Finding>),
    /// Why it could not be looked at.
    Unseen(TierError),
}

/// An item that was looked at.
pub(super) struct Outcome {
    pub looked: Looked,
    /// It was one of those to be read back; with the bytes that were read.
    pub read: Option<u64>,
    /// What is kept beside it was looked at.
    pub heads: bool,
}

/// See the paragraph of this file.
pub(super) struct Look<'a> {
    pub facts: &'a Facts,
    pub open: &'a OpenTier,
    second_looks: AtomicU64,
    unreadable_in_a_row: AtomicU64,
    room: Semaphore,
    pace: Option<Pace>,
}

impl<'a> Look<'a> {
    /// `rate`: bytes a second that may be read.
    pub fn new(facts: &'a Facts, open: &'a OpenTier, rate: Option<u64>) -> Look<'a> {
        Look {
            facts,
            open,
            second_looks: AtomicU64::new(0),
            unreadable_in_a_row: AtomicU64::new(0),
            room: Semaphore::new(IN_FLIGHT_MB as usize),
            pace: rate.map(Pace::of),
        }
    }

    /// Looks at an item.
    ///
    /// # Errors
    /// What the manifest says, and what the tier says of itself and not of this object.
    pub async fn at(&self, item: Item) -> Result<Outcome, AuditError> {
        let plain = |looked| Outcome {
            looked,
            read: None,
            heads: false,
        };
        match item {
            Item::Odd(name) => Ok(plain(Looked::Found(self.odd(name)))),
            Item::Unexpected(listed) => Ok(plain(self.unexpected(listed).await?)),
            Item::Missing { row, reads } => {
                let looked = self
                    .again(&row, None, "the listing does not show it")
                    .await?;
                Ok(Outcome {
                    read: reads.then_some(0),
                    ..plain(looked)
                })
            }
            Item::Differs {
                row,
                listed,
                why,
                reads,
            } => {
                let looked = self.again(&row, Some(&listed), &why).await?;
                Ok(Outcome {
                    read: reads.then_some(0),
                    ..plain(looked)
                })
            }
            Item::Matches {
                row,
                listed,
                reads,
                heads,
            } => self.closely(row, listed, reads, heads).await,
        }
    }

    /// A second look at the object of a live page.
    async fn again(
        &self,
        row: &Row,
        listed: Option<&Listed>,
        why: &str,
    ) -> Result<Looked, AuditError> {
        if self.second_looks.fetch_add(1, Ordering::Relaxed) >= SECOND_LOOKS_MAX {
            let found = listed.map(bytes_of);
            let class = match found {
                None => Class::Missing,
                Some(_) => Class::Corrupt,
            };
            return Ok(self.found(row, class, found, why, SeenBy::Listing));
        }
        let seen = match self.seen(row).await? {
            Ok(seen) => seen,
            Err(looked) => return Ok(looked),
        };
        match self.facts.fault(row, seen.size, &seen.etag, &seen.stated)? {
            None => Ok(Looked::ChangedMeanwhile),
            Some(why) => Ok(self.wrong(row, &seen, &why)?),
        }
    }

    /// What is there in the place of a page's object: an earlier version of it, or something else.
    fn wrong(&self, row: &Row, seen: &Seen, why: &str) -> Result<Looked, ManifestError> {
        let mut found = Bytes {
            bytes: Some(seen.size),
            content: seen.stated.content,
            etag: Some(seen.etag.clone()),
            generation: None,
        };
        if let Some((generation, content)) = self.earlier(row, seen)? {
            found.generation = Some(generation.0);
            found.content = Some(content);
            let why = format!("it holds what the page was in generation {generation}");
            return Ok(self.found(row, Class::Stale, Some(found), &why, SeenBy::Head));
        }
        let other = seen
            .meta
            .as_ref()
            .filter(|meta| meta.url.as_str() != row.url);
        let why = match other {
            Some(meta) => format!("{why}: it is the object of {}", meta.url),
            None => why.to_owned(),
        };
        Ok(self.found(row, Class::Corrupt, Some(found), &why, SeenBy::Head))
    }

    /// The earlier version of a page that an object is of, if it is one.
    fn earlier(
        &self,
        row: &Row,
        seen: &Seen,
    ) -> Result<Option<(Generation, ContentHash)>, ManifestError> {
        let url = url_of(&row.url);
        for change in self.facts.manifest.changes_of(&url).take(VERSIONS_MAX) {
            let Some(before) = change?.1.before else {
                continue;
            };
            let Some(object) = Object::of(&url, &before) else {
                continue;
            };
            if object.meta.content != row.content && self.is_of(seen, &object.meta)? {
                return Ok(Some((before.changed, object.meta.content)));
            }
        }
        Ok(None)
    }

    fn is_of(&self, seen: &Seen, meta: &ObjectMeta) -> Result<bool, ManifestError> {
        if seen.size != meta.size {
            return Ok(false);
        }
        if let Some(content) = seen.stated.content {
            return Ok(content == meta.content);
        }
        if let Some(crc32c) = seen.stated.crc32c {
            return Ok(crc32c == meta.crc32c);
        }
        let etag = self.facts.manifest.md5_etag(&meta.content)?;
        Ok(etag.is_some_and(|etag| etag == seen.etag))
    }

    /// What nobody expects: a page that was withdrawn, or nobody's object.
    async fn unexpected(&self, listed: Listed) -> Result<Looked, AuditError> {
        let facts = self.facts;
        let scheme = facts.scheme_of(listed.key.as_str());
        let group = facts.manifest.on_key(&listed.key, scheme)?;
        let Some((url, entry)) = group.first() else {
            let why = "no page of the site has this key";
            return Ok(Looked::Found(Box::new(Finding {
                tier: facts.name.to_string(),
                class: Class::Foreign,
                key: listed.key.to_string(),
                url: None,
                expected: None,
                found: Some(bytes_of(&listed)),
                why: why.to_owned(),
                since: None,
                last_good: None,
                seen_by: SeenBy::Listing,
                odd: false,
            })));
        };
        match facts.standing_of(&group)? {
            Standing::Settled => (),
            standing => return Ok(Looked::Known(standing)),
        }
        let mut seen_by = SeenBy::Listing;
        if self.second_looks.fetch_add(1, Ordering::Relaxed) < SECOND_LOOKS_MAX {
            seen_by = SeenBy::Head;
            match self.head(listed.key.as_str()).await? {
                Ok(Some(_)) => (),
                Ok(None) => return Ok(Looked::ChangedMeanwhile),
                Err(error) => return Ok(Looked::Unseen(error)),
            }
        }
        let finding = Finding {
            tier: facts.name.to_string(),
            class: Class::Stale,
            key: listed.key.to_string(),
            url: Some(url.to_string()),
            expected: None,
            found: Some(bytes_of(&listed)),
            why: format!("the page was withdrawn in generation {}", entry.changed),
            since: self.time_of(entry.changed)?,
            last_good: self.last_good(entry.changed),
            seen_by,
            odd: false,
        };
        Ok(Looked::Found(Box::new(finding)))
    }

    fn odd(&self, name: String) -> Box<Finding> {
        Box::new(Finding {
            tier: self.facts.name.to_string(),
            class: Class::Foreign,
            key: name,
            url: None,
            expected: None,
            found: Some(Bytes::default()),
            why: "no object of the site can be called so, or it is no file: nobody but you removes it"
                .to_owned(),
            since: None,
            last_good: None,
            seen_by: SeenBy::Listing,
            odd: true,
        })
    }

    /// What the listing has nothing against.
    async fn closely(
        &self,
        row: Row,
        listed: Listed,
        reads: bool,
        heads: bool,
    ) -> Result<Outcome, AuditError> {
        let mut outcome = Outcome {
            looked: Looked::Right,
            read: None,
            heads,
        };
        if reads {
            outcome.read = Some(listed.size);
            outcome.looked = self.read(&row, &listed).await?;
        }
        if heads && matches!(outcome.looked, Looked::Right) {
            outcome.looked = self.beside(&row).await?;
        }
        Ok(outcome)
    }

    /// What a HEAD shows of an object that should be there; else what that comes to.
    async fn seen(&self, row: &Row) -> Result<Result<Seen, Looked>, AuditError> {
        Ok(match self.head(&row.key).await? {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => {
                let why = "it is not there";
                Err(self.found(row, Class::Missing, None, why, SeenBy::Head))
            }
            Err(error) if is_bad_spot(&error) => Err(self.unreadable(row, &error)),
            Err(error) => Err(Looked::Unseen(error)),
        })
    }

    /// The disk does not give it, so that it is as good as other bytes; written anew it lies elsewhere.
    fn unreadable(&self, row: &Row, error: &TierError) -> Looked {
        let why = format!("it cannot be read: {error}");
        let found = Some(Bytes::default());
        self.found(row, Class::Corrupt, found, &why, SeenBy::Read)
    }

    async fn beside(&self, row: &Row) -> Result<Looked, AuditError> {
        let (url, key) = (url_of(&row.url), key_of(&row.key));
        if self.facts.manifest.is_as_found(&self.facts.name, &key)? {
            return Ok(Looked::AsFound);
        }
        let seen = match self.seen(row).await? {
            Ok(seen) => seen,
            Err(looked) => return Ok(looked),
        };
        if let Some(why) = self.facts.fault(row, seen.size, &seen.etag, &seen.stated)? {
            return Ok(self.wrong(row, &seen, &why)?);
        }
        let entry = self.facts.manifest.entry(&url)?;
        let object = entry.as_ref().and_then(|entry| Object::of(&url, entry));
        let Some(object) = object else {
            return Ok(Looked::Right);
        };
        let differing = differing_fields(&object.meta, seen.meta.as_ref());
        if differing.is_empty() {
            return Ok(Looked::Right);
        }
        let found = Bytes {
            bytes: Some(seen.size),
            content: seen.stated.content,
            etag: Some(seen.etag),
            generation: None,
        };
        let why = format!("beside the bytes differ: {}", differing.join(", "));
        Ok(self.found(row, Class::WrongHeaders, Some(found), &why, SeenBy::Head))
    }

    /// What is wrong with the object of a finding now, of whatever page it is by now; `None` where nothing is.
    pub async fn still_wrong(&self, finding: &Finding) -> Result<Option<String>, AuditError> {
        let facts = self.facts;
        if finding.class == Class::Checkpoint {
            let broken = sync::broken_part(self.open, &finding.key).await?;
            return Ok(broken.map(|broken| broken.why()));
        }
        let key = ObjectKey::parse(&finding.key).ok();
        let Some(key) = key.filter(|_| !finding.odd) else {
            return Ok(Some(finding.why.clone()));
        };
        let seen = match self.head(key.as_str()).await? {
            Ok(seen) => seen,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let group = facts.manifest.on_key(&key, facts.scheme_of(&finding.key))?;
        let winner = group.iter().find(|(_, entry)| entry.outcome.is_live());
        let Some((url, entry)) = winner else {
            let still = || "it is there still".to_owned();
            return Ok(seen.is_some().then(still));
        };
        let Some(seen) = seen else {
            return Ok(Some("it is not there".to_owned()));
        };
        let mut row = Row::of(&key, url, entry).expect("a live outcome has an object");
        row.md5_etag = facts.manifest.md5_etag(&row.content)?;
        if let Some(why) = facts.fault(&row, seen.size, &seen.etag, &seen.stated)? {
            return Ok(Some(why));
        }
        let object = Object::of(url, entry).expect("a live outcome has an object");
        let differing = differing_fields(&object.meta, seen.meta.as_ref());
        if !differing.is_empty() && !facts.manifest.is_as_found(&facts.name, &key)? {
            return Ok(Some(format!(
                "beside the bytes differ: {}",
                differing.join(", ")
            )));
        }
        if finding.seen_by != SeenBy::Read {
            return Ok(None);
        }
        let listed = Listed {
            key,
            size: seen.size,
            etag: seen.etag,
            stated: seen.stated,
        };
        Ok(match self.read(&row, &listed).await? {
            Looked::Right => None,
            Looked::Found(finding) => Some(finding.why),
            _ => Some("it could not be read back".to_owned()),
        })
    }

    /// Reads an object back and compares its BLAKE3.
    async fn read(&self, row: &Row, listed: &Listed) -> Result<Looked, AuditError> {
        let read = self.about_one(self.hash_of(listed).await);
        let read = match read {
            Ok(Err(error)) if is_bad_spot(&error) => self.about_one(self.hash_of(listed).await),
            read => read,
        };
        let hash = match read? {
            Ok(hash) => hash,
            // It was replaced or deleted since it was listed, or its service found out itself that it is damaged.
            Err(error @ TierError::Mismatch { .. }) => {
                return match self
                    .again(row, Some(listed), "it cannot be read back")
                    .await?
                {
                    Looked::ChangedMeanwhile => Ok(Looked::Unseen(error)),
                    looked => Ok(looked),
                };
            }
            Err(error) if is_bad_spot(&error) => return Ok(self.unreadable(row, &error)),
            Err(error) => return Ok(Looked::Unseen(error)),
        };
        if hash == row.content {
            return Ok(Looked::Right);
        }
        let found = Bytes {
            content: Some(hash),
            ..bytes_of(listed)
        };
        let why =
            "its bytes are others than were written, although the listing shows nothing of it";
        Ok(self.found(row, Class::Corrupt, Some(found), why, SeenBy::Read))
    }

    /// Tells what is about one object alone (inside) from what is about the tier.
    fn about_one<T>(
        &self,
        asked: Result<T, TierError>,
    ) -> Result<Result<T, TierError>, AuditError> {
        let error = match asked {
            Ok(answer) => {
                self.unreadable_in_a_row.store(0, Ordering::Relaxed);
                return Ok(Ok(answer));
            }
            Err(error) => error,
        };
        let is_about_one = match &error {
            error if is_bad_spot(error) => {
                let before = self.unreadable_in_a_row.fetch_add(1, Ordering::Relaxed);
                // Each is tried twice.
                before < 2 * UNREADABLE_IN_A_ROW_MAX
            }
            TierError::Mismatch { .. } | TierError::Denied { .. } => true,
            error => error.class() == ErrorClass::Skip,
        };
        match is_about_one {
            true => Ok(Err(error)),
            false => Err(error.into()),
        }
    }

    async fn hash_of(&self, listed: &Listed) -> Result<ContentHash, TierError> {
        let piece_mb = listed.size.min(PIECE_BYTES).div_ceil(MB).max(1);
        let permits = u32::try_from(piece_mb).unwrap_or(IN_FLIGHT_MB);
        let room = self.room.acquire_many(permits.min(IN_FLIGHT_MB)).await;
        let _room = room.expect("it is never closed");
        let mut digester = Digester::new();
        let tier = self.open.tier.as_ref();
        let mut pieces = Pieces::new(tier, &listed.key, listed.size, &listed.etag);
        let mut left = listed.size;
        loop {
            if let Some(pace) = &self.pace {
                pace.wait_for(left.min(PIECE_BYTES)).await;
            }
            let Some(piece) = pieces.next().await? else {
                return Ok(digester.finish().content);
            };
            left -= (piece.len() as u64).min(left);
            digester.update(&piece);
        }
    }

    /// A HEAD; inside, what is about this object alone.
    async fn head(&self, key: &str) -> Result<Result<Option<Seen>, TierError>, AuditError> {
        let key = key_of(key);
        match self.about_one(self.open.tier.head(&key).await)? {
            Err(error) if is_bad_spot(&error) => self.about_one(self.open.tier.head(&key).await),
            asked => Ok(asked),
        }
    }

    fn found(
        &self,
        row: &Row,
        class: Class,
        found: Option<Bytes>,
        why: &str,
        seen_by: SeenBy,
    ) -> Looked {
        let expected = Bytes {
            bytes: Some(row.size),
            content: Some(row.content),
            etag: self.facts.etag_of(row).ok().flatten(),
            generation: Some(row.changed.0),
        };
        Looked::Found(Box::new(Finding {
            tier: self.facts.name.to_string(),
            class,
            key: row.key.clone(),
            url: Some(row.url.clone()),
            expected: Some(expected),
            found,
            why: why.to_owned(),
            since: self.time_of(row.changed).ok().flatten(),
            last_good: self.last_good(row.changed),
            seen_by,
            odd: false,
        }))
    }

    fn time_of(&self, generation: Generation) -> Result<Option<String>, ManifestError> {
        let record = self.facts.manifest.generation_record(generation)?;
        Ok(record.map(|record| rfc3339(record.committed_at)))
    }

    fn last_good(&self, changed: Generation) -> Option<String> {
        let verified = self.facts.verified?;
        (verified.generation >= changed).then(|| rfc3339(verified.at))
    }
}

/// A part of a checkpoint, as a finding.
pub(super) fn broken_part(facts: &Facts, broken: &BrokenPart) -> Finding {
    let part = &broken.part;
    Finding {
        tier: facts.name.to_string(),
        class: Class::Checkpoint,
        key: part.name.clone(),
        url: None,
        expected: Some(Bytes {
            bytes: Some(part.bytes),
            content: Some(part.hash),
            ..Bytes::default()
        }),
        found: broken.found.map(|(bytes, content)| Bytes {
            bytes: Some(bytes),
            content,
            ..Bytes::default()
        }),
        why: broken.why(),
        since: None,
        last_good: None,
        seen_by: match broken.look {
            PartLook::Listed => SeenBy::Listing,
            PartLook::Read => SeenBy::Read,
        },
        odd: false,
    }
}

/// What a disk says of one file that it cannot read.
fn is_bad_spot(error: &TierError) -> bool {
    matches!(error, TierError::Io { .. })
}

fn bytes_of(listed: &Listed) -> Bytes {
    Bytes {
        bytes: Some(listed.size),
        content: listed.stated.content,
        etag: Some(listed.etag.clone()),
        generation: None,
    }
}

/// Names of what is kept beside an object and is not what it should be. Where an answer came from is served to nobody.
fn differing_fields(expected: &ObjectMeta, found: Option<&ObjectMeta>) -> Vec<String> {
    let Some(found) = found else {
        return vec!["all: there is no metadata of ours".to_owned()];
    };
    let mut names = Vec::new();
    let mut note = |differs: bool, name: &str| {
        if differs {
            names.push(name.to_owned());
        }
    };
    note(expected.url != found.url, "url");
    note(expected.content != found.content, "content");
    note(expected.crc32c != found.crc32c, "crc32c");
    note(expected.size != found.size, "size");
    note(expected.status != found.status, "status");
    note(expected.location != found.location, "location");
    let both = expected.headers.iter().chain(found.headers.iter());
    let names_of_both: BTreeSet<&str> = both.map(|(name, _)| name).collect();
    for name in names_of_both {
        let (expected, found) = (expected.headers.all(name), found.headers.all(name));
        note(expected.ne(found), name);
    }
    names
}

/// Lets so many bytes a second through.
struct Pace {
    bytes_per_second: u64,
    free_at: Mutex<Instant>,
}

impl Pace {
    fn of(bytes_per_second: u64) -> Pace {
        Pace {
            bytes_per_second: bytes_per_second.max(1),
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Waits until these may be read.
    async fn wait_for(&self, bytes: u64) {
        let begin = {
            let mut free_at = self.free_at.lock().expect("no holder of this lock panics");
            let begin = (*free_at).max(Instant::now());
            let micros = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
            *free_at = begin + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
            begin
        };
        tokio::time::sleep_until(begin).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::KeptHeaders;
    use crate::site::PageUrl;

    #[test]
    fn headers_that_come_repeatedly_are_compared_one_by_one() {
        // Promise: two lines of one header are right when both are there in their order; one more, one less, or another
        // is a difference, by name.
        let meta = |headers: &[(&str, &str)]| ObjectMeta {
            url: PageUrl::parse("https://h.test/").unwrap(),
            content: ContentHash::of(b"x"),
            crc32c: 0,
            size: 1,
            status: 200,
            location: None,
            headers: KeptHeaders::stored(
                headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_bytes())),
            ),
            provenance: None,
        };
        let (html, a, b) = (("content-type", "text/html"), ("link", "a"), ("link", "b"));
        let expected = meta(&[html, a, b]);
        let table: [(&[_], &[&str]); 6] = [
            (&[html, a, b], &[]),
            (&[html, b, a], &["link"]),
            (&[html, a], &["link"]),
            (&[html, a, b, a], &["link"]),
            (
                &[html, ("content-type", "text/plain"), a, b],
                &["content-type"],
            ),
            (&[a, b, ("vary", "x")], &["content-type", "vary"]),
        ];
        for (found, differing) in table {
            let found = meta(found);
            assert_eq!(differing_fields(&expected, Some(&found)), differing);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_the_rate_lets_through() {
        // Promise: 100 pieces of 1 MB at 50 MB a second take two seconds, however many ask at once.
        let pace = Pace::of(50_000_000);
        let begun = Instant::now();
        let asks = (0..101).map(|_| pace.wait_for(1_000_000));
        futures_util::future::join_all(asks).await;
        assert_eq!(begun.elapsed().as_millis(), 2_000);
    }
}
