//! The gates: figures against limits, with a sentence for people.

use std::time::Duration;

use galley_release_types::{CanaryGates, EvaluationGates, Gate, LoadGates, Verdict};
use serde_json::{Map, Value, json};

use crate::{
    evaluation::Evaluation,
    statistics::{percentile, wilson},
};

/// One request of a load test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Whether it was answered well.
    pub ok: bool,
    /// How long it took.
    pub duration: Duration,
}

/// How often canary and production said the same of the same picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Pictures that both answered.
    pub compared: u32,
    /// Pictures on which they agreed.
    pub agreed: u32,
}

/// Collects what holds and what does not.
#[derive(Default)]
struct Case {
    holds: Vec<String>,
    broken: Vec<String>,
    evidence: Map<String, Value>,
}

impl Case {
    fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.evidence.insert(name.to_owned(), value.into());
    }

    fn demand(&mut self, holds: bool, positive: String, negative: String) {
        if holds { self.holds.push(positive) } else { self.broken.push(negative) }
    }

    fn gate(self, name: &str, at: &str) -> Gate {
        let (verdict, sentences) =
            if self.broken.is_empty() { (Verdict::Pass, self.holds) } else { (Verdict::Fail, self.broken) };
        let reason = format!("{}.", sentences.join("; "));
        Gate { name: name.to_owned(), verdict, reason, evidence: self.evidence, at: at.to_owned() }
    }
}

fn inconclusive(name: &str, reason: &str, at: &str) -> Gate {
    Gate {
        name: name.to_owned(),
        verdict: Verdict::Inconclusive,
        reason: reason.to_owned(),
        evidence: Map::new(),
        at: at.to_owned(),
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// Judges a candidate on the test split; the gate `evaluation`.
pub fn judge_evaluation(evaluation: &Evaluation, limits: &EvaluationGates, at: &str) -> Gate {
    if evaluation.photos == 0 {
        return inconclusive("evaluation", "There are no photos in the test split.", at);
    }
    let mut case = Case::default();
    for (name, value) in evaluation.figures() {
        case.figure(&name, value);
    }
    let accuracy = evaluation.accuracy();
    let (low, high) = wilson(evaluation.right, evaluation.photos);
    let counted = format!(
        "accuracy {accuracy:.3} ({} of {}, 95 % interval {low:.3} to {high:.3})",
        evaluation.right, evaluation.photos
    );
    case.demand(
        accuracy >= limits.min_accuracy,
        format!("{counted} is at least {}", limits.min_accuracy),
        format!("{counted} is below {}", limits.min_accuracy),
    );
    let worst = evaluation
        .recalls()
        .into_iter()
        .enumerate()
        .filter_map(|(class, recall)| recall.map(|recall| (class, recall)))
        .min_by(|a, b| a.1.total_cmp(&b.1));
    if let Some((class, recall)) = worst {
        case.demand(
            recall >= limits.min_class_recall,
            format!("lowest recall {recall:.3} (class {class}) is at least {}", limits.min_class_recall),
            format!("recall {recall:.3} of class {class} is below {}", limits.min_class_recall),
        );
    }
    let error = evaluation.calibration_error;
    case.demand(
        error <= limits.max_calibration_error,
        format!("calibration error {error:.3} is at most {}", limits.max_calibration_error),
        format!("calibration error {error:.3} is above {}", limits.max_calibration_error),
    );
    let latency = millis(evaluation.latency_p95);
    case.demand(
        latency <= limits.max_latency_ms,
        format!("95 % of predictions take at most {latency:.0} ms of {}", limits.max_latency_ms),
        format!("95 % of predictions take {latency:.0} ms, more than {}", limits.max_latency_ms),
    );
    beside_production(&mut case, evaluation, limits);
    case.gate("evaluation", at)
}

fn beside_production(case: &mut Case, evaluation: &Evaluation, limits: &EvaluationGates) {
    let Some(paired) = &evaluation.paired else {
        case.holds.push("nothing is in production to compare with".to_owned());
        return;
    };
    let drop = paired.accuracy - evaluation.accuracy();
    let worse = drop > limits.max_accuracy_drop && paired.p_value < limits.significance;
    let figures = format!(
        "production has {:.3} on the same photos ({} lost, {} won, p = {:.3})",
        paired.accuracy, paired.lost, paired.won, paired.p_value
    );
    case.demand(
        !worse,
        format!("not worse than production: {figures}"),
        format!("worse than production: {figures}"),
    );
}

/// Judges a load test; the gate `staging-load`.
pub fn judge_load(samples: &[Sample], limits: &LoadGates, at: &str) -> Gate {
    let name = "staging-load";
    if samples.is_empty() {
        return inconclusive(name, "No request was sent.", at);
    }
    let mut case = Case::default();
    let good = samples.iter().filter(|sample| sample.ok).count();
    let share = good as f64 / samples.len() as f64;
    demand_p95(&mut case, samples, limits.max_p95_ms);
    case.figure("requests", samples.len());
    case.figure("successRate", share);
    case.demand(
        share >= limits.min_success_rate,
        format!("{good} of {} requests were answered well", samples.len()),
        format!(
            "only {good} of {} requests were answered well ({share:.3}, at least {} is asked)",
            samples.len(),
            limits.min_success_rate
        ),
    );
    case.gate(name, at)
}

/// Judges canary beside production; the gate `canary`.
pub fn judge_canary(
    samples: &[Sample],
    agreement: Option<&Agreement>,
    limits: &CanaryGates,
    at: &str,
) -> Gate {
    let name = "canary";
    if samples.is_empty() {
        return inconclusive(name, "No request was sent.", at);
    }
    let mut case = Case::default();
    let bad = samples.iter().filter(|sample| !sample.ok).count();
    let rate = bad as f64 / samples.len() as f64;
    demand_p95(&mut case, samples, limits.max_p95_ms);
    case.figure("requests", samples.len());
    case.figure("errorRate", rate);
    case.demand(
        rate <= limits.max_error_rate,
        format!("{bad} of {} requests failed", samples.len()),
        format!(
            "{bad} of {} requests failed ({rate:.3}, at most {} is allowed)",
            samples.len(),
            limits.max_error_rate
        ),
    );
    match agreement {
        None => case.holds.push("nothing is in production to compare with".to_owned()),
        Some(Agreement { compared: 0, .. }) => {
            case.broken.push("no picture was answered by both canary and production".to_owned())
        }
        Some(agreement) => {
            let share = f64::from(agreement.agreed) / f64::from(agreement.compared);
            case.figure("agreement", json!(share));
            let counted =
                format!("agrees with production on {} of {} pictures", agreement.agreed, agreement.compared);
            case.demand(
                share >= limits.min_agreement,
                counted.clone(),
                format!("{counted} ({share:.3}, at least {} is asked)", limits.min_agreement),
            );
        }
    }
    case.gate(name, at)
}

fn demand_p95(case: &mut Case, samples: &[Sample], limit: f64) {
    let good: Vec<Duration> =
        samples.iter().filter(|sample| sample.ok).map(|sample| sample.duration).collect();
    let p95 = millis(percentile(&good, 0.95));
    case.figure("p95Ms", p95);
    case.demand(
        p95 <= limit,
        format!("95 % took at most {p95:.0} ms"),
        format!("95 % took up to {p95:.0} ms, more than {limit}"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(right: usize, all: usize, production_right: Option<usize>) -> Evaluation {
        let labels = vec![0; all];
        let rows = |right: usize| -> Vec<Vec<f64>> {
            (0..all).map(|i| if i < right { vec![0.9, 0.1] } else { vec![0.2, 0.8] }).collect()
        };
        let production = production_right.map(rows);
        Evaluation::new(&labels, &rows(right), production.as_deref(), &[Duration::from_millis(5)])
    }

    fn samples(good: usize, bad: usize, each: Duration) -> Vec<Sample> {
        (0..good + bad).map(|i| Sample { ok: i < good, duration: each }).collect()
    }

    #[test]
    fn a_candidate_that_learnt_nothing_fails() {
        let gate = judge_evaluation(&evaluation(30, 300, None), &EvaluationGates::default(), "t");
        assert_eq!(gate.verdict, Verdict::Fail);
        assert!(gate.reason.contains("accuracy 0.100"), "{}", gate.reason);
    }

    #[test]
    fn worse_than_production_needs_both_size_and_significance() {
        let limits = EvaluationGates { max_calibration_error: 1.0, ..EvaluationGates::default() };
        let verdict = |candidate, production| {
            judge_evaluation(&evaluation(candidate, 300, Some(production)), &limits, "t").verdict
        };
        assert_eq!(verdict(270, 272), Verdict::Pass);
        assert_eq!(verdict(250, 285), Verdict::Fail);
        assert_eq!(verdict(285, 250), Verdict::Pass);
    }

    #[test]
    fn load_and_canary_are_judged_by_their_limits() {
        let quick = Duration::from_millis(20);
        let load =
            |good, bad, each| judge_load(&samples(good, bad, each), &LoadGates::default(), "t").verdict;
        assert_eq!(load(100, 0, quick), Verdict::Pass);
        assert_eq!(load(90, 10, quick), Verdict::Fail);
        assert_eq!(load(100, 0, Duration::from_secs(3)), Verdict::Fail);
        assert_eq!(load(0, 0, quick), Verdict::Inconclusive);

        let canary = |agreement: Option<Agreement>| {
            judge_canary(&samples(60, 0, quick), agreement.as_ref(), &CanaryGates::default(), "t").verdict
        };
        assert_eq!(canary(None), Verdict::Pass);
        assert_eq!(canary(Some(Agreement { compared: 60, agreed: 60 })), Verdict::Pass);
        assert_eq!(canary(Some(Agreement { compared: 60, agreed: 20 })), Verdict::Fail);
        assert_eq!(canary(Some(Agreement { compared: 0, agreed: 0 })), Verdict::Fail);
    }
}
