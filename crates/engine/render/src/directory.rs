//! Folders of plain manifests.

use crate::problems::utf8;
use crate::{Files, Manifest, Result, manifests};

/// Reads the manifests of a folder, in the order of the files; of the folders in it too with `recurse`.
///
/// # Errors
/// `G0301`..`G0305` for files that are no YAML, `G0312` for documents that are no Kubernetes objects.
pub fn render_directory(files: &Files, recurse: bool) -> Result<Vec<Manifest>> {
    let mut all = Vec::new();
    for (path, bytes) in files {
        let wanted = [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end));
        if wanted && (recurse || !path.contains('/')) {
            manifests::of_text(path, utf8(path, bytes)?, &mut all)?;
        }
    }
    Ok(all)
}
