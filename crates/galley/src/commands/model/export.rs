//! `galley model export`: a registered version as files.

use galley_problem::{Kind, Problem};

use crate::{
    Answer,
    cli::{Global, model::Export},
    ground::Ground,
    steps::{MODEL_FOLDER, model_name, tracking_problem},
    voice,
};

/// Largest file that is fetched, bytes.
const LARGEST: u64 = 512 << 20;

/// Runs it.
///
/// # Errors
/// If there is no such version, or its files cannot be fetched or written.
pub async fn run(global: &Global, args: Export) -> Result<Answer, Problem> {
    let ground = Ground::find(global, &args.services).await?;
    let tracking = ground.tracking()?;
    let failed = |error| tracking_problem("reading the version", &error);
    let model = model_name(&ground).await?;
    let (found, wanted) = match &args.model_version {
        Some(version) => (tracking.get_version(&model, version).await, format!("version {version}")),
        None => (
            tracking.version_by_alias(&model, &args.stage).await,
            format!("version with the alias `{}`", args.stage),
        ),
    };
    let Some(version) = found.map_err(failed)? else {
        return Err(Problem::new("G0744", Kind::NotFound, format!("There is no {wanted} of `{model}`."))
            .try_this("`galley model list` shows the versions and their aliases."));
    };
    let run = tracking.get_run(&version.run_id).await.map_err(failed)?;
    std::fs::create_dir_all(&args.out).map_err(|e| crate::io(&args.out, "making", &e))?;
    for name in ["model.onnx", "head.safetensors", "contract.json"] {
        let bytes = tracking.download_artifact(&run, &format!("{MODEL_FOLDER}/{name}"), LARGEST).await;
        let mut bytes = bytes.map_err(failed)?.to_vec();
        if name == "contract.json" {
            bytes = numbered(&bytes, &version.version)?;
        }
        let path = args.out.join(name);
        std::fs::write(&path, bytes).map_err(|e| crate::io(&path, "writing", &e))?;
    }
    // What was written is what can be served.
    galley_ml::OnnxClassifier::load(&args.out)
        .map_err(|e| crate::steps::ml_problem("checking the model", &e))?;
    voice::data(&format!("{model} version {} in {}.", version.version, args.out.display()));
    Ok(Answer::Yes)
}

/// The contract with the version's number in it, which the run did not know yet.
fn numbered(contract: &[u8], version: &str) -> Result<Vec<u8>, Problem> {
    let mut contract: galley_ml::Contract = serde_json::from_slice(contract)
        .map_err(|e| crate::steps::ml_problem("reading the serving contract", &e))?;
    contract.version = Some(version.to_owned());
    Ok(contract.to_json().into_bytes())
}
