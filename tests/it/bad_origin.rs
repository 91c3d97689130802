//! Promise: the last good copy stays. Whatever the origin does (errors for everything, errors for half, refused
//! connections, silence, bodies cut short, bombs), a run with the default settings ends within 30 seconds, replaces
//! nothing good, deletes nothing and says what it is worth: degraded (exit 1) when the site could be seen in part,
//! failed (exit 2) when no seed was usable or too little was seen. The same as the very first run, where nothing
//! may be stored that is not whole; and when the origin is well again, so is the mirror.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::binary::{Mirror, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};

const TIER: &str = "tiers/copy";

/// What a run may take, with the default time-outs.
const PATIENCE: Duration = Duration::from_secs(30);

/// In the order in which [`Origin::fail_half`] counts: the home page, robots.txt and what ends in 1 stay well.
const PATHS: [&str; 10] = [
    "/",
    "/a0",
    "/a1",
    "/b0",
    "/b1",
    "/c0",
    "/c1",
    "/d0",
    "/robots.txt",
    "/s0",
];

/// How the origin ails.
#[derive(Clone, Copy, Debug)]
enum Ill {
    Says(u16),
    SaysToHalf(u16),
    /// To the other half, the home page and robots.txt in it.
    SaysToHomeAndHalf(u16),
    Refuses,
    IsSilent,
    CutsAll,
    /// All but the home page and robots.txt.
    CutsMost,
    /// The half that `SaysToHalf` means.
    CutsHalf,
    /// To that half it sends what no browser would show: a bomb, headers without end, codings that nobody asked for
    /// or that break off, a part in the place of the whole.
    IsHostileToHalf,
}

/// Which pages a run with an ailing origin may still take in.
#[derive(Clone, Copy, Debug)]
enum Taken {
    None,
    HomeAndRobots,
    HealthyHalf,
}

impl Taken {
    fn has(self, path: &str) -> bool {
        match self {
            Taken::None => false,
            Taken::HomeAndRobots => matches!(path, "/" | "/robots.txt"),
            Taken::HealthyHalf => !path.ends_with('0'),
        }
    }
}

struct World {
    origin: Origin,
    mirror: Mirror,
}

impl World {
    fn new() -> World {
        let origin = Origin::start();
        let mirror = Mirror::new(&[site(&origin), folder_tier("copy")].concat());
        World { origin, mirror }
    }

    /// Puts all pages up in an edition, which every one of them names; `cut` says which break off.
    fn show(&self, edition: &str, cut: impl Fn(&str) -> bool) {
        for path in PATHS {
            let text = match path {
                "/" => PATHS
                    .map(|path| format!("<a href={path}>{edition}</a>"))
                    .concat(),
                "/robots.txt" => format!("# {edition}\nUser-agent: *\nDisallow: /no\n"),
                _ => format!("<p>{path}: {edition}</p>"),
            };
            let page = Page::html(text);
            self.origin
                .set(path, if cut(path) { page.truncated(5) } else { page });
        }
    }

    /// From now on the site is in its second edition, as far as it is to be had.
    fn fall(&self, ill: Ill) {
        let all_cut = |_: &str| true;
        match ill {
            Ill::CutsAll => self.show("second", all_cut),
            Ill::CutsMost => self.show("second", |path| !Taken::HomeAndRobots.has(path)),
            Ill::CutsHalf => self.show("second", |path| !Taken::HealthyHalf.has(path)),
            Ill::IsHostileToHalf => {
                self.show("second", |_| false);
                for (path, page) in hostile_pages() {
                    self.origin.set(path, page);
                }
            }
            _ => self.show("second", |_| false),
        }
        match ill {
            Ill::Says(status) => self.origin.fail_all(Some(status)),
            Ill::SaysToHalf(status) => self.origin.fail_half(status),
            Ill::SaysToHomeAndHalf(status) => {
                // One more path before all others turns the halves round.
                self.origin.set("", Page::html("nobody can ask for this"));
                self.origin.fail_half(status);
            }
            Ill::Refuses => self.origin.refuse(),
            Ill::IsSilent => self.origin.be_silent(),
            Ill::CutsAll | Ill::CutsMost | Ill::CutsHalf | Ill::IsHostileToHalf => {}
        }
    }

    fn recover(&self) {
        self.origin.accept();
        self.origin.fail_all(None);
        self.origin.remove("");
        self.show("third", |_| false);
    }

    /// A run that ends in time, with this code and a verdict that fits.
    fn run(&self, code: i32) -> Value {
        let ran = self.mirror.run(&["run", "--json"]).expect(code);
        assert!(ran.took < PATIENCE, "{:?}", ran.took);
        let report = ran.json();
        let verdict = ["ok", "degraded", "failed"][code as usize];
        assert_eq!(report["verdict"], verdict, "{report:#}");
        assert_eq!(
            report["reasons"].as_array().map(Vec::is_empty),
            Some(code == 0)
        );
        assert_eq!(report.get("error").is_some(), code == 2, "{report:#}");
        report
    }

    /// The tier holds each page in the edition named for it, and nothing else.
    fn holds(&self, edition: impl Fn(&str) -> Option<&'static str>) {
        let mut expected = BTreeMap::new();
        for path in PATHS {
            if let Some(edition) = edition(path) {
                let name = if path == "/" {
                    "index.html"
                } else {
                    &path[1..]
                };
                expected.insert(format!("{}{name}", key_start(&self.origin)), edition);
            }
        }
        let stored = self.mirror.objects(TIER);
        assert_eq!(
            stored.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>()
        );
        for (key, edition) in expected {
            let text = String::from_utf8_lossy(&stored[&key]);
            assert!(text.contains(edition), "{key} is not {edition}: {text}");
        }
    }
}

/// One for each page of the ailing half.
fn hostile_pages() -> [(&'static str, Page); 5] {
    let page = || Page::html("<p>second");
    let coded = |coding: &str, bytes: Vec<u8>| {
        let page = Page::html(bytes);
        page.header("content-encoding", coding)
    };
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let mut cut = zstd::encode_all(&b"<p>second"[..], 3).unwrap();
    cut.pop();
    let headers = (0..60).map(|number| (format!("x-{number}"), "x".repeat(5_000)));
    let many = headers.fold(page(), |page, (name, value)| page.header(&name, &value));
    [
        ("/a0", coded("gzip", bomb.finish().unwrap())),
        ("/b0", many),
        ("/c0", coded("deflate", b"<p>second".to_vec())),
        ("/d0", page().header("content-range", "bytes 0-8/100")),
        ("/s0", coded("zstd", cut)),
    ]
}

fn after_a_good_run(ill: Ill, code: i32, taken: Taken) {
    let world = World::new();
    world.show("first", |_| false);
    world.run(0);
    world.holds(|_| Some("first"));
    world.fall(ill);
    let report = world.run(code);
    let tier = &report["tiers"][0];
    let put = PATHS.iter().filter(|path| taken.has(path)).count();
    assert_eq!(
        (&tier["put"], &tier["deleted"]),
        (&put.into(), &0.into()),
        "{ill:?}"
    );
    world.holds(|path| Some(if taken.has(path) { "second" } else { "first" }));
    world.recover();
    world.run(0);
    world.holds(|_| Some("third"));
}

fn as_the_first_run(ill: Ill, code: i32, taken: Taken) {
    let world = World::new();
    world.fall(ill);
    world.run(code);
    world.holds(|path| taken.has(path).then_some("second"));
    if code == 2 {
        assert!(
            !world.mirror.path(TIER).exists(),
            "{ill:?}: a failed first run claims no tier"
        );
    }
    world.recover();
    world.run(0);
    world.holds(|_| Some("third"));
}

#[test]
fn an_ailing_origin_replaces_and_deletes_nothing_good() {
    for (ill, code, taken) in [
        (Ill::Says(503), 2, Taken::None),
        (Ill::Says(404), 2, Taken::None),
        (Ill::SaysToHalf(500), 1, Taken::HealthyHalf),
        (Ill::SaysToHomeAndHalf(500), 2, Taken::None),
        (Ill::Refuses, 2, Taken::None),
    ] {
        after_a_good_run(ill, code, taken);
    }
}

#[test]
fn a_body_cut_short_replaces_nothing() {
    // With most pages cut, less than `guard.coverage_min` of the site was seen, and nothing of it is taken.
    after_a_good_run(Ill::CutsAll, 2, Taken::None);
    after_a_good_run(Ill::CutsMost, 2, Taken::None);
    after_a_good_run(Ill::CutsHalf, 1, Taken::HealthyHalf);
}

#[test]
fn a_hostile_half_costs_that_half() {
    after_a_good_run(Ill::IsHostileToHalf, 1, Taken::HealthyHalf);
    as_the_first_run(Ill::IsHostileToHalf, 1, Taken::HealthyHalf);
}

#[test]
fn an_ailing_origin_as_the_first_run_stores_only_what_is_whole() {
    for (ill, code, taken) in [
        (Ill::Says(503), 2, Taken::None),
        (Ill::Says(404), 2, Taken::None),
        (Ill::SaysToHalf(500), 1, Taken::HealthyHalf),
        (Ill::SaysToHomeAndHalf(500), 2, Taken::None),
        (Ill::Refuses, 2, Taken::None),
        (Ill::CutsAll, 2, Taken::None),
        (Ill::CutsMost, 1, Taken::HomeAndRobots),
        (Ill::CutsHalf, 1, Taken::HealthyHalf),
    ] {
        as_the_first_run(ill, code, taken);
    }
}

#[test]
fn a_silent_origin_is_given_up_in_time() {
    // Time-outs are real here: three attempts of eight seconds, in the first run and in a later one side by side.
    std::thread::scope(|scope| {
        scope.spawn(|| after_a_good_run(Ill::IsSilent, 2, Taken::None));
        scope.spawn(|| as_the_first_run(Ill::IsSilent, 2, Taken::None));
    });
}

#[test]
fn while_the_origin_ails_a_410_is_no_proof() {
    // Two of ten pages are in trouble, so a page that says it is gone is believed only once they are well.
    let world = World::new();
    world.show("first", |_| false);
    world.run(0);
    world.show("second", |_| false);
    for (path, status) in [("/a0", 500), ("/b0", 500), ("/a1", 410)] {
        world.origin.set(path, Page::html("").status(status));
    }
    let report = world.run(1);
    let (gone, deleted) = (&report["crawl"]["gone"], &report["tiers"][0]["deleted"]);
    assert_eq!((gone, deleted), (&1.into(), &0.into()));
    let kept = ["/a0", "/b0", "/a1"];
    world.holds(|path| {
        Some(if kept.contains(&path) {
            "first"
        } else {
            "second"
        })
    });

    world.show("third", |_| false);
    world.origin.set("/a1", Page::html("").status(410));
    assert_eq!(world.run(0)["tiers"][0]["deleted"], 1);
    world.holds(|path| (path != "/a1").then_some("third"));
}
