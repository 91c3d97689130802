//! The start tags of a document, found as the WHATWG tokenizer finds them, and nothing besides.
//!
//! What decides whether a browser sees a link is followed: comments in all their endings, bogus
//! comments, raw text elements, the script in a comment in a script, quoting, and that of two
//! attributes with one name the first counts. Text, end tags and most attributes are passed over
//! without looking, which is what makes this several times faster than a tokenizer. It works on
//! bytes, so that any encoding with ASCII in it will do; UTF-16 yields nothing.

use memchr::{memchr, memchr2, memmem};

use super::volatile::VIEW_CLASS_BYTES_MIN;
use super::{Span, is_space, skip_space};

/// One start tag. The caller keeps one and has it filled again and again.
#[derive(Debug, Default)]
pub(super) struct Tag {
    pub element: Element,
    /// All of it, from `<` to behind `>`.
    pub all: Span,
    /// As written.
    pub name: Span,
    /// XML rules hold for it: it stands in SVG or MathML, is one of the two, or the document is XML.
    pub is_foreign: bool,
    /// It is foreign and ends in `/>`, so that it has no content and no end tag.
    pub is_empty: bool,
    /// Those with a name of [`AttributeName`], the first of each name, in the order written.
    pub attributes: Vec<Attribute>,
    /// The content of a raw text element such as `<style>`; empty for others.
    pub text: Option<Span>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub name: AttributeName,
    /// The value as written, without its quotes, its references not resolved.
    pub value: Span,
}

/// The elements that are treated differently from any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Element {
    Applet,
    Base,
    Button,
    Fieldset,
    Form,
    Iframe,
    Input,
    Link,
    /// What shows or plays something: `<img>`, `<source>`, `<video>` and their like.
    Media,
    Meta,
    Object,
    Optgroup,
    Option,
    Script,
    Select,
    Style,
    /// `<use>`, `<image>` and `<feImage>`: what SVG takes in from elsewhere.
    SvgPart,
    Template,
    Textarea,
    /// `<svg>` and `<math>`: XML rules hold inside.
    Foreign,
    Title,
    /// Further elements whose content is text up to their own end tag.
    Raw,
    /// Everything that follows is text.
    Plaintext,
    #[default]
    Other,
}

/// The attributes that can matter. Fewer than 64, so that a set of them is a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AttributeName {
    Action,
    Archive,
    Background,
    /// `data-cf-beacon`.
    CfBeacon,
    Checked,
    Cite,
    /// A class that is long enough to have an id in it.
    Class,
    Code,
    Codebase,
    Content,
    Data,
    DataSrc,
    DataSrcset,
    Disabled,
    /// `data-drupal-selector`.
    DrupalSelector,
    Form,
    Formaction,
    Formmethod,
    Href,
    HttpEquiv,
    Id,
    Imagesrcset,
    Itemprop,
    /// `wire:snapshot` or `wire:initial-data`.
    Livewire,
    Longdesc,
    Method,
    Multiple,
    Name,
    Nonce,
    Poster,
    Property,
    /// Any of those that name other elements by their ids. A tag may have several.
    Reference,
    Rel,
    Selected,
    Src,
    Srcdoc,
    Srcset,
    Style,
    /// Any of those whose value is a token: `data-csp-nonce` and its like. A tag may have several.
    Token,
    Type,
    Value,
    XlinkHref,
}

/// What a walk meets besides the start tags that it returns. Nobody listens in the usual pass, and the
/// compiler then leaves the calls out.
pub(super) trait Watch {
    /// Text between tags, its references not resolved.
    fn text(&mut self, text: Span);
    /// Text in which nothing is a reference.
    fn literal(&mut self, text: Span);
    fn start(&mut self, tag: &Tag);
    /// An end tag, `all` of it from `<` to behind `>`.
    fn end(&mut self, element: Element, name: Span, all: Span);
}

/// Nobody watches.
pub(super) struct Nobody;

impl Watch for Nobody {
    fn text(&mut self, _: Span) {}
    fn literal(&mut self, _: Span) {}
    fn start(&mut self, _: &Tag) {}
    fn end(&mut self, _: Element, _: Span, _: Span) {}
}

/// Two watch the same walk.
impl<One: Watch, Other: Watch> Watch for (&mut One, &mut Other) {
    fn text(&mut self, text: Span) {
        self.0.text(text);
        self.1.text(text);
    }

    fn literal(&mut self, text: Span) {
        self.0.literal(text);
        self.1.literal(text);
    }

    fn start(&mut self, tag: &Tag) {
        self.0.start(tag);
        self.1.start(tag);
    }

    fn end(&mut self, element: Element, name: Span, all: Span) {
        self.0.end(element, name, all);
        self.1.end(element, name, all);
    }
}

/// Whether a document says of itself that XML rules hold in it.
pub(super) fn is_xml(body: &[u8]) -> bool {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    text[skip_space(text, 0)..].starts_with(b"<?xml")
}

/// What opens a CDATA section.
const CDATA: &[u8] = b"<![CDATA[";

/// A walk over the start tags of `body`.
pub(super) struct Tags<'a> {
    body: &'a [u8],
    at: usize,
    /// How many `<svg>` and `<math>` are open; one more throughout a document that is XML.
    foreign: usize,
    /// The contents of `<!--[if …]> … <![endif]-->`, which old browsers read as markup.
    pub conditional: Vec<Span>,
    /// The contents of the other comments that are long enough to say something.
    pub comments: Vec<Span>,
}

/// The shortest comment that says anything about an answer: a duration such as `0.1 s`.
const COMMENT_BYTES_MIN: usize = 5;

impl Tag {
    /// The value of the attribute as written, if the tag has it.
    pub(super) fn value(&self, name: AttributeName) -> Option<Span> {
        let found = self
            .attributes
            .iter()
            .find(|attribute| attribute.name == name);
        found.map(|attribute| attribute.value)
    }
}

impl<'a> Tags<'a> {
    pub(super) fn new(body: &'a [u8]) -> Tags<'a> {
        Tags {
            body,
            at: 0,
            foreign: usize::from(is_xml(body)),
            conditional: Vec::new(),
            comments: Vec::new(),
        }
    }

    /// Where the walk goes on: behind the last tag, or behind the raw text that belongs to it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Fills `tag` with the next start tag; false at the end. A tag that the end of the body cuts off
    /// is none.
    pub(super) fn next(&mut self, tag: &mut Tag, watch: &mut impl Watch) -> bool {
        while let Some(distance) = near(b'<', &self.body[self.at..]) {
            let start = self.at;
            let open = start + distance;
            let text = Span { start, end: open };
            match self.body.get(open + 1) {
                Some(letter) if letter.is_ascii_alphabetic() => {
                    watch.text(text);
                    if self.start_tag(open + 1, tag) {
                        watch.start(tag);
                        return true;
                    }
                }
                Some(b'/') if open + 2 < self.body.len() => {
                    watch.text(text);
                    if let Some((element, name)) = self.end_tag(open + 2) {
                        let all = Span {
                            start: open,
                            end: self.at,
                        };
                        watch.end(element, name, all);
                    }
                }
                Some(b'!') => {
                    watch.text(text);
                    if let Some(literal) = self.declaration(open) {
                        watch.literal(literal);
                    }
                }
                Some(b'?') => {
                    watch.text(text);
                    self.at = self.past(b">", open + 2);
                }
                _ => {
                    self.at = open + 1;
                    watch.text(Span {
                        start,
                        end: self.at,
                    });
                }
            }
        }
        watch.text(Span {
            start: self.at,
            end: self.body.len(),
        });
        self.at = self.body.len();
        false
    }

    fn start_tag(&mut self, name: usize, tag: &mut Tag) -> bool {
        let name = Span {
            start: name,
            end: self.name_end(name),
        };
        tag.element = element(name.of(self.body));
        tag.name = name;
        tag.text = None;
        tag.attributes.clear();
        let mut seen = 0u64;
        let mut at = name.end;
        while let Some(next) = attribute(self.body, at) {
            at = next.value_end;
            let Some(name) = attribute_name(next.name.of(self.body)) else {
                continue;
            };
            if name == AttributeName::Class
                && next.value.end - next.value.start < VIEW_CLASS_BYTES_MIN
            {
                continue;
            }
            if seen & (1 << name as u64) == 0 {
                seen |= single(name);
                tag.attributes.push(Attribute {
                    name,
                    value: next.value,
                });
            }
        }
        let Some(closed) = self.tag_end(at) else {
            self.at = self.body.len();
            return false;
        };
        self.at = closed + 1;
        tag.all = Span {
            start: name.start - 1,
            end: self.at,
        };
        // In XML rules a tag that ends in `/>` has no content; a slash in an unquoted value is not that.
        tag.is_foreign = self.foreign > 0 || tag.element == Element::Foreign;
        tag.is_empty = tag.is_foreign && self.body[at..closed].ends_with(b"/");
        if !tag.is_empty {
            self.enter(tag, name);
        }
        true
    }

    /// Goes to where markup goes on after a start tag.
    fn enter(&mut self, tag: &mut Tag, name: Span) {
        let end = match tag.element {
            Element::Foreign => {
                self.foreign += 1;
                return;
            }
            Element::Script => script_end(self.body, self.at),
            Element::Style
            | Element::Title
            | Element::Textarea
            | Element::Iframe
            | Element::Raw => raw_end(self.body, self.at, name.of(self.body)),
            Element::Plaintext => self.body.len(),
            _ => return,
        };
        tag.text = Some(Span {
            start: self.at,
            end,
        });
        self.at = end;
    }

    /// Passes an end tag; which one, unless it is a bogus comment or cut off.
    fn end_tag(&mut self, name: usize) -> Option<(Element, Span)> {
        if !self.body.get(name).is_some_and(u8::is_ascii_alphabetic) {
            self.at = self.past(b">", name);
            return None;
        }
        let name = Span {
            start: name,
            end: self.name_end(name),
        };
        let mut at = name.end;
        // Nearly every end tag ends where its name does.
        if self.body.get(at) != Some(&b'>') {
            while let Some(next) = attribute(self.body, at) {
                at = next.value_end;
            }
        }
        let closed = self.tag_end(at);
        self.at = closed.map_or(self.body.len(), |closed| closed + 1);
        let element = element(name.of(self.body));
        if element == Element::Foreign {
            self.foreign = self.foreign.saturating_sub(1);
        }
        closed.map(|_| (element, name))
    }

    /// Passes what begins with `<!`: a comment, a doctype, a bogus comment, or a CDATA section, whose text
    /// is returned.
    fn declaration(&mut self, open: usize) -> Option<Span> {
        let text = &self.body[open..];
        if text.starts_with(b"<!--") {
            self.at = self.comment_end(open);
            let all = Span {
                start: open + 4,
                end: self.at,
            };
            if text[4..].trim_ascii_start().starts_with(b"[if") {
                self.conditional.push(all);
            } else if all.end.saturating_sub(all.start) > COMMENT_BYTES_MIN {
                self.comments.push(all);
            }
        } else if self.foreign > 0 && text.starts_with(CDATA) {
            self.at = self.past(b"]]>", open);
            let start = open + CDATA.len();
            let end = if self.body[..self.at].ends_with(b"]]>") {
                self.at - 3
            } else {
                self.at
            };
            return (start < end).then_some(Span { start, end });
        } else {
            self.at = self.past(b">", open);
        }
        None
    }

    /// A comment ends at `-->`, whose dashes may be those that opened it (`<!-->`), or at `--!>`,
    /// whose dashes may not.
    fn comment_end(&self, open: usize) -> usize {
        let mut at = open + 4;
        while let Some(distance) = memchr(b'>', &self.body[at..]) {
            let close = at + distance;
            let is_end = self.body[open + 2..close].ends_with(b"--")
                || self.body[open + 4..close].ends_with(b"--!");
            if is_end {
                return close + 1;
            }
            at = close + 1;
        }
        self.body.len()
    }

    /// Behind the next `mark` at or after `at`; the end of the body when there is none.
    fn past(&self, mark: &[u8], at: usize) -> usize {
        let at = at.min(self.body.len());
        let found = match mark {
            [byte] => memchr(*byte, &self.body[at..]),
            _ => memmem::find(&self.body[at..], mark),
        };
        found.map_or(self.body.len(), |distance| at + distance + mark.len())
    }

    fn name_end(&self, at: usize) -> usize {
        let is_end = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>');
        self.body[at..]
            .iter()
            .position(is_end)
            .map_or(self.body.len(), |length| at + length)
    }

    /// Where the `>` of a tag stands after its last attribute; `None` if the body ends before.
    fn tag_end(&self, at: usize) -> Option<usize> {
        let end = skip_between(self.body, at);
        (self.body.get(end) == Some(&b'>')).then_some(end)
    }
}

/// Words that [`near`] looks at before it calls for the vector registers.
const NEAR_WORDS: usize = 4;

/// The first `byte` in `text`, as [`memchr`] finds it, which takes longer to begin than the few bytes are worth after
/// which most texts and values end.
#[inline]
fn near(byte: u8, text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let wanted = ONES * u64::from(byte);
    let mut at = 0;
    for word in text.as_chunks::<8>().0.iter().take(NEAR_WORDS) {
        let differing = u64::from_le_bytes(*word) ^ wanted;
        // Of each byte that is zero the highest bit is set; of others only above the first of these.
        let found = differing.wrapping_sub(ONES) & !differing & HIGHS;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr(byte, &text[at..]).map(|distance| at + distance)
}

fn skip_between(body: &[u8], at: usize) -> usize {
    let is_between = |byte: &&u8| is_space(**byte) || **byte == b'/';
    at + body[at..].iter().take_while(is_between).count()
}

/// The attribute at or after `at`, which lies in a tag behind its name or another attribute; `None` at the tag's end
/// and where the body cuts the tag off.
pub(super) fn attribute(body: &[u8], at: usize) -> Option<Written> {
    let start = skip_between(body, at);
    if matches!(body.get(start), None | Some(b'>')) {
        return None;
    }
    // An equals sign in first place is part of the name.
    let is_end = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'>' | b'=');
    let rest = &body[start + 1..];
    let end = rest
        .iter()
        .position(is_end)
        .map_or(body.len(), |length| start + 1 + length);
    let name = Span { start, end };
    let equals = skip_space(body, end);
    if body.get(equals) == Some(&b'=') {
        return attribute_value(body, name, skip_space(body, equals + 1));
    }
    Some(Written {
        name,
        value: Span { start: end, end },
        value_end: end,
    })
}

fn attribute_value(body: &[u8], name: Span, at: usize) -> Option<Written> {
    let first = *body.get(at)?;
    if matches!(first, b'"' | b'\'') {
        let start = at + 1;
        let end = start + near(first, &body[start..])?;
        return Some(Written {
            name,
            value: Span { start, end },
            value_end: end + 1,
        });
    }
    let is_end = |byte: &u8| is_space(*byte) || *byte == b'>';
    let end = at + body[at..].iter().position(is_end)?;
    Some(Written {
        name,
        value: Span { start: at, end },
        value_end: end,
    })
}

/// The bit of a name that only the first attribute may have; none for those that stand for several.
fn single(name: AttributeName) -> u64 {
    match name {
        AttributeName::Reference | AttributeName::Livewire | AttributeName::Token => 0,
        name => 1 << name as u64,
    }
}

/// An attribute as it stands in the body. `value_end` lies behind the closing quote.
pub(super) struct Written {
    pub name: Span,
    pub value: Span,
    pub value_end: usize,
}

/// Finds the few names of this length and beginning that it may be, and only then compares: most elements are
/// none of these.
fn element(name: &[u8]) -> Element {
    let Some(first) = name.first() else {
        return Element::Other;
    };
    let candidates: &[(&[u8], Element)] = match (name.len(), first | 0x20) {
        (3, b'i') => &[(b"img", Element::Media)],
        (3, b's') => &[(b"svg", Element::Foreign)],
        (3, b'u') => &[(b"use", Element::SvgPart)],
        (3, b'x') => &[(b"xmp", Element::Raw)],
        (4, b'b') => &[(b"base", Element::Base)],
        (4, b'f') => &[(b"form", Element::Form)],
        (4, b'l') => &[(b"link", Element::Link)],
        (4, b'm') => &[(b"meta", Element::Meta), (b"math", Element::Foreign)],
        (5, b'a') => &[(b"audio", Element::Media)],
        (5, b'e') => &[(b"embed", Element::Media)],
        (5, b'i') => &[(b"input", Element::Input), (b"image", Element::SvgPart)],
        (5, b's') => &[(b"style", Element::Style)],
        (5, b't') => &[(b"title", Element::Title), (b"track", Element::Media)],
        (5, b'v') => &[(b"video", Element::Media)],
        (6, b'a') => &[(b"applet", Element::Applet)],
        (6, b'b') => &[(b"button", Element::Button)],
        (6, b'i') => &[(b"iframe", Element::Iframe)],
        (6, b'o') => &[(b"object", Element::Object), (b"option", Element::Option)],
        (6, b's') => &[
            (b"script", Element::Script),
            (b"source", Element::Media),
            (b"select", Element::Select),
        ],
        (7, b'f') => &[(b"feimage", Element::SvgPart)],
        (7, b'n') => &[(b"noembed", Element::Raw)],
        (8, b'f') => &[(b"fieldset", Element::Fieldset)],
        (8, b'n') => &[(b"noframes", Element::Raw)],
        (8, b'o') => &[(b"optgroup", Element::Optgroup)],
        (8, b't') => &[
            (b"textarea", Element::Textarea),
            (b"template", Element::Template),
        ],
        (9, b'p') => &[(b"plaintext", Element::Plaintext)],
        _ => return Element::Other,
    };
    let mut found = candidates
        .iter()
        .filter(|(known, _)| name.eq_ignore_ascii_case(known));
    found.next().map_or(Element::Other, |(_, element)| *element)
}

/// Finds the one name of this length and beginning that it may be, and only then compares: most attributes
/// are none of these.
// long: a table
fn attribute_name(name: &[u8]) -> Option<AttributeName> {
    use AttributeName::*;
    let first = name.first()? | 0x20;
    let (found, known): (AttributeName, &[u8]) = match (name.len(), first) {
        (2, b'i') => (Id, b"id"),
        (3, b'f') => (Reference, b"for"),
        (3, b's') => (Src, b"src"),
        (3, b'r') => (Rel, b"rel"),
        (4, b'h') => (Href, b"href"),
        (4, b'l') => (Reference, b"list"),
        (4, b'n') => (Name, b"name"),
        (4, b't') => (Type, b"type"),
        (4, b'd') => (Data, b"data"),
        (4, b'f') => (Form, b"form"),
        (4, b'c') if name[1] | 0x20 == b'i' => (Cite, b"cite"),
        (4, b'c') => (Code, b"code"),
        (5, b'c') => (Class, b"class"),
        (5, b's') => (Style, b"style"),
        (5, b'v') => (Value, b"value"),
        (5, b'n') => (Nonce, b"nonce"),
        (6, b's') if name[4] | 0x20 == b'o' => (Srcdoc, b"srcdoc"),
        (6, b's') => (Srcset, b"srcset"),
        (6, b'a') => (Action, b"action"),
        (6, b'm') => (Method, b"method"),
        (6, b'p') => (Poster, b"poster"),
        (7, b'c') if name[1] | 0x20 == b'h' => (Checked, b"checked"),
        (7, b'c') => (Content, b"content"),
        (7, b'a') => (Archive, b"archive"),
        (7, b'h') => (Reference, b"headers"),
        (7, b'w') => (Token, b"wire:id"),
        (8, b'd') if name[1] | 0x20 == b'a' => (DataSrc, b"data-src"),
        (8, b'd') => (Disabled, b"disabled"),
        (8, b'c') => (Codebase, b"codebase"),
        (8, b'i') => (Itemprop, b"itemprop"),
        (8, b'l') => (Longdesc, b"longdesc"),
        (8, b'm') => (Multiple, b"multiple"),
        (8, b'p') => (Property, b"property"),
        (8, b's') => (Selected, b"selected"),
        (9, b'a') => (Reference, b"aria-owns"),
        (9, b'd') => (Token, b"data-csrf"),
        (10, b'b') => (Background, b"background"),
        (10, b'c') => (Reference, b"commandfor"),
        (10, b'd') => (Token, b"data-nonce"),
        (10, b'f') if name[4] | 0x20 == b'a' => (Formaction, b"formaction"),
        (10, b'f') => (Formmethod, b"formmethod"),
        (10, b'h') => (HttpEquiv, b"http-equiv"),
        (10, b'x') => (XlinkHref, b"xlink:href"),
        (11, b'a') => (Reference, b"aria-flowto"),
        (11, b'd') if name[5] | 0x20 == b't' => (Reference, b"data-target"),
        (11, b'd') => (DataSrcset, b"data-srcset"),
        (11, b'i') => (Imagesrcset, b"imagesrcset"),
        (12, b'a') => (Reference, b"aria-details"),
        (13, b'a') => (Reference, b"aria-controls"),
        (13, b'p') => (Reference, b"popovertarget"),
        (13, b'w') => (Livewire, b"wire:snapshot"),
        (14, b'd') if name[5] | 0x20 == b'b' => (Reference, b"data-bs-target"),
        (14, b'd') if name[6] | 0x20 == b's' => (Token, b"data-csp-nonce"),
        (14, b'd') => (CfBeacon, b"data-cf-beacon"),
        (15, b'a') => (Reference, b"aria-labelledby"),
        (15, b'd') if name[5] | 0x20 == b'c' => (Token, b"data-csrf-token"),
        (15, b'd') => (Token, b"data-phx-static"),
        (16, b'a') => (Reference, b"aria-describedby"),
        (16, b'd') if name[5] | 0x20 == b'c' => (Token, b"data-cf-settings"),
        (16, b'd') => (Token, b"data-phx-session"),
        (17, b'a') => (Reference, b"aria-errormessage"),
        (17, b'w') => (Livewire, b"wire:initial-data"),
        (20, b'd') => (DrupalSelector, b"data-drupal-selector"),
        (21, b'a') => (Reference, b"aria-activedescendant"),
        _ => return None,
    };
    name.eq_ignore_ascii_case(known).then_some(found)
}

/// The name of the attribute whose value begins at `value`.
pub(super) fn name_before(body: &[u8], value: usize) -> &[u8] {
    let is_between = |byte: &u8| is_space(*byte) || matches!(byte, b'=' | b'"' | b'\'');
    let end = body[..value]
        .iter()
        .rposition(|byte| !is_between(byte))
        .map_or(0, |last| last + 1);
    let is_end = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'"' | b'\'');
    let start = body[..end]
        .iter()
        .rposition(is_end)
        .map_or(0, |before| before + 1);
    &body[start..end]
}

/// Whether `name` stands at `at`, as a whole word of a tag.
fn is_named(body: &[u8], at: usize, name: &[u8]) -> bool {
    let Some(rest) = body.get(at..).filter(|rest| rest.len() > name.len()) else {
        return false;
    };
    let next = rest[name.len()];
    rest[..name.len()].eq_ignore_ascii_case(name) && (is_space(next) || matches!(next, b'/' | b'>'))
}

/// Where the end tag of a raw text element begins; the end of the body when there is none.
fn raw_end(body: &[u8], mut at: usize, name: &[u8]) -> usize {
    while let Some(distance) = memchr(b'<', &body[at..]) {
        let open = at + distance;
        if body.get(open + 1) == Some(&b'/') && is_named(body, open + 2, name) {
            return open;
        }
        at = open + 1;
    }
    body.len()
}

/// The same for a script, in which `<!-- <script>` hides the next `</script>` for historical reasons.
fn script_end(body: &[u8], start: usize) -> usize {
    let end = raw_end(body, start, b"script");
    let Some(comment) = memmem::find(&body[start..end], b"<!--") else {
        return end;
    };
    // In the comment (escaped) only an inner script hides the end tag; `-->` leaves both.
    let mut at = start + comment;
    let (mut is_escaped, mut is_hidden) = (false, false);
    while let Some(distance) = memchr2(b'<', b'-', &body[at..]) {
        at += distance;
        let rest = &body[at..];
        if rest.starts_with(b"-->") {
            (is_escaped, is_hidden) = (false, false);
        } else if rest.starts_with(b"<!--") {
            is_escaped = true;
            // The dashes that open a comment may close it too.
            at += 1;
        } else if rest.starts_with(b"</") && is_named(body, at + 2, b"script") {
            if !is_hidden {
                return at;
            }
            is_hidden = false;
        } else if is_escaped && is_named(body, at + 1, b"script") {
            is_hidden = true;
        }
        at += 1;
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The `href` values of all start tags.
    fn hrefs(body: &str) -> Vec<&str> {
        let mut tags = Tags::new(body.as_bytes());
        let mut tag = Tag::default();
        let mut found = Vec::new();
        while tags.next(&mut tag, &mut Nobody) {
            if let Some(value) = tag.value(AttributeName::Href) {
                found.push(&body[value.start..value.end]);
            }
        }
        found
    }

    /// One trap each, with the `href` values that a browser's tokenizer makes of it.
    const TRAPS: &[(&str, &[&str])] = &[
        ("<a href=x>", &["x"]),
        ("<A HREF='x y'>", &["x y"]),
        ("<a href = \"x>y\">", &["x>y"]),
        ("<a href=x/y/>", &["x/y/"]),
        ("<a href=\"x\"class=y href=z>", &["x"]),
        ("<a/href=x>", &["x"]),
        ("<a =href=x>", &[]),
        ("<a href>", &[""]),
        ("<a href=>x</a><a href=y>", &["", "y"]),
        ("<a href='x>", &[]),
        ("<a href=x", &[]),
        ("<a href=x ", &[]),
        ("<a title='<a href=y>' href=x>", &["x"]),
        ("<", &[]),
        ("< a href=x>", &[]),
        ("<1><a href=x>", &["x"]),
        ("<<a href=x>", &["x"]),
        ("</a href=y><a href=x>", &["x"]),
        ("</a title='>' href=y><a href=x>", &["x"]),
        ("</><a href=x>", &["x"]),
        ("</ <a href=y>><a href=x>", &["x"]),
        ("</", &[]),
        ("<!", &[]),
        ("<?", &[]),
        ("<!-- <a href=y> --><a href=x>", &["x"]),
        ("<!--><a href=x>-->", &["x"]),
        ("<!---><a href=x>-->", &["x"]),
        ("<!----><a href=x>", &["x"]),
        ("<!--!><a href=y>--><a href=x>", &["x"]),
        ("<!---!><a href=y>--><a href=x>", &["x"]),
        ("<!-- --!><a href=x>", &["x"]),
        ("<!-- -- ><a href=y>--><a href=x>", &["x"]),
        ("<!-- <a href=y>", &[]),
        ("<!doctype html><a href=x>", &["x"]),
        ("<![CDATA[<a href=y>]]><a href=x>", &["x"]),
        ("<?php <a href=y> ?><a href=x>", &["x"]),
        ("<script>'<a href=y>'</script><a href=x>", &["x"]),
        ("<script>'</scripty><a href=y>'</SCRIPT ><a href=x>", &["x"]),
        ("<script><!-- </script><a href=x>", &["x"]),
        (
            "<script><!-- <script> </script><a href=y> --></script><a href=x>",
            &["x"],
        ),
        (
            "<script><!-- <script> </script><a href=y></script><a href=x>",
            &["x"],
        ),
        ("<script><!--><script></script><a href=x>", &["x"]),
        ("<script><!-- <scripted> </script><a href=x>", &["x"]),
        ("<script/><a href=y></script><a href=x>", &["x"]),
        ("<script>", &[]),
        ("<style><a href=y></style><a href=x>", &["x"]),
        ("<title><a href=y></title><a href=x>", &["x"]),
        ("<textarea><a href=y></textarea/><a href=x>", &["x"]),
        ("<xmp><a href=y></xmp><a href=x>", &["x"]),
        ("<iframe><a href=y></iframe><a href=x>", &["x"]),
        ("<noembed><a href=y></noembed><a href=x>", &["x"]),
        ("<noframes><a href=y></noframes><a href=x>", &["x"]),
        ("<noscript><a href=x></noscript>", &["x"]),
        ("<template><a href=x></template>", &["x"]),
        ("<plaintext><a href=y></plaintext><a href=y>", &[]),
        ("<title><a href=y></title", &[]),
        ("<svg><title/><a href=x></svg>", &["x"]),
        (
            "<svg><style/></svg><title><a href=y></title><a href=x>",
            &["x"],
        ),
        ("<svg/><script/><a href=y></script><a href=x>", &["x"]),
        ("<svg class=x/><title/><a href=x></svg>", &["x"]),
        ("<svg><![CDATA[<a href=y>]]><a href=x></svg>", &["x"]),
        (
            "<?xml version='1.0'?><script href=z /><a href=x />",
            &["z", "x"],
        ),
        ("\u{feff} <?xml?><title/><a href=x />", &["x"]),
    ];

    #[test]
    fn tags_are_where_the_html_standard_says_they_are() {
        // Every trap springs as it does in a browser.
        for (body, expected) in TRAPS {
            assert_eq!(hrefs(body), *expected, "{body}");
        }
    }
}
