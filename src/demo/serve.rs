//! The demo site as a web server answers it: nonces, validators, conditional answers.

use std::sync::RwLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use time::Date;

use super::pages::NONCE;
use super::site::{Answer, DemoSite, Edit, File};
use super::words::Dice;
use crate::http::Handler;

/// Files were last changed at this hour of their day, UTC.
const CHANGED_AT: Duration = Duration::from_secs(9 * 3600);

/// A demo site that can be asked and edited at the same time.
#[derive(Debug)]
pub struct DemoServer {
    site: RwLock<DemoSite>,
    nonces: AtomicU64,
    counts: [AtomicU64; 5],
}

/// Answers so far, by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answered {
    /// 200.
    pub ok: u64,
    /// 304.
    pub not_modified: u64,
    /// 301, 302 and 308.
    pub redirects: u64,
    /// 404 and 410.
    pub gone: u64,
    pub other: u64,
}

impl DemoServer {
    pub fn new(site: DemoSite) -> DemoServer {
        DemoServer {
            site: RwLock::new(site),
            nonces: AtomicU64::new(0),
            counts: Default::default(),
        }
    }

    /// Edits the site: [`DemoSite::edit`]. Answers wait for it, some milliseconds.
    pub fn edit(&self) -> Vec<Edit> {
        self.site.write().expect(LOCK).edit()
    }

    /// HTML pages of the site that answer 200: [`DemoSite::pages`].
    pub fn pages(&self) -> usize {
        self.site.read().expect(LOCK).pages()
    }

    /// Bytes of the site: [`DemoSite::bytes`].
    pub fn bytes(&self) -> u64 {
        self.site.read().expect(LOCK).bytes()
    }

    /// How many answers of each kind were given.
    pub fn answered(&self) -> Answered {
        let [ok, not_modified, redirects, gone, other] =
            [0, 1, 2, 3, 4].map(|at: usize| self.counts[at].load(Ordering::Relaxed));
        Answered {
            ok,
            not_modified,
            redirects,
            gone,
            other,
        }
    }

    fn count(&self, status: StatusCode) {
        let at = match status.as_u16() {
            200 => 0,
            304 => 1,
            301 | 302 | 308 => 2,
            404 | 410 => 3,
            _ => 4,
        };
        self.counts[at].fetch_add(1, Ordering::Relaxed);
    }

    /// Another one for every answer. Only its being different matters: nothing here is secret.
    fn nonce(&self) -> String {
        let mut dice = Dice::new(self.nonces.fetch_add(1, Ordering::Relaxed), "nonce");
        format!("{:016x}{:08x}", dice.roll(), dice.roll() as u32)
    }

    fn html(&self, status: StatusCode, text: &str) -> Response<Bytes> {
        let nonce = self.nonce();
        let policy = format!(
            "default-src 'self'; script-src 'nonce-{nonce}'; object-src 'none'; base-uri 'none'"
        );
        let mut response = Response::new(Bytes::from(text.replace(NONCE, &nonce)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        set(headers, header::CONTENT_TYPE, "text/html; charset=utf-8");
        set(headers, header::CACHE_CONTROL, "public, max-age=300");
        set(headers, header::CONTENT_SECURITY_POLICY, &policy);
        set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(
            headers,
            header::REFERRER_POLICY,
            "strict-origin-when-cross-origin",
        );
        response
    }
}

const LOCK: &str = "no thread panics while it holds the site";

impl Handler for DemoServer {
    fn answer(&self, request: &Parts) -> Response<Bytes> {
        let site = self.site.read().expect(LOCK);
        let target = request
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let response = if request.method != Method::GET && request.method != Method::HEAD {
            not_allowed()
        } else {
            match site.find(target) {
                Some(Answer::Html { status, text }) => self.html(known(*status), text),
                Some(Answer::File(file)) => answer_file(target, file, &request.headers),
                Some(Answer::Redirect { status, to }) => redirect(known(*status), to),
                None => self.html(StatusCode::NOT_FOUND, site.not_found()),
            }
        };
        self.count(response.status());
        response
    }
}

fn known(status: u16) -> StatusCode {
    StatusCode::from_u16(status).expect("the site has no other than 200, 301, 302, 308 and 410")
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    headers.insert(
        name,
        HeaderValue::from_str(value).expect("the site's header values are ASCII"),
    );
}

fn answer_file(target: &str, file: &File, asked: &HeaderMap) -> Response<Bytes> {
    let modified = UNIX_EPOCH + since_1970(file.modified);
    let is_unmodified = is_unmodified(file, modified, asked);
    let body = if is_unmodified {
        Bytes::new()
    } else {
        file.body.clone()
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    set(headers, header::ETAG, &file.etag);
    set(
        headers,
        header::LAST_MODIFIED,
        &httpdate::fmt_http_date(modified),
    );
    let is_asset = target.starts_with("/assets/") || target.starts_with("/images/");
    let caching = if is_asset {
        "public, max-age=86400"
    } else {
        "public, max-age=3600"
    };
    set(headers, header::CACHE_CONTROL, caching);
    if is_unmodified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    set(headers, header::CONTENT_TYPE, file.content_type);
    set(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if let Some(name) = target
        .rsplit('/')
        .next()
        .filter(|name| name.ends_with(".csv"))
    {
        set(
            headers,
            header::CONTENT_DISPOSITION,
            &format!("attachment; filename=\"{name}\""),
        );
    }
    response
}

fn since_1970(date: Date) -> Duration {
    let days =
        date.to_julian_day() - Date::from_ordinal_date(1970, 1).map_or(0, Date::to_julian_day);
    Duration::from_secs(u64::from(days.unsigned_abs()) * 86_400) + CHANGED_AT
}

/// RFC 9110, section 13.2.2: If-None-Match decides alone where there is one.
fn is_unmodified(file: &File, modified: SystemTime, asked: &HeaderMap) -> bool {
    if let Some(known) = asked.get(header::IF_NONE_MATCH) {
        let known = known.to_str().unwrap_or_default();
        let mut tags = known
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"));
        return tags.any(|tag| tag == "*" || tag == file.etag);
    }
    let since = asked
        .get(header::IF_MODIFIED_SINCE)
        .and_then(|since| since.to_str().ok());
    since
        .and_then(|since| httpdate::parse_http_date(since).ok())
        .is_some_and(|since| modified <= since)
}

fn redirect(status: StatusCode, to: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(format!("Moved to {to}\n")));
    *response.status_mut() = status;
    set(response.headers_mut(), header::LOCATION, to);
    set(
        response.headers_mut(),
        header::CONTENT_TYPE,
        "text/plain; charset=utf-8",
    );
    set(
        response.headers_mut(),
        header::CACHE_CONTROL,
        "public, max-age=3600",
    );
    response
}

fn not_allowed() -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    set(response.headers_mut(), header::ALLOW, "GET, HEAD");
    response
}

#[cfg(test)]
mod tests {
    use super::super::site::tests::seven;
    use super::*;
    use http::Request;
    use regex::Regex;
    use std::collections::{BTreeMap, BTreeSet};
    use url::Url;

    fn ask(server: &DemoServer, target: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        server.answer(&request.body(()).unwrap().into_parts().0)
    }

    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Every reference in a body, as written.
    fn references(kind: &str, body: &str) -> Vec<String> {
        let pattern = match kind {
            "text/css" => r#"url\("([^"]+)"\)"#,
            "application/xml" => r"<loc>([^<]+)</loc>",
            "text/plain" => r"(?m)^Sitemap: (\S+)$",
            "text/html" | "application/atom+xml" => {
                r#"(?:href|src|(?:og:image" content))="([^"]+)"|srcset="([^"]+)""#
            }
            _ => return Vec::new(),
        };
        let mut found = Vec::new();
        for groups in Regex::new(pattern).unwrap().captures_iter(body) {
            if let Some(one) = groups.get(1) {
                found.push(one.as_str().to_owned());
            } else {
                let candidates = groups[2].split(", ");
                found.extend(candidates.map(|one| one.split(' ').next().unwrap().to_owned()));
            }
        }
        found
    }

    /// Follows every reference from the home page and robots.txt; the status of each address.
    fn crawl(server: &DemoServer) -> BTreeMap<String, u16> {
        let base = Url::parse("http://127.0.0.1:8080/").unwrap();
        let mut waiting = vec![base.clone(), base.join("/robots.txt").unwrap()];
        let mut seen = BTreeMap::new();
        while let Some(url) = waiting.pop() {
            let target = url[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            if url.origin() != base.origin() || seen.contains_key(&target) {
                continue;
            }
            let response = ask(server, &target, &[]);
            seen.insert(target, response.status().as_u16());
            let kind = header(&response, "content-type")
                .split(';')
                .next()
                .unwrap()
                .to_owned();
            let body = String::from_utf8_lossy(response.body()).into_owned();
            let location = header(&response, "location").to_owned();
            let references = references(&kind, &body).into_iter().chain([location]);
            for reference in references.filter(|reference| !reference.is_empty()) {
                waiting.push(url.join(&reference).unwrap());
            }
        }
        seen
    }

    #[test]
    fn every_link_leads_somewhere_but_the_broken_ones() {
        // Promise: a crawl from the home page and robots.txt finds every address of the site, and
        // only the two links that are meant to be broken are.
        let site = seven();
        let server = DemoServer::new(site.clone());
        let seen = crawl(&server);
        let lost: Vec<&str> = seen
            .iter()
            .filter(|(_, status)| **status >= 400)
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(
            lost,
            [
                "/guides/knots-for-left-handed-people",
                "/news/free-ice-cream-for-all-2024"
            ]
        );
        let redirects = seen
            .values()
            .filter(|status| (300..400).contains(*status))
            .count();
        assert_eq!(redirects, 6);
        assert_eq!(
            seen.values().filter(|status| **status == 200).count(),
            site.pages() + site.files()
        );
        let all = server.answered();
        assert_eq!(
            (all.redirects, all.gone, all.other, all.not_modified),
            (6, 2, 0, 0)
        );
        assert_eq!(all.ok as usize, site.pages() + site.files());
    }

    #[test]
    fn an_edited_site_answers_otherwise_exactly_where_it_says() {
        // Promise: the edit list is the difference that a client sees, nonces and validators aside.
        let server = DemoServer::new(seven());
        let nonce = Regex::new("nonce(=\"|-)[0-9a-f]{24}").unwrap();
        let look = |path: &str| {
            let response = ask(&server, path, &[]);
            let mut seen = response.headers().clone();
            seen.remove(header::ETAG);
            seen.remove(header::LAST_MODIFIED);
            let body = String::from_utf8_lossy(response.body());
            let text = format!("{} {seen:?} {body}", response.status());
            nonce.replace_all(&text, "").into_owned()
        };
        let mut paths: BTreeSet<String> = crawl(&server).into_keys().collect();
        let before: BTreeMap<String, String> = paths
            .iter()
            .map(|path| (path.clone(), look(path)))
            .collect();
        let said: BTreeSet<String> = server.edit().into_iter().map(|edit| edit.path).collect();
        paths.extend(crawl(&server).into_keys());
        let changed = |path: &&String| before.get(*path) != Some(&look(path));
        let seen: BTreeSet<String> = paths.iter().filter(changed).cloned().collect();
        assert_eq!(said, seen);
        assert!(seen.len() >= 8);
    }

    #[test]
    fn nonces_differ_and_agree_with_the_policy() {
        // Promise: no two answers share a nonce, sizes do not depend on it, and HTML has no
        // validators; the 404 and the 410 answer as well.
        let server = DemoServer::new(seven());
        let mut nonces = BTreeSet::new();
        let targets = [
            "/",
            "/",
            "/news?page=2",
            "/nowhere",
            "/news/free-ice-cream-for-all-2024",
        ];
        for target in targets {
            let response = ask(&server, target, &[]);
            let policy = header(&response, "content-security-policy");
            let nonce = policy
                .split("'nonce-")
                .nth(1)
                .unwrap()
                .split('\'')
                .next()
                .unwrap();
            assert_eq!(nonce.len(), NONCE.len());
            let body = std::str::from_utf8(response.body()).unwrap();
            assert_eq!(
                body.matches(&format!("nonce=\"{nonce}\"")).count(),
                2,
                "{target}"
            );
            assert!(!body.contains(NONCE));
            assert_eq!(
                header(&response, "content-type"),
                "text/html; charset=utf-8"
            );
            assert_eq!(
                (
                    header(&response, "etag"),
                    header(&response, "last-modified")
                ),
                ("", "")
            );
            nonces.insert(nonce.to_owned());
        }
        assert_eq!(nonces.len(), targets.len());
        let all = server.answered();
        assert_eq!((all.ok, all.gone), (3, 2));
    }

    #[test]
    fn files_answer_conditional_requests() {
        // Promise: 304 exactly when the validators say so, without a body and with the validators.
        let server = DemoServer::new(seven());
        let target = "/data/files/gull-count.csv";
        let plain = ask(&server, target, &[]);
        let etag = header(&plain, "etag").to_owned();
        assert_eq!(header(&plain, "content-type"), "text/csv; charset=utf-8");
        assert_eq!(
            header(&plain, "content-disposition"),
            "attachment; filename=\"gull-count.csv\""
        );
        assert_eq!(
            header(&plain, "last-modified"),
            "Tue, 14 Oct 2025 09:00:00 GMT"
        );
        let weak = format!("\"other\", W/{etag}");
        let rows: [(&[(&str, &str)], u16); 8] = [
            (&[("if-none-match", &etag)], 304),
            (&[("if-none-match", &weak)], 304),
            (&[("if-none-match", "*")], 304),
            (&[("if-none-match", "\"other\"")], 200),
            (
                &[("if-modified-since", "Tue, 14 Oct 2025 09:00:00 GMT")],
                304,
            ),
            (
                &[("if-modified-since", "Tue, 14 Oct 2025 08:59:59 GMT")],
                200,
            ),
            (&[("if-modified-since", "yesterday")], 200),
            (
                &[
                    ("if-none-match", "\"other\""),
                    ("if-modified-since", "Wed, 15 Oct 2025 09:00:00 GMT"),
                ],
                200,
            ),
        ];
        for (headers, status) in rows {
            let response = ask(&server, target, headers);
            assert_eq!(response.status(), status, "{headers:?}");
            assert_eq!(header(&response, "etag"), etag);
            assert_eq!(response.body().is_empty(), status == 304, "{headers:?}");
        }
        assert_eq!(
            server.answered(),
            Answered {
                ok: 5,
                not_modified: 4,
                ..Answered::default()
            }
        );
    }

    #[test]
    fn other_methods_are_refused() {
        // Promise: the demo can only be read.
        let server = DemoServer::new(seven());
        let request = Request::post("/").body(()).unwrap().into_parts().0;
        let response = server.answer(&request);
        assert_eq!(
            (response.status().as_u16(), header(&response, "allow")),
            (405, "GET, HEAD")
        );
        assert_eq!(server.answered().other, 1);
    }
}
