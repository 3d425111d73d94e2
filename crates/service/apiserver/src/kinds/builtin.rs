//! Kubernetes' own kinds, with the columns that `kubectl get` prints for them.

use super::{Column, ResourceDef, cells};

fn col(name: &str, path: &str) -> Column {
    Column::path(name, "string", path)
}

fn def(api: &str, kind: &str, plural: &str, short: &[&str], columns: Vec<Column>) -> ResourceDef {
    let (group, version) = api.rsplit_once('/').unwrap_or(("", api));
    ResourceDef::new(group, version, kind, plural).short(short).with_columns(columns)
}

/// The built-in kinds of Kubernetes that are served.
pub fn kubernetes_kinds() -> Vec<ResourceDef> {
    let mut kinds = core();
    kinds.extend(workloads());
    kinds.extend(network());
    kinds.extend(cluster());
    kinds
}

fn core() -> Vec<ResourceDef> {
    vec![
        def("v1", "Namespace", "namespaces", &["ns"], vec![col("Status", ".status.phase"), Column::age()])
            .cluster(),
        def(
            "v1",
            "Pod",
            "pods",
            &["po"],
            vec![
                Column::computed("Ready", cells::pod_ready),
                Column::computed("Status", cells::pod_status),
                Column::computed("Restarts", cells::pod_restarts),
                Column::age(),
                Column::computed("IP", cells::pod_ip).only_wide(),
                Column::computed("Node", cells::pod_node).only_wide(),
            ],
        )
        .in_categories(&["all"]),
        def(
            "v1",
            "Service",
            "services",
            &["svc"],
            vec![
                Column::computed("Type", cells::service_type),
                Column::computed("Cluster-IP", cells::cluster_ip),
                Column::computed("External-IP", cells::external_ip),
                Column::computed("Port(s)", cells::service_ports),
                Column::age(),
                Column::computed("Selector", cells::service_selector).only_wide(),
            ],
        )
        .in_categories(&["all"]),
        def(
            "v1",
            "Endpoints",
            "endpoints",
            &["ep"],
            vec![Column::computed("Endpoints", cells::endpoints), Column::age()],
        )
        .without_status(),
        def(
            "v1",
            "ConfigMap",
            "configmaps",
            &["cm"],
            vec![Column::computed("Data", cells::data_count), Column::age()],
        )
        .without_status(),
        def(
            "v1",
            "Secret",
            "secrets",
            &[],
            vec![col("Type", ".type"), Column::computed("Data", cells::data_count), Column::age()],
        )
        .without_status(),
        def(
            "v1",
            "ServiceAccount",
            "serviceaccounts",
            &["sa"],
            vec![Column::computed("Secrets", cells::secret_count), Column::age()],
        )
        .without_status(),
        def(
            "v1",
            "PersistentVolumeClaim",
            "persistentvolumeclaims",
            &["pvc"],
            vec![
                col("Status", ".status.phase"),
                col("Volume", ".spec.volumeName"),
                col("Capacity", ".status.capacity.storage"),
                Column::computed("Access Modes", cells::access_modes),
                col("StorageClass", ".spec.storageClassName"),
                Column::age(),
            ],
        ),
        def(
            "v1",
            "PersistentVolume",
            "persistentvolumes",
            &["pv"],
            vec![
                col("Capacity", ".spec.capacity.storage"),
                Column::computed("Access Modes", cells::access_modes),
                col("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
                col("Status", ".status.phase"),
                Column::computed("Claim", cells::volume_claim),
                col("StorageClass", ".spec.storageClassName"),
                Column::age(),
            ],
        )
        .cluster(),
        def(
            "v1",
            "Event",
            "events",
            &["ev"],
            vec![
                Column::computed("Last Seen", cells::event_last_seen),
                col("Type", ".type"),
                col("Reason", ".reason"),
                Column::computed("Object", cells::event_object),
                Column::computed("Message", cells::event_message),
            ],
        )
        .without_status(),
        def(
            "v1",
            "Node",
            "nodes",
            &["no"],
            vec![
                Column::computed("Status", cells::node_status),
                Column::computed("Roles", cells::node_roles),
                Column::age(),
                col("Version", ".status.nodeInfo.kubeletVersion"),
            ],
        )
        .cluster(),
    ]
}

fn template_columns() -> [Column; 2] {
    [
        Column::computed("Containers", cells::container_names).only_wide(),
        Column::computed("Images", cells::container_images).only_wide(),
    ]
}

fn with_template(mut columns: Vec<Column>) -> Vec<Column> {
    columns.push(Column::age());
    columns.extend(template_columns());
    columns.push(Column::computed("Selector", cells::match_labels).only_wide());
    columns
}

fn workloads() -> Vec<ResourceDef> {
    let all = |def: ResourceDef| def.in_categories(&["all"]);
    let daemon = |name: &str, which: &'static str| Column::computed(name, cells::daemon_set_number(which));
    vec![
        all(def(
            "apps/v1",
            "Deployment",
            "deployments",
            &["deploy"],
            with_template(vec![
                Column::computed("Ready", cells::deployment_ready),
                Column::computed("Up-to-date", cells::up_to_date),
                Column::computed("Available", cells::available),
            ]),
        ))
        .scalable(),
        all(def(
            "apps/v1",
            "ReplicaSet",
            "replicasets",
            &["rs"],
            with_template(vec![
                Column::computed("Desired", cells::wanted_replicas),
                Column::computed("Current", cells::current_replicas),
                Column::computed("Ready", cells::ready_replicas),
            ]),
        ))
        .scalable(),
        all(def(
            "apps/v1",
            "StatefulSet",
            "statefulsets",
            &["sts"],
            with_template(vec![Column::computed("Ready", cells::deployment_ready)]),
        ))
        .scalable(),
        all(def(
            "apps/v1",
            "DaemonSet",
            "daemonsets",
            &["ds"],
            with_template(vec![
                daemon("Desired", "desired"),
                daemon("Current", "current"),
                daemon("Ready", "ready"),
                daemon("Up-to-date", "updated"),
                daemon("Available", "available"),
                Column::computed("Node Selector", cells::node_selector),
            ]),
        )),
        def("apps/v1", "ControllerRevision", "controllerrevisions", &[], vec![Column::age()])
            .without_status(),
        all(def(
            "batch/v1",
            "Job",
            "jobs",
            &[],
            with_template(vec![
                Column::computed("Status", cells::job_status),
                Column::computed("Completions", cells::job_completions),
                Column::computed("Duration", cells::job_duration),
            ]),
        )),
        all(def(
            "batch/v1",
            "CronJob",
            "cronjobs",
            &["cj"],
            vec![
                col("Schedule", ".spec.schedule"),
                Column::computed("Timezone", cells::cron_timezone),
                Column::computed("Suspend", cells::cron_suspend),
                Column::computed("Active", cells::cron_active),
                Column::computed("Last Schedule", cells::cron_last),
                Column::age(),
            ],
        )),
    ]
}

fn network() -> Vec<ResourceDef> {
    vec![
        def(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            "endpointslices",
            &[],
            vec![
                col("AddressType", ".addressType"),
                Column::computed("Ports", cells::slice_ports),
                Column::computed("Endpoints", cells::slice_endpoints),
                Column::age(),
            ],
        )
        .without_status(),
        def(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "networkpolicies",
            &["netpol"],
            vec![Column::computed("Pod-Selector", cells::pod_selector), Column::age()],
        )
        .without_status(),
        def(
            "networking.k8s.io/v1",
            "Ingress",
            "ingresses",
            &["ing"],
            vec![
                Column::computed("Class", cells::ingress_class),
                Column::computed("Hosts", cells::ingress_hosts),
                col("Address", ".status.loadBalancer.ingress[0].ip"),
                Column::computed("Ports", cells::ingress_ports),
                Column::age(),
            ],
        ),
        def(
            "policy/v1",
            "PodDisruptionBudget",
            "poddisruptionbudgets",
            &["pdb"],
            vec![
                Column::computed("Min Available", cells::or_not_available("min")),
                Column::computed("Max Unavailable", cells::or_not_available("max")),
                Column::computed("Allowed Disruptions", cells::disruptions),
                Column::age(),
            ],
        ),
    ]
}

fn cluster() -> Vec<ResourceDef> {
    let created = || col("Created At", ".metadata.creationTimestamp");
    let rbac = "rbac.authorization.k8s.io/v1";
    let binding = || vec![Column::computed("Role", cells::role_ref), Column::age()];
    vec![
        def(rbac, "Role", "roles", &[], vec![created()]).without_status(),
        def(rbac, "RoleBinding", "rolebindings", &[], binding()).without_status(),
        def(rbac, "ClusterRole", "clusterroles", &[], vec![created()]).without_status().cluster(),
        def(rbac, "ClusterRoleBinding", "clusterrolebindings", &[], binding()).without_status().cluster(),
        def(
            "coordination.k8s.io/v1",
            "Lease",
            "leases",
            &[],
            vec![col("Holder", ".spec.holderIdentity"), Column::age()],
        )
        .without_status(),
        def(
            "apiextensions.k8s.io/v1",
            "CustomResourceDefinition",
            "customresourcedefinitions",
            &["crd", "crds"],
            vec![created()],
        )
        .in_categories(&["api-extensions"])
        .cluster(),
        def(
            "storage.k8s.io/v1",
            "StorageClass",
            "storageclasses",
            &["sc"],
            vec![
                col("Provisioner", ".provisioner"),
                col("ReclaimPolicy", ".reclaimPolicy"),
                col("VolumeBindingMode", ".volumeBindingMode"),
                Column::computed("AllowVolumeExpansion", cells::expansion),
                Column::age(),
            ],
        )
        .without_status()
        .cluster(),
    ]
}
