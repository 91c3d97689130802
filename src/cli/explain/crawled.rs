//! What decides in a crawl whether a page of the site is asked for: robots.txt, bounds for what looks endless,
//! the strategy, and when it was last met.

use regex::Regex;
use serde::Serialize;

use super::sheet::Sheet;
use crate::config::{Config, RobotsPolicy, StrategyName};
use crate::crawl::{self, Robots};
use crate::run;
use crate::site::PageUrl;

/// What decides in a crawl whether a page of the site is asked for.
#[derive(Default)]
pub struct Crawled {
    pub robots: Option<String>,
    pub trap: Option<String>,
    pub strategy: Option<&'static str>,
    pub seen: Option<Seen>,
    pub forms: Option<String>,
}

impl Crawled {
    pub fn of(config: &Config, url: &PageUrl, in_scope: bool) -> Crawled {
        if !in_scope {
            return Crawled::default();
        }
        Crawled {
            robots: robots_says(config, url),
            trap: trap_says(config, url),
            strategy: Some(match config.crawl.strategy {
                StrategyName::Full => "always: crawl.strategy is \"full\"",
                StrategyName::Lastmod => {
                    "no sitemap says that it is unchanged, crawl.max_age_days have passed, or it is in crawl.refetch_share"
                }
            }),
            seen: seen(config, url),
            forms: forms_say(config, url),
        }
    }

    pub fn tell(&self, sheet: &mut Sheet) {
        let seen = self.seen.as_ref().map(Seen::text);
        let lines = [
            ("robots", self.robots.as_deref()),
            ("endless", self.trap.as_deref()),
            ("asked if", self.strategy),
            ("last", seen.as_deref()),
            ("forms", self.forms.as_deref()),
        ];
        for (name, said) in lines {
            if let Some(said) = said {
                sheet.line(name, said);
            }
        }
    }
}

/// What the last robots.txt that the host gave says; nothing where it has never given one.
fn robots_says(config: &Config, url: &PageUrl) -> Option<String> {
    if config.site.robots == RobotsPolicy::Ignore {
        return Some("not asked: site.robots is \"ignore\"".into());
    }
    let memory = crawl::robots_memory(&config.state.dir);
    let text = memory.last_good(url.authority())?;
    let robots = Robots::from_answer(200, text.as_bytes(), &config.crawl.user_agent);
    let word = if robots.allows(url) {
        "allowed"
    } else {
        "forbidden"
    };
    let why = robots.why(url);
    let why = why.unwrap_or_else(|| "robots.txt says nothing of it".into());
    let fetched = memory.fetched(url.authority());
    let when = fetched.map_or_else(String::new, |at| format!(" (of {})", run::rfc3339(at)));
    Some(format!("{word}: {why}{when}"))
}

/// Why the URL looks endless by itself. How many queries its path has is known in a crawl only.
fn trap_says(config: &Config, url: &PageUrl) -> Option<String> {
    let limits = run::traps_of(&config.crawl);
    let trap = limits.of(url, run::now())?;
    let instead = limits.without_session(url);
    let instead = instead.map(|page| format!("; asked for as {page}"));
    Some(format!("{trap}{}", instead.unwrap_or_default()))
}

/// When the page was last met; the days in UTC.
#[derive(Serialize)]
pub struct Seen {
    answered: Option<String>,
    /// When its links were last read.
    parsed: Option<String>,
    /// When a page, a sitemap or a seed last named it.
    named: Option<String>,
}

impl Seen {
    fn text(&self) -> String {
        let times = [
            ("answered", &self.answered),
            ("parsed", &self.parsed),
            ("named", &self.named),
        ];
        let there = times
            .iter()
            .filter_map(|(what, when)| Some(format!("{what} {}", when.as_ref()?)));
        there.collect::<Vec<_>>().join(", ")
    }
}

fn seen(config: &Config, url: &PageUrl) -> Option<Seen> {
    let sightings = crawl::sightings(&config.state.dir);
    let seen = sightings.get(url)?;
    let day = |day: u16| {
        let midnight = run::rfc3339(i64::from(day) * 24 * 60 * 60);
        midnight.split('T').next().unwrap_or_default().to_owned()
    };
    Some(Seen {
        answered: seen.checked.map(run::rfc3339),
        parsed: seen.parsed_day.map(day),
        named: seen.linked_day.map(day),
    })
}

/// The pattern by which forms on this page are enumerated.
fn forms_say(config: &Config, url: &PageUrl) -> Option<String> {
    let matches = |pattern: &&String| Regex::new(pattern).is_ok_and(|r| r.is_match(url.as_str()));
    let pattern = config.crawl.forms.iter().find(matches)?;
    Some(format!("enumerated: `{pattern}` in crawl.forms matches"))
}
