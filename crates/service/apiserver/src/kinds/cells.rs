//! Cells that are computed from several fields, as `kubectl get` prints them.

use jiff::Timestamp;
use serde_json::Value;

fn at<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    object.pointer(path).filter(|value| !value.is_null())
}

fn text<'v>(object: &'v Value, path: &str) -> &'v str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

fn number(object: &Value, path: &str) -> i64 {
    at(object, path).and_then(Value::as_i64).unwrap_or(0)
}

fn items<'v>(object: &'v Value, path: &str) -> &'v [Value] {
    at(object, path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn or_none(text: String) -> Value {
    Value::from(if text.is_empty() { "<none>".to_owned() } else { text })
}

fn joined<'v>(parts: impl Iterator<Item = &'v str>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// The time since a moment as kubectl prints it: `5s`, `3m20s`, `4h`, `2d3h`, `90d`, `2y10d`.
pub(crate) fn age(since: Option<&str>, now: Timestamp) -> String {
    match since.and_then(|text| text.parse::<Timestamp>().ok()) {
        Some(since) => human(now.as_second().saturating_sub(since.as_second())),
        None => "<unknown>".into(),
    }
}

/// The steps are those of Kubernetes' `HumanDuration`.
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        small => format!("{big}{unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..=0 => "0s".into(),
        1..=119 => format!("{seconds}s"),
        _ if minutes < 10 => pair(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => pair(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => pair(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 2920 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

pub(super) fn pod_ready(pod: &Value, _: Timestamp) -> Value {
    let statuses = items(pod, "/status/containerStatuses");
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    Value::from(format!("{ready}/{}", items(pod, "/spec/containers").len()))
}

pub(super) fn pod_restarts(pod: &Value, _: Timestamp) -> Value {
    let statuses = items(pod, "/status/containerStatuses");
    Value::from(statuses.iter().map(|status| number(status, "/restartCount")).sum::<i64>().to_string())
}

/// The phase, unless a container has a more telling reason, or the pod is being deleted.
pub(super) fn pod_status(pod: &Value, _: Timestamp) -> Value {
    let mut status = match text(pod, "/status/reason") {
        "" => text(pod, "/status/phase").to_owned(),
        reason => reason.to_owned(),
    };
    let mut initializing = false;
    for (n, init) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
        let exit = at(init, "/state/terminated/exitCode").and_then(Value::as_i64);
        let (waiting, ended) = (text(init, "/state/waiting/reason"), text(init, "/state/terminated/reason"));
        status = match exit {
            Some(0) => continue,
            Some(code) if ended.is_empty() => format!("Init:ExitCode:{code}"),
            Some(_) => format!("Init:{ended}"),
            None if !waiting.is_empty() && waiting != "PodInitializing" => format!("Init:{waiting}"),
            None => format!("Init:{n}/{}", items(pod, "/spec/initContainers").len()),
        };
        initializing = true;
        break;
    }
    if !initializing {
        let mut running = false;
        for container in items(pod, "/status/containerStatuses").iter().rev() {
            let (waiting, ended) =
                (text(container, "/state/waiting/reason"), text(container, "/state/terminated/reason"));
            if !waiting.is_empty() {
                status = waiting.to_owned();
            } else if !ended.is_empty() {
                status = ended.to_owned();
            } else if at(container, "/state/terminated").is_some() {
                status = match number(container, "/state/terminated/signal") {
                    0 => format!("ExitCode:{}", number(container, "/state/terminated/exitCode")),
                    signal => format!("Signal:{signal}"),
                };
            } else if container["ready"] == true && at(container, "/state/running").is_some() {
                running = true;
            }
        }
        if status == "Completed" && running {
            status = "Running".into();
        }
    }
    if at(pod, "/metadata/deletionTimestamp").is_some() {
        status = "Terminating".into();
    }
    Value::from(status)
}

pub(super) fn pod_ip(pod: &Value, _: Timestamp) -> Value {
    or_none(text(pod, "/status/podIP").into())
}

pub(super) fn pod_node(pod: &Value, _: Timestamp) -> Value {
    or_none(text(pod, "/spec/nodeName").into())
}

pub(super) fn deployment_ready(object: &Value, _: Timestamp) -> Value {
    let wanted = at(object, "/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
    Value::from(format!("{}/{wanted}", number(object, "/status/readyReplicas")))
}

pub(super) fn up_to_date(object: &Value, _: Timestamp) -> Value {
    Value::from(number(object, "/status/updatedReplicas"))
}

pub(super) fn available(object: &Value, _: Timestamp) -> Value {
    Value::from(number(object, "/status/availableReplicas"))
}

pub(super) fn wanted_replicas(object: &Value, _: Timestamp) -> Value {
    Value::from(at(object, "/spec/replicas").and_then(Value::as_i64).unwrap_or(1))
}

pub(super) fn current_replicas(object: &Value, _: Timestamp) -> Value {
    Value::from(number(object, "/status/replicas"))
}

pub(super) fn ready_replicas(object: &Value, _: Timestamp) -> Value {
    Value::from(number(object, "/status/readyReplicas"))
}

pub(super) fn container_names(object: &Value, _: Timestamp) -> Value {
    let containers = items(object, "/spec/template/spec/containers").iter();
    Value::from(joined(containers.map(|container| text(container, "/name"))))
}

pub(super) fn container_images(object: &Value, _: Timestamp) -> Value {
    let containers = items(object, "/spec/template/spec/containers").iter();
    Value::from(joined(containers.map(|container| text(container, "/image"))))
}

pub(super) fn match_labels(object: &Value, _: Timestamp) -> Value {
    or_none(pairs(at(object, "/spec/selector/matchLabels")))
}

pub(super) fn service_selector(service: &Value, _: Timestamp) -> Value {
    or_none(pairs(at(service, "/spec/selector")))
}

fn pairs(labels: Option<&Value>) -> String {
    let fields = labels.and_then(Value::as_object).into_iter().flatten();
    fields
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect::<Vec<_>>()
        .join(",")
}

pub(super) fn daemon_set_number(path: &'static str) -> super::Cell {
    match path {
        "desired" => |o, _| Value::from(number(o, "/status/desiredNumberScheduled")),
        "current" => |o, _| Value::from(number(o, "/status/currentNumberScheduled")),
        "ready" => |o, _| Value::from(number(o, "/status/numberReady")),
        "updated" => |o, _| Value::from(number(o, "/status/updatedNumberScheduled")),
        _ => |o, _| Value::from(number(o, "/status/numberAvailable")),
    }
}

pub(super) fn node_selector(object: &Value, _: Timestamp) -> Value {
    or_none(pairs(at(object, "/spec/template/spec/nodeSelector")))
}

pub(super) fn service_type(service: &Value, _: Timestamp) -> Value {
    Value::from(match text(service, "/spec/type") {
        "" => "ClusterIP",
        kind => kind,
    })
}

pub(super) fn cluster_ip(service: &Value, _: Timestamp) -> Value {
    or_none(text(service, "/spec/clusterIP").into())
}

pub(super) fn external_ip(service: &Value, _: Timestamp) -> Value {
    if text(service, "/spec/type") == "ExternalName" {
        return Value::from(text(service, "/spec/externalName"));
    }
    let ingress =
        items(service, "/status/loadBalancer/ingress").iter().map(|entry| match text(entry, "/ip") {
            "" => text(entry, "/hostname"),
            ip => ip,
        });
    let external = items(service, "/spec/externalIPs").iter().filter_map(Value::as_str);
    let all = joined(ingress.chain(external));
    match (all.is_empty(), text(service, "/spec/type")) {
        (true, "LoadBalancer") => Value::from("<pending>"),
        _ => or_none(all),
    }
}

pub(super) fn service_ports(service: &Value, _: Timestamp) -> Value {
    let ports = items(service, "/spec/ports").iter().map(|port| {
        let protocol = at(port, "/protocol").and_then(Value::as_str).unwrap_or("TCP");
        match number(port, "/nodePort") {
            0 => format!("{}/{protocol}", number(port, "/port")),
            node => format!("{}:{node}/{protocol}", number(port, "/port")),
        }
    });
    or_none(ports.collect::<Vec<_>>().join(","))
}

pub(super) fn job_status(job: &Value, _: Timestamp) -> Value {
    let holds = |kind: &str| {
        items(job, "/status/conditions").iter().any(|c| c["type"] == kind && c["status"] == "True")
    };
    let status = ["Complete", "Failed", "Suspended"].into_iter().find(|kind| holds(kind));
    let deleting = at(job, "/metadata/deletionTimestamp").is_some();
    Value::from(if deleting { "Terminating" } else { status.unwrap_or("Running") })
}

pub(super) fn job_completions(job: &Value, _: Timestamp) -> Value {
    let done = number(job, "/status/succeeded");
    match at(job, "/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => Value::from(format!("{done}/{wanted}")),
        None => Value::from(format!("{done}/1")),
    }
}

pub(super) fn job_duration(job: &Value, now: Timestamp) -> Value {
    let Ok(start) = text(job, "/status/startTime").parse::<Timestamp>() else { return Value::from("") };
    let end = text(job, "/status/completionTime").parse::<Timestamp>().unwrap_or(now);
    Value::from(human(end.as_second() - start.as_second()))
}

pub(super) fn cron_timezone(job: &Value, _: Timestamp) -> Value {
    or_none(text(job, "/spec/timeZone").into())
}

pub(super) fn cron_suspend(job: &Value, _: Timestamp) -> Value {
    Value::from(if at(job, "/spec/suspend") == Some(&Value::Bool(true)) { "True" } else { "False" })
}

pub(super) fn cron_active(job: &Value, _: Timestamp) -> Value {
    Value::from(items(job, "/status/active").len())
}

pub(super) fn cron_last(job: &Value, now: Timestamp) -> Value {
    match at(job, "/status/lastScheduleTime") {
        Some(time) => Value::from(age(time.as_str(), now)),
        None => Value::from("<none>"),
    }
}

pub(super) fn data_count(object: &Value, _: Timestamp) -> Value {
    let count = |path| at(object, path).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    Value::from(count("/data") + count("/binaryData"))
}

pub(super) fn secret_count(object: &Value, _: Timestamp) -> Value {
    Value::from(items(object, "/secrets").len())
}

pub(super) fn node_status(node: &Value, _: Timestamp) -> Value {
    let ready = items(node, "/status/conditions").iter().find(|condition| condition["type"] == "Ready");
    let status = match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = at(node, "/spec/unschedulable") == Some(&Value::Bool(true));
    Value::from(if cordoned { format!("{status},SchedulingDisabled") } else { status.to_owned() })
}

pub(super) fn node_roles(node: &Value, _: Timestamp) -> Value {
    let labels = at(node, "/metadata/labels").and_then(Value::as_object);
    or_none(joined(
        labels.into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("node-role.kubernetes.io/")),
    ))
}

pub(super) fn access_modes(object: &Value, _: Timestamp) -> Value {
    let modes = items(object, "/spec/accessModes").iter().filter_map(Value::as_str).map(|mode| match mode {
        "ReadWriteOnce" => "RWO",
        "ReadOnlyMany" => "ROX",
        "ReadWriteMany" => "RWX",
        "ReadWriteOncePod" => "RWOP",
        other => other,
    });
    Value::from(joined(modes))
}

pub(super) fn volume_claim(volume: &Value, _: Timestamp) -> Value {
    match text(volume, "/spec/claimRef/name") {
        "" => Value::from(""),
        name => Value::from(format!("{}/{name}", text(volume, "/spec/claimRef/namespace"))),
    }
}

pub(super) fn event_last_seen(event: &Value, now: Timestamp) -> Value {
    let times = ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/metadata/creationTimestamp"];
    Value::from(age(times.iter().map(|path| text(event, path)).find(|time| !time.is_empty()), now))
}

pub(super) fn event_object(event: &Value, _: Timestamp) -> Value {
    let kind = text(event, "/involvedObject/kind").to_lowercase();
    Value::from(format!("{kind}/{}", text(event, "/involvedObject/name")))
}

pub(super) fn event_message(event: &Value, _: Timestamp) -> Value {
    Value::from(text(event, "/message").trim())
}

pub(super) fn endpoints(object: &Value, _: Timestamp) -> Value {
    let mut all = Vec::new();
    for subset in items(object, "/subsets") {
        for address in items(subset, "/addresses") {
            let ip = text(address, "/ip");
            let ports = items(subset, "/ports");
            all.extend(ports.iter().map(|port| format!("{ip}:{}", number(port, "/port"))));
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
        }
    }
    or_none(shortened(all))
}

pub(super) fn slice_ports(slice: &Value, _: Timestamp) -> Value {
    let ports = items(slice, "/ports").iter().map(|port| number(port, "/port").to_string()).collect();
    let text = shortened(ports);
    Value::from(if text.is_empty() { "<unset>".into() } else { text })
}

pub(super) fn slice_endpoints(slice: &Value, _: Timestamp) -> Value {
    let endpoints = items(slice, "/endpoints").iter();
    let all = endpoints.flat_map(|endpoint| items(endpoint, "/addresses")).filter_map(Value::as_str);
    let text = shortened(all.map(str::to_owned).collect());
    Value::from(if text.is_empty() { "<unset>".into() } else { text })
}

/// Three entries and how many more there are.
fn shortened(all: Vec<String>) -> String {
    match all.len() {
        0..=3 => all.join(","),
        count => format!("{} + {} more...", all[..3].join(","), count - 3),
    }
}

pub(super) fn role_ref(binding: &Value, _: Timestamp) -> Value {
    Value::from(format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name")))
}

pub(super) fn ingress_class(ingress: &Value, _: Timestamp) -> Value {
    or_none(text(ingress, "/spec/ingressClassName").into())
}

pub(super) fn ingress_hosts(ingress: &Value, _: Timestamp) -> Value {
    let hosts = joined(
        items(ingress, "/spec/rules").iter().map(|rule| text(rule, "/host")).filter(|h| !h.is_empty()),
    );
    Value::from(if hosts.is_empty() { "*".into() } else { hosts })
}

pub(super) fn ingress_ports(ingress: &Value, _: Timestamp) -> Value {
    Value::from(if items(ingress, "/spec/tls").is_empty() { "80" } else { "80, 443" })
}

pub(super) fn or_not_available(path: &'static str) -> super::Cell {
    match path {
        "min" => |o, _| o.pointer("/spec/minAvailable").cloned().unwrap_or_else(|| "N/A".into()),
        _ => |o, _| o.pointer("/spec/maxUnavailable").cloned().unwrap_or_else(|| "N/A".into()),
    }
}

pub(super) fn disruptions(object: &Value, _: Timestamp) -> Value {
    Value::from(number(object, "/status/disruptionsAllowed"))
}

pub(super) fn pod_selector(policy: &Value, _: Timestamp) -> Value {
    or_none(pairs(at(policy, "/spec/podSelector/matchLabels")))
}

pub(super) fn expansion(class: &Value, _: Timestamp) -> Value {
    Value::from(class["allowVolumeExpansion"] == true)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ages_are_written_like_kubectl() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (700, "11m"),
            (10_800, "3h"),
            (11_100, "3h5m"),
            (90_000, "25h"),
            (180_000, "2d2h"),
            (8_640_000, "100d"),
            (-5, "<invalid>"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn a_pods_status_is_its_most_telling_reason() {
        let status = |pod: Value| pod_status(&pod, Timestamp::UNIX_EPOCH);
        assert_eq!(status(json!({"status": {"phase": "Running"}})), "Running");
        assert_eq!(
            status(json!({"status": {"phase": "Pending", "containerStatuses": [
                {"state": {"waiting": {"reason": "ImagePullBackOff"}}}]}})),
            "ImagePullBackOff"
        );
        assert_eq!(
            status(json!({"status": {"phase": "Failed", "containerStatuses": [
                {"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}})),
            "Error"
        );
        assert_eq!(
            status(json!({"spec": {"initContainers": [{}, {}]}, "status": {"phase": "Pending",
                "initContainerStatuses": [{"state": {"terminated": {"exitCode": 0}}}, {"state": {"running": {}}}]}})),
            "Init:1/2"
        );
        assert_eq!(
            status(json!({"metadata": {"deletionTimestamp": "x"}, "status": {"phase": "Running"}})),
            "Terminating"
        );
    }
}
