//! Promise: one run at a time on one state folder. Whoever comes second is told, with exit code 75, who is at work
//! and since when, and changes nothing; `status` answers meanwhile.

use std::time::Duration;

use serde_json::Value;

use crate::support::binary::{Mirror, folder_tier, site, until};
use crate::support::origin::{Origin, Page};

/// Longer than the other commands of this test take, shorter than a request's patience.
const SLOW: Duration = Duration::from_secs(5);

#[test]
fn the_second_of_two_runs_is_told_who_is_at_work() {
    let origin = Origin::start();
    origin.set("/robots.txt", Page::html("").status(404));
    origin.set("/", Page::html("<a href=/slow>Slow</a>"));
    origin.set("/slow", Page::html("<p>at last</p>").delayed(SLOW));
    let mirror = Mirror::new(&[site(&origin), folder_tier("copy")].concat());
    let first = mirror.start(&["run", "--json"]);
    let slow = |(_, path, _): &(String, String, u16)| path == "/slow";
    until("the first run waits for its page", || {
        origin.requests().iter().any(slow)
    });
    let asked = origin.requests().len();
    let pid = first.pid();

    let status = mirror.run(&["status", "--json"]).expect(0).json();
    let since = status["running"]["since"]
        .as_str()
        .expect("a time")
        .to_owned();
    assert_eq!(status["running"]["pid"], pid);
    assert_eq!(status["running"]["verb"], "run");
    assert_eq!(status["latest"]["stage"], "crawl");
    let told = mirror.run(&["status"]).expect(0).stdout;
    let line = format!("running: standin run (process {pid}) since {since}, now in crawl\n");
    assert!(told.starts_with(&line), "{told}");

    let url = origin.url("/");
    for verb in [
        &["run"][..],
        &["crawl"],
        &["sync"],
        &["verify"],
        &["plan"],
        &["audit"],
        &["audit", "--links"],
        &["explain", &url],
    ] {
        let busy = mirror.run(verb).expect(75);
        assert_eq!(
            (busy.stdout.as_str(), busy.stderr.lines().count()),
            ("", 1),
            "{verb:?}"
        );
        let who = format!("`standin run` (process {pid}) since {since}; wait for it to end");
        assert!(busy.stderr.contains(&who), "{}", busy.stderr);
    }
    let error = mirror.run(&["run", "--json"]).expect(75).json()["error"].clone();
    assert!(
        error
            .as_str()
            .is_some_and(|text| text.contains(&format!("(process {pid})"))),
        "{error}"
    );
    assert_eq!(
        origin.requests().len(),
        asked,
        "nobody else asks the origin"
    );

    let report = first.wait().expect(0).json();
    assert_eq!(
        (&report["verdict"], &report["crawl"]["new"]),
        (&"ok".into(), &2.into())
    );
    let status = mirror.run(&["status", "--json"]).expect(0).json();
    assert_eq!(status["running"], Value::Null);
    assert_eq!(status["finished"]["run_id"], report["run_id"]);
    mirror.run(&["run"]).expect(0);
}
