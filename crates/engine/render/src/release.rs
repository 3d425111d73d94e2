//! What `helm template` prints: every manifest as its template wrote it, in Helm's order, with its source.
//!
//! Unlike [`render_chart`](crate::render_chart), which reads manifests, this keeps their text: comments, the order of
//! keys and the way things are quoted stay as the chart has them.

use galley_gotemplate::Rendered;
use galley_problem::Problem;
use serde_json::Value;

use crate::templates::{Job, on_large_stack};
use crate::{Capabilities, Files, ReleaseInfo, Result, Surroundings, ValueSources, manifests, order};

/// The annotation that makes an object a hook.
const HOOK: &str = "helm.sh/hook";

/// What Helm knows as moments of a release; an object with another one is dropped.
const EVENTS: [&str; 10] = [
    "pre-install",
    "post-install",
    "pre-delete",
    "post-delete",
    "pre-upgrade",
    "post-upgrade",
    "pre-rollback",
    "post-rollback",
    "test",
    "test-success",
];

/// What is printed of a chart.
#[derive(Clone, Debug, Default)]
pub struct TextOptions {
    /// The chart's CRDs, too.
    pub include_crds: bool,
    /// No hooks.
    pub no_hooks: bool,
    /// No hooks that are tests.
    pub skip_tests: bool,
    /// Only these templates (`templates/service.yaml`); all, if there are none.
    pub only: Vec<String>,
}

/// One manifest as its template wrote it.
struct Piece {
    /// `chart/templates/file.yaml`
    source: String,
    text: String,
    kind: String,
    is_test: bool,
}

/// The text that `helm template` prints.
///
/// # Errors
/// As [`render_chart`](crate::render_chart).
pub fn render_text(
    files: &Files,
    values: &ValueSources<'_>,
    release: &ReleaseInfo,
    capabilities: &Capabilities,
    surroundings: Surroundings,
    options: &TextOptions,
) -> Result<String> {
    on_large_stack(|| {
        let job = Job::new(files, values, release, capabilities, surroundings)?;
        let (mut plain, mut hooks) = (Vec::new(), Vec::new());
        for (file, rendered) in job.run()? {
            split(&job.prefix, &file, &rendered, &mut plain, &mut hooks)?;
        }
        plain.sort_by_cached_key(|piece| order::key(&piece.kind));
        hooks.sort_by_cached_key(|piece| order::key(&piece.kind));
        let mut out = String::new();
        if options.include_crds {
            let mut crds = Vec::new();
            job.chart.all_crds(&job.chart.metadata.name, &mut crds);
            for (source, text) in crds {
                add(&mut out, &source, &text);
            }
        }
        plain.iter().for_each(|piece| add(&mut out, &piece.source, &piece.text));
        let mut out = format!("{}\n", out.trim());
        if !options.no_hooks {
            let shown = hooks.iter().filter(|piece| !(options.skip_tests && piece.is_test));
            shown.for_each(|piece| add(&mut out, &piece.source, &piece.text));
        }
        if options.only.is_empty() { Ok(out) } else { only(&out, &job.prefix, &options.only) }
    })
}

fn add(out: &mut String, source: &str, text: &str) {
    out.push_str("---\n# Source: ");
    out.push_str(source);
    out.push('\n');
    out.push_str(text);
    out.push('\n');
}

/// Takes the text of one template apart.
fn split(
    prefix: &str,
    file: &str,
    rendered: &Rendered,
    plain: &mut Vec<Piece>,
    hooks: &mut Vec<Piece>,
) -> Result<()> {
    if rendered.text.trim().is_empty() {
        return Ok(());
    }
    for (first_line, text) in manifests::split(&rendered.text) {
        let head = read_head(file, rendered, first_line, text)?;
        let metadata = head.get("metadata").unwrap_or(&Value::Null);
        let hook = metadata.get("annotations").and_then(|all| all.get(HOOK)).and_then(Value::as_str);
        let events: Option<Vec<String>> =
            hook.map(|hook| hook.split(',').map(|event| event.trim().to_lowercase()).collect());
        let piece = Piece {
            source: format!("{prefix}{file}"),
            text: text.to_owned(),
            kind: head.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned(),
            is_test: events.iter().flatten().any(|event| event.starts_with("test")),
        };
        match events {
            None => plain.push(piece),
            Some(events) if events.iter().all(|event| EVENTS.contains(&event.as_str())) => hooks.push(piece),
            Some(_) => {}
        }
    }
    Ok(())
}

/// The first document of a piece, read as Helm does: what is no mapping has no head.
fn read_head(file: &str, rendered: &Rendered, first_line: usize, text: &str) -> Result<Value> {
    let documents = galley_yaml::parse_documents_leniently(file, text).map_err(|mut problem| {
        if let Some(place) = &mut problem.place {
            place.line += first_line - 1;
        }
        manifests::printed(file, rendered, problem)
    })?;
    let value = documents.into_iter().next().map_or(Value::Null, |document| document.value);
    if value.is_object() || value.is_null() {
        return Ok(value);
    }
    let (line, column) = rendered.origin(first_line, 1);
    let what = "This is not a Kubernetes object: it is no mapping.";
    Err(Problem::new("G0312", galley_problem::Kind::Invalid, what).at(file, line, column))
}

/// The pieces of the printed text whose template was asked for.
fn only(text: &str, prefix: &str, wanted: &[String]) -> Result<String> {
    let pieces: Vec<(&str, &str)> =
        text.split("---\n# Source: ").filter_map(|piece| piece.split_once('\n')).collect();
    let mut out = String::new();
    for name in wanted {
        let name = name.trim_start_matches("./");
        let mut found = false;
        for (source, body) in &pieces {
            let short = source.strip_prefix(prefix).unwrap_or(source);
            if crate::ignore::glob(name, short) {
                found = true;
                add(&mut out, source, body.trim_end_matches('\n'));
            }
        }
        if !found {
            let what = format!("The chart has no template `{name}` that printed anything.");
            return Err(Problem::new("G0311", galley_problem::Kind::NotFound, what)
                .try_this("Name it as it stands in the chart, such as `templates/service.yaml`."));
        }
    }
    Ok(out)
}
