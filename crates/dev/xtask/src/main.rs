//! Tasks of the developers of this house.

fn main() {}
