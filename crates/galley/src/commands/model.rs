//! What a person does with a model at hand: time it, look into it, judge it on photos, fetch it.

pub mod bench;
pub mod evaluate;
pub mod export;
pub mod inspect;
