//! The configuration: what `standin.toml` may say, its defaults, and what each value must keep to.
//!
//! The file is read once, at the start ([`load()`]); everybody else gets these typed values and may
//! trust them. Whatever is wrong with a file is one line that names the file, the line, the field
//! and the way out. Secrets come from the environment or from files of their own, never from the
//! configuration file, and are wrapped in [`Secret`] before they leave this room. `mirror` and
//! `demo` need no file: [`for_mirror`] and [`for_tiers`] make what a file would have said.

mod canonical_section;
mod crawl_section;
mod document;
mod load;
mod names;
mod schema;
mod secret;
mod site_section;
mod source;
mod template;
mod tier_section;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use document::visible;
pub use load::load;
pub use names::{TierName, TierNameError};
pub use secret::Secret;
pub use template::{TEMPLATE, init};

use crate::content::DeclaredRules;
use crate::site::{LayoutName, PageUrl, Scheme, ScopeRules};

/// A number of bytes as it is written in the file, such as `50MB` or `64 MiB`.
pub fn parse_size(text: &str) -> Option<u64> {
    schema::Size::parse(text).map(|size| size.0)
}

/// Everything one mirror is configured with. Paths are resolved against the file's folder.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from; `None` when there was none.
    pub file: Option<PathBuf>,
    pub site: SiteConfig,
    pub crawl: CrawlConfig,
    /// What makes no difference between two answers; every rule can work.
    pub canonical: DeclaredRules,
    pub state: StateConfig,
    pub guard: GuardConfig,
    pub audit: AuditConfig,
    /// In the order in which a gateway asks them. Names and places are unique.
    pub tiers: Vec<TierConfig>,
}

/// What belongs to the site. At least one of `seeds` and `hosts` is not empty, and every seed is on
/// one of the hosts.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    pub seeds: Vec<PageUrl>,
    /// `host` (ports 80 and 443) or `host:port`, in lower case; the hosts of the seeds by default.
    pub hosts: Vec<String>,
    /// Hosts whose paths are always files; written like `hosts`.
    pub asset_hosts: Vec<String>,
    /// Regular expressions that compile; a match anywhere in a URL leaves it out.
    pub deny: Vec<String>,
    /// Query parameters that are kept; `None` keeps all.
    pub query: Option<Vec<String>>,
    pub layout: LayoutName,
    pub robots: RobotsPolicy,
    /// Sent with every request to the site's hosts. Names are valid header names in lower case.
    pub headers: Vec<(String, Secret)>,
    /// Headers of answers that are kept beside the fixed list, in lower case.
    pub keep_headers: Vec<String>,
    /// What the mirror says of caching in the origin's place.
    pub cache_control: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RobotsPolicy {
    #[default]
    Obey,
    Ignore,
}

/// How the site is asked. Sizes are bytes, `concurrency` and `rate_per_second` hold per host.
#[derive(Clone, PartialEq, Debug)]
pub struct CrawlConfig {
    pub concurrency: usize,
    /// `None`: no fixed rate, only what the host's answers allow.
    pub rate_per_second: Option<f64>,
    pub connect_timeout_s: u64,
    /// From the request to the first byte of the answer.
    pub answer_timeout_s: u64,
    /// Between two pieces of a body.
    pub idle_timeout_s: u64,
    pub user_agent: String,
    /// A longer body is an error of that page.
    pub body_max: u64,
    /// The budget for bodies in flight.
    pub memory: u64,
    /// Requests for one page within a run, the first included.
    pub attempts: u32,
    pub strategy: StrategyName,
    /// A page seen longer ago is asked for whatever a sitemap says; at least 1.
    pub max_age_days: u64,
    /// The share of the pages that could be skipped which is asked for all the same, per run; 0 to 1.
    pub refetch_share: f64,
    /// A page that nothing has named for so long is withdrawn; `None` is never, and 0 does not occur.
    pub retire_after_days: Option<u64>,
    /// Regular expressions that compile: forms on pages whose URL one of them matches are enumerated.
    pub forms: Vec<String>,
    /// Requests that one form may lead to; at least 1.
    pub forms_max: u64,
    /// `HH:MM-HH:MM` in UTC, over midnight where the second is the earlier one: no request is sent
    /// then. Together they leave some time free.
    pub quiet_hours: Vec<String>,
    /// `name` or `name: part`, the name a valid one in lower case: an answer with such a header, its
    /// value holding the part, came from a mirror.
    pub mirror_headers: Vec<String>,
    /// A URL of more segments looks endless; at least 1.
    pub path_segments_max: usize,
    /// A URL that has one segment more often looks endless; at least 1.
    pub segment_repeats_max: usize,
    /// So many queries of one path are taken; at least 1.
    pub query_variants_max: u32,
    /// Query parameters that name a visitor and not a page; `None` is the built-in list.
    pub session_parameters: Option<Vec<String>>,
    /// A body that unpacks to more than so many times its size is an error of that page.
    pub decompression_ratio_max: u64,
    /// A run stops before the disk of the state has less free than this.
    pub disk_free_min: u64,
}

/// Which of the known pages a run asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// All of them, with a condition where the stored copy can be confirmed.
    #[default]
    Full,
    /// Those that a sitemap does not say to be unchanged since they were last seen.
    Lastmod,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateConfig {
    pub dir: PathBuf,
    pub keep: Keep,
    /// Checkpoints kept, in the state directory and in each tier: when the newest is damaged, the one before is tried.
    pub checkpoints: usize,
}

/// Which bodies stay in the local store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Those of all live pages.
    #[default]
    All,
    /// Those that some tier still lacks.
    UntilConfirmed,
}

/// What a run may do to the mirror without an operator's word. Shares are of the live pages, 0 to 1.
#[derive(Clone, PartialEq, Debug)]
pub struct GuardConfig {
    pub deletes_max: f64,
    /// So many deletions are allowed whatever their share is.
    pub deletes_always: u64,
    pub errors_max: f64,
    /// The least share of the live pages that a run must have seen.
    pub coverage_min: f64,
    /// 1.0 is no limit.
    pub changes_max: f64,
    /// Consecutive runs that must have seen a 404 before the page counts as withdrawn.
    pub missing_runs: u32,
    /// The share of its URLs that a sitemap may lose from one run to the next.
    pub sitemap_loss_max: f64,
}

/// What is read back of the tiers without anybody asking for it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AuditConfig {
    /// Each run reads so much that all bytes are read in so many days, 1 to 365; `None` reads nothing.
    pub scrub_days: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct TierConfig {
    pub name: TierName,
    pub target: TierTarget,
    /// Requests to this tier at once, at the most.
    pub concurrency_max: usize,
    /// The value of the header `Backend-Override` that forces this tier.
    pub override_name: Option<String>,
}

/// Where a tier is. Prefixes have no `/` at either end and may be empty.
#[derive(Clone, Debug)]
pub enum TierTarget {
    Directory(PathBuf),
    S3(S3Options),
    Gcs(GcsOptions),
}

/// An S3 bucket, or one of a service that speaks S3. Without credentials the environment's are used.
#[derive(Clone, Debug, Default)]
pub struct S3Options {
    pub bucket: String,
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: bool,
    pub storage_class: Option<String>,
    pub sse: Option<String>,
    pub kms_key_id: Option<String>,
    pub acl: Option<String>,
    /// Twelve digits: the account that the bucket must belong to.
    pub expected_bucket_owner: Option<String>,
    pub access_key_id: Option<Secret>,
    pub secret_access_key: Option<Secret>,
    pub session_token: Option<Secret>,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug)]
pub struct GcsOptions {
    pub bucket: String,
    pub prefix: String,
    /// Speaks JSON over HTTP/1 and gRPC on one port; `None` is Google's own.
    pub endpoint: Option<String>,
    pub credentials: GcsCredentials,
    /// Of the objects of the site; `None` is the bucket's default.
    pub storage_class: Option<String>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum GcsCredentials {
    /// Application Default Credentials: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, what
    /// gcloud has left in the home folder, or the metadata server of the machine.
    #[default]
    Default,
    /// A file with a service account's key, or with a configuration of workload identity federation.
    File(PathBuf),
    /// Nobody: for public buckets and servers of tests.
    Anonymous,
}

/// A file, and the line of it where one can be said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub file: PathBuf,
    pub line: Option<usize>,
}

/// Why there is no usable configuration. All of these are for the operator: exit code 64.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// None of the places has a file.
    #[error(
        "no configuration: tried {}; `standin init` writes one, --config FILE names one",
        listed(tried)
    )]
    Missing { tried: Vec<PathBuf> },
    #[error("{}: cannot be read: {source}", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The text is no TOML.
    #[error("{at}: {problem}")]
    Syntax { at: Place, problem: String },
    #[error("{at}: unknown field `{field}` {section}; {advice}")]
    UnknownField {
        at: Place,
        field: String,
        section: String,
        advice: String,
    },
    /// A value of the wrong type or one that cannot be right. `field` is a dotted path.
    #[error("{at}: {field}: {problem}")]
    Invalid {
        at: Place,
        field: String,
        problem: String,
    },
    /// The file that a secret is to come from.
    #[error("{at}: {field}: {}: {source}", secret.display())]
    SecretFile {
        at: Place,
        field: String,
        secret: PathBuf,
        #[source]
        source: io::Error,
    },
    /// `init` writes over nothing.
    #[error("{} is there already; move it away, or write elsewhere with --config FILE", file.display())]
    Exists { file: PathBuf },
    #[error("{}: cannot be written: {source}", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// The configuration of `standin mirror URL --into DIR`: one host, one local tier, bodies kept only
/// until the tier has them.
pub fn for_mirror(url: &PageUrl, into: &Path) -> Config {
    let mut config = for_tiers(url, into, &["local"]);
    config.state.keep = Keep::UntilConfirmed;
    config
}

/// A configuration without a file: the seed's host, and directory tiers at `DIR/tiers/NAME`.
///
/// Panics on a name that is no tier name: the names are constants of the caller.
pub fn for_tiers(url: &PageUrl, dir: &Path, names: &[&str]) -> Config {
    let tier = |name: &&str| TierConfig {
        name: TierName::parse(name).expect("the caller's constants are tier names"),
        target: TierTarget::Directory(dir.join("tiers").join(name)),
        concurrency_max: TierConfig::CONCURRENCY_MAX_DEFAULT,
        override_name: None,
    };
    Config {
        file: None,
        site: SiteConfig {
            seeds: vec![url.clone()],
            hosts: vec![url.authority().to_owned()],
            asset_hosts: Vec::new(),
            deny: Vec::new(),
            query: None,
            layout: LayoutName::default(),
            robots: RobotsPolicy::Obey,
            headers: Vec::new(),
            keep_headers: Vec::new(),
            cache_control: None,
        },
        crawl: CrawlConfig::default(),
        canonical: DeclaredRules::default(),
        state: StateConfig {
            dir: dir.join("state"),
            ..StateConfig::default()
        },
        guard: GuardConfig::default(),
        audit: AuditConfig::default(),
        tiers: names.iter().map(tier).collect(),
    }
}

impl Config {
    /// What is well said but cannot be run with this version or as it stands, a line each. Empty
    /// for a configuration that `standin run` can work with.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.tiers.is_empty() {
            problems.push(
                "there is no [[tier]], so nowhere to keep the copy; add one, such as url = \"file:tiers/local\""
                    .to_owned(),
            );
        }
        problems
    }
}

impl Config {
    /// The tier of that name.
    ///
    /// # Errors
    /// One line that names the tiers there are, the one that was probably meant first.
    pub fn tier(&self, name: &TierName) -> Result<&TierConfig, String> {
        self.tier_named(name.as_str())
    }

    /// As [`Config::tier`], by whatever somebody has typed.
    ///
    /// # Errors
    /// As there.
    pub fn tier_named(&self, name: &str) -> Result<&TierConfig, String> {
        let found = self.tiers.iter().find(|tier| tier.name.as_str() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.tiers.iter().map(|tier| tier.name.as_str()).collect();
            let shown = document::visible(name);
            let meant = document::nearest(name, &names);
            let meant = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`? "));
            format!(
                "there is no tier `{shown}`; {meant}there are: {}",
                names.join(", ")
            )
        })
    }
}

impl SiteConfig {
    /// The rules of the scope. A host's scheme is that of its first seed; hosts without a seed
    /// follow the first seed of all, or are `https` where there is none.
    pub fn scope_rules(&self) -> ScopeRules {
        let mut identity = BTreeMap::new();
        for seed in &self.seeds {
            let authority = seed.authority().to_owned();
            identity.entry(authority).or_insert(seed.scheme());
        }
        ScopeRules {
            hosts: self.hosts.clone(),
            identity,
            identity_default: self.seeds.first().map_or(Scheme::Https, PageUrl::scheme),
            deny: self.deny.clone(),
            query: self.query.clone(),
        }
    }
}

impl TierConfig {
    /// Enough to keep a bucket busy with small objects; the adaptive limit finds its place below.
    pub const CONCURRENCY_MAX_DEFAULT: usize = 32;
}

impl Default for GcsOptions {
    fn default() -> GcsOptions {
        GcsOptions {
            bucket: String::new(),
            prefix: String::new(),
            endpoint: None,
            credentials: GcsCredentials::Default,
            storage_class: None,
        }
    }
}

impl Default for CrawlConfig {
    fn default() -> CrawlConfig {
        CrawlConfig {
            concurrency: 8,
            rate_per_second: None,
            connect_timeout_s: 5,
            answer_timeout_s: 8,
            idle_timeout_s: 10,
            user_agent: concat!("standin/", env!("CARGO_PKG_VERSION")).to_owned(),
            body_max: 16 << 30,
            memory: 24 << 20,
            attempts: 3,
            strategy: StrategyName::Full,
            max_age_days: 30,
            refetch_share: 0.02,
            retire_after_days: None,
            forms: Vec::new(),
            forms_max: 500,
            quiet_hours: Vec::new(),
            mirror_headers: vec!["x-served-by: mirror".to_owned(), "x-mirror".to_owned()],
            path_segments_max: 32,
            segment_repeats_max: 4,
            query_variants_max: 5_000,
            session_parameters: None,
            decompression_ratio_max: 250,
            disk_free_min: 1 << 30,
        }
    }
}

impl Default for StateConfig {
    fn default() -> StateConfig {
        StateConfig {
            dir: PathBuf::from("state"),
            keep: Keep::All,
            checkpoints: 3,
        }
    }
}

impl Default for GuardConfig {
    fn default() -> GuardConfig {
        GuardConfig {
            deletes_max: 0.05,
            deletes_always: 10,
            errors_max: 0.10,
            coverage_min: 0.5,
            changes_max: 1.0,
            missing_runs: 2,
            sitemap_loss_max: 0.5,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        match self.line {
            Some(line) => write!(formatter, ":{line}"),
            None => Ok(()),
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirror_needs_no_file() {
        // Promise: `mirror URL --into DIR` keeps to one host, obeys robots, takes all queries, has
        // no fixed rate and 8 connections, and stores below DIR alone.
        let url = PageUrl::parse("http://127.0.0.1:8080/start").unwrap();
        let config = for_mirror(&url, Path::new("out"));
        assert_eq!(config.site.seeds, [url]);
        assert_eq!(config.site.hosts, ["127.0.0.1:8080"]);
        assert_eq!(
            (config.site.query, config.site.robots),
            (None, RobotsPolicy::Obey)
        );
        assert_eq!(config.crawl, CrawlConfig::default());
        assert_eq!(
            (config.crawl.concurrency, config.crawl.rate_per_second),
            (8, None)
        );
        assert_eq!(config.state.dir, Path::new("out/state"));
        assert_eq!(config.state.keep, Keep::UntilConfirmed);
        let [tier] = &config.tiers[..] else {
            panic!("one tier")
        };
        assert_eq!(tier.name.as_str(), "local");
        let TierTarget::Directory(dir) = &tier.target else {
            panic!("a directory")
        };
        assert_eq!(dir, Path::new("out/tiers/local"));
    }

    #[test]
    fn the_demo_gets_its_tiers_in_order() {
        // Promise: one directory tier for each name, in the order given, with the whole store kept.
        let url = PageUrl::parse("https://www.example.org/").unwrap();
        let config = for_tiers(&url, Path::new("d"), &["primary", "replica", "tertiary"]);
        let names: Vec<&str> = config.tiers.iter().map(|tier| tier.name.as_str()).collect();
        assert_eq!(names, ["primary", "replica", "tertiary"]);
        assert_eq!(config.state.keep, Keep::All);
        assert_eq!(config.problems(), Vec::<String>::new());
    }

    #[test]
    fn options_show_no_secret() {
        // Promise: a whole configuration may be printed for debugging.
        let options = S3Options {
            access_key_id: Some(Secret::from("AKIA1".to_owned())),
            secret_access_key: Some(Secret::from("hunter2".to_owned())),
            session_token: Some(Secret::from("token3".to_owned())),
            ..S3Options::default()
        };
        let shown = format!("{options:?}");
        assert!(
            !shown.contains("AKIA1") && !shown.contains("hunter2") && !shown.contains("token3")
        );
        assert_eq!(shown.matches("***").count(), 3);
    }
}
