//! The GCS clients of one tier: credentials, endpoint, timeouts. One of them speaks JSON over HTTP/1 and is
//! for bytes, the other gRPC and is for everything else.
//!
//! Neither repeats anything, and neither has timeouts that hold in every phase of a request: both are the
//! tier's business. Nor does the one for gRPC notice that its connection is dead; it would send one request
//! after the other into it. So clients are cheap to make anew, and share their credentials.

use std::path::Path;
use std::time::Duration;

use google_cloud_auth::build_errors::Error as BuildError;
use google_cloud_auth::credentials::{
    Builder as DefaultCredentials, Credentials, anonymous, external_account, impersonated,
    service_account, user_account,
};
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_storage::client::{Storage, StorageControl};
use google_cloud_storage::read_resume_policy::NeverResume;
use serde_json::Value;

use super::errors;
use crate::config::{GcsCredentials, GcsOptions, TierName};
use crate::tier::error::{innermost, one_line};
use crate::tier::{TierError, bucket};

/// How long a request waits for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// From the beginning of a request to its answer, for a small body or none; and between two pieces of
    /// a body that is read.
    pub answer: Duration,
    /// An upload of which no further byte is taken for this long is given up.
    pub stall: Duration,
    /// One request of a copy, in which bytes move inside the service.
    pub inside: Duration,
}

pub(super) const TIMEOUTS: Timeouts = Timeouts {
    answer: Duration::from_secs(10),
    // What the system has taken from us may lie in its buffers: 4 MB, at the slowest pace let go on.
    stall: Duration::from_secs(10 + 4 * 1024 * 1024 / BYTES_PER_SECOND_MIN),
    // The service ends such a request itself before it takes that long, and goes on in the next one.
    inside: Duration::from_secs(45),
};

/// Bodies above this size get time in proportion, as those for S3.
const QUICK_BYTES_MAX: u64 = 128 * 1024;

/// The slowest upload that is let go on: one of 96 on a line of 25 Mbit/s.
const BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// Key files have some KiB.
const KEY_FILE_BYTES_MAX: u64 = 1 << 20;

/// What a message is about that is about them.
pub(super) const CREDENTIALS: &str = "its credentials";

const FILE: &str =
    "let credentials = { file = … } name the JSON file that Google Cloud gave you for it";

#[derive(Clone, Debug)]
pub(super) struct Clients {
    pub storage: Storage,
    pub control: StorageControl,
}

/// Sends nothing about the bucket. With credentials of a metadata server it may ask that.
pub(super) async fn build(
    name: &TierName,
    options: &GcsOptions,
    credentials: Credentials,
) -> Result<Clients, TierError> {
    let mut storage = Storage::builder()
        .with_credentials(credentials.clone())
        .with_retry_policy(NeverRetry)
        .with_read_resume_policy(NeverResume);
    let mut control = StorageControl::builder()
        .with_credentials(credentials)
        .with_retry_policy(NeverRetry);
    if let Some(endpoint) = &options.endpoint {
        storage = storage.with_endpoint(endpoint);
        control = control.with_endpoint(endpoint);
    }
    let failed = |error: google_cloud_gax::client_builder::Error| TierError::Configuration {
        tier: name.clone(),
        cause: format!("no client for it ({})", innermost(&error)),
        remedy: match error.is_default_credentials() {
            true => errors::CREDENTIALS,
            false => "correct its endpoint and credentials",
        },
    };
    Ok(Clients {
        storage: storage.build().await.map_err(failed)?,
        control: control.build().await.map_err(failed)?,
    })
}

/// Time for one request about a body of this size.
pub(super) fn patience(timeouts: Timeouts, size: u64) -> Duration {
    match size <= QUICK_BYTES_MAX {
        true => timeouts.answer,
        false => timeouts.answer + Duration::from_secs(size / BYTES_PER_SECOND_MIN),
    }
}

/// For people.
pub(super) fn location(options: &GcsOptions) -> String {
    let endpoint = options.endpoint.as_deref();
    bucket::location("gs", &options.bucket, &options.prefix, endpoint)
}

/// Refuses at once what can be seen to be wrong without asking anybody.
pub(super) fn check(name: &TierName, options: &GcsOptions) -> Result<(), TierError> {
    match &options.credentials {
        GcsCredentials::File(path) => key(name, path).map(drop),
        GcsCredentials::Default | GcsCredentials::Anonymous => Ok(()),
    }
}

/// Credentials with a first token, which they keep as long as it holds: that nobody gives one out is then
/// not taken for a failure of the bucket.
pub(super) async fn credentials(
    name: &TierName,
    kind: &GcsCredentials,
) -> Result<Credentials, TierError> {
    let credentials = without_token(name, kind)?;
    match credentials.headers(http::Extensions::new()).await {
        Ok(_) => Ok(credentials),
        Err(error) => Err(errors::by_credentials(name, CREDENTIALS, &error)),
    }
}

fn without_token(name: &TierName, kind: &GcsCredentials) -> Result<Credentials, TierError> {
    // The client finds its cryptography in the process; that of another room may be there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (built, remedy) = match kind {
        GcsCredentials::Anonymous => return Ok(anonymous::Builder::new().build()),
        GcsCredentials::Default => (DefaultCredentials::default().build(), errors::CREDENTIALS),
        // Read again here: a key may have been replaced since.
        GcsCredentials::File(path) => (of_key(key(name, path)?), FILE),
    };
    built.map_err(|error| TierError::Configuration {
        tier: name.clone(),
        cause: format!("unusable credentials ({})", innermost(&error)),
        remedy,
    })
}

fn of_key((kind, key): (Kind, Value)) -> Result<Credentials, BuildError> {
    match kind {
        Kind::ServiceAccount => service_account::Builder::new(key).build(),
        Kind::ExternalAccount => external_account::Builder::new(key).build(),
        Kind::Impersonated => impersonated::Builder::new(key).build(),
        Kind::User => user_account::Builder::new(key).build(),
    }
}

/// What a credentials file holds.
#[derive(Clone, Copy)]
enum Kind {
    ServiceAccount,
    /// Workload identity federation.
    ExternalAccount,
    Impersonated,
    /// What `gcloud auth application-default login` writes.
    User,
}

/// No error shows anything of the file.
fn key(name: &TierName, path: &Path) -> Result<(Kind, Value), TierError> {
    let wrong = |problem: String| TierError::Configuration {
        tier: name.clone(),
        cause: format!("{}: {}", path.display(), one_line(&problem)),
        remedy: FILE,
    };
    let length = std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if length > KEY_FILE_BYTES_MAX {
        return Err(wrong("too long for a key file".into()));
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let Ok(key) = serde_json::from_slice::<Value>(&bytes) else {
        return Err(wrong("is no JSON".into()));
    };
    let kind = match key["type"].as_str() {
        Some("service_account") => Kind::ServiceAccount,
        Some("external_account") => Kind::ExternalAccount,
        Some("impersonated_service_account") => Kind::Impersonated,
        Some("authorized_user") => Kind::User,
        _ => return Err(wrong("is no credentials file of Google Cloud".into())),
    };
    Ok((kind, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> TierName {
        TierName::parse("tertiary").expect("a name")
    }

    #[test]
    fn a_location_shows_no_secret() {
        // A location is printed in reports and logs.
        let options = GcsOptions {
            bucket: "copy".into(),
            prefix: "a/b".into(),
            endpoint: Some("http://user:hunter2@127.0.0.1:9000/".into()),
            ..GcsOptions::default()
        };
        let shown = location(&options);
        assert_eq!(shown, "gs://copy/a/b at http://127.0.0.1:9000");
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_at_once() {
        // One line that names tier and file and the way out, and nothing of what the file holds.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.json");
        let options = GcsOptions {
            credentials: GcsCredentials::File(path.clone()),
            ..GcsOptions::default()
        };
        for content in [
            None,
            Some("hunter2"),
            Some("{\"private_key\": \"hunter2\"}"),
            Some("{\"type\": \"hunter2\"}"),
        ] {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("written");
            }
            let said = check(&name(), &options).expect_err("no key").to_string();
            assert!(
                said.contains("tertiary") && said.contains("key.json"),
                "{said}"
            );
            assert!(
                said.contains("credentials = ") && !said.contains('\n'),
                "{said}"
            );
            assert!(!said.contains("hunter2"), "{said}");
        }
        std::fs::write(&path, "{\"type\": \"service_account\"}").expect("written");
        check(&name(), &options).expect("it looks like a key");
    }

    #[tokio::test]
    async fn a_broken_key_is_an_error_with_a_way_out() {
        // It has the right shape and cannot be used; nothing of it is shown.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.json");
        let text = "{\"type\": \"service_account\", \"private_key\": \"hunter2\"}";
        std::fs::write(&path, text).expect("written");
        let kind = GcsCredentials::File(path);
        let error = credentials(&name(), &kind).await.expect_err("no key");
        let said = error.to_string();
        assert!(
            said.contains("tertiary") && said.contains("credentials = "),
            "{said}"
        );
        assert!(!said.contains("hunter2") && !said.contains('\n'), "{said}");
    }
}
