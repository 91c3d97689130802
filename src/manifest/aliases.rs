//! URLs that share an object key.
//!
//! Nearly every URL is the primary one of its key, which the layout can compute, so only the others
//! are indexed: who is on a key is its primary URL, if there is an entry for it, and the few indexed.
//!
//! Each commit looks at the keys that its changes lie on, and with the generation's number it notes how many
//! aliases there are, and where pages collide. So a run that brings a collision in can say so at once, and no
//! report costs a walk over the index.

use serde::Serialize;

use super::record::{Change, Entry, Generation, Outcome, Shared};
use super::{Manifest, ManifestError, codec, keys};
use crate::db::Batch;
use crate::site::{ObjectKey, PageUrl, Scheme};

/// Collisions named at a time; the rest is counted.
const COLLISIONS_NAMED_MAX: usize = 50;

/// URLs with different content on one key, of which one can be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Clash {
    pub key: ObjectKey,
    /// The one that the layout calls canonical: its page is what every tier holds.
    pub winner: PageUrl,
    /// Those that answer something else.
    pub losers: Vec<PageUrl>,
}

/// The live pages on one key: the one that is served, and how the others stand to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharers {
    pub winner: PageUrl,
    /// Those whose reader gets what they would have answered.
    pub same: Vec<PageUrl>,
    pub losers: Vec<PageUrl>,
}

/// All keys that more than one live URL is on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sharing {
    /// URLs that answer the same as the winner of their key.
    pub aliases: u64,
    /// Keys on which somebody loses.
    pub collided: u64,
    /// The first of them.
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

    /// The live pages on a key; `None` where there is none. `scheme` as in [`Manifest::on_key`].
    ///
    /// # Errors
    /// What the database says.
    pub fn sharers(
        &self,
        key: &ObjectKey,
        scheme: Scheme,
    ) -> Result<Option<Sharers>, ManifestError> {
        Ok(Sharers::of(self.on_key(key, scheme)?))
    }

    /// True when some URL is not the primary one of its key. When false, keys need no grouping.
    ///
    /// # Errors
    /// What the database says.
    pub fn has_aliases(&self) -> Result<bool, ManifestError> {
        Ok(self.db.scan(&[keys::ALIAS]).next().transpose()?.is_some())
    }

    /// All aliases, and the first of the collisions in key order. Costs what collides: the aliases are counted
    /// at each commit.
    ///
    /// # Errors
    /// What the database says.
    pub fn sharing(&self) -> Result<Sharing, ManifestError> {
        let Some(shared) = self.shared()? else {
            return self.sharing_recounted();
        };
        let mut sharing = Sharing {
            aliases: shared.aliases,
            ..Sharing::default()
        };
        for clash in self.collisions() {
            sharing.note(clash?);
        }
        Ok(sharing)
    }

    /// Every collision, in key order: for reports and audits.
    pub fn collisions(&self) -> impl Iterator<Item = Result<Clash, ManifestError>> + '_ {
        let scan = self.db.scan(&[keys::COLLISION]);
        let clash = |winner: PageUrl| {
            let key = self.layout.place(&winner).key;
            let sharers = self.sharers(&key, winner.scheme())?;
            Ok(sharers.and_then(|sharers| sharers.clash(&key)))
        };
        scan.filter_map(move |record| {
            let winner = record
                .map_err(ManifestError::from)
                .and_then(|(record, _)| url_behind_key(&record));
            winner.and_then(clash).transpose()
        })
    }

    /// Counts aliases and notes collisions as they are once `generation` counts, `changes` of which are in its
    /// log. Costs the changes: keys are looked at from the side that is shorter, the log or the index of those
    /// that can be shared at all. The records read are returned.
    ///
    /// # Errors
    /// What the database says.
    pub(super) fn note_sharing(
        &self,
        batch: &mut Batch,
        generation: Generation,
        changes: u64,
    ) -> Result<u64, ManifestError> {
        let known = self.shared()?;
        let mut look = Look {
            manifest: self,
            batch,
            generation,
            aliases: known.map_or(0, |known| known.aliases),
            // All is looked at where an earlier version has counted nothing.
            everything: known.is_none(),
            read: 1,
        };
        let limit = usize::try_from(changes).unwrap_or(usize::MAX);
        let index = self.db.scan(&[keys::ALIAS]);
        let indexed = index.take(limit.saturating_add(1)).count();
        look.read += indexed as u64;
        if look.everything || indexed <= limit {
            look.walk_index()?;
        } else {
            look.walk_changes()?;
        }
        let aliases = look.aliases;
        let read = look.read;
        let shared = Shared {
            generation,
            aliases,
        };
        codec::put(batch, keys::SHARED, &shared);
        Ok(read)
    }

    /// Counts and notes everything anew for the current generation: all keys have changed.
    ///
    /// # Errors
    /// What the database says.
    pub(super) fn count_sharing(&self, batch: &mut Batch) -> Result<(), ManifestError> {
        let generation = self.generation();
        let mut look = Look {
            manifest: self,
            batch,
            generation,
            aliases: 0,
            everything: true,
            read: 0,
        };
        look.walk_index()?;
        let aliases = look.aliases;
        let shared = Shared {
            generation,
            aliases,
        };
        codec::put(batch, keys::SHARED, &shared);
        Ok(())
    }

    /// What was counted, if it was for the current generation.
    fn shared(&self) -> Result<Option<Shared>, ManifestError> {
        let shared = codec::get::<Shared>(&self.db, keys::SHARED)?;
        if shared.is_none() && self.is_empty() {
            return Ok(Some(Shared::default()));
        }
        Ok(shared.filter(|shared| shared.generation == self.generation()))
    }

    /// All aliases and collisions, from the index of URLs that are not primary.
    fn sharing_recounted(&self) -> Result<Sharing, ManifestError> {
        let mut sharing = Sharing::default();
        for key in self.shareable_keys() {
            let (key, scheme) = key?;
            let Some(sharers) = self.sharers(&key, scheme)? else {
                continue;
            };
            sharing.aliases += sharers.same.len() as u64;
            if let Some(clash) = sharers.clash(&key) {
                sharing.note(clash);
            }
        }
        Ok(sharing)
    }

    /// Keys that a URL lies on which is not its primary one, each once, with the scheme of that URL.
    fn shareable_keys(
        &self,
    ) -> impl Iterator<Item = Result<(ObjectKey, Scheme), ManifestError>> + '_ {
        // The index is in key order, so that the URLs of one key follow each other.
        let mut last: Option<ObjectKey> = None;
        self.db.scan(&[keys::ALIAS]).filter_map(move |record| {
            let url = record
                .map_err(ManifestError::from)
                .and_then(|(record, _)| url_behind_key(&record));
            let url = match url {
                Ok(url) => url,
                Err(error) => return Some(Err(error)),
            };
            let key = self.layout.place(&url).key;
            if last.as_ref() == Some(&key) {
                return None;
            }
            last = Some(key.clone());
            Some(Ok((key, url.scheme())))
        })
    }

    /// Every URL that is not the primary one of its key.
    pub(super) fn indexed(&self) -> impl Iterator<Item = Result<PageUrl, ManifestError>> + '_ {
        let scan = self.db.scan(&[keys::ALIAS]);
        scan.map(|record| url_behind_key(&record?.0))
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

/// A look at the keys that a commit has touched.
struct Look<'a> {
    manifest: &'a Manifest,
    batch: &'a mut Batch,
    generation: Generation,
    aliases: u64,
    everything: bool,
    /// Records read so far.
    read: u64,
}

impl Look<'_> {
    fn walk_index(&mut self) -> Result<(), ManifestError> {
        if self.everything {
            for record in self.manifest.db.scan(&[keys::COLLISION]) {
                self.batch.remove(&record?.0);
            }
        }
        for key in self.manifest.shareable_keys() {
            let (key, scheme) = key?;
            self.read += 1;
            let now = self.on_key(&key, scheme)?;
            self.look_at(&key, now)?;
        }
        Ok(())
    }

    fn walk_changes(&mut self) -> Result<(), ManifestError> {
        let prefix = keys::changes_of(self.generation);
        for record in self.manifest.db.scan(&prefix) {
            self.read += 1;
            let url = codec::url_of_key(&record?.0, prefix.len())?;
            let key = self.manifest.layout.place(&url).key;
            let mut indexed = self.manifest.db.scan(&keys::aliases_of(&key));
            self.read += 1;
            if indexed.next().transpose()?.is_none() {
                // It is alone on its key, which it is the primary URL of.
                continue;
            }
            let now = self.on_key(&key, url.scheme())?;
            let first = now
                .iter()
                .find(|(_, entry)| entry.changed == self.generation);
            // Of several changes on one key the first in the group speaks for all.
            if first.is_some_and(|(first, _)| *first == url) {
                self.look_at(&key, now)?;
            }
        }
        Ok(())
    }

    fn on_key(
        &mut self,
        key: &ObjectKey,
        scheme: Scheme,
    ) -> Result<Vec<(PageUrl, Entry)>, ManifestError> {
        let group = self.manifest.on_key(key, scheme)?;
        // The primary URL, which may have no record, and each indexed one twice.
        self.read += 1 + 2 * group.len() as u64;
        Ok(group)
    }

    fn look_at(
        &mut self,
        key: &ObjectKey,
        now: Vec<(PageUrl, Entry)>,
    ) -> Result<(), ManifestError> {
        let mut before = Vec::new();
        let mut touched = false;
        for (url, entry) in &now {
            if entry.changed != self.generation {
                before.push((url.clone(), entry.clone()));
                continue;
            }
            touched = true;
            self.read += 1;
            let log = keys::change(self.generation, url.as_str());
            let change: Option<Change> = codec::get(&self.manifest.db, &log)?;
            if let Some(entry) = change.and_then(|change| change.before) {
                before.push((url.clone(), entry));
            }
        }
        if !touched && !self.everything {
            return Ok(());
        }
        if !self.everything
            && let Some(before) = Sharers::of(before)
        {
            self.aliases -= self.aliases.min(before.same.len() as u64);
            if let Some(clash) = before.clash(key) {
                self.batch.remove(&keys::collision(key, &clash.winner));
            }
        }
        if let Some(now) = Sharers::of(now) {
            self.aliases += now.same.len() as u64;
            if let Some(clash) = now.clash(key) {
                self.batch.put(&keys::collision(key, &clash.winner), &[]);
            }
        }
        Ok(())
    }
}

impl Sharers {
    /// `on_key` with the canonical URL first; `None` where nobody on it is live.
    fn of(on_key: Vec<(PageUrl, Entry)>) -> Option<Sharers> {
        let mut live = on_key
            .into_iter()
            .filter(|(_, entry)| entry.outcome.is_live());
        let (winner, served) = live.next()?;
        let (same, losers): (Vec<_>, Vec<_>) =
            live.partition(|(_, entry)| is_served_by(&winner, &served.outcome, &entry.outcome));
        let urls = |pages: Vec<(PageUrl, Entry)>| pages.into_iter().map(|(url, _)| url).collect();
        Some(Sharers {
            winner,
            same: urls(same),
            losers: urls(losers),
        })
    }

    fn clash(self, key: &ObjectKey) -> Option<Clash> {
        (!self.losers.is_empty()).then(|| Clash {
            key: key.clone(),
            winner: self.winner,
            losers: self.losers,
        })
    }
}

impl Sharing {
    fn note(&mut self, clash: Clash) {
        self.collided += 1;
        if self.collisions.len() < COLLISIONS_NAMED_MAX {
            self.collisions.push(clash);
        }
    }
}

/// Whether whoever asks for a page and is served the winner of its key gets what the page would have given:
/// the same content, the same redirect, or the page that it redirects to.
pub fn is_served_by(winner: &PageUrl, served: &Outcome, asked: &Outcome) -> bool {
    match (served, asked) {
        (Outcome::Page(served), Outcome::Page(asked)) => {
            // Canonical hashes of different rules cannot be compared.
            let is_comparable = served.rules == asked.rules;
            served.content == asked.content || is_comparable && served.canonical == asked.canonical
        }
        (Outcome::Redirect(served), Outcome::Redirect(asked)) if served.target == asked.target => {
            true
        }
        (_, Outcome::Redirect(asked)) => PageUrl::parse(&asked.target).as_ref() == Ok(winner),
        _ => false,
    }
}

/// The URL behind a record's kind, an object key and its end.
fn url_behind_key(record: &[u8]) -> Result<PageUrl, ManifestError> {
    let end = record.iter().position(|&byte| byte == keys::END);
    codec::url_of_key(record, end.map_or(record.len(), |end| end + 1))
}

/// Canonical first: the shorter, then the smaller URL, as the layout ranks them.
fn rank(url: &PageUrl) -> (usize, &str) {
    (url.as_str().len(), url.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::record::Redirect;
    use super::super::sample::{Sample, gone, page, url};
    use super::*;
    use crate::content::ContentHash;

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
        assert_eq!(collisions[0].winner.path(), "/x/");
        assert_eq!(collisions[0].losers[0].path(), "/x/index.html");
        sample.commit(&[("/x/", gone())]).unwrap();
        let group = sample
            .manifest
            .on_key(&key("h.test/x/index.html"), Scheme::Https)
            .unwrap();
        let live = group.iter().find(|(_, entry)| entry.outcome.is_live());
        assert_eq!(live.unwrap().0.path(), "/x/index.html");
        assert_eq!(sample.manifest.sharing().unwrap(), Sharing::default());
    }

    fn redirect(to: &str) -> Outcome {
        Outcome::Redirect(Redirect {
            status: 301,
            target: url(to).to_string(),
        })
    }

    /// Paths of the winner and the losers of each collision.
    fn collided(sample: &Sample) -> Vec<(String, Vec<String>)> {
        let path = |url: &PageUrl| url.path().to_owned();
        let sharing = sample.manifest.sharing().unwrap();
        assert_eq!(sharing.collided, sharing.collisions.len() as u64);
        let clashes = sharing.collisions.iter();
        clashes
            .map(|clash| (path(&clash.winner), clash.losers.iter().map(path).collect()))
            .collect()
    }

    #[test]
    fn a_redirect_to_the_page_that_is_served_loses_nothing() {
        // Promise: what matters is what a reader gets in the end. A page that redirects to the one on its key is
        // an alias; a page whose place its own redirect has taken is lost, and so is one behind another redirect.
        let sample = Sample::new();
        let staged = [
            ("/a/", page("a")),
            ("/a/index.html", redirect("/a/")),
            ("/b/", redirect("/b/index.html")),
            ("/b/index.html", page("b")),
            ("/c/", page("c")),
            ("/c/index.html", redirect("/a/")),
            ("/d/", redirect("/a/")),
            ("/d/index.html", redirect("/a/")),
        ];
        sample.commit(&staged).unwrap();
        let lost = |folder: &str| (format!("/{folder}/"), vec![format!("/{folder}/index.html")]);
        assert_eq!(collided(&sample), [lost("b"), lost("c")]);
        assert_eq!(sample.manifest.sharing().unwrap().aliases, 2);
    }

    #[test]
    fn pages_under_different_rules_are_compared_by_their_bytes() {
        // Promise: the same bytes are no collision because one was hashed before the rules had changed.
        let sample = Sample::new();
        let Outcome::Page(mut older) = page("x") else {
            panic!("it is a page");
        };
        (older.rules, older.canonical) = (1, ContentHash::of(b"canonical"));
        let staged = [("/a/", page("x")), ("/a/index.html", Outcome::Page(older))];
        sample.commit(&staged).unwrap();
        assert!(collided(&sample).is_empty());
        assert_eq!(sample.manifest.sharing().unwrap().aliases, 1);
    }

    /// What `commits` commits of some of these pages each, chosen by a simple generator, make of them.
    fn commit_some(sample: &Sample, folders: u64, commits: u64, at_once: u64) {
        let mut state = 7_u64;
        let mut next = |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) % below
        };
        for _ in 0..commits {
            let mut staged = std::collections::BTreeMap::new();
            for _ in 0..at_once {
                let name = [",/", "%2C/", ",/index.html", "%2C/index.html"][next(4) as usize];
                let path = format!("/{}{name}", next(folders));
                let outcome = match next(5) {
                    0 => gone(),
                    1 => redirect(&format!("/{},/", next(folders))),
                    content => page(&content.to_string()),
                };
                staged.insert(path, outcome);
            }
            let staged: Vec<_> = staged
                .iter()
                .map(|(p, o)| (p.as_str(), o.clone()))
                .collect();
            sample.commit(&staged).unwrap();
            let counted = sample.manifest.sharing().unwrap();
            assert_eq!(counted, sample.manifest.sharing_recounted().unwrap());
        }
    }

    #[test]
    fn what_is_counted_at_each_commit_is_what_a_recount_gives() {
        // Promise: coming, going and changing pages of all kinds leave no alias or collision behind and miss none,
        // whether the index is shorter than the commit or longer; checked after each commit of two histories.
        let sample = Sample::new();
        commit_some(&sample, 6, 60, 9);
        let seen = sample.manifest.sharing().unwrap();
        assert!(seen.aliases > 0 && seen.collided > 0, "{seen:?}");
        let sample = Sample::new();
        commit_some(&sample, 30, 100, 2);
        let seen = sample.manifest.sharing().unwrap();
        assert!(seen.aliases > 0 && seen.collided > 0, "{seen:?}");
    }

    #[test]
    fn an_earlier_version_that_committed_without_counting_is_made_good() {
        // Promise: a count of another generation is not believed; the next commit counts all again.
        let sample = Sample::new();
        let first = [("/a/", page("1")), ("/a/index.html", page("2"))];
        sample.commit(&first).unwrap();
        let mut batch = Batch::default();
        codec::put(
            &mut batch,
            keys::SHARED,
            &Shared {
                generation: Generation(9),
                aliases: 77,
            },
        );
        batch.remove(&keys::collision(&key("h.test/a/index.html"), &url("/a/")));
        sample.manifest.db.apply(batch).unwrap();
        let recounted = sample.manifest.sharing().unwrap();
        assert_eq!((recounted.aliases, recounted.collided), (0, 1));
        sample.commit(&[("/b", page("b"))]).unwrap();
        let counted = codec::get(&sample.manifest.db, keys::SHARED).unwrap();
        let expected = Shared {
            generation: Generation(2),
            aliases: 0,
        };
        assert_eq!(counted, Some(expected));
        assert_eq!(collided(&sample).len(), 1);
    }

    #[test]
    fn a_commit_reads_as_much_as_it_changes() {
        // Promise: what it costs to notice who shares a key depends on the changes, not on the pages there are
        // nor on how many keys are shared.
        let read_for = |shared: usize, changed: usize| {
            let sample = Sample::new();
            let folders: Vec<String> = (0..shared).map(|n| format!("/{n:04}/")).collect();
            let files: Vec<String> = folders.iter().map(|f| format!("{f}index.html")).collect();
            let paths = folders.iter().chain(&files);
            let staged: Vec<_> = paths.map(|path| (path.as_str(), page(path))).collect();
            sample.commit(&staged).unwrap();
            let staged: Vec<_> = folders[..changed]
                .iter()
                .map(|f| (f.as_str(), page("x")))
                .collect();
            sample.commit(&staged).unwrap();
            assert_eq!(sample.manifest.sharing().unwrap().collided, shared as u64);
            let generation = sample.manifest.generation();
            let changes = changed as u64;
            sample
                .manifest
                .note_sharing(&mut Batch::default(), generation, changes)
                .unwrap()
        };
        assert_eq!(read_for(100, 1), read_for(1000, 1));
        assert_eq!(read_for(100, 10), read_for(1000, 10));
        assert!(read_for(1000, 1) <= 12, "{}", read_for(1000, 1));
        assert!(read_for(1000, 10) <= 120, "{}", read_for(1000, 10));
        // Of many changes the index is the shorter way.
        assert!(read_for(10, 10) <= 120);
    }
}
