//! The one folder of all state: where things lie, who holds it, and what a running control plane says of itself.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use galley_problem::{Kind, Problem};
use serde::{Deserialize, Serialize};

use crate::cli::Global;

/// Name of the file that makes a folder a pipeline repository.
pub const MODEL_FILE: &str = "galley.yaml";

/// A state folder.
#[derive(Clone, Debug)]
pub struct State {
    root: PathBuf,
}

/// What a running control plane writes down for the other commands (`galley.json`, readable by its owner only).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Process id.
    pub pid: u32,
    /// The pipeline repository's work tree.
    pub pipeline: PathBuf,
    /// Name to address.
    pub endpoints: BTreeMap<String, String>,
    /// How pods are kept apart.
    pub isolation: String,
    /// What a person should know about this machine.
    pub notices: Vec<String>,
}

impl State {
    /// The folder that `--state` names, or the one beside the pipeline repository.
    pub fn of(global: &Global, pipeline: &Path) -> State {
        State { root: global.state.clone().unwrap_or_else(|| pipeline.join(".galley")) }
    }

    /// The state that a command other than `up` means: `--state`, or the pipeline repository here or in `./gourmetgram`.
    pub fn find(global: &Global) -> State {
        State::of(global, &find_pipeline(Path::new(".")).unwrap_or_else(|| PathBuf::from("gourmetgram")))
    }

    /// A file or folder inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folder, for its owner only, and checks that it can be written.
    ///
    /// # Errors
    /// G0103 with the remedy.
    pub fn create(&self) -> Result<(), Problem> {
        let failed = |error: &std::io::Error| {
            Problem::new("G0103", Kind::Io, format!("Cannot keep state in {}.", self.root.display()))
                .because(error)
                .try_this("Give a folder that you may write, with `--state DIR`.")
        };
        fs::create_dir_all(&self.root).map_err(|e| failed(&e))?;
        owner_only(&self.root).map_err(|e| failed(&e))?;
        let probe = self.path(".probe");
        fs::write(&probe, b"x").and_then(|()| fs::remove_file(&probe)).map_err(|e| failed(&e))
    }

    /// Takes the folder for this process.
    ///
    /// # Errors
    /// G0104 if another process has it, with that one's address.
    pub fn lock(&self) -> Result<Lock, Problem> {
        let path = self.path("lock");
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = opened.map_err(|e| crate::io(&path, "opening", &e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.held(&mut file)),
            Err(TryLockError::Error(error)) => return Err(crate::io(&path, "locking", &error)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|e| crate::io(&path, "writing", &e))?;
        Ok(Lock { _file: file, running: self.path("galley.json") })
    }

    fn held(&self, file: &mut File) -> Problem {
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let address = self.read().ok().and_then(|running| running.endpoints.get("dashboard").cloned());
        let at = address.map_or_else(String::new, |address| format!(" at {address}"));
        Problem::new(
            "G0104",
            Kind::Conflict,
            format!("Galley runs on {} already{at} (process {}).", self.root.display(), pid.trim()),
        )
        .try_this("Use that one, stop it with `galley down`, or give another folder with `--state DIR`.")
    }

    /// Writes what runs, whole or not at all.
    ///
    /// # Errors
    /// G0105 if the file cannot be written.
    pub fn write(&self, running: &Running) -> Result<(), Problem> {
        let path = self.path("galley.json");
        let text =
            serde_json::to_vec_pretty(running).map_err(|e| crate::internal("writing galley.json", &e))?;
        write_private(&path, &text).map_err(|e| crate::io(&path, "writing", &e))
    }

    /// What runs now.
    ///
    /// # Errors
    /// G0106 if nothing does.
    pub fn read(&self) -> Result<Running, Problem> {
        let none = || {
            Problem::new("G0106", Kind::Unavailable, format!("Nothing runs on {}.", self.root.display()))
                .try_this("Start it with `galley up`, or name another folder with `--state DIR`.")
        };
        let text = fs::read(self.path("galley.json")).map_err(|_| none())?;
        let running: Running = serde_json::from_slice(&text).map_err(|_| none())?;
        Ok(running)
    }

    /// What runs now, if it is truly running: its process holds the lock.
    ///
    /// # Errors
    /// As [`State::read`].
    pub fn running(&self) -> Result<Running, Problem> {
        let running = self.read()?;
        let held = File::open(self.path("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)));
        if held {
            return Ok(running);
        }
        Err(Problem::new(
            "G0106",
            Kind::Unavailable,
            format!("Nothing runs on {} (it ended without saying so).", self.root.display()),
        )
        .try_this("Start it again with `galley up`; it goes on where it stopped."))
    }

    /// The kubeconfig of the control plane here.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }
}

/// Holds a state folder for one process; the kernel lets go of it however the process ends.
pub struct Lock {
    _file: File,
    running: PathBuf,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.running);
    }
}

/// The pipeline repository at `here`, or in `here/gourmetgram`.
pub fn find_pipeline(here: &Path) -> Option<PathBuf> {
    [here.to_owned(), here.join("gourmetgram")].into_iter().find(|dir| dir.join(MODEL_FILE).is_file())
}

/// Writes a file that only its owner may read, by a rename, so that it is never half there.
///
/// # Errors
/// What the file system says.
pub fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(unix)]
fn owner_only(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn owner_only(_path: &Path) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(dir: &Path) -> State {
        State::of(
            &Global {
                state: Some(dir.to_owned()),
                kubeconfig: None,
                context: None,
                verbose: 0,
                quiet: false,
            },
            Path::new("."),
        )
    }

    #[test]
    fn a_second_process_is_refused_with_the_address_of_the_first() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let state = state(dir.path());
        state.create().expect("creates");
        let lock = state.lock().expect("locks");
        let endpoints = [("dashboard".to_owned(), "http://127.0.0.1:8870".to_owned())].into();
        state.write(&Running { pid: 1, endpoints, ..Running::default() }).expect("writes");
        assert!(state.running().is_ok());
        let refused = state.lock().err().expect("is refused");
        assert!(refused.what.contains("http://127.0.0.1:8870"), "{refused}");
        drop(lock);
        assert!(state.running().is_err());
        assert!(state.lock().is_ok());
    }
}
