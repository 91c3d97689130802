//! What an answer of Google Cloud Storage, or the lack of one, means for the work on the tier. Over HTTP it
//! answers with statuses, over gRPC with codes; both are brought to one table of statuses.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use google_cloud_gax::error::CredentialsError;
use google_cloud_gax::error::rpc::{Code, StatusDetails};
use google_cloud_storage::Error;
use google_cloud_storage::error::WriteError;

use crate::config::TierName;
use crate::tier::TierError;
use crate::tier::error::{innermost, one_line, retry_after};

/// What the service said, however it was spoken.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Of HTTP.
    pub status: u16,
    pub message: String,
    /// How long it asks to wait.
    pub after: Option<Duration>,
}

/// What was asked of which bucket, for messages: `at` is the key, the name or a few words.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub tier: &'a TierName,
    pub bucket: &'a str,
    pub at: &'a str,
    /// As the service names it.
    pub operation: &'static str,
}

impl Asked<'_> {
    /// What came instead of the answer that was hoped for.
    pub(super) fn failed(&self, error: &Error) -> TierError {
        match answer(error) {
            Some(answer) => self.said(&answer),
            None => unanswered(self.tier, self.at, error),
        }
    }

    /// The meaning of an answer.
    fn said(&self, answer: &Answer) -> TierError {
        let place = format!("{} in bucket {}", self.operation, self.bucket);
        let cause = one_line(&format!("{place}: {} {}", answer.status, answer.message));
        let (tier, at) = (self.tier.clone(), self.at.to_owned());
        if answer.status == 400 && answer.message.contains("doesn't match calculated") {
            return TierError::Mismatch { tier, at, cause };
        }
        // A tier whose own small objects are held cannot work at all.
        if is_held(answer) && !at.starts_with(".standin/") {
            let cause =
                format!("{cause}; it is under retention or a hold and stays until that ends");
            return TierError::Rejected { tier, at, cause };
        }
        let is_throttle = is_throttle(answer);
        if let Some(remedy) = remedy(answer).filter(|_| !is_throttle) {
            return TierError::Refused {
                tier,
                at,
                cause,
                remedy,
            };
        }
        match answer.status {
            412 => TierError::Precondition { tier, at },
            501 => TierError::Unsupported {
                tier,
                at,
                cause: "the service does not implement it",
            },
            // 409 is a conflict with somebody's request of this moment, 410 an upload that the service
            // has forgotten.
            403 | 408 | 409 | 410 | 425 | 429 | 500.. => TierError::Busy {
                tier,
                at,
                cause,
                throttled: is_throttle,
                after: answer.after,
            },
            _ => TierError::Rejected { tier, at, cause },
        }
    }
}

fn unanswered(tier: &TierName, at: &str, error: &Error) -> TierError {
    if error.is_timeout() {
        return no_answer(tier, at);
    }
    if error.is_authentication()
        && let Some(error) = error.source().and_then(|source| source.downcast_ref())
    {
        return by_credentials(tier, at, error);
    }
    let (tier, at, cause) = (tier.clone(), at.to_owned(), innermost(error));
    if let Some(WriteError::ChecksumMismatch { .. }) = error.source().and_then(|s| s.downcast_ref())
    {
        return TierError::Mismatch { tier, at, cause };
    }
    if error.is_serialization() || error.is_binding() {
        return TierError::Rejected { tier, at, cause };
    }
    if error.is_deserialization() {
        return TierError::Busy {
            tier,
            at,
            cause,
            throttled: false,
            after: None,
        };
    }
    TierError::Unreachable { tier, at, cause }
}

/// Nothing came within the time that we give it.
pub(super) fn no_answer(tier: &TierName, at: &str) -> TierError {
    TierError::Silent {
        tier: tier.clone(),
        at: at.to_owned(),
    }
}

/// True when the service says that there is no such object. (No such bucket is an error.)
pub(super) fn is_absent(error: &Error) -> bool {
    answer(error).is_some_and(|answer| answer.status == 404 && !is_about_bucket(&answer.message))
}

/// True when a range begins beyond the end of the object.
pub(super) fn is_beyond(error: &Error) -> bool {
    answer(error).is_some_and(|answer| answer.status == 416)
}

fn answer(error: &Error) -> Option<Answer> {
    let status = error.status();
    let code = match (error.http_status_code(), status) {
        (Some(code), _) => code,
        (None, Some(status)) => status_of(status.code),
        (None, None) => return None,
    };
    // The bytes of an object are refused in plain words, everything else in JSON.
    let payload = error.http_payload();
    let words = payload.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    Some(Answer {
        status: code,
        message: status
            .map(|status| status.message.clone())
            .or(words)
            .unwrap_or_default(),
        after: after(error),
    })
}

/// Nobody gives out a token.
pub(super) fn by_credentials(tier: &TierName, at: &str, error: &CredentialsError) -> TierError {
    let (tier, cause) = (tier.clone(), innermost(error));
    if error.is_transient() {
        return TierError::Unreachable {
            tier,
            at: at.to_owned(),
            cause: format!(
                "no token from whoever gives them out: {cause}; where the machine has no account of Google Cloud, GOOGLE_APPLICATION_CREDENTIALS or the tier's credentials must name a key"
            ),
        };
    }
    TierError::Configuration {
        tier,
        cause: format!("no token for its credentials ({cause})"),
        remedy: CREDENTIALS,
    }
}

pub(super) const CREDENTIALS: &str = "let GOOGLE_APPLICATION_CREDENTIALS name the key file of a service account, give the machine one, or set credentials = { file = \"key.json\" } in the tier";

/// The way out of what stops a tier as a whole.
fn remedy(answer: &Answer) -> Option<&'static str> {
    let said = answer.message.to_ascii_lowercase();
    let remedy = match answer.status {
        404 if is_about_bucket(&said) => "create the bucket or correct its name in the tier's url",
        400 if said.contains("invalid bucket name") => {
            "correct the bucket's name in the tier's url"
        }
        301..=308 => "correct the tier's endpoint",
        401 => "check the tier's credentials, and the clock of this machine",
        403 | 412 if said.contains("retention") => {
            "its retention policy keeps objects from being replaced and deleted: remove the policy, or use a bucket without one"
        }
        403 if said.contains("under active") => {
            "release the hold on the object; a bucket whose objects are held cannot follow a site"
        }
        403 if said.contains("billing") || said.contains("account is disabled") => {
            "set the billing of the bucket's project in order"
        }
        403 => {
            "grant storage.objects.create, .get, .list, .update and .delete on it (roles/storage.objectUser, or roles/storage.objectAdmin)"
        }
        507 => "raise the quota or move the tier",
        _ => return None,
    };
    Some(remedy)
}

/// An object that may not go before its time, be it for its own sake or for its bucket's.
fn is_held(answer: &Answer) -> bool {
    let said = answer.message.to_ascii_lowercase();
    matches!(answer.status, 403 | 412)
        && (said.contains("retention") || said.contains("under active"))
}

/// The service asks for fewer requests; it does so by 403 as well where a quota is meant.
fn is_throttle(answer: &Answer) -> bool {
    let said = answer.message.to_ascii_lowercase();
    let is_rate = said.contains("rate limit") || said.contains("ratelimit");
    matches!(answer.status, 429 | 503) || (answer.status == 403 && is_rate)
}

fn is_about_bucket(message: &str) -> bool {
    message
        .to_ascii_lowercase()
        .contains("bucket does not exist")
}

/// From `Retry-After`, in seconds or as a date, or from what gRPC has in its place.
fn after(error: &Error) -> Option<Duration> {
    let header = error.http_headers().and_then(|all| all.get("retry-after"));
    if let Some(text) = header.and_then(|value| value.to_str().ok()) {
        return retry_after(text, SystemTime::now());
    }
    error.status()?.details.iter().find_map(|detail| {
        let StatusDetails::RetryInfo(info) = detail else {
            return None;
        };
        Duration::try_from(info.retry_delay?).ok()
    })
}

fn status_of(code: Code) -> u16 {
    match code {
        Code::Ok => 200,
        Code::InvalidArgument => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::Aborted | Code::AlreadyExists => 409,
        Code::FailedPrecondition => 412,
        Code::OutOfRange => 416,
        Code::ResourceExhausted => 429,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use google_cloud_gax::error::rpc::Status;

    use super::*;
    use crate::tier::Class;

    fn tier() -> TierName {
        TierName::parse("tertiary").expect("a name")
    }

    fn asked(tier: &TierName) -> Asked<'_> {
        Asked {
            tier,
            bucket: "site",
            at: "h/a",
            operation: "DeleteObject",
        }
    }

    // long: the table of answers.
    #[test]
    fn every_answer_has_its_class_and_its_way_out() {
        // What stops a tier, what is tried again and what concerns one object, by the statuses and words
        // that the service really sends; each message is one line that names tier and object.
        for (status, message, class, word) in [
            (
                400,
                "Provided CRC32C \"AAAAAA==\" doesn't match calculated CRC32C \"x\".",
                Class::Retry,
                "sent again",
            ),
            (
                400,
                "Invalid bucket name: 'B'",
                Class::Stop,
                "correct the bucket",
            ),
            (400, "Metadata part is too large.", Class::Skip, "left out"),
            (401, "Invalid Credentials", Class::Stop, "credentials"),
            (
                403,
                "x does not have storage.objects.create access",
                Class::Stop,
                "roles/storage.objectUser",
            ),
            (
                403,
                "Object 'b/o' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten",
                Class::Skip,
                "until that ends",
            ),
            (
                403,
                "Object 'b/o' is under active Temporary hold and cannot be deleted",
                Class::Skip,
                "until that ends",
            ),
            (
                403,
                "The billing account for the owning project is disabled in state absent",
                Class::Stop,
                "billing",
            ),
            (403, "User Rate Limit Exceeded", Class::Retry, "busy"),
            (
                404,
                "The specified bucket does not exist.",
                Class::Stop,
                "create the bucket",
            ),
            (404, "No such object: b/o", Class::Skip, "left out"),
            (408, "", Class::Retry, "tried again"),
            (
                409,
                "The object was changed during the request",
                Class::Retry,
                "tried again",
            ),
            (410, "", Class::Retry, "tried again"),
            (
                412,
                "At least one of the pre-conditions you specified did not hold.",
                Class::Stop,
                "another writer",
            ),
            (413, "", Class::Skip, "left out"),
            (
                429,
                "The rate of change requests to the object exceeds the limit",
                Class::Retry,
                "busy",
            ),
            (500, "<html>\nBackend error", Class::Retry, "busy"),
            (501, "", Class::Skip, "does not implement"),
            (502, "", Class::Retry, "busy"),
            (503, "", Class::Retry, "busy"),
            (307, "", Class::Stop, "endpoint"),
        ] {
            let answer = Answer {
                status,
                message: message.into(),
                after: None,
            };
            let error = asked(&tier()).said(&answer);
            let said = error.to_string();
            assert_eq!(error.class(), class, "{said}");
            assert!(said.contains("tertiary") && said.contains("h/a"), "{said}");
            assert!(said.contains(word) && !said.contains('\n'), "{said}");
            if matches!(error, TierError::Refused { .. }) {
                let names = said.contains("DeleteObject in bucket site");
                assert!(names, "{said}");
            }
        }
    }

    #[test]
    fn a_held_object_of_our_own_stops_the_tier() {
        // An object of the site is left out; without its head a tier can do nothing.
        let tier = tier();
        for (message, word) in [
            (
                "Object 'b/o' is subject to bucket's retention policy",
                "without one",
            ),
            (
                "Object 'b/o' is under active Temporary hold",
                "release the hold",
            ),
        ] {
            let answer = Answer {
                status: 403,
                message: message.into(),
                after: None,
            };
            let head = Asked {
                at: ".standin/head",
                ..asked(&tier)
            };
            let error = head.said(&answer);
            assert_eq!(error.class(), Class::Stop, "{error}");
            assert!(error.to_string().contains(word), "{error}");
            assert_eq!(asked(&tier).said(&answer).class(), Class::Skip);
        }
    }

    #[test]
    fn codes_of_grpc_mean_what_their_statuses_mean() {
        // The same refusal comes as a code or as a status, depending on the call.
        for (code, class) in [
            (Code::InvalidArgument, Class::Skip),
            (Code::Unauthenticated, Class::Stop),
            (Code::PermissionDenied, Class::Stop),
            (Code::NotFound, Class::Skip),
            (Code::Aborted, Class::Retry),
            (Code::FailedPrecondition, Class::Stop),
            (Code::OutOfRange, Class::Skip),
            (Code::ResourceExhausted, Class::Retry),
            (Code::Unimplemented, Class::Skip),
            (Code::Internal, Class::Retry),
            (Code::Unavailable, Class::Retry),
            (Code::DeadlineExceeded, Class::Retry),
            (Code::Unknown, Class::Retry),
        ] {
            let error = Error::service(Status::default().set_code(code));
            assert_eq!(asked(&tier()).failed(&error).class(), class, "{code:?}");
        }
    }

    #[test]
    fn a_throttled_answer_says_how_long_to_wait() {
        // Retry-After in seconds, as a date, and as gRPC puts it; an answer without is a throttle too.
        let http = |value: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert("retry-after", http::HeaderValue::from_static(value));
            Error::http(429, headers, bytes::Bytes::new())
        };
        let detail = serde_json::json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s",
        });
        let detail: StatusDetails = serde_json::from_value(detail).expect("a known detail");
        let status = Status::default()
            .set_code(Code::ResourceExhausted)
            .set_details([detail]);
        for (error, expected) in [
            (http("7"), Some(7)),
            (http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0)),
            (http("soon"), None),
            (Error::service(status), Some(7)),
        ] {
            let error = asked(&tier()).failed(&error);
            let TierError::Busy {
                throttled, after, ..
            } = error
            else {
                panic!("{error}")
            };
            assert_eq!(
                (throttled, after.map(|after| after.as_secs())),
                (true, expected)
            );
        }
    }

    #[test]
    fn a_credentials_error_names_the_way_out() {
        // Nothing can be done on a tier without a token, but a token service may only be slow.
        for (is_transient, class) in [(false, Class::Stop), (true, Class::Retry)] {
            let source = CredentialsError::from_msg(is_transient, "invalid_grant");
            let error = asked(&tier()).failed(&Error::authentication(source));
            assert_eq!(error.class(), class);
            let said = error.to_string();
            assert!(said.contains("GOOGLE_APPLICATION_CREDENTIALS"), "{said}");
            assert!(
                said.contains("invalid_grant") && !said.contains('\n'),
                "{said}"
            );
        }
    }
}
