//! What a crawl costs, in three parts. Each runs `standin crawl` in a process of its own, so that its CPU seconds
//! and its peak memory are its alone.
//!
//! - `docs`: two trees of real files, 10,827 that can be reached, 326 MB, served by an nginx of its own: the packages
//!   `openjdk-17-doc` and `python3-doc` of Debian. A first pass, and a second in which nothing has changed, against
//!   `wget2 --mirror` doing the same in alternation, three rounds, each in fresh folders. nginx's log tells what was
//!   asked for: every URL, and none twice.
//! - `many`: 30,000, 100,000 and 300,000 pages, made up as they are asked for: the memory of a crawl does not
//!   depend on the number of URLs.
//! - `latency`: a server that takes 50 ms for every answer: as many requests as permitted are on their way at any
//!   time.
//!
//! `cargo bench --bench crawl`, or `… --bench crawl -- docs` for one part; `many` takes numbers of pages, too. The
//! folders are in memory where the machine has `/dev/shm`; `STANDIN_BENCH_DIR` names another place,
//! `STANDIN_BENCH_BINARY` another build of standin. What is not installed (`apt-get install nginx wget2
//! openjdk-17-doc python3-doc`) is left out and named. Without `--bench` (as `cargo test --benches` starts it) small
//! sites show that it works.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use support::{at_least, at_most, median, place, watch};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ROUNDS: usize = 3;

/// Where Debian puts the trees, and the pages by which all of them can be reached.
const TREES: [(&str, &str); 2] = [
    ("openjdk-17-doc", "/usr/share/doc/openjdk-17-doc"),
    ("python3-doc", "/usr/share/doc/python3-doc"),
];
const DOORS: [&str; 3] = [
    "openjdk-17-doc/index.html",
    "openjdk-17-doc/api/index.html",
    "python3-doc/html/index.html",
];

/// Connections, of standin and of wget2.
const CONNECTIONS: usize = 16;

/// The bars: CPU seconds as shares of wget2's, and megabytes.
const FIRST_CPU_RATIO_MAX: f64 = 0.6;
const AGAIN_CPU_RATIO_MAX: f64 = 0.35;
const DOCS_PEAK_MB_MAX: f64 = 150.0;
const MANY_PEAK_MB_MAX: f64 = 250.0;
/// Of the largest site beside the second largest, when all caches are full.
const MANY_GROWTH_MAX: f64 = 1.25;
const THROUGHPUT_MIN: f64 = 0.9;

const MANY: [u64; 3] = [30_000, 100_000, 300_000];
const LINKS: u64 = 20;

const DELAY: Duration = Duration::from_millis(50);
const CONCURRENCIES: [usize; 2] = [8, 32];
/// Rounds of answers, so that a run takes some ten seconds.
const ANSWERS_EACH: u64 = 200;

/// How long nginx may take to listen.
const START: Duration = Duration::from_secs(5);

/// What is measured: all of it, or little of it in little time.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    Earnest,
    Tiny,
}

/// What one process used.
struct Used {
    cpu_s: f64,
    peak_mb: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    let size = if asked("--bench") {
        Size::Earnest
    } else {
        Size::Tiny
    };
    let all = !["docs", "many", "latency"].iter().any(|part| asked(part));
    println!("{:<24}  CPU s   wall s   peak MB", "");
    if all || asked("docs") {
        match Nginx::start(size) {
            Ok(nginx) => docs(&nginx, size),
            Err(why) => println!("docs: left out: {why}"),
        }
    }
    if all || asked("many") {
        let numbers = arguments
            .iter()
            .filter_map(|argument| argument.parse().ok());
        let numbers: Vec<u64> = numbers.collect();
        many(match size {
            _ if !numbers.is_empty() => &numbers,
            Size::Earnest => &MANY,
            Size::Tiny => &[20, 60],
        });
    }
    if all || asked("latency") {
        for concurrency in CONCURRENCIES {
            latency(concurrency, size);
        }
    }
}

/// Two passes over real files, beside wget2.
fn docs(nginx: &Nginx, size: Size) {
    let rounds = if size == Size::Tiny { 1 } else { ROUNDS };
    let with_peer = is_there("wget2");
    if !with_peer {
        println!("wget2 is not installed: nothing to compare with");
    }
    let mut cpu: [Vec<f64>; 4] = Default::default();
    let mut peak_mb: f64 = 0.0;
    for _ in 0..rounds {
        let ours = folder();
        let theirs = folder();
        configure(ours.path(), &nginx.url, CONNECTIONS);
        let mut reached = Vec::new();
        for (pass, name) in ["first", "again"].iter().enumerate() {
            let used = measure(&format!("standin, {name}"), standin(ours.path()));
            cpu[pass].push(used.cpu_s);
            peak_mb = peak_mb.max(used.peak_mb);
            reached.push(nginx.asked());
            if with_peer {
                let used = measure(&format!("wget2, {name}"), wget2(&nginx.url, theirs.path()));
                cpu[2 + pass].push(used.cpu_s);
                reached.push(nginx.asked());
            }
        }
        if with_peer {
            compare(&reached[0], &reached[1]);
        }
    }
    at_most("peak MB", peak_mb, DOCS_PEAK_MB_MAX);
    if with_peer && size == Size::Earnest {
        let mut ratio = |pass: usize| median(&mut cpu[pass]) / median(&mut cpu[2 + pass]);
        let (first, again) = (ratio(0), ratio(1));
        at_most("first pass, CPU of wget2's", first, FIRST_CPU_RATIO_MAX);
        at_most("second pass, CPU of wget2's", again, AGAIN_CPU_RATIO_MAX);
    }
}

/// What was there for wget2 and not for us would be missing from the mirror.
fn compare(ours: &Asked, theirs: &Asked) {
    let there = |asked: &Asked| asked.found().count();
    let mut missed = theirs.found().filter(|url| !ours.0.contains_key(*url));
    let (count, first) = (missed.clone().count(), missed.next());
    println!(
        "  => found: {} by standin, {} by wget2; missed by standin: {count}{}",
        there(ours),
        there(theirs),
        first.map_or_else(String::new, |url| format!(", such as {url}")),
    );
}

/// The memory of crawls of ever more pages.
fn many(numbers: &[u64]) {
    let mut peaks = Vec::new();
    for pages in numbers {
        let site = Pages::serve(*pages, Duration::ZERO);
        let work = folder();
        configure(work.path(), &site.url(), CONNECTIONS);
        let first = measure(&format!("{pages} pages, first"), standin(work.path()));
        site.told(*pages);
        let again = measure(&format!("{pages} pages, again"), standin(work.path()));
        site.told(*pages);
        peaks.push(first.peak_mb.max(again.peak_mb));
    }
    let most = peaks.iter().copied().fold(0.0, f64::max);
    at_most("peak MB", most, MANY_PEAK_MB_MAX);
    if let [.., second, last] = peaks[..] {
        at_most("peak of the one before", last / second, MANY_GROWTH_MAX);
    }
}

/// How near a crawl comes to as many answers as its requests in flight permit.
fn latency(concurrency: usize, size: Size) {
    let (delay, each) = match size {
        Size::Earnest => (DELAY, ANSWERS_EACH),
        Size::Tiny => (Duration::from_millis(2), 4),
    };
    let pages = concurrency as u64 * each;
    let site = Pages::serve(pages, delay);
    let work = folder();
    configure(work.path(), &site.url(), concurrency);
    let name = format!("{} ms, {concurrency} at once", delay.as_millis());
    measure(&name, standin(work.path()));
    let rate = site.rate();
    site.told(pages);
    let possible = concurrency as f64 / delay.as_secs_f64();
    println!("  => {rate:.0} answers a second");
    if size == Size::Earnest {
        at_least("of concurrency ÷ latency", rate / possible, THROUGHPUT_MIN);
    }
}

fn folder() -> TempDir {
    tempfile::tempdir_in(place()).expect("a folder")
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}

/// A mirror with a tier that nothing is brought to: what is measured is the crawl.
fn configure(work: &Path, url: &str, concurrency: usize) {
    let text = format!(
        "[site]\nseeds = [\"{url}\"]\nrobots = \"ignore\"\n[crawl]\nconcurrency = {concurrency}\n\
         [[tier]]\nname = \"local\"\nurl = \"file:tiers/local\"\n"
    );
    fs::write(work.join("standin.toml"), text).expect("there is room");
}

fn standin(work: &Path) -> Command {
    let built = env!("CARGO_BIN_EXE_standin").into();
    let named = std::env::var_os("STANDIN_BENCH_BINARY");
    let mut command = Command::new(named.unwrap_or(built));
    command.args(["crawl", "--quiet", "--config"]);
    command.arg(work.join("standin.toml"));
    command
}

fn wget2(url: &str, work: &Path) -> Command {
    let mut command = Command::new("wget2");
    command
        .args(["--mirror", "-nH", "--no-robots", "-q"])
        .arg(format!("--max-threads={CONNECTIONS}"))
        .arg("-P")
        .arg(work)
        .arg(url);
    command
}

/// Runs a process to its end and prints what it used.
fn measure(name: &str, mut command: Command) -> Used {
    let begun = Instant::now();
    let mut child = command.stdin(Stdio::null()).spawn().expect("it is there");
    let (cpu_s, peak_mb) = watch(child.id());
    let wall_s = begun.elapsed().as_secs_f64();
    let status = child.wait().expect("it has ended");
    println!("{name:<24} {cpu_s:>6.2}   {wall_s:>6.2}   {peak_mb:>6.0}   {status}");
    Used { cpu_s, peak_mb }
}

/// A web server of its own, with a log that says what was asked for.
struct Nginx {
    process: Child,
    url: String,
    folder: TempDir,
}

/// How often each URL was asked for, and the last answer's status.
struct Asked(BTreeMap<String, (u64, String)>);

impl Nginx {
    /// Serves the trees, or a few small files.
    fn start(size: Size) -> Result<Nginx, String> {
        if !is_there("nginx") {
            return Err("nginx is not installed".into());
        }
        let folder = folder();
        let root = folder.path().join("root");
        fs::create_dir(&root).expect("it is ours");
        match size {
            Size::Earnest => plant_trees(&root)?,
            Size::Tiny => plant_seedlings(&root),
        }
        // Nobody is told of the port in between; should it be taken, nginx says so and ends.
        let any = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let address = any.local_addr().expect("it is bound");
        drop(any);
        let text = nginx_config(folder.path(), address);
        let config = folder.path().join("nginx.conf");
        fs::write(&config, text).expect("there is room");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(folder.path()).arg("-c").arg(&config);
        command.arg("-e").arg(folder.path().join("error.log"));
        command.stderr(Stdio::null());
        let mut nginx = Nginx {
            process: command.spawn().map_err(|error| error.to_string())?,
            url: format!("http://{address}/"),
            folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(address).is_err() {
            let ended = nginx.process.try_wait().expect("it is our child");
            if ended.is_some() || begun.elapsed() > START {
                let log = nginx.folder.path().join("error.log");
                return Err(fs::read_to_string(log).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(nginx)
    }

    /// What was asked for since this was called last; prints how much that was.
    fn asked(&self) -> Asked {
        let log = self.folder.path().join("access.log");
        let text = fs::read_to_string(&log).expect("nginx writes it");
        // nginx appends, so it goes on at the new end.
        let emptied = fs::OpenOptions::new().write(true).open(&log);
        emptied
            .and_then(|log| log.set_len(0))
            .expect("the log is ours");
        let mut asked = Asked(BTreeMap::new());
        for line in text.lines() {
            let (status, url) = line.split_once(' ').expect("as configured");
            let entry = asked.0.entry(url.to_owned()).or_default();
            entry.0 += 1;
            entry.1 = status.to_owned();
        }
        let twice: Vec<_> = asked
            .0
            .iter()
            .filter(|(_, (times, _))| *times > 1)
            .collect();
        let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, status) in asked.0.values() {
            *statuses.entry(status).or_default() += 1;
        }
        let statuses = statuses.iter();
        let statuses: Vec<_> = statuses.map(|(s, count)| format!("{s}: {count}")).collect();
        let example = twice.first().map(|(url, _)| format!(", such as {url}"));
        println!(
            "  => {} requests, {} URLs ({}), {} more than once{}",
            text.lines().count(),
            asked.0.len(),
            statuses.join(", "),
            twice.len(),
            example.unwrap_or_default()
        );
        asked
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It is a single process and holds nothing that outlives it.
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended.expect("it was running");
    }
}

impl Asked {
    /// Pages and files, for which no other URL stands.
    fn found(&self) -> impl Iterator<Item = &String> + Clone {
        let there = self.0.iter().filter(|(_, (_, status))| status == "200");
        there.map(|(url, _)| url)
    }
}

/// The index page of a server on which the trees lie side by side.
fn plant_trees(root: &Path) -> Result<(), String> {
    for (name, tree) in TREES {
        if !Path::new(tree).is_dir() {
            return Err(format!("{tree} is not there (apt-get install {name})"));
        }
        symlink(tree, root.join(name)).expect("it is ours");
    }
    let doors = DOORS.map(|door| format!("<a href=\"/{door}\">{door}</a>\n"));
    let index = format!(
        "<!doctype html>\n<title>Documentation</title>\n{}",
        doors.concat()
    );
    fs::write(root.join("index.html"), index).expect("there is room");
    Ok(())
}

fn plant_seedlings(root: &Path) {
    for number in 0..30 {
        let name = match number {
            0 => "index.html".to_owned(),
            number => format!("page-{number}.html"),
        };
        let next = match number {
            29 => "/".to_owned(),
            number => format!("page-{}.html", number + 1),
        };
        let text = format!("<!doctype html>\n<title>{number}</title>\n<a href={next}>Next</a>\n");
        fs::write(root.join(name), text).expect("there is room");
    }
}

/// One process that stays in the foreground and keeps all its files below `folder`.
fn nginx_config(folder: &Path, address: SocketAddr) -> String {
    let folder = folder.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("  {kind}_temp_path {folder}/{kind};\n"));
    format!(
        "daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nevents {{ worker_connections 512; }}\n\
         http {{\n{}  log_format asked '$status $request_uri';\n  access_log {folder}/access.log asked;\n  \
         types {{ text/html html htm; text/css css; application/javascript js; image/svg+xml svg; \
         image/png png; image/gif gif; application/gzip gz; text/plain txt; }}\n  \
         default_type application/octet-stream;\n  sendfile on;\n  tcp_nopush on;\n  keepalive_requests 1000000;\n  \
         server {{ listen {address}; root {folder}/root; index index.html; }}\n}}\n",
        temporary.concat()
    )
}

/// A site whose pages are made up as they are asked for, so that serving it takes no memory; on a thread of its own.
struct Pages {
    address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    pages: u64,
    delay: Duration,
    answers: AtomicU64,
    /// Of the first answer and the newest.
    times: Mutex<Option<(Instant, Instant)>>,
}

impl Pages {
    fn serve(pages: u64, delay: Duration) -> Pages {
        let seen = Arc::new(Seen {
            pages,
            delay,
            answers: AtomicU64::new(0),
            times: Mutex::new(None),
        });
        let (tell, told) = mpsc::channel();
        let serving = Arc::clone(&seen);
        // It ends with this program.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
                let listener = listener.await.expect("loopback");
                tell.send(listener.local_addr().expect("it is bound"))
                    .expect("the other end waits");
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    tokio::spawn(converse(stream, Arc::clone(&serving)));
                }
            });
        });
        let address = told.recv().expect("it listens");
        Pages { address, seen }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Prints how often it was asked since this was called last.
    fn told(&self, pages: u64) {
        let answers = self.seen.answers.swap(0, Ordering::Relaxed);
        println!("  => {answers} requests for {pages} pages");
        assert!(answers >= pages, "every page is asked for");
    }

    /// Answers a second, from the first to the last.
    fn rate(&self) -> f64 {
        let times = self.seen.times.lock().expect("nobody panics with it");
        let (first, last) = times.expect("it has answered");
        let answers = self.seen.answers.load(Ordering::Relaxed);
        (answers - 1) as f64 / (last - first).as_secs_f64()
    }
}

/// One connection: a request, a pause, an answer, until the client has enough.
async fn converse(mut stream: tokio::net::TcpStream, seen: Arc<Seen>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(4_096);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        if !seen.delay.is_zero() {
            tokio::time::sleep(seen.delay).await;
        }
        let now = Instant::now();
        let answer = answer(&String::from_utf8_lossy(&head), seen.pages);
        seen.answers.fetch_add(1, Ordering::Relaxed);
        {
            let mut times = seen.times.lock().expect("nobody panics with it");
            *times = Some((times.map_or(now, |(first, _)| first), now));
        }
        stream.write_all(answer.as_bytes()).await?;
    }
}

fn answer(head: &str, pages: u64) -> String {
    let path = head.split(' ').nth(1).unwrap_or_default();
    let number = match path {
        "/" => Some(0),
        _ => path
            .rsplit_once("/page-")
            .and_then(|(_, name)| name.strip_suffix(".html")?.parse().ok()),
    };
    let Some(number) = number.filter(|number| *number < pages) else {
        return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
    };
    let kept = format!("ETag: \"{number}\"\r\n");
    if head.to_ascii_lowercase().contains("\r\nif-none-match:") {
        return format!("HTTP/1.1 304 Not Modified\r\n{kept}\r\n");
    }
    let page = page(number, pages);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{kept}Content-Length: {}\r\n\r\n{page}",
        page.len()
    )
}

/// Some 3 kB; every page can be reached from the first.
fn page(number: u64, pages: u64) -> String {
    let mut html =
        format!("<!doctype html>\n<title>Page {number}</title>\n<h1>Page {number}</h1>\n");
    for index in 0..LINKS {
        let target = (number * LINKS + index + 1) % pages;
        let url = match target {
            0 => "/".to_owned(),
            _ => format!("/part-{}/page-{target}.html", target % 1_000),
        };
        html.push_str(&format!(
            "<p>Paragraph {index} of page {number}: what is due, when and to whom. Read <a href=\"{url}\">the page \
             about number {target}</a>.</p>\n"
        ));
    }
    html
}
