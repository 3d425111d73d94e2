//! Tests of the whole binary, from outside.
