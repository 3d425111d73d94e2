//! What a fresh control plane is given: the pipeline repository, namespaces, the ways to the embedded servers, the
//! steps' credentials, and the one Application from which all others come.

use std::{collections::BTreeMap, path::Path};

use galley_git::{Author, Repo};
use galley_problem::{Kind, Problem};
use galley_release_types::{APPLICATIONS_NAMESPACE, PIPELINE_NAMESPACE, PLATFORM_NAMESPACE};
use galley_units::{Clock, Secret, SystemClock};
use include_dir::{Dir, include_dir};
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use crate::{up::PIPELINE_URL, voice};

/// The template that `galley init` copies.
static TEMPLATE: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../pipeline");

/// Makes a pipeline repository from the built-in template.
///
/// # Errors
/// G0105 or G04xx if it cannot be made.
pub async fn make_pipeline(dir: &Path) -> Result<(), Problem> {
    let mut files = BTreeMap::new();
    collect(&TEMPLATE, &mut files);
    let author = Author::galley(SystemClock.now());
    galley_git::init_work_tree(dir, &files, "pipeline: the template that Galley ships", &author).await?;
    Ok(())
}

fn collect(dir: &Dir<'_>, files: &mut BTreeMap<String, Vec<u8>>) {
    for file in dir.files() {
        files.insert(file.path().to_string_lossy().into_owned(), file.contents().to_vec());
    }
    for dir in dir.dirs() {
        collect(dir, files);
    }
}

/// Brings the work tree's new commits to the served repository, and tells the work tree where that is.
///
/// # Errors
/// G04xx if git refuses.
pub async fn connect(dir: &Path, served: &Repo, url: &str, helper: &str) -> Result<(), Problem> {
    galley_git::wire(dir, "galley", url, helper).await?;
    let here = galley_git::tip_of_main(dir).await?.ok_or_else(|| {
        Problem::new("G0112", Kind::Invalid, format!("{} has no commit on the branch `main`.", dir.display()))
            .try_this("Commit what is there: `git switch -c main; git add -A; git commit -m 'first commit'`.")
    })?;
    // What the served repository has already is behind it or was rewritten there; only what is new comes over.
    if served.log(&here, None, 1).await.is_ok_and(|log| !log.is_empty()) {
        return Ok(());
    }
    if let Err(error) = served.import(dir, "main", "main").await {
        tracing::debug!(%error, "import");
        voice::talk(&format!(
            "Notice: {} and the served repository have gone different ways; `git pull --rebase`, then `git push` there.",
            dir.display(),
        ));
    }
    Ok(())
}

/// Where an embedded server listens on this machine.
pub struct Embedded {
    /// Namespace of its Service.
    pub namespace: &'static str,
    /// Name of its Service.
    pub service: &'static str,
    /// Name of the Service's port.
    pub port_name: &'static str,
    /// Port on loopback.
    pub port: u16,
}

/// Makes or corrects the objects that everything else stands on.
///
/// # Errors
/// G0107 if the API server refuses.
pub async fn objects(client: &Client, embedded: &[Embedded], token: &Secret<String>) -> Result<(), Problem> {
    for namespace in ["default", APPLICATIONS_NAMESPACE, PIPELINE_NAMESPACE, PLATFORM_NAMESPACE] {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        apply(client, "namespaces", None, object).await?;
    }
    let kubernetes = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "kubernetes" },
        "spec": { "clusterIP": "10.96.0.1", "ports": [{ "name": "https", "port": 443 }] },
    });
    apply(client, "services", Some("default"), kubernetes).await?;
    for server in embedded {
        apply(client, "endpointslices", Some(server.namespace), slice(server)).await?;
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": { "name": "pipeline-credentials" },
        "data": { "GALLEY_TOKEN": base64(token.expose()) },
    });
    apply(client, "secrets", Some(PIPELINE_NAMESPACE), secret).await?;
    apply(client, "applications", Some(APPLICATIONS_NAMESPACE), root_application()).await
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn slice(server: &Embedded) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": format!("{}-galley", server.service),
            "labels": {
                "kubernetes.io/service-name": server.service,
                "endpointslice.kubernetes.io/managed-by": "galley",
            },
        },
        "endpoints": [{ "addresses": ["127.0.0.1"], "conditions": { "ready": true } }],
        "ports": [{ "name": server.port_name, "port": server.port, "protocol": "TCP" }],
    })
}

/// The Application whose resources are the other Applications.
pub fn root_application() -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": { "name": "gourmetgram", "namespace": APPLICATIONS_NAMESPACE },
        "spec": {
            "project": "default",
            "source": { "repoURL": PIPELINE_URL, "targetRevision": "main", "path": "apps" },
            "destination": { "server": "https://kubernetes.default.svc", "namespace": APPLICATIONS_NAMESPACE },
            "syncPolicy": { "automated": { "prune": true, "selfHeal": true } },
        },
    })
}

/// Creates the object, or merges it into the one that is there.
async fn apply(client: &Client, plural: &str, namespace: Option<&str>, object: Value) -> Result<(), Problem> {
    let failed = |error: &(dyn std::error::Error + 'static)| {
        Problem::new(
            "G0107",
            Kind::Unavailable,
            format!("The API server refused one of Galley's own {plural}."),
        )
        .because(error)
    };
    let (group, version) = match object["apiVersion"].as_str().unwrap_or("v1").split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), "v1".to_owned()),
    };
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind { group, version, kind }, plural);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    match api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let object: DynamicObject = serde_json::from_value(object).map_err(|e| failed(&e))?;
            api.create(&Default::default(), &object).await.map(drop).map_err(|e| failed(&e))
        }
        Err(error) => Err(failed(&error)),
    }
}
