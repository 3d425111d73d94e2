//! The backbone at work: photos to feature vectors.

use crate::backbone::{Backbone, BackboneError, FEATURES};
use crate::network::Network;
use crate::onnx;
use crate::photo::Photo;
use crate::view::{INPUT_LEN, Pixels, View, append_input};

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
    network: Network,
}

impl FeatureExtractor {
    /// Loads the bundled backbone; takes some tens of milliseconds.
    ///
    /// # Errors
    /// [`ExtractorError`], if the program was built with other weights.
    pub fn bundled() -> Result<Self, ExtractorError> {
        let graph = onnx::features_model(&Backbone::bundled()?)?;
        let network = Network::load(graph, FEATURES).map_err(ExtractorError::Load)?;
        Ok(FeatureExtractor { network })
    }

    /// Features of several views of one photo, [`FEATURES`] numbers for each.
    ///
    /// # Errors
    /// [`ExtractorError::Run`].
    pub fn views(&self, photo: &Photo, views: &[View]) -> Result<Vec<f32>, ExtractorError> {
        let mut input = Vec::with_capacity(views.len() * INPUT_LEN);
        for view in views {
            append_input(photo, *view, &Pixels::default(), &mut input);
        }
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.network.run(input, threads)
    }

    /// Features of the contract's view of a photo.
    ///
    /// # Errors
    /// [`ExtractorError::Run`].
    pub fn features(&self, photo: &Photo) -> Result<Vec<f32>, ExtractorError> {
        self.views(photo, &[View::default()])
    }
}
