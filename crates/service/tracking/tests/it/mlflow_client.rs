//! The real MLflow client for Python, if the environment names a Python that has it.

use std::{process::Stdio, time::Duration};

use tokio::process::Command;

use crate::server::start;

/// Longest time of the whole script.
const DEADLINE: Duration = Duration::from_secs(300);

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test tells why it does nothing")]
async fn the_python_client_works() {
    let Ok(python) = std::env::var("GALLEY_TEST_PYTHON") else {
        println!("skipped: GALLEY_TEST_PYTHON does not name a Python with mlflow-skinny or mlflow");
        return;
    };
    let server = start().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mlflow_client.py");
    let child = Command::new(python)
        .arg(script)
        .env("MLFLOW_TRACKING_URI", &server.url)
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .env("DO_NOT_TRACK", "true")
        .current_dir(server.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output =
        tokio::time::timeout(DEADLINE, child).await.expect("the script ends").expect("the script starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("all checks passed"), "{out}\n{err}");
    println!("{}", out.trim());
}
