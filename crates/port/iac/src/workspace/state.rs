//! The state: what it holds, copies of it, and what a kill in the middle of writing does to it.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::{Backend, Progress, Workspace};
use crate::Error;

/// A resource that the state has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Its address.
    pub address: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name in the configuration.
    pub label: String,
    /// The key of `for_each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its id in the cloud.
    pub id: String,
    /// Its name in the cloud.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it is to be made anew.
    pub tainted: bool,
}

impl Workspace {
    /// What the state holds; data sources are left out.
    ///
    /// # Errors
    /// [`Error::Output`] if the state cannot be read.
    pub async fn resources(&self, progress: &dyn Progress) -> Result<Vec<Resource>, Error> {
        Ok(read(&self.state(progress).await?))
    }

    async fn state(&self, progress: &dyn Progress) -> Result<Value, Error> {
        if self.backend != Backend::Local {
            let args = ["state", "pull"].map(str::to_owned).into();
            return match self.document("state", args, progress).await {
                // There is none yet: nothing is printed.
                Err(Error::Output { .. }) => Ok(Value::Null),
                other => other,
            };
        }
        let path = self.state_file();
        let bytes = std::fs::read(&path).map_err(Error::file("reading", &path))?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes)
            .map_err(|e| Error::file("understanding", &path)(std::io::Error::other(e)))
    }

    /// Copies the state beside itself before it is changed.
    pub(super) async fn backup(&self, progress: &dyn Progress) -> Result<(), Error> {
        let state = self.state(progress).await?;
        if state.is_null() {
            return Ok(());
        }
        let serial = state["serial"].as_u64().unwrap_or_default();
        let name = format!("{}-{serial:06}.tfstate", self.options.stamp);
        let bytes = serde_json::to_vec(&state)
            .map_err(|e| Error::Output { command: "backup".into(), why: e.to_string() })?;
        super::private(&self.options.home.join("backups").join(name), &bytes)
    }

    /// Copies of the local state, newest first: file name and serial.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn backups(&self) -> Result<Vec<(String, u64)>, Error> {
        Ok(newest(&self.options.home.join("backups"))?
            .into_iter()
            .map(|path| {
                let name =
                    path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                let serial = name.rsplit('-').next().and_then(|text| text.parse().ok()).unwrap_or_default();
                (name, serial)
            })
            .collect())
    }

    /// Puts a copy in the place of the local state, as its newest version; what stood there becomes a copy.
    ///
    /// # Errors
    /// [`Error::File`] if there is no such copy.
    pub async fn restore(&self, name: &str, progress: &dyn Progress) -> Result<(), Error> {
        let path = self.options.home.join("backups").join(format!("{name}.tfstate"));
        if name.contains('/') {
            return Err(Error::file("finding", &path)(std::io::ErrorKind::NotFound.into()));
        }
        let bytes = std::fs::read(&path).map_err(Error::file("reading", &path))?;
        let unreadable = |e| Error::file("understanding", &path)(std::io::Error::other(e));
        let mut old: Value = serde_json::from_slice(&bytes).map_err(unreadable)?;
        let now = self.state(progress).await?;
        self.backup(progress).await?;
        let serial =
            now["serial"].as_u64().unwrap_or_default().max(old["serial"].as_u64().unwrap_or_default()) + 1;
        old["serial"] = serial.into();
        super::private(&self.state_file(), old.to_string().as_bytes())
    }
}

/// Reads a state of version 4.
fn read(state: &Value) -> Vec<Resource> {
    let mut found = Vec::new();
    for resource in state["resources"].as_array().into_iter().flatten().filter(|one| one["mode"] == "managed")
    {
        let text = |field: &str| resource[field].as_str().unwrap_or_default().to_owned();
        let module = resource["module"].as_str().map_or_else(String::new, |module| format!("{module}."));
        for instance in resource["instances"].as_array().into_iter().flatten() {
            if instance["deposed"].is_string() {
                continue;
            }
            let (key, suffix) = match &instance["index_key"] {
                Value::String(key) => (Some(key.clone()), format!("[\"{key}\"]")),
                Value::Number(number) => (Some(number.to_string()), format!("[{number}]")),
                _ => (None, String::new()),
            };
            found.push(Resource {
                address: format!("{module}{}.{}{suffix}", text("type"), text("name")),
                kind: text("type"),
                label: text("name"),
                key,
                id: instance["attributes"]["id"].as_str().unwrap_or_default().to_owned(),
                name: instance["attributes"]["name"].as_str().map(str::to_owned),
                tainted: instance["status"] == "tainted",
            });
        }
    }
    found.sort_by(|a, b| a.address.cmp(&b.address));
    found
}

/// Files of a folder, newest name first.
fn newest(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = std::fs::read_dir(folder).map_err(Error::file("reading", folder))?;
    let mut paths: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.reverse();
    Ok(paths)
}

/// Keeps the newest files of a folder. Names begin with the time.
pub(super) fn prune(folder: &Path, keep: usize) {
    for path in newest(folder).unwrap_or_default().into_iter().skip(keep) {
        let _ = std::fs::remove_file(path);
    }
}

/// Puts the newest good copy in the place of a state that was cut off in the middle; tells whether that was needed.
/// The tools write the state in place, so a kill at the wrong moment leaves half of it.
pub(super) fn mend(state: &Path, backups: &Path) -> Result<bool, Error> {
    let bytes = std::fs::read(state).map_err(Error::file("reading", state))?;
    let whole = |bytes: &[u8]| bytes.is_empty() || serde_json::from_slice::<Value>(bytes).is_ok();
    if whole(&bytes) && !bytes.is_empty() {
        return Ok(false);
    }
    for path in newest(backups)? {
        let copy = std::fs::read(&path).map_err(Error::file("reading", &path))?;
        if whole(&copy) {
            super::private(state, &copy)?;
            return Ok(true);
        }
    }
    if bytes.is_empty() {
        return Ok(false);
    }
    super::private(state, b"")?;
    Ok(true)
}

/// The process that has a file open, and its start.
pub(super) fn writer(path: &Path) -> Option<(u32, u64)> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let holds = |pid: &u32| {
        let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        open.flatten().any(|entry| std::fs::read_link(entry.path()).is_ok_and(|target| target == path))
    };
    let pid = pids.filter(|pid| *pid != std::process::id()).find(holds)?;
    Some((pid, crate::start_time(pid)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_by_address() {
        let state = serde_json::json!({"version": 4, "serial": 3, "resources": [
            {"mode": "data", "type": "d", "name": "x", "instances": [{}]},
            {"mode": "managed", "type": "server", "name": "node", "instances": [
                {"index_key": "node1", "attributes": {"id": "1", "name": "n1"}},
                {"index_key": "node1", "deposed": "00", "attributes": {"id": "0"}},
                {"index_key": "node2", "status": "tainted", "attributes": {"id": "2"}}]},
            {"module": "module.m", "mode": "managed", "type": "net", "name": "a", "instances": [{"index_key": 0, "attributes": {"id": "3"}}]},
        ]});
        let found: Vec<_> = read(&state).into_iter().map(|one| (one.address, one.tainted)).collect();
        let wanted = [
            ("module.m.net.a[0]", false),
            ("server.node[\"node1\"]", false),
            ("server.node[\"node2\"]", true),
        ];
        assert_eq!(found, wanted.map(|(address, tainted)| (address.to_owned(), tainted)));
    }

    #[test]
    fn half_a_state_is_replaced_by_the_newest_whole_copy() {
        let dir = tempfile::tempdir().expect("a folder");
        let (state, backups) = (dir.path().join("s"), dir.path().join("b"));
        std::fs::create_dir(&backups).expect("makes");
        std::fs::write(&state, "{\"serial\":3").expect("writes");
        std::fs::write(backups.join("1-000001.tfstate"), "{\"serial\":1}").expect("writes");
        std::fs::write(backups.join("2-000002.tfstate"), "{\"seri").expect("writes");
        assert!(mend(&state, &backups).expect("mends"));
        assert_eq!(std::fs::read_to_string(&state).expect("reads"), "{\"serial\":1}");
        assert!(!mend(&state, &backups).expect("looks"));
    }

    #[test]
    fn old_files_go() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["1", "2", "3"] {
            std::fs::write(dir.path().join(name), "").expect("writes");
        }
        prune(dir.path(), 2);
        assert!(!dir.path().join("1").exists() && dir.path().join("3").exists());
    }
}
