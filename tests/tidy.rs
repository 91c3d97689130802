//! What a machine can check of the house rules, from the files alone: nothing of the library is linked.
//!
//! The order of the rooms stands in `docs/ARCHITECTURE.md` under "The rooms", for people; this test
//! reads the same table. Test code inside a file counts like any other, but for `unwrap`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A function that is longer says why, in a comment `// long: reason` right above it or in it.
const FUNCTION_LINES_MAX: usize = 70;

/// Where Rust code lies.
const CODE: &[&str] = &[
    "src",
    "migrations/src",
    "tests",
    "benches",
    "fuzz/fuzz_targets",
];

/// A name that only some places may speak: the prefix of a path, and where.
const CONFINED: &[(&str, &[&str])] = &[
    ("sled::", &["src/db/"]),
    ("aws_", &["src/tier/s3/"]),
    ("google_cloud_", &["src/tier/gcs/"]),
    ("reqwest::", &["src/http/client.rs", "src/crawl/fetch.rs"]),
    ("hyper::", &["src/http/"]),
    ("hyper_util::", &["src/http/"]),
    ("clap::", &["src/cli/"]),
    ("anyhow::", &["src/cli/", "src/main.rs"]),
    ("brotli_decompressor::", &["src/crawl/decode.rs"]),
    (
        "flate2::",
        &[
            "src/content/sitemap.rs",
            "src/crawl/decode.rs",
            "src/demo/assets.rs",
        ],
    ),
    ("texting_robots::", &["src/crawl/robots.rs"]),
    ("quick_xml::", &["src/content/sitemap.rs"]),
    ("similar::", &["src/content/compare/"]),
    // The other two in their tests only, which play the document.
    (
        "encoding_rs::",
        &[
            "src/content/charset.rs",
            "src/crawl/forms.rs",
            "src/site/url.rs",
        ],
    ),
];

/// What is never left behind. Written in two halves so that this file does not find itself.
const FORBIDDEN: &[(&str, &str)] = &[
    ("todo", "!("),
    ("unimplemented", "!("),
    ("dbg", "!("),
    ("#[ign", "ore"),
    ("#[all", "ow("),
    ("TO", "DO"),
    ("FIX", "ME"),
];

/// One file of code, its comments taken out line by line.
struct Source {
    /// Relative to the root.
    path: String,
    text: String,
    /// As `text`, with every comment blanked: line numbers stay.
    code: String,
    /// The module above names it under `#[cfg(test)]`.
    is_for_tests: bool,
}

impl Source {
    /// Lies among the tests, or is compiled for them only.
    fn is_test(&self) -> bool {
        let is_library = self.path.starts_with("src/") || self.path.starts_with("migrations/src/");
        !is_library || self.is_for_tests
    }

    /// The code without the tests inside the file, which come last.
    fn code_before_tests(&self) -> &str {
        let attributes = self.code.match_indices("\n#[cfg(test)]\n");
        let mut ends = attributes.filter(|(at, attribute)| {
            let item = self.code[at + attribute.len()..].lines().next();
            item.is_some_and(|line| line.ends_with('{'))
        });
        let end = ends.next().map_or(self.code.len(), |(at, _)| at);
        &self.code[..end]
    }

    fn line_of(&self, at: usize) -> usize {
        1 + self.code[..at].matches('\n').count()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All folders and files below `folder`, in order.
fn walk(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    (folders, files)
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in CODE.iter().filter(|folder| root().join(folder).is_dir()) {
        for path in walk(&root().join(folder)).1 {
            if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let relative = path.strip_prefix(root()).unwrap();
                sources.push(Source {
                    path: relative.to_str().unwrap().to_owned(),
                    code: without_comments(&text),
                    text,
                    is_for_tests: is_for_tests(&path),
                });
            }
        }
    }
    assert!(sources.len() > 50, "the walk finds the code");
    sources
}

fn is_for_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_str().unwrap();
    let above = fs::read_to_string(path.with_file_name("mod.rs")).unwrap_or_default();
    above.contains(&format!("#[cfg(test)]\nmod {name};"))
}

/// Blanks what follows `//` at the start of a line or behind a space. A text that holds ` //` loses
/// its end here, which hides nothing that these tests look for.
fn without_comments(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    for line in text.lines() {
        let comment = match line.trim_start().starts_with("//") {
            true => Some(0),
            false => line.find(" //"),
        };
        code.push_str(&line[..comment.unwrap_or(line.len())]);
        code.push('\n');
    }
    code
}

fn none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

/// The rooms of the table, from the top down. Rooms in one row may use each other.
fn rooms_in_order() -> Vec<Vec<String>> {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let table = page.split("## The rooms").nth(1).expect("the heading");
    let table = table.split("\n## ").next().unwrap();
    let mut rows = Vec::new();
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cell = line.split('|').nth(1).unwrap();
        let names = cell.split('`').skip(1).step_by(2);
        let room = |name: &str| {
            name.trim_end_matches('/')
                .trim_end_matches(".rs")
                .to_owned()
        };
        rows.push(names.map(room).collect());
    }
    rows
}

/// The rooms that a file names: the first segment behind `crate::`, also in a group of imports.
fn rooms_used(code: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || "_$".contains(before)) {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => used.push((at, first_segment(rest))),
            Some(group) => {
                for part in top_level_parts(group) {
                    used.push((at, first_segment(part.trim_start())));
                }
            }
        }
    }
    used
}

fn first_segment(path: &str) -> String {
    let is_part = |letter: &char| letter.is_alphanumeric() || *letter == '_';
    path.chars().take_while(is_part).collect()
}

/// `a::{b, c}, d}` as `a::{b, c}` and `d`.
fn top_level_parts(group: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                parts.push(&group[start..at]);
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => (),
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[test]
fn a_room_uses_only_what_stands_below_it() {
    // Promise: calls go down the table of docs/ARCHITECTURE.md, never up or round; the table names
    // every room there is and none that is not.
    let rows = rooms_in_order();
    let rank = |room: &str| {
        rows.iter()
            .position(|row| row.iter().any(|name| name == room))
    };
    let mut there: BTreeSet<String> = fs::read_dir(root().join("src"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    there.remove("lib");
    let named: BTreeSet<String> = rows.iter().flatten().cloned().collect();
    assert_eq!(named, there, "the table and src/ name the same rooms");

    let mut wrong = Vec::new();
    for source in sources() {
        let Some(inside) = source.path.strip_prefix("src/") else {
            continue;
        };
        let room = inside.split('/').next().unwrap().trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        for (at, used) in rooms_used(&source.code) {
            let line = source.line_of(at);
            match rank(&used) {
                None => wrong.push(format!("{}:{line}: `{used}` is no room", source.path)),
                Some(below) if used == room || below > rank(room).unwrap() => (),
                Some(_) => wrong.push(format!("{}:{line}: uses `{used}`", source.path)),
            }
        }
    }
    none("a room uses one that does not stand below it", wrong);
}

#[test]
fn every_file_opens_with_what_happens_in_it() {
    // Promise: a reader learns from the first line of any file what it is for; every folder in src/
    // is a room or a part of one, with a mod.rs.
    let mut silent = Vec::new();
    for source in sources() {
        if !source.text.starts_with("//! ") {
            silent.push(source.path);
        }
    }
    none("no `//!` in the first line", silent);
    let (_, files) = walk(&root().join("src"));
    let is_rust = |path: &&PathBuf| path.extension().is_some_and(|end| end == "rs");
    let rooms = files
        .iter()
        .filter(is_rust)
        .filter_map(|path| path.parent());
    let doorless = rooms.filter(|room| {
        !["mod.rs", "lib.rs"]
            .iter()
            .any(|door| room.join(door).is_file())
    });
    none(
        "no mod.rs",
        doorless.map(|room| room.display().to_string()).collect(),
    );
}

#[test]
fn no_test_file_is_forgotten() {
    // Promise: what lies in tests/it is compiled and run: each file is named by the one above it.
    let (folders, files) = walk(&root().join("tests/it"));
    let mut forgotten = Vec::new();
    for path in files.iter().chain(folders.iter().skip(1)) {
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_rust = path.is_dir() || path.extension().is_some_and(|end| end == "rs");
        if !is_rust || matches!(name, "main" | "mod") {
            continue;
        }
        let parent = path.parent().unwrap();
        let above = [
            parent.join("main.rs"),
            parent.join("mod.rs"),
            parent.with_extension("rs"),
        ];
        let mut texts = above
            .iter()
            .filter_map(|door| fs::read_to_string(door).ok());
        let is_named = |text: String| {
            text.lines()
                .any(|line| line.trim_start_matches("pub ") == format!("mod {name};"))
        };
        if !texts.any(is_named) {
            forgotten.push(path.display().to_string());
        }
    }
    none("nobody names it", forgotten);
}

#[test]
fn long_functions_say_why() {
    // Promise: a function fits on a screen or two, or says `// long: reason`.
    let mut long = Vec::new();
    for source in sources() {
        for (line, name, length) in long_functions(&source.text) {
            long.push(format!("{}:{line}: {name} has {length} lines", source.path));
        }
    }
    none("over 70 lines without a reason", long);
}

/// Line, name and length of functions that are too long and give no reason. Trusts rustfmt: a
/// function ends at the first closing brace that stands as far in as it began.
fn long_functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let Some(length) = lines[start..].iter().position(|line| {
            line.len() - line.trim_start().len() == indent
                && (line.trim_start().starts_with('}') || line.ends_with([';', '}']))
        }) else {
            continue;
        };
        let around = &lines[start.saturating_sub(8)..=start + length];
        if length + 1 > FUNCTION_LINES_MAX && !around.iter().any(|line| line.contains("// long: "))
        {
            long.push((start + 1, name, length + 1));
        }
    }
    long
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let is_modifier = |word: &&str| {
        word.starts_with("pub") || ["const", "async", "unsafe", "in", "extern"].contains(word)
    };
    let word = words.find(|word| !is_modifier(word) && !word.ends_with(')'))?;
    (word == "fn").then(|| first_segment(words.next().unwrap_or_default()))
}

#[test]
fn nothing_unfinished_is_left_behind() {
    // Promise: no reminder, no debugging aid, no silenced test or lint without a reason.
    let mut found = Vec::new();
    for source in sources() {
        for (head, tail) in FORBIDDEN {
            let word = [*head, *tail].concat();
            let inside = source.text.match_indices(&word);
            found.extend(inside.map(|(at, _)| {
                let line = 1 + source.text[..at].matches('\n').count();
                format!("{}:{line}: {word}", source.path)
            }));
        }
    }
    none("left behind", found);
}

#[test]
fn only_tests_unwrap() {
    // Promise: an operating error is handled, and a broken invariant says in `expect` why it held.
    let mut found = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let code = source.code_before_tests();
        for needle in [".unwrap()", ".unwrap_err()", "panic!("] {
            let inside = code.match_indices(needle);
            found.extend(
                inside.map(|(at, _)| format!("{}:{}: {needle}", source.path, source.line_of(at))),
            );
        }
    }
    none("outside tests", found);
}

#[test]
fn a_library_is_known_in_one_room() {
    // Promise: what can be replaced is spoken of in one place: sled in db/, an SDK in its tier.
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with("src/"))
    {
        for (name, places) in CONFINED {
            if places.iter().any(|place| source.path.starts_with(place)) {
                continue;
            }
            for (at, _) in source.code.match_indices(name) {
                let before = source.code[..at].chars().next_back();
                if !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_') {
                    found.push(format!("{}:{}: {name}", source.path, source.line_of(at)));
                }
            }
        }
    }
    none("a library outside its room", found);
}

#[test]
fn the_database_is_scanned_in_one_place_and_open_ended() {
    // Promise: no scan walks to the end of the tree; sled's bounded ranges and prefix scans do
    // (hundreds of milliseconds at a million records), so one wrapper stops by itself.
    let mut found = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| source.path.starts_with("src/db/"))
    {
        let is_wrapper = source.path == "src/db/scan.rs";
        for needle in [".range(", "scan_prefix", ".iter_from("] {
            for (at, _) in source.code.match_indices(needle) {
                let call = source.code[at..].lines().next().unwrap_or_default();
                if !(is_wrapper && needle == ".range(" && call.contains("..)")) {
                    found.push(format!("{}:{}: {call}", source.path, source.line_of(at)));
                }
            }
        }
    }
    none("a scan outside db/scan.rs, or a bounded one", found);
}

#[test]
fn the_pages_name_what_exists() {
    // Promise: who follows a link or looks for a file that a page names finds it: relative links, and paths
    // of code from the root or from `src/`. A path with `…` or `<` in it stands for many.
    let mut pages = vec![root().join("README.md")];
    let documents = walk(&root().join("docs")).1.into_iter();
    pages.extend(documents.filter(|path| path.extension().is_some_and(|end| end == "md")));
    let mut seen = 0;
    let mut lost = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let links = relative_links(&text).into_iter();
        let links = links.map(|link| (link, vec![page.with_file_name(link)]));
        let files = code_files(&text).into_iter();
        let files =
            files.map(|file| (file, vec![root().join(file), root().join("src").join(file)]));
        for (name, places) in links.chain(files) {
            seen += 1;
            if !places.iter().any(|place| place.exists()) {
                lost.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert!(seen > 100, "the pages have links and name files: {seen}");
    none("named, and not there", lost);
}

/// Where the links of a page lead that stay among its files, without the place on that page.
fn relative_links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?;
        target.split('#').next()
    });
    targets
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .collect()
}

/// Files of code that a page names between backticks, with their folder. A name without one belongs to
/// the sentence around it.
fn code_files(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    lines
        .filter(|name| name.ends_with(".rs") && name.contains('/'))
        .filter(|name| !name.contains(['*', '<', '…', ' ']))
        .map(|name| name.trim_start_matches("../"))
        .collect()
}

#[test]
fn these_tests_see_what_they_look_for() {
    // Promise: a rule that finds nothing has looked; checked on small texts that break each rule.
    let used = |code| {
        rooms_used(code)
            .into_iter()
            .map(|(_, room)| room)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        used("use crate::{a::{x, y}, b, c::z};\nuse crate::d;"),
        ["a", "b", "c", "d"]
    );
    assert_eq!(used("fn f(x: crate::e::E) {}\nuse mycrate::g;"), ["e"]);
    assert_eq!(
        without_comments("// crate::a\nlet x = 1; // crate::b\n"),
        "\nlet x = 1;\n"
    );
    let body = "    let x = 1;\n".repeat(70);
    let long = format!("pub(in crate::a) async fn wide(\n    x: u8,\n) {{\n{body}}}\n");
    assert_eq!(long_functions(&long), [(1, "wide".to_owned(), 74)]);
    assert_eq!(long_functions(&format!("// long: a table\n{long}")), []);
    assert_eq!(long_functions("fn declared(\n    x: u8,\n) -> u8;\n"), []);
    let page = "[a](b.md#c), [d](https://e/f), [g](#h); `i/j.rs`, `k.rs` and `l/*.rs`\n";
    assert_eq!(relative_links(page), ["b.md"]);
    assert_eq!(code_files(page), ["i/j.rs"]);
}
