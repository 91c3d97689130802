//! Whose tier is it? Read before anything is written, and taken by a conditional put before the first
//! operation, so that two machines never interleave in one bucket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::head::{FORMAT, HEAD, Head};
use super::{SyncError, Trouble, off_thread};
use crate::config::TierName;
use crate::db::{Blown, Fuse};
use crate::manifest::checkpoint::{Checkpoint, Part};
use crate::manifest::{EtagKind, Generation, Manifest, ManifestError, RunId, TierState};
use crate::site::{Layout, ObjectKey};
use crate::tier::{Capabilities, EtagMeaning, Expect, LIST_PAGE, Tier, TierError};

/// Objects asked for to see whether there are any.
const FIRST_PAGE: usize = 10;

/// A tier that this manifest may write to.
pub struct OpenTier {
    pub tier: Arc<dyn Tier>,
    pub name: TierName,
    pub concurrency: usize,
    pub state: TierState,
    /// The layout of the keys in the tier; another than the manifest's until it has been moved.
    pub filled: Layout,
    pub fuse: Fuse,
    pub(super) head: Option<SeenHead>,
    /// Parts of a checkpoint may lie there that no head names: an earlier run ended before it had written one.
    pub(super) has_loose_parts: bool,
}

/// The head as it was last seen in the tier.
#[derive(Clone)]
pub(super) struct SeenHead {
    pub record: Head,
    pub etag: String,
}

/// Reads a tier's head (one request) and decides whether it is ours; for a tier that was never
/// claimed, also whether it is empty.
///
/// # Errors
/// Outside: what the manifest says. Inside: why the tier is refused, in one line with the way out.
pub async fn open(
    manifest: &Arc<Manifest>,
    tier: Arc<dyn Tier>,
    concurrency: usize,
    fuse: Fuse,
) -> Result<Result<OpenTier, Trouble>, ManifestError> {
    let opened = recognised(manifest, tier, concurrency, fuse).await?;
    let mut open = match opened {
        Ok(open) if open.head.is_none() => open,
        decided => return Ok(decided),
    };
    if let Err(trouble) = open.welcome().await {
        return Ok(Err(trouble));
    }
    if open.state.watermark > Generation::NONE {
        // An adoption was killed before its claim, and the place was emptied since.
        let name = open.name.clone();
        open.state = off_thread(manifest, move |manifest| manifest.forget_tier(&name)).await?;
    }
    Ok(Ok(open))
}

/// As [`open`], for who only looks: a tier that has lost its head alone is given, too. One that is empty is not, since a
/// disk that is not mounted looks like that, and says nothing of what lies on it.
///
/// # Errors
/// As [`open`].
pub async fn open_to_look(
    manifest: &Arc<Manifest>,
    tier: Arc<dyn Tier>,
    concurrency: usize,
    fuse: Fuse,
) -> Result<Result<OpenTier, Trouble>, ManifestError> {
    let open = match recognised(manifest, tier, concurrency, fuse).await? {
        Ok(open) if open.has_lost_its_head() => open,
        decided => return Ok(decided),
    };
    Ok(match open.first_object().await {
        Ok(Some(_)) => Ok(open),
        Ok(None) => Err(open.unexpectedly_empty()),
        Err(error) => Err(error.into()),
    })
}

/// A tier as `adopt` finds it.
pub enum Candidate {
    /// It has our head.
    Ours(OpenTier),
    /// It has no head, and objects.
    Filled(OpenTier),
    /// Nobody has written there.
    Empty,
}

/// As [`open`], for who means to take over what somebody else has written.
///
/// # Errors
/// As [`open`]; a tier that this manifest has filled and that is empty now is refused here, too.
pub async fn open_to_adopt(
    manifest: &Arc<Manifest>,
    tier: Arc<dyn Tier>,
    concurrency: usize,
    fuse: Fuse,
) -> Result<Result<Candidate, Trouble>, ManifestError> {
    if let Some(filled) = manifest.filled(tier.name())? {
        let (name, earlier, now) = (tier.name(), filled.layout(), manifest.layout());
        return Ok(Err(Trouble::refusal(format!(
            "tier {name} is filled by {earlier} and has not been moved to {now} yet; let `standin sync` do that first"
        ))));
    }
    let open = match recognised(manifest, tier, concurrency, fuse).await? {
        Ok(open) if open.head.is_some() => return Ok(Ok(Candidate::Ours(open))),
        Ok(open) => open,
        Err(trouble) => return Ok(Err(trouble)),
    };
    Ok(match open.first_object().await {
        Ok(Some(_)) => Ok(Candidate::Filled(open)),
        Ok(None) => open.welcome().await.map(|()| Candidate::Empty),
        Err(error) => Err(error.into()),
    })
}

/// Opens a tier to be filled anew, whatever the manifest says of it; also told is whether it holds objects of the
/// site. Its epoch will be higher than any that was seen, so that whoever else writes there is stopped.
///
/// # Errors
/// As [`open`]; a tier of another mirror is refused here, too.
pub async fn open_to_rebuild(
    manifest: &Arc<Manifest>,
    tier: Arc<dyn Tier>,
    concurrency: usize,
    fuse: Fuse,
) -> Result<Result<(OpenTier, bool), Trouble>, ManifestError> {
    let name = tier.name().clone();
    let seen = match tier.read_small(HEAD).await {
        Ok(seen) => seen,
        Err(error) => return Ok(Err(error.into())),
    };
    let moves_from = manifest.filled(&name)?;
    let mut open = OpenTier {
        state: manifest.tier(&name)?,
        tier,
        name,
        concurrency,
        filled: manifest.layout().clone(),
        fuse,
        head: None,
        has_loose_parts: true,
    };
    if let Some((bytes, etag)) = seen
        && let Err(why) = open.recognise_lineage(manifest, &bytes, etag)
    {
        return Ok(Err(Trouble::refusal(why)));
    }
    Ok(match (open.first_object().await, moves_from) {
        (Ok(Some(_)), Some(earlier)) => Err(Trouble::refusal(format!(
            "tier {} holds objects under keys of {} and has not been moved to {} yet; let `standin sync` do that, or empty it first",
            open.name,
            earlier.layout(),
            manifest.layout()
        ))),
        (Ok(first), _) => Ok((open, first.is_some())),
        (Err(error), _) => Err(error.into()),
    })
}

/// Reads a tier's head; one that is there must be ours.
async fn recognised(
    manifest: &Arc<Manifest>,
    tier: Arc<dyn Tier>,
    concurrency: usize,
    fuse: Fuse,
) -> Result<Result<OpenTier, Trouble>, ManifestError> {
    let name = tier.name().clone();
    let state = manifest.tier(&name)?;
    let filled = manifest.filled(&name)?;
    let filled = filled.map_or_else(|| manifest.layout().clone(), |filled| filled.layout());
    let seen = match tier.read_small(HEAD).await {
        Ok(seen) => seen,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut open = OpenTier {
        tier,
        name,
        concurrency,
        has_loose_parts: state.head != state.watermark,
        state,
        filled,
        fuse,
        head: None,
    };
    let verdict = match seen {
        Some((bytes, etag)) => open
            .recognise(manifest, &bytes, etag)
            .map_err(Trouble::refusal),
        None => Ok(()),
    };
    Ok(verdict.map(|()| open))
}

/// The head that a tier holds. `then`: what helps once one that cannot be read was removed.
fn read_head(name: &TierName, bytes: &Bytes, then: &str) -> Result<Head, String> {
    let head: Head = serde_json::from_slice(bytes).map_err(|why| {
        format!("tier {name}: {HEAD} cannot be read ({why}); if nobody else uses this place, remove that object{then}")
    })?;
    if head.format > FORMAT {
        return Err(format!(
            "tier {name} was written by a newer version of standin; upgrade standin"
        ));
    }
    Ok(head)
}

impl OpenTier {
    /// Decides by the head that is there.
    fn recognise(
        &mut self,
        manifest: &Manifest,
        bytes: &Bytes,
        etag: String,
    ) -> Result<(), String> {
        let name = &self.name;
        let then = format!(", then `standin rebuild tier {name}` fills it again");
        let head = read_head(name, bytes, &then)?;
        let (theirs, ours) = (head.layout(), manifest.layout());
        if head.lineage != manifest.about().lineage.0 {
            let keys = if theirs == *ours {
                String::new()
            } else {
                format!(", its keys are of {theirs} and ours of {ours}")
            };
            return Err(format!(
                "tier {name} belongs to another mirror (lineage {}{keys}); use its state folder, name another place, or, if this state folder holds nothing that counts, `standin rebuild manifest --from {name} --replace`",
                head.lineage
            ));
        }
        if let Some(theirs) = head.tier.as_ref().filter(|theirs| *theirs != name) {
            return Err(format!(
                "tier {name} is where this mirror's tier {theirs} is: name it {theirs} again if it was renamed, and give each tier a place of its own"
            ));
        }
        let claiming = self.state.claiming.clone();
        if claiming == Some((head.epoch, head.run.clone())) {
            // A run of ours was killed between taking the epoch and noting that it had.
            self.state.epoch = head.epoch;
        }
        if self.state.is_unseen() {
            return Err(format!(
                "tier {name} was not to be seen when the manifest was made again, and what it holds is not known; `standin rebuild tier {name}` compares it and writes what is wrong"
            ));
        }
        if self.state.epoch == 0 && head.epoch > 0 {
            return Err(format!(
                "tier {name} is one of this mirror's, but not under this name (run {}, epoch {}): was it renamed, given up in the middle of a move, or taken by a copy of the state folder on another machine? Name it as it was, or empty it, and it is filled again",
                head.run, head.epoch
            ));
        }
        if head.epoch > self.state.epoch {
            return Err(format!(
                "tier {name} was taken by run {} of another machine (epoch {}, ours is {}); only one machine may write to a tier: stop one of them. If this state folder is the one that counts, `standin rebuild tier {name}` takes the tier back",
                head.run, head.epoch, self.state.epoch
            ));
        }
        if head.epoch < self.state.epoch {
            return Err(format!(
                "tier {name} holds an older state (epoch {}, ours is {}): was it restored from a backup? `standin rebuild tier {name}` compares it and writes what is wrong",
                head.epoch, self.state.epoch
            ));
        }
        let is_filled =
            head.generation > Generation::NONE || self.state.watermark > Generation::NONE;
        // After a kill the head may be that of the layout to which the tier was being moved.
        if theirs != *ours && theirs != self.filled && is_filled {
            return Err(format!(
                "tier {name} is filled by {theirs}, and this mirror has {ours}: a place has keys of one layout only; set `site.layout` and `site.asset_hosts` as they were, or name another place"
            ));
        }
        self.head = Some(SeenHead { record: head, etag });
        Ok(())
    }

    /// True where a tier that was ours once has no head any more.
    pub fn has_lost_its_head(&self) -> bool {
        self.head.is_none() && self.state.epoch > 0
    }

    /// Takes over a head of this mirror, of whatever epoch, and none of what it says is there.
    fn recognise_lineage(
        &mut self,
        manifest: &Manifest,
        bytes: &Bytes,
        etag: String,
    ) -> Result<(), String> {
        let name = &self.name;
        let head = read_head(name, bytes, " and run again")?;
        let about = manifest.about();
        if head.lineage != about.lineage.0 {
            return Err(format!(
                "tier {name} belongs to another mirror (lineage {}): empty it first, or name another place",
                head.lineage
            ));
        }
        self.state.epoch = self.state.epoch.max(head.epoch);
        let record = Head::of(&about, name, head.epoch, &head.run, None);
        self.head = Some(SeenHead { record, etag });
        Ok(())
    }

    /// The objects of all checkpoints that the head names.
    pub fn checkpoint_names(&self) -> BTreeSet<String> {
        self.checkpoint_parts().into_keys().collect()
    }

    /// As [`OpenTier::checkpoint_names`], with what each was written as.
    pub fn checkpoint_parts(&self) -> BTreeMap<String, Part> {
        let head = self.head.as_ref().map(|head| &head.record);
        let all = head.map(|head| std::iter::once(&head.checkpoint).chain(&head.earlier));
        let parts = all.into_iter().flatten().flat_map(Checkpoint::parts);
        parts
            .map(|part| (part.name.clone(), part.clone()))
            .collect()
    }

    /// Notes, to be saved with the rest, that what the head names is broken: whoever publishes next, in this process or
    /// another one, looks at every part, and builds on none that is not whole.
    pub fn doubt_checkpoints(&mut self) {
        self.state.head = Generation::NONE;
        self.has_loose_parts = true;
    }

    /// Decides about a tier without a head: new, unexpectedly empty, robbed of its head, or somebody else's.
    async fn welcome(&self) -> Result<(), Trouble> {
        let name = &self.name;
        let place = self.tier.location();
        let held = self.first_object().await?;
        match (self.state.epoch > 0 || self.state.is_unseen(), held) {
            (false, None) => Ok(()),
            (true, None) => Err(self.unexpectedly_empty()),
            (true, Some(_)) => Err(Trouble::refusal(format!(
                "tier {name} ({place}) has lost its {HEAD}, but not its objects: did a transfer or sync that deletes run there? Switch that off; then `standin adopt --tier {name}` takes the tier back"
            ))),
            (false, Some(key)) => Err(Trouble::refusal(format!(
                "tier {name} ({place}) is not empty and has no {HEAD} (it holds {key}): if it is a copy of this site, `standin adopt --tier {name}` takes it over; else empty it, or name another place"
            ))),
        }
    }

    fn unexpectedly_empty(&self) -> Trouble {
        let (name, place) = (&self.name, self.tier.location());
        Trouble::refusal(format!(
            "tier {name} ({place}) is unexpectedly empty: is the disk mounted, the bucket right? If it really was emptied, `standin rebuild tier {name}` fills it again"
        ))
    }

    /// The first object of the site, whatever else a bucket may hold before it.
    async fn first_object(&self) -> Result<Option<ObjectKey>, TierError> {
        let (mut after, mut limit) = (None, FIRST_PAGE);
        loop {
            let page = self.tier.list(after.as_deref(), limit).await?;
            if let Some(object) = page.objects.into_iter().next() {
                return Ok(Some(object.key));
            }
            if !page.more {
                return Ok(None);
            }
            // There are many small objects before the first of the site, if there is one.
            (after, limit) = (page.last, LIST_PAGE);
        }
    }

    /// Takes the tier for writing: raises its epoch by a conditional put. Durable on both sides, and
    /// safe to be killed anywhere in between.
    ///
    /// # Errors
    /// Outside: what the manifest says. Inside: the tier refuses, or another machine was faster.
    pub async fn take(
        &mut self,
        manifest: &Arc<Manifest>,
        run: &RunId,
    ) -> Result<Result<(), TierError>, SyncError> {
        let epoch = self.state.epoch + 1;
        self.state.claiming = Some((epoch, run.clone()));
        self.save(manifest).await?;
        self.fuse.pass("tier.claim")?;
        let earlier = self.head.as_ref().map(|head| &head.record);
        let record =
            Head::of(&manifest.about(), &self.name, epoch, run, earlier).filled_by(&self.filled);
        let expect = match &self.head {
            Some(head) => Expect::Etag(head.etag.clone()),
            None => Expect::Absent,
        };
        let written = self.tier.write_small(HEAD, record.encode(), Some(expect));
        let etag = match written.await {
            Ok(etag) => etag,
            Err(error) => return Ok(Err(error)),
        };
        self.fuse.pass("tier.claimed")?;
        // Not only on the first claim: a kill may have come between that and its probe, and earlier
        // versions recorded nothing but what an ETag is.
        if self.state.watermark == Generation::NONE || self.state.capabilities.is_none() {
            match self.probe().await? {
                Ok(found) => self.learn(found),
                Err(error) => return Ok(Err(error)),
            }
        }
        self.head = Some(SeenHead { record, etag });
        self.state.epoch = epoch;
        self.state.claiming = None;
        self.save(manifest).await?;
        Ok(Ok(()))
    }

    /// What the tier can do, as it is found out before the first object is written.
    ///
    /// # Errors
    /// Outside: a test has cut the run short. Inside: what the tier says.
    pub async fn probe(&self) -> Result<Result<Capabilities, TierError>, Blown> {
        let found = self.tier.probe().await;
        self.fuse.pass("tier.probed")?;
        Ok(found)
    }

    /// Notes what a probe has found. What an ETag is stays as it was once a plan has ended: ETags were
    /// recorded by it then. Until that nothing was recorded that a late answer could contradict.
    pub fn learn(&mut self, found: Capabilities) {
        if self.state.watermark == Generation::NONE {
            self.state.etag = match found.etag {
                EtagMeaning::Md5 => EtagKind::Md5,
                EtagMeaning::Content => EtagKind::Content,
                EtagMeaning::Opaque => EtagKind::Opaque,
            };
        }
        self.state.capabilities = Some(found);
    }

    /// Records the state of this tier in the manifest, durably.
    ///
    /// # Errors
    /// What the manifest says.
    pub async fn save(&self, manifest: &Arc<Manifest>) -> Result<(), ManifestError> {
        let (name, state) = (self.name.clone(), self.state.clone());
        off_thread(manifest, move |manifest| manifest.save_tier(&name, &state)).await
    }
}
