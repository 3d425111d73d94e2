//! Mistakes are told with the chart's own file, line and column.

use galley_render::{ValueSources, render_chart, render_directory};
use serde_json::json;

use crate::support::{capabilities, files, release};

const CHART: (&str, &str) = ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n");

/// The problem of a chart with these files and these inline values.
fn told(pairs: &[(&str, &str)], values: serde_json::Value) -> String {
    let mut all = vec![CHART];
    all.extend(pairs);
    let sources = ValueSources { inline: Some(values), ..ValueSources::default() };
    match render_chart(&files(&all), &sources, &release(), &capabilities()) {
        Ok(manifests) => format!("rendered {} manifests", manifests.len()),
        Err(problem) => format!("{} {problem}", problem.code),
    }
}

#[test]
fn templates() {
    let one = |text: &str| told(&[("templates/x.yaml", text)], json!({}));
    assert_eq!(
        one("a: 1\nb: {{ .Values.x | nope }}\n"),
        "G0310 templates/x.yaml:2:19: The template cannot be read: function \"nope\" not defined."
    );
    assert_eq!(
        one("{{ if .Values.x }}\na: 1\n"),
        "G0310 templates/x.yaml:3:1: The template cannot be read: unexpected EOF: the block of line 1 has no end."
    );
    assert_eq!(
        one("a: {{ .Values.image.tag }}\n"),
        "G0315 templates/x.yaml:1:7: `.Values.image.tag` cannot be evaluated: nil pointer evaluating interface {}.tag."
    );
    assert_eq!(one("a:\n  b: {{ fail \"No soup today.\" }}\n"), "G0314 templates/x.yaml:2:9: No soup today.");
}

#[test]
fn the_way_through_includes_is_told() {
    let helpers = "{{ define \"a\" }}\n{{ include \"b\" . }}{{ end }}\n{{ define \"b\" }}{{ required \"Give an image.\" .Values.image }}{{ end }}\n";
    assert_eq!(
        told(
            &[("templates/_h.tpl", helpers), ("templates/x.yaml", "a: 1\nb: {{ include \"a\" . }}\n")],
            json!({})
        ),
        "G0314 templates/_h.tpl:3:20: Give an image. Used by `include \"b\" .` at templates/_h.tpl:2:4. Used by `include \"a\" .` at templates/x.yaml:2:7."
    );
}

#[test]
fn printed_text_is_placed_in_the_template() {
    let template = "apiVersion: v1\nkind: ConfigMap\ndata:\n  {{- range .Values.items }}\n  {{ .key }}: {{ .value }}\n  {{- end }}\n";
    let values = json!({"items": [{"key": "a", "value": 1}, {"key": "z", "value": "b: c"}]});
    let problem = told(&[("templates/x.yaml", template)], values);
    assert!(problem.starts_with("G0301 templates/x.yaml:5:"), "{problem}");
    assert!(problem.contains("The template printed, on line 5: `  z: b: c`."), "{problem}");
    let values = json!({"items": [{"key": "a", "value": 1}, {"key": "a", "value": 2}]});
    assert_eq!(told(&[("templates/x.yaml", template)], values), "rendered 1 manifests");
    assert_eq!(
        told(&[("templates/x.yaml", "# a\n---\n{{ if true }}\nkind: Pod\n{{ end }}\n")], json!({})),
        "G0312 templates/x.yaml:4:1: This is not a Kubernetes object: it has no `apiVersion`."
    );
}

#[test]
fn charts_and_values() {
    assert_eq!(
        told(&[("values.yaml", "a: 1\nb: [\n")], json!({})),
        "G0301 values.yaml:2:4: This is not valid YAML: unclosed bracket '['."
    );
    assert_eq!(
        told(&[("values.yaml", "- a\n")], json!({})),
        "G0313 values.yaml:1:1: Values must be a mapping."
    );
    assert_eq!(told(&[], json!([1])), "G0313 Inline values must be a mapping.");
    let missing = render_chart(
        &files(&[CHART]),
        &ValueSources { files: &["nope.yaml".to_owned()], ..ValueSources::default() },
        &release(),
        &capabilities(),
    );
    assert_eq!(missing.unwrap_err().to_string(), "nope.yaml: The values file `nope.yaml` does not exist.");
    let chart = |text: &str| {
        let problem = render_chart(
            &files(&[("Chart.yaml", text)]),
            &ValueSources::default(),
            &release(),
            &capabilities(),
        );
        problem.map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(chart("apiVersion: v2\nname: x\n"), "Chart.yaml:1:1: Chart.yaml has no `version`.");
    assert_eq!(
        chart("apiVersion: v2\nname: x\nversion: 1.0.0\nkubeVersion: '>=2.0.0'\n"),
        "Chart.yaml: The chart `x` needs Kubernetes >=2.0.0, but this is v1.36.0."
    );
    assert_eq!(
        chart("apiVersion: v2\nname: x\nversion: 1.0.0\ndependencies: [{name: z, version: 1.0.0}]\n"),
        "Chart.yaml: The chart needs `z` in version `1.0.0`, but it is not under charts/."
    );
    assert_eq!(
        render_chart(&files(&[]), &ValueSources::default(), &release(), &capabilities())
            .unwrap_err()
            .to_string(),
        "Chart.yaml: The folder has no Chart.yaml."
    );
}

#[test]
fn folders() {
    let told = |text: &str| render_directory(&files(&[("m.yaml", text)]), false).unwrap_err().to_string();
    assert_eq!(
        told("apiVersion: v1\nkind: Pod\n---\n\nkind: Pod\n"),
        "m.yaml:5:1: This is not a Kubernetes object: it has no `apiVersion`."
    );
    assert_eq!(told("just text\n"), "m.yaml:1:1: This is not a Kubernetes object: it is no mapping.");
    assert_eq!(
        told("a: {{ .Values.x }}\n"),
        "m.yaml:1:5: A key must be a single word or text, not a list or a mapping."
    );
}

#[test]
fn nothing_runs_forever() {
    for template in [
        "{{ define \"a\" }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
        "{{ define \"a\" }}{{ template \"a\" . }}{{ end }}{{ template \"a\" . }}",
        "{{ define \"a\" }}{{ if true }}{{ with 1 }}{{ (include \"a\" (list (list .))) | upper }}{{ end }}{{ end }}{{ end }}{{ include \"a\" 1 }}",
        "{{ range until 1000000 }}{{ range until 1000 }}{{ end }}{{ end }}",
        "{{ $x := \"0123456789\" }}{{ range until 100 }}{{ $x = cat $x $x }}{{ end }}",
        "{{ $x := list 1 }}{{ range until 100 }}{{ $x = concat $x $x }}{{ end }}",
        "{{ range until 100000 }}{{ repeat 10000000 \"x\" }}{{ end }}",
        "{{ repeat 1000000000000 \"x\" }}",
        "{{ indent 1000000000 \"x\" }}",
        "{{ printf \"%1000000000d\" 1 | len | until | len | until }}",
        "{{ tpl .Values.loop . }}",
        "{{ range 9000000000 }}{{ end }}",
        "{{ untilStep 0 9000000000 1 }}",
        "{{ regexReplaceAll \"\" (repeat 1000000 \"a\") (repeat 1000000 \"b\") }}",
        "{{ $d := dict }}{{ $_ := set $d \"d\" $d }}{{ toYaml $d | fail }}",
    ] {
        let problem = told(&[("templates/x.yaml", template)], json!({"loop": "{{ tpl .Values.loop . }}"}));
        assert!(problem.starts_with("G03"), "{template}: {problem}");
    }
    let blocks = format!(
        "{}{}1{} | include \"a\"{}",
        "{{ with 1 }}".repeat(60),
        "{{ ((((((((((((((((((((((((((((((",
        "))))))))))))))))))))))))))))))",
        " }}"
    );
    let deep = format!(
        "{{{{ define \"a\" }}}}{blocks}{}{{{{ end }}}}{{{{ include \"a\" 1 }}}}",
        "{{ end }}".repeat(60)
    );
    let problem = told(&[("templates/x.yaml", &deep)], json!({}));
    assert!(problem.starts_with("G0316"), "{problem}");
    let parens = format!("{}include \"a\" 1{}", "(".repeat(90), ")".repeat(90));
    let deep = format!("{{{{ define \"a\" }}}}{{{{ {parens} }}}}{{{{ end }}}}{{{{ include \"a\" 1 }}}}");
    let problem = told(&[("templates/x.yaml", &deep)], json!({}));
    assert!(problem.starts_with("G0316"), "{problem}");
    let deep = format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(told(&[("templates/x.yaml", &format!("{{{{ {deep} }}}}"))], json!({})).starts_with("G0310"));
    let deep = "{{ if 1 }}".repeat(100_000);
    assert!(told(&[("templates/x.yaml", &deep)], json!({})).starts_with("G0310"));
    let chain = format!(
        "{{{{ $x := dict }}}}{{{{ range until 500000 }}}}{{{{ $x = dict \"x\" $x }}}}{{{{ end }}}}{}",
        "{{ $x | toJson }}"
    );
    assert!(told(&[("templates/x.yaml", &chain)], json!({})).starts_with("rendered 0"));
}
