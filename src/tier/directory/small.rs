//! The small objects under `.standin/`: head and checkpoints. They are few and each matters, so
//! unlike bodies every write is synced on its own, and compared with what is expected under a
//! file lock that other processes respect.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::folder::{Folder, is_absent, move_making_folders, remove_if_there};
use super::walk::Walk;
use crate::content::ContentHash;
use crate::tier::{Expect, TierError};

/// What a directory tier itself keeps under `.standin/`.
const RESERVED: &[&str] = &["lock", "meta/", "overflow/", "tmp/"];

impl Folder {
    pub fn read_small(&self, name: &str) -> Result<Option<(Bytes, String)>, TierError> {
        let path = self.small_path(name)?;
        match fs::read(&path) {
            Ok(bytes) => {
                let etag = ContentHash::of(&bytes).to_string();
                Ok(Some((bytes.into(), etag)))
            }
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => self.checked(&path, Err(error)),
        }
    }

    pub fn write_small(
        &self,
        name: &str,
        bytes: &[u8],
        expect: Option<&Expect>,
    ) -> Result<String, TierError> {
        let path = self.small_path(name)?;
        let scratch = self.write_scratch(bytes)?;
        self.checked(
            &scratch.path,
            File::open(&scratch.path).and_then(|file| file.sync_all()),
        )?;
        let _lock = self.lock_small()?;
        let found = self.read_small(name)?.map(|(_, etag)| etag);
        let holds = match expect {
            None => true,
            Some(Expect::Absent) => found.is_none(),
            Some(Expect::Etag(etag)) => found.as_ref() == Some(etag),
        };
        if !holds {
            return Err(TierError::Precondition {
                tier: self.tier.clone(),
                at: name.into(),
            });
        }
        self.checked(&path, move_making_folders(scratch, &path))?;
        // The new name must survive a power loss too.
        self.checked(&path, sync_folder(&path))?;
        Ok(ContentHash::of(bytes).to_string())
    }

    pub fn delete_small(&self, name: &str) -> Result<(), TierError> {
        let path = self.small_path(name)?;
        let is_there = fs::exists(&path);
        if !self.checked(&path, is_there)? {
            return Ok(());
        }
        let _lock = self.lock_small()?;
        self.checked(&path, remove_if_there(&path))?;
        let top = self.root.join(".standin");
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != top) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }

    pub fn list_small(&self, prefix: &str) -> Result<Vec<(String, u64)>, TierError> {
        let walked = Walk::new(&self.root, ".standin/", "", RESERVED).and_then(Walk::all);
        let names = self.checked(&self.root, walked)?;
        let mut listed = Vec::new();
        for name in names.into_iter().filter(|name| name.starts_with(prefix)) {
            let path = self.root.join(&name);
            match fs::symlink_metadata(&path) {
                Ok(found) => listed.push((name, found.len())),
                Err(error) if is_absent(&error) => (),
                Err(error) => return self.checked(&path, Err(error)),
            }
        }
        Ok(listed)
    }

    fn small_path(&self, name: &str) -> Result<PathBuf, TierError> {
        let below = name.strip_prefix(".standin/").unwrap_or_default();
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        let is_reserved = |reserved: &&str| {
            below == *reserved || (reserved.ends_with('/') && below.starts_with(*reserved))
        };
        if below.split('/').all(is_plain) && !RESERVED.iter().any(is_reserved) {
            return Ok(self.root.join(name));
        }
        let cause =
            "small objects have plain names under .standin/ that the folder does not use itself";
        Err(TierError::Unsupported {
            tier: self.tier.clone(),
            at: name.into(),
            cause,
        })
    }

    /// Released when the file is closed, also by a kill.
    fn lock_small(&self) -> Result<File, TierError> {
        let path = self.root.join(".standin/lock");
        let opened = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let file = self.checked(&path, opened)?;
        self.checked(&path, file.lock())?;
        Ok(file)
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().expect("every path here lies below the root"))?.sync_all()
}
