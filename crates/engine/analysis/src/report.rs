//! Everything that a person wants to know about a classifier on a set of photos, as one value.
//!
//! [`Report::of`] computes what follows from the predictions alone; what was measured elsewhere (times, memory, the same
//! photos spoilt on purpose, another model on the same photos) is added by whoever measured it. The names in JSON are
//! those of MLflow metrics: lower case with underscores.

use serde::{Deserialize, Serialize};

use crate::latency::Latency;
use crate::metrics::{Metrics, MetricsError, Outcome, measure, wilson};
use crate::paired::Paired;

/// Bins of the reliability curve.
const BINS: usize = 15;

/// A model, judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The model, as its contract names it.
    pub model: String,
    /// The photos, in words.
    pub data: String,
    /// What computed the answers.
    pub runtime: String,
    /// Photos judged.
    pub examples: u64,
    /// Photos whose likeliest class is the true one.
    pub correct: u64,
    /// Their share.
    pub accuracy: f64,
    /// Wilson's 95% interval of it.
    pub accuracy_interval: (f64, f64),
    /// Share whose true class is among the two likeliest.
    pub top2_accuracy: f64,
    /// Share whose true class is among the three likeliest.
    pub top3_accuracy: f64,
    /// Mean of the classes' recall.
    pub balanced_accuracy: f64,
    /// Mean of the classes' F1.
    pub macro_f1: f64,
    /// Expected calibration error, 15 bins of equal width.
    pub ece: f64,
    /// Largest distance of confidence and accuracy in a bin with at least 20 photos.
    pub mce: f64,
    /// Mean negative logarithm of the true class's probability.
    pub log_loss: f64,
    /// Mean squared distance of the probabilities from the truth, 0 to 2.
    pub brier: f64,
    /// The classes, by index.
    pub per_class: Vec<ClassFigures>,
    /// `confusion[true][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    /// The reliability curve; bins without photos are left out.
    pub reliability: Vec<Bin>,
    /// Times of one photo on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency: Option<Times>,
    /// Most memory that the process had, MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
    /// The same photos, spoilt in some way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub robustness: Vec<Slice>,
    /// Another model on the same photos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired: Option<Comparison>,
    /// Files that could not be used, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// Its name.
    pub class: String,
    /// Photos of it.
    pub support: u64,
    /// Share of what was called so that is so; nothing if nothing was called so.
    pub precision: Option<f64>,
    /// Share of its photos that were found; nothing without photos.
    pub recall: Option<f64>,
    /// Wilson's 95% interval of the recall.
    pub recall_interval: (f64, f64),
    /// Harmonic mean of both.
    pub f1: Option<f64>,
}

/// Predictions of about the same confidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lowest confidence.
    pub low: f64,
    /// Highest confidence.
    pub high: f64,
    /// Photos.
    pub count: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

/// Times in milliseconds; percentiles are nearest-rank.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
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

impl From<Latency> for Times {
    fn from(latency: Latency) -> Self {
        let Latency { count, mean_ms, p50_ms, p95_ms, p99_ms, max_ms } = latency;
        Times { count, mean_ms, p50_ms, p95_ms, p99_ms, max_ms }
    }
}

/// The same photos, spoilt on purpose.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// How: `blur`, `low_light`, ...
    pub name: String,
    /// Photos.
    pub examples: u64,
    /// Share found.
    pub accuracy: f64,
    /// Wilson's 95% interval of it.
    pub accuracy_interval: (f64, f64),
    /// Accuracy lost beside the photos as they are.
    pub drop: f64,
}

/// Two models on the same photos.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The other model.
    pub against: String,
    /// Its accuracy.
    pub accuracy: f64,
    /// Both right.
    pub both: u64,
    /// Only this model right.
    pub gained: u64,
    /// Only the other one right.
    pub lost: u64,
    /// Both wrong.
    pub neither: u64,
    /// McNemar's exact test, two-sided.
    pub mcnemar_p: f64,
}

impl Report {
    /// What follows from predictions alone.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn of(
        model: &str,
        data: &str,
        classes: &[&str],
        outcomes: &[Outcome],
    ) -> Result<Report, MetricsError> {
        let metrics = measure(outcomes, classes.len())?;
        let per_class = per_class(classes, &metrics);
        let mean = |figure: fn(&ClassFigures) -> Option<f64>| {
            let known: Vec<f64> =
                per_class.iter().filter(|class| class.support > 0).filter_map(figure).collect();
            known.iter().sum::<f64>() / known.len().max(1) as f64
        };
        let reliability = reliability(outcomes);
        Ok(Report {
            model: model.to_owned(),
            data: data.to_owned(),
            runtime: String::new(),
            examples: metrics.examples,
            correct: metrics.correct,
            accuracy: metrics.accuracy,
            accuracy_interval: metrics.accuracy_interval,
            top2_accuracy: top(outcomes, 2),
            top3_accuracy: top(outcomes, 3),
            balanced_accuracy: mean(|class| class.recall),
            macro_f1: mean(|class| class.f1.or(Some(0.0))),
            ece: metrics.calibration_error,
            mce: reliability
                .iter()
                .filter(|bin| bin.count >= 20)
                .map(|bin| (bin.confidence - bin.accuracy).abs())
                .fold(0.0, f64::max),
            log_loss: metrics.log_loss,
            brier: metrics.brier,
            per_class,
            confusion: metrics.confusion,
            reliability,
            latency: None,
            peak_memory_mib: None,
            robustness: Vec::new(),
            paired: None,
            skipped: Vec::new(),
        })
    }

    /// Adds a slice: the same photos, spoilt.
    ///
    /// # Errors
    /// [`MetricsError`].
    pub fn spoilt(&mut self, name: &str, outcomes: &[Outcome]) -> Result<(), MetricsError> {
        let classes = self.per_class.len();
        let metrics = measure(outcomes, classes)?;
        self.robustness.push(Slice {
            name: name.to_owned(),
            examples: metrics.examples,
            accuracy: metrics.accuracy,
            accuracy_interval: metrics.accuracy_interval,
            drop: self.accuracy - metrics.accuracy,
        });
        Ok(())
    }

    /// Compares with another model's predictions of the same photos, in the same order.
    pub fn compare(&mut self, against: &str, own: &[Outcome], other: &[Outcome]) {
        let paired = Paired::of(own.iter().zip(other).map(|(a, b)| (a.is_correct(), b.is_correct())));
        self.paired = Some(Comparison {
            against: against.to_owned(),
            accuracy: (paired.both + paired.lost) as f64 / paired.photos().max(1) as f64,
            both: paired.both,
            gained: paired.gained,
            lost: paired.lost,
            neither: paired.neither,
            mcnemar_p: paired.mcnemar(),
        });
    }
}

fn per_class(classes: &[&str], metrics: &Metrics) -> Vec<ClassFigures> {
    let confusion = &metrics.confusion;
    let figures = classes.iter().enumerate().map(|(index, class)| {
        let support: u64 = confusion[index].iter().sum();
        let called: u64 = confusion.iter().map(|row| row[index]).sum();
        let found = confusion[index][index];
        let share = |whole: u64| (whole > 0).then(|| found as f64 / whole as f64);
        ClassFigures {
            class: (*class).to_owned(),
            support,
            precision: share(called),
            recall: share(support),
            recall_interval: wilson(found, support),
            f1: (support + called > 0).then(|| 2.0 * found as f64 / (support + called) as f64),
        }
    });
    figures.collect()
}

/// Share of photos whose true class is among the `best` likeliest.
fn top(outcomes: &[Outcome], best: usize) -> f64 {
    let found = outcomes.iter().filter(|outcome| {
        let own = outcome.probabilities[outcome.label];
        outcome.probabilities.iter().filter(|other| **other > own).count() < best
    });
    found.count() as f64 / outcomes.len().max(1) as f64
}

fn reliability(outcomes: &[Outcome]) -> Vec<Bin> {
    let mut bins = [(0u64, 0.0f64, 0u64); BINS];
    for outcome in outcomes {
        let confidence = f64::from(outcome.probabilities[outcome.predicted()]);
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += 1;
        bin.1 += confidence;
        bin.2 += u64::from(outcome.is_correct());
    }
    let of = |(index, (count, confidence, correct)): (usize, &(u64, f64, u64))| Bin {
        low: index as f64 / BINS as f64,
        high: (index + 1) as f64 / BINS as f64,
        count: *count,
        confidence: confidence / *count as f64,
        accuracy: *correct as f64 / *count as f64,
    };
    bins.iter().enumerate().filter(|(_, bin)| bin.0 > 0).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(label: usize, probabilities: [f32; 3]) -> Outcome {
        Outcome { label, probabilities: probabilities.to_vec() }
    }

    fn outcomes() -> Vec<Outcome> {
        vec![
            outcome(0, [0.7, 0.2, 0.1]),
            outcome(0, [0.3, 0.6, 0.1]),
            outcome(1, [0.1, 0.8, 0.1]),
            outcome(2, [0.5, 0.3, 0.2]),
        ]
    }

    #[test]
    fn figures_agree_with_a_sheet_of_paper() {
        let report = Report::of("m", "d", &["a", "b", "c"], &outcomes()).unwrap();
        assert_eq!((report.examples, report.correct, report.accuracy), (4, 2, 0.5));
        assert_eq!((report.top2_accuracy, report.top3_accuracy), (0.75, 1.0));
        let class = &report.per_class[1];
        assert_eq!((class.precision, class.recall, class.support), (Some(0.5), Some(1.0), 1));
        assert!((class.f1.unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(report.per_class[2].precision, None);
        assert_eq!(report.reliability.iter().map(|bin| bin.count).sum::<u64>(), 4);
        assert!((report.balanced_accuracy - 0.5).abs() < 1e-12);
        let weighted: f64 = report
            .reliability
            .iter()
            .map(|bin| bin.count as f64 / 4.0 * (bin.confidence - bin.accuracy).abs())
            .sum();
        assert!((weighted - report.ece).abs() < 1e-9);
    }

    #[test]
    fn slices_and_another_model_are_set_beside_it() {
        let mut report = Report::of("m", "d", &["a", "b", "c"], &outcomes()).unwrap();
        let mut worse = outcomes();
        worse[0].probabilities = vec![0.1, 0.8, 0.1];
        report.spoilt("blur", &worse).unwrap();
        assert_eq!((report.robustness[0].accuracy, report.robustness[0].drop), (0.25, 0.25));
        report.compare("old", &outcomes(), &worse);
        let paired = report.paired.clone().unwrap();
        assert_eq!((paired.both, paired.gained, paired.lost, paired.neither), (1, 1, 0, 2));
        assert_eq!(paired.accuracy, 0.25);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["accuracy_interval"].as_array().unwrap().len(), 2);
        assert_eq!(serde_json::from_value::<Report>(json).unwrap(), report);
    }
}
