//! An API server, a repository and the service, all of one test.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use futures::StreamExt as _;
use galley_apiserver::{ApiServer, MIGRATION, ResourceDef, kubernetes_kinds};
use galley_argo_cd::Application;
use galley_git::{Author, Repo, init_work_tree};
use galley_gitops::{Config, Deps, LocalRepositories, Repositories, Service};
use galley_store::Database;
use galley_units::SystemClock;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    runtime::watcher,
};
use serde_json::{Value, json};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const URL: &str = "http://git.example/pipeline.git";
/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(20);

pub struct House {
    pub folder: tempfile::TempDir,
    pub client: Client,
    pub repo: Repo,
    pub wake: watch::Sender<u64>,
    pub repositories: Arc<dyn Repositories>,
    commits: std::cell::Cell<i64>,
    service: Option<(JoinHandle<()>, CancellationToken)>,
    control: CancellationToken,
}

impl Drop for House {
    fn drop(&mut self) {
        self.control.cancel();
        if let Some((_, token)) = &self.service {
            token.cancel();
        }
    }
}

impl House {
    /// A house whose repository holds these files, with the namespaces `argocd` and `ns`.
    pub async fn new(files: &[(&str, &str)]) -> House {
        let folder = tempfile::tempdir().expect("scratch");
        let database = Database::open(&folder.path().join("x.db"), &[MIGRATION]).expect("a database");
        let mut kinds = kubernetes_kinds();
        let argo = |kind, plural| ResourceDef::new("argoproj.io", "v1alpha1", kind, plural);
        kinds.extend([argo("Application", "applications"), argo("AppProject", "appprojects")]);
        let config = galley_apiserver::Config { kinds, ..Default::default() };
        let server = ApiServer::open(config, database, Arc::new(SystemClock)).expect("a server");
        let client = server.client("default");
        let control = CancellationToken::new();
        tokio::spawn(server.run(control.clone()));
        let repo = Repo::init_or_open(folder.path().join("pipeline.git")).await.expect("a repository");
        let mirrors = folder.path().join("mirrors");
        let repositories: Arc<dyn Repositories> = Arc::new(LocalRepositories::new(
            [(URL.to_owned(), repo.clone())],
            mirrors,
            Arc::new(|_: &str| None),
        ));
        let (wake, _) = watch::channel(0);
        let commits = std::cell::Cell::new(0);
        let house = House { folder, client, repo, wake, repositories, commits, service: None, control };
        for name in ["argocd", "ns"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            house.create(&namespace).await;
        }
        house.push(files).await;
        house
    }

    /// Starts the service.
    pub fn start(&mut self) {
        let deps = Deps {
            client: self.client.clone(),
            repositories: self.repositories.clone(),
            wake: self.wake.subscribe(),
            clock: Arc::new(SystemClock),
        };
        let service = Service::new(Config::default(), deps).expect("a service");
        let token = CancellationToken::new();
        let run = service.run(token.clone());
        let task = tokio::spawn(async move { run.await.expect("runs") });
        self.service = Some((task, token));
    }

    /// Stops the service and waits for its end.
    pub async fn stop(&mut self) {
        let (task, token) = self.service.take().expect("runs");
        token.cancel();
        task.await.expect("ends well");
    }

    /// Replaces everything on `main` with these files, in a commit of its own, and wakes the service.
    pub async fn push(&self, files: &[(&str, &str)]) -> String {
        let number = self.commits.get() + 1;
        self.commits.set(number);
        let work: PathBuf = self.folder.path().join(format!("work{number}"));
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let time = jiff::Timestamp::from_second(1_700_000_000 + number).expect("a time");
        init_work_tree(&work, &files, &format!("commit {number}"), &Author::galley(time))
            .await
            .expect("commits");
        let url = work.to_string_lossy().into_owned();
        self.repo.fetch_mirror(&url, None).await.expect("takes it over");
        self.wake.send_modify(|count| *count += 1);
        self.repo.resolve("main").await.expect("resolves").expect("main")
    }

    pub fn api(&self, version: &str, kind: &str, plural: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource =
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    pub fn maps(&self) -> Api<DynamicObject> {
        self.api("v1", "ConfigMap", "configmaps", "ns")
    }

    pub fn jobs(&self) -> Api<DynamicObject> {
        self.api("batch/v1", "Job", "jobs", "ns")
    }

    pub fn deployments(&self) -> Api<DynamicObject> {
        self.api("apps/v1", "Deployment", "deployments", "ns")
    }

    pub fn applications(&self) -> Api<DynamicObject> {
        self.api("argoproj.io/v1alpha1", "Application", "applications", "argocd")
    }

    pub async fn create(&self, object: &Value) {
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let plural = format!("{}s", text("kind").to_lowercase());
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        let api = self.api(text("apiVersion"), text("kind"), &plural, namespace);
        let object: DynamicObject = serde_json::from_value(object.clone()).expect("an object");
        api.create(&PostParams::default(), &object).await.expect("is created");
    }

    /// An Application named `app` over the folder `app`, with more in its specification.
    pub async fn application(&self, spec: Value) {
        let mut object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "app", "namespace": "argocd"},
            "spec": {"project": "default",
                "destination": {"server": "https://kubernetes.default.svc", "namespace": "ns"},
                "source": {"repoURL": URL, "targetRevision": "main", "path": "app"}}});
        galley_patch::apply_merge_patch(&mut object, &spec);
        self.create(&object).await;
    }

    /// Waits until the Application is as wanted, and answers it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Application) -> bool) -> Application {
        let read = |object: &DynamicObject| {
            serde_json::from_value::<Application>(serde_json::to_value(object).expect("json"))
                .expect("an Application")
        };
        let found = self
            .wait(self.applications(), "app", what, |object| object.is_some_and(|o| wanted(&read(o))))
            .await;
        read(&found.expect("it is there"))
    }

    /// Waits until an object (or its absence) is as wanted.
    pub async fn wait(
        &self,
        api: Api<DynamicObject>,
        name: &str,
        what: &str,
        wanted: impl Fn(Option<&DynamicObject>) -> bool,
    ) -> Option<DynamicObject> {
        let mut last = None;
        let look = async {
            let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
            let mut events = watcher(api.clone(), config).boxed();
            let mut listed = false;
            while let Some(event) = events.next().await {
                match event.expect("a watch") {
                    watcher::Event::Apply(object) | watcher::Event::InitApply(object) => last = Some(object),
                    watcher::Event::Delete(_) => last = None,
                    watcher::Event::Init => (last, listed) = (None, false),
                    watcher::Event::InitDone => listed = true,
                }
                if listed && wanted(last.as_ref()) {
                    return;
                }
            }
        };
        if tokio::time::timeout(DEADLINE, look).await.is_err() {
            let application = self.applications().get_opt("app").await.ok().flatten();
            let application = serde_json::to_string_pretty(&application).unwrap_or_default();
            panic!("{what}: not in time; the Application is {application}");
        }
        last
    }

    pub async fn patch(&self, api: &Api<DynamicObject>, name: &str, patch: Value) {
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("is patched");
    }

    pub async fn patch_status(&self, api: &Api<DynamicObject>, name: &str, status: Value) {
        let patch = json!({"status": status});
        api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await.expect("is patched");
    }

    /// Says of a Job that it has ended.
    pub async fn end_job(&self, name: &str, condition: &str) {
        let conditions =
            json!([{"type": condition, "status": "True", "message": format!("job {condition}")}]);
        self.patch_status(&self.jobs(), name, json!({"conditions": conditions})).await;
    }

    /// The names of the ConfigMaps in `ns` that an Application has.
    pub async fn map_names(&self) -> Vec<String> {
        let list = self.maps().list(&ListParams::default()).await.expect("a list");
        let mut names: Vec<String> = list.into_iter().filter_map(|object| object.metadata.name).collect();
        names.retain(|name| name != "kube-root-ca.crt");
        names.sort();
        names
    }
}

pub fn map(name: &str, data: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {data}\n")
}

pub fn job(name: &str, annotations: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\nspec: {{template: {{spec: \
         {{restartPolicy: Never, containers: [{{name: c, image: x}}]}}}}}}\n"
    )
}
