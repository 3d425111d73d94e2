//! Statistics and verdicts of gates.
