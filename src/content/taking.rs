//! Takes out of a page what selectors match, while its tags go by.
//!
//! Each step of a selector is one bit. An element inherits from those around it which steps may come next, so that it
//! is tested against these and nothing is ever looked up backwards: time is linear in the page for a given list of
//! selectors, and memory in its depth.

use super::elements::{Elements, Keep, Meaning, Start};
use super::selector::{Combinator, NameKey, STEPS_MAX, Selector, Step, Test};
use super::tags::{self, Element, Tag, Watch};
use super::{Charset, Span, html, is_space};

const HTML: NameKey = NameKey::of(b"html");
const BODY: NameKey = NameKey::of(b"body");

/// Selectors, ready to be matched.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    steps: Vec<Compiled>,
    /// Those that begin a selector.
    first: u128,
}

#[derive(Clone, Debug)]
struct Compiled {
    step: Step,
    then: Then,
}

/// What follows when an element is what a step asks for.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The next step, for whatever is in it.
    Descendants,
    /// The next step, for its children.
    Children,
    Take,
    TakeAttribute(NameKey),
}

impl Selectors {
    /// `None` when they are more than fit.
    pub(super) fn new(list: &[Selector]) -> Option<Selectors> {
        let mut selectors = Selectors::default();
        for selector in list {
            let start = selectors.steps.len();
            if start + selector.steps.len() > STEPS_MAX {
                return None;
            }
            selectors.first |= 1 << start;
            for (index, (_, step)) in selector.steps.iter().enumerate() {
                let next = selector.steps.get(index + 1);
                let then = match (next, selector.attribute) {
                    (Some((Combinator::Descendant, _)), _) => Then::Descendants,
                    (Some((Combinator::Child, _)), _) => Then::Children,
                    (None, None) => Then::Take,
                    (None, Some(attribute)) => Then::TakeAttribute(attribute),
                };
                let step = step.clone();
                selectors.steps.push(Compiled { step, then });
            }
        }
        Some(selectors)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// What is kept about an open element.
#[derive(Clone, Copy, Debug, Default)]
struct Inside {
    /// Steps that what is in it may be.
    below: u128,
    /// Steps that its children may be.
    children: u128,
    /// Where it begins, if it is taken out.
    taken_from: Option<usize>,
    /// It is taken out, or something around it is: nothing in it needs a look.
    is_taken: bool,
}

/// Watches a walk over a page.
pub(super) struct Taking<'a> {
    elements: Elements<Inside>,
    finder: Finder<'a>,
    /// It nests deeper than any page that browsers show: nothing is taken out of it.
    is_too_deep: bool,
}

struct Finder<'a> {
    body: &'a [u8],
    charset: Charset,
    selectors: &'a Selectors,
    /// Attributes of the tag at hand, once they were asked for.
    attributes: Vec<(NameKey, Span)>,
    /// Where the attributes of the tag at hand begin, until they were asked for.
    unread: Option<usize>,
    /// Where values with character references are decoded.
    room: Vec<u8>,
    volatile: Vec<Span>,
}

impl<'a> Taking<'a> {
    pub(super) fn new(body: &'a [u8], charset: Charset, selectors: &'a Selectors) -> Taking<'a> {
        Taking {
            elements: Elements::new(tags::is_xml(body)),
            finder: Finder {
                body,
                charset,
                selectors,
                attributes: Vec::new(),
                unread: None,
                room: Vec::new(),
                volatile: Vec::new(),
            },
            is_too_deep: false,
        }
    }

    /// What was taken out, in any order.
    pub(super) fn finish(mut self) -> Vec<Span> {
        let end = self.finder.body.len();
        self.elements.finish(end, &mut self.finder);
        match self.is_too_deep {
            true => Vec::new(),
            false => self.finder.volatile,
        }
    }
}

impl Watch for Taking<'_> {
    fn text(&mut self, text: Span) {
        if self.elements.is_in_body() {
            return;
        }
        let written = text.of(self.finder.body);
        let written = match text.start {
            0 => written.strip_prefix(b"\xef\xbb\xbf").unwrap_or(written),
            _ => written,
        };
        if let Some(blank) = written.iter().position(|byte| !is_space(*byte)) {
            let at = text.end - written.len() + blank;
            self.elements.text(at, &mut self.finder);
        }
    }

    fn literal(&mut self, _: Span) {}

    fn start(&mut self, tag: &Tag) {
        if self.is_too_deep {
            return;
        }
        let start = Start {
            name: NameKey::of(tag.name.of(self.finder.body)),
            at: tag.all.start,
            is_foreign: tag.is_foreign,
            is_root_of_foreign: tag.element == Element::Foreign,
            is_empty: tag.is_empty,
        };
        let meaning = self.elements.start(start, &mut self.finder);
        if meaning == Meaning::Nothing {
            return;
        }
        // A tag without attributes has nothing between its name and its end.
        let has_attributes = tag.all.end > tag.name.end + 1;
        self.finder.attributes.clear();
        self.finder.unread = has_attributes.then_some(tag.name.end);
        let inside = self
            .finder
            .enter(start.name, start.at, self.elements.last());
        if meaning == Meaning::Leaf {
            self.finder.close(inside, tag.all.end);
        } else if self.elements.is_full() {
            self.is_too_deep = true;
        } else {
            self.elements.push(start, inside);
        }
    }

    fn end(&mut self, _: Element, name: Span, all: Span) {
        if !self.is_too_deep {
            let name = NameKey::of(name.of(self.finder.body));
            self.elements
                .end(name, all.start, all.end, &mut self.finder);
        }
    }
}

impl Keep for Finder<'_> {
    type Kept = Inside;

    fn imply(&mut self, name: NameKey, at: usize, parent: Option<&Inside>) -> Inside {
        self.attributes.clear();
        self.unread = None;
        self.enter(name, at, parent)
    }

    fn close(&mut self, inside: Inside, end: usize) {
        if let Some(start) = inside.taken_from {
            self.volatile.push(Span { start, end });
        }
    }
}

impl Finder<'_> {
    /// Tests the element at hand against the steps that it may be.
    fn enter(&mut self, name: NameKey, at: usize, parent: Option<&Inside>) -> Inside {
        let around = parent.copied().unwrap_or_default();
        let mut inside = Inside {
            below: around.below,
            is_taken: around.is_taken,
            ..Inside::default()
        };
        if inside.is_taken {
            return inside;
        }
        let selectors = self.selectors;
        let mut candidates = selectors.first | around.below | around.children;
        while candidates != 0 {
            let index = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            let compiled = &selectors.steps[index];
            if !self.is(&compiled.step, name) {
                continue;
            }
            match compiled.then {
                Then::Descendants => inside.below |= 2 << index,
                Then::Children => inside.children |= 2 << index,
                // Without these every page is like every other.
                Then::Take if name == HTML || name == BODY => {}
                Then::Take => (inside.taken_from, inside.is_taken) = (Some(at), true),
                Then::TakeAttribute(attribute) => {
                    let value = self.value(attribute);
                    self.volatile.extend(value);
                }
            }
        }
        inside
    }

    fn is(&mut self, step: &Step, name: NameKey) -> bool {
        let is_named = step.name.is_none_or(|wanted| wanted == name);
        is_named && step.tests.iter().all(|test| self.passes(test, name))
    }

    fn passes(&mut self, test: &Test, element: NameKey) -> bool {
        match test {
            Test::Not(steps) => !steps.iter().any(|step| self.is(step, element)),
            Test::Attribute {
                name,
                is,
                is_caseless,
            } => {
                let Some(value) = self.value(*name) else {
                    return false;
                };
                let value = html::read(self.charset, value.of(self.body), &mut self.room);
                is.holds(&value, *is_caseless)
            }
        }
    }

    /// The value of an attribute of the tag at hand, as written.
    fn value(&mut self, name: NameKey) -> Option<Span> {
        if let Some(mut at) = self.unread.take() {
            while let Some(next) = tags::attribute(self.body, at) {
                at = next.value_end;
                let name = NameKey::of(next.name.of(self.body));
                self.attributes.push((name, next.value));
            }
        }
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }
}
