//! `standin publish DIR`: a folder in the crawl's place.

use std::path::Path;

use super::args::Args;
use super::{Outcome, run};
use crate::config;
use crate::db::Fuse;
use crate::run::{self as rooms, Live, Surroundings};

pub async fn main(args: &Args, folder: &Path) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let live = Live::default();
    let around = Surroundings {
        live: &live,
        fuse: Fuse::from_environment(),
        clock: rooms::now,
        verb: "publish",
    };
    let report = run::shown(args, &live, rooms::publish(folder, &config, around)).await?;
    run::outcome(&report)
}
