//! Requests in MLflow's JSON dialect: the same parameters arrive in a JSON body or in the query of a GET.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, RawQuery, Request},
};
use galley_mlflow::{ApiError, ErrorCode, number};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// The parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Input(Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Input {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (mut parts, body) = request.into_parts();
        let Ok(RawQuery(query)) = RawQuery::from_request_parts(&mut parts, state).await;
        let is_get = parts.method == http::Method::GET;
        let body = Bytes::from_request(Request::from_parts(parts, body), state)
            .await
            .map_err(|rejection| Failure(ApiError::new(ErrorCode::BadRequest, rejection.body_text())))?;
        if is_get || body.is_empty() {
            return Ok(Input(from_query(query.as_deref().unwrap_or(""))));
        }
        Ok(Input(from_body(&body)?))
    }
}

fn from_body(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let bad = |why: String| ApiError::new(ErrorCode::BadRequest, why);
    let value = serde_json::from_slice(body)
        .map_err(|error| bad(format!("The request body is not valid JSON: {error}")))?;
    match value {
        Value::Object(map) => Ok(map),
        // Some clients send the object as a JSON text.
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| bad(format!("The request body is not a JSON object: {error}"))),
        Value::Null => Ok(Map::new()),
        _ => Err(bad("The request body is not a JSON object.".into())),
    }
}

/// A parameter that is given more than once becomes a list.
fn from_query(query: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (key, value) = (decoded(key), Value::String(decoded(value)));
        match map.get_mut(&key) {
            None => drop(map.insert(key, value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    map
}

/// Undoes the percent encoding of a query; what is not valid stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Input {
    fn value(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn invalid(&self, key: &str, wanted: &str) -> ApiError {
        let shown = self.0.get(key).unwrap_or(&Value::Null);
        ApiError::invalid(format!(
            "Invalid value {shown} for parameter '{key}' supplied:  Hint: {wanted} See the API docs for more information \
             about request parameters."
        ))
    }

    /// The parameter was given, even as null.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// A text, if given.
    pub(crate) fn text(&self, key: &str) -> Result<Option<String>, ApiError> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.invalid(key, "Value must be a string.")),
        }
    }

    /// A text, empty if not given.
    pub(crate) fn text_or_empty(&self, key: &str) -> Result<String, ApiError> {
        Ok(self.text(key)?.unwrap_or_default())
    }

    /// A text that must be given and not be empty.
    pub(crate) fn required(&self, key: &str) -> Result<String, ApiError> {
        self.text(key)?.filter(|text| !text.is_empty()).ok_or_else(|| ApiError::missing(key))
    }

    /// The run: `run_id`, or its old name `run_uuid`.
    pub(crate) fn run_id(&self) -> Result<String, ApiError> {
        match self.text("run_uuid")?.filter(|text| !text.is_empty()) {
            Some(old) if !self.has("run_id") => Ok(old),
            _ => self.required("run_id"),
        }
    }

    /// A whole number, if given.
    pub(crate) fn int(&self, key: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        number::as_int(value).map(Some).ok_or_else(|| self.invalid(key, "Value must be an integer."))
    }

    /// A number that must be given.
    pub(crate) fn double(&self, key: &str) -> Result<f64, ApiError> {
        let value = self.value(key).ok_or_else(|| ApiError::missing(key))?;
        number::as_double(value).ok_or_else(|| self.invalid(key, "Value must be a number."))
    }

    /// A truth value, false if not given.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.value(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(self.invalid(key, "Value must be true or false.")),
        }
    }

    /// A word or number of an enumeration, as text.
    pub(crate) fn word(&self, key: &str) -> Result<Option<String>, ApiError> {
        match self.value(key) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => self.text(key),
        }
    }

    /// A list of objects, empty if not given.
    pub(crate) fn list<T: DeserializeOwned>(&self, key: &str) -> Result<Vec<T>, ApiError> {
        let Some(value) = self.value(key) else { return Ok(Vec::new()) };
        let Value::Array(items) = value else { return Err(self.invalid(key, "Value must be an array.")) };
        let read = |(index, item): (usize, &Value)| {
            T::deserialize(item).map_err(|error| in_list(key, index, &error))
        };
        items.iter().enumerate().map(read).collect()
    }

    /// A list of texts, empty if not given; in a query one value is a list of one.
    pub(crate) fn texts(&self, key: &str) -> Result<Vec<String>, ApiError> {
        match self.value(key) {
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            _ => self.list(key),
        }
    }
}

/// What is wrong with one entry of a list, as MLflow says it.
fn in_list(key: &str, index: usize, error: &serde_json::Error) -> ApiError {
    let text = error.to_string();
    match text.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        Some(field) => ApiError::missing(&format!("{key}[{index}].{field}")),
        None => ApiError::invalid(format!("Invalid value for parameter '{key}[{index}]' supplied. {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_and_bodies_hold_the_same() {
        let input = Input(from_query("run_id=a%20b&order_by=x+DESC&order_by=y&max_results=7&broken=%zz"));
        assert_eq!(input.required("run_id"), Ok("a b".into()));
        assert_eq!(input.texts("order_by"), Ok(vec!["x DESC".into(), "y".into()]));
        assert_eq!(input.int("max_results"), Ok(Some(7)));
        assert_eq!(input.text("broken"), Ok(Some("%zz".into())));

        let input = Input(from_body(br#"{"name": 5, "empty": "", "none": null}"#).expect("an object"));
        assert!(input.text("name").expect_err("a number").message.contains("Invalid value 5"));
        assert!(input.required("empty").expect_err("empty").message.contains("Missing value"));
        assert_eq!(input.text("none"), Ok(None));
        assert_eq!(from_body(b"[1]").expect_err("a list").code, ErrorCode::BadRequest);
        assert!(from_body(br#""{\"a\": 1}""#).is_ok());
    }
}
