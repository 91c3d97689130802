//! What a complete audit costs: 1,000,000 objects against an in-process tier that lists as a bucket does, in key order,
//! 1,000 objects a request, with the MD5 as ETag.
//!
//! The manifest is made in a process of its own, so that the memory shown is the audit's alone: it is read from
//! `/proc/self/status`, as the peak after which nothing was kept. Requests are counted by the tier: exactly the pages of
//! the listing.
//!
//! `cargo bench --bench audit`, or `… --bench audit -- 100000` for another number. `STANDIN_BENCH_DIR` names the place
//! of the state directory. Without `--bench` (as `cargo test --benches` starts it) a few objects show that it works.

#[expect(dead_code, reason = "other measurements use more of it")]
mod support;

use std::ops::Range;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use standin::audit::{Audit, Depth, Order};
use standin::config::TierName;
use standin::content::{ContentHash, KeptHeaders};
use standin::db::Fuse;
use standin::manifest::{
    Confirmation, EtagKind, Evidence, Generation, Manifest, Mark, Outcome, Page, RunId, Staged,
    TierState,
};
use standin::site::{Layout, LayoutName, ObjectKey, PageUrl};
use standin::sync::{self, TierProgress};
use standin::tier::{
    Body, Capabilities, Confirmed, Expect, Fetched, LIST_PAGE, ListPage, Listed, ObjectMeta,
    Prices, Seen, Stated, Tier, TierError, Traffic,
};

use support::{at_most, place, watch};

const OBJECTS: u64 = 1_000_000;
const TINY: u64 = 2_500;

/// The bar.
const PEAK_MB_MAX: f64 = 150.0;

/// URLs in a directory: what a site with deep paths has.
const IN_DIRECTORY: u64 = 1_000;

/// Writes that are confirmed at a time.
const GROUP: u64 = 1_000;

/// Says that this process is the one that audits, or makes, and which state directory.
const PART: &str = "STANDIN_BENCH_AUDIT_PART";
const STATE: &str = "STANDIN_BENCH_AUDIT_STATE";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<u64> = arguments
        .iter()
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let is_earnest = arguments.iter().any(|argument| argument == "--bench");
    let objects = match numbers.first() {
        Some(number) => *number,
        None if is_earnest => OBJECTS,
        None => TINY,
    };
    let state = std::env::var_os(STATE).map(std::path::PathBuf::from);
    match (std::env::var(PART).as_deref(), state) {
        (Ok("make"), Some(state)) => make(&state, objects),
        (Ok("audit"), Some(state)) => audit(&state, objects),
        _ => both(objects),
    }
}

/// Each part in a process of its own.
fn both(objects: u64) {
    let folder = tempfile::tempdir_in(place()).expect("a place for the state");
    println!("{objects} objects");
    for part in ["make", "audit"] {
        let begun = Instant::now();
        let child = Command::new(std::env::current_exe().expect("it is running"))
            .arg(objects.to_string())
            .env(PART, part)
            .env(STATE, folder.path())
            .spawn()
            .expect("it is there");
        let (cpu_s, peak_mb) = watch(child.id());
        let mut child = child;
        assert!(child.wait().expect("it is our child").success(), "{part}");
        let wall_s = begun.elapsed().as_secs_f64();
        println!("{part:<8} {cpu_s:6.2} CPU s  {wall_s:6.2} s  {peak_mb:6.1} MB peak");
        if part == "audit" {
            at_most("peak MB", peak_mb, PEAK_MB_MAX);
        }
    }
}

fn url_of(number: u64) -> PageUrl {
    let (directory, page) = (number / IN_DIRECTORY, number % IN_DIRECTORY);
    let text = format!("https://www.example.org/topic-{directory:05}/a-page-of-it-{page:04}");
    PageUrl::parse(&text).expect("a URL")
}

fn content_of(number: u64) -> ContentHash {
    ContentHash::of(&number.to_le_bytes())
}

fn etag_of(number: u64) -> String {
    format!("{:032x}", u128::from(number) * 0x9e37_79b9_7f4a_7c15)
}

const SIZE: u64 = 20_000;

fn outcome_of(number: u64) -> Outcome {
    let headers = [("content-type", &b"text/html; charset=utf-8"[..])];
    Outcome::Page(Page {
        status: 200,
        content: content_of(number),
        canonical: content_of(number),
        rules: 0,
        crc32c: 0,
        size: SIZE,
        headers: KeptHeaders::keep(headers.into_iter()),
        etag: None,
        last_modified: None,
    })
}

fn layout() -> Layout {
    Layout::new(LayoutName::Plain, [])
}

fn name() -> TierName {
    TierName::parse("primary").expect("a name")
}

/// A manifest of so many pages, all of them confirmed.
fn make(state: &Path, objects: u64) {
    let manifest = Manifest::open(state, &layout(), Fuse::none()).expect("it opens");
    let staged = (0..objects).map(|number| {
        let staged = Staged::Outcome {
            outcome: outcome_of(number),
            located: None,
            fetched: 7,
        };
        Ok((url_of(number), staged))
    });
    let run = RunId("bench".into());
    let committed = manifest.commit(&run, 7, Evidence::Whole, staged);
    committed.expect("it commits");
    let layout = layout();
    for first in (0..objects).step_by(usize::try_from(GROUP).expect("a small number")) {
        let numbers: Vec<u64> = (first..(first + GROUP).min(objects)).collect();
        let pages: Vec<(PageUrl, ObjectKey)> = numbers
            .iter()
            .map(|number| {
                let url = url_of(*number);
                let key = layout.place(&url).key;
                (url, key)
            })
            .collect();
        let confirmed: Vec<Confirmation<'_>> = pages
            .iter()
            .zip(&numbers)
            .map(|((url, key), number)| Confirmation {
                key,
                url,
                mark: Mark::Written {
                    state: [1; 16],
                    size: SIZE,
                    etag: etag_of(*number),
                },
                content: Some(content_of(*number)),
            })
            .collect();
        manifest
            .confirm(&name(), EtagKind::Md5, &confirmed)
            .expect("it confirms");
        let keys: Vec<ObjectKey> = pages.into_iter().map(|(_, key)| key).collect();
        manifest.unmark(&name(), &keys).expect("it unmarks");
    }
    let tier = TierState {
        watermark: Generation(1),
        etag: EtagKind::Md5,
        ..TierState::default()
    };
    manifest.save_tier(&name(), &tier).expect("it saves");
}

fn audit(state: &Path, objects: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let manifest = Manifest::open(state, &layout(), Fuse::none()).expect("it opens");
        let manifest = Arc::new(manifest);
        let bucket = Arc::new(Bucket {
            name: name(),
            objects,
            lists: AtomicU64::new(0),
            others: AtomicU64::new(0),
        });
        let tier: Arc<dyn Tier> = Arc::clone(&bucket) as Arc<dyn Tier>;
        let opened = sync::open_to_look(&manifest, tier, 32, Fuse::none()).await;
        let open = opened.expect("the manifest is read").ok();
        let open = open.expect("the tier is ours to look at");
        let begun = Instant::now();
        let order = Order {
            manifest: &manifest,
            dir: state.join("audit"),
            tiers: vec![&open],
            depth: Depth::default(),
            now: 7,
            fuse: Fuse::none(),
        };
        let audit = Audit::begin(order).await.expect("it begins");
        let made_s = begun.elapsed().as_secs_f64();
        let (found, failed) = audit.tier(&open, &TierProgress::default()).await;
        assert!(failed.is_none(), "{failed:?}");
        assert_eq!((found.checked, found.listed), (objects, objects));
        assert_eq!(found.counts, Default::default());
        assert_eq!(bucket.lists.load(Ordering::Relaxed), objects.div_ceil(LIST_PAGE as u64));
        // The head.
        assert_eq!(bucket.others.load(Ordering::Relaxed), 1);
        audit.end(&[], &[]).expect("it clears up");
        let all_s = begun.elapsed().as_secs_f64();
        println!(
            "         what should be there: {made_s:.2} s; with the listing: {all_s:.2} s, {} requests",
            bucket.lists.load(Ordering::Relaxed)
        );
    });
}

/// A bucket that holds exactly what it should.
struct Bucket {
    name: TierName,
    objects: u64,
    lists: AtomicU64,
    others: AtomicU64,
}

impl Bucket {
    /// The number of the first object behind a key, which is one that was listed.
    fn after(key: Option<&str>) -> u64 {
        let Some(key) = key else { return 0 };
        let mut digits = key.split('-').filter_map(|part| {
            let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().ok()
        });
        let (directory, page) = (digits.next(), digits.next());
        directory.unwrap_or_default() * IN_DIRECTORY + page.unwrap_or_default() + 1
    }

    fn unasked<T>(&self) -> Result<T, TierError> {
        Err(TierError::Unsupported {
            tier: self.name.clone(),
            at: "an object".into(),
            cause: "an audit of the listing asks for none",
        })
    }
}

#[async_trait]
impl Tier for Bucket {
    fn name(&self) -> &TierName {
        &self.name
    }

    fn location(&self) -> String {
        "memory".into()
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        let first = Bucket::after(after);
        let end = (first + limit as u64).min(self.objects);
        let layout = layout();
        let objects: Vec<Listed> = (first..end)
            .map(|number| Listed {
                key: layout.place(&url_of(number)).key,
                size: SIZE,
                etag: etag_of(number),
                stated: Stated::default(),
            })
            .collect();
        Ok(ListPage {
            last: objects.last().map(|listed| listed.key.to_string()),
            more: end < self.objects,
            objects,
            ..ListPage::default()
        })
    }

    async fn read_small(&self, _name: &str) -> Result<Option<(Bytes, String)>, TierError> {
        self.others.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    async fn probe(&self) -> Result<Capabilities, TierError> {
        self.unasked()
    }

    async fn put(&self, _: &ObjectKey, _: Body, _: &ObjectMeta) -> Result<Confirmed, TierError> {
        self.unasked()
    }

    async fn copy(
        &self,
        _: &ObjectKey,
        _: Option<&str>,
        _: &ObjectKey,
        _: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        self.unasked()
    }

    async fn reheader(
        &self,
        _: &ObjectKey,
        _: Option<&str>,
        _: &ObjectMeta,
    ) -> Result<Confirmed, TierError> {
        self.unasked()
    }

    async fn delete(&self, _: &[ObjectKey]) -> Result<Vec<(ObjectKey, TierError)>, TierError> {
        self.unasked()
    }

    async fn get(
        &self,
        _: &ObjectKey,
        _: Option<Range<u64>>,
    ) -> Result<Option<Fetched>, TierError> {
        self.unasked()
    }

    async fn head(&self, _: &ObjectKey) -> Result<Option<Seen>, TierError> {
        self.unasked()
    }

    async fn write_small(&self, _: &str, _: Bytes, _: Option<Expect>) -> Result<String, TierError> {
        self.unasked()
    }

    async fn delete_small(&self, _: &str) -> Result<(), TierError> {
        self.unasked()
    }

    async fn list_small_sizes(&self, _: &str) -> Result<Vec<(String, u64)>, TierError> {
        self.unasked()
    }

    async fn settle(&self) -> Result<(), TierError> {
        self.unasked()
    }

    async fn sweep(&self, _: Duration) -> Result<u64, TierError> {
        self.unasked()
    }

    async fn leftovers(&self, _: Duration) -> Result<u64, TierError> {
        self.unasked()
    }

    fn prices(&self) -> Prices {
        Prices::default()
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
