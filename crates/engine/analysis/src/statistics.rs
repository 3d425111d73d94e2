//! The few statistics that gates rest on.

use std::time::Duration;

/// Two-sided p-value of McNemar's exact test: `lost` items only the old model got right, `won` only the new one. Under the
/// hypothesis that both are equally good, `lost` of `lost + won` is a fair coin's count.
pub fn mcnemar_exact(lost: u64, won: u64) -> f64 {
    let n = lost + won;
    if n == 0 {
        return 1.0;
    }
    let extreme = lost.min(won);
    let mut log_term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = log_term.exp();
    for k in 0..extreme {
        log_term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
        tail += log_term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// Wilson's 95 % interval of a proportion: lower and upper bound. The whole range without observations.
pub fn wilson(successes: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (trials as f64, 1.959_963_985);
    let p = successes as f64 / n;
    let denominator = 1.0 + z * z / n;
    let centre = p + z * z / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    (((centre - spread) / denominator).max(0.0), ((centre + spread) / denominator).min(1.0))
}

/// The smallest of the durations that at least `share` of them do not exceed; zero without any.
pub fn percentile(durations: &[Duration], share: f64) -> Duration {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mcnemar_agrees_with_the_binomial_distribution() {
        let check = |lost, won, wanted: f64| {
            let p = mcnemar_exact(lost, won);
            assert!((p - wanted).abs() < 1e-9, "{lost} {won}: {p} instead of {wanted}");
        };
        check(0, 0, 1.0);
        check(1, 1, 1.0);
        check(0, 5, 2.0 / 32.0);
        check(2, 8, 2.0 * (1.0 + 10.0 + 45.0) / 1024.0);
        check(8, 2, 2.0 * (1.0 + 10.0 + 45.0) / 1024.0);
        assert!(mcnemar_exact(10_000, 10_100) > 0.4);
        assert!(mcnemar_exact(40, 2) < 1e-9);
    }

    #[test]
    fn wilson_agrees_with_published_values() {
        let (low, high) = wilson(81, 263);
        assert!((low - 0.255_3).abs() < 1e-3 && (high - 0.366_2).abs() < 1e-3, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
        assert!(wilson(10, 10).0 > 0.7 && wilson(10, 10).1 <= 1.0);
    }

    #[test]
    fn percentiles_take_the_nearest_rank() {
        let durations: Vec<_> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!(percentile(&durations, 0.95), Duration::from_millis(19));
        assert_eq!(percentile(&durations, 1.0), Duration::from_millis(20));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }
}
