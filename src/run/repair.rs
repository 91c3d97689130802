//! What an audit has found is mended. Before it looks, the tiers are brought up to date, so that it passes over nothing
//! that is merely behind. Then each finding becomes a debt, and the tier's ordinary plan pays it: from the store, else
//! from another tier whose bytes are those of the hash. What no copy serves is fetched from the site again. At last
//! exactly those objects are looked at again; what counts as mended is what is right then.
//!
//! Bytes are compared with their hash wherever they come from, so that no damaged copy is ever spread. Killed anywhere,
//! the debts stay and the next sync goes on.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;

use super::audit::Visit;
use super::house::{self, House};
use super::report::RunReport;
use super::{RunError, Source, Surroundings, stages};
use crate::audit::{self, Audit, AuditError, Class, Finding};
use crate::config::{Config, TierConfig, TierName};
use crate::delta::Object;
use crate::manifest::{Entry, Manifest, RunId};
use crate::site::{Admission, ObjectKey, PageUrl, Scheme};
use crate::store::Store;
use crate::sync::{self, Sought, TierReport};
use crate::tier::Tier;

/// Findings that are owed, or deleted, at a time.
const GROUP: usize = 1000;

/// Pages that are fetched from the site again; more of them are a matter for a whole run.
const REFETCHED_MAX: usize = 10_000;

/// Findings that were not mended and are named in a report.
const UNREPAIRED_NAMED_MAX: usize = 1000;

/// Pages that were taken from the site again and are named in a report; the rest is in the history of the mirror.
const TAKEN_NAMED_MAX: usize = 20;

/// What was done to mend a tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sent {
    pub put: u64,
    pub copied: u64,
    pub reheadered: u64,
    pub deleted: u64,
    pub failed: u64,
    pub bytes: u64,
    /// Foreign objects that were deleted.
    pub foreign_deleted: u64,
    /// What uploads had left behind.
    pub uploads_removed: u64,
}

/// A finding that is one still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unrepaired {
    pub class: Class,
    pub key: String,
    pub url: Option<String>,
    pub why: String,
}

/// Why a tier owes what an audit has found.
pub(super) fn owed_because(class: Class) -> &'static str {
    match class {
        Class::Missing => "an audit found it missing",
        Class::Corrupt => "an audit found other bytes there",
        Class::Stale => "an audit found an earlier version there",
        Class::WrongHeaders => "an audit found other headers there",
        Class::Foreign | Class::Checkpoint => "an audit found it there",
    }
}

/// What a repair works with.
pub(super) struct Repairing<'a> {
    pub config: &'a Config,
    pub run: RunId,
    pub around: &'a Surroundings<'a>,
}

impl Repairing<'_> {
    /// Writes what the tiers lack anyway, before they are looked at. What is written is proven when the rest is.
    ///
    /// # Errors
    /// What manifest and store say; trouble of a tier is in its row.
    pub async fn bring_up(&self, house: House, visits: &mut [Visit]) -> Result<House, RunError> {
        self.around.live.enter("repair");
        let House { manifest, store } = house;
        let store = Arc::new(store);
        let sync = self.sync(&manifest, &store, visits);
        let behind = visits.iter_mut().filter(|visit| visit.can_be_mended());
        for done in join_all(behind.map(|visit| self.bring_up_one(&sync, visit))).await {
            done?;
        }
        drop(sync);
        let store = Arc::into_inner(store).expect("the sync has given it back");
        Ok(House { manifest, store })
    }

    /// Mends what was found in these tiers. Returned is what the refetching had to say.
    ///
    /// # Errors
    /// What manifest, store and state directory say; trouble of a tier is in its row.
    pub async fn mend(
        &self,
        audit: &Audit,
        house: House,
        visits: &mut [Visit],
    ) -> Result<(House, Vec<String>), RunError> {
        self.around.live.enter("repair");
        for visit in visits.iter().filter(|visit| visit.can_be_mended()) {
            owe(audit, &house.manifest, visit)?;
        }
        let (mut house, lost) = self.pay(audit, house, visits).await?;
        let mut said = Vec::new();
        if !lost.is_empty() {
            let pages = self.refetchable(&house.manifest, lost)?;
            if pages.is_empty() {
                said.push("no copy survives of some bodies, and they are no pages to be fetched: publish them again, or look at [site]".to_owned());
            } else {
                house = self
                    .refetch(audit, house, visits, (&pages, &mut said))
                    .await?;
            }
        }
        for visit in visits.iter_mut().filter(|visit| visit.can_be_mended()) {
            self.sweep(visit).await;
        }
        Ok((house, said))
    }

    /// Takes pages whose bytes are nowhere from the site again, and says what became of them: whatever it answers now takes
    /// the place of what was stored.
    async fn refetch(
        &self,
        audit: &Audit,
        house: House,
        visits: &mut [Visit],
        (pages, said): (&[PageUrl], &mut Vec<String>),
    ) -> Result<House, RunError> {
        let before = house.manifest.generation();
        let mut report = RunReport::begin(self.run.clone(), "audit");
        let source = Source::Lost(pages);
        let house = stages::take_in(source, house, self.config, self.around, &mut report).await?;
        said.append(&mut report.reasons);
        said.push(format!(
            "no copy of {} bodies survives: their pages were asked for from the site",
            pages.len()
        ));
        for change in house.manifest.changes_after(before).take(TAKEN_NAMED_MAX) {
            let change = change?;
            let is_live = |entry: &Entry| entry.outcome.is_live();
            said.push(match change.after.as_ref().is_some_and(is_live) {
                true => format!("{}: what the site answers now was taken anew", change.url),
                false => format!("{}: withdrawn, since the site has it no more", change.url),
            });
        }
        let house = self.pay(audit, house, visits).await?.0;
        for trouble in &report.troubles {
            for visit in visits.iter() {
                if house.manifest.debt(&visit.name, &trouble.url)?.is_some() {
                    let why = format!(
                        "no copy of the bytes survives, and the site gives none: {}",
                        trouble.why
                    );
                    house.manifest.owe(&visit.name, &trouble.url, why)?;
                }
            }
        }
        Ok(house)
    }

    /// Carries the tiers' plans out. Returned are the pages whose bytes are nowhere.
    async fn pay(
        &self,
        audit: &Audit,
        house: House,
        visits: &mut [Visit],
    ) -> Result<(House, BTreeSet<PageUrl>), RunError> {
        let House { manifest, store } = house;
        let store = Arc::new(store);
        let sync = self.sync(&manifest, &store, visits);
        let payments = visits.iter_mut().filter(|visit| visit.can_be_mended());
        for paid in join_all(payments.map(|visit| self.pay_one(audit, &sync, visit))).await {
            paid?;
        }
        let mut lost = BTreeSet::new();
        let mut away = None;
        for visit in visits.iter().filter(|visit| visit.can_be_mended()) {
            if manifest.debts(&visit.name).next().is_some() && away.is_none() {
                away = Some(self.out_of_reach(&manifest, visits).await?);
            }
            if let Some(away) = &away {
                find_lost(&sync, &visit.name, away, &mut lost).await?;
            }
        }
        drop(sync);
        let store = Arc::into_inner(store).expect("the sync has given it back");
        Ok((House { manifest, store }, lost))
    }

    fn sync(&self, manifest: &Arc<Manifest>, store: &Arc<Store>, visits: &[Visit]) -> sync::Sync {
        let readable = self.readable(visits);
        stages::sync_of(self.config, (manifest, store), readable, &self.run)
    }

    /// All configured tiers, also those that are not audited: any of them may have a copy.
    fn readable(&self, visits: &[Visit]) -> Vec<Arc<dyn Tier>> {
        let clients = self.config.tiers.iter().filter_map(|tier| {
            let visit = visits.iter().find(|visit| visit.name == tier.name);
            match visit.and_then(|visit| visit.client.clone()) {
                Some(client) => Some(client),
                None => house::tier_of(tier).ok(),
            }
        });
        clients.collect()
    }

    /// Says whether the tier was written to the end.
    async fn bring_up_one(&self, sync: &sync::Sync, visit: &mut Visit) -> Result<bool, RunError> {
        let open = visit.open.as_mut().expect("only open tiers can be mended");
        let progress = self.around.live.tier(&format!("{} (repair)", open.name));
        let outcome = sync.bring_up(open, &progress).await?;
        visit.row.sent.add(&outcome.report);
        let is_up = outcome.down.is_none();
        if let Some(trouble) = outcome.down {
            visit.fail(trouble.why);
        }
        Ok(is_up)
    }

    async fn pay_one(
        &self,
        audit: &Audit,
        sync: &sync::Sync,
        visit: &mut Visit,
    ) -> Result<(), RunError> {
        if !self.bring_up_one(sync, visit).await? {
            return Ok(());
        }
        let open = visit.open.as_mut().expect("only open tiers can be mended");
        // What is not written anew now was looked at when the audit began.
        match audit::prove(&sync.manifest, open, audit.begun_at()).await {
            Ok(_) => (),
            Err(AuditError::Tier(error)) => {
                visit.fail(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        if let Err(error) = sync::publish(&sync.manifest, open, &self.run, sync.checkpoints).await?
        {
            visit.fail(error.to_string());
        }
        Ok(())
    }

    /// Tiers that nobody can be sure of having asked for a body, and why: a folder that is not mounted says that it has
    /// none.
    async fn out_of_reach(
        &self,
        manifest: &Manifest,
        visits: &[Visit],
    ) -> Result<Vec<(TierName, String)>, RunError> {
        let mut away = Vec::new();
        for tier in &self.config.tiers {
            let visit = visits.iter().find(|visit| visit.name == tier.name);
            let why = match visit {
                Some(Visit { open: Some(_), .. }) => None,
                Some(visit) => visit.row.trouble.clone(),
                None if manifest.tier(&tier.name)?.epoch == 0 => None,
                None => why_away(tier).await,
            };
            away.extend(why.map(|why| (tier.name.clone(), why)));
        }
        Ok(away)
    }

    /// What of it may be asked for: pages of the site as it is configured today, where there is a site.
    fn refetchable(
        &self,
        manifest: &Manifest,
        lost: BTreeSet<PageUrl>,
    ) -> Result<Vec<PageUrl>, RunError> {
        if self.config.site.seeds.is_empty() {
            return Ok(Vec::new());
        }
        let scope = house::scope_of(self.config, &manifest.about())?;
        let is_page = |url: &PageUrl| matches!(scope.admit(url.clone()), Admission::Page(page) if page == *url);
        Ok(lost.into_iter().filter(is_page).collect())
    }

    /// Removes what interrupted uploads have left; not being able to is part of what is looked at again.
    async fn sweep(&self, visit: &mut Visit) {
        let open = visit.open.as_ref().expect("only open tiers can be mended");
        if visit.row.leftover_uploads.unwrap_or_default() == 0 {
            return;
        }
        match open.tier.sweep(super::audit::UPLOAD_AGE_MAX).await {
            Ok(swept) => visit.row.sent.uploads_removed = swept,
            Err(error) => tracing::warn!(tier = %open.name, %error, "unfinished uploads stay"),
        }
    }

    /// Deletes what no page of the site has the key of, as the manifest knows it now.
    ///
    /// # Errors
    /// What manifest and state directory say.
    pub async fn delete_foreign(
        &self,
        audit: &Audit,
        manifest: &Arc<Manifest>,
        visit: &mut Visit,
    ) -> Result<(), RunError> {
        if let Some(head) = another_mirror(audit, visit)? {
            let why = format!(
                "tier {}: another mirror lies in it ({head}), so none of the foreign objects was deleted: give each mirror a place of its own",
                visit.name
            );
            visit.row.trouble.get_or_insert(why);
            return Ok(());
        }
        let mut keys = Vec::new();
        let mut findings = audit.findings(&visit.name)?.peekable();
        let mut is_taken = false;
        while findings.peek().is_some() {
            for finding in findings.by_ref() {
                let finding = finding?;
                let key = ObjectKey::parse(&finding.key).ok();
                let key = key.filter(|_| finding.class == Class::Foreign && !finding.odd);
                if let Some(key) = key.filter(ObjectKey::is_site)
                    && is_nobodys(manifest, &key)?
                {
                    keys.push(key);
                }
                if keys.len() >= GROUP {
                    break;
                }
            }
            if keys.is_empty() {
                continue;
            }
            let open = visit.open.as_mut().expect("only open tiers can be mended");
            if !is_taken {
                if let Err(error) = open.take(manifest, &self.run).await? {
                    visit.fail(error.to_string());
                    return Ok(());
                }
                is_taken = true;
            }
            open.fuse.pass("tier.delete")?;
            match open.tier.delete(&keys).await {
                Ok(failed) => {
                    visit.row.sent.foreign_deleted += (keys.len() - failed.len()) as u64;
                }
                Err(error) => {
                    visit.fail(error.to_string());
                    return Ok(());
                }
            }
            keys.clear();
        }
        Ok(())
    }

    /// Looks at each finding again and counts what is right by now.
    ///
    /// # Errors
    /// What manifest and state directory say; trouble of the tier is in its row.
    pub async fn look_again(
        &self,
        audit: &Audit,
        manifest: &Manifest,
        visit: &mut Visit,
    ) -> Result<(), RunError> {
        let open = visit.open.as_ref().expect("only open tiers can be mended");
        let progress = self.around.live.tier(&format!("{} (again)", open.name));
        progress.plan(visit.row.counts.findings());
        let row = &mut visit.row;
        let looked = audit.look_again(open, &progress, |finding, wrong| {
            let Some(why) = wrong else {
                row.repaired += 1;
                return;
            };
            row.unrepaired_count += 1;
            if row.unrepaired.len() < UNREPAIRED_NAMED_MAX {
                row.unrepaired.push(Unrepaired {
                    class: finding.class,
                    key: finding.key,
                    url: finding.url,
                    why,
                });
            }
        });
        match looked.await {
            Ok(()) => (),
            Err(AuditError::Tier(error)) => visit.fail(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        // What stood in the way of a write says more than what is there.
        for unrepaired in &mut visit.row.unrepaired {
            let url = unrepaired.url.as_deref().map(PageUrl::recorded);
            if let Some(Ok(url)) = url
                && let Some(debt) = manifest.debt(&visit.name, &url)?
            {
                unrepaired.why = debt.reason;
            }
        }
        Ok(())
    }
}

impl Sent {
    fn add(&mut self, report: &TierReport) {
        self.put += report.put;
        self.copied += report.copied;
        self.reheadered += report.reheadered;
        self.deleted += report.deleted;
        self.failed += report.failed;
        self.bytes += report.bytes;
    }
}

/// The head of another mirror below a tier, if one is there: what lies beside it is foreign and all of its own.
fn another_mirror(audit: &Audit, visit: &Visit) -> Result<Option<String>, RunError> {
    let end = format!("/{}", sync::HEAD);
    for finding in audit.findings(&visit.name)? {
        let finding = finding?;
        if finding.class == Class::Foreign && finding.key.ends_with(&end) {
            return Ok(Some(finding.key));
        }
    }
    Ok(None)
}

async fn why_away(tier: &TierConfig) -> Option<String> {
    let client = match house::tier_of(tier) {
        Ok(client) => client,
        Err(error) => return Some(error.to_string()),
    };
    sync::why_away(client.as_ref()).await
}

/// Adds the pages that a tier still owes and whose bytes are in no copy. Where another tier that is confirmed for the page
/// could not be asked, its copy is the one to be had: what the site answers on a bad day must not take its place.
async fn find_lost(
    sync: &sync::Sync,
    name: &TierName,
    away: &[(TierName, String)],
    lost: &mut BTreeSet<PageUrl>,
) -> Result<(), RunError> {
    let manifest = &sync.manifest;
    let mut waiting = Vec::new();
    for debt in manifest.debts(name) {
        let (url, _) = debt?;
        if lost.len() >= REFETCHED_MAX || lost.contains(&url) {
            continue;
        }
        let Some(entry) = manifest.entry(&url)? else {
            continue;
        };
        let Some(object) = Object::of(&url, &entry) else {
            continue;
        };
        let key = manifest.layout().place(&url).key;
        let Sought::Nowhere(unasked) = sync.bodies.seek(&key, &object).await? else {
            continue;
        };
        let mut holder = None;
        for (other, why) in unasked.into_iter().chain(away.iter().cloned()) {
            if holder.is_none() && is_confirmed(manifest, &other, &url, &entry)? {
                holder = Some((other, why));
            }
        }
        match holder {
            Some((other, why)) => waiting.push((url, waits_for(&other, &why))),
            None => drop(lost.insert(url)),
        }
    }
    for (url, why) in waiting {
        manifest.owe(name, &url, why)?;
    }
    Ok(())
}

fn waits_for(other: &TierName, why: &str) -> String {
    format!(
        "its bytes should be in tier {other}, which cannot be asked ({why}): bring that tier back; until then the page is not fetched from the site again"
    )
}

/// Whether a tier has acknowledged just this of a page.
fn is_confirmed(
    manifest: &Manifest,
    name: &TierName,
    url: &PageUrl,
    entry: &Entry,
) -> Result<bool, RunError> {
    let state = manifest.tier(name)?;
    Ok(state.epoch > 0
        && entry.changed <= state.watermark
        && manifest.intent(name)?.is_none()
        && manifest.debt(name, url)?.is_none())
}

/// Every finding about a page becomes a debt.
fn owe(audit: &Audit, manifest: &Manifest, visit: &Visit) -> Result<(), RunError> {
    let mut owed = Vec::new();
    for finding in audit.findings(&visit.name)? {
        let finding = finding?;
        let Some(url) = page_of(&finding) else {
            continue;
        };
        owed.push((url, owed_because(finding.class)));
        if owed.len() >= GROUP {
            manifest.owe_all(&visit.name, &std::mem::take(&mut owed))?;
        }
    }
    Ok(manifest.owe_all(&visit.name, &owed)?)
}

pub(super) fn page_of(finding: &Finding) -> Option<PageUrl> {
    PageUrl::recorded(finding.url.as_deref()?).ok()
}

/// Under whichever scheme its host is known.
fn is_nobodys(manifest: &Manifest, key: &ObjectKey) -> Result<bool, RunError> {
    for scheme in [Scheme::Https, Scheme::Http] {
        if !manifest.on_key(key, scheme)?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
