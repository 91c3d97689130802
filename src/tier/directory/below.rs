//! Ways below the root of a tier on which no symbolic link is followed, so that no key leads out of it: what lies behind
//! a link is not there for readers, and nothing is written or removed through one.
//!
//! The kernel does that in one step since Linux 5.6 (`openat2`). Where it does not, or a sandbox forbids it, every folder
//! on the way is opened from the one above it. The root itself may be a link: whoever configured it meant that.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::folder::is_absent;

/// What a folder on the way is opened as.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY);

/// A pipe that somebody has put there must not be waited for.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK);

/// Folders that are made take what the process's mask leaves of this.
const FOLDER_MODE: u32 = 0o777;

/// Set once the kernel has said that it has no `openat2`.
static GOES_STEP_BY_STEP: AtomicBool = AtomicBool::new(false);

/// Opens a regular file. `None` where there is none, or a link on the way.
pub(super) fn open_file(root: &Path, path: &str) -> io::Result<Option<File>> {
    match open(root, path, READ) {
        Ok(opened) => {
            let file = File::from(opened);
            Ok(file.metadata()?.is_file().then_some(file))
        }
        Err(error) if is_absent(&error) || is_link(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves a file from outside to a place whose folder is there.
pub(super) fn move_in(from: &Path, root: &Path, path: &str) -> io::Result<()> {
    let (folder, name) = folder_of(root, path)?;
    Ok(rustix::fs::renameat(CWD, from, folder, name)?)
}

/// Removes a file; says whether there was one.
pub(super) fn remove(root: &Path, path: &str) -> io::Result<bool> {
    let removed = folder_of(root, path).and_then(|(folder, name)| {
        rustix::fs::unlinkat(folder, name, AtFlags::empty()).map_err(io::Error::from)
    });
    match removed {
        Ok(()) => Ok(true),
        Err(error) if is_absent(&error) || is_link(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the root and all folders on the way to a path.
pub(super) fn make_folders(root: &Path, path: &str) -> io::Result<()> {
    fs::create_dir_all(root)?;
    for (slash, _) in path.match_indices('/') {
        let (above, name) = folder_of(root, &path[..slash])?;
        match rustix::fs::mkdirat(above, name, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) | Err(Errno::EXIST) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// True when a symbolic link stood in the way.
pub(super) fn is_link(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// The folder that a path lies in, and its name there.
fn folder_of<'a>(root: &Path, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
    Ok(match path.rsplit_once('/') {
        Some((above, name)) => (open(root, above, FOLDER)?, name),
        None => (open_root(root)?, path),
    })
}

fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        root,
        FOLDER | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn open(root: &Path, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let top = open_root(root)?;
    if !GOES_STEP_BY_STEP.load(Ordering::Relaxed) {
        match at_once(&top, path, flags) {
            // A filter of system calls that has never heard of it says that it is not permitted.
            Err(Errno::NOSYS | Errno::PERM) => GOES_STEP_BY_STEP.store(true, Ordering::Relaxed),
            opened => return Ok(opened?),
        }
    }
    Ok(step_by_step(top, path, flags)?)
}

fn at_once(top: &OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
    rustix::fs::openat2(top, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

fn step_by_step(top: OwnedFd, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut folder = top;
    let mut rest = path;
    while let Some((name, behind)) = rest.split_once('/') {
        folder = step(&folder, name, FOLDER)?;
        rest = behind;
    }
    step(&folder, rest, flags)
}

fn step(folder: &OwnedFd, name: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(folder, name, flags, Mode::empty());
    if opened.as_ref().err() == Some(&Errno::NOTDIR) {
        // A link is no folder either; told apart, since only one of them leads elsewhere.
        let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(found.st_mode).is_symlink() {
            return Err(Errno::LOOP);
        }
    }
    opened
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn both_ways_lead_to_the_same_and_never_through_a_link() {
        // Promise: with `openat2` and without it the same is opened, refused for a link, or said to be absent.
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        for folder in [&root.join("h/a"), &outside] {
            fs::create_dir_all(folder).unwrap();
        }
        for file in [root.join("h/a/file"), outside.join("file")] {
            fs::write(file, "x").unwrap();
        }
        symlink(&outside, root.join("h/out")).unwrap();
        symlink("a", root.join("h/in")).unwrap();
        symlink("a/file", root.join("h/name")).unwrap();
        let table = [
            ("h/a/file", READ, None),
            ("h/a", FOLDER, None),
            ("h/a/none", READ, Some(Errno::NOENT)),
            ("h/none/file", READ, Some(Errno::NOENT)),
            ("h/a/file/x", READ, Some(Errno::NOTDIR)),
            ("h/a/file", FOLDER, Some(Errno::NOTDIR)),
            ("h/out/file", READ, Some(Errno::LOOP)),
            ("h/out/none", READ, Some(Errno::LOOP)),
            ("h/out", FOLDER, Some(Errno::LOOP)),
            ("h/in/file", READ, Some(Errno::LOOP)),
            ("h/name", READ, Some(Errno::LOOP)),
        ];
        for (path, flags, expected) in table {
            let top = || open_root(&root).unwrap();
            let by_steps = step_by_step(top(), path, flags).err();
            assert_eq!(by_steps, expected, "{path}");
            match at_once(&top(), path, flags).err() {
                // Not on this machine.
                Some(Errno::NOSYS | Errno::PERM) => (),
                found => assert_eq!(found, expected, "{path}"),
            }
        }
    }

    #[test]
    fn nothing_is_made_moved_or_removed_through_a_link() {
        // Promise: what lies outside of the root stays as it was, and the link is named as what it is.
        let dir = tempfile::tempdir().unwrap();
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("h")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "x").unwrap();
        symlink(&outside, root.join("h/out")).unwrap();
        let scratch = dir.path().join("scratch");
        fs::write(&scratch, "y").unwrap();
        assert!(is_link(
            &move_in(&scratch, &root, "h/out/file").unwrap_err()
        ));
        assert!(is_link(&make_folders(&root, "h/out/b/c").unwrap_err()));
        assert!(!remove(&root, "h/out/file").unwrap());
        assert!(open_file(&root, "h/out/file").unwrap().is_none());
        assert_eq!(fs::read(outside.join("file")).unwrap(), b"x");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
        make_folders(&root, "h/in/b/c").unwrap();
        move_in(&scratch, &root, "h/in/b/c").unwrap();
        assert!(open_file(&root, "h/in/b/c").unwrap().is_some());
        assert!(remove(&root, "h/in/b/c").unwrap());
    }
}
