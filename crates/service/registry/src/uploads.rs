//! Uploads in progress: limited in number, forgotten when idle.
//!
//! An upload lives in memory and in one temporary file. A restart of the process forgets it; clients begin again, as
//! the specification lets them. Requests for one upload are taken one after another; a second one at the same time
//! is refused rather than queued.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use galley_oci::Upload;
use http::StatusCode;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::Instant;

use crate::answer::Refusal;

/// One upload.
pub(crate) struct Progress {
    /// The content so far; taken out when the upload ends.
    pub(crate) upload: Option<Upload>,
}

impl Progress {
    /// Bytes received.
    pub(crate) fn length(&self) -> u64 {
        self.upload.as_ref().map_or(0, Upload::length)
    }
}

struct Entry {
    repository: String,
    progress: Arc<Mutex<Progress>>,
    used: Instant,
}

/// All uploads in progress.
pub(crate) struct Uploads {
    entries: StdMutex<HashMap<String, Entry>>,
    limit: usize,
    idle: Duration,
}

impl Uploads {
    pub(crate) fn new(limit: usize, idle: Duration) -> Uploads {
        Uploads { entries: StdMutex::default(), limit, idle }
    }

    /// Begins an upload and gives its identity.
    pub(crate) fn begin(&self, repository: &str, upload: Upload) -> Result<String, Refusal> {
        let mut entries = self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now = Instant::now();
        // One that is being written to is not idle, however long ago its request began.
        entries.retain(|_, entry| {
            now.duration_since(entry.used) < self.idle || Arc::strong_count(&entry.progress) > 1
        });
        if entries.len() >= self.limit {
            let message = "Too many uploads are in progress; try again later.";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message));
        }
        let id = galley_units::uuid();
        let progress = Arc::new(Mutex::new(Progress { upload: Some(upload) }));
        entries.insert(id.clone(), Entry { repository: repository.to_owned(), progress, used: now });
        Ok(id)
    }

    /// Takes an upload for one request.
    pub(crate) fn lock(&self, repository: &str, id: &str) -> Result<OwnedMutexGuard<Progress>, Refusal> {
        let mut entries = self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let unknown = || Refusal::not_found("BLOB_UPLOAD_UNKNOWN", "There is no such upload.");
        let entry = entries.get_mut(id).filter(|entry| entry.repository == repository).ok_or_else(unknown)?;
        entry.used = Instant::now();
        let guard = Arc::clone(&entry.progress).try_lock_owned().map_err(|_| {
            let message = "Another request writes to this upload.";
            Refusal::new(StatusCode::CONFLICT, "BLOB_UPLOAD_INVALID", message)
        })?;
        if guard.upload.is_some() { Ok(guard) } else { Err(unknown()) }
    }

    /// Forgets an upload.
    pub(crate) fn end(&self, id: &str) {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).remove(id);
    }
}
