//! Charts and snippets against recordings of real Helm, and everything Helm has no say in.

mod snippets;
mod support;
