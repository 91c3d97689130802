//! Promise: what cannot be done is said in one line that names the place and the way out, under the exit code that
//! fits (64 for bad usage or configuration, 2 for what failed); and with `--json` stdout is one JSON document whose
//! `error` says the same.

use std::fs;
use std::process::Command;

use crate::support::binary::{Mirror, Ran, finish, folder_tier, key_start, site};
use crate::support::origin::{Origin, Page};

/// One thing to get wrong. `prepare` makes the folder in which `arguments` are run.
struct Case {
    arguments: &'static [&'static str],
    code: i32,
    /// All in one line.
    words: &'static [&'static str],
    prepare: fn(&Origin) -> Mirror,
}

fn start_site() -> Origin {
    let origin = Origin::start();
    origin.set("/", Page::html("<a href=/page>Page</a>"));
    origin.set("/page", Page::html("<p>A page.</p>"));
    origin
}

fn usual(origin: &Origin) -> String {
    [site(origin), folder_tier("copy")].concat()
}

/// A mirror that has had a good run.
fn filled(origin: &Origin) -> Mirror {
    let mirror = Mirror::new(&usual(origin));
    mirror.run(&["run", "--json"]).expect(0);
    mirror
}

const CASES: &[Case] = &[
    Case {
        arguments: &["run"],
        code: 64,
        words: &["standin.toml:3: unknown field `hosst` in [site]; did you mean `hosts`?"],
        prepare: |origin| Mirror::new(&(site(origin) + "hosst = []\n" + &folder_tier("copy"))),
    },
    Case {
        arguments: &["config", "check"],
        code: 64,
        words: &["standin.toml:4: tier.name: `A B` is no tier name"],
        prepare: |origin| {
            Mirror::new(&(site(origin) + "[[tier]]\nname = \"A B\"\nurl = \"file:x\"\n"))
        },
    },
    Case {
        arguments: &["run"],
        code: 64,
        words: &[
            "no configuration: tried standin.toml, /etc/standin/standin.toml",
            "`standin init` writes one",
        ],
        prepare: |_| Mirror::bare(),
    },
    Case {
        arguments: &["run", "--config", "other.toml"],
        code: 64,
        words: &["other.toml"],
        prepare: |origin| Mirror::new(&usual(origin)),
    },
    Case {
        arguments: &["run"],
        code: 64,
        words: &["`site.seeds` is empty", "add the site's home page"],
        prepare: |_| {
            Mirror::new(&("[site]\nhosts = [\"x.example\"]\n".to_owned() + &folder_tier("copy")))
        },
    },
    Case {
        arguments: &["run", "--only", "/page"],
        code: 64,
        words: &["/page"],
        prepare: |origin| Mirror::new(&usual(origin)),
    },
    Case {
        arguments: &["run", "--only", "http://elsewhere.example/page"],
        code: 64,
        words: &[
            "http://elsewhere.example/page is no page of this site",
            "`elsewhere.example` is not among `hosts`",
            "leave it out",
        ],
        prepare: |origin| Mirror::new(&usual(origin)),
    },
    Case {
        arguments: &["run"],
        code: 64,
        words: &["there is no [[tier]]", "add one"],
        prepare: |origin| Mirror::new(&site(origin)),
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &[
            "tier far",
            "no-key.json: No such file",
            "credentials = { file = … }",
        ],
        prepare: |origin| {
            let tier = "[[tier]]\nname = \"far\"\nurl = \"gs://bucket/x\"\n";
            let key = "credentials = { file = \"no-key.json\" }\n";
            Mirror::new(&(site(origin) + tier + key))
        },
    },
    Case {
        arguments: &["config", "check"],
        code: 64,
        words: &["tier.region: is an option of s3:// tiers, not of gs:// ones; remove it"],
        prepare: |origin| {
            let tier = "[[tier]]\nname = \"far\"\nurl = \"gs://bucket/x\"\nregion = \"eu\"\n";
            Mirror::new(&(site(origin) + tier))
        },
    },
    Case {
        arguments: &["init"],
        code: 64,
        words: &["standin.toml is there already"],
        prepare: |origin| Mirror::new(&usual(origin)),
    },
    Case {
        arguments: &["mirror", "nonsense"],
        code: 64,
        words: &["nonsense", "http"],
        prepare: |_| Mirror::bare(),
    },
    Case {
        arguments: &["explain", "ftp://x.example/"],
        code: 64,
        words: &[
            "`ftp:` is not the scheme of a web page",
            "https://your.site/",
        ],
        prepare: filled,
    },
    Case {
        arguments: &["mirror"],
        code: 64,
        words: &["required", "<URL>"],
        prepare: |_| Mirror::bare(),
    },
    Case {
        arguments: &["rum"],
        code: 64,
        words: &["unrecognized subcommand 'rum'"],
        prepare: |_| Mirror::bare(),
    },
    Case {
        arguments: &["mirror", "http://no-such-host.invalid/"],
        code: 2,
        words: &["no usable seed", "no-such-host.invalid", "does not resolve"],
        prepare: |_| Mirror::bare(),
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &["tier copy", "tiers/copy", "move the tier"],
        prepare: |origin| {
            let mirror = Mirror::new(&usual(origin));
            fs::write(mirror.path("tiers"), "no folder").expect("it is ours");
            mirror
        },
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &["state", "Not a directory"],
        prepare: |origin| Mirror::new(&(usual(origin) + "[state]\ndir = \"standin.toml/state\"\n")),
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &[
            "was written by a newer version of standin (format 99",
            "upgrade standin",
        ],
        prepare: |origin| {
            let mirror = filled(origin);
            let marker = mirror.path("state/manifest.json");
            let text = fs::read_to_string(&marker).expect("it is there");
            assert!(text.contains("\"format\":2"), "{text}");
            fs::write(&marker, text.replace("\"format\":2", "\"format\":99")).expect("it is ours");
            mirror
        },
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &["tier copy belongs to another mirror (lineage "],
        prepare: |origin| {
            let mirror = filled(origin);
            fs::remove_dir_all(mirror.path("state")).expect("it is ours");
            mirror
        },
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &[
            "tier copy",
            "is not empty and has no .standin/head",
            "name another place",
        ],
        prepare: |origin| {
            let mirror = Mirror::new(&usual(origin));
            fs::create_dir_all(mirror.path("tiers/copy/somebody")).expect("it is ours");
            fs::write(mirror.path("tiers/copy/somebody/else"), "x").expect("it is ours");
            mirror
        },
    },
    Case {
        arguments: &["run"],
        code: 2,
        words: &[
            "tier copy",
            "is unexpectedly empty",
            "standin rebuild tier copy",
        ],
        prepare: |origin| {
            let mirror = filled(origin);
            fs::remove_dir_all(mirror.path("tiers/copy")).expect("it is ours");
            mirror
        },
    },
    Case {
        arguments: &["run"],
        code: 64,
        words: &[
            "this mirror was made with layout `plain`, the configuration says layout `govuk`",
            "set it back",
        ],
        prepare: |origin| {
            let mirror = filled(origin);
            let config = site(origin) + "layout = \"govuk\"\n" + &folder_tier("copy");
            fs::write(mirror.path("standin.toml"), config).expect("it is ours");
            mirror
        },
    },
    Case {
        arguments: &["run"],
        code: 64,
        words: &[
            "standin.toml:6: tier.credentials.access_key_id_env: the environment variable `NOT_SET` is not set",
        ],
        prepare: |origin| {
            let keys = "credentials = { access_key_id_env = \"NOT_SET\", secret_access_key_env = \"NOT_SET\" }\n";
            Mirror::new(&(site(origin) + "[[tier]]\nname = \"b\"\nurl = \"s3://b\"\n" + keys))
        },
    },
];

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let origin = start_site();
    for case in CASES {
        let folder = (case.prepare)(&origin);
        let ran = folder.run(case.arguments).expect(case.code);
        says(&ran, case.words);
        let folder = (case.prepare)(&origin);
        let ran = folder
            .run(&[case.arguments, &["--json"]].concat())
            .expect(case.code);
        says_in_json(&ran, case.words);
    }
}

/// One line, on stderr or in the report of a run that has failed, has all of the words.
#[track_caller]
fn says(ran: &Ran, words: &[&str]) {
    if ran.stderr.contains("\nUsage: ") {
        // The command line's own errors say in lines of their own how it is used.
        assert!(
            words.iter().all(|word| ran.stderr.contains(word)),
            "{words:?} is not in {ran:#?}"
        );
        return;
    }
    let mut lines = ran.stderr.lines().chain(ran.stdout.lines());
    let has_all = |line: &str| words.iter().all(|word| line.contains(word));
    assert!(lines.any(has_all), "{words:?} is not in {ran:#?}");
    assert!(ran.stderr.lines().count() <= 1, "{ran:#?}");
}

#[track_caller]
fn says_in_json(ran: &Ran, words: &[&str]) {
    let document = ran.json();
    let error = document["error"]
        .as_str()
        .unwrap_or_else(|| panic!("no error in {ran:#?}"));
    assert!(
        words.iter().all(|word| error.contains(word)),
        "{words:?} is not in {error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

/// The binary in a mount namespace of its own where `full` is a file system of that size, which is as full as a run
/// makes it. The mount ends with the process. Root may do that, others in a user namespace of theirs or by sudo.
fn run_on_a_small_disk(mirror: &Mirror, full: &str, size: &str, script: &str) -> Ran {
    fs::create_dir_all(mirror.path(full)).expect("it is ours");
    let ways: [&[&str]; 3] = [
        &["unshare", "--mount"],
        &["unshare", "--user", "--map-root-user", "--mount"],
        &["sudo", "-n", "unshare", "--mount"],
    ];
    let mount = format!("mount -t tmpfs -o size={size} tmpfs {full}");
    for way in ways {
        let run = |script: &str| {
            let mut command = Command::new(way[0]);
            command.args(&way[1..]).args(["sh", "-c", script]);
            command.arg(env!("CARGO_BIN_EXE_standin"));
            command.current_dir(mirror.path(""));
            finish(command)
        };
        let permitted =
            Command::new(way[0]).arg("--version").output().is_ok() && run(&mount).code == Some(0);
        if permitted {
            return run(&format!("{mount} && {script}"));
        }
    }
    panic!(
        "this test needs a small file system: run it as root, or where user namespaces or sudo are permitted"
    );
}

#[test]
fn a_full_disk_under_a_tier_is_said_and_forgiven() {
    // The tier's disk takes no more than 256 KB: the run has failed, and once there is room the next one ends well
    // with every page in the tier.
    let origin = start_site();
    origin.set("/", Page::html("<a href=/large>Large</a>"));
    origin.set("/large", Page::new("application/zip", vec![9; 1 << 20]));
    for json in ["", "--json"] {
        let mirror = Mirror::new(&usual(&origin));
        let first = format!("\"$0\" run {json}; code=$?; cp -r tiers/copy kept; ");
        let then = "mount -o remount,size=64m tmpfs tiers/copy && \"$0\" run --quiet || exit 99; \
                    cp -r tiers/copy roomy; exit $code";
        let ran = run_on_a_small_disk(&mirror, "tiers/copy", "256k", &(first + then)).expect(2);
        let words = [
            "tier copy: ",
            "tiers/copy",
            "disk full: free space or move the tier",
        ];
        if json.is_empty() {
            says(&ran, &words);
        } else {
            says_in_json(&ran, &words);
        }
        let large = format!("{}large", key_start(&origin));
        assert!(
            !mirror.objects("kept").contains_key(&large),
            "nothing half written"
        );
        assert_eq!(mirror.objects("roomy")[&large].len(), 1 << 20);
    }
}

#[test]
fn a_full_disk_under_the_state_is_said_and_forgiven() {
    // Wherever the disk fills up, in the databases, in the store's segments or before a large body on its way there,
    // which leaves the disk what it is to keep, the run ends by itself, and once there is room the next one ends well
    // with every page in the tier.
    let origin = start_site();
    let (full, keeps_none) = ("No space left on device", "disk_free_min = \"0\"");
    let keeps = "and `crawl.disk_free_min` leaves 1073741824; ";
    for (size, body, enough, setting, told) in [
        ("16k", 1 << 10, "64m", keeps_none, full),
        ("40k", 1 << 10, "64m", "", full),
        ("80k", 40 << 10, "64m", keeps_none, full),
        ("96k", 40 << 10, "64m", "", full),
        ("2m", 4 << 20, "64m", "", full),
        ("2m", 9 << 20, "64m", keeps_none, " bytes are free, "),
        ("64m", 9 << 20, "2g", "", keeps),
    ] {
        origin.set("/page", Page::new("application/zip", vec![9; body]));
        for json in ["", "--json"] {
            let mirror = Mirror::new(&format!("{}[crawl]\n{setting}\n", usual(&origin)));
            let first = format!("timeout 20 \"$0\" run {json}; code=$?; ");
            let then = format!(
                "mount -o remount,size={enough} tmpfs state && \"$0\" run --quiet || exit 99; exit $code"
            );
            let ran = run_on_a_small_disk(&mirror, "state", size, &(first + &then)).expect(2);
            let words = ["state/", told, "free some space and run again"];
            if json.is_empty() {
                says(&ran, &words);
            } else {
                says_in_json(&ran, &words);
            }
            let page = format!("{}page", key_start(&origin));
            assert_eq!(mirror.objects("tiers/copy")[&page].len(), body, "{size}");
        }
    }
}

#[test]
fn a_disk_that_fills_up_at_the_last_file_is_said() {
    // /dev/full is a disk without room wherever there is Linux: the status file is written through a link to it.
    let origin = start_site();
    let mirror = filled(&origin);
    std::os::unix::fs::symlink("/dev/full", mirror.path("state/status.new")).expect("it is ours");
    let words = [
        "state/status.json: No space left on device",
        "free some space and run again",
    ];
    says(&mirror.run(&["run"]).expect(2), &words);
    says_in_json(&mirror.run(&["run", "--json"]).expect(2), &words);
    fs::remove_file(mirror.path("state/status.new")).expect("it is ours");
    mirror.run(&["run"]).expect(0);
}
