//! Git repositories, near and far.
//!
//! Two ways to the same thing, for two places:
//!
//! | module | is | needs |
//! |---|---|---|
//! | `program` | one call of the `git` program: fixed surroundings, deadline, limits | git |
//! | `repo` | a bare repository on this disk: resolve, read, log, mirror | git |
//! | `work_tree` | the first commit of a new pipeline repository | git |
//! | [`remote`] | a repository behind smart HTTP: tip, snapshot, commit and push | nothing |
//!
//! Invariants: a call of the program never asks a question, never reads the user's or the machine's configuration,
//! always ends, and keeps at most a stated amount of output. Secrets travel in headers or in the environment of
//! the child, never on a command line. Paths inside repositories are relative, with `/`, and never leave them.

mod error;
mod history;
mod program;
pub mod remote;
mod repo;
mod wiring;
mod work_tree;

pub use error::Error;
pub use history::CommitInfo;
pub use program::{check_git, command};
pub use repo::{Credentials, Limits, Repo};
pub use wiring::{tip_of_main, wire};
pub use work_tree::{Author, init_work_tree};
