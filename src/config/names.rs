//! Tier names: short words that are safe in file names, metric labels, JSON keys and shells alike.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest name of a tier in bytes: a label of a host name, so that it fits anywhere.
const TIER_NAME_BYTES_MAX: usize = 63;

/// The name of a tier: `[a-z0-9][a-z0-9_-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TierName(Box<str>);

/// A text that is no tier name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no tier name: write 1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or a digit"
)]
pub struct TierNameError {
    pub text: String,
}

impl TierName {
    pub fn parse(text: &str) -> Result<TierName, TierNameError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let starts_well = text.bytes().next().is_some_and(plain);
        let goes_well = text
            .bytes()
            .all(|byte| plain(byte) || byte == b'-' || byte == b'_');
        if !starts_well || !goes_well || text.len() > TIER_NAME_BYTES_MAX {
            return Err(TierNameError {
                text: text.to_owned(),
            });
        }
        Ok(TierName(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TierName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for TierName {
    type Error = TierNameError;

    fn try_from(text: String) -> Result<TierName, TierNameError> {
        TierName::parse(&text)
    }
}

impl From<TierName> for String {
    fn from(name: TierName) -> String {
        name.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_everywhere() {
        // Promise: a tier's name needs no quoting anywhere; checked at the edges of the alphabet.
        let longest = "a".repeat(63);
        for good in ["a", "0", "primary", "mirror-2_b", longest.as_str()] {
            assert_eq!(TierName::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in [
            "",
            "-a",
            "_a",
            "A",
            "a b",
            "a/b",
            "a.b",
            "é",
            "a\n",
            too_long.as_str(),
        ] {
            assert!(TierName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
