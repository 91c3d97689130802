//! What a host's robots.txt permits this crawler, by RFC 9309.
//!
//! The group of the crawler's own name counts, wherever its parts stand, else the group of `*`; in it the longest
//! pattern that matches decides, and of two as long the one that allows. Where the RFC leaves room this errs on the
//! side of the site: rules before any agent are for everybody, and common misspellings of `Disallow` count.
//! Everything is linear in the text and in the URL; a megabyte of `*` costs no more than a megabyte of anything.

use std::cmp::Reverse;
use std::time::Duration;

use memchr::memmem;

use crate::site::PageUrl;

/// The least that the RFC lets a crawler read (section 2.5), and what most read.
pub(super) const TEXT_MAX: usize = 500 * 1024;

/// Of a line that is shown to people.
const SHOWN_MAX: usize = 200;

const OWN_PATH: &str = "/robots.txt";

/// The rules of one host for one crawler.
#[derive(Debug)]
pub enum Robots {
    Rules(Rules),
    AllowAll,
    DenyAll,
}

/// What a text says.
#[derive(Debug, Default)]
pub struct Rules {
    /// Of the group that applies: the longest pattern first, and of those as long the ones that allow.
    rules: Vec<Rule>,
    delay: Option<Duration>,
    sitemaps: Vec<String>,
}

#[derive(Debug, Clone)]
struct Rule {
    is_allow: bool,
    /// In one spelling; `*` stands for anything, since one that means itself is written `%2A`.
    pattern: Box<[u8]>,
    /// It must match the whole target.
    is_anchored: bool,
    /// As it stands in the text.
    value: Box<str>,
}

impl Robots {
    /// What an answer for `/robots.txt` means to the crawler that sends `user_agent`. Redirects are the caller's
    /// to follow, also to other hosts; one that leads nowhere counts as no robots.txt. 429 and 5xx deny
    /// everything, as the RFC has it: whoever has no earlier text to go by had better treat the host as not
    /// usable.
    pub fn from_answer(status: u16, body: &[u8], user_agent: &str) -> Robots {
        match status {
            200..=299 => Robots::Rules(Rules::parse(body, &product_token(user_agent))),
            _ if is_absent(status) => Robots::AllowAll,
            _ => Robots::DenyAll,
        }
    }

    pub fn allows(&self, url: &PageUrl) -> bool {
        match self {
            Robots::Rules(rules) => rules.deciding(url).is_none_or(|rule| rule.is_allow),
            Robots::AllowAll => true,
            Robots::DenyAll => url.target() == OWN_PATH,
        }
    }

    /// The line that decided about this URL; none where no line speaks of it.
    pub fn why(&self, url: &PageUrl) -> Option<String> {
        match self {
            Robots::Rules(rules) => rules.deciding(url).map(Rule::shown),
            Robots::AllowAll => None,
            Robots::DenyAll => Some("robots.txt: it could not be had".to_owned()),
        }
    }

    /// The sitemaps named, as written: absolute by rule, not always in practice.
    pub fn sitemaps(&self) -> Vec<String> {
        match self {
            Robots::Rules(rules) => rules.sitemaps.clone(),
            Robots::AllowAll | Robots::DenyAll => Vec::new(),
        }
    }

    /// The pause between two requests that the host asks for (`Crawl-delay`, no part of the RFC).
    pub fn delay(&self) -> Option<Duration> {
        match self {
            Robots::Rules(rules) => rules.delay,
            Robots::AllowAll | Robots::DenyAll => None,
        }
    }
}

/// What a text says to one kind of crawler.
#[derive(Default)]
struct Group {
    is_named: bool,
    rules: Vec<Rule>,
    delay: Option<Duration>,
}

impl Rules {
    fn parse(body: &[u8], agent: &str) -> Rules {
        let body = without_mark(within_limit(body));
        if is_page(body) {
            return Rules::default();
        }
        let (mut own, mut general) = (Group::default(), Group::default());
        let mut sitemaps = Vec::new();
        // Whom the lines are for, and whether more agents may join them.
        let (mut for_own, mut for_all, mut is_open) = (false, true, false);
        for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
            match Line::read(line) {
                Line::Agent(name) => {
                    if !is_open {
                        (for_own, for_all, is_open) = (false, false, true);
                    }
                    for_all |= is_everybody(name);
                    for_own |= token(name).eq_ignore_ascii_case(agent.as_bytes());
                    own.is_named |= for_own;
                }
                Line::Rule(rule) => {
                    is_open = false;
                    if for_own {
                        own.rules.extend(rule.clone());
                    }
                    if for_all {
                        general.rules.extend(rule);
                    }
                }
                // Those who use it mean it as a line of the group, so it ends the list of agents as a rule does.
                Line::Delay(delay) => {
                    is_open = false;
                    if for_own {
                        own.delay = own.delay.max(Some(delay));
                    }
                    if for_all {
                        general.delay = general.delay.max(Some(delay));
                    }
                }
                Line::Sitemap(url) => sitemaps.push(url),
                Line::Other => (),
            }
        }
        let Group {
            mut rules, delay, ..
        } = if own.is_named { own } else { general };
        rules.sort_by_key(|rule| (Reverse(rule.weight()), !rule.is_allow));
        Rules {
            rules,
            delay,
            sitemaps,
        }
    }

    fn deciding(&self, url: &PageUrl) -> Option<&Rule> {
        if url.target() == OWN_PATH {
            return None;
        }
        let target = literal(&one_spelling(url.target().as_bytes()));
        self.rules.iter().find(|rule| rule.matches(&target))
    }
}

impl Rule {
    /// None for a value that matches nothing: an empty one, or one that is no path.
    fn parse(is_allow: bool, value: &[u8]) -> Option<Rule> {
        let (path, is_anchored) = match value.strip_suffix(b"$") {
            Some(path) => (path, true),
            None => (value, false),
        };
        if !matches!(value.first(), Some(b'/' | b'*')) {
            return None;
        }
        let mut pattern = Vec::with_capacity(path.len());
        for byte in one_spelling(path) {
            match byte {
                b'*' if pattern.last() == Some(&b'*') => (),
                b'$' => pattern.extend_from_slice(b"%24"),
                byte => pattern.push(byte),
            }
        }
        Some(Rule {
            is_allow,
            pattern: pattern.into(),
            is_anchored,
            value: String::from_utf8_lossy(value).into(),
        })
    }

    fn weight(&self) -> usize {
        self.pattern.len() + usize::from(self.is_anchored)
    }

    /// Each part between two `*` is looked for behind the one before it: what matches at all does so at the first
    /// such place, but for the last part of a pattern with `$`, which must be the end.
    fn matches(&self, target: &[u8]) -> bool {
        let mut parts = self.pattern.split(|byte| *byte == b'*').peekable();
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = target.strip_prefix(first) else {
            return false;
        };
        if parts.peek().is_none() {
            return !self.is_anchored || rest.is_empty();
        }
        while let Some(part) = parts.next() {
            if self.is_anchored && parts.peek().is_none() {
                return rest.ends_with(part);
            }
            match memmem::find(rest, part) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }

    fn shown(&self) -> String {
        let key = if self.is_allow { "Allow" } else { "Disallow" };
        let value: String = self.value.chars().take(SHOWN_MAX).collect();
        let cut = if value.len() < self.value.len() {
            "…"
        } else {
            ""
        };
        format!("robots.txt: {key}: {value}{cut}")
    }
}

/// What one line means.
enum Line<'a> {
    Agent(&'a [u8]),
    /// None is a rule without an effect: `Disallow:`.
    Rule(Option<Rule>),
    Delay(Duration),
    Sitemap(String),
    Other,
}

impl Line<'_> {
    fn read(line: &[u8]) -> Line<'_> {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let Some((key, value)) = key_and_value(trimmed(line)) else {
            return Line::Other;
        };
        match key.as_str() {
            "useragent" => Line::Agent(value),
            "allow" => Line::Rule(Rule::parse(true, value)),
            "disallow" | "dissallow" | "dissalow" | "disalow" | "diasllow" | "disallaw" => {
                Line::Rule(Rule::parse(false, value))
            }
            "crawldelay" => seconds(value).map_or(Line::Other, Line::Delay),
            "sitemap" => String::from_utf8(value.to_vec()).map_or(Line::Other, Line::Sitemap),
            _ => Line::Other,
        }
    }
}

/// The key in lower case and without what people put between its words; the colon may be missing in a line of
/// two words.
fn key_and_value(line: &[u8]) -> Option<(String, &[u8])> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let (key, value) = match line.iter().position(|byte| *byte == b':') {
        Some(colon) => (&line[..colon], &line[colon + 1..]),
        None => line.split_at(line.iter().position(is_blank)?),
    };
    let value = trimmed(value);
    if !line.contains(&b':') && value.iter().any(is_blank) {
        return None;
    }
    let letters = key.iter().filter(|byte| !b" \t-_\0".contains(byte));
    let letters = letters.map(|byte| char::from(byte.to_ascii_lowercase()));
    // The longest key has eleven; what is longer is none.
    Some((letters.take(16).collect(), value))
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_nothing = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0;
    let start = text.iter().position(|byte| !is_nothing(byte));
    let end = text.iter().rposition(|byte| !is_nothing(byte));
    start
        .zip(end)
        .map_or(&[], |(start, end)| &text[start..=end])
}

fn seconds(value: &[u8]) -> Option<Duration> {
    let seconds: f64 = str::from_utf8(value).ok()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Whether a status says that there is no robots.txt.
pub(super) fn is_absent(status: u16) -> bool {
    matches!(status, 300..=499) && status != 429
}

/// Whether a text is a page, served for a file that is not there.
pub(super) fn is_page(text: &[u8]) -> bool {
    without_mark(text).trim_ascii_start().first() == Some(&b'<')
}

/// A byte order mark is no text.
fn without_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

/// Whole lines only: half of `Disallow: /private` could be `Disallow: /`.
pub(super) fn within_limit(body: &[u8]) -> &[u8] {
    if body.len() <= TEXT_MAX {
        return body;
    }
    let head = &body[..TEXT_MAX];
    let end = head.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
    &head[..end.unwrap_or(0)]
}

/// `User-agent: Standin/1.0` means the crawler `Standin`.
fn token(name: &[u8]) -> &[u8] {
    let end = name.iter().position(|byte| !is_token(*byte));
    &name[..end.unwrap_or(name.len())]
}

fn is_everybody(name: &[u8]) -> bool {
    matches!(name, [b'*'] | [b'*', b' ' | b'\t', ..])
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

/// `*` and `$` of a target mean themselves, and are written as a pattern has to write them then.
fn literal(target: &[u8]) -> Vec<u8> {
    let mut literal = Vec::with_capacity(target.len());
    for byte in target {
        match byte {
            b'*' => literal.extend_from_slice(b"%2A"),
            b'$' => literal.extend_from_slice(b"%24"),
            byte => literal.push(*byte),
        }
    }
    literal
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

    /// Promise: what other parsers are tested with (Google's, reppy, rep-cpp, texting_robots) comes out the same:
    /// wildcards, anchors, precedence. One row: the rules, what they allow, what they forbid.
    // long: a table.
    #[test]
    fn patterns_match_as_others_have_them() {
        let fish = &["/fish", "/fish/salmon", "/fishheads", "/fish.html?id=a"][..];
        let no_fish = &["/bar", "/Fish.asp", "/catfish", "/?id=fish"][..];
        for (rules, allowed_targets, forbidden) in [
            ("disallow: /\nallow: /fish", fish, no_fish),
            ("disallow: /\nallow: /fish*", fish, no_fish),
            (
                "disallow: /\nallow: /fish/",
                &["/fish/", "/fish/?salmon"],
                &["/fish", "/fish.html", "/Fish/a"],
            ),
            (
                "disallow: /\nallow: /*.php",
                &[
                    "/f.php",
                    "/d/f.php",
                    "//d/any.php.file.html",
                    "/f.php/",
                    "/index?f=f.php/",
                ],
                &["/bar", "/php/", "/index?php", "/windows.PHP"],
            ),
            (
                "disallow: /\nallow: /*.php$",
                &["/f.php", "/d/f.php", "/a.php.php"],
                &["/f.php?p", "/f.php/", "/f.php5", "/f?php", "/aaaphpaaa"],
            ),
            (
                "disallow: /\nallow: /fish*.php",
                &["/fish.php", "/fishheads/cat.php?p"],
                &["/bar", "/Fish.PHP"],
            ),
            ("allow: /p\ndisallow: /", &["/page"], &["/"]),
            ("allow: /page\ndisallow: /*.htm", &["/page"], &["/page.htm"]),
            ("allow: /$\ndisallow: /", &["/"], &["/page.htm"]),
            (
                "allow: /x/page.\ndisallow: /*.html",
                &["/x/page.html"],
                &["/x/y.html"],
            ),
            ("disallow: \nallow: ", &["/x"], &[]),
            ("disallow: /\nallow: /", &["/x"], &[]),
            ("disallow: /x\nallow: /x/", &["/x/"], &["/x"]),
            (
                "disallow: /foo/bar$\nallow: /foo/bar/qux",
                &["/foo/bar/", "/foo/bar/baz"],
                &["/foo/bar"],
            ),
            (
                "# disallow: /\ndisallow: /foo/quz#qux\nallow: /",
                &["/foo/bar"],
                &["/foo/quz"],
            ),
            (
                "disallow: /\ndisallow: /*/about\nallow: /about$",
                &["/about"],
                &["/about/", "/x/about"],
            ),
            (
                "disallow: /basket*\ndisallow: /*?*******donotindex=1*",
                &["/e?x=4"],
                &["/basket", "/e?x=4&donotindex=1"],
            ),
            (
                "allow: *\ndisallow: *y\ndisallow: */a/*.html",
                &["/", "/b"],
                &["/bob/a/home.html", "/gray"],
            ),
            (
                "disallow: /tooth$\ndisallow: /fish*$",
                &["/shark/tooth", "/toothy", "/shark/fish"],
                &["/tooth", "/fish", "/fishy"],
            ),
            (
                "disallow: */test",
                &["/foo"],
                &["/test", "/test/", "/foo/test"],
            ),
            (
                "disallow: /\nallow: ****/cats",
                &["/cats.html", "/more/cats/p"],
                &["/cat/page.html"],
            ),
            (
                "disallow: /path;params?query",
                &["/path"],
                &["/path;params?query"],
            ),
            (
                "disallow: /(Cat|Dog).html",
                &["/Cat.html"],
                &["/(Cat|Dog).html"],
            ),
            (
                "disallow: /\nallow: /foo/*$*$",
                &["/foo/a$b"],
                &["/foo/ab", "/"],
            ),
            (
                "disallow: /a$b",
                &["/a", "/ab"],
                &["/a$b", "/a$bc", "/a%24b"],
            ),
            ("disallow: /ab*ab$", &["/ab", "/abc"], &["/abab", "/ab-ab"]),
            ("disallow: private", &["/private", "/"], &[]),
            ("disallow: *$", &[], &["/", "/a?b"]),
        ] {
            let text = format!("user-agent: *\n{rules}\n");
            for target in allowed_targets {
                assert!(allowed(&text, target), "{rules:?} forbids {target}");
            }
            for target in forbidden {
                assert!(!allowed(&text, target), "{rules:?} allows {target}");
            }
        }
    }

    /// Promise: people's spellings of keys count, a missing colon too, and nothing that only looks like them.
    #[test]
    fn misspelt_keys_count() {
        let text = "user agent: FooBot\ndisallow:/a\ndissallow: /b\ndissalow\t/c\n  disalow : /d\n\
            diasllow: /e\n\0\0disallaw: /f\0\ndissallow/g\ndisallow: /h i\nDISALLOW   /j\ndisallow /k l\n\
            useragent EveBot\nDisallow: /z\n";
        for (target, expected) in [
            ("/a", false),
            ("/b", false),
            ("/c", false),
            ("/d", false),
            ("/e", false),
            ("/f", false),
            ("/g", true),
            ("/h", true),
            ("/j", false),
            ("/k", true),
            ("/z", true),
        ] {
            assert_eq!(allowed_for("foobot", text, target), expected, "{target}");
        }
        assert!(!allowed_for("EveBot/2", text, "/z"));
        assert!(allowed("foo: FooBot\nbar: /\nnodisallow: /\n", "/foo"));
        let delays = "user-agent: a\ncrawl-delay: 42\nuser-agent: b\ncrawl delay: 420\nuser-agent: c\ncrawldelay: 3.5\n\
            user-agent: d\ncrawl-delay: -1\nuser-agent: e\nCrawl-delay: soon\n";
        let delay = |agent| Robots::from_answer(200, delays.as_bytes(), agent).delay();
        let delays =
            ["a", "b", "c", "d", "f"].map(|agent| delay(agent).map(|delay| delay.as_millis()));
        assert_eq!(
            delays,
            [Some(42_000), Some(420_000), Some(3500), None, None]
        );
    }

    /// Promise: agents that stand together share what follows, also over blank and unknown lines, and a delay
    /// belongs to those before it; rules before any agent are for those who are not named.
    #[test]
    fn groups_begin_where_they_should() {
        let shared = "User-agent: BarBot\nSitemap: https://foo.bar/s\n\nUnknown: x\nUser-agent: *\nDisallow: /\n";
        assert!(!allowed_for("BarBot", shared, "/") && !allowed_for("FooBot", shared, "/"));
        let delayed = "User-agent: *\nCrawl-delay: 5\n\nUser-agent: BadBot\nDisallow: /\n";
        assert!(allowed(delayed, "/") && !allowed_for("badbot", delayed, "/"));
        let leading = "disallow: /foo\ncrawl-delay: 7\n\nuser-agent: FooBot\ndisallow: /x\n";
        assert!(!allowed(leading, "/foo") && allowed_for("foobot", leading, "/foo"));
        let delay = Robots::from_answer(200, leading.as_bytes(), AGENT).delay();
        assert_eq!(delay, Some(Duration::from_secs(7)));
        let empty = "User-agent: *\nDisallow: /\nUser-agent: standin\n";
        assert!(allowed(empty, "/a"), "a group of one's own without rules");
        assert!(allowed("User-agent: *bot\nDisallow: /\n", "/a"));
        assert!(!allowed("User-agent: * # all\nDisallow: /\n", "/a"));
        assert!(!allowed("User-agent: standin/1.0 (x)\nDisallow: /\n", "/a"));
        assert!(allowed("User-agent: standing\nDisallow: /\n", "/a"));
    }

    /// Promise: for people, the line that decided, as it was written; none where no line did.
    #[test]
    fn the_line_that_decided_is_told() {
        let text = format!(
            "User-agent: *\nDisallow: /pr%69vate\nallow: /private/open$ # but\nDisallow: /{}\n",
            "é".repeat(300)
        );
        let robots = Robots::from_answer(200, text.as_bytes(), AGENT);
        let why = |target: &str| {
            let url = PageUrl::parse(&format!("https://www.example{target}")).unwrap();
            robots.why(&url)
        };
        assert_eq!(
            why("/private/a").as_deref(),
            Some("robots.txt: Disallow: /pr%69vate")
        );
        assert_eq!(
            why("/private/open").as_deref(),
            Some("robots.txt: Allow: /private/open$")
        );
        assert_eq!(why("/"), None);
        assert_eq!(why("/robots.txt"), None);
        let long = why(&format!("/{}", "é".repeat(300))).unwrap();
        assert!(long.ends_with("é…") && long.chars().count() < 230, "{long}");
        let denied = Robots::from_answer(503, b"", AGENT);
        assert!(
            denied
                .why(&PageUrl::parse("https://www.example/").unwrap())
                .is_some()
        );
    }

    /// Promise: a page in the place of a robots.txt forbids nothing, nor do other bytes that are no rules.
    #[test]
    fn what_is_no_robots_txt_has_no_rules() {
        let page = "\u{feff}\n <!DOCTYPE html>\n<pre>\nUser-agent: *\nDisallow: /\nSitemap: https://x/\n</pre>";
        assert!(allowed(page, "/a"));
        assert!(
            Robots::from_answer(200, page.as_bytes(), AGENT)
                .sitemaps()
                .is_empty()
        );
        assert!(allowed("\u{0}\u{1}PNG\r\n\u{1a}Disallow/:", "/a"));
    }

    /// Promise: ten megabytes of the worst patterns are cut at 500 KiB, whatever is asked of them.
    #[test]
    fn ten_megabytes_are_borne() {
        for line in [
            "Disallow: /*a*b*c*d*e$\n",
            "Disallow: /************\n",
            "User-agent: *\n",
            "Disallow: /%\n",
        ] {
            let text = format!("User-agent: *\n{}", line.repeat(10_000_000 / line.len()));
            let robots = Robots::from_answer(200, text.as_bytes(), AGENT);
            let Robots::Rules(rules) = &robots else {
                panic!("it is a text");
            };
            assert!(rules.rules.len() <= TEXT_MAX / line.len());
            let url =
                PageUrl::parse(&format!("https://www.example/{}", "abcd/".repeat(400))).unwrap();
            assert_eq!(robots.allows(&url), !line.contains("**"), "{line}");
        }
    }

    proptest::proptest! {
        /// Promise: a pattern matches what a search through all ways of reading its `*` says.
        #[test]
        fn matching_agrees_with_a_search(pattern in "/[ab*]{0,8}[$]?", target in "/[ab]{0,10}") {
            fn search(pattern: &[u8], target: &[u8], is_anchored: bool) -> bool {
                match pattern.split_first() {
                    None => !is_anchored || target.is_empty(),
                    Some((b'*', rest)) => (0..=target.len()).any(|at| search(rest, &target[at..], is_anchored)),
                    Some((byte, rest)) => target.first() == Some(byte) && search(rest, &target[1..], is_anchored),
                }
            }
            let (path, is_anchored) = match pattern.strip_suffix('$') {
                Some(path) => (path, true),
                None => (&*pattern, false),
            };
            let rule = Rule::parse(false, pattern.as_bytes()).unwrap();
            let expected = search(path.as_bytes(), target.as_bytes(), is_anchored);
            proptest::prop_assert_eq!(rule.matches(target.as_bytes()), expected);
        }
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
