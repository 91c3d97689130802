//! A rebuilt manifest against a tier's listing: what came after the checkpoint, and what is not there.
//!
//! Every object whose size and ETag are the recorded ones is passed over. Of each other one a HEAD asks what it is:
//! an object of a later generation becomes an entry, one that has the right bytes after all is noted with its ETag,
//! and for the rest, as for pages that the listing does not show, the tier owes what the manifest says. What the tier
//! had confirmed and does not show may have been withdrawn since: the site is asked before it is written again.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;

use super::objects::entry_of;
use super::{Client, RebuildError, off_thread};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::delta::Object;
use crate::manifest::restore::Intake;
use crate::manifest::{Entry, EtagKind, Generation, Manifest, ManifestError, PERHAPS_GONE};
use crate::site::{ObjectKey, PageUrl};
use crate::tier::{LIST_PAGE, Listed, ObjectMeta};

pub const LAGS: &str = "changed since the tier was last filled, and the log of it is lost";
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

/// By what a tier is compared.
#[derive(Clone)]
pub struct Comparison {
    pub kind: EtagKind,
    pub later: Later,
    /// Up to here the tier has said that it has everything.
    pub confirmed: Generation,
    /// Up to here the manifest was told of everything. What is later has been lost by it.
    pub told: Generation,
    /// Tiers that were compared before, and up to where those have said that they have everything.
    pub before: Vec<(TierName, Generation)>,
}

/// What becomes of an object that says it is of a later generation than the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// The manifest had lost it: it becomes an entry.
    Taken,
    /// The manifest was to be made from another place. It is not written over before the site has answered.
    Left,
    /// The manifest is what counts: its own page is owed there.
    Replaced,
}

/// What a listed object is, as far as the manifest can say.
enum Judged {
    Right,
    /// A HEAD has to say; the page that the manifest has there.
    Unclear(Option<Box<(PageUrl, Entry)>>),
}

/// Compares the whole of a tier with the manifest.
///
/// # Errors
/// The tier cannot be listed, or the manifest cannot be read or written.
pub async fn reconcile(
    manifest: &Arc<Manifest>,
    client: &Client,
    by: &Comparison,
) -> Result<Reconciled, RebuildError> {
    let kind = by.kind;
    let mut done = Reconciled {
        generation: manifest.generation(),
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
        let (name, by) = (client.name.clone(), by.clone());
        (done, seen) = off_thread(manifest, move |manifest| {
            enter(manifest, &name, &by, looked, (&mut done, &mut seen))?;
            Ok((done, seen))
        })
        .await?;
        after = page.last;
        if !page.more {
            break;
        }
    }
    let (name, by) = (client.name.clone(), by.clone());
    let owe = move |manifest: &Manifest| owe_missing(manifest, &name, &by, seen);
    done.owed += off_thread(manifest, owe).await?;
    Ok(done)
}

fn judge(
    manifest: &Manifest,
    name: &TierName,
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

/// What follows for the manifest from an object that was asked about.
enum Fate {
    /// It becomes an entry.
    Taken(PageUrl, Box<Entry>),
    Right,
    Owed(PageUrl, &'static str),
    /// As owed, and the site is asked first.
    OwedPerhaps(PageUrl),
    Foreign,
}

fn fate(by: &Comparison, page: Option<(PageUrl, Entry)>, told: Option<Told<'_>>) -> Fate {
    let Some(told) = told else {
        return page.map_or(Fate::Foreign, |(url, entry)| owed(url, &entry));
    };
    let recorded = page.as_ref().filter(|(url, _)| *url == told.url);
    let is_later = told.entry.changed > by.told
        && page
            .as_ref()
            .is_none_or(|(_, entry)| told.entry.changed > entry.changed);
    match page {
        _ if is_later && by.later == Later::Taken => {
            let first = recorded.map_or(told.entry.first, |(_, entry)| entry.first);
            let entry = Entry {
                first,
                ..told.entry
            };
            Fate::Taken(told.url, Box::new(entry))
        }
        Some((url, entry))
            if Object::of(&url, &entry).is_some_and(|object| same(&object, told.meta)) =>
        {
            Fate::Right
        }
        Some((url, entry)) if is_later && by.later == Later::Left => {
            match entry.outcome.is_live() {
                true => Fate::OwedPerhaps(url),
                false => Fate::Foreign,
            }
        }
        Some((url, entry)) => owed(url, &entry),
        None => Fate::Foreign,
    }
}

fn owed(url: PageUrl, entry: &Entry) -> Fate {
    let live = entry.outcome.is_live();
    Fate::Owed(url, if live { DIFFERS } else { WITHDRAWN })
}

/// What an object says of itself.
struct Told<'a> {
    url: PageUrl,
    entry: Entry,
    meta: &'a ObjectMeta,
}

fn enter(
    manifest: &Manifest,
    name: &TierName,
    by: &Comparison,
    looked: Vec<Looked>,
    (done, seen): (&mut Reconciled, &mut Seen),
) -> Result<(), ManifestError> {
    let mut intake = Intake::new(manifest);
    let (mut owed, mut perhaps, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for Looked { listed, page, meta } in looked {
        let told = meta.as_ref().and_then(|meta| {
            let (url, entry) = entry_of(manifest, &listed.key, meta)?;
            Some(Told { url, entry, meta })
        });
        if let Some(told) = &told {
            done.generation = done.generation.max(told.entry.changed);
        }
        let shown = meta.as_ref().map(|meta| meta.content);
        match (fate(by, page, told), shown) {
            (Fate::Taken(url, entry), Some(content)) => {
                done.newer += 1;
                intake.entry(&url, &entry)?;
                intake.etag(name, by.kind, &listed.key, (&content, &listed.etag))?;
                seen.note(&listed.key);
                taken.push((url, entry.changed));
            }
            (Fate::Right, Some(content)) => {
                intake.etag(name, by.kind, &listed.key, (&content, &listed.etag))?;
                seen.note(&listed.key);
            }
            (Fate::Owed(url, why), _) => {
                done.owed += 1;
                seen.note(&listed.key);
                owed.push((url, why));
            }
            (Fate::OwedPerhaps(url), _) => {
                done.owed += 1;
                seen.note(&listed.key);
                perhaps.push(url.clone());
                owed.push((url, PERHAPS_GONE));
            }
            (Fate::Foreign | Fate::Taken(..) | Fate::Right, _) => done.foreign += 1,
        }
    }
    intake.finish()?;
    owe_taken(manifest, by, &taken)?;
    manifest.note_perhaps_gone(&perhaps)?;
    manifest.owe_all(name, &owed)
}

/// What one tier has taught the manifest, those that were compared before owe.
fn owe_taken(
    manifest: &Manifest,
    by: &Comparison,
    taken: &[(PageUrl, Generation)],
) -> Result<(), ManifestError> {
    for (name, confirmed) in &by.before {
        let mut missing = Missing::new(manifest, name);
        for (url, changed) in taken {
            missing.add(url, changed <= confirmed)?;
        }
        missing.end()?;
    }
    Ok(())
}

/// Pages that a tier lacks, on their way into its debts.
struct Missing<'a> {
    manifest: &'a Manifest,
    name: &'a TierName,
    owed: Vec<(PageUrl, &'static str)>,
    perhaps: Vec<PageUrl>,
}

impl<'a> Missing<'a> {
    fn new(manifest: &'a Manifest, name: &'a TierName) -> Missing<'a> {
        Missing {
            manifest,
            name,
            owed: Vec::new(),
            perhaps: Vec::new(),
        }
    }

    /// `was_there`: the tier had confirmed it, so that it is lost there or was withdrawn since.
    fn add(&mut self, url: &PageUrl, was_there: bool) -> Result<(), ManifestError> {
        // What it owed by its own word it has never had.
        if self.manifest.debt(self.name, url)?.is_some() {
            return Ok(());
        }
        if was_there {
            self.perhaps.push(url.clone());
        }
        let why = if was_there { PERHAPS_GONE } else { LAGS };
        self.owe(url, why)
    }

    fn owe(&mut self, url: &PageUrl, why: &'static str) -> Result<(), ManifestError> {
        self.owed.push((url.clone(), why));
        match self.owed.len() >= LIST_PAGE {
            true => self.write(),
            false => Ok(()),
        }
    }

    fn write(&mut self) -> Result<(), ManifestError> {
        self.manifest
            .note_perhaps_gone(&std::mem::take(&mut self.perhaps))?;
        self.manifest
            .owe_all(self.name, &std::mem::take(&mut self.owed))
    }

    fn end(mut self) -> Result<(), ManifestError> {
        self.write()
    }
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
    name: &TierName,
    by: &Comparison,
    seen: Seen,
) -> Result<u64, ManifestError> {
    let Seen(mut seen) = seen;
    seen.sort_unstable();
    let grouped = manifest.has_aliases()?;
    let mut missing = Missing::new(manifest, name);
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
        match by.later {
            Later::Replaced => missing.owe(&url, MISSING)?,
            Later::Taken | Later::Left => missing.add(&url, entry.changed <= by.confirmed)?,
        }
    }
    missing.end()?;
    Ok(count)
}

/// Of several URLs on one key, whether it is this one whose page is there.
fn serves(manifest: &Manifest, key: &ObjectKey, url: &PageUrl) -> Result<bool, ManifestError> {
    let sharers = manifest.sharers(key, url.scheme())?;
    Ok(sharers.is_none_or(|sharers| sharers.winner == *url))
}
