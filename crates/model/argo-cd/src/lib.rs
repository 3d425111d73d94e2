//! The nouns of Argo CD.
