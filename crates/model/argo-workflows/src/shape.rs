//! The schema of the four kinds: known fields, their types and the few constraints that Argo's own schema states.
//!
//! An API server with Argo's full schemas refuses what breaks these rules, so a file that breaks them works nowhere.
//! Parts of Kubernetes are checked one level deep (names of fields), not further.

use galley_problem::did_you_mean;
use serde_json::Value;

/// The kinds that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A run.
    Workflow,
    /// WorkflowTemplate or ClusterWorkflowTemplate.
    WorkflowTemplate,
    /// A timed run.
    CronWorkflow,
}

/// A breach of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeFinding {
    /// JSON pointer to the value.
    pub pointer: String,
    /// Whether the key is wrong rather than its value.
    pub at_key: bool,
    /// What is wrong, a sentence.
    pub what: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

#[derive(Clone, Copy)]
enum T {
    Any,
    Str,
    Bool,
    Int,
    /// An integer of at least one.
    Positive,
    IntOrStr,
    /// A name of a step or task.
    Name,
    /// A name of an object.
    ObjectName,
    OneOf(&'static [&'static str]),
    Obj(&'static [(&'static str, T)]),
    List(&'static T),
    /// A list with at least one item.
    Filled(&'static T),
    MapOf(&'static T),
    Object,
    Objects,
}

use T::{
    Any, Bool, Filled, Int, IntOrStr, List, MapOf, Name, Obj, Object, ObjectName, Objects, OneOf, Positive,
    Str,
};

const META: T = Obj(&[
    ("name", ObjectName),
    ("generateName", Str),
    ("namespace", Str),
    ("uid", Str),
    ("labels", MapOf(&Str)),
    ("annotations", MapOf(&Str)),
    ("creationTimestamp", Any),
    ("deletionTimestamp", Any),
    ("deletionGracePeriodSeconds", Int),
    ("resourceVersion", Str),
    ("generation", Int),
    ("managedFields", Objects),
    ("ownerReferences", Objects),
    ("finalizers", List(&Str)),
    ("selfLink", Str),
]);
const METADATA: T = Obj(&[("labels", MapOf(&Str)), ("annotations", MapOf(&Str))]);
const VALUE_FROM: T = Obj(&[
    ("path", Str),
    ("jsonPath", Str),
    ("jqFilter", Str),
    ("event", Str),
    ("parameter", Str),
    ("supplied", Object),
    ("configMapKeyRef", Object),
    ("default", Str),
    ("expression", Str),
]);
const PARAMETER: T = Obj(&[
    ("name", Str),
    ("default", Str),
    ("value", Str),
    ("valueFrom", VALUE_FROM),
    ("globalName", Str),
    ("enum", Filled(&Str)),
    ("description", Str),
]);
const ARTIFACT: T = Obj(&[
    ("name", Str),
    ("path", Str),
    ("mode", Int),
    ("from", Str),
    ("fromExpression", Str),
    ("optional", Bool),
    ("subPath", Str),
    ("globalName", Str),
    ("archive", Object),
    ("recurseMode", Bool),
    ("artifactGC", Object),
    ("deleted", Bool),
    ("archiveLogs", Bool),
    ("s3", Object),
    ("git", Object),
    ("http", Object),
    ("artifactory", Object),
    ("hdfs", Object),
    ("raw", Object),
    ("oss", Object),
    ("gcs", Object),
    ("azure", Object),
    ("plugin", Object),
]);
const ARGUMENTS: T = Obj(&[("parameters", List(&PARAMETER)), ("artifacts", List(&ARTIFACT))]);
const OUTPUTS: T = Obj(&[
    ("parameters", List(&PARAMETER)),
    ("artifacts", List(&ARTIFACT)),
    ("result", Str),
    ("exitCode", Str),
]);
const TEMPLATE_REF: T = Obj(&[("name", Str), ("template", Str), ("clusterScope", Bool)]);
const HOOK: T =
    Obj(&[("template", Str), ("arguments", ARGUMENTS), ("templateRef", TEMPLATE_REF), ("expression", Str)]);
const SEQUENCE: T = Obj(&[("count", IntOrStr), ("start", IntOrStr), ("end", IntOrStr), ("format", Str)]);
const CONTINUE_ON: T = Obj(&[("error", Bool), ("failed", Bool)]);
/// The template written in place is checked by name, see [`walk`].
const STEP: &[(&str, T)] = &[
    ("name", Name),
    ("template", Str),
    ("inline", Object),
    ("arguments", ARGUMENTS),
    ("templateRef", TEMPLATE_REF),
    ("withItems", List(&Any)),
    ("withParam", Str),
    ("withSequence", SEQUENCE),
    ("when", Str),
    ("continueOn", CONTINUE_ON),
    ("onExit", Str),
    ("hooks", MapOf(&HOOK)),
];
const TASK: &[(&str, T)] = &[
    ("name", Name),
    ("template", Str),
    ("inline", Object),
    ("arguments", ARGUMENTS),
    ("templateRef", TEMPLATE_REF),
    ("withItems", List(&Any)),
    ("withParam", Str),
    ("withSequence", SEQUENCE),
    ("when", Str),
    ("continueOn", CONTINUE_ON),
    ("onExit", Str),
    ("hooks", MapOf(&HOOK)),
    ("dependencies", List(&Str)),
    ("depends", Str),
];
const BACKOFF: T = Obj(&[("duration", Str), ("factor", IntOrStr), ("maxDuration", Str), ("cap", Str)]);
const RETRY: T = Obj(&[
    ("limit", IntOrStr),
    ("retryPolicy", OneOf(&["Always", "OnFailure", "OnError", "OnTransientError", ""])),
    ("backoff", BACKOFF),
    ("affinity", Object),
    ("expression", Str),
]);
const CONTAINER: &[(&str, T)] = &[
    ("name", Str),
    ("image", Str),
    ("command", List(&Str)),
    ("args", List(&Str)),
    ("workingDir", Str),
    ("ports", Objects),
    ("envFrom", Objects),
    ("env", Objects),
    ("resources", Object),
    ("resizePolicy", Objects),
    ("restartPolicy", Str),
    ("restartPolicyRules", Objects),
    ("volumeMounts", Objects),
    ("volumeDevices", Objects),
    ("livenessProbe", Object),
    ("readinessProbe", Object),
    ("startupProbe", Object),
    ("lifecycle", Object),
    ("terminationMessagePath", Str),
    ("terminationMessagePolicy", Str),
    ("imagePullPolicy", Str),
    ("securityContext", Object),
    ("stdin", Bool),
    ("stdinOnce", Bool),
    ("tty", Bool),
    ("mirrorVolumeMounts", Bool),
    ("source", Str),
    ("dependencies", List(&Str)),
];
const RESOURCE: T = Obj(&[
    ("action", OneOf(&["get", "create", "apply", "delete", "replace", "patch"])),
    ("mergeStrategy", OneOf(&["strategic", "merge", "json"])),
    ("manifest", Str),
    ("manifestFrom", Object),
    ("setOwnerReference", Bool),
    ("successCondition", Str),
    ("failureCondition", Str),
    ("flags", List(&Str)),
]);
const MEMOIZE: T = Obj(&[("key", Str), ("cache", Object), ("maxAge", Str)]);
const TEMPLATE: &[(&str, T)] = &[
    ("name", Str),
    ("inputs", ARGUMENTS),
    ("outputs", OUTPUTS),
    ("nodeSelector", MapOf(&Str)),
    ("affinity", Object),
    ("metadata", METADATA),
    ("daemon", Bool),
    ("steps", List(&List(&Obj(STEP)))),
    ("container", Obj(CONTAINER)),
    (
        "containerSet",
        Obj(&[("containers", List(&Obj(CONTAINER))), ("volumeMounts", Objects), ("retryStrategy", Object)]),
    ),
    ("script", Obj(CONTAINER)),
    ("resource", RESOURCE),
    ("dag", Obj(&[("target", Str), ("tasks", List(&Obj(TASK))), ("failFast", Bool)])),
    ("suspend", Obj(&[("duration", Str)])),
    ("data", Object),
    ("http", Object),
    ("plugin", Object),
    ("volumes", Objects),
    ("initContainers", List(&Obj(CONTAINER))),
    ("sidecars", List(&Obj(CONTAINER))),
    ("archiveLocation", Object),
    ("activeDeadlineSeconds", IntOrStr),
    ("retryStrategy", RETRY),
    ("parallelism", Positive),
    ("failFast", Bool),
    ("tolerations", Objects),
    ("schedulerName", Str),
    ("priorityClassName", Str),
    ("serviceAccountName", Str),
    ("automountServiceAccountToken", Bool),
    ("executor", Object),
    ("hostAliases", Objects),
    ("securityContext", Object),
    ("podSpecPatch", Str),
    ("metrics", Object),
    ("synchronization", Object),
    ("memoize", MEMOIZE),
    ("timeout", Str),
    ("annotations", MapOf(&Str)),
];
const SPEC: &[(&str, T)] = &[
    ("templates", List(&Obj(TEMPLATE))),
    ("entrypoint", Str),
    ("arguments", ARGUMENTS),
    ("serviceAccountName", Str),
    ("automountServiceAccountToken", Bool),
    ("executor", Object),
    ("volumes", Objects),
    ("volumeClaimTemplates", Objects),
    ("parallelism", Positive),
    ("artifactRepositoryRef", Object),
    ("suspend", Bool),
    ("nodeSelector", MapOf(&Str)),
    ("affinity", Object),
    ("tolerations", Objects),
    ("imagePullSecrets", Objects),
    ("hostNetwork", Bool),
    ("dnsPolicy", Str),
    ("dnsConfig", Object),
    ("onExit", Str),
    (
        "ttlStrategy",
        Obj(&[("secondsAfterCompletion", Int), ("secondsAfterSuccess", Int), ("secondsAfterFailure", Int)]),
    ),
    ("activeDeadlineSeconds", Int),
    ("priority", Int),
    ("schedulerName", Str),
    ("podGC", Obj(&[("strategy", Str), ("labelSelector", Object), ("deleteDelayDuration", Str)])),
    ("podPriorityClassName", Str),
    ("hostAliases", Objects),
    ("securityContext", Object),
    ("podSpecPatch", Str),
    ("podDisruptionBudget", Object),
    ("metrics", Object),
    ("shutdown", OneOf(&["Terminate", "Stop", ""])),
    ("workflowTemplateRef", Obj(&[("name", Str), ("clusterScope", Bool)])),
    ("synchronization", Object),
    ("volumeClaimGC", Object),
    ("retryStrategy", RETRY),
    ("podMetadata", METADATA),
    ("templateDefaults", Obj(TEMPLATE)),
    ("archiveLogs", Bool),
    ("hooks", MapOf(&HOOK)),
    (
        "workflowMetadata",
        Obj(&[
            ("labels", MapOf(&Str)),
            ("annotations", MapOf(&Str)),
            ("labelsFrom", MapOf(&Obj(&[("expression", Str)]))),
        ]),
    ),
    ("artifactGC", Object),
];
const CRON_SPEC: &[(&str, T)] = &[
    ("workflowSpec", Obj(SPEC)),
    ("schedules", Filled(&Str)),
    ("schedule", Str),
    ("timezone", Str),
    ("concurrencyPolicy", OneOf(&["Allow", "Forbid", "Replace", ""])),
    ("suspend", Bool),
    ("startingDeadlineSeconds", Int),
    ("successfulJobsHistoryLimit", Int),
    ("failedJobsHistoryLimit", Int),
    ("workflowMetadata", META),
    ("stopStrategy", Object),
    ("when", Str),
];

/// Checks an object against the schema of its kind. `status` is not looked at.
pub fn check_shape(kind: Kind, object: &Value) -> Vec<ShapeFinding> {
    let top: &'static [(&'static str, T)] = match kind {
        Kind::CronWorkflow => &[
            ("apiVersion", Str),
            ("kind", Str),
            ("metadata", META),
            ("spec", Obj(CRON_SPEC)),
            ("status", Any),
        ],
        _ => &[("apiVersion", Str), ("kind", Str), ("metadata", META), ("spec", Obj(SPEC)), ("status", Any)],
    };
    let mut findings = Vec::new();
    walk(object, &Obj(top), "", &mut findings);
    if object.get("spec").is_none() {
        findings.push(ShapeFinding {
            pointer: String::new(),
            at_key: false,
            what: "`spec` is missing.".to_owned(),
            remedy: None,
        });
    }
    let memoizes =
        object.pointer("/spec/templates").and_then(Value::as_array).into_iter().flatten().enumerate();
    for (index, template) in memoizes {
        if template.get("memoize").is_some_and(|memoize| memoize.get("maxAge").is_none()) {
            findings.push(ShapeFinding {
                pointer: format!("/spec/templates/{index}/memoize"),
                at_key: false,
                what: "`memoize.maxAge` is required.".to_owned(),
                remedy: Some("Say how long an entry is good for, such as `maxAge: 24h`.".to_owned()),
            });
        }
    }
    findings
}

fn step_into(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn walk(value: &Value, shape: &T, pointer: &str, findings: &mut Vec<ShapeFinding>) {
    // A key without a value is the same as no key.
    if value.is_null() {
        return;
    }
    let mut say = |what: String, remedy: Option<String>| {
        findings.push(ShapeFinding { pointer: pointer.to_owned(), at_key: false, what, remedy });
    };
    let wrong = |wanted: &str| format!("This must be {wanted}, but is {}.", describe(value));
    let quote = || match value {
        Value::Number(number) => Some(format!("Put it in quotes: `\"{}\"`.", galley_expr::go_number(number))),
        // YAML 1.1 reads `y`, `n`, `on` and `off` as truth values; what was written is not known here.
        Value::Bool(_) => Some("Put it in quotes.".to_owned()),
        _ => None,
    };
    match (shape, value) {
        (Any, _) | (Bool, Value::Bool(_)) | (Str, Value::String(_)) | (Object, Value::Object(_)) => {}
        (IntOrStr, Value::Number(_) | Value::String(_)) => {}
        (Int, Value::Number(number)) if number.is_i64() || number.is_u64() => {}
        (Positive, Value::Number(number)) if number.as_u64().is_some_and(|number| number > 0) => {}
        (Positive, Value::Number(_)) => say("This must be at least 1.".to_owned(), None),
        (Name, Value::String(name)) => {
            let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
            if !fits {
                say(
                    format!("`{name}` is no name for a step or task."),
                    Some("Use letters, digits and `-`.".to_owned()),
                );
            }
        }
        (ObjectName, Value::String(name)) => {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            let fits = name.starts_with(inner)
                && name.ends_with(inner)
                && name.chars().all(|c| inner(c) || c == '-' || c == '.');
            if !fits {
                let remedy = "Use small letters, digits, `-` and `.`, with a letter or digit at both ends.";
                say(format!("`{name}` is no name for an object."), Some(remedy.to_owned()));
            }
        }
        (OneOf(choices), Value::String(text)) => {
            if !choices.contains(&text.as_str()) && !text.contains("{{") {
                let known: Vec<&str> = choices.iter().copied().filter(|choice| !choice.is_empty()).collect();
                let remedy =
                    did_you_mean(text, known.iter().copied()).map(|near| format!("Did you mean `{near}`?"));
                say(format!("`{text}` is not one of: {}.", known.join(", ")), remedy);
            }
        }
        (Str | Name | ObjectName | OneOf(_), _) => say(wrong("a text"), quote()),
        (List(_) | Filled(_) | Objects, Value::Array(items)) => {
            if matches!(shape, Filled(_)) && items.is_empty() {
                say("This list must hold at least one item.".to_owned(), None);
            }
            let inner = match shape {
                List(inner) | Filled(inner) => inner,
                _ => &Object,
            };
            for (index, item) in items.iter().enumerate() {
                walk(item, inner, &format!("{pointer}/{index}"), findings);
            }
        }
        (MapOf(inner), Value::Object(map)) => {
            for (key, item) in map {
                walk(item, inner, &step_into(pointer, key), findings);
            }
        }
        (Obj(fields), Value::Object(map)) => {
            for (key, item) in map {
                let inside = step_into(pointer, key);
                match fields.iter().find(|(name, _)| name == key) {
                    Some((_, Object)) if key == "inline" => walk(item, &Obj(TEMPLATE), &inside, findings),
                    Some((_, shape)) => walk(item, shape, &inside, findings),
                    None => {
                        let near = did_you_mean(key, fields.iter().map(|(name, _)| *name));
                        findings.push(ShapeFinding {
                            pointer: inside,
                            at_key: true,
                            what: format!("There is no field `{key}` here."),
                            remedy: near.map(|near| format!("Did you mean `{near}`?")),
                        });
                    }
                }
            }
        }
        (Bool, _) => say(wrong("true or false"), None),
        (Int | Positive, _) => say(wrong("a whole number"), None),
        (IntOrStr, _) => say(wrong("a number or a text"), None),
        (List(_) | Filled(_) | Objects, _) => say(wrong("a list"), None),
        (MapOf(_) | Obj(_) | Object, _) => say(wrong("a map"), None),
    }
}

fn describe(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn first(spec: Value) -> (String, String) {
        let found = check_shape(Kind::Workflow, &json!({"metadata": {"name": "w"}, "spec": spec}));
        found.first().map_or_else(Default::default, |finding| (finding.pointer.clone(), finding.what.clone()))
    }

    #[test]
    fn finds_what_the_schema_forbids() {
        let check = |spec: Value, pointer: &str, what: &str| {
            assert_eq!(first(spec), (pointer.to_owned(), what.to_owned()));
        };
        check(
            json!({"templates": [{"containr": {}}]}),
            "/spec/templates/0/containr",
            "There is no field `containr` here.",
        );
        check(json!({"parallelism": -1}), "/spec/parallelism", "This must be at least 1.");
        check(
            json!({"arguments": {"parameters": [{"name": "n", "value": 5}]}}),
            "/spec/arguments/parameters/0/value",
            "This must be a text, but is a number.",
        );
        check(
            json!({"templates": [{"steps": [{"name": "a"}]}]}),
            "/spec/templates/0/steps/0",
            "This must be a list, but is a map.",
        );
        check(
            json!({"templates": [{"steps": [[{"name": "not so"}]]}]}),
            "/spec/templates/0/steps/0/0/name",
            "`not so` is no name for a step or task.",
        );
        check(
            json!({"templates": [{"steps": [[{"name": "a", "inline": {"contaner": {}}}]]}]}),
            "/spec/templates/0/steps/0/0/inline/contaner",
            "There is no field `contaner` here.",
        );
        check(json!({"entrypoint": "a", "templates": null}), "", "");
    }
}
