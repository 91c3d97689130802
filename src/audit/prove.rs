//! The proof of what was just written: marks, in key order, against a listing that jumps to them.

use std::collections::HashMap;
use std::iter::Peekable;

use super::{AuditError, Findings};
use crate::manifest::{Manifest, ManifestError, Mark, Verified};
use crate::site::{ObjectKey, just_before};
use crate::sync::OpenTier;
use crate::tier::{LIST_PAGE, ListPage, Listed};

/// Looks up every unproven write of a tier in its listing. When all of them are right and nothing is
/// owed, the tier is verified at its watermark (`now`: seconds since 1970).
///
/// # Errors
/// The manifest cannot be read or written, or the tier cannot be listed: then the marks stay.
pub async fn prove(
    manifest: &Manifest,
    open: &mut OpenTier,
    now: i64,
) -> Result<Findings, AuditError> {
    let mut findings = Findings::default();
    let mut last: Option<String> = None;
    loop {
        // The marks are scanned anew for each page: proven ones are gone by then.
        let Some((first, _)) = manifest.marks(&open.name).next().transpose()? else {
            break;
        };
        let after = just_before(first.as_str());
        let after = match last.take() {
            Some(last) if last > after => last,
            _ => after,
        };
        let page = open.tier.list(Some(&after), LIST_PAGE).await?;
        let mut marks = manifest.marks(&open.name).peekable();
        let settled = settle_page(manifest, open, &page, &mut marks, &mut findings)?;
        drop(marks);
        open.fuse.pass("audit.unmark")?;
        manifest.unmark(&open.name, &settled)?;
        last = page.last;
    }
    let owes = manifest.debts(&open.name).next().is_some();
    let whole = manifest.intent(&open.name)?.is_none();
    if !owes && whole && !findings.differ() {
        open.state.verified = verified(open, &findings, now);
    }
    manifest.save_tier(&open.name, &open.state)?;
    Ok(findings)
}

/// The tier as proven now. A generation that wrote nothing needs no proof and moves no time.
fn verified(open: &OpenTier, findings: &Findings, now: i64) -> Option<Verified> {
    let generation = open.state.watermark;
    match open.state.verified {
        Some(earlier) if findings.checked == 0 => Some(Verified {
            generation,
            at: earlier.at,
        }),
        None if findings.checked == 0 => None,
        _ => Some(Verified {
            generation,
            at: now,
        }),
    }
}

/// Compares the marks that a page covers with it. Returns their keys.
fn settle_page(
    manifest: &Manifest,
    open: &OpenTier,
    page: &ListPage,
    marks: &mut Peekable<impl Iterator<Item = Result<(ObjectKey, Mark), ManifestError>>>,
    findings: &mut Findings,
) -> Result<Vec<ObjectKey>, AuditError> {
    let listed: HashMap<&ObjectKey, &Listed> = page
        .objects
        .iter()
        .map(|listed| (&listed.key, listed))
        .collect();
    let covers = |key: &ObjectKey| match (&page.last, page.more) {
        (Some(last), true) => key.as_str() <= last.as_str(),
        _ => true,
    };
    let mut settled = Vec::new();
    while let Some((key, mark)) = marks
        .next_if(|mark| mark.as_ref().is_ok_and(|(key, _)| covers(key)))
        .transpose()?
    {
        findings.checked += 1;
        if let Some(why) = contradiction(&mark, listed.get(&key).copied(), &key, findings) {
            owe(manifest, open, &key, why)?;
        }
        settled.push(key);
    }
    Ok(settled)
}

/// What the listing says against a mark, if anything.
fn contradiction(
    mark: &Mark,
    listed: Option<&Listed>,
    key: &ObjectKey,
    findings: &mut Findings,
) -> Option<String> {
    match (mark, listed) {
        (Mark::Written { .. }, None) => {
            Findings::note(&mut findings.missing, key);
            Some("written, but the listing does not show it".into())
        }
        (Mark::Written { size, etag, .. }, Some(listed))
            if *size != listed.size || *etag != listed.etag =>
        {
            Findings::note(&mut findings.corrupt, key);
            Some(format!(
                "written as {size} bytes with ETag {etag}, listed as {} bytes with ETag {}",
                listed.size, listed.etag
            ))
        }
        (Mark::Deleted, Some(_)) => {
            Findings::note(&mut findings.stale, key);
            Some("deleted, but the listing still shows it".into())
        }
        _ => None,
    }
}

/// Every URL on a key that is not as it should be becomes a debt.
pub(super) fn owe(
    manifest: &Manifest,
    open: &OpenTier,
    key: &ObjectKey,
    why: String,
) -> Result<(), AuditError> {
    let scheme = super::glance::scheme_of(manifest, key);
    if let Some((url, _)) = manifest.on_key(key, scheme)?.into_iter().next() {
        manifest.owe(&open.name, &url, why)?;
    }
    Ok(())
}
