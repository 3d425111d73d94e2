//! The hands for infrastructure as code: `tofu` or `terraform`, `ansible-playbook`, and the questions that are asked of
//! an OpenStack cloud before and after them.
//!
//! The tools do the work; this room starts them, reads their streams of JSON and says what happened in types. Invariants:
//!
//! - a tool writes to files and not to a pipe, in a process group of its own: when Galley is killed, it goes on to its
//!   end, writes its state, and the next run follows it instead of starting beside it;
//! - an interrupt is passed on once for each time it is asked for, and never twice for one;
//! - what is read from a tool is bounded: lines, texts that are kept, the size of a whole stream, and time;
//! - before anything is created it is written down ([`Journal`]), so that what a killed run left unfinished is known.
//!
//! | module | holds |
//! |---|---|
//! | `process` | a program in a group of its own, its streams in files, followed with a deadline |
//! | `tool` | which of tofu and terraform, and its version |
//! | `stream` | the lines of `-json`, typed |
//! | `diagnostic` | what a tool complains of: place, the cloud's own message, a remedy |
//! | `plan` | the plan, typed, without what is sensitive |
//! | `journal` | what a run begins; what a killed one left in doubt |
//! | `workspace` | one configuration with its state: init, plan, apply, output |
//! | `openstack` | clouds.yaml, sign-in, lists, limits, and the removal of what nobody knows |
//! | `ansible` | a playbook's events, typed, and what stands where, host by role |

pub mod ansible;
mod diagnostic;
mod error;
mod journal;
pub mod openstack;
mod plan;
mod process;
mod stream;
mod tool;
mod workspace;

pub use diagnostic::{Diagnostic, Severity};
pub use error::Error;
pub use journal::{Doubt, Journal, Planned};
pub use plan::{Action, Change, Field, Plan};
pub use process::{Ended, Interrupts, Limits, Program, Running, alive, follow, start_time};
pub use stream::{Event, Summary};
pub use tool::{Kind, Tool};
pub use workspace::{Backend, Mode, Options, Outcome, Progress, Resource, Workspace, private};
