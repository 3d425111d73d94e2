//! Templates as trees. Every node knows the bytes of the text it came from.

use std::ops::Range;
use std::rc::Rc;

/// A named template.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) name: Rc<str>,
    /// The text it was read from, and what that is called.
    pub(crate) source: Rc<Source>,
    pub(crate) root: Vec<Node>,
}

/// A text with its name.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: Rc<str>,
    pub(crate) text: Rc<str>,
}

impl Source {
    /// Line and column (in characters) of a byte, from 1.
    pub(crate) fn place(&self, at: usize) -> (usize, usize) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let before = &self.text[..at];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    /// The text of a node, shortened.
    pub(crate) fn excerpt(&self, range: &Range<usize>) -> String {
        let text = self.text.get(range.clone()).unwrap_or_default().trim();
        let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().count() <= 60 {
            return line;
        }
        let head: String = line.chars().take(57).collect();
        format!("{head}...")
    }
}

/// A part of a template.
#[derive(Debug)]
pub(crate) enum Node {
    /// Text to print, and the byte of the source where it begins.
    Text(Rc<str>, usize),
    Action(Pipe),
    If {
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        pipe: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        pipe: Pipe,
        body: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Template {
        name: Rc<str>,
        pipe: Option<Pipe>,
        range: Range<usize>,
    },
    Break,
    Continue,
}

/// `$x := a | b | c`
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) range: Range<usize>,
    pub(crate) variables: Vec<Rc<str>>,
    /// `=` rather than `:=`.
    pub(crate) assigns: bool,
    pub(crate) commands: Vec<Command>,
}

/// An operand, or a function or method with its arguments.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) range: Range<usize>,
    /// Never empty.
    pub(crate) operands: Vec<Operand>,
}

/// One word of a command.
#[derive(Debug)]
pub(crate) struct Operand {
    pub(crate) range: Range<usize>,
    pub(crate) kind: OperandKind,
}

#[derive(Debug)]
pub(crate) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    /// `.a.b`
    Field(Vec<Rc<str>>),
    /// `$x.a.b`
    Variable(Rc<str>, Vec<Rc<str>>),
    /// A function's name.
    Function(Rc<str>),
    /// `(pipe).a.b` or `function.a`
    Chain(Box<Operand>, Vec<Rc<str>>),
    /// `(pipe)`
    Pipe(Box<Pipe>),
}

/// A number, in every type that it fits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) int: Option<i64>,
    pub(crate) float: f64,
    /// Written as a float: `1.0`, `1e3`.
    pub(crate) is_float: bool,
}
