//! The server: its state, and the doors into it.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use axum::{Router, extract::Request, routing::get};
use galley_store::{
    Database,
    objects::{KindKey, Objects, Query, Retention},
};
use galley_units::Clock;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{
    Error, LogSource, ServerTls, TokenAuthority, User, control, discovery,
    kinds::{Kinds, ResourceDef, from_crd, kubernetes_kinds},
    openapi, rest, serving,
};

/// What an API server is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// The kinds that are served from the start; see [`kubernetes_kinds`].
    pub kinds: Vec<ResourceDef>,
    /// The certificate that pods need to trust the server, put into the ConfigMap `kube-root-ca.crt` of each
    /// namespace.
    pub ca_certificate: Option<String>,
    /// How much of the past watchers can ask for.
    pub retention: Retention,
}

impl Default for Config {
    fn default() -> Self {
        Config { kinds: kubernetes_kinds(), ca_certificate: None, retention: Retention::default() }
    }
}

/// At most so many watches at a time.
const WATCHES: usize = 4096;

/// A Kubernetes-style API server over a database; clones share it.
#[derive(Clone)]
pub struct ApiServer(Arc<Inner>);

struct Inner {
    config: Config,
    static_kinds: Vec<Arc<ResourceDef>>,
    kinds: RwLock<Arc<Kinds>>,
    objects: Objects,
    clock: Arc<dyn Clock>,
    logs: RwLock<Option<Arc<dyn LogSource>>>,
    tokens: OnceLock<TokenAuthority>,
    watches: Arc<Semaphore>,
    founded: OnceCell<()>,
}

impl ApiServer {
    /// A server over a database that was opened with [`galley_store::objects::MIGRATION`].
    ///
    /// # Errors
    /// [`Error::Objects`] if the stored CustomResourceDefinitions cannot be read.
    pub fn open(config: Config, database: Database, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let server = ApiServer(Arc::new(Inner {
            static_kinds: config.kinds.iter().cloned().map(Arc::new).collect(),
            kinds: RwLock::default(),
            objects: Objects::new(database, config.retention),
            clock,
            logs: RwLock::default(),
            tokens: OnceLock::new(),
            watches: Arc::new(Semaphore::new(WATCHES)),
            founded: OnceCell::new(),
            config,
        }));
        server.reload_kinds().map_err(Error::Objects)?;
        Ok(server)
    }

    /// A client wired straight into the server: no socket, no TLS, and every right.
    ///
    /// Must be called inside a Tokio runtime.
    pub fn client(&self, default_namespace: &str) -> kube::Client {
        let service = self.router().map_request(|mut request: Request<kube::client::Body>| {
            request.extensions_mut().insert(User::in_process());
            request.map(axum::body::Body::new)
        });
        kube::Client::new(service, default_namespace)
    }

    /// Sets where the logs of pods come from; without it `pods/log` answers 501.
    pub fn set_log_source(&self, logs: Arc<dyn LogSource>) {
        *self.0.logs.write().unwrap_or_else(PoisonError::into_inner) = Some(logs);
    }

    /// Runs what acts on its own until cancelled: garbage collection by owner references, the deletion of
    /// namespaces with their contents, and of custom kinds with their objects.
    pub async fn run(self, shutdown: CancellationToken) {
        control::run(self, shutdown).await;
    }

    /// Serves HTTPS on a bound socket until cancelled; callers need a bearer token of `tokens`.
    ///
    /// # Errors
    /// [`Error::Accept`] if the socket fails for good.
    pub async fn serve_tls(
        self,
        listener: tokio::net::TcpListener,
        tls: ServerTls,
        tokens: TokenAuthority,
        shutdown: CancellationToken,
    ) -> Result<(), Error> {
        // A second authority would sign tokens that the first door refuses; the first one stays.
        let _ = self.0.tokens.set(tokens.clone());
        serving::serve(self.router(), listener, tls, tokens, shutdown).await
    }

    /// All routes. Requests carry a [`User`] extension once they are let in.
    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(discovery::healthy))
            .route("/livez", get(discovery::healthy))
            .route("/readyz", get(discovery::healthy))
            .route("/version", get(discovery::version))
            .route("/api", get(discovery::core_versions))
            .route("/apis", get(discovery::groups))
            .route("/apis/{group}", get(discovery::group))
            .route("/api/{version}", get(discovery::core_resources))
            .route("/apis/{group}/{version}", get(discovery::resources))
            .route("/openapi/v2", get(openapi::v2))
            .route("/openapi/v3", get(openapi::v3_index))
            .route("/openapi/v3/{*path}", get(openapi::v3))
            .fallback(rest::handle)
            .with_state(self.clone())
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.0.objects
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(crate) fn kinds(&self) -> Arc<Kinds> {
        self.0.kinds.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn logs(&self) -> Option<Arc<dyn LogSource>> {
        self.0.logs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn tokens(&self) -> Option<&TokenAuthority> {
        self.0.tokens.get()
    }

    pub(crate) fn watches(&self) -> &Arc<Semaphore> {
        &self.0.watches
    }

    /// Makes the namespaces that are always there, before the first request is answered.
    pub(crate) async fn founded(&self) -> Result<(), rest::ApiError> {
        self.0.founded.get_or_try_init(|| rest::found(self)).await.copied()
    }

    /// Reads the CustomResourceDefinitions again and serves what they define.
    pub(crate) fn reload_kinds(&self) -> Result<(), galley_store::objects::ObjectError> {
        // The lock is held over the read, so that two reloads cannot leave the older answer behind.
        let mut kinds = self.0.kinds.write().unwrap_or_else(PoisonError::into_inner);
        let crds =
            KindKey { group: "apiextensions.k8s.io".into(), plural: "customresourcedefinitions".into() };
        let page = self.0.objects.list(&crds, &Query::default(), |_| true)?;
        let dynamic = page.items.iter().filter_map(|item| serde_json::from_str::<Value>(&item.json).ok());
        let dynamic: Vec<_> = dynamic.flat_map(|crd| from_crd(&crd)).collect();
        *kinds = Arc::new(Kinds::new(self.0.static_kinds.iter().cloned().chain(dynamic)));
        Ok(())
    }
}
