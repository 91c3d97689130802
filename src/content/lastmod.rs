//! The times in sitemaps and feeds, in seconds since 1970.

use time::format_description::well_known::Rfc2822;
use time::{Date, Month, OffsetDateTime, Time};

/// A time as sitemaps and Atom write it (W3C: `2024`, `2024-05`, `2024-05-17`, `2024-05-17T10:00Z`,
/// `2024-05-17T10:00:00.5+02:00`) or as RSS does (`Fri, 17 May 2024 10:00:00 GMT`). A time without a zone counts as
/// UTC. `None` for whatever else: a time that is not understood says nothing.
pub(super) fn parse(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    w3c(text).or_else(|| {
        let read = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        Some(read.unix_timestamp())
    })
}

fn w3c(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |month| number(month, 2))?;
    let day = parts.next().map_or(Some(1), |day| number(day, 2))?;
    let is_whole_date = date.len() == "2024-05-17".len();
    if parts.next().is_some() || (time.is_some() && !is_whole_date) {
        return None;
    }
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, u8::try_from(day).ok()?).ok()?;
    let (time, offset) = match time {
        Some(time) => clock(time)?,
        None => (Time::MIDNIGHT, 0),
    };
    Some(date.with_time(time).assume_utc().unix_timestamp() - offset)
}

/// A time of day and how many seconds its zone is ahead of UTC.
fn clock(text: &str) -> Option<(Time, i64)> {
    let zone = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let offset = match text[zone..].trim() {
        "" | "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits = zone[1..].replace(':', "");
            let digits = number(&digits, 4)?;
            sign * i64::from(digits / 100 * 3600 + digits % 100 * 60)
        }
    };
    let mut parts = text[..zone].trim().split(':');
    let hour = small(parts.next()?)?;
    let minute = small(parts.next()?)?;
    let second = match parts.next() {
        Some(second) => small(second.split(['.', ',']).next()?)?,
        None => 0,
    };
    if parts.next().is_some() {
        return None;
    }
    // The second that is inserted now and then.
    let time = Time::from_hms(hour, minute, second.min(59)).ok()?;
    (second <= 60).then_some((time, offset))
}

fn small(text: &str) -> Option<u8> {
    u8::try_from(number(text, 2)?).ok()
}

/// A number of exactly so many digits.
fn number(text: &str, digits: usize) -> Option<i32> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_all_the_forms_that_the_standards_allow() {
        // The moment in question is 2024-05-17T10:00:00Z.
        const MOMENT: i64 = 1_715_940_000;
        const DAY: i64 = 1_715_904_000;
        let rows = [
            ("2024-05-17T10:00:00Z", Some(MOMENT)),
            (" 2024-05-17T12:00:00+02:00\n", Some(MOMENT)),
            ("2024-05-17T05:30:00-0430", Some(MOMENT)),
            ("2024-05-17T10:00Z", Some(MOMENT)),
            ("2024-05-17T10:00:00.999Z", Some(MOMENT)),
            ("2024-05-17T10:00:00", Some(MOMENT)),
            ("2024-05-17 10:00:00", Some(MOMENT)),
            ("Fri, 17 May 2024 10:00:00 GMT", Some(MOMENT)),
            ("Fri, 17 May 2024 12:00:00 +0200", Some(MOMENT)),
            ("17 May 2024 06:00:00 EDT", Some(MOMENT)),
            ("2024-05-17", Some(DAY)),
            ("2024-05", Some(DAY - 16 * 86_400)),
            ("1970", Some(0)),
            ("1969-12-31", Some(-86_400)),
            ("2024-02-30", None),
            ("2024-13-01", None),
            ("2024-5-17", None),
            ("2024-05-17T25:00Z", None),
            ("2024-05-17T10Z", None),
            ("2024T10:00Z", None),
            ("2024-05-17T10:00:00+2", None),
            ("24-05-17", None),
            ("+024-05-17", None),
            ("yesterday", None),
            ("", None),
            ("\u{e9}", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
    }
}
