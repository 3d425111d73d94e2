//! `galley render`: a chart, a kustomization or a folder of manifests as text.

use std::path::{Path, PathBuf};

use galley_problem::{Kind, Problem};
use galley_render::{ReleaseInfo, SetKind, Surroundings, TextOptions, ValueSources};
use jiff::Timestamp;

use crate::OwnKeys;
use crate::folder::{Limits, failed, read_folder};

/// What is to be rendered, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// A chart (folder or `.tgz`), a kustomization or a folder of manifests.
    pub path: PathBuf,
    /// The release's name.
    pub name: String,
    /// The namespace it goes to; empty: `default`, and no change of a kustomization.
    pub namespace: String,
    /// Values files.
    pub values: Vec<PathBuf>,
    /// What stands after `--set` and its kind.
    pub sets: Vec<(SetKind, String)>,
    /// Version of Kubernetes.
    pub kube_version: Option<String>,
    /// Further API versions.
    pub api_versions: Vec<String>,
    /// Which parts of a chart are printed.
    pub options: TextOptions,
    /// The release exists already.
    pub is_upgrade: bool,
    /// Values are not held against schemas.
    pub unchecked: bool,
    /// The time that templates see.
    pub now: Timestamp,
}

/// Renders what is at the path.
///
/// # Errors
/// G0318 and G0317 for what cannot be read, G03xx for what cannot be rendered.
pub fn render(request: &Request) -> Result<String, Problem> {
    let metadata = request.path.metadata().map_err(|error| failed(&request.path, &error))?;
    if metadata.is_file() || request.path.join("Chart.yaml").is_file() {
        return chart(request, metadata.is_file());
    }
    let names = galley_kustomize::FILE_NAMES;
    if names.iter().any(|name| request.path.join(name).is_file()) {
        return kustomization(request);
    }
    plain(request)
}

/// Kustomizations may name folders beside their own: anywhere in their repository, or on the disk if they are in none.
fn kustomization(request: &Request) -> Result<String, Problem> {
    let path = request.path.canonicalize().map_err(|error| failed(&request.path, &error))?;
    let repository = path.ancestors().find(|folder| folder.join(".git").exists());
    let root = repository.unwrap_or(Path::new("/"));
    let tree = crate::DiskTree::new(root)?;
    let folder = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
    let manifests = galley_kustomize::build(&tree, &folder)?;
    Ok(galley_kustomize::to_text(&manifests))
}

fn chart(request: &Request, packed: bool) -> Result<String, Problem> {
    let files = if packed {
        let bytes = read_file(&request.path)?;
        galley_render::unpack(&request.path.display().to_string(), &bytes)?
    } else {
        read_folder(&request.path, &Limits::default())?
    };
    let texts = request
        .values
        .iter()
        .map(|path| Ok((path.display().to_string(), read_text(path)?)))
        .collect::<Result<Vec<_>, Problem>>()?;
    let mut set_files = std::collections::BTreeMap::new();
    for (_, expression) in request.sets.iter().filter(|(kind, _)| *kind == SetKind::File) {
        for name in galley_render::files_of(expression) {
            let text = read_text(Path::new(&name))?;
            set_files.insert(name, text);
        }
    }
    let sources = ValueSources {
        texts: &texts,
        expressions: &request.sets,
        set_files,
        unchecked: request.unchecked,
        ..ValueSources::default()
    };
    let or = |given: &str, default: &str| (if given.is_empty() { default } else { given }).to_owned();
    let release = ReleaseInfo {
        name: or(&request.name, "release-name"),
        namespace: or(&request.namespace, "default"),
        revision: 1,
        is_upgrade: request.is_upgrade,
    };
    let capabilities =
        galley_render::default_capabilities(request.kube_version.as_deref(), &request.api_versions);
    let surroundings = Surroundings {
        known: Some((request.now, Box::new(random))),
        keys: Some(Box::new(OwnKeys { now: request.now })),
    };
    galley_render::render_text(&files, &sources, &release, &capabilities, surroundings, &request.options)
}

/// Random bytes, as the operating system gives them for names that are used once.
fn random(bytes: &mut [u8]) {
    for chunk in bytes.chunks_mut(8) {
        // Of a random UUID, the last eight bytes hold two that are fixed; the first six are all random.
        let uuid = uuid::Uuid::new_v4();
        let other = uuid::Uuid::new_v4();
        let fresh = [&uuid.as_bytes()[..6], &other.as_bytes()[..2]].concat();
        chunk.copy_from_slice(&fresh[..chunk.len()]);
    }
}

fn plain(request: &Request) -> Result<String, Problem> {
    let files = read_folder(&request.path, &Limits::default())?;
    let manifests = galley_render::render_directory(&files, true)?;
    if manifests.is_empty() {
        let what = format!("`{}` holds no chart, no kustomization and no manifests.", request.path.display());
        return Err(Problem::new("G0311", Kind::NotFound, what)
            .try_this("Name a folder with a Chart.yaml, a kustomization.yaml or YAML files."));
    }
    let mut out = String::new();
    for manifest in manifests {
        out.push_str(&format!(
            "---\n# Source: {}\n{}",
            manifest.file,
            galley_yaml::to_string(&manifest.value)
        ));
    }
    Ok(out)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let length = path.metadata().map_err(|error| failed(path, &error))?.len();
    if length > 20 << 20 {
        let what = "The file is larger than 20 MiB.";
        return Err(Problem::new("G0317", Kind::Invalid, what).at(path.display().to_string(), 0, 0));
    }
    std::fs::read(path).map_err(|error| failed(path, &error))
}

fn read_text(path: &Path) -> Result<String, Problem> {
    if path.to_string_lossy().contains("://") {
        let what = format!("`{}` is not a file of this disk.", path.display());
        return Err(Problem::new("G0318", Kind::Invalid, what).try_this("Fetch it first, and name the file."));
    }
    let text = if path == Path::new("-") {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(std::io::stdin(), 20 << 20), &mut text)
            .map_err(|error| failed(path, &error))?;
        text
    } else {
        read_file(path)?
    };
    String::from_utf8(text).map_err(|_| {
        Problem::new("G0313", Kind::Invalid, "The file is not UTF-8 text.").at(
            path.display().to_string(),
            0,
            0,
        )
    })
}
