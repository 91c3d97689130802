//! The character set of a document: how the bytes of its links are read, and in which bytes a query that
//! is not ASCII is sent.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8};

/// An encoding of the WHATWG standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset(&'static Encoding);

impl Charset {
    pub const UTF_8: Charset = Charset(UTF_8);

    /// Its name as the standard writes it, such as `windows-1252`.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The bytes in which the text of a query is sent from such a document (URL standard, section 4.4:
    /// "percent-encode after encoding"); those of UTF-8 from documents in UTF-8 and UTF-16.
    pub fn query_bytes(self, text: &str) -> Cow<'_, [u8]> {
        self.0.output_encoding().encode(text).0
    }
}
