//! What many changed pages have in common. When most of a site has changed at once, its template did, or something in
//! it is made anew for every answer: the old and the new bodies of a few pages say which, and where.
//!
//! Only a sample is looked at: pages spread over all that changed, whose old bodies are still in the store, up to a
//! bound in number, size and time. Nothing is kept of it during the crawl; what was staged says what has changed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use super::RunError;
use crate::content::{self, Asked, CanonicalRules, DeclaredRules, Document, Place, Proposal};
use crate::crawl::Frontier;
use crate::manifest::{Manifest, Outcome, Page, Staged};
use crate::site::PageUrl;
use crate::store::{Located, Store};

/// Pages looked at: enough to see what half of them share, few enough to read in an instant.
const PAGES_MAX: u64 = 20;

/// Of each body. Longer ones are left out, since two of them have to be held.
const BODY_MAX: u64 = 1 << 20;

/// For all comparisons together. A run waits for it once, and only when it looks wrong.
const PATIENCE: Duration = Duration::from_secs(10);

/// A place is common when this share of the pages has changed there.
const SHARE_MIN: f64 = 0.5;

/// The place in which most of the pages that were looked at have changed.
#[derive(Debug, Clone, Serialize)]
pub struct CommonChange {
    /// `html > body > footer > time`, `header vary`.
    #[serde(rename = "where")]
    pub place: String,
    pub part: String,
    /// One of the pages, and what changed on it.
    pub example_url: PageUrl,
    pub example_before: String,
    pub example_after: String,
    /// Pages that have changed there, of so many that were looked at.
    pub pages: u64,
    pub of: u64,
    /// Of these pages, those that share what stood there and what stands there now with another one: noise is made
    /// anew for each page, an edit is not.
    pub alike: u64,
    /// It looks like something that the site says, and not like noise.
    pub is_content: bool,
    /// What would take it out of the comparison.
    pub rule: Option<Proposal>,
}

impl fmt::Display for CommonChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommonChange {
            place,
            part,
            pages,
            of,
            example_url: url,
            example_before: before,
            example_after: after,
            alike,
            ..
        } = self;
        let at = match &**place {
            "" => part.clone(),
            place => format!("{place} ({part})"),
        };
        write!(
            f,
            "{pages} of {of} pages that were looked at have changed in the same place: {at}, \"{before}\" is now \"{after}\" on {url}"
        )?;
        if *alike > 0 {
            return write!(
                f,
                "; {alike} of them have changed from the same to the same, so this looks like a change of the site's own, as when its template is edited"
            );
        }
        let sure = self.rule.as_ref().filter(|rule| rule.doubt.is_none());
        match (sure, self.is_content) {
            (Some(proposal), _) => {
                let (list, rule) = (proposal.rule.list(), proposal.rule.text());
                write!(
                    f,
                    "; this looks like noise, which `canonical.{list}` would take out with `{rule}` (see `standin suggest {url}`)"
                )
            }
            (None, true) => f.write_str(
                "; this looks like a change of the site's own, as when its template is edited",
            ),
            (None, false) => write!(f, "; if it is noise, `standin suggest {url}` finds a rule"),
        }
    }
}

/// What changed pages are looked at by.
pub struct Sample {
    pub manifest: Arc<Manifest>,
    pub frontier: Arc<Frontier>,
    pub store: Store,
    /// How many pages have changed.
    pub changed: u64,
    pub declared: DeclaredRules,
}

/// A page that has changed, with where its bodies lie.
struct Changed {
    url: PageUrl,
    before: Page,
    after: Page,
    places: [Located; 2],
}

/// Where pages have changed alike, and how often.
struct Shared {
    pages: u64,
    url: PageUrl,
    place: Place,
    /// What became of what, with the number of the first page on which it did.
    changes: BTreeMap<u64, u64>,
    /// The numbers of pages of which another one has changed from the same to the same.
    alike: BTreeSet<u64>,
    /// With how many pages each was proposed for.
    rules: Vec<(Proposal, u64)>,
}

impl Shared {
    /// One more page that has changed here.
    fn add(&mut self, proposal: Option<Proposal>, changes: &BTreeSet<u64>) {
        for change in changes {
            if let Some(first) = self.changes.get(change) {
                self.alike.extend([*first, self.pages]);
            } else {
                self.changes.insert(*change, self.pages);
            }
        }
        self.pages += 1;
        let Some(proposal) = proposal else { return };
        match self.rules.iter_mut().find(|(known, _)| *known == proposal) {
            Some((_, pages)) => *pages += 1,
            None => self.rules.push((proposal, 1)),
        }
    }
}

/// What changes of several pages have to share to be the same: the place, and what they look like; where they look
/// like words, these words, since two edited paragraphs have nothing in common.
fn key(place: &Place) -> [String; 4] {
    let (before, after) = match place.look {
        "words" => (place.before.clone(), place.after.clone()),
        look => (look.to_owned(), String::new()),
    };
    [place.kin.clone(), place.part.clone(), before, after]
}

/// The first place of each key, with what became of all of them.
fn by_key(places: Vec<Place>) -> BTreeMap<[String; 4], Place> {
    let mut found: BTreeMap<[String; 4], Place> = BTreeMap::new();
    for place in places {
        match found.entry(key(&place)) {
            Entry::Vacant(free) => {
                free.insert(place);
            }
            Entry::Occupied(mut known) => known.get_mut().changes.extend(place.changes),
        }
    }
    found
}

impl Sample {
    /// The most common place, where it is one.
    ///
    /// # Errors
    /// What manifest and frontier say. A body that cannot be read leaves its page out.
    pub fn common(&self) -> Result<Option<CommonChange>, RunError> {
        let rules = CanonicalRules::new(&self.declared)
            .map_err(|error| RunError::Config(error.to_string()))?;
        let deadline = Instant::now() + PATIENCE;
        let mut shared: BTreeMap<[String; 4], Shared> = BTreeMap::new();
        let mut of = 0;
        for changed in self.pages()? {
            let Some(places) = self.compared(&changed, &rules, deadline) else {
                continue;
            };
            of += 1;
            for (key, place) in by_key(places) {
                let (proposal, changes) = (place.proposal.clone(), place.changes.clone());
                let found = shared.entry(key).or_insert_with(|| Shared {
                    pages: 0,
                    url: changed.url.clone(),
                    place,
                    changes: BTreeMap::new(),
                    alike: BTreeSet::new(),
                    rules: Vec::new(),
                });
                found.add(proposal, &changes);
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        // Of two as common the one that is noise: it is what can be mended here.
        let rank = |shared: &Shared| {
            (
                shared.pages,
                !shared.place.is_content && shared.alike.is_empty(),
            )
        };
        let most = shared.into_values().max_by_key(rank);
        Ok(most
            .filter(|shared| is_common(shared.pages, of))
            .map(|shared| named(shared, of)))
    }

    /// Pages spread over all that have changed, in the order of their URLs.
    fn pages(&self) -> Result<Vec<Changed>, RunError> {
        // Of some the old body is gone, or long: twice as many are tried as are needed.
        let stride = (self.changed / (2 * PAGES_MAX)).max(1);
        let mut seen = 0;
        let mut pages = Vec::new();
        for staged in self.frontier.staged() {
            let (
                url,
                Staged::Outcome {
                    outcome: Outcome::Page(after),
                    located,
                    ..
                },
            ) = staged?
            else {
                continue;
            };
            seen += 1;
            if seen % stride != 0 {
                continue;
            }
            if let Some(changed) = self.changed(url, after, located)? {
                pages.push(changed);
            }
            if pages.len() as u64 == PAGES_MAX {
                break;
            }
        }
        Ok(pages)
    }

    /// The page with both of its bodies, where they can be looked at.
    fn changed(
        &self,
        url: PageUrl,
        after: Page,
        located: Option<Located>,
    ) -> Result<Option<Changed>, RunError> {
        let Some(entry) = self.manifest.entry(&url)? else {
            return Ok(None);
        };
        let Outcome::Page(before) = entry.outcome else {
            return Ok(None);
        };
        if before.size > BODY_MAX || after.size > BODY_MAX {
            return Ok(None);
        }
        let old = self.manifest.locate(&before.content)?;
        let new = match located {
            Some(located) => Some(located),
            None => self.manifest.locate(&after.content)?,
        };
        Ok(old.zip(new).map(|(old, new)| Changed {
            url,
            before,
            after,
            places: [old, new],
        }))
    }

    /// Where the page has changed; `None` when its bodies cannot be read, or do not differ under today's rules.
    fn compared(
        &self,
        changed: &Changed,
        rules: &CanonicalRules,
        deadline: Instant,
    ) -> Option<Vec<Place>> {
        let Changed {
            url, before, after, ..
        } = changed;
        let [old, new] = &changed.places;
        let (old, new) = (self.store.read(old).ok()?, self.store.read(new).ok()?);
        let documents = [(before, &old), (after, &new)];
        let documents = documents.map(|(page, body)| document(url, page, body));
        let mut places = content::compare_headers(&before.headers, &after.headers, rules);
        places.extend(content::compare(&documents[0], &documents[1], rules, deadline).places);
        (!places.is_empty()).then_some(places)
    }
}

fn document<'a>(url: &PageUrl, page: &'a Page, body: &'a Bytes) -> Document<'a> {
    let content_type = page.headers.content_type();
    Document {
        kind: content::kind(content_type, url.path()),
        body,
        content: page.content,
        content_type,
        asked: Asked::default(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most some dozen pages")]
fn is_common(pages: u64, of: u64) -> bool {
    pages > 1 && pages as f64 >= of as f64 * SHARE_MIN
}

fn named(shared: Shared, of: u64) -> CommonChange {
    let place = shared.place;
    // A rule for an edit would hide the next one.
    let is_own = !shared.alike.is_empty();
    let rules = shared.rules.into_iter().filter(|_| !is_own);
    let rule = rules.max_by_key(|(_, pages)| *pages);
    CommonChange {
        place: place.path,
        part: place.part,
        example_url: shared.url,
        example_before: place.before,
        example_after: place.after,
        pages: shared.pages,
        of,
        alike: shared.alike.len() as u64,
        is_content: is_own || place.is_content,
        rule: rule.map(|(proposal, _)| proposal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Rule;

    #[test]
    fn noise_and_a_change_of_the_template_read_differently() {
        // Promise: the rule is named only where it is one to use; a template's change is called one.
        let common = |doubt: Option<Option<&str>>, is_content| CommonChange {
            place: "html > body > footer".into(),
            part: "text".into(),
            example_url: PageUrl::parse("https://h.test/a").unwrap(),
            example_before: "one".into(),
            example_after: "two".into(),
            pages: 18,
            of: 20,
            alike: 0,
            is_content,
            rule: doubt.map(|doubt| Proposal {
                rule: Rule::Selectors("footer".into()),
                doubt: doubt.map(str::to_owned),
            }),
        };
        let begin = "18 of 20 pages that were looked at have changed in the same place: html > body > footer (text), \"one\" is now \"two\" on https://h.test/a; ";
        let rows = [
            (
                common(Some(None), false),
                "this looks like noise, which `canonical.selectors` would take out with `footer` (see `standin suggest https://h.test/a`)",
            ),
            (
                common(Some(Some("words")), true),
                "this looks like a change of the site's own, as when its template is edited",
            ),
            (
                common(None, false),
                "if it is noise, `standin suggest https://h.test/a` finds a rule",
            ),
        ];
        for (common, end) in rows {
            assert_eq!(common.to_string(), format!("{begin}{end}"));
        }
        let alike = CommonChange {
            alike: 17,
            ..common(None, true)
        };
        let end = "17 of them have changed from the same to the same, so this looks like a change of the site's own, as when its template is edited";
        assert_eq!(alike.to_string(), format!("{begin}{end}"));
        assert!(is_common(10, 20) && !is_common(9, 20) && !is_common(1, 1));
    }
}
