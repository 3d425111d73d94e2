//! Git repositories, near and far.
