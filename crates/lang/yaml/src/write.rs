//! Values become YAML exactly as `sigs.k8s.io/yaml` writes it.
//!
//! Keys sorted the natural way (`a2` before `a10`), lists not indented below their key, strings quoted only where
//! another reading is possible, long lines folded at 80 columns, text of several lines as a literal block.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::number::float_g;
use crate::resolve;

/// Column after which long strings are folded.
const BEST_WIDTH: usize = 80;
/// Keys longer than this are written after a `?`.
const SIMPLE_KEY: usize = 128;

/// The value as YAML; ends with a newline.
pub fn to_string(value: &Value) -> String {
    let mut writer = Writer { out: String::new() };
    match value {
        Value::Object(map) if !map.is_empty() => writer.mapping(map, 0),
        Value::Array(items) if !items.is_empty() => writer.sequence(items, 0),
        scalar => writer.leaf(scalar, 2, false),
    }
    if !writer.out.ends_with('\n') {
        writer.out.push('\n');
    }
    writer.out
}

struct Writer {
    out: String,
}

impl Writer {
    /// Writes the entries at `indent`; the cursor already stands at the first one.
    fn mapping(&mut self, map: &Map<String, Value>, indent: usize) {
        let mut entries: Vec<(&String, &Value)> = map.iter().collect();
        entries.sort_by(|(a, _), (b, _)| natural(a, b));
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                self.line(indent);
            }
            if key.len() <= SIMPLE_KEY && !key.contains(is_break) {
                self.text(key, indent + 2, true);
                self.out.push(':');
                self.after_key(value, indent);
            } else {
                self.out.push_str("? ");
                self.text(key, indent + 2, false);
                self.line(indent);
                self.out.push_str(": ");
                self.compact(value, indent);
            }
        }
    }

    fn after_key(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                self.line(indent + 2);
                self.mapping(map, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                self.line(indent);
                self.sequence(items, indent);
            }
            scalar => {
                self.out.push(' ');
                self.leaf(scalar, indent + 2, false);
            }
        }
    }

    /// Writes the items at `indent`; the cursor already stands at the first one.
    fn sequence(&mut self, items: &[Value], indent: usize) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.line(indent);
            }
            self.out.push_str("- ");
            self.compact(item, indent);
        }
    }

    /// Writes a value right after `- `, `? ` or `: `.
    fn compact(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(map) if !map.is_empty() => self.mapping(map, indent + 2),
            Value::Array(items) if !items.is_empty() => self.sequence(items, indent + 2),
            scalar => self.leaf(scalar, indent + 2, false),
        }
    }

    fn leaf(&mut self, value: &Value, indent: usize, key: bool) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Number(number) => self.out.push_str(&number_text(number)),
            Value::String(text) => self.text(text, indent, key),
            Value::Array(_) => self.out.push_str("[]"),
            Value::Object(_) => self.out.push_str("{}"),
        }
    }

    /// Starts a new line at `indent`, unless a block scalar has just ended one.
    fn line(&mut self, indent: usize) {
        if !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        self.pad(indent);
    }

    fn pad(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    fn column(&self) -> usize {
        let start = self.out.rfind('\n').map_or(0, |newline| newline + 1);
        self.out[start..].chars().count()
    }

    fn text(&mut self, text: &str, indent: usize, key: bool) {
        let facts = Facts::of(text);
        let plain = resolve::is_text(text) && !text.is_empty();
        if text.contains('\n') {
            if key || !facts.block { self.double(text, indent, key) } else { self.literal(text, indent) }
        } else if !plain {
            self.double(text, indent, key);
        } else if facts.plain {
            self.folded(text, indent, !key, false);
        } else if facts.single {
            self.out.push('\'');
            self.folded(text, indent, !key, true);
            self.out.push('\'');
        } else {
            self.double(text, indent, key);
        }
    }

    /// Writes plain or single-quoted text, folded at single spaces past the best width.
    fn folded(&mut self, text: &str, indent: usize, fold: bool, quoted: bool) {
        let letters: Vec<char> = text.chars().collect();
        let mut column = self.column();
        let (mut after_space, mut after_break) = (false, false);
        for (index, letter) in letters.iter().enumerate() {
            if after_break && !is_break(*letter) {
                self.pad(indent);
                column = indent;
            }
            after_break = is_break(*letter);
            let inside = !quoted || (index > 0 && index + 1 < letters.len());
            let alone = !after_space && letters.get(index + 1) != Some(&' ');
            if *letter == ' ' && fold && column > BEST_WIDTH && alone && inside {
                self.out.push('\n');
                self.pad(indent);
                column = indent;
            } else {
                if quoted && *letter == '\'' {
                    self.out.push('\'');
                    column += 1;
                }
                self.out.push(*letter);
                column += 1;
            }
            after_space = *letter == ' ';
        }
    }

    fn double(&mut self, text: &str, indent: usize, key: bool) {
        self.out.push('"');
        let letters: Vec<char> = text.chars().collect();
        let mut column = self.column();
        let mut after_space = false;
        for (index, letter) in letters.iter().enumerate() {
            let before = self.out.len();
            let inside = index > 0 && index + 1 < letters.len();
            if *letter == ' ' && !key && !after_space && column > BEST_WIDTH && inside {
                self.out.push('\n');
                self.pad(indent);
                column = indent;
                if letters.get(index + 1) == Some(&' ') {
                    self.out.push('\\');
                    column += 1;
                }
            } else {
                escape(*letter, &mut self.out);
                column += self.out.len() - before;
            }
            after_space = *letter == ' ';
        }
        self.out.push('"');
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with(|c| c == ' ' || is_break(c)) {
            self.out.push('2');
        }
        let mut backwards = text.chars().rev();
        match (backwards.next().is_some_and(is_break), backwards.next()) {
            (false, _) => self.out.push('-'),
            (true, None) => self.out.push('+'),
            (true, Some(before)) if is_break(before) => self.out.push('+'),
            _ => {}
        }
        self.out.push('\n');
        let mut fresh = true;
        for letter in text.chars() {
            if fresh && !is_break(letter) {
                self.pad(indent);
            }
            fresh = is_break(letter);
            self.out.push(letter);
        }
    }
}

/// Which styles a text allows.
struct Facts {
    plain: bool,
    single: bool,
    block: bool,
}

impl Facts {
    fn of(text: &str) -> Facts {
        let mut indicator = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut space_break, mut break_space, mut breaks) = (false, false, false, false);
        let mut previous = '\0';
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let first = previous == '\0';
            let next_blank = letters.peek().is_none_or(|next| matches!(next, ' ' | '\t'));
            indicator |= match letter {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                | '`' => first || (letter == '#' && (matches!(previous, ' ' | '\t') || is_break(previous))),
                '?' | '-' => first && next_blank,
                ':' => next_blank,
                _ => false,
            };
            special |= !is_printable(letter);
            if letter == ' ' {
                break_space |= is_break(previous);
            } else if is_break(letter) {
                breaks = true;
                space_break |= previous == ' ';
            }
            previous = letter;
        }
        let edge = |c: char| c == ' ' || is_break(c);
        let at_edges = text.starts_with(edge) || text.ends_with(edge);
        let broken = space_break || special;
        Facts {
            plain: !(indicator || broken || breaks || break_space || at_edges),
            single: !(broken || break_space),
            block: !(broken || text.ends_with(' ')),
        }
    }
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What the writer of Go's YAML takes for printable: no tabs, and nothing beyond the basic plane.
fn is_printable(c: char) -> bool {
    matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && c != '\u{feff}'
}

fn escape(c: char, out: &mut String) {
    let short = match c {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        c if is_printable(c) => {
            out.push(c);
            return;
        }
        c => {
            let code = u32::from(c);
            out.push_str(&match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
            return;
        }
    };
    out.push('\\');
    out.push(short);
}

fn number_text(number: &Number) -> String {
    if let Some(value) = number.as_i64() {
        return value.to_string();
    }
    if let Some(value) = number.as_u64() {
        return value.to_string();
    }
    let value = number.as_f64().unwrap_or(0.0);
    if value.fract() == 0.0 && value.abs() < 1.8e19 {
        // Goes through JSON as an integer.
        return format!("{value:.0}").replace("-0", if value == 0.0 { "0" } else { "-0" });
    }
    float_g(value)
}

/// The order of keys: letters after all else, runs of digits by their number.
fn natural(a: &str, b: &str) -> Ordering {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = (0..a.len().min(b.len())).find(|i| a[*i] != b[*i]) else { return a.len().cmp(&b.len()) };
    let (left, right) = (a[at], b[at]);
    match (left.is_alphabetic(), right.is_alphabetic()) {
        (true, true) => return left.cmp(&right),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let mut seed = 0u64;
    if left == '0' || right == '0' {
        let digits = a[..at].iter().rev().take_while(|c| c.is_ascii_digit());
        if digits.into_iter().any(|c| *c != '0') {
            seed = 1;
        }
    }
    let run = |letters: &[char]| {
        let digits = letters[at..].iter().take_while(|c| c.is_ascii_digit());
        digits.fold((seed, 0usize), |(number, count), c| {
            (number.wrapping_mul(10).wrapping_add(u64::from(*c) - u64::from('0')), count + 1)
        })
    };
    let ((left_number, left_count), (right_number, right_count)) = (run(&a), run(&b));
    left_number.cmp(&right_number).then(left_count.cmp(&right_count)).then(left.cmp(&right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_as_kubernetes_does() {
        let value = json!({"b": [{"x": 1, "y": [1, 2]}, [true, null]], "a": {}, "c": "on", "d": "multi\nline\n", "e": []});
        assert_eq!(
            to_string(&value),
            "a: {}\nb:\n- x: 1\n  \"y\":\n  - 1\n  - 2\n- - true\n  - null\nc: \"on\"\nd: |\n  multi\n  line\ne: []\n"
        );
    }

    #[test]
    fn keys_are_in_natural_order() {
        let value = json!({"a10": 1, "a2": 1, "B": 1, "a-1": 1, "1": 1});
        assert_eq!(to_string(&value), "\"1\": 1\nB: 1\na-1: 1\na2: 1\na10: 1\n");
    }

    #[test]
    fn numbers_keep_their_meaning() {
        assert_eq!(to_string(&json!(-0.0)), "0\n");
        assert_eq!(to_string(&json!(1e6)), "1000000\n");
        assert_eq!(to_string(&json!(1234567.5)), "1.2345675e+06\n");
        assert_eq!(to_string(&json!(u64::MAX)), "18446744073709551615\n");
    }
}
