//! One tier, from its watermark to the current generation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::bodies::Bodies;
use super::claim::OpenTier;
use super::plan::{self, Planned, Step, Steps, plan_of};
use super::{SyncError, TierProgress, TierReport, Trouble, off_thread};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::delta::{Operation, Phase};
use crate::manifest::{self, Generation, Intent, Manifest, ManifestError, Mark, RunId};
use crate::site::{ObjectKey, PageUrl};
use crate::tier::{Class, Confirmed, ServicePlace, TierError};

/// Attempts of ours, for what a tier's line does not repeat: other bytes than announced are read and sent
/// once more, and so is what a disk failed to take.
const ATTEMPTS: u32 = 2;

/// A tier that fails this often in a row is down: the rest of the plan waits for a later run instead
/// of failing object by object.
pub const FAILURES_IN_A_ROW_MAX: u32 = 6;

/// Why a delete is owed that was not tried.
const WAITS: &str = "its delete waits until the writes before it have succeeded";

/// What is left of an upload is not one under way when it is this old.
const UPLOAD_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Acknowledged writes are settled and recorded in groups of this size: what a kill repeats at most.
const GROUP: usize = 1000;

/// How a tier came out of a sync.
pub struct Outcome {
    pub report: TierReport,
    /// Why the tier went down before its plan ended, if it did.
    pub down: Option<Trouble>,
}

/// What all tiers of one sync share.
pub struct Sync {
    pub manifest: Arc<Manifest>,
    pub bodies: Bodies,
    pub run: RunId,
    /// Checkpoints kept in each tier.
    pub checkpoints: usize,
    /// Another tier of the same service, from which bodies are copied without passing through here.
    pub across: Option<Across>,
}

/// A tier that another one of the same service can copy from.
#[derive(Clone)]
pub struct Across {
    pub name: TierName,
    pub place: Arc<ServicePlace>,
}

/// A plan that has been begun: what is in it, and up to where an earlier one was left in doubt.
struct Begun {
    planned: Planned,
    doubted: Generation,
}

/// An operation that has been tried, and how it ended.
pub(super) struct Done {
    operation: Operation,
    result: Result<Option<Confirmed>, TierError>,
}

/// Acknowledged and failed operations of one tier that are not recorded yet.
pub(super) struct Book<'a> {
    sync: &'a Sync,
    open: &'a OpenTier,
    progress: &'a TierProgress,
    report: TierReport,
    acknowledged: Vec<(ObjectKey, PageUrl, Mark, Option<ContentHash>)>,
    /// Writes that failed and may succeed later: until then nothing is deleted.
    unconfirmed: u64,
    failures_in_a_row: u32,
    down: Option<TierError>,
}

impl Sync {
    /// Brings one tier up to the current generation, as far as it goes.
    ///
    /// # Errors
    /// What the manifest or the store says; trouble of the tier is in the outcome.
    pub async fn bring_up(
        &self,
        open: &mut OpenTier,
        progress: &TierProgress,
    ) -> Result<Outcome, SyncError> {
        if let Some(filled) = self.manifest.filled(&open.name)? {
            return self.move_over(open, &filled, progress).await;
        }
        let to = self.manifest.generation();
        let planned = plan_of(&self.manifest, &open.name, &open.tier.prices(), |_| ())?;
        progress.plan(planned.operations());
        let doubted = plan::doubted(&self.manifest, &open.name)?;
        let resumed = doubted > Generation::NONE;
        let mut report = TierReport {
            name: open.name.to_string(),
            ..TierReport::default()
        };
        let mut down = None;
        if self.manifest.has_perhaps_gone()? {
            let name = open.name.clone();
            off_thread(&self.manifest, move |m| m.owe_perhaps_gone(&name)).await?;
        }
        if planned.operations() > 0 {
            self.begin(open, doubted).await?;
            down = open.take(&self.manifest, &self.run).await?.err();
            if down.is_none() {
                let begun = Begun { planned, doubted };
                (report, down) = self.carry_out(open, progress, report, begun).await?;
            }
            if down.is_none() {
                sweep(open).await;
            }
        }
        if down.is_none() && (planned.operations() > 0 || open.state.watermark < to || resumed) {
            open.state.watermark = to;
            let (name, state) = (open.name.clone(), open.state.clone());
            off_thread(&self.manifest, move |m| m.end_plan(&name, &state)).await?;
        }
        let down = down.map(Trouble::from);
        report.trouble = down.as_ref().map(|trouble| trouble.why.clone());
        Ok(Outcome { report, down })
    }

    async fn begin(&self, open: &OpenTier, doubted: Generation) -> Result<(), ManifestError> {
        let intent = Intent {
            plan: self.run.clone(),
            from: open.state.watermark,
            to: self.manifest.generation(),
        };
        let name = open.name.clone();
        let begin = move |manifest: &Manifest| {
            drop_outdated_marks(manifest, &name, doubted)?;
            manifest.begin_plan(&name, intent)
        };
        off_thread(&self.manifest, begin).await
    }

    /// All phases of the plan. Ends early, with the reason, when the tier is down.
    async fn carry_out(
        &self,
        open: &OpenTier,
        progress: &TierProgress,
        report: TierReport,
        begun: Begun,
    ) -> Result<(TierReport, Option<TierError>), SyncError> {
        let Begun { planned, doubted } = begun;
        let mut book = Book::new(self, open, progress);
        book.report = report;
        for phase in Phase::ALL {
            if planned.phases[phase as usize] == 0 {
                continue;
            }
            let steps = Steps::new(&self.manifest, &open.name, doubted, Some(phase))?;
            let mut steps = Remaining {
                steps,
                resumed: doubted > Generation::NONE,
                skipped: 0,
            };
            match phase {
                Phase::Deletes if book.unconfirmed > 0 => book.delete_later(&mut steps).await?,
                Phase::Deletes => book.delete_all(&mut steps).await?,
                Phase::Assets | Phase::Pages => book.write_all(&mut steps).await?,
            }
            progress.step(steps.skipped);
            book.settle().await?;
            if book.down.is_some() {
                break;
            }
        }
        Ok((book.report, book.down))
    }
}

/// Removes what interrupted uploads have left. Not being able to is no trouble: services have rules of
/// their own for it.
async fn sweep(open: &OpenTier) {
    match open.tier.sweep(UPLOAD_AGE_MAX).await {
        Ok(0) => (),
        Ok(swept) => tracing::info!(tier = %open.name, swept, "unfinished uploads removed"),
        Err(error) => tracing::debug!(tier = %open.name, %error, "unfinished uploads stay"),
    }
}

/// Removes the marks on objects that this plan writes or deletes (but for those that say it has been done
/// already). From its first write on they are not true any more, and after a kill they would vouch for
/// an object that was overwritten. Becomes durable with the intent.
fn drop_outdated_marks(
    manifest: &Manifest,
    name: &TierName,
    doubted: Generation,
) -> Result<(), ManifestError> {
    if manifest.marks(name).next().transpose()?.is_none() {
        return Ok(());
    }
    let mut outdated = Vec::new();
    for step in Steps::new(manifest, name, doubted, None)? {
        let Step {
            operation, doubt, ..
        } = step?;
        if !(doubt && doubted > Generation::NONE && is_confirmed(manifest, name, &operation)?) {
            outdated.push(operation.key().clone());
        }
        if outdated.len() >= GROUP {
            manifest.unmark(name, &std::mem::take(&mut outdated))?;
        }
    }
    manifest.unmark(name, &outdated)
}

/// True when an interrupted plan has recorded, after the tier had settled, that exactly this object was
/// acknowledged, and nothing has been written or owed on it since.
pub(super) fn is_confirmed(
    manifest: &Manifest,
    name: &TierName,
    operation: &Operation,
) -> Result<bool, ManifestError> {
    if manifest.debt(name, operation.url())?.is_some() {
        return Ok(false);
    }
    let mark = manifest.mark(name, operation.key())?;
    Ok(match (operation, mark) {
        (
            Operation::Put { object, .. }
            | Operation::Copy { object, .. }
            | Operation::Reheader { object, .. },
            Some(Mark::Written { state, .. }),
        ) => state == object.fingerprint(),
        (Operation::Delete { .. }, Some(Mark::Deleted)) => true,
        _ => false,
    })
}

/// The steps of a phase that were not already confirmed by a plan which a kill cut short.
struct Remaining<'a> {
    steps: Steps<'a>,
    resumed: bool,
    skipped: u64,
}

impl Remaining<'_> {
    fn next(&mut self, book: &Book<'_>) -> Result<Option<Operation>, ManifestError> {
        for step in self.steps.by_ref() {
            let Step {
                operation, doubt, ..
            } = step?;
            let (manifest, name) = (&book.sync.manifest, &book.open.name);
            if !(self.resumed && doubt && is_confirmed(manifest, name, &operation)?) {
                return Ok(Some(operation));
            }
            self.skipped += 1;
        }
        Ok(None)
    }
}

impl<'a> Book<'a> {
    pub(super) fn new(sync: &'a Sync, open: &'a OpenTier, progress: &'a TierProgress) -> Book<'a> {
        Book {
            sync,
            open,
            progress,
            report: TierReport {
                name: open.name.to_string(),
                ..TierReport::default()
            },
            acknowledged: Vec::new(),
            unconfirmed: 0,
            failures_in_a_row: 0,
            down: None,
        }
    }

    pub(super) fn open(&self) -> &'a OpenTier {
        self.open
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// Whether nothing failed that may succeed later.
    pub(super) fn may_delete(&self) -> bool {
        !self.is_down() && self.unconfirmed == 0
    }

    /// Notes that an operation was not tried, and is owed.
    pub(super) fn postpone(
        &mut self,
        operation: &Operation,
        why: &'static str,
    ) -> Result<(), ManifestError> {
        self.progress.step(1);
        self.report.failed += 1;
        let owed = [(operation.url().clone(), why)];
        self.sync.manifest.owe_all(&self.open.name, &owed)
    }

    pub(super) fn down(&mut self) -> Option<TierError> {
        self.down.take()
    }

    pub(super) fn into_report(self) -> TierReport {
        self.report
    }

    pub(super) async fn settle_when_many(&mut self) -> Result<(), SyncError> {
        if self.acknowledged.len() >= GROUP {
            self.settle().await?;
        }
        Ok(())
    }

    async fn write_all(&mut self, steps: &mut Remaining<'_>) -> Result<(), SyncError> {
        let (sync, open) = (self.sync, self.open);
        let mut in_flight = FuturesUnordered::new();
        let mut more = true;
        loop {
            while more && self.down.is_none() && in_flight.len() < open.concurrency {
                match steps.next(self)? {
                    Some(operation) => in_flight.push(write(sync, open, operation)),
                    None => more = false,
                }
            }
            match in_flight.next().await {
                Some(done) => self.enter(done?)?,
                None => return Ok(()),
            }
            self.settle_when_many().await?;
        }
    }

    async fn delete_all(&mut self, steps: &mut Remaining<'_>) -> Result<(), SyncError> {
        while self.down.is_none() {
            let mut operations = VecDeque::new();
            while operations.len() < GROUP {
                match steps.next(self)? {
                    Some(operation) => operations.push_back(operation),
                    None => break,
                }
            }
            if operations.is_empty() {
                return Ok(());
            }
            self.delete_group(operations).await?;
            self.settle().await?;
        }
        Ok(())
    }

    /// What takes the place of a page may be among the writes that failed, so every delete waits with
    /// them. One that can never be stored holds back nothing: a withdrawn page must go some day.
    async fn delete_later(&mut self, steps: &mut Remaining<'_>) -> Result<(), SyncError> {
        loop {
            let mut waiting = Vec::new();
            while waiting.len() < GROUP
                && let Some(operation) = steps.next(self)?
            {
                waiting.push((operation.url().clone(), WAITS));
            }
            if waiting.is_empty() {
                return Ok(());
            }
            self.progress.step(waiting.len() as u64);
            let name = self.open.name.clone();
            let owe = move |manifest: &Manifest| manifest.owe_all(&name, &waiting);
            off_thread(&self.sync.manifest, owe).await?;
        }
    }

    pub(super) async fn delete_group(
        &mut self,
        group: VecDeque<Operation>,
    ) -> Result<(), SyncError> {
        self.open.fuse.pass("tier.delete")?;
        let keys: Vec<ObjectKey> = group.iter().map(|op| op.key().clone()).collect();
        match self.open.tier.delete(&keys).await {
            Ok(failed) => {
                let mut failed: std::collections::HashMap<_, _> = failed.into_iter().collect();
                for operation in group {
                    let result = match failed.remove(operation.key()) {
                        Some(error) => Err(error),
                        None => Ok(None),
                    };
                    self.enter(Done { operation, result })?;
                }
            }
            Err(error) => self.down = Some(error),
        }
        Ok(())
    }

    /// Counts one tried operation; a failed one becomes a debt, too many make the tier down.
    pub(super) fn enter(&mut self, done: Done) -> Result<(), SyncError> {
        self.progress.step(1);
        match done.result {
            Ok(confirmed) => {
                self.failures_in_a_row = 0;
                self.acknowledge(done.operation, confirmed);
                Ok(())
            }
            Err(error) => self.fail(&done.operation, error),
        }
    }

    fn acknowledge(&mut self, operation: Operation, confirmed: Option<Confirmed>) {
        let url = operation.url().clone();
        let written = |object: &crate::delta::Object| {
            let confirmed = confirmed.expect("a write is confirmed with what the service reports");
            let mark = Mark::Written {
                state: object.fingerprint(),
                size: confirmed.size,
                etag: confirmed.etag,
            };
            (mark, Some(object.meta.content))
        };
        let (key, (mark, content)) = match operation {
            Operation::Put { key, object } => {
                self.report.put += 1;
                self.report.bytes += object.meta.size;
                (key, written(&object))
            }
            Operation::Copy { key, object, .. } => {
                self.report.copied += 1;
                (key, written(&object))
            }
            Operation::Reheader { key, object } => {
                self.report.reheadered += 1;
                (key, written(&object))
            }
            Operation::Delete { key, .. } => {
                self.report.deleted += 1;
                (key, (Mark::Deleted, None))
            }
        };
        self.acknowledged.push((key, url, mark, content));
    }

    fn fail(&mut self, operation: &Operation, error: TierError) -> Result<(), SyncError> {
        self.report.failed += 1;
        let stop = match error.class() {
            Class::Retry => {
                self.failures_in_a_row += 1;
                self.unconfirmed += 1;
                false
            }
            // About this object alone, however many of them there are: the tier is well.
            Class::Skip => false,
            Class::Stop => true,
        };
        tracing::warn!(tier = %self.open.name, url = %operation.url(), %error, "not stored");
        let manifest = &self.sync.manifest;
        manifest.unmark(&self.open.name, std::slice::from_ref(operation.key()))?;
        if stop || self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX {
            self.down.get_or_insert(error);
            return Ok(());
        }
        manifest.owe(&self.open.name, operation.url(), error.to_string())?;
        Ok(())
    }

    /// Settles the tier, then records what it acknowledged: a mark never runs ahead of the bytes.
    pub(super) async fn settle(&mut self) -> Result<(), SyncError> {
        if self.acknowledged.is_empty() {
            return Ok(());
        }
        self.open.fuse.pass("tier.settle")?;
        if let Err(error) = self.open.tier.settle().await {
            self.down.get_or_insert(error);
            self.acknowledged.clear();
            return Ok(());
        }
        let acknowledged = std::mem::take(&mut self.acknowledged);
        let (name, kind) = (self.open.name.clone(), self.open.state.etag);
        let record = move |manifest: &Manifest| {
            let confirmed: Vec<_> = acknowledged
                .iter()
                .map(|(key, url, mark, content)| manifest::Confirmation {
                    key,
                    url,
                    mark: mark.clone(),
                    content: *content,
                })
                .collect();
            manifest.confirm(&name, kind, &confirmed)
        };
        off_thread(&self.sync.manifest, record).await?;
        Ok(())
    }
}

/// Carries out one write, with one more attempt where the bytes went wrong on the way.
pub(super) async fn write(
    sync: &Sync,
    open: &OpenTier,
    mut operation: Operation,
) -> Result<Done, SyncError> {
    for attempt in 1.. {
        open.fuse.pass("tier.write")?;
        let (tried, result) = write_once(sync, open, operation).await?;
        operation = tried;
        open.fuse.pass("tier.written")?;
        match result {
            Err(error @ (TierError::Mismatch { .. } | TierError::Io { .. }))
                if attempt < ATTEMPTS =>
            {
                tracing::debug!(tier = %open.name, %error, attempt, "trying again");
                if let (TierError::Mismatch { .. }, Some(object)) = (&error, operation.object()) {
                    sync.bodies.doubt(object).await?;
                }
            }
            result => {
                let result = result.map(Some);
                return Ok(Done { operation, result });
            }
        }
    }
    unreachable!("the last attempt returns")
}

/// What cannot be done inside the tier, because it holds other bytes than expected or does not know
/// how, is sent instead; returned is what was really done.
async fn write_once(
    sync: &Sync,
    open: &OpenTier,
    operation: Operation,
) -> Result<(Operation, Result<Confirmed, TierError>), SyncError> {
    let tier = &open.tier;
    let inside = match &operation {
        Operation::Copy { from, key, object } => {
            let (manifest, meta) = (&sync.manifest, &object.meta);
            let etag = manifest.etag(&open.name, open.state.etag, from, &meta.content)?;
            Some(tier.copy(from, etag.as_deref(), key, meta).await)
        }
        Operation::Reheader { key, object } => {
            let meta = &object.meta;
            let etag = sync
                .manifest
                .etag(&open.name, open.state.etag, key, &meta.content)?;
            Some(tier.reheader(key, etag.as_deref(), meta).await)
        }
        Operation::Put { .. } | Operation::Delete { .. } => None,
    };
    match inside {
        Some(Err(
            error @ (TierError::Unsupported { .. }
            | TierError::Rejected { .. }
            | TierError::Mismatch { .. }),
        )) => tracing::debug!(tier = %open.name, %error, "sent instead"),
        Some(result) => return Ok((operation, result)),
        None => (),
    }
    let operation = match copied_across(sync, open, operation).await? {
        Ok(done) => return Ok(done),
        Err(operation) => operation,
    };
    let (key, object) = match operation {
        Operation::Put { key, object }
        | Operation::Copy { key, object, .. }
        | Operation::Reheader { key, object } => (key, object),
        Operation::Delete { .. } => unreachable!("deletes go in groups"),
    };
    let result = match sync.bodies.of(&key, &object).await? {
        // Held until it is sent: it may be a file that goes with it.
        Some(lent) => tier.put(&key, lent.body.clone(), &object.meta).await,
        None => Err(TierError::NoBody {
            tier: open.name.clone(),
            at: key.to_string(),
        }),
    };
    Ok((Operation::Put { key, object }, result))
}

/// A put that another tier of the same service can serve, if there is one that has exactly this object. Otherwise
/// the operation comes back.
async fn copied_across(
    sync: &Sync,
    open: &OpenTier,
    operation: Operation,
) -> Result<Result<(Operation, Result<Confirmed, TierError>), Operation>, SyncError> {
    let Some(across) = &sync.across else {
        return Ok(Err(operation));
    };
    let Operation::Put { key, object } = operation else {
        return Ok(Err(operation));
    };
    let (manifest, meta) = (&sync.manifest, &object.meta);
    let state = manifest.tier(&across.name)?;
    let changed = manifest.entry(&meta.url)?.map(|entry| entry.changed);
    let is_there = changed.is_some_and(|changed| changed <= state.watermark)
        && manifest.intent(&across.name)?.is_none()
        && manifest.debt(&across.name, &meta.url)?.is_none();
    if !is_there {
        return Ok(Err(Operation::Put { key, object }));
    }
    let etag = manifest.etag(&across.name, state.etag, &key, &meta.content)?;
    let copied = open
        .tier
        .copy_across(&across.place, etag.as_deref(), &key, meta)
        .await;
    Ok(match copied {
        Err(
            error @ (TierError::Unsupported { .. }
            | TierError::Rejected { .. }
            | TierError::Refused { .. }
            | TierError::Mismatch { .. }),
        ) => {
            tracing::debug!(tier = %open.name, %error, "sent instead");
            Err(Operation::Put { key, object })
        }
        result => {
            let from = key.clone();
            Ok((Operation::Copy { from, key, object }, result))
        }
    })
}
