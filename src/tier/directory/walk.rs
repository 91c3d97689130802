//! Listing a folder in the byte order of keys. A folder sorts as its name with a `/`, which is
//! what its keys go on with, so `a`, `a.html`, `a/b`, `a0` come out as a bucket would list them.
//! In memory are the names of the folders on the way down and the keys of the overflow.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::vec::IntoIter;

use super::folder::{Folder, META, OVERFLOW, is_absent};
use crate::site::ObjectKey;
use crate::tier::record::Stamp;
use crate::tier::{ListPage, Listed, Stated, TierError};

/// The ETag of an object is its content hash. It is stated of what lies there only where that is as long as it was.
fn listed(key: ObjectKey, size: u64, stamp: Option<Stamp<'_>>) -> Listed {
    let Some(stamp) = stamp else {
        return Listed {
            key,
            size,
            etag: String::new(),
            stated: Stated::default(),
        };
    };
    let content = stamp.etag.parse().ok().filter(|_| stamp.size == size);
    Listed {
        key,
        size,
        etag: stamp.etag.into_owned(),
        stated: Stated {
            content,
            ..Stated::default()
        },
    }
}

/// A listing that can go on where its last page ended, without reading the folders again: a
/// folder of 100,000 names would be read and sorted once per page otherwise.
pub(super) struct Cursor {
    walk: Walk,
    /// The key that comes next.
    next: Option<String>,
    overflow: Peekable<IntoIter<Listed>>,
    last: Option<String>,
    changes: u64,
}

impl Folder {
    pub fn list(&self, after: Option<&str>, limit: usize) -> Result<ListPage, TierError> {
        let mut cursor = self.checked(&self.root, self.cursor_after(after))?;
        let mut page = ListPage {
            last: after.map(str::to_owned),
            ..ListPage::default()
        };
        while page.objects.len() < limit {
            match self.checked(&self.root, self.advance(&mut cursor))? {
                Step::End => {
                    page.odd.append(&mut cursor.walk.odd);
                    return Ok(page);
                }
                Step::Object(listed) => page.objects.push(listed),
                Step::Odd(name) => page.odd.push(name),
                Step::Other => {}
            }
            page.last.clone_from(&cursor.last);
        }
        page.odd.append(&mut cursor.walk.odd);
        page.more = cursor.next.is_some() || cursor.overflow.peek().is_some();
        *self.cursor.lock().expect("nothing panics while it is held") = Some(cursor);
        Ok(page)
    }

    /// The kept cursor if it stands exactly there and nothing was changed since, else a new one.
    fn cursor_after(&self, after: Option<&str>) -> io::Result<Cursor> {
        let changes = self.changes.load(Ordering::Relaxed);
        let kept = self
            .cursor
            .lock()
            .expect("nothing panics while it is held")
            .take();
        if let Some(cursor) = kept
            && after.is_some()
            && cursor.last.as_deref() == after
            && cursor.changes == changes
        {
            return Ok(cursor);
        }
        let mut walk = Walk::new(&self.root, "", after.unwrap_or_default(), &[".standin/"])?;
        let next = walk.next()?;
        let mut overflow = self.overflow_keys()?;
        overflow.retain(|listed| listed.key.as_str() > after.unwrap_or_default());
        let overflow = overflow.into_iter().peekable();
        Ok(Cursor {
            walk,
            next,
            overflow,
            last: after.map(str::to_owned),
            changes,
        })
    }

    fn advance(&self, cursor: &mut Cursor) -> io::Result<Step> {
        let natural = cursor.next.as_deref();
        if let Some(listed) = cursor
            .overflow
            .next_if(|listed| natural.is_none_or(|key| listed.key.as_str() <= key))
        {
            cursor.last = Some(listed.key.as_str().to_owned());
            // A crash can leave a body of this key in both places; the natural one is what counts.
            return Ok(match natural == Some(listed.key.as_str()) {
                true => Step::Other,
                false => Step::Object(listed),
            });
        }
        let Some(name) = cursor.next.take() else {
            return Ok(Step::End);
        };
        cursor.next = cursor.walk.next()?;
        let step = self.look_at(&name);
        cursor.last = Some(name);
        step
    }

    fn look_at(&self, name: &str) -> io::Result<Step> {
        let Ok(key) = ObjectKey::parse(name) else {
            return Ok(Step::Odd(name.to_owned()));
        };
        let size = match fs::symlink_metadata(self.root.join(name)) {
            Ok(found) => found.len(),
            Err(error) if is_absent(&error) => return Ok(Step::Other),
            Err(error) => return Err(error),
        };
        let side = read_side(&self.hashed(META, name));
        let stamp = Stamp::decode(&side).filter(|stamp| stamp.key == name);
        Ok(Step::Object(listed(key, size, stamp)))
    }

    /// Every object of the overflow, in key order. Its file is named by a hash, so the key comes
    /// from the side file; without one nobody can tell which object it was.
    fn overflow_keys(&self) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for name in Walk::new(&self.root.join(OVERFLOW), "", "", &[])?.all()? {
            let size = match fs::symlink_metadata(self.root.join(OVERFLOW).join(&name)) {
                Ok(file) => file.len(),
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(error),
            };
            let side = read_side(&self.root.join(META).join(&name));
            if let Some(stamp) = Stamp::decode(&side)
                && let Ok(key) = ObjectKey::parse(&stamp.key)
            {
                found.push(listed(key, size, Some(stamp)));
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}

enum Step {
    Object(Listed),
    /// A name that is not fit for a key.
    Odd(String),
    /// What has vanished, or is listed elsewhere.
    Other,
    End,
}

/// The regular files below a folder in byte order of their paths, folders as `name/`.
pub(super) struct Walk {
    root: PathBuf,
    after: String,
    levels: Vec<Level>,
    /// Names met on the way that cannot be objects, as [`ListPage::odd`] has them.
    odd: Vec<String>,
}

struct Level {
    prefix: String,
    names: IntoIter<String>,
}

impl Walk {
    /// Walks `root/prefix` for paths (relative to `root`) after `after`, leaving out the names
    /// `hidden` of its first level. `prefix` is empty or ends in `/`.
    pub fn new(root: &Path, prefix: &str, after: &str, hidden: &[&str]) -> io::Result<Walk> {
        let mut walk = Walk {
            root: root.to_owned(),
            after: after.to_owned(),
            levels: Vec::new(),
            odd: Vec::new(),
        };
        let mut names = walk.read_names(prefix)?;
        names.retain(|name| !hidden.contains(&name.as_str()));
        walk.levels.push(Level {
            prefix: prefix.to_owned(),
            names: names.into_iter(),
        });
        Ok(walk)
    }

    pub fn next(&mut self) -> io::Result<Option<String>> {
        while let Some(level) = self.levels.last_mut() {
            let Some(name) = level.names.next() else {
                self.levels.pop();
                continue;
            };
            let path = format!("{}{name}", level.prefix);
            if !path.ends_with('/') {
                return Ok(Some(path));
            }
            let names = self.read_names(&path)?.into_iter();
            self.levels.push(Level {
                prefix: path,
                names,
            });
        }
        Ok(None)
    }

    pub fn all(mut self) -> io::Result<Vec<String>> {
        let mut paths = Vec::new();
        while let Some(path) = self.next()? {
            paths.push(path);
        }
        Ok(paths)
    }

    /// The sorted names of one folder that lead to paths after `after`. Names that are not UTF-8
    /// and whatever is neither file nor folder cannot be objects and are odd; a folder that
    /// has vanished is empty.
    fn read_names(&mut self, prefix: &str) -> io::Result<Vec<String>> {
        // Whoever hears of it knows the root and not which folder in it.
        let in_folder = |error: io::Error| match prefix {
            "" => error,
            prefix => io::Error::new(error.kind(), format!("{prefix}: {error}")),
        };
        let entries = match fs::read_dir(self.root.join(prefix)) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            entries => entries.map_err(in_folder)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(in_folder)?;
            let kind = entry.file_type().map_err(in_folder)?;
            let mut name = match entry.file_name().into_string() {
                Ok(name) if kind.is_dir() || kind.is_file() => name,
                name => {
                    self.note_odd(prefix, name);
                    continue;
                }
            };
            if kind.is_dir() {
                name.push('/');
            }
            if self.leads_beyond(&format!("{prefix}{name}")) {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn note_odd(&mut self, prefix: &str, name: Result<String, OsString>) {
        let name = name.unwrap_or_else(|name| escaped(name.as_encoded_bytes()));
        let path = format!("{prefix}{name}");
        if path.as_str() > self.after.as_str() {
            self.odd.push(path);
        }
    }

    fn leads_beyond(&self, path: &str) -> bool {
        path > self.after.as_str() || (path.ends_with('/') && self.after.starts_with(path))
    }
}

/// A name that is not UTF-8, with `\xff` in the place of bytes that are no text, so that two such names stay two.
fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        text.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    text
}

/// A side file. One that cannot be read says as little as one that is not there: it is the trouble of one object, which
/// counts as unknown then.
fn read_side(path: &Path) -> Vec<u8> {
    match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if !is_absent(&error) {
                tracing::warn!(path = %path.display(), %error, "a side file cannot be read");
            }
            Vec::new()
        }
    }
}
