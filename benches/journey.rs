//! The whole journey: a site mirrored for the first time, and again when nothing has changed.
//!
//! The site is generated and served on loopback by this process; `standin mirror` runs in a process of
//! its own, so that its CPU seconds and its peak memory are its alone. `wget2 --mirror` does the same
//! beside it, each time into a fresh folder, where it is installed.
//!
//! The folders are in memory where the machine has `/dev/shm`; `STANDIN_BENCH_DIR` names another place.
//!
//! `cargo bench --bench journey`, or `… --bench journey -- 20000` for another number of pages. Without
//! `--bench` (as `cargo test --benches` starts it) a small site shows that it works.

#[expect(dead_code, reason = "other measurements use more of it")]
mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use http::request::Parts;
use http::{Response, StatusCode};
use standin::http::{Handler, Server};
use support::{place, watch};

/// Enough that starting up does not count; some seconds in all.
const PAGES: usize = 4_000;

/// Links on each page, each to a page of its own part of the site.
const LINKS: usize = 40;

/// When everything was last changed, for requests with a condition.
const CHANGED: &str = "Fri, 20 Nov 2026 10:00:00 GMT";

struct Site {
    pages: Vec<Bytes>,
    requests: AtomicU64,
}

/// What one process used.
struct Used {
    cpu_s: f64,
    wall_s: f64,
    peak_mb: f64,
    requests: u64,
}

fn main() {
    let in_earnest = std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok());
    let pages = asked.unwrap_or(if in_earnest { PAGES } else { 30 });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(pages, in_earnest));
}

async fn measure(pages: usize, with_peer: bool) {
    let site = Arc::new(Site::generate(pages));
    let bytes: usize = site.pages.iter().map(Bytes::len).sum();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any, site.clone()).await.expect("loopback");
    let url = format!("http://{}/", server.local_addr());
    let place = place();
    println!(
        "{pages} pages, {:.1} MB, 8 connections, in {}",
        bytes as f64 / 1e6,
        place.display()
    );
    println!("                 CPU s   wall s   peak MB   requests");

    let folder = tempfile::tempdir_in(&place).expect("a folder");
    let ours = || standin(&url, folder.path());
    let first = run("standin, first", &site, ours()).await;
    let again = run("standin, again", &site, ours()).await;
    assert!(first.requests >= pages as u64, "every page is asked for");

    if !with_peer {
        return;
    }
    let folder = tempfile::tempdir_in(&place).expect("a folder");
    if wget2(&url, folder.path())
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        println!("wget2 is not installed: nothing to compare with (apt-get install wget2)");
        return;
    }
    let peers = || wget2(&url, folder.path());
    let their_first = run("wget2, first", &site, peers()).await;
    let their_again = run("wget2, again", &site, peers()).await;
    ratio("first", &first, &their_first);
    ratio("again", &again, &their_again);
}

/// How much CPU the one took for each second of the other, where both did the same work.
fn ratio(name: &str, ours: &Used, theirs: &Used) {
    if theirs.requests * 10 < ours.requests * 9 {
        println!(
            "{name}: no ratio, wget2 asked for {} pages only",
            theirs.requests
        );
        return;
    }
    let ratio = ours.cpu_s / theirs.cpu_s;
    println!("{name}: {ratio:.2} of the CPU seconds of wget2");
}

fn standin(url: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_standin"));
    command
        .args(["mirror", url, "--quiet", "--into"])
        .arg(folder);
    command
}

fn wget2(url: &str, folder: &Path) -> Command {
    let mut command = Command::new("wget2");
    command.args([
        "--mirror",
        "--quiet",
        "--max-threads=8",
        "--directory-prefix",
    ]);
    command.arg(folder).arg(url);
    command
}

/// Runs a process to its end and prints what it used.
async fn run(name: &str, site: &Site, mut command: Command) -> Used {
    let before = site.requests.load(Ordering::Relaxed);
    let begun = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let id = child.id();
    // The site is served by this thread.
    let watching = tokio::task::spawn_blocking(move || watch(id));
    let (cpu_s, peak_mb) = watching.await.expect("watching does not panic");
    let used = Used {
        cpu_s,
        wall_s: begun.elapsed().as_secs_f64(),
        peak_mb,
        requests: site.requests.load(Ordering::Relaxed) - before,
    };
    let status = child.wait().expect("it has ended");
    println!(
        "{name:<15} {:>6.2}  {:>6.2}   {:>7.0}   {:>8}   {status}",
        used.cpu_s, used.wall_s, used.peak_mb, used.requests
    );
    used
}

impl Site {
    fn generate(pages: usize) -> Site {
        Site {
            pages: (0..pages).map(|number| page(number, pages)).collect(),
            requests: AtomicU64::new(0),
        }
    }
}

/// Some 12 kB of HTML with links to other pages; every page can be reached.
fn page(number: usize, pages: usize) -> Bytes {
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>Page {number}</title>\n</head>\n<body>\n<main>\n<h1>Page {number}</h1>\n"
    );
    for index in 0..LINKS {
        let target = (number * LINKS + index + 1) % pages;
        html.push_str(&format!(
            "<p class=\"govuk-body\">Paragraph {index} of page {number}: what is due, when, to whom, and \
             how to pay it. Read <a class=\"govuk-link\" href=\"/part-{}/page-{target}.html\">the page about \
             number {target}</a>, and write to us when anything is unclear.</p>\n",
            target % 100
        ));
    }
    html.push_str("</main>\n</body>\n</html>\n");
    Bytes::from(html)
}

impl Handler for Site {
    fn answer(&self, request: &Parts) -> Response<Bytes> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri.path();
        let number = match path {
            "/" => Some(0),
            _ => path
                .rsplit_once("/page-")
                .and_then(|(_, name)| name.strip_suffix(".html")?.parse().ok()),
        };
        let page = number.and_then(|number: usize| Some((number, self.pages.get(number)?)));
        let mut answer = Response::builder();
        let Some((number, page)) = page else {
            answer = answer.status(StatusCode::NOT_FOUND);
            return answer.body(Bytes::new()).expect("a plain answer");
        };
        answer = answer
            .header(CONTENT_TYPE, "text/html; charset=utf-8")
            .header(LAST_MODIFIED, CHANGED)
            .header(ETAG, format!("\"{number}\""));
        let conditions = [IF_NONE_MATCH, IF_MODIFIED_SINCE];
        if conditions
            .iter()
            .any(|name| request.headers.contains_key(name))
        {
            answer = answer.status(StatusCode::NOT_MODIFIED);
            return answer.body(Bytes::new()).expect("a plain answer");
        }
        answer.body(page.clone()).expect("a plain answer")
    }
}
