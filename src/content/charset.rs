//! The character set of a document: how the bytes of its links are read, and in which bytes a query that
//! is not ASCII is sent.
//!
//! A byte order mark comes first, then the header, then what the document says of itself in its first bytes.
//! HTML that says nothing is UTF-8 when it reads as such, and else windows-1252, as browsers have it. In nearly all
//! encodings markup stands in ASCII, so that a document is scanned as it came and only its values are decoded; in
//! the few others it is decoded as a whole first.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252, X_USER_DEFINED};
use memchr::memmem;

use super::{Kind, is_space, skip_space};

/// So far into a document its own word on its encoding counts (HTML standard, "prescan a byte stream").
const PRESCAN_BYTES: usize = 1024;

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

    /// The encoding of a body.
    pub(super) fn of(kind: Kind, body: &[u8], content_type: Option<&str>) -> Charset {
        if let Some((encoding, _)) = Encoding::for_bom(body) {
            return Charset(encoding);
        }
        let said = content_type.and_then(of_header).or_else(|| match kind {
            Kind::Html => prescan(body),
            Kind::Css => of_sheet(body),
            Kind::Xml => of_declaration(body),
            _ => None,
        });
        match said {
            Some(encoding) => Charset(encoding),
            None if kind == Kind::Html && std::str::from_utf8(body).is_err() => {
                Charset(WINDOWS_1252)
            }
            None => Charset::UTF_8,
        }
    }

    /// Whether ASCII characters are the same bytes here, and no others.
    pub(super) fn is_ascii_compatible(self) -> bool {
        self.0.is_ascii_compatible()
    }

    /// The text of a whole document in UTF-8. Nothing is copied of one that is UTF-8, broken or not, or ASCII.
    pub(super) fn document(self, body: &[u8]) -> Cow<'_, [u8]> {
        if self.is_plain(body) {
            return Cow::Borrowed(body);
        }
        let (text, _) = self.0.decode_with_bom_removal(body);
        Cow::Owned(text.into_owned().into_bytes())
    }

    /// The same for a value out of the middle of one.
    pub(super) fn value(self, value: &[u8]) -> Cow<'_, [u8]> {
        if self.is_plain(value) {
            return Cow::Borrowed(value);
        }
        let (text, _) = self.0.decode_without_bom_handling(value);
        Cow::Owned(text.into_owned().into_bytes())
    }

    fn is_plain(self, bytes: &[u8]) -> bool {
        self.0 == UTF_8 || (self.is_ascii_compatible() && bytes.is_ascii())
    }
}

/// An encoding by one of its labels. Those that browsers refuse to decode, since they were used to smuggle
/// scripts, are none: ASCII can be read in such a document all the same.
fn labelled(label: &[u8]) -> Option<&'static Encoding> {
    Encoding::for_label_no_replacement(label)
}

/// The `charset` parameter of a `Content-Type`.
fn of_header(content_type: &str) -> Option<&'static Encoding> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| labelled(value.trim().trim_matches(['"', '\'']).as_bytes()))?
    })
}

/// What a document that could be read so far says of itself: it cannot be in UTF-16 then.
fn readable(encoding: &'static Encoding) -> &'static Encoding {
    match encoding {
        utf_16 if !utf_16.is_ascii_compatible() && utf_16.output_encoding() == UTF_8 => UTF_8,
        encoding if encoding == X_USER_DEFINED => WINDOWS_1252,
        encoding => encoding,
    }
}

/// `@charset "…";` at the very start of a style sheet.
fn of_sheet(body: &[u8]) -> Option<&'static Encoding> {
    let rest = body.strip_prefix(b"@charset \"")?;
    let rest = &rest[..rest.len().min(PRESCAN_BYTES)];
    let end = memmem::find(rest, b"\";")?;
    labelled(&rest[..end]).map(readable)
}

/// The `encoding` of an XML declaration.
fn of_declaration(body: &[u8]) -> Option<&'static Encoding> {
    let head = &body[..body.len().min(PRESCAN_BYTES)];
    let rest = head.strip_prefix(b"<?xml")?;
    let end = memchr::memchr(b'>', rest)?;
    let declaration = &rest[..end];
    let at = memmem::find(declaration, b"encoding")? + b"encoding".len();
    let label = quoted_value(declaration, at)?;
    labelled(label).map(readable)
}

/// The value behind an equals sign at or after `at`.
fn quoted_value(text: &[u8], at: usize) -> Option<&[u8]> {
    let equals = skip_space(text, at.min(text.len()));
    if text.get(equals) != Some(&b'=') {
        return None;
    }
    let start = skip_space(text, equals + 1);
    match text.get(start)? {
        quote @ (b'"' | b'\'') => {
            let value = &text[start + 1..];
            Some(&value[..memchr::memchr(*quote, value)?])
        }
        _ => {
            let is_end = |byte: &u8| is_space(*byte) || matches!(byte, b';' | b'>');
            let value = &text[start..];
            Some(&value[..value.iter().position(is_end).unwrap_or(value.len())])
        }
    }
}

/// The HTML standard's prescan: the first `<meta>` outside comments that names an encoding; or the XML
/// declaration, as browsers have come to do.
fn prescan(body: &[u8]) -> Option<&'static Encoding> {
    let head = &body[..body.len().min(PRESCAN_BYTES)];
    if let Some(encoding) = of_declaration(body) {
        return Some(encoding);
    }
    let mut at = 0;
    while let Some(distance) = memchr::memchr(b'<', &head[at..]) {
        let open = at + distance;
        let rest = &head[open..];
        if rest.starts_with(b"<!--") {
            // The dashes that open a comment may close it.
            at = memmem::find(&head[open + 2..], b"-->").map(|length| open + 2 + length + 3)?;
            continue;
        }
        let is_meta = rest.len() > 5
            && rest[1..5].eq_ignore_ascii_case(b"meta")
            && (is_space(rest[5]) || rest[5] == b'/');
        match rest.get(1) {
            Some(letter) if letter.is_ascii_alphabetic() => {
                let mut said = Said::default();
                at = attributes(head, open, |name, value| said.take(name, value))?;
                if is_meta && let Some(encoding) = said.encoding() {
                    return Some(readable(encoding));
                }
            }
            Some(b'/') if rest.get(2).is_some_and(u8::is_ascii_alphabetic) => {
                at = attributes(head, open + 1, |_, _| {})?;
            }
            Some(b'!' | b'/' | b'?') => at = open + memchr::memchr(b'>', rest)?,
            _ => at = open + 1,
        }
    }
    None
}

/// What the attributes of one `<meta>` say.
#[derive(Default)]
struct Said {
    charset: Option<Option<&'static Encoding>>,
    content: Option<Option<&'static Encoding>>,
    is_content_type: bool,
}

impl Said {
    fn take(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"charset") && self.charset.is_none() {
            self.charset = Some(labelled(value));
        } else if name.eq_ignore_ascii_case(b"content") && self.content.is_none() {
            self.content = Some(of_content(value));
        } else if name.eq_ignore_ascii_case(b"http-equiv") {
            self.is_content_type |= value.eq_ignore_ascii_case(b"content-type");
        }
    }

    fn encoding(&self) -> Option<&'static Encoding> {
        match self.charset {
            Some(encoding) => encoding,
            None if self.is_content_type => self.content.flatten(),
            None => None,
        }
    }
}

/// The `charset=` inside the `content` of a `<meta>`.
fn of_content(content: &[u8]) -> Option<&'static Encoding> {
    let mut at = 0;
    loop {
        let rest = content.get(at..)?;
        let found = rest
            .windows(b"charset".len())
            .position(|word| word.eq_ignore_ascii_case(b"charset"))?;
        at += found + b"charset".len();
        if let Some(label) = quoted_value(content, at) {
            return labelled(label);
        }
    }
}

/// Hands over the attributes of the tag that opens at `open`; returns where its `>` stands.
fn attributes(head: &[u8], open: usize, mut take: impl FnMut(&[u8], &[u8])) -> Option<usize> {
    let is_name_end = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>');
    let mut at = open + 1 + head[open + 1..].iter().position(is_name_end)?;
    loop {
        let is_between = |byte: &&u8| is_space(**byte) || **byte == b'/';
        at += head[at..].iter().take_while(is_between).count();
        if *head.get(at)? == b'>' {
            return Some(at);
        }
        let is_end = |byte: &u8| is_name_end(byte) || *byte == b'=';
        let end = at + 1 + head[at + 1..].iter().position(is_end)?;
        let name = &head[at..end];
        let equals = skip_space(head, end);
        if head.get(equals) != Some(&b'=') {
            take(name, b"");
            at = equals;
            continue;
        }
        let start = skip_space(head, equals + 1);
        let value = match head.get(start)? {
            quote @ (b'"' | b'\'') => {
                let length = memchr::memchr(*quote, &head[start + 1..])?;
                at = start + 1 + length + 1;
                &head[start + 1..start + 1 + length]
            }
            _ => {
                let is_end = |byte: &u8| is_space(*byte) || *byte == b'>';
                at = start + head[start..].iter().position(is_end)?;
                &head[start..at]
            }
        };
        take(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // long: a table
    #[test]
    fn the_mark_comes_before_the_header_and_the_header_before_the_document() {
        // Each row: kind, header, body, the encoding.
        let utf_8_mark = "\u{feff}<meta charset=latin1>";
        let rows: &[(Kind, Option<&str>, &[u8], &str)] = &[
            (
                Kind::Html,
                Some("text/html; charset=koi8-r"),
                utf_8_mark.as_bytes(),
                "UTF-8",
            ),
            (
                Kind::Html,
                Some("text/html;x=y; Charset=\"KOI8-R\""),
                b"<meta charset=latin1>",
                "KOI8-R",
            ),
            (
                Kind::Html,
                Some("text/html; charset=nonsense"),
                b"<meta charset=latin1>",
                "windows-1252",
            ),
            (Kind::Html, None, b"\xff\xfea\0", "UTF-16LE"),
            (Kind::Html, None, b"\xfe\xff\0a", "UTF-16BE"),
            (
                Kind::Html,
                Some("text/html; charset=utf-16be"),
                b"\0a",
                "UTF-16BE",
            ),
            (Kind::Html, None, b"caf\xc3\xa9", "UTF-8"),
            (Kind::Html, None, b"caf\xe9", "windows-1252"),
            (Kind::Html, None, b"<meta charset=shift_jis>", "Shift_JIS"),
            (Kind::Html, None, b"<META/charset='gb2312'>", "GBK"),
            (
                Kind::Html,
                None,
                b"<meta http-equiv=Content-Type content='text/html; charset = \"big5\"'>",
                "Big5",
            ),
            (
                Kind::Html,
                None,
                b"<meta content='x;charset=euc-kr' http-equiv=content-type>",
                "EUC-KR",
            ),
            (
                Kind::Html,
                None,
                b"<meta content='text/html;charset=big5'>",
                "UTF-8",
            ),
            (
                Kind::Html,
                None,
                b"<!-- <meta charset=big5> --><p title='<meta charset=big5>'>",
                "UTF-8",
            ),
            (Kind::Html, None, b"<!--><meta charset=big5>", "Big5"),
            (
                Kind::Html,
                None,
                b"<metal charset=big5><meta charset=latin1>",
                "windows-1252",
            ),
            (Kind::Html, None, b"<meta charset=utf-16>", "UTF-8"),
            (
                Kind::Html,
                None,
                b"<meta charset=iso-2022-jp>",
                "ISO-2022-JP",
            ),
            (Kind::Html, None, b"<meta charset=iso-2022-kr>", "UTF-8"),
            (
                Kind::Html,
                None,
                b"<?xml version='1.0' encoding='koi8-u'?><html>",
                "KOI8-U",
            ),
            (
                Kind::Xml,
                None,
                b"<?xml version='1.0' encoding=\"iso-8859-15\"?><x/>",
                "ISO-8859-15",
            ),
            (
                Kind::Xml,
                Some("text/xml;charset=utf-8"),
                b"<?xml encoding='big5'?>",
                "UTF-8",
            ),
            (Kind::Xml, None, b"caf\xe9", "UTF-8"),
            (Kind::Css, None, b"@charset \"koi8-r\";a{}", "KOI8-R"),
            (Kind::Css, None, b"@charset 'koi8-r';a{}", "UTF-8"),
        ];
        for (kind, header, body, expected) in rows {
            let found = Charset::of(*kind, body, *header);
            let text = String::from_utf8_lossy(body);
            assert_eq!(found.name(), *expected, "{header:?} {text}");
        }
    }

    #[test]
    fn a_late_meta_does_not_count() {
        // The prescan ends where browsers end it.
        let late = format!("{}<meta charset=big5>", " ".repeat(PRESCAN_BYTES));
        assert_eq!(
            Charset::of(Kind::Html, late.as_bytes(), None),
            Charset::UTF_8
        );
    }

    #[test]
    fn queries_are_sent_in_the_bytes_of_the_document() {
        let latin = Charset::of(Kind::Html, b"\xe9", None);
        assert_eq!(*latin.query_bytes("\u{e9}"), *b"\xe9");
        let utf_16 = Charset::of(Kind::Html, b"\xff\xfe", None);
        assert_eq!(*utf_16.query_bytes("\u{e9}"), *"\u{e9}".as_bytes());
    }
}
