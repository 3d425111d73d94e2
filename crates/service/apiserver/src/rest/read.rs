//! Get and list. A list of whole objects is put together from the stored texts without reading them.

use axum::response::Response;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use galley_store::objects::{Page, Query};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ApiError, Call, Shape, parse_stored};
use crate::{status::json_response, table};

/// Gets one object.
pub(super) fn get(call: &Call, name: &str) -> Result<Response, ApiError> {
    let stored = call.find(name)?;
    call.show(StatusCode::OK, stored.json, &[])
}

/// Where the next page of a list begins.
#[derive(Serialize, Deserialize)]
struct Continue {
    /// The revision of the first page; later pages show it too, so that a watch from there misses nothing.
    rv: u64,
    ns: String,
    name: String,
}

impl Continue {
    fn read(token: &str) -> Result<Self, ApiError> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let read = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!({"rv": self.rv, "ns": self.ns, "name": self.name}).to_string())
    }
}

/// Lists a collection.
pub(super) async fn list(call: Call) -> Result<Response, ApiError> {
    // A long list takes milliseconds; other requests on this thread shall not wait for it.
    let work = move || {
        let (page, revision) = read_page(&call)?;
        let text = render(&call, &page, revision)?;
        Ok(json_response(StatusCode::OK, text))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(response) => response,
        Err(error) => Err(ApiError::internal("a list was not finished", &error)),
    }
}

/// Reads the objects that a call asks for, and the revision to show.
pub(super) fn read_page(call: &Call) -> Result<(Page, u64), ApiError> {
    let objects = call.server.objects();
    let from = call.params.continue_token.as_deref().map(Continue::read).transpose()?;
    let namespace = call.path.namespace.clone();
    // One object by name is read by its key.
    if let (Some(name), true) = (call.params.selector.name(), namespace.is_some() || !call.def.namespaced) {
        let revision = objects.revision()?;
        let found = objects.get(&call.key(name))?;
        let items = found.into_iter().filter(|item| call.params.selector.matches(&item.facts)).collect();
        return Ok((Page { revision, items, more: false }, revision));
    }
    let revision = from.as_ref().map(|from| from.rv);
    let query = Query { namespace, after: from.map(|from| (from.ns, from.name)), limit: call.params.limit };
    let page = objects.list(&call.def.key(), &query, |facts| call.params.selector.matches(facts))?;
    let revision = revision.unwrap_or(page.revision);
    Ok((page, revision))
}

fn render(call: &Call, page: &Page, revision: u64) -> Result<String, ApiError> {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if let (true, Some(last)) = (page.more, page.items.last()) {
        let next = Continue { rv: revision, ns: last.key.namespace.clone(), name: last.key.name.clone() };
        metadata["continue"] = next.write().into();
    }
    let read = || -> Result<Vec<Value>, ApiError> {
        let convert = call.is_converted();
        let read = |json: &String| {
            let mut object = parse_stored(json)?;
            if convert {
                object["apiVersion"] = call.def.api_version().into();
            }
            Ok(object)
        };
        page.items.iter().map(|item| read(&item.json)).collect()
    };
    let (kind, api_version, items) = match call.shape {
        Shape::Table => {
            let include = call.params.include_object.as_deref();
            return Ok(table::table(&call.def, read()?, include, call.server.now(), metadata).to_string());
        }
        Shape::Metadata => {
            let items: Vec<Value> = read()?.into_iter().map(table::metadata_only).collect();
            (
                "PartialObjectMetadataList".to_owned(),
                "meta.k8s.io/v1".to_owned(),
                Value::Array(items).to_string(),
            )
        }
        Shape::Object => {
            let items = if call.is_converted() {
                Value::Array(read()?).to_string()
            } else {
                let length: usize = page.items.iter().map(|item| item.json.len() + 1).sum();
                let mut text = String::with_capacity(length + 2);
                text.push('[');
                for (n, item) in page.items.iter().enumerate() {
                    if n > 0 {
                        text.push(',');
                    }
                    text.push_str(&item.json);
                }
                text.push(']');
                text
            };
            (format!("{}List", call.def.kind), call.def.api_version(), items)
        }
    };
    Ok(format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{metadata},"items":{items}}}"#))
}
