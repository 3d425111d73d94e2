//! Speaks to an MLflow tracking server.
