//! Large bodies in parts: S3 takes 5 GB in one request, and a part that fails is cheaper to send
//! again than a whole attachment. Every part carries its own CRC32C, which the service verifies, and the
//! parts together are compared with the announced digest before the upload is completed; where the service
//! can, it compares the whole object with its CRC32C as well. What a kill leaves of an upload is swept later.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::fields::Fields;
use super::{S3Tier, checksum, client, errors, with_settings};
use crate::content::{Digest, Digester, crc32c};
use crate::site::ObjectKey;
use crate::tier::{Confirmed, Kind, ObjectMeta, Tier, TierError};

/// Files up to this size go in one request.
pub(super) const WHOLE_BYTES_MAX: u64 = 64 << 20;

/// Parts are at least this large and are held in memory one at a time.
pub(super) const PART_BYTES_MIN: u64 = 16 << 20;

/// S3 puts an object together from no more parts than this.
const PARTS_MAX: u64 = 10_000;

/// S3 keeps no object larger than this.
const OBJECT_BYTES_MAX: u64 = 5 << 40;

/// What becomes of uploads that were begun long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    Counted,
    Removed,
}

/// An upload that has been begun.
struct Upload<'a> {
    key: &'a ObjectKey,
    full: String,
    id: String,
    meta: &'a ObjectMeta,
    /// The service will compute the CRC32C of the whole object and compare it. Services that do not know
    /// this keep a checksum of the parts' checksums.
    is_checked_whole: bool,
}

impl S3Tier {
    pub(super) async fn put_parts(
        &self,
        key: &ObjectKey,
        path: &Path,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        if meta.size > OBJECT_BYTES_MAX {
            return Err(self
                .place
                .unsupported(key.as_str(), "S3 keeps no object above 5 TB"));
        }
        let upload = self.begin(key, meta).await?;
        let sent = match self.send_parts(&upload, path).await {
            Ok(parts) => self.complete(&upload, parts).await,
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // Parts of an upload that is never completed are stored and paid for. If this fails
            // too, a later sweep removes them.
            let abort = self.abort(&upload.full, &upload.id).await;
            if let Err(error) = abort {
                tracing::debug!(tier = %self.place.name, %key, %error, "an unfinished upload stays behind");
            }
        }
        sent
    }

    async fn begin<'a>(
        &self,
        key: &'a ObjectKey,
        meta: &'a ObjectMeta,
    ) -> Result<Upload<'a>, TierError> {
        let at = key.as_str();
        let full = self.place.object_key(key)?;
        let fields = self.fields(key, meta).await?;
        let client = self.client().await?;
        let send = || async {
            let request = client.create_multipart_upload().bucket(self.bucket());
            let request = with_settings!(request.key(&full), self, fields.clone())
                .checksum_algorithm(ChecksumAlgorithm::Crc32C)
                .checksum_type(ChecksumType::FullObject);
            let answer = request.send().await;
            answer.map_err(|error| self.asked(at, &errors::PARTS).failed(&error))
        };
        let answer = self.line.request(Kind::Put, send).await?;
        let is_checked_whole = answer.checksum_type() == Some(&ChecksumType::FullObject);
        let Some(id) = answer.upload_id else {
            return Err(self
                .place
                .unsupported(at, "the service names no upload for its parts"));
        };
        Ok(Upload {
            key,
            full,
            id,
            meta,
            is_checked_whole,
        })
    }

    async fn send_parts(
        &self,
        upload: &Upload<'_>,
        path: &Path,
    ) -> Result<Vec<CompletedPart>, TierError> {
        let (at, meta) = (upload.key.as_str(), upload.meta);
        let mut source = Source::open(path, meta.size)
            .map_err(|source| self.place.unreadable(at, path, source))?;
        let mut parts = Vec::new();
        loop {
            let (returned, part) = source
                .next_part()
                .await
                .map_err(|source| self.place.unreadable(at, path, source))?;
            source = returned;
            if part.bytes.is_empty() {
                break;
            }
            let number = i32::try_from(parts.len() + 1).expect("at most 10,000 parts");
            parts.push(self.send_part(upload, number, part).await?);
        }
        let (found, announced) = (
            source.digester.finish(),
            Digest {
                content: meta.content,
                crc32c: meta.crc32c,
                size: meta.size,
            },
        );
        match found == announced {
            true => Ok(parts),
            false => Err(self
                .place
                .mismatch(at, format!("found {found:?}, announced {announced:?}"))),
        }
    }

    async fn send_part(
        &self,
        upload: &Upload<'_>,
        number: i32,
        part: Part,
    ) -> Result<CompletedPart, TierError> {
        let at = upload.key.as_str();
        let Part { bytes, crc32c } = part;
        let size = bytes.len() as u64;
        let crc32c = checksum(crc32c);
        let client = self.client().await?;
        let send = || async {
            let request = client
                .upload_part()
                .bucket(self.bucket())
                .key(&upload.full)
                .upload_id(&upload.id)
                .part_number(number)
                .set_expected_bucket_owner(self.owner())
                .checksum_crc32_c(&crc32c)
                .body(ByteStream::from(bytes.clone()));
            let patience = client::patience(size).unwrap_or_default();
            let answer = request.customize().config_override(patience).send().await;
            answer.map_err(|error| self.asked(at, &errors::PARTS).failed(&error))
        };
        let answer = self.line.request_sized(Kind::Put, size, send).await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .checksum_crc32_c(crc32c);
        Ok(part.set_e_tag(answer.e_tag).build())
    }

    async fn complete(
        &self,
        upload: &Upload<'_>,
        parts: Vec<CompletedPart>,
    ) -> Result<Confirmed, TierError> {
        let (at, meta) = (upload.key.as_str(), upload.meta);
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let client = self.client().await?;
        let whole = upload.is_checked_whole;
        let request = client
            .complete_multipart_upload()
            .bucket(self.bucket())
            .key(&upload.full)
            .upload_id(&upload.id)
            .set_expected_bucket_owner(self.owner())
            .set_checksum_type(whole.then_some(ChecksumType::FullObject))
            .set_checksum_crc32_c(whole.then(|| checksum(meta.crc32c)))
            .multipart_upload(parts);
        let patience = client::patience_inside(meta.size).unwrap_or_default();
        let send = || async {
            let request = request.clone().customize();
            match request.config_override(patience.clone()).send().await {
                Ok(answer) => Ok(Some(answer)),
                Err(error) if error.code() == Some("NoSuchUpload") => Ok(None),
                Err(error) => Err(self.asked(at, &errors::PARTS).failed(&error)),
            }
        };
        let completed = self.line.request_sized(Kind::Put, meta.size, send).await?;
        let Some(answer) = completed else {
            return self.completed_before(upload).await;
        };
        self.check_answer(at, meta, answer.checksum_crc32_c())?;
        self.confirm(at, answer.e_tag(), meta.size)
    }

    /// The upload is gone: if exactly its object is there, an earlier attempt to complete it got through
    /// and its answer was lost on the way.
    async fn completed_before(&self, upload: &Upload<'_>) -> Result<Confirmed, TierError> {
        let (at, meta) = (upload.key.as_str(), upload.meta);
        match self.head(upload.key).await? {
            Some(seen) if seen.size == meta.size && seen.meta.as_ref() == Some(meta) => {
                self.confirm(at, Some(&seen.etag), meta.size)
            }
            _ => Err(TierError::Busy {
                tier: self.place.name.clone(),
                at: at.into(),
                cause: "its upload was removed before it was complete".into(),
                throttled: false,
                after: None,
            }),
        }
    }

    async fn abort(&self, full: &str, id: &str) -> Result<(), TierError> {
        let client = self.client().await?;
        let send = || async {
            let request = client
                .abort_multipart_upload()
                .bucket(self.bucket())
                .key(full)
                .upload_id(id)
                .set_expected_bucket_owner(self.owner());
            match request.send().await {
                Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
                Err(error) => Err(self.asked(full, &errors::PARTS).failed(&error)),
                Ok(_) => Ok(()),
            }
        };
        self.line.request(Kind::Delete, send).await
    }

    /// The uploads under our prefix that were begun more than `age` ago and never ended.
    pub(super) async fn old_uploads(&self, age: Duration, old: Old) -> Result<u64, TierError> {
        let newest = SystemTime::now().checked_sub(age);
        let (mut key_marker, mut id_marker) = (None, None);
        let mut found = 0;
        loop {
            let page = self.list_uploads(&key_marker, &id_marker).await?;
            for upload in page.uploads() {
                let begun = upload
                    .initiated()
                    .and_then(|at| SystemTime::try_from(*at).ok());
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else {
                    continue;
                };
                let is_old = begun
                    .zip(newest)
                    .is_some_and(|(begun, newest)| begun <= newest);
                if is_old && self.is_ours(key) {
                    if old == Old::Removed {
                        self.abort(key, id).await?;
                    }
                    found += 1;
                }
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            // A page that leads nowhere ends the loop, whatever the service says of more.
            if page.is_truncated != Some(true)
                || next.0.is_none()
                || next == (key_marker.clone(), id_marker.clone())
            {
                return Ok(found);
            }
            (key_marker, id_marker) = next;
        }
    }

    async fn list_uploads(
        &self,
        key_marker: &Option<String>,
        id_marker: &Option<String>,
    ) -> Result<ListMultipartUploadsOutput, TierError> {
        let client = self.client().await?;
        let request = client
            .list_multipart_uploads()
            .bucket(self.bucket())
            .set_expected_bucket_owner(self.owner())
            .set_prefix((!self.place.prefix.is_empty()).then(|| self.place.prefix.clone()))
            .set_key_marker(key_marker.clone())
            .set_upload_id_marker(id_marker.clone());
        let send = || async {
            let asked = self.asked("unfinished uploads", &errors::UPLOADS);
            request
                .clone()
                .send()
                .await
                .map_err(|error| asked.failed(&error))
        };
        self.line.request(Kind::Small, send).await
    }

    /// Whether an upload may be one of this tier: it would become an object of the site.
    fn is_ours(&self, full: &str) -> bool {
        let raw = full.strip_prefix(&self.place.prefix);
        raw.is_some_and(|raw| ObjectKey::parse(raw).is_ok_and(|key| key.is_site()))
    }
}

/// A part with the checksum that is sent along.
struct Part {
    bytes: Bytes,
    crc32c: u32,
}

/// A file that is read part by part and digested on the way.
struct Source {
    file: File,
    digester: Digester,
    part_bytes: u64,
}

impl Source {
    fn open(path: &Path, size: u64) -> std::io::Result<Source> {
        let part_bytes = PART_BYTES_MIN.max(size.div_ceil(PARTS_MAX));
        Ok(Source {
            file: File::open(path)?,
            digester: Digester::new(),
            part_bytes,
        })
    }

    /// The next part, empty at the end; reading and hashing 16 MB takes a thread's time.
    async fn next_part(mut self) -> std::io::Result<(Source, Part)> {
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::with_capacity(self.part_bytes as usize);
            (&self.file).take(self.part_bytes).read_to_end(&mut part)?;
            self.digester.update(&part);
            let crc32c = crc32c(&part);
            let bytes = Bytes::from(part);
            Ok((self, Part { bytes, crc32c }))
        });
        match read.await {
            Ok(result) => result,
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
}
