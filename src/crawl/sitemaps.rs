//! The sitemaps of a crawl: which were named and by whom, what came of each, and how that compares with the last
//! good crawl. A sitemap that fails never stops the others; one that cannot be read, has shrunk a lot or has
//! vanished from its index makes the verdict degraded, since nobody misses a page that was never found.
//!
//! What is compared with lies in `sitemaps.json` in the state directory. It is for this comparison alone: lost or
//! damaged, the next crawl has nothing to compare with and begins it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::tally::SitemapLine;
use crate::content::Sitemap;
use crate::db::replace_file;
use crate::site::PageUrl;

/// Sitemaps taken in by one crawl: as many as the protocol lets one index name.
const SITEMAPS_MAX: usize = 50_000;

/// Indexes above a sitemap. The protocol knows one; some sites have two.
const INDEXES_MAX: u8 = 5;

/// Lines of the report; the others are summed up.
const LINES_MAX: usize = 200;

/// Reasons of a verdict that are told one by one.
const REASONS_MAX: usize = 20;

/// Fewer URLs are no loss, whatever share they are.
const LOSS_MIN: u64 = 10;

/// For so long a loss is told in every run; then it is how the site is.
const LOSS_TOLD_SECONDS: i64 = 30 * 24 * 60 * 60;

/// What follows a telling of a loss.
const IF_RIGHT: &str = "if this is right, let one run pass with `guard.sitemap_loss_max = 1.0`; it is told for 30 days";

const FORMAT: u32 = 1;

/// What the crawls before have found: the file `sitemaps.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitemapNotes {
    format: u32,
    /// Crawls that have come to their end.
    crawls: u64,
    sitemaps: BTreeMap<PageUrl, Note>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// What named it; `None` for robots.txt and seeds.
    index: Option<PageUrl>,
    is_index: bool,
    /// URLs in the last good crawl, and when that was, in seconds since 1970.
    urls: u64,
    at: i64,
    /// URLs when it was last read, which a loss makes fewer.
    seen: u64,
    /// Since when it is lost, in part or all of it.
    lost_since: Option<i64>,
}

/// The sitemaps of a crawl under way.
#[derive(Clone, Debug)]
pub struct Sitemaps {
    before: SitemapNotes,
    named: BTreeMap<PageUrl, Named>,
    /// By URL, also of sitemaps that nobody has named so far: answers come in any order.
    outcomes: BTreeMap<PageUrl, Outcome>,
    /// Of which something was said since they were last recorded.
    touched: BTreeSet<PageUrl>,
    /// Named and not taken in: below too many indexes, and too many. With the first of each.
    too_deep: Option<(PageUrl, u64)>,
    too_many: Option<(PageUrl, u64)>,
}

/// The sitemaps beyond those that the report names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitemapSum {
    pub sitemaps: u64,
    pub urls: u64,
    pub failed: u64,
}

/// What is known of one sitemap in a crawl under way, for when it goes on after a kill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SitemapRecord {
    named: Option<Named>,
    outcome: Option<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    index: Option<PageUrl>,
    /// Indexes above it.
    depth: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Read {
        kind: Sitemap,
        urls: u64,
    },
    Unchanged,
    /// It redirects to another, which is read in its place.
    Moved,
    Failed(String),
}

/// Something that is to be told.
enum Loss<'a> {
    Failed {
        is_index: bool,
        why: &'a str,
    },
    Shrunk {
        urls: u64,
        before: u64,
    },
    Vanished {
        index: Option<&'a PageUrl>,
        before: u64,
    },
}

impl Default for SitemapNotes {
    fn default() -> SitemapNotes {
        SitemapNotes {
            format: FORMAT,
            crawls: 0,
            sitemaps: BTreeMap::new(),
        }
    }
}

impl SitemapNotes {
    /// Reads the file; one that is absent, damaged or of another format is as good as none, and the log says so.
    pub fn open(path: &Path) -> SitemapNotes {
        let read = fs::read(path).map(|bytes| serde_json::from_slice::<SitemapNotes>(&bytes));
        let why = match read {
            Ok(Ok(notes)) if notes.format == FORMAT => return notes,
            Ok(Ok(_)) => "it is of another format".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => "not there yet".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::info!(path = %path.display(), why, "no earlier sitemaps to compare with");
        SitemapNotes::default()
    }

    /// Replaces the file atomically and makes it durable.
    ///
    /// # Errors
    /// What the file system says, with the path; the file before stays.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).expect("notes always serialise");
        let said = |error: io::Error| {
            let text = format!(
                "{}: {error}; the next crawl compares with older ones",
                path.display()
            );
            io::Error::new(error.kind(), text)
        };
        replace_file(path, |file| file.write_all(&bytes)).map_err(said)
    }

    /// How many crawls have come to their end: one more each time.
    #[cfg(test)]
    pub fn crawls(&self) -> u64 {
        self.crawls
    }
}

impl Sitemaps {
    /// `records`: what a crawl that was killed has recorded, if this one goes on from it.
    pub fn new(
        before: SitemapNotes,
        records: impl IntoIterator<Item = (PageUrl, SitemapRecord)>,
    ) -> Sitemaps {
        let mut sitemaps = Sitemaps {
            before,
            named: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            touched: BTreeSet::new(),
            too_deep: None,
            too_many: None,
        };
        for (url, record) in records {
            sitemaps
                .named
                .extend(record.named.map(|named| (url.clone(), named)));
            sitemaps
                .outcomes
                .extend(record.outcome.map(|outcome| (url, outcome)));
        }
        sitemaps
    }

    /// What is to be recorded since this was asked last.
    pub fn records(&mut self) -> Vec<(PageUrl, SitemapRecord)> {
        let touched = std::mem::take(&mut self.touched).into_iter();
        let record = |url: PageUrl| {
            let record = SitemapRecord {
                named: self.named.get(&url).cloned(),
                outcome: self.outcomes.get(&url).cloned(),
            };
            (url, record)
        };
        touched.map(record).collect()
    }

    /// Somebody names a sitemap: `index`, or robots.txt and the seeds. Whether it is to be read: not when it has been
    /// named before (so a loop of indexes ends), nor beyond 50,000 of them or below more than 5 indexes, which is
    /// told at the end.
    pub fn named(&mut self, url: &PageUrl, index: Option<&PageUrl>) -> bool {
        if self.named.contains_key(url) {
            return false;
        }
        let above = index.and_then(|index| self.named.get(index));
        let depth = match index {
            Some(_) => above.map_or(1, |above| above.depth + 1),
            None => 0,
        };
        let refused = if depth > INDEXES_MAX {
            &mut self.too_deep
        } else if self.named.len() >= SITEMAPS_MAX {
            &mut self.too_many
        } else {
            let index = index.cloned();
            self.named.insert(url.clone(), Named { index, depth });
            self.touched.insert(url.clone());
            return true;
        };
        refused.get_or_insert_with(|| (url.clone(), 0)).1 += 1;
        false
    }

    /// Whether somebody has named it.
    pub fn knows(&self, url: &PageUrl) -> bool {
        self.named.contains_key(url)
    }

    /// Whether an earlier crawl has left word of what it held: only then does it help to hear that it has not changed.
    pub fn remembers(&self, url: &PageUrl) -> bool {
        self.before.sitemaps.contains_key(url)
    }

    /// A sitemap has been read: of this kind, naming so many URLs of the site (sitemaps, in an index). Read again, the
    /// later counts.
    pub fn read(&mut self, url: &PageUrl, kind: Sitemap, urls: u64) {
        self.note(url, Outcome::Read { kind, urls });
    }

    /// It is what it was (304), and so is what an index names: the sitemaps of it that nobody has named yet.
    pub fn unchanged(&mut self, url: &PageUrl) -> Vec<PageUrl> {
        if !matches!(self.outcomes.get(url), Some(Outcome::Read { .. })) {
            self.note(url, Outcome::Unchanged);
        }
        if !self.is_index(url) {
            // Nothing is its child, and there may be 50,000 of them to be looked through.
            return Vec::new();
        }
        let is_child = |(_, note): &(&PageUrl, &Note)| note.index.as_ref() == Some(url);
        let children = self.before.sitemaps.iter().filter(is_child);
        let mut children: Vec<PageUrl> = children.map(|(child, _)| child.clone()).collect();
        children.retain(|child| self.named(child, Some(url)));
        children
    }

    /// It lies elsewhere: that place is named in its stead.
    pub fn moved(&mut self, url: &PageUrl, target: &PageUrl) {
        let index = self.named.get(url).and_then(|named| named.index.clone());
        self.note(url, Outcome::Moved);
        self.named(target, index.as_ref());
    }

    /// It could not be had, after all retries. What was read of it before stands.
    pub fn failed(&mut self, url: &PageUrl, why: &str) {
        if !self.outcomes.contains_key(url) {
            self.note(url, Outcome::Failed(why.to_owned()));
        }
    }

    /// The sitemaps that no other names, to be read again at the end of the crawl: something may have been published
    /// meanwhile.
    pub fn roots(&self) -> Vec<PageUrl> {
        let is_root =
            |(url, named): &(&PageUrl, &Named)| named.index.is_none() && self.urls(url).is_some();
        let roots = self.named.iter().filter(is_root);
        roots.map(|(url, _)| url.clone()).collect()
    }

    /// One line for each sitemap named, in the order of their URLs; of more than 200 those that failed or have
    /// fewer URLs than before come first, and the others are summed up.
    pub fn lines(&self) -> (Vec<SitemapLine>, SitemapSum) {
        let mut lines: Vec<SitemapLine> = self.named.keys().map(|url| self.line(url)).collect();
        let is_well = |line: &SitemapLine| {
            line.error.is_none() && line.before.is_none_or(|before| line.urls >= before)
        };
        // Stable: by URL among themselves.
        lines.sort_by_key(is_well);
        let beyond = lines.split_off(lines.len().min(LINES_MAX));
        lines.sort_by(|a, b| a.url.cmp(&b.url));
        let sum = beyond
            .iter()
            .fold(SitemapSum::default(), |sum, line| SitemapSum {
                sitemaps: sum.sitemaps + 1,
                urls: sum.urls + line.urls,
                failed: sum.failed + u64::from(line.error.is_some()),
            });
        (lines, sum)
    }

    /// Why the verdict is degraded, one line each, 20 at most and how many more. `loss_max` is `guard.sitemap_loss_max`,
    /// the share of its URLs that a sitemap may lose.
    pub fn reasons(&self, loss_max: f64, now: i64) -> Vec<String> {
        let losses = self.losses(loss_max, now);
        let mut reasons: Vec<String> = losses.iter().map(|(url, loss)| reason(url, loss)).collect();
        if let Some((url, count)) = &self.too_deep {
            reasons.push(format!(
                "{count} sitemaps were not read, the first {url}: they lie below more than {INDEXES_MAX} indexes; name them in robots.txt"
            ));
        }
        if let Some((url, count)) = &self.too_many {
            reasons.push(format!(
                "{count} sitemaps were not read, the first {url}: a crawl takes {SITEMAPS_MAX}; let fewer name more URLs each"
            ));
        }
        if reasons.len() > REASONS_MAX {
            let more = reasons.len() - REASONS_MAX;
            reasons.truncate(REASONS_MAX);
            reasons.push(format!(
                "{more} more sitemaps have such troubles; the report's sitemaps say which"
            ));
        }
        reasons
    }

    /// What the next crawl compares with; to be saved when this one has come to its end. What was lost is remembered
    /// as it was while it is told.
    pub fn notes(&self, loss_max: f64, now: i64) -> SitemapNotes {
        let lost: BTreeMap<&PageUrl, Loss<'_>> = self.losses(loss_max, now).into_iter().collect();
        let mut sitemaps = BTreeMap::new();
        for (url, named) in &self.named {
            let before = self.before.sitemaps.get(url);
            let note = match (self.urls(url), before) {
                (Some(urls), Some(before)) if lost.contains_key(url) => Note {
                    seen: urls,
                    lost_since: before.lost_since.or(Some(now)),
                    ..before.clone()
                },
                (Some(urls), _) => Note {
                    index: named.index.clone(),
                    is_index: self.is_index(url),
                    urls,
                    at: now,
                    seen: urls,
                    lost_since: None,
                },
                (None, Some(before)) => before.clone(),
                (None, None) => continue,
            };
            sitemaps.insert(url.clone(), note);
        }
        for (url, note) in self.unmet() {
            let mut note = note.clone();
            if lost.contains_key(url) {
                note.lost_since = note.lost_since.or(Some(now));
            } else if self.may_vanish(&note) {
                continue;
            }
            sitemaps.insert(url.clone(), note);
        }
        SitemapNotes {
            format: FORMAT,
            crawls: self.before.crawls + 1,
            sitemaps,
        }
    }

    fn note(&mut self, url: &PageUrl, outcome: Outcome) {
        let is_known = self.outcomes.contains_key(url);
        // Twice as many as can be named: those that were, and those that are not any more.
        if is_known || self.outcomes.len() < 2 * SITEMAPS_MAX {
            self.outcomes.insert(url.clone(), outcome);
            self.touched.insert(url.clone());
        }
    }

    fn is_index(&self, url: &PageUrl) -> bool {
        match self.outcomes.get(url) {
            Some(Outcome::Read { kind, .. }) => *kind == Sitemap::Index,
            _ => self
                .before
                .sitemaps
                .get(url)
                .is_some_and(|note| note.is_index),
        }
    }

    /// How many URLs it names today, if that is known.
    fn urls(&self, url: &PageUrl) -> Option<u64> {
        match self.outcomes.get(url)? {
            Outcome::Read { urls, .. } => Some(*urls),
            Outcome::Unchanged => self.before.sitemaps.get(url).map(|note| note.seen),
            Outcome::Moved | Outcome::Failed(_) => None,
        }
    }

    /// Why it could not be read.
    fn error(&self, url: &PageUrl) -> Option<&str> {
        match self.outcomes.get(url) {
            Some(Outcome::Failed(why)) => Some(why),
            Some(_) => None,
            None => Some("it was not asked for"),
        }
    }

    fn line(&self, url: &PageUrl) -> SitemapLine {
        SitemapLine {
            url: url.clone(),
            urls: self.urls(url).unwrap_or(0),
            before: self.before.sitemaps.get(url).map(|note| note.urls),
            error: self.error(url).map(str::to_owned),
        }
    }

    /// Known from earlier crawls and not named in this one.
    fn unmet(&self) -> impl Iterator<Item = (&PageUrl, &Note)> {
        let all = self.before.sitemaps.iter();
        all.filter(|(url, _)| !self.named.contains_key(url))
    }

    /// Whether what should have named it was read, and did not.
    fn may_vanish(&self, note: &Note) -> bool {
        let is_read =
            |index: &PageUrl| self.named.contains_key(index) && self.urls(index).is_some();
        note.index.as_ref().is_none_or(is_read)
    }

    /// In the order of URLs.
    fn losses(&self, loss_max: f64, now: i64) -> Vec<(&PageUrl, Loss<'_>)> {
        let is_told = |note: &Note| {
            let since = note.lost_since.unwrap_or(now);
            now.saturating_sub(since) < LOSS_TOLD_SECONDS
        };
        let mut losses = Vec::new();
        for url in self.named.keys() {
            let before = self.before.sitemaps.get(url);
            if let Some(why) = self.error(url) {
                let is_index = self.is_index(url);
                losses.push((url, Loss::Failed { is_index, why }));
            } else if let (Some(urls), Some(note)) = (self.urls(url), before)
                && is_loss(note.urls, urls, loss_max)
                && is_told(note)
            {
                let before = note.urls;
                losses.push((url, Loss::Shrunk { urls, before }));
            }
        }
        if loss_max < 1.0 {
            let made_up_for = self.made_up_for();
            let vanished = self.unmet().filter(|(_, note)| {
                let is_moved = !note.is_index && made_up_for.contains(&note.index.as_ref());
                let is_large = note.is_index || note.urls > LOSS_MIN;
                is_large && !is_moved && is_told(note) && self.may_vanish(note)
            });
            losses.extend(vanished.map(|(url, note)| {
                let (index, before) = (note.index.as_ref(), note.urls);
                (url, Loss::Vanished { index, before })
            }));
        }
        losses.sort_by_key(|(url, _)| *url);
        losses
    }

    /// The indexes whose sitemaps together have lost less than half of what vanished with some of them: sites that
    /// number or date their sitemaps have other ones every day, with the same URLs in them.
    fn made_up_for(&self) -> Vec<Option<&PageUrl>> {
        // By index: URLs before, URLs that vanished, URLs now.
        let mut groups: BTreeMap<Option<&PageUrl>, [u64; 3]> = BTreeMap::new();
        for (url, note) in self
            .before
            .sitemaps
            .iter()
            .filter(|(_, note)| !note.is_index)
        {
            let group = groups.entry(note.index.as_ref()).or_default();
            group[0] += note.urls;
            if !self.named.contains_key(url) {
                group[1] += note.urls;
            }
        }
        for (url, named) in self.named.iter().filter(|(url, _)| !self.is_index(url)) {
            let before = self.before.sitemaps.get(url).map_or(0, |note| note.urls);
            let group = groups.entry(named.index.as_ref()).or_default();
            group[2] += self.urls(url).unwrap_or(before);
        }
        let is_made_up =
            |[before, vanished, now]: [u64; 3]| before.saturating_sub(now) < vanished.div_ceil(2);
        let indexes = groups.into_iter().filter(|(_, counts)| is_made_up(*counts));
        indexes.map(|(index, _)| index).collect()
    }
}

/// Whether so many URLs fewer are more than the share that may be lost.
fn is_loss(before: u64, urls: u64, loss_max: f64) -> bool {
    let lost = before.saturating_sub(urls);
    lost >= LOSS_MIN && lost as f64 > loss_max * before as f64
}

fn reason(url: &PageUrl, loss: &Loss<'_>) -> String {
    match loss {
        Loss::Failed {
            is_index: true,
            why,
        } => format!(
            "the sitemap index {url} could not be read: {why}; new pages may be missing until it answers"
        ),
        Loss::Failed {
            is_index: false,
            why,
        } => format!(
            "the sitemap {url} could not be read: {why}; new pages may be missing until it answers or nothing names it"
        ),
        Loss::Shrunk { urls, before } => {
            format!("the sitemap {url} names {urls} URLs and named {before} before; {IF_RIGHT}")
        }
        Loss::Vanished { index, before } => {
            let index = index.map_or("robots.txt and the seeds", PageUrl::as_str);
            format!(
                "the sitemap {url}, which named {before} URLs, is not in {index} any more; {IF_RIGHT}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: i64 = 1_795_258_000;
    const DAY: i64 = 24 * 60 * 60;

    fn url(target: &str) -> PageUrl {
        PageUrl::parse(&format!("https://h.org/{target}")).unwrap()
    }

    /// A crawl of an index `i` with these sitemaps and counts.
    fn begun(before: SitemapNotes) -> Sitemaps {
        Sitemaps::new(before, [])
    }

    fn crawled(before: SitemapNotes, children: &[(&str, u64)]) -> Sitemaps {
        let mut sitemaps = begun(before);
        assert!(sitemaps.named(&url("i"), None));
        sitemaps.read(&url("i"), Sitemap::Index, children.len() as u64);
        for (child, urls) in children {
            assert!(sitemaps.named(&url(child), Some(&url("i"))));
            sitemaps.read(&url(child), Sitemap::Pages, *urls);
        }
        sitemaps
    }

    /// What a first crawl of these leaves behind.
    fn notes(children: &[(&str, u64)]) -> SitemapNotes {
        crawled(SitemapNotes::default(), children).notes(0.5, NOW)
    }

    #[test]
    fn a_first_crawl_has_nothing_to_complain_of() {
        // Promise: counts are told per sitemap, and the next crawl that finds the same finds nothing wrong.
        let first = crawled(SitemapNotes::default(), &[("a", 300), ("b", 5)]);
        let (lines, sum) = first.lines();
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line.url.path(), line.urls, line.before))
            .collect();
        assert_eq!(told, [("/a", 300, None), ("/b", 5, None), ("/i", 2, None)]);
        assert_eq!(sum, SitemapSum::default());
        assert!(first.reasons(0.5, NOW).is_empty());
        assert_eq!(first.roots(), [url("i")]);
        let second = crawled(first.notes(0.5, NOW), &[("a", 300), ("b", 5)]);
        assert_eq!(second.lines().0[0].before, Some(300));
        assert!(second.reasons(0.5, NOW).is_empty());
        assert_eq!(second.notes(0.5, NOW).crawls(), 2);
    }

    #[test]
    fn a_failed_sitemap_is_told_and_never_the_others() {
        // Promise: the reason names sitemap, cause and way out on one line; what it named before is kept for the
        // next comparison; children of an index that failed have not vanished.
        let mut second = begun(notes(&[("a", 300), ("b", 300)]));
        second.named(&url("i"), None);
        second.read(&url("i"), Sitemap::Index, 2);
        for child in ["a", "b"] {
            second.named(&url(child), Some(&url("i")));
        }
        second.failed(&url("a"), "503 Service Unavailable");
        second.read(&url("b"), Sitemap::Pages, 300);
        // Read again at the end, in vain: what was read stands.
        second.failed(&url("b"), "timeout");
        assert_eq!(
            second.reasons(0.5, NOW),
            [
                "the sitemap https://h.org/a could not be read: 503 Service Unavailable; new pages may be missing \
              until it answers or nothing names it"
            ]
        );
        assert_eq!(
            second.lines().0[0].error.as_deref(),
            Some("503 Service Unavailable")
        );
        let third = crawled(second.notes(0.5, NOW), &[("a", 20), ("b", 300)]);
        assert!(third.reasons(0.5, NOW)[0].contains("names 20 URLs and named 300"));

        let mut second = begun(notes(&[("a", 300)]));
        second.named(&url("i"), None);
        second.failed(&url("i"), "timeout");
        let reasons = second.reasons(0.5, NOW);
        assert_eq!(reasons.len(), 1);
        assert!(
            reasons[0].starts_with("the sitemap index https://h.org/i could not be read: timeout;")
        );
        assert_eq!(
            second.notes(0.5, NOW).sitemaps,
            notes(&[("a", 300)]).sitemaps
        );
    }

    #[test]
    fn a_loss_is_told_from_a_change() {
        // Promise: more than the share and ten URLs at least; a row: before, now, share, whether it is told.
        let rows = [
            (100, 50, 0.5, false),
            (100, 49, 0.5, true),
            (100, 0, 0.5, true),
            (18, 8, 0.5, true),
            (18, 9, 0.5, false),
            (9, 0, 0.5, false),
            (100, 900, 0.5, false),
            (100, 99, 0.0, false),
            (100, 90, 0.0, true),
            (100, 0, 1.0, false),
        ];
        for (before, urls, loss_max, expected) in rows {
            let second = crawled(notes(&[("a", before)]), &[("a", urls)]);
            let reasons = second.reasons(loss_max, NOW);
            assert_eq!(!reasons.is_empty(), expected, "{before} {urls} {loss_max}");
            let kept = if expected { before } else { urls };
            assert_eq!(second.notes(loss_max, NOW).sitemaps[&url("a")].urls, kept);
        }
    }

    #[test]
    fn a_loss_is_told_until_it_is_accepted() {
        // Promise: in every run, also when the sitemap then answers 304, for 30 days or until one run with the
        // limit raised.
        let lost = crawled(notes(&[("a", 300)]), &[("a", 20)]).notes(0.5, NOW);
        let unchanged = |before: &SitemapNotes| {
            let mut sitemaps = begun(before.clone());
            sitemaps.named(&url("i"), None);
            sitemaps.unchanged(&url("a"));
            sitemaps.unchanged(&url("i"));
            sitemaps
        };
        let next = unchanged(&lost);
        assert_eq!(next.lines().0[0].urls, 20);
        assert_eq!(next.reasons(0.5, NOW + 29 * DAY).len(), 1);
        let later = next.notes(0.5, NOW + 29 * DAY);
        assert!(unchanged(&later).reasons(0.5, NOW + 30 * DAY).is_empty());
        let accepted = unchanged(&later).notes(0.5, NOW + 30 * DAY);
        assert_eq!(accepted.sitemaps[&url("a")].urls, 20);
        let accepted = next.notes(1.0, NOW + DAY);
        assert!(unchanged(&accepted).reasons(0.5, NOW + 2 * DAY).is_empty());
    }

    #[test]
    fn a_sitemap_that_vanished_is_told_unless_others_took_its_place() {
        // Promise: what named more than ten URLs and is named no more; not when its index has as many URLs as
        // before in other sitemaps; dropped when it is accepted.
        let before = notes(&[("a", 300), ("b", 300), ("c", 10)]);
        let second = crawled(before.clone(), &[("b", 310)]);
        let reasons = second.reasons(0.5, NOW);
        assert_eq!(reasons.len(), 1);
        assert!(reasons[0].starts_with(
            "the sitemap https://h.org/a, which named 300 URLs, is not in https://h.org/i"
        ));
        assert!(second.notes(0.5, NOW).sitemaps.contains_key(&url("a")));
        assert!(!second.notes(0.5, NOW).sitemaps.contains_key(&url("c")));
        assert!(second.reasons(1.0, NOW).is_empty());
        assert!(!second.notes(1.0, NOW).sitemaps.contains_key(&url("a")));

        let dated = crawled(before.clone(), &[("b", 300), ("c", 10), ("a-2", 250)]);
        assert!(dated.reasons(0.5, NOW).is_empty());

        // The index itself, and not its sitemaps one by one.
        let gone = begun(before).reasons(0.5, NOW);
        assert_eq!(gone.len(), 1);
        assert!(
            gone[0].contains("/i, which named 3 URLs, is not in robots.txt and the seeds any more")
        );
    }

    #[test]
    fn a_crawl_that_goes_on_knows_what_was_read_before() {
        // Promise: wherever a crawl is cut short, its report, its reasons and its notes are those of one that was not.
        let before = notes(&[("a", 300), ("b", 300), ("c", 40)]);
        let steps: [fn(&mut Sitemaps); 6] = [
            |all| assert!(all.named(&url("i"), None)),
            |all| all.read(&url("i"), Sitemap::Index, 2),
            |all| assert!(all.named(&url("a"), Some(&url("i")))),
            |all| assert!(all.named(&url("b"), Some(&url("i")))),
            |all| all.read(&url("a"), Sitemap::Pages, 20),
            |all| all.failed(&url("b"), "timeout"),
        ];
        let whole = steps.iter().fold(begun(before.clone()), |mut all, step| {
            step(&mut all);
            all
        });
        assert_eq!(whole.reasons(0.5, NOW).len(), 3);
        for cut in 0..=steps.len() {
            let mut recorded = BTreeMap::new();
            let mut killed = begun(before.clone());
            for step in &steps[..cut] {
                step(&mut killed);
                recorded.extend(killed.records());
            }
            let mut resumed = Sitemaps::new(before.clone(), recorded);
            steps[cut..].iter().for_each(|step| step(&mut resumed));
            assert_eq!(resumed.lines(), whole.lines(), "cut at {cut}");
            assert_eq!(resumed.reasons(0.5, NOW), whole.reasons(0.5, NOW));
            assert_eq!(resumed.notes(0.5, NOW), whole.notes(0.5, NOW));
            assert_eq!(resumed.roots(), whole.roots());
        }
    }

    #[test]
    fn loops_depths_and_numbers_are_bounded() {
        // Promise: each sitemap is read once, below 5 indexes at most, 50,000 in all; what is left out is told.
        let mut sitemaps = begun(SitemapNotes::default());
        assert!(sitemaps.named(&url("0"), None));
        for depth in 0..5 {
            let (above, below) = (url(&depth.to_string()), url(&(depth + 1).to_string()));
            sitemaps.read(&above, Sitemap::Index, 3);
            assert!(sitemaps.named(&below, Some(&above)));
            assert!(!sitemaps.named(&above, Some(&above)));
            assert!(!sitemaps.named(&url("0"), Some(&above)));
        }
        sitemaps.read(&url("5"), Sitemap::Index, 2);
        assert!(!sitemaps.named(&url("6"), Some(&url("5"))));
        assert!(!sitemaps.named(&url("7"), Some(&url("5"))));
        let reasons = sitemaps.reasons(0.5, NOW);
        assert_eq!(
            reasons,
            [
                "2 sitemaps were not read, the first https://h.org/6: they lie below more than 5 indexes; name them in robots.txt"
            ]
        );
        let admitted = (0..60_000)
            .filter(|number| sitemaps.named(&url(&format!("s{number}")), None))
            .count();
        assert_eq!(admitted, SITEMAPS_MAX - 6);
        let reasons = sitemaps.reasons(0.5, NOW);
        assert_eq!(reasons.len(), REASONS_MAX + 1);
        assert!(reasons.iter().all(|reason| reason.lines().count() == 1));
    }

    #[test]
    fn a_report_of_many_names_those_in_trouble() {
        // Promise: 200 lines, in the order of URLs, with every failed one among them, and the rest in one sum.
        let children: Vec<String> = (0..500).map(|number| format!("s{number:03}")).collect();
        let counted: Vec<(&str, u64)> = children.iter().map(|child| (child.as_str(), 10)).collect();
        let mut sitemaps = crawled(SitemapNotes::default(), &counted);
        for number in 0..3 {
            let late = url(&format!("z{number}"));
            sitemaps.named(&late, Some(&url("i")));
            sitemaps.failed(&late, "timeout");
        }
        let (lines, sum) = sitemaps.lines();
        assert_eq!(lines.len(), LINES_MAX);
        assert!(lines.is_sorted_by(|a, b| a.url < b.url));
        assert_eq!(lines.iter().filter(|line| line.error.is_some()).count(), 3);
        assert_eq!(
            sum,
            SitemapSum {
                sitemaps: 304,
                urls: 3_040,
                failed: 0
            }
        );
    }

    #[test]
    fn notes_survive_a_run_and_never_stop_one() {
        // Promise: what is saved is read; absent, damaged and newer files are as good as none.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sitemaps.json");
        assert_eq!(SitemapNotes::open(&path), SitemapNotes::default());
        let saved = notes(&[("a", 300), ("b", 0)]);
        saved.save(&path).unwrap();
        assert_eq!(SitemapNotes::open(&path), saved);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let good = fs::read_to_string(&path).unwrap();
        for damaged in [
            "",
            "{",
            "[]",
            &good[..good.len() - 2],
            &good.replace("\"format\": 1", "\"format\": 2"),
        ] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(
                SitemapNotes::open(&path),
                SitemapNotes::default(),
                "{damaged}"
            );
        }
        let message = saved
            .save(Path::new("/nowhere/sitemaps.json"))
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("/nowhere/sitemaps.json: "), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_crawl_that_finds_what_was_there_is_content(
            counts in prop::collection::vec(0u64..1_000, 0..8),
            order in any::<u64>(),
            loss_max in 0.0f64..1.0,
        ) {
            // Promise: in any order, read or answered with 304, the same sitemaps give no reason and the same notes.
            let names: Vec<String> = (0..counts.len()).map(|number| format!("s{number}")).collect();
            let children: Vec<(&str, u64)> = names.iter().map(String::as_str).zip(counts).collect();
            let before = notes(&children);
            let mut sitemaps = begun(before.clone());
            for (index, (child, urls)) in children.iter().enumerate() {
                match order >> index & 1 {
                    0 => drop(sitemaps.unchanged(&url(child))),
                    _ => sitemaps.read(&url(child), Sitemap::Pages, *urls),
                }
            }
            sitemaps.named(&url("i"), None);
            sitemaps.unchanged(&url("i"));
            prop_assert_eq!(sitemaps.reasons(loss_max, NOW), Vec::<String>::new());
            prop_assert_eq!(sitemaps.notes(loss_max, NOW).sitemaps, before.sitemaps);
        }
    }
}
