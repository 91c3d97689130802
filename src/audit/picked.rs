//! Which of the rows of a long list are looked at more closely: all, none, or so many at random, each set of them as
//! likely as any other.

use serde::{Deserialize, Serialize};

/// How many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Share {
    #[default]
    None,
    /// So many, picked at random.
    Sample(u64),
    All,
}

/// Goes along the rows and says of each whether it is one. Selection sampling (Knuth, algorithm S): a row is taken
/// with the probability of what is still wanted among what is still to come, so that nothing has to be remembered, and
/// the same seed picks the same rows again.
#[derive(Debug, Clone)]
pub(super) struct Picked {
    to_come: u64,
    wanted: u64,
    random: u64,
}

impl Picked {
    /// Among `rows` rows.
    pub fn among(rows: u64, share: Share, seed: u64) -> Picked {
        Picked {
            to_come: rows,
            wanted: match share {
                Share::None => 0,
                Share::Sample(wanted) => wanted.min(rows),
                Share::All => rows,
            },
            random: seed,
        }
    }

    /// Whether the next row is one.
    pub fn next(&mut self) -> bool {
        if self.wanted == 0 {
            return false;
        }
        let is_one = self.below(self.to_come) < self.wanted;
        self.to_come -= 1;
        self.wanted -= u64::from(is_one);
        is_one
    }

    /// A number below `bound`, all of them equally likely but for 1 in 2^64 / `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}

/// Of a sample of `looked_at` objects `bad` were bad: the share of all objects below which the bad ones lie, with this
/// confidence (such as 0.95). Exact after Clopper and Pearson, one-sided; 1 where nothing was looked at.
pub fn bad_at_most(bad: u64, looked_at: u64, confidence: f64) -> f64 {
    if bad >= looked_at {
        return 1.0;
    }
    let doubt = 1.0 - confidence;
    if bad == 0 {
        return 1.0 - (doubt.ln() / as_f64(looked_at)).exp();
    }
    let (mut low, mut high) = (0.0_f64, 1.0_f64);
    // Halved so often nothing is left between them that a double could tell.
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        match at_most_so_many(bad, looked_at, middle) > doubt {
            true => low = middle,
            false => high = middle,
        }
    }
    high
}

/// The probability of at most `bad` bad ones among `looked_at`, where the share of bad ones is `share`.
fn at_most_so_many(bad: u64, looked_at: u64, share: f64) -> f64 {
    let odds = (share / (1.0 - share)).ln();
    let mut term = as_f64(looked_at) * (1.0 - share).ln();
    let mut sum = term.exp();
    for number in 0..bad {
        term += (as_f64(looked_at - number) / as_f64(number + 1)).ln() + odds;
        sum += term.exp();
    }
    sum
}

#[expect(
    clippy::cast_precision_loss,
    reason = "numbers of objects are far below 2^53"
)]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn picks(rows: u64, share: Share, seed: u64) -> Vec<u64> {
        let mut picked = Picked::among(rows, share, seed);
        (0..rows).filter(|_| picked.next()).collect()
    }

    proptest! {
        #[test]
        fn exactly_so_many_are_picked(rows in 0_u64..300, wanted in 0_u64..400, seed: u64) {
            // Promise: as many as were asked for, or all; with the same seed the same.
            let found = picks(rows, Share::Sample(wanted), seed);
            prop_assert_eq!(found.len() as u64, wanted.min(rows));
            prop_assert_eq!(&found, &picks(rows, Share::Sample(wanted), seed));
            prop_assert_eq!(picks(rows, Share::All, seed).len() as u64, rows);
            prop_assert_eq!(picks(rows, Share::None, seed).len(), 0);
        }

        #[test]
        fn the_bound_is_that_of_clopper_and_pearson(bad in 0_u64..40, more in 1_u64..5_000) {
            // Promise: were the share of bad ones just the bound, so few would be found in 5 of 100 samples; it grows
            // with what was found, and shrinks with what was looked at.
            let looked_at = bad + more;
            let bound = bad_at_most(bad, looked_at, 0.95);
            let chance = at_most_so_many(bad, looked_at, bound);
            prop_assert!((chance - 0.05).abs() < 1e-6, "{} {}", bound, chance);
            prop_assert!(bound > as_f64(bad) / as_f64(looked_at));
            prop_assert!(bad_at_most(bad + 1, looked_at, 0.95) > bound);
            prop_assert!(bad_at_most(bad, looked_at + 1, 0.95) < bound);
        }
    }

    #[test]
    fn every_row_is_as_likely_as_any_other() {
        // Promise: the sample is uniform. Of 10,000 samples of 3 among 12 each row is in a quarter, within five
        // standard deviations.
        let mut counts = [0_u32; 12];
        for seed in 0..10_000_u64 {
            for row in picks(
                12,
                Share::Sample(3),
                seed.wrapping_mul(0x2545_f491_4f6c_dd1d),
            ) {
                counts[usize::try_from(row).unwrap()] += 1;
            }
        }
        assert!(
            counts.iter().all(|count| (2_284..=2_716).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn none_of_five_thousand_is_under_six_in_ten_thousand() {
        // Promise: the rule of three, and nothing looked at says nothing.
        assert_eq!(
            format!("{:.2}", 100.0 * bad_at_most(0, 5_000, 0.95)),
            "0.06"
        );
        assert!(bad_at_most(0, 5_000, 0.95) < 3.0 / 5_000.0);
        assert_eq!(bad_at_most(0, 0, 0.95), 1.0);
        assert_eq!(bad_at_most(7, 7, 0.95), 1.0);
    }
}
