//! By which header an answer gives away that a mirror sent it, and not the origin: what a failover tier serves must
//! never be taken in again as if it were fresh.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Written as `name`, or as `name: part` for a header whose value has the part in it. Neither the name nor the part
/// minds upper and lower case.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MirrorHeader {
    name: String,
    part: Option<String>,
}

/// A text that names no header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` names no header: write it like `x-mirror`, or `x-served-by: mirror` for a part of its value"
)]
pub struct MirrorHeaderError {
    pub text: String,
}

impl FromStr for MirrorHeader {
    type Err = MirrorHeaderError;

    fn from_str(text: &str) -> Result<MirrorHeader, MirrorHeaderError> {
        let (name, part) = match text.split_once(':') {
            Some((name, part)) => (name, Some(part)),
            None => (text, None),
        };
        let name = name.trim().to_ascii_lowercase();
        let part = part.map(|part| part.trim().to_ascii_lowercase());
        let is_token = name.bytes().all(is_token_byte) && !name.is_empty();
        if !is_token || part.as_ref().is_some_and(String::is_empty) {
            let text = text.to_owned();
            return Err(MirrorHeaderError { text });
        }
        Ok(MirrorHeader { name, part })
    }
}

impl TryFrom<String> for MirrorHeader {
    type Error = MirrorHeaderError;

    fn try_from(text: String) -> Result<MirrorHeader, MirrorHeaderError> {
        text.parse()
    }
}

impl From<MirrorHeader> for String {
    fn from(header: MirrorHeader) -> String {
        header.to_string()
    }
}

impl fmt::Display for MirrorHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            Some(part) => write!(f, "{}: {part}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl MirrorHeader {
    /// In lower case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a header of this name with this value gives the mirror away.
    pub fn is_told_by(&self, value: &[u8]) -> bool {
        let Some(part) = &self.part else {
            return true;
        };
        let part = part.as_bytes();
        let mut places = value.windows(part.len());
        places.any(|place| place.eq_ignore_ascii_case(part))
    }
}

/// What RFC 9110 calls `tchar`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: a rule is a name, or a name and a part of the value, whatever their case; what comes out of its text
    /// is written as that text again.
    #[test]
    fn rules_are_read_and_match() {
        for (text, value, is_told) in [
            ("x-mirror", "", true),
            ("X-Mirror", "anything", true),
            ("x-served-by: mirror", "cache-a, Mirror-S3", true),
            ("X-Served-By:MIRROR", "mirror", true),
            ("x-served-by: mirror", "origin", false),
            ("x-served-by: mirror", "mirr", false),
            ("x-served-by: a:b", "say a:b", true),
        ] {
            let rule: MirrorHeader = text.parse().unwrap();
            assert_eq!(rule.is_told_by(value.as_bytes()), is_told, "{text} {value}");
            assert_eq!(rule.to_string().parse(), Ok(rule));
        }
        let rule: MirrorHeader = " X-Served-By : Mirror ".parse().unwrap();
        assert_eq!(
            (rule.name(), rule.to_string().as_str()),
            ("x-served-by", "x-served-by: mirror")
        );
    }

    /// Promise: what names no header is refused with the way to write one.
    #[test]
    fn what_names_no_header_is_refused() {
        for text in [
            "",
            ":",
            ": mirror",
            "x mirror",
            "x-mirror:",
            "x-m\u{e9}",
            "a\nb",
        ] {
            let error = text.parse::<MirrorHeader>().unwrap_err();
            assert!(error.to_string().contains("x-served-by: mirror"), "{error}");
        }
    }
}
