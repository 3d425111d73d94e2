//! Pictures of the pages, for people who want to look: GALLEY_TEST_SHOTS names a folder, and `chromium` is installed.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use crate::{cluster::start, objects::afternoon};

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
#[allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test tells why it does nothing")]
async fn pages_can_be_photographed() {
    let Ok(folder) = std::env::var("GALLEY_TEST_SHOTS") else {
        println!("skipped: GALLEY_TEST_SHOTS does not name a folder");
        return;
    };
    let cluster = start(&afternoon()).await;
    cluster.page("/").await;
    let pages = [
        ("home", "/"),
        ("workflow", "/workflows/gourmetgram-pipeline/train-model-7c1f"),
        ("release", "/releases/food11-7c1f"),
        ("application", "/applications/gourmetgram-production"),
    ];
    for (name, path) in pages {
        for (look, size, extra) in [
            ("light", "1280,1500", None),
            ("dark", "1280,1500", Some("--force-dark-mode")),
            ("narrow", "430,2200", None),
        ] {
            let file = Path::new(&folder).join(format!("{name}-{look}.png"));
            photograph(&format!("{}{path}", cluster.url), &file, size, extra).await;
            assert!(file.metadata().is_ok_and(|meta| meta.len() > 5_000), "{}", file.display());
        }
    }
}

async fn photograph(url: &str, file: &Path, size: &str, extra: Option<&str>) {
    let profile = tempfile::tempdir().expect("a scratch folder");
    let mut browser = Command::new("chromium");
    browser
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
        ])
        .args(["--disable-component-update", "--disable-sync", "--hide-scrollbars", "--timeout=2500"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={size}"))
        .arg(format!("--screenshot={}", file.display()))
        .args(extra)
        .arg(url)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    timeout(DEADLINE, browser.status()).await.expect("ends").expect("starts");
}
