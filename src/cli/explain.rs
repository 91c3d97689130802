//! `standin explain URL`: everything the mirror knows of one page, and what decides about it in a crawl.

use std::fmt::Write;

use regex::Regex;
use serde::Serialize;

use super::args::Args;
use super::{Outcome, render};
use crate::config::{self, Config, RobotsPolicy, StrategyName};
use crate::crawl::{self, Robots};
use crate::db::Fuse;
use crate::manifest::{Entry, Gone, Manifest, Outcome as PageOutcome, Pending};
use crate::run::{self, House, Lock, RunError};
use crate::site::{Admission, Layout, LayoutName, PageUrl, Reach};

pub fn main(args: &Args, url: &str) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let asked_text = url;
    let asked = PageUrl::parse(asked_text)?;
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
    let pending = manifest.pending_note(&url).map_err(RunError::from)?;
    let mut text = format!("{url}\n");
    if url.as_str() != asked_text {
        writeln!(text, "  asked    {asked_text}: known under the URL above")?;
    }
    writeln!(text, "  rule     {rule}")?;
    let crawled = crawled(&config, &url, in_scope);
    text.push_str(&crawled.text());
    if let Some(pending) = &pending {
        text.push_str(&not_had(pending));
    }
    writeln!(text, "  key      {}", placed.key)?;
    if let Reach::GatewayOnly(why) = &placed.reach {
        writeln!(text, "           reachable by the gateway only: {why}")?;
    }
    text.push_str(&described(entry.as_ref()));
    if let Some(entry) = &entry {
        text.push_str(&dated(manifest, entry)?);
        text.push_str(&missing(manifest, &url)?);
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
            "asked": asked_text,
            "in_scope": in_scope,
            "rule": rule,
            "robots": crawled.robots,
            "trap": crawled.trap,
            "strategy": crawled.strategy,
            "seen": crawled.seen,
            "forms": crawled.forms,
            "pending": pending,
            "key": placed.key,
            "keys": { "plain": keys(LayoutName::Plain), "govuk": keys(LayoutName::Govuk) },
            "entry": entry,
            "tiers": tiers,
        }),
    })
}

/// What decides in a crawl whether a page of the site is asked for.
#[derive(Default)]
struct Crawled {
    robots: Option<String>,
    trap: Option<String>,
    strategy: Option<&'static str>,
    seen: Option<Seen>,
    forms: Option<String>,
}

impl Crawled {
    fn text(&self) -> String {
        let seen = self.seen.as_ref().map(Seen::text);
        let lines = [
            ("robots", self.robots.as_deref()),
            ("endless", self.trap.as_deref()),
            ("asked if", self.strategy),
            ("last", seen.as_deref()),
            ("forms", self.forms.as_deref()),
        ];
        let there = lines
            .iter()
            .filter_map(|(name, value)| Some((name, (*value)?)));
        there
            .map(|(name, value)| format!("  {name:<8} {value}\n"))
            .collect()
    }
}

fn crawled(config: &Config, url: &PageUrl, in_scope: bool) -> Crawled {
    if !in_scope {
        return Crawled::default();
    }
    Crawled {
        robots: robots_says(config, url),
        trap: trap_says(config, url),
        strategy: Some(match config.crawl.strategy {
            StrategyName::Full => "always: crawl.strategy is \"full\"",
            StrategyName::Lastmod => {
                "no sitemap says that it is unchanged, crawl.max_age_days have passed, or it is in crawl.refetch_share"
            }
        }),
        seen: seen(config, url),
        forms: forms_say(config, url),
    }
}

/// What the last robots.txt that the host gave says; nothing where it has never given one.
fn robots_says(config: &Config, url: &PageUrl) -> Option<String> {
    if config.site.robots == RobotsPolicy::Ignore {
        return Some("not asked: site.robots is \"ignore\"".into());
    }
    let memory = crawl::robots_memory(&config.state.dir);
    let text = memory.last_good(url.authority())?;
    let robots = Robots::from_answer(200, text.as_bytes(), &config.crawl.user_agent);
    let word = if robots.allows(url) {
        "allowed"
    } else {
        "forbidden"
    };
    let why = robots.why(url);
    let why = why.unwrap_or_else(|| "robots.txt says nothing of it".into());
    let fetched = memory.fetched(url.authority());
    let when = fetched.map_or_else(String::new, |at| format!(" (of {})", run::rfc3339(at)));
    Some(format!("{word}: {why}{when}"))
}

/// Why the URL looks endless by itself. How many queries its path has is known in a crawl only.
fn trap_says(config: &Config, url: &PageUrl) -> Option<String> {
    let limits = run::traps_of(&config.crawl);
    let trap = limits.of(url, run::now())?;
    let instead = limits.without_session(url);
    let instead = instead.map(|page| format!("; asked for as {page}"));
    Some(format!("{trap}{}", instead.unwrap_or_default()))
}

/// When the page was last met; the days in UTC.
#[derive(Serialize)]
struct Seen {
    answered: Option<String>,
    /// When its links were last read.
    parsed: Option<String>,
    /// When a page, a sitemap or a seed last named it.
    named: Option<String>,
}

impl Seen {
    fn text(&self) -> String {
        let times = [
            ("answered", &self.answered),
            ("parsed", &self.parsed),
            ("named", &self.named),
        ];
        let there = times
            .iter()
            .filter_map(|(what, when)| Some(format!("{what} {}", when.as_ref()?)));
        there.collect::<Vec<_>>().join(", ")
    }
}

fn seen(config: &Config, url: &PageUrl) -> Option<Seen> {
    let sightings = crawl::sightings(&config.state.dir);
    let seen = sightings.get(url)?;
    let day = |day: u16| {
        let midnight = run::rfc3339(i64::from(day) * 24 * 60 * 60);
        midnight.split('T').next().unwrap_or_default().to_owned()
    };
    Some(Seen {
        answered: seen.checked.map(run::rfc3339),
        parsed: seen.parsed_day.map(day),
        named: seen.linked_day.map(day),
    })
}

/// The pattern by which forms on this page are enumerated.
fn forms_say(config: &Config, url: &PageUrl) -> Option<String> {
    let matches = |pattern: &&String| Regex::new(pattern).is_ok_and(|r| r.is_match(url.as_str()));
    let pattern = config.crawl.forms.iter().find(matches)?;
    Some(format!("enumerated: `{pattern}` in crawl.forms matches"))
}

/// What became of a page that is none yet.
fn not_had(pending: &Pending) -> String {
    let from = pending
        .from
        .as_ref()
        .map(|from| format!(" (linked from {from})"));
    let from = from.unwrap_or_default();
    format!("  not had  {}{from}\n", pending.why)
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
        PageOutcome::Gone(gone) if gone.status == Gone::RETIRED => {
            "retired: nothing had named it for crawl.retire_after_days".into()
        }
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

/// How often in a row a stored page was not there lately.
fn missing(manifest: &Manifest, url: &PageUrl) -> anyhow::Result<String> {
    let missing = manifest.missing(url).map_err(RunError::from)?;
    let lately = missing.filter(|missing| missing.crawl == manifest.about().crawls);
    Ok(lately.map_or_else(String::new, |missing| {
        format!(
            "  missing  answered {} in the last {} crawls, kept for now\n",
            missing.status, missing.strikes
        )
    }))
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
