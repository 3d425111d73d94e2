//! A Kubernetes-style API for any resource, over one embedded database.
//!
//! The server stores and serves objects with `apiVersion`, `kind`, `metadata`, `spec` and `status`: lists, watches,
//! optimistic concurrency, patches, finalizers, owner references, subresources, printed tables. It knows the rules
//! that hold for all kinds and the defaults of Kubernetes' own; what a kind is *for* it does not know. It is told
//! its kinds when it is opened ([`ResourceDef`]) and learns more from CustomResourceDefinitions.
//!
//! There are two doors: [`ApiServer::client`] in process, and [`ApiServer::serve_tls`] for everybody else, who needs
//! a token.
//!
//! Invariants:
//! - an answered write is on disk, and every watcher of its kind is told;
//! - `resourceVersion` is the revision of the whole database: unique, growing, comparable between kinds;
//! - an update that changes nothing writes nothing;
//! - the spec is never written through `status`, nor the status through the object.
//!
//! What a Kubernetes API server does and this one does not: admission webhooks, authorization (every known caller
//! may do everything), validation of custom objects against their schema, conversion between versions of a custom
//! kind beyond `apiVersion` itself, `exec`, `attach`, `portforward` and `proxy`, and answers in protobuf (bodies in it
//! are read).
//!
//! | module | is |
//! |---|---|
//! | `server` | state and doors |
//! | `kinds` | what is served, printed columns, custom kinds |
//! | `rest` | the verbs: get, list, watch, create, update, patch, delete, and subresources |
//! | `object` | the rules of an object: metadata, defaults, validation, what may not change |
//! | `control` | garbage collection, namespaces and custom kinds on their way out |
//! | `discovery`, `openapi` | what a client asks first |
//! | `protobuf` | bodies that Go's typed clients send |
//! | `identity`, `serving` | certificates, tokens, kubeconfig, HTTPS |

mod control;
mod discovery;
mod error;
mod identity;
mod kinds;
mod logs;
mod names;
mod object;
mod openapi;
mod protobuf;
mod rest;
mod selector;
mod server;
mod serving;
mod status;
mod table;

pub use error::Error;
pub use galley_store::objects::{MIGRATION, Retention};
pub use identity::{CertificateAuthority, ServerTls, TokenAuthority, User, kubeconfig};
pub use kinds::{Cell, Column, ResourceDef, ScalePaths, kubernetes_kinds};
pub use logs::{LogError, LogQuery, LogSource};
pub use server::{ApiServer, Config};

/// The Kubernetes version whose behaviour is followed.
pub const KUBERNETES_VERSION: &str = "v1.34.0";
