//! Keeps the cluster as git says.
