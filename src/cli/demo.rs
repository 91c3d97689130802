//! `standin demo`
use super::Outcome;
use super::args::Args;
use std::path::Path;
pub async fn main(_: &Args, _: Option<&Path>, _: bool) -> anyhow::Result<Outcome> {
    anyhow::bail!("x")
}
