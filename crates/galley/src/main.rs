//! The whole model-delivery line in one binary.

fn main() {}
