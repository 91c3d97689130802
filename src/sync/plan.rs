//! A tier's plan: the manifest's delta for it, turned into operations as they are needed.

use serde::Serialize;

use crate::config::TierName;
use crate::delta::{self, Operation, Phase, Reason, Row, Sibling};
use crate::manifest::{
    Doubt, Entry, Generation, Held, HeldTwice, Manifest, ManifestError, TierDelta,
};
use crate::site::{ObjectKey, PageUrl};
use crate::tier::Prices;

/// A plan's operations by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Planned {
    pub put: u64,
    pub copied: u64,
    pub reheadered: u64,
    pub deleted: u64,
    /// Bytes of the bodies to be sent.
    pub bytes: u64,
    /// Requests about objects that this takes; claim, proof and checkpoint are some more.
    pub requests: u64,
    /// Operations of each phase, in order: a phase without any needs no look at the plan.
    #[serde(skip)]
    pub phases: [u64; Phase::ALL.len()],
}

impl Planned {
    /// All operations.
    pub fn operations(&self) -> u64 {
        self.put + self.copied + self.reheadered + self.deleted
    }

    pub(super) fn count(&mut self, operation: &Operation, prices: &Prices) {
        let counter = match operation {
            Operation::Put { object, .. } => {
                self.bytes += object.meta.size;
                self.requests += prices.of_put(object.meta.size) - 1;
                &mut self.put
            }
            Operation::Copy { .. } => &mut self.copied,
            Operation::Reheader { .. } => {
                self.requests += prices.reheader - 1;
                &mut self.reheadered
            }
            Operation::Delete { .. } => {
                let begins_a_batch = self.deleted.is_multiple_of(prices.deletes_at_once);
                self.requests -= u64::from(!begins_a_batch);
                &mut self.deleted
            }
        };
        *counter += 1;
        self.requests += 1;
        self.phases[operation.phase() as usize] += 1;
    }
}

/// Counts a tier's plan and what it costs at these prices, calling `each` for every operation.
///
/// # Errors
/// What the manifest says.
pub fn plan_of(
    manifest: &Manifest,
    name: &TierName,
    prices: &Prices,
    mut each: impl FnMut(&Step),
) -> Result<Planned, ManifestError> {
    let mut planned = Planned::default();
    for step in Steps::new(manifest, name, doubted(manifest, name)?, None)? {
        let step = step?;
        planned.count(&step.operation, prices);
        each(&step);
    }
    Ok(planned)
}

/// Up to where a tier is in doubt: the end of a plan that was begun and did not end. To be asked
/// before a plan is begun, since a plan is in no doubt about what it is itself about to do.
///
/// # Errors
/// What the manifest says.
pub fn doubted(manifest: &Manifest, name: &TierName) -> Result<Generation, ManifestError> {
    let open = manifest.intent(name)?;
    Ok(open.map_or(Generation::NONE, |open| open.to))
}

/// One operation of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub operation: Operation,
    /// True when the tier was in doubt about the URL whose row this is.
    pub doubt: bool,
    pub reason: Reason,
}

/// The operations of one phase, or of all.
pub struct Steps<'a> {
    manifest: &'a Manifest,
    name: TierName,
    watermark: Generation,
    doubted: Generation,
    grouped: bool,
    /// Of a tier that copies cheaply: whose bodies it may have under another key.
    held_twice: Option<HeldTwice<'a>>,
    phase: Option<Phase>,
    /// Some pages may have been withdrawn: none of them is written.
    has_perhaps_gone: bool,
    rows: Box<dyn Iterator<Item = Result<TierDelta, ManifestError>> + 'a>,
}

impl<'a> Steps<'a> {
    pub fn new(
        manifest: &'a Manifest,
        name: &TierName,
        doubted: Generation,
        phase: Option<Phase>,
    ) -> Result<Steps<'a>, ManifestError> {
        let state = manifest.tier(name)?;
        let copies = state.capabilities.is_some_and(|found| found.copies_cheaply);
        let held_twice = copies.then(|| manifest.held_twice_after(state.watermark));
        Ok(Steps {
            manifest,
            name: name.clone(),
            watermark: state.watermark,
            held_twice,
            doubted,
            grouped: manifest.has_aliases()?,
            phase,
            has_perhaps_gone: manifest.has_perhaps_gone()?,
            rows: Box::new(manifest.tier_delta(name, doubted)?),
        })
    }

    fn step(&mut self, delta: TierDelta) -> Result<Option<Step>, ManifestError> {
        let (url, doubt) = (delta.url.clone(), delta.doubt != Doubt::None);
        let row = row(delta.url, delta.before, delta.after, delta.doubt);
        let planned = delta::operation(self.manifest.layout(), row, |key| {
            if self.grouped {
                self.siblings(key, &url)
            } else {
                Ok(Vec::new())
            }
        })?;
        let is_asked = |operation: &Operation| {
            let phase = self.phase;
            phase.is_none_or(|phase| operation.phase() == phase)
        };
        let Some((operation, reason)) = planned.filter(|(operation, _)| is_asked(operation)) else {
            return Ok(None);
        };
        if self.waits(&operation)? {
            return Ok(None);
        }
        let mut step = Step {
            operation,
            doubt,
            reason,
        };
        if self.may_be_there(&step, &url)? {
            step = self.spared(step, &url)?;
        }
        Ok(Some(step))
    }

    /// Whether a page is not to be written before the site has answered for it.
    fn waits(&self, operation: &Operation) -> Result<bool, ManifestError> {
        let is_written = self.has_perhaps_gone && operation.object().is_some();
        Ok(is_written && self.manifest.is_perhaps_gone(operation.url())?)
    }

    /// Whether it is worth a look if the tier has the body under another key. What the notes of commits do not speak
    /// of is looked up: a debt, which may be older than they are, and a page that takes over the key of another.
    fn may_be_there(&mut self, step: &Step, url: &PageUrl) -> Result<bool, ManifestError> {
        let Some(notes) = &mut self.held_twice else {
            return Ok(false);
        };
        let is_noted = notes.names(url)?;
        Ok(is_noted || step.reason.debt().is_some() || step.operation.url() != url)
    }

    fn spared(&self, step: Step, url: &PageUrl) -> Result<Step, ManifestError> {
        let Step {
            operation,
            doubt,
            mut reason,
        } = step;
        let held = Held {
            tier: &self.name,
            watermark: self.watermark,
            doubted: self.doubted,
        };
        let mut leaves = false;
        let operation = operation.spared(|content, size| {
            let found = self.manifest.source_in_tier(&held, url, content, size)?;
            leaves = found.as_ref().is_some_and(|found| found.leaves);
            Ok::<_, ManifestError>(found.map(|found| found.key))
        })?;
        reason.moved = leaves && matches!(operation, Operation::Copy { .. });
        Ok(Step {
            operation,
            doubt,
            reason,
        })
    }

    fn siblings(&self, key: &ObjectKey, url: &PageUrl) -> Result<Vec<Sibling>, ManifestError> {
        let mut siblings = Vec::new();
        for (other, after) in self.manifest.on_key(key, url.scheme())? {
            if other == *url {
                continue;
            }
            let (before, changed) = self.manifest.entry_at(&other, self.watermark)?;
            let debt = self.manifest.debt(&self.name, &other)?;
            let cut_short = changed.is_some_and(|generation| generation <= self.doubted);
            let in_delta = debt.is_some() || changed.is_some();
            let doubt = match debt {
                Some(debt) => Doubt::Owed(debt),
                None if cut_short => Doubt::CutShort,
                None => Doubt::None,
            };
            siblings.push(Sibling {
                in_delta,
                row: row(other, before, Some(after), doubt),
            });
        }
        Ok(siblings)
    }
}

fn row(url: PageUrl, before: Option<Entry>, after: Option<Entry>, doubt: Doubt) -> Row {
    Row {
        url,
        before,
        after,
        doubt,
    }
}

impl Iterator for Steps<'_> {
    type Item = Result<Step, ManifestError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let delta = match self.rows.next()? {
                Ok(delta) => delta,
                Err(error) => return Some(Err(error)),
            };
            if let Some(step) = self.step(delta).transpose() {
                return Some(step);
            }
        }
    }
}
