//! Plan, consent, apply.

use std::collections::{BTreeMap, btree_map::Entry};
use std::time::Instant;

use galley_iac::{Error, Journal, Mode, Outcome, Plan, Workspace};
use galley_problem::{Kind, Problem};
use owo_colors::OwoColorize;
use serde::Serialize;

use super::{
    Here,
    progress::Done,
    recover::{self, Leftover},
    table,
};
use crate::{
    Answer,
    cli::{
        Format, Global,
        infra::{Consent, Site},
    },
    voice,
};

/// What a change came to, for programs.
#[derive(Serialize)]
struct Report {
    plan: Plan,
    applied: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    resources: Vec<Done>,
    seconds: f64,
}

/// `galley infra plan`: exit code 0 whether or not there is something to do; nothing is changed, in the cloud or here.
pub async fn plan(global: &Global, site: &Site, destroy: bool) -> Result<Answer, Problem> {
    let here = Here::open(global, site, true).await?;
    let mode = if destroy { Mode::Destroy } else { Mode::Apply };
    here.space.init(&here.screen).await?;
    let left = recover::settle(&here).await?;
    let plan = planned(&here, &mode, &left, &[]).await?;
    show(&here, &plan)?;
    match here.site.output.output {
        Format::Json | Format::Yaml => voice::object(here.site.output.output, &plan)?,
        _ => {}
    }
    Ok(Answer::Yes)
}

/// `galley infra apply`.
pub async fn apply(global: &Global, site: &Site, consent: &Consent) -> Result<Answer, Problem> {
    let here = Here::open(global, site, true).await?;
    change(&here, &Mode::Apply, None, consent).await
}

/// `galley infra destroy`.
pub async fn destroy(global: &Global, site: &Site, consent: &Consent) -> Result<Answer, Problem> {
    let here = Here::open(global, site, true).await?;
    change(&here, &Mode::Destroy, None, consent).await
}

/// `galley infra replace NODE`.
pub async fn replace(global: &Global, site: &Site, node: &str, consent: &Consent) -> Result<Answer, Problem> {
    let here = Here::open(global, site, true).await?;
    change(&here, &Mode::Apply, Some(node), consent).await
}

async fn change(here: &Here, mode: &Mode, node: Option<&str>, consent: &Consent) -> Result<Answer, Problem> {
    let begun = Instant::now();
    here.space.init(&here.screen).await?;
    let left = recover::settle(here).await?;
    let mut replace = Vec::new();
    if let Some(node) = node {
        replace.push(server_of(&here.space, here, node).await?);
    }
    let plan = planned(here, mode, &left, &replace).await?;
    show(here, &plan)?;
    let mut report = Report { plan, applied: false, outcome: None, resources: Vec::new(), seconds: 0.0 };
    if report.plan.is_empty() {
        here.space.forget()?;
        let _ = keep_outputs(here).await;
    } else {
        agree(&report.plan, consent)?;
        let journal = journal(here, &report.plan, left).await?;
        let outcome = here.space.apply(journal, &here.screen).await;
        // Outputs are kept whatever happened: the inventory is made of them.
        let kept = keep_outputs(here).await;
        report.outcome = Some(outcome?);
        kept?;
        report.applied = true;
    }
    report.resources = here.screen.done();
    report.seconds = begun.elapsed().as_secs_f64();
    finish(here, &report)?;
    Ok(Answer::Yes)
}

/// Plans; a lock that a killed run of ours left behind is taken away first.
async fn planned(here: &Here, mode: &Mode, left: &Leftover, replace: &[String]) -> Result<Plan, Problem> {
    let mut all = replace.to_vec();
    if *mode == Mode::Apply {
        all.extend(left.unfinished.iter().map(|doubt| doubt.planned.address.clone()));
        all.sort();
        all.dedup();
    }
    let mut plan = match here.space.plan(mode, &all, &here.screen).await {
        Err(error) => match recover::left_lock(&error, left) {
            Some(id) => {
                here.screen.say(&format!(
                    "The lock {id} was left behind by the run that was cut off; it is taken away."
                ));
                here.space.unlock(&id, &here.screen).await?;
                here.space.plan(mode, &all, &here.screen).await?
            }
            None => return Err(error.into()),
        },
        Ok(plan) => plan,
    };
    let unfinished: Vec<&str> = left.unfinished.iter().map(|doubt| doubt.planned.address.as_str()).collect();
    plan.unfinished(&unfinished);
    Ok(plan)
}

fn show(here: &Here, plan: &Plan) -> Result<(), Problem> {
    let people = matches!(here.site.output.output, Format::Table | Format::Wide | Format::Name);
    if plan.changes.is_empty() {
        here.screen.say(if plan.outputs.is_empty() {
            "Nothing is to be changed."
        } else {
            "Only outputs change."
        });
    } else if people {
        voice::data(&table::plan(plan));
    }
    if !plan.drift.is_empty() {
        here.screen.say(&format!("Changed by others since the last run: {}.", plan.drift.join(", ")));
    }
    Ok(())
}

/// Asks, unless it was agreed to beforehand.
fn agree(plan: &Plan, consent: &Consent) -> Result<(), Problem> {
    let wanted = plan.word();
    let given = match (&consent.yes, &wanted) {
        (Some(_), None) => return Ok(()),
        (Some(given), Some(wanted)) if given == wanted || given == "all" => return Ok(()),
        (Some(given), Some(_)) => Some(given.clone()),
        (None, _) => None,
    };
    let word = wanted.clone().unwrap_or_else(|| "yes".to_owned());
    if given.is_none() && voice::can_ask() {
        let question = match &wanted {
            Some(word) => format!("This destroys {}. Type {} to go on: ", lost(plan).red(), word.bold()),
            None => "Type yes to go on: ".to_owned(),
        };
        if voice::ask(&question).is_some_and(|answer| answer == word) {
            return Ok(());
        }
        return Err(Problem::new("G1207", Kind::Failed, "It was not agreed to, and nothing was changed."));
    }
    let flag = wanted.as_ref().map_or_else(|| "--yes".to_owned(), |word| format!("--yes={word}"));
    let what = match &wanted {
        Some(_) => format!("This would destroy {}, and nobody has agreed to that by name.", lost(plan)),
        None => "Nobody has agreed to this, and there is no terminal to ask on.".to_owned(),
    };
    Err(Problem::new("G1207", Kind::Usage, what).try_this(format!("Add `{flag}` if that is what you want.")))
}

/// What is lost, in a few words.
fn lost(plan: &Plan) -> String {
    let mut names: Vec<String> = plan.destroyed().take(4).map(|change| change.address.clone()).collect();
    let more = plan.destroyed().count().saturating_sub(names.len());
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// The address of a node's server.
async fn server_of(space: &Workspace, here: &Here, node: &str) -> Result<String, Problem> {
    let resources = space.resources(&here.screen).await?;
    let servers: Vec<_> = resources
        .iter()
        .filter(|one| one.kind == "openstack_compute_instance_v2" || one.label == "node")
        .filter_map(|one| Some((one.key.as_deref()?, one.address.as_str())))
        .collect();
    if let Some((_, address)) = servers.iter().find(|(key, _)| *key == node) {
        return Ok((*address).to_owned());
    }
    let names: Vec<_> = servers.iter().map(|(key, _)| *key).collect();
    let known = if names.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    };
    let mut problem =
        Problem::new("G1212", Kind::NotFound, format!("The state has no node `{node}`; {known}."));
    if let Some(meant) = galley_problem::did_you_mean(node, names) {
        problem = problem.try_this(format!("Did you mean `{meant}`?"));
    } else {
        problem = problem.try_this("`galley infra show` lists what there is.");
    }
    Err(problem)
}

/// What is about to be made, with what of the same name exists already: that is never ours to remove.
async fn journal(here: &Here, plan: &Plan, left: Leftover) -> Result<Journal, Problem> {
    let creates = Journal::creates(plan);
    let mut before = BTreeMap::new();
    if creates.iter().any(|planned| galley_iac::openstack::knows(&planned.kind)) {
        let client = recover::cloud(here).await?;
        let groups: Vec<String> = recover::groups(&here.space.resources(&here.screen).await?);
        for planned in &creates {
            let key = Journal::key(planned);
            if let Entry::Vacant(place) = before.entry(key) {
                let ids = galley_iac::openstack::existing(&client, planned, &groups).await;
                place.insert(ids.map_err(Error::from)?);
            }
        }
    }
    let options = &here.space.options;
    Ok(Journal {
        tool: here.space.tool.kind,
        pid: 0,
        started: 0,
        begun: options.stamp.clone(),
        command: String::new(),
        out: options.home.join("runs/none"),
        err: options.home.join("runs/none"),
        creates,
        before,
        doubts: left.unfinished,
    })
}

async fn keep_outputs(here: &Here) -> Result<(), Problem> {
    let outputs = here.space.outputs(&here.screen).await?;
    let bytes =
        serde_json::to_vec_pretty(&outputs).map_err(|e| crate::internal("keeping the outputs", &e))?;
    Ok(galley_iac::private(&here.path("outputs.json"), &bytes)?)
}

fn finish(here: &Here, report: &Report) -> Result<(), Problem> {
    let format = here.site.output.output;
    if matches!(format, Format::Json | Format::Yaml) {
        return voice::object(format, report);
    }
    let Some(outcome) = &report.outcome else { return Ok(()) };
    for warning in &outcome.warnings {
        here.screen.say(&format!("warning: {}", warning.message()));
    }
    let counts = &outcome.summary;
    let time = galley_units::format_duration(std::time::Duration::from_secs_f64(report.seconds));
    here.screen.say(&format!(
        "{} created, {} changed, {} destroyed in {time}.",
        counts.add, counts.change, counts.remove
    ));
    Ok(())
}
