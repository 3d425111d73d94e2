//! The model: photos to features, features to classes.
