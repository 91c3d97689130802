//! Why an operation is planned: what became of the page, what the tier is not known to hold, and who else
//! wants the key. Pure, and no part of what is done: two plans with different reasons may be the same.

use serde::{Serialize, Serializer};

use super::plan::Row;
use crate::manifest::{Debt, Doubt, Entry, Gone, Outcome, is_served_by};
use crate::site::PageUrl;

/// All that there is to say about one operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// What became of the page that the object shows, or showed.
    pub cause: Cause,
    /// Why nothing counts as done already, if so.
    pub doubt: Doubt,
    /// The page that had the key until now, where it is another one.
    pub instead_of: Option<PageUrl>,
    /// Live pages on the same key that answer something else and are not served.
    pub wins_over: Vec<PageUrl>,
    /// True where the body is copied from a page that goes with this plan: it has moved.
    pub moved: bool,
}

/// What became of a page between the tier's watermark and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The mirror had never held it.
    New,
    /// It had been gone.
    Returned,
    Body,
    /// The names of those that differ.
    Headers(Vec<String>),
    Status {
        before: u16,
        after: u16,
    },
    /// Where a redirect leads.
    Target {
        before: String,
        after: String,
    },
    BecameRedirect {
        target: String,
    },
    BecamePage,
    /// It answered 404 or 410.
    Gone {
        status: u16,
    },
    /// Nothing has linked to it for long.
    Retired,
    /// Nothing: its turn on a key that another page has left, a debt, or doubt.
    Unchanged,
}

impl Cause {
    /// Between two states of one page; a page that is not live now is gone.
    pub fn between(before: Option<&Entry>, after: Option<&Entry>) -> Cause {
        match (live(before), live(after)) {
            (None, Some(_)) if before.is_some() => Cause::Returned,
            (None, Some(_)) => Cause::New,
            (Some(before), Some(after)) => Cause::of_live(before, after),
            (_, None) => Cause::of_gone(after),
        }
    }

    fn of_live(before: &Outcome, after: &Outcome) -> Cause {
        match (before, after) {
            (Outcome::Page(before), Outcome::Page(after)) => {
                if before.content != after.content {
                    return Cause::Body;
                }
                if before.status != after.status {
                    return Cause::Status {
                        before: before.status,
                        after: after.status,
                    };
                }
                let (old, new) = (&before.headers, &after.headers);
                let names = old.iter().chain(new.iter()).map(|(name, _)| name);
                let mut differ: Vec<String> = names
                    .filter(|name| old.all(name).ne(new.all(name)))
                    .map(str::to_owned)
                    .collect();
                differ.sort();
                differ.dedup();
                match differ.is_empty() {
                    true => Cause::Unchanged,
                    false => Cause::Headers(differ),
                }
            }
            (Outcome::Redirect(before), Outcome::Redirect(after)) => {
                if before.target != after.target {
                    return Cause::Target {
                        before: before.target.clone(),
                        after: after.target.clone(),
                    };
                }
                match before.status == after.status {
                    true => Cause::Unchanged,
                    false => Cause::Status {
                        before: before.status,
                        after: after.status,
                    },
                }
            }
            (_, Outcome::Redirect(redirect)) => Cause::BecameRedirect {
                target: redirect.target.clone(),
            },
            (_, _) => Cause::BecamePage,
        }
    }

    fn of_gone(after: Option<&Entry>) -> Cause {
        match after.map(|entry| &entry.outcome) {
            Some(Outcome::Gone(gone)) if gone.status == Gone::RETIRED => Cause::Retired,
            Some(Outcome::Gone(gone)) => Cause::Gone {
                status: gone.status,
            },
            _ => Cause::Unchanged,
        }
    }

    /// In one word, for machines; a promise like all names in reports.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::New => "new",
            Cause::Returned => "returned",
            Cause::Body => "body",
            Cause::Headers(_) => "headers",
            Cause::Status { .. } => "status",
            Cause::Target { .. } => "target",
            Cause::BecameRedirect { .. } => "became_redirect",
            Cause::BecamePage => "became_page",
            Cause::Gone { .. } => "gone",
            Cause::Retired => "retired",
            Cause::Unchanged => "unchanged",
        }
    }
}

impl Reason {
    /// Of an operation on the key of `group`, whose page was `old` and is to be `new`.
    pub(super) fn of(group: &[Row], old: Option<&PageUrl>, new: Option<&PageUrl>) -> Reason {
        let row_of = |url: &PageUrl| group.iter().find(|row| row.url == *url);
        let decisive = new.or(old).and_then(row_of);
        let decisive = decisive.or(group.last());
        let cause = decisive.map_or(Cause::Unchanged, |row| {
            Cause::between(row.before.as_ref(), row.after.as_ref())
        });
        let doubts = group.iter().map(|row| &row.doubt);
        // A debt says more than that a plan was cut short.
        let doubt = doubts.max_by_key(|doubt| match doubt {
            Doubt::None => 0,
            Doubt::CutShort => 1,
            Doubt::Owed(_) => 2,
        });
        Reason {
            cause,
            doubt: doubt.cloned().unwrap_or(Doubt::None),
            instead_of: old
                .filter(|old| new.is_some_and(|new| new != *old))
                .cloned(),
            wins_over: new.map_or_else(Vec::new, |new| losers(group, new)),
            moved: false,
        }
    }

    /// In one word: what is told first.
    pub fn word(&self) -> &'static str {
        match (&self.cause, &self.doubt, &self.instead_of) {
            (Cause::Unchanged, _, Some(_)) => "takes_over",
            (Cause::Unchanged, Doubt::Owed(_), _) => "owed",
            (Cause::Unchanged, Doubt::CutShort, _) => "in_doubt",
            (Cause::New, ..) if self.moved => "moved",
            (cause, ..) => cause.word(),
        }
    }

    /// The debt, if the tier owes the object.
    pub fn debt(&self) -> Option<&Debt> {
        match &self.doubt {
            Doubt::Owed(debt) => Some(debt),
            Doubt::None | Doubt::CutShort => None,
        }
    }
}

fn live(entry: Option<&Entry>) -> Option<&Outcome> {
    let outcome = entry.map(|entry| &entry.outcome);
    outcome.filter(|outcome| outcome.is_live())
}

/// Pages on the key that answer something else than the one that is served.
fn losers(group: &[Row], winner: &PageUrl) -> Vec<PageUrl> {
    if group.len() == 1 {
        return Vec::new();
    }
    let live_of = |row: &Row| live(row.after.as_ref()).cloned();
    let served = group.iter().find(|row| row.url == *winner);
    let Some(served) = served.and_then(live_of) else {
        return Vec::new();
    };
    let loses = |row: &&Row| {
        row.url != *winner
            && live(row.after.as_ref()).is_some_and(|asked| !is_served_by(winner, &served, asked))
    };
    let losers = group.iter().filter(loses);
    losers.map(|row| row.url.clone()).collect()
}

/// The fields that say why, beside those that say what.
impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("why", self.word())?;
        match &self.cause {
            Cause::Headers(names) => map.serialize_entry("headers", names)?,
            Cause::Target { before, after } => {
                map.serialize_entry("target_before", before)?;
                map.serialize_entry("target", after)?;
            }
            Cause::BecameRedirect { target } => map.serialize_entry("target", target)?,
            Cause::Status { before, after } => {
                map.serialize_entry("status_before", before)?;
                map.serialize_entry("status", after)?;
            }
            Cause::Gone { status } => map.serialize_entry("status", status)?,
            _ => (),
        }
        match &self.doubt {
            Doubt::None => (),
            Doubt::CutShort => map.serialize_entry("in_doubt", &true)?,
            Doubt::Owed(debt) => map.serialize_entry("owed", debt)?,
        }
        if let Some(url) = &self.instead_of {
            map.serialize_entry("instead_of", url)?;
        }
        if !self.wins_over.is_empty() {
            map.serialize_entry("wins_over", &self.wins_over)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::{ContentHash, KeptHeaders};
    use crate::manifest::{Generation, Page, Redirect};

    fn url(path: &str) -> PageUrl {
        PageUrl::parse(&format!("https://h.test{path}")).unwrap()
    }

    fn entry(outcome: Outcome) -> Entry {
        Entry {
            outcome,
            changed: Generation(2),
            first: Generation(1),
            fetched: None,
        }
    }

    fn page(body: &str, headers: &[(&str, &str)]) -> Entry {
        let content = ContentHash::of(body.as_bytes());
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        entry(Outcome::Page(Page {
            status: 200,
            content,
            canonical: content,
            rules: 0,
            crc32c: 0,
            size: body.len() as u64,
            headers: KeptHeaders::keep(headers),
            etag: None,
            last_modified: None,
        }))
    }

    fn redirect(status: u16, target: &str) -> Entry {
        let target = target.to_owned();
        entry(Outcome::Redirect(Redirect { status, target }))
    }

    fn gone(status: u16) -> Entry {
        entry(Outcome::Gone(Gone { status }))
    }

    #[test]
    fn every_change_of_a_page_has_its_name() {
        // Promise: what became of a page is told by what differs for a reader, the largest difference first.
        let html = ("content-type", "text/html");
        let a = page("a", &[html, ("cache-control", "no-cache")]);
        let retyped = page("a", &[("content-type", "text/plain")]);
        let table = [
            (None, Some(a.clone()), "new"),
            (Some(gone(410)), Some(a.clone()), "returned"),
            (Some(a.clone()), Some(page("b", &[])), "body"),
            (Some(a.clone()), Some(retyped.clone()), "headers"),
            (
                Some(a.clone()),
                Some(redirect(301, "/x")),
                "became_redirect",
            ),
            (Some(redirect(301, "/x")), Some(a.clone()), "became_page"),
            (
                Some(redirect(301, "/x")),
                Some(redirect(301, "/y")),
                "target",
            ),
            (
                Some(redirect(301, "/x")),
                Some(redirect(308, "/x")),
                "status",
            ),
            (Some(a.clone()), Some(gone(404)), "gone"),
            (Some(a.clone()), Some(gone(Gone::RETIRED)), "retired"),
            (Some(a.clone()), Some(a.clone()), "unchanged"),
        ];
        for (before, after, word) in table {
            let cause = Cause::between(before.as_ref(), after.as_ref());
            assert_eq!(cause.word(), word, "{before:?} {after:?}");
        }
        let names = Cause::between(Some(&a), Some(&retyped));
        let both = ["cache-control".to_owned(), "content-type".to_owned()];
        assert_eq!(names, Cause::Headers(both.to_vec()));
    }

    #[test]
    fn a_contested_key_says_who_wins_and_who_was_there() {
        // Promise: of the pages on one key the plan names those that are not served, and the one that gives way;
        // pages that answer the same are no losers.
        let row = |path: &str, before: Option<Entry>, after: Option<Entry>, doubt| Row {
            url: url(path),
            before,
            after,
            doubt,
        };
        let debt = Debt {
            reason: "503".into(),
            attempts: 2,
            since: Generation(3),
        };
        let (one, two) = (page("1", &[]), page("2", &[]));
        let group = [
            row("/x/", None, Some(one.clone()), Doubt::CutShort),
            row(
                "/x/index.html",
                Some(two.clone()),
                Some(two),
                Doubt::Owed(debt.clone()),
            ),
            row("/X/", Some(one.clone()), Some(one), Doubt::None),
        ];
        let (winner, other) = (url("/x/"), url("/x/index.html"));
        let reason = Reason::of(&group, Some(&other), Some(&winner));
        assert_eq!(reason.cause, Cause::New);
        assert_eq!(reason.instead_of.as_ref(), Some(&other));
        assert_eq!(reason.wins_over, [other]);
        assert_eq!(reason.debt(), Some(&debt), "a debt says more than doubt");
        let shown = serde_json::to_value(&reason).unwrap();
        assert_eq!(
            (&shown["why"], &shown["owed"]["since"]),
            (&"new".into(), &3.into())
        );
    }
}
