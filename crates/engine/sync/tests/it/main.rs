//! Whole syncs against a cluster of values, held to what the real Argo CD was seen to do.

mod cluster;
mod laws;
mod scenarios;
