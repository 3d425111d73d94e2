//! What programs may ask: many photos at once, and the Open Inference Protocol.

use base64::Engine;
use galley_ml::CLASSES;
use reqwest::{StatusCode, multipart};
use serde_json::{Value, json};

use crate::support::{json as read, sample_png, started};

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn several_photos_get_an_answer_each() {
    let app = started().await;
    let part = |bytes: Vec<u8>, name: &'static str| multipart::Part::bytes(bytes).file_name(name);
    let form = multipart::Form::new()
        .part("file", part(sample_png(), "one.png"))
        .part("file", part(b"no photo".to_vec(), "two.png"))
        .part("file", part(sample_png(), "three.png"));
    let answer = app.client.post(format!("{}/v1/predict", app.address)).multipart(form).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = read(answer).await;
    let predictions = answer["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 3);
    assert_eq!(predictions[0]["name"], "one.png");
    assert_eq!(predictions[0]["class"], predictions[2]["class"]);
    assert_eq!(predictions[1]["error"]["code"], "G0703");
    assert_eq!((&answer["version"], &answer["model"]), (&json!("3"), &json!("gourmetgram")));

    let body = json!({ "images": [base64(&sample_png()), format!("data:image/png;base64,{}", base64(&sample_png()))] });
    let response = app.post_body("/v1/predict", "application/json", body.to_string().into_bytes()).await;
    let again = read(response).await;
    assert_eq!(again["predictions"][1]["class"], predictions[0]["class"]);
    let single = json!({ "image": base64(&sample_png()) }).to_string();
    let response = app.post_body("/predict", "application/json", single.into_bytes()).await;
    assert_eq!(read(response).await["class"], predictions[0]["class"]);
    for bad in [json!({ "images": [] }), json!({ "image": 1 }), json!({ "images": vec!["AAAA"; 17] })] {
        let response = app.post_body("/v1/predict", "application/json", bad.to_string().into_bytes()).await;
        assert!(response.status().is_client_error(), "{bad}");
    }
}

#[tokio::test]
async fn several_photos_on_the_page_without_a_script() {
    let app = started().await;
    let part = |bytes: Vec<u8>| multipart::Part::bytes(bytes).file_name("<x>.png");
    let form = multipart::Form::new().part("file", part(sample_png())).part("file", part(b"x".to_vec()));
    let request = app.client.post(format!("{}/predict", app.address)).header("accept", "text/html");
    let page = request.multipart(form).send().await.unwrap().text().await.unwrap();
    assert_eq!(page.matches("class=\"class-name\"").count(), 1);
    assert!(page.contains("cannot be used") && page.contains("G0703") && !page.contains("<x>"));
}

#[tokio::test]
async fn the_open_inference_protocol_is_spoken() {
    let app = started().await;
    for path in ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/gourmetgram/ready"] {
        assert_eq!(app.get(path, "*/*").await.status(), StatusCode::OK, "{path}");
    }
    let model = read(app.get("/v2/models/gourmetgram/versions/3", "*/*").await).await;
    assert_eq!((&model["versions"][0], &model["platform"]), (&json!("3"), &json!("onnx")));
    assert_eq!(app.get("/v2/models/other", "*/*").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(app.get("/v2/models/gourmetgram/versions/9", "*/*").await.status(), StatusCode::NOT_FOUND);

    let infer = async |body: Value| {
        let body = body.to_string().into_bytes();
        app.post_body("/v2/models/gourmetgram/infer", "application/json", body).await
    };
    let photos = json!({ "id": "a", "inputs": [
        { "name": "image", "datatype": "BYTES", "shape": [1], "data": [base64(&sample_png())] }
    ] });
    let answer = read(infer(photos).await).await;
    assert_eq!((&answer["id"], &answer["model_version"]), (&json!("a"), &json!("3")));
    assert_eq!(answer["outputs"][0]["shape"], json!([1, 11]));
    assert!(CLASSES.contains(&answer["outputs"][1]["data"][0].as_str().unwrap()));

    let tensor = |value: f32| {
        json!({ "inputs": [
        { "name": "input", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": vec![value; 3 * 224 * 224] }
    ], "outputs": [{ "name": "probabilities" }] })
    };
    let answer = read(infer(tensor(0.25)).await).await;
    assert_eq!(answer["outputs"].as_array().unwrap().len(), 1);
    let sum: f64 = answer["outputs"][0]["data"].as_array().unwrap().iter().map(|p| p.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-3);
    // Numbers without measure: an answer or a refusal, but no fault of the server.
    assert!(infer(tensor(3e38)).await.status().as_u16() < 500);
    for bad in [
        json!({}),
        json!({ "inputs": [] }),
        json!({ "inputs": [{ "name": "image", "datatype": "BYTES", "shape": [2], "data": ["AA=="] }] }),
        json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [1, 3, 224, 224], "data": [1, 2] }] }),
        json!({ "inputs": [{ "name": "input", "datatype": "INT8", "shape": [1], "data": [1] }] }),
    ] {
        let answer = infer(bad.clone()).await;
        assert!(answer.status().is_client_error(), "{}", answer.status());
        assert!(read(answer).await["error"].is_string());
    }
}

#[tokio::test]
async fn the_description_names_routes_that_there_are() {
    let app = started().await;
    let description = read(app.get("/openapi.json", "*/*").await).await;
    assert_eq!(description["openapi"], "3.1.0");
    for (path, operations) in description["paths"].as_object().unwrap() {
        let path = path.replace("{id}", "x").replace("{model}", "gourmetgram").replace("{version}", "3");
        for method in operations.as_object().unwrap().keys() {
            let method = reqwest::Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let response =
                app.client.request(method.clone(), format!("{}{path}", app.address)).send().await.unwrap();
            let status = response.status();
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            if status == StatusCode::NOT_FOUND {
                assert_ne!(read(response).await["error"]["code"], "G0715", "{method} {path}");
            }
        }
    }
}
