//! Promise: a bucket that cannot be used is said in one line, which names the tier, the bucket, what was
//! asked of it and the likely remedy; the other tiers are filled as ever, nothing is half done, and the run
//! ends with 1 or 2. Checked with the real binary, a folder and a bucket that ails in every way.

use serde_json::Value;

use crate::support::binary::{Mirror, Ran, bucket_tier, folder_tier, key_start, site};
use crate::support::faults::Harm;
use crate::support::origin::{Origin, Page};
use crate::support::s3_server::{ACCESS_KEY, About, OWNER, S3Server, SECRET_KEY, Seen};

const BUCKET: &str = "site";
const PATHS: [&str; 3] = ["/", "/a", "/b"];

struct World {
    origin: Origin,
    server: S3Server,
    mirror: Mirror,
}

impl World {
    /// Three pages, a folder, and a bucket tier with more lines of configuration.
    fn new(more: &str) -> World {
        let (origin, server) = (Origin::start(), S3Server::start(&[BUCKET]));
        origin.set("/", Page::html("<a href=/a>a</a> <a href=/b>b</a>"));
        origin.set("/a", Page::html("<p>a</p>"));
        origin.set("/b", Page::html("<p>b</p>"));
        let config = [
            site(&origin),
            folder_tier("near"),
            bucket_tier("primary", &server, BUCKET),
            more.to_owned(),
        ];
        let mirror = Mirror::new(&config.concat());
        World {
            origin,
            server,
            mirror,
        }
    }

    fn run(&self) -> Ran {
        self.mirror.run(&["run", "--json"])
    }

    /// The folder has all pages, whatever became of the bucket.
    fn assert_others_unharmed(&self, what: &str) {
        let objects = self.mirror.objects("tiers/near");
        let pages = objects.keys().filter(|key| !key.ends_with("robots.txt"));
        assert_eq!(pages.count(), PATHS.len(), "{what}: {objects:?}");
    }

    fn key(&self, name: &str) -> String {
        format!("copy/{}{name}", key_start(&self.origin))
    }
}

/// What the report says of the bucket: one line.
fn trouble(ran: &Ran) -> String {
    let report = ran.json();
    let reasons = report["reasons"].as_array().expect("reasons").clone();
    let said: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
    let of_tier = said.iter().filter(|reason| reason.contains("primary"));
    let lines: Vec<&&str> = of_tier.collect();
    assert!(!lines.is_empty(), "nothing about the tier: {ran:#?}");
    assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    lines
        .iter()
        .map(|line| **line)
        .collect::<Vec<_>>()
        .join("; ")
}

/// A way to ail: name, how it comes about, exit code, and words of the line.
type Ailment = (&'static str, fn(&S3Server), i32, &'static [&'static str]);

const AILMENTS: [Ailment; 9] = [
    (
        "no such bucket",
        |server| server.drop_bucket(BUCKET),
        2,
        &["bucket site", "create the bucket"],
    ),
    (
        "listing is not allowed",
        |server| server.deny(|seen| seen.about == About::Listing),
        2,
        &["bucket site", "GetObject", "s3:ListBucket"],
    ),
    (
        "deleting is not allowed",
        |server| server.deny(|seen| seen.method == "DELETE" || seen.method == "POST"),
        2,
        &["bucket site", "DeleteObject", "allow s3:DeleteObject"],
    ),
    (
        "writing is not allowed",
        |server| server.deny(|seen| seen.method == "PUT"),
        2,
        &["bucket site", "PutObject", "allow s3:PutObject"],
    ),
    (
        "reading is not allowed",
        |server| server.deny(|seen| seen.method == "GET" && seen.about == About::Object),
        2,
        &["bucket site", "GetObject", "allow s3:GetObject"],
    ),
    (
        "the clock is wrong",
        |server| {
            let (status, code) = (403, "RequestTimeTooSkewed");
            server.harm(99, |_| true, Harm::Refusal { status, code });
        },
        2,
        &["bucket site", "RequestTimeTooSkewed", "clock"],
    ),
    (
        "the region is wrong",
        |server| server.move_to("eu-west-2"),
        2,
        &["bucket site", "AuthorizationHeaderMalformed", "region"],
    ),
    (
        "the bucket has moved",
        |server| server.harm(99, |_| true, Harm::Status(301)),
        2,
        &["bucket site", "301", "region"],
    ),
    (
        "nobody listens",
        |server| server.refuse(true),
        1,
        &["cannot be reached", "refused", "endpoint"],
    ),
];

#[test]
fn a_bucket_that_cannot_be_used_is_said_in_one_line() {
    // Every ailment at the first run; the folder beside it is filled, and nothing of the site is written
    // to a bucket that cannot be listed, read, written and emptied.
    for (what, ail, code, words) in AILMENTS {
        let world = World::new("");
        ail(&world.server);
        let ran = world.run().expect(code);
        let line = trouble(&ran);
        for word in words {
            assert!(line.contains(word), "{what}: no {word:?} in {line}");
        }
        world.assert_others_unharmed(what);
        let objects = world.server.objects(BUCKET);
        let of_site = objects.keys().find(|key| !key.contains("/.standin/"));
        assert_eq!(of_site, None, "{what}");
    }
}

#[test]
fn wrong_or_missing_credentials_are_said_without_showing_any() {
    // A wrong secret, an unknown id, and none at all anywhere.
    for (name, value) in [
        ("STANDIN_TEST_SECRET", "hunter2"),
        ("STANDIN_TEST_ID", "NOBODY1"),
    ] {
        let world = World::new("");
        let mut command = world.mirror.command(&["run", "--json"]);
        command.env(name, value);
        let ran = crate::support::binary::finish(command).expect(2);
        let line = trouble(&ran);
        assert!(line.contains("check the tier's credentials"), "{line}");
        assert!(line.contains("bucket site"), "{line}");
        let shown = [&ran.stdout, &ran.stderr];
        assert!(
            !shown.iter().any(|text| text.contains("hunter2")),
            "{ran:#?}"
        );
        world.assert_others_unharmed(name);
    }
    let (world, config) = without_credentials();
    let mirror = world.mirror.copied(&config);
    let ran = crate::support::binary::finish(off_the_cloud(&mirror)).expect(2);
    let line = trouble(&ran);
    assert!(
        line.contains("no credentials") && line.contains("AWS_ACCESS_KEY_ID"),
        "{line}"
    );
    assert_eq!(world.server.seen().len(), 0);
}

#[test]
fn credentials_and_region_are_found_where_all_tools_look_for_them() {
    // The environment, a profile, and the service of a container: each alone fills the bucket, whose
    // region is that of the profile.
    let (world, config) = without_credentials();
    let keys = [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ];
    let profile = format!(
        "[profile mirror]\nregion = eu-west-2\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    );
    let container = format!(
        "{{\"AccessKeyId\":\"{ACCESS_KEY}\",\"SecretAccessKey\":\"{SECRET_KEY}\",\"Token\":\"\",\"Expiration\":\"2099-01-01T00:00:00Z\"}}"
    );
    world.origin.set("/credentials", Page::html(container));
    for place in ["environment", "profile", "container"] {
        world.server.clear(BUCKET);
        let mirror = Mirror::new(&config);
        let mut command = off_the_cloud(&mirror);
        match place {
            "environment" => drop(command.envs(keys)),
            "profile" => {
                std::fs::write(mirror.path("profiles"), &profile).expect("written");
                command.env("AWS_CONFIG_FILE", mirror.path("profiles"));
                command.env("AWS_PROFILE", "mirror");
                world.server.move_to("eu-west-2");
            }
            _ => {
                world.server.move_to("us-east-1");
                let url = world.origin.url("/credentials");
                command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
            }
        }
        crate::support::binary::finish(command).expect(0);
        let objects = world.server.objects(BUCKET);
        assert!(objects.contains_key(&world.key("a")), "{place}");
    }
}

#[test]
fn a_bucket_of_another_owner_is_refused() {
    // Every request says whose the bucket must be, and the service refuses the others.
    let line = "expected_bucket_owner = ";
    let world = World::new(&format!("{line}\"{OWNER}\"\n"));
    world.run().expect(0);
    let world = World::new(&format!("{line}\"999999999999\"\n"));
    let ran = world.run().expect(2);
    assert!(trouble(&ran).contains("403 AccessDenied"), "{ran:#?}");
    world.assert_others_unharmed("another owner");
}

#[test]
fn a_bucket_with_object_lock_is_filled() {
    // Puts carry a checksum, which such buckets insist on; that deletes may be refused is said by the
    // delete (`tier_conformance`).
    let world = World::new("");
    world.server.enable_lock(BUCKET);
    world.server.keep_versions(BUCKET);
    world.run().expect(0);
    assert!(world.server.object(BUCKET, &world.key("a")).is_some());
}

#[test]
fn a_key_that_the_service_refuses_is_left_out_alone() {
    // One object is not accepted: it is owed and named, the rest of the site is there, the run degraded.
    let world = World::new("");
    let refused = |seen: &Seen| seen.method == "PUT" && seen.path.ends_with("/a");
    let (status, code) = (400, "InvalidArgument");
    world
        .server
        .harm(1, refused, Harm::Refusal { status, code });
    let ran = world.run().expect(1);
    assert_eq!(world.server.faults_left(), 0);
    let line = trouble(&ran);
    for word in ["PutObject in bucket site", "400 InvalidArgument", "/a "] {
        assert!(line.contains(word), "no {word:?} in {line}");
    }
    assert!(world.server.object(BUCKET, &world.key("a")).is_none());
    assert!(world.server.object(BUCKET, &world.key("b")).is_some());
    world.assert_others_unharmed("one key");
    world.run().expect(0);
    assert!(world.server.object(BUCKET, &world.key("a")).is_some());
}

/// A world whose bucket tier names no credentials.
fn without_credentials() -> (World, String) {
    let world = World::new("");
    let tier = bucket_tier("primary", &world.server, BUCKET);
    let tier = tier
        .split("credentials")
        .next()
        .expect("its beginning")
        .to_owned();
    let config = [site(&world.origin), folder_tier("near"), tier].concat();
    (world, config)
}

/// A run that asks no service of this machine's for credentials.
fn off_the_cloud(mirror: &Mirror) -> std::process::Command {
    let mut command = mirror.command(&["run", "--json"]);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}
