//! What a crawl owes the hosts it asks: how many requests and how fast, how often a page is asked for again,
//! when nothing is sent at all, and what an answer or its absence says about its host.

use std::time::Duration;

use super::fetch::{Answer, Class, FetchError};
use crate::http::pace::Failure;

const MINUTES_A_DAY: u32 = 24 * 60;

/// The same for every host.
#[derive(Debug, Clone)]
pub struct Courtesy {
    /// Requests in flight per host, at most.
    pub concurrency: usize,
    /// Requests per second and host; unlimited when absent.
    pub rate: Option<f64>,
    /// Requests for one page, the first included.
    pub attempts: u32,
    pub quiet: QuietHours,
    /// A host that shows no sign of life for this long is given up by the next request that fails.
    pub patience: Duration,
}

impl Default for Courtesy {
    fn default() -> Courtesy {
        Courtesy {
            concurrency: 8,
            rate: None,
            attempts: 3,
            quiet: QuietHours::default(),
            // Long enough for a web server to be started again. With 8 s to an answer it makes 24.5 s in all:
            // two time-outs, one of everything in flight and two of single requests.
            patience: Duration::from_secs(20),
        }
    }
}

/// What a request showed of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// An answer that is final, whatever it says of the page.
    Answered { took: Duration },
    /// 429.
    Throttled(Option<Duration>),
    /// 5xx, 408, 425, with or without `Retry-After`; a connection that broke in the body.
    Ill(Option<Duration>),
    /// A time-out has been waited for.
    Silent,
    /// No connection, or none that lasted until the headers.
    Unreachable,
    /// It was not sent, or failed for a reason of ours.
    Nothing,
}

impl Came {
    pub fn of(result: &Result<Answer, FetchError>, took: Duration) -> Came {
        match result {
            Ok(_) => Came::Answered { took },
            Err(error) => Came::of_error(error, took),
        }
    }

    pub fn of_error(error: &FetchError, took: Duration) -> Came {
        match error {
            FetchError::Status {
                status,
                retry_after,
                ..
            } => Came::of_status(*status, *retry_after, error.class(), took),
            FetchError::NoAnswer { .. } | FetchError::Stalled { .. } => Came::Silent,
            FetchError::Unreachable { .. } => Came::Unreachable,
            FetchError::Forbidden { .. } => Came::Nothing,
            _ => match error.class() {
                Class::Retry => Came::Ill(None),
                Class::Skip => Came::Answered { took },
                Class::Stop => Came::Nothing,
            },
        }
    }

    fn of_status(status: u16, wait: Option<Duration>, class: Class, took: Duration) -> Came {
        match (status, class) {
            (429, _) => Came::Throttled(wait),
            (_, Class::Retry) => Came::Ill(wait),
            _ => Came::Answered { took },
        }
    }

    pub(super) fn failure(self) -> Option<Failure> {
        match self {
            Came::Throttled(wait) => Some(Failure::Throttled(wait)),
            Came::Ill(wait) => Some(Failure::Ill(wait)),
            Came::Silent => Some(Failure::Silent),
            Came::Unreachable => Some(Failure::Unreachable),
            Came::Answered { .. } | Came::Nothing => None,
        }
    }
}

/// Times of the day (UTC) in which nothing is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuietHours {
    /// Minutes of the day, from and to, in order, apart from each other, none over midnight.
    windows: Vec<(u32, u32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QuietHoursError {
    #[error(
        "quiet_hours: `{text}` is no time of the day; write `HH:MM-HH:MM` in UTC, such as `22:00-06:00`"
    )]
    Malformed { text: String },
    #[error(
        "quiet_hours: `{text}` begins and ends at the same time; leave it out, or give it a length"
    )]
    NoLength { text: String },
    #[error("quiet_hours: {text} leave no time of the day in which to crawl; shorten one of them")]
    AllDay { text: String },
}

impl QuietHours {
    /// `HH:MM-HH:MM` each, over midnight if the end lies before the beginning.
    ///
    /// # Errors
    /// Names the text that is no such window, or all of them if they cover the whole day.
    pub fn parse(texts: &[String]) -> Result<QuietHours, QuietHoursError> {
        let mut parts = Vec::new();
        for text in texts {
            let (from, to) =
                window(text).ok_or_else(|| QuietHoursError::Malformed { text: text.clone() })?;
            if from == to {
                return Err(QuietHoursError::NoLength { text: text.clone() });
            }
            if from < to {
                parts.push((from, to));
            } else {
                parts.push((from, MINUTES_A_DAY));
                parts.push((0, to));
            }
        }
        parts.sort_unstable();
        let mut windows: Vec<(u32, u32)> = Vec::new();
        for (from, to) in parts {
            match windows.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ if from < to => windows.push((from, to)),
                _ => (),
            }
        }
        if windows == [(0, MINUTES_A_DAY)] {
            let quoted: Vec<_> = texts.iter().map(|text| format!("`{text}`")).collect();
            return Err(QuietHoursError::AllDay {
                text: quoted.join(", "),
            });
        }
        Ok(QuietHours { windows })
    }

    /// Until when nothing is sent, if that is so now; both in seconds since 1970.
    pub fn active(&self, wall: i64) -> Option<i64> {
        if self.windows.is_empty() {
            return None;
        }
        let second = wall.rem_euclid(i64::from(MINUTES_A_DAY) * 60);
        let now = |window: &&(u32, u32)| {
            (i64::from(window.0) * 60..i64::from(window.1) * 60).contains(&second)
        };
        let (_, to) = *self.windows.iter().find(now)?;
        let beyond_midnight = match (to, self.windows.first()) {
            (MINUTES_A_DAY, Some((0, morning))) => *morning,
            _ => 0,
        };
        Some(wall - second + i64::from(to + beyond_midnight) * 60)
    }
}

fn window(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.trim().split_once('-')?;
    let (from, to) = (minute(from)?, minute(to)?);
    (from < MINUTES_A_DAY).then_some((from, to))
}

/// Minutes since midnight; `24:00` is the end of the day.
fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_number = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= MINUTES_A_DAY).then_some(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::PageUrl;

    /// 2026-11-21 00:00 UTC.
    const MIDNIGHT: i64 = 1_795_219_200;

    fn quiet(texts: &[&str]) -> Result<QuietHours, QuietHoursError> {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        QuietHours::parse(&texts)
    }

    fn at(clock: &str) -> i64 {
        MIDNIGHT + i64::from(minute(clock).unwrap()) * 60
    }

    /// Promise: windows begin at their first second and end at the last one before their end, also over
    /// midnight, and what touches or overlaps is one window.
    #[test]
    fn windows_are_kept_to_the_second() {
        let night = quiet(&["22:00-06:00"]).unwrap();
        assert_eq!(night.active(at("22:00") - 1), None);
        assert_eq!(night.active(at("22:00")), Some(at("24:00") + 6 * 3600));
        assert_eq!(night.active(at("00:00")), Some(at("06:00")));
        assert_eq!(night.active(at("06:00") - 1), Some(at("06:00")));
        assert_eq!(night.active(at("06:00")), None);
        let several = quiet(&[
            "12:00-13:00",
            " 08:00 - 09:30 ",
            "09:30-10:00",
            "09:00-09:10",
        ])
        .unwrap();
        assert_eq!(several.active(at("08:00")), Some(at("10:00")));
        assert_eq!(several.active(at("10:00")), None);
        assert_eq!(several.active(at("12:59")), Some(at("13:00")));
        let split = quiet(&["00:00-05:00", "23:00-24:00"]).unwrap();
        assert_eq!(split.active(at("23:30")), Some(at("24:00") + 5 * 3600));
        assert_eq!(
            quiet(&["23:00-00:00"]).unwrap().active(at("23:59")),
            Some(at("24:00"))
        );
        assert_eq!(quiet(&[]).unwrap().active(at("03:00")), None);
        assert_eq!(night.active(-1), Some(6 * 3600));
    }

    /// Promise: what is no window is refused by name, and so are windows that leave no time to crawl.
    #[test]
    fn what_is_no_window_is_named() {
        for text in [
            "22-6",
            "22:00",
            "25:00-26:00",
            "22:60-23:00",
            "a",
            "",
            "24:00-06:00",
            "2:00-3:00",
            "22:00-06:00-07:00",
            "+1:00-02:00",
        ] {
            let message = quiet(&[text]).unwrap_err().to_string();
            assert!(message.contains(&format!("`{text}`")), "{message}");
        }
        let message = quiet(&["06:00-06:00"]).unwrap_err().to_string();
        assert!(message.contains("`06:00-06:00`"), "{message}");
        for all in [
            &["00:00-24:00"][..],
            &["00:00-12:00", "11:00-23:30", "23:00-00:00"],
            &["12:00-00:00", "00:00-12:00"],
        ] {
            let message = quiet(all).unwrap_err().to_string();
            assert!(message.contains("no time of the day"), "{message}");
        }
        assert!(quiet(&["00:01-00:00"]).is_ok());
    }

    const TOOK: Duration = Duration::from_millis(5);
    const ANSWERED: Came = Came::Answered { took: TOOK };

    fn url() -> PageUrl {
        PageUrl::parse("https://www.example/a").unwrap()
    }

    /// Promise: each status says what it should about the host, and a missing or forbidden page nothing bad.
    #[test]
    fn statuses_say_what_they_show() {
        let wait = Some(Duration::from_secs(7));
        let status = |status, retry_after| {
            let error = FetchError::Status {
                url: url(),
                status,
                retry_after,
            };
            Came::of(&Err(error), TOOK)
        };
        for (code, retry_after, expected) in [
            (429, None, Came::Throttled(None)),
            (429, wait, Came::Throttled(wait)),
            (503, wait, Came::Ill(wait)),
            (503, None, Came::Ill(None)),
            (500, wait, Came::Ill(wait)),
            (408, None, Came::Ill(None)),
            (425, None, Came::Ill(None)),
            (501, None, ANSWERED),
            (403, None, ANSWERED),
            (403, wait, ANSWERED),
            (400, None, ANSWERED),
        ] {
            assert_eq!(status(code, retry_after), expected, "{code}");
        }
        let gone = Came::of(&Ok(Answer::Gone { status: 404 }), TOOK);
        assert_eq!(gone, ANSWERED);
    }

    /// Promise: what failed on the way tells a silent host from an ill one, and our own refusals say nothing.
    #[test]
    fn failures_say_what_they_show() {
        let why = || "it is so".to_owned();
        for (error, expected) in [
            (
                FetchError::Unreachable {
                    url: url(),
                    why: why(),
                },
                Came::Unreachable,
            ),
            (
                FetchError::NoAnswer {
                    url: url(),
                    waited: TOOK,
                },
                Came::Silent,
            ),
            (
                FetchError::Stalled {
                    url: url(),
                    got: 7,
                    came: 0,
                    waited: TOOK,
                },
                Came::Silent,
            ),
            (
                FetchError::Truncated {
                    url: url(),
                    got: 7,
                    said: None,
                    why: why(),
                },
                Came::Ill(None),
            ),
            (FetchError::EmptyPage { url: url() }, Came::Ill(None)),
            (
                FetchError::TooLarge {
                    url: url(),
                    limit: 7,
                },
                ANSWERED,
            ),
            (
                FetchError::Forbidden {
                    url: url(),
                    why: why(),
                },
                Came::Nothing,
            ),
        ] {
            assert_eq!(Came::of_error(&error, TOOK), expected, "{error}");
        }
    }
}
