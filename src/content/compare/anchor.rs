//! Selectors for elements: by what stays the same in both bodies and looks chosen by somebody, an id, a name, a
//! class; never by what a machine has made up for one answer.

use super::outline::Outline;
use super::shape::is_chosen;
use crate::content::Span;

/// Attributes that say what an element is, the most telling first.
const TELLING: &[&str] = &[
    "id",
    "name",
    "property",
    "http-equiv",
    "itemprop",
    "rel",
    "class",
    "role",
    "type",
];

/// Selectors that are tried for one element.
const CANDIDATES_MAX: usize = 24;

/// How far up an ancestor is looked for that has an anchor.
const ANCESTORS_MAX: usize = 12;

/// One compound of a selector: `input[name="token"]`, `form#login`, `div.ad`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compound {
    element: String,
    /// An attribute and its value; of a class, one of its words.
    anchor: Option<(&'static str, String)>,
}

/// A selector of one or two compounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    ancestor: Option<Compound>,
    own: Compound,
}

impl Compound {
    fn css(&self) -> String {
        let element = &self.element;
        match &self.anchor {
            None => element.clone(),
            Some(("id", id)) if is_identifier(id) => format!("{element}#{id}"),
            Some(("class", class)) if is_identifier(class) => format!("{element}.{class}"),
            Some(("class", class)) => format!("{element}[class~=\"{class}\"]"),
            Some((name, value)) if is_identifier(value) => format!("{element}[{name}={value}]"),
            Some((name, value)) => format!("{element}[{name}=\"{value}\"]"),
        }
    }

    fn matches(&self, outline: &Outline<'_>, element: usize) -> bool {
        let name = outline.elements[element].name.of(outline.text);
        if !name.eq_ignore_ascii_case(self.element.as_bytes()) {
            return false;
        }
        let Some((attribute, value)) = &self.anchor else {
            return true;
        };
        // Taking a tag apart costs many times as much as looking whether the value is there at all.
        let tag = outline.elements[element].tag.of(outline.text);
        if memchr::memmem::find(tag, value.as_bytes()).is_none() {
            return false;
        }
        let found = outline.attributes(element).into_iter();
        let mut found = found.filter(|(name, _)| name == attribute);
        found.any(|(_, span)| {
            let text = span.of(outline.text);
            match *attribute {
                "class" => text
                    .split(u8::is_ascii_whitespace)
                    .any(|class| class == value.as_bytes()),
                _ => text == value.as_bytes(),
            }
        })
    }
}

impl Selector {
    pub(super) fn css(&self) -> String {
        match &self.ancestor {
            Some(ancestor) => format!("{} {}", ancestor.css(), self.own.css()),
            None => self.own.css(),
        }
    }

    /// What it selects is called something, and not only of some type.
    pub(super) fn is_particular(&self) -> bool {
        let anchor = self.own.anchor.as_ref();
        anchor.is_some_and(|(name, _)| !matches!(*name, "rel" | "role" | "type"))
    }

    /// It says nothing but which element it is: any such element of another page would be meant, too.
    pub(super) fn is_bare(&self) -> bool {
        self.own.anchor.is_none() && self.ancestor.is_none()
    }

    /// The elements that it selects.
    pub(super) fn selected(&self, outline: &Outline<'_>) -> Vec<usize> {
        let all = 1..outline.elements.len();
        all.filter(|&element| {
            self.own.matches(outline, element)
                && self.ancestor.as_ref().is_none_or(|ancestor| {
                    let mut above = outline.upwards(element).skip(1);
                    above.any(|above| ancestor.matches(outline, above))
                })
        })
        .collect()
    }
}

/// Selectors that may mean this element, the simplest first. `but`: an attribute that differs, and anchors nothing.
pub(super) fn selectors(outline: &Outline<'_>, element: usize, but: Option<&str>) -> Vec<Selector> {
    let own = compounds(outline, element, but);
    let mut found: Vec<Selector> = Vec::new();
    for own in own.iter().filter(|own| own.anchor.is_some()) {
        found.push(Selector {
            ancestor: None,
            own: own.clone(),
        });
    }
    let bare = own.last().expect("an element has a name");
    found.push(Selector {
        ancestor: None,
        own: bare.clone(),
    });
    for above in outline.upwards(element).skip(1).take(ANCESTORS_MAX) {
        for ancestor in compounds(outline, above, but) {
            if ancestor.anchor.is_some() {
                found.extend(own.iter().map(|own| Selector {
                    ancestor: Some(ancestor.clone()),
                    own: own.clone(),
                }));
            }
        }
    }
    found.truncate(CANDIDATES_MAX);
    found
}

/// The compounds that an element matches, the most telling first, its bare name last.
fn compounds(outline: &Outline<'_>, element: usize, but: Option<&str>) -> Vec<Compound> {
    let name = outline.name(element);
    let attributes = outline.attributes(element);
    let mut found = Vec::new();
    for telling in TELLING.iter().filter(|telling| but != Some(**telling)) {
        let value = attributes.iter().find(|(name, _)| name == telling);
        let Some((_, span)) = value else { continue };
        for value in values(outline, telling, *span) {
            found.push(Compound {
                element: name.clone(),
                anchor: Some((telling, value)),
            });
        }
    }
    found.push(Compound {
        element: name,
        anchor: None,
    });
    found
}

/// What of an attribute's value can be an anchor.
fn values(outline: &Outline<'_>, attribute: &str, span: Span) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(span.of(outline.text)) else {
        return Vec::new();
    };
    let words: Vec<&str> = match attribute {
        "class" => text.split_ascii_whitespace().collect(),
        _ => vec![text],
    };
    let good = words.into_iter().filter(|word| is_chosen(word));
    good.map(str::to_owned).collect()
}

fn is_identifier(text: &str) -> bool {
    let starts = text
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    starts
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// How a place is shown: `html > body > form#login > input[name=token]`.
pub(super) fn path(outline: &Outline<'_>, element: usize) -> String {
    let steps: Vec<usize> = outline.upwards(element).collect();
    let last = steps.first().copied();
    let step = |&at: &usize| {
        let compounds = compounds(outline, at, None);
        let best = &compounds[0];
        let is_shown = Some(at) == last || matches!(best.anchor, Some(("id", _)));
        match is_shown {
            true => best.css(),
            false => best.element.clone(),
        }
    };
    let steps: Vec<String> = steps.iter().rev().map(step).collect();
    steps.join(" > ")
}

/// The path by names alone, which places that are alike share.
pub(super) fn names(outline: &Outline<'_>, element: usize) -> String {
    let steps: Vec<usize> = outline.upwards(element).collect();
    let steps: Vec<String> = steps.iter().rev().map(|&at| outline.name(at)).collect();
    steps.join(" > ")
}
