//! The HTTP client underneath crawl, gateway, replay and notifications: one connection pool that follows no
//! redirect, keeps no cookie, reads no proxy from the environment and sends no `Referer`. It hands bodies over as
//! they were sent: whoever wants a coding asks for it and takes it off (`crawl/decode.rs` says why).
//!
//! Over TLS the server chooses HTTP/2 where it has it (ALPN), and HTTP/1.1 with keep-alive else. Nothing is sent
//! twice from here but for requests of which the server, or a connection that was closed while it was idle, has
//! said that they were never looked at.
//!
//! It also keeps a run from being led into the operator's own network by a DNS answer. Names go through
//! [`PublicOnly`], which drops every address that is not public; a host that is written as an address never
//! reaches a resolver, so whoever sends a request asks [`address_permitted`] first.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Says for a host (as in `PageUrl::host`) whether its private addresses may be spoken to.
pub type PermitsPrivate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The addresses of a host, in the place of the machine's own resolver. It must not block.
pub type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

/// What the headers of one answer may have together, in bytes: four times what Node's client takes by default.
/// Over HTTP/2 the server is told, and each header counts for 32 bytes more (RFC 9113, 6.5.2). Over HTTP/1 a
/// connection holds up to 408 KiB of headers before its answer can be judged.
pub const HEADER_BYTES_MAX: u32 = 64 * 1024;

/// Headers of one answer; hyper's own bound, written down.
const HEADERS_MAX: usize = 100;

/// Connections kept open for a host between requests: more than a crawl has in flight.
const IDLE_PER_HOST_MAX: usize = 64;

/// Less than the 60 to 75 s after which nginx and load balancers close idle connections themselves: a request that
/// meets such an end on its way has to be sent again.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

/// What an HTTP/2 server may send unread, per request and per connection, in bytes. Bodies are read as they come, so
/// this is memory only while we are behind: 1 MiB is 50 ms away at 20 MB/s.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// All requests to an HTTP/2 host share one connection, so one that has died silently is found out by asking it:
/// otherwise each of them would wait for its own time-out.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(5);

pub struct ClientOptions {
    pub user_agent: String,
    /// Name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Sent with every request; the values may be secrets and are never printed.
    pub headers: Vec<(String, String)>,
    pub permits_private: PermitsPrivate,
    /// Certificates, each as DER or any number of them as PEM, that are trusted beside those of the machine.
    pub extra_roots: Vec<Vec<u8>>,
    /// In the place of the machine's resolver; what it says is judged all the same.
    pub lookup: Option<Lookup>,
}

impl Default for ClientOptions {
    /// No private address, nothing added.
    fn default() -> ClientOptions {
        ClientOptions {
            user_agent: concat!("Standin/", env!("CARGO_PKG_VERSION")).to_owned(),
            connect_timeout: Duration::from_secs(5),
            headers: Vec::new(),
            permits_private: Arc::new(|_| false),
            extra_roots: Vec::new(),
            lookup: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("{host} does not resolve: {why}")]
    Unresolvable { host: String, why: String },
    #[error("{host} resolves only to private addresses; name it in `hosts` to permit it")]
    PrivateOnly { host: String },
    /// The value stays out of the message: it may be a secret.
    #[error("the header `{name}` is not one that can be sent")]
    Header { name: String },
    #[error("an extra root certificate can be read neither as PEM nor as DER")]
    Root(#[source] reqwest::Error),
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] reqwest::Error),
}

/// Makes ring the TLS provider of this process. Every call after the first changes nothing.
pub fn install_crypto() {
    // An error means that a provider is installed already, which is all that is wanted here.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for any number of hosts. Fails for headers that cannot be sent, and when the certificates of the
/// machine cannot be read.
pub fn client(options: &ClientOptions) -> Result<reqwest::Client, HttpError> {
    install_crypto();
    let user_agent = header_value("user-agent", &options.user_agent)?;
    reqwest::Client::builder()
        .user_agent(user_agent)
        .default_headers(default_headers(&options.headers)?)
        .connect_timeout(options.connect_timeout)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .no_gzip()
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
        .pool_idle_timeout(IDLE_TIME_MAX)
        .http1_max_headers(HEADERS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keep_alive_interval(PING_EVERY)
        .http2_keep_alive_timeout(PING_PATIENCE)
        .tls_certs_merge(roots(&options.extra_roots)?)
        // The addresses that are judged here are those that are connected to: nobody resolves a second time.
        .dns_resolver(PublicOnly {
            permits_private: Arc::clone(&options.permits_private),
            lookup: options.lookup.clone(),
        })
        .build()
        .map_err(HttpError::Setup)
}

/// Whether a host may be spoken to as far as its spelling tells: false only for a literal address (IPv6 with
/// or without brackets) that is private and not permitted. Names are judged when they are resolved.
pub fn address_permitted(
    host: &str,
    permits_private: &(dyn Fn(&str) -> bool + Send + Sync),
) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) => is_public(address) || permits_private(host),
        Err(_) => true,
    }
}

/// What this room said, if one of its own errors is at the bottom of a failed request.
pub fn refusal(error: &reqwest::Error) -> Option<&HttpError> {
    causes(error).find_map(|cause| cause.downcast_ref::<HttpError>())
}

/// Why a request failed, on one line and without the URL: the innermost cause, because the outer ones only say
/// that a request was being sent.
pub fn reason(error: &reqwest::Error) -> String {
    let innermost = causes(error).last().expect("an error is its own cause");
    innermost.to_string().replace(['\n', '\r'], " ")
}

/// Whether a server was there, but broke the protocol before the headers of its answer were complete: they cannot be
/// read, there are more of them than is permitted, or it took its HTTP/2 stream back.
pub fn is_malformed(error: &reqwest::Error) -> bool {
    let mut told = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    told.any(|error| error.is_parse() || is_http2(error))
}

/// hyper has no word for this kind: it is what has a cause that is not the socket's, and is none of those it has words
/// for.
fn is_http2(error: &hyper::Error) -> bool {
    let has_a_word = error.is_canceled()
        || error.is_closed()
        || error.is_incomplete_message()
        || error.is_timeout()
        || error.is_user();
    let cause = error.source();
    !has_a_word && cause.is_some_and(|cause| !cause.is::<io::Error>())
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let outermost: &(dyn Error + 'static) = error;
    std::iter::successors(Some(outermost), |&cause| cause.source())
}

fn default_headers(headers: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let parsed: HeaderName = name
            .parse()
            .map_err(|_| HttpError::Header { name: name.clone() })?;
        let mut value = header_value(name, value)?;
        value.set_sensitive(true);
        map.append(parsed, value);
    }
    Ok(map)
}

fn header_value(name: &str, value: &str) -> Result<HeaderValue, HttpError> {
    HeaderValue::from_str(value).map_err(|_| HttpError::Header {
        name: name.to_owned(),
    })
}

fn roots(certificates: &[Vec<u8>]) -> Result<Vec<reqwest::Certificate>, HttpError> {
    let mut roots = Vec::new();
    for bytes in certificates {
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN") {
            let bundle = reqwest::Certificate::from_pem_bundle(bytes);
            roots.extend(bundle.map_err(HttpError::Root)?);
        } else {
            let root = reqwest::Certificate::from_der(bytes);
            roots.push(root.map_err(HttpError::Root)?);
        }
    }
    Ok(roots)
}

/// Resolves as the machine does, minus the addresses that are not public.
struct PublicOnly {
    permits_private: PermitsPrivate,
    lookup: Option<Lookup>,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let private_too = (self.permits_private)(&host);
        let given = self.lookup.as_ref().map(|lookup| lookup(&host));
        Box::pin(async move {
            let found = match given {
                Some(given) => given.map(|given| given.into_iter().map(any_port).collect()),
                None => system_lookup(&host).await,
            };
            Ok(judged(host, found, private_too)?)
        })
    }
}

/// Port 0 stands for "the port of the URL".
fn any_port(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, 0)
}

async fn system_lookup(host: &str) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::net::lookup_host((host, 0)).await?;
    Ok(found.collect())
}

/// Of the addresses found for a host those that may be spoken to; an error when none is left.
fn judged(
    host: String,
    found: io::Result<Vec<SocketAddr>>,
    private_too: bool,
) -> Result<Addrs, HttpError> {
    let found = match found {
        Ok(found) if found.is_empty() => {
            let why = "it has no address".to_owned();
            return Err(HttpError::Unresolvable { host, why });
        }
        Ok(found) => found,
        Err(error) => {
            let why = error.to_string();
            return Err(HttpError::Unresolvable { host, why });
        }
    };
    let kept: Vec<SocketAddr> = found
        .into_iter()
        .filter(|address| private_too || is_public(address.ip()))
        .collect();
    if kept.is_empty() {
        return Err(HttpError::PrivateOnly { host });
    }
    Ok(Box::new(kept.into_iter()))
}

/// Whether an address belongs to the public internet. Not so: loopback, private, link-local, unique-local,
/// carrier-grade NAT, multicast, unspecified, reserved and documentation addresses, in either family, and IPv6
/// addresses that merely carry such an IPv4 address. Source: the IANA special-purpose registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match carried_v4(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b); // carrier-grade NAT, 100.64.0.0/10
    let protocol_assignments = a == 192 && b == 0 && c == 0;
    let benchmarking = a == 198 && (b == 18 || b == 19);
    !(a == 0 // "this network", of which 0.0.0.0 reaches the machine itself
        || a >= 240 // reserved, and broadcast
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || shared
        || protocol_assignments
        || benchmarking)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let site_local = first & 0xffc0 == 0xfec0; // deprecated, still routed inside some networks
    let documentation = (first == 0x2001 && second == 0x0db8) || (first & 0xfff0) == 0x3ff0;
    let local_nat64 = first == 0x0064 && second == 0xff9b; // 64:ff9b:1::/48; the public prefix carries a v4
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || site_local
        || documentation
        || local_nat64)
}

/// The IPv4 address that a mapped, translated (NAT64) or 6to4 address stands for.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if let Some(v4) = address.to_ipv4_mapped() {
        return Some(v4);
    }
    match address.segments() {
        [0x0064, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(permits: fn(&str) -> bool) -> ClientOptions {
        ClientOptions {
            permits_private: Arc::new(permits),
            ..ClientOptions::default()
        }
    }

    async fn error_of(host: &str) -> reqwest::Error {
        let client = client(&options(|_| false)).unwrap();
        let sent = client.get(format!("http://{host}:9/")).send().await;
        sent.expect_err("must not get through")
    }

    /// Promise: no private address of either family counts as public, and public ones next to them do.
    #[test]
    fn private_addresses_are_told_from_public_ones() {
        let private = "127.0.0.1 127.255.1.1 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 \
            100.64.0.1 100.127.255.255 0.0.0.0 0.1.2.3 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 192.0.2.1 \
            198.51.100.7 203.0.113.9 198.18.0.1 198.19.255.1 192.0.0.8 ::1 :: fe80::1 febf::1 fc00::1 fd12::1 \
            fec0::1 ff02::1 2001:db8::1 3fff::1 ::ffff:127.0.0.1 ::ffff:10.1.2.3 64:ff9b::10.0.0.1 64:ff9b:1::1 \
            2002:7f00:1:: 2002:c0a8:101::1";
        for text in private.split_whitespace() {
            assert!(!is_public(text.parse().unwrap()), "{text} is private");
        }
        let public = "8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 198.20.0.1 223.255.255.1 \
            169.253.1.1 2001:4860:4860::8888 2a00::1 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 2002:808:808::1";
        for text in public.split_whitespace() {
            assert!(is_public(text.parse().unwrap()), "{text} is public");
        }
    }

    /// Promise: a host spelt as an address is refused when private, brackets or not, unless it was named.
    #[test]
    fn literal_addresses_are_judged_by_their_spelling() {
        let nobody = |_: &str| false;
        for host in ["127.0.0.1", "[::1]", "::1", "10.0.0.1", "[::ffff:10.0.0.1]"] {
            assert!(!address_permitted(host, &nobody), "{host}");
        }
        for host in ["8.8.8.8", "[2a00::1]", "www.example", "localhost"] {
            assert!(address_permitted(host, &nobody), "{host}");
        }
        assert!(address_permitted("127.0.0.1", &|host| host == "127.0.0.1"));
        assert!(!address_permitted("127.0.0.2", &|host| host == "127.0.0.1"));
        assert!(address_permitted("[::1]", &|host| host == "[::1]"));
    }

    /// Promise: a name that leads only into the own network is refused with the way to permit it.
    #[tokio::test]
    async fn a_name_with_only_private_addresses_is_refused() {
        let error = error_of("localhost").await;
        assert!(matches!(
            refusal(&error),
            Some(HttpError::PrivateOnly { .. })
        ));
        assert_eq!(
            reason(&error),
            "localhost resolves only to private addresses; name it in `hosts` to permit it"
        );
    }

    /// Promise: a host that does not exist is named, on one line. `.invalid` exists nowhere (RFC 6761).
    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_named() {
        let error = error_of("nowhere.invalid").await;
        assert!(matches!(
            refusal(&error),
            Some(HttpError::Unresolvable { .. })
        ));
        let line = reason(&error);
        assert!(
            line.starts_with("nowhere.invalid does not resolve: ") && !line.contains('\n'),
            "{line}"
        );
    }

    /// Promise: a header that cannot be sent is an error that names the header and keeps its value to itself.
    #[test]
    fn a_bad_header_is_refused_without_its_value() {
        let mut options = options(|_| false);
        options.headers = vec![("x-token".to_owned(), "secret\nsplit".to_owned())];
        let message = client(&options).expect_err("has a line break").to_string();
        assert_eq!(message, "the header `x-token` is not one that can be sent");
        options.headers = vec![("bad name".to_owned(), "v".to_owned())];
        assert!(client(&options).is_err());
    }

    /// Promise: installing the TLS provider twice is harmless.
    #[test]
    fn crypto_installs_once() {
        install_crypto();
        install_crypto();
        assert!(client(&options(|_| false)).is_ok());
    }

    /// Promise: a resolver that was handed in is asked instead of the machine's, and judged like that: of several
    /// addresses only the public ones are left, and when there is none the host is refused.
    #[tokio::test]
    async fn a_resolver_handed_in_is_judged_too() {
        let answers = |name: &str| -> io::Result<Vec<IpAddr>> {
            let texts: &[&str] = match name {
                "mixed.example" => &["10.0.0.1", "192.0.1.1", "::1"],
                "inside.example" => &["169.254.169.254", "fd00::1"],
                "empty.example" => &[],
                _ => return Err(io::Error::other("no such name")),
            };
            Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
        };
        for (name, permits, expected) in [
            ("mixed.example", false, Ok(1)),
            ("mixed.example", true, Ok(3)),
            ("inside.example", true, Ok(2)),
            (
                "inside.example",
                false,
                Err("resolves only to private addresses"),
            ),
            (
                "empty.example",
                false,
                Err("does not resolve: it has no address"),
            ),
            (
                "other.example",
                false,
                Err("does not resolve: no such name"),
            ),
        ] {
            let resolver = PublicOnly {
                permits_private: Arc::new(move |_| permits),
                lookup: Some(Arc::new(answers)),
            };
            match (resolver.resolve(name.parse().unwrap()).await, expected) {
                (Ok(addresses), Ok(count)) => assert_eq!(addresses.count(), count, "{name}"),
                (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
                (result, _) => panic!("{name}: {:?}", result.map(Iterator::collect::<Vec<_>>)),
            }
        }
    }

    /// Promise: a root certificate that is none is refused before anything is sent.
    #[test]
    fn a_root_that_is_no_certificate_is_refused() {
        for bytes in [
            &b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n"[..],
            b"\x30\x00",
        ] {
            let mut options = options(|_| false);
            options.extra_roots = vec![bytes.to_vec()];
            assert!(client(&options).is_err());
        }
    }
}
