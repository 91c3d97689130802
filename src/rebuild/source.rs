//! Where checkpoints lie, and reading them into a manifest that is being made.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::{Client, RebuildError, off_thread};
use crate::config::TierName;
use crate::manifest::checkpoint::{self, Checkpoint, Part};
use crate::manifest::kept::{self, Index};
use crate::manifest::restore::{Intake, Naming};
use crate::manifest::{Lineage, Manifest, ManifestError, Meta, TierState};
use crate::sync::{HEAD, HEAD_FORMAT, Head};

/// Somewhere that checkpoints may be.
#[derive(Clone)]
pub enum Place {
    Tier(Client),
    /// The checkpoints of a state directory, this one or a copy of it.
    Folder(PathBuf),
}

/// What a place says it has.
#[derive(Clone)]
pub struct Found {
    pub place: Place,
    pub lineage: Lineage,
    /// Newest first.
    pub checkpoints: Vec<Checkpoint>,
    /// Of a tier.
    pub head: Option<Head>,
}

impl Found {
    /// The tier that it was found in, if it was in one.
    pub fn tier(self) -> Option<TierName> {
        match self.place {
            Place::Tier(client) => Some(client.name),
            Place::Folder(_) => None,
        }
    }
}

impl Place {
    /// For people.
    pub fn describe(&self) -> String {
        match self {
            Place::Tier(client) => format!("tier {}", client.name),
            Place::Folder(folder) => folder.display().to_string(),
        }
    }

    /// What lies there; `None` when nothing does.
    ///
    /// # Errors
    /// In one line, why it cannot be read.
    pub async fn look(&self) -> Result<Option<Found>, String> {
        match self {
            Place::Tier(client) => self.look_at_tier(client).await,
            Place::Folder(folder) => {
                let index = Index::read(folder).map_err(|error| error.to_string())?;
                Ok(index.map(|index| Found {
                    place: self.clone(),
                    lineage: index.lineage,
                    checkpoints: index.checkpoints,
                    head: None,
                }))
            }
        }
    }

    async fn look_at_tier(&self, client: &Client) -> Result<Option<Found>, String> {
        let seen = client.tier.read_small(HEAD).await;
        let Some((bytes, _)) = seen.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let name = &client.name;
        let head: Head = serde_json::from_slice(&bytes)
            .map_err(|why| format!("tier {name}: {HEAD} cannot be read ({why})"))?;
        if head.format > HEAD_FORMAT {
            return Err(format!(
                "tier {name}: {HEAD} is of a newer format than this version can read; upgrade standin"
            ));
        }
        let checkpoints = std::iter::once(head.checkpoint.clone()).chain(head.earlier.clone());
        Ok(Some(Found {
            place: self.clone(),
            lineage: Lineage(head.lineage.clone()),
            checkpoints: checkpoints.filter(|one| !one.is_empty()).collect(),
            head: Some(head),
        }))
    }

    /// The bytes of a part.
    async fn read(&self, part: &Part) -> Result<Bytes, ManifestError> {
        let wrong = |why: String| ManifestError::Checkpoint {
            name: format!("{} in {}", part.name, self.describe()),
            why,
        };
        let read = match self {
            Place::Tier(client) => {
                let read = client.tier.read_small(&part.name).await;
                read.map_err(|error| wrong(error.to_string()))?
                    .map(|(bytes, _)| bytes)
            }
            Place::Folder(folder) => {
                kept::read_part(folder, part).map_err(|error| wrong(error.to_string()))?
            }
        };
        read.ok_or_else(|| wrong("it is missing".into()))
    }
}

/// Reads all of a checkpoint into a manifest. What it says of itself is returned, where its version did.
///
/// # Errors
/// [`ManifestError::Checkpoint`] for one that is not to be believed, and what the database says.
pub async fn take_in(
    manifest: &Arc<Manifest>,
    place: &Place,
    checkpoint: &Checkpoint,
) -> Result<Option<Box<Meta>>, RebuildError> {
    let mut meta = None;
    for part in checkpoint.parts() {
        let bytes = place.read(part).await?;
        let (part, place) = (part.clone(), place.clone());
        let told = off_thread(manifest, move |manifest| {
            let mut intake = Intake::new(manifest);
            let naming = match &place {
                Place::Tier(client) => Naming::For(&client.name),
                Place::Folder(_) => Naming::AsTold,
            };
            checkpoint::read_rows(&part, &bytes, |key, payload| {
                intake.row(key, payload, naming)
            })?;
            Ok(intake.finish()?.0)
        });
        meta = told.await?.or(meta);
    }
    Ok(meta)
}

/// What a tier's newest checkpoint says about it: its debts are taken in, its state is returned. An older one does not
/// know what the tier has lacked since.
///
/// # Errors
/// What the database says; a checkpoint that is not to be believed is passed over.
pub async fn take_in_state(
    manifest: &Arc<Manifest>,
    client: &Client,
    found: &Found,
) -> Result<Option<TierState>, RebuildError> {
    match found.checkpoints.first() {
        Some(newest) => believed(state_of(manifest, client, &found.place, newest).await),
        None => Ok(None),
    }
}

/// The ETags that a tier's newest checkpoint tells of its objects, where those are kept object by object: without them
/// each would have to be asked about.
///
/// # Errors
/// As [`take_in_state`].
pub async fn take_in_etags(
    manifest: &Arc<Manifest>,
    client: &Client,
    found: &Found,
) -> Result<(), RebuildError> {
    let newest = found.checkpoints.first().into_iter();
    for part in newest.flat_map(|newest| newest.base.iter().chain(&newest.increments)) {
        let read = etags_of(manifest, client, &found.place, part).await;
        if believed(read.map(Some))?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Nothing, where it was read from something that is not to be believed.
fn believed<T>(read: Result<Option<T>, RebuildError>) -> Result<Option<T>, RebuildError> {
    match read {
        Err(RebuildError::Manifest(
            error @ (ManifestError::Checkpoint { .. } | ManifestError::Record { .. }),
        )) => {
            tracing::warn!(%error, "passed over");
            Ok(None)
        }
        read => read,
    }
}

async fn etags_of(
    manifest: &Arc<Manifest>,
    client: &Client,
    place: &Place,
    part: &Part,
) -> Result<(), RebuildError> {
    let (part, bytes) = (part.clone(), place.read(part).await?);
    let name = client.name.clone();
    let taken = off_thread(manifest, move |manifest| {
        let mut intake = Intake::new(manifest);
        checkpoint::read_rows(&part, &bytes, |key, payload| {
            intake.etag_row(key, payload, &name)
        })?;
        intake.finish().map(drop)
    });
    Ok(taken.await?)
}

async fn state_of(
    manifest: &Arc<Manifest>,
    client: &Client,
    place: &Place,
    checkpoint: &Checkpoint,
) -> Result<Option<TierState>, RebuildError> {
    let mut parts = Vec::new();
    for part in &checkpoint.about {
        parts.push((part.clone(), place.read(part).await?));
    }
    let name = client.name.clone();
    let state = off_thread(manifest, move |manifest| {
        let mut intake = Intake::new(manifest);
        for (part, bytes) in &parts {
            checkpoint::read_rows(part, bytes, |key, payload| {
                intake.row_of_tier(key, payload, &name)
            })?;
        }
        Ok(intake.finish()?.1)
    });
    Ok(state.await?)
}
