//! `galley model evaluate --data DIR`: a model on photos, with everything that a person wants to know.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use galley_analysis::{Outcome, Report};
use galley_ml::{CLASSES, Classifier, Labelled, OnnxClassifier, Photo, PhotoLimits, Spoil, held_out};
use galley_problem::{Kind, Problem};

use crate::{
    Answer,
    cli::{Format, steps::Evaluate},
    steps::ml_problem,
    voice,
};

/// Timed predictions.
const TIMED: u32 = 100;

/// What one photo gave: its predictions by every model and spoiling, or why it was left out.
type Row = Result<Vec<Vec<f32>>, String>;

/// Runs it.
///
/// # Errors
/// If the model does not load, or the folder holds nothing to judge on.
pub fn run(args: &Evaluate, data: &Path) -> Result<Answer, Problem> {
    let classifier = load(&args.model)?;
    let other = args.against.as_deref().map(load).transpose()?;
    let photos = held_out(data).map_err(|e| ml_problem("reading the photos", &e))?;
    let spoils: &[Spoil] = if args.no_robustness { &[] } else { &Spoil::ALL };
    let rows = predict_all(&classifier, other.as_ref(), spoils, &photos)?;
    let mut skipped = Vec::new();
    let mut predictions: Vec<Vec<Outcome>> =
        vec![Vec::new(); 1 + spoils.len() + usize::from(other.is_some())];
    for (photo, row) in photos.iter().zip(rows) {
        match row {
            Ok(row) => {
                for (list, probabilities) in predictions.iter_mut().zip(row) {
                    list.push(Outcome { label: photo.label, probabilities });
                }
            }
            Err(reason) => skipped.push(format!("{}: {reason}", photo.path.display())),
        }
    }
    let failed = |error| ml_problem("judging the photos", &error);
    let name = title(&classifier);
    let split = photos.first().and_then(|photo| photo.split).map_or("all photos", |split| split.name());
    let described = format!("{} of {}", split, data.display());
    let mut report = Report::of(&name, &described, &CLASSES, &predictions[0]).map_err(failed)?;
    for (spoil, outcomes) in spoils.iter().zip(&predictions[1..]) {
        report.spoilt(spoil.name(), outcomes).map_err(failed)?;
    }
    if let Some(other) = &other {
        report.compare(&title(other), &predictions[0], &predictions[1 + spoils.len()]);
    }
    report.skipped = skipped;
    report.runtime = classifier.runtime();
    let sample = Photo::sample();
    let timed = super::bench::times(TIMED, || {
        classifier.classify(&sample).map(drop).map_err(|e| ml_problem("classifying the sample", &e))
    })?;
    report.latency = Some(timed);
    report.peak_memory_mib = peak_memory();
    if let Some(file) = &args.html {
        std::fs::write(file, report.to_html()).map_err(|e| crate::io(file, "writing", &e))?;
    }
    match args.output.output {
        Format::Table | Format::Wide | Format::Name => tell(&report),
        format => voice::object(format, &report)?,
    }
    Ok(Answer::Yes)
}

fn load(path: &Path) -> Result<OnnxClassifier, Problem> {
    OnnxClassifier::open(path).map_err(|e| ml_problem("loading the model", &e))
}

fn title(classifier: &OnnxClassifier) -> String {
    let contract = classifier.contract();
    match &contract.version {
        Some(version) => format!("{} version {version}", contract.model),
        None => contract.model.clone(),
    }
}

/// All predictions of all photos, on every core.
fn predict_all(
    classifier: &OnnxClassifier,
    other: Option<&OnnxClassifier>,
    spoils: &[Spoil],
    photos: &[Labelled],
) -> Result<Vec<Row>, Problem> {
    let bar = voice::bar("photos");
    let next = AtomicUsize::new(0);
    let rows: Mutex<Vec<(usize, Row)>> = Mutex::new(Vec::with_capacity(photos.len()));
    let worker = || -> Result<(), Problem> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(photo) = photos.get(index) else { return Ok(()) };
            let row = row(classifier, other, spoils, photo)?;
            let mut rows = rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            rows.push((index, row));
            bar.at(rows.len(), photos.len());
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let outcome = std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..cores).map(|_| scope.spawn(worker)).collect();
        let own = worker();
        helpers.into_iter().fold(own, |all, helper| match helper.join() {
            Ok(result) => all.and(result),
            Err(panic) => std::panic::resume_unwind(panic),
        })
    });
    bar.done();
    outcome?;
    let mut rows = rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    rows.sort_by_key(|(index, _)| *index);
    Ok(rows.into_iter().map(|(_, row)| row).collect())
}

fn row(
    classifier: &OnnxClassifier,
    other: Option<&OnnxClassifier>,
    spoils: &[Spoil],
    labelled: &Labelled,
) -> Result<Row, Problem> {
    let bytes = std::fs::read(&labelled.path).map_err(|e| crate::io(&labelled.path, "reading", &e))?;
    let photo = match Photo::decode(&bytes, &PhotoLimits::default()) {
        Ok(photo) => photo,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let ask = |classifier: &OnnxClassifier, photo: &Photo| {
        let prediction = classifier.classify(photo);
        prediction.map(|p| p.probabilities.to_vec()).map_err(|e| ml_problem("classifying", &e))
    };
    let mut row = vec![ask(classifier, &photo)?];
    for spoil in spoils {
        row.push(ask(classifier, &spoil.apply(&photo))?);
    }
    if let Some(other) = other {
        row.push(ask(other, &photo)?);
    }
    Ok(Ok(row))
}

/// Most memory this process had so far, MiB, where the kernel tells.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some((kib / 1024.0 * 10.0).round() / 10.0)
}

fn tell(report: &Report) {
    let (low, high) = report.accuracy_interval;
    let mut lines = vec![
        format!("{} on {}", report.model, report.data),
        format!(
            "accuracy     {:.4} ({} of {}; 95% interval {low:.4} to {high:.4})",
            report.accuracy, report.correct, report.examples
        ),
        format!("top 2, top 3 {:.4} {:.4}", report.top2_accuracy, report.top3_accuracy),
        format!("macro F1     {:.4}", report.macro_f1),
        format!("ece          {:.4}", report.ece),
        format!("log loss     {:.4}", report.log_loss),
        format!("{:<18}{:>7}{:>11}{:>9}{:>9}", "class", "photos", "precision", "recall", "f1"),
    ];
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    for class in &report.per_class {
        let (precision, recall, f1) = (figure(class.precision), figure(class.recall), figure(class.f1));
        lines.push(format!("{:<18}{:>7}{precision:>11}{recall:>9}{f1:>9}", class.class, class.support));
    }
    for slice in &report.robustness {
        lines.push(format!("{:<18}{:.4} ({:+.4})", slice.name, slice.accuracy, -slice.drop));
    }
    if let Some(paired) = &report.paired {
        lines.push(format!(
            "beside {}: {} gained, {} lost, McNemar p = {:.4}",
            paired.against, paired.gained, paired.lost, paired.mcnemar_p
        ));
    }
    if let Some(times) = &report.latency {
        lines.push(format!(
            "latency      p50 {:.2} ms, p99 {:.2} ms; {}",
            times.p50_ms, times.p99_ms, report.runtime
        ));
    }
    lines.extend(report.skipped.iter().map(|file| format!("left out: {file}")));
    lines.iter().for_each(|line| voice::data(line));
}

/// The problem of a folder that is not there.
pub fn missing(data: &Path) -> Problem {
    Problem::new("G0743", Kind::NotFound, format!("There is no folder {}.", data.display()))
        .try_this("Name a folder with a folder for each class, or flat files as `3_17.jpg`.")
}
