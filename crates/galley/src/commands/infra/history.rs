//! Older states: of Galley's server where the configuration names it, else the copies made before each apply.

use std::time::Duration;

use galley_problem::{Kind, Problem};
use galley_units::Secret;
use serde_json::Value;

use super::Here;
use crate::{
    Answer,
    cli::{Global, infra::Site},
    ground::environment,
    voice,
};

/// `galley infra history`.
pub async fn list(global: &Global, site: &Site) -> Result<Answer, Problem> {
    let here = Here::open(global, site, false).await?;
    let columns = vec!["version", "serial", "resources", "written", "who", "operation"];
    let Some(server) = Remote::of(&here)? else {
        let copies = here.space.backups()?;
        let rows = copies.iter().map(|(name, serial)| vec![name.clone(), serial.to_string()]).collect();
        voice::list(
            site.output.output,
            &copies,
            voice::Table { columns: vec!["version", "serial"], wide: vec![], rows },
        )?;
        return Ok(Answer::Yes);
    };
    let answer = server.ask(reqwest::Method::GET, "/versions").await?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let head = &answer["head"];
    let rows = answer["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let mark = if one["version"] == *head { "*" } else { "" };
            let operation = match one["restored"].as_u64() {
                Some(number) => format!("restored from {number}"),
                None => text(&one["operation"]),
            };
            vec![
                format!("{}{mark}", text(&one["version"])),
                text(&one["serial"]),
                text(&one["resources"]),
                text(&one["written"]),
                text(&one["who"]),
                operation,
            ]
        })
        .collect();
    voice::list(site.output.output, &answer, voice::Table { columns, wide: vec![], rows })?;
    Ok(Answer::Yes)
}

/// `galley infra restore VERSION`.
pub async fn restore(global: &Global, site: &Site, version: &str) -> Result<Answer, Problem> {
    let here = Here::open(global, site, true).await?;
    match Remote::of(&here)? {
        Some(server) => {
            let number: u64 = version.trim_end_matches('*').parse().map_err(|_| {
                Problem::new("G1214", Kind::Usage, format!("`{version}` is not a version."))
                    .try_this("`galley infra history` lists them.")
            })?;
            let now = server.ask(reqwest::Method::POST, &format!("/versions/{number}/restore")).await?;
            here.screen.say(&format!("Version {number} is back, as version {}.", now["version"]));
        }
        None => {
            here.space.restore(version, &here.screen).await.map_err(|error| {
                Problem::new("G1214", Kind::NotFound, format!("Version `{version}` cannot be restored."))
                    .because(&error)
                    .try_this("`galley infra history` lists what there is.")
            })?;
            here.screen.say(&format!("Version {version} is back."));
        }
    }
    here.screen.say("Nothing in the cloud was changed; `galley infra plan` says what differs from it.");
    Ok(Answer::Yes)
}

/// `galley infra unlock ID`.
pub async fn unlock(global: &Global, site: &Site, id: &str) -> Result<Answer, Problem> {
    let here = Here::open(global, site, true).await?;
    here.space.init(&here.screen).await?;
    here.space.unlock(id, &here.screen).await?;
    here.screen.say("The lock is taken away.");
    Ok(Answer::Yes)
}

/// A state that Galley's server keeps.
struct Remote {
    url: String,
    user: String,
    password: Option<Secret<String>>,
    http: reqwest::Client,
}

impl Remote {
    /// The server, if the configuration keeps its state there.
    fn of(here: &Here) -> Result<Option<Remote>, Problem> {
        let Some(address) = super::server(&here.space) else { return Ok(None) };
        let Some((base, name)) = address.split_once("/infra/state/") else {
            return Err(Problem::new("G1213", Kind::Config, format!("{address} is not an address of Galley's state store."))
                .try_this("Its addresses end with `/infra/state/NAME`; of other servers only the tools know the history."));
        };
        let of = |name: &str| {
            let given =
                here.space.options.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            environment(name).or(given)
        };
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .connect_timeout(Duration::from_secs(5));
        Ok(Some(Remote {
            url: format!("{base}/infra/states/{name}"),
            user: of("TF_HTTP_USERNAME").unwrap_or_else(|| crate::ground::TOKEN_USER.to_owned()),
            password: of("TF_HTTP_PASSWORD").map(Secret::new),
            http: http.build().map_err(|e| crate::internal("making an HTTP client", &e))?,
        }))
    }

    async fn ask(&self, method: reqwest::Method, path: &str) -> Result<Value, Problem> {
        let url = format!("{}{path}", self.url);
        let password = self.password.as_ref().map(Secret::expose);
        let silent = |error: reqwest::Error| {
            Problem::new(
                "G1213",
                Kind::Unavailable,
                format!("The state store at {} does not answer.", self.url),
            )
            .because(&error)
            .try_this(
                "Start it with `galley up` or `galley service state`, or correct `address` in backend.tf.",
            )
        };
        let answer =
            self.http.request(method, url).basic_auth(&self.user, password).send().await.map_err(silent)?;
        let status = answer.status();
        let body: Value = answer.json().await.unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        if status.as_u16() == 423 {
            let who = body["Who"].as_str().unwrap_or("somebody else").to_owned();
            return Err(Problem::new("G1205", Kind::Conflict, format!("The state is locked by {who}."))
                .try_this(
                    "Wait until that one is done. If that one is gone for good: `galley infra unlock ID`.",
                )
                .because_of(format!("id: {}", body["ID"].as_str().unwrap_or_default())));
        }
        let what = body["what"].as_str().map_or_else(|| format!("it answered {status}"), str::to_owned);
        let kind = if status.as_u16() == 404 { Kind::NotFound } else { Kind::Unavailable };
        let code = if status.as_u16() == 404 { "G1214" } else { "G1213" };
        let mut problem = Problem::new(code, kind, "The state store refuses.").because_of(what);
        problem.remedy = body["remedy"].as_str().map(str::to_owned);
        Err(problem)
    }
}
