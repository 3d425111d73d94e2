//! The embedded database: the only room that knows SQL.
//!
//! One SQLite file in WAL mode. [`Database`] owns it: every change goes through one writer thread that gathers
//! waiting changes into one transaction (group commit), so a change that was answered is on disk. Readers have
//! connections of their own and never wait for the writer. Each kind of data has a module with its own
//! migrations; a module's tables are touched by no other.

mod db;
pub mod objects;
pub mod tracking;

pub use db::{Database, Error, Migration};
pub use rusqlite;
