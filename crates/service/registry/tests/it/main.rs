//! The registry over HTTP, and our client against it.

mod images;
mod protocol;
mod tokens;

use std::sync::Arc;

use galley_oci::{Client, ClientConfig, Options, Store};
use galley_registry::{Authorize, Config, Deps, Service};

/// A registry on a port of its own.
pub(crate) struct Registry {
    pub(crate) host: String,
    pub(crate) store: Store,
    pub(crate) http: reqwest::Client,
    _folder: tempfile::TempDir,
}

impl Registry {
    pub(crate) async fn start(config: Config, token: Option<&'static str>) -> Registry {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let options = Options { own_hosts: vec![host.clone()], ..Options::default() };
        let store = Store::open(folder.path(), options).unwrap();
        let authorize = token.map(|token| Arc::new(move |given: &str| given == token) as Authorize);
        let service = Service::new(config, Deps { store: store.clone(), authorize }).unwrap();
        tokio::spawn(async move { axum::serve(listener, service.router()).await });
        Registry { host, store, http: reqwest::Client::new(), _folder: folder }
    }

    pub(crate) async fn open() -> Registry {
        Registry::start(Config::default(), None).await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.host)
    }
}

/// A client that gives up at once.
pub(crate) fn client(config: ClientConfig) -> Client {
    Client::new(ClientConfig { attempts: 2, ..config }).unwrap()
}
