//! Closure: does every reference of every stored page that stays within the site lead to something that is stored, too?
//!
//! Found out without any network, from the bodies in the local store; what the store has let go of cannot be searched,
//! and is counted. What the crawl leaves out on purpose (robots.txt, what looks endless) is no broken link.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use serde::Serialize;

use super::AuditError;
use super::finding::quoted;
use super::spill::{RUN_BYTES, Sorted, Sorter};
use crate::content::{self, Asked, CanonicalRules, Document, Parsed, Role};
use crate::crawl::{Resolver, Robots, TrapLimits};
use crate::manifest::{Entry, Manifest, ManifestError, Outcome, Page};
use crate::site::{Admission, PageUrl, Scope};
use crate::store::{Store, StoreError};
use crate::sync::TierProgress;

/// Pages that are parsed together: enough to keep all processors at work, few enough to be in memory.
const BATCH: usize = 64;

/// As a crawl has it: longer markup is stored and not searched.
const MARKUP_BYTES_MAX: u64 = 16 << 20;

/// Targets that are known to be there, as hashes: 8 MiB, and begun anew when they are so many.
const KNOWN_MAX: usize = 1 << 19;

/// Broken links named in a report, and pages named of each that point there. Files name all.
const NAMED_MAX: usize = 1000;
const PAGES_NAMED_MAX: usize = 10;

/// The columns of `links.csv`.
pub const LINK_COLUMNS: [&str; 3] = ["url", "why", "page"];

/// What a search of the stored pages works with.
pub struct Closing {
    pub manifest: Arc<Manifest>,
    pub store: Arc<Store>,
    pub scope: Scope,
    /// By authority; none where robots.txt is ignored.
    pub robots: BTreeMap<String, Robots>,
    pub traps: TrapLimits,
    /// Seconds since 1970.
    pub now: i64,
    /// A folder of the audit's own.
    pub dir: PathBuf,
    /// Where all of it is written, too.
    pub report: Option<PathBuf>,
}

/// A page that something points to and that is not stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    pub url: String,
    pub why: String,
    /// How many pages point there, and the first of them.
    pub pages: u64,
    pub from: Vec<String>,
}

/// What a search of the stored pages found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Closure {
    /// Pages and redirects that were searched.
    pub searched: u64,
    /// Pages whose bodies are not in the store, or are damaged there, or are too long: they may point anywhere.
    pub unsearched: u64,
    /// References that stay within the site.
    pub references: u64,
    /// Those of them that lead to what is left out on purpose.
    pub left_out: u64,
    /// Pages that something points to and that are not stored.
    pub broken: u64,
    /// The first of them in the order of their URLs.
    pub links: Vec<BrokenLink>,
}

/// What a reference leads to.
enum Target {
    Stored,
    LeftOut,
    Broken(String),
}

/// A page with what it refers to; `None` where it could not be searched.
type Searched = (PageUrl, Option<Vec<PageUrl>>);

/// Searches all stored pages. Blocks; parsing goes to rayon.
///
/// # Errors
/// What manifest, store and disk say. A damaged body is none.
pub fn close(closing: &Closing, progress: &TierProgress) -> Result<Closure, AuditError> {
    fs::create_dir_all(&closing.dir).map_err(AuditError::io(&closing.dir))?;
    progress.plan(closing.manifest.about().counts.live());
    let stem = closing.dir.join("links");
    let mut search = Search {
        closing,
        resolver: Resolver::new(closing.scope.clone()),
        known: HashSet::default(),
        broken: Sorter::new(stem.clone(), RUN_BYTES),
        stem,
        found: Closure::default(),
    };
    let mut batch = Vec::with_capacity(BATCH);
    for entry in closing.manifest.entries(None) {
        let (url, entry) = entry?;
        if !entry.outcome.is_live() {
            continue;
        }
        progress.step(1);
        batch.push((url, entry));
        if batch.len() == BATCH {
            search.take(&batch)?;
            batch.clear();
        }
    }
    search.take(&batch)?;
    let Search {
        broken,
        mut found,
        stem,
        ..
    } = search;
    let failed = AuditError::io(&stem);
    gather(
        broken.sorted().map_err(&failed)?,
        &mut found,
        closing.report.as_deref(),
    )
    .map_err(&failed)?;
    Ok(found)
}

struct Search<'a> {
    closing: &'a Closing,
    resolver: Resolver,
    known: HashSet<u64, foldhash::fast::RandomState>,
    /// Target and page, with why the target is broken.
    broken: Sorter,
    stem: PathBuf,
    found: Closure,
}

impl Search<'_> {
    fn take(&mut self, batch: &[(PageUrl, Entry)]) -> Result<(), AuditError> {
        let (closing, resolver) = (self.closing, &self.resolver);
        let searched: Result<Vec<Searched>, AuditError> = batch
            .par_iter()
            .map(|(url, entry)| Ok((url.clone(), references(closing, resolver, url, entry)?)))
            .collect();
        for (page, targets) in searched? {
            let Some(targets) = targets else {
                self.found.unsearched += 1;
                continue;
            };
            self.found.searched += 1;
            for target in targets {
                self.enter(&page, target)?;
            }
        }
        Ok(())
    }

    fn enter(&mut self, page: &PageUrl, target: PageUrl) -> Result<(), AuditError> {
        self.found.references += 1;
        let hash = std::hash::BuildHasher::hash_one(self.known.hasher(), target.as_str());
        if self.known.contains(&hash) {
            return Ok(());
        }
        match self.judge(target.clone())? {
            Target::Stored => {
                if self.known.len() >= KNOWN_MAX {
                    self.known.clear();
                }
                self.known.insert(hash);
            }
            Target::LeftOut => self.found.left_out += 1,
            Target::Broken(why) => {
                let key = [target.as_str().as_bytes(), &[0], page.as_str().as_bytes()].concat();
                let pushed = self.broken.push(&key, why.as_bytes());
                pushed.map_err(AuditError::io(&self.stem))?;
            }
        }
        Ok(())
    }

    fn judge(&self, target: PageUrl) -> Result<Target, ManifestError> {
        let closing = self.closing;
        let manifest = &closing.manifest;
        let mut target = target;
        let mut entry = manifest.entry(&target)?;
        if entry.is_none()
            && let Some(plain) = closing.traps.without_session(&target)
            && let Admission::Page(plain) = closing.scope.admit(plain)
        {
            // The crawl has asked for the page without the visitor's id.
            entry = manifest.entry(&plain)?;
            target = plain;
        }
        if let Some(entry) = entry {
            return Ok(match entry.outcome {
                Outcome::Gone(_) => {
                    Target::Broken(format!("withdrawn in generation {}", entry.changed))
                }
                Outcome::Page(_) | Outcome::Redirect(_) => Target::Stored,
            });
        }
        let robots = closing.robots.get(target.authority());
        if robots.is_some_and(|robots| !robots.allows(&target))
            || closing.traps.of(&target, closing.now).is_some()
        {
            return Ok(Target::LeftOut);
        }
        let pending = manifest.pending_note(&target)?;
        let why = pending.map_or_else(|| "never met by a crawl".to_owned(), |pending| pending.why);
        Ok(Target::Broken(why))
    }
}

/// What a page refers to; `None` where its body cannot be searched.
fn references(
    closing: &Closing,
    resolver: &Resolver,
    url: &PageUrl,
    entry: &Entry,
) -> Result<Option<Vec<PageUrl>>, AuditError> {
    let page = match &entry.outcome {
        Outcome::Page(page) => page,
        Outcome::Redirect(redirect) => {
            let target = resolver.one(url, &redirect.target, Role::Page);
            return Ok(Some(target.map(|found| found.url).into_iter().collect()));
        }
        Outcome::Gone(_) => return Ok(Some(Vec::new())),
    };
    let headers = page
        .headers
        .iter()
        .map(|(name, value)| (name, value.as_bytes()));
    let beside = content::header_links(headers);
    let kind = content::kind(page.headers.content_type(), url.path());
    if !content::has_links(kind) {
        let beside = resolver.beside(url, &beside).into_iter();
        return Ok(Some(beside.map(|found| found.url).collect()));
    }
    let Some(body) = body_of(closing, page)? else {
        return Ok(None);
    };
    let parsed: Parsed = content::parse(
        &Document {
            kind,
            body: &body,
            content: page.content,
            content_type: page.headers.content_type(),
            asked: Asked::default(),
        },
        &CanonicalRules::default(),
    );
    Ok(Some(resolver.every(url, &parsed, &beside)))
}

fn body_of(closing: &Closing, page: &Page) -> Result<Option<bytes::Bytes>, AuditError> {
    if page.size > MARKUP_BYTES_MAX {
        return Ok(None);
    }
    let Some(located) = closing.manifest.locate(&page.content)? else {
        return Ok(None);
    };
    match closing.store.read(&located) {
        Ok(body) => Ok(Some(body)),
        Err(error @ (StoreError::Damaged { .. } | StoreError::Io { .. })) => {
            tracing::warn!(%error, "not searched for links");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Counts the targets, names the first of them, and writes all into the report.
fn gather(mut broken: Sorted, found: &mut Closure, report: Option<&Path>) -> std::io::Result<()> {
    let mut files = report.map(Files::create).transpose()?;
    let mut last: Option<BrokenLink> = None;
    while let Some((key, why)) = broken.next()? {
        let text = String::from_utf8_lossy(&key).into_owned();
        let (target, page) = text.split_once('\0').unwrap_or((&text, ""));
        let why = String::from_utf8_lossy(&why);
        if let Some(files) = &mut files {
            files.add(target, &why, page)?;
        }
        if last.as_ref().is_none_or(|last| last.url != target) {
            found.name(last.take());
            last = Some(BrokenLink {
                url: target.to_owned(),
                why: why.into_owned(),
                pages: 0,
                from: Vec::new(),
            });
        }
        let link = last.as_mut().expect("it was just set");
        link.pages += 1;
        if link.from.len() < PAGES_NAMED_MAX {
            link.from.push(page.to_owned());
        }
    }
    found.name(last);
    files.map_or(Ok(()), Files::finish)
}

impl Closure {
    fn name(&mut self, link: Option<BrokenLink>) {
        let Some(link) = link else { return };
        self.broken += 1;
        if self.links.len() < NAMED_MAX {
            self.links.push(link);
        }
    }
}

/// `links.ndjson` and `links.csv`: a row for each broken link of each page.
struct Files {
    ndjson: BufWriter<File>,
    csv: BufWriter<File>,
}

impl Files {
    fn create(dir: &Path) -> std::io::Result<Files> {
        fs::create_dir_all(dir)?;
        let mut csv = BufWriter::new(File::create(dir.join("links.csv"))?);
        write!(csv, "{}\r\n", LINK_COLUMNS.join(","))?;
        let ndjson = BufWriter::new(File::create(dir.join("links.ndjson"))?);
        Ok(Files { ndjson, csv })
    }

    fn add(&mut self, url: &str, why: &str, page: &str) -> std::io::Result<()> {
        let line = serde_json::json!({ "url": url, "why": why, "page": page });
        writeln!(self.ndjson, "{line}")?;
        let fields = [url, why, page].map(quoted);
        write!(self.csv, "{}\r\n", fields.join(","))
    }

    fn finish(mut self) -> std::io::Result<()> {
        self.ndjson.flush()?;
        self.csv.flush()
    }
}
