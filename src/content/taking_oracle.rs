//! What selectors take out, against a tree that html5ever has built as browsers do. For tests only.
//!
//! Every start tag gets its number as an attribute on its way into the tree, so that the elements of the tree can be
//! told apart; compared are the tags and the text that lie within what is taken out. What ours does otherwise on purpose, and the
//! generated pages therefore leave out: every page is read as one that says `<!doctype html>`; nothing is moved, so that what a table may not hold stays in the table, and an
//! end tag that crosses another element (`<b><p></b>`, `<form><span></form>`) closes both.

use std::cell::Cell;
use std::collections::BTreeSet;

use html5ever::interface::{Attribute, QualName, TokenizerResult};
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{LocalName, ns};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

use super::selector::{self, Combinator, NameKey, Selector, Step, Test};
use super::tags::{Element, Tag, Watch};
use super::taking::{Selectors, Taking};
use super::{BuiltIn, Charset, Collector, Span, html, references};

const MARK: &str = "number-of-this-tag";

/// Numbers the start tags on their way to the tree builder.
struct Numbering {
    tree: TreeBuilder<Handle, RcDom>,
    count: Cell<usize>,
}

impl TokenSink for Numbering {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        let token = match token {
            Token::TagToken(mut tag) if tag.kind == TagKind::StartTag => {
                tag.attrs.push(Attribute {
                    name: QualName::new(None, ns!(), LocalName::from(MARK)),
                    value: self.count.get().to_string().into(),
                });
                self.count.set(self.count.get() + 1);
                Token::TagToken(tag)
            }
            token => token,
        };
        self.tree.process_token(token, line)
    }

    fn end(&self) {
        self.tree.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.tree
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

fn tree(page: &str) -> Handle {
    let options = TreeBuilderOpts {
        scripting_enabled: false,
        ..TreeBuilderOpts::default()
    };
    let numbering = Numbering {
        tree: TreeBuilder::new(RcDom::default(), options),
        count: Cell::new(0),
    };
    let tokenizer = Tokenizer::new(numbering, Default::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(page));
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.tree.sink.document.clone()
}

/// An element of the tree, as selectors see it.
struct Seen {
    name: NameKey,
    attributes: Vec<(NameKey, String)>,
}

fn is(seen: &Seen, step: &Step) -> bool {
    let passes = |test: &Test| match test {
        Test::Not(steps) => !steps.iter().any(|step| is(seen, step)),
        Test::Attribute {
            name,
            is,
            is_caseless,
        } => {
            let found = seen.attributes.iter().find(|(known, _)| known == name);
            found.is_some_and(|(_, value)| is.holds(value.as_bytes(), *is_caseless))
        }
    };
    step.name.is_none_or(|name| name == seen.name) && step.tests.iter().all(passes)
}

/// As a selector is read: from its end, looking up.
fn matches(path: &[Seen], steps: &[(Combinator, Step)]) -> bool {
    let (Some((last, around)), Some(((how, step), before))) =
        (path.split_last(), steps.split_last())
    else {
        return false;
    };
    is(last, step)
        && match (before, how) {
            ([], _) => true,
            (_, Combinator::Child) => matches(around, before),
            (_, Combinator::Descendant) => {
                (1..=around.len()).any(|length| matches(&around[..length], before))
            }
        }
}

/// What is in elements that match, and what is there at all.
#[derive(Default)]
struct Matched {
    /// The numbers of the tags of all elements.
    tags: BTreeSet<usize>,
    /// Those of them that lie within one that matches.
    taken: BTreeSet<usize>,
    /// The characters of the text within such, but for white space.
    letters: Vec<char>,
}

impl Matched {
    fn of(tree: &Handle, list: &[Selector]) -> Matched {
        let mut matched = Matched::default();
        matched.look(tree, &mut Vec::new(), list, false);
        matched.letters.sort_unstable();
        matched
    }

    fn look(&mut self, node: &Handle, path: &mut Vec<Seen>, list: &[Selector], is_inside: bool) {
        let mut is_inside = is_inside;
        let mut contents = None;
        let depth = path.len();
        match &node.data {
            NodeData::Element {
                name,
                attrs,
                template_contents,
                ..
            } => {
                let seen = seen(name.local.as_bytes(), &attrs.borrow());
                let mark: Option<usize> = seen.value(MARK).map(|mark| mark.parse().unwrap());
                path.push(seen);
                // These two are never taken.
                let is_page = matches!(name.local.as_bytes(), b"html" | b"body");
                is_inside |= !is_page && list.iter().any(|selector| matches(path, &selector.steps));
                self.tags.extend(mark);
                self.taken.extend(mark.filter(|_| is_inside));
                contents = template_contents.borrow().clone();
            }
            NodeData::Text { contents } if is_inside => {
                let is_raw = path
                    .last()
                    .is_some_and(|parent| RAW.map(NameKey::of).contains(&parent.name));
                if !is_raw {
                    self.letters.extend(letters(&contents.borrow()));
                }
            }
            _ => {}
        }
        for child in node.children.borrow().iter().chain(&contents) {
            self.look(child, path, list, is_inside);
        }
        path.truncate(depth);
    }
}

/// Elements whose text is no markup: it lies within their tags, which are compared.
const RAW: [&[u8]; 8] = [
    b"script",
    b"style",
    b"title",
    b"textarea",
    b"xmp",
    b"iframe",
    b"noembed",
    b"noframes",
];

fn seen(name: &[u8], attributes: &[Attribute]) -> Seen {
    let attributes = attributes.iter().map(|attribute| {
        let name = NameKey::of(attribute.name.local.as_bytes());
        (name, attribute.value.to_string())
    });
    Seen {
        name: NameKey::of(name),
        attributes: attributes.collect(),
    }
}

impl Seen {
    fn value(&self, name: &str) -> Option<&str> {
        let name = NameKey::of(name.as_bytes());
        let found = self.attributes.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }
}

fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| !letter.is_whitespace())
}

/// Where tags and text stand.
#[derive(Default)]
struct Places {
    starts: Vec<Span>,
    texts: Vec<Span>,
}

impl Watch for Places {
    fn text(&mut self, text: Span) {
        self.texts.push(text);
    }

    fn literal(&mut self, text: Span) {
        self.texts.push(text);
    }

    fn start(&mut self, tag: &Tag) {
        assert_ne!(tag.element, Element::Plaintext);
        self.starts.push(tag.all);
    }

    fn end(&mut self, _: Element, _: Span, _: Span) {}
}

/// The same of what is taken out of a page, as far as it is an element there.
fn taken(
    page: &str,
    list: &[Selector],
    elements: &BTreeSet<usize>,
) -> (BTreeSet<usize>, Vec<char>) {
    let selectors = Selectors::new(list).unwrap();
    let body = page.as_bytes();
    let mut taking = Taking::new(body, Charset::UTF_8, &selectors);
    let mut places = Places::default();
    let mut links = Collector::default();
    let mut both = (&mut places, &mut taking);
    html::scan(body, Charset::UTF_8, BuiltIn::Second, &mut links, &mut both);
    let spans = taking.finish();
    let is_within = |place: &Span| {
        let around = |span: &Span| span.start <= place.start && place.end <= span.end;
        spans.iter().any(around)
    };
    // Tags that browsers pass are no elements, wherever they stand.
    let starts = places.starts.iter().enumerate();
    let within = starts.filter(|(number, tag)| elements.contains(number) && is_within(tag));
    let tags = within.map(|(number, _)| number).collect();
    let mut found = Vec::new();
    let mut room = Vec::new();
    for text in places.texts.iter().filter(|text| is_within(text)) {
        let text = references::decode_text(text.of(body), &mut room);
        found.extend(letters(&String::from_utf8_lossy(text)));
    }
    found.sort_unstable();
    (tags, found)
}

fn check_tree(page: &str, tree: &Handle, selectors: &str) {
    let list = selector::parse(selectors).unwrap();
    let expected = Matched::of(tree, &list);
    let (tags, letters) = taken(page, &list, &expected.tags);
    assert_eq!(tags, expected.taken, "tags of {selectors} on {page}");
    assert_eq!(letters, expected.letters, "text of {selectors} on {page}");
}

fn check_page(page: &str, selectors: &str) {
    check_tree(page, &tree(page), selectors);
}

mod pages {
    //! Pages as people write them who leave out what may be left out.

    use proptest::prelude::*;
    use proptest::sample::select;

    // long: a table
    fn piece() -> impl Strategy<Value = &'static str> {
        select(vec![
            "<div class=a>",
            "<div id=x>",
            "</div>",
            "<p>",
            "<p class='b a'>",
            "</p>",
            "<span title=t>",
            "</span>",
            "<ul>",
            "<ul class=a>",
            "</ul>",
            "<li>",
            "<li class=a>",
            "</li>",
            "<ol>",
            "</ol>",
            "<dl>",
            "<dt>",
            "<dd class=b>",
            "</dd>",
            "</dl>",
            "<h1>",
            "<h2 class=a>",
            "</h1>",
            "</h2>",
            "<section>",
            "</section>",
            "<article class=a>",
            "</article>",
            "<blockquote>",
            "</blockquote>",
            "<br>",
            "<img class=a>",
            "<hr class=b>",
            "<input type=HIDDEN>",
            "text",
            " ",
            "<!-- c -->",
            "<my-own-element class=a>",
            "</my-own-element>",
            "<pre>",
            "</pre>",
            "<figure>",
            "</figure>",
            "<label>",
            "</label>",
            "<script>'<p>'</script>",
            "<style class=a>p{}</style>",
            "<main>",
            "</main>",
            "<details open>",
            "<summary>",
            "</summary>",
            "</details>",
            "<video class=a>",
            "<source>",
            "</video>",
            "<svg class=a><g><path/></g></svg>",
            "<address>",
            "</address>",
            "<button>",
            "</button>",
            "<form class=a><input></form>",
            "<fieldset>",
            "</fieldset>",
            "<object class=a>",
            "</object>",
            "<ruby>",
            "<rt>",
            "<rp>",
            "</ruby>",
            "<select><option class=a><option><optgroup><option></select>",
        ])
    }

    fn cell() -> impl Strategy<Value = String> {
        let inside = select(vec![
            "",
            "x",
            "<p>",
            "<div class=a>y</div>",
            "<ul><li>",
            "<span>",
            "<img class=a>",
        ]);
        let start = select(vec![
            "<td>",
            "<td class=a>",
            "<th>",
            "<tr><td>",
            "<tr class=b><th>",
            "</tr><tr><td>",
        ]);
        let end = select(vec!["", "</td>", "</th>", "</td></tr>"]);
        (start, inside, end).prop_map(|(start, inside, end)| format!("{start}{inside}{end}"))
    }

    fn table() -> impl Strategy<Value = String> {
        let between = select(vec![
            "",
            "<tbody>",
            "</tbody><tbody class=a>",
            "<tfoot>",
            "</tr>",
            "<tbody><tr></tr>",
        ]);
        let head = select(vec![
            "",
            "<caption class=a>c",
            "<caption>c</caption>",
            "<colgroup><col class=a>",
            "<col><col>",
            "<thead>",
            "<colgroup><col></colgroup><thead>",
            "\n",
        ]);
        let rows = proptest::collection::vec((between, cell()), 0..4);
        (head, rows).prop_map(|(head, rows)| {
            let rows: String = rows
                .iter()
                .map(|(between, cell)| format!("{between}{cell}"))
                .collect();
            format!("<table class=t>{head}{rows}</table>")
        })
    }

    pub fn page() -> impl Strategy<Value = String> {
        let start = select(vec![
            "",
            "<html><head><title>t</title></head><body class=a>",
            "<title>t</title><link class=a>",
            "<html class=a><meta class=a><body>",
            "\n<head><style></style>",
            "<body class=a>",
            "<!-- x -->\n",
            "<script class=a></script>x",
        ]);
        let part = prop_oneof![
            4 => proptest::collection::vec(piece(), 1..8).prop_map(|pieces| pieces.concat()),
            1 => table(),
        ];
        let end = select(vec![
            "",
            "</body></html>",
            "</body><div class=a>",
            "</html>\n",
            "</div>",
        ]);
        (start, proptest::collection::vec(part, 1..5), end).prop_map(|(start, parts, end)| {
            format!("<!doctype html>{start}{}{end}", parts.concat())
        })
    }
}

mod tests {
    use std::path::{Path, PathBuf};

    use proptest::prelude::*;

    use super::*;

    const SELECTORS: &[&str] = &[
        ".a",
        "#x",
        "p",
        "li",
        "div > p",
        "div p, ul .a",
        "body > div",
        "html > body > .a",
        "html > head > *",
        "table tr > td",
        "tbody > tr",
        "tbody",
        "tr",
        "colgroup",
        "[title=t]",
        "p:not(.a)",
        "section > :not(p):not(div)",
        "input[type=hidden]",
        "dd, dt",
        "my-own-element",
        "ul > li > ul",
        "* > * > .b",
        "svg, g",
        "option",
    ];

    /// One page each of what trips a matcher up.
    const TRAPS: &[&str] = &[
        "<div class=a><p>x<div>y</div></div><p>z",
        "<p class=a>x<table class=t><tr><td>y</table>z",
        "<ul><li class=a>x<ul><li>y</ul><li>z</ul>",
        "<table><tr><td><div class=a></td></div><td>x</table>",
        "<div class=a><table><tr><td></div>x</table></div><p>",
        "<p class=a><button><p>x</button>y",
        "<dl><dt class=a>x<dd>y<dt>z</dl>",
        "<div class=a></span></p></section>x</div><p>",
        "<span class=a><div></span>x</div></span><p>",
        "<h1 class=a>x<h2>y</h1>z",
        "<h1><p class=a><h1 class=a></h1><b>x</b></h1><p>",
        "<form class=a><form><p></form><p>",
        "<div><form class=a></div><form><p></form><form><p>",
        "<template class=a><p>x</template><p>",
        "<svg class=a><g/><path class=a></path></svg><p>",
        "<title>x</title>y<link class=a>",
        "<link class=a>",
        "<a class=a>x<a>y",
        "<img class=a>x</img><p>",
        "<br class=a></br><p>",
        "<select class=a><option>x</select><p>",
        "<div class=a",
        "<div class=a><p class=a",
        "<div class=a>x",
        "<td class=a><p>",
        "<ruby><div class=a><p><rt>x<rp>y<rt><li><rb>z</ruby>",
        "<p class=a><rt>x<rt>y",
    ];

    #[test]
    fn what_is_taken_out_of_a_trap_is_what_a_tree_has() {
        for page in TRAPS {
            for selectors in SELECTORS {
                check_page(&format!("<!doctype html>{page}"), selectors);
            }
        }
    }

    #[test]
    fn what_is_taken_out_of_real_pages_is_what_a_tree_has() {
        // A part of the documentation of OpenJDK and Python, where it is installed.
        const PARTS: usize = 100;
        let selectors = [
            "a[name], code",
            "nav, .sub-nav, #navbar-top",
            "ul > li > a[href^='#'], dl.notes > dd",
            "table td, tbody tr > th",
            "section.detail h3, div.highlight span.k, .headerlink",
            "div:not([class]), li p, footer",
        ];
        let mut pages = Vec::new();
        for folder in [
            "/usr/share/doc/openjdk-17-jre-headless/api",
            "/usr/share/doc/python3.11/html",
        ] {
            html_files(Path::new(folder), &mut pages);
        }
        for page in pages.iter().step_by(PARTS) {
            let Ok(text) = std::fs::read_to_string(page) else {
                continue;
            };
            let tree = tree(&text);
            for selectors in selectors {
                check_tree(&text, &tree, selectors);
            }
        }
    }

    fn html_files(folder: &Path, pages: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() && !path.is_symlink() {
                html_files(&path, pages);
            } else if path.extension().is_some_and(|end| end == "html") {
                pages.push(path);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn what_is_taken_out_is_what_a_tree_has(page in pages::page(), selectors in proptest::sample::select(SELECTORS)) {
            check_page(&page, selectors);
        }
    }
}
