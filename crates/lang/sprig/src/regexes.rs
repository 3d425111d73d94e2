//! Regular expressions in Go's syntax, which is nearly Rust's.

use regex::Regex;

use crate::function::{Function, Param, function, int, sized, text};
use crate::value::{Elem, List, Value};

use Param::{Int, Text};

pub(crate) const FUNCTIONS: &[Function] = &[
    function("regexMatch", &[Text, Text], None, |_, a| {
        Ok(Value::Bool(compile(text(a, 0)).is_ok_and(|regex| regex.is_match(text(a, 1)))))
    }),
    function("mustRegexMatch", &[Text, Text], None, |_, a| {
        Ok(Value::Bool(compile(text(a, 0))?.is_match(text(a, 1))))
    }),
    function("regexFind", &[Text, Text], None, |_, a| find(a)),
    function("mustRegexFind", &[Text, Text], None, |_, a| find(a)),
    function("regexFindAll", &[Text, Text, Int], None, |_, a| find_all(a)),
    function("mustRegexFindAll", &[Text, Text, Int], None, |_, a| find_all(a)),
    function("regexReplaceAll", &[Text, Text, Text], None, |_, a| replace(a, false)),
    function("mustRegexReplaceAll", &[Text, Text, Text], None, |_, a| replace(a, false)),
    function("regexReplaceAllLiteral", &[Text, Text, Text], None, |_, a| replace(a, true)),
    function("mustRegexReplaceAllLiteral", &[Text, Text, Text], None, |_, a| replace(a, true)),
    function("regexSplit", &[Text, Text, Int], None, |_, a| split(a)),
    function("mustRegexSplit", &[Text, Text, Int], None, |_, a| split(a)),
    function("regexQuoteMeta", &[Text], None, |_, a| {
        let special = |c: char| r"\.+*?()|[]{}^$".contains(c);
        let mut out = String::new();
        for letter in text(a, 0).chars() {
            if special(letter) {
                out.push('\\');
            }
            out.push(letter);
        }
        sized(out)
    }),
];

fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&translated(pattern)).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        format!("error parsing regexp: {reason}: `{pattern}`")
    })
}

/// Go's pattern as Rust reads it: in classes, Go takes `[`, `&&`, `--` and `~~` as letters, and a `-` after `\w` too.
fn translated(pattern: &str) -> String {
    let letters: Vec<char> = pattern.chars().collect();
    let mut out = String::with_capacity(pattern.len() + 8);
    let (mut at, mut inside, mut after_set) = (0, false, false);
    while let Some(letter) = letters.get(at) {
        let next = letters.get(at + 1);
        let set = after_set;
        after_set = false;
        match letter {
            '\\' => {
                out.push('\\');
                // `\/` and its like are the letter itself in Go; Rust knows only signs that mean something.
                match next {
                    Some('z') => out.push('z'),
                    Some(next) => {
                        after_set = inside && "dswDSW".contains(*next);
                        out.push(*next);
                    }
                    None => {}
                }
                at += 2;
                continue;
            }
            '[' if !inside => {
                inside = true;
                out.push('[');
                if letters.get(at + 1) == Some(&'^') {
                    at += 1;
                    out.push('^');
                }
                if letters.get(at + 1) == Some(&']') {
                    at += 1;
                    out.push_str("\\]");
                }
            }
            '[' if next == Some(&':') => {
                let end = letters[at..].iter().position(|c| *c == ']').map_or(letters.len(), |n| at + n + 1);
                out.extend(&letters[at..end]);
                after_set = true;
                at = end;
                continue;
            }
            '[' => out.push_str("\\["),
            ']' => {
                inside = false;
                out.push(']');
            }
            '-' if set && next != Some(&']') => out.push_str("\\-"),
            '&' | '~' | '-' if inside && next == Some(letter) => {
                out.push('\\');
                out.push(*letter);
            }
            letter => out.push(*letter),
        }
        at += 1;
    }
    out
}

fn find(a: &[Value]) -> Result<Value, String> {
    Ok(Value::text(compile(text(a, 0))?.find(text(a, 1)).map_or("", |found| found.as_str())))
}

/// At most `count` of them, all if it is negative.
fn most(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn find_all(a: &[Value]) -> Result<Value, String> {
    let regex = compile(text(a, 0))?;
    let found: Vec<&str> =
        regex.find_iter(text(a, 1)).take(most(int(a, 2))).map(|found| found.as_str()).collect();
    Ok(if found.is_empty() { Value::List(List::nil(Elem::Text)) } else { Value::texts(found) })
}

fn replace(a: &[Value], literal: bool) -> Result<Value, String> {
    let (regex, subject, with) = (compile(text(a, 0))?, text(a, 1), text(a, 2));
    if subject.len().saturating_add(1).saturating_mul(with.len() + 1) > 1 << 30 {
        return Err("the text would be too long".to_owned());
    }
    sized(if literal {
        regex.replace_all(subject, regex::NoExpand(with)).into_owned()
    } else {
        regex.replace_all(subject, with).into_owned()
    })
}

/// `regexp.Split`: empty matches split between characters, but not at the ends.
fn split(a: &[Value]) -> Result<Value, String> {
    let (regex, subject, count) = (compile(text(a, 0))?, text(a, 1), int(a, 2));
    if count == 0 {
        return Ok(Value::List(List::nil(Elem::Text)));
    }
    if !text(a, 0).is_empty() && subject.is_empty() {
        return Ok(Value::texts([""]));
    }
    let mut parts = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(subject) {
        if count > 0 && parts.len() as i64 == count - 1 {
            break;
        }
        end = found.start();
        if found.end() != 0 {
            parts.push(&subject[begin..end]);
        }
        begin = found.end();
    }
    if end != subject.len() {
        parts.push(&subject[begin..]);
    }
    Ok(Value::texts(parts))
}
