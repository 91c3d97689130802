//! What the ministry looks after and has published: the facts that pages are made from.

use time::{Date, Duration, macros::date};

use super::words::{self, Dice, slug};

/// The day the bundled site was last worked on before anybody edits it. In the past, as the
/// validators made from it must be.
const TODAY: Date = date!(2025 - 10 - 14);

/// News items in the beginning: enough for eight pages of the list.
const NEWS: usize = 96;

/// What everything that has a page shares.
#[derive(Debug, Clone)]
pub(super) struct Article {
    pub title: String,
    pub slug: String,
    pub summary: String,
    pub text: Vec<String>,
    pub updated: Date,
}

#[derive(Debug, Clone)]
pub(super) struct Guide {
    pub article: Article,
    pub parts: Vec<Part>,
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    pub article: Article,
    /// `{fee}` stands for the register's fee.
    pub list: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct News {
    pub article: Article,
    pub published: Date,
    pub scene: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Lighthouse {
    pub article: Article,
    /// An index into [`words::CHARACTERS`].
    pub character: usize,
    pub height_m: u32,
    pub range_miles: u32,
    pub lit_in: u32,
    pub is_open: bool,
    /// An index into the harbours.
    pub harbour: usize,
    pub scene: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Harbour {
    pub article: Article,
    pub berths: u32,
    pub depth_dm: u32,
    pub dues: u32,
    pub cat: &'static str,
    pub flag: usize,
}

#[derive(Debug, Clone)]
pub(super) struct Boat {
    pub article: Article,
    pub noun: &'static str,
    pub crew: u32,
    pub length_dm: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Publication {
    pub article: Article,
    /// An index into the organisations.
    pub from: usize,
    pub has_pdf: bool,
    pub is_withdrawn: bool,
}

/// The whole ministry.
#[derive(Debug, Clone)]
pub(super) struct Ministry {
    pub seed: u64,
    pub today: Date,
    /// Pounds for a number on the register.
    pub fee: u32,
    pub guides: Vec<Guide>,
    /// The newest first.
    pub news: Vec<News>,
    pub lighthouses: Vec<Lighthouse>,
    pub harbours: Vec<Harbour>,
    pub boats: Vec<Boat>,
    pub organisations: Vec<Article>,
    pub publications: Vec<Publication>,
    /// How often each dataset was corrected.
    pub dataset_revisions: [u32; words::DATASETS.len()],
    /// How often each flag was redrawn.
    pub flag_revisions: [u32; FLAGS],
    names: Names,
}

pub(super) const FLAGS: usize = 8;
pub(super) const SCENES: usize = 7;

/// The publications that have a PDF: every third.
const PDF_EVERY: usize = 3;

impl Ministry {
    /// The same for the same seed.
    pub(super) fn new(seed: u64) -> Ministry {
        let names = Names::new(seed);
        let mut ministry = Ministry {
            seed,
            today: TODAY,
            fee: 42,
            guides: words::GUIDES
                .iter()
                .map(|guide| guide_of(seed, &names, guide))
                .collect(),
            news: Vec::with_capacity(NEWS),
            lighthouses: (0..words::LIGHTS.len())
                .map(|at| lighthouse(seed, &names, at))
                .collect(),
            harbours: (0..words::HARBOURS.len())
                .map(|at| harbour(seed, &names, at))
                .collect(),
            boats: words::BOATS
                .iter()
                .map(|words| boat(seed, &names, *words))
                .collect(),
            organisations: organisations(seed, &names),
            publications: (0..words::PUBLICATIONS.len())
                .map(|at| publication(seed, &names, at))
                .collect(),
            dataset_revisions: [0; words::DATASETS.len()],
            flag_revisions: [0; FLAGS],
            names,
        };
        for age in (0..NEWS).rev() {
            ministry.publish_news_on(news_date(age));
        }
        ministry
    }

    /// Publishes one more news item today and puts it first.
    pub(super) fn publish_news(&mut self) {
        self.publish_news_on(self.today);
    }

    fn publish_news_on(&mut self, published: Date) {
        let mut item = self.names.news(self.seed, self.news.len() + 1, published);
        while self
            .news
            .iter()
            .any(|other| other.article.slug == item.article.slug)
        {
            item.article.slug.push_str("-again");
        }
        self.news.insert(0, item);
    }

    /// Another sentence for a page that is being edited.
    pub(super) fn sentence(&self, page: &str) -> String {
        let mut dice = Dice::new(self.seed, &format!("{page} on {}", self.today));
        let sentence = *dice.pick(&words::SENTENCES);
        self.names.fill(sentence, &mut dice)
    }
}

/// The names that sentences and headlines are filled with.
#[derive(Debug, Clone)]
pub(super) struct Names {
    lights: Vec<String>,
}

impl Names {
    fn new(seed: u64) -> Names {
        let mut dice = Dice::new(seed, "lights");
        let mut lights = Vec::with_capacity(words::LIGHTS.len());
        for (at, name) in words::LIGHTS.iter().enumerate() {
            // The first five have names that need no kind.
            let kind = *dice.pick(&words::LIGHT_KINDS);
            lights.push(if at < 5 {
                (*name).to_owned()
            } else {
                format!("{name} {kind}")
            });
        }
        Names { lights }
    }

    /// Puts names and numbers into the slots of a sentence.
    pub(super) fn fill(&self, sentence: &str, dice: &mut Dice) -> String {
        let harbour = *dice.pick(&words::HARBOURS);
        let light = dice.pick(&self.lights).clone();
        let boat = dice.pick(&words::BOATS).0;
        let number = dice.between(3, 60).to_string();
        sentence
            .replace("{harbour}", harbour)
            .replace("{light}", &light)
            .replace("{boat}", boat)
            .replace("{n}", &number)
    }

    /// Paragraphs for the page called `name`.
    fn paragraphs(&self, seed: u64, name: &str, count: usize) -> Vec<String> {
        let mut dice = Dice::new(seed, name);
        let sentences = dice.deal(&words::SENTENCES, count * 5);
        let mut paragraphs = Vec::with_capacity(count);
        let mut rest = sentences.as_slice();
        for _ in 0..count {
            let (these, later) = rest.split_at(2 + dice.below(4));
            let filled: Vec<String> = these
                .iter()
                .map(|sentence| self.fill(sentence, &mut dice))
                .collect();
            paragraphs.push(filled.join(" "));
            rest = later;
        }
        paragraphs
    }

    /// The news item with this number: the first ever is 1.
    fn news(&self, seed: u64, number: usize, published: Date) -> News {
        let mut dice = Dice::new(seed, &format!("news {number}"));
        // Going round the headlines keeps neighbours in the list different.
        let (headline, summary) = words::HEADLINES[(number * 7) % words::HEADLINES.len()];
        let before = dice.clone();
        let title = self.fill(headline, &mut dice);
        // The same dice again, so that the summary speaks of the same harbour.
        let summary = self.fill(summary, &mut before.clone());
        let slug = format!("{}-{}", slug(&title), published.year());
        News {
            article: Article {
                text: self.paragraphs(seed, &format!("news text {number}"), 4),
                title,
                slug,
                summary,
                updated: published,
            },
            published,
            scene: number.is_multiple_of(4).then(|| dice.below(SCENES)),
        }
    }
}

/// One item a week or so, back from the day before today.
fn news_date(age: usize) -> Date {
    TODAY - Duration::days(1 + 6 * age as i64)
}

/// Some day of the two years before today.
fn some_day(dice: &mut Dice) -> Date {
    TODAY - Duration::days(i64::from(dice.between(3, 700)))
}

fn guide_of(seed: u64, names: &Names, words: &words::GuideWords) -> Guide {
    let (title, summary, parts) = words;
    let mut dice = Dice::new(seed, title);
    let parts: Vec<Part> = parts
        .iter()
        .map(|part| part_of(seed, names, title, part))
        .collect();
    Guide {
        article: Article {
            title: (*title).to_owned(),
            slug: slug(title),
            summary: (*summary).to_owned(),
            text: names.paragraphs(seed, &format!("guide {title}"), 2),
            updated: some_day(&mut dice),
        },
        parts,
    }
}

fn first_sentence(text: &[String]) -> String {
    let first = text[0].split_inclusive('.').next();
    first.unwrap_or_default().to_owned()
}

fn part_of(seed: u64, names: &Names, guide: &str, title: &str) -> Part {
    let mut dice = Dice::new(seed, &format!("{guide}: {title}"));
    let list = if title == "What it costs" {
        fees()
    } else {
        let sentences = dice.deal(&words::SENTENCES, 4);
        sentences
            .iter()
            .map(|sentence| names.fill(sentence, &mut dice))
            .collect()
    };
    let text = names.paragraphs(seed, &format!("part {guide}: {title}"), 4);
    let summary = first_sentence(&text);
    Part {
        article: Article {
            title: title.to_owned(),
            slug: slug(title),
            summary,
            text,
            updated: some_day(&mut dice),
        },
        list,
    }
}

fn fees() -> Vec<String> {
    [
        "£{fee} for a number that lasts five years",
        "£3 for each further dinghy of the same crew, up to a flotilla",
        "£7 to change a name, and £70 to change it back",
        "nothing for boats made of sand, paper or ice",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn lighthouse(seed: u64, names: &Names, at: usize) -> Lighthouse {
    let title = names.lights[at].clone();
    let mut dice = Dice::new(seed, &title);
    let harbour = at * words::HARBOURS.len() / words::LIGHTS.len();
    let character = dice.below(words::CHARACTERS.len());
    Lighthouse {
        article: Article {
            slug: slug(&title),
            summary: format!(
                "Near {}. Shows {}.",
                words::HARBOURS[harbour],
                words::CHARACTERS[character].1
            ),
            text: names.paragraphs(seed, &format!("light {title}"), 3),
            updated: some_day(&mut dice),
            title,
        },
        character,
        height_m: dice.between(9, 52),
        range_miles: dice.between(6, 24),
        lit_in: dice.between(1690, 1912),
        is_open: dice.below(4) > 0,
        harbour,
        scene: dice.below(SCENES),
    }
}

fn harbour(seed: u64, names: &Names, at: usize) -> Harbour {
    let title = words::HARBOURS[at];
    let mut dice = Dice::new(seed, title);
    let berths = dice.between(4, 180);
    let cat = *dice.pick(&words::CATS);
    Harbour {
        article: Article {
            title: title.to_owned(),
            slug: slug(title),
            summary: format!("{berths} berths, a slipway and a cat called {cat}."),
            text: names.paragraphs(seed, &format!("harbour {title}"), 3),
            updated: some_day(&mut dice),
        },
        berths,
        depth_dm: dice.between(8, 64),
        dues: dice.between(2, 19),
        cat,
        flag: at % FLAGS,
    }
}

fn boat(seed: u64, names: &Names, (noun, summary): (&'static str, &str)) -> Boat {
    let mut dice = Dice::new(seed, noun);
    let plural = match noun {
        "dinghy" => "dinghies".to_owned(),
        "wherry" => "wherries".to_owned(),
        "dory" => "dories".to_owned(),
        "ketch" | "launch" => format!("{noun}es"),
        _ => format!("{noun}s"),
    };
    let title = plural[..1].to_uppercase() + &plural[1..];
    Boat {
        article: Article {
            slug: slug(&title),
            title,
            summary: summary.to_owned(),
            text: names.paragraphs(seed, &format!("boat {noun}"), 3),
            updated: some_day(&mut dice),
        },
        noun,
        crew: dice.between(1, 7),
        length_dm: dice.between(14, 89),
    }
}

fn organisations(seed: u64, names: &Names) -> Vec<Article> {
    let one = |(title, summary): &(&str, &str)| {
        let mut dice = Dice::new(seed, title);
        Article {
            title: (*title).to_owned(),
            slug: slug(title),
            summary: (*summary).to_owned(),
            text: names.paragraphs(seed, &format!("organisation {title}"), 3),
            updated: some_day(&mut dice),
        }
    };
    words::ORGANISATIONS.iter().map(one).collect()
}

fn publication(seed: u64, names: &Names, at: usize) -> Publication {
    let title = words::PUBLICATIONS[at];
    let mut dice = Dice::new(seed, title);
    let text = names.paragraphs(seed, &format!("publication {title}"), 4);
    Publication {
        article: Article {
            title: title.to_owned(),
            slug: slug(title),
            summary: first_sentence(&names.paragraphs(seed, &format!("abstract {title}"), 1)),
            text,
            updated: some_day(&mut dice),
        },
        from: dice.below(words::ORGANISATIONS.len()),
        has_pdf: at.is_multiple_of(PDF_EVERY),
        is_withdrawn: false,
    }
}
