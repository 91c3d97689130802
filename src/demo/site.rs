//! The demo site: every address and what it answers; edits, and exactly what they change.
//!
//! An edit changes the ministry, makes every text anew and compares, so that its list holds the side
//! effects too (the index that names a new page, the sitemap that dates an edited one) without
//! anybody having to think of them.

use std::collections::BTreeMap;

use bytes::Bytes;
use time::{Date, Duration};

use super::ministry::{FLAGS, Ministry, SCENES};
use super::pages::Page;
use super::words;
use super::{assets, feeds, font, sections, standing};

/// The width in which scenes are drawn, in pixels; they are offered in half of it too.
const SCENE_WIDTH: usize = 640;

/// The width of the picture on the home page.
const FRONT_WIDTH: usize = 1120;

/// The bundled web site, in memory.
#[derive(Debug, Clone)]
pub struct DemoSite {
    base: String,
    ministry: Ministry,
    /// How often the site was edited.
    edits: u32,
    answers: BTreeMap<String, Answer>,
    not_found: String,
}

/// One address whose content an edit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Path and query as in a request, percent-encoded.
    pub path: String,
    pub what: EditKind,
    /// For people: what happened, in a few words.
    pub note: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EditKind {
    /// Other bytes, and another number of them.
    Edited,
    /// Other bytes, as many as before.
    SameSize,
    /// Answered 404 before.
    Added,
    /// Answers 410 from now on.
    Withdrawn,
}

/// What an address answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// With [`pages::NONCE`](super::pages::NONCE) in place of nonces.
    Html {
        status: u16,
        text: String,
    },
    File(File),
    Redirect {
        status: u16,
        to: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub body: Bytes,
    pub content_type: &'static str,
    /// With its quotes.
    pub etag: String,
    pub modified: Date,
}

impl DemoSite {
    /// The site of a seed: the same bytes for the same seed and base (on one platform: pictures and
    /// tides pass through its sine). `base` is the origin that
    /// robots.txt, sitemaps and feed name, such as `http://127.0.0.1:8080`.
    ///
    /// Draws some two million pixels: 0.3 s in a release build, 2 s in a debug build.
    pub fn generate(seed: u64, base: &str) -> DemoSite {
        let ministry = Ministry::new(seed);
        let base = base.trim_end_matches('/').to_owned();
        let mut answers = texts(&ministry, &base);
        answers.extend(pictures(&ministry));
        let not_found = standing::not_found().html;
        DemoSite {
            base,
            ministry,
            edits: 0,
            answers,
            not_found,
        }
    }

    /// HTML pages that answer 200, the one that robots.txt forbids included.
    pub fn pages(&self) -> usize {
        let is_page = |answer: &&Answer| matches!(answer, Answer::Html { status: 200, .. });
        self.answers.values().filter(is_page).count()
    }

    /// Addresses that answer 200 with anything but HTML.
    pub fn files(&self) -> usize {
        self.answers
            .values()
            .filter(|answer| matches!(answer, Answer::File(_)))
            .count()
    }

    /// Bytes of all bodies that are answered with 200.
    pub fn bytes(&self) -> u64 {
        self.answers
            .values()
            .map(|answer| answer.size() as u64)
            .sum()
    }

    /// A day's work on the site: a guide, a news item, a fee whose digits are swapped, a dataset, a
    /// picture and a title are edited, a news item is added, a publication withdrawn (410, and no
    /// page links to it any more). Returns every address whose content differs from before, side
    /// effects included, in the order of the addresses.
    pub fn edit(&mut self) -> Vec<Edit> {
        self.edits += 1;
        self.ministry.today += Duration::days(1);
        let notes = self.work();
        let before = std::mem::take(&mut self.answers);
        self.answers = texts(&self.ministry, &self.base);
        for (path, answer) in &before {
            self.carry_over(path, answer);
        }
        let flag = self.edits as usize % FLAGS;
        self.answers.extend([flag_picture(&self.ministry, flag)]);
        self.changes(&before, &notes)
    }

    /// Changes the ministry. Returns what is to be said about each address.
    fn work(&mut self) -> BTreeMap<String, String> {
        let turn = self.edits as usize;
        let mut notes = BTreeMap::new();
        let mut note = |path: String, text: &str| notes.insert(path, text.to_owned());
        note(
            edit_guide(&mut self.ministry, turn),
            "a guide gained a paragraph",
        );
        note(
            edit_news(&mut self.ministry, turn),
            "a news item was corrected",
        );
        note(
            self.swap_fee(),
            "the fee’s digits changed places; no date tells of it",
        );
        let dataset = turn % words::DATASETS.len();
        self.ministry.dataset_revisions[dataset] += 1;
        note(
            dataset_path(dataset),
            "one figure of the dataset was corrected",
        );
        self.ministry.flag_revisions[turn % FLAGS] += 1;
        note(flag_path(turn % FLAGS), "the flag was redrawn");
        note(
            retitle_boat(&mut self.ministry, turn),
            "the page has a new title",
        );
        note(
            "/small-boats".to_owned(),
            "lists the page with the new title",
        );
        self.ministry.publish_news();
        note(
            format!("/news/{}", self.ministry.news[0].article.slug),
            "a news item was published",
        );
        for path in ["/", "/news", "/news.atom"] {
            note(path.to_owned(), "lists the new news item");
        }
        if let Some((page, organisation)) = withdraw_publication(&mut self.ministry) {
            note(page, "the publication was withdrawn");
            for path in ["/publications".to_owned(), organisation] {
                note(path, "no longer lists the withdrawn publication");
            }
        }
        notes
    }

    /// £42 becomes £24, and back.
    fn swap_fee(&mut self) -> String {
        let fee = self.ministry.fee;
        self.ministry.fee = fee % 10 * 10 + fee / 10;
        "/guides/register-a-small-boat/what-it-costs".to_owned()
    }

    /// Keeps an older answer where it still stands: pictures, which are not drawn again, and files
    /// with the same bytes, which keep their date.
    fn carry_over(&mut self, path: &str, before: &Answer) {
        let Answer::File(older) = before else {
            return;
        };
        let stands = match self.answers.get(path) {
            Some(Answer::File(file)) => file.body == older.body,
            Some(_) => false,
            None => path.ends_with(".png"),
        };
        if stands {
            self.answers.insert(path.to_owned(), before.clone());
        }
    }

    fn changes(
        &self,
        before: &BTreeMap<String, Answer>,
        notes: &BTreeMap<String, String>,
    ) -> Vec<Edit> {
        let mut edits = Vec::new();
        for (path, answer) in &self.answers {
            let older = before.get(path);
            let what = match older {
                Some(older) if older == answer => continue,
                None => EditKind::Added,
                Some(_) if matches!(answer, Answer::Html { status: 410, .. }) => {
                    EditKind::Withdrawn
                }
                Some(older) if older.size() == answer.size() => EditKind::SameSize,
                Some(_) => EditKind::Edited,
            };
            let note = notes
                .get(path)
                .cloned()
                .unwrap_or_else(|| side_effect(path).to_owned());
            edits.push(Edit {
                path: path.clone(),
                what,
                note,
            });
        }
        assert!(
            before.keys().all(|path| self.answers.contains_key(path)),
            "an address is withdrawn by answering 410, never by being forgotten"
        );
        edits
    }

    /// What the path and query of a request are answered with; `None` is 404.
    pub(super) fn find(&self, target: &str) -> Option<&Answer> {
        self.answers.get(target)
    }

    /// The HTML of the 404 answer.
    pub(super) fn not_found(&self) -> &str {
        &self.not_found
    }
}

impl Answer {
    fn file(content_type: &'static str, body: impl Into<Bytes>, modified: Date) -> Answer {
        let body = body.into();
        let hash = blake3::hash(&body).to_hex();
        let etag = format!("\"{}\"", &hash[..16]);
        Answer::File(File {
            body,
            content_type,
            etag,
            modified,
        })
    }

    /// Bytes answered with 200; 0 for other answers.
    fn size(&self) -> usize {
        match self {
            Answer::Html { status: 200, text } => text.len(),
            Answer::File(file) => file.body.len(),
            _ => 0,
        }
    }
}

fn side_effect(path: &str) -> &'static str {
    match path {
        _ if path.contains("sitemap") => "names the new dates and addresses",
        _ if path.contains("?page=") => "its share of the list has moved on",
        _ => "shows something that was edited",
    }
}

fn edit_guide(ministry: &mut Ministry, turn: usize) -> String {
    let at = turn * 3 % ministry.guides.len();
    // The third part is never the one with the fee, whose edit must keep its size and date.
    let part = 2;
    let guide = &ministry.guides[at];
    let path = format!(
        "/guides/{}/{}",
        guide.article.slug, guide.parts[part].article.slug
    );
    let sentence = ministry.sentence(&path);
    let article = &mut ministry.guides[at].parts[part].article;
    article.text.push(format!("New this season. {sentence}"));
    article.updated = ministry.today;
    path
}

fn edit_news(ministry: &mut Ministry, turn: usize) -> String {
    let at = (29 + 5 * turn) % ministry.news.len();
    let path = format!("/news/{}", ministry.news[at].article.slug);
    let sentence = ministry.sentence(&path);
    let article = &mut ministry.news[at].article;
    article.text.push(format!(
        "Correction: an earlier version forgot to say the following. {sentence}"
    ));
    article.updated = ministry.today;
    path
}

fn retitle_boat(ministry: &mut Ministry, turn: usize) -> String {
    let at = turn * 5 % ministry.boats.len();
    let article = &mut ministry.boats[at].article;
    article.title.push_str(", and how to get out of them");
    article.updated = ministry.today;
    format!("/small-boats/{}", article.slug)
}

/// Withdraws the last publication that has no PDF. Returns its address and its organisation's;
/// `None` when all such are withdrawn.
fn withdraw_publication(ministry: &mut Ministry) -> Option<(String, String)> {
    let publication = ministry
        .publications
        .iter_mut()
        .rev()
        .find(|one| !one.has_pdf && !one.is_withdrawn)?;
    publication.is_withdrawn = true;
    let organisation = &ministry.organisations[publication.from];
    Some((
        format!("/publications/{}", publication.article.slug),
        format!("/organisations/{}", organisation.slug),
    ))
}

fn dataset_path(dataset: usize) -> String {
    format!("/data/files/{}.csv", words::DATASETS[dataset].0)
}

fn flag_path(number: usize) -> String {
    format!("/images/flag-{number}.png")
}

/// Everything but the pictures.
fn texts(ministry: &Ministry, base: &str) -> BTreeMap<String, Answer> {
    let pages = sections::all(ministry);
    let mut answers = BTreeMap::new();
    let mut file = |path: &str, content_type, body: String| {
        answers.insert(
            path.to_owned(),
            Answer::file(content_type, body, ministry.today),
        );
    };
    for (path, content_type, text) in LOOK {
        file(path, content_type, text.to_owned());
    }
    file("/robots.txt", TEXT, feeds::robots(base));
    for (path, map) in feeds::sitemaps(base, &pages) {
        file(path, XML, map);
    }
    file("/news.atom", ATOM, feeds::atom(base, ministry));
    file("/data/harbours.json", JSON, feeds::harbours_json(ministry));
    for dataset in 0..words::DATASETS.len() {
        file(&dataset_path(dataset), CSV, feeds::csv(ministry, dataset));
    }
    for (name, title, heights) in sections::tide_months(ministry.seed) {
        file(
            &format!("/tides/charts/{name}.svg"),
            SVG,
            assets::tide_chart(&title, &heights),
        );
    }
    answers.extend(binaries(ministry));
    answers.extend(pages.into_iter().map(|page| html(200, page)));
    answers.extend(withdrawn(ministry));
    for (status, path, to) in standing::REDIRECTS {
        answers.insert(path.to_owned(), Answer::Redirect { status, to });
    }
    answers
}

/// What answers 410.
fn withdrawn(ministry: &Ministry) -> Vec<(String, Answer)> {
    let mut answers = vec![html(410, standing::gone(standing::GONE))];
    for publication in ministry.publications.iter().filter(|one| one.is_withdrawn) {
        let path = format!("/publications/{}", publication.article.slug);
        answers.push(html(410, standing::gone(&path)));
    }
    answers
}

fn html(status: u16, page: Page) -> (String, Answer) {
    (
        page.path,
        Answer::Html {
            status,
            text: page.html,
        },
    )
}

/// The font, the icon and the PDFs.
fn binaries(ministry: &Ministry) -> Vec<(String, Answer)> {
    let today = ministry.today;
    let mut files = vec![
        (
            "/assets/pharos.woff".to_owned(),
            Answer::file("font/woff", font::woff(), today),
        ),
        (
            "/favicon.ico".to_owned(),
            Answer::file("image/x-icon", assets::icon(), today),
        ),
    ];
    for publication in ministry
        .publications
        .iter()
        .filter(|publication| publication.has_pdf)
    {
        let article = &publication.article;
        let body = assets::pdf(&article.title, &article.text);
        files.push((
            sections::pdf_path(publication),
            Answer::file("application/pdf", body, today),
        ));
    }
    files
}

/// Every PNG by its path.
fn pictures(ministry: &Ministry) -> Vec<(String, Answer)> {
    let png = |path: String, picture: assets::Picture| {
        (path, Answer::file(PNG, picture.png(), ministry.today))
    };
    let mut files = vec![
        png("/images/paper.png".to_owned(), assets::paper(ministry.seed)),
        png(
            "/images/front.png".to_owned(),
            assets::scene(ministry.seed, 2, FRONT_WIDTH),
        ),
    ];
    for number in 0..SCENES {
        let picture = assets::scene(ministry.seed, number, SCENE_WIDTH);
        let small = picture.halved();
        files.push(png(format!("/images/scene-{number}-640.png"), picture));
        files.push(png(format!("/images/scene-{number}-320.png"), small));
    }
    files.extend((0..FLAGS).map(|number| flag_picture(ministry, number)));
    files
}

fn flag_picture(ministry: &Ministry, number: usize) -> (String, Answer) {
    let picture = assets::flag(ministry.seed, number, ministry.flag_revisions[number]);
    (
        flag_path(number),
        Answer::file(PNG, picture.png(), ministry.today),
    )
}

const ATOM: &str = "application/atom+xml; charset=utf-8";
const CSV: &str = "text/csv; charset=utf-8";
const JSON: &str = "application/json";
const PNG: &str = "image/png";
const SVG: &str = "image/svg+xml; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
const XML: &str = "application/xml; charset=utf-8";

/// Files that are the same for every seed: path, content type, text.
const LOOK: [(&str, &str, &str); 6] = [
    (
        "/assets/base.css",
        "text/css; charset=utf-8",
        include_str!("look/base.css"),
    ),
    (
        "/assets/site.css",
        "text/css; charset=utf-8",
        include_str!("look/site.css"),
    ),
    (
        "/assets/site.js",
        "text/javascript; charset=utf-8",
        include_str!("look/site.js"),
    ),
    (
        "/assets/tide-clock.js",
        "text/javascript; charset=utf-8",
        include_str!("look/tide-clock.js"),
    ),
    ("/images/crest.svg", SVG, include_str!("look/crest.svg")),
    ("/images/waves.svg", SVG, include_str!("look/waves.svg")),
];

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::demo::pages::NONCE;
    use std::sync::OnceLock;

    /// The site of seed 7, made once for all tests: drawing takes its time in a debug build.
    pub(in crate::demo) fn seven() -> DemoSite {
        static SEVEN: OnceLock<DemoSite> = OnceLock::new();
        SEVEN
            .get_or_init(|| DemoSite::generate(7, "http://127.0.0.1:8080"))
            .clone()
    }

    #[test]
    fn a_seed_means_a_site() {
        // Promise: same seed, same bytes, after edits too; another seed, another site.
        let (mut one, mut other) = (seven(), DemoSite::generate(7, "http://127.0.0.1:8080/"));
        assert_eq!(one.answers, other.answers);
        assert_eq!(one.edit(), other.edit());
        assert_eq!(one.answers, other.answers);
        assert_ne!(
            texts(&Ministry::new(8), "http://h"),
            texts(&Ministry::new(7), "http://h")
        );
    }

    #[test]
    fn the_site_has_its_parts() {
        // Promise: enough of everything that a mirror meets, by exact count.
        let site = seven();
        let count = |end: &str| {
            site.answers
                .keys()
                .filter(|path| path.ends_with(end))
                .count()
        };
        let of = |wanted: u16| {
            let has = |answer: &&Answer| {
                matches!(answer,
                Answer::Html { status, .. } | Answer::Redirect { status, .. } if *status == wanted)
            };
            site.answers.values().filter(has).count()
        };
        assert_eq!(site.pages(), 380);
        let ends = [
            ".css", ".js", ".woff", ".png", ".pdf", ".csv", ".svg", ".xml",
        ]
        .map(count);
        assert_eq!(ends, [2, 2, 1, 24, 12, 12, 14, 4]);
        assert_eq!([301, 302, 308, 410].map(of), [2, 2, 2, 1]);
        assert!(
            (2_000_000..4_000_000).contains(&site.bytes()),
            "{}",
            site.bytes()
        );
    }

    #[test]
    fn every_page_carries_two_nonces() {
        // Promise: each HTML answer has two scripts with a nonce, the withdrawn page's too.
        for (path, answer) in &seven().answers {
            if let Answer::Html { text, .. } = answer {
                assert_eq!(
                    text.matches(&format!("<script nonce=\"{NONCE}\"")).count(),
                    2,
                    "{path}"
                );
                assert_eq!(text.matches(NONCE).count(), 2, "{path}");
            }
        }
    }

    #[test]
    fn an_edit_names_exactly_what_it_changes() {
        // Promise: the list is the difference, side effects included; written out for one seed.
        let mut site = seven();
        let mut said: Vec<(EditKind, String)> = site
            .edit()
            .into_iter()
            .map(|edit| (edit.what, edit.path))
            .collect();
        said.sort();
        let expected: Vec<(EditKind, String)> = EXPECTED
            .iter()
            .flat_map(|(what, paths)| paths.iter().map(|path| (*what, (*path).to_owned())))
            .collect();
        assert_eq!(said, expected);
    }

    const EXPECTED: [(EditKind, &[&str]); 4] = [
        (
            EditKind::Edited,
            &[
                "/",
                "/guides/read-a-tide-table/time-and-summer-time",
                "/images/flag-1.png",
                "/news",
                "/news.atom",
                "/news/tidewell-appoints-a-cat-2025",
                "/organisations/buoy-registry",
                "/publications",
                "/sitemap-news.xml",
                "/sitemap-places.xml",
                "/small-boats",
                "/small-boats/prams",
            ],
        ),
        (
            EditKind::SameSize,
            &[
                "/data/files/boats-registered.csv",
                "/guides/register-a-small-boat/what-it-costs",
                "/sitemap-guides.xml",
                "/sitemap.xml",
            ],
        ),
        (
            EditKind::Added,
            &["/news/ferry-to-dogwatch-gets-a-second-bench-2025"],
        ),
        (
            EditKind::Withdrawn,
            &["/publications/letters-received-by-sea"],
        ),
    ];

    #[test]
    fn many_edits_stay_exact_and_forget_nothing() {
        // Promise: days of edits, until there is nothing left to withdraw and the list of news has
        // moved on: every list is the difference of the answers, and each holds the work done.
        let mut site = seven();
        for day in 1..=30 {
            let before = site.answers.clone();
            let edits = site.edit();
            for (path, answer) in &site.answers {
                let is_named = edits.iter().any(|edit| edit.path == *path);
                assert_eq!(
                    before.get(path) != Some(answer),
                    is_named,
                    "day {day}: {path}"
                );
            }
            let notes: Vec<&str> = edits.iter().map(|edit| edit.note.as_str()).collect();
            for work in [
                "guide gained",
                "was corrected",
                "digits",
                "dataset",
                "redrawn",
                "new title",
                "published",
            ] {
                assert!(
                    notes.iter().any(|note| note.contains(work)),
                    "day {day}: {work}"
                );
            }
            let count = |what| edits.iter().filter(|edit| edit.what == what).count();
            assert!(
                count(EditKind::Withdrawn) == usize::from(day <= 24),
                "day {day}"
            );
            assert!(count(EditKind::Added) >= 1, "day {day}");
        }
    }

    #[test]
    fn swapped_digits_keep_size_and_date() {
        // Promise: the edit that tools comparing sizes and dates never see is in the list.
        let mut site = seven();
        let path = "/guides/register-a-small-boat/what-it-costs";
        let html = |site: &DemoSite| match site.find(path) {
            Some(Answer::Html { text, .. }) => text.clone(),
            _ => panic!("the page with the fee is gone"),
        };
        let before = html(&site);
        let edits = site.edit();
        assert!(
            edits
                .iter()
                .any(|edit| edit.path == path && edit.what == EditKind::SameSize)
        );
        assert_eq!(before.replace("£42", "£24"), html(&site));
        assert_ne!(before, html(&site));
    }

    #[test]
    fn unchanged_files_keep_their_date() {
        // Promise: an edit moves the validators of the files that it changed and of no other.
        let mut site = seven();
        let file = |site: &DemoSite, path: &str| match site.find(path) {
            Some(Answer::File(file)) => (file.etag.clone(), file.modified),
            _ => panic!("{path} is no file"),
        };
        let paths = [
            "/robots.txt",
            "/images/flag-0.png",
            "/images/front.png",
            "/images/flag-1.png",
            "/news.atom",
        ];
        let before = paths.map(|path| file(&site, path));
        site.edit();
        let after = paths.map(|path| file(&site, path));
        assert_eq!(before[..3], after[..3]);
        for at in 3..5 {
            assert!(
                before[at].0 != after[at].0 && before[at].1 < after[at].1,
                "{}",
                paths[at]
            );
        }
    }
}
