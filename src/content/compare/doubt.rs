//! Words that tell noise from what a page says. A time in a text may be when a bus leaves, and a token in an address
//! which file is meant: only where a word says that a machine has made it for this answer is it noise.

use super::shape::Look;

/// Words for what happens when a page is made.
const MAKING: &[&str] = &[
    "built",
    "build",
    "cached",
    "generated",
    "rendered",
    "served",
    "timestamp",
];

/// Words for how long that takes.
const LASTING: &[&str] = &["elapsed", "processed", "took"];

/// Elements whose names, attributes or keys have one of these in them hold what is made anew.
const NOISY: &[&str] = &[
    "token",
    "csrf",
    "xsrf",
    "nonce",
    "sessionid",
    "sessid",
    "viewstate",
    "timestamp",
    "requestid",
    "request-id",
    "request_id",
];

/// The same, where they are a word by themselves: others have them inside.
const NOISY_WORDS: &[&str] = &["generated", "session", "sid", "trace"];

/// Parameters of an address that are none of the page's: whose value is there to be another one each time.
const ANEW: &[&str] = &["cachebuster", "nocache", "rand", "random", "rnd"];

/// Attributes that hold an address.
const ADDRESSES: &[&str] = &[
    "action",
    "background",
    "cite",
    "data",
    "formaction",
    "href",
    "icon",
    "longdesc",
    "manifest",
    "ping",
    "poster",
    "src",
    "srcset",
    "xlink:href",
];

/// Attributes that are read, or say what is.
const READ: &[&str] = &[
    "abbr",
    "alt",
    "aria-description",
    "aria-label",
    "datetime",
    "download",
    "label",
    "placeholder",
    "srcdoc",
    "summary",
    "title",
];

/// Words in lower case, `lastBuildDate` as one and as three.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for run in text.split(|letter: char| !letter.is_alphanumeric()) {
        found.push(run.to_ascii_lowercase());
        let mut start = 0;
        for (at, pair) in run.as_bytes().windows(2).enumerate() {
            if pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase() {
                found.push(run[start..=at].to_ascii_lowercase());
                start = at + 1;
            }
        }
        if start > 0 {
            found.push(run[start..].to_ascii_lowercase());
        }
    }
    found
}

fn has_one(text: &str, of: &[&str]) -> bool {
    words(text).iter().any(|word| of.contains(&&**word))
}

/// The text says that what looks so was made with the page.
pub(super) fn says_made(text: &str, look: Look) -> bool {
    has_one(text, MAKING) || (look.is_duration() && has_one(text, LASTING))
}

/// The name says that what it holds is made anew for each answer.
pub(super) fn is_noisy(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    NOISY.iter().any(|noisy| lower.contains(noisy)) || has_one(name, NOISY_WORDS)
}

/// A parameter of an address that a server makes up for one visitor or one answer.
pub(super) fn is_session_parameter(name: &str) -> bool {
    is_noisy(name) || has_one(name, ANEW)
}

pub(super) fn is_address_attribute(name: &str) -> bool {
    // `data-src`, `data-background-url`.
    let last = name.rsplit('-').next().unwrap_or(name);
    ADDRESSES.contains(&name) || ["src", "srcset", "href", "url"].contains(&last)
}

pub(super) fn is_read_attribute(name: &str) -> bool {
    READ.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_words_and_not_parts_of_others() {
        for text in [
            "Page generated at ",
            "<lastBuildDate>",
            "id=buildTime",
            "built 1",
        ] {
            assert!(says_made(text, Look::Random), "{text}");
        }
        for text in [
            "Last updated: ",
            "observed at",
            "regenerated",
            "the minister took office on",
        ] {
            assert!(!says_made(text, Look::Random), "{text}");
        }
        for name in [
            "csrf_token",
            "sessionId",
            "JSESSIONID",
            "sid",
            "my-session",
            "PHPSESSID",
        ] {
            assert!(is_noisy(name), "{name}");
        }
        for name in ["obsession", "sidebar", "tracery", "retraced", "id", "value"] {
            assert!(!is_noisy(name), "{name}");
        }
    }
}
