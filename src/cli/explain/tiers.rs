//! What each tier has of a page, as far as the manifest knows without asking it.

use serde::Serialize;

use super::in_short;
use super::keys::Shared;
use super::sheet::Sheet;
use crate::config::{Config, TierConfig};
use crate::manifest::{Debt, Entry, Generation, Intent, Manifest, ManifestError, TierState};
use crate::run::RunError;
use crate::site::{ObjectKey, PageUrl};

/// Changes that are looked back over for what a tier that lags still has.
const LOOKED_BACK_MAX: usize = 1000;

/// One tier. The names are a promise.
#[derive(Serialize)]
pub struct Holding {
    name: String,
    key: ObjectKey,
    state: State,
    /// The same in words.
    standing: String,
    /// Up to which generation the tier is confirmed, but for its debts.
    watermark: Generation,
    /// The generation of the last complete proof.
    verified: Option<Generation>,
    debt: Option<Debt>,
    /// The run whose plan did not end, if it is that which leaves the page in doubt.
    doubt: Option<String>,
}

/// How a page stands in a tier.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// There was never anything to keep.
    Nothing,
    /// It failed, and is tried again.
    Owed,
    /// A plan that would have written it was cut short.
    InDoubt,
    /// The tier is at an earlier generation.
    Lagging,
    /// The tier has not been moved to the mirror's layout yet.
    Unmoved,
    /// There is no object, as it should be.
    Gone,
    /// The key holds another page's object.
    Collided,
    /// Acknowledged; no listing has shown it yet.
    Written,
    Confirmed,
}

/// What is known of every tier of the configuration.
pub fn all(
    config: &Config,
    manifest: &Manifest,
    url: &PageUrl,
    entry: Option<&Entry>,
    shared: Option<&Shared>,
) -> anyhow::Result<Vec<Holding>> {
    let look = Look {
        manifest,
        url,
        entry,
        shared,
    };
    let holdings = config.tiers.iter().map(|tier| look.at(tier));
    let holdings: Result<_, ManifestError> = holdings.collect();
    Ok(holdings.map_err(RunError::from)?)
}

struct Look<'a> {
    manifest: &'a Manifest,
    url: &'a PageUrl,
    entry: Option<&'a Entry>,
    shared: Option<&'a Shared>,
}

impl Look<'_> {
    fn at(&self, tier: &TierConfig) -> Result<Holding, ManifestError> {
        let (manifest, name) = (self.manifest, &tier.name);
        let known = manifest.tier(name)?;
        let debt = manifest.debt(name, self.url)?;
        let intent = manifest.intent(name)?;
        let filled = manifest.filled(name)?.map(|filled| filled.layout());
        let key = match &filled {
            Some(earlier) => earlier.place(self.url).key,
            None => manifest.layout().place(self.url).key,
        };
        let is_marked = manifest.mark(name, &key)?.is_some();
        let state = match filled {
            Some(_) if self.entry.is_some() => State::Unmoved,
            _ => self.state(&known, debt.as_ref(), intent.as_ref(), is_marked),
        };
        let doubt = intent.filter(|_| state == State::InDoubt);
        let doubt = doubt.map(|intent| intent.plan.0);
        Ok(Holding {
            name: name.to_string(),
            standing: self.standing(state, &known, debt.as_ref())?,
            key,
            state,
            watermark: known.watermark,
            verified: known.verified.map(|verified| verified.generation),
            debt,
            doubt,
        })
    }

    fn state(
        &self,
        known: &TierState,
        debt: Option<&Debt>,
        intent: Option<&Intent>,
        is_marked: bool,
    ) -> State {
        let Some(entry) = self.entry else {
            return if debt.is_some() {
                State::Owed
            } else {
                State::Nothing
            };
        };
        let is_later = entry.changed > known.watermark;
        if debt.is_some() {
            State::Owed
        } else if is_later && intent.is_some_and(|intent| entry.changed <= intent.to) {
            State::InDoubt
        } else if is_later {
            State::Lagging
        } else if self.shared.is_some_and(Shared::is_lost) {
            State::Collided
        } else if !entry.outcome.is_live() {
            State::Gone
        } else if is_marked {
            State::Written
        } else {
            State::Confirmed
        }
    }

    fn standing(
        &self,
        state: State,
        known: &TierState,
        debt: Option<&Debt>,
    ) -> Result<String, ManifestError> {
        Ok(match (state, debt, self.shared) {
            (State::Owed, Some(debt), _) => {
                let tried = match debt.attempts {
                    1 => "tried once".to_owned(),
                    attempts => format!("tried {attempts} times"),
                };
                format!(
                    "owed since generation {}, {tried}: {}",
                    debt.since, debt.reason
                )
            }
            (State::Lagging, ..) if known.is_unseen() => {
                "was not to be seen when the manifest was made again".into()
            }
            (State::Lagging, ..) if known.epoch == 0 => "waits for the first sync".into(),
            (State::Lagging, ..) => format!(
                "waits for the next sync: the tier is at generation {} and has {}",
                known.watermark,
                in_short(self.at_watermark(known.watermark)?.as_ref())
            ),
            (State::InDoubt, ..) => {
                "in doubt: a plan was cut short, and the next sync writes it again".into()
            }
            (State::Unmoved, ..) => {
                "not moved to this layout yet: it lies under its old key, and the next sync moves it".into()
            }
            (State::Collided, _, Some(shared)) => format!("holds {} under this key", shared.winner),
            (State::Gone, ..) => "gone there, too".into(),
            (State::Written, ..) => "written, and not yet seen in a listing".into(),
            (State::Confirmed, _, Some(shared)) if shared.is_alias() => {
                format!("confirmed, as {}", shared.winner)
            }
            (State::Confirmed, ..) => "confirmed".into(),
            _ => "nothing to keep".into(),
        })
    }

    /// The page as the tier had it when it was last brought up.
    fn at_watermark(&self, watermark: Generation) -> Result<Option<Entry>, ManifestError> {
        let mut before = None;
        for change in self.manifest.changes_of(self.url).take(LOOKED_BACK_MAX) {
            let (generation, change) = change?;
            if generation <= watermark {
                break;
            }
            before = change.before;
        }
        Ok(before)
    }
}

impl Holding {
    pub fn tell(&self, sheet: &mut Sheet) {
        sheet.line("tier", &format!("{}: {}", self.name, self.standing));
    }
}
