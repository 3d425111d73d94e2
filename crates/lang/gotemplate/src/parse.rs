//! Tokens become templates.
//!
//! Functions and variables must be known, as in Go; nesting is limited, so that nothing later needs more stack than
//! the limits allow.

use std::rc::Rc;

use crate::ast::{Command, Node, Number, Operand, OperandKind, Pipe, Source, Template};
use crate::error::{Error, Reason};
use crate::lex::{Kind, Token, lex};
use crate::literal;

/// Deepest nesting of blocks and parentheses.
const MAX_NESTING: usize = 100;

/// Reads a text: the template of that name and those it defines.
pub(crate) fn parse(name: &str, text: &str, knows: &dyn Fn(&str) -> bool) -> Result<Vec<Template>, Error> {
    let source = Rc::new(Source { file: Rc::from(name), text: Rc::from(text) });
    let mut parser = Parser {
        tokens: lex(text),
        text: Rc::clone(&source.text),
        source,
        at: 0,
        knows,
        variables: vec![Rc::from("$")],
        loops: 0,
        nesting: 0,
        templates: Vec::new(),
    };
    let root = parser.top()?;
    let main = Template { name: Rc::from(name), source: Rc::clone(&parser.source), root };
    parser.define(main, 0)?;
    Ok(parser.templates)
}

/// Whether nothing but space is in there.
pub(crate) fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text, _) if text.trim().is_empty()))
}

/// How a list of nodes ended.
enum End {
    End,
    Else(usize),
}

struct Parser<'a> {
    tokens: Vec<Token>,
    text: Rc<str>,
    source: Rc<Source>,
    at: usize,
    knows: &'a dyn Fn(&str) -> bool,
    variables: Vec<Rc<str>>,
    loops: usize,
    nesting: usize,
    templates: Vec<Template>,
}

impl Parser<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        let (line, column) = self.source.place(at);
        Error {
            reason: Reason::Syntax,
            file: self.source.file.to_string(),
            line,
            column,
            template: None,
            excerpt: None,
            message: message.into(),
            cause: None,
        }
    }

    fn peek(&self) -> &Token {
        // The last token is an end or an error, which nothing passes.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn peek_solid(&mut self) -> Token {
        self.skip_space();
        self.peek().clone()
    }

    fn next_solid(&mut self) -> Token {
        self.skip_space();
        self.next()
    }

    fn str(&self, token: &Token) -> Rc<str> {
        Rc::from(&self.text[token.start..token.end])
    }

    fn unexpected(&self, token: &Token, context: &str) -> Error {
        let message = match &token.kind {
            Kind::Error(message) => message.clone(),
            Kind::End => "unexpected EOF".to_owned(),
            Kind::Close => format!("unexpected \"}}}}\" in {context}"),
            _ => format!("unexpected {:?} in {context}", &self.text[token.start..token.end]),
        };
        self.error(token.start, message)
    }

    /// The keyword after `{{`, if there is one.
    fn keyword(&mut self) -> Option<Rc<str>> {
        let token = self.peek_solid();
        let word = self.str(&token);
        let known = matches!(
            &*word,
            "block" | "break" | "continue" | "define" | "else" | "end" | "if" | "range" | "template" | "with"
        );
        (token.kind == Kind::Word && known).then(|| {
            self.next();
            word
        })
    }

    fn expect_close(&mut self, context: &str) -> Result<(), Error> {
        let token = self.next_solid();
        if token.kind == Kind::Close { Ok(()) } else { Err(self.unexpected(&token, context)) }
    }

    fn define(&mut self, template: Template, at: usize) -> Result<(), Error> {
        let known = self.templates.iter_mut().find(|known| known.name == template.name);
        match known {
            None => self.templates.push(template),
            Some(known) if is_empty(&known.root) => *known = template,
            Some(_) if is_empty(&template.root) => {}
            Some(_) => {
                return Err(
                    self.error(at, format!("template: multiple definition of template {:?}", template.name))
                );
            }
        }
        Ok(())
    }

    fn top(&mut self) -> Result<Vec<Node>, Error> {
        let mut nodes = Vec::new();
        loop {
            let token = self.peek().clone();
            match token.kind {
                Kind::End => return Ok(nodes),
                Kind::Open => {
                    let before = self.at;
                    self.next();
                    if self.keyword().as_deref() == Some("define") {
                        self.definition(token.start)?;
                        continue;
                    }
                    self.at = before;
                }
                _ => {}
            }
            if let Some(end) = self.node(&mut nodes)? {
                let (at, word) = match end {
                    End::End => (token.start, "{{end}}"),
                    End::Else(at) => (at, "{{else}}"),
                };
                return Err(self.error(at, format!("unexpected {word}")));
            }
        }
    }

    fn definition(&mut self, at: usize) -> Result<(), Error> {
        let name = self.name("define clause")?;
        self.expect_close("define clause")?;
        self.template(name, at, "define clause")
    }

    /// The body of `define` and `block`: variables of its own.
    fn template(&mut self, name: Rc<str>, at: usize, context: &str) -> Result<(), Error> {
        let outside = std::mem::replace(&mut self.variables, vec![Rc::from("$")]);
        let loops = std::mem::take(&mut self.loops);
        let (root, end) = self.list(at)?;
        self.variables = outside;
        self.loops = loops;
        if let End::Else(at) = end {
            return Err(self.error(at, format!("unexpected {{{{else}}}} in {context}")));
        }
        let template = Template { name, source: Rc::clone(&self.source), root };
        self.define(template, at)
    }

    fn name(&mut self, context: &str) -> Result<Rc<str>, Error> {
        let token = self.next_solid();
        match token.kind {
            Kind::Quoted | Kind::Raw => self.unquote(&token),
            _ => Err(self.unexpected(&token, context)),
        }
    }

    /// Nodes up to `end` or `else`.
    fn list(&mut self, opened: usize) -> Result<(Vec<Node>, End), Error> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error(opened, "blocks are nested too deeply"));
        }
        let mut nodes = Vec::new();
        loop {
            if self.peek().kind == Kind::End {
                let (line, _) = self.source.place(opened);
                return Err(self
                    .error(self.text.len(), format!("unexpected EOF: the block of line {line} has no end")));
            }
            if let Some(end) = self.node(&mut nodes)? {
                self.nesting -= 1;
                return Ok((nodes, end));
            }
        }
    }

    /// One node; the end of the list if that came instead.
    fn node(&mut self, nodes: &mut Vec<Node>) -> Result<Option<End>, Error> {
        let token = self.next();
        match token.kind {
            Kind::Text => nodes.push(Node::Text(self.str(&token), token.start)),
            Kind::Open => {
                let node = match self.keyword().as_deref() {
                    None => Node::Action(self.pipe("command", Kind::Close)?),
                    Some("end") => {
                        self.expect_close("end")?;
                        return Ok(Some(End::End));
                    }
                    Some("else") => {
                        let next = self.peek_solid();
                        // `else if` and `else with` leave their keyword for whoever asked for the list.
                        if !(next.kind == Kind::Word && matches!(&*self.str(&next), "if" | "with")) {
                            self.expect_close("else")?;
                        }
                        return Ok(Some(End::Else(token.start)));
                    }
                    Some("if") => self.control("if", token.start)?,
                    Some("with") => self.control("with", token.start)?,
                    Some("range") => self.control("range", token.start)?,
                    Some("template") => self.invocation(token.start)?,
                    Some("block") => self.block(token.start)?,
                    Some(word @ ("break" | "continue")) => self.jump(word, token.start)?,
                    Some(_) => return Err(self.error(token.start, "unexpected {{define}} inside of a block")),
                };
                nodes.push(node);
            }
            _ => return Err(self.unexpected(&token, "input")),
        }
        Ok(None)
    }

    fn jump(&mut self, word: &str, at: usize) -> Result<Node, Error> {
        let context = format!("{{{{{word}}}}}");
        self.expect_close(&context)?;
        if self.loops == 0 {
            return Err(self.error(at, format!("{context} outside {{{{range}}}}")));
        }
        Ok(if word == "break" { Node::Break } else { Node::Continue })
    }

    fn control(&mut self, word: &'static str, at: usize) -> Result<Node, Error> {
        let outside = self.variables.len();
        let pipe = self.pipe(word, Kind::Close)?;
        self.loops += usize::from(word == "range");
        let (then, end) = self.list(at)?;
        self.loops -= usize::from(word == "range");
        let mut otherwise = Vec::new();
        if let End::Else(else_at) = end {
            let next = self.peek_solid();
            let chained = next.kind == Kind::Word && &*self.str(&next) == word && word != "range";
            if chained {
                self.next();
                self.nesting += 1;
                if self.nesting > MAX_NESTING {
                    return Err(self.error(else_at, "blocks are nested too deeply"));
                }
                otherwise.push(self.control(word, else_at)?);
                self.nesting -= 1;
            } else {
                let (nodes, end) = self.list(else_at)?;
                if let End::Else(at) = end {
                    return Err(self.error(at, "expected end; found {{else}}"));
                }
                otherwise = nodes;
            }
        }
        self.variables.truncate(outside);
        Ok(match word {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, body: then, otherwise },
        })
    }

    fn invocation(&mut self, at: usize) -> Result<Node, Error> {
        let name = self.name("template clause")?;
        let pipe = match self.peek_solid().kind {
            Kind::Close => {
                self.next();
                None
            }
            _ => Some(self.pipe("template clause", Kind::Close)?),
        };
        Ok(Node::Template { name, pipe, range: at..self.tokens[self.at - 1].end })
    }

    fn block(&mut self, at: usize) -> Result<Node, Error> {
        let name = self.name("block clause")?;
        let pipe = self.pipe("block clause", Kind::Close)?;
        let range = at..self.tokens[self.at - 1].end;
        self.template(Rc::clone(&name), at, "block clause")?;
        Ok(Node::Template { name, pipe: Some(pipe), range })
    }

    fn pipe(&mut self, context: &'static str, close: Kind) -> Result<Pipe, Error> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(self.error(self.peek().start, "max expression depth exceeded"));
        }
        let start = self.peek_solid().start;
        let (variables, assigns) = self.declarations(context)?;
        let mut commands = Vec::new();
        let end = loop {
            let token = self.peek_solid();
            match token.kind {
                ref kind if *kind == close => {
                    self.next();
                    break token.start;
                }
                Kind::Char
                | Kind::Dot
                | Kind::Field
                | Kind::Word
                | Kind::Number
                | Kind::Raw
                | Kind::Quoted
                | Kind::Variable
                | Kind::LeftParen => commands.push(self.command()?),
                _ => return Err(self.unexpected(&token, context)),
            }
        };
        self.nesting -= 1;
        if commands.is_empty() {
            return Err(self.error(start, format!("missing value for {context}")));
        }
        self.check_stages(&commands)?;
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipe { range: start..end, variables, assigns, commands })
    }

    /// Only the first command of a pipeline may be a plain value.
    fn check_stages(&self, commands: &[Command]) -> Result<(), Error> {
        for (index, command) in commands.iter().enumerate().skip(1) {
            let plain = matches!(
                command.operands[0].kind,
                OperandKind::Bool(_)
                    | OperandKind::Dot
                    | OperandKind::Nil
                    | OperandKind::Number(_)
                    | OperandKind::Text(_)
            );
            if plain {
                let message = format!("non executable command in pipeline stage {}", index + 1);
                return Err(self.error(command.range.start, message));
            }
        }
        Ok(())
    }

    /// `$x :=`, `$x =` and, for `range`, `$i, $x :=`.
    fn declarations(&mut self, context: &str) -> Result<(Vec<Rc<str>>, bool), Error> {
        let mut names = Vec::new();
        loop {
            let before = self.at;
            let token = self.peek_solid();
            if token.kind != Kind::Variable {
                return Ok((names, false));
            }
            self.next();
            let next = self.peek_solid();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    self.next();
                    names.push(self.str(&token));
                    let assigns = next.kind == Kind::Assign;
                    if let Some(unknown) = names.iter().find(|name| assigns && !self.variables.contains(name))
                    {
                        return Err(self.error(token.start, format!("undefined variable {unknown:?}")));
                    }
                    return Ok((names, assigns));
                }
                Kind::Other if &*self.str(&next) == "," => {
                    self.next();
                    names.push(self.str(&token));
                    if context != "range" || names.len() > 1 {
                        return Err(self.error(token.start, format!("too many declarations in {context}")));
                    }
                    if self.peek_solid().kind != Kind::Variable {
                        return Err(self.error(token.start, "range can only initialize variables"));
                    }
                }
                _ => {
                    self.at = before;
                    return Ok((names, false));
                }
            }
        }
    }

    fn command(&mut self) -> Result<Command, Error> {
        let start = self.peek_solid().start;
        let mut operands = Vec::new();
        let mut end = start;
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                end = operand.range.end;
                operands.push(operand);
            }
            let token = self.peek().clone();
            match token.kind {
                Kind::Space => {
                    self.next();
                }
                Kind::Close | Kind::RightParen => break,
                Kind::Bar => {
                    // Nothing need follow: Go takes a pipeline that ends with a bar.
                    self.next();
                    break;
                }
                _ => return Err(self.unexpected(&token, "operand")),
            }
        }
        if operands.is_empty() {
            return Err(self.error(start, "empty command"));
        }
        Ok(Command { range: start..end, operands })
    }

    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(mut operand) = self.term()? else { return Ok(None) };
        let mut fields = Vec::new();
        while self.peek().kind == Kind::Field {
            let token = self.next();
            operand.range.end = token.end;
            fields.push(Rc::from(&self.text[token.start + 1..token.end]));
        }
        if fields.is_empty() {
            return Ok(Some(operand));
        }
        let range = operand.range.clone();
        let kind = match operand.kind {
            OperandKind::Field(mut names) => {
                names.append(&mut fields);
                OperandKind::Field(names)
            }
            OperandKind::Variable(name, mut names) => {
                names.append(&mut fields);
                OperandKind::Variable(name, names)
            }
            OperandKind::Function(_) | OperandKind::Pipe(_) | OperandKind::Chain(..) => {
                OperandKind::Chain(Box::new(operand), fields)
            }
            _ => return Err(self.error(range.start, "unexpected . after a plain value")),
        };
        Ok(Some(Operand { range, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let token = self.peek_solid();
        let word = self.str(&token);
        let kind = match token.kind {
            Kind::Dot => OperandKind::Dot,
            Kind::Field => OperandKind::Field(vec![Rc::from(&word[1..])]),
            Kind::Variable => {
                if !self.variables.contains(&word) {
                    return Err(self.error(token.start, format!("undefined variable {word:?}")));
                }
                OperandKind::Variable(word, Vec::new())
            }
            Kind::Word => match &*word {
                "true" => OperandKind::Bool(true),
                "false" => OperandKind::Bool(false),
                "nil" => OperandKind::Nil,
                name if (self.knows)(name) => OperandKind::Function(word),
                name => return Err(self.error(token.start, format!("function {name:?} not defined"))),
            },
            Kind::Quoted | Kind::Raw => OperandKind::Text(self.unquote(&token)?),
            Kind::Number => OperandKind::Number(self.number(&token)?),
            Kind::Char => {
                let text = self.unquote(&token)?;
                let mut letters = text.chars();
                let (Some(letter), None) = (letters.next(), letters.next()) else {
                    return Err(self.error(token.start, format!("malformed character constant: {word}")));
                };
                let code = i64::from(u32::from(letter));
                OperandKind::Number(Number { int: Some(code), float: code as f64, is_float: false })
            }
            Kind::LeftParen => {
                self.next();
                let pipe = self.pipe("parenthesized pipeline", Kind::RightParen)?;
                let range = token.start..pipe.range.end + 1;
                return Ok(Some(Operand { range, kind: OperandKind::Pipe(Box::new(pipe)) }));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(Operand { range: token.start..token.end, kind }))
    }

    fn number(&self, token: &Token) -> Result<Number, Error> {
        literal::number(&self.text[token.start..token.end])
            .map_err(|message| self.error(token.start, message))
    }

    /// `strconv.Unquote`.
    fn unquote(&self, token: &Token) -> Result<Rc<str>, Error> {
        let inside = &self.text[token.start + 1..token.end - 1];
        if token.kind == Kind::Raw {
            return Ok(Rc::from(inside.replace('\r', "")));
        }
        literal::unescape(inside, if token.kind == Kind::Char { '\'' } else { '"' })
            .map(Rc::from)
            .ok_or_else(|| self.error(token.start, "invalid syntax"))
    }
}
