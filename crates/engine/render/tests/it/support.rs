//! Charts for tests, and the recordings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use galley_render::{Capabilities, Files, ReleaseInfo};
use serde_json::Value;

/// The folder of the cases.
pub fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// The release of the recordings.
pub fn release() -> ReleaseInfo {
    ReleaseInfo { name: "rel".to_owned(), namespace: "ns".to_owned(), revision: 1, is_upgrade: false }
}

/// A cluster like that of the recordings, as far as the cases look.
pub fn capabilities() -> Capabilities {
    Capabilities {
        kube_version: "v1.36.0".to_owned(),
        api_versions: ["v1", "apps/v1", "batch/v1", "galley.dev/v1alpha1"].map(str::to_owned).to_vec(),
        helm_version: "v4.2.3".to_owned(),
    }
}

/// Files from pairs.
pub fn files(pairs: &[(&str, &str)]) -> Files {
    pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
}

/// The files below a folder.
pub fn read_folder(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in std::fs::read_dir(&next).expect("the folder is there") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let relative =
                    path.strip_prefix(folder).expect("below the folder").to_string_lossy().into_owned();
                files.insert(relative, std::fs::read(&path).expect("the file can be read"));
            }
        }
    }
    files
}

/// A recording.
pub fn recording(path: &Path) -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(path).expect("the recording is there; make it with tests/record.py");
    serde_json::from_str(&text).expect("the recording is JSON")
}
