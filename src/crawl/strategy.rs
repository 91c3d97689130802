//! Which stored pages a crawl asks for again. `full` asks for all of them, conditionally. `lastmod` believes the
//! sitemaps of a site that keeps them well: what has not changed since it was last checked, by the sitemap's own
//! word, is left alone, for a limited time and but for a rolling share, by which a sitemap that is wrong is found
//! out. Whatever is unknown or in doubt is asked for.

use std::fmt;
use std::time::Duration;

use crate::site::PageUrl;

/// How far the site's clock and ours may be apart, in seconds.
const CLOCK_MARGIN_SECONDS: i64 = 60 * 60;

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// A date without a time ends at noon UTC of the next day in the last of the time zones; nobody says in which one
/// the site wrote it.
const DATE_LASTS_SECONDS: i64 = DAY_SECONDS + DAY_SECONDS / 2;

/// `crawl.strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Strategy {
    /// Every URL, in every run.
    #[default]
    Full,
    Lastmod(LastmodRules),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastmodRules {
    /// `crawl.max_age_days`: what was checked longer ago is asked for.
    pub max_age: Duration,
    /// `crawl.refetch_share`: this share of what could be skipped is asked for all the same, another one in each run.
    pub refetch_share: f64,
}

/// What is known of a stored page before it is asked for; times in seconds since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub url: &'a PageUrl,
    /// When the recorded answer was fetched.
    pub fetched: Option<i64>,
    /// When it was last confirmed, by a 304 or an equal body.
    pub checked: Option<i64>,
    /// What a sitemap read in this run says of its last change.
    pub lastmod: Option<i64>,
    pub now: i64,
    /// A number that is one higher in each run.
    pub run: u64,
}

/// Whether a stored page is asked for, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Ask(Reason),
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Full,
    /// No sitemap tells when it changed.
    NoLastmod,
    /// Nobody remembers when it was last checked.
    NeverChecked,
    /// It was checked in the future: a clock is wrong.
    ClockWrong,
    /// It may have changed since it was checked.
    Changed,
    /// Longer ago than the maximum age.
    Old,
    /// It belongs to this run's share.
    Share,
}

/// When a page was last known to be wanted; days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linkage {
    pub today: u16,
    /// When a parsed page, a sitemap or a seed last named it. `None` retires nothing: whoever finds it notes today,
    /// from where the time is counted.
    pub linked_day: Option<u16>,
    /// Of all stored pages that can hold links, sitemaps included, the longest time ago that one was parsed; `None`
    /// when one of them never was.
    pub oldest_parsed_day: Option<u16>,
}

impl Strategy {
    pub fn due(&self, known: &Known<'_>) -> Due {
        match self {
            Strategy::Full => Due::Ask(Reason::Full),
            Strategy::Lastmod(rules) => rules.due(known),
        }
    }
}

impl LastmodRules {
    fn due(&self, known: &Known<'_>) -> Due {
        let Some(lastmod) = known.lastmod else {
            return Due::Ask(Reason::NoLastmod);
        };
        let Some(last_check) = known.checked.max(known.fetched) else {
            return Due::Ask(Reason::NeverChecked);
        };
        if last_check > known.now.saturating_add(CLOCK_MARGIN_SECONDS) {
            return Due::Ask(Reason::ClockWrong);
        }
        if last_moment(lastmod).saturating_add(CLOCK_MARGIN_SECONDS) >= last_check {
            return Due::Ask(Reason::Changed);
        }
        let age = known.now.saturating_sub(last_check).max(0);
        if age.unsigned_abs() >= self.max_age.as_secs() {
            return Due::Ask(Reason::Old);
        }
        if self.is_in_share(known.url, known.run) {
            return Due::Ask(Reason::Share);
        }
        Due::Skip
    }

    /// Each URL has one turn in as many runs as the share goes into one, rounded up.
    fn is_in_share(&self, url: &PageUrl, run: u64) -> bool {
        let share = self.refetch_share;
        if share.is_nan() || share <= 0.0 {
            return false;
        }
        // Never 0; a share too small to be counted with is as good as none.
        let turns = (1.0 / share).ceil().max(1.0) as u64;
        let hash = blake3::hash(url.as_str().as_bytes());
        let start = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*start) % turns == run % turns
    }
}

/// Until when a page may have changed that says so. What lies on midnight UTC to the second is a date alone.
fn last_moment(lastmod: i64) -> i64 {
    match lastmod.rem_euclid(DAY_SECONDS) {
        0 => lastmod.saturating_add(DATE_LASTS_SECONDS),
        _ => lastmod,
    }
}

/// Whether a page that nothing has linked to for `after_days` (`crawl.retire_after_days`) may go. A page that has
/// not changed is not parsed, and says nothing of its links; so every page must have been parsed since.
pub fn may_retire(after_days: u16, known: Linkage) -> bool {
    let (Some(linked), Some(parsed)) = (known.linked_day, known.oldest_parsed_day) else {
        return false;
    };
    let Some(since) = known.today.checked_sub(after_days) else {
        return false;
    };
    // Whoever was parsed on the day of the last link may be the one that links.
    linked <= since && parsed >= since && parsed > linked
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Reason::Full => "every page is asked for (crawl.strategy)",
            Reason::NoLastmod => "no sitemap says when it changed",
            Reason::NeverChecked => "nobody remembers when it was last checked",
            Reason::ClockWrong => "it was last checked in the future",
            Reason::Changed => "its sitemap says that it may have changed since it was checked",
            Reason::Old => "it was checked too long ago (crawl.max_age_days)",
            Reason::Share => "it is in this run's share (crawl.refetch_share)",
        })
    }
}

impl fmt::Display for Due {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Ask(reason) => reason.fmt(out),
            Due::Skip => {
                out.write_str("its sitemap says that it has not changed since it was checked")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 60 * 60;
    const DAY: i64 = DAY_SECONDS;
    /// 2026-11-21T10:46:40Z.
    const NOW: i64 = 1_795_258_000;
    /// The midnight before.
    const MIDNIGHT: i64 = NOW - NOW % DAY;

    fn lastmod(share: f64) -> super::Strategy {
        super::Strategy::Lastmod(LastmodRules {
            max_age: Duration::from_secs(30 * 24 * 60 * 60),
            refetch_share: share,
        })
    }

    fn url(number: usize) -> PageUrl {
        PageUrl::parse(&format!("https://h.org/{number}")).unwrap()
    }

    #[test]
    // long: a table of cases, one line of thought each.
    fn a_page_is_skipped_only_when_nothing_speaks_against_it() {
        // Promise: each doubt by itself makes a page due; a row: fetched, checked, lastmod, what is decided.
        use Due::{Ask, Skip};
        use Reason::*;
        let rows = [
            (None, Some(NOW - DAY), Some(NOW - 9 * DAY), Skip),
            (Some(NOW - DAY), None, Some(NOW - 9 * DAY), Skip),
            (
                Some(NOW - 99 * DAY),
                Some(NOW - DAY),
                Some(NOW - 9 * DAY),
                Skip,
            ),
            (
                Some(NOW - DAY),
                Some(NOW - 99 * DAY),
                Some(NOW - 9 * DAY),
                Skip,
            ),
            (None, Some(NOW - DAY), None, Ask(NoLastmod)),
            (None, None, Some(NOW - 9 * DAY), Ask(NeverChecked)),
            (
                None,
                Some(NOW + HOUR + 1),
                Some(NOW - 9 * DAY),
                Ask(ClockWrong),
            ),
            (None, Some(NOW + HOUR), Some(NOW - 9 * DAY), Skip),
            // Clocks an hour apart.
            (None, Some(NOW - DAY), Some(NOW - DAY - HOUR), Ask(Changed)),
            (None, Some(NOW - DAY), Some(NOW - DAY - HOUR - 1), Skip),
            (None, Some(NOW - DAY), Some(NOW + 99 * DAY), Ask(Changed)),
            (None, Some(NOW - DAY), Some(i64::MAX), Ask(Changed)),
            (None, Some(NOW - DAY), Some(i64::MIN), Skip),
            // A date lasts until noon of the next day.
            (
                None,
                Some(MIDNIGHT + 6 * HOUR),
                Some(MIDNIGHT - DAY),
                Ask(Changed),
            ),
            (
                None,
                Some(MIDNIGHT - 11 * HOUR),
                Some(MIDNIGHT - 2 * DAY),
                Ask(Changed),
            ),
            (
                None,
                Some(MIDNIGHT - 11 * HOUR + 1),
                Some(MIDNIGHT - 2 * DAY),
                Skip,
            ),
            (
                None,
                Some(MIDNIGHT),
                Some(MIDNIGHT - DAY - 12 * HOUR - 1),
                Skip,
            ),
            (None, Some(MIDNIGHT), Some(MIDNIGHT - 2 * DAY), Skip),
            // The maximum age.
            (None, Some(NOW - 30 * DAY), Some(NOW - 99 * DAY), Ask(Old)),
            (None, Some(NOW - 30 * DAY + 1), Some(NOW - 99 * DAY), Skip),
        ];
        for (fetched, checked, named, expected) in rows {
            let page = url(1);
            let known = Known {
                url: &page,
                fetched,
                checked,
                lastmod: named,
                now: NOW,
                run: 0,
            };
            assert_eq!(lastmod(0.0).due(&known), expected, "{known:?}");
            assert_eq!(super::Strategy::Full.due(&known), Ask(Full));
        }
    }

    #[test]
    fn every_page_has_its_turn() {
        // Promise: whatever the run, each page is asked for once in as many runs as the share goes into one, and
        // about that share of the pages in each run. Shares that are no share skip everything or nothing.
        let pages: Vec<PageUrl> = (0..1_000).map(url).collect();
        let asked = |share: f64, run: u64| {
            let is_due = |url: &&PageUrl| {
                let known = Known {
                    url,
                    fetched: None,
                    checked: Some(NOW - DAY),
                    lastmod: Some(NOW - 9 * DAY),
                    now: NOW,
                    run,
                };
                lastmod(share).due(&known) == Due::Ask(Reason::Share)
            };
            pages.iter().filter(is_due).count()
        };
        for (share, turns) in [(0.02, 50), (0.3, 4), (0.5, 2), (1.0, 1)] {
            let counts: Vec<usize> = (7..7 + turns).map(|run| asked(share, run)).collect();
            assert_eq!(counts.iter().sum::<usize>(), 1_000, "{share}");
            let fair = 1_000 / turns as usize;
            assert!(
                counts
                    .iter()
                    .all(|count| *count >= fair / 3 && *count <= fair * 3),
                "{counts:?}"
            );
        }
        assert_eq!(asked(9.0, 3), 1_000);
        for none in [0.0, -1.0, f64::NAN] {
            assert_eq!(asked(none, 3), 0);
        }
        assert!(asked(f64::MIN_POSITIVE, 3) <= 1);
    }

    #[test]
    fn a_page_is_retired_only_when_every_page_had_its_say() {
        // Promise: after 30 days; a row: last linked, oldest parse, whether it may go.
        let rows = [
            (Some(970), Some(971), true),
            (Some(969), Some(970), true),
            (Some(900), Some(1000), true),
            (Some(971), Some(1000), false),
            (Some(1000), Some(1000), false),
            (Some(1001), Some(1000), false),
            // Parsed on the day of the last link: it may be the one that links.
            (Some(970), Some(970), false),
            (Some(900), Some(969), false),
            (Some(900), Some(900), false),
            (Some(900), None, false),
            (None, Some(1000), false),
            (None, None, false),
        ];
        for (linked_day, oldest_parsed_day, expected) in rows {
            let known = Linkage {
                today: 1000,
                linked_day,
                oldest_parsed_day,
            };
            assert_eq!(may_retire(30, known), expected, "{known:?}");
        }
        let known = Linkage {
            today: 10,
            linked_day: Some(1),
            oldest_parsed_day: Some(10),
        };
        assert!(!may_retire(30, known));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_times_are_decided_and_newer_news_never_skip_more(
            checked in any::<Option<i64>>(), fetched in any::<Option<i64>>(),
            one in any::<i64>(), other in any::<i64>(), now in any::<i64>(),
        ) {
            // Promise: total; a page that is due by some lastmod is due by every later one (dates aside, which last).
            let page = url(1);
            let due = |lastmod| Known { url: &page, fetched, checked, lastmod: Some(lastmod), now, run: 0 };
            let (early, late) = (one.min(other) | 1, one.max(other) | 1);
            let strategy = lastmod(0.0);
            if strategy.due(&due(early)) != Due::Skip {
                prop_assert!(strategy.due(&due(late)) != Due::Skip);
            }
        }
    }
}
