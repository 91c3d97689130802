//! `audit --links`: the stored pages searched for links that lead to nothing, under the lock of a run and without any
//! network.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::house::{self, House};
use super::{Lock, RunError, Surroundings, Verdict, new_run_id};
use crate::audit::{self, Closing, Closure};
use crate::config::{Config, RobotsPolicy};
use crate::crawl::{self, Robots};
use crate::manifest::{Generation, Manifest};
use crate::site::PageUrl;

/// The report of `audit --links`.
#[derive(Debug, Clone, Serialize)]
pub struct LinksReport {
    pub generation: Generation,
    pub verdict: Verdict,
    /// Some pages could not be searched.
    pub incomplete: bool,
    pub reasons: Vec<String>,
    pub links: Closure,
    pub seconds: f64,
}

/// Searches the stored pages.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, and what manifest, store and disk say.
pub async fn links(
    config: &Config,
    report: Option<PathBuf>,
    around: Surroundings<'_>,
) -> Result<LinksReport, RunError> {
    let begun = Instant::now();
    let _lock = Lock::acquire(&config.state.dir, around.verb, &new_run_id())?;
    let House { manifest, store } = House::open(config, around.fuse.clone())?;
    around.live.enter("links");
    let closing = Closing {
        scope: house::scope_of(config, &manifest.about())?,
        robots: robots_of(config, &manifest),
        traps: house::traps_of(&config.crawl),
        now: (around.clock)(),
        dir: config.state.dir.join("audit"),
        report,
        manifest: Arc::clone(&manifest),
        store: Arc::new(store),
    };
    let progress = around.live.tier("links");
    let dir = closing.dir.clone();
    let closed = tokio::task::spawn_blocking(move || audit::close(&closing, &progress));
    let found = closed
        .await
        .expect("a search does not panic and is never aborted")?;
    // What an audit of tiers keeps there for the next one stays; an empty folder goes.
    drop(std::fs::remove_dir(&dir));
    let generation = manifest.generation();
    let manifest = Arc::into_inner(manifest).expect("whoever worked with it has ended");
    house::close(manifest, config)?;
    let mut report = LinksReport {
        generation,
        verdict: Verdict::Ok,
        incomplete: found.unsearched > 0,
        reasons: Vec::new(),
        links: found,
        seconds: begun.elapsed().as_secs_f64(),
    };
    report.judge();
    Ok(report)
}

impl LinksReport {
    fn judge(&mut self) {
        let Closure {
            broken, unsearched, ..
        } = self.links;
        if broken > 0 {
            self.verdict = Verdict::Degraded;
            self.reasons.push(format!(
                "{broken} pages are linked to and not stored: the mirror is not closed"
            ));
        }
        if unsearched > 0 {
            self.verdict = Verdict::Failed;
            self.reasons.push(format!(
                "{unsearched} pages could not be searched, since the store does not have their bodies (or they are longer than 16 MiB): with `state.keep = \"all\"` it does after the next crawl that changes them"
            ));
        }
    }
}

/// The last robots.txt of each host.
fn robots_of(config: &Config, manifest: &Manifest) -> std::collections::BTreeMap<String, Robots> {
    let mut robots = std::collections::BTreeMap::new();
    if config.site.robots == RobotsPolicy::Ignore {
        return robots;
    }
    let memory = crawl::robots_memory(&config.state.dir);
    for (authority, scheme) in manifest.about().identity {
        let home = PageUrl::parse(&format!("{}://{authority}/", scheme.as_str()));
        let Some((home, text)) = home.ok().zip(memory.last_good(&authority)) else {
            continue;
        };
        let rules = Robots::from_answer(200, text.as_bytes(), &config.crawl.user_agent);
        robots.insert(home.authority().to_owned(), rules);
    }
    robots
}
