//! The scanner against html5ever, which parses as browsers do: the same links and the same text on pages made of
//! traps. For tests only.
//!
//! Start tags are recorded on their way from html5ever's tokenizer to its tree builder, whose word it is what is raw
//! text and what is foreign; text nodes are those of the tree. What our scanner does otherwise on purpose, and the
//! pages here therefore leave out:
//!
//! - it builds no tree, so that `<style>`, `<title>` and their like are raw text wherever they stand, also where a tree
//!   would ignore them (in a `<select>` or a `<frameset>`) and in SVG;
//! - that SVG ends at the first element that cannot stand in it (`<svg><p>`) goes unnoticed, and so do the places in
//!   SVG and MathML in which HTML rules hold again: `<title/>` and CDATA are read as XML there until `</svg>`;
//! - of named references it knows the 235 that occur;
//! - zero bytes and carriage returns stay as they are, which URL parsers forgive.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use html5ever::interface::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use markup5ever_rcdom::{Handle, NodeData, RcDom};

use super::check::document;
use super::links::Collector;
use super::{
    Asked, CanonicalRules, Charset, Document, Kind, Links, Role, css, data, html, parse, script,
};

/// A start tag and the text up to the next tag.
struct Seen {
    tag: Tag,
    text: String,
}

/// Passes tokens on to the tree builder and remembers them.
struct Recorder {
    tree: TreeBuilder<Handle, RcDom>,
    seen: RefCell<Vec<Seen>>,
    /// What stands in conditional comments.
    conditional: RefCell<Vec<String>>,
    /// Whether the last tag was a start tag.
    is_open: Cell<bool>,
}

impl TokenSink for Recorder {
    type Handle = Handle;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Handle> {
        match &token {
            Token::TagToken(tag) if tag.kind == TagKind::EndTag => self.is_open.set(false),
            Token::TagToken(tag) => {
                self.is_open.set(true);
                self.seen.borrow_mut().push(Seen {
                    tag: tag.clone(),
                    text: String::new(),
                });
            }
            Token::CommentToken(text) if text.trim_start().starts_with("[if") => {
                self.conditional.borrow_mut().push(text.to_string());
            }
            Token::CharacterTokens(text) if self.is_open.get() => {
                if let Some(seen) = self.seen.borrow_mut().last_mut() {
                    seen.text.push_str(text);
                }
            }
            _ => {}
        }
        self.tree.process_token(token, line)
    }

    fn end(&self) {
        self.tree.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        let tree = &self.tree;
        tree.adjusted_current_node_present_but_not_in_html_namespace()
    }
}

fn recorded(page: &str) -> Recorder {
    let options = TreeBuilderOpts {
        // What is in `<noscript>` is for the readers of a mirror too.
        scripting_enabled: false,
        ..TreeBuilderOpts::default()
    };
    let recorder = Recorder {
        tree: TreeBuilder::new(RcDom::default(), options),
        seen: RefCell::default(),
        conditional: RefCell::default(),
        is_open: Cell::default(),
    };
    let tokenizer = Tokenizer::new(recorder, Default::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from_slice(page));
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink
}

/// Links with their roles, in no order.
fn sorted(links: &Links) -> BTreeSet<(String, Role)> {
    let links = links.iter();
    links
        .map(|link| (link.reference.to_owned(), link.role))
        .collect()
}

/// The links that a browser's tokenizer sees. How a single value is taken apart is tested elsewhere.
fn expected(page: &str) -> BTreeSet<(String, Role)> {
    let mut links = Collector::default();
    let recorded = recorded(page);
    for seen in recorded.seen.into_inner() {
        collect(&seen, &mut links);
    }
    for comment in recorded.conditional.into_inner() {
        for (link, role) in expected(&comment) {
            links.push(link.as_bytes(), role);
        }
    }
    sorted(&links.into_links())
}

fn collect(seen: &Seen, links: &mut Collector) {
    let element = &*seen.tag.name;
    let value = |name: &str| {
        let mut attributes = seen.tag.attrs.iter();
        let found = attributes.find(|attribute| &*attribute.name.local == name)?;
        Some(found.value.to_string())
    };
    let media = [
        "img", "source", "video", "audio", "track", "embed", "iframe",
    ];
    for attribute in &seen.tag.attrs {
        let text = attribute.value.as_bytes();
        match (&*attribute.name.local, element) {
            ("href", "base") => {}
            ("href", "link") => {
                let rel = value("rel").unwrap_or_default().to_ascii_lowercase();
                let has = |word| rel.split_ascii_whitespace().any(|one| one == word);
                match has("stylesheet") || has("icon") {
                    true => links.push(text, Role::Asset),
                    false if has("preconnect") => {}
                    false => links.push(text, Role::Page),
                }
            }
            ("href" | "xlink:href", "use" | "image" | "script") => links.push(text, Role::Asset),
            ("href" | "xlink:href" | "cite" | "longdesc", _) => links.push(text, Role::Page),
            ("src" | "poster" | "background", _) | ("data", "object") => {
                links.push(text, Role::Asset);
            }
            ("data-src", element) if media.contains(&element) => links.push(text, Role::Asset),
            ("srcset" | "imagesrcset", _) => html::srcset(text, links),
            ("style", _) => css::scan(text, links),
            ("action", "form") if value("method").as_deref() != Some("post") => {
                links.push(text, Role::Page);
            }
            ("content", "meta") => {
                let is_refresh = |pragma: String| pragma.trim().eq_ignore_ascii_case("refresh");
                if value("http-equiv").is_some_and(is_refresh) {
                    html::refresh(text, links);
                }
                let names = [value("name"), value("property"), value("itemprop")];
                if names.contains(&Some("og:image".into())) {
                    links.push(text, Role::Asset);
                }
            }
            ("srcdoc", _) => {
                for (link, role) in expected(&attribute.value) {
                    links.push(link.as_bytes(), role);
                }
            }
            _ => {}
        }
    }
    let text = seen.text.as_bytes();
    match (element, value("type").as_deref()) {
        ("style", _) => css::scan(text, links),
        ("script", Some("module")) => script::scan(text, links),
        ("script", Some("importmap")) => data::import_map(text, links),
        ("script", Some("application/ld+json")) => data::linked_data(text, links),
        _ => {}
    }
}

/// The characters of a page's text without white space, sorted: a tree puts text out of its place where a table
/// may not hold it, and drops white space.
fn letters(text: &str) -> Vec<char> {
    let letters = text.chars().filter(|letter| !letter.is_whitespace());
    let mut letters: Vec<char> = letters.collect();
    letters.sort_unstable();
    letters
}

fn text_nodes(node: &Handle, text: &mut String) {
    match &node.data {
        NodeData::Text { contents } => text.push_str(&contents.borrow()),
        NodeData::Element { name, .. } => {
            let unseen = ["script", "style", "iframe", "noembed", "noframes"];
            if unseen.contains(&&*name.local) {
                return;
            }
        }
        _ => {}
    }
    for child in node.children.borrow().iter() {
        text_nodes(child, text);
    }
}

fn check_page(page: &str) {
    let asked = Asked {
        forms: true,
        text: true,
        sitemap: false,
    };
    let document = Document {
        asked,
        ..document(Kind::Html, page.as_bytes())
    };
    let ours = parse(&document, &CanonicalRules::default());
    assert_eq!(sorted(&ours.links), expected(page), "links of {page:?}");
    let mut text = String::new();
    text_nodes(&recorded(page).tree.sink.document, &mut text);
    let ours = ours.text.expect("it was asked for");
    assert_eq!(letters(&ours), letters(&text), "text of {page:?}");
}

mod pages {
    //! Pages made of what makes parsers differ.

    use proptest::prelude::*;
    use proptest::sample::select;

    /// Elements with links or without, in all spellings. None that a tree may drop with what is in it.
    const ELEMENTS: &[&str] = &[
        "a",
        "A",
        "area",
        "img",
        "IMG",
        "link",
        "base",
        "meta",
        "p",
        "div",
        "custom-element",
        "object",
        "video",
        "source",
        "td",
        "table",
        "tr",
        "li",
        "form",
        "input",
        "button",
        "noscript",
        "template",
        "b",
        "i",
        "body",
        "html",
        "head",
        "blockquote",
        "embed",
        "track",
        "audio",
        "h1",
        "dd",
        "nobr",
        "a1",
        "br",
        "hr",
    ];

    const ATTRIBUTES: &[&str] = &[
        "href",
        "HREF",
        "src",
        "Src",
        "srcset",
        "style",
        "data",
        "poster",
        "background",
        "cite",
        "longdesc",
        "data-src",
        "action",
        "method",
        "rel",
        "name",
        "content",
        "http-equiv",
        "title",
        "hre",
        "hreff",
        "xlink:href",
        "class",
        "\u{e9}",
        "'",
        "\"",
        "<",
        "@",
        "href'",
        "id",
        "value",
        "type",
        "hidden",
        "srcdoc",
    ];

    const VALUES: &[&str] = &[
        "a",
        "b.png",
        "/c?d=1&e=2",
        "c?d&amp;e",
        "&#x2f;f",
        "&#47g",
        "h i",
        "j'k",
        "l\"m",
        "n>o",
        "p<q",
        "&lt",
        "&ltr",
        "&lt=",
        "&nbsp;",
        "&copy",
        "&eacute;t",
        "&",
        "&;",
        "&#;",
        "&#x;",
        "&#150;",
        "&#xd800;",
        "stylesheet",
        "icon",
        "preconnect",
        "og:image",
        "refresh",
        "0;url=r",
        "post",
        "url(s)",
        "a:url('t')",
        "u 1x, v 2x",
        "=",
        "/",
        "#w",
        "x#y",
        "javascript:z",
        "\u{e9}",
        "\u{1f600}",
        "<a href=in>",
        "<!--",
        "-->",
        "&quot;",
        "&amp;lt;",
        "`",
        "",
    ];

    fn attribute() -> impl Strategy<Value = String> {
        let space = || select(vec!["", " ", "\n", "\t ", "/", " / "]);
        let parts = (
            space(),
            select(ATTRIBUTES),
            select(vec!["", " "]),
            0..5u8,
            select(VALUES),
        );
        parts.prop_map(|(before, name, blank, quoting, value)| {
            let bare: String = value
                .chars()
                .filter(|letter| !letter.is_whitespace() && *letter != '>')
                .collect();
            match quoting {
                0 => format!("{before}{name}"),
                1 => format!(
                    "{before}{name}{blank}={blank}\"{}\"",
                    value.replace('"', "&quot;")
                ),
                2 => format!(
                    "{before}{name}{blank}={blank}'{}'",
                    value.replace('\'', "&#39;")
                ),
                _ => format!("{before}{name}={blank}{bare}"),
            }
        })
    }

    fn tag() -> impl Strategy<Value = String> {
        let parts = (
            select(ELEMENTS),
            proptest::collection::vec(attribute(), 0..4),
            select(vec![">", " >", "/>", " / >", ">", ">", ">"]),
        );
        parts.prop_map(|(element, attributes, end)| {
            format!("<{element} {}{end}", attributes.join(" "))
        })
    }

    fn comment() -> impl Strategy<Value = String> {
        let inside = select(vec![
            "",
            "a",
            " <a href=no> ",
            "-",
            "--",
            "!",
            "--!",
            ">",
            "->",
            "<!--",
            "<!-",
            "-- >",
            "<script>",
        ]);
        let parts = (
            select(vec![
                "<!--",
                "<!-",
                "<!",
                "<?",
                "</ ",
                "<!DOCTYPE ",
                "<![CDATA[",
            ]),
            proptest::collection::vec(inside, 0..3),
            select(vec!["-->", "--!>", ">", "->", "]]>", "-->"]),
        );
        parts.prop_map(|(start, inside, end)| format!("{start}{}{end}", inside.concat()))
    }

    fn raw() -> impl Strategy<Value = String> {
        let inside = select(vec![
            "",
            "x",
            "<a href=no>",
            "</a>",
            "<!--",
            "-->",
            "<script>",
            "</scripty>",
            "'\"",
            "&amp;",
            "a{b:url(c)}",
            "</ script>",
            "<!-- <script>",
            "@import 'i';",
            "</style ",
            "--!>",
        ]);
        let parts = (
            select(vec![
                "script", "style", "STYLE", "title", "textarea", "xmp", "iframe", "noembed",
                "noframes",
            ]),
            proptest::collection::vec(inside, 0..4),
            select(vec!["", " ", "/", "\n", " x=y"]),
        );
        parts.prop_map(|(element, inside, end)| {
            let inside = inside.concat();
            // So that whatever a script has opened is closed before the page goes on.
            let close = match element {
                "script" => "--></script></script>",
                _ => "",
            };
            format!("<{element}>{inside}</{element}{end}>{close}")
        })
    }

    fn drawing() -> impl Strategy<Value = String> {
        let inside = select(vec![
            "<a href=s1 />",
            "<use xlink:href='s2#x'/>",
            "<image href=s3></image>",
            "<title/>",
            "<style/>",
            "<![CDATA[<a href=no>]]>",
            "<!-- <a href=no> -->",
            "<g style='fill:url(s4)'/>",
            "<path d='M0'/>",
            "text",
            "<script/>",
            "<A HREF=s5></A>",
            "]]>",
            "<g><g/></g>",
        ]);
        let inside = proptest::collection::vec(inside, 0..5);
        (select(vec!["svg", "SVG", "math"]), inside)
            .prop_map(|(element, inside)| format!("<{element}>{}</{element}>", inside.concat()))
    }

    /// A whole page; the last piece may be cut off by its end.
    pub fn page() -> impl Strategy<Value = String> {
        let odd = select(vec![
            "text",
            "<",
            ">",
            "</",
            "<>",
            "</>",
            "< a href=no>",
            "<3",
            "&amp;",
            "</p>",
            "</a href=no>",
            "</div title='>'>",
            "&",
            "</body>",
            "</template>",
            "</table>",
            "</form>",
            "\u{e9}",
            "</noscript>",
        ]);
        let piece = prop_oneof![
            6 => tag(),
            2 => comment(),
            2 => raw(),
            1 => drawing(),
            3 => odd.prop_map(str::to_owned),
        ];
        let cut = select(vec![
            "",
            "",
            "",
            "<a href=cut",
            "<a href='cut",
            "<!-- x",
            "<title>x",
            "<",
            "</",
            "<a ",
        ]);
        (proptest::collection::vec(piece, 0..10), cut)
            .prop_map(|(pieces, cut)| pieces.concat() + cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn our_scanner_sees_what_a_browser_sees(page in pages::page()) {
            // The oracle is html5ever.
            check_page(&page);
        }
    }

    #[test]
    fn the_seeds_are_read_as_a_browser_reads_them() {
        // The HTML of the fuzz corpus, but for what is not in UTF-8.
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/content");
        let mut count = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            let path = seed.unwrap().path();
            let page = std::fs::read(&path).unwrap();
            let is_html = path.extension().is_some_and(|end| end == "html");
            let is_plain = Charset::of(Kind::Html, &page, None) == Charset::UTF_8;
            if is_html && is_plain {
                check_page(&String::from_utf8(page).unwrap());
                count += 1;
            }
        }
        assert!(count >= 10, "{count} pages");
    }
}
