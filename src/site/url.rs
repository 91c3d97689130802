//! A page's URL: parsed and normalised once at the edge, trusted everywhere else.
//!
//! The form is the one of the WHATWG URL standard, without fragment. A crawl resolves a link for
//! every `href` it sees, so references that the standard would leave as they are skip the parser.

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

/// The absolute URL of a page: `http` or `https`, WHATWG-normalised, without fragment, user name or
/// default port, its path never empty. Host at most 253 bytes, the whole at most 8,192 bytes with
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
        let page = without_fragment(text);
        if is_absolute_as_is(page) {
            return PageUrl::within_bounds(page.to_owned());
        }
        refuse_unread(text)?;
        PageUrl::from_parsed(Url::parse(text), text)
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
        if reference.is_ascii() {
            return self.join(reference);
        }
        refuse_unread(reference)?;
        let base = Url::parse(&self.0).expect("a page's URL parses, it is a parser's output");
        let parser = Url::options()
            .base_url(Some(&base))
            .encoding_override(Some(encode));
        PageUrl::from_parsed(parser.parse(reference), reference)
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
            Some(b'/') if bytes.get(1) != Some(&b'/') => self.origin(),
            Some(b'?') => &self.0[..self.path_start() + self.path().len()],
            Some(first) if first.is_ascii_alphanumeric() => {
                if is_absolute_as_is(reference) {
                    return Some(reference.to_owned());
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

    /// The URL up to and with the last `/` of its path.
    fn directory(&self) -> &str {
        let slash = self.path().rfind('/').expect("a path begins with a slash");
        &self.0[..self.path_start() + slash + 1]
    }

    fn from_parsed(parsed: Result<Url, url::ParseError>, text: &str) -> Result<PageUrl, UrlError> {
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
        PageUrl::within_bounds(url.into())
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
        PageUrl::parse(&text).map_err(serde::de::Error::custom)
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

/// Bytes that the standard leaves alone in a path and in a query, wherever they stand.
const AS_IS: [bool; 256] = {
    let mut table = [false; 256];
    let kept = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&()*+,;=:@/?.%";
    let mut index = 0;
    while index < kept.len() {
        table[kept[index] as usize] = true;
        index += 1;
    }
    table
};

/// Whether the parser would leave this path and query as they are. Errs to "no": a segment that
/// begins with `.` or `%` may be a dot segment.
fn is_target_as_is(target: &[u8]) -> bool {
    let mut previous = 0;
    for &byte in target {
        if !AS_IS[usize::from(byte)] || (previous == b'/' && matches!(byte, b'.' | b'%')) {
            return false;
        }
        previous = byte;
    }
    true
}

/// Whether the parser would leave this absolute URL as it is. Errs to "no".
fn is_absolute_as_is(text: &str) -> bool {
    let after_scheme = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let Some(rest) = after_scheme else {
        return false;
    };
    let Some(slash) = rest.find('/') else {
        return false;
    };
    let (host, target) = rest.split_at(slash);
    is_host_as_is(host) && is_target_as_is(target.as_bytes())
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
    fn serde_validates() {
        // Promise: a record cannot smuggle in a URL that parse would refuse.
        let parsed: PageUrl = serde_json::from_str("\"https://H/a\"").unwrap();
        assert_eq!(serde_json::to_string(&parsed).unwrap(), "\"https://h/a\"");
        assert!(serde_json::from_str::<PageUrl>("\"ftp://h/\"").is_err());
        assert_eq!(serde_json::to_string(&Scheme::Https).unwrap(), "\"https\"");
    }

    fn reference() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "//", "a", "Z", "9", ".", "..", "%", "%2e", "%41", "?", "#", ":", "@", "-", "--",
            "_", "xn--", "http:", "https://", "http://h", "0x7f", "1", "é", " ", "\\", "'", "^",
            "|", "&", "=", "+", "[", "]", "\t", "~", "h.org", "h-.org", "-h", "h..org", "*", "(",
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
