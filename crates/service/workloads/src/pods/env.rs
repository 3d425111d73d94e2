//! The environment of a container, and `$(NAME)` in its command.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVarSource, ObjectFieldSelector, Pod, ResourceFieldSelector, Secret, Service,
};
use kube::Api;

use crate::objects::{Context, name_of, namespace_of, uid_of};

/// What variables are made from.
pub(crate) struct Source<'a> {
    pub cx: &'a Context,
    pub pod: &'a Pod,
    pub ip: Ipv4Addr,
    /// The Services of the pod's namespace.
    pub services: &'a [Service],
}

impl Source<'_> {
    /// All variables of a container, in order; a message says what is missing.
    pub(crate) async fn environment(
        &self,
        container: &Container,
        image: &[String],
    ) -> Result<Vec<(String, String)>, String> {
        let mut env = Variables::default();
        for pair in image {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            env.set(name, value.to_owned());
        }
        env.set("HOSTNAME", hostname(self.pod));
        self.service_links(&mut env);
        for from in container.env_from.iter().flatten() {
            let prefix = from.prefix.as_deref().unwrap_or("");
            let values = match (&from.config_map_ref, &from.secret_ref) {
                (Some(reference), _) => self.config_map(&reference.name, reference.optional).await?,
                (_, Some(reference)) => self.secret(&reference.name, reference.optional).await?,
                _ => None,
            };
            for (key, value) in values.into_iter().flatten() {
                env.set(&format!("{prefix}{key}"), value);
            }
        }
        for variable in container.env.iter().flatten() {
            if let Some(source) = &variable.value_from {
                if let Some(value) = self.value_from(container, source).await? {
                    env.set(&variable.name, value);
                }
            } else {
                let value = expand(variable.value.as_deref().unwrap_or(""), |name| env.get(name));
                env.set(&variable.name, value);
            }
        }
        Ok(env.0)
    }

    fn service_links(&self, env: &mut Variables) {
        let server = self.cx.credentials.api_server();
        let (host, port) = match self.cx.sandbox.mode() {
            galley_sandbox::Mode::Plain => (server.ip().to_string(), server.port()),
            _ => (self.cx.sandbox.network().service(1).to_string(), 443),
        };
        env.set("KUBERNETES_SERVICE_HOST", host);
        env.set("KUBERNETES_SERVICE_PORT", port.to_string());
        env.set("KUBERNETES_SERVICE_PORT_HTTPS", port.to_string());
        if self.pod.spec.as_ref().and_then(|spec| spec.enable_service_links) == Some(false) {
            return;
        }
        for service in self.services.iter().filter(|service| name_of(&service.metadata) != "kubernetes") {
            let spec = service.spec.clone().unwrap_or_default();
            let Some(ip) = spec.cluster_ip.filter(|ip| ip != "None" && !ip.is_empty()) else { continue };
            let prefix = name_of(&service.metadata).to_uppercase().replace('-', "_");
            env.set(&format!("{prefix}_SERVICE_HOST"), ip);
            if let Some(port) = spec.ports.iter().flatten().next() {
                env.set(&format!("{prefix}_SERVICE_PORT"), port.port.to_string());
            }
        }
    }

    async fn value_from(
        &self,
        container: &Container,
        source: &EnvVarSource,
    ) -> Result<Option<String>, String> {
        if let Some(field) = &source.field_ref {
            return self.field(field).map(Some);
        }
        if let Some(field) = &source.resource_field_ref {
            return resource(container, field).map(Some);
        }
        if let Some(key) = &source.config_map_key_ref {
            let values = self.config_map(&key.name, key.optional).await?;
            return pick(values, &key.key, key.optional, "ConfigMap", &key.name);
        }
        if let Some(key) = &source.secret_key_ref {
            let values = self.secret(&key.name, key.optional).await?;
            return pick(values, &key.key, key.optional, "Secret", &key.name);
        }
        Err("a variable has a source of a kind that Galley does not know".to_owned())
    }

    /// The value of a field of the pod, as the downward API gives it.
    pub(crate) fn field(&self, field: &ObjectFieldSelector) -> Result<String, String> {
        let meta = &self.pod.metadata;
        let spec = self.pod.spec.clone().unwrap_or_default();
        let path = field.field_path.as_str();
        let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']").map(str::to_owned);
        if let Some(key) = keyed("metadata.labels['") {
            return Ok(meta.labels.as_ref().and_then(|all| all.get(&key)).cloned().unwrap_or_default());
        }
        if let Some(key) = keyed("metadata.annotations['") {
            return Ok(meta.annotations.as_ref().and_then(|all| all.get(&key)).cloned().unwrap_or_default());
        }
        let all = |map: &Option<BTreeMap<String, String>>| {
            let lines = map.iter().flatten().map(|(key, value)| format!("{key}={value:?}"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let host = self.cx.sandbox.network().gateway().to_string();
        Ok(match path {
            "metadata.name" => name_of(meta).to_owned(),
            "metadata.namespace" => namespace_of(meta).to_owned(),
            "metadata.uid" => uid_of(meta).to_owned(),
            "metadata.labels" => all(&meta.labels),
            "metadata.annotations" => all(&meta.annotations),
            "spec.nodeName" => self.cx.config.node_name.clone(),
            "spec.serviceAccountName" => spec.service_account_name.unwrap_or_else(|| "default".to_owned()),
            "status.podIP" | "status.podIPs" => self.ip.to_string(),
            "status.hostIP" | "status.hostIPs" => host,
            other => return Err(format!("the field `{other}` cannot be given to a container")),
        })
    }

    pub(crate) async fn config_map(
        &self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let api = Api::<ConfigMap>::namespaced(self.cx.client.clone(), namespace_of(&self.pod.metadata));
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        present(found, optional, "configmap", name).map(|map| map.map(|map| map.data.unwrap_or_default()))
    }

    async fn secret(
        &self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<BTreeMap<String, String>>, String> {
        let data = self.secret_bytes(name, optional).await?;
        Ok(data.map(|data| {
            data.into_iter().map(|(key, value)| (key, String::from_utf8_lossy(&value).into_owned())).collect()
        }))
    }

    pub(crate) async fn secret_bytes(
        &self,
        name: &str,
        optional: Option<bool>,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, String> {
        let api = Api::<Secret>::namespaced(self.cx.client.clone(), namespace_of(&self.pod.metadata));
        let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
        let found = present(found, optional, "secret", name)?;
        Ok(found.map(|secret| secret.data.unwrap_or_default().into_iter().map(|(k, v)| (k, v.0)).collect()))
    }
}

/// The host name of a pod.
pub(crate) fn hostname(pod: &Pod) -> String {
    let asked = pod.spec.as_ref().and_then(|spec| spec.hostname.clone());
    let mut name = asked.unwrap_or_else(|| name_of(&pod.metadata).to_owned());
    name.truncate(63);
    name.trim_end_matches(['-', '.']).to_owned()
}

fn present<T>(found: Option<T>, optional: Option<bool>, kind: &str, name: &str) -> Result<Option<T>, String> {
    match found {
        None if optional != Some(true) => Err(format!("{kind} \"{name}\" not found")),
        other => Ok(other),
    }
}

fn pick(
    values: Option<BTreeMap<String, String>>,
    key: &str,
    optional: Option<bool>,
    kind: &str,
    name: &str,
) -> Result<Option<String>, String> {
    match values.and_then(|mut values| values.remove(key)) {
        None if optional != Some(true) => Err(format!("couldn't find key {key} in {kind} {name}")),
        other => Ok(other),
    }
}

/// A resource of the container in units of the divisor, rounded up; without a limit the machine's own.
pub(crate) fn resource(container: &Container, field: &ResourceFieldSelector) -> Result<String, String> {
    let resources = container.resources.clone().unwrap_or_default();
    let (side, kind) = field.resource.split_once('.').unwrap_or(("limits", &field.resource));
    let limit = resources.limits.as_ref().and_then(|all| all.get(kind));
    let asked = if side == "requests" {
        resources.requests.as_ref().and_then(|all| all.get(kind)).or(limit)
    } else {
        limit
    };
    let value = match asked {
        Some(quantity) => galley_units::parse_quantity(&quantity.0).map_err(|error| error.to_string())?,
        None if side == "requests" => 0.0,
        None => own_capacity(kind),
    };
    let divisor = match field.divisor.as_ref().map(|divisor| divisor.0.as_str()) {
        None | Some("" | "0") => 1.0,
        Some(text) => galley_units::parse_quantity(text).map_err(|error| error.to_string())?,
    };
    Ok(format!("{:.0}", (value / divisor).ceil()))
}

fn own_capacity(kind: &str) -> f64 {
    let memory = || {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok().map(|kib| kib * 1024.0)
    };
    match kind {
        "cpu" => std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64),
        "memory" => memory().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// Variables in the order in which they were first set.
#[derive(Default)]
struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some(entry) => entry.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// Replaces `$(NAME)`; `$$` stands for `$`, and an unknown name stays as it is.
pub(crate) fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inside| inside.split_once(')')) {
            out.push_str(&lookup(name).unwrap_or_else(|| format!("$({name})")));
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_replaced_as_in_kubernetes() {
        let check = |text: &str, expected: &str| {
            let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
            assert_eq!(expand(text, lookup), expected, "{text}");
        };
        check("$(A)", "1");
        check("x$(A)y$(A)", "x1y1");
        check("$(B)", "$(B)");
        check("$$(A)", "$(A)");
        check("$A $ $(A", "$A $ $(A");
    }

    #[test]
    fn resources_are_divided_and_rounded_up() {
        let container: Container = serde_json::from_value(json!({
            "name": "c", "resources": {"limits": {"cpu": "1500m", "memory": "1Gi"}}
        }))
        .unwrap();
        let check = |field: serde_json::Value, expected: &str| {
            assert_eq!(resource(&container, &serde_json::from_value(field).unwrap()).unwrap(), expected);
        };
        check(json!({"resource": "limits.cpu"}), "2");
        check(json!({"resource": "limits.cpu", "divisor": "1m"}), "1500");
        check(json!({"resource": "limits.memory", "divisor": "1Mi"}), "1024");
        check(json!({"resource": "requests.cpu"}), "2");
    }
}
