//! Promise: a rebuild takes no place for what it is not. Another mirror's tier is no source, a disk that is not mounted
//! is no new tier, a damaged body is no body, and bytes that something still names stay. Played with the real binary.

use std::fs;
use std::path::Path;

use crate::rebuild_history::{Scene, parts};
use crate::support::binary::{Mirror, copy_all, folder_tier, site};
use crate::support::origin::Page;

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

#[test]
fn a_damaged_body_is_fetched_again() {
    // Promise: `rebuild store` reads what is there, and fetches a body that is not that of its name; a manifest that is
    // made again knows the good frame of two.
    let scene = Scene::new();
    let segment = scene.mirror.path("state/store/00000001.seg");
    let flip = |text: &[u8]| {
        let mut bytes = fs::read(&segment).unwrap();
        let at = bytes.windows(text.len()).position(|found| found == text);
        bytes[at.expect("bodies are not packed")] ^= 1;
        fs::write(&segment, bytes).unwrap();
    };
    flip(b"<p>p5, first");
    let filled = scene.json(&["rebuild", "store", "--json"]);
    assert_eq!(
        (&filled["damaged"], &filled["fetched"], &filled["there"]),
        (&1.into(), &1.into(), &13.into()),
        "{filled:#}"
    );
    fs::remove_dir_all(scene.mirror.path("state/manifest")).unwrap();
    scene.mirror.run(&["rebuild", "manifest"]).expect(0);
    let again = scene.json(&["rebuild", "store", "--json"]);
    assert_eq!(
        (&again["damaged"], &again["fetched"]),
        (&0.into(), &0.into())
    );
    fs::remove_dir_all(scene.mirror.path("tiers")).unwrap();
    for tier in ["one", "two"] {
        let order = ["rebuild", "tier", tier, "--from", "store"];
        scene.mirror.run(&order).expect(0);
    }
}

fn large_files(mirror: &Mirror) -> usize {
    let files = fs::read_dir(mirror.path("state/store/files")).unwrap();
    files.count()
}

#[test]
fn gc_keeps_a_large_body_that_a_checkpoint_names() {
    // Promise: after a rebuild, too, a body that a kept checkpoint names as live stays, also one that has a file of its
    // own; an index that cannot be read drops nothing, and the way out that is told helps.
    let scene = Scene::new();
    let large = |with: u8| Page::new("application/octet-stream", vec![with; 9 << 20]);
    scene
        .origin
        .set("/", Page::html("<img src=\"/big.bin\">").etag("2"));
    for with in [1, 2] {
        scene
            .origin
            .set("/big.bin", large(with).etag(&with.to_string()));
        scene.mirror.run(&["run"]).expect(0);
    }
    assert_eq!(large_files(&scene.mirror), 2);
    fs::remove_dir_all(scene.mirror.path("state/manifest")).unwrap();
    scene.mirror.run(&["rebuild", "manifest"]).expect(0);
    let done = scene.json(&["gc", "--json"]);
    assert_eq!(done["freed"], 0, "{done:#}");
    assert_eq!(large_files(&scene.mirror), 2);
    fs::write(scene.mirror.path("state/checkpoint/index.json"), b"{").unwrap();
    let refused = scene.mirror.run(&["gc"]).expect(2);
    assert!(refused.stderr.contains("standin run"), "{refused:#?}");
    scene.mirror.run(&["run"]).expect(0);
    scene.mirror.run(&["gc"]).expect(0);
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

#[test]
fn a_cut_checkpoint_of_the_state_directory_is_made_anew_by_a_run() {
    // Promise: a run that has nothing else to do sees that a part is not whole, and puts a whole checkpoint there.
    let scene = Scene::new();
    scene.edit("p1", "second");
    scene.mirror.run(&["run"]).expect(0);
    let base = parts(scene.mirror.path("state/checkpoint"), 1);
    base.iter().for_each(|path| cut(path));
    scene.mirror.run(&["run"]).expect(0);
    let made = scene.json(&["rebuild", "manifest", "--replace", "--json"]);
    assert_eq!(made["refused"], serde_json::json!([]), "{made:#}");
    let source = made["source"].as_str().expect("it is text");
    assert!(source.ends_with("state/checkpoint"), "{made:#}");
}

#[test]
fn what_no_tier_has_any_more_is_fetched_again() {
    // Promise: with both tiers lost and no store, both get their pages from the site again, but not before it is said that
    // both are lost: one that is not there may be a disk that is not mounted.
    let scene = Scene::new();
    let tiers = folder_tier("one") + &folder_tier("two");
    let spare = "[state]\nkeep = \"until-confirmed\"\n";
    let mirror = scene
        .mirror
        .copied(&(spare.to_owned() + &site(&scene.origin) + &tiers));
    mirror.run(&["run"]).expect(0);
    let right = mirror.objects("tiers/one");
    fs::remove_dir_all(mirror.path("tiers")).unwrap();
    mirror.run(&["rebuild", "tier", "one"]).expect(1);
    let report = mirror.run(&["run", "--json"]).expect(2).json();
    assert_ne!(report["tiers"][0]["debts"], 0, "{report:#}");
    mirror.run(&["rebuild", "tier", "two"]).expect(1);
    let report = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(Scene::owed(&report), [0, 0], "{report:#}");
    for tier in ["tiers/one", "tiers/two"] {
        assert_eq!(mirror.objects(tier), right, "{tier}");
    }
}

#[test]
fn a_rebuilt_tier_gets_what_the_other_one_has_while_the_site_is_down() {
    // Promise: the state is lost, one tier has lost most pages and nothing can be asked of the site. What a run does not
    // write by itself, since it may have been withdrawn, `rebuild tier` does.
    let scene = Scene::new();
    let right = scene.mirror.objects("tiers/one");
    for page in 0..8 {
        scene.take_away("two", &format!("p{page}"));
        scene
            .origin
            .set(&format!("/p{page}"), Page::html("down").status(503));
    }
    fs::remove_dir_all(scene.mirror.path("state")).unwrap();
    scene.json(&["rebuild", "manifest", "--from", "one", "--json"]);
    scene.mirror.run(&["sync"]).expect(1);
    assert_eq!(scene.served("two", "p0"), None);
    scene.mirror.run(&["rebuild", "tier", "two"]).expect(0);
    assert_eq!(scene.mirror.objects("tiers/two"), right);
}
