//! `standin config policy`: the least rights that the job needs, made from the configured tiers, so that
//! nobody has to guess them or to grant all of `s3:*`.
//!
//! Two things in them look odd and are not. A condition on `s3:prefix` is written `…IfExists`: S3 answers
//! "not found" for a missing object only to who may list, and that question has no prefix; with the strict
//! form every missing object would look forbidden. And a condition on Google's listings needs an attribute
//! of its own, since a listing is a request about the bucket.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::{Value, json};

use super::Outcome;
use super::args::{Args, Provider};
use crate::config::{self, Config, S3Options, TierConfig, TierName, TierTarget};
use crate::run::RunError;

/// On objects under the tier's prefix. Heads are gets, copies are gets and puts, parts are puts.
const S3_OBJECT_ACTIONS: [&str; 4] = [
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
];

/// On the bucket: uploads that were cut short are looked for, and what becomes of old versions.
const S3_BUCKET_ACTIONS: [&str; 3] = [
    "s3:ListBucketMultipartUploads",
    "s3:GetBucketVersioning",
    "s3:GetBucketObjectLockConfiguration",
];

/// Replacing an object is a delete and a create there; its metadata, an update.
const GCS_PERMISSIONS: [&str; 5] = [
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.update",
];

pub fn main(args: &Args, provider: Provider, tier: Option<&str>) -> anyhow::Result<Outcome> {
    let config = config::load(args.config.as_deref())?;
    let tiers = wanted(&config, tier)?;
    Ok(match provider {
        Provider::Aws => aws(&tiers)?,
        Provider::Gcp => gcp(&tiers)?,
    })
}

fn wanted<'a>(config: &'a Config, tier: Option<&str>) -> Result<Vec<&'a TierConfig>, RunError> {
    let Some(name) = tier else {
        return Ok(config.tiers.iter().collect());
    };
    let name = TierName::parse(name);
    let name = name.map_err(|error| RunError::Config(format!("--tier: {error}")))?;
    Ok(vec![config.tier(&name).map_err(RunError::Config)?])
}

fn aws(tiers: &[&TierConfig]) -> anyhow::Result<Outcome> {
    let mut statements = Vec::new();
    let mut labels = BTreeSet::new();
    for tier in tiers {
        if let TierTarget::S3(options) = &tier.target {
            statements.extend(s3_statements(&label(&tier.name, &mut labels), options));
        }
    }
    if statements.is_empty() {
        let why =
            "no tier here is an S3 bucket (url = \"s3://…\"), so there is nothing to grant at AWS";
        return Err(RunError::Config(why.into()).into());
    }
    let policy = json!({ "Version": "2012-10-17", "Statement": statements });
    Ok(Outcome {
        code: 0,
        text: format!("{}\n", serde_json::to_string_pretty(&policy)?),
        json: json!({ "provider": "aws", "policy": policy }),
    })
}

fn s3_statements(label: &str, options: &S3Options) -> Vec<Value> {
    let bucket = format!("arn:{}:s3:::{}", partition(options), options.bucket);
    let mut list = json!({
        "Sid": format!("{label}List"),
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [bucket],
    });
    let objects = match options.prefix.as_str() {
        "" => format!("{bucket}/*"),
        prefix => {
            list["Condition"] =
                json!({ "StringLikeIfExists": { "s3:prefix": [format!("{prefix}/*")] } });
            format!("{bucket}/{prefix}/*")
        }
    };
    let mut actions = S3_OBJECT_ACTIONS.to_vec();
    if options.acl.is_some() {
        actions.push("s3:PutObjectAcl");
    }
    let mut statements = vec![
        list,
        json!({
            "Sid": format!("{label}Bucket"),
            "Effect": "Allow",
            "Action": S3_BUCKET_ACTIONS,
            "Resource": [bucket],
        }),
        json!({
            "Sid": format!("{label}Objects"),
            "Effect": "Allow",
            "Action": actions,
            "Resource": [objects],
        }),
    ];
    statements.extend(kms_statement(label, options));
    statements
}

/// For a key of the customer's. Without one KMS uses the account's own key for S3, whose policy lets
/// everybody use it who may use the bucket.
fn kms_statement(label: &str, options: &S3Options) -> Option<Value> {
    let uses_kms = options
        .sse
        .as_deref()
        .is_some_and(|sse| sse.starts_with("aws:kms"));
    let key = options.kms_key_id.as_deref().filter(|_| uses_kms)?;
    let region = options.region.as_deref();
    let mut conditions = serde_json::Map::new();
    if let Some(region) = region {
        conditions.insert(
            "StringEquals".into(),
            json!({ "kms:ViaService": format!("s3.{region}.amazonaws.com") }),
        );
    }
    let resource = match key.rfind("alias/") {
        // A policy cannot name an alias as a resource.
        Some(at) => {
            conditions.insert(
                "ForAnyValue:StringEquals".into(),
                json!({ "kms:ResourceAliases": [&key[at..]] }),
            );
            "*".to_owned()
        }
        None if key.starts_with("arn:") => key.to_owned(),
        None => {
            let region = region.unwrap_or("*");
            format!("arn:{}:kms:{region}:*:key/{key}", partition(options))
        }
    };
    let mut statement = json!({
        "Sid": format!("{label}Key"),
        "Effect": "Allow",
        "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
        "Resource": [resource],
    });
    if !conditions.is_empty() {
        statement["Condition"] = Value::Object(conditions);
    }
    Some(statement)
}

/// Which of Amazon's clouds a region belongs to.
fn partition(options: &S3Options) -> &'static str {
    match options.region.as_deref() {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// A tier's name as the beginning of a statement's, which may hold letters and digits only.
fn label(name: &TierName, taken: &mut BTreeSet<String>) -> String {
    let mut label = String::new();
    for part in name
        .as_str()
        .split(|letter: char| !letter.is_ascii_alphanumeric())
    {
        let mut letters = part.chars();
        label.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        label.push_str(letters.as_str());
    }
    while !taken.insert(label.clone()) {
        label.push('X');
    }
    label
}

fn gcp(tiers: &[&TierConfig]) -> anyhow::Result<Outcome> {
    let places: Vec<(&str, &str)> = tiers
        .iter()
        .filter_map(|tier| match &tier.target {
            TierTarget::Gcs(options) => Some((options.bucket.as_str(), options.prefix.as_str())),
            _ => None,
        })
        .collect();
    if places.is_empty() {
        let why = "no tier here is a Google bucket (url = \"gs://…\"), so there is nothing to grant there";
        return Err(RunError::Config(why.into()).into());
    }
    let mut text = String::from(
        "# Set these two first. Buckets need uniform bucket-level access for conditions.\n\
         PROJECT=your-project\n\
         MEMBER=serviceAccount:standin@your-project.iam.gserviceaccount.com\n\n",
    );
    let mut commands = vec![
        role_command(
            "standinMirror",
            "Standin: objects of a mirror",
            &GCS_PERMISSIONS,
        ),
        role_command(
            "standinBucket",
            "Standin: settings of a bucket",
            &["storage.buckets.get"],
        ),
    ];
    let mut bindings = Vec::new();
    for (bucket, prefix) in places {
        let condition = condition(bucket, prefix);
        commands.push(binding_command(
            bucket,
            "standinMirror",
            condition.as_deref(),
        ));
        // Optional: without it nobody knows whether old versions are kept.
        commands.push(binding_command(bucket, "standinBucket", None));
        bindings.push(json!({ "bucket": bucket, "role": "standinMirror", "condition": condition }));
        bindings.push(json!({ "bucket": bucket, "role": "standinBucket", "condition": null }));
    }
    for command in &commands {
        writeln!(text, "{command}")?;
    }
    Ok(Outcome {
        code: 0,
        text,
        json: json!({
            "provider": "gcp",
            "roles": [
                { "id": "standinMirror", "permissions": GCS_PERMISSIONS },
                { "id": "standinBucket", "permissions": ["storage.buckets.get"] },
            ],
            "bindings": bindings,
            "commands": commands,
        }),
    })
}

/// Objects under the prefix, and listings of it.
fn condition(bucket: &str, prefix: &str) -> Option<String> {
    (!prefix.is_empty()).then(|| {
        format!(
            "resource.name.startsWith(\"projects/_/buckets/{bucket}/objects/{prefix}/\") || \
             api.getAttribute(\"storage.googleapis.com/objectListPrefix\", \"\").startsWith(\"{prefix}/\")"
        )
    })
}

fn role_command(id: &str, title: &str, permissions: &[&str]) -> String {
    format!(
        "gcloud iam roles create {id} --project=\"$PROJECT\" --title=\"{title}\" --permissions={}",
        permissions.join(",")
    )
}

fn binding_command(bucket: &str, role: &str, condition: Option<&str>) -> String {
    // In a file's place, since an expression holds commas, which separate the fields of the short form.
    let condition = match condition {
        None => "--condition=None".to_owned(),
        Some(expression) => format!(
            "--condition-from-file=<(printf '%s' '{}')",
            json!({ "title": "standin prefix", "expression": expression })
        ),
    };
    format!(
        "gcloud storage buckets add-iam-policy-binding gs://{bucket} --member=\"$MEMBER\" --role=\"projects/$PROJECT/roles/{role}\" {condition}"
    )
}
