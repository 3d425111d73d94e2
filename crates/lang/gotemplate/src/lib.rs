//! Go's text/template language.
