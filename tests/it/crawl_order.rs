//! Promise: a crawl asks in the order of worth, and for nothing twice. Sitemaps come before any page that is not a
//! seed; of what they name, the newest first; what a page needs to be shown soon after it; stored pages that their
//! sitemap calls newer before the others. All spellings of a URL are one request.

use crate::support::origin::Page;
use crate::support::scene::{Scene, date, index, places, robots, sitemap};

/// Jobs of a host that may lie in memory, and so come before what is found later.
const WINDOW: usize = 128;

/// A site with an index of two sitemaps.
fn two_sitemaps() -> Scene {
    let scene = Scene::in_order();
    let origin = &scene.origin;
    robots(origin, "", &["/index.xml"]);
    origin.set(
        "/index.xml",
        index(origin, &[("/s1.xml", ""), ("/s2.xml", "")]),
    );
    let old = [("/old", "2020-01-01"), ("/newest", "2026-06-01")];
    origin.set("/s1.xml", sitemap(origin, &old));
    let others = [("/undated", ""), ("/newer", "2024-01-01T10:00:00Z")];
    origin.set("/s2.xml", sitemap(origin, &others));
    scene.page("/", &["/linked"], "home");
    for path in ["/old", "/newest", "/undated", "/newer", "/linked"] {
        scene.page(path, &["/"], path);
    }
    scene
}

#[test]
fn sitemaps_come_first_and_of_their_pages_the_newest() {
    let scene = two_sitemaps();
    scene.run();
    // The seed comes first, once in a mirror's life: it says under which scheme the host is known.
    let beginning = ["/", "/robots.txt"];
    let sitemaps = ["/index.xml", "/s1.xml", "/s2.xml"];
    let pages = ["/newest", "/newer", "/old", "/linked", "/undated"];
    let asked = scene.asked();
    let (first, rest) = asked.split_at(beginning.len());
    assert_eq!(first, beginning);
    assert_eq!(rest[..sitemaps.len()], sitemaps);
    assert_eq!(rest[sitemaps.len()..][..pages.len()], pages);
    // The second look, at the index and at those of which it does not say when they changed.
    let mut last = rest[sitemaps.len() + pages.len()..].to_vec();
    last.sort();
    assert_eq!(last, sitemaps);
}

#[test]
fn a_stored_page_that_its_sitemap_calls_newer_overtakes_the_others() {
    let scene = two_sitemaps();
    for number in 0..20 {
        scene.page(&format!("/a{number}"), &[], "page");
    }
    let links: Vec<String> = (0..20).map(|number| format!("/a{number}")).collect();
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    scene.page("/", &links, "home");
    scene.run();
    let origin = &scene.origin;
    let entries = [("/old", "2020-01-01"), ("/newest", date(1).as_str())]
        .map(|(path, at)| (path, at.to_owned()));
    let entries = entries.each_ref().map(|(path, at)| (*path, at.as_str()));
    origin.set("/s1.xml", sitemap(origin, &entries));
    scene.run();
    let asked = scene.asked();
    let [newest, first, last] = places(&asked, ["/newest", "/a0", "/old"]);
    assert!(newest < first && newest < last, "{asked:?}");
    assert_eq!(scene.times()["/newest"], 1);
}

#[test]
fn what_a_page_needs_comes_soon_after_it() {
    // With 400 pages waiting, the style sheet of the first one found is not the last thing asked for.
    let scene = Scene::in_order();
    let links: Vec<String> = (0..400).map(|number| format!("/p{number}")).collect();
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    scene.page("/", &links, "home");
    for link in &links {
        scene.page(link, &[], link);
    }
    let dressed = "<link rel=stylesheet href=/dress.css><p>dressed</p>";
    scene.origin.set("/p0", Page::html(dressed));
    let sheet = Page::new("text/css", "p { background: url(/back.png) }");
    scene.origin.set("/dress.css", sheet);
    scene.origin.set("/back.png", Page::new("image/png", "png"));
    scene.run();
    let asked = scene.asked();
    let [page, sheet, picture] = places(&asked, ["/p0", "/dress.css", "/back.png"]);
    assert!(sheet - page <= WINDOW + 1, "{page} {sheet}");
    assert!(picture - sheet <= WINDOW + 1, "{sheet} {picture}");
}

#[test]
fn all_spellings_of_a_url_are_one_request() {
    let scene = Scene::new();
    let other_scheme = scene.origin.url("/a").replace("http:", "https:");
    let spellings = [
        "/a",
        "/a#top",
        "a",
        "./a",
        "x/../a",
        "/./a",
        "/%61",
        "//HOST/a",
        "/~u",
        "/%7Eu",
        "/%7eu#x",
        "/q?b=2&amp;a=1",
        "/q?a=1&amp;b=2#y",
        "q?a=1&amp;b=2",
        "/caf%c3%a9",
        "/café",
        "/caf%C3%A9",
        "/dir/",
        "/dir/./",
        "/dir/x/..",
        other_scheme.as_str(),
    ];
    let authority = scene.origin.authority();
    let spellings: Vec<String> = spellings
        .iter()
        .map(|spelling| spelling.replace("HOST", &authority))
        .collect();
    let spellings: Vec<&str> = spellings.iter().map(String::as_str).collect();
    scene.page("/", &spellings, "home");
    for path in ["/a", "/~u", "/q?a=1&b=2", "/caf%C3%A9", "/dir/"] {
        // There, some of them would be other pages.
        let links = if path == "/dir/" { &[] } else { &spellings[..] };
        scene.page(path, links, path);
    }
    let report = scene.run();
    let asked = scene.asked_sorted();
    assert_eq!(
        asked,
        [
            "/",
            "/a",
            "/caf%C3%A9",
            "/dir/",
            "/q?a=1&b=2",
            "/robots.txt",
            "/~u"
        ]
    );
    assert_eq!(report.crawl.errors, 0, "{:?}", report.troubles);
}

#[test]
fn a_feed_that_calls_a_page_newer_asks_for_it_no_second_time() {
    // The feed is a stored page among others: what it names may have had its turn before it was read.
    let scene = Scene::in_order();
    scene.page("/", &["/feed.xml", "/a", "/z"], "home");
    scene.page("/a", &[], "a");
    scene.page("/z", &[], "z");
    let entry = |path: &str, at: &str| {
        format!(
            "<entry><id>x</id><link href=\"{}\"/><updated>{at}</updated></entry>",
            scene.origin.url(path)
        )
    };
    let feed = |text: String| {
        let text = format!("<feed xmlns=\"http://www.w3.org/2005/Atom\">{text}</feed>");
        Page::new("application/atom+xml", text)
    };
    let then = entry("/a", &date(-1)) + &entry("/z", &date(-1));
    scene.origin.set("/feed.xml", feed(then));
    scene.run();
    let now = entry("/a", &date(1)) + &entry("/z", &date(1));
    scene.origin.set("/feed.xml", feed(now));
    scene.run();
    for path in ["/", "/a", "/z", "/feed.xml"] {
        assert_eq!(scene.times()[path], 1, "{path} in {:?}", scene.asked());
    }
}

#[test]
fn what_the_headers_of_a_file_name_is_asked_for_as_well() {
    let scene = Scene::new();
    scene.page("/", &["/paper.pdf"], "home");
    scene.page("/part", &[], "part");
    scene.page("/next", &[], "next");
    let paper = Page::new("application/pdf", "%PDF")
        .header("link", "</part>; rel=related")
        .header("refresh", "5; url=/next");
    scene.origin.set("/paper.pdf", paper);
    scene.run();
    let stored = scene.stored();
    assert!(stored.contains_key("part") && stored.contains_key("next"));
}
