//! Under which key a page lies, what a CDN asks a store for when it gets the request, and which other pages have
//! the same key.

use std::collections::BTreeMap;

use serde::Serialize;

use super::sheet::Sheet;
use crate::manifest::{Manifest, ManifestError, Sharers};
use crate::site::{
    CdnAnswer, CdnRequest, Layout, LayoutName, ObjectKey, PageUrl, Reach, asked_of_store,
};

/// The page's place in every layout.
pub struct Keys {
    /// In the configured layout.
    pub key: ObjectKey,
    layout: LayoutName,
    pub by_layout: BTreeMap<&'static str, ObjectKey>,
    pub cdn: BTreeMap<&'static str, Asked>,
}

/// What a CDN does that rewrites requests by a layout.
#[derive(Serialize)]
pub struct Asked {
    /// What it asks the store for, as on the request line, behind the prefix of the tier; null where it cannot.
    path: Option<String>,
    /// Why only a gateway can ask for the page, by the name in `docs/LAYOUT.md`.
    gateway_only: Option<&'static str>,
    /// The same in words.
    because: Option<String>,
}

impl Keys {
    pub fn of(layout: &Layout, url: &PageUrl) -> Keys {
        let mut keys = Keys {
            key: layout.place(url).key,
            layout: layout.name(),
            by_layout: BTreeMap::new(),
            cdn: BTreeMap::new(),
        };
        for name in [LayoutName::Plain, LayoutName::Govuk] {
            let layout = Layout::new(name, layout.asset_hosts());
            let placed = layout.place(url);
            keys.cdn
                .insert(name.as_str(), Asked::of(&layout, url, placed.reach));
            keys.by_layout.insert(name.as_str(), placed.key);
        }
        keys
    }

    pub fn tell(&self, sheet: &mut Sheet) {
        sheet.line("key", self.key.as_str());
        let told = self.cdn.get(self.layout.as_str()).map(Asked::told);
        sheet.line("cdn", &told.unwrap_or_default());
        for (name, key) in &self.by_layout {
            if *name != self.layout.as_str() && *key != self.key {
                sheet.line(name, &format!("{key} would be the key in this layout"));
            }
        }
    }
}

impl Asked {
    fn of(layout: &Layout, url: &PageUrl, reach: Reach) -> Asked {
        let because = match reach {
            Reach::Cdn => None,
            Reach::GatewayOnly(reason) => Some(reason.to_string()),
        };
        match asked_of_store(layout, CdnRequest::from(url)) {
            CdnAnswer::Asks { path } => Asked {
                path: Some(path),
                gateway_only: None,
                because,
            },
            CdnAnswer::Refuses { reason } => Asked {
                path: None,
                gateway_only: Some(reason),
                because,
            },
        }
    }

    fn told(&self) -> String {
        match (&self.path, &self.because) {
            (Some(path), _) => format!("asks for {path}"),
            (None, Some(because)) => format!("cannot ask for it, only a gateway can: {because}"),
            (None, None) => "cannot ask for it, only a gateway can".into(),
        }
    }
}

/// Live pages on the key of the page, where there are others than itself.
#[derive(Serialize)]
pub struct Shared {
    /// The page that every tier holds under the key.
    pub winner: PageUrl,
    /// Pages that are served by it, having the same content or redirecting to it.
    aliases: Vec<PageUrl>,
    /// Pages with other content, which cannot be had from the mirror.
    pub losers: Vec<PageUrl>,
    /// What the page itself is among them: `winner`, `alias`, `loser`, or null if it is not live.
    role: Option<&'static str>,
}

impl Shared {
    pub fn of(
        manifest: &Manifest,
        url: &PageUrl,
        key: &ObjectKey,
    ) -> Result<Option<Shared>, ManifestError> {
        let Some(sharers) = manifest.sharers(key, url.scheme())? else {
            return Ok(None);
        };
        let Sharers {
            winner,
            same,
            losers,
        } = sharers;
        if winner == *url && same.is_empty() && losers.is_empty() {
            return Ok(None);
        }
        let role = if winner == *url {
            Some("winner")
        } else if same.contains(url) {
            Some("alias")
        } else if losers.contains(url) {
            Some("loser")
        } else {
            None
        };
        Ok(Some(Shared {
            winner,
            aliases: same,
            losers,
            role,
        }))
    }

    /// Whether the tiers hold another page in the place of this one.
    pub fn is_lost(&self) -> bool {
        self.role == Some("loser")
    }

    /// Whether the page is served by another one that is the same.
    pub fn is_alias(&self) -> bool {
        self.role == Some("alias")
    }

    pub fn tell(&self, sheet: &mut Sheet) {
        let Shared { winner, .. } = self;
        match self.role {
            Some("winner") => {
                let told = |urls: &[PageUrl], as_what: &str, sheet: &mut Sheet| {
                    for url in urls {
                        sheet.line("shared", &format!("with {url}, {as_what}"));
                    }
                };
                told(&self.aliases, "which is the same", sheet);
                told(
                    &self.losers,
                    "which is another page and is not served",
                    sheet,
                );
            }
            Some("alias") => sheet.line("shared", &format!("with {winner}, which is the same")),
            Some(_) => {
                let told =
                    format!("COLLISION: {winner} has this key, too, and is served in its place");
                sheet.line("shared", &told);
            }
            None => sheet.line("shared", &format!("the key is that of {winner}")),
        }
    }
}
