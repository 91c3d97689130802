//! All that is known of an object, as one line of JSON: the side file of a directory tier, and in a
//! bucket the small object that holds what does not fit into the metadata of the object itself.
//! Format 1. A file that is cut, of another format or of another key is no record at all, and
//! the object beside it counts as unknown (its ETag is listed as empty), so it is written again.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::content::{ContentHash, KeptHeaders};
use crate::site::{ObjectKey, PageUrl};
use crate::tier::{ObjectMeta, Provenance};

const FORMAT: u8 = 1;

/// The whole side file. `etag` is the BLAKE3 of the body as it was written and checked.
#[derive(Serialize, Deserialize)]
pub struct Record {
    format: u8,
    key: ObjectKey,
    pub etag: String,
    url: PageUrl,
    content: ContentHash,
    crc32c: u32,
    pub size: u64,
    status: u16,
    location: Option<String>,
    headers: KeptHeaders,
    /// Unknown to the first version, which skips it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
}

impl Record {
    pub fn new(key: &ObjectKey, meta: &ObjectMeta) -> Record {
        Record {
            format: FORMAT,
            key: key.clone(),
            etag: meta.content.to_string(),
            url: meta.url.clone(),
            content: meta.content,
            crc32c: meta.crc32c,
            size: meta.size,
            status: meta.status,
            location: meta.location.clone(),
            headers: meta.headers.clone(),
            provenance: meta.provenance,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always become JSON")
    }

    pub fn decode(bytes: &[u8], key: &ObjectKey) -> Option<Record> {
        let record: Record = serde_json::from_slice(bytes).ok()?;
        (record.format == FORMAT && record.key == *key).then_some(record)
    }

    pub fn into_meta(self) -> ObjectMeta {
        ObjectMeta {
            url: self.url,
            content: self.content,
            crc32c: self.crc32c,
            size: self.size,
            status: self.status,
            location: self.location,
            headers: self.headers,
            provenance: self.provenance,
        }
    }
}

/// What a listing needs of a side file, without building the rest.
#[derive(Deserialize)]
pub struct Stamp<'a> {
    format: u8,
    #[serde(borrow)]
    pub key: Cow<'a, str>,
    #[serde(borrow)]
    pub etag: Cow<'a, str>,
    /// Of the body as it was written.
    pub size: u64,
}

impl<'a> Stamp<'a> {
    pub fn decode(bytes: &'a [u8]) -> Option<Stamp<'a>> {
        let stamp: Stamp = serde_json::from_slice(bytes).ok()?;
        (stamp.format == FORMAT).then_some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_1_is_read_and_written_as_ever() {
        // Persisted bytes are promises: these were written by the first version.
        let golden = br#"{"format":1,"key":"h/a","etag":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","url":"https://h/a","content":"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262","crc32c":0,"size":0,"status":200,"location":null,"headers":[["content-type","text/html"]]}"#;
        let key = ObjectKey::parse("h/a").expect("a key");
        let record = Record::decode(golden, &key).expect("whole");
        assert_eq!(record.encode(), golden);
        assert_eq!(Stamp::decode(golden).expect("whole").key, "h/a");
    }

    #[test]
    fn a_cut_or_foreign_side_file_is_no_record() {
        // A crash in the middle of writing, or another key's file, never lends its ETag.
        let key = ObjectKey::parse("h/a").expect("a key");
        let meta = ObjectMeta {
            url: PageUrl::parse("https://h/a").expect("a URL"),
            content: ContentHash::of(b""),
            crc32c: 0,
            size: 0,
            status: 200,
            location: None,
            headers: KeptHeaders::default(),
            provenance: None,
        };
        let bytes = Record::new(&key, &meta).encode();
        for end in 0..bytes.len() {
            assert!(Record::decode(&bytes[..end], &key).is_none());
            assert!(Stamp::decode(&bytes[..end]).is_none());
        }
        assert!(Record::decode(&bytes, &ObjectKey::parse("h/b").expect("a key")).is_none());
    }
}
