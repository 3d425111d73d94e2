//! Metrics of predictions whose true class is known.

use serde::{Deserialize, Serialize};

/// Bins of the expected calibration error, as in Guo et al., "On Calibration of Modern Neural Networks", 2017.
const BINS: usize = 15;
/// Two-sided 95% of a normal distribution.
const Z95: f64 = 1.959_963_984_540_054;
/// Lowest probability whose logarithm is taken.
const LOWEST: f64 = 1e-12;

/// One prediction and the truth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Index of the true class.
    pub label: usize,
    /// One probability for each class.
    pub probabilities: Vec<f32>,
}

impl Outcome {
    /// Index of the likeliest class, the first one if several are.
    pub fn predicted(&self) -> usize {
        let mut best = 0;
        for (class, probability) in self.probabilities.iter().enumerate() {
            if *probability > self.probabilities[best] {
                best = class;
            }
        }
        best
    }

    /// Whether the likeliest class is the true one.
    pub fn is_correct(&self) -> bool {
        self.predicted() == self.label
    }
}

/// Why no metrics can be computed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// Nothing was predicted.
    #[error("there are no predictions to measure")]
    Empty,
    /// A prediction does not fit the classes.
    #[error("prediction {0} has a label or probabilities that do not fit the classes")]
    Outcome(usize),
}

/// Metrics of a model on a split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    /// Predictions.
    pub examples: u64,
    /// Predictions whose likeliest class is the true one.
    pub correct: u64,
    /// Their share.
    pub accuracy: f64,
    /// Wilson's 95% interval of the accuracy.
    pub accuracy_interval: (f64, f64),
    /// For each class the share found; `None` for a class without examples.
    pub class_recall: Vec<Option<f64>>,
    /// `confusion[true][predicted]`.
    pub confusion: Vec<Vec<u64>>,
    /// Expected calibration error, 15 bins of equal width.
    pub calibration_error: f64,
    /// Mean negative logarithm of the true class's probability.
    pub log_loss: f64,
    /// Mean squared distance of the probabilities from the truth, 0 to 2.
    pub brier: f64,
}

impl Metrics {
    /// The class with the lowest recall, and that recall.
    pub fn weakest_class(&self) -> Option<(usize, f64)> {
        let known =
            self.class_recall.iter().enumerate().filter_map(|(class, recall)| Some((class, (*recall)?)));
        known.min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Name and value of each figure, as a tracking server keeps them; `classes` names the recalls.
    pub fn named(&self, classes: &[&str]) -> Vec<(String, f64)> {
        let mut named = vec![
            ("accuracy".to_owned(), self.accuracy),
            ("calibration_error".to_owned(), self.calibration_error),
            ("log_loss".to_owned(), self.log_loss),
            ("brier".to_owned(), self.brier),
        ];
        if let Some((_, recall)) = self.weakest_class() {
            named.push(("min_class_recall".to_owned(), recall));
        }
        for (class, recall) in classes.iter().zip(&self.class_recall) {
            if let Some(recall) = recall {
                named.push((format!("recall/{}", class.replace([' ', '/'], "_")), *recall));
            }
        }
        named
    }
}

/// Measures predictions over `classes` classes.
///
/// # Errors
/// [`MetricsError`], if there are none or one does not fit (wrong number of probabilities, not finite, label too high).
pub fn measure(outcomes: &[Outcome], classes: usize) -> Result<Metrics, MetricsError> {
    if outcomes.is_empty() {
        return Err(MetricsError::Empty);
    }
    if let Some(bad) = outcomes.iter().position(|outcome| !fits(outcome, classes)) {
        return Err(MetricsError::Outcome(bad));
    }
    let mut confusion = vec![vec![0u64; classes]; classes];
    let (mut log_loss, mut brier) = (0.0, 0.0);
    for outcome in outcomes {
        confusion[outcome.label][outcome.predicted()] += 1;
        log_loss -= f64::from(outcome.probabilities[outcome.label]).max(LOWEST).ln();
        brier += distance(outcome);
    }
    let (examples, total) = (outcomes.len() as u64, outcomes.len() as f64);
    let correct = (0..classes).map(|class| confusion[class][class]).sum();
    Ok(Metrics {
        examples,
        correct,
        accuracy: correct as f64 / total,
        accuracy_interval: wilson(correct, examples),
        class_recall: confusion.iter().enumerate().map(|(class, row)| recall(class, row)).collect(),
        confusion,
        calibration_error: calibration_error(outcomes),
        log_loss: log_loss / total,
        brier: brier / total,
    })
}

fn fits(outcome: &Outcome, classes: usize) -> bool {
    outcome.label < classes
        && outcome.probabilities.len() == classes
        && outcome.probabilities.iter().all(|p| (-1e-4..=1.0 + 1e-4).contains(p))
}

fn distance(outcome: &Outcome) -> f64 {
    let truth = |class| if class == outcome.label { 1.0 } else { 0.0 };
    outcome.probabilities.iter().enumerate().map(|(class, p)| (f64::from(*p) - truth(class)).powi(2)).sum()
}

fn recall(class: usize, row: &[u64]) -> Option<f64> {
    let total: u64 = row.iter().sum();
    (total > 0).then(|| row[class] as f64 / total as f64)
}

/// Mean distance of confidence and accuracy over bins of confidence, weighted by their size.
fn calibration_error(outcomes: &[Outcome]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64); BINS];
    for outcome in outcomes {
        let confidence = f64::from(outcome.probabilities[outcome.predicted()]);
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += confidence;
        bins[bin].1 += if outcome.is_correct() { 1.0 } else { 0.0 };
    }
    bins.iter().map(|(confidence, correct)| (confidence - correct).abs()).sum::<f64>() / outcomes.len() as f64
}

/// Wilson's 95% interval of a share; the whole range without trials.
pub fn wilson(successes: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (n, share) = (trials as f64, successes.min(trials) as f64 / trials as f64);
    let z2 = Z95 * Z95;
    let centre = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z95 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(label: usize, probabilities: &[f32]) -> Outcome {
        Outcome { label, probabilities: probabilities.to_vec() }
    }

    #[test]
    fn figures_agree_with_a_sheet_of_paper() {
        let metrics = measure(
            &[
                outcome(0, &[0.9, 0.1]),
                outcome(0, &[0.4, 0.6]),
                outcome(1, &[0.2, 0.8]),
                outcome(1, &[0.0, 1.0]),
            ],
            2,
        )
        .unwrap();
        assert_eq!((metrics.correct, metrics.examples, metrics.accuracy), (3, 4, 0.75));
        assert_eq!(metrics.confusion, [[1, 1], [0, 2]]);
        assert_eq!(metrics.class_recall, [Some(0.5), Some(1.0)]);
        assert_eq!(metrics.weakest_class(), Some((0, 0.5)));
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        near(metrics.brier, (2.0 * (0.01 + 0.36 + 0.04) + 0.0) / 4.0);
        near(metrics.log_loss, -(0.9f64.ln() + 0.4f64.ln() + 0.8f64.ln()) / 4.0);
        near(metrics.calibration_error, (0.1 + 0.6 + 0.2 + 0.0) / 4.0);
    }

    #[test]
    fn nothing_and_nonsense_are_errors() {
        assert_eq!(measure(&[], 2), Err(MetricsError::Empty));
        for bad in [outcome(2, &[0.5, 0.5]), outcome(0, &[1.0]), outcome(0, &[f32::NAN, 1.0])] {
            assert_eq!(measure(&[outcome(0, &[1.0, 0.0]), bad], 2), Err(MetricsError::Outcome(1)));
        }
    }

    #[test]
    fn wilsons_interval_is_the_published_one() {
        // Newcombe 1998, table I: 81 of 263 and 0 of 20.
        let (low, high) = wilson(81, 263);
        assert!((low - 0.2553).abs() < 5e-5 && (high - 0.3662).abs() < 5e-5, "{low} {high}");
        let (low, high) = wilson(0, 20);
        assert!(low == 0.0 && (high - 0.1611).abs() < 5e-5, "{low} {high}");
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_share(trials in 1u64..5000, part in 0.0f64..=1.0) {
            let successes = (trials as f64 * part) as u64;
            let (low, high) = wilson(successes, trials);
            let share = successes as f64 / trials as f64;
            prop_assert!(0.0 <= low && low <= share + 1e-12 && share <= high + 1e-12 && high <= 1.0);
        }
    }
}
