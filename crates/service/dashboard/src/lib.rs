//! A page that shows what runs: environments, the current release, workflows, applications.
//!
//! It reads everything through a `kube::Client`, with one watch per kind shared by all readers, and changes nothing:
//! there are only GET requests. Pages are rendered on the server, complete without any script; one small script swaps
//! in a new rendering when the server sends one.
//!
//! Invariants: views are pure functions of a [`snapshot::Snapshot`] and the time; every text from outside is escaped
//! by the templates; the strictest content policy that works; lists, graphs and streams have limits.
//!
//! | module | holds |
//! |---|---|
//! | `config`, `service` | what is configured, what is put together and run |
//! | `watch`, `snapshot` | the watches, and what they know at one moment |
//! | `view` | pure: from objects to what a page shows |
//! | `graph` | pure: where the nodes of a workflow are drawn |
//! | `render` | templates |
//! | `routes`, `live`, `guard` | HTTP: pages, the stream of renderings, headers |

mod config;
mod graph;
mod guard;
mod live;
mod render;
mod routes;
mod service;
mod snapshot;
mod view;
mod watch;

pub use config::{Config, Link};
pub use service::{Deps, Error, Service, Versions};
