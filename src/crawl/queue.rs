//! The queues on disk, seen from memory: how far each has been loaded, host by host and class by class.
//!
//! Within a class, new slots mostly come behind all others, so one place per class says from where something may
//! wait that has not been loaded. Where slots are ordered by time a new one may come before those; the place
//! then moves back, and what lies behind it and was loaded is known by its number until its record is gone.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use super::CrawlError;
use super::frontier::{Frontier, Queued, Slot};
use super::links::Found;
use crate::site::PageUrl;

/// The queues of all hosts.
pub struct Queue {
    frontier: Arc<Frontier>,
    lanes: BTreeMap<String, Lane>,
    /// The number of the next slot.
    next: u64,
    /// Numbers of dated slots that were loaded and whose records may still be there.
    loaded: HashSet<u64>,
    /// Those of them whose removal was handed to the writer, by the number of its report.
    handed_over: VecDeque<(u64, u64)>,
}

/// Where the first slot of each class is that may wait unloaded; none where nothing does.
#[derive(Default)]
struct Lane([Option<Slot>; Slot::CLASSES as usize]);

impl Queue {
    /// The queues as a crawl that was cut short left them, or empty ones.
    pub fn open(frontier: Arc<Frontier>) -> Result<Queue, CrawlError> {
        let (hosts, next) = frontier.lanes()?;
        let everything = || Lane(std::array::from_fn(|class| Some(Slot::first(class as u8))));
        Ok(Queue {
            lanes: hosts.into_iter().map(|host| (host, everything())).collect(),
            frontier,
            next,
            loaded: HashSet::new(),
            handed_over: VecDeque::new(),
        })
    }

    /// Queues URLs that were found on a page.
    pub fn push(&mut self, from: Option<&PageUrl>, found: Vec<Found>) -> Result<(), CrawlError> {
        let mut queued = Vec::with_capacity(found.len());
        for found in found {
            let slot = Slot::of(found.role, found.lastmod, self.next);
            self.next += 1;
            self.mark(found.url.authority(), slot);
            let is_sitemap = slot.class == Slot::SITEMAP;
            let from = from.cloned();
            queued.push((
                slot,
                Queued {
                    url: found.url,
                    from,
                    is_sitemap,
                },
            ));
        }
        Ok(self.frontier.queue(&queued)?)
    }

    /// The hosts for which something may wait, of the classes up to `class_last`.
    pub fn hosts(&self, class_last: u8) -> impl Iterator<Item = &str> {
        let classes = 0..=usize::from(class_last);
        let busy =
            move |(_, lane): &(&String, &Lane)| lane.0[classes.clone()].iter().any(Option::is_some);
        self.lanes
            .iter()
            .filter(busy)
            .map(|(host, _)| host.as_str())
    }

    /// Takes the next URLs that wait for a host, of the classes up to `class_last`.
    pub fn load(
        &mut self,
        host: &str,
        class_last: u8,
        limit: usize,
    ) -> Result<Vec<(Slot, Queued)>, CrawlError> {
        let mut found = Vec::new();
        for class in 0..=class_last {
            let lane = self.lanes.get(host);
            let Some(mut from) = lane.and_then(|lane| lane.0[usize::from(class)]) else {
                continue;
            };
            let mut has_ended = true;
            for waiting in self.frontier.waiting(host, from) {
                if found.len() == limit {
                    has_ended = false;
                    break;
                }
                let (slot, queued) = waiting?;
                from = slot.next();
                if class != Slot::DATED || self.loaded.insert(slot.number) {
                    found.push((slot, queued));
                }
            }
            let lane = self.lanes.get_mut(host).expect("it was read above");
            lane.0[usize::from(class)] = (!has_ended).then_some(from);
        }
        Ok(found)
    }

    /// Whether sitemaps wait that have not been loaded.
    pub fn has_sitemaps(&self) -> bool {
        let class = usize::from(Slot::SITEMAP);
        self.lanes.values().any(|lane| lane.0[class].is_some())
    }

    /// The removal of this slot stands in the writer's report of this number.
    pub fn hand_over(&mut self, slot: Slot, report: u64) {
        if slot.class == Slot::DATED {
            self.handed_over.push_back((report, slot.number));
        }
    }

    /// Everything up to this report of the writer is written.
    pub fn written(&mut self, report: u64) {
        while let Some((_, number)) = self
            .handed_over
            .pop_front_if(|(handed, _)| *handed <= report)
        {
            self.loaded.remove(&number);
        }
    }

    fn mark(&mut self, host: &str, slot: Slot) {
        if !self.lanes.contains_key(host) {
            self.lanes.insert(host.to_owned(), Lane::default());
        }
        let lane = self.lanes.get_mut(host).expect("it was just added");
        let place = &mut lane.0[usize::from(slot.class)];
        *place = Some(place.map_or(slot, |before| before.min(slot)));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::content::Role;
    use crate::crawl::frontier::Finished;
    use crate::crawl::{CrawlCounts, frontier};
    use crate::db::Fuse;
    use crate::manifest::RunId;

    fn fresh(dir: &std::path::Path) -> Arc<Frontier> {
        let run = RunId("r".into());
        let opened = Frontier::open(dir, &run, "all", Fuse::none()).unwrap();
        Arc::new(opened.0)
    }

    fn found(number: usize, role: Role, lastmod: Option<i64>) -> Found {
        Found {
            url: PageUrl::parse(&format!("http://h{}.test/{number}", number % 2)).unwrap(),
            role,
            lastmod,
        }
    }

    fn finish(frontier: &Frontier, slot: Slot, url: PageUrl) {
        let finished = Finished {
            url,
            slot: Some(slot),
            cursor: None,
            staged: None,
            counts: CrawlCounts::default(),
            trouble: None,
            tally: None,
        };
        frontier.finish(&[finished]).unwrap();
    }

    #[test]
    fn what_changed_last_overtakes_what_waits() {
        // Promise: the newest first, also when a later sitemap names it; and nothing is loaded twice.
        let dir = tempfile::tempdir().unwrap();
        let mut queue = Queue::open(fresh(dir.path())).unwrap();
        let dated = |number, at| found(number, Role::Page, Some(at));
        queue
            .push(None, vec![dated(0, 10), dated(2, 30), dated(4, 20)])
            .unwrap();
        let paths = |loaded: Vec<(Slot, frontier::Queued)>| -> Vec<String> {
            loaded
                .into_iter()
                .map(|(_, queued)| queued.url.path().to_owned())
                .collect()
        };
        assert_eq!(
            paths(queue.load("h0.test", Slot::DATED, 2).unwrap()),
            ["/2", "/4"]
        );
        queue.push(None, vec![dated(6, 40), dated(8, 5)]).unwrap();
        assert_eq!(
            paths(queue.load("h0.test", Slot::DATED, 9).unwrap()),
            ["/6", "/0", "/8"]
        );
        assert_eq!(queue.hosts(Slot::CLASSES - 1).count(), 0);
    }

    proptest! {
        #[test]
        fn every_url_is_loaded_once_whatever_the_order_of_events(
            steps in proptest::collection::vec((0usize..4, 0i64..5, 0usize..4), 1..60),
            killed_at in 0usize..60,
        ) {
            // The oracle is the set of URLs pushed. A kill loads again exactly what was not finished.
            let dir = tempfile::tempdir().unwrap();
            let frontier = fresh(dir.path());
            let mut queue = Queue::open(Arc::clone(&frontier)).unwrap();
            let mut open = BTreeSet::new();
            let mut loaded = BTreeSet::new();
            let mut reports = 0;
            for (number, (kind, at, take)) in steps.into_iter().enumerate() {
                let (role, lastmod) = match kind {
                    0 => (Role::Sitemap, None),
                    1 => (Role::Asset, None),
                    2 => (Role::Page, Some(at)),
                    _ => (Role::Page, None),
                };
                let one = found(number, role, lastmod);
                open.insert(one.url.clone());
                queue.push(None, vec![one]).unwrap();
                if number == killed_at {
                    queue = Queue::open(Arc::clone(&frontier)).unwrap();
                    loaded.clear();
                }
                for host in ["h0.test", "h1.test"] {
                    for (slot, queued) in queue.load(host, Slot::CLASSES - 1, take).unwrap() {
                        prop_assert!(loaded.insert(queued.url.clone()), "{} twice", queued.url);
                        prop_assert!(open.contains(&queued.url));
                        if take % 2 == 0 {
                            open.remove(&queued.url);
                            loaded.remove(&queued.url);
                            reports += 1;
                            queue.hand_over(slot, reports);
                            finish(&frontier, slot, queued.url);
                            queue.written(reports);
                        }
                    }
                }
            }
            for host in ["h0.test", "h1.test"] {
                for (_, queued) in queue.load(host, Slot::CLASSES - 1, usize::MAX).unwrap() {
                    prop_assert!(loaded.insert(queued.url));
                }
            }
            prop_assert_eq!(loaded, open);
        }
    }
}
