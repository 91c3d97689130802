//! The HTML around every page: head, header, breadcrumbs, footer; and the pieces that pages share.

use time::Date;

use super::ministry::Article;
use super::words::{MINISTRY, slug};

/// Stands in a rendered page where an answer's nonce goes; of the nonce's length, so that a page
/// has one size whatever the nonce.
pub(super) const NONCE: &str = "@@nonce-of-this-answer@@";

/// Which sitemap lists a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Guides,
    News,
    Places,
}

/// One rendered HTML page.
#[derive(Debug, Clone)]
pub(super) struct Page {
    /// Path and query as in a request.
    pub path: String,
    pub section: Section,
    /// Sitemaps name it.
    pub is_listed: bool,
    pub updated: Option<Date>,
    /// With [`NONCE`] in place of nonces.
    pub html: String,
}

/// What a page is made from.
pub(super) struct Draft<'a> {
    pub path: &'a str,
    pub title: &'a str,
    pub summary: &'a str,
    /// Label and address of each step above this page, the home page left out.
    pub crumbs: &'a [(&'a str, &'a str)],
    pub updated: Option<Date>,
    /// What stands between title and footer, as HTML.
    pub main: &'a str,
}

impl Draft<'_> {
    /// The page in the frame of the site, with its title above `main`.
    pub(super) fn page(&self) -> Page {
        let updated = self.updated.map(|date| {
            format!(
                "<p class=\"updated\">Last updated <time datetime=\"{date}\">{}</time></p>",
                day(date)
            )
        });
        let main = format!(
            "{}<div class=\"page-head\"><h1>{}</h1><p class=\"lead\">{}</p></div>\n{}\n{}",
            self.breadcrumbs(),
            escape(self.title),
            escape(self.summary),
            self.main,
            updated.unwrap_or_default()
        );
        self.framed(&main)
    }

    /// The page in the frame of the site, `main` being all there is inside.
    pub(super) fn framed(&self, main: &str) -> Page {
        let section = match self.path {
            path if path.starts_with("/guides") => Section::Guides,
            path if path.starts_with("/news") => Section::News,
            _ => Section::Places,
        };
        let html = format!(
            "{}<body>\n{}<main id=\"main\" class=\"wrap\">\n{main}\n</main>\n{}</body>\n</html>\n",
            head(self.title, self.summary),
            header(self.path),
            footer()
        );
        Page {
            path: self.path.to_owned(),
            section,
            is_listed: !self.path.contains('?'),
            updated: self.updated,
            html,
        }
    }

    fn breadcrumbs(&self) -> String {
        let mut steps = String::from("<li><a href=\"/\">Home</a></li>");
        for (label, address) in self.crumbs {
            steps.push_str(&format!(
                "<li><a href=\"{address}\">{}</a></li>",
                escape(label)
            ));
        }
        format!("<nav class=\"crumbs\" aria-label=\"Breadcrumb\"><ol>{steps}</ol></nav>\n")
    }
}

fn head(title: &str, summary: &str) -> String {
    let full = if title == MINISTRY {
        MINISTRY.to_owned()
    } else {
        format!("{title} – {MINISTRY}")
    };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <meta name=\"description\" content=\"{}\">\n\
         <meta property=\"og:image\" content=\"/images/scene-0-640.png\">\n\
         <link rel=\"icon\" href=\"/favicon.ico\">\n\
         <link rel=\"stylesheet\" href=\"/assets/site.css\">\n\
         <link rel=\"alternate\" type=\"application/atom+xml\" title=\"News\" href=\"/news.atom\">\n\
         <script nonce=\"{NONCE}\" src=\"/assets/site.js\" defer></script>\n\
         <script nonce=\"{NONCE}\" src=\"/assets/tide-clock.js\" defer></script>\n</head>\n",
        escape(&full),
        escape(summary)
    )
}

/// The main sections: label, address, and the sign of the site's font.
pub(super) const SECTIONS: [(&str, &str, &str); 7] = [
    ("Guides", "/guides", "star"),
    ("News", "/news", "bell"),
    ("Tides", "/tides", "wave"),
    ("Lighthouses", "/lighthouses", "light"),
    ("Harbours", "/harbours", "anchor"),
    ("Small boats", "/small-boats", "boat"),
    ("Publications", "/publications", "sheet"),
];

fn header(path: &str) -> String {
    let mut items = String::new();
    for (label, address, sign) in SECTIONS {
        let is_here = path
            .strip_prefix(address)
            .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        let current = if is_here {
            " aria-current=\"true\""
        } else {
            ""
        };
        items.push_str(&format!(
            "<li><a class=\"sign-{sign}\" href=\"{address}\"{current}>{label}</a></li>"
        ));
    }
    format!(
        "<a class=\"skip\" href=\"#main\">Skip to main content</a>\n\
         <p class=\"make-believe\">A make-believe ministry on a make-believe coast. This site comes with Standin.</p>\n\
         <header class=\"site-head\"><div class=\"wrap\">\
         <a class=\"brand\" href=\"/\"><img src=\"/images/crest.svg\" width=\"56\" height=\"56\" alt=\"\">\
         <span>Ministry of Tides, <br>Lighthouses and Small Boats</span></a>\n\
         <p class=\"clock\" data-tide-clock>Open day and night, tide permitting</p></div>\n\
         <nav class=\"sections\" aria-label=\"Sections\"><ul class=\"wrap\">{items}</ul></nav></header>\n"
    )
}

fn footer() -> String {
    let column = |title: &str, links: &[(&str, &str)]| {
        let items: String = links
            .iter()
            .map(|(label, address)| format!("<li><a href=\"{address}\">{label}</a></li>"))
            .collect();
        format!("<div><h2>{title}</h2><ul>{items}</ul></div>")
    };
    let ministry = column(
        "The ministry",
        &[
            ("About us", "/about/"),
            ("Organisations", "/organisations"),
            ("Publications", "/publications"),
            ("Data", "/data"),
        ],
    );
    let help = column(
        "Help",
        &[
            ("Contact", "/contact"),
            ("Accessibility", "/accessibility"),
            ("Privacy", "/privacy"),
            ("Short addresses", "/help/short-addresses"),
        ],
    );
    // One link is written with its letter as it is, as editors do; elsewhere it is escaped.
    let ashore = column(
        "Ashore",
        &[
            ("Cafés on the quay", "/cafés-on-the-quay"),
            ("Tide tables", "/tides"),
            ("News feed", "/news.atom"),
            ("The Isle of Example", "https://www.example.org/"),
        ],
    );
    format!(
        "<footer class=\"site-foot\"><div class=\"wrap columns\">{ministry}{help}{ashore}</div>\n\
         <p class=\"wrap small\">Nothing here is real: not the harbours, not the fees, not the cats. \
         The tides are approximate.</p></footer>\n"
    )
}

/// Paragraphs of plain text.
pub(super) fn paragraphs(text: &[String]) -> String {
    text.iter()
        .map(|paragraph| format!("<p>{}</p>\n", escape(paragraph)))
        .collect()
}

/// A list of articles as cards; `under` is the address that their slugs are added to.
pub(super) fn cards<'a>(articles: impl IntoIterator<Item = &'a Article>, under: &str) -> String {
    let card = |article: &Article| {
        format!(
            "<li class=\"card\"><h2><a href=\"{under}/{}\">{}</a></h2><p>{}</p></li>\n",
            article.slug,
            escape(&article.title),
            escape(&article.summary)
        )
    };
    let cards: String = articles.into_iter().map(card).collect();
    format!("<ul class=\"cards\">\n{cards}</ul>\n")
}

/// A table that the site's script can filter. Cells are HTML.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        cells.map(|cell| format!("<{tag}>{cell}</{tag}>")).collect()
    };
    let head = cells("th", &mut heads.iter().copied());
    let body: String = rows
        .iter()
        .map(|row| {
            format!(
                "<tr>{}</tr>\n",
                cells("td", &mut row.iter().map(String::as_str))
            )
        })
        .collect();
    format!(
        "<div class=\"table\"><table data-filter><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n"
    )
}

/// Facts as pairs of term and description; descriptions are HTML.
pub(super) fn facts(pairs: &[(&str, String)]) -> String {
    let pairs: String = pairs
        .iter()
        .map(|(term, text)| format!("<div><dt>{term}</dt><dd>{text}</dd></div>"))
        .collect();
    format!("<dl class=\"facts\">{pairs}</dl>\n")
}

pub(super) fn link(address: &str, label: &str) -> String {
    format!("<a href=\"{address}\">{}</a>", escape(label))
}

/// A scene in two sizes for the browser to choose from.
pub(super) fn scene(number: usize, alt: &str) -> String {
    format!(
        "<img class=\"scene\" src=\"/images/scene-{number}-320.png\" \
         srcset=\"/images/scene-{number}-320.png 320w, /images/scene-{number}-640.png 640w\" \
         sizes=\"(min-width: 60rem) 40rem, 100vw\" width=\"640\" height=\"320\" alt=\"{}\">\n",
        escape(alt)
    )
}

/// `14 October 2025`.
pub(super) fn day(date: Date) -> String {
    format!("{} {} {}", date.day(), date.month(), date.year())
}

/// The anchor of a heading.
pub(super) fn heading(title: &str) -> String {
    format!("<h2 id=\"{}\">{}</h2>\n", slug(title), escape(title))
}

/// Text for HTML and XML, between tags or in double quotes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
