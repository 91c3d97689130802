//! The fields that GCS has for headers of an object; all else is custom metadata (`../metadata.rs`).
//!
//! `Cache-Control` is in both: GCS serves an object with it, but an answer with the object's bytes shows it
//! to nobody who uses the official client, and a get should be one request.

use std::collections::HashMap;

use bytes::Bytes;
use google_cloud_storage::model::{Object, ObjectChecksums};
use google_cloud_storage::model_ext::ObjectHighlights;

use crate::site::ObjectKey;
use crate::tier::metadata::{self, Found, is_plain};
use crate::tier::{ObjectMeta, Stated};

/// GCS allows 8 KiB of names and values.
const CUSTOM_BYTES_MAX: usize = 8 * 1024 - 100;

/// GCS takes no longer `Content-Language`.
const LANGUAGE_BYTES_MAX: usize = 100;

/// What is replaced by a re-header: what is gone is cleared.
pub(super) const MASK: [&str; 5] = [
    "content_type",
    "content_language",
    "content_disposition",
    "cache_control",
    "metadata",
];

/// What an object is stored with; an empty text is a field that is not set.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub content_type: String,
    pub content_language: String,
    pub content_disposition: String,
    pub cache_control: String,
    pub metadata: HashMap<String, String>,
}

/// The fields, and the name and bytes of a small object that is to be written first, if one is needed.
pub(super) fn encode(key: &ObjectKey, meta: &ObjectMeta) -> (Fields, Option<(String, Bytes)>) {
    let mut stored = metadata::encode(key, meta, CUSTOM_BYTES_MAX, native);
    let mut field = |name: &str| stored.native.remove(name).unwrap_or_default();
    let cache_control = meta.headers.get("cache-control");
    let fields = Fields {
        content_type: field("content-type"),
        content_language: field("content-language"),
        content_disposition: field("content-disposition"),
        cache_control: cache_control
            .filter(|value| is_plain(value))
            .unwrap_or_default()
            .to_owned(),
        metadata: stored.custom.into_iter().collect(),
    };
    (fields, stored.record)
}

impl Fields {
    pub fn into_object(self) -> Object {
        Object::new()
            .set_content_type(self.content_type)
            .set_content_language(self.content_language)
            .set_content_disposition(self.content_disposition)
            .set_cache_control(self.cache_control)
            .set_metadata(self.metadata)
    }
}

/// What an answer with bytes shows.
pub(super) fn found_beside(highlights: ObjectHighlights) -> Found {
    found(
        [
            ("content-type", highlights.content_type),
            ("content-language", highlights.content_language),
            ("content-disposition", highlights.content_disposition),
        ],
        highlights.metadata,
    )
}

/// What an answer without bytes shows.
pub(super) fn found_alone(object: Object) -> Found {
    found(
        [
            ("content-type", object.content_type),
            ("content-language", object.content_language),
            ("content-disposition", object.content_disposition),
        ],
        object.metadata,
    )
}

/// What the service states about the bytes.
pub(super) fn stated(checksums: Option<&ObjectChecksums>) -> Stated {
    Stated {
        md5: checksums.and_then(|sums| sums.md5_hash.as_ref().try_into().ok()),
        crc32c: checksums.and_then(|sums| sums.crc32c),
        content: None,
    }
}

/// A name for the bytes: their MD5 where the service states one, as in S3, so that it is the same for
/// all who hold them. An object composed of others has none.
pub(super) fn etag(stated: &Stated) -> String {
    match (stated.md5, stated.crc32c) {
        (Some(md5), _) => md5.iter().map(|byte| format!("{byte:02x}")).collect(),
        (None, Some(crc32c)) => format!("crc32c:{crc32c:08x}"),
        (None, None) => String::new(),
    }
}

fn found(native: [(&'static str, String); 3], custom: HashMap<String, String>) -> Found {
    let is_set = |(_, value): &(&str, String)| !value.is_empty();
    Found {
        native: native.into_iter().filter(is_set).collect(),
        custom: custom.into_iter().collect(),
    }
}

fn native(name: &str, value: &str) -> Option<&'static str> {
    match name {
        "content-type" => Some("content-type"),
        "content-disposition" => Some("content-disposition"),
        "content-language" if value.len() <= LANGUAGE_BYTES_MAX => Some("content-language"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_names_the_bytes() {
        // The same bytes have the same name wherever GCS states their MD5; others go by CRC32C.
        let sums = ObjectChecksums::new().set_crc32c(0x00c0_ffee_u32);
        let composed = stated(Some(&sums));
        assert_eq!(etag(&composed), "crc32c:00c0ffee");
        let whole = stated(Some(&sums.set_md5_hash(vec![0xab; 16])));
        assert_eq!(etag(&whole), "ab".repeat(16));
        assert_eq!(etag(&stated(None)), "");
    }

    #[test]
    fn a_language_that_gcs_refuses_is_kept_beside() {
        // A page of which GCS refuses a header would be missing altogether.
        assert_eq!(
            native("content-language", "de, cy"),
            Some("content-language")
        );
        assert_eq!(native("content-language", &"de,".repeat(40)), None);
    }
}
