//! `[canonical]`: what makes no difference between two answers of a page.

use super::ConfigError;
use super::schema::CanonicalShape;
use super::source::{Source, is_token};
use crate::content::{CanonicalRules, DeclaredRules};

/// The section, once every rule can work: a slip in a selector or a pattern is told with its place in it.
pub(super) fn checked(
    shape: CanonicalShape,
    source: &Source<'_>,
) -> Result<DeclaredRules, ConfigError> {
    let mut declared = DeclaredRules {
        selectors: shape.selectors,
        patterns: shape.patterns,
        json_pointers: shape.json_pointers,
        headers: shape.headers,
    };
    for (index, name) in declared.headers.iter_mut().enumerate() {
        if !is_token(name) {
            let problem = format!("`{name}` is no header name");
            return Err(source.invalid(&format!("canonical.headers[{index}]"), problem));
        }
        name.make_ascii_lowercase();
    }
    match CanonicalRules::new(&declared) {
        Ok(_) => Ok(declared),
        Err(error) => {
            let path = format!("canonical.{}[{}]", error.list, error.index);
            Err(source.invalid(&path, error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::load::parse;
    use super::super::load::tests::{SITE, cases, refused};

    #[test]
    fn a_rule_that_cannot_work_is_refused_at_its_place() {
        // Promise: file, line, list, and the character in the rule at which it goes wrong.
        for (text, expected) in cases(REFUSED) {
            assert_eq!(refused(&format!("{SITE}[canonical]\n{text}")), expected);
        }
    }

    #[test]
    fn the_example_of_the_manual_is_a_configuration() {
        // Promise: what docs/CANONICAL.md shows can be pasted.
        let manual = include_str!("../../docs/CANONICAL.md");
        let example = manual.split("```toml\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        let text = format!("{SITE}{example}");
        let config = parse(&text, Path::new("standin.toml"), &|_| None).unwrap();
        assert_eq!(config.canonical.selectors.len(), 3);
    }

    /// What follows [`SITE`] and `[canonical]`.
    const REFUSED: &str = r##"
patterns = ["a", "b["]
=> standin.toml:4: canonical.patterns: `b[`, character 2: is no regular expression: unclosed character class

patterns = [
  "a",
  "(a|b",
]
=> standin.toml:6: canonical.patterns: `(a|b`, character 1: is no regular expression: unclosed group

patterns = ["(a+)+\\1"]
=> standin.toml:4: canonical.patterns: `(a+)+\1`, character 6: is no regular expression: backreferences are not supported

patterns = ["(?:\\pL{500}){500}"]
=> standin.toml:4: canonical.patterns: `(?:\pL{500}){500}`: compiled it is larger than 2097152 bytes; make its counted repetitions smaller, or write (?-u) before classes such as \w

patterns = [""]
=> standin.toml:4: canonical.patterns: ``: an empty regular expression takes nothing out

selectors = [
  "#a", # here
  "div > p:nth-child(2)",
]
=> standin.toml:6: canonical.selectors: `div > p:nth-child(2)`, character 8: :nth-child is not supported; of what begins with a colon only :not(…) is

selectors = ["ünï > *, body"]
=> standin.toml:4: canonical.selectors: `ünï > *, body`, character 10: takes out the whole page, so that no change of it would be seen

json_pointers = ["/a/b", "/ü/c~"]
=> standin.toml:4: canonical.json_pointers: `/ü/c~`, character 5: a ~ is written as ~0, and a slash in a key as ~1

json_pointers = ["generated"]
=> standin.toml:4: canonical.json_pointers: `generated`, character 1: a JSON pointer begins with a slash

headers = ["x y"]
=> standin.toml:4: canonical.headers: `x y` is no header name
"##;
}
