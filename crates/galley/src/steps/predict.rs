//! `galley model predict`: photos through a model folder, or through a running GourmetGram.

use std::path::Path;

use galley_ml::{Classifier, OnnxClassifier, Photo, PhotoLimits};
use galley_problem::{Kind, Problem};
use galley_release_types::Environment;
use serde_json::{Value, json};

use super::train::ml_problem;
use crate::{
    Answer,
    cli::{Global, steps::Predict},
    commands::release::defaults,
    ground::Ground,
    voice,
};

/// `galley model predict PHOTO...`
pub async fn run(global: &Global, args: Predict) -> Result<Answer, Problem> {
    let mut items = Vec::new();
    match &args.model {
        Some(folder) => {
            let classifier = OnnxClassifier::open(folder).map_err(|e| ml_problem("loading the model", &e))?;
            for photo in &args.photos {
                items.push(here(&classifier, photo)?);
            }
        }
        None => {
            let (url, http, _ground) = service(global, &args).await?;
            for photo in &args.photos {
                items.push(there(&http, &url, photo).await?);
            }
        }
    }
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let rows = items
        .iter()
        .map(|item| {
            let confidence = item["confidence"].as_f64().unwrap_or_default();
            vec![text(item, "photo"), text(item, "class"), format!("{confidence:.3}")]
        })
        .collect();
    let table = voice::Table { columns: vec!["photo", "class", "confidence"], wide: vec![], rows };
    voice::list(args.output.output, &items, table)?;
    Ok(Answer::Yes)
}

/// Address and client; the ground keeps the way to it open.
async fn service(
    global: &Global,
    args: &Predict,
) -> Result<(String, reqwest::Client, Option<Ground>), Problem> {
    if let Some(url) = &args.url {
        let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(60)).build();
        let http = http.map_err(|e| crate::internal("making an HTTP client", &e))?;
        return Ok((url.clone(), http, None));
    }
    let ground = Ground::find(global, &defaults()).await?;
    Ok((ground.application(Environment::Production)?, ground.http()?, Some(ground)))
}

fn read(photo: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(photo).map_err(|e| crate::io(photo, "reading", &e))
}

fn here(classifier: &OnnxClassifier, path: &Path) -> Result<Value, Problem> {
    let photo = Photo::decode(&read(path)?, &PhotoLimits::default()).map_err(|error| {
        Problem::new("G0741", Kind::Invalid, format!("{} cannot be classified.", path.display()))
            .because(&error)
    })?;
    let prediction = classifier.classify(&photo).map_err(|e| ml_problem("classifying", &e))?;
    let probabilities: serde_json::Map<String, Value> =
        prediction.ranked().iter().map(|(class, p)| ((*class).to_owned(), json!(p))).collect();
    Ok(json!({
        "photo": path.display().to_string(), "class": prediction.name(),
        "confidence": prediction.confidence(), "probabilities": probabilities,
    }))
}

async fn there(http: &reqwest::Client, url: &str, path: &Path) -> Result<Value, Problem> {
    let failed = |error: &reqwest::Error| {
        Problem::new("G0742", Kind::Unavailable, format!("{url} does not answer.")).because(error)
    };
    let request = http
        .post(format!("{url}/predict"))
        .header("accept", "application/json")
        .header("content-type", "application/octet-stream")
        .body(read(path)?);
    let answer = request.send().await.map_err(|e| failed(&e))?;
    let good = answer.status().is_success();
    let mut answer: Value = answer.json().await.map_err(|e| failed(&e))?;
    if !good {
        let message = answer["error"]["message"].as_str().unwrap_or("no reason given").to_owned();
        return Err(Problem::new(
            "G0741",
            Kind::Invalid,
            format!("{} cannot be classified.", path.display()),
        )
        .because_of(message));
    }
    answer["photo"] = path.display().to_string().into();
    Ok(answer)
}
