//! Which kinds the API server has, and objects of any kind as values.

use std::sync::{Arc, Mutex};

use galley_sync::Key;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
    core::GroupVersionKind,
    discovery::{ApiCapabilities, Discovery, Scope, verbs},
};
use serde_json::{Map, Value};
use tokio::time::{Duration, Instant};

use crate::Error;

/// What discovery said is believed for so long.
const FRESH: Duration = Duration::from_secs(60);
/// An unknown kind makes us ask again, but not more often than this.
const PAUSE: Duration = Duration::from_millis(500);
const PAGE: u32 = 500;

/// A kind as the API server serves it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    pub(crate) listed: bool,
}

impl Served {
    fn new(resource: ApiResource, capabilities: &ApiCapabilities) -> Self {
        Served {
            resource,
            namespaced: capabilities.scope == Scope::Namespaced,
            listed: capabilities.supports_operation(verbs::LIST)
                && capabilities.supports_operation(verbs::WATCH),
        }
    }

    /// Group, version and kind in one text.
    pub(crate) fn id(&self) -> String {
        format!("{}/{}", self.resource.api_version, self.resource.kind)
    }
}

/// What the API server has: kinds, and what charts ask for.
#[derive(Clone)]
pub(crate) struct Kinds {
    client: Client,
    known: Arc<Mutex<Option<Asked>>>,
}

/// What discovery said, and when.
type Asked = (Instant, Arc<Known>);

/// What discovery said at one time.
pub(crate) struct Known {
    discovery: Discovery,
    /// As in `v1.34.0`.
    pub(crate) version: String,
}

impl Known {
    pub(crate) fn find(&self, api_version: &str, kind: &str) -> Option<Served> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = GroupVersionKind::gvk(group, version, kind);
        self.discovery.resolve_gvk(&kind).map(|(resource, capabilities)| Served::new(resource, &capabilities))
    }

    /// A kind in the version the API server prefers.
    pub(crate) fn find_any(&self, group: &str, kind: &str) -> Option<Served> {
        let (resource, capabilities) = self.discovery.get(group)?.recommended_kind(kind)?;
        Some(Served::new(resource, &capabilities))
    }

    /// `apps/v1` and `apps/v1/Deployment`, for charts.
    pub(crate) fn api_versions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for group in self.discovery.groups() {
            for version in group.versions() {
                let resources = group.versioned_resources(version);
                let Some(api_version) = resources.first().map(|(r, _)| r.api_version.clone()) else {
                    continue;
                };
                found.extend(resources.iter().map(|(r, _)| format!("{api_version}/{}", r.kind)));
                found.push(api_version);
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// All kinds that can be listed and watched.
    pub(crate) fn all(&self) -> Vec<Served> {
        let resources = self.discovery.groups().flat_map(|group| group.recommended_resources());
        resources.map(|(resource, c)| Served::new(resource, &c)).filter(|served| served.listed).collect()
    }
}

impl Kinds {
    pub(crate) fn new(client: Client) -> Self {
        Kinds { client, known: Arc::default() }
    }

    /// What the API server has, asked for again after a while.
    pub(crate) async fn known(&self) -> Result<Arc<Known>, Error> {
        self.known_for(FRESH).await
    }

    async fn known_for(&self, age: Duration) -> Result<Arc<Known>, Error> {
        if let Some((at, known)) = &*self.known.lock().unwrap_or_else(|p| p.into_inner())
            && at.elapsed() < age
        {
            return Ok(known.clone());
        }
        let attempt = "asking the API server for its kinds";
        let discovery = Discovery::new(self.client.clone()).run().await.map_err(Error::api(attempt))?;
        let version = self.client.apiserver_version().await.map_err(Error::api(attempt))?.git_version;
        let known = Arc::new(Known { discovery, version });
        *self.known.lock().unwrap_or_else(|p| p.into_inner()) = Some((Instant::now(), known.clone()));
        Ok(known)
    }

    /// A kind; asks again if it is not known, since it may have been defined a moment ago.
    pub(crate) async fn find(&self, api_version: &str, kind: &str) -> Result<Option<Served>, Error> {
        if let Some(served) = self.known().await?.find(api_version, kind) {
            return Ok(Some(served));
        }
        Ok(self.known_for(PAUSE).await?.find(api_version, kind))
    }

    /// The objects of a kind, in one namespace or in all.
    pub(crate) fn api(&self, served: &Served, namespace: &str) -> Api<DynamicObject> {
        if served.namespaced && !namespace.is_empty() {
            Api::namespaced_with(self.client.clone(), namespace, &served.resource)
        } else {
            Api::all_with(self.client.clone(), &served.resource)
        }
    }

    /// All objects of a kind.
    pub(crate) async fn list(&self, served: &Served) -> Result<Vec<Value>, Error> {
        let api = self.api(served, "");
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let attempt = || format!("listing {}", served.resource.plural);
            let page = match api.list(&parameters).await {
                Ok(page) => page,
                // The kind went since discovery.
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(found),
                Err(error) => return Err(Error::api(attempt())(error)),
            };
            let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
            found.extend(page.items.into_iter().map(|object| to_value(object, &served.resource)));
            let Some(next) = next else { return Ok(found) };
            parameters = parameters.continue_token(&next);
        }
    }

    /// One object.
    pub(crate) async fn get(&self, served: &Served, key: &Key) -> Result<Option<Value>, kube::Error> {
        let object = self.api(served, &key.namespace).get_opt(&key.name).await?;
        Ok(object.map(|object| to_value(object, &served.resource)))
    }
}

/// An object as a value, with the API version and kind that lists leave out.
pub(crate) fn to_value(object: DynamicObject, resource: &ApiResource) -> Value {
    let mut fields = Map::new();
    fields.insert("apiVersion".into(), resource.api_version.clone().into());
    fields.insert("kind".into(), resource.kind.clone().into());
    fields.insert("metadata".into(), serde_json::to_value(object.metadata).unwrap_or_default());
    if let Value::Object(data) = object.data {
        for (name, value) in data {
            fields.entry(name).or_insert(value);
        }
    }
    Value::Object(fields)
}

/// A value as an object to be sent.
pub(crate) fn to_object(value: &Value) -> Result<DynamicObject, serde_json::Error> {
    serde_json::from_value(value.clone())
}
