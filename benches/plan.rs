//! What `standin plan` costs beside a manifest of 1,000,000 pages, and what it costs to see all of them unchanged.
//!
//! The manifest is built once, through the library's own commit; everything that is measured is the real binary in a
//! process of its own, from its start to its end, opening of the database included.
//!
//! - `unchanged`: `standin crawl` of all pages against a server on loopback that answers 304: CPU seconds and memory,
//!   what the state directory has grown by, and that no entry was written and the change log has not grown.
//! - `plan`: `standin plan --json` for a tier that lacks nothing, and for tiers that lag by 0.1 %, 1 % and 10 % of the
//!   pages. Every page that changed is large enough for a look at whether the tier has its body elsewhere.
//!
//! `cargo bench --bench plan`, with `-- plan` for that part alone, or with another number of pages. The folders are in
//! memory where the machine has `/dev/shm`; `STANDIN_BENCH_DIR` names another place, `STANDIN_BENCH_BINARY` another
//! build of standin. Without `--bench` (as `cargo test --benches` starts it) a thousand pages show that it works.

#[expect(dead_code, reason = "other measurements use more of it")]
mod support;

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use standin::config::TierName;
use standin::content::{ContentHash, Digest, KeptHeaders};
use standin::db::Fuse;
use standin::manifest::{Evidence, Generation, Manifest, Outcome, Page, RunId, Staged, TierState};
use standin::site::{Layout, LayoutName, PageUrl};
use standin::store::{Located, Place};
use standin::tier::{Capabilities, EtagMeaning};
use support::{at_most, median, place, watch};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PAGES: u64 = 1_000_000;
/// As few as a thousandth can be told of.
const PAGES_TINY: u64 = 1_000;
const ROUNDS: usize = 7;

/// Tiers by name, and how many of a thousand pages have changed since.
const TIERS: [(&str, u64); 4] = [
    ("current", 0),
    ("behind-1", 1),
    ("behind-10", 10),
    ("behind-100", 100),
];

/// The bars, in milliseconds and megabytes.
const NOTHING_MS_MAX: f64 = 50.0;
const HUNDREDTH_MS_MAX: f64 = 200.0;
const PEAK_MB_MAX: f64 = 100.0;

/// Bodies of the size of real pages; all are large enough to be worth a copy inside a bucket.
const BYTES_MIN: u64 = 16_384;
const BYTES_SPAN: u64 = 50_000;

/// A prime, so that the pages which change lie scattered over the whole site.
const STRIDE: u64 = 7_919;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    let in_earnest = asked("--bench");
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let pages = number.unwrap_or(if in_earnest { PAGES } else { PAGES_TINY });
    let rounds = if in_earnest { ROUNDS } else { 1 };
    let site = Site::serve(pages);
    let work = Work::begin(&site);
    work.fill(&site);
    if asked("unchanged") || !asked("plan") {
        work.observe(&site);
    }
    if asked("plan") || !asked("unchanged") {
        work.change(&site);
        work.plan(pages, rounds);
    }
}

/// A configuration and its state directory.
struct Work {
    folder: TempDir,
}

/// What one process used.
struct Used {
    cpu_s: f64,
    wall_s: f64,
    peak_mb: f64,
}

impl Work {
    /// A mirror whose first crawl has found the home page: from here on identity and scope of the site are known.
    fn begin(site: &Site) -> Work {
        let folder = tempfile::tempdir_in(place()).expect("a folder");
        let tiers = TIERS.map(|(name, _)| {
            format!(
                "[[tier]]\nname = \"{name}\"\nurl = \"s3://bench/{name}\"\nendpoint = \"http://127.0.0.1:9\"\n\
                 region = \"us-east-1\"\npath_style = true\n\
                 credentials = {{ access_key_id_env = \"BENCH_ID\", secret_access_key_env = \"BENCH_KEY\" }}\n"
            )
        });
        let text = format!(
            "[site]\nseeds = [\"{}\"]\nrobots = \"ignore\"\n[crawl]\nconcurrency = 32\nstrategy = \"lastmod\"\n\
             refetch_share = 1.0\n{}",
            site.url("/"),
            tiers.concat()
        );
        fs::write(folder.path().join("standin.toml"), text).expect("there is room");
        let work = Work { folder };
        let used = work.standin(&["crawl", "--quiet"], &work.file("out"));
        assert!(used.cpu_s >= 0.0);
        work
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn manifest(&self) -> Manifest {
        let layout = Layout::new(LayoutName::Plain, []);
        Manifest::open(&self.file("state"), &layout, Fuse::none()).expect("it opens")
    }

    /// All pages as one generation, which every tier holds.
    fn fill(&self, site: &Site) {
        let begun = Instant::now();
        let manifest = self.manifest();
        commit(&manifest, site.urls(0, 1, 0));
        for (name, _) in TIERS {
            self.hold(&manifest, name);
        }
        println!(
            "{} pages committed in {:.1} s, {:.0} MB on the disk",
            site.pages,
            begun.elapsed().as_secs_f64(),
            megabytes(&self.file("state/manifest"))
        );
    }

    /// Lets a tier hold the newest generation, as if a sync had just ended.
    fn hold(&self, manifest: &Manifest, name: &str) {
        let tier = TierName::parse(name).expect("a name");
        let state = TierState {
            watermark: manifest.generation(),
            head: manifest.generation(),
            epoch: 1,
            capabilities: Some(Capabilities {
                etag: EtagMeaning::Md5,
                conditional_writes: true,
                keeps_versions: None,
                locks_objects: None,
                copies_cheaply: true,
            }),
            ..TierState::default()
        };
        manifest.end_plan(&tier, &state).expect("there is room");
    }

    /// The changes that each tier still lacks, each kind as a generation of its own.
    fn change(&self, site: &Site) {
        let manifest = self.manifest();
        let mut begins = 0;
        for (index, (name, thousandths)) in TIERS.iter().enumerate().rev() {
            self.hold(&manifest, name);
            let less = if index == 0 { 0 } else { TIERS[index - 1].1 };
            let count = site.pages * (thousandths - less) / 1_000;
            if count > 0 {
                commit(
                    &manifest,
                    site.urls(begins, 1, begins + 1).take(count as usize),
                );
            }
            begins += count;
        }
        // As a run does at its end.
        let names = TIERS.map(|(name, _)| TierName::parse(name).expect("a name"));
        manifest.close(&names).expect("there is room");
    }

    fn plan(&self, pages: u64, rounds: usize) {
        println!("{:<24}   wall ms   CPU ms   peak MB", "standin plan");
        for (name, thousandths) in TIERS {
            let mut walls = Vec::new();
            let (mut cpu_s, mut peak_mb) = (0.0, 0.0_f64);
            let out = self.file("plan.json");
            for _ in 0..rounds {
                let used = self.standin(&["plan", "--json", "--tier", name], &out);
                walls.push(used.wall_s * 1e3);
                cpu_s += used.cpu_s;
                peak_mb = peak_mb.max(used.peak_mb);
            }
            let wall_ms = median(&mut walls);
            let cpu_ms = cpu_s * 1e3 / rounds as f64;
            let lag = thousandths as f64 / 10.0;
            println!("{name:<16} {lag:>5} %   {wall_ms:>7.1}   {cpu_ms:>6.0}   {peak_mb:>7.1}");
            let plan = fs::read(&out).expect("it was written");
            let plan: serde_json::Value = serde_json::from_slice(&plan).expect("one document");
            let named = plan["tiers"][0]["operations"].as_array();
            let named = named.map_or(0, Vec::len) as u64;
            assert_eq!(named, pages * thousandths / 1_000, "each change is named");
            match thousandths {
                0 => at_most("ms", wall_ms, NOTHING_MS_MAX),
                10 => at_most("ms", wall_ms, HUNDREDTH_MS_MAX),
                _ => (),
            }
            if thousandths <= 10 {
                at_most("peak MB", peak_mb, PEAK_MB_MAX);
            }
        }
    }

    /// A crawl in which every page answers that it has not changed.
    fn observe(&self, site: &Site) {
        let before = self.inside();
        let (manifest_mb, state_mb) = (
            megabytes(&self.file("state/manifest")),
            megabytes(&self.file("state")),
        );
        site.answers.store(0, Ordering::Relaxed);
        let used = self.standin(&["crawl", "--quiet"], &self.file("out"));
        let answers = site.answers.load(Ordering::Relaxed);
        println!(
            "{answers} answers, all unchanged: {:.1} CPU s, {:.1} s, {:.0} MB; the database has grown by {:.1} MB, the \
             state directory by {:.1} MB",
            used.cpu_s,
            used.wall_s,
            used.peak_mb,
            megabytes(&self.file("state/manifest")) - manifest_mb,
            megabytes(&self.file("state")) - state_mb
        );
        assert!(answers >= site.pages, "every page is asked for");
        let after = self.inside();
        assert_eq!(before, after, "no entry was written, no change was logged");
        println!(
            "  => {} entries and {} rows of the change log, all as they were",
            after.entries, after.changes
        );
    }

    /// What the manifest holds, with a digest over all of its entries.
    fn inside(&self) -> Inside {
        let manifest = self.manifest();
        let mut digest = blake3::Hasher::new();
        let mut entries = 0;
        for row in manifest.entries(None) {
            let (url, entry) = row.expect("readable");
            digest.update(url.as_str().as_bytes());
            digest.update(&standin::manifest::encode_record(&entry));
            entries += 1;
        }
        Inside {
            generation: manifest.generation(),
            changes: manifest.changes_after(Generation::NONE).count(),
            entries,
            digest: digest.finalize(),
        }
    }

    /// Runs standin to its end.
    fn standin(&self, arguments: &[&str], out: &Path) -> Used {
        let built = env!("CARGO_BIN_EXE_standin").into();
        let named = std::env::var_os("STANDIN_BENCH_BINARY");
        let mut command = Command::new(named.unwrap_or(built));
        command.args(arguments).arg("--config");
        command.arg(self.file("standin.toml"));
        command.env("BENCH_ID", "id").env("BENCH_KEY", "key");
        command.stdin(Stdio::null());
        command.stdout(File::create(out).expect("it is ours"));
        let begun = Instant::now();
        let mut child = command.spawn().expect("it is there");
        let (cpu_s, peak_mb) = watch(child.id());
        let wall_s = begun.elapsed().as_secs_f64();
        let status = child.wait().expect("it has ended");
        assert!(status.success(), "{arguments:?}: {status}");
        Used {
            cpu_s,
            wall_s,
            peak_mb,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Inside {
    generation: Generation,
    changes: usize,
    entries: u64,
    digest: blake3::Hash,
}

/// These pages in these versions as one generation, in the order of their URLs as a crawl stages them.
fn commit(manifest: &Manifest, pages: impl Iterator<Item = (PageUrl, u64, u64)>) {
    let mut pages: Vec<_> = pages.collect();
    pages.sort();
    let staged = pages.into_iter().map(|(url, number, version)| {
        let digest = digest(number, version);
        let page = Page {
            status: 200,
            content: digest.content,
            canonical: digest.content,
            rules: 0,
            crc32c: digest.crc32c,
            size: digest.size,
            headers: KeptHeaders::keep(
                [
                    ("content-type", b"text/html; charset=utf-8".as_slice()),
                    ("cache-control", b"max-age=300".as_slice()),
                ]
                .into_iter(),
            ),
            etag: Some(etag(&url)),
            last_modified: None,
        };
        let offset = number % 1_000 * 65_536;
        let number = u32::try_from(number / 1_000).expect("few segments");
        let place = Place::Segment { number, offset };
        let outcome = Staged::Outcome {
            outcome: Outcome::Page(page),
            located: Some(Located { digest, place }),
            fetched: 1_700_000_000,
        };
        Ok((url, outcome))
    });
    let run = RunId("20261121T000000Z-00000000".into());
    let done = manifest.commit(&run, 1_700_000_000, Evidence::Part, staged);
    assert!(done.is_ok(), "{done:?}");
}

/// As of a body that nobody has to make.
fn digest(number: u64, version: u64) -> Digest {
    let content = ContentHash::of(format!("{number} {version}").as_bytes());
    let bytes = content.as_bytes();
    let random = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"));
    Digest {
        content,
        crc32c: random as u32,
        size: BYTES_MIN + random % BYTES_SPAN,
    }
}

/// The server answers the same for a URL all the time.
fn etag(url: &PageUrl) -> String {
    format!(
        "\"{}\"",
        &blake3::hash(url.path().as_bytes()).to_hex()[..16]
    )
}

fn megabytes(folder: &Path) -> f64 {
    fn bytes(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let about = fs::symlink_metadata(path).expect("it is there");
        if !about.is_dir() {
            return about.blocks() * 512;
        }
        let names = fs::read_dir(path).expect("readable");
        names
            .map(|name| bytes(&name.expect("readable").path()))
            .sum()
    }
    bytes(folder) as f64 / 1e6
}

/// A server that knows every page, and that none has changed.
struct Site {
    address: SocketAddr,
    pages: u64,
    answers: Arc<AtomicU64>,
}

impl Site {
    fn serve(pages: u64) -> Site {
        let answers = Arc::new(AtomicU64::new(0));
        let (tell, told) = mpsc::channel();
        let counted = Arc::clone(&answers);
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
                    tokio::spawn(converse(stream, Arc::clone(&counted)));
                }
            });
        });
        Site {
            address: told.recv().expect("it listens"),
            pages,
            answers,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Pages from the `first` on, each with its number and this version, scattered over the site.
    fn urls(
        &self,
        first: u64,
        step: u64,
        version: u64,
    ) -> impl Iterator<Item = (PageUrl, u64, u64)> {
        let numbers = (first..self.pages).map(move |at| at * step * STRIDE % self.pages);
        numbers.map(move |number| {
            let path = format!(
                "/government/publications/{:03}/guidance-about-something-that-is-due-{number}",
                number % 997
            );
            let url = PageUrl::parse(&self.url(&path)).expect("a URL");
            (url, number, version)
        })
    }
}

/// One connection: an answer to each request, until the client has enough.
async fn converse(mut stream: tokio::net::TcpStream, answers: Arc<AtomicU64>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut head = Vec::with_capacity(4_096);
    loop {
        head.clear();
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        answers.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let answer = match text.split_once("\r\nif-none-match: ") {
            Some((_, rest)) => {
                let tag = rest.lines().next().unwrap_or_default();
                format!("HTTP/1.1 304 Not Modified\r\nETag: {tag}\r\n\r\n")
            }
            None => "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"home\"\r\nContent-Length: 15\r\n\r\n\
                     <title>Home</ti"
                .to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
}
