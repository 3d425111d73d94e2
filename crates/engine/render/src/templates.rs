//! Rendering a chart: values, templates, text, manifests.

use std::collections::BTreeMap;
use std::rc::Rc;

use galley_gotemplate::{Limits, Rendered, STACK_SIZE, Templates};
use galley_problem::{Kind, Problem};
use galley_sprig::value::{Entries, IntType, Map, MapType};
use galley_sprig::{Context, Random, Value};
use jiff::Timestamp;

use crate::chart::Chart;
use crate::functions::ChartFunctions;
use crate::{
    Capabilities, Files, Manifest, ReleaseInfo, Result, ValueSources, dependencies, manifests, objects,
    problems, schema, values,
};

/// What charts may know of the world: the time and randomness. By default neither, and functions that ask for them
/// fail, since what they render would never be the same twice.
#[derive(Default)]
pub struct Surroundings {
    /// The time for `now` and its kind, with the source of random bytes for `randAlphaNum` and its kind.
    pub known: Option<(Timestamp, SendRandom)>,
    /// Who makes keys, certificates and hashes of passwords.
    pub keys: Option<Box<dyn crate::Keys + Send>>,
}

/// A source of random bytes that may go to another thread.
pub type SendRandom = Box<dyn FnMut(&mut [u8]) + Send>;

/// Renders a chart: its CRDs first, then all else in Helm's install order.
///
/// # Errors
/// `G0301`..`G0306` files that are no YAML, `G0310` templates that cannot be read, `G0311` an unusable chart,
/// `G0312` text that is no manifest, `G0313` values, `G0314` what the chart asks for, `G0315` templates that fail,
/// `G0316` limits.
pub fn render_chart(
    files: &Files,
    values: &ValueSources<'_>,
    release: &ReleaseInfo,
    capabilities: &Capabilities,
) -> Result<Vec<Manifest>> {
    render_chart_in(files, values, release, capabilities, Surroundings::default())
}

/// As [`render_chart`], with a time and randomness.
///
/// # Errors
/// As [`render_chart`].
pub fn render_chart_in(
    files: &Files,
    values: &ValueSources<'_>,
    release: &ReleaseInfo,
    capabilities: &Capabilities,
    surroundings: Surroundings,
) -> Result<Vec<Manifest>> {
    on_large_stack(|| {
        let job = Job::new(files, values, release, capabilities, surroundings)?;
        let mut all = Vec::new();
        job.crds(&job.chart, &mut all)?;
        let crds = all.len();
        for (file, rendered) in job.run()? {
            manifests::of_template(&file, &rendered, &mut all)?;
        }
        crate::order::sort(&mut all[crds..]);
        Ok(all)
    })
}

/// The text of every template, by its name (`chart/templates/file.yaml`), as `helm template` would show it.
///
/// # Errors
/// As [`render_chart`].
pub fn render_templates(
    files: &Files,
    values: &ValueSources<'_>,
    release: &ReleaseInfo,
    capabilities: &Capabilities,
) -> Result<BTreeMap<String, String>> {
    on_large_stack(|| {
        let job = Job::new(files, values, release, capabilities, Surroundings::default())?;
        let prefix = job.prefix.clone();
        let texts = job.run_all()?.into_iter();
        Ok(texts.map(|(file, rendered)| (format!("{prefix}{file}"), rendered.text)).collect())
    })
}

/// Templates may need much stack; this gives it to them.
pub(crate) fn on_large_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let failed = |what: &str| Problem::new("G0316", Kind::Internal, what);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("render".to_owned()).stack_size(STACK_SIZE);
        let handle = thread
            .spawn_scoped(scope, work)
            .map_err(|error| failed("The renderer could not get a thread.").because(&error))?;
        handle.join().unwrap_or_else(|_| Err(failed("The renderer ended unexpectedly.")))
    })
}

/// One rendering.
pub(crate) struct Job {
    pub(crate) chart: Chart,
    templates: Templates,
    /// Name, relative path and data of every template.
    runs: Vec<(String, Value)>,
    /// `chart/`
    pub(crate) prefix: String,
}

impl Job {
    pub(crate) fn new(
        files: &Files,
        sources: &ValueSources<'_>,
        release: &ReleaseInfo,
        capabilities: &Capabilities,
        surroundings: Surroundings,
    ) -> Result<Job> {
        let mut chart = Chart::load(files)?;
        if chart.is_library() {
            return Err(problems::chart("This is a library chart: it only serves other charts."));
        }
        dependencies::check(&chart)?;
        if ["v3.", "v4.0.", "v4.1."].iter().any(|old| capabilities.helm_version.starts_with(old)) {
            chart.keep_nulls();
        }
        let users = values::from_user(files, sources)?;
        dependencies::choose(&mut chart, &users);
        check_kube_version(&chart, capabilities)?;
        let all = values::coalesce(&chart, &users);
        if !sources.unchecked {
            schema::check(&chart, &all)?;
        }
        let shared =
            Shared { release: release_value(release), capabilities: objects::capabilities(capabilities) };
        let keys = surroundings.keys.map(|keys| keys as Box<dyn crate::Keys>);
        let context = match surroundings.known {
            Some((now, random)) => Context::new(now, random as Random),
            None => Context::default(),
        };
        let prefix = format!("{}/", chart.metadata.name);
        let mut found = Vec::new();
        let values = Value::Map(all.retyped(MapType::Values));
        collect(&chart, &prefix, true, &values, &shared, &mut found);
        // Deep templates first, so that those of the parent replace those of its subcharts.
        found.sort_by(|(a, ..), (b, ..)| {
            let depth = |name: &str| name.matches('/').count();
            depth(b).cmp(&depth(a)).then_with(|| b.cmp(a))
        });
        let mut templates = Templates::new(Rc::new(ChartFunctions { context, keys }));
        for (name, text, _) in &found {
            templates.parse(name, text).map_err(|error| problems::of_template(&prefix, &error))?;
        }
        let runs = found.into_iter().map(|(name, _, data)| (name, data)).collect();
        Ok(Job { chart, templates, runs, prefix })
    }

    /// Runs what becomes manifests, in the order of the files.
    pub(crate) fn run(&self) -> Result<Vec<(String, Rendered)>> {
        Ok(self.run_all()?.into_iter().filter(|(file, _)| !file.ends_with("NOTES.txt")).collect())
    }

    fn run_all(&self) -> Result<Vec<(String, Rendered)>> {
        let mut texts = Vec::new();
        for (name, data) in &self.runs {
            if name.rsplit('/').next().is_some_and(|base| base.starts_with('_')) {
                continue;
            }
            let rendered = self
                .templates
                .execute(name, data.clone(), &Limits::default())
                .map_err(|error| problems::of_template(&self.prefix, &error))?;
            let file = name.strip_prefix(&self.prefix).unwrap_or(name).to_owned();
            texts.push((file, rendered.without_missing()));
        }
        texts.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(texts)
    }

    fn crds(&self, chart: &Chart, all: &mut Vec<Manifest>) -> Result<()> {
        for (path, text) in &chart.crds {
            manifests::of_text(&format!("{}{path}", chart.folder), text, all)?;
        }
        chart.charts.iter().try_for_each(|inner| self.crds(inner, all))
    }
}

/// What all charts of a rendering see.
struct Shared {
    release: Value,
    capabilities: Value,
}

fn release_value(release: &ReleaseInfo) -> Value {
    Value::map([
        ("Name", Value::text(&release.name)),
        ("Namespace", Value::text(&release.namespace)),
        ("IsUpgrade", Value::Bool(release.is_upgrade)),
        ("IsInstall", Value::Bool(!release.is_upgrade)),
        ("Revision", Value::Int(i64::from(release.revision), IntType::Int)),
        ("Service", Value::text("Helm")),
    ])
}

/// Gathers the templates of a chart and of those in it: name, text and data. Returns what the chart itself sees.
fn collect(
    chart: &Chart,
    path: &str,
    is_root: bool,
    values: &Value,
    shared: &Shared,
    found: &mut Vec<(String, String, Value)>,
) -> Value {
    let below = Map::new(Entries::new());
    let data = Map::typed(
        [
            ("Chart", chart.metadata.value(is_root)),
            ("Files", objects::files(&chart.files)),
            ("Release", shared.release.clone()),
            ("Capabilities", shared.capabilities.clone()),
            ("Values", values.clone()),
            ("Subcharts", Value::Map(below.clone())),
        ]
        .into_iter()
        .map(|(key, value)| (Rc::from(key), value))
        .collect(),
        MapType::Any,
    );
    for inner in &chart.charts {
        let name = &inner.metadata.name;
        let own = match values {
            Value::Map(map) => map.get(name),
            _ => None,
        };
        let own = match own {
            Some(Value::Map(map)) => map.retyped(MapType::Values),
            _ => Map::typed(Entries::new(), MapType::Values),
        };
        let seen = collect(inner, &format!("{path}charts/{name}/"), false, &Value::Map(own), shared, found);
        below.set(name, seen);
    }
    for (file, text) in &chart.templates {
        let partial = file.rsplit('/').next().is_some_and(|base| base.starts_with('_'));
        if chart.is_library() && !partial {
            continue;
        }
        let name = format!("{path}{file}");
        // Every template sees its own name; all else is shared.
        let own = Map::typed(data.entries().clone(), MapType::Values);
        own.set(
            "Template",
            Value::map([("Name", Value::text(&name)), ("BasePath", Value::from(format!("{path}templates")))]),
        );
        found.push((name, text.clone(), Value::Map(own)));
    }
    Value::Map(data)
}

fn check_kube_version(chart: &Chart, capabilities: &Capabilities) -> Result<()> {
    let wanted = &chart.metadata.kube_version;
    if !wanted.is_empty() {
        let arguments = [Value::text(wanted), Value::text(&capabilities.kube_version)];
        let compatible = galley_sprig::find("semverCompare")
            .map(|compare| (compare.run)(&Context::default(), &arguments))
            .is_none_or(|result| matches!(result, Ok(Value::Bool(true))));
        if !compatible {
            let version = &capabilities.kube_version;
            let what = format!(
                "The chart `{}` needs Kubernetes {wanted}, but this is {version}.",
                chart.metadata.name
            );
            return Err(problems::chart(what));
        }
    }
    // Of charts in charts, Helm does not ask it.
    Ok(())
}
