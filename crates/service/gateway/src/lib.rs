//! Splits traffic between environments.
