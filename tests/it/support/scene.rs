//! A site on loopback and a mirror of it in one folder, run inside the test's own process: what was asked of the site
//! in the last run, in which order, and what the mirror has.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use standin::config::{self, Config};
use standin::db::Fuse;
use standin::run::{self, Live, RunError, RunReport, Stages, Surroundings};
use standin::site::PageUrl;
use tempfile::TempDir;

use super::origin::{Origin, Page};

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// How long a run may take to come to a certain place.
const PATIENCE: Duration = Duration::from_secs(20);

thread_local! {
    /// What this test's clock is ahead of the world's, in seconds.
    static AHEAD: Cell<i64> = const { Cell::new(0) };
}

/// The clock of this test.
pub fn clock() -> i64 {
    run::now() + AHEAD.get()
}

/// From now on it is so many days later than it is.
pub fn go_to_day(days: i64) {
    AHEAD.set(days * DAY_SECONDS);
}

/// Some time passes.
pub fn wait_seconds(seconds: i64) {
    AHEAD.set(AHEAD.get() + seconds);
}

/// From now on it is this moment of today's (seconds since midnight, UTC), and the clock goes on.
pub fn go_to_second_of_day(second: i64) {
    AHEAD.set(second - run::now().rem_euclid(DAY_SECONDS));
}

/// See the paragraph of this file.
pub struct Scene {
    pub origin: Origin,
    pub config: Config,
    folder: TempDir,
    /// Runs that were killed.
    lives: u32,
}

impl Scene {
    /// A site without pages, mirrored from `/`.
    pub fn new() -> Scene {
        standin::http::install_crypto();
        AHEAD.set(0);
        let origin = Origin::start();
        let memory = Path::new("/dev/shm");
        let folder = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a folder");
        let home = PageUrl::parse(&origin.url("/")).expect("a URL");
        let config = config::for_tiers(&home, folder.path(), &["copy"]);
        Scene {
            origin,
            config,
            folder,
            lives: 0,
        }
    }

    /// One request at a time, so that the order of the requests is the order of the crawl.
    pub fn in_order() -> Scene {
        let mut scene = Scene::new();
        scene.config.crawl.concurrency = 1;
        scene
    }

    /// A page that links to these and says this.
    pub fn page(&self, path: &str, links: &[&str], text: &str) {
        let links = links.iter().map(|link| format!("<a href=\"{link}\">x</a>"));
        let body = format!("{}<p>{text}</p>", links.collect::<String>());
        self.origin
            .set(path, Page::html(body.clone()).etag(&tag(&body)));
    }

    /// A whole run; only its requests are counted from now on.
    pub fn run(&self) -> RunReport {
        self.try_run(&Fuse::none()).expect("the run can go on")
    }

    pub fn run_only(&self, paths: &[&str]) -> RunReport {
        let urls: Vec<PageUrl> = paths.iter().map(|path| self.url(path)).collect();
        self.origin.clear_requests();
        let live = Live::default();
        let ran = run::run_only(&urls, &self.config, self.around(&live, &Fuse::none()));
        runtime().block_on(ran).expect("the run can go on")
    }

    /// A run up to the commit, for large sites.
    pub fn crawl(&self) -> RunReport {
        let ran = self.stages(Stages::Crawl, &Fuse::none());
        ran.expect("the run can go on")
    }

    pub fn try_run(&self, fuse: &Fuse) -> Result<RunReport, RunError> {
        self.stages(Stages::All, fuse)
    }

    fn stages(&self, stages: Stages, fuse: &Fuse) -> Result<RunReport, RunError> {
        self.origin.clear_requests();
        let live = Live::default();
        let ran = run::run(&self.config, stages, self.around(&live, fuse));
        runtime().block_on(ran)
    }

    /// A run whose process dies when it has passed this durable write so many times; what it leaves is what a killed
    /// process leaves.
    pub fn run_killed(&mut self, place: &str, passes: u64) {
        let fuse = Fuse::at(place, passes);
        let ran = self.try_run(&fuse);
        assert!(fuse.is_blown(), "nobody was killed: {ran:?}");
        self.go_on_elsewhere();
    }

    /// Goes on with a copy, since databases that are not closed are flushed when the fuse goes.
    fn go_on_elsewhere(&mut self) {
        self.lives += 1;
        let next = self.folder.path().join(format!("state-{}", self.lives));
        copy_tree(&self.config.state.dir, &next);
        self.config.state.dir = next;
    }

    /// A run that may die on its way; true if it has. What it leaves then is what a killed process leaves.
    pub fn run_until(&mut self, fuse: &Fuse) -> bool {
        let ran = self.try_run(fuse);
        if !fuse.is_blown() {
            ran.expect("nothing is wrong");
            return false;
        }
        self.go_on_elsewhere();
        true
    }

    /// A run of which only its beginning is wanted: it is dropped as soon as `is_enough` of what it shows, and by then
    /// the rest has not happened.
    pub fn begin(&self, is_enough: impl Fn(&Live) -> bool) {
        self.origin.clear_requests();
        let live = Live::default();
        let fuse = Fuse::none();
        let ran = run::run(&self.config, Stages::All, self.around(&live, &fuse));
        let watched = async {
            while !is_enough(&live) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        runtime().block_on(async {
            tokio::select! {
                ended = ran => panic!("it has ended: {ended:?}"),
                seen = tokio::time::timeout(PATIENCE, watched) => seen.expect("it comes so far"),
            }
        });
    }

    fn around<'a>(&self, live: &'a Live, fuse: &Fuse) -> Surroundings<'a> {
        Surroundings {
            live,
            fuse: fuse.clone(),
            clock,
            verb: "run",
        }
    }

    pub fn url(&self, path: &str) -> PageUrl {
        PageUrl::parse(&self.origin.url(path)).expect("a URL")
    }

    /// Paths with queries of the last run's requests, in their order.
    pub fn asked(&self) -> Vec<String> {
        asked(&self.origin)
    }

    /// The same in the order of their text, where that of the requests does not matter.
    pub fn asked_sorted(&self) -> Vec<String> {
        let mut asked = self.asked();
        asked.sort();
        asked
    }

    /// How often each was asked for in the last run.
    pub fn times(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for path in self.asked() {
            *times.entry(path).or_default() += 1;
        }
        times
    }

    /// What the tier holds of this site, by key without the host.
    pub fn stored(&self) -> BTreeMap<String, String> {
        self.stored_of(&self.origin)
    }

    pub fn stored_of(&self, origin: &Origin) -> BTreeMap<String, String> {
        let root = self.tier().join(super::binary::key_start(origin));
        let files = super::binary::paths_below(&root).into_iter();
        let named = files.map(|path| {
            let name = path.strip_prefix(&root).expect("it is below");
            let bytes = std::fs::read(&path).expect("nobody changes it now");
            let text = String::from_utf8_lossy(&bytes).into_owned();
            (name.to_str().expect("names are text").to_owned(), text)
        });
        named.collect()
    }

    pub fn tier(&self) -> PathBuf {
        self.folder.path().join("tiers/copy")
    }
}

/// Paths with queries of the requests since they were cleared, in their order.
pub fn asked(origin: &Origin) -> Vec<String> {
    let requests = origin.requests().into_iter();
    requests.map(|(_, path, _)| path).collect()
}

/// Where in the order of requests each of the paths was asked for; each must be there once.
#[track_caller]
pub fn places<const N: usize>(asked: &[String], paths: [&str; N]) -> [usize; N] {
    paths.map(|path| {
        let all: Vec<usize> = (0..asked.len()).filter(|at| asked[*at] == path).collect();
        assert_eq!(all.len(), 1, "{path} in {asked:?}");
        all[0]
    })
}

/// A sitemap of these paths with their dates, empty for none.
pub fn sitemap(origin: &Origin, entries: &[(&str, &str)]) -> Page {
    let entries = entries.iter().map(|(path, date)| {
        let lastmod = match date.is_empty() {
            true => String::new(),
            false => format!("<lastmod>{date}</lastmod>"),
        };
        format!("<url><loc>{}</loc>{lastmod}</url>", origin.url(path))
    });
    xml("urlset", &entries.collect::<String>())
}

/// An index of sitemaps at these paths.
pub fn index(origin: &Origin, entries: &[(&str, &str)]) -> Page {
    let Page { body, .. } = sitemap(origin, entries);
    let text = String::from_utf8(body.to_vec()).expect("it is text");
    let text = text
        .replace("urlset", "sitemapindex")
        .replace("url>", "sitemap>");
    Page::new("application/xml", text.clone()).etag(&tag(&text))
}

/// robots.txt that permits everything and names these sitemaps.
pub fn robots(origin: &Origin, rules: &str, sitemaps: &[&str]) {
    let lines = sitemaps
        .iter()
        .map(|path| format!("Sitemap: {}\n", origin.url(path)));
    let text = format!("User-agent: *\n{rules}\n{}", lines.collect::<String>());
    origin.set("/robots.txt", Page::new("text/plain", text));
}

/// So many days from now as a sitemap has it, with its time.
pub fn date(days: i64) -> String {
    run::rfc3339(run::now() + days * DAY_SECONDS)
}

fn xml(root: &str, inside: &str) -> Page {
    let text = format!("<?xml version=\"1.0\"?><{root}>{inside}</{root}>");
    Page::new("application/xml", text.clone()).etag(&tag(&text))
}

/// Another one for another text.
fn tag(text: &str) -> String {
    format!("\"{}\"", &blake3::hash(text.as_bytes()).to_hex()[..16])
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn copy_tree(from: &Path, to: &Path) {
    for path in super::binary::paths_below(from) {
        let target = to.join(path.strip_prefix(from).expect("it is below"));
        std::fs::create_dir_all(target.parent().expect("it has one")).expect("it is ours");
        std::fs::copy(&path, &target).expect("there is room");
    }
}
