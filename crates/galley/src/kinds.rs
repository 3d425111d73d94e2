//! The kinds that this control plane serves beside those of Kubernetes: Argo's, the Gateway API's and Galley's own.

use galley_apiserver::{Column, ResourceDef, kubernetes_kinds};

/// Everything that is served.
pub fn all() -> Vec<ResourceDef> {
    let mut kinds = kubernetes_kinds();
    kinds.extend(argo());
    kinds.extend(gateway());
    kinds.push(kind(
        ("galley.dev", "v1alpha1", "Release", "releases"),
        true,
        &["rel"],
        &[
            ("Phase", ".status.phase"),
            ("Version", ".status.version"),
            ("Workflow", ".status.workflow"),
            ("Message", ".status.message"),
        ],
    ));
    kinds
}

fn argo() -> Vec<ResourceDef> {
    let group = "argoproj.io";
    let version = "v1alpha1";
    let of = |kind_name, plural, namespaced, short: &[&str], columns: &[(&str, &str)]| {
        kind((group, version, kind_name, plural), namespaced, short, columns)
    };
    vec![
        of(
            "Workflow",
            "workflows",
            true,
            &["wf"],
            &[("Status", ".status.phase"), ("Progress", ".status.progress"), ("Message", ".status.message")],
        ),
        of("WorkflowTemplate", "workflowtemplates", true, &["wftmpl"], &[]),
        of("ClusterWorkflowTemplate", "clusterworkflowtemplates", false, &["cwft", "clusterwftmpl"], &[]),
        of(
            "CronWorkflow",
            "cronworkflows",
            true,
            &["cwf", "cronwf"],
            &[("Schedules", ".spec.schedules"), ("Suspended", ".spec.suspend")],
        ),
        of("WorkflowTaskResult", "workflowtaskresults", true, &[], &[]),
        of("WorkflowEventBinding", "workfloweventbindings", true, &["wfeb"], &[]),
        of(
            "Application",
            "applications",
            true,
            &["app", "apps"],
            &[
                ("Sync Status", ".status.sync.status"),
                ("Health Status", ".status.health.status"),
                ("Revision", ".status.sync.revision"),
            ],
        ),
        of("AppProject", "appprojects", true, &["appproj", "appprojs"], &[]),
        of("ApplicationSet", "applicationsets", true, &["appset", "appsets"], &[]),
    ]
}

fn gateway() -> Vec<ResourceDef> {
    let group = "gateway.networking.k8s.io";
    vec![
        kind(
            (group, "v1", "GatewayClass", "gatewayclasses"),
            false,
            &["gc"],
            &[("Controller", ".spec.controllerName")],
        ),
        kind(
            (group, "v1", "Gateway", "gateways"),
            true,
            &["gtw"],
            &[("Class", ".spec.gatewayClassName"), ("Address", ".status.addresses[0].value")],
        ),
        kind((group, "v1", "HTTPRoute", "httproutes"), true, &[], &[("Hostnames", ".spec.hostnames")]),
        kind((group, "v1beta1", "ReferenceGrant", "referencegrants"), true, &["refgrant"], &[]),
    ]
}

fn kind(
    (group, version, kind, plural): (&str, &str, &str, &str),
    namespaced: bool,
    short_names: &[&str],
    columns: &[(&str, &str)],
) -> ResourceDef {
    let columns = columns
        .iter()
        .map(|(name, path)| Column::path(name, "string", path))
        .chain([Column::age()])
        .collect();
    let def = ResourceDef::new(group, version, kind, plural)
        .short(short_names)
        .in_categories(&["galley"])
        .with_columns(columns);
    if namespaced { def } else { def.cluster() }
}
