//! Promise: a rebuilt manifest never takes an older state for the newer one. Numbers of generations are not used twice,
//! no good page goes back to what it was, and a page that was withdrawn does not come back by itself. Each is played
//! with the real binary, with a state that is lost at a bad moment.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::binary::{Mirror, folder_tier, paths_below, site};
use crate::support::origin::{Origin, Page};

/// A site of some pages, and a mirror of it in two folders.
pub struct Scene {
    pub origin: Origin,
    pub mirror: Mirror,
}

impl Scene {
    pub fn new() -> Scene {
        let origin = Origin::start();
        let pages: Vec<_> = (0..12).map(|n| format!("p{n}")).collect();
        let names = pages.iter().map(String::as_str).chain(["x"]);
        let links: String = names
            .clone()
            .map(|name| format!("<a href=\"/{name}\">{name}</a>"))
            .collect();
        origin.set("/", Page::html(links).etag("home"));
        let mirror = Mirror::new(&config(&origin));
        let scene = Scene { origin, mirror };
        for name in names {
            scene.edit(name, "first");
        }
        scene.mirror.run(&["run"]).expect(0);
        scene
    }

    pub fn config(&self) -> String {
        config(&self.origin)
    }

    pub fn edit(&self, name: &str, what: &str) {
        let page = Page::html(format!("<p>{name}, {what}</p>"));
        self.origin
            .set(&format!("/{name}"), page.etag(&format!("{name}-{what}")));
    }

    /// What a tier serves for a page.
    pub fn served(&self, tier: &str, name: &str) -> Option<String> {
        let objects = self.mirror.objects(&format!("tiers/{tier}"));
        let end = format!("/{name}");
        let found = objects.into_iter().find(|(key, _)| key.ends_with(&end));
        found.map(|(_, body)| String::from_utf8(body).expect("it is text"))
    }

    /// Everything of the state directory but the bodies.
    pub fn lose_all_but_the_store(&self) {
        for file in fs::read_dir(self.mirror.path("state")).expect("it is there") {
            let path = file.expect("nobody changes it now").path();
            if path.ends_with("store") {
                continue;
            }
            match path.is_dir() {
                true => fs::remove_dir_all(path).expect("it is ours"),
                false => fs::remove_file(path).expect("it is ours"),
            }
        }
    }

    /// Removes a page's object, as a lost run or a stranger has.
    pub fn take_away(&self, tier: &str, name: &str) {
        let root = self.mirror.path(&format!("tiers/{tier}"));
        let mut found = paths_below(&root);
        found.retain(|path| !path.starts_with(root.join(".standin")) && path.ends_with(name));
        assert_eq!(found.len(), 1, "{found:?}");
        fs::remove_file(&found[0]).unwrap();
    }

    /// The site says that a page is withdrawn.
    pub fn withdraw(&self, name: &str) {
        let page = Page::html("gone").status(410);
        self.origin.set(&format!("/{name}"), page);
    }

    pub fn owed(report: &Value) -> Vec<u64> {
        let tiers = report["tiers"].as_array().expect("there are tiers");
        let owed = tiers.iter().map(|tier| tier["debts"].as_u64());
        owed.map(|owed| owed.expect("a number")).collect()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        self.mirror.run(arguments).expect(0).json()
    }
}

fn config(origin: &Origin) -> String {
    site(origin) + &folder_tier("one") + &folder_tier("two")
}

#[test]
fn a_number_is_not_used_twice() {
    // Promise: a manifest that was made again from a tier that lagged goes on behind every generation that another
    // tier tells of, and the checkpoints of both begin anew: a later rebuild from either gives today's pages.
    let scene = Scene::new();
    let (there, away) = (scene.mirror.path("tiers/two"), scene.mirror.path("away"));
    fs::rename(&there, &away).unwrap();
    scene.edit("p2", "second");
    scene.mirror.run(&["run"]).expect(2);
    fs::rename(&away, &there).unwrap();
    let order = [
        "rebuild",
        "manifest",
        "--from",
        "two",
        "--replace",
        "--json",
    ];
    let made = scene.json(&order);
    assert_eq!(
        (&made["checkpoint"], &made["generation"]),
        (&1.into(), &3.into()),
        "{made:#}"
    );
    // What is newer stays where it is until the site has answered.
    assert_eq!(Scene::owed(&made), [1, 0], "{made:#}");
    scene.mirror.run(&["sync"]).expect(1);
    let served = scene.served("one", "p2").expect("it is there");
    assert!(served.contains("second"), "{served}");
    scene.edit("p3", "second");
    let report = scene.json(&["run", "--json"]);
    assert_eq!(report["generation"], 4, "{report:#}");
    for tier in ["one", "two"] {
        scene.lose_all_but_the_store();
        let made = scene.json(&["rebuild", "manifest", "--from", tier, "--json"]);
        assert_eq!(
            (&made["checkpoint"], &made["generation"]),
            (&4.into(), &4.into()),
            "{made:#}"
        );
        let synced = scene.json(&["sync", "--json"]);
        for (name, tier) in [("one", 0), ("two", 1)] {
            assert_eq!(synced["tiers"][tier]["put"], 0, "{synced:#}");
            for page in ["p2", "p3"] {
                let served = scene.served(name, page).expect("it is there");
                assert!(served.contains("second"), "{name} {page}: {served}");
            }
        }
    }
}

/// Parts of a generation's checkpoint in a tier or in the state directory.
pub fn parts(folder: PathBuf, generation: u64) -> Vec<PathBuf> {
    let begin = format!("{generation:010}-");
    let mut parts = paths_below(&folder);
    parts.retain(|path| {
        let name = path.file_name().expect("it has a name");
        name.to_str().is_some_and(|name| name.starts_with(&begin))
    });
    assert!(!parts.is_empty(), "nothing of {generation} in {folder:?}");
    parts
}

fn damage(paths: Vec<PathBuf>) {
    for path in paths {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_followed_by_a_new_one() {
    // Promise: a part that a rebuild has refused lies under no later checkpoint: the next rebuild refuses none, in the
    // tier and in the state directory.
    let scene = Scene::new();
    scene.edit("p1", "second");
    scene.mirror.run(&["run"]).expect(0);
    let places = ["state/checkpoint", "tiers/one/.standin/checkpoint"];
    let base = |place: &str| damage(parts(scene.mirror.path(place), 1));
    places.iter().for_each(|place| base(place));
    let made = scene.json(&["rebuild", "manifest", "--replace", "--json"]);
    assert_eq!(made["source"], "the checkpoint in tier two", "{made:#}");
    assert!(made["refused"].as_array().unwrap().len() >= 2, "{made:#}");
    scene.mirror.run(&["run"]).expect(0);
    scene.edit("p1", "third");
    scene.mirror.run(&["run"]).expect(0);
    for order in [
        &["rebuild", "manifest", "--replace", "--json"][..],
        &[
            "rebuild",
            "manifest",
            "--replace",
            "--from",
            "one",
            "--json",
        ],
    ] {
        let made = scene.json(order);
        assert_eq!(made["refused"], serde_json::json!([]), "{made:#}");
        assert_eq!(made["generation"], 4, "{made:#}");
    }
}

#[test]
fn a_page_that_was_withdrawn_does_not_come_back_by_itself() {
    // Promise: where only an older checkpoint can be read, a page that it names and that no tier shows is written by
    // nobody before the site has answered for it: not by a sync, not by a run that fails; one that the site still has
    // is, and one that it has withdrawn is not.
    let scene = Scene::new();
    scene.withdraw("x");
    scene.mirror.run(&["run"]).expect(0);
    assert_eq!(scene.served("one", "x"), None);
    scene.lose_all_but_the_store();
    for tier in ["one", "two"] {
        let folder = format!("tiers/{tier}/.standin/checkpoint");
        damage(parts(scene.mirror.path(&folder), 2));
        scene.take_away(tier, "p5");
    }
    let made = scene.json(&["rebuild", "manifest", "--json"]);
    assert_eq!(made["checkpoint"], 1, "{made:#}");
    assert_eq!(Scene::owed(&made), [2, 2], "{made:#}");
    let is_absent = |name: &str| {
        for tier in ["one", "two"] {
            assert_eq!(scene.served(tier, name), None, "{tier} {name}");
        }
    };
    let said = scene.mirror.run(&["sync"]).expect(1);
    assert!(said.stdout.contains("may have been withdrawn"), "{said:#?}");
    scene.origin.fail_all(Some(503));
    scene.mirror.run(&["run"]).expect(2);
    let tier = scene
        .mirror
        .run(&["rebuild", "tier", "two", "--json"])
        .expect(1);
    assert_eq!(tier.json()["debts"], 2, "{tier:#?}");
    is_absent("x");
    is_absent("p5");
    scene.origin.fail_all(None);
    let report = scene.json(&["run", "--json"]);
    assert_eq!(Scene::owed(&report), [0, 0], "{report:#}");
    is_absent("x");
    for tier in ["one", "two"] {
        assert!(scene.served(tier, "p5").is_some(), "{tier}");
    }
}

#[test]
fn every_tier_is_held_against_its_own_listing() {
    // Promise: whatever the head and the checkpoint of a tier say, and whichever tier the manifest is made from, what
    // another does not show it owes; what it shows and the first lacks is taken from it. Nothing is claimed that was
    // not looked at.
    let scene = Scene::new();
    scene.edit("p3", "second");
    scene.mirror.run(&["run"]).expect(0);
    scene.take_away("two", "x");
    scene.take_away("two", "p4");
    damage(parts(scene.mirror.path("tiers/two/.standin/checkpoint"), 2));
    scene.lose_all_but_the_store();
    let made = scene.json(&["rebuild", "manifest", "--from", "one", "--json"]);
    assert_eq!(made["checkpoint"], 2, "{made:#}");
    assert_eq!(Scene::owed(&made), [0, 2], "{made:#}");
    scene.mirror.run(&["sync"]).expect(1);
    assert_eq!(scene.served("two", "x"), None);
    scene.withdraw("x");
    let report = scene.json(&["run", "--json"]);
    assert_eq!(Scene::owed(&report), [0, 0], "{report:#}");
    assert!(scene.served("two", "p4").is_some());
    for tier in ["one", "two"] {
        assert_eq!(scene.served(tier, "x"), None, "{tier}");
    }
    // Nothing but the objects, and each tier has one that the other lacks.
    scene.lose_all_but_the_store();
    for tier in ["one", "two"] {
        let folder = format!("tiers/{tier}/.standin/checkpoint");
        fs::remove_dir_all(scene.mirror.path(&folder)).unwrap();
    }
    scene.take_away("one", "p6");
    scene.take_away("two", "p7");
    let made = scene.json(&["rebuild", "manifest", "--yes", "--json"]);
    assert_eq!(made["pages"], 13, "{made:#}");
    assert_eq!(Scene::owed(&made), [1, 1], "{made:#}");
    let report = scene.json(&["run", "--json"]);
    assert_eq!(Scene::owed(&report), [0, 0], "{report:#}");
    assert!(scene.served("one", "p6").is_some() && scene.served("two", "p7").is_some());
}

#[test]
fn a_published_file_answers_for_its_page() {
    // Promise: for a mirror that is filled by `publish` the folder is the site: a file that is as it was answers for a
    // page that a tier lacks after a rebuild, and until then nobody writes it.
    let config = "[site]\nhosts = [\"www.test\"]\n".to_owned();
    let mirror = Mirror::new(&(config + &folder_tier("one") + &folder_tier("two")));
    for name in ["index.html", "a", "b"] {
        let path = mirror.path("site").join(name);
        fs::create_dir_all(mirror.path("site")).unwrap();
        fs::write(path, format!("<p>{name}</p>")).unwrap();
    }
    mirror.run(&["publish", "site"]).expect(0);
    let right = mirror.objects("tiers/one");
    fs::remove_file(mirror.path("tiers/two/www.test/a")).unwrap();
    fs::remove_dir_all(mirror.path("state/manifest")).unwrap();
    mirror.run(&["rebuild", "manifest"]).expect(0);
    mirror.run(&["sync"]).expect(1);
    assert_eq!(mirror.objects("tiers/two").len(), 2);
    mirror.run(&["publish", "site"]).expect(0);
    assert_eq!(mirror.objects("tiers/two"), right);
}
