//! Identifiers: random ones, and the hash that Argo puts into node names.

/// The letters that Kubernetes uses in generated names: no vowels, nothing that looks like something else.
const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

/// A random UUID (version 4) as text.
pub fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A time-ordered UUID (version 7) as text.
pub fn uuid_v7() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// The random end of a generated name, as the Kubernetes API server makes it (`generateName`); at most 16 letters.
pub fn random_suffix(length: usize) -> String {
    uuid::Uuid::new_v4()
        .into_bytes()
        .iter()
        .take(length)
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}

/// 32-bit FNV-1a, which Argo uses for node ids and pod names.
pub fn fnv1a_32(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_fnv1a() {
        assert_eq!(fnv1a_32(""), 2_166_136_261);
        assert_eq!(fnv1a_32("a"), 0xe40c_292c);
        assert_eq!(fnv1a_32("foobar"), 0xbf9c_f968);
    }

    #[test]
    fn suffixes_have_the_asked_length() {
        assert_eq!(random_suffix(5).len(), 5);
        assert_ne!(random_suffix(10), random_suffix(10));
    }
}
