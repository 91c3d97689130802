//! `[crawl]`: how the site is asked, and where a crawl ends that would not end by itself.
//!
//! Whatever is a list of expressions, hours or headers is checked here as far as it can be without the
//! site, so that a slip of the pen is told before the first request.

use super::schema::{CrawlShape, Size};
use super::source::{
    Source, check_concurrency, check_parameters, check_pattern, check_share, is_header_value,
    is_token,
};
use super::{ConfigError, CrawlConfig};

/// The longest wait that can be configured; anything longer is a unit mistaken.
const TIMEOUT_S_MAX: u64 = 3_600;

/// When a page was last seen and named is remembered for little more than a year.
const DAYS_MAX: u64 = 365;

/// A body that fits must fit with some others: below this a crawl would go one page at a time.
const MEMORY_MIN: u64 = 1 << 20;

/// Tables and listings of ordinary pages shrink to a tenth.
const DECOMPRESSION_RATIO_MIN: u64 = 10;

const MINUTES_A_DAY: usize = 24 * 60;

/// The section with its defaults, once every value can work.
pub(super) fn checked(shape: CrawlShape, source: &Source<'_>) -> Result<CrawlConfig, ConfigError> {
    let crawl = filled_in(shape);
    check_requests(&crawl, source)?;
    check_strategy(&crawl, source)?;
    check_bounds(&crawl, source)?;
    check_quiet_hours(&crawl.quiet_hours, source)?;
    for (index, pattern) in crawl.forms.iter().enumerate() {
        let compiled = regex::Regex::new(pattern).map(|_| ());
        check_pattern(pattern, compiled, &format!("crawl.forms[{index}]"), source)?;
    }
    let mirror_headers = mirror_headers(&crawl.mirror_headers, source)?;
    Ok(CrawlConfig {
        mirror_headers,
        ..crawl
    })
}

/// What is not written is as by default.
fn filled_in(shape: CrawlShape) -> CrawlConfig {
    let or = CrawlConfig::default();
    let size = |size: Option<Size>, default: u64| size.map_or(default, |size| size.0);
    CrawlConfig {
        concurrency: shape.concurrency.unwrap_or(or.concurrency),
        rate_per_second: shape.rate_per_second,
        connect_timeout_s: shape.connect_timeout_s.unwrap_or(or.connect_timeout_s),
        answer_timeout_s: shape.answer_timeout_s.unwrap_or(or.answer_timeout_s),
        idle_timeout_s: shape.idle_timeout_s.unwrap_or(or.idle_timeout_s),
        user_agent: shape.user_agent.unwrap_or(or.user_agent),
        body_max: size(shape.body_max, or.body_max),
        memory: size(shape.memory, or.memory),
        attempts: shape.attempts.unwrap_or(or.attempts),
        strategy: shape.strategy,
        max_age_days: shape.max_age_days.unwrap_or(or.max_age_days),
        refetch_share: shape.refetch_share.unwrap_or(or.refetch_share),
        retire_after_days: shape.retire_after_days,
        forms: shape.forms,
        forms_max: shape.forms_max.unwrap_or(or.forms_max),
        quiet_hours: shape.quiet_hours,
        mirror_headers: shape.mirror_headers.unwrap_or(or.mirror_headers),
        path_segments_max: shape.path_segments_max.unwrap_or(or.path_segments_max),
        segment_repeats_max: shape.segment_repeats_max.unwrap_or(or.segment_repeats_max),
        query_variants_max: shape.query_variants_max.unwrap_or(or.query_variants_max),
        session_parameters: shape.session_parameters,
        decompression_ratio_max: shape
            .decompression_ratio_max
            .unwrap_or(or.decompression_ratio_max),
        disk_free_min: size(shape.disk_free_min, or.disk_free_min),
    }
}

fn check_requests(crawl: &CrawlConfig, source: &Source<'_>) -> Result<(), ConfigError> {
    check_concurrency(crawl.concurrency, "crawl.concurrency", source)?;
    if crawl
        .rate_per_second
        .is_some_and(|rate| !rate.is_finite() || rate <= 0.0)
    {
        let problem = "must be more than 0; leave it out for no fixed rate";
        return Err(source.invalid("crawl.rate_per_second", problem));
    }
    for (path, seconds) in [
        ("crawl.connect_timeout_s", crawl.connect_timeout_s),
        ("crawl.answer_timeout_s", crawl.answer_timeout_s),
        ("crawl.idle_timeout_s", crawl.idle_timeout_s),
    ] {
        if !(1..=TIMEOUT_S_MAX).contains(&seconds) {
            return Err(source.invalid(path, format!("must be 1 to {TIMEOUT_S_MAX} seconds")));
        }
    }
    if !is_header_value(&crawl.user_agent) {
        return Err(source.invalid("crawl.user_agent", "must be visible ASCII characters"));
    }
    if crawl.attempts == 0 {
        return Err(source.invalid("crawl.attempts", "must be at least 1"));
    }
    Ok(())
}

fn check_strategy(crawl: &CrawlConfig, source: &Source<'_>) -> Result<(), ConfigError> {
    if !(1..=DAYS_MAX).contains(&crawl.max_age_days) {
        let problem = format!(
            "must be 1 to {DAYS_MAX} days; to ask for every page in every run write strategy = \"full\""
        );
        return Err(source.invalid("crawl.max_age_days", problem));
    }
    check_share(crawl.refetch_share, "crawl.refetch_share", source)?;
    let days = crawl.retire_after_days;
    if days.is_some_and(|days| !(1..=DAYS_MAX).contains(&days)) {
        let problem = format!("must be 1 to {DAYS_MAX} days; leave it out to retire nothing");
        return Err(source.invalid("crawl.retire_after_days", problem));
    }
    if crawl.forms_max == 0 {
        let problem = "must be at least 1; to enumerate no form leave crawl.forms out";
        return Err(source.invalid("crawl.forms_max", problem));
    }
    Ok(())
}

fn check_bounds(crawl: &CrawlConfig, source: &Source<'_>) -> Result<(), ConfigError> {
    if crawl.body_max == 0 {
        return Err(source.invalid("crawl.body_max", "must be at least 1 byte"));
    }
    if crawl.memory < MEMORY_MIN {
        return Err(source.invalid("crawl.memory", "must be at least 1MiB"));
    }
    if crawl.decompression_ratio_max < DECOMPRESSION_RATIO_MIN {
        let problem = format!(
            "must be at least {DECOMPRESSION_RATIO_MIN}: ordinary pages are compressed that well"
        );
        return Err(source.invalid("crawl.decompression_ratio_max", problem));
    }
    for (path, none) in [
        ("crawl.path_segments_max", crawl.path_segments_max == 0),
        ("crawl.segment_repeats_max", crawl.segment_repeats_max == 0),
        ("crawl.query_variants_max", crawl.query_variants_max == 0),
    ] {
        if none {
            let problem = "must be at least 1; write a large number for no limit";
            return Err(source.invalid(path, problem));
        }
    }
    let parameters = crawl.session_parameters.as_deref().unwrap_or_default();
    check_parameters(parameters, "crawl.session_parameters", source)
}

/// Every period can be read, and all of them together leave some of the day.
fn check_quiet_hours(periods: &[String], source: &Source<'_>) -> Result<(), ConfigError> {
    let mut quiet = [false; MINUTES_A_DAY];
    for (index, written) in periods.iter().enumerate() {
        let path = format!("crawl.quiet_hours[{index}]");
        let Some((from, until)) = period(written) else {
            let problem = format!(
                "`{written}` is no period of the day; write \"HH:MM-HH:MM\" in UTC, such as \"22:00-06:00\""
            );
            return Err(source.invalid(&path, problem));
        };
        if from == until {
            let problem = format!("`{written}` begins and ends in the same minute");
            return Err(source.invalid(&path, problem));
        }
        let mut minute = from;
        while minute != until {
            quiet[minute] = true;
            minute = (minute + 1) % MINUTES_A_DAY;
        }
    }
    if quiet.iter().all(|quiet| *quiet) {
        let problem = "leave no minute of the day to crawl in";
        return Err(source.invalid("crawl.quiet_hours", problem));
    }
    Ok(())
}

/// Minutes after midnight, from and until.
fn period(text: &str) -> Option<(usize, usize)> {
    let (from, until) = text.split_once('-')?;
    Some((minute(from)?, minute(until)?))
}

fn minute(text: &str) -> Option<usize> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str| -> Option<usize> {
        let two_digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        two_digits.then(|| text.parse().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

/// Names in lower case, since that is how answers hold them; parts of values as they are written.
fn mirror_headers(written: &[String], source: &Source<'_>) -> Result<Vec<String>, ConfigError> {
    let mut headers = Vec::with_capacity(written.len());
    for (index, header) in written.iter().enumerate() {
        let (name, part) = match header.split_once(':') {
            Some((name, part)) => (name.trim(), Some(part.trim())),
            None => (header.trim(), None),
        };
        if !is_token(name) || part.is_some_and(|part| !is_header_value(part)) {
            let problem = format!(
                "`{header}` is no header; write its name, or its name and a part of its value, such as \"x-served-by: mirror\""
            );
            return Err(source.invalid(&format!("crawl.mirror_headers[{index}]"), problem));
        }
        let name = name.to_ascii_lowercase();
        headers.push(part.map_or_else(|| name.clone(), |part| format!("{name}: {part}")));
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::StrategyName;
    use super::super::load::parse;
    use super::super::load::tests::{SITE, cases, refused};
    use super::*;

    fn crawl(text: &str) -> CrawlConfig {
        let text = format!("{SITE}[crawl]\n{text}");
        let config = parse(&text, Path::new("standin.toml"), &|_| None);
        config.unwrap().crawl
    }

    #[test]
    fn what_cannot_work_is_refused() {
        // Promise: a number, an expression, a period or a header that cannot work is refused at its
        // line, with the bounds or the way to say what was meant.
        for (text, expected) in cases(REFUSED) {
            assert_eq!(refused(&format!("{SITE}[crawl]\n{text}")), expected);
        }
    }

    #[test]
    fn values_arrive_as_they_are_written() {
        // Promise: what is written takes the place of the default, an empty list of headers too; names
        // of headers know no case.
        let asked = crawl(
            "strategy = \"lastmod\"\nmax_age_days = 7\nrefetch_share = 1\nretire_after_days = 365\n\
             forms = [\"/y/\"]\nforms_max = 20\nquiet_hours = [\"22:00-06:00\", \"12:30-12:31\"]\n\
             mirror_headers = [\"X-Served-By:Mirror 2\", \" X-Backup \"]\npath_segments_max = 9\n\
             segment_repeats_max = 2\nquery_variants_max = 10\nsession_parameters = [\"sid\"]\n\
             decompression_ratio_max = 1000\ndisk_free_min = \"5GB\"",
        );
        let expected = CrawlConfig {
            strategy: StrategyName::Lastmod,
            max_age_days: 7,
            refetch_share: 1.0,
            retire_after_days: Some(365),
            forms: vec!["/y/".to_owned()],
            forms_max: 20,
            quiet_hours: vec!["22:00-06:00".to_owned(), "12:30-12:31".to_owned()],
            mirror_headers: vec!["x-served-by: Mirror 2".to_owned(), "x-backup".to_owned()],
            path_segments_max: 9,
            segment_repeats_max: 2,
            query_variants_max: 10,
            session_parameters: Some(vec!["sid".to_owned()]),
            decompression_ratio_max: 1_000,
            disk_free_min: 5_000_000_000,
            ..CrawlConfig::default()
        };
        assert_eq!(asked, expected);
        let none = crawl("mirror_headers = []\nsession_parameters = []\ndisk_free_min = 0");
        assert_eq!(none.mirror_headers, Vec::<String>::new());
        assert_eq!(none.session_parameters, Some(Vec::new()));
        assert_eq!(none.disk_free_min, 0);
    }

    #[test]
    fn a_period_is_two_minutes_of_a_day() {
        // Promise: only times that a clock shows are taken, and midnight may lie in between.
        assert_eq!(period("00:00-23:59"), Some((0, 1_439)));
        assert_eq!(period("22:00-06:30"), Some((1_320, 390)));
        for text in [
            "",
            "-",
            "6-7",
            "06:00",
            "6:00-07:00",
            "06:00-24:00",
            "06:60-07:00",
            "06:00–07:00",
            "06:00 - 07:00",
            "+6:00-07:00",
            "06:00-07:00-08:00",
        ] {
            assert_eq!(period(text), None, "{text}");
        }
    }

    /// What follows [`SITE`] and `[crawl]`.
    const REFUSED: &str = r#"
user_agent = ""
=> standin.toml:4: crawl.user_agent: must be visible ASCII characters

rate_per_second = 0
=> standin.toml:4: crawl.rate_per_second: must be more than 0; leave it out for no fixed rate

rate_per_second = nan
=> standin.toml:4: crawl.rate_per_second: must be more than 0; leave it out for no fixed rate

concurrency = 0
=> standin.toml:4: crawl.concurrency: must be 1 to 1024

connect_timeout_s = 0
=> standin.toml:4: crawl.connect_timeout_s: must be 1 to 3600 seconds

body_max = 0
=> standin.toml:4: crawl.body_max: must be at least 1 byte

memory = "1KB"
=> standin.toml:4: crawl.memory: must be at least 1MiB

attempts = 0
=> standin.toml:4: crawl.attempts: must be at least 1

strategy = "sometimes"
=> standin.toml:4: crawl.strategy: unknown variant `sometimes`, expected `full` or `lastmod`

max_age_days = 0
=> standin.toml:4: crawl.max_age_days: must be 1 to 365 days; to ask for every page in every run write strategy = "full"

refetch_share = 2
=> standin.toml:4: crawl.refetch_share: is a share, from 0 to 1 (5 % is 0.05)

retire_after_days = 0
=> standin.toml:4: crawl.retire_after_days: must be 1 to 365 days; leave it out to retire nothing

forms = ["/a", "("]
=> standin.toml:4: crawl.forms: `(` is no regular expression: unclosed group

forms_max = 0
=> standin.toml:4: crawl.forms_max: must be at least 1; to enumerate no form leave crawl.forms out

quiet_hours = "22:00-06:00"
=> standin.toml:4: crawl.quiet_hours: expected a list of texts, such as ["one", "two"]

quiet_hours = ["22-6"]
=> standin.toml:4: crawl.quiet_hours: `22-6` is no period of the day; write "HH:MM-HH:MM" in UTC, such as "22:00-06:00"

quiet_hours = ["06:00-06:00"]
=> standin.toml:4: crawl.quiet_hours: `06:00-06:00` begins and ends in the same minute

quiet_hours = ["00:00-12:00", "12:00-00:00"]
=> standin.toml:4: crawl.quiet_hours: leave no minute of the day to crawl in

mirror_headers = ["x served by"]
=> standin.toml:4: crawl.mirror_headers: `x served by` is no header; write its name, or its name and a part of its value, such as "x-served-by: mirror"

mirror_headers = ["x-mirror", "x-served-by:"]
=> standin.toml:4: crawl.mirror_headers: `x-served-by:` is no header; write its name, or its name and a part of its value, such as "x-served-by: mirror"

path_segments_max = 0
=> standin.toml:4: crawl.path_segments_max: must be at least 1; write a large number for no limit

segment_repeats_max = 0
=> standin.toml:4: crawl.segment_repeats_max: must be at least 1; write a large number for no limit

query_variants_max = 0
=> standin.toml:4: crawl.query_variants_max: must be at least 1; write a large number for no limit

session_parameters = ["a=b"]
=> standin.toml:4: crawl.session_parameters: is a list of parameter names, such as ["page"]

decompression_ratio_max = 1
=> standin.toml:4: crawl.decompression_ratio_max: must be at least 10: ordinary pages are compressed that well

disk_free_min = "much"
=> standin.toml:4: crawl.disk_free_min: invalid value: string "much", expected a number of bytes, or a text like "4GB" or "64MiB"
"#;
}
