//! What is inside the program: the backbone, the feature set, and what can be learnt from it.

use std::sync::OnceLock;

use galley_ml::{FeatureSet, Head, Prediction, Split, TrainOptions, judge, train};

fn set() -> &'static FeatureSet {
    static SET: OnceLock<FeatureSet> = OnceLock::new();
    SET.get_or_init(|| FeatureSet::bundled().unwrap())
}

fn accuracy(head: &Head) -> f64 {
    let judged = judge(head, set(), Split::Test);
    let correct = judged.iter().filter(|j| Prediction::new(j.probabilities).class == j.label).count();
    correct as f64 / judged.len() as f64
}

#[test]
fn the_default_training_passes_the_default_gate() {
    let trained = train(set(), &TrainOptions::default(), |_| {}).unwrap();
    assert!(accuracy(&trained.head) >= 0.80, "{}", accuracy(&trained.head));
}

#[test]
fn the_negative_control_is_no_better_than_chance() {
    let options = TrainOptions { shuffle_labels: true, ..TrainOptions::default() };
    let trained = train(set(), &options, |_| {}).unwrap();
    assert!(accuracy(&trained.head) < 0.3, "{}", accuracy(&trained.head));
}
