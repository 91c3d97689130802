//! The record formats of the manifest, frozen, and the steps between them.
//!
//! Every record of the manifest begins with a format byte. Behind byte `n` stand the postcard bytes of
//! the record as version `n` of this crate's modules freezes it. A manifest of any released version
//! opens: [`current`] brings a payload to the newest format step by step. One from a newer version is
//! refused. Live types are in the main crate and cannot be imported here, so that a change to them
//! cannot silently change what is on the disks of the world; a golden fixture per format, written by
//! the version that introduced it, holds both to their word.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

pub mod v1;
pub mod v2;

/// The format that is written today.
pub const CURRENT: u8 = v2::FORMAT;

/// What a record is about: the bytes alone do not tell. Its key begins with a byte for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the manifest says of itself.
    Meta,
    /// What a URL answers; in a checkpoint's rows as well.
    Entry,
    /// A row of the change log.
    Change,
    Generation,
    Missing,
    Pending,
    /// What is known of a tier.
    Tier,
    Intent,
    Debt,
    Mark,
    Etag,
    /// Who holds a body.
    Holder,
    /// How many URLs share a key and an answer.
    Shared,
    /// A layout, of a tier or to be taken on.
    Filled,
}

/// A payload that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Nothing there, not even a format byte.
    #[error("an empty record")]
    Empty,
    /// Written by a newer version.
    #[error(
        "format {found} is newer than this version of standin (which reads up to {CURRENT}); upgrade standin"
    )]
    Newer { found: u8 },
    /// The bytes behind the format byte are not such a record.
    #[error("{0}")]
    Content(String),
}

/// The postcard bytes of a record in the current format, whatever format it was written in.
///
/// # Errors
/// [`FormatError`], each of its kinds.
pub fn current(kind: Kind, payload: &[u8]) -> Result<Cow<'_, [u8]>, FormatError> {
    let (&format, bytes) = payload.split_first().ok_or(FormatError::Empty)?;
    match format {
        CURRENT => Ok(bytes.into()),
        v1::FORMAT => Ok(v2::from_v1(kind, bytes)?.into()),
        0 => Err(FormatError::Content("format 0 was never written".into())),
        found => Err(FormatError::Newer { found }),
    }
}

/// A frozen record from its postcard bytes.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FormatError> {
    postcard::from_bytes(bytes).map_err(|why| FormatError::Content(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_format_is_refused_and_says_what_to_do() {
        // Promise: an old standin never misreads what a newer one wrote.
        let message = current(Kind::Meta, &[CURRENT + 1, 0])
            .unwrap_err()
            .to_string();
        assert!(message.ends_with("upgrade standin"), "{message}");
        assert!(matches!(current(Kind::Entry, &[]), Err(FormatError::Empty)));
        assert_eq!(*current(Kind::Etag, &[CURRENT, 7]).unwrap(), [7]);
    }

    #[test]
    fn every_format_has_its_golden_folder() {
        // Promise: no format is written before its bytes are held: each number up to the current one
        // has a folder with fixtures and a page that says what they are, and no folder lacks a number.
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        for number in 1..=CURRENT {
            let folder = root.join(format!("v{number}"));
            assert!(folder.join("README.md").is_file(), "{}", folder.display());
            let mut fixtures = std::fs::read_dir(&folder).unwrap();
            let is_fixture = |path: &std::path::Path| path.extension().is_some_and(|e| e == "hex");
            assert!(
                fixtures.any(|file| is_fixture(&file.unwrap().path())),
                "v{number}"
            );
        }
        let folders = std::fs::read_dir(&root).unwrap().count();
        assert_eq!(folders, usize::from(CURRENT), "a folder of no known format");
    }
}
