//! What others may know while a run is going, as small files that are replaced atomically: the database
//! belongs to the run alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::RunError;
use super::lock::{Holder, Lock};
use super::report::{HeldBack, RunReport, Verdict};
use crate::manifest::Generation;

const STATUS: &str = "status.json";
const REPORTS: &str = "runs";
const AUDITED: &str = "audited.json";

/// Reports kept; the oldest go first.
const REPORTS_KEPT: usize = 200;

/// Reports that are looked into for the last run of the whole site: between two of them there are few others.
const REPORTS_ASKED: usize = 20;

/// How a mirror stands, from the outside.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The process at work now, if any.
    pub running: Option<Holder>,
    /// Stage and report so far of the newest run.
    pub latest: Option<serde_json::Value>,
    /// The report of the newest finished run.
    pub finished: Option<serde_json::Value>,
    /// What audits and repairs have said since: for the tiers in it, how they stand now.
    pub audited: Option<serde_json::Value>,
}

/// What the last audit has said, and how it has left the tiers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Audited {
    /// RFC 3339.
    pub at: String,
    pub verdict: Verdict,
    pub reasons: Vec<String>,
    pub tiers: Vec<AuditedTier>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AuditedTier {
    pub name: String,
    pub watermark: Generation,
    pub verified: Option<Generation>,
    pub debts: u64,
}

#[derive(Serialize, Deserialize)]
struct Published {
    stage: String,
    report: serde_json::Value,
}

/// Replaces the status file.
pub(super) fn publish(state: &Path, report: &RunReport, stage: &str) -> Result<(), RunError> {
    let published = Published {
        stage: stage.to_owned(),
        report: serde_json::to_value(report).expect("a report always serialises"),
    };
    replace(
        &state.join(STATUS),
        &serde_json::to_vec(&published).expect("as above"),
    )
}

/// Keeps the report of a finished run.
pub(super) fn keep_report(state: &Path, report: &RunReport) -> Result<(), RunError> {
    let folder = state.join(REPORTS);
    fs::create_dir_all(&folder).map_err(failed(&folder))?;
    let text = serde_json::to_vec_pretty(report).expect("a report always serialises");
    replace(&folder.join(format!("{}.json", report.run_id)), &text)?;
    for old in reports_in(&folder)?.iter().rev().skip(REPORTS_KEPT) {
        fs::remove_file(old).map_err(failed(old))?;
    }
    match report.tiers.is_empty() {
        true => Ok(()),
        false => forget_audit(state),
    }
}

/// Keeps what an audit has said until a run says something newer of the tiers. Tiers that this one has left out stay as
/// an earlier one has left them.
pub(super) fn keep_audit(state: &Path, mut audited: Audited) -> Result<(), RunError> {
    let path = state.join(AUDITED);
    let earlier = fs::read(&path).ok();
    let earlier: Option<Audited> = earlier.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    for tier in earlier.into_iter().flat_map(|earlier| earlier.tiers) {
        if !audited.tiers.iter().any(|other| other.name == tier.name) {
            audited.tiers.push(tier);
        }
    }
    let bytes = serde_json::to_vec(&audited).expect("a plain record always serialises");
    replace(&path, &bytes)
}

fn forget_audit(state: &Path) -> Result<(), RunError> {
    let path = state.join(AUDITED);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&path)(error)),
        _ => Ok(()),
    }
}

/// How the mirror of a state directory stands. Reads only small files; works while a run is going.
///
/// # Errors
/// What the file system says.
pub fn read_status(state: &Path) -> Result<Status, RunError> {
    let running = Lock::holder(state).map_err(failed(&state.join("lock")))?;
    let folder = state.join(REPORTS);
    let newest = if folder.is_dir() {
        reports_in(&folder)?.pop()
    } else {
        None
    };
    let finished = newest.map(|path| read_json(&path)).transpose()?;
    Ok(Status {
        running,
        latest: read_json(&state.join(STATUS))?,
        finished: finished.flatten(),
        audited: read_json(&state.join(AUDITED))?,
    })
}

/// What the guards held back in the newest run that looked at the whole site; `None` where there was none of late, or
/// nothing was held back.
///
/// # Errors
/// What the file system says.
pub fn held_back(state: &Path) -> Result<Option<HeldBack>, RunError> {
    let folder = state.join(REPORTS);
    if !folder.is_dir() {
        return Ok(None);
    }
    for path in reports_in(&folder)?.iter().rev().take(REPORTS_ASKED) {
        let report = read_json(path)?.unwrap_or_default();
        let judged = serde_json::from_value(report["held_back"].clone());
        if let Ok(Some(judged)) = judged {
            let judged: HeldBack = judged;
            return Ok(Some(judged).filter(|judged| judged.changes > 0));
        }
    }
    Ok(None)
}

fn read_json(path: &Path) -> Result<Option<serde_json::Value>, RunError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path)(source)),
    }
}

/// The reports kept, the one written last at the end. Their names do not tell: a resumed run keeps the id
/// that it was begun under, and two runs may begin within a second.
fn reports_in(folder: &Path) -> Result<Vec<PathBuf>, RunError> {
    let mut reports = Vec::new();
    for file in fs::read_dir(folder).map_err(failed(folder))? {
        let path = file.map_err(failed(folder))?.path();
        let is_report = path.extension().is_some_and(|end| end == "json");
        // One that a run at work has removed in this moment was not the newest.
        let written = fs::metadata(&path).and_then(|about| about.modified());
        reports.extend(written.ok().filter(|_| is_report).map(|at| (at, path)));
    }
    reports.sort();
    Ok(reports.into_iter().map(|(_, path)| path).collect())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, bytes)
        .and_then(|()| fs::rename(&fresh, path))
        .map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RunError + '_ {
    |source| RunError::Io {
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::RunId;

    #[test]
    fn a_resumed_run_is_the_newest_although_its_id_is_older() {
        // Promise: `status` shows the run that finished last. A resumed run has the id of the killed one, so its
        // report sorts before those of runs that finished in between.
        let state = tempfile::tempdir().unwrap();
        for (id, age_s) in [("20261121T100500Z-1", 60), ("20261121T100000Z-2", 0)] {
            let report = RunReport::begin(RunId(id.into()), "run");
            keep_report(state.path(), &report).unwrap();
            let file = fs::File::open(state.path().join(format!("runs/{id}.json"))).unwrap();
            let written = std::time::SystemTime::now() - std::time::Duration::from_secs(age_s);
            file.set_modified(written).unwrap();
        }
        let finished = read_status(state.path()).unwrap().finished.unwrap();
        assert_eq!(finished["run_id"], "20261121T100000Z-2");
    }
}
