//! The expressions of workflows: `when` conditions and `{{...}}` tags.
