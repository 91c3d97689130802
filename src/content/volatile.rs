//! What is made anew for each answer and known by its form: the built-in rules of the second version.
//!
//! Each rule names the software that writes what it takes out; docs/CANONICAL.md has them all. They are wrong in one
//! direction only: what is not recognised makes a page look changed, and is seen. So nothing is taken out that a
//! reader of the page sees, and of attributes and comments only what has a form that nobody writes by hand.

use std::sync::LazyLock;

use memchr::memmem;
use regex::bytes::Regex;

use super::Span;

/// Names of `<meta>` elements whose content is a token, beside those of the first version.
const METAS: [&[u8]; 12] = [
    // Those of the first version.
    b"csrf-token",
    b"_csrf",
    b"csrf",
    // Rails `csp_meta_tag`, GitHub.
    b"csp-nonce",
    b"html-safe-nonce",
    b"request-id",
    // Laravel's and others' own spellings of the token.
    b"_token",
    b"csrf_token",
    b"csrftoken",
    b"_csrf_token",
    b"x-csrf-token",
    b"authenticity_token",
];

/// Names of hidden inputs whose value is a token, beside those of the first version, in lower case.
const INPUTS: [&[u8]; 51] = [
    // Drupal; the honeypot module's is a time.
    b"form_build_id",
    b"form_token",
    b"honeypot_time",
    // WordPress.
    b"_wpnonce",
    b"_ajax_nonce",
    // ASP.NET Web Forms: what the page remembers of itself between two posts, signed or encrypted with a random start.
    // All of it that a reader sees is in the page besides, and nobody can post to a mirror.
    b"__viewstate",
    b"__eventvalidation",
    b"__previouspage",
    b"__cmscsrftoken",
    // Java Server Faces, Struts, Spring, OWASP CSRFGuard.
    b"javax.faces.viewstate",
    b"jakarta.faces.viewstate",
    b"org.apache.struts.taglib.html.token",
    b"struts.token",
    b"owasp_csrftoken",
    b"owasp-csrftoken",
    // Rails and Django have theirs in the first version; Play, Express, Flask, Phoenix and their like.
    b"csrftoken",
    b"csrf-token",
    b"csrf",
    b"_csrftoken",
    b"__csrf_token",
    b"__csrf",
    b"xsrf_token",
    b"_xsrf",
    b"anticsrf",
    b"anti_csrf_token",
    b"requestverificationtoken",
    // CakePHP, CodeIgniter, Yii, Craft, Concrete, SilverStripe, Magento, Moodle, MediaWiki, Plone, Contao, Shopware.
    b"_token[fields]",
    b"_token[key]",
    b"csrf_test_name",
    b"ci_csrf_token",
    b"yii_csrf_token",
    b"craft_csrf_token",
    b"ccm_token",
    b"securityid",
    b"form_key",
    b"sesskey",
    b"logintoken",
    b"wpedittoken",
    b"wplogintoken",
    b"wpcreateaccounttoken",
    b"_authenticator",
    b"request_token",
    // Those of the first version.
    b"authenticity_token",
    b"csrfmiddlewaretoken",
    b"__requestverificationtoken",
    b"_csrf",
    b"_csrf_token",
    b"_token",
    b"csrf_token",
    // Oracle APEX.
    b"ppagesubmissionid",
    b"psalt",
];

/// Names that begin so: `__VIEWSTATE1`, `_csrf-frontend` of Yii.
const INPUT_STARTS: [&[u8]; 2] = [b"__viewstate", b"_csrf-"];

/// Names that end so: `contact[_token]` of Symfony, `woocommerce-login-nonce` and whatever else `wp_nonce_field` is
/// given.
const INPUT_ENDS: [&[u8]; 5] = [
    b"[_token]",
    b"[_csrf_token]",
    b"[csrf_token]",
    b"_nonce",
    b"-nonce",
];

/// Constant for a page, though it begins as others do.
const VIEWSTATE_GENERATOR: &[u8] = b"__viewstategenerator";

/// Whether a value looks as if nobody had written it: sixteen or more signs of a base64 text or of a list of numbers,
/// letters and digits or letters of both cases among them, and no words. Words are runs of four letters; by chance they
/// make up two thirds of a random text once in some hundred times, which shows as a change that is none.
pub(super) fn is_random_value(value: &[u8]) -> bool {
    let is_sign = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=_-.|:~%".contains(byte);
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    let has_letter = has(u8::is_ascii_alphabetic);
    let is_mixed = has_letter && has(u8::is_ascii_digit)
        || has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    value.len() >= LONG && value.iter().all(is_sign) && is_mixed && !is_of_words(value)
}

fn is_of_words(value: &[u8]) -> bool {
    let (mut in_words, mut at) = (0, 0);
    while at < value.len() {
        let start = at;
        at += 1;
        if !value[start].is_ascii_alphabetic() {
            continue;
        }
        let is_like: fn(&u8) -> bool = match value.get(at) {
            Some(next) if value[start].is_ascii_lowercase() || next.is_ascii_lowercase() => {
                u8::is_ascii_lowercase
            }
            _ => u8::is_ascii_uppercase,
        };
        at += value[at..].iter().take_while(|byte| is_like(byte)).count();
        if at - start >= 4 {
            in_words += at - start;
        }
    }
    in_words * 20 >= value.len() * 13
}

/// What `wp_create_nonce` of WordPress makes.
fn is_wordpress_nonce(value: &[u8]) -> bool {
    value.len() == 10
        && value.iter().all(u8::is_ascii_hexdigit)
        && value.iter().any(u8::is_ascii_digit)
}

/// Whether the value of an attribute or an input that is named as a token is one.
pub(super) fn is_token(name: &[u8], value: &[u8]) -> bool {
    let is_nonce = || memmem::find(&name.to_ascii_lowercase(), b"nonce").is_some();
    is_random_value(value) || is_wordpress_nonce(value) && is_nonce()
}

/// Whether the content of a `<meta>` with this name is a token.
pub(super) fn is_meta_token(name: &[u8]) -> bool {
    METAS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether the value of a hidden input with this name is a token.
pub(super) fn is_input_token(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let begins = INPUT_STARTS.iter().any(|start| name.starts_with(start));
    let ends = INPUT_ENDS.iter().any(|end| name.ends_with(end));
    INPUTS.contains(&name.as_slice()) || ends || (begins && name != VIEWSTATE_GENERATOR)
}

/// Joomla's token is the name of a hidden input, whose value is 1.
pub(super) fn is_token_name(name: &[u8], value: &[u8]) -> bool {
    value == b"1" && name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit)
}

/// Finds what is random in an id, or in a list of them, that begins at `offset` of the page.
///
/// Taken out are, between signs that are neither letters nor digits: a UUID; 16 or more hexadecimal digits (`hex` of
/// all languages, MD5, SHA); 13 that begin as a time of these decades (`uniqid` of PHP), both with letters among them;
/// and 8 behind a hyphen or an underscore (`SecureRandom.hex(4)` of Ruby, in the components of GOV.UK), letters and
/// decimal digits among them. Of the last ones every 43rd has no letter, and stays: it may be a number of a database.
pub(super) fn find_random(id: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    if id.len() < SHORT || !id.iter().any(u8::is_ascii_digit) {
        return;
    }
    let mut at = 0;
    while at < id.len() {
        if !id[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        let start = at;
        let length = id[at..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric())
            .count();
        at += length;
        if let Some(end) = random_end(id, start, at) {
            at = end;
            volatile.push(Span {
                start: offset + start,
                end: offset + end,
            });
        }
    }
}

/// Whether any of it is, and it is no address.
pub(super) fn is_partly_random(id: &[u8]) -> bool {
    if id.len() < SHORT || id.iter().any(|byte| matches!(byte, b'/' | b'?' | b':')) {
        return false;
    }
    let mut found = Vec::new();
    find_random(id, 0, &mut found);
    !found.is_empty()
}

const SHORT: usize = 8;
const UNIQID: usize = 13;
const LONG: usize = 16;

/// Where the random part ends that begins with this run of letters and digits.
fn random_end(id: &[u8], start: usize, end: usize) -> Option<usize> {
    let run = &id[start..end];
    if !run.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let is_mixed = run.iter().any(u8::is_ascii_digit) && !run.iter().all(u8::is_ascii_digit);
    let is_random = match run.len() {
        SHORT => {
            if let Some(end) = uuid_end(id, start) {
                return Some(end);
            }
            let is_behind = start > 0 && matches!(id[start - 1], b'-' | b'_');
            is_behind && is_mixed
        }
        UNIQID => is_mixed && matches!(run[0], b'4'..=b'7'),
        length => length >= LONG && is_mixed,
    };
    is_random.then_some(end)
}

/// `8-4-4-4-12` hexadecimal digits, which nothing follows.
fn uuid_end(id: &[u8], start: usize) -> Option<usize> {
    const PARTS: [usize; 4] = [4, 4, 4, 12];
    let mut at = start + SHORT;
    for part in PARTS {
        let separator = id.get(at)?;
        let digits = id.get(at + 1..at + 1 + part)?;
        if !matches!(separator, b'-' | b'_') || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        at += 1 + part;
    }
    let is_end = !id.get(at).is_some_and(u8::is_ascii_alphanumeric);
    is_end.then_some(at)
}

/// The id that Drupal's views give themselves in a class: `js-view-dom-id-` and the hash of a time and a random number.
pub(super) fn find_view_id(class: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    const MARK: &[u8] = b"view-dom-id-";
    if let Some(mark) = memmem::find(class, MARK) {
        let start = mark + MARK.len();
        let length = class[start..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        if length >= LONG {
            volatile.push(Span {
                start: offset + start,
                end: offset + start + length,
            });
        }
    }
}

/// The shortest class with such an id in it.
pub(super) const VIEW_CLASS_BYTES_MIN: usize = "view-dom-id-".len() + LONG;

/// Cloudflare's Rocket Loader gives the types of scripts a number for each answer: `0123456789abcdef01234567-module`.
pub(super) fn find_script_number(kind: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    const DIGITS: usize = 24;
    let is_number = kind
        .get(..DIGITS)
        .is_some_and(|start| start.iter().all(u8::is_ascii_hexdigit));
    if is_number && kind.get(DIGITS) == Some(&b'-') {
        volatile.push(Span {
            start: offset,
            end: offset + DIGITS,
        });
    }
}

/// Tokens that inline scripts and the JSON in them hold: those of CSRF by their usual keys, nonces of WordPress (ten
/// hexadecimal digits), ids of Drupal's views, and what Cloudflare puts into every page (`__CF$cv$params`, `rayId`).
static SCRIPT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?-u)["'](?:[\w.-]*[nN]once["']\s*:\s*["'](?<nonce>[0-9a-f]{10})["']"#,
        r#"|(?:_?csrf|_?csrf[._-]?[tT]oken|CSRF_TOKEN|__RequestVerificationToken|authenticity_token)["']\s*:\s*["'](?<csrf>[^"'\\<>\s]{8,256})["'])"#,
        r#"|view(?:s)?_dom_id(?::|":")(?<view>[0-9a-f]{32,64})"#,
        r#"|__CF\$cv\$params\s*=\s*\{(?<cloudflare>[^{}]{1,256})\}"#,
    ))
    .expect("it is tested")
});

/// The keys without which a script has none of them.
const SCRIPT_WORDS: [&[u8]; 5] = [
    b"once",
    b"csrf",
    b"CSRF_TOKEN",
    b"dom_id",
    b"__CF$cv$params",
];

/// Keys of ASP.NET and Rails, which have none of these words in them.
const SCRIPT_KEYS: [&[u8]; 2] = [b"__RequestVerificationToken", b"authenticity_token"];

/// Whether an inline script of this type is a program or data; others are texts that a program reads, templates
/// among them. Rocket Loader's number may stand before a type.
pub(super) fn is_script_type(kind: &[u8]) -> bool {
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii().to_ascii_lowercase();
    let kind = match kind.get(24) {
        Some(b'-') if kind[..24].iter().all(u8::is_ascii_hexdigit) => &kind[25..],
        _ => &kind[..],
    };
    matches!(kind, b"" | b"module")
        || kind.ends_with(b"javascript")
        || kind.ends_with(b"ecmascript")
        || kind.ends_with(b"/json")
        || kind.ends_with(b"+json")
}

/// What Livewire keeps of a component in `wire:snapshot` and `wire:initial-data`: its number and its signature, which
/// is the last of all. The rest is data.
static LIVEWIRE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"(?-u)(?:"|&quot;|&#0?34;)(?:memo|fingerprint)(?:"|&quot;|&#0?34;):\{(?:"|&quot;|&#0?34;)id(?:"|&quot;|&#0?34;):(?:"|&quot;|&#0?34;)(?<id>[0-9A-Za-z]{16,64})(?:"|&quot;|&#0?34;)"#,
        r#"|(?:"|&quot;|&#0?34;)checksum(?:"|&quot;|&#0?34;):(?:"|&quot;|&#0?34;)(?<sum>[0-9a-f]{32,128})(?:"|&quot;|&#0?34;)\}{1,2}\s*$"#,
    ))
    .expect("it is tested")
});

/// Finds that in the value of such an attribute.
pub(super) fn find_in_livewire(value: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    for found in LIVEWIRE.captures_iter(value) {
        let part = found.name("id").or(found.name("sum"));
        volatile.extend(part.map(|part| Span {
            start: offset + part.start(),
            end: offset + part.end(),
        }));
    }
}

/// Finds the tokens in an inline script.
pub(super) fn find_in_script(script: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    let mut words = SCRIPT_WORDS.iter().chain(&SCRIPT_KEYS);
    if !words.any(|word| memmem::find(script, word).is_some()) {
        return;
    }
    for found in SCRIPT.captures_iter(script) {
        let groups = ["nonce", "csrf", "view", "cloudflare"];
        let token = groups.iter().find_map(|group| found.name(group));
        let token =
            token.filter(|token| found.name("csrf").is_none() || is_random_value(token.as_bytes()));
        volatile.extend(token.map(|token| Span {
            start: offset + token.start(),
            end: offset + token.end(),
        }));
    }
}

/// Cloudflare's beacon has the number of the request among constants.
pub(super) fn find_ray(beacon: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    const MARK: &[u8] = b"rayId";
    if let Some(mark) = memmem::find(beacon, MARK) {
        let rest = &beacon[mark + MARK.len()..];
        // In an attribute the quotes may be written as references.
        let is_gap = |byte: &&u8| b"\"'&quot;: ".contains(byte);
        let gap = rest.iter().take_while(is_gap).count();
        let length = rest[gap..]
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let start = offset + mark + MARK.len() + gap;
        volatile.push(Span {
            start,
            end: start + length,
        });
    }
}

/// A comment beyond this says more than when it was made.
const COMMENT_BYTES_MAX: usize = 2 << 10;

/// What MediaWiki says of its work lists every template.
const REPORT_BYTES_MAX: usize = 64 << 10;

const REPORTS: [&[u8]; 3] = [
    b"NewPP limit report",
    b"Transclusion expansion time report",
    b"Saved in ",
];

/// A time of day, with or without a zone.
macro_rules! time {
    () => {
        r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?(?: ?[ap]\.?m\b\.?)?(?: ?(?:Z|UTC|GMT|CES?T|BST|[ECMP][SD]T|[+-]\d{2}:?\d{2})\b)?"
    };
}

macro_rules! month {
    () => {
        r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
    };
}

/// A moment in the forms that programs write; seconds since 1970 among them.
macro_rules! moment {
    () => {
        concat!(
            r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:,?[T ]+(?:at )?",
            time!(),
            r")?",
            r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}(?:,?[T ]+(?:at )?",
            time!(),
            r")?",
            r"|\d{1,2}(?:st|nd|rd|th)?[ -]",
            month!(),
            r"[ ,-]+\d{2,4}(?:,? +(?:at )?",
            time!(),
            r")?",
            r"|",
            month!(),
            r" +\d{1,2}(?:st|nd|rd|th)?(?:,? +",
            time!(),
            r")?(?: [A-Z]{2,5})?,? +\d{4}(?:,? +(?:at )?",
            time!(),
            r")?",
            r"|20\d{12}\b|1\d{9}(?:\d{3}|\.\d+)?\b)",
        )
    };
}

/// What a comment says of the making of an answer. All of it in a case that does not matter.
static COMMENT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i-u)",
        // Who made it when: javadoc, WP Super Cache, W3 Total Cache, LiteSpeed, WP Rocket, Cache Enabler, TYPO3, sitemap
        // generators.
        r"\b(?:generated|rendered|cached?|served|built|compiled|produced|optimi[sz]ed|supported|minified|processed|expires)\b",
        r"[^<>\x00]{0,160}?(?<moment>(?:\b(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +)?", moment!(), r")",
        // How long it took, and what for.
        r"|\b(?:took|time|duration|elapsed|parsetime|seconds)\s*(?:usage)?\s*[:=]?\s*\d+(?:[.,]\d+)?(?:\s*(?:ms|msecs?|milliseconds?|s|secs?|seconds?)\b)?",
        r"|\b(?:in|within|after)\s+\d+(?:[.,]\d+)?\s*(?:ms|msecs?|milliseconds?|s|secs?|seconds?)\b",
        r"|\b\d+ (?:db |database |sql |mysql )?quer(?:y|ies)\b|\bqueries(?: for sitemap)?\s*[:=]\s*\d+",
        r"|\bmemory(?: usage| used| peak| for sitemap)?\s*[:=]?\s*\d+(?:[.,]\d+)?\s*(?:[kmg]i?b|bytes)?",
        r"|^\s*\d+(?:[.,]\d+)?\s*(?:ms|msecs?|milliseconds?|s|secs?|seconds?)\.?\s*$",
        // Which request, and which machine.
        r"|\b(?:request|req|trace|correlation|transaction|unique|varnish|ray|instance)[-_ ]?id\b\s*[:=#]?\s*[a-z0-9._-]*[0-9][a-z0-9._-]*",
        r"|\b(?:xid|cf-ray|x-varnish|varnish)\s*[:=#]\s*[a-f0-9][a-z0-9 -]*[0-9][a-z0-9-]*",
        r"|^\s*(?:page )?(?:served|rendered|generated|delivered|handled|processed) (?:by|from|on):? +(?:host |server |node |backend )?[\w.-]*\d[\w.-]*\s*$",
        r"|^\s*(?:server|host|hostname|node|backend|web ?server|instance|pod|machine|server ?name|upstream|container)\s*[:=#]\s*[\w.:-]+\s*$",
        // A moment and nothing else.
        r"|^\s*(?:timestamp|time|date|now)?\s*[:=]?\s*(?:\d{4}-\d{2}-\d{2}[T ]", time!(), r"|1\d{9}(?:\d{3}|\.\d+)?)\s*$",
    ))
    .expect("it is tested")
});

/// Finds what is volatile in a comment whose text, which ends before `-->`, begins at `offset` of the page. One with
/// markup in it is markup that somebody has put aside, and stays.
pub(super) fn find_in_comment(comment: &[u8], offset: usize, volatile: &mut Vec<Span>) {
    let said = comment.trim_ascii_start();
    // Knockout's bindings, server side includes, and edge side includes are code.
    let is_code = [&b"ko "[..], b"/ko", b"#", b"esi"]
        .iter()
        .any(|start| said.starts_with(start));
    if is_code {
        return;
    }
    let is_report = REPORTS.iter().any(|report| said.starts_with(report));
    if is_report && comment.len() <= REPORT_BYTES_MAX {
        volatile.push(Span {
            start: offset,
            end: offset + comment.len(),
        });
        return;
    }
    let is_small = comment.len() <= COMMENT_BYTES_MAX;
    let is_plain =
        || comment.iter().any(u8::is_ascii_digit) && memchr::memchr(b'<', comment).is_none();
    if is_small && is_plain() {
        for found in COMMENT.captures_iter(comment) {
            // Of what was made when, only that.
            let part = found.name("moment").or(found.get(0));
            volatile.extend(part.map(|part| Span {
                start: offset + part.start(),
                end: offset + part.end(),
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(id: &str) -> Vec<&str> {
        let mut volatile = Vec::new();
        find_random(id.as_bytes(), 0, &mut volatile);
        volatile
            .iter()
            .map(|span| &id[span.start..span.end])
            .collect()
    }

    #[test]
    fn ids_are_random_by_their_form_alone() {
        let rows: &[(&str, &[&str])] = &[
            ("search-main-7cd0a4c1", &["7cd0a4c1"]),
            ("accordion-f82dd33f-heading-1", &["f82dd33f"]),
            ("label-12345678", &[]),
            ("tab_9bd1ce7e tab_00c1e000", &["9bd1ce7e", "00c1e000"]),
            (
                "f47ac10b-58cc-4372-a567-0e02b2c3d479",
                &["f47ac10b-58cc-4372-a567-0e02b2c3d479"],
            ),
            (
                "x_f47ac10b_58cc_4372_a567_0e02b2c3d479_y",
                &["f47ac10b_58cc_4372_a567_0e02b2c3d479"],
            ),
            ("menu-65f1c2a3b4d5e", &["65f1c2a3b4d5e"]),
            (
                "d41d8cd98f00b204e9800998ecf8427e",
                &["d41d8cd98f00b204e9800998ecf8427e"],
            ),
            ("id5f3e9a7b6c2d1e0f", &[]),
            ("#panel-0a1b2c3d", &["0a1b2c3d"]),
            // What people write, and what stays as long as its page.
            ("report-20261121", &[]),
            ("r-21112026", &[]),
            ("item-00012345", &[]),
            ("section-deadbeef", &[]),
            ("3f4a2b1c", &[]),
            ("s-3f4a2b1", &[]),
            ("isbn-9783161484100", &[]),
            ("ean-4006381333931", &[]),
            ("call-01632960961", &[]),
            ("n-1234567890123456", &[]),
            ("introduction", &[]),
            ("java.lang.String-int-int-", &[]),
            ("", &[]),
        ];
        for (id, expected) in rows {
            assert_eq!(random(id), *expected, "{id}");
        }
    }

    #[test]
    fn tokens_of_forms_have_names() {
        for name in [
            "form_build_id",
            "__VIEWSTATE",
            "__VIEWSTATE12",
            "contact[_token]",
            "woocommerce-login-nonce",
            "_wpnonce",
            "_csrf-frontend",
            "javax.faces.ViewState",
        ] {
            assert!(is_input_token(name.as_bytes()), "{name}");
        }
        for name in [
            "__VIEWSTATEGENERATOR",
            "form_id",
            "token",
            "announce",
            "csrf_param",
            "op",
            "",
        ] {
            assert!(!is_input_token(name.as_bytes()), "{name}");
        }
        assert!(is_meta_token(b"CSP-Nonce") && !is_meta_token(b"csrf-param"));
        assert!(INPUTS.iter().all(|name| name.to_ascii_lowercase() == *name));
        assert!(is_token_name(b"0123456789abcdef0123456789abcdef", b"1"));
        assert!(!is_token_name(b"0123456789abcdef0123456789abcdef", b"2"));
    }

    fn said(comment: &str) -> Vec<&str> {
        let mut volatile = Vec::new();
        find_in_comment(comment.as_bytes(), 0, &mut volatile);
        volatile
            .iter()
            .map(|span| &comment[span.start..span.end])
            .collect()
    }

    // long: a table
    #[test]
    fn comments_are_volatile_where_they_tell_of_the_answer() {
        // What real software writes, each with what is taken out of it.
        let rows: &[(&str, &[&str])] = &[
            (
                " Generated by javadoc (17) on Tue Jan 02 03:04:05 UTC 2024 ",
                &["Tue Jan 02 03:04:05 UTC 2024"],
            ),
            (" Page generated in 0.12 s ", &["in 0.12 s"]),
            (
                " Dynamic page generated in 0.345 seconds. ",
                &["in 0.345 seconds"],
            ),
            (
                " Cached page generated by WP-Super-Cache on 2026-11-21 19:54:17 ",
                &["2026-11-21 19:54:17"],
            ),
            (
                "\nServed from: www.example.org @ 2026-11-21 19:54:17 by W3 Total Cache\n",
                &["2026-11-21 19:54:17"],
            ),
            (
                " This website is like a Rocket, isn't it? - Debug: cached@1712345678 ",
                &["1712345678"],
            ),
            (
                " Page supported by LiteSpeed Cache 6.1 on 2026-11-21 19:54:17 ",
                &["2026-11-21 19:54:17"],
            ),
            (
                " Cache Enabler by KeyCDN @ Sat, 21 Nov 2026 19:54:17 GMT (https-index.html.gz) ",
                &["Sat, 21 Nov 2026 19:54:17 GMT"],
            ),
            (
                " Cached page generated 02-01-26 03:04. Expires 03-01-26 03:04 ",
                &["02-01-26 03:04", "03-01-26 03:04"],
            ),
            (" Parsetime: 0ms ", &["Parsetime: 0ms"]),
            (
                " 52 queries in 0.345 seconds. ",
                &["52 queries", "in 0.345 seconds"],
            ),
            (" 0.0123s ", &[" 0.0123s "]),
            (
                " generated-on=\"January 2, 2026 3:04 am\" ",
                &["January 2, 2026 3:04 am"],
            ),
            (
                "\nNewPP limit report\nCached time: 20260102030405\n",
                &["\nNewPP limit report\nCached time: 20260102030405\n"],
            ),
            (" X-Request-ID: 7f9c-12ab ", &["Request-ID: 7f9c-12ab"]),
            (" Varnish: 32770 98311 ", &["Varnish: 32770 98311"]),
            (
                " served by web-07.example.org ",
                &[" served by web-07.example.org "],
            ),
            (" server: alpha2 ", &[" server: alpha2 "]),
            (" 2026-11-21T19:54:17Z ", &[" 2026-11-21T19:54:17Z "]),
            (" 1795290857 ", &[" 1795290857 "]),
            // What people write, and what tells nothing of the answer.
            (" ======== METHOD SUMMARY ======== ", &[]),
            (" Generated by Hugo 0.120.1 ", &[]),
            (" Last modified: 2026-01-02 ", &[]),
            (" 3 columns from here on ", &[]),
            (" as decided in 2024 ", &[]),
            (" price raised on 1 March ", &[]),
            (" Google Tag Manager 2 ", &[]),
            (" ticket 1234567 ", &[]),
            (" <p>Page generated in 0.12 s</p> ", &[]),
            (" ko if: cached 2026-01-02 ", &[]),
            (" /ko 1795290857 ", &[]),
            ("esi took 12 ms ", &[]),
            ("#echo var=\"cached 2026-01-02\" ", &[]),
            ("#include virtual=\"/a1.html\" ", &[]),
            (" host7 ", &[]),
            ("", &[]),
        ];
        for (comment, expected) in rows {
            assert_eq!(said(comment), *expected, "{comment}");
        }
    }

    #[test]
    fn tokens_in_scripts_are_found_by_their_keys() {
        let rows: &[(&str, &[&str])] = &[
            (
                r#"var a = {"ajax_url":"\/x","nonce":"a1b2c3d4e5"};"#,
                &["a1b2c3d4e5"],
            ),
            (r#"{"rest_nonce": "0123456789"}"#, &["0123456789"]),
            (
                r#"{"csrf.token":"0123456789abcdef"}"#,
                &["0123456789abcdef"],
            ),
            (
                r#"{'csrfToken': 'aB3defghZ9xk1w=='}"#,
                &["aB3defghZ9xk1w=="],
            ),
            (r#"{"csrf":"disabled"}"#, &[]),
            (r#"{"csrf":"disabled-for-guests-2"}"#, &[]),
            (
                r#"{"views_dom_id:0123456789abcdef0123456789abcdef":{"view_dom_id":"0123456789abcdef0123456789abcdef"}}"#,
                &[
                    "0123456789abcdef0123456789abcdef",
                    "0123456789abcdef0123456789abcdef",
                ],
            ),
            (
                "window.__CF$cv$params={r:'8f1',t:'MTcz'};",
                &["r:'8f1',t:'MTcz'"],
            ),
            (r#"{"nonce":"a1b2"}"#, &[]),
            (r#"{"csrfParam":"authenticity_token"}"#, &[]),
            ("f(nonce)", &[]),
        ];
        for (script, expected) in rows {
            let mut volatile = Vec::new();
            find_in_script(script.as_bytes(), 0, &mut volatile);
            let found: Vec<&str> = volatile
                .iter()
                .map(|span| &script[span.start..span.end])
                .collect();
            assert_eq!(found, *expected, "{script}");
        }
    }

    #[test]
    fn a_token_is_known_by_its_name_and_by_its_look() {
        // Promise: a value that somebody has written stays, whatever its name.
        let rows = [
            ("csrf_token", "0123456789abcdef0123456789abcdef", true),
            ("_token", "kQ8x-ZB2u_7Rw1yPq0TtYb9n", true),
            ("_token", "aGVsbG8gd29ybGQK+/ab==", true),
            ("request-id", "A1B2:3C4D5E:6F7A8B:9C0D1E:65F1C2A3", true),
            ("_wpnonce", "a1b2c3d4e5", true),
            ("_token", "a1b2c3d4e5", false),
            ("_wpnonce", "1.99", false),
            ("securityid", "12345678901234567890", false),
            ("form_key", "checkout-step-2-shipping", false),
            ("form_token", "thisIsALongFieldName", false),
            ("form_token", "release-2026-edition", false),
            ("form_token", "price of 0123456789abcdef", false),
            ("csrf", "disabled", false),
        ];
        for (name, value, expected) in rows {
            assert_eq!(
                is_token(name.as_bytes(), value.as_bytes()),
                expected,
                "{name} {value}"
            );
        }
        for kind in [
            "",
            "module",
            "text/javascript; x",
            "application/ld+json",
            "0123456789abcdef01234567-text/javascript",
        ] {
            assert!(is_script_type(kind.as_bytes()), "{kind}");
        }
        for kind in ["text/template", "text/x-handlebars", "text/html"] {
            assert!(!is_script_type(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn of_livewire_only_number_and_signature_are_taken() {
        let sum = "0123456789abcdef0123456789abcdef";
        let id = "aB3dEf6hIj9kLm2nOp5q";
        let value = format!(
            r#"{{"data":{{"price":10,"checksum":"{sum}"}},"memo":{{"id":"{id}","name":"cart"}},"checksum":"{sum}"}}"#
        );
        for value in [value.replace('"', "&quot;"), value] {
            let mut found = Vec::new();
            find_in_livewire(value.as_bytes(), 0, &mut found);
            let found: Vec<&str> = found
                .iter()
                .map(|span| &value[span.start..span.end])
                .collect();
            assert_eq!(found, [id, sum]);
        }
    }
}
