//! A web site that does as it is told: pages, conditional answers, errors, cut bodies, silence.
//!
//! It runs on a thread and a runtime of its own, so that tests that block, or that start a process and wait for it,
//! still get answers; all of its methods are synchronous. It uses nothing of the project, so that no mistake can
//! be on both sides.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION,
};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A cut or stalled body waits this long after its last byte before the connection goes, so that what was sent
/// has left the server's buffers.
const FLUSH_TIME: Duration = Duration::from_millis(30);

/// How long `accept` waits for its port.
const PORT_TIME: Duration = Duration::from_secs(5);

/// What one URL answers.
#[derive(Clone, Debug)]
pub struct Page {
    pub body: Bytes,
    pub content_type: Option<String>,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// With quotes. A request with the same `If-None-Match` gets a 304.
    pub etag: Option<String>,
    /// A request with the same `If-Modified-Since` (compared as text) gets a 304.
    pub last_modified: Option<String>,
    /// Compressed for clients that accept gzip.
    pub gzip: bool,
    /// Without Content-Length.
    pub chunked: bool,
    /// Only so many bytes of the body (as sent, after gzip) go out, then the connection is closed.
    pub truncate: Option<usize>,
    /// Only so many bytes go out, then nothing more, for ever.
    pub stall: Option<usize>,
    /// Before the answer begins.
    pub delay: Duration,
    /// `{{NONCE}}` in the body and in header values is replaced by a value that is new in each answer.
    pub nonce: bool,
}

impl Page {
    pub fn new(content_type: &str, body: impl Into<Bytes>) -> Page {
        Page {
            body: body.into(),
            content_type: Some(content_type.to_owned()),
            status: 200,
            headers: Vec::new(),
            etag: None,
            last_modified: None,
            gzip: false,
            chunked: false,
            truncate: None,
            stall: None,
            delay: Duration::ZERO,
            nonce: false,
        }
    }

    pub fn html(body: impl Into<Bytes>) -> Page {
        Page::new("text/html; charset=utf-8", body)
    }

    pub fn redirect(status: u16, location: &str) -> Page {
        let page = Page::html("moved").status(status);
        page.header(LOCATION.as_str(), location)
    }

    pub fn status(mut self, status: u16) -> Page {
        self.status = status;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Page {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn etag(mut self, etag: &str) -> Page {
        self.etag = Some(etag.to_owned());
        self
    }

    pub fn last_modified(mut self, date: &str) -> Page {
        self.last_modified = Some(date.to_owned());
        self
    }

    pub fn gzip(mut self) -> Page {
        self.gzip = true;
        self
    }

    pub fn chunked(mut self) -> Page {
        self.chunked = true;
        self
    }

    pub fn truncated(mut self, after: usize) -> Page {
        self.truncate = Some(after);
        self
    }

    pub fn stalled(mut self, after: usize) -> Page {
        self.stall = Some(after);
        self
    }

    pub fn delayed(mut self, delay: Duration) -> Page {
        self.delay = delay;
        self
    }

    pub fn nonce(mut self) -> Page {
        self.nonce = true;
        self
    }

    /// Whether the request asks for what it has already.
    fn is_held_by(&self, request: &HeaderMap) -> bool {
        let same = |name, own: &Option<String>| {
            let sent = request
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok());
            own.is_some() && sent == own.as_deref()
        };
        if request.contains_key(IF_NONE_MATCH) {
            return same(IF_NONE_MATCH, &self.etag);
        }
        same(IF_MODIFIED_SINCE, &self.last_modified)
    }
}

/// One request as it was answered.
#[derive(Clone, Debug)]
struct Seen {
    method: String,
    target: String,
    status: u16,
    headers: Vec<(String, String)>,
}

/// What goes wrong for pages that are all right in themselves.
#[derive(Clone, Copy, Debug, Default)]
enum Weather {
    #[default]
    Fair,
    All(u16),
    Half(u16),
    Silence,
}

#[derive(Default)]
struct Script {
    /// By path and query; of several answers each is given once and the last for ever.
    pages: BTreeMap<String, Vec<Page>>,
    /// By the beginning of a path: who makes up all pages below, where none was set.
    inventors: Vec<(String, Inventor)>,
    weather: Weather,
    seen: Vec<Seen>,
    /// How many requests each path has had since it was set.
    turns: HashMap<String, usize>,
    connections: usize,
}

/// Makes up a page for a path with its query.
type Inventor = Arc<dyn Fn(&str) -> Page + Send + Sync>;

type Shared = Arc<Mutex<Script>>;

fn locked(script: &Shared) -> MutexGuard<'_, Script> {
    script.lock().expect("no test panics while it holds this")
}

/// The running site. It ends when this is dropped.
pub struct Origin {
    script: Shared,
    address: SocketAddr,
    server: Mutex<Option<Server>>,
}

/// The thread that answers; gone while connections are refused.
struct Server {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Origin {
    /// A site without pages on a free port of 127.0.0.1.
    pub fn start() -> Origin {
        let script = Shared::default();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (server, address) = serve(any, Arc::clone(&script)).expect("a free port");
        Origin {
            script,
            address,
            server: Mutex::new(Some(server)),
        }
    }

    /// `http://127.0.0.1:PORT` and the path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// `127.0.0.1:PORT`, as `hosts` in a configuration has it.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Puts a page at a path, or at a path with its query when that is given. A query that has no page of its own
    /// gets the page of the path.
    pub fn set(&self, path: &str, page: Page) {
        self.set_in_turn(path, vec![page]);
    }

    /// Gives each answer once, in this order, and the last one from then on.
    pub fn set_in_turn(&self, path: &str, pages: Vec<Page>) {
        assert!(!pages.is_empty(), "there must be an answer");
        let mut script = locked(&self.script);
        script.turns.remove(path);
        script.pages.insert(path.to_owned(), pages);
    }

    /// Every path that begins so, and has no page of its own, is made up from now on.
    pub fn invent(&self, start: &str, inventor: impl Fn(&str) -> Page + Send + Sync + 'static) {
        let mut script = locked(&self.script);
        script
            .inventors
            .push((start.to_owned(), Arc::new(inventor)));
    }

    /// From now on the path is a 404.
    pub fn remove(&self, path: &str) {
        locked(&self.script).pages.remove(path);
    }

    /// Answers everything with this status, until `None`.
    pub fn fail_all(&self, status: Option<u16>) {
        locked(&self.script).weather = status.map_or(Weather::Fair, Weather::All);
    }

    /// Answers every second page, in the order of their paths, with this status, until `fail_all(None)`. It is
    /// always the same half, so that repeating a request does not help.
    pub fn fail_half(&self, status: u16) {
        locked(&self.script).weather = Weather::Half(status);
    }

    /// Accepts connections and requests and never answers, until `fail_all(None)`.
    pub fn be_silent(&self) {
        locked(&self.script).weather = Weather::Silence;
    }

    /// Closes the port and all connections; returns when nobody listens any more.
    pub fn refuse(&self) {
        let server = self.server.lock().expect("never poisoned").take();
        if let Some(server) = server {
            server.end();
        }
    }

    /// Opens the port again after `refuse`.
    pub fn accept(&self) {
        let mut server = self.server.lock().expect("never poisoned");
        if server.is_none() {
            // A process that another test is just starting may hold a copy of the old port for a moment.
            let begun = Instant::now();
            *server = loop {
                match serve(self.address, Arc::clone(&self.script)) {
                    Ok((opened, _)) => break Some(opened),
                    Err(_) if begun.elapsed() < PORT_TIME => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Err(error) => panic!("the port does not become free again: {error}"),
                }
            };
        }
    }

    /// Method, path with query, and the status answered, in the order of arrival.
    pub fn requests(&self) -> Vec<(String, String, u16)> {
        let script = locked(&self.script);
        let requests = script.seen.iter();
        requests
            .map(|seen| (seen.method.clone(), seen.target.clone(), seen.status))
            .collect()
    }

    /// The headers of the newest request for a path with query, names in lower case.
    pub fn last_headers(&self, target: &str) -> Vec<(String, String)> {
        let script = locked(&self.script);
        let newest = script.seen.iter().rev().find(|seen| seen.target == target);
        newest.map(|seen| seen.headers.clone()).unwrap_or_default()
    }

    pub fn clear_requests(&self) {
        locked(&self.script).seen.clear();
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> usize {
        locked(&self.script).connections
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.refuse();
    }
}

impl Server {
    fn end(self) {
        self.stop.send_replace(true);
        self.thread
            .join()
            .expect("the origin's thread ends cleanly");
    }
}

/// Starts the thread and returns when the port is open.
fn serve(address: SocketAddr, script: Shared) -> io::Result<(Server, SocketAddr)> {
    let (stop, stopped) = watch::channel(false);
    let (opened, opening) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            match TcpListener::bind(address).await {
                Ok(listener) => {
                    opened.send(listener.local_addr()).expect("someone waits");
                    accept_until(listener, stopped, script).await;
                }
                Err(error) => opened.send(Err(error)).expect("someone waits"),
            }
        });
        // Dropping the runtime drops every connection that is left.
    });
    let address = opening.recv().expect("the thread says how it went")?;
    Ok((Server { stop, thread }, address))
}

async fn accept_until(listener: TcpListener, mut stopped: watch::Receiver<bool>, script: Shared) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        let Ok((socket, _)) = accepted else { continue };
        locked(&script).connections += 1;
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&script)));
            // An error is a client that went away, or a body that was to break off.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}

type Chunks = Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, io::Error>> + Send>>;
type Answered = Response<StreamBody<Chunks>>;

async fn answer(request: Request<Incoming>, script: Shared) -> Result<Answered, Infallible> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    if matches!(locked(&script).weather, Weather::Silence) {
        std::future::pending::<()>().await;
    }
    let page = choose(&mut locked(&script), &target);
    let not_modified = page.status == 200 && page.is_held_by(request.headers());
    let status = if not_modified { 304 } else { page.status };
    locked(&script).seen.push(Seen {
        method: request.method().to_string(),
        target,
        status,
        headers: pairs(request.headers()),
    });
    if !page.delay.is_zero() {
        tokio::time::sleep(page.delay).await;
    }
    let gzip = page.gzip && accepts_gzip(request.headers());
    Ok(render(&page, not_modified, gzip))
}

/// The page for this request, with the weather taken into account.
fn choose(script: &mut Script, target: &str) -> Page {
    let path = target.split('?').next().unwrap_or(target);
    let key = [target, path]
        .into_iter()
        .find(|key| script.pages.contains_key(*key));
    let broken = |status| Page::html("the origin is in trouble").status(status);
    match script.weather {
        Weather::All(status) => return broken(status),
        Weather::Half(status) => {
            let rank = key.and_then(|key| script.pages.keys().position(|page| page == key));
            if rank.is_some_and(|rank| rank % 2 == 1) {
                return broken(status);
            }
        }
        // Nothing is answered, so nobody sees this page.
        Weather::Fair | Weather::Silence => {}
    }
    let Some(key) = key else {
        let mut inventors = script.inventors.iter();
        if let Some((_, inventor)) = inventors.find(|(start, _)| target.starts_with(start)) {
            return inventor(target);
        }
        return Page::html("there is no such page").status(404);
    };
    let turn = script.turns.entry(key.to_owned()).or_insert(0);
    let pages = &script.pages[key];
    let page = pages[(*turn).min(pages.len() - 1)].clone();
    *turn += 1;
    page
}

fn render(page: &Page, not_modified: bool, gzip: bool) -> Answered {
    let nonce = page.nonce.then(fresh_nonce);
    let mut response = Response::new(StreamBody::new(chunks(&[], page)));
    let headers = response.headers_mut();
    for (name, text) in [(ETAG, &page.etag), (LAST_MODIFIED, &page.last_modified)] {
        if let Some(text) = text {
            headers.insert(name, value(text));
        }
    }
    for (name, text) in &page.headers {
        let name: hyper::header::HeaderName = name.parse().expect("a header name");
        headers.append(name, value(&with_nonce(text, nonce.as_deref())));
    }
    if not_modified {
        let empty = Page::html("");
        *response.body_mut() = StreamBody::new(chunks(&[], &empty));
        *response.status_mut() = hyper::StatusCode::NOT_MODIFIED;
        return response;
    }
    if let Some(content_type) = &page.content_type {
        headers.insert(CONTENT_TYPE, value(content_type));
    }
    let mut body = match &nonce {
        Some(nonce) => {
            let text = std::str::from_utf8(&page.body).expect("a page with a nonce is text");
            with_nonce(text, Some(nonce)).into_bytes()
        }
        None => page.body.to_vec(),
    };
    if gzip {
        body = compressed(&body);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if !page.chunked {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    *response.body_mut() = StreamBody::new(chunks(&body, page));
    *response.status_mut() = hyper::StatusCode::from_u16(page.status).expect("a status");
    response
}

/// The body as it goes out: whole, cut, or stuck.
fn chunks(body: &[u8], page: &Page) -> Chunks {
    let sent = page.truncate.or(page.stall).unwrap_or(body.len());
    let first = Bytes::copy_from_slice(&body[..sent.min(body.len())]);
    let (cut, stuck) = (page.truncate.is_some(), page.stall.is_some());
    let stream = futures_util::stream::unfold(0, move |step| {
        let first = first.clone();
        async move {
            match step {
                0 => Some((Ok(Frame::data(first)), 1)),
                1 if cut => {
                    tokio::time::sleep(FLUSH_TIME).await;
                    Some((Err(io::Error::other("cut as told")), 2))
                }
                1 if stuck => std::future::pending().await,
                _ => None,
            }
        }
    });
    Box::pin(stream)
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_ENCODING);
    accepted.is_some_and(|value| value.to_str().is_ok_and(|text| text.contains("gzip")))
}

/// The bytes as gzip.
pub fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

fn fresh_nonce() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Spread over all digits, as real nonces are, and new for every answer (the factor is odd).
    format!("{:016x}", count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn with_nonce(text: &str, nonce: Option<&str>) -> String {
    match nonce {
        Some(nonce) => text.replace("{{NONCE}}", nonce),
        None => text.to_owned(),
    }
}

fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&hyper::header::HeaderName, &HeaderValue)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.to_string(), value)
    };
    headers.iter().map(pair).collect()
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).expect("a header value")
}
