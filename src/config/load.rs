//! Finds the configuration file, reads it and turns it into a [`Config`] that can be trusted.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document;
use super::schema::{AuditShape, FileShape, GuardShape, StateShape};
use super::secret::Environment;
use super::source::{Source, check_share};
use super::{AuditConfig, Config, ConfigError, GuardConfig, StateConfig};
use super::{canonical_section, crawl_section, site_section, tier_section};

/// Longer than a year is no promise that anybody could hold.
const SCRUB_DAYS_MAX: u64 = 365;

/// Where a configuration is looked for when none is named, in this order.
const PLACES: [&str; 2] = ["standin.toml", "/etc/standin/standin.toml"];

/// Reads the configuration at `path`, else `standin.toml`, else `/etc/standin/standin.toml`.
///
/// Relative paths in the file are relative to its folder. Reads the environment variables and files
/// that the configuration takes secrets from.
pub fn load(path: Option<&Path>) -> Result<Config, ConfigError> {
    let places: Vec<PathBuf> = match path {
        Some(path) => vec![path.to_owned()],
        None => PLACES.iter().map(PathBuf::from).collect(),
    };
    let (file, text) = first_of(places)?;
    parse(&text, &file, &|name| std::env::var_os(name))
}

/// The text of a file as a configuration. `file` need not exist; it gives its name to errors and
/// its folder to relative paths.
pub(super) fn parse(
    text: &str,
    file: &Path,
    environment: Environment<'_>,
) -> Result<Config, ConfigError> {
    let (shape, lines) = document::read(text, file)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let source = Source {
        file,
        folder,
        lines,
        environment,
    };
    let FileShape {
        site,
        crawl,
        canonical,
        state,
        guard,
        audit,
        tier,
    } = shape;
    let state = state_section(state, &source)?;
    Ok(Config {
        file: Some(file.to_owned()),
        site: site_section::checked(site, &source)?,
        crawl: crawl_section::checked(crawl, &source)?,
        canonical: canonical_section::checked(canonical, &source)?,
        guard: guard_section(guard, &source)?,
        audit: audit_section(audit, &source)?,
        tiers: tier_section::checked(tier, &state.dir, &source)?,
        state,
    })
}

fn first_of(places: Vec<PathBuf>) -> Result<(PathBuf, String), ConfigError> {
    for file in &places {
        match fs::read_to_string(file) {
            Ok(text) => return Ok((file.clone(), text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(ConfigError::Read {
                    file: file.clone(),
                    source,
                });
            }
        }
    }
    Err(ConfigError::Missing { tried: places })
}

/// Every head names the parts of all of them.
const CHECKPOINTS_MAX: usize = 24;

fn state_section(shape: StateShape, source: &Source<'_>) -> Result<StateConfig, ConfigError> {
    let dir = shape.dir.map_or(StateConfig::default().dir, PathBuf::from);
    if dir.as_os_str().is_empty() {
        return Err(source.invalid("state.dir", "must not be empty"));
    }
    let checkpoints = shape
        .checkpoints
        .unwrap_or(StateConfig::default().checkpoints);
    if !(1..=CHECKPOINTS_MAX).contains(&checkpoints) {
        return Err(source.invalid("state.checkpoints", "must be from 1 to 24"));
    }
    Ok(StateConfig {
        dir: source.resolve(&dir),
        keep: shape.keep,
        checkpoints,
    })
}

fn guard_section(shape: GuardShape, source: &Source<'_>) -> Result<GuardConfig, ConfigError> {
    let defaults = GuardConfig::default();
    let guard = GuardConfig {
        deletes_max: shape.deletes_max.unwrap_or(defaults.deletes_max),
        deletes_always: shape.deletes_always.unwrap_or(defaults.deletes_always),
        errors_max: shape.errors_max.unwrap_or(defaults.errors_max),
        coverage_min: shape.coverage_min.unwrap_or(defaults.coverage_min),
        changes_max: shape.changes_max.unwrap_or(defaults.changes_max),
        missing_runs: shape.missing_runs.unwrap_or(defaults.missing_runs),
        sitemap_loss_max: shape.sitemap_loss_max.unwrap_or(defaults.sitemap_loss_max),
    };
    for (path, share) in [
        ("guard.deletes_max", guard.deletes_max),
        ("guard.errors_max", guard.errors_max),
        ("guard.coverage_min", guard.coverage_min),
        ("guard.changes_max", guard.changes_max),
        ("guard.sitemap_loss_max", guard.sitemap_loss_max),
    ] {
        check_share(share, path, source)?;
    }
    if guard.missing_runs == 0 {
        return Err(source.invalid("guard.missing_runs", "must be at least 1"));
    }
    Ok(guard)
}

fn audit_section(shape: AuditShape, source: &Source<'_>) -> Result<AuditConfig, ConfigError> {
    let days = shape.scrub_days;
    if days.is_some_and(|days| !(1..=SCRUB_DAYS_MAX).contains(&days)) {
        let problem =
            format!("must be 1 to {SCRUB_DAYS_MAX} days; leave it out to read nothing back");
        return Err(source.invalid("audit.scrub_days", problem));
    }
    Ok(AuditConfig { scrub_days: days })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{CrawlConfig, Keep, RobotsPolicy, StrategyName};
    use super::*;
    use crate::site::LayoutName;

    /// The message of a text that is refused; two variables are set, one of them to nonsense.
    pub(in crate::config) fn refused(text: &str) -> String {
        let environment = |name: &str| match name {
            "SET" => Some("value".into()),
            "EMPTY" => Some("".into()),
            "CONTROL" => Some("a\nb".into()),
            _ => None,
        };
        match parse(text, Path::new("standin.toml"), &environment) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    /// The cases of a table: lines of TOML, then `=> ` and the message, then an empty line.
    pub(in crate::config) fn cases(table: &str) -> impl Iterator<Item = (String, &str)> {
        table.trim().split("\n\n").map(|case| {
            let (text, expected) = case.rsplit_once("\n=> ").unwrap();
            (text.trim_start().to_owned(), expected)
        })
    }

    pub(in crate::config) const SITE: &str = "[site]\nseeds = [\"https://www.example.org/\"]\n";

    #[test]
    fn the_documented_defaults_hold() {
        // Promise: a file that names a seed alone gets exactly the documented defaults.
        let config = parse(SITE, Path::new("/etc/standin/standin.toml"), &|_| None).unwrap();
        assert_eq!(
            config.file.as_deref(),
            Some(Path::new("/etc/standin/standin.toml"))
        );
        let site = &config.site;
        assert_eq!(site.hosts, ["www.example.org"]);
        assert_eq!(
            (site.asset_hosts.len(), site.deny.len(), site.headers.len()),
            (0, 0, 0)
        );
        assert_eq!((&site.query, site.layout), (&None, LayoutName::Plain));
        assert_eq!(site.robots, RobotsPolicy::Obey);
        let crawl = CrawlConfig {
            concurrency: 8,
            rate_per_second: None,
            connect_timeout_s: 5,
            answer_timeout_s: 8,
            idle_timeout_s: 10,
            user_agent: format!("standin/{}", env!("CARGO_PKG_VERSION")),
            body_max: 17_179_869_184,
            memory: 25_165_824,
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
            disk_free_min: 1_073_741_824,
        };
        assert_eq!(config.crawl, crawl);
        assert_eq!(config.state.dir, Path::new("/etc/standin/state"));
        assert_eq!(config.state.keep, Keep::All);
        let guard = GuardConfig {
            deletes_max: 0.05,
            deletes_always: 10,
            errors_max: 0.10,
            coverage_min: 0.5,
            changes_max: 1.0,
            missing_runs: 2,
            sitemap_loss_max: 0.5,
        };
        assert_eq!(config.guard, guard);
        assert_eq!(config.audit.scrub_days, None);
        assert!(config.tiers.is_empty());
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        // Promise: a number that cannot work is refused with its bounds, at its line.
        for (text, expected) in cases(REFUSED) {
            assert_eq!(refused(&format!("{SITE}{text}")), expected);
        }
    }

    #[test]
    fn a_file_is_looked_for_and_named() {
        // Promise: a missing file is answered with what was tried and how to get one; an unreadable
        // one is not passed over.
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent.toml");
        assert_eq!(
            load(Some(&absent)).unwrap_err().to_string(),
            format!(
                "no configuration: tried {}; `standin init` writes one, --config FILE names one",
                absent.display()
            )
        );
        let tried: Vec<PathBuf> = ["absent.toml", "too.toml"]
            .iter()
            .map(|name| folder.path().join(name))
            .collect();
        let error = first_of(tried.clone()).unwrap_err();
        assert!(matches!(error, ConfigError::Missing { tried: told } if told == tried));
        let error = first_of(vec![folder.path().to_owned(), absent]).unwrap_err();
        assert!(matches!(error, ConfigError::Read { file, .. } if file == folder.path()));
    }

    #[test]
    fn the_first_place_with_a_file_wins() {
        // Promise: the file beside the operator is read before the one in /etc.
        assert_eq!(PLACES, ["standin.toml", "/etc/standin/standin.toml"]);
        let folder = tempfile::tempdir().unwrap();
        let places: Vec<PathBuf> = ["a", "b", "c"]
            .iter()
            .map(|n| folder.path().join(n))
            .collect();
        fs::write(&places[1], "second").unwrap();
        fs::write(&places[2], "third").unwrap();
        let (file, text) = first_of(places.clone()).unwrap();
        assert_eq!((file, text.as_str()), (places[1].clone(), "second"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        // Promise: a job may be started from any folder.
        for (file, dir, expected) in [
            ("standin.toml", "state", "state"),
            ("standin.toml", "./s//t/", "s/t"),
            ("etc/standin.toml", "../state", "etc/../state"),
            ("/etc/standin.toml", "state", "/etc/state"),
            ("/etc/standin.toml", "/var/standin", "/var/standin"),
            ("standin.toml", ".", "."),
        ] {
            let text = format!("{SITE}[state]\ndir = \"{dir}\"");
            let config = parse(&text, Path::new(file), &|_| None).unwrap();
            assert_eq!(config.state.dir.as_os_str(), expected, "{file} {dir}");
        }
    }

    /// What follows [`SITE`].
    const REFUSED: &str = r#"
[state]
dir = ""
=> standin.toml:4: state.dir: must not be empty

[guard]
errors_max = 5
=> standin.toml:4: guard.errors_max: is a share, from 0 to 1 (5 % is 0.05)

[guard]
coverage_min = nan
=> standin.toml:4: guard.coverage_min: is a share, from 0 to 1 (5 % is 0.05)

[guard]
sitemap_loss_max = 50
=> standin.toml:4: guard.sitemap_loss_max: is a share, from 0 to 1 (5 % is 0.05)

[audit]
scrub_days = 0
=> standin.toml:4: audit.scrub_days: must be 1 to 365 days; leave it out to read nothing back

[guard]
missing_runs = 0
=> standin.toml:4: guard.missing_runs: must be at least 1
"#;
}
