//! What machines read: robots.txt, sitemaps, the Atom feed, CSV files and the JSON list.

use time::Date;

use super::ministry::Ministry;
use super::pages::{Page, Section, escape};
use super::words::{self, Dice, MINISTRY};

/// Entries in the feed: the newest ones.
const FEED_ENTRIES: usize = 20;

/// The child sitemaps: name and section.
const SITEMAPS: [(&str, Section); 3] = [
    ("/sitemap-guides.xml", Section::Guides),
    ("/sitemap-news.xml", Section::News),
    ("/sitemap-places.xml", Section::Places),
];

pub(super) fn robots(base: &str) -> String {
    format!(
        "# The tide comes in for everyone. Robots are asked to keep to the path.\n\
         User-agent: *\nDisallow: /drafts/\n\nSitemap: {base}/sitemap.xml\n"
    )
}

/// The index and its children, by path.
pub(super) fn sitemaps(base: &str, pages: &[Page]) -> Vec<(&'static str, String)> {
    let mut files = Vec::with_capacity(1 + SITEMAPS.len());
    let mut index = String::from(XML);
    index.push_str("<sitemapindex xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
    for (path, section) in SITEMAPS {
        let listed: Vec<&Page> = pages
            .iter()
            .filter(|page| page.section == section && page.is_listed)
            .collect();
        let newest = listed.iter().filter_map(|page| page.updated).max();
        index.push_str(&format!(
            "<sitemap><loc>{base}{path}</loc>{}</sitemap>\n",
            lastmod(newest)
        ));
        let mut map = String::from(XML);
        map.push_str("<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n");
        for page in listed {
            let loc = escape(&page.path);
            map.push_str(&format!(
                "<url><loc>{base}{loc}</loc>{}</url>\n",
                lastmod(page.updated)
            ));
        }
        map.push_str("</urlset>\n");
        files.push((path, map));
    }
    index.push_str("</sitemapindex>\n");
    files.push(("/sitemap.xml", index));
    files
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

fn lastmod(updated: Option<Date>) -> String {
    updated
        .map(|date| format!("<lastmod>{date}</lastmod>"))
        .unwrap_or_default()
}

pub(super) fn atom(base: &str, ministry: &Ministry) -> String {
    let newest = &ministry.news[..FEED_ENTRIES.min(ministry.news.len())];
    let updated = newest
        .iter()
        .map(|item| item.article.updated)
        .max()
        .unwrap_or(ministry.today);
    let mut feed = String::from(XML);
    feed.push_str(&format!(
        "<feed xmlns=\"http://www.w3.org/2005/Atom\">\n<title>{MINISTRY}: news</title>\n\
         <id>{base}/news</id>\n<link href=\"{base}/news\"/>\n<link rel=\"self\" href=\"{base}/news.atom\"/>\n\
         <updated>{updated}T09:00:00Z</updated>\n"
    ));
    for item in newest {
        let article = &item.article;
        let url = format!("{base}/news/{}", article.slug);
        feed.push_str(&format!(
            "<entry><title>{}</title><id>{url}</id><link href=\"{url}\"/>\
             <published>{}T09:00:00Z</published><updated>{}T09:00:00Z</updated>\
             <author><name>{MINISTRY}</name></author><summary>{}</summary></entry>\n",
            escape(&article.title),
            item.published,
            article.updated,
            escape(&article.summary)
        ));
    }
    feed.push_str("</feed>\n");
    feed
}

/// One dataset: a row for each harbour and each quarter. A correction changes one figure.
pub(super) fn csv(ministry: &Ministry, dataset: usize) -> String {
    let (name, _, unit) = words::DATASETS[dataset];
    let mut dice = Dice::new(ministry.seed, name);
    let corrected = dice.below(words::HARBOURS.len());
    let mut file = format!("harbour,quarter,{unit}\r\n");
    for (at, harbour) in words::HARBOURS.iter().enumerate() {
        for quarter in ["2024 Q3", "2024 Q4", "2025 Q1", "2025 Q2"] {
            let mut figure = dice.between(10, 4000);
            if at == corrected && quarter == "2025 Q1" {
                figure += 1000 * ministry.dataset_revisions[dataset];
            }
            file.push_str(&format!("{harbour},{quarter},{figure}\r\n"));
        }
    }
    file
}

/// The harbours as JSON: an array of objects with `name`, `path`, `berths`, `depth_m`, `cat`.
pub(super) fn harbours_json(ministry: &Ministry) -> String {
    let one = |harbour: &super::ministry::Harbour| {
        format!(
            "  {{\"name\": \"{}\", \"path\": \"/harbours/{}\", \"berths\": {}, \"depth_m\": {}.{}, \"cat\": \"{}\"}}",
            harbour.article.title,
            harbour.article.slug,
            harbour.berths,
            harbour.depth_dm / 10,
            harbour.depth_dm % 10,
            harbour.cat
        )
    };
    let rows: Vec<String> = ministry.harbours.iter().map(one).collect();
    format!("[\n{}\n]\n", rows.join(",\n"))
}
