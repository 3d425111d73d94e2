//! Lists: repositories, tags, and manifests about a manifest.

use axum::body::Body;
use axum::response::Response;
use galley_oci::{Digest, Index, Repository, media_type};
use http::{HeaderValue, header};

use super::{Answer, Query, blocking, value};
use crate::answer::{FILTERS, Refusal};
use crate::service::Service;

pub(super) async fn catalog(service: &Service, query: &Query) -> Answer {
    let store = service.inner.store.clone();
    let names = blocking(move || Ok(store.repositories()?)).await?;
    let page = Page::cut(names, query, service.inner.config.max_page)?;
    let body = serde_json::json!({"repositories": page.names});
    Ok(page.answer(&body, "/v2/_catalog"))
}

pub(super) async fn tags(service: &Service, repository: Repository, query: &Query) -> Answer {
    let store = service.inner.store.clone();
    let name = repository.name().to_owned();
    let tags = blocking(move || {
        if !store.repository_exists(&repository) {
            return Err(Refusal::not_found("NAME_UNKNOWN", "There is no such repository."));
        }
        Ok(store.tags(&repository)?)
    })
    .await?;
    let page = Page::cut(tags, query, service.inner.config.max_page)?;
    let body = serde_json::json!({"name": name, "tags": page.names});
    Ok(page.answer(&body, &format!("/v2/{name}/tags/list")))
}

pub(super) async fn referrers(
    service: &Service,
    repository: Repository,
    digest: Digest,
    query: &Query,
) -> Answer {
    let store = service.inner.store.clone();
    let mut manifests = blocking(move || Ok(store.referrers(&repository, &digest)?)).await?;
    let filter = query.get("artifactType").filter(|wanted| !wanted.is_empty());
    if let Some(wanted) = filter {
        manifests.retain(|manifest| manifest.artifact_type.as_ref() == Some(wanted));
    }
    let index = Index {
        schema_version: 2,
        media_type: Some(media_type::INDEX.to_owned()),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: Default::default(),
    };
    let body = serde_json::to_vec(&index).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::INDEX));
    if filter.is_some() {
        response.headers_mut().insert(FILTERS, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

/// One page of sorted names, and where the next begins.
struct Page {
    names: Vec<String>,
    size: usize,
    more: bool,
}

impl Page {
    /// Cuts the page that `n` and `last` ask for out of all names.
    fn cut(mut names: Vec<String>, query: &Query, limit: usize) -> Result<Page, Refusal> {
        let size = match query.get("n") {
            None => limit,
            Some(n) => {
                let message = "`n` must be a number.";
                n.parse::<usize>().map_err(|_| Refusal::bad("PAGINATION_NUMBER_INVALID", message))?.min(limit)
            }
        };
        if let Some(last) = query.get("last") {
            let start = names.partition_point(|name| name <= last);
            names.drain(..start);
        }
        let more = names.len() > size && size > 0;
        names.truncate(size);
        Ok(Page { names, size, more })
    }

    fn answer(&self, body: &serde_json::Value, path: &str) -> Response {
        let mut response = Response::new(Body::from(body.to_string()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let (true, Some(last)) = (self.more, self.names.last()) {
            // Names hold nothing that needs escaping except the slash, which may stay.
            headers
                .insert(header::LINK, value(format!("<{path}?n={}&last={last}>; rel=\"next\"", self.size)));
        }
        response
    }
}
