//! Text becomes tokens: literal text, and what stands between `{{` and `}}`.

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Text to print.
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// White space between operands.
    Space,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// `|`
    Bar,
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `.`
    Dot,
    /// `.name`
    Field,
    /// `$` or `$name`
    Variable,
    /// A function's name or a keyword.
    Word,
    /// `"..."`
    Quoted,
    /// `` `...` ``
    Raw,
    /// `'c'`
    Char,
    /// A number.
    Number,
    /// Any other character, such as a comma.
    Other,
    /// What is wrong with the text.
    Error(String),
    /// The end.
    End,
}

/// A token: its kind and the bytes it takes.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// All tokens of a text; the last is [`Kind::End`] or an error.
pub(crate) fn lex(text: &str) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), depth: 0 };
    match lexer.run() {
        Ok(()) => lexer.push(Kind::End, text.len()),
        Err((start, message)) => lexer.push(Kind::Error(message), start),
    }
    lexer.tokens
}

type Failure = (usize, String);

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    depth: usize,
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphabetic() || c.is_numeric()
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token { kind, start, end: self.at.max(start) });
    }

    fn run(&mut self) -> Result<(), Failure> {
        while let Some(open) = self.rest().find("{{") {
            let start = self.at;
            let delimiter = start + open;
            let inside = &self.text[delimiter + 2..];
            let trims = inside.starts_with('-') && inside[1..].starts_with(is_space);
            let printed = &self.text[start..delimiter];
            let printed = if trims { printed.trim_end_matches(is_space) } else { printed };
            self.at = start + printed.len();
            if !printed.is_empty() {
                self.push(Kind::Text, start);
            }
            self.at = delimiter + 2 + if trims { 2 } else { 0 };
            if self.rest().starts_with("/*") {
                self.comment()?;
            } else {
                self.tokens.push(Token { kind: Kind::Open, start: delimiter, end: delimiter + 2 });
                self.depth = 0;
                self.action()?;
            }
        }
        let start = self.at;
        self.at = self.text.len();
        if start < self.at {
            self.push(Kind::Text, start);
        }
        Ok(())
    }

    fn comment(&mut self) -> Result<(), Failure> {
        let start = self.at;
        let end = self.rest().find("*/").ok_or_else(|| (start, "unclosed comment".to_owned()))?;
        self.at += end + 2;
        if !self.close() {
            return Err((start, "comment ends before closing delimiter".to_owned()));
        }
        Ok(())
    }

    /// Passes `}}` or ` -}}` and what that trims; says whether it was there.
    fn close(&mut self) -> bool {
        let rest = self.rest();
        let trims = rest.starts_with(is_space) && rest[1..].starts_with("-}}");
        if trims {
            self.at += 4;
            self.at += self.rest().len() - self.rest().trim_start_matches(is_space).len();
        } else if rest.starts_with("}}") {
            self.at += 2;
        } else {
            return false;
        }
        true
    }

    /// The tokens of an action, to its end.
    fn action(&mut self) -> Result<(), Failure> {
        loop {
            let start = self.at;
            if self.close() {
                if self.depth > 0 {
                    return Err((start, "unclosed left paren".to_owned()));
                }
                self.tokens.push(Token { kind: Kind::Close, start, end: start + 2 });
                return Ok(());
            }
            let Some(letter) = self.peek() else { return Err((start, "unclosed action".to_owned())) };
            self.at += letter.len_utf8();
            let kind = match letter {
                c if is_space(c) => {
                    self.spaces();
                    Kind::Space
                }
                '=' => Kind::Assign,
                ':' => {
                    if self.peek() != Some('=') {
                        return Err((start, "expected :=".to_owned()));
                    }
                    self.at += 1;
                    Kind::Declare
                }
                '|' => Kind::Bar,
                '"' => {
                    self.quoted('"', "unterminated quoted string")?;
                    Kind::Quoted
                }
                '\'' => {
                    self.quoted('\'', "unterminated character constant")?;
                    Kind::Char
                }
                '`' => {
                    let end =
                        self.rest().find('`').ok_or((start, "unterminated raw quoted string".to_owned()))?;
                    self.at += end + 1;
                    Kind::Raw
                }
                '$' => {
                    self.word(start)?;
                    Kind::Variable
                }
                '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                    self.word(start)?;
                    if self.at == start + 1 { Kind::Dot } else { Kind::Field }
                }
                '.' | '+' | '-' | '0'..='9' => {
                    self.at = start;
                    self.number(start)?;
                    Kind::Number
                }
                c if is_word(c) => {
                    self.word(start)?;
                    Kind::Word
                }
                '(' => {
                    self.depth += 1;
                    Kind::LeftParen
                }
                ')' => {
                    if self.depth == 0 {
                        return Err((start, "unexpected right paren".to_owned()));
                    }
                    self.depth -= 1;
                    Kind::RightParen
                }
                c if c.is_ascii_graphic() => Kind::Other,
                c => return Err((start, format!("unrecognized character in action: {c:?}"))),
            };
            self.push(kind, start);
        }
    }

    /// Passes further white space, but not the one of ` -}}`.
    fn spaces(&mut self) {
        // The first space is passed already; it may itself be that of ` -}}`, which `close` has ruled out.
        while self.peek().is_some_and(is_space) && !self.rest()[1..].starts_with("-}}") {
            self.at += 1;
        }
    }

    fn word(&mut self, start: usize) -> Result<(), Failure> {
        let length = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        self.at += length;
        match self.peek() {
            None => Ok(()),
            Some(c) if is_space(c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(') => Ok(()),
            _ if self.rest().starts_with("}}") => Ok(()),
            Some(c) => Err((start, format!("bad character {c:?}"))),
        }
    }

    fn quoted(&mut self, quote: char, message: &str) -> Result<(), Failure> {
        let start = self.at - 1;
        let mut escaped = false;
        for (at, letter) in self.rest().char_indices() {
            match letter {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.at += at + 1;
                    return Ok(());
                }
                _ => {}
            }
        }
        Err((start, message.to_owned()))
    }

    fn number(&mut self, start: usize) -> Result<(), Failure> {
        let accept = |at: usize, set: &str| self.text[at..].starts_with(|c| set.contains(c));
        let run = |at: usize, set: &str| {
            at + self.text[at..].find(|c| !set.contains(c)).unwrap_or(self.text.len() - at)
        };
        let mut at = start;
        at += usize::from(accept(at, "+-"));
        let mut digits = "0123456789_";
        if accept(at, "0") {
            at += 1;
            for (marks, set) in [("xX", "0123456789abcdefABCDEF_"), ("oO", "01234567_"), ("bB", "01_")] {
                if accept(at, marks) {
                    at += 1;
                    digits = set;
                    break;
                }
            }
        }
        at = run(at, digits);
        if accept(at, ".") {
            at = run(at + 1, digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if !exponent.is_empty() && accept(at, exponent) {
            at += 1;
            at += usize::from(accept(at, "+-"));
            at = run(at, "0123456789_");
        }
        self.at = at;
        if let Some(c) = self.peek().filter(|c| is_word(*c)) {
            self.at += c.len_utf8();
            return Err((start, format!("bad number syntax: {:?}", &self.text[start..self.at])));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        let token = |token: &Token| match &token.kind {
            Kind::Error(message) => format!("!{message}"),
            Kind::End => "end".to_owned(),
            Kind::Space => "_".to_owned(),
            _ => text[token.start..token.end].to_owned(),
        };
        lex(text).iter().map(token).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tokens_are_found() {
        assert_eq!(show("a {{- .x.y | f 1.5 -}}  b"), "a {{ .x .y _ | _ f _ 1.5  - b end");
        assert_eq!(show("{{/* c */ -}} x{{$a := `r`}}"), "x {{ $a _ := _ `r` }} end");
        assert_eq!(show("{{ -3 }}"), "{{ _ -3 _ }} end");
        assert_eq!(show("{{ \"a\\\"b\" }}"), "{{ _ \"a\\\"b\" _ }} end");
        assert_eq!(show("{{ (f }}"), "{{ _ ( f _ !unclosed left paren");
        assert_eq!(show("{{ 1x }}"), "{{ _ !bad number syntax: \"1x\"");
        assert_eq!(show("{{ a"), "{{ _ a !unclosed action");
        assert_eq!(show("{{- "), "{{ !unclosed action");
        assert_eq!(show("{{\"a"), "{{ !unterminated quoted string");
    }
}
