//! Functions over text.

use std::rc::Rc;

use crate::case;
use crate::function::{Function, Param, function, int, list, sized, text};
use crate::print::{quote, show, strval};
use crate::value::{Map, MapType, Value};

use Param::{Any, Int, Text};

/// A function from one text to one text.
macro_rules! plain {
    ($name:literal, $body:expr) => {
        function($name, &[Text], None, |_, a| {
            let body: fn(&str) -> String = $body;
            sized(body(text(a, 0)))
        })
    };
}

pub(crate) const FUNCTIONS: &[Function] = &[
    plain!("trim", |s| s.trim_matches(is_space).to_owned()),
    plain!("upper", str::to_uppercase),
    plain!("lower", str::to_lowercase),
    plain!("title", case::title),
    plain!("untitle", case::untitle),
    plain!("swapcase", case::swap),
    plain!("snakecase", |s| case::words(s, '_')),
    plain!("kebabcase", |s| case::words(s, '-')),
    plain!("camelcase", case::pascal),
    plain!("nospace", |s| s.chars().filter(|c| !is_space(*c)).collect()),
    plain!("initials", case::initials),
    function("trunc", &[Int, Text], None, |_, a| Ok(Value::text(trunc(int(a, 0), text(a, 1))))),
    function("substr", &[Int, Int, Text], None, |_, a| substr(int(a, 0), int(a, 1), text(a, 2))),
    function("abbrev", &[Int, Text], None, |_, a| sized(abbreviate(text(a, 1), 0, int(a, 0)))),
    function("abbrevboth", &[Int, Int, Text], None, |_, a| {
        let (left, right) = (int(a, 0), int(a, 1));
        let whole = right < 4 || left > 0 && right < 7;
        sized(if whole { text(a, 2).to_owned() } else { abbreviate(text(a, 2), left, right) })
    }),
    function("repeat", &[Int, Text], None, |_, a| {
        let count = usize::try_from(int(a, 0)).map_err(|_| "strings: negative Repeat count".to_owned())?;
        let (count, text) = limit(count, text(a, 1))?;
        sized(text.repeat(count))
    }),
    function("trimAll", &[Text, Text], None, |_, a| trim_all(a)),
    function("trimall", &[Text, Text], None, |_, a| trim_all(a)),
    function("trimSuffix", &[Text, Text], None, |_, a| {
        let (suffix, s) = (text(a, 0), text(a, 1));
        Ok(Value::text(s.strip_suffix(suffix).unwrap_or(s)))
    }),
    function("trimPrefix", &[Text, Text], None, |_, a| {
        let (prefix, s) = (text(a, 0), text(a, 1));
        Ok(Value::text(s.strip_prefix(prefix).unwrap_or(s)))
    }),
    function("contains", &[Text, Text], None, |_, a| Ok(Value::Bool(text(a, 1).contains(text(a, 0))))),
    function("hasPrefix", &[Text, Text], None, |_, a| Ok(Value::Bool(text(a, 1).starts_with(text(a, 0))))),
    function("hasSuffix", &[Text, Text], None, |_, a| Ok(Value::Bool(text(a, 1).ends_with(text(a, 0))))),
    function("replace", &[Text, Text, Text], None, |_, a| {
        let (old, new, s) = (text(a, 0), text(a, 1), text(a, 2));
        limit(s.len() / old.len().max(1) + 1, new)?;
        sized(s.replace(old, new))
    }),
    function("plural", &[Text, Text, Int], None, |_, a| {
        Ok(Value::text(text(a, usize::from(int(a, 2) != 1))))
    }),
    function("indent", &[Int, Text], None, |_, a| indent(int(a, 0), text(a, 1), "")),
    function("nindent", &[Int, Text], None, |_, a| indent(int(a, 0), text(a, 1), "\n")),
    function("quote", &[], Some(Any), |_, a| sized(join_present(a, |value| quote(&strval(value))))),
    function("squote", &[], Some(Any), |_, a| sized(join_present(a, |value| format!("'{}'", show(value))))),
    function("cat", &[], Some(Any), |_, a| {
        // Go trims the format, not what is formatted.
        sized(join_present(a, show))
    }),
    function("toString", &[Any], None, |_, a| sized(strval(&a[0]))),
    function("wrap", &[Int, Text], None, |_, a| sized(wrap(text(a, 1), int(a, 0), "\n", false))),
    function("wrapWith", &[Int, Text, Text], None, |_, a| {
        let line = if text(a, 1).is_empty() { "\n" } else { text(a, 1) };
        limit(text(a, 2).len() / usize::try_from(int(a, 0)).unwrap_or(1).max(1) + 1, line)?;
        sized(wrap(text(a, 2), int(a, 0), line, true))
    }),
    function("split", &[Text, Text], None, |_, a| split(text(a, 0), None, text(a, 1))),
    function("splitn", &[Text, Int, Text], None, |_, a| split(text(a, 0), Some(int(a, 1)), text(a, 2))),
    function("splitList", &[Text, Text], None, |_, a| Ok(Value::texts(pieces(text(a, 0), text(a, 1))))),
    function("join", &[Text, Any], None, |_, a| sized(texts_of(&a[1]).join(text(a, 0)))),
    function("toStrings", &[Any], None, |_, a| Ok(Value::texts(texts_of(&a[0])))),
    function("sortAlpha", &[Any], None, |_, a| {
        let mut texts = match list(a, 0, "") {
            Ok(_) => texts_of(&a[0]),
            Err(_) => vec![strval(&a[0])],
        };
        texts.sort();
        Ok(Value::texts(texts))
    }),
    function("shuffle", &[Text], None, |context, a| {
        let mut letters: Vec<char> = text(a, 0).chars().collect();
        let random = context.random(letters.len() * 4)?;
        for at in (1..letters.len()).rev() {
            let draw = u32::from_le_bytes([
                random[at * 4],
                random[at * 4 + 1],
                random[at * 4 + 2],
                random[at * 4 + 3],
            ]);
            letters.swap(at, draw as usize % (at + 1));
        }
        Ok(Value::text(letters.into_iter().collect::<String>()))
    }),
    function("hello", &[], None, |_, _| Ok(Value::text("Hello!"))),
];

/// Go's `unicode.IsSpace`.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// Refuses a repetition whose result would be too long.
fn limit(count: usize, text: &str) -> Result<(usize, &str), String> {
    match count.checked_mul(text.len()) {
        Some(size) if size <= crate::function::MAX_SIZE => Ok((count, text)),
        _ => Err("the text would be too long".to_owned()),
    }
}

/// The nearest place at or before `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Counts bytes, as Go does, but never cuts a character in two.
fn trunc(count: i64, text: &str) -> &str {
    let length = text.len() as i64;
    if count < 0 && length + count > 0 {
        return &text[floor(text, (length + count) as usize)..];
    }
    if count >= 0 && length > count { &text[..floor(text, count as usize)] } else { text }
}

fn substr(start: i64, end: i64, text: &str) -> Result<Value, String> {
    let length = text.len() as i64;
    let (from, to) = match (start, end) {
        (start, end) if start < 0 => (0, end),
        (start, end) if end < 0 || end > length => (start, length),
        both => both,
    };
    if from < 0 || to < from || to > length {
        return Err(format!("runtime error: slice bounds out of range [{from}:{to}] with length {length}"));
    }
    Ok(Value::text(&text[floor(text, from as usize)..floor(text, to as usize)]))
}

/// Shortens to `width` with dots; from `offset` on if it is more than a little.
fn abbreviate(text: &str, offset: i64, width: i64) -> String {
    let length = text.len() as i64;
    if width < 4 || length <= width {
        return text.to_owned();
    }
    let mut offset = offset.clamp(0, length);
    if length - offset < width - 3 {
        offset = length - (width - 3);
    }
    let cut = |from: i64, to: i64| &text[floor(text, from as usize)..floor(text, to as usize)];
    if offset <= 4 {
        return format!("{}...", cut(0, width - 3));
    }
    if width < 7 {
        return String::new();
    }
    if offset + width - 3 < length {
        return format!("...{}", abbreviate(cut(offset, length), 0, width - 3));
    }
    format!("...{}", cut(length - (width - 3), length))
}

fn trim_all(a: &[Value]) -> Result<Value, String> {
    let cut = text(a, 0);
    Ok(Value::text(text(a, 1).trim_matches(|c| cut.contains(c))))
}

fn indent(spaces: i64, text: &str, before: &str) -> Result<Value, String> {
    let spaces = usize::try_from(spaces).map_err(|_| "strings: negative Repeat count".to_owned())?;
    limit(text.matches('\n').count() + 1, " ")?;
    if spaces > 10_000 || spaces * (text.matches('\n').count() + 1) > crate::function::MAX_SIZE {
        return Err("the text would be too long".to_owned());
    }
    let pad = " ".repeat(spaces);
    sized(format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn join_present(values: &[Value], show: impl Fn(&Value) -> String) -> String {
    values.iter().filter(|value| !value.is_nil()).map(show).collect::<Vec<_>>().join(" ")
}

/// The text of every item that is there; of the value itself if it is no list.
pub(crate) fn texts_of(value: &Value) -> Vec<String> {
    match value.plain() {
        Value::List(list) => list.items().iter().filter(|item| !item.is_nil()).map(strval).collect(),
        Value::Nil => Vec::new(),
        other => vec![strval(&other)],
    }
}

/// `strings.Split`: an empty separator splits between characters.
fn pieces(separator: &str, text: &str) -> Vec<String> {
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    text.split(separator).map(str::to_owned).collect()
}

fn split(separator: &str, count: Option<i64>, text: &str) -> Result<Value, String> {
    let parts = match count {
        None => pieces(separator, text),
        Some(0) => Vec::new(),
        Some(count) if count < 0 => pieces(separator, text),
        Some(count) if separator.is_empty() => {
            let mut letters = text.char_indices();
            let mut parts: Vec<String> =
                letters.by_ref().take(count as usize - 1).map(|(_, letter)| letter.to_string()).collect();
            if let Some((at, _)) = letters.next() {
                parts.push(text[at..].to_owned());
            }
            parts
        }
        Some(count) => text.splitn(count as usize, separator).map(str::to_owned).collect(),
    };
    let entries =
        parts.into_iter().enumerate().map(|(index, part)| (Rc::from(format!("_{index}")), Value::text(part)));
    Ok(Value::Map(Map::typed(entries.collect(), MapType::Text)))
}

/// Breaks a line at spaces; long words stay whole unless `long` is set.
fn wrap(text: &str, width: i64, newline: &str, long: bool) -> String {
    let width = usize::try_from(width).unwrap_or(1).max(1);
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut offset = 0;
    while bytes.len().saturating_sub(offset) > width {
        if bytes[offset] == b' ' {
            offset += 1;
            continue;
        }
        let window = &bytes[offset..(offset + width + 1).min(bytes.len())];
        if let Some(space) = window.iter().rposition(|byte| *byte == b' ') {
            out.push_str(&text[offset..offset + space]);
            out.push_str(newline);
            offset += space + 1;
        } else if long {
            let end = floor(text, offset + width).max(offset + 1);
            let end = (end..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(text.len());
            out.push_str(&text[offset..end]);
            out.push_str(newline);
            offset = end;
        } else {
            match bytes[offset + width..].iter().position(|byte| *byte == b' ') {
                Some(space) => {
                    out.push_str(&text[offset..offset + width + space]);
                    out.push_str(newline);
                    offset += width + space + 1;
                }
                None => {
                    out.push_str(&text[offset..]);
                    offset = bytes.len();
                }
            }
        }
    }
    out.push_str(&text[offset..]);
    out
}
