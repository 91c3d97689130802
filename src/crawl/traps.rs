//! What looks endless: paths that grow by repeating themselves, session ids, calendars without an end, one page
//! under thousands of queries. Each rule looks at the URL alone, or counts queries in fixed memory; none of them
//! counts siblings, since a folder of 100,000 pages is a large site and no trap. A page left out by mistake is
//! worse than some thousand requests too many, so every rule errs towards asking. URLs of seeds and sitemaps are
//! meant by somebody: nobody asks here about them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::tally::TrapLine;
use crate::site::PageUrl;

/// A calendar may show appointments so far ahead, in years.
const CALENDAR_YEARS_AHEAD: i32 = 20;

/// Years beyond that one in which a number is taken for a year at all. Who walks a calendar month by month cannot
/// pass them, and `/events/4711/12` stays a page.
const CALENDAR_YEARS_STOPPED: i32 = 100;

/// A calendar, and no archive, says something of months from before this year.
const CALENDAR_YEAR_FIRST: i32 = 1900;

/// Fewer letters and digits are no session id: `sid=7` is a page.
const SESSION_SIGNS_MIN: usize = 8;

/// So many letters and digits are one even without a digit among letters.
const SESSION_SIGNS_SURE: usize = 16;

/// Lines of the report; one more holds all that found no place in them.
const LINES_MAX: usize = 50;

/// The last line of a full report.
const ELSEWHERE: &str = "looks endless, in other places";

/// Segments of a path by which the report tells places apart.
const PLACE_SEGMENTS: usize = 2;

/// Bytes of such a place that are shown.
const PLACE_BYTES_MAX: usize = 120;

/// How many counters [`Variants`] has in each of its rows, and how many rows: 4 × 65,536 × 4 bytes are 1 MiB.
const COUNTERS: usize = 1 << 16;
const ROWS: usize = 4;

/// The bounds, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrapLimits {
    /// `crawl.path_segments_max`.
    pub segments_max: usize,
    /// `crawl.segment_repeats_max`: how often one segment may stand in a path.
    pub repeats_max: usize,
    /// `crawl.query_variants_max`: how many queries of one path are asked for.
    pub variants_max: u32,
    /// `crawl.session_parameters`: names, in any case; one that ends in `*` stands for all that begin so.
    pub session_parameters: Vec<String>,
}

/// Why a URL looks endless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trap {
    Depth {
        segments: usize,
        max: usize,
    },
    Repeat {
        segment: String,
        times: usize,
        max: usize,
    },
    Session {
        parameter: String,
    },
    Calendar {
        year: i32,
    },
    Variants {
        max: u32,
    },
}

impl Default for TrapLimits {
    fn default() -> TrapLimits {
        let names = [
            "PHPSESSID",
            "jsessionid",
            "sid",
            "sessid",
            "session",
            "sessionid",
            "session_id",
            "session-id",
            "aspsessionid*",
            "cfid",
            "cftoken",
            "zenid",
            "oscsid",
            "phpsid",
        ];
        TrapLimits {
            segments_max: 32,
            repeats_max: 4,
            variants_max: 5_000,
            session_parameters: names.map(str::to_owned).to_vec(),
        }
    }
}

impl TrapLimits {
    /// The first rule by which this URL alone looks endless; `now` in seconds since 1970.
    pub fn of(&self, url: &PageUrl, now: i64) -> Option<Trap> {
        self.depth(url)
            .or_else(|| self.repeat(url))
            .or_else(|| self.session(url))
            .or_else(|| calendar(url, now))
    }

    /// The same page without its session id, for who finds [`Trap::Session`]: on a site that adds one to every
    /// link, this is the URL that people share.
    pub fn without_session(&self, url: &PageUrl) -> Option<PageUrl> {
        self.session(url)?;
        let path: Vec<String> = url
            .path()
            .split('/')
            .map(|segment| self.kept_of(segment, ';'))
            .collect();
        let mut text = [url.origin(), &path.join("/")].concat();
        let query = self.kept_of(url.query().unwrap_or_default(), '&');
        if !query.is_empty() {
            text.push('?');
            text.push_str(&query);
        }
        PageUrl::parse(&text).ok()
    }

    fn depth(&self, url: &PageUrl) -> Option<Trap> {
        let segments = segments(url).count();
        let max = self.segments_max;
        (segments > max).then_some(Trap::Depth { segments, max })
    }

    fn repeat(&self, url: &PageUrl) -> Option<Trap> {
        let max = self.repeats_max;
        let mut segments: Vec<&str> = segments(url).collect();
        if segments.len() <= max {
            return None;
        }
        segments.sort_unstable();
        let most = segments
            .chunk_by(|a, b| a == b)
            .max_by_key(|same| same.len())?;
        (most.len() > max).then(|| Trap::Repeat {
            segment: most[0].to_owned(),
            times: most.len(),
            max,
        })
    }

    fn session(&self, url: &PageUrl) -> Option<Trap> {
        let in_path = segments(url).flat_map(|segment| segment.split(';').skip(1));
        let in_query = url.query().unwrap_or_default().split('&');
        let found = in_path
            .chain(in_query)
            .find(|piece| self.is_session(piece))?;
        let (parameter, _) = found.split_once('=')?;
        Some(Trap::Session {
            parameter: parameter.to_owned(),
        })
    }

    /// Whether `name=value` gives a session's id.
    fn is_session(&self, piece: &str) -> bool {
        let Some((name, value)) = piece.split_once('=') else {
            return false;
        };
        looks_random(value)
            && self
                .session_parameters
                .iter()
                .any(|known| is_named(name, known))
    }

    /// The pieces without session ids. What stands before the first `;` of a segment is no parameter.
    fn kept_of(&self, text: &str, separator: char) -> String {
        let pieces: Vec<&str> = text
            .split(separator)
            .enumerate()
            .filter(|(index, piece)| (separator == ';' && *index == 0) || !self.is_session(piece))
            .map(|(_, piece)| piece)
            .collect();
        pieces.join(&separator.to_string())
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trap::Depth { segments, max } => write!(
                out,
                "{segments} path segments, more than {max} (crawl.path_segments_max)"
            ),
            Trap::Repeat {
                segment,
                times,
                max,
            } => write!(
                out,
                "`{segment}` {times} times in one path, more than {max} (crawl.segment_repeats_max)"
            ),
            Trap::Session { parameter } => write!(
                out,
                "a session id in `{parameter}` (crawl.session_parameters)"
            ),
            Trap::Calendar { year } => write!(
                out,
                "a calendar's page for {year}: more than {CALENDAR_YEARS_AHEAD} years ahead or before \
                 {CALENDAR_YEAR_FIRST} (a seed or a sitemap may name it)"
            ),
            Trap::Variants { max } => write!(
                out,
                "more than {max} query variants of one path (crawl.query_variants_max)"
            ),
        }
    }
}

/// How many queries of each path have been admitted, in 1 MiB whatever the site: a count-min sketch. It never
/// counts too few. Too many, with N URLs that have queries in the whole crawl, by more than N / 24,000 in fewer
/// than 2 of 100 paths (the sketch's bound: e / 65,536 of N, with probability 1 - e⁻⁴), so by some 40 of 5,000
/// at a million of them, and in practice by less, since only the lowest counters are raised. What has reached the
/// limit is not counted any further. A crawl that goes on after a kill counts from zero.
#[derive(Debug)]
pub struct Variants {
    counters: Vec<u32>,
}

impl Default for Variants {
    fn default() -> Variants {
        Variants {
            counters: vec![0; COUNTERS * ROWS],
        }
    }
}

impl Variants {
    /// Counts a URL, to be asked about once. One without a query is no variant.
    pub fn admit(&mut self, url: &PageUrl, limits: &TrapLimits) -> Result<(), Trap> {
        if url.query().is_none() {
            return Ok(());
        }
        let places = places(url);
        let counted = places.map(|place| self.counters[place]);
        let least = *counted.iter().min().expect("a sketch has rows");
        let max = limits.variants_max;
        if least >= max {
            return Err(Trap::Variants { max });
        }
        for place in places {
            self.counters[place] = self.counters[place].max(least + 1);
        }
        Ok(())
    }
}

/// What a crawl left out as endless: one line per kind and place, bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrapReport {
    lines: Vec<TrapLine>,
}

impl TrapReport {
    /// Goes on from the lines of a crawl that was interrupted.
    pub fn from_lines(lines: Vec<TrapLine>) -> TrapReport {
        TrapReport { lines }
    }

    pub fn note(&mut self, trap: &Trap, url: &PageUrl) {
        let mut what = line_of(trap, url);
        let is_known = self.lines.iter().any(|line| line.what == what);
        if !is_known && self.lines.len() >= LINES_MAX {
            what = ELSEWHERE.to_owned();
        }
        match self.lines.iter_mut().find(|line| line.what == what) {
            Some(line) => line.urls += 1,
            None => self.lines.push(TrapLine {
                what,
                urls: 1,
                example: url.clone(),
            }),
        }
    }

    /// In the order in which they were met.
    #[cfg(test)]
    pub fn lines(&self) -> &[TrapLine] {
        &self.lines
    }

    pub fn into_lines(self) -> Vec<TrapLine> {
        self.lines
    }
}

/// A line's text: the rule and the place, and nothing that differs from URL to URL.
fn line_of(trap: &Trap, url: &PageUrl) -> String {
    let place = place_of(url);
    match trap {
        Trap::Depth { max, .. } => {
            format!("more than {max} path segments (crawl.path_segments_max) below {place}")
        }
        Trap::Repeat { max, .. } => format!(
            "one segment more than {max} times in a path (crawl.segment_repeats_max) below {place}"
        ),
        Trap::Session { .. } => {
            format!("session ids (crawl.session_parameters) below {place}")
        }
        Trap::Calendar { .. } => format!("a calendar without end below {place}"),
        Trap::Variants { max } => {
            let page = shortened(&[url.authority(), url.path()].concat());
            format!("more than {max} query variants of {page} (crawl.query_variants_max)")
        }
    }
}

/// Host and first folders of a URL.
fn place_of(url: &PageUrl) -> String {
    let mut place = url.authority().to_owned();
    let folders: Vec<&str> = segments(url).collect();
    // The last segment is the page, unless it is all there is to tell places apart by.
    let folders = &folders[..folders.len().saturating_sub(1).min(PLACE_SEGMENTS)];
    for folder in folders {
        place.push('/');
        place.push_str(folder.split(';').next().unwrap_or_default());
    }
    place.push('/');
    shortened(&place)
}

fn shortened(place: &str) -> String {
    match place.get(..PLACE_BYTES_MAX) {
        Some(head) if place.len() > PLACE_BYTES_MAX => format!("{head}…"),
        _ => place.to_owned(),
    }
}

/// The segments of a path; what follows a last `/` is none.
fn segments(url: &PageUrl) -> impl Iterator<Item = &str> {
    let path = &url.path()[1..];
    let path = path.strip_suffix('/').unwrap_or(path);
    let count = match path {
        "" => 0,
        path => path.split('/').count(),
    };
    path.split('/').take(count)
}

/// Whether a parameter bears a name of the list.
fn is_named(name: &str, known: &str) -> bool {
    match known.strip_suffix('*') {
        Some(start) => name
            .get(..start.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(start)),
        None => name.eq_ignore_ascii_case(known),
    }
}

/// Whether a value may be a session's id: letters and digits mixed, or many of them. (`sid=leeds-north` and
/// `sid=20261121` are pages.)
fn looks_random(value: &str) -> bool {
    let signs = value.bytes().filter(u8::is_ascii_alphanumeric).count();
    let is_one_word = value
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.!,~:*".contains(&byte));
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let has_letter = value.bytes().any(|byte| byte.is_ascii_alphabetic());
    is_one_word
        && signs >= SESSION_SIGNS_MIN
        && has_digit
        && (has_letter || signs >= SESSION_SIGNS_SURE)
}

/// A month far from today, below a folder that calls itself a calendar.
fn calendar(url: &PageUrl, now: i64) -> Option<Trap> {
    let segments: Vec<&str> = segments(url).collect();
    let (at, year) = (0..segments.len()).find_map(|at| Some((at, year_at(&segments[at..])?)))?;
    let holds = |words: &[&str]| {
        let is_one = |segment: &&str| {
            let segment = segment.to_ascii_lowercase();
            words.iter().any(|word| segment.contains(word))
        };
        segments[..at].iter().any(is_one)
    };
    let today = time::OffsetDateTime::from_unix_timestamp(now).ok()?.year();
    let too_late = today + CALENDAR_YEARS_AHEAD + 1;
    let is_late = (too_late..too_late + CALENDAR_YEARS_STOPPED).contains(&year);
    let is_early =
        (CALENDAR_YEAR_FIRST - CALENDAR_YEARS_STOPPED..CALENDAR_YEAR_FIRST).contains(&year);
    // `/events/1805/10` may well be history.
    let is_trap = (is_late && holds(&["calend", "kalend", "agenda", "event"]))
        || (is_early && holds(&["calend", "kalend"]));
    is_trap.then_some(Trap::Calendar { year })
}

/// The year of `YYYY/MM`, `YYYY-MM` or `YYYY-MM-DD` at the beginning.
fn year_at(segments: &[&str]) -> Option<i32> {
    let (year, month) = match segments[0].split_once('-') {
        Some((year, rest)) => (year, rest.split('-').next().unwrap_or_default()),
        None => (segments[0], *segments.get(1)?),
    };
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_year = year.len() == 4 && is_number(year);
    let is_month = matches!(month.len(), 1 | 2) && is_number(month);
    let month: u32 = if is_year && is_month {
        month.parse().ok()?
    } else {
        0
    };
    (1..=12).contains(&month).then(|| year.parse().ok())?
}

/// One counter in each row for a URL's page. Nobody but the site itself is harmed by who makes them meet.
fn places(url: &PageUrl) -> [usize; ROWS] {
    let mut hasher = DefaultHasher::new();
    (url.origin(), url.path()).hash(&mut hasher);
    let hash = hasher.finish();
    std::array::from_fn(|row| {
        // 16 bits of the hash are a counter of a row.
        let counter = usize::from((hash >> (16 * row)) as u16);
        row * COUNTERS + counter
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21.
    const NOW: i64 = 1_795_258_000;

    fn url(target: &str) -> PageUrl {
        PageUrl::parse(&format!("https://h.org{target}")).unwrap()
    }

    fn told(target: &str) -> String {
        let trap = TrapLimits::default().of(&url(target), NOW);
        trap.map(|trap| trap.to_string()).unwrap_or_default()
    }

    #[test]
    fn endless_paths_are_told_from_long_ones() {
        // Promise: each rule names itself, its option and its limit; just below the limit is a page.
        let deep = |segments: usize| {
            (0..segments)
                .map(|number| format!("/s{number}"))
                .collect::<String>()
        };
        assert_eq!(told(&deep(32)), "");
        assert_eq!(told(&format!("{}/", deep(32))), "");
        assert_eq!(
            told(&deep(33)),
            "33 path segments, more than 32 (crawl.path_segments_max)"
        );
        assert_eq!(told("/a/b/a/b/a/b/a/b"), "");
        assert_eq!(
            told("/a/b/a/b/a/b/a/b/c/a"),
            "`a` 5 times in one path, more than 4 (crawl.segment_repeats_max)"
        );
        assert_eq!(
            told("/a//////"),
            "`` 5 times in one path, more than 4 (crawl.segment_repeats_max)"
        );
        assert_eq!(told("/"), "");
        // Siblings are never counted, however many.
        assert!((0..20_000).all(|number| told(&format!("/f/{number}")).is_empty()));
    }

    #[test]
    fn session_ids_are_told_from_pages() {
        // Promise: a name of the list, in any case, with a value that looks random; everything else is a page.
        let traps = [
            ("/?PHPSESSID=h4k2l9q0s8d7f6g5h4k2l9q0s8", "PHPSESSID"),
            ("/?a=1&phpsessid=abcdef0123", "phpsessid"),
            ("/a;jsessionid=0A1B2C3D4E5F.node1?b", "jsessionid"),
            ("/a;JSESSIONID=0A1B2C3D4E5F/b", "JSESSIONID"),
            ("/?ASPSESSIONIDQQABCD=KJHG76FGHJ", "ASPSESSIONIDQQABCD"),
            ("/?cftoken=1234567890123456", "cftoken"),
            ("/?sid=0c2b4b5e-1d7c-4a2e", "sid"),
        ];
        for (target, parameter) in traps {
            let expected = format!("a session id in `{parameter}` (crawl.session_parameters)");
            assert_eq!(told(target), expected, "{target}");
        }
        for target in [
            "/?sid=7",
            "/?sid=leeds-north",
            "/?sid=20261121",
            "/?session=autumn-2026%20x",
            "/?sid",
            "/?sid=",
            "/?q=h4k2l9q0s8d7f6",
            "/?xsid=h4k2l9q0s8",
            "/sid=h4k2l9q0s8",
            "/?aspsession=h4k2l9q0s8",
        ] {
            assert_eq!(told(target), "", "{target}");
        }
    }

    #[test]
    fn a_page_survives_its_session_id() {
        // Promise: what remains is the page's own URL; one without an id has no other.
        let limits = TrapLimits::default();
        let clean = |target: &str| limits.without_session(&url(target));
        let cases = [
            ("/a;jsessionid=0A1B2C3D4E?b=1", "/a?b=1"),
            ("/a;v=1;jsessionid=0A1B2C3D4E/c", "/a;v=1/c"),
            ("/?sid=0A1B2C3D4E", "/"),
            ("/?a=1&sid=0A1B2C3D4E&b=2", "/?a=1&b=2"),
        ];
        for (target, expected) in cases {
            let page = clean(target).unwrap();
            assert_eq!(page.target(), expected);
            assert_eq!(limits.of(&page, NOW), None);
        }
        assert_eq!(clean("/a?sid=7"), None);
    }

    #[test]
    fn only_calendars_have_an_end() {
        // Promise: a month far away, in a folder called a calendar; dates and numbers elsewhere are pages.
        for (target, year) in [
            ("/calendar/2047/01", 2047),
            ("/Veranstaltungskalender/2146/12/", 2146),
            ("/events/month/2047-02/", 2047),
            ("/events/2050-02-28", 2050),
            ("/en/calendar/1899/12/", 1899),
            ("/calendar/1800/1", 1800),
        ] {
            assert!(
                told(target).contains(&format!("page for {year}:")),
                "{target}"
            );
        }
        for target in [
            "/calendar/2046/12",
            "/calendar/1900/01",
            "/2047/01",
            "/news/2050/06",
            "/calendar/2147/01",
            "/events/4711/12",
            "/events/1805/10",
            "/archive/1863/05",
            "/calendar/2047",
            "/calendar/2047/13",
            "/calendar/2047-net-zero",
            "/2047/01/calendar",
            "/calendar/20470/1",
        ] {
            assert_eq!(told(target), "", "{target}");
        }
    }

    #[test]
    fn query_variants_are_counted_by_path_in_fixed_memory() {
        // Promise: the limit holds exactly for a path of its own, other paths and hosts are not touched, and
        // counting 200,000 URLs of 100,000 paths charges none of them more than the bound that is stated.
        let limits = TrapLimits {
            variants_max: 100,
            ..TrapLimits::default()
        };
        let mut variants = Variants::default();
        assert_eq!(variants.counters.len() * size_of::<u32>(), 1 << 20);
        for number in 0..100 {
            assert_eq!(
                variants.admit(&url(&format!("/s?n={number}")), &limits),
                Ok(())
            );
        }
        let trap = variants.admit(&url("/s?n=100"), &limits).unwrap_err();
        assert_eq!(trap, Trap::Variants { max: 100 });
        assert_eq!(
            trap.to_string(),
            "more than 100 query variants of one path (crawl.query_variants_max)"
        );
        assert_eq!(variants.admit(&url("/s"), &limits), Ok(()));
        let other = PageUrl::parse("https://i.org/s?n=1").unwrap();
        assert_eq!(variants.admit(&other, &limits), Ok(()));

        let mut variants = Variants::default();
        for number in 0..200_000 {
            let page = url(&format!("/p{}?n={number}", number % 100_000));
            variants.admit(&page, &limits).unwrap();
        }
        let bound = 2 + 200_000 / 24_000;
        let is_over = |number: &u32| {
            let places = places(&url(&format!("/p{number}")));
            places.map(|place| variants.counters[place]).iter().min() > Some(&bound)
        };
        let over = (0..100_000).filter(is_over).count();
        assert!(over < 2_000, "{over} of 100,000 paths");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_url_is_judged(target in "(/|;|\\?|&|=|sid=|0a1b2c3d4e|calendar|2047-01|é){0,16}") {
            // Promise: total; and what is left without its session ids holds none.
            let limits = TrapLimits::default();
            let url = url(&format!("/{target}"));
            let _ = limits.of(&url, NOW);
            let mut report = TrapReport::default();
            if let Some(trap) = limits.session(&url) {
                report.note(&trap, &url);
                let clean = limits.without_session(&url).unwrap();
                prop_assert_eq!(limits.session(&clean), None);
            } else {
                prop_assert_eq!(limits.without_session(&url), None);
            }
        }
    }

    #[test]
    fn the_report_has_one_line_per_kind_and_place() {
        // Promise: counts are exact, the first example stays, and a site of many traps has 51 lines.
        let limits = TrapLimits::default();
        let mut report = TrapReport::default();
        for target in [
            "/a/b/c?sid=0A1B2C3D4E",
            "/a/b/d?sid=1A1B2C3D4E",
            "/e?sid=0A1B2C3D4E",
        ] {
            report.note(&limits.of(&url(target), NOW).unwrap(), &url(target));
        }
        report.note(&Trap::Variants { max: 5000 }, &url("/search?q=1"));
        let lines: Vec<_> = report
            .lines()
            .iter()
            .map(|line| (line.what.as_str(), line.urls))
            .collect();
        assert_eq!(
            lines,
            [
                ("session ids (crawl.session_parameters) below h.org/a/b/", 2),
                ("session ids (crawl.session_parameters) below h.org/", 1),
                (
                    "more than 5000 query variants of h.org/search (crawl.query_variants_max)",
                    1
                ),
            ]
        );
        assert_eq!(report.lines()[0].example, url("/a/b/c?sid=0A1B2C3D4E"));

        let mut report = TrapReport::from_lines(report.into_lines());
        for number in 0..1_000 {
            report.note(
                &Trap::Calendar { year: 2047 },
                &url(&format!("/e{number}/calendar/2047/1")),
            );
            report.note(&Trap::Variants { max: 5000 }, &url("/search?q=1"));
        }
        assert_eq!(report.lines().len(), LINES_MAX + 1);
        let total: u64 = report.lines().iter().map(|line| line.urls).sum();
        assert_eq!(total, 2_004);
        assert_eq!(report.lines()[2].urls, 1_001);
        let long = format!("/{}?q", "x".repeat(500));
        let mut report = TrapReport::default();
        report.note(&Trap::Variants { max: 1 }, &url(&long));
        assert!(report.lines()[0].what.len() < 250);
    }
}
