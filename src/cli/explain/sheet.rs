//! The text of `explain`: a title, and below it lines of a name and what there is to say, at most 80 columns wide.

/// Beyond this a line is broken, where it can be.
const COLUMNS: usize = 80;

/// Where what there is to say begins.
const INDENT: usize = 11;

pub struct Sheet {
    text: String,
}

impl Sheet {
    pub fn new(title: &str) -> Sheet {
        Sheet {
            text: format!("{title}\n"),
        }
    }

    /// A line with a name of up to eight characters. It is broken between words; a URL or a key never is, so that it
    /// can be copied.
    pub fn line(&mut self, name: &str, said: &str) {
        let mut column = INDENT;
        self.text.push_str(&format!("  {name:<8} "));
        for (index, word) in said.split(' ').enumerate() {
            let width = word.chars().count();
            let fits = column + 1 + width <= COLUMNS;
            match (index, fits) {
                (0, _) => column += width,
                (_, true) => {
                    self.text.push(' ');
                    column += 1 + width;
                }
                (_, false) => {
                    self.text.push('\n');
                    self.text.push_str(&" ".repeat(INDENT));
                    column = INDENT + width;
                }
            }
            self.text.push_str(word);
        }
        self.text.truncate(self.text.trim_end().len());
        self.text.push('\n');
    }

    pub fn text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_only() {
        // Promise: at most 80 columns, but for a word that is longer by itself, which stays whole.
        let mut sheet = Sheet::new("https://h.test/");
        let long = "x".repeat(90);
        sheet.line(
            "rule",
            &format!("{} {long} {}", "word ".repeat(20).trim_end(), "end"),
        );
        sheet.line("", "more");
        let text = sheet.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("  rule     word word"), "{text}");
        assert!(lines[2].starts_with("           word"), "{text}");
        assert!(
            text.contains(&format!(
                "\n           {long}\n           end\n           more\n"
            )),
            "{text}"
        );
        for line in lines {
            assert!(line.chars().count() <= 80 || line.trim() == long, "{line}");
        }
    }
}
