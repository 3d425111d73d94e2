//! Times of requests and predictions.

use serde::{Deserialize, Serialize};

/// Times summed up, in milliseconds. Percentiles are nearest-rank: a time that was really measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// Measurements.
    pub count: u64,
    /// Mean.
    pub mean_ms: f64,
    /// Half were at most this.
    pub p50_ms: f64,
    /// 95 of 100 were at most this.
    pub p95_ms: f64,
    /// 99 of 100 were at most this.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

impl Latency {
    /// Sums up times in milliseconds; `None` without any, or if one is not a finite number.
    pub fn of(times_ms: &[f64]) -> Option<Latency> {
        if times_ms.is_empty() || times_ms.iter().any(|time| !time.is_finite()) {
            return None;
        }
        let mut sorted = times_ms.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Latency {
            count: sorted.len() as u64,
            mean_ms: sorted.iter().sum::<f64>() / sorted.len() as f64,
            p50_ms: percentile(&sorted, 50),
            p95_ms: percentile(&sorted, 95),
            p99_ms: percentile(&sorted, 99),
            max_ms: percentile(&sorted, 100),
        })
    }
}

/// Nearest-rank percentile of sorted times.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let times: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let latency = Latency::of(&times).unwrap();
        assert_eq!(
            (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms),
            (50.0, 95.0, 99.0, 100.0)
        );
        assert_eq!(latency.mean_ms, 50.5);
        assert_eq!(Latency::of(&[7.0]).unwrap().p95_ms, 7.0);
        assert_eq!(Latency::of(&[]), None);
        assert_eq!(Latency::of(&[1.0, f64::NAN]), None);
    }
}
