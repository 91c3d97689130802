//! `standin init`: a commented configuration to start from.

use std::path::Path;

use super::Outcome;
use super::args::Args;
use crate::config;

pub fn main(args: &Args, file: Option<&Path>) -> anyhow::Result<Outcome> {
    let file = file
        .or(args.config.as_deref())
        .unwrap_or(Path::new("standin.toml"));
    config::init(file)?;
    let shown = file.display().to_string();
    Ok(Outcome {
        code: 0,
        text: format!(
            "Wrote {shown}. Set `seeds` and the tiers in it, then: standin config check, standin run\n"
        ),
        json: serde_json::json!({ "written": shown }),
    })
}
