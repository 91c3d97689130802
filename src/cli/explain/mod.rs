//! `standin explain URL`: everything the mirror knows of one page, and what decides about it. Whether it is a page of
//! the site and by which rule (`crawled`), under which key it lies and who can ask for it (`keys`), what is recorded
//! of it now and was before (`record`), and what each tier has of it (`tiers`).

mod crawled;
mod keys;
mod record;
mod sheet;
mod tiers;

use super::Outcome;
use super::args::Args;
use crate::config::{self, Config};
use crate::db::Fuse;
use crate::manifest::{Entry, Pending, RunId};
use crate::run::{self, House, Lock, RunError};
use crate::site::{Admission, PageUrl, Scope};

use crawled::Crawled;
use keys::{Keys, Shared};
use record::{History, Recorded};
use sheet::Sheet;
use tiers::Holding;

pub fn main(args: &Args, asked: &str) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let parsed = PageUrl::parse(asked)?;
    let _lock = Lock::acquire(&config.state.dir, "explain", &RunId("explain".into()))?;
    let house = House::open(&config, Fuse::none())?;
    let manifest = &house.manifest;
    let scope = run::scope_of(&config, &manifest.about())?;
    let subject = Subject::of(&config, &scope, asked, parsed);
    let url = &subject.url;
    let entry = manifest.entry(url).map_err(RunError::from)?;
    let pending = manifest.pending_note(url).map_err(RunError::from)?;
    let keys = Keys::of(manifest.layout(), url);
    let shared = Shared::of(manifest, url, &keys.key).map_err(RunError::from)?;
    let history = History::of(manifest, url).map_err(RunError::from)?;
    let recorded = entry.as_ref().map(Recorded::of);
    let missing = record::missing(manifest, url).map_err(RunError::from)?;
    let tiers = tiers::all(&config, manifest, url, entry.as_ref(), shared.as_ref())?;

    let mut sheet = Sheet::new(url.as_str());
    subject.tell(&mut sheet);
    if let Some(pending) = &pending {
        sheet.line("not had", &not_had(pending));
    }
    keys.tell(&mut sheet);
    if let Some(shared) = &shared {
        shared.tell(&mut sheet);
    }
    record::tell(&mut sheet, entry.as_ref(), &history, missing.as_ref());
    tiers
        .iter()
        .for_each(|tier: &Holding| tier.tell(&mut sheet));
    let told = Outcome {
        code: 0,
        text: sheet.text(),
        json: serde_json::json!({
            "url": url,
            "asked": asked,
            "spelling": subject.spelling,
            "in_scope": subject.in_scope,
            "rule": subject.rule,
            "private": subject.private,
            "robots": subject.crawled.robots,
            "trap": subject.crawled.trap,
            "strategy": subject.crawled.strategy,
            "seen": subject.crawled.seen,
            "forms": subject.crawled.forms,
            "pending": pending,
            "key": keys.key,
            "keys": keys.by_layout,
            "cdn": keys.cdn,
            "shared": shared,
            "entry": recorded,
            "missing": missing,
            "history": history,
            "tiers": tiers,
        }),
    };
    // What lies beside the database for plans speaks of it as it was before it was opened.
    if let Err(error) = house.close(&config) {
        tracing::warn!(%error, "the next plan opens the database again");
    }
    Ok(told)
}

/// The URL that was asked about, and what the configuration says of it.
struct Subject<'a> {
    asked: &'a str,
    /// Under which the mirror knows it.
    url: PageUrl,
    in_scope: bool,
    rule: String,
    /// What made another URL of the one that was asked about.
    spelling: Option<String>,
    private: Option<String>,
    crawled: Crawled,
}

impl<'a> Subject<'a> {
    fn of(config: &Config, scope: &Scope, asked: &'a str, parsed: PageUrl) -> Subject<'a> {
        let rule = scope.explain(&parsed).to_string();
        let (url, in_scope) = match scope.admit(parsed.clone()) {
            Admission::Page(page) => (page, true),
            Admission::Outside(_) => (parsed.clone(), false),
        };
        let permits = {
            let scope = scope.clone();
            move |host: &str| scope.permits_private(host)
        };
        let is_permitted = crate::http::client::address_permitted(url.host(), &permits);
        Subject {
            asked,
            in_scope,
            rule,
            spelling: respelt(config, &parsed, &url),
            private: (!is_permitted).then(|| {
                format!(
                    "{} is a private address: a crawl goes there only if `hosts` names it",
                    url.host()
                )
            }),
            crawled: Crawled::of(config, &url, in_scope),
            url,
        }
    }

    fn tell(&self, sheet: &mut Sheet) {
        if self.url.as_str() != self.asked {
            sheet.line(
                "asked",
                &format!("{}: known under the URL above", self.asked),
            );
        }
        if let Some(spelling) = &self.spelling {
            sheet.line("", spelling);
        }
        let outside = if self.in_scope { "" } else { "outside: " };
        sheet.line("rule", &format!("{outside}{}", self.rule));
        if let Some(private) = &self.private {
            sheet.line("private", private);
        }
        self.crawled.tell(sheet);
    }
}

/// Why the scope knows a page under another URL than the one asked about, apart from how it was written.
fn respelt(config: &Config, asked: &PageUrl, url: &PageUrl) -> Option<String> {
    let mut reasons = Vec::new();
    if asked.scheme() != url.scheme() {
        reasons.push(format!("{} is the scheme of this host", url.scheme()));
    }
    if asked.query() != url.query() {
        reasons.push(match config.site.query.as_deref() {
            None => "parameters are sorted by name, and empty ones dropped".into(),
            Some([]) => "`site.query` keeps no parameter".into(),
            Some(kept) => format!("`site.query` keeps {} only", kept.join(", ")),
        });
    }
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// What became of a page that is none yet.
fn not_had(pending: &Pending) -> String {
    match &pending.from {
        Some(from) => format!("{} (linked from {from})", pending.why),
        None => pending.why.clone(),
    }
}

/// The outcome of an entry in a few words.
fn in_short(entry: Option<&Entry>) -> String {
    entry.map_or_else(|| "nothing".into(), |entry| Recorded::of(entry).in_short())
}
