//! What is recorded of a page: its entry, and how it came to be so, from the change log.

use serde::Serialize;

use super::sheet::Sheet;
use crate::cli::render;
use crate::content::ContentHash;
use crate::manifest::{Change, Entry, Generation, Gone, Manifest, ManifestError, Outcome};
use crate::run;
use crate::site::PageUrl;

/// Changes that are told, the newest. Each costs two records, however many generations there are.
const HISTORY_MAX: usize = 20;

/// Hexadecimal digits of a hash that tell two versions of a page apart.
const HASH_DIGITS: usize = 10;

/// An entry as documents show it. The names are a promise; what an outcome does not have is null.
#[derive(Serialize)]
pub struct Recorded {
    /// `page`, `redirect` or `gone`.
    kind: &'static str,
    /// The HTTP status; 0 for a page that was retired.
    status: u16,
    /// BLAKE3 of the body, and of its canonical form, in hexadecimal.
    content: Option<ContentHash>,
    canonical: Option<ContentHash>,
    /// Version of the rules of the canonical form.
    rules: Option<u32>,
    /// CRC32C of the body, eight hexadecimal digits.
    crc32c: Option<String>,
    size: Option<u64>,
    content_type: Option<String>,
    /// Pairs of name and value, as they are served.
    headers: Vec<(String, String)>,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Where a redirect leads.
    target: Option<String>,
    /// The generation that brought this outcome, and the one in which the URL was first recorded.
    changed: Generation,
    first: Generation,
    /// When the answer came (RFC 3339); null where that was not recorded.
    fetched: Option<String>,
}

impl Recorded {
    pub fn of(entry: &Entry) -> Recorded {
        let mut recorded = Recorded {
            kind: "gone",
            status: 0,
            content: None,
            canonical: None,
            rules: None,
            crc32c: None,
            size: None,
            content_type: None,
            headers: Vec::new(),
            etag: None,
            last_modified: None,
            target: None,
            changed: entry.changed,
            first: entry.first,
            fetched: entry.fetched.map(run::rfc3339),
        };
        match &entry.outcome {
            Outcome::Page(page) => {
                let headers = page.headers.iter();
                recorded.kind = "page";
                recorded.status = page.status;
                recorded.content = Some(page.content);
                recorded.canonical = Some(page.canonical);
                recorded.rules = Some(page.rules);
                recorded.crc32c = Some(format!("{:08x}", page.crc32c));
                recorded.size = Some(page.size);
                recorded.content_type = page.headers.content_type().map(str::to_owned);
                recorded.headers = headers.map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                recorded.etag.clone_from(&page.etag);
                recorded.last_modified.clone_from(&page.last_modified);
            }
            Outcome::Redirect(redirect) => {
                recorded.kind = "redirect";
                recorded.status = redirect.status;
                recorded.target = Some(redirect.target.clone());
            }
            Outcome::Gone(gone) => recorded.status = gone.status,
        }
        recorded
    }

    pub fn in_short(&self) -> String {
        match (self.kind, &self.target, self.size, &self.content) {
            ("page", _, Some(size), Some(content)) => format!(
                "{} {}, {}, {}",
                self.status,
                self.content_type.as_deref().unwrap_or("without a type"),
                render::bytes(size),
                &content.to_string()[..HASH_DIGITS]
            ),
            (_, Some(target), ..) => format!("{} to {target}", self.status),
            _ if self.status == Gone::RETIRED => {
                "retired: nothing had named it for crawl.retire_after_days".into()
            }
            _ => format!("gone ({})", self.status),
        }
    }
}

/// How a page came to be what it is, newest first.
#[derive(Serialize)]
#[serde(transparent)]
pub struct History {
    changes: Vec<Told>,
    #[serde(skip)]
    has_more: bool,
}

/// One change.
#[derive(Serialize)]
struct Told {
    generation: Generation,
    /// When it was committed (RFC 3339), and by which run; null where that is not recorded any more.
    at: Option<String>,
    run: Option<String>,
    /// `new`, `changed`, `gone` or `back`.
    what: &'static str,
    before: Option<Recorded>,
    after: Recorded,
}

impl History {
    pub fn of(manifest: &Manifest, url: &PageUrl) -> Result<History, ManifestError> {
        let mut changes = Vec::new();
        for change in manifest.changes_of(url).take(HISTORY_MAX + 1) {
            let (generation, change) = change?;
            changes.push(Told::of(manifest, generation, &change)?);
        }
        let has_more = changes.len() > HISTORY_MAX;
        changes.truncate(HISTORY_MAX);
        Ok(History { changes, has_more })
    }

    fn tell(&self, sheet: &mut Sheet) {
        for (index, told) in self.changes.iter().enumerate() {
            sheet.line(if index == 0 { "history" } else { "" }, &told.told());
        }
        if self.has_more {
            sheet.line("", "and before that more often");
        }
    }
}

impl Told {
    fn of(
        manifest: &Manifest,
        generation: Generation,
        change: &Change,
    ) -> Result<Told, ManifestError> {
        let record = manifest.generation_record(generation)?;
        let is_live = change.after.outcome.is_live();
        let before = change.before.as_ref();
        let what = match before.map(|entry| entry.outcome.is_live()) {
            None => "new",
            Some(true) if is_live => "changed",
            Some(false) if is_live => "back",
            Some(_) => "gone",
        };
        Ok(Told {
            generation,
            at: record
                .as_ref()
                .map(|record| run::rfc3339(record.committed_at)),
            run: record.map(|record| record.run.0),
            what,
            before: before.map(Recorded::of),
            after: Recorded::of(&change.after),
        })
    }

    fn told(&self) -> String {
        let Told {
            generation, what, ..
        } = self;
        let at = self.at.as_deref().map(|at| format!(", {at}"));
        let at = at.unwrap_or_default();
        let after = self.after.in_short();
        match (&self.before, *what) {
            (Some(before), "changed") => {
                format!(
                    "generation {generation}{at}: {} → {after}",
                    before.in_short()
                )
            }
            (_, "back") => format!("generation {generation}{at}: back, {after}"),
            (_, "new") => format!("generation {generation}{at}: new, {after}"),
            _ => format!("generation {generation}{at}: {after}"),
        }
    }
}

/// How often in a row a stored page was not there lately.
#[derive(Serialize)]
pub struct Missed {
    status: u16,
    crawls: u32,
}

pub fn missing(manifest: &Manifest, url: &PageUrl) -> Result<Option<Missed>, ManifestError> {
    let missing = manifest.missing(url)?;
    let lately = missing.filter(|missing| missing.crawl == manifest.about().crawls);
    Ok(lately.map(|missing| Missed {
        status: missing.status,
        crawls: missing.strikes,
    }))
}

pub fn tell(sheet: &mut Sheet, entry: Option<&Entry>, history: &History, missing: Option<&Missed>) {
    let Some(entry) = entry else {
        sheet.line("entry", "none: never stored");
        return;
    };
    let recorded = Recorded::of(entry);
    sheet.line("entry", &recorded.in_short());
    if let Some(content) = &recorded.content {
        sheet.line("", &format!("BLAKE3 {content}"));
    }
    if let Some(fetched) = &recorded.fetched {
        sheet.line("", &format!("fetched {fetched}"));
    }
    if let Some(missing) = missing {
        let Missed { status, crawls } = missing;
        let told = format!("answered {status} in the last {crawls} crawls, kept for now");
        sheet.line("missing", &told);
    }
    history.tell(sheet);
}
