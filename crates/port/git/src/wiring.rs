//! Ties a person's work tree to the served repository: a remote, and a credential helper for its address only.

use std::path::Path;

use crate::{Error, program::Call};

/// Makes `remote` of the work tree point at `url`, lets git ask `helper` for the password of that server, and makes
/// `main` follow the remote unless it follows another already. Nothing outside the repository's own settings changes.
///
/// # Errors
/// What git said, in particular that the folder is no repository.
pub async fn wire(folder: &Path, remote: &str, url: &str, helper: &str) -> Result<(), Error> {
    let server = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let set = async |key: String, value: &str| {
        Call::new(folder, &["config", "--local"]).arg(&key).arg(value).run().await.map(drop)
    };
    set(format!("remote.{remote}.url"), url).await?;
    set(format!("remote.{remote}.fetch"), &format!("+refs/heads/*:refs/remotes/{remote}/*")).await?;
    set(format!("credential.{server}.helper"), helper).await?;
    let follows = Call::new(folder, &["config", "--local", "--default", "", "--get", "branch.main.remote"])
        .run()
        .await?;
    let follows = String::from_utf8_lossy(&follows).trim().to_owned();
    if follows.is_empty() {
        set("branch.main.remote".into(), remote).await?;
        set("branch.main.merge".into(), "refs/heads/main").await?;
    }
    Ok(())
}

/// The commit of the work tree's branch `main`; nothing if there is none.
///
/// # Errors
/// What git said, in particular that the folder is no repository.
pub async fn tip_of_main(folder: &Path) -> Result<Option<String>, Error> {
    let listed =
        Call::new(folder, &["for-each-ref", "--format=%(objectname)", "refs/heads/main"]).run().await?;
    let id = String::from_utf8_lossy(&listed).trim().to_owned();
    Ok((!id.is_empty()).then_some(id))
}
