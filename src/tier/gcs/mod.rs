//! A copy of the site in a bucket of Google Cloud Storage. Google's own client speaks to the service; here
//! is what it is asked for. `client.rs` sets credentials, endpoint and timeouts, `fields.rs` knows the
//! fields that GCS has for headers, `errors.rs` says what an answer means, `large.rs` sends files.
//!
//! The ETag of an object of the site is the MD5 that the service states, so that one ETag serves all tiers
//! that have the bytes; that of a small object is its generation, which conditions are made of.

mod client;
mod errors;
mod fields;
mod large;

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use google_cloud_auth::credentials::Credentials;
use google_cloud_storage::Error;
use google_cloud_storage::builder::storage::WriteObject;
use google_cloud_storage::model::{Bucket, ListObjectsResponse, Object, ObjectChecksums};
use google_cloud_storage::model_ext::{ObjectHighlights, ReadRange};
use google_cloud_wkt::FieldMask;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::bucket::{self, PROBE, PROBE_BODY, PROBE_MD5, Place};
use super::error::unless_denied;
use super::{
    Body, Capabilities, Confirmed, EtagMeaning, Expect, Fetched, Kind, Line, ListPage, Listed,
    ObjectMeta, Prices, Seen, Tier, TierError, Traffic,
};
use crate::config::{GcsOptions, TierName};
use crate::content::digest;
use crate::site::ObjectKey;
use client::{Clients, TIMEOUTS, Timeouts};
use errors::Asked;
use fields::Fields;

/// GCS lists this many objects a request.
const PAGE_OBJECTS_MAX: usize = 1000;

/// Pages without an object, one after the other, after which a listing is given up: the service has passed
/// over more than can lie between two objects.
const PAGES_EMPTY_MAX: usize = 100;

/// A copy between places or storage classes comes in pieces of at least 1 MiB a request, in practice far
/// larger ones: more requests than this are no progress.
const REWRITES_MAX: usize = 10_000;

/// Small objects are never to be answered from a cache, which GCS has before buckets that are public.
const SMALL_CACHE_CONTROL: &str = "no-store";

/// See the paragraph of this folder.
pub struct GcsTier {
    place: Place,
    location: String,
    /// As the service names it: `projects/_/buckets/NAME`.
    bucket: String,
    storage_class: Option<String>,
    options: GcsOptions,
    concurrency_max: usize,
    timeouts: Timeouts,
    credentials: OnceCell<Credentials>,
    /// Made with the first request: who asks may have to be found out over the network. Made anew after
    /// one that was not answered.
    clients: Mutex<Arc<OnceCell<Clients>>>,
    line: Line,
}

impl GcsTier {
    /// Sends nothing. Fails when the credentials file is none.
    ///
    /// # Errors
    /// [`TierError::Configuration`].
    pub fn new(
        name: TierName,
        options: &GcsOptions,
        concurrency_max: usize,
    ) -> Result<GcsTier, TierError> {
        client::check(&name, options)?;
        Ok(GcsTier {
            location: client::location(options),
            bucket: format!("projects/_/buckets/{}", options.bucket),
            storage_class: options.storage_class.clone(),
            options: options.clone(),
            concurrency_max: concurrency_max.max(1),
            timeouts: TIMEOUTS,
            credentials: OnceCell::new(),
            clients: Mutex::default(),
            line: Line::new(name.clone(), concurrency_max),
            place: Place::new(name, &options.prefix),
        })
    }

    async fn clients(&self) -> Result<Clients, TierError> {
        self.made(&self.today()).await
    }

    /// The place of the clients that are used now.
    fn today(&self) -> Arc<OnceCell<Clients>> {
        Arc::clone(&self.clients.lock().expect("nobody panics holding it"))
    }

    async fn made(&self, place: &OnceCell<Clients>) -> Result<Clients, TierError> {
        let made = place.get_or_try_init(|| async {
            let making = async {
                let kind = &self.options.credentials;
                let credentials = self
                    .credentials
                    .get_or_try_init(|| client::credentials(&self.place.name, kind));
                let credentials = credentials.await?.clone();
                client::build(&self.place.name, &self.options, credentials).await
            };
            match timeout(self.timeouts.answer, making).await {
                Ok(made) => made,
                Err(_) => Err(errors::no_answer(&self.place.name, client::CREDENTIALS)),
            }
        });
        made.await.cloned()
    }

    /// After a request that was not answered: its connection may be dead without anybody's knowing.
    fn reconnect(&self, used: &Arc<OnceCell<Clients>>) {
        let mut today = self.clients.lock().expect("nobody panics holding it");
        // Of many requests on one connection the first to give up is enough.
        if Arc::ptr_eq(&today, used) {
            *today = Arc::default();
        }
    }

    /// One request, as often as the line finds right.
    async fn send<T, F>(
        &self,
        kind: Kind,
        asked: Asked<'_>,
        size: u64,
        attempt: impl Fn(Clients) -> F + Sync,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let patience = client::patience(self.timeouts, size);
        self.send_within(patience, kind, asked, size, attempt).await
    }

    /// As [`GcsTier::send`], with so much time for each attempt.
    async fn send_within<T, F>(
        &self,
        patience: Duration,
        kind: Kind,
        asked: Asked<'_>,
        size: u64,
        attempt: impl Fn(Clients) -> F + Sync,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.line
            .request_sized(kind, size, || async {
                let place = self.today();
                let clients = self.made(&place).await?;
                match timeout(patience, attempt(clients)).await {
                    Ok(answer) => answer.map_err(|error| asked.failed(&error)),
                    Err(_) => {
                        self.reconnect(&place);
                        Err(errors::no_answer(&self.place.name, asked.at))
                    }
                }
            })
            .await
    }

    fn asked<'a>(&'a self, at: &'a str, operation: &'static str) -> Asked<'a> {
        Asked {
            tier: &self.place.name,
            bucket: &self.options.bucket,
            at,
            operation,
        }
    }

    /// The name in the bucket of an object of the site.
    fn object_key(&self, key: &ObjectKey) -> Result<String, TierError> {
        let full = self.place.object_key(key)?;
        if full.contains(['\r', '\n']) {
            return Err(self
                .place
                .unsupported(key.as_str(), "GCS keeps no name with a line end in it"));
        }
        Ok(full)
    }

    async fn put_bytes(
        &self,
        key: &ObjectKey,
        body: Bytes,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let at = key.as_str();
        let full = self.object_key(key)?;
        let fields = self.fields(key, meta).await?;
        let asked = self.asked(at, "WriteObject");
        let sent = self.send(Kind::Put, asked, meta.size, |clients| {
            let request = clients
                .storage
                .write_object(&self.bucket, &full, body.clone());
            with_fields(request, fields.clone(), self.storage_class.as_deref())
                .with_known_crc32c(meta.crc32c)
                .with_resumable_upload_threshold(usize::MAX)
                .send_buffered()
        });
        self.confirm(at, &sent.await?, meta)
    }

    /// The fields for an object's metadata; what does not fit into them is written first.
    async fn fields(&self, key: &ObjectKey, meta: &ObjectMeta) -> Result<Fields, TierError> {
        let (fields, record) = fields::encode(key, meta);
        if let Some((name, bytes)) = record {
            self.write_small(&name, bytes, None).await?;
        }
        Ok(fields)
    }

    /// What the service says that it holds must be what was announced.
    fn confirm(
        &self,
        at: &str,
        object: &Object,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let stated = fields::stated(object.checksums.as_ref());
        let size = size_of(object.size);
        if size != meta.size || stated.crc32c.is_some_and(|crc32c| crc32c != meta.crc32c) {
            let found = stated.crc32c.unwrap_or_default();
            let cause = format!(
                "the service has {size} bytes with CRC32C {found:08x}, expected {} with {:08x}",
                meta.size, meta.crc32c
            );
            return Err(self.place.mismatch(at, cause));
        }
        let etag = fields::etag(&stated);
        if etag.is_empty() {
            return Err(self.place.odd(at, "the answer has no checksum"));
        }
        Ok(Confirmed { etag, size })
    }

    /// An object's description, or `None` when it is absent.
    async fn describe(
        &self,
        kind: Kind,
        at: &str,
        full: &str,
    ) -> Result<Option<Object>, TierError> {
        let asked = self.asked(at, "GetObject");
        let answer = self.send(kind, asked, 0, |clients| async move {
            let request = clients.control.get_object().set_bucket(&self.bucket);
            absent_is_none(request.set_object(full).send().await)
        });
        answer.await
    }

    /// Bytes of an object with what comes beside them. A range that begins beyond the end is empty.
    async fn fetch(
        &self,
        kind: Kind,
        at: &str,
        full: &str,
        range: ReadRange,
    ) -> Result<Reading, TierError> {
        let asked = self.asked(at, "ReadObject");
        self.line
            .request(kind, || async {
                let clients = self.clients().await?;
                let request = clients.storage.read_object(&self.bucket, full);
                // An audit must be able to look at damaged bytes.
                let request = request.set_read_range(range.clone()).compute_crc32c(false);
                let mut answer = match self.in_time(at, request.send()).await? {
                    Ok(answer) => answer,
                    Err(error) if errors::is_absent(&error) => return Ok(Reading::Absent),
                    Err(error) if errors::is_beyond(&error) => return Ok(Reading::Beyond),
                    Err(error) => return Err(asked.failed(&error)),
                };
                let mut body = BytesMut::new();
                while let Some(piece) = self.in_time(at, answer.next()).await? {
                    let piece = piece.map_err(|error| asked.failed(&error))?;
                    body.extend_from_slice(&piece);
                }
                Ok(Reading::There(body.freeze(), Box::new(answer.object())))
            })
            .await
    }

    async fn in_time<T>(&self, at: &str, waiting: impl Future<Output = T>) -> Result<T, TierError> {
        let waited = timeout(self.timeouts.answer, waiting).await;
        waited.map_err(|_| errors::no_answer(&self.place.name, at))
    }

    async fn list_page(
        &self,
        kind: Kind,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<ListObjectsResponse, TierError> {
        let mut token = String::new();
        for _ in 0..PAGES_EMPTY_MAX {
            let page = self.list_part(kind, prefix, from, limit, &token).await?;
            if !page.objects.is_empty() || page.next_page_token.is_empty() {
                return Ok(page);
            }
            token = page.next_page_token;
        }
        Err(self
            .place
            .odd("the listing", "a listing that leads nowhere"))
    }

    /// One request of a listing: a page may be empty and have others behind it, to which only its token
    /// leads.
    async fn list_part(
        &self,
        kind: Kind,
        prefix: &str,
        from: &str,
        limit: usize,
        token: &str,
    ) -> Result<ListObjectsResponse, TierError> {
        let size = i32::try_from(limit.clamp(1, PAGE_OBJECTS_MAX)).expect("a page is small");
        let asked = self.asked("the listing", "ListObjects");
        let answer = self.send(kind, asked, 0, |clients| {
            let request = clients.control.list_objects().set_parent(&self.bucket);
            let request = request.set_prefix(prefix).set_lexicographic_start(from);
            let request = request.set_page_size(size).set_page_token(token);
            request
                .set_read_mask(FieldMask::default().set_paths(["name", "size", "checksums"]))
                .send()
        });
        answer.await
    }

    async fn delete_one(&self, kind: Kind, at: &str, full: &str) -> Result<(), TierError> {
        let asked = self.asked(at, "DeleteObject");
        let answer = self.send(kind, asked, 0, |clients| async move {
            let request = clients.control.delete_object().set_bucket(&self.bucket);
            absent_is_none(request.set_object(full).send().await)
        });
        answer.await.map(drop)
    }

    async fn send_small(
        &self,
        name: &str,
        bytes: &Bytes,
        generation: Option<i64>,
    ) -> Result<String, TierError> {
        let full = self.place.small_key(name)?;
        let crc32c = digest(bytes).crc32c;
        let asked = self.asked(name, "WriteObject");
        let sent = self.send(Kind::Small, asked, bytes.len() as u64, |clients| {
            // No storage class: head and checkpoints are read often, which costs in a cold one.
            let request = clients
                .storage
                .write_object(&self.bucket, &full, bytes.clone())
                .set_cache_control(SMALL_CACHE_CONTROL)
                .with_known_crc32c(crc32c)
                .with_resumable_upload_threshold(usize::MAX);
            match generation {
                Some(generation) => request.set_if_generation_match(generation),
                None => request,
            }
            .send_buffered()
        });
        match sent.await?.generation {
            0 => Err(self.place.odd(name, "the answer has no generation")),
            generation => Ok(generation.to_string()),
        }
    }

    /// What is set for the bucket as a whole; `None` where these credentials may not ask.
    async fn bucket(&self) -> Result<Option<Bucket>, TierError> {
        let asked = self.asked("the bucket", "GetBucket");
        let answer = self.send(Kind::Small, asked, 0, |clients| {
            clients.control.get_bucket().set_name(&self.bucket).send()
        });
        unless_denied(answer.await)
    }
}

#[async_trait]
impl Tier for GcsTier {
    fn name(&self) -> &TierName {
        &self.place.name
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    async fn probe(&self) -> Result<Capabilities, TierError> {
        let full = self.place.small_key(PROBE)?;
        let body = Bytes::from_static(PROBE_BODY);
        let generation = self.write_small(PROBE, body.clone(), None).await?;
        // Other bytes than those that are there, which would pass for ours.
        let late = self.send_small(PROBE, &Bytes::new(), Some(0)).await;
        let conditional_writes = match late {
            Ok(_) => false,
            Err(TierError::Precondition { .. }) => true,
            Err(error) => return Err(error),
        };
        let found = self.read_small(PROBE).await?;
        if conditional_writes && found != Some((body, generation)) {
            return Err(self.place.odd(PROBE, "what was written does not come back"));
        }
        let described = self.describe(Kind::Small, PROBE, &full).await?;
        let stated = fields::stated(described.and_then(|object| object.checksums).as_ref());
        if !self.list_small(PROBE).await?.contains(&PROBE.to_owned()) {
            return Err(self.place.odd(PROBE, "what was written is not listed"));
        }
        self.delete_small(PROBE).await?;
        let bucket = self.bucket().await?;
        let bucket = bucket.as_ref();
        Ok(Capabilities {
            etag: match fields::etag(&stated) == PROBE_MD5 {
                true => EtagMeaning::Md5,
                false => EtagMeaning::Opaque,
            },
            conditional_writes,
            keeps_versions: bucket.map(|bucket| {
                let versioning = bucket.versioning.as_ref();
                versioning.is_some_and(|versioning| versioning.enabled)
            }),
            locks_objects: bucket.map(|bucket| {
                let each = bucket.object_retention.as_ref();
                bucket.retention_policy.is_some() || each.is_some_and(|each| each.enabled)
            }),
            copies_cheaply: true,
        })
    }

    async fn put(
        &self,
        key: &ObjectKey,
        body: Body,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        if body.size() != meta.size {
            return Err(self.place.mismatch(
                key.as_str(),
                format!("{} bytes, announced {}", body.size(), meta.size),
            ));
        }
        let path = match body {
            Body::Bytes(bytes) => return self.put_bytes(key, bytes, meta).await,
            Body::File { path, .. } => path,
        };
        let at = key.as_str();
        match self
            .place
            .bytes_of(at, &path, meta.size, large::IN_MEMORY_BYTES_MAX)?
        {
            Some(bytes) => self.put_bytes(key, bytes, meta).await,
            None => self.put_file(key, &path, meta).await,
        }
    }

    /// The CRC32C of the source is compared before the object is visible, so its ETag need not be.
    async fn copy(
        &self,
        from: &ObjectKey,
        _etag: Option<&str>,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let at = key.as_str();
        let (source, full) = (self.object_key(from)?, self.object_key(key)?);
        let destination = self.fields(key, meta).await?.into_object();
        let destination =
            destination.set_storage_class(self.storage_class.as_deref().unwrap_or_default());
        let mut token = String::new();
        for _ in 0..REWRITES_MAX {
            let asked = self.asked(at, "RewriteObject");
            let inside = self.timeouts.inside;
            let answer = self.send_within(inside, Kind::Copy, asked, 0, |clients| {
                let request = clients
                    .control
                    .rewrite_object()
                    .set_source_bucket(&self.bucket)
                    .set_source_object(&source)
                    .set_destination_bucket(&self.bucket)
                    .set_destination_name(&full);
                // Compared with the bytes before they become visible under the new name.
                let expected = ObjectChecksums::new().set_crc32c(meta.crc32c);
                request
                    .set_destination(destination.clone())
                    .set_object_checksums(expected)
                    .set_rewrite_token(&token)
                    .send()
            });
            let answer = answer.await?;
            if let Some(object) = answer.resource.filter(|_| answer.done) {
                return self.confirm(at, &object, meta);
            }
            token = answer.rewrite_token;
        }
        Err(self.place.odd(at, "the copy never ends"))
    }

    async fn reheader(
        &self,
        key: &ObjectKey,
        _etag: Option<&str>,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let at = key.as_str();
        let full = self.object_key(key)?;
        let Some(found) = self.describe(Kind::Head, at, &full).await? else {
            return Err(TierError::Rejected {
                tier: self.place.name.clone(),
                at: at.into(),
                cause: "there is no such object".into(),
            });
        };
        // Before anything vouches for the bytes.
        let confirmed = self.confirm(at, &found, meta)?;
        let object = self.fields(key, meta).await?.into_object();
        let object = object.set_bucket(&self.bucket).set_name(full);
        let asked = self.asked(at, "UpdateObject");
        let answer = self.send(Kind::Copy, asked, 0, |clients| {
            let request = clients.control.update_object();
            let request = request.set_object(object.clone());
            request
                .set_update_mask(FieldMask::default().set_paths(fields::MASK))
                .set_if_generation_match(found.generation)
                .send()
        });
        match answer.await {
            Ok(_) => Ok(confirmed),
            // Nobody else's doing on our objects: the one that was described is not there any more.
            Err(TierError::Precondition { .. }) => {
                let cause = "it was replaced while its metadata was to be";
                Err(self.place.mismatch(at, cause.into()))
            }
            Err(error) => Err(error),
        }
    }

    /// GCS has no batches here: as many requests as the tier may have in flight.
    async fn delete(&self, keys: &[ObjectKey]) -> Result<Vec<(ObjectKey, TierError)>, TierError> {
        let mut fulls = Vec::with_capacity(keys.len());
        for key in keys {
            fulls.push((key.clone(), self.object_key(key)?));
        }
        let deletes = fulls.into_iter().map(|(key, full)| async move {
            let deleted = self.delete_one(Kind::Delete, key.as_str(), &full).await;
            deleted.map_err(|error| (key, error))
        });
        let mut deletes = futures_util::stream::iter(deletes.collect::<Vec<_>>())
            .buffer_unordered(self.concurrency_max);
        let mut failed = Vec::new();
        while let Some(deleted) = deletes.next().await {
            match deleted {
                Ok(()) => {}
                // It concerns all of them.
                Err((_, error @ TierError::Refused { .. })) => return Err(error),
                Err((_, error @ TierError::Configuration { .. })) => return Err(error),
                Err(failure) => failed.push(failure),
            }
        }
        Ok(failed)
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Option<Fetched>, TierError> {
        let read = match range {
            None => ReadRange::all(),
            Some(range) if range.is_empty() => return bucket::nothing_of(self, key).await,
            Some(range) => {
                // The client counts in signed numbers.
                let end = range.end.min(i64::MAX.unsigned_abs());
                ReadRange::segment(range.start.min(end - 1), end - range.start.min(end - 1))
            }
        };
        let at = key.as_str();
        let full = self.object_key(key)?;
        let (body, beside) = match self.fetch(Kind::Get, at, &full, read).await? {
            Reading::Absent => return Ok(None),
            Reading::Beyond => return bucket::nothing_of(self, key).await,
            Reading::There(body, beside) => (body, *beside),
        };
        let mut etag = fields::etag(&fields::stated(beside.checksums.as_ref()));
        if beside
            .checksums
            .as_ref()
            .is_none_or(|sums| sums.md5_hash.is_empty())
        {
            // Proxies split the header that states both digests; the description has them for certain.
            let described = self.describe(Kind::Head, at, &full).await?;
            let same = described.filter(|object| object.generation == beside.generation);
            if let Some(object) = same {
                etag = fields::etag(&fields::stated(object.checksums.as_ref()));
            }
        }
        let size = size_of(beside.size);
        let found = fields::found_beside(beside);
        Ok(Some(Fetched {
            body,
            meta: bucket::whole_meta(self, key, &found, size).await?,
            etag,
        }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<Seen>, TierError> {
        let (at, full) = (key.as_str(), self.object_key(key)?);
        let Some(object) = self.describe(Kind::Head, at, &full).await? else {
            return Ok(None);
        };
        let stated = fields::stated(object.checksums.as_ref());
        let size = size_of(object.size);
        let found = fields::found_alone(object);
        Ok(Some(Seen {
            size,
            etag: fields::etag(&stated),
            stated,
            meta: bucket::whole_meta(self, key, &found, size).await?,
        }))
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError> {
        let from = match after {
            None => String::new(),
            Some(after) => format!("{}{after}", self.place.prefix),
        };
        // The start of a listing belongs to it: one more is asked for, if that fits in a page.
        let asked = limit.saturating_add(usize::from(after.is_some()));
        let answer = self.list_page(Kind::List, &self.place.prefix, &from, asked);
        let answer = answer.await?;
        let mut page = ListPage {
            more: !answer.next_page_token.is_empty(),
            last: after.map(str::to_owned),
            ..ListPage::default()
        };
        for object in answer.objects {
            let Some(raw) = object.name.strip_prefix(&self.place.prefix) else {
                continue;
            };
            if Some(raw) == after {
                continue;
            }
            if page.objects.len() == limit {
                // The place to go on from was no object any more, so one came too many.
                page.more = true;
                break;
            }
            page.last = Some(raw.to_owned());
            // What is no key (a console's marker of the prefix itself) cannot be an object of the site.
            let key = match ObjectKey::parse(raw) {
                Ok(key) if key.is_site() => key,
                Ok(_) => continue,
                Err(_) => {
                    page.odd.push(raw.to_owned());
                    continue;
                }
            };
            let stated = fields::stated(object.checksums.as_ref());
            page.objects.push(Listed {
                key,
                size: size_of(object.size),
                etag: fields::etag(&stated),
                stated,
            });
        }
        // Whoever asks for more after this would get the same page for ever.
        match page.more && page.last.as_deref() == after {
            true => Err(self
                .place
                .odd("the listing", "a listing that leads nowhere")),
            false => Ok(page),
        }
    }

    async fn read_small(&self, name: &str) -> Result<Option<(Bytes, String)>, TierError> {
        let full = self.place.small_key(name)?;
        let found = self.fetch(Kind::Small, name, &full, ReadRange::all());
        Ok(match found.await? {
            Reading::There(bytes, beside) => Some((bytes, beside.generation.to_string())),
            Reading::Absent | Reading::Beyond => None,
        })
    }

    async fn write_small(
        &self,
        name: &str,
        bytes: Bytes,
        expect: Option<Expect>,
    ) -> Result<String, TierError> {
        let generation = match &expect {
            None => None,
            // The generation of what is absent.
            Some(Expect::Absent) => Some(0),
            Some(Expect::Etag(etag)) => match etag.parse::<i64>() {
                Ok(generation) if generation > 0 => Some(generation),
                // No object here can ever have had it.
                _ => return Err(self.place.precondition(name)),
            },
        };
        match self.send_small(name, &bytes, generation).await {
            Err(TierError::Precondition { .. }) => {
                bucket::lost_answer(self, &self.place, name, &bytes).await
            }
            result => result,
        }
    }

    async fn delete_small(&self, name: &str) -> Result<(), TierError> {
        let full = self.place.small_key(name)?;
        self.delete_one(Kind::Small, name, &full).await
    }

    async fn list_small_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>, TierError> {
        let full = self.place.small_key(prefix)?;
        let mut listed: Vec<(String, u64)> = Vec::new();
        loop {
            let from = listed.last();
            let from = from.map_or(String::new(), |(last, _)| {
                format!("{}{last}", self.place.prefix)
            });
            let page = self.list_page(Kind::Small, &full, &from, PAGE_OBJECTS_MAX);
            let page = page.await?;
            let known = listed.len();
            for object in page.objects {
                let Some(raw) = object.name.strip_prefix(&self.place.prefix) else {
                    continue;
                };
                if listed.last().is_none_or(|(last, _)| last != raw) {
                    listed.push((raw.to_owned(), size_of(object.size)));
                }
            }
            // A page without anything new ends the loop, whatever the service says of more.
            if page.next_page_token.is_empty() || listed.len() == known {
                return Ok(listed);
            }
        }
    }

    /// A bucket acknowledges what is durable.
    async fn settle(&self) -> Result<(), TierError> {
        Ok(())
    }

    /// There is nothing to remove: an upload that was begun and not ended is kept for a week, costs
    /// nothing, and cannot be listed.
    async fn sweep(&self, _age: Duration) -> Result<u64, TierError> {
        Ok(0)
    }

    async fn leftovers(&self, _age: Duration) -> Result<u64, TierError> {
        Ok(0)
    }

    fn prices(&self) -> Prices {
        Prices {
            // A large body is announced by one request and sent by another, as long as nothing breaks.
            whole_bytes_max: large::WHOLE_BYTES_MAX,
            part_bytes: u64::MAX,
            around_parts: 1,
            // The bytes are looked at first.
            reheader: 2,
            deletes_at_once: 1,
        }
    }

    fn traffic(&self) -> Traffic {
        self.line.traffic()
    }
}

/// What became of a request for bytes.
enum Reading {
    There(Bytes, Box<ObjectHighlights>),
    Absent,
    /// There is an object, and it ends before the range begins.
    Beyond,
}

/// Sets on a write what every object of the site is stored with.
fn with_fields<P>(
    request: WriteObject<P>,
    fields: Fields,
    storage_class: Option<&str>,
) -> WriteObject<P> {
    let request = request
        .set_content_type(fields.content_type)
        .set_content_language(fields.content_language)
        .set_content_disposition(fields.content_disposition)
        .set_cache_control(fields.cache_control)
        .set_metadata(fields.metadata);
    match storage_class {
        Some(class) => request.set_storage_class(class),
        None => request,
    }
}

fn absent_is_none<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(error) if errors::is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sizes come as signed numbers.
fn size_of(size: i64) -> u64 {
    u64::try_from(size).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GcsCredentials;
    use crate::content::KeptHeaders;
    use crate::site::PageUrl;

    /// A tier whose service accepts connections and never says a word.
    async fn before_silence() -> (tokio::net::TcpListener, GcsTier) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let options = GcsOptions {
            bucket: "copy".into(),
            endpoint: Some(format!("http://{address}")),
            credentials: GcsCredentials::Anonymous,
            ..GcsOptions::default()
        };
        let name = TierName::parse("tertiary").expect("a name");
        let mut tier = GcsTier::new(name, &options, 8).expect("it can be made");
        tier.timeouts = Timeouts {
            answer: Duration::from_millis(20),
            stall: Duration::from_millis(20),
            inside: Duration::from_millis(20),
        };
        (listener, tier)
    }

    #[tokio::test]
    async fn a_service_that_says_nothing_is_known_in_time() {
        // It accepts and never answers: over HTTP and gRPC, with a body in memory and one in a file, the
        // error comes within our own time and says to come back later. With the real times it is 10 s.
        let (_listener, tier) = before_silence().await;
        let key = ObjectKey::parse("h/a").expect("a key");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("big");
        for size in [1, 2 << 20, 9 << 20] {
            let body = vec![7; size];
            std::fs::write(&path, &body).expect("written");
            let digest = digest(&body);
            let meta = ObjectMeta {
                url: PageUrl::parse("https://h/a").expect("a URL"),
                content: digest.content,
                crc32c: digest.crc32c,
                size: digest.size,
                status: 200,
                location: None,
                headers: KeptHeaders::default(),
                provenance: None,
            };
            let path = path.clone();
            let body = Body::File {
                path,
                size: digest.size,
            };
            is_told(tier.put(&key, body, &meta).await);
        }
        // Another one, since the line of the first will soon send nothing more.
        let (_listener, tier) = before_silence().await;
        is_told(tier.get(&key, None).await);
        is_told(tier.head(&key).await);
        is_told(tier.list(None, 10).await);
        assert!(TIMEOUTS.answer <= Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_silent_copy_is_not_waited_for_like_an_upload() {
        // Its bytes move inside the service, which says something about every piece: over the copy of a
        // terabyte silence is known as soon as over that of a page.
        let (_listener, tier) = before_silence().await;
        let meta = ObjectMeta {
            url: PageUrl::parse("https://h/a").expect("a URL"),
            content: digest(b"x").content,
            crc32c: 0,
            size: 1 << 40,
            status: 200,
            location: None,
            headers: KeptHeaders::default(),
            provenance: None,
        };
        let key = |text| ObjectKey::parse(text).expect("a key");
        let (from, to) = (key("h/a"), key("h/b"));
        let copied = timeout(Duration::from_secs(10), tier.copy(&from, None, &to, &meta));
        is_told(copied.await.expect("it is given up"));
        assert!(TIMEOUTS.inside < Duration::from_secs(60));
    }

    #[tokio::test]
    async fn a_dead_connection_is_left() {
        // Nobody tells us that a connection of gRPC is dead; after a request that was not answered the
        // next one goes over another.
        let (listener, tier) = before_silence().await;
        let key = ObjectKey::parse("h/a").expect("a key");
        is_told(tier.head(&key).await);
        is_told(tier.head(&key).await);
        for _ in 0..2 {
            let accepted = timeout(Duration::from_secs(10), listener.accept());
            accepted.await.expect("another one").expect("accepted");
        }
    }

    fn is_told<T: std::fmt::Debug>(result: Result<T, TierError>) {
        let error = result.expect_err("nobody answers");
        let is_told = matches!(error, TierError::Silent { .. });
        assert!(is_told, "{error}");
    }
}
