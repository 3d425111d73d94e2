//! Which path serves a kind: discovery, remembered. A kind that is missing is looked for again each time, because a
//! CustomResourceDefinition may have come meanwhile.

use std::{collections::HashMap, sync::Arc};

use galley_problem::{Kind, Problem};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject},
};
use tokio::sync::RwLock;

use crate::{
    object::ObjectRef,
    problem::{absent, refused},
};

/// How a kind is served.
#[derive(Clone, Debug)]
pub(crate) struct Mapped {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
}

#[derive(Clone)]
pub(crate) struct Mapping {
    client: Client,
    known: Arc<RwLock<HashMap<(String, String), Mapped>>>,
}

impl Mapping {
    pub(crate) fn new(client: Client) -> Mapping {
        Mapping { client, known: Arc::default() }
    }

    /// How the kind is served; nothing if it is not.
    pub(crate) async fn find(&self, api_version: &str, kind: &str) -> Result<Option<Mapped>, Problem> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(mapped) = self.known.read().await.get(&key) {
            return Ok(Some(mapped.clone()));
        }
        let served = self.served(api_version).await?;
        let mut known = self.known.write().await;
        for mapped in served {
            known.insert((api_version.to_owned(), mapped.resource.kind.clone()), mapped);
        }
        Ok(known.get(&key).cloned())
    }

    /// Forgets everything: definitions went or came.
    pub(crate) async fn forget(&self) {
        self.known.write().await.clear();
    }

    /// All resources of a group and version, without subresources; none if it is not served.
    pub(crate) async fn served(&self, api_version: &str) -> Result<Vec<Mapped>, Problem> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let listed = if group.is_empty() {
            self.client.list_core_api_resources(version).await
        } else {
            self.client.list_api_group_resources(api_version).await
        };
        let listed = match listed {
            Ok(listed) => listed.resources,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(refused(format!("ask which kinds `{api_version}` has"), &error)),
        };
        let mapped =
            listed.into_iter().filter(|resource| !resource.name.contains('/')).map(|resource| Mapped {
                resource: ApiResource {
                    group: group.to_owned(),
                    version: version.to_owned(),
                    api_version: api_version.to_owned(),
                    kind: resource.kind,
                    plural: resource.name,
                },
                namespaced: resource.namespaced,
                verbs: resource.verbs,
            });
        Ok(mapped.collect())
    }

    /// The door to an object; nothing if its kind is not served.
    pub(crate) async fn api(&self, object: &ObjectRef) -> Result<Option<Api<DynamicObject>>, Problem> {
        let Some(mapped) = self.find(&object.api_version, &object.kind).await? else { return Ok(None) };
        Ok(Some(self.open(&mapped, object)?))
    }

    pub(crate) fn open(&self, mapped: &Mapped, object: &ObjectRef) -> Result<Api<DynamicObject>, Problem> {
        let client = self.client.clone();
        match (&object.namespace, mapped.namespaced) {
            (Some(namespace), true) => Ok(Api::namespaced_with(client, namespace, &mapped.resource)),
            (None, false) => Ok(Api::all_with(client, &mapped.resource)),
            (None, true) => Err(Problem::new("G1109", Kind::Invalid, format!("{object} has no namespace."))
                .because_of(format!("{} lives in a namespace.", object.kind))),
            (Some(_), false) => {
                Err(Problem::new("G1109", Kind::Invalid, format!("{object} has a namespace."))
                    .because_of(format!("{} belongs to the whole cluster.", object.kind)))
            }
        }
    }
}

/// The kind of an object is not served.
pub(crate) fn unknown_kind(object: &ObjectRef) -> Problem {
    Problem::new("G1111", Kind::NotFound, format!("The cluster does not serve the kind of {object}."))
        .because_of(format!("There is no `{}` in `{}`.", object.kind, object.api_version))
        .try_this("Install what defines it, or let `galley bootstrap` bring it.")
}
