//! Numbers in the JSON form of protocol buffers: integers may arrive as strings, `NaN` and infinities always do.

/// Serde functions for 64-bit integers: written as numbers, read from numbers or strings.
pub mod int {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use serde_json::Value;

    /// Writes a number.
    pub fn serialize<S: Serializer>(value: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(*value)
    }

    /// Reads a number or a string that holds one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let value = Value::deserialize(deserializer)?;
        super::as_int(&value).ok_or_else(|| D::Error::custom(format!("{value} is not an integer")))
    }
}

/// Serde functions for 64-bit integers that may be absent.
pub mod optional_int {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
    use serde_json::Value;

    /// Writes a number or null.
    pub fn serialize<S: Serializer>(value: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    /// Reads a number, a string that holds one, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_null() {
            return Ok(None);
        }
        super::as_int(&value).map(Some).ok_or_else(|| D::Error::custom(format!("{value} is not an integer")))
    }
}

/// Serde functions for doubles: `NaN` and the infinities are strings.
pub mod double {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use serde_json::Value;

    /// Writes a number, or one of `"NaN"`, `"Infinity"`, `"-Infinity"`.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match *value {
            value if value.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f64(value),
        }
    }

    /// Reads a number or a string that holds one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let value = Value::deserialize(deserializer)?;
        super::as_double(&value).ok_or_else(|| D::Error::custom(format!("{value} is not a number")))
    }
}

/// The integer that a JSON value holds, as a number (also `3.0`) or as text.
pub fn as_int(value: &serde_json::Value) -> Option<i64> {
    match value {
        serde_json::Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64()?;
            // Exact in an f64 up to 2^53; anything else was not meant as an integer.
            (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        }),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The double that a JSON value holds, as a number or as text.
pub fn as_double(value: &serde_json::Value) -> Option<f64> {
    match value {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_and_doubles_arrive_as_text_too() {
        assert_eq!(as_int(&json!("1700000000000")), Some(1_700_000_000_000));
        assert_eq!(as_int(&json!(3.0)), Some(3));
        assert_eq!(as_int(&json!(3.5)), None);
        assert_eq!(as_int(&json!(true)), None);
        assert!(as_double(&json!("NaN")).is_some_and(f64::is_nan));
        assert_eq!(as_double(&json!("-Infinity")), Some(f64::NEG_INFINITY));
    }
}
