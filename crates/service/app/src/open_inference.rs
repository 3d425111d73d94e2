//! The Open Inference Protocol, version 2 (KServe, Triton), in JSON over HTTP.
//!
//! One of two inputs is given: `image`, BYTES, photos in base64, preprocessed here; or the graph's own input, FP32, shape
//! `[N, 3, 224, 224]`, preprocessed by the client. Outputs are `probabilities`, FP32 `[N, 11]`, and `class`, BYTES `[N]`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{self, Path, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use galley_ml::Prediction;
use galley_problem::{Kind, Problem};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer;
use crate::routes::{Shared, within_deadline};
use crate::state::{Loaded, State};
use crate::upload::{self, from_base64, not_understood};

/// Numbers of one prepared input.
const PICTURE: usize = 3 * 224 * 224;
/// Prepared inputs of one request.
const MAX_TENSORS: usize = 8;
/// Bytes of a request.
const MAX_BODY: usize = 32 << 20;

/// All routes of the protocol.
pub(crate) fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(|| async { answer::json(&json!({ "live": true })) }))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
}

/// A model's name, and its version where the client names one.
#[derive(Deserialize)]
struct Which {
    model: String,
    version: Option<String>,
}

impl Which {
    fn find(&self, state: &State) -> Result<Arc<Loaded>, Problem> {
        let loaded = state.model()?;
        let known = self.model == loaded.classifier.contract().model
            && self.version.as_ref().is_none_or(|version| *version == loaded.version);
        if known {
            return Ok(loaded);
        }
        let contract = loaded.classifier.contract();
        Err(Problem::new("G0722", Kind::NotFound, "There is no such model or version here.")
            .try_this(format!("This server has the model `{}`, version {}.", contract.model, loaded.version)))
    }
}

async fn server() -> Response {
    answer::json(&json!({ "name": "galley", "version": env!("CARGO_PKG_VERSION"), "extensions": [] }))
}

async fn ready(extract::State(state): Shared) -> Response {
    match state.model() {
        Ok(_) => answer::json(&json!({ "ready": true })),
        Err(problem) => refused(&problem),
    }
}

async fn model_ready(extract::State(state): Shared, Path(which): Path<Which>) -> Response {
    match which.find(&state) {
        Ok(_) => answer::json(&json!({ "name": which.model, "ready": true })),
        Err(problem) => refused(&problem),
    }
}

async fn metadata(extract::State(state): Shared, Path(which): Path<Which>) -> Response {
    let loaded = match which.find(&state) {
        Ok(loaded) => loaded,
        Err(problem) => return refused(&problem),
    };
    let contract = loaded.classifier.contract();
    answer::json(&json!({
        "name": contract.model,
        "versions": [loaded.version],
        "platform": "onnx",
        "inputs": [
            { "name": "image", "datatype": "BYTES", "shape": [-1] },
            { "name": contract.input.name, "datatype": "FP32", "shape": [-1, 3, 224, 224] },
        ],
        "outputs": [
            { "name": "probabilities", "datatype": "FP32", "shape": [-1, contract.classes.len()] },
            { "name": "class", "datatype": "BYTES", "shape": [-1] },
        ],
    }))
}

#[derive(Deserialize)]
struct Inference {
    #[serde(default)]
    id: Option<String>,
    inputs: Vec<Input>,
    #[serde(default)]
    outputs: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    data: Value,
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
}

async fn infer(extract::State(state): Shared, Path(which): Path<Which>, request: Request) -> Response {
    let work = async {
        which.find(&state)?;
        let _place = state.admit()?;
        let body = upload::body(request, &state, MAX_BODY).await?;
        let inference: Inference = serde_json::from_slice(&body.bytes)
            .map_err(|_| not_understood("The body is not an inference request of the protocol."))?;
        for wanted in &inference.outputs {
            if !matches!(wanted.name.as_str(), "probabilities" | "class") {
                return Err(not_understood(
                    "There is no such output; there are `probabilities` and `class`.",
                ));
            }
        }
        let [input] = &inference.inputs[..] else {
            return Err(not_understood("One input is needed: `image`, or the graph's own."));
        };
        let (predictions, version) = match input.datatype.as_str() {
            "BYTES" => photos(&state, input).await?,
            "FP32" => tensors(&state, input).await?,
            _ => return Err(not_understood("The input must be BYTES (photos in base64) or FP32.")),
        };
        Ok(answered(&which, &inference, &predictions, &version))
    };
    match within_deadline(&state, work).await {
        Ok(value) => answer::json(&value),
        Err(problem) => refused(&problem),
    }
}

async fn photos(state: &State, input: &Input) -> Result<(Vec<Prediction>, String), Problem> {
    let bad =
        || not_understood("The input `image` is a list of photos in base64, and its shape their number.");
    let photos: Vec<&str> = input
        .data
        .as_array()
        .ok_or_else(bad)?
        .iter()
        .map(Value::as_str)
        .collect::<Option<_>>()
        .ok_or_else(bad)?;
    let shaped = matches!(input.shape[..], [count] | [count, 1] if count == photos.len());
    if photos.is_empty() || photos.len() > state.config.max_photos || !shaped || input.name != "image" {
        return Err(bad());
    }
    let (mut predictions, mut version) = (Vec::new(), String::new());
    for photo in photos {
        let classified = state.classify(from_base64(photo, state)?, false).await?;
        predictions.push(classified.prediction);
        version = classified.version;
    }
    Ok((predictions, version))
}

async fn tensors(state: &State, input: &Input) -> Result<(Vec<Prediction>, String), Problem> {
    let bad = || {
        not_understood(
            "The FP32 input must have the shape [N, 3, 224, 224], at most 8 of them, and as many finite numbers.",
        )
    };
    let [count @ 1..=MAX_TENSORS, 3, 224, 224] = input.shape[..] else { return Err(bad()) };
    let mut numbers = Vec::with_capacity(count * PICTURE);
    if !flatten(&input.data, count * PICTURE, &mut numbers) || numbers.len() != count * PICTURE {
        return Err(bad());
    }
    // Numbers without measure give an answer that is none; that is not the server's fault.
    let outcome = state.classify_input(numbers).await;
    outcome.map_err(|problem| match problem.code {
        "G0710" => not_understood("The model has no finite answer for these numbers."),
        _ => problem,
    })
}

/// Numbers of nested lists, row by row, at most `limit`.
fn flatten(value: &Value, limit: usize, to: &mut Vec<f32>) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| flatten(value, limit, to)),
        Value::Number(number) => match number.as_f64().map(|number| number as f32) {
            Some(number) if number.is_finite() && to.len() < limit => {
                to.push(number);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

fn answered(which: &Which, inference: &Inference, predictions: &[Prediction], version: &str) -> Value {
    let wanted = |name: &str| {
        inference.outputs.is_empty() || inference.outputs.iter().any(|output| output.name == name)
    };
    let mut outputs = Vec::new();
    if wanted("probabilities") {
        let data: Vec<f32> = predictions.iter().flat_map(|prediction| prediction.probabilities).collect();
        let shape = [predictions.len(), data.len() / predictions.len().max(1)];
        outputs.push(json!({ "name": "probabilities", "datatype": "FP32", "shape": shape, "data": data }));
    }
    if wanted("class") {
        let data: Vec<&str> = predictions.iter().map(Prediction::name).collect();
        outputs.push(json!({ "name": "class", "datatype": "BYTES", "shape": [data.len()], "data": data }));
    }
    let mut value = json!({ "model_name": which.model, "model_version": version, "outputs": outputs });
    if let Some(id) = &inference.id {
        value["id"] = id.as_str().into();
    }
    value
}

/// Errors of the protocol are one text.
fn refused(problem: &Problem) -> Response {
    let mut response = answer::json(&json!({ "error": answer::message(problem) }));
    *response.status_mut() = answer::status(problem);
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        answer::come_back(&mut response);
    }
    response.into_response()
}
