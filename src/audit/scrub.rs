//! The rolling scrub: on every run a share of a tier's bytes is read back, what was read longest ago first, so that all
//! of it has been read within the days that are configured.

use std::path::Path;

use futures_util::stream;
use futures_util::{StreamExt, TryStreamExt};

use super::AuditError;
use super::expected::Row;
use super::ledger::Ledger;
use super::look::{Look, Looked};
use super::merge::{Facts, Item, Standing};
use super::prove::owe;
use crate::manifest::{Manifest, ManifestError};
use crate::sync::{OpenTier, Scrubbed};
use crate::tier::{LIST_PAGE, Listed};

use std::sync::Arc;

const DAY_S: i64 = 24 * 3600;

/// What a run reads more than its share, so that the round is over before its time and not after it.
const RESERVE: f64 = 1.1;

/// What a scrub works with.
#[derive(Debug, Clone, Copy)]
pub struct Scrub<'a> {
    /// In which all bytes are to be read.
    pub days: u64,
    /// The state directory.
    pub state: &'a Path,
    /// Seconds since 1970.
    pub now: i64,
}

/// Reads the next share of a tier back. What has other bytes than were written becomes a debt.
///
/// # Errors
/// The manifest cannot be read or written, or the tier cannot be listed or read.
pub async fn scrub(
    manifest: &Arc<Manifest>,
    open: &OpenTier,
    scrub: Scrub<'_>,
) -> Result<Scrubbed, AuditError> {
    let lineage = manifest.about().lineage.0;
    let mut ledger = Ledger::open(scrub.state, &open.name, &lineage);
    let mut done = Scrubbed::default();
    let facts = Facts::of(manifest, &open.name, &open.state)?;
    let look = Look::new(&facts, open, None);
    let mut left = share(manifest.about().counts.live(), &ledger, scrub);
    while left > 0 && ledger.oldest() != Some(scrub.now) {
        let after = ledger.longest_ago().map(str::to_owned);
        let limit = usize::try_from(left).unwrap_or(LIST_PAGE).min(LIST_PAGE);
        let page = open.tier.list(after.as_deref(), limit).await?;
        left = left.saturating_sub((page.objects.len() as u64).max(1));
        let items: Result<Vec<_>, ManifestError> = page
            .objects
            .into_iter()
            .map(|listed| item(&facts, listed))
            .collect();
        let mut looked = stream::iter(items?.into_iter().flatten())
            .map(|item| look.at(item))
            .buffered(open.concurrency);
        while let Some(outcome) = looked.try_next().await? {
            done.objects += u64::from(outcome.read.is_some());
            done.bytes += outcome.read.unwrap_or_default();
            match outcome.looked {
                Looked::Found(finding) => {
                    done.bad += 1;
                    let key = super::merge::key_of(&finding.key);
                    owe(manifest, open, &key, format!("read back: {}", finding.why))?;
                }
                Looked::Unseen(error) => {
                    tracing::warn!(%error, "could not be read back");
                    done.unseen += 1;
                }
                _ => (),
            }
        }
        let upto = page.last.filter(|_| page.more);
        ledger.note(after.as_deref(), upto.as_deref(), scrub.now);
        ledger.save(scrub.state, &open.name, &lineage)?;
    }
    // The round goes on behind what could not be read, and does not say that all was.
    done.oldest = ledger.oldest().filter(|_| done.unseen == 0);
    Ok(done)
}

/// Objects that this run is to read: the part of all that has passed of the days since something was read last. After
/// a clock that went backwards, and at the first time, a day has passed.
fn share(live: u64, ledger: &Ledger, scrub: Scrub<'_>) -> u64 {
    let passed_s = ledger
        .newest()
        .map(|newest| scrub.now - newest)
        .filter(|passed_s| *passed_s >= 0)
        .unwrap_or(DAY_S);
    let all_s = i64::try_from(scrub.days)
        .unwrap_or(i64::MAX)
        .saturating_mul(DAY_S);
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more digits")]
    let share = (passed_s as f64 / all_s as f64 * RESERVE).min(1.0);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a number of objects, rounded up"
    )]
    let objects = (live as f64 * share).ceil() as u64;
    objects.max(1)
}

/// The object of a page as it should be there; `None` for what is not the scrub's business: what nobody expects, and
/// what is known to be another.
fn item(facts: &Facts, listed: Listed) -> Result<Option<Item>, ManifestError> {
    let scheme = facts.scheme_of(listed.key.as_str());
    let group = facts.manifest.on_key(&listed.key, scheme)?;
    let winner = group.iter().find(|(_, entry)| entry.outcome.is_live());
    let Some((url, entry)) = winner else {
        return Ok(None);
    };
    if facts.standing_of(&group)? != Standing::Settled {
        return Ok(None);
    }
    let mut row = Row::of(&listed.key, url, entry).expect("a live outcome has an object");
    row.md5_etag = facts.manifest.md5_etag(&row.content)?;
    let fault = facts.fault(&row, listed.size, &listed.etag, &listed.stated)?;
    Ok(Some(match fault {
        None => Item::Matches {
            row,
            listed,
            reads: true,
            heads: false,
        },
        Some(why) => Item::Differs {
            row,
            listed,
            why,
            reads: true,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hourly_and_daily_runs_both_come_round_in_time() {
        // Promise: whatever lies between two runs, all is read in the days configured, with something to spare.
        for (hours, days) in [(1, 30), (24, 30), (24, 7), (24 * 7, 30)] {
            let mut ledger = Ledger::default();
            let live = 10_000;
            let mut read = 0;
            let mut now = 1_000_000_000;
            let end = now + i64::try_from(days).unwrap() * DAY_S;
            while now < end {
                let scrub = Scrub {
                    days,
                    state: Path::new(""),
                    now,
                };
                read += share(live, &ledger, scrub);
                ledger.note(None, Some("a"), now);
                now += hours * 3600;
            }
            assert!(read >= live, "{hours} {days}: {read}");
            assert!(read <= live * 3 / 2, "{hours} {days}: {read}");
        }
    }
}
