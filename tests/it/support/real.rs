//! Real buckets for the conformance suite, named by the environment; `docs/TIERS.md` says how. Everything
//! happens under a random prefix, which is emptied in the end.

use std::env;
use std::sync::Arc;

use standin::config::{GcsCredentials, GcsOptions, S3Options, TierName};
use standin::tier::{GcsTier, S3Tier, Tier};

/// The buckets named, under a prefix of their own. Dropping this empties it.
pub struct RealBuckets {
    /// Makes one tier each; no client outlives the runtime that it was used in.
    makers: Vec<Box<dyn Fn() -> Arc<dyn Tier> + Send>>,
}

impl RealBuckets {
    /// None, unless the environment names some.
    pub fn named() -> RealBuckets {
        let mut makers: Vec<Box<dyn Fn() -> Arc<dyn Tier> + Send>> = Vec::new();
        let own = format!(
            "standin-test-{:016x}",
            getrandom::u64().expect("randomness")
        );
        if let Some(options) = s3_options(&own) {
            makers.push(Box::new(move || {
                let name = TierName::parse("real-s3").expect("a name");
                Arc::new(S3Tier::new(name, &options, 32).expect("it names no credentials"))
            }));
        }
        if let Some(options) = gcs_options(&own) {
            makers.push(Box::new(move || {
                let name = TierName::parse("real-gcs").expect("a name");
                Arc::new(GcsTier::new(name, &options, 32).expect("it names no credentials"))
            }));
        }
        RealBuckets { makers }
    }

    pub fn tiers(&self) -> Vec<Arc<dyn Tier>> {
        self.makers.iter().map(|make| make()).collect()
    }
}

impl Drop for RealBuckets {
    fn drop(&mut self) {
        let makers = std::mem::take(&mut self.makers);
        if makers.is_empty() {
            return;
        }
        // The test's own runtime is still running on this thread.
        let emptied = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                for make in &makers {
                    empty(&*make()).await;
                }
            });
        });
        if emptied.join().is_err() && !std::thread::panicking() {
            panic!("a real bucket could not be emptied");
        }
    }
}

/// `STANDIN_TEST_S3_URL` and what belongs to it; credentials are found as the product finds them.
fn s3_options(own: &str) -> Option<S3Options> {
    let (bucket, prefix) = place("STANDIN_TEST_S3_URL", "s3://", own)?;
    Some(S3Options {
        bucket,
        prefix,
        endpoint: set("STANDIN_TEST_S3_ENDPOINT"),
        region: set("STANDIN_TEST_S3_REGION"),
        path_style: set("STANDIN_TEST_S3_PATH_STYLE").is_some(),
        ..S3Options::default()
    })
}

/// `STANDIN_TEST_GCS_URL` and what belongs to it. With an endpoint nobody is asked who asks.
fn gcs_options(own: &str) -> Option<GcsOptions> {
    let (bucket, prefix) = place("STANDIN_TEST_GCS_URL", "gs://", own)?;
    let endpoint = set("STANDIN_TEST_GCS_ENDPOINT");
    Some(GcsOptions {
        bucket,
        prefix,
        credentials: match endpoint {
            Some(_) => GcsCredentials::Anonymous,
            None => GcsCredentials::Default,
        },
        endpoint,
        ..GcsOptions::default()
    })
}

/// The bucket that a variable names, and our own prefix in it.
fn place(variable: &str, scheme: &str, own: &str) -> Option<(String, String)> {
    let url = set(variable)?;
    let Some(place) = url.strip_prefix(scheme) else {
        panic!("{variable} is {scheme}BUCKET/PREFIX");
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    let prefix = match prefix.trim_end_matches('/') {
        "" => own.to_owned(),
        prefix => format!("{prefix}/{own}"),
    };
    Some((bucket.to_owned(), prefix))
}

fn set(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

async fn empty(tier: &dyn Tier) {
    loop {
        let page = tier.list(None, 1000).await.expect("listed");
        let keys: Vec<_> = page.objects.into_iter().map(|listed| listed.key).collect();
        if keys.is_empty() {
            break;
        }
        let failed = tier.delete(&keys).await.expect("answered");
        assert!(failed.is_empty(), "{failed:?}");
    }
    for name in tier.list_small(".standin/").await.expect("listed") {
        tier.delete_small(&name).await.expect("deleted");
    }
    tier.sweep(std::time::Duration::ZERO).await.expect("swept");
}
