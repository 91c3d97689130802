//! Promise: `explain` says which rule decides about a URL, under which spelling the mirror knows it, and why a page
//! that was linked to is none; what is recorded of a page, how it came to be so, what a CDN asks for, and what each
//! tier has; checked on small sites, for each kind of URL. `config check` says what a crawl leaves out on purpose.

use serde_json::{Value, json};
use standin::crawl::RobotsMemory;
use standin::db::Fuse;
use standin::manifest::{Evidence, Manifest, Outcome, Redirect, RunId, Staged};
use standin::site::{Layout, LayoutName, PageUrl};

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::S3Server;

fn mirrored(options: &str) -> (Origin, Mirror) {
    let origin = Origin::start();
    origin.set(
        "/",
        Page::html("<a href=/page>Page</a> <a href=/lost>Lost</a>"),
    );
    origin.set("/page", Page::html("<p>A page.</p>"));
    let mirror = Mirror::new(&[site(&origin), options.to_owned(), folder_tier("copy")].concat());
    mirror.run(&["run", "--json"]);
    (origin, mirror)
}

#[test]
fn a_link_that_led_nowhere_is_explained() {
    let (origin, mirror) = mirrored("");
    let told = mirror.run(&["explain", &origin.url("/lost")]).expect(0);
    let line = format!(
        "  not had  the answer was 404 (linked from {})\n",
        origin.url("/")
    );
    assert!(told.stdout.contains(&line), "{told:#?}");
    assert!(told.stdout.contains("entry    none: never stored"));
    let json = mirror
        .run(&["explain", &origin.url("/lost"), "--json"])
        .expect(0)
        .json();
    assert_eq!(json["pending"]["why"], "the answer was 404");
    assert_eq!(json["pending"]["from"], origin.url("/"));
    assert_eq!(json["entry"], serde_json::Value::Null);
}

#[test]
fn a_page_is_explained_under_its_own_spelling() {
    let (origin, mirror) =
        mirrored("robots = \"ignore\"\n[crawl]\nforms = [\"/none/\", \"/page$\"]\n");
    let asked = origin.url("/a/../page#part");
    let told = mirror.run(&["explain", &asked]).expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!(lines[0], origin.url("/page"));
    assert_eq!(
        lines[1],
        format!("  asked    {asked}: known under the URL above")
    );
    for line in [
        "  robots   not asked: site.robots is \"ignore\"",
        "  asked if always: crawl.strategy is \"full\"",
        "  forms    enumerated: `/page$` in crawl.forms matches",
    ] {
        assert!(lines.contains(&line), "{line}\n{told:#?}");
    }
    let json = mirror.run(&["explain", &asked, "--json"]).expect(0).json();
    assert_eq!(json["asked"], asked);
    assert_eq!(json["url"], origin.url("/page"));
    assert_eq!(json["pending"], serde_json::Value::Null);
}

#[test]
fn of_a_url_outside_the_site_the_rule_alone_is_told() {
    let (_origin, mirror) = mirrored("");
    let told = mirror
        .run(&["explain", "https://elsewhere.example/"])
        .expect(0);
    let lines: Vec<&str> = told.stdout.lines().collect();
    assert_eq!(lines[0], "https://elsewhere.example/");
    assert_eq!(
        lines[1],
        "  rule     outside: `elsewhere.example` is not among `hosts`"
    );
    assert!(!told.stdout.contains("asked if"), "{told:#?}");
}

#[test]
fn the_rules_of_the_crawl_are_explained() {
    let (origin, mirror) = mirrored("[crawl]\npath_segments_max = 2\n");
    let home = PageUrl::parse(&origin.url("/")).expect("a URL");
    let mut memory = RobotsMemory::open(&mirror.path("state/robots.json"));
    memory.remember(
        home.authority(),
        "User-agent: *\nDisallow: /private\n",
        1_795_000_000,
    );
    memory.save().expect("there is room");
    let told = mirror
        .run(&["explain", &origin.url("/private/a/b")])
        .expect(0);
    let robots = "  robots   forbidden: robots.txt: Disallow: /private (of 2026-11-18T11:06:40Z)\n";
    assert!(told.stdout.contains(robots), "{told:#?}");
    let endless = "  endless  3 path segments, more than 2 (crawl.path_segments_max)\n";
    assert!(told.stdout.contains(endless), "{told:#?}");
    let sid = origin.url("/page?sid=0123456789abcdef");
    let json = mirror.run(&["explain", &sid, "--json"]).expect(0).json();
    let expected = format!(
        "a session id in `sid` (crawl.session_parameters); asked for as {}",
        origin.url("/page")
    );
    assert_eq!(json["trap"], expected);
    let robots = json["robots"].as_str().expect("a text");
    assert!(robots.starts_with("allowed: "), "{robots}");
}

#[test]
fn a_configuration_that_asks_for_less_says_so() {
    let crawl =
        "[crawl]\nstrategy = \"lastmod\"\nquiet_hours = [\"22:00-06:00\"]\nforms = [\"/y/\"]\n";
    let site = "[site]\nseeds = [\"https://www.example.org/\"]\n";
    let mirror = Mirror::new(&[site, crawl, &folder_tier("copy")].concat());
    let told = mirror.run(&["config", "check"]).expect(0);
    for line in [
        "  asks    for what no sitemap calls unchanged, and for all within 30 days\n",
        "  quiet   22:00-06:00 UTC\n",
        "  forms   on /y/\n",
    ] {
        assert!(told.stdout.contains(line), "{line}{told:#?}");
    }
    let json = mirror.run(&["config", "check", "--json"]).expect(0).json();
    assert_eq!(json["strategy"], "lastmod");
}

/// What is told of a URL: as text, seen to fit into 80 columns wherever it can be broken, and as JSON.
fn told(mirror: &Mirror, url: &str) -> (String, Value) {
    let text = mirror.run(&["explain", url]).expect(0).stdout;
    for line in text.lines() {
        let said = line.get(11..).unwrap_or_default();
        assert!(
            line.chars().count() <= 80 || !said.contains(' '),
            "{line}\n{text}"
        );
    }
    (
        text,
        mirror.run(&["explain", url, "--json"]).expect(0).json(),
    )
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|there| there == line), "{line}\n{text}");
}

#[test]
fn a_page_is_told_with_its_keys_and_its_record() {
    let (origin, mirror) = mirrored("");
    origin.set("/page", Page::html("<p>A longer page.</p>").etag("\"2\""));
    mirror.run(&["run"]);
    let (text, json) = told(&mirror, &origin.url("/page"));
    let key = format!("{}page", key_start(&origin));
    has(&text, &format!("  key      {key}"));
    has(&text, &format!("  cdn      asks for /{key}"));
    has(&text, "  tier     copy: confirmed");
    assert_eq!(json["in_scope"], true);
    assert_eq!(json["key"], key);
    assert_eq!(
        json["keys"],
        json!({ "plain": key, "govuk": format!("{key}.html") })
    );
    let asked = json!({ "path": format!("/{key}.html"), "gateway_only": null, "because": null });
    assert_eq!(json["cdn"]["govuk"], asked);

    let entry = &json["entry"];
    let body = b"<p>A longer page.</p>";
    assert_eq!(entry["kind"], "page");
    assert_eq!(entry["content"], blake3::hash(body).to_hex().as_str());
    assert_eq!(
        entry["crc32c"],
        format!("{:08x}", standin::content::digest(body).crc32c)
    );
    assert_eq!(
        (&entry["size"], &entry["status"]),
        (&json!(body.len()), &json!(200))
    );
    assert_eq!((&entry["changed"], &entry["first"]), (&json!(2), &json!(1)));
    assert_eq!(
        (&entry["etag"], &entry["target"]),
        (&json!("\"2\""), &Value::Null)
    );
    let fetched = entry["fetched"].as_str().expect("a time");
    assert!(fetched.ends_with('Z') && fetched.len() == 20, "{fetched}");
    assert!(entry["headers"][0].is_array(), "{entry}");
    let mut names: Vec<&str> = entry
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    // A promise: names are added and never change.
    let promised = "canonical changed content content_type crc32c etag fetched first headers kind last_modified rules \
                    size status target";
    assert_eq!(names, promised.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn a_page_is_told_with_its_history_and_what_a_tier_has() {
    let (origin, mirror) = mirrored("");
    origin.set("/page", Page::html("<p>A longer page.</p>"));
    mirror.run(&["run"]);
    let (text, json) = told(&mirror, &origin.url("/page"));
    let history = json["history"].as_array().expect("changes");
    let whats: Vec<_> = history
        .iter()
        .map(|told| (&told["generation"], &told["what"]))
        .collect();
    assert_eq!(
        whats,
        [(&json!(2), &json!("changed")), (&json!(1), &json!("new"))]
    );
    assert_eq!(history[0]["before"]["size"], "<p>A page.</p>".len());
    assert_eq!(history[0]["after"], json["entry"]);
    assert!(history[0]["run"].is_string() && history[0]["at"].is_string());
    assert!(text.contains("  history  generation 2, "), "{text}");
    let tier = &json["tiers"][0];
    assert_eq!(
        (&tier["name"], &tier["state"]),
        (&json!("copy"), &json!("confirmed"))
    );
    assert_eq!(
        (&tier["key"], &tier["watermark"]),
        (&json["key"], &json!(2))
    );
    assert_eq!(
        (&tier["debt"], &tier["doubt"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn of_many_changes_the_newest_are_told() {
    let (origin, mirror) = mirrored("");
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest =
        Manifest::open(&mirror.path("state"), &layout, Fuse::none()).expect("a manifest");
    let page = PageUrl::parse(&origin.url("/page")).expect("a URL");
    for round in 0..24 {
        let outcome = Outcome::Redirect(Redirect {
            status: 301,
            target: format!("https://h.test/{round}"),
        });
        let staged = Staged::Outcome {
            outcome,
            located: None,
            fetched: 5,
        };
        let staged = std::iter::once(Ok((page.clone(), staged)));
        manifest
            .commit(&RunId("run".into()), 7, Evidence::Part, staged)
            .expect("there is room");
    }
    drop(manifest);
    let (text, json) = told(&mirror, &origin.url("/page"));
    let history = json["history"].as_array().expect("changes");
    assert_eq!((history.len(), &history[0]["generation"]), (20, &json!(25)));
    has(&text, "           and before that more often");
}

#[test]
fn a_redirect_and_a_page_that_is_gone_are_told() {
    let (origin, mirror) = mirrored("");
    origin.set("/page", Page::redirect(301, "/"));
    mirror.run(&["run"]);
    let (text, json) = told(&mirror, &origin.url("/page"));
    has(&text, &format!("  entry    301 to {}", origin.url("/")));
    assert_eq!(
        (&json["entry"]["kind"], &json["entry"]["status"]),
        (&json!("redirect"), &json!(301))
    );
    assert_eq!(json["entry"]["target"], origin.url("/"));
    assert_eq!(json["entry"]["content"], Value::Null);

    origin.set("/page", Page::html("").status(410));
    mirror.run(&["run"]);
    let (text, json) = told(&mirror, &origin.url("/page"));
    has(&text, "  entry    gone (410)");
    has(&text, "  tier     copy: gone there, too");
    assert_eq!(
        (&json["entry"]["kind"], &json["entry"]["status"]),
        (&json!("gone"), &json!(410))
    );
    assert_eq!(json["history"][0]["what"], "gone");
    assert_eq!(json["tiers"][0]["state"], "gone");
}

#[test]
fn a_page_that_nobody_has_met_is_told_where_it_would_lie() {
    let (origin, mirror) = mirrored("");
    let (text, json) = told(&mirror, &origin.url("/never"));
    has(&text, "  entry    none: never stored");
    has(&text, "  tier     copy: nothing to keep");
    assert_eq!(
        (&json["in_scope"], &json["entry"]),
        (&json!(true), &Value::Null)
    );
    assert_eq!(json["key"], format!("{}never", key_start(&origin)));
    assert_eq!(json["history"], json!([]));
    assert_eq!(json["tiers"][0]["state"], "nothing");
}

#[test]
fn of_a_url_outside_it_is_told_which_rule_says_so() {
    let (origin, mirror) = mirrored("deny = [\"/private/\"]\nquery = [\"page\", \"lang\"]\n");
    let (text, json) = told(&mirror, &origin.url("/private/x"));
    has(&text, "  rule     outside: `/private/` in `deny` matches");
    assert_eq!(
        (&json["in_scope"], &json["rule"]),
        (&json!(false), &json!("`/private/` in `deny` matches"))
    );
    assert!(
        json["key"].is_string() && json["robots"].is_null(),
        "{json}"
    );

    let asked = origin.url("/page?utm_source=x");
    let (text, json) = told(&mirror, &asked);
    assert_eq!(text.lines().next(), Some(origin.url("/page").as_str()));
    has(&text, "           `site.query` keeps page, lang only");
    assert_eq!(
        (&json["url"], &json["asked"]),
        (&json!(origin.url("/page")), &json!(asked))
    );
    assert_eq!(json["spelling"], "`site.query` keeps page, lang only");
    assert_eq!(json["entry"]["kind"], "page");

    let (text, json) = told(&mirror, "http://10.0.0.1/x");
    has(&text, "  rule     outside: `10.0.0.1` is not among `hosts`");
    assert!(
        text.contains("  private  10.0.0.1 is a private address"),
        "{text}"
    );
    assert!(
        json["private"].is_string() && json["in_scope"] == false,
        "{json}"
    );
    let (_, json) = told(&mirror, &origin.url("/page"));
    assert!(json["private"].is_null(), "it is named: {json}");
}

#[test]
fn what_only_a_gateway_can_serve_is_told_with_the_reason() {
    let (origin, mirror) = mirrored("");
    let (text, json) = told(&mirror, &origin.url("/page?p=2"));
    has(
        &text,
        &format!("  key      {}%/page%3Fp=2", key_start(&origin)),
    );
    has(
        &text,
        "  cdn      cannot ask for it, only a gateway can: it has a query",
    );
    let asked = json!({ "path": null, "gateway_only": "query", "because": "it has a query" });
    assert_eq!(json["cdn"], json!({ "plain": asked, "govuk": asked }));
}

#[test]
fn pages_on_one_key_are_told_of_each_other() {
    let origin = Origin::start();
    let mirror = Mirror::new(&[site(&origin), folder_tier("copy")].concat());
    origin.set(
        "/",
        Page::html("<a href=/x/>x</a> <a href=/x/index.html>also x</a>"),
    );
    origin.set("/x/", Page::html("one"));
    origin.set("/x/index.html", Page::html("one"));
    mirror.run(&["run"]).expect(0);
    let (folder, file) = (origin.url("/x/"), origin.url("/x/index.html"));
    let (text, json) = told(&mirror, &file);
    has(
        &text,
        &format!("  shared   with {folder}, which is the same"),
    );
    has(&text, &format!("  tier     copy: confirmed, as {folder}"));
    assert_eq!(json["shared"]["role"], "alias");

    origin.set("/x/index.html", Page::html("two"));
    mirror.run(&["run"]).expect(1);
    let (text, json) = told(&mirror, &file);
    assert!(text.contains("  shared   COLLISION: "), "{text}");
    assert_eq!(
        (&json["shared"]["role"], &json["shared"]["winner"]),
        (&json!("loser"), &json!(folder))
    );
    assert_eq!(json["tiers"][0]["state"], "collided");
    assert_eq!(
        json["tiers"][0]["standing"],
        format!("holds {folder} under this key")
    );
    let (_, json) = told(&mirror, &folder);
    assert_eq!(
        (&json["shared"]["role"], &json["shared"]["losers"]),
        (&json!("winner"), &json!([file]))
    );
    assert_eq!(json["tiers"][0]["state"], "confirmed");
    let (_, json) = told(&mirror, &origin.url("/"));
    assert_eq!(json["shared"], Value::Null);
}

#[test]
fn a_tier_that_lags_or_owes_is_told_with_what_it_has() {
    let origin = Origin::start();
    let s3 = S3Server::start(&["mirror"]);
    let tiers = [folder_tier("copy"), bucket_tier("remote", &s3, "mirror")].concat();
    let mirror = Mirror::new(&[site(&origin), tiers].concat());
    origin.set("/", Page::html("<a href=/page>Page</a>"));
    origin.set("/page", Page::html("<p>One.</p>"));
    mirror.run(&["run"]).expect(0);
    let state = |json: &Value| json["tiers"][1]["state"].clone();

    // One object is refused: it is owed, with the reason.
    origin.set("/page", Page::html("<p>Two.</p>"));
    s3.fail_next(
        100,
        |seen| seen.method == "PUT" && seen.path.ends_with("page"),
        400,
    );
    mirror.run(&["run"]);
    let (text, json) = told(&mirror, &origin.url("/page"));
    assert!(s3.faults_left() < 100, "the fault has fired");
    assert_eq!(state(&json), "owed", "{json:#}");
    assert!(
        json["tiers"][1]["debt"]["reason"].is_string() && text.contains("  tier     remote: owed"),
        "{text}"
    );
    s3.calm();
    mirror.run(&["run"]).expect(0);

    // A service that does not answer lags, and has what it had.
    origin.set("/page", Page::html("<p>A third one.</p>"));
    s3.refuse(true);
    mirror.run(&["run"]);
    let (text, json) = told(&mirror, &origin.url("/page"));
    assert_eq!(json["tiers"][0]["state"], "confirmed");
    assert_eq!(state(&json), "lagging", "{json:#}");
    assert!(
        text.contains("waits for the next sync: the tier is at generation 2 and has"),
        "{text}"
    );
    s3.refuse(false);
    let killed = mirror.run_killed("tier.written:1", &["run"]);
    assert_eq!(killed.signal, Some(9), "{killed:#?}");
    let (text, json) = told(&mirror, &origin.url("/page"));
    assert_eq!(state(&json), "in_doubt", "{json:#}");
    assert!(
        json["tiers"][1]["doubt"].is_string() && text.contains("in doubt"),
        "{text}"
    );
}
