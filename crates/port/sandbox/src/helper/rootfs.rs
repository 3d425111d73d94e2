//! The root filesystem of a container: overlayfs over the image's layers, or a private copy of them.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, mount_bind, mount_change,
    mount_move, open_tree, unmount,
};

use crate::proto::{Failure, Step};

/// Files up to this size are copied even where a second name for the same file would do.
const ALWAYS_COPIED: u64 = 64 << 10;

/// Mounts the root filesystem; returns where, and a notice if it had to be a copy against expectation.
pub(crate) fn mount_root(
    dir: &Path,
    layers: &[PathBuf],
    overlay: bool,
) -> Result<(PathBuf, Option<String>), Failure> {
    let merged = dir.join("root");
    fs::create_dir_all(&merged).step("make the root folder")?;
    let mut notice = None;
    if overlay && !layers.is_empty() {
        match mount_overlay(layers, &dir.join("upper"), &dir.join("work"), &merged) {
            Ok(()) => return Ok((merged, None)),
            Err(error) => {
                notice = Some(format!(
                    "The image could not be mounted ({error}), so the container got a copy of it."
                ));
            }
        }
    }
    copy_layers(layers, &merged, false)?;
    mount_bind(&merged, &merged).step("mount the root filesystem")?;
    Ok((merged, notice))
}

/// Tries overlayfs in a folder.
pub(crate) fn try_overlay(scratch: &Path) -> io::Result<()> {
    let dir = scratch.join("overlay-trial");
    let (lower, merged) = (dir.join("lower"), dir.join("root"));
    fs::create_dir_all(&lower)?;
    fs::create_dir_all(&merged)?;
    fs::write(lower.join("file"), "x")?;
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount_overlay(&[lower], &dir.join("upper"), &dir.join("work"), &merged)?;
    fs::write(merged.join("file"), "y")?;
    unmount(&merged, UnmountFlags::DETACH)?;
    fs::remove_dir_all(&dir)
}

fn mount_overlay(layers: &[PathBuf], upper: &Path, work: &Path, merged: &Path) -> io::Result<()> {
    fs::create_dir_all(upper)?;
    fs::set_permissions(upper, fs::Permissions::from_mode(0o755))?;
    fs::create_dir_all(work)?;
    // Descriptors instead of paths: the options of a mount must fit into one page, and paths may hold any letter.
    let mut kept = Vec::new();
    let mut short = |path: &Path| -> io::Result<String> {
        let fd = open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        kept.push(fd);
        Ok(name)
    };
    let lower = layers.iter().rev().map(|layer| short(layer)).collect::<io::Result<Vec<_>>>()?.join(":");
    let options = format!("lowerdir={lower},upperdir={},workdir={}", short(upper)?, short(work)?);
    // In a user namespace only `user.*` attributes can say what the upper layer hides; root reads `trusted.*`.
    for options in [options.clone(), format!("{options},userxattr")] {
        let options = CString::new(options)?;
        match mount("overlay", merged, "overlay", MountFlags::empty(), Some(options.as_c_str())) {
            Ok(()) => return Ok(()),
            Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::PERM.into())
}

/// Copies layers, lowest first, into one folder, honouring whiteouts. With `share`, large files become second names
/// for the layer's own, which is cheap but lets a container that writes to them change the image.
pub(crate) fn copy_layers(layers: &[PathBuf], to: &Path, share: bool) -> Result<(), Failure> {
    for layer in layers {
        copy_tree(layer, to, share).step("copy an image layer")?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path, share: bool) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = source.symlink_metadata()?;
        let kind = meta.file_type();
        if kind.is_dir() {
            if is_opaque(&source) || !target.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                remove(&target)?;
            }
            copy_tree(&source, &target, share)?;
            fs::set_permissions(&target, meta.permissions())?;
            continue;
        }
        remove(&target)?;
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_file() {
            let shared = share && meta.len() > ALWAYS_COPIED && fs::hard_link(&source, &target).is_ok();
            if !shared {
                fs::copy(&source, &target)?;
            }
        } else if !(kind.is_char_device() && meta.rdev() == 0) && kind.is_fifo() {
            rustix::fs::mknodat(CWD, &target, rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o644), 0)?;
        }
        // A character device 0/0 is a whiteout: the name is gone. Other devices are not for containers.
        if kind.is_file() || kind.is_symlink() {
            let (uid, gid) = (meta.uid(), meta.gid());
            let _ = std::os::unix::fs::lchown(&target, Some(uid), Some(gid));
        }
    }
    Ok(())
}

fn is_opaque(path: &Path) -> bool {
    ["trusted.overlay.opaque", "user.overlay.opaque"].iter().any(|name| {
        let mut value = [0u8; 4];
        rustix::fs::lgetxattr(path, *name, &mut value).is_ok_and(|length| value[..length] == *b"y")
    })
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a folder with a mount on it the root of the process's mount namespace; nothing else stays reachable.
pub(crate) fn change_root(root: &Path) -> Result<(), Failure> {
    rustix::process::chdir(root).step("enter the root filesystem")?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            unmount(".", UnmountFlags::DETACH).step("let go of the machine's filesystem")?;
        }
        // The first filesystem of a machine without a disk cannot be pivoted away; it can be covered.
        Err(Errno::INVAL) => {
            mount_move(".", "/").step("move the root filesystem")?;
            rustix::process::chroot(".").step("change the root")?;
        }
        Err(error) => return Err(Failure::new("change the root", error)),
    }
    rustix::process::chdir("/").step("enter the root filesystem")
}

/// A `/proc` of the current pid namespace, not yet mounted anywhere.
pub(crate) fn fresh_proc() -> io::Result<OwnedFd> {
    detached(
        "proc",
        &[],
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    )
}

/// A new filesystem, not yet mounted anywhere.
pub(crate) fn detached(kind: &str, options: &[(&str, &str)], flags: MountAttrFlags) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags)?)
}

/// A second view of a file or folder, not yet mounted anywhere.
pub(crate) fn view(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    match open_tree(CWD, path, flags | OpenTreeFlags::AT_RECURSIVE) {
        Ok(fd) => Ok(fd),
        Err(Errno::INVAL) => Ok(open_tree(CWD, path, flags)?),
        Err(error) => Err(error.into()),
    }
}

/// Makes the place for a mount: a folder, or an empty file.
pub(crate) fn make_target(target: &Path, folder: bool) -> io::Result<()> {
    if folder {
        return fs::create_dir_all(target);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    if target.exists() {
        return Ok(());
    }
    if target.symlink_metadata().is_ok() {
        // A link that leads nowhere, such as an image's /etc/resolv.conf: the mount needs something to lie on.
        fs::remove_file(target)?;
    }
    File::create(target).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_copied_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two, out) = (dir.path().join("1"), dir.path().join("2"), dir.path().join("out"));
        fs::create_dir_all(one.join("a")).unwrap();
        fs::write(one.join("a/kept"), "1").unwrap();
        fs::write(one.join("a/changed"), "1").unwrap();
        symlink("kept", one.join("a/link")).unwrap();
        fs::create_dir_all(two.join("a")).unwrap();
        fs::write(two.join("a/changed"), "2").unwrap();
        fs::write(two.join("a/link"), "now a file").unwrap();
        copy_layers(&[one.clone(), two], &out, false).unwrap();
        assert_eq!(fs::read_to_string(out.join("a/kept")).unwrap(), "1");
        assert_eq!(fs::read_to_string(out.join("a/changed")).unwrap(), "2");
        assert_eq!(fs::read_to_string(out.join("a/link")).unwrap(), "now a file");
        fs::write(out.join("a/kept"), "changed").unwrap();
        assert_eq!(fs::read_to_string(one.join("a/kept")).unwrap(), "1");
    }
}
