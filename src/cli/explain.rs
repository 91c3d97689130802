//! `standin explain URL`: everything the mirror knows of one page.

use std::fmt::Write;

use super::args::Args;
use super::{Outcome, render};
use crate::config::{self, Config};
use crate::db::Fuse;
use crate::manifest::{Entry, Manifest, Outcome as PageOutcome};
use crate::run::{self, House, Lock, RunError};
use crate::site::{Admission, Layout, LayoutName, PageUrl, Reach};

pub fn main(args: &Args, url: &str) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let asked = PageUrl::parse(url)?;
    let _lock = Lock::acquire(
        &config.state.dir,
        "explain",
        &crate::manifest::RunId("explain".into()),
    )?;
    let house = House::open(&config, Fuse::none())?;
    let manifest = &house.manifest;
    let scope = run::scope_of(&config, &manifest.about())?;
    let rule = scope.explain(&asked).to_string();
    let (url, in_scope) = match scope.admit(asked.clone()) {
        Admission::Page(page) => (page, true),
        Admission::Outside(_) => (asked, false),
    };
    let placed = manifest.layout().place(&url);
    let entry = manifest.entry(&url).map_err(RunError::from)?;
    let mut text = format!("{url}\n  rule     {rule}\n  key      {}\n", placed.key);
    if let Reach::GatewayOnly(why) = &placed.reach {
        writeln!(text, "           reachable by the gateway only: {why}")?;
    }
    text.push_str(&described(entry.as_ref()));
    if let Some(entry) = &entry {
        text.push_str(&dated(manifest, entry)?);
        let missing = manifest.missing(&url).map_err(RunError::from)?;
        if let Some(missing) = missing.filter(|missing| missing.crawl == manifest.about().crawls) {
            writeln!(
                text,
                "  missing  answered {} in the last {} crawls, kept for now",
                missing.status, missing.strikes
            )?;
        }
    }
    let tiers = tiers(&config, manifest, &url, entry.as_ref(), &mut text)?;
    let keys = |name| {
        Layout::new(name, config.site.asset_hosts.iter().cloned())
            .place(&url)
            .key
    };
    Ok(Outcome {
        code: 0,
        text,
        json: serde_json::json!({
            "url": url,
            "in_scope": in_scope,
            "rule": rule,
            "key": placed.key,
            "keys": { "plain": keys(LayoutName::Plain), "govuk": keys(LayoutName::Govuk) },
            "entry": entry,
            "tiers": tiers,
        }),
    })
}

fn described(entry: Option<&Entry>) -> String {
    let Some(entry) = entry else {
        return "  entry    none: never stored\n".into();
    };
    let what = match &entry.outcome {
        PageOutcome::Page(page) => format!(
            "{} {} {}, BLAKE3 {}",
            page.status,
            page.headers.content_type().unwrap_or("without a type"),
            render::bytes(page.size),
            page.content
        ),
        PageOutcome::Redirect(redirect) => format!("{} to {}", redirect.status, redirect.target),
        PageOutcome::Gone(gone) => format!("gone ({})", gone.status),
    };
    format!("  entry    {what}\n")
}

/// When the page changed last, and by which run.
fn dated(manifest: &Manifest, entry: &Entry) -> anyhow::Result<String> {
    let record = manifest
        .generation_record(entry.changed)
        .map_err(RunError::from)?;
    let when = record.map_or_else(String::new, |record| {
        let at = run::rfc3339(record.committed_at);
        format!(" ({at} by run {})", record.run)
    });
    Ok(format!(
        "  changed  in generation {}{when}\n",
        entry.changed
    ))
}

fn tiers(
    config: &Config,
    manifest: &Manifest,
    url: &PageUrl,
    entry: Option<&Entry>,
    text: &mut String,
) -> anyhow::Result<Vec<serde_json::Value>> {
    let mut tiers = Vec::new();
    for tier in &config.tiers {
        let state = manifest.tier(&tier.name).map_err(RunError::from)?;
        let debt = manifest.debt(&tier.name, url).map_err(RunError::from)?;
        let standing = match (&debt, entry) {
            (Some(debt), _) => format!("owed: {}", debt.reason),
            (None, None) => "nothing to keep".into(),
            (None, Some(entry)) if entry.changed <= state.watermark => "confirmed".into(),
            (None, Some(_)) => "waits for the next sync".into(),
        };
        writeln!(text, "  tier     {}: {standing}", tier.name)?;
        tiers.push(serde_json::json!({
            "name": tier.name.as_str(),
            "standing": standing,
            "watermark": state.watermark,
            "verified": state.verified.map(|verified| verified.generation),
            "debt": debt,
        }));
    }
    Ok(tiers)
}
