//! Page tokens: base64 of `{"offset": n}`, as MLflow's own store makes them.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::ApiError;

/// The token of the page that begins at `offset`.
pub fn token(offset: u64) -> String {
    STANDARD.encode(format!("{{\"offset\": {offset}}}"))
}

/// The offset that a token stands for; no token, or an empty one, is the first page.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` if the token is none of ours.
pub fn offset(token: Option<&str>) -> Result<u64, ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(0) };
    let bytes = STANDARD
        .decode(token)
        .map_err(|_| ApiError::invalid("Invalid page token, could not base64-decode"))?;
    serde_json::from_slice::<serde_json::Value>(&bytes)
        .ok()
        .as_ref()
        .and_then(|value| value.get("offset"))
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid page token, decoded value={}",
                String::from_utf8_lossy(&bytes)
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_offset() {
        assert_eq!(offset(Some(&token(40))), Ok(40));
        assert_eq!(offset(Some("")), Ok(0));
        assert!(offset(Some("%%%")).is_err());
        assert!(offset(Some(&STANDARD.encode("[]"))).is_err());
    }
}
