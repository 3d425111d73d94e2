//! First and last step of a release: opening its record and closing it.

use galley_problem::{Kind, Problem};
use galley_release_types::{
    Environment, ModelFile, Phase, ReleaseSpec, ReleaseStatus, Verdict, parse_model_file,
};
use galley_releases::Records;
use galley_units::{Clock, SystemClock, rfc3339};

use super::{promote, tags};
use crate::{
    Answer,
    cli::{
        Global,
        steps::{Begin, Settle},
    },
    ground::{Ground, deployed},
    state::MODEL_FILE,
    voice,
};

/// Opens the record; says whether there is anything to do.
pub async fn begin(global: &Global, args: Begin) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let snapshot = ground.pipeline()?.snapshot(&args.revision).await.map_err(Problem::from)?;
    let model = model_file(snapshot.read(MODEL_FILE))?;
    let digest = model.training_digest();
    let records = Records::new(ground.kube().await?);
    let (name, needed) = if args.name.is_empty() {
        let production = snapshot.read(&Environment::Production.values_file()).and_then(deployed_in);
        (args.workflow.clone(), !runs_already(&ground, &model, production, &digest).await?)
    } else {
        let known = records.find(&args.name).await?;
        let done = known.is_some_and(|known| known.release.status.phase == Phase::Promoted);
        (args.name.clone(), !done)
    };
    ground.output("release", &name)?;
    ground.output("needed", if needed { "true" } else { "false" })?;
    if !needed {
        voice::data("Nothing to do: production runs what this training would make.");
        return Ok(Answer::Yes);
    }
    let spec = ReleaseSpec {
        commit: snapshot.commit.clone(),
        training_digest: digest,
        reason: format!("workflow {}", args.workflow),
    };
    records.ensure(&name, &spec).await?;
    let now = rfc3339(SystemClock.now());
    records
        .update(&name, |status| {
            status.phase = Phase::Training;
            status.message = "Training.".into();
            status.workflow = Some(args.workflow.clone());
            status.started_at.get_or_insert_with(|| now.clone());
        })
        .await?;
    voice::data(&format!("Release {name} from commit {}.", snapshot.commit));
    Ok(Answer::Yes)
}

/// The model file of a release's commit.
pub async fn model_of(ground: &Ground, commit: &str) -> Result<ModelFile, Problem> {
    let snapshot = ground.pipeline()?.snapshot(commit).await.map_err(Problem::from)?;
    model_file(snapshot.read(MODEL_FILE))
}

fn model_file(bytes: Option<&[u8]>) -> Result<ModelFile, Problem> {
    let bytes = bytes.ok_or_else(|| {
        Problem::new("G0109", Kind::NotFound, format!("The commit has no `{MODEL_FILE}`."))
            .try_this("`galley init DIR` makes a repository that has one.")
    })?;
    parse_model_file(MODEL_FILE, &String::from_utf8_lossy(bytes))
}

fn deployed_in(values: &[u8]) -> Option<galley_release_types::Deployed> {
    deployed(&String::from_utf8_lossy(values))
}

async fn runs_already(
    ground: &Ground,
    model: &ModelFile,
    production: Option<galley_release_types::Deployed>,
    digest: &str,
) -> Result<bool, Problem> {
    let Some(production) = production else { return Ok(false) };
    let version = ground.tracking()?.get_version(&model.model, &production.version).await;
    Ok(version.is_ok_and(|version| {
        version.is_some_and(|version| version.tag(tags::TRAINING_DIGEST) == Some(digest))
    }))
}

/// Closes the record. A candidate that was refused gives back the environments it stood in.
pub async fn settle(global: &Global, args: Settle) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let name = if args.name.is_empty() { &args.workflow } else { &args.name };
    let records = Records::new(ground.kube().await?);
    let Some(recorded) = records.find(name).await? else {
        voice::data("There was nothing to do, and nothing is recorded.");
        return Ok(Answer::Yes);
    };
    let status = &recorded.release.status;
    if status.phase == Phase::Promoted {
        voice::data(&status.message);
        return Ok(Answer::Yes);
    }
    let given_back =
        if args.status == "Succeeded" { Vec::new() } else { give_back(&ground, name, status).await? };
    let now = rfc3339(SystemClock.now());
    let closed = records.update(name, |status| close(status, &args.status, &given_back, &now)).await?;
    voice::data(&closed.release.status.message);
    Ok(Answer::Yes)
}

/// Puts back what staging and canary ran before this release, where they still run it.
async fn give_back(ground: &Ground, name: &str, status: &ReleaseStatus) -> Result<Vec<Environment>, Problem> {
    let mut given_back = Vec::new();
    for environment in [Environment::Staging, Environment::Canary] {
        let delivered = status.commits.iter().rev().find(|commit| commit.environment == environment);
        let (Some(delivered), Some(version)) = (delivered, &status.version) else { continue };
        let back = promote::Delivery {
            environment,
            wanted: delivered.previous.clone(),
            only_if: Some(version.clone()),
            subject: format!("rollback: {environment} from version {version}, refused"),
            trailers: vec![("Release".into(), name.to_owned())],
        };
        if promote::deliver(&ground.pipeline()?, &back).await?.commit.is_some() {
            given_back.push(environment);
        }
    }
    Ok(given_back)
}

fn close(status: &mut ReleaseStatus, workflow: &str, given_back: &[Environment], now: &str) {
    let refused = status.gates.iter().find(|gate| gate.verdict != Verdict::Pass);
    (status.phase, status.message) = match refused {
        Some(gate) => (Phase::Stopped, format!("Stopped at the gate `{}`: {}", gate.name, gate.reason)),
        None => (Phase::Failed, format!("The workflow ended as {workflow} before production.")),
    };
    for environment in given_back {
        status.message.push_str(&format!(" {environment} has its former version back."));
    }
    status.finished_at = Some(now.to_owned());
}
