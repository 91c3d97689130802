//! What the object of an outcome looks like in a tier: its body, metadata and fingerprint.

use bytes::Bytes;

use crate::content::{ContentHash, KeptHeaders, digest};
use crate::manifest::{Entry, Outcome};
use crate::site::PageUrl;
use crate::tier::{ObjectMeta, Provenance};

/// A live outcome of one URL, as an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub meta: ObjectMeta,
    /// The body, where it is a pure function of the outcome; otherwise it is the blob of that hash.
    pub source: Source,
}

/// Where an object's body comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Blob(ContentHash),
    Inline(Bytes),
}

impl Object {
    /// The object for an entry; none when there is to be no object.
    pub fn of(url: &PageUrl, entry: &Entry) -> Option<Object> {
        let provenance = |canonical, rules| {
            Some(Provenance {
                canonical,
                rules,
                generation: entry.changed.0,
                fetched: entry.fetched,
            })
        };
        match &entry.outcome {
            Outcome::Page(page) => Some(Object {
                meta: ObjectMeta {
                    url: url.clone(),
                    content: page.content,
                    crc32c: page.crc32c,
                    size: page.size,
                    status: page.status,
                    location: None,
                    headers: page.headers.clone(),
                    provenance: provenance(page.canonical, page.rules),
                },
                source: Source::Blob(page.content),
            }),
            Outcome::Redirect(redirect) => {
                let mut object = Object::redirect(url, redirect.status, &redirect.target);
                object.meta.provenance = provenance(object.meta.content, 0);
                Some(object)
            }
            Outcome::Gone(_) => None,
        }
    }

    fn redirect(url: &PageUrl, status: u16, target: &str) -> Object {
        let body = redirect_page(target);
        let digest = digest(&body);
        let html = ("content-type", b"text/html; charset=utf-8".as_slice());
        Object {
            meta: ObjectMeta {
                url: url.clone(),
                content: digest.content,
                crc32c: digest.crc32c,
                size: digest.size,
                status,
                location: Some(target.to_owned()),
                headers: KeptHeaders::keep(std::iter::once(html)),
                provenance: None,
            },
            source: Source::Inline(body),
        }
    }

    /// Identifies what a reader is served, body and headers together: equal fingerprints need no
    /// operation. Where it comes from is no part of it: that alone is no reason to write.
    pub fn fingerprint(&self) -> [u8; 16] {
        let meta = &self.meta;
        let mut hasher = blake3::Hasher::new();
        let mut field = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        field(meta.content.as_bytes());
        field(meta.url.as_str().as_bytes());
        field(&meta.status.to_le_bytes());
        field(meta.location.as_deref().unwrap_or_default().as_bytes());
        for (name, value) in meta.headers.iter() {
            field(name.as_bytes());
            field(value.as_bytes());
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        short
    }

    /// True for what pages use: such objects go first, so that no page is ever without its style.
    pub fn is_asset(&self) -> bool {
        let kind = self.meta.headers.content_type().unwrap_or_default();
        self.meta.location.is_none() && !kind.to_ascii_lowercase().contains("html")
    }
}

/// The page that stands for a redirect in a bucket: the real status and target are in the object's
/// metadata, this is for who meets the bare object. A pure function of the target.
pub fn redirect_page(target: &str) -> Bytes {
    let escaped = target
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;");
    Bytes::from(format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>Moved</title>\n\
         <meta http-equiv=\"refresh\" content=\"0; url={escaped}\">\n\
         <link rel=\"canonical\" href=\"{escaped}\">\n\
         <p>This page has moved to <a href=\"{escaped}\">{escaped}</a>.</p>\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redirect_page_is_a_pure_function_of_its_target() {
        // Promise: the bytes never change between versions, or every redirect would be uploaded again.
        let page = redirect_page("https://x.test/a?b=1&c=\"<>");
        assert_eq!(page, redirect_page("https://x.test/a?b=1&c=\"<>"));
        let known = "65d34f";
        let hash = ContentHash::of(&redirect_page("https://x.test/")).to_string();
        assert_eq!(&hash[..6], known);
    }
}
