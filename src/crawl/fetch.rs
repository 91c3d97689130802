//! One page, asked for: a request, and its answer taken in whole.
//!
//! What comes out as an [`Answer`] may be believed: a body is as long as it was announced to be, its coded
//! stream ends where it should, a 304 answers a condition that was really sent, and no mirror stood in for the
//! origin. All else is a [`FetchError`] and says what to do about it; an error page, a cut body or an empty page never
//! gets further than this file.
//!
//! Nothing that a server sends takes more than it is given: headers, body, the ratio of a body to what was sent, the
//! time until the headers, between two pieces and for a trickle have bounds, and so has what files leave of the disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, RETRY_AFTER,
};
use tokio::time::Instant;

use super::body::{Budget, Collector, Held, Length, Shelf, free_space};
use super::decode::{CODINGS, Decoder};
use crate::content::{Digest, KeptHeaders, MirrorHeader, Role, header_links};
use crate::http::client::{
    HEADER_BYTES_MAX, HttpError, PermitsPrivate, address_permitted, is_malformed, reason, refusal,
};
use crate::http::pace::WAIT_MAX;
use crate::site::PageUrl;

pub use super::fault::{Class, FetchError};

/// A `Retry-After` up to this is waited for; a longer one ends the attempts, since a request sent earlier than
/// the site asked would be the impolite thing, and a run does not wait for minutes for one seed.
const RETRY_AFTER_MAX: Duration = WAIT_MAX;

/// A body up to this size, in bytes, may have any ratio to what was sent: it fits into memory, and pages full of blanks
/// are no attack.
const RATIO_FREE: u64 = 8 * 1024 * 1024;

/// Markup is four to six times as long as its gzip; of a coded body so much is expected.
const USUAL_RATIO: u64 = 5;

/// After so many bytes of a coded body other tasks have a turn: what came in one piece may mean megabytes, and a
/// quarter of one takes half a millisecond to decode and digest.
const PLAIN_PER_TURN: usize = 256 * 1024;

/// Silences in a row that one fetch out of turn waits through: each costs a whole time-out, and the beginning of a
/// crawl waits for it.
const SILENCES_MAX: u32 = 2;

/// The body of a redirect or an error is read up to these bounds and thrown away, so that the connection can be
/// used again; beyond them a new connection is cheaper.
const DRAIN_MAX: usize = 64 * 1024;
const DRAIN_TIME_MAX: Duration = Duration::from_millis(500);

#[derive(Clone, Debug)]
pub struct FetchLimits {
    /// From the start of a request, connecting included, to the headers of its answer.
    pub answer_timeout: Duration,
    /// Between two pieces of a body; also how long a body waits for memory before it goes to a file.
    pub idle_timeout: Duration,
    /// The largest body taken, in bytes, after removing the content coding.
    pub body_max: u64,
    /// The largest body held in memory, in bytes; larger ones go to a file.
    pub memory_max: usize,
    /// How many times as long as what was sent a body of more than 8 MiB may become: zip bombs reach 1,000 (gzip) to
    /// 600,000 (brotli), markup hardly ever 50.
    pub ratio_max: u64,
    /// A body of which fewer than `slow_bytes_min` bytes come in `slow_window` is given up: one byte every nine
    /// seconds breaks no other bound and would hold its place for ever. 100 bytes a second are below any line that
    /// serves a site, and above what merely keeps a connection alive.
    pub slow_window: Duration,
    pub slow_bytes_min: u64,
    /// What bodies in files leave free on their file system, in bytes.
    pub disk_free_min: u64,
    /// Requests for one page, the first included.
    pub attempts: u32,
    /// Before the second request; doubled before each further one, give or take half.
    pub retry_pause: Duration,
}

impl Default for FetchLimits {
    fn default() -> FetchLimits {
        FetchLimits {
            answer_timeout: Duration::from_secs(8),
            idle_timeout: Duration::from_secs(10),
            body_max: 5 * 1024 * 1024 * 1024,
            memory_max: 8 * 1024 * 1024,
            ratio_max: 250,
            slow_window: Duration::from_secs(60),
            slow_bytes_min: 6_000,
            disk_free_min: 1024 * 1024 * 1024,
            attempts: 3,
            retry_pause: Duration::from_millis(200),
        }
    }
}

/// One page to ask for, with the validators of the body that is held already, if one is. Of the two the ETag is
/// preferred and the date sent only in its absence.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub url: &'a PageUrl,
    pub etag: Option<&'a str>,
    pub last_modified: Option<&'a str>,
}

#[derive(Debug)]
pub enum Answer {
    Body(Box<Received>),
    NotModified,
    /// 3xx with a target, which is as the origin wrote it: relative, perhaps.
    Redirect {
        status: u16,
        location: String,
        headers: KeptHeaders,
    },
    /// 404 or 410.
    Gone {
        status: u16,
    },
}

/// A 200 or 203 with its complete body, its coding removed.
#[derive(Debug)]
pub struct Received {
    pub status: u16,
    pub body: Held,
    pub digest: Digest,
    pub headers: KeptHeaders,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    /// What the headers refer to, as written; relative to the URL asked for, whatever base the body names.
    pub header_links: Vec<(String, Role)>,
}

/// Asks for pages; share it by reference among the tasks of a crawl. It decides nothing about politeness: whoever
/// calls holds the host's turn.
pub struct Fetcher {
    client: reqwest::Client,
    limits: FetchLimits,
    shelf: Shelf,
    permits_private: PermitsPrivate,
    also_kept: Vec<String>,
    mirrors: Vec<MirrorHeader>,
    attempts: AtomicU64,
}

impl Fetcher {
    /// Bodies that do not stay in memory go to `temp_dir`, which must exist. Hosts written as private addresses
    /// are refused unless [`Fetcher::permitting_private`] says otherwise.
    pub fn new(
        client: reqwest::Client,
        limits: FetchLimits,
        budget: Budget,
        temp_dir: PathBuf,
    ) -> Fetcher {
        let shelf = Shelf {
            budget,
            memory_max: limits.memory_max,
            temp_dir,
            patience: limits.idle_timeout,
            disk_free_min: limits.disk_free_min,
            free_space,
        };
        Fetcher {
            client,
            limits,
            shelf,
            permits_private: Arc::new(|_| false),
            also_kept: Vec::new(),
            mirrors: Vec::new(),
            attempts: AtomicU64::new(0),
        }
    }

    /// Literal private addresses for which `permits_private` says yes may be asked. (Names are judged by the
    /// client's resolver, which has a rule of its own and should be given the same.)
    pub fn permitting_private(mut self, permits_private: PermitsPrivate) -> Fetcher {
        self.permits_private = permits_private;
        self
    }

    /// Headers with these names, in lower case, are kept as well.
    pub fn also_keeping(mut self, names: Vec<String>) -> Fetcher {
        self.also_kept = names;
        self
    }

    /// Answers with one of these headers were sent by a mirror: they are errors, never pages.
    pub fn refusing_mirrors(mut self, mirrors: Vec<MirrorHeader>) -> Fetcher {
        self.mirrors = mirrors;
        self
    }

    /// Sends the request and takes in its answer, without repeating or waiting for anything. Dropping the future at
    /// any point gives back its memory and removes its file.
    pub async fn once(&self, ask: Ask<'_>) -> Result<Answer, FetchError> {
        let url = ask.url;
        let host = url.host();
        if !address_permitted(host, &*self.permits_private) {
            return Err(FetchError::Forbidden {
                url: url.clone(),
                why: format!("{host} is a private address; name it in `hosts` to permit it"),
            });
        }
        let condition = condition(&ask);
        let conditional = condition.is_some();
        let response = self.send(url, condition).await?;
        let status = response.status().as_u16();
        check_headers(url, status, response.headers())?;
        if let Some(header) = self.mirror(status, response.headers()) {
            drain(response).await;
            let url = url.clone();
            return Err(FetchError::Mirrored { url, header });
        }
        match status {
            200 | 203 => {
                let received = self.receive(url, response).await?;
                Ok(Answer::Body(Box::new(received)))
            }
            304 if conditional => Ok(Answer::NotModified),
            404 | 410 => {
                drain(response).await;
                Ok(Answer::Gone { status })
            }
            _ => {
                let answer = redirect_or_error(url, status, response.headers(), &self.also_kept);
                drain(response).await;
                answer
            }
        }
    }

    /// As [`Fetcher::once`], and asks again after faults that may pass: for those few who have no schedule.
    pub async fn fetch(&self, ask: Ask<'_>) -> Result<Answer, FetchError> {
        let mut attempt = 1;
        loop {
            let error = match self.once(ask).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let Some(pause) = pause_before_retry(&self.limits, attempt, &error) else {
                return Err(error);
            };
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// Requests sent so far, repetitions included.
    pub fn attempts(&self) -> u64 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// One request, up to the headers of its answer.
    async fn send(
        &self,
        url: &PageUrl,
        condition: Option<(HeaderName, HeaderValue)>,
    ) -> Result<reqwest::Response, FetchError> {
        let request = self.client.get(url.as_str());
        let mut request = request.header(ACCEPT_ENCODING, HeaderValue::from_static(CODINGS));
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let waited = self.limits.answer_timeout;
        match tokio::time::timeout(waited, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(send_error(url.clone(), &error)),
            Err(_) => Err(FetchError::NoAnswer {
                url: url.clone(),
                waited,
            }),
        }
    }

    /// The rule by which an answer that would otherwise be believed was sent by a mirror.
    fn mirror(&self, status: u16, headers: &HeaderMap) -> Option<String> {
        let is_believed = matches!(status, 200 | 203 | 300..400 | 404 | 410);
        let mut rules = self.mirrors.iter().filter(|_| is_believed);
        let told = rules.find(|rule| {
            let mut values = headers.get_all(rule.name()).iter();
            values.any(|value| rule.is_told_by(value.as_bytes()))
        });
        told.map(MirrorHeader::to_string)
    }

    async fn receive(
        &self,
        url: &PageUrl,
        mut response: reqwest::Response,
    ) -> Result<Received, FetchError> {
        let mut decoder = decoder(url, response.headers())?;
        let said = announced(response.headers());
        self.check_size(url, said.unwrap_or(0))?;
        let length = match (said, &decoder) {
            (None, _) => Length::Unknown,
            (Some(said), None) => Length::Said(said),
            (Some(said), Some(_)) => Length::Guessed(said.saturating_mul(USUAL_RATIO)),
        };
        let mut collector = Collector::begin(&self.shelf, length).await?;
        let mut flow = Flow::begin(said);
        while let Some(chunk) = self.chunk(url, &mut response, &mut flow).await? {
            match &mut decoder {
                None => self.take(url, &mut collector, &chunk).await?,
                Some(decoder) => {
                    self.decode(url, decoder, &chunk, &flow, &mut collector)
                        .await?;
                }
            }
        }
        if said.is_some_and(|said| said != flow.got) {
            // hyper has noticed before; this line is what the manifest relies on, so it stands here as well.
            return Err(flow.truncated(url, &"the connection was closed"));
        }
        if let Some(decoder) = decoder {
            decoder.finish().map_err(|why| flow.truncated(url, &why))?;
        }
        received(url, &response, &self.also_kept, collector)
    }

    /// Adds what a piece of a coded body means, a step at a time, so that a bomb is seen while it is small.
    async fn decode(
        &self,
        url: &PageUrl,
        decoder: &mut Decoder,
        chunk: &[u8],
        flow: &Flow,
        collector: &mut Collector<'_>,
    ) -> Result<(), FetchError> {
        let mut coded = chunk;
        let mut turn = 0;
        loop {
            let step = decoder.step(&mut coded);
            let Some(plain) = step.map_err(|why| flow.truncated(url, &why))? else {
                return Ok(());
            };
            turn += plain.len();
            self.take(url, collector, plain).await?;
            if turn >= PLAIN_PER_TURN {
                turn = 0;
                tokio::task::yield_now().await;
            }
            let (taken, given) = (decoder.taken(), decoder.given());
            let limit = self.limits.ratio_max;
            if given > RATIO_FREE && given > taken.saturating_mul(limit) {
                return Err(FetchError::Bomb {
                    url: url.clone(),
                    coded: taken,
                    plain: given,
                    limit,
                });
            }
        }
    }

    /// Adds bytes of the page to those that are here.
    async fn take(
        &self,
        url: &PageUrl,
        collector: &mut Collector<'_>,
        plain: &[u8],
    ) -> Result<(), FetchError> {
        self.check_size(url, collector.size() + plain.len() as u64)?;
        Ok(collector.push(plain).await?)
    }

    fn check_size(&self, url: &PageUrl, size: u64) -> Result<(), FetchError> {
        let limit = self.limits.body_max;
        if size > limit {
            let url = url.clone();
            return Err(FetchError::TooLarge { url, limit });
        }
        Ok(())
    }

    /// The next piece of a body as it was sent.
    async fn chunk(
        &self,
        url: &PageUrl,
        response: &mut reqwest::Response,
        flow: &mut Flow,
    ) -> Result<Option<bytes::Bytes>, FetchError> {
        let waited = self.limits.idle_timeout;
        let chunk = match tokio::time::timeout(waited, response.chunk()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(error)) => return Err(flow.truncated(url, &reason(&error))),
            Err(_) => {
                return Err(FetchError::Stalled {
                    url: url.clone(),
                    got: flow.got,
                    came: 0,
                    waited,
                });
            }
        };
        if let Some(chunk) = &chunk {
            flow.take(url, chunk.len() as u64, &self.limits)?;
        }
        Ok(chunk)
    }
}

/// How a body comes in, in bytes as they are sent.
struct Flow {
    said: Option<u64>,
    got: u64,
    /// The window in which it must not be too slow: when it began, and what has come in it.
    since: Instant,
    came: u64,
}

impl Flow {
    fn begin(said: Option<u64>) -> Flow {
        Flow {
            said,
            got: 0,
            since: Instant::now(),
            came: 0,
        }
    }

    fn take(&mut self, url: &PageUrl, bytes: u64, limits: &FetchLimits) -> Result<(), FetchError> {
        self.got += bytes;
        self.came += bytes;
        if self.came >= limits.slow_bytes_min {
            self.came = 0;
            self.since = Instant::now();
            return Ok(());
        }
        let waited = self.since.elapsed();
        if waited < limits.slow_window {
            return Ok(());
        }
        Err(FetchError::Stalled {
            url: url.clone(),
            got: self.got,
            came: self.came,
            waited,
        })
    }

    fn truncated(&self, url: &PageUrl, why: &dyn fmt::Display) -> FetchError {
        FetchError::Truncated {
            url: url.clone(),
            got: self.got,
            said: self.said,
            why: why.to_string(),
        }
    }
}

/// The header that makes a request conditional. A validator that cannot be sent is left out, which makes the
/// request an ordinary one.
fn condition(ask: &Ask<'_>) -> Option<(HeaderName, HeaderValue)> {
    let (name, validator) = match (ask.etag, ask.last_modified) {
        (Some(etag), _) => (IF_NONE_MATCH, etag),
        (None, Some(date)) => (IF_MODIFIED_SINCE, date),
        (None, None) => return None,
    };
    let value = HeaderValue::from_str(validator).ok()?;
    Some((name, value))
}

fn send_error(url: PageUrl, error: &reqwest::Error) -> FetchError {
    let why = reason(error);
    match refusal(error) {
        Some(HttpError::PrivateOnly { .. }) => FetchError::Forbidden { url, why },
        None if is_malformed(error) => FetchError::Malformed { url, why },
        _ => FetchError::Unreachable { url, why },
    }
}

/// Refuses what no page of a site says of itself, before anything of it is kept.
fn check_headers(url: &PageUrl, status: u16, headers: &HeaderMap) -> Result<(), FetchError> {
    let is_page = matches!(status, 200 | 203);
    let malformed = |why: String| {
        let url = url.clone();
        Err(FetchError::Malformed { url, why })
    };
    let pairs = headers.iter();
    let bytes: usize = pairs
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > HEADER_BYTES_MAX as usize {
        return malformed(format!(
            "its headers have {bytes} bytes, more than {HEADER_BYTES_MAX}"
        ));
    }
    if is_page && headers.contains_key(CONTENT_RANGE) {
        return malformed("it has a part of the page, which was not asked for".to_owned());
    }
    Ok(())
}

/// Every answer that is neither a page nor gone.
fn redirect_or_error(
    url: &PageUrl,
    status: u16,
    headers: &HeaderMap,
    also_kept: &[String],
) -> Result<Answer, FetchError> {
    if let (300..400, Some(location)) = (status, location(headers)) {
        return Ok(Answer::Redirect {
            status,
            location,
            headers: kept(headers, also_kept),
        });
    }
    Err(FetchError::Status {
        url: url.clone(),
        status,
        retry_after: retry_after(headers, SystemTime::now()),
    })
}

/// The target of a redirect. Sites write raw UTF-8 there, which URL parsing understands; other bytes are escaped
/// one by one, as browsers do.
fn location(headers: &HeaderMap) -> Option<String> {
    let raw = headers.get(LOCATION)?.as_bytes().trim_ascii();
    if raw.is_empty() {
        return None;
    }
    if let Ok(text) = std::str::from_utf8(raw) {
        return Some(text.to_owned());
    }
    let mut escaped = String::with_capacity(raw.len() * 3);
    for byte in raw {
        match byte.is_ascii() {
            true => escaped.push(char::from(*byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    Some(escaped)
}

/// How long the answer asks to be left alone, given in seconds or as a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

/// How long to wait after the failed attempt number `attempt` (from 1), or `None` when it was the last.
fn pause_before_retry(limits: &FetchLimits, attempt: u32, error: &FetchError) -> Option<Duration> {
    if attempt >= limits.attempts || error.class() != Class::Retry {
        return None;
    }
    if error.is_silence() && attempt >= SILENCES_MAX {
        return None;
    }
    if let FetchError::Status {
        retry_after: Some(asked),
        ..
    } = error
    {
        return (*asked <= RETRY_AFTER_MAX).then_some(*asked);
    }
    // Beyond 2^10 times the pause no one waits; the bound keeps the product in range.
    let doubled = limits.retry_pause * 2u32.pow((attempt - 1).min(10));
    Some(doubled.mul_f64(0.5 + chance()))
}

/// A number in 0..1 that spreads the repetitions of requests that failed together.
fn chance() -> f64 {
    // Without randomness from the system they are merely less spread.
    f64::from(getrandom::u32().unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}

/// What takes the content coding off a body, if it has one that was asked for. Several in a row were not.
fn decoder(url: &PageUrl, headers: &HeaderMap) -> Result<Option<Decoder>, FetchError> {
    if !headers.contains_key(CONTENT_ENCODING) {
        return Ok(None);
    }
    let mut codings = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let value = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        let named = value.split(',').map(str::trim);
        let real = named.filter(|name| !matches!(*name, "" | "identity"));
        codings.extend(real.map(str::to_owned));
    }
    if codings.is_empty() {
        return Ok(None);
    }
    let coding = codings.join(", ");
    match Decoder::of(&coding) {
        Some(decoder) => Ok(Some(decoder)),
        None => Err(FetchError::Coding {
            url: url.clone(),
            coding,
        }),
    }
}

/// A body that arrived whole becomes an answer, unless it is an empty page.
fn received(
    url: &PageUrl,
    response: &reqwest::Response,
    also_kept: &[String],
    collector: Collector<'_>,
) -> Result<Received, FetchError> {
    let headers = kept(response.headers(), also_kept);
    if collector.size() == 0 && is_html(&headers) {
        return Err(FetchError::EmptyPage { url: url.clone() });
    }
    let (body, digest) = collector.finish()?;
    Ok(Received {
        status: response.status().as_u16(),
        body,
        digest,
        headers,
        etag: text(response.headers(), &ETAG).map(str::to_owned),
        last_modified: text(response.headers(), &LAST_MODIFIED).map(str::to_owned),
        header_links: header_links(pairs(response.headers())),
    })
}

/// The length of a body as it is sent, in bytes.
fn announced(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

fn is_html(headers: &KeptHeaders) -> bool {
    let essence = headers
        .content_type()
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim();
    ["text/html", "application/xhtml+xml"]
        .iter()
        .any(|html| essence.eq_ignore_ascii_case(html))
}

fn kept(headers: &HeaderMap, also: &[String]) -> KeptHeaders {
    KeptHeaders::keep_also(also, pairs(headers))
}

/// Names, in lower case, and values.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let headers = headers.iter();
    headers.map(|(name, value)| (name.as_str(), value.as_bytes()))
}

/// A header whose value is plain text and not empty.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (!value.is_empty()).then_some(value)
}

async fn drain(mut response: reqwest::Response) {
    let reading = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read += chunk.len();
            if read > DRAIN_MAX {
                return;
            }
        }
    };
    // How it ended does not matter: the answer is known already.
    let _ = tokio::time::timeout(DRAIN_TIME_MAX, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> PageUrl {
        PageUrl::parse("https://www.example/a").unwrap()
    }

    fn status(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status {
            url: url(),
            status,
            retry_after,
        }
    }

    fn headers(name: HeaderName, value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_bytes(value).unwrap());
        headers
    }

    /// Promise: repetitions stay within the attempts, back off by doubling, give or take half, and obey Retry-After
    /// up to its bound; a longer one ends them.
    #[test]
    fn pauses_double_and_obey_retry_after() {
        let limits = FetchLimits::default();
        for (attempt, base) in [(1, 200), (2, 400)] {
            for _ in 0..50 {
                let pause = pause_before_retry(&limits, attempt, &status(503, None)).unwrap();
                let bounds = Duration::from_millis(base / 2)..=Duration::from_millis(base * 3 / 2);
                assert!(bounds.contains(&pause), "{pause:?}");
            }
        }
        assert_eq!(pause_before_retry(&limits, 3, &status(503, None)), None);
        assert_eq!(pause_before_retry(&limits, 1, &status(403, None)), None);
        for (asked, pause) in [(0, Some(0)), (60, Some(60)), (61, None), (u64::MAX, None)] {
            let error = status(503, Some(Duration::from_secs(asked)));
            let expected = pause.map(Duration::from_secs);
            assert_eq!(pause_before_retry(&limits, 1, &error), expected, "{asked}");
        }
    }

    /// Promise: both forms of Retry-After are understood, and nonsense is as if it were not there.
    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        for (value, seconds) in [
            ("3", Some(3)),
            ("0", Some(0)),
            ("Sun, 06 Nov 1994 08:49:39 GMT", Some(2)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let found = retry_after(&headers(RETRY_AFTER, value.as_bytes()), now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{value}");
        }
    }

    /// Promise: a redirect's target survives with raw UTF-8 in it and with other bytes, and an empty one is none.
    #[test]
    fn locations_of_any_bytes_are_read() {
        for (raw, expected) in [
            (&b"/plain?q=1"[..], Some("/plain?q=1")),
            (" /spaced ".as_bytes(), Some("/spaced")),
            ("/d\u{e9}j\u{e0}".as_bytes(), Some("/d\u{e9}j\u{e0}")),
            (b"/d\xe9j\xe0", Some("/d%E9j%E0")),
            (b"", None),
        ] {
            let found = location(&headers(LOCATION, raw));
            assert_eq!(found.as_deref(), expected);
        }
    }

    /// Promise: the ETag is preferred, the date is sent in its absence, and what cannot be sent is left out.
    #[test]
    fn one_condition_is_sent() {
        let url = url();
        let name = |etag, last_modified| {
            let ask = Ask {
                url: &url,
                etag,
                last_modified,
            };
            condition(&ask).map(|(name, _)| name)
        };
        assert_eq!(name(Some("\"a\""), Some("d")), Some(IF_NONE_MATCH));
        assert_eq!(name(None, Some("d")), Some(IF_MODIFIED_SINCE));
        assert_eq!(name(None, None), None);
        assert_eq!(name(Some("a\nb"), None), None);
    }
}
