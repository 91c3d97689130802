//! Promise: whatever is done to a copy behind its back is found and called by its name, in every kind of tier, before a
//! further run and after it. A matrix of damages and tiers, told by the real binary against the in-process servers.
//!
//! What a listing cannot show (bytes that have changed under their ETag, headers) a complete listing does not find, and
//! `--deep --headers all` does.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::gcs_server::{self, GcsServer};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{self, S3Server};

const BUCKET: &str = "site";
const DEEP: [&str; 5] = ["audit", "--deep", "--headers", "all", "--json"];

/// The kinds of tiers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Folder,
    S3,
    Gcs,
}

const KINDS: [Kind; 3] = [Kind::Folder, Kind::S3, Kind::Gcs];

/// What is done to a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Damage {
    Delete,
    Truncate,
    FlipByte,
    SwapBodies,
    ChangeHeader,
    AddForeign,
    RestoreOld,
}

/// With what a complete listing finds of it, and what a look at bytes and headers: class and path.
const MATRIX: [(Damage, &[Found], &[Found]); 7] = [
    (Damage::Delete, &[("missing", "a")], &[("missing", "a")]),
    (Damage::Truncate, &[("corrupt", "a")], &[("corrupt", "a")]),
    (Damage::FlipByte, &[], &[("corrupt", "a")]),
    (
        Damage::SwapBodies,
        &[("corrupt", "a"), ("corrupt", "b")],
        &[("corrupt", "a"), ("corrupt", "b")],
    ),
    (Damage::ChangeHeader, &[], &[("wrong_headers", "a")]),
    (Damage::AddForeign, &[("foreign", "x")], &[("foreign", "x")]),
    (Damage::RestoreOld, &[("stale", "a")], &[("stale", "a")]),
];

type Found = (&'static str, &'static str);

/// An object with all that belongs to it.
#[derive(Clone)]
enum Whole {
    Folder { body: Vec<u8>, side: Vec<u8> },
    S3(Box<s3_server::Stored>),
    Gcs(Box<gcs_server::Stored>),
}

/// A mirror of a small site in one tier, whose page `/a` was edited once.
struct Scene {
    kind: Kind,
    origin: Origin,
    s3: S3Server,
    gcs: GcsServer,
    mirror: Mirror,
    /// `/a` as it was before.
    old: Whole,
}

impl Scene {
    fn new(kind: Kind) -> Scene {
        let origin = Origin::start();
        let links = "<a href=/a>a</a><a href=/b>b</a><img src=/logo.png>";
        origin.set("/", Page::html(links));
        origin.set("/a", Page::html("<p>page a, the first</p>"));
        origin.set("/b", Page::html("<p>page b is longer</p>"));
        origin.set("/logo.png", Page::new("image/png", vec![7; 3000]));
        let (s3, gcs) = (S3Server::start(&[BUCKET]), GcsServer::start(&[BUCKET]));
        let tier = match kind {
            Kind::Folder => folder_tier("copy"),
            Kind::S3 => bucket_tier("copy", &s3, BUCKET),
            Kind::Gcs => gcs_tier(&gcs),
        };
        let mirror = Mirror::new(&(site(&origin) + &tier));
        mirror.run(&["run"]).expect(0);
        let mut scene = Scene {
            kind,
            origin,
            s3,
            gcs,
            mirror,
            old: Whole::Folder {
                body: Vec::new(),
                side: Vec::new(),
            },
        };
        scene.old = scene.take("a");
        scene
            .origin
            .set("/a", Page::html("<p>page a, the second</p>"));
        scene.mirror.run(&["run"]).expect(0);
        scene
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", key_start(&self.origin))
    }

    fn full(&self, path: &str) -> String {
        format!("copy/{}", self.key(path))
    }

    fn body_file(&self, path: &str) -> PathBuf {
        self.mirror.path("tiers/copy").join(self.key(path))
    }

    fn side_file(&self, path: &str) -> PathBuf {
        let hash = standin::content::ContentHash::of(self.key(path).as_bytes()).to_string();
        let folder = self.mirror.path("tiers/copy/.standin/meta");
        folder.join(&hash[..2]).join(hash)
    }

    fn take(&self, path: &str) -> Whole {
        match self.kind {
            Kind::Folder => Whole::Folder {
                body: fs::read(self.body_file(path)).expect("it is there"),
                side: fs::read(self.side_file(path)).expect("it is there"),
            },
            Kind::S3 => {
                let stored = self.s3.object(BUCKET, &self.full(path));
                Whole::S3(Box::new(stored.expect("it is there")))
            }
            Kind::Gcs => {
                let stored = self.gcs.object(BUCKET, &self.full(path));
                Whole::Gcs(Box::new(stored.expect("it is there")))
            }
        }
    }

    fn body(&self, path: &str) -> Vec<u8> {
        match self.take(path) {
            Whole::Folder { body, .. } => body,
            Whole::S3(stored) => stored.data.to_vec(),
            Whole::Gcs(stored) => stored.data.to_vec(),
        }
    }

    fn place(&self, path: &str, whole: Whole) {
        match whole {
            Whole::Folder { body, side } => {
                fs::write(self.body_file(path), body).expect("it is ours");
                fs::write(self.side_file(path), side).expect("it is ours");
            }
            Whole::S3(stored) => self.s3.place(BUCKET, &self.full(path), *stored),
            Whole::Gcs(stored) => self.gcs.place(BUCKET, &self.full(path), *stored),
        }
    }

    /// Other bytes under all that was said of the old ones.
    fn spoil(&self, path: &str, spoil: impl Fn(&mut Vec<u8>)) {
        let mut whole = self.take(path);
        match &mut whole {
            Whole::Folder { body, .. } => spoil(body),
            Whole::S3(stored) => {
                let mut body = stored.data.to_vec();
                spoil(&mut body);
                stored.data = body.into();
            }
            Whole::Gcs(stored) => {
                let mut body = stored.data.to_vec();
                spoil(&mut body);
                stored.data = body.into();
            }
        }
        self.place(path, whole);
    }

    fn damage(&self, damage: Damage) {
        match damage {
            Damage::Delete => match self.kind {
                Kind::Folder => fs::remove_file(self.body_file("a")).expect("it is there"),
                Kind::S3 => self.s3.remove(BUCKET, &self.full("a")),
                Kind::Gcs => self.gcs.remove(BUCKET, &self.full("a")),
            },
            Damage::Truncate => self.spoil("a", |body| body.truncate(5)),
            Damage::FlipByte => self.spoil("a", |body| body[4] ^= 1),
            Damage::SwapBodies => {
                let (a, b) = (self.take("a"), self.take("b"));
                self.place("a", b);
                self.place("b", a);
            }
            Damage::ChangeHeader => self.change_header(),
            Damage::AddForeign => match self.kind {
                Kind::Folder => fs::write(self.body_file("x"), b"foreign").expect("it is ours"),
                Kind::S3 => self.s3.insert(BUCKET, &self.full("x"), b"foreign"),
                Kind::Gcs => self.gcs.insert(BUCKET, &self.full("x"), b"foreign"),
            },
            Damage::RestoreOld => self.place("a", self.old.clone()),
        }
    }

    fn change_header(&self) {
        let mut whole = self.take("a");
        match &mut whole {
            Whole::Folder { side, .. } => {
                let text = String::from_utf8(side.clone()).expect("JSON");
                let changed = text.replace("text/html", "text/plain");
                assert_ne!(text, changed);
                *side = changed.into_bytes();
            }
            Whole::S3(stored) => stored.headers.content_type = Some("text/plain".into()),
            Whole::Gcs(stored) => stored.headers.content_type = "text/plain".into(),
        }
        self.place("a", whole);
    }

    /// The findings of an audit: class and path.
    fn findings(&self, report: &Value) -> Vec<(String, String)> {
        let tier = &report["tiers"][0];
        let mut found = Vec::new();
        for class in ["missing", "corrupt", "foreign", "stale", "wrong_headers"] {
            let named = tier[class].as_array().expect("a list");
            assert_eq!(tier["counts"][class], named.len(), "{tier:#}");
            for finding in named {
                assert_eq!(finding["class"], class);
                assert_eq!(finding["tier"], "copy");
                let key = finding["key"].as_str().expect("a key");
                let path = key.strip_prefix(&key_start(&self.origin));
                found.push((
                    class.to_owned(),
                    path.expect("a key of this site").to_owned(),
                ));
            }
        }
        found
    }

    /// Mends it, and so many findings with it; what is owed is put as well.
    #[track_caller]
    fn repair(&self, findings: usize, damage: Damage, context: &str) {
        let mut repair = DEEP.to_vec();
        repair.extend(["--repair", "--delete-foreign"]);
        let ran = self.mirror.run(&repair);
        assert_eq!(ran.code, Some(0), "{context}: {ran:#?}");
        let tier = &ran.json()["tiers"][0];
        // What only a closer look could find is owed since the audit before, and was written before this one looked.
        let is_owed = matches!(damage, Damage::FlipByte | Damage::ChangeHeader);
        let findings = if is_owed { 0 } else { findings };
        assert_eq!(tier["repaired"], findings, "{context}: {tier:#}");
        let (put, foreign) = match damage {
            Damage::AddForeign => (0, 1),
            Damage::SwapBodies => (2, 0),
            _ => (1, 0),
        };
        assert_eq!(tier["sent"]["put"], put, "{context}: {tier:#}");
        assert_eq!(tier["sent"]["foreign_deleted"], foreign, "{context}");
    }

    #[track_caller]
    fn expect(&self, arguments: &[&str], expected: &[Found], context: &str) -> Value {
        let ran = self.mirror.run(arguments);
        let code = i32::from(!expected.is_empty());
        assert_eq!(ran.code, Some(code), "{context}: {ran:#?}");
        let report = ran.json();
        let expected: Vec<(String, String)> = expected
            .iter()
            .map(|(class, path)| ((*class).to_owned(), (*path).to_owned()))
            .collect();
        assert_eq!(self.findings(&report), expected, "{context}: {report:#}");
        assert_eq!(report["incomplete"], false, "{context}");
        report
    }
}

fn gcs_tier(server: &GcsServer) -> String {
    format!(
        "[[tier]]\nname = \"copy\"\nurl = \"gs://{BUCKET}/copy\"\nendpoint = \"{}\"\ncredentials = {{ anonymous = true }}\n",
        server.endpoint()
    )
}

#[test]
fn every_damage_is_found_and_mended_in_every_kind_of_tier() {
    // Repaired it exits with 0, writes exactly what was wrong, and an audit of every byte and header finds nothing.
    for kind in KINDS {
        for (damage, by_listing, by_looking) in MATRIX {
            let context = format!("{kind:?}, {damage:?}");
            let scene = Scene::new(kind);
            let right = ["index.html", "a", "b", "logo.png"];
            let before: Vec<Vec<u8>> = right.iter().map(|path| scene.body(path)).collect();
            scene.damage(damage);
            // Google's listing states checksums of its own, which a test that fakes a disk leaves as they were.
            scene.expect(&["audit", "--json"], by_listing, &context);
            let report = scene.expect(&DEEP, by_looking, &context);
            for (class, path) in by_looking {
                let finding = &report["tiers"][0][class][0];
                if *class != "foreign" && *path == "a" {
                    assert_eq!(finding["url"], scene.origin.url("/a"), "{context}");
                    let generation = &finding["expected"]["generation"];
                    assert_eq!(generation, 2, "{context}: {finding:#}");
                    assert!(finding["since"].is_string(), "{context}: {finding:#}");
                }
            }
            scene.repair(by_looking.len(), damage, &context);
            scene.expect(&DEEP, &[], &context);
            let after: Vec<Vec<u8>> = right.iter().map(|path| scene.body(path)).collect();
            assert!(before == after, "{context}");
        }
    }
}

#[test]
fn a_further_run_changes_what_is_known_and_hides_nothing() {
    // The glance of a run sees what a listing shows, and owes it; an audit calls that known then. What only reading
    // tells is found as before. Repaired, both are clean.
    for kind in KINDS {
        for (damage, by_listing, by_looking) in MATRIX {
            let context = format!("{kind:?}, {damage:?}");
            let scene = Scene::new(kind);
            scene.damage(damage);
            scene.mirror.run(&["run"]);
            let is_foreign = damage == Damage::AddForeign;
            let is_visible = !by_listing.is_empty() && !is_foreign;
            let ran = scene.mirror.run(&DEEP);
            assert_eq!(ran.code, Some(1), "{context}: {ran:#?}");
            let tier = &ran.json()["tiers"][0];
            let owed = if is_visible { by_looking.len() } else { 0 };
            assert_eq!(tier["counts"]["owed"], owed, "{context}: {tier:#}");
            let expected = if is_visible { 0 } else { by_looking.len() };
            assert_eq!(
                scene.findings(&ran.json()).len(),
                expected,
                "{context}: {tier:#}"
            );
            scene.repair(expected, damage, &context);
            let run = scene.mirror.run(&["run", "--json"]).expect(0).json();
            assert_eq!(run["tiers"][0]["put"], 0, "{context}: nothing is left");
            scene.expect(&DEEP, &[], &context);
        }
    }
}

#[test]
fn what_is_found_says_since_when_it_was_right() {
    // The last complete proof covers it at first; once it was contradicted there is none.
    let scene = Scene::new(Kind::S3);
    scene.damage(Damage::RestoreOld);
    let expected = [("stale", "a")];
    let first = scene.expect(&["audit", "--json"], &expected, "first");
    let finding = &first["tiers"][0]["stale"][0];
    assert!(finding["last_good"].is_string(), "{finding:#}");
    assert_eq!(finding["found"]["generation"], 1);
    assert_eq!(finding["seen_by"], "head");
    assert_eq!(first["tiers"][0]["verified"], Value::Null);
    let second = scene.expect(&["audit", "--json"], &expected, "second");
    assert_eq!(second["tiers"][0]["stale"][0]["last_good"], Value::Null);
    assert_eq!(second["verdict"], json!("degraded"));
}
