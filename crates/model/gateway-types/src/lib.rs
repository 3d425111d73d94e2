//! The nouns of the Gateway API.
