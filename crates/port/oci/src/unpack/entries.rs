//! One layer's entries, written below a folder.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::{Archive, Entry, EntryType};

use super::UnpackLimits;
use super::paths::resolve_in_root;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Longest path in an archive; the kernel's limit.
const MAX_PATH: usize = 4096;

/// What becomes of deletions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whiteouts {
    /// Marks that overlayfs understands.
    Overlay,
    /// The lower layers are in the same folder: delete there.
    Delete,
}

/// Writes one archive below a folder. Errors are reasons, as text: the caller names the layer.
pub(super) struct Unpacker<'a> {
    root: &'a Path,
    whiteouts: Whiteouts,
    entries_left: u64,
    /// Modes and times of folders, set last: a folder may forbid writing, and writing changes its time.
    folders: Vec<(PathBuf, u32, Option<u64>)>,
    bytes_left: u64,
    /// Paths of this layer, which its own opaque marks must not delete. Kept only for [`Whiteouts::Delete`].
    own: std::collections::HashSet<PathBuf>,
    is_root: bool,
}

type Outcome = Result<(), String>;

impl<'a> Unpacker<'a> {
    pub(super) fn new(root: &'a Path, whiteouts: Whiteouts, limits: UnpackLimits) -> Self {
        let is_root = rustix::process::geteuid().is_root();
        let own = std::collections::HashSet::new();
        Unpacker {
            root,
            whiteouts,
            entries_left: limits.entries,
            folders: Vec::new(),
            bytes_left: limits.bytes,
            own,
            is_root,
        }
    }

    pub(super) fn run(mut self, archive: impl Read) -> Outcome {
        let mut archive = Archive::new(archive);
        for entry in archive.entries().map_err(|error| error.to_string())? {
            let mut entry = entry.map_err(|error| error.to_string())?;
            self.entries_left = self.entries_left.checked_sub(1).ok_or("it has too many entries")?;
            let name = entry.path_bytes().into_owned();
            self.entry(&mut entry, &name).map_err(|reason| {
                format!("entry `{}`: {reason}", String::from_utf8_lossy(&name[..name.len().min(256)]))
            })?;
        }
        for (path, mode, changed) in self.folders.iter().rev() {
            // A later entry may have put a link where a folder on the way was.
            let inside = path.strip_prefix(self.root).unwrap_or(Path::new(""));
            if resolve_in_root(self.root, inside)
                .is_ok_and(|real| real == *path || inside.as_os_str().is_empty())
            {
                finish(path, *mode, *changed).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, entry: &mut Entry<'_, impl Read>, name: &[u8]) -> Outcome {
        if name.len() > MAX_PATH || name.contains(&0) {
            return Err("its name is not valid".to_owned());
        }
        let path = Path::new(OsStr::from_bytes(name));
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            return Err("its name has `..`".to_owned());
        }
        let Some(file_name) = path.file_name() else {
            // The root itself, written `./`: only its mode matters.
            let mode = entry.header().mode().map_err(|error| error.to_string())?;
            // Its time stays: it tells how long the layer has been here.
            self.folders.push((self.root.to_owned(), mode, None));
            return Ok(());
        };
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        let bytes = file_name.as_bytes();
        if bytes == OPAQUE {
            return self.opaque(&parent);
        }
        if let Some(hidden) = bytes.strip_prefix(WHITEOUT) {
            return self.whiteout(&parent, hidden);
        }
        let at = parent.join(file_name);
        if self.whiteouts == Whiteouts::Delete {
            self.own.insert(at.clone());
        }
        self.place(entry, &at)
    }

    /// The real folder of an entry, made if it is not there.
    fn parent(&mut self, path: &Path) -> Result<PathBuf, String> {
        let parent = resolve_in_root(self.root, path).map_err(|error| error.to_string())?;
        if !parent.is_dir() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(&parent)
                .map_err(|error| format!("its folder cannot be made: {error}"))?;
        }
        Ok(parent)
    }

    fn place(&mut self, entry: &mut Entry<'_, impl Read>, at: &Path) -> Outcome {
        let header = entry.header();
        let kind = header.entry_type();
        let mode = header.mode().map_err(|error| error.to_string())?;
        let changed = header.mtime().unwrap_or(0);
        if kind == EntryType::Directory {
            self.folder(at, mode, changed)?;
        } else {
            clear(at).map_err(|error| error.to_string())?;
            match kind {
                EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                    let written = write_file(entry, at, mode, changed, self.bytes_left)
                        .map_err(|error| error.to_string())?;
                    // A sparse file is larger than its part of the archive.
                    self.bytes_left = self.bytes_left.checked_sub(written).ok_or("it is too large")?;
                }
                EntryType::Symlink => {
                    let target = entry.link_name_bytes().ok_or("the link has no target")?;
                    std::os::unix::fs::symlink(OsStr::from_bytes(&target), at).map_err(|e| e.to_string())?;
                }
                EntryType::Link => return self.hard_link(entry, at),
                // Containers get their devices from the runtime, pipes and sockets from who uses them.
                _ => return Ok(()),
            }
        }
        self.own_as(entry, at)
    }

    fn folder(&mut self, at: &Path, mode: u32, changed: u64) -> Outcome {
        match fs::symlink_metadata(at) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                clear(at).and_then(|()| fs::create_dir(at)).map_err(|error| error.to_string())?;
            }
            Err(_) => fs::create_dir(at).map_err(|error| error.to_string())?,
        }
        self.folders.push((at.to_owned(), mode, Some(changed)));
        Ok(())
    }

    fn hard_link(&mut self, entry: &Entry<'_, impl Read>, at: &Path) -> Outcome {
        let target = entry.link_name_bytes().ok_or("the link has no target")?;
        let target = Path::new(OsStr::from_bytes(&target));
        let name = target.file_name().ok_or("the link's target is not a file")?;
        let parent = resolve_in_root(self.root, target.parent().unwrap_or(Path::new("")))
            .map_err(|error| error.to_string())?;
        let target = parent.join(name);
        match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_file() || metadata.is_symlink() => {
                fs::hard_link(&target, at).map_err(|error| error.to_string())
            }
            _ => Err("the link's target is not a file of this layer".to_owned()),
        }
    }

    /// Only root may give files away.
    fn own_as(&self, entry: &Entry<'_, impl Read>, at: &Path) -> Outcome {
        if !self.is_root {
            return Ok(());
        }
        let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
        let (user, group) = (id(entry.header().uid()), id(entry.header().gid()));
        match std::os::unix::fs::lchown(at, user, group) {
            Ok(()) => {}
            // In a user namespace only some ids exist; the file then stays the caller's.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(error.to_string()),
        }
        // Giving a file away clears its setuid bits.
        let mode = entry.header().mode().unwrap_or(0);
        if mode & 0o6000 != 0 && entry.header().entry_type() == EntryType::Regular {
            fs::set_permissions(at, Permissions::from_mode(mode & 0o7777))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn whiteout(&mut self, parent: &Path, hidden: &[u8]) -> Outcome {
        if hidden.is_empty() || hidden == b"." || hidden == b".." || hidden.starts_with(WHITEOUT) {
            return Err("the deletion names nothing".to_owned());
        }
        let at = parent.join(OsStr::from_bytes(hidden));
        clear(&at).map_err(|error| error.to_string())?;
        if self.whiteouts == Whiteouts::Delete {
            return Ok(());
        }
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        mknodat(CWD, &at, FileType::CharacterDevice, Mode::empty(), makedev(0, 0))
            .map_err(|error| format!("the deletion cannot be marked on this system: {error}"))
    }

    fn opaque(&mut self, parent: &Path) -> Outcome {
        if self.whiteouts == Whiteouts::Delete {
            return self.clear_lower(parent).map_err(|error| error.to_string());
        }
        use rustix::fs::{XattrFlags, setxattr};
        let mut marked = setxattr(parent, "user.overlay.opaque", b"y", XattrFlags::empty()).is_ok();
        if self.is_root {
            marked |= setxattr(parent, "trusted.overlay.opaque", b"y", XattrFlags::empty()).is_ok();
        }
        if marked { Ok(()) } else { Err("the file system cannot mark an opaque folder".to_owned()) }
    }

    /// Removes what lower layers put into a folder and leaves what this layer did.
    fn clear_lower(&self, folder: &Path) -> io::Result<()> {
        for child in fs::read_dir(folder)? {
            let path = child?.path();
            if !self.own.contains(&path) {
                clear(&path)?;
            } else if fs::symlink_metadata(&path)?.is_dir() {
                self.clear_lower(&path)?;
            }
        }
        Ok(())
    }
}

/// Removes whatever is at a path, without following links.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a file of at most `limit` bytes (one more tells that there are too many) and gives its size.
fn write_file(
    entry: &mut Entry<'_, impl Read>,
    at: &Path,
    mode: u32,
    changed: u64,
    limit: u64,
) -> io::Result<u64> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(at)?;
    let written = io::copy(&mut entry.take(limit.saturating_add(1)), &mut file)?;
    file.set_permissions(Permissions::from_mode(mode & 0o7777))?;
    set_time(&file, changed)?;
    Ok(written)
}

/// Gives a folder its mode and time. Without root, a folder its owner cannot open could never be removed.
fn finish(path: &Path, mode: u32, changed: Option<u64>) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return Ok(());
    }
    let keep = if rustix::process::geteuid().is_root() { 0 } else { 0o700 };
    fs::set_permissions(path, Permissions::from_mode((mode & 0o7777) | keep))?;
    match changed {
        Some(changed) => set_time(&File::open(path)?, changed),
        None => Ok(()),
    }
}

fn set_time(file: &File, changed: u64) -> io::Result<()> {
    // Times beyond what a file system knows are no reason to refuse a layer.
    let Some(time) = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(changed.min(1 << 33))) else {
        return Ok(());
    };
    file.set_modified(time)
}
