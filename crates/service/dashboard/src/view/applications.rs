//! Applications, as Argo CD describes them.

use galley_release_types::APPLICATIONS_NAMESPACE;
use jiff::Timestamp;
use serde_json::Value;

use super::{Badge, Moment, Tone, list, name, number, short, text};
use crate::snapshot::{Kind, Snapshot};

/// Most resources on a page.
const MAX_RESOURCES: usize = 500;
/// Most deployments in the history.
const MAX_HISTORY: usize = 10;

/// A line in the list of applications.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApplicationRow {
    pub(crate) name: String,
    pub(crate) health: Badge,
    pub(crate) sync: Badge,
    pub(crate) revision: String,
    pub(crate) path: String,
}

/// A resource of an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) sync: Badge,
    pub(crate) health: Badge,
    pub(crate) message: String,
    pub(crate) note: String,
}

/// The page of one application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApplicationPage {
    pub(crate) name: String,
    pub(crate) health: Badge,
    pub(crate) sync: Badge,
    /// Name and value.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) operation: Option<(Badge, String)>,
    /// Type, message and time.
    pub(crate) conditions: Vec<(String, String, Moment)>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) hidden: usize,
    /// Revision and time of each deployment, the latest first.
    pub(crate) history: Vec<(String, Moment)>,
}

/// A health in Argo CD's words.
pub(super) fn health(status: &str) -> Badge {
    let tone = match status {
        "Healthy" => Tone::Good,
        "Degraded" | "Missing" => Tone::Bad,
        "Progressing" => Tone::Busy,
        "Suspended" => Tone::Warn,
        _ => Tone::Idle,
    };
    Badge::new(tone, if status.is_empty() { "Unknown" } else { status })
}

/// A sync status in Argo CD's words.
pub(super) fn sync(status: &str) -> Badge {
    let tone = match status {
        "Synced" => Tone::Good,
        "OutOfSync" => Tone::Warn,
        _ => Tone::Idle,
    };
    Badge::new(tone, if status.is_empty() { "Unknown" } else { status })
}

fn operation_tone(phase: &str) -> Tone {
    match phase {
        "Succeeded" => Tone::Good,
        "Failed" | "Error" => Tone::Bad,
        "Running" | "Terminating" => Tone::Busy,
        _ => Tone::Idle,
    }
}

/// What is wrong with an application, in one sentence; empty if nothing is.
pub(super) fn trouble(application: &Value) -> String {
    let condition = list(application, "/status/conditions")
        .iter()
        .map(|it| text(it, "/message"))
        .find(|it| !it.is_empty());
    if let Some(message) = condition {
        return message.to_owned();
    }
    if operation_tone(text(application, "/status/operationState/phase")) == Tone::Bad {
        return text(application, "/status/operationState/message").to_owned();
    }
    text(application, "/status/health/message").to_owned()
}

/// All applications, by name.
pub(super) fn rows(snapshot: &Snapshot) -> Vec<ApplicationRow> {
    let row = |application: &Value| ApplicationRow {
        name: name(application).to_owned(),
        health: health(text(application, "/status/health/status")),
        sync: sync(text(application, "/status/sync/status")),
        revision: short(text(application, "/status/sync/revision")),
        path: text(source(application), "/path").to_owned(),
    };
    snapshot
        .of(Kind::Application)
        .filter(|it| super::namespace(it) == APPLICATIONS_NAMESPACE)
        .map(row)
        .collect()
}

/// The first source; applications with several name them in a list.
fn source(application: &Value) -> &Value {
    application
        .pointer("/spec/source")
        .or_else(|| application.pointer("/spec/sources/0"))
        .unwrap_or(&Value::Null)
}

/// The page of one application, if it exists.
pub(crate) fn application(snapshot: &Snapshot, wanted: &str, now: Timestamp) -> Option<ApplicationPage> {
    let object = snapshot.get(Kind::Application, APPLICATIONS_NAMESPACE, wanted)?;
    let phase = text(object, "/status/operationState/phase");
    let resources = list(object, "/status/resources");
    Some(ApplicationPage {
        name: wanted.to_owned(),
        health: health(text(object, "/status/health/status")),
        sync: sync(text(object, "/status/sync/status")),
        facts: facts(object),
        operation: (!phase.is_empty()).then(|| {
            let message = text(object, "/status/operationState/message").to_owned();
            (Badge::new(operation_tone(phase), phase), message)
        }),
        conditions: list(object, "/status/conditions")
            .iter()
            .map(|it| {
                let at = Moment::of(text(it, "/lastTransitionTime"), now);
                (text(it, "/type").to_owned(), text(it, "/message").to_owned(), at)
            })
            .collect(),
        resources: resources.iter().take(MAX_RESOURCES).map(resource).collect(),
        hidden: resources.len().saturating_sub(MAX_RESOURCES),
        history: list(object, "/status/history")
            .iter()
            .rev()
            .take(MAX_HISTORY)
            .map(|it| (short(text(it, "/revision")), Moment::of(text(it, "/deployedAt"), now)))
            .collect(),
    })
}

fn facts(object: &Value) -> Vec<(&'static str, String)> {
    let source = source(object);
    let target = match text(source, "/targetRevision") {
        "" => "HEAD",
        named => named,
    };
    [
        ("Repository", text(source, "/repoURL").to_owned()),
        ("Path", text(source, "/path").to_owned()),
        ("Target", target.to_owned()),
        ("Revision", text(object, "/status/sync/revision").to_owned()),
        ("Namespace", text(object, "/spec/destination/namespace").to_owned()),
        ("Project", text(object, "/spec/project").to_owned()),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .collect()
}

fn resource(it: &Value) -> Resource {
    let mut notes = Vec::new();
    if number(it, "/syncWave") != 0 {
        notes.push(format!("wave {}", number(it, "/syncWave")));
    }
    for (pointer, note) in [("/hook", "hook"), ("/requiresPruning", "to be pruned")] {
        if it.pointer(pointer).and_then(Value::as_bool) == Some(true) {
            notes.push(note.into());
        }
    }
    Resource {
        kind: text(it, "/kind").to_owned(),
        namespace: text(it, "/namespace").to_owned(),
        name: text(it, "/name").to_owned(),
        sync: match text(it, "/status") {
            "" => Badge::default(),
            status => sync(status),
        },
        health: match text(it, "/health/status") {
            "" => Badge::default(),
            status => health(status),
        },
        message: text(it, "/health/message").to_owned(),
        note: notes.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_page_tells_what_argo_cd_tells() {
        let snapshot = Snapshot::made_of(&[json!({
            "kind": "Application", "metadata": { "name": "web", "namespace": "argocd" },
            "spec": { "project": "default", "source": { "repoURL": "http://git/pipeline.git", "path": "k8s/web" },
                "destination": { "namespace": "web" } },
            "status": { "sync": { "status": "Synced", "revision": "abc" }, "health": { "status": "Progressing" },
                "operationState": { "phase": "Failed", "message": "one resource failed" },
                "resources": [{ "kind": "Job", "name": "migrate", "namespace": "web", "status": "Synced", "hook": true,
                    "syncWave": -1, "health": { "status": "Degraded", "message": "back-off" } }],
                "history": [{ "revision": "one" }, { "revision": "two" }] }
        })]);
        let page = application(&snapshot, "web", Timestamp::UNIX_EPOCH).expect("exists");
        assert_eq!(page.health, Badge::new(Tone::Busy, "Progressing"));
        assert_eq!(page.operation, Some((Badge::new(Tone::Bad, "Failed"), "one resource failed".into())));
        assert_eq!(
            (page.resources[0].note.as_str(), page.resources[0].message.as_str()),
            ("wave -1, hook", "back-off")
        );
        assert_eq!(page.history[0].0, "two");
        assert!(page.facts.contains(&("Target", "HEAD".into())));
        assert!(application(&snapshot, "none", Timestamp::UNIX_EPOCH).is_none());
    }
}
