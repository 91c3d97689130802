//! The manifest as compressed, hashed objects that lie in every tier and in the state directory, so that any
//! one of them is enough to make the manifest again.
//!
//! A checkpoint is a base (all entries, in parts), a list of increments (the entries that changed since, so
//! that a run which changed ten pages sends ten rows), and what is said about them: the rules and identities,
//! the newest generations, URLs that could not be had, and of the tier that it lies in (in the state
//! directory: of all of them) its watermark, debts and capabilities. When the increments have grown to half of
//! the base, a new base takes their place; small ones are made one before they become many. What is said
//! about the manifest is sent only when it differs from what was said last.
//!
//! Format 2 of a part, described in `docs/formats.md`: `"STANDCKP" | format u8 | zstd( rows )`, a row being
//! `u32 length, key, u32 length, payload` with key and payload as the database has them. A part is named by
//! the BLAKE3 of its bytes.

use std::collections::BTreeSet;
use std::io::Read;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::record::{Counts, Debt, Entry, Generation, Meta, Pending, TierState};
use super::{Manifest, ManifestError, codec, keys};
use crate::config::TierName;
use crate::content::ContentHash;
use crate::db::KeyAndPayload;
use crate::site::PageUrl;

const MAGIC: &[u8; 8] = b"STANDCKP";

/// Format 1: a row was a URL and its entry, without the kind of record in front.
const ENTRIES: u8 = 1;
const RECORDS: u8 = 2;

/// A part is closed at this size before compression: what writer and reader hold in memory.
const PART_BYTES_MAX: usize = 8 << 20;

/// zstd's default: entries shrink to about a fifth.
const COMPRESSION: i32 = 3;

/// No part of ours looks further back; one that claims to would only cost memory.
const WINDOW_LOG_MAX: u32 = 24;

/// Longest key and payload that a reader takes. URLs end at some kilobytes, and an entry holds headers within the
/// limit of the fetcher.
const KEY_BYTES_MAX: usize = 64 << 10;
const PAYLOAD_BYTES_MAX: usize = 4 << 20;

/// Rows of a part beyond this are not a part's of ours: the last row may reach over its end.
const UNPACKED_BYTES_MAX: usize = PART_BYTES_MAX + KEY_BYTES_MAX + PAYLOAD_BYTES_MAX + 8;

/// Increments below this size are never worth a new base.
const INCREMENTS_FREE: u64 = 1 << 20;

/// So many increments at the end become one, as far as they are not larger than this together: what an hour with
/// few changes sends at the most, and a head that names some hundred parts.
const MERGED_PARTS: usize = 16;
const MERGED_BYTES_MAX: u64 = 512 << 10;

/// The newest generations are told, some 40 days of hourly runs.
const GENERATIONS_TOLD: u64 = 1_000;

/// In the place of what changes with every attempt and says nothing to a reader.
const AS_OF_CHECKPOINT: &str = "noted in a checkpoint";

/// Which objects make up a checkpoint, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub generation: Generation,
    pub base: Vec<Part>,
    pub increments: Vec<Part>,
    /// Everything that is no entry. Empty where a version wrote it that kept entries alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<Part>,
}

/// One object of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name in the tier.
    pub name: String,
    /// BLAKE3 of its bytes.
    pub hash: ContentHash,
    pub bytes: u64,
    pub rows: u64,
    /// Of an increment: it holds what changed after this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Generation>,
}

/// Where a checkpoint lies, and so whose watermark and debts it carries.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    Tier(&'a TierName),
    /// The state directory of a mirror with these tiers.
    State(&'a [TierName]),
}

impl<'a> Whose<'a> {
    fn tiers(self) -> &'a [TierName] {
        match self {
            Whose::Tier(name) => std::slice::from_ref(name),
            Whose::State(names) => names,
        }
    }
}

/// The newest checkpoint of a place, and those before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    pub newest: Checkpoint,
    /// Newest first.
    pub earlier: Vec<Checkpoint>,
}

impl Checkpoint {
    /// All of its objects, in the order in which they are to be read.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.base.iter().chain(&self.increments).chain(&self.about)
    }

    /// True before the first was made.
    pub fn is_empty(&self) -> bool {
        self.base.is_empty()
    }
}

impl Kept {
    /// Puts a new one in front and keeps `count` of them. Also returned are the objects that none of those names
    /// any more: to be removed once what names the new ones is durable.
    pub fn with(&self, newest: Checkpoint, count: usize) -> (Kept, Vec<String>) {
        let mut earlier = self.earlier.clone();
        // What only says something else of the same generation takes its place.
        if !self.newest.is_empty() && self.newest.generation != newest.generation {
            earlier.insert(0, self.newest.clone());
        }
        // After a rebuild from an older one, what had come after that is no history of this manifest.
        earlier.retain(|one| one.generation < newest.generation);
        earlier.truncate(count.saturating_sub(1));
        let kept = Kept { newest, earlier };
        let named: BTreeSet<&str> = kept.names().collect();
        let stale: BTreeSet<&str> = self.names().filter(|name| !named.contains(name)).collect();
        let stale = stale.into_iter().map(str::to_owned).collect();
        (kept, stale)
    }

    /// Those alone that do without these objects; without a newest one the next begins with a new base.
    pub fn without(&self, broken: &BTreeSet<String>) -> Kept {
        let is_whole = |one: &&Checkpoint| one.parts().all(|part| !broken.contains(&part.name));
        Kept {
            newest: Some(&self.newest)
                .filter(is_whole)
                .cloned()
                .unwrap_or_default(),
            earlier: self.earlier.iter().filter(is_whole).cloned().collect(),
        }
    }

    /// All of them, newest first.
    pub fn all(&self) -> impl Iterator<Item = &Checkpoint> {
        std::iter::once(&self.newest).chain(&self.earlier)
    }

    /// The names of all objects.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let parts = self.all().flat_map(Checkpoint::parts);
        parts.map(|part| part.name.as_str())
    }
}

/// Extends a known checkpoint to the current generation, handing each fresh part to `send` as it is
/// made; `send` says false when nobody wants more. Memory is bounded by one part. Where nothing is to be
/// said that is not known, nothing is sent and the checkpoint comes back as it was. One from before the change log
/// begins is followed by a new base.
///
/// # Errors
/// What the manifest says.
pub fn extend(
    manifest: &Manifest,
    whose: Whose<'_>,
    known: Checkpoint,
    send: impl FnMut(&Part, Bytes) -> bool,
) -> Result<Checkpoint, ManifestError> {
    let generation = manifest.generation();
    let size = |parts: &[Part]| parts.iter().map(|part| part.bytes).sum::<u64>();
    let grown = size(&known.increments) > size(&known.base) / 2 + INCREMENTS_FREE;
    let mut writer = Writer {
        generation,
        send,
        wanted: true,
    };
    // What was told before the change log begins was told by a manifest that was lost: this one may have been made from
    // something else, and an increment would be of another history than its base.
    let is_ours = (manifest.log_begins()..=generation).contains(&known.generation);
    let mut checkpoint = known;
    let was_told = !checkpoint.base.is_empty() && !grown && is_ours;
    if !was_told {
        let entries = manifest.db.scan(&[keys::ENTRY]);
        let etags = whose
            .tiers()
            .iter()
            .map(|name| keys::tier(keys::ETAG_IN_TIER, name));
        let etags = std::iter::once(vec![keys::ETAG_OF_BLOB]).chain(etags);
        let etags = etags.flat_map(|prefix| manifest.db.scan(&prefix));
        let rows = entries
            .chain(etags)
            .map(|row| row.map_err(ManifestError::from));
        checkpoint.base = writer.parts(rows, None)?;
        checkpoint.increments.clear();
    } else if checkpoint.generation < generation {
        let merged = merged_from(&checkpoint.increments, manifest.log_begins());
        let after = match checkpoint.increments.get(merged) {
            Some(first) => first.after.unwrap_or(checkpoint.generation),
            None => checkpoint.generation,
        };
        let rows = with_etags(manifest, whose, changed_after(manifest, after));
        let fresh = writer.parts(rows, Some(after))?;
        checkpoint.increments.truncate(merged);
        checkpoint.increments.extend(fresh);
    }
    let is_newer = !was_told || checkpoint.generation < generation;
    checkpoint.generation = generation;
    checkpoint.about = writer.about(manifest, whose, &checkpoint.about, is_newer)?;
    Ok(checkpoint)
}

/// How many increments stay as they are: those behind them are small, many, and still in the change log.
fn merged_from(increments: &[Part], log_begins: Generation) -> usize {
    let mut bytes = 0;
    let small = increments.iter().rev().take_while(|part| {
        bytes += part.bytes;
        bytes <= MERGED_BYTES_MAX && part.after.is_some_and(|after| after >= log_begins)
    });
    match small.count() {
        count if count >= MERGED_PARTS => increments.len() - count,
        _ => increments.len(),
    }
}

/// The entries that changed after a generation, in URL order.
fn changed_after(
    manifest: &Manifest,
    after: Generation,
) -> impl Iterator<Item = Result<(PageUrl, Entry), ManifestError>> + '_ {
    let changes = manifest.changes_after(after);
    changes.filter_map(|change| match change {
        Ok(change) => change.after.map(|entry| Ok((change.url, entry))),
        Err(error) => Some(Err(error)),
    })
}

/// Entries as rows, each followed by the ETags that a listing shows of it.
fn with_etags<'a>(
    manifest: &'a Manifest,
    whose: Whose<'a>,
    entries: impl Iterator<Item = Result<(PageUrl, Entry), ManifestError>> + 'a,
) -> impl Iterator<Item = Result<KeyAndPayload, ManifestError>> + 'a {
    entries.flat_map(move |entry| match entry {
        Ok((url, entry)) => match etag_rows(manifest, whose, &url, &entry) {
            Ok(etags) => {
                let row = (keys::entry(&url), codec::encode(&entry));
                std::iter::once(row).chain(etags).map(Ok).collect()
            }
            Err(error) => vec![Err(error)],
        },
        Err(error) => vec![Err(error)],
    })
}

fn etag_rows(
    manifest: &Manifest,
    whose: Whose<'_>,
    url: &PageUrl,
    entry: &Entry,
) -> Result<Vec<KeyAndPayload>, ManifestError> {
    let mut wanted = Vec::new();
    if let Some(page) = entry.outcome.page() {
        wanted.push(keys::etag_of_blob(&page.content));
    }
    let key = manifest.layout().place(url).key;
    for name in whose.tiers() {
        wanted.push(keys::in_tier(keys::ETAG_IN_TIER, name, key.as_str()));
    }
    let mut rows = Vec::new();
    for key in wanted {
        if let Some(payload) = manifest.db.get(&key)? {
            rows.push((key, payload));
        }
    }
    Ok(rows)
}

/// Makes parts and hands them on.
struct Writer<S> {
    generation: Generation,
    send: S,
    wanted: bool,
}

impl<S: FnMut(&Part, Bytes) -> bool> Writer<S> {
    fn parts(
        &mut self,
        rows: impl Iterator<Item = Result<KeyAndPayload, ManifestError>>,
        after: Option<Generation>,
    ) -> Result<Vec<Part>, ManifestError> {
        let mut parts = Vec::new();
        let generation = self.generation;
        pack(rows, |rows, count| {
            let (mut part, bytes) = seal(rows, count, generation, parts.len());
            part.after = after;
            self.wanted = (self.send)(&part, bytes);
            parts.push(part);
            self.wanted
        })?;
        Ok(parts)
    }

    /// What is no entry, the tier's own part first. A part that is known already is not sent again. `is_newer` is
    /// false where the entries are as they were: what is said about the mirror then waits for the next generation,
    /// unless the tier has something to say.
    fn about(
        &mut self,
        manifest: &Manifest,
        whose: Whose<'_>,
        known: &[Part],
        is_newer: bool,
    ) -> Result<Vec<Part>, ManifestError> {
        if !self.wanted {
            return Ok(known.to_vec());
        }
        let mut parts = self.parts_but(known, tier_rows(manifest, whose)?)?;
        if !is_newer && parts.iter().all(|part| known.contains(part)) {
            return Ok(known.to_vec());
        }
        parts.extend(self.parts_but(known, mirror_rows(manifest))?);
        Ok(parts)
    }

    /// Makes parts of rows, and sends those that are not known.
    fn parts_but(&mut self, known: &[Part], rows: Rows<'_>) -> Result<Vec<Part>, ManifestError> {
        let mut parts: Vec<Part> = Vec::new();
        let generation = self.generation;
        pack(rows, |rows, count| {
            let (part, bytes) = seal(rows, count, generation, parts.len());
            match known.iter().find(|known| known.hash == part.hash) {
                Some(known) => parts.push(known.clone()),
                None => {
                    self.wanted = (self.send)(&part, bytes);
                    parts.push(part);
                }
            }
            self.wanted
        })?;
        Ok(parts)
    }
}

type Rows<'a> = Box<dyn Iterator<Item = Result<KeyAndPayload, ManifestError>> + 'a>;

/// The records about the mirror, without what changes on every run: it would be sent on every run, and who rebuilds
/// has no use for it.
fn mirror_rows(manifest: &Manifest) -> Rows<'_> {
    let meta = Meta {
        counts: Counts::default(),
        crawls: 0,
        open_commit: None,
        last_run: None,
        ..manifest.about()
    };
    let first = Generation(manifest.generation().0.saturating_sub(GENERATIONS_TOLD));
    let generations = manifest
        .db
        .scan_from(&[keys::GENERATION], &keys::generation(first));
    let generations = generations.map(|row| row.map_err(ManifestError::from));
    let pending = manifest.pending().map(|pending| {
        let (url, Pending { from, .. }) = pending?;
        let why = AS_OF_CHECKPOINT.to_owned();
        Ok((keys::pending(&url), codec::encode(&Pending { from, why })))
    });
    let perhaps_gone = manifest.db.scan(&[keys::PERHAPS_GONE]);
    let perhaps_gone = perhaps_gone.map(|row| row.map_err(ManifestError::from));
    let meta = (keys::META.to_vec(), codec::encode(&meta));
    let rows = std::iter::once(Ok(meta)).chain(generations).chain(pending);
    Box::new(rows.chain(perhaps_gone))
}

/// The records about tiers, in the same way.
fn tier_rows<'a>(manifest: &'a Manifest, whose: Whose<'a>) -> Result<Rows<'a>, ManifestError> {
    let mut tiers = Vec::new();
    for name in whose.tiers() {
        let known = manifest.tier(name)?;
        let state = TierState {
            watermark: known.watermark,
            etag: known.etag,
            capabilities: known.capabilities,
            ..TierState::default()
        };
        tiers.push((keys::tier(keys::TIER, name), codec::encode(&state)));
        if let Some(filled) = manifest.filled(name)? {
            tiers.push((keys::tier(keys::FILLED, name), codec::encode(&filled)));
        }
    }
    let debts = whose.tiers().iter().flat_map(|name| {
        manifest.debts(name).map(|debt| {
            let (url, debt) = debt?;
            let debt = Debt {
                reason: AS_OF_CHECKPOINT.to_owned(),
                attempts: 0,
                since: debt.since,
            };
            let key = keys::in_tier(keys::DEBT, name, url.as_str());
            Ok((key, codec::encode(&debt)))
        })
    });
    Ok(Box::new(tiers.into_iter().map(Ok).chain(debts)))
}

/// Gathers rows into parts; `close` says false when nobody wants more.
fn pack(
    rows: impl Iterator<Item = Result<KeyAndPayload, ManifestError>>,
    mut close: impl FnMut(&[u8], u64) -> bool,
) -> Result<(), ManifestError> {
    let (mut buffer, mut count) = (Vec::new(), 0);
    for row in rows {
        let (key, payload) = row?;
        write_field(&mut buffer, &key);
        write_field(&mut buffer, &payload);
        count += 1;
        if buffer.len() >= PART_BYTES_MAX {
            if !close(&buffer, count) {
                return Ok(());
            }
            buffer.clear();
            count = 0;
        }
    }
    if count > 0 {
        close(&buffer, count);
    }
    Ok(())
}

fn seal(rows: &[u8], count: u64, generation: Generation, index: usize) -> (Part, Bytes) {
    let mut bytes = MAGIC.to_vec();
    bytes.push(RECORDS);
    let packed = zstd::bulk::compress(rows, COMPRESSION).expect("memory is enough for one part");
    bytes.extend(packed);
    let hash = ContentHash::of(&bytes);
    let part = Part {
        name: format!(".standin/checkpoint/{:010}-{index:05}-{hash}", generation.0),
        hash,
        bytes: bytes.len() as u64,
        rows: count,
        after: None,
    };
    (part, Bytes::from(bytes))
}

fn write_field(buffer: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).expect("keys and records are far below 4 GB");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(bytes);
}

/// The entries among the rows of one part.
///
/// # Errors
/// [`ManifestError::Checkpoint`] when the bytes are not those of the part.
pub fn read_part(part: &Part, bytes: &[u8]) -> Result<Vec<(PageUrl, Entry)>, ManifestError> {
    let mut entries = Vec::new();
    read_rows(part, bytes, |key, payload| {
        if key.first() == Some(&keys::ENTRY) {
            entries.push((codec::url_of_key(key, 1)?, codec::decode(key, payload)?));
        }
        Ok(())
    })?;
    Ok(entries)
}

/// Hands each row of a part to `each`, as key and payload of the database. Memory is bounded whatever the bytes
/// claim. No row is handed on before the whole part is known to be what its name says.
///
/// # Errors
/// [`ManifestError::Checkpoint`] when the bytes are not those of the part, and what `each` says.
pub fn read_rows(
    part: &Part,
    bytes: &[u8],
    each: impl FnMut(&[u8], &[u8]) -> Result<(), ManifestError>,
) -> Result<(), ManifestError> {
    let wrong = |why: &str| refused(part, why);
    if bytes.len() as u64 != part.bytes {
        return Err(wrong(&format!(
            "it has {} bytes, and {} were written: it was cut off or replaced",
            bytes.len(),
            part.bytes
        )));
    }
    if ContentHash::of(bytes) != part.hash {
        return Err(wrong("its bytes are not those of its name: it is damaged"));
    }
    let rows = unpack(part, bytes, each)?;
    if rows != part.rows {
        return Err(wrong("it holds another number of rows than was written"));
    }
    Ok(())
}

fn refused(part: &Part, why: &str) -> ManifestError {
    ManifestError::Checkpoint {
        name: part.name.clone(),
        why: why.to_owned(),
    }
}

/// Everything behind the hash; the number of rows is returned.
fn unpack(
    part: &Part,
    bytes: &[u8],
    mut each: impl FnMut(&[u8], &[u8]) -> Result<(), ManifestError>,
) -> Result<u64, ManifestError> {
    let wrong = |why: &str| refused(part, why);
    let header = bytes
        .strip_prefix(MAGIC)
        .and_then(|rest| rest.split_first());
    let (format, packed) = header.ok_or_else(|| wrong("it is no part of a checkpoint"))?;
    let skipped_kind: &[u8] = match *format {
        ENTRIES => &[keys::ENTRY],
        RECORDS => &[],
        _ => {
            return Err(wrong(
                "it is of a newer format than this version can read; upgrade standin",
            ));
        }
    };
    let decoder = zstd::stream::read::Decoder::with_buffer(packed).and_then(|mut decoder| {
        decoder.window_log_max(WINDOW_LOG_MAX)?;
        Ok(decoder)
    });
    let decoder = decoder.map_err(|error| wrong(&error.to_string()))?;
    // One byte more than there may be, so that too many show.
    let mut rows = decoder.take(UNPACKED_BYTES_MAX as u64 + 1);
    let (mut key, mut payload, mut count) = (Vec::new(), Vec::new(), 0);
    loop {
        key.clear();
        key.extend_from_slice(skipped_kind);
        payload.clear();
        let read = read_row(&mut rows, &mut key, &mut payload);
        if rows.limit() == 0 {
            return Err(wrong("it unpacks to more than a part may hold"));
        }
        if !read.map_err(|why| wrong(&why))? {
            return Ok(count);
        }
        each(&key, &payload)?;
        count += 1;
    }
}

/// Appends the next row; false at the end of them.
fn read_row(
    rows: &mut impl Read,
    key: &mut Vec<u8>,
    payload: &mut Vec<u8>,
) -> Result<bool, String> {
    if !read_field(rows, key, KEY_BYTES_MAX)? {
        return Ok(false);
    }
    match read_field(rows, payload, PAYLOAD_BYTES_MAX)? {
        true => Ok(true),
        false => Err("a torn row".into()),
    }
}

/// Appends the next field; false at the end of the rows.
fn read_field(rows: &mut impl Read, field: &mut Vec<u8>, max: usize) -> Result<bool, String> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < length.len() {
        match rows
            .read(&mut length[filled..])
            .map_err(|e| e.to_string())?
        {
            0 if filled == 0 => return Ok(false),
            0 => return Err("a torn row".into()),
            read => filled += read,
        }
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > max {
        return Err("a row that is longer than any".into());
    }
    let begin = field.len();
    field.resize(begin + length, 0);
    rows.read_exact(&mut field[begin..])
        .map_err(|_| "a torn row".to_owned())?;
    Ok(true)
}

/// What must hold for any bytes as a part and as the rows of one: the body of the fuzz target, run over its
/// seeds as a test too.
///
/// Panics if a promise of the reader does not hold.
pub fn check_part(data: &[u8]) {
    let part = |bytes: &[u8]| Part {
        name: "fuzz".to_owned(),
        hash: ContentHash::of(bytes),
        bytes: bytes.len() as u64,
        rows: 0,
        after: None,
    };
    for format in [ENTRIES, RECORDS] {
        let packed = zstd::bulk::compress(data, 1).expect("memory is enough");
        let bytes = [MAGIC.as_slice(), &[format], &packed].concat();
        check_rows(&part(&bytes), &bytes);
    }
    check_rows(&part(data), data);
}

fn check_rows(part: &Part, bytes: &[u8]) {
    let mut unpacked = 0;
    let read = unpack(part, bytes, |key, payload| {
        unpacked += key.len() + payload.len();
        assert!(
            unpacked <= UNPACKED_BYTES_MAX + 1,
            "more than a part may hold"
        );
        // Whatever it says, it is a record, or refused by name.
        if super::restore::checked(key, payload).is_ok() {
            assert!(!key.is_empty(), "every record has a kind");
        }
        Ok(())
    });
    if let Err(error) = read {
        assert!(matches!(error, ManifestError::Checkpoint { .. }), "{error}");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::sample::{Sample, gone, page};
    use super::*;

    type Objects = BTreeMap<String, Bytes>;

    fn tier() -> TierName {
        TierName::parse("primary").unwrap()
    }

    fn extend_into(sample: &Sample, known: Checkpoint, objects: &mut Objects) -> Checkpoint {
        extend(
            &sample.manifest,
            Whose::Tier(&tier()),
            known,
            |part, bytes| {
                objects.insert(part.name.clone(), bytes);
                true
            },
        )
        .unwrap()
    }

    fn read_all(checkpoint: &Checkpoint, objects: &Objects) -> Vec<(PageUrl, Entry)> {
        let parts = checkpoint.base.iter().chain(&checkpoint.increments);
        let rows = parts.flat_map(|part| read_part(part, &objects[&part.name]).unwrap());
        rows.collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    #[test]
    fn base_and_increments_give_the_manifest_back() {
        // Promise: a tier's checkpoint alone is enough to make the manifest's entries again, and an
        // increment holds only what changed.
        let sample = Sample::new();
        let mut objects = Objects::new();
        let pages: Vec<_> = (0..50).map(|n| (format!("/{n}"), page("1"))).collect();
        let staged: Vec<_> = pages
            .iter()
            .map(|(path, page)| (path.as_str(), page.clone()))
            .collect();
        sample.commit(&staged).unwrap();
        let first = extend_into(&sample, Checkpoint::default(), &mut objects);
        assert_eq!(read_all(&first, &objects), sample.all());
        sample
            .commit(&[("/7", page("2")), ("/8", gone()), ("/new", page("3"))])
            .unwrap();
        let second = extend_into(&sample, first.clone(), &mut objects);
        assert_eq!(second.base, first.base);
        assert_eq!(second.increments[0].rows, 3);
        assert_eq!(read_all(&second, &objects), sample.all());
    }

    #[test]
    fn what_has_not_changed_is_not_sent_again() {
        // Promise: an hour without changes costs no byte; a debt that comes or goes costs only what is said about the
        // tier.
        let sample = Sample::new();
        let mut objects = Objects::new();
        sample.commit(&[("/a", page("1"))]).unwrap();
        let first = extend_into(&sample, Checkpoint::default(), &mut objects);
        let mut sent = Objects::new();
        assert_eq!(extend_into(&sample, first.clone(), &mut sent), first);
        assert_eq!(sent.len(), 0);
        let url = super::super::sample::url("/a");
        sample
            .manifest
            .owe(&tier(), &url, "it was not to be reached".into())
            .unwrap();
        let owing = extend_into(&sample, first.clone(), &mut sent);
        assert_eq!((&owing.base, sent.len()), (&first.base, 1));
        sample
            .manifest
            .owe(&tier(), &url, "nor the second time".into())
            .unwrap();
        let mut sent = Objects::new();
        assert_eq!(extend_into(&sample, owing.clone(), &mut sent), owing);
        assert_eq!(sent.len(), 0, "another reason is nothing new");
    }

    #[test]
    fn small_increments_become_one() {
        // Promise: a head names few parts however many runs there were, and what they hold is the manifest.
        let sample = Sample::new();
        let mut objects = Objects::new();
        sample.commit(&[("/a", page("1"))]).unwrap();
        let mut checkpoint = extend_into(&sample, Checkpoint::default(), &mut objects);
        let mut most = 0;
        for round in 0..60 {
            let path = format!("/{}", round % 23);
            sample.commit(&[(&path, page(&round.to_string()))]).unwrap();
            checkpoint = extend_into(&sample, checkpoint, &mut objects);
            most = most.max(checkpoint.increments.len());
        }
        assert_eq!(most, MERGED_PARTS);
        assert_eq!(read_all(&checkpoint, &objects), sample.all());
    }

    #[test]
    fn earlier_checkpoints_are_kept_by_count() {
        // Promise: so many are kept as is asked for, their parts with them, and every other object is named once as
        // one to be removed.
        let sample = Sample::new();
        let mut objects = Objects::new();
        let mut kept = Kept::default();
        for round in 0..40 {
            sample
                .commit(&[("/a", page(&round.to_string())), ("/b", page("1"))])
                .unwrap();
            let newest = extend_into(&sample, kept.newest.clone(), &mut objects);
            let (next, stale) = kept.with(newest, 3);
            for name in stale {
                objects.remove(&name).unwrap();
            }
            kept = next;
            let named: BTreeSet<&str> = kept.names().collect();
            assert_eq!(
                objects.keys().map(String::as_str).collect::<BTreeSet<_>>(),
                named
            );
            let generations: Vec<_> = kept.all().map(|one| one.generation.0).collect();
            let newest = round + 1;
            let expected: Vec<_> = (1..=newest).rev().take(3).collect();
            assert_eq!(generations, expected);
        }
    }

    #[test]
    fn a_part_that_is_not_what_was_written_is_refused_by_name() {
        // Promise: no byte of a checkpoint is believed that its name does not vouch for; a cut one, one of a newer
        // format, one that unpacks without end and one that claims endless rows are each told apart.
        let sample = Sample::new();
        let mut objects = Objects::new();
        sample.commit(&[("/a", page("1"))]).unwrap();
        let made = extend_into(&sample, Checkpoint::default(), &mut objects);
        let part = &made.base[0];
        let whole = objects[&part.name].to_vec();
        let told = |part: &Part, bytes: &[u8]| read_part(part, bytes).unwrap_err().to_string();
        let of = |bytes: &[u8]| Part {
            hash: ContentHash::of(bytes),
            bytes: bytes.len() as u64,
            ..part.clone()
        };
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let refusal = told(part, &flipped);
        assert!(
            refusal.contains("damaged") && refusal.contains(&part.name),
            "{refusal}"
        );
        assert!(told(part, &whole[..whole.len() - 1]).contains("cut off"));
        let mut newer = whole.clone();
        newer[8] = 3;
        assert!(told(&of(&newer), &newer).contains("upgrade standin"));
        let packed = |rows: &[u8]| {
            let packed = zstd::bulk::compress(rows, 1).unwrap();
            [MAGIC.as_slice(), &[RECORDS], &packed].concat()
        };
        let bomb = packed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 100_000);
        assert!(told(&of(&bomb), &bomb).contains("more than a part may hold"));
        let endless = packed(&[0xff; 8]);
        assert!(told(&of(&endless), &endless).contains("longer than any"));
        let torn = packed(&[1, 0, 0, 0, b'e']);
        assert!(told(&of(&torn), &torn).contains("torn row"));
    }

    #[test]
    fn the_seeds_of_the_fuzz_target_keep_the_promises() {
        // Promise: whatever a part says, reading it ends, in bounded memory, in rows or in a refusal.
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/checkpoint");
        let mut seen = 0;
        for seed in std::fs::read_dir(folder).unwrap() {
            check_part(&std::fs::read(seed.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen >= 4, "{seen}");
    }
}
