//! What went wrong, told to a person.
//!
//! A [`Problem`] is the one error type that reaches users: a stable code with a page in `docs/errors/`, what
//! happened, where, why, and what to do about it. Libraries keep their own `thiserror` enums and turn them
//! into a `Problem` at the edge where a person will read them. The [`Kind`] decides the exit code of the
//! command line and the HTTP status of a service, so both agree everywhere.

use std::fmt;

use serde::Serialize;

/// What sort of problem it is; decides exit code and HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// The work ran and its answer is "no": a gate failed, a workflow failed.
    Failed,
    /// The command line was used wrongly.
    Usage,
    /// A file or a request holds something invalid.
    Invalid,
    /// Something named does not exist.
    NotFound,
    /// Something needed (a server, a program, the kernel) is not available.
    Unavailable,
    /// A fault of Galley itself.
    Internal,
    /// Reading or writing failed.
    Io,
    /// Something else holds what is needed, or it changed meanwhile.
    Conflict,
    /// Not allowed.
    Denied,
    /// A deadline passed.
    Timeout,
    /// The configuration is wrong.
    Config,
}

impl Kind {
    /// Exit code of a command that ends with this kind (after `sysexits.h`, 1 for "the answer is no").
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 64,
            Kind::Invalid => 65,
            Kind::NotFound => 66,
            Kind::Unavailable => 69,
            Kind::Internal => 70,
            Kind::Io => 74,
            Kind::Conflict => 75,
            Kind::Timeout => 76,
            Kind::Denied => 77,
            Kind::Config => 78,
        }
    }

    /// HTTP status of an answer that reports this kind.
    pub const fn http_status(self) -> u16 {
        match self {
            Kind::Usage | Kind::Invalid | Kind::Config => 400,
            Kind::Denied => 403,
            Kind::NotFound => 404,
            Kind::Conflict => 409,
            Kind::Failed => 422,
            Kind::Internal | Kind::Io => 500,
            Kind::Unavailable => 503,
            Kind::Timeout => 504,
        }
    }
}

/// A place in a file that a person wrote. Lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Path as the person knows it, relative to the repository where there is one.
    pub file: String,
    /// Line, from 1; 0 if only the file is known.
    pub line: usize,
    /// Column, from 1; 0 if only the line is known.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
            if self.column > 0 {
                write!(f, ":{}", self.column)?;
            }
        }
        Ok(())
    }
}

/// An error as a person reads it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Stable code, `G` and four digits, with a page in `docs/errors/`.
    pub code: &'static str,
    /// What sort of problem it is.
    pub kind: Kind,
    /// What happened: a full sentence.
    pub what: String,
    /// Where, if it is about a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// Why, outermost cause first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What to do: a full sentence, commands in backticks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A result whose error a person will read.
pub type Result<T, E = Problem> = std::result::Result<T, E>;

impl Problem {
    /// A problem with a stable code; `what` is a full sentence.
    pub fn new(code: &'static str, kind: Kind, what: impl Into<String>) -> Self {
        Problem { code, kind, what: what.into(), place: None, causes: Vec::new(), remedy: None }
    }

    /// Adds the place in a file.
    #[must_use]
    pub fn at(mut self, file: impl Into<String>, line: usize, column: usize) -> Self {
        self.place = Some(Place { file: file.into(), line, column });
        self
    }

    /// Adds an error and all of its sources as causes.
    #[must_use]
    pub fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a cause in words.
    #[must_use]
    pub fn because_of(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn try_this(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The exit code of a command that ends with this problem.
    pub fn exit_code(&self) -> u8 {
        self.kind.exit_code()
    }
}

impl fmt::Display for Problem {
    /// One line: the place, what happened and the first cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        for cause in &self.causes {
            write!(f, " {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The entry of `known` that a person most likely meant by `typed`, if one is near enough.
///
/// ```
/// assert_eq!(galley_problem::did_you_mean("relase", ["release", "workflow"]), Some("release"));
/// assert_eq!(galley_problem::did_you_mean("x", ["release", "workflow"]), None);
/// ```
pub fn did_you_mean<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (typed.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (distance(typed, word), word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_names_the_place_and_the_causes() {
        let io = std::io::Error::other("disk full");
        let problem =
            Problem::new("G0001", Kind::Io, "Could not write the record.").at("a.yaml", 3, 7).because(&io);
        assert_eq!(problem.to_string(), "a.yaml:3:7: Could not write the record. disk full");
        assert_eq!(problem.exit_code(), 74);
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        assert_eq!(did_you_mean("aplications", ["applications", "pods"]), Some("applications"));
        assert_eq!(did_you_mean("zzz", ["applications", "pods"]), None);
    }
}
