//! What an answer of the service, or the lack of one, means for the work on the tier.

use std::error::Error;
use std::time::SystemTime;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::config::TierName;
use crate::tier::TierError;
use crate::tier::error::{innermost, one_line, retry_after};

/// A kind of request: its name at the service, and the permission that it needs.
pub(super) struct Operation {
    pub name: &'static str,
    /// The way out where it is refused.
    pub allow: &'static str,
}

pub(super) const PUT: Operation = Operation {
    name: "PutObject",
    allow: "allow s3:PutObject on it (and s3:PutObjectAcl if the tier sets an acl, kms:GenerateDataKey if it sets a key)",
};
pub(super) const PARTS: Operation = Operation {
    name: "the upload in parts",
    allow: "allow s3:PutObject and s3:AbortMultipartUpload on it (and kms:Decrypt if the tier sets a key)",
};
pub(super) const COPY: Operation = Operation {
    name: "CopyObject",
    allow: "allow s3:GetObject and s3:PutObject on it (and s3:PutObjectAcl if the tier sets an acl)",
};
pub(super) const GET: Operation = Operation {
    name: "GetObject",
    allow: "allow s3:GetObject on it, and s3:ListBucket on the bucket: without that, what is missing is refused as well",
};
pub(super) const HEAD: Operation = Operation {
    name: "HeadObject",
    allow: GET.allow,
};
pub(super) const LIST: Operation = Operation {
    name: "ListObjectsV2",
    allow: "allow s3:ListBucket on the bucket",
};
pub(super) const DELETE: Operation = Operation {
    name: "DeleteObject",
    allow: "allow s3:DeleteObject on it",
};
pub(super) const UPLOADS: Operation = Operation {
    name: "ListMultipartUploads",
    allow: "allow s3:ListBucketMultipartUploads and s3:AbortMultipartUpload, or let a rule of the bucket remove unfinished uploads",
};
/// About the bucket itself: whatever is refused here is not known, and no more.
pub(super) const ABOUT: Operation = Operation {
    name: "a question about the bucket",
    allow: "allow s3:GetBucketVersioning and s3:GetBucketObjectLockConfiguration on the bucket",
};

/// What was asked of which bucket, for messages: `at` is the key, the name or a few words.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub tier: &'a TierName,
    pub bucket: &'a str,
    pub at: &'a str,
    pub operation: &'static Operation,
}

/// What an answer says, as far as it decides.
#[derive(Clone, Copy, Default)]
pub(super) struct Said<'a> {
    /// 0 if there is none: one entry of a batch.
    pub status: u16,
    pub code: &'a str,
    pub message: Option<&'a str>,
    /// The header `Retry-After`.
    pub after: Option<&'a str>,
}

/// True when a range begins beyond the end of the object.
pub(super) fn is_beyond<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let status = error.raw_response().map(|raw| raw.status().as_u16());
    status == Some(416) || error.code() == Some("InvalidRange")
}

impl Asked<'_> {
    /// What came instead of the answer that was hoped for.
    pub(super) fn failed<E>(&self, error: &SdkError<E, HttpResponse>) -> TierError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match error {
            // Carried out, it seems, and answered in words that are not those of S3.
            SdkError::ServiceError(answer) if answer.raw().status().is_success() => {
                TierError::Rejected {
                    tier: self.tier.clone(),
                    at: self.at.into(),
                    cause: format!("its answer cannot be read: {}", innermost(error)),
                }
            }
            SdkError::ServiceError(answer) => self.said(Said {
                status: answer.raw().status().as_u16(),
                code: answer.err().code().unwrap_or_default(),
                message: answer.err().message(),
                after: answer.raw().headers().get("retry-after"),
            }),
            SdkError::TimeoutError(_) => self.silent(),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => self.silent(),
            _ => match credentials_error(error) {
                Some(found) => self.no_credentials(found),
                None if matches!(error, SdkError::ConstructionFailure(_)) => TierError::Rejected {
                    tier: self.tier.clone(),
                    at: self.at.into(),
                    cause: innermost(error),
                },
                None => self.unreachable(error),
            },
        }
    }

    pub(super) fn unreachable(&self, error: &(dyn Error + 'static)) -> TierError {
        TierError::Unreachable {
            tier: self.tier.clone(),
            at: self.at.into(),
            cause: innermost(error),
        }
    }

    fn silent(&self) -> TierError {
        TierError::Silent {
            tier: self.tier.clone(),
            at: self.at.into(),
        }
    }

    /// Credentials that were found at first and could not be renewed. Where their service may be back in a
    /// moment, so may they.
    fn no_credentials(&self, error: &CredentialsError) -> TierError {
        let tier = self.tier.clone();
        let cause = format!("the credentials could not be renewed: {}", innermost(error));
        match error {
            CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
                TierError::Unreachable {
                    tier,
                    at: self.at.into(),
                    cause,
                }
            }
            _ => TierError::Configuration {
                tier,
                cause,
                remedy: "check the tier's credentials",
            },
        }
    }

    /// The meaning of an error code; what has no code of its own (an answer of a proxy, one entry of
    /// a batch) goes by its HTTP status.
    pub(super) fn said(&self, said: Said<'_>) -> TierError {
        let Said { status, code, .. } = said;
        let place = format!("{} in bucket {}", self.operation.name, self.bucket);
        let status_text = match status {
            0 => String::new(),
            status => format!("{status} "),
        };
        let answer = format!("{status_text}{code} {}", said.message.unwrap_or_default());
        let cause = one_line(&format!("{place}: {answer}"));
        let (tier, at) = (self.tier.clone(), self.at.to_owned());
        if is_locked(&said) {
            let cause =
                format!("{cause}; it is under retention or a legal hold and stays until that ends");
            return TierError::Rejected { tier, at, cause };
        }
        if code == "InvalidObjectState" {
            let cause = format!("{cause}; it lies in an archive, from which it must be restored");
            return TierError::Rejected { tier, at, cause };
        }
        if let Some(remedy) = self.remedy(code, status) {
            return TierError::Refused {
                tier,
                at,
                cause,
                remedy,
            };
        }
        match (code, status) {
            ("PreconditionFailed" | "ConditionalRequestConflict", _) | (_, 412) => {
                TierError::Precondition { tier, at }
            }
            (
                "BadDigest"
                | "InvalidDigest"
                | "XAmzContentSHA256Mismatch"
                | "XAmzContentChecksumMismatch",
                _,
            ) => TierError::Mismatch { tier, at, cause },
            ("NotImplemented", _) | (_, 501) => TierError::Unsupported {
                tier,
                at,
                cause: "the service does not implement it",
            },
            (
                "SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout"
                | "OperationAborted" | "Throttling" | "IncompleteBody",
                _,
            )
            | (_, 408 | 409 | 425 | 429 | 500..) => TierError::Busy {
                tier,
                at,
                cause,
                throttled: matches!(code, "SlowDown" | "Throttling") || matches!(status, 429 | 503),
                after: said
                    .after
                    .and_then(|text| retry_after(text, SystemTime::now())),
            },
            _ => TierError::Rejected { tier, at, cause },
        }
    }

    /// The way out of what stops a tier as a whole.
    fn remedy(&self, code: &str, status: u16) -> Option<&'static str> {
        let remedy = match (code, status) {
            ("NoSuchBucket" | "InvalidBucketName", _) => {
                "create the bucket or correct its name in the tier's url"
            }
            (
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "InvalidSecurity"
                | "TokenRefreshRequired"
                | "NotSignedUp",
                _,
            )
            | (_, 401) => "check the tier's credentials",
            ("RequestTimeTooSkewed", _) => "set the clock of this machine",
            (
                "PermanentRedirect"
                | "AuthorizationHeaderMalformed"
                | "IllegalLocationConstraintException",
                _,
            )
            | (_, 301 | 307) => "set the tier's region (and endpoint) to those of the bucket",
            ("QuotaExceeded" | "XMinioStorageFull" | "InsufficientCapacity", _) | (_, 507) => {
                "raise the quota, free space or move the tier"
            }
            ("AccessDenied" | "AllAccessDisabled" | "AccountProblem", _) | (_, 403) => {
                self.operation.allow
            }
            _ => return None,
        };
        Some(remedy)
    }
}

/// An object that may not go before its time. Amazon has no code of its own for it.
fn is_locked(said: &Said<'_>) -> bool {
    let message = said.message.unwrap_or_default().to_ascii_lowercase();
    let is_told = ["object lock", "retention", "legal hold", "worm protected"]
        .iter()
        .any(|word| message.contains(word));
    said.code == "ObjectLocked" || (said.code == "AccessDenied" && is_told)
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tier::Class;

    #[test]
    fn every_answer_has_its_class() {
        // What stops a tier, what is tried again and what concerns one object, by the codes and
        // statuses that services really send.
        let tier = TierName::parse("primary").expect("a name");
        for (status, code, class) in [
            (403, "AccessDenied", Class::Stop),
            (403, "", Class::Stop),
            (404, "NoSuchBucket", Class::Stop),
            (403, "SignatureDoesNotMatch", Class::Stop),
            (403, "InvalidAccessKeyId", Class::Stop),
            (301, "PermanentRedirect", Class::Stop),
            (507, "", Class::Stop),
            (412, "PreconditionFailed", Class::Stop),
            (409, "ConditionalRequestConflict", Class::Stop),
            (503, "SlowDown", Class::Retry),
            (429, "TooManyRequests", Class::Retry),
            (500, "InternalError", Class::Retry),
            (502, "", Class::Retry),
            (400, "RequestTimeout", Class::Retry),
            (409, "OperationAborted", Class::Retry),
            (400, "BadDigest", Class::Retry),
            (0, "InternalError", Class::Retry),
            (403, "InvalidObjectState", Class::Skip),
            (400, "MetadataTooLarge", Class::Skip),
            (404, "NoSuchKey", Class::Skip),
            (501, "NotImplemented", Class::Skip),
        ] {
            let error = asked(&tier).said(Said {
                status,
                code,
                message: Some("because\nof this"),
                after: None,
            });
            assert_eq!(error.class(), class, "{status} {code}");
            let message = error.to_string();
            assert!(
                message.contains("primary") && message.contains("h/a"),
                "{message}"
            );
            assert!(!message.contains('\n'), "{message}");
            if matches!(error, TierError::Refused { .. }) {
                let names = message.contains("bucket site") && message.contains("DeleteObject");
                assert!(names, "{message}");
            }
        }
    }

    #[test]
    fn a_locked_object_is_no_missing_permission() {
        // Retention concerns one object; the tier goes on.
        let tier = TierName::parse("primary").expect("a name");
        for (code, message) in [
            (
                "AccessDenied",
                "Access Denied because object protected by object lock.",
            ),
            (
                "ObjectLocked",
                "Object is WORM protected and cannot be overwritten",
            ),
        ] {
            let said = Said {
                status: 403,
                code,
                message: Some(message),
                after: None,
            };
            let error = asked(&tier).said(said);
            assert_eq!(error.class(), Class::Skip);
            assert!(error.to_string().contains("retention"), "{error}");
        }
    }

    #[test]
    fn a_service_says_when_to_come_back() {
        // The header of a throttle is read.
        let tier = TierName::parse("primary").expect("a name");
        let busy = asked(&tier).said(Said {
            status: 503,
            code: "SlowDown",
            message: None,
            after: Some("7"),
        });
        let expected = Some(std::time::Duration::from_secs(7));
        assert!(
            matches!(busy, TierError::Busy { throttled: true, after, .. } if after == expected)
        );
    }

    fn asked(tier: &TierName) -> Asked<'_> {
        Asked {
            tier,
            bucket: "site",
            at: "h/a",
            operation: &DELETE,
        }
    }
}
