//! Files that only their owner may read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::Path,
};

use crate::Error;

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    |source| Error::File { path: path.to_owned(), source }
}

/// Reads a file; `None` if it is not there. Takes away the rights that others have to it.
pub(super) fn read(path: &Path) -> Result<Option<String>, Error> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let metadata = fs::metadata(path).map_err(failed(path))?;
    if metadata.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed(path))?;
    }
    Ok(Some(text))
}

/// Writes a file as a whole, in a folder that only its owner may enter.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed(dir))?;
    }
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed(&draft))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed(&draft))?;
    fs::rename(&draft, path).map_err(failed(path))
}
