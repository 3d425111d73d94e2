//! From charts and folders to manifests.

use galley_render::{
    Capabilities, Manifest, Surroundings, ValueSources, is_chart, render_chart, render_chart_in,
    render_directory,
};
use serde_json::json;

use crate::support::{capabilities, cases, files, read_folder, release};

fn short(manifests: &[Manifest]) -> Vec<String> {
    let name = |m: &Manifest| m.value["metadata"]["name"].as_str().unwrap_or("-").to_owned();
    manifests
        .iter()
        .map(|m| format!("{} {} {}:{}", m.value["kind"].as_str().unwrap_or("-"), name(m), m.file, m.line))
        .collect()
}

#[test]
fn manifests_come_in_install_order_with_their_places() {
    let files = files(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        (
            "crds/crd.yaml",
            "# a crd\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: crd}\n",
        ),
        (
            "templates/all.yaml",
            "{{- range list \"b\" \"a\" }}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ . }}\n{{- end }}\n---\n# nothing\n---\napiVersion: example.com/v1\nkind: Other\nmetadata: {name: o}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\n",
        ),
        (
            "templates/ns.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {{ .Release.Namespace }}\n",
        ),
        (
            "templates/list.yaml",
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: in-list}\n",
        ),
        ("templates/NOTES.txt", "Thank you.\n"),
        ("templates/empty.yaml", "{{ if false }}x{{ end }}\n"),
    ]);
    assert!(is_chart(&files));
    let manifests = render_chart(&files, &ValueSources::default(), &release(), &capabilities()).unwrap();
    assert_eq!(
        short(&manifests),
        [
            "CustomResourceDefinition crd crds/crd.yaml:2",
            "Namespace ns templates/ns.yaml:1",
            "Secret in-list templates/list.yaml:4",
            "Service s templates/all.yaml:15",
            "Deployment b templates/all.yaml:3",
            "Deployment a templates/all.yaml:3",
            "Other o templates/all.yaml:11",
        ]
    );
}

#[test]
fn the_environment_chart_becomes_objects() {
    let files = read_folder(&cases().join("charts/environment/chart"));
    let set = [("image.tag".to_owned(), "2.0".to_owned()), ("replicas".to_owned(), "1".to_owned())];
    let sources = ValueSources { set: &set, ..ValueSources::default() };
    let manifests = render_chart(&files, &sources, &release(), &capabilities()).unwrap();
    let kinds: Vec<_> = manifests.iter().filter_map(|m| m.value["kind"].as_str()).collect();
    assert_eq!(kinds, ["ConfigMap", "Service", "Pod", "Deployment"]);
    let deployment = &manifests[3].value;
    assert_eq!(deployment["spec"]["replicas"], json!(1));
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        json!("registry.local:5000/gourmetgram:2.0")
    );
    assert_eq!(manifests[0].value["data"]["single"], json!("true"));
}

#[test]
fn later_values_win() {
    let files = files(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        ("values.yaml", "a: 1\nb: 1\nc: 1\nd: 1\ne: {x: 1, z: 1}\nf: 1\n"),
        ("one.yaml", "b: 2\nc: 2\nd: 2\ne: {x: 2}\n"),
        ("env/two.yaml", "c: 3\nd: 3\n"),
        ("templates/t.yaml", "apiVersion: v1\nkind: ConfigMap\ndata: {{ toJson .Values }}\n"),
    ]);
    let sources = ValueSources {
        files: &["one.yaml".to_owned(), "./env/two.yaml".to_owned()],
        inline: Some(json!({"d": 4, "g": 4})),
        set: &[("g".to_owned(), "5".to_owned()), ("h".to_owned(), "6".to_owned())],
        set_string: &[("h".to_owned(), "7".to_owned()), ("f".to_owned(), "null".to_owned())],
        ..ValueSources::default()
    };
    let manifests = render_chart(&files, &sources, &release(), &capabilities()).unwrap();
    assert_eq!(
        manifests[0].value["data"],
        json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": {"x": 2, "z": 1}, "f": "null", "g": 5, "h": "7"})
    );
}

#[test]
fn capabilities_decide() {
    let files = files(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        (
            "templates/t.yaml",
            "apiVersion: v1\nkind: ConfigMap\ndata:\n  local: {{ .Capabilities.APIVersions.Has \"galley.dev/v1alpha1\" }}\n  version: {{ .Capabilities.KubeVersion }} {{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.HelmVersion.Version }}\n",
        ),
    ]);
    let here = Capabilities { kube_version: "v1.34.4-gke.1".to_owned(), ..capabilities() };
    let data = &render_chart(&files, &ValueSources::default(), &release(), &here).unwrap()[0].value["data"];
    assert_eq!(*data, json!({"local": true, "version": "v1.34.4 v1.34.4-gke.1 v4.2.3"}));
}

#[test]
fn time_and_randomness_come_from_outside() {
    let files = files(&[
        ("Chart.yaml", "apiVersion: v2\nname: c\nversion: 1.0.0\n"),
        (
            "templates/t.yaml",
            "apiVersion: v1\nkind: ConfigMap\ndata: {at: {{ now | date \"2006\" }}, id: {{ randAlphaNum 8 }}}\n",
        ),
    ]);
    let problem = render_chart(&files, &ValueSources::default(), &release(), &capabilities()).unwrap_err();
    assert_eq!(problem.code, "G0315");
    let mut next = 0u8;
    let random = Box::new(move |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_add(7);
            *byte = next;
        }
    });
    let known = Surroundings {
        known: Some((jiff::Timestamp::from_second(1_700_000_000).unwrap(), random)),
        keys: None,
    };
    let manifests =
        render_chart_in(&files, &ValueSources::default(), &release(), &capabilities(), known).unwrap();
    assert_eq!(manifests[0].value["data"]["at"], json!(2023));
    assert_eq!(manifests[0].value["data"]["id"].as_str().map(str::len), Some(8));
}

#[test]
fn folders_of_manifests() {
    let files = files(&[
        (
            "b.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: b}\n---\n\napiVersion: v1\nkind: Secret\nmetadata: {name: c}\n",
        ),
        ("a.json", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}"),
        ("README.md", "not a manifest"),
        ("sub/d.yml", "apiVersion: v1\nkind: Pod\nmetadata: {name: d}\n"),
    ]);
    assert!(!is_chart(&files));
    assert_eq!(
        short(&render_directory(&files, false).unwrap()),
        ["Pod a a.json:1", "Secret b b.yaml:1", "Secret c b.yaml:6"]
    );
    assert_eq!(render_directory(&files, true).unwrap().len(), 4);
}
