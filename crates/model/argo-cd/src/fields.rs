//! The names of Argo CD's fields, so that a slip of the pen in a file is told with its place.
//!
//! The lists hold everything Argo CD 3.2 knows, also what Galley passes on or refuses elsewhere: a file that the real
//! Argo CD accepts must not be refused here for its spelling.

use galley_problem::{Kind, Problem, did_you_mean};
use serde_json::Value;

use crate::Application;

/// What may stand at a place.
enum Shape {
    /// Anything.
    Any,
    /// These fields.
    Fields(&'static [(&'static str, Shape)]),
    /// A list of these.
    List(&'static Shape),
}

use Shape::{Any, Fields, List};

const HELM: Shape = Fields(&[
    ("valueFiles", Any),
    ("ignoreMissingValueFiles", Any),
    ("parameters", List(&Fields(&[("name", Any), ("value", Any), ("forceString", Any)]))),
    ("fileParameters", List(&Fields(&[("name", Any), ("path", Any)]))),
    ("releaseName", Any),
    ("values", Any),
    ("valuesObject", Any),
    ("passCredentials", Any),
    ("skipCrds", Any),
    ("skipSchemaValidation", Any),
    ("skipTests", Any),
    ("namespace", Any),
    ("kubeVersion", Any),
    ("apiVersions", Any),
    ("version", Any),
]);

const SOURCE: Shape = Fields(&[
    ("repoURL", Any),
    ("path", Any),
    ("targetRevision", Any),
    ("chart", Any),
    ("ref", Any),
    ("name", Any),
    ("helm", HELM),
    ("directory", Fields(&[("recurse", Any), ("exclude", Any), ("include", Any), ("jsonnet", Any)])),
    ("kustomize", Any),
    ("plugin", Any),
]);

const RETRY: Shape = Fields(&[
    ("limit", Any),
    ("refresh", Any),
    ("backoff", Fields(&[("duration", Any), ("factor", Any), ("maxDuration", Any)])),
]);

const SYNC_POLICY: Shape = Fields(&[
    ("automated", Fields(&[("prune", Any), ("selfHeal", Any), ("allowEmpty", Any), ("enabled", Any)])),
    ("syncOptions", Any),
    ("retry", RETRY),
    ("managedNamespaceMetadata", Fields(&[("labels", Any), ("annotations", Any)])),
]);

const IGNORE: Shape = Fields(&[
    ("group", Any),
    ("kind", Any),
    ("name", Any),
    ("namespace", Any),
    ("jsonPointers", Any),
    ("jqPathExpressions", Any),
    ("managedFieldsManagers", Any),
]);

const APPLICATION: Shape = Fields(&[
    ("apiVersion", Any),
    ("kind", Any),
    ("metadata", Any),
    (
        "spec",
        Fields(&[
            ("project", Any),
            ("destination", Fields(&[("server", Any), ("name", Any), ("namespace", Any)])),
            ("source", SOURCE),
            ("sources", List(&SOURCE)),
            ("sourceHydrator", Any),
            ("syncPolicy", SYNC_POLICY),
            ("ignoreDifferences", List(&IGNORE)),
            ("info", List(&Fields(&[("name", Any), ("value", Any)]))),
            ("revisionHistoryLimit", Any),
        ]),
    ),
    ("status", Any),
    ("operation", Any),
]);

/// A field that Argo CD does not know: its JSON pointer, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownField {
    /// As in `/spec/syncPolicy/automated/selfheal`.
    pub pointer: String,
    /// The nearest known name.
    pub meant: Option<&'static str>,
}

/// The fields of an Application that Argo CD does not know.
pub fn unknown_fields(application: &Value) -> Vec<UnknownField> {
    let mut found = Vec::new();
    check(&APPLICATION, application, &mut String::new(), &mut found);
    found
}

fn check(shape: &Shape, value: &Value, path: &mut String, found: &mut Vec<UnknownField>) {
    match (shape, value) {
        (Fields(known), Value::Object(fields)) => {
            for (name, value) in fields {
                let length = path.len();
                path.push('/');
                path.push_str(&name.replace('~', "~0").replace('/', "~1"));
                match known.iter().find(|(known, _)| known == name) {
                    Some((_, shape)) => check(shape, value, path, found),
                    None => {
                        let meant = did_you_mean(name, known.iter().map(|(known, _)| *known));
                        found.push(UnknownField { pointer: path.clone(), meant });
                    }
                }
                path.truncate(length);
            }
        }
        (List(shape), Value::Array(items)) => {
            for (n, item) in items.iter().enumerate() {
                let length = path.len();
                path.push_str(&format!("/{n}"));
                check(shape, item, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

/// Reads an Application from a file that a person wrote: strictly, with places.
///
/// # Errors
/// G03xx for what is no YAML, G0410 for an unknown field or a wrong type.
pub fn read_application(file: &str, text: &str) -> Result<Application, Problem> {
    let value: Value = galley_yaml::from_str(file, text)?;
    if value.get("kind").and_then(Value::as_str) != Some("Application") {
        let what = "The file holds no Argo CD `Application`.";
        return Err(Problem::new("G0410", Kind::Invalid, what).at(file, 0, 0));
    }
    if let Some(unknown) = unknown_fields(&value).into_iter().next() {
        let name = unknown.pointer.rsplit('/').next().unwrap_or_default();
        let (line, column) = galley_yaml::locate(text, &unknown.pointer).unwrap_or_default();
        let problem =
            Problem::new("G0410", Kind::Invalid, format!("Argo CD does not know the field `{name}`."))
                .at(file, line, column)
                .because_of(format!("It stands at `{}`.", unknown.pointer));
        return Err(match unknown.meant {
            Some(meant) => problem.try_this(format!("Did you mean `{meant}`?")),
            None => problem.try_this("Remove it, or see Argo CD's Application specification."),
        });
    }
    serde_json::from_value(value).map_err(|error| {
        Problem::new("G0410", Kind::Invalid, "The Application cannot be read.").at(file, 0, 0).because(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: staging, namespace: argocd, finalizers: [resources-finalizer.argocd.argoproj.io]}
spec:
  project: default
  destination: {server: https://kubernetes.default.svc, namespace: gourmetgram-staging}
  source:
    repoURL: http://git.example/pipeline.git
    path: k8s/staging
    targetRevision: main
    helm: {valueFiles: [values.yaml], parameters: [{name: a.b, value: '1', forceString: true}], valuesObject: {any: [thing]}}
  syncPolicy:
    automated: {prune: true, selfHeal: true}
    syncOptions: [CreateNamespace=true]
    retry: {limit: 3, backoff: {duration: 5s, factor: 2, maxDuration: 1m}}
";

    #[test]
    fn a_good_application_is_read_and_written_back_the_same() {
        let application = read_application("apps/staging.yaml", GOOD).expect("reads");
        assert!(application.spec.automated().is_some_and(|a| a.prune && a.self_heal));
        assert!(application.spec.has_option("CreateNamespace=true"));
        let written = serde_json::to_value(&application).expect("writes");
        let original: Value = galley_yaml::from_str("x", GOOD).expect("reads");
        assert_eq!(written, original);
    }

    #[test]
    fn slips_of_the_pen_are_told() {
        let cases = [
            ("selfHeal", "selfheal", "/spec/syncPolicy/automated/selfheal", Some("selfHeal")),
            ("targetRevision", "targetRevison", "/spec/source/targetRevison", Some("targetRevision")),
            ("forceString", "zzz", "/spec/source/helm/parameters/0/zzz", None),
        ];
        for (right, wrong, pointer, meant) in cases {
            let text = GOOD.replace(right, wrong);
            let value: Value = galley_yaml::from_str("x", &text).expect("reads");
            let expected = UnknownField { pointer: pointer.into(), meant };
            assert_eq!(unknown_fields(&value), [expected]);
            let problem = read_application("apps/x.yaml", &text).expect_err("refused");
            assert_eq!((problem.code, problem.place.map(|p| p.file)), ("G0410", Some("apps/x.yaml".into())));
        }
    }
}
