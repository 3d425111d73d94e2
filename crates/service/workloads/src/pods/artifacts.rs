//! Artifacts of a pod: where inputs are placed before its containers begin, and outputs before they are kept.
//!
//! The annotation says which; what fetching and keeping mean is another room's business ([`crate::Artifacts`]). An
//! input is placed in the pod's own folder and mounted into the container `main`, or put straight into the volume
//! that its path lies in. An output is copied out of the ended container first: a store never follows a container's
//! links.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use galley_sandbox::Mount;
use k8s_openapi::api::core::v1::{Container, Pod};
use serde::Deserialize;

use super::collect::{MAIN, annotation};
use super::volumes::Volumes;
use crate::images::KeptArtifacts;
use crate::objects::{Context, namespace_of};

/// The annotation with what is to be fetched and kept.
pub(crate) const ARTIFACTS: &str = "runtime.galley.dev/artifacts";

#[derive(Default, Deserialize)]
#[serde(default)]
struct Orders {
    inputs: Vec<Order>,
    outputs: Vec<Order>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Order {
    path: Option<String>,
}

fn orders(pod: &Pod) -> Option<(&str, Orders)> {
    let text = annotation(pod, ARTIFACTS)?;
    // What cannot be read here is told by the store, which reads all of it.
    Some((text, serde_json::from_str(text).unwrap_or_default()))
}

/// A place for each path, in a folder that is empty before.
fn places(orders: &[Order], folder: &Path) -> BTreeMap<String, PathBuf> {
    let paths = orders.iter().filter_map(|order| order.path.clone());
    let name = |path: &str| match path.trim_end_matches('/').rsplit('/').next() {
        Some(name) if !matches!(name, "" | "." | "..") => name.to_owned(),
        _ => "content".to_owned(),
    };
    paths.enumerate().map(|(n, path)| (path.clone(), folder.join(n.to_string()).join(name(&path)))).collect()
}

/// Places the inputs; what the container `main` is to see of them, or why they cannot be had.
pub(crate) async fn fetch(
    cx: &Context,
    pod: &Pod,
    volumes: &Volumes,
    dir: &Path,
) -> Result<Vec<Mount>, String> {
    let Some((text, orders)) = orders(pod) else { return Ok(Vec::new()) };
    if orders.inputs.is_empty() && serde_json::from_str::<Orders>(text).is_ok() {
        return Ok(Vec::new());
    }
    let Some(artifacts) = &cx.artifacts else {
        return Err("this machine has no artifact store".to_owned());
    };
    let folder = dir.join("artifacts").join("in");
    super::delete(&folder).await;
    let main = pod.spec.iter().flat_map(|spec| &spec.containers).find(|container| container.name == MAIN);
    let mut places = places(&orders.inputs, &folder);
    let mut mounted = Vec::new();
    for (path, place) in &mut places {
        match in_volume(volumes, main, path)? {
            Some(inside) => *place = inside,
            None => mounted.push(path.clone()),
        }
    }
    artifacts.fetch(namespace_of(&pod.metadata), text, &places).await?;
    let seen = |path: String| Mount { source: places[&path].clone(), target: path, read_only: false };
    // An optional artifact may be missing.
    Ok(mounted.into_iter().map(seen).filter(|mount| mount.source.symlink_metadata().is_ok()).collect())
}

/// The place of a path that lies in one of the container's volumes.
fn in_volume(volumes: &Volumes, main: Option<&Container>, path: &str) -> Result<Option<PathBuf>, String> {
    let Some(main) = main else { return Ok(None) };
    let mounts = volumes.mounts(main, &[])?;
    let inside =
        mounts.iter().filter_map(|mount| Some((mount, Path::new(path).strip_prefix(&mount.target).ok()?)));
    let Some((mount, rest)) = inside.max_by_key(|(mount, _)| mount.target.len()) else { return Ok(None) };
    let place = mount.source.join(rest);
    let told = |error: std::io::Error| format!("could not place `{path}`: {error}");
    // Another container may have left links in the volume.
    let parent = if rest.as_os_str().is_empty() { place.as_path() } else { place.parent().unwrap_or(&place) };
    fs::create_dir_all(parent).map_err(told)?;
    let (real, root) = (parent.canonicalize().map_err(told)?, mount.source.canonicalize().map_err(told)?);
    if !real.starts_with(&root) {
        return Err(format!("`{path}` leads out of its volume"));
    }
    if place.symlink_metadata().is_ok_and(|meta| meta.is_symlink()) {
        fs::remove_file(&place).map_err(told)?;
    }
    Ok(Some(place))
}

/// Keeps the outputs of the ended container; `None` when none are asked for, or nothing here keeps any.
pub(crate) async fn keep(cx: &Context, pod: &Pod, container: &str, dir: &Path) -> Option<KeptArtifacts> {
    let (text, orders) = orders(pod)?;
    let artifacts = cx.artifacts.as_ref()?;
    if orders.outputs.is_empty() {
        return None;
    }
    let folder = dir.join("artifacts").join("out");
    super::delete(&folder).await;
    let places = places(&orders.outputs, &folder);
    let mut failed = BTreeMap::new();
    for (path, place) in &places {
        match cx.sandbox.copy_out(container, path, place).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => drop(failed.insert(path.clone(), error.to_string())),
        }
    }
    let mut kept = artifacts.keep(namespace_of(&pod.metadata), text, &places).await;
    super::delete(&folder).await;
    for (path, why) in failed {
        kept.errors.entry(path).or_insert(why);
    }
    Some(kept)
}
