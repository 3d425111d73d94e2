//! Conditions on objects (`status.succeeded > 0, status.phase in (A, B)`) and the jq filters that workflows use.

use std::fmt;

use serde_json::Value;

/// One condition: a path, an operator and values; printed as Argo prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    path: String,
    operator: &'static str,
    values: Vec<String>,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{} {} [{}]}}", self.path, self.operator, self.values.join(" "))
    }
}

impl Requirement {
    pub(crate) fn matches(&self, object: &Value) -> bool {
        let found = at(object, &self.path).filter(|value| !value.is_null());
        let text = found.map(|value| match value {
            Value::String(text) => text.clone(),
            other => galley_expr::go_json(other),
        });
        let number = |text: &str| text.parse::<f64>().ok();
        match (self.operator, text) {
            ("exists", text) => text.is_some(),
            ("!", text) => text.is_none(),
            ("!=" | "notin", text) => !text.is_some_and(|text| self.values.contains(&text)),
            (_, None) => false,
            ("=" | "==" | "in", Some(text)) => self.values.contains(&text),
            (operator, Some(text)) => {
                match (number(&text), self.values.first().and_then(|value| number(value))) {
                    (Some(a), Some(b)) if operator == "gt" => a > b,
                    (Some(a), Some(b)) => a < b,
                    _ => false,
                }
            }
        }
    }
}

/// Reads conditions separated by commas. An empty text has none.
pub(crate) fn requirements(text: &str) -> Result<Vec<Requirement>, String> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut depth = 0;
    for (index, c) in text.char_indices().chain([(text.len(), ',')]) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 || index == text.len() => {
                let part = text[start..index].trim();
                if !part.is_empty() {
                    found.push(requirement(part)?);
                }
                start = (index + 1).min(text.len());
            }
            _ => {}
        }
    }
    Ok(found)
}

fn requirement(text: &str) -> Result<Requirement, String> {
    let make = |path: &str, operator, values: Vec<String>| Requirement {
        path: path.trim().to_owned(),
        operator,
        values,
    };
    for (word, operator) in [(" notin ", "notin"), (" in ", "in")] {
        if let Some((path, list)) = split_outside(text, word) {
            let list = list.trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
            let list = list.ok_or_else(|| format!("condition '{text}' needs values in parentheses"))?;
            return Ok(make(path, operator, list.split(',').map(|value| value.trim().to_owned()).collect()));
        }
    }
    for (symbol, operator) in [("!=", "!="), ("==", "=="), ("=", "="), (">", "gt"), ("<", "lt")] {
        if let Some((path, value)) = split_outside(text, symbol) {
            return Ok(make(path, operator, vec![value.trim().trim_matches('"').to_owned()]));
        }
    }
    match text.strip_prefix('!') {
        Some(path) => Ok(make(path, "!", Vec::new())),
        None => Ok(make(text, "exists", Vec::new())),
    }
}

/// Splits at the first occurrence outside parentheses.
fn split_outside<'a>(text: &'a str, by: &str) -> Option<(&'a str, &'a str)> {
    let mut depth = 0i32;
    for (index, c) in text.char_indices() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 && text[index..].starts_with(by) {
            return Some((&text[..index], &text[index + by.len()..]));
        }
    }
    None
}

/// The value at a dotted path; numbers are indices, `\.` is a dot inside a name, `#(a==b)` finds in a list.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    let mut value = object;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(query) = rest.strip_prefix("#(") {
            let end = query.find(')')?;
            let (field, wanted) = query[..end].split_once("==").or_else(|| query[..end].split_once('='))?;
            let wanted = wanted.trim().trim_matches('"');
            value = value.as_array()?.iter().find(|item| item[field.trim()].as_str() == Some(wanted))?;
            rest = query[end + 1..].trim_start_matches('.');
            continue;
        }
        let mut name = String::new();
        let mut end = rest.len();
        let mut chars = rest.char_indices();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => name.extend(chars.next().map(|(_, c)| c)),
                '.' => {
                    end = index + 1;
                    break;
                }
                c => name.push(c),
            }
        }
        value = match value {
            Value::Array(items) => items.get(name.parse::<usize>().ok()?)?,
            value => value.get(&name)?,
        };
        rest = &rest[end..];
    }
    Some(value)
}

/// A small part of jq: paths, indices, `|`, and `keys`, `length`, `join`, `tojson`, `tostring`, `first`, `last`.
pub(crate) fn jq(object: &Value, filter: &str) -> Result<Value, String> {
    let mut value = object.clone();
    for stage in filter.split('|').map(str::trim) {
        value = stage_of(&value, stage)
            .ok_or_else(|| format!("jq filter `{filter}`: `{stage}` is not supported or does not fit"))?;
    }
    Ok(value)
}

fn stage_of(value: &Value, stage: &str) -> Option<Value> {
    if stage == "." {
        return Some(value.clone());
    }
    if let Some(path) = stage.strip_prefix('.') {
        let mut found = value;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            let (name, indices) = part.split_once('[').map_or((part, ""), |(name, rest)| (name, rest));
            if !name.is_empty() {
                found = found.get(name.trim_matches('"')).unwrap_or(&Value::Null);
            }
            for index in indices.split('[').filter(|index| !index.is_empty()) {
                let index = index.strip_suffix(']')?;
                found = match index.strip_prefix('"').and_then(|index| index.strip_suffix('"')) {
                    Some(name) => found.get(name),
                    None => found.get(index.parse::<usize>().ok()?),
                }
                .unwrap_or(&Value::Null);
            }
        }
        return Some(found.clone());
    }
    if let Some(glue) = stage.strip_prefix("join(").and_then(|rest| rest.strip_suffix(')')) {
        let glue: String = serde_json::from_str(glue).ok()?;
        let texts: Vec<String> = value
            .as_array()?
            .iter()
            .map(|item| item.as_str().map_or_else(|| galley_expr::go_json(item), str::to_owned))
            .collect();
        return Some(texts.join(&glue).into());
    }
    Some(match stage {
        "keys" => {
            let mut keys: Vec<&String> = value.as_object()?.keys().collect();
            keys.sort();
            keys.into_iter().map(|key| Value::from(key.as_str())).collect()
        }
        "length" => match value {
            Value::Array(items) => items.len(),
            Value::Object(map) => map.len(),
            Value::String(text) => text.chars().count(),
            _ => return None,
        }
        .into(),
        "tojson" => galley_expr::go_json(value).into(),
        "tostring" => value.as_str().map_or_else(|| galley_expr::go_json(value), str::to_owned).into(),
        "first" => value.as_array()?.first()?.clone(),
        "last" => value.as_array()?.last()?.clone(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions() {
        let object = json!({"status": {"failed": 1, "phase": "Done", "conditions": [{"type": "Ready", "status": "True"}]}});
        let check = |text: &str, expected: bool| {
            let all = requirements(text).unwrap();
            assert_eq!(all.iter().all(|requirement| requirement.matches(&object)), expected, "{text}");
        };
        check("status.failed > 0", true);
        check("status.succeeded > 0", false);
        check("status.phase == Done, status.failed < 2", true);
        check("status.phase in (A, Done)", true);
        check("status.phase notin (A, Done)", false);
        check("status.conditions.#(type==\"Ready\").status == True", true);
        check("!status.gone", true);
        assert_eq!(requirements("status.failed > 0").unwrap()[0].to_string(), "{status.failed gt [0]}");
    }

    #[test]
    fn filters() {
        let object = json!({"data": {"b": "2", "a": "1"}, "l": [{"n": 5}]});
        assert_eq!(jq(&object, ".data | keys | join(\"+\")"), Ok(json!("a+b")));
        assert_eq!(jq(&object, ".data | tojson"), Ok(json!("{\"a\":\"1\",\"b\":\"2\"}")));
        assert_eq!(jq(&object, ".l[0].n"), Ok(json!(5)));
        assert!(jq(&object, ".l[] | select(.n)").is_err());
    }
}
