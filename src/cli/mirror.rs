//! `standin mirror URL`: the whole job without a configuration.

use std::path::{Path, PathBuf};

use super::args::Args;
use super::{Outcome, run};
use crate::config;
use crate::run::Stages;
use crate::site::PageUrl;

pub async fn main(args: &Args, url: &str, into: Option<&Path>) -> anyhow::Result<Outcome> {
    let url = PageUrl::parse(url)?;
    let into = into.map_or_else(|| folder_of(&url), Path::to_path_buf);
    let mut settings = config::for_mirror(&url, &into);
    if let Some(file) = &args.config {
        // A configuration given by hand adds its crawl and guard settings; where things lie stays.
        let given = config::load(Some(file))?;
        settings.crawl = given.crawl;
        settings.guard = given.guard;
        settings.site.deny = given.site.deny;
        settings.site.headers = given.site.headers;
        settings.site.robots = given.site.robots;
    }
    let report = run::watched(args, &settings, Stages::All, "mirror").await?;
    let mut outcome = run::outcome(&report)?;
    if report.pages > 0 {
        let copy = into.join("tiers").join("local");
        outcome
            .text
            .push_str(&format!("\nThe copy is in {}\n", copy.display()));
        outcome.json["copy"] = serde_json::json!(copy.display().to_string());
    }
    Ok(outcome)
}

/// A folder in the working directory, named as the keys of the site begin.
fn folder_of(url: &PageUrl) -> PathBuf {
    PathBuf::from(url.authority().replace(':', "_").replace(['[', ']'], ""))
}
