//! PersistentVolumeClaims: a folder each, bound at once.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use kube::api::{Api, Patch, PatchParams};

use crate::error::{Attempt, Error};
use crate::objects::{Context, MANAGER, list, merge, name_of, namespace_of, uid_of};

/// The folder of a claim. Its uid is part of it: a claim made again is empty.
pub(crate) fn folder(cx: &Context, claim: &PersistentVolumeClaim) -> PathBuf {
    claims_dir(cx).join(volume_name(claim))
}

fn claims_dir(cx: &Context) -> PathBuf {
    cx.config.state_dir.join("claims")
}

fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", uid_of(&claim.metadata))
}

/// Binds new claims and deletes the folders of deleted ones.
pub(crate) async fn reconcile(cx: &Context) -> Result<Option<Duration>, Error> {
    let claims = list::<PersistentVolumeClaim>(&cx.client).await?;
    for claim in claims.iter().filter(|claim| claim.metadata.deletion_timestamp.is_none()) {
        let bound = claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
        let dir = folder(cx, claim);
        std::fs::create_dir_all(&dir).map_err(|source| Error::File {
            action: "make the folder",
            path: dir.clone(),
            source,
        })?;
        if !bound {
            bind(cx, claim).await?;
        }
    }
    let kept: Vec<PathBuf> = claims.iter().map(|claim| folder(cx, claim)).collect();
    for entry in std::fs::read_dir(claims_dir(cx)).into_iter().flatten().flatten() {
        if !kept.contains(&entry.path()) {
            tracing::info!(folder = %entry.path().display(), "deleting the folder of a deleted claim");
            let _ = tokio::fs::remove_dir_all(entry.path()).await;
        }
    }
    Ok(None)
}

async fn bind(cx: &Context, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let name = name_of(&claim.metadata);
    let api = Api::<PersistentVolumeClaim>::namespaced(cx.client.clone(), namespace_of(&claim.metadata));
    merge(&api, name, serde_json::json!({"spec": {"volumeName": volume_name(claim)}})).await?;
    let spec = claim.spec.clone().unwrap_or_default();
    let status = PersistentVolumeClaimStatus {
        phase: Some("Bound".to_owned()),
        access_modes: spec.access_modes,
        capacity: spec.resources.and_then(|resources| resources.requests),
        ..PersistentVolumeClaimStatus::default()
    };
    let patch = Patch::Merge(serde_json::json!({ "status": status }));
    api.patch_status(name, &PatchParams::apply(MANAGER), &patch)
        .await
        .attempt(|| format!("bind the claim `{name}`"))?;
    Ok(())
}
