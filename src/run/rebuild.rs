//! The verbs after a loss, under the lock: `rebuild manifest`, `rebuild store`, `rebuild tier` and `gc`. What is done
//! is in the room of that name; here it gets what it works with, and a report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;

use super::house::{self, House};
use super::{Lock, RunError, Surroundings, Verdict, new_run_id};
use crate::config::{Config, Keep, TierName};
use crate::content::CanonicalRules;
use crate::crawl::Frontier;
use crate::manifest::kept::Look;
use crate::rebuild::{
    self, Client, Effect, Estimate, Existing, GcReport, ManifestOrder, ManifestReport, Needed,
    RebuildError, StoreReport, TierOrder, Wanted,
};
use crate::sync::TierReport;

/// Where the bodies of a tier that is filled anew come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BodiesFrom {
    /// The store, and the other tiers for what it lacks.
    #[default]
    Anywhere,
    Store,
    Tiers,
    Tier(TierName),
}

/// A report of one of the verbs, with what all of them say.
#[derive(Debug, Clone, Serialize)]
pub struct Rebuilt<T> {
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    #[serde(flatten)]
    pub report: T,
    pub seconds: f64,
}

impl<T> Rebuilt<T> {
    fn of(report: T, begun: Instant) -> Rebuilt<T> {
        Rebuilt {
            verdict: Verdict::Ok,
            reasons: Vec::new(),
            report,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    fn note(&mut self, verdict: Verdict, reason: String) {
        self.verdict = self.verdict.max(verdict);
        self.reasons.push(reason);
    }
}

/// What is asked of `rebuild manifest`.
pub struct ManifestAsked<'a> {
    /// A tier's name, or a folder.
    pub from: Option<&'a str>,
    pub existing: Existing,
    /// Asked before every object of a tier is looked at.
    pub may: &'a dyn Fn(&Estimate) -> bool,
}

/// Makes the manifest again.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, [`RunError::Config`], and why it cannot be made.
pub async fn rebuild_manifest(
    config: &Config,
    asked: &ManifestAsked<'_>,
    around: &Surroundings<'_>,
) -> Result<Rebuilt<ManifestReport>, RunError> {
    let begun = Instant::now();
    check(config)?;
    let wanted = wanted(config, asked.from)?;
    let _lock = Lock::acquire(&config.state.dir, around.verb, &new_run_id())?;
    let (tiers, troubles) = clients(config);
    let rules = CanonicalRules::new(&config.canonical)
        .map_err(|error| RunError::Config(format!("canonical form: {error}")))?;
    let layout = house::layout_of(config);
    let progress = around.live.tier("objects");
    let order = ManifestOrder {
        state: &config.state.dir,
        layout: &layout,
        wanted,
        existing: asked.existing,
        tiers,
        rules: rules.lines(),
        may: asked.may,
        progress: &progress,
        fuse: around.fuse.clone(),
    };
    let mut report = rebuild::manifest(&order).await?;
    report.refused.splice(0..0, troubles);
    keep_checkpoint(config, around)?;
    Ok(Rebuilt::of(report, begun))
}

/// The state directory has its own checkpoint again, too.
fn keep_checkpoint(config: &Config, around: &Surroundings<'_>) -> Result<(), RunError> {
    let manifest = house::manifest_of(config, around.fuse.clone())?;
    super::keep_checkpoint(&manifest, config, Look::Bytes)?;
    Ok(house::close(manifest, config)?)
}

/// Fetches what the local store lacks.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, [`RunError::Config`], and what manifest and store say.
pub async fn rebuild_store(
    config: &Config,
    around: &Surroundings<'_>,
) -> Result<Rebuilt<StoreReport>, RunError> {
    let begun = Instant::now();
    check(config)?;
    if config.state.keep == Keep::UntilConfirmed {
        return Err(RunError::Config(
            "`state.keep` is \"until-confirmed\": the store keeps only what a tier lacks; set it to \"all\" to keep every body"
                .into(),
        ));
    }
    let _lock = Lock::acquire(&config.state.dir, around.verb, &new_run_id())?;
    let House { manifest, store } = House::open(config, around.fuse.clone())?;
    let (tiers, troubles) = clients(config);
    let progress = around.live.tier("bodies");
    let filled = rebuild::fill_store(&manifest, store, &tiers, (&progress, &around.fuse)).await?;
    let (store, report) = filled;
    House { manifest, store }.close(config)?;
    let lost = report.unavailable;
    let mut done = Rebuilt::of(report, begun);
    if lost > 0 {
        let why = troubles
            .first()
            .map_or(String::new(), |why| format!(" ({why})"));
        done.note(
            Verdict::Degraded,
            format!("no tier gave the bodies of {lost} pages{why}: the next crawl fetches them"),
        );
    }
    Ok(done)
}

/// Fills one tier anew.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, [`RunError::Config`], and what manifest and store say.
pub async fn rebuild_tier(
    config: &Config,
    name: &TierName,
    from: &BodiesFrom,
    around: &Surroundings<'_>,
) -> Result<Rebuilt<TierReport>, RunError> {
    let begun = Instant::now();
    check(config)?;
    let target = config.tier(name).map_err(RunError::Config)?;
    check_source(config, name, from)?;
    let run = new_run_id();
    let _lock = Lock::acquire(&config.state.dir, around.verb, &run)?;
    let House { manifest, store } = House::open(config, around.fuse.clone())?;
    if manifest.is_empty() {
        return Err(RunError::Config(
            "the manifest holds nothing yet; if it was lost, `standin rebuild manifest` comes first, else `standin run` fills every tier"
                .into(),
        ));
    }
    let client = house::tier_of(target).map_err(RebuildError::from)?;
    let (all, _) = clients(config);
    let others = all.into_iter().filter(|other| match from {
        BodiesFrom::Anywhere | BodiesFrom::Tiers => other.name != *name,
        BodiesFrom::Store => false,
        BodiesFrom::Tier(source) => other.name == *source,
    });
    let store = Arc::new(store);
    let progress = around.live.tier(name.as_str());
    let order = TierOrder {
        manifest: Arc::clone(&manifest),
        store: matches!(from, BodiesFrom::Anywhere | BodiesFrom::Store).then(|| Arc::clone(&store)),
        target: Client {
            name: name.clone(),
            tier: client,
            concurrency: target.concurrency_max,
        },
        others: others.collect(),
        scratch: store.incoming(),
        run,
        checkpoints: config.state.checkpoints,
        progress: &progress,
        fuse: around.fuse.clone(),
        now: (around.clock)(),
    };
    let outcome = rebuild::tier(&order).await?;
    drop(order);
    let mut report = match outcome {
        Ok(report) => report,
        Err(trouble) => crate::sync::refused(name, trouble.why, &manifest)?,
    };
    report.seconds = begun.elapsed().as_secs_f64();
    let is_whole = report.watermark == manifest.generation();
    super::keep_checkpoint(&manifest, config, Look::Lengths)?;
    let store = Arc::into_inner(store).expect("the sync has given it back");
    House { manifest, store }.close(config)?;
    let (debts, trouble) = (report.debts, report.trouble.clone());
    let mut done = Rebuilt::of(report, begun);
    if let Some(why) = trouble {
        done.note(Verdict::Failed, why);
    } else if debts > 0 || !is_whole {
        done.note(
            Verdict::Degraded,
            format!("tier {name} still owes {debts} pages: the next run tries them again"),
        );
    }
    Ok(done)
}

fn check_source(config: &Config, name: &TierName, from: &BodiesFrom) -> Result<(), RunError> {
    if let BodiesFrom::Tier(source) = from {
        config.tier(source).map_err(RunError::Config)?;
        if source == name {
            return Err(RunError::Config(format!(
                "tier {name} cannot be filled from itself; name another one, or `store`"
            )));
        }
    }
    Ok(())
}

/// Drops what nobody needs from the local store.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, [`RunError::Config`] while one waits to be gone on with, and what
/// manifest and store say.
pub fn gc(
    config: &Config,
    effect: Effect,
    around: &Surroundings<'_>,
) -> Result<Rebuilt<GcReport>, RunError> {
    let begun = Instant::now();
    check(config)?;
    let _lock = Lock::acquire(&config.state.dir, around.verb, &new_run_id())?;
    if Frontier::waits(&config.state.dir) {
        return Err(RunError::Config(
            "a crawl was cut short and waits to be gone on with: what it fetched is in the store and in no page yet; run `standin run` first"
                .into(),
        ));
    }
    let House {
        manifest,
        mut store,
    } = House::open(config, around.fuse.clone())?;
    let is_spare = config.state.keep == Keep::UntilConfirmed
        && super::stages::is_confirmed(config, &manifest)?;
    let needed = match is_spare {
        true => Needed::Nothing,
        false => Needed::Live,
    };
    let report = rebuild::sweep_store(&manifest, &mut store, &config.state.dir, (needed, effect))?;
    House { manifest, store }.close(config)?;
    let damaged = report.damaged.len();
    let mut done = Rebuilt::of(report, begun);
    if damaged > 0 {
        done.note(
            Verdict::Degraded,
            format!("{damaged} segments hold a damaged body and stay as they are; `standin rebuild store` fetches what cannot be read"),
        );
    }
    Ok(done)
}

fn check(config: &Config) -> Result<(), RunError> {
    match config.problems().into_iter().next() {
        Some(problem) => Err(RunError::Config(problem)),
        None => Ok(()),
    }
}

/// A name of a tier is that tier; anything else is a folder.
fn wanted(config: &Config, from: Option<&str>) -> Result<Wanted, RunError> {
    let Some(text) = from else {
        return Ok(Wanted::Any);
    };
    let named = config.tiers.iter().find(|tier| tier.name.as_str() == text);
    if let Some(tier) = named {
        return Ok(Wanted::Tier(tier.name.clone()));
    }
    let folder = PathBuf::from(text);
    if folder.is_dir() {
        return Ok(Wanted::Folder(folder));
    }
    let names: Vec<_> = config.tiers.iter().map(|tier| tier.name.as_str()).collect();
    Err(RunError::Config(format!(
        "--from {text}: neither a tier ({}) nor a folder",
        names.join(", ")
    )))
}

/// The tiers that can be asked at all, and why the others cannot.
fn clients(config: &Config) -> (Vec<Client>, Vec<String>) {
    let mut clients = Vec::new();
    let mut troubles = Vec::new();
    for tier in &config.tiers {
        match house::tier_of(tier) {
            Ok(client) => clients.push(Client {
                name: tier.name.clone(),
                tier: client,
                concurrency: tier.concurrency_max,
            }),
            Err(error) => troubles.push(error.to_string()),
        }
    }
    (clients, troubles)
}
