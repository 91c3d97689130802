//! The S3 client of one tier: credentials, endpoint, timeouts, repeats.
//!
//! Repeating is for hiccups: three attempts within a second, and none after a timeout, so that
//! an endpoint that is dead in whatever way (refuses, drops packets, accepts and says nothing)
//! is known within 10 seconds and the other tiers' work goes on. Later attempts are the caller's.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_s3::config::interceptors::{BeforeTransmitInterceptorContextRef, InterceptorContext};
use aws_sdk_s3::config::retry::{ClassifyRetry, RetryAction, RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, ConfigBag, Credentials, Intercept, Region,
    RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
    StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::{Client, Config};
use aws_smithy_http_client::{Builder as HttpBuilder, tls};

use crate::config::{S3Options, Secret, TierName};
use crate::tier::TierError;

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

const ATTEMPTS_MAX: u32 = 3;

/// Every client gets retry tokens of its own: the SDK's default pool is one for all clients of a
/// region, and one failing tier would use up the repeats of the others.
static PARTITION: AtomicU64 = AtomicU64::new(0);

pub(super) fn build(
    options: &S3Options,
    credentials: Credentials,
    timeouts: Timeouts,
    requests: Arc<AtomicU64>,
) -> Client {
    let http = HttpBuilder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let partition = PARTITION.fetch_add(1, Ordering::Relaxed);
    let retries = RetryConfig::standard()
        .with_max_attempts(ATTEMPTS_MAX)
        .with_initial_backoff(Duration::from_millis(100))
        .with_max_backoff(Duration::from_secs(2));
    let waits = TimeoutConfig::builder()
        .connect_timeout(timeouts.connect)
        .read_timeout(timeouts.read);
    let stalls = StalledStreamProtectionConfig::enabled().grace_period(timeouts.stall);
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region(options)))
        .force_path_style(options.path_style)
        .credentials_provider(credentials)
        .http_client(http)
        // Every put carries the CRC32C that was computed with the page; the client's own would
        // be a second pass, and turns a plain request into a chunked one.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_partition(RetryPartition::new(format!("standin-{partition}")))
        .retry_config(retries)
        .retry_classifier(NotAfterTimeout)
        .timeout_config(waits.build())
        .stalled_stream_protection(stalls.build())
        .interceptor(CountAttempts(requests));
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
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(TIMEOUTS.connect)
        .disable_read_timeout()
        .operation_attempt_timeout(attempt)
        .build();
    Some(Config::builder().timeout_config(timeouts))
}

/// Bucket, prefix and endpoint, for people. Credentials in an endpoint's URL are not shown.
pub(super) fn location(options: &S3Options) -> String {
    let prefix = match options.prefix.as_str() {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    };
    let endpoint = options
        .endpoint
        .as_deref()
        .and_then(|text| url::Url::parse(text).ok());
    let endpoint = endpoint.map(|url| format!(" at {}", url.origin().ascii_serialization()));
    format!(
        "s3://{}{prefix}{}",
        options.bucket,
        endpoint.unwrap_or_default()
    )
}

fn region(options: &S3Options) -> String {
    let from_environment = || {
        env::var("AWS_REGION")
            .or_else(|_| env::var("AWS_DEFAULT_REGION"))
            .ok()
    };
    // What services other than Amazon's expect when they have no regions.
    options
        .region
        .clone()
        .or_else(from_environment)
        .unwrap_or_else(|| "us-east-1".into())
}

/// The tier's own credentials or those of the environment, never a mixture of both.
pub(super) fn credentials(name: &TierName, options: &S3Options) -> Result<Credentials, TierError> {
    let missing = |cause: &str| TierError::Configuration {
        tier: name.clone(),
        cause: cause.into(),
        remedy: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN if you have one) in the environment, or the tier's credentials in the configuration",
    };
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let plain = |secret: &Secret| secret.expose().to_owned();
    let (id, secret, token) = match (&options.access_key_id, &options.secret_access_key) {
        (Some(id), Some(secret)) => (
            plain(id),
            plain(secret),
            options.session_token.as_ref().map(plain),
        ),
        (None, None) => match (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => (id, secret, set("AWS_SESSION_TOKEN")),
            _ => return Err(missing("no credentials")),
        },
        _ => return Err(missing("one half of the credentials is missing")),
    };
    Ok(Credentials::new(id, secret, token, None, "standin"))
}

/// Counts what really goes out, repeats included.
#[derive(Debug)]
struct CountAttempts(Arc<AtomicU64>);

impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_before_transmit(
        &self,
        _context: &BeforeTransmitInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// What has timed out is not repeated at once: three timeouts of 10 seconds would hold up a run.
#[derive(Debug)]
struct NotAfterTimeout;

impl ClassifyRetry for NotAfterTimeout {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else {
            return RetryAction::NoActionIndicated;
        };
        let by_connector = error
            .as_connector_error()
            .is_some_and(|error| error.is_timeout());
        match error.is_timeout_error() || by_connector {
            true => RetryAction::RetryForbidden,
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "NotAfterTimeout"
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
    fn half_a_pair_of_credentials_is_refused_with_the_way_out() {
        // Mixing a configured id with the environment's secret would sign with nonsense.
        let name = TierName::parse("replica").expect("a name");
        let half = S3Options {
            access_key_id: Some(String::from("id").into()),
            ..options()
        };
        let message = credentials(&name, &half)
            .expect_err("half a pair")
            .to_string();
        assert!(
            message.contains("replica") && message.contains("AWS_SECRET_ACCESS_KEY"),
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
        let requests = Arc::new(AtomicU64::new(0));
        let credentials = Credentials::new("id", "secret", None, None, "test");
        let client = build(&silent, credentials, short, Arc::clone(&requests));
        let error = client
            .get_object()
            .bucket("copy")
            .key("h/a")
            .send()
            .await
            .expect_err("silence");
        let tier = TierName::parse("replica").expect("a name");
        let error = crate::tier::s3::errors::from_client(&tier, "h/a", &error);
        assert!(
            matches!(&error, TierError::Unreachable { cause, .. } if cause == "no answer in time"),
            "{error}"
        );
        assert_eq!(requests.load(Ordering::Relaxed), 1);
        assert!(TIMEOUTS.connect.max(TIMEOUTS.read).max(TIMEOUTS.stall) <= Duration::from_secs(10));
    }
}
