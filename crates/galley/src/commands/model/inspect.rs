//! `galley model inspect`: what a model file says about itself, and what runs it.

use galley_ml::{Classifier, OnnxClassifier};
use galley_problem::Problem;
use serde_json::json;

use crate::{
    Answer,
    cli::{Format, model::Inspect},
    steps::ml_problem,
    voice,
};

/// Runs it.
///
/// # Errors
/// If the model does not load.
pub fn run(args: &Inspect) -> Result<Answer, Problem> {
    let classifier = OnnxClassifier::open(&args.model).map_err(|e| ml_problem("loading the model", &e))?;
    let contract = classifier.contract();
    if args.output.output != Format::Table {
        voice::object(args.output.output, &json!({ "runtime": classifier.runtime(), "contract": contract }))?;
        return Ok(Answer::Yes);
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let shape = |tensor: &galley_ml::Tensor| {
        let sides: Vec<String> = tensor
            .shape
            .iter()
            .map(|side| side.as_str().map_or_else(|| side.to_string(), str::to_owned))
            .collect();
        format!("{} {} [{}]", tensor.name, tensor.r#type, sides.join(", "))
    };
    let preprocessing = &contract.preprocessing;
    for (key, value) in [
        ("model", contract.model.clone()),
        ("version", text(&contract.version)),
        ("run", text(&contract.run_id)),
        ("commit", text(&contract.commit)),
        ("data digest", text(&contract.data_digest)),
        ("model digest", contract.model_digest.clone()),
        ("input", shape(&contract.input)),
        ("output", shape(&contract.output.tensor)),
        ("temperature", contract.output.temperature.to_string()),
        (
            "preprocessing",
            format!(
                "{}, short side {}, {} crop {}, (value - {:?}) / {:?}",
                preprocessing.resize,
                preprocessing.short_side,
                preprocessing.crop_at,
                preprocessing.crop,
                preprocessing.mean.each(),
                preprocessing.std.each()
            ),
        ),
        ("classes", contract.classes.join(", ")),
        ("runs on", classifier.runtime()),
    ] {
        voice::data(&format!("{key:<15}{value}"));
    }
    Ok(Answer::Yes)
}
