//! A page's URL: parsed and normalised once at the edge, trusted everywhere else.
//!
//! The form is the one of the WHATWG URL standard, without fragment, and its escapes are those of RFC 3986,
//! section 6.2.2: hexadecimal digits in upper case, letters, digits and `-._~` never escaped, so that two
//! spellings of one URL are one page. A `%` that begins no escape stays what it is. A crawl resolves a link
//! for every `href` it sees, so references that would be left as they are skip the parser.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

/// The longest URL in bytes: what servers and CDNs accept as a request line.
const URL_BYTES_MAX: usize = 8192;

/// Bytes of host and target together. The rest of [`URL_BYTES_MAX`] is the room for `https://` and
/// `:65535`, so that no change of scheme or port can push a URL over the bound.
const HOST_AND_TARGET_BYTES_MAX: usize = URL_BYTES_MAX - "https://".len() - ":65535".len();

/// The longest name that DNS can hold.
const HOST_BYTES_MAX: usize = 253;

/// The longest text that is looked at before it is normalised: fragments and dot segments may
/// make it longer than the URL which it turns into, but no link needs more than this.
const TEXT_BYTES_MAX: usize = 8 * URL_BYTES_MAX;

/// How much of a refused text an error quotes.
const QUOTED_CHARS_MAX: usize = 120;

/// The absolute URL of a page: `http` or `https`, WHATWG-normalised, its escapes in one spelling, without
/// fragment, user name or default port, its path never empty. Host at most 253 bytes, the whole at most 8,192 bytes with
/// its port written out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageUrl(Box<str>);

/// The two schemes of the web.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    Http,
    Https,
}

/// Why a text is no page's URL. Messages have one line, quote no credentials and name the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("`{text}` is no URL: {source}; write it like https://your.site/")]
    Syntax {
        text: String,
        #[source]
        source: url::ParseError,
    },
    #[error("`{scheme}:` is not the scheme of a web page; write the URL like https://your.site/")]
    Scheme { scheme: String },
    #[error(
        "the URL of `{host}` holds a user name or password; take it out and give it as a header \
         in `site.headers`"
    )]
    Credentials { host: String },
    #[error("`{host}` cannot be a host: {reason}; write the URL like https://your.site/")]
    Host { host: String, reason: &'static str },
    #[error("the URL has {bytes} bytes and at most {URL_BYTES_MAX} are kept; shorten it")]
    TooLong { bytes: usize },
}

impl PageUrl {
    /// Takes an absolute URL in any spelling that a browser accepts. A fragment is dropped.
    pub fn parse(text: &str) -> Result<PageUrl, UrlError> {
        if let Some(page) = absolute_as_is(without_fragment(text)) {
            return PageUrl::within_bounds(page);
        }
        refuse_unread(text)?;
        PageUrl::from_parsed(Url::parse(text), text)
    }

    /// Takes a URL as it stands in a record. Earlier versions left escapes as they were written: such a record
    /// keeps its name, or it could not be found under it any more.
    pub fn recorded(text: &str) -> Result<PageUrl, UrlError> {
        let url = PageUrl::parse(text)?;
        if url.as_str() == text {
            return Ok(url);
        }
        PageUrl::within_bounds(accepted(Url::parse(text), text)?)
    }

    /// Resolves a reference as a page holds it against this URL, which is the page's own or that
    /// of its `<base>`.
    pub fn join(&self, reference: &str) -> Result<PageUrl, UrlError> {
        if let Some(text) = self.joined_as_is(without_fragment(reference)) {
            return PageUrl::within_bounds(text);
        }
        refuse_unread(reference)?;
        let base = Url::parse(&self.0).expect("a page's URL parses, it is a parser's output");
        PageUrl::from_parsed(base.join(reference), reference)
    }

    /// As [`PageUrl::join`], for a document in another encoding than UTF-8: `encode` gives the bytes in which
    /// the text of a query is sent from there.
    pub fn join_encoded(
        &self,
        reference: &str,
        encode: &dyn Fn(&str) -> Cow<'_, [u8]>,
    ) -> Result<PageUrl, UrlError> {
        let reference = without_fragment(reference);
        if reference.is_ascii() {
            return self.join(reference);
        }
        refuse_unread(reference)?;
        let reference = without_unmappable(reference, encode);
        let base = Url::parse(&self.0).expect("a page's URL parses, it is a parser's output");
        let parser = Url::options()
            .base_url(Some(&base))
            .encoding_override(Some(encode));
        PageUrl::from_parsed(parser.parse(&reference), &reference)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn scheme(&self) -> Scheme {
        if self.0.starts_with("https:") {
            Scheme::Https
        } else {
            Scheme::Http
        }
    }

    /// The host in lower case; IPv6 addresses in brackets.
    pub fn host(&self) -> &str {
        self.host_and_port().0
    }

    /// The port that a connection goes to, whether written or the scheme's own.
    pub fn port(&self) -> u16 {
        let written = self.host_and_port().1;
        written.unwrap_or(self.scheme().default_port())
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.0[self.authority_start()..self.path_start()]
    }

    /// `https://host` or `https://host:port`: what stands before the path.
    pub fn origin(&self) -> &str {
        &self.0[..self.path_start()]
    }

    /// The percent-encoded path; begins with `/`.
    pub fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// What follows the first `?`, percent-encoded. `Some("")` for a bare `?`.
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// Path and `?query`: what a request line asks for.
    pub fn target(&self) -> &str {
        &self.0[self.path_start()..]
    }

    /// The same page in the other scheme. A default port becomes the other default port, a written
    /// one stays.
    pub fn with_scheme(&self, scheme: Scheme) -> PageUrl {
        let written = self.host_and_port().1;
        let port = written.unwrap_or(scheme.default_port());
        self.rebuilt(scheme, port, self.target())
    }

    /// The same port in another scheme: `https://h/` becomes `http://h:443/`.
    pub(super) fn with_scheme_on_port(&self, scheme: Scheme) -> PageUrl {
        self.rebuilt(scheme, self.port(), self.target())
    }

    /// The same path with another query, which must be made of pieces of the present one.
    pub(super) fn with_query(&self, query: Option<&str>) -> PageUrl {
        let before = &self.0[..self.path_start() + self.path().len()];
        let text = match query {
            Some(query) => [before, "?", query].concat(),
            None => before.to_owned(),
        };
        PageUrl(text.into_boxed_str())
    }

    fn rebuilt(&self, scheme: Scheme, port: u16, target: &str) -> PageUrl {
        let (name, host) = (scheme.as_str(), self.host());
        let text = if port == scheme.default_port() {
            format!("{name}://{host}{target}")
        } else {
            format!("{name}://{host}:{port}{target}")
        };
        debug_assert!(
            text.len() <= URL_BYTES_MAX,
            "room for scheme and port is kept"
        );
        PageUrl(text.into_boxed_str())
    }

    fn authority_start(&self) -> usize {
        self.scheme().as_str().len() + "://".len()
    }

    fn path_start(&self) -> usize {
        let start = self.authority_start();
        let slash = self.0.as_bytes()[start..]
            .iter()
            .position(|byte| *byte == b'/');
        start + slash.expect("a normalised http URL has a path")
    }

    fn host_and_port(&self) -> (&str, Option<u16>) {
        let authority = self.authority();
        match authority.rsplit_once(':') {
            // A colon inside the brackets of an IPv6 address separates no port.
            Some((host, port)) if !port.ends_with(']') => {
                let port = port
                    .parse()
                    .expect("a normalised port is a number below 65,536");
                (host, Some(port))
            }
            _ => (authority, None),
        }
    }

    /// `reference` resolved by mere concatenation, where that is what the parser would answer.
    fn joined_as_is(&self, reference: &str) -> Option<String> {
        let bytes = reference.as_bytes();
        let before = match bytes.first() {
            None => return Some(self.0.to_string()),
            Some(b'/') if bytes.get(1) == Some(&b'/') => {
                return absolute_as_is(&[self.scheme().as_str(), ":", reference].concat());
            }
            Some(b'/') => self.origin(),
            Some(b'.') => return self.joined_from_dots(reference),
            Some(b'?') => &self.0[..self.path_start() + self.path().len()],
            Some(first) if first.is_ascii_alphanumeric() => {
                // On this very host, which may have a port or be an address.
                if let Some(target) = reference.strip_prefix(self.origin())
                    && target.starts_with('/')
                {
                    return is_target_as_is(target.as_bytes()).then(|| reference.to_owned());
                }
                if let Some(text) = absolute_as_is(reference) {
                    return Some(text);
                }
                // A colon may end a scheme: the parser decides.
                if bytes.contains(&b':') {
                    return None;
                }
                self.directory()
            }
            Some(_) => return None,
        };
        is_target_as_is(bytes).then(|| [before, reference].concat())
    }

    /// A reference that begins with `./` and `../`, or is one of them without its slash.
    fn joined_from_dots(&self, reference: &str) -> Option<String> {
        let mut folder = self.directory();
        let mut rest = reference;
        loop {
            if let Some(after) = rest.strip_prefix("../") {
                (folder, rest) = (self.above(folder), after);
            } else if let Some(after) = rest.strip_prefix("./") {
                rest = after;
            } else {
                break;
            }
        }
        match rest {
            ".." => Some(self.above(folder).to_owned()),
            "." => Some(folder.to_owned()),
            _ => is_target_as_is(rest.as_bytes()).then(|| [folder, rest].concat()),
        }
    }

    /// The folder above `folder`, which is this URL up to some `/` of its path; nothing is above the first.
    fn above<'a>(&self, folder: &'a str) -> &'a str {
        let start = self.path_start();
        match folder[start..folder.len() - 1].rfind('/') {
            Some(slash) => &folder[..start + slash + 1],
            None => folder,
        }
    }

    /// The URL up to and with the last `/` of its path.
    pub fn directory(&self) -> &str {
        let slash = self.path().rfind('/').expect("a path begins with a slash");
        &self.0[..self.path_start() + slash + 1]
    }

    fn from_parsed(parsed: Result<Url, url::ParseError>, text: &str) -> Result<PageUrl, UrlError> {
        PageUrl::within_bounds(in_one_spelling(accepted(parsed, text)?))
    }

    /// Takes a normalised URL if it is not too long.
    fn within_bounds(text: String) -> Result<PageUrl, UrlError> {
        let url = PageUrl(text.into_boxed_str());
        if url.host().len() + url.target().len() > HOST_AND_TARGET_BYTES_MAX {
            return Err(UrlError::TooLong { bytes: url.0.len() });
        }
        Ok(url)
    }
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for PageUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Serialize for PageUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PageUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<PageUrl, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What is read back was written by us, perhaps by an earlier version.
        PageUrl::recorded(&text).map_err(serde::de::Error::custom)
    }
}

/// In http URLs the first `#` begins the fragment wherever it stands. The parser sees it
/// all the same: it trims a reference at its very end only.
fn without_fragment(text: &str) -> &str {
    text.split_once('#').map_or(text, |(before, _)| before)
}

/// Refuses what need not be parsed to be refused: other schemes (`mailto:`, `data:` with a
/// megabyte behind it) and texts beyond any use.
fn refuse_unread(text: &str) -> Result<(), UrlError> {
    if let Some((scheme, _)) = text.split_once(':') {
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        if is_scheme && !is_web {
            return Err(UrlError::Scheme {
                scheme: quoted(scheme),
            });
        }
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(UrlError::TooLong { bytes: text.len() });
    }
    Ok(())
}

/// A parsed URL as text, without its fragment, if it can be a page's.
fn accepted(parsed: Result<Url, url::ParseError>, text: &str) -> Result<String, UrlError> {
    let mut url = parsed.map_err(|source| UrlError::Syntax {
        text: quoted(text),
        source,
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme {
            scheme: quoted(url.scheme()),
        });
    }
    let host = url.host_str().unwrap_or_default();
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::Credentials { host: quoted(host) });
    }
    if let Some(reason) = host_fault(host) {
        return Err(UrlError::Host {
            host: quoted(host),
            reason,
        });
    }
    url.set_fragment(None);
    Ok(url.into())
}

/// Escapes of unreserved characters resolved, other escapes in upper case. Neither a dot segment nor an escape
/// comes of it: the parser has taken the dot segments out in all their spellings, and an escape that would
/// complete a stray `%` before it (`%%34%31`) stays.
fn in_one_spelling(url: String) -> String {
    let Some(first) = url.find('%') else {
        return url;
    };
    let mut spelt = Vec::with_capacity(url.len());
    spelt.extend_from_slice(&url.as_bytes()[..first]);
    let mut rest = &url.as_bytes()[first..];
    // Where the last `%` that begins no escape stands in `spelt`.
    let mut stray = None;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            spelt.push(*byte);
            continue;
        }
        let Some(escaped) = escaped(after) else {
            stray = Some(spelt.len());
            spelt.push(b'%');
            continue;
        };
        let is_near_stray = stray.is_some_and(|stray| spelt.len() - stray <= 2);
        if is_unreserved(escaped) && !(is_near_stray && escaped.is_ascii_hexdigit()) {
            spelt.push(escaped);
        } else {
            spelt.push(b'%');
            spelt.extend(after[..2].iter().map(u8::to_ascii_uppercase));
        }
        rest = &after[2..];
    }
    String::from_utf8(spelt).expect("a parsed URL is ASCII, and so is what its escapes become")
}

/// The byte that the two digits at the beginning stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let [high, low, ..] = digits else {
        return None;
    };
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = value(*high)? << 4 | value(*low)?;
    Some(u8::try_from(byte).expect("two hexadecimal digits are below 256"))
}

/// What means the same escaped or not (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// A character of the query that the document's encoding lacks is sent as `&#N;`, whose own three signs are
/// escaped (URL standard, "percent-encode after encoding"); the parser would send an `&` there.
fn without_unmappable<'a>(
    reference: &'a str,
    encode: &dyn Fn(&str) -> Cow<'_, [u8]>,
) -> Cow<'a, str> {
    let Some((before, query)) = reference.split_once('?') else {
        return reference.into();
    };
    let mut text = format!("{before}?");
    for character in query.chars() {
        let number = u32::from(character);
        let as_reference = format!("&#{number};");
        let mut room = [0; 4];
        let is_lacking = !character.is_ascii()
            && *encode(character.encode_utf8(&mut room)) == *as_reference.as_bytes();
        if is_lacking {
            text.push_str(&format!("%26%23{number}%3B"));
        } else {
            text.push(character);
        }
    }
    text.into()
}

/// What the URL standard allows in a host and no page's host can be.
fn host_fault(host: &str) -> Option<&'static str> {
    if host.starts_with('.') {
        // `.`, `..` and `.standin` would be first segments of keys with another meaning.
        return Some("it begins with a dot");
    }
    if host.len() > HOST_BYTES_MAX {
        return Some("it has more than 253 bytes");
    }
    None
}

/// Bytes that are left alone in a path and in a query, wherever they stand.
const AS_IS: [bool; 256] = {
    let mut table = [false; 256];
    let kept = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&()*+,;=:@/?.";
    let mut index = 0;
    while index < kept.len() {
        table[kept[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether this path and query, or what stands in them behind a `/`, would be left as they are. Errs to "no": a
/// segment that begins with `.` may be a dot segment.
fn is_target_as_is(target: &[u8]) -> bool {
    let mut previous = b'/';
    for (index, &byte) in target.iter().enumerate() {
        if !AS_IS[usize::from(byte)] && !is_escape_as_is(&target[index..]) {
            return false;
        }
        if previous == b'/' && byte == b'.' {
            return false;
        }
        previous = byte;
    }
    true
}

/// Whether an escape stands here that is kept as it is written.
fn is_escape_as_is(text: &[u8]) -> bool {
    let [b'%', high, low, ..] = text else {
        return false;
    };
    let is_upper = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
    let is_escape = is_upper(high) && is_upper(low);
    is_escape && escaped(&text[1..]).is_some_and(|byte| !is_unreserved(byte))
}

/// An absolute URL of which the parser would leave everything as it is, but for a path that is missing. Errs
/// to `None`.
fn absolute_as_is(text: &str) -> Option<String> {
    let (rest, scheme) = match text.strip_prefix("https://") {
        Some(rest) => (rest, Scheme::Https),
        None => (text.strip_prefix("http://")?, Scheme::Http),
    };
    let Some(slash) = rest.find('/') else {
        return is_authority_as_is(rest, scheme).then(|| [text, "/"].concat());
    };
    let (authority, target) = rest.split_at(slash);
    let is_as_is = is_authority_as_is(authority, scheme) && is_target_as_is(target.as_bytes());
    is_as_is.then(|| text.to_owned())
}

/// Whether the parser would leave this host as it is, and the port behind it, if there is one.
fn is_authority_as_is(authority: &str, scheme: Scheme) -> bool {
    let Some((host, port)) = authority.split_once(':') else {
        return is_host_as_is(authority) || is_address_as_is(authority);
    };
    let is_port = |port: &str| {
        is_number_as_is(port)
            && port
                .parse::<u16>()
                .is_ok_and(|port| port != scheme.default_port())
    };
    is_port(port) && (is_host_as_is(host) || is_address_as_is(host))
}

/// Whether this is an IPv4 address in its usual form.
fn is_address_as_is(host: &str) -> bool {
    let mut parts = host.split('.');
    let are_four = parts.by_ref().take(4).filter(|part| is_part(part)).count() == 4;
    are_four && parts.next().is_none()
}

fn is_part(part: &str) -> bool {
    is_number_as_is(part) && part.parse::<u8>().is_ok()
}

/// Digits without a zero in front, which would make them octal.
fn is_number_as_is(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (!text.starts_with('0') || text == "0")
}

/// Whether this is an ordinary name in lower case: nothing international, and no last label that
/// could be part of an IPv4 address.
fn is_host_as_is(host: &str) -> bool {
    let last_label = host.rsplit('.').next().unwrap_or_default();
    host.len() <= HOST_BYTES_MAX
        && last_label.starts_with(|first: char| first.is_ascii_lowercase())
        && !host.starts_with('.')
        && !host.contains("--")
        && host
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-'))
}

/// A refused text for an error: one line, not long, and nothing that may be a password.
fn quoted(text: &str) -> String {
    let (hidden, shown) = match text.rsplit_once('@') {
        Some((_, after)) => ("…@", after),
        None => ("", text),
    };
    let mut quoted = String::from(hidden);
    for character in shown.chars().take(QUOTED_CHARS_MAX) {
        if character.is_control() {
            quoted.extend(character.escape_default());
        } else {
            quoted.push(character);
        }
    }
    if shown.chars().nth(QUOTED_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> PageUrl {
        PageUrl::parse(text).unwrap()
    }

    #[test]
    fn parts_of_a_url() {
        // Promise: the accessors cut a URL where the standard does; checked with a full one, an
        // IPv6 host and a bare host.
        let full = url("HTTPS://Www.Example.org:8443/a/b?c=d?e/#f");
        assert_eq!(full.as_str(), "https://www.example.org:8443/a/b?c=d?e/");
        assert_eq!(
            (full.scheme(), full.host(), full.port()),
            (Scheme::Https, "www.example.org", 8443)
        );
        assert_eq!(full.authority(), "www.example.org:8443");
        assert_eq!(full.origin(), "https://www.example.org:8443");
        assert_eq!((full.path(), full.query()), ("/a/b", Some("c=d?e/")));
        assert_eq!(full.target(), "/a/b?c=d?e/");

        let bracketed = url("http://[0:0::1]:80/x");
        assert_eq!(
            (bracketed.authority(), bracketed.host(), bracketed.port()),
            ("[::1]", "[::1]", 80)
        );
        assert_eq!(url("http://[::1]:8080").host(), "[::1]");
        assert_eq!(url("http://[::1]:8080").port(), 8080);

        let bare = url("https://example.org");
        assert_eq!(
            (bare.target(), bare.path(), bare.query(), bare.port()),
            ("/", "/", None, 443)
        );
        assert_eq!(url("https://example.org/?").query(), Some(""));
    }

    #[test]
    fn what_is_no_pages_url() {
        // Promise: each refusal is told apart and names the way out on one line.
        let told = |text: &str| PageUrl::parse(text).unwrap_err().to_string();
        assert_eq!(
            told("foo bar"),
            "`foo bar` is no URL: relative URL without a base; write it like https://your.site/"
        );
        assert!(told("mailto:a@b.c").starts_with("`mailto:` is not the scheme"));
        assert!(told("ftp://h/").starts_with("`ftp:` is not the scheme"));
        assert!(told("https://.standin/head").contains("begins with a dot"));
        assert!(told("https://../x").contains("begins with a dot"));
        assert!(told(&format!("https://{}/", "a.".repeat(127))).contains("253"));
        assert!(told("https://a b/\nc").lines().count() == 1);
        assert!(told(&format!("data:{}", "x".repeat(1 << 20))).starts_with("`data:`"));
    }

    #[test]
    fn credentials_are_refused_and_not_repeated() {
        // Promise: secrets never appear in messages; checked with both ways to hold one.
        for text in [
            "https://user:secret@h/",
            "https://secret@h/",
            "https://u:secret@h:99999/",
        ] {
            let message = PageUrl::parse(text).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
        assert_eq!(url("https://@h/").as_str(), "https://h/");
    }

    #[test]
    fn no_change_of_scheme_leaves_the_bounds() {
        // Promise: a URL has at most 8,192 bytes in either scheme and with any port; checked at
        // the longest that is accepted.
        let path = "p".repeat(HOST_AND_TARGET_BYTES_MAX - 2);
        let longest = url(&format!("http://h/{path}"));
        assert!(longest.with_scheme(Scheme::Https).as_str().len() <= URL_BYTES_MAX);
        let on_port = url(&format!("https://h/{path}")).with_scheme_on_port(Scheme::Http);
        assert_eq!(PageUrl::parse(on_port.as_str()), Ok(on_port));
        let refused = PageUrl::parse(&format!("http://h/{path}p"));
        assert!(matches!(refused, Err(UrlError::TooLong { .. })));
        assert!(longest.join("x?y").is_ok());
        assert!(matches!(
            longest.join(&"é".repeat(3000)),
            Err(UrlError::TooLong { .. })
        ));
    }

    #[test]
    fn scheme_changes_move_the_default_port_only() {
        // Promise: with_scheme maps 80 to 443 and back and keeps a written port.
        let changed = |text: &str, scheme| url(text).with_scheme(scheme).as_str().to_owned();
        assert_eq!(changed("http://h/x?y", Scheme::Https), "https://h/x?y");
        assert_eq!(changed("https://h/x", Scheme::Http), "http://h/x");
        assert_eq!(
            changed("http://h:8080/x", Scheme::Https),
            "https://h:8080/x"
        );
        assert_eq!(changed("http://h:443/x", Scheme::Https), "https://h/x");
        assert_eq!(changed("https://h/x", Scheme::Https), "https://h/x");
    }

    #[test]
    fn references_resolve_as_in_a_browser() {
        // Promise: join follows the standard, on the short way and on the long one.
        let base = url("https://h.org/a/b?q=1");
        let cases = [
            ("", "https://h.org/a/b?q=1"),
            ("#top", "https://h.org/a/b?q=1"),
            ("?p=2", "https://h.org/a/b?p=2"),
            ("c", "https://h.org/a/c"),
            ("c/d#e", "https://h.org/a/c/d"),
            ("./c", "https://h.org/a/c"),
            ("../c", "https://h.org/c"),
            ("../../../c/d.html?e", "https://h.org/c/d.html?e"),
            ("./../c", "https://h.org/c"),
            (".", "https://h.org/a/"),
            ("..", "https://h.org/"),
            ("./", "https://h.org/a/"),
            ("../?x", "https://h.org/?x"),
            (".//c", "https://h.org/a//c"),
            ("./c:d", "https://h.org/a/c:d"),
            ("./.c", "https://h.org/a/.c"),
            ("https://h.org", "https://h.org/"),
            ("/c", "https://h.org/c"),
            ("/c/../d", "https://h.org/d"),
            ("/%2e%2E/d", "https://h.org/d"),
            ("//k.org/c", "https://k.org/c"),
            ("https://k.org/c?d#e", "https://k.org/c?d"),
            ("HTTP://K.org", "http://k.org/"),
            ("http://127.1/", "http://127.0.0.1/"),
            ("/caf\u{e9}", "https://h.org/caf%C3%A9"),
            ("\\c d", "https://h.org/c%20d"),
            (" /c\n", "https://h.org/c"),
            ("https://h.org:443/", "https://h.org/"),
        ];
        for (reference, expected) in cases {
            assert_eq!(
                base.join(reference).unwrap().as_str(),
                expected,
                "{reference:?}"
            );
        }
        assert!(matches!(base.join("tel:1"), Err(UrlError::Scheme { .. })));
        assert!(matches!(
            base.join("//u:p@k.org/"),
            Err(UrlError::Credentials { .. })
        ));
    }

    #[test]
    fn two_spellings_of_one_url_are_one() {
        // Promise: RFC 3986, 6.2.2: digits of escapes in upper case, unreserved characters never escaped, nothing
        // else touched. Neither dot segments nor escapes come of it.
        let cases = [
            ("/%41%7e%2D%5f%39", "/A~-_9"),
            ("/caf%c3%a9?q=%c3%A9%62", "/caf%C3%A9?q=%C3%A9b"),
            ("/a%2Epdf", "/a.pdf"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b/%2E", "/b/"),
            ("/%2e%2e%2e/%252e/x", "/.../%252e/x"),
            (
                "/%21%27%28%29%2a%2b%3a%40%2f",
                "/%21%27%28%29%2A%2B%3A%40%2F",
            ),
            ("/100%", "/100%"),
            ("/100%zz?%4", "/100%zz?%4"),
            ("/%%341", "/%%341"),
            ("/%%34%31", "/%%341"),
            ("/%4%31", "/%4%31"),
            ("/%4%7e", "/%4~"),
            ("/%2541", "/%2541"),
            ("/?%2E%2e/%2e", "/?../."),
            ("/?%61%26%3d=%3D", "/?a%26%3D=%3D"),
        ];
        for (target, expected) in cases {
            let url = url(&format!("https://h.org{target}"));
            assert_eq!(url.target(), expected, "{target}");
            assert_eq!(PageUrl::parse(url.as_str()), Ok(url));
        }
    }

    #[test]
    fn a_record_keeps_the_name_that_it_was_given() {
        // Promise: URLs recorded before escapes had one spelling are read as they are; nothing else is let in.
        for text in ["https://h/%7ea?%c3", "https://h/~a", "http://h:8080/%41"] {
            assert_eq!(PageUrl::recorded(text).unwrap().as_str(), text);
        }
        assert!(PageUrl::recorded("ftp://h/").is_err());
        assert!(PageUrl::recorded("https://u:p@h/%7e").is_err());
    }

    #[test]
    fn queries_are_sent_in_the_encoding_of_their_document() {
        // Promise: the URL standard, 4.4: the query in the document's encoding, the path in UTF-8, what the
        // encoding lacks as an escaped reference; fragments and ASCII do not matter.
        fn windows(text: &str) -> Cow<'_, [u8]> {
            encoding_rs::WINDOWS_1252.encode(text).0
        }
        fn japanese(text: &str) -> Cow<'_, [u8]> {
            encoding_rs::SHIFT_JIS.encode(text).0
        }
        let base = url("https://h.org/a/b?q=1");
        let cases = [
            ("?q=caf\u{e9}", "https://h.org/a/b?q=caf%E9"),
            (
                "c\u{e9}?\u{20ac}=\u{e9}#\u{e9}",
                "https://h.org/a/c%C3%A9?%80=%E9",
            ),
            (
                "?q=\u{416}\u{e9}&x",
                "https://h.org/a/b?q=%26%231046%3B%E9&x",
            ),
            ("?q=%e9&a=b", "https://h.org/a/b?q=%E9&a=b"),
            ("d#\u{e9}", "https://h.org/a/d"),
            ("//K.org/?\u{e9}", "https://k.org/?%E9"),
        ];
        for (reference, expected) in cases {
            let joined = base.join_encoded(reference, &windows).unwrap();
            assert_eq!(joined.as_str(), expected, "{reference:?}");
        }
        let joined = base.join_encoded("?\u{3042}", &japanese).unwrap();
        assert_eq!(joined.as_str(), "https://h.org/a/b?%82%A0");
        assert!(base.join_encoded("tel:\u{e9}", &windows).is_err());
    }

    #[test]
    fn serde_validates() {
        // Promise: a record cannot smuggle in a URL that parse would refuse.
        let parsed: PageUrl = serde_json::from_str("\"https://H/a\"").unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), "\"https://h/a\"");
        assert!(serde_json::from_str::<PageUrl>("\"ftp://h/\"").is_err());
        let old: PageUrl = serde_json::from_str("\"https://h/%7ea\"").unwrap();
        assert_eq!(old.as_str(), "https://h/%7ea");
        assert_eq!(serde_json::to_string(&Scheme::Https).unwrap(), "\"https\"");
    }

    #[test]
    fn common_references_skip_the_parser() {
        // Promise: what pages hold by the million is resolved by hand; checked by asking the short way alone.
        let base = url("http://127.0.0.1:8080/a/b/c");
        for reference in [
            "/x",
            "x/y.html?z",
            "?z",
            "",
            "../x",
            "./x",
            "../../x/y.html",
            "..",
            "//h.org/x",
            "//h.org",
            "https://h.org/x?y",
            "https://h.org",
            "http://127.0.0.1:8080/x",
            "//h.org:1/",
            "//1.0.3.255:65535",
            "/caf%C3%A9",
            "/a%20b/%5B",
        ] {
            let by_hand = base.joined_as_is(reference);
            assert!(by_hand.is_some(), "{reference}");
            assert_eq!(by_hand.unwrap(), base.join(reference).unwrap().as_str());
        }
        for reference in [
            "/%7e",
            "/a/../b",
            "/%c3",
            "/%",
            " x",
            "//h.org:080/",
            "//h.org:80/",
            "//h.org:/",
            "//h.org:99999/",
            "//1.2.3/",
            "//01.2.3.4/",
            "//1.2.3.256/",
            "//1.2.3.4.5/",
            "a:b",
            "/.x",
        ] {
            assert_eq!(base.joined_as_is(reference), None, "{reference}");
        }
    }

    fn reference() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "//", "a", "Z", "9", ".", "..", "./", "../", "%", "%2e", "%41", "%c3", "%C3",
            "%2F", "?", "#", ":", "@", "-", "--", "_", "xn--", "http:", "https://", "http://h",
            "0x7f", "1", "é", " ", "\\", "'", "^", "|", "&", "=", "+", "[", "]", "\t", "~",
            "h.org", "h-.org", "-h", "h..org", "*", "(",
        ]);
        prop::collection::vec(piece, 0..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_short_way_answers_as_the_parser(base in reference(), reference in reference()) {
            // Promise: what skips the parser gets the parser's answer; the oracle is the parser.
            let base = format!("https://h.org/{base}");
            let Ok(base) = PageUrl::parse(&base) else { return Ok(()) };
            let expected = Url::parse(base.as_str()).unwrap().join(&reference);
            let expected = PageUrl::from_parsed(expected, &reference);
            let joined = base.join(&reference);
            prop_assert_eq!(joined.as_ref().ok(), expected.as_ref().ok());

            let parsed = PageUrl::parse(&reference);
            let expected = PageUrl::from_parsed(Url::parse(&reference), &reference);
            prop_assert_eq!(parsed.as_ref().ok(), expected.as_ref().ok());
            if let Err(error) = joined {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }

        #[test]
        fn dots_are_resolved_as_by_the_parser(
            base in "(/|a|//|b/){0,6}",
            dots in "(\\./|\\.\\./){0,5}(\\.|\\.\\.|a/b|/|\\?a|\\.a|)",
        ) {
            // Promise: folders are left as in a browser, empty ones too.
            let base = url(&format!("https://h.org/{base}"));
            let expected = Url::parse(base.as_str()).unwrap().join(&dots).unwrap();
            let joined = base.join(&dots).unwrap();
            prop_assert_eq!(joined.as_str(), expected.as_str());
        }

        #[test]
        fn escaping_what_need_not_be_makes_no_other_url(target in "[a-zA-Z0-9._~/?&=!-]{0,20}", case in any::<u64>()) {
            // Promise: each unreserved character may be escaped, in either case of digits, and it is the same URL.
            let plain = url(&format!("https://h.org/{target}"));
            let mut escaped = String::new();
            for (index, byte) in target.bytes().enumerate() {
                match case >> (2 * index % 64) & 3 {
                    1 if is_unreserved(byte) => escaped.push_str(&format!("%{byte:02x}")),
                    2 if is_unreserved(byte) => escaped.push_str(&format!("%{byte:02X}")),
                    _ => escaped.push(char::from(byte)),
                }
            }
            prop_assert_eq!(url(&format!("https://h.org/{escaped}")), plain);
        }

        #[test]
        fn a_parsed_url_parses_to_itself(base in reference(), text in any::<String>()) {
            // Promise: normalising is idempotent, whatever the text.
            for text in [format!("https://h.org/{base}"), format!("http://h.org/{text}"), text] {
                if let Ok(once) = PageUrl::parse(&text) {
                    prop_assert_eq!(PageUrl::parse(once.as_str()), Ok(once.clone()));
                    let parsed = Url::parse(once.as_str()).unwrap();
                    prop_assert_eq!(parsed.host_str().unwrap(), once.host());
                    prop_assert_eq!(parsed.port_or_known_default().unwrap(), once.port());
                    prop_assert_eq!(parsed.path(), once.path());
                    prop_assert_eq!(parsed.query(), once.query());
                }
            }
        }
    }
}
