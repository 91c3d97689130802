//! Promise: the rights that `config policy` prints are those that the job uses, in its buckets and under its
//! prefixes, and no others. The documents are compared with `tests/golden/policy/`; `UPDATE_GOLDEN=1` writes
//! them anew. The actions are held against the operations that the code of the S3 tier calls.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::support::binary::Mirror;

const SITE: &str = "[site]\nseeds = [\"https://www.example.org/\"]\n";

const TIERS: &str = r#"
[[tier]]
name = "primary"
url = "s3://example-mirror/www"
region = "eu-west-2"
sse = "aws:kms"
kms_key_id = "alias/mirror"

[[tier]]
name = "replica-2"
url = "s3://example-replica"
acl = "bucket-owner-full-control"

[[tier]]
name = "tertiary"
url = "gs://example-third/www"

[[tier]]
name = "local"
url = "file:tiers/local"
"#;

/// What each operation of S3 asks of a policy. From the service's reference.
const NEEDS: &[(&str, &[&str])] = &[
    ("put_object", &["s3:PutObject"]),
    ("copy_object", &["s3:GetObject", "s3:PutObject"]),
    ("get_object", &["s3:GetObject"]),
    ("head_object", &["s3:GetObject"]),
    ("delete_object", &["s3:DeleteObject"]),
    ("delete_objects", &["s3:DeleteObject"]),
    ("list_objects_v2", &["s3:ListBucket"]),
    ("list_object_versions", &["s3:ListBucketVersions"]),
    ("head_bucket", &["s3:ListBucket"]),
    ("create_multipart_upload", &["s3:PutObject"]),
    ("upload_part", &["s3:PutObject"]),
    ("upload_part_copy", &["s3:GetObject", "s3:PutObject"]),
    ("complete_multipart_upload", &["s3:PutObject"]),
    ("abort_multipart_upload", &["s3:AbortMultipartUpload"]),
    ("list_multipart_uploads", &["s3:ListBucketMultipartUploads"]),
    ("list_parts", &["s3:ListMultipartUploadParts"]),
    ("get_bucket_versioning", &["s3:GetBucketVersioning"]),
    (
        "get_object_lock_configuration",
        &["s3:GetBucketObjectLockConfiguration"],
    ),
    ("get_bucket_location", &["s3:GetBucketLocation"]),
    (
        "get_object_attributes",
        &["s3:GetObject", "s3:GetObjectAttributes"],
    ),
    ("get_object_tagging", &["s3:GetObjectTagging"]),
    ("put_object_tagging", &["s3:PutObjectTagging"]),
    ("put_object_acl", &["s3:PutObjectAcl"]),
    ("restore_object", &["s3:RestoreObject"]),
];

/// Granted for settings that are asked for where the service answers, whether this version asks or not.
const MAY_BE_ASKED: &[&str] = &[
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
];

#[test]
fn the_documents_are_the_ones_we_meant() {
    let mirror = Mirror::new(&format!("{SITE}{TIERS}"));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/policy");
    for (name, arguments) in [
        ("aws.json", &["config", "policy", "--for", "aws"][..]),
        (
            "aws-replica.json",
            &["config", "policy", "--for", "aws", "--tier", "replica-2"],
        ),
        ("gcp.txt", &["config", "policy", "--for", "gcp"]),
    ] {
        let printed = mirror.run(arguments).expect(0).stdout;
        let file = golden.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(&golden).expect("the source tree can be written");
            fs::write(&file, &printed).expect("the source tree can be written");
        }
        let expected = fs::read_to_string(&file).expect("UPDATE_GOLDEN=1 writes it");
        assert!(
            printed == expected,
            "UPDATE_GOLDEN=1 writes {name} anew; now it is:\n{printed}"
        );
    }
}

#[test]
fn no_bucket_there_is_bad_usage() {
    let mirror = Mirror::new(&format!(
        "{SITE}[[tier]]\nname = \"a\"\nurl = \"file:tiers/a\"\n"
    ));
    for provider in ["aws", "gcp"] {
        let refused = mirror
            .run(&["config", "policy", "--for", provider])
            .expect(64);
        assert!(refused.stderr.contains("nothing to grant"), "{refused:?}");
    }
}

#[test]
fn the_actions_are_those_that_the_code_calls() {
    // Every call is in the table above, what it needs is granted, and nothing is granted that no call needs.
    let mirror = Mirror::new(&format!("{SITE}{TIERS}"));
    let document = mirror
        .run(&[
            "config", "policy", "--for", "aws", "--tier", "primary", "--json",
        ])
        .expect(0)
        .json();
    let statements = document["policy"]["Statement"]
        .as_array()
        .expect("a list")
        .clone();
    let granted: BTreeSet<String> = statements
        .iter()
        .flat_map(|statement| statement["Action"].as_array().expect("a list").clone())
        .map(|action| action.as_str().expect("a name").to_owned())
        .filter(|action| action.starts_with("s3:"))
        .collect();

    let needs: BTreeMap<&str, &[&str]> = NEEDS.iter().copied().collect();
    let mut used = BTreeSet::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tier/s3");
    let mut calls = 0;
    for file in fs::read_dir(folder).expect("the source is there") {
        let code = fs::read_to_string(file.expect("readable").path()).expect("text");
        // A call of the client's, on the same line or the next.
        let joined: String = code.split_whitespace().collect();
        for (at, _) in joined.match_indices("client.") {
            let rest = &joined[at + "client.".len()..];
            let name: String = rest
                .chars()
                .take_while(|letter| {
                    letter.is_ascii_lowercase() || *letter == '_' || *letter == '2'
                })
                .collect();
            if !rest[name.len()..].starts_with("()") || name == "clone" {
                continue;
            }
            calls += 1;
            let needed = needs.get(name.as_str());
            let needed = needed.unwrap_or_else(|| panic!("what does `{name}` need? Say so above"));
            used.extend(needed.iter().map(|action| (*action).to_owned()));
        }
    }
    assert!(calls >= 10, "only {calls} calls were found");
    let missing: Vec<_> = used.difference(&granted).collect();
    assert!(missing.is_empty(), "used and not granted: {missing:?}");
    let idle: Vec<_> = granted
        .difference(&used)
        .filter(|action| !MAY_BE_ASKED.contains(&action.as_str()))
        .collect();
    assert!(idle.is_empty(), "granted and not used: {idle:?}");
}
