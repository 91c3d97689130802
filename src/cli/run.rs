//! `standin run`, and its stages alone: `crawl`, `sync`, `verify`.

use super::args::Args;
use super::progress::Progress;
use super::{Outcome, render};
use crate::config::{self, Config};
use crate::db::Fuse;
use crate::run::{self, Live, RunError, RunReport, Stages, Surroundings};
use crate::site::PageUrl;

pub async fn main(args: &Args, stages: Stages) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let verb = match stages {
        Stages::All => "run",
        Stages::Crawl => "crawl",
        Stages::Sync => "sync",
        Stages::Verify => "verify",
    };
    let report = watched(args, &config, stages, verb).await?;
    outcome(&report)
}

/// `run --migrate-layout`: the configured layout is taken on first, and the run moves every tier that it reaches.
pub async fn migrate_layout(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    run::migrate_layout(&config, Fuse::from_environment())?;
    main(args, Stages::All).await
}

/// `run --only URL…`: these pages alone.
pub async fn only(args: &Args, texts: &[String]) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let urls: Vec<PageUrl> = texts
        .iter()
        .map(|text| PageUrl::parse(text))
        .collect::<Result<_, _>>()?;
    let live = Live::default();
    let around = Surroundings {
        live: &live,
        fuse: Fuse::from_environment(),
        clock: run::now,
        verb: "run",
    };
    let report = shown(args, &live, run::run_only(&urls, &config, around)).await?;
    outcome(&report)
}

/// A run with its progress on the terminal.
pub async fn watched(
    args: &Args,
    config: &Config,
    stages: Stages,
    verb: &'static str,
) -> anyhow::Result<RunReport> {
    let live = Live::default();
    let around = Surroundings {
        live: &live,
        fuse: Fuse::from_environment(),
        clock: run::now,
        verb,
    };
    shown(args, &live, run::run(config, stages, around)).await
}

/// Draws the progress of a run until it ends.
pub async fn shown<T>(
    args: &Args,
    live: &Live,
    running: impl Future<Output = Result<T, RunError>>,
) -> anyhow::Result<T> {
    let mut progress = Progress::new(args);
    tokio::pin!(running);
    let mut tick = tokio::time::interval(Progress::INTERVAL);
    loop {
        tokio::select! {
            report = &mut running => {
                progress.clear();
                return Ok(report?);
            }
            _ = tick.tick() => progress.draw(live),
        }
    }
}

/// A report as the outcome of its verb.
pub fn outcome(report: &RunReport) -> anyhow::Result<Outcome> {
    let text = render::report(report);
    Outcome::of_report(report, report.verdict, &report.reasons, text)
}
