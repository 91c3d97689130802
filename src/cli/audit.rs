//! `standin audit`: what is really in the tiers, against the manifest.

use std::fmt::Write;

use super::args::{Args, Verb};
use super::run::shown;
use super::{Outcome, render};
use crate::audit::{Depth, Finding, Share};
use crate::config::{self, TierName, visible};
use crate::db::Fuse;
use crate::run::{
    self, AuditOrder, AuditReport, ForeignObjects, LinksReport, Live, Mending, RunError,
    Surroundings, TierAudit, Verdict,
};

/// Findings named per list; the rest is counted. `--json` names up to 1,000, and the files of `--report` all.
const NAMED_MAX: usize = 8;

/// Broken targets shown, and pages of each that point there.
const LINKS_SHOWN_MAX: usize = 20;
const LINK_PAGES_SHOWN_MAX: usize = 3;

pub async fn main(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let order = order_of(&args.verb)?;
    let live = Live::default();
    let around = Surroundings {
        live: &live,
        fuse: Fuse::from_environment(),
        clock: run::now,
        verb: "audit",
    };
    if matches!(&args.verb, Verb::Audit(asked) if asked.links) {
        let report = shown(args, &live, run::links(&config, order.report, around)).await?;
        return links(&report);
    }
    let report = shown(args, &live, run::audit(&config, &order, around)).await?;
    let text = rendered(&report)?;
    Outcome::of_report(&report, report.verdict, &report.reasons, text)
}

/// The outcome of `--links`.
fn links(report: &LinksReport) -> anyhow::Result<Outcome> {
    let found = &report.links;
    let verdict = match report.verdict {
        Verdict::Ok => "every link leads to something stored",
        Verdict::Degraded => "there are broken links",
        Verdict::Failed => "INCOMPLETE",
    };
    let mut text = format!(
        "audit --links: {verdict}   generation {}, {:.1} s\n  {} pages searched, {} references within the site, {} of them left out on purpose, {} targets broken\n",
        report.generation,
        report.seconds,
        found.searched,
        found.references,
        found.left_out,
        found.broken
    );
    for reason in &report.reasons {
        writeln!(text, "  ! {reason}")?;
    }
    for link in found.links.iter().take(LINKS_SHOWN_MAX) {
        writeln!(text, "{}: {}", link.url, link.why)?;
        for page in link.from.iter().take(LINK_PAGES_SHOWN_MAX) {
            writeln!(text, "    on {page}")?;
        }
        let more = link.pages.saturating_sub(LINK_PAGES_SHOWN_MAX as u64);
        if more > 0 {
            writeln!(text, "    and on {more} more")?;
        }
    }
    let more = found.broken.saturating_sub(LINKS_SHOWN_MAX as u64);
    if more > 0 {
        writeln!(text, "… and {more} more targets")?;
    }
    Outcome::of_report(report, report.verdict, &report.reasons, text)
}

fn order_of(verb: &Verb) -> Result<AuditOrder, RunError> {
    let Verb::Audit(asked) = verb else {
        unreachable!("main has chosen by the verb");
    };
    let mut tiers = Vec::new();
    for name in &asked.tier {
        let name = TierName::parse(name);
        tiers.push(name.map_err(|error| RunError::Config(format!("--tier: {error}")))?);
    }
    let read = match (asked.deep, asked.sample) {
        (true, _) => Share::All,
        (false, Some(number)) => Share::Sample(number),
        (false, None) => Share::None,
    };
    let rate = asked.rate.as_deref().map(|text| {
        let rate = config::parse_size(text).filter(|rate| *rate > 0);
        rate.ok_or_else(|| {
            RunError::Config(format!(
                "--rate {text}: write bytes a second, such as 50MB or 1GiB"
            ))
        })
    });
    Ok(AuditOrder {
        tiers,
        depth: Depth {
            read,
            headers: headers_of(&asked.headers)?,
            rate: rate.transpose()?,
        },
        mending: match asked.repair {
            true => Mending::Repair,
            false => Mending::None,
        },
        foreign: match asked.delete_foreign {
            true => ForeignObjects::Delete,
            false => ForeignObjects::Keep,
        },
        report: asked.report.clone(),
    })
}

/// `all`, or `sample N`.
fn headers_of(words: &[String]) -> Result<Share, RunError> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => Ok(Share::None),
        ["all"] => Ok(Share::All),
        ["sample", number] => number
            .parse()
            .map(Share::Sample)
            .map_err(|_| RunError::Config(format!("--headers sample {number}: no number"))),
        _ => Err(RunError::Config(format!(
            "--headers {}: write `--headers all` or `--headers sample 500`",
            words.join(" ")
        ))),
    }
}

fn rendered(report: &AuditReport) -> Result<String, std::fmt::Error> {
    let verdict = match report.verdict {
        Verdict::Ok => "all is as it should be",
        Verdict::Degraded => "there are findings",
        Verdict::Failed => "INCOMPLETE",
    };
    let mut text = format!(
        "audit: {verdict}   generation {}, {:.1} s\n",
        report.generation, report.seconds
    );
    if let Some(begun) = &report.resumed {
        writeln!(
            text,
            "  note: goes on where an audit was cut short that had begun at {begun}"
        )?;
    }
    for reason in &report.reasons {
        writeln!(text, "  ! {}", visible(reason))?;
    }
    let mut table = render::plain_table(&[
        "tier", "checked", "missing", "corrupt", "foreign", "stale", "headers", "known", "read",
        "requests", "verified",
    ]);
    for tier in &report.tiers {
        let counts = &tier.counts;
        let verified = tier
            .verified
            .map(|verified| verified.generation.to_string());
        table.add_row([
            tier.name.clone(),
            tier.checked.to_string(),
            counts.missing.to_string(),
            counts.corrupt.to_string(),
            counts.foreign.to_string(),
            counts.stale.to_string(),
            counts.wrong_headers.to_string(),
            counts.known().to_string(),
            render::bytes(tier.read.bytes),
            tier.requests.to_string(),
            verified.unwrap_or_else(|| "–".into()),
        ]);
    }
    render::align_right(&mut table, 1);
    writeln!(text, "{table}")?;
    for tier in &report.tiers {
        explain(&mut text, tier)?;
    }
    for clash in &report.collisions {
        let key = visible(&clash.key.to_string());
        writeln!(text, "collision  {key}: {} is served", clash.winner)?;
    }
    Ok(text)
}

fn explain(text: &mut String, tier: &TierAudit) -> std::fmt::Result {
    let name = &tier.name;
    for (what, sample) in [
        ("bytes", &tier.read_sample),
        ("headers", &tier.headers_sample),
    ] {
        if let Some(sample) = sample {
            writeln!(text, "{name}: {what}: {}", sample.says)?;
        }
    }
    for unrepaired in tier.unrepaired.iter().take(NAMED_MAX) {
        writeln!(
            text,
            "{name}: not mended: {}: {}",
            visible(&unrepaired.key),
            visible(&unrepaired.why)
        )?;
    }
    let sent = &tier.sent;
    let done = sent.put + sent.copied + sent.reheadered + sent.deleted + sent.foreign_deleted;
    if done > 0 {
        writeln!(
            text,
            "{name}: {} put ({}), {} deleted, {} foreign objects deleted; {} findings mended",
            sent.put + sent.copied + sent.reheadered,
            render::bytes(sent.bytes),
            sent.deleted,
            sent.foreign_deleted,
            tier.repaired
        )?;
    }
    let counts = &tier.counts;
    if counts.by_size_alone > 0 {
        writeln!(
            text,
            "{name}: of {} objects nothing but the size was recorded that a listing could be compared with; `--deep` reads them",
            counts.by_size_alone
        )?;
    }
    let lists: [(&str, &Vec<Finding>, u64); 6] = [
        ("missing", &tier.missing, counts.missing),
        ("corrupt", &tier.corrupt, counts.corrupt),
        ("foreign", &tier.foreign, counts.foreign),
        ("stale", &tier.stale, counts.stale),
        ("headers", &tier.wrong_headers, counts.wrong_headers),
        ("checkpoint", &tier.checkpoint, counts.checkpoint),
    ];
    for (what, findings, count) in lists {
        for finding in findings.iter().take(NAMED_MAX) {
            let good = match &finding.last_good {
                Some(at) => format!("; last known good at {at}"),
                None => String::new(),
            };
            writeln!(
                text,
                "{name}: {what:<8} {}: {}{good}",
                visible(&finding.key),
                visible(&finding.why)
            )?;
        }
        let named = findings.len().min(NAMED_MAX) as u64;
        if count > named {
            writeln!(text, "{name}: {what:<8} … and {} more", count - named)?;
        }
    }
    Ok(())
}
