//! What a host's robots.txt permits this crawler, by RFC 9309.
//!
//! The crate `texting_robots` does the parsing and the matching. Three things that the RFC asks for and the crate
//! leaves to its user are done to the text first: escapes are brought to one spelling (as they are in the URL that
//! is asked about), agent names are cut to their product token, and only 500 KiB are looked at.

use std::time::Duration;

use texting_robots::Robot;

use crate::site::PageUrl;

/// The least that the RFC lets a crawler read (section 2.5), and what most read.
const TEXT_MAX: usize = 500 * 1024;

/// Patterns with `$` that are taken at their word. Each becomes a regular expression of some 10 KB, so 500 KiB full
/// of them would be 270 MB (measured); real files have some dozens.
const DOLLARS_MAX: usize = 1_000;

/// The rules of one host for one crawler.
#[derive(Debug)]
pub enum Robots {
    Rules(Box<Robot>),
    AllowAll,
    DenyAll,
}

impl Robots {
    /// What an answer for `/robots.txt` means to the crawler that sends `user_agent`. Redirects are the caller's
    /// to follow; one that leads nowhere counts as no robots.txt. 429 and 5xx deny everything, as the RFC has it:
    /// whoever has retried and still gets one had better treat the host as not usable.
    pub fn from_answer(status: u16, body: &[u8], user_agent: &str) -> Robots {
        match status {
            200..=299 => Robots::parse(body, user_agent),
            429 => Robots::DenyAll,
            300..=499 => Robots::AllowAll,
            _ => Robots::DenyAll,
        }
    }

    pub fn allows(&self, url: &PageUrl) -> bool {
        match self {
            Robots::Rules(robot) => {
                let target = one_spelling(url.target().as_bytes());
                let target = String::from_utf8(target).expect("a URL is ASCII, its target too");
                robot.allowed(&target)
            }
            Robots::AllowAll => true,
            Robots::DenyAll => url.target() == "/robots.txt",
        }
    }

    /// The sitemaps named, as written: absolute by rule, not always in practice.
    pub fn sitemaps(&self) -> Vec<String> {
        match self {
            Robots::Rules(robot) => robot.sitemaps.clone(),
            Robots::AllowAll | Robots::DenyAll => Vec::new(),
        }
    }

    /// The pause between two requests that the host asks for (`Crawl-delay`, no part of the RFC).
    pub fn delay(&self) -> Option<Duration> {
        match self {
            Robots::Rules(robot) => Duration::try_from_secs_f32(robot.delay?).ok(),
            Robots::AllowAll | Robots::DenyAll => None,
        }
    }

    fn parse(body: &[u8], user_agent: &str) -> Robots {
        let agent = product_token(user_agent);
        let text = prepare(within_limit(body), |line| line.to_vec());
        let dollars = text.iter().filter(|byte| **byte == b'$').count();
        if dollars <= DOLLARS_MAX
            && let Ok(robot) = Robot::new(&agent, &text)
        {
            return Robots::Rules(Box::new(robot));
        }
        // Patterns with `$` were too many, or one of them too large. Without the `$` none needs an expression:
        // such a Disallow forbids more than it said, and such an Allow is left out.
        let text = prepare(within_limit(body), without_dollar);
        match Robot::new(&agent, &text) {
            Ok(robot) => Robots::Rules(Box::new(robot)),
            Err(_) => Robots::DenyAll,
        }
    }
}

/// Whole lines only: half of `Disallow: /private` could be `Disallow: /`.
fn within_limit(body: &[u8]) -> &[u8] {
    if body.len() <= TEXT_MAX {
        return body;
    }
    let head = &body[..TEXT_MAX];
    let end = head.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    &head[..end.unwrap_or(0)]
}

/// The text line by line: agents cut to their token, patterns in one spelling and passed through `pattern`, all
/// other lines, sitemaps above all, as they are.
fn prepare(body: &[u8], pattern: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        match key(line).as_str() {
            key if key.starts_with("user") => text.extend(agent_line(line)),
            key if key.starts_with("allow") || key.starts_with("dis") => {
                text.extend(pattern(&one_spelling(line)));
            }
            _ => text.extend_from_slice(line),
        }
        text.push(b'\n');
    }
    text
}

/// The first word of a line, in lower case, a byte order mark before it removed.
fn key(line: &[u8]) -> String {
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    let word = line.trim_ascii_start().iter().copied();
    word.take_while(|byte| byte.is_ascii_alphabetic())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect()
}

/// `User-agent: Standin/1.0` means the crawler `Standin`; `*` stays what it is.
fn agent_line(line: &[u8]) -> &[u8] {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return line;
    };
    let value = line[colon + 1..].trim_ascii_start();
    let start = line.len() - value.len();
    let end = value
        .iter()
        .position(|byte| !is_token(*byte) && *byte != b'*')
        .map_or(line.len(), |length| start + length);
    &line[..end]
}

/// The name by which robots.txt files call a crawler: the first product of its user agent, or, in one that poses as
/// a browser, the first after `compatible;`. In lower case; `*` when there is none.
fn product_token(user_agent: &str) -> String {
    let named = user_agent
        .split_once("compatible;")
        .map_or(user_agent, |(_, rest)| rest);
    let token: String = named
        .trim_start()
        .bytes()
        .take_while(|byte| is_token(*byte))
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    match token.is_empty() {
        true => "*".to_owned(),
        false => token,
    }
}

/// Digits are beyond the letter of the RFC, but there are crawlers called so.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Escapes of unreserved characters are resolved, other escapes written in upper case, bytes beyond ASCII escaped
/// (section 2.2.2), so that two spellings of one path are one sequence of bytes.
fn one_spelling(text: &[u8]) -> Vec<u8> {
    let mut spelt = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
            _ => None,
        };
        match escaped {
            Some(byte) => {
                rest = &tail[2..];
                let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                push(&mut spelt, byte, !unreserved);
            }
            None => push(&mut spelt, *first, !first.is_ascii()),
        }
    }
    spelt
}

fn push(spelt: &mut Vec<u8>, byte: u8, escaped: bool) {
    match escaped {
        true => spelt.extend_from_slice(format!("%{byte:02X}").as_bytes()),
        false => spelt.push(byte),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .map(|value| u8::try_from(value).expect("a hexadecimal digit is below 16"))
}

fn without_dollar(line: &[u8]) -> Vec<u8> {
    let dollar = line.contains(&b'$');
    if dollar && key(line).starts_with("allow") {
        return Vec::new();
    }
    line.iter().copied().filter(|byte| *byte != b'$').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGENT: &str = "Standin/0.1 (+https://mirror.example/about)";

    fn allowed(robots: &str, target: &str) -> bool {
        allowed_for(AGENT, robots, target)
    }

    fn allowed_for(agent: &str, robots: &str, target: &str) -> bool {
        let url = PageUrl::parse(&format!("https://www.example{target}")).unwrap();
        Robots::from_answer(200, robots.as_bytes(), agent).allows(&url)
    }

    /// Promise: the groups of RFC 9309, 2.2.1 and 5.1: the own group alone, merged when it occurs twice, whatever its
    /// case and version; else `*`; else nothing applies.
    #[test]
    fn the_right_group_applies() {
        let simple = "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\
            User-Agent: standin\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\
            User-Agent: quxbot\nEOF\n";
        for (target, expected) in [
            ("/example/page.html", true),
            ("/example/allowed.gif", true),
            ("/publications/", false),
            ("/", false),
        ] {
            assert_eq!(allowed(simple, target), expected, "{target}");
        }
        for (target, expected) in [
            ("/example/page.html", false),
            ("/example/allowed.gif", false),
            ("/publications/", true),
            ("/b.gif", false),
            ("/b.gif?x", true),
        ] {
            assert_eq!(allowed_for("barbot", simple, target), expected, "{target}");
        }
        assert!(allowed_for("quxbot/1.0", simple, "/example/page.html"));

        let twice = "user-agent: STANDIN/2.1 beta\ndisallow: /a\n\nuser-agent: other\ndisallow: /\n\n\
            user-agent: StandIn\ndisallow: /b\n";
        assert!(!allowed(twice, "/a") && !allowed(twice, "/b") && allowed(twice, "/c"));
        assert!(allowed("User-agent: other\nDisallow: /\n", "/a"));
        let shared = "User-agent: other\nUser-agent: standin\nDisallow: /a\n";
        assert!(!allowed(shared, "/a"));
    }

    /// Promise: the longest pattern decides and a tie allows (2.2.2), with `*`, `$`, comments and queries.
    #[test]
    fn the_longest_match_decides() {
        for (rules, target, expected) in [
            (
                "Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
                "/example/page/disallowed.gif",
                false,
            ),
            (
                "Allow: /example/page/\nDisallow: /example/page/disallowed.gif",
                "/example/page/x",
                true,
            ),
            ("Disallow: /a\nAllow: /a", "/a", true),
            ("Disallow: /a # why\n", "/ab", false),
            ("Disallow: /a$", "/ab", true),
            ("Disallow: /a$", "/a", false),
            ("Disallow: /*?page=", "/list?page=2", false),
            ("Disallow: /*?page=", "/list?size=2", true),
            ("Disallow: /this/*/exactly", "/this/is/exactly/it", false),
            ("Disallow: /this/*/exactly", "/this/exactly", true),
            ("Disallow: *.pdf", "/d/x.pdf?v=1", false),
            ("Disallow:", "/a", true),
            ("Disallow: /", "/robots.txt", true),
            ("Disallow: /", "/robots.txt.bak", false),
            ("Disallow: /A", "/a", true),
            ("Crawl-delay: 1\nDisallow: /a", "/a", false),
            ("nonsense\nSitemap: https://x/\nDisallow: /a", "/a", false),
        ] {
            let robots = format!("User-agent: *\n{rules}\n");
            assert_eq!(allowed(&robots, target), expected, "{rules:?} {target}");
            let dos = robots.replace('\n', "\r\n");
            assert_eq!(allowed(&dos, target), expected, "{rules:?} {target}, CRLF");
            let marked = format!("\u{feff}{robots}");
            assert_eq!(
                allowed(&marked, target),
                expected,
                "{rules:?} {target}, BOM"
            );
        }
    }

    /// Promise: the table of 2.2.2: patterns and paths match whichever way each of them is escaped.
    #[test]
    fn escapes_have_one_spelling() {
        for (pattern, target, matches) in [
            ("/foo/bar?baz=quz", "/foo/bar?baz=quz", true),
            (
                "/foo/bar?baz=http://foo.bar",
                "/foo/bar?baz=http://foo.bar",
                true,
            ),
            ("/foo/bar/\u{30c4}", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%E3%83%84", "/foo/bar/%E3%83%84", true),
            ("/foo/bar/%e3%83%84", "/foo/bar/\u{30c4}", true),
            ("/foo/bar/%62%61%7A", "/foo/bar/baz", true),
            ("/foo/bar/baz", "/foo/bar/%62%61%7A", true),
            ("/~joe/", "/%7Ejoe/x", true),
            ("/%7ejoe/", "/~joe/x", true),
            ("/a%2Fb", "/a/b", false),
            ("/a%3cd", "/a%3Cd.html", true),
            (
                "/path/file-with-a-%2A.html",
                "/path/file-with-a-%2A.html",
                true,
            ),
            (
                "/path/file-with-a-%2A.html",
                "/path/file-with-a-x.html",
                false,
            ),
            ("/100%", "/100%", true),
        ] {
            let robots = format!("User-agent: *\nDisallow: {pattern}\n");
            assert_eq!(!allowed(&robots, target), matches, "{pattern} {target}");
        }
    }

    /// Promise: an absent file allows everything, a failing host nothing but the file itself (2.3.1).
    #[test]
    fn the_status_decides_before_the_text() {
        let url = PageUrl::parse("https://www.example/a").unwrap();
        let own = PageUrl::parse("https://www.example/robots.txt").unwrap();
        let deny = b"User-agent: *\nDisallow: /\n";
        for (status, expected) in [
            (200, false),
            (301, true),
            (401, true),
            (404, true),
            (410, true),
            (429, false),
            (500, false),
            (503, false),
        ] {
            let robots = Robots::from_answer(status, deny, AGENT);
            assert_eq!(robots.allows(&url), expected, "{status}");
            assert!(robots.allows(&own), "{status}");
        }
    }

    /// Promise: sitemaps are found in any group and keep their spelling; a delay is read, and one that is none is not.
    #[test]
    fn sitemaps_and_delay_are_read() {
        let text = "Sitemap: https://www.example/%7Emap.xml\nUser-agent: other\nDisallow: /\n\
            sitemap: https://www.example/b.xml # second\nUser-agent: *\nCrawl-delay: 0.5\n";
        let robots = Robots::from_answer(200, text.as_bytes(), AGENT);
        let expected = [
            "https://www.example/%7Emap.xml",
            "https://www.example/b.xml",
        ];
        assert_eq!(robots.sitemaps(), expected);
        assert_eq!(robots.delay(), Some(Duration::from_millis(500)));
        let forever = b"User-agent: *\nCrawl-delay: inf\n";
        assert_eq!(Robots::from_answer(200, forever, AGENT).delay(), None);
        assert!(Robots::from_answer(404, b"", AGENT).sitemaps().is_empty());
    }

    /// Promise: what lies beyond 500 KiB does not count, and the line across the limit is not read by halves.
    #[test]
    fn only_the_first_500_kib_count() {
        let mut text = b"User-agent: *\nDisallow: /first\n".to_vec();
        text.resize(TEXT_MAX - 12, b'\n');
        text.extend_from_slice(b"\nDisallow: /private\nDisallow: /late\n");
        let robots = Robots::from_answer(200, &text, AGENT);
        for (target, expected) in [
            ("/first", false),
            ("/private", true),
            ("/late", true),
            ("/", true),
        ] {
            let url = PageUrl::parse(&format!("https://www.example{target}")).unwrap();
            assert_eq!(robots.allows(&url), expected, "{target}");
        }
    }

    /// Promise: patterns too large or too many to compile forbid more rather than less, and other lines stay in force.
    #[test]
    fn an_oversized_pattern_errs_on_the_side_of_the_site() {
        let large = "/a*".repeat(2_000);
        let text = format!(
            "User-agent: *\nDisallow: /x$\nDisallow: {large}$\nAllow: /a/b$\nDisallow: /a\n"
        );
        assert!(
            Robot::new("*", text.as_bytes()).is_err(),
            "the case must arise"
        );
        for (target, expected) in [("/x", false), ("/xy", false), ("/a/b", false), ("/c", true)] {
            assert_eq!(allowed(&text, target), expected, "{target}");
        }
        let many = "Disallow: /n$\n".repeat(DOLLARS_MAX + 1);
        assert!(!allowed(&format!("User-agent: *\n{many}"), "/next"));
        assert!(allowed("User-agent: *\nDisallow: /n$\n", "/next"));
    }

    /// Promise: any bytes are taken for a robots.txt without a panic.
    #[test]
    fn any_bytes_will_do() {
        for bytes in [
            &b""[..],
            b"\xff\xfe\x00",
            b"%",
            b"User-agent",
            b"Disallow: %4",
            b"\xef\xbb\xbf\xef",
        ] {
            Robots::from_answer(200, bytes, AGENT);
        }
        Robots::from_answer(200, &vec![0xff; TEXT_MAX + 1], AGENT);
    }

    /// Promise: the token is the crawler's own name, also in a user agent that poses as a browser.
    #[test]
    fn the_product_token_is_found() {
        for (agent, token) in [
            (AGENT, "standin"),
            ("Standin", "standin"),
            (
                "Mozilla/5.0 (compatible; Gov-Mirror_2/1.0; +https://x)",
                "gov-mirror_2",
            ),
            ("", "*"),
        ] {
            assert_eq!(product_token(agent), token);
        }
    }
}
