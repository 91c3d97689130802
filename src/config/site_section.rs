//! `[site]`: seeds and hosts that fit each other, patterns that compile, headers with their values.
//!
//! What a host is and what is inside the scope is asked of `site`, so that no file passes here that
//! the crawl would judge otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use super::schema::{HeaderShape, SiteShape};
use super::source::{Source, check_parameters, check_pattern, is_header_value, is_token};
use super::{ConfigError, Secret, SiteConfig};
use crate::content::never_kept;
use crate::site::{PageUrl, Rule, Scheme, Scope, ScopeRules};

/// Headers that the crawler itself must decide about, with what to do instead.
const OWN_HEADERS: [(&str, &str); 9] = [
    ("user-agent", "set crawl.user_agent"),
    ("host", "it follows from the URL"),
    ("connection", "the client decides about it"),
    ("content-length", "the client decides about it"),
    ("transfer-encoding", "the client decides about it"),
    (
        "accept-encoding",
        "hashes are taken of bodies whose coding the client has asked for",
    ),
    ("range", "a part of a page is not the page"),
    ("if-none-match", "the manifest decides about it"),
    ("if-modified-since", "the manifest decides about it"),
];

/// The section with its defaults, once it is known to be consistent.
pub(super) fn checked(shape: SiteShape, source: &Source<'_>) -> Result<SiteConfig, ConfigError> {
    let seeds = seeds(&shape.seeds, source)?;
    let mut hosts = hosts(&shape.hosts, "site.hosts", source)?;
    if hosts.is_empty() {
        hosts = distinct(seeds.iter().map(|seed| seed.authority().to_owned()));
    }
    if hosts.is_empty() {
        let problem = "there are none; write the URLs to begin with, or for `publish` the hosts";
        return Err(source.invalid("site.seeds", problem));
    }
    let parameters = shape.query.as_deref().unwrap_or_default();
    check_parameters(parameters, "site.query", source)?;
    let site = SiteConfig {
        asset_hosts: self::hosts(&shape.asset_hosts, "site.asset_hosts", source)?,
        seeds,
        hosts,
        deny: shape.deny,
        query: shape.query,
        layout: shape.layout,
        robots: shape.robots,
        headers: headers(shape.headers, source)?,
        keep_headers: keep_headers(&shape.keep_headers, source)?,
        cache_control: cache_control(shape.cache_control, source)?,
    };
    check_scope(&site, source)?;
    Ok(site)
}

fn seeds(texts: &[String], source: &Source<'_>) -> Result<Vec<PageUrl>, ConfigError> {
    let mut seeds = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let seed = PageUrl::parse(text)
            .map_err(|error| source.invalid(&format!("site.seeds[{index}]"), error))?;
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    Ok(seeds)
}

fn hosts(texts: &[String], path: &str, source: &Source<'_>) -> Result<Vec<String>, ConfigError> {
    let mut hosts = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let host = host_entry(text)
            .map_err(|problem| source.invalid(&format!("{path}[{index}]"), problem))?;
        hosts.push(host);
    }
    Ok(distinct(hosts))
}

/// `host` or `host:port` as URLs have it: lower case, punycode, IPv6 in brackets.
fn host_entry(text: &str) -> Result<String, String> {
    let after_scheme = text.split_once("//").map(|(_, rest)| rest);
    let authority = after_scheme.unwrap_or(text);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        // Not repeated: what stands before the @ is a password.
        return Err("a host holds no credentials; send them with site.headers".to_owned());
    }
    if after_scheme.is_some() {
        return Err(format!(
            "`{text}` is a URL; write the host alone: \"{authority}\""
        ));
    }
    if text.contains('*') {
        return Err(format!(
            "`{text}`: there are no wildcards; write every host"
        ));
    }
    let alone = ScopeRules {
        hosts: vec![text.to_owned()],
        identity: BTreeMap::new(),
        identity_default: Scheme::Http,
        deny: Vec::new(),
        query: None,
    };
    let scope = Scope::new(alone).map_err(|error| error.to_string())?;
    let bracketed = match text.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => text.to_owned(),
    };
    let url = PageUrl::parse(&format!("http://{bracketed}/")).map_err(|error| error.to_string())?;
    match scope.explain(&url) {
        Rule::Listed { host } if !host.ends_with(":0") => Ok(host),
        _ => Err(format!(
            "`{text}` is no host that can be asked; write its name, or name:port"
        )),
    }
}

/// Every pattern compiles, and every seed is a page of the site that they make together.
fn check_scope(site: &SiteConfig, source: &Source<'_>) -> Result<(), ConfigError> {
    for (index, pattern) in site.deny.iter().enumerate() {
        let compiled = regex::Regex::new(pattern).map(|_| ());
        check_pattern(pattern, compiled, &format!("site.deny[{index}]"), source)?;
    }
    let scope = Scope::new(site.scope_rules());
    let scope = scope.map_err(|error| source.invalid("site.deny", error))?;
    for (index, seed) in site.seeds.iter().enumerate() {
        let path = format!("site.seeds[{index}]");
        match scope.explain(seed) {
            Rule::Listed { .. } => {}
            Rule::HostNotListed { host } => {
                let problem =
                    format!("{seed} is on none of the hosts; add \"{host}\" to site.hosts");
                return Err(source.invalid(&path, problem));
            }
            Rule::Denied { pattern } => {
                let problem =
                    format!("{seed} is denied by `{pattern}`; change the seed or site.deny");
                return Err(source.invalid(&path, problem));
            }
        }
    }
    Ok(())
}

fn distinct(items: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    items
        .into_iter()
        .filter(|item| seen.insert(item.clone()))
        .collect()
}

fn headers(
    shapes: BTreeMap<String, HeaderShape>,
    source: &Source<'_>,
) -> Result<Vec<(String, Secret)>, ConfigError> {
    let mut headers: Vec<(String, Secret)> = Vec::with_capacity(shapes.len());
    for (written, shape) in shapes {
        let path = format!("site.headers.{written}");
        let name = written.to_ascii_lowercase();
        if !is_token(&name) {
            return Err(source.invalid(&path, "is no header name"));
        }
        if let Some((_, instead)) = OWN_HEADERS.iter().find(|(own, _)| *own == name) {
            return Err(source.invalid(&path, format!("cannot be set here: {instead}")));
        }
        if headers.iter().any(|(other, _)| *other == name) {
            return Err(source.invalid(&path, "is set twice; header names know no case"));
        }
        let value = header_value(shape, &path, source)?;
        if !is_header_value(value.expose()) {
            let problem = "the value must be visible ASCII characters, without spaces at its ends";
            return Err(source.invalid(&path, problem));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

fn header_value(
    shape: HeaderShape,
    path: &str,
    source: &Source<'_>,
) -> Result<Secret, ConfigError> {
    match shape {
        HeaderShape::Plain(value) => Ok(Secret::from(value)),
        HeaderShape::From(origin) => match (origin.env, origin.file) {
            (Some(name), None) => source.secret_from_env(path, &name),
            (None, Some(file)) => source.secret_from_file(path, &file),
            _ => Err(source.invalid(
                path,
                "write either { env = \"NAME\" } or { file = \"path\" }",
            )),
        },
    }
}

fn keep_headers(names: &[String], source: &Source<'_>) -> Result<Vec<String>, ConfigError> {
    let mut kept = Vec::with_capacity(names.len());
    for (index, written) in names.iter().enumerate() {
        let name = written.to_ascii_lowercase();
        let refused = if name.contains('*') {
            Some("there are no wildcards; write every name")
        } else {
            never_kept(&name)
        };
        if let Some(reason) = refused {
            let problem = format!("`{written}` cannot be kept: {reason}");
            return Err(source.invalid(&format!("site.keep_headers[{index}]"), problem));
        }
        kept.push(name);
    }
    Ok(distinct(kept))
}

/// Directives with or without a value: a slip of the pen in here would be served with every page.
fn cache_control(
    policy: Option<String>,
    source: &Source<'_>,
) -> Result<Option<String>, ConfigError> {
    let is_directive = |directive: &str| {
        let (name, value) = match directive.trim().split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (directive.trim(), None),
        };
        is_token(name) && value.is_none_or(is_token)
    };
    match policy {
        Some(policy) if !is_header_value(&policy) || !policy.split(',').all(is_directive) => {
            let problem = format!(
                "`{policy}` is no list of directives, such as \"public, max-age=900\"; without the option pages keep what the origin sent"
            );
            Err(source.invalid("site.cache_control", problem))
        }
        policy => Ok(policy),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::load::parse;
    use super::super::load::tests::{SITE, cases, refused};
    use super::*;

    #[test]
    fn hosts_are_normalised_like_urls() {
        // Promise: an entry is compared with the authority of a URL, so it must look the same.
        for (text, expected) in [
            ("www.example.org", "www.example.org"),
            ("WWW.Example.ORG:8080", "www.example.org:8080"),
            ("example.org:80", "example.org:80"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("h:443", "h:443"),
            ("[::1]", "[::1]"),
            ("0::1", "[::1]"),
            ("[0:0::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(host_entry(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "", ":80", "a b", "a/b", "a:0", "a:65536", "a:b", "a?b", "a%2fb",
        ] {
            assert!(host_entry(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_site_that_cannot_work_is_refused() {
        // Promise: hosts, seeds, patterns and headers that do not fit are refused at their line
        // with the way out, and no message shows a credential.
        for (text, expected) in cases(REFUSED) {
            assert_eq!(refused(&format!("{SITE}{text}")), expected);
        }
        assert_eq!(
            refused(""),
            "standin.toml: site.seeds: there are none; write the URLs to begin with, or for `publish` the hosts"
        );
        assert_eq!(
            refused("[site]\nseeds = [\n  \"https://a.example/\",\n  \"https://u:hunter2@h/\"]"),
            "standin.toml:4: site.seeds: the URL of `h` holds a user name or password; take it out and give it as a header in `site.headers`"
        );
    }

    #[test]
    fn header_values_come_from_where_they_are_said_to() {
        // Promise: a header's value may stand in the file, in a variable or in a file of its own,
        // whose path is relative to the configuration.
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "from-file\n").unwrap();
        let text = "headers = { X-Plain = \"plain\", X-Env = { env = \"TOKEN\" }, X-File = { file = \"token\" } }";
        let environment = |name: &str| (name == "TOKEN").then(|| "from-env".into());
        let file = folder.path().join("standin.toml");
        let config = parse(&format!("{SITE}{text}"), &file, &environment).unwrap();
        let headers = &config.site.headers;
        let values: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose()))
            .collect();
        let expected = [
            ("x-env", "from-env"),
            ("x-file", "from-file"),
            ("x-plain", "plain"),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn headers_to_keep_are_names_in_lower_case() {
        // Promise: names know no case, and each is kept once; a policy is taken as it is written.
        let text = "keep_headers = [\"X-Example\", \"x-example\", \"Server\"]\ncache_control = \"public, max-age=900\"";
        let file = Path::new("standin.toml");
        let config = parse(&format!("{SITE}{text}"), file, &|_| None).unwrap();
        assert_eq!(config.site.keep_headers, ["x-example", "server"]);
        let policy = config.site.cache_control.as_deref();
        assert_eq!(policy, Some("public, max-age=900"));
        let config = parse(SITE, file, &|_| None).unwrap();
        assert_eq!(config.site.keep_headers, Vec::<String>::new());
        assert_eq!(config.site.cache_control, None);
    }

    #[test]
    fn hosts_without_a_seed_follow_the_first() {
        // Promise: the scheme of a page does not depend on which link was found first.
        let text = "[site]\nseeds = [\"http://127.0.0.1:81/\", \"https://b.example/\"]\nhosts = [\"127.0.0.1:81\", \"B.example\", \"127.0.0.1:82\"]";
        let config = parse(text, Path::new("standin.toml"), &|_| None).unwrap();
        let rules = config.site.scope_rules();
        assert_eq!(rules.hosts, ["127.0.0.1:81", "b.example", "127.0.0.1:82"]);
        assert_eq!(rules.identity["127.0.0.1:81"], Scheme::Http);
        assert_eq!(rules.identity["b.example"], Scheme::Https);
        assert_eq!(rules.identity_default, Scheme::Http);
        let text = "[site]\nhosts = [\"a.example\"]";
        let config = parse(text, Path::new("standin.toml"), &|_| None).unwrap();
        assert_eq!(config.site.scope_rules().identity_default, Scheme::Https);
    }

    /// What follows [`SITE`].
    const REFUSED: &str = r#"
deny = ["("]
=> standin.toml:3: site.deny: `(` is no regular expression: unclosed group

deny = [""]
=> standin.toml:3: site.deny: an empty regular expression matches everything

deny = ["a", "example"]
=> standin.toml:2: site.seeds: https://www.example.org/ is denied by `a`; change the seed or site.deny

query = ["a=b"]
=> standin.toml:3: site.query: is a list of parameter names, such as ["page"]

hosts = ["www.example.com"]
=> standin.toml:2: site.seeds: https://www.example.org/ is on none of the hosts; add "www.example.org" to site.hosts

hosts = ["https://www.example.org/"]
=> standin.toml:3: site.hosts: `https://www.example.org/` is a URL; write the host alone: "www.example.org"

hosts = ["*.example.org"]
=> standin.toml:3: site.hosts: `*.example.org`: there are no wildcards; write every host

hosts = ["a b"]
=> standin.toml:3: site.hosts: `a b` is no host: invalid international domain name; write it like `www.your.site` or `www.your.site:8080`

hosts = ["u:p@h"]
=> standin.toml:3: site.hosts: a host holds no credentials; send them with site.headers

asset_hosts = ["a:0"]
=> standin.toml:3: site.asset_hosts: `a:0` is no host that can be asked; write its name, or name:port

headers = { X = { env = "UNSET" } }
=> standin.toml:3: site.headers.X: the environment variable `UNSET` is not set

headers = { X = { env = "hunter2/+=" } }
=> standin.toml:3: site.headers.X: is no name of an environment variable; write the name, not the value

headers = { X = { env = "EMPTY" } }
=> standin.toml:3: site.headers.X: the environment variable `EMPTY` is empty

headers = { X = { env = "CONTROL" } }
=> standin.toml:3: site.headers.X: the value must be visible ASCII characters, without spaces at its ends

headers = { X = { file = "/no/such/file" } }
=> standin.toml:3: site.headers.X: /no/such/file: No such file or directory (os error 2)

headers = { X = { } }
=> standin.toml:3: site.headers.X: write either { env = "NAME" } or { file = "path" }

headers = { X = "" }
=> standin.toml:3: site.headers.X: the value must be visible ASCII characters, without spaces at its ends

headers = { "a b" = "" }
=> standin.toml:3: site.headers.a b: is no header name

headers = { Host = "" }
=> standin.toml:3: site.headers.Host: cannot be set here: it follows from the URL

keep_headers = ["x-example", "Set-Cookie"]
=> standin.toml:3: site.keep_headers: `Set-Cookie` cannot be kept: it is meant for one visitor, and a mirror serves all of them

keep_headers = ["Authorization"]
=> standin.toml:3: site.keep_headers: `Authorization` cannot be kept: it is meant for one visitor, and a mirror serves all of them

keep_headers = ["Connection"]
=> standin.toml:3: site.keep_headers: `Connection` cannot be kept: it is about one connection, not about the page

keep_headers = ["content-encoding"]
=> standin.toml:3: site.keep_headers: `content-encoding` cannot be kept: it says how a body was sent, and each tier sends it in its own way

keep_headers = ["Age"]
=> standin.toml:3: site.keep_headers: `Age` cannot be kept: it is about the moment of the answer, not about the page

keep_headers = ["ETag"]
=> standin.toml:3: site.keep_headers: `ETag` cannot be kept: the manifest keeps the origin's validators

keep_headers = ["a b"]
=> standin.toml:3: site.keep_headers: `a b` cannot be kept: it is no header name

keep_headers = ["x-*"]
=> standin.toml:3: site.keep_headers: `x-*` cannot be kept: there are no wildcards; write every name

keep_headers = "x-example"
=> standin.toml:3: site.keep_headers: expected a list of texts, such as ["one", "two"]

cache_control = ""
=> standin.toml:3: site.cache_control: `` is no list of directives, such as "public, max-age=900"; without the option pages keep what the origin sent

cache_control = "max-age 900"
=> standin.toml:3: site.cache_control: `max-age 900` is no list of directives, such as "public, max-age=900"; without the option pages keep what the origin sent

headers = { a = "b", A = "b" }
=> standin.toml:3: site.headers.a: is set twice; header names know no case
"#;
}
