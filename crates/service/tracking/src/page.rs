//! A small page for people: experiments, their latest runs, registered models.

use axum::{
    Router,
    extract::State,
    response::{Html, IntoResponse},
    routing::get,
};
use galley_mlflow::{Experiment, RegisteredModel, Run};
use galley_store::tracking::{RunSearch, Search};
use http::{HeaderName, HeaderValue, header};

use crate::{failure::Failure, service::Shared};

/// Experiments and models shown.
const SHOWN: u32 = 50;
/// Runs shown of each experiment.
const RUNS_SHOWN: u32 = 10;
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 2rem; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8883; vertical-align: top; }
th { font-weight: 600; } code, td.n { font-family: ui-monospace, monospace; font-size: .9em; }
.soft { opacity: .65; }";

/// The page's route.
pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/", get(show))
}

async fn show(State(shared): State<Shared>) -> Result<impl IntoResponse, Failure> {
    let first = |max_results| Search { max_results, ..Search::default() };
    let experiments = shared.store.search_experiments(first(SHOWN)).await?;
    let models = shared.store.search_registered_models(first(SHOWN)).await?;
    let mut page = String::from("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.push_str("<meta name=\"viewport\" content=\"width=device-width\"><title>Tracking</title><style>");
    page.push_str(STYLE);
    page.push_str("</style></head><body><h1>Tracking</h1>");
    page.push_str(
        "<p class=\"soft\">Set <code>MLFLOW_TRACKING_URI</code> to this address to log from your own code.</p>",
    );
    models_table(&mut page, &models.items);
    for experiment in &experiments.items {
        let search =
            RunSearch { experiments: vec![experiment.experiment_id.clone()], search: first(RUNS_SHOWN) };
        let runs = shared.store.search_runs(search).await?;
        experiment_table(&mut page, experiment, &runs.items, runs.next.is_some());
    }
    page.push_str("</body></html>");
    let headers = [
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    Ok((headers, Html(page)))
}

fn models_table(page: &mut String, models: &[RegisteredModel]) {
    page.push_str("<h2>Registered models</h2>");
    if models.is_empty() {
        page.push_str("<p class=\"soft\">None yet.</p>");
        return;
    }
    page.push_str("<table><tr><th>Name</th><th>Latest version</th><th>Aliases</th></tr>");
    for model in models {
        let latest = model.latest_versions.iter().max_by_key(|version| version.number());
        let aliases: Vec<String> =
            model.aliases.iter().map(|alias| format!("{} → {}", alias.alias, alias.version)).collect();
        row(page, &[&model.name, latest.map_or("–", |version| &version.version), &aliases.join(", ")]);
    }
    page.push_str("</table>");
}

fn experiment_table(page: &mut String, experiment: &Experiment, runs: &[Run], more: bool) {
    page.push_str("<h2>");
    escape(page, &experiment.name);
    page.push_str("</h2>");
    if runs.is_empty() {
        page.push_str("<p class=\"soft\">No runs yet.</p>");
        return;
    }
    page.push_str("<table><tr><th>Run</th><th>Status</th><th>Id</th><th>Metrics</th></tr>");
    for run in runs {
        let metrics: Vec<String> =
            run.data.metrics.iter().take(6).map(|m| format!("{} {:.4}", m.key, m.value)).collect();
        row(page, &[&run.info.run_name, run.info.status.name(), &run.info.run_id, &metrics.join(", ")]);
    }
    page.push_str("</table>");
    if more {
        page.push_str("<p class=\"soft\">Older runs are not shown.</p>");
    }
}

fn row(page: &mut String, cells: &[&str]) {
    page.push_str("<tr>");
    for cell in cells {
        page.push_str("<td>");
        escape(page, cell);
        page.push_str("</td>");
    }
    page.push_str("</tr>");
}

fn escape(page: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            c => page.push(c),
        }
    }
}
