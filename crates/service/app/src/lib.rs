//! GourmetGram, the web application: a photo in, its class out.
//!
//! - `config`: [`Config`]. `server`: [`serve`], the socket's life from loading the model to draining.
//! - `state`: the model once it is loaded, and the two limits: requests admitted, and photos worked on at a time.
//! - `upload`: a photo out of a form or a plain body, in bounded memory. `routes`: one handler for each page.
//! - `answer`: the same answer as HTML for browsers, JSON for programs, text for shells. `page`: the HTML.
//! - `metrics`: what Prometheus reads.
//!
//! - `predict`: photos in, answers out. `open_inference`: the same for clients of the Open Inference Protocol.
//! - `feedback`, `review`: photos that are kept where that is wanted, and what people say of the answers.
//!
//! Invariants: a photo is kept only where a folder for it is named, and goes when its owner says so; no more processor work runs at a time than there are cores; no request waits
//! beyond its deadline; the server says it is ready only when the model has loaded.

mod answer;
mod config;
mod feedback;
mod metrics;
mod open_inference;
mod page;
mod predict;
mod review;
mod routes;
mod server;
mod state;
mod upload;

pub use config::Config;
pub use feedback::{Feedback, FeedbackError, Record};
pub use server::{Error, app, app_with, serve};
