//! A folder's files in the order of their URLs.
//!
//! That order is what lets the walk run beside the manifest's entries and last time's notes, each read once
//! and forward, whatever their number. In memory is one folder of each level, and of a large one only the next
//! [`NAMES_MAX`] names: it is listed again for those that follow.
//!
//! What is no page of a site is left out in silence ([`LEFT_OUT`]). What might be one and cannot be used is
//! reported with the URL that it would have: nothing is known today of what lies there, so nothing is withdrawn.

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, percent_encode};

/// Names of one folder held at once: some 20 MB. A folder with more is listed once for each so many.
const NAMES_MAX: usize = 200_000;

/// Never published, wherever they lie: version control and what web servers keep to themselves.
const LEFT_OUT: [&str; 6] = [".git", ".hg", ".svn", ".DS_Store", ".htaccess", ".htpasswd"];

/// Where tiers keep what is no page; the name of a folder that is a tier, most likely.
const OURS: &str = ".standin";

const INDEX: &str = "index.html";

/// What a name must hold percent-encoded to stand in a URL's path as it is.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// How far a file's clock may lag behind ours by its granularity: the tick of a kernel where times have
/// nanoseconds, whole seconds elsewhere (two on FAT).
const TICK: Duration = Duration::from_millis(100);
const COARSE: Duration = Duration::from_secs(2);

/// What the file system says of a file without its bytes: while all of it stays, so do they.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub size: u64,
    pub inode: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i128,
    pub changed_ns: i128,
}

/// One step of the walk. `target` is the path of a URL, percent-encoded.
#[derive(Debug)]
pub enum Found {
    File(FoundFile),
    Unusable(Unusable),
}

/// What cannot be used.
#[derive(Debug)]
pub struct Unusable {
    pub target: String,
    pub extent: Extent,
    /// Told once for each.
    pub why: Option<Why>,
}

/// Why something cannot be used.
#[derive(Debug)]
pub enum Why {
    /// It is no page, and will be none tomorrow.
    Refused(String),
    /// It could not be had today.
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Itself,
    /// Everything whose target begins with this one.
    AllBelow,
}

#[derive(Debug)]
pub struct FoundFile {
    pub target: String,
    pub path: PathBuf,
    pub look: Look,
}

impl Found {
    pub fn target(&self) -> &str {
        match self {
            Found::File(file) => &file.target,
            Found::Unusable(unusable) => &unusable.target,
        }
    }

    fn unusable(target: String, extent: Extent, why: Why) -> Found {
        Found::Unusable(Unusable {
            target,
            extent,
            why: Some(why),
        })
    }
}

impl Look {
    pub fn of(metadata: &Metadata) -> Look {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Look {
            size: metadata.len(),
            inode: metadata.ino(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether a change after `at`, when reading began, would show: within one tick of the file system's clock
    /// it would not. The time of the last change of the inode decides, which nobody can set.
    pub fn is_settled(&self, at: SystemTime) -> bool {
        let is_fine = self.changed_ns % 1_000_000 != 0;
        let tick = if is_fine { TICK } else { COARSE };
        let at = at.duration_since(SystemTime::UNIX_EPOCH);
        at.is_ok_and(|at| self.changed_ns + ns_of(tick) <= ns_of(at))
    }
}

fn ns_of(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).expect("a time in nanoseconds fits")
}

/// The walk itself.
pub struct Walk {
    /// Canonical.
    root: PathBuf,
    index: Index,
    names_max: usize,
    levels: Vec<Level>,
}

/// What becomes of `index.html`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    /// It is the page of its folder.
    Folder,
    /// It is a file like others: on hosts whose paths are always files.
    File,
}

struct Level {
    /// Canonical.
    folder: PathBuf,
    /// Ends in `/`.
    target: String,
    is_behind_link: bool,
    names: std::vec::IntoIter<Name>,
    /// Where the next listing of a large folder begins.
    more_after: Option<Box<str>>,
}

/// A name in a folder.
struct Name {
    /// What it adds to the target: percent-encoded, with a `/` behind a folder's; empty for an index.
    key: Box<str>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Folder,
    LinkToFile,
    LinkToFolder,
    Unusable(Option<&'static str>),
}

impl Name {
    fn extent(&self) -> Extent {
        match self.key.ends_with('/') {
            true => Extent::AllBelow,
            false => Extent::Itself,
        }
    }
}

impl Walk {
    /// Begins with the folder `root`, which must be canonical.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn new(root: &Path, index: Index) -> io::Result<Walk> {
        Walk::with_names_max(root, index, NAMES_MAX)
    }

    fn with_names_max(root: &Path, index: Index, names_max: usize) -> io::Result<Walk> {
        let mut walk = Walk {
            root: root.to_owned(),
            index,
            names_max,
            levels: Vec::new(),
        };
        walk.descend(root.to_owned(), "/".into(), false)?;
        Ok(walk)
    }

    fn descend(&mut self, folder: PathBuf, target: String, is_behind_link: bool) -> io::Result<()> {
        let (names, more_after) = list(&folder, self.index, None, self.names_max)?;
        self.levels.push(Level {
            folder,
            target,
            is_behind_link,
            names: names.into_iter(),
            more_after,
        });
        Ok(())
    }

    /// Takes the next name up: a file, something unusable, or nothing to report but a folder entered.
    fn take(&mut self, name: &Name) -> Option<Found> {
        let level = self.levels.last().expect("the name is one of its folder");
        let is_behind_link = level.is_behind_link;
        let target = [&level.target, &*name.key].concat();
        let path = level.folder.join(file_name(&name.key));
        let extent = name.extent();
        match name.kind {
            Kind::File => Some(looked_at(target, path)),
            Kind::Unusable(why) => Some(Found::Unusable(Unusable {
                target,
                extent,
                why: why.map(|why| Why::Refused(why.to_owned())),
            })),
            Kind::Folder => {
                let entered = self.descend(path, target.clone(), is_behind_link);
                let why = failed(&entered.err()?);
                Some(Found::unusable(target, extent, why))
            }
            Kind::LinkToFile => Some(match self.followed(&path) {
                Ok(path) => looked_at(target, path),
                Err(why) => Found::unusable(target, extent, why),
            }),
            Kind::LinkToFolder => {
                let entered = self.followed(&path).and_then(|folder| {
                    self.may_enter(&folder)?;
                    self.descend(folder, target.clone(), true)
                        .map_err(|error| failed(&error))
                });
                Some(Found::unusable(target, extent, entered.err()?))
            }
        }
    }

    /// Where a link leads, if that is inside the folder and no secret of it.
    fn followed(&self, link: &Path) -> Result<PathBuf, Why> {
        let leads_to = fs::canonicalize(link).map_err(|error| failed(&error))?;
        let Ok(inside) = leads_to.strip_prefix(&self.root) else {
            let why = format!("a link to {}, outside the folder", leads_to.display());
            return Err(Why::Refused(why));
        };
        match inside
            .iter()
            .find(|part| is_left_out(part) || *part == OURS)
        {
            Some(part) => Err(Why::Refused(format!("a link into {}", part.display()))),
            None => Ok(leads_to),
        }
    }

    /// A link to a folder is followed, but never two in a row: so no walk goes round, and no handful of links
    /// makes a million pages.
    fn may_enter(&self, folder: &Path) -> Result<(), Why> {
        let level = self.levels.last().expect("the link lies in a folder");
        if level.is_behind_link {
            return Err(Why::Refused(
                "a link to a folder, behind another one".into(),
            ));
        }
        if level.folder.starts_with(folder) {
            return Err(Why::Refused("a link to the folder that it lies in".into()));
        }
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let level = self.levels.last_mut()?;
            if let Some(name) = level.names.next() {
                match self.take(&name) {
                    Some(found) => return Some(found),
                    None => continue,
                }
            }
            let Some(after) = level.more_after.take() else {
                self.levels.pop();
                continue;
            };
            match list(&level.folder, self.index, Some(&after), self.names_max) {
                Ok((names, more_after)) => {
                    level.names = names.into_iter();
                    level.more_after = more_after;
                }
                // What came before is known; of the rest nothing is, so all of the folder counts as unseen.
                Err(error) => {
                    let target = level.target.clone();
                    return Some(Found::unusable(target, Extent::AllBelow, failed(&error)));
                }
            }
        }
    }
}

fn failed(error: &io::Error) -> Why {
    Why::Failed(error.to_string())
}

fn looked_at(target: String, path: PathBuf) -> Found {
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_file() => Found::File(FoundFile {
            target,
            path,
            look: Look::of(&metadata),
        }),
        Ok(_) => {
            let why = "it was replaced while it was looked at".to_owned();
            Found::unusable(target, Extent::Itself, Why::Failed(why))
        }
        Err(error) => Found::unusable(target, Extent::Itself, failed(&error)),
    }
}

/// The names of a folder in the order of their keys, from behind `after` on and up to `max` of them; and
/// where the next listing begins, if there are more.
fn list(
    folder: &Path,
    index: Index,
    after: Option<&str>,
    max: usize,
) -> io::Result<(Vec<Name>, Option<Box<str>>)> {
    let mut names = Vec::new();
    let mut there_are_more = false;
    for entry in fs::read_dir(folder)? {
        for name in names_of(&entry?, index).into_iter().flatten() {
            if after.is_none_or(|after| *name.key > *after) {
                names.push(name);
            }
        }
        if names.len() >= 2 * max {
            names.select_nth_unstable_by(max, |one, other| one.key.cmp(&other.key));
            names.truncate(max);
            there_are_more = true;
        }
    }
    names.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    if names.len() > max {
        names.truncate(max);
        there_are_more = true;
    }
    let more_after = names.last().filter(|_| there_are_more);
    let more_after = more_after.map(|last| last.key.clone());
    Ok((names, more_after))
}

/// What stands for a directory entry: nothing, itself, or (where it cannot be used and nobody can say whether it
/// was a file or a folder) a file and a folder that are unusable.
fn names_of(entry: &DirEntry, index: Index) -> [Option<Name>; 2] {
    let name = entry.file_name();
    if is_left_out(&name) {
        return [None, None];
    }
    let kind = kind_of(entry, &name);
    let encoded = percent_encode(name.as_bytes(), ENCODED).to_string();
    let named = |key: String, kind| {
        Some(Name {
            key: key.into_boxed_str(),
            kind,
        })
    };
    let as_folder = [&encoded, "/"].concat();
    let as_file = match index == Index::Folder && name == INDEX {
        true => String::new(),
        false => encoded,
    };
    match kind {
        Kind::File | Kind::LinkToFile => [named(as_file, kind), None],
        Kind::Folder | Kind::LinkToFolder => [named(as_folder, kind), None],
        Kind::Unusable(why) => [
            named(as_file, Kind::Unusable(why)),
            named(as_folder, Kind::Unusable(None)),
        ],
    }
}

fn is_left_out(name: &OsStr) -> bool {
    LEFT_OUT.iter().any(|left_out| name == *left_out)
}

fn kind_of(entry: &DirEntry, name: &OsStr) -> Kind {
    if name == OURS {
        return Kind::Unusable(Some(
            "it holds what a tier keeps beside its pages; publish what was built, not a copy of it",
        ));
    }
    if name.to_str().is_none() {
        return Kind::Unusable(Some("its name is not UTF-8"));
    }
    let Ok(found) = entry.file_type() else {
        return Kind::Unusable(Some("it cannot be looked at"));
    };
    if !found.is_symlink() {
        return match (found.is_file(), found.is_dir()) {
            (true, _) => Kind::File,
            (_, true) => Kind::Folder,
            _ => Kind::Unusable(Some("it is neither a file nor a folder")),
        };
    }
    match fs::metadata(entry.path()) {
        Ok(end) if end.is_file() => Kind::LinkToFile,
        Ok(end) if end.is_dir() => Kind::LinkToFolder,
        Ok(_) => Kind::Unusable(Some("a link to neither a file nor a folder")),
        Err(_) => Kind::Unusable(Some("a link that leads nowhere")),
    }
}

/// The name on disk that a key stands for.
fn file_name(key: &str) -> OsString {
    match key.trim_end_matches('/') {
        "" => INDEX.into(),
        name => OsString::from_vec(percent_decode_str(name).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// What a walk reports, a line each.
    fn walked(root: &Path, index: Index, names_max: usize) -> Vec<String> {
        let root = root.canonicalize().unwrap();
        let walk = Walk::with_names_max(&root, index, names_max).unwrap();
        let line = |found: Found| match found {
            Found::File(file) => {
                assert!(file.path.starts_with(&root), "{file:?}");
                file.target
            }
            Found::Unusable(Unusable { target, why, .. }) => match why {
                Some(Why::Refused(why)) => format!("{target} refused: {why}"),
                Some(Why::Failed(why)) => format!("{target} failed: {why}"),
                None => format!("{target} refused"),
            },
        };
        walk.map(line).collect()
    }

    fn write(root: &Path, name: &OsStr) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name.as_bytes()).unwrap();
    }

    #[test]
    fn targets_come_in_the_order_of_urls_whatever_is_held_of_a_folder() {
        // Promise: the walk can run beside the manifest; checked against a sort, for odd names and with folders
        // that are listed again after every name or two.
        let folder = tempfile::tempdir().unwrap();
        let names = [
            "index.html",
            "a",
            "a-b",
            "a.html",
            "a0",
            "a b",
            "a/index.html",
            "a /x",
            "b/c/d",
            "b.d/e",
            "b/c.d",
            "index.html.d/x",
            "ü",
            "ü/a",
            "%41",
            "a?b",
            "a#b",
            "~",
            ".well-known/x",
            "\u{1}",
            "z/index.html/y",
        ];
        for name in names.iter().filter(|name| **name != "a" && **name != "ü") {
            write(folder.path(), OsStr::new(name));
        }
        let expected = walked(folder.path(), Index::Folder, 100);
        assert_eq!(expected.len(), names.len() - 2);
        assert!(expected.is_sorted(), "{expected:#?}");
        assert!(expected.contains(&"/a/".to_owned()) && expected.contains(&"/".to_owned()));
        assert!(expected.contains(&"/%2541".to_owned()));
        for names_max in [1, 2, 3] {
            assert_eq!(walked(folder.path(), Index::Folder, names_max), expected);
        }
        let files = walked(folder.path(), Index::File, 100);
        assert!(files.contains(&"/a/index.html".to_owned()) && files.is_sorted());
    }

    #[test]
    fn what_can_be_no_page_is_refused_and_never_followed() {
        // Promise: nothing outside the folder is published, no walk goes round, and what nobody means is left out.
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), OsStr::new("secret"));
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for name in [
            "a/x",
            ".git/config",
            "b/.htpasswd",
            ".standin/head",
            "r/5/y",
        ] {
            write(root, OsStr::new(name));
        }
        write(root, OsStr::from_bytes(b"n\xff"));
        let links = [
            ("file", "a/x"),
            ("current", "r/5"),
            ("nowhere", "r/6"),
            ("out", "/etc"),
            ("git", ".git/config"),
            ("a/up", ".."),
            ("r/5/z", "../../a"),
            ("r/5/w", "y"),
        ];
        for (name, target) in links {
            symlink(target, root.join(name)).unwrap();
        }
        symlink(outside.path().join("secret"), root.join("secret")).unwrap();
        let found = walked(root, Index::Folder, 100);
        let expected = [
            "/.standin refused: it holds what a tier keeps beside its pages; publish what was built, not a copy of it",
            "/.standin/ refused",
            "/a/up/ refused: a link to the folder that it lies in",
            "/a/x",
            "/current/w",
            "/current/y",
            "/current/z/ refused: a link to a folder, behind another one",
            "/file",
            "/git refused: a link into .git",
            "/n%FF refused: its name is not UTF-8",
            "/n%FF/ refused",
            "/nowhere refused: a link that leads nowhere",
            "/nowhere/ refused",
            "/out/ refused: a link to /etc, outside the folder",
            "/r/5/w",
            "/r/5/y",
            "/r/5/z/up/ refused: a link to a folder, behind another one",
            "/r/5/z/x",
        ];
        assert_eq!(found[..expected.len()], expected);
        assert!(found[expected.len()].starts_with("/secret refused: a link to /"));
        assert_eq!(found.len(), expected.len() + 1);
    }

    #[test]
    fn a_look_is_settled_only_when_a_later_change_would_show() {
        // Promise: an edit within the same tick of the clock as the last reading is not missed.
        let second = 1_000_000_000;
        let look = |changed_ns| Look {
            size: 1,
            inode: 1,
            modified_ns: 0,
            changed_ns,
        };
        let at = |ns: u64| SystemTime::UNIX_EPOCH + Duration::from_nanos(ns);
        for (changed_ns, read_at, is_settled) in [
            (50 * second + 1, 50 * 1_000_000_000 + 1, false),
            (50 * second + 1, 50 * 1_000_000_000 + 99_000_000, false),
            (50 * second + 1, 50 * 1_000_000_000 + 100_000_001, true),
            (50 * second, 51 * 1_000_000_000, false),
            (50 * second, 52 * 1_000_000_000, true),
            (60 * second + 1, 50 * 1_000_000_000, false),
        ] {
            let found = look(changed_ns).is_settled(at(read_at));
            assert_eq!(found, is_settled, "{changed_ns} {read_at}");
        }
    }
}
