//! The artifact folder.
//!
//! A file is written beside the others under a temporary name, brought to disk, and only then given its own name, so
//! nobody ever reads half a file and a crash leaves none. Every path from outside goes through
//! [`galley_mlflow::path::safe_parts`].

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use galley_mlflow::{ApiError, ErrorCode, FileInfo, path};
use http_body_util::BodyExt;
use tokio::{fs, io::AsyncWriteExt, sync::Semaphore, time::timeout};

use crate::{config::Config, names};

/// Folder of unfinished uploads, inside the artifact folder so that the final rename stays on one file system.
const UPLOADS: &str = ".uploads";
/// How long an upload waits for its turn.
const TURN: Duration = Duration::from_secs(30);

/// The artifact folder.
pub(crate) struct Files {
    root: PathBuf,
    max_file: u64,
    max_listed: usize,
    idle: Duration,
    turns: Arc<Semaphore>,
}

impl Files {
    /// Makes the folder if needed and removes what unfinished uploads have left.
    pub(crate) fn open(config: &Config) -> io::Result<Self> {
        let root = config.artifact_dir.clone();
        let uploads = root.join(UPLOADS);
        if uploads.exists() {
            std::fs::remove_dir_all(&uploads)?;
        }
        std::fs::create_dir_all(&uploads)?;
        Ok(Files {
            root,
            max_file: config.max_artifact_bytes,
            max_listed: config.max_listed_files,
            idle: Duration::from_secs(config.upload_idle_seconds.max(1)),
            turns: Arc::new(Semaphore::new(config.max_uploads.max(1))),
        })
    }

    fn locate(&self, artifact: &str) -> Result<PathBuf, ApiError> {
        let parts = path::safe_parts(artifact)?;
        if parts.first() == Some(&UPLOADS) {
            return Err(ApiError::invalid("Invalid path"));
        }
        Ok(parts.iter().fold(self.root.clone(), |folder, part| folder.join(part)))
    }

    /// Writes a file, replacing the one of that name.
    pub(crate) async fn put(&self, artifact: &str, body: Body) -> Result<(), ApiError> {
        let target = self.locate(artifact)?;
        if target == self.root {
            return Err(ApiError::invalid("Invalid path"));
        }
        let busy =
            || ApiError::new(ErrorCode::TemporarilyUnavailable, "Too many uploads at one time; try again.");
        let turn = timeout(TURN, self.turns.clone().acquire_owned()).await.map_err(|_| busy())?;
        let _turn = turn.map_err(|_| busy())?;
        let temporary = Temporary(self.root.join(UPLOADS).join(names::id()));
        self.receive(&temporary.0, body).await?;
        publish(&temporary.0, &target).await.map_err(|error| failed(artifact, &error))
    }

    async fn receive(&self, to: &Path, mut body: Body) -> Result<(), ApiError> {
        let written = |error: io::Error| failed("the upload", &error);
        let mut file = fs::File::create(to).await.map_err(written)?;
        let mut size = 0u64;
        loop {
            let frame = timeout(self.idle, body.frame()).await.map_err(|_| {
                ApiError::new(ErrorCode::BadRequest, "The upload stopped: no bytes arrived for too long.")
            })?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|error| {
                ApiError::new(ErrorCode::BadRequest, format!("The upload broke off: {error}"))
            })?;
            let Ok(bytes) = frame.into_data() else { continue };
            size += bytes.len() as u64;
            if size > self.max_file {
                return Err(ApiError::invalid(format!(
                    "An artifact may have at most {} bytes.",
                    self.max_file
                )));
            }
            file.write_all(&bytes).await.map_err(written)?;
        }
        file.flush().await.map_err(written)?;
        file.sync_all().await.map_err(written)
    }

    /// Opens a file; its size comes along.
    pub(crate) async fn get(&self, artifact: &str) -> Result<(fs::File, u64), ApiError> {
        let target = self.locate(artifact)?;
        let missing = || ApiError::absent(format!("No such artifact: '{artifact}'"));
        let file = match fs::File::open(&target).await {
            Ok(file) => file,
            Err(error) if is_missing(&error) => return Err(missing()),
            Err(error) => return Err(failed(artifact, &error)),
        };
        let meta = file.metadata().await.map_err(|error| failed(artifact, &error))?;
        if meta.is_file() { Ok((file, meta.len())) } else { Err(missing()) }
    }

    /// Lists a folder, by name; a file, or nothing at all, has no entries. Paths are names only.
    pub(crate) async fn list(&self, artifact: &str) -> Result<Vec<FileInfo>, ApiError> {
        let target = self.locate(artifact)?;
        let broken = |error: io::Error| failed(artifact, &error);
        let mut folder = match fs::read_dir(&target).await {
            Ok(folder) => folder,
            Err(error) if is_missing(&error) => return Ok(Vec::new()),
            Err(error) => return Err(broken(error)),
        };
        let mut found = Vec::new();
        while let Some(entry) = folder.next_entry().await.map_err(broken)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if target == self.root && name == UPLOADS {
                continue;
            }
            // A file may be deleted between listing and asking; then it is not there.
            let Ok(meta) = entry.metadata().await else { continue };
            let file_size = meta.is_file().then(|| i64::try_from(meta.len()).unwrap_or(i64::MAX));
            found.push(FileInfo { path: name, is_dir: meta.is_dir(), file_size });
            if found.len() > self.max_listed {
                return Err(ApiError::invalid(format!(
                    "More than {} entries; name a folder.",
                    self.max_listed
                )));
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Deletes a file, or a folder with everything in it; what is not there is deleted already.
    pub(crate) async fn delete(&self, artifact: &str) -> Result<(), ApiError> {
        let target = self.locate(artifact)?;
        if target == self.root {
            return Err(ApiError::invalid("Invalid path"));
        }
        let meta = match fs::symlink_metadata(&target).await {
            Ok(meta) => meta,
            Err(error) if is_missing(&error) => return Ok(()),
            Err(error) => return Err(failed(artifact, &error)),
        };
        let done =
            if meta.is_dir() { fs::remove_dir_all(&target).await } else { fs::remove_file(&target).await };
        done.map_err(|error| failed(artifact, &error))
    }
}

/// Gives a finished file its name and brings both folders to disk.
async fn publish(from: &Path, to: &Path) -> io::Result<()> {
    let folder = to.parent().ok_or_else(|| io::Error::other("a file needs a folder"))?;
    fs::create_dir_all(folder).await?;
    fs::rename(from, to).await?;
    fs::File::open(folder).await?.sync_all().await
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn failed(artifact: &str, error: &io::Error) -> ApiError {
    match error.kind() {
        // A file where a folder should be, or the other way round.
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory | io::ErrorKind::AlreadyExists => {
            ApiError::invalid(format!("Invalid path: '{artifact}' is in the way of another artifact."))
        }
        _ => {
            tracing::error!(
                artifact,
                error = error as &dyn std::error::Error,
                "an artifact could not be handled"
            );
            ApiError::new(
                ErrorCode::InternalError,
                format!("'{artifact}' could not be stored or read: {error}"),
            )
        }
    }
}

/// A temporary file that goes away with its owner, unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Gone after a successful upload; otherwise also removed at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}
