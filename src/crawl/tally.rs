//! What a crawl met, in more detail than [`super::CrawlCounts`] has: by status, by host, by reason, by sitemap.
//! Everything in here is bounded, however large the site is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::sitemaps::SitemapSum;
use crate::site::PageUrl;

/// A part of the report. What was counted since it was last recorded is lost with a kill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Answers by status code.
    pub statuses: BTreeMap<u16, u64>,
    /// By authority.
    pub hosts: BTreeMap<String, HostTally>,
    pub skipped: Skipped,
    /// The sitemaps read, in the order of their URLs, up to a bound.
    pub sitemaps: Vec<SitemapLine>,
    /// The others, together.
    pub sitemaps_beyond: SitemapSum,
    /// What was left out because it looked endless, one line per kind and place, up to a bound.
    pub traps: Vec<TrapLine>,
    pub forms: FormTally,
}

/// One host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTally {
    /// Answers taken in.
    pub answers: u64,
    pub errors: u64,
    /// Requests sent again.
    pub retries: u64,
    /// Answers that asked for fewer requests (429, 503 with Retry-After).
    pub throttled: u64,
    /// Bytes of bodies received.
    pub bytes: u64,
    /// Why nothing more was asked of it, if so.
    pub given_up: Option<String>,
    /// URLs that were not asked for because of that.
    pub not_asked: u64,
}

/// URLs of the site that were not asked for, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// robots.txt forbids it.
    pub robots: u64,
    /// It looks endless.
    pub traps: u64,
    /// A sitemap says that it has not changed.
    pub lastmod: u64,
    /// Its host was given up.
    pub host: u64,
    /// Stored pages withdrawn because nothing has linked to them for long.
    pub retired: u64,
}

/// One sitemap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitemapLine {
    pub url: PageUrl,
    /// URLs of the site that it names; sitemaps, in an index.
    pub urls: u64,
    /// How many the last crawl found in it.
    pub before: Option<u64>,
    /// Why it could not be read.
    pub error: Option<String>,
}

/// One kind of trap in one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrapLine {
    /// Such as `more than 5000 query variants of /search`.
    pub what: String,
    pub urls: u64,
    /// The first of them.
    pub example: PageUrl,
}

/// Forms that were enumerated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormTally {
    pub forms: u64,
    /// URLs made of their choices.
    pub urls: u64,
    /// Combinations beyond `crawl.forms_max`, and forms with a field of free text.
    pub left_out: u64,
}
