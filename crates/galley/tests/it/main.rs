//! Tests of the whole binary and of the house it lives in.

mod documents;
mod floors;
