//! Which rules a site needs: pages are asked for twice, and where their answers differ is what a crawl would take for
//! a change every night. Nothing is written, no lock is taken: it may be asked while a run is going.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{RunError, house};
use crate::config::{Config, RobotsPolicy};
use crate::content::{
    self, CanonicalRules, Comparison, DeclaredRules, Digest, Document, KeptHeaders, Place, Rule,
};
use crate::crawl::{self, Answer, Caller, Held};
use crate::site::{PageUrl, Scope};

/// Pages asked for at once: all first answers are held until the second ones are there.
pub const PAGES_MAX: usize = 50;

/// Times that each is asked for.
pub const TIMES_MAX: usize = 10;

/// A body that is longer is not compared, as a crawl does not look into it either.
const BODY_MAX: u64 = 16 << 20;

/// For the comparison of one page's answers: a page of 8 MB that is another one each time takes some seconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is to be found out.
pub struct SuggestOrder<'a> {
    pub urls: &'a [PageUrl],
    /// How often each is asked for.
    pub times: usize,
    /// Between two rounds: more than a second, so that times told in seconds differ.
    pub pause: Duration,
    /// Seconds since 1970.
    pub clock: fn() -> i64,
}

/// What was found out.
#[derive(Debug, Clone, Serialize)]
pub struct SuggestReport {
    pub pages: Vec<SuggestPage>,
    /// The rules for all pages that can be used as they are, and those to think about first; each once.
    pub rules: Vec<SuggestRule>,
    /// With the first kind of rules, as they are in the end, all answers of all pages are equal.
    pub suffices: bool,
}

/// What became of one page.
#[derive(Debug, Clone, Serialize)]
pub struct SuggestPage {
    pub url: PageUrl,
    /// What each answer was, in a few words.
    pub answers: Vec<String>,
    /// Why it could not be had, at least once.
    pub not_had: Option<String>,
    /// What differs that no rule can mend, such as two answers of different status.
    pub note: Option<String>,
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl SuggestPage {
    fn differs(&self) -> bool {
        self.note.is_some() || !self.comparison.is_equal()
    }
}

/// A rule, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SuggestRule {
    #[serde(flatten)]
    pub rule: Rule,
    /// Pages that it is for.
    pub urls: Vec<PageUrl>,
    /// Where it matched on the first of them.
    pub place: String,
    /// Why somebody should think about it first.
    pub doubt: Option<String>,
}

impl SuggestReport {
    /// Pages whose answers differ.
    pub fn differing(&self) -> usize {
        self.pages.iter().filter(|page| page.differs()).count()
    }

    /// Pages that could not be had.
    pub fn not_had(&self) -> Vec<&str> {
        let pages = self.pages.iter();
        pages.filter_map(|page| page.not_had.as_deref()).collect()
    }
}

/// Asks for the pages and compares.
///
/// # Errors
/// [`RunError::Config`] for a URL that is no page of the site, with the rule that says so, and for a configuration
/// that cannot be used; [`RunError::Crawl`] of the disk.
pub async fn suggest(config: &Config, order: &SuggestOrder<'_>) -> Result<SuggestReport, RunError> {
    let scope = Scope::new(config.site.scope_rules())?;
    house::pages_of(order.urls, &scope)?;
    let rules = CanonicalRules::new(&config.canonical)
        .map_err(|error| RunError::Config(error.to_string()))?;
    let room = Room::new()?;
    let fetcher = house::fetcher_of(config, &scope, room.path.clone())?;
    let courtesy = house::courtesy_of(&config.crawl)?;
    let memory = crawl::robots_memory(&config.state.dir);
    let mut caller = Caller::new(fetcher, scope, courtesy, memory, order.clock);
    if config.site.robots == RobotsPolicy::Obey {
        caller = caller.obeying(&config.crawl.user_agent);
    }
    let mut told: Vec<Vec<Told>> = order.urls.iter().map(|_| Vec::new()).collect();
    for round in 0..order.times {
        if round > 0 {
            tokio::time::sleep(order.pause).await;
        }
        for (url, told) in order.urls.iter().zip(&mut told) {
            // One that could not be had says nothing, and is not asked for again.
            if told.iter().all(|told| told.not_had.is_none()) {
                told.push(Told::of(caller.ask(url).await?, config));
            }
        }
    }
    let urls = order.urls.iter().cloned();
    let pages: Vec<(PageUrl, Vec<Told>)> = urls.zip(told).collect();
    let declared = config.canonical.clone();
    let compared = move || report(&pages, &rules, &declared);
    tokio::task::spawn_blocking(compared)
        .await
        .expect("comparing does not panic and is never aborted")
}

/// One answer, as far as it is compared.
struct Told {
    /// In a few words: a status, where a redirect leads, or that there was none.
    kind: String,
    not_had: Option<String>,
    body: Option<Body>,
}

struct Body {
    /// In memory within the crawl's budget, or in a file.
    held: Held,
    digest: Digest,
    headers: KeptHeaders,
}

impl Told {
    fn of(answer: Result<Answer, String>, config: &Config) -> Told {
        let mut told = Told {
            kind: "no answer".to_owned(),
            not_had: None,
            body: None,
        };
        match answer {
            Ok(Answer::Body(received)) => {
                let policy = config.site.cache_control.as_deref();
                told.kind = received.status.to_string();
                told.body = Some(Body {
                    held: received.body,
                    digest: received.digest,
                    headers: received.headers.with_cache_control(policy),
                });
            }
            Ok(Answer::Redirect {
                status, location, ..
            }) => told.kind = format!("{status} to {location}"),
            Ok(Answer::Gone { status }) => told.kind = status.to_string(),
            Ok(Answer::NotModified) => unreachable!("no condition was sent"),
            Err(why) => told.not_had = Some(why),
        }
        told
    }

    fn described(&self) -> String {
        match &self.body {
            Some(body) => format!("{}, {} bytes", self.kind, body.digest.size),
            None => self.kind.clone(),
        }
    }

    fn is_gone(&self) -> bool {
        matches!(&*self.kind, "404" | "410")
    }
}

impl Body {
    /// The bytes; `None` where there are too many.
    fn bytes(&self) -> Result<Option<bytes::Bytes>, RunError> {
        match &self.held {
            Held::Memory(bytes, _) => Ok(Some(bytes.clone())),
            Held::File(file) if file.size() <= BODY_MAX => {
                let read = std::fs::read(file.path());
                let bytes = read.map_err(|source| io_error(file.path(), source))?;
                Ok(Some(bytes.into()))
            }
            Held::File(_) => Ok(None),
        }
    }
}

fn report(
    pages: &[(PageUrl, Vec<Told>)],
    rules: &CanonicalRules,
    declared: &DeclaredRules,
) -> Result<SuggestReport, RunError> {
    let mut compared = Vec::with_capacity(pages.len());
    for (url, told) in pages {
        compared.push(compare(url, told, rules, declared)?);
    }
    let mut collected = collected(&compared);
    prune(&mut collected, pages, declared)?;
    keep_to_limits(&mut collected, declared);
    settle(&mut compared, &collected, pages, declared)?;
    let suffices = compared.iter().all(|page| page.comparison.suffices);
    Ok(SuggestReport {
        pages: compared,
        rules: collected,
        suffices,
    })
}

/// The first answer with each of the others; what is found in one is not told again for the next.
fn compare(
    url: &PageUrl,
    told: &[Told],
    rules: &CanonicalRules,
    declared: &DeclaredRules,
) -> Result<SuggestPage, RunError> {
    let mut page = SuggestPage {
        url: url.clone(),
        answers: told.iter().map(Told::described).collect(),
        not_had: told.iter().find_map(|told| told.not_had.clone()),
        note: None,
        comparison: Comparison {
            suffices: true,
            ..Comparison::default()
        },
    };
    let first = &told[0];
    let another = told.iter().find(|told| told.kind != first.kind);
    match another {
        _ if page.not_had.is_some() => return Ok(page),
        Some(other) => {
            let (one, other) = (&first.kind, &other.kind);
            page.note = Some(format!("two kinds of answers: {one}, then {other}"));
        }
        None if first.is_gone() => {
            page.not_had = Some(format!("{url}: the answer was {}", first.kind));
        }
        None => (),
    }
    let mut rules = rules.clone();
    let mut declared = declared.clone();
    for other in &told[1..] {
        let (Some(one), Some(other)) = (&first.body, &other.body) else {
            continue;
        };
        let Some(found) = bodies(url, one, other, &rules)? else {
            page.note = Some("it is too long to be compared".to_owned());
            continue;
        };
        for rule in found.rules() {
            rule.add_to(&mut declared);
        }
        if let Ok(more) = CanonicalRules::new(&declared) {
            rules = more;
        }
        merge(&mut page.comparison, found);
    }
    Ok(page)
}

/// `None` where there is too much of them.
fn bodies(
    url: &PageUrl,
    one: &Body,
    other: &Body,
    rules: &CanonicalRules,
) -> Result<Option<Comparison>, RunError> {
    let mut places = content::compare_headers(&one.headers, &other.headers, rules);
    if one.digest.content == other.digest.content && places.is_empty() {
        return Ok(Some(Comparison {
            suffices: true,
            ..Comparison::default()
        }));
    }
    let (Some(first), Some(second)) = (one.bytes()?, other.bytes()?) else {
        return Ok(None);
    };
    let documents = [(one, &first), (other, &second)];
    let documents = documents.map(|(body, bytes)| document(url, body, bytes));
    let [before, after] = &documents;
    let mut found = content::compare(before, after, rules, Instant::now() + PATIENCE);
    let sure = |place: &Place| {
        let proposal = place.proposal.as_ref();
        proposal.is_some_and(|proposal| proposal.doubt.is_none())
    };
    found.suffices &= places.iter().all(sure);
    places.append(&mut found.places);
    Ok(Some(Comparison { places, ..found }))
}

fn document<'a>(url: &PageUrl, body: &'a Body, bytes: &'a bytes::Bytes) -> Document<'a> {
    let content_type = body.headers.content_type();
    Document {
        kind: content::kind(content_type, url.path()),
        body: bytes,
        content: body.digest.content,
        content_type,
        asked: content::Asked::default(),
    }
}

/// Adds what a further answer has shown, but for what is known.
fn merge(all: &mut Comparison, found: Comparison) {
    for place in found.places {
        let is_alike = |known: &&Place| {
            (&known.kin, &known.part, known.look) == (&place.kin, &place.part, place.look)
                && known.proposal == place.proposal
        };
        if !all.places.iter().any(|known| is_alike(&known)) {
            all.places.push(place);
        }
    }
    all.left_out = all.left_out.max(found.left_out);
    all.suffices &= found.suffices;
}

/// The rules of all pages, each once: those for most pages first, those with a doubt last.
fn collected(pages: &[SuggestPage]) -> Vec<SuggestRule> {
    let mut found: BTreeMap<&Rule, SuggestRule> = BTreeMap::new();
    for page in pages {
        for place in &page.comparison.places {
            let Some(proposal) = &place.proposal else {
                continue;
            };
            let rule = found.entry(&proposal.rule).or_insert_with(|| SuggestRule {
                rule: proposal.rule.clone(),
                urls: Vec::new(),
                place: place.described(),
                doubt: proposal.doubt.clone(),
            });
            if rule.urls.last() != Some(&page.url) {
                rule.urls.push(page.url.clone());
            }
            // What one page is sure of, another may have as its content.
            rule.doubt = rule.doubt.take().or_else(|| proposal.doubt.clone());
        }
    }
    let mut rules: Vec<SuggestRule> = found.into_values().collect();
    rules.sort_by_key(|rule| (rule.doubt.is_some(), std::cmp::Reverse(rule.urls.len())));
    rules
}

/// Leaves out what the other rules do already: one page may have needed a longer pattern than another.
fn prune(
    rules: &mut Vec<SuggestRule>,
    pages: &[(PageUrl, Vec<Told>)],
    declared: &DeclaredRules,
) -> Result<(), RunError> {
    let mut at = rules.len();
    while at > 0 {
        at -= 1;
        if rules[at].doubt.is_some() {
            continue;
        }
        let others = rules
            .iter()
            .enumerate()
            .filter(|(other, rule)| *other != at && rule.doubt.is_none());
        let mut less = declared.clone();
        others.for_each(|(_, rule)| rule.rule.add_to(&mut less));
        let Ok(less) = CanonicalRules::new(&less) else {
            continue;
        };
        let mut is_needed = false;
        for (url, told) in pages.iter().filter(|(url, _)| rules[at].urls.contains(url)) {
            is_needed |= !is_one(url, told, &less)?;
        }
        if !is_needed {
            rules.remove(at);
        }
    }
    Ok(())
}

/// Whether all answers of a page are the same under these rules.
fn is_one(url: &PageUrl, told: &[Told], rules: &CanonicalRules) -> Result<bool, RunError> {
    let bodies = || told.iter().filter_map(|told| told.body.as_ref());
    let raw = |body: &Body| (body.digest.content, body.headers.canonical(rules));
    let mut raws = bodies().map(raw);
    let same = raws.next();
    // However long they are.
    if raws.all(|other| Some(&other) == same.as_ref()) {
        return Ok(true);
    }
    let mut first = None;
    for body in bodies() {
        let Some(bytes) = body.bytes()? else {
            return Ok(false);
        };
        let canonical = content::parse(&document(url, body, &bytes), rules).canonical;
        let form = (canonical, body.headers.canonical(rules));
        if *first.get_or_insert_with(|| form.clone()) != form {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What can be said only now that it is known which rules the table has: a rule that another page has as its content is
/// doubtful on this one, too, and a page's answers are equal only by rules that are in force.
fn settle(
    compared: &mut [SuggestPage],
    rules: &[SuggestRule],
    pages: &[(PageUrl, Vec<Told>)],
    declared: &DeclaredRules,
) -> Result<(), RunError> {
    let mut declared = declared.clone();
    for rule in rules.iter().filter(|rule| rule.doubt.is_none()) {
        rule.rule.add_to(&mut declared);
    }
    let in_force = CanonicalRules::new(&declared).ok();
    for (page, (url, told)) in compared.iter_mut().zip(pages) {
        for proposal in page
            .comparison
            .places
            .iter_mut()
            .filter_map(|place| place.proposal.as_mut())
        {
            let known = rules.iter().find(|rule| rule.rule == proposal.rule);
            let doubt = known.and_then(|rule| rule.doubt.as_ref());
            proposal.doubt = proposal.doubt.take().or_else(|| doubt.cloned());
        }
        let is_equal = match &in_force {
            Some(rules) => is_one(url, told, rules)?,
            None => page.comparison.is_equal(),
        };
        page.comparison.suffices = page.note.is_none() && is_equal;
    }
    Ok(())
}

/// A table has room for so many rules; those that do not fit are left to the operator's choice.
fn keep_to_limits(rules: &mut [SuggestRule], declared: &DeclaredRules) {
    let mut declared = declared.clone();
    for rule in rules.iter_mut().filter(|rule| rule.doubt.is_none()) {
        let mut more = declared.clone();
        rule.rule.add_to(&mut more);
        match CanonicalRules::new(&more) {
            Ok(_) => declared = more,
            Err(error) => rule.doubt = Some(format!("there is no room for it: {error}")),
        }
    }
}

/// Where bodies lie that do not stay in memory; nobody else can look into it. Gone with this, which a signal that can be
/// heard ends, too.
struct Room {
    path: PathBuf,
}

impl Room {
    fn new() -> Result<Room, RunError> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system has randomness");
        let name = format!("standin-suggest-{:016x}", u64::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        // The folder above is everybody's, and pages may be seen by some only.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|source| io_error(&path, source))?;
        Ok(Room { path })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "left behind");
        }
    }
}

fn io_error(path: &Path, source: std::io::Error) -> RunError {
    RunError::Io {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn nobody_else_can_look_into_the_room_and_it_goes() {
        let room = Room::new().unwrap();
        let path = room.path.clone();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(path.join("body"), "x").unwrap();
        drop(room);
        assert!(!path.exists());
    }
}
