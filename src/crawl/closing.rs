//! How a crawl ends: what was left unasked is noted, pages that nothing links to any more may be retired, and what
//! the next crawl wants to know is written down.

use std::sync::Arc;

use super::engine::Engine;
use super::frontier::Slot;
use super::sightings::day_of;
use super::strategy::{self, Linkage};
use super::{CrawlError, url_log};
use crate::content;
use crate::manifest::{Entry, Gone, Outcome, Staged};
use crate::site::{Admission, PageUrl};

/// URLs of a host that was given up that are noted in one go.
const STEP: usize = 512;

/// Entries of a walk through all of them after which others have a turn.
const STRIDE: usize = 4_096;

impl Engine<'_> {
    /// Leaves nothing unsaid about hosts that were given up: their waiting URLs are noted for the next crawl, and
    /// their stored pages count as pages that did not answer.
    pub async fn note_unasked(&mut self) -> Result<(), CrawlError> {
        for host in self.given_up.clone() {
            loop {
                let waiting = self.queue.load(&host, Slot::CLASSES - 1, STEP)?;
                if waiting.is_empty() {
                    break;
                }
                for (slot, queued) in waiting {
                    let job = self.take_up(slot, queued);
                    self.not_asked(job).await?;
                }
            }
            for origin in 0..self.cursors.len() {
                self.pass_by(origin, &host).await?;
            }
        }
        Ok(())
    }

    /// The stored pages of a host that were not asked for. Those that had a turn of their own count elsewhere.
    async fn pass_by(&mut self, origin: usize, host: &str) -> Result<(), CrawlError> {
        while self.cursors.open_host(origin) == Some(host) {
            let mut missed = 0;
            for (url, entry) in self.cursors.take(origin, STEP)? {
                let counts = entry.outcome.is_live() && self.is_ours(&url);
                missed += u64::from(counts && !self.frontier.knows(&url)?);
            }
            self.position.counts.known += missed;
            self.position.tally.skipped.host += missed;
            self.host_tally(host).not_asked += missed;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Withdraws pages that nothing has linked to for as long as the configuration says. What nobody remembers to
    /// have been linked begins its time today; and after a kill every page does, since what the killed part of the
    /// crawl has seen linked is lost.
    pub async fn retire(&mut self) -> Result<(), CrawlError> {
        let (Some(days), None) = (self.order.retire_after_days, &self.order.only) else {
            return Ok(());
        };
        let Some(oldest_parsed_day) = self.oldest_parse().await? else {
            return Ok(());
        };
        let manifest = Arc::clone(&self.manifest);
        for (number, entry) in manifest.entries(None).enumerate() {
            give_way(number).await;
            let (url, entry) = entry?;
            let linkage = Linkage {
                today: day_of(self.begun),
                linked_day: self.linked_day(&url),
                oldest_parsed_day: Some(oldest_parsed_day),
            };
            let days = u16::try_from(days).unwrap_or(u16::MAX);
            if self.counts_for_retiring(&url, &entry) && strategy::may_retire(days, linkage) {
                url_log::left(
                    &url,
                    &"nothing has linked to it for long (crawl.retire_after_days)",
                );
                self.position.counts.gone += 1;
                self.position.tally.skipped.retired += 1;
                let gone = Gone {
                    status: Gone::RETIRED,
                };
                let staged = Staged::Outcome {
                    outcome: Outcome::Gone(gone),
                    located: None,
                    fetched: (self.order.clock)(),
                };
                self.noted.push((url, staged));
                self.send_noted().await?;
            }
        }
        Ok(())
    }

    /// Of all stored pages with links, the longest time ago that one was searched for them; `None` when that cannot
    /// be said of one.
    async fn oldest_parse(&mut self) -> Result<Option<u16>, CrawlError> {
        let manifest = Arc::clone(&self.manifest);
        let Some(mut sightings) = self.sightings.take() else {
            return Ok(None);
        };
        let mut oldest = Some(day_of(self.begun));
        let mut never = None;
        for (number, entry) in manifest.entries(None).enumerate() {
            give_way(number).await;
            let (url, entry) = entry?;
            let Some(page) = entry.outcome.page().filter(|_| self.is_ours(&url)) else {
                continue;
            };
            let seen = sightings.get(&url);
            if self.is_resumed || seen.and_then(|seen| seen.linked_day).is_none() {
                sightings.linked(&url, self.begun);
            }
            if content::has_links(content::kind(page.headers.content_type(), url.path())) {
                let parsed = seen.and_then(|seen| seen.parsed_day);
                oldest = oldest
                    .zip(parsed)
                    .map(|(oldest, parsed)| oldest.min(parsed));
                if parsed.is_none() {
                    never.get_or_insert(url);
                }
            }
        }
        if let Some(url) = never {
            tracing::info!(%url, "nothing is retired: this page, which may link to any, was never searched for links");
        }
        self.sightings = Some(sightings);
        Ok(oldest)
    }

    fn linked_day(&self, url: &PageUrl) -> Option<u16> {
        self.sightings.as_ref()?.get(url)?.linked_day
    }

    fn counts_for_retiring(&self, url: &PageUrl, entry: &Entry) -> bool {
        entry.outcome.is_live() && !self.given_up.contains(url.authority()) && self.is_ours(url)
    }

    /// What the next crawl wants to know.
    pub async fn remember(&mut self) {
        let warn = |what: &str, error: std::io::Error| {
            tracing::warn!(%error, "{what} cannot be written: the next crawl does without");
        };
        if self.order.only.is_none() {
            let notes = self.sitemaps.notes(self.order.sitemap_loss_max, self.begun);
            if let Err(error) = notes.save(&self.order.sitemap_notes()) {
                warn("what the sitemaps held", error);
            }
        }
        let Some(mut sightings) = self.sightings.take() else {
            return;
        };
        let begun = self.begun;
        let saved = tokio::task::spawn_blocking(move || {
            let saved = sightings.save(begun);
            (sightings, saved)
        });
        let (sightings, saved) = saved
            .await
            .expect("saving does not panic and is never aborted");
        self.sightings = Some(sightings);
        if let Err(error) = saved {
            warn("when pages were seen", error);
        }
    }

    /// Why the mirror is worth less than it could be.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = match self.order.only {
            Some(_) => self.missed.clone(),
            None => self
                .sitemaps
                .reasons(self.order.sitemap_loss_max, self.begun),
        };
        for host in &self.unruled {
            reasons.push(format!(
                "nothing was asked of {host}: its robots.txt could not be had, and never could; it is tried again in the next run"
            ));
        }
        for (host, tally) in &self.position.tally.hosts {
            if let Some(why) = &tally.given_up {
                reasons.push(format!(
                    "{host} was given up, {} of its pages were not asked for: {why}",
                    tally.not_asked
                ));
            }
        }
        reasons
    }

    fn is_ours(&self, url: &PageUrl) -> bool {
        self.order.scope.admit(url.clone()) == Admission::Page(url.clone())
    }
}

/// Lets others have a turn now and then in a long walk; `number` counts its steps.
async fn give_way(number: usize) {
    if number % STRIDE == STRIDE - 1 {
        tokio::task::yield_now().await;
    }
}
