//! Runs workflows: the run loop around the workflow engine.
