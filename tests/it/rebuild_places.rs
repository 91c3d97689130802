//! Promise: a rebuild takes no place for what it is not. Another mirror's tier is no source, a disk that is not mounted
//! is no new tier, a damaged body is no body, and bytes that something still names stay. Played with the real binary.

use std::fs;

use crate::rebuild_history::Scene;
use crate::support::binary::copy_all;

/// Puts another mirror's tier in the place of one of ours.
fn exchange(scene: &Scene, tier: &str) {
    let theirs = Scene::new();
    let place = scene.mirror.path(&format!("tiers/{tier}"));
    fs::remove_dir_all(&place).unwrap();
    copy_all(&theirs.mirror.path("tiers/two"), &place);
}

#[test]
fn another_mirrors_tier_is_no_source() {
    // Promise: a tier whose head says that it is another mirror's is read for nothing, neither for its checkpoint nor
    // for its objects; and where the tiers are of several mirrors and nothing says which one is meant, it is asked.
    let scene = Scene::new();
    exchange(&scene, "two");
    fs::remove_dir_all(scene.mirror.path("state/manifest")).unwrap();
    fs::remove_dir_all(scene.mirror.path("state/checkpoint")).unwrap();
    let whole = scene.mirror.copied(&scene.config());
    fs::remove_dir_all(scene.mirror.path("tiers/one")).unwrap();
    let refused = scene
        .mirror
        .run(&["rebuild", "manifest", "--yes"])
        .expect(2);
    assert!(refused.stderr.contains("another mirror"), "{refused:#?}");
    assert!(refused.stderr.contains("--from"), "{refused:#?}");
    fs::remove_dir_all(whole.path("state")).unwrap();
    let refused = whole.run(&["rebuild", "manifest", "--yes"]).expect(2);
    assert!(refused.stderr.contains("several mirrors"), "{refused:#?}");
    let made = whole.run(&["rebuild", "manifest", "--from", "one", "--json"]);
    let made = made.expect(0).json();
    assert_eq!(
        made["tiers"][1]["outcome"],
        "unknown: it is another mirror's"
    );
}

#[test]
fn a_tier_that_was_not_there_is_not_new() {
    // Promise: a place that is empty while the manifest is made again, such as a disk that is not mounted, is not
    // filled by the next run; when it is there again, the verb that is named compares it, writes nothing that is right,
    // and has proven it.
    let scene = Scene::new();
    let (there, away) = (scene.mirror.path("tiers/two"), scene.mirror.path("away"));
    fs::rename(&there, &away).unwrap();
    fs::remove_dir_all(scene.mirror.path("state")).unwrap();
    scene.mirror.run(&["rebuild", "manifest"]).expect(0);
    let refused = scene.mirror.run(&["run"]).expect(2);
    assert!(
        refused.stdout.contains("unexpectedly empty"),
        "{refused:#?}"
    );
    assert!(!there.exists());
    fs::rename(&away, &there).unwrap();
    let refused = scene.mirror.run(&["run"]).expect(2);
    assert!(
        refused.stdout.contains("standin rebuild tier two"),
        "{refused:#?}"
    );
    let done = scene.json(&["rebuild", "tier", "two", "--json"]);
    assert_eq!((&done["put"], &done["verified"]), (&0.into(), &1.into()));
    let report = scene.json(&["run", "--json"]);
    assert_eq!(report["tiers"][1]["verified"], 1, "{report:#}");
}

#[test]
fn the_layout_of_before_is_named() {
    // Promise: with the state lost and another layout configured, the way out that is told is one that works.
    let scene = Scene::new();
    fs::remove_dir_all(scene.mirror.path("state")).unwrap();
    let moved = scene
        .config()
        .replace("[site]\n", "[site]\nlayout = \"govuk\"\n");
    let mirror = scene.mirror.copied(&moved);
    let refused = mirror.run(&["rebuild", "manifest"]).expect(64);
    assert!(refused.stderr.contains("as they were"), "{refused:#?}");
    fs::write(mirror.path("standin.toml"), scene.config()).unwrap();
    mirror.run(&["rebuild", "manifest"]).expect(0);
    fs::write(mirror.path("standin.toml"), moved).unwrap();
    mirror.run(&["run", "--migrate-layout"]).expect(0);
}
