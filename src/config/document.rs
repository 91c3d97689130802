//! From TOML text to its shape, with the line of everything in it.
//!
//! What is wrong with the text itself is said here in one line: syntax, types, and fields that
//! nobody knows, with the name that was probably meant.

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{self, FileShape};
use super::{ConfigError, Place};

/// A shorter name stands in too many others by chance.
const ABBREVIATION_MIN: usize = 3;

/// serde's words for types, and those of somebody who writes a configuration.
const PLAIN_WORDS: [(&str, &str); 5] = [
    ("expected usize", "expected a whole number of 0 or more"),
    ("expected u64", "expected a whole number of 0 or more"),
    ("expected u32", "expected a whole number of 0 or more"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
];

/// Names and values of a document with their lines, in the order of the file.
#[derive(Default)]
pub(super) struct Lines {
    entries: Vec<Entry>,
}

struct Entry {
    /// With indices: `tier[0].credentials.access_key_id_env`.
    path: String,
    /// The dotted path of the table around it, without indices.
    section: String,
    /// The last name of the path; empty for an element of an array.
    name: String,
    line: usize,
    /// Bytes of the text that name and value take.
    key: Range<usize>,
    value: Range<usize>,
}

/// Reads a whole configuration. Errors name `file` and the line.
pub(super) fn read(text: &str, file: &Path) -> Result<(FileShape, Lines), ConfigError> {
    let place = |line| Place {
        file: file.to_owned(),
        line,
    };
    let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
        at: place(error.span().map(|span| line_of(text, span.start))),
        problem: one_line(error.message()),
    })?;
    let mut lines = Lines::default();
    lines.enter_table(text, document.get_ref(), "", "");
    lines
        .entries
        .sort_by_key(|entry| (entry.key.start, entry.path.len()));
    lines.refuse_unknown(file)?;
    let shape = FileShape::deserialize(toml::Deserializer::from(document));
    let shape = shape.map_err(|error| {
        let found = error.span().and_then(|span| lines.innermost(&span));
        let path = found
            .map(|entry| without_indices(&entry.path))
            .unwrap_or_default();
        let own_words = schema::type_advice(&path).map(str::to_owned);
        ConfigError::Invalid {
            at: place(found.map(|entry| entry.line)),
            field: visible(&path),
            problem: own_words.unwrap_or_else(|| plain(&one_line(error.message()))),
        }
    })?;
    Ok((shape, lines))
}

impl Lines {
    /// The line of a path such as `site.seeds[1]`, or of the nearest thing around it that is there.
    pub(super) fn of(&self, path: &str) -> Option<usize> {
        let mut path = path;
        loop {
            if let Some(entry) = self.entries.iter().find(|entry| entry.path == path) {
                return Some(entry.line);
            }
            path = &path[..path.rfind(['.', '['])?];
        }
    }

    fn enter_table(&mut self, text: &str, table: &DeTable<'_>, path: &str, section: &str) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            self.entries.push(Entry {
                path: joined(path, name),
                section: section.to_owned(),
                name: name.to_owned(),
                line: line_of(text, key.span().start),
                key: key.span(),
                value: value.span(),
            });
            self.enter_value(text, value, &joined(path, name), &joined(section, name));
        }
    }

    fn enter_value(&mut self, text: &str, value: &Spanned<DeValue<'_>>, path: &str, section: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.enter_table(text, table, path, section),
            DeValue::Array(array) => {
                for (index, element) in array.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.entries.push(Entry {
                        path: path.clone(),
                        section: section.to_owned(),
                        name: String::new(),
                        line: line_of(text, element.span().start),
                        key: element.span(),
                        value: element.span(),
                    });
                    self.enter_value(text, element, &path, section);
                }
            }
            _ => {}
        }
    }

    fn refuse_unknown(&self, file: &Path) -> Result<(), ConfigError> {
        for entry in self.entries.iter().filter(|entry| !entry.name.is_empty()) {
            let Some(known) = schema::section_fields(&entry.section) else {
                continue;
            };
            if known.contains(&entry.name.as_str()) {
                continue;
            }
            return Err(ConfigError::UnknownField {
                at: Place {
                    file: file.to_owned(),
                    line: Some(entry.line),
                },
                field: visible(&entry.name),
                section: visible(&schema::section_title(&entry.section)),
                advice: advice(&entry.section, &entry.name, known),
            });
        }
        Ok(())
    }

    /// The smallest thing whose value holds the whole span.
    fn innermost(&self, span: &Range<usize>) -> Option<&Entry> {
        let around = |range: &Range<usize>| range.start <= span.start && span.end <= range.end;
        let holders = self.entries.iter().filter(|entry| around(&entry.value));
        holders.min_by_key(|entry| entry.value.len())
    }
}

/// `tier[0].url` without what only a program wants to know: `tier.url`.
pub(super) fn without_indices(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    for (index, piece) in path.split('[').enumerate() {
        let rest = if index == 0 {
            piece
        } else {
            piece.split_once(']').map_or("", |(_, r)| r)
        };
        plain.push_str(rest);
    }
    plain
}

/// What to do about an unknown field.
fn advice(section: &str, field: &str, known: &[&str]) -> String {
    if schema::comes_later(section, field) {
        return "it comes with a later version; remove it".to_owned();
    }
    let in_tier = section == "tier" || section == "tier.credentials";
    if in_tier
        && matches!(
            field,
            "access_key_id" | "secret_access_key" | "session_token"
        )
    {
        return format!(
            "secrets do not belong in this file; write credentials = {{ {field}_env = \"NAME\" }} or {{ {field}_file = \"path\" }}"
        );
    }
    if let Some(meant) = nearest(field, known) {
        return format!("did you mean `{meant}`?");
    }
    let elsewhere = |section: &&str| schema::section_fields(section).unwrap_or_default();
    let owner = schema::SECTIONS
        .iter()
        .find(|section| elsewhere(section).contains(&field));
    if let Some(section) = owner {
        return format!("it belongs {}", schema::section_title(section));
    }
    for section in schema::SECTIONS {
        if let Some(meant) = nearest(field, elsewhere(&section)) {
            return format!("did you mean `{meant}` {}?", schema::section_title(section));
        }
    }
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    format!("known are {}", names.join(", "))
}

/// The name that was probably meant: a few letters off, or the only one with words that begin so.
pub(super) fn nearest<'a>(field: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |name: &&str| strsim::damerau_levenshtein(field, name);
    let misspelt = known
        .iter()
        .copied()
        .filter(|name| distance(name) <= 1 + field.len() / 4);
    if let Some(meant) = misspelt.min_by_key(distance) {
        return Some(meant);
    }
    let words = format!("_{field}");
    let has_them = |name: &&str| format!("_{name}").contains(&words);
    let mut longer = known.iter().copied().filter(has_them);
    longer
        .next()
        .filter(|_| field.len() >= ABBREVIATION_MIN && longer.next().is_none())
}

/// A text that strangers have a part in, such as a line of the file or the name of an object, as part of one line: line
/// ends and whatever else would be a command to a terminal are shown as what they are.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    shown
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

fn plain(message: &str) -> String {
    for (theirs, ours) in PLAIN_WORDS {
        if let Some(rest) = message.strip_suffix(theirs) {
            return format!("{rest}{ours}");
        }
    }
    message.to_owned()
}

fn one_line(message: &str) -> String {
    visible(&message.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::cases;
    use super::*;

    #[test]
    fn every_path_has_its_line() {
        // Promise: an error can name the line of any field, and of its section if it is absent.
        let text = "[site]\nseeds = [\n  \"https://a/\",\n  \"https://b/\",\n]\n\n[[tier]]\nname = \"a\"\n[[tier]]\n# here\nname = \"b\"\ncredentials.access_key_id_env = \"X\"\n";
        let (_, lines) = read(text, Path::new("standin.toml")).unwrap();
        for (path, line) in [
            ("site", Some(1)),
            ("site.seeds", Some(2)),
            ("site.seeds[1]", Some(4)),
            ("site.layout", Some(1)),
            ("tier[0].name", Some(8)),
            ("tier[1].name", Some(11)),
            ("tier[1].url", Some(9)),
            ("tier[1].credentials", Some(12)),
            ("crawl.memory", None),
        ] {
            assert_eq!(lines.of(path), line, "{path}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_one_line() {
        // Promise: every error of a text names the line, the field and the way out, and shows no
        // secret; checked message by message.
        for (text, expected) in cases(REFUSED) {
            let error = read(&text, Path::new("standin.toml")).err();
            assert_eq!(
                error.map(|error| error.to_string()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
    }

    /// Whole files.
    const REFUSED: &str = r#"
[site]
tir = 1
=> standin.toml:2: unknown field `tir` in [site]; did you mean `tier` at the top level?

[site]
hosst = []
=> standin.toml:2: unknown field `hosst` in [site]; did you mean `hosts`?

[sit]
=> standin.toml:1: unknown field `sit` at the top level; did you mean `site`?

[site]
concurrency = 3
=> standin.toml:2: unknown field `concurrency` in [site]; it belongs in [crawl]

[site]
xyzzy = 3
=> standin.toml:2: unknown field `xyzzy` in [site]; known are `seeds`, `hosts`, `asset_hosts`, `deny`, `query`, `layout`, `robots`, `headers`, `keep_headers`, `cache_control`

seeds = []
=> standin.toml:1: unknown field `seeds` at the top level; it belongs in [site]

[gateway]
listen = "x"
=> standin.toml:1: unknown field `gateway` at the top level; it comes with a later version; remove it

[watch]
=> standin.toml:1: unknown field `watch` at the top level; it comes with a later version; remove it

[crawl]
form = []
=> standin.toml:2: unknown field `form` in [crawl]; did you mean `forms`?

[crawl]
rate = 3
=> standin.toml:2: unknown field `rate` in [crawl]; did you mean `rate_per_second`?

[crawl]
timeout = 3
=> standin.toml:2: unknown field `timeout` in [crawl]; known are `concurrency`, `rate_per_second`, `connect_timeout_s`, `answer_timeout_s`, `idle_timeout_s`, `user_agent`, `body_max`, `memory`, `attempts`, `strategy`, `max_age_days`, `refetch_share`, `retire_after_days`, `forms`, `forms_max`, `quiet_hours`, `mirror_headers`, `path_segments_max`, `segment_repeats_max`, `query_variants_max`, `session_parameters`, `decompression_ratio_max`, `disk_free_min`

[[tiers]]
=> standin.toml:1: unknown field `tiers` at the top level; did you mean `tier`?

[tier]
name = "a"
=> standin.toml:1: tier: a tier is a list entry; write [[tier]] with two brackets

[[tier]]
secret_access_key = "hunter2"
=> standin.toml:2: unknown field `secret_access_key` in [[tier]]; secrets do not belong in this file; write credentials = { secret_access_key_env = "NAME" } or { secret_access_key_file = "path" }

[[tier]]
credentials = { secret_access_key = "hunter2" }
=> standin.toml:2: unknown field `secret_access_key` in credentials of [[tier]]; secrets do not belong in this file; write credentials = { secret_access_key_env = "NAME" } or { secret_access_key_file = "path" }

[[tier]]
credentials = "hunter2"
=> standin.toml:2: tier.credentials: expected names of environment variables or files, as in { access_key_id_env = "NAME", secret_access_key_env = "NAME" }, or { file = "key.json" } for gs:// tiers

[[tier]]
credentials = { secret_access_key_env = 42 }
=> standin.toml:2: tier.credentials.secret_access_key_env: expected names of environment variables or files, as in { access_key_id_env = "NAME", secret_access_key_env = "NAME" }, or { file = "key.json" } for gs:// tiers

[site]
headers = { X = 42 }
=> standin.toml:2: site.headers.X: expected a text, { env = "NAME" } or { file = "path" }

[site]
headers = { X = { enb = "hunter2" } }
=> standin.toml:2: unknown field `enb` in [site.headers.X]; did you mean `env`?

[site.headers]
X.env = 3
=> standin.toml:2: site.headers.X: expected a text, { env = "NAME" } or { file = "path" }

[site]
headers = "hunter2"
=> standin.toml:2: site.headers: expected a text, { env = "NAME" } or { file = "path" }

[site
=> standin.toml:1: unclosed table, expected `]`

[site]
seeds = ["a
=> standin.toml:2: unclosed array, expected `]`

[site]
seeds = []
seeds = []
=> standin.toml:3: duplicate key

[site]
seeds = "https://u:hunter2@a/"
=> standin.toml:2: site.seeds: expected a list of texts, such as ["one", "two"]

[site]
seeds = [
"https://a/",
3]
=> standin.toml:4: site.seeds: expected a list of texts, such as ["one", "two"]

[site]
layout = "flat"
=> standin.toml:2: site.layout: unknown variant `flat`, expected `plain` or `govuk`

[site]
robots = "maybe"
=> standin.toml:2: site.robots: unknown variant `maybe`, expected `obey` or `ignore`

[state]
keep = "none"
=> standin.toml:2: state.keep: unknown variant `none`, expected `all` or `until-confirmed`

[crawl]
concurrency = -1
=> standin.toml:2: crawl.concurrency: invalid value: integer `-1`, expected a whole number of 0 or more

[crawl]
concurrency = "8"
=> standin.toml:2: crawl.concurrency: invalid type: string "8", expected a whole number of 0 or more

[crawl]
body_max = "4XB"
=> standin.toml:2: crawl.body_max: invalid value: string "4XB", expected a number of bytes, or a text like "4GB" or "64MiB"

[crawl]
body_max = -4
=> standin.toml:2: crawl.body_max: invalid value: integer `-4`, expected a number of bytes, or a text like "4GB" or "64MiB"

[crawl]
body_max = 1.5
=> standin.toml:2: crawl.body_max: invalid type: floating point `1.5`, expected a number of bytes, or a text like "4GB" or "64MiB"

[guard]
deletes_max = "5%"
=> standin.toml:2: guard.deletes_max: invalid type: string "5%", expected a number

# nothing
site = 3
=> standin.toml:2: site: is a section; write its name in brackets on a line of its own

[site]
"a\nb" = 1
=> standin.toml:2: unknown field `a\nb` in [site]; known are `seeds`, `hosts`, `asset_hosts`, `deny`, `query`, `layout`, `robots`, `headers`, `keep_headers`, `cache_control`

[state]
keep = "a\u001bb"
=> standin.toml:2: state.keep: unknown variant `a\u{1b}b`, expected `all` or `until-confirmed`
"#;
}
