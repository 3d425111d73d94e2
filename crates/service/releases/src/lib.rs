//! Follows each candidate from training to production.
