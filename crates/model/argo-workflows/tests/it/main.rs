//! Workflow files: what is told, and where.

mod lint;

use galley_argo_workflows::{Externals, Manifest, check_files, parse_and_check};

/// Every problem as `code line:column what`.
fn problems(text: &str) -> Vec<String> {
    match parse_and_check("w.yaml", text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| {
                let place = problem.place.as_ref().map(ToString::to_string).unwrap_or_default();
                format!("{} {} {}", problem.code, place.trim_start_matches("w.yaml:"), problem.what)
            })
            .collect(),
    }
}

const HEAD: &str =
    "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: main\n";

fn check(spec: &str, expected: &[&str]) {
    assert_eq!(problems(&format!("{HEAD}{spec}")), expected, "{spec}");
}

#[test]
fn a_good_file_is_read() {
    let text = format!(
        "{HEAD}  templates:\n  - name: main\n    container: {{image: i, command: [\"true\"]}}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: other}}\n"
    );
    let manifests = parse_and_check("w.yaml", &text).unwrap();
    assert!(matches!(&manifests[..], [Manifest::Workflow(workflow)] if workflow.metadata.name == "w"));
}

#[test]
fn form_is_told_with_its_place() {
    check(
        "  templates:\n  - name: main\n    containr: {image: i}\n",
        &["G0501 8:5 There is no field `containr` here."],
    );
    check(
        "  arguments:\n    parameters:\n    - name: count\n      value: 5\n  templates:\n  - {name: main, suspend: {}}\n",
        &["G0502 9:14 This must be a text, but is a number."],
    );
    check(
        "  parallelism: 0\n  templates: [{name: main, suspend: {}}]\n",
        &["G0502 6:16 This must be at least 1."],
    );
}

#[test]
fn meaning_is_told_with_its_place() {
    check(
        "  templates:\n  - name: main\n    steps:\n    - - name: a\n        template: nowhere\n",
        &["G0503 10:19 templates.main.steps[0].a template name 'nowhere' undefined."],
    );
    check(
        "  templates:\n  - name: main\n    dag:\n      tasks:\n      - {name: a, template: ok, depends: b}\n      - {name: b, template: ok, depends: a}\n  - {name: ok, suspend: {}}\n",
        &["G0503 10:9 templates.main sorting failed: graph with cycle."],
    );
    check(
        "  templates:\n  - name: main\n    steps:\n    - - name: a\n        template: say\n  - name: say\n    inputs: {parameters: [{name: text}]}\n    container: {image: i}\n",
        &["G0503 9:9 templates.main.steps[0].a templates.say inputs.parameters.text had no value."],
    );
}

#[test]
fn what_would_fail_only_later_is_told_now() {
    check(
        "  templates:\n  - name: main\n    steps:\n    - - name: a\n        template: wait\n        when: \"== ==\"\n  - name: wait\n    suspend: {duration: a while}\n",
        &[
            "G0505 11:15 Invalid 'when' expression '== ==': Cannot transition token types from UNKNOWN [<nil>] to COMPARATOR [==]",
            "G0505 13:25 `a while` is not a duration; write a number and a unit, such as `90s`, `5m` or `1h30m`.",
        ],
    );
    check(
        "  templates:\n  - name: main\n    steps: [[{name: a, template: ok, arguments: {parameters: [{name: v, value: \"{{item}}\"}]}}]]\n  - {name: ok, inputs: {parameters: [{name: v}]}, suspend: {}}\n",
        &["G0505 8:14 `{{item}}` is used, but `a` has no items."],
    );
    check(
        "  templates: [{name: main, plugin: {hello: {}}}]\n",
        &["G0506 6:36 `plugin` is not available on one machine."],
    );
}

#[test]
fn references_between_files_are_followed() {
    let template = "apiVersion: argoproj.io/v1alpha1\nkind: WorkflowTemplate\nmetadata: {name: train-model}\nspec:\n  entrypoint: main\n  arguments: {parameters: [{name: release}]}\n  templates: [{name: main, suspend: {}}]\n";
    let cron = |name: &str, arguments: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: CronWorkflow\nmetadata: {{name: nightly}}\nspec:\n  schedules: [\"0 2 * * *\"]\n  workflowSpec:\n    workflowTemplateRef: {{name: {name}}}\n{arguments}"
        )
    };
    let run = |cron: &str, externals| {
        check_files(&[("t.yaml", template), ("c.yaml", cron)], externals)
            .err()
            .unwrap_or_default()
            .into_iter()
            .map(|problem| (problem.code, problem.remedy.unwrap_or(problem.what)))
            .collect::<Vec<_>>()
    };
    let given = "    arguments: {parameters: [{name: release, value: r}]}\n";
    assert_eq!(run(&cron("train-model", given), Externals::Refused), []);
    assert_eq!(
        run(&cron("train-modle", given), Externals::Refused),
        [("G0504", "Did you mean `train-model`?".to_owned())]
    );
    assert_eq!(run(&cron("elsewhere", given), Externals::Allowed), []);
    assert_eq!(
        run(&cron("train-model", ""), Externals::Refused),
        [(
            "G0503",
            "spec.arguments.release.value or spec.arguments.release.valueFrom is required.".to_owned()
        )]
    );
}

/// The workflows that are shipped must pass, as a set in which nothing refers outside.
#[test]
fn the_shipped_workflows_are_good() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../pipeline/workflows");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "skipped: there is no pipeline/workflows beside the crates");
        return;
    };
    let paths = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    let files: Vec<(String, String)> =
        paths.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap())).collect();
    let borrowed: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let manifests = check_files(&borrowed, Externals::Refused);
    let problems: Vec<String> =
        manifests.as_ref().err().into_iter().flatten().map(ToString::to_string).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(!manifests.unwrap().is_empty(), "no workflow in {}", folder.display());
}
