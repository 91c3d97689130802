//! What a bucket, with the credentials that the tier has, can do: found out with one small object of our
//! own, `.standin/probe`, before anything of the site is written. What is missing and needed is said here,
//! with the permission that would help, and not by the ten-thousandth object of a run.

use bytes::Bytes;

use super::{S3Tier, errors};
use crate::content::digest;
use crate::tier::bucket::{PROBE, PROBE_BODY, PROBE_MD5};
use crate::tier::error::unless_denied;
use crate::tier::{Capabilities, EtagMeaning, Expect, Kind, Tier, TierError};

impl S3Tier {
    /// See [`Tier::probe`](crate::tier::Tier::probe).
    pub(super) async fn find_out(&self) -> Result<Capabilities, TierError> {
        let body = Bytes::from_static(PROBE_BODY);
        let etag = self.send_small(PROBE, &body, None).await?;
        // Both conditions fail where they are heeded: the object is there, and under another ETag.
        let absent = self.is_refused(&body, Expect::Absent).await?;
        let other = Expect::Etag("0".repeat(32));
        let conditional_writes = absent && self.is_refused(&body, other).await?;
        if !conditional_writes {
            tracing::warn!(tier = %self.place.name, "this service has no conditional writes: a second writer to this tier would not be noticed");
        }
        self.read_back(&body).await?;
        self.list_page(Kind::Small, &self.place.small_key(PROBE)?, None, 1)
            .await?;
        self.delete_small(PROBE).await?;
        Ok(Capabilities {
            etag: match etag == PROBE_MD5 {
                true => EtagMeaning::Md5,
                false => EtagMeaning::Opaque,
            },
            conditional_writes,
            keeps_versions: self.keeps_versions().await?,
            locks_objects: self.locks_objects().await?,
            copies_cheaply: true,
        })
    }

    /// Whether a write is refused whose condition does not hold. Services that do not know conditions
    /// say so in various ways, or write.
    async fn is_refused(&self, body: &Bytes, expect: Expect) -> Result<bool, TierError> {
        match self.send_small(PROBE, body, Some(&expect)).await {
            Ok(_) => Ok(false),
            Err(TierError::Precondition { .. }) => Ok(true),
            Err(TierError::Unsupported { .. } | TierError::Rejected { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn read_back(&self, body: &Bytes) -> Result<(), TierError> {
        let found = self.read_small(PROBE).await?.map(|(found, _)| found);
        if found.as_ref() == Some(body) {
            return Ok(());
        }
        Err(TierError::Refused {
            tier: self.place.name.clone(),
            at: PROBE.into(),
            cause: match found {
                None => format!("bucket {}: it was written and is not there", self.bucket()),
                Some(found) => format!(
                    "bucket {}: it was written and reads as {} other bytes, BLAKE3 {}",
                    self.bucket(),
                    found.len(),
                    digest(&found).content
                ),
            },
            remedy: "find out what stands between this machine and the bucket; a mirror cannot be kept in it",
        })
    }

    /// `None` where the answer is refused or unheard of.
    async fn keeps_versions(&self) -> Result<Option<bool>, TierError> {
        use aws_sdk_s3::types::BucketVersioningStatus::Enabled;
        let client = self.client().await?;
        let send = || async {
            let request = client.get_bucket_versioning().bucket(self.bucket());
            let answer = request.set_expected_bucket_owner(self.owner()).send().await;
            answer.map_err(|error| self.asked("its versioning", &errors::ABOUT).failed(&error))
        };
        let answer = self.line.request(Kind::Small, send).await;
        unless_denied(answer.map(|answer| answer.status == Some(Enabled)))
    }

    /// `None` where the answer is refused or unheard of.
    async fn locks_objects(&self) -> Result<Option<bool>, TierError> {
        use aws_sdk_s3::error::ProvideErrorMetadata;
        use aws_sdk_s3::types::ObjectLockEnabled::Enabled;
        let client = self.client().await?;
        let send = || async {
            let request = client.get_object_lock_configuration().bucket(self.bucket());
            match request.set_expected_bucket_owner(self.owner()).send().await {
                Ok(answer) => {
                    let found = answer.object_lock_configuration;
                    Ok(found.is_some_and(|found| found.object_lock_enabled == Some(Enabled)))
                }
                Err(error) if error.code() == Some("ObjectLockConfigurationNotFoundError") => {
                    Ok(false)
                }
                Err(error) => Err(self.asked("its object lock", &errors::ABOUT).failed(&error)),
            }
        };
        unless_denied(self.line.request(Kind::Small, send).await)
    }
}
