//! The environments: which version runs where, and how it is doing.

use galley_release_types::{APPLICATIONS_NAMESPACE, ENVIRONMENTS, Environment as Place};
use serde_json::Value;

use super::{Badge, Tone, applications, list, name, namespace, number, short, short_image, text};
use crate::{
    config::Link,
    snapshot::{Kind, Snapshot},
};

/// Label or annotation that names the model version.
const VERSION: &str = "galley.dev~1version";

/// One environment's card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    pub(crate) name: &'static str,
    /// Version, or what comes nearest.
    pub(crate) version: String,
    /// What the running application says its version is, where it says another.
    pub(crate) reported: String,
    pub(crate) image: String,
    pub(crate) image_short: String,
    pub(crate) replicas: String,
    /// Share of the gateway's traffic, in per cent.
    pub(crate) traffic: Option<i64>,
    pub(crate) health: Badge,
    pub(crate) sync: Badge,
    pub(crate) revision: String,
    pub(crate) application: String,
    pub(crate) url: String,
    pub(crate) message: String,
}

/// All environments, in the order that a candidate passes them.
pub(crate) fn environments(snapshot: &Snapshot, links: &[Link]) -> Vec<Environment> {
    ENVIRONMENTS.into_iter().map(|place| environment(snapshot, place, links)).collect()
}

fn environment(snapshot: &Snapshot, place: Place, links: &[Link]) -> Environment {
    let application = snapshot.get(Kind::Application, APPLICATIONS_NAMESPACE, &place.application());
    let mut card = Environment {
        name: place.name(),
        health: Badge::new(Tone::Idle, "Not deployed"),
        url: links
            .iter()
            .find(|link| link.name.eq_ignore_ascii_case(place.name()))
            .map_or(String::new(), |l| l.url.clone()),
        traffic: traffic(snapshot, &place.namespace()),
        ..Environment::default()
    };
    if let Some(application) = application {
        card.application = name(application).to_owned();
        card.health = applications::health(text(application, "/status/health/status"));
        card.sync = applications::sync(text(application, "/status/sync/status"));
        card.revision = short(text(application, "/status/sync/revision"));
        card.message = applications::trouble(application);
    }
    if let Some(deployment) = deployment(snapshot, &place.namespace()) {
        let image = text(deployment, "/spec/template/spec/containers/0/image");
        card.image = image.to_owned();
        // The registry's name is the same everywhere and long.
        card.image_short = short_image(image.rsplit_once('/').map_or(image, |(_, name)| name));
        card.version = version(deployment).map_or_else(|| tag(image), str::to_owned);
        let wanted = deployment.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        card.replicas = format!("{} of {wanted} ready", number(deployment, "/status/readyReplicas"));
        if application.is_none() {
            card.health = Badge::new(Tone::Idle, "No Application");
        }
    }
    let reported = snapshot.reported.iter().find(|(environment, _)| environment == place.name());
    card.reported =
        reported.map(|(_, version)| version.clone()).filter(|it| *it != card.version).unwrap_or_default();
    card
}

/// The Deployment that says which version it runs, or else the first one.
fn deployment<'s>(snapshot: &'s Snapshot, namespace_name: &str) -> Option<&'s Value> {
    let mut all = snapshot.of(Kind::Deployment).filter(|object| namespace(object) == namespace_name);
    let first = all.next()?;
    Some(std::iter::once(first).chain(all).find(|object| version(object).is_some()).unwrap_or(first))
}

fn version(deployment: &Value) -> Option<&str> {
    [
        "/metadata/labels",
        "/metadata/annotations",
        "/spec/template/metadata/labels",
        "/spec/template/metadata/annotations",
    ]
    .into_iter()
    .find_map(|place| deployment.pointer(&format!("{place}/{VERSION}")).and_then(Value::as_str))
    .filter(|version| !version.is_empty())
}

/// The tag of an image, or its short digest.
fn tag(image: &str) -> String {
    if let Some((_, digest)) = image.split_once("@sha256:") {
        return short(digest);
    }
    image
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .map_or(String::new(), |(_, tag)| tag.to_owned())
}

/// Share of a route's weight that goes to the namespace, of the first rule that splits between environments.
fn traffic(snapshot: &Snapshot, wanted: &str) -> Option<i64> {
    let rules = snapshot.of(Kind::HttpRoute).flat_map(|route| {
        let own = namespace(route);
        list(route, "/spec/rules").iter().map(move |rule| (own, list(rule, "/backendRefs")))
    });
    for (own, backends) in rules {
        let weight = |backend: &Value| backend.get("weight").and_then(Value::as_i64).unwrap_or(1).max(0);
        let place = |backend: &Value| match text(backend, "/namespace") {
            "" => own.to_owned(),
            named => named.to_owned(),
        };
        let total: i64 = backends.iter().map(weight).sum();
        let splits =
            ENVIRONMENTS.iter().filter(|it| backends.iter().any(|b| place(b) == it.namespace())).count() > 1;
        if splits && total > 0 && backends.iter().any(|backend| place(backend) == wanted) {
            let share: i64 = backends.iter().filter(|backend| place(backend) == wanted).map(weight).sum();
            return Some(share * 100 / total);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_card_gathers_application_deployment_and_route() {
        let snapshot = Snapshot::made_of(&[
            json!({ "kind": "Application", "metadata": { "name": "gourmetgram-canary", "namespace": "argocd" },
                "status": { "health": { "status": "Degraded" }, "sync": { "status": "OutOfSync", "revision": "0123456789abcdef" },
                    "conditions": [{ "type": "SyncError", "message": "no such chart" }] } }),
            json!({ "kind": "Deployment", "metadata": { "name": "app", "namespace": "gourmetgram-canary",
                    "labels": { "galley.dev/version": "7" } },
                "spec": { "replicas": 2, "template": { "spec": { "containers": [{ "image": "r/food:v7" }] } } },
                "status": { "readyReplicas": 1 } }),
            json!({ "kind": "HTTPRoute", "metadata": { "name": "split", "namespace": "gourmetgram-platform" },
                "spec": { "rules": [{ "backendRefs": [
                    { "name": "app", "namespace": "gourmetgram-production", "weight": 90 },
                    { "name": "app", "namespace": "gourmetgram-canary", "weight": 10 }] }] } }),
        ]);
        let links = [Link { name: "Canary".into(), url: "http://localhost:8081".into() }];
        let cards = environments(&snapshot, &links);
        let canary = &cards[1];
        assert_eq!(
            (canary.name, canary.version.as_str(), canary.replicas.as_str()),
            ("canary", "7", "1 of 2 ready")
        );
        assert_eq!((canary.image.as_str(), canary.image_short.as_str()), ("r/food:v7", "food:v7"));
        assert_eq!(canary.health, Badge::new(Tone::Bad, "Degraded"));
        assert_eq!(canary.sync, Badge::new(Tone::Warn, "OutOfSync"));
        assert_eq!((canary.traffic, canary.url.as_str()), (Some(10), "http://localhost:8081"));
        assert!(canary.message.contains("no such chart"));
        assert_eq!(cards[2].traffic, Some(90));
        assert_eq!((cards[0].traffic, cards[0].health.text.as_str()), (None, "Not deployed"));
    }

    #[test]
    fn without_a_label_the_image_tells() {
        assert_eq!(tag("registry:5000/food:1.0.3"), "1.0.3");
        assert_eq!(tag("registry:5000/food"), "");
        assert_eq!(tag("food@sha256:0123456789abcdef0"), "01234567");
    }
}
