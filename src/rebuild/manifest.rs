//! The manifest, made again.
//!
//! It is built in a folder beside the old one and takes its place only when it is whole; what was there is moved
//! aside, never deleted. Of all checkpoints that can be reached the newest is tried first, and one that is damaged,
//! cut off, of another mirror or of a newer format is named and the next one tried. Where none can be read, the
//! objects' own metadata is. Then a listing says what the tier holds today, and what each tier owes is recorded, so
//! that the next run has nothing to do but that.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::acquaint::{Around, Made, acquaint, etag_kind, head_of};
use super::objects::{self, Estimate, Progress};
use super::source::{self, Found, Place};
use super::{Client, RebuildError, Reconciled, io_error, off_thread, store};
use crate::config::TierName;
use crate::db::{self, Fuse, replace_file};
use crate::manifest::{Generation, Lineage, Manifest, ManifestError, Meta, kept, restore};
use crate::site::Layout;
use crate::store::Store;
use crate::sync::{Head, TierProgress};

/// What it is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The best there is.
    Any,
    Tier(TierName),
    /// The checkpoints in a state directory, or in a copy of one.
    Folder(PathBuf),
}

/// What becomes of a manifest that opens well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Keep,
    Replace,
}

/// What is asked for.
pub struct ManifestOrder<'a> {
    pub state: &'a Path,
    pub layout: &'a Layout,
    pub wanted: Wanted,
    pub existing: Existing,
    pub tiers: Vec<Client>,
    /// Today's rules of the canonical form, for when nobody can tell those of then.
    pub rules: Vec<String>,
    /// Asked before every object of a tier is looked at.
    pub may: &'a dyn Fn(&Estimate) -> bool,
    pub progress: &'a TierProgress,
    pub fuse: Fuse,
}

/// How a tier stands after it.
#[derive(Debug, Clone, Serialize)]
pub struct TierStanding {
    pub name: String,
    /// `known`, or why not.
    pub outcome: String,
    pub watermark: Generation,
    pub debts: u64,
    pub requests: u64,
}

/// What was made.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ManifestReport {
    pub lineage: String,
    pub generation: Generation,
    pub pages: u64,
    pub redirects: u64,
    pub gone: u64,
    /// What it was made from.
    pub source: String,
    /// Generation of the checkpoint; none where the objects' metadata served.
    pub checkpoint: Option<Generation>,
    /// Checkpoints that were not to be believed, and places that could not be read.
    pub refused: Vec<String>,
    /// The listing that was compared.
    pub listing: Option<Reconciled>,
    /// Bodies found in the local store.
    pub blobs: u64,
    /// Where the manifest from before lies now.
    pub moved_to: Option<PathBuf>,
    pub tiers: Vec<TierStanding>,
}

/// A manifest that has been made, and where.
struct Built {
    made: Made,
    dir: PathBuf,
}

/// Makes the manifest of a state directory again, whose lock the caller holds.
///
/// # Errors
/// [`RebuildError::Refused`] where there is nothing to make it from, or a manifest that opens well; and what the
/// tiers, the database and the file system say.
pub async fn manifest(order: &ManifestOrder<'_>) -> Result<ManifestReport, RebuildError> {
    let existing = existing(order).await?;
    let mut report = ManifestReport::default();
    let found = look_around(order, &mut report).await;
    let expected = existing.as_ref().map(|(lineage, _)| lineage.clone());
    let lineage = lineage_of(order, &found, expected, &mut report)?;
    let (ours, others): (Vec<Found>, Vec<Found>) = found
        .into_iter()
        .partition(|found| Some(&found.lineage) == lineage.as_ref());
    let earlier = existing.filter(|(existing, _)| Some(existing) == lineage.as_ref());
    let around = Around {
        newest: newest_of(&ours, earlier.map(|(_, generation)| generation)),
        ours,
        others: others.into_iter().filter_map(Found::tier).collect(),
    };
    let built = match from_checkpoints(order, &around.ours, &mut report).await? {
        Some(built) => built,
        None => from_objects(order, &around, lineage.as_ref(), &mut report).await?,
    };
    acquaint(order, &built.made, &around, &mut report).await?;
    report.blobs = found_blobs(order, &built.made.manifest).await?;
    let about = built.made.manifest.about();
    report.lineage = about.lineage.0;
    report.generation = about.generation;
    report.pages = about.counts.pages;
    report.redirects = about.counts.redirects;
    report.gone = about.counts.gone;
    let Built { made, dir } = built;
    let manifest = Arc::into_inner(made.manifest).expect("whoever worked with it has ended");
    manifest.close(&[])?;
    report.moved_to = put_in_place(order, &dir)?;
    Ok(report)
}

/// The newest generation that anybody tells of: the manifest from before, a head, a checkpoint.
fn newest_of(ours: &[Found], earlier: Option<Generation>) -> Generation {
    let heads = ours.iter().filter_map(|found| found.head.as_ref());
    let checkpoints = ours.iter().flat_map(|found| &found.checkpoints);
    let told = heads
        .map(|head| head.generation)
        .chain(checkpoints.map(|checkpoint| checkpoint.generation));
    told.chain(earlier).max().unwrap_or(Generation::NONE)
}

/// The lineage and the generation of the manifest that is there; one that opens well stays, unless told otherwise.
async fn existing(
    order: &ManifestOrder<'_>,
) -> Result<Option<(Lineage, Generation)>, RebuildError> {
    let (state, layout) = (order.state.to_path_buf(), order.layout.clone());
    let there = tokio::task::spawn_blocking(move || Manifest::look(&state, &layout));
    let there = there.await.expect("looking does not panic");
    match there {
        Ok(Some((_, generation))) if order.existing == Existing::Keep => {
            Err(RebuildError::Refused(format!(
                "the manifest in {} opens well and holds generation {generation}; say --replace to make it again all the same (the one that is there is moved aside)",
                order.state.display()
            )))
        }
        Ok(there) => Ok(there),
        Err(error @ (ManifestError::Layout { .. } | ManifestError::Newer { .. })) => {
            Err(error.into())
        }
        Err(ManifestError::Db(error @ crate::db::DbError::Busy { .. })) => Err(error.into()),
        Err(error) => {
            tracing::info!(%error, "the manifest that is there");
            Ok(Manifest::told_beside(order.state))
        }
    }
}

/// Everything that can be read and may know something.
async fn look_around(order: &ManifestOrder<'_>, report: &mut ManifestReport) -> Vec<Found> {
    let mut places = Vec::new();
    match &order.wanted {
        Wanted::Folder(folder) => {
            let inner = kept::place(folder);
            places.push(Place::Folder(if inner.is_dir() {
                inner
            } else {
                folder.clone()
            }));
        }
        Wanted::Any => places.push(Place::Folder(kept::place(order.state))),
        Wanted::Tier(_) => (),
    }
    places.extend(order.tiers.iter().cloned().map(Place::Tier));
    let mut found = Vec::new();
    for place in places {
        match place.look().await {
            Ok(Some(one)) => found.push(one),
            Ok(None) => (),
            Err(why) => report.refused.push(why),
        }
    }
    found
}

/// Whose manifest it is to be: of the place that was named, of the state folder, or of the tiers, where they agree. All
/// others are named as refused.
fn lineage_of(
    order: &ManifestOrder<'_>,
    found: &[Found],
    expected: Option<Lineage>,
    report: &mut ManifestReport,
) -> Result<Option<Lineage>, RebuildError> {
    let named = found
        .iter()
        .find(|found| match (&order.wanted, &found.place) {
            (Wanted::Tier(name), Place::Tier(client)) => client.name == *name,
            (Wanted::Folder(_), Place::Folder(_)) => true,
            _ => false,
        });
    let named = named.map(|found| found.lineage.clone());
    if let (Some(named), Some(expected)) = (&named, &expected)
        && named != expected
        && order.existing == Existing::Keep
    {
        return Err(RebuildError::Refused(format!(
            "what was named is of another mirror (lineage {}) than this state folder (lineage {}); say --replace to take it over",
            named.0, expected.0
        )));
    }
    let beside = || {
        let folder = found
            .iter()
            .find(|found| matches!(found.place, Place::Folder(_)));
        folder.map(|found| found.lineage.clone())
    };
    let lineage = match named.or(expected).or_else(beside) {
        Some(lineage) => Some(lineage),
        None => the_only_one(found)?,
    };
    for other in found {
        if Some(&other.lineage) != lineage.as_ref() {
            report.refused.push(format!(
                "{} belongs to another mirror (lineage {})",
                other.place.describe(),
                other.lineage.0
            ));
        }
    }
    Ok(lineage)
}

/// The lineage of all tiers. Where they are of several mirrors, nobody can tell from here which one is meant.
fn the_only_one(found: &[Found]) -> Result<Option<Lineage>, RebuildError> {
    let Some(first) = found.first() else {
        return Ok(None);
    };
    if found.iter().all(|other| other.lineage == first.lineage) {
        return Ok(Some(first.lineage.clone()));
    }
    let of = |found: &Found| format!("{} of lineage {}", found.place.describe(), found.lineage.0);
    let told: Vec<_> = found.iter().map(of).collect();
    Err(RebuildError::Refused(format!(
        "the tiers are of several mirrors ({}); name one of the right mirror with --from, and take the others out of the configuration",
        told.join(", ")
    )))
}

/// From the newest checkpoint that can be believed; `None` when there is none.
async fn from_checkpoints(
    order: &ManifestOrder<'_>,
    ours: &[Found],
    report: &mut ManifestReport,
) -> Result<Option<Built>, RebuildError> {
    let mut candidates = Vec::new();
    for found in ours {
        if is_wanted(order, &found.place) {
            candidates.extend(found.checkpoints.iter().map(|one| (found, one)));
        }
    }
    // A stable sort: of equal ones the first place counts, which is the nearest.
    candidates.sort_by_key(|(_, checkpoint)| std::cmp::Reverse(checkpoint.generation));
    let mut is_refused = false;
    for (found, checkpoint) in candidates {
        let dir = restore::place_of_work(order.state);
        remove_folder(&dir)?;
        match restored(order, &dir, found, checkpoint).await {
            Ok(manifest) => {
                report.source = format!("the checkpoint in {}", found.place.describe());
                report.checkpoint = Some(checkpoint.generation);
                let made = Made {
                    manifest,
                    source: found.place.clone(),
                    nearest: match &found.place {
                        Place::Tier(client) => Some(client.clone()),
                        Place::Folder(_) => best_tier(ours),
                    },
                    told: checkpoint.generation,
                    is_as_told: !is_refused,
                };
                return Ok(Some(Built { made, dir }));
            }
            Err(RebuildError::Manifest(
                error @ (ManifestError::Checkpoint { .. } | ManifestError::Record { .. }),
            )) => {
                is_refused = true;
                report.refused.push(format!(
                    "the checkpoint of generation {} in {}: {error}",
                    checkpoint.generation,
                    found.place.describe()
                ));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn is_wanted(order: &ManifestOrder<'_>, place: &Place) -> bool {
    match (&order.wanted, place) {
        (Wanted::Any, _) | (Wanted::Folder(_), Place::Folder(_)) => true,
        (Wanted::Tier(name), Place::Tier(client)) => client.name == *name,
        _ => false,
    }
}

/// The tier that holds the newest generation.
fn best_tier(ours: &[Found]) -> Option<Client> {
    let mut tiers: Vec<_> = ours
        .iter()
        .filter_map(|found| match (&found.place, &found.head) {
            (Place::Tier(client), Some(head)) => Some((head.generation, client)),
            _ => None,
        })
        .collect();
    tiers.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
    tiers.first().map(|(_, client)| (*client).clone())
}

async fn restored(
    order: &ManifestOrder<'_>,
    dir: &Path,
    found: &Found,
    checkpoint: &crate::manifest::checkpoint::Checkpoint,
) -> Result<Arc<Manifest>, RebuildError> {
    let manifest = new_manifest(order, dir).await?;
    let told = source::take_in(&manifest, &found.place, checkpoint).await?;
    order.fuse.pass("rebuild.taken")?;
    let wrong = |why: &str| ManifestError::Checkpoint {
        name: format!("generation {}", checkpoint.generation),
        why: why.to_owned(),
    };
    let meta = match (told, &found.head) {
        (Some(meta), _) => *meta,
        // Of a version that kept entries alone.
        (None, Some(head)) => Meta {
            lineage: found.lineage.clone(),
            layout: head.layout,
            asset_hosts: head.asset_hosts.clone(),
            identity: head.identity.clone(),
            generation: checkpoint.generation,
            rules: rules_of(order, &manifest).await?,
            ..manifest.about()
        },
        (None, None) => return Err(wrong("it does not say what it is of").into()),
    };
    if meta.lineage != found.lineage {
        return Err(wrong("it belongs to another mirror").into());
    }
    if meta.generation != checkpoint.generation {
        return Err(wrong("it is of another generation than it is said to be").into());
    }
    if meta.layout() != *order.layout {
        return Err(RebuildError::Layout {
            made: meta.layout().to_string(),
            configured: order.layout.to_string(),
        });
    }
    off_thread(&manifest, move |manifest| manifest.conclude(meta)).await?;
    Ok(manifest)
}

async fn new_manifest(
    order: &ManifestOrder<'_>,
    dir: &Path,
) -> Result<Arc<Manifest>, RebuildError> {
    fs::create_dir_all(dir).map_err(io_error(dir))?;
    let (dir, layout, fuse) = (dir.to_owned(), order.layout.clone(), order.fuse.clone());
    let opened = tokio::task::spawn_blocking(move || Manifest::open(&dir, &layout, fuse)).await;
    Ok(Arc::new(opened.expect("opening does not panic")?))
}

async fn rules_of(
    order: &ManifestOrder<'_>,
    manifest: &Arc<Manifest>,
) -> Result<Vec<Vec<String>>, RebuildError> {
    let newest = off_thread(manifest, |manifest| {
        let mut newest = 0;
        for entry in manifest.entries(None) {
            let page = entry?.1.outcome;
            newest = newest.max(page.page().map_or(0, |page| page.rules));
        }
        Ok(newest)
    });
    Ok(objects::rules_as_today(&order.rules, newest.await?))
}

/// From the metadata of a tier's objects. Goes on where an earlier attempt was killed.
async fn from_objects(
    order: &ManifestOrder<'_>,
    around: &Around,
    lineage: Option<&Lineage>,
    report: &mut ManifestReport,
) -> Result<Built, RebuildError> {
    let (ours, others) = (&around.ours, &around.others);
    let client = match &order.wanted {
        Wanted::Tier(name) => order.tiers.iter().find(|one| one.name == *name).cloned(),
        Wanted::Any => match best_tier(ours) {
            Some(client) => Some(client),
            None => first_filled(order, others, report).await,
        },
        Wanted::Folder(_) => None,
    };
    let Some(client) = client else {
        return Err(nothing_left(around, report));
    };
    let head = head_of(ours, &client.name).cloned();
    let dir = restore::place_of_work(order.state).with_extension("objects");
    if let Some(head) = head.as_ref().filter(|head| head.layout() != *order.layout) {
        return Err(RebuildError::Layout {
            made: head.layout().to_string(),
            configured: order.layout.to_string(),
        });
    }
    let begun = match Progress::read(&dir, &client) {
        // What is half made may itself be damaged by now.
        Some(progress) => new_manifest(order, &dir)
            .await
            .ok()
            .map(|made| (made, progress)),
        None => None,
    };
    let (manifest, progress) = match begun {
        Some(begun) => begun,
        None => {
            ask(order, &client, &report.refused).await?;
            remove_folder(&dir)?;
            (new_manifest(order, &dir).await?, Progress::begin(&client))
        }
    };
    let kind = etag_kind(&client).await;
    let progress = objects::read_all(
        &manifest,
        &client,
        kind,
        &dir,
        progress,
        (order.progress, &order.fuse),
    )
    .await?;
    let meta = meta_of(order, &manifest, head.as_ref(), lineage, &progress);
    off_thread(&manifest, move |manifest| manifest.conclude(meta)).await?;
    report.source = format!("the objects of tier {}", client.name);
    let made = Made {
        manifest,
        source: Place::Tier(client.clone()),
        nearest: Some(client),
        told: Generation::NONE,
        is_as_told: false,
    };
    Ok(Built { made, dir })
}

/// Why there is no source at all, and what helps.
fn nothing_left(around: &Around, report: &ManifestReport) -> RebuildError {
    let why = match report.refused.is_empty() {
        true => String::new(),
        false => format!(" ({})", report.refused.join("; ")),
    };
    // A run with a new manifest has a new lineage, which a tier with a head refuses.
    let way_out = match around.ours.is_empty() && around.others.is_empty() {
        true => "a run without one crawls the site anew",
        false => {
            "name a tier that has a head with --from (and --replace, if it is of another mirror than this state folder)"
        }
    };
    RebuildError::Refused(format!(
        "nothing is left to make the manifest from{why}: {way_out}"
    ))
}

/// What a manifest says of itself that was read off objects: what the head says, and what the objects do.
fn meta_of(
    order: &ManifestOrder<'_>,
    manifest: &Manifest,
    head: Option<&Head>,
    lineage: Option<&Lineage>,
    progress: &Progress,
) -> Meta {
    let generation = head.map_or(Generation(1), |head| head.generation);
    let fresh = manifest.about();
    Meta {
        lineage: lineage.cloned().unwrap_or(fresh.lineage.clone()),
        generation: generation.max(progress.generation),
        identity: match head {
            Some(head) => head.identity.clone(),
            None => progress.identity.clone().into_iter().collect(),
        },
        rules: objects::rules_as_today(&order.rules, progress.rules),
        ..fresh
    }
}

/// Looking at every object is not done without a word.
async fn ask(
    order: &ManifestOrder<'_>,
    client: &Client,
    refused: &[String],
) -> Result<(), RebuildError> {
    let mut estimate = objects::estimate(client).await?;
    estimate.refused = refused.to_vec();
    order.progress.plan(estimate.objects);
    if estimate.objects == 0 {
        return Err(RebuildError::Refused(format!(
            "tier {} holds nothing to make the manifest from",
            client.name
        )));
    }
    if !(order.may)(&estimate) {
        return Err(RebuildError::Refused(format!(
            "without a checkpoint every object has to be looked at: {} objects in tier {}, about {} requests; say --yes to do that",
            estimate.objects, estimate.tier, estimate.requests
        )));
    }
    Ok(())
}

/// The first tier that holds anything, of those whose head does not say that it is another mirror's.
async fn first_filled(
    order: &ManifestOrder<'_>,
    others: &[TierName],
    report: &mut ManifestReport,
) -> Option<Client> {
    let perhaps_ours = |client: &&Client| !others.contains(&client.name);
    for client in order.tiers.iter().filter(perhaps_ours) {
        match client.tier.list(None, 1).await {
            Ok(page) if !page.objects.is_empty() || page.more => return Some(client.clone()),
            Ok(_) => (),
            Err(error) => report.refused.push(error.to_string()),
        }
    }
    None
}

/// Notes what the local store has: its files say so themselves.
async fn found_blobs(
    order: &ManifestOrder<'_>,
    manifest: &Arc<Manifest>,
) -> Result<u64, RebuildError> {
    let dir = order.state.join("store");
    if !dir.is_dir() {
        return Ok(0);
    }
    let (manifest, fuse) = (Arc::clone(manifest), order.fuse.clone());
    let found = tokio::task::spawn_blocking(move || {
        let store = Store::open(&dir, fuse)?;
        store::reindex(&manifest, &store)
    });
    found.await.expect("reading frames does not panic")
}

/// Exchanges the manifest. The small file that says what was committed goes first: until the database is there as
/// well, every verb says that the manifest is not whole and names this one.
fn put_in_place(order: &ManifestOrder<'_>, built: &Path) -> Result<Option<PathBuf>, RebuildError> {
    let state = order.state;
    let names = ["manifest", "manifest.metadata-before-open"];
    let is_there = names.iter().any(|name| state.join(name).exists());
    let aside = is_there.then(|| free_place(state));
    let marker = state.join("manifest.json");
    if let Some(aside) = &aside {
        fs::create_dir_all(aside).map_err(io_error(aside))?;
        if marker.exists() {
            let kept = aside.join("manifest.json");
            fs::copy(&marker, &kept).map_err(io_error(&kept))?;
        }
    }
    order.fuse.pass("rebuild.exchange")?;
    Progress::forget(built)?;
    let tiers = state.join("tiers.json");
    crate::db::remove_file(&tiers).map_err(io_error(&tiers))?;
    let bytes = fs::read(built.join("manifest.json")).map_err(io_error(built))?;
    replace_file(&marker, |file| io::Write::write_all(file, &bytes)).map_err(io_error(&marker))?;
    order.fuse.pass("rebuild.marked")?;
    if let Some(aside) = &aside {
        for name in names {
            rename_if_there(&state.join(name), &aside.join(name))?;
        }
    }
    order.fuse.pass("rebuild.aside")?;
    rename_if_there(&built.join("manifest"), &state.join("manifest"))?;
    fs::File::open(state)
        .and_then(|folder| folder.sync_all())
        .map_err(io_error(state))?;
    order.fuse.pass("rebuild.exchanged")?;
    // What an interrupted crawl had staged was staged against the other manifest.
    for name in ["frontier", "frontier-only"] {
        remove_folder(&state.join(name))?;
    }
    let work = restore::place_of_work(state);
    remove_folder(&work.with_extension("objects"))?;
    remove_folder(&work)?;
    Ok(aside)
}

fn free_place(state: &Path) -> PathBuf {
    let places = (1_u32..).map(|number| state.join(format!("manifest-before-rebuild-{number}")));
    let mut free = places.filter(|place| !place.exists());
    free.next().expect("numbers do not end")
}

fn rename_if_there(from: &Path, to: &Path) -> Result<(), RebuildError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(io_error(from)),
    }
}

fn remove_folder(folder: &Path) -> Result<(), RebuildError> {
    db::remove_folder(folder).map_err(io_error(folder))
}
