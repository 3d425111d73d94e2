//! The order of a pod's containers: one may wait until others have ended well.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::board::{Board, Doing, Role};
use super::collect::annotation;

/// The annotation: container name to the names it waits for.
const ORDER: &str = "runtime.galley.dev/container-dependencies";
/// The annotation that names the container whose end ends the others.
const ENDS_WITH: &str = "runtime.galley.dev/ends-with";
/// The exit code of a container that did not begin.
const NOT_BEGUN: i32 = 64;

/// What each container waits for.
pub(crate) fn of(pod: &Pod) -> BTreeMap<String, Vec<String>> {
    annotation(pod, ORDER).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Whether the end of this container ends the others.
pub(crate) fn ends_all(pod: &Pod, container: &str) -> bool {
    annotation(pod, ENDS_WITH) == Some(container)
}

/// Whether nothing of the pod's work is left when the container `main` has ended.
pub(crate) fn is_last(pod: &Pod) -> bool {
    let alone = pod.spec.as_ref().is_none_or(|spec| spec.containers.len() <= 1);
    alone || ends_all(pod, super::collect::MAIN)
}

/// Whether all of these have ended well, or why a container that waits for them will not begin; `None` as long as it
/// is open.
fn verdict(board: &Board, before: &[String]) -> Option<Result<(), String>> {
    let containers = board.read().containers;
    let mut open = false;
    for name in before {
        let record = containers.iter().find(|record| record.role == Role::Main && record.name == *name);
        match record.map(|record| &record.doing) {
            Some(Doing::Ended(ended)) if ended.exit_code == 0 => {}
            Some(Doing::Ended(ended)) => {
                let code = ended.exit_code;
                return Some(Err(format!("dependency \"{name}\" exited with non-zero code: {code}")));
            }
            Some(_) => open = true,
            None => return Some(Err(format!("dependency \"{name}\" is not a container of this pod"))),
        }
    }
    (!open).then_some(Ok(()))
}

/// Waits until all of these have ended; an error says which one ended badly.
pub(crate) async fn turn(board: &Board, before: &[String]) -> Result<(), String> {
    let mut changes = board.subscribe();
    loop {
        if let Some(verdict) = verdict(board, before) {
            return verdict;
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Notes that a container will not begin.
pub(crate) fn pass_over(board: &Board, index: usize, why: String, now: &Time) {
    board.update_record(index, |record| {
        record.doing = Doing::Ended(ContainerStateTerminated {
            exit_code: NOT_BEGUN,
            reason: Some("Error".to_owned()),
            message: Some(why),
            started_at: Some(now.clone()),
            finished_at: Some(now.clone()),
            ..ContainerStateTerminated::default()
        });
    });
}
