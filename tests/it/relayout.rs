//! Promise: a mirror can be given another layout without being sent again. What it costs is shown before, nothing happens
//! before the operator says so, objects are copied inside the tier, no object goes from its old key before
//! all are confirmed under their new ones, and a kill anywhere, a tier that was away, or a page that goes
//! meanwhile change nothing about the end. The oracle is a tier as the new layout would have filled it.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use serde_json::json;
use standin::config::{Keep, TierName};
use standin::db::Fuse;
use standin::run::{RunReport, Stages, Verdict};
use standin::site::{Layout, LayoutName, PageUrl};

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server, Seen};
use crate::support::world::{BUCKET, Holding, LOCAL, REMOTE, World};

/// Pages whose keys change in all the ways there are. In `govuk`, `/x/index` gets the key that `/x/` had in `plain`,
/// which gets the one that `/x/.html` had, which is then nobody's.
const PATHS: [&str; 8] = [
    "/",
    "/foo",
    "/foo.html",
    "/x/",
    "/x/index",
    "/x/.html",
    "/doc.pdf",
    "/q?p=1",
];

fn world() -> World {
    let mut world = World::new();
    let links = PATHS
        .map(|path| format!("<a href=\"{path}\">{path}</a>"))
        .concat();
    for path in PATHS {
        world.origin.set(path, Page::html(format!("page {path}")));
    }
    world
        .origin
        .set("/", Page::html(format!("{links}<a href=/old>old</a>")));
    world.origin.set("/old", Page::redirect(301, "/foo"));
    world.config.site.layout = LayoutName::Plain;
    run(&mut world, Stages::All);
    world
}

fn run(world: &mut World, stages: Stages) -> RunReport {
    world.stages(stages, &Fuse::none()).expect("it runs")
}

/// The same pages as this layout would have them: of several on one key the shorter URL's.
fn relaid(holding: &Holding, name: LayoutName) -> Holding {
    let layout = Layout::new(name, []);
    let mut relaid = Holding::new();
    for held in holding.values() {
        let url = PageUrl::parse(&held.url).expect("a URL");
        let key = layout.place(&url).key.to_string();
        let wins = relaid.get(&key).is_none_or(|there| {
            Layout::outranks(&url, &PageUrl::parse(&there.url).expect("a URL"))
        });
        if wins {
            relaid.insert(key, held.clone());
        }
    }
    relaid
}

#[test]
fn a_mirror_is_moved_by_copies_and_serves_the_same_pages() {
    let mut world = world();
    let expected = relaid(&world.holding(REMOTE), LayoutName::Govuk);
    assert_eq!(
        expected.len(),
        7,
        "two pairs meet in one key: {:?}",
        expected.keys()
    );
    world.config.site.layout = LayoutName::Govuk;
    let refused = world
        .stages(Stages::Sync, &Fuse::none())
        .expect_err("nobody has said so");
    let refused = refused.to_string();
    for word in [
        "layout `plain`",
        "layout `govuk`",
        "standin plan",
        "run --migrate-layout",
    ] {
        assert!(refused.contains(word), "{refused}");
    }

    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let report = run(&mut world, Stages::Sync);
    assert_eq!(world.holding(REMOTE), expected);
    assert_eq!(world.holding(LOCAL), expected);
    let row = |name: &str| report.tiers.iter().find(|row| row.name == name).unwrap();
    // Of seven keys `/`, the PDF and the one with a query stay, three pages are copied, the redirect is put.
    let remote = row(REMOTE);
    assert_eq!(
        (remote.copied, remote.put, remote.deleted),
        (3, 1, 3),
        "{remote:?}"
    );
    assert_eq!((row(LOCAL).copied, row(LOCAL).put), (3, 1));
    assert_eq!(
        (remote.traffic.get, remote.traffic.copy),
        (0, 3),
        "no body came back"
    );
    assert_eq!(
        report.verdict,
        Verdict::Degraded,
        "pages that meet in one key are told"
    );
    assert_eq!(report.collided, 2, "{:?}", report.collisions);
    assert_eq!(remote.verified, Some(report.generation), "{remote:?}");

    let head = world.small(REMOTE, ".standin/head").expect("a head");
    let head: serde_json::Value = serde_json::from_slice(&head).expect("JSON");
    assert_eq!(head["layout"], "govuk");
    let report = run(&mut world, Stages::All);
    let row = report.tiers.iter().find(|row| row.name == REMOTE).unwrap();
    assert_eq!(
        (row.put, row.copied, row.deleted, row.debts),
        (0, 0, 0, 0),
        "it is done"
    );

    // And back again: what could not be served has stayed in the store or comes with the next crawl.
    world.config.site.layout = LayoutName::Plain;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let report = run(&mut world, Stages::All);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    let served = relaid(&world.holding(REMOTE), LayoutName::Plain);
    assert_eq!(world.holding(REMOTE), served);
    assert_eq!(served.len(), 9, "{:?}", served.keys());
    assert_eq!(world.holding(LOCAL), served);
}

#[test]
fn a_move_that_is_killed_anywhere_is_finished_by_the_next_run() {
    // At every durable write in turn, of the manifest and of the tier.
    let mut world = world();
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() == REMOTE);
    run(&mut world, Stages::Sync);
    let pages = world.holding(REMOTE);
    let expected = relaid(&pages, LayoutName::Govuk);
    world.s3.copy_bucket(BUCKET, "backup");
    let state = world.config.state.dir.clone();
    let mut killed = 0;
    for passes in 0.. {
        world.s3.clear(BUCKET);
        world.s3.copy_bucket("backup", BUCKET);
        world.config.state.dir = state.clone();
        world.copy_state(&format!("killed-{passes}"));
        world.config.site.layout = LayoutName::Govuk;
        let fuse = Fuse::after(passes);
        let ended = match world.migrate_layout(&fuse) {
            Ok(()) => world.stages(Stages::Sync, &fuse).map(drop),
            killed => killed,
        };
        // Every page can be had under one of its keys at any time: nothing went before it was elsewhere.
        let holding = world.holding(REMOTE);
        for (key, held) in &expected {
            let is_there = |there: &&crate::support::world::Held| *there == held;
            assert!(
                holding.get(key).as_ref().is_some_and(is_there)
                    || holding.values().any(|there| there == held),
                "{key} after {passes} passes"
            );
        }
        if ended.is_ok() {
            break;
        }
        killed += 1;
        world.migrate_layout(&Fuse::none()).expect("it is taken on");
        let report = run(&mut world, Stages::Sync);
        assert_eq!(world.holding(REMOTE), expected, "after {passes} passes");
        assert_eq!(report.tiers[0].debts, 0, "after {passes} passes");
        assert_eq!(report.collided, 2, "after {passes} passes");
        assert_eq!(report.tiers[0].trouble, None, "after {passes} passes");
        assert_eq!(head_of(&world)["layout"], "govuk", "after {passes} passes");
    }
    assert!(killed > 30, "only {killed} places were tried");
}

fn head_of(world: &World) -> serde_json::Value {
    let head = world.small(REMOTE, ".standin/head").expect("a head");
    serde_json::from_slice(&head).expect("JSON")
}

#[test]
fn a_tier_that_fails_when_all_is_moved_is_known_by_its_head_again() {
    // Whatever request it is that fails between the last delete and the last head: the next run goes on, and the head says
    // in the end what is there.
    for which in ["?list-type", "/.standin/checkpoint", "/.standin/head"] {
        let mut world = world();
        world
            .config
            .tiers
            .retain(|tier| tier.name.as_str() == REMOTE);
        let expected = relaid(&world.holding(REMOTE), LayoutName::Govuk);
        world.config.site.layout = LayoutName::Govuk;
        world.migrate_layout(&Fuse::none()).expect("it is taken on");
        world.origin.set("/foo", Page::html("another /foo"));
        world.stages(Stages::Crawl, &Fuse::none()).expect("it runs");
        // The first head that is written is the claim.
        let spared = AtomicUsize::new(usize::from(which.ends_with("head")));
        let fails = move |seen: &Seen| {
            let is_it = format!("{}?{}", seen.path, seen.query).contains(which);
            is_it
                && (seen.method == "PUT" || seen.about == About::Listing)
                && spared
                    .fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1))
                    .is_err()
        };
        world.s3.fail_next(100, fails, 403);
        let report = run(&mut world, Stages::Sync);
        assert!(world.s3.faults_left() < 100, "{which}: the fault has fired");
        assert!(report.tiers[0].trouble.is_some(), "{which}: {report:?}");
        world.s3.calm();
        let report = run(&mut world, Stages::Sync);
        assert_eq!(report.tiers[0].trouble, None, "{which}");
        assert_eq!(world.holding(REMOTE).len(), expected.len(), "{which}");
        let head = head_of(&world);
        assert_eq!(head["layout"], "govuk", "{which}");
        assert_eq!(head["generation"], 2, "{which}");
        assert_eq!(head["verified"]["generation"], 2, "{which}");
    }
}

#[test]
fn what_goes_or_changes_while_a_move_is_cut_short_is_right_in_the_end() {
    // A page that was withdrawn must not stay under a key that the first attempt had written, nor keep
    // another page from its own; checked after a kill at each write of an object.
    for written in 0..6 {
        let mut world = world();
        world
            .config
            .tiers
            .retain(|tier| tier.name.as_str() == REMOTE);
        world.config.site.layout = LayoutName::Govuk;
        world.migrate_layout(&Fuse::none()).expect("it is taken on");
        let fuse = Fuse::at("tier.written", written);
        let cut = world.stages(Stages::Sync, &fuse);
        let was_cut = cut.is_err();
        world.origin.set("/foo", Page::html("").status(410));
        world.origin.set("/x/index", Page::html("another /x/index"));
        world.origin.set("/doc.pdf", Page::html("another PDF"));
        run(&mut world, Stages::All);
        let holding = world.holding(REMOTE);
        let host = world.host();
        let body = |path: &str| {
            let held = holding
                .get(&format!("{host}{path}"))
                .unwrap_or_else(|| panic!("{path}: {holding:?}"));
            String::from_utf8_lossy(&held.body).into_owned()
        };
        assert_eq!(body("/foo.html"), "page /foo.html", "{written} {was_cut}");
        assert_eq!(
            body("/x/index.html"),
            "another /x/index",
            "{written} {was_cut}"
        );
        assert_eq!(body("/x/.html"), "page /x/", "{written} {was_cut}");
        assert_eq!(body("/doc.pdf"), "another PDF", "{written} {was_cut}");
        assert_eq!(
            holding.len(),
            7,
            "{written} {was_cut}: {:?}",
            holding.keys()
        );
    }
}

#[test]
fn a_tier_that_was_away_is_moved_when_it_comes_back() {
    let mut world = world();
    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    world.s3.refuse(true);
    let before = world.holding(REMOTE);
    run(&mut world, Stages::All);
    assert!(
        world
            .holding(LOCAL)
            .contains_key(&format!("{}/vat.html", world.host()).replace("vat", "foo"))
    );
    assert_eq!(world.holding(REMOTE), before);

    // Two generations pass.
    world.origin.set("/x/", Page::html("another /x/"));
    run(&mut world, Stages::All);
    world.origin.set("/foo.html", Page::html("").status(410));
    run(&mut world, Stages::All);
    world.s3.refuse(false);
    let report = run(&mut world, Stages::All);
    assert_eq!(world.holding(REMOTE), world.holding(LOCAL));
    let row = report.tiers.iter().find(|row| row.name == REMOTE).unwrap();
    assert!(row.copied > 0 && row.debts == 0, "{row:?}");

    // A third layout while a tier is between two would lose track of what lies where.
    world.config.site.asset_hosts = vec!["a.test".into()];
    world
        .migrate_layout(&Fuse::none())
        .expect("nobody is between two");
}

#[test]
fn a_tier_between_two_layouts_is_brought_to_the_end_before_a_third() {
    let mut world = world();
    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    world
        .stages(Stages::Sync, &Fuse::at("tier.written", 1))
        .expect_err("it is cut short");
    world.config.site.layout = LayoutName::Plain;
    let refused = world
        .migrate_layout(&Fuse::none())
        .expect_err("a tier has objects of both");
    let refused = refused.to_string();
    assert!(
        refused.contains("is being moved from layout `plain` to layout `govuk`"),
        "{refused}"
    );
    world.config.site.layout = LayoutName::Govuk;
    run(&mut world, Stages::Sync);
    world.config.site.layout = LayoutName::Plain;
    world.migrate_layout(&Fuse::none()).expect("it is whole");
}

#[test]
fn a_tier_that_was_lost_in_the_middle_of_a_move_blocks_nothing_once_it_is_not_configured() {
    // What it holds is of no layout, so it is given up; should it come back it is refused until it is empty.
    let mut world = world();
    let tiers = world.config.tiers.clone();
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() == REMOTE);
    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    world
        .stages(Stages::Sync, &Fuse::at("tier.written", 1))
        .expect_err("it is cut short");
    world.config.site.layout = LayoutName::Plain;
    let refused = world
        .migrate_layout(&Fuse::none())
        .expect_err("it is configured")
        .to_string();
    assert!(
        refused.contains("take it out of the configuration"),
        "{refused}"
    );

    world.config.tiers = tiers.clone();
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() == LOCAL);
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let report = run(&mut world, Stages::All);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);

    let before = world.holding(REMOTE);
    world.config.tiers = tiers;
    let report = run(&mut world, Stages::All);
    assert_eq!(report.verdict, Verdict::Failed);
    let row = report.tiers.iter().find(|row| row.name == REMOTE).unwrap();
    let why = row.trouble.as_deref().expect("it is refused");
    assert!(why.contains("given up"), "{why}");
    assert_eq!(world.holding(REMOTE), before, "nothing is written there");
    world.s3.clear(BUCKET);
    let report = run(&mut world, Stages::All);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(world.holding(REMOTE), world.holding(LOCAL));
}

#[test]
fn the_plan_shows_what_a_move_costs_and_changes_nothing() {
    let origin = Origin::start();
    origin.set(
        "/",
        Page::html("<a href=/foo>a</a> <a href=/foo.html>b</a>"),
    );
    origin.set("/foo", Page::html("one"));
    origin.set("/foo.html", Page::html("two"));
    let tier = folder_tier("copy");
    let mirror = Mirror::new(&[site(&origin), tier.clone()].concat());
    mirror.run(&["run"]).expect(0);
    let before = mirror.files("tiers");
    let moved = mirror.copied(&[site(&origin), "layout = \"govuk\"\n".into(), tier].concat());

    let told = moved.run(&["plan"]).expect(0).stdout;
    for line in [
        "copy: from layout `plain` to layout `govuk`\n",
        "  1 to copy inside the tier, 0 to put (0 B), 0 to re-header\n",
        "  1 to delete when all of that is confirmed, 1 stay; 2 requests about objects\n",
        "  collision: ",
        "Nothing is done before you say so: standin run --migrate-layout\n",
    ] {
        assert!(told.contains(line), "{line}{told}");
    }
    let plan = moved.run(&["plan", "--json"]).expect(0).json();
    let tier = &plan["tiers"][0];
    assert_eq!(
        (&tier["copied"], &tier["deleted"], &tier["unchanged"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(tier["collisions"][0]["winner"], origin.url("/foo"));
    assert_eq!(moved.files("tiers"), before, "it is a dry run");

    let refused = moved.run(&["run"]).expect(64);
    assert!(
        refused.stderr.contains("run --migrate-layout"),
        "{refused:#?}"
    );
    assert_eq!(moved.files("tiers"), before);
    let report = moved
        .run(&["run", "--migrate-layout", "--json"])
        .expect(1)
        .json();
    assert_eq!(report["tiers"][0]["copied"], 1, "{report:#}");
    assert_eq!(report["collided"], 1);
    let told = moved.run(&["plan"]).expect(0).stdout;
    assert!(told.contains("copy: nothing to do"), "{told}");
}

#[test]
fn a_page_that_a_collision_hid_comes_back_with_the_layout_that_has_room_for_it() {
    // Where nothing is kept locally, its bytes are nowhere any more: it is owed, fetched again, and the move ends.
    let mut world = world();
    world.config.state.keep = Keep::UntilConfirmed;
    for name in [LayoutName::Govuk, LayoutName::Plain] {
        world.config.site.layout = name;
        world.migrate_layout(&Fuse::none()).expect("it is taken on");
        run(&mut world, Stages::All);
    }
    let report = run(&mut world, Stages::All);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    let served = world.holding(REMOTE);
    assert_eq!(served.len(), 9, "{:?}", served.keys());
    assert_eq!(served, relaid(&served, LayoutName::Plain));
    assert_eq!(world.holding(LOCAL), served);
}

#[test]
fn a_page_that_is_in_no_tier_is_fetched_again_alone_and_is_no_change() {
    // Where nothing is kept locally: what a page owes, or loses to another, is its own affair. All others are still asked
    // whether they have changed, and none counts as changed by it; neither before a move nor in its run nor later.
    let mut world = World::new();
    world.config.site.layout = LayoutName::Plain;
    world.config.state.keep = Keep::UntilConfirmed;
    world.config.guard.changes_max = 0.5;
    let many: Vec<String> = (0..60).map(|number| format!("/p{number}")).collect();
    let paths = many.iter().map(String::as_str);
    let paths: Vec<&str> = paths.chain(["/x/", "/x/index.html"]).collect();
    let links = paths.iter().map(|path| format!("<a href={path}>p</a>"));
    world
        .origin
        .set("/", Page::html(links.collect::<String>()).etag("\"home\""));
    for path in &paths {
        world.origin.set(
            path,
            Page::html(format!("page {path}")).etag(&format!("\"{path}\"")),
        );
    }
    let check = |world: &mut World, asked: u64, what: &str| {
        let report = run(world, Stages::All);
        let crawl = &report.crawl;
        assert_eq!((crawl.changed, crawl.new), (0, 0), "{what}: {crawl:?}");
        assert_eq!(crawl.not_modified, asked, "{what}: {crawl:?}");
        assert_ne!(
            report.verdict,
            Verdict::Failed,
            "{what}: {:?}",
            report.reasons
        );
        report
    };
    run(&mut world, Stages::All);
    check(&mut world, 62, "one has lost its key");

    let manifest = world.manifest();
    for (tier, path) in [(LOCAL, "/p1"), (REMOTE, "/p1"), (REMOTE, "/p2")] {
        let name = TierName::parse(tier).expect("a name");
        let url = PageUrl::parse(&world.origin.url(path)).expect("a URL");
        manifest
            .owe(&name, &url, "a test".into())
            .expect("it is noted");
    }
    drop(manifest);
    let report = check(&mut world, 61, "one page is owed by every tier");
    assert!(
        report.tiers.iter().all(|tier| tier.debts == 0),
        "{report:?}"
    );

    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let report = check(&mut world, 62, "the run of the move");
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(world.holding(REMOTE).len(), 63);
    assert_eq!(world.holding(LOCAL), world.holding(REMOTE));
    check(&mut world, 63, "all have a key of their own");
}

#[test]
fn a_tier_that_waits_to_be_moved_is_told() {
    let origin = Origin::start();
    let s3 = S3Server::start(&["mirror"]);
    let tiers = [folder_tier("copy"), bucket_tier("remote", &s3, "mirror")].concat();
    let mirror = Mirror::new(&[site(&origin), tiers.clone()].concat());
    origin.set("/", Page::html("<a href=/foo>a</a>"));
    origin.set("/foo", Page::html("one"));
    mirror.run(&["run"]).expect(0);
    let moved = mirror.copied(&[site(&origin), "layout = \"govuk\"\n".into(), tiers].concat());
    s3.refuse(true);
    moved.run(&["run", "--migrate-layout"]).expect(1);
    let json = moved
        .run(&["explain", &origin.url("/foo"), "--json"])
        .expect(0)
        .json();
    let key = format!("{}foo", key_start(&origin));
    assert_eq!(json["key"], format!("{key}.html"));
    assert_eq!(
        (&json["tiers"][0]["state"], &json["tiers"][0]["key"]),
        (&json!("confirmed"), &json!(format!("{key}.html")))
    );
    assert_eq!(
        (&json["tiers"][1]["state"], &json["tiers"][1]["key"]),
        (&json!("unmoved"), &json!(key))
    );
    let told = moved.run(&["plan"]).expect(0).stdout;
    assert!(
        told.starts_with(
            "remote: from layout `plain` to layout `govuk`\n  1 to copy inside the tier"
        ),
        "{told}"
    );
    assert!(
        told.ends_with("The next sync does it, as far as each tier can be reached.\n"),
        "{told}"
    );
    // What the tier that has been moved waits for is told as well.
    origin.set("/foo", Page::html("two"));
    moved.run(&["crawl"]).expect(0);
    let told = moved.run(&["plan"]).expect(0).stdout;
    let row =
        "copy: has layout `govuk`; 1 objects to write or delete, see `standin plan --tier copy`\n";
    assert!(told.contains(row), "{told}");
    let told = moved.run(&["plan", "--tier", "copy"]).expect(0).stdout;
    assert!(
        told.contains("foo.html") && !told.contains("remote"),
        "{told}"
    );
    let plan = moved.run(&["plan", "--json"]).expect(0).json();
    let rows = plan["tiers"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{plan:#}");
    assert_eq!(
        (&rows[1]["name"], &rows[1]["put"]),
        (&json!("copy"), &json!(1))
    );

    s3.refuse(false);
    moved.run(&["sync"]).expect(0);
    let json = moved
        .run(&["explain", &origin.url("/foo"), "--json"])
        .expect(0)
        .json();
    assert_eq!(json["tiers"][1]["state"], "confirmed");
}

#[test]
fn a_plan_for_a_third_layout_says_what_is_to_be_finished_first() {
    let origin = Origin::start();
    origin.set("/", Page::html("<a href=/foo>a</a> <a href=/bar>b</a>"));
    origin.set("/foo", Page::html("one"));
    origin.set("/bar", Page::html("two"));
    let tier = folder_tier("copy");
    let plain = [site(&origin), tier.clone()].concat();
    let mirror = Mirror::new(&plain);
    mirror.run(&["run"]).expect(0);
    let moved = mirror.copied(&[site(&origin), "layout = \"govuk\"\n".into(), tier].concat());
    moved.run_killed("tier.written:1", &["run", "--migrate-layout"]);
    let back = moved.copied(&plain);
    let refused = back.run(&["plan"]).expect(64).stderr;
    assert!(
        refused.contains("tier copy is being moved from layout `plain` to layout `govuk`"),
        "{refused}"
    );
    moved.run(&["plan"]).expect(0);
    moved.run(&["run"]).expect(0);
}

#[test]
fn nothing_is_written_over_that_could_not_be_moved_away() {
    // `/x/` cannot be stored under its new key; so the page that is to have its old one waits, both stay where they
    // are, and the tier says what it owes until it can be done.
    let mut world = world();
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() == REMOTE);
    let before = world.holding(REMOTE);
    let expected = relaid(&before, LayoutName::Govuk);
    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let is_refused = |seen: &Seen| seen.method == "PUT" && seen.path.ends_with("x/.html");
    world.s3.fail_next(100, is_refused, 400);
    let report = run(&mut world, Stages::Sync);
    assert!(world.s3.faults_left() < 100, "the fault has fired");
    assert_eq!(report.verdict, Verdict::Degraded);
    assert_eq!(report.tiers[0].debts, 2, "{:?}", report.tiers);
    let holding = world.holding(REMOTE);
    let host = world.host();
    for key in ["x/index.html", "x/index"] {
        let key = format!("{host}/{key}");
        assert_eq!(holding.get(&key), before.get(&key), "{key}");
    }
    let moved = format!("{host}/foo.html");
    assert_eq!(holding[&moved], expected[&moved], "others are moved");
    assert!(
        !holding.contains_key(&format!("{host}/foo")),
        "{:?}",
        holding.keys()
    );
    let head = world.small(REMOTE, ".standin/head").expect("a head");
    let head: serde_json::Value = serde_json::from_slice(&head).expect("JSON");
    assert_eq!(head["layout"], "plain", "it is not done");
    // What has been done is not done again, and not planned.
    let report = run(&mut world, Stages::Sync);
    let row = &report.tiers[0];
    assert_eq!(
        (row.copied, row.put, row.deleted, row.debts),
        (0, 0, 0, 2),
        "{row:?}"
    );

    world.s3.calm();
    let report = run(&mut world, Stages::Sync);
    assert_eq!(world.holding(REMOTE), expected);
    assert_eq!(report.tiers[0].debts, 0, "{:?}", report.tiers);
}

#[test]
fn a_withdrawn_page_whose_delete_had_failed_goes_with_the_move() {
    let mut world = world();
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() == REMOTE);
    world.origin.set("/foo", Page::html("").status(410));
    world.s3.fail_next(100, |seen| seen.method == "POST", 400);
    let report = run(&mut world, Stages::All);
    assert!(world.s3.faults_left() < 100, "the fault has fired");
    assert_ne!(report.verdict, Verdict::Ok);
    let key = format!("{}/foo", world.host());
    assert!(world.holding(REMOTE).contains_key(&key));
    world.s3.calm();

    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let report = run(&mut world, Stages::Sync);
    let holding = world.holding(REMOTE);
    assert!(!holding.contains_key(&key), "{:?}", holding.keys());
    assert_eq!(
        String::from_utf8_lossy(&holding[&format!("{key}.html")].body),
        "page /foo.html"
    );
    assert_eq!(holding.len(), 7, "{:?}", holding.keys());
    assert_eq!(report.tiers[0].debts, 0, "{:?}", report.tiers);
}

#[test]
fn a_page_that_is_gone_and_owed_is_deleted_by_the_move() {
    // A debt on a page that is wanted keeps its old object; one on a page that is gone must not.
    let mut world = world();
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() == REMOTE);
    world.origin.set("/foo", Page::html("").status(410));
    run(&mut world, Stages::All);
    let key = format!("{}/foo", world.host());
    world
        .s3
        .insert(BUCKET, &format!("copy/{key}"), b"it is there all the same");
    let gone = PageUrl::parse(&world.origin.url("/foo")).expect("a URL");
    let name = TierName::parse(REMOTE).expect("a name");
    let manifest = world.manifest();
    manifest
        .owe(&name, &gone, "withdrawn".into())
        .expect("there is room");
    drop(manifest);

    world.config.site.layout = LayoutName::Govuk;
    world.migrate_layout(&Fuse::none()).expect("it is taken on");
    let report = run(&mut world, Stages::Sync);
    let holding = world.holding(REMOTE);
    assert!(!holding.contains_key(&key), "{:?}", holding.keys());
    assert_eq!(report.tiers[0].debts, 0, "{:?}", report.tiers);
}
