//! Delivery by commits: a promotion changes the image's digest in an environment's `values.yaml`.

use std::time::{Duration, Instant};

use galley_git::{
    Author,
    remote::{Proposal, Remote},
};
use galley_problem::{Kind, Problem};
use galley_release_types::{
    APPLICATIONS_NAMESPACE, Commit, Deployed, ENVIRONMENTS, Environment, Phase, ReleaseStatus, Verdict,
};
use galley_releases::Records;
use galley_units::{Clock, SystemClock, format_duration, rfc3339};
use kube::{
    Api,
    api::DynamicObject,
    core::{ApiResource, GroupVersionKind},
};

use crate::{
    Answer,
    cli::{
        Global,
        steps::{Promote, Wait},
    },
    ground::{Ground, deployed},
    voice,
};

/// The branch that the Applications follow.
const BRANCH: &str = "main";
/// Between two looks at an environment.
const LOOK: Duration = Duration::from_millis(200);

/// A change of what an environment runs.
pub struct Delivery {
    /// Where.
    pub environment: Environment,
    /// What shall run; nothing empties the environment.
    pub wanted: Option<Deployed>,
    /// Only if this version runs there now; otherwise nothing is changed.
    pub only_if: Option<String>,
    /// First line of the commit message.
    pub subject: String,
    /// Last lines of the commit message.
    pub trailers: Vec<(String, String)>,
}

/// What a delivery found and did.
pub struct Delivered {
    /// What ran there before.
    pub previous: Option<Deployed>,
    /// The commit; nothing if there was nothing to change.
    pub commit: Option<String>,
}

/// Commits a delivery on top of the newest state; repeated a bounded number of times when somebody else was quicker.
///
/// # Errors
/// G04xx of the repository, or G03xx if the values cannot be edited.
pub async fn deliver(remote: &Remote, delivery: &Delivery) -> Result<Delivered, Problem> {
    let file = delivery.environment.values_file();
    let mut previous = None;
    let mut changed = false;
    let mut message = delivery.subject.clone();
    message.push_str("\n\n");
    for (key, value) in &delivery.trailers {
        message.push_str(&format!("{key}: {value}\n"));
    }
    let commit = remote
        .commit_with_retry(BRANCH, &Author::galley(SystemClock.now()), |snapshot| {
            let text = snapshot.read(&file).map(String::from_utf8_lossy).ok_or_else(|| {
                Problem::new("G1006", Kind::NotFound, format!("The pipeline repository has no `{file}`."))
            })?;
            previous = deployed(&text);
            let now = previous.as_ref().map(|deployed| &deployed.version);
            let skip = delivery.only_if.as_ref().is_some_and(|only| now != Some(only));
            if skip || previous == delivery.wanted {
                changed = false;
                return Ok(None);
            }
            let (digest, version) = match &delivery.wanted {
                Some(wanted) => (wanted.digest.as_str(), wanted.version.as_str()),
                None => ("", ""),
            };
            let changes = [("/image/digest", digest), ("/image/version", version)];
            let edited = galley_yaml::set_scalars(&file, &text, &changes)?;
            changed = true;
            let changes = [(file.clone(), Some(edited.into_bytes()))].into();
            Ok(Some(Proposal { changes, message: message.clone() }))
        })
        .await?;
    Ok(Delivered { previous, commit: changed.then_some(commit) })
}

/// `galley release promote`
pub async fn run(global: &Global, args: Promote) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(&args.name).await?;
    let status = &recorded.release.status;
    let wanted = candidate(&args, status)?;
    let remote = ground.pipeline()?;
    allowed(&args, status, &remote, &wanted).await?;
    let mut trailers =
        vec![("Release".to_owned(), args.name.clone()), ("Model-Version".to_owned(), wanted.version.clone())];
    let passed = status.gates.iter().filter(|gate| gate.verdict == Verdict::Pass);
    trailers.extend(passed.map(|gate| ("Gate".to_owned(), format!("{} passed", gate.name))));
    let delivery = Delivery {
        environment: args.to,
        wanted: Some(wanted.clone()),
        only_if: None,
        subject: format!("promote: version {} to {}", wanted.version, args.to),
        trailers,
    };
    let delivered = deliver(&remote, &delivery).await?;
    let now = rfc3339(SystemClock.now());
    let Some(commit) = delivered.commit else {
        voice::data(&format!("{} has version {} already.", args.to, wanted.version));
        return Ok(Answer::Yes);
    };
    records
        .update(&args.name, |status| {
            status.phase = phase_of(args.to);
            status.message = format!("Version {} on its way to {}.", wanted.version, args.to);
            status.commits.retain(|known| known.commit != commit);
            status.commits.push(Commit {
                environment: args.to,
                commit: commit.clone(),
                previous: delivered.previous.clone(),
                at: now.clone(),
            });
        })
        .await?;
    voice::data(&format!("Commit {commit}: version {} to {}.", wanted.version, args.to));
    Ok(Answer::Yes)
}

/// The phase while a version is on its way to, or stands in, an environment.
const fn phase_of(environment: Environment) -> Phase {
    match environment {
        Environment::Staging => Phase::Staging,
        Environment::Canary | Environment::Production => Phase::Canary,
    }
}

fn candidate(args: &Promote, status: &ReleaseStatus) -> Result<Deployed, Problem> {
    let not_ready = |what: &str| {
        Problem::new("G1007", Kind::Conflict, format!("The release `{}` has no {what} yet.", args.name))
            .try_this(format!("`galley release get {}` shows how far it is.", args.name))
    };
    let version = status.version.clone().ok_or_else(|| not_ready("registered version"))?;
    let image = status.image.as_ref().ok_or_else(|| not_ready("image"))?;
    if args.model_version.as_ref().is_some_and(|asked| *asked != version) {
        return Err(Problem::new(
            "G1008",
            Kind::Invalid,
            format!(
                "The release `{}` is about version {version}, not {}.",
                args.name,
                args.model_version.as_deref().unwrap_or("")
            ),
        ));
    }
    let digest = image.rsplit('@').next().unwrap_or(image).to_owned();
    Ok(Deployed { version, digest })
}

/// The rules between environments: one step at a time, and only past the gates.
async fn allowed(
    args: &Promote,
    status: &ReleaseStatus,
    remote: &Remote,
    wanted: &Deployed,
) -> Result<(), Problem> {
    let (before, gates): (Option<Environment>, &[&str]) = match args.to {
        Environment::Staging => (None, &["evaluation"]),
        Environment::Canary => {
            (Some(Environment::Staging), &["evaluation", "staging-contract", "staging-load"])
        }
        Environment::Production => {
            (Some(Environment::Canary), &["evaluation", "staging-contract", "staging-load", "canary"])
        }
    };
    if let (Some(from), before) = (args.from, before)
        && Some(from) != before
    {
        let names: Vec<_> = ENVIRONMENTS.iter().map(|environment| environment.name()).collect();
        return Err(Problem::new(
            "G1009",
            Kind::Denied,
            format!("A version does not go from {from} to {}.", args.to),
        )
        .try_this(format!("The way is {}.", names.join(", then "))));
    }
    let missing = gates
        .iter()
        .find(|name| !status.gates.iter().any(|gate| gate.name == **name && gate.verdict == Verdict::Pass));
    if let Some(gate) = missing {
        return Err(Problem::new(
            "G1010",
            Kind::Denied,
            format!("The release `{}` has not passed the gate `{gate}`.", args.name),
        )
        .try_this(format!("`galley release get {}` shows its gates.", args.name)));
    }
    let Some(before) = before else { return Ok(()) };
    let snapshot = remote.snapshot(BRANCH).await.map_err(Problem::from)?;
    let there =
        snapshot.read(&before.values_file()).and_then(|text| deployed(&String::from_utf8_lossy(text)));
    if there.as_ref() == Some(wanted) {
        return Ok(());
    }
    let runs = there.map_or_else(|| "nothing".to_owned(), |there| format!("version {}", there.version));
    Err(Problem::new(
        "G1011",
        Kind::Conflict,
        format!("{before} runs {runs}, not version {}; somebody changed it meanwhile.", wanted.version),
    ))
}

/// `galley release wait`
pub async fn wait(global: &Global, args: Wait) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(&args.name).await?;
    let began = Instant::now();
    wait_for(&ground, args.environment, &args.model_version, args.timeout).await?;
    let took = format_duration(began.elapsed());
    let model = super::record::model_of(&ground, &recorded.release.spec.commit).await?;
    let tracking = ground.tracking()?;
    let alias = tracking.set_alias(&model.model, args.environment.name(), &args.model_version).await;
    alias.map_err(|e| super::register::tracking_problem("moving the alias", &e))?;
    let now = rfc3339(SystemClock.now());
    records
        .update(&args.name, |status| {
            status.message = format!("Version {} runs in {}.", args.model_version, args.environment);
            status.phase = phase_of(args.environment);
            if args.environment == Environment::Production {
                status.phase = Phase::Promoted;
                status.finished_at.get_or_insert_with(|| now.clone());
            }
        })
        .await?;
    voice::data(&format!("{} answers with version {} after {took}.", args.environment, args.model_version));
    Ok(Answer::Yes)
}

/// Waits until the environment's Application is synced and healthy and its address answers with the version.
///
/// # Errors
/// G1012 when the time is over, with what was seen last.
pub async fn wait_for(
    ground: &Ground,
    environment: Environment,
    version: &str,
    timeout: Duration,
) -> Result<(), Problem> {
    let deadline = Instant::now() + timeout;
    let resource = ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"),
        "applications",
    );
    let applications: Api<DynamicObject> =
        Api::namespaced_with(ground.kube().await?, APPLICATIONS_NAMESPACE, &resource);
    let http = ground.http()?;
    loop {
        let answers = answered_version(&http, ground, environment).await;
        let state = application_state(&applications, &environment.application()).await;
        if answers.as_deref() == Some(version) && state == "Synced, Healthy" {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let answers =
                answers.map_or_else(|| "nothing".to_owned(), |answers| format!("version {answers}"));
            return Err(Problem::new(
                "G1012",
                Kind::Timeout,
                format!(
                    "{environment} did not come to version {version} within {}.",
                    format_duration(timeout)
                ),
            )
            .because_of(format!("It answers with {answers}; its Application is {state}."))
            .try_this(format!("`galley app get {}` shows what is wrong.", environment.application())));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The version that an environment answers with, if it answers.
pub async fn answered_version(
    http: &reqwest::Client,
    ground: &Ground,
    environment: Environment,
) -> Option<String> {
    let url = format!("{}/version", ground.application(environment).ok()?);
    let request = http.get(url).header("accept", "application/json").timeout(Duration::from_secs(3));
    let answer: serde_json::Value = request.send().await.ok()?.json().await.ok()?;
    answer["version"].as_str().map(str::to_owned)
}

async fn application_state(applications: &Api<DynamicObject>, name: &str) -> String {
    match applications.get_opt(name).await {
        Ok(Some(application)) => {
            let status = &application.data["status"];
            let text = |value: &serde_json::Value| value.as_str().unwrap_or("Unknown").to_owned();
            format!("{}, {}", text(&status["sync"]["status"]), text(&status["health"]["status"]))
        }
        Ok(None) => "not there".to_owned(),
        Err(error) => error.to_string(),
    }
}
