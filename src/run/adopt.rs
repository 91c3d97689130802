//! Taking over tiers that are filled already: which of them are not ours yet, what in them is right, and
//! the claim at the end.
//!
//! Order is what makes it safe to be killed: everything is compared and recorded while the tier is not
//! ours, so that a run in between refuses it as before; then watermark and claim become durable together,
//! then the head is written. Adopting again after a kill begins anew and finds the same.

use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::house::{self, House};
use super::{Lock, RunError, Verdict, new_run_id};
use crate::audit::{self, AuditError, Comparison, Means, Mode};
use crate::config::{Config, TierConfig, TierName, TierTarget};
use crate::db::Fuse;
use crate::manifest::{Generation, Manifest, RunId};
use crate::store::Store;
use crate::sync::{self, Candidate, OpenTier};
use crate::tier::Capabilities;

/// Requests to claim a tier: its probe, and the head that is written.
const REQUESTS_TO_CLAIM_S3: u64 = 8 + 1;
const REQUESTS_TO_CLAIM_GCS: u64 = 7 + 1;
const REQUESTS_TO_CLAIM_FOLDER: u64 = 1;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct AdoptOrder {
    /// This tier alone.
    pub tier: Option<TierName>,
    pub effect: Effect,
    pub headers: Headers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Effect {
    #[default]
    Adopt,
    /// Nothing is written anywhere.
    DryRun,
}

/// What becomes of the headers of objects that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Headers {
    #[default]
    AsFound,
    Ours,
}

/// Requests, and bytes of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Cost {
    pub requests: u64,
    pub bytes: u64,
}

/// What the next sync of an adopted tier writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct NextSync {
    pub put: u64,
    pub deleted: u64,
    pub requests: u64,
    pub bytes: u64,
}

/// One tier in the report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TierAdoption {
    pub name: String,
    /// `adopted`, `would be adopted`, `ours already`, `empty` or `refused`.
    pub outcome: &'static str,
    #[serde(flatten)]
    pub found: Comparison,
    /// Objects that were given our headers.
    pub reheadered: u64,
    /// Requests sent.
    pub requests: u64,
    /// What adopting costs from here (in a dry run), listing included.
    pub adopting: Cost,
    pub next_sync: NextSync,
    /// Why the tier could not be adopted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// The report of `adopt`.
#[derive(Debug, Clone, Serialize)]
pub struct AdoptReport {
    pub generation: Generation,
    pub dry_run: bool,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub tiers: Vec<TierAdoption>,
    pub seconds: f64,
}

/// What the tiers of one adoption share.
struct Around<'a> {
    manifest: &'a Arc<Manifest>,
    store: Arc<Store>,
    config: &'a Config,
    order: &'a AdoptOrder,
    run: RunId,
    fuse: Fuse,
}

/// Adopts the tiers that are not ours yet, one after the other.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, [`RunError::Config`] when nothing has been crawled, and what
/// manifest and store say. What is wrong with a tier is in the report.
pub async fn adopt(
    config: &Config,
    order: &AdoptOrder,
    fuse: Fuse,
) -> Result<AdoptReport, RunError> {
    let begun = Instant::now();
    let tiers = chosen(config, order)?;
    let run = new_run_id();
    let _lock = Lock::acquire(&config.state.dir, "adopt", &run)?;
    let House { manifest, store } = House::open(config, fuse.clone())?;
    let generation = manifest.generation();
    if generation == Generation::NONE {
        return Err(RunError::Config(
            "there is nothing yet to compare the tiers with; run `standin crawl` first".into(),
        ));
    }
    let mut report = AdoptReport {
        generation,
        dry_run: order.effect == Effect::DryRun,
        verdict: Verdict::Ok,
        reasons: Vec::new(),
        tiers: Vec::new(),
        seconds: 0.0,
    };
    let around = Around {
        manifest: &manifest,
        store: Arc::new(store),
        config,
        order,
        run,
        fuse,
    };
    for tier in tiers {
        let adoption = one(&around, tier).await?;
        report.enter(adoption);
    }
    drop(around);
    let manifest = Arc::into_inner(manifest).expect("whoever worked with it has ended");
    house::close(manifest, config)?;
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

fn chosen<'a>(config: &'a Config, order: &AdoptOrder) -> Result<Vec<&'a TierConfig>, RunError> {
    if let Some(problem) = config.problems().into_iter().next() {
        return Err(RunError::Config(problem));
    }
    match &order.tier {
        None => Ok(config.tiers.iter().collect()),
        Some(name) => Ok(vec![config.tier(name).map_err(RunError::Config)?]),
    }
}

/// One tier. What stands in its way is part of its row; only manifest and store end the whole.
async fn one(around: &Around<'_>, tier: &TierConfig) -> Result<TierAdoption, RunError> {
    let mut row = TierAdoption {
        name: tier.name.to_string(),
        outcome: "refused",
        ..TierAdoption::default()
    };
    let client = match house::tier_of(tier) {
        Ok(client) => client,
        Err(error) => {
            row.trouble = Some(error.to_string());
            return Ok(row);
        }
    };
    let candidate = sync::open_to_adopt(
        around.manifest,
        Arc::clone(&client),
        tier.concurrency_max,
        around.fuse.clone(),
    )
    .await?;
    let done = match candidate {
        Err(trouble) => Err(Stopped::Tier(trouble.why)),
        Ok(Candidate::Empty) => {
            row.outcome = "empty";
            Ok(())
        }
        Ok(Candidate::Ours(open)) => ours(around, open, &mut row).await,
        Ok(Candidate::Filled(open)) => filled(around, open, &mut row).await,
    };
    match done {
        Err(Stopped::Tier(why)) => row.trouble = Some(why),
        Err(Stopped::All(error)) => return Err(error),
        Ok(()) => (),
    }
    row.requests = client.traffic().requests();
    Ok(row)
}

/// What ends the work on a tier.
enum Stopped {
    /// In one line.
    Tier(String),
    All(RunError),
}

impl<E: Into<RunError>> From<E> for Stopped {
    fn from(error: E) -> Stopped {
        Stopped::All(error.into())
    }
}

fn stopped(error: AuditError) -> Stopped {
    match error {
        AuditError::Tier(error) => Stopped::Tier(error.to_string()),
        error => Stopped::All(error.into()),
    }
}

/// A tier that was adopted before: at most its headers are left to do.
async fn ours(
    around: &Around<'_>,
    mut open: OpenTier,
    row: &mut TierAdoption,
) -> Result<(), Stopped> {
    row.outcome = "ours already";
    let left = around.manifest.as_found(&open.name, None);
    if around.order.headers == Headers::AsFound {
        row.found.as_found = left.count() as u64;
        return Ok(());
    }
    if around.order.effect == Effect::DryRun {
        row.found.as_found = left.count() as u64;
        let target = &around
            .config
            .tier(&open.name)
            .map_err(RunError::Config)?
            .target;
        row.adopting.requests = row.found.as_found * requests_to_reheader(target) + 1;
        return Ok(());
    }
    if left.take(1).count() > 0 {
        take(around, &mut open).await?;
        give_headers(around, &open, row).await?;
    }
    Ok(())
}

async fn filled(
    around: &Around<'_>,
    mut open: OpenTier,
    row: &mut TierAdoption,
) -> Result<(), Stopped> {
    let means = Means {
        manifest: Arc::clone(around.manifest),
        store: Arc::clone(&around.store),
        others: others(around.config, &open.name),
        scratch: around.config.state.dir.join("adopt"),
    };
    if around.order.effect == Effect::DryRun {
        row.found = audit::compare(&means, &open, Mode::Look)
            .await
            .map_err(stopped)?;
        row.outcome = "would be adopted";
        let target = &around
            .config
            .tier(&open.name)
            .map_err(RunError::Config)?
            .target;
        row.foretell(around.order.headers, open.tier.traffic().requests(), target);
        return Ok(());
    }
    let found = probed(&open).await?;
    let (name, manifest) = (open.name.clone(), Arc::clone(around.manifest));
    open.state = tokio::task::spawn_blocking(move || manifest.forget_tier(&name))
        .await
        .expect("manifest work does not panic and is never aborted")?;
    open.learn(found);
    let kind = open.state.etag;
    let compared = audit::compare(&means, &open, Mode::Record(kind)).await;
    row.found = compared.map_err(stopped)?;
    // Saved with the claim, before the head is written: a tier that has our head is never without it.
    open.state.watermark = around.manifest.generation();
    take(around, &mut open).await?;
    row.outcome = "adopted";
    if around.order.headers == Headers::Ours {
        give_headers(around, &open, row).await?;
    }
    row.foretell_sync();
    Ok(())
}

async fn probed(open: &OpenTier) -> Result<Capabilities, Stopped> {
    let probed = open.probe().await.map_err(RunError::from)?;
    probed.map_err(|error| Stopped::Tier(error.to_string()))
}

async fn take(around: &Around<'_>, open: &mut OpenTier) -> Result<(), Stopped> {
    let taken = open.take(around.manifest, &around.run).await?;
    taken.map_err(|error| Stopped::Tier(error.to_string()))
}

async fn give_headers(
    around: &Around<'_>,
    open: &OpenTier,
    row: &mut TierAdoption,
) -> Result<(), Stopped> {
    let pass = audit::reheader(around.manifest, open)
        .await
        .map_err(stopped)?;
    row.reheadered = pass.done;
    let left = around.manifest.as_found(&open.name, None);
    row.found.as_found = left.count() as u64;
    row.found.differing += pass.owed;
    match pass.down {
        None => Ok(()),
        Some(error) => Err(Stopped::Tier(error.to_string())),
    }
}

fn others(config: &Config, name: &TierName) -> Vec<TierName> {
    let names = config.tiers.iter().map(|tier| tier.name.clone());
    names.filter(|other| other != name).collect()
}

/// Google's service is asked for the digests first.
fn requests_to_reheader(target: &TierTarget) -> u64 {
    match target {
        TierTarget::Gcs(_) => 2,
        TierTarget::S3(_) | TierTarget::Directory(_) => 1,
    }
}

impl TierAdoption {
    /// What is still to be paid, from what was found. `looked`: the requests that the comparison took, which
    /// has to be made again.
    fn foretell(&mut self, headers: Headers, looked: u64, target: &TierTarget) {
        let found = &self.found;
        let reads = found.unread.objects + found.unread.bytes / crate::tier::PIECE_BYTES;
        let headers = match headers {
            Headers::AsFound => 0,
            Headers::Ours => (found.as_found + found.unread.objects) * requests_to_reheader(target),
        };
        let claim = match target {
            TierTarget::S3(_) => REQUESTS_TO_CLAIM_S3,
            TierTarget::Gcs(_) => REQUESTS_TO_CLAIM_GCS,
            TierTarget::Directory(_) => REQUESTS_TO_CLAIM_FOLDER,
        };
        self.adopting = Cost {
            requests: looked + reads + headers + claim,
            bytes: found.unread.bytes,
        };
        self.foretell_sync();
    }

    /// What the next sync writes.
    fn foretell_sync(&mut self) {
        let found = &self.found;
        let deletes = found.stale.div_ceil(1000);
        // Objects are put, then shown by as many listings as they need; the tier's head is read, taken and
        // replaced, with a checkpoint of a few objects.
        let around = found.listed.div_ceil(1000) + 6;
        self.next_sync = NextSync {
            put: found.to_put.objects,
            deleted: found.stale,
            requests: found.to_put.objects + deletes + around,
            bytes: found.to_put.bytes,
        };
    }
}

impl AdoptReport {
    fn enter(&mut self, row: TierAdoption) {
        let name = &row.name;
        let found = &row.found;
        if let Some(trouble) = &row.trouble {
            self.note(Verdict::Failed, trouble.clone());
        }
        if found.differs() {
            let reason = format!(
                "tier {name}: {} objects differ, {} are missing, {} are of withdrawn pages: the next sync writes exactly those",
                found.differing, found.missing, found.stale
            );
            self.note(Verdict::Degraded, reason);
        }
        self.tiers.push(row);
    }

    fn note(&mut self, verdict: Verdict, reason: String) {
        self.verdict = self.verdict.max(verdict);
        self.reasons.push(reason);
    }
}
