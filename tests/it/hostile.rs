//! Promise: a server that breaks the protocol, never ends or never answers costs one page, in bounded time and memory.
//! It is never taken for a page, nor for a host that is down. Checked against a server that says what it is told byte
//! by byte; where time matters the clock stands still until both sides wait.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use standin::crawl::{Answer, Class, FetchError, FetchLimits};
use standin::http::client::ClientOptions;

use crate::support::desk::{BODY_MAX, Desk, bytes_of, limits};
use crate::support::wire::{Step, Wire, say};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n";

/// The error of one request for an answer in these steps.
async fn error_of(desk: &Desk, steps: Vec<Step>) -> FetchError {
    let wire = Wire::start(vec![steps]).await;
    let error = desk.once(&wire.url("/a")).await;
    let error = error.expect_err("this is no page");
    assert_eq!(wire.requests(), 1, "it was asked for once: {error}");
    assert!(!error.to_string().contains('\n'), "{error}");
    assert!(desk.is_clean(), "{error}");
    error
}

/// A body whose length is not what was announced, that is reset in the middle, or whose chunks are out of joint, is cut;
/// in none of these cases is it the host that is down.
#[tokio::test]
async fn a_body_that_lies_is_cut() {
    let desk = Desk::new(limits());
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n");
    let cases = [
        (
            "short",
            vec![
                say(&format!("{OK}content-length: 10\r\n\r\nhalf")),
                Step::Close,
            ],
        ),
        (
            "reset",
            vec![
                say(&format!("{OK}content-length: 10\r\n\r\nhalf")),
                Step::Reset,
            ],
        ),
        (
            "no last chunk",
            vec![say(&format!("{chunked}4\r\nhalf\r\n")), Step::Close],
        ),
        (
            "reset chunks",
            vec![say(&format!("{chunked}4\r\nhalf\r\n")), Step::Reset],
        ),
        (
            "no size",
            vec![say(&format!("{chunked}x\r\nhalf\r\n0\r\n\r\n"))],
        ),
        (
            "size too small",
            vec![say(&format!("{chunked}2\r\nhalf\r\n0\r\n\r\n"))],
        ),
        (
            "size beyond numbers",
            vec![say(&format!("{chunked}fffffffffffffffff\r\nhalf"))],
        ),
        (
            "endless size line",
            vec![
                say(&format!("{chunked}4;")),
                Step::SayForEver(vec![b'x'; 4096]),
            ],
        ),
        (
            "endless trailers",
            vec![
                say(&format!("{chunked}0\r\n")),
                Step::SayForEver(b"x-a: b\r\n".repeat(500)),
            ],
        ),
    ];
    for (name, steps) in cases {
        let error = error_of(&desk, steps).await;
        assert!(
            matches!(error, FetchError::Truncated { .. }),
            "{name}: {error:?}"
        );
        assert_eq!(
            (error.class(), error.is_connection()),
            (Class::Retry, false),
            "{name}"
        );
    }
}

/// Bytes behind the announced end of a body are no part of it, and do no harm to the page that is asked for next.
#[tokio::test]
async fn what_follows_the_end_is_nobodys_page() {
    let desk = Desk::new(limits());
    let long = format!("{OK}content-length: 4\r\n\r\npage, and more of it");
    let next = format!("{OK}content-length: 4\r\n\r\nnext");
    let wire = Wire::start(vec![vec![say(&long)], vec![say(&next)]]).await;
    assert_eq!(bytes_of(&desk.body(&wire.url("/a")).await.body), b"page");
    assert_eq!(bytes_of(&desk.body(&wire.url("/b")).await.body), b"next");
    assert_eq!(
        wire.connections(),
        2,
        "the first connection is not trusted again"
    );
}

/// What is no HTTP, and headers beyond their bounds in number, in size or for ever, are errors of the page that may pass,
/// and no more is read of them than the bounds say.
#[tokio::test]
async fn headers_are_bounded() {
    let desk = Desk::new(limits());
    let long = |bytes: usize| format!("x-long: {}\r\n", "x".repeat(bytes));
    let end = "content-length: 1\r\n\r\nx";
    let cases = [
        ("no http", vec![say("SSH-2.0-OpenSSH_9.6\r\n\r\n")]),
        ("no name", vec![say(&format!("{OK}: x\r\n{end}"))]),
        (
            "two lengths",
            vec![say(&format!("{OK}content-length: 2\r\n{end}"))],
        ),
        (
            "length of words",
            vec![say(&format!("{OK}content-length: ten\r\n\r\nx"))],
        ),
        (
            "300 kB in 60",
            vec![say(&format!("{OK}{}{end}", long(5_000).repeat(60)))],
        ),
        (
            "300 kB in one",
            vec![say(&format!("{OK}{}{end}", long(300_000)))],
        ),
        (
            "too many",
            vec![say(&format!("{OK}{}{end}", "x-a: b\r\n".repeat(101)))],
        ),
        (
            "endless",
            vec![say(OK), Step::SayForEver(b"x-a: b\r\n".repeat(500))],
        ),
        (
            "endless line",
            vec![say(OK), Step::SayForEver(vec![b'x'; 4096])],
        ),
    ];
    for (name, steps) in cases {
        let error = error_of(&desk, steps).await;
        assert!(
            matches!(error, FetchError::Malformed { .. }),
            "{name}: {error:?}"
        );
        assert_eq!(
            (error.class(), error.is_connection()),
            (Class::Retry, false),
            "{name}"
        );
    }
    let many = format!("{OK}{}{end}", "x-a: b\r\n".repeat(90));
    let large = format!("{OK}{}{end}", long(60_000));
    for head in [many, large] {
        let wire = Wire::start(vec![vec![say(&head)]]).await;
        drop(desk.body(&wire.url("/a")).await);
    }
}

/// Interim answers (continue, early hints) are passed over; what counts is the one that follows.
#[tokio::test]
async fn interim_answers_are_passed_over() {
    let desk = Desk::new(limits());
    let interim = "HTTP/1.1 103 Early Hints\r\nlink: </hinted.css>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    let page =
        format!("{interim}{OK}link: </real.css>; rel=preload\r\ncontent-length: 4\r\n\r\npage");
    let wire = Wire::start(vec![vec![say(&page)]]).await;
    let received = desk.body(&wire.url("/a")).await;
    assert_eq!(bytes_of(&received.body), b"page");
    let links: Vec<&str> = received
        .header_links
        .iter()
        .map(|link| link.0.as_str())
        .collect();
    assert_eq!(links, ["/real.css"]);
}

/// A body without end stops at `body_max`, with or without a coding that hides it, and little more is read.
#[tokio::test]
async fn an_endless_body_stops_at_its_bound() {
    let desk = Desk::new(limits());
    let chunk = [b"1000\r\n".to_vec(), vec![b'x'; 4096], b"\r\n".to_vec()].concat();
    let chunked = format!("{OK}transfer-encoding: chunked\r\n\r\n");
    for head in [chunked, format!("{OK}connection: close\r\n\r\n")] {
        let wire = Wire::start(vec![vec![say(&head), Step::SayForEver(chunk.clone())]]).await;
        let error = desk.once(&wire.url("/a")).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error:?}");
        assert!(desk.is_clean());
        // Beside the bound there is what lies in the buffers of both ends of a connection.
        assert!(
            wire.bytes() < BODY_MAX + (16 << 20),
            "{} were sent",
            wire.bytes()
        );
    }
}

/// A host that accepts and says nothing, or not all of its headers, or nothing more of a body, is left after the time
/// that each of them has, on a clock that stands still until both sides wait.
#[tokio::test(start_paused = true)]
async fn every_silence_has_its_time() {
    let defaults = FetchLimits {
        disk_free_min: 0,
        ..FetchLimits::default()
    };
    let answer_time = defaults.answer_timeout;
    let idle_time = defaults.idle_timeout;
    let desk = Desk::new(defaults);
    let trickled_head = Step::Trickle(b"x-a: b\r\n".to_vec(), Duration::from_secs(1));
    for (steps, time, is_connection) in [
        (vec![Step::Hang], answer_time, true),
        (vec![say(OK), Step::Hang], answer_time, true),
        (vec![say(OK), trickled_head], answer_time, true),
        (
            vec![
                say(&format!("{OK}content-length: 9\r\n\r\nhalf")),
                Step::Hang,
            ],
            idle_time,
            false,
        ),
    ] {
        let begun = tokio::time::Instant::now();
        let error = error_of(&desk, steps).await;
        let took = begun.elapsed();
        assert!(
            took >= time && took < time + Duration::from_secs(1),
            "{error}: {took:?}"
        );
        assert_eq!(error.is_connection(), is_connection, "{error:?}");
        assert_eq!(error.class(), Class::Retry);
    }
}

/// A body that never quite stops is given up as too slow; one that is slow but comes is taken.
#[tokio::test(start_paused = true)]
async fn a_trickle_is_given_up() {
    let defaults = FetchLimits {
        disk_free_min: 0,
        ..FetchLimits::default()
    };
    let desk = Desk::new(defaults);
    let head = format!("{OK}content-length: 100000\r\n\r\n");
    let begun = tokio::time::Instant::now();
    let drop_by_drop = Step::Trickle(b"x".to_vec(), Duration::from_secs(9));
    let error = error_of(&desk, vec![say(&head), drop_by_drop]).await;
    assert!(
        matches!(
            error,
            FetchError::Stalled {
                came: 8,
                got: 8,
                ..
            }
        ),
        "{error:?}"
    );
    assert_eq!(
        (error.class(), error.is_connection()),
        (Class::Retry, false)
    );
    assert!(
        begun.elapsed() < Duration::from_secs(70),
        "{:?}",
        begun.elapsed()
    );

    let slowly = Step::Trickle(vec![b'x'; 2_000], Duration::from_secs(9));
    let wire = Wire::start(vec![vec![say(&head), slowly]]).await;
    assert_eq!(desk.body(&wire.url("/a")).await.digest.size, 100_000);
    assert!(begun.elapsed() > Duration::from_secs(440));
}

/// A connection that is not made in time ends the request, and it is the host that is down.
#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_made_ends_in_time() {
    // More connections than the listener has room for are never accepted: the kernel drops their first packet.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let held = std::net::TcpStream::connect(address).unwrap();
    let desk = Desk::new(FetchLimits::default());
    let begun = tokio::time::Instant::now();
    let error = desk.once(&format!("http://{address}/a")).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert!(error.is_connection());
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    drop(held);
}

/// A lying content type is a label and nothing more: the bytes are the page's, whatever they are called.
#[tokio::test]
async fn a_lying_content_type_changes_no_byte() {
    let desk = Desk::new(limits());
    for label in [
        "text/html",
        "image/png",
        "application/json; charset=utf-16",
        "\u{0}",
        "a/b/c;;;=",
    ] {
        let body = b"\x89PNG\r\n\x1a\n<html>";
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: {label}\r\ncontent-length: 14\r\n\r\n");
        let steps = vec![Step::Say([head.as_bytes(), body].concat())];
        let wire = Wire::start(vec![steps]).await;
        match desk.once(&wire.url("/a")).await {
            Ok(Answer::Body(received)) => assert_eq!(bytes_of(&received.body), body, "{label:?}"),
            // A NUL is no part of any header.
            other => {
                let error = other.expect_err("this is a page or an error");
                assert!(
                    label.contains('\u{0}') && matches!(error, FetchError::Malformed { .. }),
                    "{error:?}"
                );
            }
        }
    }
}

/// A name that leads to a private address is refused before anything is sent there, whatever else it leads to; where it
/// is permitted, the connection goes to the very address that was looked at: a second answer of the resolver, which
/// an attacker may have in store, is never asked for.
#[tokio::test]
async fn a_name_is_resolved_once_and_judged() {
    let page = format!("{OK}content-length: 4\r\n\r\npage");
    let wire = Wire::start(vec![vec![say(&page)]]).await;
    let url = format!("http://rebind.example:{}/a", wire.port());
    for permitted in [false, true] {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let options = ClientOptions {
            permits_private: Arc::new(move |_| permitted),
            lookup: Some(Arc::new(move |name: &str| {
                assert_eq!(name, "rebind.example");
                // Nobody listens at the second address.
                let last = 1 + counted.fetch_add(1, Ordering::Relaxed) as u8;
                Ok(vec![IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))])
            })),
            ..ClientOptions::default()
        };
        let desk = Desk::with_options(limits(), options);
        let answer = desk.once(&url).await;
        if permitted {
            assert!(matches!(answer, Ok(Answer::Body(_))), "{answer:?}");
        } else {
            assert!(
                matches!(answer, Err(FetchError::Forbidden { .. })),
                "{answer:?}"
            );
            assert_eq!(wire.connections(), 0);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
    assert_eq!(wire.connections(), 1);
}
