//! The links of an XML document: sitemaps, sitemap indexes, Atom and RSS feeds.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Collector, references};

/// Collects `<loc>` and `<link>` texts, the `href` of a `<link>` and the `url` of an `<enclosure>`,
/// each under any namespace prefix. What follows the first error in broken XML is not looked at.
pub(super) fn scan(body: &[u8], links: &mut Collector) {
    let mut reader = reader(body);
    let mut room = Vec::new();
    // The text of a `<loc>` or `<link>` so far, while inside of one.
    let mut text: Option<Vec<u8>> = None;
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => {
                attributes(&tag, &mut room, links);
                text = has_link_text(tag.local_name().as_ref()).then(Vec::new);
            }
            Ok(Event::Empty(tag)) => attributes(&tag, &mut room, links),
            Ok(Event::Text(piece)) => extend(&mut text, &piece),
            Ok(Event::CData(piece)) => extend(&mut text, &piece),
            Ok(Event::GeneralRef(name)) => {
                let written = [b"&", &*name, b";"].concat();
                extend(&mut text, references::decode(&written, &mut room));
            }
            Ok(Event::End(_)) => {
                if let Some(link) = text.take() {
                    links.push(&link);
                }
            }
            Ok(Event::Eof) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Lenient where people write sitemaps by hand: a bare `&` in a URL is the usual mistake.
fn reader(body: &[u8]) -> Reader<&[u8]> {
    let mut reader = Reader::from_reader(body);
    let config = reader.config_mut();
    config.allow_dangling_amp = true;
    config.allow_unmatched_ends = true;
    config.check_end_names = false;
    reader
}

fn has_link_text(local_name: &[u8]) -> bool {
    matches!(local_name, b"loc" | b"link")
}

fn extend(text: &mut Option<Vec<u8>>, piece: &[u8]) {
    if let Some(text) = text {
        text.extend_from_slice(piece);
    }
}

fn attributes(tag: &BytesStart<'_>, room: &mut Vec<u8>, links: &mut Collector) {
    let wanted: &[u8] = match tag.local_name().as_ref() {
        b"link" => b"href",
        b"enclosure" => b"url",
        _ => return,
    };
    // Without the check for duplicates, whose cost is quadratic.
    for attribute in tag.attributes().with_checks(false).flatten() {
        if attribute.key.local_name().as_ref() == wanted {
            links.push(references::decode(&attribute.value, room));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_from_sitemaps_and_feeds() {
        // One form each; broken XML yields what came before the break.
        let rows: &[(&str, &[&str])] = &[
            (
                "<?xml version='1.0'?><urlset><url><loc> /a </loc><lastmod>1</lastmod></url></urlset>",
                &["/a"],
            ),
            (
                "<sitemapindex><sitemap><loc>/s.xml</loc></sitemap></sitemapindex>",
                &["/s.xml"],
            ),
            (
                "\u{feff}<x:urlset><x:loc>/a</x:loc><image:loc>/b</image:loc></x:urlset>",
                &["/a", "/b"],
            ),
            ("<loc>/a?b=1&amp;c=2&#x26;d</loc>", &["/a?b=1&c=2&d"]),
            ("<loc>/a?b=1&c=2</loc><loc>/b</loc>", &["/a?b=1&c=2", "/b"]),
            ("<loc><![CDATA[/a?b&amp;c]]></loc>", &["/a?b&amp;c"]),
            ("<loc>/<!-- x -->a</loc>", &["/a"]),
            (
                "<url><xhtml:link rel='alternate' href='/de?a&amp;b'/></url>",
                &["/de?a&b"],
            ),
            (
                "<feed><link href=\"/a\"/><entry><link rel=x href='/b'></link></entry></feed>",
                &["/a", "/b"],
            ),
            (
                "<rss><link>/a</link><enclosure url='/b.mp3' length='1'/></rss>",
                &["/a", "/b.mp3"],
            ),
            ("<a href='/x'/><title>/y</title>", &[]),
            (
                "<loc>/a</loc><loc>/b</wrong><loc>/c</loc>",
                &["/a", "/b", "/c"],
            ),
            ("<loc>/a</loc></loc></x><loc>/b</loc>", &["/a", "/b"]),
            ("<loc>/a</loc><loc>/b", &["/a"]),
            ("<loc>/a</loc><loc><!-- /b</loc>", &["/a"]),
            ("<!DOCTYPE x [<!ENTITY y 'z'>]><loc>/&y;</loc>", &["/&y;"]),
            ("no XML", &[]),
            ("", &[]),
        ];
        for (body, expected) in rows {
            let mut links = Collector::default();
            scan(body.as_bytes(), &mut links);
            let links = links.into_links();
            assert_eq!(links.references().collect::<Vec<_>>(), *expected, "{body}");
        }
    }
}
