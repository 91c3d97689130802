//! What a tier has already is not sent again, and nothing is deleted before its successor is stored.

use standin::db::Fuse;
use standin::run::{RunReport, Verdict};
use standin::sync::TierReport;

use crate::support::origin::Page;
use crate::support::s3_server::{About, Seen};
use crate::support::world::{LOCAL, REMOTE, World};

/// Large enough to be worth a copy.
fn report() -> Vec<u8> {
    b"A long report. ".repeat(4_000)
}

/// A home page that links to the report, and the report.
fn publish(world: &World, path: &str) {
    let home = format!("<a href=\"{path}\">report</a>");
    world.origin.set("/", Page::html(home));
    world
        .origin
        .set(path, Page::new("application/pdf", report()));
}

fn run(world: &mut World) -> RunReport {
    world.run(&Fuse::none()).expect("it runs")
}

fn row<'a>(report: &'a RunReport, name: &str) -> &'a TierReport {
    let mut rows = report.tiers.iter();
    rows.find(|row| row.name == name).expect("a row")
}

#[test]
fn a_page_that_moved_is_copied_inside_a_bucket() {
    // Promise: its bytes are not sent again where the service can copy them, the old object goes last,
    // and the new one has its own metadata. A folder gets the bytes, which costs it no more.
    let mut world = World::new();
    publish(&world, "/old.pdf");
    assert_eq!(run(&mut world).verdict, Verdict::Ok);
    publish(&world, "/new.pdf");
    world.origin.set("/old.pdf", Page::html("gone").status(410));
    world.s3.forget();
    let second = run(&mut world);
    assert_eq!(second.verdict, Verdict::Ok, "{:?}", second.reasons);
    let (remote, local) = (row(&second, REMOTE), row(&second, LOCAL));
    let counts = |row: &TierReport| (row.put, row.copied, row.deleted);
    assert_eq!(counts(remote), (1, 1, 1), "home page, report, old report");
    assert_eq!(counts(local), (2, 0, 1));
    assert!(remote.bytes < 1_000, "{} bytes were sent", remote.bytes);
    assert_eq!(world.holding(REMOTE), world.holding(LOCAL));
    let new = format!("{}/new.pdf", world.host());
    assert_eq!(world.holding(REMOTE)[&new].body, report());
    let seen = world.s3.seen();
    let listed = seen.iter().position(|seen| seen.about == About::Listing);
    let is_page = |seen: &Seen| seen.method == "PUT" && !seen.path.contains(".standin");
    let written = seen.iter().rposition(is_page);
    assert!(
        written < listed,
        "no listing before the last write: {seen:?}"
    );

    let third = run(&mut world);
    assert_eq!(third.tiers[0].put + third.tiers[1].put, 0);
    assert_eq!(third.verdict, Verdict::Ok, "the listing proves the copy");
}

#[test]
fn a_source_that_is_not_what_it_should_be_is_not_copied() {
    // Promise: what the service says of the copied bytes is compared; other bytes are never confirmed,
    // the right ones are sent instead.
    let mut world = World::new();
    publish(&world, "/old.pdf");
    run(&mut world);
    let old = format!("copy/{}/old.pdf", world.host());
    world.s3.insert("mirror", &old, b"somebody wrote this");
    publish(&world, "/new.pdf");
    world.origin.set("/old.pdf", Page::html("gone").status(410));
    let second = run(&mut world);
    let remote = row(&second, REMOTE);
    assert_eq!((remote.put, remote.copied, remote.deleted), (2, 0, 1));
    let new = format!("{}/new.pdf", world.host());
    assert_eq!(world.holding(REMOTE)[&new].body, report());
}

#[test]
fn nothing_is_deleted_before_its_successor_is_stored() {
    // Promise: while a write waits to be tried again, deletes wait with it; the next run does both.
    let mut world = World::new();
    publish(&world, "/old.pdf");
    run(&mut world);
    let old = format!("{}/old.pdf", world.host());
    let about = move |path: &'static str| {
        move |seen: &Seen| seen.method == "PUT" && seen.path.contains(path)
    };
    world
        .origin
        .set("/", Page::html("<a href=\"/next.html\">next</a>"));
    world.origin.set("/next.html", Page::html("its successor"));
    world.origin.set("/old.pdf", Page::html("gone").status(410));
    world.s3.fail_next(100, about("next.html"), 500);
    let second = run(&mut world);
    assert_eq!(second.verdict, Verdict::Degraded);
    let remote = row(&second, REMOTE);
    assert_eq!((remote.put, remote.deleted, remote.debts), (1, 0, 2));
    assert!(world.holding(REMOTE).contains_key(&old), "it waits");
    assert!(!world.holding(LOCAL).contains_key(&old), "others do not");
    assert!(world.s3.faults_left() < 100, "the fault was seen");

    world.s3.calm();
    let third = run(&mut world);
    assert_eq!(third.verdict, Verdict::Ok, "{:?}", third.reasons);
    let remote = row(&third, REMOTE);
    assert_eq!((remote.put, remote.deleted, remote.debts), (1, 1, 0));
    assert_eq!(world.holding(REMOTE), world.holding(LOCAL));
    assert_eq!(world.s3.count("HEAD", About::Object), 0);
}

#[test]
fn what_can_never_be_stored_holds_back_nothing() {
    // Went wrong: six objects that a service refuses, each for itself, made the tier count as down, and
    // nothing was deleted or proven there any more, in no run.
    let mut world = World::new();
    publish(&world, "/old.pdf");
    run(&mut world);
    let links = (0..8).map(|number| format!("<a href=\"/refused/{number}\">x</a>"));
    world.origin.set("/", Page::html(links.collect::<String>()));
    for number in 0..8 {
        let page = Page::html(format!("number {number}"));
        world.origin.set(&format!("/refused/{number}"), page);
    }
    world.origin.set("/old.pdf", Page::html("gone").status(410));
    let is_refused = |seen: &Seen| seen.method == "PUT" && seen.path.contains("/refused/");
    world.s3.fail_next(100, is_refused, 400);
    for faults_left in [92, 84] {
        let report = run(&mut world);
        assert_eq!(report.verdict, Verdict::Degraded, "{:?}", report.reasons);
        assert_eq!(row(&report, REMOTE).trouble, None);
        assert_eq!(row(&report, REMOTE).debts, 8);
        assert_eq!(row(&report, REMOTE).watermark, report.generation);
        assert_eq!(world.s3.faults_left(), faults_left, "each is tried once");
        let old = format!("{}/old.pdf", world.host());
        assert!(!world.holding(REMOTE).contains_key(&old));
    }
    world.s3.calm();
    let report = run(&mut world);
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.reasons);
    assert_eq!(world.holding(REMOTE), world.holding(LOCAL));
}
