//! What was met lately, by hash: spares nearly all look-ups on disk, and most of the work on links.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::quality::RandomState;

/// Two halves of this size are kept, 5 MB each; what falls out is looked up on disk, or worked out anew. Somewhat less
/// than what a table of 2^19 places holds.
const HALF: usize = 450_000;

/// 64-bit hashes in two halves: when one is full the older one is dropped. Two of a million share a hash with a
/// chance of one in 37 million; the key is random, so that no page can be written to make it happen.
pub struct Recent {
    keyed: RandomState,
    young: HashSet<u64, AsItIs>,
    old: HashSet<u64, AsItIs>,
}

impl Recent {
    pub fn new() -> Recent {
        Recent {
            keyed: RandomState::default(),
            young: HashSet::default(),
            old: HashSet::default(),
        }
    }

    /// What stands for `thing` in here.
    pub fn hash_of(&self, thing: impl Hash) -> u64 {
        self.keyed.hash_one(thing)
    }

    /// Takes a hash out; true when it was met lately.
    pub fn forget(&mut self, hash: u64) -> bool {
        self.young.remove(&hash) || self.old.remove(&hash)
    }

    /// True when the hash was met lately.
    pub fn contains(&self, hash: u64) -> bool {
        self.old.contains(&hash) || self.young.contains(&hash)
    }

    /// True when the hash was not met lately.
    pub fn insert(&mut self, hash: u64) -> bool {
        if self.old.contains(&hash) || !self.young.insert(hash) {
            return false;
        }
        if self.young.len() > HALF {
            self.old = std::mem::take(&mut self.young);
        }
        true
    }
}

/// The hashes are hashes already.
#[derive(Default, Clone, Copy)]
pub struct AsItIs;

impl BuildHasher for AsItIs {
    type Hasher = Last;

    fn build_hasher(&self) -> Last {
        Last(0)
    }
}

/// Gives back the number that was put in.
pub struct Last(u64);

impl Hasher for Last {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_in_bounded_memory() {
        // Promise: whatever the number of URLs, at most two halves are kept, the newest among them.
        let mut recent = Recent::new();
        let hashes: Vec<u64> = (0..3 * HALF as u64)
            .map(|number| recent.hash_of(number))
            .collect();
        assert!(hashes.iter().all(|hash| recent.insert(*hash)));
        assert!(
            hashes[hashes.len() - HALF..]
                .iter()
                .all(|hash| !recent.insert(*hash))
        );
        assert!(recent.insert(hashes[0]), "the first has fallen out");
        assert!(recent.young.len() <= HALF + 1 && recent.old.len() <= HALF + 1);
    }
}
