//! How a URL becomes a repository on this disk.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use galley_git::{Credentials, Repo};
use galley_problem::{Kind, Problem};
use tokio::{sync::Mutex, time::Instant};

/// Opens repositories by the URL that Applications name.
#[async_trait]
pub trait Repositories: Send + Sync {
    /// The repository at `url`, as fresh as its kind allows: one of ours as it is, a mirror after a fetch.
    async fn open(&self, url: &str) -> Result<Repo, Problem>;

    /// What was fetched of the repository at `url` is too old from now on.
    async fn expire(&self, _url: &str) {}
}

/// Knows user and token for a URL.
pub type CredentialsFor = Arc<dyn Fn(&str) -> Option<Credentials> + Send + Sync>;

/// When a mirror was fetched; held while it is.
type Fetched = Arc<Mutex<Option<Instant>>>;

/// Our own repositories by URL, and mirrors of all others below a folder.
pub struct LocalRepositories {
    ours: BTreeMap<String, Repo>,
    mirrors: PathBuf,
    credentials: CredentialsFor,
    fresh_for: Duration,
    fetched: Mutex<HashMap<String, Fetched>>,
}

impl LocalRepositories {
    /// `ours` maps URLs, as Applications write them, to repositories here; all other URLs are mirrored below `mirrors` and
    /// fetched again when the last fetch is half a minute old. `credentials` knows users and tokens for them.
    pub fn new(
        ours: impl IntoIterator<Item = (String, Repo)>,
        mirrors: PathBuf,
        credentials: CredentialsFor,
    ) -> Self {
        LocalRepositories {
            ours: ours.into_iter().map(|(url, repo)| (normal(&url), repo)).collect(),
            mirrors,
            credentials,
            fresh_for: Duration::from_secs(30),
            fetched: Mutex::default(),
        }
    }

    async fn mirror(&self, url: &str) -> Result<Repo, Problem> {
        let slot = self.fetched.lock().await.entry(url.to_owned()).or_default().clone();
        // One fetch of a repository at a time; whoever waited finds it fresh.
        let mut fetched = slot.lock().await;
        let repo = Repo::init_or_open(self.mirrors.join(folder_name(url))).await?;
        if fetched.is_none_or(|at| at.elapsed() > self.fresh_for) {
            let credentials = (self.credentials)(url);
            repo.fetch_mirror(url, credentials.as_ref()).await.map_err(|error| {
                Problem::new(
                    "G0404",
                    Kind::Unavailable,
                    format!("The repository {url} could not be fetched."),
                )
                .because(&error)
                .try_this(format!("Check the URL and the credentials with `git ls-remote {url}`."))
            })?;
            *fetched = Some(Instant::now());
        }
        Ok(repo)
    }
}

#[async_trait]
impl Repositories for LocalRepositories {
    async fn open(&self, url: &str) -> Result<Repo, Problem> {
        match self.ours.get(&normal(url)) {
            Some(repo) => Ok(repo.clone()),
            None => self.mirror(url).await,
        }
    }

    async fn expire(&self, url: &str) {
        let slot = self.fetched.lock().await.get(url).cloned();
        if let Some(slot) = slot {
            *slot.lock().await = None;
        }
    }
}

/// The same repository is often written in several ways.
fn normal(url: &str) -> String {
    let url = url.trim_end_matches('/');
    url.strip_suffix(".git").unwrap_or(url).to_lowercase()
}

fn folder_name(url: &str) -> String {
    let plain: String = url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let end = plain.trim_matches('-').chars().rev().take(60).collect::<Vec<_>>().into_iter().rev();
    format!("{}-{:08x}.git", end.collect::<String>(), galley_units::fnv1a_32(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_url_are_one_and_folders_are_apart() {
        assert_eq!(normal("http://Git.example/pipeline.git/"), normal("http://git.example/pipeline"));
        assert_ne!(folder_name("https://a/b"), folder_name("https://a-b"));
        assert!(!folder_name("https://x/../../y").contains('/'));
    }
}
