//! `standin gc`: space in the local store.

use super::args::Args;
use super::{Outcome, rebuild, render};
use crate::config;
use crate::db::Fuse;
use crate::rebuild::Effect;
use crate::run::{self, Live, Surroundings};

pub fn main(args: &Args, dry_run: bool) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let live = Live::default();
    let around = Surroundings {
        live: &live,
        fuse: Fuse::from_environment(),
        clock: run::now,
        verb: "gc",
    };
    let effect = match dry_run {
        true => Effect::DryRun,
        false => Effect::Sweep,
    };
    let done = run::gc(&config, effect, &around)?;
    let report = &done.report;
    let would = if dry_run { "would be " } else { "" };
    let text = format!(
        "{} bodies ({}) {would}dropped, {} stay; {} {would}won, {} of dead bodies left in segments that are mostly live\n",
        report.dropped,
        render::bytes(report.dropped_bytes),
        report.live,
        render::bytes(report.freed),
        render::bytes(report.left),
    );
    rebuild::outcome("gc", &done, &text)
}
