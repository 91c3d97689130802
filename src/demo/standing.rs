//! Pages that stand alone and change with no edit, and the redirects.

use time::macros::date;

use super::pages::{Draft, Page};

/// Status, address and target of every redirect. `/ferry` takes two steps; one leads off the site.
pub(super) const REDIRECTS: [(u16, &str, &str); 6] = [
    (301, "/lights", "/lighthouses"),
    (308, "/mooring", "/guides/moor-overnight"),
    (302, "/tides/now", "/tides/2025-10"),
    (301, "/ferry", "/ferries"),
    (308, "/ferries", "/guides/take-the-ferry"),
    (302, "/weather", "https://www.example.org/weather"),
];

/// A news item that was withdrawn before the story begins. One page still links to it.
pub(super) const GONE: &str = "/news/free-ice-cream-for-all-2024";

/// A page with a letter beyond ASCII in its path.
const CAFES: &str = "/caf%C3%A9s-on-the-quay";

/// Path, title, summary and HTML of each standing page.
const PAGES: [(&str, &str, &str, &str); 11] = [
    (
        "/about/",
        "About the ministry",
        "Who we are, and why there are so many stairs.",
        "<p>The ministry was founded on a rock, and has since taken in two more. It employs 311 people, 40 cats and \
         one barometer.</p><p>Read <a href=\"history\">our history</a>, meet <a href=\"people\">our people</a>, \
         or find out <a href=\"./how-we-decide\">how we decide</a>.</p>\
         <p><img class=\"scene\" src=\"../images/scene-4-640.png\" width=\"640\" height=\"320\" alt=\"The founding rock\"></p>",
    ),
    (
        "/about/history",
        "Our history",
        "From one candle to 48 lamps.",
        "<p>In the beginning there was a candle in a window, and a boat that found its way home by it. The owner of \
         the candle asked for half a herring. This was the first budget.</p>\
         <p>The low point was the summer of <a href=\"/news/free-ice-cream-for-all-2024\">free ice cream for all</a>, \
         an announcement that has been withdrawn.</p><p><a href=\"./\">Back to the ministry</a></p>",
    ),
    (
        "/about/people",
        "Our people",
        "The minister, the clerk and the cats.",
        "<p>The minister holds office between two spring tides. The <a href=\"../organisations/office-of-the-tide-clerk\">\
         Tide Clerk</a> stays on.</p><p><a href=\"./\">Back to the ministry</a></p>",
    ),
    (
        "/about/how-we-decide",
        "How we decide",
        "Slowly, and at low water.",
        "<p>Decisions are taken standing up, on sand, and must be complete before the water reaches the minutes.</p>\
         <p><a href=\"./\">Back to the ministry</a></p>",
    ),
    (
        "/contact",
        "Contact",
        "Write, ring or wave.",
        "<p>Write to the Ministry of Tides, The Old Lamp Store, Port Wrenna. Or send \
         <a href=\"/guides/send-a-letter-by-bottle\">a letter by bottle</a>.</p>\
         <p>Electronic letters: <a href=\"mailto:bell@ministry.example\">bell@ministry.example</a>. \
         Telephone: <a href=\"tel:+0000000\">000 0000</a>, and let it ring.</p>",
    ),
    (
        "/accessibility",
        "Accessibility",
        "Stairs are our weakness.",
        "<p>Every page can be read without a mouse, a screen or the sun. If something keeps you out, \
         <a href=\"/contact\">tell us</a> and we will move it.</p>",
    ),
    (
        "/privacy",
        "Privacy",
        "We know where your boat is, and nothing else.",
        "<p>We set no cookies. The harbour cats set their own.</p>",
    ),
    (
        "/help/short-addresses",
        "Short addresses",
        "Painted on buoys, where there is little room.",
        "<ul><li><a href=\"/lights\">/lights</a>: all lighthouses</li><li><a href=\"/mooring\">/mooring</a>: how to moor</li>\
         <li><a href=\"/tides/now\">/tides/now</a>: this month’s tides</li><li><a href=\"/ferry\">/ferry</a>: take the ferry</li>\
         <li><a href=\"/weather\">/weather</a>: looks out of the window</li></ul>",
    ),
    (
        CAFES,
        "Cafés on the quay",
        "Where to wait for the tide with a cup in hand.",
        "<p>The <i>Crème Anglaise</i> at Saltmere opens at high water. The <i>Naïve Oyster</i> at Gullet Cove opens when \
         it is ready. Both take fish.</p><p>This page is also found at \
         <a href=\"/caf%C3%A9s-on-the-quay\">its escaped address</a>.</p>",
    ),
    (
        "/small-print",
        "Small print",
        "No page links here. The sitemap knows.",
        "<p>The ministry is not liable for wet feet.</p>",
    ),
    (
        "/drafts/a-bill-concerning-the-moon",
        "A bill concerning the moon",
        "A draft. Robots are asked to stay away.",
        "<p>The moon shall give notice in writing of any tide above the ordinary.</p>",
    ),
];

/// The standing pages; the draft among them is in no sitemap.
pub(super) fn all() -> Vec<Page> {
    PAGES.iter().map(one).collect()
}

fn one((path, title, summary, main): &(&str, &str, &str, &str)) -> Page {
    let about = [("About us", "/about/")];
    let is_below = path.starts_with("/about/") && *path != "/about/";
    let crumbs = if is_below { &about[..] } else { &[] };
    let updated = Some(date!(2025 - 03 - 03));
    let mut page = Draft {
        path,
        title,
        summary,
        crumbs,
        updated,
        main,
    }
    .page();
    page.is_listed &= !path.starts_with("/drafts/");
    page
}

/// What a withdrawn page answers.
pub(super) fn gone(path: &str) -> Page {
    let main = "<p>It was here once. The tide has been.</p>";
    let summary = "This page has been withdrawn.";
    Draft {
        path,
        title: "Withdrawn",
        summary,
        crumbs: &[],
        updated: None,
        main,
    }
    .page()
}

/// What an address answers that never was one.
pub(super) fn not_found() -> Page {
    let main = "<p>Perhaps you took a wrong turning at the buoy. Try the <a href=\"/\">harbour wall</a>.</p>";
    let summary = "There is nothing here but water.";
    Draft {
        path: "/not-found",
        title: "Not found",
        summary,
        crumbs: &[],
        updated: None,
        main,
    }
    .page()
}
