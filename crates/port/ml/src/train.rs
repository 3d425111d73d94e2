//! Training of the head: multinomial logistic regression on feature vectors.
//!
//! Adam in mini-batches with a learning rate that falls along half a cosine, smoothed labels and decoupled weight decay
//! (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019). The epoch with the lowest validation loss
//! wins; then one temperature is fitted on the validation split (Guo et al., 2017). One thread and one random
//! generator: the same data, options and seed give the same head, bit by bit, on the same kind of machine.

use serde::{Deserialize, Serialize};

use crate::backbone::FEATURES;
use crate::classes::CLASS_COUNT;
use crate::features::{FeatureSet, Row, Split};
use crate::head::{Head, HeadError, softmax};
use crate::random::Random;

/// How the head is trained; the fields are those of `training` in `galley.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Passes over the training split.
    pub epochs: u32,
    /// Rows per step.
    pub batch_size: usize,
    /// Step size at the start.
    pub learning_rate: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Share of probability spread over all classes.
    pub label_smoothing: f32,
    /// Negative control: labels in random order, of training and validation split alike.
    pub shuffle_labels: bool,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            epochs: 20,
            batch_size: 64,
            learning_rate: 0.001,
            weight_decay: 1e-4,
            label_smoothing: 0.1,
            shuffle_labels: false,
            seed: 11,
        }
    }
}

/// How an epoch went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Epoch {
    /// Its number, from 1.
    pub epoch: u32,
    /// How many there are.
    pub epochs: u32,
    /// Mean loss over the training split while it was trained, with smoothed labels.
    pub train_loss: f32,
    /// Mean loss over the validation split, with hard labels.
    pub validation_loss: f32,
    /// Share of the validation split found.
    pub validation_accuracy: f32,
    /// Step size at its end.
    pub learning_rate: f32,
}

/// A trained head and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// The head of the best epoch, with its temperature.
    pub head: Head,
    /// All epochs, in order.
    pub epochs: Vec<Epoch>,
    /// Number of the best epoch, from 1.
    pub best_epoch: u32,
}

/// Why nothing was trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A split has no rows.
    #[error("the data has no rows in the split `{0}`")]
    Empty(&'static str),
    /// An option is out of range.
    #[error("`{option}` must {must}")]
    Option {
        /// Its name in `galley.yaml`.
        option: &'static str,
        /// What it must do.
        must: &'static str,
    },
    /// The loss is not finite any more.
    #[error("training ran away in epoch {epoch}: the loss is not a finite number")]
    Diverged {
        /// The epoch, from 1.
        epoch: u32,
    },
    /// The result is not usable.
    #[error("the trained head is not usable")]
    Head(#[from] HeadError),
}

/// What the head says about a row whose class is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Number of the photo.
    pub photo: u32,
    /// Index of the true class.
    pub label: usize,
    /// Calibrated probability of each class.
    pub probabilities: [f32; CLASS_COUNT],
}

/// Trains a head; `progress` hears of every epoch when it ends.
///
/// # Errors
/// [`TrainError`].
pub fn train(
    data: &FeatureSet,
    options: &TrainOptions,
    mut progress: impl FnMut(&Epoch),
) -> Result<Trained, TrainError> {
    check(options)?;
    let mut random = Random::new(options.seed);
    let mut training = data.split(Split::Train);
    let mut validation = data.photos(Split::Validation);
    for (split, rows) in [("train", &training), ("validation", &validation)] {
        if rows.is_empty() {
            return Err(TrainError::Empty(split));
        }
    }
    if options.shuffle_labels {
        shuffle_labels(&mut training, &mut random);
        shuffle_labels(&mut validation, &mut random);
    }
    let mut fit = Fit::new(options, training.len());
    let mut best: Option<(f32, u32, Layer)> = None;
    let mut epochs = Vec::with_capacity(options.epochs as usize);
    for epoch in 1..=options.epochs {
        random.shuffle(&mut training);
        let train_loss = fit.epoch(&training);
        let (validation_loss, validation_accuracy) = fit.layer.loss_and_accuracy(&validation);
        if !train_loss.is_finite() || !validation_loss.is_finite() {
            return Err(TrainError::Diverged { epoch });
        }
        if best.as_ref().is_none_or(|(loss, ..)| validation_loss < *loss) {
            best = Some((validation_loss, epoch, fit.layer.clone()));
        }
        let learning_rate = fit.learning_rate();
        let report = Epoch {
            epoch,
            epochs: options.epochs,
            train_loss,
            validation_loss,
            validation_accuracy,
            learning_rate,
        };
        progress(&report);
        epochs.push(report);
    }
    let Some((_, best_epoch, layer)) = best else {
        return Err(TrainError::Option { option: "epochs", must: "be at least 1" });
    };
    let temperature = temperature(&layer, &validation);
    Ok(Trained { head: Head::new(layer.weight, layer.bias, temperature)?, epochs, best_epoch })
}

/// What the head says about each photo of a split, mirror images left out.
pub fn judge(head: &Head, data: &FeatureSet, split: Split) -> Vec<Judged> {
    data.photos(split)
        .into_iter()
        .map(|row| Judged {
            photo: row.photo,
            label: row.label,
            probabilities: head.probabilities(row.features),
        })
        .collect()
}

fn check(options: &TrainOptions) -> Result<(), TrainError> {
    let bad = |option, must| Err(TrainError::Option { option, must });
    if options.epochs == 0 {
        return bad("epochs", "be at least 1");
    }
    if options.batch_size == 0 {
        return bad("batchSize", "be at least 1");
    }
    if !options.learning_rate.is_finite() || options.learning_rate <= 0.0 {
        return bad("learningRate", "be above 0");
    }
    if !options.weight_decay.is_finite() || options.weight_decay < 0.0 {
        return bad("weightDecay", "not be below 0");
    }
    if !(0.0..1.0).contains(&options.label_smoothing) {
        return bad("labelSmoothing", "lie between 0 and 1");
    }
    Ok(())
}

/// Gives each photo the label of another one, all of its rows alike.
fn shuffle_labels(rows: &mut [Row<'_>], random: &mut Random) {
    let mut photos: Vec<(u32, usize)> = rows.iter().map(|row| (row.photo, row.label)).collect();
    photos.sort_unstable();
    photos.dedup_by_key(|(photo, _)| *photo);
    let mut labels: Vec<usize> = photos.iter().map(|(_, label)| *label).collect();
    random.shuffle(&mut labels);
    for row in rows {
        let place = photos.partition_point(|(photo, _)| *photo < row.photo);
        row.label = labels[place];
    }
}

#[derive(Clone)]
struct Layer {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Layer {
    fn logits(&self, features: &[f32]) -> [f32; CLASS_COUNT] {
        let mut logits = [0.0; CLASS_COUNT];
        for ((logit, row), bias) in logits.iter_mut().zip(self.weight.chunks_exact(FEATURES)).zip(&self.bias)
        {
            *logit = bias + crate::head::dot(row, features);
        }
        logits
    }

    fn loss_and_accuracy(&self, rows: &[Row<'_>]) -> (f32, f32) {
        let (mut loss, mut correct) = (0.0, 0);
        for row in rows {
            let logits = self.logits(row.features);
            loss -= softmax(logits, 1.0)[row.label].max(1e-12).ln();
            correct += usize::from(logits.iter().all(|logit| *logit <= logits[row.label]));
        }
        (loss / rows.len() as f32, correct as f32 / rows.len() as f32)
    }
}

/// The state of Adam.
struct Fit<'a> {
    options: &'a TrainOptions,
    layer: Layer,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    step: u32,
    steps: u32,
}

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
const WEIGHTS: usize = CLASS_COUNT * FEATURES;

impl<'a> Fit<'a> {
    fn new(options: &'a TrainOptions, rows: usize) -> Self {
        let parameters = WEIGHTS + CLASS_COUNT;
        let steps = rows.div_ceil(options.batch_size) as u32 * options.epochs;
        Fit {
            options,
            layer: Layer { weight: vec![0.0; WEIGHTS], bias: vec![0.0; CLASS_COUNT] },
            gradient: vec![0.0; parameters],
            mean: vec![0.0; parameters],
            square: vec![0.0; parameters],
            step: 0,
            steps,
        }
    }

    fn learning_rate(&self) -> f32 {
        let done = self.step as f32 / self.steps as f32;
        self.options.learning_rate * 0.5 * (1.0 + (std::f32::consts::PI * done).cos())
    }

    /// One pass; the mean loss.
    fn epoch(&mut self, rows: &[Row<'_>]) -> f32 {
        let mut loss = 0.0;
        for batch in rows.chunks(self.options.batch_size) {
            loss += self.gradient(batch);
            self.update();
        }
        loss / rows.len() as f32
    }

    /// Fills the gradient of a batch; the sum of its losses.
    fn gradient(&mut self, batch: &[Row<'_>]) -> f32 {
        self.gradient.fill(0.0);
        let (weights, biases) = self.gradient.split_at_mut(WEIGHTS);
        let smooth = self.options.label_smoothing;
        let mut loss = 0.0;
        for row in batch {
            let probabilities = softmax(self.layer.logits(row.features), 1.0);
            for (class, probability) in probabilities.into_iter().enumerate() {
                let truth = if class == row.label { 1.0 - smooth } else { 0.0 } + smooth / CLASS_COUNT as f32;
                loss -= truth * probability.max(1e-12).ln();
                let slope = (probability - truth) / batch.len() as f32;
                biases[class] += slope;
                let line = &mut weights[class * FEATURES..(class + 1) * FEATURES];
                for (sum, feature) in line.iter_mut().zip(row.features) {
                    *sum += slope * feature;
                }
            }
        }
        loss
    }

    /// One step of Adam; biases do not decay.
    fn update(&mut self) {
        self.step += 1;
        let rate = self.learning_rate();
        let correction1 = 1.0 - BETA1.powi(self.step as i32);
        let correction2 = 1.0 - BETA2.powi(self.step as i32);
        let keep = 1.0 - rate * self.options.weight_decay;
        self.layer.weight.iter_mut().for_each(|weight| *weight *= keep);
        let parameters = self.layer.weight.iter_mut().chain(&mut self.layer.bias);
        for (((parameter, gradient), mean), square) in
            parameters.zip(&self.gradient).zip(&mut self.mean).zip(&mut self.square)
        {
            *mean = BETA1 * *mean + (1.0 - BETA1) * gradient;
            *square = BETA2 * *square + (1.0 - BETA2) * gradient * gradient;
            *parameter -= rate * (*mean / correction1) / ((*square / correction2).sqrt() + EPSILON);
        }
    }
}

/// The temperature with the lowest loss on `rows`, by golden-section search over its logarithm.
fn temperature(layer: &Layer, rows: &[Row<'_>]) -> f32 {
    let logits: Vec<_> = rows.iter().map(|row| (layer.logits(row.features), row.label)).collect();
    let loss = |log: f32| -> f32 {
        logits.iter().map(|(logits, label)| -softmax(*logits, log.exp())[*label].max(1e-12).ln()).sum()
    };
    let golden = 0.618_034;
    let (mut low, mut high) = (-3.0f32, 3.0f32);
    for _ in 0..40 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if loss(left) <= loss(right) { high = right } else { low = left }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::tests::easy;

    fn quick() -> TrainOptions {
        TrainOptions { epochs: 30, learning_rate: 0.01, ..TrainOptions::default() }
    }

    fn accuracy(head: &Head, data: &FeatureSet) -> f64 {
        let judged = judge(head, data, Split::Test);
        let correct =
            judged.iter().filter(|j| crate::Prediction::new(j.probabilities).class == j.label).count();
        correct as f64 / judged.len() as f64
    }

    #[test]
    fn what_can_be_learnt_is_learnt() {
        let data = easy(24);
        let mut heard = 0;
        let trained = train(&data, &quick(), |_| heard += 1).unwrap();
        assert!(accuracy(&trained.head, &data) > 0.9, "{}", accuracy(&trained.head, &data));
        assert_eq!((heard, trained.epochs.len()), (30, 30));
        let losses: Vec<f32> = trained.epochs.iter().map(|epoch| epoch.validation_loss).collect();
        let lowest = losses.iter().copied().fold(f32::MAX, f32::min);
        assert_eq!(losses[trained.best_epoch as usize - 1], lowest);
    }

    #[test]
    fn the_same_seed_gives_the_same_head() {
        let data = easy(8);
        let head = |seed| train(&data, &TrainOptions { seed, ..quick() }, |_| {}).unwrap().head;
        assert_eq!(head(3), head(3));
        assert_ne!(head(3), head(4));
    }

    #[test]
    fn shuffled_labels_teach_nothing() {
        let data = easy(24);
        let options = TrainOptions { shuffle_labels: true, ..quick() };
        let trained = train(&data, &options, |_| {}).unwrap();
        assert!(accuracy(&trained.head, &data) < 0.4, "{}", accuracy(&trained.head, &data));
    }

    #[test]
    fn impossible_options_are_refused() {
        let data = easy(4);
        for options in [
            TrainOptions { epochs: 0, ..quick() },
            TrainOptions { batch_size: 0, ..quick() },
            TrainOptions { learning_rate: f32::NAN, ..quick() },
            TrainOptions { weight_decay: -1.0, ..quick() },
            TrainOptions { label_smoothing: 1.0, ..quick() },
        ] {
            assert!(matches!(train(&data, &options, |_| {}), Err(TrainError::Option { .. })), "{options:?}");
        }
    }
}
