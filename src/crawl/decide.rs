//! What an answer means for the record of its URL: pure.

use crate::content::{CanonicalRules, ContentHash, Digest, KeptHeaders};
use crate::manifest::{Entry, Gone, Outcome, Page, Redirect};

/// What follows from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// As recorded. Nothing is staged.
    Same,
    /// The same bytes under other validators.
    Validators,
    /// The same page, recorded under other rules than today's.
    Rules,
    /// A new outcome; `store` says whether its body has to be kept.
    Stage { outcome: Outcome, store: bool },
    /// What is recorded, or what differs from it in nothing that counts; but the recorded bytes are nowhere any more, so
    /// these are kept.
    Again { outcome: Outcome },
    /// A stored page answered 404, so many crawls in a row.
    Missing { status: u16 },
    /// Not there, and never was.
    Broken { status: u16 },
}

/// A body with what was computed of it.
pub struct Body {
    pub status: u16,
    pub digest: Digest,
    /// Canonical hash under today's rules.
    pub canonical: ContentHash,
    /// Canonical hash of the recorded page under today's rules, where it was recorded under other ones; `None` inside
    /// where nobody knows it, and the page counts as changed.
    pub recorded: Option<Option<ContentHash>>,
    pub rules: u32,
    pub headers: KeptHeaders,
    pub etag: Option<String>,
    pub last_modified: Option<String>,
}

/// A 200 with its body. `survives`: a copy of the recorded bytes is in the store or in a tier. Headers are recorded
/// whole, and so are compared under `today`'s rules whatever the page was recorded under.
pub fn page(
    recorded: Option<&Entry>,
    body: Body,
    survives: bool,
    today: &CanonicalRules,
) -> Decision {
    let Some(old) = recorded.and_then(|entry| entry.outcome.page()) else {
        return stage(body, true);
    };
    let same_bytes = old.content == body.digest.content;
    let same_page =
        same_bytes || body.recorded.unwrap_or(Some(old.canonical)) == Some(body.canonical);
    let same_headers =
        old.status == body.status && old.headers.canonical(today) == body.headers.canonical(today);
    if !same_page {
        return stage(body, true);
    }
    if !survives {
        return match same_headers {
            true => again(body),
            false => stage(body, true),
        };
    }
    if !same_headers {
        // Headers and body are kept of the same answer, so a page with a nonce is stored again.
        return stage(body, !same_bytes);
    }
    let same_validators = old.etag == body.etag && old.last_modified == body.last_modified;
    if same_bytes && !same_validators {
        return Decision::Validators;
    }
    if old.rules != body.rules {
        return Decision::Rules;
    }
    Decision::Same
}

/// A 304: the recorded answer is still the origin's, but the mirror's caching policy may be another one
/// than when it was recorded.
pub fn not_modified(recorded: Option<&Entry>, cache_control: Option<&str>) -> Decision {
    let Some(page) = recorded.and_then(|entry| entry.outcome.page()) else {
        return Decision::Same;
    };
    let headers = page.headers.clone().with_cache_control(cache_control);
    if headers == page.headers {
        return Decision::Same;
    }
    let outcome = Outcome::Page(Page {
        headers,
        ..page.clone()
    });
    Decision::Stage {
        outcome,
        store: false,
    }
}

/// A published file: every difference of its bytes is one that its author has made.
pub fn file(recorded: Option<&Entry>, body: Body, survives: bool) -> Decision {
    let old = recorded.and_then(|entry| entry.outcome.page());
    let same_bytes = old.is_some_and(|old| old.content == body.digest.content);
    if same_bytes && old.is_some_and(|old| is_published(old, &body.headers)) {
        return match survives {
            true => Decision::Same,
            false => again(body),
        };
    }
    stage(body, !(same_bytes && survives))
}

/// Whether a page is recorded as a file with these headers is published.
pub fn is_published(page: &Page, headers: &KeptHeaders) -> bool {
    page.status == 200 && page.headers == *headers
}

/// A 30x with its absolute target.
pub fn redirect(recorded: Option<&Entry>, status: u16, target: String) -> Decision {
    let outcome = Outcome::Redirect(Redirect { status, target });
    if recorded.is_some_and(|entry| entry.outcome == outcome) {
        return Decision::Same;
    }
    Decision::Stage {
        outcome,
        store: false,
    }
}

/// A 404 or 410. `strikes` counts this one in; a 410 is the origin's own word and needs no second.
pub fn gone(recorded: Option<&Entry>, status: u16, strikes: u32, needed: u32) -> Decision {
    match recorded {
        None => Decision::Broken { status },
        Some(entry) if !entry.outcome.is_live() => Decision::Same,
        Some(_) if status == 410 || strikes >= needed => Decision::Stage {
            outcome: Outcome::Gone(Gone { status }),
            store: false,
        },
        Some(_) => Decision::Missing { status },
    }
}

fn stage(body: Body, store: bool) -> Decision {
    let outcome = outcome_of(body);
    Decision::Stage { outcome, store }
}

fn again(body: Body) -> Decision {
    let outcome = outcome_of(body);
    Decision::Again { outcome }
}

fn outcome_of(body: Body) -> Outcome {
    Outcome::Page(Page {
        status: body.status,
        content: body.digest.content,
        canonical: body.canonical,
        rules: body.rules,
        crc32c: body.digest.crc32c,
        size: body.digest.size,
        headers: body.headers,
        etag: body.etag,
        last_modified: body.last_modified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest;
    use crate::manifest::Generation;

    fn body(bytes: &str, canonical: &str, csp: &str) -> Body {
        let headers = [
            ("content-type", "text/html"),
            ("content-security-policy", csp),
        ];
        Body {
            status: 200,
            digest: digest(bytes.as_bytes()),
            canonical: ContentHash::of(canonical.as_bytes()),
            recorded: None,
            rules: 0,
            headers: KeptHeaders::keep(headers.iter().map(|(n, v)| (*n, v.as_bytes()))),
            etag: None,
            last_modified: None,
        }
    }

    fn today() -> CanonicalRules {
        CanonicalRules::default()
    }

    fn recorded(body: Body) -> Entry {
        let Decision::Stage { outcome, .. } = page(None, body, true, &today()) else {
            panic!("an unknown page is staged");
        };
        Entry {
            outcome,
            changed: Generation(1),
            first: Generation(1),
            fetched: None,
        }
    }

    fn name(decision: &Decision) -> &'static str {
        match decision {
            Decision::Same => "same",
            Decision::Validators => "validators",
            Decision::Rules => "rules",
            Decision::Stage { store: true, .. } => "store",
            Decision::Stage { store: false, .. } => "headers",
            Decision::Again { .. } => "again",
            Decision::Missing { .. } => "missing",
            Decision::Broken { .. } => "broken",
        }
    }

    #[test]
    fn a_page_is_changed_exactly_when_its_canonical_form_is() {
        // Promise: nonces change nothing, a same-size edit does, headers alone cost no body.
        let old = || recorded(body("page n1", "page", "'nonce-1'"));
        let table = [
            (body("page n1", "page", "'nonce-1'"), true, "same"),
            (body("page n2", "page", "'nonce-2'"), true, "same"),
            (body("pagf n1", "pagf", "'nonce-1'"), true, "store"),
            (body("page n1", "page", "'none'"), true, "headers"),
            (body("page n2", "page", "'none'"), true, "store"),
            (body("page n2", "page", "'nonce-2'"), false, "again"),
            (body("page n2", "page", "'none'"), false, "store"),
        ];
        for (index, (answer, survives, expected)) in table.into_iter().enumerate() {
            let decision = page(Some(&old()), answer, survives, &today());
            assert_eq!(name(&decision), expected, "row {index}");
        }
    }

    #[test]
    fn a_file_is_changed_exactly_when_its_bytes_are() {
        // Promise: what the author wrote decides, also where a crawl would see a nonce; headers that a crawl
        // has kept go without the body being sent again.
        let plain = |bytes, canonical| {
            let mut body = body(bytes, canonical, "");
            let html = [("content-type", &b"text/html"[..])];
            body.headers = KeptHeaders::keep(html.into_iter());
            body
        };
        let old = recorded(plain("page n1", "page"));
        let crawled = recorded(body("page n1", "page", "'none'"));
        let table = [
            (&old, plain("page n1", "page n1"), true, "same"),
            (&old, plain("page n2", "page n2"), true, "store"),
            (&old, plain("page n2", "page"), true, "store"),
            (&old, plain("page n1", "page n1"), false, "again"),
            (&crawled, plain("page n1", "page n1"), false, "store"),
            (&crawled, plain("page n1", "page n1"), true, "headers"),
        ];
        for (index, (recorded, body, survives, expected)) in table.into_iter().enumerate() {
            let decision = file(Some(recorded), body, survives);
            assert_eq!(name(&decision), expected, "row {index}");
        }
        assert_eq!(name(&file(None, plain("x", "x"), false)), "store");
    }

    #[test]
    fn a_page_of_other_rules_is_unchanged_only_where_that_is_known() {
        // Promise: a change of the canonical form does not upload the site again, and what is unknown is a change. A
        // page that has not changed is compared under today's rules from then on, and so is one with the same bytes.
        let old = recorded(body("page n1", "page", "'nonce-1'"));
        let table = [
            ("page n2", Some("under new rules"), "rules"),
            ("page n2", Some("another"), "store"),
            ("page n2", None, "store"),
            ("page n1", None, "rules"),
        ];
        for (bytes, known, expected) in table {
            let mut answer = body(bytes, "under new rules", "'nonce-2'");
            answer.rules = 1;
            answer.recorded = Some(known.map(|known| ContentHash::of(known.as_bytes())));
            let decision = page(Some(&old), answer, true, &today());
            assert_eq!(name(&decision), expected, "{bytes} {known:?}");
        }
    }

    #[test]
    fn a_page_that_is_not_modified_follows_the_caching_policy() {
        // Promise: a new policy reaches pages whose bodies nobody sends again, and then rests.
        let old = recorded(body("page", "page", "'none'"));
        assert_eq!(not_modified(Some(&old), None), Decision::Same);
        let Decision::Stage {
            outcome,
            store: false,
        } = not_modified(Some(&old), Some("max-age=900"))
        else {
            panic!("its headers change");
        };
        let (new, before) = (outcome.page().unwrap(), old.outcome.page().unwrap());
        assert_eq!(new.headers.get("cache-control"), Some("max-age=900"));
        assert_eq!((new.content, &new.etag), (before.content, &before.etag));
        let followed = Entry { outcome, ..old };
        for policy in [Some("max-age=900"), None] {
            assert_eq!(not_modified(Some(&followed), policy), Decision::Same);
        }
    }

    #[test]
    fn only_positive_evidence_withdraws_a_page() {
        // Promise: one 404 is not enough, a 410 is; what was never stored is a broken link.
        let live = recorded(body("x", "x", ""));
        assert_eq!(name(&gone(None, 404, 1, 2)), "broken");
        assert_eq!(name(&gone(Some(&live), 404, 1, 2)), "missing");
        assert_eq!(name(&gone(Some(&live), 404, 2, 2)), "headers");
        assert_eq!(name(&gone(Some(&live), 410, 1, 2)), "headers");
        let withdrawn = Entry {
            outcome: Outcome::Gone(Gone { status: 410 }),
            ..live
        };
        assert_eq!(gone(Some(&withdrawn), 404, 9, 2), Decision::Same);
    }
}
