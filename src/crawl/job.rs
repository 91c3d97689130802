//! A URL to be asked for, and where it came from.

use super::cursor::Ticket;
use super::frontier::Slot;
use super::schedule::Turn;
use crate::manifest::Entry;
use crate::site::PageUrl;

/// A URL to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub url: PageUrl,
    /// The page that it was found on.
    pub from: Option<PageUrl>,
    pub way: Way,
    /// Its answer is read as a sitemap.
    pub is_sitemap: bool,
    /// Its links are wanted even if it has not changed.
    pub is_searched: bool,
    /// Its record, where that was read already.
    pub recorded: Option<Box<Entry>>,
    pub turn: Turn,
}

/// Where a job came from, which is where it must be ticked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Robots and seeds, before everything else.
    First,
    /// The queue of its host.
    Queue(Slot),
    /// An entry of the manifest.
    Cursor(Ticket),
}

impl Way {
    /// The queue of sitemaps, for which everything else waits.
    pub fn is_for_sitemaps(self) -> bool {
        matches!(self, Way::Queue(slot) if slot.class == Slot::SITEMAP)
    }
}

impl Job {
    /// A URL that is asked for out of turn.
    pub fn first(url: &PageUrl) -> Job {
        Job {
            url: url.clone(),
            from: None,
            way: Way::First,
            is_sitemap: false,
            is_searched: false,
            recorded: None,
            turn: Turn::default(),
        }
    }
}
