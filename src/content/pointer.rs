//! The values in a JSON text to which pointers lead, by their places in it: nothing is built and nothing written anew.
//!
//! A pointer is RFC 6901's, with one word more: a segment `*` is any key or index. Where the text is not JSON from its
//! beginning to its end, nothing is found in it at all: what stands where could only be guessed.

use memchr::memchr;

use super::Span;

/// A set of pointers is one word.
pub(super) const POINTERS_MAX: usize = 64;

/// What nests deeper counts as no JSON. `serde_json` and most other readers stop at 128.
const DEPTH_MAX: usize = 128;

/// Pointers, ready to be followed.
#[derive(Clone, Debug, Default)]
pub(super) struct Pointers(Vec<Vec<Segment>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Any,
    /// A key, or an index in decimal digits.
    Name(String),
}

/// Parses one pointer; else where it goes wrong, in bytes, and why.
pub(super) fn parse(text: &str) -> Result<Vec<Segment>, (usize, String)> {
    if text.is_empty() {
        return Err((
            0,
            "takes out the whole document, so that no change of it would be seen".into(),
        ));
    }
    let Some(rest) = text.strip_prefix('/') else {
        return Err((0, "a JSON pointer begins with a slash".into()));
    };
    let mut segments = Vec::new();
    let mut at = 1;
    for written in rest.split('/') {
        segments.push(segment(written).map_err(|(offset, problem)| (at + offset, problem))?);
        at += written.len() + 1;
    }
    if segments.len() > DEPTH_MAX {
        return Err((0, format!("has more than {DEPTH_MAX} segments")));
    }
    Ok(segments)
}

fn segment(written: &str) -> Result<Segment, (usize, String)> {
    if written == "*" {
        return Ok(Segment::Any);
    }
    let mut name = String::with_capacity(written.len());
    let mut letters = written.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '~' => match letters.next() {
                Some((_, '0')) => name.push('~'),
                Some((_, '1')) => name.push('/'),
                _ => {
                    return Err((
                        at,
                        "a ~ is written as ~0, and a slash in a key as ~1".into(),
                    ));
                }
            },
            _ => name.push(letter),
        }
    }
    Ok(Segment::Name(name))
}

impl Pointers {
    /// At most [`POINTERS_MAX`] of them.
    pub(super) fn new(list: Vec<Vec<Segment>>) -> Pointers {
        assert!(list.len() <= POINTERS_MAX, "the caller refuses more");
        Pointers(list)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn all(&self) -> u64 {
        match self.0.len() {
            POINTERS_MAX => u64::MAX,
            count => (1 << count) - 1,
        }
    }

    /// Those of a set that go on, at this depth, to something of this name.
    fn onward(&self, set: u64, depth: usize, name: &str) -> u64 {
        self.those(set, |pointer| match pointer.get(depth) {
            Some(Segment::Any) => true,
            Some(Segment::Name(known)) => known == name,
            None => false,
        })
    }

    /// Whether one of a set ends at this depth.
    fn ends(&self, set: u64, depth: usize) -> bool {
        self.those(set, |pointer| pointer.len() == depth) != 0
    }

    fn those(&self, mut set: u64, is_one: impl Fn(&[Segment]) -> bool) -> u64 {
        let mut those = 0;
        while set != 0 {
            let index = set.trailing_zeros();
            set &= set - 1;
            those |= u64::from(is_one(&self.0[index as usize])) << index;
        }
        those
    }
}

/// Where the values stand to which the pointers lead, in the order of their ends; nothing for what is no JSON.
pub(super) fn find(json: &[u8], pointers: &Pointers) -> Vec<Span> {
    if pointers.is_empty() || std::str::from_utf8(json).is_err() {
        return Vec::new();
    }
    let mut walk = Walk {
        json,
        at: if json.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        },
        pointers,
        frames: Vec::new(),
        found: Vec::new(),
    };
    match walk.document() {
        Some(()) => walk.found,
        None => Vec::new(),
    }
}

/// An object or an array that is open.
struct Frame {
    start: usize,
    is_taken: bool,
    /// Pointers that lead through it.
    alive: u64,
    /// Of an array the index of the value at hand; an object has none.
    index: Option<usize>,
}

/// Each step gives `None` where the text is no JSON.
struct Walk<'a> {
    json: &'a [u8],
    at: usize,
    pointers: &'a Pointers,
    frames: Vec<Frame>,
    found: Vec<Span>,
}

impl Walk<'_> {
    fn document(&mut self) -> Option<()> {
        let mut alive = self.pointers.all();
        loop {
            // A value begins.
            self.skip_space();
            let start = self.at;
            let is_taken = self.pointers.ends(alive, self.frames.len());
            match *self.json.get(start)? {
                open @ (b'{' | b'[') => {
                    if self.frames.len() == DEPTH_MAX {
                        return None;
                    }
                    self.at += 1;
                    self.frames.push(Frame {
                        start,
                        is_taken,
                        alive,
                        index: (open == b'[').then_some(0),
                    });
                    if let Some(next) = self.first()? {
                        alive = next;
                        continue;
                    }
                }
                _ => {
                    self.scalar()?;
                    self.take(start, is_taken);
                }
            }
            match self.after()? {
                Some(next) => alive = next,
                None => return Some(()),
            }
        }
    }

    /// The pointers that lead to the first value in what was just opened; `None` inside for an empty one, which is
    /// closed.
    fn first(&mut self) -> Option<Option<u64>> {
        self.skip_space();
        let is_array = self.frames.last()?.index.is_some();
        match self.json.get(self.at)? {
            b']' if is_array => self.close(),
            b'}' if !is_array => self.close(),
            _ if is_array => return Some(Some(self.element())),
            _ => return self.member().map(Some),
        }
        Some(None)
    }

    /// Goes on behind a value; the pointers that lead to the next one, or `None` inside at the end of the document.
    fn after(&mut self) -> Option<Option<u64>> {
        loop {
            self.skip_space();
            let Some(frame) = self.frames.last_mut() else {
                return (self.at == self.json.len()).then_some(None);
            };
            match (*self.json.get(self.at)?, &mut frame.index) {
                (b',', Some(index)) => {
                    *index += 1;
                    self.at += 1;
                    return Some(Some(self.element()));
                }
                (b',', None) => {
                    self.at += 1;
                    self.skip_space();
                    return self.member().map(Some);
                }
                (b']', Some(_)) | (b'}', None) => self.close(),
                _ => return None,
            }
        }
    }

    fn close(&mut self) {
        self.at += 1;
        if let Some(frame) = self.frames.pop() {
            self.take(frame.start, frame.is_taken);
        }
    }

    fn take(&mut self, start: usize, is_taken: bool) {
        if is_taken {
            let end = self.at;
            self.found.push(Span { start, end });
        }
    }

    fn element(&self) -> u64 {
        let depth = self.frames.len() - 1;
        match self.frames.last() {
            Some(Frame { alive: 0, .. }) | None => 0,
            Some(frame) => {
                let index = frame.index.unwrap_or_default().to_string();
                self.pointers.onward(frame.alive, depth, &index)
            }
        }
    }

    /// Passes a key and its colon.
    fn member(&mut self) -> Option<u64> {
        let start = self.at;
        if self.json.get(start) != Some(&b'"') {
            return None;
        }
        self.string()?;
        let written = &self.json[start..self.at];
        self.skip_space();
        if self.json.get(self.at) != Some(&b':') {
            return None;
        }
        self.at += 1;
        let depth = self.frames.len() - 1;
        let alive = self.frames.last()?.alive;
        if alive == 0 {
            return Some(0);
        }
        if memchr(b'\\', written).is_none() {
            let key = std::str::from_utf8(&written[1..written.len() - 1]).ok()?;
            return Some(self.pointers.onward(alive, depth, key));
        }
        let key: String = serde_json::from_slice(written).ok()?;
        Some(self.pointers.onward(alive, depth, &key))
    }

    fn scalar(&mut self) -> Option<()> {
        match self.json.get(self.at)? {
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let is_it = self.json[self.at..].starts_with(word);
        self.at += word.len();
        is_it.then_some(())
    }

    fn number(&mut self) -> Option<()> {
        self.pass(b'-');
        match self.json.get(self.at)? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.pass(b'.') {
            self.digits()?;
        }
        if self.pass(b'e') || self.pass(b'E') {
            if !self.pass(b'+') {
                self.pass(b'-');
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let digits = self.json[self.at..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        self.at += digits;
        (digits > 0).then_some(())
    }

    fn pass(&mut self, byte: u8) -> bool {
        let is_next = self.json.get(self.at) == Some(&byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match *self.json.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.escape()?,
                control if control < b' ' => return None,
                _ => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.json.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 2,
            b'u' => {
                let digits = self.json.get(self.at + 2..self.at + 6)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                self.at += 6;
            }
            _ => return None,
        }
        Some(())
    }

    fn skip_space(&mut self) {
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.at += self.json[self.at.min(self.json.len())..]
            .iter()
            .take_while(is_blank)
            .count();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pointers(list: &[&str]) -> Pointers {
        Pointers::new(list.iter().map(|text| parse(text).unwrap()).collect())
    }

    fn found<'a>(json: &'a str, list: &[&str]) -> Vec<&'a str> {
        let spans = find(json.as_bytes(), &pointers(list));
        spans
            .iter()
            .map(|span| &json[span.start..span.end])
            .collect()
    }

    #[test]
    fn pointers_lead_to_values_as_rfc_6901_has_it() {
        let rfc = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        let rows: &[(&str, &[&str], &[&str])] = &[
            (rfc, &["/foo"], &["[\"bar\",\"baz\"]"]),
            (rfc, &["/foo/0", "/"], &["\"bar\"", "0"]),
            (
                rfc,
                &[
                    "/a~1b", "/c%d", "/e^f", "/g|h", "/i\\j", "/k\"l", "/ ", "/m~0n",
                ],
                &["1", "2", "3", "4", "5", "6", "7", "8"],
            ),
            (
                r#"{"a":[{"b":1},{"b":[2]},{"c":3}]}"#,
                &["/a/*/b"],
                &["1", "[2]"],
            ),
            (
                r#"{"a":{"b":{"c":1}},"d":{"c":2}}"#,
                &["/*/c", "/a/*/*"],
                &["1", "2"],
            ),
            (r#" [ 1 , { "x" : -1.5e+3 } ] "#, &["/1/x"], &["-1.5e+3"]),
            ("[0,1,2,3,4,5,6,7,8,9,10]", &["/10", "/01"], &["10"]),
            (r#"{"\u0061":true,"a":null}"#, &["/a"], &["true", "null"]),
            ("\u{feff}{\"a\":{}}", &["/a"], &["{}"]),
            (r#"{"a":"x\"}y"}"#, &["/a"], &[r#""x\"}y""#]),
        ];
        for (json, list, expected) in rows {
            assert_eq!(found(json, list), *expected, "{json} {list:?}");
        }
    }

    #[test]
    fn in_what_is_no_json_nothing_is_found() {
        let broken = [
            "",
            "{\"a\":1",
            "{\"a\":1}x",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":-}",
            "{\"a\":\"\\q\"}",
            "{\"a\":\"\\u12\"}",
            "{\"a\":\"\n\"}",
            "[1,]",
            "{\"a\":1]",
            "{\"a\":tru}",
            "// x\n{\"a\":1}",
            "{\"a\":\"",
            "{\"a\":\"\\",
            "]",
        ];
        for json in broken {
            assert_eq!(
                found(json, &["/a", "/0", "/*"]),
                Vec::<&str>::new(),
                "{json}"
            );
        }
        let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(found(&deep(DEPTH_MAX), &["/0"]).len(), 1);
        assert_eq!(found(&deep(DEPTH_MAX + 1), &["/0"]).len(), 0);
    }

    #[test]
    fn a_pointer_that_is_none_is_refused_at_its_place() {
        let rows = [("", 0), ("a", 0), ("/a~", 2), ("/a/b~2", 4)];
        for (text, at) in rows {
            assert_eq!(parse(text).unwrap_err().0, at, "{text}");
        }
    }

    /// JSON of small parts, some of it broken.
    fn json() -> impl Strategy<Value = String> {
        let scalar = proptest::sample::select(vec![
            "1", "-0.5", "\"x\"", "true", "null", "\"\\n\"", "[]", "{}", "", "x",
        ]);
        let value = scalar.prop_map(str::to_owned);
        value.prop_recursive(4, 24, 4, |inner| {
            let key = proptest::sample::select(vec!["a", "b", "0"]);
            let members = proptest::collection::vec((key, inner.clone()), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4)
                    .prop_map(|values| format!("[{}]", values.join(","))),
                members.prop_map(|members| {
                    let members = members
                        .iter()
                        .map(|(key, value)| format!("\"{key}\": {value}"));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(" ,"))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_found_where_a_tree_has_them(json in json()) {
            // Against serde_json: what is found at `/a/*` are the values that its tree has there, and in what it
            // refuses nothing is found.
            let found = found(&json, &["/a/*"]);
            match serde_json::from_str::<serde_json::Value>(&json) {
                Err(_) => prop_assert!(found.is_empty()),
                Ok(tree) => {
                    // Of keys that come twice a tree has the last one.
                    let mut expected = Vec::new();
                    match &tree["a"] {
                        serde_json::Value::Array(values) => expected.extend(values.iter().cloned()),
                        serde_json::Value::Object(members) => expected.extend(members.values().cloned()),
                        _ => {}
                    }
                    let read = |text: &&str| serde_json::from_str(text).unwrap();
                    let found: Vec<serde_json::Value> = found.iter().map(read).collect();
                    prop_assert!(expected.iter().all(|value| found.contains(value)), "{json}");
                }
            }
        }
    }
}
