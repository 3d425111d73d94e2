//! Small values that every room shares: durations, quantities, identifiers, the clock, and secrets.
//!
//! Nothing here reads the world on its own: time comes from a [`Clock`] that is passed in, so that engines and
//! tests decide what time it is. [`SystemClock`] is the one place that asks the machine.

mod clock;
mod duration;
mod id;
mod quantity;
mod secret;

pub use clock::{Clock, ManualClock, SystemClock, rfc3339};
pub use duration::{DurationError, format_duration, parse_duration};
pub use id::{fnv1a_32, random_suffix, uuid, uuid_v7};
pub use quantity::{QuantityError, parse_quantity};
pub use secret::Secret;
