//! Names for runs and models that come without one.

const FIRST: [&str; 32] = [
    "amber", "brisk", "calm", "crisp", "dapper", "eager", "fresh", "gentle", "golden", "hearty", "honest",
    "jolly", "keen", "lively", "mellow", "merry", "mild", "nimble", "plain", "proud", "quick", "quiet",
    "rare", "ripe", "salty", "sharp", "smoky", "spicy", "sturdy", "sunny", "tender", "zesty",
];
const SECOND: [&str; 32] = [
    "almond", "apple", "basil", "bean", "bread", "carrot", "cherry", "chive", "clove", "cocoa", "cumin",
    "curry", "fennel", "fig", "ginger", "grape", "honey", "leek", "lemon", "lentil", "mango", "mint",
    "noodle", "olive", "onion", "peach", "pepper", "plum", "rice", "sesame", "thyme", "walnut",
];

/// A fresh id: 32 hexadecimal letters.
pub(crate) fn id() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

/// A random name of two words and a number, such as `mellow-basil-417`.
pub(crate) fn random() -> String {
    let bytes = uuid::Uuid::new_v4().into_bytes();
    let number = u16::from_be_bytes([bytes[0], bytes[1]]) % 1000;
    let word = |list: &[&'static str; 32], byte: u8| list[usize::from(byte) % list.len()];
    format!("{}-{}-{number}", word(&FIRST, bytes[2]), word(&SECOND, bytes[3]))
}
