//! What a cluster is and has, read without changing anything. What may not be read is named, not guessed.

use std::collections::BTreeMap;

use galley_problem::Problem;
use k8s_openapi::{
    api::{apps, core, storage},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Cluster,
    object::{list, text},
    problem::{absent, forbidden, refused},
    retry::retried,
};

/// At most so many objects of a kind are read.
const MOST: u32 = 1000;
const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);
/// A controller that showed itself within this time is alive.
const ALIVE_SECONDS: i64 = 60;

/// The server's version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// As in 1.
    pub major: u32,
    /// As in 34.
    pub minor: u32,
    /// As in `v1.34.4+k3s1`.
    pub git_version: String,
    /// As in `linux/amd64`.
    pub platform: String,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Name.
    pub name: String,
    /// Whether it takes pods: ready and not cordoned.
    pub ready: bool,
    /// Its kubelet's version.
    pub version: String,
    /// As in `linux`.
    pub os: String,
    /// As in `amd64`.
    pub arch: String,
    /// Processors for pods, as in `3800m`.
    pub cpu: String,
    /// Memory for pods, as in `15Gi`.
    pub memory: String,
}

/// A storage class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageClass {
    /// Name.
    pub name: String,
    /// Who provides it.
    pub provisioner: String,
    /// Whether claims without a class get it.
    pub default: bool,
}

/// An API group and the kinds that custom definitions give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiGroup {
    /// Its versions, preferred first.
    pub versions: Vec<String>,
    /// Plural names of its custom kinds, with their served versions.
    pub kinds: BTreeMap<String, Vec<String>>,
}

/// Where a controller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "where")]
pub enum ControllerState {
    /// Its kinds are not known here.
    Absent,
    /// Its kinds are known, nothing shows that it runs.
    KindsOnly,
    /// It runs as pods of this cluster.
    Inside {
        /// Its namespace.
        namespace: String,
        /// Whether its pods are available.
        ready: bool,
    },
    /// No pods, but its work is seen: it runs elsewhere.
    Outside {
        /// By what it is seen.
        evidence: String,
    },
}

/// Argo CD or Argo Workflows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Controller {
    /// Where it is.
    #[serde(flatten)]
    pub state: ControllerState,
    /// Its version, as far as its image or labels tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where its settings live; there it looks for Applications, if it is Argo CD.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
}

/// A class of gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GatewayClass {
    /// Name.
    pub name: String,
    /// Who serves it.
    pub controller: String,
    /// Whether that controller has accepted it; nothing if it has not said.
    pub accepted: Option<bool>,
}

/// The Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GatewayApi {
    /// Version of its definitions, as in `v1.4.1`.
    pub bundle: Option<String>,
    /// `standard` or `experimental`.
    pub channel: Option<String>,
    /// Its classes.
    pub classes: Vec<GatewayClass>,
}

/// What a cluster is and has.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// Its address.
    pub server: String,
    /// Who we are there.
    pub user: String,
    /// Its version.
    pub version: Version,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// All storage classes.
    pub storage_classes: Vec<StorageClass>,
    /// API groups by name.
    pub groups: BTreeMap<String, ApiGroup>,
    /// The Gateway API, if its definitions are there.
    pub gateway: Option<GatewayApi>,
    /// Argo CD.
    pub argo_cd: Controller,
    /// Argo Workflows.
    pub argo_workflows: Controller,
    /// What could not be read for want of rights, as sentences.
    pub unread: Vec<String>,
}

impl Facts {
    /// The class that claims without a class get.
    pub fn default_storage_class(&self) -> Option<&StorageClass> {
        self.storage_classes.iter().find(|class| class.default)
    }

    /// Whether a custom kind is served, by group and plural.
    pub fn has(&self, group: &str, plural: &str) -> bool {
        self.groups.get(group).is_some_and(|group| group.kinds.contains_key(plural))
    }
}

impl Cluster {
    /// Looks around.
    ///
    /// # Errors
    /// G1104 to G1107 if the cluster does not answer; missing rights are no error but listed.
    pub async fn facts(&self) -> Result<Facts, Problem> {
        let client = self.client();
        let version =
            retried("read the server's version", DEADLINE, |_| {}, || client.apiserver_version()).await?;
        let groups = retried("list API groups", DEADLINE, |_| {}, || client.list_api_groups()).await?;
        let mut unread = Vec::new();
        let nodes: Vec<core::v1::Node> = self.all("nodes", &mut unread).await?;
        let classes: Vec<storage::v1::StorageClass> = self.all("storage classes", &mut unread).await?;
        let definitions: Vec<CustomResourceDefinition> =
            self.all("custom resource definitions", &mut unread).await?;
        let mut deployments: Vec<apps::v1::Deployment> = self.all("deployments", &mut unread).await?;
        let sets: Vec<apps::v1::StatefulSet> = self.all("stateful sets", &mut unread).await?;
        let maps = self.settings(&mut unread).await?;

        let mut known: BTreeMap<String, ApiGroup> = groups
            .groups
            .into_iter()
            .map(|group| {
                let preferred = group.preferred_version.map(|version| version.version);
                let others = group.versions.into_iter().map(|version| version.version);
                let mut versions: Vec<String> = preferred.iter().cloned().collect();
                versions.extend(others.filter(|version| Some(version) != preferred.as_ref()));
                (group.name, ApiGroup { versions, kinds: BTreeMap::new() })
            })
            .collect();
        for definition in &definitions {
            let served =
                definition.spec.versions.iter().filter(|v| v.served).map(|v| v.name.clone()).collect();
            if let Some(group) = known.get_mut(&definition.spec.group) {
                group.kinds.insert(definition.spec.names.plural.clone(), served);
            }
        }
        // Without the right to read definitions, discovery still tells the kinds that matter.
        for (group, kinds) in &mut known {
            if kinds.kinds.is_empty() && matches!(group.as_str(), "argoproj.io" | "gateway.networking.k8s.io")
            {
                for version in kinds.versions.clone() {
                    for mapped in self.mapping.served(&format!("{group}/{version}")).await? {
                        kinds.kinds.entry(mapped.resource.plural).or_default().push(version.clone());
                    }
                }
            }
        }
        let has =
            |plural: &str| known.get("argoproj.io").is_some_and(|group| group.kinds.contains_key(plural));
        let workloads: Vec<Workload> =
            deployments.drain(..).map(Workload::from).chain(sets.into_iter().map(Workload::from)).collect();
        let argo_cd = self.argo_cd(has("applications"), &workloads, &maps, &mut unread).await?;
        let argo_workflows = self.argo_workflows(has("workflows"), &workloads, &maps, &mut unread).await?;
        let gateway = match known.contains_key("gateway.networking.k8s.io") {
            true => Some(self.gateway(&definitions, &mut unread).await?),
            false => None,
        };
        Ok(Facts {
            server: self.server().to_owned(),
            user: self.user().to_owned(),
            version: Version {
                major: number(&version.major),
                minor: number(&version.minor),
                git_version: version.git_version,
                platform: version.platform,
            },
            nodes: nodes.into_iter().map(node).collect(),
            storage_classes: classes.into_iter().map(storage_class).collect(),
            groups: known,
            gateway,
            argo_cd,
            argo_workflows,
            unread,
        })
    }

    /// All objects of a kind; none, and a note, without the right to read them.
    async fn all<K>(&self, what: &str, unread: &mut Vec<String>) -> Result<Vec<K>, Problem>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let api: Api<K> = Api::all(self.client());
        self.listed(&api, ListParams::default(), what, unread).await
    }

    async fn listed<K>(
        &self,
        api: &Api<K>,
        params: ListParams,
        what: &str,
        unread: &mut Vec<String>,
    ) -> Result<Vec<K>, Problem>
    where
        K: Clone + DeserializeOwned + std::fmt::Debug,
    {
        let params = params.limit(MOST);
        let outcome = tokio::time::timeout(DEADLINE, api.list(&params)).await;
        match outcome {
            Ok(Ok(listed)) => Ok(listed.items),
            Ok(Err(error)) if forbidden(&error) => {
                unread.push(format!("{what}: no right to list them in the whole cluster"));
                Ok(Vec::new())
            }
            Ok(Err(error)) if absent(&error) => Ok(Vec::new()),
            Ok(Err(error)) => Err(refused(format!("list {what}"), &error)),
            Err(_) => Err(crate::problem::late(format!("The cluster did not list its {what} in time."))),
        }
    }

    /// Namespaces of the settings by which Argo's programs are known, also when they run elsewhere.
    async fn settings(&self, unread: &mut Vec<String>) -> Result<BTreeMap<&'static str, String>, Problem> {
        let api: Api<core::v1::ConfigMap> = Api::all(self.client());
        let mut found = BTreeMap::new();
        for name in ["argocd-cm", "workflow-controller-configmap"] {
            let params = ListParams::default().fields(&format!("metadata.name={name}"));
            let maps = self.listed(&api, params, "config maps", unread).await?;
            if let Some(namespace) = maps.first().and_then(|map| map.namespace()) {
                found.insert(name, namespace);
            }
        }
        unread.dedup();
        Ok(found)
    }

    async fn argo_cd(
        &self,
        known: bool,
        workloads: &[Workload],
        maps: &BTreeMap<&'static str, String>,
        unread: &mut Vec<String>,
    ) -> Result<Controller, Problem> {
        let settings = maps.get("argocd-cm").cloned();
        if let Some(found) = inside(workloads, "argocd-application-controller", settings.clone()) {
            return Ok(found);
        }
        let mut state = if known { ControllerState::KindsOnly } else { ControllerState::Absent };
        if known {
            let api: Api<DynamicObject> = Api::all_with(self.client(), &argo("Application", "applications"));
            let applications = self.listed(&api, ListParams::default(), "Applications", unread).await?;
            let newest = applications.iter().filter_map(|app| text(&app.data, "/status/reconciledAt")).max();
            if let Some(moment) = newest {
                state =
                    ControllerState::Outside { evidence: format!("it compared an Application at {moment}") };
            }
        }
        Ok(Controller { state, version: None, settings })
    }

    async fn argo_workflows(
        &self,
        known: bool,
        workloads: &[Workload],
        maps: &BTreeMap<&'static str, String>,
        unread: &mut Vec<String>,
    ) -> Result<Controller, Problem> {
        let settings = maps.get("workflow-controller-configmap").cloned();
        if let Some(found) = inside(workloads, "workflow-controller", settings.clone()) {
            return Ok(found);
        }
        let mut state = if known { ControllerState::KindsOnly } else { ControllerState::Absent };
        if known {
            let api: Api<k8s_openapi::api::coordination::v1::Lease> = Api::all(self.client());
            let named = ListParams::default().fields("metadata.name=workflow-controller");
            let leases = self.listed(&api, named, "leases", unread).await?;
            let renewed =
                leases.iter().filter_map(|lease| lease.spec.as_ref()?.renew_time.as_ref()).map(|t| t.0).max();
            let age = renewed.map(|moment| self.clock.now().duration_since(moment).as_secs());
            if let Some((moment, _)) = renewed.zip(age).filter(|(_, age)| *age < ALIVE_SECONDS) {
                state = ControllerState::Outside {
                    evidence: format!("it renewed its lease at {}", galley_units::rfc3339(moment)),
                };
            }
        }
        Ok(Controller { state, version: None, settings })
    }

    async fn gateway(
        &self,
        definitions: &[CustomResourceDefinition],
        unread: &mut Vec<String>,
    ) -> Result<GatewayApi, Problem> {
        let definition =
            definitions.iter().find(|d| d.name_any() == "gatewayclasses.gateway.networking.k8s.io");
        let annotation = |name: &str| definition?.annotations().get(name).cloned();
        let resource = ApiResource {
            group: "gateway.networking.k8s.io".into(),
            version: "v1".into(),
            api_version: "gateway.networking.k8s.io/v1".into(),
            kind: "GatewayClass".into(),
            plural: "gatewayclasses".into(),
        };
        let api: Api<DynamicObject> = Api::all_with(self.client(), &resource);
        let classes = self.listed(&api, ListParams::default(), "gateway classes", unread).await?;
        Ok(GatewayApi {
            bundle: annotation("gateway.networking.k8s.io/bundle-version"),
            channel: annotation("gateway.networking.k8s.io/channel"),
            classes: classes.iter().map(gateway_class).collect(),
        })
    }
}

/// What counts of a Deployment or StatefulSet.
struct Workload {
    name: String,
    namespace: String,
    labels: BTreeMap<String, String>,
    image: String,
    available: bool,
}

impl From<apps::v1::Deployment> for Workload {
    fn from(object: apps::v1::Deployment) -> Self {
        let available = object.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0) > 0;
        let pod = object.spec.template.spec.clone();
        workload(&object, pod, available)
    }
}

impl From<apps::v1::StatefulSet> for Workload {
    fn from(object: apps::v1::StatefulSet) -> Self {
        let available = object.status.as_ref().and_then(|s| s.available_replicas).unwrap_or(0) > 0;
        let pod = object.spec.template.spec.clone();
        workload(&object, pod, available)
    }
}

fn workload(object: &impl kube::ResourceExt, pod: Option<core::v1::PodSpec>, available: bool) -> Workload {
    let image = pod.and_then(|pod| pod.containers.into_iter().next()).and_then(|container| container.image);
    Workload {
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        labels: object.labels().clone(),
        image: image.unwrap_or_default(),
        available,
    }
}

/// The controller among the cluster's workloads, by name or by the label that Helm charts keep when they rename it.
fn inside(workloads: &[Workload], name: &str, settings: Option<String>) -> Option<Controller> {
    let labelled =
        |workload: &Workload| workload.labels.get("app.kubernetes.io/name").is_some_and(|l| l == name);
    let component = |workload: &Workload| {
        name.strip_prefix("argocd-").or(Some(name)).is_some_and(|short| {
            workload.labels.get("app.kubernetes.io/component").is_some_and(|label| label == short)
                && workload
                    .labels
                    .get("app.kubernetes.io/part-of")
                    .is_some_and(|label| label.starts_with("argo"))
        })
    };
    let found = workloads.iter().find(|w| w.name == name || labelled(w) || component(w))?;
    Some(Controller {
        state: ControllerState::Inside { namespace: found.namespace.clone(), ready: found.available },
        version: tag(&found.image).or_else(|| found.labels.get("app.kubernetes.io/version").cloned()),
        settings,
    })
}

/// The tag of an image, if it looks like a version.
fn tag(image: &str) -> Option<String> {
    let name = image.split('@').next()?.rsplit('/').next()?;
    let tag = name.split_once(':')?.1;
    tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()).then(|| tag.to_owned())
}

fn gateway_class(class: &DynamicObject) -> GatewayClass {
    let accepted =
        list(&class.data, "/status/conditions").iter().find(|condition| condition["type"] == "Accepted");
    GatewayClass {
        name: class.name_any(),
        controller: text(&class.data, "/spec/controllerName").unwrap_or_default().to_owned(),
        accepted: accepted.and_then(|condition| match condition["status"].as_str() {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        }),
    }
}

fn argo(kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: "argoproj.io".into(),
        version: "v1alpha1".into(),
        api_version: "argoproj.io/v1alpha1".into(),
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// Digits at the start: some providers write `34+`.
fn number(text: &str) -> u32 {
    text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

fn node(node: core::v1::Node) -> Node {
    let value = serde_json::to_value(&node).unwrap_or(Value::Null);
    let of = |path: &str| text(&value, path).unwrap_or_default().to_owned();
    let ready =
        list(&value, "/status/conditions").iter().any(|c| c["type"] == "Ready" && c["status"] == "True");
    Node {
        name: node.name_any(),
        ready: ready && value["spec"]["unschedulable"] != true,
        version: of("/status/nodeInfo/kubeletVersion"),
        os: of("/status/nodeInfo/operatingSystem"),
        arch: of("/status/nodeInfo/architecture"),
        cpu: of("/status/allocatable/cpu"),
        memory: of("/status/allocatable/memory"),
    }
}

fn storage_class(class: storage::v1::StorageClass) -> StorageClass {
    let default =
        class.annotations().get("storageclass.kubernetes.io/is-default-class").is_some_and(|v| v == "true");
    StorageClass { name: class.name_any(), provisioner: class.provisioner, default }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_images() {
        let check =
            |image: &str, expected: Option<&str>| assert_eq!(tag(image).as_deref(), expected, "{image}");
        check("quay.io/argoproj/argocd:v3.2.1", Some("v3.2.1"));
        check("registry:5000/argocd:v3.2.1@sha256:abc", Some("v3.2.1"));
        check("registry:5000/argocd@sha256:abc", None);
        check("argocd:latest", None);
        assert_eq!(number("34+"), 34);
    }
}
