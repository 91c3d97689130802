//! Two outlines side by side: which pieces are the same, which belong together and differ, which only one has.
//!
//! Pieces are compared as a whole first, so that tags and texts that are alike anchor everything else; what lies
//! between is paired by kind and name. The algorithm is Myers' with the bounds that git has: close to linear, and at
//! the deadline the rest counts as replaced.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::time::Instant;

use similar::{Algorithm, DiffTag, capture_diff_slices_deadline};

use super::Form;
use super::outline::{Outline, Piece, Sort};
use super::shape::{Fragment, Look, fragments};
use crate::content::Span;

/// Differences looked at; a page that has more of them is another page, and the first ones say as much.
const DIFFERENCES_MAX: usize = 4096;

/// Which part of an element differs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Part {
    Attribute(String),
    Text,
    Raw,
    Comment,
    Value,
    Line,
    /// What has no name.
    Bytes,
    /// Stands in one of the bodies only.
    Missing,
}

/// One place at which the bodies differ.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub part: Part,
    pub look: Look,
    pub before: Side,
    pub after: Side,
}

/// Its half in one of the forms.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub element: usize,
    /// The attribute's value, the text, the comment.
    pub whole: Span,
    /// What differs of it.
    pub span: Span,
}

/// Differences in the order of the body, and whether these are all.
pub(super) fn differences(
    outlines: [&Outline<'_>; 2],
    forms: [&Form<'_>; 2],
    deadline: Instant,
) -> (Vec<Difference>, bool) {
    let [before, after] = outlines;
    let mut known = HashMap::new();
    let old = tokens(before, forms[0], &mut known);
    let new = tokens(after, forms[1], &mut known);
    let mut found = Found {
        before,
        after,
        forms,
        deadline,
        differences: Vec::new(),
    };
    for (one, other) in edits(&old, &new, deadline) {
        if found.differences.len() >= DIFFERENCES_MAX {
            return (found.differences, false);
        }
        found.hunk(one, other);
    }
    (found.differences, true)
}

/// Each piece as a number; pieces of one kind with the same bytes have the same.
fn tokens<'a>(
    outline: &Outline<'_>,
    form: &'a Form<'_>,
    known: &mut HashMap<(Sort, &'a [u8]), usize>,
) -> Vec<usize> {
    let token = |piece: &Piece| {
        let next = known.len();
        let bytes = piece.span.of(&form.bytes);
        *known.entry((piece.sort, bytes)).or_insert(next)
    };
    outline.pieces.iter().map(token).collect()
}

type Hunk = (Range<usize>, Range<usize>);

/// The ranges of both that are not the same.
fn edits<T: Hash + Eq>(before: &[T], after: &[T], deadline: Instant) -> Vec<Hunk> {
    let edits = capture_diff_slices_deadline(Algorithm::Myers, before, after, Some(deadline));
    let edits = edits.iter().map(similar::DiffOp::as_tag_tuple);
    edits
        .filter(|(tag, _, _)| *tag != DiffTag::Equal)
        .map(|(_, one, other)| (one, other))
        .collect()
}

struct Found<'a> {
    before: &'a Outline<'a>,
    after: &'a Outline<'a>,
    forms: [&'a Form<'a>; 2],
    deadline: Instant,
    differences: Vec<Difference>,
}

impl Found<'_> {
    /// Pieces that are not the same: pairs of one kind and name, and what is left over.
    fn hunk(&mut self, old: Range<usize>, new: Range<usize>) {
        let kinds = |outline: &Outline<'_>, range: &Range<usize>| -> Vec<(Sort, String)> {
            let pieces = outline.pieces[range.clone()].iter();
            pieces
                .map(|piece| (piece.sort, kin(outline, piece)))
                .collect()
        };
        let (olds, news) = (kinds(self.before, &old), kinds(self.after, &new));
        let (mut one, mut other) = (0, 0);
        let end = (olds.len()..olds.len(), news.len()..news.len());
        for (removed, added) in edits(&olds, &news, self.deadline).into_iter().chain([end]) {
            while one < removed.start && other < added.start {
                self.pair(old.start + one, new.start + other);
                one += 1;
                other += 1;
            }
            let gone = old.start + removed.start..old.start + removed.end;
            let come = new.start + added.start..new.start + added.end;
            self.left_over(gone, come);
            (one, other) = (removed.end, added.end);
        }
    }

    fn pair(&mut self, old: usize, new: usize) {
        let (old, new) = (self.before.pieces[old], self.after.pieces[new]);
        let part = match old.sort {
            Sort::Text => Part::Text,
            Sort::Raw => Part::Raw,
            Sort::Comment => Part::Comment,
            Sort::Value => Part::Value,
            Sort::Line => Part::Line,
            Sort::Start => return self.tags(old, new),
            Sort::End => return,
        };
        self.values(part, (old.element, old.span), (new.element, new.span));
    }

    /// Two start tags of one name: their attributes by name.
    fn tags(&mut self, old: Piece, new: Piece) {
        let attributes = |outline: &Outline<'_>, form: &Form<'_>, element| -> Vec<(String, Span)> {
            let found = outline.attributes(element).into_iter();
            found
                .map(|(name, value)| (name, form.span(value)))
                .collect()
        };
        let olds = attributes(self.before, self.forms[0], old.element);
        let news = attributes(self.after, self.forms[1], new.element);
        for (name, value) in &olds {
            let part = Part::Attribute(name.clone());
            match news.iter().find(|(other, _)| other == name) {
                Some((_, other)) => {
                    self.values(part, (old.element, *value), (new.element, *other));
                }
                None => self.one_sided((old.element, *value), (new.element, after_name(new))),
            }
        }
        for (name, value) in &news {
            if olds.iter().all(|(other, _)| other != name) {
                self.one_sided((old.element, after_name(old)), (new.element, *value));
            }
        }
    }

    fn values(&mut self, part: Part, old: (usize, Span), new: (usize, Span)) {
        let [before, after] = self.forms;
        let (one, other) = (old.1.of(&before.bytes), new.1.of(&after.bytes));
        for Fragment {
            before,
            after,
            look,
        } in fragments(one, other, self.deadline)
        {
            let side = |(element, whole): (usize, Span), range: Range<usize>| Side {
                element,
                whole,
                span: Span {
                    start: whole.start + range.start,
                    end: whole.start + range.end,
                },
            };
            self.differences.push(Difference {
                part: part.clone(),
                look,
                before: side(old, before),
                after: side(new, after),
            });
        }
    }

    /// Pieces that only one body has, or that have no counterpart of their kind.
    fn left_over(&mut self, old: Range<usize>, new: Range<usize>) {
        let side = |outline: &Outline<'_>, range: Range<usize>| {
            let pieces = &outline.pieces[range.clone()];
            let whole = match (pieces.first(), pieces.last()) {
                (Some(first), Some(last)) => Span {
                    start: first.span.start,
                    end: last.span.end,
                },
                _ => {
                    let before = range
                        .start
                        .checked_sub(1)
                        .map(|at| outline.pieces[at].span.end);
                    let at = before.unwrap_or(0);
                    Span { start: at, end: at }
                }
            };
            let around = outline.pieces.get(range.start);
            let element = around.map_or(0, |piece| match piece.sort {
                Sort::Start | Sort::Value => outline.elements[piece.element].parent,
                _ => piece.element,
            });
            (element, whole)
        };
        let (one, other) = (side(self.before, old), side(self.after, new));
        if one.1.start < one.1.end || other.1.start < other.1.end {
            self.one_sided(one, other);
        }
    }

    fn one_sided(&mut self, old: (usize, Span), new: (usize, Span)) {
        let side = |(element, whole)| Side {
            element,
            whole,
            span: whole,
        };
        self.differences.push(Difference {
            part: Part::Missing,
            look: Look::Words,
            before: side(old),
            after: side(new),
        });
    }
}

/// Where an attribute would stand that a tag does not have.
fn after_name(tag: Piece) -> Span {
    Span {
        start: tag.span.end,
        end: tag.span.end,
    }
}

/// What pieces that belong together have in common: the name of the element, or the way to a value.
fn kin(outline: &Outline<'_>, piece: &Piece) -> String {
    match piece.sort {
        Sort::Value => pointer(outline, piece.element),
        Sort::Line => String::new(),
        _ => outline.name(piece.element),
    }
}

/// The way to a value of JSON (RFC 6901), with `*` for every place in an array.
pub(super) fn pointer(outline: &Outline<'_>, element: usize) -> String {
    let steps: Vec<usize> = outline.upwards(element).collect();
    let step = |&at: &usize| match outline.elements[at].index {
        Some(_) => "/*".to_owned(),
        None => format!("/{}", escaped(outline.elements[at].name.of(outline.text))),
    };
    steps.iter().rev().map(step).collect()
}

/// A key as a pointer has it.
pub(super) fn escaped(key: &[u8]) -> String {
    let quoted = [b"\"", key, b"\""].concat();
    let key = serde_json::from_slice::<String>(&quoted);
    let key = key.unwrap_or_else(|_| String::from_utf8_lossy(&quoted[1..quoted.len() - 1]).into());
    key.replace('~', "~0").replace('/', "~1")
}
