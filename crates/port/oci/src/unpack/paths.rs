//! Paths inside a folder that is somebody else's root.

use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Symbolic links followed before a path counts as a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Where `path` leads when `root` is taken as `/`: every symbolic link on the way, the last part included, is followed
/// inside `root`, and `..` stops there. The last parts need not exist. Holds only while nobody else changes the tree.
pub fn resolve_in_root(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let mut left: Vec<OsString> = parts(path).rev().collect();
    let mut inside = PathBuf::new();
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == ".." {
            inside.pop();
            continue;
        }
        let next = root.join(&inside).join(&part);
        match std::fs::symlink_metadata(&next) {
            Ok(metadata) if metadata.is_symlink() => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::other("too many symbolic links"));
                }
                let target = std::fs::read_link(&next)?;
                if target.is_absolute() {
                    inside = PathBuf::new();
                }
                left.extend(parts(&target).rev());
            }
            Ok(_) => inside.push(part),
            Err(error) if error.kind() == io::ErrorKind::NotFound => inside.push(part),
            Err(error) => return Err(error),
        }
    }
    Ok(root.join(inside))
}

/// The names and `..` of a path; what makes it absolute is left out.
fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_only_inside() {
        let root = tempfile::tempdir().unwrap();
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, root.path().join(name)).unwrap();
        std::fs::create_dir_all(root.path().join("a/b")).unwrap();
        link("/etc", "absolute");
        link("../../../..", "up");
        link("loop", "loop");
        link("a/b", "inside");
        let at = |path: &str| {
            resolve_in_root(root.path(), Path::new(path))
                .map(|p| p.strip_prefix(root.path()).unwrap().to_owned())
        };
        assert_eq!(at("absolute/passwd").unwrap(), Path::new("etc/passwd"));
        assert_eq!(at("up/x").unwrap(), Path::new("x"));
        assert_eq!(at("inside/../y").unwrap(), Path::new("a/y"));
        assert_eq!(at("/../../z").unwrap(), Path::new("z"));
        assert!(at("loop/x").is_err());
    }
}
