//! What names and values may look like, and how long they may be; MLflow's own limits and messages.

use crate::{ApiError, KeyValue, Metric};

/// Most metrics in one batch.
pub const MAX_METRICS_PER_BATCH: usize = 1000;
/// Most parameters, and most tags, in one batch.
pub const MAX_PARAMS_TAGS_PER_BATCH: usize = 100;
/// Most metrics, parameters and tags together in one batch.
pub const MAX_ENTITIES_PER_BATCH: usize = 1000;
/// Longest parameter value, in characters.
pub const MAX_PARAM_VALUE: usize = 6000;
/// Longest run tag value, in characters.
pub const MAX_TAG_VALUE: usize = 8000;
/// Longest experiment name, in characters.
pub const MAX_EXPERIMENT_NAME: usize = 500;
/// Longest experiment tag value, in characters.
pub const MAX_EXPERIMENT_TAG_VALUE: usize = 20_000;
/// Longest key of a metric, parameter or tag, in characters.
pub const MAX_KEY: usize = 250;
/// Longest tag value of a registered model or version, in characters.
pub const MAX_REGISTRY_TAG_VALUE: usize = 100_000;
/// Longest alias, in characters.
pub const MAX_ALIAS: usize = 255;
/// Longest free text (descriptions, sources, links), in characters.
pub const MAX_TEXT: usize = 5_000;
/// Longest name of a registered model, in characters.
pub const MAX_MODEL_NAME: usize = 256;
/// Most data sets in one request.
pub const MAX_DATASETS: usize = 1000;

const BAD_CHARACTERS: &str = "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces \
                              ( ), colon(:) and slashes (/).";

/// Checks that a text is not too long.
///
/// # Errors
/// MLflow's message.
pub fn length(what: &str, limit: usize, value: &str) -> Result<(), ApiError> {
    // Bytes bound characters from above, so most values need no counting.
    if value.len() <= limit || value.chars().count() <= limit {
        return Ok(());
    }
    Err(ApiError::invalid(format!("'{what}' exceeds the maximum length of {limit} characters")))
}

/// Checks the name of a metric, parameter or tag: its letters, that it is a plain path, and its length.
///
/// # Errors
/// MLflow's message, with `path` as the place in the request.
pub fn name(name: &str, path: &str) -> Result<(), ApiError> {
    let quoted = serde_json::Value::from(name);
    let invalid = |why: &str| {
        ApiError::invalid(format!("Invalid value {quoted} for parameter '{path}' supplied: {why}"))
    };
    if !name.chars().all(|c| c.is_alphanumeric() || "_-. :/".contains(c)) {
        return Err(invalid(BAD_CHARACTERS));
    }
    if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| matches!(part, "" | "." | ".."))
    {
        return Err(invalid(
            "Names may be treated as files in certain cases, and must not resolve to other names when treated as such.",
        ));
    }
    length(path, MAX_KEY, name)
}

/// Checks a run's parameter; a value that is too long is cut, as MLflow does.
///
/// # Errors
/// MLflow's message.
pub fn param(param: &mut KeyValue, path: &str) -> Result<(), ApiError> {
    cut(&mut param.value, MAX_PARAM_VALUE);
    name(&param.key, &format!("{path}key"))
}

/// Checks a run's tag; a value that is too long is cut, as MLflow does.
///
/// # Errors
/// MLflow's message.
pub fn tag(tag: &mut KeyValue, path: &str) -> Result<(), ApiError> {
    cut(&mut tag.value, MAX_TAG_VALUE);
    name(&tag.key, &format!("{path}key"))
}

/// Cuts a text to so many characters.
fn cut(value: &mut String, limit: usize) {
    if value.len() > limit
        && let Some((end, _)) = value.char_indices().nth(limit)
    {
        value.truncate(end);
    }
}

/// Checks an experiment's tag.
///
/// # Errors
/// MLflow's message.
pub fn experiment_tag(tag: &KeyValue) -> Result<(), ApiError> {
    name(&tag.key, "key")?;
    length("value", MAX_EXPERIMENT_TAG_VALUE, &tag.value)
}

/// Checks a tag of a registered model or of a version.
///
/// # Errors
/// MLflow's message.
pub fn registry_tag(tag: &KeyValue) -> Result<(), ApiError> {
    name(&tag.key, "key")?;
    length("value", MAX_REGISTRY_TAG_VALUE, &tag.value)
}

/// Checks one value of a metric.
///
/// # Errors
/// MLflow's message.
pub fn metric(metric: &Metric, path: &str) -> Result<(), ApiError> {
    name(&metric.key, &format!("{path}name"))?;
    if metric.timestamp < 0 {
        return Err(ApiError::invalid(format!(
            "Invalid value {} for parameter '{path}timestamp' supplied: metric '{}' (value={}). Timestamp must be a \
             nonnegative long (64-bit integer) ",
            metric.timestamp, metric.key, metric.value
        )));
    }
    Ok(())
}

/// Checks a whole batch: sizes first, then each part, then that no parameter is named twice.
///
/// # Errors
/// MLflow's message.
pub fn batch(metrics: &[Metric], params: &mut [KeyValue], tags: &mut [KeyValue]) -> Result<(), ApiError> {
    let count = |what: &str, limit: usize, found: usize| {
        if found <= limit {
            return Ok(());
        }
        Err(ApiError::invalid(format!(
            "A batch logging request can contain at most {limit} {what}. Got {found} {what}. Please split up {what} \
             across multiple requests and try again."
        )))
    };
    count("metrics", MAX_METRICS_PER_BATCH, metrics.len())?;
    count("params", MAX_PARAMS_TAGS_PER_BATCH, params.len())?;
    count("tags", MAX_PARAMS_TAGS_PER_BATCH, tags.len())?;
    count("metrics, params, and tags", MAX_ENTITIES_PER_BATCH, metrics.len() + params.len() + tags.len())?;
    for (index, item) in metrics.iter().enumerate() {
        metric(item, &format!("metrics[{index}]."))?;
    }
    for (index, item) in params.iter_mut().enumerate() {
        param(item, &format!("params[{index}]."))?;
    }
    for (index, item) in tags.iter_mut().enumerate() {
        tag(item, &format!("tags[{index}]."))?;
    }
    unique_params(params)
}

fn unique_params(params: &[KeyValue]) -> Result<(), ApiError> {
    let mut keys: Vec<&str> = params.iter().map(|param| param.key.as_str()).collect();
    keys.sort_unstable();
    let twice: Vec<&str> = keys.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Duplicate parameter keys have been submitted: ['{}']. Please ensure the request contains only one param value \
         per param key.",
        twice.join("', '")
    )))
}

/// Checks an experiment's name.
///
/// # Errors
/// MLflow's message.
pub fn experiment_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::invalid("Invalid experiment name: ''"));
    }
    length("name", MAX_EXPERIMENT_NAME, name)
}

/// Checks the name of a registered model.
///
/// # Errors
/// MLflow's message.
pub fn model_name(name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() {
        return Err(ApiError::missing("name"));
    }
    if name.contains(['/', ':']) || name == "." || name == ".." {
        return Err(ApiError::invalid(format!(
            "Invalid model name '{name}'. Names cannot contain '/' or ':'."
        )));
    }
    length("name", MAX_MODEL_NAME, name)
}

/// Checks the name of a logged model.
///
/// # Errors
/// MLflow's message.
pub fn logged_model_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.contains(['/', ':', '.', '%', '"', '\'']) {
        return Err(ApiError::invalid(format!(
            "Invalid model name ({name:?}) provided. Model name must be a non-empty string and cannot contain the \
             following characters: ('/', ':', '.', '%', '\"', \"'\")"
        )));
    }
    length("name", MAX_EXPERIMENT_NAME, name)
}

/// Reads a version number.
///
/// # Errors
/// MLflow's message.
pub fn version(text: &str) -> Result<i64, ApiError> {
    text.parse::<i64>()
        .ok()
        .filter(|version| *version >= 0)
        .ok_or_else(|| ApiError::invalid(format!("Parameter 'version' must be an integer, got '{text}'.")))
}

/// Checks an alias that is read or deleted.
///
/// # Errors
/// MLflow's message.
pub fn alias(alias: &str) -> Result<(), ApiError> {
    if alias.is_empty() {
        return Err(ApiError::invalid("Registered model alias name cannot be empty."));
    }
    if !alias.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-') {
        return Err(ApiError::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and dashes (-)."
        )));
    }
    length("Registered model alias name", MAX_ALIAS, alias)
}

/// Checks an alias that is to be set: `latest` and `v12` have meanings of their own.
///
/// # Errors
/// MLflow's message.
pub fn new_alias(name: &str) -> Result<(), ApiError> {
    alias(name)?;
    if name.eq_ignore_ascii_case("latest") {
        return Err(ApiError::invalid("'latest' alias name (case insensitive) is reserved."));
    }
    if name
        .strip_prefix(['v', 'V'])
        .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()))
    {
        return Err(ApiError::invalid(format!("Version alias name '{name}' is reserved.")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_paths() {
        for good in ["lr", "val/acc", "a b", "x:y", "mlflow.runName", "größe"] {
            assert!(name(good, "key").is_ok(), "{good}");
        }
        for bad in ["", "/x", "x/", "a//b", "../x", "a/./b", "x@y", "x\ny"] {
            assert!(name(bad, "key").is_err(), "{bad:?}");
        }
        assert!(name(&"k".repeat(251), "key").is_err());
    }

    #[test]
    fn batches_are_bounded_and_name_each_parameter_once() {
        let mut many: Vec<KeyValue> = (0..101).map(|n| KeyValue::new(format!("k{n}"), "v")).collect();
        let error = batch(&[], &mut many, &mut []).expect_err("too many");
        assert!(error.message.contains("at most 100 params. Got 101 params"), "{}", error.message);
        let mut twice = [KeyValue::new("a", "1"), KeyValue::new("a", "1")];
        assert!(
            batch(&[], &mut twice, &mut []).expect_err("twice").message.contains("Duplicate parameter keys")
        );
        let mut long = [KeyValue::new("a", "ü".repeat(6001))];
        batch(&[], &mut long, &mut []).expect("cut");
        assert_eq!(long[0].value.chars().count(), 6000);
    }

    #[test]
    fn some_aliases_are_reserved() {
        assert!(new_alias("staging-approved").is_ok());
        assert!(new_alias("vanilla").is_ok());
        for bad in ["latest", "LATEST", "v3", "V12", "", "a b"] {
            assert!(new_alias(bad).is_err(), "{bad}");
        }
        assert!(alias("latest").is_ok());
    }
}
