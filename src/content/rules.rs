//! The rules of the canonical form: what is built in, by version, and what the operator declares beside it.
//!
//! An entry of the manifest names the rules that its canonical hash was made by, and the manifest keeps each version of
//! them as lines of text. Such lines are a promise: they must compute the same hash for ever, or every page that was
//! hashed under them looks changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use regex::bytes::{Regex, RegexBuilder};

use super::pointer::{self, POINTERS_MAX, Pointers, Segment};
use super::taking::{Selectors, Taking};
use super::{Charset, Collector, Kind, Span, html, selector};

/// So large may a compiled pattern be, which bounds memory and the cost of a byte: the usual one is far below 100 KiB,
/// a counted repetition of a whole Unicode class some hundred.
const PATTERN_BYTES_MAX: usize = 2 << 20;

/// Each pattern is one more walk over every page.
const PATTERNS_MAX: usize = 64;

/// One search takes linear time, but may look at all the rest of a page before it says where a short match was: a
/// pattern such as `x(?s:.*)y|x` does so for every `x`. When all searches in a page may have looked at so much, some ten
/// seconds' work, patterns take nothing more out of it. That is 16,000 matches of such a pattern in a page of 1 MB; others
/// look no further than to the ends of their matches.
const MATCHING_BYTES_MAX: u64 = 16 << 30;

/// With which the lines of rules begin, followed by the version of what is built in. No pattern begins so, since a
/// star has nothing to repeat there: lines without it are of a time when there were patterns alone, and a version of
/// that time refuses lines that have it.
const HEAD: &str = "* built-in ";

/// Rules as an operator writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredRules {
    /// CSS selectors: elements that are taken out, or with `@name` at the end the value of one of their attributes.
    pub selectors: Vec<String>,
    /// Regular expressions over the bytes of whatever is read as text.
    pub patterns: Vec<String>,
    /// JSON pointers (RFC 6901) to values; a segment `*` is any key or index.
    pub json_pointers: Vec<String>,
    /// Names of headers that compare as if they were absent.
    pub headers: Vec<String>,
}

/// What is taken out of every site's pages, by version. See docs/CANONICAL.md for what each takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum BuiltIn {
    First = 1,
    Second = 2,
}

/// The rules of the canonical form, ready for use. The default is what is built in today and nothing else.
#[derive(Clone, Debug)]
pub struct CanonicalRules {
    pub(super) built_in: BuiltIn,
    declared: DeclaredRules,
    pub(super) selectors: Selectors,
    pub(super) pointers: Pointers,
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    regex: Regex,
    may_look_ahead: bool,
    /// It has given up on a page, which was said.
    is_told: Arc<AtomicBool>,
}

impl Pattern {
    fn new(regex: Regex) -> Pattern {
        Pattern {
            may_look_ahead: may_look_ahead(regex.as_str()),
            regex,
            is_told: Arc::default(),
        }
    }
}

/// Whether a search may go on behind a match for something longer, or for the end of something else: only where there
/// is a choice, and something that may be of any length.
fn may_look_ahead(pattern: &str) -> bool {
    let has = |marks: &[&str]| marks.iter().any(|mark| pattern.contains(mark));
    has(&["*", "+", ",}"]) && has(&["|", ")?", ")*", ")+", "){"])
}

/// A rule that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}`{}: {problem}", place(*at))]
pub struct RulesError {
    /// The list that it stands in, such as `selectors`.
    pub list: &'static str,
    /// Its place there, from 0.
    pub index: usize,
    pub rule: String,
    /// Where in it, in characters from 1.
    pub at: Option<usize>,
    pub problem: String,
}

fn place(at: Option<usize>) -> String {
    at.map_or(String::new(), |at| format!(", character {at}"))
}

impl Default for CanonicalRules {
    fn default() -> CanonicalRules {
        CanonicalRules::new(&DeclaredRules::default()).expect("no rule is no wrong one")
    }
}

/// Rules are equal when they take the same out of every page.
impl PartialEq for CanonicalRules {
    fn eq(&self, other: &CanonicalRules) -> bool {
        self.built_in == other.built_in && self.declared == other.declared
    }
}

impl CanonicalRules {
    /// Today's built-in rules, and these.
    ///
    /// # Errors
    /// The first rule that cannot work.
    pub fn new(declared: &DeclaredRules) -> Result<CanonicalRules, RulesError> {
        let selectors = compiled_selectors(&declared.selectors)?;
        let mut patterns = Vec::with_capacity(declared.patterns.len());
        for (index, pattern) in declared.patterns.iter().enumerate() {
            let refused = |(at, problem)| RulesError {
                list: "patterns",
                index,
                rule: pattern.clone(),
                at,
                problem,
            };
            patterns.push(Pattern::new(compiled(pattern, index).map_err(refused)?));
        }
        Ok(CanonicalRules {
            built_in: BuiltIn::Second,
            declared: in_order(declared),
            selectors,
            pointers: compiled_pointers(&declared.json_pointers)?,
            patterns,
        })
    }

    /// The rules as lines of text, from which [`CanonicalRules::from_lines`] makes the same again. In which order an
    /// operator has written them, or how often, makes no difference.
    pub fn lines(&self) -> Vec<String> {
        let declared = &self.declared;
        if self.built_in == BuiltIn::First {
            return declared.patterns.clone();
        }
        let lists = [
            ("selector", &declared.selectors),
            ("pattern", &declared.patterns),
            ("json-pointer", &declared.json_pointers),
            ("header", &declared.headers),
        ];
        let rules = lists
            .iter()
            .flat_map(|(word, rules)| rules.iter().map(move |rule| format!("{word} {rule}")));
        let head = format!("{HEAD}{}", self.built_in as u8);
        std::iter::once(head).chain(rules).collect()
    }

    /// Rules as the manifest keeps them. Lines without the head of today's are patterns, beside the first version of
    /// what is built in.
    ///
    /// # Errors
    /// Lines of a version that this one does not know, and rules that cannot work here.
    pub fn from_lines(lines: &[String]) -> Result<CanonicalRules, RulesError> {
        let Some(version) = lines.first().and_then(|line| line.strip_prefix(HEAD)) else {
            return CanonicalRules::of_patterns(lines);
        };
        let unknown = |index: usize| RulesError {
            list: "recorded rules",
            index,
            rule: lines[index].clone(),
            at: None,
            problem: "was written by a newer version of standin; upgrade standin".into(),
        };
        if version != (BuiltIn::Second as u8).to_string() {
            return Err(unknown(0));
        }
        let mut declared = DeclaredRules::default();
        for (index, line) in lines.iter().enumerate().skip(1) {
            let list = match line.split_once(' ') {
                Some(("selector", rule)) => (&mut declared.selectors, rule),
                Some(("pattern", rule)) => (&mut declared.patterns, rule),
                Some(("json-pointer", rule)) => (&mut declared.json_pointers, rule),
                Some(("header", rule)) => (&mut declared.headers, rule),
                _ => return Err(unknown(index)),
            };
            list.0.push(list.1.to_owned());
        }
        CanonicalRules::new(&declared)
    }

    /// Rules of the first version: the limits of today did not hold then.
    fn of_patterns(patterns: &[String]) -> Result<CanonicalRules, RulesError> {
        let mut regexes = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            let regex = Regex::new(pattern).map_err(|error| RulesError {
                list: "patterns",
                index,
                rule: pattern.clone(),
                at: None,
                problem: error.to_string(),
            })?;
            regexes.push(Pattern::new(regex));
        }
        Ok(CanonicalRules {
            built_in: BuiltIn::First,
            declared: DeclaredRules {
                patterns: patterns.to_vec(),
                ..DeclaredRules::default()
            },
            selectors: Selectors::default(),
            pointers: Pointers::default(),
            patterns: regexes,
        })
    }

    /// What was declared, each list sorted and without repetitions.
    pub fn declared(&self) -> &DeclaredRules {
        &self.declared
    }

    /// Whether all rules for bodies that were declared here are there, too.
    pub(super) fn is_declared_in(&self, other: &CanonicalRules) -> bool {
        let (ours, theirs) = (&self.declared, &other.declared);
        let is_in =
            |ours: &[String], theirs: &[String]| ours.iter().all(|rule| theirs.contains(rule));
        is_in(&ours.selectors, &theirs.selectors)
            && is_in(&ours.patterns, &theirs.patterns)
            && is_in(&ours.json_pointers, &theirs.json_pointers)
    }

    /// Whether patterns are looked for in such a body: in whatever is text; in scripts and JSON they were not before
    /// rules had versions.
    pub(super) fn reach(&self, kind: Kind) -> bool {
        match kind {
            Kind::Html | Kind::Css | Kind::Xml => true,
            Kind::Script | Kind::Manifest | Kind::Json => self.built_in > BuiltIn::First,
            Kind::Other => false,
        }
    }

    /// Adds the spans that the patterns match.
    pub(super) fn match_patterns(&self, body: &[u8], volatile: &mut Vec<Span>) {
        let mut budget = MATCHING_BYTES_MAX;
        for pattern in &self.patterns {
            let before = volatile.len();
            let mut last = 0;
            for found in pattern.regex.find_iter(body) {
                let searched = match pattern.may_look_ahead {
                    true => body.len() - last,
                    false => found.end() - last,
                };
                last = found.end();
                let Some(left) = budget.checked_sub(searched as u64) else {
                    volatile.truncate(before);
                    if !pattern.is_told.swap(true, Ordering::Relaxed) {
                        let (pattern, bytes) = (pattern.regex.as_str(), body.len());
                        tracing::warn!(%pattern, bytes, "a pattern of [canonical] takes nothing out of pages for which it would be looked for too long");
                    }
                    return;
                };
                budget = left;
                volatile.push(Span {
                    start: found.start(),
                    end: found.end(),
                });
            }
            // The search that finds no more.
            budget = budget.saturating_sub((body.len() - last) as u64);
        }
    }
}

/// A page without anything special, for rules that would take out all of any page.
const PROBE: &[u8] = b"<!doctype html>\n<html lang=en>\n<head><title>Probe of 5 parts</title></head>\n<body>\n\
<section><h2>Part 1</h2>\n<div><p>Text of 42 words, <b>bold</b></p></div></section>\n<nonesuch>and more</nonesuch>\n\
<p>The end.</p>\n</body>\n</html>\n";

/// Whether no letter and no digit of the probe's text is left without these spans.
fn takes_all(spans: &[Span]) -> bool {
    let body = memchr::memmem::find(PROBE, b"<body>").expect("it has one");
    let (mut is_tag, mut is_all) = (false, true);
    for (at, byte) in PROBE.iter().enumerate().skip(body) {
        match byte {
            b'<' => is_tag = true,
            b'>' => is_tag = false,
            byte if !is_tag && byte.is_ascii_alphanumeric() => {
                is_all &= spans
                    .iter()
                    .any(|span| (span.start..span.end).contains(&at));
            }
            _ => {}
        }
    }
    is_all
}

const TAKES_ALL: &str = "takes out the whole page, so that no change of it would be seen";

fn selector_takes_all(selector: &selector::Selector) -> bool {
    let Some(selectors) = Selectors::new(std::slice::from_ref(selector)) else {
        return false;
    };
    let mut taking = Taking::new(PROBE, Charset::UTF_8, &selectors);
    let mut links = Collector::default();
    html::scan(
        PROBE,
        Charset::UTF_8,
        BuiltIn::First,
        &mut links,
        &mut taking,
    );
    takes_all(&taking.finish())
}

fn in_order(declared: &DeclaredRules) -> DeclaredRules {
    let sorted = |rules: &[String]| {
        let mut rules = rules.to_vec();
        rules.sort();
        rules.dedup();
        rules
    };
    let mut headers = declared.headers.clone();
    headers
        .iter_mut()
        .for_each(|name| name.make_ascii_lowercase());
    DeclaredRules {
        selectors: sorted(&declared.selectors),
        patterns: sorted(&declared.patterns),
        json_pointers: sorted(&declared.json_pointers),
        headers: sorted(&headers),
    }
}

fn compiled_selectors(written: &[String]) -> Result<Selectors, RulesError> {
    let mut parsed = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let refused = |at, problem| RulesError {
            list: "selectors",
            index,
            rule: text.clone(),
            at,
            problem,
        };
        let characters = |bytes: usize| text[..bytes].chars().count() + 1;
        let list = selector::parse(text)
            .map_err(|(at, problem)| refused(Some(characters(at)), problem))?;
        if list.iter().any(selector_takes_all) {
            return Err(refused(None, TAKES_ALL.to_owned()));
        }
        parsed.extend(list);
        if Selectors::new(&parsed).is_none() {
            let problem = format!(
                "all selectors together have more than {} steps",
                selector::STEPS_MAX
            );
            return Err(refused(None, problem));
        }
    }
    Ok(Selectors::new(&parsed).expect("they fit when the last one was added"))
}

fn compiled_pointers(written: &[String]) -> Result<Pointers, RulesError> {
    let mut parsed = Vec::new();
    for (index, text) in written.iter().enumerate() {
        let refused = |at, problem| RulesError {
            list: "json_pointers",
            index,
            rule: text.clone(),
            at,
            problem,
        };
        if index >= POINTERS_MAX {
            return Err(refused(
                None,
                format!("there are more than {POINTERS_MAX} pointers"),
            ));
        }
        let characters = |bytes: usize| text[..bytes].chars().count() + 1;
        let pointer =
            pointer::parse(text).map_err(|(at, problem)| refused(Some(characters(at)), problem))?;
        if pointer.iter().all(|segment| *segment == Segment::Any) {
            let problem = "takes out all values, so that no change of any would be seen";
            return Err(refused(None, problem.to_owned()));
        }
        parsed.push(pointer);
    }
    Ok(Pointers::new(parsed))
}

/// A pattern as an expression of linear time; else where it goes wrong and why.
fn compiled(pattern: &str, index: usize) -> Result<Regex, (Option<usize>, String)> {
    if index >= PATTERNS_MAX {
        return Err((None, format!("there are more than {PATTERNS_MAX} patterns")));
    }
    if pattern.is_empty() {
        return Err((None, "an empty regular expression takes nothing out".into()));
    }
    let built = RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build();
    let regex = built.map_err(|error| match error {
        regex::Error::CompiledTooBig(limit) => {
            let problem = format!(
                "compiled it is larger than {limit} bytes; make its counted repetitions smaller, or write (?-u) before classes such as \\w"
            );
            (None, problem)
        }
        // Of a pattern of several lines the message draws another picture.
        other if pattern.contains('\n') => (None, syntax_problem(&other.to_string()).1),
        other => syntax_problem(&other.to_string()),
    })?;
    let spans = regex.find_iter(PROBE).map(|found| Span {
        start: found.start(),
        end: found.end(),
    });
    match takes_all(&spans.collect::<Vec<_>>()) {
        true => Err((None, TAKES_ALL.to_owned())),
        false => Ok(regex),
    }
}

/// Where and why, out of a message that draws a caret under the pattern and ends with the reason.
fn syntax_problem(message: &str) -> (Option<usize>, String) {
    // The engine indents the pattern, and the caret below it, by so much.
    const INDENT: usize = 4;
    let drawn = message
        .lines()
        .find(|line| line.trim_start().starts_with('^'));
    let column = drawn.and_then(|line| line.find('^'));
    let at = column.and_then(|column| (column + 1).checked_sub(INDENT));
    let reason = message.lines().last().unwrap_or_default();
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    (at, format!("is no regular expression: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rules: &[&str]) -> Vec<String> {
        rules.iter().map(|&rule| rule.into()).collect()
    }

    fn declared() -> DeclaredRules {
        DeclaredRules {
            selectors: list(&["p", "div > a@href", "p"]),
            patterns: list(&["b c", "a+"]),
            json_pointers: list(&["/b ", "/a"]),
            headers: list(&["X-B", "x-a"]),
        }
    }

    #[test]
    fn rules_are_written_down_and_read_again() {
        // Golden lines: they lie in manifests. Order and repetitions of what an operator writes make no other rules.
        let rules = CanonicalRules::new(&declared()).unwrap();
        let expected = [
            "* built-in 2",
            "selector div > a@href",
            "selector p",
            "pattern a+",
            "pattern b c",
            "json-pointer /a",
            "json-pointer /b ",
            "header x-a",
            "header x-b",
        ];
        assert_eq!(rules.lines(), expected);
        assert_eq!(CanonicalRules::from_lines(&rules.lines()).unwrap(), rules);
        assert_eq!(CanonicalRules::default().lines(), ["* built-in 2"]);
    }

    #[test]
    fn lines_of_the_time_before_versions_are_patterns() {
        // Promise: what an earlier version has written means what it meant, order and all; what a later one has
        // written is refused and not guessed; and what is written today an earlier one refuses, for whom a line was a
        // pattern.
        for lines in [vec![], list(&["<!--.*-->", "a"]), list(&["selector p"])] {
            let rules = CanonicalRules::from_lines(&lines).unwrap();
            assert_eq!((rules.built_in, rules.lines()), (BuiltIn::First, lines));
        }
        for lines in [
            list(&["* built-in 3"]),
            list(&["* built-in 2", "color blue"]),
        ] {
            let error = CanonicalRules::from_lines(&lines).unwrap_err().to_string();
            assert!(error.contains("upgrade standin"), "{error}");
        }
        assert!(CanonicalRules::of_patterns(&list(&["* built-in 2"])).is_err());
        assert_ne!(
            CanonicalRules::from_lines(&[]).unwrap(),
            CanonicalRules::default()
        );
    }

    #[test]
    fn a_pattern_that_would_look_at_a_page_again_and_again_takes_nothing_out_of_it() {
        // Promise: no pattern runs away; an ordinary one finds its hundred thousand matches.
        let found = |pattern: &str, body: &str| {
            let declared = DeclaredRules {
                patterns: list(&[pattern]),
                ..DeclaredRules::default()
            };
            let mut volatile = Vec::new();
            let rules = CanonicalRules::new(&declared).unwrap();
            rules.match_patterns(body.as_bytes(), &mut volatile);
            volatile.len()
        };
        assert_eq!(found("x", &"x ".repeat(100_000)), 100_000);
        assert_eq!(found("x", &"x ".repeat(1_500_000)), 1_500_000);
        let cell = "<td>12345</td>\n".repeat(200_000);
        assert_eq!(found("[0-9]{5}", &cell), 200_000);
        assert_eq!(found("x(?s:.*)y|x", &"x ".repeat(150_000)), 0);
        assert_eq!(found("x", &"x".repeat(1000)), 1000);
    }

    #[test]
    fn a_rule_that_takes_all_of_any_page_is_refused() {
        // Promise: no rule makes a mirror blind. Rules that reach much, but not all, are the operator's own.
        type Fill = fn(&mut DeclaredRules, String);
        let [selectors, patterns, pointers]: [Fill; 3] = [
            |rules, rule| rules.selectors.push(rule),
            |rules, rule| rules.patterns.push(rule),
            |rules, rule| rules.json_pointers.push(rule),
        ];
        let is_refused = |fill: Fill, rule: &str| {
            let mut declared = DeclaredRules::default();
            fill(&mut declared, rule.into());
            CanonicalRules::new(&declared).is_err()
        };
        for rule in [":not(x)", "body > *", "*", "body"] {
            assert!(is_refused(selectors, rule), "{rule}");
        }
        for rule in ["(?s).*", ".*", ".+", "(?s)<html.*", r"\w+", ">[^<]*<"] {
            assert!(is_refused(patterns, rule), "{rule}");
        }
        for rule in ["/*", "/*/*"] {
            assert!(is_refused(pointers, rule), "{rule}");
        }
        assert!(
            !is_refused(selectors, "html > *")
                && !is_refused(selectors, "[lang]")
                && !is_refused(selectors, "p")
        );
        assert!(!is_refused(patterns, "[0-9]+") && !is_refused(pointers, "/*/at"));
        // An element that is the page is never taken, whatever it looks like.
        let declared = DeclaredRules {
            selectors: list(&["[lang]"]),
            ..DeclaredRules::default()
        };
        let rules = CanonicalRules::new(&declared).unwrap();
        let canonical = |body: &str| {
            let document = super::super::check::document(Kind::Html, body.as_bytes());
            super::super::parse(&document, &rules).canonical
        };
        assert_ne!(canonical("<html lang=en>10"), canonical("<html lang=en>12"));
        assert_ne!(canonical("<body lang=en>10"), canonical("<body lang=en>12"));
        assert_eq!(canonical("a<p lang=en>10"), canonical("a<p lang=en>12"));
    }

    #[test]
    fn of_a_pattern_of_several_lines_no_wrong_place_is_told() {
        let error = compiled("(?x)\n a b\n [c", 0).unwrap_err();
        assert_eq!(error.0, None);
        assert!(error.1.contains("unclosed character class"), "{}", error.1);
    }

    #[test]
    fn so_many_rules_fit_and_no_more() {
        let many =
            |count: usize, rule: fn(usize) -> String| (0..count).map(rule).collect::<Vec<_>>();
        let patterns = |count| DeclaredRules {
            patterns: many(count, |index| format!("a{index}")),
            ..DeclaredRules::default()
        };
        let pointers = |count| DeclaredRules {
            json_pointers: many(count, |index| format!("/{index}")),
            ..DeclaredRules::default()
        };
        let selectors = |count| DeclaredRules {
            selectors: many(count, |index| format!("a{index} > b")),
            ..DeclaredRules::default()
        };
        let fits = |declared: DeclaredRules| CanonicalRules::new(&declared).is_ok();
        assert!(fits(patterns(PATTERNS_MAX)) && !fits(patterns(PATTERNS_MAX + 1)));
        assert!(fits(pointers(POINTERS_MAX)) && !fits(pointers(POINTERS_MAX + 1)));
        let steps = selector::STEPS_MAX / 2;
        assert!(fits(selectors(steps)) && !fits(selectors(steps + 1)));
    }
}
