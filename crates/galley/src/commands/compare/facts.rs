//! One side of a comparison as facts.

use std::collections::BTreeMap;

use galley_problem::{Kind, Problem};
use galley_release_types::{ENVIRONMENTS, PIPELINE_NAMESPACE};
use galley_releases::Records;
use kube::{ResourceExt, api::ListParams};
use serde_json::Value;

use super::super::objects::{applications, refused, text, workflows};
use crate::{ground::Ground, steps};

type Facts = BTreeMap<String, String>;

/// Why a fact must differ, if it must.
pub fn reason(fact: &str) -> Option<&'static str> {
    if fact.starts_with("application gourmetgram-platform resource ") {
        return Some("on one machine Galley itself serves git, registry, tracking and the gateway");
    }
    if fact.ends_with("output run-id") || fact.ends_with(" runId") || fact == "release runId" {
        return Some("the tracking server draws the ids of runs");
    }
    if fact == "release image" || fact.starts_with("values ") && fact.ends_with(" digest") {
        return Some("the image's contract names the run");
    }
    None
}

/// The newest release that both sides have.
///
/// # Errors
/// G1003 if they have none in common.
pub async fn common_release(here: &Ground, there: &Ground) -> Result<String, Problem> {
    let there: Vec<_> = Records::new(there.kube().await?).list().await?.into_iter().map(|r| r.name).collect();
    let here = Records::new(here.kube().await?).list().await?.into_iter().map(|r| r.name);
    here.into_iter().find(|name| there.contains(name)).ok_or_else(|| {
        Problem::new("G1003", Kind::NotFound, "This machine and the cluster have no release in common.")
            .try_this(
                "Give both the same commit: `galley up DIR`, and `galley bootstrap DIR --kubeconfig FILE`.",
            )
    })
}

/// Everything that is compared.
///
/// # Errors
/// What the side refuses to tell.
pub async fn of(ground: &Ground, release: &str) -> Result<Facts, Problem> {
    let mut facts = Facts::new();
    of_applications(ground, &mut facts).await?;
    let workflow = of_release(ground, release, &mut facts).await?;
    if let Some(workflow) = workflow {
        of_workflow(ground, &workflow, &mut facts).await?;
    }
    of_repository(ground, &mut facts).await?;
    of_registry(ground, &mut facts).await?;
    of_versions(ground, &mut facts).await?;
    Ok(facts)
}

async fn of_applications(ground: &Ground, facts: &mut Facts) -> Result<(), Problem> {
    let all = applications(&ground.kube().await?)
        .list(&ListParams::default())
        .await
        .map_err(|e| refused("to list Applications", &e))?;
    for application in all {
        let name = application.name_any();
        let status = &application.data["status"];
        facts.insert(format!("application {name} sync"), text(status, &["sync", "status"]));
        facts.insert(format!("application {name} health"), text(status, &["health", "status"]));
        for resource in status["resources"].as_array().into_iter().flatten() {
            let of = |key: &str| resource[key].as_str().unwrap_or_default().to_owned();
            let fact =
                format!("application {name} resource {} {} {}", of("kind"), of("namespace"), of("name"));
            facts.insert(fact, of("status"));
        }
    }
    Ok(())
}

/// The release's record; the name of its workflow.
async fn of_release(ground: &Ground, name: &str, facts: &mut Facts) -> Result<Option<String>, Problem> {
    let recorded = Records::new(ground.kube().await?).get(name).await?;
    let (spec, status) = (recorded.release.spec, recorded.release.status);
    facts.insert("release commit".into(), spec.commit);
    facts.insert("release trainingDigest".into(), spec.training_digest);
    facts.insert("release phase".into(), format!("{:?}", status.phase));
    for gate in &status.gates {
        facts.insert(format!("release gate {}", gate.name), format!("{:?}", gate.verdict));
    }
    for (key, value) in [("version", &status.version), ("image", &status.image), ("runId", &status.run_id)] {
        facts.insert(format!("release {key}"), value.clone().unwrap_or_default());
    }
    Ok(status.workflow)
}

/// The node tree, by the nodes' places in it.
async fn of_workflow(ground: &Ground, name: &str, facts: &mut Facts) -> Result<(), Problem> {
    let found = workflows(&ground.kube().await?, Some(PIPELINE_NAMESPACE)).get_opt(name).await;
    let Some(workflow) = found.map_err(|e| refused("to show the workflow", &e))? else { return Ok(()) };
    let status = &workflow.data["status"];
    facts.insert("workflow phase".into(), text(status, &["phase"]));
    facts.insert("workflow progress".into(), text(status, &["progress"]));
    for node in status["nodes"].as_object().into_iter().flatten().map(|(_, node)| node) {
        let place = text(node, &["name"]).replacen(name, "", 1);
        let template = [text(node, &["templateName"]), text(node, &["templateRef", "name"])].concat();
        let what = format!("{} {template} {}", text(node, &["type"]), text(node, &["phase"]));
        facts.insert(format!("node {place}"), what);
        for parameter in node["outputs"]["parameters"].as_array().into_iter().flatten() {
            let value = parameter["value"].as_str().unwrap_or_default();
            facts.insert(format!("node {place} output {}", text(parameter, &["name"])), value.to_owned());
        }
    }
    Ok(())
}

/// What the repository's head says each environment runs.
async fn of_repository(ground: &Ground, facts: &mut Facts) -> Result<(), Problem> {
    let snapshot = ground.pipeline()?.snapshot("main").await.map_err(Problem::from)?;
    for environment in ENVIRONMENTS {
        let values = snapshot.read(&environment.values_file()).map(String::from_utf8_lossy);
        let deployed = values.and_then(|values| crate::ground::deployed(&values));
        let (version, digest) = deployed.map_or_else(Default::default, |d| (d.version, d.digest));
        facts.insert(format!("values {environment} version"), version);
        facts.insert(format!("values {environment} digest"), digest);
    }
    Ok(())
}

async fn of_registry(ground: &Ground, facts: &mut Facts) -> Result<(), Problem> {
    let tracking = ground.tracking()?;
    let failed = |error| steps::tracking_problem("reading the model", &error);
    let model = steps::model_name(ground).await?;
    let Some(registered) = tracking.registered_model(&model).await.map_err(failed)? else { return Ok(()) };
    for alias in registered.aliases {
        facts.insert(format!("alias {}", alias.alias), alias.version);
    }
    for version in tracking.latest_versions(&model, 100).await.map_err(failed)? {
        let digest = version.tag(steps::tags::TRAINING_DIGEST).unwrap_or_default().to_owned();
        facts.insert(format!("model version {} trainingDigest", version.version), digest);
    }
    Ok(())
}

/// What each environment says of itself.
async fn of_versions(ground: &Ground, facts: &mut Facts) -> Result<(), Problem> {
    let http = ground.http()?;
    for environment in ENVIRONMENTS {
        let Ok(url) = ground.application(environment) else { continue };
        let answer = http.get(format!("{url}/version")).header("accept", "application/json").send().await;
        let answer: Value = match answer {
            Ok(answer) => answer.json().await.unwrap_or_default(),
            Err(error) => {
                facts.insert(format!("version {environment}"), error.without_url().to_string());
                continue;
            }
        };
        for (key, value) in answer.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            facts.insert(format!("version {environment} {key}"), value);
        }
    }
    Ok(())
}
