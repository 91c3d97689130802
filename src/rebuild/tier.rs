//! A tier that was emptied or lost, filled anew.
//!
//! What the manifest said of it is forgotten first, so that a kill in between leaves no claim without its ground.
//! What still lies there is compared by its listing; then the tier is claimed anew and a sync writes what is
//! lacking: copied inside the service where another tier lies in the same, else from the store or another tier.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::listing::{self, Comparison, Later};
use super::{Client, RebuildError, off_thread};
use crate::audit;
use crate::db::Fuse;
use crate::delta::Object;
use crate::manifest::{Generation, Manifest, RunId, Verified};
use crate::site::PageUrl;
use crate::store::Store;
use crate::sync::{self, Across, Bodies, OpenTier, Sync, TierProgress, TierReport, Trouble};

/// Pages that may have been withdrawn, looked up together.
const PAGES_AT_A_TIME: usize = 1_000;

/// What is asked for.
pub struct TierOrder<'a> {
    pub manifest: Arc<Manifest>,
    /// Where bodies may be read from; `None` leaves the store out.
    pub store: Option<Arc<Store>>,
    pub target: Client,
    /// Tiers that bodies may be read from, best first.
    pub others: Vec<Client>,
    /// For large bodies of theirs.
    pub scratch: PathBuf,
    pub run: RunId,
    /// Checkpoints kept.
    pub checkpoints: usize,
    pub progress: &'a TierProgress,
    pub fuse: Fuse,
    /// Seconds since 1970.
    pub now: i64,
}

/// Fills the tier. Inside: why it cannot be, in one line with the way out.
///
/// # Errors
/// What store and manifest say.
pub async fn tier(order: &TierOrder<'_>) -> Result<Result<TierReport, Trouble>, RebuildError> {
    let Client {
        tier, concurrency, ..
    } = &order.target;
    let opened = sync::open_to_rebuild(
        &order.manifest,
        Arc::clone(tier),
        *concurrency,
        order.fuse.clone(),
    );
    let (mut open, is_filled) = match opened.await? {
        Ok(opened) => opened,
        Err(trouble) => return Ok(Err(trouble)),
    };
    let left = match tier.list_small(sync::PARTS).await {
        Ok(left) => left,
        Err(error) => return Ok(Err(error.into())),
    };
    if let Err(trouble) = begin(order, &mut open, is_filled).await? {
        return Ok(Err(trouble));
    }
    let sync = Sync {
        manifest: Arc::clone(&order.manifest),
        bodies: Bodies::new(
            Arc::clone(&order.manifest),
            order.store.clone(),
            order
                .others
                .iter()
                .map(|one| Arc::clone(&one.tier))
                .collect(),
            order.scratch.clone(),
        ),
        run: order.run.clone(),
        checkpoints: order.checkpoints,
        across: across(order),
    };
    let outcome = sync.bring_up(&mut open, order.progress).await?;
    let mut report = outcome.report;
    let trouble = match outcome.down {
        Some(trouble) => Some(trouble),
        None => finish(order, &sync, &mut open, &left).await?,
    };
    report.trouble = trouble.map(|trouble| trouble.why);
    report.debts = order.manifest.debts(&open.name).count() as u64;
    report.watermark = open.state.watermark;
    report.verified = open.state.verified.map(|verified| verified.generation);
    report.count(tier.as_ref());
    Ok(Ok(report))
}

/// Forgets, looks, claims.
async fn begin(
    order: &TierOrder<'_>,
    open: &mut OpenTier,
    is_filled: bool,
) -> Result<Result<(), Trouble>, RebuildError> {
    trust_what_others_show(order).await?;
    let (name, epoch) = (open.name.clone(), open.state.epoch);
    open.state = off_thread(&order.manifest, move |manifest| {
        let state = manifest.forget_tier(&name)?;
        // An emptied tier is filled by the layout of today, whatever it was to be moved from.
        manifest.end_moving(&name, &state)?;
        Ok(state)
    })
    .await?;
    open.state.epoch = epoch.max(open.state.epoch);
    order.fuse.pass("rebuild.forgotten")?;
    if is_filled {
        let found = match open.probe().await? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error.into())),
        };
        open.learn(found);
        let by = Comparison {
            kind: open.state.etag,
            later: Later::Replaced,
            confirmed: Generation::NONE,
            told: order.manifest.generation(),
            before: Vec::new(),
        };
        match listing::reconcile(&order.manifest, &order.target, &by).await {
            Ok(done) => {
                tracing::info!(?done, "what was there");
                // A listing of everything is the proof of everything. What is owed is proven when it was written.
                open.state.verified = (done.owed == 0).then(|| Verified {
                    generation: order.manifest.generation(),
                    at: order.now,
                });
            }
            Err(RebuildError::Tier(error)) => return Ok(Err(error.into())),
            Err(error) => return Err(error),
        }
        // Saved with the claim: a tier that has our head is never without what it owes.
        open.state.watermark = order.manifest.generation();
    }
    let taken = open.take(&order.manifest, &order.run).await?;
    Ok(taken.map_err(Trouble::from))
}

/// A page that may have been withdrawn and that another tier serves all the while is written here, too: nobody is protected
/// by keeping it from one that is to be filled again.
async fn trust_what_others_show(order: &TierOrder<'_>) -> Result<(), RebuildError> {
    let mut after = None;
    loop {
        let begin = after.take();
        let look = move |m: &Manifest| m.perhaps_gone_after(begin.as_ref(), PAGES_AT_A_TIME);
        let urls = off_thread(&order.manifest, look).await?;
        let Some(last) = urls.last().cloned() else {
            return Ok(());
        };
        after = Some(last);
        let shown: Vec<Option<PageUrl>> = stream::iter(urls)
            .map(|url| async {
                is_shown(order, &url)
                    .await
                    .map(|shown| shown.then_some(url))
            })
            .buffered(order.target.concurrency)
            .try_collect()
            .await?;
        let shown: Vec<PageUrl> = shown.into_iter().flatten().collect();
        off_thread(&order.manifest, move |manifest| manifest.trust(&shown)).await?;
    }
}

/// Whether another tier has just the object that the manifest says. One that cannot be asked shows nothing.
async fn is_shown(order: &TierOrder<'_>, url: &PageUrl) -> Result<bool, RebuildError> {
    let Some(entry) = order.manifest.entry(url)? else {
        return Ok(false);
    };
    let Some(object) = Object::of(url, &entry) else {
        return Ok(false);
    };
    let key = order.manifest.layout().place(url).key;
    for other in &order.others {
        let seen = other.tier.head(&key).await.ok().flatten();
        let meta = seen.and_then(|seen| seen.meta);
        if meta.is_some_and(|meta| meta.content == object.meta.content) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A tier of the same service that bodies can be copied from.
fn across(order: &TierOrder<'_>) -> Option<Across> {
    let ours = order.target.tier.service_place()?;
    order.others.iter().find_map(|other| {
        let place = other.tier.service_place()?;
        (place.service == ours.service).then(|| Across {
            name: other.name.clone(),
            place: Arc::new(place),
        })
    })
}

/// Proof, checkpoint and head; then what is left of checkpoints from before.
async fn finish(
    order: &TierOrder<'_>,
    sync: &Sync,
    open: &mut OpenTier,
    left: &[String],
) -> Result<Option<Trouble>, RebuildError> {
    match audit::prove(&order.manifest, open, order.now).await {
        Ok(findings) if findings.differ() => {
            open.state.verified = None;
            open.save(&order.manifest).await?;
        }
        Ok(_) => (),
        Err(audit::AuditError::Tier(error)) => return Ok(Some(error.into())),
        Err(error) => return Err(error.into()),
    }
    let published = sync::publish(&order.manifest, open, &order.run, sync.checkpoints).await?;
    if let Err(error) = published {
        return Ok(Some(error.into()));
    }
    if open.state.watermark == Generation::NONE {
        return Ok(None);
    }
    let named = open.checkpoint_names();
    for name in left.iter().filter(|name| !named.contains(*name)) {
        if let Err(error) = open.tier.delete_small(name).await {
            tracing::warn!(%error, name, "an old checkpoint object stays in the tier");
        }
    }
    Ok(None)
}
