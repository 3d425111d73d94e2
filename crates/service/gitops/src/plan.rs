//! What a sync would do, for people: `galley plan` and `galley app diff`.

use std::sync::Arc;

use galley_argo_cd::Application;
use galley_problem::Problem;
use galley_sync::{Options, Plan};
use kube::Client;

use crate::{
    Config, Repositories,
    observe::{Eyes, Reach},
    source::Wanted,
};

/// The plan of a sync of this Application now, without doing anything. It prunes if the Application's policy does.
///
/// # Errors
/// What the Application's conditions would say.
pub async fn plan(
    client: Client,
    config: Config,
    repositories: Arc<dyn Repositories>,
    application: &Application,
) -> Result<Plan, Problem> {
    let eyes = Eyes::new(client, config, repositories);
    let seen = eyes.look(application, &Wanted::default(), Reach::All).await.map_err(Problem::from)?;
    let options = Options {
        revision: seen.rendered.revisions.first().cloned().unwrap_or_default(),
        prune: application.spec.automated().is_some_and(|policy| policy.prune),
        options: application.spec.sync_policy.as_ref().map(|p| p.sync_options.clone()).unwrap_or_default(),
        namespace: seen.namespace.clone(),
        ..Options::default()
    };
    Ok(Plan::new(&application.metadata.name, &seen.comparison, &options))
}

/// The objects of an Application at a revision (its own, if that is empty) as they would be applied, and the commit.
///
/// # Errors
/// What the Application's conditions would say.
pub async fn manifests(
    client: Client,
    config: Config,
    repositories: Arc<dyn Repositories>,
    application: &Application,
    revision: &str,
) -> Result<(Vec<serde_json::Value>, String), Problem> {
    let eyes = Eyes::new(client, config, repositories);
    let revisions = if revision.is_empty() { Vec::new() } else { vec![revision.to_owned()] };
    let wanted = Wanted { revisions, ..Wanted::default() };
    let seen = eyes.look(application, &wanted, Reach::Known).await.map_err(Problem::from)?;
    let commit = seen.rendered.revisions.first().cloned().unwrap_or_default();
    let objects = seen.comparison.objects.iter().filter_map(|object| object.target.as_ref());
    Ok((objects.map(|target| target.value.clone()).collect(), commit))
}
