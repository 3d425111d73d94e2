//! Paths of artifacts: what may be joined to a root, and where a `mlflow-artifacts:` URI points.

use crate::ApiError;

/// Longest artifact path, in bytes.
const MAX_PATH: usize = 2_048;
/// Longest part of a path, in bytes; what file systems allow.
const MAX_PART: usize = 255;

/// The parts of a relative artifact path, each safe as a file name. An empty path has no parts.
///
/// # Errors
/// `INVALID_PARAMETER_VALUE` for absolute paths, `..`, back-slashes, control characters and overlong names.
pub fn safe_parts(path: &str) -> Result<Vec<&str>, ApiError> {
    let invalid = || ApiError::invalid("Invalid path");
    if path.len() > MAX_PATH || path.starts_with('/') || path.contains(['\\', '#']) {
        return Err(invalid());
    }
    if path.chars().any(char::is_control) || path.as_bytes().get(1) == Some(&b':') {
        return Err(invalid());
    }
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .map(|part| {
            // A leading dot is fine (`.gitignore`), but nothing may climb, and nothing may hide among our own files.
            if part == ".." || part.len() > MAX_PART { Err(invalid()) } else { Ok(part) }
        })
        .collect()
}

/// The path below the server's artifact root that a `mlflow-artifacts:` URI names; `None` for other schemes.
pub fn proxied(uri: &str) -> Option<&str> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    // `mlflow-artifacts://host/path` and `mlflow-artifacts:/path` name the same thing.
    let path = match rest.strip_prefix("//") {
        Some(authority) => authority.split_once('/').map_or("", |(_, path)| path),
        None => rest,
    };
    Some(path.trim_matches('/'))
}

/// Appends a path to a URI.
pub fn join(uri: &str, path: &str) -> String {
    let (base, path) = (uri.trim_end_matches('/'), path.trim_matches('/'));
    if path.is_empty() { base.to_owned() } else { format!("{base}/{path}") }
}

/// Whether `inner` lies in `root`, part by part.
pub fn is_within(inner: &str, root: &str) -> bool {
    let (inner, root) = (inner.trim_end_matches('/'), root.trim_end_matches('/'));
    !root.is_empty() && (inner == root || inner.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_climbs_out() {
        assert_eq!(safe_parts("model/data/model.onnx"), Ok(vec!["model", "data", "model.onnx"]));
        assert_eq!(safe_parts("./a//b/"), Ok(vec!["a", "b"]));
        assert_eq!(safe_parts(""), Ok(vec![]));
        for bad in ["../x", "a/../../x", "/etc/passwd", "a\\..\\b", "C:x", "a\0b", "a\nb", "a#b"] {
            assert!(safe_parts(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn proxied_uris_name_a_path() {
        assert_eq!(proxied("mlflow-artifacts:/0/abc/artifacts"), Some("0/abc/artifacts"));
        assert_eq!(proxied("mlflow-artifacts://host:5000/0/abc"), Some("0/abc"));
        assert_eq!(proxied("s3://bucket/x"), None);
        assert!(is_within("mlflow-artifacts:/0/a/model", "mlflow-artifacts:/0/a"));
        assert!(!is_within("mlflow-artifacts:/0/ab", "mlflow-artifacts:/0/a"));
    }
}
