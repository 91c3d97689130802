//! What it takes to move a tier from one layout to another: every object under its new key, before any goes from its
//! old one.
//!
//! A new key may be another page's old one, so writes come in rounds: a key is written over only after what lay
//! there has been written elsewhere. Layouts only ever lengthen or shorten a name at its end, so that such chains
//! are short and end; one that does not is refused before anything is done.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::execute::is_confirmed;
use super::plan::{Planned, doubted};
use crate::config::TierName;
use crate::db::{Batch, Db, Fuse, remove_folder};
use crate::delta::{Object, Operation, Source};
use crate::manifest::{Entry, Filled, Generation, Manifest, ManifestError};
use crate::site::{Layout, ObjectKey, PageUrl};
use crate::tier::Prices;

/// Memory for clean pages of the scratch database.
const CACHE_BYTES: usize = 16 << 20;

/// Dirty records of it that are kept before a flush.
const UNFLUSHED_MAX: usize = 20_000;

/// Records gathered before they are written.
const BATCH: usize = 1000;

/// Rounds of writes. What the layouts of today ask for is three.
const ROUNDS_MAX: u32 = 8;

/// Collisions that are named; the rest is counted.
const COLLISIONS_NAMED_MAX: usize = 20;

/// What lies under a key by the old layout, in the scratch database: one byte, whether that is certain, and a URL.
const HELD: u8 = b'o';
/// Which page is to lie under a key by the new layout: a URL.
const WANTED: u8 = b'n';
/// New keys that an interrupted move may have written for pages that have changed since: a URL.
const LEFT: u8 = b'l';

/// All that moving one tier takes. `M` is a manifest, borrowed or shared.
pub struct Moves<M> {
    manifest: M,
    tier: TierName,
    from: Layout,
    to: Layout,
    watermark: Generation,
    doubted: Generation,
    owes: bool,
    is_resumed: bool,
    scratch: Scratch,
    /// The last round of writes.
    pub rounds: u32,
    pub collisions: Collisions,
}

/// Keys of the new layout that several live pages with different content would have.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Collisions {
    pub count: u64,
    /// The first: a key, the page that would be served, and one that would not.
    pub named: Vec<(ObjectKey, PageUrl, PageUrl)>,
}

/// What moving a tier comes to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub planned: Planned,
    /// Objects whose key stays, and that are right.
    pub unchanged: u64,
}

impl<M: Clone + Deref<Target = Manifest>> Moves<M> {
    /// Looks at every entry and at what the tier holds of it. Blocks; takes a scratch database beside the manifest,
    /// so that memory does not grow with the number of pages.
    ///
    /// # Errors
    /// What the database says; [`ManifestError::Layout`] for layouts between which nothing can be moved in place.
    pub fn new(
        manifest: M,
        tier: &TierName,
        filled: &Filled,
        to: &Layout,
    ) -> Result<Moves<M>, ManifestError> {
        let owes = manifest.debts(tier).next().transpose()?.is_some();
        let mut moves = Moves {
            tier: tier.clone(),
            from: filled.layout(),
            to: to.clone(),
            watermark: manifest.tier(tier)?.watermark,
            doubted: doubted(&manifest, tier)?,
            owes,
            is_resumed: filled.moving,
            scratch: Scratch::open(manifest.scratch(&format!("moving-{tier}")))?,
            rounds: 0,
            collisions: Collisions::default(),
            manifest,
        };
        moves.gather()?;
        moves.count_rounds()?;
        Ok(moves)
    }

    /// Counts what there is to do. `copies`: the tier can copy inside itself; else every move is a put.
    ///
    /// # Errors
    /// What the database says.
    pub fn cost(&self, prices: &Prices, copies: bool) -> Result<Cost, ManifestError> {
        let mut cost = Cost::default();
        for record in self.scratch.db.scan(&[WANTED]) {
            let (key, url) = key_and_url(record?)?;
            match self.operation(key, &url)? {
                None => cost.unchanged += 1,
                Some(operation) if self.is_done(&operation)? => cost.unchanged += 1,
                Some(Operation::Copy { key, object, .. }) if !copies => {
                    cost.planned.count(&Operation::Put { key, object }, prices);
                }
                Some(operation) => cost.planned.count(&operation, prices),
            }
        }
        for delete in self.deletes() {
            let delete = delete?;
            if !self.is_done(&delete)? {
                cost.planned.count(&delete, prices);
            }
        }
        Ok(cost)
    }

    /// Whether an interrupted move has recorded that an operation was acknowledged.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_done(&self, operation: &Operation) -> Result<bool, ManifestError> {
        Ok(self.is_resumed && is_confirmed(&self.manifest, &self.tier, operation)?)
    }

    /// The writes of one round, in key order; nothing for a page that has none in it, so that whoever walks through
    /// very many of those can let others have a turn.
    pub fn writes(
        &self,
        round: u32,
    ) -> impl Iterator<Item = Result<Option<Operation>, ManifestError>> + '_ {
        self.scratch.db.scan(&[WANTED]).map(move |record| {
            let (key, url) = key_and_url(record?)?;
            if self.round_of(&key, &url)? != round {
                return Ok(None);
            }
            self.operation(key, &url)
        })
    }

    /// What is to go when every write has been confirmed: old keys that are no page's any more.
    pub fn deletes(&self) -> impl Iterator<Item = Result<Operation, ManifestError>> + '_ {
        let held = self.scratch.db.scan(&[HELD]);
        let left = self.scratch.db.scan(&[LEFT]);
        held.chain(left).filter_map(move |record| {
            let step = || {
                let (key, url) = key_and_url(record?)?;
                let stays = self.scratch.get(WANTED, &key)?.is_some();
                Ok((!stays).then_some(Operation::Delete { key, url }))
            };
            step().transpose()
        })
    }

    /// Whether the page that lies under the key of a write is still owed under its own new key.
    ///
    /// # Errors
    /// What the database says.
    pub fn must_wait(&self, write: &Operation) -> Result<bool, ManifestError> {
        match self.to_move_away(write.key(), write.url())? {
            Some((_, occupant)) => self.is_owed(&occupant),
            None => Ok(false),
        }
    }

    /// Whether a page that is to be in the tier may not be there under its new key.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_owed(&self, url: &PageUrl) -> Result<bool, ManifestError> {
        if self.manifest.debt(&self.tier, url)?.is_none() {
            return Ok(false);
        }
        let entry = self.manifest.entry(url)?;
        Ok(entry.is_some_and(|entry| entry.outcome.is_live()))
    }

    fn gather(&mut self) -> Result<(), ManifestError> {
        let manifest = self.manifest.clone();
        for entry in manifest.entries(None) {
            let (url, entry) = entry?;
            let (before, sure) = self.before(&url, &entry)?;
            let is_held = before.is_some_and(|entry| entry.outcome.is_live());
            if is_held || !sure {
                let key = self.from.place(&url).key;
                self.scratch.hold(&key, &url, sure && is_held)?;
            }
            let key = self.to.place(&url).key;
            if self.is_resumed && entry.changed > self.watermark {
                self.scratch.put(LEFT, &key, &text_of(&url, true))?;
            }
            if entry.outcome.is_live() {
                self.want(key, url, &entry)?;
            }
        }
        self.scratch.write()
    }

    fn want(&mut self, key: ObjectKey, url: PageUrl, entry: &Entry) -> Result<(), ManifestError> {
        let Some(other) = self.scratch.get(WANTED, &key)? else {
            return self.scratch.put(WANTED, &key, &text_of(&url, true));
        };
        let (_, other) = url_of(&key, &other)?;
        let content = |entry: &Entry| Object::of(&url, entry).map(|object| object.meta.content);
        let differs = match self.manifest.entry(&other)? {
            Some(there) => content(&there) != content(entry),
            None => false,
        };
        let wins = Layout::outranks(&url, &other);
        if wins {
            self.scratch.put(WANTED, &key, &text_of(&url, true))?;
        }
        if differs {
            self.collisions.count += 1;
            if self.collisions.named.len() < COLLISIONS_NAMED_MAX {
                let (winner, loser) = if wins { (url, other) } else { (other, url) };
                self.collisions.named.push((key, winner, loser));
            }
        }
        Ok(())
    }

    /// A page as the tier has it, and whether that is certain: not owed, and not touched by a plan that did not end.
    fn before(&self, url: &PageUrl, entry: &Entry) -> Result<(Option<Entry>, bool), ManifestError> {
        let owed = self.owes && self.manifest.debt(&self.tier, url)?.is_some();
        if entry.changed <= self.watermark {
            return Ok((Some(entry.clone()), !owed));
        }
        let mut before = None;
        for change in self.manifest.changes_of(url) {
            let (generation, change) = change?;
            if generation <= self.watermark {
                break;
            }
            before = change.before;
        }
        let was_begun = self.doubted > Generation::NONE;
        Ok((before, !owed && !was_begun))
    }

    /// What puts the page under its new key; nothing where it lies there already.
    fn operation(&self, key: ObjectKey, url: &PageUrl) -> Result<Option<Operation>, ManifestError> {
        let Some(entry) = self.manifest.entry(url)? else {
            return Ok(None);
        };
        let Some(object) = Object::of(url, &entry) else {
            return Ok(None);
        };
        let from = self.from.place(url).key;
        let held = self.held_by(&from, url, &entry)?;
        Ok(match held {
            Some(held) if from == key && held.fingerprint() == object.fingerprint() => None,
            Some(held) if held.meta.content == object.meta.content => {
                Some(match (&object.source, from == key) {
                    (_, true) => Operation::Reheader { key, object },
                    (Source::Blob(_), false) => Operation::Copy { from, key, object },
                    (Source::Inline(_), false) => Operation::Put { key, object },
                })
            }
            _ => Some(Operation::Put { key, object }),
        })
    }

    /// The page's object as the tier certainly holds it under its old key.
    fn held_by(
        &self,
        from: &ObjectKey,
        url: &PageUrl,
        entry: &Entry,
    ) -> Result<Option<Object>, ManifestError> {
        let Some(there) = self.scratch.get(HELD, from)? else {
            return Ok(None);
        };
        let (sure, holder) = url_of(from, &there)?;
        if !sure || holder != *url {
            return Ok(None);
        }
        if self.scratch.get(LEFT, from)?.is_some() {
            // An interrupted move may have put another page there, which has changed or gone since.
            return Ok(None);
        }
        let (before, _) = self.before(url, entry)?;
        Ok(before.and_then(|before| Object::of(url, &before)))
    }

    fn count_rounds(&mut self) -> Result<(), ManifestError> {
        let mut rounds = 0;
        for record in self.scratch.db.scan(&[WANTED]) {
            let (key, url) = key_and_url(record?)?;
            rounds = rounds.max(self.round_of(&key, &url)?);
        }
        self.rounds = rounds;
        Ok(())
    }

    /// One more than the round in which what lies under the new key is moved away; 0 where nothing is.
    fn round_of(&self, key: &ObjectKey, url: &PageUrl) -> Result<u32, ManifestError> {
        let mut next = self.to_move_away(key, url)?;
        for round in 0..ROUNDS_MAX {
            let Some((key, url)) = next else {
                return Ok(round);
            };
            next = self.to_move_away(&key, &url)?;
        }
        Err(ManifestError::Layout {
            made: self.from.to_string(),
            configured: self.to.to_string(),
        })
    }

    /// The other page that lies under a key and is to lie elsewhere, with its new key.
    fn to_move_away(
        &self,
        key: &ObjectKey,
        url: &PageUrl,
    ) -> Result<Option<(ObjectKey, PageUrl)>, ManifestError> {
        let Some(there) = self.scratch.get(HELD, key)? else {
            return Ok(None);
        };
        let (_, occupant) = url_of(key, &there)?;
        let next = self.to.place(&occupant).key;
        if occupant == *url || next == *key {
            return Ok(None);
        }
        let wanted = match self.scratch.get(WANTED, &next)? {
            Some(wanted) => url_of(&next, &wanted)?.1 == occupant,
            None => false,
        };
        Ok(wanted.then_some((next, occupant)))
    }
}

/// Keys and the pages that have them, outside of memory. Worth nothing after a kill.
struct Scratch {
    db: Db,
    dir: PathBuf,
    /// Written, and not yet in the database.
    fresh: HashMap<Vec<u8>, Vec<u8>>,
}

impl Scratch {
    fn open(dir: PathBuf) -> Result<Scratch, ManifestError> {
        remove(&dir)?;
        Ok(Scratch {
            db: Db::open(&dir, CACHE_BYTES, Fuse::none())?,
            dir,
            fresh: HashMap::new(),
        })
    }

    fn get(&self, kind: u8, key: &ObjectKey) -> Result<Option<Vec<u8>>, ManifestError> {
        let record = [&[kind], key.as_str().as_bytes()].concat();
        match self.fresh.get(&record) {
            Some(there) => Ok(Some(there.clone())),
            None => Ok(self.db.get(&record)?),
        }
    }

    fn put(&mut self, kind: u8, key: &ObjectKey, value: &[u8]) -> Result<(), ManifestError> {
        let record = [&[kind], key.as_str().as_bytes()].concat();
        self.fresh.insert(record, value.to_vec());
        if self.fresh.len() >= BATCH {
            self.write()?;
        }
        Ok(())
    }

    /// Notes a page that lies, or may lie, under an old key: of several the canonical one, and certain only if all
    /// are.
    fn hold(&mut self, key: &ObjectKey, url: &PageUrl, sure: bool) -> Result<(), ManifestError> {
        let Some(there) = self.get(HELD, key)? else {
            return self.put(HELD, key, &text_of(url, sure));
        };
        let (was_sure, other) = url_of(key, &there)?;
        let holder = if Layout::outranks(url, &other) {
            url
        } else {
            &other
        };
        self.put(HELD, key, &text_of(holder, sure && was_sure))
    }

    fn write(&mut self) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        for (record, value) in self.fresh.drain() {
            batch.put(&record, &value);
        }
        self.db.apply(batch)?;
        if self.db.unflushed() >= UNFLUSHED_MAX {
            self.db.flush()?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next move; it is in nobody's way.
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

fn remove(dir: &Path) -> Result<(), ManifestError> {
    remove_folder(dir).map_err(|source| ManifestError::Io {
        path: dir.into(),
        source,
    })
}

fn text_of(url: &PageUrl, sure: bool) -> Vec<u8> {
    [&[u8::from(sure)], url.as_str().as_bytes()].concat()
}

fn url_of(key: &ObjectKey, value: &[u8]) -> Result<(bool, PageUrl), ManifestError> {
    let text = String::from_utf8_lossy(&value[1..]);
    let url = PageUrl::recorded(&text).map_err(|why| unreadable(key.as_str(), why.to_string()))?;
    Ok((value[0] == 1, url))
}

fn key_and_url((record, value): (Vec<u8>, Vec<u8>)) -> Result<(ObjectKey, PageUrl), ManifestError> {
    let text = String::from_utf8_lossy(&record[1..]);
    let key = ObjectKey::parse(&text).map_err(|why| unreadable(&text, why.to_string()))?;
    let (_, url) = url_of(&key, &value)?;
    Ok((key, url))
}

fn unreadable(key: &str, why: String) -> ManifestError {
    ManifestError::Record {
        key: key.to_owned(),
        source: standin_migrations::FormatError::Content(why),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::content::{ContentHash, KeptHeaders};
    use crate::manifest::{Evidence, Outcome, Page, Redirect, RunId, Staged, TierState};
    use crate::site::LayoutName;

    /// Which page lies under each key, by its URL.
    type Keys = BTreeMap<String, String>;

    fn outcome(url: &str) -> Outcome {
        if url.contains("moved") {
            let target = "https://h.test/".to_owned();
            return Outcome::Redirect(Redirect {
                status: 301,
                target,
            });
        }
        let content = ContentHash::of(url.as_bytes());
        Outcome::Page(Page {
            status: 200,
            content,
            canonical: content,
            rules: 0,
            crc32c: 0,
            size: 3,
            headers: KeptHeaders::default(),
            etag: None,
            last_modified: None,
        })
    }

    fn laid_out(urls: &BTreeSet<String>, layout: &Layout) -> Keys {
        let mut keys = Keys::new();
        for text in urls {
            let url = PageUrl::parse(text).unwrap();
            let key = layout.place(&url).key.to_string();
            let wins = keys.get(&key).is_none_or(|there: &String| {
                Layout::outranks(&url, &PageUrl::parse(there).unwrap())
            });
            if wins {
                keys.insert(key, text.clone());
            }
        }
        keys
    }

    /// Carries a round out as a tier might, everything at once: no source may be written over meanwhile, and what is
    /// written over must be where it belongs, or belong nowhere.
    fn carry_out(round: &[Operation], keys: &mut Keys, expected: &Keys) {
        let written: BTreeSet<&str> = round.iter().map(|op| op.key().as_str()).collect();
        let before = keys.clone();
        for operation in round {
            if let Operation::Copy { from, object, .. } = operation {
                assert_eq!(
                    before.get(from.as_str()),
                    Some(&object.meta.url.to_string())
                );
                assert!(
                    !written.contains(from.as_str()),
                    "{from} is read and written"
                );
            }
            let key = operation.key().as_str();
            if let Some(lost) = before.get(key) {
                let wanted = expected.iter().find(|(_, url)| *url == lost);
                let is_safe =
                    wanted.is_none_or(|(at, _)| at == key || before.get(at) == Some(lost));
                assert!(is_safe, "{lost} was only under {key}");
            }
            keys.insert(key.to_owned(), operation.url().to_string());
        }
    }

    fn check_move(urls: &BTreeSet<String>, from: &Layout, to: &Layout) {
        let dir = tempfile::tempdir().unwrap();
        let manifest = Manifest::open(dir.path(), from, Fuse::none()).unwrap();
        let staged = urls.iter().map(|text| {
            let staged = Staged::Outcome {
                outcome: outcome(text),
                located: None,
                fetched: 5,
            };
            Ok((PageUrl::parse(text).unwrap(), staged))
        });
        manifest
            .commit(&RunId("run".into()), 7, Evidence::Whole, staged)
            .unwrap();
        let tier = TierName::parse("primary").unwrap();
        let watermark = manifest.generation();
        let state = TierState {
            watermark,
            epoch: 1,
            ..TierState::default()
        };
        manifest.save_tier(&tier, &state).unwrap();
        let moves = Moves::new(&manifest, &tier, &Filled::by(from), to).unwrap();
        assert!(moves.rounds <= 3, "{} rounds", moves.rounds);
        let (mut keys, expected) = (laid_out(urls, from), laid_out(urls, to));
        let stays = expected
            .iter()
            .filter(|(key, url)| keys.get(*key) == Some(*url))
            .count();
        let cost = moves.cost(&Prices::default(), true).unwrap();
        assert_eq!(
            cost.unchanged, stays as u64,
            "what lies right is left alone"
        );
        assert_eq!(cost.planned.reheadered, 0);
        for round in 0..=moves.rounds {
            let writes: Vec<_> = moves.writes(round).filter_map(|op| op.unwrap()).collect();
            carry_out(&writes, &mut keys, &expected);
        }
        for delete in moves.deletes() {
            keys.remove(delete.unwrap().key().as_str());
        }
        assert_eq!(keys, expected);
    }

    fn url() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            "index",
            "index.html",
            ".html",
            "a.html",
            "a.pdf",
            "moved",
            "x/",
            "x/",
            "a//",
            "?q",
        ]);
        let host = prop::sample::select(vec!["https://h.test/", "https://assets.test/"]);
        let path = prop::collection::vec(piece, 0..3).prop_map(|pieces| pieces.concat());
        (host, path).prop_map(|(host, path)| {
            PageUrl::parse(&format!("{host}{path}"))
                .unwrap()
                .to_string()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_move_loses_no_page_on_its_way(
            urls in prop::collection::btree_set(url(), 1..14),
            names in prop::sample::select(vec![("plain", "govuk"), ("govuk", "plain"), ("plain", "plain"), ("govuk", "govuk")]),
            assets in prop::sample::select(vec![(false, false), (false, true), (true, false)]),
        ) {
            // Promise: whatever pages there are, and in whichever direction, the tier ends as the new layout
            // would have filled it; on the way nothing is written over that is not elsewhere, and what
            // lies right is not touched.
            let layout = |name: &str, has_assets: bool| {
                let name = if name == "plain" { LayoutName::Plain } else { LayoutName::Govuk };
                Layout::new(name, has_assets.then(|| "assets.test".to_owned()))
            };
            check_move(&urls, &layout(names.0, assets.0), &layout(names.1, assets.1));
        }
    }

    #[test]
    fn chains_of_keys_are_moved_from_their_end() {
        // The longest there is: each page gets the key of the next.
        let urls = ["/x/index", "/x/", "/x/.html", "/x/.html.html"];
        let urls = urls
            .map(|path| format!("https://h.test{path}"))
            .into_iter()
            .collect();
        let [plain, govuk] =
            [LayoutName::Plain, LayoutName::Govuk].map(|name| Layout::new(name, []));
        check_move(&urls, &plain, &govuk);
        check_move(&urls, &govuk, &plain);
    }
}
