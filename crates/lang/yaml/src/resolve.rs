//! What a plain scalar means.
//!
//! The rules are those of the YAML library of Kubernetes (YAML 1.1 booleans, `0777` octal, underscores in numbers),
//! so `on`, `1_000` and `0o17` mean here what they mean to `kubectl`. Dates stay strings, as they do there.

/// A scalar with its meaning decided.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    /// `null`, `~` or nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// A larger integer.
    Uint(u64),
    /// A float.
    Float(f64),
    /// A string, or whatever nothing else claims.
    Text,
}

/// The meaning of an untagged plain scalar.
pub(crate) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => float(text),
        b'+' | b'-' | b'0'..=b'9' => number(text),
        _ => Scalar::Text,
    }
}

/// Whether a plain scalar with this text is read back as the same string.
pub(crate) fn is_text(text: &str) -> bool {
    resolve(text) == Scalar::Text && !looks_base_60(text) && text != "<<" && !looks_like_date(text)
}

fn number(text: &str) -> Scalar {
    let plain = text.replace('_', "");
    if let Some(found) = integer(&plain) {
        return found;
    }
    if is_style_float(&plain) { float(&plain) } else { Scalar::Text }
}

/// Reads an integer with Go's prefixes: `0x`, `0o`, `0b`, and `0` for octal.
pub(crate) fn integer(plain: &str) -> Option<Scalar> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0i64.checked_sub_unsigned(magnitude).map(Scalar::Int)
    } else {
        Some(i64::try_from(magnitude).map_or(Scalar::Uint(magnitude), Scalar::Int))
    }
}

fn float(text: &str) -> Scalar {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Scalar::Float(value),
        _ => Scalar::Text,
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_style_float(text: &str) -> bool {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole == 0 && count == 0 {
            return false;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return false;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && exponent.len() == count;
    }
    rest.is_empty()
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`: a YAML 1.1 number to base 60, which other readers may see.
fn looks_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let mut count = 0;
    let sixties = parts.all(|part| {
        count += 1;
        matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9'])
    });
    let numeric = |text: &str| text.bytes().all(|c| c.is_ascii_digit() || c == b'_');
    sixties && count > 0 && numeric(first) && numeric(fraction)
}

/// Whether Go's YAML would take the text for a timestamp: `2006-1-2`, perhaps with a time.
fn looks_like_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let mut number = |lengths: std::ops::RangeInclusive<usize>| {
        let part = parts.next().filter(|part| lengths.contains(&part.len()))?;
        part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse::<u16>().ok()).flatten()
    };
    let found = (number(4..=4), number(1..=2), number(1..=2));
    let (Some(year), Some(month), Some(day)) = found else { return false };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        2 => 28 + u16::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 0,
    };
    let dated = (1..=days).contains(&day) && parts.next().is_none();
    dated && time.is_none_or(|time| time.starts_with(|c: char| c.is_ascii_digit()) && time.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_they_mean_to_kubernetes() {
        for (text, expected) in [
            ("", Scalar::Null),
            ("on", Scalar::Bool(true)),
            ("N", Scalar::Bool(false)),
            ("12", Scalar::Int(12)),
            ("-12", Scalar::Int(-12)),
            ("+12", Scalar::Int(12)),
            ("1_000", Scalar::Int(1000)),
            ("0777", Scalar::Int(511)),
            ("0o17", Scalar::Int(15)),
            ("0x1F", Scalar::Int(31)),
            ("0b11", Scalar::Int(3)),
            ("089", Scalar::Float(89.0)),
            ("1e3", Scalar::Float(1000.0)),
            (".5", Scalar::Float(0.5)),
            ("5.", Scalar::Float(5.0)),
            ("1.2.3", Scalar::Text),
            ("1e400", Scalar::Text),
            ("-", Scalar::Text),
            ("+-1", Scalar::Text),
            ("18446744073709551615", Scalar::Uint(u64::MAX)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)),
            ("2024-01-02", Scalar::Text),
            ("nope", Scalar::Text),
        ] {
            assert_eq!(resolve(text), expected, "{text}");
        }
        assert!(!is_text("12:30:45"));
        assert!(!is_text("2024-01-02"));
        assert!(is_text("10.0.0.1"));
    }
}
