//! Git over smart HTTP, so that `git clone` and `git push` work against Galley. The `git` program is not needed here.
//!
//! | module | is |
//! |---|---|
//! | `config` | where the repositories are, and limits |
//! | `service` | the routes, who may push, and the news of pushes |
//! | `exchange` | one request, worked on by a thread that may block, and its response |
//! | `pkt` | git's framing of lines, and bands in it |
//! | `advertise` | what the server has and can: `info/refs`, `ls-refs` |
//! | `ask`, `fetch` | what a fetch asks for, and the answer: protocol versions 0, 1 and 2 |
//! | `receive` | a push: commands, pack, report |
//! | `body` | request bodies, unpacked, with a limit |
//! | `page` | the list of repositories as HTML |
//!
//! Invariants: only repositories directly below the configured folder are served, by name. Pushing needs the token;
//! reading does not, unless the configuration says so. References of one repository change one push at a time, and every
//! change of a reference is told once, after it has happened, whether or not the client was still there to hear
//! of it. A running request holds one of a bounded number of places and has a deadline.

mod advertise;
mod ask;
mod body;
mod config;
mod exchange;
mod fetch;
mod page;
mod pkt;
mod receive;
mod service;

pub use config::Config;
pub use service::{Deps, Error, Push, Service, Verify};
