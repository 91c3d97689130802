//! Whose tier is it? Two machines, an emptied bucket, a restored one, somebody else's: each is noticed
//! before anything is written, in one line with the way out, and the other tier goes on.

use std::sync::Arc;

use standin::config::TierName;
use standin::db::Fuse;
use standin::manifest::RunId;
use standin::run::{RunReport, Verdict};
use standin::sync;
use standin::tier::{S3Tier, Tier, TierError};

use crate::support::binary::{Mirror, folder_tier, site};
use crate::support::origin::{Origin, Page};
use crate::support::world::{BUCKET, Holding, LOCAL, REMOTE, World};

const HEAD: &str = "copy/.standin/head";

fn edit(world: &World, text: &str) {
    world.origin.set("/", Page::html(text.to_owned()));
}

fn run(world: &mut World) -> RunReport {
    world.run(&Fuse::none()).expect("it runs")
}

/// The run has failed on the bucket for this reason and left it alone; the folder has been served.
fn is_refused(world: &World, report: &RunReport, words: &[&str], before: &Holding) {
    assert_eq!(report.verdict, Verdict::Failed);
    let row = |name: &str| report.tiers.iter().find(|row| row.name == name).unwrap();
    let why = row(REMOTE).trouble.clone().expect("a reason");
    for word in words {
        assert!(why.contains(word), "{why}");
    }
    assert!(!why.contains('\n'), "{why}");
    assert_eq!((row(REMOTE).put, row(REMOTE).deleted), (0, 0));
    assert_eq!(world.holding(REMOTE), *before, "nothing was touched");
    assert_eq!((row(LOCAL).put, row(LOCAL).debts), (1, 0), "it goes on");
}

#[test]
fn a_second_machine_stops_instead_of_interleaving() {
    // Promise: a machine whose state was copied finds out by the epoch that another one has gone on.
    let mut world = World::new();
    edit(&world, "one");
    run(&mut world);
    let first = world.config.clone();
    world.copy_state("second");
    edit(&world, "two");
    run(&mut world);
    let before = world.holding(REMOTE);

    // The folder is the first machine's own disk; the second one has another.
    world.config = first;
    world
        .config
        .tiers
        .retain(|tier| tier.name.as_str() != LOCAL);
    edit(&world, "three");
    let report = run(&mut world);
    assert_eq!(report.verdict, Verdict::Failed);
    let why = report.tiers[0].trouble.clone().expect("a reason");
    assert!(
        why.contains("another machine") && why.contains("epoch 2"),
        "{why}"
    );
    assert_eq!(world.holding(REMOTE), before);
}

#[tokio::test]
async fn of_two_machines_at_once_one_gets_the_tier() {
    // Promise: both have read the same head; the conditional put decides, and the loser writes nothing.
    let mut world = World::new();
    edit(&world, "one");
    let tier = world
        .config
        .tiers
        .iter()
        .find(|tier| tier.name.as_str() == REMOTE);
    let standin::config::TierTarget::S3(options) = tier.unwrap().target.clone() else {
        panic!("it is a bucket");
    };
    world = tokio::task::spawn_blocking(move || {
        run(&mut world);
        world
    })
    .await
    .unwrap();
    let ours = Arc::new(world.manifest());
    world.copy_state("second");
    let theirs = Arc::new(world.manifest());
    let client = || -> Arc<dyn Tier> {
        let name = TierName::parse(REMOTE).expect("a name");
        Arc::new(S3Tier::new(name, &options, 4).expect("credentials"))
    };
    let mut opened = Vec::new();
    for manifest in [&ours, &theirs] {
        let open = sync::open(manifest, client(), 4, Fuse::none()).await;
        opened.push(open.unwrap().expect("the head is as it was left"));
    }
    let (mut loser, mut winner) = (opened.pop().unwrap(), opened.pop().unwrap());
    let took = winner.take(&ours, &RunId("ours".into())).await.unwrap();
    assert!(took.is_ok());
    let lost = loser.take(&theirs, &RunId("theirs".into())).await.unwrap();
    let error = lost.expect_err("one writer at a time");
    assert!(matches!(error, TierError::Precondition { .. }), "{error}");
    assert!(error.to_string().contains("only one machine"), "{error}");
}

#[test]
fn an_emptied_bucket_is_not_a_new_tier() {
    // Promise: a bucket that was emptied behind our back is an error and is not silently filled again.
    let mut world = World::new();
    edit(&world, "one");
    run(&mut world);
    world.s3.clear(BUCKET);
    edit(&world, "two");
    let report = run(&mut world);
    let words = ["unexpectedly empty", "s3://mirror/copy"];
    is_refused(&world, &report, &words, &Holding::new());
}

#[test]
fn a_restored_bucket_is_noticed() {
    // Promise: a bucket that was put back to an older state does not pass for the one we knew.
    let mut world = World::new();
    edit(&world, "one");
    run(&mut world);
    world.s3.copy_bucket(BUCKET, "backup");
    edit(&world, "two");
    run(&mut world);
    world.s3.copy_bucket("backup", BUCKET);
    let before = world.holding(REMOTE);
    edit(&world, "three");
    let report = run(&mut world);
    is_refused(&world, &report, &["older state", "restored"], &before);
}

#[test]
fn a_foreign_tier_is_left_alone() {
    // Promise: a tier of another mirror is refused by its lineage, and one of nobody we know by what it
    // holds.
    let mut theirs = World::new();
    edit(&theirs, "theirs");
    run(&mut theirs);
    let head = theirs.small(REMOTE, ".standin/head").expect("a head");

    let mut world = World::new();
    edit(&world, "one");
    world.s3.insert(BUCKET, HEAD, &head);
    let report = run(&mut world);
    let words = ["another mirror", "lineage"];
    is_refused(&world, &report, &words, &Holding::new());

    let other = String::from_utf8(head).expect("JSON");
    let other = other.replace(r#""layout": "plain""#, r#""layout": "govuk""#);
    assert!(other.contains("govuk"), "{other}");
    world.s3.insert(BUCKET, HEAD, other.as_bytes());
    edit(&world, "one and a half");
    let report = run(&mut world);
    let words = [
        "another mirror",
        "of layout `govuk`",
        "ours of layout `plain`",
    ];
    is_refused(&world, &report, &words, &Holding::new());

    world.s3.remove(BUCKET, HEAD);
    world.s3.insert(BUCKET, "copy/somebody/else.html", b"x");
    let before = world.holding(REMOTE);
    edit(&world, "two");
    let report = run(&mut world);
    let words = ["not empty", "somebody/else.html"];
    is_refused(&world, &report, &words, &before);
}

#[test]
fn a_bucket_has_keys_of_one_layout() {
    // Promise: a tier of this very mirror that was filled by another layout, or with other asset hosts, is
    // refused in a line that names both.
    for (ours, theirs, named) in [
        (
            r#""layout": "plain""#,
            r#""layout": "govuk""#,
            "filled by layout `govuk`,",
        ),
        (
            r#""asset_hosts": []"#,
            r#""asset_hosts": ["a.test"]"#,
            "filled by layout `plain` with asset_hosts a.test,",
        ),
    ] {
        let mut world = World::new();
        edit(&world, "one");
        run(&mut world);
        let head = world.small(REMOTE, ".standin/head").expect("a head");
        let head = String::from_utf8(head).expect("JSON");
        assert!(head.contains(ours), "{head}");
        world
            .s3
            .insert(BUCKET, HEAD, head.replace(ours, theirs).as_bytes());
        let before = world.holding(REMOTE);
        edit(&world, "two");
        let report = run(&mut world);
        is_refused(
            &world,
            &report,
            &[named, "this mirror has layout `plain`"],
            &before,
        );
    }
}

#[test]
fn a_tier_is_known_by_its_name() {
    // Promise: under another name, or in the place of another tier, it is not taken for that one; the line says whose
    // it is.
    let mut world = World::new();
    edit(&world, "one");
    run(&mut world);
    let tiers = world.config.tiers.clone();
    let at = |name: &str| {
        let found = tiers.iter().position(|tier| tier.name.as_str() == name);
        found.expect("it is configured")
    };
    let before = world.holding(REMOTE);
    edit(&world, "two");
    world.config.tiers[at(REMOTE)].name = TierName::parse("uno").expect("a name");
    let report = run(&mut world);
    let row = report.tiers.iter().find(|row| row.name == "uno").unwrap();
    let why = row.trouble.as_deref().expect("a reason");
    assert!(why.contains("name it remote again"), "{why}");
    assert!(!why.contains("machine"), "{why}");

    world.config.tiers = tiers.clone();
    world.config.tiers[at(REMOTE)].name = tiers[at(LOCAL)].name.clone();
    world.config.tiers[at(LOCAL)].name = tiers[at(REMOTE)].name.clone();
    let report = run(&mut world);
    assert_eq!(report.verdict, Verdict::Failed);
    assert!(
        report.tiers.iter().all(|row| row.trouble.is_some()),
        "{report:?}"
    );
    world.config.tiers = tiers;
    assert_eq!(world.holding(REMOTE), before, "nothing was written");
    assert_eq!(run(&mut world).verdict, Verdict::Ok);
}

#[test]
fn a_link_to_a_tier_is_no_second_copy() {
    let origin = Origin::start();
    let config = [site(&origin), folder_tier("copy"), folder_tier("link")].concat();
    let mirror = Mirror::new(&config);
    std::fs::create_dir_all(mirror.path("tiers/copy")).expect("a folder");
    std::os::unix::fs::symlink("copy", mirror.path("tiers/link")).expect("a link");
    let refused = mirror.run(&["config", "check"]).expect(64);
    assert!(refused.stderr.contains("overlaps tier `"), "{refused:#?}");
}
