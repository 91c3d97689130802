//! A complete audit: every tier gone through side by side under the lock of a run, what they have found put together,
//! and where it was asked for mended.
//!
//! It looks, and records that a tier was proven whole, or that it is not any more and why (`remembered.rs`). What it may
//! change in a tier is said in `repair.rs`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Serialize;

use super::house::{self, House};
use super::remembered;
use super::repair::{Repairing, Sent, Unrepaired};
use super::report::rfc3339;
use super::status::{self, Audited, AuditedTier};
use super::{Lock, RunError, Surroundings, Verdict, new_run_id};
use crate::audit::{
    Audit, AuditError, Class, Closely, Counts, Depth, Finding, Ledger, Order, Part, Place, Share,
    bad_at_most,
};
use crate::config::{Config, TierConfig, TierName};
use crate::db::Fuse;
use crate::manifest::{Clash, Generation, Manifest, Verified};
use crate::sync::{self, OpenTier, TierProgress};
use crate::tier::{Tier, TierError, Traffic};

/// How sure the bound of a sample is.
const CONFIDENCE: f64 = 0.95;

/// An upload that was begun longer ago is none that is under way.
pub(super) const UPLOAD_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct AuditOrder {
    /// These alone; all where there are none.
    pub tiers: Vec<TierName>,
    pub depth: Depth,
    pub mending: Mending,
    pub foreign: ForeignObjects,
    /// Where a file for each class of findings goes.
    pub report: Option<PathBuf>,
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mending {
    /// It is told.
    #[default]
    None,
    /// It is mended as far as it can be.
    Repair,
}

/// What becomes of objects that no page of the site has the key of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForeignObjects {
    #[default]
    Keep,
    Delete,
}

/// What a sample says of all objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sampled {
    /// How many were to be looked at.
    pub asked: u64,
    pub looked_at: u64,
    pub bad: u64,
    /// Below this share the bad ones of all objects lie.
    pub bad_at_most: f64,
    pub confidence: f64,
    /// The same in words.
    pub says: String,
}

/// One tier in the report.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TierAudit {
    pub name: String,
    /// All of it was seen.
    pub complete: bool,
    /// Objects that should be there and were compared.
    pub checked: u64,
    /// Objects that the listing shows.
    pub listed: u64,
    /// The first of each class; `counts` counts all.
    pub missing: Vec<Finding>,
    pub corrupt: Vec<Finding>,
    pub foreign: Vec<Finding>,
    pub stale: Vec<Finding>,
    pub wrong_headers: Vec<Finding>,
    pub checkpoint: Vec<Finding>,
    pub counts: Counts,
    /// What uploads have left behind that never ended; null where the service does not say.
    pub leftover_uploads: Option<u64>,
    /// Debts, whether the audit has met them or not.
    pub debts: u64,
    /// A plan was begun on it and has not ended.
    pub in_doubt: bool,
    pub read: Closely,
    pub headers: Closely,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_sample: Option<Sampled>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_sample: Option<Sampled>,
    /// When each part of the tier was last read back, by this audit or by the scrub of runs.
    pub read_back: Vec<Part>,
    /// Findings that were mended: looked at again, and right.
    pub repaired: u64,
    /// Those that were to be mended and are as they were; the first of them.
    pub unrepaired: Vec<Unrepaired>,
    pub unrepaired_count: u64,
    /// What was done to mend them.
    pub sent: Sent,
    pub watermark: Generation,
    pub verified: Option<Verified>,
    pub requests: u64,
    pub traffic: Traffic,
    pub seconds: f64,
    /// Why it could not be seen, or what is wrong with it as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// The report of `audit`.
#[derive(Debug, Clone, Serialize)]
pub struct AuditReport {
    pub generation: Generation,
    pub verdict: Verdict,
    /// Some of it could not be seen: whatever else it says, it does not say that all is well.
    pub incomplete: bool,
    pub reasons: Vec<String>,
    pub tiers: Vec<TierAudit>,
    /// Keys on which pages with different content lie.
    pub collided: u64,
    /// The first of them.
    pub collisions: Vec<Clash>,
    /// It went on where a killed one was, which had begun then (RFC 3339).
    pub resumed: Option<String>,
    pub seconds: f64,
}

/// A tier, as far as it could be opened.
pub(super) struct Visit {
    pub name: TierName,
    pub client: Option<Arc<dyn Tier>>,
    pub open: Option<OpenTier>,
    pub row: TierAudit,
    verified_before: Option<Verified>,
    /// Its listing was read to the end.
    is_gone_through: bool,
    /// The audit itself has failed on it.
    failed: bool,
}

/// Audits tiers.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, [`RunError::Config`] when nothing has been crawled, and what manifest and
/// state directory say. What is wrong with a tier is in the report.
pub async fn audit(
    config: &Config,
    order: &AuditOrder,
    around: Surroundings<'_>,
) -> Result<AuditReport, RunError> {
    let begun = Instant::now();
    let tiers = chosen(config, &order.tiers)?;
    let run = new_run_id();
    let _lock = Lock::acquire(&config.state.dir, around.verb, &run)?;
    let mut house = House::open(config, around.fuse.clone())?;
    let manifest = Arc::clone(&house.manifest);
    if manifest.generation() == Generation::NONE {
        return Err(RunError::Config(
            "there is nothing yet to compare the tiers with; run `standin crawl` first".into(),
        ));
    }
    around.live.enter("audit");
    let mut visits = open_all(&manifest, tiers, &around.fuse).await?;
    let now = (around.clock)();
    let repairing = Repairing {
        config,
        run,
        around: &around,
    };
    if order.mending == Mending::Repair {
        house = repairing.bring_up(house, &mut visits).await?;
        around.live.enter("audit");
    }
    let begin = Order {
        manifest: &manifest,
        dir: config.state.dir.join("audit"),
        tiers: visits.iter().filter_map(Visit::opened).collect(),
        depth: order.depth,
        now,
        fuse: around.fuse.clone(),
    };
    let audit = Audit::begin(begin).await?;
    look_at_all(&audit, &mut visits, order.depth, &around).await?;
    for visit in &mut visits {
        if visit.is_ours() {
            remembered::remember(&audit, &manifest, &visit.name)?;
        }
        conclude(&manifest, visit, audit.begun_at())?;
        note_read_back(config, order, &audit, &manifest, visit)?;
    }
    if let Some(dir) = &order.report {
        let names = visits.iter().map(|visit| visit.name.clone());
        audit.report(dir, &names.collect::<Vec<_>>())?;
    }
    let (house, said) = mend(&repairing, (&audit, order), house, &mut visits).await?;
    let mut report = AuditReport::begin(&manifest, &audit)?;
    for reason in said {
        report.note(Verdict::Ok, reason);
    }
    close(audit, &visits)?;
    for visit in visits {
        report.note_clock(&visit, now);
        report.enter(visit.row, order);
    }
    drop(manifest);
    house.close(config)?;
    report.seconds = begun.elapsed().as_secs_f64();
    status::keep_audit(&config.state.dir, report.told(now))?;
    Ok(report)
}

/// Does what was asked for about the findings. Returned is what there is to say of it.
async fn mend(
    repairing: &Repairing<'_>,
    (audit, order): (&Audit, &AuditOrder),
    mut house: House,
    visits: &mut [Visit],
) -> Result<(House, Vec<String>), RunError> {
    let mut said = Vec::new();
    if order.mending == Mending::Repair {
        (house, said) = repairing.mend(audit, house, visits).await?;
    }
    let looks_again = order.mending == Mending::Repair || order.foreign == ForeignObjects::Delete;
    for visit in visits.iter_mut().filter(|visit| visit.can_be_mended()) {
        if order.foreign == ForeignObjects::Delete && visit.row.counts.foreign > 0 {
            repairing
                .delete_foreign(audit, &house.manifest, visit)
                .await?;
        }
        if looks_again && visit.can_be_mended() {
            repairing.look_again(audit, &house.manifest, visit).await?;
            conclude_again(&house.manifest, visit)?;
        }
    }
    Ok((house, said))
}

/// How a tier stands when it was mended.
fn conclude_again(manifest: &Manifest, visit: &mut Visit) -> Result<(), RunError> {
    let row = &mut visit.row;
    row.debts = manifest.debts(&visit.name).count() as u64;
    row.in_doubt = manifest.intent(&visit.name)?.is_some();
    if let Some(open) = &visit.open {
        (row.watermark, row.verified) = (open.state.watermark, open.state.verified);
        row.traffic = open.tier.traffic();
        row.requests = row.traffic.requests();
    }
    Ok(())
}

fn chosen<'a>(config: &'a Config, names: &[TierName]) -> Result<Vec<&'a TierConfig>, RunError> {
    if let Some(problem) = config.problems().into_iter().next() {
        return Err(RunError::Config(problem));
    }
    if names.is_empty() {
        return Ok(config.tiers.iter().collect());
    }
    let mut chosen: Vec<&TierConfig> = Vec::new();
    for name in names {
        let tier = config.tier(name).map_err(RunError::Config)?;
        if !chosen.iter().any(|other| other.name == tier.name) {
            chosen.push(tier);
        }
    }
    Ok(chosen)
}

async fn open_all(
    manifest: &Arc<Manifest>,
    tiers: Vec<&TierConfig>,
    fuse: &Fuse,
) -> Result<Vec<Visit>, RunError> {
    let opening = tiers.into_iter().map(|tier| open(manifest, tier, fuse));
    let mut visits = Vec::new();
    for visit in join_all(opening).await {
        visits.push(visit?);
    }
    Ok(visits)
}

async fn open(manifest: &Arc<Manifest>, tier: &TierConfig, fuse: &Fuse) -> Result<Visit, RunError> {
    let mut visit = Visit {
        name: tier.name.clone(),
        client: None,
        open: None,
        row: TierAudit {
            name: tier.name.to_string(),
            ..TierAudit::default()
        },
        verified_before: manifest.tier(&tier.name)?.verified,
        is_gone_through: false,
        failed: false,
    };
    let client = match house::tier_of(tier) {
        Ok(client) => client,
        Err(error) => {
            visit.fail(error.to_string());
            return Ok(visit);
        }
    };
    visit.client = Some(Arc::clone(&client));
    if manifest.filled(&tier.name)?.is_some() {
        visit.fail(format!(
            "tier {}: its objects lie under keys of another layout than the mirror's, so they cannot be compared: `standin sync` moves them first",
            tier.name
        ));
        return Ok(visit);
    }
    let concurrency = tier.concurrency_max;
    match sync::open_to_look(manifest, client, concurrency, fuse.clone()).await? {
        Ok(open) => visit.open = Some(open),
        Err(trouble) => visit.fail(trouble.why),
    }
    Ok(visit)
}

impl Visit {
    pub fn fail(&mut self, why: String) {
        self.failed = true;
        self.row.trouble = Some(why);
    }

    /// Only what is ours is written to, and only while it can be.
    pub fn can_be_mended(&self) -> bool {
        !self.failed && self.is_ours()
    }

    fn opened(&self) -> Option<&OpenTier> {
        self.open.as_ref()
    }

    fn is_ours(&self) -> bool {
        let is_ours = |open: &OpenTier| open.state.epoch > 0 && !open.has_lost_its_head();
        self.open.as_ref().is_some_and(is_ours)
    }
}

/// Goes through all tiers that could be opened, side by side.
async fn look_at_all(
    audit: &Audit,
    visits: &mut [Visit],
    depth: Depth,
    around: &Surroundings<'_>,
) -> Result<(), RunError> {
    let looks = visits.iter_mut().filter(|visit| visit.open.is_some());
    let looks = looks.map(|visit| {
        let progress = around.live.tier(visit.name.as_str());
        look(audit, visit, depth, progress)
    });
    for looked in join_all(looks).await {
        looked?;
    }
    Ok(())
}

/// Goes through one tier, and counts what its uploads have left.
async fn look(
    audit: &Audit,
    visit: &mut Visit,
    depth: Depth,
    progress: Arc<TierProgress>,
) -> Result<(), RunError> {
    let begun = Instant::now();
    let open = visit.open.as_ref().expect("only open tiers are looked at");
    let (place, failure) = audit.tier(open, &progress).await;
    let row = &mut visit.row;
    enter_place(row, &place, depth);
    for finding in audit.named(&open.name)? {
        match finding.class {
            Class::Missing => &mut row.missing,
            Class::Corrupt => &mut row.corrupt,
            Class::Foreign => &mut row.foreign,
            Class::Stale => &mut row.stale,
            Class::WrongHeaders => &mut row.wrong_headers,
            Class::Checkpoint => &mut row.checkpoint,
        }
        .push(finding);
    }
    let mut failed = None;
    match failure {
        None => match open.tier.leftovers(UPLOAD_AGE_MAX).await {
            Ok(number) => row.leftover_uploads = Some(number),
            Err(TierError::Unsupported { .. } | TierError::Rejected { .. }) => (),
            Err(error) => failed = Some(format!("{error} (its unfinished uploads)")),
        },
        Some(error @ (AuditError::Tier(_) | AuditError::Listing { .. })) => {
            failed = Some(error.to_string());
        }
        Some(error) => return Err(error.into()),
    }
    visit.is_gone_through = place.is_complete;
    row.complete = place.is_complete && row.counts.unseen == 0 && failed.is_none();
    row.seconds = begun.elapsed().as_secs_f64();
    if let Some(why) = failed {
        visit.fail(why);
    }
    Ok(())
}

fn enter_place(row: &mut TierAudit, place: &Place, depth: Depth) {
    row.checked = place.checked;
    row.listed = place.listed;
    row.counts = place.counts;
    row.read = place.read;
    row.headers = place.headers;
    let left_out = place.counts.known() + place.counts.unseen;
    row.read_sample = sampled(depth.read, &place.read, left_out);
    row.headers_sample = sampled(depth.headers, &place.headers, left_out);
}

/// What a sample says; `None` where all were looked at, or none. `left_out`: objects of which nobody can say anything.
fn sampled(share: Share, found: &Closely, left_out: u64) -> Option<Sampled> {
    let Share::Sample(asked) = share else {
        return None;
    };
    let bound = bad_at_most(found.bad, found.objects, CONFIDENCE);
    let mut says = format!(
        "{} of {} bad: under {} % at {:.0} %",
        found.bad,
        found.objects,
        percent(bound),
        CONFIDENCE * 100.0
    );
    if left_out > 0 {
        let without =
            format!(", without {left_out} that are owed, behind or could not be looked at");
        says.push_str(&without);
    }
    Some(Sampled {
        asked,
        looked_at: found.objects,
        bad: found.bad,
        bad_at_most: bound,
        confidence: CONFIDENCE,
        says,
    })
}

/// With two digits that count, rounded up: what is said to be under it is.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let (digits, units) = match percent {
        1.0.. => (1, 10.0),
        0.01..1.0 => (2, 100.0),
        _ => (4, 10_000.0),
    };
    format!("{:.digits$}", (percent * units).ceil() / units)
}

/// Records what the audit says of the tier as a whole. `begun`: what it says was so then, and of what was seen before
/// a kill nobody knows more.
fn conclude(manifest: &Manifest, visit: &mut Visit, begun: i64) -> Result<(), RunError> {
    let row = &mut visit.row;
    if let Some(client) = &visit.client {
        row.traffic = client.traffic();
        row.requests = row.traffic.requests();
    }
    let Some(open) = &mut visit.open else {
        let state = manifest.tier(&visit.name)?;
        (row.watermark, row.verified) = (state.watermark, state.verified);
        row.debts = manifest.debts(&visit.name).count() as u64;
        return Ok(());
    };
    row.debts = manifest.debts(&open.name).count() as u64;
    row.in_doubt = manifest.intent(&open.name)?.is_some();
    if open.has_lost_its_head() {
        let why = format!(
            "tier {} has lost its {}: something deletes there what it does not know; switch that off, then `standin adopt --tier {}` takes the tier back",
            open.name,
            sync::HEAD,
            open.name
        );
        row.trouble.get_or_insert(why);
    }
    if row.counts.checkpoint > 0 {
        open.doubt_checkpoints();
    }
    let contradicted = row.counts.contradictions() > 0 || open.has_lost_its_head();
    let is_whole = row.complete && row.debts == 0 && !row.in_doubt && row.counts.known() == 0;
    let is_filled = open.state.watermark > Generation::NONE;
    if contradicted {
        open.state.verified = None;
    } else if is_whole && is_filled {
        open.state.verified = Some(Verified {
            generation: open.state.watermark,
            at: begun,
        });
    }
    (row.watermark, row.verified) = (open.state.watermark, open.state.verified);
    if open.state.epoch > 0 {
        manifest.save_tier(&open.name, &open.state)?;
    }
    Ok(())
}

/// Notes that all of a tier was read back, if it was, and says when each part of it was.
fn note_read_back(
    config: &Config,
    order: &AuditOrder,
    audit: &Audit,
    manifest: &Manifest,
    visit: &mut Visit,
) -> Result<(), RunError> {
    let (state, lineage) = (&config.state.dir, manifest.about().lineage.0);
    let mut ledger = Ledger::open(state, &visit.name, &lineage);
    if visit.row.complete && order.depth.read == Share::All {
        ledger.note(None, None, audit.begun_at());
        ledger.save(state, &visit.name, &lineage)?;
    }
    visit.row.read_back = ledger.parts().to_vec();
    Ok(())
}

/// What an audit keeps for the next one: how far it came with what it could not see to the end.
fn close(audit: Audit, visits: &[Visit]) -> Result<(), AuditError> {
    let looked_at = visits.iter().filter(|visit| visit.open.is_some());
    let (finished, unfinished): (Vec<&Visit>, Vec<&Visit>) =
        looked_at.partition(|visit| visit.is_gone_through);
    let names = |visits: &[&Visit]| -> Vec<TierName> {
        visits.iter().map(|visit| visit.name.clone()).collect()
    };
    audit.end(&names(&unfinished), &names(&finished))
}

impl AuditReport {
    fn begin(manifest: &Manifest, audit: &Audit) -> Result<AuditReport, RunError> {
        let sharing = manifest.sharing()?;
        let mut report = AuditReport {
            generation: manifest.generation(),
            verdict: Verdict::Ok,
            incomplete: false,
            reasons: Vec::new(),
            tiers: Vec::new(),
            collided: sharing.collided,
            collisions: sharing.collisions,
            resumed: audit.is_resumed.then(|| rfc3339(audit.begun_at())),
            seconds: 0.0,
        };
        if report.collided > 0 {
            let reason = format!(
                "{} keys have several pages with different content, of which one is served: see `collisions`",
                report.collided
            );
            report.note(Verdict::Degraded, reason);
        }
        Ok(report)
    }

    /// A clock that goes backwards makes every age wrong that anybody computes.
    fn note_clock(&mut self, visit: &Visit, now: i64) {
        if let Some(before) = visit.verified_before.filter(|before| before.at > now) {
            let reason = format!(
                "tier {} was proven at {}, and it is {} now: the clock has gone backwards",
                visit.name,
                rfc3339(before.at),
                rfc3339(now)
            );
            self.note(Verdict::Ok, reason);
        }
    }

    // long: one reason after the other, in the order of their weight
    fn enter(&mut self, row: TierAudit, order: &AuditOrder) {
        let name = &row.name;
        let counts = &row.counts;
        let is_mended = order.mending == Mending::Repair;
        if let Some(trouble) = &row.trouble {
            let verdict = match row.complete {
                true => Verdict::Degraded,
                false => Verdict::Failed,
            };
            self.note(verdict, trouble.clone());
        }
        if counts.unseen > 0 {
            let reason = format!(
                "tier {name}: {} objects could not be looked at",
                counts.unseen
            );
            self.note(Verdict::Failed, reason);
        }
        if counts.findings() > 0 {
            let mut what = format!(
                "tier {name}: {} missing, {} corrupt, {} foreign, {} stale, {} with wrong headers",
                counts.missing, counts.corrupt, counts.foreign, counts.stale, counts.wrong_headers
            );
            if counts.checkpoint > 0 {
                let parts = format!(", {} broken parts of its checkpoints", counts.checkpoint);
                what.push_str(&parts);
            }
            if row.repaired >= counts.findings() {
                self.note(Verdict::Ok, format!("{what}: all of it was mended"));
            } else if row.repaired > 0 {
                let reason = format!("{what}: {} of it was mended", row.repaired);
                self.note(Verdict::Degraded, reason);
            } else {
                self.note(Verdict::Degraded, what);
            }
        }
        let lacks = match is_mended {
            true => row.debts,
            false => counts.known().max(row.debts),
        };
        if lacks > 0 || row.in_doubt {
            let reason = format!(
                "tier {name}: {lacks} objects are known to be as they should not (owed, or changed after generation {}): the next sync brings them",
                row.watermark
            );
            self.note(Verdict::Degraded, reason);
        }
        let left = row.leftover_uploads.unwrap_or_default();
        if left > row.sent.uploads_removed {
            let reason =
                format!("tier {name}: {left} uploads were begun and never ended, and cost space");
            self.note(Verdict::Degraded, reason);
        }
        if counts.changed_meanwhile > 0 {
            let reason = format!(
                "tier {name}: {} objects changed while its listing was read; a second look found them right",
                counts.changed_meanwhile
            );
            self.note(Verdict::Ok, reason);
        }
        self.incomplete |= !row.complete;
        if !row.complete && row.trouble.is_none() && counts.unseen == 0 {
            self.note(Verdict::Failed, format!("tier {name} was not seen whole"));
        }
        self.tiers.push(row);
    }

    /// For `status`.
    fn told(&self, now: i64) -> Audited {
        let tiers = self.tiers.iter().map(|row| AuditedTier {
            name: row.name.clone(),
            watermark: row.watermark,
            verified: row.verified.map(|verified| verified.generation),
            debts: row.debts,
        });
        Audited {
            at: rfc3339(now),
            verdict: self.verdict,
            reasons: self.reasons.clone(),
            tiers: tiers.collect(),
        }
    }

    fn note(&mut self, verdict: Verdict, reason: String) {
        self.verdict = self.verdict.max(verdict);
        self.reasons.push(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_never_rounded_to_what_it_does_not_say() {
        // Promise: "under 0.06 %" is true: what is shown is the bound or a little more, never less and never nothing.
        let table = [
            (0.029_51, "3.0"),
            (0.000_599, "0.06"),
            (0.000_601, "0.07"),
            (0.000_000_2, "0.0001"),
            (1.0, "100.0"),
        ];
        for (share, shown) in table {
            assert_eq!(percent(share), shown);
        }
    }

    #[test]
    fn a_sample_says_what_it_has_left_out() {
        // Promise: the share is one of those that could be judged, and the others are named beside it.
        let found = Closely {
            objects: 100,
            ..Closely::default()
        };
        let says = |left_out| sampled(Share::Sample(100), &found, left_out).map(|found| found.says);
        let begin = "0 of 100 bad: under 3.0 % at 95 %";
        assert_eq!(says(0).as_deref(), Some(begin));
        let rest = ", without 3 that are owed, behind or could not be looked at";
        assert_eq!(says(3), Some(format!("{begin}{rest}")));
    }
}
