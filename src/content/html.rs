//! What the start tags of an HTML, XHTML or SVG document say: links, the base, volatile values.

use super::links::{is_skipped, trim};
use super::tags::{Attribute, AttributeName, Element, Tag, Tags};
use super::{Collector, Span, canonical, css, is_space, references, skip_space};

/// Names of `<meta>` elements whose content is a token made for each answer.
const META_TOKENS: [&[u8]; 3] = [b"csrf-token", b"_csrf", b"csrf"];

/// Names of `<input>` elements whose value is one: Rails, Django, ASP.NET, Spring, Symfony, Laravel
/// and those who copied them.
const INPUT_TOKENS: [&[u8]; 7] = [
    b"authenticity_token",
    b"csrfmiddlewaretoken",
    b"__RequestVerificationToken",
    b"_csrf",
    b"_csrf_token",
    b"_token",
    b"csrf_token",
];

/// Properties and names of `<meta>` elements whose content is an image of this site.
const META_IMAGES: [&[u8]; 5] = [
    b"og:image",
    b"og:image:url",
    b"og:image:secure_url",
    b"twitter:image",
    b"twitter:image:src",
];

/// Collects the links of `body`; returns the base and the volatile spans, in no order.
pub(super) fn scan(body: &[u8], links: &mut Collector) -> (Option<String>, Vec<Span>) {
    let mut page = Page {
        body,
        links,
        room: Vec::new(),
        base: None,
        volatile: Vec::new(),
    };
    let mut tags = Tags::new(body);
    let mut tag = Tag::default();
    while tags.next(&mut tag) {
        page.take(&tag);
    }
    // A base that cannot be followed counts as the first one all the same; the page is its own then.
    let base = page
        .base
        .filter(|base| !base.is_empty() && !is_skipped(base.as_bytes()));
    (base, page.volatile)
}

struct Page<'a> {
    body: &'a [u8],
    links: &'a mut Collector,
    /// Where values with character references are decoded.
    room: Vec<u8>,
    base: Option<String>,
    volatile: Vec<Span>,
}

impl Page<'_> {
    fn take(&mut self, tag: &Tag) {
        for attribute in &tag.attributes {
            self.attribute(tag.element, *attribute);
        }
        match (tag.element, tag.text) {
            (Element::Meta, _) => self.meta(tag),
            (Element::Input, _) => self.input(tag),
            (Element::Style, Some(text)) => css::scan(text.of(self.body), self.links),
            _ => {}
        }
    }

    /// Links are taken from whatever element has such an attribute: a custom element's `href` that
    /// leads nowhere is one request, an overlooked one is a page that the mirror lacks.
    fn attribute(&mut self, element: Element, attribute: Attribute) {
        use AttributeName::*;
        if attribute.name == Nonce {
            self.volatile.push(attribute.value);
            return;
        }
        let value = attribute.value.of(self.body);
        match attribute.name {
            Href if element == Element::Base => self.base(value),
            Data if element != Element::Object => {}
            Href | Src | Poster | Background | Longdesc | XlinkHref | Data => {
                self.links.push(references::decode(value, &mut self.room));
            }
            Srcset | Imagesrcset => {
                srcset(references::decode(value, &mut self.room), self.links);
            }
            Style => css::scan(references::decode(value, &mut self.room), self.links),
            Content | HttpEquiv | Name | Nonce | Property | Value => {}
        }
    }

    fn base(&mut self, value: &[u8]) {
        if self.base.is_none() {
            let base = trim(references::decode(value, &mut self.room));
            self.base = Some(String::from_utf8_lossy(base).into_owned());
        }
    }

    fn meta(&mut self, tag: &Tag) {
        let Some(content) = tag.value(AttributeName::Content) else {
            return;
        };
        let value = content.of(self.body);
        if let Some(pragma) = tag.value(AttributeName::HttpEquiv) {
            let pragma = trim(pragma.of(self.body));
            if pragma.eq_ignore_ascii_case(b"refresh") {
                refresh(references::decode(value, &mut self.room), self.links);
            } else if is_policy(pragma) {
                canonical::find_nonces(value, content.start, &mut self.volatile);
            }
        }
        for name in [AttributeName::Name, AttributeName::Property] {
            let Some(name) = tag.value(name) else {
                continue;
            };
            let name = trim(name.of(self.body));
            if is_among(name, &META_TOKENS) {
                self.volatile.push(content);
            } else if is_among(name, &META_IMAGES) {
                self.links.push(references::decode(value, &mut self.room));
            }
        }
    }

    fn input(&mut self, tag: &Tag) {
        let Some(name) = tag.value(AttributeName::Name) else {
            return;
        };
        if let Some(value) = tag.value(AttributeName::Value)
            && INPUT_TOKENS.contains(&name.of(self.body))
        {
            self.volatile.push(value);
        }
    }
}

fn is_policy(pragma: &[u8]) -> bool {
    pragma.eq_ignore_ascii_case(b"content-security-policy")
        || pragma.eq_ignore_ascii_case(b"content-security-policy-report-only")
}

fn is_among(name: &[u8], names: &[&[u8]]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// The candidates of a `srcset`, split as in the HTML standard: a comma inside a URL belongs to it,
/// one at its end does not, and one in a descriptor's parentheses separates nothing.
fn srcset(value: &[u8], links: &mut Collector) {
    let mut at = 0;
    loop {
        let is_gap = |byte: &&u8| is_space(**byte) || **byte == b',';
        at += value[at..].iter().take_while(is_gap).count();
        if at == value.len() {
            return;
        }
        let length = value[at..]
            .iter()
            .take_while(|byte| !is_space(**byte))
            .count();
        let url = &value[at..at + length];
        at += length;
        let bare = url
            .iter()
            .rposition(|byte| *byte != b',')
            .map_or(0, |last| last + 1);
        links.push(&url[..bare]);
        if bare == url.len() {
            at = descriptors_end(value, at);
        }
    }
}

fn descriptors_end(value: &[u8], at: usize) -> usize {
    let mut is_inside = false;
    for (index, byte) in value.iter().enumerate().skip(at) {
        match byte {
            b'(' => is_inside = true,
            b')' => is_inside = false,
            b',' if !is_inside => return index,
            _ => {}
        }
    }
    value.len()
}

/// The target of a declarative refresh, `5; url=/x` in all the forms that the HTML standard allows.
fn refresh(content: &[u8], links: &mut Collector) {
    let start = skip_space(content, 0);
    let is_time = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let mut at = start + content[start..].iter().take_while(is_time).count();
    let is_separator = |byte: &u8| is_space(*byte) || matches!(byte, b';' | b',');
    if at == start || !content.get(at).is_some_and(is_separator) {
        return;
    }
    at = skip_space(content, at);
    if matches!(content.get(at), Some(b';' | b',')) {
        at += 1;
    }
    let target = &content[skip_space(content, at)..];
    links.push(unquoted(after_url_sign(target)));
}

/// What follows `url =`; all of `target` when it does not begin so.
fn after_url_sign(target: &[u8]) -> &[u8] {
    let is_word = target
        .get(..3)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"url"));
    if !is_word {
        return target;
    }
    let equals = skip_space(target, 3);
    match target.get(equals) {
        Some(b'=') => &target[skip_space(target, equals + 1)..],
        _ => target,
    }
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [quote @ (b'"' | b'\''), rest @ ..] => {
            &rest[..memchr::memchr(*quote, rest).unwrap_or(rest.len())]
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(body: &str) -> (Vec<String>, Option<String>, Vec<&str>) {
        let mut links = Collector::default();
        let (base, volatile) = scan(body.as_bytes(), &mut links);
        let volatile = volatile
            .iter()
            .map(|span| &body[span.start..span.end])
            .collect();
        (
            links.into_links().references().map(str::to_owned).collect(),
            base,
            volatile,
        )
    }

    #[test]
    fn links_come_from_every_place_that_names_a_page_or_an_asset() {
        // One place each, with what a browser would ask for.
        let rows: &[(&str, &[&str])] = &[
            (
                "<a href=/a><area href=/b><link href=/c>",
                &["/a", "/b", "/c"],
            ),
            (
                "<img src=a><script src=b></script><iframe src=c></iframe>",
                &["a", "b", "c"],
            ),
            (
                "<video poster=a src=b><body background=c><img longdesc=d>",
                &["a", "b", "c", "d"],
            ),
            ("<object data=a></object><div data=b>", &["a"]),
            (
                "<svg><use xlink:href=a.svg#i /><image href=b /></svg>",
                &["a.svg", "b"],
            ),
            ("<a href='/?a=1&amp;b=2'>", &["/?a=1&b=2"]),
            ("<a href=' /a&#10;'><a href=/a>", &["/a"]),
            ("<a href=#x><a href=/p#x><a href=mailto:x>", &["/p"]),
            ("<img srcset='a 1x, b 2x'>", &["a", "b"]),
            ("<img srcset='a,b'>", &["a,b"]),
            ("<img srcset='a, b,,c'>", &["a", "b,,c"]),
            ("<img srcset=',a (x,y) 1x,\tb'>", &["a", "b"]),
            ("<img srcset='data:image/png;base64,AA 1x, b 2x'>", &["b"]),
            ("<link imagesrcset='a 1w,b 2w'>", &["a", "b"]),
            ("<p style='background:url(a)'>", &["a"]),
            ("<p style='background:url(&quot;a&quot;)'>", &["a"]),
            ("<style>@import 'a'; b{c:url(d)}</style>", &["a", "d"]),
            ("<svg><style><![CDATA[a{b:url(c)}]]></style></svg>", &["c"]),
            ("<meta http-equiv=refresh content='0;url=a'>", &["a"]),
            (
                "<meta content=' 5 , URL = \"a b\"x' HTTP-EQUIV=Refresh>",
                &["a b"],
            ),
            ("<meta http-equiv=refresh content='0;a'>", &["a"]),
            ("<meta http-equiv=refresh content='1.5 a'>", &["a"]),
            ("<meta http-equiv=refresh content='5'>", &[]),
            ("<meta http-equiv=refresh content='url=a'>", &[]),
            ("<meta property='og:image' content=a>", &["a"]),
            ("<meta name='twitter:image' content=a>", &["a"]),
            ("<meta name=description content=a>", &[]),
            ("<noscript><img src=a></noscript>", &["a"]),
            ("<!-- <img src=a> --><script>'<img src=b>'</script>", &[]),
        ];
        for (body, expected) in rows {
            assert_eq!(scanned(body).0, *expected, "{body}");
        }
    }

    #[test]
    fn the_first_base_with_an_href_is_the_base_and_no_link() {
        let rows = [
            (
                "<base target=_top><base href=' /a&amp;b '><base href=/c>",
                Some("/a&b"),
            ),
            ("<base href=data:x><base href=/c>", None),
            ("<base href=''>", None),
            ("<p>", None),
        ];
        for (body, expected) in rows {
            let (links, base, _) = scanned(body);
            assert_eq!((links.len(), base.as_deref()), (0, expected), "{body}");
        }
    }

    #[test]
    fn values_made_for_each_answer_are_volatile_and_nothing_else() {
        // One place each, with the bytes that are taken out.
        let rows: &[(&str, &[&str])] = &[
            ("<script nonce=a></script><p NONCE='b c'>", &["a", "b c"]),
            ("<script nonce=a nonce=b></script>", &["a"]),
            ("<script>nonce='a'</script><!-- <p nonce=b> -->", &[]),
            (
                "<meta name=csrf-token content=a><meta content=b name=CSRF>",
                &["a", "b"],
            ),
            ("<meta name=csrf-param content=a>", &[]),
            ("<meta name=_csrf><meta content=a>", &[]),
            ("<input name=authenticity_token value=a>", &["a"]),
            ("<input value='a' name='csrfmiddlewaretoken'>", &["a"]),
            ("<input name=__RequestVerificationToken value=a>", &["a"]),
            (
                "<input name=_token value=a><input name=token value=b>",
                &["a"],
            ),
            ("<button name=_csrf value=a>", &[]),
            (
                "<meta http-equiv=Content-Security-Policy content=\"script-src 'nonce-a+/=' 'self'\">",
                &["a+/="],
            ),
            ("<meta content=\"script-src 'nonce-a'\">", &[]),
        ];
        for (body, expected) in rows {
            assert_eq!(scanned(body).2, *expected, "{body}");
        }
    }
}
