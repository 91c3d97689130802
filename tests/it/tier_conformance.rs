//! What every tier promises, checked on each kind of tier, and what only a bucket or only a
//! folder promises beyond that. The promises in words are `docs/TIERS.md`, which also says how to check them
//! on a real bucket.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use standin::config::{GcsCredentials, GcsOptions, S3Options, TierName};
use standin::content::{KeptHeaders, digest};
use standin::site::{ObjectKey, PageUrl};
use standin::tier::{
    Body, Capabilities, Class, DirectoryTier, EtagMeaning, Expect, GcsTier, ListPage, Listed,
    ObjectMeta, S3Tier, Tier, TierError,
};
use tempfile::TempDir;

use crate::support::faults::Harm;
use crate::support::gcs_server::GcsServer;
use crate::support::real::RealBuckets;
use crate::support::s3_server::{ACCESS_KEY, About, S3Server, SECRET_KEY, Seen};

const BUCKET: &str = "site";

/// One tier of each kind; what they stand on lives as long as they do.
struct Worlds {
    real: RealBuckets,
    server: S3Server,
    gcs: GcsServer,
    folder: TempDir,
}

impl Worlds {
    fn new() -> Worlds {
        Worlds {
            real: RealBuckets::named(),
            server: S3Server::start(&[BUCKET]),
            gcs: GcsServer::start(&[BUCKET]),
            folder: tempfile::tempdir().expect("a folder"),
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("copy")
    }

    fn directory(&self) -> DirectoryTier {
        DirectoryTier::new(name("local"), self.root())
    }

    fn tiers(&self) -> Vec<Arc<dyn Tier>> {
        let prefixed = S3Options {
            prefix: "mirror/v1".into(),
            ..options(&self.server)
        };
        let mut tiers: Vec<Arc<dyn Tier>> = vec![
            Arc::new(self.directory()),
            Arc::new(bucket_tier(&options(&self.server))),
            Arc::new(S3Tier::new(name("prefixed"), &prefixed, 32).expect("credentials are given")),
            Arc::new(gcs_tier(&self.gcs, "")),
            Arc::new(gcs_tier(&self.gcs, "mirror/v1")),
        ];
        tiers.extend(self.real.tiers());
        tiers
    }
}

fn gcs_tier(server: &GcsServer, prefix: &str) -> GcsTier {
    let options = GcsOptions {
        bucket: BUCKET.into(),
        prefix: prefix.into(),
        endpoint: Some(server.endpoint()),
        credentials: GcsCredentials::Anonymous,
        ..GcsOptions::default()
    };
    GcsTier::new(name("tertiary"), &options, 32).expect("no credentials are needed")
}

fn name(text: &str) -> TierName {
    TierName::parse(text).expect("a name")
}

fn options(server: &S3Server) -> S3Options {
    S3Options {
        bucket: BUCKET.into(),
        prefix: String::new(),
        endpoint: Some(server.endpoint()),
        region: None,
        path_style: true,
        storage_class: None,
        sse: None,
        kms_key_id: None,
        acl: None,
        expected_bucket_owner: None,
        access_key_id: Some(ACCESS_KEY.to_owned().into()),
        secret_access_key: Some(SECRET_KEY.to_owned().into()),
        session_token: None,
    }
}

fn bucket_tier(options: &S3Options) -> S3Tier {
    S3Tier::new(name("primary"), options, 32).expect("credentials are given")
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a key")
}

fn meta_of(body: &[u8]) -> ObjectMeta {
    let digest = digest(body);
    let headers: [(&str, &[u8]); 4] = [
        ("content-type", b"text/html; charset=utf-8"),
        ("cache-control", b"max-age=60"),
        ("content-security-policy", b"default-src 'self'; img-src *"),
        (
            "content-disposition",
            "inline; filename=\"Übersicht.html\"".as_bytes(),
        ),
    ];
    ObjectMeta {
        url: PageUrl::parse("https://h.example/a?q=%C3%BC").expect("a URL"),
        content: digest.content,
        crc32c: digest.crc32c,
        size: digest.size,
        status: 200,
        location: None,
        headers: KeptHeaders::keep(headers.into_iter()),
        provenance: None,
    }
}

async fn put(tier: &dyn Tier, at: &str, body: &'static [u8]) -> String {
    let (key, meta) = (key(at), meta_of(body));
    let put = tier.put(&key, Body::Bytes(Bytes::from_static(body)), &meta);
    put.await
        .unwrap_or_else(|error| panic!("{at}: {error}"))
        .etag
}

async fn list_all(tier: &dyn Tier, limit: usize) -> Vec<Listed> {
    let mut all = Vec::new();
    let mut page = ListPage {
        more: true,
        ..ListPage::default()
    };
    while page.more {
        page = tier
            .list(page.last.as_deref(), limit)
            .await
            .expect("a page");
        assert!(page.objects.len() <= limit);
        all.append(&mut page.objects);
    }
    all
}

fn class<T: std::fmt::Debug>(result: Result<T, TierError>) -> Class {
    result.expect_err("it must fail").class()
}

// What every tier promises.

#[tokio::test]
async fn an_object_comes_back_as_it_was_put() {
    // Bytes, metadata and ETag are the same in the confirmation, the listing and a get, for a
    // page, an empty one and a redirect; a second put replaces all of it.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        let mut redirect = meta_of(b"moved");
        redirect.status = 301;
        redirect.location = Some("https://h.example/b".into());
        redirect.headers = KeptHeaders::default();
        let cases: [(&[u8], ObjectMeta); 4] = [
            (b"one", meta_of(b"one")),
            (b"", meta_of(b"")),
            (b"moved", redirect),
            (b"two", meta_of(b"two")),
        ];
        for (body, meta) in cases {
            let body = Bytes::from_static(body);
            let confirmed = tier
                .put(&key("h/a b"), Body::Bytes(body.clone()), &meta)
                .await
                .expect("put");
            let fetched = tier
                .get(&key("h/a b"), None)
                .await
                .expect("get")
                .expect("there");
            assert_eq!(
                (fetched.body, fetched.meta),
                (body, Some(meta)),
                "{}",
                tier.location()
            );
            assert_eq!(fetched.etag, confirmed.etag);
            let listed = list_all(&*tier, 1000).await;
            let listed: Vec<_> = listed
                .iter()
                .map(|listed| (listed.key.clone(), listed.size, listed.etag.clone()))
                .collect();
            assert_eq!(listed, [(key("h/a b"), confirmed.size, confirmed.etag)]);
        }
        assert_eq!(tier.get(&key("h/none"), None).await.expect("get"), None);
        tier.settle().await.expect("settled");
    }
}

#[tokio::test]
async fn bytes_that_differ_from_their_digest_change_nothing() {
    // A put whose checksum or size is wrong is a mismatch, in memory and from a file, and the
    // object that was there stays.
    let worlds = Worlds::new();
    let file = worlds.folder.path().join("body");
    fs::write(&file, b"evil").expect("written");
    for tier in worlds.tiers() {
        put(&*tier, "h/a", b"good").await;
        let mut wrong = meta_of(b"evil");
        wrong.crc32c ^= 1;
        let mut short = meta_of(b"evi");
        short.size = 3;
        for meta in [wrong, short] {
            let bodies = [
                Body::Bytes(Bytes::from_static(b"evil")),
                Body::File {
                    path: file.clone(),
                    size: 4,
                },
            ];
            for body in bodies {
                let refused = tier.put(&key("h/a"), body.clone(), &meta).await;
                assert!(
                    matches!(refused, Err(TierError::Mismatch { .. })),
                    "{refused:?}"
                );
                let refused = tier.put(&key("h/new"), body, &meta).await;
                assert!(
                    matches!(refused, Err(TierError::Mismatch { .. })),
                    "{refused:?}"
                );
            }
        }
        assert_eq!(
            tier.get(&key("h/a"), None)
                .await
                .expect("get")
                .expect("there")
                .body,
            "good"
        );
        assert_eq!(list_all(&*tier, 1000).await.len(), 1);
    }
}

#[tokio::test]
async fn a_listing_has_every_key_once_in_byte_order() {
    // Names that sort differently as paths and as keys, other alphabets, what URLs escape, a key
    // that is another one's folder, names longer than a file's: the same from every page size.
    let long = format!("h/{}/x", "n".repeat(300));
    let keys = [
        "h/a",
        "h/a b",
        "h/a%20b",
        "h/a+b",
        "h/a.html",
        "h/a/b",
        "h/a/b/c",
        "h/a/b.c",
        "h/a0",
        "h/index.html",
        "h/é",
        "h/é/ü",
        "h/日本",
        "h_8080/a",
        "h/a/../b",
        "h//x",
        "h/x/",
        &long,
        "h/%",
        "h/*",
        "h/&<>\"'",
    ];
    let mut sorted = keys.map(str::to_owned);
    sorted.sort();
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        tier.write_small(".standin/head", Bytes::from_static(b"head"), None)
            .await
            .expect("written");
        for at in keys {
            put(&*tier, at, b"body").await;
        }
        for limit in [1, 2, 7, 1000] {
            let listed = list_all(&*tier, limit).await;
            let found: Vec<&str> = listed.iter().map(|listed| listed.key.as_str()).collect();
            assert_eq!(found, sorted, "{} by {limit}", tier.location());
            assert!(
                listed
                    .iter()
                    .all(|listed| listed.size == 4 && !listed.etag.is_empty())
            );
        }
        for (index, after) in sorted.iter().enumerate() {
            let page = tier.list(Some(after), 1000).await.expect("a page");
            assert_eq!(
                page.objects.len(),
                sorted.len() - index - 1,
                "after {after}"
            );
        }
        for at in keys {
            assert!(
                tier.get(&key(at), None).await.expect("get").is_some(),
                "{at} in {}",
                tier.location()
            );
        }
    }
}

#[tokio::test]
async fn deleting_twice_is_deleting_once() {
    // A repeated delete succeeds, and takes nothing that was not named.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        for at in ["h/a", "h/a/b", "h/a/b/c", "h/b+ %"] {
            put(&*tier, at, b"body").await;
        }
        let gone = [key("h/a/b"), key("h/b+ %"), key("h/never")];
        for _ in 0..2 {
            assert!(tier.delete(&gone).await.expect("deleted").is_empty());
        }
        let listed = list_all(&*tier, 1000).await;
        let found: Vec<&str> = listed.iter().map(|listed| listed.key.as_str()).collect();
        assert_eq!(found, ["h/a", "h/a/b/c"], "{}", tier.location());
        assert!(tier.get(&key("h/a/b"), None).await.expect("get").is_none());
    }
}

#[tokio::test]
async fn reheader_changes_the_metadata_alone() {
    // Bytes and ETag stay, what is served with them changes; on bytes that differ or are missing
    // it fails, so that nothing vouches for them.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        let before = put(&*tier, "h/a ü+%", b"body").await;
        let mut meta = meta_of(b"body");
        meta.headers = KeptHeaders::keep([("content-type", &b"text/plain"[..])].into_iter());
        let confirmed = tier
            .reheader(&key("h/a ü+%"), None, &meta)
            .await
            .expect("reheadered");
        assert_eq!(confirmed.etag, before);
        let fetched = tier
            .get(&key("h/a ü+%"), None)
            .await
            .expect("get")
            .expect("there");
        assert_eq!(
            (&fetched.body[..], fetched.meta),
            (&b"body"[..], Some(meta))
        );
        let other = tier
            .reheader(&key("h/a ü+%"), None, &meta_of(b"b0dy"))
            .await;
        assert!(
            matches!(other, Err(TierError::Mismatch { .. })),
            "{other:?}"
        );
        assert!(
            tier.reheader(&key("h/none"), None, &meta_of(b"body"))
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn a_copy_is_made_inside_the_tier() {
    // The same bytes under another key, with metadata of its own; the first object stays. Other bytes than
    // expected, or none, are told.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        put(&*tier, "h/a ü+%", b"body").await;
        let (from, to) = (key("h/a ü+%"), key("h/b"));
        let mut meta = meta_of(b"body");
        meta.status = 404;
        let confirmed = tier.copy(&from, None, &to, &meta).await.expect("copied");
        let copy = tier.get(&to, None).await.expect("get").expect("there");
        assert_eq!((&copy.body[..], copy.etag), (&b"body"[..], confirmed.etag));
        assert_eq!(copy.meta, Some(meta));
        let first = tier.get(&from, None).await.expect("get").expect("there");
        assert_eq!(first.meta, Some(meta_of(b"body")));
        let other = tier.copy(&from, None, &key("h/c"), &meta_of(b"b0dy")).await;
        assert!(
            matches!(other, Err(TierError::Mismatch { .. })),
            "{other:?}"
        );
        let (none, to, meta) = (key("h/none"), key("h/d"), meta_of(b"body"));
        let none = tier.copy(&none, None, &to, &meta).await;
        let none = none.expect_err("there is no such object");
        let is_told = matches!(
            none,
            TierError::Mismatch { .. } | TierError::Rejected { .. }
        );
        assert!(is_told, "{none}");
        assert_eq!(tier.get(&key("h/d"), None).await.expect("get"), None);
    }
}

#[tokio::test]
async fn a_head_and_a_range_say_what_the_whole_would() {
    // Metadata and ETag are those of the whole object; a range ends with it, and beyond it is nothing.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        let etag = put(&*tier, "h/a", b"0123456789").await;
        let meta = Some(meta_of(b"0123456789"));
        let seen = tier.head(&key("h/a")).await.expect("head").expect("there");
        assert_eq!((seen.size, &seen.etag, &seen.meta), (10, &etag, &meta));
        assert_eq!(tier.head(&key("h/none")).await.expect("head"), None);
        for (range, expected) in [
            (0..10, "0123456789"),
            (2..4, "23"),
            (8..99, "89"),
            (10..20, ""),
            (3..3, ""),
        ] {
            let part = tier.get(&key("h/a"), Some(range.clone())).await;
            let part = part.expect("get").expect("there");
            assert_eq!(part.body, expected, "{range:?} in {}", tier.location());
            assert_eq!((part.etag, part.meta), (etag.clone(), meta.clone()));
        }
        let none = tier.get(&key("h/none"), Some(0..4)).await;
        assert_eq!(none.expect("get"), None);
    }
}

#[tokio::test]
async fn a_listing_that_leads_nowhere_is_an_error() {
    // A page without anything that promises more: asked again from the same place it would be that for ever.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    put(&tier, "h/a", b"body").await;
    for after in [None, Some("h/")] {
        server.empty_listings(1);
        let page = tier.list(after, 10).await;
        assert!(matches!(page, Err(TierError::Busy { .. })), "{page:?}");
        let page = tier.list(after, 10).await.expect("listed");
        assert_eq!(page.objects.len(), 1);
    }
}

#[tokio::test]
async fn a_refused_range_is_not_an_empty_one() {
    // Only one answer says that an object ends before a range; any other is an error.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    put(&tier, "h/a", b"0123456789").await;
    let refusal = Harm::Refusal {
        status: 400,
        code: "InvalidArgument",
    };
    server.harm(1, |seen| seen.method == "GET", refusal);
    let part = tier.get(&key("h/a"), Some(2..4)).await;
    assert!(matches!(part, Err(TierError::Rejected { .. })), "{part:?}");
    assert_eq!(server.faults_left(), 0);
}

#[tokio::test]
async fn probing_and_sweeping_leave_everything_as_it_was() {
    // What can be done is found out with an object of the probe's own; what is swept is no object.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        put(&*tier, "h/a", b"body").await;
        let found = tier.probe().await.expect("probed");
        assert!(found.conditional_writes, "{}", tier.location());
        assert_eq!(
            tier.sweep(std::time::Duration::ZERO).await.expect("swept"),
            0
        );
        assert_eq!(list_all(&*tier, 10).await.len(), 1);
        assert_eq!(tier.list_small(".standin/").await.expect("listed"), [""; 0]);
    }
}

#[tokio::test]
async fn of_two_writers_of_the_head_one_wins() {
    // The lock between machines: of 16 writers at once exactly one finds it absent, and exactly
    // one finds the ETag that it has read; the others are told.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        let mut expect = Expect::Absent;
        for round in 0..2 {
            let writes = (0..16).map(|writer| {
                let bytes = Bytes::from(format!("round {round} writer {writer}"));
                tier.write_small(".standin/head", bytes, Some(expect.clone()))
            });
            let results = futures_util::future::join_all(writes).await;
            let mut won = Vec::new();
            for result in results {
                match result {
                    Ok(etag) => won.push(etag),
                    Err(error) => {
                        assert!(matches!(error, TierError::Precondition { .. }), "{error}")
                    }
                }
            }
            assert_eq!(won.len(), 1, "{}", tier.location());
            let (_, etag) = tier
                .read_small(".standin/head")
                .await
                .expect("read")
                .expect("there");
            assert_eq!(etag, won[0]);
            expect = Expect::Etag(etag);
        }
        tier.delete_small(".standin/head").await.expect("deleted");
        let late = tier
            .write_small(".standin/head", Bytes::from_static(b"late"), Some(expect))
            .await;
        assert!(
            matches!(late, Err(TierError::Precondition { .. })),
            "{late:?}"
        );
    }
}

#[tokio::test]
async fn small_objects_are_apart_from_the_site() {
    // Head and checkpoints are read, listed and deleted by name, and appear in no listing of the
    // site; objects of the site have no business there.
    let worlds = Worlds::new();
    for tier in worlds.tiers() {
        assert_eq!(tier.read_small(".standin/head").await.expect("read"), None);
        put(&*tier, "h/a", b"body").await;
        for small in [
            ".standin/head",
            ".standin/checkpoint/2/b",
            ".standin/checkpoint/1/a",
        ] {
            let bytes = Bytes::from(small.to_owned());
            let etag = tier
                .write_small(small, bytes.clone(), None)
                .await
                .expect("written");
            assert_eq!(
                tier.read_small(small).await.expect("read"),
                Some((bytes, etag))
            );
        }
        let names = tier
            .list_small(".standin/checkpoint/")
            .await
            .expect("listed");
        assert_eq!(
            names,
            [".standin/checkpoint/1/a", ".standin/checkpoint/2/b"]
        );
        assert_eq!(tier.list_small(".standin/").await.expect("listed").len(), 3);
        for _ in 0..2 {
            tier.delete_small(".standin/checkpoint/1/a")
                .await
                .expect("deleted");
        }
        assert_eq!(
            tier.list_small(".standin/checkpoint/1/")
                .await
                .expect("listed"),
            [""; 0]
        );
        assert_eq!(list_all(&*tier, 1000).await.len(), 1);
        let body = Body::Bytes(Bytes::from_static(b"x"));
        let refused = tier
            .put(&key(".standin/meta/aa/x"), body, &meta_of(b"x"))
            .await;
        assert_eq!(class(refused), Class::Skip);
    }
}

#[tokio::test]
async fn a_large_body_comes_from_its_file() {
    // 2 MB go in one request and 70 MB in parts; both arrive whole, and a file that is not what
    // was announced leaves nothing behind.
    let worlds = Worlds::new();
    let file = worlds.folder.path().join("attachment");
    for size in [2 << 20, 70 << 20] {
        let body: Vec<u8> = (0..size).map(|index: u32| (index % 251) as u8).collect();
        fs::write(&file, &body).expect("written");
        let meta = meta_of(&body);
        for tier in worlds.tiers() {
            let source = Body::File {
                path: file.clone(),
                size: meta.size,
            };
            let confirmed = tier
                .put(&key("h/big.pdf"), source.clone(), &meta)
                .await
                .expect("put");
            assert_eq!(confirmed.size, meta.size);
            let fetched = tier
                .get(&key("h/big.pdf"), None)
                .await
                .expect("get")
                .expect("there");
            assert!(fetched.body == body, "{}: other bytes", tier.location());
            assert_eq!(fetched.meta.as_ref(), Some(&meta));
            let mut wrong = meta.clone();
            wrong.crc32c ^= 1;
            let refused = tier.put(&key("h/wrong.pdf"), source, &wrong).await;
            assert!(
                matches!(refused, Err(TierError::Mismatch { .. })),
                "{refused:?}"
            );
            assert!(
                tier.get(&key("h/wrong.pdf"), None)
                    .await
                    .expect("get")
                    .is_none()
            );
        }
        assert_eq!(worlds.server.open_uploads(), 0);
        assert_eq!(worlds.gcs.objects(BUCKET).len(), 2);
    }
}

#[test]
fn the_suite_runs_on_a_bucket_that_the_environment_names() {
    // As `docs/TIERS.md` says, here with a server of ours in the place of the real one: the suite is run
    // once more as a process, writes to the bucket, and leaves it as it was.
    let server = S3Server::start(&[BUCKET]);
    server.insert(BUCKET, "tests/neighbour", b"stays");
    let gcs = GcsServer::start(&[BUCKET]);
    gcs.insert(BUCKET, "tests/neighbour", b"stays");
    let itself = std::env::current_exe().expect("it is running");
    for test in [
        "an_object_comes_back_as_it_was_put",
        "small_objects_are_apart_from_the_site",
    ] {
        let ran = std::process::Command::new(&itself)
            .args(["--exact", &format!("tier_conformance::{test}")])
            .env("STANDIN_TEST_S3_URL", format!("s3://{BUCKET}/tests"))
            .env("STANDIN_TEST_S3_ENDPOINT", server.endpoint())
            .env("STANDIN_TEST_S3_REGION", "us-east-1")
            .env("STANDIN_TEST_S3_PATH_STYLE", "1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("STANDIN_TEST_GCS_URL", format!("gs://{BUCKET}/tests"))
            .env("STANDIN_TEST_GCS_ENDPOINT", gcs.endpoint())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}");
        let prefix = format!("/{BUCKET}/tests/standin-test-");
        let written = server.seen();
        let written = written.iter().filter(|seen| seen.method == "PUT");
        assert!(written.clone().count() > 0);
        assert!(
            written
                .into_iter()
                .all(|seen| seen.path.starts_with(&prefix))
        );
        assert!(gcs.seen().len() > 3, "{:?}", gcs.seen());
        for objects in [server.objects(BUCKET), gcs.objects(BUCKET)] {
            let left: Vec<String> = objects.into_keys().collect();
            assert_eq!(left, ["tests/neighbour"]);
        }
        server.forget();
        gcs.forget();
    }
}

#[test]
fn every_operation_is_in_the_document() {
    // `docs/TIERS.md` says of each method of the trait what it promises, and names none that is gone.
    let source = include_str!("../../src/tier/mod.rs");
    let begin = source.find("pub trait Tier").expect("the trait");
    let methods: Vec<&str> = source[begin..]
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("async fn ")
                .or(line.trim().strip_prefix("fn "))
        })
        .filter_map(|rest| rest.split('(').next())
        .collect();
    assert!(methods.len() >= 16, "{methods:?}");
    let document = include_str!("../../docs/TIERS.md");
    let named: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    assert_eq!(named, methods, "the document's headings");
}

// What a bucket promises.

#[tokio::test]
async fn a_bucket_is_asked_no_more_than_needed() {
    // Requests cost money: a put is one, 2,500 keys are listed in three and deleted in three.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    put(&tier, "h/a", b"body").await;
    assert_eq!(server.seen().len(), 1);
    let keys: Vec<ObjectKey> = (0..2500)
        .map(|number| key(&format!("h/{number:04}")))
        .collect();
    for key in &keys {
        server.insert(BUCKET, key.as_str(), b"x");
    }
    server.forget();
    assert_eq!(list_all(&tier, 1000).await.len(), 2501);
    assert_eq!(
        (server.seen().len(), server.count("GET", About::Listing)),
        (3, 3)
    );
    server.forget();
    assert!(tier.delete(&keys).await.expect("deleted").is_empty());
    assert_eq!(server.seen().len(), 3);
    assert_eq!(tier.traffic().requests(), 7);
    assert_eq!(
        server.objects(BUCKET).into_keys().collect::<Vec<_>>(),
        ["h/a"]
    );
}

#[tokio::test]
async fn a_bucket_holds_what_a_cdn_needs() {
    // What S3 serves by itself is in its own fields, the rest in named metadata: a contract with
    // CDN rules that read them.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&S3Options {
        storage_class: Some("STANDARD_IA".into()),
        ..options(&server)
    });
    let mut meta = meta_of(b"moved");
    meta.status = 302;
    meta.location = Some("/b%20c".into());
    tier.put(
        &key("h/a"),
        Body::Bytes(Bytes::from_static(b"moved")),
        &meta,
    )
    .await
    .expect("put");
    let headers = server.object(BUCKET, "h/a").expect("there").headers;
    assert_eq!(
        headers.content_type.as_deref(),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(headers.cache_control.as_deref(), Some("max-age=60"));
    assert_eq!(headers.storage_class.as_deref(), Some("STANDARD_IA"));
    assert_eq!(headers.website_redirect.as_deref(), Some("/b%20c"));
    let field = |name: &str| headers.metadata.get(name).map(String::as_str);
    assert_eq!(field("standin-status"), Some("302"));
    assert_eq!(field("standin-location"), Some("/b%20c"));
    assert_eq!(field("standin-url"), Some("https://h.example/a?q=%C3%BC"));
    assert_eq!(
        field("standin-blake3"),
        Some(meta.content.to_string().as_str())
    );
    // What is small is never in an archive class.
    tier.write_small(".standin/head", Bytes::from_static(b"{}"), None)
        .await
        .expect("written");
    assert_eq!(
        server
            .object(BUCKET, ".standin/head")
            .expect("there")
            .headers
            .storage_class,
        None
    );
}

#[tokio::test]
async fn a_prefix_sees_only_its_own_keys() {
    // Two mirrors in one bucket, and a neighbour whose name begins alike.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&S3Options {
        prefix: "mirror/v1".into(),
        ..options(&server)
    });
    server.insert(BUCKET, "mirror/v1x/h/a", b"x");
    server.insert(BUCKET, "mirror/v1/", b"");
    server.insert(BUCKET, "h/a", b"x");
    put(&tier, "h/b", b"body").await;
    let listed = list_all(&tier, 1).await;
    assert_eq!(
        listed
            .iter()
            .map(|listed| listed.key.as_str())
            .collect::<Vec<_>>(),
        ["h/b"]
    );
    assert!(server.objects(BUCKET).contains_key("mirror/v1/h/b"));
}

#[tokio::test]
async fn a_hiccup_is_repeated_and_an_outage_is_reported() {
    // Two failures in a row are got over by the third attempt; a service that is down, refuses
    // connections or says no is an error of the right class that names tier and object.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    for status in [503, 500, 429] {
        server.fail_next(2, |seen| seen.method == "PUT", status);
        server.forget();
        put(&tier, "h/a", b"body").await;
        assert_eq!(
            (server.faults_left(), server.seen().len()),
            (0, 3),
            "{status}"
        );
    }
    for (status, expected) in [(403, Class::Stop), (400, Class::Skip)] {
        server.fail_next(1, |seen| seen.about == About::Object, status);
        assert_eq!(
            class(tier.get(&key("h/a"), None).await),
            expected,
            "{status}"
        );
        assert_eq!(server.faults_left(), 0);
    }
    server.down(true);
    assert_eq!(class(tier.list(None, 1000).await), Class::Retry);
    server.down(false);
    server.refuse(true);
    let error = tier
        .get(&key("h/a"), None)
        .await
        .expect_err("nobody listens");
    assert_eq!(error.class(), Class::Retry);
    let message = error.to_string();
    assert!(
        message.contains("primary") && message.contains("h/a") && message.contains("refused"),
        "{message}"
    );
    server.refuse(false);
    assert!(
        tier.get(&key("h/a"), None)
            .await
            .expect("back again")
            .is_some()
    );
}

#[tokio::test]
async fn what_concerns_the_whole_bucket_stops_the_tier() {
    // No such bucket and wrong credentials are said once and in plain words, without the secret.
    let server = S3Server::start(&[BUCKET]);
    for (options, word) in [
        (
            S3Options {
                bucket: "nowhere".into(),
                ..options(&server)
            },
            "create the bucket",
        ),
        (
            S3Options {
                secret_access_key: Some("hunter2".to_owned().into()),
                ..options(&server)
            },
            "credentials",
        ),
        (
            S3Options {
                access_key_id: Some("nobody".to_owned().into()),
                ..options(&server)
            },
            "credentials",
        ),
    ] {
        let tier = bucket_tier(&options);
        let body = Body::Bytes(Bytes::from_static(b"x"));
        for error in [
            tier.put(&key("h/a"), body, &meta_of(b"x")).await.err(),
            tier.list(None, 10).await.err(),
            tier.read_small(".standin/head").await.err(),
            tier.delete(&[key("h/a")]).await.err(),
        ] {
            let error = error.expect("it must fail");
            assert_eq!(error.class(), Class::Stop, "{error}");
            let message = error.to_string();
            assert!(
                message.contains(word) && !message.contains("hunter2") && !message.contains('\n'),
                "{message}"
            );
        }
    }
}

#[tokio::test]
async fn an_emptied_bucket_looks_empty() {
    // Somebody else's deletes show in the next answer: nothing is remembered from before.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    for at in ["h/a", "h/b"] {
        put(&tier, at, b"body").await;
    }
    server.remove(BUCKET, "h/a");
    assert_eq!(list_all(&tier, 10).await.len(), 1);
    assert_eq!(
        class(tier.reheader(&key("h/a"), None, &meta_of(b"body")).await),
        Class::Skip
    );
    server.clear(BUCKET);
    assert_eq!(
        tier.list(None, 10).await.expect("listed"),
        ListPage::default()
    );
    server.drop_bucket(BUCKET);
    assert_eq!(class(tier.list(None, 10).await), Class::Stop);
}

#[tokio::test]
async fn a_lost_answer_is_not_another_writer() {
    // The head is written, the answer lost, the repetition refused because of our own write:
    // the write counts, and one of another machine still does not.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    server.lose_answers(1, |seen| seen.method == "PUT");
    let bytes = Bytes::from_static(b"ours");
    let etag = tier
        .write_small(".standin/head", bytes, Some(Expect::Absent))
        .await
        .expect("written");
    assert_eq!(
        (server.faults_left(), server.count("PUT", About::Object)),
        (0, 2)
    );
    server.insert(BUCKET, ".standin/head", b"theirs");
    let late = tier
        .write_small(
            ".standin/head",
            Bytes::from_static(b"ours 2"),
            Some(Expect::Etag(etag)),
        )
        .await;
    assert!(
        matches!(late, Err(TierError::Precondition { .. })),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_service_without_conditions_is_usable() {
    // It answers 501 or 400 to If-None-Match; the head is written plainly instead.
    for status in [501, 400] {
        let server = S3Server::start(&[BUCKET]);
        let tier = bucket_tier(&options(&server));
        server.fail_next(1, |seen| seen.method == "PUT", status);
        let written = tier
            .write_small(
                ".standin/head",
                Bytes::from_static(b"x"),
                Some(Expect::Absent),
            )
            .await;
        assert!(written.is_ok() && server.faults_left() == 0, "{written:?}");
    }
}

#[tokio::test]
async fn a_copy_of_which_nothing_is_said_confirms_nothing() {
    // A service whose answers to copies state no checksum, and other bytes under the key than were
    // announced: without the ETag that they were recorded with, nobody has compared them.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    let etag = put(&tier, "h/a", b"body").await;
    server.mute_copies();
    for stored in [b"body", b"b0dy"] {
        server.corrupt(BUCKET, "h/a", stored);
        let (from, to, meta) = (key("h/a"), key("h/b"), meta_of(b"body"));
        let copied = tier.copy(&from, None, &to, &meta).await;
        let done = tier.reheader(&from, None, &meta).await;
        for answer in [copied, done] {
            assert!(
                matches!(answer, Err(TierError::Mismatch { .. })),
                "{answer:?}"
            );
        }
    }
    let (from, to, meta) = (key("h/a"), key("h/b"), meta_of(b"body"));
    let vouched = tier.copy(&from, Some(&etag), &to, &meta).await;
    assert_eq!(vouched.expect("copied").etag, etag);
}

#[tokio::test]
async fn a_bucket_is_asked_what_it_can_do() {
    // The probe writes, reads, lists and deletes one small object of its own, sees whether conditions are
    // heeded, and asks for versions and locks; nothing of it stays.
    let server = S3Server::start(&[BUCKET, "locked", "shy"]);
    let in_bucket = |bucket: &str| {
        bucket_tier(&S3Options {
            bucket: bucket.into(),
            ..options(&server)
        })
    };
    let plain = Capabilities {
        etag: EtagMeaning::Md5,
        conditional_writes: true,
        keeps_versions: Some(false),
        locks_objects: Some(false),
        copies_cheaply: true,
    };
    let tier = in_bucket(BUCKET);
    assert_eq!(tier.probe().await.expect("probed"), plain);
    assert_eq!(tier.traffic().requests(), tier.traffic().small);
    assert_eq!((server.seen().len(), server.objects(BUCKET).len()), (8, 0));
    server.keep_versions("locked");
    server.enable_lock("locked");
    let locked = in_bucket("locked").probe().await.expect("probed");
    let expected = Capabilities {
        keeps_versions: Some(true),
        locks_objects: Some(true),
        ..plain
    };
    assert_eq!(locked, expected);
    // What may not be asked is not known; a service without conditions has none.
    server.deny(|seen| seen.path.starts_with("/shy") && seen.about == About::Bucket);
    let write = |seen: &Seen| seen.method == "PUT" && seen.path.starts_with("/shy");
    server.harm(1, write, Harm::Slow(std::time::Duration::ZERO));
    server.fail_next(1, write, 501);
    let shy = in_bucket("shy").probe().await.expect("probed");
    let expected = Capabilities {
        conditional_writes: false,
        keeps_versions: None,
        locks_objects: None,
        ..plain
    };
    assert_eq!((shy, server.faults_left()), (expected, 0));
}

#[tokio::test]
async fn a_locked_object_stays_and_the_others_go() {
    // Retention concerns one object of a batch; the tier goes on, and the reason is said.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    for at in ["h/a", "h/b"] {
        put(&tier, at, b"body").await;
    }
    server.retain(BUCKET, "h/a");
    let failed = tier.delete(&[key("h/a"), key("h/b")]).await;
    let failed = failed.expect("answered");
    assert_eq!(failed.len(), 1);
    let (which, why) = &failed[0];
    assert_eq!((which, why.class()), (&key("h/a"), Class::Skip));
    assert!(why.to_string().contains("retention"), "{why}");
    assert_eq!(list_all(&tier, 10).await.len(), 1);
}

#[tokio::test]
async fn a_failure_that_names_no_key_fails_its_batch() {
    // Of which object it tells is not known: none of them may count as deleted.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    for at in ["h/a", "h/b"] {
        put(&tier, at, b"body").await;
    }
    server.retain(BUCKET, "h/a");
    server.blur_batches();
    let failed = tier.delete(&[key("h/a"), key("h/b")]).await;
    assert!(matches!(failed, Err(TierError::Busy { .. })), "{failed:?}");
}

#[tokio::test]
async fn unfinished_uploads_are_swept_page_by_page() {
    // Only those under our prefix, and only old ones: another writer's may still be going on.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&S3Options {
        prefix: "mirror".into(),
        ..options(&server)
    });
    let (hour, day) = (
        std::time::Duration::from_secs(3600),
        std::time::Duration::from_secs(24 * 3600),
    );
    for number in 0..5 {
        server.leave_upload(BUCKET, &format!("mirror/h/{number}"), 2 * day);
    }
    server.leave_upload(BUCKET, "mirror/h/fresh", hour);
    server.leave_upload(BUCKET, "other/h/a", 2 * day);
    server.leave_upload(BUCKET, "mirrored/h/a", 2 * day);
    assert_eq!(tier.leftovers(day).await.expect("counted"), 5);
    assert_eq!(tier.sweep(day).await.expect("swept"), 5);
    let mut left = server.upload_keys();
    left.sort();
    assert_eq!(left, ["mirror/h/fresh", "mirrored/h/a", "other/h/a"]);
    assert_eq!(tier.leftovers(day).await.expect("counted"), 0);
    assert_eq!(tier.sweep(day).await.expect("swept"), 0);
}

#[tokio::test]
async fn a_part_that_keeps_failing_leaves_no_upload_behind() {
    // Parts of an unfinished upload are paid for; the object that was there stays.
    let worlds = Worlds::new();
    let tier = bucket_tier(&options(&worlds.server));
    put(&tier, "h/big", b"old").await;
    let file = worlds.folder.path().join("big");
    let body = vec![7; 65 << 20];
    fs::write(&file, &body).expect("written");
    worlds
        .server
        .fail_next(5, |seen| seen.query.contains("partNumber=3"), 500);
    let source = Body::File {
        path: file,
        size: body.len() as u64,
    };
    assert_eq!(
        class(tier.put(&key("h/big"), source, &meta_of(&body)).await),
        Class::Retry
    );
    assert_eq!(
        (worlds.server.faults_left(), worlds.server.open_uploads()),
        (0, 0)
    );
    assert_eq!(
        tier.get(&key("h/big"), None)
            .await
            .expect("get")
            .expect("there")
            .body,
        "old"
    );
}

#[tokio::test]
async fn damaged_bytes_can_be_looked_at() {
    // An audit must see what is there; the listing still shows what the service recorded.
    let server = S3Server::start(&[BUCKET]);
    let tier = bucket_tier(&options(&server));
    let etag = put(&tier, "h/a", b"body").await;
    server.corrupt(BUCKET, "h/a", b"b0dy");
    let fetched = tier
        .get(&key("h/a"), None)
        .await
        .expect("get")
        .expect("there");
    assert_ne!(
        digest(&fetched.body).content,
        fetched.meta.expect("whole").content
    );
    assert_eq!(list_all(&tier, 10).await[0].etag, etag);
}

// What a folder promises.

/// The side file of a key, as `docs` and the code state it.
fn side(root: &Path, at: &str) -> PathBuf {
    hashed(root, "meta", at)
}

fn hashed(root: &Path, folder: &str, at: &str) -> PathBuf {
    let hash = blake3::hash(at.as_bytes()).to_hex().to_string();
    root.join(".standin")
        .join(folder)
        .join(&hash[..2])
        .join(&hash)
}

#[tokio::test]
async fn a_crash_never_leaves_a_record_beside_other_bytes() {
    // Every state between the steps of a put is built from the files before and after it. In each
    // the listing either tells the truth about the bytes or admits that it does not know, and
    // putting again ends in the undisturbed state.
    for at in ["h/a", "h/a/../b"] {
        let worlds = Worlds::new();
        let (tier, root) = (worlds.directory(), worlds.root());
        put(&tier, at, b"old!").await;
        let is_natural = root.join("h/a").is_file();
        let body = if is_natural {
            root.join(at)
        } else {
            hashed(&root, "overflow", at)
        };
        let read = || {
            (
                fs::read(&body).expect("body"),
                fs::read(side(&root, at)).expect("side"),
            )
        };
        let (old_body, old_side) = read();
        put(&tier, at, b"new!").await;
        let (new_body, new_side) = read();
        let states = [
            (&old_body, Some(&old_side[..])),
            (&old_body, None),
            (&new_body, None),
            // Not between the steps, but what a power loss makes of the last one.
            (&new_body, Some(&new_side[..new_side.len() / 2])),
            (&new_body, Some(&[])),
            (&new_body, Some(&new_side)),
        ];
        for (body_bytes, side_bytes) in states {
            fs::write(&body, body_bytes).expect("body");
            match side_bytes {
                Some(bytes) => fs::write(side(&root, at), bytes).expect("side"),
                None => fs::remove_file(side(&root, at)).unwrap_or_default(),
            }
            let after_crash = worlds.directory();
            for listed in list_all(&after_crash, 10).await {
                let honest = digest(body_bytes).content.to_string();
                assert!(
                    listed.etag.is_empty() || listed.etag == honest,
                    "{listed:?}"
                );
            }
            assert_eq!(
                after_crash
                    .get(&key(at), None)
                    .await
                    .expect("get")
                    .expect("there")
                    .body,
                body_bytes[..]
            );
            put(&after_crash, at, b"new!").await;
            assert!(read() == (new_body.clone(), new_side.clone()));
        }
    }
}

#[tokio::test]
async fn a_body_makes_way_for_a_folder_and_comes_back() {
    // `a` and `a/b` are both pages; a web server finds what the file system can hold, in either
    // order of putting, and `a` again when nothing is below it any more.
    let worlds = Worlds::new();
    let (tier, root) = (worlds.directory(), worlds.root());
    for order in [["h/a", "h/a/b/c"], ["h/a/b/c", "h/a"]] {
        for at in order {
            put(&tier, at, b"body").await;
        }
        assert!(root.join("h/a/b/c").is_file());
        assert!(
            tier.get(&key("h/a"), None)
                .await
                .expect("get")
                .expect("there")
                .meta
                .is_some()
        );
        tier.delete(&[key("h/a/b/c")]).await.expect("deleted");
        assert!(root.join("h/a").is_file(), "{order:?}");
        assert_eq!(list_all(&tier, 10).await.len(), 1);
        tier.delete(&[key("h/a")]).await.expect("deleted");
        assert!(!root.join("h").exists() && root.exists());
    }
}

#[tokio::test]
async fn a_forgotten_overflow_never_comes_back() {
    // The folder in the way disappears behind our back; the next put is natural, and the body in
    // the overflow must not return when that one is deleted.
    let worlds = Worlds::new();
    let (tier, root) = (worlds.directory(), worlds.root());
    put(&tier, "h/a/b", b"body").await;
    put(&tier, "h/a", b"old").await;
    fs::remove_dir_all(root.join("h/a")).expect("removed");
    put(&tier, "h/a", b"new").await;
    assert_eq!(fs::read(root.join("h/a")).expect("natural"), b"new");
    assert!(!hashed(&root, "overflow", "h/a").exists());
    tier.delete(&[key("h/a")]).await.expect("deleted");
    assert_eq!(tier.get(&key("h/a"), None).await.expect("get"), None);
}

#[tokio::test]
async fn a_put_shares_no_inode_and_leaves_no_scratch() {
    // One flipped bit must not hit store and tier; refused puts clean up behind them.
    let worlds = Worlds::new();
    let (tier, root) = (worlds.directory(), worlds.root());
    let file = worlds.folder.path().join("body");
    fs::write(&file, b"body").expect("written");
    let source = Body::File {
        path: file.clone(),
        size: 4,
    };
    tier.put(&key("h/a"), source.clone(), &meta_of(b"body"))
        .await
        .expect("put");
    assert!(
        tier.put(&key("h/b"), source, &meta_of(b"else"))
            .await
            .is_err()
    );
    let (from, to) = (
        fs::metadata(&file).expect("there"),
        fs::metadata(root.join("h/a")).expect("there"),
    );
    assert!(from.ino() != to.ino() && to.nlink() == 1);
    assert_eq!(
        fs::read_dir(root.join(".standin/tmp"))
            .expect("there")
            .count(),
        0
    );
}

#[tokio::test]
async fn no_key_leads_out_of_the_folder() {
    // Neither dots nor links: the copy serves what lies in it.
    let worlds = Worlds::new();
    let (tier, root) = (worlds.directory(), worlds.root());
    let outside = worlds.folder.path().join("secret");
    fs::write(&outside, b"secret").expect("written");
    assert_eq!(
        tier.get(&key("h/../../secret"), None).await.expect("get"),
        None
    );
    put(&tier, "h/../../secret", b"page").await;
    assert_eq!(fs::read(&outside).expect("there"), b"secret");
    fs::create_dir_all(root.join("h")).expect("created");
    symlink(&outside, root.join("h/link")).expect("linked");
    assert_eq!(tier.get(&key("h/link"), None).await.expect("get"), None);
    assert_eq!(list_all(&tier, 10).await.len(), 1);
    // Nor a link in the place of a folder: neither for readers nor for what is written or removed.
    let elsewhere = worlds.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("created");
    fs::write(elsewhere.join("a"), b"theirs").expect("written");
    symlink(&elsewhere, root.join("h/dir")).expect("linked");
    let behind = [key("h/dir/a"), key("h/dir/new/b")];
    assert_eq!(tier.head(&behind[0]).await.expect("head"), None);
    for key in &behind {
        let body = Body::Bytes(Bytes::from_static(b"page"));
        let refused = tier.put(key, body, &meta_of(b"page")).await;
        let error = refused.expect_err("it would lie elsewhere");
        assert_eq!(error.class(), Class::Skip);
        assert!(error.to_string().contains("remove the link"), "{error}");
        let failed = tier.delete(std::slice::from_ref(key)).await;
        assert!(failed.expect("nothing is there").is_empty());
    }
    assert_eq!(fs::read(elsewhere.join("a")).expect("there"), b"theirs");
    assert_eq!(fs::read_dir(&elsewhere).expect("there").count(), 1);
    let page = tier.list(None, 10).await.expect("listed");
    assert_eq!(page.odd, ["h/dir", "h/link"]);
    assert_eq!(
        class(tier.read_small(".standin/../../secret").await),
        Class::Skip
    );
    assert_eq!(
        class(
            tier.write_small(".standin/meta/x", Bytes::new(), None)
                .await
        ),
        Class::Skip
    );
}

#[tokio::test]
async fn a_missing_folder_is_empty_and_stays_missing() {
    // An unmounted disk looks like this: reading must not create anything, and the caller sees
    // from the missing head what to think of it.
    let worlds = Worlds::new();
    let tier = worlds.directory();
    assert_eq!(tier.read_small(".standin/head").await.expect("read"), None);
    assert_eq!(
        tier.list(None, 10).await.expect("listed"),
        ListPage::default()
    );
    assert_eq!(tier.list_small(".standin/").await.expect("listed"), [""; 0]);
    assert_eq!(tier.get(&key("h/a"), None).await.expect("get"), None);
    assert!(
        tier.delete(&[key("h/a")])
            .await
            .expect("deleted")
            .is_empty()
    );
    tier.delete_small(".standin/head").await.expect("deleted");
    tier.settle().await.expect("settled");
    assert!(!worlds.root().exists());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_stops_the_tier() {
    // Here the root runs through a file, which not even root can write to.
    let worlds = Worlds::new();
    fs::write(worlds.folder.path().join("file"), b"").expect("written");
    let tier = DirectoryTier::new(name("local"), worlds.folder.path().join("file/copy"));
    let body = Body::Bytes(Bytes::from_static(b"x"));
    let error = tier
        .put(&key("h/a"), body, &meta_of(b"x"))
        .await
        .expect_err("no folder");
    assert_eq!(error.class(), Class::Stop);
    let message = error.to_string();
    assert!(
        message.contains("local") && message.contains("file/copy"),
        "{message}"
    );
    assert_eq!(
        class(tier.write_small(".standin/head", Bytes::new(), None).await),
        Class::Stop
    );
}

#[tokio::test]
async fn a_listing_goes_on_after_a_change() {
    // What is put behind the last key in the middle of a listing is in its next page, although
    // the listing keeps its place between pages.
    let worlds = Worlds::new();
    let tier = worlds.directory();
    for at in ["h/a", "h/b", "h/d"] {
        put(&tier, at, b"body").await;
    }
    let first = tier.list(None, 2).await.expect("listed");
    assert_eq!((first.more, first.last.as_deref()), (true, Some("h/b")));
    put(&tier, "h/c", b"body").await;
    let second = tier.list(Some("h/b"), 10).await.expect("listed");
    assert_eq!(second.objects.len(), 2);
    assert!(!second.more);
}
