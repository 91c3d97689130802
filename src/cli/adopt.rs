//! `standin adopt`: tiers that somebody else has filled become ours, without sending again what is right.

use std::fmt::Write;

use super::args::{Args, Verb};
use super::{Outcome, render};
use crate::config::{self, TierName};
use crate::db::Fuse;
use crate::run::{self, AdoptOrder, AdoptReport, Effect, Headers, RunError, TierAdoption, Verdict};

/// Keys named per list; the rest is counted. `--json` names up to 100.
const NAMED_MAX: usize = 8;

pub async fn main(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let order = order_of(&args.verb)?;
    let report = run::adopt(&config, &order, Fuse::from_environment()).await?;
    let text = rendered(&report)?;
    Outcome::of_report(&report, report.verdict, &report.reasons, text)
}

fn order_of(verb: &Verb) -> Result<AdoptOrder, RunError> {
    let Verb::Adopt {
        tier,
        dry_run,
        reheader,
    } = verb
    else {
        unreachable!("main has chosen by the verb");
    };
    let tier = tier.as_deref().map(TierName::parse).transpose();
    Ok(AdoptOrder {
        tier: tier.map_err(|error| RunError::Config(format!("--tier: {error}")))?,
        effect: match dry_run {
            true => Effect::DryRun,
            false => Effect::Adopt,
        },
        headers: match reheader {
            true => Headers::Ours,
            false => Headers::AsFound,
        },
    })
}

fn rendered(report: &AdoptReport) -> Result<String, std::fmt::Error> {
    let dry = if report.dry_run { " (dry run)" } else { "" };
    let verdict = match report.verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "there are differences",
        Verdict::Failed => "FAILED",
    };
    let mut text = format!(
        "adopt{dry}: {verdict}   generation {}, {:.1} s\n",
        report.generation, report.seconds
    );
    for reason in &report.reasons {
        writeln!(text, "  ! {reason}")?;
    }
    let mut table = render::plain_table(&[
        "tier",
        "listed",
        "matching",
        "differing",
        "missing",
        "withdrawn",
        "foreign",
        "requests",
        "outcome",
    ]);
    for tier in &report.tiers {
        let found = &tier.found;
        table.add_row([
            tier.name.clone(),
            found.listed.to_string(),
            found.matching.to_string(),
            found.differing.to_string(),
            found.missing.to_string(),
            found.stale.to_string(),
            found.foreign.to_string(),
            tier.requests.to_string(),
            tier.outcome.to_owned(),
        ]);
    }
    render::align_right(&mut table, 1);
    writeln!(text, "{table}")?;
    for tier in &report.tiers {
        explain(&mut text, tier)?;
    }
    Ok(text)
}

fn explain(text: &mut String, tier: &TierAdoption) -> std::fmt::Result {
    let (name, found) = (&tier.name, &tier.found);
    match tier.outcome {
        "would be adopted" => {
            writeln!(
                text,
                "{name}: adopting takes {} requests and reads {} back",
                tier.adopting.requests,
                render::bytes(tier.adopting.bytes)
            )?;
            if found.unread.objects > 0 {
                writeln!(
                    text,
                    "  of {} objects ({}) nothing states a digest: adopting reads them",
                    found.unread.objects,
                    render::bytes(found.unread.bytes)
                )?;
            }
        }
        "empty" => writeln!(text, "{name}: nothing to adopt; `standin sync` fills it")?,
        "adopted" if tier.reheadered > 0 => {
            writeln!(
                text,
                "{name}: {} objects were given our headers",
                tier.reheadered
            )?;
        }
        _ => (),
    }
    if found.as_found > 0 {
        writeln!(
            text,
            "{name}: {} objects keep the headers that they were found with: a CDN serves them as before; a gateway, or a rebuild without the checkpoint, needs `standin adopt --tier {name} --reheader` first",
            found.as_found
        )?;
    }
    let next = &tier.next_sync;
    if next.requests > 0 {
        writeln!(
            text,
            "{name}: the next sync puts {} objects ({}) and deletes {}, in about {} requests",
            next.put,
            render::bytes(next.bytes),
            next.deleted,
            next.requests
        )?;
    }
    let lists = [
        ("differs", &found.differing_keys, found.differing),
        ("missing", &found.missing_keys, found.missing),
        ("withdrawn", &found.stale_keys, found.stale),
        ("foreign", &found.foreign_keys, found.foreign),
    ];
    for (what, keys, count) in lists {
        for key in keys.iter().take(NAMED_MAX) {
            writeln!(text, "  {what:<9} {key}")?;
        }
        let named = keys.len().min(NAMED_MAX) as u64;
        if count > named {
            writeln!(text, "  {what:<9} … and {} more", count - named)?;
        }
    }
    Ok(())
}
