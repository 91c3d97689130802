//! Progress on a terminal; nothing at all elsewhere.
//!
//! The crawl has a bar and, below it, what it does and how fast: all of it fits into 80 columns. With
//! `-v` there are no bars, since log lines and bars would write over each other.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Args;
use super::render;
use crate::crawl::CrawlProgress;
use crate::run::Live;

/// How far back the rate looks: long enough not to flicker, short enough to show that something stalls.
const RATE_OVER: Duration = Duration::from_secs(10);

/// A rate of less than this is chance, and no time is foretold from it.
const RATE_FROM: Duration = Duration::from_secs(2);

/// Begins the lines below a bar where the bar itself begins.
const BELOW_BAR: &str = "\n             ";

/// Characters of a line below a bar that 80 columns leave room for.
const BELOW_BAR_MAX: usize = 66;

/// The bars of one run.
pub struct Progress {
    bars: Option<MultiProgress>,
    crawl: Option<ProgressBar>,
    pace: Pace,
    tiers: Vec<ProgressBar>,
}

impl Progress {
    /// How often to draw.
    pub const INTERVAL: Duration = Duration::from_millis(80);

    pub fn new(args: &Args) -> Progress {
        let logs = args.verbose > 0 || std::env::var_os("RUST_LOG").is_some();
        let visible = std::io::stderr().is_terminal() && !args.quiet && !logs;
        Progress {
            bars: visible
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15))),
            crawl: None,
            pace: Pace::default(),
            tiers: Vec::new(),
        }
    }

    /// Brings the bars up to what the run shows now.
    pub fn draw(&mut self, live: &Live) {
        let Some(bars) = &self.bars else {
            return;
        };
        let mut shown = Shown::of(&live.crawl);
        if shown.found > 0 || live.crawl.waits().is_some() {
            let bar = self.crawl.get_or_insert_with(|| bar(bars, "crawl"));
            if live.stage() == "crawl" {
                self.pace.note(Instant::now(), shown.done);
                shown.rate = self.pace.per_second();
                shown.waits = live.crawl.waits();
            }
            bar.set_length(shown.found.max(1));
            bar.set_position(shown.done);
            bar.set_message(shown.text());
        }
        for (index, (name, tier)) in live.tiers().into_iter().enumerate() {
            if self.tiers.len() <= index {
                self.tiers.push(bar(bars, &name));
            }
            let planned = tier.planned.load(Ordering::Relaxed);
            let done = tier.done.load(Ordering::Relaxed);
            let bar = &self.tiers[index];
            bar.set_length(planned.max(1));
            bar.set_position(done);
            bar.set_message(format!("{done} of {planned} done"));
        }
    }

    /// Removes the bars: the report takes their place.
    pub fn clear(&mut self) {
        if let Some(bars) = &self.bars {
            // A terminal that has gone away needs no clearing.
            drop(bars.clear());
        }
    }
}

/// A bar of these bars. It joins them before it is given anything to show, since a bar on its own would
/// draw itself.
fn bar(bars: &MultiProgress, name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("  {prefix:<10} [{bar:32}] {msg}")
        .expect("the template is a constant")
        .progress_chars("━╸ ");
    let bar = bars.add(ProgressBar::new(1));
    bar.set_style(style);
    bar.set_prefix(name.to_owned());
    bar
}

/// What is shown of a crawl at one moment.
#[derive(Debug, Default)]
struct Shown {
    found: u64,
    done: u64,
    bytes: u64,
    errors: u64,
    skipped: u64,
    /// Pages a second; `None` when that is not known, or does not matter any more.
    rate: Option<f64>,
    waits: Option<String>,
}

impl Shown {
    fn of(crawl: &CrawlProgress) -> Shown {
        let now = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Shown {
            // Read first: what is found meanwhile must not make it look as if less than nothing is left.
            done: now(&crawl.done),
            found: now(&crawl.found),
            bytes: now(&crawl.bytes),
            errors: now(&crawl.errors),
            skipped: now(&crawl.skipped),
            rate: None,
            waits: None,
        }
    }

    fn text(&self) -> String {
        let queued = self.found.saturating_sub(self.done);
        let mut text = format!("{} done", self.done);
        if queued > 0 {
            text += &format!(", {queued} queued");
        }
        let mut facts = Vec::new();
        facts.extend(self.rate.map(|rate| match rate {
            ..9.95 => format!("{rate:.1}/s"),
            _ => format!("{rate:.0}/s"),
        }));
        facts.push(render::bytes(self.bytes));
        match self.errors {
            0 => (),
            1 => facts.push("1 error".to_owned()),
            errors => facts.push(format!("{errors} errors")),
        }
        if self.skipped > 0 {
            facts.push(format!("{} skipped", self.skipped));
        }
        if let Some(rate) = self.rate.filter(|rate| *rate > 0.0 && queued > 0) {
            #[expect(clippy::cast_precision_loss, reason = "shown in whole minutes")]
            let seconds = queued as f64 / rate;
            facts.push(format!("{} left", about(seconds)));
        }
        text = text + BELOW_BAR + &facts.join(", ");
        if let Some(what) = &self.waits {
            let line: String = what.chars().take(BELOW_BAR_MAX).collect();
            text = text + BELOW_BAR + &line;
        }
        text
    }
}

/// A time to come, as exactly as it can be foretold.
fn about(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number; what is longer than a u64 is shown as its largest"
    )]
    let seconds = seconds.ceil() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds.div_ceil(60)),
        3_600..360_000 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => "days".to_owned(),
    }
}

/// How many pages were done at which moments lately.
#[derive(Debug, Default)]
struct Pace {
    seen: VecDeque<(Instant, u64)>,
}

impl Pace {
    fn note(&mut self, now: Instant, done: u64) {
        self.seen.push_back((now, done));
        // One older than the rate looks back stays: the rate is that since then.
        while self
            .seen
            .get(1)
            .is_some_and(|(at, _)| now.duration_since(*at) >= RATE_OVER)
        {
            self.seen.pop_front();
        }
    }

    /// `None` until enough has been seen.
    fn per_second(&self) -> Option<f64> {
        let ((began, before), (ended, after)) = (self.seen.front()?, self.seen.back()?);
        let took = ended.duration_since(*began);
        #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
        let done = (after - before) as f64;
        (took >= RATE_FROM).then(|| done / took.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns before the message of a bar.
    const BEFORE: usize = "  crawl      [] ".len() + 32;

    #[test]
    fn progress_says_what_matters_within_80_columns() {
        // Promise: done, queued, rate, bytes, errors, time left and what it waits for, each line within
        // 80 columns even for a very large site; and nothing about what is not there.
        let huge = Shown {
            found: 9_999_999,
            done: 1_234_567,
            bytes: 512_300_000_000,
            errors: 12_345,
            skipped: 654_321,
            rate: Some(312.4),
            waits: Some("quiet until 06:00 UTC; ".repeat(9)),
        };
        let text = huge.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "1234567 done, 8765432 queued");
        assert!(BEFORE + lines[0].len() < 80, "{text}");
        assert_eq!(
            lines[1].trim(),
            "312/s, 512.3 GB, 12345 errors, 654321 skipped, 7 h 47 min left"
        );
        assert!(lines[2].trim().starts_with("quiet until 06:00 UTC; "));
        assert!(lines.iter().all(|line| line.len() < 80), "{text}");
        let small = Shown {
            found: 3,
            done: 3,
            bytes: 17,
            errors: 1,
            ..Shown::default()
        };
        assert_eq!(small.text(), format!("3 done{BELOW_BAR}17 B, 1 error"));
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        // Promise: a crawl that stalls shows it within ten seconds, and no rate is told from a moment;
        // checked with moments handed in.
        let begun = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.per_second(), None);
        for second in 0..=1 {
            pace.note(begun + Duration::from_secs(second), second * 100);
            assert_eq!(pace.per_second(), None);
        }
        for second in 2..=60 {
            pace.note(begun + Duration::from_secs(second), second * 100);
            assert_eq!(pace.per_second(), Some(100.0));
        }
        for second in 61..=70 {
            pace.note(begun + Duration::from_secs(second), 6_000);
        }
        assert_eq!(pace.per_second(), Some(0.0));
        assert!(pace.seen.len() <= 12);
    }

    #[test]
    fn times_to_come_are_rounded_up() {
        // Promise: no more exactness than a forecast has, and never "0 s left" while something is.
        for (seconds, expected) in [
            (0.1, "1 s"),
            (59.0, "59 s"),
            (59.5, "1 min"),
            (61.0, "2 min"),
            (3_600.0, "1 h 00 min"),
            (28_000.0, "7 h 46 min"),
            (1e9, "days"),
            (f64::INFINITY, "days"),
        ] {
            assert_eq!(about(seconds), expected, "{seconds}");
        }
    }
}
