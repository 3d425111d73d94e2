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
    history::{self, FORMAT},
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

/// A bare repository on this disk; clones are the same one. Everything is read from git objects, so what is read
/// belongs to one commit whatever happens meanwhile.
#[derive(Clone, Debug)]
pub struct Repo(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    limits: Limits,
}

/// One file of a tree as git lists it.
struct Entry {
    id: String,
    size: u64,
    path: String,
}

impl Repo {
    /// Opens the bare repository at `path`, or makes an empty one whose `HEAD` is `main`.
    ///
    /// # Errors
    /// [`Error::Io`] or what git said.
    pub async fn init_or_open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        if !path.join("HEAD").exists() {
            let failed = |source| Error::Io { path: path.clone(), source };
            tokio::fs::create_dir_all(&path).await.map_err(failed)?;
            Call::new(&path, &["init", "--quiet", "--bare", "--initial-branch=main", "."]).run().await?;
        }
        let repo = Repo(Arc::new(Inner { path, limits: Limits::default() }));
        repo.call(&["rev-parse", "--is-bare-repository"]).run().await?;
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

    /// The commit that a branch, a tag, an (abbreviated) id or `HEAD` names, if there is one.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] if `rev` cannot be a revision, or what git said.
    pub async fn resolve(&self, rev: &str) -> Result<Option<String>, Error> {
        let wanted = format!("{}^{{commit}}", acceptable_revision(rev)?);
        let ended = self.call(&["rev-parse", "--verify", "--quiet"]).arg(&wanted).ended().await?;
        let id = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
        Ok((ended.code == Some(0) && !id.is_empty()).then_some(id))
    }

    /// Branches and tags with the objects they point to.
    ///
    /// # Errors
    /// What git said.
    pub async fn refs(&self) -> Result<BTreeMap<String, String>, Error> {
        let output = self.call(&["for-each-ref", "--format=%(objectname) %(refname)"]).run().await?;
        let text = String::from_utf8_lossy(&output);
        Ok(text
            .lines()
            .filter_map(|l| l.split_once(' '))
            .map(|(id, name)| (name.into(), id.into()))
            .collect())
    }

    /// All files below `folder` (`""` or `.` for all) of a commit, by path relative to it. Symbolic links and
    /// submodules are left out. An absent folder is empty.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past the limits, or what git said.
    pub async fn read_tree(&self, commit: &str, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let folder = clean(folder)?;
        let entries = self.list(commit, &folder).await?;
        let limits = self.0.limits;
        let total: u64 = entries.iter().map(|entry| entry.size).sum();
        let too_large = |what: String, limit| Err(Error::TooLarge { what, limit });
        if let Some(large) = entries.iter().find(|entry| entry.size > limits.file_bytes) {
            return too_large(format!("`{}`", large.path), limits.file_bytes);
        }
        if total > limits.tree_bytes {
            return too_large(format!("the folder `{folder}`"), limits.tree_bytes);
        }
        if entries.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids: String = entries.iter().flat_map(|entry| [entry.id.as_str(), "\n"]).collect();
        let limit = total + 128 * entries.len() as u64;
        let output =
            self.call(&["cat-file", "--batch"]).stdin(ids.into_bytes()).limit(limit.max(1024)).run().await?;
        let prefix = if folder.is_empty() { 0 } else { folder.len() + 1 };
        let mut rest = output.as_slice();
        let mut files = BTreeMap::new();
        for entry in entries {
            let bytes = next_blob(&mut rest)?;
            files.insert(entry.path[prefix..].to_owned(), bytes.to_vec());
        }
        Ok(files)
    }

    async fn list(&self, commit: &str, folder: &str) -> Result<Vec<Entry>, Error> {
        let commit = acceptable_revision(commit)?;
        let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut call =
            self.call(&["--literal-pathspecs", "ls-tree", "-r", "-z", "-l", "--full-tree"]).arg(commit);
        if !folder.is_empty() {
            call = call.arg("--").arg(&folder);
        }
        let output = call.run().await?;
        let text = String::from_utf8_lossy(&output);
        let entries: Vec<Entry> = text.split('\0').filter_map(entry).collect();
        if entries.len() > self.0.limits.files {
            let limit = self.0.limits.files as u64;
            return Err(Error::TooLarge { what: format!("the number of files below `{folder}`"), limit });
        }
        Ok(entries)
    }

    /// One file of a commit; `None` if it is absent or no file.
    ///
    /// # Errors
    /// [`Error::TooLarge`] past the limit, or what git said.
    pub async fn read_file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let object = format!("{}:{}", acceptable_revision(commit)?, clean(path)?);
        let limit = self.0.limits.file_bytes;
        let output = self
            .call(&["cat-file", "--batch"])
            .stdin(format!("{object}\n").into_bytes())
            .limit(limit + 1024)
            .run()
            .await?;
        if !header(&output).is_some_and(|header| header.contains(" blob ")) {
            return Ok(None);
        }
        let mut rest = output.as_slice();
        next_blob(&mut rest).map(|bytes| Some(bytes.to_vec()))
    }

    /// The newest commits first, at most `limit`; those that touch `path`, if one is given. Empty if `rev` is absent.
    ///
    /// # Errors
    /// What git said.
    pub async fn log(&self, rev: &str, path: Option<&str>, limit: usize) -> Result<Vec<CommitInfo>, Error> {
        let Some(commit) = self.resolve(rev).await? else { return Ok(Vec::new()) };
        let count = format!("--max-count={}", limit.min(10_000));
        let path = path.map(clean).transpose()?;
        let mut call = self.call(&["--literal-pathspecs", "log", "-z", FORMAT]).arg(&count).arg(&commit);
        if let Some(path) = path.as_deref().filter(|path| !path.is_empty()) {
            call = call.arg("--").arg(path);
        }
        history::parse(&call.run().await?)
    }

    /// The paths that differ between two commits; all of `to` if there is no `from`.
    ///
    /// # Errors
    /// What git said.
    pub async fn changed_paths(&self, from: Option<&str>, to: &str) -> Result<Vec<String>, Error> {
        let to = acceptable_revision(to)?;
        let output = match from {
            Some(from) => {
                let from = acceptable_revision(from)?;
                self.call(&["diff-tree", "-r", "-z", "--name-only", "--no-renames"])
                    .arg(from)
                    .arg(to)
                    .run()
                    .await?
            }
            None => self.call(&["ls-tree", "-r", "-z", "--name-only", "--full-tree"]).arg(to).run().await?,
        };
        let text = String::from_utf8_lossy(&output);
        Ok(text.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
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
fn authorization(url: &str, (user, password): &Credentials) -> (String, String) {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{}", password.expose()));
    (format!("http.{url}.extraHeader"), format!("Authorization: Basic {basic}"))
}

fn entry(line: &str) -> Option<Entry> {
    let (meta, path) = line.split_once('\t')?;
    let mut parts = meta.split_ascii_whitespace();
    let (mode, kind, id, size) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_file = kind == "blob" && mode != "120000";
    is_file.then(|| Some(Entry { id: id.to_owned(), size: size.parse().ok()?, path: path.to_owned() }))?
}

fn header(output: &[u8]) -> Option<&str> {
    let end = output.iter().position(|byte| *byte == b'\n')?;
    std::str::from_utf8(&output[..end]).ok()
}

/// Takes one `id type size\nbytes\n` from the output of `cat-file --batch`.
fn next_blob<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Error> {
    let odd = |detail: &str| Error::Output { action: "cat-file", detail: detail.to_owned() };
    let line = header(rest).ok_or_else(|| odd("ended early"))?;
    let size: usize = line.rsplit(' ').next().and_then(|size| size.parse().ok()).ok_or_else(|| odd(line))?;
    let start = line.len() + 1;
    let bytes = rest.get(start..start + size).ok_or_else(|| odd("ended early"))?;
    *rest = rest.get(start + size + 1..).unwrap_or_default();
    Ok(bytes)
}

/// A revision git may be given: nothing that is an option, a range, a pathspec or several words.
fn acceptable_revision(rev: &str) -> Result<&str, Error> {
    let fine = !rev.is_empty()
        && rev.len() <= 256
        && !rev.starts_with('-')
        && !rev.contains("..")
        && !rev.contains("@{")
        && rev.chars().all(|c| c.is_alphanumeric() || "/._-+@#=".contains(c));
    if fine { Ok(rev) } else { Err(Error::Unacceptable { what: "revision", given: rev.to_owned() }) }
}

fn acceptable_url(url: &str) -> Result<&str, Error> {
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
