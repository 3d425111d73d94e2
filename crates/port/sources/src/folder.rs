//! Reading a folder within bounds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use galley_problem::{Kind, Problem};
use galley_render::Files;

/// How much of a folder is read at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one file.
    pub file: u64,
    /// Bytes of all files.
    pub all: u64,
    /// Files and folders.
    pub count: usize,
    /// Folders inside of each other.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { file: 5 << 20, all: 200 << 20, count: 50_000, depth: 64 }
    }
}

/// Names that are never part of what is rendered.
const SKIPPED: [&str; 1] = [".git"];

/// The files below a folder, by their path from there.
///
/// # Errors
/// `G0318` if reading fails, `G0317` beyond the limits or for links that lead out of the folder.
pub fn read_folder(root: &Path, limits: &Limits) -> Result<Files, Problem> {
    let bound = root.canonicalize().map_err(|error| failed(root, &error))?;
    let mut reader = Reader { bound, limits, files: Files::new(), bytes: 0, count: 0, open: BTreeSet::new() };
    reader.folder(root, "", 0)?;
    Ok(reader.files)
}

struct Reader<'a> {
    bound: PathBuf,
    limits: &'a Limits,
    files: Files,
    bytes: u64,
    count: usize,
    /// The folders on the way to this one; a link back to one of them is a circle.
    open: BTreeSet<PathBuf>,
}

impl Reader<'_> {
    fn folder(&mut self, path: &Path, prefix: &str, depth: usize) -> Result<(), Problem> {
        let real = path.canonicalize().map_err(|error| failed(path, &error))?;
        if depth > self.limits.depth || !self.open.insert(real.clone()) {
            return Err(refused(
                prefix,
                "The folders are nested too deeply, or a link leads back to its own folder.",
            ));
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(|error| failed(path, &error))? {
            let entry = entry.map_err(|error| failed(path, &error))?;
            names.push(entry.file_name());
        }
        names.sort();
        for name in names {
            let Some(text) = name.to_str() else { continue };
            if SKIPPED.contains(&text) {
                continue;
            }
            self.entry(&path.join(&name), &format!("{prefix}{text}"), depth)?;
        }
        self.open.remove(&real);
        Ok(())
    }

    fn entry(&mut self, path: &Path, name: &str, depth: usize) -> Result<(), Problem> {
        self.count += 1;
        if self.count > self.limits.count {
            return Err(refused(name, format!("The folder has more than {} files.", self.limits.count)));
        }
        let link = path.symlink_metadata().map_err(|error| failed(path, &error))?.file_type().is_symlink();
        if link {
            let Ok(real) = path.canonicalize() else {
                return Err(refused(name, "The link leads nowhere."));
            };
            if !real.starts_with(&self.bound) {
                return Err(refused(name, "The link leads out of the folder."));
            }
        }
        let metadata = path.metadata().map_err(|error| failed(path, &error))?;
        if metadata.is_dir() {
            return self.folder(path, &format!("{name}/"), depth + 1);
        }
        if !metadata.is_file() {
            return Ok(());
        }
        if metadata.len() > self.limits.file {
            // Whatever is that large is no part of a chart; but it may be one that is ignored.
            self.files.insert(name.to_owned(), Vec::new());
            return Err(refused(name, format!("The file is larger than {} MiB.", self.limits.file >> 20)));
        }
        let bytes = std::fs::read(path).map_err(|error| failed(path, &error))?;
        self.bytes += bytes.len() as u64;
        if self.bytes > self.limits.all {
            return Err(refused(name, format!("The folder is larger than {} MiB.", self.limits.all >> 20)));
        }
        self.files.insert(name.to_owned(), bytes);
        Ok(())
    }
}

pub(crate) fn failed(path: &Path, error: &std::io::Error) -> Problem {
    let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Io };
    Problem::new("G0318", kind, format!("`{}` cannot be read.", path.display())).because(error)
}

fn refused(name: &str, what: impl Into<String>) -> Problem {
    Problem::new("G0317", Kind::Invalid, what).at(name.trim_end_matches('/'), 0, 0)
}
