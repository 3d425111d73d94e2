//! Tokens of expr-lang.

use crate::ExprError;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Int(i64),
    Float(f64),
    Str(String),
    Name(String),
    /// Operators and punctuation, words such as `in`, `and`, `matches` included.
    Op(&'static str),
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: usize,
}

const SYMBOLS: [&str; 37] = [
    "...", "?.", "??", "..", "**", "==", "!=", "<=", ">=", "&&", "||", "::", "+", "-", "*", "/", "%", "^",
    "<", ">", "!", "?", ":", ";", ",", ".", "(", ")", "[", "]", "{", "}", "#", "|", "=", "&", "~",
];
const WORDS: [&str; 9] = ["in", "not", "and", "or", "matches", "contains", "startsWith", "endsWith", "let"];

/// Cuts the source into tokens; the last one is always [`Kind::End`].
pub(crate) fn lex(source: &str) -> Result<Vec<Token>, ExprError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let start = at;
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let rest = &source[at..];
        let kind = if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit()))
        {
            let (kind, length) =
                number(rest).ok_or_else(|| ExprError::at(source, at, "bad number syntax"))?;
            at += length;
            kind
        } else if c == '"' || c == '\'' || c == '`' {
            let (text, length) =
                string(rest, c).ok_or_else(|| ExprError::at(source, at, "literal not terminated"))?;
            at += length;
            Kind::Str(text)
        } else if c.is_alphabetic() || c == '_' || c == '$' {
            let length =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(rest.len());
            at += length;
            let word = &rest[..length];
            WORDS
                .iter()
                .find(|known| **known == word)
                .map_or_else(|| Kind::Name(word.to_owned()), |op| Kind::Op(op))
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)).ok_or_else(|| {
                ExprError::at(source, at, &format!("unrecognized character: U+{:04X} '{c}'", c as u32))
            })?;
            at += symbol.len();
            Kind::Op(symbol)
        };
        tokens.push(Token { kind, at: start });
    }
    // expr-lang points at the last character when the text ends too early.
    tokens.push(Token { kind: Kind::End, at: source.len().saturating_sub(1) });
    Ok(tokens)
}

fn number(rest: &str) -> Option<(Kind, usize)> {
    let bytes = rest.as_bytes();
    if rest.len() > 2 && bytes[0] == b'0' && matches!(bytes[1] | 0x20, b'x' | b'o' | b'b') {
        let radix = match bytes[1] | 0x20 {
            b'x' => 16,
            b'o' => 8,
            _ => 2,
        };
        let length =
            rest[2..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len() - 2);
        let digits = rest[2..2 + length].replace('_', "");
        return i64::from_str_radix(&digits, radix).ok().map(|value| (Kind::Int(value), 2 + length));
    }
    let digits = |from: usize| {
        from + rest[from..].find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(rest.len() - from)
    };
    let mut end = digits(0);
    let mut is_float = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1) != Some(&b'.') {
        is_float = true;
        end = digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            is_float = true;
            end = digits(end + 1 + sign);
        }
    }
    if rest[end..].starts_with(|c: char| c.is_alphabetic()) {
        return None;
    }
    let text = rest[..end].replace('_', "");
    if !is_float && let Ok(value) = text.parse() {
        return Some((Kind::Int(value), end));
    }
    text.parse().ok().map(|value| (Kind::Float(value), end))
}

fn string(rest: &str, quote: char) -> Option<(String, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((text, at + 1));
        }
        if c != '\\' || quote == '`' {
            text.push(c);
            continue;
        }
        let (_, escaped) = chars.next()?;
        match escaped {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            '0' => text.push('\0'),
            'u' => {
                let code: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                text.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
            }
            other => text.push(other),
        }
    }
    None
}
