//! The scenarios on a real cluster.

use galley_cluster::{Access, Cluster, ControllerState};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::{
    scenarios,
    support::{kubeconfig, real},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_moves_nothing() {
    let Some(site) = real().await else { return };
    scenarios::a_second_run_moves_nothing(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_anywhere_nothing_is_lost() {
    let Some(site) = real().await else { return };
    scenarios::killed_anywhere_nothing_is_lost(&site, (1..=16).step_by(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_removal_is_completed() {
    let Some(site) = real().await else { return };
    scenarios::a_killed_removal_is_completed(&site, (1..=16).step_by(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removal_takes_exactly_what_is_ours() {
    let Some(site) = real().await else { return };
    scenarios::removal_takes_exactly_what_is_ours(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bootstrap_at_a_time() {
    let Some(site) = real().await else { return };
    scenarios::one_bootstrap_at_a_time(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_are_named() {
    let Some(site) = real().await else { return };
    scenarios::conflicts_are_named(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_come_and_go() {
    let Some(site) = real().await else { return };
    let facts = site.cluster.facts().await.expect("facts");
    let runs =
        matches!(facts.argo_cd.state, ControllerState::Inside { .. } | ControllerState::Outside { .. });
    scenarios::applications_come_and_go(&site, runs).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_around() {
    let Some(site) = real().await else { return };
    scenarios::looking_around(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_rights_are_named() {
    let Some(path) = kubeconfig() else { return };
    let file = Kubeconfig::read_from(&path).expect("a kubeconfig");
    let mut config =
        kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("usable");
    config.auth_info.impersonate = Some("galley-test-nobody".into());
    let server = config.cluster_url.to_string();
    let nobody = Cluster::of(kube::Client::try_from(config).expect("a client"), &server);
    let wanted =
        [Access::to("create", "apps", "deployments").within("default"), Access::to("list", "", "nodes")];
    let denied = nobody.may(&wanted).await.expect("answers");
    let shown: Vec<String> = denied.iter().map(ToString::to_string).collect();
    let expected = [
        "may not `create` `deployments.apps` in namespace `default`",
        "may not `list` `nodes` in the whole cluster",
    ];
    assert_eq!(shown, expected);
    let facts = nobody.facts().await.expect("facts all the same");
    assert!(facts.unread.iter().any(|line| line.starts_with("nodes:")), "{:?}", facts.unread);
    let wanted = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}});
    let refused = nobody.plan(&[wanted], &Default::default()).await.expect_err("not allowed");
    assert_eq!(refused.code, "G1108");
}
