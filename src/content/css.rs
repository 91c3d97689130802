//! The links of a style sheet: `url(…)`, `src("…")`, `image-set("…")`, `@import`, outside comments and strings, and
//! its source map. A browser loads all of them by itself.

use super::{Collector, Role, is_space, script, skip_space};

/// Collects the links of a style sheet of its own.
pub(super) fn sheet(css: &[u8], links: &mut Collector) {
    scan(css, links);
    script::source_map(css, links);
}

/// Collects the links of a `<style>` element or a `style` attribute.
pub(super) fn scan(css: &[u8], links: &mut Collector) {
    let mut at = 0;
    let mut room = Vec::new();
    while let Some(byte) = css.get(at) {
        at = match byte {
            b'/' => comment_end(css, at).unwrap_or(at + 1),
            b'"' | b'\'' => string(css, at, &mut room).1,
            b'@' => at_rule(css, at, links),
            _ if is_name(*byte) => word(css, at, links),
            _ => at + 1,
        };
    }
}

/// Behind the comment that begins at `at`, if one does.
fn comment_end(css: &[u8], at: usize) -> Option<usize> {
    if !css[at..].starts_with(b"/*") {
        return None;
    }
    let start = at + 2;
    Some(memchr::memmem::find(&css[start..], b"*/").map_or(css.len(), |length| start + length + 2))
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'-' | b'_' | b'\\')
}

/// Behind the name that begins at `at`. A backslash takes the next byte with it.
fn name_end(css: &[u8], mut at: usize) -> usize {
    while let Some(byte) = css.get(at).filter(|byte| is_name(**byte)) {
        at += if *byte == b'\\' { 2 } else { 1 };
    }
    at.min(css.len())
}

fn is_word(word: &[u8], expected: &[u8]) -> bool {
    word.eq_ignore_ascii_case(expected)
}

/// Passes a name, and takes the links of the functions that have some. As a whole: `my-url(x)` is another
/// function.
fn word(css: &[u8], at: usize, links: &mut Collector) -> usize {
    let end = name_end(css, at);
    if css.get(end) != Some(&b'(') {
        return end;
    }
    let name = &css[at..end];
    let start = skip_space(css, end + 1);
    let is_string = matches!(css.get(start), Some(b'"' | b'\''));
    if is_word(name, b"url") && !is_string {
        return bare_url(css, start, links);
    }
    if is_word(name, b"image-set") || is_word(name, b"-webkit-image-set") {
        return image_set(css, end + 1, links);
    }
    if !is_string || !(is_word(name, b"url") || is_word(name, b"src")) {
        return end;
    }
    let mut room = Vec::new();
    let (is_whole, end) = string(css, start, &mut room);
    if is_whole {
        links.push(&room, Role::Asset);
    }
    let close = skip_space(css, end);
    match css.get(close) {
        Some(b')') => close + 1,
        _ => end,
    }
}

/// Passes what stands in the parentheses of an image set and takes its images, which may be bare strings. A
/// string in a function in it (`type("image/avif")`) is none.
fn image_set(css: &[u8], mut at: usize, links: &mut Collector) -> usize {
    let mut room = Vec::new();
    let mut depth = 1usize;
    while let Some(byte) = css.get(at) {
        at = match byte {
            b'/' => comment_end(css, at).unwrap_or(at + 1),
            b'"' | b'\'' => {
                let (is_whole, end) = string(css, at, &mut room);
                if is_whole && depth == 1 {
                    links.push(&room, Role::Asset);
                }
                end
            }
            b'(' => {
                depth += 1;
                at + 1
            }
            b')' if depth == 1 => return at + 1,
            b')' => {
                depth -= 1;
                at + 1
            }
            // Somebody has forgotten a parenthesis; the rule ends all the same.
            b';' | b'}' => return at,
            _ if is_name(*byte) => {
                let end = name_end(css, at);
                match is_word(&css[at..end], b"url") {
                    true => word(css, at, links),
                    false => end,
                }
            }
            _ => at + 1,
        };
    }
    at
}

/// Passes `@name`, and takes the string of `@import "x"`; its `url(x)` is found like any other. That
/// of `@namespace` is a name and not a link, so the whole rule is passed.
fn at_rule(css: &[u8], at: usize, links: &mut Collector) -> usize {
    let end = name_end(css, at + 1);
    let name = &css[at + 1..end];
    if is_word(name, b"namespace") {
        return memchr::memchr(b';', &css[end..]).map_or(css.len(), |length| end + length);
    }
    if !is_word(name, b"import") {
        return end;
    }
    let mut start = skip_space(css, end);
    while let Some(behind) = css.get(start).and_then(|_| comment_end(css, start)) {
        start = skip_space(css, behind);
    }
    if !matches!(css.get(start), Some(b'"' | b'\'')) {
        return start;
    }
    let mut room = Vec::new();
    let (is_whole, end) = string(css, start, &mut room);
    if is_whole {
        links.push(&room, Role::Asset);
    }
    end
}

/// Reads the string whose quote stands at `at` into `room`. Returns whether it is one (a line end in
/// it makes it none) and where CSS goes on.
fn string(css: &[u8], at: usize, room: &mut Vec<u8>) -> (bool, usize) {
    let quote = css[at];
    let mut at = at + 1;
    room.clear();
    while let Some(byte) = css.get(at) {
        match byte {
            b'\n' | b'\r' | 0x0c => return (false, at),
            b'\\' => at = escape(css, at, room),
            byte if *byte == quote => return (true, at + 1),
            byte => {
                room.push(*byte);
                at += 1;
            }
        }
    }
    (true, at)
}

/// Reads a URL without quotes. One with a quote, a parenthesis, a control character or a space inside
/// is no URL to a browser, and everything up to the next `)` is passed.
fn bare_url(css: &[u8], mut at: usize, links: &mut Collector) -> usize {
    let mut url = Vec::new();
    loop {
        match css.get(at) {
            None | Some(b')') => break,
            Some(b'\\') if !is_line_end(css.get(at + 1)) => at = escape(css, at, &mut url),
            Some(byte) if is_space(*byte) => {
                at = skip_space(css, at);
                if !matches!(css.get(at), None | Some(b')')) {
                    return bad_url_end(css, at);
                }
            }
            Some(b'"' | b'\'' | b'(' | b'\\' | 0..=0x1f | 0x7f) => return bad_url_end(css, at),
            Some(byte) => {
                url.push(*byte);
                at += 1;
            }
        }
    }
    links.push(&url, Role::Asset);
    (at + 1).min(css.len())
}

fn bad_url_end(css: &[u8], mut at: usize) -> usize {
    while let Some(byte) = css.get(at) {
        match byte {
            b')' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    css.len()
}

fn is_line_end(byte: Option<&u8>) -> bool {
    matches!(byte, Some(b'\n' | b'\r' | 0x0c))
}

/// Resolves the escape whose backslash stands at `at`: up to six hexadecimal digits and one white
/// space, a line end (which stands for nothing), or the byte itself. Returns where it ends.
fn escape(css: &[u8], at: usize, room: &mut Vec<u8>) -> usize {
    let start = at + 1;
    let rest = &css[start..];
    let digits = rest
        .iter()
        .take(6)
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    if digits == 0 {
        return match rest {
            [] => start,
            [b'\r', b'\n', ..] => start + 2,
            [b'\n' | b'\r' | 0x0c, ..] => start + 1,
            [byte, ..] => {
                room.push(*byte);
                start + 1
            }
        };
    }
    let code = rest[..digits].iter().fold(0, |code, digit| {
        code * 16
            + char::from(*digit)
                .to_digit(16)
                .expect("counted as hexadecimal above")
    });
    let character = char::from_u32(code).filter(|character| *character != '\0');
    let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
    room.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    match &rest[digits..] {
        [b'\r', b'\n', ..] => start + digits + 2,
        [space, ..] if is_space(*space) => start + digits + 1,
        _ => start + digits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_where_css_has_them() {
        // One trap each; expected is what a browser asks for.
        let rows: &[(&str, &[&str])] = &[
            ("a{b:url(c)}", &["c"]),
            ("a{b:URL( 'c d' ) , url(\"e\")}", &["c d", "e"]),
            ("a{b:url( c )}d{e:url(f)}", &["c", "f"]),
            ("a{b:url(c", &["c"]),
            ("a{b:url('c", &["c"]),
            ("a{b:url()}url", &[]),
            ("a{b:url(c#d)}a{b:url(#e)}", &["c"]),
            ("a{b:url(data:x,y)}", &[]),
            ("/* url(a) */b{c:url(d)}/* url(e)", &["d"]),
            ("a{b:'url(c)'}d{e:\"\\\"url(f)\"}", &[]),
            ("a{b:'c\n;d:url(e)}", &["e"]),
            ("a{b:'c\\\nd';e:url(f)}", &["f"]),
            ("a{b:my-url(c) curl(d) \\url(e)}", &[]),
            ("a{b:url(c\\)d)}", &["c)d"]),
            ("a{b:url(c\\29 d\\2f\te)}", &["c)d/e"]),
            ("a{b:url('c\\000020d\\'')}", &["c d'"]),
            ("a{b:url(c d);e:url(f)}", &["f"]),
            ("a{b:url(c(d);e:url(f)}", &["f"]),
            ("a{b:url(c'd);e:url(f)}", &["f"]),
            ("@import 'a';@import \"b\" screen;", &["a", "b"]),
            ("@IMPORT url(a);@import/**/ url('b') print;", &["a", "b"]),
            ("@import/* x */ /* y */'a';", &["a"]),
            (
                "@charset 'x';@namespace url(http://w3/ns);a{b:url(c)}",
                &["c"],
            ),
            (
                "@font-face{src:url(a.eot?#iefix)format('x'),url(b.woff)}",
                &["a.eot?", "b.woff"],
            ),
            ("url(a)\\", &["a"]),
            ("@import '\\", &[]),
            ("@import 'a' layer(b) supports(display:grid) print;", &["a"]),
            (
                "a{b:image-set('c.avif' type('image/avif') 1x, url(d.png) 2x) , 'e'}",
                &["c.avif", "d.png"],
            ),
            (
                "a{b:-WebKit-Image-Set(/* ) */ url('c') 1x,\"d\" 2x);e:url(f)}",
                &["c", "d", "f"],
            ),
            ("a{b:image-set('c' 1x;d:'e'}f{g:url(h)}", &["c", "h"]),
            ("a{b:src('c');d:src(var(--e))}", &["c"]),
        ];
        for (css, expected) in rows {
            let mut links = Collector::default();
            scan(css.as_bytes(), &mut links);
            let links = links.into_links();
            assert_eq!(links.references().collect::<Vec<_>>(), *expected, "{css}");
        }
    }
}
