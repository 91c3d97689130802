//! Promise: over TLS a host is spoken to in HTTP/2 where it offers that and in HTTP/1.1 else, on few connections, and
//! only when its certificate is trusted; a broken answer is as much an error there as anywhere. Checked against a
//! server with a certificate made for the test.

use std::time::Duration;

use hyper::Version;
use standin::crawl::{Answer, Class, FetchError};

use crate::support::desk::{Desk, bytes_of, limits};
use crate::support::secure::{HOST, Secure};

/// The server's choice of protocol is taken, and all requests go over one connection.
#[tokio::test]
async fn the_protocol_is_agreed_upon() {
    for (protocols, version) in [
        (&["h2", "http/1.1"][..], Version::HTTP_2),
        (&["h2"], Version::HTTP_2),
        (&["http/1.1"], Version::HTTP_11),
        (&[], Version::HTTP_11),
    ] {
        let secure = Secure::start(protocols).await;
        let desk = Desk::with_options(limits(), secure.trusting_options());
        for path in ["/a", "/b", "/c"] {
            let received = desk.body(&secure.url(path)).await;
            assert_eq!(bytes_of(&received.body), format!("<p>{path}").as_bytes());
        }
        assert_eq!(secure.versions(), [version; 3], "{protocols:?}");
        assert_eq!(secure.connections(), 1, "{protocols:?}");
    }
}

/// Requests at once are at once over HTTP/2 too, all on one connection: a host's bound on requests in flight means
/// the same in both protocols.
#[tokio::test]
async fn requests_share_a_connection() {
    let secure = Secure::start(&["h2"]).await;
    let desk = Desk::with_options(limits(), secure.trusting_options());
    // The first finds out that it is HTTP/2.
    drop(desk.body(&secure.url("/first")).await);
    let url = secure.url("/counted");
    let all = futures_util::future::join_all((0..8).map(|_| desk.body(&url))).await;
    assert_eq!(all.len(), 8);
    assert_eq!((secure.connections(), secure.in_flight_most()), (1, 8));
}

/// Nobody is believed whose certificate is not trusted, and it is the connection that could not be had.
#[tokio::test]
async fn a_stranger_is_not_believed() {
    let secure = Secure::start(&["h2", "http/1.1"]).await;
    let desk = Desk::with_options(limits(), secure.options());
    let error = desk.once(&secure.url("/a")).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(secure.versions().is_empty(), "no request was sent");
    let other = Desk::with_options(limits(), secure.trusting_options());
    let url = secure.url("/a").replace(HOST, "other.example");
    assert!(
        other.once(&url).await.is_err(),
        "the name is not in the certificate"
    );
    assert!(secure.versions().is_empty());
}

/// A body that breaks off, lacks some of its length or stops is no page, and headers are bounded; others are served
/// all the same.
#[tokio::test]
async fn broken_answers_are_errors_over_http_2() {
    let secure = Secure::start(&["h2"]).await;
    let mut short = limits();
    short.idle_timeout = Duration::from_millis(100);
    let desk = Desk::with_options(short, secure.trusting_options());
    for path in ["/cut", "/short", "/stuck", "/headers"] {
        let error = desk.once(&secure.url(path)).await.unwrap_err();
        let is_right = match path {
            "/stuck" => matches!(error, FetchError::Stalled { came: 0, .. }),
            "/headers" => matches!(error, FetchError::Malformed { .. }),
            // Where the end of the stream overtakes its headers, nothing of it is seen.
            _ => matches!(
                error,
                FetchError::Truncated { .. } | FetchError::Malformed { .. }
            ),
        };
        assert!(is_right, "{path}: {error:?}");
        assert_eq!(
            (error.class(), error.is_connection()),
            (Class::Retry, false),
            "{path}"
        );
        assert!(desk.is_clean());
        assert!(matches!(
            desk.once(&secure.url("/a")).await,
            Ok(Answer::Body(_))
        ));
    }
    // Headers of four times the bound are an attack on the connection, which is left at that.
    assert_eq!(secure.connections(), 2);
}
