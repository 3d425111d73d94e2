//! `galley init` and `galley plan`: making a pipeline repository, and saying what one would do.

use galley_argo_workflows::{Externals, Manifest};
use galley_git::Repo;
use galley_problem::{Kind, Problem};
use kube::{ResourceExt, api::ListParams};

use super::{
    objects::{applications, refused},
    release::defaults,
};
use crate::{
    Answer,
    cli::{Global, Init, Plan},
    ground::Ground,
    up::{gitops_config, make_pipeline, repositories},
    voice,
};

/// `galley init DIR`
///
/// # Errors
/// G0121 if the folder is not empty, G04xx if git refuses.
pub async fn init(args: &Init) -> Result<Answer, Problem> {
    galley_git::check_git()?;
    if std::fs::read_dir(&args.dir).is_ok_and(|mut all| all.next().is_some()) {
        return Err(Problem::new("G0121", Kind::Conflict, format!("{} is not empty.", args.dir.display()))
            .try_this("Name a new folder."));
    }
    make_pipeline(&args.dir).await?;
    voice::talk(&format!(
        "Made a pipeline repository in {0}. Run it with `galley up {0}`.",
        args.dir.display()
    ));
    Ok(Answer::Yes)
}

/// `galley plan`: what the next sync of each Application would do, or what a workflow file would run.
///
/// # Errors
/// G05xx for a bad workflow file, G03xx or G04xx for what cannot be rendered.
pub async fn plan(global: &Global, args: &Plan) -> Result<Answer, Problem> {
    if let Some(file) = &args.file {
        let text = std::fs::read_to_string(file).map_err(|e| crate::io(file, "reading", &e))?;
        return check(&file.display().to_string(), &text);
    }
    let client = Ground::find(global, &defaults()).await?.kube().await?;
    let all = applications(&client)
        .list(&ListParams::default())
        .await
        .map_err(|e| refused("to list Applications", &e))?;
    for application in all.items {
        let plan = plan_of(global, &application.name_any()).await?;
        voice::data(&format!("{}:\n{plan}", application.name_any()));
    }
    Ok(Answer::Yes)
}

/// The plan of one Application, from the newest state of everything.
///
/// # Errors
/// As [`plan`].
pub async fn plan_of(global: &Global, name: &str) -> Result<galley_sync::Plan, Problem> {
    let ground = Ground::find(global, &defaults()).await?;
    let Some((state, _)) = ground.machine() else {
        return Err(Problem::new("G0124", Kind::Usage, "Plans are made beside `galley up` only.")
            .try_this(format!("For an Application of a cluster: `argocd app diff {name}`.")));
    };
    let own = Repo::init_or_open(state.path("git/pipeline.git")).await?;
    let client = ground.kube().await?;
    let object = super::app::find(&client, name).await?;
    let application = serde_json::to_value(&object)
        .and_then(serde_json::from_value::<galley_argo_cd::Application>)
        .map_err(|e| crate::internal("reading an Application", &e))?;
    let repositories = repositories(own, state.path("mirrors"));
    galley_gitops::plan(client, gitops_config(), repositories, &application).await
}

/// A file without a workflow.
pub fn no_workflow(file: &str) -> Problem {
    Problem::new("G0117", Kind::Invalid, format!("{file} holds no workflow."))
}

/// Checks a workflow file and shows what it would run; every problem is told, not only the first.
fn check(file: &str, text: &str) -> Result<Answer, Problem> {
    let manifests = galley_argo_workflows::check_files(&[(file, text)], Externals::Allowed);
    let manifests = manifests.map_err(|mut problems| {
        let last = problems.pop();
        problems.iter().for_each(voice::problem);
        last.unwrap_or_else(|| no_workflow(file))
    })?;
    for manifest in &manifests {
        let (kind, meta, spec) = match manifest {
            Manifest::Workflow(workflow) => ("Workflow", &workflow.metadata, &workflow.spec),
            Manifest::WorkflowTemplate(template) => ("WorkflowTemplate", &template.metadata, &template.spec),
            Manifest::ClusterWorkflowTemplate(template) => {
                ("ClusterWorkflowTemplate", &template.metadata, &template.spec)
            }
            Manifest::CronWorkflow(cron) => ("CronWorkflow", &cron.metadata, &cron.spec.workflow_spec),
        };
        voice::data(&format!("{kind} {}", meta.name));
        for template in &spec.templates {
            voice::data(&format!("  {}", template.name));
        }
    }
    Ok(Answer::Yes)
}
