//! Promise: what changes of a page and is not in its bytes costs metadata and no upload, in each kind of tier; a page
//! that becomes a redirect, or the reverse, is one change and one object. Checked with the real binary, and counted at
//! the servers.

use std::fs;

use serde_json::{Value, json};

use crate::support::binary::{Mirror, bucket_tier, folder_tier, key_start, site};
use crate::support::gcs_server::{Call, GcsServer};
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{About, S3Server};

const BUCKET: &str = "mirror";

const PLAIN: &str = "text/plain; charset=utf-8";

struct World {
    origin: Origin,
    s3: S3Server,
    gcs: GcsServer,
    mirror: Mirror,
}

/// What a run did to every tier, by its report.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    put: u64,
    reheadered: u64,
    deleted: u64,
}

/// What reached the servers about objects of the site, where that writes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Written {
    s3_puts: usize,
    s3_copies: usize,
    s3_deletes: usize,
    gcs_puts: usize,
    gcs_updates: usize,
    gcs_deletes: usize,
}

const PUT: Written = Written {
    s3_puts: 1,
    gcs_puts: 1,
    ..NONE
};

const REHEADERED: Written = Written {
    s3_copies: 1,
    gcs_updates: 1,
    ..NONE
};

const NONE: Written = Written {
    s3_puts: 0,
    s3_copies: 0,
    s3_deletes: 0,
    gcs_puts: 0,
    gcs_updates: 0,
    gcs_deletes: 0,
};

impl World {
    /// A home page that links to `/x`, where `page` is, and to a page that stays.
    fn new(page: Page) -> World {
        let origin = Origin::start();
        origin.set("/robots.txt", Page::html("").status(404));
        origin.set(
            "/",
            Page::html("<a href=/x>x</a> <a href=/to>to</a>").etag("\"home\""),
        );
        origin.set("/to", Page::html("to").etag("\"to\""));
        origin.set("/x", page);
        let world = World {
            origin,
            s3: S3Server::start(&[BUCKET]),
            gcs: GcsServer::start(&[BUCKET]),
            mirror: Mirror::bare(),
        };
        let gcs = format!(
            "[[tier]]\nname = \"tertiary\"\nurl = \"gs://{BUCKET}/copy\"\nendpoint = \"{}\"\ncredentials = {{ anonymous = true }}\n",
            world.gcs.endpoint()
        );
        let config = [
            site(&world.origin),
            folder_tier("copy"),
            bucket_tier("bucket", &world.s3, BUCKET),
            gcs,
        ];
        fs::write(world.mirror.path("standin.toml"), config.concat()).expect("it is ours");
        world.run();
        world
    }

    /// Puts another answer at `/x` and runs.
    fn change(&self, page: Page) -> (Value, Done, Written) {
        self.origin.set("/x", page);
        self.run()
    }

    /// A run after which all tiers are in order; all must have done the same.
    fn run(&self) -> (Value, Done, Written) {
        self.s3.forget();
        self.gcs.forget();
        let report = self.mirror.run(&["run", "--json"]).expect(0).json();
        assert_eq!(report["verdict"], "ok", "{report:#}");
        let done = |tier: &Value| {
            let number = |name: &str| tier[name].as_u64().expect("a number");
            assert_eq!(number("failed") + number("debts") + number("copied"), 0);
            Done {
                put: number("put"),
                reheadered: number("reheadered"),
                deleted: number("deleted"),
            }
        };
        let tiers = report["tiers"].as_array().expect("a list");
        let all: Vec<Done> = tiers.iter().map(done).collect();
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|done| *done == all[0]), "{report:#}");
        let written = self.written();
        let first = all.into_iter().next().expect("there are three");
        (report, first, written)
    }

    fn written(&self) -> Written {
        let seen = self.s3.seen();
        let ours = seen.iter().filter(|seen| {
            let path = &seen.path;
            seen.about == About::Object && !path.contains("/.standin/")
        });
        let s3: Vec<_> = ours.collect();
        let s3 = |method: &str, is_copy: bool| {
            let alike = s3
                .iter()
                .filter(|seen| seen.method == method && seen.is_copy == is_copy);
            alike.count()
        };
        let batches = seen.iter().filter(|seen| seen.method == "POST").count();
        let gcs = self.gcs.seen();
        let gcs = |call: Call| {
            let ours = gcs.iter().filter(|seen| seen.call == call);
            ours.filter(|seen| !seen.name.contains(".standin/")).count()
        };
        Written {
            s3_puts: s3("PUT", false),
            s3_copies: s3("PUT", true),
            s3_deletes: s3("DELETE", false) + batches,
            gcs_puts: gcs(Call::Put) + gcs(Call::Begin),
            gcs_updates: gcs(Call::Update) + gcs(Call::Rewrite),
            gcs_deletes: gcs(Call::Delete),
        }
    }

    /// Status, target and the type and disposition of `/x`, as all three tiers have them.
    fn held(&self) -> (u64, Value, String, Option<String>) {
        let key = format!("{}x", key_start(&self.origin));
        let side = &self.mirror.side_files("tiers/copy")[&key];
        let header = |name: &str| {
            let headers = side["headers"].as_array().expect("pairs").iter();
            let mut named = headers.filter(|pair| pair[0] == name);
            named
                .next()
                .and_then(|pair| pair[1].as_str())
                .map(str::to_owned)
        };
        let (kind, disposition) = (header("content-type"), header("content-disposition"));
        let body = &self.mirror.objects("tiers/copy")[&key];
        let s3 = self.s3.object(BUCKET, &format!("copy/{key}"));
        let s3 = s3.expect("it is in the bucket");
        let gcs = self.gcs.object(BUCKET, &format!("copy/{key}"));
        let gcs = gcs.expect("it is in the bucket");
        assert_eq!((&s3.data[..], &gcs.data[..]), (&body[..], &body[..]));
        assert_eq!(s3.headers.content_type, kind);
        assert_eq!(s3.headers.content_disposition, disposition);
        let status = side["status"].as_u64().expect("a number");
        assert_eq!(s3.headers.metadata["standin-status"], status.to_string());
        let location = s3.headers.metadata.get("standin-location");
        assert_eq!(location.map(String::as_str), side["location"].as_str());
        let website = s3.headers.website_redirect.as_deref();
        assert_eq!(website, side["location"].as_str());
        (
            status,
            side["location"].clone(),
            kind.unwrap_or_default(),
            disposition,
        )
    }
}

fn done(put: u64, reheadered: u64) -> Done {
    Done {
        put,
        reheadered,
        deleted: 0,
    }
}

#[test]
fn another_type_or_disposition_costs_metadata_alone() {
    // In the order of an operator's day: nothing to do, another type, a disposition, another one, none, all back.
    let page = |kind: &str| Page::new(kind, "the same bytes");
    let named = |name: &str| {
        let value = format!("attachment; filename=\"{name}\"");
        page(PLAIN).header("Content-Disposition", &value)
    };
    let world = World::new(page("text/html"));
    let (_, nothing, written) = world.run();
    assert_eq!((nothing, written), (done(0, 0), NONE));
    let steps = [
        (page(PLAIN), PLAIN, None),
        (
            named("a.txt"),
            PLAIN,
            Some("attachment; filename=\"a.txt\""),
        ),
        (
            named("b.txt"),
            PLAIN,
            Some("attachment; filename=\"b.txt\""),
        ),
        (page(PLAIN), PLAIN, None),
        (page("text/html"), "text/html", None),
    ];
    for (page, kind, disposition) in steps {
        let (report, done_now, written) = world.change(page);
        assert_eq!(
            (done_now, written),
            (done(0, 1), REHEADERED),
            "{kind} {disposition:?}"
        );
        assert_eq!(report["crawl"]["changed"], 1);
        assert_eq!(report["tiers"][0]["bytes"], 0);
        let (status, location, held, held_disposition) = world.held();
        assert_eq!((status, location, &*held), (200, Value::Null, kind));
        assert_eq!(held_disposition.as_deref(), disposition);
    }
}

#[test]
fn a_redirect_with_another_status_is_reheadered_and_one_with_another_target_is_put() {
    // The page that stands for a redirect names its target, so that a new target is new bytes: a few hundred of them,
    // in the one request that metadata would have cost, too (docs/decisions/0040).
    let world = World::new(Page::redirect(301, "/to"));
    let (_, redone, written) = world.change(Page::redirect(308, "/to"));
    assert_eq!((redone, written), (done(0, 1), REHEADERED));
    assert_eq!(world.held().0, 308);
    let (report, redone, written) = world.change(Page::redirect(308, "/"));
    assert_eq!((redone, written), (done(1, 0), PUT));
    let bytes = report["tiers"][0]["bytes"].as_u64().expect("a number");
    assert!((200..1_000).contains(&bytes), "{bytes}");
    let (status, location, ..) = world.held();
    assert_eq!((status, location), (308, json!(world.origin.url("/"))));
    let (_, nothing, written) = world.run();
    assert_eq!((nothing, written), (done(0, 0), NONE));
}

#[test]
fn a_page_that_becomes_a_redirect_and_the_reverse_are_one_change_each() {
    let world = World::new(Page::html("<p>a page"));
    let rows = [
        (Page::redirect(301, "/to"), 301),
        (Page::html("<p>a page"), 200),
        (Page::redirect(308, "/to"), 308),
        (Page::new("application/pdf", "%PDF-1.7"), 200),
    ];
    for (page, status) in rows {
        let (report, redone, written) = world.change(page);
        assert_eq!((redone, written), (done(1, 0), PUT), "{status}");
        let crawl = &report["crawl"];
        assert_eq!((&crawl["changed"], &crawl["gone"]), (&json!(1), &json!(0)));
        assert_eq!(crawl["new"], 0);
        let changes = report["changes"].as_array().expect("a list");
        assert_eq!(changes.len(), 1, "{report:#}");
        assert_eq!(changes[0]["what"], "changed");
        assert_eq!(world.held().0, status);
    }
}

#[test]
fn a_tier_that_lags_sees_the_sum_of_what_changed() {
    // A page that was a redirect for a while between two syncs costs nothing; one whose type changed meanwhile, and
    // whose bytes did and went back, costs metadata.
    let world = World::new(Page::new(PLAIN, "the bytes"));
    let steps = [
        (
            Page::redirect(301, "/to"),
            Page::new(PLAIN, "the bytes"),
            done(0, 0),
            NONE,
        ),
        (
            Page::new(PLAIN, "other bytes"),
            Page::new("text/css", "the bytes"),
            done(0, 1),
            REHEADERED,
        ),
    ];
    for (meanwhile, then, expected, requests) in steps {
        for page in [meanwhile, then] {
            world.origin.set("/x", page);
            let crawled = world.mirror.run(&["crawl", "--json"]).expect(0).json();
            assert_eq!(crawled["crawl"]["changed"], 1, "{crawled:#}");
        }
        let (_, redone, written) = world.run();
        assert_eq!((redone, written), (expected, requests));
    }
}
