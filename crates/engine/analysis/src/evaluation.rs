//! What predictions on a held-out split show.

use std::time::Duration;

use crate::statistics::{mcnemar_exact, percentile, wilson};

/// Confidence is compared with accuracy in so many bins.
const BINS: usize = 15;

/// The candidate against what is in production, on the same photos.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// Production's accuracy.
    pub accuracy: f64,
    /// Photos that only production got right.
    pub lost: u64,
    /// Photos that only the candidate got right.
    pub won: u64,
    /// McNemar's exact two-sided p-value.
    pub p_value: f64,
}

/// The figures of one model on a held-out split.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Photos judged.
    pub photos: u64,
    /// Photos classified rightly.
    pub right: u64,
    /// Rows: true class; columns: predicted class.
    pub confusion: Vec<Vec<u64>>,
    /// Expected calibration error, 15 equal bins.
    pub calibration_error: f64,
    /// Mean negative log likelihood.
    pub negative_log_likelihood: f64,
    /// Mean Brier score over classes.
    pub brier: f64,
    /// Median time of one prediction.
    pub latency_median: Duration,
    /// 95th percentile of the time of one prediction.
    pub latency_p95: Duration,
    /// Beside production, if a version is there.
    pub paired: Option<Paired>,
}

impl Evaluation {
    /// Judges probabilities (one row for each label) and, if there is one, production's on the same photos.
    pub fn new(
        labels: &[usize],
        probabilities: &[Vec<f64>],
        production: Option<&[Vec<f64>]>,
        latencies: &[Duration],
    ) -> Evaluation {
        let classes = probabilities.first().map_or(0, Vec::len);
        let mut confusion = vec![vec![0u64; classes]; classes];
        let (mut log_loss, mut brier) = (0.0, 0.0);
        for (label, row) in labels.iter().zip(probabilities) {
            if let Some(cell) = confusion.get_mut(*label).and_then(|row_of| row_of.get_mut(top(row))) {
                *cell += 1;
            }
            log_loss -= row.get(*label).copied().unwrap_or(0.0).max(1e-12).ln();
            brier += row
                .iter()
                .enumerate()
                .map(|(class, p)| (p - f64::from(u8::from(class == *label))).powi(2))
                .sum::<f64>();
        }
        let photos = labels.len().min(probabilities.len());
        let n = photos.max(1) as f64;
        let right = correct(labels, probabilities).iter().filter(|right| **right).count() as u64;
        Evaluation {
            photos: photos as u64,
            right,
            confusion,
            calibration_error: calibration_error(labels, probabilities),
            negative_log_likelihood: log_loss / n,
            brier: brier / n,
            latency_median: percentile(latencies, 0.5),
            latency_p95: percentile(latencies, 0.95),
            paired: production.map(|production| paired(labels, probabilities, production)),
        }
    }

    /// Share of photos classified rightly.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.photos.max(1) as f64
    }

    /// Share of each class's photos that were found; nothing for a class without photos.
    pub fn recalls(&self) -> Vec<Option<f64>> {
        let recall = |(class, row): (usize, &Vec<u64>)| {
            let all: u64 = row.iter().sum();
            (all > 0).then(|| row[class] as f64 / all as f64)
        };
        self.confusion.iter().enumerate().map(recall).collect()
    }

    /// Names and values, as they are kept with the run.
    pub fn figures(&self) -> Vec<(String, f64)> {
        let (low, high) = wilson(self.right, self.photos);
        let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
        let mut figures = vec![
            ("test_accuracy".to_owned(), self.accuracy()),
            ("test_accuracy_low".to_owned(), low),
            ("test_accuracy_high".to_owned(), high),
            ("test_calibration_error".to_owned(), self.calibration_error),
            ("test_negative_log_likelihood".to_owned(), self.negative_log_likelihood),
            ("test_brier".to_owned(), self.brier),
            ("latency_median_ms".to_owned(), millis(self.latency_median)),
            ("latency_p95_ms".to_owned(), millis(self.latency_p95)),
        ];
        for (class, recall) in self.recalls().into_iter().enumerate() {
            figures.extend(recall.map(|recall| (format!("test_recall_class_{class:02}"), recall)));
        }
        if let Some(paired) = &self.paired {
            figures.push(("production_accuracy".to_owned(), paired.accuracy));
            figures.push(("mcnemar_lost".to_owned(), paired.lost as f64));
            figures.push(("mcnemar_won".to_owned(), paired.won as f64));
            figures.push(("mcnemar_p_value".to_owned(), paired.p_value));
        }
        figures
    }

    /// The confusion matrix for people: a row for each true class.
    pub fn confusion_table(&self, classes: &[&str]) -> String {
        let mut text = String::from("confusion (rows: true class, columns: predicted class)\n");
        for (class, row) in self.confusion.iter().enumerate() {
            let cells: String = row.iter().map(|count| format!("{count:>5}")).collect();
            text.push_str(&format!("{:>16} {cells}\n", classes.get(class).copied().unwrap_or("?")));
        }
        text
    }
}

/// The class with the highest probability; the first one of equals.
fn top(row: &[f64]) -> usize {
    let mut best = 0;
    for (class, p) in row.iter().enumerate() {
        if *p > row[best] {
            best = class;
        }
    }
    best
}

fn correct(labels: &[usize], probabilities: &[Vec<f64>]) -> Vec<bool> {
    labels.iter().zip(probabilities).map(|(label, row)| top(row) == *label).collect()
}

fn calibration_error(labels: &[usize], probabilities: &[Vec<f64>]) -> f64 {
    let mut bins = [(0.0f64, 0.0f64, 0u64); BINS];
    for (right, row) in correct(labels, probabilities).into_iter().zip(probabilities) {
        let confidence = row.get(top(row)).copied().unwrap_or(0.0);
        let bin = ((confidence * BINS as f64) as usize).min(BINS - 1);
        bins[bin].0 += confidence;
        bins[bin].1 += f64::from(u8::from(right));
        bins[bin].2 += 1;
    }
    let all: u64 = bins.iter().map(|bin| bin.2).sum();
    bins.iter().map(|(confidence, right, _)| (confidence - right).abs()).sum::<f64>() / all.max(1) as f64
}

fn paired(labels: &[usize], candidate: &[Vec<f64>], production: &[Vec<f64>]) -> Paired {
    let (ours, theirs) = (correct(labels, candidate), correct(labels, production));
    let lost = ours.iter().zip(&theirs).filter(|(ours, theirs)| !**ours && **theirs).count() as u64;
    let won = ours.iter().zip(&theirs).filter(|(ours, theirs)| **ours && !**theirs).count() as u64;
    let right = theirs.iter().filter(|right| **right).count();
    Paired {
        accuracy: right as f64 / theirs.len().max(1) as f64,
        lost,
        won,
        p_value: mcnemar_exact(lost, won),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_from_the_predictions() {
        let labels = [0, 0, 1, 1];
        let candidate = vec![vec![0.9, 0.1], vec![0.4, 0.6], vec![0.2, 0.8], vec![0.1, 0.9]];
        let production = vec![vec![0.9, 0.1], vec![0.9, 0.1], vec![0.9, 0.1], vec![0.9, 0.1]];
        let evaluation = Evaluation::new(&labels, &candidate, Some(&production), &[Duration::from_millis(4)]);
        assert_eq!((evaluation.photos, evaluation.right), (4, 3));
        assert_eq!(evaluation.confusion, [[1, 1], [0, 2]]);
        assert_eq!(evaluation.recalls(), [Some(0.5), Some(1.0)]);
        let paired = evaluation.paired.expect("it was compared");
        assert_eq!((paired.lost, paired.won, paired.accuracy), (1, 2, 0.5));
        // Each prediction is alone in its bin but for the two of 0.9.
        let wanted = (0.6 + (0.8f64 - 1.0).abs() + (1.8f64 - 2.0).abs()) / 4.0;
        assert!((evaluation.calibration_error - wanted).abs() < 1e-9, "{}", evaluation.calibration_error);
    }
}
