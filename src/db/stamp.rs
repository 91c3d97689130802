//! What tells a database on disk from the same one at another time, without opening it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Which files hold the log of a database: their names, sizes, inodes and times of change. sled writes to that log with
/// every flush and begins it anew with every open, and a copy that is put back has other inodes and times. So two equal
/// stamps mean that nobody has opened the database, written to it or put another in its place.
///
/// # Errors
/// What the file system says.
pub fn stamp(dir: &Path) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    for file in fs::read_dir(dir.join("metadata"))? {
        let file = file?;
        let about = file.metadata()?;
        lines.push(format!(
            "{} {} {} {}.{:09}",
            file.file_name().display(),
            about.size(),
            about.ino(),
            about.ctime(),
            about.ctime_nsec()
        ));
    }
    lines.sort_unstable();
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Batch, Db, Fuse};

    #[test]
    fn a_stamp_changes_with_every_open_and_every_flush_and_with_nothing_else() {
        // Promise: what was said of a database that has this stamp still holds.
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut stamps = Vec::new();
        for number in 0..3_u8 {
            let db = Db::open(dir, 1 << 20, Fuse::none()).unwrap();
            stamps.push(stamp(dir).unwrap());
            let mut batch = Batch::default();
            batch.put(b"a", &[number]);
            db.apply(batch).unwrap();
            db.flush().unwrap();
            let flushed = stamp(dir).unwrap();
            assert_eq!(db.get(b"a").unwrap().unwrap(), [number]);
            drop(db);
            assert_eq!(stamp(dir).unwrap(), flushed, "reading and closing");
            stamps.push(flushed);
        }
        for (index, one) in stamps.iter().enumerate() {
            assert!(!stamps[..index].contains(one), "{stamps:#?}");
        }
    }
}
