//! Subresources: status, scale, log, token, eviction, finalize.

use std::io;

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use galley_store::objects::ObjectKey;
use http::{HeaderValue, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{
    ApiError, Call, Deletion,
    delete::respond,
    parse_stored, read,
    request::{media_type, parse_object, read_body},
    write::{Patch, patch_part, replace_part},
};
use crate::{
    LogError, LogQuery,
    kinds::{ScalePaths, find_path, set_path},
    object::{Part, name_of, text},
    status::json_response,
};

/// Answers a request for a subresource.
pub(super) async fn answer(
    call: Call,
    method: &Method,
    name: &str,
    subresource: &str,
    body: Body,
) -> Result<Response, ApiError> {
    let def = call.def.clone();
    match (subresource, method.as_str()) {
        ("status", verb) if def.status => match verb {
            "GET" => read::get(&call, name),
            "PUT" => replace_part(&call, name, Part::Status, "status", body).await,
            "PATCH" => patch_part(&call, name, Part::Status, "status", body).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("scale", verb) => match (&def.scale, verb) {
            (None, _) => Err(ApiError::no_such_path()),
            (Some(paths), "GET") => {
                let object = parse_stored(&call.find(name)?.json)?;
                Ok(json_response(StatusCode::OK, scale_of(paths, &object).to_string()))
            }
            (Some(paths), "PUT" | "PATCH") => set_scale(&call, paths, name, method, body).await,
            _ => Err(ApiError::method_not_allowed()),
        },
        ("log", "GET") if def.is("", "pods") => log(&call, name).await,
        ("eviction", "POST") if def.is("", "pods") => {
            let deletion = Deletion { dry_run: call.params.dry_run, ..Deletion::default() };
            respond(&call, name, &deletion).await
        }
        ("finalize", "PUT") if def.is("", "namespaces") => {
            replace_part(&call, name, Part::Everything, "finalize", body).await
        }
        ("token", "POST") if def.is("", "serviceaccounts") => token(&call, name, body).await,
        ("exec" | "attach" | "portforward" | "proxy", _) if def.is("", "pods") || def.is("", "services") => {
            Err(ApiError::not_implemented(format!("`{subresource}` is not supported by this server")))
        }
        _ => Err(ApiError::no_such_path()),
    }
}

/// The `Scale` of an object.
fn scale_of(paths: &ScalePaths, object: &Value) -> Value {
    let number =
        |path: &str, default: i64| find_path(object, path).and_then(|v| v.as_i64()).unwrap_or(default);
    let selector = match find_path(object, &paths.selector) {
        Some(Value::String(text)) => text,
        Some(selector) => selector_text(&selector),
        None => String::new(),
    };
    let metadata: serde_json::Map<String, Value> =
        ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]
            .into_iter()
            .filter_map(|field| {
                Some((field.to_owned(), object.pointer(&format!("/metadata/{field}"))?.clone()))
            })
            .collect();
    let mut status = json!({"replicas": number(&paths.status_replicas, 0)});
    if !selector.is_empty() {
        status["selector"] = selector.into();
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": number(&paths.spec_replicas, 1)},
        "status": status,
    })
}

/// A `LabelSelector` as text.
fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        parts.push(format!("{key}={}", value.as_str().unwrap_or_default()));
    }
    for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
        let key = expression["key"].as_str().unwrap_or_default();
        let values: Vec<&str> =
            expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push(match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({})", values.join(",")),
            Some("NotIn") => format!("{key} notin ({})", values.join(",")),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        });
    }
    parts.join(",")
}

async fn set_scale(
    call: &Call,
    paths: &ScalePaths,
    name: &str,
    method: &Method,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = read_body(body).await?;
    let media = media_type(&call.headers);
    // Merge patches are the same as strategic ones here: a Scale has no lists.
    let patch = match (method.as_str(), media.as_str()) {
        ("PUT", _) => None,
        (_, "application/json-patch+json") => Some(Patch::read(&media, &call.def, &bytes)?),
        _ => Some(Patch::read("application/merge-patch+json", &call.def, &bytes)?),
    };
    let given = if patch.is_none() { Some(parse_object(&media, &bytes)?) } else { None };
    let written = call
        .write(name, Part::Main, "scale")
        .modify(|object| {
            let scale = match (&patch, &given) {
                (Some(patch), _) => patch.applied_to(&scale_of(paths, object))?,
                (None, Some(given)) => given.clone(),
                (None, None) => return Err(ApiError::bad_request("a Scale is needed")),
            };
            let replicas = scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0);
            if !(0..=i64::from(i32::MAX)).contains(&replicas) {
                return Err(ApiError::unprocessable(format!(
                    "Scale.autoscaling \"{}\" is invalid: spec.replicas: Invalid value: {replicas}: must be greater than or equal to 0",
                    name_of(object)
                )));
            }
            let mut new = object.clone();
            if let Some(version) = scale.pointer("/metadata/resourceVersion").and_then(Value::as_str) {
                new["metadata"]["resourceVersion"] = version.into();
            }
            set_path(&mut new, &paths.spec_replicas, replicas.into());
            Ok(new)
        })
        .await?;
    let object = parse_stored(&written.json)?;
    Ok(json_response(StatusCode::OK, scale_of(paths, &object).to_string()))
}

async fn log(call: &Call, name: &str) -> Result<Response, ApiError> {
    let pod = parse_stored(&call.find(name)?.json)?;
    let query = log_query(call, &pod)?;
    let source =
        call.server.logs().ok_or_else(|| ApiError::not_implemented("no logs are kept by this server"))?;
    let namespace = text(&pod, "/metadata/namespace");
    let closing = call.user.closing.clone();
    match source.logs(namespace, name, query).await {
        Ok(stream) => {
            let stream = stream.take_until(async move { closing.cancelled().await });
            let mut response = Body::from_stream(stream).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            Ok(response)
        }
        Err(error @ LogError::NotFound { .. }) => Err(ApiError::bad_request(error.to_string())),
        Err(error @ LogError::NotStarted(_)) => Err(ApiError::bad_request(error.to_string())),
        Err(LogError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            Err(ApiError::bad_request(format!("there is no log of pod \"{name}\"")))
        }
        Err(error) => Err(ApiError::internal("the log could not be read", &error)),
    }
}

fn log_query(call: &Call, pod: &Value) -> Result<LogQuery, ApiError> {
    let params = &call.params;
    let name = name_of(pod);
    let names = |field: &str| -> Vec<&str> {
        let containers = pod.pointer(&format!("/spec/{field}")).and_then(Value::as_array);
        containers.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect()
    };
    let (main, init) = (names("containers"), names("initContainers"));
    let container = match params.get("container").filter(|name| !name.is_empty()) {
        Some(given) if main.contains(&given) || init.contains(&given) => given,
        Some(given) => {
            return Err(ApiError::bad_request(format!("container {given} is not valid for pod {name}")));
        }
        None if main.len() == 1 => main[0],
        None => {
            return Err(ApiError::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                main.join(" ")
            )));
        }
    };
    let number = |key: &str| -> Result<Option<u64>, ApiError> {
        let wrong = |_| ApiError::bad_request(format!("invalid value for {key}"));
        params.get(key).map(|value| value.parse().map_err(wrong)).transpose()
    };
    let truth = |key: &str| params.get(key).is_some_and(|value| value == "true" || value == "1");
    let since = match (number("sinceSeconds")?, params.get("sinceTime")) {
        (Some(seconds), _) => {
            let seconds = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Some(call.server.now().checked_sub(seconds).unwrap_or(Timestamp::MIN))
        }
        (None, Some(time)) => {
            Some(time.parse().map_err(|_| ApiError::bad_request("invalid value for sinceTime"))?)
        }
        (None, None) => None,
    };
    Ok(LogQuery {
        container: container.to_owned(),
        follow: truth("follow"),
        tail_lines: number("tailLines")?,
        since,
        timestamps: truth("timestamps"),
        previous: truth("previous"),
        limit_bytes: number("limitBytes")?,
    })
}

/// The longest life of a token that was asked for with `TokenRequest`.
const LONGEST_TOKEN: i64 = 365 * 24 * 3600;

async fn token(call: &Call, name: &str, body: Body) -> Result<Response, ApiError> {
    let key: ObjectKey = call.key(name);
    call.find(name)?;
    let bytes = read_body(body).await?;
    let request =
        if bytes.is_empty() { json!({}) } else { parse_object(&media_type(&call.headers), &bytes)? };
    let tokens = call
        .server
        .tokens()
        .ok_or_else(|| ApiError::not_implemented("no tokens are given out by this server"))?;
    let seconds = request.pointer("/spec/expirationSeconds").and_then(Value::as_i64).unwrap_or(3600);
    let seconds = seconds.clamp(600, LONGEST_TOKEN);
    let now = call.server.now();
    let expires = now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
    let token = tokens.bounded_token(&key.namespace, name, expires);
    let answer = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": name, "namespace": key.namespace, "creationTimestamp": galley_units::rfc3339(now)},
        "spec": {
            "audiences": request.pointer("/spec/audiences").cloned().unwrap_or_else(|| json!([])),
            "expirationSeconds": seconds,
        },
        "status": {"token": token.expose(), "expirationTimestamp": galley_units::rfc3339(expires)},
    });
    Ok(json_response(StatusCode::CREATED, answer.to_string()))
}
