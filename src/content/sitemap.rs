//! The links of an XML document: sitemaps, sitemap indexes, Atom and RSS feeds. And sitemaps that are none:
//! plain text, one URL a line, and either of them in gzip.

use std::io::Read;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flate2::read::MultiGzDecoder;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Collector, Role, Sitemap, Span, data, instruction, lastmod, references, volatile};

/// The size that the sitemap protocol allows; what comes after it is not looked at.
const SITEMAP_BYTES_MAX: u64 = 50 << 20;

/// So many times longer than its gzip may a sitemap be: they repeat one host over and over and come to 20 or 40;
/// beyond it somebody wants to fill our memory.
const GZIP_RATIO_MAX: u64 = 250;

/// A short sitemap may be longer in spite of that.
const GZIP_FREE_BYTES: u64 = 1 << 20;

/// With which every gzip begins.
const GZIP: &[u8] = b"\x1f\x8b";

/// Held as long as such a text is: bodies are counted as they arrive, and what becomes of them in here may be 250 times
/// as long. So there is one at a time.
static UNPACKED: Mutex<()> = Mutex::new(());

/// A body without its gzip, alone in memory.
pub(super) struct Unpacked {
    text: Vec<u8>,
    _alone: MutexGuard<'static, ()>,
}

impl Unpacked {
    /// `None` for a body that has no gzip on it.
    pub(super) fn of(body: &[u8]) -> Option<Unpacked> {
        if !body.starts_with(GZIP) {
            return None;
        }
        let alone = UNPACKED.lock().unwrap_or_else(PoisonError::into_inner);
        Some(Unpacked {
            text: gunzip(body)?,
            _alone: alone,
        })
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

/// Takes gzip off a body that somebody has named as a sitemap; `None` when it has none. Of a broken or an
/// endless one what came before the end is taken.
fn gunzip(body: &[u8]) -> Option<Vec<u8>> {
    if !body.starts_with(GZIP) {
        return None;
    }
    let ratio_max = (body.len() as u64).saturating_mul(GZIP_RATIO_MAX);
    let max = ratio_max.clamp(GZIP_FREE_BYTES, SITEMAP_BYTES_MAX);
    let mut text = Vec::new();
    // What was read before an error stays in `text`.
    drop(MultiGzDecoder::new(body).take(max).read_to_end(&mut text));
    Some(text)
}

/// What the root element of a text says that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Root {
    Index,
    Urls,
    Feed,
    Other,
    /// It is no markup at all.
    None,
}

/// The root element of a text that may be XML.
pub(super) fn root(text: &[u8]) -> Root {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if !text.trim_ascii_start().starts_with(b"<") {
        return Root::None;
    }
    let mut reader = reader(text);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => return root_of(tag.local_name().as_ref()),
            Ok(Event::Eof) | Err(_) => return Root::Other,
            Ok(_) => {}
        }
    }
}

fn root_of(local_name: &[u8]) -> Root {
    match local_name {
        b"sitemapindex" => Root::Index,
        b"urlset" => Root::Urls,
        b"rss" | b"feed" | b"RDF" => Root::Feed,
        _ => Root::Other,
    }
}

/// Collects the URLs of a list, one a line; lines that are none are passed.
pub(super) fn lines(text: &[u8], links: &mut Collector) {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    for line in text.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let is_url = std::str::from_utf8(line).is_ok_and(data::is_absolute);
        if is_url {
            links.push(line, Role::Page);
        }
    }
}

/// What [`scan`] finds in an XML document beside its links.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    pub sitemap: Option<Sitemap>,
    /// It is a sitemap that stops before its end.
    pub is_cut: bool,
    /// When the document was made, wherever it says so: in comments, and of a feed as a whole.
    pub made: Vec<Span>,
}

/// Collects the links of an XML document, each under any namespace prefix. What follows the first error in
/// broken XML is not looked at. Entities that a document declares stay as written: whoever makes them
/// grow makes nothing grow here.
pub(super) fn scan(text: &[u8], links: &mut Collector) -> Scanned {
    let mut walk = Walk {
        links,
        room: Vec::new(),
        root: None,
        is_whole: false,
        image_depth: 0,
        text: None,
        item: None,
        made: Making::default(),
    };
    let mut reader = reader(text);
    // A byte order mark is no part of what the reader counts.
    let offset = if text.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    let position = |reader: &Reader<&[u8]>| {
        let position = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
        position.saturating_add(offset).min(text.len())
    };
    loop {
        let start = position(&reader);
        let event = reader.read_event();
        let end = position(&reader);
        match event {
            Ok(Event::Start(tag)) => {
                walk.start(&tag);
                walk.open(&tag);
                let is_of_all = walk.item.is_none() && walk.root == Some(Root::Feed);
                walk.made.open(&tag, end, is_of_all);
            }
            Ok(Event::Comment(_)) => walk.made.comment(text, start, end),
            Ok(Event::Empty(tag)) => {
                walk.start(&tag);
                walk.note_end(tag.local_name().as_ref());
            }
            Ok(Event::Text(piece)) => walk.extend(&piece),
            Ok(Event::CData(piece)) => walk.extend(&piece),
            Ok(Event::GeneralRef(name)) => {
                let written = [b"&", &*name, b";"].concat();
                let mut room = Vec::new();
                walk.extend(references::decode(&written, &mut room));
            }
            Ok(Event::End(tag)) => {
                walk.end(tag.local_name().as_ref());
                walk.made.close(start);
            }
            Ok(Event::PI(instruction)) => instruction::take(&instruction, walk.links),
            Ok(Event::Eof) | Err(_) => break,
            Ok(_) => {}
        }
    }
    walk.flush();
    let kind = match walk.root {
        Some(Root::Index) => Some(Sitemap::Index),
        Some(Root::Urls) => Some(Sitemap::Pages),
        _ => None,
    };
    Scanned {
        sitemap: kind,
        is_cut: kind.is_some() && !walk.is_whole,
        made: walk.made.spans,
    }
}

/// Looks for the words of a document on when it was made. That of an entry in it is what a reader would know it by,
/// and so is `lastmod`.
#[derive(Default)]
struct Making {
    depth: usize,
    is_atom: bool,
    is_rss: bool,
    /// The last child of the root is the channel of a feed.
    is_in_channel: bool,
    /// Of the root's name.
    prefix: Option<Vec<u8>>,
    /// Where the text of such a word begins, while inside of one.
    since: Option<usize>,
    spans: Vec<Span>,
}

/// What Atom's elements belong to.
const ATOM: &[u8] = b"http://www.w3.org/2005/Atom";

/// Whether the root of a document is that of an Atom feed, by its own declaration.
fn is_atom(root: &BytesStart<'_>) -> bool {
    let name = root.name();
    let key = match name.prefix() {
        None => b"xmlns".to_vec(),
        Some(prefix) => [b"xmlns:", prefix.as_ref()].concat(),
    };
    let mut attributes = root.attributes();
    let mut attributes = attributes.with_checks(false).flatten();
    let is_declared = attributes.any(|each| each.key.as_ref() == key && *each.value == *ATOM);
    root.local_name().as_ref() == b"feed" && is_declared
}

impl Making {
    /// Feeds have the moment of their making in their root (Atom), or in its child `channel` (RSS): whatever else has
    /// elements of these names is a document like any other.
    fn open(&mut self, tag: &BytesStart<'_>, content: usize, is_of_all: bool) {
        let (name, local) = (tag.name(), tag.local_name());
        let is_moment = match self.depth {
            1 => {
                let is_own = name.prefix().map(|prefix| prefix.as_ref().to_vec()) == self.prefix;
                self.is_atom && is_own && local.as_ref() == b"updated"
            }
            2 => {
                let words = [&b"lastBuildDate"[..], b"pubDate", b"dc:date"];
                self.is_in_channel && words.contains(&name.as_ref())
            }
            _ => false,
        };
        match self.depth {
            0 => {
                self.is_atom = is_atom(tag);
                self.prefix = name.prefix().map(|prefix| prefix.as_ref().to_vec());
                self.is_rss = matches!(local.as_ref(), b"rss" | b"RDF");
            }
            1 => self.is_in_channel = self.is_rss && name.as_ref() == b"channel",
            _ => {}
        }
        self.since = (is_of_all && is_moment).then_some(content);
        self.depth += 1;
    }

    fn close(&mut self, end: usize) {
        self.depth = self.depth.saturating_sub(1);
        if let Some(start) = self.since.take() {
            self.spans.push(Span { start, end });
        }
    }

    fn comment(&mut self, text: &[u8], start: usize, end: usize) {
        let comment = text.get(start..end).unwrap_or_default();
        let inside = comment
            .strip_prefix(b"<!--")
            .and_then(|rest| rest.strip_suffix(b"-->"));
        if let Some(inside) = inside {
            volatile::find_in_comment(inside, start + 4, &mut self.spans);
        }
    }
}

/// Lenient where people write sitemaps by hand: a bare `&` in a URL is the usual mistake.
fn reader(body: &[u8]) -> Reader<&[u8]> {
    let mut reader = Reader::from_reader(body);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    reader
}

/// What the text of an element is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// The page that an item is about.
    Subject,
    /// The same, of an RSS feed, if it is a URL.
    Guid,
    Page,
    Asset,
    Changed,
    /// When it first came; the change where no other is told.
    Published,
}

/// An entry of a sitemap or a feed: the page that it is about is known before its date or after it.
#[derive(Default)]
struct Item {
    subjects: Vec<Vec<u8>>,
    changed: Option<i64>,
    published: Option<i64>,
}

struct Walk<'a> {
    links: &'a mut Collector,
    room: Vec<u8>,
    root: Option<Root>,
    /// The end of the root has been met.
    is_whole: bool,
    /// How many `<image>` elements are open.
    image_depth: usize,
    /// The text so far of an element that has a meaning, while inside of one.
    text: Option<(Meaning, Vec<u8>)>,
    item: Option<Item>,
    made: Making,
}

impl Walk<'_> {
    /// What an element says by its attributes, be it empty or not.
    fn start(&mut self, tag: &BytesStart<'_>) {
        let name = tag.local_name();
        if self.root.is_none() {
            self.root = Some(root_of(name.as_ref()));
        }
        match name.as_ref() {
            b"link" => self.link(tag),
            b"enclosure" | b"thumbnail" => self.named(tag, b"url", Role::Asset),
            // Media RSS has the address in `url`, Atom in `src`.
            b"content" => {
                self.named(tag, b"url", Role::Asset);
                self.named(tag, b"src", Role::Page);
            }
            _ => {}
        }
    }

    fn link(&mut self, tag: &BytesStart<'_>) {
        let Some(href) = self.attribute(tag, b"href") else {
            return;
        };
        let rel = self.attribute(tag, b"rel").unwrap_or_default();
        match rel.as_slice() {
            b"" | b"alternate" if self.root == Some(Root::Feed) => self.subject(href),
            b"enclosure" => self.links.push(&href, Role::Asset),
            _ => self.links.push(&href, Role::Page),
        }
    }

    fn named(&mut self, tag: &BytesStart<'_>, name: &[u8], role: Role) {
        if let Some(value) = self.attribute(tag, name) {
            self.links.push(&value, role);
        }
    }

    fn attribute(&mut self, tag: &BytesStart<'_>, name: &[u8]) -> Option<Vec<u8>> {
        // Without the check for duplicates, whose cost is quadratic.
        let mut attributes = tag.attributes();
        let mut attributes = attributes.with_checks(false).flatten();
        let found = attributes.find(|attribute| attribute.key.local_name().as_ref() == name)?;
        Some(references::decode(&found.value, &mut self.room).to_vec())
    }

    /// Enters an element that has content.
    fn open(&mut self, tag: &BytesStart<'_>) {
        let name = tag.local_name();
        match name.as_ref() {
            b"url" if self.image_depth == 0 => self.begin(),
            b"sitemap" | b"item" | b"entry" => self.begin(),
            b"image" => self.image_depth += 1,
            _ => {}
        }
        self.text = self
            .meaning(name.as_ref(), tag)
            .map(|meaning| (meaning, Vec::new()));
    }

    fn meaning(&mut self, name: &[u8], tag: &BytesStart<'_>) -> Option<Meaning> {
        let is_inside_image = self.image_depth > 0;
        let meaning = match name {
            b"loc" | b"url" if is_inside_image => Meaning::Asset,
            b"loc"
                if tag
                    .name()
                    .prefix()
                    .is_some_and(|prefix| prefix.as_ref() == b"image") =>
            {
                Meaning::Asset
            }
            b"loc" => Meaning::Subject,
            b"link" if is_inside_image => Meaning::Page,
            b"link" => Meaning::Subject,
            b"guid" => match self.attribute(tag, b"isPermaLink") {
                Some(word) if word.eq_ignore_ascii_case(b"false") => return None,
                _ => Meaning::Guid,
            },
            b"comments" => Meaning::Page,
            b"content_loc" | b"player_loc" | b"thumbnail_loc" | b"icon" | b"logo" => Meaning::Asset,
            b"lastmod" | b"updated" | b"modified" => Meaning::Changed,
            b"pubDate" | b"published" | b"date" => Meaning::Published,
            _ => return None,
        };
        Some(meaning)
    }

    fn extend(&mut self, piece: &[u8]) {
        if let Some((_, text)) = &mut self.text {
            text.extend_from_slice(piece);
        }
    }

    fn note_end(&mut self, name: &[u8]) {
        self.is_whole |= matches!(name, b"urlset" | b"sitemapindex");
    }

    fn end(&mut self, name: &[u8]) {
        self.note_end(name);
        if let Some((meaning, text)) = self.text.take() {
            self.take(meaning, text);
        }
        match name {
            b"url" if self.image_depth == 0 => self.flush(),
            b"sitemap" | b"item" | b"entry" => self.flush(),
            b"image" => self.image_depth = self.image_depth.saturating_sub(1),
            _ => {}
        }
    }

    fn take(&mut self, meaning: Meaning, text: Vec<u8>) {
        match (meaning, &mut self.item) {
            (Meaning::Subject, _) => self.subject(text),
            (Meaning::Guid, _) => {
                if std::str::from_utf8(&text).is_ok_and(data::is_absolute) {
                    self.subject(text);
                }
            }
            (Meaning::Page, _) => self.links.push(&text, Role::Page),
            (Meaning::Asset, _) => self.links.push(&text, Role::Asset),
            (Meaning::Changed, Some(item)) => item.changed = lastmod::parse(&text),
            (Meaning::Published, Some(item)) => item.published = lastmod::parse(&text),
            // When a feed as a whole changed is no word on the pages in it.
            (Meaning::Changed | Meaning::Published, None) => {}
        }
    }

    fn subject(&mut self, link: Vec<u8>) {
        match &mut self.item {
            Some(item) => item.subjects.push(link),
            None => self.links.push(&link, self.subject_role()),
        }
    }

    fn subject_role(&self) -> Role {
        match self.root {
            Some(Root::Index) => Role::Sitemap,
            _ => Role::Page,
        }
    }

    /// Begins an entry; one that was never ended ends here.
    fn begin(&mut self) {
        self.flush();
        self.item = Some(Item::default());
    }

    fn flush(&mut self) {
        let Some(item) = self.item.take() else {
            return;
        };
        let role = self.subject_role();
        let changed = item.changed.or(item.published);
        for link in item.subjects {
            self.links.push_dated(&link, role, changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Found = (String, Role, Option<i64>);

    /// Pages, assets and sitemaps, with their times.
    fn found(body: &str) -> (Option<Sitemap>, Vec<Found>) {
        let mut links = Collector::default();
        let sitemap = scan(body.as_bytes(), &mut links).sitemap;
        let links = links.into_links();
        let links = links
            .iter()
            .map(|link| (link.reference.to_owned(), link.role, link.lastmod));
        (sitemap, links.collect())
    }

    fn link(reference: &str, role: Role, lastmod: Option<i64>) -> Found {
        (reference.into(), role, lastmod)
    }

    #[test]
    fn entries_of_sitemaps_have_roles_and_times() {
        let (sitemap, links) = found(
            "<urlset><url><lastmod>1970-01-02</lastmod><loc>/a</loc><image:image><image:loc>/i</image:loc></image:image>
             <video:video><video:content_loc>/v</video:content_loc><video:publication_date>2000</video:publication_date></video:video>
             <xhtml:link rel='alternate' hreflang='de' href='/de/a'/></url>
             <url><loc>/b</loc></url><url><loc>/c</loc><lastmod>soon</lastmod></url></urlset>",
        );
        assert_eq!(sitemap, Some(Sitemap::Pages));
        let expected = [
            link("/i", Role::Asset, None),
            link("/v", Role::Asset, None),
            link("/de/a", Role::Page, None),
            link("/a", Role::Page, Some(86_400)),
            link("/b", Role::Page, None),
            link("/c", Role::Page, None),
        ];
        assert_eq!(links, expected);
        let (sitemap, links) = found(
            "<sitemapindex><sitemap><loc>/s</loc><lastmod>1970-01-01T00:00:09Z</lastmod></sitemap><sitemap><loc>/t",
        );
        assert_eq!(sitemap, Some(Sitemap::Index));
        assert_eq!(links, [link("/s", Role::Sitemap, Some(9))]);
    }

    #[test]
    fn entries_of_feeds_have_roles_and_times() {
        let (sitemap, links) = found(
            "<rss><channel><link>/</link><image><url>/logo</url><link>/home</link></image><item><link>/a</link>
             <guid>https://h/a</guid><comments>/a/c</comments><enclosure url='/a.mp3'/><media:content url='/a.jpg'/>
             <pubDate>Thu, 01 Jan 1970 00:00:07 GMT</pubDate></item>
             <item><link>/b</link><guid isPermaLink='false'>https://h/x</guid></item></channel></rss>",
        );
        assert_eq!(sitemap, None);
        let expected = [
            link("/", Role::Page, None),
            link("/logo", Role::Asset, None),
            link("/home", Role::Page, None),
            link("/a/c", Role::Page, None),
            link("/a.mp3", Role::Asset, None),
            link("/a.jpg", Role::Asset, None),
            link("/a", Role::Page, Some(7)),
            link("https://h/a", Role::Page, Some(7)),
            link("/b", Role::Page, None),
        ];
        assert_eq!(links, expected);
        let (_, links) = found(
            "<feed><icon>/i</icon><link rel='self' href='/f'/><updated>1970-01-01T00:00:01Z</updated><entry>
             <link href='/a'/><link rel='enclosure' href='/e'/><content src='/c'/>
             <published>1970-01-01T00:00:02Z</published><updated>1970-01-01T00:00:03Z</updated></entry></feed>",
        );
        let expected = [
            link("/i", Role::Asset, None),
            link("/f", Role::Page, None),
            link("/e", Role::Asset, None),
            link("/c", Role::Page, None),
            link("/a", Role::Page, Some(3)),
        ];
        assert_eq!(links, expected);
    }

    #[test]
    fn entities_that_a_document_declares_never_grow() {
        // A billion laughs: the text of the link is the reference itself.
        let mut body = String::from("<!DOCTYPE x [<!ENTITY a 'ha'>");
        for (name, of) in ('b'..='k').zip('a'..) {
            let ten = format!("&{of};").repeat(10);
            body.push_str(&format!("<!ENTITY {name} '{ten}'>"));
        }
        body.push_str("]><urlset><url><loc>/&k;</loc></url></urlset>");
        assert_eq!(found(&body).1, [link("/&k;", Role::Page, None)]);
    }

    #[test]
    fn a_sitemap_that_stops_before_its_end_is_told() {
        for (body, expected) in [
            (
                "<urlset><url><loc>/a</loc></url></urlset><!-- 0.1 s -->",
                false,
            ),
            ("<x:urlset><x:url></x:url></x:urlset >\n", false),
            ("<urlset xmlns='x'/>", false),
            ("<urlset><url><loc>/a</loc></url>", true),
            ("<sitemapindex><sitemap><loc>/a</lo", true),
            ("<rss><item><link>/a</link>", false),
        ] {
            let mut links = Collector::default();
            assert_eq!(scan(body.as_bytes(), &mut links).is_cut, expected, "{body}");
        }
    }

    #[test]
    fn gzip_is_taken_off_within_its_bounds() {
        use std::io::Write;
        let packed = |text: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        let text = b"https://h/a\n".repeat(1000);
        let whole = packed(&text);
        assert_eq!(gunzip(&whole), Some(text.clone()));
        let cut = gunzip(&whole[..whole.len() - 12]).unwrap();
        assert!(text.starts_with(&cut), "what came before the break");
        assert_eq!(gunzip(&text), None);
        let bomb = packed(&vec![b' '; 16 << 20]);
        let taken = gunzip(&bomb).unwrap().len() as u64;
        assert_eq!(
            taken,
            bomb.len() as u64 * GZIP_RATIO_MAX,
            "the bound springs"
        );
    }

    #[test]
    fn one_text_without_its_gzip_is_in_memory_at_a_time() {
        let packed = include_bytes!("../../fuzz/seeds/content/list.gz");
        let unpacked = Unpacked::of(packed).unwrap();
        assert!(!unpacked.text().is_empty());
        assert!(UNPACKED.try_lock().is_err());
    }

    #[test]
    fn the_moment_of_making_is_that_of_the_whole_and_of_nothing_in_it() {
        // Each row: a document, and what of it is said anew whenever it is made.
        let rows: &[(&str, &[&str])] = &[
            (
                "<rss><channel><lastBuildDate>a</lastBuildDate><pubDate> b </pubDate><item><pubDate>c</pubDate></item></channel></rss>",
                &["a", " b "],
            ),
            (
                "\u{feff}<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'><updated>a</updated><entry><updated>b</updated></entry></feed>",
                &["a"],
            ),
            (
                "<a:feed xmlns:a='http://www.w3.org/2005/Atom'><a:updated>a</a:updated><updated>b</updated></a:feed>",
                &["a"],
            ),
            // No feeds, though they have elements of these names.
            ("<feed><updated>a</updated></feed>", &[]),
            (
                "<feed xmlns='urn:x'><updated>a</updated><x><pubDate>b</pubDate></x></feed>",
                &[],
            ),
            (
                "<rss><stock><pubDate>a</pubDate></stock><pubDate>b</pubDate></rss>",
                &[],
            ),
            ("<rdf:RDF><item><dc:date>a</dc:date></item></rdf:RDF>", &[]),
            (
                "<rdf:RDF><channel><dc:date>a</dc:date></channel><item><dc:date>b</dc:date></item></rdf:RDF>",
                &["a"],
            ),
            (
                "<!-- generated-on=\"January 2, 2026 3:04 am\" --><urlset><url><lastmod>a</lastmod></url></urlset><!-- Total queries: 34 -->",
                &["January 2, 2026 3:04 am", "queries: 34"],
            ),
            (
                "<rss><channel><image><pubDate>a</pubDate></image></channel></rss>",
                &[],
            ),
            (
                "<rss><channel><lastBuildDate/><title>a</title></channel></rss>",
                &[],
            ),
            ("<page><updated>a</updated></page>", &[]),
            ("<feed><updated>a", &[]),
        ];
        for (body, expected) in rows {
            let made = scan(body.as_bytes(), &mut Collector::default()).made;
            let made: Vec<&str> = made
                .iter()
                .map(|span| &body[span.start..span.end])
                .collect();
            assert_eq!(made, *expected, "{body}");
        }
    }

    #[test]
    fn lists_have_one_url_a_line() {
        let text = "\u{feff}https://h/a\r\n\r\n  http://h/b\t\n# no\n/c\rHTTPS://h/d";
        let mut links = Collector::default();
        lines(text.as_bytes(), &mut links);
        let links = links.into_links();
        let found: Vec<_> = links.references().collect();
        assert_eq!(found, ["https://h/a", "http://h/b", "HTTPS://h/d"]);
    }

    #[test]
    fn links_are_read_from_sitemaps_and_feeds() {
        // One form each; broken XML yields what came before the break.
        let rows: &[(&str, &[&str])] = &[
            (
                "<?xml version='1.0'?><urlset><url><loc> /a </loc><lastmod>1</lastmod></url></urlset>",
                &["/a"],
            ),
            (
                "<sitemapindex><sitemap><loc>/s.xml</loc></sitemap></sitemapindex>",
                &["/s.xml"],
            ),
            (
                "\u{feff}<x:urlset><x:loc>/a</x:loc><image:loc>/b</image:loc></x:urlset>",
                &["/a", "/b"],
            ),
            ("<loc>/a?b=1&amp;c=2&#x26;d</loc>", &["/a?b=1&c=2&d"]),
            ("<loc>/a?b=1&c=2</loc><loc>/b</loc>", &["/a?b=1&c=2", "/b"]),
            ("<loc><![CDATA[/a?b&amp;c]]></loc>", &["/a?b&amp;c"]),
            ("<loc>/<!-- x -->a</loc>", &["/a"]),
            (
                "<url><xhtml:link rel='alternate' href='/de?a&amp;b'/></url>",
                &["/de?a&b"],
            ),
            (
                "<feed><link href=\"/a\"/><entry><link rel=x href='/b'></link></entry></feed>",
                &["/a", "/b"],
            ),
            (
                "<rss><link>/a</link><enclosure url='/b.mp3' length='1'/></rss>",
                &["/a", "/b.mp3"],
            ),
            ("<a href='/x'/><title>/y</title>", &[]),
            (
                "<loc>/a</loc><loc>/b</wrong><loc>/c</loc>",
                &["/a", "/b", "/c"],
            ),
            ("<loc>/a</loc></loc></x><loc>/b</loc>", &["/a", "/b"]),
            ("<loc>/a</loc><loc>/b", &["/a"]),
            ("<loc>/a</loc><loc><!-- /b</loc>", &["/a"]),
            ("<!DOCTYPE x [<!ENTITY y 'z'>]><loc>/&y;</loc>", &["/&y;"]),
            ("no XML", &[]),
            ("", &[]),
        ];
        for (body, expected) in rows {
            let mut links = Collector::default();
            scan(body.as_bytes(), &mut links);
            let links = links.into_links();
            assert_eq!(links.references().collect::<Vec<_>>(), *expected, "{body}");
        }
    }
}
