//! What the platform's services are given once they run: the base image, and the pipeline repository's commits.

use galley_cluster::Cluster;
use galley_oci::{ClientConfig, Credentials, Options, Reference, Store};
use galley_problem::{Kind, Problem};
use galley_release_types::PLATFORM_NAMESPACE;

use super::desired::{Desired, Source};
use crate::{
    ground::TOKEN_USER,
    steps,
    up::{BASE_IMAGE, REGISTRY_NAME},
    voice,
};

/// Port of the registry's Service.
const REGISTRY_PORT: u16 = 5000;
/// Port of the git server's Service.
const GIT_PORT: u16 = 80;

/// Brings this program as the base image to the cluster's registry, for the workflows' steps.
///
/// # Errors
/// G1118 if there is no way in; G08xx if the registry refuses.
pub async fn registry(cluster: &Cluster, desired: &Desired) -> Result<(), Problem> {
    if !desired.serves("registry") {
        return Ok(());
    }
    let tunnel = cluster.tunnel(PLATFORM_NAMESPACE, "registry", REGISTRY_PORT).await?;
    let host = tunnel.local_addr().to_string();
    let mut config = ClientConfig { insecure_hosts: vec![host.clone()], ..ClientConfig::default() };
    let basic = Credentials::Basic { user: TOKEN_USER.to_owned(), password: desired.token.clone() };
    config.credentials.insert(host.clone(), basic);
    let client = galley_oci::Client::new(config).map_err(|e| e.problem())?;
    let target: Reference =
        BASE_IMAGE.replacen(REGISTRY_NAME, &host, 1).parse().map_err(|e: galley_oci::Error| e.problem())?;

    let scratch = tempfile::tempdir()
        .map_err(|e| crate::io(&std::env::temp_dir(), "making a scratch folder in", &e))?;
    let store = Store::open(scratch.path(), Options::default()).map_err(|e| e.problem())?;
    let built = tokio::task::spawn_blocking({
        let store = store.clone();
        move || steps::store_base(&store)
    });
    let built = built.await.map_err(|e| crate::internal("building the base image", &e))??;
    if client.resolve(&target).await.is_ok_and(|there| there == built.digest) {
        return Ok(());
    }
    client.push(&store, &built.digest, &target).await.map_err(|e| e.problem())?;
    voice::talk(&format!("Pushed {BASE_IMAGE}@{}.", built.digest));
    Ok(())
}

/// Brings the pipeline repository's commits to the cluster's git server, unless it has others already; whether
/// anything was brought.
///
/// # Errors
/// G1118 if there is no way in; G04xx if git refuses.
pub async fn repository(cluster: &Cluster, desired: &Desired, source: &Source) -> Result<bool, Problem> {
    if !desired.serves("git") {
        return Ok(false);
    }
    let tunnel = cluster.tunnel(PLATFORM_NAMESPACE, "git", GIT_PORT).await?;
    let url = format!("http://{}/pipeline.git", tunnel.local_addr());
    let credentials = (TOKEN_USER.to_owned(), desired.token.clone());
    let remote = galley_git::remote::Remote::new(&url, Some(credentials.clone())).map_err(Problem::from)?;
    let there = match remote.snapshot("main").await {
        Ok(snapshot) => Some(snapshot.commit),
        Err(galley_git::remote::RemoteError::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if there.as_deref() == Some(&source.commit) {
        return Ok(false);
    }
    match galley_git::publish(&source.dir, &url, &credentials).await {
        Ok(()) => {
            voice::talk(&format!("Pushed {} to the cluster's git server.", short(&source.commit)));
            Ok(true)
        }
        // Promotions are commits: a cluster that runs is ahead of the work tree.
        Err(error) if there.is_some() => {
            tracing::debug!(%error, "push");
            voice::talk(&format!(
                "Notice: the cluster's repository is at {}, {} at {}; nothing was pushed.",
                short(there.as_deref().unwrap_or_default()),
                source.dir.display(),
                short(&source.commit)
            ));
            Ok(false)
        }
        Err(error) => Err(Problem::new("G1122", Kind::Unavailable, "The pipeline repository could not be pushed to the cluster.")
            .because(&error)
            .try_this("Run the same command again; `kubectl -n gourmetgram-platform logs deployment/git` shows the server's side.")),
    }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
