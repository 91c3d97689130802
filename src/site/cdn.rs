//! What a CDN asks a store for: `docs/LAYOUT.md` once more, from the request as it arrives to the path that is
//! sent on, as a function at the edge would have it.
//!
//! Written from that page and sharing no rule with `layout.rs`, which goes from a page's URL to its key: the
//! promise that a key can be reached is that the two agree, and is checked for arbitrary input.

use percent_encoding::percent_decode_str;

use super::layout::{GOVUK_EXTENSIONS, Layout, LayoutName};
use super::url::{PageUrl, Scheme};

/// The longest key that a store takes.
const SEEN_BYTES_MAX: usize = 1024;

/// A request as it reaches the CDN.
#[derive(Clone, Copy, Debug)]
pub struct CdnRequest<'a> {
    pub scheme: Scheme,
    /// The `Host` header: a name or an address, with a port or without.
    pub host: &'a str,
    /// Path and query of the request line, as sent.
    pub target: &'a str,
}

/// What the CDN does with a request for the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CdnAnswer {
    /// It asks the store for this path, which goes on the request line behind the tier's prefix.
    Asks { path: String },
    /// There is nothing to ask a store for. The reason has the name that [`super::Unreachable`] has in JSON; of
    /// what is no request for a site's page it is `host` or `target`.
    Refuses { reason: &'static str },
}

/// Rewrites a request. The caller has looked whether the host is one of the site's.
pub fn asked_of_store(layout: &Layout, request: CdnRequest<'_>) -> CdnAnswer {
    match rewritten(layout, request) {
        Ok(path) => CdnAnswer::Asks { path },
        Err(reason) => CdnAnswer::Refuses { reason },
    }
}

/// The request that a browser sends for a page, whose URL is spelt as it spells it.
impl<'a> From<&'a PageUrl> for CdnRequest<'a> {
    fn from(url: &'a PageUrl) -> CdnRequest<'a> {
        CdnRequest {
            scheme: url.scheme(),
            host: url.authority(),
            target: url.target(),
        }
    }
}

fn rewritten(layout: &Layout, request: CdnRequest<'_>) -> Result<String, &'static str> {
    let host = request.host.to_lowercase();
    if host.is_empty() || host.starts_with('.') || host.contains('/') {
        return Err("host");
    }
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (request.target, None),
    };
    if query.is_some() {
        return Err("query");
    }
    let path = if path.is_empty() { "/" } else { path };
    if !path.starts_with('/') {
        return Err("target");
    }
    refuse_escapes(path)?;
    let path = unreserved_resolved(path);
    // Before rewriting: with a suffix it would be another page's name.
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("dot_segment");
    }
    let (name, port) = name_and_port(&host, request.scheme);
    let is_asset_host = is_listed(&layout.asset_hosts(), name, port);
    let path = match (layout.name(), is_asset_host) {
        (LayoutName::Plain, true) => path,
        (LayoutName::Plain, false) if path.ends_with('/') => path + "index.html",
        (LayoutName::Plain, false) => path,
        (LayoutName::Govuk, true) => collapsed(&path),
        (LayoutName::Govuk, false) if path == "/" => "/index.html".to_owned(),
        (LayoutName::Govuk, false) => with_suffix(collapsed(&path)),
    };
    let segment = segment(name, port, request.scheme);
    refuse_what_is_seen(&segment, &path)?;
    Ok(format!("/{segment}{path}").replace('+', "%2B"))
}

/// R2 and R3, from left to right.
fn refuse_escapes(path: &str) -> Result<(), &'static str> {
    for piece in path.split('%').skip(1) {
        let digits = piece.as_bytes().get(..2).unwrap_or_default();
        if digits.len() < 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err("stray_percent");
        }
        if digits.eq_ignore_ascii_case(b"2f") {
            return Err("encoded_slash");
        }
    }
    Ok(())
}

/// P2. Every `%` is known to begin an escape.
fn unreserved_resolved(path: &str) -> String {
    let mut pieces = path.split('%');
    let mut resolved = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (digits, rest) = piece.split_at(2);
        let byte = u8::from_str_radix(digits, 16).map(char::from);
        match byte {
            Ok(byte) if byte.is_ascii_alphanumeric() || "-._~".contains(byte) => {
                resolved.push(byte);
            }
            _ => resolved.extend(["%", digits]),
        }
        resolved.push_str(rest);
    }
    resolved
}

/// H1 and H2: the name, and the port that the request came in on.
fn name_and_port(host: &str, scheme: Scheme) -> (&str, u16) {
    let own = if scheme == Scheme::Https { 443 } else { 80 };
    let end_of_address = host.rfind(']').map_or(0, |at| at + 1);
    match host[end_of_address..].find(':') {
        Some(colon) => {
            let port = host[end_of_address + colon + 1..].parse();
            (&host[..end_of_address + colon], port.unwrap_or(own))
        }
        None => (host, own),
    }
}

/// Whether a host is among the asset hosts: written alone it stands for its ports 80 and 443.
fn is_listed(asset_hosts: &[String], name: &str, port: u16) -> bool {
    let with_port = format!("{name}:{port}");
    asset_hosts
        .iter()
        .any(|entry| *entry == with_port || (entry == name && matches!(port, 80 | 443)))
}

/// H2 and H3.
fn segment(name: &str, port: u16, scheme: Scheme) -> String {
    let is_own = (scheme, port) == (Scheme::Https, 443) || (scheme, port) == (Scheme::Http, 80);
    let without_digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let looks_like_a_port = without_digits.len() < name.len() && without_digits.ends_with('_');
    if is_own && !looks_like_a_port {
        name.to_owned()
    } else {
        format!("{name}_{port}")
    }
}

/// G2, as the expression `([^:])//+` replaced by `\1/` has it: matches are looked for from left to right, each
/// begins behind the end of the one before.
fn collapsed(path: &str) -> String {
    let characters: Vec<char> = path.chars().collect();
    let mut collapsed = String::new();
    let mut at = 0;
    while at < characters.len() {
        collapsed.push(characters[at]);
        let slashes = characters[at + 1..].iter().take_while(|c| **c == '/');
        let slashes = slashes.count();
        if characters[at] != ':' && slashes >= 2 {
            collapsed.push('/');
            at += slashes;
        }
        at += 1;
    }
    collapsed
}

/// G3 and G4.
fn with_suffix(path: String) -> String {
    let ends_in = |extension: &&str| path.ends_with(&format!(".{extension}"));
    if GOVUK_EXTENSIONS.iter().any(ends_in) {
        path
    } else {
        path + ".html"
    }
}

/// R4 to R9, by what the store sees behind the segment and its slash.
fn refuse_what_is_seen(segment: &str, path: &str) -> Result<(), &'static str> {
    let decoded = percent_decode_str(&path[1..]).decode_utf8();
    let seen = decoded.map_err(|_| "not_utf8")?;
    for character in seen.chars() {
        let code = u32::from(character);
        if code <= 0x1f || (0x7f..=0x9f).contains(&code) || (0xfffe..=0xffff).contains(&code) {
            return Err("control_character");
        }
    }
    let segments: Vec<&str> = seen.split('/').collect();
    if segments.contains(&"") {
        return Err("empty_segment");
    }
    if segments[0].starts_with('%') {
        return Err("escape");
    }
    if segment.len() + 1 + seen.len() > SEEN_BYTES_MAX {
        return Err("too_long");
    }
    Ok(())
}
