//! The same scenarios twice: against Galley's own API server in this process, and against a real cluster where
//! `GALLEY_TEST_KUBECONFIG` names one (the user needs all rights there).

mod connecting;
mod here;
mod nodes;
mod real;
mod scenarios;
mod support;
