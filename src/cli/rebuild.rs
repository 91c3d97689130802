//! `standin rebuild`: manifest, store or tier, after a loss.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};

use serde::Serialize;

use super::args::{Args, RebuildVerb};
use super::{Outcome, render};
use crate::config::{self, TierName};
use crate::db::Fuse;
use crate::rebuild::{Estimate, Existing, ManifestReport};
use crate::run::{self, BodiesFrom, Live, ManifestAsked, Rebuilt, RunError, Surroundings, Verdict};

pub async fn main(args: &Args, verb: &RebuildVerb) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let live = Live::default();
    let around = Surroundings {
        live: &live,
        fuse: Fuse::from_environment(),
        clock: run::now,
        verb: "rebuild",
    };
    match verb {
        RebuildVerb::Manifest { from, replace, yes } => {
            let may = |estimate: &Estimate| agrees(estimate, *yes);
            let asked = ManifestAsked {
                from: from.as_deref(),
                existing: match replace {
                    true => Existing::Replace,
                    false => Existing::Keep,
                },
                may: &may,
            };
            let working = run::rebuild_manifest(&config, &asked, &around);
            // A bar would write over the question.
            let done = match yes {
                true => run_shown(args, &live, working).await?,
                false => working.await?,
            };
            outcome("rebuild manifest", &done, &manifest(&done.report)?)
        }
        RebuildVerb::Store => {
            let working = run::rebuild_store(&config, &around);
            let done = run_shown(args, &live, working).await?;
            let report = &done.report;
            let mut text = format!(
                "{} bodies were there, {} were damaged, {} fetched ({}), in {} requests\n",
                report.there,
                report.damaged,
                report.fetched,
                render::bytes(report.bytes),
                report.requests
            );
            for url in &report.unavailable_urls {
                writeln!(text, "  - {url}")?;
            }
            outcome("rebuild store", &done, &text)
        }
        RebuildVerb::Tier { tier, from } => {
            let name = named(tier)?;
            let from = match from.as_deref() {
                None => BodiesFrom::Anywhere,
                Some("store") => BodiesFrom::Store,
                Some("tiers") => BodiesFrom::Tiers,
                Some(other) => BodiesFrom::Tier(named(other)?),
            };
            let working = run::rebuild_tier(&config, &name, &from, &around);
            let done = run_shown(args, &live, working).await?;
            let report = &done.report;
            let text = format!(
                "tier {}: {} put ({}), {} copied inside the service, {} re-headered, {} deleted, in {} requests\n",
                report.name,
                report.put,
                render::bytes(report.bytes),
                report.copied,
                report.reheadered,
                report.deleted,
                report.requests
            );
            outcome("rebuild tier", &done, &text)
        }
    }
}

async fn run_shown<T>(
    args: &Args,
    live: &Live,
    working: impl Future<Output = Result<Rebuilt<T>, RunError>>,
) -> anyhow::Result<Rebuilt<T>> {
    super::run::shown(args, live, working).await
}

fn named(text: &str) -> Result<TierName, RunError> {
    TierName::parse(text).map_err(|error| RunError::Config(format!("{text}: {error}")))
}

/// Says what it costs; without a terminal nobody can be asked.
fn agrees(estimate: &Estimate, yes: bool) -> bool {
    for refused in &estimate.refused {
        eprintln!("standin: {refused}");
    }
    eprintln!(
        "standin: no checkpoint can be read; looking at every object of tier {} instead: {} objects, about {} requests",
        estimate.tier, estimate.objects, estimate.requests
    );
    if yes || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return yes;
    }
    eprint!("Go on? [y/N] ");
    drop(std::io::stderr().flush());
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes")
}

/// A report as the outcome of its verb: exit code 0 when what was asked for is whole.
pub fn outcome<T: Serialize>(
    verb: &str,
    done: &Rebuilt<T>,
    details: &str,
) -> anyhow::Result<Outcome> {
    let verdict = match done.verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "not whole",
        Verdict::Failed => "FAILED",
    };
    let mut text = format!("{verb}: {verdict}   {:.1} s\n", done.seconds);
    for reason in &done.reasons {
        writeln!(text, "  ! {reason}")?;
    }
    text.push_str(details);
    Outcome::of_report(done, done.verdict, &done.reasons, text)
}

fn manifest(report: &ManifestReport) -> Result<String, std::fmt::Error> {
    let mut text = format!(
        "generation {} from {}: {} pages, {} redirects, {} gone\n",
        report.generation, report.source, report.pages, report.redirects, report.gone
    );
    for refused in &report.refused {
        writeln!(text, "  refused: {refused}")?;
    }
    if let Some(listing) = &report.listing {
        writeln!(
            text,
            "compared with {} listed objects: {} newer, {} missing or wrong (the next run writes them), {} of nobody",
            listing.listed, listing.newer, listing.owed, listing.foreign
        )?;
    }
    let mut table = render::plain_table(&["tier", "generation", "owes", "requests", "outcome"]);
    for tier in &report.tiers {
        table.add_row([
            tier.name.clone(),
            tier.watermark.to_string(),
            tier.debts.to_string(),
            tier.requests.to_string(),
            tier.outcome.clone(),
        ]);
    }
    writeln!(text, "{table}")?;
    if let Some(place) = &report.moved_to {
        writeln!(text, "what was there lies in {} now", place.display())?;
    }
    Ok(text)
}
