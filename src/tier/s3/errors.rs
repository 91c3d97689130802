//! What an answer of the service, or the lack of one, means for the work on the tier.

use std::error::Error;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::config::TierName;
use crate::tier::TierError;
use crate::tier::error::one_line;

pub(super) fn from_client<E>(
    tier: &TierName,
    at: &str,
    error: &SdkError<E, HttpResponse>,
) -> TierError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let (owner, place) = (tier.clone(), at.to_owned());
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            by_code(
                tier,
                at,
                status,
                answer.err().code().unwrap_or_default(),
                answer.err().message(),
            )
        }
        SdkError::ConstructionFailure(_) => TierError::Rejected {
            tier: owner,
            at: place,
            cause: innermost(error),
        },
        SdkError::TimeoutError(_) => TierError::Unreachable {
            tier: owner,
            at: place,
            cause: "no answer in time".into(),
        },
        SdkError::DispatchFailure(failure) if failure.is_timeout() => TierError::Unreachable {
            tier: owner,
            at: place,
            cause: "no answer in time".into(),
        },
        _ => TierError::Unreachable {
            tier: owner,
            at: place,
            cause: innermost(error),
        },
    }
}

/// The meaning of an error code; what has no code of its own (an answer of a proxy, one entry of
/// a batch) goes by its HTTP status, 0 if there is none.
pub(super) fn by_code(
    tier: &TierName,
    at: &str,
    status: u16,
    code: &str,
    message: Option<&str>,
) -> TierError {
    let cause = one_line(&format!("{status} {code} {}", message.unwrap_or_default()));
    let (tier, at) = (tier.clone(), at.to_owned());
    if let Some(remedy) = remedy(code, status) {
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
            | "XAmzContentChecksumMismatch"
            | "IncompleteBody",
            _,
        ) => TierError::Mismatch { tier, at, cause },
        ("NotImplemented", _) | (_, 501) => TierError::Unsupported {
            tier,
            at,
            cause: "the service does not implement it",
        },
        (
            "SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout"
            | "OperationAborted" | "Throttling",
            _,
        )
        | (_, 408 | 409 | 425 | 429 | 500..) => TierError::Busy {
            tier,
            at,
            cause,
            throttled: matches!(code, "SlowDown" | "Throttling") || matches!(status, 429 | 503),
            after: None,
        },
        _ => TierError::Rejected { tier, at, cause },
    }
}

/// The way out of what stops a tier as a whole.
fn remedy(code: &str, status: u16) -> Option<&'static str> {
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
            "allow s3:GetObject, s3:PutObject, s3:DeleteObject and s3:ListBucket on it (and s3:PutObjectAcl if the tier sets an acl)"
        }
        _ => return None,
    };
    Some(remedy)
}

/// The deepest cause of an error in one line: the outer ones of this client only say that
/// something went wrong.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    one_line(&deepest.to_string())
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
            (400, "MetadataTooLarge", Class::Skip),
            (404, "NoSuchKey", Class::Skip),
            (501, "NotImplemented", Class::Skip),
        ] {
            let error = by_code(&tier, "h/a", status, code, Some("because\nof this"));
            assert_eq!(error.class(), class, "{status} {code}");
            let message = error.to_string();
            assert!(
                message.contains("primary") && message.contains("h/a"),
                "{message}"
            );
            assert!(!message.contains('\n'), "{message}");
        }
    }
}
