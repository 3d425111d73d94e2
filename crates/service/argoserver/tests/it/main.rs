//! The room over a real API server, with actions that are only noted down.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use galley_apiserver::{ApiServer, ResourceDef};
use galley_argoserver::{Actions, Config, Deps, Retry, Service, Set};
use galley_problem::Problem;
use galley_store::Database;
use galley_units::SystemClock;
use serde_json::{Value, json};
use tower::ServiceExt;

/// Writes down what is asked of it.
#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl Noted {
    fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

#[async_trait]
impl Actions for Noted {
    async fn retry(&self, _: &str, name: &str, how: Retry) -> Result<(), Problem> {
        self.note(format!("retry {name} {:?} {}", how.parameters, how.nodes));
        Ok(())
    }
    async fn resubmit(
        &self,
        _: &str,
        name: &str,
        memoized: bool,
        _: BTreeMap<String, String>,
    ) -> Result<String, Problem> {
        self.note(format!("resubmit {name} {memoized}"));
        Ok(name.to_owned())
    }
    async fn resume(&self, _: &str, name: &str) -> Result<(), Problem> {
        self.note(format!("resume {name}"));
        Ok(())
    }
    async fn suspend(&self, _: &str, name: &str) -> Result<(), Problem> {
        self.note(format!("suspend {name}"));
        Ok(())
    }
    async fn stop(&self, _: &str, name: &str) -> Result<(), Problem> {
        self.note(format!("stop {name}"));
        Ok(())
    }
    async fn terminate(&self, _: &str, name: &str) -> Result<(), Problem> {
        self.note(format!("terminate {name}"));
        Ok(())
    }
    async fn set(&self, _: &str, name: &str, what: Set) -> Result<(), Problem> {
        self.note(format!("set {name} {} {} {:?}", what.nodes, what.phase, what.outputs));
        Ok(())
    }
    async fn artifact(&self, _: &str) -> Option<File> {
        None
    }
}

struct Room {
    router: Router,
    noted: Arc<Noted>,
    client: kube::Client,
    _dir: tempfile::TempDir,
}

fn room() -> Room {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("db"), &[galley_apiserver::MIGRATION]).unwrap();
    let mut config = galley_apiserver::Config::default();
    for (kind, namespaced) in [
        ("Workflow", true),
        ("WorkflowTemplate", true),
        ("ClusterWorkflowTemplate", false),
        ("CronWorkflow", true),
        ("WorkflowEventBinding", true),
    ] {
        let plural = format!("{}s", kind.to_lowercase());
        let def = ResourceDef::new("argoproj.io", "v1alpha1", kind, &plural);
        config.kinds.push(if namespaced { def } else { def.cluster() });
    }
    let server = ApiServer::open(config, database, Arc::new(SystemClock)).unwrap();
    let noted = Arc::new(Noted::default());
    let client = server.client("default");
    let deps = Deps {
        client: client.clone(),
        actions: Arc::clone(&noted) as Arc<dyn Actions>,
        shutdown: Default::default(),
        authorize: Arc::new(|token| (token == "good").then(|| "system:serviceaccount:default:me".to_owned())),
    };
    Room { router: Service::new(Config::default(), deps).router(), noted, client, _dir: dir }
}

impl Room {
    async fn send(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        // As the argo command does it: no content type.
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("Authorization", "Bearer good");
        let answer = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let status = answer.status();
        let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        (status, value)
    }

    async fn good(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, value) = self.send(method, path, body).await;
        assert_eq!(status, StatusCode::OK, "{method} {path}: {value}");
        value
    }
}

fn workflow(name: &str) -> Value {
    json!({"metadata": {"name": name, "creationTimestamp": null}, "spec": {"entrypoint": "main", "arguments": {}, "templates": [
        {"name": "main", "inputs": {}, "outputs": {}, "metadata": {}, "container": {"name": "", "image": "busybox", "command": ["true"], "resources": {}}},
    ]}, "status": {"startedAt": null, "finishedAt": null}})
}

#[tokio::test]
async fn nobody_comes_in_without_a_token() {
    let room = room();
    for header in [None, Some("Bearer bad"), Some("good")] {
        let mut request = Request::builder().uri("/api/v1/info");
        if let Some(header) = header {
            request = request.header("Authorization", header);
        }
        let answer = room.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{header:?}");
    }
    let user = room.good("GET", "/api/v1/userinfo", Value::Null).await;
    assert_eq!(user["serviceAccountName"], "me");
    assert!(
        room.good("GET", "/api/v1/version", Value::Null).await["version"].as_str().unwrap().starts_with("v4")
    );
}

#[tokio::test]
async fn workflows_are_made_looked_at_and_deleted() {
    let room = room();
    let made = room
        .good(
            "POST",
            "/api/v1/workflows/default",
            json!({"namespace": "default", "workflow": workflow("one")}),
        )
        .await;
    assert_eq!((&made["metadata"]["name"], &made["kind"]), (&json!("one"), &json!("Workflow")));
    let dry = json!({"workflow": workflow("dry"), "serverDryRun": true});
    room.good("POST", "/api/v1/workflows/default", dry).await;
    let list = room
        .good(
            "GET",
            "/api/v1/workflows/default?fields=items.metadata.name&listOptions.labelSelector=",
            Value::Null,
        )
        .await;
    assert_eq!(list, json!({"items": [{"metadata": {"name": "one"}}]}));
    let latest = room.good("GET", "/api/v1/workflows/default/@latest?fields=-spec", Value::Null).await;
    assert_eq!((&latest["metadata"]["name"], latest.get("spec")), (&json!("one"), None));
    let (status, refusal) = room.send("GET", "/api/v1/workflows/default/none", Value::Null).await;
    assert_eq!((status, &refusal["code"]), (StatusCode::NOT_FOUND, &json!(5)));
    let (status, refusal) =
        room.send("POST", "/api/v1/workflows/default", json!({"workflow": workflow("one")})).await;
    assert_eq!((status, &refusal["code"]), (StatusCode::CONFLICT, &json!(6)));
    let mut bad = workflow("bad");
    bad["spec"]["entrypoint"] = json!("nowhere");
    for path in ["/api/v1/workflows/default", "/api/v1/workflows/default/lint"] {
        let (status, refusal) = room.send("POST", path, json!({"workflow": bad})).await;
        assert_eq!((status, &refusal["code"]), (StatusCode::BAD_REQUEST, &json!(3)), "{refusal}");
    }
    room.good("POST", "/api/v1/workflows/default/lint", json!({"workflow": workflow("x")})).await;
    room.good("DELETE", "/api/v1/workflows/default/one", Value::Null).await;
    let (status, _) = room.send("GET", "/api/v1/workflows/default/one", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn verbs_reach_the_room_that_runs_workflows() {
    let room = room();
    room.good("POST", "/api/v1/workflows/default", json!({"workflow": workflow("one")})).await;
    let at = |verb: &str| format!("/api/v1/workflows/default/one/{verb}");
    room.good("PUT", &at("retry"), json!({"parameters": ["a=b"], "nodeFieldSelector": "phase=Failed"})).await;
    room.good("PUT", &at("resubmit"), json!({"memoized": true})).await;
    room.good("PUT", &at("suspend"), Value::Null).await;
    room.good("PUT", &at("resume"), json!({"name": "one"})).await;
    room.good("PUT", &at("resume"), json!({"nodeFieldSelector": "displayName=x"})).await;
    room.good("PUT", &at("stop"), json!({})).await;
    room.good("PUT", &at("terminate"), json!({})).await;
    room.good(
        "PUT",
        &at("set"),
        json!({"nodeFieldSelector": "displayName=x", "outputParameters": "{\"p\":\"1\"}"}),
    )
    .await;
    let (status, _) = room.send("PUT", &at("retry"), json!({"parameters": ["wrong"]})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let noted = room.noted.0.lock().unwrap().join("; ");
    assert_eq!(
        noted,
        "retry one {\"a\": \"b\"} phase=Failed; resubmit one true; suspend one; resume one; \
         set one displayName=x Succeeded {}; stop one; terminate one; set one displayName=x  {\"p\": \"1\"}"
    );
}

#[tokio::test]
async fn templates_are_kept_and_submitted_and_events_begin_them() {
    let room = room();
    let mut template = workflow("lib");
    template["spec"]["arguments"] = json!({"parameters": [{"name": "p", "value": "1"}]});
    room.good("POST", "/api/v1/workflow-templates/default", json!({"template": template})).await;
    room.good("POST", "/api/v1/cluster-workflow-templates", json!({"template": workflow("wide")})).await;
    let cron = json!({"metadata": {"name": "daily"}, "spec": {"schedules": ["0 0 * * *"], "workflowSpec": workflow("x")["spec"]}});
    room.good("POST", "/api/v1/cron-workflows/default", json!({"cronWorkflow": cron})).await;
    let suspended = room.good("PUT", "/api/v1/cron-workflows/default/daily/suspend", json!({})).await;
    assert_eq!(suspended["spec"]["suspend"], true);
    let updated = json!({"template": template});
    room.good("PUT", "/api/v1/workflow-templates/default/lib", updated).await;
    for (kind, name) in
        [("workflowtemplate", "lib"), ("ClusterWorkflowTemplate", "wide"), ("cronwf", "daily")]
    {
        let options = json!({"parameters": ["q=2"], "labels": "a=b", "generateName": "sub-"});
        let body = json!({"resourceKind": kind, "resourceName": name, "submitOptions": options});
        let made = room.good("POST", "/api/v1/workflows/default/submit", body).await;
        assert!(made["metadata"]["name"].as_str().unwrap().starts_with("sub-"), "{made}");
        assert_eq!(made["metadata"]["labels"]["a"], "b");
    }
    let binding = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowEventBinding", "metadata": {"name": "on-push"},
        "spec": {"event": {"selector": "payload.ref == \"main\" && discriminator == \"git\""},
            "submit": {"workflowTemplateRef": {"name": "lib"}, "metadata": {"generateName": "pushed-"},
                "arguments": {"parameters": [{"name": "p", "valueFrom": {"event": "payload.by"}}]}}}});
    let resource = kube::api::ApiResource::from_gvk_with_plural(
        &kube::core::GroupVersionKind::gvk("argoproj.io", "v1alpha1", "WorkflowEventBinding"),
        "workfloweventbindings",
    );
    let bindings: kube::Api<kube::api::DynamicObject> =
        kube::Api::namespaced_with(room.client.clone(), "default", &resource);
    bindings.create(&Default::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    room.good("POST", "/api/v1/events/default/git", json!({"ref": "main", "by": "ann"})).await;
    room.good("POST", "/api/v1/events/default/git", json!({"ref": "other", "by": "bob"})).await;
    let list = room.good("GET", "/api/v1/workflows/default", Value::Null).await;
    let pushed: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["metadata"]["generateName"] == "pushed-")
        .collect();
    assert_eq!(pushed.len(), 1);
    assert_eq!(pushed[0]["spec"]["arguments"]["parameters"][0]["value"], "ann");
    room.good("DELETE", "/api/v1/workflow-templates/default/lib", Value::Null).await;
}
