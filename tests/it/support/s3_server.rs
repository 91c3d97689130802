//! An S3 in memory for tests: the crate `s3s` speaks the protocol and checks signatures, the
//! objects are plain maps, and every request is recorded and can be made to fail (`faults.rs`). It is
//! strict where the real one is:
//!
//! - checksums are verified before anything is stored, of parts and of the whole, too;
//! - conditional puts are atomic; a copy onto itself must replace the metadata;
//! - user metadata is at most 2 KB and ASCII, a key 1,024 bytes, a part 5 MB unless it is the last;
//! - a list of parts must name each with the ETag and checksum that it was confirmed with, in order;
//! - a redirect of a bucket that is a web site must be a path or an http(s) URL;
//! - a listing has its order (that of UTF-8 bytes), pages and encoding;
//! - region, expected owner, denied listings, versions and object lock are as a test sets them.
//!
//! The server runs on a thread of its own, so that synchronous tests and subprocesses can use it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use md5::Digest;
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::faults::{self, Faults, Harm};

pub const ACCESS_KEY: &str = "STANDINTEST";
pub const SECRET_KEY: &str = "standin-test-secret";

/// Whom every bucket belongs to.
pub const OWNER: &str = "111122223333";

/// What S3 says of a delete that retention forbids.
const LOCKED: &str = "Access Denied because object protected by object lock.";

/// Uploads in one page of their listing.
const UPLOADS_PAGE: usize = 2;

const MEBIBYTE: usize = 1 << 20;

/// A running server; dropping it stops it.
pub struct S3Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

/// One request as it came in. `path` is as sent, still escaped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    pub about: About,
    /// It names another object, or the same, as where the bytes come from.
    pub is_copy: bool,
}

/// What a request is about: one object, a listing of a bucket, or something else about a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum About {
    Object,
    Listing,
    Bucket,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Serve,
    Refuse,
    Stop,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Vec<Seen>>,
    faults: Faults<Seen>,
    /// Requests that are refused for as long as the server lives.
    denied: Mutex<Vec<Matcher>>,
    down: Mutex<bool>,
    /// Whose signatures are for another region are sent there.
    region: Mutex<Option<String>>,
    /// Requests that are carried out once more later.
    late: Mutex<Vec<hyper::Request<Bytes>>>,
    /// The last answer to each listing.
    listings: Mutex<BTreeMap<String, hyper::Response<Bytes>>>,
    store: Mutex<Store>,
}

type Matcher = Box<dyn Fn(&Seen) -> bool + Send>;

#[derive(Default)]
struct Store {
    buckets: BTreeMap<String, BTreeMap<String, Stored>>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
    /// Buckets that keep versions, and such with object lock.
    versioned: BTreeSet<String>,
    locking: BTreeSet<String>,
    /// Objects under retention.
    locked: BTreeSet<(String, String)>,
    /// Answers to copies state no checksum.
    copies_are_mute: bool,
    /// Failures in a batch of deletes name no key.
    batches_are_vague: bool,
    /// ETags of what is put are no MD5, as with keys of the customer's.
    etags_are_vague: bool,
    /// So many listings are answered with nothing, and the promise of more.
    listings_left_empty: usize,
}

impl Store {
    /// The answer to a listing of which nothing shall come.
    fn empty_listing(&mut self) -> Option<ListObjectsV2Output> {
        self.listings_left_empty = self.listings_left_empty.checked_sub(1)?;
        Some(ListObjectsV2Output {
            is_truncated: Some(true),
            ..Default::default()
        })
    }
}

/// An object with everything that a put may set.
#[derive(Clone)]
pub struct Stored {
    pub data: Bytes,
    pub etag: String,
    pub headers: Headers,
    crc32c: Option<String>,
    modified: SystemTime,
}

#[derive(Clone, Default, Debug)]
pub struct Headers {
    pub content_type: Option<String>,
    pub content_language: Option<String>,
    pub content_disposition: Option<String>,
    pub cache_control: Option<String>,
    pub expires: Option<Timestamp>,
    pub storage_class: Option<String>,
    pub website_redirect: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

struct Upload {
    bucket: String,
    key: String,
    begun: SystemTime,
    headers: Headers,
    /// With the checksum of each as it was announced.
    parts: BTreeMap<i32, (Bytes, Option<String>)>,
    checks_whole: bool,
}

impl S3Server {
    /// Starts with the buckets named, on a free port of the loopback interface.
    pub fn start(buckets: &[&str]) -> S3Server {
        let shared = Arc::new(Shared::default());
        for bucket in buckets {
            lock(&shared.store)
                .buckets
                .insert((*bucket).to_owned(), BTreeMap::new());
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (orders, order) = watch::channel(Order::Serve);
        let service = service(&shared);
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime
                    .expect("a runtime")
                    .block_on(run(listener, service, shared, order));
            })
        };
        S3Server {
            address,
            shared,
            orders,
            thread: Some(thread),
        }
    }

    /// For path-style requests.
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

    /// How many of the requests were `method` about `about`.
    pub fn count(&self, method: &str, about: About) -> usize {
        let seen = lock(&self.shared.seen);
        seen.iter()
            .filter(|seen| seen.method == method && seen.about == about)
            .count()
    }

    /// The next `count` requests that match come to harm.
    pub fn harm(&self, count: usize, matcher: impl Fn(&Seen) -> bool + Send + 'static, harm: Harm) {
        self.shared.faults.add(count, matcher, harm);
    }

    /// The next `count` requests that match are answered with `status`.
    pub fn fail_next(
        &self,
        count: usize,
        matcher: impl Fn(&Seen) -> bool + Send + 'static,
        status: u16,
    ) {
        self.harm(count, matcher, Harm::Status(status));
    }

    /// The next `count` requests that match are carried out; their answers are lost.
    pub fn lose_answers(&self, count: usize, matcher: impl Fn(&Seen) -> bool + Send + 'static) {
        self.harm(count, matcher, Harm::LoseAnswer);
    }

    /// Faults that have not happened yet: a test asserts 0 at its end.
    pub fn faults_left(&self) -> usize {
        self.shared.faults.left()
    }

    /// Forgets the faults that have not happened yet.
    pub fn calm(&self) {
        self.shared.faults.calm();
    }

    /// From now on requests that match are refused with 403: a permission that is missing. Without that
    /// to list, what is missing is refused, too.
    pub fn deny(&self, matcher: impl Fn(&Seen) -> bool + Send + 'static) {
        lock(&self.shared.denied).push(Box::new(matcher));
    }

    /// From now on signatures must be for this region.
    pub fn move_to(&self, region: &str) {
        *lock(&self.shared.region) = Some(region.to_owned());
    }

    /// A bucket that keeps versions.
    pub fn keep_versions(&self, bucket: &str) {
        lock(&self.shared.store).versioned.insert(bucket.into());
    }

    /// A bucket with object lock: puts must carry a checksum.
    pub fn enable_lock(&self, bucket: &str) {
        lock(&self.shared.store).locking.insert(bucket.into());
    }

    /// Puts an object under retention: it cannot be deleted.
    pub fn retain(&self, bucket: &str, key: &str) {
        let place = (bucket.to_owned(), key.to_owned());
        lock(&self.shared.store).locked.insert(place);
    }

    /// From now on the answers to copies state no checksum, as those of other makers' services.
    pub fn mute_copies(&self) {
        lock(&self.shared.store).copies_are_mute = true;
    }

    /// From now on failures in a batch of deletes name no key.
    pub fn blur_batches(&self) {
        lock(&self.shared.store).batches_are_vague = true;
    }

    /// From now on the ETag of what is put is not its MD5.
    pub fn blur_etags(&self) {
        lock(&self.shared.store).etags_are_vague = true;
    }

    /// The next `count` listings are answered with nothing, and the promise of more.
    pub fn empty_listings(&self, count: usize) {
        lock(&self.shared.store).listings_left_empty = count;
    }

    /// An upload that was begun so long ago and never ended.
    pub fn leave_upload(&self, bucket: &str, key: &str, age: Duration) {
        let upload = Upload {
            bucket: bucket.into(),
            key: key.into(),
            begun: SystemTime::now() - age,
            headers: Headers::default(),
            parts: BTreeMap::new(),
            checks_whole: false,
        };
        begin(&mut lock(&self.shared.store), upload);
    }

    /// The keys of all uploads that were neither completed nor aborted.
    pub fn upload_keys(&self) -> Vec<String> {
        let store = lock(&self.shared.store);
        store.uploads.values().map(|one| one.key.clone()).collect()
    }

    /// While down, every request is answered with 503.
    pub fn down(&self, down: bool) {
        *lock(&self.shared.down) = down;
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
        let objects = store.buckets.get(bucket).into_iter().flatten();
        objects
            .map(|(key, stored)| (key.clone(), stored.data.to_vec()))
            .collect()
    }

    pub fn object(&self, bucket: &str, key: &str) -> Option<Stored> {
        lock(&self.shared.store)
            .buckets
            .get(bucket)?
            .get(key)
            .cloned()
    }

    /// Puts an object behind everybody's back, with an honest ETag and no metadata.
    pub fn insert(&self, bucket: &str, key: &str, data: &[u8]) {
        let stored = Stored {
            data: Bytes::copy_from_slice(data),
            etag: md5_hex(data),
            headers: Headers::default(),
            crc32c: None,
            modified: SystemTime::now(),
        };
        let mut store = lock(&self.shared.store);
        store
            .buckets
            .entry(bucket.into())
            .or_default()
            .insert(key.into(), stored);
    }

    /// Puts an object back, or elsewhere, as it was taken by [`S3Server::object`]: with all that belongs to it.
    pub fn place(&self, bucket: &str, key: &str, stored: Stored) {
        let mut store = lock(&self.shared.store);
        let objects = store.buckets.entry(bucket.into()).or_default();
        objects.insert(key.into(), stored);
    }

    /// As [`S3Server::insert`], under an ETag that another client's upload got (in parts, or with KMS).
    pub fn insert_as(&self, bucket: &str, key: &str, data: &[u8], etag: &str) {
        self.insert(bucket, key, data);
        self.change(bucket, key, |stored| stored.etag = etag.into());
    }

    /// Makes heads of an object state its CRC32C, as if it had been uploaded with one.
    pub fn state_crc32c(&self, bucket: &str, key: &str) {
        self.change(bucket, key, |stored| stored.crc32c = crc32c(&stored.data));
    }

    fn change(&self, bucket: &str, key: &str, change: impl FnOnce(&mut Stored)) {
        let mut store = lock(&self.shared.store);
        let objects = store.buckets.get_mut(bucket);
        let stored = objects.and_then(|objects| objects.get_mut(key));
        change(stored.expect("there is such an object"));
    }

    /// Replaces the bytes and nothing else, as a failing disk would.
    pub fn corrupt(&self, bucket: &str, key: &str, data: &[u8]) {
        let mut store = lock(&self.shared.store);
        let stored = store
            .buckets
            .get_mut(bucket)
            .and_then(|objects| objects.get_mut(key));
        stored.expect("there is such an object").data = Bytes::copy_from_slice(data);
    }

    pub fn remove(&self, bucket: &str, key: &str) {
        if let Some(objects) = lock(&self.shared.store).buckets.get_mut(bucket) {
            objects.remove(key);
        }
    }

    /// Empties a bucket, or creates it.
    pub fn clear(&self, bucket: &str) {
        lock(&self.shared.store)
            .buckets
            .insert(bucket.into(), BTreeMap::new());
    }

    /// Makes a bucket that holds the same objects as another.
    pub fn copy_bucket(&self, from: &str, to: &str) {
        let mut store = lock(&self.shared.store);
        let objects = store.buckets.get(from).cloned().unwrap_or_default();
        store.buckets.insert(to.into(), objects);
    }

    pub fn drop_bucket(&self, bucket: &str) {
        lock(&self.shared.store).buckets.remove(bucket);
    }

    /// Multipart uploads that were neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        lock(&self.shared.store).uploads.len()
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.orders.send_replace(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test panics while holding it")
}

fn service(shared: &Arc<Shared>) -> S3Service {
    let mut builder = S3ServiceBuilder::new(Memory(Arc::clone(shared)));
    builder.set_auth(s3s::auth::SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
    builder.build()
}

/// Accepts until told to stop. Connections end when nobody may connect any more.
async fn run(
    listener: std::net::TcpListener,
    service: S3Service,
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
                    connections.spawn(serve(stream, service.clone(), Arc::clone(&shared)));
                }
            }
            changed = order.changed() => if changed.is_err() { return },
        }
    }
}

async fn serve(stream: tokio::net::TcpStream, service: S3Service, shared: Arc<Shared>) {
    let handler =
        hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, shared) = (service.clone(), Arc::clone(&shared));
            async move { answer(request, &service, &shared).await }
        });
    // A client that goes away in the middle is no concern of the server.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), handler)
        .await;
}

/// What becomes of one request, harm included.
async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    service: &S3Service,
    shared: &Shared,
) -> Result<hyper::Response<s3s::Body>, std::io::Error> {
    let seen = describe(&request);
    lock(&shared.seen).push(seen.clone());
    if let Some(refused) = refused(&request, &seen, shared) {
        return Ok(refused);
    }
    let harm = shared.faults.next(&seen);
    match harm {
        Some(Harm::Status(status)) => return Ok(refusal(status, code_of(status), None)),
        Some(Harm::Refusal { status, code }) => return Ok(refusal(status, code, None)),
        Some(Harm::Throttle {
            status,
            after_seconds,
        }) => return Ok(refusal(status, code_of(status), Some(after_seconds))),
        Some(Harm::Drop) => return Err(std::io::Error::other("the connection is dropped")),
        Some(Harm::CutRequest) => {
            faults::take_half(request.into_body()).await;
            return Err(std::io::Error::other("the request is cut"));
        }
        Some(Harm::Stale) => {
            let listings = lock(&shared.listings);
            let earlier = listings.get(&listing_name(&seen));
            let earlier = earlier.expect("such a listing was answered before").clone();
            return Ok(earlier.map(s3s::Body::from));
        }
        Some(Harm::Slow(delay)) => tokio::time::sleep(delay).await,
        _ => {}
    }
    let answer = carry_out(request, harm, &seen, service, shared).await?;
    match harm {
        Some(Harm::LoseAnswer) => Err(std::io::Error::other("the answer is lost")),
        Some(Harm::CutAnswer) => Ok(cut(answer)),
        Some(Harm::SpoilAnswer) => Ok(answer.map(|body| s3s::Body::from(faults::spoiled(&body)))),
        _ => Ok(answer.map(s3s::Body::from)),
    }
}

/// The request as it arrives, and what comes late after it.
async fn carry_out(
    request: hyper::Request<hyper::body::Incoming>,
    harm: Option<Harm>,
    seen: &Seen,
    service: &S3Service,
    shared: &Shared,
) -> Result<hyper::Response<Bytes>, std::io::Error> {
    let broken = |error: hyper::Error| std::io::Error::other(error);
    let is_write = matches!(seen.method.as_str(), "PUT" | "DELETE" | "POST");
    if matches!(harm, Some(Harm::SpoilRequest | Harm::Late)) {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        let request = hyper::Request::from_parts(parts, body);
        if harm == Some(Harm::SpoilRequest) {
            return call(service, request.map(|body| faults::spoiled(&body).into())).await;
        }
        lock(&shared.late).push(request.clone());
        return call(service, request.map(s3s::Body::from)).await;
    }
    let answer = call(service, request.map(s3s::Body::from)).await?;
    if is_write {
        let late = take_late(shared, &seen.path);
        if let Some(late) = late {
            call(service, late.map(s3s::Body::from)).await?;
        }
    }
    if seen.about == About::Listing {
        lock(&shared.listings).insert(listing_name(seen), answer.clone());
    }
    Ok(answer)
}

fn take_late(shared: &Shared, path: &str) -> Option<hyper::Request<Bytes>> {
    let mut late = lock(&shared.late);
    let at = late.iter().position(|late| late.uri().path() == path)?;
    Some(late.remove(at))
}

async fn call(
    service: &S3Service,
    request: hyper::Request<s3s::Body>,
) -> Result<hyper::Response<Bytes>, std::io::Error> {
    let answer = service.call(request).await;
    let answer = answer.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?;
    Ok(hyper::Response::from_parts(parts, body.to_bytes()))
}

fn cut(answer: hyper::Response<Bytes>) -> hyper::Response<s3s::Body> {
    let (mut parts, body) = answer.into_parts();
    let length = body.len().into();
    parts.headers.insert("content-length", length);
    hyper::Response::from_parts(parts, s3s::Body::http_body(faults::cut(&body)))
}

fn listing_name(seen: &Seen) -> String {
    format!("{}?{}", seen.path, seen.query)
}

/// What is refused for its sender, whatever it is about.
fn refused(
    request: &hyper::Request<hyper::body::Incoming>,
    seen: &Seen,
    shared: &Shared,
) -> Option<hyper::Response<s3s::Body>> {
    if *lock(&shared.down) {
        return Some(refusal(503, "SlowDown", None));
    }
    let header = |name: &str| request.headers().get(name)?.to_str().ok();
    let region = lock(&shared.region).clone();
    let is_elsewhere = region.is_some_and(|region| {
        let signed_for = header("authorization").unwrap_or_default();
        !signed_for.contains(&format!("/{region}/s3/"))
    });
    if is_elsewhere {
        return Some(refusal(400, "AuthorizationHeaderMalformed", None));
    }
    let is_foreign = header("x-amz-expected-bucket-owner").is_some_and(|owner| owner != OWNER);
    let denied = lock(&shared.denied);
    if is_foreign || denied.iter().any(|matcher| matcher(seen)) {
        return Some(refusal(403, "AccessDenied", None));
    }
    // Who may not list is not told what is missing either.
    let bucket = seen.path.trim_start_matches('/').split('/').next()?;
    let listing = Seen {
        method: "GET".into(),
        path: format!("/{bucket}/"),
        query: "list-type=2".into(),
        about: About::Listing,
        is_copy: false,
    };
    let is_read = seen.about == About::Object && matches!(seen.method.as_str(), "GET" | "HEAD");
    if is_read && denied.iter().any(|matcher| matcher(&listing)) {
        let key = seen.path.trim_start_matches('/').split_once('/')?.1;
        let key = percent_encoding::percent_decode_str(key)
            .decode_utf8()
            .ok()?;
        let store = lock(&shared.store);
        if !store.buckets.get(bucket)?.contains_key(&*key) {
            return Some(refusal(403, "AccessDenied", None));
        }
    }
    None
}

fn describe(request: &hyper::Request<hyper::body::Incoming>) -> Seen {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let key = path
        .trim_start_matches('/')
        .split_once('/')
        .map(|(_, key)| key);
    let about = match key {
        Some(key) if !key.is_empty() => About::Object,
        _ if request.method() == "GET" && !is_question(&query) => About::Listing,
        _ => About::Bucket,
    };
    Seen {
        method: request.method().to_string(),
        path,
        query,
        about,
        is_copy: request.headers().contains_key("x-amz-copy-source"),
    }
}

/// Questions about a bucket itself look like listings but for their query.
fn is_question(query: &str) -> bool {
    ["versioning", "object-lock", "uploads"]
        .iter()
        .any(|name| query.split(['&', '=']).any(|part| part == *name))
}

/// The code that S3 gives with a status.
fn code_of(status: u16) -> &'static str {
    match status {
        301 => "PermanentRedirect",
        403 => "AccessDenied",
        409 => "ConditionalRequestConflict",
        412 => "PreconditionFailed",
        429 => "TooManyRequests",
        500 => "InternalError",
        501 => "NotImplemented",
        503 => "SlowDown",
        _ => "Injected",
    }
}

fn refusal(status: u16, code: &str, after_seconds: Option<u64>) -> hyper::Response<s3s::Body> {
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    );
    let mut response = hyper::Response::builder()
        .status(status)
        .header("content-type", "application/xml");
    if let Some(seconds) = after_seconds {
        response = response.header("retry-after", seconds);
    }
    response
        .body(s3s::Body::from(body))
        .expect("the parts are fixed")
}

fn md5_hex(data: &[u8]) -> String {
    hex::encode(md5::Md5::digest(data))
}

/// How S3 escapes keys in a listing: like a form, slashes left alone.
fn listing_escape(key: &str) -> String {
    let mut escaped = String::new();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' | b'/' => {
                escaped.push(char::from(byte))
            }
            b' ' => escaped.push('+'),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A refusal whose code the library does not know.
fn refused_as(code: &'static str) -> s3s::S3Error {
    let mut error = s3s::S3Error::new(s3s::S3ErrorCode::Custom(code.into()));
    error.set_status_code(hyper::StatusCode::BAD_REQUEST);
    error
}

/// All of a body. Where it breaks, its bytes are not those that were signed: a client that went away does
/// not hear of it.
async fn drain(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(mut body) = body else {
        return Ok(Bytes::new());
    };
    let mut data = Vec::new();
    while let Some(chunk) = body
        .try_next()
        .await
        .map_err(|_| refused_as("XAmzContentSHA256Mismatch"))?
    {
        data.extend_from_slice(&chunk);
    }
    Ok(data.into())
}

fn crc32c(data: &[u8]) -> Option<String> {
    let mut hasher = s3s::checksum::ChecksumHasher {
        crc32c: Some(Default::default()),
        ..Default::default()
    };
    hasher.update(data);
    hasher.finalize().checksum_crc32c
}

/// The CRC32C of `data`, which must be the announced one if one was announced.
fn verified(data: &[u8], announced: Option<String>) -> S3Result<Option<String>> {
    let found = crc32c(data);
    if announced.is_some() && announced != found {
        return Err(s3_error!(BadDigest));
    }
    Ok(announced)
}

fn check_headers(headers: &Headers) -> S3Result<()> {
    let bytes: usize = headers
        .metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > 2048 {
        return Err(s3_error!(MetadataTooLarge));
    }
    if !headers.metadata.values().all(|value| value.is_ascii()) {
        return Err(s3_error!(InvalidArgument, "metadata must be ASCII"));
    }
    let is_target = |target: &String| {
        ["/", "http://", "https://"]
            .iter()
            .any(|start| target.starts_with(start))
            && target.len() <= 2048
    };
    if !headers.website_redirect.as_ref().is_none_or(is_target) {
        return Err(refused_as("InvalidRedirectLocation"));
    }
    Ok(())
}

fn begin(store: &mut Store, upload: Upload) -> String {
    store.uploads_begun += 1;
    let id = format!("upload-{:06}", store.uploads_begun);
    store.uploads.insert(id.clone(), upload);
    id
}

/// The bytes of the parts that are named, each as it was confirmed.
fn assembled(upload: &Upload, named: &[CompletedPart]) -> S3Result<(Vec<u8>, Vec<u8>)> {
    let (mut data, mut digests, mut before) = (Vec::new(), Vec::new(), 0);
    for (index, part) in named.iter().enumerate() {
        let number = part.part_number.unwrap_or_default();
        if number <= before {
            return Err(s3_error!(InvalidPartOrder));
        }
        before = number;
        let Some((bytes, checksum)) = upload.parts.get(&number) else {
            return Err(s3_error!(InvalidPart));
        };
        let etag = ETag::Strong(md5_hex(bytes));
        let is_confirmed = part
            .e_tag
            .as_ref()
            .is_some_and(|named| etag.strong_cmp(named));
        if !is_confirmed || part.checksum_crc32c != *checksum {
            return Err(s3_error!(InvalidPart));
        }
        if index + 1 < named.len() && bytes.len() < 5 * MEBIBYTE {
            return Err(s3_error!(EntityTooSmall));
        }
        data.extend_from_slice(bytes);
        digests.extend_from_slice(&md5::Md5::digest(bytes));
    }
    match named.is_empty() {
        true => Err(s3_error!(MalformedXML)),
        false => Ok((data, digests)),
    }
}

/// Takes the headers out of the input of a put, a copy or a multipart upload: three types with
/// the same fields.
macro_rules! headers_of {
    ($input:expr) => {
        Headers {
            content_type: $input.content_type.take(),
            content_language: $input.content_language.take(),
            content_disposition: $input.content_disposition.take(),
            cache_control: $input.cache_control.take(),
            expires: $input.expires.take(),
            storage_class: $input
                .storage_class
                .take()
                .map(|class| class.as_str().to_owned()),
            website_redirect: $input.website_redirect_location.take(),
            metadata: $input
                .metadata
                .take()
                .unwrap_or_default()
                .into_iter()
                .collect(),
        }
    };
}

/// The store as `s3s` wants it.
struct Memory(Arc<Shared>);

impl Memory {
    fn find(&self, bucket: &str, key: &str) -> S3Result<Stored> {
        let store = lock(&self.0.store);
        let objects = store
            .buckets
            .get(bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket))?;
        objects
            .get(key)
            .cloned()
            .ok_or_else(|| s3_error!(NoSuchKey))
    }

    /// Compares and stores in one step.
    fn commit(
        &self,
        bucket: &str,
        key: &str,
        stored: Stored,
        absent: Option<&ETagCondition>,
        same: Option<&ETagCondition>,
    ) -> S3Result<()> {
        let mut store = lock(&self.0.store);
        let objects = store
            .buckets
            .get_mut(bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket))?;
        let current = objects.get(key);
        if absent.is_some_and(ETagCondition::is_any) && current.is_some() {
            return Err(s3_error!(PreconditionFailed));
        }
        if let Some(ETagCondition::ETag(wanted)) = same {
            let Some(current) = current else {
                return Err(s3_error!(NoSuchKey));
            };
            if !ETag::Strong(current.etag.clone()).strong_cmp(wanted) {
                return Err(s3_error!(PreconditionFailed));
            }
        }
        objects.insert(key.to_owned(), stored);
        Ok(())
    }
}

#[async_trait::async_trait]
impl S3 for Memory {
    async fn put_object(
        &self,
        mut request: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let input = &mut request.input;
        let data = drain(input.body.take()).await?;
        let headers = headers_of!(input);
        check_headers(&headers)?;
        let crc32c = verified(&data, input.checksum_crc32c.take())?;
        if crc32c.is_none() && lock(&self.0.store).locking.contains(&input.bucket) {
            return Err(s3_error!(
                InvalidRequest,
                "object lock requires a checksum with every put"
            ));
        }
        let etag = match lock(&self.0.store).etags_are_vague {
            true => md5_hex(&[&data, b"sealed".as_slice()].concat()),
            false => md5_hex(&data),
        };
        let stored = Stored {
            data,
            etag: etag.clone(),
            headers,
            crc32c: crc32c.clone(),
            modified: SystemTime::now(),
        };
        self.commit(
            &input.bucket,
            &input.key,
            stored,
            input.if_none_match.as_ref(),
            input.if_match.as_ref(),
        )?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32c: crc32c,
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let stored = self.find(&request.input.bucket, &request.input.key)?;
        let total = stored.data.len() as u64;
        let (data, range) = match request.input.range {
            None => (stored.data, None),
            Some(range) => {
                let range = range.check(total)?;
                let text = format!("bytes {}-{}/{total}", range.start, range.end - 1);
                let (start, end) = (range.start as usize, range.end as usize);
                (stored.data.slice(start..end), Some(text))
            }
        };
        let length = data.len() as i64;
        let body = futures_util::stream::iter([Ok::<_, std::io::Error>(data)]);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(body)),
            content_length: Some(length),
            content_range: range,
            content_type: stored
                .headers
                .content_type
                .or_else(|| Some("binary/octet-stream".into())),
            content_language: stored.headers.content_language,
            content_disposition: stored.headers.content_disposition,
            cache_control: stored.headers.cache_control,
            expires: stored.headers.expires,
            metadata: Some(stored.headers.metadata.into_iter().collect()),
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: Some(stored.modified.into()),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let stored = self.find(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(stored.data.len() as i64),
            content_type: stored
                .headers
                .content_type
                .or_else(|| Some("binary/octet-stream".into())),
            content_language: stored.headers.content_language,
            content_disposition: stored.headers.content_disposition,
            cache_control: stored.headers.cache_control,
            expires: stored.headers.expires,
            metadata: Some(stored.headers.metadata.into_iter().collect()),
            checksum_crc32c: request.input.checksum_mode.and(stored.crc32c),
            e_tag: Some(ETag::Strong(stored.etag)),
            last_modified: Some(stored.modified.into()),
            ..Default::default()
        }))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let mut store = lock(&self.0.store);
        let place = (request.input.bucket.clone(), request.input.key.clone());
        if store.locked.contains(&place) {
            return Err(s3_error!(AccessDenied, "{}", LOCKED));
        }
        let objects = store
            .buckets
            .get_mut(&request.input.bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket))?;
        objects.remove(&request.input.key);
        Ok(S3Response::with_status(
            DeleteObjectOutput::default(),
            hyper::StatusCode::NO_CONTENT,
        ))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let mut store = lock(&self.0.store);
        let (locked, is_vague) = (store.locked.clone(), store.batches_are_vague);
        let bucket = request.input.bucket.clone();
        let objects = store
            .buckets
            .get_mut(&request.input.bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket))?;
        let batch = request.input.delete;
        if batch.objects.len() > 1000 {
            return Err(s3_error!(MalformedXML));
        }
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for object in batch.objects {
            if locked.contains(&(bucket.clone(), object.key.clone())) {
                errors.push(Error {
                    key: Some(object.key).filter(|_| !is_vague),
                    code: Some("AccessDenied".into()),
                    message: Some(LOCKED.into()),
                    ..Default::default()
                });
                continue;
            }
            objects.remove(&object.key);
            deleted.push(DeletedObject {
                key: Some(object.key),
                ..Default::default()
            });
        }
        let deleted = (batch.quiet != Some(true)).then_some(deleted);
        Ok(S3Response::new(DeleteObjectsOutput {
            deleted,
            errors: Some(errors),
            ..Default::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let mut store = lock(&self.0.store);
        if let Some(empty) = store.empty_listing() {
            return Ok(S3Response::new(empty));
        }
        let objects = store
            .buckets
            .get(&input.bucket)
            .ok_or_else(|| s3_error!(NoSuchBucket))?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let limit = input.max_keys.unwrap_or(1000).clamp(0, 1000) as usize;
        let after = input
            .continuation_token
            .or(input.start_after)
            .unwrap_or_default();
        let from = if after > prefix {
            after.clone()
        } else {
            prefix.clone()
        };
        let mut matching = objects
            .range(from..)
            .filter(|(key, _)| **key > after || after.is_empty());
        let escape = |key: &str| {
            if input.encoding_type.is_some() {
                listing_escape(key)
            } else {
                key.to_owned()
            }
        };
        let mut contents = Vec::new();
        let mut last = None;
        for (key, stored) in matching
            .by_ref()
            .take_while(|(key, _)| key.starts_with(&prefix))
            .take(limit)
        {
            last = Some(key.clone());
            contents.push(Object {
                key: Some(escape(key)),
                size: Some(stored.data.len() as i64),
                e_tag: Some(ETag::Strong(stored.etag.clone())),
                last_modified: Some(stored.modified.into()),
                ..Default::default()
            });
        }
        let is_beyond = |key: &String| last.as_ref().is_some_and(|last| key > last);
        let more = contents.len() == limit
            && objects
                .keys()
                .any(|key| key.starts_with(&prefix) && is_beyond(key));
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some(contents.len() as i32),
            max_keys: Some(limit as i32),
            is_truncated: Some(more),
            next_continuation_token: last.filter(|_| more),
            contents: Some(contents),
            encoding_type: input.encoding_type,
            name: Some(input.bucket),
            prefix: Some(prefix),
            ..Default::default()
        }))
    }

    async fn copy_object(
        &self,
        mut request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let input = &mut request.input;
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented));
        };
        let mut stored = self.find(bucket, key)?;
        let is_expected = |etag: &ETag| ETag::Strong(stored.etag.clone()).strong_cmp(etag);
        if let Some(ETagCondition::ETag(expected)) = &input.copy_source_if_match
            && !is_expected(expected)
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let replaces = input
            .metadata_directive
            .as_ref()
            .is_some_and(|directive| directive.as_str() == "REPLACE");
        if !replaces && **bucket == *input.bucket && **key == *input.key {
            return Err(s3_error!(InvalidRequest));
        }
        if replaces {
            stored.headers = headers_of!(input);
            check_headers(&stored.headers)?;
        }
        // Asked for a checksum, the service computes one for what had none.
        if input.checksum_algorithm.is_some() && stored.crc32c.is_none() {
            stored.crc32c = crc32c(&stored.data);
        }
        stored.modified = SystemTime::now();
        let is_mute = lock(&self.0.store).copies_are_mute;
        let result = CopyObjectResult {
            e_tag: Some(ETag::Strong(stored.etag.clone())),
            checksum_crc32c: stored.crc32c.clone().filter(|_| !is_mute),
            last_modified: Some(stored.modified.into()),
            ..Default::default()
        };
        self.commit(&input.bucket, &input.key, stored, None, None)?;
        Ok(S3Response::new(CopyObjectOutput {
            copy_object_result: Some(result),
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        mut request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = &mut request.input;
        let headers = headers_of!(input);
        check_headers(&headers)?;
        let mut store = lock(&self.0.store);
        if !store.buckets.contains_key(&input.bucket) {
            return Err(s3_error!(NoSuchBucket));
        }
        let checksum_type = input.checksum_type.take();
        let upload = Upload {
            bucket: input.bucket.clone(),
            key: input.key.clone(),
            begun: SystemTime::now(),
            headers,
            parts: BTreeMap::new(),
            checks_whole: checksum_type
                .as_ref()
                .is_some_and(|kind| kind.as_str() == ChecksumType::FULL_OBJECT),
        };
        let id = begin(&mut store, upload);
        Ok(S3Response::new(CreateMultipartUploadOutput {
            upload_id: Some(id),
            checksum_type,
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        mut request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = &mut request.input;
        let data = drain(input.body.take()).await?;
        let checksum_crc32c = verified(&data, input.checksum_crc32c.take())?;
        let etag = md5_hex(&data);
        let mut store = lock(&self.0.store);
        let upload = store
            .uploads
            .get_mut(&input.upload_id)
            .ok_or_else(|| s3_error!(NoSuchUpload))?;
        let part = (data, checksum_crc32c.clone());
        upload.parts.insert(input.part_number, part);
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32c,
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        let mut store = lock(&self.0.store);
        let upload = store.uploads.get(&input.upload_id);
        let upload = upload
            .filter(|one| (&one.bucket, &one.key) == (&input.bucket, &input.key))
            .ok_or_else(|| s3_error!(NoSuchUpload))?;
        let named = input.multipart_upload.and_then(|upload| upload.parts);
        let named = named.unwrap_or_default();
        let (data, digests) = assembled(upload, &named)?;
        let crc32c = match upload.checks_whole {
            true => verified(&data, input.checksum_crc32c)?,
            false => None,
        };
        let etag = format!("{}-{}", md5_hex(&digests), named.len());
        let upload = store.uploads.remove(&input.upload_id);
        let upload = upload.expect("it was there");
        drop(store);
        let stored = Stored {
            data: data.into(),
            etag: etag.clone(),
            headers: upload.headers,
            crc32c: crc32c.clone(),
            modified: SystemTime::now(),
        };
        self.commit(
            &input.bucket,
            &input.key,
            stored,
            input.if_none_match.as_ref(),
            None,
        )?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            e_tag: Some(ETag::Strong(etag)),
            checksum_crc32c: crc32c,
            ..Default::default()
        }))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let store = lock(&self.0.store);
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (
            input.key_marker.unwrap_or_default(),
            input.upload_id_marker.unwrap_or_default(),
        );
        let mut open: Vec<_> = store
            .uploads
            .iter()
            .filter(|(_, one)| one.bucket == input.bucket && one.key.starts_with(&prefix))
            .map(|(id, one)| ((one.key.clone(), id.clone()), one.begun))
            .filter(|(place, _)| *place > after)
            .collect();
        open.sort();
        // Small pages, so that tests see more than one.
        let more = open.len() > UPLOADS_PAGE;
        open.truncate(UPLOADS_PAGE);
        let last = open.last().map(|(place, _)| place.clone()).filter(|_| more);
        let uploads = open.into_iter().map(|((key, id), begun)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            initiated: Some(begun.into()),
            ..Default::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(more),
            next_key_marker: last.as_ref().map(|(key, _)| key.clone()),
            next_upload_id_marker: last.map(|(_, id)| id),
            bucket: Some(input.bucket),
            ..Default::default()
        }))
    }

    async fn get_bucket_versioning(
        &self,
        request: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let store = lock(&self.0.store);
        let is_kept = store.versioned.contains(&request.input.bucket);
        Ok(S3Response::new(GetBucketVersioningOutput {
            status: is_kept
                .then(|| BucketVersioningStatus::from_static(BucketVersioningStatus::ENABLED)),
            ..Default::default()
        }))
    }

    async fn get_object_lock_configuration(
        &self,
        request: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        let store = lock(&self.0.store);
        if !store.locking.contains(&request.input.bucket) {
            return Err(s3_error!(ObjectLockConfigurationNotFoundError));
        }
        let enabled = ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED);
        Ok(S3Response::new(GetObjectLockConfigurationOutput {
            object_lock_configuration: Some(ObjectLockConfiguration {
                object_lock_enabled: Some(enabled),
                ..Default::default()
            }),
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        lock(&self.0.store).uploads.remove(&request.input.upload_id);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }
}
