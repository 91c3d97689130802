//! The shape of the file as written: which sections there are, which fields, of which types.
//!
//! Everything is optional here; defaults belong to the types of `mod.rs`, and what values mean and
//! may be is decided in `load.rs`. The names of the fields are asked of serde itself
//! ([`known_fields`]), so that there is no second list of them to keep in step.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Deserialize as DeriveDeserialize, forward_to_deserialize_any};

use super::{Keep, RobotsPolicy, StrategyName};
use crate::site::LayoutName;

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileShape {
    pub site: SiteShape,
    pub crawl: CrawlShape,
    pub canonical: CanonicalShape,
    pub state: StateShape,
    pub guard: GuardShape,
    pub audit: AuditShape,
    pub tier: Vec<TierShape>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SiteShape {
    pub seeds: Vec<String>,
    pub hosts: Vec<String>,
    pub asset_hosts: Vec<String>,
    pub deny: Vec<String>,
    pub query: Option<Vec<String>>,
    pub layout: LayoutName,
    pub robots: RobotsPolicy,
    pub headers: BTreeMap<String, HeaderShape>,
    pub keep_headers: Vec<String>,
    pub cache_control: Option<String>,
}

/// The value of a header: in the file itself, or where it is to be had.
#[derive(DeriveDeserialize)]
#[serde(untagged)]
pub(super) enum HeaderShape {
    Plain(String),
    From(OriginShape),
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OriginShape {
    pub env: Option<String>,
    pub file: Option<String>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CrawlShape {
    pub concurrency: Option<usize>,
    pub rate_per_second: Option<f64>,
    pub connect_timeout_s: Option<u64>,
    pub answer_timeout_s: Option<u64>,
    pub idle_timeout_s: Option<u64>,
    pub user_agent: Option<String>,
    pub body_max: Option<Size>,
    pub memory: Option<Size>,
    pub attempts: Option<u32>,
    pub strategy: StrategyName,
    pub max_age_days: Option<u64>,
    pub refetch_share: Option<f64>,
    pub retire_after_days: Option<u64>,
    pub forms: Vec<String>,
    pub forms_max: Option<u64>,
    pub quiet_hours: Vec<String>,
    pub mirror_headers: Option<Vec<String>>,
    pub path_segments_max: Option<usize>,
    pub segment_repeats_max: Option<usize>,
    pub query_variants_max: Option<u32>,
    pub session_parameters: Option<Vec<String>>,
    pub decompression_ratio_max: Option<u64>,
    pub disk_free_min: Option<Size>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CanonicalShape {
    pub selectors: Vec<String>,
    pub patterns: Vec<String>,
    pub json_pointers: Vec<String>,
    pub headers: Vec<String>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct StateShape {
    pub dir: Option<String>,
    pub keep: Keep,
    pub checkpoints: Option<usize>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GuardShape {
    pub deletes_max: Option<f64>,
    pub deletes_always: Option<u64>,
    pub errors_max: Option<f64>,
    pub coverage_min: Option<f64>,
    pub changes_max: Option<f64>,
    pub missing_runs: Option<u32>,
    pub sitemap_loss_max: Option<f64>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditShape {
    pub scrub_days: Option<u64>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TierShape {
    pub name: Option<String>,
    pub url: Option<String>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    pub storage_class: Option<String>,
    pub sse: Option<String>,
    pub kms_key_id: Option<String>,
    pub acl: Option<String>,
    pub expected_bucket_owner: Option<String>,
    pub credentials: Option<CredentialsShape>,
    pub concurrency_max: Option<usize>,
    #[serde(rename = "override")]
    pub override_name: Option<String>,
}

#[derive(DeriveDeserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CredentialsShape {
    pub access_key_id_env: Option<String>,
    pub access_key_id_file: Option<String>,
    pub secret_access_key_env: Option<String>,
    pub secret_access_key_file: Option<String>,
    pub session_token_env: Option<String>,
    pub session_token_file: Option<String>,
    pub file: Option<String>,
    pub anonymous: Option<bool>,
}

/// A number of bytes: an integer, or a text such as `"4GB"` or `"64 MiB"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size(pub u64);

/// The fields that are lists of texts.
const LISTS: [&str; 14] = [
    "site.seeds",
    "site.hosts",
    "site.asset_hosts",
    "site.deny",
    "site.query",
    "site.keep_headers",
    "crawl.forms",
    "crawl.quiet_hours",
    "crawl.mirror_headers",
    "crawl.session_parameters",
    "canonical.selectors",
    "canonical.patterns",
    "canonical.json_pointers",
    "canonical.headers",
];

/// The sections with a fixed set of fields, as [`section_fields`] knows them.
pub(super) const SECTIONS: [&str; 9] = [
    "",
    "site",
    "crawl",
    "canonical",
    "state",
    "guard",
    "audit",
    "tier",
    "tier.credentials",
];

/// The fields of a section (a dotted path without indices); `None` where any name may stand.
pub(super) fn section_fields(section: &str) -> Option<&'static [&'static str]> {
    match section {
        "" => Some(known_fields::<FileShape>()),
        "site" => Some(known_fields::<SiteShape>()),
        "crawl" => Some(known_fields::<CrawlShape>()),
        "canonical" => Some(known_fields::<CanonicalShape>()),
        "state" => Some(known_fields::<StateShape>()),
        "guard" => Some(known_fields::<GuardShape>()),
        "audit" => Some(known_fields::<AuditShape>()),
        "tier" => Some(known_fields::<TierShape>()),
        "tier.credentials" => Some(known_fields::<CredentialsShape>()),
        "site.headers" => None,
        _ if section.starts_with("site.headers.") => Some(known_fields::<OriginShape>()),
        _ => None,
    }
}

/// How a section is written in the file, for messages.
pub(super) fn section_title(section: &str) -> String {
    match section {
        "" => "at the top level".to_owned(),
        "tier" => "in [[tier]]".to_owned(),
        "tier.credentials" => "in credentials of [[tier]]".to_owned(),
        other => format!("in [{other}]"),
    }
}

/// What the manual announces but this version does not have yet.
pub(super) fn comes_later(section: &str, field: &str) -> bool {
    matches!((section, field), ("", "gateway" | "watch"))
}

/// What to write where serde's own words would name a secret or help nobody. `None`: serde's words.
pub(super) fn type_advice(path: &str) -> Option<&'static str> {
    if matches!(
        path,
        "site" | "crawl" | "canonical" | "state" | "guard" | "audit"
    ) {
        return Some("is a section; write its name in brackets on a line of its own");
    }
    if LISTS.contains(&path) {
        return Some("expected a list of texts, such as [\"one\", \"two\"]");
    }
    if path == "tier" {
        return Some("a tier is a list entry; write [[tier]] with two brackets");
    }
    if path.starts_with("tier.credentials") {
        return Some(
            "expected names of environment variables or files, as in { access_key_id_env = \"NAME\", secret_access_key_env = \"NAME\" }, or { file = \"key.json\" } for gs:// tiers",
        );
    }
    if path.starts_with("site.headers") {
        return Some("expected a text, { env = \"NAME\" } or { file = \"path\" }");
    }
    None
}

/// The field names of a derived `Deserialize`, in the order of declaration.
fn known_fields<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The probe has no data to give, so this never succeeds; what counts is what it was asked for.
    let _ = T::deserialize(FieldProbe {
        fields: &mut fields,
    });
    fields
}

struct FieldProbe<'a> {
    fields: &'a mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for FieldProbe<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("only the names of the fields are wanted"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.fields = fields;
        self.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl Size {
    pub(super) fn parse(text: &str) -> Option<Size> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = text[..digits].parse().ok()?;
        let unit: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return None,
        };
        number.checked_mul(unit).map(Size)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of bytes, or a text like \"4GB\" or \"64MiB\"")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Size, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Signed(number), &self);
        u64::try_from(number).map(Size).map_err(wrong)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Size, E> {
        Ok(Size(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
        Size::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_come_from_the_types() {
        // Promise: the names offered to a reader are the ones that serde accepts, renames included.
        assert_eq!(
            section_fields("").unwrap(),
            [
                "site",
                "crawl",
                "canonical",
                "state",
                "guard",
                "audit",
                "tier"
            ]
        );
        assert!(section_fields("tier").unwrap().contains(&"override"));
        assert_eq!(
            section_fields("site.headers.X-Token").unwrap(),
            ["env", "file"]
        );
        for section in SECTIONS {
            assert!(!section_fields(section).unwrap().is_empty(), "{section}");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        // Promise: decimal and binary units are told apart, and nothing overflows silently.
        let cases = [
            ("0", Some(0)),
            ("17", Some(17)),
            ("4GB", Some(4_000_000_000)),
            ("64 MiB", Some(67_108_864)),
            ("1kib", Some(1_024)),
            ("2TB", Some(2_000_000_000_000)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("99999999999TiB", None),
            ("4G", None),
            ("-1", None),
            ("1.5GB", None),
            ("GB", None),
            ("", None),
            ("４GB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Size::parse(text).map(|size| size.0), expected, "{text:?}");
        }
    }
}
