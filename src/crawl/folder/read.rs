//! One file, read once: digested on the way into memory or, when it is large, into a file of the store.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

use super::kinds::{self, Charset};
use super::walk::{FoundFile, Look};
use crate::content::{self, Digest, Digester};
use crate::crawl::FetchError;
use crate::crawl::body::TempBody;

/// Large files are read and written in pieces of this size.
const PIECE: usize = 1 << 20;

/// How often a file that changes while it is read is begun again.
const ATTEMPTS: u32 = 2;

/// A file as it was read.
pub struct ReadFile {
    pub digest: Digest,
    pub body: ReadBody,
    /// How it looked before and after.
    pub look: Look,
    /// A later change would alter that look.
    pub is_settled: bool,
    pub charset: Charset,
}

pub enum ReadBody {
    Memory(Bytes),
    File(TempBody),
}

/// Why a file was not read.
pub enum ReadError {
    /// It cannot be had today: an error of this page.
    Skip(String),
    /// The store's disk is at fault, which stops the run.
    Stop(FetchError),
}

/// Reads a file whose size has been reserved in memory, when that is at most `memory_max`; larger files go to
/// `incoming`. One that grows meanwhile is begun again, in the other place if need be.
pub fn read(found: &FoundFile, memory_max: u64, incoming: &Path) -> Result<ReadFile, ReadError> {
    let reserved = match found.look.size <= memory_max {
        true => found.look.size,
        false => 0,
    };
    for _ in 0..ATTEMPTS {
        if let Some(read) = read_once(&found.path, reserved, incoming)? {
            return Ok(read);
        }
    }
    Err(ReadError::Skip(
        "it changed while it was read, twice; the last good copy stays".to_owned(),
    ))
}

/// Nothing when the file changed meanwhile.
fn read_once(path: &Path, reserved: u64, incoming: &Path) -> Result<Option<ReadFile>, ReadError> {
    let skip = |error: io::Error| ReadError::Skip(error.to_string());
    let begun = SystemTime::now();
    let mut file = open(path).map_err(skip)?;
    let metadata = file.metadata().map_err(skip)?;
    if !metadata.is_file() {
        return Err(ReadError::Skip("it is no file any more".to_owned()));
    }
    let look = Look::of(&metadata);
    let (digest, body) = if look.size <= reserved {
        let bytes = into_memory(&mut file, look.size).map_err(skip)?;
        (content::digest(&bytes), ReadBody::Memory(bytes.into()))
    } else {
        let (digest, body) = into_file(&mut file, look.size, incoming)?;
        (digest, ReadBody::File(body))
    };
    let after = Look::of(&file.metadata().map_err(skip)?);
    if after != look || digest.size != look.size {
        return Ok(None);
    }
    Ok(Some(ReadFile {
        digest,
        look,
        is_settled: look.is_settled(begun),
        charset: charset_of(path, &body),
        body,
    }))
}

/// Text of a kind that is published with a character set must be in that one.
fn charset_of(path: &Path, body: &ReadBody) -> Charset {
    let name = path.file_name().and_then(|name| name.to_str());
    let is_text = name.is_some_and(|name| kinds::content_type(name).contains("charset"));
    match body {
        ReadBody::Memory(bytes) if is_text && std::str::from_utf8(bytes).is_err() => Charset::Other,
        _ => Charset::Utf8,
    }
}

/// Links have been followed, and nobody is waited for: what stands here now may be a link or a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).expect("the flags of open have few bits");
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// At most one byte more than `size`, which shows that the file has grown.
fn into_memory(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(size).expect("it was reserved in memory") + 1;
    let mut bytes = Vec::with_capacity(room);
    file.take(size + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn into_file(file: &mut File, size: u64, incoming: &Path) -> Result<(Digest, TempBody), ReadError> {
    let spilled = |error: crate::crawl::body::SpillError| ReadError::Stop(error.into());
    let (mut body, mut target) = TempBody::create(incoming).map_err(spilled)?;
    let mut digester = Digester::new();
    let mut piece = vec![0; PIECE];
    let mut bytes = 0;
    while bytes <= size {
        let length = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ReadError::Skip(error.to_string())),
        };
        digester.update(&piece[..length]);
        body.write(&mut target, &piece[..length]).map_err(spilled)?;
        bytes += length as u64;
    }
    Ok((digester.finish(), body))
}
