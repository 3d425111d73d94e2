//! `galley infra check`: everything that can be known before anything is made, each with its remedy.

use galley_iac::{
    Tool,
    openstack::{Client, Sort},
};
use galley_problem::Problem;
use owo_colors::OwoColorize;
use serde::Serialize;
use serde_json::Value;

use super::{Here, recover};
use crate::{
    Answer,
    cli::{Format, Global, infra::Site},
    voice,
};

/// What was looked at.
#[derive(Serialize)]
struct Finding {
    what: String,
    ok: bool,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, what: &str, detail: impl Into<String>) {
        self.0.push(Finding { what: what.to_owned(), ok: true, detail: detail.into(), remedy: None });
    }

    fn bad(&mut self, what: &str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding {
            what: what.to_owned(),
            ok: false,
            detail: detail.into(),
            remedy: Some(remedy.into()),
        });
    }

    fn problem(&mut self, what: &str, problem: &Problem) {
        let remedy = problem.remedy.clone();
        self.0.push(Finding { what: what.to_owned(), ok: false, detail: problem.to_string(), remedy });
    }
}

/// The variables that are looked at.
const VARIABLES: [&str; 9] = [
    "cloud",
    "image",
    "flavor",
    "shared_network",
    "floating_ip_pool",
    "key_pair",
    "ssh_public_key",
    "security_groups",
    "nodes",
];

/// Looks at everything; exit code 1 if something is wrong.
pub async fn run(global: &Global, site: &Site) -> Result<Answer, Problem> {
    let mut findings = Findings::default();
    match Tool::find(site.tool.as_deref()).await {
        Ok(tool) => findings
            .good("tool", format!("{} {} ({})", tool.kind.name(), tool.version, tool.program.display())),
        Err(error) => findings.problem("tool", &error.into()),
    }
    if findings.0.iter().all(|one| one.ok) {
        let here = Here::open(global, site, false).await?;
        let values = configuration(&here, &mut findings).await;
        match recover::cloud(&here).await {
            Ok(client) => cloud(&client, &values, &mut findings).await,
            Err(problem) => findings.problem("credentials", &problem),
        }
    }
    let all = findings.0.iter().all(|one| one.ok);
    print(site.output.output, &findings.0)?;
    Ok(if all { Answer::Yes } else { Answer::No })
}

async fn configuration(here: &Here, findings: &mut Findings) -> Value {
    if let Err(error) = here.space.init(&here.screen).await {
        findings.problem("providers", &error.into());
        return Value::Null;
    }
    match here.space.validate(&here.screen).await {
        Ok(_) => findings.good("configuration", here.space.options.dir.display().to_string()),
        Err(error) => findings.problem("configuration", &error.into()),
    }
    match here.space.values(&VARIABLES, &here.screen).await {
        Ok(values) => {
            findings.good("variables", "every one has a value that is allowed");
            values.into_iter().collect::<serde_json::Map<_, _>>().into()
        }
        Err(error) => {
            findings.problem("variables", &error.into());
            Value::Null
        }
    }
}

async fn cloud(client: &Client, values: &Value, findings: &mut Findings) {
    let who = &client.who;
    findings.good("credentials", format!("{} in project {}, until {}", who.user, who.project, who.expires));
    match client.quota().await {
        Ok(quota) => {
            let nodes = values["nodes"].as_object().map_or(3, serde_json::Map::len);
            for (name, used, limit) in quota.lines {
                let detail = if limit < 0 {
                    format!("{used} used, no limit")
                } else {
                    format!("{used} of {limit} used")
                };
                let wanted = if name == "servers" { i64::try_from(nodes).unwrap_or(i64::MAX) } else { 1 };
                // What is there already is counted as used, so a second look at a cluster that stands is no reason to worry.
                if limit >= 0 && limit < wanted {
                    findings.bad(
                        &format!("quota: {name}"),
                        detail,
                        "Ask for a larger quota, or name fewer nodes.",
                    );
                } else {
                    findings.good(&format!("quota: {name}"), detail);
                }
            }
        }
        Err(error) => findings.problem("quota", &error.into()),
    }
    let asked = [
        ("image", "image", Sort::Images, "openstack image list"),
        ("flavour", "flavor", Sort::Flavors, "openstack flavor list"),
        ("network", "shared_network", Sort::Networks, "openstack network list"),
        ("floating IPs", "floating_ip_pool", Sort::External, "openstack network list --external"),
        ("key pair", "key_pair", Sort::KeyPairs, "openstack keypair list"),
    ];
    for (title, variable, sort, command) in asked {
        let made = variable == "key_pair" && values["ssh_public_key"].is_string();
        if let (Some(wanted), false) = (values[variable].as_str(), made) {
            named(client, title, variable, wanted, sort, command, findings).await;
        }
    }
    for wanted in values["security_groups"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        named(
            client,
            "security group",
            "security_groups",
            wanted,
            Sort::Groups,
            "openstack security group list",
            findings,
        )
        .await;
    }
}

async fn named(
    client: &Client,
    title: &str,
    variable: &str,
    wanted: &str,
    sort: Sort,
    command: &str,
    findings: &mut Findings,
) {
    let there = match client.names(sort).await {
        Ok(there) => there,
        Err(error) => return findings.problem(title, &error.into()),
    };
    if there.iter().any(|(name, id)| name == wanted || id == wanted) {
        return findings.good(title, wanted);
    }
    let names = there.iter().map(|(name, _)| name.as_str());
    let meant = galley_problem::did_you_mean(wanted, names)
        .map(|meant| format!(" Did you mean `{meant}`?"))
        .unwrap_or_default();
    findings.bad(
        title,
        format!("there is none called `{wanted}`"),
        format!("Correct `{variable}`; `{command}` shows those there are.{meant}"),
    );
}

fn print(format: Format, findings: &[Finding]) -> Result<(), Problem> {
    if !matches!(format, Format::Table | Format::Wide) {
        let rows = findings.iter().map(|one| vec![one.what.clone()]).collect();
        return voice::list(format, &findings, voice::Table { columns: vec!["what"], wide: vec![], rows });
    }
    let word = |one: &Finding| if one.ok { "ok" } else { "wrong" }.to_owned();
    let rows: Vec<_> =
        findings.iter().map(|one| vec![word(one), one.what.clone(), one.detail.clone()]).collect();
    for (one, row) in findings.iter().zip(super::padded(&rows)) {
        let line = row.join("  ").trim_end().to_owned();
        voice::data(&if one.ok { line } else { line.red().to_string() });
        if let Some(remedy) = &one.remedy {
            voice::data(&format!("       {} {remedy}", "try".green()));
        }
    }
    Ok(())
}
