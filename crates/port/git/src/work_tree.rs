//! The first commit of a new pipeline repository.

use std::{
    collections::BTreeMap,
    path::{Component, Path},
};

use jiff::Timestamp;

use crate::{Error, program::Call};

/// Who a commit is by, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// Name.
    pub name: String,
    /// Mail address.
    pub email: String,
    /// The moment, for author and committer both.
    pub time: Timestamp,
}

impl Author {
    /// Galley itself.
    pub fn galley(time: Timestamp) -> Self {
        Author { name: "Galley".into(), email: "galley@localhost".into(), time }
    }

    /// The environment that makes git use this author, whatever is configured.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let time = format!("{} +0000", self.time.as_second());
        vec![
            ("GIT_AUTHOR_NAME", self.name.clone()),
            ("GIT_AUTHOR_EMAIL", self.email.clone()),
            ("GIT_AUTHOR_DATE", time.clone()),
            ("GIT_COMMITTER_NAME", self.name.clone()),
            ("GIT_COMMITTER_EMAIL", self.email.clone()),
            ("GIT_COMMITTER_DATE", time),
        ]
    }
}

/// Writes the files into `folder` (made if absent), makes it a repository with branch `main` and commits them. The same
/// files, message and author give the same commit everywhere. Answers the commit's id. Files whose first bytes are `#!`
/// become executable.
///
/// # Errors
/// [`Error::Unacceptable`] for a path that leaves the folder, [`Error::Io`] or what git said.
pub async fn init_work_tree(
    folder: &Path,
    files: &BTreeMap<String, Vec<u8>>,
    message: &str,
    author: &Author,
) -> Result<String, Error> {
    for (path, bytes) in files {
        write(folder, path, bytes).await?;
    }
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    Call::new(folder, &["init", "--quiet", "--initial-branch=main", "."]).run().await?;
    let listed: Vec<u8> = files.keys().flat_map(|path| [path.as_bytes(), b"\0"].concat()).collect();
    Call::new(folder, &["update-index", "--add", "-z", "--stdin"]).stdin(listed).run().await?;
    let mut commit =
        Call::new(folder, &["commit", "--quiet", "--allow-empty", "--no-verify", "-m"]).arg(message);
    commit.environment = author.environment();
    commit.run().await?;
    let id = Call::new(folder, &["rev-parse", "HEAD"]).run().await?;
    Ok(String::from_utf8_lossy(&id).trim().to_owned())
}

pub(crate) async fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<(), Error> {
    let inside =
        Path::new(path).components().all(|part| matches!(part, Component::Normal(name) if name != ".git"));
    if !inside || path.is_empty() {
        return Err(Error::Unacceptable { what: "path inside the repository", given: path.to_owned() });
    }
    let target = folder.join(path);
    let failed = |source| Error::Io { path: target.clone(), source };
    if let Some(parent) = target.parent() {
        tokio::fs::create_dir_all(parent).await.map_err(failed)?;
    }
    tokio::fs::write(&target, bytes).await.map_err(failed)?;
    #[cfg(unix)]
    if bytes.starts_with(b"#!") {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o755);
        tokio::fs::set_permissions(&target, mode).await.map_err(failed)?;
    }
    Ok(())
}
