//! The site's own words: which URL is a page ([`PageUrl`]), which pages belong to the mirror
//! ([`Scope`]), and under which name an object store keeps each of them ([`Layout`],
//! [`ObjectKey`]).
//!
//! Everything here is pure: no clock, no network, no disk, no state. A layout is persisted in every
//! bucket and in every CDN's configuration, so what it answers for a URL today it must answer for
//! ever; `tests/golden/layout/` holds it to that. [`asked_of_store`] is a CDN's half
//! of it. [`check_layout`] and [`check_identity`] state the promises for arbitrary input.

mod cdn;
mod check;
mod key;
mod layout;
mod scope;
mod url;

pub use cdn::{CdnAnswer, CdnRequest, asked_of_store};
pub use check::{check_identity, check_layout};
pub use key::{KEY_BYTES_MAX, KeyError, ObjectKey, just_before};
pub use layout::{GOVUK_EXTENSIONS, Layout, LayoutName, Placed, Reach, Unreachable};
pub use scope::{Admission, Rule, Scope, ScopeError, ScopeRules};
pub use url::{PageUrl, Scheme, UrlError};
