//! Reports as text for people.

use std::fmt::Write;

use comfy_table::{CellAlignment, Table, TableComponent, presets};

use super::crawled::{self, Fate};
use crate::config::visible;
use crate::run::{ChangeLine, RunReport, Verdict};
use crate::sync::TierReport;

/// A report, from the verdict down.
pub fn report(report: &RunReport) -> String {
    let mut text = String::new();
    let verdict = match report.verdict {
        Verdict::Ok => "ok",
        Verdict::Degraded => "DEGRADED",
        Verdict::Failed => "FAILED",
    };
    let resumed = if report.resumed { ", resumed" } else { "" };
    push(
        &mut text,
        format_args!(
            "{}: {verdict}   generation {}, {} pages, {:.1} s{resumed}\n",
            report.verb, report.generation, report.pages, report.seconds
        ),
    );
    for reason in &report.reasons {
        push(&mut text, format_args!("  ! {reason}\n"));
    }
    if let Some(common) = &report.common_change {
        let common = common.to_string();
        if !report.reasons.iter().any(|reason| reason.contains(&common)) {
            push(&mut text, format_args!("  note: {common}\n"));
        }
    }
    if report.gateway_only > 0 {
        let (count, keys) = match report.gateway_only {
            1 => (1, "page has a key"),
            count => (count, "pages have keys"),
        };
        push(
            &mut text,
            format_args!(
                "  note: {count} {keys} that a CDN cannot compute (queries, odd characters)\n"
            ),
        );
    }
    if report.aliases > 0 {
        let share = match report.aliases {
            1 => "1 URL shares".to_owned(),
            count => format!("{count} URLs share"),
        };
        let line = format_args!("  note: {share} key and content with another, which is served\n");
        push(&mut text, line);
    }
    if report.crawl.answers() > 0 {
        text.push_str(&crawl(report));
    }
    text.push_str(&tiers(report));
    text.push_str(&troubles(report));
    text
}

/// The changes of a run as a table; empty when there are none.
pub fn changes(lines: &[ChangeLine]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut table = plain_table(&["change", "page", "bytes before", "bytes after"]);
    for line in lines {
        let size = |size: Option<u64>| size.map_or_else(|| "–".into(), |size| size.to_string());
        table.add_row([
            line.what.to_owned(),
            line.url.target().to_owned(),
            size(line.size_before),
            size(line.size_after),
        ]);
    }
    align_right(&mut table, 2);
    format!("{table}\n")
}

/// What `status` shows of a finished run's report, and of the tiers as an audit has left them since.
pub fn finished(report: &serde_json::Value, audited: Option<&serde_json::Value>) -> String {
    let text = |name: &str| report[name].as_str().unwrap_or("?").to_owned();
    let mut shown = format!(
        "last run: {} ({}, started {}), generation {}, {} pages\n",
        text("verdict"),
        text("verb"),
        text("started"),
        report["generation"],
        report["pages"]
    );
    for reason in report["reasons"].as_array().into_iter().flatten() {
        push(
            &mut shown,
            format_args!("  ! {}\n", reason.as_str().unwrap_or_default()),
        );
    }
    let since = audited.and_then(|audited| audited["tiers"].as_array());
    let since: Vec<_> = since.into_iter().flatten().collect();
    for tier in report["tiers"].as_array().into_iter().flatten() {
        let newer = since.iter().find(|newer| newer["name"] == tier["name"]);
        let tier = newer.copied().unwrap_or(tier);
        push(
            &mut shown,
            format_args!(
                "  tier {}: generation {}, verified {}, {} owed\n",
                tier["name"].as_str().unwrap_or("?"),
                tier["watermark"],
                or_never(&tier["verified"]),
                tier["debts"]
            ),
        );
    }
    shown
}

/// What `status` shows of the audits since the last run.
pub fn audited(audited: &serde_json::Value) -> String {
    let text = |name: &str| visible(audited[name].as_str().unwrap_or("?"));
    let mut shown = format!("last audit: {} (begun {})\n", text("verdict"), text("at"));
    for reason in audited["reasons"].as_array().into_iter().flatten() {
        let reason = visible(reason.as_str().unwrap_or_default());
        push(&mut shown, format_args!("  ! {reason}\n"));
    }
    shown
}

/// Bytes in the largest unit that keeps a digit before the point.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

fn crawl(report: &RunReport) -> String {
    let failed = report.verdict == Verdict::Failed && !report.made_a_generation();
    let fate = if failed {
        Fate::Discarded
    } else {
        Fate::Committed
    };
    let counts = crawled::counts(report.verb, &report.crawl, fate);
    counts + &crawled::details(&report.tally)
}

/// One count of a tier.
type Count = fn(&TierReport) -> u64;

/// What is nought in all tiers has no column: so the table fits into 80 of them nearly always.
fn tiers(report: &RunReport) -> String {
    if report.tiers.is_empty() {
        return String::new();
    }
    let counts: [(&str, Count); 5] = [
        ("put", |tier| tier.put),
        ("copied", |tier| tier.copied),
        ("re-headered", |tier| tier.reheadered),
        ("deleted", |tier| tier.deleted),
        ("owed", |tier| tier.debts),
    ];
    let is_told = |count: Count| report.tiers.iter().any(|tier| count(tier) > 0);
    let told: Vec<_> = counts
        .into_iter()
        .filter(|(_, count)| is_told(*count))
        .collect();
    let mut header = vec!["tier"];
    header.extend(told.iter().map(|(name, _)| *name));
    header.extend(["bytes", "requests", "seconds", "verified"]);
    let mut table = plain_table(&header);
    for tier in &report.tiers {
        let verified = match (&tier.trouble, tier.verified) {
            (Some(_), _) => "in trouble".to_owned(),
            (None, Some(generation)) => format!("generation {generation}"),
            (None, None) => "never".to_owned(),
        };
        let mut row = vec![tier.name.clone()];
        row.extend(told.iter().map(|(_, count)| count(tier).to_string()));
        row.extend([
            bytes(tier.bytes),
            tier.requests.to_string(),
            format!("{:.1}", tier.seconds),
            verified,
        ]);
        table.add_row(row);
    }
    align_right(&mut table, 1);
    let repeated: String = report.tiers.iter().filter_map(repeated).collect();
    format!("{table}\n{repeated}")
}

/// What a service made us say twice, if anything.
fn repeated(tier: &TierReport) -> Option<String> {
    let traffic = &tier.traffic;
    (traffic.retries + traffic.throttles > 0).then(|| {
        format!(
            "  {}: {} requests repeated, {} throttled\n",
            tier.name, traffic.retries, traffic.throttles
        )
    })
}

fn troubles(report: &RunReport) -> String {
    const SHOWN: usize = 8;
    let mut text = String::new();
    for trouble in report.troubles.iter().take(SHOWN) {
        let url = trouble.url.as_str();
        let why = trouble.why.strip_prefix(url).unwrap_or(&trouble.why);
        let why = why.trim_start_matches(": ");
        push(&mut text, format_args!("  - {url}: {why}\n"));
        if let Some(from) = &trouble.from {
            push(
                &mut text,
                format_args!("      linked from {}\n", from.target()),
            );
        }
    }
    let counts = &report.crawl;
    let left = (counts.errors + counts.broken_links).saturating_sub(SHOWN as u64);
    if left > 0 {
        push(
            &mut text,
            format_args!("  - and {left} more (`--json` names up to 50)\n"),
        );
    }
    text
}

pub fn plain_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '─')
        .set_style(TableComponent::MiddleHeaderIntersections, '─')
        .set_header(header);
    table
}

pub fn align_right(table: &mut Table, from: usize) {
    for column in table.column_iter_mut().skip(from) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}

fn or_never(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "never".into(),
        value => format!("up to {value}"),
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_a_terminal_no_commands() {
        // Promise: whatever an object is called, its line stays one line of text.
        let name = "h/\u{1b}]0;owned\u{7}\u{1b}[2J\nverdict: ok\r\u{9b}1mü \u{7f}";
        let shown = visible(name);
        assert!(!shown.contains(char::is_control), "{shown}");
        assert!(shown.contains("\\n") && shown.contains('ü'), "{shown}");
    }
}
