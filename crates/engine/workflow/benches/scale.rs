//! How the engine scales: wide, layered and long graphs, with pods that end at once.
//!
//! `cargo bench -p galley-workflow --bench scale [-- SHAPE...]` prints one line a shape. The whole run is measured:
//! checks, every step, all nodes. Figures are kept in `docs/conformance/workflows-scale.md`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

use galley_argo_workflows::Workflow;
use galley_workflow::{
    Action, ContainerSeen, ContainerState, Engine, Observations, PodPhase, PodSeen, Templates,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

fn workflow(main: Value) -> Workflow {
    let run = json!({"name": "run", "container": {"image": "i", "command": ["true"]}});
    serde_json::from_value(json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": "w", "namespace": "n", "uid": "u"},
        "spec": {"entrypoint": "main", "templates": [main, run]},
    }))
    .expect("the workflow is well formed")
}

/// Layers of tasks, each waiting for two of the layer before.
fn layers(count: usize, width: usize) -> Value {
    let mut tasks = Vec::new();
    for layer in 0..count {
        for at in 0..width {
            let mut task = json!({"name": format!("t{layer}-{at}"), "template": "run"});
            if layer > 0 {
                let (a, b) = (format!("t{}-{at}", layer - 1), format!("t{}-{}", layer - 1, (at + 1) % width));
                task["dependencies"] = if a == b { json!([a]) } else { json!([a, b]) };
            }
            tasks.push(task);
        }
    }
    json!({"name": "main", "dag": {"tasks": tasks}})
}

fn fan_out(count: usize) -> Value {
    let each = json!({"name": "each", "template": "run", "withSequence": {"count": count}});
    json!({"name": "main", "steps": [[each]]})
}

fn ended(name: String, node_id: String) -> PodSeen {
    let mut pod = PodSeen::default();
    pod.name = name;
    pod.node_id = node_id;
    pod.phase = PodPhase::Succeeded;
    pod.containers = vec![ContainerSeen {
        name: "main".to_owned(),
        state: ContainerState::Terminated {
            exit_code: 0,
            reason: "Completed".to_owned(),
            message: String::new(),
            finished_at: None,
        },
        ..ContainerSeen::default()
    }];
    pod
}

/// Runs a workflow to its end; gives the number of nodes and of steps.
fn play(workflow: Workflow) -> (usize, usize) {
    let mut engine = Engine::new(workflow, Templates::default());
    let mut now: Timestamp = "2026-11-05T10:00:00Z".parse().expect("a moment");
    let mut pods: BTreeMap<String, PodSeen> = BTreeMap::new();
    let mut steps = 0;
    loop {
        let seen = Observations { pods: pods.values().cloned().collect(), ..Observations::default() };
        let actions = engine.step(now, &seen);
        steps += 1;
        for action in actions {
            match action {
                Action::CreatePod { node_id, name, .. } => {
                    pods.insert(name.clone(), ended(name, node_id));
                }
                Action::CompletePod { name } | Action::DeletePod { name } => {
                    pods.remove(&name);
                }
                _ => {}
            }
        }
        if engine.status().phase.is_done() {
            assert_eq!(engine.status().phase.as_str(), "Succeeded", "{}", engine.status().message);
            return (engine.status().nodes.len(), steps);
        }
        now += SignedDuration::from_secs(1);
    }
}

/// A shape and how it is made.
type Shape = (&'static str, fn() -> Value);

/// The most memory that this process has had, in MiB; Linux only.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn main() {
    let shapes: [Shape; 5] = [
        ("chain-1000", || layers(1000, 1)),
        ("layers-100x100", || layers(100, 100)),
        ("wide-10000", || layers(1, 10_000)),
        ("fan-out-10000", || fan_out(10_000)),
        ("fan-out-100000", || fan_out(99_000)),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    for (name, shape) in shapes {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| wanted == name) {
            continue;
        }
        let workflow = workflow(shape());
        let began = Instant::now();
        let (nodes, steps) = play(workflow);
        let took = began.elapsed();
        let memory = peak_memory();
        let _ = writeln!(
            std::io::stdout(),
            "{name}: {nodes} nodes, {steps} steps, {took:.2?}, peak {memory} MiB"
        );
    }
}
