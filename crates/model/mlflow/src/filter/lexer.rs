//! Tokens of the search language.

use crate::ApiError;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A word, with its dotted and quoted parts as written: `metrics.acc`, ``tags.`a b` ``, `AND`.
    Word(String),
    /// A quoted text without its quotes.
    Text(String),
    /// A number as written.
    Number(String),
    /// `=`, `!=`, `<`, `<=`, `>`, `>=`, and anything else made of those letters.
    Symbol(String),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
}

impl Token {
    /// The token as a person wrote it, for messages.
    pub(super) fn shown(&self) -> String {
        match self {
            Token::Word(text) | Token::Number(text) | Token::Symbol(text) => text.clone(),
            Token::Text(text) => format!("'{text}'"),
            Token::Open => "(".into(),
            Token::Close => ")".into(),
            Token::Comma => ",".into(),
        }
    }

    /// The token is this keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// Longest filter, in bytes.
const MAX_FILTER: usize = 64 * 1024;

/// Splits a filter into tokens.
pub(super) fn tokens(filter: &str) -> Result<Vec<Token>, ApiError> {
    if filter.len() > MAX_FILTER {
        return Err(ApiError::invalid(format!("A filter may have at most {MAX_FILTER} bytes.")));
    }
    let mut found = Vec::new();
    let mut rest = filter.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            ',' => (Token::Comma, 1),
            '\'' | '"' => quoted(rest, first)?,
            '=' | '!' | '<' | '>' => {
                let length = rest.find(|c| !"=!<>".contains(c)).unwrap_or(rest.len());
                (Token::Symbol(rest[..length].to_owned()), length)
            }
            c if c.is_ascii_digit() || ((c == '-' || c == '.') && digit_follows(rest)) => {
                let length = number_length(rest);
                (Token::Number(rest[..length].to_owned()), length)
            }
            c if is_word(c) || c == '`' => {
                let length = word_length(rest)?;
                (Token::Word(rest[..length].to_owned()), length)
            }
            other => {
                return Err(ApiError::invalid(format!("Invalid clause(s) in filter string: '{other}'")));
            }
        };
        found.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn digit_follows(rest: &str) -> bool {
    rest[1..].trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
}

/// Length of a number: sign, digits, point, exponent.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut at = usize::from(bytes[0] == b'-');
    while at < bytes.len() {
        let sign_of_exponent = matches!(bytes[at], b'-' | b'+') && matches!(bytes[at - 1], b'e' | b'E');
        if !(bytes[at].is_ascii_digit()
            || matches!(bytes[at], b'.' | b'e' | b'E')
            || (at > 0 && sign_of_exponent))
        {
            break;
        }
        at += 1;
    }
    at
}

/// Length of a word: letters and points, and after a point also a part in back-quotes or double quotes.
fn word_length(rest: &str) -> Result<usize, ApiError> {
    let mut at = 0;
    while let Some(c) = rest[at..].chars().next() {
        let opens_part = at == 0 || rest[..at].ends_with('.');
        if is_word(c) || (c == '.' && at > 0) {
            at += c.len_utf8();
        } else if (c == '`' || (c == '"' && at > 0)) && opens_part {
            let end = rest[at + 1..].find(c).ok_or_else(|| unclosed(&rest[at..]))?;
            at += end + 2;
        } else {
            break;
        }
    }
    Ok(at)
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), ApiError> {
    let mut text = String::new();
    let mut letters = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = letters.next() {
        if c != quote {
            text.push(c);
        } else if matches!(letters.peek(), Some((_, next)) if *next == quote) {
            // A doubled quote stands for one.
            text.push(quote);
            letters.next();
        } else {
            return Ok((Token::Text(text), at + 1));
        }
    }
    Err(unclosed(rest))
}

fn unclosed(rest: &str) -> ApiError {
    let start: String = rest.chars().take(40).collect();
    ApiError::invalid(format!("Invalid clause(s) in filter string: '{start}'. A quote is not closed."))
}
