//! Every request: who may, then which resource. Names are checked here, once.

mod blobs;
mod lists;
mod manifests;
mod uploading;

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use galley_oci::{Digest, Repository};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::answer::{API_VERSION, Refusal};
use crate::auth::{CHALLENGE, is_authorized};
use crate::route::{Route, parse};
use crate::service::Service;

pub(crate) type Answer = Result<Response, Refusal>;

/// The parameters behind the `?`, first one of each name.
pub(crate) type Query = HashMap<String, String>;

/// Answers any request.
pub(crate) async fn dispatch(State(service): State<Service>, request: Request) -> Response {
    let is_head = request.method() == Method::HEAD;
    let mut response = route(&service, request).await.unwrap_or_else(IntoResponse::into_response);
    if is_head {
        // The headers say what a GET would answer.
        let (parts, _) = response.into_parts();
        response = Response::from_parts(parts, Body::empty());
    }
    response.headers_mut().insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn route(service: &Service, request: Request) -> Answer {
    let method = request.method().clone();
    authorize(service, &method, request.headers())?;
    let path = decode(&request.uri().path().replace('+', "%2B"));
    let query = read_query(request.uri().query().unwrap_or_default());
    let nothing = || Refusal::not_found("UNSUPPORTED", "There is nothing at this address.");
    match (parse(&path).ok_or_else(nothing)?, method.as_str()) {
        (Route::Base, "GET" | "HEAD") => Ok(base(service)),
        (Route::Catalog, "GET" | "HEAD") => lists::catalog(service, &query).await,
        (Route::Tags(name), "GET" | "HEAD") => lists::tags(service, own(name)?, &query).await,
        (Route::Referrers(name, digest), "GET" | "HEAD") => {
            lists::referrers(service, own(name)?, digest.parse()?, &query).await
        }
        (Route::Manifest(name, target), method) => {
            let repository = own(name)?;
            match method {
                "GET" | "HEAD" => manifests::get(service, repository, target).await,
                "PUT" => manifests::put(service, repository, target, request).await,
                "DELETE" => manifests::delete(service, repository, target).await,
                _ => Err(Refusal::unsupported()),
            }
        }
        (Route::Blob(name, digest), method) => {
            let (repository, digest): (Repository, Digest) = (own(name)?, digest.parse()?);
            match method {
                "GET" | "HEAD" => blobs::get(service, repository, digest, request.headers()).await,
                "DELETE" => blobs::delete(service, repository, digest).await,
                _ => Err(Refusal::unsupported()),
            }
        }
        (Route::Uploads(name), "POST") => uploading::begin(service, own(name)?, &query, request).await,
        (Route::Upload(name, id), method) => {
            let repository = own(name)?;
            match method {
                "GET" | "HEAD" => uploading::status(service, &repository, id),
                "PATCH" => uploading::append(service, &repository, id, request).await,
                "PUT" => uploading::finish(service, repository, id, &query, request).await,
                "DELETE" => uploading::cancel(service, &repository, id),
                _ => Err(Refusal::unsupported()),
            }
        }
        _ => Err(Refusal::unsupported()),
    }
}

fn authorize(service: &Service, method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(authorize) = &service.inner.authorize else { return Ok(()) };
    let reads = matches!(*method, Method::GET | Method::HEAD);
    if (reads && !service.inner.config.require_login) || is_authorized(authorize, headers) {
        return Ok(());
    }
    Err(Refusal::unauthorized())
}

/// Says that this is a registry. Some clients decide here whether they will ever send their password.
fn base(service: &Service) -> Response {
    let mut response = Response::new(Body::from("{}"));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if service.inner.authorize.is_some() {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    response
}

fn own(name: &str) -> Result<Repository, Refusal> {
    Ok(Repository::own(name)?)
}

/// Reads `a=b&c=d`; the first of several values counts.
fn read_query(text: &str) -> Query {
    let mut query = Query::new();
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        query.entry(decode(name)).or_insert_with(|| decode(value));
    }
    query
}

/// Every value of one parameter.
pub(crate) fn read_all(text: &str, name: &str) -> Vec<String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
        .collect()
}

/// Undoes percent encoding; what cannot be undone stays.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (bytes[at], digits.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', _) => {
                out.push(b' ');
                at += 1;
            }
            (byte, _) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Runs work on the store where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => {
            tracing::error!(%error, "work on the image store broke off");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "The registry failed."))
        }
    }
}

/// A header value from text that is known to be plain.
pub(crate) fn value(text: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(text.as_ref()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
