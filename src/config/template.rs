//! The file that `standin init` writes: every option with its default and a line of explanation.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use super::ConfigError;

/// A configuration that runs as it is. `# text` explains; `#option = value` is an option at its
/// default, or an example where the text before it says so.
pub const TEMPLATE: &str = r##"# Configuration of standin. `standin config check` validates it, `standin run` uses it.
# Lines that begin with `#name` are options at their defaults, or examples where it says so:
# take the # away to change them. Relative paths are relative to the folder of this file.

[site]
# Where the crawl begins. `publish` does not need them.
seeds = ["https://www.example.org/"]

# The hosts that belong to the site: "host" means ports 80 and 443, or write "host:port".
# Default: the hosts of the seeds.
#hosts = ["www.example.org"]

# Hosts whose paths are always files, never pages. Example:
#asset_hosts = ["assets.example.org"]

# Regular expressions: a URL with a match anywhere in it is not mirrored. Example:
#deny = ["^https://www\\.example\\.org/search", "/private/"]

# The query parameters that tell pages apart; all others are cut off. Without this option every
# query is kept; [] keeps none. Example:
#query = ["page"]

# From URL to object key: "plain" (/a -> host/a, /a/ -> host/a/index.html) or "govuk".
#layout = "plain"

# "obey" or "ignore" robots.txt.
#robots = "obey"

# Sent with every request to the site. Values: a text, { env = "NAME" } or { file = "path" }. Example:
#headers = { Rate-Limit-Token = { env = "RATE_LIMIT_TOKEN" }, X-Mirror = "standin" }

# Headers of answers that are kept with their page, beside the usual ones (Content-Type, Content-Language,
# Content-Disposition, Cache-Control, CSP and so on). A change of this list reaches a page when it is next
# sent whole: pages that answer "not modified" stay as they are until then. A header that differs in every
# answer makes every page differ in every run. Example:
#keep_headers = ["x-example"]

# What the mirror says in Cache-Control, in the place of Cache-Control and Expires of the site. Without this
# option: what the site sent. A change reaches every page in the next run and counts as a change of each: all
# tiers get new metadata, and no body is sent. Taken away, it stays with a page until that is sent whole.
# Example:
#cache_control = "public, max-age=900"

[crawl]
# Connections to one host at once.
#concurrency = 8

# Requests to one host in a second. Without this option: as the answers allow. Example:
#rate_per_second = 20.0

# Seconds to wait: for a connection, for the first byte of an answer, between two pieces of a body.
#connect_timeout_s = 5
#answer_timeout_s = 8
#idle_timeout_s = 10

# How the crawler calls itself. Default: "standin/" and the version. Example:
#user_agent = "standin (+https://www.example.org/mirror)"

# The longest body that is mirrored; a longer one is an error. Bytes, or KB, MB, GB, KiB, MiB, GiB.
#body_max = "16GiB"

# The memory for bodies in flight.
#memory = "24MiB"

# Requests for one page in one run before it counts as an error.
#attempts = 3

# Which of the known pages a run asks for: "full" is all of them (most answer "not modified"), "lastmod"
# leaves out those that a sitemap says to be unchanged since they were last seen. These are asked for all the
# same when they were last seen so many days ago, and a share of them in every run (0.02 is 2 %).
#strategy = "full"
#max_age_days = 30
#refetch_share = 0.02

# Withdraw a page that nothing has named for so many days: no link, no sitemap, no seed. Without this option
# it stays as long as it answers. Example:
#retire_after_days = 365

# Regular expressions: on pages whose URL one of them matches, forms with finite choices are followed through
# all of these, with at most so many requests for one form. Example:
#forms = ["^https://www\\.example\\.org/calculate-"]
#forms_max = 500

# Times of the day in UTC at which no request is sent; a run waits for their end. Example:
#quiet_hours = ["22:00-06:00"]

# Headers that tell that a mirror has answered in the site's place, by name or by name and a part of the value:
# such an answer is never taken for the site's own.
#mirror_headers = ["x-served-by: mirror", "x-mirror"]

# Where URLs that look endless are left out, with a line in the report: more segments in the path, one segment
# more often in it, more queries of one path. URLs of sitemaps are taken whatever they look like.
#path_segments_max = 32
#segment_repeats_max = 4
#query_variants_max = 5000

# Query parameters that name a visitor and not a page: they are taken out of links. One that ends in * stands for
# all that begin so. Without this option the usual ones are known. Example:
#session_parameters = ["sid", "PHPSESSID"]

# A body of more than 8 MiB that unpacks to more than so many times what was sent is an error.
#decompression_ratio_max = 250

# A run stops before the disk of the state folder has less free than this. 0 does not look.
#disk_free_min = "1GiB"

[canonical]
# What differs in every answer of the site and means nothing to its readers: a page is unchanged when nothing else
# differs. Nonces, CSRF tokens, generated ids and comments with the time of an answer are known already
# (docs/CANONICAL.md). A change of these rules changes no page: each is compared under the rules it was stored with.

# CSS selectors: an element is left out from its start tag to its end tag; with @name at the end, only the value of
# that attribute is. Example:
#selectors = ["#session-box", "div.ad > iframe", "img.counter@src"]

# Regular expressions over the bytes of text of all kinds; whatever they match is left out. Example:
#patterns = ["build [0-9]+", "(?-u)var visitId = \"[0-9a-f]+\""]

# JSON pointers (RFC 6901) to values in JSON; a segment * is any key or index. Example:
#json_pointers = ["/meta/generatedAt", "/items/*/score"]

# Headers whose values are not compared. Example:
#headers = ["x-example"]

[state]
# Manifest, local store and run reports.
#dir = "state"

# Bodies in the local store: "all" live pages, or "until-confirmed" by every tier.
#keep = "all"

# Checkpoints kept, here and in each tier: when the newest is damaged, `standin rebuild` tries the one before.
#checkpoints = 3

[guard]
# What a run may do without `standin approve`. Shares are of the live pages: 0.05 is 5 %.
# Withdrawals: at most this share, but this many are always allowed.
#deletes_max = 0.05
#deletes_always = 10

# Pages that ended in an error.
#errors_max = 0.10

# Pages that must have been seen.
#coverage_min = 0.5

# Pages that changed; 1.0 is no limit.
#changes_max = 1.0

# Consecutive runs that must see a 404 before a page counts as withdrawn (a 410 counts at once).
#missing_runs = 2

# URLs that a sitemap lost since the last run: more than this share, and the verdict is "degraded".
#sitemap_loss_max = 0.5

[audit]
# Each run reads a share of every tier back and compares it byte by byte, so that all of it is read in so many days.
# That costs requests and traffic, so it is off without this option. Example:
#scrub_days = 30

# The tiers, in the order in which they are asked for a page: s3://bucket/prefix,
# gs://bucket/prefix or file:path.
[[tier]]
name = "local"
url = "file:tiers/local"
# Requests to this tier at once, at the most.
#concurrency_max = 32
# The value of the header Backend-Override that forces this tier. Example:
#override = "mirrorLocal"

# Example: a bucket of AWS.
#[[tier]]
#name = "primary"
#url = "s3://example-mirror/www"
#region = "eu-west-2"
#storage_class = "STANDARD"
# Encryption at rest: "AES256", "aws:kms" or "aws:kms:dsse"; the key for the latter two.
#sse = "aws:kms"
#kms_key_id = "alias/example-mirror"
# A canned ACL. Most buckets need none.
#acl = "bucket-owner-full-control"
# The account that the bucket must belong to; a bucket of the same name elsewhere is refused.
#expected_bucket_owner = "123456789012"
#override = "mirrorS3"
# Secrets stay out of this file: names of environment variables (_env) or of files (_file).
# Without credentials those of the environment, a profile or the machine's role are used.
#credentials = { access_key_id_env = "AWS_ACCESS_KEY_ID", secret_access_key_env = "AWS_SECRET_ACCESS_KEY", session_token_env = "AWS_SESSION_TOKEN" }

# Example: a service that speaks S3, at an address of its own.
#[[tier]]
#name = "replica"
#url = "s3://example-replica"
#endpoint = "https://s3.example.net"
#region = "us-east-1"
# https://host/bucket/key instead of https://bucket.host/key.
#path_style = true
#override = "mirrorS3Replica"
#credentials = { access_key_id_file = "secrets/replica-id", secret_access_key_file = "secrets/replica-key" }

# Example: a bucket of Google Cloud Storage.
#[[tier]]
#name = "tertiary"
#url = "gs://example-tertiary/www"
# "STANDARD", "NEARLINE", "COLDLINE" or "ARCHIVE". Without it: the bucket's own.
#storage_class = "STANDARD"
#override = "mirrorGCS"
# The key of a service account, or the file of a workload identity federation. Without credentials the
# environment's own are used: GOOGLE_APPLICATION_CREDENTIALS, gcloud's, or the machine's metadata
# server. A server for tests (then with an endpoint) is asked with credentials = { anonymous = true }.
#credentials = { file = "secrets/tertiary.json" }
"##;

/// Writes [`TEMPLATE`] to `path`, which must not exist yet.
pub fn init(path: &Path) -> Result<(), ConfigError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => ConfigError::Exists {
            file: path.to_owned(),
        },
        _ => ConfigError::Write {
            file: path.to_owned(),
            source,
        },
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(failed)?;
    file.write_all(TEMPLATE.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::super::load::{load, parse};
    use super::super::schema::{SECTIONS, section_fields};
    use super::super::{Config, CrawlConfig, DeclaredRules, GuardConfig, Keep, TierTarget};
    use super::*;

    #[test]
    fn the_template_runs_as_it_is() {
        // Promise: `standin init` followed by `standin run` works; checked by loading what it wrote.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("standin.toml");
        init(&path).unwrap();
        let config = load(Some(&path)).unwrap();
        assert_eq!(config.problems(), Vec::<String>::new());
        assert_eq!(config.crawl, CrawlConfig::default());
        assert_eq!(config.guard, GuardConfig::default());
        assert_eq!(config.tiers.len(), 1);
        let TierTarget::Directory(dir) = &config.tiers[0].target else {
            panic!("a directory")
        };
        assert_eq!(*dir, folder.path().join("tiers/local"));
    }

    #[test]
    fn init_writes_over_nothing() {
        // Promise: an existing configuration survives a second `standin init`, byte for byte.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("standin.toml");
        fs::write(&path, "mine").unwrap();
        assert!(matches!(init(&path), Err(ConfigError::Exists { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        let nowhere = folder.path().join("no/folder/standin.toml");
        assert!(matches!(init(&nowhere), Err(ConfigError::Write { .. })));
    }

    #[test]
    fn every_option_is_in_the_template() {
        // Promise: the template is the manual; an option that it does not show is forgotten there.
        let credentials = section_fields("tier.credentials").unwrap();
        for section in SECTIONS {
            for field in section_fields(section).unwrap() {
                let shown = TEMPLATE.lines().any(|line| {
                    let line = line.trim_start_matches('#');
                    line.starts_with(&format!("{field} = "))
                        || line.trim_matches(['[', ']']) == *field
                        || (credentials.contains(field) && mentions(line, field))
                });
                assert!(shown, "{section}.{field}");
            }
        }
    }

    /// The template shows one way for each credential; the other ends in the other suffix.
    fn mentions(line: &str, field: &str) -> bool {
        let stem = field.trim_end_matches("_env").trim_end_matches("_file");
        let Some((_, shown)) = line.split_once("credentials = ") else {
            return false;
        };
        shown.contains(&format!("{stem}_")) || shown.contains(&format!(" {field} = "))
    }

    #[test]
    fn the_options_shown_are_the_defaults() {
        // Promise: taking every # away changes nothing but where the text says "Example".
        let config = uncommented();
        let defaults = CrawlConfig::default();
        let examples = CrawlConfig {
            rate_per_second: Some(20.0),
            user_agent: "standin (+https://www.example.org/mirror)".to_owned(),
            retire_after_days: Some(365),
            forms: vec![r"^https://www\.example\.org/calculate-".to_owned()],
            quiet_hours: vec!["22:00-06:00".to_owned()],
            session_parameters: Some(vec!["sid".to_owned(), "PHPSESSID".to_owned()]),
            ..defaults
        };
        assert_eq!(config.crawl, examples);
        let canonical = DeclaredRules {
            selectors: ["#session-box", "div.ad > iframe", "img.counter@src"]
                .map(str::to_owned)
                .into(),
            patterns: ["build [0-9]+", "(?-u)var visitId = \"[0-9a-f]+\""]
                .map(str::to_owned)
                .into(),
            json_pointers: ["/meta/generatedAt", "/items/*/score"]
                .map(str::to_owned)
                .into(),
            headers: vec!["x-example".to_owned()],
        };
        assert_eq!(config.canonical, canonical);
        assert_eq!(config.guard, GuardConfig::default());
        assert_eq!(config.state.keep, Keep::All);
        assert_eq!(config.site.hosts, ["www.example.org"]);
        let names: Vec<&str> = config.tiers.iter().map(|tier| tier.name.as_str()).collect();
        assert_eq!(names, ["local", "primary", "replica", "tertiary"]);
        let TierTarget::S3(replica) = &config.tiers[2].target else {
            panic!("S3")
        };
        assert_eq!(replica.endpoint.as_deref(), Some("https://s3.example.net"));
        assert_eq!(
            replica.access_key_id.as_ref().unwrap().expose(),
            "replica-id"
        );
    }

    fn uncommented() -> Config {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("secrets")).unwrap();
        for name in ["replica-id", "replica-key"] {
            fs::write(folder.path().join("secrets").join(name), name).unwrap();
        }
        let option = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => {
                rest.to_owned()
            }
            _ => line.to_owned(),
        };
        let text: Vec<String> = TEMPLATE.lines().map(option).collect();
        let file = folder.path().join("standin.toml");
        parse(&text.join("\n"), &file, &|name| Some(OsString::from(name))).unwrap()
    }
}
