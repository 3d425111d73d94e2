//! A page that shows what runs.
