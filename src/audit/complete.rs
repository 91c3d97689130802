//! The complete audit: everything that should be in a tier against everything that its listing shows.
//!
//! Requests are the pages of the listing, and a HEAD for what the two disagree about; memory holds a page. A killed
//! audit goes on where it was, tier by tier (`spool.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};

use super::AuditError;
use super::expected::{self, Etags, Rows};
use super::finding::{Class, Finding};
use super::look::{self, Look, Looked, Outcome};
use super::merge::{Counts, Facts, Item, Merge, Portion, Standing};
use super::picked::{Picked, Share};
use super::spool::{self, Begun, Desk, Spool, Subject, findings_in};
use crate::config::TierName;
use crate::db::Fuse;
use crate::manifest::{EtagKind, Manifest, ManifestError};
use crate::sync::{self, OpenTier, PartLook, TierProgress};
use crate::tier::LIST_PAGE;

/// Findings of a class that are named in a report; files name all.
pub const NAMED_MAX: usize = 1000;

/// What is looked at besides the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Depth {
    /// Whose bytes are read back.
    pub read: Share,
    /// Whose headers are asked for.
    pub headers: Share,
    /// Bytes a second that are read from each tier.
    pub rate: Option<u64>,
}

/// What was looked at more closely than a listing can.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Closely {
    pub objects: u64,
    pub bytes: u64,
    /// Those among them that are not as they should be.
    pub bad: u64,
}

/// How far a tier was gone through, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Place {
    after: Option<String>,
    findings_bytes: u64,
    /// All of it was gone through.
    pub is_complete: bool,
    /// Objects that should be there and were compared.
    pub checked: u64,
    /// Objects of the site that the listing shows.
    pub listed: u64,
    pub counts: Counts,
    /// Those that were read back.
    pub read: Closely,
    /// Those whose headers were asked for.
    pub headers: Closely,
}

/// What all tiers of one audit share.
pub struct Audit {
    manifest: Arc<Manifest>,
    desk: Desk,
    begun: Begun,
    depth: Depth,
    fuse: Fuse,
    /// It goes on where a killed one was.
    pub is_resumed: bool,
}

/// What an audit begins with.
pub struct Order<'a> {
    pub manifest: &'a Arc<Manifest>,
    /// A folder of the audit's own.
    pub dir: PathBuf,
    pub tiers: Vec<&'a OpenTier>,
    pub depth: Depth,
    /// Seconds since 1970.
    pub now: i64,
    pub fuse: Fuse,
}

impl Audit {
    /// Works out what should be in the tiers, unless a killed audit has.
    ///
    /// # Errors
    /// The manifest cannot be read, or the folder cannot be written.
    pub async fn begin(order: Order<'_>) -> Result<Audit, AuditError> {
        let desk = Desk::new(order.dir);
        let subject = subject_of(order.manifest, &order.tiers, order.depth)?;
        let cut_short = match desk.cut_short(&subject, order.now) {
            Some(begun) => {
                let (dir, made) = (desk.dir.clone(), begun.made);
                let look = move |_: &Manifest| Ok(expected::is_whole(&dir, made));
                off_thread(order.manifest, look).await?.then_some(begun)
            }
            None => None,
        };
        let is_resumed = cut_short.is_some();
        let begun = match cut_short {
            Some(begun) => begun,
            None => {
                desk.clear()?;
                desk.make()?;
                let is_md5 = |open: &&&OpenTier| open.state.etag == EtagKind::Md5;
                let etags = match order.tiers.iter().find(is_md5) {
                    Some(_) => Etags::OfBlobs,
                    None => Etags::None,
                };
                let dir = desk.dir.clone();
                let make = move |manifest: &Manifest| expected::make(manifest, &dir, etags);
                let begun = Begun {
                    subject,
                    made: off_thread(order.manifest, make).await?,
                    seed: random(),
                    at: order.now,
                };
                desk.begin(&begun)?;
                begun
            }
        };
        Ok(Audit {
            manifest: Arc::clone(order.manifest),
            desk,
            begun,
            depth: order.depth,
            fuse: order.fuse,
            is_resumed,
        })
    }

    /// When it was begun, in seconds since 1970.
    pub fn begun_at(&self) -> i64 {
        self.begun.at
    }

    /// Goes through one tier. What was found up to an error is kept, so that the next audit goes on from there.
    ///
    /// # Errors
    /// Inside, with what was found by then: why the tier could not be gone through.
    pub async fn tier(
        &self,
        open: &OpenTier,
        progress: &TierProgress,
    ) -> (Place, Option<AuditError>) {
        let mut place = Place::default();
        progress.plan(self.begun.made.rows);
        let went = self.go_through(open, progress, &mut place).await;
        let Err(error) = went else {
            return (place, None);
        };
        // What counts is what was kept with the last page; a page that was begun is gone through again.
        place = self.desk.place_of(&open.name).unwrap_or_default();
        let cut = Spool::open(self.desk.spool(&open.name), place.findings_bytes);
        (place, Some(cut.err().unwrap_or(error)))
    }

    async fn go_through(
        &self,
        open: &OpenTier,
        progress: &TierProgress,
        place: &mut Place,
    ) -> Result<(), AuditError> {
        if self.is_resumed {
            *place = self.desk.place_of(&open.name).unwrap_or_default();
        }
        let path = self.desk.spool(&open.name);
        let mut spool = match Spool::open(path.clone(), place.findings_bytes)? {
            Some(spool) => spool,
            None => {
                *place = Place::default();
                Spool::open(path, 0)?.expect("nothing is missing of nothing")
            }
        };
        if place.is_complete {
            progress.step(place.checked);
            return Ok(());
        }
        let facts = Arc::new(Facts::of(&self.manifest, &open.name, &open.state)?);
        let look = Look::new(&facts, open, self.depth.rate);
        let mut merge = self.merge(place).await?;
        progress.step(place.checked);
        loop {
            let after = place.after.take();
            let page = open.tier.list(after.as_deref(), LIST_PAGE).await?;
            let (more, last) = (page.more, page.last.clone());
            place.listed += page.objects.len() as u64;
            let mut portion = Portion::of(page, after.as_deref(), &open.name)?;
            let mut is_done = false;
            while !is_done {
                let before = merge.checked;
                let (items, done);
                (merge, portion, items, done) = step(&facts, merge, portion).await?;
                is_done = done;
                progress.step(merge.checked - before);
                self.look_at(items, &look, &mut merge.counts, place, &mut spool)
                    .await?;
            }
            if !more {
                self.look_at_checkpoints(open, &facts, &mut merge.counts, &mut spool)
                    .await?;
            }
            spool.flush()?;
            place.findings_bytes = spool.bytes;
            (place.checked, place.counts) = (merge.checked, merge.counts);
            (place.after, place.is_complete) = (last, !more);
            self.fuse.pass("audit.page")?;
            self.desk.keep_place(&open.name, place)?;
            tracing::info!(tier = %open.name, checked = place.checked, "audited");
            if place.is_complete {
                return Ok(());
            }
        }
    }

    /// What would bring a lost manifest back, by name and size, and with all that is read by its bytes.
    async fn look_at_checkpoints(
        &self,
        open: &OpenTier,
        facts: &Facts,
        counts: &mut Counts,
        spool: &mut Spool,
    ) -> Result<(), AuditError> {
        let look = match self.depth.read {
            Share::All => PartLook::Read,
            Share::None | Share::Sample(_) => PartLook::Listed,
        };
        for broken in sync::broken_parts(open, look).await? {
            counts.checkpoint += 1;
            spool.add(&look::broken_part(facts, &broken))?;
        }
        Ok(())
    }

    async fn look_at(
        &self,
        items: Vec<Item>,
        look: &Look<'_>,
        counts: &mut Counts,
        place: &mut Place,
        spool: &mut Spool,
    ) -> Result<(), AuditError> {
        let mut looked = stream::iter(items)
            .map(|item| look.at(item))
            .buffered(look.open.concurrency);
        while let Some(outcome) = looked.next().await {
            enter(outcome?, counts, place, spool)?;
        }
        Ok(())
    }

    async fn merge(&self, place: &Place) -> Result<Merge, AuditError> {
        let (dir, begun, depth) = (self.desk.dir.clone(), self.begun.clone(), self.depth);
        let place = place.clone();
        off_thread(&self.manifest, move |_| {
            let rows = begun.made.rows;
            let mut merge = Merge {
                rows: Rows::open(&dir)?,
                reads: Picked::among(rows, depth.read, begun.seed),
                heads: Picked::among(rows, depth.headers, !begun.seed),
                counts: place.counts,
                checked: place.checked,
            };
            if let Some(after) = &place.after {
                merge.skip(after)?;
            }
            Ok(merge)
        })
        .await
    }

    /// The first findings of each class in a tier, in key order.
    ///
    /// # Errors
    /// What the file system says.
    pub fn named(&self, tier: &TierName) -> Result<Vec<Finding>, AuditError> {
        let mut taken = [0; Class::ALL.len()];
        let mut named = Vec::new();
        for finding in self.findings(tier)? {
            let finding = finding?;
            let taken = &mut taken[finding.class as usize];
            if *taken < NAMED_MAX {
                *taken += 1;
                named.push(finding);
            }
        }
        Ok(named)
    }

    /// All findings in a tier, in key order.
    ///
    /// # Errors
    /// What the file system says.
    pub fn findings(
        &self,
        tier: &TierName,
    ) -> Result<impl Iterator<Item = Result<Finding, AuditError>> + Send + use<>, AuditError> {
        findings_in(&self.desk.spool(tier))
    }

    /// Looks at everything again that was found wrong in a tier, calling `each` with what is wrong with it now, if
    /// anything.
    ///
    /// # Errors
    /// What the manifest, the tier or the file system says.
    pub async fn look_again(
        &self,
        open: &OpenTier,
        progress: &TierProgress,
        mut each: impl FnMut(Finding, Option<String>),
    ) -> Result<(), AuditError> {
        let facts = Facts::of(&self.manifest, &open.name, &open.state)?;
        let look = Look::new(&facts, open, self.depth.rate);
        let look = &look;
        let mut looked = stream::iter(self.findings(&open.name)?)
            .map(|finding| async move {
                let finding = finding?;
                let wrong = look.still_wrong(&finding).await?;
                Ok::<_, AuditError>((finding, wrong))
            })
            .buffered(open.concurrency);
        while let Some(finding) = looked.next().await {
            let (finding, wrong) = finding?;
            each(finding, wrong);
            progress.step(1);
        }
        Ok(())
    }

    /// Writes a file for each class into a folder, with the findings of all these tiers.
    ///
    /// # Errors
    /// What the file system says.
    pub fn report(&self, dir: &Path, tiers: &[TierName]) -> Result<(), AuditError> {
        let spools: Vec<PathBuf> = tiers.iter().map(|tier| self.desk.spool(tier)).collect();
        spool::report(dir, &spools)
    }

    /// Forgets what it has kept for one that goes on, but for the tiers that could not be gone through to their end.
    ///
    /// # Errors
    /// What the file system says.
    pub fn end(self, unfinished: &[TierName], finished: &[TierName]) -> Result<(), AuditError> {
        if unfinished.is_empty() {
            return self.desk.clear();
        }
        for tier in finished {
            self.desk.keep_place(tier, &Place::default())?;
        }
        Ok(())
    }
}

fn subject_of(
    manifest: &Manifest,
    tiers: &[&OpenTier],
    depth: Depth,
) -> Result<Subject, ManifestError> {
    let mut stand = Vec::new();
    for open in tiers {
        let debts = manifest.debts(&open.name).count() as u64;
        let (epoch, watermark) = (open.state.epoch, open.state.watermark);
        stand.push((open.name.to_string(), epoch, watermark, debts));
    }
    let (read, headers) = (depth.read, depth.headers);
    let about = manifest.about();
    Ok(Subject::new(
        about.lineage.0,
        about.generation,
        format!("read {read:?}, headers {headers:?}"),
        stand,
    ))
}

/// A batch of the merge, on a thread that may wait for the disk.
async fn step(
    facts: &Arc<Facts>,
    mut merge: Merge,
    mut portion: Portion,
) -> Result<(Merge, Portion, Vec<Item>, bool), AuditError> {
    let facts = Arc::clone(facts);
    let stepped = tokio::task::spawn_blocking(move || {
        let (items, is_done) = merge.step(&facts, &mut portion)?;
        Ok((merge, portion, items, is_done))
    });
    stepped
        .await
        .expect("a merge does not panic and is never aborted")
}

/// Counts what came of an item, and keeps what was found.
fn enter(
    outcome: Outcome,
    counts: &mut Counts,
    place: &mut Place,
    spool: &mut Spool,
) -> Result<(), AuditError> {
    let mut bad = 0;
    let mut is_judged = true;
    match outcome.looked {
        Looked::Right | Looked::ChangedMeanwhile => {
            let meanwhile = matches!(outcome.looked, Looked::ChangedMeanwhile);
            counts.changed_meanwhile += u64::from(meanwhile);
        }
        Looked::AsFound => counts.as_found += 1,
        Looked::Known(Standing::Behind) => counts.behind += 1,
        Looked::Known(_) => counts.owed += 1,
        Looked::Unseen(error) => {
            tracing::warn!(%error, "could not be looked at");
            counts.unseen += 1;
            is_judged = false;
        }
        Looked::Found(finding) => {
            bad = 1;
            *match finding.class {
                Class::Missing => &mut counts.missing,
                Class::Corrupt => &mut counts.corrupt,
                Class::Foreign => &mut counts.foreign,
                Class::Stale => &mut counts.stale,
                Class::WrongHeaders => &mut counts.wrong_headers,
                Class::Checkpoint => &mut counts.checkpoint,
            } += 1;
            spool.add(&finding)?;
        }
    }
    if let Some(bytes) = outcome.read.filter(|_| is_judged) {
        place.read.objects += 1;
        place.read.bytes += bytes;
        place.read.bad += bad;
    }
    if outcome.heads && is_judged {
        place.headers.objects += 1;
        place.headers.bad += bad;
    }
    Ok(())
}

async fn off_thread<T: Send + 'static>(
    manifest: &Arc<Manifest>,
    work: impl FnOnce(&Manifest) -> Result<T, AuditError> + Send + 'static,
) -> Result<T, AuditError> {
    let manifest = Arc::clone(manifest);
    let done = tokio::task::spawn_blocking(move || work(&manifest)).await;
    done.expect("manifest work does not panic and is never aborted")
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system has randomness");
    u64::from_le_bytes(bytes)
}
