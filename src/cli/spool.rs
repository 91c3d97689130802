//! A long answer until it is whole: the first of it in memory, what is more in a file without a name. Whoever answers
//! can let go of the lock and the database then, and a reader that takes its time (`| less`) holds up nobody.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;

/// What waits in memory. Most plans are shorter, and those have no file.
const IN_MEMORY_MAX: usize = 1 << 16;

pub struct Spool {
    /// Where the file is made, and has its name for a moment.
    place: PathBuf,
    file: Option<File>,
    /// What comes after the file's bytes.
    memory: Vec<u8>,
}

impl Spool {
    /// An empty one; `place` must be nobody else's.
    pub fn new(place: PathBuf) -> Spool {
        Spool {
            place,
            file: None,
            memory: Vec::new(),
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// What `out` or the file says.
    pub fn pour(mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.rewind()?;
            let mut piece = vec![0; IN_MEMORY_MAX];
            loop {
                match file.read(&mut piece)? {
                    0 => break,
                    length => out.write_all(&piece[..length])?,
                }
            }
        }
        out.write_all(&self.memory)
    }

    fn file(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut options = File::options();
            let options = options.read(true).write(true).create(true).truncate(true);
            let file = options.open(&self.place)?;
            // However this process ends, nothing is left to be tidied up.
            fs::remove_file(&self.place)?;
            self.file = Some(file);
        }
        Ok(self.file.as_mut().expect("it was made above"))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.memory.len() + bytes.len() > IN_MEMORY_MAX {
            let memory = std::mem::take(&mut self.memory);
            self.file()?.write_all(&memory)?;
            self.memory = memory;
            self.memory.clear();
        }
        let taken = bytes.len().min(IN_MEMORY_MAX);
        self.memory.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_and_leaves_no_file() {
        // Promise: an answer of any length comes out as it went in; memory is bounded, and only a long one has a file,
        // which nobody has to tidy up.
        for (lines, tail, has_file) in [
            (0, 0, false),
            (100, 9, false),
            (50_000, 3 * IN_MEMORY_MAX, true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let mut spool = Spool::new(dir.path().join("spool"));
            let mut expected = String::new();
            for line in 0..lines {
                writeln!(spool, "line {line}").unwrap();
                expected += &format!("line {line}\n");
            }
            let long = "x".repeat(tail);
            spool.write_all(long.as_bytes()).unwrap();
            expected += &long;
            assert!(spool.memory.len() <= IN_MEMORY_MAX);
            assert_eq!(spool.file.is_some(), has_file);
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
            let mut out = Vec::new();
            spool.pour(&mut out).unwrap();
            assert!(out == expected.as_bytes());
        }
    }
}
