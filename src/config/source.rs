//! The file being read, as those see it who check its values: where a value stands, what its paths
//! and secrets are relative to, and the checks that several sections share.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use super::document::{self, Lines};
use super::secret::{self, Environment, Secret};
use super::{ConfigError, Place};

/// Connections to one host, or requests to one tier, beyond which no service is still helped.
const CONCURRENCY_LIMIT: usize = 1_024;

/// The file being read, for those who check its values.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub folder: &'a Path,
    pub lines: Lines,
    pub environment: Environment<'a>,
}

impl Source<'_> {
    /// The error that the value at `path` (`site.seeds[1]`) is not right.
    pub(super) fn invalid(&self, path: &str, problem: impl Display) -> ConfigError {
        ConfigError::Invalid {
            at: self.place(path),
            field: document::visible(&document::without_indices(path)),
            problem: document::visible(&problem.to_string()),
        }
    }

    /// A path from the file, seen from where the process runs.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        let whole = self.folder.join(path);
        // `./a` and `a` are one place; `..` stays, since only the file system knows what it means.
        let plain: PathBuf = whole
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        if plain.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            plain
        }
    }

    pub(super) fn secret_from_env(&self, path: &str, name: &str) -> Result<Secret, ConfigError> {
        secret::from_env(name, self.environment).map_err(|problem| self.invalid(path, problem))
    }

    pub(super) fn secret_from_file(&self, path: &str, name: &str) -> Result<Secret, ConfigError> {
        let secret = self.resolve(name);
        secret::from_file(&secret).map_err(|source| ConfigError::SecretFile {
            at: self.place(path),
            field: document::visible(&document::without_indices(path)),
            secret,
            source,
        })
    }

    fn place(&self, path: &str) -> Place {
        Place {
            file: self.file.to_owned(),
            line: self.lines.of(path),
        }
    }
}

/// Refuses a number of connections that cannot work.
pub(super) fn check_concurrency(
    concurrency: usize,
    path: &str,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    if (1..=CONCURRENCY_LIMIT).contains(&concurrency) {
        return Ok(());
    }
    Err(source.invalid(path, format!("must be 1 to {CONCURRENCY_LIMIT}")))
}

/// Refuses a pattern that did not compile, saying where, and the empty one, which matches all.
pub(super) fn check_pattern(
    pattern: &str,
    compiled: Result<(), regex::Error>,
    path: &str,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    if pattern.is_empty() {
        return Err(source.invalid(path, "an empty regular expression matches everything"));
    }
    compiled.map_err(|error| {
        // The last line says what is wrong; those before it draw the pattern.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default();
        let reason = reason.strip_prefix("error: ").unwrap_or(reason);
        source.invalid(
            path,
            format!("`{pattern}` is no regular expression: {reason}"),
        )
    })
}

/// Refuses what is no share of something; percentages are the usual slip.
pub(super) fn check_share(share: f64, path: &str, source: &Source<'_>) -> Result<(), ConfigError> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(source.invalid(path, "is a share, from 0 to 1 (5 % is 0.05)"))
}

/// Refuses what can be no name of a query's parameter.
pub(super) fn check_parameters(
    names: &[String],
    path: &str,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || name.contains(['&', '=', '?']) {
            let problem = "is a list of parameter names, such as [\"page\"]";
            return Err(source.invalid(&format!("{path}[{index}]"), problem));
        }
    }
    Ok(())
}

/// What names of headers and their directives are made of.
pub(super) fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(token)
}

/// What a header may hold: visible ASCII and inner spaces, at least one character.
pub(super) fn is_header_value(value: &str) -> bool {
    !value.is_empty()
        && value.trim() == value
        && value
            .bytes()
            .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}
