//! A store of artifacts in a folder, for runtimes that keep the promise of `runtime.galley.dev/artifacts`.
//!
//! Keys are paths below the folder, as in a bucket: an archive is one file, a folder kept without archive stays a
//! folder. The runtime hands in the annotation and a way from paths in the container to paths of the machine:
//! [`ArtifactStore::fetch`] before any container begins, [`ArtifactStore::keep`] when the main one has ended. Nothing
//! leaves the folder, but for artifacts whose own place is a git repository or an HTTP address (`remote`): keys with `..` are refused, archives are unpacked without following links out of them.

mod remote;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use galley_argo_workflows::Artifact;
use serde::Deserialize;
use serde_json::Value;

/// The words for an artifact that is not in the store; Argo's.
const NO_KEY: &str = "The specified key does not exist.";

/// A folder with artifacts.
#[derive(Clone)]
pub struct ArtifactStore {
    folder: PathBuf,
    /// Where secrets of artifacts elsewhere are read.
    client: Option<kube::Client>,
}

/// What became of a pod's output artifacts; goes into the annotation `runtime.galley.dev/collected`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Names of the ones that are in the store now (`artifacts`).
    pub artifacts: Vec<String>,
    /// Why others could not be kept (`artifact_errors`). One whose path was not there is in neither.
    pub errors: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Orders {
    inputs: Vec<Artifact>,
    outputs: Vec<Artifact>,
}

impl ArtifactStore {
    /// A store in this folder; it is made when the first artifact is kept.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        ArtifactStore { folder: folder.into(), client: None }
    }

    /// The same store, which reads the secrets that artifacts elsewhere name.
    #[must_use]
    pub fn with_secrets(self, client: kube::Client) -> Self {
        ArtifactStore { client: Some(client), ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The size of what lies at a key, and whether it is a folder; `None` when nothing does.
    pub fn size(&self, key: &str) -> Option<(u64, bool)> {
        let path = self.path_of(key).ok()?;
        let meta = fs::symlink_metadata(&path).ok()?;
        Some(if meta.is_dir() { (folder_size(&path), true) } else { (meta.len(), false) })
    }

    /// Copies what lies at a key to a path, as it is kept: an archive stays one.
    ///
    /// # Errors
    /// `NotFound` when nothing lies there, or what copying says.
    pub fn copy_to(&self, key: &str, to: &Path) -> io::Result<()> {
        let from = self.path_of(key).map_err(|why| io::Error::new(io::ErrorKind::NotFound, why))?;
        fs::symlink_metadata(&from)?;
        make_parent(to)?;
        copy(&from, to)
    }

    /// Deletes what lies at a key; it need not be there.
    ///
    /// # Errors
    /// What deleting says.
    pub fn delete(&self, key: &str) -> io::Result<()> {
        self.path_of(key).map_or(Ok(()), |path| remove(&path))
    }

    /// Places the input artifacts that the annotation names. `place` gives the path of the machine for a path of the
    /// container.
    ///
    /// # Errors
    /// The message for the pod's init container `init`.
    ///
    /// # Panics
    /// Outside of a Tokio runtime, when an artifact lies elsewhere; call it where blocking is allowed.
    pub fn fetch(
        &self,
        namespace: &str,
        annotation: &str,
        place: impl Fn(&str) -> PathBuf,
    ) -> Result<(), String> {
        for artifact in orders(annotation)?.inputs {
            let Some(path) = &artifact.path else { continue };
            match self.fetch_one(namespace, &artifact, &place(path)) {
                Ok(true) => {}
                Ok(false) if artifact.optional => {}
                Ok(false) => return Err(format!("artifact {} failed to load: {NO_KEY}", artifact.name)),
                Err(why) => return Err(format!("artifact {} failed to load: {why}", artifact.name)),
            }
        }
        Ok(())
    }

    /// Keeps the output artifacts that the annotation names.
    pub fn keep(&self, namespace: &str, annotation: &str, place: impl Fn(&str) -> PathBuf) -> Kept {
        let mut kept = Kept::default();
        let orders = match orders(annotation) {
            Ok(orders) => orders,
            Err(why) => {
                kept.errors.insert("?".to_owned(), why);
                return kept;
            }
        };
        for artifact in orders.outputs {
            let Some(path) = &artifact.path else { continue };
            let from = place(path);
            if fs::symlink_metadata(&from).is_err() {
                continue;
            }
            match self.keep_one(namespace, &artifact, path, &from) {
                Ok(()) => kept.artifacts.push(artifact.name),
                Err(why) => {
                    kept.errors.insert(artifact.name, why);
                }
            }
        }
        kept
    }

    /// Opens what lies at a key, for people who download it: the file, or `None` when nothing or a folder is there.
    pub fn open(&self, key: &str) -> Option<File> {
        let path = self.path_of(key).ok()?;
        path.is_file().then(|| File::open(path).ok()).flatten()
    }

    fn path_of(&self, key: &str) -> Result<PathBuf, String> {
        let path = Path::new(key);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
        if key.is_empty() || !inside {
            return Err(format!("`{key}` is no key"));
        }
        Ok(self.folder.join(path))
    }

    fn key_of(artifact: &Artifact) -> Result<&str, String> {
        if let Some(kind) = remote::unknown(&artifact.rest) {
            return Err(format!(
                "artifacts of `{kind}` are not fetched or kept on one machine; leave the location out for the store of this machine"
            ));
        }
        let s3 = artifact.rest.get("s3").ok_or("it has no location")?;
        if ["endpoint", "bucket"].iter().any(|field| s3[*field].as_str().is_some_and(|text| !text.is_empty()))
        {
            return Err("s3 artifacts with a bucket or an endpoint of their own are not fetched or kept on one machine; give only `key` for the store of this machine".to_owned());
        }
        s3["key"].as_str().ok_or_else(|| "it has no key".to_owned())
    }

    fn secrets<'a>(&'a self, namespace: &'a str) -> remote::Secrets<'a> {
        self.client.as_ref().map(|client| (client, namespace))
    }

    fn fetch_one(&self, namespace: &str, artifact: &Artifact, to: &Path) -> Result<bool, String> {
        let told = |error: io::Error| error.to_string();
        if let Some(data) = artifact.raw() {
            make_parent(to).and_then(|()| fs::write(to, data)).map_err(told)?;
            return Ok(true);
        }
        make_parent(to).map_err(told)?;
        let secrets = self.secrets(namespace);
        if let Some(git) = artifact.rest.get("git") {
            let runtime = tokio::runtime::Handle::current();
            return runtime.block_on(remote::clone(git, secrets, to)).map(|()| true);
        }
        let (from, fetched);
        if let Some(http) = artifact.rest.get("http") {
            let beside = tempfile::NamedTempFile::new_in(to.parent().unwrap_or(to)).map_err(told)?;
            let runtime = tokio::runtime::Handle::current();
            if !runtime.block_on(remote::get(http, secrets, beside.path()))? {
                return Ok(false);
            }
            from = beside.path().to_owned();
            fetched = Some(beside);
        } else {
            from = self.path_of(Self::key_of(artifact)?)?;
            fetched = None;
            if fs::symlink_metadata(&from).is_err() {
                return Ok(false);
            }
        }

        if from.is_dir() {
            copy(&from, to).map_err(told)?;
        } else {
            let none = archive(artifact, "none");
            let mut file = File::open(&from).map_err(told)?;
            match (none, magic(&mut file).map_err(told)?) {
                (false, [0x1f, 0x8b, ..]) => unpack(to, |into| {
                    let mut archive = tar::Archive::new(GzDecoder::new(file));
                    archive.set_preserve_permissions(true);
                    archive.unpack(into)
                })?,
                (false, [b'P', b'K', 3, 4]) => unpack(to, |into| {
                    zip::ZipArchive::new(file).and_then(|mut zip| zip.extract(into)).map_err(io::Error::other)
                })?,
                _ => {
                    fs::copy(&from, to).map_err(told)?;
                }
            }
        }
        drop(fetched);
        set_mode(artifact, to).map_err(told)?;
        Ok(true)
    }

    fn keep_one(&self, namespace: &str, artifact: &Artifact, path: &str, from: &Path) -> Result<(), String> {
        let sent = artifact.rest.get("http");
        let beside = tempfile::tempdir().map_err(|error| error.to_string())?;
        let to = match sent {
            Some(_) => beside.path().join("artifact"),
            None => self.path_of(Self::key_of(artifact)?)?,
        };
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(&artifact.name).to_owned();
        // Whole or not at all: a reader never sees half of it.
        let part = to.with_extension("part");
        let written = make_parent(&to).and_then(|()| remove(&part)).and_then(|()| {
            if archive(artifact, "none") {
                return copy(from, &part);
            }
            if archive(artifact, "zip") {
                return write_zip(from, &name, &part);
            }
            let level =
                artifact.rest.get("archive").and_then(|archive| archive["tar"]["compressionLevel"].as_u64());
            let level = level.map_or(Compression::default(), |level| Compression::new(level.min(9) as u32));
            let mut tar = tar::Builder::new(GzEncoder::new(File::create(&part)?, level));
            tar.follow_symlinks(false);
            if from.is_dir() {
                tar.append_dir_all(&name, from)?;
            } else {
                tar.append_path_with_name(from, &name)?;
            }
            tar.into_inner()?.finish().map(drop)
        });
        written
            .and_then(|()| remove(&to))
            .and_then(|()| fs::rename(&part, &to))
            .map_err(|error| error.to_string())?;
        match sent {
            Some(http) => {
                tokio::runtime::Handle::current().block_on(remote::put(http, self.secrets(namespace), &to))
            }
            None => Ok(()),
        }
    }
}

fn folder_size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn orders(annotation: &str) -> Result<Orders, String> {
    serde_json::from_str(annotation).map_err(|error| format!("the pod's artifacts cannot be read: {error}"))
}

fn archive(artifact: &Artifact, kind: &str) -> bool {
    artifact.rest.get("archive").and_then(|archive| archive.get(kind)).is_some_and(Value::is_object)
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

fn magic(file: &mut File) -> io::Result<[u8; 4]> {
    let mut start = [0; 4];
    let mut read = 0;
    while read < start.len() {
        match file.read(&mut start[read..])? {
            0 => break,
            count => read += count,
        }
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(start)
}

/// Unpacks beside the target and puts what was in the archive in its place: its only entry, or all of them.
fn unpack(to: &Path, into: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), String> {
    let beside = to.with_extension("unpacking");
    let result = remove(&beside)
        .and_then(|()| fs::create_dir_all(&beside))
        .and_then(|()| into(&beside))
        .and_then(|()| {
            let entries: Vec<PathBuf> = fs::read_dir(&beside)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<_>>()?;
            let source = if let [only] = &entries[..] { only.clone() } else { beside.clone() };
            if to.is_dir() && source.is_dir() {
                return copy(&source, to);
            }
            remove(to).and_then(|()| fs::rename(&source, to))
        });
    let cleaned = remove(&beside);
    result.and(cleaned).map_err(|error| error.to_string())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(from)?;
    if meta.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if meta.is_file() {
        fs::copy(from, to)?;
    }
    // Links and sockets are not content.
    Ok(())
}

fn write_zip(from: &Path, name: &str, to: &Path) -> io::Result<()> {
    let mut zip = zip::ZipWriter::new(File::create(to)?);
    let mut ahead = vec![(from.to_path_buf(), name.to_owned())];
    while let Some((path, name)) = ahead.pop() {
        let meta = fs::symlink_metadata(&path)?;
        let options = zip::write::SimpleFileOptions::default();
        if meta.is_dir() {
            zip.add_directory(format!("{name}/"), options).map_err(io::Error::other)?;
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                ahead.push((entry.path(), format!("{name}/{}", entry.file_name().to_string_lossy())));
            }
        } else if meta.is_file() {
            zip.start_file(&name, options).map_err(io::Error::other)?;
            io::copy(&mut File::open(&path)?, &mut zip)?;
        }
    }
    zip.finish().map(drop).map_err(io::Error::other)
}

#[cfg(unix)]
fn set_mode(artifact: &Artifact, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(mode) = artifact.rest.get("mode").and_then(Value::as_u64) else { return Ok(()) };
    fs::set_permissions(path, fs::Permissions::from_mode((mode & 0o7777) as u32))
}

#[cfg(not(unix))]
fn set_mode(_: &Artifact, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap_or_else(|error| format!("{}: {error}", path.display()))
    }

    #[test]
    fn what_is_kept_comes_back() {
        let work = tempfile::tempdir().unwrap();
        let store = ArtifactStore::new(work.path().join("store"));
        let (out, inner) = (work.path().join("out"), work.path().join("in"));
        fs::create_dir_all(out.join("o/d/e")).unwrap();
        fs::write(out.join("o/f"), "f").unwrap();
        fs::write(out.join("o/d/a"), "a").unwrap();
        fs::write(out.join("o/d/e/b"), "b").unwrap();
        let one = |name: &str, path: &str, key: &str, archive: Value| json!({"name": name, "path": path, "s3": {"key": key}, "archive": archive});
        let kinds = [
            ("file-none", "/o/f", "w/f", json!({"none": {}})),
            ("file-tar", "/o/f", "w/file.tgz", Value::Null),
            ("dir-none", "/o/d", "w/d", json!({"none": {}})),
            ("dir-tar", "/o/d", "w/dir.tgz", json!({"tar": {"compressionLevel": 0}})),
            ("dir-zip", "/o/d", "w/dir.zip", json!({"zip": {}})),
            ("gone", "/o/gone", "w/gone.tgz", Value::Null),
            ("out", "/o/f", "../out", Value::Null),
        ];
        let outputs: Vec<Value> =
            kinds.iter().map(|(name, path, key, archive)| one(name, path, key, archive.clone())).collect();
        let kept = store.keep("n", &json!({"outputs": outputs}).to_string(), |path| {
            out.join(path.trim_start_matches('/'))
        });
        assert_eq!(kept.artifacts, ["file-none", "file-tar", "dir-none", "dir-tar", "dir-zip"]);
        assert_eq!(kept.errors.keys().collect::<Vec<_>>(), ["out"]);
        let mut inputs: Vec<Value> = kinds[..5]
            .iter()
            .map(|(name, _, key, archive)| one(name, &format!("/i/{name}"), key, archive.clone()))
            .collect();
        inputs.push(one("part", "/i/part", "w/d/e/b", json!({"none": {}})));
        inputs.push(json!({"name": "note", "path": "/i/note", "raw": {"data": "hello"}, "mode": 0o755}));
        inputs.push(json!({"name": "may", "path": "/i/may", "s3": {"key": "w/none"}, "optional": true}));
        let place = |path: &str| inner.join(path.trim_start_matches('/'));
        store.fetch("n", &json!({"inputs": inputs}).to_string(), place).unwrap();
        for file in ["file-none", "file-tar"] {
            assert_eq!(text(&inner.join("i").join(file)), "f");
        }
        for folder in ["dir-none", "dir-tar", "dir-zip"] {
            assert_eq!(text(&inner.join("i").join(folder).join("a")), "a");
            assert_eq!(text(&inner.join("i").join(folder).join("e/b")), "b");
        }
        assert_eq!(text(&inner.join("i/part")), "b");
        assert_eq!(text(&inner.join("i/note")), "hello");
        assert!(store.open("w/dir.zip").is_some() && store.open("../out").is_none());
        let missing = json!({"inputs": [one("must", "/i/x", "w/none", Value::Null)]}).to_string();
        assert_eq!(
            store.fetch("n", &missing, place).unwrap_err(),
            "artifact must failed to load: The specified key does not exist."
        );
        let other = json!({"inputs": [{"name": "g", "path": "/i/g", "gcs": {"key": "x"}}]}).to_string();
        assert!(store.fetch("n", &other, place).unwrap_err().contains("`gcs`"));
    }
}
