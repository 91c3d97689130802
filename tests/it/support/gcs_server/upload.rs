//! Bytes on their way in and out: JSON over HTTP/1.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderMap;
use hyper::{Method, Request, Response};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tonic::body::Body;

use super::store::{Announced, Conditions, Headers, Refusal, Stored, Upload};
use super::{Answered, Call, Harm, Shared, body_of, broken, json_refusal, lock, refusal_of};

/// What a piece of an upload must be a multiple of, if it is not the last.
const QUANTUM: usize = 256 * 1024;

/// Answers are cut into frames of this size, so that they can be cut off.
const FRAME: usize = 16 * 1024;

type Query = BTreeMap<String, String>;

pub(super) async fn answer(request: Request<Incoming>, shared: &Arc<Shared>) -> Answered {
    let (parts, body) = request.into_parts();
    let query: Query =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let path = parts.uri.path();
    let bucket_of = |start: &str, end: &str| {
        let bucket = path.strip_prefix(start)?.strip_suffix(end)?;
        (!bucket.contains('/')).then(|| bucket.to_owned())
    };
    if let Some(bucket) = bucket_of("/upload/storage/v1/b/", "/o") {
        let kind = query.get("uploadType").map(String::as_str);
        return match (&parts.method, kind) {
            (&Method::POST, Some("multipart")) => {
                whole(shared, &bucket, &query, &parts.headers, body).await
            }
            (&Method::POST, Some("resumable")) => begin(shared, &bucket, &query, body).await,
            (&Method::PUT, Some("resumable")) => piece(shared, &query, &parts.headers, body).await,
            _ => Ok(json_refusal(&Refusal::new(400, "Unknown upload type."))),
        };
    }
    let object = path.strip_prefix("/storage/v1/b/");
    let object = object.and_then(|rest| rest.split_once("/o/"));
    match object {
        Some((bucket, name)) if parts.method == Method::GET && !name.contains('/') => {
            let name = percent_decode_str(name).decode_utf8_lossy();
            read(shared, bucket, &name, &query, &parts.headers)
        }
        _ => Ok(json_refusal(&Refusal::new(404, "Not Found"))),
    }
}

/// A token for whoever asks.
pub(super) fn token(shared: &Shared) -> Response<Body> {
    shared.note(Call::Token, "");
    let token = lock(&shared.token).clone().unwrap_or_default();
    let body =
        serde_json::json!({ "access_token": token, "expires_in": 3600, "token_type": "Bearer" });
    let response = Response::builder().header("content-type", "application/json");
    response
        .body(body_of(body.to_string().into()))
        .expect("the parts are fixed")
}

async fn whole(
    shared: &Shared,
    bucket: &str,
    query: &Query,
    headers: &HeaderMap,
    body: Incoming,
) -> Answered {
    let name = query.get("name").cloned().unwrap_or_default();
    let harm = shared.note(Call::Put, &name);
    let (body, is_whole) = collect(body, harm).await;
    if let Some(refusal) = harm.and_then(refusal_of) {
        return Ok(json_refusal(&refusal));
    }
    if !is_whole {
        return Err(broken());
    }
    let put = || {
        let (resource, mut data, trailer) = multipart(headers, &body)?;
        if matches!(harm, Some(Harm::Garble)) {
            data = garbled(&data);
        }
        let mut announced = announced(&resource)?;
        // Digests at the end count as well.
        let late = self::announced(&trailer)?;
        announced.crc32c = announced.crc32c.or(late.crc32c);
        announced.md5 = announced.md5.or(late.md5);
        let (fields, conditions) = (fields(&resource)?, conditions(query)?);
        let mut store = lock(&shared.store);
        store.put(bucket, &name, data, fields, &announced, conditions)
    };
    let put = put().map(|stored| resource(bucket, &name, &stored));
    if matches!(harm, Some(Harm::LoseAnswer)) {
        return Err(broken());
    }
    Ok(put.map_or_else(|refusal| json_refusal(&refusal), json))
}

async fn begin(shared: &Shared, bucket: &str, query: &Query, body: Incoming) -> Answered {
    let name = query.get("name").cloned().unwrap_or_default();
    let harm = shared.note(Call::Begin, &name);
    let (body, _) = collect(body, None).await;
    if let Some(refusal) = harm.and_then(refusal_of) {
        return Ok(json_refusal(&refusal));
    }
    let begin = || {
        let wrong = |_| Refusal::new(400, "Parse Error");
        let resource: Value = serde_json::from_slice(&body).map_err(wrong)?;
        let upload = Upload {
            bucket: bucket.to_owned(),
            name: name.clone(),
            headers: fields(&resource)?,
            announced: announced(&resource)?,
            conditions: conditions(query)?,
            data: Vec::new(),
            stored: None,
        };
        lock(&shared.store).begin(upload)
    };
    let begun = begin();
    if matches!(harm, Some(Harm::LoseAnswer)) {
        return Err(broken());
    }
    let id = match begun {
        Ok(id) => id,
        Err(refusal) => return Ok(json_refusal(&refusal)),
    };
    let place = lock(&shared.address).clone();
    let place =
        format!("{place}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&upload_id={id}");
    let response = Response::builder().header("location", place);
    Ok(response
        .body(body_of(Bytes::new()))
        .expect("the parts are fixed"))
}

/// Bytes for an upload, or the question how far it got.
async fn piece(shared: &Shared, query: &Query, headers: &HeaderMap, body: Incoming) -> Answered {
    let id = query.get("upload_id").cloned().unwrap_or_default();
    let known = lock(&shared.store).upload(&id).map(|upload| {
        let name = upload.name.clone();
        (upload.bucket.clone(), name)
    });
    let (bucket, name) = match known {
        Ok(known) => known,
        Err(refusal) => return Ok(json_refusal(&refusal)),
    };
    let range = match Range::parse(headers) {
        Some(range) => range,
        None => {
            return Ok(json_refusal(&Refusal::new(
                400,
                "Failed to parse Content-Range",
            )));
        }
    };
    let call = match range.bytes {
        Some(_) => Call::Piece,
        None => Call::HowFar,
    };
    let harm = shared.note(call, &name);
    let (mut data, is_whole) = collect(body, harm).await;
    if let Some(refusal) = harm.and_then(refusal_of) {
        return Ok(json_refusal(&refusal));
    }
    if matches!(harm, Some(Harm::Garble)) {
        data = garbled(&data);
    }
    let taken = take(shared, &id, range, headers, &data, is_whole);
    if !is_whole || matches!(harm, Some(Harm::LoseAnswer)) {
        return Err(broken());
    }
    match taken {
        Ok(Some(stored)) => Ok(json(resource(&bucket, &name, &stored))),
        Ok(None) => Ok(how_far(shared, &id)),
        Err(refusal) => Ok(json_refusal(&refusal)),
    }
}

/// What came of the bytes: the object, if they were the last.
fn take(
    shared: &Shared,
    id: &str,
    range: Range,
    headers: &HeaderMap,
    data: &[u8],
    is_whole: bool,
) -> Result<Option<Stored>, Refusal> {
    let mut store = lock(&shared.store);
    let upload = store.upload(id)?;
    if upload.stored.is_some() {
        return Ok(upload.stored.clone());
    }
    if let Some((first, last)) = range.bytes {
        let wrong = |problem: &str| Err(Refusal::new(400, problem));
        if first != upload.data.len() {
            return wrong("The first byte is not the one after those that came before");
        }
        let is_last = range.total == Some(last + 1);
        if !is_last && !(last + 1 - first).is_multiple_of(QUANTUM) {
            return wrong("Only the last piece may be no multiple of 256 KiB");
        }
        if is_whole && data.len() != last + 1 - first {
            return wrong("The body is not as long as its range says");
        }
        // What breaks off is kept in whole quanta.
        let kept = match is_whole {
            true => data.len(),
            false => data.len() / QUANTUM * QUANTUM,
        };
        upload.data.extend_from_slice(&data[..kept]);
    }
    if range.total != Some(upload.data.len()) {
        return Ok(None);
    }
    if let Some(crc32c) = hash_header(headers)? {
        upload.announced.crc32c = Some(upload.announced.crc32c.unwrap_or(crc32c));
    }
    store.end(id).map(Some)
}

fn how_far(shared: &Shared, id: &str) -> Response<Body> {
    let length = lock(&shared.store)
        .upload(id)
        .map_or(0, |upload| upload.data.len());
    let mut response = Response::builder().status(308);
    if length > 0 {
        response = response.header("range", format!("bytes=0-{}", length - 1));
    }
    response
        .body(body_of(Bytes::new()))
        .expect("the parts are fixed")
}

fn read(shared: &Shared, bucket: &str, name: &str, query: &Query, headers: &HeaderMap) -> Answered {
    let harm = shared.note(Call::Read, name);
    if let Some(refusal) = harm.and_then(refusal_of) {
        return Ok(json_refusal(&refusal));
    }
    if query.get("alt").map(String::as_str) != Some("media") {
        return Ok(json_refusal(&Refusal::new(400, "Only media are read here")));
    }
    let found = lock(&shared.store).find(bucket, name).cloned();
    let found = found.and_then(|stored| {
        conditions(query)?.check(Some(&stored))?;
        let generation = query.get("generation").map(|text| text.parse());
        match generation {
            Some(wanted) if wanted != Ok(stored.generation) => Err(Refusal::new(
                404,
                format!("No such object: {bucket}/{name}"),
            )),
            _ => Ok(stored),
        }
    });
    let stored = match found {
        Ok(stored) => stored,
        // In plain words, where bytes were asked for.
        Err(refusal) => return Ok(plain_refusal(&refusal)),
    };
    if matches!(harm, Some(Harm::LoseAnswer)) {
        return Err(broken());
    }
    let total = stored.data.len();
    let mut response = media_headers(&stored);
    let range = headers.get("range").and_then(|value| value.to_str().ok());
    let mut data = match range.map(|range| sought(range, total)) {
        None => stored.data,
        Some(Some((start, end))) => {
            let shown = format!("bytes {start}-{}/{total}", end - 1);
            response = response.status(206).header("content-range", shown);
            stored.data.slice(start..end)
        }
        Some(None) => {
            let problem = "The requested range cannot be satisfied.";
            return Ok(plain_refusal(&Refusal::new(416, problem)));
        }
    };
    if matches!(harm, Some(Harm::Garble)) {
        data = garbled(&data);
    }
    let response = response.header("content-length", data.len());
    let body = match harm {
        Some(Harm::CutAfter(bytes)) => cut_off(&data, bytes),
        _ => body_of(data),
    };
    Ok(response.body(body).expect("the parts are fixed"))
}

fn media_headers(stored: &Stored) -> hyper::http::response::Builder {
    let crc32c = BASE64_STANDARD.encode(stored.crc32c.to_be_bytes());
    let md5 = stored.md5.map(|md5| BASE64_STANDARD.encode(md5));
    let hash = match md5 {
        Some(md5) => format!("crc32c={crc32c},md5={md5}"),
        None => format!("crc32c={crc32c}"),
    };
    let headers = &stored.headers;
    let content_type = match headers.content_type.as_str() {
        "" => "application/octet-stream",
        content_type => content_type,
    };
    let mut response = Response::builder()
        .header("x-goog-generation", stored.generation)
        .header("x-goog-metageneration", stored.metageneration)
        .header("x-goog-stored-content-length", stored.data.len())
        .header("x-goog-stored-content-encoding", "identity")
        .header("x-goog-storage-class", &headers.storage_class)
        .header("etag", etag(stored))
        .header("x-goog-hash", hash)
        .header("content-type", content_type);
    for (name, value) in [
        ("content-language", &headers.content_language),
        ("content-disposition", &headers.content_disposition),
        ("cache-control", &headers.cache_control),
    ] {
        if !value.is_empty() {
            response = response.header(name, value);
        }
    }
    for (name, value) in &headers.metadata {
        response = response.header(format!("x-goog-meta-{name}"), value);
    }
    response
}

/// The object as JSON.
fn resource(bucket: &str, name: &str, stored: &Stored) -> Value {
    let headers = &stored.headers;
    let mut resource = serde_json::json!({
        "kind": "storage#object",
        "id": format!("{bucket}/{name}/{}", stored.generation),
        "name": name,
        "bucket": bucket,
        "generation": stored.generation.to_string(),
        "metageneration": stored.metageneration.to_string(),
        "size": stored.data.len().to_string(),
        "contentType": headers.content_type,
        "contentLanguage": headers.content_language,
        "contentDisposition": headers.content_disposition,
        "cacheControl": headers.cache_control,
        "storageClass": headers.storage_class,
        "metadata": headers.metadata,
        "etag": etag(stored),
        "crc32c": BASE64_STANDARD.encode(stored.crc32c.to_be_bytes()),
    });
    if let Some(md5) = stored.md5 {
        resource["md5Hash"] = BASE64_STANDARD.encode(md5).into();
    }
    resource
}

/// Made of the generations, as the service's own are: nothing can be concluded from it.
pub(super) fn etag(stored: &Stored) -> String {
    BASE64_STANDARD.encode(format!("{}/{}", stored.generation, stored.metageneration))
}

fn json(value: Value) -> Response<Body> {
    let response = Response::builder().header("content-type", "application/json; charset=UTF-8");
    response
        .body(body_of(value.to_string().into()))
        .expect("the parts are fixed")
}

fn plain_refusal(refusal: &Refusal) -> Response<Body> {
    let response = Response::builder()
        .status(refusal.status)
        .header("content-type", "text/html; charset=UTF-8");
    response
        .body(body_of(refusal.message.clone().into()))
        .expect("the parts are fixed")
}

/// The body, and whether it came to its end. One that is to be cut is no longer read; before a refusal
/// all of it is, since a connection that is closed with bytes unread loses the answer.
pub(super) async fn collect(mut body: Incoming, harm: Option<Harm>) -> (Bytes, bool) {
    let limit = match harm {
        Some(Harm::CutAfter(bytes)) => bytes,
        _ => usize::MAX,
    };
    let mut data = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return (data.into(), false);
        };
        data.extend_from_slice(&frame.into_data().unwrap_or_default());
        if data.len() > limit {
            data.truncate(limit);
            return (data.into(), false);
        }
    }
    (data.into(), true)
}

/// A body that breaks off.
fn cut_off(data: &Bytes, bytes: usize) -> Body {
    let head = data.slice(..bytes.min(data.len()));
    let frames: Vec<_> = head.chunks(FRAME).map(Bytes::copy_from_slice).collect();
    let frames = frames.into_iter().map(|frame| Ok(Frame::data(frame)));
    let end = std::iter::once(Err(broken()));
    // What was sent before shall arrive before the connection breaks.
    let stream = futures_util::stream::iter(frames.chain(end)).then(|frame| async {
        tokio::task::yield_now().await;
        frame
    });
    Body::new(StreamBody::new(stream))
}

fn garbled(data: &Bytes) -> Bytes {
    let mut data = data.to_vec();
    if let Some(byte) = data.first_mut() {
        *byte ^= 1;
    }
    data.into()
}

/// Metadata, bytes, and what follows them.
fn multipart(headers: &HeaderMap, body: &Bytes) -> Result<(Value, Bytes, Value), Refusal> {
    let wrong = || Refusal::new(400, "Malformed multipart body.");
    let kind = headers
        .get("content-type")
        .and_then(|kind| kind.to_str().ok());
    let boundary = kind.and_then(|kind| kind.strip_prefix("multipart/related; boundary="));
    let mark = format!("--{}", boundary.ok_or_else(wrong)?.trim_matches('"'));
    let mut parts = Vec::new();
    let mut at = find(body, mark.as_bytes(), 0).ok_or_else(wrong)?;
    while let Some(next) = find(body, mark.as_bytes(), at + mark.len()) {
        let part = body.slice(at + mark.len()..next);
        let head = find(&part, b"\r\n\r\n", 0).ok_or_else(wrong)?;
        if !part.ends_with(b"\r\n") || part.len() < head + 6 {
            return Err(wrong());
        }
        parts.push(part.slice(head + 4..part.len() - 2));
        at = next;
    }
    let parse = |part: &Bytes| serde_json::from_slice(part).map_err(|_| wrong());
    match &parts[..] {
        [resource, data] => Ok((parse(resource)?, data.clone(), Value::Null)),
        [resource, data, trailer] => Ok((parse(resource)?, data.clone(), parse(trailer)?)),
        _ => Err(wrong()),
    }
}

fn find(text: &[u8], word: &[u8], from: usize) -> Option<usize> {
    memchr::memmem::find(text.get(from..)?, word).map(|at| at + from)
}

/// What a resource says of headers. A field that the service does not know is refused.
fn fields(resource: &Value) -> Result<Headers, Refusal> {
    let mut headers = Headers::default();
    let all = resource.as_object().into_iter().flatten();
    for (name, value) in all {
        let text = value.as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "contentType" => headers.content_type = text,
            "contentLanguage" => headers.content_language = text,
            "contentDisposition" => headers.content_disposition = text,
            "contentEncoding" => headers.content_encoding = text,
            "cacheControl" => headers.cache_control = text,
            "storageClass" => headers.storage_class = text,
            "crc32c" | "md5Hash" => {}
            "metadata" => {
                let pairs = value.as_object().into_iter().flatten();
                let pair = |(name, value): (&String, &Value)| {
                    let value = value.as_str()?.to_owned();
                    Some((name.clone(), value))
                };
                headers.metadata = pairs.filter_map(pair).collect();
            }
            _ => return Err(Refusal::new(400, format!("Unknown name \"{name}\""))),
        }
    }
    Ok(headers)
}

fn announced(resource: &Value) -> Result<Announced, Refusal> {
    let md5 = resource["md5Hash"]
        .as_str()
        .map(|text| BASE64_STANDARD.decode(text));
    let md5 = md5.transpose();
    Ok(Announced {
        crc32c: resource["crc32c"].as_str().map(crc32c_of).transpose()?,
        md5: md5.map_err(|_| Refusal::new(400, "Invalid MD5 hash."))?,
    })
}

fn crc32c_of(text: &str) -> Result<u32, Refusal> {
    let wrong = || Refusal::new(400, "Invalid CRC32C.");
    let bytes = BASE64_STANDARD.decode(text).map_err(|_| wrong())?;
    let bytes = bytes.try_into().map_err(|_| wrong())?;
    Ok(u32::from_be_bytes(bytes))
}

fn hash_header(headers: &HeaderMap) -> Result<Option<u32>, Refusal> {
    let value = headers
        .get("x-goog-hash")
        .and_then(|value| value.to_str().ok());
    let crc32c = value.and_then(|value| value.strip_prefix("crc32c="));
    crc32c.map(crc32c_of).transpose()
}

fn conditions(query: &Query) -> Result<Conditions, Refusal> {
    let number = |name: &str| {
        let parsed = query.get(name).map(|text| text.parse::<i64>()).transpose();
        parsed.map_err(|_| Refusal::new(400, format!("Invalid value for {name}")))
    };
    Ok(Conditions {
        generation: number("ifGenerationMatch")?,
        generation_not: number("ifGenerationNotMatch")?,
        metageneration: number("ifMetagenerationMatch")?,
        metageneration_not: number("ifMetagenerationNotMatch")?,
    })
}

/// The `Content-Range` of a piece.
#[derive(Clone, Copy)]
struct Range {
    /// First and last.
    bytes: Option<(usize, usize)>,
    /// Where it is known.
    total: Option<usize>,
}

impl Range {
    fn parse(headers: &HeaderMap) -> Option<Range> {
        let text = headers.get("content-range")?.to_str().ok()?;
        let (bytes, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        let bytes = match bytes {
            "*" => None,
            bytes => {
                let (first, last) = bytes.split_once('-')?;
                let bytes: (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
                Some(bytes).filter(|(first, last)| first <= last)?.into()
            }
        };
        let total = match total {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        Some(Range { bytes, total })
    }
}

/// From, and up to but without; `None` beyond the end.
fn sought(range: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = match last {
        "" => total,
        last => last.parse::<usize>().ok()?.saturating_add(1).min(total),
    };
    let start = match first {
        "" => total - last.parse::<usize>().ok()?.min(total),
        first => first.parse().ok()?,
    };
    let end = if first.is_empty() { total } else { end };
    (start < total && start < end).then_some((start, end))
}
