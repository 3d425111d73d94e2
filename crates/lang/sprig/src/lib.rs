//! The sprig and Helm function library as pure functions.
