//! Git repositories, near and far.
//!
//! With the `git` program where a person works, without it where there is none:
//!
//! | module | is | needs |
//! |---|---|---|
//! | `program` | one call of the `git` program: fixed surroundings, deadline, limits | git |
//! | [`bare`] | a bare repository on this disk: objects, references, packs in and out; blocking | nothing |
//! | `repo` | the same for async callers: resolve, read, log | nothing; git for mirrors and imports |
//! | `wiring`, `work_tree` | a person's work tree: its first commit, its remote | git |
//! | [`remote`] | a repository behind smart HTTP: tip, snapshot, commit and push | nothing |
//!
//! Invariants: a call of the program never asks a question, never reads the user's or the machine's configuration,
//! always ends, and keeps at most a stated amount of output. Secrets travel in headers or in the environment of
//! the child, never on a command line. Paths inside repositories are relative, with `/`, and never leave them.

pub mod bare;
mod error;
mod history;
mod program;
mod publish;
pub mod remote;
mod repo;
mod wiring;
mod work_tree;

pub use error::Error;
pub use history::CommitInfo;
pub use program::{check_git, command};
pub use publish::{commit_file, publish};
pub use repo::{Credentials, Limits, Repo};
pub use wiring::{tip_of_main, wire};
pub use work_tree::{Author, init_work_tree};
