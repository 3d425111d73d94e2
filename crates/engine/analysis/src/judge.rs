//! Verdicts: figures against limits, with a sentence that says why.

use galley_release_types::{CanaryGates, EvaluationGates, Gate, LoadGates, Verdict};
use serde_json::{Map, Value, json};

use crate::latency::Latency;
use crate::metrics::{Metrics, wilson};
use crate::paired::Paired;

/// One request of a load test or of the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// From sending to the last byte of the answer, milliseconds.
    pub millis: f64,
    /// It was answered, well, and with what the contract promises.
    pub ok: bool,
}

/// How often canary and production named the same class for the same photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Same class.
    pub same: u64,
    /// Photos that both answered.
    pub compared: u64,
}

/// One statement of a verdict.
struct Check {
    verdict: Verdict,
    text: String,
}

impl Check {
    fn new(passed: bool, text: String) -> Self {
        Check { verdict: if passed { Verdict::Pass } else { Verdict::Fail }, text }
    }

    fn open(text: String) -> Self {
        Check { verdict: Verdict::Inconclusive, text }
    }
}

/// Judges a candidate on the test split. `classes` names the recalls; `latency` is of one prediction; `production` is
/// the comparison on the same photos, if a version runs there.
pub fn judge_evaluation(
    metrics: &Metrics,
    classes: &[&str],
    latency: Option<&Latency>,
    production: Option<&Paired>,
    gates: &EvaluationGates,
    at: &str,
) -> Gate {
    let mut checks = vec![Check::new(
        metrics.accuracy >= gates.min_accuracy,
        format!(
            "accuracy {:.3} ({} of {}) is {} {}",
            metrics.accuracy,
            metrics.correct,
            metrics.examples,
            at_least(metrics.accuracy >= gates.min_accuracy),
            short(gates.min_accuracy)
        ),
    )];
    checks.push(weakest(metrics, classes, gates.min_class_recall));
    let calibrated = metrics.calibration_error <= gates.max_calibration_error;
    checks.push(Check::new(
        calibrated,
        format!(
            "calibration error {:.3} is {} {}",
            metrics.calibration_error,
            at_most(calibrated),
            short(gates.max_calibration_error)
        ),
    ));
    checks.push(percentile("prediction time", latency, gates.max_latency_ms));
    if let Some(paired) = production {
        checks.push(against_production(paired, gates));
    }
    gate("evaluation", checks, evaluation_evidence(metrics, classes, latency, production), at)
}

/// Judges a load test. Fewer requests than asked for, all of them well, are not enough to pass.
pub fn judge_load(samples: &[Sample], gates: &LoadGates, at: &str) -> Gate {
    let answered = samples.iter().filter(|sample| sample.ok).count() as u64;
    let total = samples.len() as u64;
    let latency = Latency::of(&times(samples));
    let mut checks = enough(total, gates.requests);
    if total > 0 {
        let rate = answered as f64 / total as f64;
        let passed = rate >= gates.min_success_rate;
        checks.push(Check::new(
            passed,
            format!(
                "{answered} of {total} requests were answered well, a share of {rate:.3}, {} {}",
                at_least(passed),
                short(gates.min_success_rate)
            ),
        ));
        checks.push(percentile("response time", latency.as_ref(), gates.max_p95_ms));
    }
    gate("staging-load", checks, request_evidence(total, answered, latency.as_ref()), at)
}

/// Judges the canary. `agreement` is absent for a first version, when production runs nothing to compare with.
pub fn judge_canary(samples: &[Sample], agreement: Option<Agreement>, gates: &CanaryGates, at: &str) -> Gate {
    let answered = samples.iter().filter(|sample| sample.ok).count() as u64;
    let total = samples.len() as u64;
    let latency = Latency::of(&times(samples));
    let mut evidence = request_evidence(total, answered, latency.as_ref());
    let mut checks = enough(total, gates.requests);
    if total > 0 {
        let failed = total - answered;
        let rate = failed as f64 / total as f64;
        let passed = rate <= gates.max_error_rate;
        checks.push(Check::new(
            passed,
            format!(
                "{failed} of {total} requests failed, a share of {rate:.3}, {} {}",
                at_most(passed),
                short(gates.max_error_rate)
            ),
        ));
        checks.push(percentile("response time", latency.as_ref(), gates.max_p95_ms));
    }
    if let Some(agreement) = agreement {
        evidence.insert("agreed".into(), agreement.same.into());
        evidence.insert("compared".into(), agreement.compared.into());
        checks.push(agreed(agreement, gates));
    }
    gate("canary", checks, evidence, at)
}

fn weakest(metrics: &Metrics, classes: &[&str], limit: f64) -> Check {
    let Some((class, recall)) = metrics.weakest_class() else {
        return Check::open("no class has examples".into());
    };
    let name = classes.get(class).copied().unwrap_or("an unnamed class");
    let passed = recall >= limit;
    Check::new(
        passed,
        format!("lowest recall of a class {recall:.3} ({name}) is {} {}", at_least(passed), short(limit)),
    )
}

fn percentile(what: &str, latency: Option<&Latency>, limit: f64) -> Check {
    let Some(latency) = latency else {
        return Check::open(format!("no {what} was measured"));
    };
    let passed = latency.p95_ms <= limit;
    Check::new(
        passed,
        format!(
            "95th percentile of the {what} {} ms is {} {} ms",
            millis(latency.p95_ms),
            at_most(passed),
            short(limit)
        ),
    )
}

fn against_production(paired: &Paired, gates: &EvaluationGates) -> Check {
    let (drop, p) = (paired.accuracy_drop(), paired.mcnemar());
    let beyond = drop > gates.max_accuracy_drop;
    let worse = beyond && p < gates.significance;
    let counts = format!(
        "on the same {} photos as production it gains {} and loses {}",
        paired.photos(),
        paired.gained,
        paired.lost
    );
    let verdict = match (beyond, worse) {
        (false, _) => format!("a loss of {} at most", short(gates.max_accuracy_drop)),
        (true, false) => {
            format!("a loss above {} that may be chance (McNemar p = {p:.3})", short(gates.max_accuracy_drop))
        }
        (true, true) => {
            format!("a loss above {} that is not chance (McNemar p = {p:.3})", short(gates.max_accuracy_drop))
        }
    };
    Check::new(!worse, format!("{counts}, {verdict}"))
}

fn agreed(agreement: Agreement, gates: &CanaryGates) -> Check {
    let Agreement { same, compared } = agreement;
    let share = same as f64 / compared.max(1) as f64;
    let passed = share >= gates.min_agreement;
    // Half of the photos is the least from which a share is read.
    if compared == 0 || compared < u64::from(gates.requests).div_ceil(2) {
        return Check::open(format!("only {compared} photos were answered by canary and production both"));
    }
    Check::new(
        passed,
        format!(
            "canary and production agree on {same} of {compared} photos, a share of {share:.3}, {} {}",
            at_least(passed),
            short(gates.min_agreement)
        ),
    )
}

/// An open statement if there were fewer requests than asked for.
fn enough(total: u64, wanted: u32) -> Vec<Check> {
    if total >= u64::from(wanted.max(1)) {
        return Vec::new();
    }
    vec![Check::open(format!("only {total} of {wanted} requests were made"))]
}

/// The worst verdict wins, and its statements come first.
fn gate(name: &str, checks: Vec<Check>, evidence: Map<String, Value>, at: &str) -> Gate {
    let has = |verdict| checks.iter().any(|check| check.verdict == verdict);
    let verdict = if has(Verdict::Fail) {
        Verdict::Fail
    } else if has(Verdict::Inconclusive) || checks.is_empty() {
        Verdict::Inconclusive
    } else {
        Verdict::Pass
    };
    let of = |wanted: bool| checks.iter().filter(move |c| (c.verdict == verdict) == wanted).map(|c| &*c.text);
    let statements: Vec<&str> = of(true).chain(of(false)).collect();
    let mut reason = statements.join("; ");
    if let Some(first) = reason.get(..1).map(str::to_uppercase) {
        reason.replace_range(..1, &first);
    }
    reason.push('.');
    Gate { name: name.to_owned(), verdict, reason, evidence, at: at.to_owned() }
}

fn evaluation_evidence(
    metrics: &Metrics,
    classes: &[&str],
    latency: Option<&Latency>,
    production: Option<&Paired>,
) -> Map<String, Value> {
    let (low, high) = metrics.accuracy_interval;
    let recalls: Map<String, Value> = classes
        .iter()
        .zip(&metrics.class_recall)
        .map(|(class, recall)| ((*class).to_owned(), recall.map_or(Value::Null, |r| rounded(r, 4))))
        .collect();
    let mut evidence = Map::from_iter([
        ("examples".to_owned(), json!(metrics.examples)),
        ("correct".to_owned(), json!(metrics.correct)),
        ("accuracy".to_owned(), rounded(metrics.accuracy, 4)),
        ("accuracyInterval95".to_owned(), json!([rounded(low, 4), rounded(high, 4)])),
        ("calibrationError".to_owned(), rounded(metrics.calibration_error, 4)),
        ("logLoss".to_owned(), rounded(metrics.log_loss, 4)),
        ("brier".to_owned(), rounded(metrics.brier, 4)),
        ("recall".to_owned(), Value::Object(recalls)),
    ]);
    if let Some(latency) = latency {
        evidence.insert("p95Ms".into(), rounded(latency.p95_ms, 2));
    }
    if let Some(paired) = production {
        evidence.insert("gained".into(), paired.gained.into());
        evidence.insert("lost".into(), paired.lost.into());
        evidence.insert("mcnemarP".into(), rounded(paired.mcnemar(), 6));
    }
    evidence
}

fn request_evidence(total: u64, answered: u64, latency: Option<&Latency>) -> Map<String, Value> {
    let (low, high) = wilson(answered, total);
    let mut evidence = Map::from_iter([
        ("requests".to_owned(), json!(total)),
        ("answered".to_owned(), json!(answered)),
        ("successInterval95".to_owned(), json!([rounded(low, 4), rounded(high, 4)])),
    ]);
    if let Some(latency) = latency {
        for (name, value) in [
            ("p50Ms", latency.p50_ms),
            ("p95Ms", latency.p95_ms),
            ("p99Ms", latency.p99_ms),
            ("maxMs", latency.max_ms),
        ] {
            evidence.insert(name.into(), rounded(value, 2));
        }
    }
    evidence
}

fn times(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.millis).collect()
}

fn at_least(passed: bool) -> &'static str {
    if passed { "at least" } else { "below" }
}

fn at_most(passed: bool) -> &'static str {
    if passed { "at most" } else { "above" }
}

/// A limit as a person wrote it.
fn short(value: f64) -> String {
    format!("{value}")
}

fn millis(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// A number with few digits, for reading; `null` if it is not finite.
fn rounded(value: f64, digits: i32) -> Value {
    let scale = 10f64.powi(digits);
    json!((value * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Outcome, measure};

    const CLASSES: [&str; 2] = ["Bread", "Soup"];
    const AT: &str = "2026-11-23T19:14:00Z";

    fn metrics(right: usize, wrong: usize) -> Metrics {
        let outcome = |label: usize, right: bool| {
            let sure = if (label == 0) == right { vec![0.9, 0.1] } else { vec![0.1, 0.9] };
            Outcome { label, probabilities: sure }
        };
        let outcomes: Vec<Outcome> = (0..right)
            .map(|i| outcome(i % 2, true))
            .chain((0..wrong).map(|i| outcome(i % 2, false)))
            .collect();
        measure(&outcomes, 2).unwrap()
    }

    fn latency() -> Latency {
        Latency::of(&[20.0, 24.0]).unwrap()
    }

    #[test]
    fn a_good_candidate_passes_and_says_why() {
        let gate = judge_evaluation(
            &metrics(90, 10),
            &CLASSES,
            Some(&latency()),
            Some(&Paired { both: 80, gained: 10, lost: 5, neither: 5 }),
            &EvaluationGates::default(),
            AT,
        );
        assert_eq!(gate.verdict, Verdict::Pass);
        assert_eq!(
            gate.reason,
            "Accuracy 0.900 (90 of 100) is at least 0.75; lowest recall of a class 0.900 (Bread) is at least 0.4; \
             calibration error 0.000 is at most 0.15; 95th percentile of the prediction time 24 ms is at most 500 ms; \
             on the same 100 photos as production it gains 10 and loses 5, a loss of 0.02 at most."
        );
        assert_eq!(gate.evidence["accuracy"], 0.9);
        assert_eq!(gate.evidence["recall"]["Soup"], 0.9);
        assert_eq!((gate.name.as_str(), gate.at.as_str()), ("evaluation", AT));
    }

    #[test]
    fn a_bad_candidate_fails_and_the_failure_comes_first() {
        let gates = EvaluationGates { max_calibration_error: 1.0, ..EvaluationGates::default() };
        let gate = judge_evaluation(&metrics(60, 40), &CLASSES, Some(&latency()), None, &gates, AT);
        assert_eq!(gate.verdict, Verdict::Fail);
        assert!(
            gate.reason.starts_with("Accuracy 0.600 (60 of 100) is below 0.75; lowest"),
            "{}",
            gate.reason
        );
    }

    #[test]
    fn worse_than_production_needs_size_and_significance() {
        let judge = |gained, lost| {
            let paired = Paired { both: 100 - gained - lost, gained, lost, neither: 0 };
            let gates = EvaluationGates::default();
            judge_evaluation(&metrics(90, 10), &CLASSES, Some(&latency()), Some(&paired), &gates, AT)
        };
        assert_eq!(judge(0, 10).verdict, Verdict::Fail);
        assert!(judge(0, 10).reason.contains("that is not chance (McNemar p = 0.002)"));
        assert_eq!(judge(2, 5).verdict, Verdict::Pass);
        assert!(judge(2, 5).reason.contains("that may be chance"));
    }

    #[test]
    fn what_was_not_measured_is_inconclusive() {
        let gate = judge_evaluation(&metrics(9, 1), &CLASSES, None, None, &EvaluationGates::default(), AT);
        assert_eq!(gate.verdict, Verdict::Inconclusive);
        assert!(gate.reason.starts_with("No prediction time was measured; accuracy"), "{}", gate.reason);
    }

    fn samples(ok: usize, failed: usize, millis: f64) -> Vec<Sample> {
        let mut samples = vec![Sample { millis, ok: true }; ok];
        samples.extend(vec![Sample { millis, ok: false }; failed]);
        samples
    }

    #[test]
    fn load_is_judged_by_success_time_and_number() {
        let gates = LoadGates::default();
        let judge = |ok, failed, millis| judge_load(&samples(ok, failed, millis), &gates, AT).verdict;
        assert_eq!(judge(96, 4, 30.0), Verdict::Pass);
        assert_eq!(judge(94, 6, 30.0), Verdict::Fail);
        assert_eq!(judge(100, 0, 2001.0), Verdict::Fail);
        assert_eq!(judge(99, 0, 30.0), Verdict::Inconclusive);
        assert_eq!(judge(10, 10, 30.0), Verdict::Fail);
        assert_eq!(judge(0, 0, 0.0), Verdict::Inconclusive);
        assert_eq!(judge(100, 0, f64::NAN), Verdict::Inconclusive);
        let gate = judge_load(&samples(100, 0, 30.0), &gates, AT);
        assert_eq!(
            gate.reason,
            "100 of 100 requests were answered well, a share of 1.000, at least 0.95; \
             95th percentile of the response time 30 ms is at most 2000 ms."
        );
    }

    #[test]
    fn canary_asks_for_agreement_where_production_runs() {
        let gates = CanaryGates::default();
        let judge = |agreement| judge_canary(&samples(60, 0, 30.0), agreement, &gates, AT);
        assert_eq!(judge(None).verdict, Verdict::Pass);
        assert_eq!(judge(Some(Agreement { same: 50, compared: 60 })).verdict, Verdict::Pass);
        assert_eq!(judge(Some(Agreement { same: 30, compared: 60 })).verdict, Verdict::Fail);
        assert_eq!(judge(Some(Agreement { same: 20, compared: 20 })).verdict, Verdict::Inconclusive);
        assert_eq!(judge_canary(&samples(59, 1, 30.0), None, &gates, AT).verdict, Verdict::Fail);
        assert_eq!(judge_canary(&samples(5, 0, 30.0), None, &gates, AT).verdict, Verdict::Inconclusive);
    }
}
