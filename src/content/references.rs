//! Character references in attribute values: `&amp;`, `&#39;`, `&#x2F;` and their careless forms.

/// Named references, sorted: ASCII characters, Latin-1, Greek, and the punctuation that editors write. The standard
/// knows 2,000 more, for mathematics above all, with which no URL is written; those are left as they stand.
#[rustfmt::skip]
const NAMED: [(&[u8], char, Semicolon); 235] = [
    (b"AElig", '\u{c6}', Semicolon::Optional),
    (b"AMP", '&', Semicolon::Optional),
    (b"Aacute", '\u{c1}', Semicolon::Optional),
    (b"Acirc", '\u{c2}', Semicolon::Optional),
    (b"Agrave", '\u{c0}', Semicolon::Optional),
    (b"Alpha", '\u{391}', Semicolon::Needed),
    (b"Aring", '\u{c5}', Semicolon::Optional),
    (b"Atilde", '\u{c3}', Semicolon::Optional),
    (b"Auml", '\u{c4}', Semicolon::Optional),
    (b"Beta", '\u{392}', Semicolon::Needed),
    (b"COPY", '\u{a9}', Semicolon::Optional),
    (b"Ccedil", '\u{c7}', Semicolon::Optional),
    (b"Chi", '\u{3a7}', Semicolon::Needed),
    (b"Dagger", '\u{2021}', Semicolon::Needed),
    (b"Delta", '\u{394}', Semicolon::Needed),
    (b"ETH", '\u{d0}', Semicolon::Optional),
    (b"Eacute", '\u{c9}', Semicolon::Optional),
    (b"Ecirc", '\u{ca}', Semicolon::Optional),
    (b"Egrave", '\u{c8}', Semicolon::Optional),
    (b"Epsilon", '\u{395}', Semicolon::Needed),
    (b"Eta", '\u{397}', Semicolon::Needed),
    (b"Euml", '\u{cb}', Semicolon::Optional),
    (b"GT", '>', Semicolon::Optional),
    (b"Gamma", '\u{393}', Semicolon::Needed),
    (b"Iacute", '\u{cd}', Semicolon::Optional),
    (b"Icirc", '\u{ce}', Semicolon::Optional),
    (b"Igrave", '\u{cc}', Semicolon::Optional),
    (b"Iota", '\u{399}', Semicolon::Needed),
    (b"Iuml", '\u{cf}', Semicolon::Optional),
    (b"Kappa", '\u{39a}', Semicolon::Needed),
    (b"LT", '<', Semicolon::Optional),
    (b"Lambda", '\u{39b}', Semicolon::Needed),
    (b"Mu", '\u{39c}', Semicolon::Needed),
    (b"NewLine", '\n', Semicolon::Needed),
    (b"Ntilde", '\u{d1}', Semicolon::Optional),
    (b"Nu", '\u{39d}', Semicolon::Needed),
    (b"OElig", '\u{152}', Semicolon::Needed),
    (b"Oacute", '\u{d3}', Semicolon::Optional),
    (b"Ocirc", '\u{d4}', Semicolon::Optional),
    (b"Ograve", '\u{d2}', Semicolon::Optional),
    (b"Omega", '\u{3a9}', Semicolon::Needed),
    (b"Omicron", '\u{39f}', Semicolon::Needed),
    (b"Oslash", '\u{d8}', Semicolon::Optional),
    (b"Otilde", '\u{d5}', Semicolon::Optional),
    (b"Ouml", '\u{d6}', Semicolon::Optional),
    (b"Phi", '\u{3a6}', Semicolon::Needed),
    (b"Pi", '\u{3a0}', Semicolon::Needed),
    (b"Prime", '\u{2033}', Semicolon::Needed),
    (b"Psi", '\u{3a8}', Semicolon::Needed),
    (b"QUOT", '"', Semicolon::Optional),
    (b"REG", '\u{ae}', Semicolon::Optional),
    (b"Rho", '\u{3a1}', Semicolon::Needed),
    (b"Scaron", '\u{160}', Semicolon::Needed),
    (b"Sigma", '\u{3a3}', Semicolon::Needed),
    (b"THORN", '\u{de}', Semicolon::Optional),
    (b"Tab", '\t', Semicolon::Needed),
    (b"Tau", '\u{3a4}', Semicolon::Needed),
    (b"Theta", '\u{398}', Semicolon::Needed),
    (b"Uacute", '\u{da}', Semicolon::Optional),
    (b"Ucirc", '\u{db}', Semicolon::Optional),
    (b"Ugrave", '\u{d9}', Semicolon::Optional),
    (b"Upsilon", '\u{3a5}', Semicolon::Needed),
    (b"Uuml", '\u{dc}', Semicolon::Optional),
    (b"Xi", '\u{39e}', Semicolon::Needed),
    (b"Yacute", '\u{dd}', Semicolon::Optional),
    (b"Yuml", '\u{178}', Semicolon::Needed),
    (b"Zeta", '\u{396}', Semicolon::Needed),
    (b"aacute", '\u{e1}', Semicolon::Optional),
    (b"acirc", '\u{e2}', Semicolon::Optional),
    (b"acute", '\u{b4}', Semicolon::Optional),
    (b"aelig", '\u{e6}', Semicolon::Optional),
    (b"agrave", '\u{e0}', Semicolon::Optional),
    (b"alpha", '\u{3b1}', Semicolon::Needed),
    (b"amp", '&', Semicolon::Optional),
    (b"apos", '\'', Semicolon::Needed),
    (b"aring", '\u{e5}', Semicolon::Optional),
    (b"ast", '*', Semicolon::Needed),
    (b"asymp", '\u{2248}', Semicolon::Needed),
    (b"atilde", '\u{e3}', Semicolon::Optional),
    (b"auml", '\u{e4}', Semicolon::Optional),
    (b"bdquo", '\u{201e}', Semicolon::Needed),
    (b"beta", '\u{3b2}', Semicolon::Needed),
    (b"brvbar", '\u{a6}', Semicolon::Optional),
    (b"bsol", '\\', Semicolon::Needed),
    (b"bull", '\u{2022}', Semicolon::Needed),
    (b"ccedil", '\u{e7}', Semicolon::Optional),
    (b"cedil", '\u{b8}', Semicolon::Optional),
    (b"cent", '\u{a2}', Semicolon::Optional),
    (b"check", '\u{2713}', Semicolon::Needed),
    (b"chi", '\u{3c7}', Semicolon::Needed),
    (b"circ", '\u{2c6}', Semicolon::Needed),
    (b"colon", ':', Semicolon::Needed),
    (b"comma", ',', Semicolon::Needed),
    (b"commat", '@', Semicolon::Needed),
    (b"copy", '\u{a9}', Semicolon::Optional),
    (b"curren", '\u{a4}', Semicolon::Optional),
    (b"dagger", '\u{2020}', Semicolon::Needed),
    (b"darr", '\u{2193}', Semicolon::Needed),
    (b"dash", '\u{2010}', Semicolon::Needed),
    (b"deg", '\u{b0}', Semicolon::Optional),
    (b"delta", '\u{3b4}', Semicolon::Needed),
    (b"divide", '\u{f7}', Semicolon::Optional),
    (b"dollar", '$', Semicolon::Needed),
    (b"eacute", '\u{e9}', Semicolon::Optional),
    (b"ecirc", '\u{ea}', Semicolon::Optional),
    (b"egrave", '\u{e8}', Semicolon::Optional),
    (b"emsp", '\u{2003}', Semicolon::Needed),
    (b"ensp", '\u{2002}', Semicolon::Needed),
    (b"epsilon", '\u{3b5}', Semicolon::Needed),
    (b"equals", '=', Semicolon::Needed),
    (b"eta", '\u{3b7}', Semicolon::Needed),
    (b"eth", '\u{f0}', Semicolon::Optional),
    (b"euml", '\u{eb}', Semicolon::Optional),
    (b"euro", '\u{20ac}', Semicolon::Needed),
    (b"excl", '!', Semicolon::Needed),
    (b"fnof", '\u{192}', Semicolon::Needed),
    (b"frac12", '\u{bd}', Semicolon::Optional),
    (b"frac14", '\u{bc}', Semicolon::Optional),
    (b"frac34", '\u{be}', Semicolon::Optional),
    (b"gamma", '\u{3b3}', Semicolon::Needed),
    (b"ge", '\u{2265}', Semicolon::Needed),
    (b"grave", '`', Semicolon::Needed),
    (b"gt", '>', Semicolon::Optional),
    (b"harr", '\u{2194}', Semicolon::Needed),
    (b"hellip", '\u{2026}', Semicolon::Needed),
    (b"hyphen", '\u{2010}', Semicolon::Needed),
    (b"iacute", '\u{ed}', Semicolon::Optional),
    (b"icirc", '\u{ee}', Semicolon::Optional),
    (b"iexcl", '\u{a1}', Semicolon::Optional),
    (b"igrave", '\u{ec}', Semicolon::Optional),
    (b"infin", '\u{221e}', Semicolon::Needed),
    (b"iota", '\u{3b9}', Semicolon::Needed),
    (b"iquest", '\u{bf}', Semicolon::Optional),
    (b"iuml", '\u{ef}', Semicolon::Optional),
    (b"kappa", '\u{3ba}', Semicolon::Needed),
    (b"lambda", '\u{3bb}', Semicolon::Needed),
    (b"laquo", '\u{ab}', Semicolon::Optional),
    (b"larr", '\u{2190}', Semicolon::Needed),
    (b"lbrace", '{', Semicolon::Needed),
    (b"lbrack", '[', Semicolon::Needed),
    (b"lcub", '{', Semicolon::Needed),
    (b"ldquo", '\u{201c}', Semicolon::Needed),
    (b"le", '\u{2264}', Semicolon::Needed),
    (b"lowbar", '_', Semicolon::Needed),
    (b"lpar", '(', Semicolon::Needed),
    (b"lrm", '\u{200e}', Semicolon::Needed),
    (b"lsaquo", '\u{2039}', Semicolon::Needed),
    (b"lsqb", '[', Semicolon::Needed),
    (b"lsquo", '\u{2018}', Semicolon::Needed),
    (b"lt", '<', Semicolon::Optional),
    (b"macr", '\u{af}', Semicolon::Optional),
    (b"mdash", '\u{2014}', Semicolon::Needed),
    (b"micro", '\u{b5}', Semicolon::Optional),
    (b"middot", '\u{b7}', Semicolon::Optional),
    (b"minus", '\u{2212}', Semicolon::Needed),
    (b"mu", '\u{3bc}', Semicolon::Needed),
    (b"nbsp", '\u{a0}', Semicolon::Optional),
    (b"ndash", '\u{2013}', Semicolon::Needed),
    (b"ne", '\u{2260}', Semicolon::Needed),
    (b"not", '\u{ac}', Semicolon::Optional),
    (b"ntilde", '\u{f1}', Semicolon::Optional),
    (b"nu", '\u{3bd}', Semicolon::Needed),
    (b"num", '#', Semicolon::Needed),
    (b"oacute", '\u{f3}', Semicolon::Optional),
    (b"ocirc", '\u{f4}', Semicolon::Optional),
    (b"oelig", '\u{153}', Semicolon::Needed),
    (b"ograve", '\u{f2}', Semicolon::Optional),
    (b"omega", '\u{3c9}', Semicolon::Needed),
    (b"omicron", '\u{3bf}', Semicolon::Needed),
    (b"ordf", '\u{aa}', Semicolon::Optional),
    (b"ordm", '\u{ba}', Semicolon::Optional),
    (b"oslash", '\u{f8}', Semicolon::Optional),
    (b"otilde", '\u{f5}', Semicolon::Optional),
    (b"ouml", '\u{f6}', Semicolon::Optional),
    (b"para", '\u{b6}', Semicolon::Optional),
    (b"percnt", '%', Semicolon::Needed),
    (b"period", '.', Semicolon::Needed),
    (b"permil", '\u{2030}', Semicolon::Needed),
    (b"phi", '\u{3c6}', Semicolon::Needed),
    (b"pi", '\u{3c0}', Semicolon::Needed),
    (b"plus", '+', Semicolon::Needed),
    (b"plusmn", '\u{b1}', Semicolon::Optional),
    (b"pound", '\u{a3}', Semicolon::Optional),
    (b"prime", '\u{2032}', Semicolon::Needed),
    (b"psi", '\u{3c8}', Semicolon::Needed),
    (b"quest", '?', Semicolon::Needed),
    (b"quot", '"', Semicolon::Optional),
    (b"raquo", '\u{bb}', Semicolon::Optional),
    (b"rarr", '\u{2192}', Semicolon::Needed),
    (b"rbrace", '}', Semicolon::Needed),
    (b"rbrack", ']', Semicolon::Needed),
    (b"rcub", '}', Semicolon::Needed),
    (b"rdquo", '\u{201d}', Semicolon::Needed),
    (b"reg", '\u{ae}', Semicolon::Optional),
    (b"rho", '\u{3c1}', Semicolon::Needed),
    (b"rlm", '\u{200f}', Semicolon::Needed),
    (b"rpar", ')', Semicolon::Needed),
    (b"rsaquo", '\u{203a}', Semicolon::Needed),
    (b"rsqb", ']', Semicolon::Needed),
    (b"rsquo", '\u{2019}', Semicolon::Needed),
    (b"sbquo", '\u{201a}', Semicolon::Needed),
    (b"scaron", '\u{161}', Semicolon::Needed),
    (b"sect", '\u{a7}', Semicolon::Optional),
    (b"semi", ';', Semicolon::Needed),
    (b"shy", '\u{ad}', Semicolon::Optional),
    (b"sigma", '\u{3c3}', Semicolon::Needed),
    (b"sigmaf", '\u{3c2}', Semicolon::Needed),
    (b"sol", '/', Semicolon::Needed),
    (b"sup1", '\u{b9}', Semicolon::Optional),
    (b"sup2", '\u{b2}', Semicolon::Optional),
    (b"sup3", '\u{b3}', Semicolon::Optional),
    (b"szlig", '\u{df}', Semicolon::Optional),
    (b"tau", '\u{3c4}', Semicolon::Needed),
    (b"theta", '\u{3b8}', Semicolon::Needed),
    (b"thinsp", '\u{2009}', Semicolon::Needed),
    (b"thorn", '\u{fe}', Semicolon::Optional),
    (b"tilde", '\u{2dc}', Semicolon::Needed),
    (b"times", '\u{d7}', Semicolon::Optional),
    (b"trade", '\u{2122}', Semicolon::Needed),
    (b"uacute", '\u{fa}', Semicolon::Optional),
    (b"uarr", '\u{2191}', Semicolon::Needed),
    (b"ucirc", '\u{fb}', Semicolon::Optional),
    (b"ugrave", '\u{f9}', Semicolon::Optional),
    (b"uml", '\u{a8}', Semicolon::Optional),
    (b"upsilon", '\u{3c5}', Semicolon::Needed),
    (b"uuml", '\u{fc}', Semicolon::Optional),
    (b"verbar", '|', Semicolon::Needed),
    (b"vert", '|', Semicolon::Needed),
    (b"xi", '\u{3be}', Semicolon::Needed),
    (b"yacute", '\u{fd}', Semicolon::Optional),
    (b"yen", '\u{a5}', Semicolon::Optional),
    (b"yuml", '\u{ff}', Semicolon::Optional),
    (b"zeta", '\u{3b6}', Semicolon::Needed),
    (b"zwj", '\u{200d}', Semicolon::Needed),
    (b"zwnj", '\u{200c}', Semicolon::Needed),
];

/// Whether a name is a reference without one, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Semicolon {
    Needed,
    Optional,
}

/// The longest name in [`NAMED`], and the longest that needs no semicolon.
const NAME_MAX: usize = 7;
const BARE_NAME_MAX: usize = 6;

/// Where a reference stands decides what it is when its semicolon is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// `?a=1&lt=2` is a query and no reference.
    Attribute,
    Text,
}

/// What the numbers 0x80 to 0x9F stand for in HTML: Windows-1252, except where that has no character.
const C1: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039,
    0x0152, 0x8d, 0x017d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
    0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d, 0x017e, 0x0178,
];

/// `value` with its character references resolved. `room` is used only when there is one, so that the
/// usual value costs a search for `&` and nothing else.
pub(super) fn decode<'a>(value: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    decode_in(Place::Attribute, value, room)
}

/// The same for text between tags, in which fewer semicolons are needed.
pub(super) fn decode_text<'a>(text: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    decode_in(Place::Text, text, room)
}

fn decode_in<'a>(place: Place, value: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
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
        match reference_in(place, rest) {
            Some((character, length)) => {
                room.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                plain = memchr::memchr(b'&', rest).unwrap_or(rest.len());
            }
            None => plain = memchr::memchr(b'&', &rest[1..]).map_or(rest.len(), |next| next + 1),
        }
    }
}

/// The character that the reference at the start of an attribute's `text` (an `&`) stands for, and the length
/// of the reference; `None` when the `&` is just that.
pub(super) fn reference(text: &[u8]) -> Option<(char, usize)> {
    reference_in(Place::Attribute, text)
}

fn reference_in(place: Place, text: &[u8]) -> Option<(char, usize)> {
    if text.get(1) == Some(&b'#') {
        return numeric(text);
    }
    // One more than the longest name, to see that a name has ended.
    let rest = &text[1..];
    let longest = &rest[..rest.len().min(NAME_MAX + 1)];
    let length = longest
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    if let Some((character, semicolon)) = named(&rest[..length]) {
        match (rest.get(length), semicolon) {
            (Some(b';'), _) => return Some((character, length + 2)),
            (Some(b'='), _) if place == Place::Attribute => return None,
            (_, Semicolon::Optional) => return Some((character, length + 1)),
            _ => {}
        }
    }
    if place == Place::Attribute {
        return None;
    }
    let lengths = (2..=length.min(BARE_NAME_MAX)).rev();
    let mut bare = lengths.filter_map(|length| {
        let (character, semicolon) = named(&rest[..length])?;
        (semicolon == Semicolon::Optional).then_some((character, length + 1))
    });
    bare.next()
}

fn named(name: &[u8]) -> Option<(char, Semicolon)> {
    let index = NAMED
        .binary_search_by(|(known, ..)| (*known).cmp(name))
        .ok()?;
    let (_, character, semicolon) = NAMED[index];
    Some((character, semicolon))
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
    fn names_are_sorted_and_within_their_bounds() {
        // What the search relies on.
        assert!(NAMED.is_sorted_by(|one, next| one.0 < next.0));
        assert!(NAMED.iter().all(|(name, ..)| name.len() <= NAME_MAX));
        let mut bare = NAMED.iter().filter(|row| row.2 == Semicolon::Optional);
        assert!(bare.all(|(name, ..)| name.len() <= BARE_NAME_MAX));
    }

    #[test]
    fn in_text_fewer_semicolons_are_needed() {
        let rows = [
            ("a&ltb", "a<b"),
            ("&lt=", "<="),
            ("&notit;&notin", "¬it;¬in"),
            ("&hellipx &amp;lt;", "&hellipx &lt;"),
            ("&eacute;t&eacute", "été"),
        ];
        for (written, read) in rows {
            let mut room = Vec::new();
            let found = decode_text(written.as_bytes(), &mut room);
            assert_eq!(found, read.as_bytes(), "{written}");
        }
    }

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
            ("&copy;=&copy=&copy", "©=&copy=©"),
            ("?a&not&notin&b", "?a¬&notin&b"),
            ("&hellip;&hellip", "…&hellip"),
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
