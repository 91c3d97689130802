//! The stages of a run, one after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::{TryFutureExt, join_all};

use super::house::{self, House};
use super::report::{HeldBack, RunReport, Verdict};
use super::{RunError, Source, Stages, Surroundings, common, guards};
use crate::audit::{self, AuditError, Findings, Scrub};
use crate::config::{Config, Keep, RobotsPolicy, TierName};
use crate::content::ContentHash;
use crate::crawl::{
    self, CrawlCounts, CrawlError, CrawlOrder, Crawled, FetchError, FolderOrder, Frontier, Means,
    Position, Tally,
};
use crate::manifest::{Evidence, Generation, Manifest, ManifestError, Outcome, RunId, Staged};
use crate::site::PageUrl;
use crate::store::Store;
use crate::sync::{self, Bodies, OpenTier, Scrubbed, TierReport, Trouble};
use crate::tier::Tier;

/// Raised whenever links are looked for in more places of a page than before. (2: everything that a browser asks for.)
const PLACES: u32 = 2;

/// The scope of what a folder holds: whoever published it decides.
const FOLDER: &str = "folder";

/// Takes the site in, lets the guards judge, and commits what they accept.
///
/// # Errors
/// What makes going on impossible; the frontier stays for the next run then.
pub async fn take_in(
    source: Source<'_>,
    house: House,
    config: &Config,
    around: &Surroundings<'_>,
    report: &mut RunReport,
) -> Result<House, RunError> {
    let House { manifest, store } = house;
    let fingerprint = match source {
        Source::Site | Source::Only(_) | Source::Lost(_) => scope_fingerprint(config),
        Source::Folder(_) => FOLDER.to_owned(),
    };
    let run = report.run_id.clone();
    let dir = source.frontier(&config.state.dir);
    if source.evidence() == Evidence::Part {
        Frontier::forget(&dir)?;
    }
    let (frontier, position) = open_frontier(&dir, &manifest, &run, &fingerprint, around)?;
    report.resumed = position.run != run;
    report.run_id = position.run.clone();
    let before = manifest.about();
    let taking = Taking {
        manifest: Arc::clone(&manifest),
        frontier: Arc::clone(&frontier),
        store,
        position,
    };
    let Crawled {
        position,
        reasons,
        mut store,
        ended,
    } = taken(source, taking, config, around).await?;
    tell(report, position, reasons);
    let mut judgement = guards::judge(&report.crawl, before.counts, &config.guard);
    let is_crawl = matches!(source, Source::Site) && ended.is_ok();
    if is_crawl && guards::changes_are_telling(&report.crawl, before.counts, &config.guard) {
        let sample = common::Sample {
            manifest: Arc::clone(&manifest),
            frontier: Arc::clone(&frontier),
            store,
            changed: report.crawl.changed,
            declared: config.canonical.clone(),
        };
        store = look_into(sample, &mut judgement, report).await?;
    }
    report.held_back = HeldBack::of(source.evidence(), &judgement, &report.crawl);
    if let Some(reason) = refusal(ended, judgement.refuse)? {
        report.note(Verdict::Failed, reason);
    } else {
        around.live.enter("commit");
        let keep_withdrawals = judgement.withhold_withdrawals.is_none();
        if let Some(reason) = judgement.withhold_withdrawals {
            report.note(Verdict::Degraded, reason);
        }
        let folding = Folding {
            run: report.run_id.clone(),
            is_resumed: report.resumed,
            now: (around.clock)(),
            keep_withdrawals,
            evidence: source.evidence(),
        };
        commit(&manifest, &frontier, folding).await?;
        if source.evidence() == Evidence::Whole {
            mark_scope(&manifest, fingerprint)?;
        }
    }
    give_up(frontier)?;
    Ok(House { manifest, store })
}

/// Says what a sample of the changed pages has in common; gives the store back. Not for published files, of which every
/// difference is one that their author has made.
async fn look_into(
    sample: common::Sample,
    judgement: &mut guards::Judgement,
    report: &mut RunReport,
) -> Result<Store, RunError> {
    let work = move || {
        let common = sample.common();
        common.map(|common| (common, sample.store))
    };
    let (common, store) = tokio::task::spawn_blocking(work)
        .await
        .expect("comparing does not panic and is never aborted")?;
    if let (Some(reason), Some(common)) = (&mut judgement.refuse, &common) {
        reason.push_str(&format!("; {common}"));
    }
    report.common_change = common;
    Ok(store)
}

/// What the stage that takes the site in works with.
struct Taking {
    manifest: Arc<Manifest>,
    frontier: Arc<Frontier>,
    store: Store,
    position: Position,
}

/// The crawl, or what takes its place.
async fn taken(
    source: Source<'_>,
    taking: Taking,
    config: &Config,
    around: &Surroundings<'_>,
) -> Result<Crawled, RunError> {
    match source {
        Source::Site | Source::Only(_) | Source::Lost(_) => {
            crawl_site(taking, source, config, around).await
        }
        Source::Folder(folder) => publish_folder(taking, folder, config, around).await,
    }
}

/// Enters in the report what the crawl has counted.
fn tell(report: &mut RunReport, position: Position, reasons: Vec<String>) {
    report.crawl = position.counts;
    report.tally = position.tally;
    report.troubles = position.troubles;
    for reason in reasons {
        report.note(Verdict::Degraded, reason);
    }
}

async fn crawl_site(
    taking: Taking,
    source: Source<'_>,
    config: &Config,
    around: &Surroundings<'_>,
) -> Result<Crawled, RunError> {
    let only = match source {
        Source::Only(urls) | Source::Lost(urls) => Some(urls),
        Source::Site | Source::Folder(_) => None,
    };
    if config.site.seeds.is_empty() && only.is_none() {
        return Err(RunError::Config(
            "`site.seeds` is empty, so there is nowhere to begin; add the site's home page".into(),
        ));
    }
    let quiet = house::courtesy_of(&config.crawl)?.quiet;
    crawl::outwait_quiet_hours(&quiet, around.clock, &around.live.crawl).await;
    let Prepared {
        mut order,
        fetcher,
        answered,
    } = match prepare(config, around, &taking.manifest, &taking.store).await? {
        Ok(prepared) => prepared,
        Err(error) => {
            return Ok(Crawled {
                position: taking.position,
                reasons: Vec::new(),
                store: taking.store,
                ended: Err(CrawlError::NoSeed {
                    why: error.to_string(),
                }),
            });
        }
    };
    if let Some(urls) = only {
        let pages = house::pages_of(urls, &order.scope)?;
        order.reparse = false;
        order.only = Some(pages);
    }
    if matches!(source, Source::Lost(_)) {
        // No answer may be that nothing has changed, whatever a tier is said to have.
        order.tiers = Vec::new();
    }
    let means = Means {
        manifest: taking.manifest,
        frontier: taking.frontier,
        store: taking.store,
        fetcher,
        answered,
    };
    Ok(crawl::crawl(order, means, taking.position, &around.live.crawl).await?)
}

/// A folder is looked at from its beginning, also when a killed run had begun with it.
async fn publish_folder(
    taking: Taking,
    folder: &Path,
    config: &Config,
    around: &Surroundings<'_>,
) -> Result<Crawled, RunError> {
    let manifest = taking.manifest;
    let scope = house::identify_folder(config, &manifest)?;
    let (_, rules) = house::rules_of(config, &manifest)?;
    let order = FolderOrder {
        dir: folder.to_owned(),
        home: house::home_of(config, &scope)?,
        scope,
        rules: u32::try_from(rules).expect("few versions of the rules"),
        tiers: names_of(config),
        memory: usize::try_from(config.crawl.memory).unwrap_or(usize::MAX),
        notes: config.state.dir.join("publish.seen"),
        cache_control: config.site.cache_control.clone(),
        now: (around.clock)(),
    };
    let position = Position {
        counts: CrawlCounts::default(),
        tally: Tally::default(),
        troubles: Vec::new(),
        ..taking.position
    };
    let (frontier, store) = (taking.frontier, taking.store);
    let progress = &around.live.crawl;
    Ok(crawl::publish(order, manifest, frontier, store, position, progress).await?)
}

/// Notes by which scope the links of all pages were found. Of published files none were: a crawl that follows
/// parses all of them.
fn mark_scope(manifest: &Manifest, fingerprint: String) -> Result<(), ManifestError> {
    if manifest.about().scope == fingerprint {
        return Ok(());
    }
    manifest.amend(|meta| meta.scope = fingerprint)
}

/// The run has taken from its frontier what it could: the next run begins anew.
fn give_up(frontier: Arc<Frontier>) -> Result<(), RunError> {
    let frontier = Arc::into_inner(frontier).expect("crawl and commit have given it back");
    Ok(frontier.discard()?)
}

/// The frontier of a run that was cut short, or a new one. One whose run has been committed already
/// was only not removed in time; one of another scope holds URLs that are no pages any more.
fn open_frontier(
    dir: &Path,
    manifest: &Manifest,
    run: &RunId,
    scope: &str,
    around: &Surroundings<'_>,
) -> Result<(Arc<Frontier>, Position), RunError> {
    let (mut frontier, mut position) = Frontier::open(dir, run, scope, around.fuse.clone())?;
    let leftover = manifest.about().last_run.as_ref() == Some(&position.run);
    if leftover || position.scope != scope {
        frontier.discard()?;
        (frontier, position) = Frontier::open(dir, run, scope, around.fuse.clone())?;
    }
    Ok((Arc::new(frontier), position))
}

/// What a crawl of the site begins with.
struct Prepared {
    order: CrawlOrder,
    fetcher: crawl::Fetcher,
    answered: Vec<crawl::Answered>,
}

async fn prepare(
    config: &Config,
    around: &Surroundings<'_>,
    manifest: &Arc<Manifest>,
    store: &Store,
) -> Result<Result<Prepared, FetchError>, RunError> {
    let first = house::scope_of(config, &manifest.about())?;
    let fetcher = house::fetcher_of(config, &first, store.incoming())?;
    let answered = match house::identify(config, manifest, &fetcher).await? {
        Ok(answered) => answered,
        Err(error) => return Ok(Err(error)),
    };
    let meta = manifest.about();
    let scope = house::scope_of(config, &meta)?;
    let admitted = |url: &crate::site::PageUrl| match scope.admit(url.clone()) {
        crate::site::Admission::Page(page) => page,
        crate::site::Admission::Outside(_) => url.clone(),
    };
    let crawl = &config.crawl;
    let (rules, rules_today) = house::rules_of(config, manifest)?;
    let order = CrawlOrder {
        seeds: config.site.seeds.iter().map(admitted).collect(),
        only: None,
        robots: match config.site.robots {
            RobotsPolicy::Obey => house::robots_urls(&scope, &meta),
            RobotsPolicy::Ignore => Vec::new(),
        },
        user_agent: crawl.user_agent.clone(),
        rules,
        rules_today,
        courtesy: house::courtesy_of(crawl)?,
        strategy: house::strategy_of(crawl),
        retire_after_days: crawl.retire_after_days,
        traps: house::traps_of(crawl),
        forms: house::forms_of(crawl)?,
        sitemap_loss_max: config.guard.sitemap_loss_max,
        missing_runs: config.guard.missing_runs,
        tiers: names_of(config),
        reparse: meta.generation > Generation::NONE && meta.scope != scope_fingerprint(config),
        cache_control: config.site.cache_control.clone(),
        state: config.state.dir.clone(),
        clock: around.clock,
        scope,
    };
    Ok(Ok(Prepared {
        order,
        fetcher,
        answered,
    }))
}

fn names_of(config: &Config) -> Vec<TierName> {
    config.tiers.iter().map(|tier| tier.name.clone()).collect()
}

/// Identifies what decides which links are found, and are pages of the site. A page that has not changed is not parsed
/// again; when this has changed, each is once.
fn scope_fingerprint(config: &Config) -> String {
    let (site, crawl) = (&config.site, &config.crawl);
    let scope = (&site.hosts, &site.deny, &site.query, site.robots);
    let endless = house::traps_of(crawl);
    let text = format!(
        "{:?}",
        (PLACES, scope, endless, &crawl.forms, crawl.forms_max)
    );
    ContentHash::of(text.as_bytes()).to_string()
}

/// Why nothing of the crawl may be committed, if so. Errors that are not about the site stop the run.
fn refusal(
    ended: Result<(), CrawlError>,
    guard: Option<String>,
) -> Result<Option<String>, CrawlError> {
    match ended {
        Ok(()) => Ok(guard),
        Err(
            error @ (CrawlError::NoSeed { .. }
            | CrawlError::NonePages { .. }
            | CrawlError::OriginLost { .. }
            | CrawlError::Folder { .. }
            | CrawlError::SeedLeaves { .. }),
        ) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}

/// What of a staging is committed, and as whose.
struct Folding {
    run: RunId,
    /// A killed run had begun with it; since then others may have committed.
    is_resumed: bool,
    /// Seconds since 1970.
    now: i64,
    keep_withdrawals: bool,
    evidence: Evidence,
}

async fn commit(
    manifest: &Arc<Manifest>,
    frontier: &Arc<Frontier>,
    folding: Folding,
) -> Result<(), RunError> {
    frontier.flush()?;
    let (manifest, frontier) = (Arc::clone(manifest), Arc::clone(frontier));
    // Of a run that says no time, what has none counts as outdated: a strike less, or a body sent once more.
    let begun = super::begun(&folding.run).unwrap_or(0);
    let work = move || {
        let staged = frontier.staged().filter_map(|item| match item {
            Ok((_, staged)) if !folding.keep_withdrawals && withdraws(&staged) => None,
            Ok((url, staged)) if folding.is_resumed => {
                match is_outdated(&manifest, &url, &staged, begun) {
                    Ok(true) => None,
                    Ok(false) => Some(Ok((url, staged))),
                    Err(error) => Some(Err(error)),
                }
            }
            Ok(item) => Some(Ok(item)),
            Err(error) => Some(Err(ManifestError::from(error))),
        });
        manifest.commit(&folding.run, folding.now, folding.evidence, staged)
    };
    tokio::task::spawn_blocking(work)
        .await
        .expect("a commit does not panic and is never aborted")?;
    Ok(())
}

/// Whether a newer answer is recorded than the one that was staged: of a run of some pages alone, while the run whose
/// staging this is had been cut short. What says no time of its own is as old as the beginning of that run.
fn is_outdated(
    manifest: &Manifest,
    url: &PageUrl,
    staged: &Staged,
    begun: i64,
) -> Result<bool, ManifestError> {
    let answered = match staged {
        Staged::Outcome { fetched, .. } => *fetched,
        Staged::Validators { .. } | Staged::Rules { .. } | Staged::Missing { .. } => begun,
        Staged::Pending { .. } => return Ok(false),
    };
    let recorded = manifest.entry(url)?.and_then(|entry| entry.fetched);
    Ok(recorded.is_some_and(|recorded| recorded > answered))
}

fn withdraws(staged: &Staged) -> bool {
    match staged {
        Staged::Outcome { outcome, .. } => matches!(outcome, Outcome::Gone(_)),
        Staged::Missing { .. } => true,
        Staged::Validators { .. } | Staged::Rules { .. } | Staged::Pending { .. } => false,
    }
}

/// Every tier side by side: open, sync, prove, glance, publish. Then drops what the store need not keep.
///
/// # Errors
/// What manifest and store say; trouble of a tier is in the report.
pub async fn tiers(
    house: House,
    config: &Config,
    stages: Stages,
    run: &RunId,
    around: &Surroundings<'_>,
    report: &mut RunReport,
) -> Result<House, RunError> {
    let House { manifest, store } = house;
    let store = Arc::new(store);
    let mut clients = Vec::new();
    for tier in &config.tiers {
        clients.push((tier, house::tier_of(tier)));
    }
    let readable = clients
        .iter()
        .filter_map(|(_, client)| client.as_ref().ok().cloned());
    let sync = sync_of(config, (&manifest, &store), readable.collect(), run);
    let scrub = scrub_of(config, stages, around);
    let visits = clients.into_iter().map(|(tier, client)| {
        let (sync, fuse) = (&sync, around.fuse.clone());
        let progress = around.live.tier(tier.name.as_str());
        let begun = Instant::now();
        let visit = async move {
            let client = match client {
                Ok(client) => client,
                Err(error) => return Visit::refused(sync, &tier.name, error.into()),
            };
            let opened = sync::open(
                &sync.manifest,
                Arc::clone(&client),
                tier.concurrency_max,
                fuse,
            )
            .await?;
            match opened {
                Ok(open) => visit(sync, open, stages, scrub, &progress).await,
                Err(trouble) => {
                    let mut visit = Visit::refused(sync, &tier.name, trouble)?;
                    visit.report.count(&*client);
                    Ok(visit)
                }
            }
        };
        visit.map_ok(move |mut visit: Visit| {
            visit.report.seconds = begun.elapsed().as_secs_f64();
            visit
        })
    });
    for visit in join_all(visits).await {
        enter(report, visit?);
    }
    drop(sync);
    let mut store = Arc::into_inner(store).expect("the sync has given it back");
    if config.state.keep == Keep::UntilConfirmed && is_confirmed(config, &manifest)? {
        manifest.forget_blobs()?;
        store.clear()?;
    }
    Ok(House { manifest, store })
}

/// What the tiers of a mirror are synced with. `readable`: those that bodies may be read from.
pub(super) fn sync_of(
    config: &Config,
    (manifest, store): (&Arc<Manifest>, &Arc<Store>),
    readable: Vec<Arc<dyn Tier>>,
    run: &RunId,
) -> sync::Sync {
    let (index, shared) = (Arc::clone(manifest), Arc::clone(store));
    sync::Sync {
        bodies: Bodies::new(index, Some(shared), readable, store.incoming()),
        manifest: Arc::clone(manifest),
        run: run.clone(),
        checkpoints: config.state.checkpoints,
        across: None,
    }
}

/// What a whole run reads back, where that is configured.
fn scrub_of<'a>(
    config: &'a Config,
    stages: Stages,
    around: &Surroundings<'_>,
) -> Option<Scrub<'a>> {
    let days = config.audit.scrub_days.filter(|_| stages == Stages::All)?;
    Some(Scrub {
        days,
        state: &config.state.dir,
        now: (around.clock)(),
    })
}

/// What came of one tier.
struct Visit {
    report: TierReport,
    trouble: Option<Trouble>,
    findings: Findings,
    /// Why the tier owes the first of its debts.
    owes_because: Option<String>,
}

impl Visit {
    fn refused(sync: &sync::Sync, name: &TierName, trouble: Trouble) -> Result<Visit, RunError> {
        Ok(Visit {
            report: sync::refused(name, trouble.why.clone(), &sync.manifest)?,
            trouble: Some(trouble),
            findings: Findings::default(),
            owes_because: None,
        })
    }
}

async fn visit(
    sync: &sync::Sync,
    mut open: OpenTier,
    stages: Stages,
    scrub: Option<Scrub<'_>>,
    progress: &sync::TierProgress,
) -> Result<Visit, RunError> {
    let mut visit = Visit {
        report: TierReport {
            name: open.name.to_string(),
            ..TierReport::default()
        },
        trouble: None,
        findings: Findings::default(),
        owes_because: None,
    };
    if stages.syncs() {
        let outcome = sync.bring_up(&mut open, progress).await?;
        visit.report = outcome.report;
        visit.trouble = outcome.down;
    }
    if visit.trouble.is_none() {
        match look(sync, &mut open).await {
            Ok(findings) => visit.findings = findings,
            Err(AuditError::Tier(error)) => visit.trouble = Some(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    if visit.trouble.is_none() && stages.syncs() {
        let published =
            sync::publish(&sync.manifest, &mut open, &sync.run, sync.checkpoints).await?;
        visit.trouble = published.err().map(Trouble::from);
    }
    let before_scrub = open.tier.traffic();
    if let Some(scrub) = scrub.filter(|_| visit.trouble.is_none() && open.state.epoch > 0) {
        match scrubbed(sync, &mut open, scrub).await {
            Ok(done) => visit.report.scrub = Some(done),
            Err(AuditError::Tier(error)) => visit.trouble = Some(error.into()),
            Err(error) => return Err(error.into()),
        }
    }
    let apart = open.tier.traffic().without(before_scrub);
    let report = &mut visit.report;
    report.trouble = visit.trouble.as_ref().map(|trouble| trouble.why.clone());
    report.debts = sync.manifest.debts(&open.name).count() as u64;
    let first = sync.manifest.debts(&open.name).next().transpose()?;
    visit.owes_because = first.map(|(_, debt)| debt.reason);
    report.watermark = open.state.watermark;
    report.verified = open.state.verified.map(|verified| verified.generation);
    report.count_without(&*open.tier, apart);
    if let Some(scrub) = &mut report.scrub {
        scrub.requests = apart.requests();
    }
    Ok(visit)
}

/// A share of the tier, read back.
async fn scrubbed(
    sync: &sync::Sync,
    open: &mut OpenTier,
    scrub: Scrub<'_>,
) -> Result<Scrubbed, AuditError> {
    let done = audit::scrub(&sync.manifest, open, scrub).await?;
    if done.bad > 0 {
        open.state.verified = None;
        open.save(&sync.manifest).await?;
    }
    Ok(done)
}

/// The proof of what was written, and a glance at the rest.
async fn look(sync: &sync::Sync, open: &mut OpenTier) -> Result<Findings, AuditError> {
    // Of a tier between two layouts a listing proves nothing; what it has acknowledged is needed to go on.
    if open.state.epoch == 0 || sync.manifest.filled(&open.name)?.is_some() {
        return Ok(Findings::default());
    }
    let mut findings = audit::prove(&sync.manifest, open, super::now()).await?;
    findings.add(audit::glance(&sync.manifest, open).await?);
    if findings.differ() {
        // Whatever was proven before, the listing contradicts it now.
        open.state.verified = None;
        open.save(&sync.manifest).await?;
    }
    Ok(findings)
}

/// Adds one tier to the report, and to the verdict what it means for the mirror.
fn enter(report: &mut RunReport, visit: Visit) {
    let Visit {
        report: tier,
        trouble,
        findings,
        owes_because,
    } = visit;
    if let Some(trouble) = trouble {
        let verdict = if trouble.refused {
            Verdict::Failed
        } else {
            Verdict::Degraded
        };
        report.note(verdict, trouble.why);
    }
    let bad = tier.scrub.map_or(0, |scrub| scrub.bad);
    if bad > 0 {
        let reason = format!(
            "tier {}: {bad} objects that were read back are not what was written: the next run writes them again",
            tier.name
        );
        report.note(Verdict::Degraded, reason);
    }
    let unseen = tier.scrub.map_or(0, |scrub| scrub.unseen);
    if unseen > 0 {
        let reason = format!(
            "tier {}: {unseen} objects could not be read back: look at their permissions, or `standin audit --deep` says more",
            tier.name
        );
        report.note(Verdict::Degraded, reason);
    }
    if findings.differ() {
        let reason = format!(
            "tier {}: its listing differs from what was written ({} missing, {} corrupt, {} stale): the next run writes them again",
            tier.name,
            findings.missing.len(),
            findings.corrupt.len(),
            findings.stale.len()
        );
        report.note(Verdict::Degraded, reason);
    } else if tier.debts > 0 {
        let reason = format!(
            "tier {} owes {} pages: the next run tries them again (the first: {})",
            tier.name,
            tier.debts,
            owes_because.as_deref().unwrap_or("not written yet")
        );
        report.note(Verdict::Degraded, reason);
    }
    report.tiers.push(tier);
}

/// True when nobody needs the local copy of any blob: no tier, and no run that waits to be resumed.
pub(super) fn is_confirmed(config: &Config, manifest: &Manifest) -> Result<bool, ManifestError> {
    if Frontier::waits(&config.state.dir) {
        return Ok(false);
    }
    for tier in &config.tiers {
        let behind = manifest.tier(&tier.name)?.watermark < manifest.generation();
        let owes = manifest.debts(&tier.name).next().is_some();
        if behind || owes || manifest.intent(&tier.name)?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
