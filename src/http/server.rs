//! The server underneath: HTTP/1.1 on one address, every answer made by one [`Handler`].
//!
//! One task accepts, and a set that it owns holds the connections: dropping the [`Server`] ends
//! them all, and nothing is left running behind it. The handler sees the head of a request and
//! never its body, which is thrown away.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Connections served at once; more wait in the kernel's queue. Each costs a descriptor and some
/// 10 KiB, and 1,024 descriptors is what a process commonly has.
const CONNECTIONS_MAX: usize = 512;

/// How long a request's head may take, the wait of a kept connection for its next one included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// How long `stop` waits for the answers that are under way.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause after a failed accept: running out of descriptors passes, but not at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Makes the answers of a [`Server`]. Called on the runtime's thread: it must not wait.
pub trait Handler: Send + Sync + 'static {
    /// The whole answer to a request. The body belongs to a GET; for a HEAD the server leaves it
    /// out and keeps its length.
    fn answer(&self, request: &Parts) -> Response<Bytes>;
}

/// A listening server. Dropping it ends its connections where they stand; [`Server::stop`] lets
/// answers under way finish.
pub struct Server {
    address: SocketAddr,
    stopping: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Listens on `addr` (port 0 = any free one) and begins to serve, on the current runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(addr: SocketAddr, handler: Arc<dyn Handler>) -> std::io::Result<Server> {
        let listener = TcpListener::bind(addr).await?;
        let address = listener.local_addr()?;
        let (stopping, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, handler, stopped));
        Ok(Server {
            address,
            stopping,
            serving,
        })
    }

    /// The address listened on, with the port that was found.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, lets answers under way finish (5 s at most) and ends all connections.
    pub async fn stop(mut self) {
        self.stopping.send_replace(true);
        if tokio::time::timeout(STOP_TIMEOUT, &mut self.serving)
            .await
            .is_err()
        {
            self.serving.abort();
            // The only outcome is "cancelled"; what counts is that the task has ended.
            let _ = (&mut self.serving).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The task owns the connections, so they end with it.
        self.serving.abort();
    }
}

/// Accepts until told to stop, then waits for the connections.
async fn serve(
    listener: TcpListener,
    handler: Arc<dyn Handler>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stopped.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, handler.clone(), stopped.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Serves one connection to its end. What goes wrong on it is the client's to notice: its request
/// is answered or it is not.
async fn converse(
    stream: TcpStream,
    handler: Arc<dyn Handler>,
    mut stopped: watch::Receiver<bool>,
) {
    // Without it the end of an answer waits for an acknowledgement. It fails only on a connection
    // that is gone already.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let (parts, _) = request.into_parts();
        let answer = handler.answer(&parts).map(Full::new);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    struct Echo;

    impl Handler for Echo {
        fn answer(&self, request: &Parts) -> Response<Bytes> {
            assert!(request.method == Method::GET || request.method == Method::HEAD);
            Response::new(Bytes::from(format!("you asked for {}", request.uri)))
        }
    }

    async fn echo() -> Server {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Server::bind(any, Arc::new(Echo)).await.unwrap()
    }

    /// Reads until what arrived ends with `end`.
    async fn read_to(stream: &mut TcpStream, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            assert_ne!(
                stream.read_buf(&mut text).await.unwrap(),
                0,
                "closed before {end:?}"
            );
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn one_connection_serves_many_requests_and_head_has_no_body() {
        // Promise: connections are kept, and HEAD answers the length without the body; else the
        // bytes of the body would be taken for the next answer.
        let server = echo().await;
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        stream
            .write_all(b"HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        let head = read_to(&mut stream, "\r\n\r\n").await.to_ascii_lowercase();
        assert!(
            head.starts_with("http/1.1 200") && head.contains("content-length: 16"),
            "{head}"
        );
        stream
            .write_all(b"GET /b?c HTTP/1.1\r\nHost: h\r\n\r\n")
            .await
            .unwrap();
        let answer = read_to(&mut stream, "you asked for /b?c").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        server.stop().await;
    }

    #[tokio::test]
    async fn stop_and_drop_end_idle_connections_and_the_listener() {
        // Promise: nothing runs on behind a server, whichever way it ends.
        for stops in [true, false] {
            let server = echo().await;
            let address = server.local_addr();
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream
                .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                .await
                .unwrap();
            read_to(&mut stream, "you asked for /").await;
            if stops {
                server.stop().await;
            } else {
                drop(server);
            }
            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
            assert!(TcpStream::connect(address).await.is_err());
        }
    }
}
