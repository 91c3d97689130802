//! Which scanner a body gets, from what the server says of it.

/// How a body is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTML, XHTML and SVG: markup with links in attributes and CSS inside.
    Html,
    Css,
    /// Any other XML: sitemaps, Atom and RSS feeds, and whatever else may name pages in the same way.
    Sitemap,
    /// Everything else: no links, nothing volatile.
    Other,
}

/// The kind of a body with this `Content-Type` at this URL path (without the query).
///
/// The header decides when there is one. Without one the path's extension does; a path without an
/// extension counts as HTML, since looking for links in something else costs little and missing a
/// page's links loses pages.
pub fn kind(content_type: Option<&str>, path: &str) -> Kind {
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    match essence {
        Some(essence) if !essence.is_empty() => of_type(&essence.to_ascii_lowercase()),
        _ => of_path(path),
    }
}

fn of_type(essence: &str) -> Kind {
    match essence {
        "text/html" | "image/svg+xml" => Kind::Html,
        "text/css" => Kind::Css,
        xhtml if xhtml.ends_with("xhtml+xml") => Kind::Html,
        xml if xml.ends_with("/xml") || xml.ends_with("+xml") => Kind::Sitemap,
        _ => Kind::Other,
    }
}

fn of_path(path: &str) -> Kind {
    let file = path.rsplit('/').next().unwrap_or_default();
    let Some((_, extension)) = file.rsplit_once('.') else {
        return Kind::Html;
    };
    match extension.to_ascii_lowercase().as_str() {
        "html" | "htm" | "shtml" | "xhtml" | "xht" | "svg" => Kind::Html,
        "css" => Kind::Css,
        "xml" | "atom" | "rss" | "rdf" => Kind::Sitemap,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_decides_and_the_path_only_without_one() {
        // Each row is a header, a path and the scanner that they lead to.
        let rows = [
            (Some("text/html"), "/a.css", Kind::Html),
            (Some(" Text/HTML ; charset=utf-8"), "/", Kind::Html),
            (Some("application/xhtml+xml"), "/", Kind::Html),
            (Some("application/vnd.wap.xhtml+xml"), "/", Kind::Html),
            (Some("image/svg+xml"), "/", Kind::Html),
            (Some("text/css;charset=x"), "/", Kind::Css),
            (Some("text/xml"), "/", Kind::Sitemap),
            (Some("application/xml"), "/", Kind::Sitemap),
            (Some("application/atom+xml; type=feed"), "/", Kind::Sitemap),
            (Some("application/octet-stream"), "/a.html", Kind::Other),
            (Some("text/plain"), "/a.html", Kind::Other),
            (Some("xml"), "/a.xml", Kind::Other),
            (Some(""), "/sitemap.XML", Kind::Sitemap),
            (Some("; charset=utf-8"), "/a.htm", Kind::Html),
            (None, "/a/b.CSS", Kind::Css),
            (None, "/a.b/", Kind::Html),
            (None, "/a.b/page", Kind::Html),
            (None, "/feed.rss", Kind::Sitemap),
            (None, "/drawing.svg", Kind::Html),
            (None, "/report.pdf", Kind::Other),
            (None, "", Kind::Html),
        ];
        for (content_type, path, expected) in rows {
            assert_eq!(
                kind(content_type, path),
                expected,
                "{content_type:?} {path}"
            );
        }
    }
}
