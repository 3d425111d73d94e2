//! What can go wrong in a template, with the place and the way there.

use std::fmt;

/// Why a template failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The text is not a template.
    Syntax,
    /// Something in it could not be evaluated.
    Execution,
    /// The template itself asked to fail (`fail`, `required`).
    Requested,
    /// A limit was reached.
    Limit,
}

/// A failed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Why.
    pub reason: Reason,
    /// The text that was being read, usually a file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The named template that was running.
    pub template: Option<String>,
    /// The part of the text that failed, shortened.
    pub excerpt: Option<String>,
    /// What happened, in Go's words.
    pub message: String,
    /// The failure inside, where this one only includes another template.
    pub cause: Option<Box<Error>>,
}

impl Error {
    /// The failure that all others come from.
    pub fn root(&self) -> &Error {
        let mut error = self;
        while let Some(cause) = &error.cause {
            error = cause;
        }
        error
    }

    /// The way to the root: the outermost include first.
    pub fn trail(&self) -> Vec<&Error> {
        let mut trail = Vec::new();
        let mut error = self;
        while let Some(cause) = &error.cause {
            trail.push(error);
            error = cause;
        }
        trail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "template: {}:{}:{}: ", self.file, self.line, self.column)?;
        if let (Some(template), Some(excerpt)) = (&self.template, &self.excerpt) {
            write!(f, "executing {template:?} at <{excerpt}>: ")?;
        }
        f.write_str(&self.message)?;
        match &self.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// How a function fails.
#[derive(Clone, Debug)]
pub enum Failure {
    /// With a message.
    Message(String),
    /// Because the template asked for it.
    Requested(String),
    /// Because a template that it ran failed.
    Template(Box<Error>),
    /// Because a limit was reached.
    Limit(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Failure {
        Failure::Message(message)
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Failure {
        Failure::Message(message.to_owned())
    }
}
