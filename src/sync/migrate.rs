//! A tier moved from one layout to another, in place: see [`super::moves`] for what that takes. It is a plan like any
//! other, with its intent, its marks and its watermark, and with one rule more: the tier has the new layout when
//! every one of its objects is confirmed under its new key, and until then nothing goes from an old one. Its head says
//! so before the manifest does: whatever comes between, the tier is known by both layouts.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::claim::OpenTier;
use super::execute::{Book, Outcome, Sync, write};
use super::moves::Moves;
use super::{SyncError, TierProgress, Trouble, head, off_thread};
use crate::config::TierName;
use crate::delta::Operation;
use crate::manifest::{Filled, Generation, Intent, Manifest, ManifestError, PERHAPS_GONE};

/// Pages looked at before the other tiers have a turn: some milliseconds.
const LOOKED_AT_MAX: u32 = 100;

/// Why a page is owed that was not tried.
const WAITS: &str = "what lies under its new key has not been moved away yet";

/// Deletes in one request, and marks forgotten in one batch.
const GROUP: usize = 1000;

impl Sync {
    /// Moves a tier that is filled by another layout to the manifest's, and to the current generation, as far as it
    /// goes.
    ///
    /// # Errors
    /// What the manifest or the store says; trouble of the tier is in the outcome.
    pub async fn move_over(
        &self,
        open: &mut OpenTier,
        filled: &Filled,
        progress: &TierProgress,
    ) -> Result<Outcome, SyncError> {
        let to = self.manifest.generation();
        let layout = self.manifest.layout().clone();
        let moves = self.begun(open, filled, progress).await?;
        let mut down = open.take(&self.manifest, &self.run).await?.err();
        let mut book = Book::new(self, open, progress);
        if down.is_none() {
            for round in 0..=moves.rounds {
                self.write_round(&mut book, &moves, round).await?;
                book.settle().await?;
            }
            if book.may_delete() {
                self.delete_old(&mut book, &moves).await?;
            }
            down = book.down();
        }
        let report = book.into_report();
        if down.is_none() && report.failed == 0 {
            down = head::say_layout(open, &layout).await?.err();
        }
        if down.is_none() && report.failed == 0 {
            open.state.watermark = to;
            // The head is to be written once more, with what is there now and its proof.
            open.state.head = Generation::NONE;
            open.state.listed_up_to = None;
            open.state.verified = None;
            let (name, state) = (open.name.clone(), open.state.clone());
            off_thread(&self.manifest, move |m| m.end_moving(&name, &state)).await?;
            open.filled = layout;
        }
        let down = down.map(Trouble::from);
        Ok(Outcome { report, down })
    }

    /// Finds out what there is to do, and makes durable that it has begun.
    async fn begun(
        &self,
        open: &OpenTier,
        filled: &Filled,
        progress: &TierProgress,
    ) -> Result<Arc<Moves<Arc<Manifest>>>, SyncError> {
        let (manifest, name) = (Arc::clone(&self.manifest), open.name.clone());
        let (filled, prices) = (filled.clone(), open.tier.prices());
        let intent = Intent {
            plan: self.run.clone(),
            from: open.state.watermark,
            to: manifest.generation(),
        };
        let work = move |_: &Manifest| {
            let moves = Moves::new(Arc::clone(&manifest), &name, &filled, manifest.layout())?;
            let cost = moves.cost(&prices, true)?;
            if !filled.moving {
                forget_marks(&manifest, &name, &moves)?;
                manifest.begin_moving(&name, &filled)?;
            }
            manifest.begin_plan(&name, intent)?;
            Ok((Arc::new(moves), cost.planned.operations()))
        };
        let (moves, operations) = off_thread(&self.manifest, work).await?;
        progress.plan(operations);
        Ok(moves)
    }

    async fn write_round(
        &self,
        book: &mut Book<'_>,
        moves: &Moves<Arc<Manifest>>,
        round: u32,
    ) -> Result<(), SyncError> {
        let open = book.open();
        let mut writes = moves.writes(round);
        let mut in_flight = FuturesUnordered::new();
        let mut more = true;
        while more || !in_flight.is_empty() {
            let mut looked_at = 0;
            while more
                && !book.is_down()
                && in_flight.len() < open.concurrency
                && looked_at < LOOKED_AT_MAX
            {
                looked_at += 1;
                match writes.next().transpose()? {
                    None => more = false,
                    Some(None) => (),
                    Some(Some(operation)) if moves.is_done(&operation)? => (),
                    Some(Some(operation)) if moves.must_wait(&operation)? => {
                        book.postpone(&operation, WAITS)?;
                    }
                    Some(Some(operation)) if waits(&self.manifest, &operation)? => {
                        book.postpone(&operation, PERHAPS_GONE)?;
                    }
                    Some(Some(operation)) => in_flight.push(write(self, open, operation)),
                }
            }
            more &= !book.is_down();
            match in_flight.next().await {
                Some(done) => book.enter(done?)?,
                None => tokio::task::yield_now().await,
            }
            book.settle_when_many().await?;
        }
        Ok(())
    }

    /// An object stays under its old key as long as its page is owed under the new one.
    async fn delete_old(
        &self,
        book: &mut Book<'_>,
        moves: &Moves<Arc<Manifest>>,
    ) -> Result<(), SyncError> {
        let mut group = std::collections::VecDeque::new();
        for operation in moves.deletes() {
            let operation = operation?;
            if !moves.is_done(&operation)? && !moves.is_owed(operation.url())? {
                group.push_back(operation);
            }
            if group.len() >= GROUP {
                book.delete_group(std::mem::take(&mut group)).await?;
                book.settle().await?;
            }
            if book.is_down() {
                return Ok(());
            }
        }
        if !group.is_empty() {
            book.delete_group(group).await?;
        }
        book.settle().await
    }
}

/// Whether a page is not to be written before the site has answered for it. What the tier has may be moved.
fn waits(manifest: &Manifest, operation: &Operation) -> Result<bool, ManifestError> {
    match operation {
        Operation::Put { .. } => manifest.is_perhaps_gone(operation.url()),
        _ => Ok(false),
    }
}

/// Removes the marks of earlier plans on what is written now: after a kill they would vouch for it.
fn forget_marks(
    manifest: &Manifest,
    name: &TierName,
    moves: &Moves<Arc<Manifest>>,
) -> Result<(), ManifestError> {
    if manifest.marks(name).next().transpose()?.is_none() {
        return Ok(());
    }
    let mut outdated = Vec::new();
    let writes = (0..=moves.rounds).flat_map(|round| moves.writes(round));
    let writes = writes.filter_map(Result::transpose);
    for operation in writes.chain(moves.deletes()) {
        outdated.push(operation?.key().clone());
        if outdated.len() >= GROUP {
            manifest.unmark(name, &std::mem::take(&mut outdated))?;
        }
    }
    manifest.unmark(name, &outdated)
}
