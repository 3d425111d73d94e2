//! Writing a layer so that the same entries always give the same bytes.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression as Level, GzBuilder};
use tar::{EntryType, Header};

use super::{BuiltLayer, Compression};
use crate::media::{Descriptor, media_type};
use crate::store::Upload;
use crate::{Error, Hasher, Result, Store};

/// Where an entry's bytes come from.
pub(super) enum Content<'a> {
    Folder,
    Bytes(&'a [u8]),
    /// A file and its size, which must not change meanwhile.
    File(&'a Path, u64),
}

/// One path of a layer.
pub(super) struct Entry<'a> {
    /// Relative, without a slash at either end.
    path: String,
    mode: u32,
    content: Content<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn file(path: &str, mode: u32, content: Content<'a>) -> Result<Entry<'a>> {
        Ok(Entry { path: relative(path)?, mode, content })
    }

    pub(super) fn folder(path: &str, mode: u32) -> Result<Entry<'a>> {
        Ok(Entry { path: relative(path)?, mode, content: Content::Folder })
    }
}

/// An absolute path without its first slash, if it is plain.
fn relative(path: &str) -> Result<String> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.starts_with(".wh.");
    match path.strip_prefix('/') {
        Some(rest) if rest.len() < 4096 && !rest.contains('\0') && rest.split('/').all(plain) => {
            Ok(rest.to_owned())
        }
        _ => Err(Error::invalid("absolute path in an image", path)),
    }
}

/// Writes a layer into the store: entries by path, folders on the way added with mode 0755.
pub(super) fn write_layer(
    store: &Store,
    mut entries: Vec<Entry<'_>>,
    compression: Compression,
) -> Result<BuiltLayer> {
    let named: BTreeSet<String> = entries.iter().map(|entry| entry.path.clone()).collect();
    let mut missing = BTreeSet::new();
    for path in &named {
        let mut rest = path.as_str();
        while let Some((parent, _)) = rest.rsplit_once('/') {
            if !named.contains(parent) {
                missing.insert(parent.to_owned());
            }
            rest = parent;
        }
    }
    entries.extend(missing.into_iter().map(|path| Entry { path, mode: 0o755, content: Content::Folder }));
    entries.sort_by(|a, b| a.path.cmp(&b.path));

    let upload = Sink { upload: store.begin_upload()? };
    let broken = Error::io("write a layer in", store.root());
    match compression {
        Compression::None => {
            let mut buffered = io::BufWriter::with_capacity(1 << 20, upload);
            write_tar(&mut buffered, &entries).map_err(broken)?;
            let upload = buffered
                .into_inner()
                .map_err(|error| Error::io("write a layer in", store.root())(error.into_error()))?
                .upload;
            let size = upload.length();
            let digest = upload.finish(None)?;
            Ok(BuiltLayer { descriptor: Descriptor::new(media_type::LAYER, digest, size), diff_id: digest })
        }
        Compression::Gzip(level) => {
            // The header says nothing about when and where it was made.
            let gzip = GzBuilder::new()
                .mtime(0)
                .operating_system(255)
                .write(upload, Level::new(u32::from(level.clamp(1, 9))));
            let mut tap = HashTap { inner: gzip, hasher: Hasher::default() };
            write_tar(&mut tap, &entries).map_err(broken)?;
            let HashTap { inner, hasher } = tap;
            let upload = inner.finish().map_err(Error::io("write a layer in", store.root()))?.upload;
            let size = upload.length();
            let digest = upload.finish(None)?;
            Ok(BuiltLayer {
                descriptor: Descriptor::new(media_type::LAYER_GZIP, digest, size),
                diff_id: hasher.finish(),
            })
        }
    }
}

fn write_tar(to: &mut impl Write, entries: &[Entry<'_>]) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        match entry.content {
            Content::Folder => {
                header.set_entry_type(EntryType::Directory);
                header.set_size(0);
                archive.append_data(&mut header, format!("{}/", entry.path), io::empty())?;
            }
            Content::Bytes(bytes) => {
                header.set_size(bytes.len() as u64);
                archive.append_data(&mut header, &entry.path, bytes)?;
            }
            Content::File(path, size) => {
                header.set_size(size);
                let file =
                    io::BufReader::with_capacity(1 << 20, Exact { file: File::open(path)?, left: size });
                archive.append_data(&mut header, &entry.path, file)?;
            }
        }
    }
    archive.finish()
}

/// Reads exactly the promised number of bytes: an archive whose sizes do not fit is broken.
struct Exact {
    file: File,
    left: u64,
}

impl io::Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read(&mut buffer[..room])?;
        if read == 0 && room > 0 {
            return Err(io::Error::other("the file became shorter while it was read"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

/// An upload as a writer.
struct Sink {
    upload: Upload,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.upload.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes what passes, for the diff id.
struct HashTap<W> {
    inner: W,
    hasher: Hasher,
}

impl<W: Write> Write for HashTap<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
