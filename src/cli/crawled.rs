//! What a report says of its crawl, for people: a line for each thing that there is something to say about.
//!
//! Lists are cut short, worst first; `--json` has all that the report holds.

use std::fmt::Write;

use super::render::bytes;
use crate::crawl::{CrawlCounts, FormTally, HostTally, SitemapLine, Skipped, Tally, TrapLine};

/// Lines of each list.
const SHOWN: usize = 5;

/// Begins what belongs to the line of the crawl.
const UNDER: &str = "         ";

/// What became of what the crawl found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Committed,
    /// The run has failed: the mirror is as it was.
    Discarded,
}

/// The counts of a crawl, or of a folder that was published in its place.
pub fn counts(verb: &str, crawl: &CrawlCounts, fate: Fate) -> String {
    let (stage, read, as_before) = match verb {
        "publish" => ("folder", "read", "as they were"),
        _ => ("crawl", "fetched", "not modified"),
    };
    let mut text = format!(
        "  {stage}: {} {read} ({}), {} {as_before}; ",
        crawl.fetched,
        bytes(crawl.bytes),
        crawl.not_modified,
    );
    let found = format!(
        "{} new, {} changed, {} gone",
        crawl.new, crawl.changed, crawl.gone
    );
    match fate {
        Fate::Committed => push(&mut text, format_args!("{found}\n")),
        Fate::Discarded if crawl.new + crawl.changed + crawl.gone == 0 => {
            text.push_str("nothing new\n")
        }
        Fate::Discarded => push(
            &mut text,
            format_args!("nothing was taken over\n{UNDER}discarded: {found}\n"),
        ),
    }
    let rest = [
        (crawl.redirects, "redirects"),
        (crawl.missing, "missing, kept for now"),
        (crawl.broken_links, "broken links"),
        (crawl.forbidden, "forbidden by robots.txt"),
        (crawl.refused, "refused: no page can be made of them"),
        (crawl.errors, "errors"),
    ];
    line(&mut text, "", &counted(&rest));
    text
}

/// What the crawl met, in more detail.
pub fn details(tally: &Tally) -> String {
    let mut text = String::new();
    statuses(tally, &mut text);
    skipped(tally.skipped, &mut text);
    hosts(tally, &mut text);
    sitemaps(&tally.sitemaps, &mut text);
    traps(&tally.traps, &mut text);
    forms(tally.forms, &mut text);
    text
}

/// Nothing but 200 and 304 is what the line of the crawl says already.
fn statuses(tally: &Tally, text: &mut String) {
    if tally
        .statuses
        .keys()
        .all(|status| matches!(status, 200 | 304))
    {
        return;
    }
    let each = tally.statuses.iter();
    let each: Vec<String> = each
        .map(|(status, count)| format!("{count} × {status}"))
        .collect();
    line(text, "by status: ", &each);
}

/// But for those of robots.txt, which [`counts`] tells.
fn skipped(skipped: Skipped, text: &mut String) {
    let reasons = [
        (skipped.lastmod, "unchanged by a sitemap's word"),
        (skipped.traps, "apparently endless"),
        (skipped.host, "on a host that was given up"),
    ];
    line(text, "not asked for: ", &counted(&reasons));
    let retired = [(
        skipped.retired,
        "withdrawn because nothing names them any more",
    )];
    line(text, "", &counted(&retired));
}

/// A single host that did as it should is the whole crawl.
fn hosts(tally: &Tally, text: &mut String) {
    let several = tally.hosts.len() > 1;
    let told = |host: &HostTally| several || host.throttled > 0 || host.given_up.is_some();
    let mut hosts: Vec<_> = tally.hosts.iter().filter(|(_, host)| told(host)).collect();
    hosts.sort_by_key(|(_, host)| {
        let badly = host.given_up.is_some();
        std::cmp::Reverse((badly, host.throttled > 0, host.answers))
    });
    for (name, host) in hosts.iter().take(SHOWN) {
        let facts = [
            (host.errors, "errors"),
            (host.retries, "repeated"),
            (host.throttled, "times asked to wait"),
        ];
        let mut facts = counted(&facts);
        facts.insert(
            0,
            format!("{} answers ({})", host.answers, bytes(host.bytes)),
        );
        if let Some(why) = &host.given_up {
            let left = host.not_asked;
            facts.push(format!("then given up with {left} left: {why}"));
        }
        line(text, &format!("{name}: "), &facts);
    }
    more(text, hosts.len(), "hosts");
}

/// How many there were, and those that are not as they should be.
fn sitemaps(sitemaps: &[SitemapLine], text: &mut String) {
    if sitemaps.is_empty() {
        return;
    }
    let urls: u64 = sitemaps.iter().map(|sitemap| sitemap.urls).sum();
    let failed = sitemaps.iter().filter(|sitemap| sitemap.error.is_some());
    let mut facts = vec![format!("sitemaps: {} with {urls} entries", sitemaps.len())];
    facts.extend(counted(&[(failed.count() as u64, "could not be read")]));
    line(text, "", &facts);
    let bad: Vec<_> = sitemaps.iter().filter_map(amiss).collect();
    for what in bad.iter().take(SHOWN) {
        push(text, format_args!("{UNDER}  ! {what}\n"));
    }
    more(text, bad.len(), "sitemaps");
}

/// What is wrong with a sitemap. To lose up to a tenth is how sites live.
fn amiss(sitemap: &SitemapLine) -> Option<String> {
    if let Some(error) = &sitemap.error {
        let url = sitemap.url.as_str();
        let error = error.strip_prefix(url).unwrap_or(error);
        return Some(format!("{url}: {}", error.trim_start_matches(": ")));
    }
    let before = sitemap.before?;
    let shrunken = sitemap.urls.saturating_mul(10) < before.saturating_mul(9);
    shrunken.then(|| format!("{}: {before} → {} entries", sitemap.url, sitemap.urls))
}

fn traps(traps: &[TrapLine], text: &mut String) {
    for trap in traps.iter().take(SHOWN) {
        push(
            text,
            format_args!(
                "{UNDER}endless? {} URLs: {}; such as {}\n",
                trap.urls, trap.what, trap.example
            ),
        );
    }
    more(text, traps.len(), "places that look endless");
}

fn forms(forms: FormTally, text: &mut String) {
    if forms == FormTally::default() {
        return;
    }
    let mut facts = vec![format!(
        "forms: {} enumerated into {} URLs",
        forms.forms, forms.urls
    )];
    let left = [(
        forms.left_out,
        "left out (beyond crawl.forms_max, or with free text)",
    )];
    facts.extend(counted(&left));
    line(text, "", &facts);
}

/// Those of the counts that are not nought, each with its name in the plural.
fn counted(counts: &[(u64, &str)]) -> Vec<String> {
    let there = counts.iter().filter(|(count, _)| *count > 0);
    there
        .map(|(count, name)| match (count, name.strip_suffix('s')) {
            (1, Some(one)) => format!("1 {one}"),
            _ => format!("{count} {name}"),
        })
        .collect()
}

/// One line of facts, if there are any.
fn line(text: &mut String, begins: &str, facts: &[String]) {
    if !facts.is_empty() {
        push(text, format_args!("{UNDER}{begins}{}\n", facts.join(", ")));
    }
}

fn more(text: &mut String, there: usize, what: &str) {
    let left = there.saturating_sub(SHOWN);
    if left > 0 {
        push(
            text,
            format_args!("{UNDER}  and {left} more {what} (`--json` names them)\n"),
        );
    }
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line)
        .expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::PageUrl;

    fn url(text: &str) -> PageUrl {
        PageUrl::parse(text).unwrap()
    }

    fn sitemap(name: &str, urls: u64, before: Option<u64>, error: Option<&str>) -> SitemapLine {
        SitemapLine {
            url: url(&format!("https://a.example/{name}.xml")),
            urls,
            before,
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_plain_run_has_a_short_report() {
        // Promise: where everything went well on one host, details take one line, and only if there is
        // a sitemap; otherwise none.
        let mut tally = Tally::default();
        tally.statuses.extend([(200, 9), (304, 90)]);
        let host = HostTally {
            answers: 99,
            bytes: 5_000,
            retries: 1,
            ..HostTally::default()
        };
        tally.hosts.insert("a.example".into(), host);
        assert_eq!(details(&tally), "");
        tally.sitemaps = vec![
            sitemap("one", 95, Some(100), None),
            sitemap("two", 4, None, None),
        ];
        assert_eq!(details(&tally), "         sitemaps: 2 with 99 entries\n");
        let crawl = CrawlCounts {
            fetched: 9,
            bytes: 5_000,
            not_modified: 90,
            new: 1,
            ..CrawlCounts::default()
        };
        assert_eq!(
            counts("run", &crawl, Fate::Committed),
            "  crawl: 9 fetched (5.0 kB), 90 not modified; 1 new, 0 changed, 0 gone\n"
        );
    }

    #[test]
    fn each_thing_that_went_wrong_has_its_line() {
        // Promise: statuses, what was not asked for and why, hosts in trouble, sitemaps that failed or
        // shrank, traps with an example, forms: a line each, the worst host first.
        let mut tally = Tally::default();
        tally.statuses.extend([(200, 90), (404, 2), (503, 7)]);
        let good = HostTally {
            answers: 80,
            bytes: 5_000,
            ..HostTally::default()
        };
        let bad = HostTally {
            answers: 19,
            errors: 7,
            retries: 14,
            throttled: 3,
            given_up: Some("no answer 12 times in a row".into()),
            not_asked: 40,
            ..HostTally::default()
        };
        tally.hosts.insert("a.example".into(), good);
        tally.hosts.insert("b.example".into(), bad);
        tally.skipped = Skipped {
            robots: 0,
            traps: 120,
            lastmod: 900,
            host: 40,
            retired: 2,
        };
        let refused = "https://a.example/two.xml: the answer was 500";
        tally.sitemaps = vec![
            sitemap("one", 30, Some(100), None),
            sitemap("two", 0, Some(5), Some(refused)),
        ];
        tally.traps = vec![TrapLine {
            what: "more than 5000 query variants of a.example/q (crawl.query_variants_max)".into(),
            urls: 120,
            example: url("https://a.example/q?x=5001"),
        }];
        tally.forms = FormTally {
            forms: 1,
            urls: 12,
            left_out: 3,
        };
        let expected = "         by status: 90 × 200, 2 × 404, 7 × 503
         not asked for: 900 unchanged by a sitemap's word, 120 apparently endless, 40 on a host that was given up
         2 withdrawn because nothing names them any more
         b.example: 19 answers (0 B), 7 errors, 14 repeated, 3 times asked to wait, then given up with 40 left: no answer 12 times in a row
         a.example: 80 answers (5.0 kB)
         sitemaps: 2 with 30 entries, 1 could not be read
           ! https://a.example/one.xml: 100 → 30 entries
           ! https://a.example/two.xml: the answer was 500
         endless? 120 URLs: more than 5000 query variants of a.example/q (crawl.query_variants_max); such as https://a.example/q?x=5001
         forms: 1 enumerated into 12 URLs, 3 left out (beyond crawl.forms_max, or with free text)
";
        assert_eq!(details(&tally), expected);
    }

    #[test]
    fn long_lists_are_cut_and_say_so() {
        // Promise: the report stays short however much went wrong.
        let mut tally = Tally::default();
        for number in 0..9 {
            let name = format!("{number}");
            tally.hosts.insert(name.clone(), HostTally::default());
            tally.sitemaps.push(sitemap(&name, 0, None, Some("no")));
            tally.traps.push(TrapLine {
                what: name,
                urls: 1,
                example: url("https://a.example/"),
            });
        }
        let text = details(&tally);
        assert_eq!(text.lines().count(), 1 + 3 * (SHOWN + 1), "{text}");
        assert_eq!(text.matches("and 4 more").count(), 3, "{text}");
    }

    #[test]
    fn a_failed_run_took_nothing_over() {
        // Promise: what a failed run found never reads as if it were in the mirror now.
        let crawl = CrawlCounts {
            fetched: 9,
            new: 7,
            redirects: 3,
            errors: 1,
            ..CrawlCounts::default()
        };
        assert_eq!(
            counts("run", &crawl, Fate::Discarded),
            "  crawl: 9 fetched (0 B), 0 not modified; nothing was taken over
         discarded: 7 new, 0 changed, 0 gone
         3 redirects, 1 error
"
        );
        let nothing = counts("publish", &CrawlCounts::default(), Fate::Discarded);
        assert_eq!(
            nothing,
            "  folder: 0 read (0 B), 0 as they were; nothing new\n"
        );
    }
}
