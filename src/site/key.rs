//! The name of an object in a tier, relative to the tier's prefix.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest key in bytes: the limit of S3 and of GCS alike.
pub const KEY_BYTES_MAX: usize = 1024;

/// First segment of everything in a tier that is no page of the site.
const OWN_SEGMENT: &str = ".standin";

/// The name of an object: 1 to [`KEY_BYTES_MAX`] bytes of UTF-8 whose first segment is not empty.
/// Ordered by bytes, which is the order in which object stores list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(Box<str>);

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("an object key cannot be empty; it begins with a host, like `your.site/index.html`")]
    Empty,
    #[error(
        "an object key begins with a host and not with `/`; write it like `your.site/index.html`"
    )]
    LeadingSlash,
    #[error("an object key has at most {KEY_BYTES_MAX} bytes and this one has {bytes}")]
    TooLong { bytes: usize },
}

impl ObjectKey {
    /// Takes a key as a listing or a record holds it.
    pub fn parse(text: &str) -> Result<ObjectKey, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        if text.starts_with('/') {
            return Err(KeyError::LeadingSlash);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(KeyError::TooLong { bytes: text.len() });
        }
        Ok(ObjectKey(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key may be a page of the site: everything that does not lie under `.standin/`.
    pub fn is_site(&self) -> bool {
        let first = self.0.split('/').next();
        first != Some(OWN_SEGMENT)
    }

    /// For keys that a layout has built.
    pub(super) fn from_layout(key: String) -> ObjectKey {
        debug_assert!(ObjectKey::parse(&key).is_ok(), "a layout builds valid keys");
        ObjectKey(key.into_boxed_str())
    }
}

/// A string just before a key (or the beginning of keys) in byte order, so that a listing after it begins
/// there. (The last character is lowered by one and followed by the highest there is.) Empty for an empty one.
pub fn just_before(key: &str) -> String {
    let mut text = key.to_owned();
    let Some(last) = text.pop() else {
        return text;
    };
    let below = (0..u32::from(last)).rev().find_map(char::from_u32);
    // A NUL has none below it, and no key ends in one; then the shorter string is the predecessor.
    if let Some(below) = below {
        text.push(below);
        text.push(char::MAX);
    }
    text
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ObjectKey, D::Error> {
        let text = String::deserialize(deserializer)?;
        ObjectKey::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_key_are_kept() {
        // Promise: a key has 1 to 1,024 bytes and a first segment; checked at both ends.
        assert_eq!(ObjectKey::parse(""), Err(KeyError::Empty));
        assert_eq!(ObjectKey::parse("/a"), Err(KeyError::LeadingSlash));
        assert!(ObjectKey::parse(&"k".repeat(1024)).is_ok());
        let too_long = ObjectKey::parse(&"k".repeat(1025));
        assert_eq!(too_long, Err(KeyError::TooLong { bytes: 1025 }));
    }

    #[test]
    fn own_objects_are_told_from_the_sites() {
        // Promise: only what lies under `.standin/` is no page; checked with near misses.
        let is_site = |text: &str| ObjectKey::parse(text).unwrap().is_site();
        assert!(!is_site(".standin/head"));
        assert!(!is_site(".standin"));
        assert!(is_site(".standin.example/x"));
        assert!(is_site("www.gov.uk/.standin/head"));
    }

    #[test]
    fn just_before_a_key_is_less_than_it_and_greater_than_its_neighbours() {
        // Promise: a listing after it begins with the key.
        for text in [
            "h.test/a",
            "h.test/é",
            "h.test/\u{e000}",
            "h.test/a b.html",
            "h.test/0",
        ] {
            let before = just_before(text);
            assert!(before.as_str() < text, "{text}");
            let last = text.chars().last().unwrap();
            assert!(before.as_str() > &text[..text.len() - last.len_utf8()]);
        }
        assert_eq!(just_before(""), "");
    }

    #[test]
    fn serde_validates() {
        // Promise: a record cannot smuggle in an invalid key; checked with a leading slash.
        let key: ObjectKey = serde_json::from_str("\"h/a\"").unwrap();
        assert_eq!(serde_json::to_string(&key).unwrap(), "\"h/a\"");
        assert!(serde_json::from_str::<ObjectKey>("\"/a\"").is_err());
    }
}
