//! `standin plan`: what a sync would do now.

use std::fmt::Write;

use super::args::Args;
use super::{Outcome, render};
use crate::config;
use crate::db::Fuse;
use crate::delta::Operation;
use crate::run::{House, Lock, RunError, tier_of};
use crate::sync;

/// Operations named per tier; the rest is counted.
const NAMED_MAX: usize = 40;

pub fn main(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let _lock = Lock::acquire(
        &config.state.dir,
        "plan",
        &crate::manifest::RunId("plan".into()),
    )?;
    let house = House::open(&config, Fuse::none())?;
    let mut text = String::new();
    let mut tiers = Vec::new();
    for tier in &config.tiers {
        let mut named = Vec::new();
        let prices = tier_of(tier)?.prices();
        let planned = sync::plan_of(&house.manifest, &tier.name, &prices, |operation, doubt| {
            if named.len() < NAMED_MAX {
                named.push(line(operation, doubt));
            }
        })
        .map_err(RunError::from)?;
        writeln!(
            text,
            "{}: {} to put ({}), {} to copy, {} to re-header, {} to delete; {} requests about objects",
            tier.name,
            planned.put,
            render::bytes(planned.bytes),
            planned.copied,
            planned.reheadered,
            planned.deleted,
            planned.requests
        )?;
        for (what, key, why) in &named {
            writeln!(text, "  {what:<8} {key}{why}")?;
        }
        let left = planned.operations().saturating_sub(named.len() as u64);
        if left > 0 {
            writeln!(text, "  … and {left} more")?;
        }
        let mut json = serde_json::to_value(planned)?;
        json["name"] = serde_json::json!(tier.name.as_str());
        let operations = named
            .iter()
            .map(|(what, key, _)| serde_json::json!([what, key]));
        json["operations"] = operations.collect();
        tiers.push(json);
    }
    Ok(Outcome {
        code: 0,
        text,
        json: serde_json::json!({
            "generation": house.manifest.generation(),
            "tiers": tiers,
        }),
    })
}

fn line(operation: &Operation, doubt: bool) -> (&'static str, String, &'static str) {
    let what = match operation {
        Operation::Put { .. } => "put",
        Operation::Copy { .. } => "copy",
        Operation::Reheader { .. } => "reheader",
        Operation::Delete { .. } => "delete",
    };
    let why = if doubt { "  (in doubt)" } else { "" };
    (what, operation.key().to_string(), why)
}
