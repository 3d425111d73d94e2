//! What there is: outputs, nodes, the state. Nothing is asked of the cloud.

use galley_problem::{Kind, Problem};
use serde_json::{Map, Value, json};

use super::Here;
use crate::{
    Answer,
    cli::{Format, Global, infra::Site},
    voice,
};

/// `galley infra output`.
pub async fn output(global: &Global, site: &Site, name: Option<&str>) -> Result<Answer, Problem> {
    let here = Here::open(global, site, false).await?;
    here.space.init(&here.screen).await?;
    let outputs = here.space.outputs(&here.screen).await?;
    let shown: Map<String, Value> = outputs
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, output)| {
            let hidden = output["sensitive"] == true;
            (name.clone(), if hidden { json!("(sensitive)") } else { output["value"].clone() })
        })
        .collect();
    if let Some(name) = name {
        let names = shown.keys().cloned().collect::<Vec<_>>().join(", ");
        let value = shown.get(name).ok_or_else(|| {
            let text = if names.is_empty() {
                "There are no outputs yet.".to_owned()
            } else {
                format!("There is no output `{name}`; there are: {names}.")
            };
            Problem::new("G1212", Kind::NotFound, text).try_this("`galley infra apply` makes them.")
        })?;
        voice::data(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        return Ok(Answer::Yes);
    }
    let row = |(name, value): (&String, &Value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let text =
            if text.chars().count() > 90 { text.chars().take(90).collect::<String>() + "..." } else { text };
        vec![name.clone(), text]
    };
    let table =
        voice::Table { columns: vec!["name", "value"], wide: vec![], rows: shown.iter().map(row).collect() };
    voice::list(site.output.output, &shown, table)?;
    Ok(Answer::Yes)
}

/// `galley infra inventory`.
pub async fn inventory(global: &Global, site: &Site) -> Result<Answer, Problem> {
    let here = Here::open(global, site, false).await?;
    here.space.init(&here.screen).await?;
    let outputs = here.space.outputs(&here.screen).await?;
    let tree = outputs["inventory"]["value"].clone();
    if tree.is_null() {
        return Err(Problem::new("G1223", Kind::NotFound, "The state has no output `inventory`.")
            .try_this("Run `galley infra apply` first, or give machines of your own with `galley cluster install -i FILE`."));
    }
    if site.output.output == Format::Json {
        voice::object(Format::Json, &tree)?;
        return Ok(Answer::Yes);
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let jump = text(&tree["all"]["vars"]["galley_jump_host"]);
    let public = text(&tree["all"]["vars"]["galley_public_ip"]);
    let group_of = |node: &str| {
        let groups = tree.as_object().into_iter().flatten();
        groups
            .filter(|(name, _)| !["all", "_meta"].contains(&name.as_str()))
            .find(|(_, group)| {
                group["hosts"].as_array().is_some_and(|hosts| hosts.iter().any(|host| host == node))
            })
            .map_or_else(String::new, |(name, _)| name.clone())
    };
    let hosts = tree["_meta"]["hostvars"].as_object().into_iter().flatten();
    let rows = hosts
        .map(|(node, host)| {
            let via = if *node == jump { public.clone() } else { format!("through {jump}") };
            vec![node.clone(), group_of(node), text(&host["node_address"]), via]
        })
        .collect();
    voice::list(
        site.output.output,
        &tree,
        voice::Table { columns: vec!["node", "group", "address", "reached"], wide: vec![], rows },
    )?;
    Ok(Answer::Yes)
}

/// `galley infra show`.
pub async fn show(global: &Global, site: &Site) -> Result<Answer, Problem> {
    let here = Here::open(global, site, false).await?;
    here.space.init(&here.screen).await?;
    let resources = here.space.resources(&here.screen).await?;
    let rows = resources
        .iter()
        .map(|one| {
            let mark = if one.tainted { " (to be made anew)" } else { "" };
            vec![one.address.clone(), one.name.clone().unwrap_or_default(), format!("{}{mark}", one.id)]
        })
        .collect();
    voice::list(
        site.output.output,
        &resources,
        voice::Table { columns: vec!["resource", "name", "id"], wide: vec![], rows },
    )?;
    let place = match super::server(&here.space) {
        Some(address) => address.to_owned(),
        None => here.space.state_file().display().to_string(),
    };
    here.screen.say(&format!(
        "State: {place} ({} {}).",
        here.space.tool.kind.name(),
        here.space.tool.version
    ));
    if here.space.journal_file().exists() {
        here.screen.say("A run was cut off; `galley infra apply` settles what it left and goes on.");
    }
    Ok(Answer::Yes)
}
