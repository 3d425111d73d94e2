//! Git over HTTP on loopback.
