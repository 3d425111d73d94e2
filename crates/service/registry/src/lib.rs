//! An OCI registry.
