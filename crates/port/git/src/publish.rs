//! From a person's work tree to a server elsewhere: commits of single files, and a push that never forces.

use std::path::Path;

use crate::{
    Author, Credentials, Error,
    program::Call,
    repo::{acceptable_url, authorization},
    work_tree::write,
};

/// How long a push may take.
const PUSH: std::time::Duration = std::time::Duration::from_secs(120);

/// Pushes the work tree's `main` to `main` of the repository at `url`.
///
/// # Errors
/// What git said, in particular that it is no fast-forward.
pub async fn publish(folder: &Path, url: &str, credentials: &Credentials) -> Result<(), Error> {
    let url = acceptable_url(url)?;
    let mut push = Call::new(folder, &["push", "--quiet", "--no-verify", "--"])
        .arg(url)
        .arg("refs/heads/main:refs/heads/main")
        .deadline(PUSH);
    push.settings = vec![authorization(url, credentials)];
    push.run().await.map(drop)
}

/// Writes one file of the work tree and commits it alone; whether there was anything to commit.
///
/// # Errors
/// [`Error::Unacceptable`] for a path that leaves the folder, [`Error::Io`] or what git said.
pub async fn commit_file(
    folder: &Path,
    path: &str,
    bytes: &[u8],
    message: &str,
    author: &Author,
) -> Result<bool, Error> {
    write(folder, path, bytes).await?;
    Call::new(folder, &["add", "--"]).arg(path).run().await?;
    let differs = Call::new(folder, &["diff", "--cached", "--quiet", "--"]).arg(path).ended().await?;
    if differs.code == Some(0) {
        return Ok(false);
    }
    let mut commit =
        Call::new(folder, &["commit", "--quiet", "--no-verify", "-m"]).arg(message).arg("--").arg(path);
    commit.environment = author.environment();
    commit.run().await?;
    Ok(true)
}
