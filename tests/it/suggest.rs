//! Promise: `suggest` finds what differs from answer to answer and writes it down as configuration that can be pasted;
//! with it, nothing differs any more. A run in which most pages changed names what they have in common. Checked with
//! the real binary against an origin whose pages are new in every answer.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::binary::{Mirror, Ran, folder_tier, site, until};
use crate::support::origin::{Origin, Page};

/// Paragraphs that make a page long enough for a rule to take out little of it.
fn filler() -> String {
    "<p>A paragraph that stays as it is from answer to answer.</p>\n".repeat(30)
}

/// A page with this in it; `{{NONCE}}` is new in every answer.
fn page(inside: &str) -> Page {
    let body = format!(
        "<!doctype html>\n<html><head><title>A page</title></head>\n<body>\n{inside}\n{}</body></html>\n",
        filler()
    );
    Page::html(body).nonce()
}

struct World {
    origin: Origin,
    mirror: Mirror,
}

impl World {
    /// A site that is configured so.
    fn new(options: &str) -> World {
        let origin = Origin::start();
        origin.set(
            "/robots.txt",
            Page::new("text/plain", "User-agent: *\nDisallow: /private\n"),
        );
        let config = [site(&origin), options.to_owned(), folder_tier("copy")].concat();
        World {
            mirror: Mirror::new(&config),
            origin,
        }
    }

    /// Asks for these paths, without a pause between the rounds.
    fn suggest(&self, paths: &[&str], flags: &[&str]) -> Ran {
        let urls: Vec<String> = paths.iter().map(|path| self.origin.url(path)).collect();
        let mut arguments = vec!["suggest", "--pause", "0"];
        arguments.extend(flags);
        arguments.extend(urls.iter().map(String::as_str));
        self.origin.clear_requests();
        self.mirror.run(&arguments)
    }

    /// Puts the table that was printed into the configuration.
    fn paste(&self, told: &Ran) {
        let table = told.stdout.find("\n[canonical]\n").expect("it is there");
        let path = self.mirror.path("standin.toml");
        let config = fs::read_to_string(&path).expect("it is ours");
        let without = match config.find("[canonical]") {
            Some(at) => &config[..at],
            None => &config,
        };
        fs::write(&path, format!("{without}{}", &told.stdout[table..])).expect("it is ours");
        self.mirror.run(&["config", "check"]).expect(0);
    }
}

#[test]
fn what_differs_is_told_with_a_rule_that_can_be_pasted() {
    // Promise: as an operator does it: ask, paste, ask again. Every kind of noise is on one of two pages.
    let world = World::new("");
    world.origin.set(
        "/form",
        page(
            "<form id=login><input type=hidden name=ticket value=\"{{NONCE}}\"></form>\n<script>var session = \"{{NONCE}}\";</script>",
        ),
    );
    let json = format!(
        "{{\"request\": {{\"token\": \"{{{{NONCE}}}}\"}}, \"text\": \"{}\"}}",
        "stays ".repeat(100)
    );
    world
        .origin
        .set("/data.json", Page::new("application/json", json).nonce());
    world.origin.set("/quiet", page("<p>As it was"));
    let told = world
        .suggest(&["/form", "/data.json", "/quiet"], &[])
        .expect(1);
    for line in [
        "  differs  html > body > form#login > input[name=ticket], attribute value: ",
        "rule   selectors: input[name=ticket]@value\n",
        "rule   json_pointers: /request/token\n",
        "2 of 3 pages differ from answer to answer; with this table in the place of [canonical] they are equal:\n",
    ] {
        assert!(told.stdout.contains(line), "{line}\n{}", told.stdout);
    }
    assert!(!world.mirror.path("state").exists(), "nothing is written");
    world.paste(&told);
    let again = world
        .suggest(&["/form", "/data.json", "/quiet"], &[])
        .expect(0);
    assert!(
        again.stdout.contains("nothing differs\n"),
        "{}",
        again.stdout
    );
    // A further page adds its rules to those that are there.
    world
        .origin
        .set("/more", page("<i id=made class='{{NONCE}}'>x</i>"));
    let told = world.suggest(&["/more"], &[]).expect(1);
    assert!(
        told.stdout.contains("\"input[name=ticket]@value\""),
        "{}",
        told.stdout
    );
    world.paste(&told);
    world
        .suggest(&["/more", "/form", "/data.json"], &["--times", "3"])
        .expect(0);
}

#[test]
fn pages_are_asked_for_as_a_crawl_would_and_in_rounds() {
    // Promise: robots.txt once, all first answers, then all second ones; no condition is sent.
    let world = World::new("");
    for path in ["/a", "/b"] {
        world.origin.set(path, page("x").etag("\"1\""));
    }
    world
        .suggest(&["/a", "/b", "/a"], &["--times", "3"])
        .expect(0);
    let requests = world.origin.requests();
    let targets: Vec<&str> = requests.iter().map(|(_, target, _)| &**target).collect();
    assert_eq!(targets, ["/robots.txt", "/a", "/b", "/a", "/b", "/a", "/b"]);
    assert!(
        requests
            .iter()
            .all(|(method, _, status)| method == "GET" && *status == 200)
    );
}

#[test]
fn what_the_page_says_is_shown_and_left_to_the_operator() {
    let world = World::new("");
    let costs = |euros: u32| page(&format!("<p class=price>{euros} euros</p>"));
    world
        .origin
        .set_in_turn("/price", vec![costs(12), costs(13)]);
    let told = world.suggest(&["/price"], &[]).expect(1);
    for line in [
        "             first  12 euros\n             then   13 euros\n",
        "this looks like content, not noise (a number)\n",
        "1 of 1 pages differ from answer to answer; no rule is proposed without a doubt\n",
        "    # \"p.price\",\n",
    ] {
        assert!(told.stdout.contains(line), "{line}\n{}", told.stdout);
    }
    world.paste(&told);
}

#[test]
fn the_table_is_said_to_suffice_only_by_the_rules_that_it_has() {
    // Promise: a rule of which one page is sure is a comment when it is another one's content; then the first page is
    // not said to become equal, neither in the text nor in the document, nor does it when the table is pasted.
    let world = World::new("");
    let form = |id: &str, value: &str| {
        page(&format!(
            "<form><input type={id} name=answer value=\"{value}\"></form>"
        ))
    };
    world.origin.set("/noise", form("hidden", "{{NONCE}}"));
    let said = |value: &str| form("text", value);
    let turns = || vec![said("0a1b2c3d4e5f6071"), said("f0e1d2c3b4a59687")];
    world.origin.set_in_turn("/content", turns());
    let told = world.suggest(&["/noise", "/content"], &[]).expect(1);
    assert!(
        told.stdout.contains(
            "2 of 2 pages differ from answer to answer; no rule is proposed without a doubt\n"
        ),
        "{}",
        told.stdout
    );
    world.origin.set_in_turn("/content", turns());
    let report = world
        .suggest(&["/noise", "/content"], &["--json"])
        .expect(1)
        .json();
    assert_eq!(report["suffices"], false, "{report:#}");
    assert_eq!(report["pages"][0]["suffices"], false, "{report:#}");
    let doubt = &report["pages"][0]["places"][0]["proposal"]["doubt"];
    assert!(doubt.is_string(), "{report:#}");
    world.paste(&told);
    world.origin.set_in_turn("/content", turns());
    world.suggest(&["/noise", "/content"], &[]).expect(1);
}

#[test]
fn what_lies_on_the_disk_is_private_and_goes_with_a_signal() {
    // Promise: a long body waits in a folder that only its owner can read, and that a signal takes away.
    use std::os::unix::fs::PermissionsExt;
    let world = World::new("");
    let own = world.mirror.path("tmp");
    fs::create_dir(&own).expect("it is ours");
    world.origin.set("/a", page("<i>x</i>"));
    for signal in ["-INT", "-TERM", "-HUP"] {
        let url = world.origin.url("/a");
        let mut command = world.mirror.command(&["suggest", "--pause", "3600", &url]);
        let mut child = command
            .env("TMPDIR", &own)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        world.origin.clear_requests();
        until("the first answer", || !world.origin.requests().is_empty());
        let rooms: Vec<_> = fs::read_dir(&own).expect("it is ours").flatten().collect();
        assert_eq!(rooms.len(), 1);
        let mode = rooms[0]
            .metadata()
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.expect("there is a kill").success());
        child.wait().expect("it ends");
        assert_eq!(
            fs::read_dir(&own).expect("it is ours").count(),
            0,
            "{signal}"
        );
    }
}

#[test]
fn answers_of_different_kinds_are_told_as_such() {
    let world = World::new("");
    let home = || Page::html("home");
    world
        .origin
        .set_in_turn("/a", vec![home(), Page::redirect(302, "/login")]);
    world
        .origin
        .set_in_turn("/b", vec![home(), home().status(203)]);
    world
        .origin
        .set_in_turn("/c", vec![home(), home().status(404)]);
    world.origin.set("/d", Page::redirect(301, "/a"));
    let told = world
        .suggest(&["/a", "/b", "/c", "/d", "/d"], &["--json"])
        .expect(1)
        .json();
    let notes: Vec<&Value> = told["pages"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|page| &page["note"])
        .collect();
    assert_eq!(
        notes,
        [
            &json!("two kinds of answers: 200, then 302 to /login"),
            &json!("two kinds of answers: 200, then 203"),
            &json!("two kinds of answers: 200, then 404"),
            &Value::Null
        ]
    );
    assert_eq!(told["differing"], 3);
    assert_eq!(told["toml"], "");
}

#[test]
fn headers_that_differ_are_told_too() {
    let world = World::new("keep_headers = [\"x-request\"]\n");
    world.origin.set(
        "/a",
        page("x")
            .header("X-Request", "{{NONCE}}")
            .header("Set-Cookie", "{{NONCE}}"),
    );
    let told = world.suggest(&["/a"], &[]).expect(1);
    assert!(
        told.stdout.contains("  differs  x-request, header: "),
        "{}",
        told.stdout
    );
    assert!(!told.stdout.contains("cookie"), "{}", told.stdout);
    world.paste(&told);
    world.suggest(&["/a"], &[]).expect(0);
}

#[test]
fn what_cannot_be_asked_for_is_said_with_the_reason() {
    // Promise: usage is 64 and names the rule; a page that could not be had is 2, and the others are told.
    let world = World::new("");
    world.origin.set("/a", page("<i id=x>{{NONCE}}</i>"));
    let elsewhere = world
        .mirror
        .run(&["suggest", "https://elsewhere.example/"])
        .expect(64);
    assert!(
        elsewhere
            .stderr
            .contains("`elsewhere.example` is not among `hosts`"),
        "{}",
        elsewhere.stderr
    );
    for wrong in [
        ["--times", "1"],
        ["--times", "11"],
        ["--pause", "-1"],
        ["--pause", "1e9"],
    ] {
        let flag = format!("{}={}", wrong[0], wrong[1]);
        let urls = [world.origin.url("/a")];
        world.mirror.run(&["suggest", &urls[0], &flag]).expect(64);
    }
    world.mirror.run(&["suggest"]).expect(64);
    let told = world
        .suggest(&["/private/x", "/lost", "/a"], &["--json"])
        .expect(2)
        .json();
    let error = told["error"].as_str().expect("a text");
    assert!(
        error.contains("/private/x is forbidden: robots.txt: Disallow: /private"),
        "{error}"
    );
    assert!(error.contains("/lost: the answer was 404"), "{error}");
    assert_eq!(told["differing"], 1);
    assert!(
        !world
            .origin
            .requests()
            .iter()
            .any(|(_, target, _)| target.starts_with("/private"))
    );
    world.origin.refuse();
    let told = world.suggest(&["/a"], &[]).expect(2);
    assert!(told.stdout.contains("  not had  "), "{}", told.stdout);
}

/// A site of this many pages besides its home page, each with this in it.
fn site_of(world: &World, pages: usize, inside: &str) {
    let links: String = (0..pages)
        .map(|page| format!("<a href=/p{page}>p</a>\n"))
        .collect();
    world.origin.set("/", Page::html(links));
    for number in 0..pages {
        let text = format!("<h1>Page {number}</h1>\n{inside}");
        world.origin.set(&format!("/p{number}"), page(&text));
    }
}

const GUARDED: &str = "[guard]\nchanges_max = 0.6\n";

#[test]
fn a_run_in_which_most_pages_changed_says_what_they_have_in_common() {
    // Promise: noise that nobody has told the mirror about is named, with the rule that would take it out; with that
    // rule the next run is quiet.
    let world = World::new(GUARDED);
    site_of(
        &world,
        60,
        "<footer><input type=hidden name=ticket value=\"{{NONCE}}\"></footer>",
    );
    world.mirror.run(&["run"]).expect(0);
    let report = world.mirror.run(&["run", "--json"]).expect(2).json();
    let common = &report["common_change"];
    assert_eq!(common["where"], "html > body > footer > input[name=ticket]");
    assert_eq!((&common["pages"], &common["of"]), (&json!(20), &json!(20)));
    assert_eq!(common["rule"]["list"], "selectors");
    assert_eq!(common["rule"]["rule"], "input[name=ticket]@value");
    let reason = report["reasons"][0].as_str().expect("a text");
    for part in [
        "60 of 62 pages changed at once",
        "20 of 20 pages that were looked at have changed in the same place: html > body > footer > input[name=ticket] (attribute value)",
        "this looks like noise, which `canonical.selectors` would take out with `input[name=ticket]@value`",
    ] {
        assert!(reason.contains(part), "{part}\n{reason}");
    }
    let path = world.mirror.path("standin.toml");
    let config = fs::read_to_string(&path).expect("it is ours");
    let rule = "[canonical]\nselectors = [\"input[name=ticket]@value\"]\n";
    fs::write(&path, format!("{rule}{config}")).expect("it is ours");
    // The stored pages were hashed without the rule; from the first run with it on they are compared by it.
    fs::write(&path, format!("{rule}{config}").replace("0.6", "1.0")).expect("it is ours");
    world.mirror.run(&["run"]).expect(0);
    let quiet = world.mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(quiet["crawl"]["changed"], 0, "{quiet:#}");
    assert_eq!(quiet["common_change"], Value::Null);
}

#[test]
fn what_became_the_same_on_many_pages_is_no_noise_whatever_it_looks_like() {
    // Promise: a new style sheet, new opening hours, a deadline that was moved, another document: each looks like a
    // token or a time, and is the same on every page. It is told as the site's own change, and no rule is named.
    let rows = [
        (
            "<link rel=stylesheet href=\"/a.css?v=0012cd34ef56ab99\">",
            "<link rel=stylesheet href=\"/a.css?v=ab12cd34ef56ab12\">",
        ),
        (
            "<footer>Open at 08:00:00</footer>",
            "<footer>Open at 09:00:00</footer>",
        ),
        (
            "<aside class=d>Generated until 2026-12-05 10:00</aside>",
            "<aside class=d>Generated until 2026-12-06 10:00</aside>",
        ),
        (
            "<footer>Tel 1632960961</footer>",
            "<footer>Tel 1632960968</footer>",
        ),
        (
            "<a class=pdf href=\"/d?id=0012cd34ef56ab99\">Form</a>",
            "<a class=pdf href=\"/d?id=ab12cd34ef56ab12\">Form</a>",
        ),
    ];
    for (before, after) in rows {
        let world = World::new(GUARDED);
        site_of(&world, 60, before);
        world.mirror.run(&["run"]).expect(0);
        site_of(&world, 60, after);
        let report = world.mirror.run(&["run", "--json"]).expect(2).json();
        let common = &report["common_change"];
        assert_eq!(common["alike"], 20, "{common:#}");
        assert_eq!(common["is_content"], true, "{common:#}");
        assert_eq!(common["rule"], Value::Null, "{common:#}");
        let reason = report["reasons"][0].as_str().expect("a text");
        assert!(
            reason.contains(
                "; 20 of them have changed from the same to the same, so this looks like a change of the site's own"
            ),
            "{reason}"
        );
    }
}

#[test]
fn a_template_that_was_edited_everywhere_is_told_as_the_sites_own_change() {
    let world = World::new("");
    site_of(&world, 60, "<footer><p>Copyright 2025</p></footer>");
    world.mirror.run(&["run"]).expect(0);
    site_of(&world, 60, "<footer><p>Copyright 2026 by us</p></footer>");
    let told = world.mirror.run(&["run"]).expect(0);
    for part in [
        "  note: 20 of 20 pages that were looked at have changed in the same place: html > body > footer > p (text), ",
        "; 20 of them have changed from the same to the same, so this looks like a change of the site's own, as when its template is edited\n",
    ] {
        assert!(told.stdout.contains(part), "{part}\n{}", told.stdout);
    }
    // Pages that changed for reasons of their own have nothing in common, and few changes need no explanation.
    for number in 0..60 {
        let other = format!("<p>{}", ["b", "i", "u", "s"][number % 4]);
        let text = format!(
            "<h{}>{}</h{}>{other}",
            1 + number % 6,
            "x".repeat(number),
            1 + number % 6
        );
        world.origin.set(&format!("/p{number}"), page(&text));
    }
    world.mirror.run(&["run"]).expect(0);
    world.origin.set("/p1", page("something else"));
    let report = world.mirror.run(&["run", "--json"]).expect(0).json();
    assert_eq!(report["common_change"], Value::Null);
}
