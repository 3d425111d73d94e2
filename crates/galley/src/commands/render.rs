//! `galley render`: what helm or kustomize would print.

use galley_problem::Problem;
use galley_render::{SetKind, TextOptions};
use galley_sources::Request;
use galley_units::Clock;

use crate::{
    Answer,
    cli::render::{Render, Text},
    voice,
};

/// Runs the command.
///
/// # Errors
/// G0317 and G0318 for what cannot be read, G03xx for what cannot be rendered.
pub async fn run(args: Render, clock: &dyn Clock) -> Result<Answer, Problem> {
    let output = args.output;
    let request = request(args, clock.now());
    let text = tokio::task::spawn_blocking(move || galley_sources::render(&request))
        .await
        .map_err(|error| crate::internal("rendering", &error))??;
    match output {
        Text::Yaml => voice::data(text.strip_suffix('\n').unwrap_or(&text)),
        Text::Json => {
            let documents = galley_yaml::parse_documents_leniently("output", &text)?;
            let values: Vec<_> = documents.into_iter().map(|document| document.value).collect();
            voice::object(crate::cli::Format::Json, &values)?;
        }
    }
    Ok(Answer::Yes)
}

fn request(args: Render, now: jiff::Timestamp) -> Request {
    let given = [
        (SetKind::Json, args.set_json),
        (SetKind::Typed, args.set),
        (SetKind::Text, args.set_string),
        (SetKind::File, args.set_file),
        (SetKind::Literal, args.set_literal),
    ];
    let sets =
        given.into_iter().flat_map(|(kind, all)| all.into_iter().map(move |one| (kind, one))).collect();
    Request {
        path: args.path,
        name: args.name,
        namespace: args.namespace,
        values: args.values,
        sets,
        kube_version: args.kube_version,
        api_versions: args.api_versions,
        options: TextOptions {
            include_crds: args.include_crds,
            no_hooks: args.no_hooks,
            skip_tests: args.skip_tests,
            only: args.show_only,
        },
        is_upgrade: args.is_upgrade,
        unchecked: args.skip_schema_validation,
        now,
    }
}
