//! The API server as its clients see it: kube-rs in process, HTTPS with tokens, kubectl if it is there.

mod collection;
mod control;
mod https;
mod kubectl;
mod objects;
mod patches;
mod support;
mod watches;
