//! The layout: from a page's URL to the key of its object, and back.
//!
//! A layout is a promise to every bucket already filled and to every CDN already configured: it
//! looks at nothing but the URL, it answers for every URL, and its answers never change. The golden
//! vectors in `tests/golden/layout/` hold them. `docs/LAYOUT.md` has the same for whoever builds the other half.
//!
//! **First segment.** The host in lower case. `_PORT` follows where the port is not the scheme's
//! own, and also where the host itself ends in `_` and digits, since `h_8080` must not be both the
//! host of that name and port 8080 of `h`. No host begins with a dot, so nothing of the site meets
//! `.standin/`.
//!
//! **Reachable form.** `HOST/PATH`, where PATH is what the store sees when the CDN passes a request
//! on: the path percent-decoded once. Before that,
//!
//! - `plain` adds `index.html` to a path that ends in `/`;
//! - `govuk` does what the existing rules of the national site's CDN do with a request for the
//!   mirror. `/` asks for `index.html`. Behind any character but `:`, two or more slashes become
//!   one. Then a path that does not end in a dot and one of [`GOVUK_EXTENSIONS`] gets `.html`:
//!   `/vat-rates/` asks for `vat-rates/.html` and `/foo.htm` for `foo.htm.html`. The rules look at
//!   the path as sent, so `/a%2Epdf` asks for `a.pdf.html` (recorded by earlier versions; a
//!   [`PageUrl`] of today is `/a.pdf`);
//! - on asset hosts, whose paths are always files, neither name nor suffix is added; slashes collapse
//!   in `govuk` as before.
//!
//! A `+` stays a `+`, and nothing is normalised in the sense of Unicode.
//!
//! **Escaped form.** `HOST/%/BODY`, for what a CDN cannot ask for or a store cannot hold; the variants
//! of [`Unreachable`] are the reasons. BODY is path and query as written, without the leading
//! `/`. Letters, digits and `-._~=&,:@+!` stand for themselves, and so does a `/` of the path
//! between two segments that are not empty. Every other byte is `%XX` in upper case: `%` itself, every
//! `/` of the query, and a `/` of the path that begins or ends it or meets another. Decoding BODY
//! gives the request back, so two URLs never share one. An empty BODY is written as a lone
//! `%`, which no escape ends in: a key that ends in `/` is a folder to many tools.
//!
//! **Hashed form.** `HOST/%%/` and 64 hexadecimal digits, the BLAKE3 of path and query with the
//! leading `/`, where the escaped form would exceed the longest key.
//!
//! No reachable form has a first path segment beginning with `%`, so the forms cannot meet. Within
//! the reachable form URLs can: `/x/` and `/x/index.html` in `plain`, `/foo` and `/foo.html` in
//! `govuk`, `/a,` and `/a%2C` in both. The callers find and report that; [`Layout::outranks`] says
//! which of the two is served.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::key::{KEY_BYTES_MAX, ObjectKey};
use super::scope::HostEntry;
use super::url::{PageUrl, Scheme};

/// What the CDN rules of the national site take for a document's extension, by case. The list is
/// theirs, kept by hand, and part of the layout: an addition here would move objects.
pub const GOVUK_EXTENSIONS: [&str; 46] = [
    "atom", "chm", "css", "csv", "diff", "doc", "docx", "dot", "dxf", "eps", "gif", "gml", "html",
    "ico", "ics", "jpeg", "jpg", "JPG", "js", "json", "kml", "odp", "ods", "odt", "pdf", "PDF",
    "png", "ppt", "pptx", "ps", "rdf", "rtf", "sch", "svg", "txt", "wsdl", "xls", "xlsm", "xlsx",
    "xlt", "xml", "xsd", "xslt", "woff", "woff2", "zip",
];

/// Begins the escaped form, after the host.
const ESCAPED: &str = "/%/";

/// Begins the hashed form, after the host.
const HASHED: &str = "/%%/";

/// The body of an escaped form whose request is `/` alone.
const EMPTY_BODY: &str = "%";

/// What a path must hold percent-encoded to decode to itself; the parser leaves the rest alone.
const ENCODED_IN_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// The layouts there are.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum LayoutName {
    #[default]
    Plain,
    Govuk,
}

/// The function from URL to key, with the hosts whose paths are always files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    name: LayoutName,
    asset_hosts: BTreeSet<HostEntry>,
}

/// Where a page's object lies, and who can ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub key: ObjectKey,
    pub reach: Reach,
}

/// Who can find the object of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A CDN that passes requests on to the store, and the gateway.
    Cdn,
    /// The gateway only, which computes keys itself.
    GatewayOnly(Unreachable),
}

/// Why a CDN cannot ask a store for a URL. Where several hold, the first of this order is named,
/// except that the path's escapes are judged from left to right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// A query was kept.
    Query,
    /// The path holds `%2F`.
    EncodedSlash,
    /// A `%` without two hexadecimal digits behind it, which stores answer with 400.
    StrayPercent,
    /// The decoded path is not UTF-8.
    NotUtf8,
    /// The decoded path holds a control character (C0, U+007F, C1), or one of U+FFFE and U+FFFF,
    /// which no XML listing can name.
    ControlCharacter,
    /// The path begins or ends with an empty segment, or holds one.
    EmptySegment,
    /// A decoded segment is `.` or `..`.
    DotSegment,
    /// The first decoded segment begins with `%`, which is where the other forms lie.
    Escape,
    /// The key would exceed [`KEY_BYTES_MAX`].
    TooLong,
}

impl Layout {
    /// `asset_hosts` in the form of `site.hosts`: `host` for its ports 80 and 443, or `host:port`.
    /// An entry that is no host matches nothing.
    pub fn new(name: LayoutName, asset_hosts: impl IntoIterator<Item = String>) -> Layout {
        let entries = asset_hosts
            .into_iter()
            .filter_map(|entry| HostEntry::parse(&entry).ok());
        Layout {
            name,
            asset_hosts: entries.collect(),
        }
    }

    pub fn name(&self) -> LayoutName {
        self.name
    }

    /// The asset hosts in their canonical spelling, sorted: with the name, all that keys depend on.
    pub fn asset_hosts(&self) -> Vec<String> {
        self.asset_hosts.iter().map(ToString::to_string).collect()
    }

    /// The key of a URL. Total: every URL has one.
    pub fn place(&self, url: &PageUrl) -> Placed {
        match self.reachable_key(url) {
            Ok(key) => Placed {
                key,
                reach: Reach::Cdn,
            },
            Err(reason) => Placed {
                key: escaped_key(url),
                reach: Reach::GatewayOnly(reason),
            },
        }
    }

    /// The primary URL of a key: the shortest, then smallest of those on it that encode nothing
    /// without need, so that `place` of it is the key again. `None` for hashed forms and for keys
    /// that this layout gives to no page in `scheme`.
    pub fn page_of(&self, key: &ObjectKey, scheme: Scheme) -> Option<PageUrl> {
        candidates(key, scheme).find_map(|text| self.on_key(&text, key))
    }

    /// Whether a URL is the one that [`Layout::page_of`] gives for its key.
    pub fn is_primary(&self, url: &PageUrl) -> bool {
        let key = self.place(url).key;
        for text in candidates(&key, url.scheme()) {
            // That it lies on its key is known, and nearly always it is the first.
            if text == url.as_str() {
                return true;
            }
            if let Some(primary) = self.on_key(&text, &key) {
                return primary == *url;
            }
        }
        false
    }

    /// The URL that is written so, if it lies on the key.
    fn on_key(&self, text: &str, key: &ObjectKey) -> Option<PageUrl> {
        // A key of an earlier version may stand for a URL whose escapes have another spelling today.
        let url = PageUrl::recorded(text).ok()?;
        (self.place(&url).key == *key).then_some(url)
    }

    /// Of two URLs on one key, whether `a` is the canonical one: the shorter, then the smaller by
    /// bytes.
    pub fn outranks(a: &PageUrl, b: &PageUrl) -> bool {
        (a.as_str().len(), a.as_str()) < (b.as_str().len(), b.as_str())
    }

    fn reachable_key(&self, url: &PageUrl) -> Result<ObjectKey, Unreachable> {
        if url.query().is_some() {
            return Err(Unreachable::Query);
        }
        let (path, suffix) = self.requested(url);
        let mut key = host_segment(url, path.len() + suffix.len()).into_bytes();
        key.push(b'/');
        let path_start = key.len();
        decode_onto(&path.as_bytes()[1..], &mut key)?;
        key.extend_from_slice(suffix.as_bytes());
        let key = String::from_utf8(key).map_err(|_| Unreachable::NotUtf8)?;
        check_path(&key[path_start..])?;
        if key.len() > KEY_BYTES_MAX {
            return Err(Unreachable::TooLong);
        }
        Ok(ObjectKey::from_layout(key))
    }

    /// What the CDN makes of a request: the path, still percent-encoded, and what it appends.
    fn requested<'url>(&self, url: &'url PageUrl) -> (Cow<'url, str>, &'static str) {
        let path = url.path();
        let is_asset = self.asset_hosts.iter().any(|entry| entry.covers(url));
        match self.name {
            LayoutName::Plain if !is_asset && path.ends_with('/') => (path.into(), "index.html"),
            LayoutName::Plain => (path.into(), ""),
            LayoutName::Govuk if is_asset => (govuk_collapsed(path), ""),
            LayoutName::Govuk if path == "/" => (path.into(), "index.html"),
            LayoutName::Govuk => {
                let path = govuk_collapsed(path);
                let suffix = if has_govuk_extension(&path) {
                    ""
                } else {
                    ".html"
                };
                (path, suffix)
            }
        }
    }
}

impl LayoutName {
    pub fn as_str(self) -> &'static str {
        match self {
            LayoutName::Plain => "plain",
            LayoutName::Govuk => "govuk",
        }
    }
}

/// All that keys depend on, as messages name it.
impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "layout `{}`", self.name)?;
        if self.asset_hosts.is_empty() {
            return Ok(());
        }
        write!(out, " with asset_hosts {}", self.asset_hosts().join(", "))
    }
}

impl fmt::Display for LayoutName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Unreachable::Query => "it has a query",
            Unreachable::EncodedSlash => "its path holds an encoded slash",
            Unreachable::StrayPercent => "its path holds a `%` that encodes nothing",
            Unreachable::NotUtf8 => "its path is not UTF-8",
            Unreachable::ControlCharacter => "its path holds a control character",
            Unreachable::EmptySegment => "its path has an empty segment",
            Unreachable::DotSegment => "its path has a segment of dots",
            Unreachable::Escape => "its path begins with a percent sign",
            Unreachable::TooLong => "its key would exceed 1,024 bytes",
        })
    }
}

/// The first segment of a key, with room for `more` bytes behind it.
fn host_segment(url: &PageUrl, more: usize) -> String {
    let (host, port) = (url.host(), url.port());
    let mut segment = String::with_capacity(host.len() + "_65535".len() + more);
    segment.push_str(host);
    if port != url.scheme().default_port() || split_port(host).is_some() {
        segment.push('_');
        segment.push_str(&port.to_string());
    }
    segment
}

/// Cuts `_` and digits off the end of a first segment.
fn split_port(segment: &str) -> Option<(&str, &str)> {
    let (host, port) = segment.rsplit_once('_')?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some((host, port))
}

/// The inverse of [`host_segment`], to be checked by placing what comes of it.
fn origin_of(segment: &str, scheme: Scheme) -> String {
    match split_port(segment) {
        Some((host, port)) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{segment}"),
    }
}

/// The URLs that may have led to a key, as [`targets_of`] has them; none where it is no page's.
fn candidates(key: &ObjectKey, scheme: Scheme) -> impl Iterator<Item = String> {
    let parts = key.as_str().split_once('/').filter(|_| key.is_site());
    parts.into_iter().flat_map(move |(host, _)| {
        let origin = origin_of(host, scheme);
        let targets = targets_of(&key.as_str()[host.len()..]).into_iter();
        targets.map(move |target| [origin.as_str(), &target].concat())
    })
}

/// The targets that may have led to the rest of a key behind its host, shortest first. They are
/// candidates of every layout; placing them tells.
fn targets_of(rest: &str) -> Vec<String> {
    if let Some(body) = rest.strip_prefix(ESCAPED) {
        let body = if body == EMPTY_BODY { "" } else { body };
        let target = percent_decode_str(body).decode_utf8();
        return target
            .map(|target| format!("/{target}"))
            .into_iter()
            .collect();
    }
    if rest.starts_with("/%") {
        return Vec::new();
    }
    let folder = rest
        .strip_suffix("index.html")
        .filter(|folder| folder.ends_with('/'));
    let page = rest.strip_suffix(".html");
    let encoded = |path: &str| utf8_percent_encode(path, ENCODED_IN_PATH).to_string();
    [folder, page, Some(rest)]
        .into_iter()
        .flatten()
        .map(encoded)
        .collect()
}

/// Slashes as the CDN rules of `govuk` collapse them: two or more become one, but only behind a
/// character that is no colon, which a slash can itself be. `//a` therefore stays.
fn govuk_collapsed(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return path.into();
    }
    let mut collapsed = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(before) = rest.chars().next() {
        let after = &rest[before.len_utf8()..];
        collapsed.push(before);
        if before != ':' && after.starts_with("//") {
            collapsed.push('/');
            rest = after.trim_start_matches('/');
        } else {
            rest = after;
        }
    }
    collapsed.into()
}

fn has_govuk_extension(path: &str) -> bool {
    match path.rsplit_once('.') {
        Some((_, extension)) => GOVUK_EXTENSIONS.contains(&extension),
        None => false,
    }
}

/// Percent-decodes as an object store does with the path of a request.
fn decode_onto(path: &[u8], decoded: &mut Vec<u8>) -> Result<(), Unreachable> {
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        if *byte != b'%' {
            decoded.push(*byte);
            rest = after;
            continue;
        }
        let [high, low, after @ ..] = after else {
            return Err(Unreachable::StrayPercent);
        };
        let byte = match (hex_digit(*high), hex_digit(*low)) {
            (Some(high), Some(low)) => high << 4 | low,
            _ => return Err(Unreachable::StrayPercent),
        };
        if byte == b'/' {
            return Err(Unreachable::EncodedSlash);
        }
        decoded.push(byte);
        rest = after;
    }
    Ok(())
}

fn hex_digit(byte: u8) -> Option<u8> {
    // A radix of 16 keeps the digit below 16.
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// Whether a decoded path can be the rest of a reachable key.
fn check_path(path: &str) -> Result<(), Unreachable> {
    let unnamable =
        |character: char| character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}');
    if path.contains(unnamable) {
        return Err(Unreachable::ControlCharacter);
    }
    if path.split('/').any(str::is_empty) {
        return Err(Unreachable::EmptySegment);
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Unreachable::DotSegment);
    }
    if path.starts_with('%') {
        return Err(Unreachable::Escape);
    }
    Ok(())
}

/// The escaped form of a URL, or the hashed one where that is too long.
fn escaped_key(url: &PageUrl) -> ObjectKey {
    let target = url.target();
    let body = &target.as_bytes()[1..];
    let mut key = host_segment(url, ESCAPED.len() + body.len() + body.len() / 2);
    let host_bytes = key.len();
    key.push_str(ESCAPED);
    if body.is_empty() {
        key.push_str(EMPTY_BODY);
    } else {
        escape_onto(body, url.path().len() - 1, &mut key);
    }
    if key.len() > KEY_BYTES_MAX {
        key.truncate(host_bytes);
        key.push_str(HASHED);
        key.push_str(&blake3::hash(target.as_bytes()).to_hex());
    }
    ObjectKey::from_layout(key)
}

/// Escapes a request without its leading slash; its first `path_bytes` bytes are the path.
fn escape_onto(body: &[u8], path_bytes: usize, key: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let path = &body[..path_bytes];
    let is_segment_byte = |index: usize| path.get(index).is_some_and(|byte| *byte != b'/');
    for (index, &byte) in body.iter().enumerate() {
        let is_kept = match byte {
            // The slash that was cut off stands before the first byte.
            b'/' => index > 0 && is_segment_byte(index - 1) && is_segment_byte(index + 1),
            b'-' | b'.' | b'_' | b'~' | b'=' | b'&' | b',' | b':' | b'@' | b'+' | b'!' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if is_kept {
            key.push(char::from(byte));
        } else {
            key.push('%');
            key.push(char::from(HEX[usize::from(byte >> 4)]));
            key.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::site::check_layout;

    fn url(text: &str) -> PageUrl {
        PageUrl::parse(text).unwrap()
    }

    fn layout(name: LayoutName) -> Layout {
        let asset_hosts = ["assets.publishing.service.gov.uk", "assets.example:8080"];
        Layout::new(name, asset_hosts.map(str::to_owned))
    }

    // A file of golden vectors only grows. Its lines were computed by a second implementation of the
    // rules, in another language and with the CDN's regular expressions in place of our loops.

    /// Compares a file of `URL TAB KEY TAB REACH` with what the layout answers, also for URLs in spellings that
    /// only records of earlier versions have.
    fn check_golden(name: LayoutName) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/layout");
        let text = std::fs::read_to_string(folder.join(format!("{name}.tsv"))).unwrap();
        let layout = layout(name);
        let mut vectors = 0;
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let fields: Vec<&str> = line.split('\t').collect();
            let [written, key, reach] = fields[..] else {
                panic!("{line:?} has not three fields");
            };
            let placed = layout.place(&PageUrl::recorded(written).unwrap());
            assert_eq!(placed.key.as_str(), key, "{written}");
            let told = match placed.reach {
                Reach::Cdn => "cdn".to_owned(),
                Reach::GatewayOnly(reason) => format!("gateway {reason:?}"),
            };
            assert_eq!(told, reach, "{written}");
            vectors += 1;
        }
        assert!(vectors >= 400, "only {vectors} vectors for {name}");
    }

    #[test]
    fn golden_vectors_of_plain() {
        // Promise: what `plain` once answered it answers for ever.
        check_golden(LayoutName::Plain);
    }

    #[test]
    fn golden_vectors_of_govuk() {
        // Promise: what `govuk` once answered it answers for ever.
        check_golden(LayoutName::Govuk);
    }

    #[test]
    // long: a table of cases, one line of thought each.
    fn primary_urls_of_keys() {
        // Promise: a key leads back to its shortest tidy URL; keys of no page lead nowhere.
        let cases = [
            (
                LayoutName::Plain,
                "h.org/x/index.html",
                Some("https://h.org/x/"),
            ),
            (
                LayoutName::Plain,
                "h.org/index.html",
                Some("https://h.org/"),
            ),
            (
                LayoutName::Plain,
                "h.org/caf\u{e9}",
                Some("https://h.org/caf%C3%A9"),
            ),
            (
                LayoutName::Plain,
                "h.org/a b?c#d",
                Some("https://h.org/a%20b%3Fc%23d"),
            ),
            (
                LayoutName::Plain,
                "h.org_8080/x",
                Some("https://h.org:8080/x"),
            ),
            (LayoutName::Plain, "h_1_443/x", Some("https://h_1/x")),
            (
                LayoutName::Plain,
                "h.org/%/a%3Fp=2",
                Some("https://h.org/a?p=2"),
            ),
            (
                LayoutName::Plain,
                "h.org/xindex.html",
                Some("https://h.org/xindex.html"),
            ),
            (LayoutName::Plain, "h.org_443/x", None),
            (LayoutName::Plain, "h.org_080/x", None),
            (LayoutName::Plain, "H.org/x", None),
            (LayoutName::Plain, "h.org", None),
            (LayoutName::Plain, "h.org/", None),
            (LayoutName::Plain, "h.org//x", None),
            (LayoutName::Plain, "h.org/%/", None),
            (LayoutName::Plain, "h.org/%/a", None),
            (LayoutName::Plain, "h.org/%x", None),
            (LayoutName::Plain, "u@h.org/x", None),
            (LayoutName::Plain, ".standin/head", None),
            (
                LayoutName::Govuk,
                "h.org/foo.html",
                Some("https://h.org/foo"),
            ),
            (LayoutName::Govuk, "h.org/x/.html", Some("https://h.org/x/")),
            (
                LayoutName::Govuk,
                "h.org/.html",
                Some("https://h.org/.html"),
            ),
            (
                LayoutName::Govuk,
                "h.org/a.pdf",
                Some("https://h.org/a.pdf"),
            ),
            (
                LayoutName::Govuk,
                "h.org/a.pdf.html",
                Some("https://h.org/a.pdf.html"),
            ),
            (
                LayoutName::Govuk,
                "h.org/index.html",
                Some("https://h.org/"),
            ),
            (
                LayoutName::Govuk,
                "h.org/x/index.html",
                Some("https://h.org/x/index"),
            ),
            (LayoutName::Govuk, "h.org/foo", None),
        ];
        for (name, key, expected) in cases {
            let page = layout(name).page_of(&ObjectKey::parse(key).unwrap(), Scheme::Https);
            assert_eq!(page.as_ref().map(PageUrl::as_str), expected, "{name} {key}");
        }
        let hashed =
            layout(LayoutName::Plain).place(&url(&format!("https://h/{}", "x".repeat(1100))));
        assert!(hashed.key.as_str().starts_with("h/%%/"));
        assert_eq!(
            layout(LayoutName::Plain).page_of(&hashed.key, Scheme::Https),
            None
        );
    }

    #[test]
    fn of_an_alias_pair_the_shorter_is_primary() {
        // Promise: exactly one of two URLs on one key is canonical, and it is the key's page.
        let pairs = [
            (LayoutName::Plain, "https://h/x/", "https://h/x/index.html"),
            (LayoutName::Plain, "https://h/a,", "https://h/a%2C"),
            (LayoutName::Govuk, "https://h/", "https://h/index.html"),
            (LayoutName::Govuk, "https://h/foo", "https://h/foo.html"),
            (LayoutName::Govuk, "https://h/a/b", "https://h/a//b"),
        ];
        for (name, primary, other) in pairs {
            let (layout, primary, other) = (layout(name), url(primary), url(other));
            assert_eq!(layout.place(&primary), layout.place(&other));
            assert!(Layout::outranks(&primary, &other) && !Layout::outranks(&other, &primary));
            assert!(
                layout.is_primary(&primary) && !layout.is_primary(&other),
                "{primary}"
            );
        }
    }

    #[test]
    fn an_asset_host_with_a_port_is_that_port() {
        // Promise: asset hosts are written and read like `site.hosts`.
        let plain = layout(LayoutName::Plain);
        let key = |text: &str| plain.place(&url(text)).key.as_str().to_owned();
        assert_eq!(
            key("http://assets.example/x/"),
            "assets.example/x/index.html"
        );
        assert_eq!(
            key("http://assets.example:8080/x/"),
            "assets.example_8080/%/x%2F"
        );
    }

    fn path() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/",
            "a",
            "b",
            ".",
            "%2F",
            "%2f",
            "%41",
            "%25",
            "%2541",
            "%",
            "%C3%A9",
            "%c3%a9",
            "%FF",
            "%00",
            "%7F",
            "%C2%85",
            "%EF%BF%BE",
            "index.html",
            "index",
            ".html",
            ".pdf",
            ".htm",
            "?",
            "=",
            "&",
            "+",
            "%2B",
            "%20",
            ":",
            "://",
            "//",
            "@",
            "'",
            "_8080",
            "é",
            "%EF%BC%8F",
        ]);
        prop_oneof![
            9 => prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat()),
            1 => ("[a-z%/?]{1,3}", 300..2000_usize).prop_map(|(text, times)| text.repeat(times)),
            1 => any::<String>(),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 192, failure_persistence: None, ..ProptestConfig::default()
        })]

        #[test]
        fn promises_hold_for_paths_that_nearly_meet(first in path(), second in path()) {
            // Promise: total, stable, in bounds, injective but for the rules, and invertible.
            check_layout(format!("{first}\n{second}").as_bytes());
        }

        #[test]
        fn promises_hold_for_hosts_that_nearly_meet(
            host in prop::sample::select(vec!["h", "h_80", "h_443", "h_8080", "h_", "[::1]", "1.2.3.4"]),
            port in prop::sample::select(vec!["", ":80", ":443", ":8080"]),
            scheme in prop::sample::select(vec!["http", "https"]),
        ) {
            // Promise: the first segment tells authority apart; compared with every other.
            let one = url(&format!("{scheme}://{host}{port}/x"));
            check_layout(one.as_str().as_bytes());
            let plain = Layout::new(LayoutName::Plain, []);
            for other_host in ["h", "h_80", "h_443", "h_8080"] {
                for other_port in ["", ":80", ":443", ":8080"] {
                    let other = url(&format!("{scheme}://{other_host}{other_port}/x"));
                    prop_assert_eq!(plain.place(&one).key == plain.place(&other).key, one == other);
                }
            }
        }

        #[test]
        fn promises_hold_for_any_bytes(data in prop::collection::vec(any::<u8>(), 0..200)) {
            // Promise: as above, for what no one would write.
            check_layout(&data);
        }
    }
}
