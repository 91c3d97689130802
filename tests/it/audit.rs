//! Promise: an audit sees everything at the price of a listing, says so only when it has, goes on where it was killed,
//! and names what is known of a tier as known. Told by the real binary against folders and the in-process servers.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use standin::audit::COLUMNS;

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::faults::Harm;
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server, Seen};

const BUCKET: &str = "site";

fn origin_of(pages: usize) -> Origin {
    let origin = Origin::start();
    let links = (0..pages).map(|n| format!("<a href=\"/p{n}\">{n}</a>"));
    origin.set("/", Page::html(links.collect::<String>()));
    for n in 0..pages {
        origin.set(&format!("/p{n}"), Page::html(format!("<p>page {n}</p>")));
    }
    origin
}

/// A site of so many pages and a home page, mirrored into a bucket.
fn in_bucket(pages: usize) -> (Origin, S3Server, Mirror) {
    let (origin, s3) = (origin_of(pages), S3Server::start(&[BUCKET]));
    let mirror = Mirror::new(&(site(&origin) + &bucket_tier("copy", &s3, BUCKET)));
    mirror.run(&["run"]).expect(0);
    (origin, s3, mirror)
}

/// A folder of so many small files, published into a folder.
fn published(files: usize) -> Mirror {
    let config = format!("[site]\nhosts = [\"h.test\"]\n{}", folder_tier("copy"));
    let mirror = Mirror::new(&config);
    fs::create_dir(mirror.path("site")).expect("it is ours");
    for n in 0..files {
        let path = mirror.path("site").join(format!("p{n:05}.html"));
        fs::write(path, format!("<p>page {n}</p>")).expect("it is ours");
    }
    mirror.run(&["publish", "site"]).expect(0);
    mirror
}

fn tier(report: &Value) -> &Value {
    &report["tiers"][0]
}

#[test]
fn an_audit_costs_the_listing() {
    // The head, one page, the question for unfinished uploads: nothing about any object. It counts as the proof of the
    // tier from then on.
    let (_origin, s3, mirror) = in_bucket(5);
    s3.forget();
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    let seen: Vec<(String, About)> = s3
        .seen()
        .into_iter()
        .map(|seen| (seen.method, seen.about))
        .collect();
    let get = |about| ("GET".to_owned(), about);
    assert_eq!(
        seen,
        [get(About::Object), get(About::Listing), get(About::Bucket)],
        "{:?}",
        s3.seen()
    );
    let tier = tier(&report);
    assert_eq!((&tier["checked"], &tier["listed"]), (&json!(6), &json!(6)));
    assert_eq!(tier["complete"], true);
    assert_eq!(tier["requests"], 3);
    assert_eq!(tier["leftover_uploads"], 0);
    assert_eq!(tier["verified"]["generation"], 1);
    assert_eq!(report["verdict"], "ok");
    assert!(!mirror.path("state/audit").exists());
}

#[test]
fn a_bucket_that_denies_listing_is_not_clean() {
    let (_origin, s3, mirror) = in_bucket(2);
    s3.deny(|seen| seen.about == About::Listing);
    let ran = mirror.run(&["audit", "--json"]).expect(2);
    let report = ran.json();
    assert_eq!(report["incomplete"], true);
    assert_eq!(tier(&report)["complete"], false);
    let error = report["error"].as_str().expect("a line");
    assert!(error.contains("s3:ListBucket"), "{error}");
}

#[test]
fn a_change_while_the_listing_is_read_is_no_damage() {
    // An object that the listing does not show and that is there is looked at again before anything is said of it; and
    // the other way round. The listing is one of a moment before.
    let (origin, s3, mirror) = in_bucket(3);
    let key = format!("copy/{}p1", key_start(&origin));
    let stored = s3.object(BUCKET, &key).expect("it is there");
    let listing = |seen: &Seen| seen.about == About::Listing;
    s3.remove(BUCKET, &key);
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(tier(&report)["counts"]["missing"], 1);
    s3.place(BUCKET, &key, stored);
    s3.harm(1, listing, Harm::Stale);
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    assert_eq!(s3.faults_left(), 0);
    assert_eq!(
        tier(&report)["counts"]["changed_meanwhile"],
        1,
        "{report:#}"
    );
    assert_eq!(tier(&report)["counts"]["missing"], 0);
    let reasons = report["reasons"].to_string();
    assert!(reasons.contains("while its listing was read"), "{reasons}");
}

#[test]
fn what_a_tier_is_known_to_lack_is_no_damage() {
    // Crawled and not synced: the tier is behind, and nothing is missing.
    let (origin, _s3, mirror) = in_bucket(3);
    origin.set("/p1", Page::html("<p>edited</p>"));
    mirror.run(&["crawl"]).expect(0);
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    let counts = &tier(&report)["counts"];
    assert_eq!(counts["behind"], 1, "{report:#}");
    assert_eq!(
        (&counts["missing"], &counts["corrupt"]),
        (&json!(0), &json!(0))
    );
    mirror.run(&["sync"]).expect(0);
    mirror.run(&["audit"]).expect(0);
}

#[test]
fn a_killed_audit_goes_on_where_it_was() {
    // 2,300 objects are three pages of a listing. Killed after the second of them, it lists one more.
    let mirror = published(2_300);
    fs::remove_file(mirror.path("tiers/copy/h.test/p00007.html")).expect("it is there");
    fs::remove_file(mirror.path("tiers/copy/h.test/p02200.html")).expect("it is there");
    let killed = mirror.run_killed("audit.page:3", &["audit"]);
    assert_eq!(killed.signal, Some(9), "{killed:?}");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert!(report["resumed"].is_string(), "{report:#}");
    let tier = tier(&report);
    assert_eq!(tier["traffic"]["list"], 1, "{tier:#}");
    assert_eq!(tier["checked"], 2_300);
    let keys: Vec<&str> = tier["missing"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|finding| finding["key"].as_str())
        .collect();
    assert_eq!(keys, ["h.test/p00007.html", "h.test/p02200.html"]);
    let again = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(again["resumed"], Value::Null);
    assert_eq!(again["tiers"][0]["traffic"]["list"], 3);
}

#[test]
fn another_state_of_the_tier_begins_anew() {
    let mirror = published(1_200);
    mirror.run_killed("audit.page:2", &["audit"]);
    fs::write(mirror.path("site/p00003.html"), "edited").expect("it is ours");
    mirror.run(&["publish", "site"]).expect(0);
    let report = mirror.run(&["audit", "--json"]).expect(0).json();
    assert_eq!(report["resumed"], Value::Null);
    assert_eq!(tier(&report)["traffic"]["list"], 2);
}

#[test]
fn a_sample_says_what_it_says_of_all() {
    let mirror = published(400);
    let report = mirror
        .run(&["audit", "--sample", "100", "--json"])
        .expect(0)
        .json();
    let sample = &tier(&report)["read_sample"];
    assert_eq!(
        (&sample["looked_at"], &sample["bad"]),
        (&json!(100), &json!(0))
    );
    assert_eq!(sample["says"], "0 of 100 bad: under 3.0 % at 95 %");
    assert_eq!(tier(&report)["traffic"]["get"], 100);
    let report = mirror.run(&["audit", "--deep", "--json"]).expect(0).json();
    assert_eq!(tier(&report)["read"]["objects"], 400);
}

#[test]
fn every_finding_is_in_the_files_of_the_report() {
    // One file a class, with the columns that docs/AUDITS.md names, in their order; a name that is no key is there, too.
    let mirror = published(3);
    fs::remove_file(mirror.path("tiers/copy/h.test/p00001.html")).expect("it is there");
    fs::write(mirror.path("tiers/copy/h.test/x,y"), "foreign").expect("it is ours");
    std::os::unix::fs::symlink("/etc/hosts", mirror.path("tiers/copy/link")).expect("a link");
    let report = mirror
        .run(&["audit", "--report", "found", "--json"])
        .expect(1)
        .json();
    assert_eq!(tier(&report)["counts"]["foreign"], 2, "{report:#}");
    let lines = |file: &str| -> Vec<String> {
        let text = fs::read_to_string(mirror.path("found").join(file)).expect("written");
        text.lines().map(str::to_owned).collect()
    };
    let csv = lines("missing.csv");
    assert_eq!(csv[0], COLUMNS.join(","));
    assert!(csv[1].starts_with("copy,missing,h.test/p00001.html,https://h.test/p00001.html,13,"));
    let foreign = lines("foreign.ndjson");
    let keys: Vec<Value> = foreign
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["key"].clone())
        .collect();
    assert!(
        keys.contains(&json!("h.test/x,y")) && keys.contains(&json!("link")),
        "{keys:?}"
    );
    assert!(
        lines("foreign.csv")
            .iter()
            .any(|row| row.contains("\"h.test/x,y\""))
    );
    for class in ["corrupt", "stale", "wrong_headers"] {
        assert_eq!(lines(&format!("{class}.csv")), [COLUMNS.join(",")]);
        assert_eq!(lines(&format!("{class}.ndjson")), [""; 0]);
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/AUDITS.md");
    let page = fs::read_to_string(page).expect("it is there");
    let documented: Vec<&str> = page
        .lines()
        .skip_while(|line| !line.starts_with("| column "))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('`').nth(1))
        .collect();
    assert_eq!(documented, COLUMNS);
}

#[test]
fn many_foreign_objects_are_counted_and_not_all_named() {
    let mirror = published(2);
    for n in 0..1_100 {
        fs::write(mirror.path(&format!("tiers/copy/h.test/f{n}")), "f").expect("it is ours");
    }
    let report = mirror
        .run(&["audit", "--report", "found", "--json"])
        .expect(1)
        .json();
    assert_eq!(tier(&report)["counts"]["foreign"], 1_100);
    assert_eq!(
        tier(&report)["foreign"].as_array().map(Vec::len),
        Some(1_000)
    );
    let rows = fs::read_to_string(mirror.path("found/foreign.ndjson")).expect("written");
    assert_eq!(rows.lines().count(), 1_100);
    let told = mirror.run(&["audit"]).expect(1).stdout;
    assert!(told.contains("… and 1092 more"), "{told}");
}

#[test]
fn a_tier_without_its_head_is_gone_through_all_the_same() {
    let mirror = published(3);
    fs::remove_file(mirror.path("tiers/copy/.standin/head")).expect("it is there");
    let report = mirror.run(&["audit", "--json"]).expect(1).json();
    assert_eq!(tier(&report)["checked"], 3);
    let trouble = tier(&report)["trouble"].as_str().expect("a line");
    assert!(trouble.contains("has lost its .standin/head"), "{trouble}");
}
