//! A site behind TLS that speaks HTTP/2 or HTTP/1.1, with a certificate of an authority that nobody knows yet. It
//! runs in the runtime of the test.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use standin::http::client::ClientOptions;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// The name in the certificate; no resolver knows it.
pub const HOST: &str = "secure.example";

pub struct Secure {
    port: u16,
    authority: Vec<u8>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    versions: Mutex<Vec<Version>>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
    in_flight_most: AtomicUsize,
}

impl Secure {
    /// `protocols` as ALPN has them, the best first.
    pub async fn start(protocols: &[&str]) -> Secure {
        standin::http::install_crypto();
        let (authority, mut config) = certified();
        config.alpn_protocols = protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let counted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), Arc::clone(&counted));
                tokio::spawn(async move {
                    // A client that does not trust us goes away here.
                    let Ok(socket) = acceptor.accept(socket).await else {
                        return;
                    };
                    seen.connections.fetch_add(1, Ordering::Relaxed);
                    let service = hyper::service::service_fn(move |request| {
                        answer(request, Arc::clone(&seen))
                    });
                    let server = auto::Builder::new(TokioExecutor::new());
                    // An error is a client that went away, or a body that was to break off.
                    let _ = server.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Secure {
            port,
            authority,
            seen,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.port)
    }

    /// What a client needs to come here: the name, and permission to speak to this machine.
    pub fn options(&self) -> ClientOptions {
        ClientOptions {
            permits_private: Arc::new(|host| host == HOST),
            lookup: Some(Arc::new(|_: &str| {
                Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
            })),
            ..ClientOptions::default()
        }
    }

    /// The same, and trust in the certificate.
    pub fn trusting_options(&self) -> ClientOptions {
        ClientOptions {
            extra_roots: vec![self.authority.clone()],
            ..self.options()
        }
    }

    /// In which version each request came.
    pub fn versions(&self) -> Vec<Version> {
        self.seen.versions.lock().unwrap().clone()
    }

    /// Connections on which TLS was agreed upon.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// The most requests that were answered at one moment.
    pub fn in_flight_most(&self) -> usize {
        self.seen.in_flight_most.load(Ordering::Relaxed)
    }
}

/// The certificate of a new authority, as PEM, and a server with one that it has signed.
fn certified() -> (Vec<u8>, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap().pem().into_bytes();
    let issuer = Issuer::new(params, key);
    let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority, config)
}

type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

/// `/cut` breaks off, `/stuck` stops in the middle, `/headers` has far too many of them, `/short` has less than it says,
/// `/counted` takes a moment; all else is a page.
async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Response<Body>, Infallible> {
    seen.versions.lock().unwrap().push(request.version());
    let path = request.uri().path().to_owned();
    let page = Bytes::from(format!("<p>{path}"));
    let first = stream::iter([Ok(Frame::data(page))]);
    let body = match path.as_str() {
        "/cut" => first
            .chain(stream::iter([Err(io::Error::other("cut as told"))]))
            .boxed(),
        "/stuck" => first.chain(stream::pending()).boxed(),
        _ => first.boxed(),
    };
    let mut response = Response::new(StreamBody::new(body));
    let headers = response.headers_mut();
    headers.insert("content-type", "text/html".parse().unwrap());
    match path.as_str() {
        "/short" => drop(headers.insert("content-length", "1000".parse().unwrap())),
        "/headers" => {
            for number in 0..60 {
                let name: hyper::header::HeaderName = format!("x-{number}").parse().unwrap();
                headers.insert(name, "x".repeat(5_000).parse().unwrap());
            }
        }
        "/counted" => {
            let now = seen.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
            seen.in_flight_most.fetch_max(now, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
            seen.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        _ => {}
    }
    Ok(response)
}
