//! Registered versions: from a run to a version, and the aliases that follow what is observed.

use galley_mlflow::KeyValue;
use galley_problem::{Kind, Problem};
use galley_release_types::{Phase, Verdict};
use galley_releases::Records;

use super::{record, tags};
use crate::{
    Answer,
    cli::{
        Global, Output,
        steps::{Alias, Register, Services},
    },
    ground::Ground,
    voice,
};

/// Versions that `model list` shows, newest first.
const LISTED: usize = 100;
/// Folder of the model among a run's artifacts.
pub const MODEL_FOLDER: &str = "model";

/// `galley model register`
pub async fn run(global: &Global, args: Register) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(&args.release).await?;
    refuse_unjudged(&args.release, &recorded.release.status)?;
    let model = record::model_of(&ground, &recorded.release.spec.commit).await?.model;
    let tracking = ground.tracking()?;
    let failed = |attempt: &'static str| move |error| tracking_problem(attempt, &error);
    tracking.get_or_create_registered_model(&model).await.map_err(failed("making the registered model"))?;
    let known = tracking.find_version_by_tag(&model, tags::RUN, &args.run_id).await;
    let version = match known.map_err(failed("searching versions"))? {
        Some(version) => version,
        None => {
            let run = tracking.get_run(&args.run_id).await.map_err(failed("reading the run"))?;
            let of_run = |key: &str| run.tag(key).unwrap_or_default().to_owned();
            let wanted = [
                (tags::RUN, args.run_id.clone()),
                (tags::RELEASE, args.release.clone()),
                (tags::COMMIT, recorded.release.spec.commit.clone()),
                (tags::TRAINING_DIGEST, of_run(tags::TRAINING_DIGEST)),
                (tags::DATA_DIGEST, of_run(tags::DATA_DIGEST)),
            ]
            .map(|(key, value)| KeyValue::new(key, value));
            let source = format!("{}/{MODEL_FOLDER}", run.info.artifact_uri);
            let made = tracking.create_model_version(&model, &source, &args.run_id, &wanted).await;
            made.map_err(failed("registering the version"))?
        }
    };
    let number = version.version.clone();
    tracking.set_alias(&model, "development", &number).await.map_err(failed("moving the alias"))?;
    ground.output("model-version", &number)?;
    records
        .update(&args.release, |status| {
            status.phase = Phase::Building;
            status.version = Some(number.clone());
            status.message = format!("Version {number} is registered.");
        })
        .await?;
    voice::data(&format!("{model} version {number}, alias development."));
    Ok(Answer::Yes)
}

fn refuse_unjudged(name: &str, status: &galley_release_types::ReleaseStatus) -> Result<(), Problem> {
    let evaluated = status.gates.iter().find(|gate| gate.name == "evaluation");
    if evaluated.is_some_and(|gate| gate.verdict == Verdict::Pass) {
        return Ok(());
    }
    Err(Problem::new(
        "G1010",
        Kind::Denied,
        format!("The release `{name}` has not passed the gate `evaluation`."),
    )
    .try_this(format!("`galley release get {name}` shows its gates.")))
}

/// `galley model alias`
pub async fn alias(global: &Global, args: Alias) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(&args.release).await?;
    if let Some(gate) = recorded.release.status.stopped_by() {
        return Err(Problem::new(
            "G1010",
            Kind::Denied,
            format!(
                "The gate `{}` of the release `{}` did not pass: {}",
                gate.name, args.release, gate.reason
            ),
        ));
    }
    let model = record::model_of(&ground, &recorded.release.spec.commit).await?.model;
    let moved = ground.tracking()?.set_alias(&model, &args.alias, &args.model_version).await;
    moved.map_err(|e| tracking_problem("moving the alias", &e))?;
    voice::data(&format!("{model}: alias {} is version {}.", args.alias, args.model_version));
    Ok(Answer::Yes)
}

/// `galley model list`
pub async fn list(global: &Global, services: &Services, output: &Output) -> Result<Answer, Problem> {
    let ground = Ground::find(global, services).await?;
    let tracking = ground.tracking()?;
    let failed = |error| tracking_problem("listing versions", &error);
    let mut rows = Vec::new();
    let mut all = Vec::new();
    let name = record::model_of(&ground, "main").await?.model;
    if let Some(model) = tracking.registered_model(&name).await.map_err(failed)? {
        for version in tracking.latest_versions(&name, LISTED).await.map_err(failed)? {
            let aliases: Vec<_> = model
                .aliases
                .iter()
                .filter(|alias| alias.version == version.version)
                .map(|alias| alias.alias.clone())
                .collect();
            rows.push(vec![
                format!("{}/{}", model.name, version.version),
                aliases.join(","),
                version.tag(tags::RELEASE).unwrap_or_default().to_owned(),
                version.run_id.clone(),
            ]);
            all.push(serde_json::json!({
                "model": model.name, "version": version.version, "aliases": aliases, "runId": version.run_id,
            }));
        }
    }
    let table = voice::Table { columns: vec!["version", "aliases", "release"], wide: vec!["run"], rows };
    voice::list(output.output, &all, table)?;
    Ok(Answer::Yes)
}

/// A problem with the tracking server.
pub fn tracking_problem(attempt: &str, error: &galley_mlflow_client::Error) -> Problem {
    Problem::new("G0903", Kind::Unavailable, format!("Failed {attempt} at the tracking server."))
        .because(error)
        .try_this("`galley status` shows whether tracking is up.")
}
