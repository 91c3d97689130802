//! What a JavaScript module names: its imports and its source map.
//!
//! A tokenizer that knows strings, comments, templates and, by a rule of thumb, regular expressions: enough not to
//! take an import out of a text. Only specifiers that are URLs count, `./x.js` and not `lodash`; what a
//! program puts together as it runs is found by nobody.

use memchr::{memchr2, memchr3, memmem};

use super::links::trim;
use super::{Collector, Role, Span, data, is_space};

/// Words behind which a slash begins a regular expression.
const BEFORE_EXPRESSION: [&[u8]; 14] = [
    b"await",
    b"case",
    b"delete",
    b"do",
    b"else",
    b"in",
    b"instanceof",
    b"new",
    b"of",
    b"return",
    b"throw",
    b"typeof",
    b"void",
    b"yield",
];

/// Collects what a module or a script of its own imports.
pub(super) fn scan(script: &[u8], links: &mut Collector) {
    // Most scripts import nothing, and need no closer look.
    if memmem::find(script, b"import").is_none() && memmem::find(script, b"export").is_none() {
        return;
    }
    let mut walk = Walk {
        script,
        at: 0,
        before: Before::Operator,
        braces: 0,
        templates: Vec::new(),
        links,
    };
    walk.all();
}

/// Collects what a script names with its source map, which debuggers ask for.
pub(super) fn file(script: &[u8], links: &mut Collector) {
    scan(script, links);
    source_map(script, links);
}

/// Takes the last `//# sourceMappingURL=…` or `/*# sourceMappingURL=… */`, which must end its line.
pub(super) fn source_map(text: &[u8], links: &mut Collector) {
    const MARK: &[u8] = b"sourceMappingURL=";
    let Some(at) = memmem::rfind(text, MARK) else {
        return;
    };
    let before = text[..at].trim_ascii_end();
    let is_marked = before.ends_with(b"#") || before.ends_with(b"@");
    let before = &before[..before.len().saturating_sub(1)];
    let rest = &text[at + MARK.len()..];
    let line = &rest[..memchr2(b'\n', b'\r', rest).unwrap_or(rest.len())];
    let url = match (before.ends_with(b"//"), before.ends_with(b"/*")) {
        (true, _) => trim(line),
        (_, true) => trim(&line[..memmem::find(line, b"*/").unwrap_or(0)]),
        _ => return,
    };
    let is_url = |byte: &u8| !is_space(*byte) && !matches!(byte, b'"' | b'\'' | b'`');
    if is_marked && url.iter().all(is_url) {
        links.push(url, Role::Asset);
    }
}

/// What the last token was, as far as it decides what the next one can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A value: a slash divides.
    Value,
    /// A slash begins a regular expression.
    Operator,
    /// A dot: the next word is a property, whatever it says.
    Dot,
    /// `new`.
    New,
}

struct Walk<'a> {
    script: &'a [u8],
    at: usize,
    before: Before,
    /// How many braces are open.
    braces: usize,
    /// For each template that is open around here, how many braces were when its `${` came.
    templates: Vec<usize>,
    links: &'a mut Collector,
}

impl Walk<'_> {
    fn all(&mut self) {
        while let Some(byte) = self.script.get(self.at).copied() {
            match byte {
                b'/' => self.slash(),
                b'"' | b'\'' => {
                    self.string();
                    self.before = Before::Value;
                }
                b'`' => {
                    self.at += 1;
                    self.template();
                }
                b'}' if self.templates.last() == Some(&self.braces) => {
                    self.templates.pop();
                    self.at += 1;
                    self.template();
                }
                b'0'..=b'9' => {
                    self.at = self.word_end(self.at);
                    self.before = Before::Value;
                }
                _ if is_word(byte) => self.word(),
                _ => self.sign(byte),
            }
        }
    }

    fn sign(&mut self, sign: u8) {
        self.at += 1;
        if is_space(sign) {
            return;
        }
        match sign {
            b'{' => self.braces += 1,
            b'}' => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
        self.before = match sign {
            b')' | b']' | b'}' => Before::Value,
            b'.' => Before::Dot,
            _ => Before::Operator,
        };
    }

    fn slash(&mut self) {
        if let Some(end) = self.comment_end(self.at) {
            self.at = end;
        } else if self.before == Before::Value {
            self.at += 1;
            self.before = Before::Operator;
        } else {
            self.at = self.expression_end(self.at + 1);
            self.before = Before::Value;
        }
    }

    /// Behind the comment that begins at `at`, if one does.
    fn comment_end(&self, at: usize) -> Option<usize> {
        let rest = &self.script[at..];
        let length = match rest {
            [b'/', b'/', ..] => memchr2(b'\n', b'\r', rest),
            [b'/', b'*', ..] => memmem::find(&rest[2..], b"*/").map(|length| length + 4),
            _ => return None,
        };
        Some(length.map_or(self.script.len(), |length| at + length))
    }

    /// Behind a regular expression, or at the end of the line that it does not end on.
    fn expression_end(&self, mut at: usize) -> usize {
        let mut is_class = false;
        while let Some(byte) = self.script.get(at) {
            match byte {
                b'\n' | b'\r' => return at,
                b'\\' => at += 1,
                b'[' => is_class = true,
                b']' => is_class = false,
                b'/' if !is_class => return at + 1,
                _ => {}
            }
            at += 1;
        }
        self.script.len()
    }

    /// Passes the string that begins here; its text unless its line ends first.
    fn string(&mut self) -> Option<Span> {
        let quote = self.script[self.at];
        let start = self.at + 1;
        let mut at = start;
        loop {
            let Some(length) = memchr3(quote, b'\\', b'\n', &self.script[at..]) else {
                self.at = self.script.len();
                return None;
            };
            at += length;
            match self.script[at] {
                b'\\' => at = (at + 2).min(self.script.len()),
                b'\n' => {
                    self.at = at;
                    return None;
                }
                _ => {
                    self.at = at + 1;
                    return Some(Span { start, end: at });
                }
            }
        }
    }

    /// Passes the text of a template up to its end, or to the expression that stands in it.
    fn template(&mut self) {
        self.before = Before::Value;
        loop {
            let rest = &self.script[self.at..];
            let Some(length) = memchr3(b'`', b'\\', b'$', rest) else {
                self.at = self.script.len();
                return;
            };
            let is_expression = rest[length..].starts_with(b"${");
            let sign = rest[length];
            self.at += length + 1;
            match sign {
                b'`' => return,
                b'\\' => self.at = (self.at + 1).min(self.script.len()),
                _ if is_expression => {
                    self.at += 1;
                    self.templates.push(self.braces);
                    self.before = Before::Operator;
                    return;
                }
                _ => {}
            }
        }
    }

    fn word_end(&self, at: usize) -> usize {
        let length = self.script[at..].iter().take_while(|byte| is_word(**byte));
        at + length.count()
    }

    fn word(&mut self) {
        let start = self.at;
        self.at = self.word_end(start);
        let before = self.before;
        let word = &self.script[start..self.at];
        self.before = match word {
            b"new" => Before::New,
            _ if BEFORE_EXPRESSION.contains(&word) => Before::Operator,
            _ => Before::Value,
        };
        match (word, before) {
            (_, Before::Dot) => self.before = Before::Value,
            (b"import", _) => self.import(),
            (b"export", _) => {
                self.skip();
                if matches!(self.peek(), Some(b'{' | b'*')) {
                    self.clause();
                }
            }
            (b"URL", Before::New) => self.new_url(),
            _ => {}
        }
    }

    /// What follows `import`: a specifier, a call, a clause, or `.meta`.
    fn import(&mut self) {
        self.skip();
        match self.peek() {
            Some(b'"' | b'\'') => self.specifier(),
            Some(b'(') => {
                self.at += 1;
                self.before = Before::Operator;
                self.skip();
                if let Some(text) = self.literal() {
                    self.skip();
                    if matches!(self.peek(), Some(b')' | b',')) {
                        self.take(text);
                    }
                }
            }
            Some(byte) if is_word(byte) || matches!(byte, b'{' | b'*') => self.clause(),
            _ => {}
        }
    }

    /// Passes names, braces and commas, and takes what follows the `from` behind them. Whatever else comes ends
    /// the clause, and is looked at as if none had been there.
    fn clause(&mut self) {
        loop {
            self.skip();
            match self.peek() {
                Some(b'{' | b'}' | b',' | b'*') => self.at += 1,
                Some(byte) if is_word(byte) => {
                    let start = self.at;
                    let end = self.word_end(start);
                    let word = &self.script[start..end];
                    if matches!(word, b"import" | b"export") {
                        return;
                    }
                    self.at = end;
                    self.skip();
                    if word == b"from" && matches!(self.peek(), Some(b'"' | b'\'')) {
                        return self.specifier();
                    }
                }
                // A name that is no identifier: `import { "a b" as c } from …`.
                Some(b'"' | b'\'') if self.string().is_some() => {}
                _ => return,
            }
        }
    }

    fn specifier(&mut self) {
        if let Some(text) = self.string() {
            self.take(text);
        }
        self.before = Before::Value;
    }

    /// `new URL("x", import.meta.url)` names a file beside the module.
    fn new_url(&mut self) {
        self.skip();
        if self.peek() != Some(b'(') {
            return;
        }
        self.at += 1;
        self.before = Before::Operator;
        self.skip();
        let Some(text) = self.literal() else {
            return;
        };
        for part in [&b","[..], b"import", b".", b"meta", b".", b"url"] {
            self.skip();
            if !self.script[self.at..].starts_with(part) {
                return;
            }
            self.at += part.len();
        }
        self.take_any(text);
    }

    /// The text of a string, or of a template without anything in it, that stands here.
    fn literal(&mut self) -> Option<Span> {
        match self.peek()? {
            b'"' | b'\'' => {
                self.before = Before::Value;
                self.string()
            }
            b'`' => {
                let start = self.at + 1;
                self.at = start;
                self.template();
                let end = self.at - 1;
                let is_whole = self.before == Before::Value && self.script[end] == b'`';
                (is_whole && start <= end).then_some(Span { start, end })
            }
            _ => None,
        }
    }

    fn take(&mut self, text: Span) {
        let is_specifier = std::str::from_utf8(text.of(self.script)).is_ok_and(data::is_specifier);
        if is_specifier {
            self.take_any(text);
        }
    }

    /// Specifiers are written plainly: one with an escape in it is left alone.
    fn take_any(&mut self, text: Span) {
        let text = text.of(self.script);
        if !text.contains(&b'\\') {
            self.links.push(text, Role::Asset);
        }
    }

    fn peek(&self) -> Option<u8> {
        self.script.get(self.at).copied()
    }

    /// Passes white space and comments.
    fn skip(&mut self) {
        loop {
            self.at = super::skip_space(self.script, self.at);
            match self.comment_end(self.at) {
                Some(end) => self.at = end,
                None => return,
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'_' | b'$' | b'#' | b'@')
}

#[cfg(test)]
mod tests {
    use super::*;

    // long: a table
    #[test]
    fn imports_are_found_and_texts_are_not() {
        // One trap each; expected is what an engine would load.
        let rows: &[(&str, &[&str])] = &[
            ("import './a.js';import \"/b.js\"", &["./a.js", "/b.js"]),
            ("import a from './a.js'", &["./a.js"]),
            ("import a, {b as c} from \"../a.js\"", &["../a.js"]),
            ("import*as a from'https://h/a.js'", &["https://h/a.js"]),
            (
                "import{\"x y\" as z}from\"./a.js\"with{type:'json'}",
                &["./a.js"],
            ),
            (
                "export * from './a.js';export{b}from'./b.js'",
                &["./a.js", "./b.js"],
            ),
            ("export default './a.js';export const b='./b.js'", &[]),
            ("export {a};import b from './b.js'", &["./b.js"]),
            ("import a from 'bare';import '@h/b'", &[]),
            ("const a=await import('./a.js')", &["./a.js"]),
            (
                "import(/* webpackChunkName: 'x' */ \"./a.js\").then(b)",
                &["./a.js"],
            ),
            (
                "import(`./a.js`);import(`./${b}.js`);import('./c'+d)",
                &["./a.js"],
            ),
            ("import('./a.json', {with:{type:'json'}})", &["./a.json"]),
            (
                "a.import('./a.js');import.meta.url;b={import:'./c.js'}",
                &[],
            ),
            (
                "// import './a.js'\n/* import './b.js' */import './c.js'",
                &["./c.js"],
            ),
            (
                "'import \"./a.js\"';`import './b.js'`;import './c.js'",
                &["./c.js"],
            ),
            (
                "`${import('./a.js')} ${`import('./x.js')`} import('./b.js')`",
                &["./a.js"],
            ),
            ("`${{a:{}}}`;import './b.js'", &["./b.js"]),
            ("a=/import('.\\/[/'\"]x.js')/;import './b.js'", &["./b.js"]),
            ("return /'/;import './b.js'", &["./b.js"]),
            ("a/b;c='/';import './b.js'", &["./b.js"]),
            ("(a)/'2'/3;import './b.js'", &["./b.js"]),
            (
                "new URL('a.png', import.meta.url);new URL('b', c)",
                &["a.png"],
            ),
            (
                "new Worker(new URL(\"./w.js\",import.meta.url))",
                &["./w.js"],
            ),
            ("importScripts('./a.js');imported from './b.js'", &[]),
            ("import a import b from './b.js'", &["./b.js"]),
            ("import './a.js", &[]),
            ("import('", &[]),
            ("import(`", &[]),
            ("import(`\\", &[]),
            ("export*", &[]),
        ];
        for (script, expected) in rows {
            let mut links = Collector::default();
            scan(script.as_bytes(), &mut links);
            let links = links.into_links();
            assert_eq!(
                links.references().collect::<Vec<_>>(),
                *expected,
                "{script}"
            );
        }
    }

    #[test]
    fn the_last_source_map_counts() {
        let rows: &[(&str, &[&str])] = &[
            ("a();\n//# sourceMappingURL=a.js.map\n", &["a.js.map"]),
            ("//@ sourceMappingURL=a.map", &["a.map"]),
            ("a{}/*# sourceMappingURL=a.css.map */\n", &["a.css.map"]),
            (
                "//# sourceMappingURL=a.map\n//# sourceMappingURL=b.map",
                &["b.map"],
            ),
            ("x='//# sourceMappingURL='+y", &[]),
            (
                "//# sourceMappingURL=data:application/json;base64,e30=",
                &[],
            ),
            ("sourceMappingURL=a.map", &[]),
            ("/*# sourceMappingURL=a.map", &[]),
        ];
        for (script, expected) in rows {
            let mut links = Collector::default();
            source_map(script.as_bytes(), &mut links);
            let links = links.into_links();
            assert_eq!(
                links.references().collect::<Vec<_>>(),
                *expected,
                "{script}"
            );
        }
    }
}
