//! The REST API of Argo Server, over a `kube::Client`: what the `argo` command (`ARGO_HTTP1=true`) and SDKs speak.
//!
//! Objects are read, made, watched and deleted through the API server; what changes a running workflow (retry, stop,
//! set...) is asked of [`Actions`], which the workflows room stands behind. Shapes, codes and paths are Argo's: an error
//! is `{"code": N, "message": "..."}` with the number of gRPC, a stream is a line of `{"result": ...}` each, as
//! server-sent events where the caller asks for those.
//!
//! Every request needs a token. The archive is what has ended and still exists: nothing is archived elsewhere.
//!
//! | module | is |
//! |---|---|
//! | `service` | routes and the door |
//! | `workflows` | workflows: make, lint, look, verbs |
//! | `templates` | WorkflowTemplates, ClusterWorkflowTemplates, CronWorkflows |
//! | `submit` | a workflow from a template and options |
//! | `archive` | ended workflows by uid |
//! | `stream`, `logs` | watches and logs |
//! | `events` | WorkflowEventBindings |
//! | `fields` | the `fields` parameter |
//! | `check`, `body` | validation, bodies of requests |
//! | `error`, `objects` | refusals, access to objects |

mod archive;
mod body;
mod check;
mod error;
mod events;
mod fields;
mod logs;
mod objects;
mod service;
mod stream;
mod submit;
mod templates;
mod workflows;

pub use service::{Actions, Config, Deps, Retry, Service, Set};
