//! Desired against live: comparison, plan, health and waves, as Argo CD has them.
//!
//! Pure: values in, values out. A service reads manifests and live objects, this room says what they mean.
//!
//! ```text
//! targets (rendered, prepared) ─┐
//!                               ├─ Comparison ── sync status, health, resources
//! live objects ─────────────────┘       └── Plan ── advance(results, live) ── what to do next
//! ```
//!
//! | module | is |
//! |---|---|
//! | `object` | keys, annotations, tracking, and [`prepare`] |
//! | `hook` | what makes an object a hook, its phases, wave and end |
//! | `order` | which kinds go before which |
//! | `compare` | [`Comparison`]: every object's state, and the Application's |
//! | `ignore` | fields whose differences do not count |
//! | `plan` | [`Plan`]: an ordered list of steps that can be printed |
//! | `progress` | [`advance`]: the next turn of an operation, from what was done so far and what is live |
//! | `windows` | when a project lets its Applications be synced |
//! | `health` | how well an object is, by its kind |
//!
//! Invariants: the same inputs give the same plan; a plan made after its own execution changes nothing; nothing is
//! pruned unless pruning was asked for; values of Secrets appear in no difference.

mod compare;
pub mod health;
mod hook;
mod ignore;
mod object;
mod order;
mod plan;
mod progress;
pub mod windows;

pub use compare::{Compared, Comparison, Refusal, Target, applied, images, merge_patch};
pub use galley_patch::Difference;
pub use hook::{DeletePolicy, Hook};
pub use ignore::{Ignore, IgnoreError};
pub use object::{Key, Tracking, annotation, prepare, tracking_of};
pub use plan::{Action, Options, Plan, Step};
pub use progress::{Turn, advance, created_message, dry_run, record};
