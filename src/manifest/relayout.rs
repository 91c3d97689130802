//! Another layout for a mirror that has pages: every key changes, in the manifest at once and in each tier when
//! that is moved.
//!
//! [`Manifest::relayout`] makes the index of shared keys again and writes down, tier by tier, by which layout each is
//! filled; the new layout counts with its last batch. Killed before, the next open goes on with it. From then on a
//! tier that has such a note is moved by its next sync, whenever it can be reached, and the note goes with the plan.

use super::record::{Filled, TierState};
use super::{FOLD_BATCH, Manifest, ManifestError, codec, keys};
use crate::config::TierName;
use crate::db::Batch;
use crate::site::{Layout, PageUrl, Reach};

impl Manifest {
    /// Takes another layout on. Nothing in any tier changes by it. A tier that is between two layouts and not among
    /// `configured` any more is given up: nobody could bring its move to the end.
    ///
    /// # Errors
    /// [`ManifestError::Moving`] while one of `configured` is between two layouts, and what the database says.
    pub fn relayout(&mut self, to: &Layout, configured: &[TierName]) -> Result<(), ManifestError> {
        for tier in configured {
            let moving = self.filled(tier)?.filter(|filled| filled.moving);
            if let Some(filled) = moving {
                return Err(ManifestError::Moving {
                    tier: tier.to_string(),
                    from: filled.layout().to_string(),
                    to: self.layout.to_string(),
                });
            }
        }
        let wanted = Filled::by(to);
        let mut batch = Batch::default();
        codec::put(&mut batch, keys::RELAYOUT, &wanted);
        // What was counted is of the old layout.
        batch.remove(keys::SHARED);
        self.db.apply(batch)?;
        self.db.flush()?;
        self.finish_relayout()
    }

    /// Goes on with a change of the layout that was begun, if there is one.
    ///
    /// # Errors
    /// What the database says.
    pub(super) fn finish_relayout(&mut self) -> Result<(), ManifestError> {
        let Some(wanted) = codec::get::<Filled>(&self.db, keys::RELAYOUT)? else {
            return Ok(());
        };
        self.note_hidden()?;
        let earlier = std::mem::replace(&mut self.layout, wanted.layout());
        for kind in [keys::ALIAS, keys::COLLISION] {
            self.drop_all(&[kind])?;
        }
        let gateway_only = self.index_all()?;
        let mut batch = Batch::default();
        for tier in self.known_tiers()? {
            let key = keys::tier(keys::FILLED, &tier);
            let filled = self.filled(&tier)?;
            if filled.as_ref().is_some_and(|filled| filled.moving) {
                // Nobody of the configuration: those were looked at before this was begun.
                self.forget_tier(&tier)?;
                batch.remove(&key);
                batch.remove(&keys::tier(keys::TIER, &tier));
                self.drop_all(&keys::tier(keys::HIDDEN, &tier))?;
                tracing::warn!(%tier, "given up: it is in no configuration, and was lost in the middle of a move to another layout; before it is used again it has to be emptied");
                continue;
            }
            let filled = filled.map_or(earlier.clone(), |filled| filled.layout());
            if filled == self.layout {
                batch.remove(&key);
            } else {
                codec::put(&mut batch, &key, &Filled::by(&filled));
            }
        }
        batch.remove(keys::RELAYOUT);
        self.count_sharing(&mut batch)?;
        self.db.flush()?;
        {
            let mut meta = self.meta();
            meta.layout = wanted.layout;
            meta.asset_hosts = wanted.asset_hosts;
            meta.counts.gateway_only = gateway_only;
        }
        self.save_meta(batch)
    }

    /// Indexes every URL under the layout of today; how many live pages only a gateway can ask for.
    fn index_all(&self) -> Result<u64, ManifestError> {
        let mut gateway_only = 0;
        let mut batch = Batch::default();
        for entry in self.entries(None) {
            let (url, entry) = entry?;
            self.index_alias(&mut batch, &url);
            let hidden = self.layout.place(&url).reach != Reach::Cdn;
            gateway_only += u64::from(hidden && entry.outcome.is_live());
            if batch.len() >= FOLD_BATCH {
                self.db.apply(std::mem::take(&mut batch))?;
                self.flush_when_many()?;
            }
        }
        self.db.apply(batch)?;
        Ok(gateway_only)
    }

    /// Notes, for every tier that is filled by the layout of until now, the pages that may not be in it because another
    /// has their key. Comes before the index goes that knows them; done twice, it notes some more than it need.
    fn note_hidden(&self) -> Result<(), ManifestError> {
        let mut tiers = Vec::new();
        for tier in self.known_tiers()? {
            if self.filled(&tier)?.is_none() {
                tiers.push(tier);
            }
        }
        let mut batch = Batch::default();
        for url in self.indexed() {
            let url = url?;
            for tier in &tiers {
                batch.put(&keys::in_tier(keys::HIDDEN, tier, url.as_str()), &[]);
            }
            if batch.len() >= FOLD_BATCH {
                self.db.apply(std::mem::take(&mut batch))?;
                self.flush_when_many()?;
            }
        }
        self.db.apply(batch)?;
        Ok(self.db.flush()?)
    }

    /// Whether a page may not be in a tier that is filled by another layout than the manifest's, because another has its
    /// key there.
    ///
    /// # Errors
    /// What the database says.
    pub fn is_hidden(&self, tier: &TierName, url: &PageUrl) -> Result<bool, ManifestError> {
        let key = keys::in_tier(keys::HIDDEN, tier, url.as_str());
        Ok(self.db.contains(&key)?)
    }

    /// By which layout a tier is filled, where that is another than the manifest's.
    ///
    /// # Errors
    /// What the database says.
    pub fn filled(&self, tier: &TierName) -> Result<Option<Filled>, ManifestError> {
        codec::get(&self.db, &keys::tier(keys::FILLED, tier))
    }

    /// Notes that a tier is being moved to the manifest's layout. Durable with the next flush.
    ///
    /// # Errors
    /// What the database says.
    pub fn begin_moving(&self, tier: &TierName, filled: &Filled) -> Result<(), ManifestError> {
        let moving = Filled {
            moving: true,
            ..filled.clone()
        };
        let mut batch = Batch::default();
        codec::put(&mut batch, &keys::tier(keys::FILLED, tier), &moving);
        Ok(self.db.apply(batch)?)
    }

    /// Notes that a tier has been moved and is at the watermark of `state`, and closes its plan: at once and durably.
    ///
    /// # Errors
    /// What the database says.
    pub fn end_moving(&self, tier: &TierName, state: &TierState) -> Result<(), ManifestError> {
        let mut batch = Batch::default();
        batch.remove(&keys::tier(keys::FILLED, tier));
        batch.remove(&keys::tier(keys::INTENT, tier));
        codec::put(&mut batch, &keys::tier(keys::TIER, tier), state);
        self.db.apply(batch)?;
        self.db.flush()?;
        self.drop_all(&keys::tier(keys::HIDDEN, tier))
    }

    /// Every tier that was ever claimed, in the configuration or not.
    fn known_tiers(&self) -> Result<Vec<TierName>, ManifestError> {
        let mut names = Vec::new();
        for record in self.db.scan(&[keys::TIER]) {
            let (key, _) = record?;
            let text = String::from_utf8_lossy(&key[1..]);
            names.extend(TierName::parse(text.trim_end_matches('\0')).ok());
        }
        Ok(names)
    }
}

impl Filled {
    /// By this layout, and not on the way to another.
    pub fn by(layout: &Layout) -> Filled {
        Filled {
            layout: layout.name(),
            asset_hosts: layout.asset_hosts(),
            moving: false,
        }
    }

    pub fn layout(&self) -> Layout {
        Layout::new(self.layout, self.asset_hosts.iter().cloned())
    }
}
