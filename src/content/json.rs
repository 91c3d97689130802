//! The strings of a JSON text and where they stand in it, without building a tree of it.
//!
//! Linear and in bounded memory for whatever is there, and lenient: comments, missing commas and what a template
//! left behind cost the strings around them and nothing else.

use memchr::{memchr, memchr2};

use super::{Span, skip_space};

/// Strings in deeper nesting are left out: nothing with links in it is nested that far.
const DEPTH_MAX: usize = 64;

/// Where a value stands.
pub(super) struct Path<'a> {
    json: &'a [u8],
    frames: Vec<Frame>,
}

/// One object or array on the way.
enum Frame {
    Array,
    /// The key of the value that is being read, as written.
    Object(Span),
}

impl Path<'_> {
    /// The keys on the way, outermost first; arrays add none.
    pub(super) fn keys(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.frames.iter().filter_map(|frame| match frame {
            Frame::Array => None,
            Frame::Object(key) => Some(key.of(self.json)),
        })
    }

    /// Whether the keys on the way are these and no others.
    pub(super) fn is(&self, keys: &[&str]) -> bool {
        self.keys().eq(keys.iter().map(|key| key.as_bytes()))
    }
}

/// Hands over each string that is a value, decoded.
pub(super) fn strings(json: &[u8], mut take: impl FnMut(&Path<'_>, &str)) {
    let mut path = Path {
        json,
        frames: Vec::new(),
    };
    // How many objects and arrays are open beyond the depth that is looked at.
    let mut beyond = 0usize;
    let mut at = 0;
    while let Some(byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' if path.frames.len() == DEPTH_MAX => beyond += 1,
            b'{' => path.frames.push(Frame::Object(Span::default())),
            b'[' => path.frames.push(Frame::Array),
            b'}' | b']' if beyond > 0 => beyond -= 1,
            b'}' | b']' => drop(path.frames.pop()),
            b'"' => {
                let Some(end) = string_end(json, at) else {
                    return;
                };
                let inside = Span { start: at, end };
                at = end + 1;
                if beyond > 0 {
                    continue;
                }
                let is_key = json.get(skip_space(json, at)) == Some(&b':');
                match path.frames.last_mut() {
                    Some(Frame::Object(key)) if is_key => *key = inside,
                    _ => decoded(json, inside, |text| take(&path, text)),
                }
            }
            _ => {}
        }
    }
}

/// Where the quote stands that ends the string whose text begins at `at`.
fn string_end(json: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += memchr2(b'"', b'\\', &json[at..])?;
        if json[at] == b'"' {
            return Some(at);
        }
        at += 2;
        if at > json.len() {
            return None;
        }
    }
}

/// Hands over the text of a string; one with a broken escape in it is passed.
fn decoded(json: &[u8], inside: Span, take: impl FnOnce(&str)) {
    let text = inside.of(json);
    if memchr(b'\\', text).is_none() {
        if let Ok(text) = std::str::from_utf8(text) {
            take(text);
        }
    } else if let Ok(text) = serde_json::from_slice::<String>(&json[inside.start - 1..=inside.end])
    {
        take(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each string with the keys that lead to it.
    fn found(json: &str) -> Vec<String> {
        let mut found = Vec::new();
        strings(json.as_bytes(), |path, text| {
            let keys = path
                .keys()
                .map(|key| String::from_utf8_lossy(key).into_owned());
            found.push(format!("{}={text}", keys.collect::<Vec<_>>().join(".")));
        });
        found
    }

    #[test]
    fn strings_come_with_the_keys_that_lead_to_them() {
        let rows: &[(&str, &[&str])] = &[
            (
                r#"{"a":"b","c":{"d":["e","f"]},"g":"h"}"#,
                &["a=b", "c.d=e", "c.d=f", "g=h"],
            ),
            (r#"{"a":"x\/y\u00e9\"z"}"#, &["a=x/y\u{e9}\"z"]),
            (r#"["a",["b"],{"c":1,"d" : "e"}]"#, &["=a", "=b", "d=e"]),
            (r#""a""#, &["=a"]),
            (r#"<!-- {"a":"b",} --> {"c":"d"}"#, &["a=b", "c=d"]),
            (r#"{"a":"\q","b":"c"}"#, &["b=c"]),
            (r#"{"a":"b"#, &[]),
            (r#"]}{"a":"b"}"#, &["a=b"]),
            ("\"\\", &[]),
            ("", &[]),
        ];
        for (json, expected) in rows {
            assert_eq!(found(json), *expected, "{json}");
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_left_out_and_the_rest_is_not() {
        let deep = format!(
            "{}\"x\"{}",
            "[".repeat(DEPTH_MAX + 1),
            "]".repeat(DEPTH_MAX + 1)
        );
        assert_eq!(found(&format!("{deep}\"y\"")), ["=y"]);
    }
}
