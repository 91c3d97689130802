//! The walk through the manifest's entries, one cursor per origin so that a slow host holds up no other, and how
//! far each is done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::CrawlError;
use crate::manifest::{Entry, Manifest};
use crate::site::PageUrl;

/// Jobs of one origin that may be given out and not ticked off, with those behind them that are done: what one page that
/// takes an hour lets gather, and what a kill in that hour repeats.
const OUTSTANDING_MAX: usize = 10_000;

/// The cursors of all origins that have entries.
pub struct Cursors {
    manifest: Arc<Manifest>,
    origins: Vec<Cursor>,
}

/// A job's place among those of its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    origin: u32,
    number: u64,
}

struct Cursor {
    /// `https://host`, as [`PageUrl::origin`] has it.
    origin: String,
    authority: String,
    /// Where the next look into the manifest begins.
    next: String,
    has_ended: bool,
    /// Jobs given out and not done, in order, those behind them that are done too.
    outstanding: VecDeque<Given>,
    /// The number of the first of them.
    first: u64,
    /// Entries before the first of them that were left alone and are not counted yet.
    spared: u64,
}

struct Given {
    url: PageUrl,
    standing: Standing,
    /// Entries between this one and the next that were left alone.
    spared: u64,
}

/// What a tick has moved.
#[derive(Debug, PartialEq, Eq)]
pub struct Moved {
    pub origin: String,
    /// Where a resumed crawl would begin.
    pub at: String,
    /// Entries before it that were left alone, to be counted with the record of this place: before, a resumed crawl
    /// would come past them again.
    pub spared: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Open,
    Done,
}

impl Cursors {
    /// Cursors at the places recorded, or at the beginning of their origins.
    pub fn open(
        manifest: Arc<Manifest>,
        recorded: &BTreeMap<String, String>,
    ) -> Result<Cursors, CrawlError> {
        let mut origins = Vec::new();
        let mut from = String::new();
        while let Some(entry) = manifest.entries(Some(&from)).next() {
            let (url, _) = entry?;
            let origin = url.origin().to_owned();
            // All URLs of an origin go on with a slash; the next sign in order lies behind all of them.
            from = format!("{origin}0");
            let start = || format!("{origin}/");
            origins.push(Cursor {
                authority: url.authority().to_owned(),
                next: recorded.get(&origin).cloned().unwrap_or_else(start),
                origin,
                has_ended: false,
                outstanding: VecDeque::new(),
                first: 0,
                spared: 0,
            });
        }
        Ok(Cursors { manifest, origins })
    }

    /// How many origins there are.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// The host of an origin that may have more.
    pub fn open_host(&self, origin: usize) -> Option<&str> {
        let cursor = &self.origins[origin];
        (!cursor.has_ended).then_some(cursor.authority.as_str())
    }

    /// The same, where more may be taken now.
    pub fn walking_host(&self, origin: usize) -> Option<&str> {
        let has_room = self.origins[origin].outstanding.len() < OUTSTANDING_MAX;
        self.open_host(origin).filter(|_| has_room)
    }

    /// Whether an entry has been taken already.
    pub fn has_passed(&self, url: &PageUrl) -> bool {
        let cursor = self
            .origins
            .iter()
            .find(|cursor| cursor.origin == url.origin());
        cursor.is_some_and(|cursor| cursor.has_ended || url.as_str() < cursor.next.as_str())
    }

    /// The next entries of an origin, at most so many.
    pub fn take(
        &mut self,
        origin: usize,
        limit: usize,
    ) -> Result<Vec<(PageUrl, Entry)>, CrawlError> {
        let cursor = &mut self.origins[origin];
        let mut taken = Vec::new();
        for entry in self.manifest.entries(Some(&cursor.next)).take(limit) {
            let (url, entry) = entry?;
            if url.origin() != cursor.origin {
                break;
            }
            taken.push((url, entry));
        }
        cursor.has_ended = taken.len() < limit;
        if let Some((last, _)) = taken.last() {
            cursor.next = format!("{last}\0");
        }
        Ok(taken)
    }

    /// Gives an entry of [`Cursors::take`] out as a job. In the order in which they were taken.
    pub fn give_out(&mut self, origin: usize, url: &PageUrl) -> Ticket {
        let cursor = &mut self.origins[origin];
        let number = cursor.first + cursor.outstanding.len() as u64;
        cursor.outstanding.push_back(Given {
            url: url.clone(),
            standing: Standing::Open,
            spared: 0,
        });
        Ticket {
            origin: u32::try_from(origin).expect("few origins"),
            number,
        }
    }

    /// Notes that an entry of [`Cursors::take`] is left alone. In the order in which they were taken.
    pub fn spare(&mut self, origin: usize) {
        let cursor = &mut self.origins[origin];
        match cursor.outstanding.back_mut() {
            Some(given) => given.spared += 1,
            None => cursor.spared += 1,
        }
    }

    /// Entries that were left alone and have not been counted, since no job behind them was ticked off.
    pub fn spared(&self) -> u64 {
        let spared = |cursor: &Cursor| {
            let behind = cursor.outstanding.iter().map(|given| given.spared);
            cursor.spared + behind.sum::<u64>()
        };
        self.origins.iter().map(spared).sum()
    }

    /// Ticks a job off. Where the cursor has moved by it, if it has.
    pub fn tick(&mut self, ticket: Ticket) -> Option<Moved> {
        let cursor = &mut self.origins[ticket.origin as usize];
        let index = usize::try_from(ticket.number - cursor.first).expect("few are outstanding");
        cursor.outstanding[index].standing = Standing::Done;
        if index > 0 {
            return None;
        }
        while let Some(given) = cursor
            .outstanding
            .pop_front_if(|given| given.standing == Standing::Done)
        {
            cursor.first += 1;
            cursor.spared += given.spared;
        }
        let low_water = match cursor.outstanding.front() {
            Some(given) => given.url.to_string(),
            None => cursor.next.clone(),
        };
        Some(Moved {
            origin: cursor.origin.clone(),
            at: low_water,
            spared: std::mem::take(&mut cursor.spared),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Fuse;
    use crate::manifest::{Evidence, Gone, Outcome, RunId, Staged};
    use crate::site::{Layout, LayoutName};

    fn manifest(urls: &[&str]) -> (tempfile::TempDir, Arc<Manifest>) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(LayoutName::Plain, []);
        let manifest = Manifest::open(dir.path(), &layout, Fuse::none()).unwrap();
        let gone = Staged::Outcome {
            outcome: Outcome::Gone(Gone { status: 410 }),
            located: None,
            fetched: 1,
        };
        let staged = urls
            .iter()
            .map(|url| Ok((PageUrl::parse(url).unwrap(), gone.clone())));
        manifest
            .commit(&RunId("r".into()), 1, Evidence::Whole, staged)
            .unwrap();
        (dir, Arc::new(manifest))
    }

    #[test]
    fn each_origin_has_a_cursor_and_none_reaches_into_another() {
        // Promise: all entries are walked through, whatever the names of the hosts.
        let urls = [
            "http://h.test/a",
            "http://h.test.uk/b",
            "http://h.test:8080/c",
            "http://h.test/d",
            "https://h.test/e",
        ];
        let (_dir, manifest) = manifest(&urls);
        let mut cursors = Cursors::open(manifest, &BTreeMap::new()).unwrap();
        let mut walked = Vec::new();
        for origin in 0..cursors.len() {
            let host = cursors.open_host(origin).unwrap().to_owned();
            for (url, _) in cursors.take(origin, 10).unwrap() {
                assert_eq!(url.authority(), host);
                walked.push(url.to_string());
            }
            assert_eq!(cursors.open_host(origin), None);
        }
        walked.sort();
        let mut expected = urls.map(str::to_owned);
        expected.sort();
        assert_eq!(walked, expected);
    }

    #[test]
    fn a_cursor_moves_when_all_before_it_is_done() {
        // Promise: a resumed crawl repeats what was under way, and skips nothing.
        let (_dir, manifest) = manifest(&["http://h.test/a", "http://h.test/b", "http://h.test/c"]);
        let mut cursors = Cursors::open(Arc::clone(&manifest), &BTreeMap::new()).unwrap();
        let taken = cursors.take(0, 2).unwrap();
        let tickets: Vec<Ticket> = taken
            .iter()
            .map(|(url, _)| cursors.give_out(0, url))
            .collect();
        assert_eq!(cursors.tick(tickets[1]), None);
        let Moved { origin, at, .. } = cursors.tick(tickets[0]).unwrap();
        assert_eq!(
            (origin.as_str(), at.as_str()),
            ("http://h.test", "http://h.test/b\0")
        );
        let resumed = Cursors::open(manifest, &BTreeMap::from([(origin, at)]))
            .unwrap()
            .take(0, 9)
            .unwrap();
        assert_eq!(resumed.len(), 1);
    }

    #[test]
    fn one_job_that_takes_long_lets_only_so_many_gather() {
        // Promise: memory, and what a kill repeats, do not grow with the site.
        let (_dir, manifest) = manifest(&["http://h.test/a"]);
        let mut cursors = Cursors::open(manifest, &BTreeMap::new()).unwrap();
        let (url, _) = cursors.take(0, 1).unwrap().remove(0);
        let first = cursors.give_out(0, &url);
        for _ in 1..OUTSTANDING_MAX {
            assert_eq!(cursors.walking_host(0), Some("h.test"));
            let next = cursors.give_out(0, &url);
            cursors.tick(next);
        }
        assert_eq!(cursors.walking_host(0), None);
        cursors.tick(first);
        assert_eq!(cursors.walking_host(0), Some("h.test"));
    }

    #[test]
    fn what_is_left_alone_counts_when_the_cursor_is_past_it() {
        // Promise: a resumed crawl counts no entry twice, nor misses one.
        let urls = ["a", "b", "c", "d", "e"].map(|path| format!("http://h.test/{path}"));
        let (_dir, manifest) = manifest(&urls.each_ref().map(String::as_str));
        let mut cursors = Cursors::open(manifest, &BTreeMap::new()).unwrap();
        let taken = cursors.take(0, 5).unwrap();
        cursors.spare(0);
        let first = cursors.give_out(0, &taken[1].0);
        cursors.spare(0);
        let second = cursors.give_out(0, &taken[3].0);
        cursors.spare(0);
        assert_eq!(cursors.tick(second), None);
        assert_eq!(cursors.spared(), 3);
        assert_eq!(cursors.tick(first).unwrap().spared, 3);
        cursors.spare(0);
        assert_eq!(cursors.spared(), 1);
    }
}
