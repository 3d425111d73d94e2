//! Files and folders on the host: what names a pod inside, and cleaning up.

use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::network::Network;
use crate::spec::{Mount, PodSandboxSpec};

/// Writes `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname` of a pod; returns their mounts, hosts first.
pub(crate) fn write_pod_files(
    spec: &PodSandboxSpec,
    ip: Ipv4Addr,
    network: Network,
) -> Result<Vec<Mount>, Error> {
    let dir = spec.dir.join("etc");
    create_dir(&dir)?;
    let mut hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n{ip}\t{}", spec.hostname);
    for alias in &spec.aliases {
        let _ = write!(hosts, "\t{alias}");
    }
    hosts.push('\n');
    for (address, name) in &spec.hosts {
        let _ = writeln!(hosts, "{address}\t{name}");
    }
    let resolv =
        format!("nameserver {}\nsearch {}\noptions ndots:5\n", network.service(10), spec.search.join(" "));
    let files = [("hosts", hosts), ("resolv.conf", resolv), ("hostname", format!("{}\n", spec.hostname))];
    files
        .into_iter()
        .map(|(name, text)| {
            let source = dir.join(name);
            std::fs::write(&source, text).map_err(|error| file_error("write", &source, error))?;
            Ok(Mount { source, target: format!("/etc/{name}"), read_only: false })
        })
        .collect()
}

pub(crate) fn create_dir(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| file_error("make the folder", path, source))
}

pub(crate) fn file_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::File { action, path: path.to_owned(), source }
}

/// Deletes a folder, also folders in it that their owner may not enter. It need not exist.
pub(crate) async fn remove_tree(path: PathBuf) -> Result<(), Error> {
    let shown = path.clone();
    let removed = tokio::task::spawn_blocking(move || {
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open_folders(&path)?,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(()),
        }
        std::fs::remove_dir_all(&path)
    });
    let result = removed.await.map_err(io::Error::other).and_then(|result| result);
    result.map_err(|source| file_error("delete", &shown, source))
}

fn open_folders(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_folders(&entry.path())?;
        }
    }
    Ok(())
}
