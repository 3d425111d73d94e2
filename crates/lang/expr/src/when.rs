//! Conditions of steps and tasks, in the grammar of govaluate.
//!
//! Argo puts the parameters in as text first and then reads the condition; bare words count as strings, so
//! `stew == soup` works without quotes, while `x-y == x-y` is a subtraction of words and an error.

use std::fmt;

use serde_json::Value;

/// A condition that cannot be read or computed; the text is Argo's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WhenError(String);

/// Decides a condition in which all tags have been replaced. An empty one is true.
///
/// # Errors
/// When it cannot be read, mixes types, or gives something other than true or false.
pub fn when(condition: &str) -> Result<bool, WhenError> {
    if condition.is_empty() {
        return Ok(true);
    }
    let invalid = |what: String| {
        let hint = if what.contains("Invalid token") {
            " (hint: try wrapping the affected expression in quotes (\"))"
        } else {
            ""
        };
        WhenError(format!("Invalid 'when' expression '{condition}': {what}{hint}"))
    };
    let tokens = lex(condition).map_err(invalid)?;
    check(&tokens).map_err(invalid)?;
    let mut reader = Reader { tokens: &tokens, next: 0, depth: 0 };
    let tree = reader.list().map_err(invalid)?;
    let result = run(&tree)
        .map_err(|what| WhenError(format!("Failed to evaluate 'when' expresion '{condition}': {what}")))?;
    match result {
        Item::One(Value::Bool(flag)) => Ok(flag),
        other => Err(WhenError(format!("Expected boolean evaluation for '{condition}'. Got {other}"))),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Number(f64),
    Text(String),
    /// A bare word: a string that was not quoted.
    Word(String),
    Flag(bool),
    Prefix(&'static str),
    Modifier(&'static str),
    Comparator(&'static str),
    Logical(&'static str),
    Ternary(&'static str),
    Open,
    Close,
    Comma,
}

impl Token {
    /// The name and value that govaluate prints.
    fn shown(&self) -> (&'static str, String) {
        match self {
            Token::Number(number) => ("NUMERIC", crate::gojson::float(*number)),
            Token::Text(text) => ("STRING", text.clone()),
            Token::Word(text) => ("VARIABLE", text.clone()),
            Token::Flag(flag) => ("BOOLEAN", flag.to_string()),
            Token::Prefix(op) => ("PREFIX", (*op).to_owned()),
            Token::Modifier(op) => ("MODIFIER", (*op).to_owned()),
            Token::Comparator(op) => ("COMPARATOR", (*op).to_owned()),
            Token::Logical(op) => ("LOGICALOP", (*op).to_owned()),
            Token::Ternary(op) => ("TERNARY", (*op).to_owned()),
            Token::Open => ("CLAUSE", "40".to_owned()),
            Token::Close => ("CLAUSE_CLOSE", "41".to_owned()),
            Token::Comma => ("SEPARATOR", ",".to_owned()),
        }
    }

    fn is_value(&self) -> bool {
        matches!(self, Token::Number(_) | Token::Text(_) | Token::Word(_) | Token::Flag(_))
    }
}

const COMPARATORS: [&str; 8] = ["==", "!=", ">", ">=", "<", "<=", "=~", "!~"];
const MODIFIERS: [&str; 11] = ["+", "-", "*", "/", "%", "**", "&", "|", "^", ">>", "<<"];

fn lex(source: &str) -> Result<Vec<Token>, String> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        let rest = &source[at..];
        let take = |is: &dyn Fn(char) -> bool| rest.find(|c: char| !is(c)).unwrap_or(rest.len());
        let (token, length) = match c {
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            '0'..='9' | '.' => {
                let length = take(&|c| c.is_ascii_digit() || c == '.');
                let text = &rest[..length];
                let number = text
                    .parse()
                    .map_err(|_| format!("Unable to parse numeric value '{text}' to float64\n"))?;
                (Token::Number(number), length)
            }
            ',' => (Token::Comma, 1),
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '[' => {
                let end = rest.find(']').ok_or("Unclosed parameter bracket")?;
                (Token::Word(rest[1..end].to_owned()), end + 1)
            }
            '\'' | '"' => quoted(rest)?,
            c if c.is_alphabetic() => {
                let length = take(&|c| c.is_alphanumeric() || c == '_' || c == '.');
                (word(&rest[..length])?, length)
            }
            _ => {
                let symbol = |c: char| !(c.is_alphanumeric() || c.is_whitespace() || "()[]'\"".contains(c));
                let length = take(&symbol);
                (operator(&rest[..length], tokens.last())?, length)
            }
        };
        tokens.push(token);
        at += length;
    }
    Ok(tokens)
}

fn quoted(rest: &str) -> Result<(Token, usize), String> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            // Either quote ends a string, whichever began it.
            '\'' | '"' => return Ok((Token::Text(text), at + 1)),
            '\\' => text.extend(chars.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    Err("Unclosed string literal".to_owned())
}

fn word(text: &str) -> Result<Token, String> {
    match text {
        "true" => return Ok(Token::Flag(true)),
        "false" => return Ok(Token::Flag(false)),
        "in" | "IN" => return Ok(Token::Comparator("in")),
        _ => {}
    }
    if let Some((_, after)) = text.split_once('.') {
        if after.is_empty() || text.ends_with('.') {
            return Err(format!("Hanging accessor on token '{text}'"));
        }
        let field = after.split('.').next().unwrap_or(after);
        return Err(format!("Unable to access unexported field '{field}' in token '{text}'"));
    }
    Ok(Token::Word(text.to_owned()))
}

fn operator(text: &str, before: Option<&Token>) -> Result<Token, String> {
    let known = |list: &[&'static str]| list.iter().find(|op| **op == text).copied();
    let begins = !matches!(before, Some(token) if token.is_value() || *token == Token::Close);
    if begins && let Some(op) = known(&["-", "!", "~"]) {
        return Ok(Token::Prefix(op));
    }
    if let Some(op) = known(&MODIFIERS) {
        return Ok(Token::Modifier(op));
    }
    if let Some(op) = known(&["&&", "||"]) {
        return Ok(Token::Logical(op));
    }
    if let Some(op) = known(&COMPARATORS) {
        return Ok(Token::Comparator(op));
    }
    if let Some(op) = known(&["?", ":", "??"]) {
        return Ok(Token::Ternary(op));
    }
    Err(format!("Invalid token: '{text}'"))
}

fn check(tokens: &[Token]) -> Result<(), String> {
    let mut open = 0i32;
    for token in tokens {
        open += i32::from(*token == Token::Open) - i32::from(*token == Token::Close);
        if open < 0 {
            break;
        }
    }
    if open != 0 {
        return Err("Unbalanced parenthesis".to_owned());
    }
    let mut last: Option<&Token> = None;
    for token in tokens {
        if !may_follow(last, token) {
            let (from, from_value) = last.map_or(("UNKNOWN", "<nil>".to_owned()), Token::shown);
            let (to, to_value) = token.shown();
            return Err(format!(
                "Cannot transition token types from {from} [{from_value}] to {to} [{to_value}]"
            ));
        }
        last = Some(token);
    }
    match last {
        Some(token) if token.is_value() || *token == Token::Close => Ok(()),
        _ => Err("Unexpected end of expression".to_owned()),
    }
}

fn may_follow(last: Option<&Token>, next: &Token) -> bool {
    let opens = next.is_value() || matches!(next, Token::Prefix(_) | Token::Open);
    let closes = matches!(
        next,
        Token::Modifier(_)
            | Token::Comparator(_)
            | Token::Logical(_)
            | Token::Ternary(_)
            | Token::Close
            | Token::Comma
    );
    match last {
        Some(token) if token.is_value() || *token == Token::Close => closes,
        Some(Token::Open) => opens || *next == Token::Close,
        _ => opens,
    }
}

enum Tree {
    Value(Value),
    List(Vec<Tree>),
    Prefix(&'static str, Box<Tree>),
    Binary(&'static str, Box<Tree>, Box<Tree>),
    Choice(Box<Tree>, Box<Tree>, Option<Box<Tree>>),
}

struct Reader<'a> {
    tokens: &'a [Token],
    next: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn list(&mut self) -> Result<Tree, String> {
        let first = self.ternary()?;
        if self.peek() != Some(&Token::Comma) {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.peek() == Some(&Token::Comma) {
            self.next += 1;
            items.push(self.ternary()?);
        }
        Ok(Tree::List(items))
    }

    fn ternary(&mut self) -> Result<Tree, String> {
        let condition = self.level(0)?;
        if self.peek() != Some(&Token::Ternary("?")) {
            return Ok(condition);
        }
        self.next += 1;
        let then = self.ternary()?;
        let mut otherwise = None;
        if self.peek() == Some(&Token::Ternary(":")) {
            self.next += 1;
            otherwise = Some(Box::new(self.ternary()?));
        }
        Ok(Tree::Choice(Box::new(condition), Box::new(then), otherwise))
    }

    /// Binary levels from the loosest: or, and, comparators, bits, shifts, sums, products, powers.
    fn level(&mut self, level: usize) -> Result<Tree, String> {
        const LEVELS: [&[&str]; 8] = [
            &["||"],
            &["&&"],
            &["==", "!=", ">", ">=", "<", "<=", "=~", "!~", "in"],
            &["&", "|", "^"],
            &["<<", ">>"],
            &["+", "-"],
            &["*", "/", "%"],
            &["**"],
        ];
        let Some(ops) = LEVELS.get(level) else { return self.value() };
        let mut left = self.level(level + 1)?;
        while let Some(Token::Modifier(op) | Token::Comparator(op) | Token::Logical(op)) = self.peek()
            && ops.contains(op)
        {
            let op = *op;
            self.next += 1;
            left = Tree::Binary(op, Box::new(left), Box::new(self.level(level + 1)?));
        }
        Ok(left)
    }

    fn value(&mut self) -> Result<Tree, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("Expression is nested too deeply".to_owned());
        }
        let token = self.peek().cloned();
        self.next += 1;
        let tree = match token {
            Some(Token::Number(number)) => Tree::Value(number.into()),
            Some(Token::Text(text) | Token::Word(text)) => Tree::Value(text.into()),
            Some(Token::Flag(flag)) => Tree::Value(flag.into()),
            Some(Token::Prefix(op)) => Tree::Prefix(op, Box::new(self.value()?)),
            Some(Token::Open) if self.peek() == Some(&Token::Close) => {
                self.next += 1;
                Tree::List(Vec::new())
            }
            Some(Token::Open) => {
                let inner = self.list()?;
                self.next += 1;
                inner
            }
            _ => return Err("Unexpected end of expression".to_owned()),
        };
        self.depth -= 1;
        Ok(tree)
    }
}

enum Item {
    One(Value),
    Many(Vec<Value>),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::One(value) => f.write_str(&crate::eval::text(value)),
            Item::Many(values) => {
                write!(f, "[{}]", values.iter().map(crate::eval::text).collect::<Vec<_>>().join(" "))
            }
        }
    }
}

fn run(tree: &Tree) -> Result<Item, String> {
    Ok(Item::One(match tree {
        Tree::Value(value) => value.clone(),
        Tree::List(items) => {
            let mut values = Vec::new();
            for item in items {
                match run(item)? {
                    Item::One(value) => values.push(value),
                    Item::Many(more) => values.extend(more),
                }
            }
            return Ok(Item::Many(values));
        }
        Tree::Prefix(op, of) => match (op, run(of)?) {
            (&"!", Item::One(Value::Bool(flag))) => (!flag).into(),
            (&"-", Item::One(Value::Number(number))) => (-number.as_f64().unwrap_or(0.0)).into(),
            (op, value) => return Err(format!("Value '{value}' cannot be used with the prefix '{op}'")),
        },
        Tree::Choice(condition, then, otherwise) => match run(condition)? {
            Item::One(Value::Bool(true)) => return run(then),
            Item::One(Value::Bool(false)) => match otherwise {
                Some(otherwise) => return run(otherwise),
                None => Value::Null,
            },
            value => {
                return Err(format!(
                    "Value '{value}' cannot be used with the ternary operator '?', it is not a bool"
                ));
            }
        },
        Tree::Binary(op, left, right) => binary(op, left, right)?,
    }))
}

fn binary(op: &'static str, left: &Tree, right: &Tree) -> Result<Value, String> {
    let a = run(left)?;
    if matches!((op, &a), ("&&", Item::One(Value::Bool(false)))) {
        return Ok(false.into());
    }
    if matches!((op, &a), ("||", Item::One(Value::Bool(true)))) {
        return Ok(true.into());
    }
    let b = run(right)?;
    match op {
        "&&" | "||" => {
            let flag = |item: &Item| match item {
                Item::One(Value::Bool(flag)) => Ok(*flag),
                other => Err(format!(
                    "Value '{other}' cannot be used with the logical operator '{op}', it is not a bool"
                )),
            };
            let (_, b) = (flag(&a)?, flag(&b)?);
            Ok(b.into())
        }
        "==" | "!=" => {
            let same = match (&a, &b) {
                (Item::One(a), Item::One(b)) => crate::eval::equal(a, b),
                (Item::Many(a), Item::Many(b)) => a == b,
                _ => false,
            };
            Ok((same == (op == "==")).into())
        }
        "in" => match (&a, &b) {
            (Item::One(a), Item::Many(items)) => Ok(items.contains(a).into()),
            // One value in parentheses is not a list to govaluate; it is the value itself.
            (_, other) => {
                Err(format!("Value '{other}' cannot be used with the comparator 'in', it is not an array"))
            }
        },
        "=~" | "!~" => {
            let (Item::One(Value::String(text)), Item::One(Value::String(pattern))) = (&a, &b) else {
                return Err(format!(
                    "Value '{a}' cannot be used with the comparator '{op}', it is not a string"
                ));
            };
            let pattern = regex::Regex::new(pattern)
                .map_err(|error| format!("Unable to compile regexp pattern '{pattern}': {error}"))?;
            Ok((pattern.is_match(text) == (op == "=~")).into())
        }
        ">" | ">=" | "<" | "<=" => order(op, &a, &b),
        _ => arithmetic(op, &a, &b),
    }
}

fn order(op: &str, a: &Item, b: &Item) -> Result<Value, String> {
    use std::cmp::Ordering;
    let by = match (a, b) {
        (Item::One(Value::String(a)), Item::One(Value::String(b))) => a.cmp(b),
        (Item::One(Value::Number(a)), Item::One(Value::Number(b))) => {
            a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal)
        }
        _ => {
            let wrong = if matches!(a, Item::One(Value::Number(_))) { b } else { a };
            return Err(format!(
                "Value '{wrong}' cannot be used with the comparator '{op}', it is not a number"
            ));
        }
    };
    Ok(match op {
        ">" => by == Ordering::Greater,
        ">=" => by != Ordering::Less,
        "<" => by == Ordering::Less,
        _ => by != Ordering::Greater,
    }
    .into())
}

fn arithmetic(op: &str, a: &Item, b: &Item) -> Result<Value, String> {
    // A sum with a string on either side is a text; everything else wants numbers.
    if op == "+"
        && [a, b].into_iter().any(|item| matches!(item, Item::One(Value::String(_))))
        && let (Item::One(_), Item::One(_)) = (a, b)
    {
        return Ok(format!("{a}{b}").into());
    }
    let number = |item: &Item| match item {
        Item::One(Value::Number(number)) => Ok(number.as_f64().unwrap_or(0.0)),
        other => Err(format!("Value '{other}' cannot be used with the modifier '{op}', it is not a number")),
    };
    let (x, y) = (number(a)?, number(b)?);
    let result = match op {
        "+" => x + y,
        "-" => x - y,
        "*" => x * y,
        "/" => x / y,
        "%" => x % y,
        "**" => x.powf(y),
        "&" => ((x as i64) & (y as i64)) as f64,
        "|" => ((x as i64) | (y as i64)) as f64,
        "^" => ((x as i64) ^ (y as i64)) as f64,
        "<<" => (x as i64).wrapping_shl(y as u32) as f64,
        _ => (x as i64).wrapping_shr(y as u32) as f64,
    };
    Ok(result.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(condition: &str, expected: bool) {
        assert_eq!(when(condition), Ok(expected), "{condition}");
    }

    #[track_caller]
    fn fails(condition: &str, expected: &str) {
        assert_eq!(when(condition).unwrap_err().to_string(), expected);
    }

    #[test]
    fn words_and_strings() {
        check("", true);
        check("stew == stew", true);
        check("stew == Stew", false);
        check("'pea soup' == 'pea soup'", true);
        check("\"pea soup\" != \"pea soup\"", false);
        check("'' == ''", true);
        check("stew == soup || ( stew == stew && '' == '' )", true);
        check("!(stew == stew)", false);
        check("stew in ('stew', 'soup')", true);
        check("true", true);
        check("'10' == 10", false);
    }

    #[test]
    fn numbers() {
        check("4 == 5", false);
        check("10 >= 9", true);
        check("2 + 3 * 2 == 8", true);
        check("-1 < 0", true);
    }

    #[test]
    fn patterns() {
        check("'v12-rc' =~ '^v[0-9]+'", true);
        check("'v12-rc' !~ 'rc'", false);
        check("'v12-rc' =~ '^v$'", false);
    }

    #[test]
    fn what_argo_says_of_wrong_ones() {
        fails(
            "x-y == x-y",
            "Failed to evaluate 'when' expresion 'x-y == x-y': Value 'x' cannot be used with the modifier '-', it is not a number",
        );
        fails(
            "a/b == a/b",
            "Failed to evaluate 'when' expresion 'a/b == a/b': Value 'a' cannot be used with the modifier '/', it is not a number",
        );
        fails(
            "1.2.3 == 1.2.3",
            "Invalid 'when' expression '1.2.3 == 1.2.3': Unable to parse numeric value '1.2.3' to float64\n",
        );
        fails("maybe (not == yes", "Invalid 'when' expression 'maybe (not == yes': Unbalanced parenthesis");
        fails(
            "== ==",
            "Invalid 'when' expression '== ==': Cannot transition token types from UNKNOWN [<nil>] to COMPARATOR [==]",
        );
    }
}
