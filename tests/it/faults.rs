//! What every operation of a bucket tier comes to when something goes wrong between it and its service:
//! a table of operations and faults. Each cell has a server and a tier of its own, its fault is seen to
//! happen, and afterwards the bucket is looked at, not the tier.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, join_all};
use standin::config::{S3Options, TierName};
use standin::content::{KeptHeaders, digest};
use standin::site::{ObjectKey, PageUrl};
use standin::tier::{Body, Class, Expect, ObjectMeta, S3Tier, Tier, TierError};

use crate::support::faults::Harm;
use crate::support::s3_server::{ACCESS_KEY, About, S3Server, SECRET_KEY};

const BUCKET: &str = "site";

/// One cell's service and tier.
struct Cell {
    server: S3Server,
    tier: S3Tier,
}

impl Cell {
    /// With `h/a` holding `old`, and a head.
    async fn new() -> Cell {
        let server = S3Server::start(&[BUCKET]);
        let options = S3Options {
            bucket: BUCKET.into(),
            endpoint: Some(server.endpoint()),
            path_style: true,
            access_key_id: Some(ACCESS_KEY.to_owned().into()),
            secret_access_key: Some(SECRET_KEY.to_owned().into()),
            ..S3Options::default()
        };
        let name = TierName::parse("primary").expect("a name");
        let tier = S3Tier::new(name, &options, 32).expect("credentials are given");
        let cell = Cell { server, tier };
        cell.put("h/a", b"old").await.expect("put");
        let head = Bytes::from_static(b"head");
        let written = cell.tier.write_small(".standin/head", head, None);
        written.await.expect("written");
        cell.server.leave_upload(BUCKET, "h/left", DAY * 2);
        cell.server.forget();
        cell
    }

    async fn put(&self, at: &str, body: &'static [u8]) -> Result<String, TierError> {
        let (key, body) = (key(at), Bytes::from_static(body));
        let meta = meta_of(&body);
        let put = self.tier.put(&key, Body::Bytes(body), &meta).await;
        put.map(|confirmed| confirmed.etag)
    }

    fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        self.server.objects(BUCKET)
    }
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An operation, with what it answers as text.
#[derive(Clone, Copy)]
struct Operation {
    name: &'static str,
    run: for<'a> fn(&'a Cell) -> BoxFuture<'a, Result<String, TierError>>,
}

/// All operations that send requests, each of one request.
const OPERATIONS: [Operation; 13] = [
    Operation {
        name: "put",
        run: |cell| cell.put("h/a", b"new").boxed(),
    },
    Operation {
        name: "copy",
        run: |cell| {
            async {
                let (from, to, meta) = (key("h/a"), key("h/b"), meta_of(b"old"));
                let copied = cell.tier.copy(&from, None, &to, &meta).await;
                copied.map(|confirmed| confirmed.etag)
            }
            .boxed()
        },
    },
    Operation {
        name: "reheader",
        run: |cell| {
            async {
                let mut meta = meta_of(b"old");
                meta.status = 404;
                let done = cell.tier.reheader(&key("h/a"), None, &meta).await;
                done.map(|confirmed| confirmed.etag)
            }
            .boxed()
        },
    },
    Operation {
        name: "delete",
        run: |cell| {
            async {
                let failed = cell.tier.delete(&[key("h/a"), key("h/none")]).await?;
                Ok(text(&failed))
            }
            .boxed()
        },
    },
    Operation {
        name: "get",
        run: |cell| async { Ok(text(&cell.tier.get(&key("h/a"), None).await?)) }.boxed(),
    },
    Operation {
        name: "get a range",
        run: |cell| async { Ok(text(&cell.tier.get(&key("h/a"), Some(1..3)).await?)) }.boxed(),
    },
    Operation {
        name: "head",
        run: |cell| async { Ok(text(&cell.tier.head(&key("h/a")).await?)) }.boxed(),
    },
    Operation {
        name: "list",
        run: |cell| async { Ok(text(&cell.tier.list(None, 10).await?)) }.boxed(),
    },
    Operation {
        name: "read_small",
        run: |cell| async { Ok(text(&cell.tier.read_small(".standin/head").await?)) }.boxed(),
    },
    Operation {
        name: "write_small",
        run: |cell| {
            async {
                let bytes = Bytes::from_static(b"only ours");
                let absent = Some(Expect::Absent);
                cell.tier.write_small(".standin/new", bytes, absent).await
            }
            .boxed()
        },
    },
    Operation {
        name: "delete_small",
        run: |cell| async { Ok(text(&cell.tier.delete_small(".standin/head").await?)) }.boxed(),
    },
    Operation {
        name: "list_small",
        run: |cell| async { Ok(text(&cell.tier.list_small(".standin/").await?)) }.boxed(),
    },
    Operation {
        name: "sweep",
        run: |cell| {
            async {
                cell.tier.sweep(DAY).await?;
                // How many is not repeated: an abort whose answer was lost has counted already.
                Ok(text(&cell.server.upload_keys()))
            }
            .boxed()
        },
    },
];

fn text(value: &impl fmt::Debug) -> String {
    format!("{value:?}")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a key")
}

fn meta_of(body: &[u8]) -> ObjectMeta {
    let digest = digest(body);
    ObjectMeta {
        url: PageUrl::parse("https://h/a").expect("a URL"),
        content: digest.content,
        crc32c: digest.crc32c,
        size: digest.size,
        status: 200,
        location: None,
        headers: KeptHeaders::keep([("content-type", &b"text/html"[..])].into_iter()),
        provenance: None,
    }
}

/// What an operation answers and leaves behind when nothing goes wrong.
async fn undisturbed(operation: Operation) -> (String, BTreeMap<String, Vec<u8>>) {
    let cell = Cell::new().await;
    let answer = (operation.run)(&cell).await.expect(operation.name);
    (answer, cell.objects())
}

#[tokio::test]
async fn what_goes_wrong_once_is_got_over() {
    // Every operation × every fault that passes: the answer and the bucket are those of an undisturbed
    // operation, at the cost of one request more; what is slow costs none. Of the faults, the ones about
    // bodies concern the requests that have one.
    let faults = [
        (Harm::Drop, 1),
        (Harm::Status(500), 1),
        (
            Harm::Throttle {
                status: 503,
                after_seconds: 0,
            },
            1,
        ),
        (Harm::CutRequest, 1),
        (Harm::LoseAnswer, 1),
        (Harm::Slow(Duration::from_millis(20)), 0),
    ];
    let cells = OPERATIONS.into_iter().flat_map(|operation| {
        faults.map(|(harm, more)| async move {
            let (expected, after) = undisturbed(operation).await;
            let what = format!("{} × {harm:?}", operation.name);
            let cell = Cell::new().await;
            cell.server.harm(1, |_| true, harm);
            let answer = (operation.run)(&cell).await;
            let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(answer, expected, "{what}");
            assert_eq!(cell.objects(), after, "{what}");
            assert_eq!(cell.server.faults_left(), 0, "{what}: did not happen");
            let traffic = cell.tier.traffic();
            assert_eq!(traffic.retries, more, "{what}");
            let throttled = matches!(harm, Harm::Throttle { .. });
            assert_eq!(traffic.throttles, u64::from(throttled), "{what}");
        })
    });
    join_all(cells).await;
}

#[tokio::test]
async fn answers_that_are_cut_are_asked_for_again() {
    // A body or a listing that ends too early is never taken for a whole one.
    let cells = OPERATIONS.into_iter().filter(|operation| {
        ["get", "get a range", "list", "read_small", "list_small"].contains(&operation.name)
    });
    let cells = cells.map(|operation| async move {
        let (expected, _) = undisturbed(operation).await;
        let cell = Cell::new().await;
        cell.server.harm(2, |_| true, Harm::CutAnswer);
        let answer = (operation.run)(&cell).await.expect(operation.name);
        assert_eq!(answer, expected, "{}", operation.name);
        assert_eq!(
            (cell.server.faults_left(), cell.server.seen().len()),
            (0, 3)
        );
    });
    join_all(cells).await;
}

#[tokio::test]
async fn a_service_that_refuses_connections_is_reported_and_comes_back() {
    // Every operation fails in words that name the tier, to be tried again later, leaves the bucket
    // as it was, and succeeds when somebody listens again.
    let cells = OPERATIONS.into_iter().map(|operation| async move {
        let (expected, after) = undisturbed(operation).await;
        let cell = Cell::new().await;
        let before = cell.objects();
        cell.server.refuse(true);
        let error = (operation.run)(&cell).await.expect_err(operation.name);
        assert_eq!(error.class(), Class::Retry, "{}: {error}", operation.name);
        assert!(
            error
                .to_string()
                .starts_with("tier primary: cannot be reached"),
            "{error}"
        );
        assert_eq!(cell.tier.traffic().requests(), 2 + 5, "{}", operation.name);
        assert_eq!(cell.objects(), before, "{}", operation.name);
        cell.server.refuse(false);
        let answer = (operation.run)(&cell).await.expect(operation.name);
        assert_eq!(
            (answer, cell.objects()),
            (expected, after),
            "{}",
            operation.name
        );
    });
    join_all(cells).await;
}

#[tokio::test]
async fn what_keeps_failing_fails_after_five_attempts() {
    // No request is repeated without end, and the error says what the service said last.
    let cells = OPERATIONS.into_iter().map(|operation| async move {
        let cell = Cell::new().await;
        cell.server.harm(5, |_| true, Harm::Status(500));
        let error = (operation.run)(&cell).await.expect_err(operation.name);
        assert!(
            matches!(
                error,
                TierError::Busy {
                    throttled: false,
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.to_string().contains(": 500"), "{error}");
        assert_eq!(
            (cell.server.faults_left(), cell.server.seen().len()),
            (0, 5)
        );
    });
    join_all(cells).await;
}

#[tokio::test]
async fn bytes_that_are_damaged_on_the_way_are_never_stored() {
    // The service verifies the checksum of what arrives; the caller is told to send it again, since
    // the damage may have happened here.
    for name in ["put", "write_small"] {
        let operation = OPERATIONS.into_iter().find(|one| one.name == name);
        let operation = operation.expect("it is in the table");
        let cell = Cell::new().await;
        let before = cell.objects();
        cell.server.harm(1, |_| true, Harm::SpoilRequest);
        let error = (operation.run)(&cell).await.expect_err("damaged");
        assert!(
            matches!(error, TierError::Mismatch { .. }),
            "{name}: {error}"
        );
        assert_eq!(
            (cell.server.faults_left(), cell.server.seen().len()),
            (0, 1)
        );
        assert_eq!(cell.objects(), before, "{name}");
    }
}

#[tokio::test]
async fn bytes_that_are_damaged_on_the_way_back_show_it() {
    // A get gives the bytes as they came, with the digest that they ought to have: whoever asked for
    // them compares, as an audit does.
    let cell = Cell::new().await;
    cell.server.harm(1, |_| true, Harm::SpoilAnswer);
    let fetched = cell.tier.get(&key("h/a"), None).await.expect("answered");
    let fetched = fetched.expect("there");
    assert_eq!(cell.server.faults_left(), 0);
    let promised = fetched.meta.expect("whole").content;
    assert_ne!(digest(&fetched.body).content, promised);
}

#[tokio::test]
async fn a_put_that_comes_late_is_seen_in_the_listing() {
    // The network delivers an earlier put once more, after a later one: the bucket holds the old bytes
    // again. The listing then contradicts what the later put was confirmed with.
    let cell = Cell::new().await;
    cell.server.harm(1, |seen| seen.method == "PUT", Harm::Late);
    let early = cell.put("h/a", b"early").await.expect("put");
    let confirmed = cell.put("h/a", b"later").await.expect("put");
    assert_eq!(cell.server.faults_left(), 0);
    assert_eq!(cell.objects()["h/a"], b"early");
    let listed = cell.tier.list(None, 10).await.expect("listed");
    assert_eq!(listed.objects[0].etag, early);
    assert_ne!(listed.objects[0].etag, confirmed);
}

#[tokio::test]
async fn a_head_that_comes_late_changes_nothing() {
    // The same with a write under a condition: it does not hold any more.
    let cell = Cell::new().await;
    let (_, etag) = cell
        .tier
        .read_small(".standin/head")
        .await
        .expect("read")
        .expect("there");
    cell.server.harm(1, |seen| seen.method == "PUT", Harm::Late);
    let early = Bytes::from_static(b"epoch 2");
    let early = cell
        .tier
        .write_small(".standin/head", early, Some(Expect::Etag(etag)));
    let etag = early.await.expect("written");
    let later = Bytes::from_static(b"epoch 3");
    let later = cell
        .tier
        .write_small(".standin/head", later, Some(Expect::Etag(etag)));
    later.await.expect("written");
    assert_eq!(cell.server.faults_left(), 0);
    assert_eq!(cell.objects()[".standin/head"], b"epoch 3");
}

#[tokio::test]
async fn a_stale_listing_is_one_answer_and_no_memory() {
    // A listing from before the last put misses it, as eventually consistent services do; the next
    // one is asked for anew.
    let cell = Cell::new().await;
    let names = |page: standin::tier::ListPage| -> Vec<String> {
        let keys = page.objects.iter().map(|listed| listed.key.to_string());
        keys.collect()
    };
    let before = cell.tier.list(None, 10).await.expect("listed");
    assert_eq!(names(before), ["h/a"]);
    cell.put("h/b", b"body").await.expect("put");
    let listing = |seen: &crate::support::s3_server::Seen| seen.about == About::Listing;
    cell.server.harm(1, listing, Harm::Stale);
    let stale = cell.tier.list(None, 10).await.expect("listed");
    assert_eq!(names(stale), ["h/a"]);
    assert_eq!(cell.server.faults_left(), 0);
    let fresh = cell.tier.list(None, 10).await.expect("listed");
    assert_eq!(names(fresh), ["h/a", "h/b"]);
}

/// A request of an upload in parts: its method, and what its query tells.
type Step = (&'static str, fn(&str) -> bool);

#[tokio::test]
async fn an_upload_in_parts_survives_what_happens_to_any_of_its_requests() {
    // Begun, four parts and an end: a failure of each is got over by itself, without sending the other
    // parts again; a lost answer to the end is recognised, and no upload stays behind.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big");
    let body: Vec<u8> = (0..65_u32 << 20).map(|index| (index % 251) as u8).collect();
    std::fs::write(&path, &body).expect("written");
    let meta = meta_of(&body);
    let steps: [Step; 3] = [
        ("POST", |query| query.contains("uploads")),
        ("PUT", |query| query.contains("partNumber=2")),
        ("POST", |query| query.contains("uploadId")),
    ];
    for (method, matches) in steps {
        for harm in [Harm::Drop, Harm::LoseAnswer] {
            let cell = Cell::new().await;
            let chosen = move |seen: &crate::support::s3_server::Seen| {
                seen.method == method && matches(&seen.query)
            };
            cell.server.harm(1, chosen, harm);
            let source = Body::File {
                path: path.clone(),
                size: meta.size,
            };
            let put = cell.tier.put(&key("h/big"), source, &meta).await;
            let confirmed = put.unwrap_or_else(|error| panic!("{method} × {harm:?}: {error}"));
            assert_eq!(cell.server.faults_left(), 0, "{method} × {harm:?}");
            assert!(cell.objects()["h/big"] == body);
            let listed = cell.tier.list(Some("h/a"), 1).await.expect("listed");
            assert_eq!(listed.objects[0].etag, confirmed.etag);
            let parts = cell.server.count("PUT", About::Object);
            assert_eq!(
                parts,
                5 + usize::from(method == "PUT"),
                "{method} × {harm:?}"
            );
            // One that nobody was told of stays, which is what sweeping is for.
            let unknown = usize::from(harm == Harm::LoseAnswer && matches("uploads"));
            assert_eq!(
                cell.server.open_uploads(),
                1 + unknown,
                "{method} × {harm:?}"
            );
        }
    }
}
