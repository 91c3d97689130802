//! Where the scanners put the links of one page: each once, in the order first seen, in one buffer.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

/// The links of one page: one text and where each of them ends in it. A page has some hundred, and
/// a crawl holds those of many pages at once, so they are not a million small strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    text: String,
    ends: Vec<u32>,
    roles: Vec<Role>,
    /// As long as `ends`, with [`UNDATED`] where nothing is known; empty when nothing is known of any.
    lastmods: Vec<i64>,
}

/// In the place of a time: a moment that no calendar reaches.
const UNDATED: i64 = i64::MIN;

/// What a document wants with the page that it refers to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A page of its own, to which a reader may go.
    #[default]
    Page,
    /// A part of this document: without it the page is not what its readers know.
    Asset,
    /// A sitemap, or a part of one.
    Sitemap,
}

/// One link of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    /// As written, decoded; not resolved.
    pub reference: &'a str,
    /// The greatest of the roles in which the page names it: a picture that is linked to as well is a part of it.
    pub role: Role,
    /// What a sitemap or a feed says of its last change, in seconds since 1970.
    pub lastmod: Option<i64>,
}

/// References that no crawler can follow.
const SKIPPED: [&[u8]; 6] = [b"data", b"javascript", b"mailto", b"tel", b"blob", b"about"];

/// The longest scheme in [`SKIPPED`].
const SCHEME_MAX: usize = 10;

impl Links {
    pub fn iter(&self) -> impl Iterator<Item = Link<'_>> {
        (0..self.ends.len()).map(|index| Link {
            reference: self.get(index),
            role: self.roles[index],
            lastmod: self
                .lastmods
                .get(index)
                .copied()
                .filter(|lastmod| *lastmod != UNDATED),
        })
    }

    /// The references alone.
    pub fn references(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|link| link.reference)
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn get(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start as usize..self.ends[index] as usize]
    }
}

/// Collects the links of one page. The table finds duplicates: slots with the index of a link plus
/// one, 0 for empty, as many as a power of two, never more than half full. Its hash is keyed at
/// random, since a page may come from someone who would like this to be slow.
#[derive(Default)]
pub(super) struct Collector {
    links: Links,
    table: Vec<u32>,
    hasher: RandomState,
}

/// Markup of a body for one link in it, as pages have it: what is made room for at once.
const BODY_BYTES_A_LINK: usize = 256;

/// The text of a usual link.
const LINK_BYTES: usize = 24;

/// Links that room is made for at once, at the most.
const LINKS_AT_FIRST_MAX: usize = 1 << 10;

impl Collector {
    /// With room for the links of a usual body of this length, so that most pages have it made once.
    pub(super) fn for_body(bytes: usize) -> Collector {
        let links = (bytes / BODY_BYTES_A_LINK).min(LINKS_AT_FIRST_MAX);
        Collector {
            links: Links {
                text: String::with_capacity(links * LINK_BYTES),
                ends: Vec::with_capacity(links),
                roles: Vec::with_capacity(links),
                lastmods: Vec::new(),
            },
            table: vec![0; (2 * links).next_power_of_two()],
            hasher: RandomState::default(),
        }
    }

    /// Takes a decoded reference: cuts it, and drops it when it is empty or not to be followed. One that is
    /// already there keeps its place, and the greater of its roles.
    pub(super) fn push(&mut self, reference: &[u8], role: Role) {
        self.push_dated(reference, role, None);
    }

    /// As [`Collector::push`], with what is said of the page's last change; of several times the latest counts.
    pub(super) fn push_dated(&mut self, reference: &[u8], role: Role, lastmod: Option<i64>) {
        let reference = trim(reference);
        if is_skipped(reference) {
            return;
        }
        let end = memchr::memchr(b'#', reference).unwrap_or(reference.len());
        let link = trim(&reference[..end]);
        if link.is_empty() {
            return;
        }
        let index = match std::str::from_utf8(link) {
            Ok(link) => self.insert(link, role),
            Err(_) => self.insert(&String::from_utf8_lossy(link), role),
        };
        if let (Some(lastmod), Some(index)) = (lastmod, index) {
            let lastmods = &mut self.links.lastmods;
            lastmods.resize(self.links.ends.len(), UNDATED);
            lastmods[index] = lastmods[index].max(lastmod);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub(super) fn into_links(mut self) -> Links {
        if !self.links.lastmods.is_empty() {
            self.links.lastmods.resize(self.links.ends.len(), UNDATED);
        }
        self.links
    }

    /// Where the link stands now; `None` when there is no room for it.
    fn insert(&mut self, link: &str, role: Role) -> Option<usize> {
        if (self.links.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let slot = self.slot(link);
        if self.table[slot] != 0 {
            let index = self.table[slot] as usize - 1;
            self.links.roles[index] = self.links.roles[index].max(role);
            return Some(index);
        }
        // 4 GiB of links on one page is more than any body that is parsed: the rest is left out.
        let end = u32::try_from(self.links.text.len() + link.len()).ok()?;
        self.links.text.push_str(link);
        self.links.ends.push(end);
        self.links.roles.push(role);
        self.table[slot] = self.links.ends.len() as u32;
        Some(self.links.ends.len() - 1)
    }

    /// The slot that holds `link`, or the empty one where it belongs.
    fn slot(&self, link: &str) -> usize {
        let mask = self.table.len() - 1;
        let mut slot = self.hasher.hash_one(link) as usize & mask;
        loop {
            match self.table[slot] {
                0 => return slot,
                taken if self.links.get(taken as usize - 1) == link => return slot,
                _ => slot = (slot + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let slots = (self.table.len() * 2).max(64);
        self.table = vec![0; slots];
        for index in 0..self.links.len() {
            let slot = self.slot(self.links.get(index));
            self.table[slot] = index as u32 + 1;
        }
    }
}

/// Text as a URL parser takes it: without the spaces and control characters around it.
pub(super) fn trim(text: &[u8]) -> &[u8] {
    let Some(start) = text.iter().position(|byte| *byte > b' ') else {
        return &[];
    };
    let end = text
        .iter()
        .rposition(|byte| *byte > b' ')
        .map_or(start, |last| last + 1);
    &text[start..end]
}

/// Whether a trimmed reference has a scheme that names no page. URL parsers drop tabs and line ends
/// inside a reference, so `java\nscript:` is one of them.
pub(super) fn is_skipped(reference: &[u8]) -> bool {
    let mut scheme = [0u8; SCHEME_MAX];
    let mut length = 0;
    for byte in reference {
        match byte {
            b':' => return SKIPPED.contains(&&scheme[..length]),
            b'\t' | b'\n' | b'\r' => {}
            _ if length == SCHEME_MAX || !byte.is_ascii_alphabetic() => return false,
            _ => {
                scheme[length] = byte.to_ascii_lowercase();
                length += 1;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collected(references: &[&str]) -> Vec<String> {
        let mut collector = Collector::default();
        for reference in references {
            collector.push(reference.as_bytes(), Role::Page);
        }
        collector
            .into_links()
            .references()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn references_are_cut_and_what_cannot_be_followed_is_dropped() {
        // Each row is a reference and what is left of it.
        let rows: [(&str, &[&str]); 16] = [
            ("/a", &["/a"]),
            (" \t/a\n\u{1}", &["/a"]),
            ("/a#top", &["/a"]),
            ("/a #top", &["/a"]),
            ("#top", &[]),
            ("", &[]),
            (" \n ", &[]),
            ("data:text/plain,x", &[]),
            ("JavaScript:void(0)", &[]),
            ("java\nscript:void(0)", &[]),
            ("mailto:a@b", &[]),
            ("tel:+44", &[]),
            ("blob:x", &[]),
            ("about:blank", &[]),
            ("tel", &["tel"]),
            ("telephone:1", &["telephone:1"]),
        ];
        for (reference, expected) in rows {
            assert_eq!(collected(&[reference]), expected, "{reference:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_become_replacement_characters() {
        // A Latin-1 link is kept, visibly damaged, and never a panic.
        let mut collector = Collector::default();
        collector.push(b"/caf\xe9", Role::Page);
        assert_eq!(
            collector.into_links().references().collect::<Vec<_>>(),
            ["/caf\u{fffd}"]
        );
    }

    #[test]
    fn the_greatest_role_and_the_latest_time_of_a_link_count() {
        // A picture that is linked to as well is a part of the page; times stay with their own link.
        let mut collector = Collector::default();
        collector.push(b"a", Role::Asset);
        collector.push_dated(b"b", Role::Sitemap, Some(5));
        collector.push(b"a#x", Role::Page);
        collector.push_dated(b"b", Role::Sitemap, Some(3));
        collector.push(b"c", Role::Asset);
        let links = collector.into_links();
        let found: Vec<_> = links
            .iter()
            .map(|link| (link.reference, link.role, link.lastmod))
            .collect();
        let expected = [
            ("a", Role::Asset, None),
            ("b", Role::Sitemap, Some(5)),
            ("c", Role::Asset, None),
        ];
        assert_eq!(found, expected);
    }

    proptest! {
        #[test]
        fn every_link_is_there_once_in_the_order_first_seen(
            references in proptest::collection::vec("[a-c]{0,3}", 0..400),
        ) {
            // The oracle is the plain loop.
            let mut expected: Vec<String> = Vec::new();
            for reference in &references {
                if !reference.is_empty() && !expected.contains(reference) {
                    expected.push(reference.clone());
                }
            }
            let borrowed: Vec<&str> = references.iter().map(String::as_str).collect();
            prop_assert_eq!(collected(&borrowed), expected);
        }
    }
}
