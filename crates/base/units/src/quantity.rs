//! Quantities as Kubernetes writes them: `200m`, `512Mi`, `1.5`, `5Gi`, `1e3`.

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a quantity; write a number with an optional unit, such as `500m`, `256Mi` or `2`")]
pub struct QuantityError {
    /// The text as given.
    pub text: String,
}

/// Reads a quantity in base units (cores, bytes, counts).
///
/// # Errors
/// [`QuantityError`] if the number or the suffix is unknown.
pub fn parse_quantity(text: &str) -> Result<f64, QuantityError> {
    let error = || QuantityError { text: text.to_owned() };
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((text, 1.0));
    let value: f64 = number.parse().map_err(|_| error())?;
    if value.is_finite() && !number.contains(char::is_whitespace) { Ok(value * factor) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kubernetes_quantities() {
        for (text, value) in
            [("200m", 0.2), ("256Mi", 268_435_456.0), ("2", 2.0), ("1e3", 1000.0), ("1.5G", 1.5e9)]
        {
            assert_eq!(parse_quantity(text), Ok(value), "{text}");
        }
        for bad in ["", "Mi", "5 Mi", "nan", "1x"] {
            assert!(parse_quantity(bad).is_err(), "{bad}");
        }
    }
}
