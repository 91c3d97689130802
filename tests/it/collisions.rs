//! Promise: two URLs on one key are found out by the run that commits the second, in its text and its JSON; the page that
//! the layout calls canonical is served throughout, and the other is named for as long as it loses. Checked on
//! `/x/` and `/x/index.html`, which `plain` keeps under one key, in a folder and a bucket at once.

use serde_json::Value;

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::S3Server;

struct Scene {
    origin: Origin,
    s3: S3Server,
    mirror: Mirror,
}

impl Scene {
    fn new() -> Scene {
        let origin = Origin::start();
        let s3 = S3Server::start(&["mirror"]);
        let tiers = [folder_tier("copy"), bucket_tier("remote", &s3, "mirror")].concat();
        let mirror = Mirror::new(&[site(&origin), tiers].concat());
        origin.set(
            "/",
            Page::html("<a href=/x/>x</a> <a href=/x/index.html>also x</a>"),
        );
        Scene { origin, s3, mirror }
    }

    fn page(&self, path: &str, text: &str) {
        self.origin.set(path, Page::html(text.to_owned()));
    }

    fn key(&self) -> String {
        format!("{}x/index.html", key_start(&self.origin))
    }

    /// A run's report, once both tiers were seen to hold this under the key.
    fn run(&self, code: i32, held: &str) -> Value {
        let report = self.mirror.run(&["run", "--json"]).expect(code).json();
        let key = self.key();
        let local = self.mirror.objects("tiers/copy");
        assert_eq!(local[&key], held.as_bytes(), "{report:#}");
        let remote = self.s3.objects("mirror");
        assert_eq!(
            remote[&format!("copy/{key}")],
            held.as_bytes(),
            "{report:#}"
        );
        report
    }
}

#[test]
fn a_collision_is_told_from_the_run_that_brings_it_in_to_the_one_that_ends_it() {
    let scene = Scene::new();
    let (key, url) = (scene.key(), |path: &str| scene.origin.url(path));

    // The same content under two names is an alias, and nothing to worry about.
    scene.page("/x/", "one");
    scene.page("/x/index.html", "one");
    let report = scene.run(0, "one");
    assert_eq!(
        (&report["aliases"], &report["collided"]),
        (&1.into(), &0.into())
    );
    assert_eq!(report["collisions"], serde_json::json!([]));

    // The one that is not canonical changes: only that is told, the object stays.
    scene.page("/x/index.html", "two");
    let report = scene.run(1, "one");
    let clash = serde_json::json!([{
        "key": key, "winner": url("/x/"), "losers": [url("/x/index.html")],
    }]);
    assert_eq!(report["collisions"], clash);
    assert_eq!(
        (&report["aliases"], &report["collided"]),
        (&0.into(), &1.into())
    );
    assert_eq!(report["verdict"], "degraded");
    assert_eq!(report["tiers"][0]["put"], 0, "{report:#}");

    // A run that changes nothing goes on telling it, also as text.
    let told = scene.mirror.run(&["run"]).expect(1).stdout;
    let reason = format!(
        "  ! {} has the key of {} ({key}) and other content: only {} is served\n",
        url("/x/index.html"),
        url("/x/"),
        url("/x/")
    );
    assert!(told.contains(&reason), "{told}");

    // The winner changes, and is what the tiers get.
    scene.page("/x/", "three");
    let report = scene.run(1, "three");
    assert_eq!(report["collisions"], clash);

    // The winner goes: what remains is served, and collides with nobody.
    scene.origin.set("/x/", Page::html("").status(410));
    let report = scene.run(0, "two");
    assert_eq!(report["collisions"], serde_json::json!([]));
    assert_eq!(report["reasons"], serde_json::json!([]));

    // It comes back with what the other one has: an alias again.
    scene.page("/x/", "two");
    let report = scene.run(0, "two");
    assert_eq!(
        (&report["aliases"], &report["collided"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn an_index_file_that_redirects_to_its_folder_is_no_collision() {
    // The most common of all: the reader gets the page either way, also from the mirror.
    let scene = Scene::new();
    scene.page("/x/", "one");
    scene
        .origin
        .set("/x/index.html", Page::redirect(301, "/x/"));
    let report = scene.run(0, "one");
    assert_eq!(
        (&report["aliases"], &report["collided"]),
        (&1.into(), &0.into())
    );

    // The other way round the page is lost behind its own redirect, and that is told.
    scene.page("/x/index.html", "one");
    scene
        .origin
        .set("/x/", Page::redirect(301, "/x/index.html"));
    let report = scene.mirror.run(&["run", "--json"]).expect(1).json();
    assert_eq!(report["collisions"][0]["winner"], scene.origin.url("/x/"));
}
