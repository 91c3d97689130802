//! `standin suggest URL…`: where two answers for a page differ, and the rules that would make them equal, as
//! configuration to paste.

use std::fmt::Write;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::args::Args;
use super::{EXIT_FAILED, Outcome};
use crate::config;
use crate::content::{DeclaredRules, Place};
use crate::run::{self, RunError, SuggestOrder, SuggestPage, SuggestReport, SuggestRule};
use crate::site::PageUrl;

/// Lines of a list of places that are alike in kind.
const INDENT: &str = "             ";

/// The longest pause between two rounds, in seconds: an hour.
const PAUSE_MAX: f64 = 3600.0;

pub async fn main(
    args: &Args,
    texts: &[String],
    times: usize,
    pause: f64,
) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let mut urls: Vec<PageUrl> = Vec::with_capacity(texts.len());
    for text in texts {
        let url = PageUrl::parse(text)?;
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    check(urls.len(), times, pause)?;
    let order = SuggestOrder {
        urls: &urls,
        times,
        pause: Duration::from_secs_f64(pause),
        clock: run::now,
    };
    // What waits on the disk goes with this, too, when the terminal is closed.
    let mut closed = signal(SignalKind::hangup())?;
    let report = tokio::select! {
        report = run::suggest(&config, &order) => report?,
        _ = closed.recv() => anyhow::bail!("interrupted: the terminal was closed"),
    };
    Ok(outcome(&report, &config.canonical))
}

fn check(urls: usize, times: usize, pause: f64) -> Result<(), RunError> {
    let problem = if urls > run::PAGES_MAX {
        format!(
            "{urls} pages are more than {}; name some of each kind",
            run::PAGES_MAX
        )
    } else if !(2..=run::TIMES_MAX).contains(&times) {
        format!(
            "`--times {times}`: ask for each page 2 to {} times",
            run::TIMES_MAX
        )
    } else if !(0.0..=PAUSE_MAX).contains(&pause) {
        format!("`--pause {pause}`: wait 0 to {PAUSE_MAX} seconds")
    } else {
        return Ok(());
    };
    Err(RunError::Config(problem))
}

/// 0 when nothing differs, 1 when something does, 2 when a page could not be had.
fn outcome(report: &SuggestReport, configured: &DeclaredRules) -> Outcome {
    let not_had = report.not_had();
    let code = match report.differing() {
        _ if !not_had.is_empty() => EXIT_FAILED,
        0 => 0,
        _ => 1,
    };
    let toml = match report.rules.is_empty() {
        true => String::new(),
        false => table(&report.rules, configured),
    };
    let mut json = serde_json::to_value(report).expect("a report always serialises");
    json["differing"] = report.differing().into();
    json["toml"] = toml.clone().into();
    if !not_had.is_empty() {
        json["error"] = not_had.join("; ").into();
    }
    let mut text: String = report.pages.iter().map(described).collect();
    text.push_str(&verdict(report));
    if !toml.is_empty() {
        text.push('\n');
        text.push_str(&toml);
    }
    Outcome { code, text, json }
}

fn described(page: &SuggestPage) -> String {
    let mut text = format!("{}\n", page.url);
    let mut answers = page.answers.clone();
    answers.dedup();
    push(
        &mut text,
        format_args!("  answers  {}\n", answers.join("; then ")),
    );
    if let Some(why) = &page.not_had {
        push(&mut text, format_args!("  not had  {why}\n"));
        return text;
    }
    if let Some(note) = &page.note {
        push(&mut text, format_args!("  differs  {note}\n"));
    }
    for place in &page.comparison.places {
        text.push_str(&place_of(place));
    }
    if page.comparison.left_out > 0 {
        let left = page.comparison.left_out;
        push(
            &mut text,
            format_args!("           and in {left} more places\n"),
        );
    }
    if page.note.is_none() && page.comparison.is_equal() {
        text.push_str("  equal    nothing differs but what the rules take out already\n");
    }
    text
}

fn place_of(place: &Place) -> String {
    let at = match place.line {
        0 => String::new(),
        line => format!(
            " (line {line}, character {}, byte {})",
            place.column, place.offset
        ),
    };
    let often = match place.count {
        1 => String::new(),
        count => format!(", {count} times"),
    };
    let what = one_line(&place.described());
    let mut text = format!("  differs  {what}{often}{at}\n");
    push(
        &mut text,
        format_args!(
            "{INDENT}first  {}\n{INDENT}then   {}\n",
            place.before, place.after
        ),
    );
    match &place.proposal {
        Some(proposal) => {
            let (list, rule) = (proposal.rule.list(), one_line(proposal.rule.text()));
            push(&mut text, format_args!("{INDENT}rule   {list}: {rule}\n"));
            if let Some(doubt) = &proposal.doubt {
                push(&mut text, format_args!("{INDENT}       {doubt}\n"));
            }
        }
        None => push(
            &mut text,
            format_args!("{INDENT}rule   none that takes out this and little else\n"),
        ),
    }
    text
}

fn verdict(report: &SuggestReport) -> String {
    let (pages, differing) = (report.pages.len(), report.differing());
    let sure = report
        .rules
        .iter()
        .filter(|rule| rule.doubt.is_none())
        .count();
    let begin = format!("\n{differing} of {pages} pages differ from answer to answer");
    match (differing, sure) {
        (0, _) if report.not_had().is_empty() => "\nnothing differs\n".to_owned(),
        (0, _) => "\nnothing differs in the pages that could be had\n".to_owned(),
        (_, 0) => format!("{begin}; no rule is proposed without a doubt\n"),
        _ if report.suffices => {
            format!("{begin}; with this table in the place of [canonical] they are equal:\n")
        }
        _ => format!(
            "{begin}; with this table in the place of [canonical] they are equal but for what has no rule yet:\n"
        ),
    }
}

/// The table `[canonical]` as it would be with these rules: what is configured already, what can be used as it is,
/// and commented out what somebody should think about first.
fn table(rules: &[SuggestRule], configured: &DeclaredRules) -> String {
    let mut text = "[canonical]\n".to_owned();
    type List = (&'static str, fn(&DeclaredRules) -> &Vec<String>);
    let lists: [List; 4] = [
        ("selectors", |declared| &declared.selectors),
        ("patterns", |declared| &declared.patterns),
        ("json_pointers", |declared| &declared.json_pointers),
        ("headers", |declared| &declared.headers),
    ];
    for (name, list) in lists {
        let old = list(configured);
        let new: Vec<_> = rules
            .iter()
            .filter(|rule| rule.rule.list() == name)
            .collect();
        if old.is_empty() && new.is_empty() {
            continue;
        }
        push(&mut text, format_args!("{name} = [\n"));
        for rule in old {
            push(&mut text, format_args!("    {},\n", quoted(rule)));
        }
        for rule in new {
            text.push_str(&line_of(rule));
        }
        text.push_str("]\n");
    }
    text
}

fn line_of(rule: &SuggestRule) -> String {
    let pages = match rule.urls.len() {
        0 | 1 => String::new(),
        pages => format!(", and {} more", pages - 1),
    };
    let first = rule.urls.first().map_or("", PageUrl::as_str);
    let what = format!("    # {} on {first}{pages}\n", one_line(&rule.place));
    let text = quoted(rule.rule.text());
    match &rule.doubt {
        None => format!("{what}    {text},\n"),
        Some(doubt) => format!("{what}    # {}:\n    # {text},\n", one_line(doubt)),
    }
}

/// What comes from a page must not end a comment, and does nothing on a terminal.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Rule;

    fn rule(rule: Rule, doubt: Option<&str>) -> SuggestRule {
        SuggestRule {
            rule,
            urls: ["x", "y", "z"]
                .map(|path| PageUrl::parse(&format!("https://a.example/{path}")).unwrap())
                .to_vec(),
            place: "html > body, text: a\ntime".to_owned(),
            doubt: doubt.map(str::to_owned),
        }
    }

    #[test]
    fn the_table_is_what_the_configuration_says_with_the_new_rules() {
        // Promise: it can be pasted as it is, whatever signs are in a rule; doubtful rules are comments.
        let configured = DeclaredRules {
            selectors: vec!["#clock".into()],
            ..DeclaredRules::default()
        };
        let pattern = "it's \"[0-9]+\" \\d\n";
        let rules = [
            rule(Rule::Selectors("input[name=\"a\"]@value".into()), None),
            rule(Rule::Patterns(pattern.into()), None),
            rule(Rule::Headers("vary".into()), Some("think")),
        ];
        let text = table(&rules, &configured);
        let read: toml::Table = toml::from_str(&text).unwrap();
        let canonical = &read["canonical"];
        let list = |name: &str| canonical[name].as_array().unwrap().clone();
        assert_eq!(list("selectors")[0].as_str(), Some("#clock"));
        assert_eq!(
            list("selectors")[1].as_str(),
            Some("input[name=\"a\"]@value")
        );
        assert_eq!(list("patterns")[0].as_str(), Some(pattern));
        assert!(list("headers").is_empty());
        assert!(
            text.contains("    # html > body, text: a time on https://a.example/x, and 2 more\n")
        );
        assert!(text.contains("    # think:\n    # \"vary\",\n"), "{text}");
    }
}
