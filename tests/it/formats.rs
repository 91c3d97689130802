//! Persisted bytes are promises: what the program writes today is the newest format, and what any
//! earlier format wrote reads as the same values. The frozen types have the same test in `migrations/`.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use standin::config::TierName;
use standin::content::{ContentHash, Digest, KeptHeaders};
use standin::db::Fuse;
use standin::manifest::checkpoint::{self, Checkpoint, Part, Whose};
use standin::manifest::restore::{self, Told};
use standin::manifest::{
    Change, Counts, Debt, Entry, EtagKind, Evidence, Filled, Generation, GenerationRecord, Gone,
    Intent, Lineage, Manifest, Mark, Meta, Missing, Outcome, Page, Pending, Record, Redirect,
    RunId, Shared, Staged, TierState, Verified, decode_record, encode_record,
};
use standin::site::{Layout, LayoutName, PageUrl, Scheme};
use standin::store::{Located, Place, decode_located, encode_located};
use standin::sync::Head;
use standin::tier::{Capabilities, EtagMeaning};

const RUN: &str = "20261121T104500Z-00c0ffee";
const FETCHED: i64 = 1_795_258_000;
const MD5: &str = "a6c5aa937c7f86e9ea526321af45d1f7";

fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn golden_hex(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    hex::decode(text.trim()).unwrap()
}

/// The live record writes the golden bytes, and reads back from them.
fn check<T: Record + PartialEq + Debug>(name: &str, value: &T) {
    let golden = golden_hex(&format!("migrations/golden/v2/{name}.hex"));
    assert_eq!(
        hex::encode(encode_record(value)),
        hex::encode(&golden),
        "{name}"
    );
    assert_eq!(
        &decode_record::<T>(name.as_bytes(), &golden).unwrap(),
        value,
        "{name}"
    );
}

/// What the first version wrote reads as this.
fn check_old<T: Record + PartialEq + Debug>(name: &str, value: &T) {
    let golden = golden_hex(&format!("migrations/golden/v1/{name}.hex"));
    let read = decode_record::<T>(name.as_bytes(), &golden).unwrap();
    assert_eq!(&read, value, "{name}");
}

fn url(text: &str) -> PageUrl {
    PageUrl::parse(text).unwrap()
}

fn page() -> Entry {
    let headers = [
        ("cache-control", "max-age=60"),
        ("content-type", "text/html; charset=utf-8"),
    ];
    Entry {
        outcome: Outcome::Page(Page {
            status: 200,
            content: ContentHash::from_bytes([0x11; 32]),
            canonical: ContentHash::from_bytes([0x22; 32]),
            rules: 3,
            crc32c: 0xdead_beef,
            size: 70_000,
            headers: KeptHeaders::keep(headers.iter().map(|(n, v)| (*n, v.as_bytes()))),
            etag: Some("\"v1\"".into()),
            last_modified: None,
        }),
        changed: Generation(300),
        first: Generation(2),
        fetched: Some(FETCHED),
    }
}

fn redirect() -> Entry {
    Entry {
        outcome: Outcome::Redirect(Redirect {
            status: 301,
            target: "https://www.example.org/é".into(),
        }),
        changed: Generation(1),
        first: Generation(1),
        fetched: Some(FETCHED),
    }
}

fn gone() -> Entry {
    Entry {
        outcome: Outcome::Gone(Gone { status: 410 }),
        changed: Generation(301),
        first: Generation(2),
        fetched: Some(1_795_344_400),
    }
}

/// As the first version recorded it: without the time.
fn carried(entry: Entry) -> Entry {
    Entry {
        fetched: None,
        ..entry
    }
}

#[test]
fn entries_and_changes_keep_their_bytes() {
    // Promise: a manifest of any version opens, page for page; one of the first knows no times.
    check("entry-page", &page());
    check("entry-carried", &carried(page()));
    check("entry-redirect", &redirect());
    check("entry-gone", &gone());
    check_old("entry-page", &carried(page()));
    check_old("entry-redirect", &carried(redirect()));
    check_old("entry-gone", &carried(gone()));
    let (before, after) = (None, page());
    check("change-new", &Change { before, after });
    let (before, after) = (Some(carried(page())), gone());
    check("change-gone", &Change { before, after });
    let (before, after) = (None, carried(page()));
    check_old("change-new", &Change { before, after });
    let (before, after) = (Some(carried(page())), carried(gone()));
    check_old("change-gone", &Change { before, after });
    let missing = Missing {
        status: 404,
        crawl: 128,
        strikes: 1,
    };
    check("missing", &missing);
    check_old("missing", &missing);
    let pending = Pending {
        from: Some(url("https://www.example.org/")),
        why: "the answer was 500".into(),
    };
    check("pending", &pending);
    check_old("pending", &pending);
}

#[test]
fn what_the_manifest_says_of_itself_keeps_its_bytes() {
    // Promise: lineage, layout and history are read as they were written.
    let meta = Meta {
        lineage: Lineage("123456789".into()),
        layout: LayoutName::Govuk,
        asset_hosts: vec!["assets.example.org".into()],
        generation: Generation(300),
        counts: Counts {
            pages: 700_000,
            redirects: 12,
            gone: 1,
            gateway_only: 5,
        },
        crawls: 299,
        identity: vec![
            ("assets.example.org".into(), Scheme::Http),
            ("www.example.org".into(), Scheme::Https),
        ],
        rules: vec![vec![], vec!["<!--.*-->".into()]],
        scope: "ab".into(),
        open_commit: Some((Generation(301), RunId(RUN.into()))),
        last_run: Some(RunId("20261120T104500Z-00c0ffee".into())),
    };
    check("meta", &meta);
    check_old("meta", &meta);
    let generation = GenerationRecord {
        run: RunId(RUN.into()),
        committed_at: 1_795_258_000,
        new: 1,
        changed: 2,
        gone: 3,
    };
    check("generation", &generation);
    check_old("generation", &generation);
    let (generation, aliases) = (Generation(300), 200);
    let filled = Filled {
        layout: LayoutName::Govuk,
        asset_hosts: vec!["assets.example.org".into()],
        moving: true,
    };
    check("filled", &filled);
    check(
        "shared",
        &Shared {
            generation,
            aliases,
        },
    );
}

#[test]
fn what_is_known_of_a_tier_keeps_its_bytes() {
    // Promise: what was confirmed is still that after an upgrade.
    let tier = TierState {
        watermark: Generation(300),
        verified: Some(Verified {
            generation: Generation(299),
            at: 1_795_258_000,
        }),
        epoch: 41,
        claiming: Some((42, RunId(RUN.into()))),
        etag: EtagKind::Md5,
        listed_up_to: Some("www.example.org/m".into()),
        head: Generation(299),
        capabilities: Some(Capabilities {
            etag: EtagMeaning::Md5,
            conditional_writes: true,
            keeps_versions: Some(false),
            locks_objects: None,
            copies_cheaply: true,
        }),
    };
    check("tier", &tier);
    let carried = TierState {
        capabilities: None,
        ..tier
    };
    check("tier-carried", &carried);
    check_old("tier", &carried);
    check("tier-untouched", &TierState::default());
    check_old("tier-untouched", &TierState::default());
    let capabilities = |etag| Capabilities {
        etag,
        conditional_writes: false,
        keeps_versions: None,
        locks_objects: Some(true),
        copies_cheaply: false,
    };
    let mut content = TierState {
        etag: EtagKind::Content,
        capabilities: Some(capabilities(EtagMeaning::Content)),
        ..TierState::default()
    };
    check("tier-content", &content);
    content.capabilities = None;
    check_old("tier-content", &content);
    let opaque = TierState {
        capabilities: Some(capabilities(EtagMeaning::Opaque)),
        ..TierState::default()
    };
    check("tier-opaque", &opaque);
}

#[test]
fn what_a_tier_owes_and_waits_for_keeps_its_bytes() {
    // Promise: what was begun, owed and in doubt is still that after an upgrade.
    let intent = Intent {
        plan: RunId(RUN.into()),
        from: Generation(299),
        to: Generation(300),
    };
    check("intent", &intent);
    check_old("intent", &intent);
    let debt = Debt {
        reason: "the service is busy".into(),
        attempts: 4,
        since: Generation(298),
    };
    check("debt", &debt);
    check_old("debt", &debt);
    let written = Mark::Written {
        state: [0x33; 16],
        size: 70_000,
        etag: MD5.into(),
    };
    check("mark-written", &written);
    check_old("mark-written", &written);
    check("mark-deleted", &Mark::Deleted);
    check_old("mark-deleted", &Mark::Deleted);
    check("etag", &MD5.to_owned());
    check_old("etag", &MD5.to_owned());
    check("holder", &url("https://www.example.org/a.pdf"));
}

#[test]
fn where_blobs_lie_keeps_its_bytes() {
    // Promise: every blob of an older version is found again.
    let digest = Digest {
        content: ContentHash::from_bytes([0x11; 32]),
        crc32c: 0xdead_beef,
        size: 70_000,
    };
    let segment = Place::Segment {
        number: 7,
        offset: 1 << 25,
    };
    for (name, place) in [("blob-segment", segment), ("blob-file", Place::File)] {
        let located = Located { digest, place };
        // The store has a format byte of its own: these are the fixtures of its first format.
        let golden = golden_hex(&format!("migrations/golden/v1/{name}.hex"));
        assert_eq!(
            hex::encode(encode_located(&located)),
            hex::encode(&golden),
            "{name}"
        );
        assert_eq!(decode_located(&golden), Some(located), "{name}");
    }
}

#[test]
fn every_golden_record_is_checked_here() {
    // Promise: no fixture is added to the current format without a check of the live type.
    let mine = include_str!("formats.rs");
    let folder = golden_path(&format!(
        "migrations/golden/v{}",
        standin_migrations::CURRENT
    ));
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(
            name == "README" || mine.contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
}

/// Part of a checkpoint, as a file of `tests/golden/checkpoint`, with the rows that it holds.
fn golden_part(name: &str) -> (Vec<u8>, Vec<(PageUrl, Entry)>) {
    let bytes = golden_hex(&format!("tests/golden/checkpoint/{name}.hex"));
    let part = Part {
        name: format!(".standin/checkpoint/{name}"),
        hash: ContentHash::of(&bytes),
        bytes: bytes.len() as u64,
        rows: 2,
        after: None,
    };
    let rows = checkpoint::read_part(&part, &bytes).unwrap();
    (bytes, rows)
}

#[test]
fn a_checkpoint_part_of_any_version_reads_as_it_was_written() {
    // Promise: any tier's checkpoint makes the manifest again, whichever version wrote it. The golden
    // parts are read; what is written today unpacks to the newest one's rows (the compressor may
    // differ). In the oldest, rows hold records of format 1; rows of parts of format 1 have no kind.
    let first = |entry: Entry| Entry {
        changed: Generation(1),
        first: Generation(1),
        ..entry
    };
    let rows = vec![
        (url("https://www.example.org/"), first(page())),
        (url("https://www.example.org/old"), redirect()),
    ];
    assert_eq!(golden_part("part-v1-records-v2").1, rows);
    let [today, ..] = written_today(&rows);
    let (golden, read) = golden_part("part-v2");
    assert_eq!(read, rows);
    assert_eq!(unpacked(&today), unpacked(&golden));
    let without_times: Vec<_> = rows
        .into_iter()
        .map(|(url, entry)| (url, carried(entry)))
        .collect();
    assert_eq!(golden_part("part-v1").1, without_times);
}

#[test]
fn what_a_checkpoint_says_about_itself_reads_as_it_was_written() {
    // Promise: whose it is, what its tier owes and what could not be had come back from the golden part, whose
    // records are of the kinds that are written today.
    let bytes = golden_hex("tests/golden/checkpoint/about-v2.hex");
    let part = Part {
        name: ".standin/checkpoint/about".into(),
        hash: ContentHash::of(&bytes),
        bytes: bytes.len() as u64,
        rows: 5,
        after: None,
    };
    let mut kinds = String::new();
    let mut meta = None;
    let mut owed = None;
    checkpoint::read_rows(&part, &bytes, |key, payload| {
        kinds.push(char::from(key[0]));
        match restore::checked(key, payload)? {
            Told::Meta(told) => meta = Some(told),
            Told::Debt(url) => owed = Some(url),
            _ => (),
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(kinds, "mtgud");
    let meta = meta.unwrap();
    assert_eq!(meta.generation, Generation(1));
    assert_eq!(meta.lineage.0, "92705032495430901258608028022086302096");
    assert_eq!(owed, Some(url("https://www.example.org/old")));
}

/// The three parts of a checkpoint, in a tier that owes something, of a fresh manifest with these outcomes: the
/// entries, and what is said about the tier and about the mirror.
fn written_today(rows: &[(PageUrl, Entry)]) -> [Vec<u8>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest = Manifest::open(folder.path(), &layout, Fuse::none()).unwrap();
    let pending = Staged::Pending {
        from: Some(rows[0].0.clone()),
        why: "it could not be had".into(),
    };
    let pending = (url("https://www.example.org/soon"), pending);
    let staged = rows.iter().map(|(url, entry)| {
        let staged = Staged::Outcome {
            outcome: entry.outcome.clone(),
            located: None,
            fetched: FETCHED,
        };
        Ok((url.clone(), staged))
    });
    manifest
        .commit(
            &RunId(RUN.into()),
            0,
            Evidence::Whole,
            staged.chain([Ok(pending)]),
        )
        .unwrap();
    let tier = TierName::parse("primary").unwrap();
    manifest
        .owe(&tier, &rows[1].0, "it was refused".into())
        .unwrap();
    let mut parts = Vec::new();
    let whose = Whose::Tier(&tier);
    let made = checkpoint::extend(&manifest, whose, Checkpoint::default(), |_, bytes| {
        parts.push(bytes.to_vec());
        true
    });
    let made = made.unwrap();
    assert_eq!((made.base.len(), made.about.len()), (1, 2));
    parts.try_into().unwrap()
}

/// Magic and rows of a part.
fn unpacked(part: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (magic, packed) = part.split_at(9);
    (magic.to_vec(), zstd::stream::decode_all(packed).unwrap())
}

#[test]
fn the_head_keeps_its_text() {
    // Promise: who finds nothing but a tier can read whose it is and where its checkpoint lies.
    let part = |name: &str| Part {
        name: format!(".standin/checkpoint/{name}"),
        hash: ContentHash::from_bytes([0x44; 32]),
        bytes: 1_000,
        rows: 12,
        after: None,
    };
    let head = Head {
        format: 1,
        lineage: "123456789".into(),
        // As earlier versions wrote it.
        tier: None,
        epoch: 41,
        run: RunId(RUN.into()),
        generation: Generation(300),
        layout: LayoutName::Govuk,
        asset_hosts: vec!["assets.example.org".into()],
        identity: vec![("www.example.org".into(), Scheme::Https)],
        verified: Some(Verified {
            generation: Generation(300),
            at: 1_795_258_000,
        }),
        checkpoint: Checkpoint {
            generation: Generation(300),
            base: vec![part("base")],
            increments: vec![part("increment")],
            about: Vec::new(),
        },
        earlier: Vec::new(),
    };
    let golden = fs::read_to_string(golden_path("tests/golden/head/head-v1.json")).unwrap();
    assert_eq!(
        String::from_utf8(head.encode().to_vec()).unwrap(),
        golden.trim_end()
    );
    assert_eq!(serde_json::from_str::<Head>(&golden).unwrap(), head);
}
