//! Numbers and quoted texts as Go writes them.

use crate::ast::Number;

/// Reads a number; Go's message if it is none.
pub(crate) fn number(written: &str) -> Result<Number, String> {
    let bad = || format!("bad number syntax: {written:?}");
    let plain = written.replace('_', "");
    let (sign, digits) = match plain.strip_prefix(['-', '+']) {
        Some(digits) => (if plain.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, plain.as_str()),
    };
    if let Some(float) = hex_float(digits) {
        let float = float * f64::from(sign as i8);
        let int = (float.fract() == 0.0 && float.abs() < 9.2e18).then_some(float as i64);
        return Ok(Number { int, float, is_float: true });
    }
    let (radix, body) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] if digits.bytes().all(|byte| byte.is_ascii_digit()) => (8, &digits[1..]),
        _ => (10, digits),
    };
    let int = i128::from_str_radix(body, radix).ok().map(|value| value * sign);
    let is_float = radix == 10 && digits.contains(['.', 'e', 'E']);
    let float = match int {
        Some(value) => value as f64,
        None if radix == 10 => plain.parse::<f64>().ok().filter(|value| value.is_finite()).ok_or_else(bad)?,
        None => return Err(bad()),
    };
    let int = match int {
        Some(value) => Some(i64::try_from(value).map_err(|_| format!("{written} overflows int"))?),
        None if float.fract() == 0.0 && float.abs() < 9e15 => Some(float as i64),
        None => None,
    };
    Ok(Number { int, float, is_float })
}

/// `0x1.8p3`: a hexadecimal number and a power of two.
fn hex_float(digits: &str) -> Option<f64> {
    let body = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"))?;
    let (number, power) = body.split_once(['p', 'P'])?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() > 13 || whole.len() + fraction.len() == 0 {
        return None;
    }
    let number = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()? as f64;
    let power = power.parse::<i32>().ok().filter(|power| power.abs() <= 1000)?;
    Some(number * 2f64.powi(power - 4 * fraction.len() as i32))
}

/// Resolves Go's escapes; nothing if one is wrong.
pub(crate) fn unescape(text: &str, quote: char) -> Option<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    let mut at = 0;
    while let Some(letter) = letters.get(at) {
        at += 1;
        if *letter != '\\' {
            out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            continue;
        }
        let code = *letters.get(at)?;
        at += 1;
        let digits = |from: usize, count: usize, radix: u32| {
            let text: String = letters.get(from..from + count)?.iter().collect();
            u32::from_str_radix(&text, radix).ok()
        };
        let simple = match code {
            'a' => Some(7),
            'b' => Some(8),
            'f' => Some(12),
            'n' => Some(b'\n'),
            'r' => Some(b'\r'),
            't' => Some(b'\t'),
            'v' => Some(11),
            '\\' => Some(b'\\'),
            c if c == quote => Some(quote as u8),
            _ => None,
        };
        if let Some(byte) = simple {
            out.push(byte);
            continue;
        }
        match code {
            'x' => {
                out.push(u8::try_from(digits(at, 2, 16)?).ok()?);
                at += 2;
            }
            'u' | 'U' => {
                let count = if code == 'u' { 4 } else { 8 };
                let letter = char::from_u32(digits(at, count, 16)?)?;
                out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
                at += count;
            }
            '0'..='7' => {
                out.push(u8::try_from(digits(at - 1, 3, 8)?).ok()?);
                at += 2;
            }
            _ => return None,
        }
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
