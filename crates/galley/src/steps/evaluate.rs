//! `galley model evaluate`: judges a run on photos that training never saw, beside what is in production.

use std::{path::Path, time::Instant};

use galley_analysis::{Latency, Metrics, Outcome, Paired, Report, judge_evaluation, measure};
use galley_ml::{Classifier, FeatureSet, Head, ModelFiles, OnnxClassifier, Photo, Split};
use galley_mlflow_client::{Client, MetricPoint};
use galley_problem::{Kind, Problem};
use galley_release_types::{Environment, Gate, ModelFile, Verdict};
use galley_releases::Records;
use galley_units::{Clock, SystemClock, rfc3339};

use super::{
    record,
    register::{MODEL_FOLDER, tracking_problem},
    train::{features, ml_problem},
};
use crate::{
    Answer,
    cli::{Global, steps::Evaluate},
    commands::model::evaluate as photos,
    ground::{Ground, deployed},
    voice,
};

/// Predictions that are timed, after a few that are not.
const TIMED: usize = 20;
/// Largest model file that is read back, bytes.
const LARGEST: u64 = 512 << 20;

/// `galley model evaluate`
pub async fn run(global: &Global, args: Evaluate) -> Result<Answer, Problem> {
    if let Some(data) = &args.data {
        return match data.is_dir() {
            true => photos::run(&args, data),
            false => Err(photos::missing(data)),
        };
    }
    match (&args.release, &args.run_id) {
        (Some(release), Some(run_id)) => for_release(global, &args, release, run_id).await,
        _ => by_hand(&args),
    }
}

/// Judges a model folder with the `galley.yaml` here.
fn by_hand(args: &Evaluate) -> Result<Answer, Problem> {
    let path = Path::new(crate::state::MODEL_FILE);
    let text = std::fs::read_to_string(path).map_err(|e| crate::io(path, "reading", &e))?;
    let model = galley_release_types::parse_model_file(crate::state::MODEL_FILE, &text)?;
    let data = features(None, &model)?;
    let head_path = args.model.join("head.safetensors");
    let head = std::fs::read(&head_path).map_err(|e| crate::io(&head_path, "reading", &e))?;
    let head = Head::from_safetensors(&head).map_err(|e| ml_problem("reading the head", &e))?;
    let classifier = OnnxClassifier::load(&args.model).map_err(|e| ml_problem("loading the model", &e))?;
    let evaluation = Evaluation::of(&head, &data, &classifier, None)?;
    let gate = evaluation.judge(&model);
    evaluation.tell(&gate);
    Ok(answer(&gate))
}

async fn for_release(
    global: &Global,
    args: &Evaluate,
    release: &str,
    run_id: &str,
) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(release).await?;
    let model = record::model_of(&ground, &recorded.release.spec.commit).await?;
    let data = features(None, &model)?;
    let tracking = ground.tracking()?;
    let candidate = Fetched::get(&tracking, run_id).await?;
    let production = production_head(&ground, &tracking, &model).await?;
    let evaluation = Evaluation::of(&candidate.head, &data, &candidate.classifier()?, production.as_ref())?;
    let gate = evaluation.judge(&model);
    let metrics: Vec<_> = evaluation
        .figures()
        .into_iter()
        .map(|(name, value)| MetricPoint::new(format!("test/{name}"), value))
        .collect();
    tracking
        .log_batch(run_id, &[], &metrics, &[])
        .await
        .map_err(|e| tracking_problem("keeping the figures", &e))?;
    keep_report(&tracking, run_id, &evaluation.report).await?;
    records.update(release, |status| status.record(gate.clone())).await?;
    evaluation.tell(&gate);
    Ok(answer(&gate))
}

/// The report beside the model, as JSON and as a page.
async fn keep_report(tracking: &Client, run_id: &str, report: &Report) -> Result<(), Problem> {
    let failed = |error| tracking_problem("keeping the report", &error);
    let json = serde_json::to_vec_pretty(report).map_err(|e| crate::internal("writing the report", &e))?;
    let run = tracking.get_run(run_id).await.map_err(failed)?;
    tracking.upload_artifact(&run, "evaluation/report.json", json).await.map_err(failed)?;
    tracking.upload_artifact(&run, "evaluation/report.html", report.to_html()).await.map_err(failed)
}

fn answer(gate: &Gate) -> Answer {
    if gate.verdict == Verdict::Pass { Answer::Yes } else { Answer::No }
}

/// What the test split shows.
struct Evaluation {
    report: Report,
    metrics: Metrics,
    latency: Option<Latency>,
    production: Option<Paired>,
}

impl Evaluation {
    fn of(
        head: &Head,
        data: &FeatureSet,
        classifier: &OnnxClassifier,
        production: Option<&Head>,
    ) -> Result<Evaluation, Problem> {
        let photos = data.photos(Split::Test);
        let outcomes = |head: &Head| -> Vec<Outcome> {
            let of = |row: &galley_ml::Row<'_>| Outcome {
                label: row.label,
                probabilities: head.probabilities(row.features).to_vec(),
            };
            photos.iter().map(of).collect()
        };
        let candidate = outcomes(head);
        let beside = production.map(outcomes);
        let production = beside.as_ref().map(|right| {
            Paired::of(candidate.iter().zip(right).map(|(a, b)| (a.is_correct(), b.is_correct())))
        });
        let failed = |error| ml_problem("judging the test split", &error);
        let metrics = measure(&candidate, galley_ml::CLASS_COUNT).map_err(failed)?;
        let latency = Latency::of(&timed(classifier)?);
        let contract = classifier.contract();
        let data = format!("the test split of {}", data.header().name);
        let mut report =
            Report::of(&contract.model, &data, &galley_ml::CLASSES, &candidate).map_err(failed)?;
        report.latency = latency.map(Into::into);
        report.runtime = classifier.runtime();
        if let Some(right) = &beside {
            report.compare("production", &candidate, right);
        }
        Ok(Evaluation { report, metrics, latency, production })
    }

    fn judge(&self, model: &ModelFile) -> Gate {
        judge_evaluation(
            &self.metrics,
            &galley_ml::CLASSES,
            self.latency.as_ref(),
            self.production.as_ref(),
            &model.gates.evaluation,
            &rfc3339(SystemClock.now()),
        )
    }

    fn figures(&self) -> Vec<(String, f64)> {
        let mut figures = self.metrics.named(&galley_ml::CLASSES);
        figures.push(("top2_accuracy".into(), self.report.top2_accuracy));
        figures.push(("top3_accuracy".into(), self.report.top3_accuracy));
        figures.push(("macro_f1".into(), self.report.macro_f1));
        if let Some(latency) = &self.latency {
            figures.push(("latency_p50_ms".into(), latency.p50_ms));
            figures.push(("latency_p95_ms".into(), latency.p95_ms));
            figures.push(("latency_p99_ms".into(), latency.p99_ms));
        }
        figures
    }

    fn tell(&self, gate: &Gate) {
        for (name, value) in self.figures() {
            voice::data(&format!("{name:<32}{value:.4}"));
        }
        voice::data("confusion (rows: true class, columns: predicted class)");
        for (class, row) in galley_ml::CLASSES.iter().zip(&self.metrics.confusion) {
            let cells: String = row.iter().map(|count| format!("{count:>5}")).collect();
            voice::data(&format!("{class:>16} {cells}"));
        }
        voice::data(&format!("{}: {:?}: {}", gate.name, gate.verdict, gate.reason));
    }
}

/// A run's model, fetched into memory.
struct Fetched {
    head: Head,
    onnx: Vec<u8>,
    contract: Vec<u8>,
}

impl Fetched {
    async fn get(tracking: &Client, run_id: &str) -> Result<Fetched, Problem> {
        let failed = |error| tracking_problem("reading the run's model", &error);
        let run = tracking.get_run(run_id).await.map_err(failed)?;
        let mut files = Vec::new();
        for name in ["head.safetensors", "model.onnx", "contract.json"] {
            let bytes = tracking.download_artifact(&run, &format!("{MODEL_FOLDER}/{name}"), LARGEST).await;
            files.push(bytes.map_err(failed)?.to_vec());
        }
        let [head, onnx, contract]: [Vec<u8>; 3] = files.try_into().unwrap_or_default();
        let head = Head::from_safetensors(&head).map_err(|e| ml_problem("reading the head", &e))?;
        Ok(Fetched { head, onnx, contract })
    }

    fn classifier(self: &Fetched) -> Result<OnnxClassifier, Problem> {
        let contract = serde_json::from_slice(&self.contract)
            .map_err(|e| ml_problem("reading the serving contract", &e))?;
        let files = ModelFiles { onnx: self.onnx.clone(), contract, head: Vec::new() };
        OnnxClassifier::from_files(&files).map_err(|e| ml_problem("loading the model", &e))
    }
}

/// What production runs, if it runs anything.
async fn production_head(
    ground: &Ground,
    tracking: &Client,
    model: &ModelFile,
) -> Result<Option<Head>, Problem> {
    let snapshot = ground.pipeline()?.snapshot("main").await.map_err(Problem::from)?;
    let values = snapshot.read(&Environment::Production.values_file());
    let Some(deployed) = values.and_then(|values| deployed(&String::from_utf8_lossy(values))) else {
        return Ok(None);
    };
    let failed = |error| tracking_problem("finding production's version", &error);
    let version = tracking.get_version(&model.model, &deployed.version).await.map_err(failed)?;
    let Some(version) = version else {
        return Err(Problem::new(
            "G1015",
            Kind::NotFound,
            format!("Production runs version {}, which is not registered.", deployed.version),
        )
        .try_this("Empty `image` in `k8s/production/values.yaml` if the registry was lost."));
    };
    Ok(Some(Fetched::get(tracking, &version.run_id).await?.head))
}

/// Times the whole way of one photo, as the server goes it.
fn timed(classifier: &OnnxClassifier) -> Result<Vec<f64>, Problem> {
    let photo = Photo::sample();
    let mut durations = Vec::new();
    for round in 0..TIMED + 3 {
        let began = Instant::now();
        classifier.classify(&photo).map_err(|e| ml_problem("classifying the sample", &e))?;
        if round >= 3 {
            durations.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    Ok(durations)
}
