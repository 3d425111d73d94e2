//! Texts that hold bytes which are no UTF-8.
//!
//! Go's strings may hold any bytes; ours are text. A byte that belongs to no letter stands as a letter of a private
//! plane, so that it comes out again where bytes are wanted: in base64 and in digests.

use std::borrow::Cow;

/// The letter that stands for the byte 0.
const FIRST: u32 = 0x10_FE00;

/// Bytes as text; nothing is lost.
pub fn text_of(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().filter_map(|byte| char::from_u32(FIRST + u32::from(*byte))));
    }
    out
}

/// The bytes of a text.
pub fn bytes_of(text: &str) -> Cow<'_, [u8]> {
    let hidden = |letter: char| (FIRST..FIRST + 256).contains(&u32::from(letter));
    if !text.contains(hidden) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut out = Vec::with_capacity(text.len());
    for letter in text.chars() {
        if hidden(letter) {
            out.push((u32::from(letter) - FIRST) as u8);
        } else {
            out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost() {
        let all: Vec<u8> = (0..=255).chain("häh".bytes()).collect();
        assert_eq!(&*bytes_of(&text_of(&all)), all.as_slice());
        assert_eq!(text_of("häh".as_bytes()), "häh");
    }
}
