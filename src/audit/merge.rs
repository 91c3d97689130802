//! What should be in a tier, beside what its listing shows: a merge of two streams in key order, that holds one page of
//! the listing and gives out what has to be looked at. It reads the manifest only where the two differ.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::AuditError;
use super::expected::{Row, Rows};
use super::picked::Picked;
use crate::config::TierName;
use crate::delta;
use crate::manifest::{
    Doubt, Entry, EtagKind, Generation, Manifest, ManifestError, TierState, Verified,
};
use crate::site::{ObjectKey, PageUrl, Scheme};
use crate::tier::{ListPage, Listed, Stated};

/// What is given out at a time.
const BATCH: usize = 1000;

/// Numbers of objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub missing: u64,
    pub corrupt: u64,
    pub foreign: u64,
    pub stale: u64,
    pub wrong_headers: u64,
    /// Parts of the tier's checkpoints that are not as they were written.
    pub checkpoint: u64,
    /// Not as they should be, and known to be: the tier owes them.
    pub owed: u64,
    /// Not as they should be, since they changed after the tier's watermark.
    pub behind: u64,
    /// The listing and a second look differ: they were written or deleted while the listing was read.
    pub changed_meanwhile: u64,
    /// Nothing was recorded that a listing could be compared with but their size.
    pub by_size_alone: u64,
    /// They could not be looked at.
    pub unseen: u64,
    /// Of those asked for: with the headers that they were adopted with.
    pub as_found: u64,
}

impl Counts {
    /// Findings of all classes.
    pub fn findings(&self) -> u64 {
        self.contradictions() + self.foreign + self.checkpoint
    }

    /// Those that contradict what the manifest says of the tier's objects.
    pub fn contradictions(&self) -> u64 {
        self.missing + self.corrupt + self.stale + self.wrong_headers
    }

    /// Differences that are known.
    pub fn known(&self) -> u64 {
        self.owed + self.behind
    }
}

/// What is known of a tier, for everybody who looks at one of its objects.
pub(super) struct Facts {
    pub manifest: Arc<Manifest>,
    pub name: TierName,
    pub watermark: Generation,
    pub verified: Option<Verified>,
    etag: EtagKind,
    /// Some objects have an ETag that is not their blob's.
    has_own_etags: bool,
    /// Some URL is not the primary one of its key.
    keys_are_shared: bool,
    owes: bool,
    /// A plan was begun and has not ended: whatever changed after the watermark may be there or not.
    in_doubt: bool,
    schemes: HashMap<String, Scheme>,
}

/// How an object compares with what should be there.
enum Compared {
    Right,
    /// Nothing but its size was recorded.
    BySizeAlone,
    Wrong(String),
}

/// Whether a difference is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Settled,
    Owed,
    Behind,
}

impl Facts {
    pub fn of(
        manifest: &Arc<Manifest>,
        name: &TierName,
        state: &TierState,
    ) -> Result<Facts, ManifestError> {
        Ok(Facts {
            name: name.clone(),
            watermark: state.watermark,
            verified: state.verified,
            etag: state.etag,
            has_own_etags: manifest.has_etags_in_tier(name)?,
            keys_are_shared: manifest.has_aliases()?,
            owes: manifest.debts(name).next().transpose()?.is_some(),
            in_doubt: manifest.intent(name)?.is_some(),
            schemes: schemes_of(manifest),
            manifest: Arc::clone(manifest),
        })
    }

    /// The identity scheme of a key's host; `https` where the manifest knows none.
    pub fn scheme_of(&self, key: &str) -> Scheme {
        let host = key.split('/').next().unwrap_or_default();
        self.schemes.get(host).copied().unwrap_or(Scheme::Https)
    }

    /// The ETag that a listing should show; `None` where nothing was recorded.
    pub fn etag_of(&self, row: &Row) -> Result<Option<String>, ManifestError> {
        if self.etag == EtagKind::Content {
            return Ok(Some(row.content.to_string()));
        }
        if self.has_own_etags {
            let key = key_of(&row.key);
            if let Some(own) = self.manifest.etag_in_tier(&self.name, &key)? {
                return Ok(Some(own));
            }
        }
        let of_blob = row.md5_etag.clone();
        Ok(of_blob.filter(|_| self.etag == EtagKind::Md5))
    }

    /// What is wrong with an object, going by what the service states of it; `None` where nothing is.
    pub fn fault(
        &self,
        row: &Row,
        size: u64,
        etag: &str,
        stated: &Stated,
    ) -> Result<Option<String>, ManifestError> {
        Ok(match self.compared(row, size, etag, stated)? {
            Compared::Right | Compared::BySizeAlone => None,
            Compared::Wrong(why) => Some(why),
        })
    }

    /// An object beside what should be there, going by what the service states of it.
    fn compared(
        &self,
        row: &Row,
        size: u64,
        etag: &str,
        stated: &Stated,
    ) -> Result<Compared, ManifestError> {
        let wrong = |why: &str| Ok(Compared::Wrong(why.to_owned()));
        if size != row.size {
            return wrong(&format!("{size} bytes in the place of {}", row.size));
        }
        if etag.is_empty() {
            return wrong("there is no record of what it is beside it");
        }
        if stated.content.is_some_and(|content| content != row.content) {
            return wrong("its BLAKE3 is another one");
        }
        if stated.crc32c.is_some_and(|crc32c| crc32c != row.crc32c) {
            return wrong("its CRC32C is another one");
        }
        match self.etag_of(row)? {
            Some(expected) if expected != etag => {
                wrong("its ETag is not the one that was recorded")
            }
            None if stated.content.is_none() && stated.crc32c.is_none() => {
                Ok(Compared::BySizeAlone)
            }
            _ => Ok(Compared::Right),
        }
    }

    /// Whether a difference on the key of a live page is news.
    pub fn standing(&self, row: &Row) -> Result<Standing, ManifestError> {
        if !self.keys_are_shared && row.changed <= self.watermark {
            let url = url_of(&row.url);
            return match self.owes && self.manifest.debt(&self.name, &url)?.is_some() {
                true => Ok(Standing::Owed),
                false => Ok(Standing::Settled),
            };
        }
        let key = key_of(&row.key);
        self.standing_of(&self.manifest.on_key(&key, self.scheme_of(&row.key))?)
    }

    /// As [`Facts::standing`], for all that is recorded on a key.
    pub fn standing_of(&self, group: &[(PageUrl, Entry)]) -> Result<Standing, ManifestError> {
        let has_changed = |(_, entry): &(PageUrl, Entry)| entry.changed > self.watermark;
        if group.iter().any(has_changed) && self.is_planned(group)? {
            return Ok(Standing::Behind);
        }
        for (url, _) in group {
            if self.owes && self.manifest.debt(&self.name, url)?.is_some() {
                return Ok(Standing::Owed);
            }
        }
        Ok(Standing::Settled)
    }

    /// Whether the tier's next plan has an operation on the key of these pages. A page that has changed and changed back
    /// has none: nobody will write it, so it must be right as it is.
    fn is_planned(&self, group: &[(PageUrl, Entry)]) -> Result<bool, ManifestError> {
        if self.in_doubt || self.watermark == Generation::NONE {
            return Ok(true);
        }
        let mut rows = Vec::with_capacity(group.len());
        for (url, entry) in group {
            rows.push(delta::Row {
                url: url.clone(),
                before: self.at_watermark(url, entry)?,
                after: Some(entry.clone()),
                doubt: Doubt::None,
            });
        }
        // Of the rows of one key the first in URL order decides for all.
        rows.sort_by(|a, b| b.url.cmp(&a.url));
        let Some(first) = rows.pop() else {
            return Ok(false);
        };
        let siblings = rows.into_iter().map(|row| delta::Sibling {
            row,
            in_delta: true,
        });
        let planned = delta::operation(self.manifest.layout(), first, |_| {
            Ok::<_, ManifestError>(siblings.collect())
        });
        Ok(planned?.is_some())
    }

    /// A page as it was at the tier's watermark; `None` where it was not there, or nobody knows any more.
    fn at_watermark(&self, url: &PageUrl, entry: &Entry) -> Result<Option<Entry>, ManifestError> {
        if entry.changed <= self.watermark {
            return Ok(Some(entry.clone()));
        }
        for change in self.manifest.changes_of(url) {
            match change?.1.before {
                Some(before) if before.changed > self.watermark => (),
                before => return Ok(before),
            }
        }
        Ok(None)
    }
}

fn schemes_of(manifest: &Manifest) -> HashMap<String, Scheme> {
    let identity = manifest.about().identity.into_iter();
    let known = identity.filter_map(|(authority, scheme)| {
        let home = PageUrl::parse(&format!("{}://{authority}/", scheme.as_str())).ok()?;
        let key = manifest.layout().place(&home).key;
        let host = key.as_str().split('/').next()?.to_owned();
        Some((host, scheme))
    });
    known.collect()
}

/// The key in a row.
pub(super) fn key_of(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a row holds a key that a layout has made")
}

/// The URL in a row.
pub(super) fn url_of(text: &str) -> PageUrl {
    PageUrl::recorded(text).expect("a row holds a URL that the manifest had recorded")
}

/// What has to be looked at.
#[derive(Debug)]
pub(super) enum Item {
    /// `reads`: it is one of those to be read back.
    Missing { row: Row, reads: bool },
    Differs {
        row: Row,
        listed: Listed,
        why: String,
        reads: bool,
    },
    /// As it should be by the listing; picked to be looked at more closely.
    Matches {
        row: Row,
        listed: Listed,
        reads: bool,
        heads: bool,
    },
    /// Nothing should be there.
    Unexpected(Listed),
    /// A name that is no key.
    Odd(String),
}

/// A stretch of the listing.
pub(super) struct Portion {
    objects: VecDeque<Listed>,
    odd: Vec<String>,
    /// The last raw key that the stretch covers; `None` at the end of the listing.
    upto: Option<String>,
}

impl Portion {
    /// `after` is where the page was asked to begin.
    pub fn of(page: ListPage, after: Option<&str>, tier: &TierName) -> Result<Portion, AuditError> {
        let mut last = after;
        for listed in &page.objects {
            let key = listed.key.as_str();
            if last.is_some_and(|last| key <= last) {
                return Err(AuditError::Listing {
                    tier: tier.clone(),
                    why: format!("it shows {key} where it has been already"),
                });
            }
            last = Some(key);
        }
        Ok(Portion {
            upto: page.last.filter(|_| page.more),
            objects: page.objects.into(),
            odd: page.odd,
        })
    }

    fn covers(&self, row: &Row) -> bool {
        self.upto.as_ref().is_none_or(|upto| row.key <= *upto)
    }
}

/// What of an object is to be looked at more closely.
#[derive(Clone, Copy)]
struct Picks {
    reads: bool,
    heads: bool,
}

/// One tier's way along the rows.
pub(super) struct Merge {
    pub rows: Rows,
    pub reads: Picked,
    pub heads: Picked,
    pub counts: Counts,
    /// Rows passed.
    pub checked: u64,
}

impl Merge {
    /// Passes what an earlier process has seen: everything up to that raw key.
    pub fn skip(&mut self, upto: &str) -> Result<(), AuditError> {
        while self.rows.peek().is_some_and(|row| row.key.as_str() <= upto) {
            self.rows.next()?;
            self.reads.next();
            self.heads.next();
        }
        Ok(())
    }

    /// The next things to be looked at. When there are fewer than a batch, the portion is done with.
    pub fn step(
        &mut self,
        facts: &Facts,
        portion: &mut Portion,
    ) -> Result<(Vec<Item>, bool), AuditError> {
        let mut items: Vec<Item> = portion.odd.drain(..).map(Item::Odd).collect();
        while items.len() < BATCH {
            let row = self.rows.peek().filter(|row| portion.covers(row));
            let order = match (row, portion.objects.front()) {
                (None, None) => return Ok((items, true)),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(row), Some(listed)) => row.key.as_str().cmp(listed.key.as_str()),
            };
            let listed = match order {
                Ordering::Less => None,
                Ordering::Equal | Ordering::Greater => portion.objects.pop_front(),
            };
            let item = match (order, listed) {
                (Ordering::Greater, Some(listed)) => Some(Item::Unexpected(listed)),
                (_, listed) => self.pass(facts, listed)?,
            };
            items.extend(item);
        }
        Ok((items, false))
    }

    /// Passes a row, with the object that the listing shows on its key.
    fn pass(&mut self, facts: &Facts, listed: Option<Listed>) -> Result<Option<Item>, AuditError> {
        let row = self.rows.next()?.expect("it was peeked at");
        let (reads, heads) = (self.reads.next(), self.heads.next());
        self.checked += 1;
        if row.changed > facts.watermark {
            // Whatever lies there, nobody has said yet that it is this; unless nothing is to be done about it.
            let known = match facts.standing(&row)? {
                Standing::Behind => Some(&mut self.counts.behind),
                Standing::Owed => Some(&mut self.counts.owed),
                Standing::Settled => None,
            };
            if let Some(count) = known {
                *count += 1;
                return Ok(None);
            }
        }
        self.compare(facts, row, listed, Picks { reads, heads })
    }

    /// Compares a row with the object that the listing shows on its key.
    fn compare(
        &mut self,
        facts: &Facts,
        row: Row,
        listed: Option<Listed>,
        picks: Picks,
    ) -> Result<Option<Item>, AuditError> {
        let Picks { reads, heads } = picks;
        let Some(listed) = listed else {
            return self.differ(facts, Item::Missing { row, reads });
        };
        match facts.compared(&row, listed.size, &listed.etag, &listed.stated)? {
            Compared::Right => (),
            Compared::BySizeAlone => self.counts.by_size_alone += 1,
            Compared::Wrong(why) => {
                let item = Item::Differs {
                    row,
                    listed,
                    why,
                    reads,
                };
                return self.differ(facts, item);
            }
        }
        Ok((reads || heads).then_some(Item::Matches {
            row,
            listed,
            reads,
            heads,
        }))
    }

    /// A difference, unless it is known.
    fn differ(&mut self, facts: &Facts, item: Item) -> Result<Option<Item>, AuditError> {
        let (Item::Missing { row, .. } | Item::Differs { row, .. }) = &item else {
            return Ok(Some(item));
        };
        match facts.standing(row)? {
            Standing::Owed => self.counts.owed += 1,
            Standing::Behind => self.counts.behind += 1,
            Standing::Settled => return Ok(Some(item)),
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::audit::expected::{self, Etags};
    use crate::audit::picked::Share;
    use crate::content::{ContentHash, KeptHeaders};
    use crate::db::Fuse;
    use crate::manifest::{Evidence, Outcome, Page, RunId, Staged};
    use crate::site::{Layout, LayoutName};

    /// Two URLs lie on one of the keys; one is not in the order of the others.
    const PATHS: [&str; 8] = ["/", "/a", "/a?q", "/b", "/x/", "/x/index.html", "/x0", "/z"];

    fn sample(dir: &std::path::Path) -> Arc<Manifest> {
        let layout = Layout::new(LayoutName::Plain, []);
        let manifest = Manifest::open(dir, &layout, Fuse::none()).unwrap();
        let staged = PATHS.map(|path| {
            let content = ContentHash::of(path.as_bytes());
            let outcome = Outcome::Page(Page {
                status: 200,
                content,
                canonical: content,
                rules: 0,
                crc32c: 0,
                size: path.len() as u64,
                headers: KeptHeaders::default(),
                etag: None,
                last_modified: None,
            });
            let staged = Staged::Outcome {
                outcome,
                located: None,
                fetched: 7,
            };
            Ok((url_of(&format!("https://h.test{path}")), staged))
        });
        let run = RunId("run".into());
        let committed = manifest.commit(&run, 7, Evidence::Whole, staged.into_iter());
        committed.unwrap();
        Arc::new(manifest)
    }

    #[test]
    fn a_merge_finds_what_two_maps_differ_in() {
        // Promise: whatever is listed, in pages of whatever size, what is missing, what differs and what nobody expects is
        // exactly what a comparison of two maps finds, and each key is looked at once.
        let dir = tempfile::tempdir().unwrap();
        let manifest = sample(dir.path());
        let made = expected::make(&manifest, dir.path(), Etags::OfBlobs).unwrap();
        assert_eq!(made.rows, 7);
        let mut rows = Rows::open(dir.path()).unwrap();
        let mut expected = BTreeMap::new();
        while let Some(row) = rows.next().unwrap() {
            expected.insert(row.key, row.size);
        }
        let state = TierState {
            watermark: Generation(1),
            ..TierState::default()
        };
        let name = TierName::parse("copy").unwrap();
        let facts = Facts::of(&manifest, &name, &state).unwrap();
        let keys: Vec<String> = expected.keys().cloned().collect();
        let strategy = (
            proptest::collection::vec(0_u8..4, keys.len()),
            proptest::collection::btree_set("h\\.test/[a-z]{1,2}", 0..4),
            1_usize..5,
        );
        let check =
            |(kinds, others, size): (Vec<u8>, std::collections::BTreeSet<String>, usize)| {
                let mut listed: BTreeMap<String, u64> = BTreeMap::new();
                listed.extend(others.into_iter().map(|key| (key, 99)));
                for (key, kind) in keys.iter().zip(kinds) {
                    match kind {
                        0 => listed.remove(key),
                        1 => listed.insert(key.clone(), 77),
                        _ => listed.insert(key.clone(), expected[key]),
                    };
                }
                let found = merged(dir.path(), &facts, &listed, size);
                let mut wanted = BTreeMap::new();
                for key in expected.keys().chain(listed.keys()) {
                    let what = match (expected.get(key), listed.get(key)) {
                        (Some(_), None) => "missing",
                        (Some(size), Some(there)) if size != there => "differs",
                        (None, _) => "unexpected",
                        _ => continue,
                    };
                    wanted.insert(key.clone(), what);
                }
                prop_assert_eq!(found, wanted);
                Ok(())
            };
        TestRunner::default().run(&strategy, check).unwrap();
    }

    /// What a merge of the rows with these objects gives out, listed in pages of this size.
    fn merged(
        dir: &std::path::Path,
        facts: &Facts,
        listed: &BTreeMap<String, u64>,
        size: usize,
    ) -> BTreeMap<String, &'static str> {
        let mut merge = Merge {
            rows: Rows::open(dir).unwrap(),
            reads: Picked::among(7, Share::None, 1),
            heads: Picked::among(7, Share::None, 1),
            counts: Counts::default(),
            checked: 0,
        };
        let all: Vec<Listed> = listed
            .iter()
            .map(|(key, size)| Listed {
                key: key_of(key),
                size: *size,
                etag: "e".into(),
                stated: Stated::default(),
            })
            .collect();
        let mut pages: Vec<Vec<Listed>> = all.chunks(size).map(<[_]>::to_vec).collect();
        if pages.is_empty() {
            pages.push(Vec::new());
        }
        let mut found = BTreeMap::new();
        let (count, mut after) = (pages.len(), None);
        for (number, objects) in pages.into_iter().enumerate() {
            let page = ListPage {
                last: objects.last().map(|listed| listed.key.to_string()),
                more: number + 1 < count,
                objects,
                ..ListPage::default()
            };
            let last = page.last.clone();
            let mut portion = Portion::of(page, after.as_deref(), &facts.name).unwrap();
            let (items, is_done) = merge.step(facts, &mut portion).unwrap();
            assert!(is_done);
            for item in items {
                let (key, what) = match item {
                    Item::Missing { row, .. } => (row.key, "missing"),
                    Item::Differs { row, .. } => (row.key, "differs"),
                    Item::Unexpected(listed) => (listed.key.to_string(), "unexpected"),
                    other => panic!("{other:?}"),
                };
                assert_eq!(found.insert(key, what), None, "each once");
            }
            after = last;
        }
        assert_eq!(merge.checked, 7);
        found
    }

    #[test]
    fn a_listing_that_is_not_in_order_is_refused_by_name() {
        // Promise: what cannot be merged is not half compared. In order, and behind where it was asked to begin, or not.
        let listed = |key: &str| Listed {
            key: key_of(key),
            size: 1,
            etag: "e".into(),
            stated: Stated::default(),
        };
        let tier = TierName::parse("primary").unwrap();
        let table = [
            (None, &["h/a", "h/b"][..], true),
            (Some("h/a"), &["h/b"], true),
            (Some("h/b"), &["h/b"], false),
            (None, &["h/b", "h/a"], false),
            (None, &["h/a", "h/a"], false),
        ];
        for (after, keys, is_right) in table {
            let page = ListPage {
                objects: keys.iter().map(|key| listed(key)).collect(),
                ..ListPage::default()
            };
            let portion = Portion::of(page, after, &tier);
            assert_eq!(portion.is_ok(), is_right, "{after:?} {keys:?}");
            if let Err(error) = portion {
                let text = error.to_string();
                assert!(
                    text.contains("tier primary: its listing is not in the order"),
                    "{text}"
                );
            }
        }
    }
}
