//! The frozen backbone: EfficientNet-Lite0 with ImageNet weights, batch norm folded in, half precision.
//!
//! The weights are part of the program (`assets/efficientnet-lite0-food.safetensors`, tuned from `cargo xtask backbone`'s,
//! Apache-2.0, see `assets/NOTICE`). The shape of the network is this module's; the ONNX writer follows it.

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use sha2::{Digest, Sha256};

/// Length of a feature vector.
pub const FEATURES: usize = 1280;

/// The weights as they lie in the program.
pub static WEIGHTS: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../assets/efficientnet-lite0-food.safetensors"
));

/// One convolution of the backbone, followed by ReLU6 where `clipped`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Name of its weights: `{name}.weight` and `{name}.bias`.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Each channel on its own.
    pub depthwise: bool,
    /// Followed by ReLU6.
    pub clipped: bool,
    /// Its result is added to the block's input.
    pub residual: bool,
    /// Side of the input picture.
    pub side: usize,
}

impl Convolution {
    /// Shape of the weights, as in ONNX and PyTorch.
    pub fn weight_shape(&self) -> [usize; 4] {
        let per_group = if self.depthwise { 1 } else { self.inputs };
        [self.outputs, per_group, self.kernel, self.kernel]
    }

    /// Padding top-left and bottom-right. TensorFlow's "same": what is odd goes to the bottom right.
    pub fn padding(&self) -> (usize, usize) {
        let out = self.side.div_ceil(self.stride);
        let total = ((out - 1) * self.stride + self.kernel).saturating_sub(self.side);
        (total / 2, total - total / 2)
    }
}

/// Repeats, kernel, stride, expansion, channels out: the stages of EfficientNet-Lite0.
const STAGES: [(usize, usize, usize, usize, usize); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];

/// All convolutions, in order. A block starts at an `expand` (or a `depthwise` without one) and ends at its `project`.
pub fn convolutions() -> Vec<Convolution> {
    let mut all = vec![plain("stem".into(), 3, 32, 3, 2, crate::view::INPUT_SIDE)];
    let (mut channels, mut side, mut block) = (32, crate::view::INPUT_SIDE / 2, 0);
    for (repeats, kernel, stride, expansion, outputs) in STAGES {
        for repeat in 0..repeats {
            let stride = if repeat == 0 { stride } else { 1 };
            let inner = channels * expansion;
            if expansion > 1 {
                all.push(plain(format!("blocks.{block}.expand"), channels, inner, 1, 1, side));
            }
            let name = format!("blocks.{block}.depthwise");
            all.push(Convolution { depthwise: true, ..plain(name, inner, inner, kernel, stride, side) });
            side = side.div_ceil(stride);
            all.push(Convolution {
                clipped: false,
                residual: stride == 1 && channels == outputs,
                ..plain(format!("blocks.{block}.project"), inner, outputs, 1, 1, side)
            });
            channels = outputs;
            block += 1;
        }
    }
    all.push(plain("head".into(), channels, FEATURES, 1, 1, side));
    all
}

fn plain(
    name: String,
    inputs: usize,
    outputs: usize,
    kernel: usize,
    stride: usize,
    side: usize,
) -> Convolution {
    Convolution {
        name,
        inputs,
        outputs,
        kernel,
        stride,
        depthwise: false,
        clipped: true,
        residual: false,
        side,
    }
}

/// Why the weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BackboneError {
    /// Not a safetensors file.
    #[error("the backbone's weights are not a safetensors file")]
    Format(#[source] safetensors::SafeTensorError),
    /// A tensor is absent or of the wrong shape or type.
    #[error("the backbone's tensor `{name}` is missing, or not {dtype:?} of shape {shape:?}")]
    Tensor {
        /// Its name.
        name: String,
        /// The type it must have.
        dtype: Dtype,
        /// The shape it must have.
        shape: Vec<usize>,
    },
}

/// Weights and bias of every convolution, borrowed from a safetensors file.
pub struct Backbone<'a> {
    tensors: SafeTensors<'a>,
}

impl Backbone<'static> {
    /// The backbone inside the program.
    ///
    /// # Errors
    /// [`BackboneError`], if the program was built with other weights.
    pub fn bundled() -> Result<Self, BackboneError> {
        Backbone::parse(WEIGHTS)
    }
}

impl<'a> Backbone<'a> {
    /// Reads a safetensors file and checks every name, shape and type.
    ///
    /// # Errors
    /// [`BackboneError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BackboneError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(BackboneError::Format)?;
        let backbone = Backbone { tensors };
        for convolution in convolutions() {
            backbone.weight(&convolution)?;
            backbone.bias(&convolution)?;
        }
        Ok(backbone)
    }

    /// Half-precision weights of a convolution, little endian.
    ///
    /// # Errors
    /// [`BackboneError::Tensor`].
    pub fn weight(&self, convolution: &Convolution) -> Result<&[u8], BackboneError> {
        self.tensor(format!("{}.weight", convolution.name), Dtype::F16, &convolution.weight_shape())
    }

    /// Single-precision bias of a convolution, little endian.
    ///
    /// # Errors
    /// [`BackboneError::Tensor`].
    pub fn bias(&self, convolution: &Convolution) -> Result<&[u8], BackboneError> {
        self.tensor(format!("{}.bias", convolution.name), Dtype::F32, &[convolution.outputs])
    }

    fn tensor(&self, name: String, dtype: Dtype, shape: &[usize]) -> Result<&[u8], BackboneError> {
        match self.tensors.tensor(&name) {
            Ok(tensor) if tensor.dtype() == dtype && tensor.shape() == shape => Ok(tensor.data()),
            _ => Err(BackboneError::Tensor { name, dtype, shape: shape.to_vec() }),
        }
    }
}

/// SHA-256 of the bundled weights, in hex.
pub fn bundled_digest() -> String {
    hex::encode(Sha256::digest(WEIGHTS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_is_efficientnet_lite0() {
        let all = convolutions();
        assert_eq!(all.iter().filter(|c| c.depthwise).count(), 16);
        let weights: usize = all.iter().map(|c| c.weight_shape().iter().product::<usize>()).sum();
        // 4,652,008 parameters less the 1000-class head, with one bias in place of scale and shift.
        let biases: usize = all.iter().map(|c| c.outputs).sum();
        assert_eq!(weights + 2 * biases, 4_652_008 - 1281 * 1000);
        assert_eq!(all.last().map(|c| c.side), Some(7));
    }

    #[test]
    fn padding_is_tensorflows_same() {
        let stem = &convolutions()[0];
        assert_eq!(stem.padding(), (0, 1));
        let five = convolutions().into_iter().find(|c| c.kernel == 5 && c.stride == 2).unwrap();
        assert_eq!(five.padding(), (1, 2));
        let five = convolutions().into_iter().find(|c| c.kernel == 5 && c.stride == 1).unwrap();
        assert_eq!(five.padding(), (2, 2));
    }

    #[test]
    fn the_bundled_weights_fit() {
        Backbone::bundled().unwrap();
    }
}
