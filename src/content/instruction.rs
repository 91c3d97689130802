//! `<?xml-stylesheet href="…"?>`: the style sheet of an XML document, before its root element.

use memchr::memmem;

use super::{Collector, Role, references, skip_space};

/// Collects the style sheets of a document from what stands before its root element.
pub(super) fn scan(body: &[u8], links: &mut Collector) {
    let mut at = 0;
    while let Some(distance) = memchr::memchr(b'<', &body[at..]) {
        let open = at + distance;
        let rest = &body[open..];
        let (start, end): (usize, &[u8]) = match rest.get(1) {
            Some(b'?') => (2, b"?>"),
            Some(b'!') if rest.starts_with(b"<!--") => (4, b"-->"),
            Some(b'!') => (2, b">"),
            _ => return,
        };
        let Some(length) = memmem::find(&rest[start..], end) else {
            return;
        };
        take(&rest[start..start + length], links);
        at = open + start + length;
    }
}

/// Takes the link of one instruction, from its target to before its `?>`, if it is such a one.
pub(super) fn take(instruction: &[u8], links: &mut Collector) {
    let Some(attributes) = instruction.strip_prefix(b"xml-stylesheet") else {
        return;
    };
    let mut at = 0;
    while let Some(length) = memmem::find(&attributes[at..], b"href") {
        let name = at + length;
        at = name + b"href".len();
        let equals = skip_space(attributes, at);
        let is_name = name > 0 && super::is_space(attributes[name - 1]);
        if !is_name || attributes.get(equals) != Some(&b'=') {
            continue;
        }
        let quote = skip_space(attributes, equals + 1);
        if let Some(mark @ (b'"' | b'\'')) = attributes.get(quote)
            && let Some(length) = memchr::memchr(*mark, &attributes[quote + 1..])
        {
            let value = &attributes[quote + 1..quote + 1 + length];
            links.push(references::decode(value, &mut Vec::new()), Role::Asset);
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_sheets_stand_before_the_root_element() {
        let rows: &[(&str, &[&str])] = &[
            (
                "<?xml-stylesheet type='text/css' href='a.css'?><x/>",
                &["a.css"],
            ),
            (
                "<?xml version='1.0'?>\n<!-- x --><!DOCTYPE x>\n<?xml-stylesheet href = \"a?b&amp;c\" ?><x/>",
                &["a?b&c"],
            ),
            (
                "<?xml-stylesheet xhref='a' href='b'?><?xml-stylesheet href='c'?>",
                &["b", "c"],
            ),
            ("<x/><?xml-stylesheet href='a'?>", &[]),
            (
                "<!-- <?xml-stylesheet href='a'?> --><?xml-stylesheet href=a?>",
                &[],
            ),
            ("<?xml-stylesheet href='a'", &[]),
        ];
        for (body, expected) in rows {
            let mut links = Collector::default();
            scan(body.as_bytes(), &mut links);
            let links = links.into_links();
            assert_eq!(links.references().collect::<Vec<_>>(), *expected, "{body}");
        }
    }
}
