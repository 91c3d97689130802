//! What a recovery costs, in three parts.
//!
//! - `manifest`: a manifest of 1,000,000 entries, made again from its checkpoint by `standin rebuild manifest` in a
//!   process of its own: CPU seconds and peak memory.
//! - `increment`: the checkpoint after 100 changes among those entries: bytes written.
//! - `tier`: an emptied folder tier of 200 MB, filled from the store: the bytes that the process reads and writes,
//!   beside those of a plain copy, and the seconds of both.
//!
//! `cargo bench --bench rebuild`, or `… --bench rebuild -- tier` for one part; a number takes the place of the million.
//! The folders are in memory where the machine has `/dev/shm`; `STANDIN_BENCH_DIR` names another place,
//! `STANDIN_BENCH_BINARY` another build of standin. Without `--bench` (as `cargo test --benches` starts it) small ones
//! show that it works.

#[expect(dead_code, reason = "what other measurements share")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use standin::config::{self, TierName};
use standin::content::{ContentHash, KeptHeaders};
use standin::db::Fuse;
use standin::manifest::kept::Look;
use standin::manifest::{Evidence, Manifest, Outcome, Page, RunId, Staged};
use standin::run::{self, BodiesFrom, Live, Surroundings, Verdict};
use standin::site::{Layout, LayoutName, PageUrl};
use support::{at_most, place, watch};
use tempfile::TempDir;

/// The bars.
const CPU_S_MAX: f64 = 30.0;
const INCREMENT_MB_MAX: f64 = 1.0;
const COPY_RATIO_MAX: f64 = 1.1;

const ENTRIES: u64 = 1_000_000;
const CHANGES: u64 = 100;

/// What is measured: all of it, or little of it in little time.
#[derive(Clone, Copy, PartialEq)]
enum Size {
    Earnest,
    Tiny,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |part: &str| arguments.iter().any(|argument| argument == part);
    let size = match asked("--bench") {
        true => Size::Earnest,
        false => Size::Tiny,
    };
    let number = arguments.iter().find_map(|argument| argument.parse().ok());
    let entries = number.unwrap_or(match size {
        Size::Earnest => ENTRIES,
        Size::Tiny => 2_000,
    });
    let all = !["manifest", "increment", "tier"]
        .iter()
        .any(|part| asked(part));
    standin::http::install_crypto();
    if all || asked("manifest") || asked("increment") {
        manifest(entries);
    }
    if all || asked("tier") {
        tier(size);
    }
}

fn folder() -> TempDir {
    tempfile::tempdir_in(place()).expect("there is room")
}

fn url(number: u64) -> PageUrl {
    let text = format!(
        "https://www.example.org/section-{}/topic-{}/page-{number}",
        number % 40,
        number / 1_000
    );
    PageUrl::parse(&text).expect("it is one")
}

fn outcome(number: u64, version: u64) -> Outcome {
    let content = ContentHash::of(format!("{number} {version}").as_bytes());
    let headers = [
        ("content-type", b"text/html; charset=utf-8".as_slice()),
        ("cache-control", b"max-age=300, public".as_slice()),
    ];
    Outcome::Page(Page {
        status: 200,
        content,
        canonical: ContentHash::of(format!("{number} {version} canonical").as_bytes()),
        rules: 0,
        crc32c: 7,
        size: 20_000 + number % 30_000,
        headers: KeptHeaders::keep(headers.into_iter()),
        etag: Some(format!("\"{}\"", &content.to_string()[..32])),
        last_modified: Some("Sat, 21 Nov 2026 10:45:00 GMT".into()),
    })
}

fn commit(manifest: &Manifest, numbers: impl Iterator<Item = u64>, version: u64) {
    let staged = numbers.map(|number| {
        let staged = Staged::Outcome {
            outcome: outcome(number, version),
            located: None,
            fetched: 1_795_258_000,
        };
        Ok((url(number), staged))
    });
    let run = RunId(format!("20261121T104500Z-{version:08x}"));
    manifest
        .commit(&run, 1_795_258_000, Evidence::Whole, staged)
        .expect("it is committed");
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("it is there");
    let lengths = files.map(|file| file.and_then(|file| file.metadata()));
    lengths
        .map(|metadata| metadata.expect("readable").len())
        .sum()
}

fn manifest(entries: u64) {
    let folder = folder();
    let state = folder.path().join("before");
    fs::create_dir_all(&state).expect("a folder");
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest = Manifest::open(&state, &layout, Fuse::none()).expect("it opens");
    println!("{entries} entries");
    commit(&manifest, 0..entries, 1);
    let tiers = [TierName::parse("one").expect("a name")];
    manifest
        .keep_checkpoint(&tiers, 3, Look::Lengths)
        .expect("it is kept");
    let place = state.join("checkpoint");
    let base = bytes_in(&place);
    println!("  the checkpoint: {:.1} MB", base as f64 / 1e6);
    let step = (entries / CHANGES).max(1);
    commit(&manifest, (0..CHANGES).map(|n| (n * step) % entries), 2);
    manifest
        .keep_checkpoint(&tiers, 3, Look::Lengths)
        .expect("it is kept");
    // The index is written as a whole each time.
    let index = fs::metadata(place.join("index.json"))
        .expect("it is there")
        .len();
    let fresh = bytes_in(&place) - base + index;
    at_most(
        "MB written after 100 changes",
        fresh as f64 / 1e6,
        INCREMENT_MB_MAX,
    );
    drop(manifest);

    let config = "[site]\nseeds = [\"https://www.example.org/\"]\n[[tier]]\nname = \"one\"\nurl = \"file:tiers/one\"\n";
    fs::write(folder.path().join("standin.toml"), config).expect("it is ours");
    let mut command = Command::new(binary());
    command
        .args(["rebuild", "manifest", "--from", "before", "-q"])
        .current_dir(folder.path())
        .stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn().expect("the binary is there");
    let (cpu_s, peak_mb) = watch(child.id());
    let status = child.wait().expect("it is our child");
    assert!(status.success(), "{status}");
    println!(
        "  rebuild manifest: {cpu_s:.1} CPU s, {:.1} s, {peak_mb:.0} MB",
        begun.elapsed().as_secs_f64()
    );
    at_most("CPU s of a rebuilt manifest", cpu_s, CPU_S_MAX);
    let made = Manifest::open(&folder.path().join("state"), &layout, Fuse::none());
    let counts = made.expect("it opens").about().counts;
    assert_eq!(counts.pages, entries);
}

fn binary() -> PathBuf {
    let named = std::env::var_os("STANDIN_BENCH_BINARY").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_standin")))
}

/// Bytes that this process has read and written, by system calls.
fn moved() -> u64 {
    let text = fs::read_to_string("/proc/self/io").expect("Linux");
    let fields = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        matches!(name, "rchar" | "wchar").then(|| value.parse::<u64>().unwrap_or(0))
    });
    fields.sum()
}

fn tier(size: Size) {
    let (files, bytes) = match size {
        Size::Earnest => (2_000, 100_000),
        Size::Tiny => (20, 100_000),
    };
    let folder = folder();
    let source = folder.path().join("site");
    fs::create_dir_all(&source).expect("a folder");
    let mut seed = 1_u64;
    for number in 0..files {
        let body: Vec<u8> = std::iter::repeat_with(|| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()
        })
        .take(bytes / 8)
        .flatten()
        .collect();
        fs::write(source.join(format!("{number}.bin")), body).expect("there is room");
    }
    let home = PageUrl::parse("https://www.example.org/").expect("it is one");
    let config = config::for_tiers(&home, folder.path(), &["one"]);
    let live = Live::default();
    let around = || Surroundings {
        live: &live,
        fuse: Fuse::none(),
        clock: run::now,
        verb: "bench",
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let filled = runtime.block_on(run::publish(&source, &config, around()));
    assert_eq!(filled.expect("it is published").verdict, Verdict::Ok);
    fs::remove_dir_all(folder.path().join("tiers/one")).expect("it was there");

    let copy = folder.path().join("copy");
    fs::create_dir_all(&copy).expect("a folder");
    let (before, begun) = (moved(), Instant::now());
    for number in 0..files {
        let name = format!("{number}.bin");
        let body = fs::read(source.join(&name)).expect("it is there");
        fs::write(copy.join(&name), body).expect("there is room");
    }
    let (plain, plain_s) = (moved() - before, begun.elapsed().as_secs_f64());

    let name = TierName::parse("one").expect("a name");
    let (before, begun) = (moved(), Instant::now());
    let surroundings = around();
    let done = run::rebuild_tier(&config, &name, &BodiesFrom::Store, &surroundings);
    let done = runtime.block_on(done).expect("it is filled");
    let (ours, ours_s) = (moved() - before, begun.elapsed().as_secs_f64());
    assert_eq!(done.verdict, Verdict::Ok, "{:?}", done.reasons);
    println!(
        "{files} objects, {:.0} MB: a plain copy {plain_s:.2} s, the tier {ours_s:.2} s",
        (files * bytes) as f64 / 1e6
    );
    at_most(
        "bytes moved to fill a tier, beside a plain copy",
        ours as f64 / plain as f64,
        COPY_RATIO_MAX,
    );
}
