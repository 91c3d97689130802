//! A copy of the site in a bucket, with any service that speaks S3. The official client signs and sends;
//! here is what it is asked for. `client.rs` finds region and credentials and sets timeouts, `fields.rs`
//! knows the fields that S3 has for headers, `errors.rs` says what an answer means, `large.rs` uploads in
//! parts, `probe.rs` finds out what a bucket can do. Every request goes through the tier's line
//! (`../line.rs`), which repeats what failed for a moment.

mod client;
mod errors;
mod fields;
mod large;
mod probe;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CopyObjectResult, Delete, EncodingType, MetadataDirective,
    ObjectCannedAcl, ObjectIdentifier, ServerSideEncryption, StorageClass,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::sync::OnceCell;

use super::bucket::{self, Place};
use super::error::one_line;
use super::metadata::Found;
use super::{
    Body, Capabilities, Confirmed, Expect, Fetched, Kind, Line, ListPage, Listed, ObjectMeta,
    Prices, Seen, ServicePlace, Stated, Tier, TierError, Traffic,
};
use crate::config::{S3Options, TierName};
use crate::content::ContentHash;
use crate::site::ObjectKey;
use errors::{Asked, Operation, Said};
use fields::Fields;
use large::Old;

/// Files up to this size are read into memory and sent like any other bytes: the client's own
/// file stream costs three times the CPU. 32 requests in flight hold 32 MB of them.
const IN_MEMORY_BYTES_MAX: u64 = 1 << 20;

/// S3 takes and copies no more than this in one request.
const SINGLE_BYTES_MAX: u64 = 5 << 30;

/// S3 lists and deletes this many keys a request.
const BATCH_KEYS_MAX: usize = 1000;

/// See the paragraph of this folder.
pub struct S3Tier {
    place: Place,
    location: String,
    options: S3Options,
    line: Line,
    /// Made with the first request: until then nobody has looked for credentials.
    client: OnceCell<Client>,
    storage_class: Option<StorageClass>,
    encryption: Option<ServerSideEncryption>,
    acl: Option<ObjectCannedAcl>,
}

/// The bytes of a body, as often as they are sent.
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

/// Sets on a put, a copy or a multipart upload what every object of the site is stored with;
/// the three builders share their setters but no trait.
macro_rules! with_settings {
    ($request:expr, $tier:expr, $fields:expr) => {{
        let fields: Fields = $fields;
        $request
            .set_content_type(fields.content_type)
            .set_content_language(fields.content_language)
            .set_content_disposition(fields.content_disposition)
            .set_cache_control(fields.cache_control)
            .set_expires(fields.expires)
            .set_website_redirect_location(fields.website_redirect)
            .set_metadata(Some(fields.metadata))
            .set_storage_class($tier.storage_class.clone())
            .set_server_side_encryption($tier.encryption.clone())
            .set_ssekms_key_id($tier.options.kms_key_id.clone())
            .set_acl($tier.acl.clone())
            .set_expected_bucket_owner($tier.owner())
    }};
}
use with_settings;

impl S3Tier {
    /// Sends nothing and looks for nothing yet. `concurrency_max` bounds the requests in flight.
    ///
    /// # Errors
    /// Credentials of the tier's own of which one half is missing.
    pub fn new(
        name: TierName,
        options: &S3Options,
        concurrency_max: usize,
    ) -> Result<S3Tier, TierError> {
        client::own_credentials(&name, options)?;
        Ok(S3Tier {
            location: client::location(options),
            line: Line::new(name.clone(), concurrency_max),
            place: Place::new(name, &options.prefix),
            client: OnceCell::new(),
            storage_class: options.storage_class.as_deref().map(StorageClass::from),
            encryption: options.sse.as_deref().map(ServerSideEncryption::from),
            acl: options.acl.as_deref().map(ObjectCannedAcl::from),
            options: options.clone(),
        })
    }

    async fn client(&self) -> Result<&Client, TierError> {
        let connect = || client::connect(&self.place.name, &self.options);
        self.client.get_or_try_init(connect).await
    }

    fn bucket(&self) -> &str {
        &self.options.bucket
    }

    /// Whose the bucket must be, which the service checks with every request.
    fn owner(&self) -> Option<String> {
        self.options.expected_bucket_owner.clone()
    }

    fn asked<'a>(&'a self, at: &'a str, operation: &'static Operation) -> Asked<'a> {
        Asked {
            tier: &self.place.name,
            bucket: self.bucket(),
            at,
            operation,
        }
    }

    async fn put_whole(
        &self,
        key: &ObjectKey,
        source: &Source,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let at = key.as_str();
        let full = self.place.object_key(key)?;
        let fields = self.fields(key, meta).await?;
        let client = self.client().await?;
        let send = || async {
            let body = self.stream(at, source).await?;
            let request = client.put_object().bucket(self.bucket()).key(&full);
            let request = with_settings!(request, self, fields.clone())
                .checksum_crc32_c(checksum(meta.crc32c))
                .body(body);
            let answer = match client::patience(meta.size) {
                None => request.send().await,
                Some(patience) => request.customize().config_override(patience).send().await,
            };
            answer.map_err(|error| self.asked(at, &errors::PUT).failed(&error))
        };
        let sent = self.line.request_sized(Kind::Put, meta.size, send);
        let answer = sent.await?;
        self.check_answer(at, meta, answer.checksum_crc32_c())?;
        self.confirm(at, answer.e_tag(), meta.size)
    }

    /// The fields for an object's metadata; what does not fit into them is written first.
    async fn fields(&self, key: &ObjectKey, meta: &ObjectMeta) -> Result<Fields, TierError> {
        let (fields, record) = fields::encode(key, meta);
        if let Some((name, bytes)) = record {
            self.write_small(&name, bytes, None).await?;
        }
        Ok(fields)
    }

    /// The service has verified the checksum that was sent; if it reports one, it must be that.
    fn check_answer(
        &self,
        at: &str,
        meta: &ObjectMeta,
        reported: Option<&str>,
    ) -> Result<(), TierError> {
        match reported {
            Some(found) if is_of_whole(reported) && found != checksum(meta.crc32c) => {
                Err(self.place.mismatch(
                    at,
                    format!(
                        "the service has CRC32C {found}, expected {}",
                        checksum(meta.crc32c)
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    fn confirm(&self, at: &str, etag: Option<&str>, size: u64) -> Result<Confirmed, TierError> {
        match etag {
            Some(etag) => Ok(Confirmed {
                etag: unquoted(etag),
                size,
            }),
            None => Err(self.place.odd(at, "the answer has no ETag")),
        }
    }

    async fn fetch(
        &self,
        kind: Kind,
        at: &str,
        full: &str,
        range: Option<String>,
    ) -> Result<Reading, TierError> {
        let client = self.client().await?;
        let asked = self.asked(at, &errors::GET);
        let send = || async {
            let request = client.get_object().bucket(self.bucket()).key(full);
            let request = request.set_expected_bucket_owner(self.owner());
            let answer = match request.set_range(range.clone()).send().await {
                Err(error) if error.code() == Some("NoSuchKey") => return Ok(Reading::Absent),
                Err(error) if errors::is_beyond(&error) => return Ok(Reading::Beyond),
                answer => answer.map_err(|error| asked.failed(&error))?,
            };
            let whole = Whole {
                size: size_of_whole(answer.content_range(), answer.content_length()),
                etag: unquoted(answer.e_tag().unwrap_or_default()),
            };
            let found = fields::found(
                [
                    answer.content_type,
                    answer.content_language,
                    answer.content_disposition,
                    answer.cache_control,
                    answer.expires_string,
                ],
                answer.metadata,
            );
            let body = answer.body.collect().await;
            let body = body.map_err(|error| asked.unreachable(&error))?;
            Ok(Reading::There(body.into_bytes(), Box::new((found, whole))))
        };
        self.line.request(kind, send).await
    }

    /// Copies inside the bucket, if `from` has that ETag; what the service says of the result is
    /// compared with `meta`.
    async fn copy_object(
        &self,
        source: (&str, String),
        etag: Option<&str>,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<CopyObjectResult, TierError> {
        let at = key.as_str();
        if meta.size > SINGLE_BYTES_MAX {
            return Err(self.place.unsupported(
                at,
                "S3 copies no more than 5 GB in one request; the object is put again",
            ));
        }
        let full = self.place.object_key(key)?;
        let (bucket, from) = source;
        let source = utf8_percent_encode(&from, NON_ALPHANUMERIC);
        let source = format!("{bucket}/{source}");
        let fields = self.fields(key, meta).await?;
        let client = self.client().await?;
        let send = || async {
            let request = client
                .copy_object()
                .bucket(self.bucket())
                .key(&full)
                .copy_source(&source)
                .set_copy_source_if_match(etag.map(|etag| format!("\"{etag}\"")))
                .set_expected_source_bucket_owner(self.owner());
            let request = with_settings!(request, self, fields.clone())
                .metadata_directive(MetadataDirective::Replace)
                .checksum_algorithm(ChecksumAlgorithm::Crc32C);
            let answer = match client::patience_inside(meta.size) {
                None => request.send().await,
                Some(patience) => request.customize().config_override(patience).send().await,
            };
            answer.map_err(|error| self.asked(at, &errors::COPY).failed(&error))
        };
        let result = match self.line.request(Kind::Copy, send).await {
            Ok(answer) => answer
                .copy_object_result
                .unwrap_or_else(|| CopyObjectResult::builder().build()),
            // Nobody else's doing: the source is not what was recorded.
            Err(TierError::Precondition { .. }) => {
                let cause = format!("{from} has another ETag than was recorded");
                return Err(self.place.mismatch(at, cause));
            }
            Err(error) => return Err(error),
        };
        self.check_answer(at, meta, result.checksum_crc32_c())?;
        Ok(result)
    }

    /// Where nothing else vouches for the bytes of a copy, the answer must: nobody has seen them.
    fn must_state(&self, at: &str, result: &CopyObjectResult) -> Result<(), TierError> {
        if is_of_whole(result.checksum_crc32_c()) {
            return Ok(());
        }
        let cause = "the service says nothing about the bytes that it copied";
        Err(self.place.mismatch(at, cause.into()))
    }

    async fn list_page(
        &self,
        kind: Kind,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ListObjectsV2Output, TierError> {
        let keys = i32::try_from(limit.clamp(1, BATCH_KEYS_MAX)).expect("a batch is small");
        let client = self.client().await?;
        // A listing without a prefix is one of the whole bucket; some services refuse an empty one.
        let request = client
            .list_objects_v2()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner())
            .set_prefix((!prefix.is_empty()).then(|| prefix.to_owned()))
            .set_start_after(after.map(|after| format!("{}{after}", self.place.prefix)))
            .max_keys(keys)
            .encoding_type(EncodingType::Url);
        let send = || async {
            let answer = request.clone().send().await;
            answer.map_err(|error| self.asked("the listing", &errors::LIST).failed(&error))
        };
        self.line.request(kind, send).await
    }

    /// Raw keys of a page without the tier's prefix.
    fn raw_keys<'a>(
        &self,
        page: &'a ListObjectsV2Output,
    ) -> impl Iterator<Item = (String, &'a aws_sdk_s3::types::Object)> {
        // Services that do not know the encoding answer plainly and do not name it.
        let encoded = page.encoding_type() == Some(&EncodingType::Url);
        let prefix = self.place.prefix.clone();
        page.contents().iter().filter_map(move |object| {
            let key = object.key()?;
            let key = if encoded {
                decoded(key)
            } else {
                key.to_owned()
            };
            Some((key.strip_prefix(&prefix)?.to_owned(), object))
        })
    }

    async fn delete_batch(
        &self,
        keys: &[ObjectKey],
    ) -> Result<Vec<(ObjectKey, TierError)>, TierError> {
        let mut objects = Vec::with_capacity(keys.len());
        for key in keys {
            let object = ObjectIdentifier::builder().key(self.place.object_key(key)?);
            objects.push(object.build().expect("the key is set"));
        }
        let batch = Delete::builder().set_objects(Some(objects)).quiet(true);
        let batch = batch.build().expect("the objects are set");
        let client = self.client().await?;
        let request = client
            .delete_objects()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner())
            .delete(batch);
        let send = || async {
            let asked = self.asked("a batch of deletes", &errors::DELETE);
            let answer = request.clone().send().await;
            answer.map_err(|error| asked.failed(&error))
        };
        let answer = self.line.request(Kind::Delete, send).await?;
        let mut failed = Vec::new();
        for error in answer.errors() {
            let raw = error
                .key()
                .and_then(|key| key.strip_prefix(&self.place.prefix));
            let key = keys.iter().find(|key| Some(key.as_str()) == raw);
            let said = Said {
                code: error.code().unwrap_or_default(),
                message: error.message(),
                ..Said::default()
            };
            let Some(key) = key else {
                return Err(self.stray(&said, error.key()));
            };
            let reason = self.asked(key.as_str(), &errors::DELETE).said(said);
            failed.push((key.clone(), reason));
        }
        Ok(failed)
    }

    /// After a failure in a batch that is none of its keys': of which object it tells is not known, so
    /// none of them counts as deleted.
    fn stray(&self, said: &Said<'_>, key: Option<&str>) -> TierError {
        let Said { code, message, .. } = *said;
        let (key, message) = (key.unwrap_or_default(), message.unwrap_or_default());
        let cause = format!("a failure of no key that was asked for: {key:?} {code} {message}");
        self.place.odd("a batch of deletes", &one_line(&cause))
    }

    /// One write of a small object, under a condition or none.
    async fn send_small(
        &self,
        name: &str,
        bytes: &Bytes,
        expect: Option<&Expect>,
    ) -> Result<String, TierError> {
        let full = self.place.small_key(name)?;
        let crc32c = checksum(crate::content::digest(bytes).crc32c);
        let client = self.client().await?;
        let send = || async {
            let request = client.put_object().bucket(self.bucket()).key(&full);
            // No storage class: head and checkpoints are read often and must never be in an archive.
            let request = request
                .set_server_side_encryption(self.encryption.clone())
                .set_ssekms_key_id(self.options.kms_key_id.clone())
                .set_acl(self.acl.clone())
                .set_expected_bucket_owner(self.owner())
                .checksum_crc32_c(&crc32c)
                .body(ByteStream::from(bytes.clone()));
            let request = match expect {
                None => request,
                Some(Expect::Absent) => request.if_none_match("*"),
                Some(Expect::Etag(etag)) => request.if_match(format!("\"{etag}\"")),
            };
            let patience = client::patience(bytes.len() as u64).unwrap_or_default();
            match request.customize().config_override(patience).send().await {
                Ok(answer) => Ok(self.confirm(name, answer.e_tag(), 0)?.etag),
                // The answer to `If-Match` where there is nothing to match.
                Err(error) if error.code() == Some("NoSuchKey") => {
                    Err(self.place.precondition(name))
                }
                Err(error) => Err(self.asked(name, &errors::PUT).failed(&error)),
            }
        };
        let sent = self
            .line
            .request_sized(Kind::Small, bytes.len() as u64, send);
        sent.await
    }

    /// What will be read for a file of this size, which must be the announced one.
    fn source_of(&self, key: &ObjectKey, path: PathBuf, size: u64) -> Result<Source, TierError> {
        let at = key.as_str();
        let bytes = self.place.bytes_of(at, &path, size, IN_MEMORY_BYTES_MAX)?;
        Ok(bytes.map_or(Source::File(path), Source::Bytes))
    }

    async fn stream(&self, at: &str, source: &Source) -> Result<ByteStream, TierError> {
        match source {
            Source::Bytes(bytes) => Ok(ByteStream::from(bytes.clone())),
            Source::File(path) => {
                let stream = ByteStream::from_path(path).await;
                stream.map_err(|error| {
                    self.place
                        .unreadable(at, path, std::io::Error::other(error))
                })
            }
        }
    }
}

#[async_trait]
impl Tier for S3Tier {
    fn name(&self) -> &TierName {
        &self.place.name
    }

    fn location(&self) -> String {
        self.location.clone()
    }

    async fn probe(&self) -> Result<Capabilities, TierError> {
        self.find_out().await
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
        match body {
            Body::Bytes(bytes) => self.put_whole(key, &Source::Bytes(bytes), meta).await,
            Body::File { path, size } if size <= large::WHOLE_BYTES_MAX => {
                let source = self.source_of(key, path, size)?;
                self.put_whole(key, &source, meta).await
            }
            Body::File { path, .. } => self.put_parts(key, &path, meta).await,
        }
    }

    async fn reheader(
        &self,
        key: &ObjectKey,
        etag: Option<&str>,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        self.copy(key, etag, key, meta).await
    }

    async fn copy(
        &self,
        from: &ObjectKey,
        etag: Option<&str>,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let source = (self.bucket(), self.place.object_key(from)?);
        let result = self.copy_object(source, etag, key, meta).await?;
        // The same ETag as was recorded for these bytes says as much as a checksum.
        let copied = result.e_tag().map(unquoted);
        if copied.is_none() || copied.as_deref() != etag {
            self.must_state(key.as_str(), &result)?;
        }
        self.confirm(key.as_str(), result.e_tag(), meta.size)
    }

    async fn copy_across(
        &self,
        from: &ServicePlace,
        etag: Option<&str>,
        key: &ObjectKey,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let ours = self.service_place().map(|ours| ours.service);
        if ours.as_ref() != Some(&from.service) {
            let cause = "the other tier is of another service, or of other credentials";
            return Err(self.place.unsupported(key.as_str(), cause));
        }
        let source = (from.bucket.as_str(), format!("{}{key}", from.prefix));
        let result = self.copy_object(source, etag, key, meta).await?;
        let copied = result.e_tag().map(unquoted);
        if copied.is_none() || copied.as_deref() != etag {
            self.must_state(key.as_str(), &result)?;
        }
        self.confirm(key.as_str(), result.e_tag(), meta.size)
    }

    /// By the settings: who asks is told by the key's id, where there is one.
    fn service_place(&self) -> Option<ServicePlace> {
        let options = &self.options;
        let who = options.access_key_id.as_ref().map(|id| id.expose());
        let asked = (&options.endpoint, &options.region, who, self.owner());
        Some(ServicePlace {
            service: ContentHash::of(format!("{asked:?}").as_bytes()).to_string(),
            bucket: options.bucket.clone(),
            prefix: self.place.prefix.clone(),
        })
    }

    async fn delete(&self, keys: &[ObjectKey]) -> Result<Vec<(ObjectKey, TierError)>, TierError> {
        let mut failed = Vec::new();
        for batch in keys.chunks(BATCH_KEYS_MAX) {
            failed.extend(self.delete_batch(batch).await?);
        }
        Ok(failed)
    }

    async fn get(
        &self,
        key: &ObjectKey,
        range: Option<Range<u64>>,
    ) -> Result<Option<Fetched>, TierError> {
        if range.as_ref().is_some_and(Range::is_empty) {
            return bucket::nothing_of(self, key).await;
        }
        let header = range
            .as_ref()
            .map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let full = self.place.object_key(key)?;
        let fetched = self.fetch(Kind::Get, key.as_str(), &full, header).await?;
        let (body, beside) = match fetched {
            Reading::Absent => return Ok(None),
            Reading::Beyond => return bucket::nothing_of(self, key).await,
            Reading::There(body, beside) => (body, beside),
        };
        let (found, whole) = *beside;
        Ok(Some(Fetched {
            meta: bucket::whole_meta(self, key, &found, whole.size).await?,
            body,
            etag: whole.etag,
        }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<Seen>, TierError> {
        let at = key.as_str();
        let full = self.place.object_key(key)?;
        let client = self.client().await?;
        let send = || async {
            let request = client.head_object().bucket(self.bucket()).key(&full);
            let request = request
                .set_expected_bucket_owner(self.owner())
                .checksum_mode(ChecksumMode::Enabled);
            match request.send().await {
                // A head has no body, and with it no code but that of its status.
                Err(SdkError::ServiceError(refused)) if refused.raw().status().as_u16() == 404 => {
                    Ok(None)
                }
                Err(error) => Err(self.asked(at, &errors::HEAD).failed(&error)),
                Ok(answer) => Ok(Some(answer)),
            }
        };
        let Some(answer) = self.line.request(Kind::Head, send).await? else {
            return Ok(None);
        };
        let size = size_of_whole(None, answer.content_length());
        let etag = unquoted(answer.e_tag().unwrap_or_default());
        let stated = Stated {
            crc32c: answer.checksum_crc32_c().and_then(crc32c_of),
            ..stated(&etag)
        };
        let found = fields::found(
            [
                answer.content_type,
                answer.content_language,
                answer.content_disposition,
                answer.cache_control,
                answer.expires_string,
            ],
            answer.metadata,
        );
        Ok(Some(Seen {
            size,
            etag,
            stated,
            meta: bucket::whole_meta(self, key, &found, size).await?,
        }))
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError> {
        let answer = self
            .list_page(Kind::List, &self.place.prefix, after, limit)
            .await?;
        let mut page = ListPage {
            more: answer.is_truncated() == Some(true),
            last: after.map(str::to_owned),
            ..ListPage::default()
        };
        for (raw, object) in self.raw_keys(&answer) {
            page.last = Some(raw.clone());
            // What is no key (a console's marker of the prefix itself) cannot be an object of the site.
            let key = match ObjectKey::parse(&raw) {
                Ok(key) if key.is_site() => key,
                Ok(_) => continue,
                Err(_) => {
                    page.odd.push(raw);
                    continue;
                }
            };
            let etag = unquoted(object.e_tag().unwrap_or_default());
            page.objects.push(Listed {
                key,
                size: size_of_whole(None, object.size()),
                stated: stated(&etag),
                etag,
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
        Ok(match self.fetch(Kind::Small, name, &full, None).await? {
            Reading::There(bytes, beside) => Some((bytes, beside.1.etag)),
            Reading::Absent | Reading::Beyond => None,
        })
    }

    async fn write_small(
        &self,
        name: &str,
        bytes: Bytes,
        expect: Option<Expect>,
    ) -> Result<String, TierError> {
        match self.send_small(name, &bytes, expect.as_ref()).await {
            Err(TierError::Precondition { .. }) => {
                bucket::lost_answer(self, &self.place, name, &bytes).await
            }
            // Services that do not know conditions say so by 501 or 400; what else is wrong with the
            // request, the plain one is told again.
            Err(TierError::Unsupported { .. } | TierError::Rejected { .. }) if expect.is_some() => {
                // Recorded by the probe, which is where it is complained about.
                tracing::debug!(tier = %self.place.name, name, "written without its condition");
                self.send_small(name, &bytes, None).await
            }
            result => result,
        }
    }

    async fn delete_small(&self, name: &str) -> Result<(), TierError> {
        let full = self.place.small_key(name)?;
        let client = self.client().await?;
        let send = || async {
            let request = client.delete_object().bucket(self.bucket()).key(&full);
            match request.set_expected_bucket_owner(self.owner()).send().await {
                Err(error) if error.code() == Some("NoSuchKey") => Ok(()),
                Err(error) => Err(self.asked(name, &errors::DELETE).failed(&error)),
                Ok(_) => Ok(()),
            }
        };
        self.line.request(Kind::Small, send).await
    }

    async fn list_small_sizes(&self, prefix: &str) -> Result<Vec<(String, u64)>, TierError> {
        let full = self.place.small_key(prefix)?;
        let mut listed: Vec<(String, u64)> = Vec::new();
        loop {
            let from = listed.last().map(|(name, _)| name.as_str());
            let page = self.list_page(Kind::Small, &full, from, BATCH_KEYS_MAX);
            let page = page.await?;
            let known = listed.len();
            let sized = |(raw, object): (String, &aws_sdk_s3::types::Object)| {
                (raw, size_of_whole(None, object.size()))
            };
            listed.extend(self.raw_keys(&page).map(sized));
            // A page without anything new ends the loop, whatever the service says of more.
            if page.is_truncated() != Some(true) || listed.len() == known {
                return Ok(listed);
            }
        }
    }

    /// A bucket acknowledges what is durable.
    async fn settle(&self) -> Result<(), TierError> {
        Ok(())
    }

    async fn sweep(&self, age: Duration) -> Result<u64, TierError> {
        self.old_uploads(age, Old::Removed).await
    }

    async fn leftovers(&self, age: Duration) -> Result<u64, TierError> {
        self.old_uploads(age, Old::Counted).await
    }

    fn prices(&self) -> Prices {
        Prices {
            whole_bytes_max: large::WHOLE_BYTES_MAX,
            part_bytes: large::PART_BYTES_MIN,
            around_parts: 2,
            reheader: 1,
            deletes_at_once: BATCH_KEYS_MAX as u64,
        }
    }

    fn traffic(&self) -> Traffic {
        self.line.traffic()
    }
}

/// True for a checksum of all bytes; one of several parts is a checksum of checksums, and ends in
/// their number.
fn is_of_whole(checksum: Option<&str>) -> bool {
    checksum.is_some_and(|checksum| !checksum.contains('-'))
}

/// A CRC32C as S3 writes it.
fn checksum(crc32c: u32) -> String {
    BASE64_STANDARD.encode(crc32c.to_be_bytes())
}

/// What became of a request for bytes.
enum Reading {
    There(Bytes, Box<(Found, Whole)>),
    Absent,
    /// There is an object, and it ends before the range begins.
    Beyond,
}

/// What an answer says of the object as a whole.
struct Whole {
    size: u64,
    etag: String,
}

/// The size of an object, of which an answer may hold a part: `bytes 0-9/100`.
fn size_of_whole(content_range: Option<&str>, length: Option<i64>) -> u64 {
    let total = content_range.and_then(|range| range.rsplit('/').next()?.parse().ok());
    total
        .or_else(|| length.and_then(|length| u64::try_from(length).ok()))
        .unwrap_or_default()
}

/// What an ETag states, if it is an MD5. (One of several parts is not, nor one of KMS; where it only
/// looks like one, an object is taken for another and written again.)
fn stated(etag: &str) -> Stated {
    let mut md5 = [0; 16];
    let is_md5 = etag.len() == 32
        && md5
            .iter_mut()
            .zip(etag.as_bytes().chunks(2))
            .all(|(byte, pair)| {
                let text = std::str::from_utf8(pair).ok();
                let parsed = text.and_then(|text| u8::from_str_radix(text, 16).ok());
                parsed.map(|parsed| *byte = parsed).is_some()
            });
    Stated {
        md5: is_md5.then_some(md5),
        ..Stated::default()
    }
}

/// Reads what [`checksum`] writes.
fn crc32c_of(text: &str) -> Option<u32> {
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// Undoes the encoding of a listing: that of forms, where a space is a `+`.
fn decoded(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
