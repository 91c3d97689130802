//! Whose turn is it: a bounded window of jobs, per host, under each host's limits.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::site::PageUrl;

/// Jobs held in memory; everything else waits in the frontier or in the manifest.
const WINDOW: usize = 1024;

/// A URL to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub url: PageUrl,
    /// The page that it was found on.
    pub from: Option<PageUrl>,
    pub way: Way,
}

/// Where a job came from, which is where it must be ticked off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Robots and seeds, before everything else.
    First,
    /// Number in the queue.
    Queue(u64),
    /// An entry of the manifest.
    Cursor,
}

/// The window and the state of the hosts in it.
pub struct Schedule {
    concurrency: usize,
    pause: Duration,
    hosts: BTreeMap<String, Host>,
    held: usize,
    /// The host that had its turn last.
    last: String,
}

#[derive(Default)]
struct Host {
    /// What its robots.txt asks for beyond the crawl's own pause.
    pause: Duration,
    waiting: VecDeque<Job>,
    active: usize,
    not_before: Option<Instant>,
}

impl Schedule {
    /// `concurrency` requests in flight and `rate` requests a second, each per host.
    pub fn new(concurrency: usize, rate: Option<f64>) -> Schedule {
        Schedule {
            concurrency,
            pause: rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate)),
            hosts: BTreeMap::new(),
            held: 0,
            last: String::new(),
        }
    }

    /// Spaces the requests of one host by at least `pause`.
    pub fn slow_down(&mut self, authority: &str, pause: Duration) {
        self.hosts.entry(authority.to_owned()).or_default().pause = pause;
    }

    /// How many more jobs may be added.
    pub fn room(&self) -> usize {
        WINDOW.saturating_sub(self.held)
    }

    pub fn add(&mut self, job: Job) {
        self.held += 1;
        let host = self
            .hosts
            .entry(job.url.authority().to_owned())
            .or_default();
        host.waiting.push_back(job);
    }

    /// A job whose host has room for it now; hosts take turns.
    pub fn next(&mut self, now: Instant) -> Option<Job> {
        let after = self.hosts.range(self.last.clone() + "\0"..);
        let before = self.hosts.range(..=self.last.clone());
        let ready = |host: &Host| {
            !host.waiting.is_empty()
                && host.active < self.concurrency
                && host.not_before.is_none_or(|at| at <= now)
        };
        let name = after.chain(before).find(|(_, host)| ready(host))?.0.clone();
        let host = self.hosts.get_mut(&name)?;
        let job = host.waiting.pop_front()?;
        host.active += 1;
        let pause = host.pause.max(self.pause);
        host.not_before = (!pause.is_zero()).then(|| now + pause);
        self.held -= 1;
        self.last = name;
        Some(job)
    }

    /// When a host that is only waiting for its rate has its turn; none when nothing waits for time.
    pub fn wakes(&self) -> Option<Instant> {
        let waiting = self
            .hosts
            .values()
            .filter(|host| !host.waiting.is_empty() && host.active < self.concurrency);
        waiting.filter_map(|host| host.not_before).min()
    }

    /// A job has come back.
    pub fn done(&mut self, url: &PageUrl) {
        if let Some(host) = self.hosts.get_mut(url.authority()) {
            host.active -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(url: &str) -> Job {
        Job {
            url: PageUrl::parse(url).unwrap(),
            from: None,
            way: Way::Cursor,
        }
    }

    #[test]
    fn hosts_take_turns_and_keep_their_limits() {
        // Promise: no host gets more than its connections, and one busy host holds up no other.
        let mut schedule = Schedule::new(2, None);
        for url in [
            "http://a.test/1",
            "http://a.test/2",
            "http://a.test/3",
            "http://b.test/1",
        ] {
            schedule.add(job(url));
        }
        let now = Instant::now();
        let taken: Vec<_> = std::iter::from_fn(|| schedule.next(now))
            .map(|job| job.url.to_string())
            .collect();
        assert_eq!(
            taken,
            ["http://a.test/1", "http://b.test/1", "http://a.test/2"]
        );
        schedule.done(&job("http://a.test/1").url);
        assert_eq!(schedule.next(now), Some(job("http://a.test/3")));
    }

    #[test]
    fn a_rate_spaces_the_requests_of_a_host() {
        // Promise: with a rate of 4 a second the next request is due 250 ms later, and not before.
        let mut schedule = Schedule::new(8, Some(4.0));
        schedule.add(job("http://a.test/1"));
        schedule.add(job("http://a.test/2"));
        let now = Instant::now();
        assert!(schedule.next(now).is_some());
        assert!(schedule.next(now).is_none());
        let due = schedule.wakes().unwrap();
        assert_eq!(due, now + Duration::from_millis(250));
        assert!(schedule.next(due).is_some());
        schedule.slow_down("b.test", Duration::from_secs(1));
        schedule.add(job("http://b.test/1"));
        schedule.add(job("http://b.test/2"));
        assert!(schedule.next(due).is_some());
        assert_eq!(schedule.wakes(), Some(due + Duration::from_secs(1)));
    }
}
