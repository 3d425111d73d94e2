//! Sets and the Applications they make.

use super::*;

fn files(pairs: &[(&str, &str)]) -> Git {
    let files = pairs.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    Git([(("http://git/x".to_owned(), "main".to_owned()), files)].into())
}

fn names(generators: Value, go: bool, name: &str) -> Vec<String> {
    let git = files(&[
        ("apps/bread/c.yaml", "x: 1"),
        ("apps/cake_x/config.json", r#"{"tier": {"size": 3}, "name": "cake"}"#),
        ("apps/draft/c.yaml", "x: 1"),
    ]);
    let set = json!({"metadata": {"name": "s", "namespace": "argocd"}, "spec": {
        "goTemplate": go, "generators": generators, "goTemplateOptions": ["missingkey=error"],
        "template": {"metadata": {"name": name}, "spec": {"project": "default"}}}});
    match generate(&set, &git) {
        Ok(all) => all.iter().map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect(),
        Err(failure) => vec![format!("{failure:?}")],
    }
}

#[test]
fn folders_and_files() {
    let git = |more: Value| {
        let mut body = json!({"repoURL": "http://git/x", "revision": "main"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([{"git": body}])
    };
    let folders = git(json!({"directories": [{"path": "apps/*"}, {"path": "apps/draft", "exclude": true}]}));
    assert_eq!(
        names(folders.clone(), false, "{{path.basenameNormalized}}-{{path[0]}}"),
        ["bread-apps", "cake-x-apps"]
    );
    assert_eq!(names(folders, true, "{{.path.basename | upper}}"), ["BREAD", "CAKE_X"]);
    let found =
        git(json!({"files": [{"path": "apps/**/config.json"}], "values": {"n": "{{.name}}-{{.tier.size}}"}}));
    assert_eq!(names(found, true, "{{.values.n}}-{{.path.filename}}"), ["cake-3-config.json"]);
    let plain = git(json!({"files": [{"path": "apps/*/config.json"}]}));
    assert_eq!(names(plain, false, "{{name}}{{tier.size}}"), ["cake3"]);
}

#[test]
fn combinations() {
    let list = |field: &str, values: &[&str]| json!({"list": {"elements": values.iter().map(|value| json!({field: value})).collect::<Vec<_>>()}});
    let matrix = json!([{"matrix": {"generators": [list("a", &["1", "2"]), list("b", &["x", "y"])]}}]);
    assert_eq!(names(matrix, false, "{{a}}{{b}}"), ["1x", "1y", "2x", "2y"]);
    let merge = json!([{"merge": {"mergeKeys": ["a"], "generators": [
        {"list": {"elements": [{"a": "1", "b": "x"}, {"a": "2", "b": "x"}]}},
        {"list": {"elements": [{"a": "2", "b": "z"}, {"a": "3", "b": "z"}]}}]}}]);
    assert_eq!(names(merge, true, "{{.a}}{{.b}}"), ["1x", "2z"]);
    let chosen =
        json!([{"list": {"elements": [{"a": "1"}, {"a": "2"}]}, "selector": {"matchLabels": {"a": "2"}}}]);
    assert_eq!(names(chosen, false, "n{{a}}"), ["n2"]);
}

#[test]
fn mistakes_are_told_as_go_tells_them() {
    let one = json!([{"list": {"elements": [{"a": "1"}]}}]);
    let told = names(one, true, "{{.nothing.here}}");
    assert!(
        told[0].contains(
            r#"template: :1:10: executing \"\" at <.nothing.here>: map has no entry for key \"nothing\""#
        ),
        "{told:?}"
    );
}
