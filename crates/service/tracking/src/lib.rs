//! An MLflow-compatible tracking server.
