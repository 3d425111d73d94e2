//! Judges what runs in an environment, from outside, as a user would meet it; each check is a gate in the record.

use std::{sync::Arc, time::Instant};

use galley_analysis::{Agreement, Sample, judge_canary, judge_load};
use galley_problem::{Kind, Problem};
use galley_release_types::{Environment, Gate, Verdict};
use galley_releases::Records;
use galley_units::{Clock, SystemClock, rfc3339};
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{promote, record};
use crate::{
    Answer,
    cli::{
        Global,
        steps::{Check, Test},
    },
    ground::Ground,
    voice,
};

/// How many different pictures are sent in turn.
const PICTURES: u32 = 12;

/// `galley release test`
pub async fn run(global: &Global, args: Test) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let records = Records::new(ground.kube().await?);
    let recorded = records.get(&args.name).await?;
    let gates = record::model_of(&ground, &recorded.release.spec.commit).await?.gates;
    let now = rfc3339(SystemClock.now());
    let http = ground.http()?;
    let url = ground.application(args.environment)?;
    let gate = match args.check {
        Check::Contract => contract(&http, &url, &args, &now).await,
        Check::Load => {
            let samples = load(&http, &url, gates.staging.requests, gates.staging.concurrency).await;
            named(judge_load(&samples, &gates.staging, &now), &format!("{}-load", args.environment))
        }
        Check::Canary => {
            let (samples, agreement) = compare(&ground, &http, &url, gates.canary.requests).await?;
            named(judge_canary(&samples, agreement, &gates.canary, &now), "canary")
        }
    };
    records.update(&args.name, |status| status.record(gate.clone())).await?;
    voice::data(&format!("{}: {:?}: {}", gate.name, gate.verdict, gate.reason));
    Ok(if gate.verdict == Verdict::Pass { Answer::Yes } else { Answer::No })
}

fn named(mut gate: Gate, name: &str) -> Gate {
    name.clone_into(&mut gate.name);
    gate
}

/// Every route of the serving contract, good input and bad.
async fn contract(http: &reqwest::Client, url: &str, args: &Test, now: &str) -> Gate {
    let mut passed = 0u32;
    let mut failed = Vec::new();
    let mut note = |what: &str, outcome: Result<(), String>| match outcome {
        Ok(()) => passed += 1,
        Err(why) => failed.push(format!("{what}: {why}")),
    };
    note("readiness", status(http.get(format!("{url}/readyz")), 200).await.map(drop));
    note("version", version(http, url, &args.model_version).await);
    note("own test", own_test(http, url).await);
    note("prediction", prediction(http, url, &picture(1)).await.map(drop));
    note("not an image is refused", status(post(http, url, b"not a picture".to_vec()), 415).await.map(drop));
    note("an empty file is refused", status(post(http, url, Vec::new()), 400).await.map(drop));
    let all = passed as usize + failed.len();
    let (verdict, reason) = if failed.is_empty() {
        (Verdict::Pass, format!("All {all} checks of the serving contract passed."))
    } else {
        (Verdict::Fail, format!("{} of {all} checks failed: {}.", failed.len(), failed.join("; ")))
    };
    let mut evidence = serde_json::Map::new();
    evidence.insert("checks".into(), json!(all));
    evidence.insert("passed".into(), json!(passed));
    evidence.insert("version".into(), json!(args.model_version));
    Gate { name: format!("{}-contract", args.environment), verdict, reason, evidence, at: now.to_owned() }
}

async fn status(request: reqwest::RequestBuilder, wanted: u16) -> Result<reqwest::Response, String> {
    let answer = request.send().await.map_err(|e| e.to_string())?;
    let status = answer.status().as_u16();
    if status == wanted { Ok(answer) } else { Err(format!("answered {status} instead of {wanted}")) }
}

async fn version(http: &reqwest::Client, url: &str, wanted: &str) -> Result<(), String> {
    let request = http.get(format!("{url}/version")).header("accept", "application/json");
    let answer: serde_json::Value = status(request, 200).await?.json().await.map_err(|e| e.to_string())?;
    match answer["version"].as_str() {
        Some(version) if version == wanted => Ok(()),
        other => Err(format!("says {} instead of {wanted}", other.unwrap_or("nothing"))),
    }
}

async fn own_test(http: &reqwest::Client, url: &str) -> Result<(), String> {
    let answer =
        status(http.get(format!("{url}/test")), 200).await?.text().await.map_err(|e| e.to_string())?;
    if galley_ml::CLASSES.contains(&answer.trim()) {
        Ok(())
    } else {
        Err(format!("`{answer}` is not a class"))
    }
}

/// Classifies a picture; the class with the highest probability.
async fn prediction(http: &reqwest::Client, url: &str, picture: &[u8]) -> Result<String, String> {
    let answer = status(post(http, url, picture.to_vec()), 200).await?;
    let answer: serde_json::Value = answer.json().await.map_err(|e| e.to_string())?;
    let probabilities = answer["probabilities"].as_object().ok_or("the answer has no probabilities")?;
    let values: Vec<f64> = probabilities.values().filter_map(serde_json::Value::as_f64).collect();
    let sum: f64 = values.iter().sum();
    if values.len() != galley_ml::CLASSES.len() || (sum - 1.0).abs() > 0.01 {
        return Err(format!("{} probabilities that add up to {sum:.3}", values.len()));
    }
    answer["class"].as_str().map(str::to_owned).ok_or_else(|| "the answer names no class".to_owned())
}

fn post(http: &reqwest::Client, url: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
    http.post(format!("{url}/predict"))
        .header("accept", "application/json")
        .header("content-type", "image/png")
        .body(body)
}

/// Many requests, a bounded number at a time.
async fn load(http: &reqwest::Client, url: &str, requests: u32, concurrency: u32) -> Vec<Sample> {
    let pictures: Vec<Vec<u8>> = (0..PICTURES.min(requests.max(1))).map(picture).collect();
    let permits = Arc::new(Semaphore::new(concurrency.max(1) as usize));
    let mut tasks = JoinSet::new();
    for index in 0..requests {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let (http, url) = (http.clone(), url.to_owned());
        let picture = pictures[index as usize % pictures.len()].clone();
        tasks.spawn(async move {
            let _permit = permit;
            let began = Instant::now();
            let ok = prediction(&http, &url, &picture).await.is_ok();
            Sample { ok, millis: began.elapsed().as_secs_f64() * 1000.0 }
        });
    }
    tasks.join_all().await
}

/// The same pictures to canary and, if a version runs there, to production.
async fn compare(
    ground: &Ground,
    http: &reqwest::Client,
    canary: &str,
    requests: u32,
) -> Result<(Vec<Sample>, Option<Agreement>), Problem> {
    let production = promote::answered_version(http, ground, Environment::Production).await;
    let production = match production {
        Some(_) => Some(ground.application(Environment::Production)?),
        None => None,
    };
    let mut samples = Vec::new();
    let mut agreement = production.as_ref().map(|_| Agreement { compared: 0, same: 0 });
    for index in 0..requests {
        let picture = picture(index);
        let began = Instant::now();
        let here = prediction(http, canary, &picture).await;
        samples.push(Sample { ok: here.is_ok(), millis: began.elapsed().as_secs_f64() * 1000.0 });
        if let (Some(url), Some(agreement), Ok(here)) = (&production, &mut agreement, here) {
            let there = prediction(http, url, &picture).await.map_err(|why| {
                Problem::new("G1013", Kind::Unavailable, "Production does not answer the comparison.")
                    .because_of(why)
            })?;
            agreement.compared += 1;
            agreement.same += u64::from(there == here);
        }
    }
    Ok((samples, agreement))
}

/// A picture made from a number, the same for the same number: the sample in other colours and light, mirrored or not.
fn picture(number: u32) -> Vec<u8> {
    let sample = galley_ml::Photo::sample();
    let (width, order, light) =
        (sample.width() as usize, number as usize % 3, 0.5 + f32::from((number % 7) as u8) / 8.0);
    let mut rgb = Vec::with_capacity(sample.rgb().len());
    for row in sample.rgb().chunks_exact(width * 3) {
        for x in 0..width {
            let from = if number.is_multiple_of(2) { x } else { width - 1 - x };
            let pixel = &row[from * 3..from * 3 + 3];
            rgb.extend(
                (0..3).map(|channel| (f32::from(pixel[(channel + order) % 3]) * light).min(255.0) as u8),
            );
        }
    }
    galley_ml::Photo::from_rgb(sample.width(), sample.height(), rgb)
        .and_then(|photo| photo.to_png().ok())
        .unwrap_or_default()
}
