//! Copies a file or folder out of a container.
//!
//! The descriptor was opened inside the container's root by the helper; everything below it is reached from it, name by
//! name and without following links, so that nothing a container leaves behind can lead the copy elsewhere. Links are
//! copied as links; sockets, pipes and devices are not content and are left out.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, readlinkat, statat};

/// The deepest folder that is copied.
const MAX_DEPTH: usize = 256;

/// Copies what the descriptor names to a path that does not exist yet.
pub(crate) fn copy_out(from: OwnedFd, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    copy(from, to, 0)
}

fn copy(from: OwnedFd, to: &Path, depth: usize) -> io::Result<()> {
    let stat = fstat(&from)?;
    let mode = fs::Permissions::from_mode(stat.st_mode & 0o7777);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            io::copy(&mut File::from(from), &mut File::create(to)?)?;
            fs::set_permissions(to, mode)
        }
        FileType::Directory if depth < MAX_DEPTH => {
            fs::create_dir(to)?;
            copy_entries(from.as_fd(), to, depth)?;
            // The copier reads it again, whatever the container's user may.
            fs::set_permissions(to, fs::Permissions::from_mode(mode.mode() | 0o700))
        }
        FileType::Directory => Err(io::Error::other("the folders are nested too deeply")),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a file nor a folder")),
    }
}

fn copy_entries(folder: BorrowedFd<'_>, to: &Path, depth: usize) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let target = to.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
        let kind = FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
        match kind {
            FileType::Symlink => {
                let text = readlinkat(folder, name, Vec::new())?;
                symlink(std::ffi::OsStr::from_bytes(text.to_bytes()), &target)?;
            }
            FileType::RegularFile | FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                copy(openat(folder, name, flags, Mode::empty())?, &target, depth + 1)?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_copied_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("deep/to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/file"), "text").unwrap();
        fs::set_permissions(from.join("a/b/file"), fs::Permissions::from_mode(0o751)).unwrap();
        symlink("/etc/passwd", from.join("a/link")).unwrap();
        copy_out(File::open(&from).unwrap().into(), &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/file")).unwrap(), "text");
        assert_eq!(fs::metadata(to.join("a/b/file")).unwrap().permissions().mode() & 0o777, 0o751);
        assert_eq!(fs::read_link(to.join("a/link")).unwrap(), Path::new("/etc/passwd"));
        let one = dir.path().join("one");
        copy_out(File::open(from.join("a/b/file")).unwrap().into(), &one).unwrap();
        assert_eq!(fs::read_to_string(one).unwrap(), "text");
    }
}
