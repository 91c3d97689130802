//! What can be wrong with one answer, and what each fault asks of whoever asked: to try again, to leave the page, to
//! stop.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::body::SpillError;
use crate::db::way_out;
use crate::site::PageUrl;

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection, or none that lasted until the headers.
    #[error("{url}: {why}")]
    Unreachable { url: PageUrl, why: String },
    #[error("{url}: no answer within {} ms", waited.as_millis())]
    NoAnswer { url: PageUrl, waited: Duration },
    /// The body stopped coming, or came too slowly to ever end: `came` of its `got` bytes in the time.
    #[error("{url}: {} came for {} ms after {} bytes", nothing_or(*came), waited.as_millis(), got - came)]
    Stalled {
        url: PageUrl,
        got: u64,
        came: u64,
        waited: Duration,
    },
    /// The body ended early, or its framing or coded stream is broken. `got` and `said` (what was announced, if
    /// anything was) count bytes as they were sent, with the coding still on.
    #[error("{url}: the body broke off after {got} bytes{}: {why}", of_said(*said))]
    Truncated {
        url: PageUrl,
        got: u64,
        said: Option<u64>,
        why: String,
    },
    /// Headers that are no HTTP or too many, a part in the place of the whole, or an HTTP/2 stream that the server took
    /// back: the host is there, this answer is none.
    #[error("{url}: the answer cannot be understood: {why}")]
    Malformed { url: PageUrl, why: String },
    #[error("{url}: the answer was {status}{}", unasked(*status))]
    Status {
        url: PageUrl,
        status: u16,
        /// As long as the server asked for, be it seconds or days.
        retry_after: Option<Duration>,
    },
    #[error("{url}: the body has more than the {limit} bytes that `body_max` permits")]
    TooLarge { url: PageUrl, limit: u64 },
    #[error(
        "{url}: {coded} bytes became {plain}, more than the {limit} for each that `crawl.decompression_ratio_max` permits"
    )]
    Bomb {
        url: PageUrl,
        coded: u64,
        plain: u64,
        limit: u64,
    },
    #[error("{url}: {why}")]
    Forbidden { url: PageUrl, why: String },
    /// 200 with no byte of HTML: an origin in trouble, not a page.
    #[error("{url}: the answer was an empty HTML page")]
    EmptyPage { url: PageUrl },
    /// A content coding that was not asked for; stored as it is, it would reach readers without its label.
    #[error("{url}: the body is coded as `{coding}`, which was not asked for")]
    Coding { url: PageUrl, coding: String },
    /// A mirror stood in for the origin: no news, neither of the page nor of its absence.
    #[error("{url}: a mirror answered, as its header `{header}` says (`crawl.mirror_headers`)")]
    Mirrored { url: PageUrl, header: String },
    #[error(
        "{}: only {free} bytes are free, and `crawl.disk_free_min` leaves {min}; free some space and run again", folder.display()
    )]
    DiskFull {
        folder: PathBuf,
        free: u64,
        min: u64,
    },
    #[error("{}: {source}{}", path.display(), way_out(source))]
    Io { path: PathBuf, source: io::Error },
}

/// What an error asks of the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// It may pass; out of [`Fetcher::fetch`] it has outlived the attempts, so: another day.
    Retry,
    /// This page cannot be had; others can.
    Skip,
    /// Nothing can be had until somebody mends it.
    Stop,
}

impl FetchError {
    pub fn class(&self) -> Class {
        match self {
            FetchError::Unreachable { .. }
            | FetchError::NoAnswer { .. }
            | FetchError::Stalled { .. }
            | FetchError::Truncated { .. }
            | FetchError::Malformed { .. }
            | FetchError::EmptyPage { .. } => Class::Retry,
            FetchError::Status { status, .. } => status_class(*status),
            FetchError::TooLarge { .. }
            | FetchError::Bomb { .. }
            | FetchError::Forbidden { .. }
            | FetchError::Coding { .. }
            | FetchError::Mirrored { .. } => Class::Skip,
            FetchError::DiskFull { .. } | FetchError::Io { .. } => Class::Stop,
        }
    }

    /// The status, where it is what was wrong.
    pub fn status(&self) -> Option<u16> {
        match self {
            FetchError::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// How long the server asked to be left alone, if it did.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            FetchError::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether a time-out has been waited for.
    pub fn is_silence(&self) -> bool {
        matches!(
            self,
            FetchError::NoAnswer { .. } | FetchError::Stalled { .. }
        )
    }

    /// Whether the host, rather than the page, did not answer.
    pub fn is_connection(&self) -> bool {
        matches!(
            self,
            FetchError::Unreachable { .. } | FetchError::NoAnswer { .. }
        )
    }
}

impl From<SpillError> for FetchError {
    fn from(error: SpillError) -> FetchError {
        match error {
            SpillError::Io { path, source } => FetchError::Io { path, source },
            SpillError::Full { folder, free, min } => FetchError::DiskFull { folder, free, min },
        }
    }
}

fn of_said(said: Option<u64>) -> String {
    said.map_or_else(String::new, |said| format!(" of {said}"))
}

fn nothing_or(came: u64) -> String {
    match came {
        0 => "nothing more".to_owned(),
        came => format!("only {came} more bytes"),
    }
}

/// What a status means that answers another question than ours.
fn unasked(status: u16) -> &'static str {
    match status {
        204 | 205 => " (no content)",
        206 => " (a part of the page, which was not asked for)",
        304 => " (not modified, but no condition was sent)",
        _ => "",
    }
}

fn status_class(status: u16) -> Class {
    match status {
        501 | 505 => Class::Skip, // "never", in the words of a server
        408 | 425 | 429 | 500..=599 => Class::Retry,
        _ => Class::Skip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status {
            url: url(),
            status,
            retry_after,
        }
    }

    fn url() -> PageUrl {
        PageUrl::parse("https://www.example/a").unwrap()
    }

    fn stalled(came: u64) -> FetchError {
        FetchError::Stalled {
            url: url(),
            got: 400,
            came,
            waited: Duration::from_secs(10),
        }
    }

    /// Promise: only what may pass is repeated, and only a full disk and its like stop the run.
    #[test]
    fn classes_follow_the_status() {
        for (code, class) in [
            (400, Class::Skip),
            (401, Class::Skip),
            (403, Class::Skip),
            (408, Class::Retry),
            (429, Class::Retry),
            (451, Class::Skip),
            (500, Class::Retry),
            (501, Class::Skip),
            (503, Class::Retry),
            (304, Class::Skip),
            (206, Class::Skip),
        ] {
            assert_eq!(status(code, None).class(), class, "{code}");
        }
        let full = FetchError::Io {
            path: PathBuf::from("/state/body"),
            source: io::Error::from(io::ErrorKind::StorageFull),
        };
        assert_eq!(full.class(), Class::Stop);
        assert!(full.to_string().starts_with("/state/body: "));
    }

    /// Promise: each message is one line that names the thing, and the option where one decides.
    #[test]
    fn messages_name_the_thing_and_the_way_out() {
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(status(503, day).retry_after(), day);
        for (error, line) in [
            (
                status(503, day),
                "https://www.example/a: the answer was 503",
            ),
            (
                stalled(0),
                "https://www.example/a: nothing more came for 10000 ms after 400 bytes",
            ),
            (
                stalled(8),
                "https://www.example/a: only 8 more bytes came for 10000 ms after 392 bytes",
            ),
            (
                FetchError::Bomb {
                    url: url(),
                    coded: 9_000,
                    plain: 8_400_000,
                    limit: 250,
                },
                "https://www.example/a: 9000 bytes became 8400000, more than the 250 for each that \
                `crawl.decompression_ratio_max` permits",
            ),
            (
                FetchError::Mirrored {
                    url: url(),
                    header: "x-mirror".to_owned(),
                },
                "https://www.example/a: a mirror answered, as its header `x-mirror` says (`crawl.mirror_headers`)",
            ),
            (
                FetchError::DiskFull {
                    folder: PathBuf::from("/state/incoming"),
                    free: 7,
                    min: 9,
                },
                "/state/incoming: only 7 bytes are free, and `crawl.disk_free_min` leaves 9; free some space and run \
                again",
            ),
        ] {
            assert_eq!(error.to_string(), line);
        }
    }
}
