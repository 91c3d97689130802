//! Persisted bytes are promises: what the program writes today is what the first version wrote, and
//! what that wrote reads as the same values. The frozen types have the same test in `migrations/`.

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use standin::content::{ContentHash, Digest, KeptHeaders};
use standin::db::Fuse;
use standin::manifest::checkpoint::{self, Checkpoint, Part};
use standin::manifest::{
    Change, Counts, Debt, Entry, EtagKind, Generation, GenerationRecord, Gone, Intent, Lineage,
    Manifest, Mark, Meta, Missing, Outcome, Page, Pending, Redirect, RunId, Staged, TierState,
    Verified, decode_record, encode_record,
};
use standin::site::{Layout, LayoutName, PageUrl, Scheme};
use standin::store::{Located, Place, decode_located, encode_located};
use standin::sync::Head;

const RUN: &str = "20261121T104500Z-00c0ffee";
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
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(name: &str, value: &T) {
    let golden = golden_hex(&format!("migrations/golden/v1/{name}.hex"));
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
    }
}

fn gone() -> Entry {
    Entry {
        outcome: Outcome::Gone(Gone { status: 410 }),
        changed: Generation(301),
        first: Generation(2),
    }
}

#[test]
fn entries_and_changes_keep_their_bytes() {
    // Promise: a manifest of the first version opens, page for page.
    check("entry-page", &page());
    check("entry-redirect", &redirect());
    check("entry-gone", &gone());
    let (before, after) = (None, page());
    check("change-new", &Change { before, after });
    let (before, after) = (Some(page()), gone());
    check("change-gone", &Change { before, after });
    let missing = Missing {
        status: 404,
        crawl: 128,
        strikes: 1,
    };
    check("missing", &missing);
    let pending = Pending {
        from: Some(url("https://www.example.org/")),
        why: "the answer was 500".into(),
    };
    check("pending", &pending);
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
    let generation = GenerationRecord {
        run: RunId(RUN.into()),
        committed_at: 1_795_258_000,
        new: 1,
        changed: 2,
        gone: 3,
    };
    check("generation", &generation);
}

#[test]
fn what_is_known_of_a_tier_keeps_its_bytes() {
    // Promise: what was confirmed, owed and in doubt is still that after an upgrade.
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
    };
    check("tier", &tier);
    check("tier-untouched", &TierState::default());
    let content = TierState {
        etag: EtagKind::Content,
        ..TierState::default()
    };
    check("tier-content", &content);
    let intent = Intent {
        plan: RunId(RUN.into()),
        from: Generation(299),
        to: Generation(300),
    };
    check("intent", &intent);
    let debt = Debt {
        reason: "the service is busy".into(),
        attempts: 4,
        since: Generation(298),
    };
    check("debt", &debt);
    let written = Mark::Written {
        state: [0x33; 16],
        size: 70_000,
        etag: MD5.into(),
    };
    check("mark-written", &written);
    check("mark-deleted", &Mark::Deleted);
    check("etag", &MD5.to_owned());
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

#[test]
fn a_checkpoint_part_of_the_first_version_reads_as_it_was_written() {
    // Promise: any tier's checkpoint makes the manifest again, whichever version wrote it. The golden
    // part is read; what is written today unpacks to the same rows (the compressor may differ).
    let golden = golden_hex("tests/golden/checkpoint/part-v1.hex");
    let rows = vec![
        (url("https://www.example.org/"), page()),
        (url("https://www.example.org/old"), redirect()),
    ];
    let part = Part {
        name: ".standin/checkpoint/golden".into(),
        hash: ContentHash::of(&golden),
        bytes: golden.len() as u64,
        rows: 2,
    };
    let read = checkpoint::read_part(&part, &golden).unwrap();
    assert_eq!(read.len(), 2);
    let outcomes = |rows: &[(PageUrl, Entry)]| -> Vec<_> {
        rows.iter()
            .map(|(url, entry)| (url.clone(), entry.outcome.clone()))
            .collect()
    };
    assert_eq!(outcomes(&read), outcomes(&rows));
    assert_eq!(unpacked(&written_today(&rows)), unpacked(&golden));
}

/// The one part of a checkpoint of a fresh manifest with these outcomes.
fn written_today(rows: &[(PageUrl, Entry)]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(LayoutName::Plain, []);
    let manifest = Manifest::open(folder.path(), &layout, Fuse::none()).unwrap();
    let staged = rows.iter().map(|(url, entry)| {
        let staged = Staged::Outcome {
            outcome: entry.outcome.clone(),
            located: None,
        };
        Ok((url.clone(), staged))
    });
    manifest.commit(&RunId(RUN.into()), 0, staged).unwrap();
    let mut parts = Vec::new();
    let made = checkpoint::extend(&manifest, Checkpoint::default(), |_, bytes| {
        parts.push(bytes.to_vec());
        true
    });
    assert_eq!(made.unwrap().checkpoint.base.len(), 1);
    parts.pop().unwrap()
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
    };
    let head = Head {
        format: 1,
        lineage: "123456789".into(),
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
        },
    };
    let golden = fs::read_to_string(golden_path("tests/golden/head/head-v1.json")).unwrap();
    assert_eq!(
        String::from_utf8(head.encode().to_vec()).unwrap(),
        golden.trim_end()
    );
    assert_eq!(serde_json::from_str::<Head>(&golden).unwrap(), head);
}
