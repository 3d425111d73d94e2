//! Two models on the same photos.

use serde::{Deserialize, Serialize};

/// How often each of two models was right on the same photos.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paired {
    /// Both right.
    pub both: u64,
    /// Only the candidate right.
    pub gained: u64,
    /// Only production right.
    pub lost: u64,
    /// Both wrong.
    pub neither: u64,
}

impl Paired {
    /// Counts pairs of "candidate was right" and "production was right".
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut paired = Paired::default();
        for pair in pairs {
            match pair {
                (true, true) => paired.both += 1,
                (true, false) => paired.gained += 1,
                (false, true) => paired.lost += 1,
                (false, false) => paired.neither += 1,
            }
        }
        paired
    }

    /// Photos compared.
    pub fn photos(&self) -> u64 {
        self.both + self.gained + self.lost + self.neither
    }

    /// Accuracy the candidate lost; below zero if it gained; zero without photos.
    pub fn accuracy_drop(&self) -> f64 {
        (self.lost as f64 - self.gained as f64) / (self.photos().max(1) as f64)
    }

    /// McNemar's exact test, two-sided: how likely a split of the differing photos at least this uneven is, if the
    /// models are equally good.
    pub fn mcnemar(&self) -> f64 {
        let differing = self.gained + self.lost;
        let fewer = self.gained.min(self.lost);
        if differing == 0 {
            return 1.0;
        }
        // Binomial(differing, 1/2) up to `fewer`, in logarithms so that thousands of photos do not underflow.
        let mut log_term = -(differing as f64) * std::f64::consts::LN_2;
        let mut sum = log_term.exp();
        for k in 1..=fewer {
            log_term += ((differing - k + 1) as f64).ln() - (k as f64).ln();
            sum += log_term.exp();
        }
        (2.0 * sum).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn p(gained: u64, lost: u64) -> f64 {
        Paired { gained, lost, ..Paired::default() }.mcnemar()
    }

    #[test]
    fn exact_values() {
        // R: binom.test(c(1, 9))$p.value, c(5, 15), c(3, 3), c(0, 6).
        for (gained, lost, expected) in
            [(1, 9, 0.021_484_375), (5, 15, 0.041_389_465_3), (3, 3, 1.0), (0, 6, 0.031_25), (0, 0, 1.0)]
        {
            assert!((p(gained, lost) - expected).abs() < 1e-9, "{gained} {lost}: {}", p(gained, lost));
        }
        assert!(p(3000, 3300) < 0.001 && p(3000, 3300) > 0.0);
    }

    #[test]
    fn pairs_are_counted() {
        let paired = Paired::of([(true, true), (true, false), (false, true), (false, true), (false, false)]);
        assert_eq!(paired, Paired { both: 1, gained: 1, lost: 2, neither: 1 });
        assert!((paired.accuracy_drop() - 0.2).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_test_is_symmetric_and_a_probability(gained in 0u64..400, lost in 0u64..400) {
            let value = p(gained, lost);
            prop_assert!((0.0..=1.0).contains(&value));
            prop_assert!((value - p(lost, gained)).abs() < 1e-12);
        }
    }
}
