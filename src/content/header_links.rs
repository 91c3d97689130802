//! What an answer refers to outside of its body: the headers `Link` (RFC 8288), `Refresh` and `SourceMap`.
//!
//! References leave here as they were written; they are relative to the URL that was asked for, whatever `<base>`
//! the body has. Pure and total: what cannot be read is no link. There are no bounds of their own, since headers are
//! bounded as a whole before they come here.

use super::Role;
use super::html::{self, rel_role};

/// The references of one answer, in the order of its headers; names in lower case.
pub fn header_links<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(String, Role)> {
    let mut links = Vec::new();
    for (name, value) in headers {
        match name {
            "link" => read_link(&text_of(value), &mut links),
            "refresh" => links.extend(refresh(&text_of(value)).map(page)),
            "sourcemap" | "x-sourcemap" => {
                let value = text_of(value);
                add(value.trim(), Role::Asset, &mut links);
            }
            _ => {}
        }
    }
    links
}

fn page(reference: String) -> (String, Role) {
    (reference, Role::Page)
}

fn add(reference: &str, role: Role, links: &mut Vec<(String, Role)>) {
    if !reference.is_empty() && !reference.starts_with('#') {
        links.push((reference.to_owned(), role));
    }
}

/// Header values are UTF-8 in practice and ISO-8859-1 by the old standard.
fn text_of(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// One header line: `<target>; name=value; name="value", <target> …`.
fn read_link(line: &str, links: &mut Vec<(String, Role)>) {
    let mut rest = line;
    while let Some(start) = rest.find('<') {
        let Some(length) = rest[start..].find('>') else {
            return;
        };
        let target = rest[start + 1..start + length].trim();
        let parameters;
        (parameters, rest) = read_parameters(&rest[start + length + 1..]);
        let rel = parameters.iter().find(|(name, _)| name == "rel");
        let Some(role) = rel.and_then(|(_, value)| role(value)) else {
            continue;
        };
        add(target, role, links);
        // What a browser preloads of several sizes may be any of them.
        for (_, set) in parameters.iter().filter(|(name, _)| name == "imagesrcset") {
            for candidate in html::candidates(set.as_bytes()) {
                add(text_at_ascii(candidate), Role::Asset, links);
            }
        }
    }
}

/// What a document wants with the target of such a relation; `None` for nothing, and where none is named.
fn role(rel: &str) -> Option<Role> {
    let is_named = rel.split_ascii_whitespace().next().is_some();
    rel_role(rel.as_bytes()).filter(|_| is_named)
}

/// The parameters of one link, names in lower case, and what comes after the comma that ends it.
fn read_parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
        if rest.is_empty() {
            return (found, rest);
        }
        if let Some(after) = rest.strip_prefix(',') {
            return (found, after);
        }
        let end = rest.find([';', ',', '=']).unwrap_or(rest.len());
        let name = rest[..end].trim().to_ascii_lowercase();
        rest = &rest[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = read_value(after.trim_start());
        }
        found.push((name, value));
    }
}

/// A token up to the next separator, or a quoted string with its escapes undone; one that never ends goes on to the
/// end of the line.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if is_escaped => {
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// `5; url=/next`, in every form that browsers understand: the time alone is a reload and no link.
fn refresh(value: &str) -> Option<String> {
    let time = |c: char| c.is_ascii_digit() || c == '.';
    let after_time = value.trim_start().trim_start_matches(time);
    let separated = |c: char| c == ';' || c == ',' || c.is_ascii_whitespace();
    let rest = after_time.trim_start_matches(separated);
    if rest.len() == after_time.len() {
        return None;
    }
    let reference = text_at_ascii(html::refresh_target(rest.as_bytes())).trim();
    (!reference.is_empty()).then(|| reference.to_owned())
}

/// A part of a text that was cut out of it at ASCII signs.
fn text_at_ascii(part: &[u8]) -> &str {
    std::str::from_utf8(part).expect("no character was cut through")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links_of(name: &str, value: &str) -> Vec<(String, Role)> {
        header_links([(name, value.as_bytes())].into_iter())
    }

    fn found(links: &[(String, Role)]) -> Vec<(&str, Role)> {
        links
            .iter()
            .map(|(to, role)| (to.as_str(), *role))
            .collect()
    }

    /// Promise: every spelling of a `Link` header that RFC 8288 permits, and some that servers send all the same,
    /// yields its targets with what the page wants of them.
    #[test]
    fn links_are_read_in_every_spelling() {
        use Role::{Asset, Page};
        let rows: [(&str, &[(&str, Role)]); 23] = [
            ("</a.css>; rel=stylesheet", &[("/a.css", Asset)]),
            ("</a.css>;rel=\"preload\"; as=style", &[("/a.css", Asset)]),
            (
                "<a?x=1,2;3>; rel=\"next\" , <b>;REL=Prev",
                &[("a?x=1,2;3", Page), ("b", Page)],
            ),
            (
                "</a>; title=\"a, <b>; rel=next\"; rel=alternate",
                &[("/a", Page)],
            ),
            ("</a>; title=\"say \\\"a\\\"\"; rel=next", &[("/a", Page)]),
            ("</c>; rel=\"alternate stylesheet\"", &[("/c", Asset)]),
            ("</c>; rel=\"shortcut icon\"", &[("/c", Asset)]),
            (
                "</m>; rel=modulepreload, </p>; rel=prefetch",
                &[("/m", Asset), ("/p", Page)],
            ),
            ("<https://x.example>; rel=preconnect", &[]),
            (
                "<//x.example>; rel=\"dns-prefetch preconnect\"; crossorigin",
                &[],
            ),
            (
                "</i>; rel=image_src, </f>; rel=\"Fluid-Icon\"",
                &[("/i", Asset), ("/f", Asset)],
            ),
            ("</w>; rel=https://api.example/", &[("/w", Page)]),
            ("</x>", &[]),
            ("</x>; title=x", &[]),
            ("<>; rel=next, <#top>; rel=next", &[]),
            ("< /sp >; rel = next", &[("/sp", Page)]),
            ("</first>; rel=next; rel=icon", &[("/first", Page)]),
            ("</a>; rel=\"next", &[("/a", Page)]),
            ("</a; rel=next", &[]),
            (
                "</a>; rel=next,, ,</b>; rel=prev",
                &[("/a", Page), ("/b", Page)],
            ),
            ("</a>; crossorigin, </b>; rel=next", &[("/b", Page)]),
            (
                "</a.jpg>; rel=preload; as=image; imagesrcset=\"b.jpg 1x, c,d.jpg 2x,e.jpg, f.jpg\"",
                &[
                    ("/a.jpg", Asset),
                    ("b.jpg", Asset),
                    ("c,d.jpg", Asset),
                    ("e.jpg", Asset),
                    ("f.jpg", Asset),
                ],
            ),
            ("", &[]),
        ];
        for (line, expected) in rows {
            assert_eq!(found(&links_of("link", line)), expected, "{line}");
        }
    }

    /// Promise: several headers are read in their order, and others not at all.
    #[test]
    fn headers_are_read_in_their_order() {
        let headers = [
            ("link", &b"</a>; rel=next"[..]),
            ("location", b"/never"),
            ("sourcemap", b" /a.js.map "),
            ("link", b"</caf\xc3\xa9>; rel=next"),
            ("x-sourcemap", b"b.map"),
            ("refresh", b"0; url=/c"),
            ("link", b"</d\xe9>; rel=icon"),
            ("sourcemap", b""),
        ];
        let expected = [
            ("/a", Role::Page),
            ("/a.js.map", Role::Asset),
            ("/caf\u{e9}", Role::Page),
            ("b.map", Role::Asset),
            ("/c", Role::Page),
            ("/d\u{e9}", Role::Asset),
        ];
        assert_eq!(found(&header_links(headers.into_iter())), expected);
    }

    /// Promise: a refresh is followed in every form that browsers understand, and a reload is none.
    #[test]
    fn refreshes_are_read_as_browsers_do() {
        for (value, expected) in [
            ("5; url=/next", Some("/next")),
            ("0;URL='/next'", Some("/next")),
            ("0; url = \"/next\" x", Some("/next")),
            (" 1.5, /next", Some("/next")),
            ("3 /next", Some("/next")),
            ("0; '/next", Some("/next")),
            ("0; urls/next", Some("urls/next")),
            ("; url=/next", Some("/next")),
            ("5", None),
            ("5;", None),
            ("5; url=", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(refresh(value).as_deref(), expected, "{value}");
        }
    }

    proptest! {
        /// Promise: whatever bytes a server puts into a header, they are read to the end without a panic, and no
        /// reference is empty.
        #[test]
        fn reading_is_total(
            name in prop::sample::select(vec!["link", "refresh", "sourcemap"]),
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "[<>;,=\"\\\\ a-zé0-9'#]{0,80}".prop_map(String::into_bytes),
                "[0-9.]{0,2}[;, ]{0,2}(url ?=)?[ '\"/aé]{0,6}".prop_map(String::into_bytes),
                "(<[a-z/]{0,4}>; ?(rel|imagesrcset)=\"?[a-z, ]{0,8}\"?,?){0,5}".prop_map(String::into_bytes),
            ],
        ) {
            for (reference, _) in header_links([(name, &value[..])].into_iter()) {
                prop_assert!(!reference.is_empty());
            }
        }
    }
}
