//! One run at a time per state directory. The lock is the operating system's, so that it ends with its
//! process however that ends; beside it stands who holds it.

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::RunError;
use crate::manifest::RunId;

/// How long somebody is waited for who holds the lock without a name.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who holds a lock, and since when.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub pid: u32,
    pub verb: String,
    pub run_id: String,
    /// RFC 3339, in UTC.
    pub since: String,
    /// The lock, for the message.
    #[serde(skip)]
    pub file: PathBuf,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if self.pid == 0 {
            return write!(f, "{file} is held by another process; wait for it to end");
        }
        write!(
            f,
            "{file} is held by `standin {}` (process {}) since {}; wait for it to end",
            self.verb, self.pid, self.since
        )
    }
}

/// The held lock; released on drop.
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of a state directory, creating the directory if need be.
    ///
    /// # Errors
    /// [`RunError::Locked`] with the holder, or what the file system says.
    pub fn acquire(state: &Path, verb: &str, run: &RunId) -> Result<Lock, RunError> {
        let path = state.join("lock");
        let failed = |source| RunError::Io {
            path: path.clone(),
            source,
        };
        fs::create_dir_all(state).map_err(|source| RunError::Io {
            path: state.into(),
            source,
        })?;
        let mut file = open(&path).map_err(failed)?;
        let begun = Instant::now();
        while let Err(refused) = file.try_lock() {
            let TryLockError::WouldBlock = refused else {
                return Err(failed(refused.into()));
            };
            let holder = holder_in(&file, path.clone());
            // Without a name it is somebody who begins or ends at this moment.
            if holder.pid != 0 || begun.elapsed() > PATIENCE {
                return Err(RunError::Locked(holder));
            }
            std::thread::sleep(PATIENCE / 50);
        }
        let holder = Holder {
            pid: std::process::id(),
            verb: verb.to_owned(),
            run_id: run.to_string(),
            since: super::report::rfc3339(super::now()),
            file: path.clone(),
        };
        let text = serde_json::to_vec(&holder).expect("a plain record always serialises");
        file.set_len(0)
            .and_then(|()| file.write_all(&text))
            .map_err(failed)?;
        Ok(Lock { file })
    }

    /// Who holds the lock of a state directory now, if anybody does.
    ///
    /// # Errors
    /// What the file system says.
    pub fn holder(state: &Path) -> io::Result<Option<Holder>> {
        let path = state.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(holder_in(&file, path))),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file says that nobody is at work; the lock itself ends with the handle.
        if let Err(error) = self.file.set_len(0) {
            tracing::debug!(%error, "the lock file keeps its text");
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// The text beside the lock. A holder that has not written it yet is nobody we can name.
fn holder_in(mut file: &File, path: PathBuf) -> Holder {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let mut holder: Holder = match read {
        Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
        Err(_) => Holder::default(),
    };
    holder.file = path;
    holder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_the_lock_and_since_when() {
        // Promise: two runs at once never happen, and the second one's message is of use.
        let dir = tempfile::tempdir().unwrap();
        let run = RunId("r1".into());
        let first = Lock::acquire(dir.path(), "run", &run).unwrap();
        let Err(RunError::Locked(holder)) = Lock::acquire(dir.path(), "sync", &run) else {
            panic!("the lock was given twice");
        };
        assert_eq!(
            (holder.pid, holder.verb.as_str()),
            (std::process::id(), "run")
        );
        assert!(
            holder
                .to_string()
                .contains(&format!("since {}", holder.since))
        );
        drop(first);
        assert_eq!(Lock::holder(dir.path()).unwrap(), None);
        assert!(Lock::acquire(dir.path(), "sync", &run).is_ok());
    }
}
