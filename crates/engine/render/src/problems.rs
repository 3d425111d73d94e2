//! Failures of templates and files as people read them.

use galley_gotemplate::{Error, Reason};
use galley_problem::{Kind, Problem};

/// The problem of a template that failed; `chart` is the prefix of its templates' names.
pub(crate) fn of_template(chart: &str, error: &Error) -> Problem {
    let root = error.root();
    let file = |error: &Error| error.file.strip_prefix(chart).unwrap_or(&error.file).to_owned();
    let excerpt = root.excerpt.as_deref().unwrap_or_default();
    let (code, what) = match root.reason {
        Reason::Syntax => ("G0310", format!("The template cannot be read: {}.", root.message)),
        Reason::Execution => ("G0315", format!("`{excerpt}` cannot be evaluated: {}.", root.message)),
        Reason::Requested => ("G0314", root.message.clone()),
        Reason::Limit => ("G0316", format!("The template was stopped at `{excerpt}`: {}.", root.message)),
    };
    let mut problem = Problem::new(code, Kind::Invalid, what).at(file(root), root.line, root.column);
    for outer in error.trail().into_iter().rev() {
        let excerpt = outer.excerpt.as_deref().unwrap_or_default();
        problem = problem.because_of(format!(
            "Used by `{excerpt}` at {}:{}:{}.",
            file(outer),
            outer.line,
            outer.column
        ));
    }
    match root.reason {
        Reason::Requested => problem.try_this("Set the value that the chart asks for in the values."),
        _ if root.message.starts_with("nil pointer evaluating") => problem.try_this(
            "A value on the way is missing: set it in the values, or guard the template with `if` or `with`.",
        ),
        _ => problem,
    }
}

/// A chart that cannot be used.
pub(crate) fn chart(what: impl Into<String>) -> Problem {
    Problem::new("G0311", Kind::Invalid, what).at("Chart.yaml", 0, 0)
}

/// The text of a file of the chart.
pub(crate) fn utf8<'a>(file: &str, bytes: &'a [u8]) -> crate::Result<&'a str> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::new("G0311", Kind::Invalid, "The file is not UTF-8 text.").at(file, line, 0)
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
