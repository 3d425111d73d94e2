//! Desired against live: what a sync would do, in which order, and how well everything is.
//!
//! Pure: manifests and live objects in, a printable [`Plan`] out. The executor of the plan is the gitops room; it asks
//! again after every wave, so a plan is never trusted longer than one step.
//!
//! | module | holds |
//! |---|---|
//! | `desired` | manifests with their namespace, tracking annotation, wave and hook |
//! | `plan` | comparison and order of action |
//! | `health` | health by kind, as Argo CD judges it |

mod desired;
mod health;
mod plan;

pub use desired::{Desired, Hook, Key, Owner, TRACKING, desired, tracking_id};
pub use health::{Health, HealthStatus, health, worst};
pub use plan::{Action, Item, Live, Plan, applied, plan};
