//! `standin status`: how the mirror stands. Reads small files only, so it answers during a run.

use std::fmt::Write;

use super::args::Args;
use super::{Outcome, render};
use crate::config;
use crate::run;

pub fn main(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let status = run::read_status(&config.state.dir)?;
    let mut text = String::new();
    if let Some(holder) = &status.running {
        let stage = status
            .latest
            .as_ref()
            .and_then(|latest| latest["stage"].as_str());
        writeln!(
            text,
            "running: standin {} (process {}) since {}, now in {}",
            holder.verb,
            holder.pid,
            holder.since,
            stage.unwrap_or("its first steps")
        )?;
    }
    match &status.finished {
        None => text.push_str("no run has finished yet; `standin run` makes the first\n"),
        Some(report) => text.push_str(&render::finished(report, status.audited.as_ref())),
    }
    if let Some(audited) = &status.audited {
        text.push_str(&render::audited(audited));
    }
    Ok(Outcome {
        code: 0,
        text,
        json: serde_json::to_value(&status)?,
    })
}
