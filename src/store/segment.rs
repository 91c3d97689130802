//! The segment files of one store: appending groups, reading frames, finding the end.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, SEGMENT_HEADER};
use super::{Located, NewBlob, Place, StoreError, io_error};
use crate::content::Digest;

/// A segment is closed at this size: small enough to be compacted in one go, large enough that a
/// site of half a terabyte needs only some thousand files.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Pieces in one call: what Linux takes at most.
const PIECES_MAX: usize = 1024;

pub struct Segments {
    dir: PathBuf,
    numbers: BTreeSet<u32>,
    active: Option<Active>,
    /// The last one that was read: blobs are asked for much in the order in which they came.
    read_last: Mutex<Option<(u32, Arc<File>)>>,
}

struct Active {
    number: u32,
    file: File,
    end: u64,
}

impl Segments {
    pub fn open(dir: &Path) -> Result<Segments, StoreError> {
        let mut segments = Segments {
            dir: dir.into(),
            numbers: numbers_in(dir)?,
            active: None,
            read_last: Mutex::default(),
        };
        if let Some(&newest) = segments.numbers.last() {
            segments.active = segments.reopen(newest)?;
        }
        Ok(segments)
    }

    pub fn append(&mut self, group: &[NewBlob<'_>]) -> Result<Vec<Located>, StoreError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let active = self.writable()?;
        let path = segment_path(&self.dir, active.number);
        let active = self.active.insert(active);
        let headers: Vec<_> = group
            .iter()
            .map(|blob| FrameHeader::plain(blob.digest).encode())
            .collect();
        let mut located = Vec::with_capacity(group.len());
        let mut pieces = Vec::with_capacity(2 * group.len());
        let mut end = active.end;
        for (blob, header) in group.iter().zip(&headers) {
            located.push(Located {
                digest: blob.digest,
                place: Place::Segment {
                    number: active.number,
                    offset: end + header.len() as u64,
                },
            });
            let whole = [&header[..], blob.bytes];
            pieces.extend(
                whole
                    .into_iter()
                    .filter(|piece| !piece.is_empty())
                    .map(IoSlice::new),
            );
            end += (header.len() + blob.bytes.len()) as u64;
        }
        // A failed write leaves a torn end behind `end`; the next group overwrites it.
        write_all_at(&active.file, &mut pieces, active.end)
            .and_then(|()| active.file.sync_data())
            .map_err(io_error(&path))?;
        active.end = end;
        Ok(located)
    }

    pub fn read(&self, located: &Located) -> Result<Vec<u8>, StoreError> {
        let Place::Segment { number, offset } = located.place else {
            unreachable!("the store reads files itself");
        };
        let path = segment_path(&self.dir, number);
        let size = usize::try_from(located.digest.size).expect("a segment fits into memory");
        let mut bytes = vec![0; size];
        let read = match &self.active {
            Some(active) if active.number == number => {
                active.file.read_exact_at(&mut bytes, offset)
            }
            _ => self
                .opened(number, &path)
                .and_then(|file| file.read_exact_at(&mut bytes, offset)),
        };
        read.map_err(io_error(&path))?;
        Ok(bytes)
    }

    fn opened(&self, number: u32, path: &Path) -> io::Result<Arc<File>> {
        let mut last = self.read_last.lock().expect("opening does not panic");
        if let Some((_, file)) = last.as_ref().filter(|(opened, _)| *opened == number) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(path)?);
        *last = Some((number, Arc::clone(&file)));
        Ok(file)
    }

    pub fn scan(&self) -> Result<Vec<Located>, StoreError> {
        let mut all = Vec::new();
        for &number in &self.numbers {
            all.extend(self.scan_one(number)?);
        }
        Ok(all)
    }

    pub fn scan_one(&self, number: u32) -> Result<Vec<Located>, StoreError> {
        let path = segment_path(&self.dir, number);
        let file = File::open(&path).map_err(io_error(&path))?;
        let mut found = Vec::new();
        frames(&file, &path, |offset, header| {
            found.push(Located {
                digest: header.digest,
                place: Place::Segment { number, offset },
            });
        })?;
        Ok(found)
    }

    pub fn lengths(&self) -> Result<Vec<(u32, u64)>, StoreError> {
        let mut lengths = Vec::new();
        for &number in &self.numbers {
            let path = segment_path(&self.dir, number);
            let metadata = fs::metadata(&path).map_err(io_error(&path))?;
            lengths.push((number, metadata.len()));
        }
        Ok(lengths)
    }

    /// Whether the frame that is said to be there is, whole.
    pub fn holds(&self, number: u32, offset: u64, digest: &Digest) -> bool {
        let path = segment_path(&self.dir, number);
        let look = || -> io::Result<bool> {
            let file = self.opened(number, &path)?;
            let mut header = [0; FRAME_HEADER_BYTES];
            let at = offset.saturating_sub(FRAME_HEADER_BYTES as u64);
            file.read_exact_at(&mut header, at)?;
            let is_it = FrameHeader::decode(&header).is_some_and(|frame| frame.digest == *digest);
            Ok(is_it && file.metadata()?.len() >= offset + digest.size)
        };
        look().unwrap_or(false)
    }

    pub fn close(&mut self) {
        self.active = None;
    }

    pub fn remove(&mut self, number: u32) -> Result<(), StoreError> {
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.number == number)
        {
            self.active = None;
        }
        self.read_last = Mutex::default();
        let path = segment_path(&self.dir, number);
        fs::remove_file(&path).map_err(io_error(&path))?;
        self.numbers.remove(&number);
        Ok(())
    }

    pub fn clear(&mut self) -> Result<(), StoreError> {
        self.active = None;
        self.read_last = Mutex::default();
        for &number in &self.numbers {
            let path = segment_path(&self.dir, number);
            fs::remove_file(&path).map_err(io_error(&path))?;
        }
        self.numbers.clear();
        Ok(())
    }

    /// The active segment, or a new one when there is none or it is full.
    fn writable(&mut self) -> Result<Active, StoreError> {
        match self.active.take() {
            Some(active) if active.end < SEGMENT_BYTES_MAX => Ok(active),
            _ => self.create(),
        }
    }

    fn create(&mut self) -> Result<Active, StoreError> {
        let number = self.numbers.last().map_or(1, |newest| newest + 1);
        let path = segment_path(&self.dir, number);
        let create = || -> io::Result<File> {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?;
            file.write_all(&SEGMENT_HEADER)?;
            file.sync_all()?;
            // The name of the file must survive as well as its bytes.
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        };
        let file = create().map_err(io_error(&path))?;
        self.numbers.insert(number);
        Ok(Active {
            number,
            file,
            end: SEGMENT_HEADER.len() as u64,
        })
    }

    /// Opens the newest segment for appending behind its last whole frame. One that is shorter than
    /// its header was torn at birth: it holds nothing and is made again.
    fn reopen(&mut self, number: u32) -> Result<Option<Active>, StoreError> {
        let path = segment_path(&self.dir, number);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io_error(&path))?;
        let length = file.metadata().map_err(io_error(&path))?.len();
        if length < SEGMENT_HEADER.len() as u64 {
            fs::remove_file(&path).map_err(io_error(&path))?;
            self.numbers.remove(&number);
            return Ok(None);
        }
        let end = frames(&file, &path, |_, _| ())?;
        file.set_len(end).map_err(io_error(&path))?;
        Ok(Some(Active { number, file, end }))
    }
}

/// Calls `each` with the offset of the body and the header of every whole frame; returns where the
/// last one ends.
fn frames(
    file: &File,
    path: &Path,
    mut each: impl FnMut(u64, FrameHeader),
) -> Result<u64, StoreError> {
    let length = file.metadata().map_err(io_error(path))?.len();
    let mut head = [0; SEGMENT_HEADER.len()];
    file.read_exact_at(&mut head, 0).map_err(io_error(path))?;
    if head != SEGMENT_HEADER {
        return Err(StoreError::Format { path: path.into() });
    }
    let mut end = SEGMENT_HEADER.len() as u64;
    let mut bytes = [0; FRAME_HEADER_BYTES];
    while end + FRAME_HEADER_BYTES as u64 <= length {
        file.read_exact_at(&mut bytes, end)
            .map_err(io_error(path))?;
        let Some(header) = FrameHeader::decode(&bytes) else {
            break;
        };
        let body = end + FRAME_HEADER_BYTES as u64;
        match body.checked_add(header.stored) {
            Some(next) if next <= length => end = next,
            _ => break,
        }
        each(body, header);
    }
    Ok(end)
}

fn numbers_in(dir: &Path) -> Result<BTreeSet<u32>, StoreError> {
    let mut numbers = BTreeSet::new();
    for file in fs::read_dir(dir).map_err(io_error(dir))? {
        let name = file.map_err(io_error(dir))?.file_name();
        let number: Option<u32> = name
            .to_str()
            .and_then(|name| name.strip_suffix(".seg"))
            .and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:08}.seg"))
}

/// Writes pieces one behind the other, none of them empty. Straight from where they are: in one buffer they would
/// be copied once more, and so much fresh memory for each group costs as much again.
fn write_all_at(file: &File, mut pieces: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
    while !pieces.is_empty() {
        let some = &pieces[..pieces.len().min(PIECES_MAX)];
        match rustix::io::pwritev(file, some, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                IoSlice::advance_slices(&mut pieces, written);
                offset += written as u64;
            }
            Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
/// Bytes of a segment that somebody else may be adding to.
pub fn read_at(dir: &Path, number: u32, offset: u64, size: u64) -> Result<Vec<u8>, StoreError> {
    let path = segment_path(dir, number);
    let mut bytes = vec![0; usize::try_from(size).expect("a segment fits into memory")];
    File::open(&path)
        .and_then(|file| file.read_exact_at(&mut bytes, offset))
        .map_err(io_error(&path))?;
    Ok(bytes)
}
