//! Runs pods, and everything that makes pods.
