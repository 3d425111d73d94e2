//! What we may do, asked before it is tried.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use galley_problem::Problem;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use serde::Serialize;

use crate::{Cluster, problem::refused};

/// How many questions are open at once.
const AT_ONCE: usize = 8;

/// One right: a verb on a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Access {
    /// As in `create`, `patch`, `*`.
    pub verb: String,
    /// API group, empty for the core group.
    pub group: String,
    /// Plural name, with subresource if any: `pods/portforward`.
    pub resource: String,
    /// Namespace; nothing for the whole cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

impl Access {
    /// A right on a resource of the whole cluster.
    pub fn to(verb: &str, group: &str, resource: &str) -> Access {
        Access { verb: verb.into(), group: group.into(), resource: resource.into(), namespace: None }
    }

    /// The same right in one namespace only.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Access {
        self.namespace = Some(namespace.into());
        self
    }
}

/// A right that is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Denied {
    /// What is not allowed.
    #[serde(flatten)]
    pub access: Access,
    /// The server's reason, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl std::fmt::Display for Denied {
    /// As in ``may not `create` `deployments.apps` in namespace `x` ``.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Access { verb, group, resource, namespace } = &self.access;
        let dot = if group.is_empty() { "" } else { "." };
        write!(f, "may not `{verb}` `{resource}{dot}{group}` ")?;
        match namespace {
            Some(namespace) => write!(f, "in namespace `{namespace}`"),
            None => f.write_str("in the whole cluster"),
        }
    }
}

impl Cluster {
    /// Asks for each right whether we have it; returns those that are missing, in the order asked.
    ///
    /// # Errors
    /// G1104, G1105 or G1107 if the server does not answer.
    pub async fn may(&self, wanted: &[Access]) -> Result<Vec<Denied>, Problem> {
        let answers: Vec<Option<Denied>> = stream::iter(wanted.iter().cloned())
            .map(|access| self.ask(access))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(answers.into_iter().flatten().collect())
    }

    async fn ask(&self, access: Access) -> Result<Option<Denied>, Problem> {
        let (resource, subresource) = match access.resource.split_once('/') {
            Some((resource, sub)) => (resource.to_owned(), Some(sub.to_owned())),
            None => (access.resource.clone(), None),
        };
        let attributes = ResourceAttributes {
            verb: Some(access.verb.clone()),
            group: Some(access.group.clone()),
            resource: Some(resource),
            subresource,
            namespace: access.namespace.clone(),
            ..Default::default()
        };
        let spec =
            SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        let api: Api<SelfSubjectAccessReview> = Api::all(self.client());
        let answer = api
            .create(&Default::default(), &review)
            .await
            .map_err(|e| refused("ask the cluster what it allows", &e))?;
        let Some(status) = answer.status else { return Ok(Some(Denied { access, reason: None })) };
        Ok((!status.allowed)
            .then(|| Denied { access, reason: status.reason.filter(|text| !text.is_empty()) }))
    }
}
