//! The HTTP client underneath crawl, gateway, replay and notifications: one connection pool that follows no
//! redirect, keeps no cookie, reads no proxy from the environment and sends no `Referer`. It hands bodies over as
//! they were sent: whoever wants gzip asks for it and takes it off (`crawl/gunzip.rs` says why).
//!
//! It also keeps a run from being led into the operator's own network by a DNS answer. Names go through
//! [`PublicOnly`], which drops every address that is not public; a host that is written as an address never
//! reaches a resolver, so whoever sends a request asks [`address_permitted`] first.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// Says for a host (as in `PageUrl::host`) whether its private addresses may be spoken to.
pub type PermitsPrivate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

pub struct ClientOptions {
    pub user_agent: String,
    /// Name lookup, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Sent with every request; the values may be secrets and are never printed.
    pub headers: Vec<(String, String)>,
    pub permits_private: PermitsPrivate,
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
        .dns_resolver(PublicOnly {
            permits_private: Arc::clone(&options.permits_private),
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

/// Resolves as the machine does, minus the addresses that are not public.
struct PublicOnly {
    permits_private: PermitsPrivate,
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let private_too = (self.permits_private)(&host);
        Box::pin(async move { Ok(lookup(host, private_too).await?) })
    }
}

async fn lookup(host: String, private_too: bool) -> Result<Addrs, HttpError> {
    // Port 0 stands for "the port of the URL".
    let found: Result<Vec<SocketAddr>, _> = tokio::net::lookup_host((host.as_str(), 0))
        .await
        .map(Iterator::collect);
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
            user_agent: "Standin/0.1".to_owned(),
            connect_timeout: Duration::from_secs(5),
            headers: Vec::new(),
            permits_private: Arc::new(permits),
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
}
