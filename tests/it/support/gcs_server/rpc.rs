//! Everything that is no bytes: calls over gRPC.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use googleapis_tonic_google_storage_v2::google::storage::v2 as pb;
use hyper::Request;
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Response, Status};
use tonic_prost::ProstCodec;

use super::store::{
    Announced, Conditions, Headers, Refusal, Store, Stored, check_headers, check_name,
};
use super::upload::etag;
use super::{Answered, Call, Harm, Shared, broken, lock, refusal_of};

/// How the service names buckets.
const BUCKETS: &str = "projects/_/buckets/";

const PAGE_MAX: usize = 1000;

/// Larger objects are copied in two requests, as they are between places.
const COPIED_AT_ONCE_MAX: usize = 1 << 20;

/// One call: what it is about, and what it does.
struct Rpc<M, N> {
    shared: Arc<Shared>,
    is_known: bool,
    call: Call,
    bucket: fn(&M) -> &str,
    name: fn(&M) -> &str,
    carry_out: fn(&mut Store, &str, &M) -> Result<N, Refusal>,
    /// Set when there is to be no answer.
    is_lost: Arc<std::sync::atomic::AtomicBool>,
}

impl<M, N> UnaryService<M> for Rpc<M, N> {
    type Response = N;
    type Future = Ready<Result<Response<N>, Status>>;

    fn call(&mut self, request: tonic::Request<M>) -> Self::Future {
        let message = request.get_ref();
        let named = (self.bucket)(message);
        let harm = self.shared.note(self.call, (self.name)(message));
        if let Some(refusal) = harm.and_then(refusal_of) {
            return ready(Err(status_of(&refusal)));
        }
        if !self.is_known {
            return ready(Err(Status::unauthenticated("Invalid Credentials")));
        }
        // The service finds the bucket by this header before it reads the message.
        let routed = request.metadata().get("x-goog-request-params");
        let routed = routed
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let routed = percent_decode_str(routed).decode_utf8_lossy();
        if !routed.contains(named) {
            return ready(Err(Status::invalid_argument("no routing header")));
        }
        let Some(bucket) = named.strip_prefix(BUCKETS) else {
            return ready(Err(Status::invalid_argument("no name of a bucket")));
        };
        let answer = (self.carry_out)(&mut lock(&self.shared.store), bucket, message);
        if matches!(harm, Some(Harm::LoseAnswer | Harm::CutAfter(_))) {
            self.is_lost
                .store(true, std::sync::atomic::Ordering::Relaxed);
        }
        ready(match answer {
            Ok(answer) => Ok(Response::new(answer)),
            Err(refusal) => Err(status_of(&refusal)),
        })
    }
}

/// Carries out one call, whose five properties make it up.
macro_rules! carry_out {
    ($shared:expr, $is_known:expr, $request:expr, $call:expr, $bucket:expr, $name:expr, $body:expr) => {{
        let is_lost = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let rpc = Rpc {
            shared: Arc::clone($shared),
            is_known: $is_known,
            call: $call,
            bucket: $bucket,
            name: $name,
            carry_out: $body,
            is_lost: Arc::clone(&is_lost),
        };
        let answer = Grpc::new(ProstCodec::default()).unary(rpc, $request).await;
        match is_lost.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(broken()),
            false => Ok(answer),
        }
    }};
}

pub(super) async fn answer(
    method: &str,
    is_known: bool,
    request: Request<Incoming>,
    shared: &Arc<Shared>,
) -> Answered {
    match method {
        "GetBucket" => carry_out!(
            shared,
            is_known,
            request,
            Call::Bucket,
            |message: &pb::GetBucketRequest| &message.name,
            |message| &message.name,
            get_bucket
        ),
        "GetObject" => carry_out!(
            shared,
            is_known,
            request,
            Call::Describe,
            |message: &pb::GetObjectRequest| &message.bucket,
            |message| &message.object,
            get_object
        ),
        "ListObjects" => carry_out!(
            shared,
            is_known,
            request,
            Call::List,
            |message: &pb::ListObjectsRequest| &message.parent,
            |message| &message.prefix,
            list_objects
        ),
        "DeleteObject" => carry_out!(
            shared,
            is_known,
            request,
            Call::Delete,
            |message: &pb::DeleteObjectRequest| &message.bucket,
            |message| &message.object,
            delete_object
        ),
        "UpdateObject" => carry_out!(
            shared,
            is_known,
            request,
            Call::Update,
            |message: &pb::UpdateObjectRequest| object_of(message).1,
            |message| object_of(message).0,
            update_object
        ),
        "RewriteObject" => carry_out!(
            shared,
            is_known,
            request,
            Call::Rewrite,
            |message: &pb::RewriteObjectRequest| &message.destination_bucket,
            |message| &message.destination_name,
            rewrite_object
        ),
        _ => Ok(Status::unimplemented(method).into_http()),
    }
}

fn get_bucket(
    store: &mut Store,
    bucket: &str,
    _: &pb::GetBucketRequest,
) -> Result<pb::Bucket, Refusal> {
    let (retains, keeps_versions) = store.settings(bucket)?;
    Ok(pb::Bucket {
        name: format!("{BUCKETS}{bucket}"),
        bucket_id: bucket.to_owned(),
        versioning: Some(pb::bucket::Versioning {
            enabled: keeps_versions,
        }),
        retention_policy: retains.then(pb::bucket::RetentionPolicy::default),
        ..pb::Bucket::default()
    })
}

fn get_object(
    store: &mut Store,
    bucket: &str,
    message: &pb::GetObjectRequest,
) -> Result<pb::Object, Refusal> {
    let stored = store.find(bucket, &message.object)?;
    let conditions = Conditions {
        generation: message.if_generation_match,
        generation_not: message.if_generation_not_match,
        metageneration: message.if_metageneration_match,
        metageneration_not: message.if_metageneration_not_match,
    };
    conditions.check(Some(stored))?;
    Ok(object(bucket, &message.object, stored))
}

fn delete_object(
    store: &mut Store,
    bucket: &str,
    message: &pb::DeleteObjectRequest,
) -> Result<(), Refusal> {
    let conditions = Conditions {
        generation: message.if_generation_match,
        generation_not: message.if_generation_not_match,
        metageneration: message.if_metageneration_match,
        metageneration_not: message.if_metageneration_not_match,
    };
    store.delete(bucket, &message.object, conditions)
}

fn list_objects(
    store: &mut Store,
    bucket: &str,
    message: &pb::ListObjectsRequest,
) -> Result<pb::ListObjectsResponse, Refusal> {
    if !message.delimiter.is_empty() || message.versions {
        return Err(Refusal::new(501, "not for these tests"));
    }
    if let Some(left) = store.pages_left_empty.checked_sub(1) {
        store.pages_left_empty = left;
        let next_page_token = match message.page_token.as_str() {
            "" => "after:".to_owned(),
            token => token.to_owned(),
        };
        return Ok(pb::ListObjectsResponse {
            next_page_token,
            ..pb::ListObjectsResponse::default()
        });
    }
    let size = usize::try_from(message.page_size)
        .map_err(|_| Refusal::new(400, "Page size must not be negative."))?;
    let size = if size == 0 {
        PAGE_MAX
    } else {
        size.min(PAGE_MAX)
    };
    let mask = message.read_mask.as_ref().map(|mask| mask.paths.clone());
    let after = match message.page_token.as_str() {
        "" => None,
        token => Some(
            token
                .strip_prefix("after:")
                .ok_or_else(|| Refusal::new(400, "Invalid page token."))?,
        ),
    };
    let mut names = store.listed(bucket)?.iter().filter(|(name, _)| {
        name.starts_with(&message.prefix)
            && **name >= message.lexicographic_start
            && (message.lexicographic_end.is_empty() || **name < message.lexicographic_end)
            && after.is_none_or(|after| name.as_str() > after)
    });
    let mut page = pb::ListObjectsResponse::default();
    for (name, stored) in names.by_ref().take(size) {
        let whole = object(bucket, name, stored);
        page.objects.push(match &mask {
            None => whole,
            Some(paths) => masked(whole, paths)?,
        });
    }
    if names.next().is_some() {
        let last = page.objects.last().map(|object| object.name.clone());
        page.next_page_token = format!("after:{}", last.unwrap_or_default());
    }
    Ok(page)
}

fn update_object(
    store: &mut Store,
    bucket: &str,
    message: &pb::UpdateObjectRequest,
) -> Result<pb::Object, Refusal> {
    let given = message.object.clone().unwrap_or_default();
    let stored = store.find(bucket, &given.name)?;
    let conditions = Conditions {
        generation: message.if_generation_match,
        generation_not: message.if_generation_not_match,
        metageneration: message.if_metageneration_match,
        metageneration_not: message.if_metageneration_not_match,
    };
    conditions.check(Some(stored))?;
    let mut headers = stored.headers.clone();
    let paths = message.update_mask.as_ref().map(|mask| &mask.paths[..]);
    let paths = paths.filter(|paths| !paths.is_empty());
    for path in paths.ok_or_else(|| Refusal::new(400, "An update mask is required."))? {
        match path.as_str() {
            "content_type" => headers.content_type.clone_from(&given.content_type),
            "content_language" => headers.content_language.clone_from(&given.content_language),
            "content_disposition" => {
                headers
                    .content_disposition
                    .clone_from(&given.content_disposition);
            }
            "cache_control" => headers.cache_control.clone_from(&given.cache_control),
            "metadata" => headers.metadata = given.metadata.clone().into_iter().collect(),
            _ => {
                return Err(Refusal::new(
                    400,
                    format!("Invalid update mask path: {path}"),
                ));
            }
        }
    }
    check_headers(&headers)?;
    let objects = store.objects_mut(bucket).expect("it was just found in it");
    let stored = objects.get_mut(&given.name).expect("it was just found");
    stored.headers = headers;
    stored.metageneration += 1;
    Ok(object(bucket, &given.name, stored))
}

fn rewrite_object(
    store: &mut Store,
    bucket: &str,
    message: &pb::RewriteObjectRequest,
) -> Result<pb::RewriteResponse, Refusal> {
    let (from, to) = (&message.source_object, &message.destination_name);
    let from_bucket = message
        .source_bucket
        .strip_prefix(BUCKETS)
        .unwrap_or_default();
    let mut copy = store.find(from_bucket, from)?.clone();
    check_name(to)?;
    let conditions = Conditions {
        generation: message.if_source_generation_match,
        generation_not: message.if_source_generation_not_match,
        metageneration: message.if_source_metageneration_match,
        metageneration_not: message.if_source_metageneration_not_match,
    };
    conditions.check(Some(&copy))?;
    let conditions = Conditions {
        generation: message.if_generation_match,
        generation_not: message.if_generation_not_match,
        metageneration: message.if_metageneration_match,
        metageneration_not: message.if_metageneration_not_match,
    };
    conditions.check(store.listed(bucket)?.get(to))?;
    if let Some(sums) = &message.object_checksums {
        let announced = Announced {
            crc32c: sums.crc32c,
            md5: Some(sums.md5_hash.to_vec()).filter(|md5| !md5.is_empty()),
        };
        announced.check(&copy)?;
    }
    if let Some(given) = &message.destination {
        if !given.name.is_empty() || !given.bucket.is_empty() {
            let problem = "The destination's name and bucket stand beside it, not in it.";
            return Err(Refusal::new(400, problem));
        }
        copy.headers = headers(given);
        check_headers(&copy.headers)?;
    }
    let size = i64::try_from(copy.data.len()).expect("it fits in memory");
    let about = (from.clone(), to.clone(), copy.generation);
    if message.rewrite_token.is_empty() && copy.data.len() > COPIED_AT_ONCE_MAX {
        let token = format!("rewrite-{}", store.next_number());
        store.rewrites.insert(token.clone(), about);
        return Ok(pb::RewriteResponse {
            total_bytes_rewritten: size / 2,
            object_size: size,
            done: false,
            rewrite_token: token,
            resource: None,
        });
    }
    let begun = store.rewrites.remove(&message.rewrite_token);
    if !message.rewrite_token.is_empty() && begun != Some(about) {
        return Err(Refusal::new(
            400,
            "The rewrite token is not of this request.",
        ));
    }
    let stored = store.replace(bucket, to, copy)?;
    Ok(pb::RewriteResponse {
        total_bytes_rewritten: size,
        object_size: size,
        done: true,
        rewrite_token: String::new(),
        resource: Some(object(bucket, to, &stored)),
    })
}

/// Name and bucket of the object that an update is about.
fn object_of(message: &pb::UpdateObjectRequest) -> (&str, &str) {
    let object = message.object.as_ref();
    object.map_or(("", ""), |object| (&object.name, &object.bucket))
}

fn headers(given: &pb::Object) -> Headers {
    Headers {
        content_type: given.content_type.clone(),
        content_language: given.content_language.clone(),
        content_disposition: given.content_disposition.clone(),
        content_encoding: given.content_encoding.clone(),
        cache_control: given.cache_control.clone(),
        storage_class: match given.storage_class.as_str() {
            "" => super::store::STANDARD.to_owned(),
            class => class.to_owned(),
        },
        metadata: given.metadata.clone().into_iter().collect(),
    }
}

fn object(bucket: &str, name: &str, stored: &Stored) -> pb::Object {
    let headers = &stored.headers;
    pb::Object {
        name: name.to_owned(),
        bucket: format!("{BUCKETS}{bucket}"),
        etag: etag(stored),
        generation: stored.generation,
        metageneration: stored.metageneration,
        size: i64::try_from(stored.data.len()).expect("it fits in memory"),
        storage_class: headers.storage_class.clone(),
        content_type: headers.content_type.clone(),
        content_language: headers.content_language.clone(),
        content_disposition: headers.content_disposition.clone(),
        content_encoding: headers.content_encoding.clone(),
        cache_control: headers.cache_control.clone(),
        metadata: headers.metadata.clone().into_iter().collect(),
        checksums: Some(pb::ObjectChecksums {
            crc32c: Some(stored.crc32c),
            md5_hash: stored.md5.map(|md5| md5.to_vec()).unwrap_or_default(),
        }),
        ..pb::Object::default()
    }
}

/// What a listing shows of an object when it is asked for these fields.
fn masked(whole: pb::Object, paths: &[String]) -> Result<pb::Object, Refusal> {
    let mut shown = pb::Object::default();
    for path in paths {
        match path.as_str() {
            "*" => return Ok(whole),
            "name" => shown.name.clone_from(&whole.name),
            "size" => shown.size = whole.size,
            "checksums" => shown.checksums.clone_from(&whole.checksums),
            "generation" => shown.generation = whole.generation,
            "metadata" => shown.metadata.clone_from(&whole.metadata),
            _ => return Err(Refusal::new(400, format!("Invalid read mask path: {path}"))),
        }
    }
    Ok(shown)
}

fn status_of(refusal: &Refusal) -> Status {
    let code = match refusal.status {
        400 | 413 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        412 => Code::FailedPrecondition,
        416 => Code::OutOfRange,
        429 => Code::ResourceExhausted,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Unknown,
    };
    let mut status = Status::new(code, &refusal.message);
    if let Some(seconds) = refusal.after {
        let seconds = Duration::from_secs(seconds).as_secs();
        status.metadata_mut().insert("retry-after", seconds.into());
    }
    status
}
