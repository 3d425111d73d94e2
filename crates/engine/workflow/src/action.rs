//! What the engine asks for.

use jiff::Timestamp;
use serde_json::Value;

/// One thing to do. All are idempotent: doing one twice, or finding it done, is fine.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Make this pod.
    CreatePod {
        /// The node it belongs to.
        node_id: String,
        /// Its name, always the same for a node.
        name: String,
        /// The whole object.
        manifest: Value,
    },
    /// End and remove this pod.
    DeletePod {
        /// Its name.
        name: String,
    },
    /// Set the label `workflows.argoproj.io/completed` of this pod to `true`.
    CompletePod {
        /// Its name.
        name: String,
    },
    /// Do something to an object and report what came of it as a [`crate::ResourceSeen`].
    Resource(ResourceRequest),
    /// Send an HTTP request and report the answer as a [`crate::HttpSeen`]. One that was sent already is not sent
    /// again.
    Http(HttpRequest),
    /// Make this PersistentVolumeClaim.
    CreateClaim {
        /// The whole object.
        manifest: Value,
    },
    /// Remove this PersistentVolumeClaim.
    DeleteClaim {
        /// Its name.
        name: String,
    },
    /// Keep outputs in a cache (a ConfigMap), under a key.
    SaveCache {
        /// The ConfigMap's name.
        cache: String,
        /// The key.
        key: String,
        /// The entry, JSON as Argo writes it.
        entry: String,
    },
    /// Nothing will happen before this moment unless something is seen: step again then.
    WakeAt(Timestamp),
}

/// The value of a header, or the name and key of the Secret that has it.
pub type HeaderValue = Result<String, (String, String)>;

/// An HTTP request.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRequest {
    /// The node that asks.
    pub node_id: String,
    /// `GET`, `POST`...
    pub method: String,
    /// The address.
    pub url: String,
    /// The headers by name.
    pub headers: Vec<(String, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
    /// How long the answer may take.
    pub timeout: std::time::Duration,
    /// Whether any certificate is good enough.
    pub insecure: bool,
}

/// Something to do to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceRequest {
    /// The node that asks.
    pub node_id: String,
    /// What to do.
    pub verb: ResourceVerb,
    /// The object. Its name is final; objects without a namespace belong to the workflow's.
    pub manifest: Value,
    /// For [`ResourceVerb::Patch`]: `strategic`, `merge` or `json`.
    pub merge_strategy: String,
    /// For [`ResourceVerb::Patch`] of an object that the template's `flags` name: the patch; otherwise the manifest
    /// is the patch.
    pub patch: Option<Value>,
    /// Identifies the request: an object that carries it in the annotation `workflows.galley.dev/made-by` was made by
    /// an earlier try of the same request.
    pub made_by: String,
}

/// What to do to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceVerb {
    /// Read it.
    Get,
    /// Make it; finding it made by the same request is as good.
    Create,
    /// Make it or bring it to this form (server-side apply).
    Apply,
    /// Put it in place of the existing one.
    Replace,
    /// Patch it.
    Patch,
    /// Remove it; not finding it is as good.
    Delete,
    /// It was done: keep watching the object and report each change.
    Watch,
}
