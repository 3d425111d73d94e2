//! Volumes: folders of the host that a pod's containers see.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use base64::Engine;
use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, KeyToPath, PersistentVolumeClaim, Pod, Volume, VolumeProjection,
};
use kube::Api;

use super::env::{Source, expand, resource};
use crate::claims;
use crate::objects::namespace_of;
use galley_sandbox::{Mode, Mount};

/// Where containers look for what they need to reach the API.
pub(crate) const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Why volumes are not ready.
#[derive(Debug)]
pub(crate) enum VolumeError {
    /// Something is missing that may still come.
    NotYet(String),
    /// It will never work here.
    Unsupported(String),
}

impl From<String> for VolumeError {
    fn from(message: String) -> Self {
        VolumeError::NotYet(message)
    }
}

impl VolumeError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |error| VolumeError::NotYet(format!("could not write `{}`: {error}", path.display()))
    }
}

/// The prepared volumes of a pod, by name.
#[derive(Debug, Default)]
pub(crate) struct Volumes {
    paths: BTreeMap<String, PathBuf>,
    account: Option<PathBuf>,
    /// For plain processes: a kubeconfig of the pod's own.
    pub kubeconfig: Option<PathBuf>,
}

type Files = BTreeMap<String, Content>;

/// A file of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Content {
    bytes: Vec<u8>,
    /// Its own mode, if it has one.
    mode: Option<i32>,
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content { bytes, mode: None }
    }
}

/// Prepares all volumes of a pod below `dir`.
pub(crate) async fn prepare(source: &Source<'_>, dir: &Path) -> Result<Volumes, VolumeError> {
    let spec = source.pod.spec.clone().unwrap_or_default();
    let mut volumes = Volumes::default();
    for volume in spec.volumes.iter().flatten() {
        let path = dir.join("volumes").join(safe(&volume.name)?);
        let path = prepare_one(source, volume, path).await.map_err(|error| match error {
            VolumeError::NotYet(message) => {
                VolumeError::NotYet(format!("volume \"{}\": {message}", volume.name))
            }
            VolumeError::Unsupported(message) => {
                VolumeError::Unsupported(format!("volume \"{}\": {message}", volume.name))
            }
        })?;
        volumes.paths.insert(volume.name.clone(), path);
    }
    if spec.automount_service_account_token != Some(false) {
        let account = dir.join("serviceaccount");
        write_files(&account, &account_files(source), 0o644)?;
        volumes.account = Some(account);
    }
    if source.cx.sandbox.mode() == Mode::Plain {
        let path = dir.join("kubeconfig");
        fs::write(&path, kubeconfig(source)).map_err(VolumeError::io(&path))?;
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o600));
        volumes.kubeconfig = Some(path);
    }
    Ok(volumes)
}

async fn prepare_one(source: &Source<'_>, volume: &Volume, path: PathBuf) -> Result<PathBuf, VolumeError> {
    let group = source.pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref()?.fs_group);
    if volume.empty_dir.is_some() {
        make_shared_folder(&path, group)?;
    } else if let Some(claim) = &volume.persistent_volume_claim {
        let path = claim_folder(source, &claim.claim_name).await?;
        make_shared_folder(&path, group)?;
        return Ok(path);
    } else if let Some(map) = &volume.config_map {
        let files = config_files(source, &map.name, map.optional, map.items.as_deref()).await?;
        write_files(&path, &files, mode(map.default_mode))?;
    } else if let Some(secret) = &volume.secret {
        let name = secret.secret_name.clone().unwrap_or_default();
        let files = secret_files(source, &name, secret.optional, secret.items.as_deref()).await?;
        write_files(&path, &files, mode(secret.default_mode))?;
    } else if let Some(downward) = &volume.downward_api {
        let files = downward_files(source, downward.items.as_deref().unwrap_or_default())?;
        write_files(&path, &files, mode(downward.default_mode))?;
    } else if let Some(projected) = &volume.projected {
        let mut files = Files::new();
        for projection in projected.sources.iter().flatten() {
            files.extend(projected_files(source, projection).await?);
        }
        write_files(&path, &files, mode(projected.default_mode))?;
    } else if volume.host_path.is_some() {
        return Err(VolumeError::Unsupported(
            "hostPath is refused: pods must not reach into this machine's files; use an emptyDir or a PersistentVolumeClaim".to_owned(),
        ));
    } else {
        return Err(VolumeError::Unsupported("its kind is not supported on this machine".to_owned()));
    }
    Ok(path)
}

fn make_shared_folder(path: &Path, group: Option<i64>) -> Result<(), VolumeError> {
    fs::create_dir_all(path).map_err(VolumeError::io(path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).map_err(VolumeError::io(path))?;
    if let Some(group) = group.and_then(|group| u32::try_from(group).ok())
        && std::os::unix::fs::chown(path, None, Some(group)).is_ok()
    {
        let _ = fs::set_permissions(path, fs::Permissions::from_mode(0o2777));
    }
    Ok(())
}

async fn claim_folder(source: &Source<'_>, name: &str) -> Result<PathBuf, VolumeError> {
    let api = Api::<PersistentVolumeClaim>::namespaced(
        source.cx.client.clone(),
        namespace_of(&source.pod.metadata),
    );
    let claim = api.get_opt(name).await.map_err(|error| error.to_string())?;
    let claim = claim.ok_or_else(|| format!("persistentvolumeclaim \"{name}\" not found"))?;
    Ok(claims::folder(source.cx, &claim))
}

async fn config_files(
    source: &Source<'_>,
    name: &str,
    optional: Option<bool>,
    items: Option<&[KeyToPath]>,
) -> Result<Files, VolumeError> {
    let data = source.config_map(name, optional).await?.unwrap_or_default();
    choose(data.into_iter().map(|(key, value)| (key, value.into_bytes().into())).collect(), items, optional)
}

async fn secret_files(
    source: &Source<'_>,
    name: &str,
    optional: Option<bool>,
    items: Option<&[KeyToPath]>,
) -> Result<Files, VolumeError> {
    let data = source.secret_bytes(name, optional).await?.unwrap_or_default();
    choose(data.into_iter().map(|(key, value)| (key, value.into())).collect(), items, optional)
}

fn choose(
    mut data: Files,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<Files, VolumeError> {
    let Some(items) = items else { return Ok(data) };
    let mut chosen = Files::new();
    for item in items {
        match data.remove(&item.key) {
            Some(value) => {
                chosen.insert(item.path.clone(), Content { mode: item.mode, ..value });
            }
            None if optional == Some(true) => {}
            None => return Err(VolumeError::NotYet(format!("references non-existent key: {}", item.key))),
        }
    }
    Ok(chosen)
}

fn downward_files(source: &Source<'_>, items: &[DownwardAPIVolumeFile]) -> Result<Files, VolumeError> {
    let mut files = Files::new();
    for item in items {
        let value = if let Some(field) = &item.field_ref {
            source.field(field)?
        } else if let Some(field) = &item.resource_field_ref {
            let spec = source.pod.spec.clone().unwrap_or_default();
            let container: Option<&Container> =
                spec.containers.iter().find(|one| Some(&one.name) == field.container_name.as_ref());
            resource(container.unwrap_or(&Container::default()), field)?
        } else {
            continue;
        };
        files.insert(item.path.clone(), Content { bytes: value.into_bytes(), mode: item.mode });
    }
    Ok(files)
}

async fn projected_files(source: &Source<'_>, projection: &VolumeProjection) -> Result<Files, VolumeError> {
    if let Some(map) = &projection.config_map {
        return config_files(source, &map.name, map.optional, map.items.as_deref()).await;
    }
    if let Some(secret) = &projection.secret {
        return secret_files(source, &secret.name, secret.optional, secret.items.as_deref()).await;
    }
    if let Some(downward) = &projection.downward_api {
        return downward_files(source, downward.items.as_deref().unwrap_or_default());
    }
    if let Some(token) = &projection.service_account_token {
        return Ok(Files::from([(token.path.clone(), self::token(source).into_bytes().into())]));
    }
    Err(VolumeError::Unsupported("a projected source is of a kind that is not supported".to_owned()))
}

fn token(source: &Source<'_>) -> String {
    let spec = source.pod.spec.clone().unwrap_or_default();
    let account = spec.service_account_name.or(spec.service_account).unwrap_or_else(|| "default".to_owned());
    source.cx.credentials.token(namespace_of(&source.pod.metadata), &account).expose().clone()
}

fn account_files(source: &Source<'_>) -> Files {
    Files::from([
        ("token".to_owned(), token(source).into_bytes().into()),
        ("ca.crt".to_owned(), source.cx.credentials.ca_pem().into_bytes().into()),
        ("namespace".to_owned(), namespace_of(&source.pod.metadata).as_bytes().to_vec().into()),
    ])
}

fn kubeconfig(source: &Source<'_>) -> String {
    let authority = base64::engine::general_purpose::STANDARD.encode(source.cx.credentials.ca_pem());
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "galley",
        "clusters": [{"name": "galley", "cluster": {
            "server": format!("https://{}", source.cx.credentials.api_server()),
            "certificate-authority-data": authority,
        }}],
        "users": [{"name": "pod", "user": {"token": token(source)}}],
        "contexts": [{"name": "galley", "context": {
            "cluster": "galley", "user": "pod", "namespace": namespace_of(&source.pod.metadata),
        }}],
    });
    config.to_string()
}

fn mode(mode: Option<i32>) -> u32 {
    mode.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(0o644)
}

/// Makes a folder hold exactly these files.
fn write_files(folder: &Path, files: &Files, mode: u32) -> Result<(), VolumeError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(VolumeError::io(folder))?;
    }
    fs::create_dir_all(folder).map_err(VolumeError::io(folder))?;
    for (name, content) in files {
        let path = folder.join(safe(name)?);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(VolumeError::io(parent))?;
        }
        fs::write(&path, &content.bytes).map_err(VolumeError::io(&path))?;
        let mode = content.mode.map_or(mode, |own| self::mode(Some(own)));
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(VolumeError::io(&path))?;
    }
    Ok(())
}

/// A relative path that does not leave its folder.
fn safe(path: &str) -> Result<&Path, VolumeError> {
    let inside =
        !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if inside {
        Ok(Path::new(path))
    } else {
        Err(VolumeError::Unsupported(format!("the path `{path}` leads out of its folder")))
    }
}

impl Volumes {
    /// What a container sees of the volumes; a message says what is wrong.
    pub(crate) fn mounts(
        &self,
        container: &Container,
        env: &[(String, String)],
    ) -> Result<Vec<Mount>, String> {
        let lookup = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let mut mounts = Vec::new();
        for mount in container.volume_mounts.iter().flatten() {
            let volume = self.paths.get(&mount.name);
            let volume = volume.ok_or_else(|| format!("the pod has no volume \"{}\"", mount.name))?;
            let expression = mount.sub_path_expr.as_deref().map(|text| expand(text, lookup));
            let source = match expression.or_else(|| mount.sub_path.clone()).filter(|path| !path.is_empty()) {
                Some(below) => sub_path(volume, &below)?,
                None => volume.clone(),
            };
            let read_only = mount.read_only.unwrap_or(false);
            mounts.push(Mount { source, target: mount.mount_path.clone(), read_only });
        }
        let own = mounts.iter().any(|mount| Path::new(&mount.target) == Path::new(ACCOUNT));
        if let (Some(account), false) = (&self.account, own) {
            mounts.push(Mount { source: account.clone(), target: ACCOUNT.to_owned(), read_only: true });
        }
        Ok(mounts)
    }
}

fn sub_path(volume: &Path, below: &str) -> Result<PathBuf, String> {
    let refused = || format!("the subPath `{below}` leads out of its volume");
    let path = volume.join(safe(below).map_err(|_| refused())?);
    if path.symlink_metadata().is_err() {
        fs::create_dir_all(&path)
            .map_err(|error| format!("could not make the subPath `{below}`: {error}"))?;
        let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o777));
    }
    // A container may have left a link there.
    let (real, root) = (path.canonicalize(), volume.canonicalize());
    match (real, root) {
        (Ok(real), Ok(root)) if real.starts_with(&root) => Ok(real),
        _ => Err(refused()),
    }
}

/// Whether a pod's volumes can never work here; asked before anything is made.
pub(crate) fn unsupported(pod: &Pod) -> Option<String> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    let refused = volumes.iter().find(|volume| volume.host_path.is_some())?;
    Some(format!("volume \"{}\": hostPath is refused", refused.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for bad in ["../x", "/x", "a/../../b", "", "."] {
            assert!(safe(bad).is_err(), "{bad}");
        }
        assert!(safe("a/b.txt").is_ok());
    }

    #[test]
    fn a_link_in_a_volume_does_not_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir_all(&volume).unwrap();
        std::os::unix::fs::symlink("/etc", volume.join("link")).unwrap();
        assert!(sub_path(&volume, "link").is_err());
        assert!(sub_path(&volume, "link/passwd").is_err());
        assert!(sub_path(&volume, "new/deep").unwrap().is_dir());
    }
}
