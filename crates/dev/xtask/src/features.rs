//! `cargo xtask features DIR`: the bundled feature set, and `cargo xtask evaluate`: the figures of the model card.

use std::path::Path;

use anyhow::{Context, Result};
use galley_analysis::{Metrics, Outcome, measure};
use galley_ml::{
    CLASS_COUNT, CLASSES, FeatureSet, FolderOptions, Head, Split, TrainOptions, judge, read_folder, train,
};

const CITATION: &str = "Numbers computed from photos; the photos are not part of it. \
Food-101: L. Bossard, M. Guillaumin, L. Van Gool, Food-101 - Mining Discriminative Components with Random Forests, \
ECCV 2014 (scientific fair use). Food-11: A. Singla, L. Yuan, T. Ebrahimi, Food/Non-food Image Classification and Food \
Categorization using Pre-Trained GoogLeNet Model, MADiMa 2016 (research use). See docs/data-card.md.";
/// Seed of the validation split; the default of `galley.yaml`.
const SEED: u64 = 11;

/// Makes the bundled feature set of `photos`, a folder with `train` and `validation` (which becomes the test split).
pub fn make(photos: &Path, cache: Option<&Path>, mirror: bool) -> Result<()> {
    let options = FolderOptions {
        name: Some("food11-mini".into()),
        citation: CITATION.into(),
        cache: cache.map(Path::to_owned),
        seed: SEED,
        mirror,
        ..FolderOptions::default()
    };
    let set = read_folder(photos, &options, |done, all| {
        if done % 200 == 0 || done == all {
            crate::say(&format!("{done} of {all} photos"));
        }
    })?;
    let bytes = set.write()?;
    let path = crate::asset("food11-features.bin");
    std::fs::write(&path, &bytes).with_context(|| format!("could not write {}", path.display()))?;
    let set = FeatureSet::read(&bytes)?;
    crate::say(&format!("{}: {} bytes, sha256 {}", path.display(), bytes.len(), set.digest()));
    for split in [Split::Train, Split::Validation, Split::Test] {
        crate::say(&format!(
            "{:<10} {:>5} photos {:>5} rows",
            split.name(),
            set.photos(split).len(),
            set.split(split).len()
        ));
    }
    report(&set, &TrainOptions::default())
}

/// Trains on the bundled set and prints the figures.
pub fn evaluate(options: &TrainOptions) -> Result<()> {
    let path = crate::asset("food11-features.bin");
    let bytes = std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
    report(&FeatureSet::read(&bytes)?, options)
}

fn report(set: &FeatureSet, options: &TrainOptions) -> Result<()> {
    let begin = std::time::Instant::now();
    let trained = train(set, options, |_| {})?;
    let time = begin.elapsed();
    crate::say(&format!("{options:?}"));
    crate::say(&format!("trained in {time:.1?}; best epoch {}", trained.best_epoch));
    for split in [Split::Train, Split::Validation, Split::Test] {
        let metrics = metrics(&trained.head, set, split)?;
        let (low, high) = metrics.accuracy_interval;
        crate::say(&format!(
            "{:<10} accuracy {:.4} ({} of {}, 95% {low:.3} to {high:.3})  log loss {:.3}  calibration error {:.3}",
            split.name(),
            metrics.accuracy,
            metrics.correct,
            metrics.examples,
            metrics.log_loss,
            metrics.calibration_error
        ));
    }
    crate::say(&format!("temperature {:.3}", trained.head.temperature()));
    let test = metrics(&trained.head, set, Split::Test)?;
    for (class, recall) in CLASSES.iter().zip(&test.class_recall) {
        crate::say(&format!("  {class:<16} {:.3}", recall.unwrap_or_default()));
    }
    Ok(())
}

fn metrics(head: &Head, set: &FeatureSet, split: Split) -> Result<Metrics> {
    let outcomes: Vec<Outcome> = judge(head, set, split)
        .into_iter()
        .map(|judged| Outcome { label: judged.label, probabilities: judged.probabilities.to_vec() })
        .collect();
    Ok(measure(&outcomes, CLASS_COUNT)?)
}
