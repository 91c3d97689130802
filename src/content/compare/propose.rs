//! Differences that are alike, and the smallest rule for them. Candidates come from the simplest to the most
//! particular; one is taken when, applied, it takes out what differs in both bodies and hardly anything else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use regex::bytes::Regex;

use super::anchor::{self, Selector};
use super::difference::{Difference, Part, Side, escaped as key_of, pointer};
use super::doubt;
use super::outline::{Outline, ROOT, Sort};
use super::shape::{self, Look};
use super::{CHANGES_MAX, Form, Place, Proposal, Rule, SHOWN_AROUND, SHOWN_MAX};
use crate::content::{CanonicalRules, Charset, Document, Kind, Span, volatile_spans};

/// A rule takes out at most this share of a body, in parts of a hundred; what more it would take is content.
const TAKEN_PERCENT_MAX: usize = 10;

/// So many bytes it may take out of the shortest page, too.
const TAKEN_ALWAYS: usize = 256;

/// Rules that are tried on the bodies of one page: each takes one more pass over both.
const TRIES_MAX: usize = 200;

/// Rules that are tried although they take out more than what differs.
const WIDE_MAX: usize = 3;

/// Places that such a rule may take out although nothing in them differs.
const BESIDE_MAX: usize = 10;

/// How much of what stands before a fragment may belong to its pattern, in bytes: what tells `generated at 12:00:00`
/// from any other time, and in a feed its own date from those of its entries.
const CONTEXTS: [usize; 4] = [8, 24, 64, 160];

/// Before what differs, so much is read for a word that says what it is.
const NEAR: usize = 96;

/// What is needed to find rules for the differences of two bodies. Of each pair the first is the old one.
pub(super) struct Task<'a> {
    pub documents: [&'a Document<'a>; 2],
    pub forms: [&'a Form<'a>; 2],
    pub outlines: [&'a Outline<'a>; 2],
    pub differences: &'a [Difference],
    pub rules: &'a CanonicalRules,
    pub deadline: Instant,
}

/// A rule that may be right.
enum Candidate {
    Selector(Selector),
    Pattern(String),
    Ready(Rule),
}

impl Candidate {
    fn rule(&self, part: &Part) -> Rule {
        match (self, part) {
            (Candidate::Selector(selector), Part::Attribute(name)) => {
                Rule::Selectors(format!("{}@{name}", selector.css()))
            }
            (Candidate::Selector(selector), _) => Rule::Selectors(selector.css()),
            (Candidate::Pattern(pattern), _) => Rule::Patterns(pattern.clone()),
            (Candidate::Ready(rule), _) => rule.clone(),
        }
    }
}

/// Differences that are alike.
pub(super) struct Group<'a> {
    members: Vec<&'a Difference>,
    kin: String,
}

impl Group<'_> {
    fn first(&self) -> &Difference {
        self.members[0]
    }
}

impl Difference {
    fn side(&self, side: usize) -> &Side {
        match side {
            0 => &self.before,
            _ => &self.after,
        }
    }
}

impl Task<'_> {
    /// In the order of the page.
    pub(super) fn groups(&self) -> Vec<Group<'_>> {
        let mut places: BTreeMap<(String, &Part, Look, String), usize> = BTreeMap::new();
        let mut groups: Vec<Group<'_>> = Vec::new();
        for difference in self.differences {
            let kin = self.kin(difference);
            let label = self.label(difference);
            let key = (kin.clone(), &difference.part, difference.look, label);
            let next = groups.len();
            let at = *places.entry(key).or_insert(next);
            match groups.get_mut(at) {
                Some(group) => group.members.push(difference),
                None => groups.push(Group {
                    members: vec![difference],
                    kin,
                }),
            }
        }
        groups
    }

    /// A rule for each group, where one is found.
    pub(super) fn proposals(&self, groups: &[Group<'_>]) -> Vec<Option<Proposal>> {
        let mut found: Vec<Option<Proposal>> = Vec::new();
        let mut tries = TRIES_MAX;
        let touched = [self.touched(0), self.touched(1)];
        for group in groups {
            let proposal = match group.first().part {
                // Whatever comes and goes may be what the page says.
                Part::Missing if group.first().before.element == ROOT => None,
                Part::Bytes => None,
                _ => self.proposal(group, &touched, &mut tries),
            };
            found.push(proposal);
        }
        found
    }

    fn proposal(
        &self,
        group: &Group<'_>,
        touched: &[HashSet<usize>; 2],
        tries: &mut usize,
    ) -> Option<Proposal> {
        // Those that take out more than what differs come last, behind those with another doubt.
        let mut wide: Vec<(Rule, usize)> = Vec::new();
        let mut doubtful: Option<Proposal> = None;
        let is_content = self.is_content(group);
        for candidate in self.candidates(group) {
            if *tries == 0 || Instant::now() >= self.deadline {
                return None;
            }
            let unsure = self.unsure(group, &candidate);
            if unsure.is_some() && doubtful.is_some() {
                continue;
            }
            let beside = self.beside(group, &candidate, touched);
            let rule = candidate.rule(&group.first().part);
            *tries -= 1;
            if beside > 0 {
                wide.push((rule, beside));
            } else if let Some(mut proposal) = self.tried(group, rule, 0) {
                proposal.doubt = proposal.doubt.or_else(|| unsure.map(str::to_owned));
                if is_content || proposal.doubt.is_none() {
                    return Some(proposal);
                }
                doubtful.get_or_insert(proposal);
            }
        }
        if is_content || doubtful.is_some() {
            return doubtful;
        }
        wide.sort_by_key(|(_, beside)| *beside);
        let few = |(_, beside): &(Rule, usize)| *beside <= BESIDE_MAX;
        let mut wide = wide.into_iter().filter(few).take(WIDE_MAX);
        wide.find_map(|(rule, beside)| self.tried(group, rule, beside))
    }

    /// The proposal, if the rule takes out what differs, in both bodies.
    fn tried(&self, group: &Group<'_>, rule: Rule, beside: usize) -> Option<Proposal> {
        let taken = self.taken(group, &rule)?;
        let doubt = self.doubt(group, beside, taken);
        Some(Proposal { rule, doubt })
    }

    /// Why a rule that works should be thought about all the same.
    fn doubt(&self, group: &Group<'_>, beside: usize, taken: usize) -> Option<String> {
        if self.is_address(group) {
            let doubt =
                "this is part of an address, as of a new style sheet or script: readers follow it";
            return Some(doubt.to_owned());
        }
        if self.is_content(group) {
            let look = group.first().look.name();
            return Some(format!("this looks like content, not noise ({look})"));
        }
        let size = self.documents[0].body.len();
        if taken > TAKEN_ALWAYS && taken * 100 > size * TAKEN_PERCENT_MAX {
            let percent = taken * 100 / size.max(1);
            return Some(format!("it takes out {percent} % of the page"));
        }
        (beside > 0).then(|| format!("it also takes out {beside} places that do not differ"))
    }

    /// Why a rule may mean more on other pages than it takes out here.
    fn unsure(&self, group: &Group<'_>, candidate: &Candidate) -> Option<&'static str> {
        let Difference { part, look, .. } = group.first();
        let is_named = match (candidate, part) {
            (Candidate::Ready(_), _) | (_, Part::Comment) => true,
            (Candidate::Selector(_), Part::Attribute(name))
                if doubt::is_address_attribute(name) =>
            {
                return Some("it takes out whole addresses, which readers follow");
            }
            (Candidate::Selector(selector), Part::Attribute(_)) => selector.is_particular(),
            (Candidate::Selector(selector), Part::Raw) => {
                let css = selector.css();
                doubt::says_made(&css, *look) || doubt::is_noisy(&css)
            }
            (Candidate::Selector(selector), _) => doubt::says_made(&selector.css(), *look),
            (Candidate::Pattern(pattern), Part::Text | Part::Line) => {
                doubt::says_made(pattern, *look)
            }
            // A word of so many letters would match, too.
            (Candidate::Pattern(pattern), _) if *look == Look::Random => {
                doubt::says_made(pattern, *look) || doubt::is_noisy(pattern)
            }
            (Candidate::Pattern(pattern), Part::Raw) if !look.is_token() => {
                doubt::says_made(pattern, *look)
            }
            (Candidate::Pattern(_), _) => true,
        };
        (!is_named).then_some("nothing in it says that what it takes out elsewhere is noise, too")
    }

    /// What the rule takes out of the first body, in bytes; `None` when it does not take out what differs, in both.
    fn taken(&self, group: &Group<'_>, rule: &Rule) -> Option<usize> {
        let mut declared = self.rules.declared().clone();
        rule.add_to(&mut declared);
        let rules = CanonicalRules::new(&declared).ok()?;
        let mut taken = 0;
        for side in [1, 0] {
            let volatile = volatile_spans(self.documents[side], &rules);
            for member in &group.members {
                let span = member.side(side).span;
                let form = self.forms[side];
                let (start, end) = (form.origin(span.start), form.origin(span.end));
                let next = volatile
                    .spans
                    .partition_point(|(begins, _)| *begins <= start);
                let holder = volatile.spans[..next].last()?;
                if holder.1 < end {
                    return None;
                }
            }
            let all: usize = volatile.spans.iter().map(|(start, end)| end - start).sum();
            let before = volatile.text.len() + self.forms[side].cuts.len();
            taken = all.saturating_sub(before.saturating_sub(self.forms[side].bytes.len()));
        }
        Some(taken)
    }

    /// With all rules that are proposed without a doubt the bodies are equal.
    pub(super) fn suffice(&self, places: &[Place]) -> bool {
        let mut declared = self.rules.declared().clone();
        let proposals = places.iter().filter_map(|place| place.proposal.as_ref());
        for proposal in proposals.filter(|proposal| proposal.doubt.is_none()) {
            proposal.rule.add_to(&mut declared);
        }
        let Ok(rules) = CanonicalRules::new(&declared) else {
            return false;
        };
        let [one, other] = self.documents.map(|document| Form::of(document, &rules));
        one.bytes == other.bytes
    }

    /// Rules that may be right, the simplest first.
    fn candidates(&self, group: &Group<'_>) -> Vec<Candidate> {
        let difference = group.first();
        let whole = difference.before.whole;
        let span = difference.before.span;
        // Most of a value, as opposed to a token in a longer one.
        let is_whole = (span.end - span.start) * 10 >= (whole.end - whole.start) * 6;
        let element = difference.before.element;
        let selectors = match &difference.part {
            // Selectors are about HTML.
            Part::Attribute(_) | Part::Text | Part::Raw | Part::Missing if !self.is_html() => {
                Vec::new()
            }
            Part::Attribute(name) => {
                let mut found = anchor::selectors(self.outlines[0], element, Some(name));
                found.retain(|selector| !selector.is_bare());
                found
            }
            Part::Text | Part::Raw | Part::Missing if element != ROOT => {
                let mut found = anchor::selectors(self.outlines[0], element, None);
                found.retain(|selector| !selector.is_bare());
                found
            }
            Part::Value => {
                let rule = Rule::JsonPointers(group.kin.clone());
                // A key of this name would be taken for all of them.
                let is_sayable = !self.has_star(element);
                return is_sayable
                    .then_some(Candidate::Ready(rule))
                    .into_iter()
                    .collect();
            }
            _ => Vec::new(),
        };
        let selectors = selectors.into_iter().map(Candidate::Selector);
        let mut patterns = self.patterns(group);
        if difference.part == Part::Comment {
            patterns.extend(self.comment(group));
        }
        let patterns = patterns.into_iter().map(Candidate::Pattern);
        let is_address =
            matches!(&difference.part, Part::Attribute(name) if doubt::is_address_attribute(name));
        match is_whole && !is_address {
            true => selectors.chain(patterns).collect(),
            false => patterns.chain(selectors).collect(),
        }
    }

    fn is_html(&self) -> bool {
        let is_html = |document: &&Document<'_>| document.kind == Kind::Html;
        self.documents.iter().all(is_html)
    }

    /// How many places a rule takes out in which nothing differs.
    fn beside(
        &self,
        group: &Group<'_>,
        candidate: &Candidate,
        touched: &[HashSet<usize>; 2],
    ) -> usize {
        let count = |side: usize| match (candidate, &group.first().part) {
            (Candidate::Ready(rule), _) => self.values_beside(rule.text(), &touched[side], side),
            (Candidate::Pattern(pattern), _) => match Regex::new(pattern) {
                Ok(regex) => self.matches_beside(&regex, side),
                Err(_) => usize::MAX,
            },
            (Candidate::Selector(selector), Part::Attribute(name)) => {
                self.attributes_beside(selector, name, side)
            }
            (Candidate::Selector(selector), _) => {
                let selected = selector.selected(self.outlines[side]).into_iter();
                selected.filter(|at| !touched[side].contains(at)).count()
            }
        };
        count(0).max(count(1))
    }

    /// One of the keys on the way to a value is a star.
    fn has_star(&self, element: usize) -> bool {
        let outline = self.outlines[0];
        let mut steps = outline.upwards(element);
        steps.any(|at| {
            let step = outline.elements[at];
            step.index.is_none() && step.name.of(outline.text) == b"*"
        })
    }

    /// Values that a pointer takes out and that do not differ.
    fn values_beside(&self, pointer: &str, touched: &HashSet<usize>, side: usize) -> usize {
        let outline = self.outlines[side];
        let segments: Vec<&str> = pointer.split('/').skip(1).collect();
        // How many segments lead to each element; what stands in one that is taken out is taken out with it.
        let mut led: Vec<Option<usize>> = vec![Some(0); outline.elements.len()];
        for (at, element) in outline.elements.iter().enumerate().skip(1) {
            let matches = |segment: &str| match element.index {
                _ if segment == "*" => true,
                Some(index) => segment == index.to_string(),
                None => segment == key_of(element.name.of(outline.text)),
            };
            led[at] = match led[element.parent] {
                Some(above) if above == segments.len() => Some(above),
                Some(above) => matches(segments[above]).then_some(above + 1),
                None => None,
            };
        }
        let values = outline.pieces.iter();
        let values = values.filter(|piece| piece.sort == Sort::Value);
        let taken = values.filter(|piece| led[piece.element] == Some(segments.len()));
        taken
            .filter(|piece| !touched.contains(&piece.element))
            .count()
    }

    /// Elements that the selector selects and whose attribute does not differ.
    fn attributes_beside(&self, selector: &Selector, name: &str, side: usize) -> usize {
        let part = Part::Attribute(name.to_owned());
        let alike = self.differences.iter().filter(|other| other.part == part);
        let differing: HashSet<usize> = alike.map(|other| other.side(side).element).collect();
        let outline = self.outlines[side];
        let selected = selector.selected(outline).into_iter();
        let others = selected.filter(|element| !differing.contains(element));
        let has = |element: &usize| {
            let attributes = outline.attributes(*element);
            attributes.iter().any(|(own, _)| own == name)
        };
        others.filter(has).count()
    }

    /// Elements with a difference in them.
    fn touched(&self, side: usize) -> HashSet<usize> {
        let mut touched = HashSet::new();
        for difference in self.differences {
            let element = difference.side(side).element;
            for above in self.outlines[side].upwards(element) {
                if !touched.insert(above) {
                    break;
                }
            }
        }
        touched
    }

    /// The shape of what differs behind what always stands before it, more and more of that.
    fn patterns(&self, group: &Group<'_>) -> Vec<String> {
        let sides = group
            .members
            .iter()
            .flat_map(|member| [0, 1].map(|side| (*member, side)));
        let sides: Vec<(&Difference, usize)> = sides.collect();
        let values = sides.iter().map(|(member, side)| {
            let span = member.side(*side).span;
            span.of(&self.forms[*side].bytes)
        });
        let Some(shape) = shape::pattern(group.first().look, &values.collect::<Vec<_>>()) else {
            return Vec::new();
        };
        let behind = match group.first().part {
            Part::Raw => escaped(&self.behind(&sides)),
            _ => String::new(),
        };
        let pattern = |most| format!("{}{shape}{behind}", escaped(&self.context(&sides, most)));
        let mut found: Vec<String> = Vec::new();
        if let Some(name) = self.shared_parameter(&sides) {
            found.push(format!("{}={shape}", escaped(&name)));
        }
        found.extend(CONTEXTS.into_iter().map(pattern));
        found.dedup();
        found
    }

    /// A comment from its first word to its end.
    fn comment(&self, group: &Group<'_>) -> Option<String> {
        let before = group.first().before.whole.of(&self.forms[0].bytes);
        let after = group.first().after.whole.of(&self.forms[1].bytes);
        let pairs = before.iter().zip(after);
        let same = pairs.take_while(|(one, other)| one == other).count();
        let same = &before[..same.min(CONTEXTS[2])];
        // What rules take out already does not stand in the page as it does here.
        let same = &same[..memchr::memchr(0, same).unwrap_or(same.len())];
        let end = same
            .iter()
            .rposition(|byte| !byte.is_ascii_alphanumeric())?;
        let start = std::str::from_utf8(&same[..=end]).ok()?;
        let is_comment = before.starts_with(b"<!--") && start.len() >= "<!--".len();
        is_comment.then(|| format!("{}[^>]*-->", escaped(start)))
    }

    /// Matches in a form that hold nothing that differs.
    fn matches_beside(&self, regex: &Regex, side: usize) -> usize {
        let mut spans: Vec<Span> = self
            .differences
            .iter()
            .map(|found| found.side(side).span)
            .collect();
        spans.sort_unstable();
        let is_beside = |found: &regex::bytes::Match<'_>| {
            let next = spans.partition_point(|span| span.start < found.start());
            spans.get(next).is_none_or(|span| span.start >= found.end())
        };
        let text = &self.forms[side].bytes;
        regex.find_iter(text).filter(is_beside).count()
    }

    /// What stands before all of these, in whole words, up to so many bytes.
    fn context(&self, sides: &[(&Difference, usize)], most: usize) -> String {
        let before = |&(member, side): &(&Difference, usize)| {
            &self.forms[side].bytes[..member.side(side).span.start]
        };
        let mut texts = sides.iter().map(before);
        let Some(first) = texts.next() else {
            return String::new();
        };
        let mut length = first.len().min(CONTEXTS[CONTEXTS.len() - 1]);
        for text in texts {
            let pairs = first.iter().rev().zip(text.iter().rev());
            length = pairs
                .take(length)
                .take_while(|(one, other)| one == other)
                .count();
        }
        let common = &first[first.len() - length..];
        let zero = memchr::memrchr(0, common).map_or(0, |at| at + 1);
        let common = &common[zero..];
        let start = whole_words(common, most);
        // What begins in the middle of a character cannot stand in a configuration.
        let text = String::from_utf8_lossy(&common[start..]).into_owned();
        match text.rfind('\u{fffd}') {
            Some(at) => text[at + '\u{fffd}'.len_utf8()..].to_owned(),
            None => text,
        }
    }

    /// The sign that stands behind all of these, where it ends what they are.
    fn behind(&self, sides: &[(&Difference, usize)]) -> String {
        let sign = |&(member, side): &(&Difference, usize)| {
            let next = self.forms[side].bytes.get(member.side(side).span.end);
            next.copied().filter(|byte| matches!(byte, b'"' | b'\''))
        };
        let mut signs = sides.iter().map(sign);
        let first = signs.next().flatten();
        match first {
            Some(byte) if signs.all(|sign| sign == first) => char::from(byte).to_string(),
            _ => String::new(),
        }
    }

    /// It looks like something that the page says.
    fn is_content(&self, group: &Group<'_>) -> bool {
        let Difference { part, look, .. } = group.first();
        let is_made = || {
            let mut members = group.members.iter();
            members.all(|member| doubt::says_made(&self.near(member), *look))
        };
        match part {
            Part::Comment => false,
            _ if self.is_address(group) => true,
            Part::Missing | Part::Bytes => true,
            Part::Text if self.is_of_an_item(group) => true,
            Part::Text | Part::Line => !look.is_noise() || !is_made(),
            Part::Raw => !look.is_noise() || !(look.is_token() || is_made()),
            Part::Value => {
                let key = group.kin.rsplit('/').next().unwrap_or_default();
                let is_made = doubt::says_made(key, *look) || doubt::is_noisy(key);
                !look.is_noise() || !is_made
            }
            Part::Attribute(name) => self.is_content_attribute(group.first(), name),
        }
    }

    /// It stands in one of the things that a feed tells of, and not in what the feed says of itself.
    fn is_of_an_item(&self, group: &Group<'_>) -> bool {
        let mut steps = group.kin.split(" > ");
        !self.is_html() && steps.any(|step| step == "item" || step == "entry")
    }

    /// What an attribute's value says is content.
    fn is_content_attribute(&self, difference: &Difference, name: &str) -> bool {
        let (outline, look) = (self.outlines[0], difference.look);
        let attributes = outline.attributes(difference.before.element);
        let value = |wanted: &str| {
            let found = attributes.iter().find(|(own, _)| own == wanted);
            found.map(|(_, span)| String::from_utf8_lossy(span.of(outline.text)))
        };
        let says = |text: &str| doubt::is_noisy(text) || doubt::says_made(text, look);
        let is_noisy = says(name)
            || ["id", "name"]
                .iter()
                .any(|own| value(own).is_some_and(|text| says(&text)));
        let is_hidden = value("type").is_none_or(|kind| kind.eq_ignore_ascii_case("hidden"))
            && outline.name(difference.before.element) == "input";
        match name {
            _ if doubt::is_read_attribute(name) => true,
            "content" => !is_noisy,
            "value" if !is_hidden => !is_noisy,
            _ if name.starts_with("data-") && !look.is_token() => !is_noisy,
            _ => !is_noisy && !look.is_noise(),
        }
    }

    /// What stands before a difference in its own element and, in lines, on its own line.
    fn near(&self, difference: &Difference) -> String {
        let text = &self.forms[0].bytes;
        let start = difference.before.span.start;
        let near = &text[start.saturating_sub(NEAR)..start];
        let begin = match difference.part {
            Part::Line => memchr::memrchr(b'\n', near).map_or(0, |at| at + 1),
            // The name of what has ended says nothing of what comes behind it.
            Part::Text => memchr::memmem::rfind(near, b"</").map_or(0, |at| {
                memchr::memchr(b'>', &near[at..]).map_or(near.len(), |end| at + end)
            }),
            _ => 0,
        };
        String::from_utf8_lossy(&near[begin..]).into_owned()
    }

    /// What differs is a part of an address by which readers get something else: a token in the path of a URL, as of a
    /// file that is called by its content, or a parameter; but for those that a server makes up for each visitor.
    fn is_address(&self, group: &Group<'_>) -> bool {
        let Difference { part, look, .. } = group.first();
        let is_whole = matches!(part, Part::Attribute(name) if doubt::is_address_attribute(name));
        if *part == Part::Comment || !(is_whole || look.is_token()) {
            return false;
        }
        let is_one = |member: &&Difference| match self.parameter(member, 0) {
            Some(name) => !doubt::is_session_parameter(&name),
            None => {
                is_whole
                    || self
                        .sign_before(member, 0)
                        .is_some_and(|(sign, _)| sign == b'/')
            }
        };
        group.members.iter().any(is_one)
    }

    /// The sign that divides an address, before what differs, and where it stands.
    fn sign_before(&self, difference: &Difference, side: usize) -> Option<(u8, usize)> {
        let text = &self.forms[side].bytes;
        let Side { whole, span, .. } = difference.side(side);
        let begin = whole.start.max(span.start.saturating_sub(CONTEXTS[3]));
        let before = text[begin..span.start].iter().enumerate().rev();
        let mut signs =
            before.take_while(|(_, byte)| !matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'('));
        let sign = signs.find(|(_, byte)| byte.is_ascii_whitespace() || b"/?;#&=,".contains(byte));
        sign.map(|(at, byte)| (*byte, begin + at))
    }

    /// The name of the parameter whose value differs.
    fn parameter(&self, difference: &Difference, side: usize) -> Option<String> {
        let (sign, end) = self.sign_before(difference, side)?;
        if sign != b'=' {
            return None;
        }
        let before = &self.forms[side].bytes[difference.side(side).whole.start..end];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(byte);
        let start = before.iter().rposition(|byte| !is_name(byte))?;
        let is_parameter = matches!(before[start], b'?' | b'&' | b';');
        let name = String::from_utf8_lossy(&before[start + 1..]);
        (is_parameter && !name.is_empty()).then(|| name.into_owned())
    }

    /// The name of the parameter, where all have the same, right before what differs.
    fn shared_parameter(&self, sides: &[(&Difference, usize)]) -> Option<String> {
        let mut names = sides.iter().map(|(member, side)| {
            let name = self.parameter(member, *side)?;
            let (_, sign) = self.sign_before(member, *side)?;
            (sign + 1 == member.side(*side).span.start).then_some(name)
        });
        let first = names.next()??;
        let is_same = |name: Option<String>| name.as_ref() == Some(&first);
        (doubt::is_session_parameter(&first) && names.all(is_same)).then_some(first)
    }

    /// What alike places have in common.
    fn kin(&self, difference: &Difference) -> String {
        let (outline, element) = (self.outlines[0], difference.before.element);
        match difference.part {
            Part::Value => pointer(outline, element),
            _ => anchor::names(outline, element),
        }
    }

    /// The last word before what differs, which tells two tokens in one script from each other.
    fn label(&self, difference: &Difference) -> String {
        if matches!(difference.part, Part::Value | Part::Missing) {
            return String::new();
        }
        let start = difference.before.span.start;
        let begin = difference
            .before
            .whole
            .start
            .max(start.saturating_sub(CONTEXTS[1]));
        let before = &self.forms[0].bytes[begin..start];
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let Some(end) = before.iter().rposition(is_letter) else {
            return String::new();
        };
        let word = before[..=end]
            .iter()
            .rev()
            .take_while(|byte| is_letter(byte))
            .count();
        String::from_utf8_lossy(&before[end + 1 - word..=end]).into_owned()
    }

    fn shown(&self, difference: &Difference, side: usize, charset: Charset) -> String {
        let (bytes, own) = (&self.forms[side].bytes, difference.side(side));
        match difference.part {
            Part::Bytes => format!("{} bytes from here on", own.span.end - own.span.start),
            _ => shown(bytes, own, charset),
        }
    }

    fn changes(&self, group: &Group<'_>) -> BTreeSet<u64> {
        let members = group.members.iter().take(CHANGES_MAX);
        let change = |member: &&Difference| {
            let [before, after] = [0, 1].map(|side| {
                let span = member.side(side).span;
                span.of(&self.forms[side].bytes)
            });
            super::change(before, after)
        };
        members.map(change).collect()
    }

    /// A group as it is shown.
    pub(super) fn place(
        &self,
        group: &Group<'_>,
        proposal: Option<Proposal>,
        charset: Charset,
    ) -> Place {
        let difference = group.first();
        let outline = self.outlines[0];
        let path = match difference.part {
            Part::Value => group.kin.clone(),
            _ => anchor::path(outline, difference.before.element),
        };
        let offset = self.forms[0].origin(difference.before.span.start);
        let text = &self.forms[0].text;
        let above = &text[..offset.min(text.len())];
        let begin = memchr::memrchr(b'\n', above).map_or(0, |at| at + 1);
        Place {
            path,
            kin: group.kin.clone(),
            part: difference.part.name(),
            look: difference.look.name(),
            before: self.shown(difference, 0, charset),
            after: self.shown(difference, 1, charset),
            offset,
            line: 1 + memchr::memchr_iter(b'\n', above).count(),
            column: 1 + String::from_utf8_lossy(&above[begin..]).chars().count(),
            count: group.members.len(),
            is_content: self.is_content(group),
            changes: self.changes(group),
            proposal,
        }
    }
}

impl Part {
    fn name(&self) -> String {
        match self {
            Part::Attribute(name) => return format!("attribute {name}"),
            Part::Text => "text",
            Part::Raw => "script",
            Part::Comment => "comment",
            Part::Value => "value",
            Part::Line => "line",
            Part::Bytes => "bytes",
            Part::Missing => "only in one answer",
        }
        .to_owned()
    }
}

/// Where the shortest stretch of whole words begins that ends here and has at least so many bytes, or all there is.
fn whole_words(text: &[u8], least: usize) -> usize {
    let is_letter = |at: usize| text[at].is_ascii_alphanumeric() || text[at] == b'_';
    let mut at = text.len().saturating_sub(least);
    // Not in the middle of a word, unless the text begins there, too.
    while at > 0 && at < text.len() && is_letter(at) && is_letter(at - 1) {
        at -= 1;
    }
    while at < text.len() && text[at].is_ascii_whitespace() {
        at += 1;
    }
    // Signs before the first word say little, and are hard to read; without a word they are all there is.
    let signs = text[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_punctuation());
    let word = at + signs.count();
    let letters = text[word..]
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric());
    if letters.count() >= 2 { word } else { at }
}

/// A text as a pattern that matches it alone: on one line, and without the escapes that mean something only in a class
/// or under the flag `x`.
fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => pattern.push_str("\\n"),
            '\r' => pattern.push_str("\\r"),
            '\t' => pattern.push_str("\\t"),
            '-' | '#' | '&' | '~' => pattern.push(letter),
            _ => pattern.push_str(&regex::escape(letter.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern
}

/// What differs with a little of what is around it.
fn shown(text: &[u8], side: &Side, charset: Charset) -> String {
    let read = |bytes: &[u8]| -> String {
        let decoded = charset.value(bytes);
        let text = String::from_utf8_lossy(&decoded);
        let plain = text.chars().map(|letter| match letter {
            '\0' => '·',
            letter if letter.is_control() || letter.is_whitespace() => ' ',
            letter => letter,
        });
        plain.collect()
    };
    let (whole, span) = (side.whole, side.span);
    let start = whole.start.max(span.start.saturating_sub(4 * SHOWN_AROUND));
    let end = whole.end.min(span.end + 4 * SHOWN_AROUND);
    let before = read(&text[start..span.start]);
    let middle = read(&text[span.start..span.end.min(span.start + 4 * SHOWN_MAX)]);
    let after = read(&text[span.end..end.max(span.end)]);
    let skip = before.chars().count().saturating_sub(SHOWN_AROUND);
    let mut shown = String::new();
    if skip > 0 || start > whole.start {
        shown.push('…');
    }
    shown.extend(before.chars().skip(skip));
    shown.extend(middle.chars().take(SHOWN_MAX));
    if middle.chars().count() > SHOWN_MAX || span.end > span.start + 4 * SHOWN_MAX {
        shown.push('…');
    }
    shown.extend(after.chars().take(SHOWN_AROUND));
    if after.chars().count() > SHOWN_AROUND || end < whole.end {
        shown.push('…');
    }
    shown
}
