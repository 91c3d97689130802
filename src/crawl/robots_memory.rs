//! The last robots.txt that each host gave, for the day on which it gives none: rules that are not to be had are
//! those that were there last, however long ago (RFC 9309, 2.3.1.4 and 2.4). One small file in the state directory,
//! atomically replaced; damaged, it counts as empty and is filled again by the next crawl.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::robots::{TEXT_MAX, within_limit};
use crate::db::replace_file;

/// Of the file; another one counts as damaged.
const FORMAT: u32 = 1;

/// Hosts remembered: more than a site has. Those not heard of for longest are forgotten first.
const HOSTS_MAX: usize = 100;

/// No file of ours is larger: JSON needs at most six bytes for one.
const FILE_MAX: u64 = (HOSTS_MAX * (TEXT_MAX * 6 + 4096)) as u64;

/// See the paragraph of this file.
#[derive(Debug)]
pub struct RobotsMemory {
    path: PathBuf,
    hosts: BTreeMap<String, Remembered>,
    is_changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    text: String,
    /// Seconds since 1970.
    fetched: i64,
}

#[derive(Deserialize)]
struct Document {
    format: u32,
    hosts: BTreeMap<String, Remembered>,
}

#[derive(Serialize)]
struct DocumentRef<'a> {
    format: u32,
    hosts: &'a BTreeMap<String, Remembered>,
}

impl RobotsMemory {
    pub fn open(path: &Path) -> RobotsMemory {
        RobotsMemory {
            path: path.to_owned(),
            hosts: read(path).unwrap_or_default(),
            is_changed: false,
        }
    }

    /// The text that this host gave last; empty where it said that it has none.
    pub fn last_good(&self, authority: &str) -> Option<&str> {
        self.hosts.get(authority).map(|host| &*host.text)
    }

    /// When it gave it, in seconds since 1970.
    pub fn fetched(&self, authority: &str) -> Option<i64> {
        self.hosts.get(authority).map(|host| host.fetched)
    }

    /// To be called for every answer that is one: a text, or "there is none" (404 and the like), which is the empty
    /// text. What lies beyond the part that counts is left out.
    pub fn remember(&mut self, authority: &str, text: &str, now: i64) {
        let text = String::from_utf8_lossy(within_limit(text.as_bytes())).into_owned();
        let remembered = Remembered { text, fetched: now };
        self.hosts.insert(authority.to_owned(), remembered);
        self.is_changed = true;
        while self.hosts.len() > HOSTS_MAX {
            let oldest = self.hosts.iter().min_by_key(|(_, host)| host.fetched);
            let Some(oldest) = oldest.map(|(authority, _)| authority.clone()) else {
                break;
            };
            self.hosts.remove(&oldest);
        }
    }

    /// Replaces the file, if there is something new.
    ///
    /// # Errors
    /// Of the disk. The old file stays then.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        let document = DocumentRef {
            format: FORMAT,
            hosts: &self.hosts,
        };
        let bytes = serde_json::to_vec(&document)?;
        replace_file(&self.path, |file| file.write_all(&bytes))?;
        self.is_changed = false;
        Ok(())
    }
}

fn read(path: &Path) -> Option<BTreeMap<String, Remembered>> {
    if fs::metadata(path).ok()?.len() > FILE_MAX {
        return None;
    }
    let document: Document = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (document.format == FORMAT).then_some(document.hosts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("robots.json");
        (folder, path)
    }

    /// Promise: what was remembered and saved is there after the next start, the newest text of each host; what
    /// was not saved is not.
    #[test]
    fn the_last_text_is_there_again() {
        let (_folder, path) = memory();
        let mut memory = RobotsMemory::open(&path);
        assert_eq!(memory.last_good("www.example"), None);
        memory.save().unwrap();
        assert!(!path.exists(), "nothing to keep, nothing written");
        memory.remember("www.example", "User-agent: *\nDisallow: /a\n", 1000);
        memory.remember("www.example", "User-agent: *\nDisallow: /b\u{0}\n", 2000);
        memory.remember("h.example:8080", "", 2001);
        memory.save().unwrap();
        memory.remember("www.example", "later", 3000);
        let again = RobotsMemory::open(&path);
        assert_eq!(
            again.last_good("www.example"),
            Some("User-agent: *\nDisallow: /b\u{0}\n")
        );
        assert_eq!(again.fetched("www.example"), Some(2000));
        assert_eq!(again.last_good("h.example:8080"), Some(""));
        assert_eq!(again.last_good("other.example"), None);
    }

    /// Promise: a file written by the first version is read; one that is damaged or of another format is as good
    /// as none and does not stop the next one from being written.
    #[test]
    fn a_damaged_memory_is_an_empty_one() {
        let (_folder, path) = memory();
        let golden = r#"{"format":1,"hosts":{"www.example":{"text":"User-agent: *\nDisallow: /\n","fetched":1763740800}}}"#;
        fs::write(&path, golden).unwrap();
        let mut memory = RobotsMemory::open(&path);
        assert_eq!(
            memory.last_good("www.example"),
            Some("User-agent: *\nDisallow: /\n")
        );
        memory.is_changed = true;
        memory.save().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), golden);
        for damaged in [
            &golden[..60],
            "",
            "[]",
            "\u{0}\u{0}",
            &golden.replace(":1,", ":2,"),
        ] {
            fs::write(&path, damaged).unwrap();
            let mut memory = RobotsMemory::open(&path);
            assert_eq!(memory.last_good("www.example"), None, "{damaged}");
            memory.remember("www.example", "new", 1);
            memory.save().unwrap();
            assert_eq!(
                RobotsMemory::open(&path).last_good("www.example"),
                Some("new")
            );
        }
    }

    /// Promise: the memory is bounded: 500 KiB a host, cut between lines, and a hundred hosts, the oldest forgotten.
    #[test]
    fn the_memory_is_bounded() {
        let (_folder, path) = memory();
        let mut memory = RobotsMemory::open(&path);
        memory.remember("long.example", &"Disallow: /a\n".repeat(100_000), 0);
        let kept = memory.last_good("long.example").unwrap();
        assert!(kept.len() <= TEXT_MAX && kept.len() > TEXT_MAX - 20 && kept.ends_with("/a"));
        for number in 1..=HOSTS_MAX {
            memory.remember(
                &format!("h{number}.example"),
                "x",
                i64::try_from(number).unwrap(),
            );
        }
        assert_eq!(memory.last_good("long.example"), None);
        assert!(memory.last_good("h1.example").is_some());
        assert_eq!(memory.hosts.len(), HOSTS_MAX);
    }
}
