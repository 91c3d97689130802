//! Promise: an audit leaves nothing out on the ground that somebody else will see to it, claims nothing that was not
//! done, and what it has found stays known until it is mended. Told by the real binary against folders.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::audit::in_two_folders;
use crate::support::binary::{Mirror, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};

const DEEP: [&str; 5] = ["audit", "--deep", "--headers", "all", "--json"];

/// What is done to the bytes of a file.
type Harm = fn(&mut Vec<u8>);

/// A site of so many pages and a home page, mirrored into a folder.
fn mirrored(pages: usize) -> (Origin, Mirror) {
    let origin = Origin::start();
    let links = (0..pages).map(|n| format!("<a href=\"/p{n}\">{n}</a>"));
    origin.set("/", Page::html(links.collect::<String>()));
    for n in 0..pages {
        origin.set(&format!("/p{n}"), page(n));
    }
    let mirror = Mirror::new(&(site(&origin) + &folder_tier("copy")));
    mirror.run(&["run"]).expect(0);
    (origin, mirror)
}

fn page(n: usize) -> Page {
    Page::html(format!("<p>page {n}</p>"))
}

/// Files published into a folder.
fn published(files: &[String]) -> Mirror {
    let config = format!("[site]\nhosts = [\"h.test\"]\n{}", folder_tier("copy"));
    let mirror = Mirror::new(&config);
    for name in files {
        let path = mirror.path("site").join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
        fs::write(path, format!("<p>page {name}</p>")).expect("it is ours");
    }
    mirror.run(&["publish", "site"]).expect(0);
    mirror
}

fn body_of(origin: &Origin, mirror: &Mirror, name: &str) -> PathBuf {
    let folder = mirror.path("tiers/copy").join(key_start(origin));
    folder.join(name)
}

fn side_of(mirror: &Mirror, key: &str) -> PathBuf {
    let hash = standin::content::ContentHash::of(key.as_bytes()).to_string();
    let folder = mirror.path("tiers/copy/.standin/meta");
    folder.join(&hash[..2]).join(hash)
}

fn flip(path: &PathBuf) {
    let mut body = fs::read(path).expect("it is there");
    body[4] ^= 1;
    fs::write(path, body).expect("it is ours");
}

fn counts(report: &Value) -> &Value {
    &report["tiers"][0]["counts"]
}

#[test]
fn what_changed_and_changed_back_is_looked_at() {
    // Two crawls without a sync, after which the page is what it was: no plan will ever write it, so an audit compares it
    // although the tier is behind; and mends it.
    let (origin, mirror) = mirrored(4);
    for page in [Page::html("<p>edited</p>"), page(1)] {
        origin.set("/p1", page);
        mirror.run(&["crawl"]).expect(0);
    }
    let victim = body_of(&origin, &mirror, "p1");
    fs::remove_file(&victim).expect("it is there");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(counts(&report)["missing"], 1, "{report:#}");
    assert_eq!(counts(&report)["behind"], 0, "{report:#}");
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(0)
        .json();
    assert_eq!(report["tiers"][0]["repaired"], 1, "{report:#}");
    assert!(victim.exists());
    mirror.run(&DEEP).expect(0);
}

#[test]
fn a_repair_brings_the_tier_up_before_it_looks() {
    // Only a header has changed, and the bytes were harmed: what the tier is behind with is done first, so that nothing is
    // passed over on its account.
    let (origin, mirror) = mirrored(4);
    origin.set("/p1", page(1).header("cache-control", "max-age=60"));
    mirror.run(&["crawl"]).expect(0);
    let victim = body_of(&origin, &mirror, "p1");
    let before = fs::read(&victim).expect("it is there");
    flip(&victim);
    let report = mirror.run(&["audit", "--deep", "--json"]).expect(1).json();
    assert_eq!(counts(&report)["behind"], 1, "{report:#}");
    let ran = mirror.run(&["audit", "--deep", "--repair", "--json"]);
    let report = ran.expect(0).json();
    assert_eq!(counts(&report)["corrupt"], 1, "{report:#}");
    assert_eq!(fs::read(&victim).expect("it is there"), before);
    mirror.run(&DEEP).expect(0);
}

#[test]
fn a_name_that_is_no_text_is_told_and_never_said_to_be_deleted() {
    let mirror = published(&["a.html".into()]);
    let folder = mirror.path("tiers/copy/h.test");
    let names: [&[u8]; 2] = [b"caf\xe9.html", b"caf\xe8.html"];
    let odd = names.map(|name| folder.join(OsStr::from_bytes(name)));
    for path in &odd {
        fs::write(path, "x").expect("it is ours");
    }
    // What the name of another one looks like when the byte that is no text is replaced.
    let plain = folder.join("caf\u{fffd}.html");
    fs::write(&plain, "x").expect("it is ours");
    let ran = mirror.run(&["audit", "--delete-foreign", "--json"]);
    let report = ran.expect(1).json();
    let tier = &report["tiers"][0];
    assert_eq!(tier["counts"]["foreign"], 3, "{report:#}");
    assert_eq!(tier["sent"]["foreign_deleted"], 1, "{report:#}");
    assert_eq!(tier["repaired"], 1, "{report:#}");
    let unrepaired = tier["unrepaired"].as_array().expect("a list");
    let keys: Vec<&Value> = unrepaired.iter().map(|one| &one["key"]).collect();
    let expected = [r"h.test/caf\xe8.html", r"h.test/caf\xe9.html"];
    assert!(
        expected.iter().all(|key| keys.contains(&&json!(key))),
        "{keys:?}"
    );
    assert_eq!(keys.len(), 2);
    assert!(odd.iter().all(|path| path.exists()) && !plain.exists());
}

#[test]
fn pages_behind_a_link_are_missing_and_nothing_is_done_through_it() {
    // A folder of the tier was moved away and a link put in its place. Whoever serves the tier by its keys has nothing
    // there; what lies behind the link is somebody else's, and stays as it is.
    let mirror = published(&["a.html".into(), "sub/b.html".into(), "sub/c.html".into()]);
    let (sub, elsewhere) = (
        mirror.path("tiers/copy/h.test/sub"),
        mirror.path("elsewhere"),
    );
    fs::rename(&sub, &elsewhere).expect("it is there");
    symlink(&elsewhere, &sub).expect("a link");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(counts(&report)["missing"], 2, "{report:#}");
    assert_eq!(report["tiers"][0]["foreign"][0]["key"], "h.test/sub");
    assert_eq!(report["tiers"][0]["foreign"][0]["odd"], true);
    let before = mirror.files("elsewhere");
    let ran = mirror.run(&["audit", "--repair", "--delete-foreign", "--json"]);
    let report = ran.expect(1).json();
    let tier = &report["tiers"][0];
    assert_eq!(tier["repaired"], 0, "{report:#}");
    assert_eq!(tier["unrepaired_count"], 3, "{report:#}");
    let why = tier["unrepaired"].to_string();
    assert!(why.contains("remove the link"), "{why}");
    assert_eq!(mirror.files("elsewhere"), before);
    assert!(sub.is_symlink());
    fs::remove_file(&sub).expect("it is a link");
    mirror.run(&["audit", "--repair"]).expect(0);
    mirror.run(&DEEP).expect(0);
    assert!(!sub.is_symlink() && sub.is_dir());
}

#[test]
fn headers_that_come_repeatedly_are_no_damage() {
    // Two lines of one header are kept as two, and an audit finds that both are there, also after a repair.
    let (origin, mirror) = mirrored(2);
    let twice = page(1)
        .header("link", "</a.css>; rel=preload")
        .header("link", "</b.css>; rel=preload");
    origin.set("/p1", twice);
    mirror.run(&["run"]).expect(0);
    mirror.run(&DEEP).expect(0);
    let side = side_of(&mirror, &format!("{}p1", key_start(&origin)));
    let text = fs::read_to_string(&side).expect("it is there");
    let injected = text.replacen(
        "[\"content-type\",",
        "[\"content-type\",\"text/html; charset=utf-8\"],[\"content-type\",",
        1,
    );
    assert_ne!(text, injected);
    fs::write(&side, injected).expect("it is ours");
    let report = mirror.run(&DEEP).expect(1).json();
    assert_eq!(counts(&report)["wrong_headers"], 1, "{report:#}");
    mirror.run(&["audit", "--repair"]).expect(0);
    mirror.run(&DEEP).expect(0);
}

#[test]
fn one_object_that_the_disk_does_not_give_stops_nobody() {
    // A side file that cannot be read, as on a bad sector (played by a link to itself): that object is corrupt, the others
    // are looked at as ever, and a repair writes it anew.
    for audit in [&["audit", "--json"][..], &DEEP] {
        let (origin, mirror) = mirrored(4);
        let side = side_of(&mirror, &format!("{}p1", key_start(&origin)));
        fs::remove_file(&side).expect("it is there");
        symlink(&side, &side).expect("a link");
        let report = mirror.run(audit).expect(1).json();
        assert_eq!(counts(&report)["corrupt"], 1, "{report:#}");
        assert_eq!(report["incomplete"], false, "{report:#}");
        let why = report["tiers"][0]["corrupt"][0]["why"].as_str();
        assert!(why.expect("a line").contains("cannot be read"), "{why:?}");
        mirror.run(&["audit", "--repair"]).expect(0);
        mirror.run(&DEEP).expect(0);
    }
}

#[test]
fn what_was_read_as_other_bytes_stays_known_until_it_is_mended() {
    // A plain audit afterwards, which reads nothing, does not call the tier whole; the next run writes the object, and from
    // then on all is well.
    let (origin, mirror) = mirrored(4);
    let victim = body_of(&origin, &mirror, "p1");
    flip(&victim);
    mirror.run(&["audit"]).expect(0);
    mirror.run(&["audit", "--deep"]).expect(1);
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(report["tiers"][0]["verified"], Value::Null, "{report:#}");
    assert_eq!(report["tiers"][0]["debts"], 1, "{report:#}");
    let run = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(run["tiers"][0]["put"], 1, "{run:#}");
    let report = mirror.run(&DEEP).expect(0).json();
    assert_eq!(report["tiers"][0]["debts"], 0);
}

#[test]
fn a_new_page_gives_no_proof_of_what_is_known_to_be_wrong() {
    // Wrong headers are found, and take the tier's proof away. The next run writes another page, and these with it: it does
    // not call the tier proven on the ground of the one new page alone.
    let (origin, mirror) = mirrored(3);
    let side = side_of(&mirror, &format!("{}p1", key_start(&origin)));
    let text = fs::read_to_string(&side).expect("it is there");
    fs::write(&side, text.replace("text/html", "text/plain")).expect("it is ours");
    let report = mirror.run(&DEEP).expect(1).json();
    assert_eq!(counts(&report)["wrong_headers"], 1, "{report:#}");
    origin.set("/p2", Page::html("<p>edited</p>"));
    let run = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(run["tiers"][0]["put"], 2, "{run:#}");
    assert_eq!(run["tiers"][0]["verified"], 2);
    mirror.run(&DEEP).expect(0);
}

#[test]
fn a_resumed_audit_proves_what_was_so_when_it_began() {
    // Two pages of a listing, killed after the first. What was seen before the kill was seen then.
    let files: Vec<String> = (0..1_200).map(|n| format!("p{n:05}.html")).collect();
    let mirror = published(&files);
    let killed = mirror.run_killed("audit.page:2", &["audit"]);
    assert_eq!(killed.signal, Some(9), "{killed:?}");
    let order = mirror.path("state/audit/order.json");
    let text = fs::read_to_string(&order).expect("it is there");
    let (_, text) = text.split_once(' ').expect("its hash comes first");
    let mut begun: Value = serde_json::from_str(text).expect("JSON");
    let an_hour_ago = begun["at"].as_i64().expect("a number") - 3600;
    begun["at"] = json!(an_hour_ago);
    let text = begun.to_string();
    let hash = standin::content::ContentHash::of(text.as_bytes());
    fs::write(&order, format!("{hash} {text}")).expect("it is ours");
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    assert!(report["resumed"].is_string(), "{report:#}");
    assert_eq!(report["tiers"][0]["verified"]["at"], an_hour_ago);
}

#[test]
fn damaged_notes_of_a_killed_audit_hold_up_none() {
    // Whatever became of the files of an audit that was killed, the next one says what there is to say: it goes on, or
    // begins anew, and never ends for that reason.
    let files: Vec<String> = (0..1_200).map(|n| format!("p{n:05}.html")).collect();
    let mirror = published(&files);
    fs::remove_file(mirror.path("tiers/copy/h.test/p00007.html")).expect("it is there");
    let names = [
        "order.json",
        "expected",
        "tier-copy.json",
        "tier-copy.findings",
    ];
    let harms: [Harm; 4] = [
        |bytes| bytes.fill(0),
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        },
        Vec::clear,
    ];
    for name in names {
        for (number, harm) in harms.iter().enumerate() {
            let killed = mirror.run_killed("audit.page:2", &["audit"]);
            assert_eq!(killed.signal, Some(9), "{killed:?}");
            let path = mirror.path("state/audit").join(name);
            let mut bytes = fs::read(&path).expect("it is there");
            assert!(!bytes.is_empty(), "{name}");
            harm(&mut bytes);
            fs::write(&path, bytes).expect("it is ours");
            let ran = mirror.run(&["audit", "--json"]);
            assert_eq!(ran.code, Some(1), "{name} {number}: {ran:#?}");
            let report = ran.json();
            assert_eq!(report["tiers"][0]["checked"], 1_200, "{name} {number}");
            let missing = report["tiers"][0]["missing"].as_array().expect("a list");
            assert_eq!(missing.len(), 1, "{name} {number}: {report:#}");
            assert_eq!(missing[0]["key"], "h.test/p00007.html");
        }
    }
}

#[test]
fn a_broken_checkpoint_of_a_tier_is_found_and_made_anew() {
    // Nobody reads a tier's checkpoint until the state directory is gone, so an audit does: gone, cut, and with `--deep`
    // with other bytes. A repair writes a new base at once, and so does the next run after an audit that only looked; then
    // the tier alone brings everything back.
    let harms: [(&str, Harm); 2] = [
        ("audit", |bytes| bytes.truncate(3)),
        ("deep", |bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }),
    ];
    for (by, harm) in harms {
        for mend in [&["run"][..], &["audit", "--deep", "--repair"]] {
            let (origin, mirror) = mirrored(3);
            origin.set("/p1", Page::html("<p>edited</p>"));
            mirror.run(&["run"]).expect(0);
            let folder = "tiers/copy/.standin/checkpoint";
            let parts = mirror.files(folder);
            for (name, mut bytes) in parts.clone() {
                harm(&mut bytes);
                fs::write(mirror.path(folder).join(name), bytes).expect("it is ours");
            }
            let depth: &[&str] = match by {
                "audit" => &["audit", "--json"],
                _ => {
                    mirror.run(&["audit"]).expect(0);
                    &["audit", "--deep", "--json"]
                }
            };
            let report = mirror.run(depth).expect(1).json();
            assert_eq!(counts(&report)["checkpoint"], parts.len(), "{report:#}");
            assert_eq!(counts(&report)["missing"], 0, "{report:#}");
            mirror.run(mend).expect(0);
            let clean = mirror.run(&["audit", "--deep", "--json"]).expect(0).json();
            assert_eq!(counts(&clean)["checkpoint"], 0);
            fs::remove_dir_all(mirror.path("state")).expect("it is there");
            mirror.run(&["rebuild", "manifest", "--json"]).expect(0);
            let run = mirror.run(&["run", "--json"]).expect(0).json();
            assert_eq!(run["tiers"][0]["put"], 0, "{run:#}");
        }
    }
    let (_origin, mirror) = mirrored(3);
    fs::remove_dir_all(mirror.path("tiers/copy/.standin/checkpoint")).expect("it is there");
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(0)
        .json();
    let tier = &report["tiers"][0];
    assert_eq!(tier["counts"]["checkpoint"], tier["repaired"], "{report:#}");
    assert_eq!(tier["checkpoint"][0]["class"], "checkpoint");
    mirror.run(&DEEP).expect(0);
}

/// Two pages, in a mirror that keeps no bodies at home.
fn with_two_pages() -> (Origin, Mirror) {
    let origin = Origin::start();
    origin.set("/", Page::html("<a href=/p1>p</a>"));
    origin.set("/p1", page(1));
    in_two_folders(origin)
}

#[test]
fn a_copy_that_cannot_be_asked_is_waited_for() {
    // One tier has lost a page, the other, which has it, is not mounted, and the site shows a maintenance page. The site is
    // not asked; the report says which tier to bring back, and with it the page is as it was.
    for arguments in [
        &["audit", "--repair", "--json"][..],
        &["audit", "--tier", "one", "--repair", "--json"],
    ] {
        let (origin, mirror) = with_two_pages();
        let victim = mirror.path("tiers/one").join(key_start(&origin)).join("p1");
        let before = fs::read(&victim).expect("it is there");
        fs::remove_file(&victim).expect("it is there");
        let (mounted, aside) = (mirror.path("tiers/two"), mirror.path("aside"));
        fs::rename(&mounted, &aside).expect("it is there");
        origin.set("/p1", Page::html("<p>back soon</p>"));
        let asked = origin.requests().len();
        let ran = mirror.run(arguments);
        let report = ran.json();
        assert_ne!(ran.code, Some(0), "{ran:#?}");
        let why = report["tiers"][0]["unrepaired"][0]["why"].as_str();
        let why = why.expect("a line");
        assert!(
            why.contains("tier two") && why.contains("bring that tier back"),
            "{why}"
        );
        assert_eq!(origin.requests().len(), asked);
        fs::rename(&aside, &mounted).expect("nothing stands in its place");
        mirror.run(&["audit", "--repair"]).expect(0);
        assert_eq!(fs::read(&victim).expect("it is back"), before);
        assert_eq!(origin.requests().len(), asked);
    }
}

#[test]
fn what_is_taken_from_the_site_again_is_told() {
    // No copy survives. What the site answers takes the place of what was stored, or is withdrawn, and the report says so;
    // where it gives nothing, the report says what it answered.
    let (origin, mirror) = with_two_pages();
    let lose = || {
        for tier in ["one", "two"] {
            let body = mirror.path("tiers").join(tier).join(key_start(&origin));
            fs::remove_file(body.join("p1")).expect("it is there");
        }
    };
    lose();
    origin.set("/p1", Page::html("broken").status(500));
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(1)
        .json();
    let why = report["tiers"][1]["unrepaired"][0]["why"].as_str();
    assert!(why.is_some_and(|why| why.contains("500")), "{report:#}");
    origin.set("/p1", Page::html("<p>edited</p>"));
    let report = mirror
        .run(&["audit", "--repair", "--json"])
        .expect(0)
        .json();
    let said = report["reasons"].to_string();
    let taken = format!(
        "{}: what the site answers now was taken anew",
        origin.url("/p1")
    );
    assert!(said.contains(&taken), "{said}");
}

#[test]
fn a_folder_that_is_not_mounted_keeps_its_proof() {
    let (_origin, mirror) = mirrored(2);
    let (mounted, aside) = (mirror.path("tiers/copy"), mirror.path("aside"));
    fs::rename(&mounted, &aside).expect("it is there");
    fs::create_dir(&mounted).expect("an empty mount point");
    let ran = mirror.run(&["audit", "--json"]).expect(2);
    let why = ran.json()["reasons"].to_string();
    assert!(why.contains("unexpectedly empty"), "{why}");
    assert_eq!(ran.json()["tiers"][0]["verified"]["generation"], 1);
    fs::remove_dir(&mounted).expect("nothing was written");
    fs::rename(&aside, &mounted).expect("nothing stands in its place");
    let run = mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(run["tiers"][0]["verified"], 1, "{run:#}");
}

#[test]
fn another_mirror_below_a_tier_is_not_deleted() {
    let (_origin, mirror) = mirrored(2);
    let other = mirror.path("tiers/copy/archive/2025");
    for name in [".standin/head", "h.test/index.html"] {
        let path = other.join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("it is ours");
        fs::write(path, "{}").expect("it is ours");
    }
    let before = mirror.files("tiers/copy");
    let ran = mirror.run(&["audit", "--delete-foreign", "--json"]);
    let report = ran.expect(1).json();
    assert_eq!(report["tiers"][0]["sent"]["foreign_deleted"], 0);
    let said = report["reasons"].to_string();
    assert!(said.contains("archive/2025/.standin/head"), "{said}");
    assert_eq!(mirror.files("tiers/copy"), before);
}

#[test]
fn a_name_gives_the_terminal_no_commands() {
    let (origin, mirror) = mirrored(2);
    let name = "\u{1b}[2J\u{1b}]0;x\u{7}\nverdict: ok";
    fs::write(body_of(&origin, &mirror, name), "x").expect("it is ours");
    let told = mirror.run(&["audit"]).expect(1).stdout;
    assert!(
        !told.contains('\u{1b}') && !told.contains('\u{7}'),
        "{told:?}"
    );
    assert!(told.contains("\\nverdict: ok"), "{told:?}");
}

#[test]
fn a_body_that_was_cut_is_not_said_to_have_the_hash_of_the_whole() {
    let (origin, mirror) = mirrored(2);
    fs::write(body_of(&origin, &mirror, "p1"), "<p>").expect("it is ours");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    let found = &report["tiers"][0]["corrupt"][0]["found"];
    assert_eq!(found["bytes"], 3, "{report:#}");
    assert_eq!(found["content"], Value::Null, "{report:#}");
}

#[test]
fn status_tells_what_an_audit_has_found_since_the_last_run() {
    let (origin, mirror) = mirrored(2);
    fs::remove_file(body_of(&origin, &mirror, "p1")).expect("it is there");
    mirror.run(&["audit"]).expect(1);
    let told = mirror.run(&["status"]).expect(0).stdout;
    assert!(
        told.contains("verified never") && told.contains("1 missing"),
        "{told}"
    );
    mirror.run(&["audit", "--repair"]).expect(0);
    let status = mirror.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["audited"]["verdict"], "ok", "{status:#}");
    assert_eq!(status["audited"]["tiers"][0]["verified"], 1);
    mirror.run(&["run"]).expect(0);
    let status = mirror.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["audited"], Value::Null, "a run says more");
}

#[test]
fn what_a_listing_has_shown_is_looked_up_by_the_next_run() {
    // 1,200 objects, of which a run glances at a thousand. What an audit has missed lies in the other part; the next run,
    // which writes one page, looks it up all the same, calls nothing proven, and the run after it writes what is missing.
    let files: Vec<String> = (0..1_200).map(|n| format!("p{n:05}.html")).collect();
    let mirror = published(&files);
    let victim = mirror.path("tiers/copy/h.test/p00007.html");
    fs::remove_file(&victim).expect("it is there");
    mirror.run(&["audit"]).expect(1);
    fs::write(mirror.path("site/p01100.html"), "<p>edited</p>").expect("it is ours");
    let run = mirror.run(&["publish", "site", "--json"]).expect(1).json();
    assert_eq!(run["tiers"][0]["verified"], Value::Null, "{run:#}");
    assert_eq!(run["tiers"][0]["debts"], 1, "{run:#}");
    let run = mirror.run(&["publish", "site", "--json"]).expect(0).json();
    assert_eq!(run["tiers"][0]["verified"], 2, "{run:#}");
    assert!(victim.exists());
    // Put back by somebody before the next run, it is owed by nobody.
    let body = fs::read(&victim).expect("it is there");
    fs::remove_file(&victim).expect("it is there");
    mirror.run(&["audit"]).expect(1);
    fs::write(&victim, body).expect("it is ours");
    let run = mirror.run(&["publish", "site", "--json"]).expect(0).json();
    assert_eq!(run["tiers"][0]["put"], 0, "{run:#}");
    assert_eq!(run["tiers"][0]["verified"], 2, "{run:#}");
}
