//! The verbs: from a request to stored objects and back.
//!
//! `request` reads what is asked, `read` and `watch` answer questions, `write` and `delete` change things, and
//! `subresources` and `reviews` are the doors beside the objects themselves.

mod delete;
mod read;
mod request;
pub(crate) mod reviews;
mod subresources;
mod watch;
mod write;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use galley_store::objects::{ObjectKey, Stored};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};

pub(crate) use delete::{Deletion, Propagation, delete_stored};
pub(crate) use write::modify_stored;

use crate::{ApiServer, User, kinds::ResourceDef, status::json_response, table};
use request::{Params, ResourcePath, Shape};

pub(crate) use crate::status::ApiError;

/// One request for a kind of resource.
pub(crate) struct Call {
    pub(crate) server: ApiServer,
    pub(crate) def: Arc<ResourceDef>,
    pub(crate) path: ResourcePath,
    pub(crate) params: Params,
    pub(crate) shape: Shape,
    pub(crate) headers: HeaderMap,
    pub(crate) user: User,
}

/// Answers every request that is no fixed page.
pub(crate) async fn handle(State(server): State<ApiServer>, request: Request) -> Response {
    match answer(server, request).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer(server: ApiServer, request: Request) -> Result<Response, ApiError> {
    server.founded().await?;
    let (parts, body) = request.into_parts();
    let user = parts.extensions.get::<User>().cloned().ok_or_else(ApiError::unauthorized)?;
    let path = ResourcePath::parse(parts.uri.path()).ok_or_else(ApiError::no_such_path)?;
    if matches!(path.group.as_str(), "authorization.k8s.io" | "authentication.k8s.io") {
        let bytes = request::read_body(body).await?;
        let media = request::media_type(&parts.headers);
        return reviews::answer(&server, &parts.method, &path, &user, (&media, &bytes));
    }
    let def = server.kinds().get(&path.group, &path.version, &path.plural).cloned();
    let def = def.ok_or_else(ApiError::no_such_path)?;
    if !def.namespaced && path.namespace.is_some() {
        return Err(ApiError::no_such_path());
    }
    let params = Params::parse(&parts.uri)?;
    let is_log = path.subresource.as_deref() == Some("log");
    let shape = if is_log { Shape::Object } else { Shape::of(&parts.headers)? };
    let call = Call { server, def, path, params, shape, headers: parts.headers, user };
    call.dispatch(&parts.method, body).await
}

impl Call {
    async fn dispatch(self, method: &Method, body: Body) -> Result<Response, ApiError> {
        let (name, subresource) = (self.path.name.clone(), self.path.subresource.clone());
        if self.def.namespaced && self.path.namespace.is_none() && name.is_some() {
            return Err(ApiError::no_such_path());
        }
        match (method.as_str(), name, subresource.as_deref()) {
            ("GET", None, _) if self.params.watch => watch::watch(self, None),
            ("GET", Some(name), None) if self.params.watch => watch::watch(self, Some(name)),
            ("GET", None, _) => read::list(self).await,
            ("GET", Some(name), None) => read::get(&self, &name),
            ("POST", None, _) => write::create(self, body).await,
            ("DELETE", None, _) => delete::delete_collection(self, body).await,
            ("PUT", Some(name), None) => write::replace(self, &name, body).await,
            ("PATCH", Some(name), None) => write::patch(self, &name, body).await,
            ("DELETE", Some(name), None) => delete::delete(self, &name, body).await,
            (_, Some(name), Some(subresource)) => {
                let subresource = subresource.to_owned();
                subresources::answer(self, method, &name, &subresource, body).await
            }
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    /// The key of an object of this kind in the namespace of the request.
    pub(crate) fn key(&self, name: &str) -> ObjectKey {
        ObjectKey {
            kind: self.def.key(),
            namespace: self.path.namespace.clone().unwrap_or_default(),
            name: name.to_owned(),
        }
    }

    /// A stored object, or 404.
    pub(crate) fn find(&self, name: &str) -> Result<Stored, ApiError> {
        self.server.objects().get(&self.key(name))?.ok_or_else(|| ApiError::not_found(&self.def, name))
    }

    /// Who writes, for managed fields: the given name, or the client program's.
    pub(crate) fn author(&self, subresource: &str) -> write::Author {
        let agent = || {
            let agent = self.headers.get(http::header::USER_AGENT).and_then(|value| value.to_str().ok());
            agent
                .and_then(|agent| agent.split('/').next())
                .filter(|name| !name.is_empty())
                .unwrap_or("unknown")
                .to_owned()
        };
        write::Author {
            manager: self.params.field_manager.clone().unwrap_or_else(agent),
            subresource: subresource.to_owned(),
        }
    }

    /// The answer that shows one object in the wanted form.
    pub(crate) fn show(
        &self,
        code: StatusCode,
        json: String,
        warnings: &[String],
    ) -> Result<Response, ApiError> {
        let body = match self.shape {
            Shape::Object if !self.is_converted() => json,
            _ => self.formed(&json)?.to_string(),
        };
        let mut response = json_response(code, body);
        for warning in warnings {
            let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
                response.headers_mut().append(http::header::WARNING, value);
            }
        }
        Ok(response)
    }

    /// Whether stored objects may be of another version than the one asked for.
    pub(crate) fn is_converted(&self) -> bool {
        let kinds = self.server.kinds();
        kinds.all().iter().filter(|def| def.is(&self.def.group, &self.def.plural)).count() > 1
    }

    /// A stored object in the wanted form.
    pub(crate) fn formed(&self, json: &str) -> Result<Value, ApiError> {
        let mut object = parse_stored(json)?;
        if self.is_converted() {
            object["apiVersion"] = self.def.api_version().into();
        }
        Ok(match self.shape {
            Shape::Object => object,
            Shape::Metadata => table::metadata_only(object),
            Shape::Table => {
                let include = self.params.include_object.as_deref();
                let version = object.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
                table::table(
                    &self.def,
                    [object],
                    include,
                    self.server.now(),
                    json!({"resourceVersion": version}),
                )
            }
        })
    }
}

/// Reads what the store holds.
pub(crate) fn parse_stored(json: &str) -> Result<Value, ApiError> {
    serde_json::from_str(json).map_err(|error| ApiError::internal("a stored object is damaged", &error))
}

/// The namespaces that are always there.
pub(crate) const ALWAYS: [&str; 3] = ["default", "kube-system", "kube-public"];

/// Makes the namespaces that are always there.
pub(crate) async fn found(server: &ApiServer) -> Result<(), ApiError> {
    if server.kinds().get("", "v1", "namespaces").is_none() {
        return Ok(());
    }
    for name in ALWAYS {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        write::create_if_absent(server, "namespaces", None, object).await?;
        write::furnish_namespace(server, name).await?;
    }
    Ok(())
}
