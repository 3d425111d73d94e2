//! `galley cron ...`: CronWorkflows.

use galley_argo_workflows::{Externals, check_files};
use galley_problem::{Kind, Problem, did_you_mean};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use super::{
    objects::{refused, text},
    release::defaults,
};
use crate::{
    Answer,
    cli::{Cron, Format, Global, Output},
    ground::Ground,
    voice,
};

/// Runs a verb.
///
/// # Errors
/// What the verb could not do.
pub async fn run(global: &Global, cron: Cron) -> Result<Answer, Problem> {
    let client = Ground::find(global, &defaults()).await?.kube().await?;
    match cron {
        Cron::List { all_namespaces, namespace, output } => {
            let namespace = (!all_namespaces).then_some(namespace.namespace.as_str());
            list(&client, namespace, &output).await
        }
        Cron::Get { name, namespace, output } => {
            let cron = find(&client, &namespace.namespace, &name).await?;
            match output.output {
                Format::Json | Format::Yaml => voice::object(output.output, &cron)?,
                Format::Name => voice::data(&cron.name_any()),
                Format::Table | Format::Wide => describe(&cron),
            }
            Ok(Answer::Yes)
        }
        Cron::Create { files, schedule, name, namespace } => {
            for file in &files {
                let text = std::fs::read_to_string(file).map_err(|e| crate::io(file, "reading", &e))?;
                let at = file.display().to_string();
                create(&client, &namespace.namespace, &at, &text, schedule.as_deref(), name.as_deref())
                    .await?;
            }
            Ok(Answer::Yes)
        }
        Cron::Suspend { names, namespace } => set(&client, &namespace.namespace, &names, true).await,
        Cron::Resume { names, namespace } => set(&client, &namespace.namespace, &names, false).await,
        Cron::Delete { names, all, namespace } => {
            let api = crons(&client, Some(&namespace.namespace));
            let names = if all {
                let listed = api.list(&ListParams::default()).await;
                listed
                    .map_err(|e| refused("to list CronWorkflows", &e))?
                    .iter()
                    .map(ResourceExt::name_any)
                    .collect()
            } else {
                names
            };
            for name in names {
                find(&client, &namespace.namespace, &name).await?;
                api.delete(&name, &DeleteParams::default())
                    .await
                    .map_err(|e| refused("to delete the CronWorkflow", &e))?;
                voice::data(&format!("cronworkflow/{name} deleted"));
            }
            Ok(Answer::Yes)
        }
        Cron::Backfill { name, start, end, argname, parallel, max_workflow_count, namespace } => {
            let span = galley_workflows::Span {
                start,
                end: end.unwrap_or_else(|| galley_units::Clock::now(&galley_units::SystemClock)),
                parameter: argname,
                parallel,
                most: max_workflow_count,
            };
            let made = galley_workflows::backfill(&client, &namespace.namespace, &name, &span).await?;
            made.iter().for_each(|name| voice::data(name));
            Ok(Answer::Yes)
        }
    }
}

fn crons(client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "CronWorkflow");
    let resource = ApiResource::from_gvk_with_plural(&gvk, "cronworkflows");
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

async fn find(client: &Client, namespace: &str, name: &str) -> Result<DynamicObject, Problem> {
    let api = crons(client, Some(namespace));
    if let Some(found) = api.get_opt(name).await.map_err(|e| refused("to show the CronWorkflow", &e))? {
        return Ok(found);
    }
    let all = api.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default();
    let names: Vec<String> = all.iter().map(ResourceExt::name_any).collect();
    let what = format!("There is no CronWorkflow `{name}` in {namespace}.");
    let problem = Problem::new("G0510", Kind::NotFound, what);
    Err(match did_you_mean(name, names.iter().map(String::as_str)) {
        Some(near) => problem.try_this(format!("Did you mean `{near}`?")),
        None => problem.try_this(format!("`galley cron list -n {namespace}` shows the ones there are.")),
    })
}

fn schedules(cron: &DynamicObject) -> String {
    let spec = &cron.data["spec"];
    let many = spec["schedules"].as_array().into_iter().flatten().filter_map(Value::as_str);
    many.chain(spec["schedule"].as_str()).collect::<Vec<_>>().join(",")
}

async fn list(client: &Client, namespace: Option<&str>, output: &Output) -> Result<Answer, Problem> {
    let all = crons(client, namespace).list(&ListParams::default()).await;
    let mut items = all.map_err(|e| refused("to list CronWorkflows", &e))?.items;
    items.sort_by_key(ResourceExt::name_any);
    let rows = items
        .iter()
        .map(|cron| {
            vec![
                cron.name_any(),
                schedules(cron),
                text(&cron.data, &["status", "lastScheduledTime"]),
                text(&cron.data, &["spec", "timezone"]),
                (cron.data["spec"]["suspend"] == true).to_string(),
                cron.namespace().unwrap_or_default(),
            ]
        })
        .collect();
    let columns = vec!["name", "schedule", "last run", "timezone", "suspended"];
    voice::list(output.output, &items, voice::Table { columns, wide: vec!["namespace"], rows })?;
    Ok(Answer::Yes)
}

fn describe(cron: &DynamicObject) {
    let (spec, status) = (&cron.data["spec"], &cron.data["status"]);
    let rows = [
        ("name", cron.name_any()),
        ("namespace", cron.namespace().unwrap_or_default()),
        ("schedule", schedules(cron)),
        ("timezone", text(spec, &["timezone"])),
        ("suspended", (spec["suspend"] == true).to_string()),
        ("concurrency", text(spec, &["concurrencyPolicy"])),
        ("last run", text(status, &["lastScheduledTime"])),
        ("succeeded", status["succeeded"].as_i64().unwrap_or(0).to_string()),
        ("failed", status["failed"].as_i64().unwrap_or(0).to_string()),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        voice::data(&format!("{name:<12}{value}"));
    }
    for active in status["active"].as_array().into_iter().flatten() {
        voice::data(&format!("{:<12}{}", "active", text(active, &["name"])));
    }
    for condition in status["conditions"].as_array().into_iter().flatten() {
        voice::data(&format!("{:<12}{}", text(condition, &["type"]), text(condition, &["message"])));
    }
}

async fn create(
    client: &Client,
    namespace: &str,
    file: &str,
    text: &str,
    schedule: Option<&str>,
    name: Option<&str>,
) -> Result<(), Problem> {
    check_files(&[(file, text)], Externals::Allowed).map_err(|mut problems| {
        let last = problems.pop();
        problems.iter().for_each(voice::problem);
        last.unwrap_or_else(|| none_in(file))
    })?;
    let mut made = 0;
    for document in galley_yaml::parse_documents(file, text)? {
        let mut object = document.value;
        if object["kind"] != "CronWorkflow" {
            continue;
        }
        if let Some(schedule) = schedule {
            object["spec"]["schedules"] = json!([schedule]);
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("schedule");
            }
        }
        if let Some(name) = name {
            object["metadata"]["name"] = json!(name);
        }
        object["metadata"]["namespace"] = json!(namespace);
        let object: DynamicObject =
            serde_json::from_value(object).map_err(|e| crate::internal("reading a CronWorkflow", &e))?;
        let created = crons(client, Some(namespace)).create(&PostParams::default(), &object).await;
        let created = created.map_err(|e| refused("to create the CronWorkflow", &e))?;
        voice::data(&format!("cronworkflow/{} created", created.name_any()));
        made += 1;
    }
    if made == 0 { Err(none_in(file)) } else { Ok(()) }
}

fn none_in(file: &str) -> Problem {
    Problem::new("G0117", Kind::Invalid, format!("{file} holds no CronWorkflow."))
}

async fn set(client: &Client, namespace: &str, names: &[String], suspend: bool) -> Result<Answer, Problem> {
    for name in names {
        find(client, namespace, name).await?;
        let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
        crons(client, Some(namespace))
            .patch(name, &PatchParams::default(), &patch)
            .await
            .map_err(|e| refused("to change the CronWorkflow", &e))?;
        voice::data(&format!("cronworkflow/{name} {}", if suspend { "suspended" } else { "resumed" }));
    }
    Ok(Answer::Yes)
}
