//! The service against the real API server, with a kubelet that only pretends.

mod again;
mod cron;
mod house;
mod runs;
mod verbs;
