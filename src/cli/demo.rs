//! `standin demo`: the whole cycle on a bundled site, offline.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::Args;
use super::{EXIT_FAILED, Outcome, render, run};
use crate::demo::{self, Edit, EditKind, Story};
use crate::run::{RunReport, Stages, Verdict};

pub async fn main(args: &Args, dir: Option<&Path>, keep: bool) -> anyhow::Result<Outcome> {
    let folder = Folder::make(dir, keep)?;
    let story = Story::begin(&folder.path)
        .await
        .context("serving the demo site on a loopback port")?;
    let (pages, bytes) = story.size();
    let first = run::watched(args, story.config(), Stages::All, "demo").await?;
    let edits = story.edit();
    let second = run::watched(args, story.config(), Stages::All, "demo").await?;
    story.end().await;
    let differences = demo::differences(&edits, &second);
    let good =
        differences.is_empty() && first.verdict == Verdict::Ok && second.verdict == Verdict::Ok;
    let mut text = format!(
        "A small ministry's web site ({pages} pages, {}) is served on a loopback port and mirrored\ninto three tiers.\n\n",
        render::bytes(bytes)
    );
    text.push_str(&render::report(&first));
    text.push_str(&told(&edits));
    text.push_str(&render::report(&second));
    text.push_str("\nWhat the second run found, and put into every tier:\n");
    text.push_str(&render::changes(&second.changes));
    text.push_str(&ending(&differences, &edits, &second));
    if folder.kept {
        text.push_str(&format!(
            "The tiers are in {}\n",
            folder.path.join("tiers").display()
        ));
    }
    let mut json = serde_json::json!({
        "first": first,
        "edits": edits.iter().map(|edit| serde_json::json!({
            "path": edit.path, "what": kind(edit.what), "note": edit.note,
        })).collect::<Vec<_>>(),
        "second": second,
        "differences": differences,
    });
    if !good {
        json["error"] = serde_json::json!("the second run did not find exactly the edits");
    }
    Ok(Outcome {
        code: if good { 0 } else { EXIT_FAILED },
        text,
        json,
    })
}

fn told(edits: &[Edit]) -> String {
    let mut text = format!(
        "\nNow the site is edited; {} addresses answer otherwise:\n",
        edits.len()
    );
    for edit in edits.iter().filter(|edit| !edit.note.is_empty()) {
        text.push_str(&format!(
            "  {:<9} {}  {}\n",
            kind(edit.what),
            edit.path,
            edit.note
        ));
    }
    text.push('\n');
    text
}

fn ending(differences: &[String], edits: &[Edit], second: &RunReport) -> String {
    if differences.is_empty() {
        let sent: u64 = second.tiers.iter().map(|tier| tier.bytes).sum();
        return format!(
            "\nExactly the {} edits and nothing else; {} sent in all, every object proven by the tiers' listings.\n",
            edits.len(),
            render::bytes(sent)
        );
    }
    let mut text = String::from("\nThe delta is NOT exact:\n");
    for difference in differences {
        text.push_str(&format!("  {difference}\n"));
    }
    text
}

fn kind(kind: EditKind) -> &'static str {
    match kind {
        EditKind::Edited => "edited",
        EditKind::SameSize => "same size",
        EditKind::Added => "added",
        EditKind::Withdrawn => "withdrawn",
    }
}

/// Where the demo works; removed afterwards unless somebody wants to look at it.
struct Folder {
    path: PathBuf,
    kept: bool,
}

impl Folder {
    fn make(dir: Option<&Path>, keep: bool) -> anyhow::Result<Folder> {
        let path = dir.map_or_else(
            || std::env::temp_dir().join(format!("standin-demo-{}", std::process::id())),
            Path::to_path_buf,
        );
        if path.join("state").exists() {
            anyhow::bail!(
                "{} holds a demo already; remove it or name another folder",
                path.display()
            );
        }
        std::fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        let kept = keep || dir.is_some();
        Ok(Folder { path, kept })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, folder = %self.path.display(), "the demo's folder stays");
        }
    }
}
