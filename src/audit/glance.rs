//! A rolling share of a tier's listing, on every run.

use std::collections::HashSet;

use super::prove::owe;
use super::{AuditError, Findings};
use crate::delta::Object;
use crate::manifest::{Manifest, ManifestError};
use crate::site::{ObjectKey, PageUrl, Scheme};
use crate::sync::OpenTier;
use crate::tier::{LIST_PAGE, ListPage, Listed};

/// A tier is gone through once in this many runs: once a day when runs are hourly.
const RUNS_A_ROUND: u64 = 24;

/// Lists the next share of a tier (at least one request) and compares it with the manifest. What is
/// missing or differs becomes a debt.
///
/// # Errors
/// The manifest cannot be read or written, or the tier cannot be listed.
pub async fn glance(manifest: &Manifest, open: &mut OpenTier) -> Result<Findings, AuditError> {
    let mut findings = Findings::default();
    let live = manifest.about().counts.live();
    let pages = live
        .div_ceil(LIST_PAGE as u64)
        .div_ceil(RUNS_A_ROUND)
        .max(1);
    for _ in 0..pages {
        let after = open.state.listed_up_to.take();
        let page = open.tier.list(after.as_deref(), LIST_PAGE).await?;
        for listed in &page.objects {
            compare(manifest, open, listed, &mut findings)?;
        }
        look_for_missing(manifest, open, after.as_deref(), &page, &mut findings)?;
        open.state.listed_up_to = page.last.filter(|_| page.more);
        if open.state.listed_up_to.is_none() {
            break;
        }
    }
    manifest.save_tier(&open.name, &open.state)?;
    Ok(findings)
}

/// The identity scheme of a key's host, as the manifest knows it; `https` where it does not.
pub fn scheme_of(manifest: &Manifest, key: &ObjectKey) -> Scheme {
    let host_of = |key: &str| key.split('/').next().unwrap_or_default().to_owned();
    let host = host_of(key.as_str());
    let meta = manifest.about();
    let known = meta.identity.iter().find(|(authority, scheme)| {
        let home = PageUrl::parse(&format!("{}://{authority}/", scheme.as_str()));
        home.is_ok_and(|home| host_of(manifest.layout().place(&home).key.as_str()) == host)
    });
    known.map_or(Scheme::Https, |(_, scheme)| *scheme)
}

fn compare(
    manifest: &Manifest,
    open: &OpenTier,
    listed: &Listed,
    findings: &mut Findings,
) -> Result<(), AuditError> {
    let scheme = scheme_of(manifest, &listed.key);
    let group = manifest.on_key(&listed.key, scheme)?;
    findings.checked += 1;
    let Some((url, entry)) = group.iter().find(|(_, entry)| entry.outcome.is_live()) else {
        if group.is_empty() {
            Findings::note(&mut findings.foreign, &listed.key);
        } else if is_settled(manifest, open, &group[0].0)? {
            Findings::note(&mut findings.stale, &listed.key);
            owe(
                manifest,
                open,
                &listed.key,
                "withdrawn, but the listing shows it".into(),
            )?;
        }
        return Ok(());
    };
    if entry.changed > open.state.watermark || !is_settled(manifest, open, url)? {
        return Ok(());
    }
    let object = Object::of(url, entry).expect("a live outcome has an object");
    let etag = manifest.etag(
        &open.name,
        open.state.etag,
        &listed.key,
        &object.meta.content,
    )?;
    let right = listed.size == object.meta.size && etag.is_none_or(|etag| etag == listed.etag);
    if !right {
        Findings::note(&mut findings.corrupt, &listed.key);
        let why = format!(
            "the listing shows {} bytes with ETag {}",
            listed.size, listed.etag
        );
        owe(manifest, open, &listed.key, why)?;
    }
    Ok(())
}

/// A difference counts only where the tier is not known to be behind anyway.
fn is_settled(manifest: &Manifest, open: &OpenTier, url: &PageUrl) -> Result<bool, ManifestError> {
    let owed = manifest.debt(&open.name, url)?.is_some();
    Ok(!owed
        && manifest.intent(&open.name)?.is_none()
        && open.state.watermark == manifest.generation())
}

/// Live pages whose key lies in the stretch that a page of the listing covers, and is not in it. URLs
/// and keys are in nearly the same order; the few that are not are found by the complete audit.
fn look_for_missing(
    manifest: &Manifest,
    open: &OpenTier,
    after: Option<&str>,
    page: &ListPage,
    findings: &mut Findings,
) -> Result<(), AuditError> {
    let present: HashSet<&ObjectKey> = page.objects.iter().map(|listed| &listed.key).collect();
    let end = page.last.as_deref().filter(|_| page.more);
    let within = |key: &ObjectKey| {
        after.is_none_or(|after| key.as_str() > after) && end.is_none_or(|end| key.as_str() <= end)
    };
    let start = after
        .and_then(|after| ObjectKey::parse(after).ok())
        .and_then(|key| manifest.layout().page_of(&key, scheme_of(manifest, &key)));
    let stop = end
        .and_then(|end| ObjectKey::parse(end).ok())
        .and_then(|key| manifest.layout().page_of(&key, scheme_of(manifest, &key)));
    for entry in manifest.entries(start.as_ref().map(PageUrl::as_str)) {
        let (url, entry) = entry?;
        if stop.as_ref().is_some_and(|stop| url > *stop) {
            break;
        }
        let key = manifest.layout().place(&url).key;
        let expected = entry.outcome.is_live() && entry.changed <= open.state.watermark;
        if !expected || !within(&key) || present.contains(&key) {
            continue;
        }
        if is_settled(manifest, open, &url)? {
            Findings::note(&mut findings.missing, &key);
            owe(manifest, open, &key, "the listing does not show it".into())?;
        }
    }
    Ok(())
}
