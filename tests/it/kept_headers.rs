//! Promise: what a configuration says about headers arrives in every tier, and a change of it costs metadata
//! and no bodies. Checked with the real binary, a folder and a bucket.

use std::fs;

use serde_json::{Value, json};

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::S3Server;

const BUCKET: &str = "mirror";

/// Pages: `/` answers "not modified", `/plain` has no validator and is sent whole on every run.
const PAGES: u64 = 2;

struct World {
    origin: Origin,
    server: S3Server,
    mirror: Mirror,
}

/// What a run did to the tier that did most.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    put: u64,
    reheadered: u64,
    bytes: u64,
}

const NOTHING: Cost = Cost {
    put: 0,
    reheadered: 0,
    bytes: 0,
};

impl World {
    fn new() -> World {
        let origin = Origin::start();
        origin.set("/robots.txt", Page::html("").status(404));
        let dressed = |page: Page| {
            page.header("Cache-Control", "no-store")
                .header("Expires", "Sat, 21 Nov 2026 10:00:00 GMT")
                .header("X-Example", "one, zwei, \u{e9}")
                .header("X-Other", "2")
                .header("Set-Cookie", "visitor=7")
        };
        let home = Page::html("<a href=/plain>plain</a>").etag("\"1\"");
        origin.set("/", dressed(home));
        origin.set("/plain", dressed(Page::html("<p>plain")));
        World {
            origin,
            server: S3Server::start(&[BUCKET]),
            mirror: Mirror::bare(),
        }
    }

    /// Runs under these settings of `[site]`; both tiers must have done the same.
    fn run(&self, settings: &str) -> Cost {
        let config = [
            site(&self.origin),
            settings.to_owned(),
            folder_tier("copy"),
            bucket_tier("bucket", &self.server, BUCKET),
        ];
        fs::write(self.mirror.path("standin.toml"), config.concat()).expect("it is ours");
        self.mirror.run(&["config", "check"]).expect(0);
        let report = self.mirror.run(&["run", "--json"]).expect(0).json();
        assert_eq!(report["verdict"], "ok", "{report:#}");
        let cost = |tier: &Value| {
            let number = |name: &str| tier[name].as_u64().expect("a number");
            assert_eq!((number("deleted"), number("failed")), (0, 0), "{report:#}");
            Cost {
                put: number("put"),
                reheadered: number("reheadered"),
                bytes: number("bytes"),
            }
        };
        assert_eq!(cost(&report["tiers"][0]), cost(&report["tiers"][1]));
        cost(&report["tiers"][0])
    }

    /// The headers that both tiers have of a page, by name, but for its type.
    fn headers(&self, path: &str) -> Vec<(String, String)> {
        let key = format!("{}{path}", key_start(&self.origin));
        let side = &self.mirror.side_files("tiers/copy")[&key]["headers"];
        let mut headers: Vec<(String, String)> =
            serde_json::from_value(side.clone()).expect("pairs");
        headers.retain(|(name, _)| name != "content-type");
        let stored = self.server.object(BUCKET, &format!("copy/{key}"));
        let stored = stored.expect("it is in the bucket").headers;
        let own = headers.iter().find(|(name, _)| name == "cache-control");
        assert_eq!(stored.cache_control.as_ref(), own.map(|(_, value)| value));
        let others = stored.metadata.get("standin-headers").cloned();
        let others = others.unwrap_or_else(|| "[]".into());
        let others = percent_encoding::percent_decode_str(&others).decode_utf8();
        let others: Vec<(String, String)> =
            serde_json::from_str(&others.expect("text")).expect("pairs");
        let extra = |(name, _): &&(String, String)| name.starts_with("x-");
        let of_folder: Vec<_> = headers.iter().filter(extra).collect();
        assert_eq!(others.iter().filter(extra).collect::<Vec<_>>(), of_folder);
        headers
    }
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    expected.iter().map(pair).collect()
}

const ONE: &str = "keep_headers = [\"X-Example\"]\ncache_control = \"public, max-age=900\"\n";
const TWO: &str =
    "keep_headers = [\"X-Example\", \"x-other\"]\ncache_control = \"public, max-age=900\"\n";
const SHORT: &str = "keep_headers = [\"x-example\", \"x-other\"]\ncache_control = \"max-age=5\"\n";

#[test]
fn a_header_and_the_policy_arrive_in_every_tier_and_changes_cost_no_bodies() {
    // Promise: in the order of an operator's day: set up, nothing to do, one name more, another policy, none.
    let world = World::new();
    let example = ("x-example", "one, zwei, \u{e9}");
    let public = ("cache-control", "public, max-age=900");
    let first = world.run(ONE);
    assert_eq!((first.put, first.reheadered), (PAGES, 0));
    for path in ["index.html", "plain"] {
        assert_eq!(world.headers(path), pairs(&[public, example]), "{path}");
    }
    assert_eq!(world.run(ONE), NOTHING);

    let one_page = Cost {
        reheadered: 1,
        ..NOTHING
    };
    assert_eq!(world.run(TWO), one_page, "one of the pages was sent whole");
    assert_eq!(world.headers("index.html"), pairs(&[public, example]));
    let both = [public, example, ("x-other", "2")];
    assert_eq!(world.headers("plain"), pairs(&both));
    assert_eq!(world.run(TWO), NOTHING);

    let every_page = Cost {
        reheadered: PAGES,
        ..NOTHING
    };
    assert_eq!(world.run(SHORT), every_page);
    let short = ("cache-control", "max-age=5");
    assert_eq!(world.headers("index.html"), pairs(&[short, example]));
    assert_eq!(world.run(SHORT), NOTHING);

    assert_eq!(world.run(""), one_page);
    assert_eq!(world.headers("index.html"), pairs(&[short, example]));
    let of_the_site = [
        ("cache-control", "no-store"),
        ("expires", "Sat, 21 Nov 2026 10:00:00 GMT"),
    ];
    assert_eq!(world.headers("plain"), pairs(&of_the_site));
    assert_eq!(world.run(""), NOTHING);
}

#[test]
fn config_check_says_what_is_kept_and_why_something_cannot_be() {
    // Promise: what will be kept is shown, and a header that must not be served is refused with the reason.
    let world = World::new();
    world.run(TWO);
    let checked = world.mirror.run(&["config", "check", "--json"]).expect(0);
    let said = checked.json();
    assert_eq!(said["keep_headers"], json!(["x-example", "x-other"]));
    assert_eq!(said["cache_control"], "public, max-age=900");
    let text = world.mirror.run(&["config", "check"]).expect(0).stdout;
    assert!(text.contains("\n  keeps   x-example, x-other\n"), "{text}");
    assert!(text.contains("\n  caching public, max-age=900\n"), "{text}");
    let wrong = site(&world.origin) + "keep_headers = [\"set-cookie\"]\n" + &folder_tier("copy");
    fs::write(world.mirror.path("standin.toml"), wrong).expect("it is ours");
    let refused = world.mirror.run(&["config", "check"]).expect(64).stderr;
    assert!(refused.contains("meant for one visitor"), "{refused}");
}
