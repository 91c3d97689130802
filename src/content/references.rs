//! Character references in attribute values: `&amp;`, `&#39;`, `&#x2F;` and their careless forms.

/// The named references that occur in links: those of ASCII characters, and the no-break space. The
/// names that stand for letters are left as written, as a URL is not written with them.
const NAMED: [(&[u8], char); 28] = [
    (b"amp", '&'),
    (b"lt", '<'),
    (b"gt", '>'),
    (b"quot", '"'),
    (b"nbsp", '\u{a0}'),
    (b"AMP", '&'),
    (b"LT", '<'),
    (b"GT", '>'),
    (b"QUOT", '"'),
    (b"apos", '\''),
    (b"colon", ':'),
    (b"sol", '/'),
    (b"bsol", '\\'),
    (b"period", '.'),
    (b"quest", '?'),
    (b"equals", '='),
    (b"num", '#'),
    (b"percnt", '%'),
    (b"commat", '@'),
    (b"lowbar", '_'),
    (b"plus", '+'),
    (b"comma", ','),
    (b"semi", ';'),
    (b"excl", '!'),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"Tab", '\t'),
    (b"NewLine", '\n'),
];

/// So many of [`NAMED`] are also understood without a semicolon.
const WITHOUT_SEMICOLON: usize = 9;

/// What the numbers 0x80 to 0x9F stand for in HTML: Windows-1252, except where that has no character.
const C1: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039,
    0x0152, 0x8d, 0x017d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
];

/// `value` with its character references resolved. `room` is used only when there is one, so that the
/// usual value costs a search for `&` and nothing else.
pub(super) fn decode<'a>(value: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    let Some(first) = memchr::memchr(b'&', value) else {
        return value;
    };
    room.clear();
    let mut rest = value;
    let mut plain = first;
    loop {
        room.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
        if rest.is_empty() {
            return room;
        }
        match reference(rest) {
            Some((character, length)) => {
                room.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                plain = memchr::memchr(b'&', rest).unwrap_or(rest.len());
            }
            None => plain = memchr::memchr(b'&', &rest[1..]).map_or(rest.len(), |next| next + 1),
        }
    }
}

/// The character that the reference at the start of `text` (an `&`) stands for, and the length of the
/// reference; `None` when the `&` is just that.
pub(super) fn reference(text: &[u8]) -> Option<(char, usize)> {
    if text.get(1) == Some(&b'#') {
        numeric(text)
    } else {
        named(text)
    }
}

fn named(text: &[u8]) -> Option<(char, usize)> {
    for (index, (name, character)) in NAMED.iter().enumerate() {
        if !text[1..].starts_with(name) {
            continue;
        }
        let end = 1 + name.len();
        match text.get(end) {
            Some(b';') => return Some((*character, end + 1)),
            // `?a=1&lt=2` is a query, not a reference: so says the rule for attribute values.
            Some(b'=') => {}
            Some(next) if next.is_ascii_alphanumeric() => {}
            _ if index < WITHOUT_SEMICOLON => return Some((*character, end)),
            _ => {}
        }
    }
    None
}

fn numeric(text: &[u8]) -> Option<(char, usize)> {
    let (radix, start) = match text.get(2) {
        Some(b'x' | b'X') => (16, 3),
        _ => (10, 2),
    };
    let mut code = 0u32;
    let mut end = start;
    while let Some(digit) = text
        .get(end)
        .and_then(|byte| char::from(*byte).to_digit(radix))
    {
        code = code.saturating_mul(radix).saturating_add(digit);
        end += 1;
    }
    if end == start {
        return None;
    }
    let code = match code {
        0 => 0xfffd,
        0x80..=0x9f => u32::from(C1[code as usize - 0x80]),
        _ => code,
    };
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((character, end + usize::from(text.get(end) == Some(&b';'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_decode_as_in_attribute_values() {
        // Each row is a value as written and as a browser reads it.
        let rows = [
            ("plain", "plain"),
            ("?a=1&amp;b=2", "?a=1&b=2"),
            ("?a=1&b=2", "?a=1&b=2"),
            ("?a=1&lt=2", "?a=1&lt=2"),
            ("?a=1&ltx", "?a=1&ltx"),
            ("a&amp", "a&"),
            ("a&amp-b", "a&-b"),
            ("&amp;amp;", "&amp;"),
            ("&lt;&gt;&quot;&apos;", "<>\"'"),
            ("&apos", "&apos"),
            ("a&nbsp;b", "a\u{a0}b"),
            ("&#39;&#x27;&#X2f;&#47", "''//"),
            ("&#x;&#;&#", "&#x;&#;&#"),
            ("&#0;&#xd800;&#99999999999;", "\u{fffd}\u{fffd}\u{fffd}"),
            ("&#150;", "\u{2013}"),
            ("&colon;&sol;&period;", ":/."),
            ("&copy;=&", "&copy;=&"),
            ("&&&amp;&", "&&&&"),
        ];
        for (written, read) in rows {
            let mut room = Vec::new();
            assert_eq!(
                decode(written.as_bytes(), &mut room),
                read.as_bytes(),
                "{written}"
            );
        }
    }
}
