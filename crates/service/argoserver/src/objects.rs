//! Access to objects, and the parameters of lists.

use std::collections::HashMap;

use kube::api::{ApiResource, DynamicObject, ListParams, WatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde_json::Value;

use crate::error::Refusal;

/// The parameters of a request.
pub(crate) type Query = HashMap<String, String>;

/// Objects of a kind of Argo in a namespace; in all of them if that is empty.
pub(crate) fn argo(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let plural = format!("{}s", kind.to_lowercase());
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind), &plural);
    match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// An object as one value.
pub(crate) fn to_value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// A value as an object.
pub(crate) fn to_object(value: Value) -> Result<DynamicObject, Refusal> {
    serde_json::from_value(value).map_err(|error| Refusal::invalid(error.to_string()))
}

pub(crate) fn text<'a>(query: &'a Query, name: &str) -> &'a str {
    query.get(name).map_or("", String::as_str)
}

/// `listOptions.*`.
pub(crate) fn list_params(query: &Query) -> ListParams {
    let given = |name: &str| Some(text(query, name).to_owned()).filter(|text| !text.is_empty());
    ListParams {
        label_selector: given("listOptions.labelSelector"),
        field_selector: given("listOptions.fieldSelector"),
        limit: text(query, "listOptions.limit").parse().ok().filter(|limit| *limit > 0),
        continue_token: given("listOptions.continue"),
        ..ListParams::default()
    }
}

/// The same for a watch.
pub(crate) fn watch_params(query: &Query) -> WatchParams {
    let list = list_params(query);
    WatchParams {
        label_selector: list.label_selector,
        field_selector: list.field_selector,
        ..WatchParams::default()
    }
}

/// Puts two label selectors together.
pub(crate) fn and(one: Option<String>, other: &str) -> Option<String> {
    Some(match one.filter(|one| !one.is_empty()) {
        Some(one) => format!("{one},{other}"),
        None => other.to_owned(),
    })
}

/// Takes nulls away: clients in Go send them for what is not set.
pub(crate) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
