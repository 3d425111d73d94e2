//! The nouns of MLflow's REST interface.
