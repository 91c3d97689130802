//! When each part of a tier was last read back, byte by byte: a small file per tier in the state directory. It is for
//! the rolling scrub, which goes on with what was read longest ago, and for whoever wants to know.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AuditError;
use crate::config::TierName;
use crate::db::replace_file;

/// Raised whenever what the file says comes to mean something else; of another format it counts as absent.
const FORMAT: u32 = 1;

/// Parts that were read within so many seconds of each other become one, of the earlier time: a year of hourly runs
/// makes some 1,500 parts at the most.
const SAME_TIME_S: i64 = 6 * 3600;

/// A part of a tier: the keys behind the part before it, up to and with `upto`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `None` at the end of all keys.
    pub upto: Option<String>,
    /// Seconds since 1970; `None` where it never was.
    pub read_at: Option<i64>,
}

/// All parts of a tier, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    parts: Vec<Part>,
    /// When something was read last; parts that are joined have an earlier time.
    noted_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    lineage: String,
    noted_at: Option<i64>,
    parts: Vec<Part>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger {
            parts: vec![Part {
                upto: None,
                read_at: None,
            }],
            noted_at: None,
        }
    }
}

/// Where the file of a tier lies.
fn place(state: &Path, tier: &TierName) -> PathBuf {
    state.join("read-back").join(format!("{tier}.json"))
}

impl Ledger {
    /// What is known of a tier of this mirror. A file that is lost, damaged or another mirror's says nothing.
    pub fn open(state: &Path, tier: &TierName, lineage: &str) -> Ledger {
        let read = || -> Option<Ledger> {
            let bytes = fs::read(place(state, tier)).ok()?;
            let document: Document = serde_json::from_slice(&bytes).ok()?;
            let ends = document.parts.iter().map(|part| part.upto.as_deref());
            let (last, before) = ends
                .clone()
                .collect::<Vec<_>>()
                .split_last()
                .map(|(last, before)| (*last, before.to_vec()))?;
            let ascends = before.windows(2).all(|pair| pair[0] < pair[1]);
            let is_whole = last.is_none() && before.iter().all(Option::is_some) && ascends;
            let is_ours = document.format == FORMAT && document.lineage == lineage;
            (is_whole && is_ours).then_some(Ledger {
                parts: document.parts,
                noted_at: document.noted_at,
            })
        };
        read().unwrap_or_default()
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// What the file system says; the old file stays then.
    pub fn save(&self, state: &Path, tier: &TierName, lineage: &str) -> Result<(), AuditError> {
        let path = place(state, tier);
        let failed = AuditError::io(&path);
        let folder = path.parent().expect("it was just joined");
        fs::create_dir_all(folder).map_err(&failed)?;
        let document = Document {
            format: FORMAT,
            lineage: lineage.to_owned(),
            noted_at: self.noted_at,
            parts: self.parts.clone(),
        };
        let bytes = serde_json::to_vec(&document).expect("a plain record always serialises");
        replace_file(&path, |file| file.write_all(&bytes)).map_err(&failed)
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Every part was read back then or later; `None` while some never was.
    pub fn oldest(&self) -> Option<i64> {
        let times = self.parts.iter().map(|part| part.read_at);
        times.min().flatten()
    }

    /// When something was read back last.
    pub fn newest(&self) -> Option<i64> {
        self.noted_at
    }

    /// Where the first part begins that was read longest ago: the key before it.
    pub fn longest_ago(&self) -> Option<&str> {
        let oldest = self.parts.iter().map(|part| part.read_at).min()?;
        let first = self.parts.iter().position(|part| part.read_at == oldest)?;
        let before = self.parts.get(first.checked_sub(1)?)?;
        before.upto.as_deref()
    }

    /// Notes that the keys behind `after`, up to and with `upto` (or to the end), were read back now.
    pub fn note(&mut self, after: Option<&str>, upto: Option<&str>, now: i64) {
        let mut parts = Vec::with_capacity(self.parts.len() + 2);
        let mut begin: Option<String> = None;
        let mut is_noted = false;
        for part in std::mem::take(&mut self.parts) {
            let end = part.upto.clone();
            // What of this part lies before the stretch stays as it is.
            let is_before = |key: &Option<String>| {
                key.as_deref()
                    .zip(after)
                    .is_some_and(|(key, after)| key <= after)
            };
            if is_before(&end) {
                begin.clone_from(&end);
                parts.push(part);
                continue;
            }
            if let Some(after) = after
                && begin.as_deref().is_none_or(|begin| begin < after)
            {
                parts.push(Part {
                    upto: Some(after.to_owned()),
                    read_at: part.read_at,
                });
            }
            if !is_noted {
                parts.push(Part {
                    upto: upto.map(str::to_owned),
                    read_at: Some(now),
                });
                is_noted = true;
            }
            // And so does what lies behind it.
            let is_behind = match (&end, upto) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(end), Some(upto)) => end.as_str() > upto,
            };
            if is_behind {
                parts.push(part);
            }
            begin = end;
        }
        self.parts = joined(parts);
        self.noted_at = Some(now);
    }
}

/// Neighbours that were read at about the same time are one part.
fn joined(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::with_capacity(parts.len());
    for part in parts {
        match joined.last_mut() {
            Some(last) if is_same_time(last.read_at, part.read_at) => {
                last.read_at = last.read_at.min(part.read_at);
                last.upto = part.upto;
            }
            _ => joined.push(part),
        }
    }
    joined
}

fn is_same_time(a: Option<i64>, b: Option<i64>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => a.abs_diff(b) < SAME_TIME_S.unsigned_abs(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ledger: &Ledger, key: &str) -> Option<i64> {
        let part = ledger
            .parts
            .iter()
            .find(|part| part.upto.as_deref().is_none_or(|upto| key <= upto));
        part.unwrap().read_at
    }

    proptest! {
        #[test]
        fn each_key_has_the_time_of_the_last_look_at_it(
            looks in proptest::collection::vec((0_u8..10, 0_u8..12), 0..20),
        ) {
            // The oracle is a list of keys. Looks are a day apart, so that none are joined.
            let keys: Vec<String> = (0..10_u8).map(|n| char::from(b'a' + n).to_string()).collect();
            let mut ledger = Ledger::default();
            let mut oracle: Vec<Option<i64>> = vec![None; keys.len()];
            for (number, (begin, length)) in looks.into_iter().enumerate() {
                let now = number as i64 * 86_400;
                let (begin, end) = (usize::from(begin), usize::from(begin) + usize::from(length));
                let after = begin.checked_sub(1).map(|before| keys[before].as_str());
                // Up to the key before `end`, or to the end of all; a stretch of nothing is none.
                if length == 0 {
                    continue;
                }
                let upto = keys.get(end - 1).map(String::as_str);
                ledger.note(after, upto, now);
                for time in oracle.iter_mut().take(end).skip(begin) {
                    *time = Some(now);
                }
                prop_assert_eq!(ledger.parts.last().unwrap().upto.as_deref(), None);
            }
            let found: Vec<Option<i64>> = keys.iter().map(|key| at(&ledger, key)).collect();
            prop_assert_eq!(&found, &oracle);
            let ends: Vec<_> = ledger.parts.iter().map(|part| part.upto.clone()).collect();
            let inner = &ends[..ends.len() - 1];
            prop_assert!(inner.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", ends);
        }
    }

    #[test]
    fn what_was_read_longest_ago_comes_next() {
        // Promise: never read comes before all else; then the oldest; and a file says the same as it was.
        let mut ledger = Ledger::default();
        assert_eq!((ledger.longest_ago(), ledger.oldest()), (None, None));
        ledger.note(None, Some("h"), 1_000_000);
        assert_eq!(ledger.longest_ago(), Some("h"));
        ledger.note(Some("h"), None, 2_000_000);
        assert_eq!(
            (ledger.longest_ago(), ledger.oldest()),
            (None, Some(1_000_000))
        );
        ledger.note(None, Some("h"), 2_000_000);
        assert_eq!(ledger.parts().len(), 1, "of the same time");
        let dir = tempfile::tempdir().unwrap();
        let tier = TierName::parse("copy").unwrap();
        ledger.note(Some("b"), Some("c"), 3_000_000);
        ledger.save(dir.path(), &tier, "mirror").unwrap();
        assert_eq!(Ledger::open(dir.path(), &tier, "mirror"), ledger);
        assert_eq!(
            Ledger::open(dir.path(), &tier, "another"),
            Ledger::default()
        );
        fs::write(place(dir.path(), &tier), "{").unwrap();
        assert_eq!(Ledger::open(dir.path(), &tier, "mirror"), Ledger::default());
    }
}
