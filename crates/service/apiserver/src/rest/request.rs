//! Reading a request: the resource in the path, the parameters, the wanted form of the answer, and the body.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;

use crate::{selector::Selector, status::ApiError};

/// The media type of Kubernetes' protobuf messages.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Bodies may be this long.
pub(crate) const BODY_LIMIT: usize = 8 << 20;

/// A path below `/api/v1` or `/apis/GROUP/VERSION`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl ResourcePath {
    /// Reads a path; `None` if it is not of that form.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> = path.trim_matches('/').split('/').map(decode).collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        // `namespaces/x/pods` is in a namespace; `namespaces/x`, `namespaces/x/status` are the namespace itself.
        let (namespace, rest) = match rest {
            ["namespaces", _, "status" | "finalize"] if group.is_empty() => (None, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let own = |text: &str| text.to_owned();
        Some(ResourcePath {
            group: own(group),
            version: own(version),
            plural: own(plural),
            namespace: namespace.map(own),
            name: name.map(own),
            subresource: subresource.map(own),
        })
    }
}

/// Undoes percent encoding.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        if *byte == b'%' {
            let digits = tail.get(..2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*byte);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

/// What to do about fields a kind does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// The parameters of all verbs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params {
    pub(crate) selector: Selector,
    pub(crate) limit: usize,
    pub(crate) continue_token: Option<String>,
    pub(crate) watch: bool,
    pub(crate) resource_version: Option<u64>,
    pub(crate) bookmarks: bool,
    pub(crate) initial_events: Option<bool>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) dry_run: bool,
    pub(crate) field_manager: Option<String>,
    pub(crate) field_validation: FieldValidation,
    pub(crate) force: bool,
    pub(crate) propagation: Option<String>,
    pub(crate) grace_period: Option<i64>,
    pub(crate) orphan_dependents: Option<bool>,
    pub(crate) include_object: Option<String>,
    /// Everything, for subresources with parameters of their own.
    pub(crate) all: Vec<(String, String)>,
}

impl Params {
    /// Reads the query of a request.
    pub(crate) fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let axum::extract::Query(all) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| ApiError::bad_request(format!("the query cannot be read: {error}")))?;
        let mut params = Params::default();
        let (mut labels, mut fields) = ("", "");
        for (key, value) in &all {
            let wrong = || ApiError::bad_request(format!("invalid value for {key}: \"{value}\""));
            let truth = || matches!(value.as_str(), "true" | "1" | "");
            match key.as_str() {
                "labelSelector" => labels = value,
                "fieldSelector" => fields = value,
                "limit" => params.limit = value.parse().map_err(|_| wrong())?,
                "continue" => params.continue_token = Some(value.clone()).filter(|token| !token.is_empty()),
                "watch" => params.watch = truth(),
                "resourceVersion" if !value.is_empty() => {
                    params.resource_version = Some(value.parse().map_err(|_| wrong())?);
                }
                "allowWatchBookmarks" => params.bookmarks = truth(),
                "sendInitialEvents" => params.initial_events = Some(truth()),
                "timeoutSeconds" => params.timeout_seconds = Some(value.parse().map_err(|_| wrong())?),
                "dryRun" => match value.as_str() {
                    "All" => params.dry_run = true,
                    "" => {}
                    _ => return Err(wrong()),
                },
                "fieldManager" => params.field_manager = Some(value.clone()).filter(|name| !name.is_empty()),
                "fieldValidation" => {
                    params.field_validation = match value.as_str() {
                        "Strict" => FieldValidation::Strict,
                        "Warn" | "" => FieldValidation::Warn,
                        "Ignore" => FieldValidation::Ignore,
                        _ => return Err(wrong()),
                    };
                }
                "force" => params.force = truth(),
                "propagationPolicy" => params.propagation = Some(value.clone()),
                "gracePeriodSeconds" => params.grace_period = Some(value.parse().map_err(|_| wrong())?),
                "orphanDependents" => params.orphan_dependents = Some(truth()),
                "includeObject" => params.include_object = Some(value.clone()),
                _ => {}
            }
        }
        params.selector = Selector::parse(labels, fields).map_err(ApiError::bad_request)?;
        params.all = all;
        Ok(params)
    }

    /// A parameter by name.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.all.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves.
    Object,
    /// Printed columns.
    Table,
    /// Only the metadata.
    Metadata,
}

impl Shape {
    /// The first form in `Accept` that can be given.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(accept) = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()) else {
            return Ok(Shape::Object);
        };
        for part in accept.split(',') {
            let mut pieces = part.split(';').map(str::trim);
            let media = pieces.next().unwrap_or_default();
            // A client that would like protobuf also reads the JSON it gets.
            if !matches!(
                media,
                "application/json" | "application/*" | "*/*" | "" | "application/yaml" | PROTOBUF
            ) {
                continue;
            }
            let parameters: Vec<&str> = pieces.collect();
            let form = parameters.iter().find_map(|p| p.strip_prefix("as="));
            let meta_v1 = parameters.contains(&"v=v1") && parameters.contains(&"g=meta.k8s.io");
            match form {
                None => return Ok(Shape::Object),
                Some("Table") if meta_v1 => return Ok(Shape::Table),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if meta_v1 => {
                    return Ok(Shape::Metadata);
                }
                Some(_) => {}
            }
        }
        Err(ApiError::not_acceptable())
    }
}

/// The media type of a body, without parameters.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads a body up to the limit.
pub(crate) async fn read_body(body: Body) -> Result<Bytes, ApiError> {
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.downcast_ref::<LengthLimitError>().is_some() => {
            Err(ApiError::too_large(BODY_LIMIT))
        }
        Err(error) => Err(ApiError::bad_request(format!("the body could not be read: {error}"))),
    }
}

/// Reads an object from a JSON or YAML body.
pub(crate) fn parse_object(media: &str, bytes: &[u8]) -> Result<Value, ApiError> {
    match media {
        "application/json" | "" => parse_json(bytes),
        "application/yaml" | "application/x-yaml" | "text/yaml" => parse_yaml(bytes),
        PROTOBUF => crate::protobuf::decode(bytes).map_err(ApiError::media_type),
        // Clients that send a form by default (curl) mean JSON or YAML; YAML reads both.
        "application/x-www-form-urlencoded" | "text/plain" => parse_yaml(bytes),
        other => Err(ApiError::media_type(format!(
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml; not {other}"
        ))),
    }
}

pub(crate) fn parse_json(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not JSON: {error}")))
}

pub(crate) fn parse_yaml(bytes: &[u8]) -> Result<Value, ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| ApiError::bad_request(format!("the body is not text: {error}")))?;
    galley_yaml::parse_value("body", text)
        .map_err(|problem| ApiError::bad_request(format!("the body is not YAML: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_resources() {
        let check = |path: &str, expected: [&str; 6]| {
            let parsed = ResourcePath::parse(path).expect("a resource");
            let text = |part: Option<String>| part.unwrap_or_default();
            let parts = [
                parsed.group,
                parsed.version,
                parsed.plural,
                text(parsed.namespace),
                text(parsed.name),
                text(parsed.subresource),
            ];
            assert_eq!(parts, expected, "{path}");
        };
        check("/api/v1/pods", ["", "v1", "pods", "", "", ""]);
        check("/api/v1/namespaces/a", ["", "v1", "namespaces", "", "a", ""]);
        check("/api/v1/namespaces/a/finalize", ["", "v1", "namespaces", "", "a", "finalize"]);
        check("/api/v1/namespaces/a/pods/b/log", ["", "v1", "pods", "a", "b", "log"]);
        check("/apis/apps/v1/namespaces/a/deployments/b", ["apps", "v1", "deployments", "a", "b", ""]);
        check("/apis/x/v1/namespaces/a/status", ["x", "v1", "status", "a", "", ""]);
        check("/apis/rbac/v1/clusterroles/system%3Ax", ["rbac", "v1", "clusterroles", "", "system:x", ""]);
        for bad in ["/", "/api", "/api/v1", "/api/v1/namespaces/a/pods/b/c/d", "/metrics", "/api/v1/pods/%zz"]
        {
            assert_eq!(ResourcePath::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn forms_of_answers() {
        let check = |accept: &str, expected: Option<Shape>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().expect("a header"));
            assert_eq!(Shape::of(&headers).ok(), expected, "{accept}");
        };
        check("application/json", Some(Shape::Object));
        check("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", Some(Shape::Table));
        check("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", Some(Shape::Object));
        check("application/vnd.kubernetes.protobuf,application/json", Some(Shape::Object));
        check("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", Some(Shape::Metadata));
        check("application/vnd.kubernetes.protobuf", Some(Shape::Object));
        check("text/html", None);
        check("*/*", Some(Shape::Object));
    }

    #[test]
    fn yaml_keeps_strings_and_reads_json() {
        let value = parse_yaml(b"a: \"1\"\nb: 1\nc: {d: [x, true]}\n").expect("yaml");
        assert_eq!(value, serde_json::json!({"a": "1", "b": 1, "c": {"d": ["x", true]}}));
        assert_eq!(parse_yaml(b"{\"a\": 1.5, \"t\": \"2026-01-01\"}").expect("json")["a"], 1.5);
        assert_eq!(parse_yaml(b"t: 2026-01-01").expect("yaml")["t"], "2026-01-01");
        assert!(parse_json(b"{").is_err());
    }
}
