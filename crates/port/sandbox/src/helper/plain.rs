//! Containers that are plain processes: a folder instead of a root, a process group instead of namespaces.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use super::child::{self, Ends, Said};
use super::{identity, rootfs};
use crate::proto::{Failure, Step};
use crate::spec::{ContainerSpec, ExecSpec, Mount};

/// The folder that stands for the container's root.
pub(crate) fn root(spec: &ContainerSpec) -> PathBuf {
    spec.dir.join("root")
}

/// A path inside, as a path of the machine: below a mount's source or below the root.
pub(crate) fn outside(root: &Path, mounts: &[Mount], inside: &str) -> (PathBuf, PathBuf) {
    let inside = Path::new(inside);
    let best = mounts
        .iter()
        .filter_map(|mount| inside.strip_prefix(&mount.target).ok().map(|rest| (mount, rest)))
        .max_by_key(|(mount, _)| mount.target.len());
    match best {
        Some((mount, rest)) => (mount.source.clone(), rest.to_owned()),
        None => (root.to_owned(), inside.strip_prefix("/").unwrap_or(inside).to_owned()),
    }
}

/// Becomes the container's first process.
pub(crate) fn run(ends: &mut Ends, spec: &ContainerSpec) -> Result<Infallible, Failure> {
    ends.die_with_parent()?;
    let root = root(spec);
    rootfs::copy_layers(&spec.layers, &root, true)?;
    for folder in ["tmp", "root", "etc"] {
        fs::create_dir_all(root.join(folder)).step("make the container's folders")?;
    }
    for mount in &spec.mounts {
        link_mount(&root, mount).step(format!("link `{}`", mount.target))?;
    }
    ends.say(&Said::Ready, &[]);
    start(ends, &root, &spec.args, &spec.env, &spec.working_dir)
}

/// Becomes a further process of a container.
pub(crate) fn join(ends: &mut Ends, spec: &ExecSpec, root: &Path) -> Result<Infallible, Failure> {
    ends.die_with_parent()?;
    ends.say(&Said::Ready, &[]);
    start(ends, root, &spec.args, &spec.env, &spec.working_dir)
}

fn start(
    ends: &mut Ends,
    root: &Path,
    args: &[String],
    env: &[(String, String)],
    working_dir: &str,
) -> Result<Infallible, Failure> {
    let below = |inside: &str| root.join(inside.trim_start_matches('/'));
    let working_dir = below(working_dir);
    fs::create_dir_all(&working_dir).step("make the working directory")?;
    rustix::process::chdir(&working_dir).step("enter the working directory")?;
    rustix::process::setsid().step("start a session")?;
    identity::set_limits();
    let mut env = env.to_vec();
    env.push(("GALLEY_ROOT".to_owned(), root.display().to_string()));
    child::add_default(&mut env, "HOME", &below("/root").display().to_string());
    child::add_default(&mut env, "TMPDIR", &below("/tmp").display().to_string());
    child::add_default(&mut env, "PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    let mapped = args
        .first()
        .filter(|name| name.starts_with('/'))
        .map(|name| below(name))
        .filter(|file| file.symlink_metadata().is_ok());
    Err(child::exec(ends, args, &env, mapped))
}

fn link_mount(root: &Path, mount: &Mount) -> std::io::Result<()> {
    let inside: PathBuf =
        Path::new(&mount.target).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let target = root.join(inside);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    match target.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&target)?,
        Ok(_) => fs::remove_file(&target)?,
        Err(_) => {}
    }
    symlink(&mount.source, &target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_wins() {
        let mount = |source: &str, target: &str| Mount {
            source: source.into(),
            target: target.to_owned(),
            read_only: false,
        };
        let mounts = [mount("/v/data", "/data"), mount("/v/deep", "/data/deep")];
        let check = |inside: &str, folder: &str, rest: &str| {
            assert_eq!(outside(Path::new("/r"), &mounts, inside), (folder.into(), rest.into()), "{inside}");
        };
        check("/data/x", "/v/data", "x");
        check("/data/deep/x", "/v/deep", "x");
        check("/database/x", "/r", "database/x");
        check("/tmp/result.txt", "/r", "tmp/result.txt");
    }
}
