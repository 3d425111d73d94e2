//! The engine beside a general runtime, on every kind of processor this one can pretend to be.

#[path = "../../support/net.rs"]
mod net;

mod hostile;
mod parity;
