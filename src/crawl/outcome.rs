//! What a result means for the crawl: counted, staged, and its links queued. The decisions themselves are pure
//! (`decide.rs`).

use super::decide::{self, Body, Decision};
use super::engine::{Engine, Judged, Source};
use super::fetch::{Answer, Class, FetchError};
use super::job::Job;
use super::links::Found;
use super::visit::{Seen, SeenPage};
use super::{CrawlCounts, CrawlError, FormTally, HostTally};
use crate::content::{ContentHash, Role, Sitemap};
use crate::manifest::{Entry, Outcome, Staged};
use crate::site::Admission;

impl Engine<'_> {
    /// Decides what a result means, and counts it.
    pub fn judge(
        &mut self,
        job: &Job,
        answered: i64,
        result: Result<Seen, FetchError>,
    ) -> Result<Judged, CrawlError> {
        let recorded = job.recorded.as_deref();
        if recorded.is_some_and(|entry| entry.outcome.is_live()) {
            self.position.counts.known += 1;
            // What a crawl of some pages did not have is told page by page.
            let is_kept = self.order.only.is_some() || is_kept(recorded, &result);
            self.position.counts.kept += u64::from(is_kept);
        }
        // Where the origin only said that it stands, the answer is the recorded one.
        let fetched = match (&result, recorded.and_then(|entry| entry.fetched)) {
            (Ok(Seen::NotModified), Some(then)) => then,
            _ => answered,
        };
        if job.is_sitemap || self.sitemaps.knows(&job.url) {
            self.note_sitemap(job, &result)?;
        }
        let (mut staged, body) = match result {
            Ok(seen) => self.judge_seen(job, answered, seen)?,
            Err(error) => (self.mishap(job, error)?, None),
        };
        if let Some(Staged::Outcome { fetched: at, .. }) = &mut staged {
            *at = fetched;
        }
        Ok((staged, body))
    }

    /// As [`Engine::judge`], for a page that was asked for in this crawl before: it counts once, and only a page is
    /// worth more than what came then. One that is as recorded takes back what the first answer has staged.
    pub fn judge_again(
        &mut self,
        job: &Job,
        answered: i64,
        result: Result<Seen, FetchError>,
    ) -> Result<Judged, CrawlError> {
        let is_page = matches!(result, Ok(Seen::Page(_) | Seen::NotModified));
        let before = self.position.counts;
        let (staged, body) = self.judge(job, answered, result)?;
        let now = self.position.counts;
        self.position.counts = CrawlCounts {
            fetched: now.fetched,
            not_modified: now.not_modified,
            errors: now.errors,
            bytes: now.bytes,
            ..before
        };
        match is_page {
            true => Ok((staged.or_else(|| as_recorded(job, answered)), body)),
            false => Ok((None, None)),
        }
    }

    fn judge_seen(&mut self, job: &Job, answered: i64, seen: Seen) -> Result<Judged, CrawlError> {
        let recorded = job.recorded.as_deref();
        match seen {
            Seen::NotModified => {
                self.confirmed(job, answered);
                self.position.counts.not_modified += 1;
                let policy = self.order.cache_control.as_deref();
                match decide::not_modified(recorded, policy) {
                    Decision::Same => Ok((self.as_it_was(job, answered)?, None)),
                    decision => Ok((self.stage(job, decision), None)),
                }
            }
            Seen::Page(page) => self.judge_page(job, answered, *page),
            Seen::Redirect { status, location } => {
                Ok((self.judge_redirect(job, answered, status, &location)?, None))
            }
            Seen::Gone { status } => Ok((self.judge_gone(job, status)?, None)),
        }
    }

    /// What is recorded was the origin's answer at that moment. An answer that is not, says nothing of the kind: what
    /// is staged of it may never be committed, and the page would be spared for it all the same.
    fn confirmed(&mut self, job: &Job, answered: i64) {
        if let Some(sightings) = &mut self.sightings {
            sightings.checked(&job.url, answered);
        }
    }

    fn judge_page(
        &mut self,
        job: &Job,
        answered: i64,
        page: SeenPage,
    ) -> Result<Judged, CrawlError> {
        let recorded = job.recorded.as_deref();
        let SeenPage {
            received,
            canonical,
            recorded: known,
            links,
            choices,
            forms,
            sitemap,
            is_cut: _,
            is_searched,
            is_unsearched,
        } = page;
        self.position.counts.fetched += 1;
        self.position.counts.bytes += received.digest.size;
        if is_unsearched {
            let why = "too long to be searched for links: it is stored, and pages that only it names may be missing";
            self.name_trouble(job, why.to_owned());
        }
        if let Some(sightings) = self.sightings.as_mut().filter(|_| is_searched) {
            sightings.parsed(&job.url, self.begun);
        }
        self.follow(job, sitemap, links)?;
        self.fill_in(job, forms, choices)?;
        let body = Body {
            status: received.status,
            digest: received.digest,
            canonical,
            recorded: known,
            rules: self.rules_version(),
            headers: received
                .headers
                .with_cache_control(self.order.cache_control.as_deref()),
            etag: received.etag.clone(),
            last_modified: received.last_modified.clone(),
        };
        let survives = self.survival.of(&job.url, recorded)?;
        let decision = decide::page(recorded, body, survives, self.order.rules_today());
        if matches!(
            decision,
            Decision::Same | Decision::Validators | Decision::Rules
        ) {
            self.confirmed(job, answered);
        }
        let beside = match decision {
            Decision::Validators => Some(Staged::Validators {
                etag: received.etag.clone(),
                last_modified: received.last_modified.clone(),
            }),
            Decision::Rules => self.under_todays_rules(recorded, canonical),
            _ => None,
        };
        if beside.is_some() {
            self.position.counts.unchanged += 1;
            return Ok((beside, None));
        }
        let is_kept = matches!(
            decision,
            Decision::Stage { store: true, .. } | Decision::Again { .. }
        );
        let store = is_kept && self.manifest.locate(&received.digest.content)?.is_none();
        let staged = self.stage_or_confirm(job, answered, decision)?;
        Ok((staged, store.then_some((received.digest, received.body))))
    }

    /// As [`Engine::stage`], of a page that was had.
    fn stage_or_confirm(
        &mut self,
        job: &Job,
        answered: i64,
        decision: Decision,
    ) -> Result<Option<Staged>, CrawlError> {
        match self.stage(job, decision) {
            None => self.as_it_was(job, answered),
            staged => Ok(staged),
        }
    }

    /// What is noted of a page that is as recorded: that it is, where it might have been withdrawn.
    fn as_it_was(&self, job: &Job, answered: i64) -> Result<Option<Staged>, CrawlError> {
        match self.survival.is_perhaps_gone(&job.url)? {
            true => Ok(as_recorded(job, answered)),
            false => Ok(None),
        }
    }

    /// What is noted of a page that is as recorded, but was recorded under other rules.
    fn under_todays_rules(
        &self,
        recorded: Option<&Entry>,
        canonical: ContentHash,
    ) -> Option<Staged> {
        let page = recorded?.outcome.page()?;
        Some(Staged::Rules {
            content: page.content,
            canonical,
            rules: self.rules_version(),
        })
    }

    /// Queues what a page links to.
    fn follow(
        &mut self,
        job: &Job,
        sitemap: Option<(Sitemap, u64)>,
        links: Vec<Found>,
    ) -> Result<(), CrawlError> {
        let source = match sitemap {
            Some(_) => Source::Named(Some(&job.url)),
            None => Source::Page(&job.url),
        };
        let links = match sitemap {
            Some((Sitemap::Index, _)) => links
                .into_iter()
                .filter(|found| self.sitemaps.named(&found.url, Some(&job.url)))
                .collect(),
            _ => links,
        };
        self.enqueue(source, links)
    }

    /// Queues where the forms of a page lead.
    fn fill_in(
        &mut self,
        job: &Job,
        forms: FormTally,
        choices: Vec<Found>,
    ) -> Result<(), CrawlError> {
        let tally = &mut self.position.tally.forms;
        tally.forms += forms.forms;
        tally.urls += forms.urls;
        tally.left_out += forms.left_out;
        self.enqueue(Source::Form(&job.url), choices)
    }

    fn judge_redirect(
        &mut self,
        job: &Job,
        answered: i64,
        status: u16,
        location: &str,
    ) -> Result<Option<Staged>, CrawlError> {
        let recorded = job.recorded.as_deref();
        let Ok(target) = job.url.join(location) else {
            let why = format!("redirects to `{location}`, which is no URL");
            return Ok(self.not_had(job, why));
        };
        if let Admission::Page(page) = self.order.scope.admit(target.clone()) {
            if page == job.url {
                let why = format!("redirects to itself (`{location}`)");
                return Ok(self.not_had(job, why));
            }
            let role = match self.order.only {
                _ if job.is_sitemap => Role::Sitemap,
                // Where a page leads is a part of what it is.
                Some(_) => Role::Asset,
                None => Role::Page,
            };
            let found = self.visitor.resolver.one(&job.url, location, role);
            self.enqueue(Source::Page(&job.url), found.into_iter().collect())?;
        }
        self.position.counts.redirects += 1;
        let replaces_page = recorded.is_some_and(|entry| entry.outcome.page().is_some());
        if replaces_page && matches!(status, 302 | 303 | 307) {
            // "For now", it says: a page is replaced only when that goes on, as with a 404.
            let strikes = self.manifest.strike(&job.url, status)?.strikes;
            if strikes < self.order.missing_runs || self.order.only.is_some() {
                return Ok(self.stage(job, Decision::Missing { status }));
            }
        }
        match decide::redirect(recorded, status, target.as_str().to_owned()) {
            Decision::Same => {
                self.confirmed(job, answered);
                self.as_it_was(job, answered)
            }
            decision => Ok(self.stage(job, decision)),
        }
    }

    fn judge_gone(&mut self, job: &Job, status: u16) -> Result<Option<Staged>, CrawlError> {
        let recorded = job.recorded.as_deref();
        let strikes = match self.order.only {
            // Asked for out of turn, twice within a minute perhaps: that is no second witness.
            Some(_) => 0,
            None => self.manifest.strike(&job.url, status)?.strikes,
        };
        let decision = decide::gone(recorded, status, strikes, self.order.missing_runs);
        Ok(self.stage(job, decision))
    }

    /// A page that could not be had: counted, named, and, when it was never stored, noted for the next
    /// crawl.
    fn mishap(&mut self, job: &Job, error: FetchError) -> Result<Option<Staged>, CrawlError> {
        if error.class() == Class::Stop {
            return Err(CrawlError::Disk(error));
        }
        self.host_tally(job.url.authority()).errors += 1;
        Ok(self.not_had(job, error.to_string()))
    }

    /// An error of this page: counted, named, and, when it was never stored, noted for the next crawl.
    fn not_had(&mut self, job: &Job, why: String) -> Option<Staged> {
        self.position.counts.errors += 1;
        self.progress.fail();
        self.miss(job, &why);
        self.name_trouble(job, why.clone());
        job.recorded.is_none().then(|| Staged::Pending {
            from: job.from.clone(),
            why,
        })
    }

    /// Counts a decision; what it stages, if anything.
    fn stage(&mut self, job: &Job, decision: Decision) -> Option<Staged> {
        let was_live = is_live(job.recorded.as_deref());
        let counts = &mut self.position.counts;
        match decision {
            Decision::Same => {
                counts.unchanged += u64::from(was_live);
                None
            }
            Decision::Validators | Decision::Rules => None,
            Decision::Missing { status } => {
                counts.missing += 1;
                // A crawl of some pages is no witness against any.
                let is_evidence = self.order.only.is_none();
                is_evidence.then_some(Staged::Missing { status })
            }
            Decision::Broken { status } => {
                counts.broken_links += 1;
                let why = format!("the answer was {status}");
                self.name_trouble(job, why.clone());
                let from = job.from.clone();
                Some(Staged::Pending { from, why })
            }
            Decision::Again { outcome } => {
                counts.unchanged += 1;
                Some(outcome_as_decided(outcome))
            }
            Decision::Stage { outcome, .. } => {
                match (was_live, outcome.is_live()) {
                    (_, false) => counts.gone += 1,
                    (false, true) => counts.new += 1,
                    (true, true) => counts.changed += 1,
                }
                Some(outcome_as_decided(outcome))
            }
        }
    }

    /// Counts an answer as it came, also one that will be asked for again.
    pub fn count_answer(&mut self, job: &Job, result: &Result<Answer, FetchError>) {
        let status = match result {
            Ok(Answer::Body(received)) => Some(received.status),
            Ok(Answer::NotModified) => Some(304),
            Ok(Answer::Redirect { status, .. } | Answer::Gone { status }) => Some(*status),
            Err(error) => error.status(),
        };
        if let Some(status) = status {
            *self.position.tally.statuses.entry(status).or_default() += 1;
        }
        let bytes = match result {
            Ok(Answer::Body(received)) => received.digest.size,
            _ => 0,
        };
        let host = self.host_tally(job.url.authority());
        host.answers += u64::from(status.is_some());
        host.bytes += bytes;
    }

    /// Copies the name of a host only the first time: this is asked for with every answer.
    pub fn host_tally(&mut self, authority: &str) -> &mut HostTally {
        let hosts = &mut self.position.tally.hosts;
        if !hosts.contains_key(authority) {
            hosts.insert(authority.to_owned(), HostTally::default());
        }
        hosts.get_mut(authority).expect("it was just added")
    }

    fn note_sitemap(
        &mut self,
        job: &Job,
        result: &Result<Seen, FetchError>,
    ) -> Result<(), CrawlError> {
        match result {
            Ok(Seen::Page(page)) => match page.sitemap {
                Some(_) if page.is_cut => {
                    self.sitemaps.failed(
                        &job.url,
                        "it stops before its end; what it names so far is taken",
                    );
                }
                Some((kind, links)) => self.sitemaps.read(&job.url, kind, links),
                None if page.is_unsearched => {
                    let why = "it is too long to be read: the protocol permits 50 MiB";
                    self.sitemaps.failed(&job.url, why);
                }
                None => self.sitemaps.failed(&job.url, "it is no sitemap"),
            },
            Ok(Seen::NotModified) => {
                let children = self.sitemaps.unchanged(&job.url).into_iter();
                let found = children.map(|url| Found {
                    url,
                    role: Role::Sitemap,
                    lastmod: None,
                });
                self.enqueue(Source::Named(Some(&job.url)), found.collect())?;
            }
            Ok(Seen::Gone { status }) => {
                let why = format!("the answer was {status}");
                self.sitemaps.failed(&job.url, &why);
            }
            Ok(Seen::Redirect { location, .. }) => {
                match self.visitor.resolver.one(&job.url, location, Role::Sitemap) {
                    Some(target) => self.sitemaps.moved(&job.url, &target.url),
                    None => {
                        let why =
                            format!("it redirects to `{location}`, which is none of this site");
                        self.sitemaps.failed(&job.url, &why);
                    }
                }
            }
            Err(error) => self.sitemaps.failed(&job.url, &error.to_string()),
        }
        Ok(())
    }

    fn rules_version(&self) -> u32 {
        u32::try_from(self.order.rules_today).expect("few versions of the rules")
    }
}

/// What is recorded of a page, to be noted once more.
fn as_recorded(job: &Job, answered: i64) -> Option<Staged> {
    let recorded = job.recorded.as_deref()?;
    Some(Staged::Outcome {
        outcome: recorded.outcome.clone(),
        located: None,
        fetched: answered,
    })
}

/// Time and place are noted further on, for outcomes of every kind in one place each.
fn outcome_as_decided(outcome: Outcome) -> Staged {
    Staged::Outcome {
        outcome,
        located: None,
        fetched: 0,
    }
}

fn is_live(recorded: Option<&Entry>) -> bool {
    recorded.is_some_and(|entry| entry.outcome.is_live())
}

/// Whether a stored page was answered by what it is. One that redirects all at once may be a login or a maintenance
/// page's doing.
fn is_kept(recorded: Option<&Entry>, result: &Result<Seen, FetchError>) -> bool {
    match result {
        Ok(Seen::Page(_) | Seen::NotModified) => true,
        Ok(Seen::Redirect { .. }) => recorded.is_some_and(|entry| entry.outcome.page().is_none()),
        _ => false,
    }
}
