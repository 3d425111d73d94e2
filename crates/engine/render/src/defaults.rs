//! What charts are told of a cluster when nobody says more: the answers of Helm 4.3.

use crate::Capabilities;

/// The version of Kubernetes that is assumed.
pub const KUBE_VERSION: &str = "v1.37.0";
/// The version of Helm that charts see.
pub const HELM_VERSION: &str = "v4.3.1";

/// The groups and versions that Helm assumes.
const API_VERSIONS: &str = "\
v1 admissionregistration.k8s.io/v1 admissionregistration.k8s.io/v1alpha1 admissionregistration.k8s.io/v1beta1 \
internal.apiserver.k8s.io/v1alpha1 apps/v1 apps/v1beta1 apps/v1beta2 authentication.k8s.io/v1 \
authentication.k8s.io/v1alpha1 authentication.k8s.io/v1beta1 authorization.k8s.io/v1 \
authorization.k8s.io/v1beta1 autoscaling/v1 autoscaling/v2 batch/v1 batch/v1beta1 certificates.k8s.io/v1 \
certificates.k8s.io/v1beta1 certificates.k8s.io/v1alpha1 coordination.k8s.io/v1alpha2 \
coordination.k8s.io/v1beta1 coordination.k8s.io/v1 discovery.k8s.io/v1 discovery.k8s.io/v1beta1 \
events.k8s.io/v1 events.k8s.io/v1beta1 extensions/v1beta1 flowcontrol.apiserver.k8s.io/v1 \
flowcontrol.apiserver.k8s.io/v1beta1 flowcontrol.apiserver.k8s.io/v1beta2 \
flowcontrol.apiserver.k8s.io/v1beta3 lifecycle.k8s.io/v1alpha1 networking.k8s.io/v1 networking.k8s.io/v1beta1 \
node.k8s.io/v1 node.k8s.io/v1alpha1 node.k8s.io/v1beta1 policy/v1 policy/v1beta1 rbac.authorization.k8s.io/v1 \
rbac.authorization.k8s.io/v1beta1 rbac.authorization.k8s.io/v1alpha1 resource.k8s.io/v1 \
resource.k8s.io/v1beta2 resource.k8s.io/v1beta1 resource.k8s.io/v1alpha3 scheduling.k8s.io/v1alpha3 \
scheduling.k8s.io/v1beta1 scheduling.k8s.io/v1 storage.k8s.io/v1beta1 storage.k8s.io/v1 \
storage.k8s.io/v1alpha1 storagemigration.k8s.io/v1 storagemigration.k8s.io/v1beta1 \
apiextensions.k8s.io/v1beta1 apiextensions.k8s.io/v1";

/// What Helm assumes without a cluster, with another version of Kubernetes and further API versions if given.
pub fn default_capabilities(kube_version: Option<&str>, more: &[String]) -> Capabilities {
    let mut api_versions: Vec<String> = API_VERSIONS.split_whitespace().map(str::to_owned).collect();
    api_versions.extend(more.iter().cloned());
    let kube_version = kube_version.unwrap_or(KUBE_VERSION);
    Capabilities {
        kube_version: format!("v{}", kube_version.trim_start_matches('v')),
        api_versions,
        helm_version: HELM_VERSION.to_owned(),
    }
}
