//! CSS selectors, as far as they can be matched while a page goes by: the parser, and what a single element has to be.
//!
//! Supported are type, `*`, `#id`, `.class`, `[attribute]` with all its operators and the flags `i` and `s`, `:not()` of
//! these, the descendant and the child combinator, and lists. What would need to know the elements before or behind
//! (`+`, `~`, `:nth-child()`, `:has()`) is refused with its place. `@name` behind a selector is ours: it takes the value
//! of that attribute instead of the element.

use super::is_space;

/// So many simple steps (`div.a`, `b` in `div.a > b`) may all selectors have together: a set of them is one word, which
/// is what makes matching cost the same however deep a page is.
pub(super) const STEPS_MAX: usize = 128;

/// Attributes whose values know no case in HTML (HTML standard, "Case-sensitivity of selectors"), unless the flag `s`
/// says otherwise.
const CASELESS: [&str; 46] = [
    "accept",
    "accept-charset",
    "align",
    "alink",
    "axis",
    "bgcolor",
    "charset",
    "checked",
    "clear",
    "codetype",
    "color",
    "compact",
    "declare",
    "defer",
    "dir",
    "direction",
    "disabled",
    "enctype",
    "face",
    "frame",
    "hreflang",
    "http-equiv",
    "lang",
    "language",
    "link",
    "media",
    "method",
    "multiple",
    "nohref",
    "noresize",
    "noshade",
    "nowrap",
    "readonly",
    "rel",
    "rev",
    "rules",
    "scope",
    "scrolling",
    "selected",
    "shape",
    "target",
    "text",
    "type",
    "valign",
    "valuetype",
    "vlink",
];

/// A name in lower case as a number, so that comparing costs one instruction. Exact up to eight bytes; longer ones are
/// known by their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameKey(pub u64);

impl NameKey {
    pub(super) const fn of(name: &[u8]) -> NameKey {
        let mut packed = 0u64;
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut at = 0;
        while at < name.len() {
            let byte = name[at].to_ascii_lowercase();
            packed = packed << 8 | byte as u64;
            hash = (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        match name.len() {
            ..=8 => NameKey(packed),
            _ => NameKey(hash | 1 << 63),
        }
    }
}

/// What an element has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub name: Option<NameKey>,
    pub tests: Vec<Test>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Attribute {
        name: NameKey,
        is: Is,
        is_caseless: bool,
    },
    /// None of these.
    Not(Vec<Step>),
}

/// What the value of an attribute has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Is {
    There,
    Equal(Vec<u8>),
    /// One of the words in it.
    Word(Vec<u8>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Within(Vec<u8>),
    /// This, or this and a hyphen at its beginning: `en` and `en-GB`.
    Language(Vec<u8>),
}

/// Makes a demand of a value.
type Operator = fn(Vec<u8>) -> Is;

/// How a step leads to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Combinator {
    Descendant,
    Child,
}

/// One selector of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selector {
    /// Outermost first, each with how it follows the one before it.
    pub steps: Vec<(Combinator, Step)>,
    /// The attribute whose value is taken; the whole element where absent.
    pub attribute: Option<NameKey>,
}

/// Where a selector goes wrong, in bytes, and why.
pub(super) type Problem = (usize, String);

/// Parses a list of selectors.
pub(super) fn parse(text: &str) -> Result<Vec<Selector>, Problem> {
    let mut parser = Parser { text, at: 0 };
    let mut list = Vec::new();
    loop {
        parser.skip_space();
        let start = parser.at;
        let selector = parser.selector()?;
        refuse_whole_page(&selector, start)?;
        list.push(selector);
        parser.skip_space();
        let end = parser.at;
        match parser.next() {
            None => return Ok(list),
            Some(',') => {}
            Some(_) => {
                return Err((end, "a comma, or nothing, has to stand here".into()));
            }
        }
    }
}

/// Without anything in it every page is like every other.
fn refuse_whole_page(selector: &Selector, at: usize) -> Result<(), Problem> {
    let Some((_, last)) = selector.steps.last() else {
        return Ok(());
    };
    let roots = [NameKey::of(b"html"), NameKey::of(b"body")];
    let is_all = last.name.is_none() && last.tests.is_empty() && selector.steps.len() == 1;
    let is_root = last.name.is_some_and(|name| roots.contains(&name));
    if (is_all || is_root) && selector.attribute.is_none() {
        return Err((
            at,
            "takes out the whole page, so that no change of it would be seen".into(),
        ));
    }
    Ok(())
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Passes this sign if it is the next one.
    fn pass(&mut self, sign: char) -> bool {
        let is_next = self.peek() == Some(sign);
        if is_next {
            self.at += sign.len_utf8();
        }
        is_next
    }

    fn skip_space(&mut self) -> bool {
        let blank = self.text[self.at..]
            .bytes()
            .take_while(|byte| is_space(*byte))
            .count();
        self.at += blank;
        blank > 0
    }

    fn problem<T>(&self, problem: impl Into<String>) -> Result<T, Problem> {
        Err((self.at, problem.into()))
    }

    fn selector(&mut self) -> Result<Selector, Problem> {
        let mut steps = vec![(Combinator::Descendant, self.step()?)];
        loop {
            if self.pass('@') {
                let attribute = Some(self.attribute_name()?);
                return Ok(Selector { steps, attribute });
            }
            let is_apart = self.skip_space();
            let combinator = match self.peek() {
                None | Some(',') => {
                    return Ok(Selector {
                        steps,
                        attribute: None,
                    });
                }
                Some('>') => {
                    self.next();
                    self.skip_space();
                    Combinator::Child
                }
                Some('+' | '~') => {
                    return self.problem(
                        "siblings are not supported; name the element by its class, id or parent",
                    );
                }
                Some('@') => {
                    return self.problem("no space may stand before the @ of an attribute");
                }
                Some(_) if is_apart => Combinator::Descendant,
                Some(sign) => return self.problem(format!("`{sign}` has no meaning here")),
            };
            steps.push((combinator, self.step()?));
        }
    }

    fn attribute_name(&mut self) -> Result<NameKey, Problem> {
        let is_part = |letter: &char| {
            letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | ':' | '.')
        };
        let length = self.text[self.at..].chars().take_while(is_part).count();
        if length == 0 {
            return self.problem("the name of an attribute has to follow the @");
        }
        let name = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(NameKey::of(name.as_bytes()))
    }

    /// One compound selector.
    fn step(&mut self) -> Result<Step, Problem> {
        let start = self.at;
        let mut step = Step {
            name: None,
            tests: Vec::new(),
        };
        if !self.pass('*') && self.is_name_next() {
            step.name = Some(NameKey::of(self.name()?.as_bytes()));
        }
        if self.peek() == Some('|') {
            return self.problem("namespaces are not supported");
        }
        loop {
            let test = match self.peek() {
                Some('#') => self.named("id", Is::Equal)?,
                Some('.') => self.named("class", Is::Word)?,
                Some('[') => self.attribute()?,
                Some(':') => self.negation()?,
                _ if self.at == start => {
                    return self.problem(
                        "the name, #id, .class or [attribute] of an element has to stand here",
                    );
                }
                _ => return Ok(step),
            };
            step.tests.push(test);
        }
    }

    /// `#name` or `.name`.
    fn named(&mut self, attribute: &str, is: Operator) -> Result<Test, Problem> {
        self.next();
        if !self.is_name_next() {
            return self.problem(format!("the name of the {attribute} has to stand here"));
        }
        Ok(Test::Attribute {
            name: NameKey::of(attribute.as_bytes()),
            is: is(self.name()?.into_bytes()),
            is_caseless: false,
        })
    }

    fn attribute(&mut self) -> Result<Test, Problem> {
        self.next();
        self.skip_space();
        if !self.is_name_next() {
            return self.problem("the name of an attribute has to stand here");
        }
        let name = self.name()?.to_ascii_lowercase();
        self.skip_space();
        let mut is_caseless = CASELESS.contains(&name.as_str());
        let is = match self.operator()? {
            None => Is::There,
            Some(operator) => {
                self.skip_space();
                let value = self.attribute_value()?.into_bytes();
                self.skip_space();
                if let Some(flag @ ('i' | 'I' | 's' | 'S')) = self.peek() {
                    self.next();
                    self.skip_space();
                    is_caseless = flag.eq_ignore_ascii_case(&'i');
                }
                operator(value)
            }
        };
        if !self.pass(']') {
            return self.problem("a ] has to stand here");
        }
        Ok(Test::Attribute {
            name: NameKey::of(name.as_bytes()),
            is,
            is_caseless,
        })
    }

    fn operator(&mut self) -> Result<Option<Operator>, Problem> {
        let operator: Operator = match self.peek() {
            Some(']') => return Ok(None),
            Some('=') => {
                self.next();
                return Ok(Some(Is::Equal));
            }
            Some('~') => Is::Word,
            Some('^') => Is::Prefix,
            Some('$') => Is::Suffix,
            Some('*') => Is::Within,
            Some('|') => Is::Language,
            _ => return self.problem("one of = ~= ^= $= *= |= or ] has to stand here"),
        };
        self.next();
        match self.pass('=') {
            true => Ok(Some(operator)),
            false => self.problem("a = has to stand here"),
        }
    }

    fn attribute_value(&mut self) -> Result<String, Problem> {
        let Some(quote @ ('"' | '\'')) = self.peek() else {
            if self.is_name_next() {
                return self.name();
            }
            return self.problem("a value has to stand here, in quotes unless it is a name");
        };
        let start = self.at;
        self.next();
        let mut value = String::new();
        loop {
            match self.next() {
                None => return Err((start, "this text has no end".into())),
                Some('\\') => value.extend(self.escaped()),
                Some(sign) if sign == quote => return Ok(value),
                Some(sign) => value.push(sign),
            }
        }
    }

    fn negation(&mut self) -> Result<Test, Problem> {
        let start = self.at;
        self.next();
        self.pass(':');
        let name = match self.is_name_next() {
            true => self.name()?.to_ascii_lowercase(),
            false => String::new(),
        };
        if name != "not" || !self.pass('(') {
            let problem =
                format!(":{name} is not supported; of what begins with a colon only :not(…) is");
            return Err((start, problem));
        }
        let mut none_of = Vec::new();
        loop {
            self.skip_space();
            let inside = self.at;
            let step = self.step()?;
            if step.tests.iter().any(|test| matches!(test, Test::Not(_))) {
                return Err((inside, ":not(…) in :not(…) is not supported".into()));
            }
            none_of.push(step);
            self.skip_space();
            match self.peek() {
                Some(',') => drop(self.next()),
                Some(')') => {
                    self.next();
                    return Ok(Test::Not(none_of));
                }
                Some(_) => {
                    return self
                        .problem("in :not(…) only a comma or ) may stand here: no combinators");
                }
                None => return self.problem("a ) has to stand here"),
            }
        }
    }

    /// Whether a CSS identifier begins here.
    fn is_name_next(&self) -> bool {
        let mut letters = self.text[self.at..].chars();
        match letters.next() {
            Some('-') => letters
                .next()
                .is_some_and(|next| next == '-' || is_name_start(next)),
            Some(first) => is_name_start(first),
            None => false,
        }
    }

    /// An identifier, its escapes resolved.
    fn name(&mut self) -> Result<String, Problem> {
        let mut name = String::new();
        while let Some(letter) = self.peek() {
            match letter {
                '\\' => {
                    self.next();
                    if self.peek().is_none() {
                        return self.problem("something has to follow the \\");
                    }
                    name.extend(self.escaped());
                }
                _ if is_name_start(letter) || letter.is_ascii_digit() || letter == '-' => {
                    self.next();
                    name.push(letter);
                }
                _ => break,
            }
        }
        Ok(name)
    }

    /// What an escape stands for whose backslash has been passed: up to six hexadecimal digits and a space, or the sign
    /// itself.
    fn escaped(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let digits = rest
            .bytes()
            .take(6)
            .take_while(u8::is_ascii_hexdigit)
            .count();
        if digits == 0 {
            return self.next();
        }
        let number = u32::from_str_radix(&rest[..digits], 16).expect("they are hexadecimal digits");
        self.at += digits;
        if self.peek().is_some_and(|next| next.is_ascii_whitespace()) {
            self.next();
        }
        Some(char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

fn is_name_start(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || letter == '\\' || !letter.is_ascii()
}

impl Is {
    /// Whether a value, its references resolved, is that.
    pub(super) fn holds(&self, value: &[u8], is_caseless: bool) -> bool {
        let same = |one: &[u8], other: &[u8]| match is_caseless {
            true => one.eq_ignore_ascii_case(other),
            false => one == other,
        };
        match self {
            Is::There => true,
            Is::Equal(wanted) => same(value, wanted),
            Is::Word(wanted) => {
                let mut words = value.split(|byte| is_space(*byte));
                !wanted.is_empty() && words.any(|word| same(word, wanted))
            }
            Is::Prefix(wanted) => {
                let start = value.get(..wanted.len());
                !wanted.is_empty() && start.is_some_and(|start| same(start, wanted))
            }
            Is::Suffix(wanted) => {
                let start = value.len().checked_sub(wanted.len());
                !wanted.is_empty() && start.is_some_and(|start| same(&value[start..], wanted))
            }
            Is::Within(wanted) => !wanted.is_empty() && is_within(value, wanted, is_caseless),
            Is::Language(wanted) => {
                let start = value.get(..wanted.len());
                let is_end = matches!(value.get(wanted.len()), None | Some(b'-'));
                is_end && start.is_some_and(|start| same(start, wanted))
            }
        }
    }
}

fn is_within(value: &[u8], wanted: &[u8], is_caseless: bool) -> bool {
    match is_caseless {
        true => {
            let value = value.to_ascii_lowercase();
            memchr::memmem::find(&value, &wanted.to_ascii_lowercase()).is_some()
        }
        false => memchr::memmem::find(value, wanted).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_supported_is_refused_at_its_place() {
        // Each row: a selector, the byte at which it goes wrong, and a part of the reason.
        let rows = [
            ("", 0, "has to stand here"),
            ("a >", 3, "has to stand here"),
            ("a,", 2, "has to stand here"),
            ("a, ,b", 3, "has to stand here"),
            ("> a", 0, "has to stand here"),
            ("a + b", 2, "siblings"),
            ("a~b", 1, "siblings"),
            ("a:nth-child(2)", 1, ":nth-child is not supported"),
            ("a::before", 1, ":before is not supported"),
            ("div:has(a)", 3, ":has is not supported"),
            ("a:not(b c)", 8, "no combinators"),
            ("a:not(:not(b))", 6, ":not"),
            ("a:not(b", 7, "a )"),
            ("a[", 2, "name of an attribute"),
            ("a[b", 3, "one of ="),
            ("a[b=", 4, "a value"),
            ("a[b=1]", 4, "a value"),
            ("a[b='c]", 4, "no end"),
            ("a[b~c]", 4, "a ="),
            ("a[b=c x]", 6, "a ]"),
            ("svg|a", 3, "namespaces"),
            ("#1", 1, "name of the id"),
            (".", 1, "name of the class"),
            ("a@", 2, "the name of an attribute"),
            ("a @href", 2, "no space"),
            ("a@href\u{e9}", 6, "a comma"),
            ("a@b c", 4, "a comma"),
            ("a!", 1, "`!`"),
            ("a\\", 2, "follow the \\"),
            ("*", 0, "the whole page"),
            ("p, html > BODY", 3, "the whole page"),
            ("{}", 0, "has to stand here"),
            ("\u{e9}[\u{e9}=", 6, "a value"),
        ];
        for (text, at, reason) in rows {
            let (found, problem) = parse(text).unwrap_err();
            assert_eq!(found, at, "{text}: {problem}");
            assert!(problem.contains(reason), "{text}: {problem}");
        }
    }

    #[test]
    fn selectors_are_read_as_css_has_them() {
        // Pairs that mean the same.
        let rows = [
            ("div", "DIV"),
            (" a  b ", "a b"),
            ("a>b", "a > b"),
            ("a,b", " a , b "),
            (".a\\:b", ".a\\3A b"),
            ("[a=b]", "*[A = 'b']"),
            ("[type=x]", "[type='x' i]"),
            ("[a='\\'']", "[a=\"'\"]"),
            ("a:not(.b,.c)", "a:NOT( .b , .c )"),
            ("body@class", "BODY@CLASS"),
        ];
        for (one, other) in rows {
            assert_eq!(
                parse(one).unwrap(),
                parse(other).unwrap(),
                "{one} and {other}"
            );
        }
        let several = parse("a > b c, .d@e").unwrap();
        assert_eq!(several.len(), 2);
        let how: Vec<_> = several[0].steps.iter().map(|(how, _)| *how).collect();
        assert_eq!(
            how,
            [
                Combinator::Descendant,
                Combinator::Child,
                Combinator::Descendant
            ]
        );
        assert_eq!(several[1].attribute, Some(NameKey::of(b"E")));
    }

    #[test]
    fn a_value_is_compared_as_its_operator_says() {
        let rows: &[(&str, &[u8], bool)] = &[
            ("[a]", b"", true),
            ("[a=b]", b"b", true),
            ("[a=b]", b"B", false),
            ("[a=b i]", b"B", true),
            ("[a~=b]", b"x\tb y", true),
            ("[a~=b]", b"xb", false),
            ("[a~='']", b"", false),
            ("[a^=b]", b"bc", true),
            ("[a^='']", b"bc", false),
            ("[a$=b]", b"ab", true),
            ("[a$=abc]", b"bc", false),
            ("[a*=b]", b"abc", true),
            ("[a*=B i]", b"abc", true),
            ("[a|=en]", b"en-GB", true),
            ("[a|=en]", b"en", true),
            ("[a|=en]", b"english", false),
        ];
        for (selector, value, expected) in rows {
            let parsed = parse(selector).unwrap();
            let Test::Attribute {
                is, is_caseless, ..
            } = &parsed[0].steps[0].1.tests[0]
            else {
                panic!("it is about an attribute");
            };
            assert_eq!(is.holds(value, *is_caseless), *expected, "{selector}");
        }
    }
}
