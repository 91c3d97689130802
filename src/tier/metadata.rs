//! An object's metadata in what a bucket keeps: the headers that the service sends itself in their own
//! fields, all else as custom metadata named `standin-…`, in ASCII and within the service's limit.
//!
//! | name | holds |
//! |---|---|
//! | `standin-url` | the page's URL |
//! | `standin-blake3`, `standin-crc32c` | digests of the body in hexadecimal |
//! | `standin-status`, `standin-location` | the answer; a location is percent-escaped to ASCII, as a browser would |
//! | `standin-headers` | the other headers: JSON list of pairs, `%`, control characters and non-ASCII percent-escaped |
//! | `standin-canonical`, `standin-rules` | the canonical hash, and the version of the rules that it was made by |
//! | `standin-generation`, `standin-fetched` | since when: number of the generation, RFC 3339 time of the answer |
//! | `standin-record` | name of a small object with all of it, where the rest does not fit |
//!
//! Nothing is ever cut. What does not fit goes whole, as a [`Record`], into a small object that is named
//! by its own hash and written before the object that names it; of the fields above those then stay that
//! have a fixed length, so that the object still says what it holds.

use std::collections::BTreeMap;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::record::Record;
use super::{ObjectMeta, Provenance};
use crate::content::{ContentHash, KeptHeaders};
use crate::site::{ObjectKey, PageUrl};

/// Reversible: the escape character is escaped too.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// For a location, whose own escapes must stay as they are.
const ESCAPED_IN_LOCATION: &AsciiSet = &CONTROLS.add(b' ');

/// Where records lie that do not fit beside their objects.
pub(super) const RECORDS: &str = ".standin/records/";

/// What an object is stored with.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Headers in fields of the service's own, by lower-case name.
    pub native: BTreeMap<&'static str, String>,
    pub custom: BTreeMap<String, String>,
    /// To be written first: name and bytes of a small object.
    pub record: Option<(String, Bytes)>,
}

/// What an object comes back with.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub native: Vec<(&'static str, String)>,
    pub custom: BTreeMap<String, String>,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// All of it.
    Meta(Box<ObjectMeta>),
    /// The name of the small object that holds it.
    Record(String),
    /// None of ours, or not whole.
    Nothing,
}

/// Fits metadata into what a service takes. `native`: the service's own field for a header, if it has
/// one that gives this value back as it is; `bytes_max`: its limit for names and values of all custom
/// metadata.
pub(super) fn encode(
    key: &ObjectKey,
    meta: &ObjectMeta,
    bytes_max: usize,
    native: impl Fn(&str, &str) -> Option<&'static str>,
) -> Stored {
    let mut stored = Stored::default();
    let mut others: Vec<(&str, &str)> = Vec::new();
    for (name, value) in meta.headers.iter() {
        let field = native(name, value).filter(|_| is_plain(value));
        let field = field.filter(|field| !stored.native.contains_key(field));
        let is_alone = meta.headers.all(name).nth(1).is_none();
        // Of one that comes repeatedly the service sends one, and all of them stand beside the object.
        if field.is_none() || !is_alone {
            others.push((name, value));
        }
        if let Some(field) = field {
            stored.native.insert(field, value.to_owned());
        }
    }
    if !stored.native.contains_key("content-type") {
        // Services invent a type for an object that has none. An empty one says that it is
        // not the page's; a redirect has a page of ours as its body.
        if !others.iter().any(|(name, _)| *name == "content-type") {
            others.push(("content-type", ""));
        }
        if meta.location.is_some() {
            stored.native.insert("content-type", "text/html".into());
        }
    }
    let escaped = meta.location.as_deref().map(escaped_location);
    if let (Some(location), Some(escaped)) = (&meta.location, &escaped)
        && location != escaped
    {
        others.push(("location", location));
    }
    stored.custom = fixed(meta);
    put(&mut stored.custom, "url", meta.url.as_str());
    if let Some(escaped) = escaped {
        put(&mut stored.custom, "location", &escaped);
    }
    if !others.is_empty() {
        let json = serde_json::to_string(&others).expect("strings always become JSON");
        let escaped = utf8_percent_encode(&json, ESCAPED).to_string();
        // Signatures are computed with runs of spaces as one, and not all services agree on it.
        put(
            &mut stored.custom,
            "headers",
            &escaped.replace("  ", " %20"),
        );
    }
    if weight(&stored.custom) > bytes_max {
        let record = Bytes::from(Record::new(key, meta).encode());
        let name = format!("{RECORDS}{}", ContentHash::of(&record));
        stored.custom = fixed(meta);
        put(&mut stored.custom, "record", &name);
        stored.record = Some((name, record));
    }
    stored
}

/// The metadata of an object of `size` bytes.
pub(super) fn decode(found: &Found, size: u64) -> Decoded {
    if let Some(name) = found.custom.get("standin-record") {
        // Anything else was written by somebody else, and may be no name at all.
        let hash = name.strip_prefix(RECORDS);
        return match hash.is_some_and(|hash| hash.parse::<ContentHash>().is_ok()) {
            true => Decoded::Record(name.clone()),
            false => Decoded::Nothing,
        };
    }
    whole(found, size).map_or(Decoded::Nothing, |meta| Decoded::Meta(Box::new(meta)))
}

/// The metadata in the small object that [`Decoded::Record`] named; `None` when it is not whole or is
/// about another object.
pub(super) fn decode_record(bytes: &[u8], name: &str, key: &ObjectKey) -> Option<ObjectMeta> {
    let is_named = name.strip_prefix(RECORDS) == Some(&ContentHash::of(bytes).to_string());
    let record = Record::decode(bytes, key).filter(|_| is_named)?;
    Some(record.into_meta())
}

/// True for what comes back from a header field as it went.
pub(super) fn is_plain(value: &str) -> bool {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !value.is_empty()
        && !value.contains("  ")
        && value.trim() == value
        && value.bytes().all(is_plain)
}

fn whole(found: &Found, size: u64) -> Option<ObjectMeta> {
    let field = |name: &str| {
        found
            .custom
            .get(&format!("standin-{name}"))
            .map(String::as_str)
    };
    let mut headers: Vec<(String, String)> = match field("headers") {
        None => Vec::new(),
        Some(escaped) => {
            serde_json::from_str(&percent_decode_str(escaped).decode_utf8().ok()?).ok()?
        }
    };
    let at = headers.iter().position(|(name, _)| name == "location");
    let location = at.map(|at| headers.remove(at).1);
    let location = location.or_else(|| field("location").map(str::to_owned));
    // No page of ours has one that a header cannot hold; who serves it could be made to send another header.
    if location.as_deref().is_some_and(is_unsendable) {
        return None;
    }
    for (name, value) in &found.native {
        if !headers.iter().any(|(known, _)| known == name) {
            headers.push(((*name).to_owned(), value.clone()));
        }
    }
    headers.retain(|(name, value)| name != "content-type" || !value.is_empty());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    Some(ObjectMeta {
        url: PageUrl::recorded(field("url")?).ok()?,
        content: field("blake3")?.parse().ok()?,
        crc32c: u32::from_str_radix(field("crc32c")?, 16).ok()?,
        size,
        status: field("status")?.parse().ok()?,
        location,
        headers: KeptHeaders::stored(headers),
        provenance: provenance(field),
    })
}

/// True for what HTTP takes in no header: tabs are the only control characters that it does.
fn is_unsendable(value: &str) -> bool {
    value
        .chars()
        .any(|char| char.is_ascii_control() && char != '\t')
}

fn provenance<'a>(field: impl Fn(&str) -> Option<&'a str>) -> Option<Provenance> {
    let fetched = field("fetched").map(|text| {
        time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339)
    });
    Some(Provenance {
        canonical: field("canonical")?.parse().ok()?,
        rules: field("rules")?.parse().ok()?,
        generation: field("generation")?.parse().ok()?,
        fetched: fetched
            .transpose()
            .ok()?
            .map(time::OffsetDateTime::unix_timestamp),
    })
}

/// The fields whose length does not depend on the page.
fn fixed(meta: &ObjectMeta) -> BTreeMap<String, String> {
    let mut custom = BTreeMap::new();
    put(&mut custom, "blake3", &meta.content.to_string());
    put(&mut custom, "crc32c", &format!("{:08x}", meta.crc32c));
    put(&mut custom, "status", &meta.status.to_string());
    if let Some(provenance) = &meta.provenance {
        put(&mut custom, "canonical", &provenance.canonical.to_string());
        put(&mut custom, "rules", &provenance.rules.to_string());
        put(
            &mut custom,
            "generation",
            &provenance.generation.to_string(),
        );
        let fetched = provenance.fetched.and_then(rfc3339);
        if let Some(fetched) = fetched {
            put(&mut custom, "fetched", &fetched);
        }
    }
    custom
}

fn put(custom: &mut BTreeMap<String, String>, name: &str, value: &str) {
    custom.insert(format!("standin-{name}"), value.to_owned());
}

fn rfc3339(seconds: i64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    time.format(&time::format_description::well_known::Rfc3339)
        .ok()
}

/// As a browser would write it, so that a CDN can send it as it is.
pub(super) fn escaped_location(location: &str) -> String {
    utf8_percent_encode(location, ESCAPED_IN_LOCATION).to_string()
}

/// Bytes as the services count them.
pub(super) fn weight(custom: &BTreeMap<String, String>) -> usize {
    custom
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 2000;

    fn key() -> ObjectKey {
        ObjectKey::parse("h/a b").expect("a key")
    }

    fn meta(headers: &[(&str, &str)]) -> ObjectMeta {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        ObjectMeta {
            url: PageUrl::parse("https://h/a%20b").expect("a URL"),
            content: ContentHash::of(b"x"),
            crc32c: 0x00c0_ffee,
            size: 1,
            status: 200,
            location: None,
            headers: KeptHeaders::keep(headers),
            provenance: Some(Provenance {
                canonical: ContentHash::of(b"y"),
                rules: 3,
                generation: 41,
                fetched: Some(1_795_258_000),
            }),
        }
    }

    fn fitted(meta: &ObjectMeta) -> Stored {
        encode(&key(), meta, LIMIT, |name, value| {
            let fields = ["content-type", "cache-control", "content-language"];
            fields
                .into_iter()
                .find(|field| *field == name && value != "0")
        })
    }

    /// What a service gives back for what it was given.
    fn served(stored: Stored) -> Found {
        let mut native: Vec<_> = stored.native.into_iter().collect();
        if !native.iter().any(|(name, _)| *name == "content-type") {
            native.push(("content-type", "binary/octet-stream".into()));
        }
        Found {
            native,
            custom: stored.custom,
        }
    }

    #[test]
    fn metadata_comes_back_as_it_went() {
        // Every kept header survives, whether the service has a field for it or not, also what it would
        // not take as it is: other alphabets, runs of spaces, no type at all.
        for headers in [
            &[
                ("content-type", "text/html; charset=utf-8"),
                (
                    "content-security-policy",
                    "default-src 'self';  img-src *; 100%",
                ),
            ][..],
            &[("content-type", "text/css"), ("cache-control", "0")],
            &[("content-language", "de, cy"), ("content-type", "")],
            &[
                ("cache-control", "public"),
                ("cache-control", "max-age=60"),
                ("content-type", "text/html"),
                ("link", "</a.css>; rel=preload"),
                ("link", "</b.css>; rel=preload"),
            ],
            &[("cache-control", "a  b"), ("cache-control", "public")],
            &[(
                "content-disposition",
                "attachment; filename=\"Übersicht   1.pdf\"",
            )],
            &[],
        ] {
            let mut before = meta(headers);
            before.headers = KeptHeaders::keep(
                before
                    .headers
                    .iter()
                    .filter(|(_, value)| !value.is_empty())
                    .map(|(name, value)| (name, value.as_bytes())),
            );
            let stored = fitted(&before);
            for value in stored.custom.values() {
                assert!(value.is_ascii() && !value.contains("  "), "{value}");
            }
            assert_eq!(stored.record, None);
            let decoded = decode(&served(stored), 1);
            assert_eq!(decoded, Decoded::Meta(Box::new(before)));
        }
    }

    #[test]
    fn what_does_not_fit_goes_beside_the_object_whole() {
        // A service refuses more than its limit, and nothing may be lost: a long policy, a long URL.
        let long = "x".repeat(2100);
        let mut long_url = meta(&[("content-type", "text/html")]);
        long_url.url = PageUrl::parse(&format!("https://h/{long}")).expect("a URL");
        for page in [meta(&[("content-security-policy", &long)]), long_url] {
            let stored = fitted(&page);
            assert!(weight(&stored.custom) <= LIMIT);
            assert!(stored.custom.contains_key("standin-blake3"));
            let (name, bytes) = stored.record.clone().expect("a record of its own");
            assert_eq!(decode(&served(stored), 1), Decoded::Record(name.clone()));
            assert_eq!(decode_record(&bytes, &name, &key()), Some(page));
            assert_eq!(decode_record(&bytes[1..], &name, &key()), None);
            let other = ObjectKey::parse("h/b").expect("a key");
            assert_eq!(decode_record(&bytes, &name, &other), None);
        }
    }

    #[test]
    fn a_redirect_is_a_page_with_its_target_in_metadata() {
        // A CDN reads status and target without decoding anything; the exact target comes back.
        let mut redirect = meta(&[]);
        redirect.status = 301;
        redirect.location = Some("/Über uns%2Fhier".into());
        let stored = fitted(&redirect);
        assert_eq!(stored.native["content-type"], "text/html");
        assert_eq!(stored.custom["standin-status"], "301");
        assert_eq!(stored.custom["standin-location"], "/%C3%9Cber%20uns%2Fhier");
        let decoded = decode(&served(stored), 1);
        assert_eq!(decoded, Decoded::Meta(Box::new(redirect)));
    }

    #[test]
    fn what_others_wrote_into_our_fields_is_nothing_of_ours() {
        // Whoever may write to a bucket may write anything there: names that lead elsewhere, and targets
        // that would become headers of their own. The object then counts as one without metadata.
        let hash = ContentHash::of(b"x").to_string();
        for name in [
            String::new(),
            "no name of ours".into(),
            hash.clone(),
            format!(".standin/head/{hash}"),
            format!("{RECORDS}../{hash}"),
            RECORDS.into(),
        ] {
            let mut found = served(fitted(&meta(&[])));
            found.custom.insert("standin-record".into(), name.clone());
            assert_eq!(decode(&found, 1), Decoded::Nothing, "{name}");
        }
        for location in ["/a\r\nset-cookie: b", "/\0", "/\x7f"] {
            let mut found = served(fitted(&meta(&[])));
            let plain = ("standin-location".to_owned(), location.to_owned());
            found.custom.extend([plain]);
            assert_eq!(decode(&found, 1), Decoded::Nothing, "{location:?}");
            let mut redirect = meta(&[]);
            redirect.location = Some(location.into());
            let found = served(fitted(&redirect));
            assert_eq!(decode(&found, 1), Decoded::Nothing, "{location:?}");
        }
        let mut tab = meta(&[]);
        tab.location = Some("/a\tb".into());
        let decoded = decode(&served(fitted(&tab)), 1);
        assert_eq!(decoded, Decoded::Meta(Box::new(tab)));
    }

    #[test]
    fn an_object_of_the_first_version_is_understood() {
        // It had no provenance.
        let mut old = meta(&[("content-type", "text/html")]);
        old.provenance = None;
        let decoded = decode(&served(fitted(&old)), 1);
        assert_eq!(decoded, Decoded::Meta(Box::new(old)));
    }
}
