//! Photos that are refused, and why.

use std::sync::{Arc, Mutex};

use galley_app::Config;
use galley_ml::Photo;
use reqwest::StatusCode;

use crate::support::{Slow, files, json, model, sample_png, start, started};

/// A PNG's first bytes, with a header that promises this many pixels.
fn promise(width: u32, height: u32) -> Vec<u8> {
    let mut png = Photo::from_rgb(1, 1, vec![0; 3]).unwrap().to_png().unwrap();
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8)
            .fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (!(crc & 1)).wrapping_add(1)))
    })
}

#[tokio::test]
async fn every_fault_has_its_status_code_and_remedy() {
    let app = started().await;
    let mut damaged = sample_png();
    damaged.truncate(damaged.len() / 2);
    for (bytes, status, code) in [
        (Vec::new(), StatusCode::BAD_REQUEST, "G0701"),
        (promise(100_000, 100_000), StatusCode::PAYLOAD_TOO_LARGE, "G0702"),
        (b"this is no picture".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "G0703"),
        (b"BM\0\0\0\0\0\0\0\0".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "G0703"),
        (damaged, StatusCode::UNPROCESSABLE_ENTITY, "G0704"),
    ] {
        let response = app.post_form("/predict", "file", bytes.clone(), "application/json").await;
        assert_eq!(response.status(), status, "{code}");
        let error = json(response).await;
        assert_eq!(error["error"]["code"], code);
        assert!(error["error"]["message"].as_str().unwrap().ends_with('.'));
        assert!(error["error"]["remedy"].as_str().unwrap().ends_with('.'));

        let page = app.post_form("/predict", "file", bytes, "text/html").await;
        assert_eq!(page.status(), status);
        let page = page.text().await.unwrap();
        assert!(page.contains(code) && page.contains("That did not work"));
    }
}

#[tokio::test]
async fn too_many_bytes_are_refused_and_the_answer_arrives() {
    let app = start(Config { max_upload_bytes: 10_000, ..Config::default() }, model()).await;
    for size in [10_001, 39_000, 100_000] {
        let response = app.post_form("/predict", "file", vec![0xFF; size], "*/*").await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{size}");
        assert_eq!(json(response).await["error"]["code"], "G0702");
        let response = app.post_body("/predict", "image/jpeg", vec![0xFF; size]).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE, "{size}");
    }
}

#[tokio::test]
async fn what_holds_no_photo_is_not_understood() {
    let app = started().await;
    for (content_type, body) in [
        ("application/json", r#"{"photo": 1}"#),
        ("multipart/form-data", "no boundary"),
        ("multipart/form-data; boundary=x", "--x\r\nbroken"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n",
        ),
    ] {
        let response = app.post_body("/predict", content_type, body.into()).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{content_type} {body}");
        assert_eq!(json(response).await["error"]["code"], "G0711");
    }
    let response = app.get("/nowhere", "*/*").await;
    assert_eq!(
        (response.status(), json(response).await["error"]["code"].clone()),
        (StatusCode::NOT_FOUND, "G0715".into())
    );
    let response = app.post_body("/version", "image/png", sample_png()).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
#[allow(clippy::await_holding_lock, reason = "the lock is what keeps the model from answering")]
async fn a_full_queue_says_to_come_back_and_a_slow_model_ends_at_the_deadline() {
    let gate = Arc::new(Mutex::new(()));
    let slow = Slow { gate: gate.clone(), contract: files().contract.clone() };
    let config = Config { workers: 1, queue: 1, deadline_seconds: 1, ..Config::default() };
    let app = start(config, Arc::new(slow)).await;
    let closed = gate.lock().unwrap();
    let send = || app.post_form("/predict", "file", sample_png(), "*/*");
    // One works, one waits, one is sent away; the order in which they arrive does not matter.
    let (a, b, c) = futures::join!(send(), send(), send());
    drop(closed);
    let mut statuses = [a.status().as_u16(), b.status().as_u16(), c.status().as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [503, 504, 504]);
    let refused = [a, b, c].into_iter().find(|response| response.status() == 503).unwrap();
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(json(refused).await["error"]["code"], "G0712");
}
