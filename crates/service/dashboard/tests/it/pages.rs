//! What the pages say, and what they refuse.

use reqwest::Method;
use serde_json::json;

use crate::{
    cluster::{kinds, start, start_with},
    objects::{afternoon, application, release, workflow},
};

#[track_caller]
fn shows(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "{part:?} is not in\n{page}");
    }
}

#[tokio::test]
async fn the_first_page_shows_everything_without_a_script() {
    let cluster = start(&afternoon()).await;
    let page = cluster.page("/").await;
    shows(&page, &["<title>Overview · GourmetGram</title>", "href=\"http://127.0.0.1:5000\"", "Tracking"]);
    shows(
        &page,
        &[
            "production",
            "OutOfSync",
            "2 commits behind",
            "2 of 2 ready",
            "90 %",
            "10 %",
            "Reports</dt><dd>6<",
        ],
    );
    shows(
        &page,
        &["food11-7c1f", "In canary", "in progress", "staging-load", "95th percentile 84 ms", "0.8741"],
    );
    shows(&page, &["food11-63de", "Stopped", "food11-51aa", "Promoted"]);
    shows(&page, &["train-model-7c1f", "8/10", "train(0)", "exit code 137", "judge-canary"]);
    shows(&page, &["href=\"/applications/gourmetgram-platform\""]);
    assert!(!page.contains("StepGroup"), "groups are not lines of the tree");
    assert!(!page.contains("style=") && !page.contains("<script>") && !page.contains("onclick"), "{page}");
}

#[tokio::test]
async fn each_thing_has_its_page() {
    let cluster = start(&afternoon()).await;
    let page = cluster.page("/workflows/gourmetgram-pipeline/train-model-7c1f").await;
    shows(
        &page,
        &[
            "<svg",
            "staging-contract-te…",
            "staging-contract-test: Succeeded",
            "class=\"edge\"",
            "train-model",
            "version",
        ],
    );
    let page = cluster.page("/releases/food11-7c1f").await;
    shows(
        &page,
        &[
            "193addf574ce40db8cd742b9dc6bd207",
            "/workflows/gourmetgram-pipeline/train-model-7c1f",
            "mcnemarP",
            "0.3125",
        ],
    );
    let page = cluster.page("/applications/gourmetgram-production").await;
    shows(&page, &["SyncError", "k8s/production", "successfully synced", "Deployment", "wave 1, hook"]);
    for missing in ["/releases/none", "/workflows/x/y", "/applications/none", "/nothing"] {
        let response = cluster.http.get(format!("{}{missing}", cluster.url)).send().await.expect("an answer");
        assert_eq!(response.status(), 404, "{missing}");
    }
}

#[tokio::test]
async fn texts_from_outside_stay_texts() {
    let hostile = "<script>alert(1)</script><img src=x onerror=alert(2)>'\"";
    let mut flow = workflow("evil", "Failed");
    flow["status"]["message"] = hostile.into();
    flow["status"]["nodes"]["train"]["displayName"] = hostile.into();
    flow["spec"]["arguments"]["parameters"][0]["value"] = hostile.into();
    let gates = json!([{ "name": hostile, "verdict": "fail", "reason": hostile, "evidence": { hostile: hostile }, "at": "" }]);
    let bad = release(
        "evil",
        hostile,
        json!({ "phase": "Stopped", "message": hostile, "gates": gates, "workflow": "\"><script>" }),
    );
    let cluster = start(&[flow, bad, application("staging", hostile, hostile, hostile)]).await;
    for path in
        ["/", "/releases/evil", "/workflows/gourmetgram-pipeline/evil", "/applications/gourmetgram-staging"]
    {
        let page = cluster.page(path).await;
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{path}\n{page}");
        shows(&page, &["&#60;script&#62;alert(1)"]);
    }
}

#[tokio::test]
async fn answers_forbid_what_the_pages_do_not_need() {
    let cluster = start(&[]).await;
    let response = cluster.http.get(&cluster.url).send().await.expect("an answer");
    let policy = response.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    let page = response.text().await.expect("a page");
    shows(&page, &["No release yet", "No workflow has run yet", "Not deployed"]);
    let post = cluster.http.request(Method::POST, &cluster.url).send().await.expect("an answer");
    assert_eq!(post.status(), 405);
    let foreign =
        cluster.http.get(&cluster.url).header("host", "evil.example").send().await.expect("an answer");
    assert_eq!(foreign.status(), 421);
    for asset in ["/assets/style.css", "/assets/live.js", "/assets/icon.svg"] {
        assert!(cluster.page(asset).await.len() > 100, "{asset}");
    }
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_named() {
    let served =
        kinds().into_iter().filter(|kind| kind.kind != "Application" && kind.kind != "HTTPRoute").collect();
    let cluster = start_with(served, &[workflow("w", "Running")]).await;
    let page = cluster.page("/").await;
    shows(
        &page,
        &[
            "<b>Applications</b> cannot be shown completely. The API server does not serve them.",
            "judge-canary",
        ],
    );
}

#[tokio::test]
async fn a_link_must_be_a_web_address() {
    let cluster = start(&[]).await;
    let link = galley_dashboard::Link { name: "x".into(), url: "javascript:alert(1)".into() };
    let config = galley_dashboard::Config { links: vec![link], ..Default::default() };
    let clock = std::sync::Arc::new(galley_units::SystemClock);
    let deps = galley_dashboard::Deps { client: cluster.client.clone(), clock, versions: None };
    assert!(galley_dashboard::Service::new(config, deps).is_err());
}
