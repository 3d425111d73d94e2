//! Whether a program needs nothing but the kernel.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Error, Result};

const PT_INTERP: u32 = 3;
const EM_X86_64: u16 = 62;
const EM_AARCH64: u16 = 183;
/// More program headers than any real program has.
const MAX_HEADERS: u16 = 1024;

/// Checks that `path` is an ELF program for this architecture that asks for no dynamic loader.
pub fn check_static_elf(path: &Path) -> Result<()> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let wrong = |reason: &str| Error::NotStatic { path: path.to_owned(), reason: reason.to_owned() };
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).map_err(|_| wrong("is not an ELF program"))?;
    if header[..4] != *b"\x7fELF" || header[4] != 2 || header[5] != 1 {
        return Err(wrong("is not a 64-bit little-endian ELF program"));
    }
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let expected = if cfg!(target_arch = "aarch64") { EM_AARCH64 } else { EM_X86_64 };
    if half(18) != expected {
        return Err(wrong("is a program for another architecture"));
    }
    let mut offset = [0; 8];
    offset.copy_from_slice(&header[32..40]);
    let (offset, size, count) = (u64::from_le_bytes(offset), half(54), half(56));
    if size < 4 || count == 0 || count > MAX_HEADERS {
        return Err(wrong("is not a whole ELF program"));
    }
    for index in 0..count {
        let at = u64::from(index) * u64::from(size);
        let mut kind = [0; 4];
        let at = offset.checked_add(at).ok_or_else(|| wrong("is not a whole ELF program"))?;
        file.read_exact_at(&mut kind, at).map_err(|_| wrong("is not a whole ELF program"))?;
        if u32::from_le_bytes(kind) == PT_INTERP {
            return Err(wrong("needs a dynamic loader and a C library"));
        }
    }
    Ok(())
}
