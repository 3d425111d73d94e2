//! An OCI registry (distribution-spec 1.1) over the content store.
//!
//! Reading is open, because the sockets that `galley` binds are on loopback and in the pod network; writing needs a
//! token when [`Deps::authorize`] is given. Invariants:
//!
//! - a blob or manifest is answered only if the store holds all of it;
//! - a manifest is accepted only if its repository holds what it refers to;
//! - content is streamed: memory does not grow with the size of an image;
//! - uploads are limited in number, size and idle time.
//!
//! Map: `route` reads the path (names of repositories contain slashes, so no router does), `api` has a file for each
//! resource, `uploads` keeps the uploads in progress, `answer` the errors of the specification.

mod answer;
mod api;
mod auth;
mod config;
mod route;
mod service;
mod uploads;

pub use auth::Authorize;
pub use config::Config;
pub use service::{Deps, Error, Service};
