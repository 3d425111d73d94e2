//! Random numbers for drawing backends: quick, shared without a lock, and repeatable from a seed.

use std::sync::atomic::{AtomicU64, Ordering};

/// The SplitMix64 generator, whose state only counts up, so that threads can share it.
pub(super) struct Dice(AtomicU64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    /// A number below `sides`; 0 if there are none.
    pub(super) fn roll(&self, sides: u64) -> u64 {
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        // The high half of a product is even enough for shares of traffic.
        u64::try_from((u128::from(z) * u128::from(sides)) >> 64).unwrap_or(0)
    }
}
