//! A few pages, asked for apart from any crawl and with a crawl's manners: what robots.txt permits, in quiet hours
//! nothing, no two requests to a host nearer to each other than its rate and its `Crawl-delay` say, one at a time.
//!
//! Nothing is recorded anywhere, and no request is conditional: what comes is what a first visitor gets.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::courtesy::Courtesy;
use super::fetch::{Answer, Ask, FetchError, Fetcher};
use super::opening::{ROBOTS_HOPS_MAX, Said, outwait_quiet_hours, redirected};
use super::robots::Robots;
use super::robots_memory::RobotsMemory;
use super::{CrawlError, CrawlProgress};
use crate::site::{Admission, PageUrl, Scope};

/// See the paragraph of this file.
pub struct Caller {
    pub fetcher: Fetcher,
    pub scope: Scope,
    pub courtesy: Courtesy,
    /// By whose name robots.txt is read; nobody's where it is ignored.
    pub obeys_as: Option<String>,
    /// What hosts said last, for one that does not give its robots.txt now.
    pub memory: RobotsMemory,
    /// Seconds since 1970.
    pub clock: fn() -> i64,
    hosts: HashMap<String, Host>,
}

/// What is owed to one host.
struct Host {
    robots: Robots,
    pause: Duration,
    /// Nothing is sent before.
    next: Instant,
}

impl Caller {
    pub fn new(
        fetcher: Fetcher,
        scope: Scope,
        courtesy: Courtesy,
        memory: RobotsMemory,
        clock: fn() -> i64,
    ) -> Caller {
        Caller {
            fetcher,
            scope,
            courtesy,
            obeys_as: None,
            memory,
            clock,
            hosts: HashMap::new(),
        }
    }

    /// Robots.txt is obeyed, as this user agent.
    pub fn obeying(mut self, user_agent: &str) -> Caller {
        self.obeys_as = Some(user_agent.to_owned());
        self
    }

    /// Asks for a page, again after faults that may pass. Inside: why it is not asked for, or was not to be had.
    ///
    /// # Errors
    /// Of the disk.
    pub async fn ask(&mut self, url: &PageUrl) -> Result<Result<Answer, String>, CrawlError> {
        self.meet(url).await?;
        let host = self.hosts.get_mut(url.authority());
        let host = host.expect("it has just been met");
        if !host.robots.allows(url) {
            let why = host.robots.why(url);
            let why = why.unwrap_or_else(|| "robots.txt".to_owned());
            return Ok(Err(format!("{url} is forbidden: {why}")));
        }
        tokio::time::sleep_until(host.next).await;
        host.next = Instant::now() + host.pause;
        let answer = self.send(url).await;
        Ok(answer.map_err(|error| error.to_string()))
    }

    /// Reads a host's robots.txt before its first page.
    async fn meet(&mut self, page: &PageUrl) -> Result<(), CrawlError> {
        if self.hosts.contains_key(page.authority()) {
            return Ok(());
        }
        let mut pause = match self.courtesy.rate {
            Some(rate) if rate > 0.0 => Duration::from_secs_f64(1.0 / rate),
            _ => Duration::ZERO,
        };
        let mut robots = Robots::AllowAll;
        let mut next = Instant::now();
        if let Some(agent) = self.obeys_as.clone() {
            robots = self.rules_of(page, &agent).await?;
            pause = pause.max(robots.delay().unwrap_or_default());
            next = Instant::now() + pause;
        }
        let host = Host {
            robots,
            pause,
            next,
        };
        self.hosts.insert(page.authority().to_owned(), host);
        Ok(())
    }

    /// What a host's robots.txt says, or the one at the end of its redirects inside the site.
    async fn rules_of(&self, page: &PageUrl, agent: &str) -> Result<Robots, CrawlError> {
        let mut url = page
            .join("/robots.txt")
            .expect("every host has such a path");
        let mut result = self.send(&url).await;
        for _ in 0..ROBOTS_HOPS_MAX {
            let target = redirected(&url, &result).map(|target| self.scope.admit(target));
            let Some(Admission::Page(target)) = target else {
                break;
            };
            url = target;
            result = self.send(&url).await;
        }
        let last_good = self.memory.last_good(page.authority());
        Ok(Said::of(&result)?.rules(last_good, agent).0)
    }

    async fn send(&self, url: &PageUrl) -> Result<Answer, FetchError> {
        outwait_quiet_hours(&self.courtesy.quiet, self.clock, &CrawlProgress::default()).await;
        let ask = Ask {
            url,
            etag: None,
            last_modified: None,
        };
        self.fetcher.fetch(ask).await
    }
}
