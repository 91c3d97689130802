//! Commits: staged outcomes become the next generation, or nothing does.
//!
//! Order is what makes it safe. First the intention (which generation) is durable; then entries and
//! change records are folded in, batch by batch, each atomic; last, in one batch, the generation's
//! record and its number. A commit that a kill cut short is taken back before anything else is read
//! ([`Manifest::roll_back`]), from its own change records; its staging is still in the frontier, and
//! the resumed run folds it in again.

use super::record::{
    Change, Counts, Entry, Generation, GenerationRecord, Missing, Outcome, Pending, RunId,
};
use super::{FOLD_BATCH, Manifest, ManifestError, codec, keys};
use crate::content::ContentHash;
use crate::db::{Batch, KeyAndPayload, Rows};
use crate::site::{PageUrl, Reach};
use crate::store::{self, Located};

use serde::{Deserialize, Serialize};

/// Records by hash are gathered up to this number, some 20 MB, before they are written in their own order.
const SCATTERED_MAX: usize = 100_000;

/// What a crawl found out about one URL, waiting for the guards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Staged {
    /// A new outcome. `located` is where its body lies, which is durable already.
    Outcome {
        outcome: Outcome,
        located: Option<Located>,
        /// When the answer came, in seconds since 1970.
        fetched: i64,
    },
    /// The same bytes under other validators: no change, but the next request can be conditional.
    Validators {
        etag: Option<String>,
        last_modified: Option<String>,
    },
    /// Evidence against a page, not yet enough to withdraw it.
    Missing { status: u16 },
    /// A URL that could not be had and was never stored: the next crawl asks again.
    Pending { from: Option<PageUrl>, why: String },
    /// The page with this body has not changed, and is compared under other rules from now on: no change.
    Rules {
        content: ContentHash,
        canonical: ContentHash,
        rules: u32,
    },
}

/// Whether what a crawl did not see says anything about the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// It looked at all of it: strikes against missing pages are counted by such crawls.
    Whole,
    /// It looked at some pages only.
    Part,
}

/// What a commit did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// The generation that is current now; the one before when nothing had changed.
    pub generation: Generation,
    pub new: u64,
    pub changed: u64,
    pub gone: u64,
}

impl Committed {
    fn count(&mut self, change: &Change) {
        let live_before = change.before.as_ref().is_some_and(|e| e.outcome.is_live());
        match (live_before, change.after.outcome.is_live()) {
            (false, true) => self.new += 1,
            (true, true) => self.changed += 1,
            (_, false) => self.gone += 1,
        }
    }

    fn changes(&self) -> u64 {
        self.new + self.changed + self.gone
    }
}

/// A commit under way.
struct Fold {
    generation: Generation,
    rows: Rows,
    /// Records by hash: they come in the order of the URLs, which is none of theirs.
    scattered: Vec<KeyAndPayload>,
    done: Committed,
    /// What there is once the generation counts.
    counts: Counts,
    /// Some pages may have been withdrawn: those of which something is recorded are known again.
    has_perhaps_gone: bool,
}

impl Fold {
    /// Takes a change into the counts. `hidden`: no CDN can compute the URL's key.
    fn count(&mut self, change: &Change, hidden: bool) {
        self.done.count(change);
        let counts = &mut self.counts;
        if let Some(before) = &change.before {
            *slot(counts, &before.outcome) -= 1;
            counts.gateway_only -= u64::from(hidden && before.outcome.is_live());
        }
        *slot(counts, &change.after.outcome) += 1;
        counts.gateway_only += u64::from(hidden && change.after.outcome.is_live());
    }
}

impl Manifest {
    /// The commit that a killed run left open, with the run whose staging it was folding.
    pub fn unfinished(&self) -> Option<(Generation, RunId)> {
        self.meta().open_commit.clone()
    }

    /// Folds staged outcomes in as the next generation; without an outcome among them no generation
    /// is made. `now` is seconds since 1970.
    ///
    /// # Errors
    /// Whatever the staging or the database says; the manifest is then as if killed there.
    pub fn commit(
        &self,
        run: &RunId,
        now: i64,
        evidence: Evidence,
        staged: impl Iterator<Item = Result<(PageUrl, Staged), ManifestError>>,
    ) -> Result<Committed, ManifestError> {
        let mut fold = Fold {
            generation: self.generation().next(),
            rows: Rows::default(),
            scattered: Vec::new(),
            done: Committed::default(),
            counts: self.about().counts,
            has_perhaps_gone: self.has_perhaps_gone()?,
        };
        for item in staged {
            let (url, staged) = item?;
            if matches!(staged, Staged::Outcome { .. }) {
                self.open_commit(fold.generation, run)?;
            }
            self.fold(&mut fold, &url, staged)?;
            if fold.rows.changes() >= FOLD_BATCH {
                fold.rows.apply(&self.db)?;
                self.flush_when_many()?;
            }
            if fold.scattered.len() >= SCATTERED_MAX {
                self.put_in_order(std::mem::take(&mut fold.scattered))?;
            }
        }
        fold.rows.apply(&self.db)?;
        self.put_in_order(std::mem::take(&mut fold.scattered))?;
        self.close_commit(run, now, evidence, fold)
    }

    /// Takes an unfinished commit back, if there is one. Being killed in here costs nothing either:
    /// each batch takes records back together with the change records that said how.
    ///
    /// # Errors
    /// What the database says.
    pub fn roll_back(&self) -> Result<(), ManifestError> {
        let Some((generation, _)) = self.unfinished() else {
            return Ok(());
        };
        let prefix = keys::changes_of(generation);
        loop {
            let mut batch = Batch::default();
            for record in self.db.scan(&prefix).take(FOLD_BATCH) {
                let (key, payload) = record?;
                let url = codec::url_of_key(&key, prefix.len())?;
                self.unfold(&mut batch, &url, codec::decode(&key, &payload)?);
                batch.remove(&key);
                batch.remove(&keys::held_twice(generation, url.as_str()));
            }
            if batch.is_empty() {
                break;
            }
            self.db.apply(batch)?;
        }
        self.amend(|meta| meta.open_commit = None)
    }

    fn open_commit(&self, generation: Generation, run: &RunId) -> Result<(), ManifestError> {
        let wanted = Some((generation, run.clone()));
        if self.meta().open_commit == wanted {
            return Ok(());
        }
        self.amend(|meta| meta.open_commit = wanted)
    }

    /// Writes records in the order of their keys, so that each leaf they lie in is written once.
    pub(super) fn put_in_order(
        &self,
        mut records: Vec<KeyAndPayload>,
    ) -> Result<(), ManifestError> {
        records.sort_unstable();
        for records in records.chunks(FOLD_BATCH) {
            let mut rows = Rows::default();
            for (key, payload) in records {
                rows.row().put(key, payload);
            }
            rows.apply(&self.db)?;
            self.flush_when_many()?;
        }
        Ok(())
    }

    fn close_commit(
        &self,
        run: &RunId,
        now: i64,
        evidence: Evidence,
        fold: Fold,
    ) -> Result<Committed, ManifestError> {
        let (generation, mut done) = (fold.generation, fold.done);
        let mut batch = Batch::default();
        if done.changes() > 0 {
            let record = GenerationRecord {
                run: run.clone(),
                committed_at: now,
                new: done.new,
                changed: done.changed,
                gone: done.gone,
            };
            codec::put(&mut batch, &keys::generation(generation), &record);
            self.note_sharing(&mut batch, generation, done.changes())?;
        }
        // Everything folded must be durable before the number that makes it count.
        self.db.flush()?;
        {
            let mut meta = self.meta();
            if done.changes() > 0 {
                meta.generation = generation;
                meta.counts = fold.counts;
            }
            meta.open_commit = None;
            if evidence == Evidence::Whole {
                meta.last_run = Some(run.clone());
                meta.crawls += 1;
            }
            done.generation = meta.generation;
        }
        self.save_meta(batch)?;
        Ok(done)
    }

    fn fold(&self, fold: &mut Fold, url: &PageUrl, staged: Staged) -> Result<(), ManifestError> {
        let is_answer = !matches!(staged, Staged::Missing { .. } | Staged::Pending { .. });
        if fold.has_perhaps_gone && is_answer {
            fold.rows.row().remove(&keys::perhaps_gone(url));
        }
        match staged {
            Staged::Outcome {
                outcome,
                located,
                fetched,
            } => {
                fold.scattered.extend(located.as_ref().map(store::record));
                let after = Entry {
                    outcome,
                    changed: fold.generation,
                    first: fold.generation,
                    fetched: Some(fetched),
                };
                self.fold_outcome(fold, url, after)?;
            }
            Staged::Validators {
                etag,
                last_modified,
            } => {
                if let Some(mut entry) = self.entry(url)?
                    && let Outcome::Page(page) = &mut entry.outcome
                {
                    page.etag = etag;
                    page.last_modified = last_modified;
                    codec::put(fold.rows.row(), &keys::entry(url), &entry);
                }
            }
            Staged::Rules {
                content,
                canonical,
                rules,
            } => {
                if let Some(mut entry) = self.entry(url)?
                    && let Outcome::Page(page) = &mut entry.outcome
                    && page.content == content
                {
                    (page.canonical, page.rules) = (canonical, rules);
                    codec::put(fold.rows.row(), &keys::entry(url), &entry);
                }
            }
            Staged::Missing { status } => {
                let missing = self.strike(url, status)?;
                codec::put(fold.rows.row(), &keys::missing(url), &missing);
            }
            Staged::Pending { from, why } => {
                let pending = Pending { from, why };
                // Most links that are broken were broken before.
                if self.pending_note(url)?.as_ref() != Some(&pending) {
                    codec::put(fold.rows.row(), &keys::pending(url), &pending);
                }
            }
        }
        Ok(())
    }

    /// `after` is the entry as it would be if the URL had never been recorded.
    fn fold_outcome(
        &self,
        fold: &mut Fold,
        url: &PageUrl,
        mut after: Entry,
    ) -> Result<(), ManifestError> {
        let batch = fold.rows.row();
        let before = self.entry(url)?;
        match &before {
            // The same outcome again (its bytes had been lost, or a run is repeated) is no change.
            Some(before) if before.outcome == after.outcome => return Ok(()),
            Some(before) => after.first = before.first,
            None => {
                self.index_alias(batch, url);
                batch.remove(&keys::pending(url));
            }
        }
        let holder = self.new_holder(after.changed, url, &after.outcome)?;
        fold.scattered.extend(holder);
        codec::put(batch, &keys::entry(url), &after);
        let change = Change { before, after };
        let key = keys::change(change.after.changed, url.as_str());
        codec::put(batch, &key, &change);
        fold.count(&change, self.layout.place(url).reach != Reach::Cdn);
        Ok(())
    }

    fn unfold(&self, batch: &mut Batch, url: &PageUrl, change: Change) {
        match change.before {
            Some(before) => codec::put(batch, &keys::entry(url), &before),
            None => {
                batch.remove(&keys::entry(url));
                self.unindex_alias(batch, url);
            }
        }
    }

    /// One more strike against a page, unless this crawl has struck already.
    pub fn strike(&self, url: &PageUrl, status: u16) -> Result<Missing, ManifestError> {
        let done = self.meta().crawls;
        let strikes = match self.missing(url)? {
            Some(earlier) if earlier.crawl == done + 1 => earlier.strikes,
            Some(earlier) if earlier.crawl == done => earlier.strikes + 1,
            _ => 1,
        };
        Ok(Missing {
            status,
            crawl: done + 1,
            strikes,
        })
    }
}

fn slot<'a>(counts: &'a mut Counts, outcome: &Outcome) -> &'a mut u64 {
    match outcome {
        Outcome::Page(_) => &mut counts.pages,
        Outcome::Redirect(_) => &mut counts.redirects,
        Outcome::Gone(_) => &mut counts.gone,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, gone, page, url};
    use super::*;
    use crate::db::Fuse;

    #[test]
    fn a_commit_makes_a_generation_exactly_when_something_changed() {
        // Promise: the same outcome again is no change, and no change is no generation.
        let sample = Sample::new();
        let first = sample
            .commit(&[("/a", page("1")), ("/b", page("2"))])
            .unwrap();
        assert_eq!((first.generation, first.new), (Generation(1), 2));
        let again = sample.commit(&[("/a", page("1"))]).unwrap();
        assert_eq!((again.generation, again.changes()), (Generation(1), 0));
        let third = sample.commit(&[("/a", page("x")), ("/b", gone())]).unwrap();
        assert_eq!(
            (third.generation, third.changed, third.gone),
            (Generation(2), 1, 1)
        );
        let counts = sample.manifest.about().counts;
        assert_eq!((counts.pages, counts.gone, counts.gateway_only), (1, 1, 0));
        sample.commit(&[("/q?a=1", page("q"))]).unwrap();
        assert_eq!(sample.manifest.about().counts.gateway_only, 1);
        sample.commit(&[("/q?a=1", gone())]).unwrap();
        assert_eq!(sample.manifest.about().counts.gateway_only, 0);
        let record = sample
            .manifest
            .generation_record(Generation(2))
            .unwrap()
            .unwrap();
        assert_eq!(
            (record.changed, record.gone, record.committed_at),
            (1, 1, 7)
        );
    }

    #[test]
    fn a_later_answer_with_the_same_outcome_changes_nothing() {
        // Promise: when an answer was fetched is recorded, and is no difference between two answers.
        let sample = Sample::new();
        let run = RunId("run".into());
        let answer = |body, fetched| {
            let (outcome, located) = (page(body), None);
            let staged = Staged::Outcome {
                outcome,
                located,
                fetched,
            };
            std::iter::once(Ok((url("/a"), staged)))
        };
        let mut seen = Vec::new();
        for (body, at) in [("1", 10), ("1", 20), ("2", 30)] {
            let done = sample
                .manifest
                .commit(&run, at, Evidence::Whole, answer(body, at))
                .unwrap();
            let entry = sample.manifest.entry(&url("/a")).unwrap().unwrap();
            seen.push((done.changes(), entry.fetched));
        }
        assert_eq!(seen, [(1, Some(10)), (0, Some(10)), (1, Some(30))]);
    }

    #[test]
    fn a_commit_killed_anywhere_is_taken_back_and_can_be_made_again() {
        // Promise: after a kill at any write of a commit, taking it back gives the state before it, and
        // committing the same staging again gives the state of an undisturbed commit.
        let staging = [
            ("/a", page("new")),
            ("/b", gone()),
            ("/c", page("3")),
            ("/x/index.html", page("4")),
        ];
        let start = [("/a", page("old")), ("/b", page("2"))];
        let undisturbed = Sample::new();
        undisturbed.commit(&start).unwrap();
        let before = undisturbed.all();
        undisturbed.commit(&staging).unwrap();
        let after = undisturbed.all();
        let mut killed = 0;
        for passes in 0.. {
            let sample = Sample::new();
            sample.commit(&start).unwrap();
            let sample = sample.reopen(Fuse::after(passes));
            let outcome = sample.commit(&staging);
            let sample = sample.reopen(Fuse::none());
            sample.manifest.roll_back().unwrap();
            if outcome.is_ok() {
                assert_eq!(sample.all(), after);
                break;
            }
            killed += 1;
            let committed = sample.manifest.generation() == Generation(2);
            assert_eq!(
                sample.all(),
                if committed {
                    after.clone()
                } else {
                    before.clone()
                }
            );
            sample.commit(&staging).unwrap();
            assert_eq!(sample.all(), after, "after {passes} passes");
            assert_eq!(sample.manifest.generation(), Generation(2));
        }
        assert!(killed >= 5, "only {killed} places were tried");
    }

    #[test]
    fn strikes_count_consecutive_crawls_only() {
        // Promise: a 404 seen twice with a good answer in between is no evidence.
        let sample = Sample::new();
        let run = RunId("run".into());
        let miss = || std::iter::once(Ok((url("/a"), Staged::Missing { status: 404 })));
        assert_eq!(sample.manifest.strike(&url("/a"), 404).unwrap().strikes, 1);
        sample
            .manifest
            .commit(&run, 1, Evidence::Whole, miss())
            .unwrap();
        assert_eq!(sample.manifest.strike(&url("/a"), 404).unwrap().strikes, 2);
        sample.commit(&[]).unwrap();
        assert_eq!(sample.manifest.strike(&url("/a"), 404).unwrap().strikes, 1);
    }
}
