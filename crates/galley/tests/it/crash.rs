//! Killed at any moment, Galley goes on where it was: one version, no work done twice.

use serde_json::Value;

use crate::house::{House, http, version};

fn message(status: &Value) -> &str {
    status["release"]["status"]["message"].as_str().unwrap_or_default()
}

/// Whether the newest release has come to a phase, or past it: on a quick machine a phase may be over before it is seen.
fn reached(phase: &'static str) -> impl Fn(&Value) -> bool {
    const PHASES: [&str; 6] = ["Pending", "Training", "Building", "Staging", "Canary", "Promoted"];
    let rank = |phase: &str| PHASES.iter().position(|known| *known == phase);
    move |status| rank(status["release"]["status"]["phase"].as_str().unwrap_or_default()) >= rank(phase)
}

#[test]
fn three_kills_end_in_production_with_one_version_and_one_run() {
    let mut house = House::new();
    house.up(&[]);
    house.wait("training", reached("Training"));
    house.kill();

    house.up(&[]);
    house.wait("staging", reached("Staging"));
    house.kill();

    house.up(&[]);
    house.wait("canary", reached("Canary"));
    house.kill();

    house.up(&[]);
    let status = house.wait("production", |status| status["release"]["status"]["phase"] == "Promoted");
    assert_eq!(status["release"]["status"]["version"], "1", "{}", message(&status));
    assert_eq!(version(&house.endpoint("production")).as_deref(), Some("1"));

    let tracking = house.endpoint("tracking");
    let search = |path: &str, body: &str| {
        http(
            "POST",
            &format!("{tracking}/api/2.0/mlflow/{path}"),
            &[("content-type", "application/json")],
            body.as_bytes(),
        )
        .expect("an answer")
        .json()
    };
    let experiments = search("experiments/search", r#"{"max_results": 100}"#);
    let ids: Vec<Value> = experiments["experiments"]
        .as_array()
        .expect("experiments")
        .iter()
        .map(|experiment| experiment["experiment_id"].clone())
        .collect();
    let runs = search("runs/search", &serde_json::json!({ "experiment_ids": ids }).to_string());
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "{runs:#}");

    house.git(&["pull", "--quiet", "--rebase"]);
    let log = house.git(&["log", "--format=%s"]);
    for environment in ["staging", "canary", "production"] {
        let subject = format!("promote: version 1 to {environment}");
        assert_eq!(log.matches(&subject).count(), 1, "{log}");
    }
}
