//! Progress bars on a terminal; nothing at all elsewhere.

use std::io::IsTerminal;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Args;
use super::render;
use crate::run::Live;

/// The bars of one run.
pub struct Progress {
    bars: Option<MultiProgress>,
    crawl: Option<ProgressBar>,
    tiers: Vec<ProgressBar>,
}

impl Progress {
    /// How often to draw.
    pub const INTERVAL: Duration = Duration::from_millis(80);

    pub fn new(args: &Args) -> Progress {
        let visible = std::io::stderr().is_terminal() && !args.quiet;
        Progress {
            bars: visible
                .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(15))),
            crawl: None,
            tiers: Vec::new(),
        }
    }

    /// Brings the bars up to what the run shows now.
    pub fn draw(&mut self, live: &Live) {
        let Some(bars) = &self.bars else {
            return;
        };
        let found = live.crawl.found.load(Ordering::Relaxed);
        if found > 0 {
            let bar = self.crawl.get_or_insert_with(|| bar(bars, "crawl"));
            bar.set_length(found);
            bar.set_position(live.crawl.done.load(Ordering::Relaxed));
            bar.set_message(render::bytes(live.crawl.bytes.load(Ordering::Relaxed)));
        }
        for (index, (name, tier)) in live.tiers().into_iter().enumerate() {
            if self.tiers.len() <= index {
                self.tiers.push(bar(bars, &name));
            }
            let planned = tier.planned.load(Ordering::Relaxed);
            let bar = &self.tiers[index];
            bar.set_length(planned.max(1));
            bar.set_position(tier.done.load(Ordering::Relaxed));
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
    let style = ProgressStyle::with_template("  {prefix:<10} [{bar:32}] {pos:>6}/{len:<6} {msg}")
        .expect("the template is a constant")
        .progress_chars("━╸ ");
    let bar = bars.add(ProgressBar::new(1));
    bar.set_style(style);
    bar.set_prefix(name.to_owned());
    bar
}
