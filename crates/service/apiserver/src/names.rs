//! Names: which are valid, and the random ends of generated ones.

use serde_json::Value;

use crate::{kinds::ResourceDef, status::Cause};

/// Why a text is not a DNS label (RFC 1123), if it is not.
pub(crate) fn dns_label(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: Option<char>| c.is_some_and(|c| c != '-');
    if text.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    let valid = text.chars().all(fits) && ends(text.chars().next()) && ends(text.chars().last());
    (!valid).then(|| {
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
         end with an alphanumeric character (e.g. 'my-name')"
            .into()
    })
}

/// Why a text is not a DNS subdomain, if it is not.
pub(crate) fn dns_subdomain(text: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: Option<char>| c.is_some_and(|c| c != '-');
    if text.len() > 253 {
        return Some("must be no more than 253 characters".into());
    }
    let label = |part: &str| part.chars().all(fits) && ends(part.chars().next()) && ends(part.chars().last());
    (!text.split('.').all(label)).then(|| {
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
         start and end with an alphanumeric character (e.g. 'example.com')"
            .into()
    })
}

/// Why a text may not be a segment of a path, if it may not.
fn path_segment(text: &str) -> Option<String> {
    let bad = text == "." || text == ".." || text.contains(['/', '%']) || text.is_empty() || text.len() > 253;
    bad.then(|| "may not be '.' or '..' and may not contain '/' or '%'".into())
}

/// Checks the name of an object of a kind.
pub(crate) fn check_name(def: &ResourceDef, name: &str) -> Option<Cause> {
    let why = match (def.group.as_str(), def.plural.as_str()) {
        ("", "namespaces" | "services") => dns_label(name),
        ("rbac.authorization.k8s.io", _) => path_segment(name),
        _ => dns_subdomain(name),
    };
    why.map(|why| Cause::invalid("metadata.name", name, why))
}

/// The longest beginning of a generated name; the random end has five letters.
const LONGEST_BEGINNING: usize = 58;

/// A name for `generateName`.
pub(crate) fn generate(beginning: &str) -> String {
    let mut end = beginning.len().min(LONGEST_BEGINNING);
    while !beginning.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &beginning[..end], galley_units::random_suffix(5))
}

/// Checks labels and annotations: keys with an optional domain, label values of at most 63 characters.
pub(crate) fn check_metadata(metadata: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (map, is_label) in [("labels", true), ("annotations", false)] {
        let Some(given) = metadata.get(map).filter(|value| !value.is_null()) else { continue };
        let field = format!("metadata.{map}");
        let Some(fields) = given.as_object() else {
            causes.push(Cause::invalid(field, &given.to_string(), "must be a map of strings"));
            continue;
        };
        for (key, value) in fields {
            if !qualified_name(key) {
                causes.push(Cause::invalid(
                    &field,
                    key,
                    "must be a name, optionally after a domain and a slash",
                ));
            }
            match value.as_str() {
                Some(text) if is_label && !label_value(text) => {
                    causes.push(Cause::invalid(
                        &field,
                        text,
                        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                         and must start and end with an alphanumeric character",
                    ));
                }
                Some(_) => {}
                None => causes.push(Cause::invalid(
                    format!("{field}.{key}"),
                    &value.to_string(),
                    "must be a string",
                )),
            }
        }
    }
    causes
}

fn label_value(text: &str) -> bool {
    text.is_empty() || text.len() <= 63 && name_part(text)
}

fn name_part(text: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.chars().all(inside) && end(text.chars().next()) && end(text.chars().last())
}

fn qualified_name(key: &str) -> bool {
    let (domain, name) = key.rsplit_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    name.len() <= 63
        && name_part(name)
        && domain.is_none_or(|domain| dns_subdomain(&domain.to_lowercase()).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_checked_by_kind() {
        let pod = ResourceDef::new("", "v1", "Pod", "pods");
        let namespace = ResourceDef::new("", "v1", "Namespace", "namespaces");
        let role = ResourceDef::new("rbac.authorization.k8s.io", "v1", "Role", "roles");
        assert!(check_name(&pod, "a.b-1").is_none());
        assert!(check_name(&namespace, "a.b-1").is_some());
        assert!(check_name(&role, "system:x").is_none());
        for bad in ["", "A", "-a", "a-", "a..b", "a/b", "a_b"] {
            assert!(check_name(&pod, bad).is_some(), "{bad}");
        }
        assert!(check_name(&role, "..").is_some());
    }

    #[test]
    fn generated_names_stay_short() {
        assert_eq!(generate("web-").len(), 9);
        assert_eq!(generate(&"x".repeat(100)).len(), 63);
    }

    #[test]
    fn labels_and_annotations_are_checked() {
        let good = json!({"labels": {"app.kubernetes.io/name": "a_b.c", "x": ""}, "annotations": {"k": "any thing"}});
        assert!(check_metadata(&good).is_empty());
        for bad in [
            json!({"labels": {"a b": "c"}}),
            json!({"labels": {"a": "b c"}}),
            json!({"labels": {"a": 1}}),
            json!({"annotations": []}),
        ] {
            assert_eq!(check_metadata(&bad).len(), 1, "{bad}");
        }
    }
}
