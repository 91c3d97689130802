//! Our headers for objects that were adopted with the ones they had: metadata alone, no body is sent. What
//! has been given its headers is recorded group by group, so that a killed pass goes on where it was.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::AuditError;
use super::glance::scheme_of;
use crate::config::TierName;
use crate::delta::Object;
use crate::manifest::{Confirmation, EtagKind, Manifest, ManifestError, Mark};
use crate::site::{ObjectKey, PageUrl};
use crate::sync::{FAILURES_IN_A_ROW_MAX, OpenTier};
use crate::tier::{Class, Confirmed, TierError};

/// Objects settled and recorded at once: what a kill repeats at most.
const GROUP: usize = 1000;

const REFUSED: &str = "adopted, and its headers could not be replaced";

/// How a pass over the adopted objects ended.
#[derive(Debug, Default)]
pub struct Reheadered {
    pub done: u64,
    /// Objects that the next sync sends anew, since their metadata alone cannot be replaced or may be half
    /// known.
    pub owed: u64,
    /// Why it did not come to its end. What was not asked for by then is as it was.
    pub down: Option<TierError>,
}

/// An object with the page that it is, and what came of it.
struct Tried {
    key: ObjectKey,
    object: Object,
    result: Result<Confirmed, TierError>,
}

/// What came of a group, not recorded yet.
#[derive(Default)]
struct Group {
    done: Vec<(ObjectKey, Object, Confirmed)>,
    owed: Vec<(ObjectKey, PageUrl)>,
    failures_in_a_row: u32,
    down: Option<TierError>,
}

/// Gives every adopted object of a tier that we have claimed the headers of its page.
///
/// # Errors
/// What the manifest says; trouble of the tier is in the result.
pub async fn reheader(manifest: &Arc<Manifest>, open: &OpenTier) -> Result<Reheadered, AuditError> {
    let mut pass = Reheadered::default();
    let mut failures_in_a_row = 0;
    let mut after = None;
    loop {
        let keys: Vec<ObjectKey> = manifest
            .as_found(&open.name, after.as_ref())
            .take(GROUP)
            .collect::<Result<_, _>>()?;
        let Some(last) = keys.last().cloned() else {
            return Ok(pass);
        };
        let mut group = Group {
            failures_in_a_row,
            ..Group::default()
        };
        group.replace_all(manifest, open, keys).await?;
        failures_in_a_row = group.failures_in_a_row;
        open.fuse.pass("tier.settle")?;
        if let Err(error) = open.tier.settle().await {
            pass.down = Some(error);
            return Ok(pass);
        }
        pass.done += group.done.len() as u64;
        pass.owed += group.owed.len() as u64;
        pass.down = group.down.take();
        let (name, kind) = (open.name.clone(), open.state.etag);
        let manifest = Arc::clone(manifest);
        tokio::task::spawn_blocking(move || group.record(&manifest, &name, kind))
            .await
            .expect("manifest work does not panic and is never aborted")?;
        if pass.down.is_some() {
            return Ok(pass);
        }
        after = Some(last);
    }
}

impl Group {
    /// Asks for one object after the other, several at once, until the tier is down.
    async fn replace_all(
        &mut self,
        manifest: &Manifest,
        open: &OpenTier,
        keys: Vec<ObjectKey>,
    ) -> Result<(), ManifestError> {
        let mut keys = keys.into_iter();
        let mut in_flight = FuturesUnordered::new();
        loop {
            while self.down.is_none() && in_flight.len() < open.concurrency {
                let Some(key) = keys.next() else {
                    break;
                };
                if let Some(object) = object_of(manifest, open, &key)? {
                    let content = &object.meta.content;
                    let etag = manifest.etag(&open.name, open.state.etag, &key, content)?;
                    in_flight.push(try_one(open, key, etag, object));
                }
            }
            match in_flight.next().await {
                Some(tried) => self.enter(&open.name, tried),
                None => return Ok(()),
            }
        }
    }

    fn enter(&mut self, name: &TierName, tried: Tried) {
        let Tried {
            key,
            object,
            result,
        } = tried;
        let error = match result {
            Ok(confirmed) => {
                self.failures_in_a_row = 0;
                self.done.push((key, object, confirmed));
                return;
            }
            Err(error) => error,
        };
        tracing::warn!(tier = %name, %key, %error, "not re-headered");
        if !was_asked_for(&error, &key) {
            self.down.get_or_insert(error);
            return;
        }
        // The object may have been rewritten and the answer lost. Where it cannot be done with any of them,
        // the others stay as they were found, instead of being sent anew by the next sync.
        self.owed.push((key, object.meta.url));
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= FAILURES_IN_A_ROW_MAX {
            self.down.get_or_insert(error);
        }
    }

    fn record(
        self,
        manifest: &Manifest,
        name: &TierName,
        kind: EtagKind,
    ) -> Result<(), ManifestError> {
        let confirmed: Vec<_> = self
            .done
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
        let (keys, urls): (Vec<_>, Vec<_>) = self.owed.into_iter().unzip();
        let owed: Vec<_> = urls.into_iter().map(|url| (url, REFUSED)).collect();
        manifest.owe_all(name, &owed)?;
        manifest.unmark(name, &keys)
    }
}

/// False where nothing was asked of the service, or it refused as it will for every object: this one is as
/// it was found.
fn was_asked_for(error: &TierError, key: &ObjectKey) -> bool {
    match error {
        TierError::Mismatch { .. } => true,
        // About something else than the object, such as the line itself, which sends nothing to a
        // service that is down.
        TierError::Unreachable { at, .. } if at != key.as_str() => false,
        error => error.class() != Class::Stop,
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

async fn try_one(open: &OpenTier, key: ObjectKey, etag: Option<String>, object: Object) -> Tried {
    let result = open.tier.reheader(&key, etag.as_deref(), &object.meta);
    let result = result.await;
    Tried {
        key,
        object,
        result,
    }
}
