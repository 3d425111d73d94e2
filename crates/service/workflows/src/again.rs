//! Runs done again: retry in place, resubmit as a new run.

use std::collections::BTreeMap;
use std::time::Duration;

use galley_argo_workflows::Workflow;
use galley_problem::{Kind, Problem};
use galley_units::Clock;
use galley_workflow::RetryOptions;
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::runtime::conditions::is_deleted;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::Error;
use crate::api::{argo, as_workflow, core, within};
use crate::door::{TRIES, find, patch_spec};
use crate::error::code_of;

/// How long the pods of forgotten nodes may take to go.
const GOING: Duration = Duration::from_secs(60);

fn refused(why: String) -> Problem {
    Problem::new("G0512", Kind::Conflict, format!("{}.", why.trim_end_matches('.')))
}

/// Lets a workflow that ended badly go on: what ended well stays, the rest is done again.
///
/// # Errors
/// When there is no such workflow, when it has not ended badly, or when a pod that must go does not.
pub async fn retry(
    client: &Client,
    clock: &dyn Clock,
    namespace: &str,
    name: &str,
    options: &RetryOptions,
) -> Result<(), Problem> {
    for _ in 0..TRIES {
        let object = find(client, namespace, name).await?;
        let workflow = as_workflow(&object)?;
        let plan = galley_workflow::retry(&workflow, options, clock.now()).map_err(refused)?;
        for pod in &plan.pods {
            remove_pod(client, namespace, pod).await?;
        }
        match write(client, namespace, name, object, &plan.workflow).await {
            Err(error) if error.is_conflict() => {}
            other => return Ok(other?),
        }
    }
    Err(refused(format!("workflow `{name}` changes too fast to be retried")))
}

async fn remove_pod(client: &Client, namespace: &str, name: &str) -> Result<(), Problem> {
    let pods = within(client, namespace, &core("Pod"));
    let what = || format!("deleting pod {namespace}/{name}");
    let Some(pod) = pods.get_opt(name).await.map_err(Error::api(what()))? else { return Ok(()) };
    let uid = pod.uid().unwrap_or_default();
    match pods.delete(name, &DeleteParams::default()).await {
        Err(error) if code_of(&error) == Some(404) => return Ok(()),
        Err(error) => return Err(Error::api(what())(error).into()),
        Ok(_) => {}
    }
    let gone = tokio::time::timeout(GOING, await_condition(pods, name, is_deleted(&uid))).await;
    match gone {
        Ok(Ok(_)) => Ok(()),
        _ => Err(Problem::new("G0511", Kind::Timeout, format!("Pod `{name}` does not go away."))
            .try_this("Delete it and retry the workflow again.")),
    }
}

/// Writes spec, labels and status of a workflow as they were read and changed.
async fn write(
    client: &Client,
    namespace: &str,
    name: &str,
    mut object: DynamicObject,
    changed: &Workflow,
) -> Result<(), Error> {
    let workflows = within(client, namespace, &argo("Workflow"));
    let form = |source| Error::Form { what: format!("workflow {name}"), source };
    let what = || format!("writing workflow {namespace}/{name}");
    object.metadata.labels = Some(changed.metadata.labels.clone());
    object.data["spec"] = serde_json::to_value(&changed.spec).map_err(form)?;
    let mut stored =
        workflows.replace(name, &PostParams::default(), &object).await.map_err(Error::api(what()))?;
    stored.data["status"] = serde_json::to_value(&changed.status).map_err(form)?;
    workflows.replace_status(name, &PostParams::default(), &stored).await.map_err(Error::api(what()))?;
    Ok(())
}

/// Begins a new run of the same workflow and gives its name. With `memoized`, what ended well in the run before is
/// not run again.
///
/// # Errors
/// When there is no such workflow, when `memoized` does not fit how it ended, or when a parameter does not exist.
pub async fn resubmit(
    client: &Client,
    clock: &dyn Clock,
    namespace: &str,
    name: &str,
    memoized: bool,
    parameters: &BTreeMap<String, String>,
) -> Result<String, Problem> {
    let before = as_workflow(&find(client, namespace, name).await?)?;
    let now = clock.now();
    let prefix = before.metadata.generate_name.clone().unwrap_or_else(|| format!("{name}-"));
    let seed = format!("{}{}", before.metadata.uid.as_deref().unwrap_or_default(), now.as_nanosecond());
    let new_name = format!("{prefix}{:05x}", galley_units::fnv1a_32(&seed) & 0xf_ffff);
    let mut new =
        galley_workflow::resubmit(&before, &new_name, memoized, parameters, now).map_err(refused)?;
    new.metadata.generate_name = None;
    let status = new.status.take();
    let rests = new.spec.suspend;
    if memoized {
        // It must not begin before its status is there.
        new.spec.suspend = Some(true);
    }
    let object: DynamicObject = serde_json::to_value(&new)
        .and_then(serde_json::from_value)
        .map_err(|source| Error::Form { what: "the workflow".to_owned(), source })?;
    let workflows = within(client, namespace, &argo("Workflow"));
    workflows.create(&PostParams::default(), &object).await.map_err(Error::api("submitting the workflow"))?;
    let Some(status) = status else { return Ok(new_name) };
    for _ in 0..TRIES {
        let mut object = find(client, namespace, &new_name).await?;
        object.data["status"] = serde_json::to_value(&status)
            .map_err(|source| Error::Form { what: "the status".to_owned(), source })?;
        match workflows.replace_status(&new_name, &PostParams::default(), &object).await {
            Ok(_) => {
                patch_spec(client, namespace, &new_name, json!({"suspend": rests})).await?;
                return Ok(new_name);
            }
            Err(error) if code_of(&error) == Some(409) => {}
            Err(error) => return Err(Error::api("writing the status of the new workflow")(error).into()),
        }
    }
    Err(refused(format!("workflow `{new_name}` changes too fast")))
}
