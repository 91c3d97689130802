//! Promise: `standin plan` says what a sync would do, object by object, and why; and where nothing is to be done it
//! says so without opening the database, and is never wrong about that.

use std::collections::BTreeMap;
use std::fs::File;

use rustix::fs::{CWD, Mode, OFlags, mkfifoat, open};
use rustix::process::Signal;
use serde_json::Value;
use standin::config::TierName;
use standin::content::{ContentHash, KeptHeaders};
use standin::db::{Fuse, stamp};
use standin::manifest::{
    Evidence, Generation, Manifest, Outcome, Page as Stored, RunId, Staged, Standing, TierState,
};
use standin::run::{layout_of, manifest_of};
use standin::site::{Layout, LayoutName, PageUrl};
use standin::sync;
use standin::tier::{DirectoryTier, Tier};

use crate::support::binary::{Mirror, bucket_tier, copy_all, folder_tier, key_start, site, until};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{S3Server, Seen};
use crate::support::scene::Scene;

const SIGKILL: i32 = 9;

/// Large enough to be worth a copy.
fn report() -> Vec<u8> {
    b"A long report. ".repeat(4_000)
}

fn before(origin: &Origin) {
    let links = "body typed leads becomes-redirect becomes-page goes old.pdf x/index.html";
    let links = links
        .split(' ')
        .map(|to| format!("<a href=\"/{to}\">x</a>"));
    let home = links.collect::<String>();
    origin.set("/robots.txt", Page::html("").status(404));
    origin.set("/", Page::html(home));
    origin.set("/body", Page::html("one"));
    origin.set("/typed", Page::new("text/plain", "data"));
    origin.set("/leads", Page::redirect(301, &origin.url("/body")));
    origin.set("/becomes-redirect", Page::html("a page"));
    origin.set("/becomes-page", Page::redirect(302, &origin.url("/body")));
    origin.set("/goes", Page::html("for a while"));
    origin.set("/old.pdf", Page::new("application/pdf", report()));
    origin.set("/x/index.html", Page::html("the longer name"));
}

fn after(origin: &Origin) {
    let home = "<a href=\"/new.pdf\">x</a><a href=\"/x/\">x</a>";
    origin.set("/", Page::html(home));
    origin.set("/body", Page::html("two"));
    let attached = Page::new("text/csv", "data");
    let attached = attached.header("content-disposition", "attachment");
    origin.set("/typed", attached);
    origin.set("/leads", Page::redirect(301, &origin.url("/typed")));
    let away = Page::redirect(301, &origin.url("/body"));
    origin.set("/becomes-redirect", away);
    origin.set("/becomes-page", Page::html("a page now"));
    origin.set("/goes", Page::html("gone").status(410));
    origin.set("/old.pdf", Page::html("gone").status(410));
    origin.set("/new.pdf", Page::new("application/pdf", report()));
    origin.set("/x/", Page::html("the canonical one"));
}

/// A tier's operations by what follows the host in their keys.
fn operations(plan: &Value, tier: &str, origin: &Origin) -> BTreeMap<String, Value> {
    let mut rows = plan["tiers"].as_array().expect("a list").iter();
    let row = rows.find(|row| row["name"] == tier).expect("a row");
    let operations = row["operations"].as_array().expect("a list");
    let named = operations.iter().map(|operation| {
        let key = operation["key"].as_str().expect("a key");
        let key = key.strip_prefix(&key_start(origin)).expect("of this site");
        (key.to_owned(), operation.clone())
    });
    named.collect()
}

#[test]
fn each_object_of_a_plan_has_its_reason() {
    let origin = Origin::start();
    before(&origin);
    let server = S3Server::start(&["site"]);
    let tiers = [
        folder_tier("folder"),
        bucket_tier("bucket", &server, "site"),
    ];
    let mirror = Mirror::new(&([site(&origin)].concat() + &tiers.concat()));
    mirror.run(&["crawl"]).expect(0);
    let first = mirror.run(&["plan", "--json"]).expect(0).json();
    assert_eq!(first["answered_from"], "manifest");
    let planned = operations(&first, "bucket", &origin);
    assert_eq!(planned.len(), 9);
    assert!(
        planned
            .values()
            .all(|one| one["what"] == "put" && one["why"] == "new")
    );
    mirror.run(&["sync"]).expect(0);
    let nothing = mirror.run(&["plan", "--json"]).expect(0).json();
    assert_eq!(nothing["answered_from"], "tiers.json");

    after(&origin);
    mirror.run(&["crawl"]).expect(1);
    let plan = mirror.run(&["plan", "--json"]).expect(0).json();
    let bucket = operations(&plan, "bucket", &origin);
    assert_reasons(&bucket, &origin);
    let folder = operations(&plan, "folder", &origin);
    assert_eq!(folder["new.pdf"]["what"], "put", "a folder copies nothing");
    let sums = &plan["tiers"][1];
    let counts = ["put", "copied", "reheadered", "deleted"].map(|name| sums[name].clone());
    assert_eq!(counts, [6, 1, 1, 2].map(Value::from));

    let other = origin.url("/x/index.html");
    let text = mirror.run(&["plan", "--tier", "bucket"]).expect(0).stdout;
    for line in [
        "  copy (moved): 1\n",
        "typed: headers changed: content-disposition, content-type\n",
        &format!(
            "new.pdf: new; moved, copied from {}old.pdf\n",
            key_start(&origin)
        ),
        &format!("takes the place of {other}; {other} lies on the same key and is not served\n"),
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("folder"), "{text}");
}

/// What became of each page, and with what around it.
fn assert_reasons(bucket: &BTreeMap<String, Value>, origin: &Origin) {
    let told: Vec<_> = bucket
        .iter()
        .map(|(key, one)| (key.as_str(), one["what"].as_str(), one["why"].as_str()))
        .collect();
    let expected = [
        ("becomes-page", "put", "became_page"),
        ("becomes-redirect", "put", "became_redirect"),
        ("body", "put", "body"),
        ("goes", "delete", "gone"),
        ("index.html", "put", "body"),
        ("leads", "put", "target"),
        ("new.pdf", "copy", "moved"),
        ("old.pdf", "delete", "gone"),
        ("typed", "reheader", "headers"),
        ("x/index.html", "put", "new"),
    ];
    assert_eq!(
        told,
        expected.map(|(key, what, why)| (key, Some(what), Some(why)))
    );
    let names = ["content-disposition", "content-type"];
    assert_eq!(bucket["typed"]["headers"], serde_json::json!(names));
    assert_eq!(bucket["leads"]["target_before"], origin.url("/body"));
    assert_eq!(bucket["leads"]["target"], origin.url("/typed"));
    assert_eq!(bucket["goes"]["status"], 410);
    assert_eq!(
        bucket["new.pdf"]["from"],
        format!("{}old.pdf", key_start(origin))
    );
    let other = origin.url("/x/index.html");
    assert_eq!(bucket["x/index.html"]["instead_of"], other);
    assert_eq!(bucket["x/index.html"]["wins_over"][0], other);
}

#[test]
fn what_is_owed_and_what_is_in_doubt_is_told_with_its_reason() {
    // Promise: a debt comes with its generation, reason and attempts; what a killed sync had taken on is in doubt.
    let origin = Origin::start();
    before(&origin);
    let server = S3Server::start(&["site"]);
    let config = [site(&origin), bucket_tier("bucket", &server, "site")].concat();
    let mirror = Mirror::new(&config);
    let is_body = |seen: &Seen| seen.method == "PUT" && seen.path.ends_with("/body");
    server.fail_next(99, is_body, 400);
    mirror.run(&["run"]).expect(1);
    assert!(server.faults_left() < 99, "the fault was seen");
    let plan = mirror.run(&["plan", "--json"]).expect(0).json();
    assert_eq!(plan["answered_from"], "manifest");
    let planned = operations(&plan, "bucket", &origin);
    assert_eq!(planned.keys().collect::<Vec<_>>(), ["body"]);
    let (body, tier) = (&planned["body"], &plan["tiers"][0]);
    assert_eq!(
        (&body["what"], &body["why"]),
        (&"put".into(), &"owed".into())
    );
    assert_eq!(body["owed"]["since"], 1);
    assert_eq!(body["owed"]["attempts"], 1);
    assert_eq!(
        (&tier["debts"], &tier["in_doubt"]),
        (&1.into(), &false.into())
    );
    let text = mirror.run(&["plan"]).expect(0).stdout;
    assert!(
        text.contains("as it was; owed since generation 1 after 1 attempts: "),
        "{text}"
    );

    server.calm();
    mirror.run(&["run"]).expect(0);
    after(&origin);
    mirror.run(&["crawl"]).expect(1);
    let killed = mirror.run_killed("tier.written:2", &["sync"]);
    assert_eq!(killed.signal, Some(SIGKILL));
    let plan = mirror.run(&["plan", "--json"]).expect(0).json();
    let planned = operations(&plan, "bucket", &origin);
    assert_eq!(planned.len(), 10);
    assert!(
        planned.values().all(|one| one["in_doubt"] == true),
        "{plan:#}"
    );
    assert_eq!(plan["tiers"][0]["in_doubt"], true);
    let text = mirror.run(&["plan", "-v"]).expect(0).stdout;
    let doubted = "in doubt, since a plan was cut short";
    assert_eq!(text.matches(doubted).count(), 10, "{text}");
    mirror.run(&["sync"]).expect(1);
    let plan = mirror.run(&["plan", "--json"]).expect(0).json();
    assert_eq!(plan["answered_from"], "tiers.json");
}

#[test]
fn a_plan_for_people_is_bounded_and_a_tier_that_is_none_is_named() {
    // Promise: twenty objects of a kind are named and the rest counted, all of them with -v; a tier that is not
    // configured is one line with the name that was meant.
    let origin = Origin::start();
    let links = (0..30).map(|number| format!("<a href=\"/page/{number:02}\">x</a>"));
    origin.set("/", Page::html(links.collect::<String>()));
    for number in 0..30 {
        let page = Page::html(format!("number {number}"));
        origin.set(&format!("/page/{number:02}"), page);
    }
    let mirror = Mirror::new(&[site(&origin), folder_tier("folder")].concat());
    mirror.run(&["crawl"]).expect(0);
    let text = mirror.run(&["plan"]).expect(0).stdout;
    assert!(text.contains("  put (new): 31\n"), "{text}");
    assert_eq!(text.lines().count(), 1 + 1 + 20 + 1, "{text}");
    assert!(text.contains("    … and 11 more; -v names all\n"), "{text}");
    let all = mirror.run(&["plan", "-v"]).expect(0).stdout;
    assert_eq!(all.lines().count(), 31 + 1 + 1, "{all}");
    assert_eq!(mirror.run(&["plan", "-q"]).expect(0).stdout, "");

    let wrong = mirror.run(&["plan", "--tier", "fodler"]).expect(64);
    let line = "standin: there is no tier `fodler`; did you mean `folder`? there are: folder\n";
    assert_eq!((wrong.stdout.as_str(), wrong.stderr.as_str()), ("", line));
    let wrong = mirror
        .run(&["plan", "--tier", "A\nB", "--json"])
        .expect(64)
        .json();
    assert!(wrong["error"].is_string());
}

#[test]
fn what_a_guard_holds_back_is_told_beside_the_plan() {
    // Promise: what was found and not committed lies in no plan, and the plan says how much that is and why.
    let origin = Origin::start();
    before(&origin);
    let config = [
        site(&origin),
        "[guard]\ndeletes_always = 0\ndeletes_max = 0.0\n".into(),
        folder_tier("folder"),
    ];
    let mirror = Mirror::new(&config.concat());
    mirror.run(&["run"]).expect(0);
    after(&origin);
    mirror.run(&["run"]).expect(1);
    let plan = mirror.run(&["plan", "--json"]).expect(0).json();
    assert_eq!(plan["held_back"]["changes"], 2, "{plan:#}");
    let text = mirror.run(&["plan"]).expect(0).stdout;
    assert!(
        text.contains("2 changes are held back by the last run and in no plan: "),
        "{text}"
    );
}

#[test]
fn another_configuration_is_not_answered_from_the_file() {
    // Promise: the file answers for the tiers and the layout that it was written for, and for nothing else.
    let origin = Origin::start();
    before(&origin);
    let config = [site(&origin), folder_tier("folder")].concat();
    let mirror = Mirror::new(&config);
    mirror.run(&["run"]).expect(0);
    let answered = |mirror: &Mirror| {
        let plan = mirror.run(&["plan", "--json"]).expect(0).json();
        plan["answered_from"].as_str().expect("a text").to_owned()
    };
    assert_eq!(answered(&mirror), "tiers.json");
    let toml = mirror.path("standin.toml");
    std::fs::write(&toml, config.clone() + &folder_tier("second")).expect("it is ours");
    assert_eq!(
        answered(&mirror),
        "manifest",
        "a tier that it does not know"
    );
    let govuk = config.replace("[site]\n", "[site]\nlayout = \"govuk\"\n");
    assert_ne!(govuk, config);
    std::fs::write(&toml, govuk).expect("it is ours");
    let told = mirror.run(&["plan"]).expect(0).stdout;
    assert!(
        told.starts_with("folder: from layout `plain` to layout `govuk`"),
        "{told}"
    );
    std::fs::write(&toml, &config).expect("it is ours");
    for text in ["", "{}", "no json"] {
        std::fs::write(mirror.path("state/tiers.json"), text).expect("it is ours");
        assert_eq!(answered(&mirror), "manifest", "{text:?}");
        assert_eq!(
            answered(&mirror),
            "tiers.json",
            "whoever opens the database mends it"
        );
    }
}

#[test]
fn a_verb_that_only_reads_ends_at_a_signal() {
    // Promise: whatever a plan or an explanation waits for (here for a configuration that never comes), SIGTERM and
    // SIGINT end it at once.
    let mirror = Mirror::bare();
    let pipe = mirror.path("standin.toml");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).expect("it is ours");
    for (signal, word) in [(Signal::TERM, "terminated"), (Signal::INT, "interrupted")] {
        for verb in [&["plan"][..], &["explain", "http://site.test/"]] {
            let reader = mirror.start(verb);
            let flags = OFlags::WRONLY | OFlags::NONBLOCK;
            let mut writer = None;
            until("the configuration is read", || {
                writer = open(&pipe, flags, Mode::empty()).ok();
                writer.is_some()
            });
            let ended = reader.ends_at(signal).expect(2);
            assert!(ended.stderr.contains(word), "{ended:?}");
        }
    }
}

#[test]
fn a_reader_that_takes_its_time_holds_up_nobody() {
    // Promise: while nobody reads a long plan to its end, lock and database are free, and a signal ends the printing;
    // whoever reads gets all of it, and no file stays.
    const PAGES: usize = 300;
    let origin = Origin::start();
    let path = |number: usize| format!("/{number:03}{}", "x".repeat(200));
    let links = (0..PAGES).map(|number| format!("<a href=\"{}\">x</a>", path(number)));
    origin.set("/", Page::html(links.collect::<String>()));
    for number in 0..PAGES {
        origin.set(&path(number), Page::html(format!("number {number}")));
    }
    let mirror = Mirror::new(&[site(&origin), folder_tier("folder")].concat());
    mirror.run(&["crawl"]).expect(0);
    for signal in [Signal::TERM, Signal::INT] {
        let mut printing = mirror.start(&["plan", "--json"]);
        printing.begins_to_print();
        until("the state directory is free", || {
            mirror.run(&["plan", "-q"]).code == Some(0)
        });
        let cut = printing.ends_at(signal).expect(2);
        assert!(!cut.stdout.contains("\"error\""), "{}", cut.stdout);
    }
    let whole = mirror.run(&["plan", "--json"]).expect(0);
    assert!(
        whole.stdout.len() > 1 << 17,
        "more than memory and a pipe take"
    );
    let planned = operations(&whole.json(), "folder", &origin);
    assert_eq!(planned.len(), PAGES + 1);
    assert!(!mirror.path("state/plan.spool").exists());
}

#[test]
fn a_file_that_cannot_be_written_does_not_spoil_a_plan() {
    // Promise: the answer is one document, and right, whether or not the next one can be had faster.
    let mirror = Mirror::new(
        &("[site]\nseeds = [\"http://site.test/\"]\n".to_owned() + &folder_tier("folder")),
    );
    mirror.run(&["plan"]).expect(0);
    std::fs::remove_file(mirror.path("state/tiers.json")).expect("a plan has left it");
    std::fs::create_dir(mirror.path("state/tiers.json.new")).expect("it is ours");
    for _ in 0..2 {
        let plan = mirror.run(&["plan", "--json"]).expect(0).json();
        assert_eq!(plan["answered_from"], "manifest");
    }
    let told = mirror.run(&["plan", "-v"]).expect(0);
    assert!(told.stderr.contains("tiers.json"), "{told:?}");
    let text = "folder: nothing to do, generation 0 is recorded as there\n";
    assert_eq!(told.stdout, text, "no tier was asked");
    std::fs::remove_dir(mirror.path("state/tiers.json.new")).expect("it is empty");
    mirror.run(&["plan"]).expect(0);
    let told = mirror.run(&["plan"]).expect(0);
    assert_eq!(told.stdout, text, "the same from the file");
}

#[test]
fn a_database_that_was_put_back_is_asked() {
    // Promise: the file speaks of the database that it was written for. A copy from before a sync is of the same
    // generation and lacks what the sync has recorded; and who only reads leaves a file that holds.
    let origin = Origin::start();
    before(&origin);
    let mirror = Mirror::new(&[site(&origin), folder_tier("folder")].concat());
    mirror.run(&["crawl"]).expect(0);
    copy_all(&mirror.path("state/manifest"), &mirror.path("copy"));
    mirror.run(&["sync"]).expect(0);
    let answered = || {
        let plan = mirror.run(&["plan", "--json"]).expect(0).json();
        let put = plan["tiers"][0]["put"].clone();
        (plan["answered_from"].clone(), put)
    };
    assert_eq!(answered(), ("tiers.json".into(), 0.into()));
    mirror.run(&["explain", &origin.url("/")]).expect(0);
    assert_eq!(answered(), ("tiers.json".into(), 0.into()));
    std::fs::remove_dir_all(mirror.path("state/manifest")).expect("it is ours");
    std::fs::rename(mirror.path("copy"), mirror.path("state/manifest")).expect("it is ours");
    assert_eq!(answered(), ("manifest".into(), 9.into()));
}

#[test]
fn what_cannot_be_printed_is_an_error_and_no_panic() {
    // Promise: whatever was to go to a stdout that takes nothing, the exit code says that it did not get there; a
    // reader that has gone away changes nothing.
    let config = "[site]\nseeds = [\"http://site.test/\"]\n".to_owned() + &folder_tier("folder");
    let mirror = Mirror::new(&config);
    let verbs: [(&[&str], i32); 8] = [
        (&["plan", "--json"], 0),
        (&["plan", "--json"], 0),
        (&["plan", "-v"], 0),
        (&["explain", "http://site.test/"], 0),
        (&["explain", "no URL", "--json"], 64),
        (&["no-verb", "--json"], 64),
        (&["--help"], 0),
        (&["ls", "--json", "--tier", "none"], 64),
    ];
    for (verb, code) in verbs {
        let full = File::options()
            .write(true)
            .open("/dev/full")
            .expect("there is one");
        let mut command = mirror.command(verb);
        let ran = command.stdout(full).output().expect("it is there");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{verb:?}: {said}");
        assert!(said.contains("standin: stdout: "), "{verb:?}: {said}");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = mirror.command(verb);
        let ran = command.stdout(writer).output().expect("it is there");
        assert_eq!(ran.status.code(), Some(code), "{verb:?}");
    }
}

/// What the database says that a tier lacks.
fn lacks(scene: &Scene) -> u64 {
    let manifest = manifest_of(&scene.config, Fuse::none()).expect("it opens");
    let tier = &scene.config.tiers[0];
    let prices = DirectoryTier::new(tier.name.clone(), scene.tier()).prices();
    let planned = sync::plan_of(&manifest, &tier.name, &prices, |_| ());
    let intent = manifest.intent(&tier.name).expect("readable");
    planned.expect("readable").operations() + u64::from(intent.is_some())
}

fn claims_nothing_lacks(scene: &Scene) -> bool {
    let names = scene.config.tiers.iter().map(|tier| &tier.name);
    let standing = Standing::read(&scene.config.state.dir);
    standing.is_some_and(|standing| standing.is_complete(&layout_of(&scene.config), names))
}

/// What a killed run has left is looked at in a copy, which the file is not tied to as it was to the original; what it
/// says must be true without that.
fn tie_again(scene: &Scene) {
    let state = &scene.config.state.dir;
    let Ok(bytes) = std::fs::read(state.join("tiers.json")) else {
        return;
    };
    let mut word: Value = serde_json::from_slice(&bytes).expect("it is JSON");
    let log = stamp(&state.join("manifest")).expect("it is there");
    word["database"] = log.into();
    std::fs::write(state.join("tiers.json"), word.to_string()).expect("it is ours");
}

#[test]
fn the_file_never_claims_less_than_there_is_wherever_a_run_is_killed() {
    // Promise: killed before any write of a run that has something to commit and to send, and once more in the run
    // after it, the file is gone or what it says is true.
    let (mut claims, mut silences) = (0, 0);
    for passes in 0.. {
        let mut scene = Scene::new();
        scene.page("/", &["/a", "/b"], "one");
        scene.page("/a", &[], "one");
        scene.page("/b", &[], "one");
        scene.run();
        assert!(claims_nothing_lacks(&scene) && lacks(&scene) == 0);
        scene.page("/a", &[], "two");
        scene.origin.set("/b", Page::html("gone").status(410));
        let mut was_killed = false;
        for passes in [passes, passes * 7 % 41] {
            was_killed = scene.run_until(&Fuse::after(passes));
            tie_again(&scene);
            match claims_nothing_lacks(&scene) {
                true => {
                    claims += 1;
                    assert_eq!(lacks(&scene), 0, "killed after {passes} writes");
                }
                false => silences += 1,
            }
            if !was_killed {
                break;
            }
        }
        scene.run();
        assert!(claims_nothing_lacks(&scene) && lacks(&scene) == 0);
        if !was_killed && passes > 40 {
            break;
        }
    }
    assert!(claims > 2 && silences > 40, "{claims} {silences}");
}

/// A manifest of so many pages, of which the last `changed` have a new body that no tier has yet.
fn manifest_of_pages(state: &std::path::Path, pages: usize, changed: usize) -> Manifest {
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest = Manifest::open(state, &layout, Fuse::none()).expect("it opens");
    let commit = |numbers: std::ops::Range<usize>, body: &str| {
        let staged = numbers.map(|number| {
            let url = PageUrl::parse(&format!("https://h.test/{number:06}")).expect("a URL");
            let content = ContentHash::of(format!("{number} {body}").as_bytes());
            let page = Stored {
                status: 200,
                content,
                canonical: content,
                rules: 0,
                crc32c: 0,
                size: 1_000,
                headers: KeptHeaders::default(),
                etag: None,
                last_modified: None,
            };
            let staged = Staged::Outcome {
                outcome: Outcome::Page(page),
                located: None,
                fetched: 0,
            };
            Ok((url, staged))
        });
        let run = RunId("run".into());
        manifest
            .commit(&run, 0, Evidence::Whole, staged)
            .expect("it commits");
    };
    commit(0..pages, "one");
    let tier = TierName::parse("copy").expect("a name");
    let state = TierState {
        watermark: Generation(1),
        ..TierState::default()
    };
    manifest.end_plan(&tier, &state).expect("it is written");
    commit(pages - changed..pages, "two");
    manifest
}

#[test]
fn what_a_plan_reads_is_what_changed() {
    // Promise: the records that a plan reads are as many as changes, whatever the size of the site; counted.
    let tier = TierName::parse("copy").expect("a name");
    let mut read = BTreeMap::new();
    for (pages, changed) in [(200, 10), (2_000, 10), (2_000, 100)] {
        let state = tempfile::tempdir().expect("a folder");
        let manifest = manifest_of_pages(state.path(), pages, changed);
        let prices = DirectoryTier::new(tier.clone(), state.path().join("tier")).prices();
        let before = manifest.records_read();
        let planned = sync::plan_of(&manifest, &tier, &prices, |_| ()).expect("readable");
        assert_eq!(planned.put, changed as u64);
        read.insert((pages, changed), manifest.records_read() - before);
    }
    assert_eq!(read[&(200, 10)], read[&(2_000, 10)], "{read:?}");
    assert_eq!(read[&(2_000, 100)] - read[&(2_000, 10)], 90, "{read:?}");
}
