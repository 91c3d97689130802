//! What an audit has found is not forgotten when it has been told. Until it is mended, no later run or audit may call the
//! tier whole, although it looks at less.
//!
//! What only a closer look can see (bytes, headers, a file that the disk does not give) is owed by the tier: no listing
//! would ever find it again. What a listing shows is left to the next listing: its keys are marked as writes are that
//! wait for their proof, with what should be there, so that the next run's proof looks each up. If somebody has put it
//! right by then, nothing is owed.

use super::RunError;
use super::repair::{owed_because, page_of};
use crate::audit::{Audit, Bytes, Class, Finding, SeenBy};
use crate::config::TierName;
use crate::manifest::{Manifest, Mark};
use crate::site::{ObjectKey, PageUrl};

/// Findings that are recorded at a time.
const GROUP: usize = 1000;

/// Equal to no fingerprint of an object, so that the mark vouches for no write.
const NOBODYS: [u8; 16] = [0; 16];

/// What is to be recorded of one finding.
enum Note {
    Owed(PageUrl, &'static str),
    Doubted(ObjectKey, Mark),
}

/// Records what was found in a tier. Not durable by itself.
///
/// # Errors
/// What manifest and state directory say.
pub fn remember(audit: &Audit, manifest: &Manifest, name: &TierName) -> Result<(), RunError> {
    let (mut owed, mut doubted) = (Vec::new(), Vec::new());
    let mut findings = audit.findings(name)?.peekable();
    while findings.peek().is_some() {
        for finding in findings.by_ref().take(GROUP) {
            match note_of(&finding?) {
                Some(Note::Owed(url, why)) => owed.push((url, why)),
                Some(Note::Doubted(key, mark)) => doubted.push((key, mark)),
                None => (),
            }
        }
        manifest.owe_all(name, &std::mem::take(&mut owed))?;
        manifest.mark_all(name, &std::mem::take(&mut doubted))?;
    }
    Ok(())
}

/// `None` for what is no page's.
fn note_of(finding: &Finding) -> Option<Note> {
    let url = page_of(finding)?;
    let is_close = finding.seen_by == SeenBy::Read || finding.class == Class::WrongHeaders;
    let mark = match (&finding.expected, is_close) {
        (None, false) => Some(Mark::Deleted),
        (Some(expected), false) => mark_of(expected, finding.found.as_ref()),
        (_, true) => None,
    };
    let key = ObjectKey::parse(&finding.key).ok();
    Some(match key.zip(mark) {
        Some((key, mark)) => Note::Doubted(key, mark),
        None => Note::Owed(url, owed_because(finding.class)),
    })
}

/// `None` where a listing could not tell what was found from what should be there.
fn mark_of(expected: &Bytes, found: Option<&Bytes>) -> Option<Mark> {
    let shown = |bytes: &Bytes| bytes.bytes.zip(bytes.etag.clone());
    let (size, etag) = shown(expected)?;
    let looks_right = found.and_then(shown) == Some((size, etag.clone()));
    (!looks_right).then_some(Mark::Written {
        state: NOBODYS,
        size,
        etag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(class: Class, seen_by: SeenBy) -> Finding {
        Finding {
            tier: "copy".into(),
            class,
            key: "h.test/a".into(),
            url: Some("https://h.test/a".into()),
            expected: None,
            found: None,
            why: String::new(),
            since: None,
            last_good: None,
            seen_by,
            odd: false,
        }
    }

    #[test]
    fn what_a_listing_shows_is_marked_and_what_it_hides_is_owed() {
        // Promise: nothing that was found is lost, and nothing is written again that the next listing shows to be right.
        let bytes = |bytes: u64, etag: &str| Bytes {
            bytes: Some(bytes),
            etag: Some(etag.to_owned()),
            ..Bytes::default()
        };
        let unrecorded = Bytes {
            bytes: Some(7),
            ..Bytes::default()
        };
        let right = Some(bytes(7, "e"));
        let table = [
            (Class::Missing, SeenBy::Head, right.clone(), None, true),
            (
                Class::Corrupt,
                SeenBy::Head,
                right.clone(),
                Some(bytes(9, "e")),
                true,
            ),
            (
                Class::Corrupt,
                SeenBy::Head,
                right.clone(),
                right.clone(),
                false,
            ),
            (
                Class::Corrupt,
                SeenBy::Read,
                right.clone(),
                Some(bytes(7, "e")),
                false,
            ),
            (
                Class::WrongHeaders,
                SeenBy::Head,
                right.clone(),
                None,
                false,
            ),
            (
                Class::Missing,
                SeenBy::Listing,
                Some(unrecorded),
                None,
                false,
            ),
            (Class::Stale, SeenBy::Head, None, right, true),
        ];
        for (class, seen_by, expected, found, is_marked) in table {
            let finding = Finding {
                expected,
                found,
                ..finding(class, seen_by)
            };
            let note = note_of(&finding).unwrap();
            assert_eq!(matches!(note, Note::Doubted(..)), is_marked, "{finding:?}");
            let nobodys = Finding {
                url: None,
                ..finding
            };
            assert!(note_of(&nobodys).is_none());
        }
    }
}
