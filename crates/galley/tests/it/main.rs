//! Tests of the whole binary and of the house it lives in.
#![allow(clippy::disallowed_macros, reason = "a skipped test says so")]

mod charts;
mod crash;
mod documents;
mod floors;
mod house;
mod line;
mod run;
mod schema;
