//! Sync windows: what a project's say about an Application now.

use galley_argo_cd::{AppProject, Application};
use jiff::Timestamp;
use serde_json::Value;

/// Whether a project's windows keep an Application from being synced. `manual`: somebody asks for it.
pub fn blocked(project: &AppProject, application: &Application, manual: bool, now: Timestamp) -> bool {
    let windows = project.spec.other.get("syncWindows").and_then(Value::as_array);
    let destination = &application.spec.destination;
    let subject = galley_sync::windows::Subject {
        application: application.metadata.name.clone(),
        namespace: destination.namespace.clone(),
        server: destination.server.clone(),
        cluster: destination.name.clone(),
    };
    windows.is_some_and(|windows| galley_sync::windows::blocked(windows, &subject, manual, now))
}
