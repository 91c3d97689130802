//! The fields that S3 has for headers of an object; all else is custom metadata (`../metadata.rs`).

use std::collections::HashMap;

use aws_sdk_s3::primitives::DateTime;
use bytes::Bytes;

use crate::site::ObjectKey;
use crate::tier::ObjectMeta;
use crate::tier::metadata::{self, Found, escaped_location};

/// S3 allows 2,048 bytes of names and values.
const CUSTOM_BYTES_MAX: usize = 2000;

/// S3 allows 2 KB for the target of a redirect of a bucket that is served as a web site.
const WEBSITE_REDIRECT_BYTES_MAX: usize = 2000;

/// In the order of [`found`].
const NAMES: [&str; 5] = [
    "content-type",
    "content-language",
    "content-disposition",
    "cache-control",
    "expires",
];

/// What an object is stored with.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub content_type: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<DateTime>,
    /// Where a bucket that is served as a web site redirects to.
    pub website_redirect: Option<String>,
    pub metadata: HashMap<String, String>,
}

/// The fields, and the name and bytes of a small object that is to be written first, if one is needed.
pub(super) fn encode(key: &ObjectKey, meta: &ObjectMeta) -> (Fields, Option<(String, Bytes)>) {
    let mut stored = metadata::encode(key, meta, CUSTOM_BYTES_MAX, native);
    let expires = stored.native.remove("expires");
    let mut field = |name: &str| stored.native.remove(name);
    let fields = Fields {
        content_type: field("content-type"),
        content_language: field("content-language"),
        content_disposition: field("content-disposition"),
        cache_control: field("cache-control"),
        expires: expires.and_then(|date| Some(httpdate::parse_http_date(&date).ok()?.into())),
        website_redirect: meta.location.as_deref().and_then(website_redirect),
        metadata: stored.custom.into_iter().collect(),
    };
    (fields, stored.record)
}

/// What an object comes back with: `native` are the fields in the order of [`NAMES`].
pub(super) fn found(native: [Option<String>; 5], custom: Option<HashMap<String, String>>) -> Found {
    let native = NAMES.into_iter().zip(native);
    Found {
        native: native
            .filter_map(|(name, value)| Some((name, value?)))
            .collect(),
        custom: custom.unwrap_or_default().into_iter().collect(),
    }
}

fn native(name: &str, value: &str) -> Option<&'static str> {
    let field = NAMES.into_iter().find(|field| *field == name)?;
    // Sites send `0` and `-1` as well, which S3 does not take.
    let date = httpdate::parse_http_date(value).ok();
    let comes_back = date.is_some_and(|date| httpdate::fmt_http_date(date) == value);
    (field != "expires" || comes_back).then_some(field)
}

/// S3 takes absolute paths and http(s) URLs in ASCII. A target that it would refuse is left out: status
/// and target are in the object's metadata in any case.
fn website_redirect(location: &str) -> Option<String> {
    let escaped = escaped_location(location);
    let is_accepted = ["/", "http://", "https://"]
        .iter()
        .any(|start| escaped.starts_with(start));
    (is_accepted && escaped.len() <= WEBSITE_REDIRECT_BYTES_MAX).then_some(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_comes_back_as_it_went_has_a_field() {
        // S3 parses dates and prints them its own way; others are kept beside.
        assert_eq!(native("content-type", "text/css"), Some("content-type"));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(native("expires", date), Some("expires"));
        assert_eq!(native("expires", "0"), None);
        assert_eq!(native("expires", "Sunday, 06-Nov-94 08:49:37 GMT"), None);
        assert_eq!(native("vary", "accept"), None);
    }

    #[test]
    fn a_website_redirects_only_where_s3_accepts_the_target() {
        // An object that is refused for its redirect would be missing altogether.
        let target = website_redirect("https://www.example.org/über uns");
        let expected = "https://www.example.org/%C3%BCber%20uns";
        assert_eq!(target.as_deref(), Some(expected));
        assert_eq!(website_redirect("mailto:someone@example.org"), None);
        assert_eq!(website_redirect(&format!("/{}", "x".repeat(2100))), None);
    }
}
