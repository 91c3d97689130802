//! What a bucket of Google Cloud Storage promises beyond what every tier does (`tier_conformance.rs`), with
//! Google's own client against a server of ours, and a mirror in one, told by the real binary.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use standin::config::{GcsCredentials, GcsOptions, TierName};
use standin::content::{KeptHeaders, digest};
use standin::site::{ObjectKey, PageUrl};
use standin::tier::{
    Body, Class, Confirmed, EtagMeaning, Expect, GcsTier, ObjectMeta, Tier, TierError,
};

use crate::support::binary::{Mirror, key_start, site};
use crate::support::gcs_server::{Call, GcsServer};
use crate::support::origin::{Origin, Page};

const BUCKET: &str = "site";

/// Lets a fault happen to the next requests of one kind.
type Arming = fn(&GcsServer, Call);

/// How often a test asks again for what a fault has spoilt. (The tier itself may have done so before.)
const TRIES: usize = 5;

fn options(server: &GcsServer) -> GcsOptions {
    GcsOptions {
        bucket: BUCKET.into(),
        endpoint: Some(server.endpoint()),
        credentials: GcsCredentials::Anonymous,
        ..GcsOptions::default()
    }
}

fn tier_of(options: &GcsOptions) -> GcsTier {
    let name = TierName::parse("tertiary").expect("a name");
    GcsTier::new(name, options, 32).expect("it can be made")
}

fn world() -> (GcsServer, GcsTier) {
    let server = GcsServer::start(&[BUCKET]);
    let tier = tier_of(&options(&server));
    (server, tier)
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text).expect("a key")
}

fn meta_of(body: &[u8], headers: &[(&str, &str)]) -> ObjectMeta {
    let digest = digest(body);
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    ObjectMeta {
        url: PageUrl::parse("https://h.example/a").expect("a URL"),
        content: digest.content,
        crc32c: digest.crc32c,
        size: digest.size,
        status: 200,
        location: None,
        headers: KeptHeaders::keep(headers),
        provenance: None,
    }
}

fn page(body: &[u8]) -> ObjectMeta {
    meta_of(body, &[("content-type", "text/html")])
}

async fn put(tier: &GcsTier, at: &str, body: &'static [u8]) -> Result<Confirmed, TierError> {
    let body = Body::Bytes(Bytes::from_static(body));
    let Body::Bytes(bytes) = &body else {
        unreachable!("it was just made")
    };
    let meta = page(bytes);
    tier.put(&key(at), body, &meta).await
}

/// A file of so many bytes that no two pieces of it are alike.
fn file_of(path: &Path, size: usize) -> (Body, Vec<u8>) {
    let body: Vec<u8> = (0..size)
        .map(|at| (at % 251) as u8 ^ (at >> 16) as u8)
        .collect();
    fs::write(path, &body).expect("written");
    let source = Body::File {
        path: path.to_owned(),
        size: size as u64,
    };
    (source, body)
}

/// Asks until it succeeds, as a run does over its own repeats; only what may be repeated is.
async fn until_done<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, TierError>>,
{
    for _ in 1..TRIES {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert_eq!(error.class(), Class::Retry, "{error}"),
        }
    }
    ask().await.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn a_bucket_is_asked_no_more_than_needed() {
    // Requests cost money: each operation takes the requests that are counted here, and the tier's own
    // count agrees with the server's.
    let (server, tier) = world();
    let at = key("h/a");
    put(&tier, "h/a", b"body").await.expect("put");
    tier.get(&at, None).await.expect("got");
    tier.head(&at).await.expect("seen");
    tier.copy(&at, None, &key("h/b"), &page(b"body"))
        .await
        .expect("copied");
    tier.reheader(&at, None, &page(b"body"))
        .await
        .expect("done");
    tier.delete(&[at, key("h/b")]).await.expect("deleted");
    for (call, expected) in [
        (Call::Put, 1),
        (Call::Read, 1),
        (Call::Describe, 2),
        (Call::Rewrite, 1),
        (Call::Update, 1),
        (Call::Delete, 2),
    ] {
        assert_eq!(server.count(call), expected, "{call:?}");
    }
    assert_eq!(server.seen().len(), 8);
    let traffic = tier.traffic();
    let counted = [
        traffic.put,
        traffic.get,
        traffic.head,
        traffic.copy,
        traffic.delete,
    ];
    assert_eq!((counted, traffic.requests()), ([1, 1, 2, 2, 2], 8));

    for number in 0..2500 {
        server.insert(BUCKET, &format!("h/{number:04}"), b"x");
    }
    server.forget();
    let (mut after, mut found) = (None, 0);
    loop {
        let page = tier.list(after.as_deref(), 1000).await.expect("listed");
        found += page.objects.len();
        after = page.last;
        if !page.more {
            break;
        }
    }
    assert_eq!((found, server.count(Call::List)), (2500, 3));
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_bucket_holds_what_a_cdn_needs() {
    // What GCS serves by itself is in its own fields, the rest in named metadata: a contract with CDN
    // rules that read them. What is small is in no cold class and in no cache.
    let server = GcsServer::start(&[BUCKET]);
    let tier = tier_of(&GcsOptions {
        storage_class: Some("NEARLINE".into()),
        ..options(&server)
    });
    let headers = [
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", "de, cy"),
        ("content-disposition", "inline"),
        ("cache-control", "max-age=60"),
        ("content-security-policy", "default-src 'self'"),
    ];
    let mut meta = meta_of(b"moved", &headers);
    meta.status = 302;
    meta.location = Some("/b%20c".into());
    let body = Body::Bytes(Bytes::from_static(b"moved"));
    tier.put(&key("h/a"), body, &meta).await.expect("put");
    tier.copy(&key("h/a"), None, &key("h/b"), &meta)
        .await
        .expect("copied");
    for at in ["h/a", "h/b"] {
        let headers = server.object(BUCKET, at).expect("there").headers;
        assert_eq!(headers.content_type, "text/html; charset=utf-8");
        assert_eq!(headers.content_language, "de, cy");
        assert_eq!(headers.content_disposition, "inline");
        assert_eq!(headers.cache_control, "max-age=60");
        assert_eq!(headers.storage_class, "NEARLINE");
        assert_eq!(headers.metadata["standin-status"], "302");
        assert_eq!(headers.metadata["standin-location"], "/b%20c");
        assert_eq!(headers.metadata["standin-url"], "https://h.example/a");
        let fetched = tier.get(&key(at), None).await.expect("got");
        assert_eq!(fetched.expect("there").meta.as_ref(), Some(&meta));
        let seen = tier.head(&key(at)).await.expect("seen").expect("there");
        assert_eq!(seen.meta.as_ref(), Some(&meta));
    }
    tier.write_small(".standin/head", Bytes::from_static(b"{}"), None)
        .await
        .expect("written");
    let small = server.object(BUCKET, ".standin/head").expect("there");
    assert_eq!(small.headers.storage_class, "STANDARD");
    assert_eq!(small.headers.cache_control, "no-store");
}

#[tokio::test]
async fn a_re_header_clears_what_is_gone() {
    // A policy that the origin has withdrawn must not be served any longer.
    let (server, tier) = world();
    let headers = [
        ("content-type", "text/html"),
        ("content-language", "de"),
        ("content-disposition", "inline"),
        ("cache-control", "max-age=60"),
        ("content-security-policy", "default-src 'self'"),
    ];
    let body = Body::Bytes(Bytes::from_static(b"body"));
    let before = meta_of(b"body", &headers);
    let put = tier.put(&key("h/a"), body, &before).await.expect("put");
    let generation = server.object(BUCKET, "h/a").expect("there").generation;
    let plain = page(b"body");
    let done = tier
        .reheader(&key("h/a"), None, &plain)
        .await
        .expect("done");
    assert_eq!(done, put);
    let stored = server.object(BUCKET, "h/a").expect("there");
    assert_eq!((stored.generation, stored.metageneration), (generation, 2));
    let headers = stored.headers;
    assert_eq!(headers.content_language, "");
    assert_eq!(headers.content_disposition, "");
    assert_eq!(headers.cache_control, "");
    assert!(!headers.metadata.contains_key("standin-headers"));
    let fetched = tier.get(&key("h/a"), None).await.expect("got");
    assert_eq!(fetched.expect("there").meta, Some(plain));
}

#[tokio::test]
async fn an_object_that_is_replaced_under_a_re_header_is_put_again() {
    // Between the look at its bytes and the change somebody replaced it: that is one object's matter, which
    // the caller puts, and no second writer of the tier.
    let (server, tier) = world();
    put(&tier, "h/a", b"body").await.expect("put");
    server.fail_next(1, |seen| seen.call == Call::Update, 412);
    let done = tier.reheader(&key("h/a"), None, &page(b"body")).await;
    assert!(matches!(done, Err(TierError::Mismatch { .. })), "{done:?}");
    assert_eq!(server.faults_left(), 0);
}

#[tokio::test]
async fn a_copy_is_compared_before_it_is_seen() {
    // A large object is copied in more than one request; other bytes than the announced ones, or none,
    // change nothing.
    let (server, tier) = world();
    let folder = tempfile::tempdir().expect("a folder");
    let (source, body) = file_of(&folder.path().join("big"), 3 << 20);
    let meta = page(&body);
    let put = tier.put(&key("h/a"), source, &meta).await.expect("put");
    server.forget();
    let copied = tier.copy(&key("h/a"), None, &key("h/b"), &meta).await;
    assert_eq!(copied.expect("copied"), put);
    assert_eq!(server.count(Call::Rewrite), 2);
    assert!(server.object(BUCKET, "h/b").expect("there").data == body);
    let other = tier
        .copy(&key("h/a"), None, &key("h/c"), &page(b"other"))
        .await;
    assert!(
        matches!(other, Err(TierError::Mismatch { .. })),
        "{other:?}"
    );
    let absent = tier.copy(&key("h/none"), None, &key("h/c"), &meta).await;
    assert!(
        matches!(absent, Err(TierError::Rejected { .. })),
        "{absent:?}"
    );
    assert!(server.object(BUCKET, "h/c").is_none());
}

#[tokio::test]
async fn a_range_is_cut_at_the_end() {
    // The bytes that were asked for, as far as there are any, with the metadata of the whole.
    let (_server, tier) = world();
    put(&tier, "h/a", b"0123456789").await.expect("put");
    put(&tier, "h/empty", b"").await.expect("put");
    for (range, expected) in [
        (0..4, &b"0123"[..]),
        (3..5, b"34"),
        (8..100, b"89"),
        (9..u64::MAX, b"9"),
        (10..20, b""),
        (5..5, b""),
        (u64::MAX - 1..u64::MAX, b""),
    ] {
        let shown = format!("{range:?}");
        let fetched = tier.get(&key("h/a"), Some(range)).await.expect(&shown);
        let fetched = fetched.expect("there");
        assert_eq!(fetched.body, expected, "{shown}");
        assert_eq!(fetched.meta, Some(page(b"0123456789")), "{shown}");
    }
    let empty = tier.get(&key("h/empty"), Some(0..4)).await.expect("got");
    assert_eq!(empty.expect("there").body, "");
    assert_eq!(
        tier.get(&key("h/none"), Some(0..4)).await.expect("got"),
        None
    );
}

#[tokio::test]
async fn estimates_are_what_is_sent() {
    // A plan's requests are counted at the tier's prices: one for a put, two for a large one and for a
    // re-header, one for each delete.
    let (server, tier) = world();
    let prices = tier.prices();
    let folder = tempfile::tempdir().expect("a folder");
    for size in [1 << 20, 8 << 20, 9 << 20, 20 << 20] {
        let (source, body) = file_of(&folder.path().join("file"), size);
        server.forget();
        let put = tier.put(&key("h/a"), source, &page(&body)).await;
        put.expect("put");
        let sent = server.seen().len() as u64;
        assert_eq!(prices.of_put(size as u64), sent, "{size} bytes");
    }
    put(&tier, "h/a", b"body").await.expect("put");
    server.forget();
    let done = tier.reheader(&key("h/a"), None, &page(b"body")).await;
    done.expect("done");
    assert_eq!(server.seen().len() as u64, prices.reheader);
    server.forget();
    let deleted = tier.delete(&[key("h/a"), key("h/b")]).await;
    assert!(deleted.expect("deleted").is_empty());
    assert_eq!(server.seen().len() as u64, 2 / prices.deletes_at_once);
}

#[tokio::test]
async fn a_large_file_goes_in_two_requests_and_is_taken_up_again() {
    // One request announces it, one sends it; a connection that breaks in the middle is gone on with where
    // it broke, and every request of it is counted.
    let (server, tier) = world();
    let folder = tempfile::tempdir().expect("a folder");
    let (source, body) = file_of(&folder.path().join("big"), (20 << 20) + 7);
    let meta = page(&body);
    let put = tier.put(&key("h/a"), source.clone(), &meta).await;
    assert_eq!(put.expect("put").size, meta.size);
    assert_eq!(
        (server.count(Call::Begin), server.count(Call::Piece)),
        (1, 1)
    );
    assert_eq!((server.seen().len(), tier.traffic().put), (2, 2));

    server.forget();
    server.cut_next(1, |seen| seen.call == Call::Piece, 9 << 20);
    let put = tier.put(&key("h/b"), source, &meta).await;
    assert_eq!(put.expect("put").size, meta.size);
    assert_eq!(server.faults_left(), 0);
    assert_eq!(
        (server.count(Call::Begin), server.count(Call::Piece)),
        (1, 2)
    );
    assert_eq!(server.count(Call::HowFar), 1);
    assert_eq!((server.seen().len(), tier.traffic().put), (4, 6));
    for at in ["h/a", "h/b"] {
        let stored = server.object(BUCKET, at).expect("there");
        assert!(stored.data == body, "{at}: other bytes");
        assert_eq!(stored.headers.content_type, "text/html");
    }
    assert_eq!(server.open_uploads(), 0);
}

#[tokio::test]
async fn a_large_file_that_differs_never_becomes_an_object() {
    // The service compares what arrives, and the tier what it reads, before anything is visible: bytes
    // that changed on the way, a file that is another one by now, one that cannot be read.
    let (server, tier) = world();
    put(&tier, "h/a", b"old").await.expect("put");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("big");
    for size in [2 << 20, 9 << 20] {
        let (source, body) = file_of(&path, size);
        let meta = page(&body);
        let arrives = |call| call == Call::Piece || call == Call::Put;
        server.garble_next(TRIES, move |seen| arrives(seen.call));
        let garbled = tier.put(&key("h/a"), source.clone(), &meta).await;
        assert!(
            matches!(garbled, Err(TierError::Mismatch { .. })),
            "{garbled:?}"
        );
        assert!(server.faults_left() < TRIES);
        server.calm();
        let mut changed = body.clone();
        changed[size - 1] ^= 1;
        fs::write(&path, &changed).expect("written");
        let changed = tier.put(&key("h/a"), source.clone(), &meta).await;
        assert!(
            matches!(changed, Err(TierError::Mismatch { .. })),
            "{changed:?}"
        );
        fs::write(&path, &body[1..]).expect("written");
        let shorter = tier.put(&key("h/a"), source.clone(), &meta).await;
        assert!(
            matches!(shorter, Err(TierError::Mismatch { .. })),
            "{shorter:?}"
        );
        fs::remove_file(&path).expect("removed");
        let missing = tier.put(&key("h/a"), source, &meta).await;
        assert!(
            matches!(missing, Err(TierError::Source { .. })),
            "{missing:?}"
        );
    }
    assert_eq!(server.object(BUCKET, "h/a").expect("there").data, "old");
}

#[tokio::test]
async fn every_fault_is_got_over() {
    // Each kind of fault before each kind of request: it happens, it is an error that may be repeated or
    // is got over inside, and repeating ends in the undisturbed state.
    let (server, tier) = world();
    let (at, other, meta) = (key("h/a"), key("h/b"), page(b"body"));
    let faults: [(&str, Arming); 6] = [
        ("refused for the moment", |server, call| {
            server.fail_next(1, move |seen| seen.call == call, 503);
        }),
        ("broken", |server, call| {
            server.fail_next(1, move |seen| seen.call == call, 500);
        }),
        ("throttled", |server, call| {
            server.throttle_next(1, move |seen| seen.call == call, 0);
        }),
        ("cut off half way", |server, call| {
            server.cut_next(1, move |seen| seen.call == call, 2);
        }),
        ("acknowledged, the answer lost", |server, call| {
            server.lose_answers(1, move |seen| seen.call == call);
        }),
        ("acknowledged twice, both answers lost", |server, call| {
            server.lose_answers(2, move |seen| seen.call == call);
        }),
    ];
    for (fault, arm) in faults {
        for call in [
            Call::Put,
            Call::Read,
            Call::Describe,
            Call::List,
            Call::Rewrite,
            Call::Update,
            Call::Delete,
        ] {
            arm(&server, call);
            until_done(|| put(&tier, "h/a", b"body")).await;
            let fetched = until_done(|| tier.get(&at, None)).await;
            assert_eq!(fetched.expect("there").body, "body", "{fault} {call:?}");
            until_done(|| tier.head(&at)).await.expect("there");
            until_done(|| tier.reheader(&at, None, &meta)).await;
            until_done(|| tier.copy(&at, None, &other, &meta)).await;
            let listed = until_done(|| tier.list(None, 10)).await;
            assert_eq!(listed.objects.len(), 2, "{fault} {call:?}");
            let mut left = vec![at.clone(), other.clone()];
            for _ in 0..TRIES {
                let failed = until_done(|| tier.delete(&left)).await;
                left = failed.into_iter().map(|(key, _)| key).collect();
            }
            assert_eq!(server.faults_left(), 0, "{fault} {call:?}");
            assert!(server.objects(BUCKET).is_empty(), "{fault} {call:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_away_is_told_and_comes_back() {
    // Nobody listens: an error that names tier, object and cause; and no client is stuck with it after.
    let (server, tier) = world();
    put(&tier, "h/a", b"body").await.expect("put");
    server.refuse(true);
    for error in [
        put(&tier, "h/a", b"body").await.err(),
        tier.get(&key("h/a"), None).await.err(),
        tier.head(&key("h/a")).await.err(),
    ] {
        let error = error.expect("nobody listens");
        assert!(matches!(error, TierError::Unreachable { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains("tertiary") && said.contains("h/a"), "{said}");
    }
    server.refuse(false);
    let at = key("h/a");
    until_done(|| tier.head(&at)).await.expect("there");
    until_done(|| tier.get(&at, None)).await.expect("there");
    server.down(true);
    let busy = tier.list(None, 10).await.expect_err("it is down");
    assert!(matches!(busy, TierError::Busy { .. }), "{busy}");
}

#[tokio::test]
async fn what_concerns_the_whole_bucket_stops_the_tier() {
    // No such bucket, no permission, no token, a retention policy: said in one line with the way out.
    let (server, tier) = world();
    put(&tier, "h/a", b"body").await.expect("put");
    let nowhere = tier_of(&GcsOptions {
        bucket: "nowhere".into(),
        ..options(&server)
    });
    stops(&nowhere, "create the bucket").await;
    for (status, word) in [(403, "roles/storage.objectUser"), (401, "credentials")] {
        server.fail_next(usize::MAX, |_| true, status);
        stops(&tier, word).await;
        server.calm();
    }
    server.require_token("of somebody else");
    stops(&tier, "credentials").await;

    let (server, tier) = world();
    put(&tier, "h/a", b"body").await.expect("put");
    server.retain(BUCKET);
    let error = tier.probe().await.expect_err("it is retained");
    assert_eq!(error.class(), Class::Stop, "{error}");
    assert!(error.to_string().contains("retention policy"), "{error}");
}

#[tokio::test]
async fn a_held_object_stays_and_the_others_go() {
    // A hold concerns one object: it is left out with its reason, and the tier goes on.
    let (server, tier) = world();
    for at in ["h/a", "h/b"] {
        put(&tier, at, b"body").await.expect("put");
    }
    server.hold(BUCKET, "h/a");
    let mut failed = tier.delete(&[key("h/a"), key("h/b")]).await;
    let failed = failed.as_mut().expect("answered");
    assert_eq!(failed.len(), 1);
    let (which, deleted) = failed.remove(0);
    assert_eq!(which, key("h/a"));
    let replaced = put(&tier, "h/a", b"other").await.expect_err("it is held");
    for error in [deleted, replaced] {
        assert_eq!(error.class(), Class::Skip, "{error}");
        assert!(error.to_string().contains("hold"), "{error}");
    }
    assert_eq!(server.objects(BUCKET).len(), 1);
    put(&tier, "h/b", b"body").await.expect("put");
}

/// Every kind of request fails with this word in its message, and for good.
async fn stops(tier: &GcsTier, word: &str) {
    for error in [
        put(tier, "h/a", b"x").await.err(),
        tier.get(&key("h/a"), None).await.err(),
        tier.head(&key("h/a")).await.err(),
        tier.reheader(&key("h/a"), None, &page(b"body")).await.err(),
        tier.list(None, 10).await.err(),
        tier.read_small(".standin/head").await.err(),
        tier.delete(&[key("h/a")]).await.err(),
        tier.delete_small(".standin/head").await.err(),
    ] {
        let error = error.expect("it must fail");
        let said = error.to_string();
        assert_eq!(error.class(), Class::Stop, "{said}");
        assert!(said.contains(word) && said.contains("tertiary"), "{said}");
        assert!(said.contains(" in bucket "), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_another_writer() {
    // The head is written, the answer lost, the repetition refused because of our own write: the write
    // counts, and one of another machine still does not.
    let (server, tier) = world();
    server.lose_answers(1, |seen| seen.call == Call::Put);
    let bytes = Bytes::from_static(b"ours");
    let generation =
        until_done(|| tier.write_small(".standin/head", bytes.clone(), Some(Expect::Absent))).await;
    assert_eq!((server.faults_left(), server.count(Call::Put)), (0, 2));
    let stored = server.object(BUCKET, ".standin/head").expect("there");
    assert_eq!(generation, stored.generation.to_string());
    server.insert(BUCKET, ".standin/head", b"theirs");
    for etag in [generation.as_str(), "17", "no generation"] {
        let expect = Some(Expect::Etag(etag.to_owned()));
        let bytes = Bytes::from_static(b"ours 2");
        let late = tier.write_small(".standin/head", bytes, expect).await;
        assert!(
            matches!(late, Err(TierError::Precondition { .. })),
            "{late:?}"
        );
    }
}

#[tokio::test]
async fn what_another_tool_stored_is_known_by_its_digests() {
    // Buckets that were filled before are taken over by their listing alone: MD5 and CRC32C of every
    // object, in it as in a head; one that was composed of parts has no MD5.
    let (server, tier) = world();
    server.insert(BUCKET, "h/a", b"body");
    server.insert(BUCKET, "h/parts", b"body");
    server.insert(BUCKET, "h/folder/", b"");
    server.compose(BUCKET, "h/parts");
    let listed = tier.list(None, 10).await.expect("listed").objects;
    let md5 = hex::decode("841a2d689ad86bd1611447453c22c6fc").expect("hexadecimal");
    let crc32c = digest(b"body").crc32c;
    let (whole, parts) = (&listed[0], &listed[2]);
    assert_eq!(whole.stated.md5.map(|md5| md5.to_vec()), Some(md5));
    assert_eq!(whole.etag, "841a2d689ad86bd1611447453c22c6fc");
    assert_eq!(parts.stated.md5, None);
    assert_eq!(parts.etag, format!("crc32c:{crc32c:08x}"));
    for listed in [whole, parts] {
        assert_eq!((listed.size, listed.stated.crc32c), (4, Some(crc32c)));
        let seen = tier.head(&listed.key).await.expect("seen").expect("there");
        assert_eq!((seen.stated, &seen.etag), (listed.stated, &listed.etag));
        assert_eq!(seen.meta, None);
        let fetched = tier.get(&listed.key, None).await.expect("got");
        assert_eq!(fetched.expect("there").etag, listed.etag);
        let done = tier.reheader(&listed.key, None, &page(b"body")).await;
        assert_eq!(done.expect("done").etag, listed.etag);
        let seen = tier.head(&listed.key).await.expect("seen").expect("there");
        assert_eq!(seen.meta, Some(page(b"body")));
    }
}

#[tokio::test]
async fn a_listing_goes_on_after_what_is_gone() {
    // The key that the last page ended with may be deleted, may never have been one, and may be another
    // key's beginning: nothing is left out and nothing comes twice.
    let (server, tier) = world();
    for name in ["h/a", "h/a/b", "h/b", "h/c"] {
        server.insert(BUCKET, name, b"x");
    }
    for (after, expected) in [
        ("h/a", &["h/a/b", "h/b", "h/c"][..]),
        ("h/a/", &["h/a/b", "h/b", "h/c"]),
        ("h/a!", &["h/a/b", "h/b", "h/c"]),
        ("h/bb", &["h/c"]),
        ("h/c", &[]),
        ("z", &[]),
    ] {
        for limit in [1, 2, 10] {
            let mut found = Vec::new();
            let mut last = Some(after.to_owned());
            loop {
                let page = tier.list(last.as_deref(), limit).await.expect("listed");
                found.extend(
                    page.objects
                        .into_iter()
                        .map(|listed| listed.key.to_string()),
                );
                last = page.last;
                if !page.more {
                    break;
                }
            }
            assert_eq!(found, expected, "after {after} by {limit}");
        }
    }
}

#[tokio::test]
async fn a_listing_passes_over_empty_pages_and_ends() {
    // A page may be empty and not the last: its token leads on, within bounds. From the same place a new
    // listing would get that page again, for ever.
    let (server, tier) = world();
    put(&tier, "h/a", b"body").await.expect("put");
    let small = ".standin/checkpoints/1";
    let written = tier.write_small(small, Bytes::from_static(b"x"), None);
    written.await.expect("written");
    server.forget();
    server.empty_pages(3);
    let page = tier.list(None, 10).await.expect("listed");
    assert_eq!((page.objects.len(), server.count(Call::List)), (1, 4));
    server.empty_pages(3);
    let names = tier.list_small(".standin/").await.expect("listed");
    assert_eq!(names, [small]);
    server.empty_pages(usize::MAX);
    let endless = tier.list(None, 10).await;
    assert!(
        matches!(endless, Err(TierError::Busy { .. })),
        "{endless:?}"
    );
}

#[tokio::test]
async fn a_prefix_sees_only_its_own_keys() {
    // Two mirrors in one bucket, and a neighbour whose name begins alike.
    let server = GcsServer::start(&[BUCKET]);
    let tier = tier_of(&GcsOptions {
        prefix: "mirror/v1".into(),
        ..options(&server)
    });
    server.insert(BUCKET, "mirror/v1x/h/a", b"x");
    server.insert(BUCKET, "mirror/v1/", b"");
    server.insert(BUCKET, "h/a", b"x");
    put(&tier, "h/b", b"body").await.expect("put");
    let page = tier.list(None, 10).await.expect("listed");
    let found: Vec<_> = page
        .objects
        .iter()
        .map(|listed| listed.key.as_str())
        .collect();
    assert_eq!(found, ["h/b"]);
    assert!(server.objects(BUCKET).contains_key("mirror/v1/h/b"));
}

#[tokio::test]
async fn what_gcs_refuses_is_left_out_or_moved_beside() {
    // Names with line ends or too long are refused without asking; metadata over 8 KiB is kept in an
    // object of its own, whole.
    let (server, tier) = world();
    let long = "n".repeat(1020);
    let prefixed = tier_of(&GcsOptions {
        prefix: "mirror".into(),
        ..options(&server)
    });
    for refused in [
        put(&tier, "h/a\nb", b"x").await,
        put(&tier, "h/a\rb", b"x").await,
        put(&prefixed, &format!("h/{long}"), b"x").await,
    ] {
        assert_eq!(refused.expect_err("refused").class(), Class::Skip);
    }
    assert!(server.seen().is_empty());
    for options in [
        GcsOptions {
            prefix: ".well-known/acme-challenge".into(),
            ..options(&server)
        },
        GcsOptions {
            storage_class: Some("GLACIER".into()),
            ..options(&server)
        },
    ] {
        let refused = put(&tier_of(&options), "h/a", b"x").await;
        assert_eq!(refused.expect_err("refused").class(), Class::Skip);
    }
    assert!(server.objects(BUCKET).is_empty());
    let policy = "x".repeat(9000);
    let meta = meta_of(b"body", &[("content-security-policy", &policy)]);
    let body = Body::Bytes(Bytes::from_static(b"body"));
    tier.put(&key("h/a"), body, &meta).await.expect("put");
    let fetched = tier.get(&key("h/a"), None).await.expect("got");
    assert_eq!(fetched.expect("there").meta, Some(meta));
}

#[tokio::test]
async fn damage_and_loss_are_seen_as_they_are() {
    // An audit must see what is there: damaged bytes come as they are, the listing still shows what the
    // service recorded, and somebody else's deletes show in the next answer.
    let (server, tier) = world();
    let etag = put(&tier, "h/a", b"body").await.expect("put").etag;
    put(&tier, "h/b", b"body").await.expect("put");
    server.corrupt(BUCKET, "h/a", b"b0dy");
    let fetched = tier.get(&key("h/a"), None).await.expect("got");
    assert_eq!(fetched.expect("there").body, "b0dy");
    server.remove(BUCKET, "h/b");
    let listed = tier.list(None, 10).await.expect("listed").objects;
    assert_eq!((listed.len(), &listed[0].etag), (1, &etag));
    server.clear(BUCKET);
    assert!(
        tier.list(None, 10)
            .await
            .expect("listed")
            .objects
            .is_empty()
    );
    server.drop_bucket(BUCKET);
    stops(&tier, "create the bucket").await;
}

#[tokio::test]
async fn a_probe_finds_out_what_the_bucket_can_do() {
    // By small objects of its own, of which none stays; what may not be asked is not guessed.
    let (server, tier) = world();
    let found = tier.probe().await.expect("probed");
    assert_eq!(found.etag, EtagMeaning::Md5);
    assert!(found.conditional_writes && found.copies_cheaply);
    assert_eq!(
        (found.keeps_versions, found.locks_objects),
        (Some(false), Some(false))
    );
    server.keep_versions(BUCKET);
    let found = tier.probe().await.expect("probed");
    assert_eq!(found.keeps_versions, Some(true));
    server.fail_next(1, |seen| seen.call == Call::Bucket, 403);
    let found = tier.probe().await.expect("probed");
    assert_eq!((found.keeps_versions, found.locks_objects), (None, None));
    assert_eq!(server.faults_left(), 0);
    assert!(server.objects(BUCKET).is_empty());
    for call in [Call::Put, Call::Read, Call::List, Call::Delete] {
        server.fail_next(1, move |seen| seen.call == call, 403);
        let refused = tier.probe().await.expect_err("it may not");
        assert_eq!(refused.class(), Class::Stop, "{call:?}");
        assert_eq!(server.faults_left(), 0, "{call:?}");
    }
}

#[tokio::test]
async fn credentials_come_from_their_file() {
    // The token that the file's account is given goes with every request, over HTTP and gRPC; it is asked
    // for once, and nothing of the file is ever shown.
    let server = GcsServer::start(&[BUCKET]);
    server.require_token("token-1");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("key.json");
    let account = serde_json::json!({
        "type": "authorized_user",
        "client_id": "id",
        "client_secret": "hunter2",
        "refresh_token": "hunter3",
        "token_uri": format!("{}/token", server.endpoint()),
    });
    fs::write(&path, account.to_string()).expect("written");
    let with_file = GcsOptions {
        credentials: GcsCredentials::File(path.clone()),
        ..options(&server)
    };
    let tier = tier_of(&with_file);
    put(&tier, "h/a", b"body").await.expect("put");
    tier.head(&key("h/a")).await.expect("seen").expect("there");
    assert_eq!(server.count(Call::Token), 1);

    let mut broken = account;
    broken["token_uri"] = format!("{}/nowhere", server.endpoint()).into();
    fs::write(&path, broken.to_string()).expect("written");
    let error = put(&tier_of(&with_file), "h/a", b"body").await;
    let error = error.expect_err("nobody gives it a token");
    let said = error.to_string();
    assert_eq!(error.class(), Class::Stop, "{said}");
    assert!(
        said.contains("credentials") && !said.contains("hunter"),
        "{said}"
    );
    assert!(!said.contains('\n'), "{said}");
}

#[test]
fn a_site_is_mirrored_into_a_bucket() {
    // The whole way with the real binary: every page in the bucket, with its metadata; then a run with
    // nothing to do, which reads the head and lists, and asks for no object at all; then exactly what
    // changed.
    let origin = Origin::start();
    let html = |text: &'static str, etag: &str| Page::html(text).etag(etag);
    origin.set("/robots.txt", Page::html("").status(404));
    let home = "<a href=/a>A</a> <a href=/b>B</a> <a href=/big>Big</a> <a href=/old>Old</a>";
    origin.set("/", html(home, "\"home\""));
    origin.set("/a", html("<p>A</p>", "\"a\""));
    origin.set("/b", html("<p>B</p>", "\"b\""));
    origin.set("/old", Page::redirect(301, "/a"));
    let big: Vec<u8> = (0..9 << 20).map(|at: u32| (at % 251) as u8).collect();
    let attachment = Page::new("application/pdf", big.clone()).etag("\"big\"");
    origin.set("/big", attachment);
    let server = GcsServer::start(&[BUCKET]);
    let mirror = Mirror::new(&[site(&origin), bucket(&server)].concat());
    let first = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(first["verdict"], "ok", "{first:#}");
    assert_eq!(first["tiers"][0]["put"], 5, "{first:#}");
    let start = format!("copy/{}", key_start(&origin));
    let objects = server.objects(BUCKET);
    let mut found: Vec<_> = objects
        .keys()
        .filter_map(|name| name.strip_prefix(&start))
        .collect();
    found.sort_unstable();
    assert_eq!(found, ["a", "b", "big", "index.html", "old"]);
    assert!(objects[&format!("{start}big")] == big);
    let stored = server
        .object(BUCKET, &format!("{start}old"))
        .expect("there");
    assert_eq!(stored.headers.metadata["standin-status"], "301");

    server.forget();
    let second = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(second["verdict"], "ok", "{second:#}");
    assert_eq!(second["tiers"][0]["put"], 0, "{second:#}");
    let is_quiet = |call: Call, name: &str| match call {
        Call::List => true,
        Call::Read | Call::Put => name.starts_with("copy/.standin/"),
        _ => false,
    };
    for seen in server.seen() {
        assert!(is_quiet(seen.call, &seen.name), "{seen:?}");
    }
    assert!(server.count(Call::List) > 0 && server.count(Call::Put) <= 1);

    server.forget();
    origin.set("/a", html("<p>A, edited</p>", "\"a2\""));
    let third = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(third["tiers"][0]["put"], 1, "{third:#}");
    let stored = server.object(BUCKET, &format!("{start}a")).expect("there");
    assert_eq!(stored.data, "<p>A, edited</p>");
}

/// A tier in a bucket of the server, under the prefix `copy`.
fn bucket(server: &GcsServer) -> String {
    format!(
        "[[tier]]\nname = \"tertiary\"\nurl = \"gs://{BUCKET}/copy\"\nendpoint = \"{}\"\ncredentials = {{ anonymous = true }}\n",
        server.endpoint()
    )
}
