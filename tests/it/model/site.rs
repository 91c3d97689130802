//! The oracle: what the origin shows, and what a mirror of it must have recorded, as plain maps. Nothing in
//! here is the project's own; what it says about keys is a table.

use std::collections::BTreeMap;

use crate::support::origin::{Origin, Page};

/// What paths and keys of the second host begin with here.
pub const SECOND: &str = "2:";

/// Paths as they are requested, and what follows the host in their keys.
pub const PATHS: [(&str, &str); 22] = [
    ("/", "/index.html"),
    ("/robots.txt", "/robots.txt"),
    ("/a", "/a"),
    ("/a/b", "/a/b"),
    ("/a/b/c.css", "/a/b/c.css"),
    ("/x/", "/x/index.html"),
    ("/x/index.html", "/x/index.html"),
    ("/y/", "/y/index.html"),
    ("/y/index.html", "/y/index.html"),
    ("/q!", "/q!"),
    ("/q%21", "/q!"),
    ("/d%C3%A9j%C3%A0/vu.html", "/déjà/vu.html"),
    ("/white%20space", "/white space"),
    ("/plus+plus", "/plus+plus"),
    ("/list", "/list"),
    ("/list?page=2", "/%/list%3Fpage=2"),
    ("/cut%2Fhere", "/%/cut%252Fhere"),
    ("/style.css", "/style.css"),
    ("/index.htm", "/index.htm"),
    ("2:/", "2:/index.html"),
    ("2:/a", "2:/a"),
    ("2:/style.css", "2:/style.css"),
];

pub const HOME: usize = 0;
pub const ROBOTS: usize = 1;

/// Versions that a text can have; few, so that pages often change back, or are equal to others.
pub const TEXTS: u8 = 4;

const ATTACHED: &str = "attachment";

const TYPES: [[&str; 2]; 3] = [
    ["text/html; charset=utf-8", "text/plain"],
    ["text/html; charset=utf-8", "text/html"],
    ["text/css", "text/css; charset=utf-8"],
];

/// What is volatile where the mirror's rules say so.
pub const RULE: &str = "built [0-9a-f]+";

const CACHING: [Option<&str>; 3] = [None, Some("max-age=60"), Some("no-cache")];

/// What a path answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Shown {
    /// 404.
    Nothing,
    /// 410.
    Gone,
    /// 500.
    Broken,
    Page(Sheet),
    Redirect {
        status: u16,
        target: String,
    },
}

/// A page in a few choices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sheet {
    pub make: Make,
    pub text: u8,
    /// One of two content types that fit.
    pub kind: usize,
    pub caching: usize,
    /// Is to be saved and not shown.
    pub attached: bool,
    /// Sends an ETag; its number can change without the page.
    pub tag: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Make {
    Html,
    /// HTML with a nonce that is new in each answer.
    Nonce,
    /// HTML whose text says when it was built, in each answer something else: volatile by [`RULE`] alone.
    Built,
    Css,
}

/// One change to the site. `at` is an index into [`PATHS`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    Write {
        at: usize,
        sheet: Sheet,
    },
    Redirect {
        at: usize,
        status: u16,
        to: usize,
    },
    Retype {
        at: usize,
    },
    Recache {
        at: usize,
        caching: usize,
    },
    /// Another Content-Disposition.
    Attach {
        at: usize,
    },
    Retag {
        at: usize,
    },
    /// What is at `at` is at `to` from now on; the old place says so, or that it is gone, or nothing.
    Move {
        at: usize,
        to: usize,
        leaves: Leaves,
    },
    Withdraw {
        at: usize,
    },
    Remove {
        at: usize,
    },
    Break {
        at: usize,
    },
    /// Back to what it was before the last step that changed it.
    Undo {
        at: usize,
    },
}

/// What a page leaves at its old place when it moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    Nothing,
    Gone,
    Redirect,
}

/// An object that a tier must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    pub path: &'static str,
    pub body: Body,
    pub status: u16,
    pub location: Option<String>,
    pub content_type: String,
    pub caching: Option<String>,
    pub disposition: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    Exact(String),
    /// A text around a nonce, and which of all fetches it was that was stored.
    Stamped {
        text: String,
        stamp: u64,
        volatile: Volatile,
        /// Which version of the rules it was recorded by.
        rules: u32,
    },
    /// The page that stands for a redirect, by its target.
    Redirect(String),
}

/// By which rules the part of a page that changes in each answer was taken out when the page was recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Volatile {
    BuiltIn,
    Configured,
    /// By none: each answer is another page.
    No,
}

/// What a run records of a crawl, by what its guards say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Guarding {
    Silent,
    /// One withdrawal is too many: then they all wait, and so does the evidence for later ones.
    NoWithdrawals,
    /// One page that does not answer is too many: then nothing is recorded.
    NoLosses,
}

/// Objects by key below the host.
pub type Expected = BTreeMap<&'static str, Object>;

/// What became of a crawl.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    pub changed: bool,
    /// Withdrawals that wait.
    pub held_back: u64,
    /// Nothing was recorded at all.
    pub refused: bool,
}

impl Recorded {
    pub fn refused() -> Recorded {
        Recorded {
            changed: false,
            held_back: 0,
            refused: true,
        }
    }
}

/// How many objects must be touched, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Difference {
    pub put: u64,
    pub reheadered: u64,
    pub deleted: u64,
}

/// The origin's state and what a mirror of it must have recorded after each run.
pub struct Site {
    shown: Vec<Shown>,
    earlier: Vec<Shown>,
    live: BTreeMap<usize, Object>,
    /// Strikes and the number of the crawl that gave the last.
    strikes: BTreeMap<usize, (u32, u64)>,
    crawls: u64,
    stamps: u64,
    bases: [String; 2],
    home: Make,
    /// Whether the mirror takes [`RULE`] into account.
    pub ruled: bool,
    /// The versions of the rules so far, and what the last of them says.
    rules: u32,
    ruled_before: bool,
}

impl Site {
    pub fn new(origins: [&Origin; 2], home: Make) -> Site {
        let shown = vec![Shown::Nothing; PATHS.len()];
        let site = Site {
            earlier: shown.clone(),
            shown,
            live: BTreeMap::new(),
            strikes: BTreeMap::new(),
            crawls: 0,
            stamps: 0,
            bases: origins.map(|origin| origin.url("")),
            home,
            ruled: false,
            rules: 0,
            ruled_before: false,
        };
        site.show(origins);
        site
    }

    /// Changes the site. `certain`: every earlier answer has been recorded; when not, no page may break,
    /// since nobody could say which of its earlier states was kept.
    pub fn edit(&mut self, origins: [&Origin; 2], edits: &[Edit], certain: bool) {
        let before = self.shown.clone();
        for edit in edits {
            for (at, shown) in self.outcomes_of(edit) {
                if certain || shown != Shown::Broken {
                    self.shown[at] = shown;
                }
            }
        }
        for (at, old) in before.into_iter().enumerate() {
            if old != self.shown[at] {
                self.earlier[at] = old;
            }
        }
        self.show(origins);
    }

    /// A crawl has begun, and so the rules have a new version if they are other ones.
    pub fn note_rules(&mut self) {
        self.rules += u32::from(self.ruled != self.ruled_before);
        self.ruled_before = self.ruled;
    }

    /// As [`Site::crawl_by`], with nothing that a guard would say something about.
    pub fn crawl(&mut self) -> bool {
        self.crawl_by(Guarding::Silent).changed
    }

    /// A run that was not killed has seen all this.
    pub fn crawl_by(&mut self, guarding: Guarding) -> Recorded {
        let withdrawn = self.withdrawals();
        let held_back = match guarding {
            Guarding::Silent => 0,
            Guarding::NoWithdrawals => withdrawn,
            Guarding::NoLosses => {
                let is_there =
                    |at: &usize| matches!(self.shown(*at), Shown::Page(_) | Shown::Redirect { .. });
                if self.live.keys().all(is_there) {
                    0
                } else {
                    return Recorded::refused();
                }
            }
        };
        let changed = self.record_all(held_back > 0);
        Recorded {
            changed,
            held_back,
            refused: false,
        }
    }

    /// Pages that a crawl would withdraw.
    fn withdrawals(&self) -> u64 {
        let is_second = |at: &usize| {
            let strikes = self.strikes.get(at);
            strikes.is_some_and(|(strikes, last)| *strikes == 1 && *last == self.crawls)
        };
        let goes = |at: &&usize| match self.shown(**at) {
            Shown::Gone => true,
            Shown::Nothing => is_second(at),
            _ => false,
        };
        self.live.keys().filter(goes).count() as u64
    }

    fn record_all(&mut self, keeps: bool) -> bool {
        let mut changed = false;
        for at in 0..PATHS.len() {
            match self.shown(at) {
                Shown::Gone | Shown::Nothing if keeps => (),
                Shown::Gone => changed |= self.live.remove(&at).is_some(),
                Shown::Nothing if self.live.contains_key(&at) => changed |= self.strike(at),
                Shown::Nothing | Shown::Broken => (),
                Shown::Page(_) | Shown::Redirect { .. } => changed |= self.record(at),
            }
        }
        self.crawls += 1;
        changed
    }

    /// So many crawls were committed that every page which is not there has been withdrawn.
    pub fn crawl_to_the_end(&mut self) {
        self.crawl();
        for at in 0..PATHS.len() {
            if self.shown(at) == Shown::Nothing {
                self.live.remove(&at);
            }
        }
        self.strikes.clear();
    }

    /// What a tier must hold that has everything.
    pub fn expected(&self) -> Expected {
        winners(self.live.iter())
    }

    /// As [`Site::expected`] after a crawl, where each page that answers 404 may or may not have been
    /// withdrawn: all objects that would be right, by key. When the site has changed between killed runs
    /// (`edited`) such pages may also have been recorded in between, and nothing is said of their keys.
    pub fn possible(&mut self, edited: bool) -> BTreeMap<&'static str, Vec<Option<Object>>> {
        let kept = (self.strikes.clone(), self.live.clone(), self.crawls);
        self.crawl();
        let uncertain: Vec<usize> = (0..PATHS.len())
            .filter(|at| self.shown(*at) == Shown::Nothing && kept.1.contains_key(at))
            .collect();
        let mut possible: BTreeMap<&str, Vec<Option<Object>>> = BTreeMap::new();
        let is_absent = |at: usize| self.shown(at) == Shown::Nothing;
        for (_, key) in PATHS {
            if edited && (0..PATHS.len()).any(|at| PATHS[at].1 == key && is_absent(at)) {
                continue;
            }
            let doubted: Vec<usize> = uncertain
                .iter()
                .copied()
                .filter(|at| PATHS[*at].1 == key)
                .collect();
            for choice in 0..1_usize << doubted.len() {
                let mut live = self.live.clone();
                for (bit, at) in doubted.iter().enumerate() {
                    match choice >> bit & 1 {
                        0 => live.remove(at),
                        _ => live.insert(*at, kept.1[at].clone()),
                    };
                }
                let winner = winners(live.iter()).remove(key);
                possible.entry(key).or_default().push(winner);
            }
        }
        (self.strikes, self.live, self.crawls) = kept;
        possible
    }

    /// Pages on one key of which one is not what the reader gets who is served the other.
    pub fn collides(&self) -> bool {
        let winners = self.expected();
        self.live.iter().any(|(at, object)| {
            let served = &winners[PATHS[*at].1];
            served.path != object.path && !self.is_served_by(served, object)
        })
    }

    fn is_served_by(&self, served: &Object, asked: &Object) -> bool {
        match (&served.location, &asked.location) {
            (None, None) => served.body.is_alike(&asked.body),
            (Some(served), Some(asked)) if served == asked => true,
            (_, Some(target)) => *target == self.url_of(served.path),
            (Some(_), None) => false,
        }
    }

    /// The URLs that have an object of their own, or share one.
    pub fn live_urls(&self) -> Vec<String> {
        let paths = self.live.keys().map(|at| PATHS[*at].0);
        let mut urls: Vec<String> = paths.map(|path| self.url_of(path)).collect();
        urls.sort();
        urls
    }

    /// The URL of a path in [`PATHS`].
    pub fn url_of(&self, path: &str) -> String {
        match path.strip_prefix(SECOND) {
            Some(path) => format!("{}{path}", self.bases[1]),
            None => format!("{}{path}", self.bases[0]),
        }
    }

    /// True when some live page answers 404, so that the next run may withdraw it.
    pub fn withdraws_next(&self) -> bool {
        self.live.keys().any(|at| self.shown(*at) == Shown::Nothing)
    }

    /// Pages that would take the place of another on their key, were that withdrawn.
    pub fn heirs(&self) -> u64 {
        let is_absent = |at: &usize| self.shown(*at) == Shown::Nothing;
        let heirs = self.live.keys().filter(|heir| {
            let mut others = (0..PATHS.len()).filter(|at| PATHS[*at].1 == PATHS[**heir].1);
            !is_absent(heir) && others.any(|other| is_absent(&other))
        });
        heirs.count() as u64
    }

    fn record(&mut self, at: usize) -> bool {
        let seen = self.object(at);
        let same = self.live.get(&at).is_some_and(|old| {
            let body = old.body.is_seen_in(&seen.body);
            body && Object {
                body: seen.body.clone(),
                ..old.clone()
            } == seen
        });
        if !same {
            self.stamps += 1;
            self.live.insert(at, seen);
        }
        !same
    }

    fn strike(&mut self, at: usize) -> bool {
        let this = self.crawls + 1;
        let strikes = match self.strikes.get(&at) {
            Some((strikes, last)) if last + 1 == this => strikes + 1,
            _ => 1,
        };
        if strikes >= 2 {
            self.live.remove(&at);
            self.strikes.remove(&at);
            return true;
        }
        self.strikes.insert(at, (strikes, this));
        false
    }

    fn object(&self, at: usize) -> Object {
        let path = PATHS[at].0;
        match self.shown(at) {
            Shown::Page(sheet) => {
                let text = self.body_of(at, &sheet);
                Object {
                    path,
                    body: match sheet.make {
                        Make::Nonce | Make::Built => Body::Stamped {
                            text,
                            stamp: self.stamps,
                            volatile: match (sheet.make, self.ruled) {
                                (Make::Nonce, _) => Volatile::BuiltIn,
                                (_, true) => Volatile::Configured,
                                (_, false) => Volatile::No,
                            },
                            rules: self.rules,
                        },
                        Make::Html | Make::Css => Body::Exact(text),
                    },
                    status: 200,
                    location: None,
                    content_type: sheet.content_type().to_owned(),
                    caching: CACHING[sheet.caching].map(str::to_owned),
                    disposition: sheet.attached.then(|| ATTACHED.to_owned()),
                }
            }
            Shown::Redirect { status, target } => Object {
                path,
                body: Body::Redirect(target.clone()),
                status,
                location: Some(target),
                content_type: "text/html; charset=utf-8".to_owned(),
                caching: None,
                disposition: None,
            },
            other => unreachable!("{other:?} has no object"),
        }
    }

    /// The home page is always there.
    fn shown(&self, at: usize) -> Shown {
        if at == HOME {
            return Shown::Page(Sheet {
                make: self.home,
                text: 0,
                kind: 0,
                caching: 0,
                attached: false,
                tag: None,
            });
        }
        self.shown[at].clone()
    }

    /// What an edit shows where.
    fn outcomes_of(&self, edit: &Edit) -> Vec<(usize, Shown)> {
        let Edit::Move { at, to, leaves } = *edit else {
            return self.outcome_of(edit).into_iter().collect();
        };
        let is_fixed = |at| at == HOME || at == ROBOTS;
        let moves = matches!(self.shown[at], Shown::Page(_)) && at != to;
        if is_fixed(at) || is_fixed(to) || !moves {
            return Vec::new();
        }
        let left = match leaves {
            Leaves::Nothing => Shown::Nothing,
            Leaves::Gone => Shown::Gone,
            Leaves::Redirect => Shown::Redirect {
                status: 301,
                target: self.url_of(PATHS[to].0),
            },
        };
        vec![(to, self.shown[at].clone()), (at, left)]
    }

    fn outcome_of(&self, edit: &Edit) -> Option<(usize, Shown)> {
        let (at, shown) = match edit {
            Edit::Write { at, sheet } => {
                let make = if *at == ROBOTS {
                    Make::Html
                } else {
                    sheet.make
                };
                let sheet = Sheet {
                    make,
                    ..sheet.clone()
                };
                (*at, Shown::Page(sheet))
            }
            Edit::Redirect { at, status, to } => {
                let target = match PATHS[*to].0 {
                    _ if to == at => "https://elsewhere.test/new?a=1&b=\u{fc}".into(),
                    path => self.url_of(path),
                };
                let target = target.replace('\u{fc}', "%C3%BC");
                let status = *status;
                (*at, Shown::Redirect { status, target })
            }
            Edit::Withdraw { at } => (*at, Shown::Gone),
            Edit::Remove { at } => (*at, Shown::Nothing),
            Edit::Break { at } => (*at, Shown::Broken),
            Edit::Undo { at } => (*at, self.earlier[*at].clone()),
            Edit::Retype { at } => (
                *at,
                self.adjusted(*at, |sheet| sheet.kind = 1 - sheet.kind)?,
            ),
            Edit::Recache { at, caching } => {
                (*at, self.adjusted(*at, |sheet| sheet.caching = *caching)?)
            }
            Edit::Attach { at } => (
                *at,
                self.adjusted(*at, |sheet| sheet.attached = !sheet.attached)?,
            ),
            Edit::Move { .. } => return None,
            Edit::Retag { at } => {
                let next = |tag: Option<u8>| Some(tag.map_or(0, |tag| tag.wrapping_add(1)));
                (
                    *at,
                    self.adjusted(*at, |sheet| sheet.tag = next(sheet.tag))?,
                )
            }
        };
        let fits = match (at, &shown) {
            (HOME, _) => false,
            // Without a usable robots.txt nothing at all is asked for; that is another test's story.
            (ROBOTS, Shown::Broken | Shown::Redirect { .. }) => false,
            _ => true,
        };
        fits.then_some((at, shown))
    }

    fn adjusted(&self, at: usize, adjust: impl FnOnce(&mut Sheet)) -> Option<Shown> {
        match &self.shown[at] {
            Shown::Page(sheet) => {
                let mut sheet = sheet.clone();
                adjust(&mut sheet);
                Some(Shown::Page(sheet))
            }
            _ => None,
        }
    }

    fn show(&self, origins: [&Origin; 2]) {
        for (at, (path, _)) in PATHS.iter().enumerate() {
            let (origin, path) = match path.strip_prefix(SECOND) {
                Some(path) => (origins[1], path),
                None => (origins[0], *path),
            };
            let page = match self.shown(at) {
                Shown::Nothing => Page::html("no such page").status(404),
                Shown::Gone => Page::html("it was withdrawn").status(410),
                Shown::Broken => Page::html("the origin is in trouble").status(500),
                Shown::Redirect { status, target } => Page::redirect(status, &target),
                Shown::Page(sheet) => self.page_of(at, &sheet),
            };
            origin.set(path, page);
        }
    }

    fn page_of(&self, at: usize, sheet: &Sheet) -> Page {
        let body = self.body_of(at, sheet);
        let (kind, caching) = (sheet.content_type(), CACHING[sheet.caching]);
        let mut page = Page::new(kind, body.clone());
        if let Some(value) = caching {
            page = page.header("cache-control", value);
        }
        if sheet.attached {
            page = page.header("content-disposition", ATTACHED);
        }
        match (sheet.make, sheet.tag) {
            (Make::Nonce | Make::Built, _) => page = page.nonce(),
            (_, Some(tag)) => {
                let all = format!("{body}{kind}{caching:?}{}", sheet.attached);
                let hash = blake3::hash(all.as_bytes());
                page = page.etag(&format!("\"{tag}-{}\"", &hash.to_hex()[..16]));
            }
            _ => (),
        }
        page
    }

    /// Texts are the same size in pairs, and the same on every path.
    fn body_of(&self, at: usize, sheet: &Sheet) -> String {
        let version = char::from(b'A' + sheet.text);
        // Half of them are long enough to be copied inside a bucket that has them.
        let padding = match sheet.text / 2 {
            0 => String::new(),
            _ => "/* of some length */\n".repeat(1_000),
        };
        let nonce = match sheet.make {
            Make::Nonce => "<script nonce=\"{{NONCE}}\">run()</script>\n",
            Make::Built => "<p>built {{NONCE}}</p>\n",
            Make::Html | Make::Css => "",
        };
        match (at, sheet.make) {
            (HOME, _) => format!("<!doctype html>\n{nonce}{}", self.list()),
            (ROBOTS, _) => format!("User-agent: *\nDisallow:\n# version {version}\n"),
            (_, Make::Css) => {
                format!("p {{ content: \"{version}\" }}\n{padding}")
            }
            (_, Make::Html | Make::Nonce | Make::Built) => {
                let first = usize::from(sheet.text / 2) * 5 + 2;
                let links: String = [first, first + 6, first + 9]
                    .map(|other| format!("<a href=\"{}\">more</a>\n", self.url_of(PATHS[other].0)))
                    .concat();
                format!("<!doctype html>\n{nonce}<p>version {version}</p>\n{links}<p>{padding}")
            }
        }
    }

    fn list(&self) -> String {
        let is_listed = |shown: &Shown| !matches!(shown, Shown::Nothing | Shown::Gone);
        let listed = PATHS.iter().zip(&self.shown).skip(ROBOTS + 1);
        listed
            .filter(|(_, shown)| is_listed(shown))
            .map(|((path, _), _)| self.url_of(path))
            .map(|url| format!("<li><a href=\"{url}\">{url}</a>\n"))
            .collect()
    }
}

impl Sheet {
    fn content_type(&self) -> &'static str {
        let types = match self.make {
            Make::Html => TYPES[0],
            Make::Nonce | Make::Built => TYPES[1],
            Make::Css => TYPES[2],
        };
        types[self.kind]
    }
}

impl Body {
    /// The same page under two names, whatever its nonce; by different rules nobody can tell.
    fn is_alike(&self, other: &Body) -> bool {
        match (self, other) {
            (
                Body::Stamped {
                    text,
                    volatile,
                    rules,
                    ..
                },
                Body::Stamped {
                    text: other,
                    rules: others,
                    ..
                },
            ) if *volatile != Volatile::No => text == other && rules == others,
            _ => self == other,
        }
    }

    /// The same page, recorded then and met again: the rules count by which it was recorded.
    fn is_seen_in(&self, met: &Body) -> bool {
        match (self, met) {
            (Body::Stamped { text, volatile, .. }, Body::Stamped { text: met, .. }) => {
                text == met && *volatile != Volatile::No
            }
            _ => self == met,
        }
    }

    /// True when these bytes are this body.
    pub fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Body::Exact(text) => text.as_bytes() == bytes,
            Body::Stamped { text, .. } => {
                let (before, after) = text.split_once("{{NONCE}}").expect("it has a nonce");
                let nonce = bytes
                    .strip_prefix(before.as_bytes())
                    .and_then(|rest| rest.strip_suffix(after.as_bytes()));
                nonce.is_some_and(|nonce| nonce.len() == 16)
            }
            Body::Redirect(target) => {
                let shown = target.replace('&', "&amp;");
                String::from_utf8_lossy(bytes).contains(&format!("url={shown}\""))
            }
        }
    }
}

/// Of the pages on each key, the one with the shortest, then the smallest path.
fn winners<'a>(live: impl Iterator<Item = (&'a usize, &'a Object)>) -> Expected {
    let mut winners: Expected = BTreeMap::new();
    for (at, object) in live {
        let rank = |path: &'static str| (path.len(), path);
        let held = winners.get(PATHS[*at].1);
        if held.is_none_or(|held| rank(object.path) < rank(held.path)) {
            winners.insert(PATHS[*at].1, object.clone());
        }
    }
    winners
}

/// What must be done to turn one holding into the other.
pub fn difference(before: &Expected, after: &Expected) -> Difference {
    let mut difference = Difference::default();
    for (key, object) in after {
        match before.get(key) {
            Some(old) if old == object => (),
            Some(old) if old.body == object.body => difference.reheadered += 1,
            _ => difference.put += 1,
        }
    }
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    difference.deleted = gone.count() as u64;
    difference
}
