//! One row of a delta to at most one operation.

use super::object::Object;
use super::reason::Reason;
use crate::content::ContentHash;
use crate::manifest::{Doubt, Entry};
use crate::site::{Layout, ObjectKey, PageUrl};

/// A URL at a tier's watermark and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub url: PageUrl,
    pub before: Option<Entry>,
    pub after: Option<Entry>,
    /// Why the tier may hold something else than `before`, if so; then nothing counts as done already.
    pub doubt: Doubt,
}

/// Another URL on the same key. `in_delta` when the tier's delta has a row of its own for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sibling {
    pub row: Row,
    pub in_delta: bool,
}

/// What must be done to one object of one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Send body and metadata.
    Put { key: ObjectKey, object: Object },
    /// Make it inside the tier from the object under `from`, whose body is the same and which this plan
    /// leaves alone until its deletes.
    Copy {
        from: ObjectKey,
        key: ObjectKey,
        object: Object,
    },
    /// The body is right, the metadata is not.
    Reheader { key: ObjectKey, object: Object },
    /// `url` is the page that was there.
    Delete { key: ObjectKey, url: PageUrl },
}

/// The order in which a plan is carried out: assets before the pages that use them, deletes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Assets,
    Pages,
    Deletes,
}

impl Phase {
    /// In order.
    pub const ALL: [Phase; 3] = [Phase::Assets, Phase::Pages, Phase::Deletes];
}

impl Operation {
    /// The object concerned.
    pub fn key(&self) -> &ObjectKey {
        match self {
            Operation::Put { key, .. }
            | Operation::Copy { key, .. }
            | Operation::Reheader { key, .. }
            | Operation::Delete { key, .. } => key,
        }
    }

    /// The page concerned.
    pub fn url(&self) -> &PageUrl {
        match self {
            Operation::Put { object, .. }
            | Operation::Copy { object, .. }
            | Operation::Reheader { object, .. } => &object.meta.url,
            Operation::Delete { url, .. } => url,
        }
    }

    /// The object to be there afterwards.
    pub fn object(&self) -> Option<&Object> {
        match self {
            Operation::Put { object, .. }
            | Operation::Copy { object, .. }
            | Operation::Reheader { object, .. } => Some(object),
            Operation::Delete { .. } => None,
        }
    }

    /// A put turned into a copy, if `source` finds an object with that content which the tier holds
    /// already and nothing of the plan touches before its deletes.
    ///
    /// # Errors
    /// Only what `source` says.
    pub fn spared<E>(
        self,
        source: impl FnOnce(&ContentHash, u64) -> Result<Option<ObjectKey>, E>,
    ) -> Result<Operation, E> {
        let Operation::Put { key, object } = self else {
            return Ok(self);
        };
        Ok(match source(&object.meta.content, object.meta.size)? {
            Some(from) if from != key => Operation::Copy { from, key, object },
            _ => Operation::Put { key, object },
        })
    }

    /// When its turn comes.
    pub fn phase(&self) -> Phase {
        match self.object() {
            None => Phase::Deletes,
            Some(object) if object.is_asset() => Phase::Assets,
            Some(_) => Phase::Pages,
        }
    }
}

/// The operation that a row asks for, and why. `siblings` finds the other URLs on its key; of the rows of one
/// key, the first in URL order decides for all.
///
/// # Errors
/// Only what `siblings` says.
pub fn operation<E>(
    layout: &Layout,
    row: Row,
    siblings: impl FnOnce(&ObjectKey) -> Result<Vec<Sibling>, E>,
) -> Result<Option<(Operation, Reason)>, E> {
    let key = layout.place(&row.url).key;
    let siblings = siblings(&key)?;
    let decides = |other: &Sibling| other.in_delta && other.row.url < row.url;
    if siblings.iter().any(decides) {
        return Ok(None);
    }
    let mut group: Vec<Row> = siblings.into_iter().map(|sibling| sibling.row).collect();
    group.push(row);
    Ok(decide(key, &group))
}

fn decide(key: ObjectKey, group: &[Row]) -> Option<(Operation, Reason)> {
    let old = winner(group, |row| row.before.as_ref());
    let new = winner(group, |row| row.after.as_ref());
    let url = |object: &Option<Object>| object.as_ref().map(|object| object.meta.url.clone());
    let was = url(&old);
    let doubt = group.iter().any(|row| row.doubt != Doubt::None);
    let operation = match (old, new) {
        (None, None) if !doubt => None,
        (Some(old), None) => Some(Operation::Delete {
            key,
            url: old.meta.url,
        }),
        (None, None) => Some(Operation::Delete {
            key,
            url: group[group.len() - 1].url.clone(),
        }),
        (Some(old), Some(new)) if !doubt && old.meta.content == new.meta.content => {
            let is_served = old.fingerprint() == new.fingerprint();
            (!is_served).then_some(Operation::Reheader { key, object: new })
        }
        (_, Some(new)) => Some(Operation::Put { key, object: new }),
    }?;
    let is = operation.object().map(|object| &object.meta.url);
    let reason = Reason::of(group, was.as_ref(), is);
    Some((operation, reason))
}

/// The object that belongs on the key, of those that `side` shows: the canonical URL's.
fn winner<'a>(group: &'a [Row], side: impl Fn(&'a Row) -> Option<&'a Entry>) -> Option<Object> {
    let live = group.iter().filter_map(|row| {
        let entry = side(row).filter(|entry| entry.outcome.is_live())?;
        Some((&row.url, entry))
    });
    let best = live.reduce(|a, b| if Layout::outranks(b.0, a.0) { b } else { a })?;
    Object::of(best.0, best.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::KeptHeaders;
    use crate::manifest::{Generation, Gone, Outcome, Page};
    use crate::site::LayoutName;
    use std::convert::Infallible;

    fn url(path: &str) -> PageUrl {
        PageUrl::parse(&format!("https://h.test{path}")).unwrap()
    }

    fn entry(outcome: Outcome) -> Option<Entry> {
        Some(Entry {
            outcome,
            changed: Generation(2),
            first: Generation(1),
            fetched: None,
        })
    }

    fn page(body: &str, kind: &str) -> Option<Entry> {
        let content = ContentHash::of(body.as_bytes());
        let headers = KeptHeaders::keep(std::iter::once(("content-type", kind.as_bytes())));
        entry(Outcome::Page(Page {
            status: 200,
            content,
            canonical: content,
            rules: 0,
            crc32c: 0,
            size: body.len() as u64,
            headers,
            etag: None,
            last_modified: None,
        }))
    }

    fn row(path: &str, before: Option<Entry>, after: Option<Entry>) -> Row {
        Row {
            url: url(path),
            before,
            after,
            doubt: Doubt::None,
        }
    }

    fn plan(row: Row, siblings: Vec<Sibling>) -> Option<Operation> {
        let layout = Layout::new(LayoutName::Plain, []);
        let planned = operation(&layout, row, |_| Ok::<_, Infallible>(siblings)).unwrap();
        planned.map(|(operation, _)| operation)
    }

    fn name(operation: &Option<Operation>) -> &'static str {
        match operation {
            None => "nothing",
            Some(Operation::Put { .. }) => "put",
            Some(Operation::Copy { .. }) => "copy",
            Some(Operation::Reheader { .. }) => "reheader",
            Some(Operation::Delete { .. }) => "delete",
        }
    }

    #[test]
    fn every_pair_of_states_has_its_operation() {
        // Promise: the plan is exactly the difference; doubt makes it a write, never a skip.
        let gone = entry(Outcome::Gone(Gone { status: 410 }));
        let (a, b, a_other) = (
            page("a", "text/html"),
            page("b", "text/html"),
            page("a", "text/css"),
        );
        let table = [
            (None, a.clone(), "put", "put"),
            (a.clone(), b, "put", "put"),
            (a.clone(), a.clone(), "nothing", "put"),
            (a.clone(), a_other, "reheader", "put"),
            (a.clone(), gone.clone(), "delete", "delete"),
            (gone.clone(), a, "put", "put"),
            (gone.clone(), gone, "nothing", "delete"),
        ];
        for (before, after, sure, doubted) in table {
            let sure_row = row("/x", before.clone(), after.clone());
            let doubted_row = Row {
                doubt: Doubt::CutShort,
                ..sure_row.clone()
            };
            assert_eq!(name(&plan(sure_row, vec![])), sure, "{before:?} {after:?}");
            assert_eq!(
                name(&plan(doubted_row, vec![])),
                doubted,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn only_another_object_spares_a_put() {
        // Promise: a copy has a source of its own; nothing else ever becomes a copy.
        let elsewhere = ObjectKey::parse("h.test/y").unwrap();
        let put = |before| plan(row("/x", before, page("a", "text/css")), vec![]).unwrap();
        let found = |from: &ObjectKey| Ok::<_, Infallible>(Some(from.clone()));
        let copy = put(None).spared(|_, _| found(&elsewhere)).unwrap();
        assert_eq!(name(&Some(copy.clone())), "copy");
        assert_eq!(copy.phase(), Phase::Assets);
        let itself = put(None).key().clone();
        let same = put(None).spared(|_, _| found(&itself)).unwrap();
        assert_eq!(name(&Some(same)), "put");
        let none = put(None).spared(|_, _| Ok::<_, Infallible>(None)).unwrap();
        assert_eq!(name(&Some(none)), "put");
        let reheader = put(page("a", "text/html"));
        let reheader = reheader.spared(|_, _| found(&elsewhere)).unwrap();
        assert_eq!(name(&Some(reheader)), "reheader");
    }

    #[test]
    fn when_the_winner_of_a_key_goes_the_other_takes_its_place() {
        // Promise: two URLs on one key never leave it empty or wrong while one of them lives.
        let gone = entry(Outcome::Gone(Gone { status: 410 }));
        let (winner, other) = (page("w", "text/html"), page("o", "text/html"));
        let sibling = Sibling {
            row: row("/x/index.html", other.clone(), other),
            in_delta: false,
        };
        let operation = plan(row("/x/", winner, gone), vec![sibling]);
        let Some(Operation::Put { key, object }) = operation else {
            panic!("{operation:?}");
        };
        assert_eq!(key.as_str(), "h.test/x/index.html");
        assert_eq!(object.meta.url, url("/x/index.html"));
    }

    #[test]
    fn of_two_rows_on_one_key_only_the_first_acts() {
        // Promise: an alias group gets one operation, whichever of its URLs changed.
        let (old, new) = (page("1", "text/html"), page("2", "text/html"));
        let (first, second) = (
            row("/x/", old.clone(), new.clone()),
            row("/x/index.html", old, new),
        );
        let beside = |row: &Row| {
            vec![Sibling {
                row: row.clone(),
                in_delta: true,
            }]
        };
        assert_eq!(name(&plan(first.clone(), beside(&second))), "put");
        assert_eq!(name(&plan(second, beside(&first))), "nothing");
    }
}
