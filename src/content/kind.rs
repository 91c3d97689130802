//! Which scanner a body gets, from what the server says of it.

/// How a body is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// HTML, XHTML and SVG: markup with links in attributes and CSS inside.
    Html,
    Css,
    /// Any other XML: sitemaps, Atom and RSS feeds, and whatever else may name pages in the same way.
    Xml,
    /// JavaScript: what it imports.
    Script,
    /// A web application's manifest, which is JSON.
    Manifest,
    /// Any other JSON: no links.
    Json,
    /// Everything else: no links, nothing volatile.
    Other,
}

/// The kind of a body with this `Content-Type` at this URL path (without the query).
///
/// The header decides when there is one. Without one the path's extension does; a path without an
/// extension counts as HTML, since looking for links in something else costs little and missing a
/// page's links loses pages. Manifests are told by their name, since hardly any server has a type for them.
pub fn kind(content_type: Option<&str>, path: &str) -> Kind {
    let essence = content_type
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    match essence {
        Some(essence) if !essence.is_empty() => of_type(&essence.to_ascii_lowercase(), path),
        _ => of_path(path),
    }
}

/// Whether a body of this kind may name pages and assets.
pub fn has_links(kind: Kind) -> bool {
    !matches!(kind, Kind::Json | Kind::Other)
}

fn of_type(essence: &str, path: &str) -> Kind {
    match essence {
        "text/html" | "image/svg+xml" => Kind::Html,
        "text/css" => Kind::Css,
        "application/manifest+json" => Kind::Manifest,
        "application/json" | "text/json" | "text/plain" | "application/octet-stream"
            if of_path(path) == Kind::Manifest =>
        {
            Kind::Manifest
        }
        "text/json" | "application/json" => Kind::Json,
        json if json.ends_with("+json") => Kind::Json,
        "text/jscript" | "text/livescript" => Kind::Script,
        script if script.ends_with("javascript") || script.ends_with("ecmascript") => Kind::Script,
        xhtml if xhtml.ends_with("xhtml+xml") => Kind::Html,
        xml if xml.ends_with("/xml") || xml.ends_with("+xml") => Kind::Xml,
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
        "xml" | "atom" | "rss" | "rdf" => Kind::Xml,
        "js" | "mjs" => Kind::Script,
        "webmanifest" => Kind::Manifest,
        "json" if file.eq_ignore_ascii_case("manifest.json") => Kind::Manifest,
        "json" | "jsonld" | "geojson" => Kind::Json,
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
            (Some("text/xml"), "/", Kind::Xml),
            (Some("application/xml"), "/", Kind::Xml),
            (Some("application/atom+xml; type=feed"), "/", Kind::Xml),
            (Some("application/octet-stream"), "/a.html", Kind::Other),
            (Some("text/plain"), "/a.html", Kind::Other),
            (Some("xml"), "/a.xml", Kind::Other),
            (Some(""), "/sitemap.XML", Kind::Xml),
            (Some("; charset=utf-8"), "/a.htm", Kind::Html),
            (None, "/a/b.CSS", Kind::Css),
            (None, "/a.b/", Kind::Html),
            (None, "/a.b/page", Kind::Html),
            (None, "/feed.rss", Kind::Xml),
            (None, "/drawing.svg", Kind::Html),
            (None, "/report.pdf", Kind::Other),
            (Some("text/javascript; charset=x"), "/a", Kind::Script),
            (Some("application/x-javascript"), "/a.css", Kind::Script),
            (None, "/a.MJS", Kind::Script),
            (Some("application/manifest+json"), "/a", Kind::Manifest),
            (Some("application/json"), "/x/manifest.json", Kind::Manifest),
            (Some("application/json"), "/x/data.json", Kind::Json),
            (Some("application/ld+json"), "/x", Kind::Json),
            (Some("text/plain"), "/x/data.json", Kind::Other),
            (None, "/x/data.JSON", Kind::Json),
            (Some("text/plain"), "/site.webmanifest", Kind::Manifest),
            (Some("text/html"), "/site.webmanifest", Kind::Html),
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
