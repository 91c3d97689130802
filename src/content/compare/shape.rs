//! What differs inside a value, and what it looks like: a time, a token, a number, words.
//!
//! Two values are compared word by word; a word that differs is widened to the whole time or token that it belongs
//! to, where both values have one of the same shape there. What looks random or dated is noise; numbers and words are
//! what the page says, and never taken for noise.

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Instant;

use regex::bytes::Regex;
use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};

/// Words are compared in values up to this length; beyond it, all between what is common at both ends is one
/// fragment. A script with a page's data in it has some hundred kilobytes.
const WORDS_BYTES_MAX: usize = 1 << 20;

/// So far on both sides of a difference a shape is looked for: the longest of them, a token of some hundred
/// characters, lies within.
const AROUND: usize = 512;

/// Fragments of one value; what is more different than that is one.
const FRAGMENTS_MAX: usize = 32;

/// What a fragment looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Look {
    /// One of [`SHAPES`].
    Shaped(usize),
    /// Letters and digits, or both cases, as no word has them.
    Random,
    Number,
    Words,
}

impl Look {
    /// What is made anew for each answer, as opposed to what the page says.
    pub(super) fn is_noise(self) -> bool {
        matches!(self, Look::Shaped(_) | Look::Random)
    }

    /// A token, as opposed to a time.
    pub(super) fn is_token(self) -> bool {
        self.is_noise() && (self.name().contains("token") || self.name().contains("UUID"))
    }

    pub(super) fn is_duration(self) -> bool {
        self.name() == "a duration"
    }

    /// In words, such as "a time".
    pub(super) fn name(self) -> &'static str {
        match self {
            Look::Shaped(shape) => SHAPES[shape].name,
            Look::Random => "a token",
            Look::Number => "a number",
            Look::Words => "words",
        }
    }
}

/// A place at which two values differ: ranges of the one and of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub before: Range<usize>,
    pub after: Range<usize>,
    pub look: Look,
}

/// A shape that is recognised.
struct Shape {
    name: &'static str,
    /// As it is proposed; `{N}` at its end stands for the number of characters.
    pattern: &'static str,
    /// What more must be so.
    is_one: fn(&[u8]) -> bool,
}

fn always(_: &[u8]) -> bool {
    true
}

fn is_mixed(text: &[u8]) -> bool {
    let has = |is: fn(&u8) -> bool| text.iter().any(is);
    let digits = has(u8::is_ascii_digit);
    let (small, capital) = (has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase));
    (digits && (small || capital)) || (is_random(text))
}

fn is_base64(text: &[u8]) -> bool {
    is_mixed(text) && (text.ends_with(b"=") || text.contains(&b'+'))
}

const SINCE_1970: &str = "a time in seconds or milliseconds since 1970";

fn is_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// The most telling first: of those that fit, the first counts.
const SHAPES: &[Shape] = &[
    Shape {
        name: "a UUID",
        pattern: "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}",
        is_one: always,
    },
    Shape {
        name: "a time",
        pattern: "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?",
        is_one: always,
    },
    Shape {
        name: "a time",
        pattern: "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}(?::[0-9]{2})?(?: (?:GMT|UTC|Z|[+-][0-9]{4}))?",
        is_one: always,
    },
    Shape {
        name: "a time",
        pattern: "[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{4},? [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?",
        is_one: always,
    },
    Shape {
        name: "a time of day",
        pattern: "[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?",
        is_one: always,
    },
    Shape {
        name: "a duration",
        pattern: r"[0-9]+(?:\.[0-9]+)? ?(?:ms|us|ns|s|sec|secs|seconds?|msec|milliseconds?|microseconds?)\b",
        is_one: always,
    },
    Shape {
        name: SINCE_1970,
        pattern: r"\b1[0-9]{9}(?:[0-9]{3})?(?:\.[0-9]+)?\b",
        is_one: always,
    },
    Shape {
        name: "a token in hexadecimal",
        pattern: "[0-9a-f]{N}",
        is_one: |text| text.len() >= 12 && text.iter().any(u8::is_ascii_digit),
    },
    Shape {
        name: "a token in hexadecimal",
        pattern: "[0-9A-F]{N}",
        is_one: |text| text.len() >= 12 && text.iter().any(u8::is_ascii_digit),
    },
    Shape {
        name: "a token",
        pattern: "[A-Za-z0-9_-]{N}",
        is_one: |text| text.len() >= 16 && is_mixed(text),
    },
    Shape {
        name: "a token in base64",
        pattern: "[A-Za-z0-9+/]{N}={0,2}",
        is_one: |text| text.len() >= 16 && is_base64(text),
    },
];

static COMPILED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let compile = |shape: &Shape| {
        let any = shape.pattern.replace("{N}", "+");
        Regex::new(&any).expect("a constant that the tests compile")
    };
    SHAPES.iter().map(compile).collect()
});

/// The regular expression for fragments that look so, as all of these do.
pub(super) fn pattern(look: Look, values: &[&[u8]]) -> Option<String> {
    let lengths = values.iter().map(|value| value.len());
    let least = lengths.clone().min().unwrap_or(1).max(1);
    let is_fixed = lengths.clone().all(|length| length == least);
    let count = match is_fixed {
        true => format!("{{{least}}}"),
        false => "+".to_owned(),
    };
    match look {
        Look::Shaped(shape) => {
            let shape = &SHAPES[shape];
            if shape.name == SINCE_1970 && is_fixed && values.iter().all(|value| is_digits(value)) {
                return Some(format!("[0-9]{count}"));
            }
            if matches!(shape.name, "a time" | "a time of day") {
                return Some(as_written(values).unwrap_or_else(|| shape.pattern.to_owned()));
            }
            // What pads a token is no part of its length.
            let padded = shape.pattern.ends_with("={0,2}");
            let count = if padded { "+" } else { &*count };
            Some(shape.pattern.replace("{N}", count))
        }
        Look::Random => Some(format!("[A-Za-z0-9_-]{count}")),
        Look::Number | Look::Words => None,
    }
}

/// A time with the signs that it is written with, which reads better than all the ways to write one;
/// `None` where the values are written in different ways, or with an offset from UTC, which changes with the season.
fn as_written(values: &[&[u8]]) -> Option<String> {
    let mut written = values.iter().map(|value| {
        let mut pattern = String::new();
        let mut last = b' ';
        for word in words(value) {
            let word = &value[word];
            match (word[0], word.len()) {
                (b'+', _) => return None,
                (b'0'..=b'9', _) if !word.iter().all(u8::is_ascii_digit) => return None,
                (b'0'..=b'9', 1..=2) if !matches!(last, b'.' | b',') => {
                    pattern.push_str("[0-9]{1,2}")
                }
                (b'0'..=b'9', 4) if !matches!(last, b'.' | b',') => pattern.push_str("[0-9]{4}"),
                (b'0'..=b'9', _) => pattern.push_str("[0-9]+"),
                // Days and months.
                (b'A'..=b'Z', 3) if word[1..].iter().all(u8::is_ascii_lowercase) => {
                    pattern.push_str("[A-Z][a-z]{2}");
                }
                (b'.', _) => pattern.push_str("\\."),
                _ => pattern.push_str(std::str::from_utf8(word).ok()?),
            }
            last = word[0];
        }
        Some(pattern)
    });
    let first = written.next()??;
    written
        .all(|other| other.as_deref() == Some(&*first))
        .then_some(first)
}

/// Where two values differ; empty when they are equal. Gives up exactness, not the answer, at the deadline.
pub(super) fn fragments(before: &[u8], after: &[u8], deadline: Instant) -> Vec<Fragment> {
    let hunks = hunks(before, after, deadline);
    let mut found: Vec<Fragment> = Vec::new();
    for (old, new) in hunks {
        let fragment = widened(before, after, old, new);
        let overlaps = |last: &Fragment| {
            last.before.end > fragment.before.start || last.after.end > fragment.after.start
        };
        match found.last_mut() {
            Some(last) if overlaps(last) => join(last, fragment, before, after),
            _ => found.push(fragment),
        }
    }
    if found.len() > FRAGMENTS_MAX {
        let (first, last) = (&found[0], &found[found.len() - 1]);
        let old = first.before.start..last.before.end;
        let new = first.after.start..last.after.end;
        let look = look(&before[old.clone()], &after[new.clone()]);
        return vec![Fragment {
            before: old,
            after: new,
            look,
        }];
    }
    found
}

/// One fragment of two that overlap: a shape was found around both of them.
fn join(last: &mut Fragment, next: Fragment, before: &[u8], after: &[u8]) {
    let is_inside = next.before.end <= last.before.end && next.after.end <= last.after.end;
    last.before.end = last.before.end.max(next.before.end);
    last.after.end = last.after.end.max(next.after.end);
    if !is_inside {
        last.look = look(&before[last.before.clone()], &after[last.after.clone()]);
    }
}

/// The ranges that are not common, by words.
fn hunks(before: &[u8], after: &[u8], deadline: Instant) -> Vec<(Range<usize>, Range<usize>)> {
    if before == after {
        return Vec::new();
    }
    if before.len().max(after.len()) > WORDS_BYTES_MAX {
        let start = common(before.iter(), after.iter());
        let (left, right) = (&before[start..], &after[start..]);
        let end = common(left.iter().rev(), right.iter().rev());
        return vec![(start..before.len() - end, start..after.len() - end)];
    }
    let (old, new) = (words(before), words(after));
    let (olds, news): (Vec<&[u8]>, Vec<&[u8]>) = (
        old.iter().map(|word| &before[word.clone()]).collect(),
        new.iter().map(|word| &after[word.clone()]).collect(),
    );
    let edits = capture_diff_slices_deadline(Algorithm::Myers, &olds, &news, Some(deadline));
    let place = |words: &[Range<usize>], range: &Range<usize>, length: usize| {
        let start = words.get(range.start).map_or(length, |word| word.start);
        let end = match range.is_empty() {
            true => start,
            false => words[range.end - 1].end,
        };
        start..end
    };
    let edits = edits.iter().map(similar::DiffOp::as_tag_tuple);
    edits
        .filter(|(tag, _, _)| *tag != DiffTag::Equal)
        .map(|(_, one, other)| {
            let old = place(&old, &one, before.len());
            (old, place(&new, &other, after.len()))
        })
        .collect()
}

fn common<'a>(one: impl Iterator<Item = &'a u8>, other: impl Iterator<Item = &'a u8>) -> usize {
    one.zip(other).take_while(|(a, b)| a == b).count()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Runs of letters and digits, and each other byte by itself.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let length = text[at..].iter().take_while(|byte| is_word(**byte)).count();
        let end = at + length.max(1);
        words.push(at..end);
        at = end;
    }
    words
}

/// A difference with all of the time or token that it belongs to.
fn widened(before: &[u8], after: &[u8], old: Range<usize>, new: Range<usize>) -> Fragment {
    for (shape, regex) in COMPILED.iter().enumerate() {
        let is_one = SHAPES[shape].is_one;
        let one = around(regex, before, &old).filter(|found| is_one(&before[found.clone()]));
        let Some(one) = one else { continue };
        let other = around(regex, after, &new).filter(|found| is_one(&after[found.clone()]));
        if let Some(other) = other {
            return Fragment {
                before: one,
                after: other,
                look: Look::Shaped(shape),
            };
        }
    }
    let look = look(&before[old.clone()], &after[new.clone()]);
    Fragment {
        before: old,
        after: new,
        look,
    }
}

/// The match that holds all of `range`.
fn around(regex: &Regex, text: &[u8], range: &Range<usize>) -> Option<Range<usize>> {
    let start = range.start.saturating_sub(AROUND);
    let end = text.len().min(range.end + AROUND);
    let mut found = regex.find_iter(&text[start..end]);
    let found = found.find(|found| found.end() + start >= range.end)?;
    let found = found.start() + start..found.end() + start;
    (found.start <= range.start && !range.is_empty()).then_some(found)
}

fn look(before: &[u8], after: &[u8]) -> Look {
    let both = [before, after];
    let all = |is: fn(&[u8]) -> bool| both.iter().all(|text| is(text));
    if all(is_random) {
        Look::Random
    } else if all(|text| {
        text.iter().any(u8::is_ascii_digit) && !text.iter().any(u8::is_ascii_alphabetic)
    }) {
        Look::Number
    } else {
        Look::Words
    }
}

/// One run of characters that nobody would speak.
pub(super) fn is_random(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if text.len() < 6 || !text.iter().all(is_part) {
        return false;
    }
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = text
        .iter()
        .filter(|byte| byte.is_ascii_alphabetic())
        .count();
    if digits > 0 && letters > 0 {
        return true;
    }
    if digits >= 12 {
        return true;
    }
    // Capitals in the middle of a word, more than a name in camel case has.
    let inner = text.windows(2);
    let jumps = inner.filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    let jumps = jumps.count();
    let vowel = |byte: &&u8| b"aeiouyAEIOUY".contains(byte);
    let vowels = text.iter().filter(vowel).count();
    letters >= 8 && (jumps * 4 > letters || vowels * 7 < letters)
}

/// Whether a name (of a class, an id) is one that somebody has chosen, and not one that a machine has made.
pub(super) fn is_chosen(name: &str) -> bool {
    let parts = name.split(['-', '_', ':', '.']);
    let is_part = |part: &str| {
        let letters = part.trim_end_matches(|letter: char| letter.is_ascii_digit());
        let digits = part.len() - letters.len();
        let is_plain = letters
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte >= 0x80);
        is_plain && digits <= 2 && !is_random(letters.as_bytes())
    };
    let starts_well = name
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    name.len() <= 64 && starts_well && parts.into_iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn seen(before: &str, after: &str) -> Vec<(String, String, &'static str)> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let found = fragments(before.as_bytes(), after.as_bytes(), deadline);
        let told = found.into_iter().map(|fragment| {
            (
                before[fragment.before].to_owned(),
                after[fragment.after].to_owned(),
                fragment.look.name(),
            )
        });
        told.collect()
    }

    #[test]
    fn what_differs_is_widened_to_what_it_belongs_to() {
        // Each row: two values, and what differs with its look.
        let rows = [
            (
                "made 2026-11-21T10:00:01Z.",
                "made 2026-11-21T10:00:02Z.",
                "2026-11-21T10:00:01Z",
                "a time",
            ),
            (
                "Sat, 21 Nov 2026 10:00:01 GMT",
                "Sat, 21 Nov 2026 10:00:02 GMT",
                "Sat, 21 Nov 2026 10:00:01 GMT",
                "a time",
            ),
            ("at 10:00:01!", "at 10:00:02!", "10:00:01", "a time of day"),
            (
                "took 0.0123 s, ok",
                "took 0.0456 s, ok",
                "0.0123 s",
                "a duration",
            ),
            (
                "?t=1763740801&x",
                "?t=1763740802&x",
                "1763740801",
                "a time in seconds or milliseconds since 1970",
            ),
            (
                "id 0a1b2c3d4e5f60718293",
                "id 0a1b2c3d4e5f60718294",
                "0a1b2c3d4e5f60718293",
                "a token in hexadecimal",
            ),
            (
                "=f47ac10b-58cc-4372-a567-0e02b2c3d479",
                "=f47ac10b-58cc-4372-a567-0e02b2c3d470",
                "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                "a UUID",
            ),
            (
                "k=Zm9vYmFyLWJhei1xdXV4MTIz;",
                "k=Zm9vYmFyLWJhei1xdXV4MTI0;",
                "Zm9vYmFyLWJhei1xdXV4MTIz",
                "a token",
            ),
            ("x-id ember123 y", "x-id ember124 y", "ember123", "a token"),
            ("costs 12 euros", "costs 13 euros", "12", "a number"),
            (
                "The minister resigns",
                "The minister returns",
                "resigns",
                "words",
            ),
            ("", "now here", "", "words"),
        ];
        for (before, after, expected, look) in rows {
            let found = seen(before, after);
            assert_eq!(found.len(), 1, "{before}: {found:?}");
            assert_eq!((&*found[0].0, found[0].2), (expected, look), "{before}");
        }
        assert_eq!(seen("same", "same"), []);
        let two = seen("at 10:00:01 in 12 ms", "at 10:00:02 in 9 ms");
        assert_eq!(two.len(), 2, "{two:?}");
    }

    #[test]
    fn names_that_machines_make_are_no_anchors() {
        for chosen in [
            "login",
            "csrf-token",
            "page_footer",
            "col-2",
            "mainNav",
            "og:image",
            "h1",
        ] {
            assert!(is_chosen(chosen), "{chosen}");
        }
        for made in [
            "ember1234",
            "css-1q2w3e4",
            "a8f3c01b",
            "x12345",
            "",
            "2col",
            "Button__kXbTqLwzPe",
        ] {
            assert!(!is_chosen(made), "{made}");
        }
    }

    #[test]
    fn every_shape_compiles_and_is_proposed_with_its_length() {
        assert_eq!(COMPILED.len(), SHAPES.len());
        for shape in 0..SHAPES.len() {
            for values in [[&b"x"[..], b"y"], [b"xx", b"y"]] {
                let pattern = pattern(Look::Shaped(shape), &values).unwrap();
                assert!(Regex::new(&pattern).is_ok(), "{pattern}");
            }
        }
        let token = pattern(Look::Random, &[b"abcdef12", b"abcdef34"]).unwrap();
        assert_eq!(token, "[A-Za-z0-9_-]{8}");
        assert_eq!(pattern(Look::Words, &[b"a word"]), None);
    }

    #[test]
    fn a_time_is_proposed_as_it_is_written() {
        // Each row: values, and the pattern; none where only the general one will do.
        let rows: &[(&[&str], Option<&str>)] = &[
            (
                &["2026-11-21 10:00:01 UTC", "2026-11-21 10:00:02 UTC"],
                Some("[0-9]{4}-[0-9]{1,2}-[0-9]{1,2} [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2} UTC"),
            ),
            (
                &["Sat, 21 Nov 2026 10:00:01 GMT"],
                Some(
                    "[A-Z][a-z]{2}, [0-9]{1,2} [A-Z][a-z]{2} [0-9]{4} [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2} GMT",
                ),
            ),
            (
                &["10:00:01.123", "10:00:01.45"],
                Some(r"[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}\.[0-9]+"),
            ),
            (&["10:00:01", "10:00:01.5"], None),
            (&["2026-11-21T10:00:01Z"], None),
            (&["2026-11-21 10:00:01+0100"], None),
        ];
        for (values, expected) in rows {
            let bytes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes()).collect();
            let written = as_written(&bytes);
            assert_eq!(written.as_deref(), *expected, "{values:?}");
            let all = written.map(|pattern| Regex::new(&format!("^{pattern}$")).unwrap());
            assert!(all.is_none_or(|regex| bytes.iter().all(|value| regex.is_match(value))));
        }
    }
}
