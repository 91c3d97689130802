//! Large bodies in parts: S3 takes 5 GB in one request, and a part that fails is cheaper to send
//! again than a whole attachment. Every part carries its own CRC32C, which the service verifies,
//! and the parts together are compared with the announced digest before the upload is completed.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::fields::Fields;
use super::{S3Tier, checksum, client, with_settings};
use crate::content::{Digest, Digester, digest};
use crate::site::ObjectKey;
use crate::tier::{Confirmed, ObjectMeta, TierError};

/// Files up to this size go in one request.
pub(super) const WHOLE_BYTES_MAX: u64 = 64 << 20;

/// Parts are at least this large and are held in memory one at a time.
pub(super) const PART_BYTES_MIN: u64 = 16 << 20;

/// S3 puts an object together from no more parts than this.
const PARTS_MAX: u64 = 10_000;

/// S3 keeps no object larger than this.
const OBJECT_BYTES_MAX: u64 = 5 << 40;

impl S3Tier {
    pub(super) async fn put_parts(
        &self,
        key: &ObjectKey,
        path: &Path,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let at = key.as_str();
        if meta.size > OBJECT_BYTES_MAX {
            return Err(self.unsupported(at, "S3 keeps no object above 5 TB"));
        }
        let full = self.object_key(key)?;
        let request = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(&full);
        let request = with_settings!(request, self, self.fields(key, meta).await?)
            .checksum_algorithm(ChecksumAlgorithm::Crc32C);
        let answer = request
            .send()
            .await
            .map_err(|error| self.failed(at, error))?;
        let Some(upload) = answer.upload_id() else {
            return Err(self.unsupported(at, "the service names no upload for its parts"));
        };
        let sent = match self.send_parts(key, &full, upload, path, meta).await {
            Ok(parts) => self.complete(at, &full, upload, parts, meta).await,
            Err(error) => Err(error),
        };
        if sent.is_err() {
            // Parts of an upload that is never completed are stored and paid for. If this fails
            // too, the bucket's rule for incomplete uploads removes them.
            let abort = self
                .client
                .abort_multipart_upload()
                .bucket(&self.bucket)
                .key(&full)
                .upload_id(upload);
            if let Err(error) = abort.send().await {
                tracing::debug!(tier = %self.name, key = at, %error, "an unfinished upload stays behind");
            }
        }
        sent
    }

    async fn send_parts(
        &self,
        key: &ObjectKey,
        full: &str,
        upload: &str,
        path: &Path,
        meta: &ObjectMeta,
    ) -> Result<Vec<CompletedPart>, TierError> {
        let at = key.as_str();
        let mut source =
            Source::open(path, meta.size).map_err(|source| self.unreadable(at, path, source))?;
        let mut parts = Vec::new();
        loop {
            let (returned, bytes) = source
                .next_part()
                .await
                .map_err(|source| self.unreadable(at, path, source))?;
            source = returned;
            if bytes.is_empty() {
                break;
            }
            let number = i32::try_from(parts.len() + 1).expect("at most 10,000 parts");
            let crc32c = checksum(digest(&bytes).crc32c);
            let size = bytes.len() as u64;
            let request = self
                .client
                .upload_part()
                .bucket(&self.bucket)
                .key(full)
                .upload_id(upload);
            let request = request
                .part_number(number)
                .checksum_crc32_c(&crc32c)
                .body(ByteStream::from(bytes));
            let patience = client::patience(size).unwrap_or_default();
            let answer = request.customize().config_override(patience).send().await;
            let answer = answer.map_err(|error| self.failed(at, error))?;
            let part = CompletedPart::builder()
                .part_number(number)
                .checksum_crc32_c(crc32c);
            parts.push(part.set_e_tag(answer.e_tag).build());
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
            false => Err(self.mismatch(at, format!("found {found:?}, announced {announced:?}"))),
        }
    }

    async fn complete(
        &self,
        at: &str,
        full: &str,
        upload: &str,
        parts: Vec<CompletedPart>,
        meta: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let request = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(full);
        let request = request
            .upload_id(upload)
            .multipart_upload(parts)
            .customize();
        let answer = request
            .config_override(client::patience(meta.size).unwrap_or_default())
            .send()
            .await;
        let answer = answer.map_err(|error| self.failed(at, error))?;
        self.check_answer(at, meta, answer.checksum_crc32_c())?;
        self.confirm(at, answer.e_tag(), meta.size)
    }

    fn unreadable(&self, at: &str, path: &Path, source: std::io::Error) -> TierError {
        TierError::Source {
            tier: self.name.clone(),
            at: at.into(),
            path: path.into(),
            source,
        }
    }
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
    async fn next_part(mut self) -> std::io::Result<(Source, Bytes)> {
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::new();
            (&self.file).take(self.part_bytes).read_to_end(&mut part)?;
            self.digester.update(&part);
            Ok((self, Bytes::from(part)))
        });
        match read.await {
            Ok(result) => result,
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
}
