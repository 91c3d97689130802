//! Our headers for objects that were adopted with the ones they had: metadata alone, no body is sent. What
//! has been given its headers is recorded group by group, so that a killed pass goes on where it was.

use std::sync::Arc;

use futures_util::{StreamExt, stream};

use super::AuditError;
use super::glance::scheme_of;
use crate::config::TierName;
use crate::delta::Object;
use crate::manifest::{Confirmation, EtagKind, Manifest, ManifestError, Mark};
use crate::site::{ObjectKey, PageUrl};
use crate::sync::OpenTier;
use crate::tier::{Class, Confirmed, TierError};

/// Objects settled and recorded at once: what a kill repeats at most.
const GROUP: usize = 1000;

/// A tier that fails this often in a row is down.
const FAILURES_IN_A_ROW_MAX: u32 = 6;

const REFUSED: &str = "adopted, and its headers could not be replaced";

/// How a pass over the adopted objects ended.
#[derive(Debug, Default)]
pub struct Reheadered {
    pub done: u64,
    /// Objects that the next sync sends anew, since their metadata alone cannot be replaced.
    pub owed: u64,
    /// Why it did not come to its end.
    pub down: Option<TierError>,
}

/// An object with the page that it is, and what came of it.
struct Tried {
    key: ObjectKey,
    object: Object,
    result: Result<Confirmed, TierError>,
}

/// Gives every adopted object of a tier that we have claimed the headers of its page.
///
/// # Errors
/// What the manifest says; trouble of the tier is in the result.
pub async fn reheader(manifest: &Arc<Manifest>, open: &OpenTier) -> Result<Reheadered, AuditError> {
    let mut pass = Reheadered::default();
    let mut after = None;
    loop {
        let group: Vec<ObjectKey> = manifest
            .as_found(&open.name, after.as_ref())
            .take(GROUP)
            .collect::<Result<_, _>>()?;
        let Some(last) = group.last().cloned() else {
            return Ok(pass);
        };
        let mut wanted = Vec::new();
        for key in group {
            if let Some(object) = object_of(manifest, open, &key)? {
                wanted.push((key, object));
            }
        }
        let tried: Vec<Tried> = stream::iter(wanted)
            .map(|(key, object)| try_one(open, key, object))
            .buffered(open.concurrency)
            .collect()
            .await;
        open.fuse.pass("tier.settle")?;
        if let Err(error) = open.tier.settle().await {
            pass.down = Some(error);
            return Ok(pass);
        }
        let (name, kind) = (open.name.clone(), open.state.etag);
        let manifest = Arc::clone(manifest);
        let recorded = move || record(&manifest, &name, kind, tried, pass);
        pass = tokio::task::spawn_blocking(recorded)
            .await
            .expect("manifest work does not panic and is never aborted")?;
        if pass.down.is_some() {
            return Ok(pass);
        }
        after = Some(last);
    }
}

/// The object that belongs there, unless a sync is going to write it anyway.
fn object_of(
    manifest: &Manifest,
    open: &OpenTier,
    key: &ObjectKey,
) -> Result<Option<Object>, ManifestError> {
    let group = manifest.on_key(key, scheme_of(manifest, key))?;
    for (url, entry) in &group {
        if manifest.debt(&open.name, url)?.is_some() || entry.changed > open.state.watermark {
            return Ok(None);
        }
    }
    let live = group.iter().find(|(_, entry)| entry.outcome.is_live());
    Ok(live.and_then(|(url, entry)| Object::of(url, entry)))
}

async fn try_one(open: &OpenTier, key: ObjectKey, object: Object) -> Tried {
    let result = open.tier.reheader(&key, None, &object.meta).await;
    Tried {
        key,
        object,
        result,
    }
}

fn record(
    manifest: &Manifest,
    name: &TierName,
    kind: EtagKind,
    tried: Vec<Tried>,
    mut pass: Reheadered,
) -> Result<Reheadered, ManifestError> {
    let mut done = Vec::new();
    let mut owed: Vec<(PageUrl, &'static str)> = Vec::new();
    let mut failures_in_a_row = 0;
    for tried in tried {
        match tried.result {
            Ok(confirmed) => {
                failures_in_a_row = 0;
                done.push((tried.key, tried.object, confirmed));
            }
            Err(error)
                if matches!(error, TierError::Mismatch { .. }) || error.class() == Class::Skip =>
            {
                tracing::warn!(tier = %name, key = %tried.key, %error, "not re-headered");
                manifest.unmark(name, std::slice::from_ref(&tried.key))?;
                owed.push((tried.object.meta.url, REFUSED));
            }
            Err(error) => {
                // The object may have been rewritten, and the answer lost.
                manifest.unmark(name, std::slice::from_ref(&tried.key))?;
                owed.push((tried.object.meta.url, REFUSED));
                failures_in_a_row += 1;
                if error.class() == Class::Stop || failures_in_a_row >= FAILURES_IN_A_ROW_MAX {
                    pass.down.get_or_insert(error);
                }
            }
        }
    }
    let confirmed: Vec<_> = done
        .iter()
        .map(|(key, object, confirmed)| Confirmation {
            key,
            url: &object.meta.url,
            mark: Mark::Written {
                state: object.fingerprint(),
                size: confirmed.size,
                etag: confirmed.etag.clone(),
            },
            content: Some(object.meta.content),
        })
        .collect();
    manifest.confirm(name, kind, &confirmed)?;
    manifest.owe_all(name, &owed)?;
    pass.done += done.len() as u64;
    pass.owed += owed.len() as u64;
    Ok(pass)
}
