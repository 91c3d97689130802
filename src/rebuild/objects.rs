//! Entries read off the objects of a tier: their listing, and a HEAD for each.
//!
//! What can be had so is what every object says of itself. What cannot: pages that are gone, validators, URLs that
//! could not be had. So the next crawl asks for every page anew, and finds that they are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};

use super::{Client, RebuildError, io_error, off_thread};
use crate::db::{Fuse, replace_file};
use crate::manifest::restore::Intake;
use crate::manifest::{Entry, EtagKind, Generation, Manifest, Outcome, Page, Redirect};
use crate::site::{ObjectKey, PageUrl, Scheme};
use crate::sync::TierProgress;
use crate::tier::{LIST_PAGE, Listed, ObjectMeta};

/// Progress is made durable after so many pages of the listing: what a kill repeats at most.
const PAGES_A_STEP: u64 = 10;

const PROGRESS: &str = "objects.json";
const FORMAT: u32 = 1;

/// What reading a tier's metadata takes, before it is begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    pub tier: String,
    pub objects: u64,
    pub requests: u64,
    /// Why no checkpoint serves, where there are any.
    pub refused: Vec<String>,
}

/// How far the reading of a tier has come.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Progress {
    format: u32,
    tier: String,
    location: String,
    /// Up to this raw key everything is recorded.
    after: Option<String>,
    pub objects: u64,
    /// Objects without metadata of ours.
    pub foreign: u64,
    /// The newest generation that an object names.
    pub generation: Generation,
    /// Rules up to this version have made canonical hashes.
    pub rules: u32,
    pub identity: BTreeMap<String, Scheme>,
}

impl Progress {
    /// What an interrupted reading of this tier has left in `dir`.
    pub fn read(dir: &Path, client: &Client) -> Option<Progress> {
        let bytes = std::fs::read(dir.join(PROGRESS)).ok()?;
        let progress: Progress = serde_json::from_slice(&bytes).ok()?;
        let is_ours = progress.format == FORMAT
            && progress.tier == client.name.as_str()
            && progress.location == client.tier.location();
        is_ours.then_some(progress)
    }

    pub fn begin(client: &Client) -> Progress {
        Progress {
            format: FORMAT,
            tier: client.name.to_string(),
            location: client.tier.location(),
            ..Progress::default()
        }
    }

    /// What was read is about to be moved away: the next attempt begins anew.
    pub fn forget(dir: &Path) -> Result<(), RebuildError> {
        let path = dir.join(PROGRESS);
        crate::db::remove_file(&path).map_err(io_error(&path))
    }

    fn write(&self, dir: &Path) -> Result<(), RebuildError> {
        let path = dir.join(PROGRESS);
        let bytes = serde_json::to_vec(self).expect("a plain record always serialises");
        replace_file(&path, |file| file.write_all(&bytes)).map_err(io_error(&path))
    }
}

/// Counts a tier's objects by its listing.
///
/// # Errors
/// What the tier says.
pub async fn estimate(client: &Client) -> Result<Estimate, RebuildError> {
    let mut objects = 0;
    let mut after: Option<String> = None;
    loop {
        let page = client.tier.list(after.as_deref(), LIST_PAGE).await?;
        objects += page.objects.len() as u64;
        after = page.last;
        if !page.more {
            break;
        }
    }
    Ok(Estimate {
        tier: client.name.to_string(),
        objects,
        requests: objects + objects.div_ceil(LIST_PAGE as u64).max(1),
        refused: Vec::new(),
    })
}

/// Reads all objects of a tier, from where `progress` is, into a manifest in `dir`.
///
/// # Errors
/// What the tier, the manifest or the file system says; what was read stays for the next attempt.
pub async fn read_all(
    manifest: &Arc<Manifest>,
    client: &Client,
    kind: EtagKind,
    dir: &Path,
    mut progress: Progress,
    (shown, fuse): (&TierProgress, &Fuse),
) -> Result<Progress, RebuildError> {
    let mut pages = 0;
    loop {
        let page = client
            .tier
            .list(progress.after.as_deref(), LIST_PAGE)
            .await?;
        let seen: Vec<(Listed, Option<ObjectMeta>)> = stream::iter(page.objects)
            .map(|listed| look(client, listed))
            .buffered(client.concurrency)
            .try_collect()
            .await?;
        shown.step(seen.len() as u64);
        let name = client.name.clone();
        progress = off_thread(manifest, move |manifest| {
            let mut intake = Intake::new(manifest);
            for (listed, meta) in seen {
                progress.objects += 1;
                let found = meta.and_then(|meta| entry_of(manifest, &listed.key, &meta));
                let Some((url, entry)) = found else {
                    progress.foreign += 1;
                    continue;
                };
                progress.note(&url, &entry);
                intake.entry(&url, &entry)?;
                if let Some(page) = entry.outcome.page() {
                    let shown = (&page.content, listed.etag.as_str());
                    intake.etag(&name, kind, &listed.key, shown)?;
                }
            }
            intake.finish()?;
            Ok(progress)
        })
        .await?;
        progress.after = page.last;
        pages += 1;
        if pages % PAGES_A_STEP == 0 || !page.more {
            fuse.pass("rebuild.objects")?;
            progress.write(dir)?;
        }
        if !page.more {
            return Ok(progress);
        }
    }
}

async fn look(
    client: &Client,
    listed: Listed,
) -> Result<(Listed, Option<ObjectMeta>), RebuildError> {
    let seen = client.tier.head(&listed.key).await?;
    let whole = seen.filter(|seen| seen.size == listed.size && seen.etag == listed.etag);
    Ok((listed, whole.and_then(|seen| seen.meta)))
}

/// The entry that an object says it is of; `None` when the object lies under a key that its URL does not have.
pub fn entry_of(
    manifest: &Manifest,
    key: &ObjectKey,
    meta: &ObjectMeta,
) -> Option<(PageUrl, Entry)> {
    if manifest.layout().place(&meta.url).key != *key {
        return None;
    }
    let provenance = meta.provenance;
    let changed = provenance.map_or(Generation(1), |told| Generation(told.generation));
    let outcome = match &meta.location {
        Some(target) => Outcome::Redirect(Redirect {
            status: meta.status,
            target: target.clone(),
        }),
        None => Outcome::Page(Page {
            status: meta.status,
            content: meta.content,
            canonical: provenance.map_or(meta.content, |told| told.canonical),
            rules: provenance.map_or(0, |told| told.rules),
            crc32c: meta.crc32c,
            size: meta.size,
            headers: meta.headers.clone(),
            etag: None,
            last_modified: None,
        }),
    };
    let entry = Entry {
        outcome,
        changed,
        first: changed,
        fetched: provenance.and_then(|told| told.fetched),
    };
    Some((meta.url.clone(), entry))
}

impl Progress {
    fn note(&mut self, url: &PageUrl, entry: &Entry) {
        self.generation = self.generation.max(entry.changed);
        if let Some(page) = entry.outcome.page() {
            self.rules = self.rules.max(page.rules);
        }
        self.identity
            .insert(url.authority().to_owned(), url.scheme());
    }
}

/// The versions of the rules where nobody has told them: today's, under every number that an entry names.
pub fn rules_as_today(today: &[String], newest: u32) -> Vec<Vec<String>> {
    // A number that no mirror ever reaches is a damaged one's.
    let versions = BTreeSet::from_iter(0..=newest.min(1_000));
    versions.iter().map(|_| today.to_vec()).collect()
}
