//! A Google Cloud Storage in memory for tests, speaking what Google's client speaks: JSON over HTTP/1 and
//! gRPC over h2c, on one port. The objects are plain maps; every request is recorded and can be made to
//! fail. It is strict where the real one is: digests are verified before anything is stored, conditions are
//! atomic, names and metadata have their limits, an upload in pieces has its rules, a listing its order,
//! pages and masks.
//!
//! `store.rs` holds the objects and the rules about them, `upload.rs` the bytes on their way in and out,
//! `rpc.rs` the calls. The server runs on a thread of its own, so that synchronous tests and subprocesses
//! can use it.

mod rpc;
mod store;
mod upload;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::body::Body;

pub use store::Stored;
use store::{Refusal, Store};

/// A running server; dropping it stops it.
pub struct GcsServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// One request as it came in. `name` is the object's, the prefix of a listing, or the bucket's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub call: Call,
    pub name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// A whole object in one request.
    Put,
    /// The beginning of an upload in pieces.
    Begin,
    /// Bytes for one.
    Piece,
    /// The question how far one got.
    HowFar,
    Read,
    Describe,
    List,
    Delete,
    Update,
    Rewrite,
    Bucket,
    /// A token for credentials.
    Token,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Serve,
    Refuse,
    Stop,
}

type Matcher = Box<dyn Fn(&Seen) -> bool + Send>;

/// What happens to a request that a fault has chosen.
#[derive(Clone, Copy)]
enum Harm {
    /// Answered with this status, or the code that stands for it.
    Status(u16),
    /// Answered with 429, and how many seconds to wait.
    Throttle(u64),
    /// Carried out, and the connection closed in place of an answer.
    LoseAnswer,
    /// The connection is closed after so many bytes of a body, in or out; what came in counts as come in.
    CutAfter(usize),
    /// One bit of the body is another, in or out.
    Garble,
}

struct Fault {
    left: usize,
    matcher: Matcher,
    harm: Harm,
}

#[derive(Default)]
struct Shared {
    address: Mutex<String>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<Vec<Fault>>,
    down: Mutex<bool>,
    /// What a token must be; `None` asks for none.
    token: Mutex<Option<String>>,
    store: Mutex<Store>,
}

impl GcsServer {
    /// Starts with the buckets named, on a free port of the loopback interface.
    pub fn start(buckets: &[&str]) -> GcsServer {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared::default());
        *lock(&shared.address) = format!("http://{address}");
        for bucket in buckets {
            lock(&shared.store).clear(bucket);
        }
        let (orders, order) = watch::channel(Order::Serve);
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime
                    .expect("a runtime")
                    .block_on(run(listener, shared, order));
            })
        };
        GcsServer {
            address,
            shared,
            orders,
            thread: Some(thread),
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request since the start or the last `forget`.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }

    /// How many of the requests were this call.
    pub fn count(&self, call: Call) -> usize {
        let seen = lock(&self.shared.seen);
        seen.iter().filter(|seen| seen.call == call).count()
    }

    /// The next `count` requests that match are answered with `status`.
    pub fn fail_next(
        &self,
        count: usize,
        matcher: impl Fn(&Seen) -> bool + Send + 'static,
        status: u16,
    ) {
        self.add_fault(count, matcher, Harm::Status(status));
    }

    /// The next `count` requests that match are asked to come again after so many seconds.
    pub fn throttle_next(
        &self,
        count: usize,
        matcher: impl Fn(&Seen) -> bool + Send + 'static,
        seconds: u64,
    ) {
        self.add_fault(count, matcher, Harm::Throttle(seconds));
    }

    /// The next `count` requests that match are carried out; their answers are lost.
    pub fn lose_answers(&self, count: usize, matcher: impl Fn(&Seen) -> bool + Send + 'static) {
        self.add_fault(count, matcher, Harm::LoseAnswer);
    }

    /// The connections of the next `count` requests that match break after `bytes` of a body.
    pub fn cut_next(
        &self,
        count: usize,
        matcher: impl Fn(&Seen) -> bool + Send + 'static,
        bytes: usize,
    ) {
        self.add_fault(count, matcher, Harm::CutAfter(bytes));
    }

    /// The bodies of the next `count` requests that match, or of their answers, lose a bit on the way.
    pub fn garble_next(&self, count: usize, matcher: impl Fn(&Seen) -> bool + Send + 'static) {
        self.add_fault(count, matcher, Harm::Garble);
    }

    /// Faults that have not happened yet: a test asserts 0 at its end.
    pub fn faults_left(&self) -> usize {
        lock(&self.shared.faults)
            .iter()
            .map(|fault| fault.left)
            .sum()
    }

    /// Forgets the faults that have not happened yet.
    pub fn calm(&self) {
        lock(&self.shared.faults).clear();
    }

    /// While down, every request is answered with 503.
    pub fn down(&self, down: bool) {
        *lock(&self.shared.down) = down;
    }

    /// From now on every request but one for a token must carry this one.
    pub fn require_token(&self, token: &str) {
        *lock(&self.shared.token) = Some(token.to_owned());
    }

    /// While refusing, nothing listens on the port and open connections are closed. Returns when
    /// that is so.
    pub fn refuse(&self, refuse: bool) {
        self.orders
            .send_replace(if refuse { Order::Refuse } else { Order::Serve });
        while std::net::TcpStream::connect(self.address).is_ok() == refuse {
            std::thread::yield_now();
        }
    }

    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let store = lock(&self.shared.store);
        let objects = store.objects(bucket).into_iter().flatten();
        objects
            .map(|(name, stored)| (name.clone(), stored.data.to_vec()))
            .collect()
    }

    pub fn object(&self, bucket: &str, name: &str) -> Option<Stored> {
        lock(&self.shared.store).objects(bucket)?.get(name).cloned()
    }

    /// Puts an object behind everybody's back, without metadata.
    pub fn insert(&self, bucket: &str, name: &str, data: &[u8]) {
        let mut store = lock(&self.shared.store);
        let stored = Stored::of(Bytes::copy_from_slice(data));
        store
            .replace(bucket, name, stored)
            .expect("there is such a bucket");
    }

    /// Puts an object back, or elsewhere, as it was taken by [`GcsServer::object`]: with all that belongs to it.
    pub fn place(&self, bucket: &str, name: &str, stored: Stored) {
        let mut store = lock(&self.shared.store);
        store
            .replace(bucket, name, stored)
            .expect("there is such a bucket");
    }

    /// Makes an object one that was composed of others, which has no MD5.
    pub fn compose(&self, bucket: &str, name: &str) {
        self.change(bucket, name, |stored| stored.md5 = None);
    }

    /// Replaces the bytes and nothing else, as a failing disk would.
    pub fn corrupt(&self, bucket: &str, name: &str, data: &[u8]) {
        let data = Bytes::copy_from_slice(data);
        self.change(bucket, name, |stored| stored.data = data);
    }

    pub fn remove(&self, bucket: &str, name: &str) {
        if let Some(objects) = lock(&self.shared.store).objects_mut(bucket) {
            objects.remove(name);
        }
    }

    /// Empties a bucket, or creates it.
    pub fn clear(&self, bucket: &str) {
        lock(&self.shared.store).clear(bucket);
    }

    pub fn drop_bucket(&self, bucket: &str) {
        lock(&self.shared.store).drop_bucket(bucket);
    }

    /// From now on nothing in the bucket may be replaced or deleted.
    pub fn retain(&self, bucket: &str) {
        lock(&self.shared.store).retain(bucket);
    }

    /// Puts an object under a hold: it may not be replaced or deleted.
    pub fn hold(&self, bucket: &str, name: &str) {
        lock(&self.shared.store).hold(bucket, name);
    }

    /// The next `count` pages of listings are empty, with a token that leads on.
    pub fn empty_pages(&self, count: usize) {
        lock(&self.shared.store).pages_left_empty = count;
    }

    /// From now on the bucket keeps old versions (and says so; they are not listed).
    pub fn keep_versions(&self, bucket: &str) {
        lock(&self.shared.store).keep_versions(bucket);
    }

    /// Uploads in pieces that have not come to their end.
    pub fn open_uploads(&self) -> usize {
        lock(&self.shared.store).open_uploads()
    }

    fn change(&self, bucket: &str, name: &str, change: impl FnOnce(&mut Stored)) {
        let mut store = lock(&self.shared.store);
        let objects = store.objects_mut(bucket);
        let stored = objects.and_then(|objects| objects.get_mut(name));
        change(stored.expect("there is such an object"));
    }

    fn add_fault(&self, left: usize, matcher: impl Fn(&Seen) -> bool + Send + 'static, harm: Harm) {
        lock(&self.shared.faults).push(Fault {
            left,
            matcher: Box::new(matcher),
            harm,
        });
    }
}

impl Drop for GcsServer {
    fn drop(&mut self) {
        self.orders.send_replace(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Records a request and says what is to happen to it.
    fn note(&self, call: Call, name: &str) -> Option<Harm> {
        let seen = Seen {
            call,
            name: name.to_owned(),
        };
        lock(&self.seen).push(seen.clone());
        if *lock(&self.down) {
            return Some(Harm::Status(503));
        }
        let mut faults = lock(&self.faults);
        let chosen = faults
            .iter_mut()
            .find(|fault| fault.left > 0 && (fault.matcher)(&seen))?;
        chosen.left -= 1;
        Some(chosen.harm)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while holding it")
}

/// Accepts until told to stop. Connections end when nobody may connect any more.
async fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut order: watch::Receiver<Order>,
) {
    let address = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("sockets can");
    let mut listener = Some(TcpListener::from_std(listener).expect("inside a runtime"));
    let mut connections = JoinSet::new();
    loop {
        let now = *order.borrow_and_update();
        match now {
            Order::Stop => return,
            Order::Refuse => {
                listener = None;
                connections.shutdown().await;
                if order.changed().await.is_err() {
                    return;
                }
                continue;
            }
            Order::Serve if listener.is_none() => {
                listener = Some(TcpListener::bind(address).await.expect("the port was ours"));
            }
            Order::Serve => {}
        }
        tokio::select! {
            accepted = listener.as_ref().expect("serving").accept() => {
                if let Ok((stream, _)) = accepted {
                    let _ = stream.set_nodelay(true);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
            }
            changed = order.changed() => if changed.is_err() { return },
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, shared: Arc<Shared>) {
    let handler = hyper::service::service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { answer(request, shared).await }
    });
    // A client that goes away in the middle is no concern of the server.
    let _ = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), handler)
        .await;
}

/// An error closes the connection.
type Answered = Result<Response<Body>, std::io::Error>;

fn broken() -> std::io::Error {
    std::io::Error::other("the connection is closed")
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Answered {
    let path = request.uri().path().to_owned();
    if path == "/token" {
        return Ok(upload::token(&shared));
    }
    let wanted = lock(&shared.token)
        .clone()
        .map(|token| format!("Bearer {token}"));
    let given = request.headers().get("authorization");
    let is_known = wanted
        .is_none_or(|wanted| given.is_some_and(|given| given.as_bytes() == wanted.as_bytes()));
    if let Some(method) = path.strip_prefix("/google.storage.v2.Storage/") {
        return rpc::answer(method, is_known, request, &shared).await;
    }
    if !is_known {
        upload::collect(request.into_body(), None).await;
        return Ok(json_refusal(&Refusal::new(401, "Invalid Credentials")));
    }
    upload::answer(request, &shared).await
}

/// As the service says no, whatever is asked for.
fn json_refusal(refusal: &Refusal) -> Response<Body> {
    let (status, message) = (refusal.status, &refusal.message);
    let body = serde_json::json!({ "error": { "code": status, "message": message,
        "errors": [{ "domain": "global", "reason": "injected", "message": message }] } });
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=UTF-8");
    if let Some(seconds) = refusal.after {
        response = response.header("retry-after", seconds);
    }
    response
        .body(body_of(body.to_string().into()))
        .expect("the parts are fixed")
}

fn body_of(bytes: Bytes) -> Body {
    Body::new(Full::new(bytes))
}

/// The refusal that a fault asks for.
fn refusal_of(harm: Harm) -> Option<Refusal> {
    match harm {
        Harm::Status(status) => Some(Refusal::new(status, "injected")),
        Harm::Throttle(seconds) => Some(Refusal {
            after: Some(seconds),
            ..Refusal::new(429, "The rate of requests exceeds the limit")
        }),
        Harm::LoseAnswer | Harm::CutAfter(_) | Harm::Garble => None,
    }
}
