//! What `standin plan` shows while tiers are to be moved to another layout: what that costs in each, and which pages
//! would collide. Nothing changes by it.

use std::fmt::Write;

use super::{Outcome, render};
use crate::config::{Config, TierConfig, TierTarget};
use crate::db::Fuse;
use crate::manifest::{Filled, Manifest, ManifestError};
use crate::run::{self, RunError};
use crate::site::Layout;
use crate::sync::{Collisions, Cost, Moves, plan_of};

/// While the configuration says another layout than the mirror has: what it would cost to change that.
pub fn wanted(config: &Config, tiers: &[&TierConfig]) -> anyhow::Result<Outcome> {
    let manifest = run::manifest_as_recorded(config, Fuse::none())?;
    let to = run::layout_of(config);
    let mut shown = Shown::default();
    for tier in tiers {
        let filled = manifest.filled(&tier.name).map_err(RunError::from)?;
        if let Some(filled) = filled.as_ref().filter(|filled| filled.moving) {
            // What lies in it now is of no layout alone; the move itself would refuse with the same line.
            return Err(RunError::from(ManifestError::Moving {
                tier: tier.name.to_string(),
                from: filled.layout().to_string(),
                to: manifest.layout().to_string(),
            })
            .into());
        }
        let from = filled.unwrap_or_else(|| Filled::by(manifest.layout()));
        shown.add(&manifest, tier, &from, &to)?;
    }
    shown
        .text
        .push_str("Nothing is done before you say so: standin run --migrate-layout\n");
    Ok(shown.outcome(&manifest, &to))
}

/// What is still to be done for tiers that have not been moved yet, with a row for each other; nothing where all of them
/// have been.
pub fn under_way(tiers: &[&TierConfig], manifest: &Manifest) -> anyhow::Result<Option<Outcome>> {
    let mut shown = Shown::default();
    let mut moved = Vec::new();
    for tier in tiers {
        match manifest.filled(&tier.name).map_err(RunError::from)? {
            Some(filled) => shown.add(manifest, tier, &filled, manifest.layout())?,
            None => moved.push(tier),
        }
    }
    if shown.tiers.is_empty() {
        return Ok(None);
    }
    for tier in moved {
        shown.add_moved(manifest, tier)?;
    }
    shown
        .text
        .push_str("The next sync does it, as far as each tier can be reached.\n");
    Ok(Some(shown.outcome(manifest, manifest.layout())))
}

#[derive(Default)]
struct Shown {
    text: String,
    tiers: Vec<serde_json::Value>,
}

impl Shown {
    fn add(
        &mut self,
        manifest: &Manifest,
        tier: &TierConfig,
        from: &Filled,
        to: &Layout,
    ) -> anyhow::Result<()> {
        let name = tier.name.as_str();
        let state = manifest.tier(&tier.name).map_err(RunError::from)?;
        // A folder copies its own files, although that is no cheaper than writing them.
        let copies = matches!(tier.target, TierTarget::Directory(_))
            || state.capabilities.is_some_and(|found| found.copies_cheaply);
        let moves = Moves::new(manifest, &tier.name, from, to).map_err(RunError::from)?;
        let prices = run::tier_of(tier)?.prices();
        let cost = moves.cost(&prices, copies).map_err(RunError::from)?;
        self.text.push_str(&told(name, from, to, &cost)?);
        self.text.push_str(&collisions_told(&moves.collisions));
        self.tiers
            .push(json(name, from, to, &cost, &moves.collisions));
        Ok(())
    }

    /// A tier that has the layout already: what is named of its plan is said where it is asked for alone.
    fn add_moved(&mut self, manifest: &Manifest, tier: &TierConfig) -> anyhow::Result<()> {
        let name = tier.name.as_str();
        let prices = run::tier_of(tier)?.prices();
        let planned = plan_of(manifest, &tier.name, &prices, |_| ()).map_err(RunError::from)?;
        let to = manifest.layout();
        writeln!(
            self.text,
            "{name}: has {to}; {} objects to write or delete, see `standin plan --tier {name}`",
            planned.operations()
        )?;
        let cost = Cost {
            planned,
            unchanged: 0,
        };
        let mut row = json(name, &Filled::by(to), to, &cost, &Collisions::default());
        if let Some(row) = row.as_object_mut() {
            // Not looked at.
            for field in ["unchanged", "collided", "collisions"] {
                row.remove(field);
            }
        }
        self.tiers.push(row);
        Ok(())
    }

    fn outcome(self, manifest: &Manifest, to: &Layout) -> Outcome {
        Outcome {
            code: 0,
            text: self.text,
            json: serde_json::json!({
                "generation": manifest.generation(),
                "migration": { "from": manifest.layout().to_string(), "to": to.to_string() },
                "tiers": self.tiers,
            }),
        }
    }
}

fn told(name: &str, from: &Filled, to: &Layout, cost: &Cost) -> Result<String, std::fmt::Error> {
    let Cost { planned, unchanged } = cost;
    let mut text = String::new();
    writeln!(text, "{name}: from {} to {to}", from.layout())?;
    writeln!(
        text,
        "  {} to copy inside the tier, {} to put ({}), {} to re-header",
        planned.copied,
        planned.put,
        render::bytes(planned.bytes),
        planned.reheadered
    )?;
    writeln!(
        text,
        "  {} to delete when all of that is confirmed, {unchanged} stay; {} requests about objects",
        planned.deleted, planned.requests
    )?;
    Ok(text)
}

fn collisions_told(collisions: &Collisions) -> String {
    let mut text = String::new();
    for (key, winner, loser) in &collisions.named {
        text.push_str(&format!(
            "  collision: {winner} would be served under {key}, and {loser} would not\n"
        ));
    }
    let more = collisions.count - collisions.named.len() as u64;
    if more > 0 {
        text.push_str(&format!("  and {more} more collisions\n"));
    }
    text
}

fn json(
    name: &str,
    from: &Filled,
    to: &Layout,
    cost: &Cost,
    collisions: &Collisions,
) -> serde_json::Value {
    let named = collisions.named.iter().map(|(key, winner, loser)| {
        serde_json::json!({ "key": key, "winner": winner, "losers": [loser] })
    });
    let mut json = serde_json::to_value(cost.planned).expect("counts always serialise");
    json["name"] = name.into();
    json["from"] = from.layout().to_string().into();
    json["to"] = to.to_string().into();
    json["unchanged"] = cost.unchanged.into();
    json["collided"] = collisions.count.into();
    json["collisions"] = named.collect();
    json
}
