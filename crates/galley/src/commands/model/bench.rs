//! `galley model bench`: how long decoding, resizing and the network take on this machine.

use std::time::Instant;

use galley_analysis::{Latency, Times};
use galley_ml::{OnnxClassifier, Photo, PhotoLimits};
use galley_problem::Problem;
use serde_json::json;

use crate::{
    Answer,
    cli::{Format, model::Bench},
    steps::ml_problem,
    voice,
};

/// Rounds before those that count.
const WARM_UP: u32 = 5;

/// Runs it.
///
/// # Errors
/// If the model does not load or the photo cannot be read.
pub fn run(args: &Bench) -> Result<Answer, Problem> {
    let classifier = OnnxClassifier::open(&args.model).map_err(|e| ml_problem("loading the model", &e))?;
    let (file, name) = match &args.photo {
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|e| crate::io(path, "reading", &e))?;
            (bytes, path.display().to_string())
        }
        None => {
            let made = Photo::sample().scaled(1280, 960).to_jpeg(88);
            (made.map_err(|e| crate::internal("making a photo", &e))?, "made, 1280 x 960".to_owned())
        }
    };
    let limits = PhotoLimits::default();
    let decoded = Photo::decode(&file, &limits).map_err(Problem::from)?;
    let (threads, batch) = (usize::from(args.threads), usize::from(args.batch));
    let input = classifier.input(&decoded).repeat(batch);
    let decode = times(args.rounds, || Photo::decode(&file, &limits).map(drop).map_err(Problem::from))?;
    let resize = times(args.rounds, || {
        drop(classifier.input(&decoded));
        Ok(())
    })?;
    let infer = times(args.rounds, || {
        let done = classifier.predict(input.clone(), threads);
        done.map(drop).map_err(|e| ml_problem("running the model", &e))
    })?;
    use galley_ml::Classifier;
    let runtime = classifier.runtime();
    if args.output.output == Format::Table {
        voice::data(&format!("{:<10}{:>10}{:>10}{:>10}", "ms", "p50", "p99", "mean"));
        for (stage, times) in [("decode", &decode), ("resize", &resize), ("infer", &infer)] {
            voice::data(&format!(
                "{stage:<10}{:>10.3}{:>10.3}{:>10.3}",
                times.p50_ms, times.p99_ms, times.mean_ms
            ));
        }
        voice::data(&format!("{threads} threads, {batch} photos at a time, {runtime}; photo: {name}"));
        return Ok(Answer::Yes);
    }
    let report = json!({
        "model": classifier.contract().model, "runtime": runtime, "threads": threads, "batch": batch,
        "rounds": args.rounds, "photo": { "name": name, "bytes": file.len(), "width": decoded.width(), "height": decoded.height() },
        "decode": decode, "resize": resize, "infer": infer,
        "photos_per_second": batch as f64 * 1000.0 / infer.mean_ms,
    });
    voice::object(args.output.output, &report)?;
    Ok(Answer::Yes)
}

/// Times of `rounds` calls, after a few that do not count.
pub fn times(rounds: u32, mut call: impl FnMut() -> Result<(), Problem>) -> Result<Times, Problem> {
    for _ in 0..WARM_UP {
        call()?;
    }
    let mut times = Vec::with_capacity(rounds as usize);
    for _ in 0..rounds {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    Latency::of(&times).map(Times::from).ok_or_else(|| crate::internal("timing", &std::fmt::Error))
}
