//! Promise: what looks endless ends, and is told; what is only large is taken whole. Calendars, filters, paths that
//! grow by themselves and session ids are bounded by their own options, with an example in the report; siblings are
//! never counted, and what a sitemap or a seed names is taken whatever it looks like.

use standin::run::Verdict;

use crate::support::origin::Page;
use crate::support::scene::{Scene, robots, sitemap};

const VARIANTS: u32 = 100;

/// More than the variants that are admitted by default.
const SIBLINGS: usize = 6_000;

fn link(target: &str) -> String {
    format!("<a href=\"{target}\">x</a>")
}

/// How many different URLs were asked for below a path, each once.
fn below(scene: &Scene, start: &str) -> usize {
    let times = scene.times();
    let found = times.iter().filter(|(path, _)| path.starts_with(start));
    found
        .inspect(|(path, times)| assert_eq!(**times, 1, "{path}"))
        .count()
}

#[test]
fn every_endless_generator_ends_and_is_told() {
    let mut scene = Scene::new();
    scene.config.crawl.query_variants_max = VARIANTS;
    let origin = &scene.origin;
    origin.invent("/calendar/", |target| {
        let year: i32 = target["/calendar/".len()..][..4].parse().expect("a year");
        Page::html(
            link(&format!("/calendar/{}-01", year + 1))
                + &link(&format!("/calendar/{}-01", year - 1)),
        )
    });
    origin.invent("/list?", |target| {
        Page::html(link(&format!("{target}&a")) + &link(&format!("{target}&b=1")))
    });
    origin.invent("/loop/", |_| Page::html(link("x/") + &link("y/")));
    origin.invent("/deep/", |target| {
        Page::html(link(&format!("{target}{}/", target.len())))
    });
    let starts = ["/calendar/2026-01", "/list?n", "/loop/", "/deep/"];
    scene.page("/", &starts, "home");
    let report = scene.crawl();
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    // From 1900 to twenty years from now, whenever now is.
    let years = below(&scene, "/calendar/");
    assert!((140..250).contains(&years), "{years}");
    assert_eq!(below(&scene, "/list?"), VARIANTS as usize);
    // All paths of x and y with at most four of each: the sum of what Pascal's triangle has there.
    assert_eq!(below(&scene, "/loop/"), 251);
    assert_eq!(below(&scene, "/deep/"), 32);
    let traps = &report.tally.traps;
    for (option, example) in [
        ("calendar", "/calendar/"),
        ("crawl.query_variants_max", "/list?"),
        ("crawl.segment_repeats_max", "/loop/"),
        ("crawl.path_segments_max", "/deep/"),
    ] {
        let told = |line: &&standin::crawl::TrapLine| {
            line.what.contains(option) && line.example.as_str().contains(example) && line.urls > 0
        };
        assert!(traps.iter().any(|line| told(&line)), "{option}: {traps:#?}");
    }
    let told: u64 = traps.iter().map(|line| line.urls).sum();
    assert_eq!(report.tally.skipped.traps, told);
}

#[test]
fn a_large_folder_is_no_trap() {
    let scene = Scene::new();
    let links: String = (0..SIBLINGS)
        .map(|number| link(&format!("/folder/{number}")))
        .collect();
    scene.origin.set("/", Page::html(links));
    scene
        .origin
        .invent("/folder/", |target| Page::html(target.to_owned()));
    let report = scene.crawl();
    assert_eq!(below(&scene, "/folder/"), SIBLINGS);
    assert_eq!(
        (report.crawl.new, report.tally.skipped.traps),
        (SIBLINGS as u64 + 1, 0)
    );
}

#[test]
fn what_a_sitemap_names_is_no_trap() {
    let mut scene = Scene::new();
    scene.config.crawl.query_variants_max = 1;
    let strange = [
        "/x/x/x/x/x/x",
        "/calendar/2199-01",
        "/a?PHPSESSID=0123456789abcdef",
        "/q?1",
        "/q?2",
        "/q?3",
    ];
    scene.page("/", &[], "home");
    for path in strange {
        scene.page(path, &[], path);
    }
    robots(&scene.origin, "", &["/map.xml"]);
    let entries = strange.map(|path| (path, ""));
    scene
        .origin
        .set("/map.xml", sitemap(&scene.origin, &entries));
    let seed = scene.url("/y/y/y/y/y/y");
    scene.page("/y/y/y/y/y/y", &[], "y");
    scene.config.site.seeds.push(seed);
    let report = scene.run();
    let asked = scene.asked();
    for path in strange.iter().chain(&["/y/y/y/y/y/y"]) {
        assert!(asked.contains(&(*path).to_owned()), "{path} {asked:?}");
    }
    assert_eq!(report.tally.skipped.traps, 0);
}

#[test]
fn a_session_id_is_left_out_of_the_url_and_the_page_is_had() {
    // Every answer gives another id to every link, as some shops do.
    let scene = Scene::new();
    let count = std::sync::atomic::AtomicU64::new(0x1234_5678_9abc);
    scene.origin.invent("/", move |target| {
        let id = count.fetch_add(7, std::sync::atomic::Ordering::Relaxed);
        let links =
            ["/a", "/b", "/c", "/d"].map(|path| link(&format!("{path}?PHPSESSID={id:032x}")));
        let more = link(&format!("/e;jsessionid={id:032X}?x=1"));
        match target {
            "/robots.txt" => Page::html("").status(404),
            _ => Page::html(links.concat() + &more),
        }
    });
    let report = scene.run();
    let asked = scene.asked_sorted();
    assert_eq!(
        asked,
        ["/", "/a", "/b", "/c", "/d", "/e?x=1", "/robots.txt"]
    );
    assert_eq!(report.crawl.new, 6);
    let told = &report.tally.traps;
    assert!(
        told.iter()
            .any(|line| line.what.contains("crawl.session_parameters")),
        "{told:?}"
    );
}

#[test]
fn what_was_left_out_comes_when_the_option_is_raised() {
    // The pages that name it have not changed, and answer so.
    let mut scene = Scene::new();
    scene.config.crawl.query_variants_max = 2;
    scene.page("/", &["/q?1", "/q?2", "/q?3", "/q?4"], "home");
    scene.page("/q", &[], "q");
    let report = scene.run();
    assert_eq!((report.crawl.new, report.tally.skipped.traps), (3, 2));
    scene.config.crawl.query_variants_max = 10;
    let report = scene.run();
    assert_eq!((report.crawl.new, report.tally.skipped.traps), (2, 0));
    // Once is enough.
    scene.run();
    let requests = scene.origin.requests().into_iter();
    let sent: Vec<_> = requests.filter(|(_, _, status)| *status == 200).collect();
    assert_eq!(sent, []);
}
