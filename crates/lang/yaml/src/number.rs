//! Numbers as Go prints them.
//!
//! Charts and manifests show numbers to people in Go's spellings (`1e+06`, `0.1`), so the rooms above share these
//! two functions: the `%v` form and the form of `encoding/json`.

/// A float as Go's `%v` prints it: `1e+06`, `0.5`, `3`.
///
/// ```
/// assert_eq!(galley_yaml::number::float_g(1_000_000.0), "1e+06");
/// assert_eq!(galley_yaml::number::float_g(3.0), "3");
/// ```
pub fn float_g(value: f64) -> String {
    float_between(value, -4, 6, true)
}

/// A float as Go's `encoding/json` writes it: `1000000`, `1e-7`, `1e+21`.
pub fn float_json(value: f64) -> String {
    float_between(value, -6, 21, false)
}

/// Writes `value` with the fewest digits that read back the same; as a plain decimal if its exponent is in
/// `low..high`. Go pads the exponent to two digits in `%g` and not in JSON.
fn float_between(value: f64, low: i32, high: i32, padded: bool) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < low || exponent >= high {
        let sign = if exponent < 0 { '-' } else { '+' };
        let digits = exponent.unsigned_abs();
        return if padded {
            format!("{mantissa}e{sign}{digits:02}")
        } else {
            format!("{mantissa}e{sign}{digits}")
        };
    }
    format!("{value}")
}
