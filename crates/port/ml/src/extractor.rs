//! The backbone at work: photos to feature vectors.

use rten::{Model, Value};

use crate::backbone::{Backbone, BackboneError, FEATURES};
use crate::onnx;
use crate::photo::Photo;
use crate::view::{INPUT_LEN, INPUT_SIDE, View, append_input};

/// Why the backbone did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ExtractorError {
    /// The bundled weights are not usable.
    #[error("the backbone is not usable")]
    Backbone(#[from] BackboneError),
    /// The runtime refused the graph.
    #[error("the runtime did not load the backbone: {0}")]
    Load(String),
    /// The runtime failed on an input.
    #[error("the runtime failed: {0}")]
    Run(String),
}

/// Computes features with the bundled backbone.
pub struct FeatureExtractor {
    model: Model,
}

impl FeatureExtractor {
    /// Loads the bundled backbone; takes some tens of milliseconds.
    ///
    /// # Errors
    /// [`ExtractorError`], if the program was built with other weights.
    pub fn bundled() -> Result<Self, ExtractorError> {
        let graph = onnx::features_model(&Backbone::bundled()?)?;
        let model = Model::load(graph).map_err(|error| ExtractorError::Load(error.to_string()))?;
        Ok(FeatureExtractor { model })
    }

    /// Features of several views of one photo, [`FEATURES`] numbers for each.
    ///
    /// # Errors
    /// [`ExtractorError::Run`].
    pub fn views(&self, photo: &Photo, views: &[View]) -> Result<Vec<f32>, ExtractorError> {
        let mut input = Vec::with_capacity(views.len() * INPUT_LEN);
        for view in views {
            append_input(photo, *view, &mut input);
        }
        run(&self.model, onnx::FEATURES_OUTPUT, FEATURES, input)
    }

    /// Features of the contract's view of a photo.
    ///
    /// # Errors
    /// [`ExtractorError::Run`].
    pub fn features(&self, photo: &Photo) -> Result<Vec<f32>, ExtractorError> {
        self.views(photo, &[View::default()])
    }
}

/// Runs `model` on inputs laid one after the other; the rows of `output`, `width` numbers each.
pub(crate) fn run(
    model: &Model,
    output: &str,
    width: usize,
    input: Vec<f32>,
) -> Result<Vec<f32>, ExtractorError> {
    let failed = |error: &dyn std::fmt::Display| ExtractorError::Run(error.to_string());
    let count = input.len() / INPUT_LEN;
    let input =
        Value::from_shape([count, 3, INPUT_SIDE, INPUT_SIDE].as_slice(), input).map_err(|e| failed(&e))?;
    let from = model.node_id(onnx::INPUT).map_err(|e| failed(&e))?;
    let to = model.node_id(output).map_err(|e| failed(&e))?;
    let [result] = model.run_n(vec![(from, input.into())], [to], None).map_err(|e| failed(&e))?;
    let (shape, rows) = result.into_shape_vec::<f32, 2>().map_err(|e| failed(&e))?;
    if shape != [count, width] {
        return Err(ExtractorError::Run(format!("`{output}` has shape {shape:?}, not {:?}", [count, width])));
    }
    Ok(rows)
}
