//! The objects, and what the service asks of them: names, metadata, digests, conditions, retention.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use md5::Digest as _;

/// What the service says no with.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub status: u16,
    pub message: String,
    /// How many seconds to wait.
    pub after: Option<u64>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
            after: None,
        }
    }
}

/// An object with everything that a put may set.
#[derive(Clone, Debug)]
pub struct Stored {
    pub data: Bytes,
    pub headers: Headers,
    pub generation: i64,
    pub metageneration: i64,
    pub crc32c: u32,
    /// An object composed of others has none.
    pub md5: Option<[u8; 16]>,
}

#[derive(Clone, Default, Debug)]
pub struct Headers {
    pub content_type: String,
    pub content_language: String,
    pub content_disposition: String,
    pub content_encoding: String,
    pub cache_control: String,
    pub storage_class: String,
    pub metadata: BTreeMap<String, String>,
}

/// What must be true of the object that a request is about.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Conditions {
    pub generation: Option<i64>,
    pub generation_not: Option<i64>,
    pub metageneration: Option<i64>,
    pub metageneration_not: Option<i64>,
}

/// Digests that a sender announces.
#[derive(Clone, Default, Debug)]
pub(super) struct Announced {
    pub crc32c: Option<u32>,
    pub md5: Option<Vec<u8>>,
}

/// An upload in pieces.
#[derive(Clone)]
pub(super) struct Upload {
    pub bucket: String,
    pub name: String,
    pub headers: Headers,
    pub announced: Announced,
    pub conditions: Conditions,
    pub data: Vec<u8>,
    /// What came of it.
    pub stored: Option<Stored>,
}

#[derive(Default)]
struct Bucket {
    objects: BTreeMap<String, Stored>,
    held: BTreeSet<String>,
    retains: bool,
    keeps_versions: bool,
}

#[derive(Default)]
pub(super) struct Store {
    buckets: BTreeMap<String, Bucket>,
    uploads: BTreeMap<String, Upload>,
    /// Copies that have not come to their end: what they are about, by token.
    pub rewrites: BTreeMap<String, (String, String, i64)>,
    /// So many pages of listings are empty and have others behind them.
    pub pages_left_empty: usize,
    /// The last number that was given out.
    numbers: i64,
}

pub(super) const STANDARD: &str = "STANDARD";

impl Stored {
    pub fn of(data: Bytes) -> Stored {
        Stored {
            crc32c: crc32c(&data),
            md5: Some(md5::Md5::digest(&data).into()),
            data,
            headers: Headers {
                storage_class: STANDARD.into(),
                ..Headers::default()
            },
            generation: 0,
            metageneration: 1,
        }
    }
}

impl Store {
    pub fn objects(&self, bucket: &str) -> Option<&BTreeMap<String, Stored>> {
        self.buckets.get(bucket).map(|bucket| &bucket.objects)
    }

    pub fn objects_mut(&mut self, bucket: &str) -> Option<&mut BTreeMap<String, Stored>> {
        let bucket = self.buckets.get_mut(bucket);
        bucket.map(|bucket| &mut bucket.objects)
    }

    /// The objects of a bucket, or what the service says when there is none.
    pub fn listed(&self, bucket: &str) -> Result<&BTreeMap<String, Stored>, Refusal> {
        self.objects(bucket).ok_or_else(no_bucket)
    }

    pub fn find(&self, bucket: &str, name: &str) -> Result<&Stored, Refusal> {
        let found = self.listed(bucket)?.get(name);
        found.ok_or_else(|| Refusal::new(404, format!("No such object: {bucket}/{name}")))
    }

    /// Whether the bucket has a retention policy, and whether it keeps versions.
    pub fn settings(&self, bucket: &str) -> Result<(bool, bool), Refusal> {
        let bucket = self.buckets.get(bucket).ok_or_else(no_bucket)?;
        Ok((bucket.retains, bucket.keeps_versions))
    }

    pub fn clear(&mut self, bucket: &str) {
        self.buckets.insert(bucket.to_owned(), Bucket::default());
    }

    pub fn drop_bucket(&mut self, bucket: &str) {
        self.buckets.remove(bucket);
    }

    pub fn retain(&mut self, bucket: &str) {
        self.bucket(bucket).retains = true;
    }

    pub fn hold(&mut self, bucket: &str, name: &str) {
        self.bucket(bucket).held.insert(name.to_owned());
    }

    pub fn keep_versions(&mut self, bucket: &str) {
        self.bucket(bucket).keeps_versions = true;
    }

    pub fn open_uploads(&self) -> usize {
        let open = self
            .uploads
            .values()
            .filter(|upload| upload.stored.is_none());
        open.count()
    }

    pub fn begin(&mut self, upload: Upload) -> Result<String, Refusal> {
        self.listed(&upload.bucket)?;
        check_name(&upload.name)?;
        check_headers(&upload.headers)?;
        let id = format!("upload-{}", self.next_number());
        self.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    pub fn upload(&mut self, id: &str) -> Result<&mut Upload, Refusal> {
        let upload = self.uploads.get_mut(id);
        upload.ok_or_else(|| Refusal::new(410, "The upload has gone"))
    }

    /// Verifies and stores in one step. A wrong upload is over; its object never was.
    pub fn end(&mut self, id: &str) -> Result<Stored, Refusal> {
        let upload = self.upload(id)?.clone();
        let put = self.put(
            &upload.bucket,
            &upload.name,
            upload.data.into(),
            upload.headers,
            &upload.announced,
            upload.conditions,
        );
        match put {
            Ok(stored) => {
                let upload = self.upload(id)?;
                upload.data = Vec::new();
                upload.stored = Some(stored.clone());
                Ok(stored)
            }
            Err(refusal) => {
                self.uploads.remove(id);
                Err(refusal)
            }
        }
    }

    /// Verifies and stores in one step.
    pub fn put(
        &mut self,
        bucket: &str,
        name: &str,
        data: Bytes,
        headers: Headers,
        announced: &Announced,
        conditions: Conditions,
    ) -> Result<Stored, Refusal> {
        check_name(name)?;
        check_headers(&headers)?;
        let mut stored = Stored::of(data);
        announced.check(&stored)?;
        conditions.check(self.listed(bucket)?.get(name))?;
        let class = stored.headers.storage_class;
        stored.headers = headers;
        if stored.headers.storage_class.is_empty() {
            stored.headers.storage_class = class;
        }
        self.replace(bucket, name, stored)
    }

    /// Gives an object its generation and its place.
    pub fn replace(
        &mut self,
        bucket: &str,
        name: &str,
        mut stored: Stored,
    ) -> Result<Stored, Refusal> {
        stored.generation = self.next_number();
        stored.metageneration = 1;
        let kept = self.buckets.get_mut(bucket).ok_or_else(no_bucket)?;
        if kept.retains && kept.objects.contains_key(name) {
            return Err(retained(bucket, name));
        }
        if kept.held.contains(name) {
            return Err(held(bucket, name));
        }
        kept.objects.insert(name.to_owned(), stored.clone());
        Ok(stored)
    }

    pub fn delete(
        &mut self,
        bucket: &str,
        name: &str,
        conditions: Conditions,
    ) -> Result<(), Refusal> {
        conditions.check(Some(self.find(bucket, name)?))?;
        let kept = self.bucket(bucket);
        if kept.retains {
            return Err(retained(bucket, name));
        }
        if kept.held.contains(name) {
            return Err(held(bucket, name));
        }
        kept.objects.remove(name);
        Ok(())
    }

    /// Generations grow, as those of the service do.
    pub fn next_number(&mut self) -> i64 {
        self.numbers += 1;
        1_795_258_000_000_000 + self.numbers
    }

    fn bucket(&mut self, bucket: &str) -> &mut Bucket {
        self.buckets
            .get_mut(bucket)
            .expect("there is such a bucket")
    }
}

impl Announced {
    pub fn check(&self, stored: &Stored) -> Result<(), Refusal> {
        if let Some(announced) = self.crc32c.filter(|crc32c| *crc32c != stored.crc32c) {
            return Err(Refusal::new(
                400,
                format!(
                    "Provided CRC32C \"{announced:08x}\" doesn't match calculated CRC32C \"{:08x}\".",
                    stored.crc32c
                ),
            ));
        }
        let is_wrong = |md5: &Vec<u8>| stored.md5.is_some_and(|found| md5[..] != found[..]);
        if self.md5.as_ref().is_some_and(is_wrong) {
            let problem = "Provided MD5 hash doesn't match calculated MD5 hash.";
            return Err(Refusal::new(400, problem));
        }
        Ok(())
    }
}

impl Conditions {
    pub fn check(&self, found: Option<&Stored>) -> Result<(), Refusal> {
        // What is absent has generation 0.
        let generation = found.map_or(0, |stored| stored.generation);
        let metageneration = found.map_or(0, |stored| stored.metageneration);
        let holds = self.generation.is_none_or(|wanted| wanted == generation)
            && self.generation_not.is_none_or(|other| other != generation)
            && self
                .metageneration
                .is_none_or(|wanted| wanted == metageneration)
            && self
                .metageneration_not
                .is_none_or(|other| other != metageneration);
        match holds {
            true => Ok(()),
            false => Err(Refusal::new(
                412,
                "At least one of the pre-conditions you specified did not hold.",
            )),
        }
    }
}

pub(super) fn crc32c(data: &[u8]) -> u32 {
    standin::content::digest(data).crc32c
}

fn no_bucket() -> Refusal {
    Refusal::new(404, "The specified bucket does not exist.")
}

fn retained(bucket: &str, name: &str) -> Refusal {
    Refusal::new(
        403,
        format!(
            "Object '{bucket}/{name}' is subject to bucket's retention policy or object retention and cannot be deleted or overwritten until 2030-01-01T00:00:00Z"
        ),
    )
}

fn held(bucket: &str, name: &str) -> Refusal {
    let problem = format!(
        "Object '{bucket}/{name}' is under active Temporary hold and cannot be deleted, overwritten or archived until hold is removed."
    );
    Refusal::new(403, problem)
}

/// What the documentation of object names demands.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let is_reserved = matches!(name, "" | "." | "..")
        || name.starts_with(".well-known/acme-challenge/")
        || name.contains(['\r', '\n']);
    match is_reserved || name.len() > 1024 {
        true => Err(Refusal::new(
            400,
            format!("Disallowed object name: {name:?}"),
        )),
        false => Ok(()),
    }
}

pub(super) fn check_headers(headers: &Headers) -> Result<(), Refusal> {
    let weight = |(name, value): (&String, &String)| name.len() + value.len();
    if headers.metadata.iter().map(weight).sum::<usize>() > 8 * 1024 {
        return Err(Refusal::new(400, "Metadata part is too large."));
    }
    if headers.content_language.len() > 100 {
        return Err(Refusal::new(400, "Invalid Content-Language."));
    }
    let classes = ["", STANDARD, "NEARLINE", "COLDLINE", "ARCHIVE"];
    match classes.contains(&headers.storage_class.as_str()) {
        true => Ok(()),
        false => Err(Refusal::new(400, "Invalid storage class.")),
    }
}
