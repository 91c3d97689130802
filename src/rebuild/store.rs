//! The local store, filled again from the tiers.
//!
//! What is there is read and held against its hash. What it lacks is fetched from the first tier whose bytes have the right hash, in groups that are durable before
//! anything names them. Killed anywhere, the next attempt finds the frames that nobody named yet, and goes on.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{Client, RebuildError, io_error, off_thread};
use crate::content::{ContentHash, Digest, Digester};
use crate::db::Fuse;
use crate::manifest::{Manifest, ManifestError, Page};
use crate::site::PageUrl;
use crate::store::{FILE_BYTES_MIN, Located, NewBlob, Place, Store, StoreError};
use crate::sync::TierProgress;
use crate::tier::Pieces;

/// Bodies fetched as one group: what is held in memory, and made durable by one write.
const GROUP: usize = 256;
const GROUP_BYTES_MAX: u64 = 64 << 20;

/// Places are recorded after so many bodies. What a kill leaves unrecorded is found again in the frames.
const NOTED_AT_ONCE: usize = 20_000;

/// What one read of a large body takes.
const READ_BYTES: usize = 256 << 10;

/// Pages named that no copy of survives; the rest is counted.
const NAMED_MAX: usize = 100;

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StoreReport {
    /// Bodies that the store had already.
    pub there: u64,
    /// Of other bytes than their name says: they count as lacking.
    pub damaged: u64,
    pub fetched: u64,
    pub bytes: u64,
    /// Pages no tier has the bytes of: the next crawl fetches them.
    pub unavailable: u64,
    pub unavailable_urls: Vec<PageUrl>,
    /// Requests to all tiers.
    pub requests: u64,
}

/// Notes blobs that the files hold and that nothing says the place of; how many there were. Of two frames of one body the
/// later one counts: it was written because the earlier one could not be read.
///
/// # Errors
/// What the store and the manifest say.
pub fn reindex(manifest: &Manifest, store: &Store) -> Result<u64, RebuildError> {
    let mut found = HashMap::new();
    let mut count = 0;
    for (number, _) in store.segments()? {
        for located in store.scan_segment(number)? {
            let known = manifest.locate(&located.digest.content)?;
            let known = known.filter(|known| store.holds(known));
            if known.is_none_or(|known| is_behind(located.place, known.place)) {
                found.insert(located.digest.content, located);
            }
        }
        count += found.len() as u64;
        let found: Vec<_> = found.drain().map(|(_, located)| located).collect();
        manifest.note_blobs(&found)?;
    }
    let mut found = Vec::new();
    for (hash, size) in store.files()? {
        if is_there(manifest, store, &hash)? {
            continue;
        }
        let entry = manifest.page_of_body(&hash)?;
        let page = entry.as_ref().and_then(|entry| entry.outcome.page());
        found.extend(page.filter(|page| page.size == size).map(|page| Located {
            digest: digest_of(page),
            place: Place::File,
        }));
    }
    manifest.note_blobs(&found)?;
    Ok(count + found.len() as u64)
}

fn is_behind(one: Place, other: Place) -> bool {
    let at = |place| match place {
        Place::Segment { number, offset } => Some((number, offset)),
        Place::File => None,
    };
    matches!((at(one), at(other)), (Some(one), Some(other)) if one > other)
}

fn is_there(manifest: &Manifest, store: &Store, hash: &ContentHash) -> Result<bool, ManifestError> {
    let located = manifest.locate(hash)?;
    Ok(located.is_some_and(|located| store.holds(&located)))
}

fn digest_of(page: &Page) -> Digest {
    Digest {
        content: page.content,
        crc32c: page.crc32c,
        size: page.size,
    }
}

/// Fetches every body of a live page that the store lacks.
///
/// # Errors
/// What store and manifest say. A tier that does not give a body is passed over.
pub async fn fill_store(
    manifest: &Arc<Manifest>,
    store: Store,
    clients: &[Client],
    (progress, fuse): (&TierProgress, &Fuse),
) -> Result<(Store, StoreReport), RebuildError> {
    let mut report = StoreReport::default();
    let mut store = Arc::new(store);
    let (index, shared) = (Arc::clone(manifest), Arc::clone(&store));
    let indexed = tokio::task::spawn_blocking(move || {
        reindex(&index, &shared)?;
        count_lacking(&index, &shared)
    });
    let lacking = indexed.await.expect("reading frames does not panic")?;
    (report.there, report.damaged) = (lacking.there, lacking.damaged);
    progress.plan(lacking.lacking);
    let mut from: Option<PageUrl> = None;
    let mut unnoted: Vec<Located> = Vec::new();
    loop {
        let (index, shared) = (Arc::clone(manifest), Arc::clone(&store));
        let fetched: HashSet<ContentHash> = unnoted.iter().map(|one| one.digest.content).collect();
        let group =
            tokio::task::spawn_blocking(move || next_group(&index, &shared, from, &fetched));
        let (group, next) = group.await.expect("reading entries does not panic")?;
        from = next;
        let concurrency = clients.iter().map(|client| client.concurrency).max();
        let incoming = store.incoming();
        let bodies: Vec<_> = stream::iter(group)
            .map(|(url, page)| fetch(manifest, clients, &incoming, url, page))
            .buffered(concurrency.unwrap_or(1))
            .collect()
            .await;
        let (got, lost): (Vec<_>, Vec<_>) = bodies.into_iter().partition(|one| one.body.is_some());
        for one in lost {
            report.unavailable += 1;
            if report.unavailable_urls.len() < NAMED_MAX {
                report.unavailable_urls.push(one.url);
            }
        }
        progress.step(got.len() as u64);
        report.fetched += got.len() as u64;
        report.bytes += got.iter().map(|one| one.digest.size).sum::<u64>();
        let mut own = Arc::into_inner(store).expect("whoever read from it has ended");
        let kept =
            tokio::task::spawn_blocking(move || keep(&mut own, &got).map(|kept| (own, kept)));
        let (own, kept) = kept.await.expect("writing does not panic")?;
        store = Arc::new(own);
        unnoted.extend(kept);
        if unnoted.len() >= NOTED_AT_ONCE || from.is_none() {
            fuse.pass("rebuild.note")?;
            let noted = std::mem::take(&mut unnoted);
            off_thread(manifest, move |manifest| manifest.note_blobs(&noted)).await?;
        }
        if from.is_none() {
            break;
        }
    }
    report.requests = clients
        .iter()
        .map(|client| client.tier.traffic().requests())
        .sum();
    let store = Arc::into_inner(store).expect("whoever read from it has ended");
    Ok((store, report))
}

/// Bodies that are there and that are not, the damaged ones among them; two pages with one body count twice.
#[derive(Default)]
struct Lacking {
    there: u64,
    lacking: u64,
    damaged: u64,
}

/// Reads every body. Where a damaged one lies is forgotten, durably.
fn count_lacking(manifest: &Manifest, store: &Store) -> Result<Lacking, RebuildError> {
    let mut count = Lacking::default();
    let mut damaged = Vec::new();
    for entry in manifest.entries(None) {
        let entry = entry?.1;
        let Some(page) = entry.outcome.page() else {
            continue;
        };
        let located = manifest.locate(&page.content)?;
        match located.filter(|located| store.holds(located)) {
            Some(located) if is_whole(store, &located)? => count.there += 1,
            Some(located) => {
                count.lacking += 1;
                count.damaged += 1;
                damaged.push(located.digest.content);
            }
            None => count.lacking += 1,
        }
    }
    manifest.forget_these(&damaged)?;
    Ok(count)
}

/// Whether a body is that of its name. A large one passes through memory in pieces.
fn is_whole(store: &Store, located: &Located) -> Result<bool, RebuildError> {
    let Some(path) = store.path(located) else {
        return match store.read(located) {
            Ok(_) => Ok(true),
            Err(StoreError::Damaged { .. } | StoreError::Io { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        };
    };
    let hashed = File::open(path).and_then(|mut file| {
        let mut digester = Digester::new();
        let mut piece = vec![0; READ_BYTES];
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(digester.finish()),
                read => digester.update(&piece[..read]),
            }
        }
    });
    Ok(hashed.is_ok_and(|digest| digest == located.digest))
}

type Group = (Vec<(PageUrl, Page)>, Option<PageUrl>);

/// The next pages whose bodies are lacking, and from where the search goes on; `None` at the end.
fn next_group(
    manifest: &Manifest,
    store: &Store,
    from: Option<PageUrl>,
    fetched: &HashSet<ContentHash>,
) -> Result<Group, RebuildError> {
    let mut group: Vec<(PageUrl, Page)> = Vec::new();
    let mut bytes = 0;
    for entry in manifest.entries(from.as_ref().map(PageUrl::as_str)) {
        let (url, entry) = entry?;
        let Some(page) = entry.outcome.page() else {
            continue;
        };
        let is_in_group = group.iter().any(|(_, other)| other.content == page.content);
        if is_in_group
            || fetched.contains(&page.content)
            || is_there(manifest, store, &page.content)?
        {
            continue;
        }
        if group.len() >= GROUP || (bytes > 0 && bytes + page.size > GROUP_BYTES_MAX) {
            return Ok((group, Some(url)));
        }
        // A large one passes through memory in pieces.
        bytes += page.size.min(FILE_BYTES_MIN);
        group.push((url, page.clone()));
    }
    Ok((group, None))
}

/// A body on its way into the store.
struct Fetched {
    url: PageUrl,
    digest: Digest,
    body: Option<Incoming>,
}

enum Incoming {
    Bytes(Bytes),
    /// In the folder for that; named by its hash.
    File(std::path::PathBuf),
}

async fn fetch(
    manifest: &Manifest,
    clients: &[Client],
    incoming: &Path,
    url: PageUrl,
    page: Page,
) -> Fetched {
    let key = manifest.layout().place(&url).key;
    let digest = digest_of(&page);
    for client in clients {
        let got = match page.size > FILE_BYTES_MIN {
            true => fetch_large(client, &key, &digest, incoming).await,
            false => fetch_small(client, &key, &digest).await,
        };
        match got {
            Ok(Some(body)) => {
                return Fetched {
                    url,
                    digest,
                    body: Some(body),
                };
            }
            Ok(None) => tracing::debug!(tier = %client.name, %url, "other bytes, or none"),
            Err(error) => tracing::warn!(%error, "no body from this tier"),
        }
    }
    Fetched {
        url,
        digest,
        body: None,
    }
}

async fn fetch_small(
    client: &Client,
    key: &crate::site::ObjectKey,
    digest: &Digest,
) -> Result<Option<Incoming>, RebuildError> {
    let got = client.tier.get(key, None).await?;
    let right = got.filter(|got| ContentHash::of(&got.body) == digest.content);
    Ok(right.map(|got| Incoming::Bytes(got.body)))
}

async fn fetch_large(
    client: &Client,
    key: &crate::site::ObjectKey,
    digest: &Digest,
    incoming: &Path,
) -> Result<Option<Incoming>, RebuildError> {
    let Some(seen) = client.tier.head(key).await? else {
        return Ok(None);
    };
    if seen.size != digest.size {
        return Ok(None);
    }
    let path = incoming.join(digest.content.to_string());
    let mut file = File::create(&path).map_err(io_error(&path))?;
    let mut digester = Digester::new();
    let mut pieces = Pieces::new(client.tier.as_ref(), key, seen.size, &seen.etag);
    while let Some(piece) = pieces.next().await? {
        digester.update(&piece);
        file.write_all(&piece).map_err(io_error(&path))?;
    }
    Ok((digester.finish() == *digest).then_some(Incoming::File(path)))
}

/// Makes a group durable. Nothing names it yet.
fn keep(store: &mut Store, got: &[Fetched]) -> Result<Vec<Located>, RebuildError> {
    let mut small = Vec::new();
    let mut located = Vec::new();
    for one in got {
        match &one.body {
            Some(Incoming::Bytes(bytes)) => small.push(NewBlob {
                digest: one.digest,
                bytes,
            }),
            Some(Incoming::File(path)) => located.push(store.take_file(path, one.digest)?),
            None => (),
        }
    }
    located.extend(store.append(&small)?);
    Ok(located)
}
