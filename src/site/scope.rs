//! The scope: which URLs belong to the mirror, and in which spelling.
//!
//! A URL is admitted if its host is listed and no `deny` pattern matches it. Before the patterns
//! see it, it gets its host's scheme, loses the query parameters that are not kept, and has the others sorted by
//! name, so that one page is judged, stored and denied under one URL only.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use percent_encoding::percent_decode;
use regex::RegexSet;
use serde::{Deserialize, Serialize};

use super::url::{PageUrl, Scheme, UrlError};

/// The rules as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRules {
    /// `host` for its ports 80 and 443, or `host:port` for that port alone.
    pub hosts: Vec<String>,
    /// The scheme under which the pages of a host are known; keys in the form of `hosts`.
    pub identity: BTreeMap<String, Scheme>,
    /// The scheme of hosts that `identity` does not name.
    pub identity_default: Scheme,
    /// Regular expressions; a URL that one of them matches anywhere is outside.
    pub deny: Vec<String>,
    /// Names of the query parameters that are kept, decoded; `None` keeps all.
    pub query: Option<Vec<String>>,
}

/// Compiled [`ScopeRules`].
#[derive(Clone, Debug)]
pub struct Scope {
    /// By host, since a crawl asks for every link.
    hosts: HashMap<String, Vec<ListedHost>>,
    deny: RegexSet,
    query: Option<Vec<String>>,
}

/// What became of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Inside; in the spelling under which the mirror knows the page.
    Page(PageUrl),
    Outside(Rule),
}

/// The rule that decided about a URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// `host` is the URL's authority: its port may be what is not listed.
    HostNotListed {
        host: String,
    },
    Denied {
        pattern: String,
    },
    /// Inside; `host` is the entry of `hosts`.
    Listed {
        host: String,
    },
}

/// Why rules make no scope. Messages have one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error(
        "`{entry}` is no host: {reason}; write it like `www.your.site` or `www.your.site:8080`"
    )]
    Host { entry: String, reason: String },
    #[error("`{pattern}` in `deny` is no regular expression: {reason}")]
    Deny { pattern: String, reason: String },
    #[error("the patterns in `deny` are too large together: {reason}")]
    DenyTogether { reason: String },
}

#[derive(Clone, Debug)]
struct ListedHost {
    entry: HostEntry,
    identity: Scheme,
}

/// An entry of `hosts` or `asset_hosts`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HostEntry {
    /// As [`PageUrl::host`] gives it.
    host: String,
    /// `None` for both 80 and 443.
    port: Option<u16>,
}

impl Scope {
    pub fn new(rules: ScopeRules) -> Result<Scope, ScopeError> {
        let mut identity = BTreeMap::new();
        for (entry, scheme) in &rules.identity {
            identity.insert(HostEntry::parse(entry)?, *scheme);
        }
        let mut hosts: HashMap<String, Vec<ListedHost>> = HashMap::new();
        for entry in &rules.hosts {
            let entry = HostEntry::parse(entry)?;
            let named = identity
                .get(&entry)
                .or_else(|| identity.get(&entry.without_port()?));
            let identity = *named.unwrap_or(&rules.identity_default);
            let listed = hosts.entry(entry.host.clone()).or_default();
            listed.push(ListedHost { entry, identity });
            // Without a port first: the usual ports then count as one page's.
            listed.sort_by_key(|listed| listed.entry.port);
        }
        Ok(Scope {
            hosts,
            deny: compiled(&rules.deny)?,
            query: rules.query,
        })
    }

    /// Decides about a URL and gives it the spelling of its page. Admitting what was admitted
    /// changes nothing.
    pub fn admit(&self, url: PageUrl) -> Admission {
        match self.judged(url) {
            (page, Rule::Listed { .. }) => Admission::Page(page),
            (_, rule) => Admission::Outside(rule),
        }
    }

    /// The rule by which [`Scope::admit`] decides.
    pub fn explain(&self, url: &PageUrl) -> Rule {
        self.judged(url.clone()).1
    }

    /// Whether `hosts` names this very host and it is an IP address or `localhost`, so that its
    /// being loopback or private is wanted. A name never permits the private address that it may
    /// resolve to. IPv6 addresses with or without brackets.
    pub fn permits_private(&self, host: &str) -> bool {
        // As URLs have it, for every request of a crawl; any other spelling is worked out.
        if self.hosts.contains_key(host) {
            return is_literal(host);
        }
        let Ok(entry) = HostEntry::parse(host) else {
            return false;
        };
        is_literal(&entry.host) && self.hosts.contains_key(&entry.host)
    }

    fn judged(&self, url: PageUrl) -> (PageUrl, Rule) {
        let listed = self
            .hosts
            .get(url.host())
            .and_then(|listed| listed.iter().find(|listed| listed.entry.covers(&url)));
        let Some(listed) = listed else {
            let host = url.authority().to_owned();
            return (url, Rule::HostNotListed { host });
        };
        let url = listed.identified(url);
        let url = self.filtered(url);
        if let Some(index) = self.deny.matches(url.as_str()).iter().next() {
            let pattern = self.deny.patterns()[index].clone();
            return (url, Rule::Denied { pattern });
        }
        (
            url,
            Rule::Listed {
                host: listed.entry.to_string(),
            },
        )
    }

    /// Drops the parameters that are not kept, empty ones and a bare `?`, and sorts the others by name; equal
    /// names keep their order, which may mean something.
    fn filtered(&self, url: PageUrl) -> PageUrl {
        let Some(query) = url.query() else {
            return url;
        };
        let mut parameters: Vec<&str> = query
            .split('&')
            .filter(|parameter| !parameter.is_empty() && self.keeps(parameter))
            .collect();
        parameters.sort_by_cached_key(|parameter| name_of(parameter));
        match parameters.join("&").as_str() {
            "" => url.with_query(None),
            rest if rest == query => url,
            rest => url.with_query(Some(rest)),
        }
    }

    fn keeps(&self, parameter: &str) -> bool {
        let Some(kept) = &self.query else {
            return true;
        };
        let name = name_of(parameter);
        kept.iter().any(|kept| kept.as_bytes() == &*name)
    }
}

impl ListedHost {
    fn identified(&self, url: PageUrl) -> PageUrl {
        if url.scheme() == self.identity {
            return url;
        }
        if self.entry.port.is_some() {
            return url.with_scheme_on_port(self.identity);
        }
        // `http://h:443/` is what it says, not another spelling of `https://h/`.
        if url.port() == url.scheme().default_port() {
            return url.with_scheme(self.identity);
        }
        url
    }
}

impl HostEntry {
    pub(super) fn parse(entry: &str) -> Result<HostEntry, ScopeError> {
        let refused = |reason: &str| ScopeError::Host {
            entry: entry.escape_debug().collect(),
            reason: reason.to_owned(),
        };
        if let Some(extra) = entry.chars().find(|extra| "/\\?#@*".contains(*extra)) {
            return Err(refused(&format!("it holds `{extra}`")));
        }
        let authority = match entry.parse::<std::net::Ipv6Addr>() {
            Ok(address) => format!("[{address}]"),
            Err(_) => entry.to_owned(),
        };
        let in_scheme = |scheme: Scheme| PageUrl::parse(&format!("{scheme}://{authority}/"));
        let parsed = (in_scheme(Scheme::Http), in_scheme(Scheme::Https));
        let (Ok(http), Ok(https)) = parsed else {
            return Err(refused(&reason_of(parsed.0)));
        };
        // A written port is the same in both schemes.
        let port = (http.port() == https.port()).then(|| http.port());
        Ok(HostEntry {
            host: http.host().to_owned(),
            port,
        })
    }

    pub(super) fn covers(&self, url: &PageUrl) -> bool {
        let is_port = match self.port {
            Some(port) => url.port() == port,
            None => matches!(url.port(), 80 | 443),
        };
        is_port && url.host() == self.host
    }

    /// The entry that names this one's usual port by its host alone.
    fn without_port(&self) -> Option<HostEntry> {
        let is_usual = matches!(self.port, Some(80 | 443));
        is_usual.then(|| HostEntry {
            host: self.host.clone(),
            port: None,
        })
    }
}

/// Whether a host, as [`PageUrl::host`] gives it, is an IP address or `localhost`.
fn is_literal(host: &str) -> bool {
    host == "localhost" || host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

impl fmt::Display for HostEntry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(out, "{}:{port}", self.host),
            None => out.write_str(&self.host),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::HostNotListed { host } => write!(out, "`{host}` is not among `hosts`"),
            Rule::Denied { pattern } => write!(out, "`{pattern}` in `deny` matches"),
            Rule::Listed { host } => write!(out, "`{host}` is among `hosts`"),
        }
    }
}

/// Compiles the patterns one by one first, since an error of the set does not say whose it is.
fn compiled(patterns: &[String]) -> Result<RegexSet, ScopeError> {
    for pattern in patterns {
        if let Err(error) = regex::Regex::new(pattern) {
            let pattern = pattern.escape_debug().collect();
            return Err(ScopeError::Deny {
                pattern,
                reason: last_line(&error),
            });
        }
    }
    RegexSet::new(patterns).map_err(|error| ScopeError::DenyTogether {
        reason: last_line(&error),
    })
}

/// A regular expression's error draws the pattern first; what is wrong stands in the last line.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

fn reason_of(parsed: Result<PageUrl, UrlError>) -> String {
    match parsed {
        Err(UrlError::Syntax { source, .. }) => source.to_string(),
        Err(UrlError::Host { reason, .. }) => reason.to_owned(),
        _ => "it does not fit into a URL".to_owned(),
    }
}

/// The name of `name=value`, as a form decodes it.
fn name_of(parameter: &str) -> Cow<'_, [u8]> {
    let name = parameter.split('=').next().unwrap_or_default();
    if name.contains('+') {
        let spaced = name.replace('+', " ");
        return percent_decode(spaced.as_bytes())
            .collect::<Vec<u8>>()
            .into();
    }
    percent_decode(name.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rules(hosts: &[&str]) -> ScopeRules {
        ScopeRules {
            hosts: hosts.iter().map(|host| host.to_string()).collect(),
            identity: BTreeMap::new(),
            identity_default: Scheme::Https,
            deny: Vec::new(),
            query: None,
        }
    }

    /// The admitted URL, or the rule in words.
    fn admitted(scope: &Scope, text: &str) -> String {
        let url = PageUrl::parse(text).unwrap();
        match scope.admit(url.clone()) {
            Admission::Page(page) => {
                assert!(matches!(scope.explain(&url), Rule::Listed { .. }));
                assert_eq!(
                    scope.admit(page.clone()),
                    Admission::Page(page.clone()),
                    "idempotent"
                );
                page.as_str().to_owned()
            }
            Admission::Outside(rule) => {
                assert_eq!(scope.explain(&url), rule);
                rule.to_string()
            }
        }
    }

    #[test]
    fn a_host_stands_for_its_usual_ports() {
        // Promise: `host` is 80 and 443, `host:port` that port alone; checked at the borders.
        let scope = Scope::new(rules(&["A.org", "b.org:8080", "::1"])).unwrap();
        assert_eq!(admitted(&scope, "http://a.org/x"), "https://a.org/x");
        assert_eq!(admitted(&scope, "https://a.org/x"), "https://a.org/x");
        assert_eq!(admitted(&scope, "http://a.org:443/x"), "http://a.org:443/x");
        assert_eq!(admitted(&scope, "https://a.org:80/x"), "https://a.org:80/x");
        assert_eq!(
            admitted(&scope, "https://a.org:8080/"),
            "`a.org:8080` is not among `hosts`"
        );
        assert_eq!(
            admitted(&scope, "http://b.org/"),
            "`b.org` is not among `hosts`"
        );
        assert_eq!(
            admitted(&scope, "http://b.org:8080/x"),
            "https://b.org:8080/x"
        );
        assert_eq!(admitted(&scope, "http://[::1]/"), "https://[::1]/");
        assert_eq!(
            admitted(&scope, "http://sub.a.org/"),
            "`sub.a.org` is not among `hosts`"
        );
    }

    #[test]
    fn a_page_has_one_scheme() {
        // Promise: each host's identity decides; a listed port stays where it is.
        let mut rules = rules(&["a.org", "b.org:8080", "c.org:443", "d.org"]);
        rules.identity = [
            ("A.org", Scheme::Http),
            ("b.org:8080", Scheme::Http),
            ("c.org", Scheme::Http),
        ]
        .map(|(host, scheme)| (host.to_owned(), scheme))
        .into();
        let scope = Scope::new(rules).unwrap();
        assert_eq!(
            admitted(&scope, "https://a.org/x?y=1"),
            "http://a.org/x?y=1"
        );
        assert_eq!(
            admitted(&scope, "https://b.org:8080/x"),
            "http://b.org:8080/x"
        );
        assert_eq!(admitted(&scope, "https://c.org/x"), "http://c.org:443/x");
        assert_eq!(admitted(&scope, "http://d.org/x"), "https://d.org/x");
    }

    #[test]
    fn a_denied_url_is_outside() {
        // Promise: patterns match anywhere in the page's own spelling, and the first is named.
        let mut rules = rules(&["a.org"]);
        rules.deny = vec![
            "/search".into(),
            r"\.csv/preview$".into(),
            "^https://a.org/se".into(),
        ];
        let scope = Scope::new(rules).unwrap();
        assert_eq!(
            admitted(&scope, "http://a.org/search/x"),
            "`/search` in `deny` matches"
        );
        assert_eq!(
            admitted(&scope, "http://a.org/set"),
            "`^https://a.org/se` in `deny` matches"
        );
        assert!(admitted(&scope, "https://a.org/d.csv/preview").contains("preview"));
        assert_eq!(
            admitted(&scope, "https://a.org/d.csv"),
            "https://a.org/d.csv"
        );
    }

    #[test]
    fn only_kept_parameters_stay() {
        // Promise: kept parameters stay as written, sorted by their decoded names; those with one name keep
        // their order; a bare `?` and empty parameters never stay.
        let filtered = |query: Option<&[&str]>, target: &str| {
            let mut rules = rules(&["a.org"]);
            rules.query = query.map(|names| names.iter().map(|name| name.to_string()).collect());
            let text = format!("https://a.org{target}");
            let page = admitted(&Scope::new(rules).unwrap(), &text);
            page.strip_prefix("https://a.org").unwrap().to_owned()
        };
        let all = "/?b=1&&a=%20&b=2";
        let cases: &[(Option<&[&str]>, &str, &str)] = &[
            (None, all, "/?a=%20&b=1&b=2"),
            (None, "/?", "/"),
            (None, "/?&&", "/"),
            (None, "/?b&a=1&=&a", "/?=&a=1&a&b"),
            (
                None,
                "/?c[]=2&b%2Ba=1&b%20=3&c%5B%5D=1&b+=4",
                "/?b%20=3&b+=4&b%2Ba=1&c[]=2&c%5B%5D=1",
            ),
            (Some(&[]), all, "/"),
            (Some(&["b"]), all, "/?b=1&b=2"),
            (Some(&["b", "a"]), all, "/?a=%20&b=1&b=2"),
            (Some(&["c"]), all, "/"),
            (Some(&["b"]), "/?%62=1&bb=2&b", "/?b=1&b"),
            (Some(&["x y"]), "/?x+y=1&z", "/?x+y=1"),
            (Some(&["b"]), "/p?", "/p"),
        ];
        for (query, target, expected) in cases {
            assert_eq!(filtered(*query, target), *expected, "{target}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn admitting_what_was_admitted_changes_nothing(
            target in "[ab=&?%+4c~.;/]{0,16}",
            kept in prop::option::of(Just(vec!["a".to_owned(), "b b".to_owned()])),
        ) {
            // Promise: one spelling a page, and no further one by asking again or by writing it down.
            let mut rules = rules(&["a.org"]);
            rules.query = kept;
            let scope = Scope::new(rules).unwrap();
            let url = PageUrl::parse(&format!("http://a.org/{target}")).unwrap();
            let Admission::Page(page) = scope.admit(url) else { panic!("inside") };
            prop_assert_eq!(scope.admit(page.clone()), Admission::Page(page.clone()));
            prop_assert_eq!(PageUrl::parse(page.as_str()), Ok(page));
        }
        #[test]
        fn the_order_of_parameters_makes_no_other_page(
            mut names in prop::collection::vec("[a-d]{1,2}=[0-9]", 0..6),
        ) {
            // Promise: whichever way a site writes its parameters, it is one page.
            names.sort();
            names.dedup_by_key(|pair| pair.split('=').next().unwrap().to_owned());
            let scope = Scope::new(rules(&["a.org"])).unwrap();
            let there = admitted(&scope, &format!("https://a.org/?{}", names.join("&")));
            names.reverse();
            let back = admitted(&scope, &format!("https://a.org/?{}", names.join("&")));
            prop_assert_eq!(there, back);
        }
    }

    #[test]
    fn only_a_named_literal_permits_private_addresses() {
        // Promise: a private address is reached only where the configuration names it.
        let listed = [
            "127.0.0.1:8080",
            "localhost",
            "intranet.local",
            "[::1]:80",
            "10.1",
        ];
        let scope = Scope::new(rules(&listed)).unwrap();
        for host in [
            "127.0.0.1",
            "localhost",
            "LOCALHOST",
            "[::1]",
            "::1",
            "10.0.0.1",
        ] {
            assert!(scope.permits_private(host), "{host}");
        }
        for host in [
            "127.0.0.2",
            "intranet.local",
            "a.localhost",
            "[::2]",
            "",
            "169.254.169.254",
        ] {
            assert!(!scope.permits_private(host), "{host}");
        }
        assert!(
            !Scope::new(rules(&["a.org"]))
                .unwrap()
                .permits_private("localhost")
        );
    }

    #[test]
    fn wrong_rules_are_named() {
        // Promise: an error quotes what is wrong, on one line.
        for entry in [
            "https://a.org",
            "a.org/x",
            "*.a.org",
            "",
            "a b",
            "a.org:99999",
            "u@a.org",
            ".a",
        ] {
            let message = Scope::new(rules(&[entry])).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("`{entry}` is no host: ")),
                "{message}"
            );
            assert_eq!(message.lines().count(), 1);
        }
        let mut wrong = rules(&["a.org"]);
        wrong.deny = vec!["ok".into(), "a(b".into()];
        let message = Scope::new(wrong).unwrap_err().to_string();
        assert_eq!(
            message,
            "`a(b` in `deny` is no regular expression: unclosed group"
        );
    }
}
