//! A canonical form cut into pieces: for markup its tags, texts and comments, for JSON its values, for all else its
//! lines; each piece with the element that it stands in, so that a difference has a place that people understand.
//!
//! Elements are nested as a browser would nest them as far as end tags say so, plus the few that are closed by the
//! next of their kind. A place may be a little off in broken markup; what is proposed is tried before it is said.

use super::Form;
use crate::content::tags::{self, Element as Known, Tag, Tags, Watch};
use crate::content::{Span, is_space, skip_space};

/// Values in deeper nesting have the path of what they stand in at this depth.
const DEPTH_MAX: usize = 200;

/// What has no end tag.
const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source",
    "track", "wbr",
];

/// What ends where the next of its kind begins.
const ENDS_ITSELF: &[&str] = &["li", "p", "option", "tr", "td", "th", "dt", "dd"];

/// What kind of piece it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Sort {
    /// What a reader sees.
    Text,
    /// The content of `<script>`, `<style>` and their like.
    Raw,
    Start,
    End,
    /// A comment, a doctype, an instruction.
    Comment,
    /// A value of a JSON document.
    Value,
    Line,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub sort: Sort,
    /// In the form; in the text until [`Outline::in_form`].
    pub span: Span,
    /// Index into [`Outline::elements`]; of a tag it is the element's own.
    pub element: usize,
}

/// An element of markup, or a value of JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element {
    pub parent: usize,
    pub name: Span,
    /// From `<` to `>`; empty for the document itself and in JSON.
    pub tag: Span,
    /// Its place in the array that it stands in.
    pub index: Option<usize>,
    depth: usize,
}

/// See the paragraph of this file.
pub(super) struct Outline<'a> {
    /// In which elements and their attributes stand; pieces stand in its form.
    pub text: &'a [u8],
    pub pieces: Vec<Piece>,
    /// The first is the document itself.
    pub elements: Vec<Element>,
}

/// The document itself.
pub(super) const ROOT: usize = 0;

const DOCUMENT: Element = Element {
    parent: ROOT,
    name: Span { start: 0, end: 0 },
    tag: Span { start: 0, end: 0 },
    index: None,
    depth: 0,
};

impl<'a> Outline<'a> {
    fn empty(text: &'a [u8]) -> Outline<'a> {
        Outline {
            text,
            pieces: Vec::new(),
            elements: vec![DOCUMENT],
        }
    }

    /// Of HTML and XML.
    pub(super) fn of_markup(text: &'a [u8]) -> Outline<'a> {
        let mut walk = Walk {
            outline: Outline::empty(text),
            open: vec![ROOT],
            at: 0,
        };
        let mut tags = Tags::new(text);
        let mut tag = Tag::default();
        while tags.next(&mut tag, &mut walk) {
            walk.enter(&tag, tags.at());
        }
        walk.gap(text.len());
        walk.outline
    }

    /// Of a JSON document; lenient, like everything that reads what others wrote.
    pub(super) fn of_json(text: &'a [u8]) -> Outline<'a> {
        let mut outline = Outline::empty(text);
        let mut open: Vec<Open> = Vec::new();
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match byte {
                b'{' | b'[' => {
                    let element = outline.value(&mut open);
                    let counts = (*byte == b'[').then_some(0);
                    open.push(Open {
                        element,
                        next_index: counts,
                        key: None,
                    });
                    at += 1;
                }
                b'}' | b']' => {
                    open.pop();
                    at += 1;
                }
                b',' | b':' => at += 1,
                byte if is_space(*byte) => at += 1,
                _ => at = outline.scalar(&mut open, at),
            }
        }
        outline
    }

    /// Of anything else: line by line.
    pub(super) fn of_lines(text: &'a [u8]) -> Outline<'a> {
        let mut outline = Outline::empty(text);
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', text)
            .map(|at| at + 1)
            .chain([text.len()])
        {
            outline.push(Sort::Line, Span { start, end }, ROOT);
            start = end;
        }
        outline
    }

    /// With its pieces where they stand in the form of the text. Of those that a stretch covers which was taken out, one
    /// is left, which is of no kind: how many there were does not count.
    pub(super) fn in_form(mut self, form: &Form<'_>) -> Outline<'a> {
        let mut last = None;
        self.pieces.retain_mut(|piece| {
            let cut = form.cut(piece.span);
            piece.span = form.span(piece.span);
            if cut.is_none() {
                return true;
            }
            piece.sort = Sort::Comment;
            let is_new = cut != last;
            last = cut;
            is_new
        });
        self
    }

    fn push(&mut self, sort: Sort, span: Span, element: usize) {
        if span.start < span.end {
            self.pieces.push(Piece {
                sort,
                span,
                element,
            });
        }
    }

    /// A string, a number or a word at `at`: a key or a value. Returns where it ends.
    fn scalar(&mut self, open: &mut [Open], at: usize) -> usize {
        let end = scalar_end(self.text, at);
        let is_key = open.last().is_some_and(|open| open.next_index.is_none())
            && self.text.get(skip_space(self.text, end)) == Some(&b':');
        if is_key {
            let inside = Span {
                start: at + 1,
                end: (end - 1).max(at + 1),
            };
            open.last_mut().expect("it was just looked at").key = Some(inside);
        } else {
            let element = self.value(open);
            self.push(Sort::Value, Span { start: at, end }, element);
        }
        end
    }

    /// Notes that a value begins.
    fn value(&mut self, open: &mut [Open]) -> usize {
        let mut element = DOCUMENT;
        let Some(inside) = open.last_mut() else {
            return ROOT;
        };
        element.parent = inside.element;
        element.depth = self.elements[inside.element].depth + 1;
        if element.depth > DEPTH_MAX {
            return inside.element;
        }
        match &mut inside.next_index {
            Some(next) => {
                element.index = Some(*next);
                *next += 1;
            }
            None => element.name = inside.key.take().unwrap_or_default(),
        }
        self.elements.push(element);
        self.elements.len() - 1
    }

    /// The element and those that it stands in, innermost first; without the document itself.
    pub(super) fn upwards(&self, element: usize) -> impl Iterator<Item = usize> {
        let above = |&at: &usize| (at != ROOT).then(|| self.elements[at].parent);
        std::iter::successors(Some(element), above).filter(|&at| at != ROOT)
    }

    pub(super) fn name(&self, element: usize) -> String {
        readable(self.elements[element].name.of(self.text))
    }

    /// The attributes of an element's start tag, in the order written, as they stand in the text; names in lower case.
    pub(super) fn attributes(&self, element: usize) -> Vec<(String, Span)> {
        let element = self.elements[element];
        let mut found: Vec<(String, Span)> = Vec::new();
        if element.tag.start == element.tag.end {
            return found;
        }
        let tag = &self.text[..element.tag.end];
        let mut at = element.name.end;
        while let Some(written) = tags::attribute(tag, at) {
            at = written.value_end;
            let name = readable(written.name.of(self.text));
            if found.iter().all(|(other, _)| *other != name) {
                found.push((name, written.value));
            }
        }
        found
    }
}

/// A name in lower case, without the signs that would do something on a terminal.
fn readable(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    name.replace(char::is_control, "\u{fffd}")
}

/// An object or array of JSON that has begun.
struct Open {
    element: usize,
    /// Of an array.
    next_index: Option<usize>,
    key: Option<Span>,
}

/// Where a string, a number or a word ends that begins at `at`; behind `at` in any case.
fn scalar_end(text: &[u8], at: usize) -> usize {
    if text[at] != b'"' {
        let is_end = |byte: &u8| is_space(*byte) || b",:[]{}\"".contains(byte);
        let length = text[at + 1..].iter().position(is_end);
        return length.map_or(text.len(), |length| at + 1 + length);
    }
    let mut end = at + 1;
    while let Some(distance) = memchr::memchr2(b'"', b'\\', text.get(end..).unwrap_or_default()) {
        end += distance;
        if text[end] == b'"' {
            return end + 1;
        }
        end += 2;
    }
    text.len()
}

/// A walk over markup.
struct Walk<'a> {
    outline: Outline<'a>,
    open: Vec<usize>,
    /// Up to where the pieces go.
    at: usize,
}

impl Walk<'_> {
    fn inside(&self) -> usize {
        self.open.last().copied().unwrap_or(ROOT)
    }

    /// What lies between the last piece and here was passed over: comments, declarations, broken tags.
    fn gap(&mut self, end: usize) {
        if self.at < end {
            let span = Span {
                start: self.at,
                end,
            };
            self.outline.push(Sort::Comment, span, self.inside());
            self.at = end;
        }
    }

    fn piece(&mut self, sort: Sort, span: Span, element: usize) {
        if span.start < span.end {
            self.gap(span.start);
            self.outline.push(sort, span, element);
            self.at = span.end;
        }
    }

    /// A start tag, behind which markup goes on at `next`.
    fn enter(&mut self, tag: &Tag, next: usize) {
        let name = tag.name.of(self.outline.text).to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        if ENDS_ITSELF.contains(&&*name)
            && self.inside() != ROOT
            && self.outline.name(self.inside()) == name
        {
            self.open.pop();
        }
        let end = tag.text.map_or(next, |text| text.start);
        let whole = Span {
            start: tag.name.start - 1,
            end,
        };
        let parent = self.inside();
        self.outline.elements.push(Element {
            parent,
            name: tag.name,
            tag: whole,
            index: None,
            depth: self.outline.elements[parent].depth + 1,
        });
        let element = self.outline.elements.len() - 1;
        self.piece(Sort::Start, whole, element);
        let is_empty = VOID.contains(&&*name) || whole.of(self.outline.text).ends_with(b"/>");
        if let Some(text) = tag.text {
            let is_seen = matches!(tag.element, Known::Title | Known::Textarea);
            let sort = if is_seen { Sort::Text } else { Sort::Raw };
            self.piece(sort, text, element);
        }
        if !is_empty && self.open.len() < DEPTH_MAX {
            self.open.push(element);
        }
    }
}

impl Watch for Walk<'_> {
    fn text(&mut self, text: Span) {
        self.piece(Sort::Text, text, self.inside());
    }

    fn literal(&mut self, text: Span) {
        self.piece(Sort::Text, text, self.inside());
    }

    fn start(&mut self, _: &Tag) {}

    /// The end of a `<script>` is among these, too.
    fn end(&mut self, _: Known, name: Span, all: Span) {
        let bytes = name.of(self.outline.text);
        let is_it = |&&element: &&usize| {
            let own = self.outline.elements[element].name.of(self.outline.text);
            own.eq_ignore_ascii_case(bytes)
        };
        let opened = self.open.iter().rev().find(is_it).copied();
        let element = opened.unwrap_or(self.inside());
        self.piece(Sort::End, all, element);
        if let Some(opened) = opened {
            while self.open.pop().is_some_and(|element| element != opened) {}
        }
    }
}
