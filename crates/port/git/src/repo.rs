//! A bare repository on this disk.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::Engine as _;
use galley_units::Secret;

use crate::{
    CommitInfo, Error,
    bare::{Bare, Kind, ObjectId},
    program::Call,
};

/// User name and password (or token) for a repository elsewhere.
pub type Credentials = (String, Secret<String>);

/// How much is read from a repository at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files in one tree.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of one tree.
    pub tree_bytes: u64,
    /// How long a mirror may take.
    pub mirror: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            files: 20_000,
            file_bytes: 16 << 20,
            tree_bytes: 128 << 20,
            mirror: Duration::from_secs(120),
        }
    }
}

/// A bare repository on this disk; clones are the same one. It is read without the git program, except that mirrors and
/// imports are fetched with it. Everything is read from git objects, so what is read
/// belongs to one commit whatever happens meanwhile.
#[derive(Clone, Debug)]
pub struct Repo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    limits: Limits,
}

impl Repo {
    /// Opens the bare repository at `path`, or makes an empty one whose `HEAD` is `main`.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Damaged`] if it is no repository that can be read.
    pub async fn init_or_open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let repo = Repo(Arc::new(Inner { path: path.into(), limits: Limits::default() }));
        let path = repo.0.path.clone();
        blocking(move || Bare::init(&path)).await?;
        repo.work(|_| Ok(())).await?;
        Ok(repo)
    }

    /// The same repository, read with other limits.
    #[must_use]
    pub fn with_limits(&self, limits: Limits) -> Self {
        Repo(Arc::new(Inner { path: self.0.path.clone(), limits }))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    fn call<'a>(&'a self, arguments: &[&'a str]) -> Call<'a> {
        Call::new(&self.0.path, arguments)
    }

    /// Opens the repository and works on it, on a thread for that.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Bare) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.0.path.clone();
        blocking(move || work(&Bare::open(&path)?)).await
    }

    /// The commit that a branch, a tag, an (abbreviated) id or `HEAD` names, also with `~N` and `^N` behind it, if there is
    /// one.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] if `rev` cannot be a revision, or what is wrong with the repository.
    pub async fn resolve(&self, rev: &str) -> Result<Option<String>, Error> {
        let rev = acceptable_revision(rev)?.to_owned();
        self.work(move |bare| Ok(bare.commit_of(&rev)?.map(|id| id.to_string()))).await
    }

    /// Branches and tags with the objects they point to.
    ///
    /// # Errors
    /// What is wrong with the repository.
    pub async fn refs(&self) -> Result<BTreeMap<String, String>, Error> {
        self.work(|bare| Ok(bare.refs()?.into_iter().map(|(name, id)| (name, id.to_string())).collect()))
            .await
    }

    /// All files below `folder` (`""` or `.` for all) of a commit, by path relative to it. Symbolic links and
    /// submodules are left out. An absent folder is empty.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past the limits, [`Error::Absent`] without such a commit, or what is wrong with the repository.
    pub async fn read_tree(&self, commit: &str, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let (folder, commit) = (clean(folder)?, acceptable_revision(commit)?.to_owned());
        let limits = self.0.limits;
        self.work(move |bare| read_tree(bare, &commit, &folder, limits)).await
    }

    /// One file of a commit; `None` if it is absent or no file.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past the limit, or what is wrong with the repository.
    pub async fn read_file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let (path, commit) = (clean(path)?, acceptable_revision(commit)?.to_owned());
        let limit = self.0.limits.file_bytes;
        let read = move |bare: &Bare| {
            let Some(tree) = bare.tree_of(&commit)? else { return Ok(None) };
            let Some((mode, id)) = bare.at(tree, &path)? else { return Ok(None) };
            if !mode.is_blob_or_symlink() {
                return Ok(None);
            }
            match bare.objects().header(&id)? {
                Some((_, size)) if size > limit => Err(Error::TooLarge { what: format!("`{path}`"), limit }),
                _ => bare.objects().get(&id, Kind::Blob).map(Some),
            }
        };
        self.work(read).await
    }

    /// The newest commits first, at most `limit`; those that touch `path`, if one is given. Empty if `rev` is absent.
    ///
    /// # Errors
    /// What is wrong with the repository.
    pub async fn log(&self, rev: &str, path: Option<&str>, limit: usize) -> Result<Vec<CommitInfo>, Error> {
        let rev = acceptable_revision(rev)?.to_owned();
        let path = path.map(clean).transpose()?.unwrap_or_default();
        let read = move |bare: &Bare| match bare.commit_of(&rev)? {
            Some(commit) => bare.log(commit, &path, limit.min(10_000)),
            None => Ok(Vec::new()),
        };
        self.work(read).await
    }

    /// The paths that differ between two commits; all of `to` if there is no `from`.
    ///
    /// # Errors
    /// [`Error::Absent`] without such commits, or what is wrong with the repository.
    pub async fn changed_paths(&self, from: Option<&str>, to: &str) -> Result<Vec<String>, Error> {
        let to = acceptable_revision(to)?.to_owned();
        let from = from.map(acceptable_revision).transpose()?.map(str::to_owned);
        let read = move |bare: &Bare| {
            let to = tree(bare, &to)?;
            let paths = match from {
                Some(from) => bare.differences(tree(bare, &from)?, to)?,
                None => bare.list(to, usize::MAX)?.into_iter().map(|listed| listed.path).collect(),
            };
            Ok(paths.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect())
        };
        self.work(read).await
    }

    /// Makes this repository a mirror of the branches and tags at `url` (http, https, ssh, git, or a local folder), `HEAD`
    /// included. Whatever is here only goes.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] for another kind of URL, or what git said.
    pub async fn fetch_mirror(&self, url: &str, credentials: Option<&Credentials>) -> Result<(), Error> {
        let url = acceptable_url(url)?;
        let settings = credentials.map(|credentials| authorization(url, credentials)).into_iter();
        let settings: Vec<_> = settings.collect();
        let deadline = self.0.limits.mirror;
        let refs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
        let mut fetch = self
            .call(&["fetch", "--quiet", "--prune", "--no-tags", "--force", "--update-head-ok", "--"])
            .arg(url)
            .arg(refs[0])
            .arg(refs[1])
            .deadline(deadline);
        fetch.settings.clone_from(&settings);
        fetch.run().await?;
        let mut head = self.call(&["ls-remote", "--symref", "--"]).arg(url).arg("HEAD").deadline(deadline);
        head.settings = settings;
        let output = head.run().await?;
        let text = String::from_utf8_lossy(&output);
        let branch = text.lines().find_map(|line| line.strip_prefix("ref: ")?.split_whitespace().next());
        if let Some(branch) = branch {
            self.call(&["symbolic-ref", "HEAD"]).arg(branch).run().await?;
        }
        Ok(())
    }

    /// Takes the commit `rev` of another repository on this disk as the tip of `branch`, unless that would lose commits.
    ///
    /// # Errors
    /// What git said, in particular that it is no fast-forward.
    pub async fn import(&self, from: &Path, rev: &str, branch: &str) -> Result<(), Error> {
        let refspec = format!("{}:refs/heads/{}", acceptable_revision(rev)?, acceptable_revision(branch)?);
        let from = from.to_string_lossy();
        let from = acceptable_url(&from)?;
        self.call(&["fetch", "--quiet", "--no-tags", "--"]).arg(from).arg(&refspec).run().await.map(|_| ())
    }
}

/// The header that carries the credentials, only for this server, in configuration that travels in the environment.
pub(crate) fn authorization(url: &str, (user, password): &Credentials) -> (String, String) {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()));
    (format!("http.{url}.extraHeader"), format!("Authorization: Basic {basic}"))
}

/// Runs work that blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(Error::Start(std::io::Error::other(error))),
    }
}

fn tree(bare: &Bare, revision: &str) -> Result<ObjectId, Error> {
    bare.tree_of(revision)?.ok_or_else(|| Error::Absent {
        what: format!("the commit `{revision}` of {}", bare.path().display()),
    })
}

fn read_tree(
    bare: &Bare,
    commit: &str,
    folder: &str,
    limits: Limits,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let root = tree(bare, commit)?;
    let Some((mode, id)) = bare.at(root, folder)? else { return Ok(BTreeMap::new()) };
    if !mode.is_tree() {
        return Ok(BTreeMap::new());
    }
    let listed = bare.list(id, limits.files)?;
    if listed.len() > limits.files {
        let limit = limits.files as u64;
        return Err(Error::TooLarge { what: format!("the number of files below `{folder}`"), limit });
    }
    let mut files = BTreeMap::new();
    let mut total = 0;
    for file in listed.into_iter().filter(|listed| listed.is_file()) {
        let path = String::from_utf8_lossy(&file.path).into_owned();
        let size = bare.objects().header(&file.id)?.map_or(0, |(_, size)| size);
        total += size;
        if size > limits.file_bytes {
            return Err(Error::TooLarge { what: format!("`{path}`"), limit: limits.file_bytes });
        }
        if total > limits.tree_bytes {
            return Err(Error::TooLarge { what: format!("the folder `{folder}`"), limit: limits.tree_bytes });
        }
        files.insert(path, bare.objects().get(&file.id, Kind::Blob)?);
    }
    Ok(files)
}

/// A revision git may be given: nothing that is an option, a range, a pathspec or several words.
fn acceptable_revision(rev: &str) -> Result<&str, Error> {
    let fine = !rev.is_empty()
        && rev.len() <= 256
        && !rev.starts_with('-')
        && !rev.contains("..")
        && !rev.contains("@{")
        && rev.chars().all(|c| c.is_alphanumeric() || "/._-+@#=~^".contains(c));
    if fine { Ok(rev) } else { Err(Error::Unacceptable { what: "revision", given: rev.to_owned() }) }
}

pub(crate) fn acceptable_url(url: &str) -> Result<&str, Error> {
    let remote = ["http://", "https://", "ssh://", "git://", "file://"].iter().any(|s| url.starts_with(s));
    let scp = url.split_once(':').is_some_and(|(host, path)| host.contains('@') && !path.starts_with('/'));
    let fine =
        (remote || scp || url.starts_with('/')) && !url.contains("::") && !url.contains(char::is_control);
    if fine { Ok(url) } else { Err(Error::Unacceptable { what: "repository URL", given: url.to_owned() }) }
}

/// A path inside a repository without `.` and trailing `/`; empty for the root.
fn clean(path: &str) -> Result<String, Error> {
    let bad = || Error::Unacceptable { what: "path inside the repository", given: path.to_owned() };
    if path.contains(['\0', '\n']) {
        return Err(bad());
    }
    let mut parts = Vec::new();
    for part in path.trim_start_matches('/').split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => {
                parts.pop().ok_or_else(bad)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_an_option_or_leave_is_refused() {
        for bad in ["", "--upload-pack=x", "a..b", "main@{u}", "a b", "HEAD:path", "x\ny"] {
            assert!(acceptable_revision(bad).is_err(), "{bad}");
        }
        for good in ["main", "v1.2.3", "feature/x", "HEAD", "0123abc"] {
            assert!(acceptable_revision(good).is_ok(), "{good}");
        }
        for bad in ["ext::sh -c x", "relative", "-x", "http::x"] {
            assert!(acceptable_url(bad).is_err(), "{bad}");
        }
        assert_eq!(clean("/a/./b/../c/").ok().as_deref(), Some("a/c"));
        assert!(clean("a/../..").is_err());
    }
}
