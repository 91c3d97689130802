//! An object's metadata in what S3 keeps: the headers that it serves itself in their own fields,
//! all else as user metadata named `standin-…`, in ASCII and within S3's limit of 2 KB.
//!
//! | name | holds |
//! |---|---|
//! | `standin-url` | the page's URL |
//! | `standin-blake3`, `standin-crc32c` | digests of the body in hexadecimal |
//! | `standin-status`, `standin-location` | the answer; a location is percent-escaped to ASCII, as a browser would |
//! | `standin-headers` | the other headers: JSON list of pairs, `%`, control characters and non-ASCII percent-escaped |
//!
//! What does not fit is left out in this order: headers as in [`LEFT_OUT_FIRST`], then any other,
//! then the URL. An object without its URL is read back without metadata; its key still tells
//! which page it is.

use std::collections::HashMap;

use aws_sdk_s3::primitives::DateTime;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use crate::content::KeptHeaders;
use crate::site::PageUrl;
use crate::tier::ObjectMeta;

/// S3 allows 2,048 bytes of names and values.
const METADATA_BYTES_MAX: usize = 2000;

/// Reversible: the escape character is escaped too.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// For a location, whose own escapes must stay as they are.
const ESCAPED_IN_LOCATION: &AsciiSet = &CONTROLS.add(b' ');

/// Long and needed least first; what protects readers stays longest.
const LEFT_OUT_FIRST: &[&str] = &[
    "content-security-policy-report-only",
    "permissions-policy",
    "link",
    "vary",
    "strict-transport-security",
    "referrer-policy",
    "access-control-allow-origin",
    "x-content-type-options",
    "x-frame-options",
    "content-security-policy",
    "x-robots-tag",
];

/// What an object is stored with.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub content_type: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<DateTime>,
    pub metadata: HashMap<String, String>,
}

/// What an object comes back with.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub content_type: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<String>,
    pub metadata: HashMap<String, String>,
}

pub(super) fn encode(meta: &ObjectMeta) -> Stored {
    let mut stored = Stored::default();
    let mut others: Vec<(&str, &str)> = Vec::new();
    for (name, value) in meta.headers.iter() {
        if !store_natively(&mut stored, name, value) {
            others.push((name, value));
        }
    }
    if stored.content_type.is_none() {
        // Services invent a type for an object that has none. An empty one says that it is
        // not the page's; a redirect has a page of ours as its body.
        if !others.iter().any(|(name, _)| *name == "content-type") {
            others.push(("content-type", ""));
        }
        stored.content_type = meta.location.is_some().then(|| "text/html".to_owned());
    }
    stored.metadata = user_metadata(meta, others);
    stored
}

/// `None` if the object is not one of ours or its metadata is not whole.
pub(super) fn decode(found: Found, size: u64) -> Option<ObjectMeta> {
    let field = |name: &str| found.metadata.get(name).map(String::as_str);
    let mut headers: Vec<(String, String)> = match field("standin-headers") {
        None => Vec::new(),
        Some(escaped) => {
            serde_json::from_str(&percent_decode_str(escaped).decode_utf8().ok()?).ok()?
        }
    };
    let native = [
        ("content-type", &found.content_type),
        ("content-language", &found.content_language),
        ("content-disposition", &found.content_disposition),
        ("cache-control", &found.cache_control),
        ("expires", &found.expires),
    ];
    for (name, value) in native {
        if let Some(value) = value
            && !headers.iter().any(|(known, _)| known == name)
        {
            headers.push((name.to_owned(), value.clone()));
        }
    }
    headers.retain(|(name, value)| name != "content-type" || !value.is_empty());
    let headers = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    Some(ObjectMeta {
        url: PageUrl::parse(field("standin-url")?).ok()?,
        content: field("standin-blake3")?.parse().ok()?,
        crc32c: u32::from_str_radix(field("standin-crc32c")?, 16).ok()?,
        size,
        status: field("standin-status")?.parse().ok()?,
        location: field("standin-location").map(str::to_owned),
        headers: KeptHeaders::keep(headers),
    })
}

/// Whether the header could be stored in a field of its own and will come back as it is.
fn store_natively(stored: &mut Stored, name: &str, value: &str) -> bool {
    let is_plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    // Signatures are computed with runs of spaces as one, and not all services agree on it.
    if value.is_empty() || value.contains("  ") || !value.bytes().all(is_plain) {
        return false;
    }
    let field = match name {
        "content-type" => &mut stored.content_type,
        "content-language" => &mut stored.content_language,
        "content-disposition" => &mut stored.content_disposition,
        "cache-control" => &mut stored.cache_control,
        "expires" => {
            // Sites send `0` and `-1` as well, which S3 does not take.
            let time = httpdate::parse_http_date(value).ok();
            stored.expires = time
                .filter(|time| httpdate::fmt_http_date(*time) == value)
                .map(DateTime::from);
            return stored.expires.is_some();
        }
        _ => return false,
    };
    *field = Some(value.to_owned());
    true
}

fn user_metadata(meta: &ObjectMeta, mut others: Vec<(&str, &str)>) -> HashMap<String, String> {
    let mut metadata = HashMap::from([
        ("standin-url".to_owned(), meta.url.as_str().to_owned()),
        ("standin-blake3".to_owned(), meta.content.to_string()),
        ("standin-crc32c".to_owned(), format!("{:08x}", meta.crc32c)),
        ("standin-status".to_owned(), meta.status.to_string()),
    ]);
    if let Some(location) = &meta.location {
        let ascii = utf8_percent_encode(location, ESCAPED_IN_LOCATION).to_string();
        metadata.insert("standin-location".into(), ascii);
    }
    let fixed = weight(&metadata);
    let mut left_out = LEFT_OUT_FIRST.iter();
    while !others.is_empty() {
        let json = serde_json::to_string(&others).expect("strings always become JSON");
        let escaped = utf8_percent_encode(&json, ESCAPED)
            .to_string()
            .replace("  ", " %20");
        if fixed + "standin-headers".len() + escaped.len() <= METADATA_BYTES_MAX {
            metadata.insert("standin-headers".into(), escaped);
            break;
        }
        match left_out.next() {
            Some(name) => others.retain(|(other, _)| other != name),
            None => others.truncate(others.len() - 1),
        }
    }
    for name in ["standin-url", "standin-location"] {
        if weight(&metadata) > METADATA_BYTES_MAX {
            metadata.remove(name);
        }
    }
    metadata
}

/// Bytes as S3 counts them.
fn weight(metadata: &HashMap<String, String>) -> usize {
    metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentHash;

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
        }
    }

    /// What a service gives back for what it was given.
    fn served(stored: Stored) -> Found {
        Found {
            content_type: stored
                .content_type
                .or_else(|| Some("binary/octet-stream".into())),
            content_language: stored.content_language,
            content_disposition: stored.content_disposition,
            cache_control: stored.cache_control,
            expires: stored
                .expires
                .map(|time| httpdate::fmt_http_date(time.try_into().expect("in range"))),
            metadata: stored.metadata,
        }
    }

    #[test]
    fn metadata_comes_back_as_it_went() {
        // Every kept header survives, whether S3 has a field for it or not, also what S3 would
        // not take as it is: other dates, other alphabets, runs of spaces, no type at all.
        for headers in [
            &[
                ("content-type", "text/html; charset=utf-8"),
                (
                    "content-security-policy",
                    "default-src 'self';  img-src *; 100%",
                ),
            ][..],
            &[
                ("expires", "Sun, 06 Nov 1994 08:49:37 GMT"),
                ("content-type", "text/css"),
            ],
            &[
                ("expires", "0"),
                ("content-language", "de, cy"),
                ("cache-control", "max-age=60"),
            ],
            &[
                (
                    "content-disposition",
                    "attachment; filename=\"Übersicht   1.pdf\"",
                ),
                ("vary", "accept"),
            ],
            &[],
        ] {
            let before = meta(headers);
            let stored = encode(&before);
            for value in stored.metadata.values() {
                assert!(value.is_ascii() && !value.contains("  "), "{value}");
            }
            assert_eq!(decode(served(stored), 1), Some(before));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_in_the_stated_order() {
        // S3 refuses more than 2 KB; the policy that reports goes before the one that protects.
        let long = "x".repeat(900);
        let mut page = meta(&[
            ("content-security-policy", &long),
            ("content-security-policy-report-only", &long),
            ("x-robots-tag", "noindex"),
        ]);
        let kept = decode(served(encode(&page)), 1).expect("whole").headers;
        let names: Vec<&str> = kept.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["content-security-policy", "x-robots-tag"]);

        page.url = PageUrl::parse(&format!("https://h/{}", "u".repeat(3000))).expect("a URL");
        let stored = encode(&page);
        assert!(weight(&stored.metadata) <= METADATA_BYTES_MAX);
        assert!(stored.metadata.contains_key("standin-blake3"));
        assert_eq!(decode(served(stored), 1), None);
    }

    #[test]
    fn a_redirect_is_a_page_with_its_target_in_metadata() {
        // A CDN reads status and target without decoding anything.
        let mut redirect = meta(&[]);
        redirect.status = 301;
        redirect.location = Some("/Über uns%2Fhier".into());
        let stored = encode(&redirect);
        assert_eq!(stored.content_type.as_deref(), Some("text/html"));
        assert_eq!(stored.metadata["standin-status"], "301");
        assert_eq!(
            stored.metadata["standin-location"],
            "/%C3%9Cber%20uns%2Fhier"
        );
    }
}
