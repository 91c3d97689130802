//! Why a tier did not do what it was asked, in one line that names the tier, the object and the
//! way out, and what the caller should make of it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::config::TierName;

/// What a failure means for the work on this tier.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The same request may succeed later.
    Retry,
    /// This object cannot be handled as it is; the others can.
    Skip,
    /// The tier as a whole cannot be used: access denied, no such bucket, disk full.
    Stop,
}

/// `at` is the key, the name or the operation that failed; causes are one line without secrets.
#[derive(Debug, thiserror::Error)]
pub enum TierError {
    #[error(
        "tier {tier}: cannot be reached for {at} ({cause}): check its endpoint and the network; it is tried again"
    )]
    Unreachable {
        tier: TierName,
        at: String,
        cause: String,
    },
    #[error(
        "tier {tier}: no answer about {at} in time: check its endpoint and the network; it is tried again later"
    )]
    Silent { tier: TierName, at: String },
    /// `throttled`: the service asks for fewer requests; `after`: how long it asks to wait.
    #[error("tier {tier}: the service is busy or ill at {at} ({cause}): it is tried again")]
    Busy {
        tier: TierName,
        at: String,
        cause: String,
        throttled: bool,
        after: Option<Duration>,
    },
    #[error("tier {tier}: refused {at} ({cause}): {remedy}")]
    Refused {
        tier: TierName,
        at: String,
        cause: String,
        remedy: &'static str,
    },
    #[error(
        "tier {tier}: the service does not accept {at} ({cause}): this object is left out, the others go on"
    )]
    Rejected {
        tier: TierName,
        at: String,
        cause: String,
    },
    #[error(
        "tier {tier}: the bytes of {at} are not the announced ones ({cause}): they are read and sent again; if it repeats, audit the store"
    )]
    Mismatch {
        tier: TierName,
        at: String,
        cause: String,
    },
    #[error(
        "tier {tier}: {at} was changed by another writer: make sure that only one machine works on this tier"
    )]
    Precondition { tier: TierName, at: String },
    #[error("tier {tier}: cannot do this with {at}: {cause}")]
    Unsupported {
        tier: TierName,
        at: String,
        cause: &'static str,
    },
    #[error("tier {tier}: {cause}: {remedy}")]
    Configuration {
        tier: TierName,
        cause: String,
        remedy: &'static str,
    },
    #[error("tier {tier}: {}: disk full: free space or move the tier", path.display())]
    Full {
        tier: TierName,
        path: PathBuf,
        source: io::Error,
    },
    #[error("tier {tier}: {}: not writable or not readable ({source}): give this user access to the folder or move the tier", path.display())]
    Denied {
        tier: TierName,
        path: PathBuf,
        source: io::Error,
    },
    #[error("tier {tier}: {}: {source}: it is tried again; if it repeats, check the disk", path.display())]
    Io {
        tier: TierName,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "tier {tier}: no copy of the bytes of {at} survives in the store or in a tier: the next crawl fetches them again"
    )]
    NoBody { tier: TierName, at: String },
    #[error("tier {tier}: the body of {at} cannot be read from {} ({source}): check the store", path.display())]
    Source {
        tier: TierName,
        at: String,
        path: PathBuf,
        source: io::Error,
    },
}

impl TierError {
    pub fn class(&self) -> Class {
        match self {
            TierError::Unreachable { .. }
            | TierError::Silent { .. }
            | TierError::Busy { .. }
            | TierError::Mismatch { .. }
            | TierError::Io { .. } => Class::Retry,
            TierError::NoBody { .. }
            | TierError::Rejected { .. }
            | TierError::Unsupported { .. }
            | TierError::Source { .. } => Class::Skip,
            TierError::Refused { .. }
            | TierError::Precondition { .. }
            | TierError::Configuration { .. }
            | TierError::Full { .. }
            | TierError::Denied { .. } => Class::Stop,
        }
    }
}

/// The header `Retry-After`: seconds, or a date; one that has passed says to come back now.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let until = httpdate::parse_http_date(text.trim()).ok()?;
            Some(until.duration_since(now).unwrap_or_default())
        }
    }
}

/// An answer about what a bucket is set to; `None` where it is refused or unheard of. That nobody answers, or
/// that the credentials are none, says nothing about that.
pub(super) fn unless_denied<T>(answer: Result<T, TierError>) -> Result<Option<T>, TierError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(
            TierError::Refused { .. } | TierError::Unsupported { .. } | TierError::Rejected { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The deepest cause of an error in one line: the outer ones of a cloud client only say that something
/// went wrong.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    one_line(&deepest.to_string())
}

/// `text` in one line of at most 200 characters, for the `cause` of an error: services answer
/// with whole pages of HTML at times.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_says_when_to_come_back() {
        // Seconds or a date, and nonsense counts as nothing.
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").expect("a date");
        let seconds = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 7"), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT"), Some(30));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }

    #[test]
    fn only_a_refused_question_stays_open() {
        // What may not be asked is not known; what failed otherwise is asked again.
        let tier = || TierName::parse("primary").expect("a name");
        let refused = TierError::Refused {
            tier: tier(),
            at: "the bucket".into(),
            cause: "403".into(),
            remedy: "allow it",
        };
        assert!(matches!(unless_denied::<()>(Err(refused)), Ok(None)));
        let silent = TierError::Silent {
            tier: tier(),
            at: "the bucket".into(),
        };
        let nobody = TierError::Configuration {
            tier: tier(),
            cause: "no token".into(),
            remedy: "give one",
        };
        for error in [silent, nobody] {
            assert!(unless_denied::<()>(Err(error)).is_err());
        }
        assert!(matches!(unless_denied(Ok(7)), Ok(Some(7))));
    }

    #[test]
    fn a_cause_is_one_short_line() {
        // A message never spans lines nor drowns the log, whatever a service answers.
        assert_eq!(
            one_line("<html>\n  <h1>Bad\r\n gateway"),
            "<html> <h1>Bad gateway"
        );
        assert_eq!(one_line(&"ü".repeat(500)).chars().count(), 201);
    }
}
