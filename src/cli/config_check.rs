//! `standin config check`: is it right, and what does it mean?

use std::fmt::Write;

use super::args::Args;
use super::{EXIT_USAGE, Outcome};
use crate::config::{self, Config, RobotsPolicy, StrategyName, TierTarget};

pub fn main(args: &Args) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let problems = config.problems();
    let file = config.file.as_ref().map(|file| file.display().to_string());
    let mut text = format!("{}\n", file.as_deref().unwrap_or_default());
    let seeds: Vec<_> = config.site.seeds.iter().map(ToString::to_string).collect();
    writeln!(text, "  seeds   {}", seeds.join(", "))?;
    writeln!(text, "  hosts   {}", config.site.hosts.join(", "))?;
    writeln!(text, "  layout  {}", config.site.layout)?;
    if !config.site.keep_headers.is_empty() {
        writeln!(text, "  keeps   {}", config.site.keep_headers.join(", "))?;
    }
    if let Some(policy) = &config.site.cache_control {
        writeln!(text, "  caching {policy}")?;
    }
    text.push_str(&asked_for(&config)?);
    writeln!(text, "  state   {}", config.state.dir.display())?;
    let mut tiers = Vec::new();
    for tier in &config.tiers {
        let place = match &tier.target {
            TierTarget::Directory(root) => format!("file:{}", root.display()),
            TierTarget::S3(s3) => format!("s3://{}/{}", s3.bucket, s3.prefix),
            TierTarget::Gcs(gcs) => format!("gs://{}/{}", gcs.bucket, gcs.prefix),
        };
        writeln!(text, "  tier    {} at {place}", tier.name)?;
        tiers.push(serde_json::json!({ "name": tier.name.as_str(), "url": place }));
    }
    for problem in &problems {
        writeln!(text, "problem: {problem}")?;
    }
    if problems.is_empty() {
        text.push_str("ok\n");
    }
    let mut json = serde_json::json!({
        "file": file,
        "seeds": seeds,
        "hosts": config.site.hosts,
        "layout": config.site.layout,
        "keep_headers": config.site.keep_headers,
        "cache_control": config.site.cache_control,
        "strategy": config.crawl.strategy,
        "quiet_hours": config.crawl.quiet_hours,
        "forms": config.crawl.forms,
        "tiers": tiers,
        "problems": problems,
    });
    if let Some(problem) = problems.first() {
        json["error"] = serde_json::json!(problem);
    }
    Ok(Outcome {
        code: if problems.is_empty() { 0 } else { EXIT_USAGE },
        text,
        json,
    })
}

/// What a crawl leaves out on purpose, or does beyond what every crawl does.
fn asked_for(config: &Config) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    if config.site.robots == RobotsPolicy::Ignore {
        text.push_str("  robots  ignored\n");
    }
    let crawl = &config.crawl;
    if crawl.strategy == StrategyName::Lastmod {
        let days = crawl.max_age_days;
        writeln!(
            text,
            "  asks    for what no sitemap calls unchanged, and for all within {days} days"
        )?;
    }
    if let Some(days) = crawl.retire_after_days {
        writeln!(text, "  retires what nothing has named for {days} days")?;
    }
    if !crawl.quiet_hours.is_empty() {
        writeln!(text, "  quiet   {} UTC", crawl.quiet_hours.join(", "))?;
    }
    if !crawl.forms.is_empty() {
        writeln!(text, "  forms   on {}", crawl.forms.join(", "))?;
    }
    Ok(text)
}
