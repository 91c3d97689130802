//! A rebuilt manifest against a tier's listing: what came after the checkpoint, and what is not there.
//!
//! Every object whose size and ETag are the recorded ones is passed over. Of each other one a HEAD asks what it is:
//! an object of a later generation becomes an entry, one that has the right bytes after all is noted with its ETag,
//! and for the rest, as for pages that the listing does not show, the tier owes what the manifest says.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::objects::entry_of;
use super::{Client, RebuildError, off_thread};
use crate::content::ContentHash;
use crate::delta::Object;
use crate::manifest::restore::Intake;
use crate::manifest::{Entry, EtagKind, Generation, Manifest, ManifestError};
use crate::site::{ObjectKey, PageUrl};
use crate::tier::{LIST_PAGE, Listed, ObjectMeta};

const MISSING: &str = "the listing did not show it when the manifest was rebuilt";
const DIFFERS: &str = "something else lay there when the manifest was rebuilt";
const WITHDRAWN: &str = "withdrawn, but it was there when the manifest was rebuilt";

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reconciled {
    pub listed: u64,
    /// Objects that a HEAD was asked for.
    pub looked_at: u64,
    /// Of a later generation than the checkpoint: they are entries now.
    pub newer: u64,
    /// What the tier owes: missing, of other bytes, or withdrawn and still there.
    pub owed: u64,
    /// Objects that no page has the key of.
    pub foreign: u64,
    /// The newest generation that an object names.
    pub generation: Generation,
}

/// What becomes of an object that says it is of a later generation than the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// The manifest had lost it: it becomes an entry.
    IsTaken,
    /// The manifest is what counts: its own page is owed there.
    IsReplaced,
}

/// What a listed object is, as far as the manifest can say.
enum Judged {
    Right,
    /// A HEAD has to say; the page that the manifest has there.
    Unclear(Option<Box<(PageUrl, Entry)>>),
}

/// Compares the whole of a tier with the manifest, whose generation is that of its checkpoint.
///
/// # Errors
/// The tier cannot be listed, or the manifest cannot be read or written.
pub async fn reconcile(
    manifest: &Arc<Manifest>,
    client: &Client,
    kind: EtagKind,
    later: Later,
) -> Result<Reconciled, RebuildError> {
    let known = manifest.generation();
    let mut done = Reconciled {
        generation: known,
        ..Reconciled::default()
    };
    let mut seen = Seen::default();
    let mut after: Option<String> = None;
    loop {
        let page = client.tier.list(after.as_deref(), LIST_PAGE).await?;
        let name = client.name.clone();
        let objects = page.objects;
        let judged = off_thread(manifest, move |manifest| {
            let judge = |listed: Listed| {
                let judged = judge(manifest, &name, kind, &listed)?;
                Ok((listed, judged))
            };
            objects
                .into_iter()
                .map(judge)
                .collect::<Result<Vec<_>, ManifestError>>()
        })
        .await?;
        done.listed += judged.len() as u64;
        let mut unclear = Vec::new();
        for (listed, judged) in judged {
            match judged {
                Judged::Right => seen.note(&listed.key),
                Judged::Unclear(page) => unclear.push((listed, page.map(|page| *page))),
            }
        }
        done.looked_at += unclear.len() as u64;
        let looked: Vec<Looked> = stream::iter(unclear)
            .map(|(listed, page)| look(client, listed, page))
            .buffered(client.concurrency)
            .try_collect()
            .await?;
        let name = client.name.clone();
        (done, seen) = off_thread(manifest, move |manifest| {
            enter(manifest, &name, (kind, later), looked, &mut done, &mut seen)?;
            Ok((done, seen))
        })
        .await?;
        after = page.last;
        if !page.more {
            break;
        }
    }
    let name = client.name.clone();
    let missing = off_thread(manifest, move |manifest| owe_missing(manifest, &name, seen)).await?;
    done.owed += missing;
    Ok(done)
}

fn judge(
    manifest: &Manifest,
    name: &crate::config::TierName,
    kind: EtagKind,
    listed: &Listed,
) -> Result<Judged, ManifestError> {
    let group = manifest.on_key(&listed.key, crate::audit::scheme_of(manifest, &listed.key))?;
    let served = group.iter().position(|(_, entry)| entry.outcome.is_live());
    let Some((url, entry)) = group.into_iter().nth(served.unwrap_or(0)) else {
        return Ok(Judged::Unclear(None));
    };
    let Some(object) = Object::of(&url, &entry) else {
        return Ok(Judged::Unclear(Some(Box::new((url, entry)))));
    };
    let meta = &object.meta;
    let etag = manifest.etag(name, kind, &listed.key, &meta.content)?;
    let stated = &listed.stated;
    let is_stated = match (stated.content, stated.crc32c) {
        (Some(content), _) => Some(content == meta.content),
        (None, Some(crc32c)) => Some(crc32c == meta.crc32c),
        (None, None) => None,
    };
    let is_same = etag.map(|etag| etag == listed.etag).or(is_stated);
    let is_right = listed.size == meta.size && !listed.etag.is_empty() && is_same == Some(true);
    Ok(match is_right {
        true => Judged::Right,
        false => Judged::Unclear(Some(Box::new((url, entry)))),
    })
}

/// An object that had to be asked about.
struct Looked {
    listed: Listed,
    page: Option<(PageUrl, Entry)>,
    meta: Option<ObjectMeta>,
}

async fn look(
    client: &Client,
    listed: Listed,
    page: Option<(PageUrl, Entry)>,
) -> Result<Looked, RebuildError> {
    let seen = client.tier.head(&listed.key).await?;
    let whole = seen.filter(|seen| seen.size == listed.size && seen.etag == listed.etag);
    Ok(Looked {
        listed,
        page,
        meta: whole.and_then(|seen| seen.meta),
    })
}

fn enter(
    manifest: &Manifest,
    name: &crate::config::TierName,
    (kind, later): (EtagKind, Later),
    looked: Vec<Looked>,
    done: &mut Reconciled,
    seen: &mut Seen,
) -> Result<(), ManifestError> {
    let known = manifest.generation();
    let mut intake = Intake::new(manifest);
    let mut owed = Vec::new();
    for Looked { listed, page, meta } in looked {
        let told = meta
            .as_ref()
            .and_then(|meta| Some((meta, entry_of(manifest, &listed.key, meta)?)));
        if let Some((_, (_, entry))) = &told {
            done.generation = done.generation.max(entry.changed);
        }
        match (told, page) {
            (Some((meta, (url, entry))), page)
                if later == Later::IsTaken && entry.changed > known =>
            {
                done.newer += 1;
                let first = page.filter(|(there, _)| *there == url);
                let first = first.map_or(entry.first, |(_, there)| there.first);
                intake.entry(&url, &Entry { first, ..entry })?;
                intake.etag(name, kind, &listed.key, (&meta.content, &listed.etag))?;
                seen.note(&listed.key);
            }
            (Some((meta, _)), Some((url, entry)))
                if Object::of(&url, &entry).is_some_and(|object| same(&object, meta)) =>
            {
                intake.etag(name, kind, &listed.key, (&meta.content, &listed.etag))?;
                seen.note(&listed.key);
            }
            (_, Some((url, entry))) => {
                done.owed += 1;
                seen.note(&listed.key);
                let live = entry.outcome.is_live();
                owed.push((url, if live { DIFFERS } else { WITHDRAWN }));
            }
            (_, None) => done.foreign += 1,
        }
    }
    intake.finish()?;
    manifest.owe_all(name, &owed)
}

fn same(object: &Object, meta: &ObjectMeta) -> bool {
    let mut there = meta.clone();
    there.provenance = object.meta.provenance;
    there == object.meta
}

/// Keys that a listing has shown, as the first eight bytes of their hash: 8 bytes an object. That two keys of a
/// mirror of ten million share them has a chance of one in 300,000; a page that is then not missed is found by an
/// audit.
#[derive(Default)]
struct Seen(Vec<u64>);

impl Seen {
    fn note(&mut self, key: &ObjectKey) {
        self.0.push(short(key));
    }
}

fn short(key: &ObjectKey) -> u64 {
    let hash = ContentHash::of(key.as_str().as_bytes());
    let (first, _) = hash
        .as_bytes()
        .split_first_chunk::<8>()
        .expect("a hash has 32 bytes");
    u64::from_le_bytes(*first)
}

/// Pages whose object no listing has shown become debts.
fn owe_missing(
    manifest: &Manifest,
    name: &crate::config::TierName,
    seen: Seen,
) -> Result<u64, ManifestError> {
    let Seen(mut seen) = seen;
    seen.sort_unstable();
    let grouped = manifest.has_aliases()?;
    let mut owed = Vec::new();
    let mut count = 0;
    for entry in manifest.entries(None) {
        let (url, entry) = entry?;
        if !entry.outcome.is_live() {
            continue;
        }
        let key = manifest.layout().place(&url).key;
        if seen.binary_search(&short(&key)).is_ok() || (grouped && !serves(manifest, &key, &url)?) {
            continue;
        }
        count += 1;
        owed.push((url, MISSING));
        if owed.len() >= LIST_PAGE {
            manifest.owe_all(name, &std::mem::take(&mut owed))?;
        }
    }
    manifest.owe_all(name, &owed)?;
    Ok(count)
}

/// Of several URLs on one key, whether it is this one whose page is there.
fn serves(manifest: &Manifest, key: &ObjectKey, url: &PageUrl) -> Result<bool, ManifestError> {
    let sharers = manifest.sharers(key, url.scheme())?;
    Ok(sharers.is_none_or(|sharers| sharers.winner == *url))
}
