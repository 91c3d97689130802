//! The S3 client of one tier: credentials, region, endpoint, timeouts.
//!
//! The client sends every request once: repeats are the line's (`../line.rs`), which are one budget for all
//! requests of a tier. Timeouts are such that an endpoint that is dead in whatever way (refuses, drops
//! packets, accepts and says nothing) is known within 10 seconds and the other tiers' work goes on.
//!
//! Where the tier has no credentials of its own, those of the machine are used, in the order that all
//! clients of Amazon's have: environment, profile files, web identity, container, instance. They are
//! looked for with the first request, so that a tier can be named without waiting for any of it.

use std::error::Error;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::{Client, Config};
use aws_smithy_http_client::{Builder as HttpBuilder, tls};

use crate::config::{S3Options, Secret, TierName};
use crate::tier::error::innermost;
use crate::tier::{TierError, bucket};

/// How long a request waits for what.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    connect: Duration,
    /// From the first byte sent to the first byte of the answer, so it covers the upload as well.
    read: Duration,
    /// A body that moves no byte for this long is given up.
    stall: Duration,
}

pub(super) const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(3),
    read: Duration::from_secs(10),
    stall: Duration::from_secs(10),
};

/// Bodies above this size get time in proportion. 96 requests in flight (three tiers) of this
/// size pass through a line of 10 Mbit/s within the read timeout.
const QUICK_BYTES_MAX: u64 = 128 * 1024;

/// The slowest upload that is let go on: 32 KB a second, one of 96 on a line of 25 Mbit/s.
const BYTES_PER_SECOND_MIN: u64 = 32 * 1024;

/// The slowest copy inside a service, and assembly of parts, that is waited for: Amazon's are several times
/// as fast.
const BYTES_PER_SECOND_INSIDE_MIN: u64 = 20_000_000;

/// The largest object that is copied in one request, 5 GB, takes less than this at that pace; parts are put
/// together without moving their bytes.
const INSIDE_MAX: Duration = Duration::from_secs(300);

/// The instance's own service answers within milliseconds, if there is one; elsewhere its address leads
/// nowhere.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(1);
const INSTANCE_ATTEMPTS_MAX: u32 = 2;

/// All places for credentials together, some of which are asked over the network.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(10);

/// What services other than Amazon's expect when they have no regions.
const REGION_DEFAULT: &str = "us-east-1";

/// Looks for region and credentials, if the tier has none of its own, and makes the client.
pub(super) async fn connect(name: &TierName, options: &S3Options) -> Result<Client, TierError> {
    let http = HttpBuilder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let region = region(options).await;
    let credentials = match own_credentials(name, options)? {
        Some(own) => SharedCredentialsProvider::new(own),
        None => of_the_machine(name, &http, &region).await?,
    };
    Ok(build(options, http, region, credentials, TIMEOUTS))
}

fn build(
    options: &S3Options,
    http: SharedHttpClient,
    region: Region,
    credentials: SharedCredentialsProvider,
    timeouts: Timeouts,
) -> Client {
    let waits = TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.read);
    let stalls = StalledStreamProtectionConfig::enabled().grace_period(timeouts.stall);
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(region)
        .force_path_style(options.path_style)
        .credentials_provider(credentials)
        .http_client(http)
        // Every put carries the CRC32C that was computed with the page; the client's own would
        // be a second pass, and turns a plain request into a chunked one.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(waits.build())
        .stalled_stream_protection(stalls.build());
    config.set_endpoint_url(options.endpoint.clone());
    Client::from_conf(config.build())
}

/// Timeouts for one request about a body of this size, or `None` where the client's own will do.
/// A dead line is noticed by the connect and stall timeouts all the same.
pub(super) fn patience(size: u64) -> Option<Builder> {
    if size <= QUICK_BYTES_MAX {
        return None;
    }
    let attempt = TIMEOUTS.read + Duration::from_secs(size / BYTES_PER_SECOND_MIN);
    Some(within(attempt))
}

/// As [`patience`], for a request that moves these bytes inside the service: none of them passes through
/// our line, and a service that has died says nothing either.
pub(super) fn patience_inside(size: u64) -> Option<Builder> {
    inside(size).map(within)
}

fn inside(size: u64) -> Option<Duration> {
    match size / BYTES_PER_SECOND_INSIDE_MIN {
        0 => None,
        seconds => Some((TIMEOUTS.read + Duration::from_secs(seconds)).min(INSIDE_MAX)),
    }
}

/// The timeouts of a request of which nothing may come back for this long.
fn within(attempt: Duration) -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(TIMEOUTS.connect)
        .disable_read_timeout()
        .operation_attempt_timeout(attempt)
        .build();
    Config::builder().timeout_config(timeouts)
}

/// For people.
pub(super) fn location(options: &S3Options) -> String {
    let endpoint = options.endpoint.as_deref();
    bucket::location("s3", &options.bucket, &options.prefix, endpoint)
}

/// The tier's own region, or that of the environment, or of the profile in use. None of it waits for a
/// network.
async fn region(options: &S3Options) -> Region {
    if let Some(region) = &options.region {
        return Region::new(region.clone());
    }
    let found = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    let found = found.region().await;
    found.unwrap_or_else(|| Region::from_static(REGION_DEFAULT))
}

/// The tier's own credentials: never one half of them, and never mixed with the machine's.
pub(super) fn own_credentials(
    name: &TierName,
    options: &S3Options,
) -> Result<Option<Credentials>, TierError> {
    let plain = |secret: &Secret| secret.expose().to_owned();
    let (id, secret) = match (&options.access_key_id, &options.secret_access_key) {
        (None, None) => return Ok(None),
        (Some(id), Some(secret)) => (plain(id), plain(secret)),
        _ => {
            return Err(TierError::Configuration {
                tier: name.clone(),
                cause: "one half of the credentials is missing".into(),
                remedy: "give both access_key_id and secret_access_key in the tier's credentials, or neither",
            });
        }
    };
    let token = options.session_token.as_ref().map(plain);
    Ok(Some(Credentials::new(id, secret, token, None, "standin")))
}

/// The chain of places that may hold credentials, which has been found to hold some.
async fn of_the_machine(
    name: &TierName,
    http: &SharedHttpClient,
    region: &Region,
) -> Result<SharedCredentialsProvider, TierError> {
    let config = ProviderConfig::without_region()
        .with_http_client(http.clone())
        .with_region(Some(region.clone()));
    let instance = imds::Client::builder()
        .configure(&config)
        .connect_timeout(INSTANCE_TIMEOUT)
        .read_timeout(INSTANCE_TIMEOUT)
        .max_attempts(INSTANCE_ATTEMPTS_MAX)
        .build();
    let chain = DefaultCredentialsChain::builder()
        .configure(config)
        .region(region.clone())
        .imds_client(instance)
        .build()
        .await;
    let missing = |cause: String| TierError::Configuration {
        tier: name.clone(),
        cause: format!("no credentials ({cause})"),
        remedy: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, name a profile by AWS_PROFILE, give the machine a role, or the tier its own credentials in the configuration",
    };
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, chain.provide_credentials()).await {
        Ok(Ok(_)) => Ok(SharedCredentialsProvider::new(chain)),
        Ok(Err(CredentialsError::CredentialsNotLoaded(_))) => Err(missing(
            "neither in the environment nor in a profile, no web identity, no role".into(),
        )),
        Ok(Err(error)) => Err(missing(innermost(&error as &(dyn Error + 'static)))),
        Err(_) => Err(missing(
            "the services that hand them out do not answer".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> S3Options {
        S3Options {
            bucket: "copy".into(),
            prefix: "a/b".into(),
            endpoint: Some("http://user:hunter2@127.0.0.1:9000/".into()),
            ..S3Options::default()
        }
    }

    #[test]
    fn a_location_shows_no_secret() {
        // A location is printed in reports and logs.
        assert_eq!(
            location(&options()),
            "s3://copy/a/b at http://127.0.0.1:9000"
        );
    }

    #[test]
    fn what_moves_inside_the_service_is_not_waited_for_like_an_upload() {
        // A service that dies over the copy of an attachment is known within minutes, not days; one that
        // works gets time for 5 GB.
        let seconds = |size| inside(size).map(|patience| patience.as_secs());
        assert_eq!(seconds(4096), None);
        assert_eq!(seconds(19_999_999), None);
        assert_eq!(seconds(1 << 30), Some(10 + 53));
        assert_eq!(seconds(5 << 30), Some(10 + 268));
        assert_eq!(seconds(5 << 40), Some(300));
        assert!(patience_inside(1 << 30).is_some() && patience_inside(4096).is_none());
    }

    #[test]
    fn half_a_pair_of_credentials_is_refused_with_the_way_out() {
        // Mixing a configured id with the environment's secret would sign with nonsense.
        let name = TierName::parse("replica").expect("a name");
        let half = S3Options {
            access_key_id: Some(String::from("id").into()),
            ..options()
        };
        let message = own_credentials(&name, &half)
            .expect_err("half a pair")
            .to_string();
        assert!(
            message.contains("replica") && message.contains("secret_access_key"),
            "{message}"
        );
    }

    #[tokio::test]
    async fn an_endpoint_that_says_nothing_is_asked_once() {
        // It accepts and never answers: one attempt, one timeout, and the error says to come back
        // later. With the real timeouts that takes 10 seconds.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let silent = S3Options {
            endpoint: Some(format!("http://{address}")),
            path_style: true,
            ..options()
        };
        let short = Timeouts {
            read: Duration::from_millis(20),
            ..TIMEOUTS
        };
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let client = build(
            &silent,
            HttpBuilder::new().build_http(),
            Region::from_static(REGION_DEFAULT),
            SharedCredentialsProvider::new(credentials),
            short,
        );
        let tier = TierName::parse("replica").expect("a name");
        let line = crate::tier::Line::new(tier.clone(), 8);
        let request = line.request(crate::tier::Kind::Get, async || {
            let request = client.get_object().bucket("copy").key("h/a");
            let asked = super::super::errors::Asked {
                tier: &tier,
                bucket: "copy",
                at: "h/a",
                operation: &super::super::errors::GET,
            };
            request.send().await.map_err(|error| asked.failed(&error))
        });
        let error = request.await.expect_err("silence");
        assert!(matches!(error, TierError::Silent { .. }), "{error}");
        assert_eq!(line.traffic().requests(), 1);
        assert!(TIMEOUTS.connect.max(TIMEOUTS.read).max(TIMEOUTS.stall) <= Duration::from_secs(10));
    }
}
