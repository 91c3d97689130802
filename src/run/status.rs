//! What others may know while a run is going, as small files that are replaced atomically: the database
//! belongs to the run alone.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RunError;
use super::lock::{Holder, Lock};
use super::report::RunReport;

const STATUS: &str = "status.json";
const REPORTS: &str = "runs";

/// Reports kept; the oldest go first.
const REPORTS_KEPT: usize = 200;

/// How a mirror stands, from the outside.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The process at work now, if any.
    pub running: Option<Holder>,
    /// Stage and report so far of the newest run.
    pub latest: Option<serde_json::Value>,
    /// The report of the newest finished run.
    pub finished: Option<serde_json::Value>,
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
    let mut names = names_in(&folder)?;
    names.sort();
    for old in names.iter().rev().skip(REPORTS_KEPT) {
        let path = folder.join(old);
        fs::remove_file(&path).map_err(failed(&path))?;
    }
    Ok(())
}

/// How the mirror of a state directory stands. Reads only small files; works while a run is going.
///
/// # Errors
/// What the file system says.
pub fn read_status(state: &Path) -> Result<Status, RunError> {
    let running = Lock::holder(state).map_err(failed(&state.join("lock")))?;
    let folder = state.join(REPORTS);
    let newest = if folder.is_dir() {
        names_in(&folder)?.into_iter().max()
    } else {
        None
    };
    let finished = newest
        .map(|name| read_json(&folder.join(name)))
        .transpose()?;
    Ok(Status {
        running,
        latest: read_json(&state.join(STATUS))?,
        finished: finished.flatten(),
    })
}

fn read_json(path: &Path) -> Result<Option<serde_json::Value>, RunError> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(path)(source)),
    }
}

fn names_in(folder: &Path) -> Result<Vec<String>, RunError> {
    let mut names = Vec::new();
    for file in fs::read_dir(folder).map_err(failed(folder))? {
        let name = file.map_err(failed(folder))?.file_name();
        names.extend(
            name.into_string()
                .ok()
                .filter(|name| name.ends_with(".json")),
        );
    }
    Ok(names)
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
