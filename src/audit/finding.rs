//! What an audit finds, one record each, and how the records leave: as lines of JSON and as CSV. `docs/AUDITS.md` says
//! what each column holds, and a test holds that page to [`COLUMNS`].

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::content::ContentHash;

/// The kinds of findings, each with a file of its own in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It should be there and is not.
    Missing,
    /// It is there with other bytes than were recorded.
    Corrupt,
    /// Nobody of the site has this name.
    Foreign,
    /// Bytes of an earlier generation than the watermark claims, or a page that was withdrawn.
    Stale,
    /// The bytes are right and what is kept beside them is not.
    WrongHeaders,
    /// No object of the site: a part of the tier's checkpoints, from which a lost manifest would be made again.
    Checkpoint,
}

impl Class {
    pub const ALL: [Class; 6] = [
        Class::Missing,
        Class::Corrupt,
        Class::Foreign,
        Class::Stale,
        Class::WrongHeaders,
        Class::Checkpoint,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Class::Missing => "missing",
            Class::Corrupt => "corrupt",
            Class::Foreign => "foreign",
            Class::Stale => "stale",
            Class::WrongHeaders => "wrong_headers",
            Class::Checkpoint => "checkpoint",
        }
    }
}

/// What by its nature is the strongest thing that was asked about the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    Listing,
    Head,
    Read,
}

impl SeenBy {
    fn as_str(self) -> &'static str {
        match self {
            SeenBy::Listing => "listing",
            SeenBy::Head => "head",
            SeenBy::Read => "read",
        }
    }
}

/// What is known of the bytes of an object; what is not known is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bytes {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// BLAKE3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentHash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// One object of one tier that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub tier: String,
    pub class: Class,
    pub key: String,
    /// The page whose object it is; absent for what is no page's.
    pub url: Option<String>,
    /// Absent where nothing should be there.
    pub expected: Option<Bytes>,
    /// Absent where nothing is there.
    pub found: Option<Bytes>,
    /// In words.
    pub why: String,
    /// When the generation that it should be of was committed (RFC 3339).
    pub since: Option<String>,
    /// When it was last known to be right: the tier's last complete proof, where that covers it.
    pub last_good: Option<String>,
    pub seen_by: SeenBy,
    /// What is there has a name that is no key, or is no object at all (a link in a folder): `key` is there for people, and
    /// nobody deletes anything by it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub odd: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The columns of the CSV files, in their order. Names are a promise: added at the end, never renamed.
pub const COLUMNS: [&str; 16] = [
    "tier",
    "class",
    "key",
    "url",
    "expected_bytes",
    "expected_content",
    "expected_etag",
    "expected_generation",
    "found_bytes",
    "found_content",
    "found_etag",
    "found_generation",
    "why",
    "since",
    "last_good",
    "seen_by",
];

impl Finding {
    /// As a row of CSV (RFC 4180), with its end.
    pub fn csv(&self) -> String {
        let nothing = Bytes::default();
        let side = |side: &Option<Bytes>| {
            let side = side.as_ref().unwrap_or(&nothing);
            [
                side.bytes.map(|number| number.to_string()),
                side.content.map(|content| content.to_string()),
                side.etag.clone(),
                side.generation.map(|number| number.to_string()),
            ]
            .map(Option::unwrap_or_default)
        };
        let mut row = String::new();
        let before = [
            self.tier.clone(),
            self.class.as_str().to_owned(),
            self.key.clone(),
            self.url.clone().unwrap_or_default(),
        ];
        let after = [
            self.why.clone(),
            self.since.clone().unwrap_or_default(),
            self.last_good.clone().unwrap_or_default(),
            self.seen_by.as_str().to_owned(),
        ];
        let fields = before
            .into_iter()
            .chain(side(&self.expected))
            .chain(side(&self.found))
            .chain(after);
        for (index, field) in fields.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(row, "{comma}{}", quoted(&field)).expect("a string takes everything");
        }
        row.push_str("\r\n");
        row
    }
}

/// The first row of a CSV file, with its end.
pub fn csv_header() -> String {
    format!("{}\r\n", COLUMNS.join(","))
}

/// A spreadsheet takes what begins like a formula for one; keys come from strangers.
pub(super) fn quoted(field: &str) -> String {
    let guarded = match field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        true => format!("'{field}"),
        false => field.to_owned(),
    };
    match guarded.contains(['"', ',', '\r', '\n', '\'']) {
        true => format!("\"{}\"", guarded.replace('"', "\"\"")),
        false => guarded,
    }
}

/// A time as RFC 3339 in UTC.
pub(super) fn rfc3339(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| seconds.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_csv_has_all_columns_whatever_a_key_is_called() {
        // Promise: names with commas, quotes and line ends stay one field, and none is taken for a formula.
        let finding = Finding {
            tier: "primary".into(),
            class: Class::Foreign,
            key: "=1+1,\"x\"\ny".into(),
            url: None,
            expected: None,
            found: Some(Bytes {
                bytes: Some(7),
                ..Bytes::default()
            }),
            why: "nobody's".into(),
            since: None,
            last_good: None,
            seen_by: SeenBy::Listing,
            odd: false,
        };
        let expected =
            "primary,foreign,\"'=1+1,\"\"x\"\"\ny\",,,,,,7,,,,\"nobody's\",,,listing\r\n";
        assert_eq!(finding.csv(), expected);
        for field in ["=1", "+1", "-1", "@1", "\t=1", "\r=1"] {
            assert!(quoted(field).starts_with("\"'"), "{field:?}");
        }
        let columns = csv_header().trim_end().split(',').count();
        assert_eq!(columns, COLUMNS.len());
        assert_eq!(expected.matches(',').count(), columns);
    }
}
