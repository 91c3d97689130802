//! Promise: any single surviving place brings back everything else, and the run after it has nothing to do. Each
//! disaster is played with the real binary; afterwards a run uploads nothing, asks conditionally where validators
//! survived, and every tier holds the same objects as before. Each rebuild is killed at every pass of a durable
//! write, one after the other, and converges.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::binary::{Mirror, Ran, bucket_tier, folder_tier, paths_below, site};
use crate::support::gcs_server::GcsServer;
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server};

const SIGKILL: i32 = 9;
const TIERS: [&str; 3] = ["one", "two", "three"];
const PAGES: usize = 12;

/// A site, and a mirror of it in three folders.
struct Scene {
    origin: Origin,
    mirror: Mirror,
    before: BTreeMap<&'static str, BTreeMap<String, Vec<u8>>>,
}

fn origin() -> Origin {
    let origin = Origin::start();
    let links: String = (0..PAGES)
        .map(|n| format!("<a href=\"/p{n}\">{n}</a>"))
        .collect();
    let home = links + "<a href=\"/old\">o</a><img src=\"/logo.png\"><a href=\"/broken\">b</a>";
    origin.set("/", Page::html(home));
    for n in 0..PAGES {
        origin.set(
            &format!("/p{n}"),
            Page::html(format!("<p>page {n}</p>")).etag(&format!("e{n}")),
        );
    }
    origin.set("/logo.png", Page::new("image/png", vec![7; 30_000]));
    origin.set("/old", Page::redirect(301, "/p1"));
    origin
}

impl Scene {
    /// Two generations old, so that there are increments and an older checkpoint.
    fn new() -> Scene {
        let origin = origin();
        let tiers: String = TIERS.iter().map(|name| folder_tier(name)).collect();
        let mirror = Mirror::new(&(site(&origin) + &tiers));
        mirror.run(&["run"]).expect(0);
        origin.set("/p0", Page::html("<p>page 0, edited</p>").etag("e0b"));
        mirror.run(&["run"]).expect(0);
        let before = TIERS
            .iter()
            .map(|name| (*name, mirror.objects(&format!("tiers/{name}"))))
            .collect();
        Scene {
            origin,
            mirror,
            before,
        }
    }

    fn lose(&self, what: &str) {
        fs::remove_dir_all(self.mirror.path(what)).expect("it was there");
    }

    /// A run that has nothing to do, and tiers that hold what they held.
    #[track_caller]
    fn is_as_before(&self) -> Value {
        let report = nothing_to_do(&self.mirror);
        for name in TIERS {
            let objects = self.mirror.objects(&format!("tiers/{name}"));
            assert_eq!(objects, self.before[name], "{name}");
        }
        report
    }

    fn copy(&self) -> Mirror {
        let tiers: String = TIERS.iter().map(|name| folder_tier(name)).collect();
        self.mirror.copied(&(site(&self.origin) + &tiers))
    }
}

#[track_caller]
fn nothing_to_do(mirror: &Mirror) -> Value {
    let report = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(report["verdict"], "ok", "{report:#}");
    for tier in report["tiers"].as_array().expect("there are tiers") {
        for count in ["put", "copied", "reheadered", "deleted", "debts", "failed"] {
            assert_eq!(tier[count], 0, "{count}: {report:#}");
        }
    }
    report
}

/// Files of checkpoints in a tier, newest name last.
fn parts(mirror: &Mirror, tier: &str) -> Vec<std::path::PathBuf> {
    paths_below(&mirror.path(&format!("tiers/{tier}/.standin/checkpoint")))
}

fn told(ran: &Ran) -> String {
    ran.json()["refused"].to_string()
}

#[test]
fn a_lost_state_comes_back_from_any_tier() {
    // Promise: the state directory gone, each single tier is enough; pages are asked for conditionally afterwards,
    // and the store can be filled again from the tiers.
    let scene = Scene::new();
    for name in TIERS {
        scene.lose("state");
        let made = scene
            .mirror
            .run(&["rebuild", "manifest", "--from", name, "--json"])
            .expect(0)
            .json();
        assert_eq!(made["checkpoint"], 2, "{made:#}");
        assert_eq!(made["pages"], PAGES as u64 + 2, "{made:#}");
        assert_eq!(made["listing"]["looked_at"], 0, "{made:#}");
        assert_eq!(made["refused"], serde_json::json!([]), "{made:#}");
        for tier in made["tiers"].as_array().expect("there are tiers") {
            assert_eq!((&tier["watermark"], &tier["debts"]), (&2.into(), &0.into()));
        }
        let report = scene.is_as_before();
        let crawl = &report["crawl"];
        assert!(
            crawl["not_modified"].as_u64() >= Some(PAGES as u64),
            "{crawl:#}"
        );
        assert_eq!(crawl["new"], 0, "{crawl:#}");
    }
    let filled = scene
        .mirror
        .run(&["rebuild", "store", "--json"])
        .expect(0)
        .json();
    assert_eq!(filled["unavailable"], 0, "{filled:#}");
    let again = scene
        .mirror
        .run(&["rebuild", "store", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&again["fetched"], &again["requests"]),
        (&0.into(), &0.into())
    );
    scene.is_as_before();
}

#[test]
fn an_emptied_tier_is_filled_again() {
    // Promise: a run refuses an emptied tier and names the way in; that fills it from the store or another tier,
    // and writes its checkpoint; two of three gone are no worse.
    let scene = Scene::new();
    scene.lose("tiers/one");
    let refused = scene.mirror.run(&["run"]).expect(2);
    assert!(
        refused.stdout.contains("standin rebuild tier one"),
        "{refused:#?}"
    );
    let done = scene
        .mirror
        .run(&["rebuild", "tier", "one", "--json"])
        .expect(0)
        .json();
    assert_eq!(done["put"], scene.before["one"].len(), "{done:#}");
    scene.is_as_before();
    scene.lose("tiers/one");
    scene.lose("tiers/three");
    scene.lose("state/store");
    scene
        .mirror
        .run(&["rebuild", "tier", "three", "--from", "two"])
        .expect(0);
    scene
        .mirror
        .run(&["rebuild", "tier", "one", "--from", "tiers"])
        .expect(0);
    scene.is_as_before();
    scene.lose("state");
    scene
        .mirror
        .run(&["rebuild", "manifest", "--from", "three"])
        .expect(0);
    scene.is_as_before();
}

#[test]
fn all_tiers_come_back_from_the_store() {
    // Promise: with every tier gone the store fills them again, and reads nothing from anywhere else.
    let scene = Scene::new();
    scene.lose("tiers");
    for name in TIERS {
        scene
            .mirror
            .run(&["rebuild", "tier", name, "--from", "store"])
            .expect(0);
    }
    scene.is_as_before();
}

#[test]
fn a_damaged_manifest_is_moved_aside_and_made_again() {
    // Promise: however the database is damaged, the verb that is named makes it again; one that opens well is left
    // alone unless told otherwise; nothing that was there is deleted.
    let scene = Scene::new();
    let refused = scene.mirror.run(&["rebuild", "manifest"]).expect(2);
    assert!(refused.stderr.contains("opens well"), "{refused:#?}");
    type Damage = fn(&Mirror);
    let damages: [(&str, Damage); 5] = [
        ("gone", |mirror| {
            fs::remove_dir_all(mirror.path("state/manifest")).unwrap();
        }),
        ("emptied metadata", |mirror| {
            for path in paths_below(&mirror.path("state/manifest/metadata")) {
                fs::write(path, b"").unwrap();
            }
        }),
        ("cut files", |mirror| {
            for path in paths_below(&mirror.path("state/manifest")) {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            }
        }),
        ("flipped bytes", |mirror| {
            for path in paths_below(&mirror.path("state/manifest")) {
                let mut bytes = fs::read(&path).unwrap();
                bytes
                    .iter_mut()
                    .skip(20)
                    .step_by(97)
                    .for_each(|byte| *byte ^= 0x5a);
                fs::write(&path, &bytes).unwrap();
            }
        }),
        ("marker", |mirror| {
            fs::write(mirror.path("state/manifest.json"), b"{\"format\":").unwrap();
        }),
    ];
    for (what, damage) in damages {
        let mirror = scene.copy();
        damage(&mirror);
        let failed = mirror.run(&["run"]);
        let told = format!("{}{}", failed.stdout, failed.stderr);
        assert_eq!(failed.code, Some(2), "{what}: {failed:#?}");
        assert!(told.contains("standin rebuild manifest"), "{what}: {told}");
        let kept = what != "gone" && what != "marker";
        let made = mirror
            .run(&["rebuild", "manifest", "--json"])
            .expect(0)
            .json();
        assert_eq!(made["generation"], 2, "{what}: {made:#}");
        if kept {
            let aside = made["moved_to"].as_str().expect("it is kept");
            assert!(!paths_below(&mirror.path(aside)).is_empty(), "{what}");
        }
        nothing_to_do(&mirror);
    }
}

#[test]
fn a_checkpoint_that_is_not_to_be_believed_is_named_and_the_next_one_tried() {
    // Promise: damaged, cut, missing, of a newer format: each is refused by name, and the older checkpoint, another
    // place, or at last the objects themselves serve.
    let scene = Scene::new();
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("damaged", |path| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("cut off", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 3]).unwrap();
        }),
        ("missing", |path| fs::remove_file(path).unwrap()),
        ("cut off", |path| fs::write(path, b"STANDCKP\x09").unwrap()),
    ];
    for (word, damage) in damages {
        let mirror = scene.copy();
        fs::remove_dir_all(mirror.path("state")).unwrap();
        let newest = parts(&mirror, "one");
        let newest = newest.iter().filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("0000000002")
        });
        newest.for_each(|path| damage(path));
        let made = mirror
            .run(&["rebuild", "manifest", "--from", "one", "--json"])
            .expect(0);
        assert!(told(&made).contains(word), "{word}: {}", told(&made));
        let made = made.json();
        assert_eq!(made["checkpoint"], 1, "{made:#}");
        // The edited page is found in the listing.
        assert_eq!(made["listing"]["newer"], 1, "{made:#}");
        assert_eq!(made["generation"], 3, "{made:#}");
        nothing_to_do(&mirror);
    }
    let mirror = scene.copy();
    fs::remove_dir_all(mirror.path("state")).unwrap();
    for name in TIERS {
        parts(&mirror, name)
            .iter()
            .for_each(|path| fs::remove_file(path).unwrap());
    }
    let asked = mirror.run(&["rebuild", "manifest"]).expect(2);
    assert!(asked.stderr.contains("say --yes"), "{asked:#?}");
    let why = asked.stderr.contains("it is missing");
    assert!(why, "who is asked hears why: {asked:#?}");
    let made = mirror
        .run(&["rebuild", "manifest", "--yes", "--json"])
        .expect(0)
        .json();
    assert_eq!(made["checkpoint"], Value::Null, "{made:#}");
    assert_eq!(
        (&made["generation"], &made["redirects"]),
        (&3.into(), &1.into())
    );
    nothing_to_do(&mirror);
}

#[test]
fn a_checkpoint_of_another_mirror_is_refused() {
    // Promise: nobody's else manifest is taken over by itself, whichever place it lies in.
    let scene = Scene::new();
    let other = Scene::new();
    let mirror = scene.copy();
    fs::remove_dir_all(mirror.path("tiers/two")).unwrap();
    let theirs = other.mirror.path("tiers/two");
    for path in paths_below(&theirs) {
        let target = mirror
            .path("tiers/two")
            .join(path.strip_prefix(&theirs).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
    fs::remove_dir_all(mirror.path("state/manifest")).unwrap();
    let refused = mirror
        .run(&["rebuild", "manifest", "--from", "two"])
        .expect(2);
    assert!(refused.stderr.contains("another mirror"), "{refused:#?}");
    let made = mirror.run(&["rebuild", "manifest", "--json"]).expect(0);
    assert!(
        told(&made).contains("tier two belongs to another mirror"),
        "{}",
        told(&made)
    );
    let refused = mirror.run(&["rebuild", "tier", "two"]).expect(2);
    assert!(
        refused.stdout.contains("belongs to another mirror"),
        "{refused:#?}"
    );
}

#[test]
fn what_a_tier_lacked_is_owed_after_a_rebuild() {
    // Promise: a tier that was behind when the state was lost is not taken for whole.
    let scene = Scene::new();
    let root = scene.mirror.path("tiers/two");
    let hidden = scene.mirror.path("hidden");
    fs::rename(&root, &hidden).unwrap();
    scene
        .origin
        .set("/p1", Page::html("<p>page 1, edited</p>").etag("e1b"));
    scene.mirror.run(&["run"]).expect(2);
    fs::rename(&hidden, &root).unwrap();
    scene.lose("state");
    let made = scene
        .mirror
        .run(&["rebuild", "manifest", "--json"])
        .expect(0)
        .json();
    assert_eq!(made["generation"], 3, "{made:#}");
    assert_eq!(made["tiers"][1]["debts"], 1, "{made:#}");
    let report = scene.mirror.run(&["run", "--json"]).expect(0).json();
    let puts: Vec<_> = (0..3).map(|n| report["tiers"][n]["put"].clone()).collect();
    assert_eq!(puts, [0, 1, 0], "{report:#}");
    nothing_to_do(&scene.mirror);
    let one = scene.mirror.objects("tiers/one");
    assert_eq!(scene.mirror.objects("tiers/two"), one);
}

/// Kills a command at every pass, one after the other in the same folder, until it ends by itself.
#[track_caller]
fn killed_everywhere(mirror: &Mirror, arguments: &[&str], between: impl Fn(&Mirror)) -> u32 {
    for pass in 1..400 {
        let ran = mirror.run_killed(&pass.to_string(), arguments);
        if ran.signal != Some(SIGKILL) {
            ran.expect(0);
            return pass;
        }
        between(mirror);
    }
    panic!("it never ends");
}

#[test]
fn a_rebuild_that_is_killed_goes_on() {
    // Promise: killed at each pass of a durable write in turn, each rebuild ends as if nobody had disturbed it.
    let scene = Scene::new();
    let mirror = scene.copy();
    fs::remove_dir_all(mirror.path("state")).unwrap();
    let passes = killed_everywhere(&mirror, &["rebuild", "manifest", "--replace"], |_| ());
    assert!(passes > 10, "{passes}");
    nothing_to_do(&mirror);

    for name in TIERS {
        parts(&mirror, name)
            .iter()
            .for_each(|path| fs::remove_file(path).unwrap());
    }
    fs::remove_dir_all(mirror.path("state")).unwrap();
    let order = ["rebuild", "manifest", "--yes", "--replace"];
    let passes = killed_everywhere(&mirror, &order, |_| ());
    assert!(passes > 10, "{passes}");
    nothing_to_do(&mirror);

    let mirror = scene.copy();
    fs::remove_dir_all(mirror.path("tiers/one")).unwrap();
    let passes = killed_everywhere(&mirror, &["rebuild", "tier", "one"], |_| ());
    assert!(passes > 10, "{passes}");
    nothing_to_do(&mirror);
    assert_eq!(mirror.objects("tiers/one"), scene.before["one"]);

    let mirror = scene.copy();
    fs::remove_dir_all(mirror.path("state/store")).unwrap();
    let passes = killed_everywhere(&mirror, &["rebuild", "store"], |_| ());
    assert!(passes > 3, "{passes}");
    nothing_to_do(&mirror);
    fs::remove_dir_all(mirror.path("tiers")).unwrap();
    for name in TIERS {
        mirror
            .run(&["rebuild", "tier", name, "--from", "store"])
            .expect(0);
    }
    nothing_to_do(&mirror);
}

#[test]
fn gc_drops_what_nobody_needs_and_nothing_else() {
    // Promise: a dry run says what is won and removes nothing; the bodies of live pages and of those that a kept
    // checkpoint names stay; killed at every pass it converges; the store can still fill every tier.
    let origin = origin();
    let settings = "[state]\ncheckpoints = 1\n";
    let mirror = Mirror::new(&(settings.to_owned() + &site(&origin) + &folder_tier("one")));
    for round in 0..4 {
        for n in 0..PAGES {
            let body = format!("<p>page {n} {round}</p>{}", "x".repeat(2_000));
            origin.set(
                &format!("/p{n}"),
                Page::html(body).etag(&format!("{n}-{round}")),
            );
        }
        mirror.run(&["run"]).expect(0);
    }
    let size =
        |mirror: &Mirror| -> usize { mirror.files("state/store").values().map(Vec::len).sum() };
    let before = size(&mirror);
    let foretold = mirror.run(&["gc", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(foretold["dropped"], PAGES as u64 * 3, "{foretold:#}");
    assert_eq!(size(&mirror), before);
    let passes = killed_everywhere(&mirror, &["gc"], |mirror| {
        let objects = mirror.objects("tiers/one");
        assert_eq!(objects.len(), PAGES + 3);
    });
    assert!(passes > 3, "{passes}");
    assert!(size(&mirror) * 2 < before, "{before} {}", size(&mirror));
    let none = mirror.run(&["gc", "--json"]).expect(0).json();
    assert_eq!(
        (&none["dropped"], &none["freed"]),
        (&0.into(), &0.into()),
        "{none:#}"
    );
    fs::remove_dir_all(mirror.path("tiers")).unwrap();
    mirror
        .run(&["rebuild", "tier", "one", "--from", "store"])
        .expect(0);
    nothing_to_do(&mirror);
}

#[test]
fn buckets_come_back_inside_their_service() {
    // Promise: in a service, too, the state comes back with no look at any object, and an emptied bucket is filled
    // by copies inside the service: no body is sent.
    let origin = origin();
    let s3 = S3Server::start(&["first", "second"]);
    let config =
        site(&origin) + &bucket_tier("first", &s3, "first") + &bucket_tier("second", &s3, "second");
    let mirror = Mirror::new(&config);
    mirror.run(&["run"]).expect(0);
    let right = s3.objects("first");
    fs::remove_dir_all(mirror.path("state")).unwrap();
    s3.forget();
    let made = mirror
        .run(&["rebuild", "manifest", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&made["checkpoint"], &made["listing"]["looked_at"]),
        (&1.into(), &0.into())
    );
    let looks = s3
        .seen()
        .iter()
        .filter(|seen| seen.about == About::Object && !seen.path.contains("/.standin/"))
        .count();
    assert_eq!(looks, 0);
    nothing_to_do(&mirror);
    s3.clear("second");
    mirror.run(&["run"]).expect(2);
    let done = mirror
        .run(&["rebuild", "tier", "second", "--json"])
        .expect(0)
        .json();
    // The page of the redirect is made here, and has a body of its own.
    assert_eq!(
        (&done["copied"], &done["put"]),
        (&(PAGES as u64 + 3).into(), &0.into()),
        "{done:#}"
    );
    nothing_to_do(&mirror);
    let site_of = |bucket: &str| -> BTreeMap<String, Vec<u8>> {
        let mut objects = s3.objects(bucket);
        objects.retain(|key, _| !key.contains("/.standin/"));
        objects
    };
    assert_eq!(site_of("second"), site_of("first"));
    assert_eq!(
        site_of("first").len(),
        right
            .iter()
            .filter(|(key, _)| !key.contains("/.standin/"))
            .count()
    );
}

#[test]
fn a_bucket_is_compared_by_what_its_own_checkpoint_tells() {
    // Promise: where an ETag is not the MD5, a tier that the manifest is not made from is compared without a look at any
    // object, too, and what it lacks is found. One that may not be listed is believed as far as its own checkpoint
    // goes, and that is said; it makes nothing impossible.
    let origin = origin();
    let s3 = S3Server::start(&["first", "second"]);
    s3.blur_etags();
    let config =
        site(&origin) + &bucket_tier("first", &s3, "first") + &bucket_tier("second", &s3, "second");
    let mirror = Mirror::new(&config);
    mirror.run(&["run"]).expect(0);
    let rebuilt = || {
        fs::remove_dir_all(mirror.path("state")).unwrap();
        s3.forget();
        let order = ["rebuild", "manifest", "--from", "first", "--json"];
        mirror.run(&order).expect(0).json()
    };
    let lost = s3.objects("second").into_keys();
    let lost: Vec<_> = lost.filter(|key| key.ends_with("/p3")).collect();
    s3.remove("second", &lost[0]);
    let made = rebuilt();
    assert_eq!(made["tiers"][1]["debts"], 1, "{made:#}");
    let seen = s3.seen();
    let looks = seen
        .iter()
        .filter(|seen| seen.about == About::Object && !seen.path.contains("/.standin/"));
    assert_eq!(looks.count(), 0);
    mirror.run(&["run"]).expect(0);
    s3.deny(|seen| seen.about == About::Listing && seen.path.starts_with("/second"));
    let made = rebuilt();
    let second = &made["tiers"][1];
    assert_eq!(
        (&second["debts"], &second["watermark"]),
        (&0.into(), &1.into())
    );
    let outcome = second["outcome"].as_str().expect("it is text");
    assert!(outcome.contains("cannot be listed"), "{made:#}");
    assert!(
        made["refused"].to_string().contains("s3:ListBucket"),
        "{made:#}"
    );
}

#[test]
fn a_bucket_of_google_comes_back_and_brings_back() {
    // Promise: from a bucket of Google Cloud Storage alone, by its checkpoint or by its objects, the state, the store
    // and an emptied folder come back; emptied itself, it is filled again.
    let origin = origin();
    let gcs = GcsServer::start(&["third"]);
    let tier = format!(
        "[[tier]]\nname = \"third\"\nurl = \"gs://third/copy\"\nendpoint = \"{}\"\ncredentials = {{ anonymous = true }}\n",
        gcs.endpoint()
    );
    let mirror = Mirror::new(&(site(&origin) + &folder_tier("one") + &tier));
    mirror.run(&["run"]).expect(0);
    let right = mirror.objects("tiers/one");
    let is_right = |mirror: &Mirror| {
        nothing_to_do(mirror);
        assert_eq!(mirror.objects("tiers/one"), right);
    };
    fs::remove_dir_all(mirror.path("state")).unwrap();
    fs::remove_dir_all(mirror.path("tiers")).unwrap();
    let made = mirror
        .run(&["rebuild", "manifest", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&made["checkpoint"], &made["listing"]["looked_at"]),
        (&1.into(), &0.into()),
        "{made:#}"
    );
    mirror.run(&["rebuild", "tier", "one"]).expect(0);
    is_right(&mirror);
    mirror.run(&["rebuild", "store"]).expect(0);
    gcs.clear("third");
    mirror.run(&["run"]).expect(2);
    mirror.run(&["rebuild", "tier", "third"]).expect(0);
    is_right(&mirror);
    let parts = gcs.objects("third").into_keys();
    for name in parts.filter(|name| name.contains("/.standin/checkpoint/")) {
        gcs.remove("third", &name);
    }
    fs::remove_dir_all(mirror.path("state")).unwrap();
    let order = ["rebuild", "manifest", "--from", "third", "--yes", "--json"];
    let made = mirror.run(&order).expect(0).json();
    assert_eq!(made["source"], "the objects of tier third", "{made:#}");
    is_right(&mirror);
}

#[test]
fn a_tier_that_is_new_to_a_rebuilt_manifest_is_filled() {
    // Promise: that the log of changes begins later is no reason to take a new tier for whole.
    let scene = Scene::new();
    scene.lose("state");
    scene.mirror.run(&["rebuild", "manifest"]).expect(0);
    let tiers: String = TIERS.iter().map(|name| folder_tier(name)).collect();
    let config = site(&scene.origin) + &tiers + &folder_tier("four");
    let mirror = scene.mirror.copied(&config);
    let report = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(
        report["tiers"][3]["put"],
        scene.before["one"].len(),
        "{report:#}"
    );
    assert_eq!(mirror.objects("tiers/four"), scene.before["one"]);
    nothing_to_do(&mirror);
}
