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
