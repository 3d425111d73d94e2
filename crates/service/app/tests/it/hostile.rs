//! Ten thousand requests that nobody sends by accident: no crash, and no answer above 499 but "come back" (503).

use std::io::Cursor;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use galley_app::Config;
use galley_ml::Photo;
use tower::ServiceExt;

use crate::support::model;

/// Requests; `GALLEY_HOSTILE_REQUESTS` in the environment asks for another number.
const REQUESTS: usize = 10_000;

/// Numbers that look random, the same ones every time.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit.max(1)
    }

    /// A few bytes changed, cut, doubled or put in.
    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.below(4) {
            let at = self.below(bytes.len());
            match self.below(7) {
                0 => bytes.truncate(at),
                1 => bytes.extend_from_within(at..),
                2 => bytes.splice(at..at, [0xFF, 0xD8, 0xFF, 0xC0]).for_each(drop),
                3 => bytes.splice(at..at, [0xFF; 4]).for_each(drop),
                4 if !bytes.is_empty() => drop(bytes.remove(at)),
                _ => {
                    let value = self.below(256) as u8;
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
            }
        }
    }
}

fn photos() -> Vec<Vec<u8>> {
    let photo = Photo::sample().scaled(64, 48);
    let image = image::RgbImage::from_raw(64, 48, photo.rgb().to_vec()).unwrap();
    let encode = |format| {
        let mut bytes = Cursor::new(Vec::new());
        image::DynamicImage::from(image.clone()).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let mut photos = vec![
        photo.to_jpeg(80).unwrap(),
        encode(image::ImageFormat::Png),
        encode(image::ImageFormat::WebP),
        encode(image::ImageFormat::Gif),
    ];
    // A GIF that claims 65,535 x 65,535 pixels, and one with half of that.
    for side in [65_535u16, 32_767] {
        let mut bomb = photos[3].clone();
        bomb[6..8].copy_from_slice(&side.to_le_bytes());
        bomb[8..10].copy_from_slice(&side.to_le_bytes());
        photos.push(bomb);
    }
    photos
}

fn request(noise: &mut Noise, photos: &[Vec<u8>]) -> Request<Body> {
    let mut body = photos[noise.below(photos.len())].clone();
    noise.spoil(&mut body);
    let path =
        ["/predict", "/v1/predict", "/", "/v2/models/gourmetgram/infer", "/correct-label/x", "/flag/x"]
            [noise.below(6)];
    let mut content_type = ["image/jpeg", "image/png", "application/octet-stream", "text/plain", "", "*/*"]
        [noise.below(6)]
    .to_owned();
    match noise.below(4) {
        0 => {
            let mut form =
                b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\r\n".to_vec();
            form.extend(&body);
            form.extend(b"\r\n--b--\r\n");
            if noise.below(3) == 0 {
                noise.spoil(&mut form);
            }
            body = form;
            content_type = "multipart/form-data; boundary=b".into();
        }
        1 => {
            use base64::Engine;
            let image = base64::engine::general_purpose::STANDARD.encode(&body);
            body = match noise.below(3) {
                0 => format!(r#"{{"image":"{image}"}}"#),
                1 => format!(r#"{{"inputs":[{{"name":"image","datatype":"BYTES","shape":[1],"data":["{image}"]}}]}}"#),
                _ => format!(r#"{{"inputs":[{{"name":"input","datatype":"FP32","shape":[{},3,224,224],"data":[[1e40,{}]]}}]}}"#, noise.below(99), "[".repeat(noise.below(300))),
            }
            .into_bytes();
            if noise.below(2) == 0 {
                noise.spoil(&mut body);
            }
            content_type = "application/json".into();
        }
        _ => {}
    }
    let method = ["POST", "POST", "POST", "PUT", "DELETE", "GET"][noise.below(6)];
    let accept = ["*/*", "text/html", "text/plain", "application/json;q=x", ",,,"][noise.below(5)];
    let request = Request::builder().method(method).uri(path).header("accept", accept);
    let request =
        if content_type.is_empty() { request } else { request.header("content-type", content_type) };
    request.body(Body::from(body)).unwrap()
}

fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? / 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_are_refused_or_answered() {
    #[allow(clippy::disallowed_methods, reason = "a test is told how long it may take")]
    let count =
        std::env::var("GALLEY_HOSTILE_REQUESTS").ok().and_then(|n| n.parse().ok()).unwrap_or(REQUESTS);
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        feedback_dir: Some(folder.path().to_owned()),
        feedback_bytes: 1 << 20,
        queue: 1000,
        ..Config::default()
    };
    let app: Router = galley_app::app_with(config, model()).unwrap();
    let (mut noise, photos) = (Noise(7), photos());
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..count / 8 {
        let requests = (0..8).map(|_| app.clone().oneshot(request(&mut noise, &photos)));
        for response in futures::future::join_all(requests).await {
            let status = response.unwrap().status().as_u16();
            assert!(status < 500 || status == 503, "{status}");
            *statuses.entry(status).or_insert(0) += 1;
        }
    }
    // It must have been a mixture, or the test shows nothing.
    for status in [200, 400, 413, 415, 422] {
        assert!(statuses.contains_key(&status), "{statuses:?}");
    }
    if let Some(peak) = peak_mib() {
        assert!(peak < 1500, "{peak} MiB");
    }
    let kept: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(kept <= 1 << 20, "{kept}");
}

#[tokio::test]
async fn a_body_that_never_ends_is_told_so_in_time() {
    let config = Config { deadline_seconds: 1, ..Config::default() };
    let app = galley_app::app_with(config, model()).unwrap();
    for content_type in ["image/jpeg", "multipart/form-data; boundary=b", "application/json"] {
        let body = Body::from_stream(futures::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
        let request = Request::post("/predict").header("content-type", content_type).body(body).unwrap();
        assert_eq!(app.clone().oneshot(request).await.unwrap().status(), 408, "{content_type}");
    }
}
