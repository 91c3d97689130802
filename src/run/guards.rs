//! The guards: what of a crawl may be committed. Pure.
//!
//! Seeing less never deletes more, and a suspicious crawl replaces nothing: a guard withholds either
//! the withdrawals (and the evidence for later ones) or everything, and says why.

use crate::config::GuardConfig;
use crate::crawl::CrawlCounts;
use crate::manifest::Counts;

/// Below this many changed pages no share of them is suspicious.
const CHANGES_ALWAYS: u64 = 50;

/// From this share of changed pages on it is asked what they have in common, whatever the limit: a site changes so
/// much when its template does, or when something in it is made anew for every answer.
const CHANGES_TELLING: f64 = 0.5;

/// What may be committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Nothing of this crawl is committed: the run has failed.
    pub refuse: Option<String>,
    /// Withdrawals and strikes are left out: the run is degraded.
    pub withhold_withdrawals: Option<String>,
}

/// Judges a finished crawl. `before` counts the entries as they were.
pub fn judge(counts: &CrawlCounts, before: Counts, guard: &GuardConfig) -> Judgement {
    let live = before.live();
    let mut judgement = Judgement::default();
    if counts.known > 0 && ratio(counts.kept, counts.known) < guard.coverage_min {
        judgement.refuse = Some(format!(
            "only {} of {} known pages answered (`guard.coverage_min` is {}): nothing is replaced",
            counts.kept, counts.known, guard.coverage_min
        ));
        return judgement;
    }
    let limit = (guard.changes_max < 1.0).then_some(guard.changes_max);
    if let Some(limit) = limit
        && counts.changed > CHANGES_ALWAYS
        && ratio(counts.changed, live) > limit
    {
        judgement.refuse = Some(format!(
            "{} of {live} pages changed at once (`guard.changes_max` is {limit}): nothing is replaced; raise the limit if this is right; after a change of `[canonical]` raise guard.changes_max for one run, so that the new rules take effect",
            counts.changed
        ));
        return judgement;
    }
    judgement.withhold_withdrawals = withdrawals(counts, live, guard);
    judgement
}

/// Whether so many pages have changed that they are likely to have done so for one reason. Pages that changed are
/// those that were there before and after.
pub fn changes_are_telling(counts: &CrawlCounts, before: Counts, guard: &GuardConfig) -> bool {
    let share = CHANGES_TELLING.min(guard.changes_max);
    counts.changed > CHANGES_ALWAYS && ratio(counts.changed, before.live()) > share
}

fn withdrawals(counts: &CrawlCounts, live: u64, guard: &GuardConfig) -> Option<String> {
    if ratio(counts.errors, counts.answers()) > guard.errors_max {
        return Some(format!(
            "{} of {} pages could not be had (`guard.errors_max` is {}): withdrawals wait",
            counts.errors,
            counts.answers(),
            guard.errors_max
        ));
    }
    let capped = counts.gone > guard.deletes_always && ratio(counts.gone, live) > guard.deletes_max;
    capped.then(|| {
        format!(
            "{} of {live} pages are gone at once (`guard.deletes_max` is {}): they are kept; raise the limit if this is right",
            counts.gone, guard.deletes_max
        )
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "shares need no more than 52 bits"
)]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(fetched: u64, changed: u64, gone: u64, errors: u64) -> CrawlCounts {
        CrawlCounts {
            fetched,
            known: fetched + gone + errors,
            kept: fetched,
            changed,
            gone,
            errors,
            ..CrawlCounts::default()
        }
    }

    fn verdict(counts: CrawlCounts, live: u64, changes_max: f64) -> &'static str {
        let guard = GuardConfig {
            changes_max,
            ..GuardConfig::default()
        };
        let before = Counts {
            pages: live,
            ..Counts::default()
        };
        let judgement = judge(&counts, before, &guard);
        match (judgement.refuse, judgement.withhold_withdrawals) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "kept",
            (None, None) => "good",
        }
    }

    #[test]
    fn each_guard_speaks_at_its_limit_and_not_before() {
        // Promise: seeing less never deletes more; a good crawl passes.
        assert_eq!(verdict(counts(1000, 10, 5, 0), 1000, 1.0), "good");
        assert_eq!(verdict(counts(300, 0, 0, 700), 1000, 1.0), "refused");
        assert_eq!(verdict(counts(600, 0, 1, 400), 1000, 1.0), "kept");
        assert_eq!(verdict(counts(940, 0, 60, 0), 1000, 1.0), "kept");
        assert_eq!(verdict(counts(20, 0, 9, 0), 29, 1.0), "good");
        assert_eq!(verdict(counts(1000, 900, 0, 0), 1000, 0.5), "refused");
        assert_eq!(verdict(counts(1000, 900, 0, 0), 1000, 1.0), "good");
        assert_eq!(verdict(counts(60, 0, 0, 40), 0, 1.0), "kept");
    }

    #[test]
    fn many_changes_are_looked_into_whether_they_are_refused_or_not() {
        let before = Counts {
            pages: 1000,
            ..Counts::default()
        };
        // Each row: changed pages, the limit, and whether it is asked what they have in common.
        for (changed, changes_max, expected) in [
            (500, 1.0, false),
            (501, 1.0, true),
            (301, 0.3, true),
            (300, 0.3, false),
            (50, 0.01, false),
        ] {
            let guard = GuardConfig {
                changes_max,
                ..GuardConfig::default()
            };
            let telling = changes_are_telling(&counts(1000, changed, 0, 0), before, &guard);
            assert_eq!(telling, expected, "{changed} {changes_max}");
        }
    }
}
