//! What became of each URL of the site, for `-v`: taken or left, and why.
//!
//! A URL is told once, where it is decided about: when it is queued, or when it is left out. What its
//! request then comes to is told under the targets of the modules, by `-vv`.

use std::fmt::Display;

use crate::site::PageUrl;

/// The target of these events. It is no module's, so that it can be listened to by itself.
pub const URL_LOG: &str = "standin::url";

/// It will be asked for: `a seed`, `named by https://…` (a sitemap), `linked from https://…`, `stored`.
pub fn taken(url: &PageUrl, why: &dyn Display) {
    tracing::debug!(target: URL_LOG, %url, %why, "taken");
}

/// It will not be asked for in this run: what decides so, such as the line of robots.txt.
pub fn left(url: &PageUrl, why: &dyn Display) {
    tracing::debug!(target: URL_LOG, %url, %why, "left");
}
