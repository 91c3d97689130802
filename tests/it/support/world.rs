//! A mirror and everything around it: a scripted origin, a folder tier, an S3 tier, a state directory, and
//! runs of the real thing between them. A run that is cut short leaves what a killed process leaves: what was
//! on disk or in a tier by then, and nothing of its memory.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use standin::config::{self, Config, S3Options, Secret, TierConfig, TierName, TierTarget};
use standin::db::Fuse;
use standin::manifest::Manifest;
use standin::run::{Live, RunError, RunReport, Stages, Surroundings, run};
use standin::site::{Layout, PageUrl};
use standin::tier::{DirectoryTier, Tier};
use tempfile::TempDir;

use super::origin::Origin;
use super::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};

pub const LOCAL: &str = "local";
pub const REMOTE: &str = "remote";

pub const BUCKET: &str = "mirror";

/// The S3 tier shares its bucket, so that a forgotten prefix would show.
const PREFIX: &str = "copy";

/// A run that finds its own lock taken is tried again so often, some milliseconds apart: each open of a
/// database starts a process, which for an instant holds whatever other threads of the tests had open.
const LOCKED_FOR: u32 = 100;

/// Small objects of ours, which are no objects of the site.
const OURS: &str = ".standin/";

pub struct World {
    pub origin: Origin,
    pub s3: S3Server,
    pub config: Config,
    folder: TempDir,
    /// Runs that were killed.
    lives: u32,
}

/// An object as a tier holds it, in words that both kinds of tier share.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    pub body: Vec<u8>,
    pub url: String,
    /// BLAKE3 of the body, as its metadata says.
    pub content: String,
    pub status: u16,
    pub location: Option<String>,
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
}

/// In one line, with the body as text: there are many of them in a failed test.
impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Held {
            url,
            status,
            location,
            content_type,
            cache_control,
            content_disposition,
            ..
        } = self;
        let body = String::from_utf8_lossy(&self.body);
        write!(
            f,
            "{url} {status} {location:?} {content_type:?} {cache_control:?} {content_disposition:?} {body:?}"
        )
    }
}

/// All objects of the site in one tier, by key.
pub type Holding = BTreeMap<String, Held>;

impl World {
    /// A site without pages, mirrored from `/` into two empty tiers.
    pub fn new() -> World {
        let origin = Origin::start();
        let s3 = S3Server::start(&[BUCKET]);
        let folder = folder();
        let seed = PageUrl::parse(&origin.url("/")).expect("a URL");
        let mut config = config::for_tiers(&seed, folder.path(), &[LOCAL]);
        config.tiers.push(TierConfig {
            name: TierName::parse(REMOTE).expect("a name"),
            target: TierTarget::S3(S3Options {
                bucket: BUCKET.into(),
                prefix: PREFIX.into(),
                endpoint: Some(s3.endpoint()),
                region: Some("us-east-1".into()),
                path_style: true,
                access_key_id: Some(Secret::from(ACCESS_KEY.to_owned())),
                secret_access_key: Some(Secret::from(SECRET_KEY.to_owned())),
                ..S3Options::default()
            }),
            concurrency_max: TierConfig::CONCURRENCY_MAX_DEFAULT,
            override_name: None,
        });
        World {
            origin,
            s3,
            config,
            folder,
            lives: 0,
        }
    }

    /// One whole run, or as much of it as the fuse lets through.
    pub fn run(&mut self, fuse: &Fuse) -> Result<RunReport, RunError> {
        self.stages(Stages::All, fuse)
    }

    /// As [`World::run`], for some stages only.
    pub fn stages(&mut self, stages: Stages, fuse: &Fuse) -> Result<RunReport, RunError> {
        let mut ran = self.once(stages, fuse);
        for _ in 0..LOCKED_FOR {
            if !matches!(ran, Err(RunError::Locked(_))) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
            ran = self.once(stages, fuse);
        }
        if fuse.is_blown() {
            self.go_on_elsewhere();
        }
        ran
    }

    fn once(&self, stages: Stages, fuse: &Fuse) -> Result<RunReport, RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let live = Live::default();
        let around = Surroundings {
            live: &live,
            fuse: fuse.clone(),
            clock: standin::run::now,
            verb: "run",
        };
        runtime.block_on(run(&self.config, stages, around))
    }

    /// Continues with a copy of the state directory as a killed run has left it: its databases are not
    /// closed, which would flush them, before the fuse is dropped.
    fn go_on_elsewhere(&mut self) {
        self.lives += 1;
        let next = self.folder.path().join(format!("state-{}", self.lives));
        copy_tree(&self.config.state.dir, &next);
        self.config.state.dir = next;
    }

    /// Takes the configured layout on, or as much of it as the fuse lets through. The next run moves the tiers.
    pub fn migrate_layout(&mut self, fuse: &Fuse) -> Result<(), RunError> {
        let done = standin::run::migrate_layout(&self.config, fuse.clone());
        if fuse.is_blown() {
            self.go_on_elsewhere();
        }
        done
    }

    /// Goes on with a copy of the state directory, as a machine would that was cloned.
    pub fn copy_state(&mut self, name: &str) {
        let copy = self.folder.path().join(name);
        copy_tree(&self.config.state.dir, &copy);
        self.config.state.dir = copy;
    }

    /// The manifest between two runs.
    pub fn manifest(&self) -> Manifest {
        let layout = Layout::new(self.config.site.layout, []);
        Manifest::open(&self.config.state.dir, &layout, Fuse::none()).expect("it opens")
    }

    /// The first segment of every key of this site.
    pub fn host(&self) -> String {
        self.origin.authority().replace(':', "_")
    }

    /// Where the folder tier lies.
    pub fn local_root(&self) -> PathBuf {
        self.folder.path().join("tiers").join(LOCAL)
    }

    /// Moves the folder tier out of sight, as a disk that is not mounted; the path back is `mount`.
    pub fn unmount(&self) {
        fs::rename(self.local_root(), self.aside()).expect("the tier is there");
    }

    pub fn mount(&self) {
        fs::rename(self.aside(), self.local_root()).expect("nothing stands in its place");
    }

    /// Somebody else writes to the bucket: takes the objects for whose keys `is_meant` holds away, or puts others
    /// in their places. How many that were.
    pub fn meddle(&self, is_meant: impl Fn(&str) -> bool, bytes: Option<&[u8]>) -> usize {
        let mut meddled = 0;
        for full in self.s3.objects(BUCKET).into_keys() {
            let key = full.strip_prefix(PREFIX).expect("the prefix is ours");
            let key = key.trim_start_matches('/');
            if key.starts_with(OURS) || !is_meant(key) {
                continue;
            }
            match bytes {
                Some(bytes) => self.s3.insert(BUCKET, &full, bytes),
                None => self.s3.remove(BUCKET, &full),
            }
            meddled += 1;
        }
        meddled
    }

    /// What a tier holds of the site.
    pub fn holding(&self, tier: &str) -> Holding {
        match tier {
            LOCAL => local_holding(&self.local_root()),
            _ => self.remote_holding(),
        }
    }

    /// One of our own small objects in a tier.
    pub fn small(&self, tier: &str, name: &str) -> Option<Vec<u8>> {
        if tier == LOCAL {
            return fs::read(self.local_root().join(name)).ok();
        }
        let stored = self.s3.object(BUCKET, &format!("{PREFIX}/{name}"))?;
        Some(stored.data.to_vec())
    }

    fn aside(&self) -> PathBuf {
        self.folder.path().join("unmounted")
    }

    fn remote_holding(&self) -> Holding {
        let mut holding = Holding::new();
        for (full, body) in self.s3.objects(BUCKET) {
            let key = full
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.strip_prefix('/'));
            let key = key.expect("nobody writes outside of the tier's prefix");
            if key.starts_with(OURS) {
                continue;
            }
            let stored = self.s3.object(BUCKET, &full).expect("it was just listed");
            let field = |name: &str| stored.headers.metadata.get(name).cloned();
            let held = Held {
                body,
                url: field("standin-url").unwrap_or_default(),
                content: field("standin-blake3").unwrap_or_default(),
                status: field("standin-status").map_or(0, |text| text.parse().expect("a number")),
                location: field("standin-location"),
                content_type: stored.headers.content_type.clone(),
                cache_control: stored.headers.cache_control.clone(),
                content_disposition: stored.headers.content_disposition.clone(),
            };
            holding.insert(key.to_owned(), held);
        }
        holding
    }
}

/// In memory where the system has such a place: a run waits for the disk some dozens of times, and whether it
/// waits rightly cannot be seen from inside one process anyway.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    match tempfile::tempdir_in(memory) {
        Ok(folder) => folder,
        Err(_) => tempfile::tempdir().expect("a folder"),
    }
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn local_holding(root: &Path) -> Holding {
    let name = TierName::parse(LOCAL).expect("a name");
    let tier = DirectoryTier::new(name, root.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut holding = Holding::new();
        let page = tier.list(None, usize::MAX).await.expect("a listing");
        for listed in page.objects {
            let found = tier.get(&listed.key, None).await.expect("readable");
            let found = found.expect("it was just listed");
            let meta = found.meta;
            let header = |name: &str| {
                let meta = meta.as_ref()?;
                meta.headers.get(name).map(str::to_owned)
            };
            let held = Held {
                body: found.body.to_vec(),
                url: meta
                    .as_ref()
                    .map_or_else(String::new, |m| m.url.to_string()),
                content: meta
                    .as_ref()
                    .map_or_else(String::new, |m| m.content.to_string()),
                status: meta.as_ref().map_or(0, |m| m.status),
                location: meta.as_ref().and_then(|m| m.location.clone()),
                content_type: header("content-type"),
                cache_control: header("cache-control"),
                content_disposition: header("content-disposition"),
            };
            holding.insert(listed.key.to_string(), held);
        }
        holding
    })
}
