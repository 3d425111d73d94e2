//! Packed charts (`name-1.2.3.tgz`), unpacked within bounds.

use std::io::Read;

use galley_problem::{Kind, Problem};

use crate::{Files, Result};

/// Largest file, as Helm has it.
const MAX_FILE: u64 = 5 << 20;
/// Largest chart, unpacked, as Helm has it.
const MAX_ALL: u64 = 100 << 20;
/// Most files.
const MAX_COUNT: usize = 10_000;

/// The files of a packed chart, relative to the chart's own folder.
///
/// # Errors
/// `G0311` if it is no such archive or too large.
pub fn unpack(place: &str, bytes: &[u8]) -> Result<Files> {
    let wrong = |what: String| Problem::new("G0311", Kind::Invalid, what).at(place, 0, 0);
    let broken = |error: std::io::Error| wrong("The packed chart cannot be read.".to_owned()).because(&error);
    let limited = flate2::read::GzDecoder::new(bytes).take(MAX_ALL + 1);
    let mut archive = tar::Archive::new(limited);
    let mut files = Files::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path().map_err(broken)?.to_string_lossy().replace('\\', "/");
        let Some((_, path)) = path.split_once('/') else {
            return Err(wrong("The packed chart has files outside of its folder.".to_owned()));
        };
        if path.split('/').any(|part| part == "..") || path.starts_with('/') {
            return Err(wrong(format!("The packed chart has a file with the path `{path}`.")));
        }
        if entry.size() > MAX_FILE || files.len() >= MAX_COUNT {
            return Err(wrong(format!("The packed chart is too large at `{path}`.")));
        }
        let path = path.to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(broken)?;
        files.insert(path, content);
    }
    if files.is_empty() {
        return Err(wrong("The packed chart holds no files.".to_owned()));
    }
    Ok(files)
}
