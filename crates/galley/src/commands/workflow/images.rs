//! Images that are folders: `--image NAME=DIR`.
//!
//! The closest name wins: the whole reference, then the same repository without tag, then a tag that begins as the
//! given one, then the repository's last part, then `*`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use galley_problem::{Kind, Problem, did_you_mean};
use galley_workloads::{ImageError, Images, PreparedImage, PullPolicy};
use serde_json::Value;
use tokio::sync::watch;

use crate::{cli::Global, ground::environment};

/// What an image without configuration gets.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Programs that their images run: name of the image, and what it runs.
const PROGRAMS: [(&str, &[&str]); 5] = [
    ("argosay", &["/argosay", "argosay"]),
    ("curl", &["curl"]),
    ("jq", &["jq"]),
    ("git", &["git"]),
    ("nginx", &["nginx"]),
];

/// The registries, and the store of what was pulled: it outlasts the run.
///
/// # Errors
/// G08xx if the store cannot be opened.
pub fn registry(global: &Global) -> Result<Box<dyn Images>, Problem> {
    let state = global.state.clone();
    let cache = || {
        let home = environment("XDG_CACHE_HOME").map(PathBuf::from);
        home.or_else(|| environment("HOME").map(|home| Path::new(&home).join(".cache")))
    };
    let root = state.or_else(cache).unwrap_or_else(std::env::temp_dir).join("galley-images");
    let store = galley_oci::Store::open(root, galley_oci::Options::default()).map_err(|e| e.problem())?;
    Ok(Box::new(crate::up::PulledImages::new(store)?))
}

/// A root file system that stands for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    name: String,
    dir: PathBuf,
}

/// The images of a run.
pub struct RootFilesystems {
    given: Vec<Given>,
    pull: Option<Box<dyn Images>>,
    missing: watch::Sender<Option<String>>,
}

impl RootFilesystems {
    /// Reads `NAME=DIR` each; images that none of them names come from `pull`, if that is given.
    ///
    /// # Errors
    /// G0117 for what is not `NAME=DIR`, G0513 for a folder that is no root file system.
    pub fn read(texts: &[String], pull: Option<Box<dyn Images>>) -> Result<RootFilesystems, Problem> {
        let given = texts.iter().map(|text| read_one(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(RootFilesystems { given, pull, missing: watch::Sender::new(None) })
    }

    /// Checks that each of these references has its folder.
    ///
    /// # Errors
    /// G0513 with all that have none, and what to do.
    pub fn check(&self, references: &[String]) -> Result<(), Problem> {
        if self.pull.is_some() {
            return Ok(());
        }
        let lacking: Vec<&str> =
            references.iter().filter(|one| self.find(one).is_none()).map(String::as_str).collect();
        match lacking.as_slice() {
            [] => Ok(()),
            lacking => Err(self.problem(lacking)),
        }
    }

    /// Waits until a container wants an image that is not there.
    pub async fn missing(&self) -> Problem {
        let mut missing = self.missing.subscribe();
        let found = missing.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        match found {
            Some(reference) => self.problem(&[&reference]),
            None => std::future::pending().await,
        }
    }

    fn problem(&self, lacking: &[&str]) -> Problem {
        let named: Vec<String> = lacking.iter().map(|one| format!("`{one}`")).collect();
        let what = match named.as_slice() {
            [one] => format!("There is no root file system for the image {one}."),
            all => format!("There are no root file systems for the images {}.", all.join(", ")),
        };
        let flags: Vec<String> = lacking.iter().map(|one| format!("--image '{}=DIR'", plain(one))).collect();
        let near = lacking
            .first()
            .and_then(|one| did_you_mean(plain(one), self.given.iter().map(|given| given.name.as_str())));
        let hint = near.map(|near| format!(" (`{near}` is given: did you mean that?)")).unwrap_or_default();
        Problem::new("G0513", Kind::NotFound, what).try_this(format!(
            "Name a folder with its files{hint}: {}. `--image '*=DIR'` stands for all others, `--pull` takes them from their registries.",
            flags.join(" ")
        ))
    }

    fn find(&self, reference: &str) -> Option<&Given> {
        let ranked = self.given.iter().filter_map(|given| Some((rank(&given.name, reference)?, given)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, given)| given)
    }
}

fn read_one(text: &str) -> Result<Given, Problem> {
    let Some((name, dir)) = text.split_once('=').filter(|(name, dir)| !name.is_empty() && !dir.is_empty())
    else {
        return Err(Problem::new("G0117", Kind::Usage, format!("`{text}` names no root file system."))
            .try_this("Write `--image NAME=DIR`, as in `--image busybox=./rootfs/busybox`."));
    };
    let path = Path::new(dir);
    let dir = std::fs::canonicalize(path).map_err(|e| {
        Problem::new("G0513", Kind::NotFound, format!("{dir} is no root file system.")).because(&e)
    })?;
    if !dir.is_dir() {
        return Err(Problem::new("G0513", Kind::Invalid, format!("{} is no folder.", dir.display()))
            .try_this("Unpack the image into a folder: `docker export`, `crane export`, or `tar -x`."));
    }
    Ok(Given { name: name.to_owned(), dir })
}

/// A reference without digest and without what everybody leaves out.
fn plain(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    let name =
        name.strip_prefix("docker.io/").or_else(|| name.strip_prefix("index.docker.io/")).unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name)
}

/// Repository and tag.
fn parts(reference: &str) -> (&str, &str) {
    let name = plain(reference);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, ""),
    }
}

/// How well a given name fits a reference; smaller is better.
fn rank(given: &str, reference: &str) -> Option<usize> {
    if given == "*" {
        return Some(100);
    }
    if given == reference || plain(given) == plain(reference) {
        return Some(0);
    }
    let ((repository, tag), (wanted, wanted_tag)) = (parts(given), parts(reference));
    let last = |name: &str| name.rsplit('/').next().map(str::to_owned);
    let near = if repository == wanted {
        10
    } else if !repository.contains('/') && Some(repository.to_owned()) == last(wanted) {
        50
    } else {
        return None;
    };
    match tag {
        "" => Some(near + 5),
        "latest" if wanted_tag.is_empty() => Some(near + 1),
        tag if tag == wanted_tag => Some(near + 1),
        tag if wanted_tag.starts_with(tag) => Some(near + 3),
        _ => None,
    }
}

#[async_trait]
impl Images for RootFilesystems {
    async fn prepare(&self, reference: &str, policy: PullPolicy) -> Result<PreparedImage, ImageError> {
        if let Some(given) = self.find(reference) {
            return Ok(prepared(given, reference));
        }
        if let Some(pull) = &self.pull {
            return pull.prepare(reference, policy).await;
        }
        self.missing.send_replace(Some(reference.to_owned()));
        Err(ImageError {
            reason: "ErrImagePull".to_owned(),
            message: format!("no root file system is given for `{reference}`"),
        })
    }
}

fn prepared(given: &Given, reference: &str) -> PreparedImage {
    let digest = format!(
        "sha256:{:0>64}",
        format!("{:08x}", galley_units::fnv1a_32(&given.dir.display().to_string()))
    );
    let bundle = given.dir.join("rootfs");
    let config = std::fs::read(given.dir.join("config.json")).ok().filter(|_| bundle.is_dir());
    let Some(config) = config.and_then(|text| serde_json::from_slice::<Value>(&text).ok()) else {
        let (entrypoint, cmd) = program(&given.dir, reference);
        let layers = vec![given.dir.clone()];
        return PreparedImage {
            digest,
            layers,
            entrypoint,
            cmd,
            env: vec![PATH.to_owned()],
            ..PreparedImage::default()
        };
    };
    let process = &config["process"];
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
    };
    let user = match (&process["user"]["uid"], &process["user"]["gid"]) {
        (Value::Number(uid), Value::Number(gid)) => format!("{uid}:{gid}"),
        _ => String::new(),
    };
    PreparedImage {
        digest,
        layers: vec![bundle],
        cmd: words(&process["args"]),
        env: words(&process["env"]),
        working_dir: process["cwd"].as_str().unwrap_or_default().to_owned(),
        user,
        ..PreparedImage::default()
    }
}

/// What the image of this name runs by itself, as far as that is common knowledge.
fn program(root: &Path, reference: &str) -> (Vec<String>, Vec<String>) {
    let (repository, _) = parts(reference);
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let known = PROGRAMS.iter().find(|(name, _)| *name == last).map_or(&[][..], |(_, programs)| programs);
    let is_there = |program: &&&str| match program.strip_prefix('/') {
        Some(path) => root.join(path).exists(),
        None => ["bin", "usr/bin", "usr/sbin", "usr/local/bin"]
            .iter()
            .any(|folder| root.join(folder).join(program).exists()),
    };
    match (last, known.iter().find(is_there)) {
        ("nginx", Some(_)) => (Vec::new(), ["nginx", "-g", "daemon off;"].map(str::to_owned).to_vec()),
        (_, Some(program)) => (vec![(**program).to_owned()], Vec::new()),
        _ => (Vec::new(), vec!["/bin/sh".to_owned()]),
    }
}

/// Every image that an object names, wherever it stands; those that are not known before the run are left out.
pub fn references(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                match inner {
                    Value::String(image)
                        if key == "image"
                            && !image.is_empty()
                            && !image.contains("{{")
                            && !into.contains(image) =>
                    {
                        into.push(image.clone());
                    }
                    other
                        if !matches!(
                            key.as_str(),
                            "arguments" | "data" | "stringData" | "manifest" | "metadata"
                        ) =>
                    {
                        references(other, into)
                    }
                    _ => {}
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &[&str], reference: &str, expected: Option<&str>) {
        let given =
            given.iter().map(|name| Given { name: (*name).to_owned(), dir: PathBuf::new() }).collect();
        let images = RootFilesystems { given, pull: None, missing: watch::Sender::new(None) };
        assert_eq!(images.find(reference).map(|given| given.name.as_str()), expected, "{reference}");
    }

    #[test]
    fn the_closest_name_wins() {
        let given = ["busybox", "busybox:1.36", "argoproj/argosay", "argosay:v1", "python:alpine", "*"];
        check(&given, "busybox:1.36", Some("busybox:1.36"));
        check(&given, "docker.io/library/busybox:latest", Some("busybox"));
        check(&given, "argoproj/argosay:v2", Some("argoproj/argosay"));
        check(&given, "quay.io/x/argosay:v1", Some("argosay:v1"));
        check(&given, "python:alpine3.6", Some("python:alpine"));
        check(&given, "python:3.12", Some("*"));
        check(&given[..5], "python:3.12", None);
        check(&given[..5], "localhost:5000/busybox@sha256:00", Some("busybox"));
        check(&["alpine:latest"], "alpine", Some("alpine:latest"));
        check(&["alpine:3.7"], "alpine", None);
    }

    #[test]
    fn images_are_found_wherever_they_stand() {
        let mut found = Vec::new();
        let object = serde_json::json!({"spec": {"templates": [
            {"container": {"image": "a"}, "sidecars": [{"image": "b"}]},
            {"script": {"image": "{{inputs.parameters.x}}"}, "containerSet": {"containers": [{"image": "a"}]}},
        ], "arguments": {"parameters": [{"image": "no"}]}}});
        references(&object, &mut found);
        found.sort();
        assert_eq!(found, ["a", "b"]);
    }
}
