//! Questions to an OpenStack cloud that the tools do not ask: is the sign-in good, what is left of the quota, is there an
//! image of that name; and, after a run that was killed, which things of a given type and name exist that no state knows.
//!
//! Only what [`orphans`] found is ever deleted here: things that were begun by a run of ours and did not exist before it.

use std::{collections::BTreeMap, path::Path, time::Duration};

use galley_problem::{Kind, Problem};
use galley_units::Secret;
use serde::Serialize;
use serde_json::{Value, json};

use crate::{Doubt, Planned, Resource};

mod clouds;

use clouds::{Auth, Cloud};

/// Longest time for one request.
const REQUEST: Duration = Duration::from_secs(30);
/// How often a request that was refused for the moment is asked again.
const ATTEMPTS: u32 = 5;
/// Largest answer that is read.
const ANSWER: usize = 32 << 20;

/// What went wrong with the cloud.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// There is no usable clouds.yaml.
    #[error("{0}")]
    Config(String),
    /// The cloud does not answer.
    #[error("the cloud does not answer at {url}")]
    Silent {
        /// Which address.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The cloud refused.
    #[error("{what}: the cloud answered {status}: {message}")]
    Refused {
        /// What was asked.
        what: String,
        /// HTTP status.
        status: u16,
        /// Its own message.
        message: String,
    },
    /// The cloud's catalogue lacks a service.
    #[error("the cloud has no service `{0}` in this region")]
    NoService(&'static str),
    /// Something did not come to its end.
    #[error("{0}")]
    Stuck(String),
}

impl From<CloudError> for Problem {
    fn from(error: CloudError) -> Problem {
        let mut text = error.to_string();
        text[..1].make_ascii_uppercase();
        if !text.ends_with('.') {
            text.push('.');
        }
        match error {
            CloudError::Config(_) => Problem::new("G1210", Kind::Config, text)
                .try_this("Put your credentials into ~/.config/openstack/clouds.yaml, or name another file with `OS_CLIENT_CONFIG_FILE` and another entry with `--cloud`."),
            CloudError::Refused { status: 401, .. } => Problem::new("G1210", Kind::Denied, text)
                .try_this("The credentials are wrong or have expired: make a new application credential and put it into clouds.yaml."),
            CloudError::Refused { .. } => Problem::new("G1211", Kind::Unavailable, text)
                .try_this("See the cloud's own message; run it again if the cloud was in trouble."),
            CloudError::Silent { ref source, .. } => Problem::new("G1211", Kind::Unavailable, text)
                .because(source)
                .try_this("Look at `auth_url` in clouds.yaml and at the network."),
            CloudError::NoService(_) => {
                Problem::new("G1211", Kind::Config, text).try_this("Correct `region_name` in clouds.yaml.")
            }
            CloudError::Stuck(_) => {
                Problem::new("G1211", Kind::Timeout, text).try_this("Look at it in the cloud, then run it again.")
            }
        }
    }
}

/// A session with a cloud.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    token: Secret<String>,
    endpoints: BTreeMap<String, String>,
    /// Who is signed in, and where.
    pub who: Who,
}

/// Who is signed in.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Who {
    /// User.
    pub user: String,
    /// Project.
    pub project: String,
    /// Project's id.
    pub project_id: String,
    /// Until when the token holds.
    pub expires: String,
}

/// What the project may have, and has.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Quota {
    /// Name, used, limit; a negative limit is none.
    pub lines: Vec<(String, i64, i64)>,
}

impl Client {
    /// Signs in with an entry of a clouds.yaml.
    ///
    /// # Errors
    /// [`CloudError`], with the cloud's own message.
    pub async fn sign_in(file: &Path, name: &str) -> Result<Client, CloudError> {
        let cloud = Cloud::read(file, name)?;
        let mut http = reqwest::Client::builder().timeout(REQUEST).connect_timeout(Duration::from_secs(10));
        if let Some(path) = &cloud.cacert {
            let bad = |why: String| {
                CloudError::Config(format!(
                    "the certificate {} of cloud `{name}` cannot be used: {why}",
                    path.display()
                ))
            };
            let pem = std::fs::read(path).map_err(|e| bad(e.to_string()))?;
            let found = reqwest::Certificate::from_pem(&pem).map_err(|e| bad(e.to_string()))?;
            http = http.add_root_certificate(found);
        }
        let http =
            http.build().map_err(|source| CloudError::Silent { url: cloud.auth_url.clone(), source })?;
        let url = format!("{}/auth/tokens", cloud.identity());
        let mut client = Client {
            http,
            token: Secret::new(String::new()),
            endpoints: BTreeMap::new(),
            who: Who::default(),
        };
        let (answer, token) =
            client.send(reqwest::Method::POST, &url, Some(body(&cloud.auth)), "signing in").await?;
        let token_of = &answer["token"];
        client.token = Secret::new(token.unwrap_or_default());
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        client.who = Who {
            user: text(&token_of["user"]["name"]),
            project: text(&token_of["project"]["name"]),
            project_id: text(&token_of["project"]["id"]),
            expires: text(&token_of["expires_at"]),
        };
        for service in token_of["catalog"].as_array().into_iter().flatten() {
            for end in service["endpoints"].as_array().into_iter().flatten() {
                let here = cloud.region.as_ref().is_none_or(|region| end["region"] == region.as_str());
                if here && end["interface"] == cloud.interface.as_str() {
                    client
                        .endpoints
                        .insert(text(&service["type"]), text(&end["url"]).trim_end_matches('/').to_owned());
                }
            }
        }
        Ok(client)
    }

    fn url(&self, service: &'static str, path: &str) -> Result<String, CloudError> {
        let base = self.endpoints.get(service).ok_or(CloudError::NoService(service))?;
        let version = match service {
            "network" => "/v2.0",
            "image" => "/v2",
            _ => "",
        };
        let version = if base.ends_with(version) { "" } else { version };
        Ok(format!("{base}{version}{path}"))
    }

    /// Asks for something; the answer's JSON.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn get(&self, service: &'static str, path: &str, what: &str) -> Result<Value, CloudError> {
        let url = self.url(service, path)?;
        Ok(self.send(reqwest::Method::GET, &url, None, what).await?.0)
    }

    async fn delete(&self, service: &'static str, path: &str, what: &str) -> Result<(), CloudError> {
        let url = self.url(service, path)?;
        match self.send(reqwest::Method::DELETE, &url, None, what).await {
            Ok(_) | Err(CloudError::Refused { status: 404, .. }) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// One request; what passes by itself is asked again a few times.
    async fn send(
        &self,
        method: reqwest::Method,
        url: &str,
        body: Option<Value>,
        what: &str,
    ) -> Result<(Value, Option<String>), CloudError> {
        let silent =
            |source| CloudError::Silent { url: url.split('?').next().unwrap_or(url).to_owned(), source };
        for attempt in 1.. {
            let mut request = self.http.request(method.clone(), url).header("Accept", "application/json");
            if !self.token.expose().is_empty() {
                request = request.header("X-Auth-Token", self.token.expose());
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            let answer = request.send().await.map_err(silent)?;
            let status = answer.status();
            let wait =
                answer.headers().get("Retry-After").and_then(|text| text.to_str().ok()?.parse::<u64>().ok());
            let token = answer
                .headers()
                .get("X-Subject-Token")
                .and_then(|text| text.to_str().ok())
                .map(str::to_owned);
            let text = bounded(answer, url).await?;
            if status.is_success() {
                return Ok((serde_json::from_str(&text).unwrap_or_default(), token));
            }
            let passing = matches!(status.as_u16(), 429 | 502 | 503 | 504)
                || status.as_u16() == 409 && method == reqwest::Method::DELETE;
            if !passing || attempt >= ATTEMPTS {
                return Err(CloudError::Refused {
                    what: what.to_owned(),
                    status: status.as_u16(),
                    message: said(&text),
                });
            }
            tokio::time::sleep(Duration::from_secs(wait.unwrap_or(u64::from(attempt)).min(20))).await;
        }
        Err(CloudError::Stuck(format!("{what} was tried too often")))
    }

    /// Limits of the project, and what of them is used.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn quota(&self) -> Result<Quota, CloudError> {
        let limits = self.get("compute", "/limits", "asking for the limits").await?;
        let of = |name: &str| limits["limits"]["absolute"][name].as_i64().unwrap_or(-1);
        let mut lines = vec![
            ("servers".to_owned(), of("totalInstancesUsed"), of("maxTotalInstances")),
            ("cores".to_owned(), of("totalCoresUsed"), of("maxTotalCores")),
            ("memory (MB)".to_owned(), of("totalRAMUsed"), of("maxTotalRAMSize")),
        ];
        let path = format!("/quotas/{}/details.json", self.who.project_id);
        // Not every neutron tells; what it does not tell is not shown.
        if let Ok(quota) = self.get("network", &path, "asking for the network's quota").await {
            for (title, name) in [("ports", "port"), ("floating IPs", "floatingip"), ("networks", "network")]
            {
                let entry = &quota["quota"][name];
                lines.push((
                    title.to_owned(),
                    entry["used"].as_i64().unwrap_or(-1),
                    entry["limit"].as_i64().unwrap_or(-1),
                ));
            }
        }
        Ok(Quota { lines })
    }

    /// Names of what there is, of one sort.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn names(&self, sort: Sort) -> Result<Vec<(String, String)>, CloudError> {
        let (service, path, list) = sort.place();
        let answer = self.get(service, path, &format!("listing {list}")).await?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(answer[list]
            .as_array()
            .into_iter()
            .flatten()
            .map(|item| if item["keypair"].is_object() { &item["keypair"] } else { item })
            .map(|item| (text(&item["name"]), text(&item["id"])))
            .collect())
    }
}

/// What can be listed by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Images.
    Images,
    /// Flavours.
    Flavors,
    /// Networks.
    Networks,
    /// Networks that floating IPs come from.
    External,
    /// Key pairs.
    KeyPairs,
    /// Security groups.
    Groups,
}

impl Sort {
    const fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Sort::Images => ("image", "/images?limit=1000&status=active", "images"),
            Sort::Flavors => ("compute", "/flavors?limit=1000", "flavors"),
            Sort::Networks => ("network", "/networks", "networks"),
            Sort::External => ("network", "/networks?router:external=True", "networks"),
            Sort::KeyPairs => ("compute", "/os-keypairs", "keypairs"),
            Sort::Groups => ("network", "/security-groups", "security_groups"),
        }
    }
}

fn body(auth: &Auth) -> Value {
    match auth {
        Auth::Application { id, secret } => json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {"id": id, "secret": secret.expose()}}}}),
        Auth::ApplicationName { name, user, domain, secret } => json!({"auth": {"identity": {
            "methods": ["application_credential"],
            "application_credential": {"name": name, "secret": secret.expose(),
                "user": {"name": user, "domain": {"name": domain}}}}}}),
        Auth::Password { user, user_domain, password, project, project_domain } => json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "password": password.expose(), "domain": {"name": user_domain}}}},
            "scope": {"project": {"name": project, "domain": {"name": project_domain}}}}}),
    }
}

async fn bounded(mut answer: reqwest::Response, url: &str) -> Result<String, CloudError> {
    let mut bytes = Vec::new();
    while let Some(chunk) =
        answer.chunk().await.map_err(|source| CloudError::Silent { url: url.to_owned(), source })?
    {
        if bytes.len() + chunk.len() > ANSWER {
            return Err(CloudError::Stuck(format!(
                "the answer from {url} is larger than {} MiB",
                ANSWER >> 20
            )));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// OpenStack's own sentence out of an error's body.
fn said(text: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let message =
        body.as_object().and_then(|fields| fields.values().find_map(|value| value["message"].as_str()));
    crate::stream::short(message.unwrap_or(text).trim())
}

/// Something in the cloud that no state knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Orphan {
    /// Type in the configuration.
    pub kind: String,
    /// Name or description.
    pub name: String,
    /// Id.
    pub id: String,
}

/// How things of a type are found and deleted; in the order in which they are deleted.
const KINDS: [(&str, &str, &str, &str); 9] = [
    ("openstack_compute_instance_v2", "compute", "/servers", "servers"),
    ("openstack_networking_floatingip_v2", "network", "/floatingips", "floatingips"),
    ("openstack_networking_port_v2", "network", "/ports", "ports"),
    ("openstack_networking_subnet_v2", "network", "/subnets", "subnets"),
    ("openstack_networking_network_v2", "network", "/networks", "networks"),
    ("openstack_networking_secgroup_rule_v2", "network", "/security-group-rules", "security_group_rules"),
    ("openstack_networking_secgroup_v2", "network", "/security-groups", "security_groups"),
    ("openstack_compute_keypair_v2", "compute", "/os-keypairs", "keypairs"),
    ("openstack_compute_servergroup_v2", "compute", "/os-server-groups", "server_groups"),
];

fn place(kind: &str) -> Option<(&'static str, &'static str, &'static str)> {
    KINDS.iter().find(|(name, ..)| *name == kind).map(|(_, service, path, list)| (*service, *path, *list))
}

/// Whether this room knows how to look for things of a type.
pub fn knows(kind: &str) -> bool {
    place(kind).is_some()
}

/// Ids of what exists with a planned thing's type and name. Rules have no name of their own in the project: they are looked
/// for in the given groups.
///
/// # Errors
/// [`CloudError`].
pub async fn existing(
    client: &Client,
    planned: &Planned,
    groups: &[String],
) -> Result<Vec<String>, CloudError> {
    let (Some((service, path, list)), Some(name)) = (place(&planned.kind), planned.name.as_deref()) else {
        return Ok(Vec::new());
    };
    let answer = client.get(service, path, &format!("listing {list}")).await?;
    let rule = planned.kind.ends_with("secgroup_rule_v2");
    let field = if rule || planned.kind.ends_with("floatingip_v2") { "description" } else { "name" };
    let items = answer[list].as_array().into_iter().flatten();
    Ok(items
        .map(|item| if item["keypair"].is_object() { &item["keypair"] } else { item })
        .filter(|item| item[field] == name)
        .filter(|item| !rule || groups.iter().any(|group| item["security_group_id"] == group.as_str()))
        .filter_map(|item| item["id"].as_str().or_else(|| item["name"].as_str()))
        .map(str::to_owned)
        .collect())
}

/// What of the doubtful exists, did not exist before, and is unknown to the state.
///
/// # Errors
/// [`CloudError`].
pub async fn orphans(
    client: &Client,
    doubts: &[Doubt],
    state: &[Resource],
) -> Result<Vec<Orphan>, CloudError> {
    let known: Vec<&str> = state.iter().map(|resource| resource.id.as_str()).collect();
    let groups: Vec<String> = state
        .iter()
        .filter(|one| one.kind == "openstack_networking_secgroup_v2")
        .map(|one| one.id.clone())
        .collect();
    let mut found: Vec<Orphan> = Vec::new();
    for doubt in doubts {
        for id in existing(client, &doubt.planned, &groups).await? {
            let seen = found.iter().any(|orphan| orphan.id == id && orphan.kind == doubt.planned.kind);
            if !seen && !doubt.before.contains(&id) && !known.contains(&id.as_str()) {
                let name = doubt.planned.name.clone().unwrap_or_default();
                found.push(Orphan { kind: doubt.planned.kind.clone(), name, id });
            }
        }
    }
    let order = |orphan: &Orphan| KINDS.iter().position(|(name, ..)| *name == orphan.kind);
    found.sort_by_key(order);
    Ok(found)
}

/// Deletes an orphan, and waits until a server is truly gone: its ports are free only then.
///
/// # Errors
/// [`CloudError`].
pub async fn remove(client: &Client, orphan: &Orphan) -> Result<(), CloudError> {
    let Some((service, path, _)) = place(&orphan.kind) else { return Ok(()) };
    let path = format!("{path}/{}", orphan.id);
    let what = format!("deleting {} {}", orphan.kind, orphan.name);
    client.delete(service, &path, &what).await?;
    if !orphan.kind.ends_with("instance_v2") {
        return Ok(());
    }
    for _ in 0..240 {
        match client.get(service, &path, &what).await {
            Err(CloudError::Refused { status: 404, .. }) => return Ok(()),
            Err(other) => return Err(other),
            Ok(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
    Err(CloudError::Stuck(format!("{what}: the server is still there after two minutes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clouds_sentence_is_found() {
        assert_eq!(
            said(r#"{"NeutronError": {"type": "x", "message": "No more IP addresses."}}"#),
            "No more IP addresses."
        );
        assert_eq!(said("<html>oops"), "<html>oops");
    }

    #[test]
    fn what_carries_others_is_deleted_after_them() {
        let at = |name: &str| KINDS.iter().position(|(kind, ..)| kind.ends_with(name)).expect("is known");
        assert!(
            at("instance_v2") < at("port_v2")
                && at("port_v2") < at("subnet_v2")
                && at("subnet_v2") < at("network_v2")
        );
        assert!(knows("openstack_networking_port_v2") && !knows("terraform_data"));
    }
}
