//! JSONPath, the part that workflows use: members, indices, slices, wildcards, recursive descent and filters of
//! comparisons with `&&` and `||` (`[?(@.name=="rye" && @.age>1)]`). What is not read is told so.

use serde_json::Value;

enum Step {
    Member(String),
    Index(i64),
    All,
    Below,
    /// Items from one index to before another.
    Slice(i64, i64),
    /// Items for which all tests of one of the groups hold.
    Where(Vec<Vec<Test>>),
}

/// The member at a path compares so with a value; without a comparison, it is there.
struct Test {
    path: Vec<String>,
    wanted: Option<(&'static str, Value)>,
}

/// Finds `path` (such as `$.loaves[1].name` or kubectl's `{.metadata.name}`) in a document. A path without
/// wildcards gives the value itself, one with wildcards a list.
///
/// # Errors
/// A sentence when the path cannot be read or leads nowhere.
pub fn json_path(document: &Value, path: &str) -> Result<Value, String> {
    let trimmed = path.trim();
    let inner = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
    let inner = inner.trim().strip_prefix('$').unwrap_or(inner.trim());
    let steps = parse(inner).ok_or_else(|| format!("`{path}` is not a JSONPath this program reads"))?;
    let many =
        steps.iter().any(|step| matches!(step, Step::All | Step::Below | Step::Slice(..) | Step::Where(_)));
    let mut found = vec![document];
    for step in &steps {
        let mut next = Vec::new();
        for value in found {
            follow(value, step, &mut next);
        }
        found = next;
    }
    match (many, found.first()) {
        (true, _) => Ok(found.into_iter().cloned().collect()),
        (false, Some(value)) => Ok((*value).clone()),
        (false, None) => Err(format!("nothing at `{path}`")),
    }
}

fn follow<'a>(value: &'a Value, step: &Step, found: &mut Vec<&'a Value>) {
    match (step, value) {
        (Step::Member(name), Value::Object(map)) => found.extend(map.get(name)),
        (Step::Index(index), Value::Array(items)) => {
            let at = if *index < 0 { index + items.len() as i64 } else { *index };
            found.extend(usize::try_from(at).ok().and_then(|at| items.get(at)));
        }
        (Step::All, Value::Object(map)) => found.extend(map.values()),
        (Step::All, Value::Array(items)) => found.extend(items),
        (Step::Slice(from, to), Value::Array(items)) => {
            let length = items.len() as i64;
            let bound = |at: i64| (if at < 0 { at + length } else { at }).clamp(0, length) as usize;
            found.extend(items.iter().take(bound(*to)).skip(bound(*from)));
        }
        (Step::Where(groups), Value::Array(items)) => {
            let fits = |item: &&Value| groups.iter().any(|group| group.iter().all(|test| holds(item, test)));
            found.extend(items.iter().filter(fits));
        }
        (Step::Below, value) => {
            found.push(value);
            match value {
                Value::Object(map) => map.values().for_each(|value| follow(value, step, found)),
                Value::Array(items) => items.iter().for_each(|value| follow(value, step, found)),
                _ => {}
            }
        }
        _ => {}
    }
}

fn holds(item: &Value, test: &Test) -> bool {
    let found = test.path.iter().try_fold(item, |value, name| value.get(name));
    let (Some(found), Some((operator, wanted))) = (found, &test.wanted) else {
        return found.is_some() && test.wanted.is_none();
    };
    let order = match (found.as_f64(), wanted.as_f64()) {
        (Some(a), Some(b)) => a.partial_cmp(&b),
        _ => found.as_str().zip(wanted.as_str()).map(|(a, b)| a.cmp(b)),
    };
    match *operator {
        "==" => crate::eval::equal(found, wanted),
        "!=" => !crate::eval::equal(found, wanted),
        ">=" => order.is_some_and(std::cmp::Ordering::is_ge),
        "<=" => order.is_some_and(std::cmp::Ordering::is_le),
        ">" => order.is_some_and(std::cmp::Ordering::is_gt),
        _ => order.is_some_and(std::cmp::Ordering::is_lt),
    }
}

/// What is inside `[?( )]`.
fn filter(text: &str) -> Option<Step> {
    let group = |group: &str| group.split("&&").map(comparison).collect::<Option<Vec<Test>>>();
    text.split("||").map(group).collect::<Option<Vec<_>>>().map(Step::Where)
}

/// `@.a.b == "text"`.
fn comparison(text: &str) -> Option<Test> {
    let found = ["==", "!=", ">=", "<=", ">", "<"]
        .into_iter()
        .find_map(|op| text.split_once(op).map(|(a, b)| (a, op, b)));
    let (path, wanted) = match found {
        None => (text, None),
        Some((path, operator, value)) => {
            let value = value.trim();
            let quoted = value.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            let value =
                quoted.map_or_else(|| serde_json::from_str(value).ok(), |text| Some(Value::from(text)))?;
            (path, Some((operator, value)))
        }
    };
    let path = path.trim().strip_prefix('@')?;
    let path = path.split('.').filter(|name| !name.is_empty()).map(|name| name.trim().to_owned()).collect();
    Some(Test { path, wanted })
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            steps.push(Step::Below);
            rest = after;
            if rest.starts_with('[') {
                continue;
            }
            rest = name(rest, &mut steps)?;
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = if after.is_empty() || after.starts_with('[') { after } else { name(after, &mut steps)? };
        } else if let Some(after) = rest.strip_prefix('[') {
            rest = bracket(after, &mut steps)?;
        } else {
            rest = name(rest, &mut steps)?;
        }
    }
    Some(steps)
}

fn name<'a>(rest: &'a str, steps: &mut Vec<Step>) -> Option<&'a str> {
    let mut word = String::new();
    let mut chars = rest.char_indices();
    let mut end = rest.len();
    while let Some((at, c)) = chars.next() {
        match c {
            // kubectl's way to name a key with dots: `{.data.a\.b}`.
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            '.' | '[' => {
                end = at;
                break;
            }
            c => word.push(c),
        }
    }
    if word.is_empty() {
        return None;
    }
    steps.push(if word == "*" { Step::All } else { Step::Member(word) });
    Some(&rest[end..])
}

fn bracket<'a>(rest: &'a str, steps: &mut Vec<Step>) -> Option<&'a str> {
    for quote in ['\'', '"'] {
        if let Some(after) = rest.strip_prefix(quote) {
            let end = after.find(quote)?;
            steps.push(Step::Member(after[..end].to_owned()));
            return after[end + 1..].strip_prefix(']');
        }
    }
    if let Some(inside) = rest.strip_prefix("?(") {
        let end = inside.find(")]")?;
        steps.push(filter(&inside[..end])?);
        return Some(&inside[end + 2..]);
    }
    let end = rest.find(']')?;
    let inside = rest[..end].trim();
    if let Some((from, to)) = inside.split_once(':') {
        let bound =
            |text: &str, none| if text.trim().is_empty() { Some(none) } else { text.trim().parse().ok() };
        steps.push(Step::Slice(bound(from, 0)?, bound(to, i64::MAX)?));
        return Some(&rest[end + 1..]);
    }
    steps.push(if inside == "*" { Step::All } else { Step::Index(inside.parse().ok()?) });
    Some(&rest[end + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_values() {
        let document = json!({"a": [{"n": 1}, {"n": 2}], "b.c": {"d": true}});
        let check =
            |path: &str, expected: Value| assert_eq!(json_path(&document, path), Ok(expected), "{path}");
        check("$.a[1].n", json!(2));
        check("$.a[-1]['n']", json!(2));
        check("$.a[*].n", json!([1, 2]));
        check("$..n", json!([1, 2]));
        check("{.b\\.c.d}", json!(true));
        assert!(json_path(&document, "$.nope").is_err());
        check("$.a[?(@.n > 1)].n", json!([2]));
        check("$.a[?(@.n=='x')]", json!([]));
        check("$.a[?(@.n)].n", json!([1, 2]));
        assert!(json_path(&document, "$.a[?(@.n > )]").is_err());
        check("$.a[0:1].n", json!([1]));
        check("$.a[-1:]", json!([{"n": 2}]));
        check("$.a[?(@.n>1 && @.n<3)].n", json!([2]));
        check("$.a[?(@.n==1 || @.n==2)].n", json!([1, 2]));
        assert!(json_path(&document, "$.a[0:1:2]").is_err());
    }
}
