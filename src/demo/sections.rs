//! The pages of each section, made from what the ministry knows.

use time::Month;

use super::ministry::{
    Article, Boat, Guide, Harbour, Lighthouse, Ministry, News, Part, Publication,
};
use super::pages::{
    Draft, Page, SECTIONS, cards, day, escape, facts, heading, link, paragraphs, scene, table,
};
use super::words::{self, Dice, MINISTRY};

/// News items on a page of the list.
const NEWS_PER_PAGE: usize = 12;

/// The year of the tide tables.
const TIDE_YEAR: i32 = 2025;

/// Every page that answers 200 and is no special case, the home page first.
pub(super) fn all(ministry: &Ministry) -> Vec<Page> {
    let mut pages = vec![home(ministry)];
    pages.extend(guides(ministry));
    pages.extend(news(ministry));
    pages.extend(lighthouses(ministry));
    pages.extend(harbours(ministry));
    pages.extend(boats(ministry));
    pages.extend(organisations(ministry));
    pages.extend(publications(ministry));
    pages.extend(tides(ministry));
    pages.push(data());
    pages.extend(super::standing::all());
    pages
}

fn home(ministry: &Ministry) -> Page {
    let sections: String = SECTIONS
        .iter()
        .chain(&[("Data", "/data", "sheet")])
        .map(|(label, address, sign)| {
            let text = section_summary(address);
            format!(
                "<li class=\"card sign-{sign}\"><h2><a href=\"{address}\">{label}</a></h2><p>{text}</p></li>\n"
            )
        })
        .collect();
    let latest: String = ministry.news.iter().take(4).map(news_row).collect();
    let main = format!(
        "<section class=\"hero\"><img src=\"/images/front.png\" width=\"1120\" height=\"560\" \
         alt=\"A lighthouse above the evening sea\">\
         <div><h1>Keeping the lamps lit and the small boats afloat</h1>\
         <p>48 lights, 40 harbours, two tides a day. We look after what lies between the land and the weather.</p>\
         <p><a class=\"button\" href=\"/guides/register-a-small-boat\">Register a small boat</a></p></div></section>\n\
         <ul class=\"cards\">\n{sections}</ul>\n\
         <section class=\"latest\"><h2>Latest news</h2><ul class=\"rows\">\n{latest}</ul>\
         <p><a href=\"/news\">All news</a></p></section>\n"
    );
    let summary = "Tide tables, lights, harbours and the register of small boats.";
    let draft = Draft {
        path: "/",
        title: MINISTRY,
        summary,
        crumbs: &[],
        updated: None,
        main: "",
    };
    draft.framed(&main)
}

fn section_summary(address: &str) -> &'static str {
    match address {
        "/guides" => "How to moor, row, register, visit and build below the high-water line.",
        "/news" => "What the sea brought in this week.",
        "/tides" => "High and low water for every month, by the Tide Clerk.",
        "/lighthouses" => "All 48 lights, and how to tell one from another in the dark.",
        "/harbours" => "Berths, depths, dues and cats.",
        "/data" => "What we have counted, by harbour and quarter.",
        "/small-boats" => "Twenty-four kinds of boat that count as small.",
        _ => "Reports, notices to mariners and letters received by sea.",
    }
}

fn guides(ministry: &Ministry) -> Vec<Page> {
    let list = cards(
        ministry.guides.iter().map(|guide| &guide.article),
        "/guides",
    );
    let mut pages = vec![index("/guides", "Guides", &list)];
    for guide in &ministry.guides {
        pages.push(guide_page(guide));
        for at in 0..guide.parts.len() {
            pages.push(guide_part(guide, at, ministry.fee));
        }
    }
    pages
}

fn index(path: &str, title: &str, main: &str) -> Page {
    let summary = section_summary(path);
    Draft {
        path,
        title,
        summary,
        crumbs: &[],
        updated: None,
        main,
    }
    .page()
}

/// The parts of a guide as a list, the one being read without a link.
fn contents(guide: &Guide, here: Option<usize>) -> String {
    let mut items = String::new();
    for (at, part) in guide.parts.iter().enumerate() {
        let title = escape(&part.article.title);
        if here == Some(at) {
            items.push_str(&format!("<li aria-current=\"page\">{title}</li>"));
        } else {
            let address = format!("/guides/{}/{}", guide.article.slug, part.article.slug);
            items.push_str(&format!("<li><a href=\"{address}\">{title}</a></li>"));
        }
    }
    format!("<nav class=\"contents\" aria-label=\"Parts of this guide\"><ol>{items}</ol></nav>\n")
}

fn guide_page(guide: &Guide) -> Page {
    let article = &guide.article;
    let mut main = format!(
        "<div class=\"beside\">{}<div>{}",
        contents(guide, None),
        paragraphs(&article.text)
    );
    if article.slug == "moor-overnight" {
        // The broken link of the site: nobody ever wrote that guide.
        main.push_str(
            "<p>See also <a href=\"/guides/knots-for-left-handed-people\">Knots for left-handed people</a>.</p>",
        );
    }
    main.push_str("</div></div>");
    Draft {
        path: &format!("/guides/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("Guides", "/guides")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

fn guide_part(guide: &Guide, at: usize, fee: u32) -> Page {
    let part = &guide.parts[at];
    let above = format!("/guides/{}", guide.article.slug);
    let items: String = part
        .list
        .iter()
        .map(|item| {
            format!(
                "<li>{}</li>",
                escape(&item.replace("{fee}", &fee.to_string()))
            )
        })
        .collect();
    let (first, rest) = part.article.text.split_at(2);
    let main = format!(
        "<div class=\"beside\">{}<div>{}<ul>{items}</ul>\n{}{}</div></div>",
        contents(guide, Some(at)),
        paragraphs(first),
        paragraphs(rest),
        neighbours(
            &above,
            at.checked_sub(1).map(|at| &guide.parts[at]),
            guide.parts.get(at + 1)
        )
    );
    Draft {
        path: &format!("{above}/{}", part.article.slug),
        title: &format!(
            "{}: {}",
            guide.article.title,
            lower_first(&part.article.title)
        ),
        summary: &guide.article.summary,
        crumbs: &[("Guides", "/guides"), (&guide.article.title, &above)],
        updated: Some(part.article.updated),
        main: &main,
    }
    .page()
}

fn lower_first(title: &str) -> String {
    title[..1].to_lowercase() + &title[1..]
}

fn neighbours(above: &str, before: Option<&Part>, after: Option<&Part>) -> String {
    let one = |label: &str, rel: &str, part: &Part| {
        let title = escape(&part.article.title);
        format!(
            "<a rel=\"{rel}\" href=\"{above}/{}\"><span>{label}</span> {title}</a>",
            part.article.slug
        )
    };
    let before = before
        .map(|part| one("Previous", "prev", part))
        .unwrap_or_default();
    let after = after
        .map(|part| one("Next", "next", part))
        .unwrap_or_default();
    format!("<nav class=\"neighbours\" aria-label=\"Neighbouring parts\">{before}{after}</nav>")
}

fn news(ministry: &Ministry) -> Vec<Page> {
    let mut pages = news_lists(&ministry.news);
    pages.extend(ministry.news.iter().map(|item| news_page(ministry, item)));
    pages
}

/// The list is cut from its old end, so that a new item moves no other page than the first.
fn news_lists(news: &[News]) -> Vec<Page> {
    let front = news.len() % NEWS_PER_PAGE + NEWS_PER_PAGE.min(news.len());
    let (front, older) = news.split_at(front.min(news.len()));
    let mut lists = vec![front];
    lists.extend(older.chunks(NEWS_PER_PAGE));
    let count = lists.len();
    lists
        .iter()
        .enumerate()
        .map(|(at, items)| news_list(items, at + 1, count))
        .collect()
}

fn news_list(items: &[News], number: usize, count: usize) -> Page {
    let address = |number: usize| match number {
        1 => "/news".to_owned(),
        _ => format!("/news?page={number}"),
    };
    let rows: String = items.iter().map(news_row).collect();
    let mut steps = String::new();
    if number > 1 {
        steps.push_str(&format!(
            "<a rel=\"prev\" href=\"{}\">Newer</a>",
            address(number - 1)
        ));
    }
    steps.push_str(&format!("<span>Page {number} of {count}</span>"));
    if number < count {
        steps.push_str(&format!(
            "<a rel=\"next\" href=\"{}\">Older</a>",
            address(number + 1)
        ));
    }
    let main = format!(
        "<ul class=\"rows\">\n{rows}</ul>\n<nav class=\"steps\" aria-label=\"Pages\">{steps}</nav>"
    );
    let title = if number == 1 {
        "News".to_owned()
    } else {
        format!("News, page {number}")
    };
    Draft {
        path: &address(number),
        title: &title,
        summary: section_summary("/news"),
        crumbs: &[],
        updated: None,
        main: &main,
    }
    .page()
}

fn news_row(item: &News) -> String {
    let article = &item.article;
    format!(
        "<li><time datetime=\"{}\">{}</time><div><a href=\"/news/{}\">{}</a><p>{}</p></div></li>\n",
        item.published,
        day(item.published),
        article.slug,
        escape(&article.title),
        escape(&article.summary)
    )
}

fn news_page(ministry: &Ministry, item: &News) -> Page {
    let article = &item.article;
    let mut main = format!("<p class=\"date\">{}</p>\n", day(item.published));
    if let Some(number) = item.scene {
        main.push_str(&scene(number, "The coast on the day"));
    }
    main.push_str(&paragraphs(&article.text));
    main.push_str(&related(ministry, &article.slug));
    Draft {
        path: &format!("/news/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("News", "/news")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

/// Three links to other sections, always the same for one page.
fn related(ministry: &Ministry, page: &str) -> String {
    let mut dice = Dice::new(ministry.seed, &format!("related to {page}"));
    let guide = &dice.pick(&ministry.guides).article;
    let light = &dice.pick(&ministry.lighthouses).article;
    let harbour = &dice.pick(&ministry.harbours).article;
    format!(
        "<aside class=\"related\"><h2>Related</h2><ul><li>{}</li><li>{}</li><li>{}</li></ul></aside>\n",
        link(&format!("/guides/{}", guide.slug), &guide.title),
        link(&format!("/lighthouses/{}", light.slug), &light.title),
        link(&format!("/harbours/{}", harbour.slug), &harbour.title)
    )
}

fn lighthouses(ministry: &Ministry) -> Vec<Page> {
    let row = |light: &Lighthouse| {
        let article = &light.article;
        vec![
            link(&format!("/lighthouses/{}", article.slug), &article.title),
            escape(words::CHARACTERS[light.character].0),
            format!("{} m", light.height_m),
            format!("{} miles", light.range_miles),
            if light.is_open {
                "Open".to_owned()
            } else {
                "Closed".to_owned()
            },
        ]
    };
    let rows: Vec<Vec<String>> = ministry.lighthouses.iter().map(row).collect();
    let list = table(
        &["Light", "Character", "Height", "Range", "Visitors"],
        &rows,
    );
    let mut pages = vec![index("/lighthouses", "Lighthouses", &list)];
    pages.extend(
        ministry
            .lighthouses
            .iter()
            .map(|light| lighthouse(ministry, light)),
    );
    pages
}

fn lighthouse(ministry: &Ministry, light: &Lighthouse) -> Page {
    let article = &light.article;
    let harbour = &ministry.harbours[light.harbour].article;
    let (sign, in_words) = words::CHARACTERS[light.character];
    let facts = facts(&[
        ("Character", format!("<b>{}</b>: {in_words}", escape(sign))),
        (
            "Height",
            format!("{} metres above high water", light.height_m),
        ),
        ("Range", format!("{} sea miles", light.range_miles)),
        ("First lit", light.lit_in.to_string()),
        (
            "Nearest harbour",
            link(&format!("/harbours/{}", harbour.slug), &harbour.title),
        ),
    ]);
    let visit = if light.is_open {
        "<p>This light takes visitors. See <a href=\"/guides/visit-a-lighthouse\">how to visit a lighthouse</a>.</p>"
    } else {
        "<p>This light does not take visitors, but does not mind being looked at.</p>"
    };
    let picture = scene(light.scene, &format!("{} from the sea", article.title));
    let main = format!("{picture}{facts}{}{visit}", paragraphs(&article.text));
    Draft {
        path: &format!("/lighthouses/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("Lighthouses", "/lighthouses")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

fn harbours(ministry: &Ministry) -> Vec<Page> {
    let row = |harbour: &Harbour| {
        vec![
            link(
                &format!("/harbours/{}", harbour.article.slug),
                &harbour.article.title,
            ),
            harbour.berths.to_string(),
            metres(harbour.depth_dm),
            format!("£{}", harbour.dues),
            harbour.cat.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = ministry.harbours.iter().map(row).collect();
    let list = table(
        &["Harbour", "Berths", "Depth", "Dues a night", "Cat"],
        &rows,
    );
    let mut pages = vec![index("/harbours", "Harbours", &list)];
    for (at, harbour) in ministry.harbours.iter().enumerate() {
        let lights: Vec<&Lighthouse> = ministry
            .lighthouses
            .iter()
            .filter(|light| light.harbour == at)
            .collect();
        pages.push(harbour_page(harbour, &lights));
    }
    pages
}

fn metres(decimetres: u32) -> String {
    format!("{}.{} m", decimetres / 10, decimetres % 10)
}

fn harbour_page(harbour: &Harbour, lights: &[&Lighthouse]) -> Page {
    let article = &harbour.article;
    let lights: Vec<String> = lights
        .iter()
        .map(|light| {
            link(
                &format!("/lighthouses/{}", light.article.slug),
                &light.article.title,
            )
        })
        .collect();
    let facts = facts(&[
        ("Berths", harbour.berths.to_string()),
        ("Depth at low water", metres(harbour.depth_dm)),
        (
            "Dues",
            format!("£{} a night for a small boat", harbour.dues),
        ),
        ("Cat", harbour.cat.to_owned()),
        ("Lights", lights.join(", ")),
    ]);
    let main = format!(
        "<img class=\"flag\" src=\"/images/flag-{}.png\" width=\"180\" height=\"120\" alt=\"The flag of {}\">\n\
         {facts}{}<p>See <a href=\"/guides/moor-overnight\">how to moor overnight</a>.</p>",
        harbour.flag,
        escape(&article.title),
        paragraphs(&article.text)
    );
    Draft {
        path: &format!("/harbours/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("Harbours", "/harbours")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

fn boats(ministry: &Ministry) -> Vec<Page> {
    let list = cards(
        ministry.boats.iter().map(|boat| &boat.article),
        "/small-boats",
    );
    let mut pages = vec![index("/small-boats", "Small boats", &list)];
    pages.extend(ministry.boats.iter().map(boat));
    pages
}

fn boat(boat: &Boat) -> Page {
    let article = &boat.article;
    let facts = facts(&[
        ("Crew", boat.crew.to_string()),
        ("Usual length", metres(boat.length_dm)),
        ("Number", format!("Every {} afloat needs one", boat.noun)),
    ]);
    let main = format!(
        "{facts}{}<p>See <a href=\"/guides/register-a-small-boat\">how to register a small boat</a>.</p>",
        paragraphs(&article.text)
    );
    Draft {
        path: &format!("/small-boats/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("Small boats", "/small-boats")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

fn organisations(ministry: &Ministry) -> Vec<Page> {
    let draft = |path: &str, title: &str, main: &str| {
        let summary = "Twelve bodies that do the work, and the museum.";
        Draft {
            path,
            title,
            summary,
            crumbs: &[],
            updated: None,
            main,
        }
        .page()
    };
    let list = cards(&ministry.organisations, "/organisations");
    let mut pages = vec![draft("/organisations", "Organisations", &list)];
    for (at, article) in ministry.organisations.iter().enumerate() {
        let published = ministry
            .publications
            .iter()
            .filter(|publication| publication.from == at && !publication.is_withdrawn)
            .map(|publication| &publication.article);
        pages.push(organisation(article, &cards(published, "/publications")));
    }
    pages
}

fn organisation(article: &Article, published: &str) -> Page {
    let main = format!(
        "{}{}{published}",
        paragraphs(&article.text),
        heading("Publications")
    );
    Draft {
        path: &format!("/organisations/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("Organisations", "/organisations")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

fn publications(ministry: &Ministry) -> Vec<Page> {
    let live = || {
        ministry
            .publications
            .iter()
            .filter(|publication| !publication.is_withdrawn)
    };
    let mut list = cards(
        live().map(|publication| &publication.article),
        "/publications",
    );
    list.push_str("<p>In preparation: <a href=\"/drafts/a-bill-concerning-the-moon\">A bill concerning the moon</a>.</p>");
    let mut pages = vec![index("/publications", "Publications", &list)];
    pages.extend(live().map(|publication| publication_page(ministry, publication)));
    pages
}

fn publication_page(ministry: &Ministry, publication: &Publication) -> Page {
    let article = &publication.article;
    let from = &ministry.organisations[publication.from];
    let mut main = format!(
        "<p class=\"date\">From: {}</p>\n{}",
        link(&format!("/organisations/{}", from.slug), &from.title),
        paragraphs(&article.text)
    );
    if publication.has_pdf {
        main.push_str(&format!(
            "<p class=\"download\"><a href=\"{}\">{} (PDF)</a></p>",
            pdf_path(publication),
            escape(&article.title)
        ));
    }
    Draft {
        path: &format!("/publications/{}", article.slug),
        title: &article.title,
        summary: &article.summary,
        crumbs: &[("Publications", "/publications")],
        updated: Some(article.updated),
        main: &main,
    }
    .page()
}

/// Where a publication's PDF is. The notices have spaces in their names, as uploaded files do.
pub(super) fn pdf_path(publication: &Publication) -> String {
    let slug = &publication.article.slug;
    let name = if slug.starts_with("notice") {
        slug.replace('-', "%20")
    } else {
        slug.clone()
    };
    format!("/publications/files/{name}.pdf")
}

/// The months of the tide tables: path, title, and the heights in decimetres, four for each day.
pub(super) fn tide_months(seed: u64) -> Vec<(String, String, Vec<u32>)> {
    let mut dice = Dice::new(seed, "tides");
    let mut months = Vec::with_capacity(12);
    for number in 1..=12u8 {
        let month = Month::try_from(number).expect("twelve months");
        let heights = (0..u32::from(month.length(TIDE_YEAR)) * 4)
            .map(|quarter| {
                // Springs and neaps take turns every 7.4 days, near enough.
                let range = 14 + (((f64::from(quarter) / 29.5).sin() + 1.0) * 5.0) as u32;
                let height = if quarter % 2 == 0 {
                    30 + range
                } else {
                    30 - range
                };
                height + dice.between(0, 3)
            })
            .collect();
        months.push((
            format!("{TIDE_YEAR}-{number:02}"),
            format!("{month} {TIDE_YEAR}"),
            heights,
        ));
    }
    months
}

fn tides(ministry: &Ministry) -> Vec<Page> {
    let months = tide_months(ministry.seed);
    let items: String = months
        .iter()
        .map(|(name, title, _)| {
            format!("<li class=\"card\"><h2><a href=\"/tides/{name}\">{title}</a></h2></li>\n")
        })
        .collect();
    let list = format!(
        "<p>Heights at Port Wrenna, above the zero of the measuring post.</p><ul class=\"cards\">\n{items}</ul>"
    );
    let mut pages = vec![index("/tides", "Tides", &list)];
    for (name, title, heights) in &months {
        pages.push(tide_month(name, title, heights));
    }
    pages
}

fn tide_month(name: &str, title: &str, heights: &[u32]) -> Page {
    let row = |(at, day): (usize, &[u32])| {
        let mut cells = vec![(at + 1).to_string()];
        cells.extend(day.iter().map(|height| metres(*height)));
        cells
    };
    let rows: Vec<Vec<String>> = heights.chunks(4).enumerate().map(row).collect();
    let table = table(
        &[
            "Day",
            "First high",
            "First low",
            "Second high",
            "Second low",
        ],
        &rows,
    );
    let main = format!(
        "<img class=\"chart\" src=\"/tides/charts/{name}.svg\" width=\"800\" height=\"220\" alt=\"Chart of the tides\">\n{table}"
    );
    Draft {
        path: &format!("/tides/{name}"),
        title: &format!("Tides in {title}"),
        summary: "High and low water at Port Wrenna.",
        crumbs: &[("Tides", "/tides")],
        updated: None,
        main: &main,
    }
    .page()
}

fn data() -> Page {
    let row = |(name, title, unit): &(&str, &str, &str)| {
        vec![
            escape(title),
            (*unit).to_owned(),
            link(&format!("/data/files/{name}.csv"), &format!("{name}.csv")),
        ]
    };
    let rows: Vec<Vec<String>> = words::DATASETS.iter().map(row).collect();
    let main = format!(
        "{}<p>All harbours at once: <a href=\"/data/harbours.json\">harbours.json</a>.</p>",
        table(&["Dataset", "In", "File"], &rows)
    );
    index("/data", "Data", &main)
}
