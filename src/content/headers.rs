//! Which headers of an answer belong to the page and are kept with it.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize};

use super::rules::{BuiltIn, CanonicalRules};

/// The names of the headers that are kept, in lower case and sorted. `last-modified` and `etag` are
/// not among them: they are validators of the origin's answer and live in the entry.
pub const KEPT: &[&str] = &[
    "access-control-allow-origin",
    "cache-control",
    "content-disposition",
    "content-language",
    "content-security-policy",
    "content-security-policy-report-only",
    "content-type",
    "expires",
    "link",
    "permissions-policy",
    "referrer-policy",
    "strict-transport-security",
    "vary",
    "x-content-type-options",
    "x-frame-options",
    "x-robots-tag",
];

/// Headers that are never kept, whoever asks for it, with the reason. In lower case.
const NEVER: &[(&str, &str)] = &[
    ("connection", OF_A_CONNECTION),
    ("keep-alive", OF_A_CONNECTION),
    ("proxy-connection", OF_A_CONNECTION),
    ("te", OF_A_CONNECTION),
    ("trailer", OF_A_CONNECTION),
    ("transfer-encoding", OF_A_CONNECTION),
    ("upgrade", OF_A_CONNECTION),
    ("accept-ranges", OF_THE_SENDING),
    ("content-digest", OF_THE_SENDING),
    ("content-encoding", OF_THE_SENDING),
    ("content-length", OF_THE_SENDING),
    ("content-md5", OF_THE_SENDING),
    ("content-range", OF_THE_SENDING),
    ("digest", OF_THE_SENDING),
    ("repr-digest", OF_THE_SENDING),
    ("age", OF_THE_MOMENT),
    ("date", OF_THE_MOMENT),
    ("retry-after", OF_THE_MOMENT),
    ("etag", "the manifest keeps the origin's validators"),
    (
        "last-modified",
        "the manifest keeps the origin's validators",
    ),
    ("location", "the target of a redirect is kept in any case"),
    ("authentication-info", OF_ONE_VISITOR),
    ("authorization", OF_ONE_VISITOR),
    ("clear-site-data", OF_ONE_VISITOR),
    ("cookie", OF_ONE_VISITOR),
    ("proxy-authenticate", OF_ONE_VISITOR),
    ("proxy-authentication-info", OF_ONE_VISITOR),
    ("proxy-authorization", OF_ONE_VISITOR),
    ("set-cookie", OF_ONE_VISITOR),
    ("set-cookie2", OF_ONE_VISITOR),
    ("www-authenticate", OF_ONE_VISITOR),
];

const OF_A_CONNECTION: &str = "it is about one connection, not about the page";
const OF_THE_SENDING: &str = "it says how a body was sent, and each tier sends it in its own way";
const OF_THE_MOMENT: &str = "it is about the moment of the answer, not about the page";
const OF_ONE_VISITOR: &str = "it is meant for one visitor, and a mirror serves all of them";

/// Why a header (its name in lower case) cannot be kept; `None` when it can.
pub fn never_kept(name: &str) -> Option<&'static str> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        return Some("it is no header name");
    }
    let found = NEVER.iter().find(|(never, _)| *never == name);
    found.map(|(_, reason)| *reason)
}

/// The kept headers of one answer: pairs of lower-case name and value, sorted by name; of several
/// with one name, the order is the answer's. Serialised as a list of pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeptHeaders(Vec<(String, String)>);

impl KeptHeaders {
    /// Keeps what [`KEPT`] names; values are trimmed, and bytes that are not UTF-8 are
    /// read as ISO-8859-1.
    pub fn keep<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> KeptHeaders {
        KeptHeaders::keep_also(&[], headers)
    }

    /// As [`KeptHeaders::keep`], and keeps the names in `also` (in lower case) beside them.
    pub fn keep_also<'a>(
        also: &[String],
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> KeptHeaders {
        KeptHeaders::filtered(headers, |name| also.iter().any(|other| other == name))
    }

    /// What was kept once, read back: which names a configuration asks for today does not matter then.
    /// What nobody could have kept is left out.
    pub fn stored<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> KeptHeaders {
        KeptHeaders::filtered(headers, |_| true)
    }

    fn filtered<'a>(
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
        is_asked_for: impl Fn(&str) -> bool,
    ) -> KeptHeaders {
        let mut kept = Vec::new();
        for (name, value) in headers {
            // HTTP clients and our own records have them in lower case already.
            let name = match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
                true => Cow::Owned(name.to_ascii_lowercase()),
                false => Cow::Borrowed(name),
            };
            // The list first, of which nearly all are: every entry that is read passes here.
            let is_kept = KEPT.binary_search(&&*name).is_ok()
                || (is_asked_for(&name) && never_kept(&name).is_none());
            if is_kept {
                kept.push((name.into_owned(), text_of(value.trim_ascii())));
            }
        }
        kept.sort_by(|one, other| one.0.cmp(&other.0));
        KeptHeaders(kept)
    }

    /// With the mirror's own caching policy, where it has one, in the place of what the origin said about
    /// it: an absolute date in `Expires` would contradict it sooner or later.
    pub fn with_cache_control(mut self, policy: Option<&str>) -> KeptHeaders {
        if let Some(policy) = policy {
            self.0
                .retain(|(name, _)| name != "cache-control" && name != "expires");
            self.0.push(("cache-control".into(), policy.to_owned()));
            self.0.sort_by(|one, other| one.0.cmp(&other.0));
        }
        self
    }

    /// The first value of the header with this lower-case name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(kept, _)| *kept == name)
            .map(|(_, value)| value)
    }

    /// All values of the header with this lower-case name, in the answer's order: `link` and others may come repeatedly.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.iter().filter(move |(kept, _)| *kept == name);
        of_name.map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The headers in the form in which those of two answers are compared. Only for comparing; what is stored keeps
    /// the page's own.
    ///
    /// Left out are the nonces of a content security policy, and the headers that the rules name. From the second
    /// version of the built-in rules on also the nonces of links, and the moment at which an answer expires: a server
    /// that says "in an hour" says another one in every answer.
    pub fn canonical(&self, rules: &CanonicalRules) -> KeptHeaders {
        let is_first = rules.built_in == BuiltIn::First;
        let named = &rules.declared().headers;
        let compared = self.iter().filter(|(name, _)| {
            let is_named = |other: &String| other == name;
            !named.iter().any(is_named)
        });
        let canonical = |(name, value): (&str, &str)| {
            let value = match name {
                _ if name.starts_with("content-security-policy") => without_nonces(value),
                "link" if !is_first => without_link_nonces(value),
                "expires" if !is_first => without_moment(value),
                _ => value.to_owned(),
            };
            (name.to_owned(), value)
        };
        KeptHeaders(compared.map(canonical).collect())
    }

    pub fn content_type(&self) -> Option<&str> {
        self.get("content-type")
    }
}

/// Reading goes through [`KeptHeaders::stored`], so that the order holds for what others wrote too, and
/// nothing comes back that must not be served.
impl<'de> Deserialize<'de> for KeptHeaders {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<KeptHeaders, D::Error> {
        let pairs = Vec::<(String, String)>::deserialize(input)?;
        Ok(KeptHeaders::stored(
            pairs
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes())),
        ))
    }
}

/// Bytes that are not UTF-8 are read as ISO-8859-1, which is what HTTP headers once were and what servers
/// of that time still send: nothing is lost.
fn text_of(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// `'nonce-…'` becomes `'nonce-'`. A source without its closing quote is left as it is.
fn without_nonces(policy: &str) -> String {
    const MARK: &str = "'nonce-";
    let mut canonical = String::with_capacity(policy.len());
    let mut rest = policy;
    while let Some(quote) = rest.find('\'') {
        let (before, source) = rest.split_at(quote);
        canonical.push_str(before);
        let end = source[1..]
            .find('\'')
            .map_or(source.len(), |length| length + 2);
        let is_nonce = source
            .get(..MARK.len())
            .is_some_and(|mark| mark.eq_ignore_ascii_case(MARK));
        if is_nonce && source[..end].len() > MARK.len() && source[..end].ends_with('\'') {
            canonical.push_str(&source[..MARK.len()]);
            canonical.push('\'');
        } else {
            canonical.push_str(&source[..end]);
        }
        rest = &source[end..];
    }
    canonical.push_str(rest);
    canonical
}

/// `; nonce=abc` and `; nonce="abc"` of links become `; nonce=`. What stands in `<…>` or in another quoted text is
/// left as it is.
fn without_link_nonces(links: &str) -> String {
    let mut canonical = String::with_capacity(links.len());
    let mut rest = links;
    // Up to the next sign that means something here: the start of a target, a text, or a parameter.
    while let Some(at) = rest.find(['<', '"', ';']) {
        let (before, from) = rest.split_at(at);
        canonical.push_str(before);
        let length = match from.as_bytes()[0] {
            b'<' => enclosed(from, '>'),
            b'"' => enclosed(from, '"'),
            _ => match nonce_parameter(from) {
                Some((name, length)) => {
                    canonical.push_str(&from[..name]);
                    rest = &from[length..];
                    continue;
                }
                None => 1,
            },
        };
        canonical.push_str(&from[..length]);
        rest = &from[length..];
    }
    canonical.push_str(rest);
    canonical
}

/// The length of a text that begins with one sign and ends with `close`, both included; all of it where that is
/// missing.
fn enclosed(text: &str, close: char) -> usize {
    text[1..]
        .find(close)
        .map_or(text.len(), |length| length + 2)
}

/// Of `; nonce=value` the length of what stands before the value, and of all of it.
fn nonce_parameter(text: &str) -> Option<(usize, usize)> {
    let name = text[1..].trim_start();
    let rest = name
        .get(5..)
        .filter(|_| name[..5].eq_ignore_ascii_case("nonce"))?;
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    let length = match value.starts_with('"') {
        true => enclosed(value, '"'),
        false => value.find([';', ',', ' ', '\t']).unwrap_or(value.len()),
    };
    let start = text.len() - value.len();
    Some((start, start + length))
}

/// A date becomes nothing. What is no date, such as `0`, and one long past, such as `Thu, 01 Jan 1970` or
/// `Sat, 01 Jan 2000`, says "never keep this" and stays: no answer that is recorded was made before this program was.
fn without_moment(value: &str) -> String {
    // 2025-01-01, in seconds since 1970.
    const LONG_PAST: Duration = Duration::from_secs(1_735_689_600);
    let moment = httpdate::parse_http_date(value).ok();
    match moment.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()) {
        Some(moment) if moment >= LONG_PAST => String::new(),
        _ => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::DeclaredRules;
    use super::*;

    fn keep(headers: &[(&str, &str)]) -> KeptHeaders {
        KeptHeaders::keep(
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
        )
    }

    #[test]
    fn only_the_listed_headers_are_kept_sorted_and_in_lower_case() {
        // The list is searched by halves, so it has to be sorted itself.
        assert!(KEPT.is_sorted());
        let kept = keep(&[
            ("Vary", " Accept "),
            ("Set-Cookie", "secret"),
            ("Last-Modified", "yesterday"),
            ("Link", "</b>"),
            ("Content-Type", "text/html"),
            ("link", "</a>"),
        ]);
        let expected = [
            ("content-type", "text/html"),
            ("link", "</b>"),
            ("link", "</a>"),
            ("vary", "Accept"),
        ];
        assert_eq!(kept.iter().collect::<Vec<_>>(), expected);
        assert_eq!(kept.get("link"), Some("</b>"));
        assert_eq!(kept.content_type(), Some("text/html"));
        let latin = KeptHeaders::keep([("Content-Language", &b"d\xe9"[..])].into_iter());
        assert_eq!(latin.get("content-language"), Some("d\u{e9}"));
    }

    #[test]
    fn names_asked_for_are_kept_beside_the_list_and_come_back() {
        // Promise: what a configuration asked for once is stored and read back, whatever it asks for
        // today; a header that must not be served is neither kept nor read back.
        let also = ["x-example".to_owned(), "set-cookie".to_owned()];
        let answer = [
            ("X-Example", &b"1"[..]),
            ("Set-Cookie", b"secret"),
            ("X-Other", b"2"),
            ("Vary", b"Accept"),
        ];
        let kept = KeptHeaders::keep_also(&also, answer.into_iter());
        let expected = [("vary", "Accept"), ("x-example", "1")];
        assert_eq!(kept.iter().collect::<Vec<_>>(), expected);
        let bytes = postcard::to_stdvec(&kept).unwrap();
        assert_eq!(postcard::from_bytes::<KeptHeaders>(&bytes).unwrap(), kept);
        let foreign = r#"[["x-Example","1"],["set-cookie","x"],["a b","x"],["vary","Accept"]]"#;
        assert_eq!(serde_json::from_str::<KeptHeaders>(foreign).unwrap(), kept);
        assert!(KEPT.iter().all(|name| never_kept(name).is_none()));
    }

    #[test]
    fn a_policy_stands_in_the_place_of_what_the_origin_said() {
        // Promise: with a policy, and only then, nothing of the origin's own caching is left.
        let sent = keep(&[
            ("cache-control", "no-store"),
            ("cache-control", "private"),
            ("content-type", "text/css"),
            ("expires", "0"),
            ("vary", "Accept"),
        ]);
        assert_eq!(sent.clone().with_cache_control(None), sent);
        let expected = keep(&[
            ("vary", "Accept"),
            ("cache-control", "max-age=900"),
            ("content-type", "text/css"),
        ]);
        let replaced = sent.with_cache_control(Some("max-age=900"));
        assert_eq!(replaced, expected);
        assert_eq!(
            replaced.clone().with_cache_control(Some("max-age=900")),
            replaced
        );
    }

    /// The rules before there were versions.
    fn first() -> CanonicalRules {
        CanonicalRules::from_lines(&[]).unwrap()
    }

    #[test]
    fn what_every_answer_says_anew_is_not_compared_and_was_under_the_first_rules() {
        // Each row is a header as sent and in canonical form.
        let rows = [
            (
                "link",
                "</a.js>; rel=preload; nonce=abc",
                "</a.js>; rel=preload; nonce=",
            ),
            (
                "link",
                "</a>;nonce=\"x;y\";as=script, </b>; NONCE = q , </c>",
                "</a>;nonce=;as=script, </b>; NONCE =  , </c>",
            ),
            (
                "link",
                "</;nonce=a>; title=\"; nonce=b\"",
                "</;nonce=a>; title=\"; nonce=b\"",
            ),
            ("link", "</a>; nonce", "</a>; nonce"),
            (
                "link",
                "</a>; \u{e9}nonce=a; nonced=b",
                "</a>; \u{e9}nonce=a; nonced=b",
            ),
            ("link", "</a", "</a"),
            (
                "expires",
                "Sat, 01 Jan 2000 00:00:00 GMT",
                "Sat, 01 Jan 2000 00:00:00 GMT",
            ),
            ("expires", "Sat, 21 Nov 2026 19:54:17 GMT", ""),
            (
                "expires",
                "Thu, 01 Jan 1970 00:00:00 GMT",
                "Thu, 01 Jan 1970 00:00:00 GMT",
            ),
            ("expires", "0", "0"),
            ("cache-control", "max-age=60", "max-age=60"),
        ];
        for (name, sent, canonical) in rows {
            let sent = keep(&[(name, sent)]);
            let compared = sent.canonical(&CanonicalRules::default());
            assert_eq!(compared, keep(&[(name, canonical)]), "{sent:?}");
            assert_eq!(sent.canonical(&first()), sent);
        }
    }

    #[test]
    fn headers_that_the_rules_name_compare_as_if_absent() {
        let declared = DeclaredRules {
            headers: vec!["Vary".into()],
            ..DeclaredRules::default()
        };
        let rules = CanonicalRules::new(&declared).unwrap();
        let sent = keep(&[("vary", "Accept"), ("content-type", "text/html")]);
        let expected = keep(&[("content-type", "text/html")]);
        assert_eq!(sent.canonical(&rules), expected);
    }

    #[test]
    fn policies_are_compared_without_their_nonces() {
        // Each row is a policy as sent and in canonical form.
        let rows = [
            (
                "script-src 'nonce-abc' 'self'",
                "script-src 'nonce-' 'self'",
            ),
            (
                "a 'self' 'NONCE-x' 'nonce-y'; b",
                "a 'self' 'NONCE-' 'nonce-'; b",
            ),
            ("a 'sha256-abc'", "a 'sha256-abc'"),
            ("a 'nonce-abc", "a 'nonce-abc"),
            ("a 'nonce-", "a 'nonce-"),
            ("a 'nonce-'", "a 'nonce-'"),
            (
                "a '\u{e9}\u{e9}\u{e9}\u{e9}' '",
                "a '\u{e9}\u{e9}\u{e9}\u{e9}' '",
            ),
            ("", ""),
        ];
        for (sent, canonical) in rows {
            for name in [
                "content-security-policy",
                "content-security-policy-report-only",
            ] {
                for rules in [CanonicalRules::default(), first()] {
                    let compared = keep(&[(name, sent)]).canonical(&rules);
                    assert_eq!(compared, keep(&[(name, canonical)]), "{sent}");
                }
            }
            let link = keep(&[("link", sent)]);
            assert_eq!(link.canonical(&first()), link, "{sent}");
        }
    }

    #[test]
    fn headers_read_back_as_a_list_of_pairs_through_the_same_rules() {
        let kept = keep(&[("vary", "Accept"), ("content-type", "text/css")]);
        let json = serde_json::to_string(&kept).unwrap();
        assert_eq!(json, r#"[["content-type","text/css"],["vary","Accept"]]"#);
        assert_eq!(serde_json::from_str::<KeptHeaders>(&json).unwrap(), kept);
        let bytes = postcard::to_stdvec(&kept).unwrap();
        assert_eq!(postcard::from_bytes::<KeptHeaders>(&bytes).unwrap(), kept);
        let foreign = r#"[["vary","Accept"],["set-cookie","x"],["Content-Type","text/css"]]"#;
        assert_eq!(serde_json::from_str::<KeptHeaders>(foreign).unwrap(), kept);
    }
}
