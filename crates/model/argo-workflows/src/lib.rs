//! The nouns of Argo Workflows.
