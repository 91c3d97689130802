//! `[[tier]]`: where each copy is kept, with which options and credentials.

use std::path::{Path, PathBuf};

use super::schema::{CredentialsShape, TierShape};
use super::source::{Source, check_concurrency, is_header_value};
use super::{
    ConfigError, GcsCredentials, GcsOptions, S3Options, Secret, TierConfig, TierName, TierTarget,
};
use crate::site::PageUrl;

/// The three ways to say where a tier is.
const FORMS: &str = "write s3://bucket/prefix, gs://bucket/prefix or file:path";

/// Storage classes whose objects take hours to come back: no mirror can serve from them.
const FROZEN_CLASSES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// Classes that GCS serves from at once, the colder ones for a fee.
const GCS_CLASSES: [&str; 4] = ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"];

/// GCS keeps names that begin like this for itself.
const GCS_RESERVED: &str = ".well-known/acme-challenge";

const SSE_KINDS: [&str; 3] = ["AES256", "aws:kms", "aws:kms:dsse"];

/// All tiers in the order of the file, with names of their own and places that do not overlap.
pub(super) fn checked(
    shapes: Vec<TierShape>,
    state_dir: &Path,
    source: &Source<'_>,
) -> Result<Vec<TierConfig>, ConfigError> {
    let mut tiers: Vec<TierConfig> = Vec::with_capacity(shapes.len());
    for (index, shape) in shapes.into_iter().enumerate() {
        let path = format!("tier[{index}]");
        let tier = tier(shape, &path, source)?;
        for other in &tiers {
            refuse_sharing(&tier, other, &path, source)?;
        }
        if let TierTarget::Directory(dir) = &tier.target
            && (dir.starts_with(state_dir) || state_dir.starts_with(dir))
        {
            let problem = format!(
                "overlaps state.dir ({}); keep them apart",
                state_dir.display()
            );
            return Err(source.invalid(&format!("{path}.url"), problem));
        }
        tiers.push(tier);
    }
    Ok(tiers)
}

fn tier(shape: TierShape, path: &str, source: &Source<'_>) -> Result<TierConfig, ConfigError> {
    let Some(name) = shape.name.as_deref() else {
        return Err(source.invalid(
            &format!("{path}.name"),
            "is missing; write name = \"primary\"",
        ));
    };
    let name =
        TierName::parse(name).map_err(|error| source.invalid(&format!("{path}.name"), error))?;
    let concurrency_max = shape
        .concurrency_max
        .unwrap_or(TierConfig::CONCURRENCY_MAX_DEFAULT);
    check_concurrency(concurrency_max, &format!("{path}.concurrency_max"), source)?;
    if shape
        .override_name
        .as_deref()
        .is_some_and(|name| !is_header_value(name))
    {
        let problem = "must be visible ASCII characters: it is the value of a header";
        return Err(source.invalid(&format!("{path}.override"), problem));
    }
    let override_name = shape.override_name.clone();
    let target = target(shape, path, source)?;
    Ok(TierConfig {
        name,
        target,
        concurrency_max,
        override_name,
    })
}

fn target(shape: TierShape, path: &str, source: &Source<'_>) -> Result<TierTarget, ConfigError> {
    let url_path = format!("{path}.url");
    let Some(url) = shape.url.clone() else {
        return Err(source.invalid(&url_path, format!("is missing; {FORMS}")));
    };
    if let Some(rest) = url.strip_prefix("s3://") {
        let (bucket, prefix) = bucket_and_prefix(rest, &url_path, source)?;
        return Ok(TierTarget::S3(s3_options(
            shape, bucket, prefix, path, source,
        )?));
    }
    if let Some(rest) = url.strip_prefix("gs://") {
        let (bucket, prefix) = bucket_and_prefix(rest, &url_path, source)?;
        return Ok(TierTarget::Gcs(gcs_options(
            shape, bucket, prefix, path, source,
        )?));
    }
    let option = first_s3_option(&shape).or(first_bucket_option(&shape));
    if let Some(field) = option
        && url.starts_with("file:")
    {
        let problem = "is an option of buckets, not of file: tiers; remove it";
        return Err(source.invalid(&format!("{path}.{field}"), problem));
    }
    match url.strip_prefix("file:") {
        Some(rest) => Ok(TierTarget::Directory(directory(rest, &url_path, source)?)),
        // The text is not repeated: what is no tier's URL may well be one with a password in it.
        None => Err(source.invalid(&url_path, format!("is no place for a tier; {FORMS}"))),
    }
}

/// The folder of `file:REST`. Taken as it is, without percent-decoding.
fn directory(rest: &str, path: &str, source: &Source<'_>) -> Result<PathBuf, ConfigError> {
    let local = match rest.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(relative) => {
            let problem = format!(
                "names a machine; write file:{relative} for a relative path, file:/{relative} for an absolute one"
            );
            return Err(source.invalid(path, problem));
        }
        None => rest,
    };
    if local.is_empty() || local.contains('\0') {
        return Err(source.invalid(path, "names no folder; write file:tiers/local"));
    }
    Ok(source.resolve(local))
}

/// `BUCKET/PREFIX` of a bucket's URL; slashes at the end of the prefix do not count.
fn bucket_and_prefix(
    rest: &str,
    path: &str,
    source: &Source<'_>,
) -> Result<(String, String), ConfigError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(plain) {
        let problem = format!("the bucket's name may hold letters, digits, `.`, `-`, `_`; {FORMS}");
        return Err(source.invalid(path, problem));
    }
    let prefix = prefix.trim_end_matches('/');
    let usable = |segment: &str| {
        !matches!(segment, "" | "." | ".." | ".standin") && !segment.contains(char::is_control)
    };
    if !prefix.is_empty() && !prefix.split('/').all(usable) {
        let problem = "no part of the prefix may be empty, `.`, `..` or `.standin`";
        return Err(source.invalid(path, problem));
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

fn s3_options(
    shape: TierShape,
    bucket: String,
    prefix: String,
    path: &str,
    source: &Source<'_>,
) -> Result<S3Options, ConfigError> {
    check_s3(&shape, path, source)?;
    let mut options = S3Options {
        bucket,
        prefix,
        endpoint: shape
            .endpoint
            .map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
        region: shape.region,
        path_style: shape.path_style.unwrap_or(false),
        storage_class: shape.storage_class,
        sse: shape.sse,
        kms_key_id: shape.kms_key_id,
        acl: shape.acl,
        expected_bucket_owner: shape.expected_bucket_owner,
        ..S3Options::default()
    };
    if let Some(credentials) = shape.credentials {
        take_credentials(
            credentials,
            &mut options,
            &format!("{path}.credentials"),
            source,
        )?;
    }
    Ok(options)
}

fn gcs_options(
    shape: TierShape,
    bucket: String,
    prefix: String,
    path: &str,
    source: &Source<'_>,
) -> Result<GcsOptions, ConfigError> {
    if let Some(field) = first_s3_option(&shape) {
        let problem = "is an option of s3:// tiers, not of gs:// ones; remove it";
        return Err(source.invalid(&format!("{path}.{field}"), problem));
    }
    if Path::new(&prefix).starts_with(GCS_RESERVED) {
        let problem = format!("GCS refuses names under {GCS_RESERVED}; use another prefix");
        return Err(source.invalid(&format!("{path}.url"), problem));
    }
    check_endpoint(&shape, "https://storage.googleapis.com", path, source)?;
    if let Some(class) = shape.storage_class.as_deref()
        && !GCS_CLASSES.contains(&class)
    {
        let problem = match nearest_class(class) {
            Some(name) => format!("`{class}` is no class of GCS; did you mean {name}?"),
            None => format!("must be one of {}", GCS_CLASSES.join(", ")),
        };
        return Err(source.invalid(&format!("{path}.storage_class"), problem));
    }
    let credentials = match shape.credentials {
        None => GcsCredentials::Default,
        Some(credentials) => gcs_credentials(&credentials, &format!("{path}.credentials"), source)?,
    };
    Ok(GcsOptions {
        bucket,
        prefix,
        endpoint: shape
            .endpoint
            .map(|endpoint| endpoint.trim_end_matches('/').to_owned()),
        credentials,
        storage_class: shape.storage_class,
    })
}

/// The class that was meant, where only its spelling is wrong or a letter or two.
fn nearest_class(class: &str) -> Option<&'static str> {
    let written = class.to_ascii_uppercase();
    let distance = |name: &&&str| strsim::damerau_levenshtein(name, &written);
    let nearest = GCS_CLASSES.iter().min_by_key(distance)?;
    (distance(&nearest) <= 2).then_some(*nearest)
}

fn gcs_credentials(
    shape: &CredentialsShape,
    path: &str,
    source: &Source<'_>,
) -> Result<GcsCredentials, ConfigError> {
    if let Some(field) = first_s3_credential(shape) {
        let problem = "belongs to s3:// tiers; write credentials = { file = \"key.json\" }, or leave them out";
        return Err(source.invalid(&format!("{path}.{field}"), problem));
    }
    match (shape.file.as_deref(), shape.anonymous) {
        (Some(""), _) => Err(source.invalid(&format!("{path}.file"), "must not be empty")),
        (Some(file), None | Some(false)) => Ok(GcsCredentials::File(source.resolve(file))),
        (None, Some(true)) => Ok(GcsCredentials::Anonymous),
        (Some(_), Some(true)) => Err(source.invalid(
            &format!("{path}.anonymous"),
            "whoever has a key is not anonymous; remove file or anonymous",
        )),
        (None, _) => Err(source.invalid(
            path,
            "needs file = \"key.json\" or anonymous = true; without credentials the environment's own are used",
        )),
    }
}

fn take_credentials(
    shape: CredentialsShape,
    options: &mut S3Options,
    path: &str,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    for (field, given) in [
        ("file", shape.file.is_some()),
        ("anonymous", shape.anonymous.is_some()),
    ] {
        if given {
            let problem = "belongs to gs:// tiers; write access_key_id_… and secret_access_key_…, each with _env or _file";
            return Err(source.invalid(&format!("{path}.{field}"), problem));
        }
    }
    let id = [shape.access_key_id_env, shape.access_key_id_file];
    options.access_key_id = credential("access_key_id", id, path, source)?;
    let key = [shape.secret_access_key_env, shape.secret_access_key_file];
    options.secret_access_key = credential("secret_access_key", key, path, source)?;
    let token = [shape.session_token_env, shape.session_token_file];
    options.session_token = credential("session_token", token, path, source)?;
    if options.access_key_id.is_none() || options.secret_access_key.is_none() {
        let problem = "needs both access_key_id_… and secret_access_key_…, each with _env or _file";
        return Err(source.invalid(path, problem));
    }
    Ok(())
}

fn check_endpoint(
    shape: &TierShape,
    example: &str,
    path: &str,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    let Some(endpoint) = shape.endpoint.as_deref() else {
        return Ok(());
    };
    if PageUrl::parse(endpoint).is_ok_and(|url| url.query().is_none()) {
        return Ok(());
    }
    let problem = format!("must be an http or https URL without credentials, such as {example}");
    Err(source.invalid(&format!("{path}.endpoint"), problem))
}

fn check_s3(shape: &TierShape, path: &str, source: &Source<'_>) -> Result<(), ConfigError> {
    check_endpoint(shape, "https://s3.example.org", path, source)?;
    for (field, value) in [
        ("region", &shape.region),
        ("storage_class", &shape.storage_class),
        ("kms_key_id", &shape.kms_key_id),
        ("acl", &shape.acl),
    ] {
        if value
            .as_deref()
            .is_some_and(|value| !is_header_value(value))
        {
            return Err(source.invalid(
                &format!("{path}.{field}"),
                "must be visible ASCII characters",
            ));
        }
    }
    let is_account = |owner: &str| owner.len() == 12 && owner.bytes().all(|b| b.is_ascii_digit());
    if let Some(owner) = shape.expected_bucket_owner.as_deref()
        && !is_account(owner)
    {
        let problem = "must be the 12 digits of an account, such as \"123456789012\"";
        return Err(source.invalid(&format!("{path}.expected_bucket_owner"), problem));
    }
    if let Some(class) = shape.storage_class.as_deref()
        && FROZEN_CLASSES.contains(&class)
    {
        let problem = format!("nothing can be served from {class}; use GLACIER_IR or a warmer one");
        return Err(source.invalid(&format!("{path}.storage_class"), problem));
    }
    let sse = shape.sse.as_deref();
    if sse.is_some_and(|sse| !SSE_KINDS.contains(&sse)) {
        let problem = format!("must be one of {}", SSE_KINDS.join(", "));
        return Err(source.invalid(&format!("{path}.sse"), problem));
    }
    if shape.kms_key_id.is_some() && !sse.is_some_and(|sse| sse.starts_with("aws:kms")) {
        let problem = "is used with sse = \"aws:kms\" only; add that or remove this";
        return Err(source.invalid(&format!("{path}.kms_key_id"), problem));
    }
    Ok(())
}

/// One credential from the environment or from a file; `None` when neither is named.
fn credential(
    name: &str,
    [env, file]: [Option<String>; 2],
    path: &str,
    source: &Source<'_>,
) -> Result<Option<Secret>, ConfigError> {
    match (env, file) {
        (None, None) => Ok(None),
        (Some(env), None) => source
            .secret_from_env(&format!("{path}.{name}_env"), &env)
            .map(Some),
        (None, Some(file)) => source
            .secret_from_file(&format!("{path}.{name}_file"), &file)
            .map(Some),
        (Some(_), Some(_)) => {
            let problem = format!(
                "take it either from the environment or from a file; remove {name}_env or {name}_file"
            );
            Err(source.invalid(&format!("{path}.{name}_file"), problem))
        }
    }
}

/// What only S3 has.
fn first_s3_option(shape: &TierShape) -> Option<&'static str> {
    first_given([
        ("region", shape.region.is_some()),
        ("path_style", shape.path_style.is_some()),
        ("sse", shape.sse.is_some()),
        ("kms_key_id", shape.kms_key_id.is_some()),
        ("acl", shape.acl.is_some()),
        (
            "expected_bucket_owner",
            shape.expected_bucket_owner.is_some(),
        ),
    ])
}

/// What every bucket has.
fn first_bucket_option(shape: &TierShape) -> Option<&'static str> {
    first_given([
        ("endpoint", shape.endpoint.is_some()),
        ("storage_class", shape.storage_class.is_some()),
        ("credentials", shape.credentials.is_some()),
    ])
}

fn first_s3_credential(shape: &CredentialsShape) -> Option<&'static str> {
    first_given([
        ("access_key_id_env", shape.access_key_id_env.is_some()),
        ("access_key_id_file", shape.access_key_id_file.is_some()),
        (
            "secret_access_key_env",
            shape.secret_access_key_env.is_some(),
        ),
        (
            "secret_access_key_file",
            shape.secret_access_key_file.is_some(),
        ),
        ("session_token_env", shape.session_token_env.is_some()),
        ("session_token_file", shape.session_token_file.is_some()),
    ])
}

fn first_given<const N: usize>(fields: [(&'static str, bool); N]) -> Option<&'static str> {
    let given = fields.into_iter().find(|(_, given)| *given);
    given.map(|(name, _)| name)
}

fn refuse_sharing(
    tier: &TierConfig,
    other: &TierConfig,
    path: &str,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    if tier.name == other.name {
        let problem = format!(
            "`{}` is the name of an earlier tier; each needs its own",
            tier.name
        );
        return Err(source.invalid(&format!("{path}.name"), problem));
    }
    if tier.override_name.is_some() && tier.override_name == other.override_name {
        let problem = format!("tier `{}` has the same; each needs its own", other.name);
        return Err(source.invalid(&format!("{path}.override"), problem));
    }
    if overlap(&tier.target, &other.target) {
        let problem = format!(
            "overlaps tier `{}`; two copies in one place are one",
            other.name
        );
        return Err(source.invalid(&format!("{path}.url"), problem));
    }
    Ok(())
}

/// The service that an S3 tier without an endpoint is at.
const AMAZON: &str = "amazonaws.com";

/// The service that a `gs://` tier without an endpoint is at. It speaks the protocol of S3 as well.
const GOOGLE: &str = "storage.googleapis.com:443";

/// Whether one of two places lies inside the other, as far as names and links can tell.
fn overlap(a: &TierTarget, b: &TierTarget) -> bool {
    let nested = |a: &str, b: &str| Path::new(a).starts_with(b) || Path::new(b).starts_with(a);
    match (a, b) {
        (TierTarget::Directory(a), TierTarget::Directory(b)) => {
            let (a, b) = (real(a), real(b));
            a.starts_with(&b) || b.starts_with(&a)
        }
        _ => match (bucket_of(a), bucket_of(b)) {
            (Some(a), Some(b)) => {
                (&a.service, a.bucket) == (&b.service, b.bucket) && nested(a.prefix, b.prefix)
            }
            _ => false,
        },
    }
}

/// A folder by its real name, so that a link to it is seen to be the same one, as far as it is there already.
fn real(folder: &Path) -> PathBuf {
    for there in folder.ancestors() {
        if let (Ok(real), Ok(rest)) = (there.canonicalize(), folder.strip_prefix(there)) {
            return real.join(rest);
        }
    }
    folder.to_owned()
}

/// Where a bucket is, however its service is spoken to.
struct Bucket<'a> {
    /// Host and port; one name for all regions of a service whose buckets have one name space.
    service: String,
    bucket: &'a str,
    prefix: &'a str,
}

fn bucket_of(target: &TierTarget) -> Option<Bucket<'_>> {
    let (endpoint, default, bucket, prefix) = match target {
        TierTarget::Directory(_) => return None,
        TierTarget::S3(s3) => (&s3.endpoint, AMAZON, &s3.bucket, &s3.prefix),
        TierTarget::Gcs(gcs) => (&gcs.endpoint, GOOGLE, &gcs.bucket, &gcs.prefix),
    };
    let service = match endpoint.as_deref().map(PageUrl::parse) {
        Some(Ok(url)) if url.host().ends_with(".amazonaws.com") => AMAZON.to_owned(),
        Some(Ok(url)) => format!("{}:{}", url.host(), url.port()),
        _ => default.to_owned(),
    };
    Some(Bucket {
        service,
        bucket,
        prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::load::parse;
    use super::super::load::tests::{SITE, cases, refused};
    use super::*;

    #[test]
    fn a_tier_that_cannot_work_is_refused() {
        // Promise: names, places, options and credentials that do not fit are refused at their
        // line with the way out, and no message shows a credential.
        for (text, expected) in cases(REFUSED) {
            assert_eq!(refused(&format!("{SITE}{text}")), expected);
        }
    }

    #[test]
    fn places_that_only_look_alike_are_kept_apart() {
        // Promise: neighbours in one bucket, and buckets of one name at two services, are two places.
        for (a, b) in [
            ("url = \"s3://b/c\"", "url = \"s3://b/cd\""),
            ("url = \"s3://b\"", "url = \"s3://b2\""),
            (
                "url = \"s3://b\"",
                "url = \"s3://b\"\nendpoint = \"http://h:9000\"",
            ),
            ("url = \"s3://b\"", "url = \"gs://b\""),
            ("url = \"file:b/c\"", "url = \"file:b/cd\""),
        ] {
            let text =
                format!("{SITE}\n[[tier]]\nname = \"a\"\n{a}\n[[tier]]\nname = \"b\"\n{b}\n");
            let config = parse(&text, Path::new("/etc/standin/standin.toml"), &|_| None);
            assert_eq!(
                config.map(|config| config.tiers.len()).ok(),
                Some(2),
                "{a} {b}"
            );
        }
    }

    #[test]
    fn directories_are_found_from_the_file() {
        // Promise: the three ways to write a directory, relative ones from the folder of the file.
        for (url, expected) in [
            ("file:tiers/a", "/etc/standin/tiers/a"),
            ("file:./tiers/a/", "/etc/standin/tiers/a"),
            ("file:/srv/a b%20", "/srv/a b%20"),
            ("file:///srv/a", "/srv/a"),
        ] {
            let config = accepted(&format!("url = \"{url}\""));
            let TierTarget::Directory(dir) = &config.tiers[0].target else {
                panic!("{url}")
            };
            assert_eq!(dir, Path::new(expected), "{url}");
            assert_eq!(config.tiers[0].concurrency_max, 32);
        }
    }

    #[test]
    fn a_bucket_gets_all_its_options() {
        // Promise: what the file says of a bucket arrives, with credentials from the environment.
        let config = accepted(
            r#"url = "s3://bucket/a/b/"
endpoint = "http://127.0.0.1:9000/"
region = "eu-west-2"
path_style = true
storage_class = "STANDARD_IA"
sse = "aws:kms"
kms_key_id = "key"
acl = "private"
expected_bucket_owner = "123456789012"
override = "mirrorS3"
concurrency_max = 4
credentials = { access_key_id_env = "ID", secret_access_key_env = "KEY", session_token_env = "T" }"#,
        );
        let tier = &config.tiers[0];
        assert_eq!(
            (tier.concurrency_max, tier.override_name.as_deref()),
            (4, Some("mirrorS3"))
        );
        let TierTarget::S3(options) = &tier.target else {
            panic!("S3")
        };
        assert_eq!(
            (options.bucket.as_str(), options.prefix.as_str()),
            ("bucket", "a/b")
        );
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert!(options.path_style);
        let texts = [
            &options.region,
            &options.storage_class,
            &options.sse,
            &options.kms_key_id,
        ];
        let expected = ["eu-west-2", "STANDARD_IA", "aws:kms", "key"];
        assert_eq!(texts.map(|text| text.as_deref().unwrap()), expected);
        assert_eq!(options.acl.as_deref(), Some("private"));
        let owner = options.expected_bucket_owner.as_deref();
        assert_eq!(owner, Some("123456789012"));
        let secrets = [
            &options.access_key_id,
            &options.secret_access_key,
            &options.session_token,
        ];
        let shown = secrets.map(|secret| secret.as_ref().unwrap().expose());
        assert_eq!(shown, ["ID-value", "KEY-value", "T-value"]);
    }

    #[test]
    fn a_gcs_bucket_gets_all_its_options() {
        // Promise: what the file says of a bucket of Google's arrives, in each way to say who asks.
        let gcs = |text: &str| {
            let config = accepted(&format!("url = \"gs://bucket/a/b/\"\n{text}"));
            assert_eq!(config.problems(), Vec::<String>::new());
            let TierTarget::Gcs(options) = &config.tiers[0].target else {
                panic!("GCS")
            };
            options.clone()
        };
        let plain = gcs("");
        assert_eq!(
            (plain.bucket.as_str(), plain.prefix.as_str()),
            ("bucket", "a/b")
        );
        assert_eq!(plain.credentials, GcsCredentials::Default);
        assert_eq!((plain.endpoint, plain.storage_class), (None, None));
        let options = gcs(
            "endpoint = \"http://127.0.0.1:4443/\"\nstorage_class = \"NEARLINE\"\nconcurrency_max = 4\ncredentials = { file = \"key.json\" }",
        );
        assert_eq!(options.endpoint.as_deref(), Some("http://127.0.0.1:4443"));
        assert_eq!(options.storage_class.as_deref(), Some("NEARLINE"));
        let file = PathBuf::from("/etc/standin/key.json");
        assert_eq!(options.credentials, GcsCredentials::File(file));
        let options = gcs("credentials = { anonymous = true }");
        assert_eq!(options.credentials, GcsCredentials::Anonymous);
    }

    #[test]
    fn what_cannot_run_is_a_problem_and_no_error() {
        // Promise: `config check` reports a file without tiers.
        let config = parse(SITE, Path::new("standin.toml"), &|_| None).unwrap();
        assert_eq!(
            config.problems(),
            [
                "there is no [[tier]], so nowhere to keep the copy; add one, such as url = \"file:tiers/local\""
            ]
        );
    }

    fn accepted(tier: &str) -> Config {
        let text = format!("{SITE}[[tier]]\nname = \"t\"\n{tier}");
        let environment = |name: &str| Some(format!("{name}-value").into());
        parse(&text, Path::new("/etc/standin/standin.toml"), &environment).unwrap()
    }

    /// What follows [`SITE`].
    const REFUSED: &str = r#"
[[tier]]
=> standin.toml:3: tier.name: is missing; write name = "primary"

[[tier]]
name = "A"
=> standin.toml:4: tier.name: `A` is no tier name: write 1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or a digit

[[tier]]
name = "a"
=> standin.toml:3: tier.url: is missing; write s3://bucket/prefix, gs://bucket/prefix or file:path

[[tier]]
name = "a"
url = "ftp://u:p@h"
=> standin.toml:5: tier.url: is no place for a tier; write s3://bucket/prefix, gs://bucket/prefix or file:path

[[tier]]
name = "a"
url = "file:"
=> standin.toml:5: tier.url: names no folder; write file:tiers/local

[[tier]]
name = "a"
url = "file://tiers/a"
=> standin.toml:5: tier.url: names a machine; write file:tiers/a for a relative path, file:/tiers/a for an absolute one

[[tier]]
name = "a"
url = "file:state/x"
=> standin.toml:5: tier.url: overlaps state.dir (state); keep them apart

[[tier]]
name = "a"
url = "file:a"
region = "x"
=> standin.toml:6: tier.region: is an option of buckets, not of file: tiers; remove it

[[tier]]
name = "a"
url = "file:a"
storage_class = "x"
=> standin.toml:6: tier.storage_class: is an option of buckets, not of file: tiers; remove it

[[tier]]
name = "a"
url = "gs://a"
region = "x"
=> standin.toml:6: tier.region: is an option of s3:// tiers, not of gs:// ones; remove it

[[tier]]
name = "a"
url = "gs://a/.well-known/acme-challenge/x"
=> standin.toml:5: tier.url: GCS refuses names under .well-known/acme-challenge; use another prefix

[[tier]]
name = "a"
url = "gs://a"
endpoint = "h:9"
=> standin.toml:6: tier.endpoint: must be an http or https URL without credentials, such as https://storage.googleapis.com

[[tier]]
name = "a"
url = "gs://a"
storage_class = "nearlne"
=> standin.toml:6: tier.storage_class: `nearlne` is no class of GCS; did you mean NEARLINE?

[[tier]]
name = "a"
url = "gs://a"
storage_class = "GLACIER"
=> standin.toml:6: tier.storage_class: must be one of STANDARD, NEARLINE, COLDLINE, ARCHIVE

[[tier]]
name = "a"
url = "gs://a"
credentials = { }
=> standin.toml:6: tier.credentials: needs file = "key.json" or anonymous = true; without credentials the environment's own are used

[[tier]]
name = "a"
url = "gs://a"
credentials = { file = "key.json", anonymous = true }
=> standin.toml:6: tier.credentials.anonymous: whoever has a key is not anonymous; remove file or anonymous

[[tier]]
name = "a"
url = "gs://a"
credentials = { access_key_id_env = "SET" }
=> standin.toml:6: tier.credentials.access_key_id_env: belongs to s3:// tiers; write credentials = { file = "key.json" }, or leave them out

[[tier]]
name = "a"
url = "s3://a"
credentials = { anonymous = true }
=> standin.toml:6: tier.credentials.anonymous: belongs to gs:// tiers; write access_key_id_… and secret_access_key_…, each with _env or _file

[[tier]]
name = "a"
url = "gs://b"
[[tier]]
name = "b"
url = "gs://b/c"
=> standin.toml:8: tier.url: overlaps tier `a`; two copies in one place are one

[[tier]]
name = "a"
url = "s3://"
=> standin.toml:5: tier.url: the bucket's name may hold letters, digits, `.`, `-`, `_`; write s3://bucket/prefix, gs://bucket/prefix or file:path

[[tier]]
name = "a"
url = "s3://b/a//b"
=> standin.toml:5: tier.url: no part of the prefix may be empty, `.`, `..` or `.standin`

[[tier]]
name = "a"
url = "s3://b"
endpoint = "h:9"
=> standin.toml:6: tier.endpoint: must be an http or https URL without credentials, such as https://s3.example.org

[[tier]]
name = "a"
url = "s3://b"
endpoint = "http://u:p@h:9"
=> standin.toml:6: tier.endpoint: must be an http or https URL without credentials, such as https://s3.example.org

[[tier]]
name = "a"
url = "s3://b"
sse = "x"
=> standin.toml:6: tier.sse: must be one of AES256, aws:kms, aws:kms:dsse

[[tier]]
name = "a"
url = "s3://b"
kms_key_id = "x"
=> standin.toml:6: tier.kms_key_id: is used with sse = "aws:kms" only; add that or remove this

[[tier]]
name = "a"
url = "s3://b"
acl = ""
=> standin.toml:6: tier.acl: must be visible ASCII characters

[[tier]]
name = "a"
url = "s3://b"
expected_bucket_owner = "12345"
=> standin.toml:6: tier.expected_bucket_owner: must be the 12 digits of an account, such as "123456789012"

[[tier]]
name = "a"
url = "s3://b"
storage_class = "GLACIER"
=> standin.toml:6: tier.storage_class: nothing can be served from GLACIER; use GLACIER_IR or a warmer one

[[tier]]
name = "a"
url = "s3://b"
concurrency_max = 0
=> standin.toml:6: tier.concurrency_max: must be 1 to 1024

[[tier]]
name = "a"
url = "s3://b"
credentials = { }
=> standin.toml:6: tier.credentials: needs both access_key_id_… and secret_access_key_…, each with _env or _file

[[tier]]
name = "a"
url = "s3://b"
credentials = { access_key_id_env = "UNSET" }
=> standin.toml:6: tier.credentials.access_key_id_env: the environment variable `UNSET` is not set

[[tier]]
name = "a"
url = "s3://b"
credentials = { access_key_id_env = "SET" }
=> standin.toml:6: tier.credentials: needs both access_key_id_… and secret_access_key_…, each with _env or _file

[[tier]]
name = "a"
url = "s3://b"
credentials = { access_key_id_env = "SET", access_key_id_file = "x" }
=> standin.toml:6: tier.credentials.access_key_id_file: take it either from the environment or from a file; remove access_key_id_env or access_key_id_file

[[tier]]
name = "a"
url = "s3://b"
credentials = { access_key_id_file = "/no/such/file" }
=> standin.toml:6: tier.credentials.access_key_id_file: /no/such/file: No such file or directory (os error 2)

[[tier]]
name = "a"
url = "s3://b"
override = ""
=> standin.toml:6: tier.override: must be visible ASCII characters: it is the value of a header

[[tier]]
name = "a"
url = "s3://b"
[[tier]]
name = "a"
url = "s3://c"
=> standin.toml:7: tier.name: `a` is the name of an earlier tier; each needs its own

[[tier]]
name = "a"
url = "s3://b"
[[tier]]
name = "b"
url = "s3://b/c"
=> standin.toml:8: tier.url: overlaps tier `a`; two copies in one place are one

[[tier]]
name = "a"
url = "s3://b/c/d"
[[tier]]
name = "b"
url = "s3://b/c"
endpoint = "https://s3.eu-west-2.amazonaws.com"
=> standin.toml:8: tier.url: overlaps tier `a`; two copies in one place are one

[[tier]]
name = "a"
url = "s3://b"
endpoint = "http://h:9000"
[[tier]]
name = "b"
url = "s3://b"
endpoint = "http://H:9000/"
=> standin.toml:9: tier.url: overlaps tier `a`; two copies in one place are one

[[tier]]
name = "a"
url = "gs://b/x"
[[tier]]
name = "b"
url = "s3://b/x/y"
endpoint = "https://storage.googleapis.com"
=> standin.toml:8: tier.url: overlaps tier `a`; two copies in one place are one

[[tier]]
name = "a"
url = "file:b"
[[tier]]
name = "b"
url = "file:./b/c"
=> standin.toml:8: tier.url: overlaps tier `a`; two copies in one place are one

[[tier]]
name = "a"
url = "s3://b"
override = "x"
[[tier]]
name = "b"
url = "s3://c"
override = "x"
=> standin.toml:10: tier.override: tier `a` has the same; each needs its own
"#;
}
