//! Functions over numbers, with the lenient conversions of sprig: what is no number counts as 0.

use crate::function::{Function, Param, function, int, sized};
use crate::lists::steps;
use crate::print::show;
use crate::value::{IntType, Value};

use Param::{Any, Float, Int, Text};

/// An integer result of arithmetic.
fn number(value: i64) -> Result<Value, String> {
    Ok(Value::Int(value, IntType::Int64))
}

fn float(value: f64) -> Result<Value, String> {
    Ok(Value::Float(value))
}

fn fold(a: &[Value], start: i64, op: fn(i64, i64) -> i64) -> Result<Value, String> {
    number(a.iter().map(to_int).fold(start, op))
}

pub(crate) const FUNCTIONS: &[Function] = &[
    function("add", &[], Some(Any), |_, a| fold(a, 0, i64::wrapping_add)),
    function("add1", &[Any], None, |_, a| fold(a, 1, i64::wrapping_add)),
    function("sub", &[Any, Any], None, |_, a| number(to_int(&a[0]).wrapping_sub(to_int(&a[1])))),
    function("mul", &[Any], Some(Any), |_, a| fold(a, 1, i64::wrapping_mul)),
    function("div", &[Any, Any], None, |_, a| divide(a, i64::wrapping_div)),
    function("mod", &[Any, Any], None, |_, a| divide(a, i64::wrapping_rem)),
    function("max", &[Any], Some(Any), |_, a| fold(a, i64::MIN, i64::max)),
    function("biggest", &[Any], Some(Any), |_, a| fold(a, i64::MIN, i64::max)),
    function("min", &[Any], Some(Any), |_, a| fold(a, i64::MAX, i64::min)),
    function("maxf", &[Any], Some(Any), |_, a| {
        float(a.iter().map(to_float).fold(f64::NEG_INFINITY, f64::max))
    }),
    function("minf", &[Any], Some(Any), |_, a| float(a.iter().map(to_float).fold(f64::INFINITY, f64::min))),
    function("addf", &[], Some(Any), |_, a| decimals(Value::Float(0.0), a, Decimal::add)),
    function("add1f", &[Any], None, |_, a| decimals(a[0].clone(), &[Value::Float(1.0)], Decimal::add)),
    function("subf", &[Any], Some(Any), |_, a| {
        decimals(a[0].clone(), &a[1..], |x, y| x.add(Decimal { digits: -y.digits, ..y }))
    }),
    function("mulf", &[Any], Some(Any), |_, a| decimals(a[0].clone(), &a[1..], Decimal::multiply)),
    function("divf", &[Any], Some(Any), |_, a| {
        let mut result = to_float(&a[0]);
        for divisor in &a[1..] {
            let divisor = to_float(divisor);
            if divisor == 0.0 {
                return Err("decimal division by 0".to_owned());
            }
            // Sixteen digits after the point, as the decimals of sprig.
            result = format!("{:.16}", result / divisor).parse().unwrap_or(0.0);
        }
        float(result)
    }),
    function("floor", &[Any], None, |_, a| float(to_float(&a[0]).floor())),
    function("ceil", &[Any], None, |_, a| float(to_float(&a[0]).ceil())),
    function("round", &[Any, Int], Some(Float), |_, a| {
        let turn = a.get(2).map_or(0.5, to_float);
        let power = 10f64.powi(i32::try_from(int(a, 1)).unwrap_or(0));
        let digit = power * to_float(&a[0]);
        let rounded = if digit.fract() >= turn { digit.ceil() } else { digit.floor() };
        float(rounded / power)
    }),
    function("int", &[Any], None, |_, a| Ok(Value::Int(to_int(&a[0]), IntType::Int))),
    function("int64", &[Any], None, |_, a| number(to_int(&a[0]))),
    function("float64", &[Any], None, |_, a| float(to_float(&a[0]))),
    function("atoi", &[Text], None, |_, a| {
        let text = a[0].as_text().unwrap_or_default();
        // Too large a number counts as the largest one; Go's result is the same.
        let value = text.parse::<i64>().or_else(|error| match error.kind() {
            std::num::IntErrorKind::PosOverflow => Ok(i64::MAX),
            std::num::IntErrorKind::NegOverflow => Ok(i64::MIN),
            _ => Err(error),
        });
        Ok(Value::Int(value.unwrap_or(0), IntType::Int))
    }),
    function("toDecimal", &[Any], None, |_, a| number(i64::from_str_radix(&show(&a[0]), 8).unwrap_or(0))),
    function("seq", &[], Some(Int), |_, a| {
        let numbers = match a {
            [_] => sequence(1, int(a, 0), None)?,
            [_, _] => sequence(int(a, 0), int(a, 1), None)?,
            [_, _, _] => sequence(int(a, 0), int(a, 2), Some(int(a, 1)))?,
            _ => Vec::new(),
        };
        sized(numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(" "))
    }),
    function("randInt", &[Int, Int], None, |context, a| {
        let (low, high) = (int(a, 0), int(a, 1));
        let span = high.checked_sub(low).filter(|span| *span > 0).ok_or("invalid argument to Intn")?;
        let bytes = context.random(8)?;
        let draw = bytes.iter().fold(0u64, |draw, byte| draw << 8 | u64::from(*byte));
        Ok(Value::Int(low + (draw % span.unsigned_abs()) as i64, IntType::Int))
    }),
];

fn divide(a: &[Value], op: fn(i64, i64) -> i64) -> Result<Value, String> {
    match to_int(&a[1]) {
        0 => Err("runtime error: integer divide by zero".to_owned()),
        divisor => number(op(to_int(&a[0]), divisor)),
    }
}

/// `seq`: both ends are included.
fn sequence(start: i64, end: i64, step: Option<i64>) -> Result<Vec<i64>, String> {
    let down = end < start;
    let increment = if down { -1 } else { 1 };
    if down && step.is_some_and(|step| step > 0) {
        return Ok(Vec::new());
    }
    steps(start, end.saturating_add(increment), step.unwrap_or(increment))
}

/// A number as sprig's conversions see it.
pub(crate) fn to_int(value: &Value) -> i64 {
    match value {
        Value::Int(value, _) => *value,
        Value::Float(value) => *value as i64,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => text_to_int(text),
        _ => 0,
    }
}

/// Text as an integer in Go's notations (`0x1f`, `017`); `2.0` counts, `2.5` does not.
fn text_to_int(text: &str) -> i64 {
    let text = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    let (negative, digits) = match text.strip_prefix(['-', '+']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.starts_with(['-', '+']) {
        return 0;
    }
    // Underscores may stand between digits, and after a prefix.
    let spaced =
        !digits.ends_with('_') && !digits.contains("__") && (radix != 10 || !digits.starts_with('_'));
    let digits = if spaced { digits.replace('_', "") } else { digits.to_owned() };
    let magnitude = i128::from(u64::from_str_radix(&digits, radix).unwrap_or(0));
    i64::try_from(if negative { -magnitude } else { magnitude }).unwrap_or(0)
}

/// A float as sprig's conversions see it.
pub(crate) fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(value, _) => *value as f64,
        Value::Float(value) => *value,
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Text(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// A decimal number: `digits` times ten to the `exponent`. Sums of floats come out as people expect them.
#[derive(Clone, Copy)]
struct Decimal {
    digits: i128,
    exponent: i32,
}

impl Decimal {
    fn of(value: f64) -> Option<Decimal> {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        Some(Decimal { digits, exponent: exponent.parse::<i32>().ok()? - fraction.len() as i32 })
    }

    fn scaled(self, exponent: i32) -> Option<i128> {
        self.digits.checked_mul(10i128.checked_pow(u32::try_from(self.exponent - exponent).ok()?)?)
    }

    fn add(self, other: Decimal) -> Option<Decimal> {
        let exponent = self.exponent.min(other.exponent);
        let digits = self.scaled(exponent)?.checked_add(other.scaled(exponent)?)?;
        Some(Decimal { digits, exponent })
    }

    fn multiply(self, other: Decimal) -> Option<Decimal> {
        let digits = self.digits.checked_mul(other.digits)?;
        Some(Decimal { digits, exponent: self.exponent + other.exponent })
    }

    fn value(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap_or(0.0)
    }
}

fn decimals(
    start: Value,
    rest: &[Value],
    op: fn(Decimal, Decimal) -> Option<Decimal>,
) -> Result<Value, String> {
    let too_large = || "the numbers are too large or too different in size".to_owned();
    let mut result = Decimal::of(to_float(&start)).ok_or_else(too_large)?;
    for value in rest {
        let value = Decimal::of(to_float(value)).ok_or_else(too_large)?;
        result = op(result, value).ok_or_else(too_large)?;
    }
    float(result.value())
}
