//! The rules for one container: command, user, image policy, grace, restarts.

use std::time::Duration;

use galley_sandbox::User;
use k8s_openapi::api::core::v1::{Container, Pod};

use super::env::expand;
use crate::images::{PreparedImage, PullPolicy};

const DEFAULT_GRACE: i64 = 30;

/// When a container is started again after its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Always,
    OnFailure,
    Never,
}

impl Restart {
    pub(crate) fn of(pod: &Pod) -> Self {
        match pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()) {
            Some("Never") => Restart::Never,
            Some("OnFailure") => Restart::OnFailure,
            _ => Restart::Always,
        }
    }

    /// Whether a container that has ended so starts again.
    pub(crate) fn applies(self, exit_code: i32) -> bool {
        self == Restart::Always || self == Restart::OnFailure && exit_code != 0
    }
}

/// How long the containers of a pod may take to end.
pub(crate) fn grace(pod: &Pod) -> Duration {
    let deleting =
        pod.metadata.deletion_grace_period_seconds.filter(|_| pod.metadata.deletion_timestamp.is_some());
    let asked =
        deleting.or_else(|| pod.spec.as_ref()?.termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE);
    Duration::from_secs(u64::try_from(asked).unwrap_or(0))
}

pub(super) fn stop_signal(container: &Container) -> i32 {
    const TERM: i32 = 15;
    match container.lifecycle.as_ref().and_then(|lifecycle| lifecycle.stop_signal.as_deref()) {
        Some("SIGINT") => 2,
        Some("SIGQUIT") => 3,
        Some("SIGHUP") => 1,
        Some("SIGUSR1") => 10,
        Some("SIGUSR2") => 12,
        _ => TERM,
    }
}

pub(super) fn pull_policy(container: &Container, reference: &str) -> PullPolicy {
    match container.image_pull_policy.as_deref() {
        Some("Always") => PullPolicy::Always,
        Some("Never") => PullPolicy::Never,
        Some(_) => PullPolicy::IfNotPresent,
        None if reference.contains('@') => PullPolicy::IfNotPresent,
        None => {
            let last = reference.rsplit('/').next().unwrap_or_default();
            if last.split_once(':').is_none_or(|(_, tag)| tag == "latest") {
                PullPolicy::Always
            } else {
                PullPolicy::IfNotPresent
            }
        }
    }
}

/// A reference without tag and digest.
pub(super) fn repository(reference: &str) -> &str {
    let name = reference.split('@').next().unwrap_or(reference);
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Program and arguments, after Kubernetes' rules for images.
pub(super) fn command(container: &Container, image: &PreparedImage, env: &[(String, String)]) -> Vec<String> {
    let lookup = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let expanded = |list: &[String]| list.iter().map(|text| expand(text, lookup)).collect::<Vec<_>>();
    let own = container.command.as_deref().unwrap_or_default();
    let args = container.args.as_deref().unwrap_or_default();
    match (own.is_empty(), args.is_empty()) {
        (false, _) => [expanded(own), expanded(args)].concat(),
        (true, false) => [image.entrypoint.clone(), expanded(args)].concat(),
        (true, true) => [image.entrypoint.clone(), image.cmd.clone()].concat(),
    }
}

pub(super) fn user(pod: &Pod, container: &Container, image: &PreparedImage) -> Result<User, String> {
    let own = container.security_context.clone().unwrap_or_default();
    let shared = pod.spec.as_ref().and_then(|spec| spec.security_context.clone()).unwrap_or_default();
    let id = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let uid = id(own.run_as_user.or(shared.run_as_user));
    let name = uid.map_or_else(|| image.user.clone(), |uid| uid.to_string());
    let not_root = own.run_as_non_root.or(shared.run_as_non_root).unwrap_or(false);
    if not_root && matches!(name.split(':').next(), Some("" | "0" | "root")) {
        return Err("container has runAsNonRoot and image will run as root".to_owned());
    }
    let mut groups: Vec<u32> =
        shared.supplemental_groups.iter().flatten().filter_map(|g| id(Some(*g))).collect();
    groups.extend(id(shared.fs_group));
    Ok(User { user: name, group: id(own.run_as_group.or(shared.run_as_group)), groups })
}

/// `40s`, `1m20s`, as Kubernetes writes a pause.
pub(super) fn kubernetes_duration(duration: Duration) -> String {
    match (duration.as_secs() / 60, duration.as_secs() % 60) {
        (0, 0) => format!("{}ms", duration.as_millis()),
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commands_follow_the_rules_of_images() {
        let image = PreparedImage {
            entrypoint: vec!["/galley".to_owned()],
            cmd: vec!["app".to_owned()],
            ..PreparedImage::default()
        };
        let env = [("A".to_owned(), "1".to_owned())];
        let check = |container: serde_json::Value, expected: &[&str]| {
            let container: Container = serde_json::from_value(container).unwrap();
            assert_eq!(command(&container, &image, &env), expected);
        };
        check(json!({"name": "c"}), &["/galley", "app"]);
        check(json!({"name": "c", "args": ["x", "$(A)"]}), &["/galley", "x", "1"]);
        check(json!({"name": "c", "command": ["/bin/sh"]}), &["/bin/sh"]);
        check(json!({"name": "c", "command": ["/bin/sh"], "args": ["-c"]}), &["/bin/sh", "-c"]);
    }

    #[test]
    fn references_lose_their_tags() {
        assert_eq!(repository("localhost:5001/app:1.0"), "localhost:5001/app");
        assert_eq!(repository("localhost:5001/app"), "localhost:5001/app");
        assert_eq!(repository("app@sha256:00"), "app");
    }

    #[test]
    fn root_is_refused_where_it_is_forbidden() {
        let pod: Pod = serde_json::from_value(
            json!({"spec": {"containers": [], "securityContext": {"runAsNonRoot": true, "fsGroup": 5}}}),
        )
        .unwrap();
        let container: Container = serde_json::from_value(json!({"name": "c"})).unwrap();
        assert!(user(&pod, &container, &PreparedImage::default()).is_err());
        let image = PreparedImage { user: "1000:1000".to_owned(), ..PreparedImage::default() };
        assert_eq!(user(&pod, &container, &image).unwrap().groups, [5]);
    }

    #[test]
    fn pauses_are_written_as_kubernetes_writes_them() {
        assert_eq!(kubernetes_duration(Duration::from_secs(40)), "40s");
        assert_eq!(kubernetes_duration(Duration::from_secs(80)), "1m20s");
    }
}
