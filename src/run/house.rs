//! What a run works with, opened from the configuration: manifest, store, tiers, and the rules of the
//! site as values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use regex::RegexSet;

use super::RunError;
use super::lock::Lock;
use crate::config::{Config, CrawlConfig, StrategyName, TierConfig, TierName, TierTarget};
use crate::content::{CanonicalRules, MirrorHeader, MirrorHeaderError, RulesError};
use crate::crawl::{
    Answer, Answered, Ask, Budget, Courtesy, FetchError, FetchLimits, Fetcher, FormOrder,
    LastmodRules, QuietHours, Strategy, TrapLimits,
};
use crate::db::Fuse;
use crate::http::{self, ClientOptions};
use crate::manifest::{Left, Manifest, ManifestError, Meta, RunId};
use crate::site::{Admission, Layout, PageUrl, Scheme, Scope};
use crate::store::Store;
use crate::tier::{DirectoryTier, GcsTier, S3Tier, Tier, TierError};

/// Bodies above this never wait in memory; markup up to here is parsed from memory.
const BODY_IN_MEMORY_MAX: usize = 8 << 20;

const DAY_SECONDS: u64 = 86_400;

/// The open state directory.
pub struct House {
    pub manifest: Arc<Manifest>,
    pub store: Store,
}

impl House {
    /// Opens manifest and store. A commit that a kill left half done is taken back: its staging is
    /// still in the frontier, and the resumed run folds it in again.
    ///
    /// # Errors
    /// What manifest and store say; [`RunError::Locked`] is the lock's business, not this one's.
    pub fn open(config: &Config, fuse: Fuse) -> Result<House, RunError> {
        let manifest = manifest_of(config, fuse.clone())?;
        Ok(House {
            store: Store::open(&config.state.dir.join("store"), fuse)?,
            manifest: Arc::new(manifest),
        })
    }

    /// Closes the manifest, and leaves beside it how the tiers stand.
    ///
    /// # Errors
    /// What the manifest says.
    pub fn close(self, config: &Config) -> Result<(), RunError> {
        let manifest = Arc::into_inner(self.manifest).expect("whoever worked with it has ended");
        Ok(close(manifest, config)?)
    }
}

/// The manifest alone, as a killed run must not leave it: a commit that is half done is taken back.
///
/// # Errors
/// What the manifest says.
pub fn manifest_of(config: &Config, fuse: Fuse) -> Result<Manifest, ManifestError> {
    let manifest = Manifest::open(&config.state.dir, &layout_of(config), fuse)?;
    manifest.roll_back()?;
    Ok(manifest)
}

/// Closes the manifest with a word about the configured tiers.
///
/// # Errors
/// What the manifest says.
pub fn close(manifest: Manifest, config: &Config) -> Result<(), ManifestError> {
    manifest.close(&names(config))
}

/// As [`close`], for a process that ends now.
///
/// # Errors
/// What the manifest says.
pub fn leave(manifest: Manifest, config: &Config) -> (Left, Result<(), ManifestError>) {
    manifest.leave(&names(config))
}

fn names(config: &Config) -> Vec<TierName> {
    let tiers = config.tiers.iter();
    tiers.map(|tier| tier.name.clone()).collect()
}

/// Opens the manifest with the layout that the mirror has, whatever the configuration says.
///
/// # Errors
/// What the manifest says.
pub fn manifest_as_recorded(config: &Config, fuse: Fuse) -> Result<Manifest, RunError> {
    let manifest = Manifest::open_as_recorded(&config.state.dir, &layout_of(config), fuse)?;
    manifest.roll_back()?;
    Ok(manifest)
}

/// Takes the configured layout on, if the mirror has another. Each tier is moved by its next sync.
///
/// # Errors
/// [`RunError::Locked`] while a run is going, and what the manifest says.
pub fn migrate_layout(config: &Config, fuse: Fuse) -> Result<(), RunError> {
    let run = RunId("migrate-layout".into());
    let _lock = Lock::acquire(&config.state.dir, "run", &run)?;
    let mut manifest = manifest_as_recorded(config, fuse)?;
    let wanted = layout_of(config);
    if *manifest.layout() != wanted {
        let tiers: Vec<_> = config.tiers.iter().map(|tier| tier.name.clone()).collect();
        manifest.relayout(&wanted, &tiers)?;
    }
    Ok(())
}

/// The layout that the configuration asks for.
pub fn layout_of(config: &Config) -> Layout {
    Layout::new(config.site.layout, config.site.asset_hosts.iter().cloned())
}

/// The client of one tier.
///
/// # Errors
/// Why it cannot be made, such as missing credentials.
pub fn tier_of(config: &TierConfig) -> Result<Arc<dyn Tier>, TierError> {
    let name = config.name.clone();
    Ok(match &config.target {
        TierTarget::Directory(root) => Arc::new(DirectoryTier::new(name, root.clone())),
        TierTarget::S3(options) => Arc::new(S3Tier::new(name, options, config.concurrency_max)?),
        TierTarget::Gcs(options) => Arc::new(GcsTier::new(name, options, config.concurrency_max)?),
    })
}

/// The fetcher of a crawl. `scope` says which private addresses are permitted: those named. Large bodies go to files
/// in `incoming`.
///
/// # Errors
/// [`RunError::Http`] for headers or settings that no client can have.
pub fn fetcher_of(config: &Config, scope: &Scope, incoming: PathBuf) -> Result<Fetcher, RunError> {
    let hosts = scope.clone();
    let permits_private: http::client::PermitsPrivate =
        Arc::new(move |host: &str| hosts.permits_private(host));
    let headers = config.site.headers.iter();
    let client = http::client(&ClientOptions {
        user_agent: config.crawl.user_agent.clone(),
        connect_timeout: Duration::from_secs(config.crawl.connect_timeout_s),
        headers: headers
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
            .collect(),
        permits_private: Arc::clone(&permits_private),
        ..ClientOptions::default()
    })?;
    let limits = FetchLimits {
        answer_timeout: Duration::from_secs(config.crawl.answer_timeout_s),
        idle_timeout: Duration::from_secs(config.crawl.idle_timeout_s),
        body_max: config.crawl.body_max,
        memory_max: BODY_IN_MEMORY_MAX,
        ratio_max: config.crawl.decompression_ratio_max,
        disk_free_min: config.crawl.disk_free_min,
        attempts: config.crawl.attempts,
        ..FetchLimits::default()
    };
    let mirrors: Result<Vec<MirrorHeader>, _> = config
        .crawl
        .mirror_headers
        .iter()
        .map(|text| text.parse())
        .collect();
    let mirrors =
        mirrors.map_err(|error: MirrorHeaderError| RunError::Config(error.to_string()))?;
    let budget = Budget::new(usize::try_from(config.crawl.memory).unwrap_or(usize::MAX));
    let fetcher = Fetcher::new(client, limits, budget, incoming);
    Ok(fetcher
        .permitting_private(permits_private)
        .also_keeping(config.site.keep_headers.clone())
        .refusing_mirrors(mirrors))
}

/// The scope with each host's identity: what earlier runs found out, else the seeds' schemes.
///
/// # Errors
/// [`RunError::Config`].
pub fn scope_of(config: &Config, meta: &Meta) -> Result<Scope, RunError> {
    let mut rules = config.site.scope_rules();
    rules.identity.extend(meta.identity.iter().cloned());
    Ok(Scope::new(rules)?)
}

/// Finds out, once in a mirror's life, under which scheme each host is known: a seed that redirects to
/// itself in the other scheme is known under that one. What the seeds have answered is given back, so that nobody asks
/// them again.
///
/// # Errors
/// What the manifest says. Inside: no seed can be reached at all, so there is no point in going on;
/// a seed that answers something else decides nothing.
pub async fn identify(
    config: &Config,
    manifest: &Manifest,
    fetcher: &Fetcher,
) -> Result<Result<Vec<Answered>, FetchError>, RunError> {
    let known: BTreeMap<String, Scheme> = manifest.about().identity.into_iter().collect();
    let rules = config.site.scope_rules();
    let mut found = known.clone();
    let mut answers = Vec::new();
    for seed in &config.site.seeds {
        if !found.contains_key(seed.authority()) {
            let answered = ask(seed, fetcher).await;
            let scheme = identity_of(&answered);
            found.extend(scheme.map(|scheme| (seed.authority().to_owned(), scheme)));
            answers.push(answered);
        }
    }
    if found.is_empty()
        && let Some(Answered {
            result: Err(error), ..
        }) = answers.pop()
    {
        return Ok(Err(error));
    }
    let default = config
        .site
        .seeds
        .first()
        .and_then(|seed| found.get(seed.authority()));
    let default = default.copied().unwrap_or(rules.identity_default);
    for host in &config.site.hosts {
        found.entry(host.clone()).or_insert(default);
    }
    if found != known {
        manifest.amend(|meta| meta.identity = found.into_iter().collect())?;
    }
    Ok(Ok(answers))
}

async fn ask(seed: &PageUrl, fetcher: &Fetcher) -> Answered {
    let ask = Ask {
        url: seed,
        etag: None,
        last_modified: None,
    };
    let result = fetcher.fetch(ask).await;
    Answered {
        url: seed.clone(),
        at: super::now(),
        result,
    }
}

/// `None` when the host does not answer.
fn identity_of(answered: &Answered) -> Option<Scheme> {
    let seed = &answered.url;
    let location = match &answered.result {
        Ok(Answer::Redirect { location, .. }) => location,
        Err(error) if error.is_connection() => return None,
        _ => return Some(seed.scheme()),
    };
    match seed.join(location) {
        Ok(target) if target.with_scheme(seed.scheme()) == *seed => Some(target.scheme()),
        _ => Some(seed.scheme()),
    }
}

/// Refuses a folder that the run itself would write into, or out of which it would copy a copy.
///
/// # Errors
/// [`RunError::Config`].
pub fn check_folder(folder: &Path, config: &Config) -> Result<(), RunError> {
    let tiers = config.tiers.iter().filter_map(|tier| match &tier.target {
        TierTarget::Directory(root) => Some((format!("tier {}", tier.name), root)),
        _ => None,
    });
    let state = ("`state.dir`".to_owned(), &config.state.dir);
    let inside = real(folder);
    for (what, place) in std::iter::once(state).chain(tiers) {
        let place = real(place);
        if place.starts_with(&inside) || inside.starts_with(&place) {
            return Err(RunError::Config(format!(
                "{what} ({}) and the folder to be published ({}) lie in each other; keep them apart",
                place.display(),
                inside.display()
            )));
        }
    }
    Ok(())
}

/// The path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => real(parent).join(name),
        (_, Some(name)) => real(Path::new(".")).join(name),
        _ => path.to_owned(),
    }
}

/// The scope of a folder that stands for the first of the hosts. How that host is known stays as it is; where
/// nothing is known yet, it is recorded now.
///
/// # Errors
/// [`RunError::Config`], and what the manifest says.
pub fn identify_folder(config: &Config, manifest: &Manifest) -> Result<Scope, RunError> {
    let scope = scope_of(config, &manifest.about())?;
    let home = home_of(config, &scope)?;
    let host = first_host(config)?;
    let is_known = |meta: &Meta| meta.identity.iter().any(|(known, _)| known == host);
    if !is_known(&manifest.about()) {
        let known = (host.to_owned(), home.scheme());
        manifest.amend(|meta| meta.identity.push(known))?;
    }
    Ok(scope)
}

/// The home page of the first of the hosts, whether it is denied or not.
///
/// # Errors
/// [`RunError::Config`].
pub fn home_of(config: &Config, scope: &Scope) -> Result<PageUrl, RunError> {
    let host = first_host(config)?;
    let home = PageUrl::parse(&format!("https://{host}/"));
    let home = home.map_err(|error| RunError::Config(error.to_string()))?;
    Ok(match scope.admit(home.clone()) {
        Admission::Page(home) => home,
        Admission::Outside(_) => home,
    })
}

fn first_host(config: &Config) -> Result<&str, RunError> {
    let first = config.site.hosts.first().map(String::as_str);
    first.ok_or_else(|| {
        RunError::Config("`site.hosts` is empty; name the host whose pages these are".into())
    })
}

/// The pages that were asked for by hand, each once and in the spelling under which the mirror knows it.
///
/// # Errors
/// [`RunError::Config`] for the first that is outside, with the rule that decides so.
pub fn pages_of(urls: &[PageUrl], scope: &Scope) -> Result<Vec<PageUrl>, RunError> {
    let mut pages = Vec::with_capacity(urls.len());
    for url in urls {
        match scope.admit(url.clone()) {
            Admission::Page(page) if pages.contains(&page) => (),
            Admission::Page(page) => pages.push(page),
            Admission::Outside(rule) => {
                return Err(RunError::Config(format!(
                    "{url} is no page of this site: {rule}; leave it out, or change [site]"
                )));
            }
        }
    }
    Ok(pages)
}

/// How hosts are treated.
///
/// # Errors
/// [`RunError::Config`] for quiet hours that are none.
pub fn courtesy_of(crawl: &CrawlConfig) -> Result<Courtesy, RunError> {
    let quiet = QuietHours::parse(&crawl.quiet_hours);
    Ok(Courtesy {
        concurrency: crawl.concurrency,
        rate: crawl.rate_per_second,
        attempts: crawl.attempts,
        quiet: quiet.map_err(|problem| RunError::Config(problem.to_string()))?,
        ..Courtesy::default()
    })
}

/// Which stored pages are asked for.
pub fn strategy_of(crawl: &CrawlConfig) -> Strategy {
    match crawl.strategy {
        StrategyName::Full => Strategy::Full,
        StrategyName::Lastmod => Strategy::Lastmod(LastmodRules {
            max_age: Duration::from_secs(crawl.max_age_days.saturating_mul(DAY_SECONDS)),
            refetch_share: crawl.refetch_share,
        }),
    }
}

/// What looks endless.
pub fn traps_of(crawl: &CrawlConfig) -> TrapLimits {
    let usual = TrapLimits::default();
    TrapLimits {
        segments_max: crawl.path_segments_max,
        repeats_max: crawl.segment_repeats_max,
        variants_max: crawl.query_variants_max,
        session_parameters: match &crawl.session_parameters {
            Some(names) => names.clone(),
            None => usual.session_parameters,
        },
    }
}

/// Whose forms are filled in.
///
/// # Errors
/// [`RunError::Config`] for patterns that are too large together.
pub fn forms_of(crawl: &CrawlConfig) -> Result<FormOrder, RunError> {
    let pages = RegexSet::new(&crawl.forms);
    Ok(FormOrder {
        pages: pages.map_err(|error| RunError::Config(format!("`crawl.forms`: {error}")))?,
        max: usize::try_from(crawl.forms_max).unwrap_or(usize::MAX),
    })
}

/// One robots.txt per host of the site.
pub fn robots_urls(scope: &Scope, meta: &Meta) -> Vec<PageUrl> {
    let urls = meta.identity.iter().filter_map(|(authority, scheme)| {
        PageUrl::parse(&format!("{}://{authority}/robots.txt", scheme.as_str())).ok()
    });
    let mut urls: Vec<PageUrl> = urls
        .filter(|url| matches!(scope.admit(url.clone()), Admission::Page(page) if page == *url))
        .collect();
    urls.dedup();
    urls
}

/// All versions of the canonical form, and which of them is today's; recorded when that is new. Rules that come back are
/// the version that they were.
///
/// # Errors
/// [`RunError::Config`] for a rule that cannot work, and what the manifest says.
pub fn rules_of(
    config: &Config,
    manifest: &Manifest,
) -> Result<(Vec<CanonicalRules>, usize), RunError> {
    let refused = |error: RulesError| RunError::Config(format!("canonical form: {error}"));
    let today = CanonicalRules::new(&config.canonical).map_err(refused)?;
    let mut versions = manifest.about().rules;
    let lines = today.lines();
    let known = versions.iter().position(|known| *known == lines);
    let current = known.unwrap_or(versions.len());
    if known.is_none() {
        versions.push(lines);
        manifest.amend(|meta| meta.rules.clone_from(&versions))?;
    }
    let recorded = versions.iter();
    let compiled = recorded.map(|lines| CanonicalRules::from_lines(lines).map_err(refused));
    Ok((compiled.collect::<Result<_, _>>()?, current))
}
