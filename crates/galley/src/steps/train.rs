//! `galley model train`: from data to a run with a model.
//!
//! Training is addressed by its content: the key covers what `galley.yaml` decides, the data and the backbone. A finished
//! run with the same key is used again; an unfinished one, left by a crash, is gone on with.

use std::path::Path;

use galley_ml::{Epoch, FeatureSet, FolderOptions, ModelFiles, Origin, TrainOptions};
use galley_mlflow::{KeyValue, Run, RunStatus};
use galley_mlflow_client::{Client, MetricPoint};
use galley_problem::{Kind, Problem};
use galley_release_types::{ModelFile, parse_model_file};
use galley_releases::Records;
use sha2::{Digest, Sha256};

use super::{
    record,
    register::{MODEL_FOLDER, tracking_problem},
    tags,
};
use crate::{
    Answer,
    cli::{Global, steps::Train},
    ground::Ground,
    state::MODEL_FILE,
    voice,
};

/// `galley model train`
pub async fn run(global: &Global, args: Train) -> Result<Answer, Problem> {
    match &args.release {
        Some(release) => for_release(global, release, &args).await,
        None => by_hand(&args),
    }
}

/// Trains from the `galley.yaml` here, into a folder.
fn by_hand(args: &Train) -> Result<Answer, Problem> {
    let path = Path::new(MODEL_FILE);
    let text = std::fs::read_to_string(path).map_err(|e| crate::io(path, "reading", &e))?;
    let model = parse_model_file(MODEL_FILE, &text)?;
    let data = features(args.data.as_deref(), &model)?;
    let files =
        fit(&model, &data, Origin { model: model.model.clone(), ..Origin::default() }, &mut Vec::new())?;
    files.save(&args.model).map_err(|e| ml_problem("saving the model", &e))?;
    voice::data(&format!("Model in {}.", args.model.display()));
    Ok(Answer::Yes)
}

async fn for_release(global: &Global, release: &str, args: &Train) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(release).await?;
    let commit = recorded.release.spec.commit.clone();
    let model = record::model_of(&ground, &commit).await?;
    let data = features(args.data.as_deref(), &model)?;
    let key = training_key(&model, &data);
    let tracking = ground.tracking()?;
    let run = find_or_create(&tracking, &model, release, &commit, &data, &key).await?;
    let id = run.info.run_id.clone();
    if run.info.status == RunStatus::Finished {
        voice::data(&format!("Run {id} trained exactly this already."));
    } else {
        let origin = Origin {
            model: model.model.clone(),
            version: None,
            run_id: Some(id.clone()),
            commit: Some(commit),
            data_digest: Some(data.digest().to_owned()),
        };
        let mut metrics = Vec::new();
        let files = fit(&model, &data, origin, &mut metrics)?;
        keep(&tracking, &run, &model, &files, &metrics).await?;
        voice::data(&format!("Run {id} is finished."));
    }
    ground.output("run-id", &id)?;
    records
        .update(release, |status| {
            status.run_id = Some(id.clone());
            status.message = format!("Trained in run {id}.");
        })
        .await?;
    Ok(Answer::Yes)
}

/// What decides the trained weights.
fn training_key(model: &ModelFile, data: &FeatureSet) -> String {
    let mut hash = Sha256::new();
    for part in [&model.training_digest(), data.digest(), &galley_ml::bundled_digest()] {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

/// The feature set that the model file or the command line names.
pub fn features(given: Option<&Path>, model: &ModelFile) -> Result<FeatureSet, Problem> {
    let source = given
        .map(Path::to_owned)
        .or_else(|| (model.data.source != "builtin").then(|| model.data.source.clone().into()));
    let Some(folder) = source else {
        return FeatureSet::bundled().map_err(|e| ml_problem("reading the built-in features", &e));
    };
    let cache = std::env::temp_dir().join("galley-features");
    let bar = voice::bar("photos");
    let options = FolderOptions { cache: Some(cache), seed: model.seed, ..FolderOptions::default() };
    let set = galley_ml::read_folder(&folder, &options, |done, all| bar.at(done, all));
    bar.done();
    set.map_err(|e| ml_problem("reading the photos", &e))
}

fn fit(
    model: &ModelFile,
    data: &FeatureSet,
    origin: Origin,
    metrics: &mut Vec<MetricPoint>,
) -> Result<ModelFiles, Problem> {
    let training = &model.training;
    let options = TrainOptions {
        epochs: training.epochs,
        batch_size: training.batch_size,
        learning_rate: training.learning_rate,
        weight_decay: training.weight_decay,
        label_smoothing: training.label_smoothing,
        shuffle_labels: training.shuffle_labels,
        seed: model.seed,
    };
    let trained = galley_ml::train(data, &options, |progress: &Epoch| {
        voice::data(&format!(
            "epoch {:>3}/{}: training loss {:.4}, validation loss {:.4}, validation accuracy {:.4}",
            progress.epoch,
            training.epochs,
            progress.train_loss,
            progress.validation_loss,
            progress.validation_accuracy
        ));
        let step = i64::from(progress.epoch);
        metrics.push(MetricPoint::at("training_loss", f64::from(progress.train_loss), step));
        metrics.push(MetricPoint::at("validation_loss", f64::from(progress.validation_loss), step));
        metrics.push(MetricPoint::at("validation_accuracy", f64::from(progress.validation_accuracy), step));
    });
    let trained = trained.map_err(|e| ml_problem("training", &e))?;
    ModelFiles::export(&trained.head, origin).map_err(|e| ml_problem("writing the model", &e))
}

async fn find_or_create(
    tracking: &Client,
    model: &ModelFile,
    release: &str,
    commit: &str,
    data: &FeatureSet,
    key: &str,
) -> Result<Run, Problem> {
    let failed = |error| tracking_problem("finding the run", &error);
    let experiment = tracking.get_or_create_experiment(&model.model).await.map_err(failed)?;
    if let Some(run) = tracking.find_run(&experiment, tags::TRAINING_KEY, key).await.map_err(failed)? {
        return Ok(run);
    }
    let tags = [
        KeyValue::new(tags::TRAINING_KEY, key),
        KeyValue::new(tags::TRAINING_DIGEST, model.training_digest()),
        KeyValue::new(tags::DATA_DIGEST, data.digest()),
        KeyValue::new(tags::RELEASE, release),
        KeyValue::new(tags::COMMIT, commit),
    ];
    tracking.create_run(&experiment, release, &tags).await.map_err(failed)
}

async fn keep(
    tracking: &Client,
    run: &Run,
    model: &ModelFile,
    files: &ModelFiles,
    metrics: &[MetricPoint],
) -> Result<(), Problem> {
    let failed = |error| tracking_problem("keeping the run", &error);
    let training = &model.training;
    let params = [
        KeyValue::new("seed", model.seed.to_string()),
        KeyValue::new("data", model.data.source.clone()),
        KeyValue::new("epochs", training.epochs.to_string()),
        KeyValue::new("batch_size", training.batch_size.to_string()),
        KeyValue::new("learning_rate", training.learning_rate.to_string()),
        KeyValue::new("weight_decay", training.weight_decay.to_string()),
        KeyValue::new("label_smoothing", training.label_smoothing.to_string()),
        KeyValue::new("shuffle_labels", training.shuffle_labels.to_string()),
    ];
    let id = &run.info.run_id;
    tracking.log_batch(id, &params, metrics, &[]).await.map_err(failed)?;
    let contract = files.contract.to_json().into_bytes();
    for (name, bytes) in [
        ("model.onnx", files.onnx.clone()),
        ("head.safetensors", files.head.clone()),
        ("contract.json", contract),
    ] {
        tracking.upload_artifact(run, &format!("{MODEL_FOLDER}/{name}"), bytes).await.map_err(failed)?;
    }
    tracking.finish_run(id, RunStatus::Finished).await.map_err(failed)
}

/// A problem of the model room.
pub fn ml_problem(attempt: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new("G0740", Kind::Invalid, format!("Failed {attempt}.")).because(error)
}
