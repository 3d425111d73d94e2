//! Charts and snippets against recordings of real Helm, and everything Helm has no say in.

mod charts;
mod laws;
mod mistakes;
mod rendering;
mod snippets;
mod support;
