//! Artifacts of pods, and the order of their containers.

use galley_sandbox::Mode;
use serde_json::{Value, json};

use crate::support::world;

const COLLECTED: &str = "runtime.galley.dev/collected";

fn with(orders: &Value, spec: Value) -> Value {
    json!({"metadata": {"annotations": {"runtime.galley.dev/artifacts": orders.to_string()}}, "spec": spec})
}

async fn hand_on(mode: Mode) {
    let Some(world) = world(mode).await else { return };
    let out = json!({"outputs": [{"name": "letter", "path": "/tmp/out/letter"}, {"name": "none", "path": "/tmp/none"}]});
    let volume = json!({"volumes": [{"name": "out", "emptyDir": {}}],
        "containers": [{"volumeMounts": [{"name": "out", "mountPath": "/tmp/out"}]}]});
    // A plain process finds the pod's absolute paths below the folder that it starts in.
    world.pod("writes", &["write", "tmp/out/letter", "dear"], with(&out, volume)).await;
    let pod = world.phase("writes", "Succeeded").await;
    let collected: Value = serde_json::from_str(&pod.metadata.annotations.unwrap()[COLLECTED]).unwrap();
    assert_eq!(collected["artifacts"], json!(["letter"]), "{collected}");

    let input = json!({"inputs": [{"name": "letter", "path": "/in/deep/letter"}]});
    world.pod("reads", &["cat", "in/deep/letter"], with(&input, json!({}))).await;
    world.phase("reads", "Succeeded").await;
    assert_eq!(world.log("reads").await, "dear\n");

    let missing = json!({"inputs": [{"name": "lost", "path": "/in/lost"}]});
    world.pod("fails", &["print", "never"], with(&missing, json!({}))).await;
    let status = world.phase("fails", "Failed").await.status.unwrap();
    let init = status.init_container_statuses.unwrap().remove(0);
    let ended = init.state.unwrap().terminated.unwrap();
    assert_eq!(
        (init.name.as_str(), ended.exit_code, ended.message.as_deref()),
        ("init", 64, Some("no lost"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_handed_on() {
    hand_on(Mode::Namespaces).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_are_handed_on_between_plain_processes() {
    hand_on(Mode::Plain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn containers_begin_in_their_order() {
    let Some(world) = world(Mode::Namespaces).await else { return };
    let order = json!({"second": ["first"], "main": ["second"], "late": ["bad"], "last": ["late"]});
    let volume = json!([{"name": "v", "mountPath": "/v"}]);
    let container = |name: &str, args: &[&str]| json!({"name": name, "image": "testbed:1", "args": args, "volumeMounts": volume});
    let spec = json!({"volumes": [{"name": "v", "emptyDir": {}}], "containers": [
        container("main", &["cat", "/v/log"]),
        container("second", &["append", "/v/log", "2"]),
        container("first", &["sleep", "200", ",", "append", "/v/log", "1"]),
        container("bad", &["exit", "3"]), container("late", &["print", "x"]), container("last", &["print", "x"]),
    ]});
    let annotations = json!({"runtime.galley.dev/container-dependencies": order.to_string()});
    let mut pod = crate::support::pod("set", &[], json!({"metadata": {"annotations": annotations}}));
    pod["spec"]["containers"] = spec["containers"].clone();
    pod["spec"]["volumes"] = spec["volumes"].clone();
    world.create::<k8s_openapi::api::core::v1::Pod>(pod).await;
    let pod = world.phase("set", "Failed").await;
    let status = pod.status.unwrap().container_statuses.unwrap();
    let ended = |name: &str| {
        let one = status.iter().find(|one| one.name == name).unwrap();
        let ended = one.state.clone().unwrap().terminated.unwrap();
        (ended.exit_code, ended.message.unwrap_or_default())
    };
    assert_eq!(ended("main").0, 0);
    assert_eq!(ended("late"), (64, "dependency \"bad\" exited with non-zero code: 3".to_owned()));
    assert_eq!(ended("last"), (64, "dependency \"late\" exited with non-zero code: 64".to_owned()));
    let logs = galley_workloads::LogOptions { container: Some("main".to_owned()), ..Default::default() };
    let stream = world.handle.logs().logs("default", "set", logs).await.unwrap();
    let text: Vec<_> = futures::StreamExt::collect(stream).await;
    assert_eq!(
        text.into_iter().map(|bytes| String::from_utf8(bytes.unwrap().to_vec()).unwrap()).collect::<String>(),
        "12\n"
    );
    world.stop().await;
}
