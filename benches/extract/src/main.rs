//! Our scanner against the parsers that could stand in its place, on the HTML files below a folder.
//!
//! `cargo run --release -- FOLDER` in this folder reads every `.html` file into memory, lets each candidate take all
//! of them, and prints CPU seconds, megabytes a second on one core, and how many links it found. All but ours look for
//! the plain attributes only (`href`, `src`, `poster`, `background`, `data`, `srcset`) and do nothing with them but
//! count, which is less than ours does: that decodes, drops what cannot be followed, finds duplicates, scans style
//! sheets and computes the canonical hash.

#[expect(
    dead_code,
    unused_imports,
    reason = "the scanner's own source, of which only `parse` is measured"
)]
#[path = "../../../src/content/mod.rs"]
mod content;

use std::path::{Path, PathBuf};

use content::{
    Asked, CanonicalRules, ContentHash, DeclaredRules, Document, Kind, parse, volatile_spans,
};

/// Attributes that name something to fetch.
const NAMES: [&str; 6] = ["href", "src", "poster", "background", "data", "srcset"];

/// Each candidate takes all pages so often; the fastest time counts.
const ROUNDS: usize = 3;

fn main() {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: cargo run --release -- FOLDER");
        std::process::exit(64);
    };
    let mut pages = Vec::new();
    read(&folder, &mut pages);
    let bytes: usize = pages.iter().map(Vec::len).sum();
    println!("{} pages, {:.1} MB", pages.len(), bytes as f64 / 1e6);
    let hashes: Vec<ContentHash> = pages.iter().map(|page| ContentHash::of(page)).collect();
    let ours = |asked, rules: &CanonicalRules| {
        let parsed = pages.iter().zip(&hashes).map(|(page, hash)| {
            let document = Document {
                kind: Kind::Html,
                body: page,
                content: *hash,
                content_type: Some("text/html"),
                asked,
            };
            parse(&document, rules).links.len()
        });
        parsed.sum()
    };
    let first = CanonicalRules::from_lines(&[]).expect("no rule is no wrong one");
    let today = CanonicalRules::default();
    let selectors = CanonicalRules::new(&typical()).expect("these rules can work");
    measure("ours, first rules", bytes, || ours(Asked::default(), &first));
    measure("ours", bytes, || ours(Asked::default(), &today));
    measure("ours, five selectors", bytes, || ours(Asked::default(), &selectors));
    tell_taken(&pages, &today, "built-in rules");
    tell_taken(&pages, &selectors, "five selectors");
    measure("lol_html, five selectors", bytes, || {
        let pages = pages.iter();
        pages.map(|page| taken_by_lol_html(page)).sum()
    });
    let all = Asked {
        forms: true,
        text: true,
        sitemap: false,
    };
    measure("ours, with forms and text", bytes, || ours(all, &today));
    let each = |count: fn(&[u8]) -> usize| pages.iter().map(|page| count(page)).sum();
    measure("tl", bytes, || each(with_tl));
    measure("lol_html", bytes, || each(with_lol_html));
    measure("html5gum", bytes, || each(with_html5gum));
    measure("html5ever, tokens", bytes, || each(with_html5ever));
}

fn read(folder: &Path, pages: &mut Vec<Vec<u8>>) {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            read(&path, pages);
        } else if path.extension().is_some_and(|end| end == "html") {
            pages.push(std::fs::read(&path).expect("the file can be read"));
        }
    }
}

fn measure(name: &str, bytes: usize, mut take: impl FnMut() -> usize) {
    let mut links = 0;
    let mut seconds = f64::MAX;
    for _ in 0..ROUNDS {
        let begun = cpu_seconds();
        links = take();
        seconds = seconds.min(cpu_seconds() - begun);
    }
    let speed = bytes as f64 / 1e6 / seconds;
    println!("{name:26} {seconds:8.3} CPU s {speed:8.0} MB/s {links:9} found");
}

/// User and system time of this process.
fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn is_wanted(name: &[u8]) -> bool {
    NAMES.iter().any(|wanted| wanted.as_bytes() == name)
}

fn with_tl(page: &[u8]) -> usize {
    let Ok(text) = std::str::from_utf8(page) else {
        return 0;
    };
    let Ok(dom) = tl::parse(text, tl::ParserOptions::default()) else {
        return 0;
    };
    let tags = dom.nodes().iter().filter_map(tl::Node::as_tag);
    let count = |tag: &tl::HTMLTag<'_>| {
        let names = NAMES.iter();
        names
            .filter(|name| tag.attributes().get(**name).flatten().is_some())
            .count()
    };
    tags.map(count).sum()
}

/// What somebody might want to leave out of such pages: by id, by class, under a parent, by an attribute, and one
/// attribute's value.
const SELECTORS: [&str; 5] = [
    "#navbar-top",
    "div.sub-nav",
    "footer > p",
    "li:not(.toctree-l1) a[rel=nofollow]",
    "meta[name='dc.created']@content",
];

fn typical() -> DeclaredRules {
    DeclaredRules {
        selectors: SELECTORS.map(str::to_owned).into(),
        ..DeclaredRules::default()
    }
}

fn tell_taken(pages: &[Vec<u8>], rules: &CanonicalRules, name: &str) {
    let (mut spans, mut bytes, mut touched) = (0, 0, 0);
    for page in pages {
        let document = Document {
            kind: Kind::Html,
            body: page,
            content: ContentHash::of(page),
            content_type: Some("text/html"),
            asked: Asked::default(),
        };
        let taken = volatile_spans(&document, rules).spans;
        spans += taken.len();
        touched += usize::from(!taken.is_empty());
        bytes += taken.iter().map(|(start, end)| end - start).sum::<usize>();
    }
    println!("  {name}: {spans} stretches, {bytes} bytes of {touched} pages");
}

/// The elements that it takes out.
fn taken_by_lol_html(page: &[u8]) -> usize {
    let taken = std::cell::Cell::new(0);
    let handlers = SELECTORS.iter().map(|selector| {
        let selector = selector.split('@').next().unwrap_or_default();
        lol_html::element!(selector, |element| {
            taken.set(taken.get() + 1);
            element.remove();
            Ok(())
        })
    });
    let settings = lol_html::Settings {
        element_content_handlers: handlers.collect(),
        ..lol_html::Settings::new()
    };
    let mut rewriter = lol_html::HtmlRewriter::new(settings, |_: &[u8]| {});
    let written = rewriter.write(page).and_then(|()| rewriter.end());
    written.map_or(0, |()| taken.get())
}

fn with_lol_html(page: &[u8]) -> usize {
    let mut links = 0;
    let handler = lol_html::element!("*", |element| {
        let wanted = element.attributes().iter();
        links += wanted
            .filter(|attribute| is_wanted(attribute.name().as_bytes()))
            .count();
        Ok(())
    });
    let settings = lol_html::Settings {
        element_content_handlers: vec![handler],
        ..lol_html::Settings::new()
    };
    let mut rewriter = lol_html::HtmlRewriter::new(settings, |_: &[u8]| {});
    let written = rewriter.write(page).and_then(|()| rewriter.end());
    written.map_or(0, |()| links)
}

fn with_html5gum(page: &[u8]) -> usize {
    let mut links = 0;
    for token in html5gum::Tokenizer::new(page).flatten() {
        if let html5gum::Token::StartTag(tag) = token {
            links += tag.attributes.keys().filter(|name| is_wanted(name)).count();
        }
    }
    links
}

/// Counts; keeps nothing.
struct Counter(std::cell::Cell<usize>);

impl html5ever::tokenizer::TokenSink for Counter {
    type Handle = ();

    fn process_token(
        &self,
        token: html5ever::tokenizer::Token,
        _line: u64,
    ) -> html5ever::tokenizer::TokenSinkResult<()> {
        if let html5ever::tokenizer::Token::TagToken(tag) = token {
            let wanted = tag.attrs.iter();
            let wanted = wanted.filter(|attribute| is_wanted(attribute.name.local.as_bytes()));
            self.0.set(self.0.get() + wanted.count());
        }
        html5ever::tokenizer::TokenSinkResult::Continue
    }
}

fn with_html5ever(page: &[u8]) -> usize {
    use html5ever::tokenizer::{BufferQueue, Tokenizer};
    let input = BufferQueue::default();
    input.push_back(String::from_utf8_lossy(page).as_ref().into());
    let tokenizer = Tokenizer::new(Counter(std::cell::Cell::new(0)), Default::default());
    drop(tokenizer.feed(&input));
    tokenizer.end();
    tokenizer.sink.0.get()
}
