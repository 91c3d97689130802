//! The tiers of a manifest that was made again: what each has, what it can do, and what it owes.
//!
//! Every tier is compared with its own listing, the one that the manifest was made from first. Where a tier cannot be
//! listed, its own checkpoint says what it owes, if that is the one its head names; else nothing is claimed of it.

use std::sync::Arc;

use super::listing::{self, Comparison, LAGS, Later};
use super::manifest::{ManifestOrder, ManifestReport, TierStanding, Wanted};
use super::source::{self, Found, Place};
use super::{Client, RebuildError, off_thread};
use crate::config::TierName;
use crate::manifest::{EtagKind, Filled, Generation, Manifest, TierState};
use crate::sync::Head;
use crate::tier::EtagMeaning;

/// A manifest that has been made and is not in its place yet.
pub struct Made {
    pub manifest: Arc<Manifest>,
    pub source: Place,
    /// The tier that it was made from, or that is nearest to it: its listing is compared first.
    pub nearest: Option<Client>,
    /// Up to here it was told of everything; nothing where it was read off objects.
    pub told: Generation,
    /// The generation is as a checkpoint told it, and no checkpoint was refused before that one.
    pub is_as_told: bool,
}

/// What was found in the places that were looked at.
pub struct Around {
    pub ours: Vec<Found>,
    /// Tiers that have the head of another mirror.
    pub others: Vec<TierName>,
    /// No generation beyond this one is told of anywhere.
    pub newest: Generation,
}

/// A tier with a head of this mirror.
struct Known {
    client: Client,
    state: TierState,
    /// Its newest checkpoint has said what it owes.
    is_told: bool,
    outcome: String,
}

/// Makes the tiers of this mirror known.
///
/// # Errors
/// The tier that the manifest was made from cannot be listed, and what the database says. Another one that cannot be
/// listed is told in the report.
pub async fn acquaint(
    order: &ManifestOrder<'_>,
    made: &Made,
    around: &Around,
    report: &mut ManifestReport,
) -> Result<(), RebuildError> {
    let manifest = &made.manifest;
    let (ours, mut newest) = (&around.ours, around.newest);
    let mut before: Vec<(TierName, Generation)> = Vec::new();
    let mut tiers = known(made, ours).await?;
    for tier in &mut tiers {
        let (name, confirmed) = (tier.client.name.clone(), tier.state.watermark);
        if let Some(filled) = other_layout(manifest, ours, &name) {
            // Its listing shows other keys; what it is in doubt about is found by the move that is to come.
            off_thread(manifest, move |manifest| {
                if manifest.filled(&name)?.is_none() {
                    manifest.begin_moving(&name, &filled)?;
                }
                manifest.owe_changed_after(&name, confirmed, LAGS)
            })
            .await?;
            continue;
        }
        if confirmed == Generation::NONE {
            continue;
        }
        let is_nearest = is_nearest(made, &name);
        let by = Comparison {
            kind: tier.state.etag,
            later: match order.wanted {
                Wanted::Any => Later::Taken,
                Wanted::Tier(_) | Wanted::Folder(_) if is_nearest => Later::Taken,
                Wanted::Tier(_) | Wanted::Folder(_) => Later::Left,
            },
            confirmed,
            told: made.told,
            before: before.clone(),
        };
        let compared = listing::reconcile(manifest, &tier.client, &by).await;
        order.fuse.pass("rebuild.listed")?;
        // What was taken counts, also where the listing was cut short.
        let counted = |manifest: &Manifest| manifest.conclude(manifest.about());
        match compared {
            Ok(done) => {
                newest = newest.max(done.generation);
                if done.newer > 0 {
                    off_thread(manifest, counted).await?;
                }
                if done.owed > 0 {
                    tier.state.verified = None;
                }
                if is_nearest {
                    report.listing = Some(done);
                }
            }
            Err(RebuildError::Tier(error)) if !is_nearest => {
                off_thread(manifest, counted).await?;
                believe(manifest, tier).await?;
                report.refused.push(error.to_string());
            }
            Err(error) => return Err(error),
        }
        before.push((name, confirmed));
    }
    number(made, newest).await?;
    introduce(order, manifest, (tiers, &around.others), report).await
}

/// Numbers are not used twice: a manifest that is not the newest there ever was, as that was told, goes on behind every
/// generation that anybody tells of. Whatever lies under such a number is then not taken for what this one makes of it,
/// and every place gets a checkpoint that begins anew.
async fn number(made: &Made, newest: Generation) -> Result<(), RebuildError> {
    let manifest = &made.manifest;
    let newest = newest.max(manifest.generation());
    if made.is_as_told && made.told == newest {
        return Ok(());
    }
    off_thread(manifest, move |manifest| manifest.begin_at(newest.next())).await?;
    Ok(())
}

fn is_nearest(made: &Made, name: &TierName) -> bool {
    made.nearest
        .as_ref()
        .is_some_and(|client| client.name == *name)
}

/// The tier that a head and a checkpoint speak of, without a look at what is there.
async fn believe(manifest: &Arc<Manifest>, tier: &mut Known) -> Result<(), RebuildError> {
    tier.state.verified = None;
    let (name, after) = (tier.client.name.clone(), tier.state.watermark);
    if tier.is_told {
        tier.outcome = "known by its checkpoint alone: it cannot be listed".to_owned();
        let owe = move |manifest: &Manifest| manifest.owe_changed_after(&name, after, LAGS);
        off_thread(manifest, owe).await?;
    } else {
        tier.outcome = "it cannot be listed: the next run writes all of it".to_owned();
        tier.state.watermark = Generation::NONE;
    }
    Ok(())
}

pub fn head_of<'a>(ours: &'a [Found], name: &TierName) -> Option<&'a Head> {
    ours.iter().find_map(|found| match &found.place {
        Place::Tier(client) if client.name == *name => found.head.as_ref(),
        _ => None,
    })
}

/// By which layout a tier is filled, if that is not the manifest's.
fn other_layout(manifest: &Manifest, ours: &[Found], name: &TierName) -> Option<Filled> {
    let head = head_of(ours, name)?;
    let layout = head.layout();
    (head.generation > Generation::NONE && layout != *manifest.layout())
        .then(|| Filled::by(&layout))
}

/// What each tier's own checkpoint and head say of it, in the order in which they are compared: the one that is nearest,
/// then those that have confirmed most.
async fn known(made: &Made, ours: &[Found]) -> Result<Vec<Known>, RebuildError> {
    let mut known = Vec::new();
    for found in ours {
        let (Place::Tier(client), Some(head)) = (&found.place, &found.head) else {
            continue;
        };
        let told = source::take_in_state(&made.manifest, client, found).await?;
        let is_told = told.is_some();
        let mut state = match told {
            Some(told) => told,
            None if head.generation == Generation::NONE => TierState::default(),
            None => TierState {
                etag: etag_kind(client).await,
                ..TierState::default()
            },
        };
        state.epoch = head.epoch;
        state.verified = head.verified;
        state.head = head.generation;
        state.watermark = head.generation;
        let is_nearest = is_nearest(made, &client.name);
        // A folder's checkpoint has told those of all tiers.
        let is_told_by_another = matches!(made.source, Place::Tier(_)) && !is_nearest;
        if state.etag == EtagKind::Opaque && is_told_by_another {
            source::take_in_etags(&made.manifest, client, found).await?;
        }
        known.push(Known {
            client: client.clone(),
            state,
            is_told,
            outcome: "known".to_owned(),
        });
    }
    known.sort_by_key(|tier| {
        let is_nearest = is_nearest(made, &tier.client.name);
        std::cmp::Reverse((is_nearest, tier.state.watermark))
    });
    Ok(known)
}

/// What a tier's ETags are. Of one that does not say it, every object is asked about that differs.
pub async fn etag_kind(client: &Client) -> EtagKind {
    match client.tier.probe().await.map(|found| found.etag) {
        Ok(EtagMeaning::Md5) => EtagKind::Md5,
        Ok(EtagMeaning::Content) => EtagKind::Content,
        Ok(EtagMeaning::Opaque) => EtagKind::Opaque,
        Err(error) => {
            tracing::warn!(%error, "what its ETags are is not known");
            EtagKind::Opaque
        }
    }
}

/// Records how the tiers stand, now that it is known what each of them owes. One that could not be seen is not new: an
/// empty place would be filled where a disk is not mounted.
async fn introduce(
    order: &ManifestOrder<'_>,
    manifest: &Arc<Manifest>,
    (mut tiers, others): (Vec<Known>, &[TierName]),
    report: &mut ManifestReport,
) -> Result<(), RebuildError> {
    for client in &order.tiers {
        let at = tiers
            .iter()
            .position(|tier| tier.client.name == client.name);
        let outcome = match at.map(|at| tiers.swap_remove(at)) {
            Some(Known {
                mut state, outcome, ..
            }) => {
                if state.watermark > Generation::NONE {
                    state.watermark = manifest.generation();
                }
                let name = client.name.clone();
                off_thread(manifest, move |manifest| manifest.save_tier(&name, &state)).await?;
                outcome
            }
            None if others.contains(&client.name) => "unknown: it is another mirror's".to_owned(),
            None => {
                let name = client.name.clone();
                let unseen = TierState::unseen();
                off_thread(manifest, move |manifest| manifest.save_tier(&name, &unseen)).await?;
                format!(
                    "unknown: it has no head of this mirror, or cannot be read; `standin rebuild tier {}` takes it in",
                    client.name
                )
            }
        };
        report.tiers.push(TierStanding {
            name: client.name.to_string(),
            outcome,
            watermark: manifest.tier(&client.name)?.watermark,
            debts: manifest.debts(&client.name).count() as u64,
            requests: client.tier.traffic().requests(),
        });
    }
    Ok(())
}
