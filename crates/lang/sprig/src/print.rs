//! Go's `fmt`: how values print, and `printf`.

use std::fmt::Write as _;

use galley_yaml::number::float_g;

use crate::quote::{quote_ascii, quote_char};
use crate::value::{IntType, MAX_DEPTH, Value};

pub use crate::quote::quote;

/// Widest padding and precision, as in Go.
const TOO_LARGE: usize = 1_000_000;

/// A value as `%v` prints it.
pub fn show(value: &Value) -> String {
    let mut out = String::new();
    write_v(&mut out, value, &Spec::plain('v'), 0);
    out
}

/// `fmt.Sprint`: spaces only between operands of which neither is a string.
pub fn sprint(values: &[Value]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        let text = |value: &Value| matches!(value, Value::Text(_));
        if index > 0 && !text(value) && !text(&values[index - 1]) {
            out.push(' ');
        }
        out.push_str(&show(value));
    }
    out
}

/// `fmt.Sprintln`: spaces between operands and a newline.
pub fn sprintln(values: &[Value]) -> String {
    let mut out = values.iter().map(show).collect::<Vec<_>>().join(" ");
    out.push('\n');
    out
}

/// A verb with its flags.
#[derive(Clone, Debug)]
struct Spec {
    verb: char,
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Spec {
    fn plain(verb: char) -> Spec {
        Spec {
            verb,
            plus: false,
            minus: false,
            sharp: false,
            space: false,
            zero: false,
            width: None,
            precision: None,
        }
    }
}

/// `fmt.Sprintf`.
pub fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut printer =
        Printer { format: format.chars().collect(), at: 0, arguments, next: 0, reordered: false };
    printer.run()
}

struct Printer<'a> {
    format: Vec<char>,
    at: usize,
    arguments: &'a [Value],
    next: usize,
    reordered: bool,
}

impl Printer<'_> {
    fn run(&mut self) -> String {
        let mut out = String::new();
        while self.at < self.format.len() {
            let letter = self.format[self.at];
            self.at += 1;
            if letter == '%' {
                self.verb(&mut out);
            } else {
                out.push(letter);
            }
        }
        if !self.reordered && self.next < self.arguments.len() {
            let extra: Vec<String> = self.arguments[self.next..]
                .iter()
                .map(|value| match value {
                    Value::Nil => "<nil>".to_owned(),
                    value => format!("{}={}", value.type_name(), show(value)),
                })
                .collect();
            let _ = write!(out, "%!(EXTRA {})", extra.join(", "));
        }
        out
    }

    fn peek(&self) -> Option<char> {
        self.format.get(self.at).copied()
    }

    /// `[3]` before a verb, a width or a precision; false if it is malformed.
    fn index(&mut self) -> bool {
        if self.peek() != Some('[') {
            return true;
        }
        self.reordered = true;
        let Some(length) = self.format[self.at..].iter().position(|c| *c == ']') else {
            self.at += 1;
            return false;
        };
        let inside: String = self.format[self.at + 1..self.at + length].iter().collect();
        self.at += length + 1;
        match inside.parse::<usize>() {
            Ok(number) if (1..=self.arguments.len()).contains(&number) => {
                self.next = number - 1;
                true
            }
            _ => false,
        }
    }

    /// A number or `*`; `Err` if `*` has no integer.
    fn number(&mut self) -> Result<Option<i64>, ()> {
        if self.peek() == Some('*') {
            self.at += 1;
            let value = self.arguments.get(self.next);
            self.next += 1;
            return match value {
                Some(Value::Int(value, _)) if value.unsigned_abs() <= TOO_LARGE as u64 => Ok(Some(*value)),
                _ => Err(()),
            };
        }
        let mut value: Option<i64> = None;
        while let Some(digit) = self.peek().and_then(|c| c.to_digit(10)) {
            let next = value.unwrap_or(0) * 10 + i64::from(digit);
            value = Some(next.min(TOO_LARGE as i64));
            self.at += 1;
        }
        Ok(value)
    }

    fn verb(&mut self, out: &mut String) {
        let mut spec = Spec::plain('v');
        while let Some(flag) = self.peek() {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            self.at += 1;
        }
        let mut good = self.index();
        match self.number() {
            Ok(Some(width)) => {
                spec.minus |= width < 0;
                spec.width = Some(width.unsigned_abs() as usize);
            }
            Ok(None) => {}
            Err(()) => out.push_str("%!(BADWIDTH)"),
        }
        if self.peek() == Some('.') {
            self.at += 1;
            good &= self.index();
            match self.number() {
                Ok(Some(precision)) if precision < 0 => out.push_str("%!(BADPREC)"),
                Ok(precision) => spec.precision = Some(precision.unwrap_or(0) as usize),
                Err(()) => out.push_str("%!(BADPREC)"),
            }
        }
        good &= self.index();
        let Some(verb) = self.peek() else {
            out.push_str("%!(NOVERB)");
            return;
        };
        self.at += 1;
        spec.verb = verb;
        spec.zero &= !spec.minus;
        if verb == '%' {
            out.push('%');
        } else if !good {
            let _ = write!(out, "%!{verb}(BADINDEX)");
        } else if let Some(value) = self.arguments.get(self.next) {
            self.next += 1;
            self.argument(out, value, &spec);
        } else {
            let _ = write!(out, "%!{verb}(MISSING)");
        }
    }

    fn argument(&self, out: &mut String, value: &Value, spec: &Spec) {
        match spec.verb {
            'T' => pad(out, &value.type_name(), &Spec { zero: false, ..spec.clone() }),
            'v' if spec.sharp => write_go(out, value, 0),
            _ => write_v(out, value, spec, 0),
        }
    }
}

/// Writes text to the width that is asked for.
fn pad(out: &mut String, text: &str, spec: &Spec) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    let fill = |out: &mut String, with: char| out.extend(std::iter::repeat_n(with, missing));
    if spec.minus {
        out.push_str(text);
        fill(out, ' ');
    } else {
        fill(out, if spec.zero { '0' } else { ' ' });
        out.push_str(text);
    }
}

/// Writes a number: zeros of the padding go after its sign.
fn pad_number(out: &mut String, text: &str, spec: &Spec) {
    let missing = spec.width.unwrap_or(0).saturating_sub(text.chars().count());
    if spec.zero && missing > 0 {
        let (sign, digits) = match text.strip_prefix(['-', '+', ' ']) {
            Some(digits) => (&text[..1], digits),
            None => ("", text),
        };
        let _ = write!(out, "{sign}{}{digits}", "0".repeat(missing));
    } else {
        pad(out, text, spec);
    }
}

fn bad_verb(out: &mut String, value: &Value, verb: char) {
    match value {
        Value::Nil => {
            let _ = write!(out, "%!{verb}(<nil>)");
        }
        value => {
            let _ = write!(out, "%!{verb}({}={})", value.type_name(), show(value));
        }
    }
}

/// Writes a value with a verb; lists and maps apply it to their parts.
fn write_v(out: &mut String, value: &Value, spec: &Spec, depth: usize) {
    if depth > MAX_DEPTH {
        out.push_str("...");
        return;
    }
    match value {
        Value::Nil => match spec.verb {
            'v' => pad(out, "<nil>", spec),
            verb => bad_verb(out, value, verb),
        },
        Value::Bool(flag) => match spec.verb {
            'v' | 't' => pad(out, if *flag { "true" } else { "false" }, spec),
            verb => bad_verb(out, value, verb),
        },
        Value::Int(number, _) => write_int(out, value, *number, spec),
        Value::Float(number) => write_float(out, value, *number, spec),
        Value::Text(text) => write_text(out, value, text, spec),
        Value::Bytes(bytes) => match spec.verb {
            's' | 'q' | 'x' | 'X' => write_text(out, value, &String::from_utf8_lossy(bytes), spec),
            _ => {
                let list = bytes.iter().map(|byte| Value::Int(i64::from(*byte), IntType::Uint8));
                write_list(out, list, spec, depth);
            }
        },
        Value::List(list) => write_list(out, list.items().iter().cloned(), spec, depth),
        Value::Map(map) => {
            out.push_str("map[");
            for (index, (key, value)) in map.entries().iter().enumerate() {
                if index > 0 {
                    out.push(' ');
                }
                write_text(out, &Value::Nil, key, spec);
                out.push(':');
                write_v(out, value, spec, depth + 1);
            }
            out.push(']');
        }
        Value::Time(time) => write_text(out, value, &time.to_string(), spec),
        Value::Object(object) => match object.plain() {
            Some(plain) => write_v(out, &plain, spec, depth + 1),
            None => write_text(out, value, &object.show(), spec),
        },
    }
}

fn write_list(out: &mut String, items: impl Iterator<Item = Value>, spec: &Spec, depth: usize) {
    out.push('[');
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(' ');
        }
        write_v(out, &item, spec, depth + 1);
    }
    out.push(']');
}

fn write_int(out: &mut String, value: &Value, number: i64, spec: &Spec) {
    let magnitude = number.unsigned_abs();
    let character = || u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
    let digits = match spec.verb {
        'v' | 'd' => magnitude.to_string(),
        'b' if spec.sharp => format!("0b{magnitude:b}"),
        'b' => format!("{magnitude:b}"),
        'o' if spec.sharp => format!("0{magnitude:o}"),
        'o' => format!("{magnitude:o}"),
        'O' => format!("0o{magnitude:o}"),
        'x' if spec.sharp => format!("0x{magnitude:x}"),
        'x' => format!("{magnitude:x}"),
        'X' if spec.sharp => format!("0X{magnitude:X}"),
        'X' => format!("{magnitude:X}"),
        'c' => return pad(out, &character().to_string(), spec),
        'q' => return pad(out, &quote_char(character()), spec),
        'U' => return pad(out, &format!("U+{magnitude:04X}"), spec),
        verb => return bad_verb(out, value, verb),
    };
    let digits = match spec.precision {
        Some(0) if number == 0 => String::new(),
        Some(precision) => format!("{}{digits}", "0".repeat(precision.saturating_sub(digits.len()))),
        None => digits,
    };
    let sign = sign_of(number < 0, spec);
    // A precision turns padding with zeros off.
    let zero = spec.zero && spec.precision.is_none();
    pad_number(out, &format!("{sign}{digits}"), &Spec { zero, ..spec.clone() });
}

fn sign_of(negative: bool, spec: &Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        _ => "",
    }
}

fn write_float(out: &mut String, value: &Value, number: f64, spec: &Spec) {
    let magnitude = number.abs();
    let digits = match (spec.verb, spec.precision) {
        _ if !number.is_finite() => {
            let text = if number.is_nan() { "NaN" } else { "Inf" };
            let sign = if number.is_infinite() && number > 0.0 { "+" } else { sign_of(number < 0.0, spec) };
            return pad(out, &format!("{sign}{text}"), &Spec { zero: false, ..spec.clone() });
        }
        ('v' | 'g' | 'G', None) => float_g(magnitude),
        ('v' | 'g' | 'G', Some(precision)) => general(magnitude, precision.max(1)),
        ('f' | 'F', precision) => format!("{magnitude:.*}", precision.unwrap_or(6)),
        ('e' | 'E', precision) => exponent(magnitude, precision.unwrap_or(6)),
        (verb, _) => return bad_verb(out, value, verb),
    };
    let digits = if matches!(spec.verb, 'G' | 'E') { digits.to_uppercase() } else { digits };
    let sign = sign_of(number.is_sign_negative(), spec);
    pad_number(out, &format!("{sign}{digits}"), spec);
}

/// `1.500000e+06`
fn exponent(value: f64, precision: usize) -> String {
    let text = format!("{value:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

/// `%.3g`: that many significant digits, in the shorter form.
fn general(value: f64, precision: usize) -> String {
    let text = exponent(value, precision - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            text.to_owned()
        }
    };
    if power < -4 || power >= precision as i32 {
        return format!("{}e{exponent}", trim(mantissa));
    }
    let decimals = usize::try_from(precision as i32 - 1 - power).unwrap_or(0);
    trim(&format!("{value:.decimals$}"))
}

fn write_text(out: &mut String, value: &Value, text: &str, spec: &Spec) {
    let cut = |text: &str| match spec.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text.to_owned(),
    };
    match spec.verb {
        'v' | 's' => pad(out, &cut(text), spec),
        'q' if spec.sharp && !text.contains(['`', '\n', '\u{7f}']) => {
            pad(out, &format!("`{}`", cut(text)), spec)
        }
        'q' if spec.plus => pad(out, &quote_ascii(&cut(text)), spec),
        'q' => pad(out, &quote(&cut(text)), spec),
        'x' => pad(out, &hex(text, spec, false), spec),
        'X' => pad(out, &hex(text, spec, true), spec),
        verb => match value {
            Value::Nil => {
                let _ = write!(out, "%!{verb}(string={text})");
            }
            value => bad_verb(out, value, verb),
        },
    }
}

fn hex(text: &str, spec: &Spec, upper: bool) -> String {
    let bytes = text.bytes().take(spec.precision.unwrap_or(usize::MAX));
    let pairs: Vec<String> =
        bytes.map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect();
    let prefix = if !spec.sharp {
        ""
    } else if upper {
        "0X"
    } else {
        "0x"
    };
    match (spec.space, pairs.is_empty()) {
        (_, true) => String::new(),
        (true, _) => pairs.iter().map(|pair| format!("{prefix}{pair}")).collect::<Vec<_>>().join(" "),
        (false, _) => format!("{prefix}{}", pairs.concat()),
    }
}

/// `%#v`: Go syntax.
fn write_go(out: &mut String, value: &Value, depth: usize) {
    if depth > MAX_DEPTH {
        out.push_str("...");
        return;
    }
    match value {
        Value::Text(text) => out.push_str(&quote(text)),
        Value::List(list) if list.is_nil() => {
            let _ = write!(out, "{}(nil)", value.type_name());
        }
        Value::List(list) => {
            let _ = write!(out, "{}{{", value.type_name());
            for (index, item) in list.items().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_go(out, item, depth + 1);
            }
            out.push('}');
        }
        Value::Map(map) => {
            let _ = write!(out, "{}{{", value.type_name());
            for (index, (key, item)) in map.entries().iter().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                let _ = write!(out, "{}:", quote(key));
                write_go(out, item, depth + 1);
            }
            out.push('}');
        }
        Value::Nil => out.push_str("<nil>"),
        Value::Int(number, IntType::Uint64 | IntType::Uint8) => {
            let _ = write!(out, "0x{number:x}");
        }
        other => out.push_str(&show(other)),
    }
}

/// The string form that `toString`, `quote` and `join` use.
pub fn strval(value: &Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => show(other),
    }
}
