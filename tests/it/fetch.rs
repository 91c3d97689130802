//! Promise: a fetch yields the page as the origin meant it, or an error that says what happened; it never yields half
//! a page, never asks more often than it may, and never keeps memory or files. Checked against the scripted origin,
//! with exact counts of requests.

use std::io::Write;
use std::time::Duration;

use standin::content::{Role, digest};
use standin::crawl::{Answer, Budget, Class, FetchError, FetchLimits, Fetcher, Held, Robots};
use standin::http::client::client;
use standin::site::PageUrl;

use crate::support::desk::{BODY_MAX, Desk, MEMORY_MAX, bytes_of, limits};
use crate::support::origin::{Origin, Page, compressed};

fn sample(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Bytes that gzip cannot make smaller, so that sizes stay what they are.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..size).map(|_| next()).collect()
}

/// A page comes with bytes, digest, headers and validators, in one request that asks for the codings and says no more
/// about us than it should.
#[tokio::test]
async fn a_page_arrives_whole() {
    let origin = Origin::start();
    let page = Page::html("<p>hello")
        .etag("\"v1\"")
        .last_modified("Sun, 06 Nov 1994 08:49:37 GMT")
        .header("cache-control", "max-age=60");
    origin.set("/a", page);
    let desk = Desk::new(limits());

    let received = desk.body(&origin.url("/a?x=1")).await;
    assert_eq!(received.status, 200);
    assert_eq!(bytes_of(&received.body), b"<p>hello");
    assert_eq!(received.digest, digest(b"<p>hello"));
    assert_eq!(received.etag.as_deref(), Some("\"v1\""));
    assert_eq!(
        received.last_modified.as_deref(),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
    assert_eq!(received.headers.get("cache-control"), Some("max-age=60"));
    assert_eq!(desk.budget.free(), desk.budget.total() - 8);
    drop(received);
    assert!(desk.is_clean());

    let expected = ("GET".to_owned(), "/a?x=1".to_owned(), 200);
    assert_eq!(origin.requests(), [expected]);
    let sent = origin.last_headers("/a?x=1");
    let header = |name: &str| {
        let found = sent.iter().find(|(sent, _)| sent == name);
        found.map(|(_, value)| value.as_str())
    };
    assert_eq!(header("accept-encoding"), Some("gzip, br, zstd"));
    assert_eq!(header("user-agent"), Some("Standin/0.1"));
    assert_eq!(header("x-mirror"), Some("yes"));
    for name in ["referer", "cookie", "if-none-match", "if-modified-since"] {
        assert_eq!(header(name), None, "{name}");
    }
}

/// However a body is sent and wherever it ends up, its bytes and digest are those of the page without gzip.
#[tokio::test]
async fn every_transfer_yields_the_same_bytes() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for size in [1, 50_000, MEMORY_MAX, MEMORY_MAX + 1, 350_000] {
        let body = sample(size);
        let plain = Page::new("application/pdf", body.clone());
        let ways = [
            plain.clone(),
            plain.clone().chunked(),
            plain.clone().gzip(),
            plain.gzip().chunked(),
        ];
        for (way, page) in ways.into_iter().enumerate() {
            origin.set("/d", page);
            let received = desk.body(&origin.url("/d")).await;
            assert_eq!(bytes_of(&received.body), body, "{size} in way {way}");
            assert_eq!(received.digest, digest(&body), "{size} in way {way}");
            let in_file = matches!(received.body, Held::File(_));
            assert_eq!(in_file, size > MEMORY_MAX, "{size} in way {way}");
            drop(received);
            assert!(desk.is_clean(), "{size} in way {way}");
        }
    }
    assert_eq!(desk.fetcher.attempts(), 20);
    assert_eq!(origin.requests().len(), 20);
}

/// A condition that holds is a 304; one that does not is the page. The ETag goes alone when there is one.
#[tokio::test]
async fn conditions_are_sent_and_honoured() {
    let origin = Origin::start();
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    origin.set("/a", Page::html("x").etag("\"v2\"").last_modified(date));
    let desk = Desk::new(limits());
    let url = origin.url("/a");
    for (etag, last_modified, unchanged) in [
        (Some("\"v2\""), None, true),
        (Some("\"v2\""), Some(date), true),
        (None, Some(date), true),
        (Some("\"v1\""), Some(date), false),
        (None, None, false),
    ] {
        let answer = desk.ask(&url, etag, last_modified).await.unwrap();
        let found = matches!(answer, Answer::NotModified);
        assert_eq!(found, unchanged, "{etag:?} {last_modified:?}");
        let sent = origin.last_headers("/a");
        let dated = sent.iter().any(|(name, _)| name == "if-modified-since");
        assert_eq!(dated, etag.is_none() && last_modified.is_some());
    }
}

/// A redirect is an answer and is not followed; 404 and 410 are answers; other statuses are errors, 304 without a
/// condition and 3xx without a target among them.
#[tokio::test]
async fn statuses_are_sorted() {
    let origin = Origin::start();
    origin.set("/target", Page::html("must not be fetched"));
    let desk = Desk::new(limits());
    for status in [301, 302, 303, 307, 308] {
        origin.set("/r", Page::redirect(status, "/target"));
        match desk.get(&origin.url("/r")).await {
            Ok(Answer::Redirect {
                status: found,
                location,
                ..
            }) => {
                assert_eq!((found, location.as_str()), (status, "/target"));
            }
            other => panic!("{status} gave {other:?}"),
        }
    }
    for status in [404, 410] {
        origin.set("/r", Page::html("no").status(status));
        let answer = desk.get(&origin.url("/r")).await;
        assert!(
            matches!(answer, Ok(Answer::Gone { status: found }) if found == status),
            "{answer:?}"
        );
    }
    origin.set("/r", Page::html("ok").status(203));
    assert_eq!(desk.body(&origin.url("/r")).await.status, 203);
    origin.clear_requests();
    let lasting = [204, 206, 300, 301, 304, 400, 401, 403, 451, 501];
    for status in lasting {
        origin.set("/r", Page::html("").status(status));
        let error = desk.error(&origin.url("/r")).await;
        assert!(
            matches!(error, FetchError::Status { status: found, .. } if found == status),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Skip);
    }
    assert_eq!(origin.requests().len(), lasting.len(), "none was repeated");
    assert!(desk.is_clean());
}

/// What may pass is asked again, exactly as often as the limits say, and the first good answer ends it.
#[tokio::test]
async fn passing_faults_are_repeated() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for status in [408, 429, 500, 502, 503] {
        origin.clear_requests();
        origin.set("/s", Page::html("busy").status(status));
        let error = desk.error(&origin.url("/s")).await;
        assert_eq!(error.class(), Class::Retry);
        assert!(!error.is_connection());
        let expected = ("GET".to_owned(), "/s".to_owned(), status);
        assert_eq!(origin.requests(), vec![expected; 3]);
    }
    origin.clear_requests();
    let busy = Page::html("busy").status(503);
    origin.set_in_turn("/s", vec![busy.clone(), busy, Page::html("good")]);
    let received = desk.body(&origin.url("/s")).await;
    assert_eq!(bytes_of(&received.body), b"good");
    let statuses: Vec<u16> = origin
        .requests()
        .iter()
        .map(|(.., status)| *status)
        .collect();
    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(desk.fetcher.attempts(), 18);
}

/// Retry-After takes the place of the pause (which would be hours here), and a long one ends the attempts.
#[tokio::test]
async fn retry_after_is_obeyed() {
    let origin = Origin::start();
    let mut patient = limits();
    patient.retry_pause = Duration::from_secs(36_000);
    let desk = Desk::new(patient);
    let busy = |after| Page::html("busy").status(503).header("retry-after", after);
    origin.set_in_turn("/s", vec![busy("0"), Page::html("good")]);
    desk.body(&origin.url("/s")).await;
    assert_eq!(origin.requests().len(), 2);

    origin.clear_requests();
    origin.set("/s", busy("120"));
    let error = desk.error(&origin.url("/s")).await;
    let asked = Some(Duration::from_secs(120));
    assert!(
        matches!(error, FetchError::Status { status: 503, retry_after, .. } if retry_after == asked),
        "{error:?}"
    );
    assert_eq!(origin.requests().len(), 1);
}

/// A body that ends early, however it is framed or coded and wherever it was going, is an error after three
/// attempts and leaves nothing behind.
#[tokio::test]
async fn a_cut_body_is_never_a_page() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for size in [20_000, 300_000] {
        let plain = Page::new("application/pdf", noise(size));
        let ways = [
            (plain.clone(), Some(size as u64)),
            (plain.clone().chunked(), None),
            (
                plain.clone().gzip(),
                Some(compressed(&plain.body).len() as u64),
            ),
            (plain.gzip().chunked(), None),
        ];
        for (way, (page, announced)) in ways.into_iter().enumerate() {
            for after in [0, 5, size / 2] {
                origin.clear_requests();
                origin.set("/d", page.clone().truncated(after));
                let error = desk.error(&origin.url("/d")).await;
                let FetchError::Truncated { got, said, .. } = &error else {
                    panic!("{size} in way {way} after {after}: {error:?}");
                };
                assert_eq!(*got, after as u64);
                assert_eq!(*said, announced);
                assert_eq!(error.class(), Class::Retry);
                assert_eq!(origin.requests().len(), 3, "{error}");
                assert!(desk.is_clean(), "{error}");
            }
        }
    }
}

/// One byte short is short as well: of the length, of the last chunk, of the gzip trailer.
#[tokio::test]
async fn the_last_byte_counts() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    let body = noise(30_000);
    let plain = Page::new("application/pdf", body.clone());
    let coded = compressed(&body).len();
    for (page, sent) in [
        (plain.clone(), body.len() - 1),
        (plain.clone().chunked(), body.len() - 1),
        // Every byte, but not the chunk that says so.
        (plain.clone().chunked(), body.len()),
        (plain.clone().gzip(), coded - 1),
        (plain.clone().gzip().chunked(), coded - 1),
        (plain.gzip().chunked(), coded),
    ] {
        origin.set("/d", page.clone().truncated(sent));
        let error = desk.error(&origin.url("/d")).await;
        assert!(
            matches!(error, FetchError::Truncated { .. }),
            "{error:?} for {sent} of {page:?}"
        );
    }
    assert!(desk.is_clean());
}

/// A gzip stream that is cut, damaged or followed by something else inside an intact answer is noticed too; one
/// in several members is well-formed and arrives whole.
#[tokio::test]
async fn a_broken_gzip_stream_is_never_a_page() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    let body = noise(30_000);
    let whole = compressed(&body);
    let coded = |bytes: Vec<u8>| {
        let page = Page::new("application/pdf", bytes);
        page.header("content-encoding", "gzip")
    };
    let mut flipped = whole.clone();
    let trailer = flipped.len() - 6;
    flipped[trailer] ^= 1;
    let followed = [whole.clone(), b"and more".to_vec()].concat();
    for (name, bytes) in [
        ("half", whole[..whole.len() / 2].to_vec()),
        ("no trailer", whole[..whole.len() - 8].to_vec()),
        ("short trailer", whole[..whole.len() - 1].to_vec()),
        ("header alone", whole[..10].to_vec()),
        ("wrong checksum", flipped),
        ("followed", followed),
        ("not gzip", b"<p>plain".to_vec()),
    ] {
        for page in [coded(bytes.clone()), coded(bytes).chunked()] {
            origin.set("/d", page);
            let error = desk.error(&origin.url("/d")).await;
            assert!(
                matches!(error, FetchError::Truncated { .. }),
                "{name}: {error:?}"
            );
        }
    }
    origin.set("/d", coded([whole.clone(), whole.clone()].concat()));
    let received = desk.body(&origin.url("/d")).await;
    assert_eq!(received.digest, digest(&[body.clone(), body].concat()));
}

/// A cut body that is whole the next time is a page, with the digest of the whole one.
#[tokio::test]
async fn a_cut_body_is_mended_by_the_next_attempt() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    let body = sample(150_000);
    let page = Page::new("application/pdf", body.clone());
    origin.set_in_turn("/d", vec![page.clone().truncated(120_000), page]);
    let received = desk.body(&origin.url("/d")).await;
    assert_eq!(bytes_of(&received.body), body);
    assert_eq!(received.digest, digest(&body));
    assert_eq!(origin.requests().len(), 2);
}

/// Silence before the headers and silence within the body end in time, and are told apart.
#[tokio::test]
async fn silence_ends_in_time() {
    let origin = Origin::start();
    let mut short = limits();
    short.answer_timeout = Duration::from_millis(100);
    let desk = Desk::new(short);
    let slow = Page::html("late").delayed(Duration::from_secs(3600));
    origin.set("/slow", slow);
    let error = desk.error(&origin.url("/slow")).await;
    assert!(matches!(error, FetchError::NoAnswer { .. }), "{error:?}");
    assert!(error.is_connection());
    assert_eq!(
        desk.fetcher.attempts(),
        2,
        "a third would cost as long again"
    );

    let mut short = limits();
    short.idle_timeout = Duration::from_millis(100);
    let desk = Desk::new(short);
    origin.set("/stuck", Page::html(sample(1_000)).stalled(400));
    let error = desk.error(&origin.url("/stuck")).await;
    assert!(
        matches!(error, FetchError::Stalled { got: 400, .. }),
        "{error:?}"
    );
    assert!(!error.is_connection());
    assert_eq!(desk.fetcher.attempts(), 2);
    assert!(desk.is_clean());
}

/// A host that refuses connections is an error of the connection, on one line; when it is back the same
/// fetcher goes on.
#[tokio::test]
async fn a_refusing_host_is_unreachable() {
    let origin = Origin::start();
    origin.set("/a", Page::html("back"));
    let desk = Desk::new(limits());
    let url = origin.url("/a");
    drop(desk.body(&url).await);
    origin.refuse();
    let error = desk.error(&url).await;
    assert!(matches!(error, FetchError::Unreachable { .. }));
    assert!(error.is_connection());
    assert_eq!(
        error.to_string(),
        format!("{url}: Connection refused (os error 111)")
    );
    assert_eq!(desk.fetcher.attempts(), 4);
    origin.accept();
    drop(desk.body(&url).await);
}

/// A host that does not exist is named in one line.
#[tokio::test]
async fn an_unknown_host_is_named() {
    let desk = Desk::new(FetchLimits::default());
    let error = desk.error("http://nowhere.invalid/a").await;
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    let line = error.to_string();
    assert!(
        line.starts_with("http://nowhere.invalid/a: nowhere.invalid does not resolve: "),
        "{line}"
    );
    assert!(!line.contains('\n'));
}

/// Private addresses that were not named are refused, written out or behind a name, before any request.
#[tokio::test]
async fn private_addresses_are_refused() {
    let origin = Origin::start();
    origin.set("/a", Page::html("internal"));
    let desk = Desk::new(limits());
    let port = origin.authority().rsplit_once(':').unwrap().1.to_owned();
    for host in [
        "127.0.0.2",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "2130706434",
        "localhost",
    ] {
        let error = desk.error(&format!("http://{host}:{port}/a")).await;
        assert!(
            matches!(error, FetchError::Forbidden { .. }),
            "{host}: {error:?}"
        );
        assert!(error.to_string().contains("name it in `hosts`"), "{error}");
        assert_eq!(error.class(), Class::Skip);
    }
    assert!(origin.requests().is_empty());
}

/// A body over the limit is refused: at once when its length is announced, and at the limit when it is not, also
/// when gzip hid its size.
#[tokio::test]
async fn an_oversized_body_is_refused() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    let large = Page::new("application/zip", vec![b'x'; BODY_MAX as usize + 1]);
    for page in [
        large.clone().stalled(0),
        large.clone(),
        large.clone().chunked(),
        large.gzip(),
    ] {
        origin.clear_requests();
        origin.set("/z", page);
        let error = desk.error(&origin.url("/z")).await;
        assert!(
            matches!(
                error,
                FetchError::TooLarge {
                    limit: BODY_MAX,
                    ..
                }
            ),
            "{error:?}"
        );
        assert_eq!(error.class(), Class::Skip);
        assert_eq!(origin.requests().len(), 1);
        assert!(desk.is_clean());
    }
    let exact = Page::new("application/zip", vec![b'x'; BODY_MAX as usize]);
    origin.set("/z", exact.chunked());
    assert_eq!(desk.body(&origin.url("/z")).await.digest.size, BODY_MAX);
}

/// An empty HTML page is a fault of the origin; an empty file of another kind is a file.
#[tokio::test]
async fn an_empty_html_page_is_an_error() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for page in [
        Page::html(""),
        Page::html("").gzip(),
        Page::html("").chunked(),
        Page::html("").header("content-encoding", "gzip"),
        Page::new("Application/XHTML+xml", ""),
    ] {
        origin.clear_requests();
        origin.set("/e", page);
        let error = desk.error(&origin.url("/e")).await;
        assert!(matches!(error, FetchError::EmptyPage { .. }), "{error:?}");
        assert_eq!(origin.requests().len(), 3);
    }
    origin.set("/e", Page::new("text/css", ""));
    assert_eq!(desk.body(&origin.url("/e")).await.digest, digest(b""));
}

/// A page in each coding that was asked for arrives as the page, held by its own size; one that is cut anywhere or
/// followed by something is an error, and an empty body with a label is an empty body.
#[tokio::test]
async fn every_coding_is_taken_off() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for (coding, whole, text) in codings() {
        let page = |bytes: &[u8]| {
            let page = Page::new("text/css", bytes.to_vec());
            page.header("content-encoding", coding)
        };
        for page in [page(&whole), page(&whole).chunked()] {
            origin.set("/c", page);
            let received = desk.body(&origin.url("/c")).await;
            assert_eq!(bytes_of(&received.body), text, "{coding}");
            assert_eq!(received.digest, digest(&text), "{coding}");
            assert_eq!(desk.budget.free(), desk.budget.total() - text.len());
        }
        let cut = whole[..whole.len() - 1].to_vec();
        let followed = [&whole[..], b"x"].concat();
        for broken in [cut, followed, b"<p>plain".to_vec()] {
            origin.set("/c", page(&broken));
            let error = desk.once(&origin.url("/c")).await.unwrap_err();
            assert!(matches!(error, FetchError::Truncated { .. }), "{error:?}");
            assert_eq!(error.class(), Class::Retry);
        }
        origin.set("/c", page(b""));
        assert_eq!(desk.body(&origin.url("/c")).await.digest, digest(b""));
        assert!(desk.is_clean(), "{coding}");
    }
}

/// One text in each coding. (brotli as the reference implementation compresses it.)
fn codings() -> [(&'static str, Vec<u8>, Vec<u8>); 3] {
    let text = "<p>a body of some length, a body of some length</p>\n".repeat(40);
    let brotli =
        "1b1f086815a1d23dc6f691f50d5314d88003f6888b68613fa4dae465494b185597bef116c4063f7dd315";
    let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
    let text = text.into_bytes();
    [
        ("gzip", compressed(&text), text.clone()),
        ("br", hex::decode(brotli).unwrap(), text.clone()),
        ("zstd", zstd, text),
    ]
}

/// A coding that was not asked for, or several on top of each other, is refused rather than stored without its label.
#[tokio::test]
async fn a_foreign_coding_is_refused() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for foreign in ["deflate", "compress", "gzip, br", "br, gzip", "gzip, gzip"] {
        origin.clear_requests();
        let page = Page::html("coded").header("content-encoding", foreign);
        origin.set("/b", page);
        let error = desk.error(&origin.url("/b")).await;
        assert!(
            matches!(&error, FetchError::Coding { coding, .. } if coding == foreign),
            "{error:?}"
        );
        assert_eq!(origin.requests().len(), 1);
    }
    let plain = Page::html("plain").header("content-encoding", "identity");
    origin.set("/b", plain);
    assert_eq!(bytes_of(&desk.body(&origin.url("/b")).await.body), b"plain");
}

/// 256 MB out of a kilobyte, or 64 MB out of some, are refused once they are past what any page may be, in each coding, having kept no more
/// than that; the message names the option. The same bytes are taken where the ratio permits them.
#[tokio::test]
async fn a_bomb_is_defused() {
    const MIB: u64 = 1024 * 1024;
    let zeros = vec![0; 64 << 20];
    let brotli = [
        "cbffff3f002400e2b14072effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffc",
        "ffff034002200e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfb3ffeffff012001108705a07bffc7ffff",
        "3f002400e2b00074effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffcffff03",
        "4002200e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfb3ffeffff012001108705a07bffc7ffff3f0024",
        "00e2b00074effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffcffff03400220",
        "0e0b40f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfb3ffeffff012001108705a07bffc7ffff3f002400e2b0",
        "0074effff8ffff078004401c1680eefd1fffffff00900088c302d0bdffe3ffff1f001200715800baf77ffcffff034002200e0b40",
        "f7fe8fffff7f004800c46101e8defff1ffff0f000980382c00ddfbbffcffff032001108705a07bff07",
    ];
    let bombs = [
        ("gzip", compressed_well(&zeros)),
        ("br", hex::decode(brotli.concat()).unwrap()),
        ("zstd", zstd::encode_all(&zeros[..], 1).unwrap()),
    ];
    drop(zeros);
    let mut wide = limits();
    wide.body_max = 1 << 40;
    let origin = Origin::start();
    let desk = Desk::new(wide.clone());
    for (coding, bomb) in &bombs {
        let page = Page::html(bomb.clone()).header("content-encoding", coding);
        origin.set("/bomb", page);
        let error = desk.error(&origin.url("/bomb")).await;
        let FetchError::Bomb { plain, .. } = &error else {
            panic!("{coding}: {error:?}")
        };
        assert!((8 * MIB..9 * MIB).contains(plain), "{coding}: {plain}");
        assert_eq!(error.class(), Class::Skip);
        let line = error.to_string();
        assert!(line.contains("`crawl.decompression_ratio_max`"), "{line}");
        assert!(desk.is_clean());
    }
    assert_eq!(origin.requests().len(), 3, "none was asked for again");
    wide.ratio_max = 2_000_000;
    let trusting = Desk::new(wide);
    let received = trusting.body(&origin.url("/bomb")).await;
    assert_eq!(received.digest.size, 64 * MIB);
}

fn compressed_well(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One request is one request, whatever the fault; the schedule learns of it what it needs.
#[tokio::test]
async fn once_is_once() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    let busy = Page::html("busy").header("retry-after", "86400");
    for status in [429, 500, 503] {
        origin.set("/s", busy.clone().status(status));
        let error = desk.once(&origin.url("/s")).await.unwrap_err();
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(86_400)));
        assert_eq!(
            (error.class(), error.is_connection()),
            (Class::Retry, false)
        );
    }
    origin.set("/s", Page::html("cut short").truncated(3));
    let error = desk.once(&origin.url("/s")).await.unwrap_err();
    assert!(matches!(error, FetchError::Truncated { .. }), "{error:?}");
    assert_eq!((error.status(), error.retry_after()), (None, None));
    assert_eq!(origin.requests().len(), 4);
    assert_eq!(desk.fetcher.attempts(), 4);
}

/// An answer that a mirror gave in the origin's place is an error, be it a page, a redirect, a 404 or a 304; trouble
/// stays what it is, since it is no evidence of anything.
#[tokio::test]
async fn what_a_mirror_sent_is_not_taken() {
    let origin = Origin::start();
    let mut desk = Desk::new(limits());
    let rules = ["x-mirror", "X-Served-By: Mirror"].map(|rule| rule.parse().unwrap());
    desk.fetcher = desk.fetcher.refusing_mirrors(rules.to_vec());
    let page = Page::html("stale").etag("\"v1\"");
    for answer in [
        page.clone(),
        page.clone().status(203),
        page.clone().status(404),
        page.clone().status(410),
        Page::redirect(301, "/b"),
    ] {
        for (name, value, rule) in [
            ("x-mirror", "", "x-mirror"),
            (
                "X-Served-By",
                "cache-lhr, the-mirror-s3",
                "x-served-by: mirror",
            ),
        ] {
            origin.clear_requests();
            origin.set("/a", answer.clone().header(name, value));
            let asked = desk.ask(&origin.url("/a"), Some("\"v1\""), None).await;
            let error = asked.expect_err("no mirror is believed");
            assert!(
                matches!(&error, FetchError::Mirrored { header, .. } if header == rule),
                "{error:?}"
            );
            assert_eq!(error.class(), Class::Skip);
            assert!(error.to_string().contains(rule), "{error}");
            assert_eq!(origin.requests().len(), 1);
        }
    }
    let seen: Vec<u16> = origin.requests().iter().map(|seen| seen.2).collect();
    assert_eq!(seen, [301]);
    origin.set("/a", page.clone().header("x-mirror", "").status(503));
    assert_eq!(desk.error(&origin.url("/a")).await.status(), Some(503));
    origin.set("/a", page.header("x-served-by", "origin"));
    drop(desk.body(&origin.url("/a")).await);
    assert!(desk.is_clean());
}

/// What the headers of a page refer to comes with it, as written.
#[tokio::test]
async fn header_links_come_with_the_page() {
    let origin = Origin::start();
    let page = Page::html("<p>")
        .header("link", "</a.css>; rel=preload, <?page=2>; rel=\"next\"")
        .header("link", "<https://cdn.example>; rel=preconnect")
        .header("refresh", "30; url=/later")
        .header("sourcemap", "a.map");
    origin.set("/a", page);
    let received = Desk::new(limits()).body(&origin.url("/a")).await;
    let mut found = received.header_links.clone();
    found.sort();
    let expected = [
        ("/a.css", Role::Asset),
        ("/later", Role::Page),
        ("?page=2", Role::Page),
        ("a.map", Role::Asset),
    ];
    assert_eq!(found, expected.map(|(link, role)| (link.to_owned(), role)));
}

/// Answers to questions that were not asked are errors that say so: parts, nothing at all, not modified.
#[tokio::test]
async fn answers_that_were_not_asked_for_say_so() {
    let origin = Origin::start();
    let desk = Desk::new(limits());
    for (status, told) in [
        (204, "204 (no content)"),
        (205, "205 (no content)"),
        (206, "206 (a part of the page, which was not asked for)"),
        (304, "304 (not modified, but no condition was sent)"),
    ] {
        origin.set("/s", Page::html("").status(status));
        let error = desk.once(&origin.url("/s")).await.unwrap_err();
        assert!(error.to_string().ends_with(told), "{error}");
        assert_eq!(error.class(), Class::Skip);
    }
    let part = Page::html("half").header("content-range", "bytes 0-3/8");
    origin.set("/s", part.clone());
    let error = desk.once(&origin.url("/s")).await.unwrap_err();
    assert!(matches!(error, FetchError::Malformed { .. }), "{error:?}");
    origin.set("/s", part.status(206));
    assert_eq!(
        desk.once(&origin.url("/s")).await.unwrap_err().status(),
        Some(206)
    );
}

/// A body for a file stops the run while the disk still has what it is to keep, and says which option decides;
/// a body in memory does not care.
#[tokio::test]
async fn a_disk_that_is_nearly_full_stops_the_run() {
    let origin = Origin::start();
    origin.set(
        "/large",
        Page::new("application/zip", sample(MEMORY_MAX + 1)),
    );
    let chunked = Page::new("application/zip", sample(MEMORY_MAX + 1)).chunked();
    origin.set("/growing", chunked);
    origin.set("/small", Page::new("application/zip", sample(MEMORY_MAX)));
    let mut careful = limits();
    careful.disk_free_min = u64::MAX;
    let desk = Desk::new(careful);
    for path in ["/large", "/growing"] {
        let error = desk.error(&origin.url(path)).await;
        let folder_is_named = matches!(&error, FetchError::DiskFull { folder, free, .. }
            if folder == desk.folder.path() && *free > 0);
        assert!(folder_is_named, "{error:?}");
        assert_eq!(error.class(), Class::Stop);
        assert!(
            error.to_string().contains("`crawl.disk_free_min`"),
            "{error}"
        );
        assert!(desk.is_clean());
    }
    drop(desk.body(&origin.url("/small")).await);
    assert_eq!(origin.requests().len(), 3);
}

/// A folder that cannot be written stops the run and is named; nothing is repeated.
#[tokio::test]
async fn a_full_disk_stops_the_run() {
    let origin = Origin::start();
    origin.set("/z", Page::new("application/zip", sample(MEMORY_MAX + 1)));
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let desk = Desk::with_folder(limits(), folder, absent.clone());
    let error = desk.error(&origin.url("/z")).await;
    assert!(
        matches!(&error, FetchError::Io { path, .. } if path.starts_with(&absent)),
        "{error:?}"
    );
    assert_eq!(error.class(), Class::Stop);
    assert_eq!(origin.requests().len(), 1);
    assert!(desk.is_clean());
}

/// Many bodies at once through a budget that holds few of them all arrive, and everything is given back.
#[tokio::test]
async fn a_small_budget_serves_many() {
    let origin = Origin::start();
    let body = sample(90_000);
    origin.set("/known", Page::new("application/pdf", body.clone()));
    let chunked = Page::new("application/pdf", body.clone()).chunked();
    origin.set("/unknown", chunked);
    let mut desk = Desk::new(limits());
    desk.budget = Budget::new(200_000);
    let options = Desk::options();
    let mut impatient = limits();
    // Also how long the bodies that do not fit wait before they go to files.
    impatient.idle_timeout = Duration::from_secs(2);
    let temp_dir = desk.folder.path().to_owned();
    let client = client(&options).unwrap();
    desk.fetcher = Fetcher::new(client, impatient, desk.budget.clone(), temp_dir)
        .permitting_private(options.permits_private);
    let urls: Vec<String> = (0..40)
        .map(|i| origin.url(["/known", "/unknown"][i % 2]))
        .collect();
    // All are held until the last has arrived: the worst consumer there can be.
    let held = futures_util::future::join_all(urls.iter().map(|url| desk.body(url))).await;
    let in_memory = held
        .iter()
        .filter(|received| matches!(received.body, Held::Memory(..)));
    assert!(in_memory.count() <= 2, "200,000 bytes hold two of 90,000");
    for received in &held {
        assert_eq!(received.digest, digest(&body));
        assert_eq!(bytes_of(&received.body), body);
    }
    drop(held);
    assert!(desk.is_clean());
    assert_eq!(origin.requests().len(), 40);
}

/// A fetch that is dropped in the middle of a large body gives back its memory and removes its file.
#[tokio::test]
async fn a_dropped_fetch_leaves_nothing() {
    let origin = Origin::start();
    let mut patient = limits();
    patient.idle_timeout = Duration::from_secs(3600);
    for (size, sent) in [(50_000, 20_000), (300_000, 200_000)] {
        let desk = Desk::new(patient.clone());
        origin.set(
            "/d",
            Page::new("application/pdf", sample(size)).stalled(sent),
        );
        let url = origin.url("/d");
        let begun = async {
            while desk.is_clean() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            answer = desk.get(&url) => panic!("it was to stall: {answer:?}"),
            () = begun => {}
        }
        assert!(desk.is_clean(), "the future is dropped by now");
    }
}

/// Answers whose body is thrown away do not cost the connection.
#[tokio::test]
async fn one_connection_serves_answers_of_all_kinds() {
    let origin = Origin::start();
    origin.set("/a", Page::html(sample(20_000)).etag("\"a\""));
    origin.set("/b", Page::redirect(301, "/a").chunked());
    origin.set("/c", Page::html(sample(20_000)).status(410));
    origin.set("/d", Page::html(sample(20_000)).chunked().status(403));
    let desk = Desk::new(limits());
    for _ in 0..3 {
        drop(desk.body(&origin.url("/a")).await);
        for path in ["/b", "/c", "/d", "/absent"] {
            let _ = desk.get(&origin.url(path)).await;
        }
        let _ = desk.ask(&origin.url("/a"), Some("\"a\""), None).await;
    }
    assert_eq!(origin.requests().len(), 18);
    assert_eq!(origin.connections(), 1);
}

/// The origin itself does as it is told: nonces, half of the pages failing (the same half each time), removal.
#[tokio::test]
async fn the_origin_plays_its_script() {
    let origin = Origin::start();
    for path in ["/a", "/b", "/c", "/d"] {
        origin.set(path, Page::html("n={{NONCE}}").nonce());
    }
    let mut once = limits();
    once.attempts = 1;
    let desk = Desk::new(once);
    let first = bytes_of(&desk.body(&origin.url("/a")).await.body);
    let second = bytes_of(&desk.body(&origin.url("/a")).await.body);
    assert!(first != second && first.len() == 18 && first.starts_with(b"n="));
    origin.fail_half(500);
    for (path, good) in [("/a", true), ("/b", false), ("/c", true), ("/d", false)] {
        for _ in 0..2 {
            assert_eq!(desk.get(&origin.url(path)).await.is_ok(), good, "{path}");
        }
    }
    origin.fail_all(Some(502));
    assert!(desk.get(&origin.url("/a")).await.is_err());
    origin.fail_all(None);
    drop(desk.body(&origin.url("/b")).await);
    origin.remove("/b");
    let answer = desk.get(&origin.url("/b")).await.unwrap();
    assert!(matches!(answer, Answer::Gone { status: 404 }));
}

/// The answer fetched for a robots.txt feeds the rules.
#[tokio::test]
async fn robots_are_read_from_an_answer() {
    let origin = Origin::start();
    let text = "User-agent: standin\nDisallow: /private\nSitemap: /map.xml\n";
    origin.set("/robots.txt", Page::new("text/plain", text));
    let desk = Desk::new(limits());
    let received = desk.body(&origin.url("/robots.txt")).await;
    let robots = Robots::from_answer(received.status, &bytes_of(&received.body), "Standin/0.1");
    let allows = |path: &str| robots.allows(&PageUrl::parse(&origin.url(path)).unwrap());
    assert!(allows("/public") && !allows("/private/a"));
    assert_eq!(robots.sitemaps(), ["/map.xml"]);
}
