//! What a run says of itself. The names in here are a promise: fields are added, never renamed.

use serde::{Deserialize, Serialize};

use super::common::CommonChange;
use super::guards::Judgement;
use crate::crawl::{CrawlCounts, Tally, Trouble};
use crate::manifest::{
    Clash, Evidence, Generation, Manifest, ManifestError, Outcome, RunId, Sharing,
};
use crate::site::PageUrl;
use crate::sync::TierReport;

/// Changes named in a report; the rest is counted.
const CHANGES_MAX: usize = 50;

/// Collisions that have a reason of their own; the rest is one.
const COLLISION_REASONS_MAX: usize = 10;

/// Whether the mirror can be trusted after this run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Degraded,
    Failed,
}

impl Verdict {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::Ok => 0,
            Verdict::Degraded => 1,
            Verdict::Failed => 2,
        }
    }
}

/// One changed page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangeLine {
    pub url: PageUrl,
    /// `new`, `changed` or `gone`.
    pub what: &'static str,
    /// Bytes before and after, where there was and is a body.
    pub size_before: Option<u64>,
    pub size_after: Option<u64>,
}

/// What of a crawl's findings was not committed because a guard spoke.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// New, changed and withdrawn pages; 0 when all were committed.
    pub changes: u64,
    pub because: Option<String>,
}

impl HeldBack {
    /// `None` where the run looked at some pages only: it says nothing of the others.
    pub(super) fn of(
        evidence: Evidence,
        judgement: &Judgement,
        counts: &CrawlCounts,
    ) -> Option<HeldBack> {
        if evidence == Evidence::Part {
            return None;
        }
        let (changes, because) = match (&judgement.refuse, &judgement.withhold_withdrawals) {
            (Some(why), _) => (counts.new + counts.changed + counts.gone, Some(why)),
            (None, Some(why)) => (counts.gone, Some(why)),
            (None, None) => (0, None),
        };
        Some(HeldBack {
            changes,
            because: because.cloned(),
        })
    }
}

/// The report of a run.
#[derive(Debug, Clone, Serialize)]
pub struct RunReport {
    pub run_id: RunId,
    pub verb: &'static str,
    pub started: String,
    pub generation: Generation,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub crawl: CrawlCounts,
    #[serde(flatten)]
    pub tally: Tally,
    /// What the guards said; null for a run that did not look at the whole site.
    pub held_back: Option<HeldBack>,
    pub tiers: Vec<TierReport>,
    pub seconds: f64,
    /// True when this run went on where a killed one had stopped.
    pub resumed: bool,
    /// Live pages and redirects after the run.
    pub pages: u64,
    /// URLs that share a key and an answer with another.
    pub aliases: u64,
    /// Keys on which pages with different content lie: only one of each is served.
    pub collided: u64,
    /// The first of them, up to a bound.
    pub collisions: Vec<Clash>,
    /// Pages under a key that no CDN can compute from the request: only a gateway can serve them.
    pub gateway_only: u64,
    /// Changes of this run, up to a bound.
    pub changes: Vec<ChangeLine>,
    /// URLs that could not be had, up to a bound.
    pub troubles: Vec<Trouble>,
    /// What many pages have changed in alike, where implausibly many have changed.
    pub common_change: Option<CommonChange>,
    #[serde(skip)]
    pub(super) generation_before: Generation,
}

impl RunReport {
    pub(super) fn begin(run_id: RunId, verb: &'static str) -> RunReport {
        RunReport {
            run_id,
            verb,
            started: rfc3339(super::now()),
            generation: Generation::NONE,
            verdict: Verdict::Ok,
            reasons: Vec::new(),
            crawl: CrawlCounts::default(),
            tally: Tally::default(),
            held_back: None,
            tiers: Vec::new(),
            seconds: 0.0,
            resumed: false,
            pages: 0,
            aliases: 0,
            collided: 0,
            collisions: Vec::new(),
            gateway_only: 0,
            changes: Vec::new(),
            troubles: Vec::new(),
            common_change: None,
            generation_before: Generation::NONE,
        }
    }

    /// Whether the run has committed anything.
    pub fn made_a_generation(&self) -> bool {
        self.generation > self.generation_before
    }

    /// Makes the verdict at least this bad, and says why.
    pub(super) fn note(&mut self, verdict: Verdict, reason: String) {
        self.verdict = self.verdict.max(verdict);
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// Adds what the manifest knows at the end.
    pub(super) fn finish(&mut self, manifest: &Manifest) -> Result<(), ManifestError> {
        self.generation = manifest.generation();
        let counts = manifest.about().counts;
        self.pages = counts.live();
        self.gateway_only = counts.gateway_only;
        let sharing = manifest.sharing()?;
        self.aliases = sharing.aliases;
        self.name_collisions(sharing);
        if self.generation > self.generation_before {
            self.name_changes(manifest)?;
        }
        Ok(())
    }

    /// A page that cannot be had degrades the mirror for as long as that is so.
    fn name_collisions(&mut self, sharing: Sharing) {
        for clash in sharing.collisions.iter().take(COLLISION_REASONS_MAX) {
            let losers: Vec<_> = clash.losers.iter().map(PageUrl::as_str).collect();
            let reason = format!(
                "{} has the key of {} ({}) and other content: only {} is served",
                losers.join(" and "),
                clash.winner,
                clash.key,
                clash.winner
            );
            self.note(Verdict::Degraded, reason);
        }
        let more = sharing
            .collided
            .saturating_sub(COLLISION_REASONS_MAX as u64);
        if more > 0 {
            let reason = format!(
                "{more} more keys have several pages with different content: `collisions` in the JSON report names the first"
            );
            self.note(Verdict::Degraded, reason);
        }
        self.collided = sharing.collided;
        self.collisions = sharing.collisions;
    }

    fn name_changes(&mut self, manifest: &Manifest) -> Result<(), ManifestError> {
        let size = |outcome: &Outcome| outcome.page().map(|page| page.size);
        for change in manifest
            .changes_after(self.generation_before)
            .take(CHANGES_MAX)
        {
            let change = change?;
            let before = change
                .before
                .map(|entry| entry.outcome)
                .filter(Outcome::is_live);
            let after = change
                .after
                .map(|entry| entry.outcome)
                .filter(Outcome::is_live);
            let what = match (&before, &after) {
                (None, _) => "new",
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "gone",
            };
            self.changes.push(ChangeLine {
                url: change.url,
                what,
                size_before: before.as_ref().and_then(size),
                size_after: after.as_ref().and_then(size),
            });
        }
        Ok(())
    }
}

/// A time as RFC 3339 in UTC.
pub fn rfc3339(seconds: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|time| {
            time.format(&time::format_description::well_known::Rfc3339)
                .ok()
        })
        .unwrap_or_else(|| seconds.to_string())
}
