//! Two answers for one page, compared after the canonical form has been taken: where they differ, in words that
//! people understand, and the smallest rule that would make them equal.
//!
//! Pure, but for the clock that ends it: what takes longer than it may is cut short, never wrong. A rule is proposed
//! only after it has been applied to both bodies, takes out what differs in both, and little else. What looks like
//! something that the page says (words, a price) is shown, and its rule is marked as one to think about.

mod anchor;
mod difference;
mod doubt;
mod outline;
mod propose;
mod shape;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{
    CanonicalRules, Charset, DeclaredRules, Document, KeptHeaders, Kind, Span, Volatile,
    volatile_spans,
};
use difference::{Difference, Part, Side};
use outline::{Outline, ROOT};

/// Of a value that is shown, in characters: on both sides of what differs, and of that itself.
const SHOWN_AROUND: usize = 16;
const SHOWN_MAX: usize = 60;

/// Headers that say what a page is, who may read it and how, or name files that belong to it: whatever differs in
/// them, readers notice.
const MEANT: [&str; 9] = [
    "content-disposition",
    "content-language",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "link",
    "strict-transport-security",
    "vary",
    "x-robots-tag",
];

/// As do all that begin so.
const MEANT_BEGIN: &str = "access-control-";

/// For the values of one header, which a server keeps below some kilobytes.
const HEADER_PATIENCE: Duration = Duration::from_secs(1);

/// Of places that are alike, so many are told apart by what has become of them.
const CHANGES_MAX: usize = 64;

/// Places that are shown and get a rule; the rest is counted.
const PLACES_MAX: usize = 20;

/// What two answers for a page differ in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// In the order of the page.
    pub places: Vec<Place>,
    /// Places beyond those that are shown.
    pub left_out: usize,
    /// With every rule that is proposed without a doubt, the answers are equal.
    pub suffices: bool,
}

impl Comparison {
    /// Whether the answers count as the same page already.
    pub fn is_equal(&self) -> bool {
        self.places.is_empty()
    }

    /// The rules that can be used as they are, in the order of the page, each once.
    pub fn rules(&self) -> Vec<&Rule> {
        let mut rules = Vec::new();
        for proposal in self
            .places
            .iter()
            .filter_map(|place| place.proposal.as_ref())
        {
            if proposal.doubt.is_none() && !rules.contains(&&proposal.rule) {
                rules.push(&proposal.rule);
            }
        }
        rules
    }
}

/// Where two answers differ, once or in many places that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// `html > body > form#login > input[name=token]`, `/items/*/price`, `header vary`; empty where a body has lines
    /// and nothing more.
    pub path: String,
    /// As `path`, by what the same place has in common on other pages.
    pub kin: String,
    /// `attribute value`, `text`, `script`, `comment`, `value`, `line`, `only in one answer`, `header`.
    pub part: String,
    /// What it looks like: `a time`, `a token`, `a number`, `words`.
    pub look: &'static str,
    /// What differs, with a little of what is around it.
    pub before: String,
    pub after: String,
    /// Of the first such place in the first body: bytes from its start, line and character in it, from 1.
    pub offset: usize,
    pub line: usize,
    pub column: usize,
    /// How many places are alike.
    pub count: usize,
    /// It looks like something that the page says.
    pub is_content: bool,
    pub proposal: Option<Proposal>,
    /// One number for each pair of what stood there and what stands there now, of the first of the places that are
    /// alike. Pages that share one have changed in the same way, and not each in its own.
    #[serde(skip)]
    pub changes: BTreeSet<u64>,
}

impl Place {
    /// In a few words: `html > body > p, text: a time`.
    pub fn described(&self) -> String {
        match &*self.path {
            "" if self.part == "line" => format!("line {}: {}", self.line, self.look),
            "" => format!("{} in line {}: {}", self.part, self.line, self.look),
            path => format!("{path}, {}: {}", self.part, self.look),
        }
    }
}

/// A rule that would take a difference out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proposal {
    #[serde(flatten)]
    pub rule: Rule,
    /// Why somebody should think about it first.
    pub doubt: Option<String>,
}

/// One line of the table `[canonical]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "list", content = "rule", rename_all = "snake_case")]
pub enum Rule {
    Selectors(String),
    Patterns(String),
    JsonPointers(String),
    Headers(String),
}

impl Rule {
    /// The key of the table that it belongs to.
    pub fn list(&self) -> &'static str {
        match self {
            Rule::Selectors(_) => "selectors",
            Rule::Patterns(_) => "patterns",
            Rule::JsonPointers(_) => "json_pointers",
            Rule::Headers(_) => "headers",
        }
    }

    /// As it stands there.
    pub fn text(&self) -> &str {
        let (Rule::Selectors(text)
        | Rule::Patterns(text)
        | Rule::JsonPointers(text)
        | Rule::Headers(text)) = self;
        text
    }

    /// Adds it to rules.
    pub fn add_to(&self, declared: &mut DeclaredRules) {
        let list = match self {
            Rule::Selectors(_) => &mut declared.selectors,
            Rule::Patterns(_) => &mut declared.patterns,
            Rule::JsonPointers(_) => &mut declared.json_pointers,
            Rule::Headers(_) => &mut declared.headers,
        };
        list.push(self.text().to_owned());
    }
}

/// Compares two bodies of one page. At the `deadline` it ends with what it has.
pub fn compare(
    before: &Document<'_>,
    after: &Document<'_>,
    rules: &CanonicalRules,
    deadline: Instant,
) -> Comparison {
    let (one, other) = (Form::of(before, rules), Form::of(after, rules));
    if one.bytes == other.bytes {
        return Comparison {
            suffices: true,
            ..Comparison::default()
        };
    }
    let (old, new) = (outlined(before, &one), outlined(after, &other));
    let (mut differences, is_all) = match is_text(&one.bytes) && is_text(&other.bytes) {
        true => difference::differences([&old, &new], [&one, &other], deadline),
        false => (Vec::new(), true),
    };
    if differences.is_empty() {
        differences.push(first_byte(&one.bytes, &other.bytes));
    }
    let task = propose::Task {
        documents: [before, after],
        forms: [&one, &other],
        outlines: [&old, &new],
        differences: &differences,
        rules,
        deadline,
    };
    let groups = task.groups();
    let shown = &groups[..groups.len().min(PLACES_MAX)];
    let proposals = task.proposals(shown);
    // What had to be decoded to be compared is in UTF-8 already.
    let charset = match &one.text {
        Cow::Owned(_) => Charset::UTF_8,
        Cow::Borrowed(_) => Charset::of(before.kind, before.body, before.content_type),
    };
    let places = shown.iter().zip(proposals);
    let places: Vec<Place> = places
        .map(|(group, proposal)| task.place(group, proposal, charset))
        .collect();
    let suffices = is_all && groups.len() == shown.len() && task.suffice(&places);
    Comparison {
        left_out: groups.len() - shown.len(),
        places,
        suffices,
    }
}

/// Compares the headers that are kept of two answers.
pub fn compare_headers(
    before: &KeptHeaders,
    after: &KeptHeaders,
    rules: &CanonicalRules,
) -> Vec<Place> {
    let (one, other) = (before.canonical(rules), after.canonical(rules));
    let names = one.iter().chain(other.iter()).map(|(name, _)| name);
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let values = |headers: &KeptHeaders, name: &str| -> String {
        let all = headers.iter().filter(|(own, _)| *own == name);
        all.map(|(_, value)| value).collect::<Vec<_>>().join(", ")
    };
    let differs = |name: &&str| values(&one, name) != values(&other, name);
    let place = |name: &str| {
        let (before, after) = (values(&one, name), values(&other, name));
        let deadline = Instant::now() + HEADER_PATIENCE;
        let fragments = shape::fragments(before.as_bytes(), after.as_bytes(), deadline);
        let is_noise = !MEANT.contains(&name)
            && !name.starts_with(MEANT_BEGIN)
            && !fragments.is_empty()
            && fragments.iter().all(|found| found.look.is_noise());
        let doubt = (!is_noise).then(|| "it is a part of the page as readers get it".to_owned());
        Place {
            path: name.to_owned(),
            kin: name.to_owned(),
            part: "header".to_owned(),
            look: fragments.first().map_or("words", |found| found.look.name()),
            before: cut(&before),
            after: cut(&after),
            offset: 0,
            line: 0,
            column: 0,
            count: 1,
            is_content: !is_noise,
            changes: [change(before.as_bytes(), after.as_bytes())].into(),
            proposal: Some(Proposal {
                rule: Rule::Headers(name.to_owned()),
                doubt,
            }),
        }
    };
    names.into_iter().filter(differs).map(place).collect()
}

/// A number that is the same for the same before and after.
fn change(before: &[u8], after: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (before, after).hash(&mut hasher);
    hasher.finish()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(2 * SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A body without what its canonical form leaves out, a zero byte in the place of each stretch.
struct Form<'a> {
    /// What the form was made of.
    text: Cow<'a, [u8]>,
    bytes: Vec<u8>,
    cuts: Vec<Cut>,
}

/// A stretch of the text that the form does not have.
#[derive(Clone, Copy)]
struct Cut {
    /// Where the zero byte stands in the form.
    zero: usize,
    /// In the text.
    start: usize,
    end: usize,
}

impl<'a> Form<'a> {
    fn of(document: &Document<'a>, rules: &CanonicalRules) -> Form<'a> {
        let Volatile { text, spans } = volatile_spans(document, rules);
        let mut bytes = Vec::with_capacity(text.len());
        let mut cuts = Vec::with_capacity(spans.len());
        let mut at = 0;
        for (start, end) in spans {
            bytes.extend_from_slice(&text[at..start]);
            let zero = bytes.len();
            cuts.push(Cut { zero, start, end });
            bytes.push(0);
            at = end;
        }
        bytes.extend_from_slice(&text[at..]);
        Form { text, bytes, cuts }
    }

    /// Where in the text a byte of the form stands.
    fn origin(&self, at: usize) -> usize {
        let before = self.cuts.partition_point(|cut| cut.zero < at);
        match self.cuts[..before].last() {
            Some(cut) => cut.end + (at - cut.zero - 1),
            None => at,
        }
    }

    /// What the form has of a span of the text.
    fn span(&self, span: Span) -> Span {
        let place = |before: usize, at: usize, inside: usize| match self.cuts[..before].last() {
            Some(cut) if at < cut.end => cut.zero + inside,
            Some(cut) => cut.zero + 1 + (at - cut.end),
            None => at,
        };
        let (start, end) = (span.start, span.end);
        let begun = self.cuts.partition_point(|cut| cut.start <= start);
        let ended = self.cuts.partition_point(|cut| cut.start < end);
        let start = place(begun, start, 0);
        Span {
            start,
            end: place(ended, end, 1).max(start),
        }
    }

    /// The cut that holds all of a span of the text.
    fn cut(&self, span: Span) -> Option<usize> {
        let begun = self.cuts.partition_point(|cut| cut.start <= span.start);
        let index = begun.checked_sub(1)?;
        (span.end <= self.cuts[index].end).then_some(index)
    }
}

/// The text is cut into pieces, not its form: a rule may take out the quote that ends a value.
fn outlined<'a>(document: &Document<'_>, form: &'a Form<'_>) -> Outline<'a> {
    let outline = match document.kind {
        Kind::Html | Kind::Xml => Outline::of_markup(&form.text),
        Kind::Json | Kind::Manifest => Outline::of_json(&form.text),
        _ => Outline::of_lines(&form.text),
    };
    outline.in_form(form)
}

/// Whether there is something to show: zero bytes stand for what was taken out, and other control characters do not
/// occur in text.
fn is_text(form: &[u8]) -> bool {
    let is_control = |byte: &&u8| matches!(byte, 1..=8 | 14..=26 | 28..=31);
    form.iter().filter(is_control).count() * 100 <= form.len()
}

/// The difference between bodies that are no text, or differ in nothing that has a name.
fn first_byte(before: &[u8], after: &[u8]) -> Difference {
    let pairs = before.iter().zip(after);
    let start = pairs.take_while(|(one, other)| one == other).count();
    let side = |form: &[u8]| {
        let span = Span {
            start,
            end: form.len(),
        };
        Side {
            element: ROOT,
            whole: span,
            span,
        }
    };
    Difference {
        part: Part::Bytes,
        look: shape::Look::Words,
        before: side(before),
        after: side(after),
    }
}

#[cfg(test)]
mod tests;
