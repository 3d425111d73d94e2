//! An API server, the reconciler of Applications and this API, with workloads that only pretend to run: for recording
//! what Applications do, without a single container.
//!
//! `house FOLDER API-PORT REST-PORT [GITOPS-NAMESPACE]` writes `FOLDER/admin.kubeconfig` and `FOLDER/pki/ca.crt`.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use galley_apiserver::{ApiServer, CertificateAuthority, ResourceDef, TokenAuthority, kubernetes_kinds};
use galley_argo_cd::Application;
use galley_gitops::{LocalRepositories, Repositories};
use galley_problem::Problem;
use galley_units::{Clock, SystemClock};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct Kitchen {
    client: kube::Client,
    repositories: Arc<dyn Repositories>,
}

#[async_trait]
impl galley_argocdserver::Renderer for Kitchen {
    async fn manifests(
        &self,
        application: &Application,
        revision: &str,
    ) -> Result<(Vec<Value>, String), Problem> {
        let config = galley_gitops::Config::default();
        let (client, repositories) = (self.client.clone(), Arc::clone(&self.repositories));
        galley_gitops::manifests(client, config, repositories, application, revision).await
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = PathBuf::from(&arguments[0]);
    let ports: Vec<u16> = arguments[1..3].iter().map(|port| port.parse().expect("a port")).collect();
    std::fs::create_dir_all(folder.join("pki")).expect("the folder can be made");
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = galley_store::Database::open(&folder.join("x.db"), &[galley_apiserver::MIGRATION])
        .expect("a database");
    let mut kinds = kubernetes_kinds();
    let argo = |kind, plural| ResourceDef::new("argoproj.io", "v1alpha1", kind, plural);
    kinds.extend([
        argo("Application", "applications"),
        argo("AppProject", "appprojects"),
        argo("ApplicationSet", "applicationsets"),
    ]);
    let config = galley_apiserver::Config { kinds, ..Default::default() };
    let server = ApiServer::open(config, database, Arc::clone(&clock)).expect("a server");
    let client = server.client("default");
    let authority =
        CertificateAuthority::load_or_create(&folder.join("auth"), Arc::clone(&clock)).expect("a CA");
    let tokens = TokenAuthority::load_or_create(&folder.join("auth"), Arc::clone(&clock)).expect("tokens");
    let local = [std::net::Ipv4Addr::LOCALHOST.into()];
    let tls = authority.server_tls(&["localhost"], &local).expect("a certificate");
    let stop = CancellationToken::new();
    let api = tokio::net::TcpListener::bind(("127.0.0.1", ports[0])).await.expect("the port is free");
    let rest = tokio::net::TcpListener::bind(("127.0.0.1", ports[1])).await.expect("the port is free");
    tokio::spawn(server.clone().run(stop.clone()));
    tokio::spawn(server.clone().serve_tls(api, tls, tokens.clone(), stop.clone()));
    let admin = tokens.admin_token();
    let kubeconfig = galley_apiserver::kubeconfig(
        &format!("https://127.0.0.1:{}", ports[0]),
        authority.ca_pem(),
        &admin,
        "default",
    );
    std::fs::write(folder.join("admin.kubeconfig"), kubeconfig).expect("can be written");
    std::fs::write(folder.join("pki/ca.crt"), authority.ca_pem()).expect("can be written");
    let namespaces = resource(&client, "v1", "Namespace", "namespaces");
    for name in ["argocd", "default"] {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let object = serde_json::from_value(object).expect("an object");
        let _ = namespaces.create(&PostParams::default(), &object).await;
    }
    let repositories: Arc<dyn Repositories> =
        Arc::new(LocalRepositories::new([], folder.join("mirrors"), Arc::new(|_: &str| None)));
    let (wake, _) = tokio::sync::watch::channel(0);
    let gitops = galley_gitops::Service::new(
        galley_gitops::Config::default(),
        galley_gitops::Deps {
            client: client.clone(),
            repositories: Arc::clone(&repositories),
            wake: wake.subscribe(),
            clock: Arc::clone(&clock),
        },
    )
    .expect("a service");
    tokio::spawn(gitops.run(stop.clone()));
    tokio::spawn(pretend(client.clone()));
    let router = galley_argocdserver::router(galley_argocdserver::Deps {
        client: client.clone(),
        renderer: Arc::new(Kitchen { client, repositories }),
        authorize: Arc::new(|_| true),
        now: Arc::new(move || clock.now()),
        namespace: "argocd".to_owned(),
    });
    axum::serve(rest, router).await.expect("serves");
}

fn resource(client: &kube::Client, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    Api::all_with(
        client.clone(),
        &ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural),
    )
}

/// Lets Deployments become available and Jobs end, by what their first container's command says.
async fn pretend(client: kube::Client) {
    let kinds = [("apps/v1", "Deployment", "deployments"), ("batch/v1", "Job", "jobs")];
    loop {
        tokio::time::sleep(Duration::from_millis(400)).await;
        for (version, kind, plural) in kinds {
            let Ok(list) = resource(&client, version, kind, plural).list(&ListParams::default()).await else {
                continue;
            };
            for object in list.items {
                let age = age(&object);
                let status = if kind == "Job" { job(&object, age) } else { deployment(&object, age) };
                let Some(status) = status.filter(|status| contains_not(&object.data["status"], status))
                else {
                    continue;
                };
                let namespace = object.metadata.namespace.clone().unwrap_or_default();
                let (group, version) = version.split_once('/').unwrap_or(("", version));
                let gvk = GroupVersionKind::gvk(group, version, kind);
                let api: Api<DynamicObject> = Api::namespaced_with(
                    client.clone(),
                    &namespace,
                    &ApiResource::from_gvk_with_plural(&gvk, plural),
                );
                let name = object.metadata.name.clone().unwrap_or_default();
                let patch = json!({"status": status});
                let _ = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
            }
        }
    }
}

fn contains_not(old: &Value, new: &Value) -> bool {
    new.as_object().into_iter().flatten().any(|(key, value)| old.get(key) != Some(value))
}

fn age(object: &DynamicObject) -> i64 {
    let created = object.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    SystemClock.now().as_second() - created.unwrap_or_default()
}

fn container(object: &DynamicObject) -> Value {
    object.data["spec"]["template"]["spec"]["containers"][0].clone()
}

fn job(object: &DynamicObject, age: i64) -> Option<Value> {
    if age < 1 {
        return Some(json!({"active": 1}));
    }
    let fails = container(object)["command"].to_string().contains("exit 3");
    Some(if fails {
        json!({"active": 0, "failed": 1, "conditions": [
            {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"},
            {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the specified backoff limit"}]})
    } else {
        json!({"active": 0, "succeeded": 1, "conditions": [
            {"type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"},
            {"type": "Complete", "status": "True", "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}]})
    })
}

fn deployment(object: &DynamicObject, age: i64) -> Option<Value> {
    let spec = &object.data["spec"];
    let replicas = spec["replicas"].as_i64().unwrap_or(1);
    let never = container(object)["readinessProbe"].to_string().contains("false");
    let generation = object.metadata.generation;
    let deadline = spec["progressDeadlineSeconds"].as_i64().unwrap_or(600);
    let name = object.metadata.name.clone().unwrap_or_default();
    let ready = if never || age < 2 { 0 } else { replicas };
    let progressing = if never && age > deadline {
        json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            "message": format!("ReplicaSet \"{name}-1\" has timed out progressing.")})
    } else if ready == replicas {
        json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "has successfully progressed."})
    } else {
        json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated", "message": "is progressing."})
    };
    Some(json!({
        "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready,
        "availableReplicas": ready, "unavailableReplicas": replicas - ready, "conditions": [progressing],
    }))
}
